"""Recorded runs: looked at within an epoch, and kept as they were measured."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stn_tutorial.data.not_so_clevr import Locations, split_locations
from stn_tutorial.experiments.failures import FAULTS, Failure, failures
from stn_tutorial.experiments.failures_at_scale import (
    SCHEDULES,
    FailureAtScale,
    failures_at_scale,
)
from stn_tutorial.experiments.films import MOMENTS, RUNS, Film, films, theta_at
from stn_tutorial.experiments.recording import at_steps, packed, rounded, unpack
from stn_tutorial.experiments.renderings import (
    Rendering,
    asked,
    decode,
    encode,
    renderings,
)
from stn_tutorial.experiments.results import read_results
from stn_tutorial.experiments.sharing import work
from stn_tutorial.experiments.teachers import KEPT, TEACHERS, Taught, teachers

pytestmark = pytest.mark.usefixtures("one_core")


def test_a_model_is_looked_at_before_a_step_and_goes_on_training():
    model, seen = nn.Dropout(), []
    at_steps(model, {1, 3}, lambda step, model: seen.append((step, model.training)))
    for _ in range(2):
        model(torch.zeros(1))
        model.eval()(torch.zeros(1))  # not a step
        model.train()(torch.zeros(1))
    assert seen == [(1, False), (3, False)] and model.training


def test_pictures_and_numbers_survive_the_file():
    images = torch.rand(3, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    again = unpack([packed(image) for image in images], 5)
    torch.testing.assert_close(again, images, rtol=0, atol=0.5 / 255)
    assert str(rounded(torch.tensor([-1e-9, 2.00049]), 3)) == "[0.0, 2.0]"


def test_a_film_in_miniature(tmp_path):
    cells = films()
    assert [cell.run for cell in cells] == list(RUNS)
    work(cells[1:2], tmp_path, tmp_path / "runs", quick=True, progress=False)
    ((cell, result),) = read_results(tmp_path, Film).items()
    assert cell == Film("random start")
    epochs = [each["epoch"] for each in result["film"]]
    assert epochs == sorted(epochs) and epochs[0] == 0 and epochs[-1] == 2
    assert len(result["digits"]["pictures"]) == 12
    # The last layer starts at small random numbers, and not at the identity.
    start = theta_at(result, 0)
    assert start.shape == (120, 6) and start.abs().max() < 0.9
    assert not torch.equal(theta_at(result, -1), start)


def test_a_films_moments_are_those_of_the_whole_run():
    steps = 94
    assert len({round(steps * moment) for moment in MOMENTS}) == len(MOMENTS)
    assert MOMENTS[-1] == Film("as in the chapter").config().recipe.epochs


def test_failures_in_miniature(tmp_path):
    assert {(cell.fault, cell.healthy) for cell in failures()} == {
        (fault, healthy) for fault in FAULTS for healthy in (False, True)
    }
    cells = [Failure("frame"), Failure("idle", healthy=True)]
    work(cells, tmp_path, tmp_path / "runs", quick=True, progress=False)
    found = read_results(tmp_path, Failure)
    framed, idle = (found[cell] for cell in cells)
    assert framed["fill"] > 0 and framed["size"] == 42
    assert idle["fill"] == 0 and idle["size"] == 28
    for result in (framed, idle):
        assert result["rows"][0]["theta"][0] == [1, 0, 0, 0, 1, 0]
        assert len(result["rows"]) == 2 and result["rows"][-1]["step"] == 8
        assert len(result["pictures"]) == 6


def test_a_failure_at_scale_in_miniature(tmp_path):
    cells = failures_at_scale()
    assert {cell.schedule for cell in cells} == set(SCHEDULES)
    twins = [vars(cell) | {"healthy": not cell.healthy} for cell in cells]
    assert all(FailureAtScale(**twin) in cells for twin in twins)
    cell = FailureAtScale("step", "one-cycle")
    work([cell], tmp_path, tmp_path / "runs", quick=True, progress=False)
    result = read_results(tmp_path, FailureAtScale)[cell]
    assert result["recipe"]["schedule"] == "one-cycle"
    steps = [row["step"] for row in result["rows"]]
    assert steps[0] == 0 and steps == sorted(steps) and steps[-1] == 6
    assert result["rows"][-1]["error"] == pytest.approx(result["test_error"])


def test_a_failure_on_all_of_mnist_has_a_known_schedule():
    with pytest.raises(ValueError, match="^schedule must be '"):
        FailureAtScale("step", "slow")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_twin_differs_in_one_thing(fault):
    ill, well = (vars(each) for each in FAULTS[fault])
    assert len([name for name in ill if ill[name] != well[name]]) == 1


def test_a_rendering_in_miniature(tmp_path):
    assert len(renderings()) == 4
    cell = Rendering("quadrant", "convolution")
    work([cell], tmp_path, tmp_path / "runs", quick=True, progress=False)
    result = read_results(tmp_path, Rendering)[cell]
    assert len(result["answers"]) == len(result["held_out"]) == len(asked())
    assert decode(result["answers"][0]).shape == (64, 64)
    centres = asked().centres[torch.tensor(result["held_out"])]
    assert torch.equal(centres, centres[(centres >= 32).all(dim=1)])
    assert len(centres) == (asked().centres >= 32).all(dim=1).sum()


def test_teachers_in_miniature(tmp_path):
    cells = teachers(seeds=[0])
    assert {cell.teacher for cell in cells[1:]} == set(TEACHERS)
    work(cells, tmp_path, tmp_path / "runs", quick=True, progress=False)
    found = read_results(tmp_path, Taught)
    assert set(found) == set(cells)
    for cell, result in found.items():
        assert len(result["off_deg"]) == 20 and len(result["params"]) == KEPT
        assert max(map(abs, result["off_deg"])) <= 180
        # Five steps from the identity lead nowhere far; the other start is far already.
        near = max(abs(row[0] - 1) for row in result["params"]) < 0.5
        assert near == (cell.start == "identity")


def test_what_is_held_out_of_the_uniform_split_is_known_of_each_place():
    hidden = {tuple(c) for c in split_locations("uniform")[1].centres.tolist()}
    share = sum(tuple(c) in hidden for c in asked().centres.tolist()) / len(asked())
    assert 0.1 < share < 0.3


def test_a_painted_square_survives_sixteen_levels():
    squares = Locations(torch.tensor([[4, 59], [32, 17]])).squares()[:, 0]
    for square in squares:
        assert torch.equal(decode(encode(square)), square)
    image = torch.rand(8, 64, generator=torch.Generator().manual_seed(0))
    again = decode(encode(image))
    torch.testing.assert_close(again, image, rtol=0, atol=0.5001 / 15)
    assert torch.equal(again >= 0.5, image > 0.5)  # white stays white


@pytest.mark.parametrize(
    ("runs", "message"),
    [("a3", "must fill rows of 64"), ("q4096", "letters from a"), ("", "letters")],
)
def test_what_is_no_picture_is_refused(runs, message):
    with pytest.raises(ValueError, match=message):
        decode(runs)


@pytest.mark.parametrize(
    "make",
    [
        *(
            lambda: Film("slow"),
            lambda: Failure("fate"),
            lambda: Rendering("half", "x"),
        ),
        *(lambda: Taught("fear"), lambda: Taught("labels", "late")),
    ],
)
def test_what_is_no_run_is_refused(make):
    with pytest.raises(ValueError, match="^(run|fault|split|teacher|start) must be '"):
        make()
