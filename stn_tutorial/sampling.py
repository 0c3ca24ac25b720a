"""Sampling an image at the points of a grid (the sampler: Jaderberg et al. 2015, §3.3).

`sample` is the sampler; `warp` puts the grid generator in front. Both take volumes as
they take images: a grid says by its points, (x, y) or (x, y, z), which it is for. Of
the two backends, which have the same meaning, ``"native"`` calls PyTorch's kernel, and
``"manual"`` is the lesson, in three steps:

1. bring every point near the image, to where the padding says it is to be sampled;
2. put a frame around the image, so that every point has all its neighbours;
3. mix the neighbours (`stn_tutorial.bilinear`, `stn_tutorial.bicubic`), with gradients
   derived by hand.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stn_tutorial._validate import (
    check_choice,
    check_flag,
    check_floating,
    check_same_device,
    check_size,
    check_tensor,
    is_traced,
    known_ends,
    known_values,
    size_axes,
    vector,
    working_dtype,
)
from stn_tutorial.antialiasing import (
    finer_grid,
    mean_of_patches,
    most_samples,
    samples_per_side,
)
from stn_tutorial.bicubic import Bicubic, kernel_weights
from stn_tutorial.bilinear import Bilinear, Nearest
from stn_tutorial.coordinates import to_pixels
from stn_tutorial.families import (
    Affine,
    Family,
    check_family,
    dimensions_of,
    family_for_image,
)

__all__ = ["sample", "warp"]

PADDINGS = ("zeros", "border", "reflection")
BACKENDS = ("native", "manual")
#: What mixes the neighbours, and how many pixels wide a frame holds those outside.
INTERPOLATIONS = {
    "nearest": (Nearest, 1),
    "bilinear": (Bilinear, 1),
    "bicubic": (Bicubic, 3),
}


def sample(
    image: Tensor,
    grid: Tensor,
    *,
    interpolation: str = "bilinear",
    padding: str = "zeros",
    fill: float | Sequence[float] | Tensor = 0.0,
    align_corners: bool = False,
    backend: str = "native",
    antialias: bool | int = False,
) -> Tensor:
    r"""Sample an image, or a volume, at every point of a grid.

    Bilinear sampling at the pixel coordinates :math:`(x, y)` is equation (5) of the
    paper,

    .. math:: V = \sum_{h, w} U_{hw} \max(0, 1 - |x - w|) \max(0, 1 - |y - h|) .

    It is differentiable with respect to the image and almost everywhere with respect to
    the grid. Half-precision inputs are computed in float32. In a volume there is a
    third factor, for z (trilinear sampling), and everything below holds for voxels.

    >>> from stn_tutorial import base_grid
    >>> image = torch.rand(3, 4, 6)
    >>> half = sample(image, base_grid((2, 3)))
    >>> torch.allclose(half, F.avg_pool2d(image, 2))
    True
    >>> sample(image.expand(8, 3, 4, 6), base_grid((2, 3))).shape
    torch.Size([8, 3, 2, 3])
    >>> sample(torch.rand(1, 4, 6, 8), base_grid((2, 3, 4))).shape  # of a volume
    torch.Size([1, 2, 3, 4])

    Args:
        image: ``(N, C, H, W)``, or one image ``(C, H, W)``; floating. Integers and
            booleans are welcome with ``interpolation="nearest"``, and stay what
            they are. Volumes are ``(N, C, D, H, W)``, or one ``(C, D, H, W)``.
        grid: ``(N, H_out, W_out, 2)``, or one grid ``(H_out, W_out, 2)``; floating: for
            each output pixel, the normalized ``(x, y)`` at which to sample the *input*.
            One image serves all grids, and one grid all images. For volumes
            ``(N, D_out, H_out, W_out, 3)``, or one without N, of points ``(x, y, z)``.
        interpolation: ``"bilinear"`` (of a volume, trilinear), ``"bicubic"`` (sixteen
            neighbours; smooth and sharper, but it may overshoot; of images alone) or
            ``"nearest"`` (the gradient with respect to the grid is zero; ties go to the
            even pixel with ``backend="manual"`` and for whole numbers, while rounding
            decides them in PyTorch's kernel).
        padding: what lies outside the image: ``"zeros"`` (the value `fill`),
            ``"border"`` (the nearest pixel) or ``"reflection"`` (the image mirrored, at
            its edges with ``align_corners=False``, at its corner pixels' centres
            with ``True``).
        fill: with ``padding="zeros"``, the value outside: one number, or one a channel.
            A point whose neighbours are all inside does not depend on it at all.
        align_corners: the convention of `grid`'s coordinates.
        backend: ``"native"`` (`torch.nn.functional.grid_sample`) or ``"manual"`` (this
            project's own, which can be differentiated twice, and forwards).
        antialias: take the mean of several samples, spread over the patch of the input
            that an output pixel stands for. A whole number from 2 on is how many a
            side; ``True`` finds the number for each image: as many as the longest step
            of its grid is pixels long, 8 at most. Where nobody knows the grid's values
            beforehand (in `torch.compile`, an export, a trace, `torch.vmap`), ``True``
            takes all 8×8, of a volume 8×8×8, and gives the surplus no weight: a number
            is quicker there.

    Returns:
        ``(N, C, H_out, W_out)`` or ``(N, C, D_out, H_out, W_out)``, of the image's
        dtype; without N for one image and one grid without a batch. A grid point that
        is not finite becomes `fill`, whatever the padding, and passes no gradient.

    Raises:
        TypeError: if `image` or `grid` is no tensor or of the wrong dtype, or an option
            has the wrong type.
        ValueError: if the shapes, devices or options do not fit.
    """
    _check_options(interpolation, padding, fill, align_corners, backend, antialias)
    _check_image(image, interpolation, bool(antialias))
    _check_grid(grid, image)
    _check_interpolation(interpolation, grid.shape[-1])
    values, points = _in_batches(image, grid)
    if image.is_floating_point():
        points = points.to(working_dtype(image, grid))
        values = values.to(points.dtype)
    else:  # whole numbers are looked up, and have no slope
        points, backend = points.detach().to(working_dtype(grid)), "manual"
        values = values.byte() if values.dtype == torch.bool else values
    outside = _fill_for(fill, image, values)
    if antialias:
        n: int | Tensor = int(antialias)
        if isinstance(antialias, (bool, np.bool_)):
            size = values.shape[2:]
            n = samples_per_side(points, size, align_corners=align_corners)
        most = most_samples(n)
        points = finer_grid(points, n, most)
    align = bool(align_corners)  # PyTorch takes none of NumPy
    out = _sample(values, points, interpolation, padding, outside, align, backend)
    out = mean_of_patches(out, n, most) if antialias else out
    out = out.to(image.dtype)
    return out[0] if image.ndim == grid.ndim == grid.shape[-1] + 1 else out


def warp(
    image: Tensor,
    params: Tensor,
    out_size: Sequence[int] | None = None,
    *,
    family: Family = Affine(),
    interpolation: str = "bilinear",
    padding: str = "zeros",
    fill: float | Sequence[float] | Tensor = 0.0,
    align_corners: bool = False,
    backend: str = "native",
    antialias: bool | int = False,
) -> Tensor:
    """Warp an image or a volume: sample it at the grid that a family makes.

    It is `sample` at ``family.grid(params, out_size)``, with the convention of the
    coordinates said once.

    >>> mirror = torch.tensor([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> warp(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), mirror).tolist()
    [[[2.0, 1.0], [4.0, 3.0]]]

    Args:
        image: ``(N, C, H, W)``, or one image ``(C, H, W)``; with a family of three
            dimensions ``(N, C, D, H, W)``, or one volume ``(C, D, H, W)``.
        params: ``(N, n_params)``, or one warp ``(n_params,)`` for all images: of
            output coordinates to input coordinates, both normalized. Of a family of
            matrices, the matrices too: ``(N, 2, 3)``, ``(N, 3, 3)``, or one.
        out_size: ``(H, W)``, or ``(D, H, W)``, of the output; the default is the
            input's.
        family: the family of `params`, of images or of volumes. One that rotates and
            doesn't know its aspect takes the image's.
        interpolation: see `sample`, as for all that follow.
        padding: what lies outside the image.
        fill: with ``padding="zeros"``, the value outside.
        align_corners: the convention of the coordinates, of grid and sampler alike.
        backend: ``"native"`` or ``"manual"``.
        antialias: take the mean of several samples in each output pixel's patch.

    Returns:
        ``(N, C, *out_size)``, of the image's dtype; ``(C, *out_size)`` for one image
        and one warp without a batch.

    Raises:
        TypeError: if an argument has the wrong type, as a family's class has.
        ValueError: if the shapes, devices or options do not fit, or a matrix isn't of
            the family.
    """
    check_family(family)
    check_tensor(image, "image")
    dimensions = dimensions_of(family)
    axes = size_axes(dimensions)
    if image.ndim not in (dimensions + 1, dimensions + 2):
        raise ValueError(
            f"image must be (N, C, {axes}) or (C, {axes}), got {tuple(image.shape)}"
        )
    in_size: Sequence[int] = image.shape[-dimensions:]
    size = in_size
    if out_size is not None:
        size = check_size(out_size, "out_size", f"({axes})")
    grid = _grid_on(in_size, family, params, size, align_corners)
    return sample(
        image,
        grid,
        interpolation=interpolation,
        padding=padding,
        fill=fill,
        align_corners=align_corners,
        backend=backend,
        antialias=antialias,
    )


def _grid_on(
    in_size: Sequence[int],
    family: Family,
    params: Tensor,
    size: Sequence[int],
    align_corners: bool,
) -> Tensor:
    """A family's grid for an input of a known size, which a rotation may need."""
    single = isinstance(params, Tensor) and params.ndim == 1
    if single and len(params) == family.n_params:  # which not every family knows
        return _grid_on(in_size, family, params[None], size, align_corners)[0]
    family = family_for_image(family, in_size, align_corners=align_corners)
    return family.grid(params, size, align_corners=align_corners)


def _check_options(
    interpolation: str,
    padding: str,
    fill: float | Sequence[float] | Tensor,
    align_corners: bool,
    backend: str,
    antialias: bool | int,
) -> None:
    """Raise unless these are options of `sample`: for whoever keeps them for later.

    Whether `fill` has as many numbers as the image has channels, and whether the dtype
    of the image can hold them, is seen when an image comes.

    >>> _check_options("bilinear", "wrap", 0.0, False, "native", False)
    Traceback (most recent call last):
        ...
    ValueError: padding must be 'zeros', 'border' or 'reflection', got 'wrap'
    """
    check_choice(interpolation, "interpolation", tuple(INTERPOLATIONS))
    check_choice(padding, "padding", PADDINGS)
    check_choice(backend, "backend", BACKENDS)
    check_flag(align_corners, "align_corners")
    if not isinstance(antialias, (bool, np.bool_)):
        if not isinstance(antialias, numbers.Integral) or antialias < 2:
            raise ValueError(
                "antialias must be True, False or a whole number of samples a side "
                f"from 2 on, got {antialias!r}"
            )
    values = _fill_values(fill)
    if padding != "zeros" and any(value != 0 for value in values or ()):
        raise ValueError(f"fill needs padding='zeros', got padding={padding!r}")


def _check_interpolation(interpolation: str, dimensions: int) -> None:
    """Raise unless there is such an interpolation of images (2) or volumes (3)."""
    if interpolation == "bicubic" and dimensions == 3:
        raise ValueError(
            "interpolation must be 'nearest' or 'bilinear' (which is trilinear then) "
            "for volumes, as in torch.nn.functional.grid_sample, got 'bicubic'"
        )


def _sample(
    image: Tensor,
    grid: Tensor,
    interpolation: str,
    padding: str,
    fill: float | Tensor,
    align_corners: bool,
    backend: str,
) -> Tensor:
    """`sample` for a batch of images and of grids, in the dtype to compute in."""
    grid, finite = _bounded(grid, padding)
    filled = padding == "zeros" and (isinstance(fill, Tensor) or fill != 0)
    if filled or backend == "manual":
        near = _near_points(grid, image.shape, interpolation, padding, align_corners)

    def sampled(image: Tensor) -> Tensor:
        if backend == "manual":
            return _manual(image, near, interpolation, padding, align_corners)
        return F.grid_sample(
            image,
            grid,
            mode=interpolation,
            padding_mode=padding,
            align_corners=align_corners,
        )

    out = sampled(image)
    if filled and interpolation == "nearest":
        out = out.where(sampled(torch.ones_like(image[:, :1])) != 0, fill)
    elif filled:  # outside, both backends have taken zeros
        out = out + fill * _share_outside(near, image.shape, interpolation)
    return out if finite is None else out.where(finite, fill)


def _bounded(grid: Tensor, padding: str) -> tuple[Tensor, Tensor | None]:
    """A grid without points too far away to compute with, and which are finite.

    The second is (N, 1, *out), or None if all points are known to be near. Then there
    is nothing to do, which saves a fifth of a small network's step.
    """
    far = 1 / torch.finfo(grid.dtype).eps  # beyond, rounding is larger than an image
    ends = known_ends(grid)
    if ends is not None and -far < ends[0] and ends[1] < far:
        return grid, None
    reach = grid.detach().abs()
    longest = functools.reduce(torch.maximum, reach.unbind(dim=-1))
    finite = (longest < math.inf)[:, None]  # and not NaN
    if padding == "zeros":  # outside is outside, on whichever side
        return grid.where(reach < far, far), finite
    return grid.nan_to_num(0.0, far, -far).clamp(-far, far), finite


def _manual(
    image: Tensor, points: Tensor, interpolation: str, padding: str, align_corners: bool
) -> Tensor:
    """Sample at pixel points near the image, by this project's own arithmetic."""
    mixer, reach = INTERPOLATIONS[interpolation]
    framed = _framed(image, reach, padding, align_corners)
    # The frame moves every pixel by an odd number, which must not move ties to the odd
    # pixel.
    points = points.round() + reach if interpolation == "nearest" else points + reach
    if is_traced():
        return mixer.forward(framed, points)  # a compiler derives the gradients itself
    return mixer.apply(framed, points)


def _near_points(
    grid: Tensor, shape: torch.Size, interpolation: str, padding: str, align: bool
) -> Tensor:
    """The pixel points to sample, none so far outside that no frame could hold it."""
    size = shape[2:]
    points = to_pixels(grid, size, align_corners=align).unbind(dim=-1)
    _, reach = INTERPOLATIONS[interpolation]
    return torch.stack(
        [_near(x, n, reach, padding, align) for x, n in zip(points, reversed(size))],
        dim=-1,
    )


def _near(x: Tensor, n: int, reach: int, padding: str, align_corners: bool) -> Tensor:
    """Move coordinates that lie far outside the pixels 0 to ``n - 1`` to the frame.

    A point that is moved to an end passes no gradient.
    """
    # Rounding puts the base grid a hair beside the pixels. Adding the image's size and
    # taking it away rounds the hair off: so the identity is exact.
    x = (x + n) - n
    if padding == "reflection":
        x = _mirrored(x, n, align_corners)
    if padding != "zeros" and reach == 1:  # beyond the end pixels, all are alike
        return x.where(x < n - 1, n - 1).where(x > 0, 0.0)
    margin = (reach + 1) // 2  # from here on no neighbour with a weight is inside
    return x.where(x < n - 1 + margin, n - 1 + margin).where(x >= -margin, -margin)


def _mirrored(x: Tensor, n: int, align_corners: bool) -> Tensor:
    """A triangle wave: forward over the image, then backward, repeated."""
    start = 0.0 if align_corners else -0.5
    length = n - 1 - 2 * start
    period = vector([max(2 * length, 1.0)], x)  # one pixel has nothing to mirror
    return start + length - ((x - start) % period - length).abs()


def _framed(image: Tensor, reach: int, padding: str, align_corners: bool) -> Tensor:
    """Put `reach` pixels around an image, as the padding continues it.

    Bilinear points need the frame with ``"zeros"`` alone: it may hold zeros.
    """
    if padding == "zeros" or reach == 1:
        return F.pad(image, [reach] * 2 * (image.ndim - 2))
    for dim in range(2, image.ndim):
        n = image.shape[dim]
        inner = torch.arange(-reach, n + reach, device=image.device)
        if padding == "reflection":
            inner = _mirrored(inner.double(), n, align_corners).long()
        image = image.index_select(dim, inner.clamp(0, n - 1))
    return image


def _share_outside(points: Tensor, shape: torch.Size, interpolation: str) -> Tensor:
    """How much of every point's weights falls outside the image: (N, 1, *out).

    It is exactly zero where all neighbours are inside, and exactly one far outside.
    """
    inside = points.new_ones(())
    for x, n in zip(points.unbind(dim=-1), reversed(shape[2:])):
        if interpolation == "bicubic":
            before = x.detach().floor()
            beyond = torch.zeros_like(x)
            for k, weight in zip((-1, 0, 1, 2), kernel_weights(x - before)):
                beyond = beyond + weight.where((before < -k) | (before > n - 1 - k), 0)
        else:  # the way from the last pixel, or from the first
            beyond = (x - (n - 1)).where(x >= n - 1, (-x).where(x < 0, 0.0))
        inside = inside * (1 - beyond)
    return (1 - inside)[:, None]


def _in_batches(image: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """One image for many grids, one grid for many images, or one of each: (N, ...)."""
    alone = grid.shape[-1] + 1  # dimensions of one without a batch
    image = image[None] if image.ndim == alone else image
    grid = grid[None] if grid.ndim == alone else grid
    if image.shape[0] != grid.shape[0]:
        if grid.shape[0] == 1:
            grid = grid.expand(image.shape[0], *[-1] * alone)
        else:
            image = image.expand(grid.shape[0], *[-1] * alone)
    return image, grid


def _check_image(image: Tensor, interpolation: str, antialias: bool) -> None:
    """Raise unless it is a tensor of a dtype that can be sampled so."""
    check_tensor(image, "image")
    if not image.is_floating_point():
        if interpolation != "nearest" or antialias or image.is_complex():
            raise TypeError(
                "image must be floating unless interpolation is 'nearest' and "
                f"antialias False, got {image.dtype}"
            )


def _check_grid(grid: Tensor, image: Tensor) -> None:
    """Raise unless it is a grid, and the image one that can be sampled at it."""
    check_floating(grid, "grid")
    last = grid.shape[-1] if grid.ndim else 0
    # A number, and no symbol, of which torch 2.6 doesn't know whether a tuple has it.
    dimensions = 2 if last == 2 else 3 if last == 3 else 0
    if not dimensions or grid.ndim not in (dimensions + 1, dimensions + 2):
        known = [dimensions] if dimensions else [2, 3]
        forms = [f"(N, {size_axes(d)}, {d}) or ({size_axes(d)}, {d})" for d in known]
        raise ValueError(f"grid must be {' or '.join(forms)}, got {tuple(grid.shape)}")
    single, axes = dimensions + 1, size_axes(dimensions)
    if image.ndim not in (single, single + 1) or 0 in image.shape[-single:]:
        raise ValueError(
            f"image must be (N, C, {axes}) or (C, {axes}) with at least one channel "
            f"and one pixel, for a grid of {dimensions} coordinates a point, "
            f"got {tuple(image.shape)}"
        )
    if image.ndim == grid.ndim == single + 1 and image.shape[0] != grid.shape[0]:
        if 1 not in (image.shape[0], grid.shape[0]):
            raise ValueError(
                f"grid must have the image's batch size {image.shape[0]}, "
                f"got {grid.shape[0]}"
            )
    check_same_device(grid, "grid", image, "image")


def _fill_values(fill: Any) -> list[float] | None:
    """The numbers of a fill, or None for a tensor whose values nobody knows."""
    values = fill
    if isinstance(fill, Tensor):
        values = known_values(fill)
        if values is None:
            return None
    elif isinstance(fill, np.ndarray):
        values = fill.tolist()
    if not isinstance(values, Sequence) or isinstance(values, str):
        values = [values]
    if not all(isinstance(value, numbers.Real) for value in values):
        raise TypeError(f"fill must be numbers, got {fill!r}")
    if not all(-math.inf < value < math.inf for value in values):
        raise ValueError(f"fill must be finite, got {fill!r}")
    return [int(v) if isinstance(v, numbers.Integral) else float(v) for v in values]


def _fill_for(fill: Any, image: Tensor, values: Tensor) -> float | Tensor:
    """The fill as a number, or as (C, 1, 1) of the dtype to compute in.

    Of a volume it is (C, 1, 1, 1). `values` is the image as it is computed with.
    """
    shape = tuple(fill.shape) if isinstance(fill, Tensor) else np.shape(fill)
    channels, *size = values.shape[1:]
    # One number after the other: torch 2.6 doesn't know whether a tuple has a symbol.
    if len(shape) > 1 or any(n != channels for n in shape):
        raise ValueError(
            f"fill must be one number or {channels}, one a channel, got shape {shape}"
        )
    known = _fill_values(fill)
    for value in known or ():
        if not _holds(image.dtype, value):
            raise ValueError(
                f"fill must be a number that {image.dtype} can hold, got {value}"
            )
    learns = isinstance(fill, Tensor) and fill.requires_grad
    if known is not None and not any(known) and not learns:
        return 0
    if isinstance(fill, Tensor) or known is None:  # a tensor, both times
        return fill.to(values).reshape(-1, *[1] * len(size))
    if shape == ():
        return float(known[0]) if values.is_floating_point() else int(known[0])
    return vector(known, values).view(-1, *[1] * len(size))


def _holds(dtype: torch.dtype, value: float) -> bool:
    """Whether a dtype can hold a number, up to rounding."""
    if dtype.is_floating_point:
        return abs(value) <= torch.finfo(dtype).max
    low, high = 0, 1
    if dtype != torch.bool:
        low, high = torch.iinfo(dtype).min, torch.iinfo(dtype).max
    return low <= value <= high and value == int(value)
