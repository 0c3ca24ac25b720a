"""MNIST addition: pairs of digits, transformers side by side, and who looks where."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from stn_tutorial import Affine, Projective, SpatialTransformer, ThinPlateSpline, warp
from stn_tutorial.course.reports.addition import (
    draw_looks,
    error_table,
    look_table,
)
from stn_tutorial.data.addition import fixed_pairs, make_pairs
from stn_tutorial.data.digits import load_digits
from stn_tutorial.experiments._options import options_from
from stn_tutorial.experiments.addition import (
    RESULT,
    ROWS,
    Cell,
    Config,
    Trial,
    cells,
    looks,
    make_model,
    nearest_affine,
    run,
    trials,
)
from stn_tutorial.experiments.models import (
    SideBySide,
    TransformedClassifier,
    build,
    count_parameters,
)
from stn_tutorial.experiments.results import read_files, read_results
from stn_tutorial.experiments.sharing import work
from stn_tutorial.experiments.training import Recipe
from stn_tutorial.localization import ConvLocalization, parameters_by_part

pytestmark = pytest.mark.usefixtures("one_core")
COMMITTED = Path(__file__).resolve().parent.parent / "results" / "addition"


@pytest.fixture(scope="module")
def digits():
    return load_digits("test", "embedded")


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


# ------------------------------------------------------------------------------- pairs


def test_each_channel_shows_its_digit_distorted_by_its_own_truth(digits):
    first, second = torch.arange(50), torch.arange(50, 100)
    draw = torch.Generator().manual_seed(1)
    pairs = make_pairs(digits, first, second, draw)
    for channel, chosen in enumerate((first, second)):
        back = Affine().inverse(pairs.truth["theta"][:, channel].flatten(1))
        upright = warp(pairs.images[:, channel : channel + 1], back, (28, 28))
        own = digits.images[chosen]
        blurred = (upright - own).abs().mean()
        foreign = (upright - own.roll(1, 0)).abs().mean()
        assert blurred < 0.35 * foreign
        assert torch.equal(pairs.digits[:, channel], digits.labels[chosen])
    assert torch.equal(pairs.labels, digits.labels[first] + digits.labels[second])


def test_the_two_digits_of_a_pair_are_distorted_independently(digits):
    chosen = torch.arange(300)
    draw = torch.Generator().manual_seed(2)
    truth = make_pairs(digits, chosen, chosen, draw).truth
    for name in ("angle", "scale"):
        one, other = truth[name].T.numpy()
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / math.sqrt(300)


def test_fixed_pairs_show_every_digit_once_in_each_channel(digits):
    few = digits.first(40)
    pairs = fixed_pairs(few)
    for channel in (0, 1):
        shown = pairs.digits[:, channel].sort().values
        assert torch.equal(shown, few.labels.sort().values)
    again = fixed_pairs(few)
    assert torch.equal(pairs.images, again.images)
    other = fixed_pairs(few, seed=1)
    assert not torch.equal(pairs.images, other.images)


def test_pairs_that_cannot_be_are_refused(digits):
    draw, few = torch.Generator(), torch.arange(3)
    with pytest.raises(ValueError, match=r"^first and second must be \(N,\)"):
        make_pairs(digits, few, torch.arange(2), draw)
    with pytest.raises(ValueError, match="^distortion must be"):
        make_pairs(digits, few, few, draw, distortion="shear")
    with pytest.raises(TypeError, match="^second must be a tensor"):
        make_pairs(digits, few, [1, 2, 3], draw)


# ------------------------------------------------------------------------ side by side


def test_what_each_head_returns_stands_behind_that_of_the_one_before():
    networks = [
        ConvLocalization((2, 42, 42), Affine(), perturbation=0.05) for _ in range(3)
    ]
    heads = [SpatialTransformer(network, out_size=(21, 20)) for network in networks]
    images = torch.rand(4, 2, 42, 42)
    both = SideBySide(heads)(images)
    assert both.shape == (4, 6, 21, 20)
    for k, head in enumerate(heads):
        torch.testing.assert_close(both[:, 2 * k : 2 * k + 2], head(images))
    parts = parameters_by_part(SideBySide(heads))
    assert not parts["rest"] and len(parts["localization"]) == 3 * 8


def test_heads_have_networks_of_their_own_and_start_at_the_identity():
    model = build("st-fcn", (2, 42, 42), heads=2, n_classes=19, budget=300_000)
    one, other = model.transformer.heads
    images = torch.rand(3, 2, 42, 42)
    torch.testing.assert_close(model.transformer(images), images.repeat(1, 2, 1, 1))
    assert not torch.equal(one.localization[1].weight, other.localization[1].weight)
    assert model(images).shape == (3, 19)


@pytest.mark.parametrize("heads", [0, -1, 1.5, True])
def test_a_number_of_heads_that_is_none_is_refused(heads):
    with pytest.raises(ValueError, match="^heads must be an integer >= 1"):
        build("st-fcn", (1, 28, 28), heads=heads)


def test_networks_without_a_transformer_take_no_heads():
    with pytest.raises(TypeError, match="^cnn has no transformer to give heads to"):
        build("cnn", (1, 28, 28), heads=2)
    with pytest.raises(ValueError, match="^heads must be 0 for cnn, got 2"):
        Config(model="cnn")
    with pytest.raises(ValueError, match="^heads must be at least 1 for st-fcn, got 0"):
        Config(heads=0)


# ------------------------------------------------------------------------- who looks


def test_the_nearest_affine_map_is_that_of_least_squares():
    draw = torch.Generator().manual_seed(3)
    params = Projective().identity() + 0.1 * torch.randn(2, 8, generator=draw)
    found = nearest_affine(Projective(), params)
    grid = Projective().grid(params, (14, 14)).flatten(1, 2).numpy()
    steps = (np.arange(14) * 2 + 1) / 14 - 1
    x, y = (each.ravel() for each in np.meshgrid(steps, steps))
    base = np.stack([x, y, np.ones_like(x)], axis=1)
    for mine, points in zip(found, grid):
        expected = np.linalg.lstsq(base, points, rcond=None)[0].T
        assert np.allclose(mine.view(2, 3), expected, atol=1e-5)


def test_of_an_affine_map_the_nearest_is_itself():
    theta = Affine().identity() + 0.3 * torch.randn(5, 6)
    torch.testing.assert_close(nearest_affine(Affine(), theta), theta)
    still = ThinPlateSpline().identity()[None]
    expected = Affine().identity()[None]
    torch.testing.assert_close(nearest_affine(ThinPlateSpline(), still), expected)


class Oracle(nn.Module):
    """A localization network that undoes a channel's distortion, as nobody could."""

    def __init__(self, pairs, channel: int) -> None:
        super().__init__()
        theta = pairs.truth["theta"][:, channel].flatten(1)
        self.answers = Affine().inverse(theta)

    def forward(self, images):
        assert len(images) == len(self.answers)
        return self.answers


def test_a_transformer_that_straightens_one_channel_unsettles_the_other(digits):
    pairs = fixed_pairs(digits, distortion="R")
    oracles = [Oracle(pairs, channel) for channel in (0, 1)]
    heads = SideBySide([SpatialTransformer(oracle, Affine()) for oracle in oracles])
    seen = looks(TransformedClassifier(heads, nn.Identity()), pairs)
    own = [channel["angle_deg"] for channel in seen["as_they_come"]]
    for k in (0, 1):
        left = [channel["angle_deg"] for channel in seen["passed_on"][k]]
        assert left[k] < 0.1
        # Variances of independent angles add up.
        assert left[1 - k] == pytest.approx(math.hypot(*own), rel=0.15)


# ------------------------------------------------------------------------------- runs


@pytest.mark.parametrize("kind", ["FCN", "CNN"])
def test_all_networks_of_a_kind_have_as_many_parameters(kind):
    rows = [row for row in ROWS if kind in row]
    counts = [count_parameters(make_model(Cell("long", row).config())) for row in rows]
    assert max(counts) < 1.025 * min(counts)


def test_cells_differ_in_their_networks_alone():
    every = cells(seeds=range(2))
    assert len({cell.name for cell in every}) == len(every) == 4 * len(ROWS)
    config = Cell("long", "2ST-FCN Aff", 7).config()
    assert config.recipe.seed == 7 and config.validation == 0 and not config.limit
    assert Trial("2ST-FCN Aff", 0.01, 0.3).config().validation == 10_000
    with pytest.raises(ValueError, match="^row must be"):
        Cell("short", "3ST-FCN Aff")
    moved = {row for row in ROWS if Cell("long", row).config().distortion == "RTS"}
    assert moved == {row for row in ROWS if "CNN" in row}


def test_trials_are_of_all_rates_and_networks():
    tried = trials(["BN-CNN", "2ST-FCN TPS"], [0.1, 0.2])
    assert [(t.row, t.lr) for t in tried][:3] == [
        ("BN-CNN", 0.1),
        ("2ST-FCN TPS", 0.1),
        ("BN-CNN", 0.2),
    ]
    with pytest.raises(ValueError, match="^lr must be"):
        trials(["BN-CNN"], [0.0])


def test_places_are_reported_of_digits_that_were_moved(tmp_path):
    few = [Cell("short", "ST-BN-CNN Aff"), Cell("short", "ST-BN-FCN Aff")]
    work(few, tmp_path, tmp_path / "runs", quick=True, progress=False)
    found = read_results(tmp_path, Cell)
    table = look_table(found)
    assert "(as they come, R)" in table and "(as they come, RTS)" in table
    angle, place = draw_looks(found).axes
    came, least, other, *marks = (line.get_xdata() for line in place.get_lines())
    assert (came[0], least[0] ** 2, other[0] ** 2) == pytest.approx((100, 5e3, 2e4))
    still, moved = marks
    assert np.isnan(still).tolist() == np.isnan(moved).tolist() == [True, False]
    assert not np.isnan(angle.get_lines()[3].get_xdata()).any()


def test_what_is_measured_is_written_read_and_reported(tmp_path):
    few = [
        Cell("short", "FCN"),
        Cell("short", "ST-FCN Aff", 1),
        Cell("long", "2ST-FCN TPS"),
    ]
    work(few, tmp_path, tmp_path / "runs", quick=True, progress=False)
    found = read_results(tmp_path, Cell)
    assert set(found) == set(few)
    assert "looks" not in found[few[0]]
    assert len(found[few[2]]["looks"]["passed_on"]) == 2
    table = error_table(found)
    assert "\n| 2×ST-FCN TPS | " in table and table.count("\n") == 5
    assert look_table(found).count("\n") == 6
    assert len(draw_looks(found).axes[0].get_yticklabels()) == 3


def test_copies_and_new_distortions_are_both_learned_from():
    for copies in (0, 2):
        recipe = Recipe(epochs=2, batch_size=32)
        config = Config(
            data="embedded", limit=64, copies=copies, distortion="R", recipe=recipe
        )
        losses = [e["loss"] for e in run(config, progress=False).history]
        assert losses[-1] < losses[0]


def test_a_run_repeats_to_the_bit():
    recipe = Recipe(epochs=1, batch_size=32)
    config = Config(data="embedded", limit=64, recipe=recipe)
    first, second = (run(config, progress=False) for _ in range(2))
    assert first.history[0]["loss"] == second.history[0]["loss"]


# ---------------------------------------------------------------------------- results


def test_the_committed_runs_are_those_of_their_cells():
    found = read_results(COMMITTED, Cell)
    rows = "BN-FCN", "ST-BN-FCN Aff", "2ST-BN-FCN Aff"
    assert {*cells(rows=rows)} <= set(found)
    for cell, result in found.items():
        assert options_from(Config, result["config"], cell.name) == cell.config()
        assert result["test_error"] == result["history"][-1]["test_error"]
        assert result["data"]["source"] == "mnist"
        assert result["data"]["test"] | {"sha256": ""} == {
            "split": "test",
            "digits": 10_000,
            "sha256": "",
        }
        wrong = len(result["misclassified"])
        assert wrong == pytest.approx(100 * result["test_error"], abs=1)


def test_the_rates_are_the_best_on_held_out_digits():
    tried = read_files(COMMITTED / "validation", {"cell": Trial, **RESULT}).values()
    assert all(trial["config"]["validation"] == 10_000 for trial in tried)
    before = read_files(COMMITTED / "validation" / "before", RESULT).values()
    assert all(run["config"]["validation"] == 10_000 for run in before)
    errors = defaultdict(dict)
    for trial in tried:
        rates = trial["config"]["recipe"]
        key = rates["lr"], rates["localization_lr_ratio"]
        errors[trial["cell"]["row"]][key] = trial["test_error"]
    assert {"2ST-BN-FCN Aff", "BN-CNN", "ST-BN-CNN Aff", "2ST-BN-CNN Aff"} == {*errors}
    for row, each in errors.items():
        recipe = Cell("long", row).config().recipe
        assert min(each, key=each.get) == (recipe.lr, recipe.localization_lr_ratio)
