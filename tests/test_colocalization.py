"""The study of co-localization: what is run, and what its results say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from command_line import call

from stn_tutorial.course.reports.colocalization import (
    class_table,
    draw_classes,
    with_interval,
)
from stn_tutorial.experiments import colocalization as study
from stn_tutorial.experiments._options import options_from
from stn_tutorial.experiments.colocalization import Cell, Config
from stn_tutorial.experiments.colocalization_baselines import BASELINES
from stn_tutorial.experiments.colocalization_encoder import train_encoder
from stn_tutorial.experiments.colocalizer import CropInside
from stn_tutorial.experiments.results import read_results, select
from stn_tutorial.experiments.sharing import work

pytestmark = pytest.mark.usefixtures("one_core")
COMMITTED = Path(__file__).resolve().parent.parent / "results" / "colocalization"


def test_training_moves_the_localization_network_and_leaves_the_encoder_alone():
    cell = Cell("T", 3, "random")
    config = cell.config(quick=True)
    moved = study.run(replace(config, count=16)).model
    fresh = train_encoder("random", data="embedded", seed=0)[0].state_dict()
    for name, weight in moved.encoder.classifier.state_dict().items():
        assert torch.equal(weight, fresh[name])
    images = torch.rand(3, 1, 84, 84)
    assert not (moved.transformer.params(images) == 0).any()
    assert moved.along == 1 and moved.family == CropInside(28 / 84)


def test_arms_differ_in_what_they_say_and_in_nothing_else():
    configs = {arm: Cell("TC", 4, arm, 2).config() for arm in study.ARMS}
    kinds = {"all", "others", "whole", "closed", "random"}
    assert {c.encoder for c in configs.values()} == kinds
    assert [arm for arm, c in configs.items() if c.pull == 0] == ["push"]
    alike = {"encoder": "all", "count": 0, "pull": 1.0}
    alike["recipe"] = configs["all"].recipe
    assert len({replace(config, **alike) for config in configs.values()}) == 1
    steps = {arm: c.recipe.epochs * (c.count or 2000) for arm, c in configs.items()}
    assert max(steps.values()) <= 1.2 * min(steps.values())
    assert all(c.recipe.seed == 2 and not c.validation for c in configs.values())


@pytest.mark.parametrize("wrong", [{"column": "X"}, {"digit": 10}, {"arm": "none"}])
def test_a_cell_that_there_is_not_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Cell(**{"column": "T", "digit": 3, **wrong})


def test_co_localization_in_miniature(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    part = "--columns T TC --digits 3 --arms all others".split()
    assert call("colocalization", "--quick", "--list", *part) == 0
    assert capsys.readouterr().out.startswith("missing: T-3-all-0\n")
    assert call("colocalization", "--quick", *part) == 0
    assert capsys.readouterr().out.endswith("\n4 done, 0 missing\n")
    folder = Path("runs") / "quick-colocalization" / "results"
    options = "--folder", str(folder), "--figures", "figures"
    assert call("report", "colocalization", *options) == 0
    out = capsys.readouterr().out
    assert "\n| TC | others (1 classes, 1 runs) |" in out and "*most ink*" in out
    assert [path.name for path in Path("figures").iterdir()] == ["classes.png"]
    found = read_results(folder, Cell)
    seen = found[Cell("TC", 3, "others")]["encoder"]["classes"]
    assert 3 not in seen and len(seen) == 9


def test_a_run_that_was_done_is_not_done_again(tmp_path):
    cells = [Cell("T", 3, "random")]
    work(cells, tmp_path, tmp_path / "runs", quick=True, progress=False)
    file = tmp_path / "T-3-random-0.json"
    before = file.read_text()
    work(cells, tmp_path, tmp_path / "runs", quick=True, progress=False)
    assert file.read_text() == before


def test_every_class_was_run_on_both_kinds_of_pictures():
    found = read_results(COMMITTED, Cell)
    assert set(study.cells()) <= set(found)
    for cell, result in found.items():
        assert options_from(Config, result["config"], cell.name) == cell.config()
        assert result["data"]["source"] == "mnist" and result["data"]["split"] == "test"
        seen = cell.digit in result["encoder"]["classes"]
        assert seen == (cell.arm not in ("others", "random"))


def test_the_table_has_a_line_for_every_class_and_the_figure_a_mark():
    found = read_results(COMMITTED, Cell)
    assert class_table(found).count("\n") == 12
    fig = draw_classes(found)
    plt.close(fig)
    run = found[Cell("TC", 0)]
    assert with_interval([run]).startswith(f"{run['found']:.1f} [")


def test_ours_are_found_more_often_than_what_needs_no_training():
    """By the means over the classes, in clutter; and each class above the aim."""
    runs = select(read_results(COMMITTED, Cell), column="TC", arm="all").values()
    ours = sum(run["found"] for run in runs) / len(runs)
    for name in BASELINES:
        assert ours > sum(run["baselines"][name] for run in runs) / len(runs)
    assert min(run["found"] for run in runs) > 93
