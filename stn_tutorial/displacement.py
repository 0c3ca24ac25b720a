r"""Warps without a family: a displacement for every output pixel, and what it folds.

A family moves all points by a few numbers. A *dense displacement field* u has a vector
for each: :math:`x_\text{in} = x_\text{out} + u(x_\text{out})`. It can follow any
deformation, and tear or fold the picture as well; so it is trained with a penalty on
its differences, and its Jacobian is looked at afterwards, as VoxelMorph does
(Balakrishnan et al. 2019). All of it is for images and volumes alike.

Nothing here is in normalized units but the grids: a displacement of one pixel is 1,
along every axis, so that a penalty means the same on images of any shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stn_tutorial._validate import check_floating, check_size, size_axes, working_dtype
from stn_tutorial.coordinates import base_grid, to_normalized, to_pixels

__all__ = ["displaced_grid", "folded_fraction", "jacobian_determinants", "roughness"]


def displaced_grid(displacement: Tensor, *, align_corners: bool = False) -> Tensor:
    """Return the sampling grid of a displacement field.

    >>> still = torch.zeros(1, 2, 4, 5)
    >>> torch.equal(displaced_grid(still)[0], base_grid((4, 5)))
    True

    Args:
        displacement: ``(N, 2, H, W)`` or ``(N, 3, D, H, W)``, as a convolution puts it
            out: how far from each output pixel to sample, along x, y (and z), in pixels
            of an image of the same size.
        align_corners: the convention of the grid's coordinates.

    Returns:
        ``(N, H, W, 2)`` or ``(N, D, H, W, 3)`` normalized input points; for
        `stn_tutorial.sample`.

    Raises:
        TypeError: if `displacement` is not a floating tensor.
        ValueError: if it has another shape.
    """
    size = _size_of(displacement)
    moved = displacement.to(working_dtype(displacement)).movedim(1, -1)
    base = base_grid(
        size, align_corners=align_corners, dtype=moved.dtype, device=moved.device
    )
    # From pixels to normalized units: a difference, so the middle cancels out.
    here, there = (
        to_normalized(points, size, align_corners=align_corners)
        for points in (torch.zeros_like(moved), moved)
    )
    return base + (there - here)


def roughness(displacement: Tensor) -> Tensor:
    r"""Return how much displacements differ from those of the next pixels: a penalty.

    The mean of :math:`\lVert u(x + e_k) - u(x) \rVert^2`, summed over the axes k. It is
    zero for a shift of the whole image, and grows with all that is no shift: rotations,
    stretches, folds.

    >>> y, x = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    >>> roughness(torch.stack([0.5 * x, 0 * y])[None]).item()  # stretched along x
    0.25

    Args:
        displacement: ``(N, 2, H, W)`` or ``(N, 3, D, H, W)``, in pixels; each axis at
            least 2 long.

    Returns:
        ``()``, in square pixels.

    Raises:
        TypeError: if `displacement` is not a floating tensor.
        ValueError: if it has another shape.
    """
    size = _size_of(displacement, least=2)
    axes = range(2, 2 + len(size))
    displacement = displacement.to(working_dtype(displacement))
    steps = [displacement.diff(dim=dim).square().sum(dim=1).mean() for dim in axes]
    return torch.stack(steps).sum()


def jacobian_determinants(
    grid: Tensor, in_size: Sequence[int] | None = None, *, align_corners: bool = False
) -> Tensor:
    """Return how much larger the input's part is that each cell of a grid covers.

    A cell is the square between four points of the grid, or the cube between eight. The
    determinant of the warp's Jacobian, here of forward differences at the cell's first
    corner, is the area (or volume) that it covers of the input, in pixels: 1 for a warp
    that only moves, below 1 where the output shows the input larger, and **negative
    where it folds**, so that a part of the input appears as in a mirror.

    >>> grid = base_grid((4, 5))[None]
    >>> jacobian_determinants(grid / 2).unique().tolist()
    [0.25]
    >>> jacobian_determinants(grid * torch.tensor([-1.0, 1.0])).unique().tolist()
    [-1.0]

    Args:
        grid: ``(N, H, W, 2)`` or ``(N, D, H, W, 3)`` normalized input points, each axis
            at least 2 long.
        in_size: ``(H, W)`` or ``(D, H, W)`` of the input; the default is the grid's.
        align_corners: the convention of the grid's coordinates.

    Returns:
        ``(N, H - 1, W - 1)`` or ``(N, D - 1, H - 1, W - 1)``.

    Raises:
        TypeError: if `grid` is not a floating tensor.
        ValueError: if it has another shape, or `in_size` is not that of an input.
    """
    check_floating(grid, "grid")
    d = grid.shape[-1] if grid.ndim else 0
    if d not in (2, 3) or grid.ndim != d + 2 or min(grid.shape[1:-1]) < 2:
        raise ValueError(
            "grid must be (N, H, W, 2) or (N, D, H, W, 3) with two points along each "
            f"axis at least, got {tuple(grid.shape)}"
        )
    size: Sequence[int] = grid.shape[1:-1]
    if in_size is not None:
        size = check_size(in_size, "in_size", f"({size_axes(d)})")
    grid = grid.to(working_dtype(grid))
    points = to_pixels(grid, size, align_corners=align_corners)
    # Along x first: the last dimension but that of the points.
    steps = []
    for dim in range(d, 0, -1):
        step = points.diff(dim=dim)
        for other in range(1, d + 1):
            if other != dim:  # the cells' first corners
                step = step.narrow(other, 0, step.shape[other] - 1)
        steps.append(step)
    if d == 2:
        (a, c), (b, e) = (step.unbind(-1) for step in steps)
        return a * e - b * c
    right, down, behind = steps
    return (torch.linalg.cross(right, down) * behind).sum(dim=-1)


def folded_fraction(grid: Tensor, *, align_corners: bool = False) -> Tensor:
    """Return the share of a grid's cells that fold: whose determinant is not positive.

    >>> grid = base_grid((4, 5))[None]
    >>> mirrored = grid * torch.tensor([-1.0, 1.0])
    >>> folded_fraction(torch.cat([grid, mirrored])).tolist()
    [0.0, 1.0]

    Args:
        grid: ``(N, H, W, 2)`` or ``(N, D, H, W, 3)`` normalized input points.
        align_corners: the convention of the grid's coordinates.

    Returns:
        ``(N,)`` from 0 to 1. A cell with a point that is not finite counts as folded.

    Raises:
        TypeError: if `grid` is not a floating tensor.
        ValueError: if it has another shape.
    """
    cells = jacobian_determinants(grid, align_corners=align_corners)
    whole = grid.isfinite().all(dim=-1)
    for dim in range(1, whole.ndim):  # a cell is whole if all its corners are
        low, high = (whole.narrow(dim, k, whole.shape[dim] - 1) for k in (0, 1))
        whole = low & high
    whole = whole & (cells > 0) & cells.isfinite()
    return 1 - whole.flatten(1).double().mean(dim=1).to(cells.dtype)


def _size_of(displacement: Tensor, least: int = 1) -> tuple[int, ...]:
    """The size of the image or volume that a field displaces, or an error."""
    check_floating(displacement, "displacement")
    size = tuple(displacement.shape[2:])
    if len(size) not in (2, 3) or displacement.shape[1] != len(size):
        raise ValueError(
            "displacement must be (N, 2, H, W) or (N, 3, D, H, W), "
            f"got {tuple(displacement.shape)}"
        )
    if min(size) < least:
        raise ValueError(
            f"displacement must be {least} pixels long along each axis at least, "
            f"got {tuple(displacement.shape)}"
        )
    return size
