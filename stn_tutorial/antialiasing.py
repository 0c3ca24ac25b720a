"""Sampling finer than the output, so that a picture that shrinks does not alias.

A pixel of the output stands for a patch of the input: for the parallelogram that the
grid's steps to the next pixels span. One sample looks at its middle alone. When the
picture shrinks, patches are larger than a pixel, and what lies between the sampled
points is missed. The mean of n×n samples that are spread evenly over the patch looks
everywhere, if n is as many as the patch is pixels long. Of a volume a patch is a
parallelepiped, with n×n×n samples.

Every image has an n of its own, so that none depends on the others of its batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_tutorial._validate import known_values
from stn_tutorial.coordinates import to_pixels

__all__ = ["finer_grid", "mean_of_patches", "most_samples", "samples_per_side"]

#: More samples a side than this are never needed but near a horizon.
MOST = 8


def samples_per_side(
    grid: Tensor, size: Sequence[int], *, align_corners: bool = False
) -> Tensor:
    """Return how many samples a side the widest patch of each grid needs.

    Args:
        grid: ``(N, H_out, W_out, 2)`` or ``(N, D_out, H_out, W_out, 3)`` normalized
            input points.
        size: ``(H, W)`` or ``(D, H, W)`` of the input.
        align_corners: the convention of the grid's coordinates.

    Returns:
        ``(N,)`` whole numbers of the grid's dtype: from 1, where no step is longer than
        a pixel, to 8.

    >>> from stn_tutorial import base_grid
    >>> samples_per_side(base_grid((10, 10))[None], (30, 20)).tolist()
    [3.0]
    """
    points = to_pixels(grid.detach(), size, align_corners=align_corners)
    lengths = [step.norm(dim=-1).flatten(1) for step in _steps(points)]
    # A zero beside them, so that the longest step of an empty output exists, too.
    longest = F.pad(torch.cat(lengths, dim=1), (0, 1)).amax(dim=1)
    return (longest - 1e-3).ceil().clamp(1, MOST)  # rounding is no pixel


def most_samples(n: int | Tensor) -> int:
    """Return the largest of the numbers that `samples_per_side` returns.

    Args:
        n: ``(N,)``, or one number for all.

    Returns:
        The largest; 1 for an empty batch, and 8 where nobody knows the values
        beforehand (see `stn_tutorial.sample`).

    >>> most_samples(torch.tensor([1.0, 3.0])), most_samples(torch.ones(2).to("meta"))
    (3, 8)
    """
    if not isinstance(n, Tensor):
        return n
    known = known_values(n)
    return MOST if known is None else int(max(known, default=1))


def finer_grid(grid: Tensor, n: int | Tensor, most: int | None = None) -> Tensor:
    """Return n×n points in each output pixel's patch; of a volume n×n×n.

    Args:
        grid: ``(N, H_out, W_out, 2)`` or ``(N, D_out, H_out, W_out, 3)`` normalized
            input points.
        n: samples a side: one number, or ``(N,)``, one an image.
        most: how many points a side to return; the default is the largest of `n`. The
            surplus, beyond an image's own number, lies outside its patches.

    Returns:
        ``(N, most * H_out, most * W_out, 2)``, or likewise in three dimensions: an
        output pixel's points lie together. For an affine grid and one `n` it is the
        grid of an output of that size.

    >>> from stn_tutorial import base_grid
    >>> finer = finer_grid(base_grid((2, 5))[None], 3)
    >>> torch.allclose(finer, base_grid((6, 15)))
    True
    """
    most = most_samples(n) if most is None else most
    parts = torch.arange(most, dtype=grid.dtype, device=grid.device) + 0.5
    parts = (parts / (n[:, None] if isinstance(n, Tensor) else n) - 0.5).view(-1, most)
    steps = [_with_patches(step) for step in _steps(grid)]
    points = _with_patches(grid)
    for k, step in enumerate(steps):  # along the patch's side for this dimension
        sides = [1] * (points.ndim - 1)
        sides[2 * k + 1] = most
        points = points + parts.view(-1, *sides) * step
    for dim in reversed(range(1, 2 * len(steps), 2)):
        points = points.flatten(dim, dim + 1)
    return points


def mean_of_patches(
    samples: Tensor, n: int | Tensor, most: int | None = None
) -> Tensor:
    """Return the mean of each patch's samples.

    Args:
        samples: ``(N, C, most * H_out, most * W_out)``, or likewise in three
            dimensions, read at a `finer_grid`.
        n: samples a side, as there.
        most: points a side, as there. The surplus has no weight.

    Returns:
        ``(N, C, H_out, W_out)`` or ``(N, C, D_out, H_out, W_out)``.

    >>> samples = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]])
    >>> mean_of_patches(samples, 2).item()
    4.0
    >>> mean_of_patches(samples, torch.ones(1), 2).item()
    1.0
    """
    most = most_samples(n) if most is None else most
    for dim in reversed(range(2, samples.ndim)):
        patches = samples.unflatten(dim, (samples.shape[dim] // most, most))
        samples = _mean(patches, n, dim + 1)
    return samples


def _with_patches(grid: Tensor) -> Tensor:
    """(N, H, W, 2) as (N, H, 1, W, 1, 2): behind each dimension, that of a patch."""
    for dim in reversed(range(2, grid.ndim)):
        grid = grid.unsqueeze(dim)
    return grid


def _mean(samples: Tensor, n: int | Tensor, dim: int) -> Tensor:
    """The mean along a dimension, of an image's first n samples if it has its own n."""
    if isinstance(n, Tensor):
        n = n.view(-1, *[1] * (samples.ndim - 1))
        place = torch.arange(samples.shape[dim], device=n.device)
        place = place.view(-1, *[1] * (samples.ndim - 1 - dim))
        # Where there is none, whatever was sampled counts for nothing, NaN as well.
        samples = samples.where(place < n, 0) * (samples.shape[dim] / n)
    return samples.mean(dim)


def _steps(grid: Tensor) -> list[Tensor]:
    """From each point to the ones a row below and a column to the right, and so on."""
    return [_step(grid, dim) for dim in range(1, grid.ndim - 1)]


def _step(grid: Tensor, dim: int) -> Tensor:
    """Half the way from the point before to the one behind; at an end, from there.

    Of an output of one pixel nothing is known of the patch: no way.
    """
    here = torch.arange(grid.shape[dim], device=grid.device)
    before, behind = (here - 1).clamp(min=0), (here + 1).clamp(max=grid.shape[dim] - 1)
    way = grid.index_select(dim, behind) - grid.index_select(dim, before)
    steps = (behind - before).clamp(min=1).view(-1, *[1] * (grid.ndim - 1 - dim))
    return (way / steps).where(way.isfinite(), 0.0)  # beside a horizon
