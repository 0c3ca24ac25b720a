r"""The thin plate spline: the smoothest warp through given points.

A thin sheet, pinned at K control points and free elsewhere, settles in the shape of
least bending energy :math:`\iint f_{xx}^2 + 2 f_{xy}^2 + f_{yy}^2`. Duchon (1977)
showed that it is a sum of one bump for each point and a plane,

.. math:: f(p) = \sum_k w_k \, \phi(|p - p_k|) + v_0 + v_1 x + v_2 y,
    \qquad \phi(r) = r^2 \log r^2,

and the points give a linear system for w and v whose matrix depends on their locations
alone. So it is solved once, and the warp is *linear* in its parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stn_tutorial._validate import (
    check_floating,
    check_number,
    check_size,
    is_traced,
    without_autocast,
    working_dtype,
)
from stn_tutorial.coordinates import base_grid
from stn_tutorial.families import Described, as_points, output_points

__all__ = ["ThinPlateSpline"]

#: Of so many sizes of the output a spline keeps what it has computed.
KEPT = 4


class ThinPlateSpline(Described):
    """A smooth bending, given by how far a lattice of control points is moved.

    The control points form a lattice over the output that reaches its ends, ±1. The
    parameters are ``(N, 2 K)``: for each control point, row by row, the offset (x, y)
    from where it is to where the input is to be sampled, in normalized units.

    >>> spline = ThinPlateSpline((2, 2))
    >>> offsets = spline.identity()  # (x, y) of each of the four corners
    >>> offsets[0] = 0.5  # the upper left corner looks to the right
    >>> corners = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    >>> [[round(v, 3) for v in point] for point in spline.at(offsets, corners).tolist()]
    [[-0.5, -1.0], [1.0, 1.0]]

    Args:
        control_points: rows and columns of the lattice, at least 2 each.
        stiffness: 0 lets the warp pass through every moved control point; larger values
            bend less and pass nearby (the regularization λ of the linear system).

    Raises:
        TypeError: if the lattice is not made of integers or the stiffness no number.
        ValueError: if the lattice is too small or the stiffness negative.
    """

    def __init__(
        self, control_points: Sequence[int] = (4, 4), *, stiffness: float = 0.0
    ) -> None:
        rows, columns = check_size(control_points, "control_points", "(rows, columns)")
        if min(rows, columns) < 2:
            raise ValueError(
                f"control_points must be (rows, columns) >= 2, got {(rows, columns)}"
            )
        stiffness = check_number(stiffness, "stiffness")
        if stiffness < 0:
            raise ValueError(f"stiffness must be >= 0, got {stiffness}")
        self.control_points = (rows, columns)
        self.stiffness = stiffness
        self._points = _lattice(self.control_points, align_corners=True)
        self._solution = self._solve()
        self._bases: dict[tuple, Tensor] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: not what is quickly computed again."""
        return {**vars(self), "_bases": {}}

    @property
    def n_params(self) -> int:
        """Two for each control point."""
        return 2 * self.control_points[0] * self.control_points[1]

    def identity(self) -> Tensor:
        """Return the ``(n_params,)`` parameters that leave an image as it is: zeros.

        >>> ThinPlateSpline((3, 4)).identity().shape
        torch.Size([24])
        """
        return torch.zeros(self.n_params)

    def grid(
        self, params: Tensor, size: Sequence[int], *, align_corners: bool = False
    ) -> Tensor:
        """Return the input coordinates to sample for every output pixel.

        >>> spline = ThinPlateSpline((3, 4))
        >>> spline.grid(torch.zeros(5, 24), (28, 28)).shape
        torch.Size([5, 28, 28, 2])

        Args:
            params: ``(N, n_params)`` offsets of the control points, normalized; those
                of one warp without the batch, for a grid without it.
            size: ``(H, W)`` of the output.
            align_corners: the convention of the normalized coordinates.

        Returns:
            ``(N, H, W, 2)`` normalized input points, of the parameters' dtype, float32
            at least.

        Raises:
            TypeError: if `params` is not a floating tensor.
            ValueError: if `params` is not ``(N, n_params)`` or `size` not ``(H, W)``.
        """
        offsets = self._offsets(params)
        size = check_size(size, "size")
        base = output_points(size, offsets, align_corners).movedim(-1, 0)
        # All coordinates of all warps in one matrix product: a line each.
        lines = offsets.mT.reshape(-1, len(self._points))
        moved = _matmul(lines, self._basis(size, align_corners, offsets).T)
        return as_points(base + moved.view(*offsets.shape[:-2], *base.shape))

    def at(self, params: Tensor, points: Tensor) -> Tensor:
        """Return where single output points sample the input.

        >>> spline = ThinPlateSpline((2, 2))
        >>> spline.at(spline.identity(), torch.tensor([[0.25, -0.5]])).tolist()
        [[0.25, -0.5]]

        Args:
            params: ``(N, n_params)`` offsets of the control points, or ``(n_params,)``.
            points: ``(P, 2)`` normalized output points: like those of the lattice,
                whatever the convention, of which ±1 are the ends.

        Returns:
            ``(N, P, 2)`` normalized input points, or ``(P, 2)``, of the wider dtype of
            the two, at least float32.

        Raises:
            TypeError: if `params` or `points` is not a floating tensor.
            ValueError: if `params` is not ``(N, n_params)`` or `points` not ``(P, 2)``.
        """
        offsets = self._offsets(params)
        check_floating(points, "points")
        if points.ndim != 2 or points.shape[-1] != 2:
            raise ValueError(f"points must be (P, 2), got {tuple(points.shape)}")
        offsets = offsets.to(working_dtype(offsets, points))
        moved = _matmul(self._bumps(points).to(offsets), offsets)
        return points.to(offsets) + moved

    def bending_energy(self, params: Tensor) -> Tensor:
        r"""Return the energy it takes to bend the plane so, up to a factor.

        It is :math:`\sum w^\top \Phi \, w` over both coordinates: zero for affine warps
        and positive for all others. A penalty on it keeps a learned warp smooth.

        >>> spline = ThinPlateSpline((3, 3))
        >>> spline.bending_energy(spline.identity()).item()
        0.0

        Args:
            params: ``(N, n_params)``, or ``(n_params,)``.

        Returns:
            ``(N,)``, or a scalar.

        Raises:
            TypeError: if `params` is not a floating tensor.
            ValueError: if `params` is not ``(N, n_params)``.
        """
        offsets = self._offsets(params)
        weights = self._solution[: len(self._points)]  # from offsets to w
        phi = _phi(self._points, self._points)
        energy = (weights.T @ phi @ weights).to(offsets)
        return (offsets * _matmul(energy, offsets)).sum(dim=(-2, -1))

    def _offsets(self, params: Tensor) -> Tensor:
        """Parameters as offsets (N, K, 2), in float32 at least; or an error."""
        check_floating(params, "params")
        if params.ndim not in (1, 2) or params.shape[-1] != self.n_params:
            raise ValueError(
                f"params must be (N, {self.n_params}), got {tuple(params.shape)}"
            )
        return params.to(working_dtype(params)).unflatten(-1, (-1, 2))

    def _solve(self) -> Tensor:
        """The (K + 3, K) matrix from the offsets to the coefficients w and v."""
        count = len(self._points)
        plane = torch.cat([self._points.new_ones(count, 1), self._points], dim=1)
        bumps = _phi(self._points, self._points)
        system = bumps.new_zeros(count + 3, count + 3)
        system[:count, :count] = bumps
        system.diagonal()[:count] += self.stiffness
        system[:count, count:] = plane
        system[count:, :count] = plane.T
        return torch.linalg.inv(system)[:, :count]

    def _bumps(self, points: Tensor) -> Tensor:
        """How far each control point's offset moves each of (P, 2) points: (P, K)."""
        points = points.cpu().double()  # in this order: not every device has float64
        parts = [_phi(points, self._points), torch.ones_like(points[:, :1]), points]
        return torch.cat(parts, dim=1) @ self._solution

    def _basis(
        self, size: tuple[int, ...], align_corners: bool, like: Tensor
    ) -> Tensor:
        """`_bumps` at every pixel of an output, (H W, K), computed once a size."""
        if is_traced():
            return self._bumps(_lattice(size, align_corners)).to(like)
        key = (size, bool(align_corners), like.dtype, like.device)
        basis = self._bases.get(key)  # another thread may be here, too
        if basis is None:
            with torch.inference_mode(False):  # what is kept has to do for training too
                basis = self._bumps(_lattice(size, align_corners)).to(like)
            if type(basis) is not Tensor:  # a stand-in, which must not stay
                return basis
            for old in list(self._bases)[: max(0, len(self._bases) + 1 - KEPT)]:
                self._bases.pop(old, None)
            self._bases[key] = basis
        return basis


def _lattice(size: tuple[int, ...], align_corners: bool) -> Tensor:
    """Base points (P, 2) as the system is solved: in float64, and on the CPU."""
    lattice = base_grid(
        size, align_corners=align_corners, dtype=torch.float64, device="cpu"
    )
    return lattice.flatten(0, 1)


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` outside autocast: half precision would blur the grid.

    Where TF32 is allowed on a GPU, it rounds the offsets to a thousandth of their size:
    a sum of products, as `stn_tutorial._validate.product` has it, would cost too much.
    """
    with without_autocast(b.device):
        return a @ b


def _phi(a: Tensor, b: Tensor) -> Tensor:
    """r² log r² of the distances between points (P, 2) and (Q, 2): (P, Q)."""
    squared = (a[:, None] - b).square().sum(dim=-1)
    # Not `xlogy`, whose slope is infinite where the points meet.
    return squared * squared.where(squared > 0, 1.0).log()
