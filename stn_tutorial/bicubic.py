r"""Mixing the sixteen neighbours of a point: bicubic interpolation (Keys 1981).

Along an axis a point has four neighbours, at the distances :math:`1 + t`, :math:`t`,
:math:`1 - t` and :math:`2 - t`. Each counts as much as the kernel is high there:

.. math::

    k(s) = \begin{cases}
        (\alpha + 2) |s|^3 - (\alpha + 3) |s|^2 + 1 & |s| \le 1 \\
        \alpha (|s|^3 - 5 |s|^2 + 8 |s| - 4)        & 1 < |s| < 2
    \end{cases}

The weights sum to 1, some are negative, and they and their slopes are continuous: where
a bilinear sample has a kink, this one is smooth. PyTorch and OpenCV take
:math:`\alpha = -3/4`, which is sharper; Keys' :math:`-1/2` would reproduce ramps and
parabolas, theirs bends even a ramp by a few hundredths.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function

from stn_tutorial.bilinear import corner, gather, scatter_add

__all__ = ["Bicubic", "kernel_slopes", "kernel_weights"]

ALPHA = -0.75


class Bicubic(Function):
    r"""Mix the sixteen neighbours of every point.

    With the weights :math:`u_i` along x and :math:`v_j` along y,

    .. math:: V = \sum_j v_j \sum_i u_i V_{ji}, \quad
        \frac{\partial V}{\partial x} = \sum_j v_j \sum_i u'_i V_{ji}, \quad
        \frac{\partial V}{\partial y} = \sum_j v'_j \sum_i u_i V_{ji},

    and a pixel receives an output's gradient times its weight :math:`v_j u_i`.

    Args:
        image: ``(N, C, H, W)`` with H and W at least 4.
        points: ``(N, H_out, W_out, 2)`` pixel coordinates between 1 and W - 2 and
            between 1 and H - 2, so that all sixteen neighbours are pixels.

    >>> ramp = torch.arange(5.0).expand(1, 1, 5, 5)
    >>> Bicubic.apply(ramp, torch.tensor([[[[2.5, 1.0]]]])).item()
    2.5
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(image: Tensor, points: Tensor) -> Tensor:
        index, a, b = corner(points, image.shape, after=2)
        out = _mix(image, index, kernel_weights(a), kernel_weights(b))
        return out.unflatten(-1, points.shape[1:3])

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        # Differentiable in its turn, as `Bilinear.backward` is.
        image, points = ctx.saved_tensors
        index, a, b = corner(points, image.shape, after=2)
        grad = grad.flatten(2)
        grad_image = grad_points = None
        if ctx.needs_input_grad[0]:
            width, across = image.shape[-1], kernel_weights(a)
            parts = {
                (j - 1) * width + i - 1: grad * (v * u)
                for j, v in enumerate(kernel_weights(b))
                for i, u in enumerate(across)
            }
            grad_image = scatter_add(parts, index, image.shape)
        if ctx.needs_input_grad[1]:
            slopes = _slopes(image, index, a, b)
            grad_points = (grad[..., None] * slopes).sum(dim=1).view_as(points)
        return grad_image, grad_points

    @staticmethod
    def jvp(ctx, d_image: Tensor, d_points: Tensor) -> Tensor:
        image, points = ctx.saved_tensors
        slopes = _slopes(image, *corner(points, image.shape, after=2))
        moved = (slopes * d_points.flatten(1, 2)[:, None]).sum(dim=-1)
        return Bicubic.apply(d_image, points) + moved.unflatten(-1, points.shape[1:3])


def kernel_weights(t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the weights of the four neighbours, before to behind.

    Args:
        t: distances from the neighbour before, 0 to 1, of any shape.

    Returns:
        Four tensors of the shape of `t`, which sum to 1.

    >>> [w.item() for w in kernel_weights(torch.tensor(0.5))]
    [-0.09375, 0.59375, 0.59375, -0.09375]
    """
    return _outer(1 + t), _inner(t), _inner(1 - t), _outer(2 - t)


def kernel_slopes(t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the derivatives of `kernel_weights` with respect to t.

    Args:
        t: as there.

    Returns:
        Four tensors of the shape of `t`.

    >>> [w.item() for w in kernel_slopes(torch.tensor(0.5))]
    [0.1875, -1.3125, 1.3125, -0.1875]
    """
    u = 1 - t  # the last two distances shrink as t grows
    return _outer_slope(1 + t), _inner_slope(t), -_inner_slope(u), -_outer_slope(1 + u)


def _inner(s: Tensor) -> Tensor:
    return ((ALPHA + 2) * s - (ALPHA + 3)) * s * s + 1


def _outer(s: Tensor) -> Tensor:
    return ((ALPHA * s - 5 * ALPHA) * s + 8 * ALPHA) * s - 4 * ALPHA


def _inner_slope(s: Tensor) -> Tensor:
    return (3 * (ALPHA + 2) * s - 2 * (ALPHA + 3)) * s


def _outer_slope(s: Tensor) -> Tensor:
    return (3 * ALPHA * s - 10 * ALPHA) * s + 8 * ALPHA


def _slopes(image: Tensor, index: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The derivatives of every sample along x and along y: (N, C, P, 2)."""
    slope_x = _mix(image, index, kernel_slopes(a), kernel_weights(b))
    slope_y = _mix(image, index, kernel_weights(a), kernel_slopes(b))
    return torch.stack([slope_x, slope_y], dim=-1)


def _mix(
    image: Tensor, index: Tensor, across: tuple[Tensor, ...], down: tuple[Tensor, ...]
) -> Tensor:
    """The weighted sum of the 4×4 pixels around each corner: (N, C, P)."""
    width = image.shape[-1]
    rows = []
    for j, weight in enumerate(down):
        first = index + (j - 1) * width - 1
        row = [u * gather(image, first + i) for i, u in enumerate(across)]
        rows.append(weight * sum(row[1:], row[0]))
    return sum(rows[1:], rows[0])
