"""Mixing the four neighbours of a point, with gradients derived by hand (§3.3).

The functions of this module read an image at *pixel* coordinates that lie in it. What
happens outside is settled before, by `stn_tutorial.sample`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function

__all__ = ["Bilinear", "Nearest"]


class Bilinear(Function):
    r"""Mix the four neighbours of every point.

    With :math:`(a, b)` the distances of a point from its left and top neighbours, the
    four values are mixed along x and then along y:

    .. math::

        t &= (1 - a) \, V_{nw} + a \, V_{ne}, \quad
        b' = (1 - a) \, V_{sw} + a \, V_{se}, \quad
        V = (1 - b) \, t + b \, b'

    The image receives each output gradient in four parts, with the same four weights
    (the adjoint). The point receives, summed over channels,
    :math:`\partial V / \partial x = (1 - b)(V_{ne} - V_{nw}) + b (V_{se} - V_{sw})` and
    :math:`\partial V / \partial y = b' - t`: equation (7) of the paper. At a pixel's
    own coordinates V has a kink; there this is the slope on the right and below.

    Args:
        image: ``(N, C, H, W)`` with H and W at least 2.
        points: ``(N, H_out, W_out, 2)`` pixel coordinates *inside* the image.
    """

    @staticmethod
    def forward(ctx, image: Tensor, points: Tensor) -> Tensor:
        ctx.save_for_backward(image, points)
        index, a, b = _corner(points, image.shape)
        nw, ne, sw, se = (_gather(image, index + k) for k in _offsets(image))
        top = torch.lerp(nw, ne, a)
        bottom = torch.lerp(sw, se, a)
        return torch.lerp(top, bottom, b).unflatten(-1, points.shape[1:3])

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        # PyTorch operations alone, on what was saved: so autograd can differentiate
        # this function in its turn, which is all that second derivatives need.
        image, points = ctx.saved_tensors
        index, a, b = _corner(points, image.shape)
        grad = grad.flatten(2)
        grad_image = grad_points = None
        if ctx.needs_input_grad[0]:
            weights = ((1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b)
            parts = {k: grad * w for k, w in zip(_offsets(image), weights, strict=True)}
            grad_image = _scatter_add(parts, index, image.shape)
        if ctx.needs_input_grad[1]:
            nw, ne, sw, se = (_gather(image, index + k) for k in _offsets(image))
            slope_x = torch.lerp(ne - nw, se - sw, b)
            slope_y = torch.lerp(sw - nw, se - ne, a)
            slopes = torch.stack([grad * slope_x, grad * slope_y], dim=-1).sum(dim=1)
            grad_points = slopes.view_as(points)
        return grad_image, grad_points


class Nearest(Function):
    """Read the pixel at every point: `Bilinear`'s contract for whole coordinates."""

    @staticmethod
    def forward(ctx, image: Tensor, points: Tensor) -> Tensor:
        x, y = points.long().flatten(1, 2).unbind(-1)
        index = y * image.shape[-1] + x
        ctx.save_for_backward(index, points)
        ctx.shape = image.shape
        return _gather(image, index).unflatten(-1, points.shape[1:3])

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        index, points = ctx.saved_tensors
        grad_image = _scatter_add({0: grad.flatten(2)}, index, ctx.shape)
        return grad_image, torch.zeros_like(points)


def _corner(points: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
    """Each point's top left neighbour, as an index (N, P), and the way from it."""
    height, width = shape[-2:]
    x, y = points.flatten(1, 2).unbind(-1)
    left = x.detach().floor().clamp(max=width - 2)
    top = y.detach().floor().clamp(max=height - 2)
    index = top.long() * width + left.long()
    return index, (x - left)[:, None], (y - top)[:, None]


def _offsets(image: Tensor) -> tuple[int, int, int, int]:
    """From a top left neighbour's index to those of all four: nw, ne, sw, se."""
    width = image.shape[-1]
    return 0, 1, width, width + 1


def _gather(image: Tensor, index: Tensor) -> Tensor:
    """Image (N, C, H, W) at flat indices (N, P) -> (N, C, P)."""
    n, c, p = index.shape[0], image.shape[1], index.shape[1]
    return image.flatten(2).gather(2, index[:, None].expand(n, c, p))


def _scatter_add(parts: dict[int, Tensor], index: Tensor, shape: torch.Size) -> Tensor:
    """The adjoint of `_gather`: add every part (N, C, P) at its offset from `index`."""
    n, c, height, width = shape
    flat = next(iter(parts.values())).new_zeros(n, c, height * width)
    for offset, part in parts.items():
        flat.scatter_add_(2, (index + offset)[:, None].expand_as(part), part)
    return flat.unflatten(2, (height, width))
