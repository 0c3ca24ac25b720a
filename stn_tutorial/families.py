"""Families of warps: from a few parameters to a sampling grid (the grid generator).

A family is a small object with ``n_params``, ``identity()`` and ``grid()``. The grid it
makes holds, for every *output* pixel, the normalized *input* coordinates to read: the
inverse warp, as in §3.2 of Jaderberg et al. (2015). The families of this module are
matrices, each family contained in the next::

    Translation < Attention < Similarity < Affine < Projective

They are groups, the last one while the output's middle stays ahead of the horizon.
The thin plate spline is none; it is in `stn_tutorial.thin_plate_spline`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stn_tutorial.coordinates import base_grid

__all__ = [
    "Affine",
    "Attention",
    "MatrixFamily",
    "Projective",
    "Similarity",
    "Translation",
    "check_params",
    "convert",
    "output_points",
]


class MatrixFamily:
    """What the families of matrices share: everything but the picture of the matrix.

    A family is defined by `entries`, its 3×3 matrix as one would write it down; the
    parameters are the letters in the order of `letters`. Everything is computed in
    float32 at least: a grid in half precision can't tell neighbouring pixels apart.
    """

    entries: tuple[str, str, str]
    letters: str

    @property
    def n_params(self) -> int:
        """How many numbers a warp of this family has."""
        return len(self.letters)

    def identity(self) -> Tensor:
        """Return the ``(n_params,)`` parameters that leave an image as it is."""
        return self.params_of(torch.eye(3)[None])[0]

    def matrix(self, params: Tensor) -> Tensor:
        """Return the matrices, normalized output to normalized input.

        Args:
            params: ``(N, n_params)``.

        Returns:
            ``(N, 3, 3)``, of the parameters' dtype, float32 at least.

        Raises:
            TypeError: if `params` is not a floating tensor.
            ValueError: if `params` is not ``(N, n_params)``.
        """
        params = check_params(params, self.n_params)
        zero = torch.zeros_like(params[:, 0])
        known = {"0": zero, "1": zero + 1}
        for letter, value in zip(self.letters, params.unbind(dim=1), strict=True):
            known[letter], known["-" + letter] = value, -value
        rows = [[known[entry] for entry in row.split()] for row in self.entries]
        return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)

    def params_of(self, matrix: Tensor) -> Tensor:
        """Return the parameters of matrices of this family; undoes `matrix`.

        Args:
            matrix: ``(N, 3, 3)``, up to a factor.

        Returns:
            ``(N, n_params)``.
        """
        matrix = matrix / matrix[:, 2:, 2:]
        flat = " ".join(self.entries).split()
        return matrix.flatten(1)[:, [flat.index(letter) for letter in self.letters]]

    def grid(
        self, params: Tensor, size: Sequence[int], *, align_corners: bool = False
    ) -> Tensor:
        """Return the input coordinates to read for every output pixel.

        Args:
            params: ``(N, n_params)``, normalized output to normalized input.
            size: ``(H, W)`` of the output.
            align_corners: the convention of the normalized coordinates.

        Returns:
            ``(N, H, W, 2)`` normalized input points, of the parameters' dtype, float32
            at least.

        Raises:
            TypeError: if `params` is not a floating tensor.
            ValueError: if `params` is not ``(N, n_params)`` or `size` not ``(H, W)``.
        """
        matrix = self.matrix(params)[:, None, None]  # (N, 1, 1, 3, 3)
        x, y = output_points(size, matrix, align_corners).split(1, dim=-1)
        # Products and sums rather than a matrix product: the latter is rounded to half
        # precision under autocast and to TF32 on some GPUs, and a grid can't bear that.
        return matrix[..., :2, 0] * x + matrix[..., :2, 1] * y + matrix[..., :2, 2]

    def compose(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the one warp that does `first` and then `second` to an image.

        A point of the final image is taken back through `second`, and then through
        `first`: the matrices multiply in the order ``first @ second``. (A point behind
        the horizons of two projective warps lies ahead of that of their product.)

        Args:
            first: ``(N, n_params)``, the warp applied to the image first.
            second: ``(N, n_params)``, the warp applied to the result.

        Returns:
            ``(N, n_params)`` parameters, normalized output to normalized input.

        Raises:
            TypeError: if `first` or `second` is not a floating tensor.
            ValueError: if they are not both ``(N, n_params)``, or do not compose.
        """
        check_params(first, self.n_params, "first")
        check_params(second, self.n_params, "second")
        if first.shape != second.shape:
            raise ValueError(
                f"second must be {tuple(first.shape)} like first, "
                f"got {tuple(second.shape)}"
            )
        a, b = self.matrix(first), self.matrix(second)
        product = (a[..., None] * b[:, None]).sum(dim=-2)  # as in `grid`
        _check_corner(product, "first and second")
        return self.params_of(product).to(first.dtype)

    def inverse(self, params: Tensor) -> Tensor:
        """Return the warp that undoes this one.

        Args:
            params: ``(N, n_params)``, normalized output to normalized input.

        Returns:
            ``(N, n_params)`` parameters, again normalized output to normalized input.

        Raises:
            ValueError: if a warp has no inverse, since it flattens the image.
        """
        inverse, failed = torch.linalg.inv_ex(self.matrix(params))
        if bool((failed != 0).any()) or not bool(inverse.isfinite().all()):
            raise ValueError(f"params have no inverse: {params.tolist()}")
        _check_corner(inverse, "params")
        return self.params_of(inverse).to(params.dtype)


class Translation(MatrixFamily):
    """A shift by (x, y) of the place that is read."""

    entries = ("1 0 x", "0 1 y", "0 0 1")
    letters = "xy"


class Attention(MatrixFamily):
    """A window: isotropic scale s and shift (x, y). Equation (2) of the paper."""

    entries = ("s 0 x", "0 s y", "0 0 1")
    letters = "sxy"


class Similarity(MatrixFamily):
    """A turn, an isotropic scale and a shift.

    With a scale s and an angle α, clockwise on the screen, ``a = s cos α`` and
    ``b = s sin α``: unlike s and α themselves, these two are smooth everywhere. They
    are in normalized units, so that a turn shears an image that is not square.
    """

    entries = ("a -b x", "b a y", "0 0 1")
    letters = "abxy"


class Affine(MatrixFamily):
    """Every affine warp: the six numbers of theta, row by row. Equation (1)."""

    entries = ("a b c", "d e f", "0 0 1")
    letters = "abcdef"


class Projective(MatrixFamily):
    """Every perspective view of a plane: eight numbers, row by row, and a last 1.

    The output point (x, y) reads ``(a x + b y + c, d x + e y + f) / (g x + h y + 1)``.
    Where the divisor is not positive, the point lies on or behind the horizon and has
    no place in the input: its coordinates are infinite, and `stn_tutorial.sample` reads
    it as outside.
    """

    entries = ("a b c", "d e f", "g h 1")
    letters = "abcdefgh"

    def grid(
        self, params: Tensor, size: Sequence[int], *, align_corners: bool = False
    ) -> Tensor:
        """Return the input coordinates to read for every output pixel.

        Args:
            params: ``(N, 8)``, normalized output to normalized input.
            size: ``(H, W)`` of the output.
            align_corners: the convention of the normalized coordinates.

        Returns:
            ``(N, H, W, 2)`` normalized input points; infinite behind the horizon.
        """
        above = super().grid(params, size, align_corners=align_corners)
        matrix = self.matrix(params)[:, None, None]
        x, y = output_points(size, matrix, align_corners).split(1, dim=-1)
        below = matrix[..., 2:, 0] * x + matrix[..., 2:, 1] * y + matrix[..., 2:, 2]
        ahead = below > HORIZON
        return torch.where(ahead, above / below.where(ahead, 1.0), torch.inf)


HORIZON = 1e-6  # divisors up to here are on or behind it
CHAIN = (Translation, Attention, Similarity, Affine, Projective)


def convert(params: Tensor, source: MatrixFamily, target: MatrixFamily) -> Tensor:
    """Return the parameters of the same warp in a larger family.

    Args:
        params: ``(N, source.n_params)``.
        source: the family of `params`.
        target: `source` itself, or a family that contains it.

    Returns:
        ``(N, target.n_params)``: both make the same grid.

    Raises:
        ValueError: if `target` does not contain `source`, or one is no such family.
    """
    for name, family in (("source", source), ("target", target)):
        if type(family) not in CHAIN:
            kind = type(family).__name__
            raise ValueError(f"{name} must be a family of matrices, got {kind}")
    if CHAIN.index(type(target)) < CHAIN.index(type(source)):
        raise ValueError(
            f"target must contain {type(source).__name__}, got {type(target).__name__}"
        )
    return target.params_of(source.matrix(params))


def check_params(params: Tensor, n_params: int, name: str = "params") -> Tensor:
    """Return parameters in float32 at least, once they are known to be parameters.

    Args:
        params: should be ``(N, n_params)``, floating.
        n_params: of the family.
        name: of the argument, for the error.

    Returns:
        `params`, of float32 or a wider dtype.

    Raises:
        TypeError: if `params` is not a floating tensor.
        ValueError: if `params` is not ``(N, n_params)``.
    """
    if not isinstance(params, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(params).__name__}")
    if not params.is_floating_point():
        raise TypeError(f"{name} must be floating, got {params.dtype}")
    if params.ndim != 2 or params.shape[-1] != n_params:
        raise ValueError(f"{name} must be (N, {n_params}), got {tuple(params.shape)}")
    return params.to(torch.promote_types(params.dtype, torch.float32))


def _check_corner(matrix: Tensor, name: str) -> None:
    """Raise if the middle of the output lies on or behind the horizon.

    Dividing by the last entry would then divide by 0, or swap ahead and behind.
    """
    if bool((matrix[:, 2, 2] <= HORIZON).any()):
        raise ValueError(f"{name} make a warp whose middle is not ahead of the horizon")


def output_points(size: Sequence[int], like: Tensor, align_corners: bool) -> Tensor:
    """Return the base grid of an output, on the device and of the dtype of a tensor.

    Args:
        size: ``(H, W)`` of the output.
        like: gives dtype and device.
        align_corners: the convention of the normalized coordinates.

    Returns:
        ``(H, W, 2)`` normalized output points.

    Raises:
        ValueError: if `size` is not ``(H, W)``.
    """
    base = base_grid(
        size, align_corners=align_corners, dtype=like.dtype, device=like.device
    )
    if base.ndim != 3:
        raise ValueError(f"size must be (H, W), got {tuple(size)}")
    return base
