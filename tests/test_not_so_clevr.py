"""Not-so-Clevr: every place once, three views of it that agree, and the two splits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from stn_tutorial.data.not_so_clevr import (
    CANVAS,
    SPLITS,
    SQUARE,
    Places,
    all_places,
    split_places,
)


def test_there_are_56_times_56_places_and_none_twice():
    centres = all_places().centres
    assert len(centres) == len(all_places()) == 56 * 56
    assert len({tuple(c) for c in centres.tolist()}) == 56 * 56
    assert centres.min() == 4 and centres.max() == 59
    assert centres[1].tolist() == [5, 4]  # row by row, as (x, y)


def test_a_square_is_white_around_its_centre_and_whole():
    places = all_places()
    squares = places.squares()
    assert squares.shape == (len(places), 1, CANVAS, CANVAS)
    assert set(squares.unique().tolist()) == {0.0, 1.0}
    assert (squares.sum(dim=(1, 2, 3)) == SQUARE**2).all()
    # The mean place of the white pixels is the centre.
    axis = torch.arange(CANVAS, dtype=torch.float32)
    x = (squares.sum(dim=2)[:, 0] * axis).sum(dim=1) / SQUARE**2
    y = (squares.sum(dim=3)[:, 0] * axis).sum(dim=1) / SQUARE**2
    torch.testing.assert_close(torch.stack([x, y], dim=1), places.centres.float())


def test_the_square_is_the_spread_out_one_hot_canvas():
    places = Places(all_places().centres[::97])
    spread = F.conv2d(places.one_hot(), torch.ones(1, 1, 9, 9), padding=4)
    assert torch.equal(spread, places.squares())


def test_a_class_is_the_pixel_of_the_centre():
    places = Places(all_places().centres[::50])
    assert torch.equal(places.one_hot().flatten(1).argmax(dim=1), places.classes())
    for (x, y), canvas in zip(places.centres.tolist(), places.one_hot(), strict=True):
        assert canvas[0, y, x] == 1 and canvas.sum() == 1


def test_points_are_pixel_centres_in_normalized_coordinates():
    points = Places(torch.tensor([[4, 59], [31, 32]])).points()
    expected = [[-1 + 9 / 64, -1 + 119 / 64], [-1 / 64, 1 / 64]]
    torch.testing.assert_close(points, torch.tensor(expected))


@pytest.mark.parametrize("kind", SPLITS)
def test_a_split_leaves_nothing_out_and_nothing_twice(kind):
    train, test = split_places(kind)
    both = torch.cat([train.centres, test.centres]).tolist()
    assert len(both) == 3136 and len({tuple(c) for c in both}) == 3136


def test_the_quadrant_is_the_lower_right_one():
    train, test = split_places("quadrant")
    assert len(test) == 28 * 28 and test.centres.min() == 32
    assert ((train.centres < 32).any(dim=1)).all()


def test_the_uniform_split_is_a_fifth_from_everywhere_and_depends_on_the_seed():
    _, test = split_places("uniform")
    assert len(test) == 3136 // 5
    for quarter in range(4):
        right, low = quarter % 2, quarter // 2
        here = ((test.centres >= 32) == torch.tensor([right, low]).bool()).all(dim=1)
        assert 0.2 < here.double().mean() < 0.3
    again, other = (split_places("uniform", seed=seed)[1] for seed in (0, 1))
    assert torch.equal(again.centres, test.centres)
    assert not torch.equal(other.centres, test.centres)


def test_an_unknown_split_is_named():
    with pytest.raises(ValueError, match="^kind must be one of .* got 'half'"):
        split_places("half")
