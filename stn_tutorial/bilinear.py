"""Mixing the neighbours of a point, with gradients derived by hand (§3.3).

The functions of this module read an image at *pixel* coordinates that lie in it. What
happens outside is settled before, by `stn_tutorial.sample`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function

__all__ = ["Bilinear", "Nearest", "corner", "gather", "scatter_add"]


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

    >>> image = torch.tensor([[[[1.0, 3.0], [5.0, 9.0]]]])
    >>> Bilinear.apply(image, torch.tensor([[[[0.5, 0.25]]]])).item()
    3.25
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(image: Tensor, points: Tensor) -> Tensor:
        index, a, b = corner(points, image.shape)
        nw, ne, sw, se = (gather(image, index + k) for k in _offsets(image))
        top = torch.lerp(nw, ne, a)
        bottom = torch.lerp(sw, se, a)
        return torch.lerp(top, bottom, b).unflatten(-1, points.shape[1:3])

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        # PyTorch operations alone, on what was saved: so autograd can differentiate
        # this function in its turn, which is all that second derivatives need.
        image, points = ctx.saved_tensors
        index, a, b = corner(points, image.shape)
        grad = grad.flatten(2)
        grad_image = grad_points = None
        if ctx.needs_input_grad[0]:
            weights = ((1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b)
            parts = {k: grad * w for k, w in zip(_offsets(image), weights, strict=True)}
            grad_image = scatter_add(parts, index, image.shape)
        if ctx.needs_input_grad[1]:
            slopes = _slopes(image, index, a, b)
            grad_points = (grad[..., None] * slopes).sum(dim=1).view_as(points)
        return grad_image, grad_points

    @staticmethod
    def jvp(ctx, d_image: Tensor, d_points: Tensor) -> Tensor:
        # Forwards: the reading is linear in the image; a point moves along the slopes.
        image, points = ctx.saved_tensors
        slopes = _slopes(image, *corner(points, image.shape))
        moved = (slopes * d_points.flatten(1, 2)[:, None]).sum(dim=-1)
        return Bilinear.apply(d_image, points) + moved.unflatten(-1, points.shape[1:3])


def _slopes(image: Tensor, index: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The derivatives of every reading along x and along y: (N, C, P, 2)."""
    nw, ne, sw, se = (gather(image, index + k) for k in _offsets(image))
    slopes = torch.lerp(ne - nw, se - sw, b), torch.lerp(sw - nw, se - ne, a)
    return torch.stack(slopes, dim=-1)


class Nearest(Function):
    """Read the pixel at every point: `Bilinear`'s contract for whole coordinates.

    >>> image = torch.tensor([[[[1.0, 3.0], [5.0, 9.0]]]])
    >>> Nearest.apply(image, torch.tensor([[[[0.0, 1.0]]]])).item()
    5.0
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(image: Tensor, points: Tensor) -> Tensor:
        index = _pixel(points, image.shape)
        return gather(image, index).unflatten(-1, points.shape[1:3])

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        image, points = inputs
        ctx.shape = image.shape
        ctx.save_for_backward(points)
        ctx.save_for_forward(points)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        (points,) = ctx.saved_tensors
        index = _pixel(points, ctx.shape)
        grad_image = scatter_add({0: grad.flatten(2)}, index, ctx.shape)
        return grad_image, torch.zeros_like(points)

    @staticmethod
    def jvp(ctx, d_image: Tensor, d_points: Tensor) -> Tensor:
        (points,) = ctx.saved_tensors
        return Nearest.apply(d_image, points)


def corner(
    points: Tensor, shape: torch.Size, *, after: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Return each point's top left neighbour, and how far the point is from it.

    Args:
        points: ``(N, H_out, W_out, 2)`` pixel coordinates.
        shape: of the image, ``(N, C, H, W)``.
        after: how many columns and rows must follow those of the neighbour. A point on
            the last pixel's centre has no right neighbour: with 1 it belongs to the
            cell on its left, at the distance 1.

    Returns:
        The neighbour's index in the flattened image, ``(N, P)``, and the distances
        along x and along y, ``(N, 1, P)``, with ``P = H_out * W_out``.

    >>> index, a, b = corner(torch.tensor([[[[2.25, 1.5]]]]), (1, 1, 4, 5))
    >>> index.item(), a.item(), b.item()
    (7, 0.25, 0.5)
    """
    height, width = shape[-2:]
    x, y = points.flatten(1, 2).unbind(-1)
    left = x.detach().floor().clamp(max=width - 1 - after)
    top = y.detach().floor().clamp(max=height - 1 - after)
    index = top.long() * width + left.long()
    return index, (x - left)[:, None], (y - top)[:, None]


def gather(image: Tensor, index: Tensor) -> Tensor:
    """Return the pixels of an image at flat indices.

    Args:
        image: ``(N, C, H, W)``.
        index: ``(N, P)``, each ``y * W + x``.

    Returns:
        ``(N, C, P)``.

    >>> gather(torch.arange(6.0).view(1, 1, 2, 3), torch.tensor([[4, 0]])).tolist()
    [[[4.0, 0.0]]]
    """
    n, c, p = index.shape[0], image.shape[1], index.shape[1]
    return image.flatten(2).gather(2, index[:, None].expand(n, c, p))


def scatter_add(parts: dict[int, Tensor], index: Tensor, shape: torch.Size) -> Tensor:
    """Return the adjoint of `gather`: pixels, with all parts that belong to each added.

    Args:
        parts: ``(N, C, P)`` for each offset from `index`.
        index: ``(N, P)`` flat indices.
        shape: of the image, ``(N, C, H, W)``.

    Returns:
        ``(N, C, H, W)``.

    >>> parts = {0: torch.ones(1, 1, 2), 1: torch.full((1, 1, 2), 10.0)}
    >>> scatter_add(parts, torch.tensor([[0, 1]]), (1, 1, 1, 3)).tolist()
    [[[[1.0, 11.0, 10.0]]]]
    """
    n, c, height, width = shape
    flat = next(iter(parts.values())).new_zeros(n, c, height * width)
    for offset, part in parts.items():
        flat = flat.scatter_add(2, (index + offset)[:, None].expand_as(part), part)
    return flat.unflatten(2, (height, width))


def _offsets(image: Tensor) -> tuple[int, int, int, int]:
    """From a top left neighbour's index to those of all four: nw, ne, sw, se."""
    width = image.shape[-1]
    return 0, 1, width, width + 1


def _pixel(points: Tensor, shape: torch.Size) -> Tensor:
    """The flat index (N, P) of the pixel at each point."""
    x, y = points.long().flatten(1, 2).unbind(-1)
    return y * shape[-1] + x
