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

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_tutorial._validate import (
    check_flag,
    check_floating,
    check_size,
    known_values,
    product,
    size_axes,
    vector,
    working_dtype,
)

__all__ = [
    "base_grid",
    "homography",
    "invert",
    "refuse_where",
    "rotation",
    "theta_from_pixels",
    "theta_to_pixels",
    "to_normalized",
    "to_pixels",
    "to_square",
]

SIZES = "(W,) or (H, W) or (D, H, W)"
#: Each three of four points.
TRIPLES = ([1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2])


def base_grid(
    size: Sequence[int],
    *,
    align_corners: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return the normalized coordinates of every pixel centre of an image.

    Sampling an image at its own base grid gives the image back. The coordinates are
    ratios of integers and rounded once, so that this holds as well as `dtype` allows.

    >>> base_grid((1, 4))[0].tolist()
    [[-0.75, 0.0], [-0.25, 0.0], [0.25, 0.0], [0.75, 0.0]]
    >>> base_grid((1, 3), align_corners=True)[0].tolist()
    [[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]

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
    size = check_size(size, "size", SIZES)
    check_flag(align_corners, "align_corners")
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

    >>> corner = torch.tensor([-1.0, -1.0])
    >>> to_pixels(corner, (4, 6)).tolist()
    [-0.5, -0.5]
    >>> to_pixels(corner, (4, 6), align_corners=True).tolist()
    [0.0, 0.0]

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
    middle, reach = _middle_and_reach(points, size, align_corners)
    return points * reach + middle


def to_normalized(
    points: Tensor, size: Sequence[int], *, align_corners: bool = False
) -> Tensor:
    """Convert pixel coordinates to normalized coordinates; undoes `to_pixels`.

    >>> last = torch.tensor([5.0, 3.0])  # of an image of 4×6
    >>> [round(x, 3) for x in to_normalized(last, (4, 6)).tolist()]
    [0.833, 0.75]
    >>> to_normalized(last, (4, 6), align_corners=True).tolist()
    [1.0, 1.0]

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
    middle, reach = _middle_and_reach(points, size, align_corners)
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

    >>> right = torch.tensor([[1.0, 0.0, 4.0], [0.0, 1.0, 0.0]])  # by four pixels
    >>> theta_from_pixels(right, (4, 8), (4, 8)).tolist()
    [[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]

    Args:
        matrix: ``(..., 2, 3)`` affine or ``(..., 3, 3)`` projective, input pixels to
            output pixels, floating; of volumes ``(..., 3, 4)`` or ``(..., 4, 4)``. A
            projective one counts up to a *positive* factor, as what is ahead of the
            horizon is where its last row is positive: one of ``cv2.findHomography``,
            whose last entry is 1, may have to be multiplied by -1.
        in_size: ``(H, W)``, or ``(D, H, W)``, of the image that is sampled.
        out_size: the same of the image that is made.
        align_corners: the convention of theta's coordinates. ``True`` needs at least
            two pixels along each axis.

    Returns:
        theta, of the shape of `matrix`: normalized output to normalized input.

    Raises:
        TypeError: if `matrix` is not a floating tensor.
        ValueError: if its shape is no such matrix's, or it has no inverse.
    """
    inward = invert(to_square(matrix, "matrix"), "matrix")
    to_in, _ = _to_normalized_matrix(in_size, "in_size", align_corners, inward)
    _, from_out = _to_normalized_matrix(out_size, "out_size", align_corners, inward)
    theta = product(product(to_in, inward), from_out)
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

    >>> left = torch.tensor([1.0, 0.0, -1.0, 0.0, 1.0, 0.0])  # half of the image
    >>> theta_to_pixels(left, (4, 8), (4, 8)).tolist()
    [[1.0, 0.0, 4.0], [0.0, 1.0, 0.0]]

    Args:
        theta: ``(..., 2, 3)`` affine or ``(..., 3, 3)`` projective, normalized output
            to normalized input, floating; or parameters of `stn_tutorial.Affine`,
            ``(N, 6)``, or `stn_tutorial.Projective`, ``(N, 8)``. Those of another
            family become a theta by its ``matrix``. Of volumes ``(..., 3, 4)``,
            ``(..., 4, 4)``, or parameters of `stn_tutorial.Affine3d`, ``(N, 12)``.
        in_size: ``(H, W)``, or ``(D, H, W)``, of the image that is sampled.
        out_size: the same of the image that is made.
        align_corners: the convention of theta's coordinates. ``True`` needs at least
            two pixels along each axis.

    Returns:
        The matrix from input pixels to output pixels, of the shape of `theta`:
        ``(N, 2, 3)`` for ``(N, 6)``, ``(N, 3, 3)`` for ``(N, 8)``, ``(N, 3, 4)`` for
        ``(N, 12)``.

    Raises:
        TypeError: if `theta` is not a floating tensor.
        ValueError: if its shape is no such matrix's, or it has no inverse.
    """
    check_floating(theta, "theta")
    if theta.ndim in (1, 2) and theta.shape[-1] == 6:  # the parameters of Affine
        theta = theta.unflatten(-1, (2, 3))
    elif theta.ndim in (1, 2) and theta.shape[-1] == 8:  # those of Projective
        theta = F.pad(theta, (0, 1), value=1.0).unflatten(-1, (3, 3))
    elif theta.ndim in (1, 2) and theta.shape[-1] == 12:  # those of Affine3d
        theta = theta.unflatten(-1, (3, 4))
    square = to_square(theta, "theta")
    _, from_in = _to_normalized_matrix(in_size, "in_size", align_corners, square)
    to_out, _ = _to_normalized_matrix(out_size, "out_size", align_corners, square)
    inward = product(product(from_in, square), to_out)
    return invert(inward, "theta")[..., : theta.shape[-2], :].to(theta.dtype)


def rotation(
    angle: Tensor | float,
    scale: Tensor | float = 1.0,
    shift: Tensor | Sequence[float] = (0.0, 0.0),
    *,
    center: Tensor | Sequence[float] = (0.0, 0.0),
) -> Tensor:
    r"""Return the matrix that rotates and scales about a point, and then shifts.

    A point p becomes :math:`s R (p - c) + c + t`. The matrix is in the coordinates of
    `shift` and `center`, whose units must be the same along x and y: pixels, or the
    normalized coordinates of a square image. A matrix in pixels that leads from the
    input to the output becomes a theta by `theta_from_pixels`.

    >>> quarter = rotation(math.pi / 2, center=(1.0, 1.0))  # of a full rotation
    >>> [round(v, 3) + 0.0 for v in (quarter @ torch.tensor([2.0, 1.0, 1.0])).tolist()]
    [1.0, 2.0]
    >>> rotation(torch.zeros(5), torch.linspace(0.5, 1, 5)).shape
    torch.Size([5, 2, 3])

    Args:
        angle: ``(...)`` radians from x towards y, which is clockwise on the screen.
        scale: ``(...)``.
        shift: ``(..., 2)``, added after everything else, ``(x, y)`` order; or two
            numbers, or tensors ``(...)``.
        center: the same of the point that is not moved but for the shift.

    Returns:
        ``(..., 2, 3)``, of the widest floating type among the tensors that are given.

    Raises:
        TypeError: if an argument is neither numbers nor a floating tensor.
        ValueError: if `shift` or `center` is not ``(..., 2)``.
    """
    given = {"angle": angle, "scale": scale, "shift": shift, "center": center}
    parts = [part for value in given.values() for part in _parts(value)]
    tensors = [part for part in parts if isinstance(part, Tensor)]
    dtypes = [each.dtype for each in tensors] or [torch.get_default_dtype()]
    dtype = functools.reduce(torch.promote_types, dtypes)
    device = tensors[0].device if tensors else None
    values = {}
    for name, value in given.items():
        if isinstance(value, Tensor):
            check_floating(value, name)
            values[name] = value.to(dtype=dtype, device=device)
            continue
        try:
            values[name] = _together(value, dtype, device)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"{name} must be numbers, got {value!r}") from None
    for name in ("shift", "center"):
        if values[name].shape[-1:] != (2,):
            raise ValueError(
                f"{name} must be (..., 2), got {tuple(values[name].shape)}"
            )
    cosine = values["scale"] * values["angle"].cos()
    sine = values["scale"] * values["angle"].sin()
    (tx, ty), (cx, cy) = values["shift"].unbind(-1), values["center"].unbind(-1)
    entries = (
        (cosine, -sine, cx - cosine * cx + sine * cy + tx),
        (sine, cosine, cy - sine * cx - cosine * cy + ty),
    )
    flat = torch.broadcast_tensors(*entries[0], *entries[1])
    return torch.stack(flat, dim=-1).unflatten(-1, (2, 3))


def _parts(value: Any) -> Sequence[Any]:
    """The components of a point that comes as a sequence, or the value itself."""
    return value if isinstance(value, (list, tuple)) else [value]


def _together(value: Any, dtype: torch.dtype, device: Any) -> Tensor:
    """A number as a tensor, or components, which may be tensors, as points (..., 2)."""
    if not isinstance(value, (list, tuple)):
        return torch.as_tensor(value, dtype=dtype, device=device)
    like = torch.empty(0, dtype=dtype, device=device)
    parts = [
        part.to(like) if isinstance(part, Tensor) else vector([part], like)[0]
        for part in value
    ]
    return torch.stack(torch.broadcast_tensors(*parts), dim=-1)


def homography(from_points: Tensor, to_points: Tensor) -> Tensor:
    r"""Return the projective matrix that takes four points to four others.

    The points are in whatever coordinates: the matrix leads from those of
    `from_points` to those of `to_points`. From input pixels to output pixels, it
    becomes a theta by `theta_from_pixels`; from normalized points of the output to
    normalized points of the input, it is one.

    Four points in homogeneous coordinates, of which no three lie on a line, are
    multiples of the columns of a matrix and their sum,
    :math:`P = (p_1, p_2, p_3) \, \mathrm{diag}(\lambda)`, with
    :math:`(p_1, p_2, p_3) \, \lambda = p_4`. With Q for the other four, the matrix is
    :math:`Q P^{-1}`.

    >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> homography(square, 2 * square + 3).tolist()
    [[2.0, 0.0, 3.0], [0.0, 2.0, 3.0], [0.0, 0.0, 1.0]]

    Args:
        from_points: ``(..., 4, 2)``, floating, ``(x, y)`` order.
        to_points: ``(..., 4, 2)``.

    Returns:
        ``(..., 3, 3)``. A point ``(x, y, 1)`` becomes a positive multiple of
        ``(x', y', 1)``. The last entry is 1 wherever ``(0, 0)`` is ahead of the
        horizon, as the four points are.

    Raises:
        TypeError: if the points are not floating tensors.
        ValueError: if they are not ``(..., 4, 2)``, if three of four lie on a line, or
            if the horizon would have to pass between them: then they don't stand in the
            same order around both quadrilaterals.
    """
    for name, points in (("from_points", from_points), ("to_points", to_points)):
        check_floating(points, name)
        if points.shape[-2:] != (4, 2):
            raise ValueError(f"{name} must be (..., 4, 2), got {tuple(points.shape)}")
    dtype = working_dtype(from_points, to_points)
    _, back, start_factors = _projective_frame(from_points.to(dtype), "from_points")
    end, _, end_factors = _projective_frame(to_points.to(dtype), "to_points")
    factors = end_factors / start_factors
    both = torch.cat(torch.broadcast_tensors(from_points, to_points), dim=-1)
    refuse_where(
        (factors <= 0).any(dim=-1),
        both,
        "from_points and to_points must stand in the same order, as (x, y, x', y')",
    )
    matrix = product(end * factors[..., None, :], back)
    corner = matrix[..., 2:, 2:]
    matrix = matrix / corner.where(corner > torch.finfo(dtype).eps, 1.0)
    return matrix.to(torch.promote_types(from_points.dtype, to_points.dtype))


def _projective_frame(points: Tensor, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """The first three of four points as columns (..., 3, 3), and these inverted.

    And the λ of the fourth. The inverse is taken about the points' mean, where little
    is lost to rounding.
    """
    columns = F.pad(points, (0, 1), value=1.0).mT  # (..., 3, 4)
    middle = points.mean(dim=-2, keepdim=True)
    spread = (points - middle).abs().amax(dim=(-2, -1), keepdim=True)
    near = F.pad((points - middle) / spread, (0, 1), value=1.0).mT
    triples = torch.stack([near[..., k] for k in TRIPLES], dim=-3)
    refuse_where(
        _is_singular(triples).any(dim=-1),
        points,
        f"{name} must be four points, no three of them on a line",
    )
    inverse, _ = torch.linalg.inv_ex(near[..., :3])
    unit = torch.eye(2, dtype=points.dtype, device=points.device)
    shrink = torch.cat([unit.expand(*spread.shape[:-2], 2, 2), -middle.mT], dim=-1)
    nearer = to_square(shrink / spread, name)  # from the points to `near`
    factors = product(inverse, near[..., 3:])[..., 0]
    return columns[..., :3], product(inverse, nearer), factors


def _reach(n: int, align_corners: bool) -> float:
    """How many pixels lie between the normalized coordinates 0 and 1."""
    return (n - 1) / 2 if align_corners else n / 2


def _middle_and_reach(
    points: Tensor, size: Sequence[int], align_corners: bool
) -> tuple[Tensor, Tensor]:
    """The pixel at normalized 0, and the pixels from 0 to 1, in (x, y, ...) order."""
    size = check_size(size, "size", SIZES)
    check_flag(align_corners, "align_corners")
    check_floating(points, "points")
    if points.ndim == 0 or points.shape[-1] != len(size):
        raise ValueError(
            f"points must be (..., {len(size)}) for a size {size}, "
            f"got {tuple(points.shape)}"
        )
    middle = vector([(n - 1) / 2 for n in reversed(size)], points)
    return middle, vector([_reach(n, align_corners) for n in reversed(size)], points)


def _to_normalized_matrix(
    size: Sequence[int], name: str, align_corners: bool, like: Tensor
) -> tuple[Tensor, Tensor]:
    """The matrix from an image's pixel to its normalized coordinates, and back.

    They are as large as the square matrix `like`: 3×3 for an image, 4×4 for a volume.
    """
    dimensions = like.shape[-1] - 1
    size = check_size(size, name, f"({size_axes(dimensions)})")
    check_flag(align_corners, "align_corners")
    if align_corners and not torch.jit.is_tracing() and min(size) == 1:
        raise ValueError(
            f"{name} must be at least 2 along each axis with align_corners=True, "
            f"got {size}"
        )
    there: list[float] = []
    back: list[float] = []
    for axis, n in enumerate(reversed(size)):
        middle, reach = (n - 1) / 2, _reach(n, align_corners)
        before, behind = [0] * axis, [0] * (dimensions - 1 - axis)
        there += [*before, 1 / reach, *behind, -middle / reach]
        back += [*before, reach, *behind, middle]
    last_row, side = [0] * dimensions + [1], dimensions + 1
    return (
        vector([*there, *last_row], like).view(side, side),
        vector([*back, *last_row], like).view(side, side),
    )


def to_square(matrix: Tensor, name: str, dimensions: int | None = None) -> Tensor:
    """Return matrices as 3×3, or of volumes as 4×4, in float32 at least.

    >>> to_square(torch.eye(2, 3), "theta").tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

    Args:
        matrix: ``(..., 2, 3)`` or ``(..., 3, 3)``, or of a volume ``(..., 3, 4)`` or
            ``(..., 4, 4)``.
        name: of the argument, for the error.
        dimensions: of the points, 2 or 3, where only one will do.

    Returns:
        ``(..., 3, 3)`` or ``(..., 4, 4)``.

    Raises:
        TypeError: if `matrix` is not a floating tensor.
        ValueError: if its shape is another.
    """
    check_floating(matrix, name)
    known = [2, 3] if dimensions is None else [dimensions]
    forms = [(rows, n + 1) for n in known for rows in (n, n + 1)]
    if matrix.shape[-2:] not in forms:
        *most, last = [f"(..., {rows}, {columns})" for rows, columns in forms]
        raise ValueError(
            f"{name} must be {', '.join(most)} or {last}, got {tuple(matrix.shape)}"
        )
    matrix = matrix.to(working_dtype(matrix))
    rows, columns = matrix.shape[-2:]
    if rows == columns:
        return matrix
    last_row = vector([0] * rows + [1], matrix).expand(*matrix.shape[:-2], 1, columns)
    return torch.cat([matrix, last_row], dim=-2)


def invert(matrix: Tensor, name: str) -> Tensor:
    """Return the inverses of matrices, which must have some, whatever rounding says.

    >>> invert(torch.tensor([[0.5, 0.0], [0.0, 2.0]]), "matrix").tolist()
    [[2.0, 0.0], [0.0, 0.5]]

    Args:
        matrix: ``(..., n, n)``, float32 at least.
        name: of the argument, for the error.

    Returns:
        ``(..., n, n)``.

    Raises:
        ValueError: if a matrix is singular, or so nearly that only rounding tells.
    """
    inverse, failed = torch.linalg.inv_ex(matrix)
    exact = (failed == 0) & inverse.isfinite().all(dim=(-2, -1))
    singular = ~exact | _is_singular(matrix)
    refuse_where(singular, matrix, f"{name} must have an inverse")
    return inverse


def refuse_where(
    wrong: Tensor, values: Tensor, message: str | Callable[[], str]
) -> None:
    """Raise for the first of a batch that is wrong, if it can be known.

    >>> refuse_where(torch.tensor([False, True]), torch.tensor([1.0, 2.0]), "no twos")
    Traceback (most recent call last):
        ...
    ValueError: no twos, got 2.0 at index 1

    Args:
        wrong: ``()`` or ``(...)``, boolean.
        values: ``(...)`` and more dimensions: what the message shows.
        message: what is asked for, or a function that says it. What it takes to word a
            message, such as a `repr`, would stop a compiler though nothing is wrong.

    Raises:
        ValueError: if one is wrong. Nothing is raised where `wrong` has no values yet:
            in a compiler, an export, a trace or under `torch.vmap`.
    """
    known = known_values(wrong.flatten())
    if not known or not any(known):
        return
    first = known.index(True)
    shown = values.reshape(len(known), *values.shape[wrong.ndim :])[first].tolist()
    where = f" at index {first}" if wrong.ndim else ""
    message = message if isinstance(message, str) else message()
    raise ValueError(f"{message}, got {shown}{where}")


def _is_singular(matrix: Tensor) -> Tensor:
    """Whether the rows depend on one another, up to rounding and whatever their units.

    A factorization alone does not say: rounding gives many singular matrices an inverse
    of huge numbers, on some machines and not on others.
    """
    scaled, kind = matrix.detach(), torch.finfo(matrix.dtype)
    for dim in (-2, -1):  # columns, then rows, of length 1
        scaled = scaled / scaled.norm(dim=dim, keepdim=True).clamp_min(kind.tiny)
    return ~(torch.linalg.det(scaled).abs() > 16 * kind.eps)  # NaN, too
