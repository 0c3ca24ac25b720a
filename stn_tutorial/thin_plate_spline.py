r"""The thin plate spline: the smoothest warp through given points.

A thin sheet, pinned at K control points and free elsewhere, settles in the shape of
least bending energy :math:`\iint f_{xx}^2 + 2 f_{xy}^2 + f_{yy}^2`. Duchon (1977)
showed that it is a sum of one bump a pin and a plane,

.. math:: f(p) = \sum_k w_k \, \phi(|p - p_k|) + v_0 + v_1 x + v_2 y,
    \qquad \phi(r) = r^2 \log r^2,

and the pins give a linear system for w and v whose matrix depends on the places of the
pins alone. So it is solved once, and the warp is *linear* in its parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stn_tutorial.coordinates import base_grid
from stn_tutorial.families import Described, check_params, output_points

__all__ = ["ThinPlateSpline"]


class ThinPlateSpline(Described):
    """A smooth bending, given by how far a lattice of control points is moved.

    The control points form a lattice over the output that reaches its ends, ±1. The
    parameters are ``(N, 2 K)``: for each control point, row by row, the offset (x, y)
    from where it is to where the input is to be read, in normalized units.

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
        lattice = control_points
        if not isinstance(lattice, Sequence) or not all(
            type(n) is int for n in lattice
        ):
            raise TypeError(
                f"control_points must be integers (rows, columns), got {lattice!r}"
            )
        lattice = tuple(lattice)
        if len(lattice) != 2 or min(lattice) < 2:
            raise ValueError(
                f"control_points must be (rows, columns) >= 2, got {lattice}"
            )
        if not isinstance(stiffness, (int, float)):
            raise TypeError(f"stiffness must be a number, got {stiffness!r}")
        if not 0 <= stiffness < float("inf"):
            raise ValueError(f"stiffness must be finite and >= 0, got {stiffness}")
        self.control_points = lattice
        self.stiffness = float(stiffness)
        points = _lattice(lattice, align_corners=True)
        self._points = points.flatten(0, 1)
        self._solution = self._solve()
        self._bases: dict = {}

    @property
    def n_params(self) -> int:
        """Two for each control point."""
        return 2 * len(self._points)

    def identity(self) -> Tensor:
        """Return the ``(n_params,)`` parameters that leave an image as it is: zeros."""
        return torch.zeros(self.n_params)

    def grid(
        self, params: Tensor, size: Sequence[int], *, align_corners: bool = False
    ) -> Tensor:
        """Return the input coordinates to read for every output pixel.

        Args:
            params: ``(N, n_params)`` offsets of the control points, normalized.
            size: ``(H, W)`` of the output.
            align_corners: the convention of the normalized coordinates.

        Returns:
            ``(N, H, W, 2)`` normalized input points, of the parameters' dtype, float32
            at least.

        Raises:
            TypeError: if `params` is not a floating tensor.
            ValueError: if `params` is not ``(N, n_params)`` or `size` not ``(H, W)``.
        """
        offsets = check_params(params, self.n_params).unflatten(-1, (-1, 2))
        base = output_points(size, offsets, align_corners)
        basis = self._basis(tuple(size), align_corners, offsets)
        return base + _product(basis, offsets).unflatten(-2, base.shape[:2])

    def at(self, params: Tensor, points: Tensor) -> Tensor:
        """Return where single output points read the input.

        Args:
            params: ``(N, n_params)`` offsets of the control points.
            points: ``(P, 2)`` normalized output points.

        Returns:
            ``(N, P, 2)`` normalized input points.
        """
        offsets = check_params(params, self.n_params).unflatten(-1, (-1, 2))
        moved = _product(self._bumps(points).to(offsets), offsets)
        return points.to(offsets) + moved

    def bending_energy(self, params: Tensor) -> Tensor:
        r"""Return the energy it takes to bend the plane so, up to a factor.

        It is :math:`\sum w^\top \Phi \, w` over both coordinates: zero for affine warps
        and positive for all others. A penalty on it keeps a learned warp smooth.

        Args:
            params: ``(N, n_params)``.

        Returns:
            ``(N,)``.
        """
        offsets = check_params(params, self.n_params).unflatten(-1, (-1, 2))
        weights = self._solution[: len(self._points)]  # from offsets to w
        phi = _phi(self._points, self._points)
        energy = (weights.T @ phi @ weights).to(offsets)
        return (offsets * _product(energy, offsets)).sum(dim=(-2, -1))

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
        points = points.double().cpu()
        parts = [_phi(points, self._points), points.new_ones(len(points), 1), points]
        return torch.cat(parts, dim=1) @ self._solution

    def _basis(
        self, size: tuple[int, ...], align_corners: bool, like: Tensor
    ) -> Tensor:
        """`_bumps` at every pixel of an output, (H W, K), computed once a size."""
        key = (size, align_corners, like.dtype, like.device)
        if key in self._bases:
            return self._bases[key]
        with torch.inference_mode(False):  # what is kept has to do for training, too
            points = _lattice(size, align_corners).flatten(0, 1)
            basis = self._bumps(points).to(like)
        # An export puts something else in a tensor's place, which must not stay.
        if type(basis) is Tensor and not torch.compiler.is_compiling():
            self._bases[key] = basis
        return basis


def _lattice(size: tuple[int, ...], align_corners: bool) -> Tensor:
    """The base grid as the system is solved: in float64, and on the CPU."""
    return base_grid(
        size, align_corners=align_corners, dtype=torch.float64, device="cpu"
    )


def _product(matrix: Tensor, offsets: Tensor) -> Tensor:
    """``matrix @ offsets`` outside autocast: half precision would blur the grid."""
    with torch.autocast(offsets.device.type, enabled=False):
        return matrix @ offsets


def _phi(a: Tensor, b: Tensor) -> Tensor:
    """r² log r² of the distances between points (P, 2) and (Q, 2): (P, Q)."""
    squared = (a[:, None] - b).square().sum(dim=-1)
    # Not `xlogy`, whose slope is infinite where the points meet.
    return squared * squared.where(squared > 0, 1.0).log()
