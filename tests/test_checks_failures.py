"""The checks of `failures` accept what is right and reject what readers get wrong."""

from __future__ import annotations

import pytest
import torch.nn.functional as F
from answers import Answers

from stn_tutorial.course.checks import Wrong
from stn_tutorial.course.checks import failures as checks


def right_penalty(grid):
    """Past either edge, with PyTorch's clamp: what a point loses by it."""
    return (grid - grid.clamp(-1, 1)).abs().sum(dim=-1).mean(dim=(1, 2))


def right_pooling(image, theta, size, n):
    """With PyTorch alone."""
    shape = (len(image), 1, n * size, n * size)
    grid = F.affine_grid(theta.view(-1, 2, 3), shape, align_corners=False)
    return F.avg_pool2d(F.grid_sample(image, grid, align_corners=False), n)


def pooled_first(image, theta, size, n):
    grid = F.affine_grid(theta.view(-1, 2, 3), (len(image), 1, size, size), False)
    return F.grid_sample(F.avg_pool2d(image, n), grid, align_corners=False)


RIGHT = [
    (checks.penalty_outside, right_penalty),
    (checks.averaged_samples, right_pooling),
]
WRONG = [
    (checks.penalty_outside, lambda grid: grid.abs().sum(dim=-1).mean(dim=(1, 2))),
    (checks.penalty_outside, lambda g: (g - 1).relu().sum(dim=-1).mean(dim=(1, 2))),
    (checks.penalty_outside, lambda g: (g.abs() - 1).relu().mean(dim=(1, 2, 3))),
    (checks.penalty_outside, lambda g: (g.abs() - 1).relu().sum(dim=-1).mean()),
    (checks.penalty_outside, lambda g: (g.abs() > 1).float().sum(-1).mean((1, 2))),
    (checks.penalty_outside, lambda grid: right_penalty(grid.detach())),
    (checks.averaged_samples, pooled_first),
    (checks.averaged_samples, lambda *case: right_pooling(*case[:3], 1)),
    (checks.averaged_samples, lambda i, t, size, n: right_pooling(i, t, n * size, 1)),
]
CHOICES = [
    (checks.clipped_adam, "nearly the same"),
    (checks.fill_of_a_negative, "1"),
    (checks.conventions_swapped, "it grows"),
    (checks.pair_that_commutes, "a rotation and a zoom about the same corner"),
]


class TestAnswers(Answers):
    right, wrong, choices = RIGHT, WRONG, CHOICES


def test_a_fill_may_be_answered_as_a_number(capsys):
    checks.fill_of_a_negative(1)
    assert capsys.readouterr().out.startswith("Correct")
    with pytest.raises(Wrong):
        checks.fill_of_a_negative(0)


def test_a_fill_may_be_answered_as_a_float(capsys):
    checks.fill_of_a_negative(1.0)
    assert capsys.readouterr().out.startswith("Correct")
