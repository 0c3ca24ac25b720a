"""The comparison with what came after 2015: alike in parameters and operations."""

from __future__ import annotations

import doctest
import math
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from command_line import call
from torch import nn

from stn_tutorial import Affine3d, sample
from stn_tutorial.course.reports import after_2015 as reports
from stn_tutorial.course.reports.after_2015 import (
    cost_table,
    curve,
    draw_errors,
    draw_longer,
    draw_unseen,
    error_table,
    rate_table,
    shown,
)
from stn_tutorial.data.distortions import DISTORTIONS
from stn_tutorial.experiments import after_2015
from stn_tutorial.experiments._options import options_from
from stn_tutorial.experiments.after_2015 import (
    ANGLES_DEG,
    BUDGET,
    COMPUTE,
    LONGER,
    METHODS,
    PHASES,
    RATES,
    RECIPE,
    SCALES,
    TASKS,
    Cell,
    Config,
    augment,
    cells,
    make_model,
    operations,
    rotated_and_scaled,
)
from stn_tutorial.experiments.models import count_parameters
from stn_tutorial.experiments.results import read_results

pytestmark = pytest.mark.usefixtures("one_core")
COMMITTED = Path(__file__).resolve().parent.parent / "results" / "after_2015"
close = torch.testing.assert_close


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_examples_of_the_docstrings_are_right():
    for module in (after_2015, reports):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("task", TASKS)
def test_all_methods_have_the_same_number_of_parameters(task):
    x = torch.rand(1, 1, *DISTORTIONS[task].size, generator=draw())
    for method in METHODS:
        model = make_model(Cell("final", task, method).config())
        assert count_parameters(model) == pytest.approx(BUDGET, rel=0.05)
        assert model.eval()(x).shape == (1, 10)


def test_runs_differ_in_rate_alone_and_trials_are_on_held_out_digits():
    for cell in cells(phases=PHASES):
        config = cell.config()
        trial = PHASES[cell.phase] is not None
        lr = PHASES[cell.phase] or RATES[cell.method]
        assert config.recipe == replace(RECIPE, lr=lr)
        times = LONGER if cell.phase == "longer" else 1
        assert config.compute == times * COMPUTE[cell.task]
        assert (config.validation > 0) == trial
        assert (config.probed > 0) == (cell.phase == "final" and cell.task == "R")


def test_operations_are_those_of_a_formula():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 5))
    first, second = 2 * (2 * 9 * 3) * 8 * 8, 2 * (3 * 25 * 4) * 4 * 4
    forwards, trained = operations(model, (2, 10, 10))
    assert forwards == first + second
    # A gradient for the weights and one for what comes in, which pictures do not need.
    assert trained == 2 * first + 3 * second
    assert all(p.grad is None for p in model.parameters())


class Warped(nn.Module):
    """An affine warp of volumes, or its grid alone."""

    def __init__(self, sampled: bool) -> None:
        super().__init__()
        self.params, self.sampled = nn.Parameter(torch.eye(3, 4).view(1, 12)), sampled

    def forward(self, x):
        grid = Affine3d().grid(self.params.expand(len(x), -1), x.shape[2:])
        return sample(x, grid) if self.sampled else grid


def test_a_sample_of_a_volume_counts_twice_one_of_a_picture():
    done, grid = (
        operations(Warped(sampled), (1, 6, 6, 6)) for sampled in (True, False)
    )
    assert done[0] - grid[0] == 16 * 6**3
    assert done[1] - grid[1] == 3 * 16 * 6**3


def test_the_sampler_counts_too_and_running_means_stay():
    both = {
        method: operations(make_model(Cell("final", "R", method).config()), (1, 28, 28))
        for method in ("st", "ic-st", "exp-st")
    }
    # The second look: eight operations for each of its samples, and the network again.
    more = both["ic-st"][0] - both["st"][0]
    network = make_model(Cell("final", "R", "st").config()).transformer.localization
    assert more == operations(network, (1, 28, 28))[0] + 8 * 28 * 28
    assert both["exp-st"] == pytest.approx(both["st"], rel=0.01)
    model = make_model(Cell("final", "R", "cnn").config())
    before = [buffer.clone() for buffer in model.buffers()]
    operations(model, (1, 28, 28))
    assert model.training
    assert all(torch.equal(a, b) for a, b in zip(before, model.buffers()))


def test_a_rotation_changes_the_scores_of_polar_and_rotated_networks_little():
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    ink = torch.exp(-((x - 18) ** 2 + (y - 11) ** 2) / 8)
    ink = (ink + torch.exp(-((x - 11) ** 2 + (y - 14) ** 2) / 12))[None, None]
    changes = {}
    for method in ("cnn", "polar", "c8"):
        model = make_model(Cell("final", "R", method).config()).eval()
        with torch.no_grad():
            scores, after = model(ink), model(rotated_and_scaled(ink, 90.0, 1.0))
        changes[method] = ((after - scores).norm() / scores.std()).item()
    assert changes["c8"] < 1e-3  # its group has quarter rotations
    assert changes["polar"] < 0.3 * changes["cnn"]


def test_augmentation_is_small_and_drawn_anew():
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    blob = torch.exp(-((x - 13.5) ** 2 + (y - 13.5) ** 2) / 8).expand(200, 1, 28, 28)
    moved = augment(blob, draw())
    mass = moved.sum(dim=(2, 3))
    at = torch.stack([(moved * x).sum(dim=(2, 3)), (moved * y).sum(dim=(2, 3))], dim=2)
    away = (at / mass[..., None] - 13.5).abs()
    assert 1.8 < away.max() < 2.01
    close(mass.max() / blob[0].sum(), torch.tensor(1.15**2), rtol=0.03, atol=0)
    assert torch.equal(moved, augment(blob, draw()))
    assert not torch.equal(moved, augment(blob, draw(1)))


def test_digits_are_rotated_and_scaled_about_their_middle():
    x = torch.rand(2, 1, 28, 28, generator=draw())
    close(rotated_and_scaled(x, 0.0, 1.0), x)
    close(rotated_and_scaled(x, -90.0, 1.0), x.rot90(1, (2, 3)), rtol=0, atol=1e-4)
    halved = rotated_and_scaled(x, 0.0, 0.5)
    assert not halved[..., :6].any() and halved[..., 8:20, 8:20].all()


def test_a_miniature_and_its_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    part = "--methods augmented polar --tasks R".split()
    assert call("successors", "--quick", *part) == 0
    assert capsys.readouterr().out.endswith("\n2 done, 0 missing\n")
    folder = Path("runs") / "quick-after-2015" / "results"
    cell = Cell("final", "R", "polar")
    result = read_results(folder, Cell)[cell]
    config = cell.config(quick=True)
    assert result["config"] == asdict(config)
    spent = result["operations"]["training"]
    assert spent == result["operations"]["a_picture"] * result["pictures"]
    assert spent == pytest.approx(1e9 * config.compute, rel=0.05)
    rotations = [point["angle_deg"] for point in result["unseen"]["rotations"]]
    assert rotations == list(ANGLES_DEG)
    assert [point["scale"] for point in result["unseen"]["scales"]] == list(SCALES)
    options = "--folder", str(folder), "--figures", "figures"
    assert call("report", "successors", *options) == 0
    assert "\n| CNN, augmented | " in capsys.readouterr().out
    drawn = {path.name for path in Path("figures").iterdir()}
    assert drawn == {"errors.png", "unseen.png"}  # none was longer


def result(error: float, **more: object) -> dict:
    return {
        "test_error": error,
        "parameters": 20_000,
        "multiplications": 1_040_000,
        "pictures": 50_000,
        "processor_seconds": 12.4,
        "data": {"test": {"digits": 1000}},
        "history": [{"train_error": error / 2}],
        **more,
    }


def test_the_tables_show_what_was_measured():
    turns = [
        {"angle_deg": a, "error": e} for a, e in ((90.0, 8.0), (0.0, 5.0), (-90.0, 6.0))
    ]
    unseen = {"rotations": turns, "scales": [{"scale": 0.5, "error": 40.0}]}
    found = {
        Cell("final", "R", "cnn"): result(5.8, unseen=unseen),
        Cell("final", "RTS", "cnn"): result(10.0),
        Cell("final", "RTS", "cnn", 1): result(12.0),
        Cell("rate-0.01", "R", "st"): result(7.0),
    }
    lines = error_table(found).replace("\u00a0", " ").splitlines()
    assert lines[2:] == ["| CNN | 5.8 (4.5–7.4) | 11.00 ± 1.41 (2) | – |"]
    costs = cost_table(found).splitlines()[2:]
    assert costs == ["| CNN | 20,000 | 1.0 | 12 | 50 | 50 | – |"]
    assert rate_table(found).splitlines()[2:] == ["| ST-CNN | – | 7.00 | – |"]
    assert curve(found, "cnn", "rotations") == (
        [-90.0, 0.0, 90.0],
        [6.0, 5.0, 8.0],
    )
    assert curve(found, "cnn", "scales") == ([0.5, 1.0], [40.0, 5.0])
    assert curve(found, "st", "scales") == ([], [])
    fig = draw_unseen(found)
    assert [len(ax.lines) for ax in fig.axes] == [1, 1]
    plt.close(fig)
    fig = draw_errors(found)
    assert [ax.get_title() for ax in fig.axes] == list(TASKS)
    own, new = (line.get_xdata() for line in fig.axes[1].lines)
    assert list(own) == [5.5] and list(new) == [10.0, 12.0]
    plt.close(fig)
    longer = {Cell("longer", "RTS", "cnn"): result(6.0) | {"pictures": 150_000}}
    fig = draw_longer(found | longer)
    line = fig.axes[1].lines[-1]
    assert [*line.get_xdata()] == [50_000, 150_000] and [*line.get_ydata()] == [11, 6]
    plt.close(fig)
    fig = draw_longer(found, against="seconds")  # at a rate that none was timed at
    assert not any(ax.lines for ax in fig.axes)
    assert {ax.get_xscale() for ax in fig.axes} == {"log"}  # as where there are runs
    plt.close(fig)
    assert {shown(m) for m in METHODS} >= {"CNN", "IC-STN"}


@pytest.mark.skipif(not COMMITTED.is_dir(), reason="no results yet")
def test_committed_results_are_of_these_methods_and_cost_the_same():
    found = read_results(COMMITTED, Cell)
    for cell, run in found.items():
        assert options_from(Config, run["config"], cell.name) == cell.config()
        assert run["data"]["source"] == "mnist"
        wanted = 1e9 * cell.config().compute
        assert math.isclose(run["operations"]["training"], wanted, rel_tol=0.02)
    for method in METHODS:
        trials = {
            PHASES[cell.phase]: run["test_error"]
            for cell, run in found.items()
            if (cell.task, cell.method) == ("R", method) and PHASES[cell.phase]
        }
        if set(trials) == {rate for rate in PHASES.values() if rate}:  # all were tried
            assert RATES[method] == min(trials, key=trials.__getitem__)
