"""Mixing the neighbours of a point, with gradients derived by hand (§3.3).

The functions of this module sample an image at *pixel* coordinates that lie in it. What
happens outside is settled before, by `stn_tutorial.sample`. They take volumes as well:
an axis more doubles the neighbours, and changes nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import Function

__all__ = ["Bilinear", "Nearest", "corner", "gather", "scatter_add"]


class Bilinear(Function):
    r"""Mix the neighbours of every point: four in an image, eight in a volume.

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
    own coordinates V has a kink; there this is the slope on the right and below (at the
    last pixel, where nothing follows, on the left and above).

    In a volume the point lies between two such layers, and what they give is mixed
    along z (trilinear interpolation).

    Args:
        image: ``(N, C, H, W)`` or ``(N, C, D, H, W)``, each axis at least 2 long.
        points: ``(N, H_out, W_out, 2)`` or ``(N, D_out, H_out, W_out, 3)`` pixel
            coordinates, x first, *inside* the image.

    >>> image = torch.tensor([[[[1.0, 3.0], [5.0, 9.0]]]])
    >>> Bilinear.apply(image, torch.tensor([[[[0.5, 0.25]]]])).item()
    3.25
    >>> volume = torch.stack([image, image + 8], dim=2)
    >>> Bilinear.apply(volume, torch.tensor([[[[[0.5, 0.25, 0.5]]]]])).item()
    7.25
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(image: Tensor, points: Tensor) -> Tensor:
        index, *distances = corner(points, image.shape)
        out = _mix(_neighbours(image, index), distances)
        return out.unflatten(-1, points.shape[1:-1])

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        # PyTorch operations alone, on what was saved: so autograd can differentiate
        # this function in its turn, which is all that second derivatives need.
        image, points = ctx.saved_tensors
        index, *distances = corner(points, image.shape)
        grad = grad.flatten(2)
        grad_image = grad_points = None
        if ctx.needs_input_grad[0]:
            shares = zip(_offsets(image.shape), _weights(distances), strict=True)
            grads = {k: grad * weight for k, weight in shares}
            grad_image = scatter_add(grads, index, image.shape)
        if ctx.needs_input_grad[1]:
            slopes = _slopes(image, index, distances)
            grad_points = (grad[..., None] * slopes).sum(dim=1).view_as(points)
        return grad_image, grad_points

    @staticmethod
    def jvp(ctx, d_image: Tensor, d_points: Tensor) -> Tensor:
        # Forwards: the sample is linear in the image; a point moves along the slopes.
        image, points = ctx.saved_tensors
        index, *distances = corner(points, image.shape)
        slopes = _slopes(image, index, distances)
        moved = (slopes * d_points.flatten(1, -2)[:, None]).sum(dim=-1)
        return Bilinear.apply(d_image, points) + moved.unflatten(-1, points.shape[1:-1])


def _mix(values: list[Tensor], distances: Sequence[Tensor]) -> Tensor:
    """Mix neighbours in pairs along x, what that gives along y, and so on: (N, C, P).

    A pair's two stand side by side: the neighbours are in the order of `_offsets`.
    """
    for distance in distances:
        pairs = zip(values[::2], values[1::2], strict=True)
        values = [torch.lerp(before, behind, distance) for before, behind in pairs]
    return values[0]


def _weights(distances: Sequence[Tensor]) -> list[Tensor]:
    """How much `_mix` takes of each neighbour: (N, 1, P) in the order of `_offsets`."""
    a, *others = distances
    weights = [1 - a, a]
    for b in others:
        weights = [w * (1 - b) for w in weights] + [w * b for w in weights]
    return weights


def _slopes(image: Tensor, index: Tensor, distances: Sequence[Tensor]) -> Tensor:
    """The derivatives of every sample along x, y (and z): (N, C, P, D).

    Along an axis it is the difference of the neighbours, mixed along the other axes.
    """
    values, slopes = _neighbours(image, index), []
    for axis in range(len(distances)):
        apart = 2**axis  # in the list, from a neighbour to the next along this axis
        before = [k for k in range(len(values)) if not k & apart]
        differences = [values[k + apart] - values[k] for k in before]
        others = [*distances[:axis], *distances[axis + 1 :]]
        slopes.append(_mix(differences, others))
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
        return gather(image, index).unflatten(-1, points.shape[1:-1])

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


def corner(points: Tensor, shape: torch.Size, *, after: int = 1) -> tuple[Tensor, ...]:
    """Return each point's top left neighbour, and how far the point is from it.

    Args:
        points: ``(N, H_out, W_out, 2)`` pixel coordinates, or
            ``(N, D_out, H_out, W_out, 3)`` of a volume.
        shape: of the image, ``(N, C, H, W)``, or of the volume, ``(N, C, D, H, W)``.
        after: how many pixels must follow the neighbour along each axis. A point on
            the last pixel's centre has no right neighbour: with 1 it belongs to the
            cell on its left, at the distance 1.

    Returns:
        The neighbour's index in the flattened image, ``(N, P)``, and the distances
        along x, along y (and along z), ``(N, 1, P)`` each, with P the number of points.

    >>> index, a, b = corner(torch.tensor([[[[2.25, 1.5]]]]), (1, 1, 4, 5))
    >>> index.item(), a.item(), b.item()
    (7, 0.25, 0.5)
    """
    axes = points.flatten(1, -2).unbind(-1)
    firsts = [
        x.detach().floor().clamp(max=n - 1 - after)
        for x, n in zip(axes, reversed(shape[2:]), strict=True)
    ]
    distances = [(x - first)[:, None] for x, first in zip(axes, firsts, strict=True)]
    return _flat(firsts, shape), *distances


def gather(image: Tensor, index: Tensor) -> Tensor:
    """Return the pixels of an image at flat indices.

    Args:
        image: ``(N, C, H, W)`` or ``(N, C, D, H, W)``.
        index: ``(N, P)``, each ``y * W + x`` or ``(z * H + y) * W + x``.

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
        shape: of the image, ``(N, C, H, W)``, or of the volume, ``(N, C, D, H, W)``.

    Returns:
        A tensor of this shape.

    >>> parts = {0: torch.ones(1, 1, 2), 1: torch.full((1, 1, 2), 10.0)}
    >>> scatter_add(parts, torch.tensor([[0, 1]]), (1, 1, 1, 3)).tolist()
    [[[[1.0, 11.0, 10.0]]]]
    """
    n, c, *size = shape
    flat = next(iter(parts.values())).new_zeros(n, c, math.prod(size))
    for offset, part in parts.items():
        flat = flat.scatter_add(2, (index + offset)[:, None].expand_as(part), part)
    return flat.unflatten(2, size)


def _neighbours(image: Tensor, index: Tensor) -> list[Tensor]:
    """The values around every point, (N, C, P) each: nw, ne, sw, se in an image."""
    return [gather(image, index + k) for k in _offsets(image.shape)]


def _offsets(shape: torch.Size) -> list[int]:
    """From a top left neighbour's index to those of all: 0, 1, W, W + 1 in an image."""
    offsets, step = [0], 1
    for n in reversed(shape[2:]):
        offsets += [k + step for k in offsets]
        step = step * n
    return offsets


def _pixel(points: Tensor, shape: torch.Size) -> Tensor:
    """The flat index (N, P) of the pixel at each point."""
    return _flat(points.flatten(1, -2).unbind(-1), shape)


def _flat(axes: Sequence[Tensor], shape: torch.Size) -> Tensor:
    """Whole coordinates (N, P) along x, y (and z) as a flat index: (N, P)."""
    *inner, last = axes
    index = last.long()
    for x, n in zip(reversed(inner), shape[3:], strict=True):
        index = index * n + x.long()
    return index
