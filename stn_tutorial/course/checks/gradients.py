"""Checks of the chapter on gradients: those of a sample, and where they go."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from stn_tutorial.coordinates import base_grid
from stn_tutorial.course.checks._grading import Cases, choose, compare
from stn_tutorial.sampling import sample

__all__ = [
    "angle_gradient",
    "gradient_of_a_constant",
    "gradient_outside",
    "gradient_through_nearest",
    "hessian_by_theta",
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


def hessian_by_theta(attempt: Callable[..., Tensor]) -> None:
    """Check ``attempt(U, theta, location)``: a sample's (6, 6) Hessian by theta."""

    def cases(draw: Generator) -> Cases:
        kind = {"generator": draw, "dtype": torch.float64}
        for height, width in ((4, 6), (5, 5), (9, 3)):
            image = torch.rand(height, width, **kind)
            for _ in range(3):
                near = 0.4 * torch.eye(2, 3) + 0.2 * (torch.rand(2, 3, **kind) - 0.5)
                yield image, near, torch.rand(2, **kind) * 1.8 - 0.9

    def reference(image: Tensor, theta: Tensor, location: Tensor) -> Tensor:
        def value(numbers: Tensor) -> Tensor:
            grid = numbers.view(2, 3) @ F.pad(location, (0, 1), value=1.0)
            grid = grid.view(1, 1, 1, 2)
            return sample(image[None, None], grid, backend="manual").sum()

        return torch.autograd.functional.hessian(value, theta.flatten())

    hint = (
        "theta's first three numbers move x, the others y, by (x, y, 1) "
        "of the location times the reach; and only x with y has a second derivative."
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


def gradient_outside(answer: str) -> None:
    """Check which padding passes a gradient to a shift that has left the image."""
    paddings = ("zeros", "border", "reflection")
    gradients = {
        p: _gradient_of_theta(_texture(), 1.0, 2.6, padding=p) for p in paddings
    }
    passing = [name for name, g in gradients.items() if g[0, 2] != 0]
    right = passing[0] if len(passing) == 1 else "none"
    hint = "walk to the right, out of the image: what does the point sample?"
    choose(answer, right, (*paddings, "none"), hint)


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
