"""Reading finer than the output, so that a picture that shrinks does not alias.

A pixel of the output stands for a patch of the input: for the parallelogram that the
grid's steps to the next pixels span. Bilinear reading looks at its middle alone. When
the picture shrinks, patches are larger than a pixel, and what lies between the places
that are read is missed. The mean of n×n readings that are spread evenly over the
patch looks everywhere, if n is as many as the patch is pixels long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stn_tutorial.coordinates import to_pixels

__all__ = ["finer_grid", "readings_for"]

#: More than this many readings a side are never needed but near a horizon.
MOST = 8


def readings_for(grid: Tensor, size: Sequence[int], align_corners: bool = False) -> int:
    """Return how many readings a side the widest patch of a grid needs.

    Args:
        grid: ``(N, H_out, W_out, 2)`` normalized input points.
        size: ``(H, W)`` of the input.
        align_corners: the convention of the grid's coordinates.

    Returns:
        From 1, where no step is longer than a pixel, to 8.
    """
    points = to_pixels(grid.detach(), size, align_corners=align_corners)
    longest = max(float(step.norm(dim=-1).max()) for step in _steps(points))
    return min(MOST, max(1, math.ceil(longest - 1e-3)))  # rounding is no pixel


def finer_grid(grid: Tensor, n: int) -> Tensor:
    """Return n×n points in each output pixel's patch.

    Args:
        grid: ``(N, H_out, W_out, 2)`` normalized input points.
        n: points a side.

    Returns:
        ``(N, n * H_out, n * W_out, 2)``: an output pixel's points lie together. For an
        affine grid it is the grid of an output of that size.
    """
    down, right = (step[:, :, None, :, None] for step in _steps(grid))
    parts = (torch.arange(n, dtype=grid.dtype, device=grid.device) + 0.5) / n - 0.5
    points = grid[:, :, None, :, None] + parts[:, None, None, None] * down
    points = points + parts[:, None] * right
    return points.flatten(3, 4).flatten(1, 2)


def _steps(grid: Tensor) -> tuple[Tensor, Tensor]:
    """From each point to the ones a row below and a column to the right."""
    return _step(grid, 1), _step(grid, 2)


def _step(grid: Tensor, dim: int) -> Tensor:
    """Half the way from the point before to the one behind; at an end, from there."""
    if grid.shape[dim] == 1:  # nothing is known of the patch
        return torch.zeros_like(grid)
    (step,) = torch.gradient(grid, dim=dim)
    return step.where(step.isfinite(), 0.0)  # beside a horizon
