"""Families of warps: from a few parameters to a sampling grid (the grid generator).

A family is a small object with ``n_params``, ``identity()`` and ``grid()``: see
`Family`. The grid it makes holds, for every *output* pixel, the normalized *input*
coordinates to sample: the inverse warp, as in §3.2 of Jaderberg et al. (2015). The
families of this module are matrices, each family contained in the next::

    Translation < Attention < Similarity < Affine < Projective

They are groups, the last one while the output's middle stays ahead of the horizon.
`Crop` is a part of `Attention`. The thin plate spline is no matrix; it is in
`stn_tutorial.thin_plate_spline`. Families of warps of volumes are in
`stn_tutorial.families_3d`.

Wherever a family of matrices takes parameters, ``(N, n_params)``, it takes its matrices
as well, ``(N, 2, 3)`` or ``(N, 3, 3)``. One warp may come without the batch: what is
made of it has none either. (A lone matrix can't come so to a family of three
parameters: there, ``(2, 3)`` are the parameters of two warps.) A matrix that isn't one
of the family is refused, wherever its numbers are known: not while a function is
compiled, exported or traced, and not under `torch.vmap`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from stn_tutorial._validate import (
    check_floating,
    check_number,
    check_size,
    is_traced,
    kind_of,
    known_ends,
    product,
    size_axes,
    vector,
    working_dtype,
)
from stn_tutorial.coordinates import base_grid, invert, refuse_where, to_square

__all__ = [
    "Affine",
    "Attention",
    "Conformal",
    "Crop",
    "Described",
    "Family",
    "MatrixFamily",
    "Projective",
    "Similarity",
    "Translation",
    "as_points",
    "check_family",
    "convert",
    "dimensions_of",
    "family_for_image",
    "fit",
    "output_points",
]

#: Divisors up to here are on the horizon of a perspective, or behind it.
HORIZON = 1e-6
#: Stands in `entries` for one that the parameters don't give one by one.
HIDDEN = "."
#: What rounding may make of a matrix's entries, over its largest entry.
ROUNDING = 1e-4


@runtime_checkable
class Family(Protocol):
    """What is asked of a family of warps. Any object that has it will do.

    One of volumes has an attribute ``dimensions``, 3, as well, and makes grids of
    ``(N, D, H, W, 3)`` for sizes ``(D, H, W)``: see `dimensions_of`.

    >>> class Mirror:
    ...     n_params = 0
    ...
    ...     def identity(self):
    ...         return torch.zeros(0)
    ...
    ...     def grid(self, params, size, *, align_corners=False):
    ...         grid = base_grid(size, align_corners=align_corners)
    ...         mirrored = grid * torch.tensor([-1.0, 1.0])
    ...         return mirrored.expand(len(params), -1, -1, -1)
    >>> isinstance(Mirror(), Family)
    True
    """

    @property
    def n_params(self) -> int:
        """How many numbers a warp of this family has."""
        ...

    def identity(self) -> Tensor:
        """Return the ``(n_params,)`` parameters at which a localization network starts.

        They leave an image as it is, wherever the family has a warp that does.
        """
        ...

    def grid(
        self, params: Tensor, size: Sequence[int], *, align_corners: bool = False
    ) -> Tensor:
        """Return the input coordinates to sample for every output pixel.

        Args:
            params: ``(N, n_params)``.
            size: ``(H, W)`` of the output.
            align_corners: the convention of the normalized coordinates.

        Returns:
            ``(N, H, W, 2)`` normalized input points.
        """
        ...


class Described:
    """Gives a family `repr` and equality: both look at its public attributes.

    >>> Affine(), Crop(scale=0.25)
    (Affine(), Crop(scale=0.25))
    >>> Affine() == Affine(), Crop(scale=0.25) == Crop(scale=0.5)
    (True, False)
    """

    def __repr__(self) -> str:
        options = (f"{name}={value!r}" for name, value in self._options().items())
        return f"{type(self).__name__}({', '.join(options)})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._options() == other._options()

    def __hash__(self) -> int:
        return hash(repr(self))

    def _options(self) -> dict[str, Any]:
        given = vars(self).items()
        return {k: v for k, v in given if not k.startswith("_") and v is not None}


class MatrixFamily(Described):
    """What the families of matrices share: everything but the entries of the matrix.

    A family is defined by `entries`, its 3×3 matrix as one would write it down (4×4 for
    volumes). The parameters are the letters in it, in the order of `letters`; what is
    no letter is a number or the name of an attribute. So one can write a family of
    one's own:

    >>> class Stretch(MatrixFamily):
    ...     entries = ("s 0 0", "0 1 0", "0 0 1")
    ...     letters = "s"
    >>> Stretch().grid(torch.tensor([[0.5]]), (1, 4))[..., 0].tolist()
    [[[-0.375, -0.125, 0.125, 0.375]]]

    Everything is computed in float32 at least: a grid in half precision can't tell
    neighbouring pixels apart.
    """

    entries: tuple[str, ...]
    letters: str

    @property
    def dimensions(self) -> int:
        """How many coordinates a point has, 2 for images and 3 for volumes."""
        return len(self.entries) - 1

    @property
    def n_params(self) -> int:
        """How many numbers a warp of this family has."""
        return len(self.letters)

    @property
    def _has_divisor(self) -> bool:
        """Whether points are divided by what the last row makes of them."""
        return self.entries[-1].split() != ["0"] * self.dimensions + ["1"]

    def identity(self) -> Tensor:
        """Return the ``(n_params,)`` parameters that leave an image as it is.

        >>> Similarity().identity().tolist()
        [1.0, 0.0, 0.0, 0.0]
        """
        return self._checked_params_in(torch.eye(self.dimensions + 1), "the identity")

    def matrix(self, params: Tensor) -> Tensor:
        """Return the matrices, normalized output to normalized input.

        >>> Attention().matrix(torch.tensor([[0.5, 0.1, 0.2]])).shape
        torch.Size([1, 3, 3])

        Args:
            params: ``(N, n_params)``, or matrices of the family.

        Returns:
            ``(N, 3, 3)``, of volumes ``(N, 4, 4)``, of the parameters' dtype, float32
            at least.

        Raises:
            TypeError: if `params` is not a floating tensor.
            ValueError: if `params` has another shape, or a matrix isn't of the family.
        """
        return self._matrix_of(self._params(params, "params"))

    def params_of(self, matrix: Tensor) -> Tensor:
        """Return the parameters of matrices of this family; undoes `matrix`.

        >>> theta = torch.tensor([[0.5, 0.0, 0.1], [0.0, 0.5, 0.2]])
        >>> [round(p, 3) for p in Attention().params_of(theta).tolist()]
        [0.5, 0.1, 0.2]

        Args:
            matrix: ``(N, 2, 3)`` or ``(N, 3, 3)``, of volumes ``(N, 3, 4)`` or
                ``(N, 4, 4)``, or one without the batch; those of `Projective` up to a
                positive factor.

        Returns:
            ``(N, n_params)``, of the matrix's dtype, float32 at least.

        Raises:
            TypeError: if `matrix` is not a floating tensor.
            ValueError: if it has another shape, or isn't of the family.
        """
        return self._params_of(matrix, "matrix")

    def grid(
        self, params: Tensor, size: Sequence[int], *, align_corners: bool = False
    ) -> Tensor:
        """Return the input coordinates to sample for every output pixel.

        >>> Translation().grid(torch.tensor([[1.0, 0.0]]), (1, 2)).tolist()
        [[[[0.5, 0.0], [1.5, 0.0]]]]

        Args:
            params: ``(N, n_params)``, normalized output to normalized input, or
                matrices of the family.
            size: ``(H, W)`` of the output, of volumes ``(D, H, W)``.
            align_corners: the convention of the normalized coordinates.

        Returns:
            ``(N, H, W, 2)`` or ``(N, D, H, W, 3)`` normalized input points, of the
            parameters' dtype, float32 at least. Behind the horizon of a perspective
            they are infinite.

        Raises:
            TypeError: if `params` is not a floating tensor.
            ValueError: if `params` has another shape, a matrix isn't of the family, or
                `size` is not that of an output.
        """
        matrix, d = self.matrix(params), self.dimensions
        above = _moved(matrix[..., :d, :], size, align_corners)
        if not self._has_divisor:
            return as_points(above, d)
        below = _moved(matrix[..., d:, :], size, align_corners)
        ends = known_ends(below)
        if ends is not None and ends[0] > HORIZON:  # all of it is ahead
            return as_points(above * below.reciprocal(), d)
        ahead = below > HORIZON
        moved = above * below.where(ahead, 1.0).reciprocal()
        return as_points(moved.where(ahead, torch.inf), d)

    def compose(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the one warp that does `first` and then `second` to an image.

        A point of the final image is taken back through `second`, and then through
        `first`: the matrices multiply in the order ``first @ second``. (A point behind
        the horizons of two projective warps lies ahead of that of their product.)

        >>> zoom, shift = torch.tensor([[0.5, 0.0, 0.0], [1.0, 0.4, 0.0]])
        >>> [round(p, 3) for p in Attention().compose(zoom, shift).tolist()]
        [0.5, 0.2, 0.0]

        Args:
            first: ``(N, n_params)`` or matrices, the warp applied to the image first.
            second: ``(N, n_params)`` or matrices, the warp applied to the result. One
                warp is composed with every one of a batch.

        Returns:
            ``(N, n_params)`` parameters, normalized output to normalized input, of the
            wider dtype of the two.

        Raises:
            TypeError: if `first` or `second` is not a floating tensor.
            ValueError: if they have other shapes, or their composition isn't of the
                family.
        """
        a = self._matrix_of(self._params(first, "first"))
        b = self._matrix_of(self._params(second, "second"))
        if a.ndim == b.ndim == 3 and a.shape[0] != b.shape[0]:
            if 1 not in (a.shape[0], b.shape[0]):
                raise ValueError(
                    f"second must have the batch size {a.shape[0]} of first, "
                    f"got {b.shape[0]}"
                )
        what = "the composition of first and second"
        composed = self._checked_params_in(product(a, b), what)
        return composed.to(torch.promote_types(first.dtype, second.dtype))

    def inverse(self, params: Tensor) -> Tensor:
        """Return the warp that undoes this one.

        >>> Attention().inverse(torch.tensor([[0.5, 0.0, 0.25]])).tolist()
        [[2.0, 0.0, -0.5]]

        Args:
            params: ``(N, n_params)``, normalized output to normalized input, or
                matrices of the family.

        Returns:
            ``(N, n_params)`` parameters, again normalized output to normalized input,
            of the dtype of `params`.

        Raises:
            TypeError: if `params` is not a floating tensor.
            ValueError: if a warp has no inverse, since it flattens the image, or none
                in the family.
        """
        inverse = invert(self._matrix_of(self._params(params, "params")), "params")
        undone = self._checked_params_in(inverse, "the inverse of params")
        return undone.to(params.dtype)

    def _params(self, params: Tensor, name: str) -> Tensor:
        """Parameters, or those of matrices, in float32 at least; or an error."""
        check_floating(params, name)
        n, d = self.n_params, self.dimensions
        if params.ndim in (1, 2) and params.shape[-1] == n:
            return params.to(working_dtype(params))
        matrices = (d, d + 1), (d + 1, d + 1)
        if params.ndim not in (2, 3) or params.shape[-2:] not in matrices:
            raise ValueError(
                f"{name} must be (N, {n}), (N, {d}, {d + 1}) or (N, {d + 1}, {d + 1}) "
                f"for {self!r}, got {tuple(params.shape)}"
            )
        return self._params_of(params, name)

    def _matrix_of(self, params: Tensor) -> Tensor:
        """Put parameters (N, n_params) in the place of their letters: (N, 3, 3)."""
        entries = [each for row in self.entries for each in row.split()]
        values = [self._entry(each, params) for each in entries]
        side = self.dimensions + 1
        return torch.stack(values, dim=-1).unflatten(-1, (side, side))

    def _entry(self, entry: str, params: Tensor) -> Tensor:
        name = entry.removeprefix("-")
        if len(name) == 1 and name in self.letters:
            value = params[..., self.letters.index(name)]
        else:
            number = getattr(self, name) if hasattr(self, name) else float(name)
            value = params.new_full(params.shape[:-1], number)
        return value if name == entry else -value

    def _params_of(
        self, matrix: Tensor, name: str, given: torch.dtype | None = None
    ) -> Tensor:
        """`params_of` of an argument that is called so, and was given in a dtype."""
        d = self.dimensions
        square = to_square(matrix, name, d)
        if matrix.ndim > 3:
            raise ValueError(
                f"{name} must be (N, {d}, {d + 1}) or (N, {d + 1}, {d + 1}), "
                f"got {tuple(matrix.shape)}"
            )
        rounding = max(ROUNDING, 16 * torch.finfo(given or matrix.dtype).eps)
        return self._checked_params_in(square, name, rounding)

    def _checked_params_in(
        self, square: Tensor, name: str, rounding: float = ROUNDING
    ) -> Tensor:
        """`_params_in` matrices (N, 3, 3), or an error if they aren't the family's."""
        if self._has_divisor:
            square = _without_factor(square, name)
        params = self._params_in(square)
        away = (self._matrix_of(params) - square).abs().amax(dim=(-2, -1))
        largest = square.abs().amax(dim=(-2, -1))
        wrong = away > rounding * largest  # NaN may pass, as it may in parameters
        refuse_where(wrong, square, lambda: f"{name} must be a warp of {self!r}")
        return params

    def _params_in(self, square: Tensor) -> Tensor:
        """The parameters (N, n_params) in matrices (N, 3, 3): undoes `_matrix_of`."""
        flat, entries = square.flatten(-2), " ".join(self.entries).split()
        params = [
            flat[..., entries.index(letter)]
            if letter in entries
            else -flat[..., entries.index("-" + letter)]
            for letter in self.letters
        ]
        return torch.stack(params, dim=-1)


def _without_factor(square: Tensor, name: str) -> Tensor:
    """Make the last entry 1, if the middle of the output is ahead of the horizon.

    Dividing would otherwise divide by 0, or swap ahead and behind.
    """
    corner = square[..., -1, -1]
    largest = square[..., -1, :].abs().amax(dim=-1)
    behind = corner <= HORIZON * largest
    refuse_where(
        behind, square, f"{name} must have the output's middle ahead of its horizon"
    )
    return square / corner[..., None, None]


class Translation(MatrixFamily):
    """A shift by (x, y) of the location that is sampled.

    >>> Translation().n_params
    2
    """

    entries = ("1 0 x", "0 1 y", "0 0 1")
    letters = "xy"


class Crop(MatrixFamily):
    """A crop of a fixed size, which can only move: its middle is (x, y).

    There is no identity warp among the crops, unless the scale is 1: `identity` returns
    the crop from the middle, at which a localization network starts.

    >>> image = torch.arange(16.0).view(1, 1, 4, 4)
    >>> grid = Crop(scale=0.5).grid(torch.tensor([[0.5, -0.5]]), (2, 2))
    >>> torch.nn.functional.grid_sample(image, grid, align_corners=False).tolist()
    [[[[2.0, 3.0], [6.0, 7.0]]]]

    Args:
        scale: side of the crop over that of the image.

    Raises:
        TypeError: if `scale` is not a number.
        ValueError: if it is not positive and finite.
    """

    entries = ("scale 0 x", "0 scale y", "0 0 1")
    letters = "xy"

    def __init__(self, scale: float = 0.5) -> None:
        self.scale = _positive(scale, "scale")

    def identity(self) -> Tensor:
        """Return the ``(2,)`` parameters of the crop from the middle: zeros.

        >>> Crop().identity().tolist()
        [0.0, 0.0]
        """
        return torch.zeros(2)


class Attention(MatrixFamily):
    """A crop of any size: isotropic scale s and shift (x, y). Equation (2) of §3.2.

    >>> Attention().matrix(torch.tensor([0.5, 0.1, 0.2])).shape
    torch.Size([3, 3])
    """

    entries = ("s 0 x", "0 s y", "0 0 1")
    letters = "sxy"


class Conformal(MatrixFamily):
    """What the families share that rotate: right angles of the image stay right.

    In normalized coordinates of an image that is not square, or of a volume that is no
    cube, the units along the axes differ, and a rotation would be a shear. So these
    families measure points, and their shifts, in half the image's height along every
    axis; with the reaches r of the axes over the height's, the entry in row i and
    column j of their matrix becomes :math:`m_{ij} r_j / r_i` in normalized coordinates.

    With `aspect` None, `warp` and `SpatialTransformer` take the ratios from the image
    (see `for_image`); `grid` alone takes them from the output's size, which is right
    unless input and output have different shapes; `compose` and `inverse` do not need
    to know; where a matrix is given or asked for, an error says that they must be
    known.
    """

    def __init__(self, aspect: Any = None) -> None:
        self.aspect = aspect

    def matrix(self, params: Tensor) -> Tensor:
        """Return the matrices, normalized output to normalized input.

        >>> Similarity(aspect=2.0).matrix(torch.tensor([0.0, 1.0, 0.0, 0.0])).tolist()
        [[0.0, -0.5, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]

        Args:
            params: ``(N, n_params)``, or matrices of the family.

        Returns:
            ``(N, 3, 3)``, of volumes ``(N, 4, 4)``, of the parameters' dtype, float32
            at least.

        Raises:
            TypeError: if `params` is not a floating tensor.
            ValueError: if `params` has another shape, a matrix isn't of the family, or
                the aspect is not known.
        """
        own = super().matrix(params)
        return own * self._units(f"a matrix of {type(self).__name__}()", own)

    def grid(
        self, params: Tensor, size: Sequence[int], *, align_corners: bool = False
    ) -> Tensor:
        """Return the input coordinates to sample for every output pixel.

        >>> Similarity().grid(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), (3, 5)).shape
        torch.Size([1, 3, 5, 2])

        Args:
            params: ``(N, n_params)``, output to input, or matrices of the family.
            size: ``(H, W)`` of the output, of volumes ``(D, H, W)``. The input is taken
                to have the same shape, unless the family knows the input's `aspect`.
            align_corners: the convention of the normalized coordinates.

        Returns:
            ``(N, H, W, 2)`` or ``(N, D, H, W, 3)`` normalized input points, of the
            parameters' dtype, float32 at least.

        Raises:
            TypeError: if `params` is not a floating tensor.
            ValueError: if `params` has another shape, a matrix isn't of the family, or
                `size` is not that of an output.
        """
        if self.aspect is not None:
            return super().grid(params, size, align_corners=align_corners)
        known = self.for_image(size, align_corners=align_corners)
        return known.grid(params, size, align_corners=align_corners)

    def for_image(
        self, size: Sequence[int], *, align_corners: bool = False
    ) -> Conformal:
        """Return this family, knowing the aspect of an image.

        >>> Similarity().for_image((32, 64))
        Similarity(aspect=2.0)

        Args:
            size: ``(H, W)`` of the image that is sampled, of a volume ``(D, H, W)``.
            align_corners: the convention of the normalized coordinates.

        Returns:
            A family that knows its aspect: itself, if it did before.

        Raises:
            ValueError: if `size` is not that of an image.
        """
        if self.aspect is not None:
            return self
        sides = check_size(size, "size", f"({size_axes(self.dimensions)})")
        if align_corners:  # the reach is n - 1 pixels, but a single pixel has none
            sides = tuple(n - 1 + 1 // n for n in sides)
        known = copy.copy(self)
        known.aspect = self._aspect_of(sides)
        return known

    def _aspect_of(self, sides: Sequence[int]) -> Any:
        """The aspect of an image of these sides, height before width."""
        raise NotImplementedError

    def _ratios(self) -> Sequence[float]:
        """The reaches along x, y (and z) over the height's, of a known aspect."""
        raise NotImplementedError

    def _params_of(
        self, matrix: Tensor, name: str, given: torch.dtype | None = None
    ) -> Tensor:
        square = to_square(matrix, name, self.dimensions)
        own = square / self._units(name, square)
        return super()._params_of(own, name, given or matrix.dtype)

    def _units(self, name: str, like: Tensor) -> Tensor:
        """What the family's own units make of each entry in normalized ones: (3, 3)."""
        if self.aspect is None:
            kind = type(self)
            example = kind(self._aspect_of([1] * self.dimensions))
            raise ValueError(
                f"{name} depends on the image's width over height, which "
                f"{kind.__name__}() does not know: make it, say, {example!r}"
            )
        ratios = [*self._ratios(), 1]
        entries = [column / row for row in ratios for column in ratios]
        return vector(entries, like).view(len(ratios), len(ratios))


class Similarity(Conformal):
    r"""A rotation, an isotropic scale and a shift.

    With a scale s and an angle α, clockwise on the screen, ``a = s cos α`` and
    ``b = s sin α``: unlike s and α themselves, these two are smooth everywhere. They
    rotate and scale the *image*, and it is measured in half its height along both axes
    (see `Conformal`). So the matrix in normalized coordinates depends on the `aspect`
    r, width over height:

    .. math:: \begin{pmatrix} a & -b/r & x/r \\ b\,r & a & y \\ 0 & 0 & 1 \end{pmatrix}

    On a square image r is 1, and all units are the normalized ones.

    >>> quarter = torch.tensor([0.0, 1.0, 0.0, 0.0])  # of a full rotation
    >>> to_pixels = torch.tensor([32.0, 16.0])  # the reaches of an image of 32×64
    >>> grid = Similarity().grid(quarter, (32, 64)) * to_pixels
    >>> (grid[0, 1] - grid[0, 0]).tolist(), (grid[1, 0] - grid[0, 0]).tolist()
    ([0.0, 1.0], [-1.0, 0.0])

    Args:
        aspect: width over height of the image that is sampled (with
            ``align_corners=True``, ``(W - 1) / (H - 1)``). With None it is that of the
            image in `stn_tutorial.warp`, and in `grid` that of the output's size.

    Raises:
        TypeError: if `aspect` is not a number.
        ValueError: if it is not positive and finite.
    """

    entries = ("a -b x", "b a y", "0 0 1")
    letters = "abxy"

    def __init__(self, aspect: float | None = None) -> None:
        super().__init__(None if aspect is None else _positive(aspect, "aspect"))

    def _aspect_of(self, sides: Sequence[int]) -> float:
        height, width = sides
        return width / height

    def _ratios(self) -> tuple[float, float]:
        return self.aspect, 1


class Affine(MatrixFamily):
    """Every affine warp: the six numbers of theta, row by row. Equation (1) of §3.2.

    >>> theta = torch.eye(2, 3)[None]
    >>> Affine().grid(theta, (4, 5)).shape
    torch.Size([1, 4, 5, 2])
    """

    entries = ("a b c", "d e f", "0 0 1")
    letters = "abcdef"


class Projective(MatrixFamily):
    """Every perspective view of a plane: eight numbers, row by row, and a last 1.

    The output point (x, y) samples the input at
    ``(a x + b y + c, d x + e y + f) / (g x + h y + 1)``. Where the divisor is not
    positive, the point lies on or behind the horizon and has no location in the input:
    its coordinates are infinite, and `stn_tutorial.sample` takes it as outside.

    A matrix is one of this family up to a positive factor, if the middle of the output
    is ahead of the horizon: if its last entry is positive.

    >>> lean = torch.tensor([[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0, 0.0]])
    >>> Projective().grid(lean, (1, 2))[..., 0].tolist()
    [[[inf, 0.25]]]
    """

    entries = ("a b c", "d e f", "g h 1")
    letters = "abcdefgh"


def convert(params: Tensor, source: MatrixFamily, target: MatrixFamily) -> Tensor:
    """Return the parameters of the same warp in another family.

    >>> crop = torch.tensor([[0.2, -0.1]])
    >>> convert(crop, Crop(scale=0.5), Affine()).shape
    torch.Size([1, 6])

    Args:
        params: ``(N, source.n_params)``, or matrices of `source`.
        source: the family of `params`.
        target: a family that has these warps: a larger one has them all.

    Returns:
        ``(N, target.n_params)``: both make the same grid.

    Raises:
        TypeError: if `source` or `target` is no family of matrices.
        ValueError: if a warp isn't in `target`.
    """
    for name, family in (("source", source), ("target", target)):
        check_family(family, name)
        if not isinstance(family, MatrixFamily):
            raise TypeError(f"{name} must be a family of matrices, got {family!r}")
    matrix = source.matrix(params)
    return target._params_of(matrix, "params", params.dtype).to(params.dtype)


def fit(
    family: Family, points: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor:
    r"""Return the parameters whose warp takes points nearest to their targets.

    Nearest in the sense of least squares: the parameters minimize
    :math:`\sum_i \lVert w_i (T_\theta(x_i) - y_i) \rVert^2`. All families of images
    but the projective one, and `stn_tutorial.Affine3d`, are linear in their parameters,
    up to a constant, and that is one linear system. A projective warp becomes linear
    when it is multiplied with its divisor, which also weighs the distances with it: the
    fit is exact where an exact warp exists, and near the best one elsewhere.

    >>> points = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    >>> fit(Translation(), points, points + 0.5)
    tensor([[0.5000, 0.5000]])

    Args:
        family: a family of matrices, or one with a method ``at`` and linear in its
            parameters, as `ThinPlateSpline` is.
        points: ``(N, P, 2)`` normalized output points, whatever the convention; of
            volumes ``(N, P, 3)``.
        targets: of the same shape, normalized input points, of the same convention.
        weights: ``(N, P)`` of the distances; without, all count alike.

    Returns:
        ``(N, n_params)``, of the points' dtype.

    Raises:
        TypeError: if points or weights are not floating tensors, or `family` has no
            ``at`` or isn't linear.
        ValueError: if the shapes do not fit, or a family that rotates doesn't know its
            aspect.
    """
    check_family(family)
    d = dimensions_of(family)
    for name, given in (("points", points), ("targets", targets)):
        check_floating(given, name)
        if given.ndim != 3 or given.shape != points.shape or given.shape[-1] != d:
            raise ValueError(f"{name} must be (N, P, {d}), got {tuple(given.shape)}")
    came_in, dtype = points.dtype, working_dtype(points)
    points, targets = (given.to(dtype) for given in (points, targets))
    if weights is None:
        weights = points.new_ones(points.shape[:2])
    check_floating(weights, "weights")
    if weights.shape != points.shape[:2]:
        raise ValueError(
            f"weights must be {tuple(points.shape[:2])}, got {tuple(weights.shape)}"
        )
    if isinstance(family, MatrixFamily):
        basis, rest = _matrix_system(family, points, targets)
    elif hasattr(family, "at"):
        unit = torch.eye(family.n_params, dtype=points.dtype, device=points.device)
        moved = family.at(unit, points.flatten(0, 1)) - points.flatten(0, 1)
        basis = moved.movedim(0, -1).unflatten(0, points.shape[:2])  # (N, P, 2, n)
        rest = targets - points
    else:
        raise TypeError(f"family must have a method at(params, points), got {family!r}")
    weights = weights.to(points)[..., None]
    system = (basis * weights[..., None]).flatten(1, 2)
    solution = torch.linalg.lstsq(system, (rest * weights).flatten(1, 2)[..., None])
    return solution.solution[..., 0].to(came_in)


def _matrix_system(
    family: MatrixFamily, points: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """What each parameter does to a point, (N, P, 2, n_params), and what is left to do.

    The parameters of a matrix are entries of it, so a warp is one without parameters
    and a sum of one for each. Row 3 times the target is taken to the left side; but for
    projective warps, it is (0, 0, 1).
    """
    if HIDDEN in " ".join(family.entries).split():
        raise TypeError(f"family must be linear in its parameters, got {family!r}")
    unit = torch.eye(family.n_params, dtype=points.dtype, device=points.device)
    constant = family._matrix_of(torch.zeros_like(unit[:1]))
    parts = torch.cat([constant, family._matrix_of(unit) - constant])  # (1 + n, 3, 3)
    if isinstance(family, Conformal):
        kind = type(family).__name__
        parts = parts * family._units(f"a fit of {kind}()", parts)
    ahead = torch.cat([points, torch.ones_like(points[..., :1])], dim=-1)
    # A sum, not a product of matrices: see `_moved`. (N, P, 3, 1 + n)
    images = (ahead[..., None, None, :] * parts).sum(dim=-1).movedim(-2, -1)
    system = images[..., :-1, :] - targets[..., None] * images[..., -1:, :]
    return system[..., 1:], -system[..., 0]


def check_family(family: Any, name: str = "family") -> None:
    """Raise unless an object is a family of warps, and no class.

    >>> check_family(Affine, "family")
    Traceback (most recent call last):
        ...
    TypeError: family must be an instance such as Affine(), got the class Affine

    Args:
        family: anything.
        name: of the argument, for the error.

    Raises:
        TypeError: if it is not a `Family`.
    """
    if isinstance(family, type):
        raise TypeError(
            f"{name} must be an instance such as Affine(), got {kind_of(family)}"
        )
    if not isinstance(family, Family):
        raise TypeError(
            f"{name} must be a family of warps such as Affine(), with n_params, "
            f"identity() and grid(), got {kind_of(family)}"
        )


def dimensions_of(family: Family) -> int:
    """Return how many coordinates the points of a family have.

    >>> dimensions_of(Affine())
    2

    Args:
        family: a family of warps.

    Returns:
        Its attribute ``dimensions``, or 2 if it has none.
    """
    return getattr(family, "dimensions", 2)


def family_for_image(
    family: Family, size: Sequence[int], *, align_corners: bool = False
) -> Family:
    """Return a family that knows the image it warps, where it has to: one that rotates.

    >>> family_for_image(Similarity(), (32, 64)), family_for_image(Affine(), (32, 64))
    (Similarity(aspect=2.0), Affine())

    Args:
        family: a family of warps.
        size: ``(H, W)`` of the image that is sampled, of a volume ``(D, H, W)``.
        align_corners: the convention of the normalized coordinates.

    Returns:
        What `Conformal.for_image` returns; of any other family, itself.

    Raises:
        ValueError: if a family that rotates doesn't know its aspect, and `size` is not
            that of an image.
    """
    if isinstance(family, Conformal):
        return family.for_image(size, align_corners=align_corners)
    return family


def output_points(
    size: Sequence[int], like: Tensor, align_corners: bool, dimensions: int = 2
) -> Tensor:
    """Return the base grid of an output, on the device and of the dtype of a tensor.

    >>> output_points((3, 4), torch.zeros(1, dtype=torch.float64), False).dtype
    torch.float64

    Args:
        size: ``(H, W)`` of the output, or of a volume ``(D, H, W)``.
        like: gives dtype and device.
        align_corners: the convention of the normalized coordinates.
        dimensions: how many the size must have.

    Returns:
        ``(H, W, 2)`` or ``(D, H, W, 3)`` normalized output points.

    Raises:
        ValueError: if `size` has another number of entries.
    """
    return base_grid(
        check_size(size, "size", f"({size_axes(dimensions)})"),
        align_corners=align_corners,
        dtype=like.dtype,
        device=like.device,
    )


def as_points(planes: Tensor, dimensions: int = 2) -> Tensor:
    """Return a grid of points, from a plane for each of their coordinates.

    >>> as_points(torch.zeros(5, 2, 3, 4)).shape
    torch.Size([5, 3, 4, 2])

    Args:
        planes: ``(N, 2, H, W)``, x first, or ``(N, 3, D, H, W)``; N may be missing.
        dimensions: of a point.

    Returns:
        ``(N, H, W, 2)`` or ``(N, D, H, W, 3)``.
    """
    return planes.movedim(-1 - dimensions, -1).contiguous()


def _moved(rows: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """Multiply rows of a matrix with every output point: (*, R, H, W).

    `rows` is (*, R, 3), or (*, R, 4) of volumes: each gives a plane.

    Products and sums, for the reason that `product` gives.
    """
    dimensions = rows.shape[-1] - 1
    size = check_size(size, "size", f"({size_axes(dimensions)})")
    entries = rows.view(*rows.shape, *[1] * dimensions)
    *columns, moved = entries.unbind(-1 - dimensions)
    # An output point's y is the same along its row. So y and the shift are added for a
    # row at once, and the last sum alone, where x comes in, is as large as the grid.
    for axis in reversed(range(dimensions)):
        line = output_points((size[-1 - axis],), rows, align_corners, 1)
        moved = moved + columns[axis] * line.view(-1, *[1] * axis)
    return moved


def _positive(value: float, name: str) -> float:
    # Traced: computed from a size.
    if isinstance(value, torch.SymFloat) or (isinstance(value, Tensor) and is_traced()):
        return value
    number = check_number(value, name)
    if number <= 0:
        raise ValueError(f"{name} must be positive, got {value}")
    return number
