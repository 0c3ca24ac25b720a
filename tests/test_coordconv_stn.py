"""CoordConv in spatial transformers: fair pairs, true poses, honest intervals."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scipy.stats import ttest_rel

from stn_tutorial import Affine, CoordConv2d
from stn_tutorial.course.reports.coordconv_stn import effect
from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.distortions import fixed_test_set
from stn_tutorial.experiments._options import options_from
from stn_tutorial.experiments.cells import with_weights
from stn_tutorial.experiments.coordconv_stn import (
    ARRANGEMENTS,
    BUDGET,
    COLUMNS,
    RECIPE,
    TOLD,
    Cell,
    Difference,
    cells,
    error_after,
    paired,
    pose_spread,
)
from stn_tutorial.experiments.distorted_digits import (
    RESULT,
    Config,
    evaluate,
    make_model,
)
from stn_tutorial.experiments.models import count_parameters
from stn_tutorial.experiments.results import read_files, read_results
from stn_tutorial.experiments.sharing import work

pytestmark = pytest.mark.usefixtures("one_core")
COMMITTED = Path(__file__).resolve().parent.parent / "results" / "coordconv_stn"


def layers_with_coordinates(module) -> list[CoordConv2d]:
    return [layer for layer in module.modules() if isinstance(layer, CoordConv2d)]


# ------------------------------------------------------------------------------- pairs


def test_every_arrangement_is_run_on_every_distortion_with_five_seeds():
    every = cells()
    assert len(every) == len(set(every)) == len(ARRANGEMENTS) * len(COLUMNS) * 5
    assert len({cell.name for cell in every}) == len(every)
    assert set(COLUMNS) == {"none", "R", "RTS", "P", "E", "clutter", "crop"}


@pytest.mark.parametrize("column", COLUMNS)
def test_all_arrangements_have_as_many_parameters(column):
    counts = {
        name: count_parameters(make_model(Cell(column, name).config()))
        for name in ARRANGEMENTS
    }
    assert counts.pop("zero") == counts["plain"] + TOLD
    assert max(counts.values()) < 1.025 * min(counts.values())


@pytest.mark.parametrize("column", COLUMNS)
def test_coordinates_of_weight_zero_start_as_none(column):
    plain, zero = (
        make_model(Cell(column, name).config()) for name in ("plain", "zero")
    )
    (layer,) = layers_with_coordinates(zero)
    assert (layer.weight[:, 1:] == 0).all()
    kept = zero.state_dict()
    first = "transformer.localization.0.weight"
    kept[first] = kept[first][:, :1]
    for name, weights in plain.state_dict().items():
        assert torch.equal(kept[name], weights), name


@pytest.mark.parametrize("column", COLUMNS)
def test_arrangements_differ_in_coordinates_and_in_nothing_else(column):
    configs = [Cell(column, name, 3).config() for name in ARRANGEMENTS]
    assert len({(c.model, c.coordinates) for c in configs}) == len(ARRANGEMENTS)
    alike = {"model": "st-modern", "coordinates": "none"}
    assert len({replace(c, **alike, budget=BUDGET) for c in configs}) == 1
    assert configs[0].recipe.seed == 3 and configs[0].validation == 0


@pytest.mark.parametrize(
    ("name", "localization", "classifier", "radius"),
    [
        ("plain", 0, 0, False),
        ("first", 1, 0, False),
        ("everywhere", 3, 0, False),
        ("radius", 3, 0, True),
        ("both", 1, 1, False),
        ("pooled", 0, 0, False),
        ("pooled-first", 1, 0, False),
    ],
)
def test_coordinates_are_where_an_arrangement_says(
    name, localization, classifier, radius
):
    model = make_model(Cell("R", name).config())
    told = layers_with_coordinates(model.transformer)
    assert len(told) == localization
    assert len(layers_with_coordinates(model.classifier)) == classifier
    assert all(layer.radius == radius for layer in told)
    # They are as good as new: no weight of a coordinate begins at zero.
    assert all((layer.weight != 0).all() for layer in told)


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_every_arrangement_starts_at_the_identity(name):
    model = make_model(Cell("E", name).config()).eval()
    images = load_digits("test", "embedded").images[:4]
    identity = Affine().identity().expand(4, -1)
    torch.testing.assert_close(model.transformer.params(images), identity)


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_a_crop_starts_in_the_middle_and_can_only_move(name):
    model = make_model(Cell("crop", name).config())
    images = torch.rand(4, 1, 60, 60)
    torch.testing.assert_close(model.transformer(images), images[..., 15:45, 15:45])
    model.transformer(images).square().sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.001).step()
    params = model.transformer.params(images)
    assert (params != 0).all() and params.shape == (4, 2)  # x and y, and no scale
    assert len(layers_with_coordinates(model.transformer)) == len(
        layers_with_coordinates(make_model(Cell("clutter", name).config()).transformer)
    )


def test_a_pooled_localization_network_cannot_locate_but_with_coordinates_can():
    spot = torch.zeros(2, 1, 64, 64)
    spot[0, 0, 20:25, 20:25] = spot[1, 0, 36:41, 28:33] = 1  # a move by whole strides
    for name, differ in (("pooled", False), ("pooled-first", True)):
        network = make_model(Cell("R", name).config()).transformer.localization
        features = torch.nn.Sequential(*list(network)[:-1]).eval()
        first, second = features(spot)
        assert torch.allclose(first, second, atol=1e-5) != differ


# ------------------------------------------------------------------------------- poses


def poses_of(column: str, count: int = 300) -> tuple:
    digits = load_digits("test", "embedded").first(count)
    truth = fixed_test_set(digits.images, column).truth
    return truth, digits.labels


@pytest.mark.parametrize("column", ["R", "RTS", "clutter"])
def test_a_transformer_that_undoes_every_distortion_leaves_no_spread(column):
    truth, labels = poses_of(column)
    perfect = Affine().inverse(truth["theta"].flatten(1))
    assert max(pose_spread(perfect, truth["theta"], labels).values()) < 1e-2


def test_a_pose_of_its_own_for_each_class_is_no_spread():
    truth, labels = poses_of("RTS")
    perfect = Affine().inverse(truth["theta"].flatten(1))
    turn = labels * 0.3
    zero = torch.zeros_like(turn)
    own = [turn.cos(), -turn.sin(), zero + 0.2, turn.sin(), turn.cos(), zero]
    shown = Affine().compose(perfect, torch.stack(own, dim=1))
    assert max(pose_spread(shown, truth["theta"], labels).values()) < 1e-2


def test_a_tilted_pose_at_random_places_is_a_spread_of_places_alone():
    """The order matters: a shift in the window is not one in the picture."""
    truth, labels = poses_of("RTS")
    perfect = Affine().inverse(truth["theta"].flatten(1))
    zoom = Affine().identity().clone() * torch.tensor([0.5, 0, 0, 0, 0.5, 0])
    place = 0.3 * torch.randn(
        len(labels), 2, generator=torch.Generator().manual_seed(0)
    )
    shown = zoom.repeat(len(labels), 1)
    shown[:, 2::3] = place
    spread = pose_spread(
        Affine().compose(perfect, shown), truth["theta"], torch.zeros_like(labels)
    )
    expected = (14 * place).sub((14 * place).mean(dim=0)).square().mean().sqrt()
    assert spread["shift_px"] == pytest.approx(expected.item(), rel=1e-3)
    assert spread["angle_deg"] < 1e-2 and spread["scale_percent"] < 1e-2


def test_a_transformer_that_does_nothing_leaves_the_spread_of_the_distortion():
    truth, labels = poses_of("R")
    still = Affine().identity().expand(len(labels), -1)
    spread = pose_spread(still, truth["theta"], labels)
    uniform = 180 / math.sqrt(12)  # of a turn within ±90°
    assert spread["angle_deg"] == pytest.approx(uniform, rel=0.1)
    assert spread["scale_percent"] < 1e-2 and spread["shift_px"] < 1e-3
    truth, labels = poses_of("clutter")
    spread = pose_spread(still, truth["theta"], labels)
    assert spread["shift_px"] == pytest.approx(32 / math.sqrt(12), rel=0.1)


# ------------------------------------------------------------------------- differences


def test_the_interval_is_that_of_a_paired_t_test():
    one, other = [1.9, 2.2, 1.7, 2.5, 2.0], [2.4, 2.3, 2.1, 2.6, 2.5]
    found = {}
    for seed in range(5):
        for name, errors in (("first", one), ("plain", other)):
            history = [{"test_error": 9.0}, {"test_error": errors[seed]}]
            run = {"history": history, "test_error": errors[seed]}
            found[Cell("R", name, seed)] = run
    change = paired(found, "R", "first")
    interval = ttest_rel(one, other).confidence_interval()
    assert change.mean - change.half_width == pytest.approx(interval.low)
    assert change.mean + change.half_width == pytest.approx(interval.high)
    assert change.excludes_zero and effect(change) == "helps"
    assert effect(paired(found, "R", "plain", against="first")) == "hurts"
    assert paired(found, "R", "first", number=error_after(1)).each == (0.0,) * 5


def test_any_number_of_a_result_can_be_compared():
    found = {
        Cell("RTS", name, seed): {"poses": {"passed_on": {"shift_px": 2.0 * k + seed}}}
        for k, name in enumerate(("plain", "first"))
        for seed in range(3)
    }
    shift = paired(
        found, "RTS", "first", number=lambda run: run["poses"]["passed_on"]["shift_px"]
    )
    assert shift.each == (2.0, 2.0, 2.0)


def test_only_seeds_that_both_have_are_compared():
    run = {"test_error": 1.0}
    found = {Cell("R", "plain", seed): run for seed in (0, 1)}
    with pytest.raises(ValueError, match="^found must hold first and plain on R"):
        paired(found, "R", "first")
    found[Cell("R", "first", 1)] = run
    change = paired(found, "R", "first")
    assert len(change.each) == 1
    assert change.half_width == math.inf and effect(change) == "undecided"


@pytest.mark.parametrize("epoch", [0, -1, 3])
def test_an_epoch_that_was_not_run_is_refused(epoch):
    history = [{"test_error": 1.0}] * 2
    found = {Cell("R", name): {"history": history} for name in ("plain", "first")}
    with pytest.raises(ValueError, match=f"^epoch must be from 1 to 2, got {epoch}"):
        paired(found, "R", "first", number=error_after(epoch))


def test_an_interval_that_holds_zero_is_undecided():
    assert effect(Difference((0.1, -0.1, 0.2))) == "undecided"


# ------------------------------------------------------------------------------- work


def test_a_run_keeps_its_poses_and_not_its_misclassified_digits(tmp_path):
    few = [Cell("RTS", "radius"), Cell("E", "pooled-first", 1), Cell("crop", "first")]
    work(few, tmp_path, tmp_path / "runs", quick=True, progress=False)
    found = read_results(tmp_path, Cell)
    assert set(found) == set(few)
    assert all("misclassified" not in result for result in found.values())
    assert set(found[few[0]]["poses"]) == {"as_they_come", "passed_on"}
    assert found[few[1]]["poses"] == {}
    left = found[few[2]]["poses"]["passed_on"]
    assert left["angle_deg"] < 1e-3 and left["scale_percent"] < 1e-3


# ---------------------------------------------------------------------------- results


def test_every_main_arrangement_was_run_on_every_distortion_with_five_seeds():
    found = read_results(COMMITTED, Cell)
    main = cells(arrangements=["plain", "first", "everywhere", "radius", "zero"])
    assert set(main) <= set(found)
    for cell, result in found.items():
        # What an option added since is by default, these runs had.
        assert options_from(Config, result["config"], cell.name) == cell.config()
        assert result["test_error"] == result["history"][-1]["test_error"]
        assert result["data"]["source"] == "mnist"
        assert result["data"]["test"]["split"] == "test"


def test_the_earlier_runs_are_of_the_same_configurations():
    before = read_results(COMMITTED / "before", Cell)
    found = read_results(COMMITTED, Cell)
    assert set(found) >= set(before)
    assert {cell for cell in found if cell.arrangement == "zero"}.isdisjoint(before)
    assert set(before) >= set(cells(arrangements=["plain", "first", "radius"]))
    for cell, result in before.items():
        assert options_from(Config, result["config"], cell.name) == cell.config()
        assert result["history"] != found[cell]["history"]  # not the same files twice


@pytest.mark.parametrize("name", ["plain", "pooled", "pooled-first"])
def test_the_weights_that_are_drawn_are_of_the_runs_that_are_kept(name, real_mnist):
    cell = Cell("crop", name)
    model = with_weights(make_model(cell.config()), cell, COMMITTED / "weights")
    kept = read_results(COMMITTED, Cell)[cell]["test_error"]
    # In half precision, and in another order of sums, a few digits may differ.
    assert evaluate(cell.config(), model) == pytest.approx(kept, abs=0.1)


def test_the_control_finds_its_digit_with_coordinates_and_not_without():
    found = read_results(COMMITTED, Cell)
    assert set(cells(columns=["crop"])) <= set(found)
    for seed in range(5):
        blind, told, plain = (
            found[Cell("crop", name, seed)]
            for name in ("pooled", "pooled-first", "plain")
        )
        assert told["test_error"] < blind["test_error"] / 2
        left = [r["poses"]["passed_on"]["shift_px"] for r in (plain, told, blind)]
        assert left[0] < left[1] < 0.7 * left[2]


def test_the_learning_rates_are_those_of_held_out_digits():
    tried = read_files(COMMITTED / "validation", RESULT).values()
    assert all(run["config"]["validation"] for run in tried)
    errors: dict[tuple[float, float], list[float]] = {}
    for run in tried:
        recipe = run["config"]["recipe"]
        rates = recipe["lr"], recipe["localization_lr_ratio"]
        errors.setdefault(rates, []).append(run["test_error"])
    chosen = RECIPE.lr, RECIPE.localization_lr_ratio
    means = {rates: sum(each) / len(each) for rates, each in errors.items()}
    assert all(len(each) == 2 for each in errors.values())  # with and without
    noise = 100 * math.sqrt(0.02 * 0.98 / 10_000)  # sd of an error of 2%
    assert means[chosen] < min(means.values()) + noise
    for position in (0, 1):
        values = [rates[position] for rates in errors]
        assert min(values) < chosen[position] < max(values)
