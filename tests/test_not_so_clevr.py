"""Not-so-Clevr: every location once, three views that agree, and the two splits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stn_tutorial.data.not_so_clevr import (
    CANVAS,
    SPLITS,
    SQUARE,
    Locations,
    all_locations,
    split_locations,
)


def test_there_are_56_times_56_locations_and_none_twice():
    centres = all_locations().centres
    assert len(centres) == len(all_locations()) == 56 * 56
    assert len({tuple(c) for c in centres.tolist()}) == 56 * 56
    assert centres.min() == 4 and centres.max() == 59
    assert centres[1].tolist() == [5, 4]  # row by row, as (x, y)


def test_a_square_is_white_around_its_centre_and_whole():
    locations = Locations(all_locations().centres[::5])
    squares = locations.squares()
    assert squares.shape == (len(locations), 1, CANVAS, CANVAS)
    assert ((squares == 0) | (squares == 1)).all()
    assert (squares.sum(dim=(1, 2, 3)) == SQUARE**2).all()
    # The mean location of the white pixels is the centre.
    axis = torch.arange(CANVAS, dtype=torch.float32)
    x = (squares.sum(dim=2)[:, 0] * axis).sum(dim=1) / SQUARE**2
    y = (squares.sum(dim=3)[:, 0] * axis).sum(dim=1) / SQUARE**2
    torch.testing.assert_close(torch.stack([x, y], dim=1), locations.centres.float())


def test_the_square_is_the_spread_out_one_hot_canvas():
    locations = Locations(all_locations().centres[::97])
    spread = F.conv2d(locations.one_hot(), torch.ones(1, 1, 9, 9), padding=4)
    assert torch.equal(spread, locations.squares())


def test_a_class_is_the_pixel_of_the_centre():
    locations = Locations(all_locations().centres[::50])
    assert torch.equal(
        locations.one_hot().flatten(1).argmax(dim=1), locations.classes()
    )
    for (x, y), canvas in zip(
        locations.centres.tolist(), locations.one_hot(), strict=True
    ):
        assert canvas[0, y, x] == 1 and canvas.sum() == 1


def test_points_are_pixel_centres_in_normalized_coordinates():
    points = Locations(torch.tensor([[4, 59], [31, 32]])).points()
    expected = [[-1 + 9 / 64, -1 + 119 / 64], [-1 / 64, 1 / 64]]
    torch.testing.assert_close(points, torch.tensor(expected))


@pytest.mark.parametrize("kind", SPLITS)
def test_a_split_leaves_nothing_out_and_nothing_twice(kind):
    train, test = split_locations(kind)
    both = torch.cat([train.centres, test.centres]).tolist()
    assert len(both) == 3136 and len({tuple(c) for c in both}) == 3136


def test_the_quadrant_is_the_lower_right_one():
    train, test = split_locations("quadrant")
    assert len(test) == 28 * 28 and test.centres.min() == 32
    assert ((train.centres < 32).any(dim=1)).all()


def test_the_uniform_split_is_a_fifth_from_everywhere_and_depends_on_the_seed():
    _, test = split_locations("uniform")
    assert len(test) == 3136 // 5
    for quarter in range(4):
        right, low = quarter % 2, quarter // 2
        here = ((test.centres >= 32) == torch.tensor([right, low]).bool()).all(dim=1)
        assert 0.2 < here.double().mean() < 0.3
    again, other = (split_locations("uniform", seed=seed)[1] for seed in (0, 1))
    assert torch.equal(again.centres, test.centres)
    assert not torch.equal(other.centres, test.centres)


def test_an_unknown_split_is_named():
    with pytest.raises(ValueError, match="^kind must be 'uniform' or .*, got 'half'"):
        split_locations("half")


@pytest.mark.parametrize("seed", [0.5, True, "1", None])
def test_a_seed_is_an_integer(seed):
    with pytest.raises(TypeError, match="^seed must be an integer, got "):
        split_locations("uniform", seed=seed)


def test_a_seed_may_be_numpys():
    (_, test), (_, same) = (
        split_locations("uniform", seed=s) for s in (3, np.int64(3))
    )
    assert torch.equal(test.centres, same.centres)


@pytest.mark.parametrize(
    ("centres", "error", "message"),
    [
        ([[4, 4]], TypeError, "must be a tensor, got list"),
        (np.array([[4, 4]]), TypeError, "must be a tensor, got numpy.ndarray"),
        (torch.tensor([[4.0, 4.0]]), TypeError, "must be integers, got torch.float32"),
        (torch.tensor([[True, True]]), TypeError, "must be integers, got torch.bool"),
        (torch.tensor([4, 4]), ValueError, r"must be \(N, 2\), got \(2,\)"),
        (torch.zeros(3, 3).long(), ValueError, r"must be \(N, 2\), got \(3, 3\)"),
        (torch.tensor([[4, 60]]), ValueError, "must be from 4 to 59, .* got 4 to 60"),
        (torch.tensor([[3, 9]]), ValueError, "must be from 4 to 59, .* got 3 to 9"),
    ],
)
def test_what_is_no_location_is_named(centres, error, message):
    with pytest.raises(error, match=f"^centres {message}"):
        Locations(centres)


def test_centres_may_be_small_integers():
    centres = all_locations().centres[::97]
    small = Locations(centres.to(torch.uint8))
    assert torch.equal(small.classes(), Locations(centres).classes())
    assert torch.equal(small.squares(), Locations(centres).squares())
    assert torch.equal(small.points(), Locations(centres).points())
