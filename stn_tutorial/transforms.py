"""Families of warps: from a few parameters to a sampling grid (the grid generator).

A family is a small object with ``n_params``, ``identity()`` and ``grid()``. The grid it
makes holds, for every *output* pixel, the normalized *input* coordinates to read: the
inverse warp, as in §3.2 of Jaderberg et al. (2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stn_tutorial.coordinates import base_grid

__all__ = ["Affine"]


class Affine:
    r"""Every affine warp: six numbers, equation (1) of the paper.

    .. math::

        \begin{pmatrix} x_\text{in} \\ y_\text{in} \end{pmatrix} =
        \begin{pmatrix} a & b & c \\ d & e & f \end{pmatrix}
        \begin{pmatrix} x_\text{out} \\ y_\text{out} \\ 1 \end{pmatrix}

    Parameters are ``(N, 6)``, the rows of theta one after the other: a, b, c, d, e, f.
    They map normalized output coordinates to normalized input coordinates.
    """

    n_params = 6

    def identity(self) -> Tensor:
        """Return the ``(6,)`` parameters that leave an image as it is."""
        return torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])

    def grid(
        self, params: Tensor, size: Sequence[int], *, align_corners: bool = False
    ) -> Tensor:
        """Return the input coordinates to read for every output pixel.

        Args:
            params: ``(N, 6)``, normalized output to normalized input.
            size: ``(H, W)`` of the output.
            align_corners: the convention of the normalized coordinates.

        Returns:
            ``(N, H, W, 2)`` normalized input points, of the parameters' dtype.

        Raises:
            TypeError: if `params` is not a floating tensor.
            ValueError: if `params` is not ``(N, 6)`` or `size` not ``(H, W)``.
        """
        theta = self.matrix(params)[:, None, None]  # (N, 1, 1, 2, 3)
        base = base_grid(
            size, align_corners=align_corners, dtype=params.dtype, device=params.device
        )
        if base.ndim != 3:
            raise ValueError(f"size must be (H, W), got {tuple(size)}")
        x, y = base[..., :1], base[..., 1:]
        # Products and sums rather than a matrix product: the latter is rounded to half
        # precision under autocast and to TF32 on some GPUs, and a grid can't bear that.
        return theta[..., 0] * x + theta[..., 1] * y + theta[..., 2]

    def matrix(self, params: Tensor) -> Tensor:
        """Return the parameters as matrices.

        Args:
            params: ``(N, 6)``, normalized output to normalized input.

        Returns:
            theta, ``(N, 2, 3)``.

        Raises:
            TypeError: if `params` is not a floating tensor.
            ValueError: if `params` is not ``(N, 6)``.
        """
        _check_params(params, self.n_params, "params")
        return params.unflatten(-1, (2, 3))

    def compose(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the one warp that does `first` and then `second` to an image.

        A point of the final image is taken back through `second`, and then through
        `first`: the matrices multiply in the order ``first @ second``.

        Args:
            first: ``(N, 6)``, the warp applied to the image first.
            second: ``(N, 6)``, the warp applied to the result.

        Returns:
            ``(N, 6)`` parameters, normalized output to normalized input.

        Raises:
            TypeError: if `first` or `second` is not a floating tensor.
            ValueError: if they are not both ``(N, 6)``.
        """
        _check_params(first, self.n_params, "first")
        _check_params(second, self.n_params, "second")
        if first.shape != second.shape:
            raise ValueError(
                f"second must be {tuple(first.shape)} like first, "
                f"got {tuple(second.shape)}"
            )
        a, b = self.matrix(first), self.matrix(second)
        product = (a[..., :2, None] * b[:, None]).sum(dim=-2)  # as in `grid`
        shift = product[..., 2:] + a[..., 2:]
        return torch.cat([product[..., :2], shift], dim=-1).flatten(1)

    def inverse(self, params: Tensor) -> Tensor:
        """Return the warp that undoes this one.

        Args:
            params: ``(N, 6)``, normalized output to normalized input.

        Returns:
            ``(N, 6)`` parameters, again normalized output to normalized input.

        Raises:
            TypeError: if `params` is not a floating tensor.
            ValueError: if a warp has no inverse, since it flattens the image.
        """
        theta = self.matrix(params)
        theta = theta.to(torch.promote_types(theta.dtype, torch.float32))
        linear, failed = torch.linalg.inv_ex(theta[..., :2])
        if bool((failed != 0).any()) or not bool(linear.isfinite().all()):
            raise ValueError(f"params have no inverse: {params.tolist()}")
        shift = -(linear * theta[..., 2:].mT).sum(dim=-1, keepdim=True)
        return torch.cat([linear, shift], dim=-1).flatten(1).to(params.dtype)


def _check_params(params: Tensor, n_params: int, name: str) -> None:
    if not isinstance(params, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(params).__name__}")
    if not params.is_floating_point():
        raise TypeError(f"{name} must be floating, got {params.dtype}")
    if params.ndim != 2 or params.shape[-1] != n_params:
        raise ValueError(f"{name} must be (N, {n_params}), got {tuple(params.shape)}")
