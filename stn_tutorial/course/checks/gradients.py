"""Checks of the chapter on gradients: those of a sample, and where they go."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from stn_tutorial.coordinates import base_grid, to_normalized
from stn_tutorial.course.checks._grading import Cases, choose, compare
from stn_tutorial.sampling import sample

__all__ = [
    "angle_gradient",
    "gradient_of_a_constant",
    "gradient_through_nearest",
    "kinks_of_a_ramp",
    "scattered",
]


def scattered(attempt: Callable[..., Tensor]) -> None:
    """Check ``attempt(g, index, weights, n_pixels)``: the adjoint of sampling."""

    def cases(draw: Generator) -> Cases:
        for outputs, n_pixels in ((3, 9), (12, 20), (200, 30)):
            g = torch.randn(outputs, generator=draw)
            index = torch.randint(0, n_pixels, (outputs, 4), generator=draw)
            index[0] = index[-1]  # two outputs that sample the same pixels
            weights = torch.rand(outputs, 4, generator=draw)
            yield g, index, weights, n_pixels

    def reference(g: Tensor, index: Tensor, weights: Tensor, n_pixels: int) -> Tensor:
        matrix = (F.one_hot(index, n_pixels) * weights[..., None]).sum(dim=1)
        return matrix.T @ g

    hint = (
        "every output pixel adds g times its weight to each of its four "
        "pixels, and a pixel that is sampled twice gets two parts: add, never assign."
    )
    compare(attempt, reference, cases, hint)


def angle_gradient(attempt: Callable[..., Tensor]) -> None:
    """Check ``attempt(grad_grid, angle, base)``: from the grid's gradient to an angle.

    The grid is ``base`` rotated by ``angle``: ``x' = x cos - y sin``,
    ``y' = x sin + y cos``.
    """

    def cases(draw: Generator) -> Cases:
        for n, size in ((1, (3, 5)), (2, (8, 8)), (4, (6, 2))):
            grad_grid = torch.randn(n, *size, 2, generator=draw, dtype=torch.float64)
            angle = torch.rand(n, generator=draw, dtype=torch.float64) * 6 - 3
            yield grad_grid, angle, base_grid(size, dtype=torch.float64)

    def reference(grad_grid: Tensor, angle: Tensor, base: Tensor) -> Tensor:
        angle = angle.clone().requires_grad_()
        c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
        x, y = base.unbind(-1)
        grid = torch.stack([x * c - y * s, x * s + y * c], dim=-1)
        return torch.autograd.grad((grid * grad_grid).sum(), angle)[0]

    hint = (
        "differentiate x' and y' by the angle, multiply each by its gradient, and "
        "add up over the pixels, for each image of the batch."
    )
    compare(attempt, reference, cases, hint)


def gradient_through_nearest(answer: str) -> None:
    """Check what gradient theta gets through nearest-neighbour sampling."""
    nearest = _gradient_of_theta(_texture(), 0.8, 0.1, interpolation="nearest")
    bilinear = _gradient_of_theta(_texture(), 0.8, 0.1)
    options = {
        "the same as bilinear": torch.allclose(nearest, bilinear),
        "zero": not bool(nearest.any()),
        "another one, not zero": True,
    }
    hint = "how much does the value change when the point moves by a millionth?"
    right = next(name for name, holds in options.items() if holds)
    choose(answer, right, options, hint)


def gradient_of_a_constant(answer: str) -> None:
    """Check which warp of a constant image passes a gradient to theta."""
    ones = torch.ones(1, 1, 8, 8)
    gradients = {
        "zoomed in": _gradient_of_theta(ones, 0.5, 0.0),
        "shifted, border": _gradient_of_theta(ones, 1.0, 0.55, padding="border"),
        "shifted, zeros": _gradient_of_theta(ones, 1.0, 0.55),
    }
    passing = [name for name, g in gradients.items() if g.abs().max() > 1e-6]
    right = passing[0] if len(passing) == 1 else "none"
    hint = "a slope is a difference of neighbours; where does a neighbour differ?"
    choose(answer, right, (*gradients, "none"), hint)


def kinks_of_a_ramp(answer: str) -> None:
    """Check where a bilinear sample of a ramp has kinks."""
    ramp = 0.3 * torch.arange(7.0)[:, None] + 0.1 * torch.arange(9.0)
    x, y = torch.meshgrid(torch.arange(1.0, 8), torch.arange(1.0, 6), indexing="xy")
    corners = torch.stack([x, y], dim=-1) + 0.5
    jumps = {
        "kinks on every line of centres": _jump(ramp, corners - torch.tensor([0.5, 0])),
        "kinks at the centres only": _jump(ramp, corners - 0.5),
    }
    happens = (name for name, jump in jumps.items() if jump > 1e-4)
    hint = "put U + alpha, U + beta and U + alpha + beta for three of the neighbours."
    choose(answer, next(happens, "no kinks inside"), (*jumps, "no kinks inside"), hint)


def _jump(image: Tensor, points: Tensor) -> float:
    """How much the slope along x changes across points (in pixels), at most."""
    sides = []
    for step in (-0.1, 0.1):
        there = points + torch.tensor([step, 0.0])
        grid = to_normalized(there, image.shape)[None].requires_grad_()
        value = sample(image[None, None], grid).sum()
        sides.append(torch.autograd.grad(value, grid)[0][..., 0])
    return (sides[1] - sides[0]).abs().max().item()


def _texture() -> Tensor:
    return torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(4))


def _gradient_of_theta(
    image: Tensor, zoom: float, shift: float, **options: str
) -> Tensor:
    """The gradient (2, 3) of a loss on theta, for a zoom and a shift along x."""
    theta = torch.tensor([[zoom, 0.0, shift], [0.0, zoom, 0.0]], requires_grad=True)
    size = image.shape[-2:]
    points = F.pad(base_grid(size), (0, 1), value=1.0)
    weights = torch.rand(size, generator=torch.Generator().manual_seed(5))
    V = sample(image, (points @ theta.T)[None], **options)
    return torch.autograd.grad((V * weights).sum(), theta)[0]
