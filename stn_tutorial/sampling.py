"""Reading an image at the points of a grid (the sampler: Jaderberg et al. 2015, §3.3).

`sample` is the one public function. It has two backends with the same meaning:
``"native"`` calls PyTorch's kernel, ``"manual"`` is the lesson, in three steps:

1. bring every point to where the padding says it should be read (`_place`);
2. put a frame of one pixel around the image, so that every point has four neighbours;
3. mix the four neighbours (`stn_tutorial.bilinear`), with gradients derived by hand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_tutorial.antialiasing import finer_grid, readings_for
from stn_tutorial.bilinear import Bilinear, Nearest
from stn_tutorial.coordinates import to_pixels

__all__ = ["sample"]

INTERPOLATIONS = ("nearest", "bilinear")
PADDINGS = ("zeros", "border", "reflection")
BACKENDS = ("native", "manual")


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
    r"""Read an image at every point of a grid.

    Bilinear reading at the pixel coordinates :math:`(x, y)` is equation (5) of the
    paper, :math:`V = \sum_{h, w} U_{hw} \max(0, 1 - |x - w|) \max(0, 1 - |y - h|)`.
    It is differentiable with respect to the image and almost everywhere with respect to
    the grid. Half-precision inputs are computed in float32.

    Args:
        image: ``(N, C, H, W)``, floating.
        grid: ``(N, H_out, W_out, 2)``, floating: for each output pixel, the normalized
            ``(x, y)`` at which to read the *input*.
        interpolation: ``"bilinear"``, or ``"nearest"`` (ties go to the even pixel; the
            gradient with respect to the grid is zero).
        padding: what lies outside the image: ``"zeros"`` (the value `fill`),
            ``"border"`` (the nearest pixel) or ``"reflection"`` (the image mirrored, at
            its edges with ``align_corners=False``, at its corner pixels' centres
            with ``True``).
        fill: with ``padding="zeros"``, the value outside: one number, or one a channel.
        align_corners: the convention of `grid`'s coordinates.
        backend: ``"native"`` (`torch.nn.functional.grid_sample`) or ``"manual"`` (this
            project's own, which can be differentiated twice).
        antialias: take the mean of so many readings a side, spread over the patch of
            the input that an output pixel stands for; ``True`` chooses the number from
            the grid: as many as the longest step is pixels long, 8 at most.

    Returns:
        ``(N, C, H_out, W_out)``, of the image's dtype. A grid point that is not finite
        reads `fill`, whatever the padding, and passes no gradient.

    Raises:
        TypeError: if `image` or `grid` is not a floating tensor.
        ValueError: if the shapes, devices or options do not fit.
    """
    _check(image, grid, interpolation, padding, backend)
    if antialias != int(antialias) or antialias < 0:
        raise ValueError(f"antialias must be a whole number >= 0, got {antialias}")
    fill = _fill_of(fill, image, padding)
    dtype = torch.promote_types(image.dtype, grid.dtype)
    dtype = torch.promote_types(dtype, torch.float32)
    values, points = image.to(dtype), grid.to(dtype)
    if antialias:
        size = image.shape[-2:]
        n = (
            readings_for(points, size, align_corners)
            if antialias is True
            else antialias
        )
        options = {"interpolation": interpolation, "padding": padding, "fill": fill}
        options |= {"align_corners": align_corners, "backend": backend}
        finer = sample(values, finer_grid(points, n), **options)
        return F.avg_pool2d(finer, n).to(image.dtype)

    x, y = points.detach().abs().unbind(dim=-1)
    finite = torch.maximum(x, y) < math.inf  # false for NaN, too; quicker than isfinite
    far = 1 / torch.finfo(dtype).eps  # beyond, rounding is larger than an image
    points = points.nan_to_num(0.0, far, -far).clamp(-far, far)
    read = _native if backend == "native" else _manual
    out = read(values, points, fill, interpolation, padding, align_corners)
    return out.where(finite[:, None], fill).to(image.dtype)


def _native(
    image: Tensor,
    grid: Tensor,
    fill: Tensor | float,
    interpolation: str,
    padding: str,
    align_corners: bool,
) -> Tensor:
    options = {"mode": interpolation, "padding_mode": padding}
    if _is_zero(fill):
        return F.grid_sample(image, grid, align_corners=align_corners, **options)
    # Outside, the kernel knows zeros alone. The weights of a reading sum to 1 when the
    # outside is counted, so shifting all values shifts the outside from 0 to `fill`.
    out = F.grid_sample(image - fill, grid, align_corners=align_corners, **options)
    return out + fill


def _manual(
    image: Tensor,
    grid: Tensor,
    fill: Tensor | float,
    interpolation: str,
    padding: str,
    align_corners: bool,
) -> Tensor:
    size = image.shape[-2:]
    points = to_pixels(grid, size, align_corners=align_corners)
    # Rounding puts the base grid a hair beside the pixels. Adding the image's size and
    # taking it away rounds the hair off: so the identity is exact.
    extent = points.new_tensor(size[::-1])
    points = _place((points + extent) - extent, size, padding, align_corners)
    framed = F.pad(image, (1, 1, 1, 1))
    if not _is_zero(fill):
        framed = framed + F.pad(image.new_zeros(size), (1, 1, 1, 1), value=1.0) * fill
    # The frame moves every pixel by one, which must not move ties to the odd pixel.
    if interpolation == "nearest":
        return Nearest.apply(framed, points.round() + 1)
    return Bilinear.apply(framed, points + 1)


def _place(
    points: Tensor, size: Sequence[int], padding: str, align_corners: bool
) -> Tensor:
    """Move pixel points that lie outside the image to where they are to be read.

    Beyond -1 or ``n`` no pixel is a neighbour, so with ``"zeros"`` a point may as well
    stand there, on the frame. A point that is moved to an end, or stands at the end of
    a border, passes no gradient.
    """
    height, width = size
    last = points.new_tensor([width - 1, height - 1])
    if padding == "zeros":
        return points.where(points < last + 1, last + 1).where(points >= -1, -1.0)
    if padding == "reflection":  # a triangle wave: forward, then mirrored, repeated
        start = torch.zeros_like(last) if align_corners else torch.full_like(last, -0.5)
        length = last - 2 * start
        period = (2 * length).where(length > 0, 1.0)  # one pixel has nothing to mirror
        points = start + length - ((points - start) % period - length).abs()
    return points.where(points < last, last).where(points > 0, 0.0)


def _is_zero(fill: Tensor | float) -> bool:
    return not isinstance(fill, Tensor) and fill == 0


def _check(
    image: Tensor, grid: Tensor, interpolation: str, padding: str, backend: str
) -> None:
    for name, tensor in (("image", image), ("grid", grid)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
        if not tensor.is_floating_point():
            raise TypeError(f"{name} must be floating, got {tensor.dtype}")
    if image.ndim != 4 or 0 in image.shape[1:]:
        raise ValueError(
            f"image must be (N, C, H, W) with at least one channel and one pixel, "
            f"got {tuple(image.shape)}"
        )
    if grid.ndim != 4 or grid.shape[-1] != 2:
        raise ValueError(f"grid must be (N, H, W, 2), got {tuple(grid.shape)}")
    if grid.shape[0] != image.shape[0]:
        raise ValueError(
            f"grid must have the image's batch size {image.shape[0]}, "
            f"got {grid.shape[0]}"
        )
    if grid.device != image.device:
        raise ValueError(
            f"grid must be on the image's device {image.device}, got {grid.device}"
        )
    for name, value, known in (
        ("interpolation", interpolation, INTERPOLATIONS),
        ("padding", padding, PADDINGS),
        ("backend", backend, BACKENDS),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {known}, got {value!r}")


def _fill_of(
    fill: float | Sequence[float] | Tensor, image: Tensor, padding: str
) -> Tensor | float:
    """`fill` as a number, or as a (C, 1, 1) tensor like the image."""
    if isinstance(fill, (int, float)):
        if not math.isfinite(fill):
            raise ValueError(f"fill must be finite, got {fill}")
    else:
        try:
            fill = torch.as_tensor(fill, dtype=image.dtype)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"fill must be numbers, got {fill!r}") from None
        if not bool(fill.isfinite().all()):
            raise ValueError(f"fill must be finite, got {fill.tolist()}")
        if fill.shape not in ((), (image.shape[1],)):
            raise ValueError(
                f"fill must be one number or {image.shape[1]}, one a channel, "
                f"got shape {tuple(fill.shape)}"
            )
        fill = fill.reshape(-1, 1, 1).to(image.device)
    if padding != "zeros" and not _is_zero(fill):
        raise ValueError(f"fill needs padding='zeros', got padding={padding!r}")
    return fill
