"""Checks of the chapter on what came after: looks, areas, tents, rotated filters."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from stn_tutorial.coordinates import base_grid
from stn_tutorial.course.checks._grading import Cases, choose, compare, nearest
from stn_tutorial.experiments.models import seeded
from stn_tutorial.experiments.successors import Exponential, RotatedConv2d
from stn_tutorial.families import Affine
from stn_tutorial.sampling import sample

__all__ = ["all_looks", "area", "cost", "tents", "upside_down"]


def all_looks(attempt: Callable[[Tensor], Tensor]) -> None:
    """Check ``attempt(thetas)``: (K, N, 6), the first look first -> (N, 6)."""

    def reference(thetas: Tensor) -> Tensor:
        last = torch.tensor([0.0, 0.0, 1.0]).expand(*thetas.shape[:2], 1, 3)
        squares = torch.cat([thetas.unflatten(2, (2, 3)), last], dim=2)
        return functools.reduce(torch.matmul, squares)[:, :2].flatten(1)

    def cases(draw: Generator) -> Cases:
        for looks, count in ((1, 2), (2, 1), (3, 2), (4, 1)):
            noise = torch.randn(looks, count, 6, generator=draw)
            yield (Affine().identity() + 0.3 * noise,)

    hint = (
        "a point of the last picture goes back through the last look first, then "
        "through the one before it: the matrices stand in the order of the looks."
    )
    compare(attempt, reference, cases, hint)


def area(answer: str) -> None:
    """Check what doubled logarithms do to the area that a warp covers."""
    params = torch.tensor([[0.3, 0.1, 0.2, -0.2, 0.1, 0.0]])

    def covered(params: Tensor) -> Tensor:
        return torch.linalg.det(Exponential().affine(params).view(2, 3)[:, :2])

    before = covered(params)
    options = {
        "it is squared": before**2,
        "it is doubled": 2 * before,
        "it is quadrupled": 4 * before,
        "it stays": before,
    }
    right = nearest(covered(2 * params), options)
    hint = "exp(2A) = exp(A) exp(A), and the determinant of a product is a product."
    choose(answer, right, tuple(options), hint)


def tents(attempt: Callable[[Tensor, int], Tensor]) -> None:
    """Check ``attempt(x, width)``: (N,) columns -> (N, width) weights."""

    def reference(x: Tensor, width: int) -> Tensor:
        # Each column's own picture, a single row, is 1 there and 0 elsewhere.
        pictures = torch.eye(width)[:, None, None]
        points = torch.stack([(2 * x + 1) / width - 1, torch.zeros_like(x)], dim=-1)
        grid = points.view(1, 1, -1, 2).expand(width, -1, -1, -1)
        return sample(pictures, grid)[:, 0, 0].T

    def cases(draw: Generator) -> Cases:
        yield torch.tensor([0.0, 1.0, 1.5]), 3
        yield torch.tensor([-0.25, 2.25, -3.0]), 3
        for width in (1, 6):
            yield width * torch.rand(5, generator=draw) - 0.5, width

    hint = (
        "the weight falls along a straight line from 1 at the column's own place to 0 "
        "one pixel away, and stays 0 from there on."
    )
    compare(attempt, reference, cases, hint, tolerance=1e-4)


def upside_down(answer: str) -> None:
    """Check what a network whose scores no rotation changes makes of a 6, rotated."""
    with seeded(0):
        layer = RotatedConv2d(1, 8, 5, lifts=True)
    away = base_grid((28, 28)) - torch.tensor([0.1, 0.3])
    six = (1 - 3 * (away.norm(dim=-1) - 0.35).abs()).clamp(min=0)[None, None]
    with torch.inference_mode():  # the largest response, wherever and however rotated
        scores, rotated, nothing = (
            layer(x).amax(dim=(2, 3, 4)) for x in (six, six.flip(2, 3), 0 * six)
        )
    options = {
        "those of the 6 upright": scores,
        "those of no digit": nothing,
        "the 6's, with their signs changed": -scores,
    }
    right = nearest(rotated, options)
    hint = "half a rotation is one of the group's eight."
    choose(answer, right, tuple(options), hint)


def cost(answer: str) -> None:
    """Check how many more multiplications eight orientations take, of equal weights."""
    rotated = RotatedConv2d(2, 3, 3, rotations=8)
    plain = nn.Conv2d(4, 12, 3, padding=1, bias=False)  # as many weights
    # Either convolves with its filters at every place.
    ratio = rotated.filters().numel() / plain.weight.numel()
    options = {"as many": 1.0, "8 times": 8.0, "64 times": 64.0}
    right = nearest(ratio, options)
    hint = (
        "count how often one weight is used: at every place, and in every orientation."
    )
    choose(answer, right, tuple(options), hint)
