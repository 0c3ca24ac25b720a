"""Where things are: pixel and normalized coordinates, and the grids made of them.

An image of size ``(H, W)`` has its pixel *centres* at the integer points ``(x, y)``
with ``0 <= x <= W - 1`` and ``0 <= y <= H - 1``. Normalized coordinates describe the
same places by numbers that do not depend on the size: along an axis of ``n`` pixels,

    ``normalized = (pixel - (n - 1) / 2) / reach``

so that 0 is the middle of the image and 1 lies ``reach`` pixels away from it. How far
that is, is a matter of convention:

- ``align_corners=False``: ``reach = n / 2``, and -1 and 1 are the image's *edges*;
- ``align_corners=True``: ``reach = (n - 1) / 2``, and -1 and 1 are the *centres* of the
  first and the last pixel.

Points are ``(x, y)`` (or ``(x, y, z)``) although sizes are ``(H, W)`` (or
``(D, H, W)``), as `torch.nn.functional.grid_sample` has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = [
    "base_grid",
    "theta_from_pixels",
    "theta_to_pixels",
    "to_normalized",
    "to_pixels",
]


def base_grid(
    size: Sequence[int],
    *,
    align_corners: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return the normalized coordinates of every pixel centre of an image.

    Reading an image at its own base grid gives the image back. The coordinates are
    ratios of integers and rounded once, so that this holds as well as `dtype` allows.

    Args:
        size: ``(H, W)``, ``(D, H, W)`` or ``(W,)``, each at least 1.
        align_corners: the convention of the normalized coordinates. With ``True`` an
            axis of one pixel has its only centre at 0.
        dtype: a floating type; the default is `torch.get_default_dtype`.
        device: where the grid is made; the default is PyTorch's.

    Returns:
        ``(*size, D)`` points, ``D = len(size)``: ``grid[i, j]`` is the ``(x, y)`` of
        the pixel in row ``i`` and column ``j``.

    Raises:
        TypeError: if `size` is not made of integers or `dtype` is not floating.
        ValueError: if `size` has no or more than three entries, or one below 1.
    """
    size = _check_size(size, "size")
    dtype = dtype or torch.get_default_dtype()
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating type, got {dtype}")
    wide = torch.promote_types(dtype, torch.float32)  # holds every size exactly
    axes = []
    for n in size:
        pixels = torch.arange(n, dtype=wide, device=device)
        ratio = (2 * pixels - (n - 1)) / (n - 1 if align_corners else n)
        # An axis of one pixel can be 0 / 0. No `if`: n may be traced.
        axes.append(ratio.nan_to_num().to(dtype))
    rows_first = torch.meshgrid(*axes, indexing="ij")
    return torch.stack(rows_first[::-1], dim=-1)  # (y, x) becomes (x, y)


def to_pixels(
    points: Tensor, size: Sequence[int], *, align_corners: bool = False
) -> Tensor:
    """Convert normalized coordinates to pixel coordinates.

    Args:
        points: ``(..., D)`` normalized points, ``(x, y)`` order, floating.
        size: the image's ``(H, W)`` (or ``(D, H, W)``, or ``(W,)``).
        align_corners: the convention of the normalized coordinates.

    Returns:
        ``(..., D)`` pixel points in the same order: the centre of the first pixel is
        ``(0, 0)``, that of the last ``(W - 1, H - 1)``.

    Raises:
        TypeError: if `points` is not a floating tensor or `size` not integers.
        ValueError: if the last dimension of `points` is not ``len(size)``.
    """
    size = _check_size(size, "size")
    _check_points(points, size)
    middle, reach = _middle_and_reach(size, align_corners, points)
    return points * reach + middle


def to_normalized(
    points: Tensor, size: Sequence[int], *, align_corners: bool = False
) -> Tensor:
    """Convert pixel coordinates to normalized coordinates; undoes `to_pixels`.

    Args:
        points: ``(..., D)`` pixel points, ``(x, y)`` order, floating.
        size: the image's ``(H, W)`` (or ``(D, H, W)``, or ``(W,)``).
        align_corners: the convention of the normalized coordinates. With ``True`` an
            axis of one pixel has no extent: its pixel 0 becomes 0, as in `base_grid`,
            and the whole axis is taken to lie there.

    Returns:
        ``(..., D)`` normalized points in the same order.

    Raises:
        TypeError: if `points` is not a floating tensor or `size` not integers.
        ValueError: if the last dimension of `points` is not ``len(size)``.
    """
    size = _check_size(size, "size")
    _check_points(points, size)
    middle, reach = _middle_and_reach(size, align_corners, points)
    return (points - middle) / reach.where(reach > 0, math.inf)


def theta_from_pixels(
    matrix: Tensor,
    in_size: Sequence[int],
    out_size: Sequence[int],
    *,
    align_corners: bool = False,
) -> Tensor:
    r"""Convert an OpenCV-style pixel matrix to the theta that does the same warp.

    ``cv2.warpAffine(image, M, ...)`` takes M from *input pixels to output pixels*;
    theta goes from *normalized output to normalized input*. With :math:`S` the change
    from pixel to normalized coordinates of each image,
    :math:`\theta = S_\text{in} \, M^{-1} \, S_\text{out}^{-1}`.

    Args:
        matrix: ``(..., 2, 3)`` affine or ``(..., 3, 3)`` projective, input pixels to
            output pixels, floating.
        in_size: ``(H, W)`` of the image that is read.
        out_size: ``(H, W)`` of the image that is made.
        align_corners: the convention of theta's coordinates. ``True`` needs at least
            two pixels along each axis.

    Returns:
        theta, of the shape of `matrix`: normalized output to normalized input.

    Raises:
        TypeError: if `matrix` is not a floating tensor.
        ValueError: if its shape is neither 2×3 nor 3×3, or it has no inverse.
    """
    inward = _invert(_to_square(matrix, "matrix"), "matrix")
    to_in = _pixel_to_normalized(in_size, "in_size", align_corners, matrix)
    to_out = _pixel_to_normalized(out_size, "out_size", align_corners, matrix)
    theta = _product(_product(to_in, inward), _invert(to_out, "out_size"))
    return theta[..., : matrix.shape[-2], :].to(matrix.dtype)


def theta_to_pixels(
    theta: Tensor,
    in_size: Sequence[int],
    out_size: Sequence[int],
    *,
    align_corners: bool = False,
) -> Tensor:
    r"""Convert theta to the OpenCV-style pixel matrix that does the same warp.

    The inverse of `theta_from_pixels`:
    :math:`M = (S_\text{in}^{-1} \, \theta \, S_\text{out})^{-1}`.

    Args:
        theta: ``(..., 2, 3)`` affine or ``(..., 3, 3)`` projective, normalized output
            to normalized input, floating.
        in_size: ``(H, W)`` of the image that is read.
        out_size: ``(H, W)`` of the image that is made.
        align_corners: the convention of theta's coordinates. ``True`` needs at least
            two pixels along each axis.

    Returns:
        The matrix from input pixels to output pixels, of the shape of `theta`.

    Raises:
        TypeError: if `theta` is not a floating tensor.
        ValueError: if its shape is neither 2×3 nor 3×3, or it has no inverse.
    """
    square = _to_square(theta, "theta")
    to_in = _pixel_to_normalized(in_size, "in_size", align_corners, theta)
    to_out = _pixel_to_normalized(out_size, "out_size", align_corners, theta)
    inward = _product(_product(_invert(to_in, "in_size"), square), to_out)
    return _invert(inward, "theta")[..., : theta.shape[-2], :].to(theta.dtype)


def _check_size(size: Sequence[int], name: str) -> tuple[int, ...]:
    """Return `size` as a tuple of one to three positive integers, or raise."""
    if torch.jit.is_tracing():  # the sizes are tensors, to be followed, not compared
        return tuple(size)
    if not isinstance(size, Sequence) or not all(
        type(n) in (int, torch.SymInt) for n in size
    ):
        raise TypeError(f"{name} must be integers such as (H, W), got {size!r}")
    size = tuple(size)
    if not 1 <= len(size) <= 3 or min(size) < 1:
        raise ValueError(f"{name} must be one to three integers >= 1, got {size}")
    return size


def _reach(n: int, align_corners: bool) -> float:
    """How many pixels lie between the normalized coordinates 0 and 1."""
    return (n - 1) / 2 if align_corners else n / 2


def _middle_and_reach(
    size: tuple[int, ...], align_corners: bool, like: Tensor
) -> tuple[Tensor, Tensor]:
    """The pixel at normalized 0, and the pixels from 0 to 1, in (x, y, ...) order."""
    middle = like.new_tensor([(n - 1) / 2 for n in reversed(size)])
    reach = like.new_tensor([_reach(n, align_corners) for n in reversed(size)])
    return middle, reach


def _check_points(points: Tensor, size: tuple[int, ...]) -> None:
    if not isinstance(points, Tensor) or not points.is_floating_point():
        kind = points.dtype if isinstance(points, Tensor) else type(points).__name__
        raise TypeError(f"points must be a floating tensor, got {kind}")
    if points.ndim == 0 or points.shape[-1] != len(size):
        raise ValueError(
            f"points must be (..., {len(size)}) for a size {size}, "
            f"got {tuple(points.shape)}"
        )


def _to_square(matrix: Tensor, name: str) -> Tensor:
    """(..., 2, 3) or (..., 3, 3) -> (..., 3, 3), in at least float32."""
    if not isinstance(matrix, Tensor) or not matrix.is_floating_point():
        kind = matrix.dtype if isinstance(matrix, Tensor) else type(matrix).__name__
        raise TypeError(f"{name} must be a floating tensor, got {kind}")
    if matrix.shape[-2:] not in ((2, 3), (3, 3)):
        raise ValueError(
            f"{name} must be (..., 2, 3) or (..., 3, 3), got {tuple(matrix.shape)}"
        )
    matrix = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    if matrix.shape[-2] == 3:
        return matrix
    last_row = matrix.new_tensor([0.0, 0.0, 1.0]).expand(*matrix.shape[:-2], 1, 3)
    return torch.cat([matrix, last_row], dim=-2)


def _pixel_to_normalized(
    size: Sequence[int], name: str, align_corners: bool, like: Tensor
) -> Tensor:
    size = _check_size(size, name)
    if len(size) != 2:
        raise ValueError(f"{name} must be (H, W), got {size}")
    if align_corners and min(size) == 1:
        raise ValueError(
            f"{name} must be at least 2 along each axis with align_corners=True, "
            f"got {size}"
        )
    dtype = torch.promote_types(like.dtype, torch.float32)
    (x, y), (rx, ry) = _middle_and_reach(size, align_corners, like.to(dtype))
    matrix = torch.eye(3, dtype=dtype, device=like.device)
    matrix[0, 0], matrix[0, 2] = 1 / rx, -x / rx
    matrix[1, 1], matrix[1, 2] = 1 / ry, -y / ry
    return matrix


def _product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b``, which would be rounded to half precision under autocast."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(dim=-2)


def _invert(matrix: Tensor, name: str) -> Tensor:
    inverse, failed = torch.linalg.inv_ex(matrix)
    exact = (failed == 0) & inverse.isfinite().all(dim=(-2, -1))
    if not bool((exact & ~_is_singular(matrix)).all()):
        raise ValueError(f"{name} has no inverse: {matrix.tolist()}")
    return inverse


def _is_singular(matrix: Tensor) -> Tensor:
    """Whether the rows depend on one another, up to rounding and whatever their units.

    A factorization alone does not say: rounding gives many singular matrices an inverse
    of huge numbers, on some machines and not on others.
    """
    scaled, kind = matrix.detach(), torch.finfo(matrix.dtype)
    for dim in (-2, -1):  # columns, then rows, of length 1
        scaled = scaled / scaled.norm(dim=dim, keepdim=True).clamp_min(kind.tiny)
    return ~(torch.linalg.det(scaled).abs() > 16 * kind.eps)  # NaN, too
