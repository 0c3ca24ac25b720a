"""The study on clutter: arms that change what they say, judged on held-out digits."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch

from stn_tutorial import commands
from stn_tutorial.course.reports.clutter import draw_arms, table
from stn_tutorial.experiments._options import options_from
from stn_tutorial.experiments.clutter import ARMS, BUDGET, RECIPE, Cell, cells
from stn_tutorial.experiments.distorted_digits import Config, make_model
from stn_tutorial.experiments.models import TransformedClassifier, count_parameters
from stn_tutorial.experiments.results import read_results
from stn_tutorial.experiments.sharing import work

pytestmark = pytest.mark.usefixtures("one_core")
COMMITTED = Path(__file__).resolve().parent.parent / "results" / "clutter"
#: What comes out of the transformer, and after pooling.
SIZES = {
    **{name: (30, 30) for name in ARMS if name != "cnn"},
    **{"attention-42": (42, 42), "affine-42": (42, 42)},
    **{"attention-42-coordinates": (42, 42), "attention-60": (60, 60)},
    "attention-60-pooled": (60, 30),
}


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_is_as_large_as_its_budget_and_passes_on_what_it_says(arm):
    config = Cell("search", arm).config()
    model = make_model(config)
    assert count_parameters(model) == pytest.approx(config.budget, rel=0.05)
    assert (config.budget == BUDGET) == ("400" not in arm)
    if "cnn" in arm:
        assert not isinstance(model, TransformedClassifier)
        return
    images = torch.rand(2, 1, 60, 60)
    out = model.transformer(images)
    pooled = model.classifier[0](out) if config.pool > 1 else out
    assert (out.shape[-1], pooled.shape[-1]) == SIZES[arm]
    if "crop" in arm or "zoom" in arm:  # the middle, as it is
        torch.testing.assert_close(out, images[..., 15:45, 15:45], rtol=0, atol=1e-5)


def test_the_small_localization_network_has_a_quarter_of_the_parameters():
    counts = [
        count_parameters(make_model(Cell("search", arm).config()).transformer)
        for arm in ("attention-30-small", "attention-30")
    ]
    assert 0.2 < counts[0] / counts[1] < 0.3


def test_an_arm_is_trained_as_all_others_are_in_both_phases():
    for cell in cells(phases=["search", "final"]):
        config = cell.config()
        long = 2 if cell.arm.endswith("-long") else 1
        epochs = long * {"search": 8, "final": 24}[cell.phase]
        assert config.recipe == replace(RECIPE, epochs=epochs)
        assert (config.validation, config.limit) == {
            "search": (10_000, 20_000),
            "final": (0, 0),
        }[cell.phase]


def test_a_start_at_a_crop_is_refused_where_it_makes_no_sense():
    cell = Cell("search", "cnn")
    with pytest.raises(ValueError, match="^zoom must be 1.0 for modern, got 0.5"):
        replace(cell.config(), zoom=0.5)
    spline = replace(Cell("search", "affine-30").config(), family="tps", zoom=0.5)
    with pytest.raises(TypeError, match="^target must be a family of matrices"):
        make_model(spline)


def test_a_miniature_and_its_report(tmp_path, capsys):
    few = cells(arms=["crop", "cnn"])
    work(few, tmp_path, tmp_path / "runs", quick=True, progress=False)
    found = read_results(tmp_path, Cell)
    assert found[few[0]]["config"] == asdict(few[0].config(quick=True))
    commands.main(["report", "clutter", "--folder", str(tmp_path)])
    assert capsys.readouterr().out.count("\n| c") == 2


def test_the_table_keeps_held_out_and_test_errors_apart():
    run = {"parameters": 150_123, "seconds": 60.0}
    found = {
        Cell("search", "crop", seed): {**run, "test_error": error}
        for seed, error in enumerate((2.0, 3.0))
    }
    found[Cell("final", "crop")] = {**run, "test_error": 0.5}
    found[Cell("final", "cnn")] = {**run, "test_error": 0.9}
    lines = table(found).splitlines()[2:]
    assert lines == [
        "| cnn | 150,123 | – | 0.90 (1) | – |",
        "| crop | 150,123 | 2.50 ± 0.71 (2) | 0.50 (1) | 60 |",
    ]
    fig = draw_arms(found)
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["crop"]
    plt.close(fig)


def test_an_unknown_arm_is_refused():
    with pytest.raises(ValueError, match="^arms must be"):
        cells(arms=["cnns"])


@pytest.mark.skipif(not COMMITTED.is_dir(), reason="no results yet")
def test_committed_results_are_of_these_arms():
    for cell, result in read_results(COMMITTED, Cell).items():
        assert options_from(Config, result["config"], cell.name) == cell.config()
        split = "validation" if cell.phase == "search" else "test"
        assert result["data"]["test"]["split"] == split
        assert result["data"]["source"] == "mnist"
