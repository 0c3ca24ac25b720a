"""CoordConv's tasks: what is asked, how it is judged, and what was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.optim.swa_utils import update_bn
from torchvision.ops import box_iou

from stn_tutorial.course.reports.coordconv import (
    detection_table,
    draw_learning,
    passes_to_solve,
    task_table,
)
from stn_tutorial.data.not_so_clevr import (
    CANVAS,
    SPLITS,
    Locations,
    all_locations,
    split_locations,
)
from stn_tutorial.experiments import scattered_digits
from stn_tutorial.experiments._options import options_from
from stn_tutorial.experiments.not_so_clevr import TASKS, Cell, cells, solve
from stn_tutorial.experiments.results import read_results, write_result
from stn_tutorial.experiments.training import Recipe, predict

pytestmark = pytest.mark.usefixtures("one_core")
RESULTS = Path(__file__).resolve().parent.parent / "results"


# ------------------------------------------------------------------------------- tasks


def right_answer(task: str) -> torch.Tensor:
    """What a network should say for every location."""
    locations = all_locations()
    return {
        "classification": locations.one_hot(),
        "regression": locations.points(),
        "rendering": locations.squares() * 20 - 10,
    }[task]


@pytest.mark.parametrize("task", TASKS)
def test_the_right_answer_solves_a_task_and_has_no_loss_to_speak_of(task):
    locations, answer = all_locations(), right_answer(task)
    measured = TASKS[task].measure(answer, locations)
    assert measured["solved"] == 1
    assert measured.get("iou", 1) == 1 and measured.get("px", 0) < 1e-3
    if task == "classification":
        answer = answer * 30
    assert TASKS[task].loss(answer, TASKS[task].target(locations)) < 1e-3


@pytest.mark.parametrize(("task", "px"), [("classification", 2.0), ("regression", 2.0)])
def test_an_error_of_two_pixels_is_measured_as_such(task, px):
    locations, answer = all_locations(), right_answer(task)
    if task == "regression":
        moved = answer + torch.tensor([2 * px / CANVAS, 0.0])
    else:
        moved = answer.roll(int(px), dims=-1)
    measured = TASKS[task].measure(moved, locations)
    assert measured["px"] == pytest.approx(px, abs=1e-3) and measured["solved"] == 0


def test_a_square_that_is_one_column_off_has_the_iou_of_its_area():
    locations, answer = all_locations(), right_answer("rendering")
    measured = TASKS["rendering"].measure(answer.roll(1, dims=-1), locations)
    assert measured["iou"] == pytest.approx(8 / 10) and measured["solved"] == 0


@pytest.mark.parametrize("task", TASKS)
def test_networks_lead_from_inputs_to_targets(task):
    few = Locations(all_locations().centres[::700])
    for name, how in TASKS[task].networks.items():
        network = how.make()
        answer = predict(network, TASKS[task].input(few))
        loss = TASKS[task].loss(answer, TASKS[task].target(few))
        assert loss.ndim == 0 and loss.isfinite(), name
        assert set(TASKS[task].measure(answer, few)) == {
            "solved",
            "iou" if task == "rendering" else "px",
        }


@pytest.mark.parametrize("task", TASKS)
def test_the_convolution_has_ten_times_the_parameters(task):
    counts = {
        name: sum(p.numel() for p in how.make().parameters())
        for name, how in TASKS[task].networks.items()
    }
    assert counts["convolution"] >= 10 * counts["coordconv"]


def test_every_task_is_run_on_both_splits_with_five_seeds():
    every = cells()
    networks = [
        network for task in TASKS.values() for network in task.networks.values()
    ]
    runs = sum(network.seeds or 5 for network in networks)
    assert len(every) == len(set(every)) == runs * len(SPLITS)
    assert len({cell.name for cell in every}) == len(every)


def test_a_run_is_repeated_to_the_bit_and_tells_its_story(tmp_path):
    cell = Cell("regression", "uniform", "convolution", 3)
    state = torch.random.get_rng_state()
    short = {"epochs": 2, "every": 10}
    (_, first), (network, second) = (solve(cell, **short) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not network.training
    for one, other in zip(first["history"], second["history"], strict=True):
        assert one["loss"] == other["loss"] and one["test"] == other["test"]
    assert second["history"][1]["loss"] < second["history"][0]["loss"]
    assert second["locations"] == {"train": 251, "test": 63}
    write_result(tmp_path, cell, second)
    assert set(read_results(tmp_path, Cell)) == {cell}


def test_batch_normalizations_are_tested_with_the_means_of_all_training_locations():
    cell = Cell("classification", "quadrant", "convolution")
    network, _ = solve(cell, every=16, epochs=1)
    used = {k: v.clone() for k, v in network.state_dict().items() if "running" in k}
    (train, _) = split_locations("quadrant")
    update_bn([Locations(train.centres[::16]).points()], network)
    assert len(used) == 10  # five layers
    near = {"rtol": 1e-4, "atol": 1e-4}
    for name, value in used.items():
        torch.testing.assert_close(network.state_dict()[name], value, **near)


def test_a_task_is_solved_when_it_stays_solved():
    def result(*solved: float) -> dict:
        history = [{"test": {"solved": part}} for part in solved]
        return {"history": history}

    assert passes_to_solve(result(0.5, 1.0, 0.9, 1.0, 1.0)) == 4
    assert passes_to_solve(result(1.0)) == 1
    assert passes_to_solve(result(1.0, 0.99)) is None


# --------------------------------------------------------------------------- detection


def test_iou_is_torchvisions():
    draw = torch.Generator().manual_seed(1)
    low = torch.rand(50, 2, 2, generator=draw)
    boxes = torch.cat([low, low + torch.rand(50, 2, 2, generator=draw)], dim=-1)
    found = scattered_digits.boxes_iou(boxes[:, 0], boxes[:, 1])
    torch.testing.assert_close(found, box_iou(boxes[:, 0], boxes[:, 1]).diagonal())
    same = scattered_digits.boxes_iou(boxes, boxes)
    torch.testing.assert_close(same, torch.ones(50, 2))


@pytest.mark.parametrize("kind", scattered_digits.BOXES)
def test_boxes_are_read_in_the_cells_of_the_digits_centres(kind):
    centre = torch.tensor([[[0.3, -0.6], [-0.9, 0.9], [0.0, 0.1], [0.99, -0.99]]])
    boxes = torch.cat([centre - 0.005, centre + 0.005], dim=-1)
    outputs = torch.zeros(1, 4, 8, 8)
    for x, y in centre[0].tolist():
        column, row = int((x + 1) * 4), int((y + 1) * 4)
        outputs[0, :, row, column] = torch.tensor([x, y, x, y])
    found = scattered_digits.boxes_at(outputs, boxes, kind)
    expected = centre.repeat(1, 1, 2)
    if kind == "cell":  # the middle of the cell is added
        expected = expected + (((centre + 1) * 4).floor() + 0.5).repeat(1, 1, 2) / 4 - 1
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("network", ["convolution", "coordconv"])
def test_box_networks_learn(network, tmp_path):
    cell = scattered_digits.Cell("cell", network, 1)
    _, late = scattered_digits.solve(cell, data="embedded", limit=200, epochs=8)
    first, *_, last = late["history"]
    assert last["loss"] < first["loss"] / 2 and last["iou"] > first["iou"]
    assert late["data"]["train"]["digits"] == 200 and late["iou"] == last["iou"]
    write_result(tmp_path, cell, late)
    assert set(read_results(tmp_path, scattered_digits.Cell)) == {cell}


# ----------------------------------------------------------------------------- reports


def made_up_tasks() -> dict[Cell, dict]:
    def result(solved: float, px: float) -> dict:
        parts = {"train": {"solved": 0.9, "px": 0.1}}
        entry = {"epoch": 1, "test": {"solved": solved, "px": px}, **parts}
        how = {"recipe": {"batch_size": 16}, "locations": {"train": 2352, "test": 784}}
        return {"parameters": 1234, "history": [entry], **how}

    return {
        Cell("regression", "quadrant", "coordconv", 0): result(1.0, 0.1),
        Cell("regression", "quadrant", "coordconv", 1): result(0.5, 0.3),
        Cell("regression", "quadrant", "convolution", 0): result(0.0, 13.0),
    }


def test_the_task_table_has_a_line_for_what_was_measured():
    lines = task_table(made_up_tasks(), "regression").splitlines()[2:]
    assert lines == [
        "| quadrant | coordconv | 90 | 75 (50 to 100) | 0.10 | 0.20 "
        "| 1 of 2, after 1 |",
        "| quadrant | convolution | 90 | 0 | 0.10 | 13.00 | 0 of 1 |",
    ]
    assert task_table(made_up_tasks(), "rendering").count("\n") == 2


def test_detection_has_a_line_for_each_kind_of_box():
    found = {
        scattered_digits.Cell("canvas", "coordconv", seed): {
            "parameters": 5,
            "iou": 0.8,
            "above_half": 0.9,
        }
        for seed in range(2)
    }
    assert detection_table(found).splitlines()[2:] == [
        "| canvas | coordconv | 5 | 0.800 ± 0.000 (2) | 90.0 ± 0.0 (2) |"
    ]


def test_the_figure_has_a_panel_for_each_split():
    axes = draw_learning(made_up_tasks()).axes
    assert len(axes) == 2
    drawn = {x for ax in axes for line in ax.lines for x in line.get_xdata()}
    assert drawn == {147}  # steps of 16 in a pass over 2,352 locations


# ---------------------------------------------------------------------------- results


def test_a_network_that_takes_long_has_fewer_seeds():
    def seeds_of(network: str) -> set[int]:
        return {c.seed for c in cells(seeds=range(3, -1, -1)) if c.network == network}

    assert seeds_of("longer") == {0} and seeds_of("coordconv") == {0, 1, 2, 3}


def test_the_committed_runs_are_there_and_whole():
    found = read_results(RESULTS / "coordconv", Cell)
    assert set(cells()) == set(found)
    for cell, result in found.items():
        how = TASKS[cell.task].networks[cell.network]
        recipe = options_from(Recipe, result["recipe"], cell.name)
        assert recipe == replace(how.recipe, seed=cell.seed), cell
        assert len(result["history"]) == recipe.epochs, cell
        assert sum(result["locations"].values()) == 56 * 56
        assert {"device", "versions", "finished", "parameters"} <= result.keys()
    boxes = read_results(RESULTS / "coordconv" / "detection", scattered_digits.Cell)
    assert set(scattered_digits.cells()) == set(boxes)
    assert all(result["data"]["source"] == "mnist" for result in boxes.values())


@pytest.mark.parametrize("split", SPLITS)
def test_coordconv_alone_names_every_pixel_and_within_a_minute(split):
    found = read_results(RESULTS / "coordconv", Cell)
    for seed in range(5):
        told, plain = (
            found[Cell("classification", split, network, seed)]
            for network in ("coordconv", "convolution")
        )
        assert told["seconds"] < 60
        assert passes_to_solve(told) is not None
        limit = 0.9 if split == "uniform" else 0.05
        assert plain["history"][-1]["test"]["solved"] < limit
        assert plain["parameters"] > 10 * told["parameters"]


@pytest.mark.parametrize("split", SPLITS)
def test_with_coordinates_the_regressor_is_nearer_on_every_seed(split):
    found = read_results(RESULTS / "coordconv", Cell)
    told, *others = (
        [
            found[Cell("regression", split, network, seed)]["history"][-1]["test"]
            for seed in range(5)
        ]
        for network in ("coordconv", "relu", "relu-started", "convolution", "pooled")
    )
    worst = max(entry["px"] for entry in told)
    assert worst < min(entry["px"] for each in others for entry in each)
    if split == "uniform":
        assert all(entry["solved"] == 1 for entry in told)


def test_a_convolution_says_boxes_relative_to_its_cells_and_no_others():
    found = read_results(RESULTS / "coordconv" / "detection", scattered_digits.Cell)
    for seed in {cell.seed for cell in found}:
        iou = {
            (cell.boxes, cell.network): result["iou"]
            for cell, result in found.items()
            if cell.seed == seed
        }
        assert iou["canvas", "coordconv"] > 2 * iou["canvas", "convolution"]
        assert iou["cell", "convolution"] > 2 * iou["canvas", "convolution"]
