r"""Families of warps of volumes, with points (x, y, z) and sizes (D, H, W).

They are families of matrices as those of `stn_tutorial.families` are, and do all that
those do; a matrix is 3×4 or 4×4 here. Each is contained in the next::

    Rigid3d < Similarity3d < Affine3d

In the plane a rotation is one number. In space it is three: an axis, and an angle about
it. Three angles about three fixed axes (Euler's) are three numbers too, but where the
second of them makes the first and the third axis one, the two rotate about the same
axis, and no small change of the three makes a small rotation about another. A *rotation
vector* :math:`\omega` points along the axis, and is as long as the angle in radians; it
is smooth wherever the angle is below a full rotation, and zero is the identity. With K
the matrix that takes p to :math:`\omega \times p`, the rotation matrix is

.. math:: R = e^K = I + \frac{\sin \lVert\omega\rVert}{\lVert\omega\rVert} K
    + \frac{1 - \cos \lVert\omega\rVert}{\lVert\omega\rVert^2} K^2

(Rodrigues' formula). A positive angle about z leads from x towards y, about x from y
towards z, about y from z towards x.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stn_tutorial._validate import check_floating, product, working_dtype
from stn_tutorial.coordinates import to_square
from stn_tutorial.families import Conformal, MatrixFamily, _positive

__all__ = [
    "Affine3d",
    "Rigid3d",
    "Similarity3d",
    "rotation_matrix",
    "rotation_vector",
]


class Affine3d(MatrixFamily):
    """Every affine warp of a volume: the twelve numbers of theta, row by row.

    >>> theta = torch.eye(3, 4)[None]
    >>> Affine3d().grid(theta, (2, 4, 5)).shape
    torch.Size([1, 2, 4, 5, 3])
    """

    entries = ("a b c d", "e f g h", "i j k l", "0 0 0 1")
    letters = "abcdefghijkl"


class _Rotating(Conformal):
    """What `Rigid3d` and `Similarity3d` share: a rotation vector comes first."""

    entries = (". . . x", ". . . y", ". . . z", "0 0 0 1")

    def __init__(self, aspect: Sequence[float] | None = None) -> None:
        if aspect is not None:
            if not isinstance(aspect, (tuple, list)) or len(aspect) != 2:
                raise ValueError(
                    "aspect must be two numbers, width over height and depth over "
                    f"height, got {aspect!r}"
                )
            aspect = tuple(_positive(ratio, "aspect") for ratio in aspect)
        super().__init__(aspect)

    def _aspect_of(self, sides: Sequence[int]) -> tuple[float, float]:
        depth, height, width = sides
        return width / height, depth / height

    def _ratios(self) -> tuple[float, float, float]:
        across, deep = self.aspect
        return across, 1, deep

    def _assemble(self, rotation: Tensor, shift: Tensor) -> Tensor:
        """A 3×3 matrix and a shift as (N, 4, 4)."""
        return to_square(torch.cat([rotation, shift[..., None]], dim=-1), "matrix")


class Rigid3d(_Rotating):
    """A rotation and a shift: how a solid body moves.

    The parameters are a rotation vector and then the shift (x, y, z). They rotate the
    *volume*: in half its height along all axes, as in `stn_tutorial.Similarity`.

    >>> about_z = torch.tensor([0.0, 0.0, torch.pi / 2, 0.0, 0.0, 0.0])
    >>> point = Rigid3d(aspect=(1.0, 1.0)).matrix(about_z)[:, 0]  # of (1, 0, 0)
    >>> [round(v, 3) + 0.0 for v in point.tolist()]
    [0.0, 1.0, 0.0, 0.0]

    Args:
        aspect: width over height and depth over height of the volume that is sampled
            (with ``align_corners=True``, of its sides less one). With None, `grid`
            takes them of the output's size, and what needs a matrix must be told.

    Raises:
        TypeError: if what is in `aspect` are not numbers.
        ValueError: if it is not two positive and finite ones.
    """

    letters = "uvwxyz"

    def _matrix_of(self, params: Tensor) -> Tensor:
        vector, shift = params.split((3, 3), dim=-1)
        return self._assemble(rotation_matrix(vector), shift)

    def _params_in(self, square: Tensor) -> Tensor:
        vector = rotation_vector(square[..., :3, :3])
        return torch.cat([vector, square[..., :3, 3]], dim=-1)


class Similarity3d(_Rotating):
    """A rotation, an isotropic scale and a shift.

    The parameters are a rotation vector, the scale s, and the shift (x, y, z), in the
    units of `Rigid3d`. A negative scale mirrors the volume at its middle, too.

    >>> half = torch.tensor([0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0])
    >>> Similarity3d().inverse(half).tolist()
    [0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0]

    Args:
        aspect: as of `Rigid3d`.

    Raises:
        TypeError: if what is in `aspect` are not numbers.
        ValueError: if it is not two positive and finite ones.
    """

    letters = "uvwsxyz"

    def _matrix_of(self, params: Tensor) -> Tensor:
        vector, scale, shift = params.split((3, 1, 3), dim=-1)
        return self._assemble(scale[..., None] * rotation_matrix(vector), shift)

    def _params_in(self, square: Tensor) -> Tensor:
        scaled = square[..., :3, :3]
        volume = _determinant(scaled)
        scale = volume.sign() * volume.abs().where(volume != 0, 1.0) ** (1 / 3)
        vector = rotation_vector(scaled / scale.where(scale != 0, 1.0)[..., None, None])
        return torch.cat([vector, scale[..., None], square[..., :3, 3]], dim=-1)


def rotation_matrix(vector: Tensor) -> Tensor:
    r"""Return the matrix that rotates about an axis: Rodrigues' formula.

    >>> third = torch.ones(3) * 2 * torch.pi / 3 / 3**0.5  # about the cube's diagonal
    >>> rotation_matrix(third).round().abs().tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]

    Args:
        vector: ``(..., 3)`` rotation vectors: along the axis, as long as the angle in
            radians.

    Returns:
        ``(..., 3, 3)``, of the vectors' dtype, float32 at least; at zero exactly the
        identity. It is smooth there, too.

    Raises:
        TypeError: if `vector` is not a floating tensor.
        ValueError: if it is not ``(..., 3)``.
    """
    check_floating(vector, "vector")
    if vector.shape[-1:] != (3,):
        raise ValueError(f"vector must be (..., 3), got {tuple(vector.shape)}")
    vector = vector.to(working_dtype(vector))
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1)
    cross = cross.unflatten(-1, (3, 3))
    squared = vector.square().sum(dim=-1)[..., None, None]
    once, half = _sine_ratio(squared), _sine_ratio(squared / 4)
    # (1 - cos a) / a² is half the square of sin(a / 2) / (a / 2), and loses no digits.
    identity = torch.eye(3, dtype=vector.dtype, device=vector.device)
    return identity + once * cross + half.square() / 2 * product(cross, cross)


def rotation_vector(matrix: Tensor) -> Tensor:
    r"""Return the shortest rotation vector of a rotation matrix.

    The matrix' unit quaternion q, with the cosine of half the angle first and the sine
    along the axis, is found from :math:`4 q q^\top`, whose entries are sums of the
    matrix' own. Every row of it is a multiple of q; the one with the largest entry on
    the diagonal loses least to rounding.

    >>> vector = torch.tensor([0.3, -0.2, 0.1])
    >>> [round(v, 3) for v in rotation_vector(rotation_matrix(vector)).tolist()]
    [0.3, -0.2, 0.1]

    Args:
        matrix: ``(..., 3, 3)`` rotation matrices. Of another matrix it is a rotation
            near it, or none.

    Returns:
        ``(..., 3)``, not longer than half a rotation; undoes `rotation_matrix`. Smooth
        but at half a rotation, where the vector and its opposite mean the same.

    Raises:
        TypeError: if `matrix` is not a floating tensor.
        ValueError: if it is not ``(..., 3, 3)``.
    """
    check_floating(matrix, "matrix")
    if matrix.shape[-2:] != (3, 3):
        raise ValueError(f"matrix must be (..., 3, 3), got {tuple(matrix.shape)}")
    (a, b, c), (d, e, f), (g, h, i) = (
        row.unbind(-1) for row in matrix.to(working_dtype(matrix)).unbind(-2)
    )
    x, y, z = h - f, c - g, d - b
    xy, yz, zx = b + d, f + h, c + g
    table = [
        *(1 + a + e + i, x, y, z),
        *(x, 1 + a - e - i, xy, zx),
        *(y, xy, 1 - a + e - i, yz),
        *(z, zx, yz, 1 - a - e + i),
    ]
    rows = torch.stack(table, dim=-1).unflatten(-1, (4, 4))
    largest = rows.detach().diagonal(dim1=-2, dim2=-1).argmax(dim=-1)
    chosen = largest[..., None] == torch.arange(4, device=rows.device)
    row = rows.where(chosen[..., None], 0.0).sum(dim=-2)
    cosine, sine = row.split((1, 3), dim=-1)
    # The row is a multiple of q: its length cancels out of sine over cosine.
    sine = sine.where(cosine >= 0, -sine)
    return 2 * _angle_ratio(cosine.abs(), sine.square().sum(-1, keepdim=True)) * sine


def _sine_ratio(squared: Tensor) -> Tensor:
    """sin(a) / a of a², with all its derivatives at zero."""
    near = squared.where(squared < 1, 0.0)
    series = torch.ones_like(near)
    for k in range(8, 0, -1):  # 1 - a²/6 (1 - a²/20 (1 - ...)), 1e-17 at a = 1
        series = 1 - near / (2 * k * (2 * k + 1)) * series
    angle = squared.where(squared >= 1, 1.0).sqrt()
    return series.where(squared < 1, angle.sin() / angle)


def _angle_ratio(cosine: Tensor, squared: Tensor) -> Tensor:
    """a / |s| for a multiple of (cos a, sin a), with s² = squared; 0 <= a <= π / 2."""
    ratio = squared / cosine.square().where(cosine > 0, 1.0)
    near = (ratio < 1 / 16) & (cosine > 0)
    t = ratio.where(near, 0.0)
    series = torch.zeros_like(t)
    for k in range(13, -1, -1):  # arctan(t) / t = 1 - t²/3 + t⁴/5 - ..., 1e-17 at 1/4
        series = 1 / (2 * k + 1) - t * series
    safe = squared.where(~near, 1.0).sqrt()
    far = torch.atan2(safe, cosine.where(~near, 1.0)) / safe
    return (series / cosine.where(near, 1.0)).where(near, far)


def _determinant(matrix: Tensor) -> Tensor:
    """The determinants of 3×3 matrices, (...), by products and sums."""
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in matrix.unbind(-2))
    return a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g)
