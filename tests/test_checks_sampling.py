"""The checks of `sampling` accept what is right and reject what readers get wrong."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from stn_tutorial import base_grid, sample
from stn_tutorial.course.checks import Wrong
from stn_tutorial.course.checks import sampling as checks

EDGE = {
    "zeros": 3.0,
    "border": 6.0,
    "reflection": 6.0,
    "reflection, align_corners=True": 4.0,
}


def read(image, points):
    """The double sum of the paper, with tents, for all points at once."""
    height, width = image.shape
    x = torch.relu(1 - (points[..., :1] - torch.arange(width)).abs())
    y = torch.relu(1 - (points[..., 1:] - torch.arange(height)).abs())
    return torch.einsum("...h,hw,...w->...", y, image, x)


def read_with_fractions_exchanged(image, points):
    left_top = points.floor()
    fractions = (points - left_top).flip(-1)
    return read(image, left_top + fractions)


def inside(image, points):
    """Border padding: points are moved to the outermost centres."""
    height, width = image.shape
    last = torch.tensor([width - 1.0, height - 1.0])
    return points.clamp(torch.zeros(2), last)


def enlarge(image, size, align_corners, padding="border", grid_size=None):
    grid = base_grid(grid_size or size, align_corners=align_corners)
    grid = grid.expand(len(image), *grid.shape)
    return sample(image, grid, padding=padding, align_corners=align_corners)


RIGHT = [
    (checks.at_the_right_edge, EDGE),
    (checks.contrast_after_shift, lambda shift: abs(1 - 2 * (shift % 1))),
    (checks.contrast_after_shift, lambda shift: torch.tensor(abs(1 - 2 * (shift % 1)))),
    (checks.repaired_sampler, read),
    (
        checks.upsampled,
        lambda image, size, align_corners: F.interpolate(
            image, size, mode="bilinear", align_corners=align_corners
        ),
    ),
    (checks.upsampled, enlarge),
    (checks.free_weights, 1),
    (checks.where_zeros_darken, "along the edges"),
]
WRONG = [
    (checks.at_the_right_edge, EDGE | {"zeros": 0.0}),
    (checks.at_the_right_edge, EDGE | {"border": 3.0}),
    (checks.at_the_right_edge, EDGE | {"reflection, align_corners=True": 6.0}),
    (checks.at_the_right_edge, {"zeros": 3.0}),
    (checks.at_the_right_edge, EDGE | {"border": "six"}),
    (checks.at_the_right_edge, EDGE | {"border": float("nan")}),
    (checks.contrast_after_shift, lambda shift: abs(1 - 2 * shift)),
    (checks.contrast_after_shift, lambda shift: 1 - shift % 1),
    (checks.contrast_after_shift, lambda shift: 1 - 2 * (shift % 1)),
    (checks.contrast_after_shift, lambda shift: abs(math.cos(math.pi * shift))),
    (checks.repaired_sampler, read_with_fractions_exchanged),
    (checks.repaired_sampler, lambda image, p: read(image, p.round())),
    (checks.repaired_sampler, lambda image, p: read(image, p.flip(-1))),
    (checks.repaired_sampler, lambda image, p: read(image, inside(image, p))),
    (checks.upsampled, lambda i, s, a: enlarge(i, s, a, padding="zeros")),
    (checks.upsampled, lambda i, s, a: enlarge(i, s, not a)),
    (checks.upsampled, lambda i, s, a: enlarge(i, s, a, grid_size=s[::-1])),
    (checks.upsampled, lambda i, s, a: sample(i, base_grid(s)[None])),
    (checks.free_weights, 0),
    (checks.free_weights, 2),
    (checks.free_weights, "one"),
    (checks.where_zeros_darken, "nowhere"),
    (checks.where_zeros_darken, "everywhere"),
    (checks.where_zeros_darken, "black"),
]
UNSOLVED = [
    (checks.at_the_right_edge, dict.fromkeys(EDGE, ...)),
    (checks.at_the_right_edge, EDGE | {"reflection": None}),
    (checks.free_weights, ...),
    (checks.where_zeros_darken, ...),
]
UNSOLVED += [
    (check, lambda *arguments, given=given: given)
    for given in (None, ...)
    for check in (
        checks.contrast_after_shift,
        checks.repaired_sampler,
        checks.upsampled,
    )
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_right_answer_is_accepted(check, answer, capsys):
    check(answer)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(("check", "answer"), WRONG)
def test_wrong_answer_is_rejected_with_a_reason(check, answer):
    with pytest.raises(Wrong, match=r"\w"):
        check(answer)


@pytest.mark.parametrize(("check", "answer"), UNSOLVED)
def test_stub_is_told_that_it_is_not_solved_yet(check, answer, capsys):
    check(answer)
    assert capsys.readouterr().out.startswith("Not ")
