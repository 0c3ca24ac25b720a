"""Checks of the chapter on registration: what its loss looks like, and its steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from stn_tutorial.coordinates import base_grid
from stn_tutorial.course.checks._grading import Cases, choose, compare, nearest
from stn_tutorial.families import Affine
from stn_tutorial.sampling import sample

__all__ = [
    "gauss_newton_step",
    "hessian_by_theta",
    "slopes_at_a_pixel",
    "step_on_stripes",
    "views_change_places",
]


def slopes_at_a_pixel(attempt: Callable[..., Tensor]) -> None:
    """Check ``attempt(before, here, after, d_before, d_after)``: slopes at a pixel.

    The arguments are the loss at three neighbouring shifts by whole pixels, and the
    mean square differences of the moving picture at the first two and the last two.
    """

    def cases(draw: Generator) -> Cases:
        for n in (4, 9, 50):
            pictures = torch.rand(3, n, generator=draw, dtype=torch.float64)
            losses = ((pictures - torch.rand(n, generator=draw)) ** 2).mean(dim=1)
            steps = ((pictures[1:] - pictures[:-1]) ** 2).mean(dim=1)
            yield (*losses, *steps)

    def reference(*numbers: Tensor) -> Tensor:
        before, here, after, d_before, d_after = numbers

        def between(start: Tensor, end: Tensor, d: Tensor, at: float) -> Tensor:
            a = torch.tensor(at, dtype=start.dtype, requires_grad=True)
            loss = (1 - a) * start + a * end - a * (1 - a) * d
            return torch.autograd.grad(loss, a)[0]

        left = between(before, here, d_before, 1.0)
        return torch.stack([left, between(here, after, d_after, 0.0)])

    hint = (
        "differentiate the formula by a; the left slope is that of the interval before "
        "it at a = 1, the right slope that of the interval after it at a = 0."
    )
    compare(attempt, reference, cases, hint)


def gauss_newton_step(attempt: Callable[..., Tensor]) -> None:
    """Check ``attempt(e, J)``: a step of Gauss and Newton."""

    def cases(draw: Generator) -> Cases:
        for rows, columns in ((3, 1), (10, 2), (60, 6)):
            J = torch.randn(rows, columns, generator=draw, dtype=torch.float64)
            yield torch.randn(rows, generator=draw, dtype=torch.float64), J

    def reference(e: Tensor, J: Tensor) -> Tensor:
        return torch.linalg.lstsq(J, -e[:, None]).solution[:, 0]

    hint = "solve (J^T J) step = -J^T e: as many equations as there are parameters."
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


def step_on_stripes(answer: str) -> None:
    """Check what a Gauss-Newton step says about the shift of vertical stripes."""
    size = (24, 24)
    fixed = _stripes(base_grid(size))
    grid = base_grid(size).requires_grad_()
    moved = _stripes(grid - torch.tensor([2 / 24, 4 / 24]))
    (J,) = torch.autograd.grad(moved.sum(), grid)
    rank = torch.linalg.matrix_rank(J.view(-1, 2)).item()
    still = torch.equal(moved.detach(), fixed)
    names = ("no step: the matrix is singular", "a step of zero")
    options = (*names, "the shift along x and the shift along y")
    right = options[0] if rank < 2 else options[1] if still else options[2]
    hint = "which slopes are zero, and what does that make of the second row?"
    choose(answer, right, options, hint)


def views_change_places(answer: str) -> None:
    """Check which theta registers the fixed picture to the moving one."""
    theta = torch.tensor([[0.98, -0.17, 0.12, 0.17, 0.98, -0.08]])
    grid = Affine().grid(theta, (32, 32))
    there, back = _scene(base_grid((32, 32)))[None, None], _scene(grid)[None]
    found = _register(back, there)
    matrix = torch.cat([theta.view(2, 3), torch.tensor([[0.0, 0, 1]])])
    options = {
        "the same theta": matrix[:2],
        "its inverse": matrix.inverse()[:2],
        "its numbers with the opposite sign": -matrix[:2],
    }
    hint = "multiply both as 3 x 3 matrices: from one view to the other, and back."
    choose(answer, nearest(found, options), options, hint)


def _stripes(points: Tensor) -> Tensor:
    return (12 * points[..., 0]).sin()


def _scene(points: Tensor) -> Tensor:
    """A smooth scene at normalized points (..., 2), without two directions alike."""
    x, y = points.unbind(-1)
    return (3 * x + y).sin() + (4 * y - x).cos() + (2 * x * y).sin()


def _register(moving: Tensor, fixed: Tensor) -> Tensor:
    """The theta (2, 3) of some Gauss-Newton steps from the identity."""
    theta = Affine().identity()[None]
    locations = F.pad(base_grid(fixed.shape[-2:]), (0, 1), value=1.0)
    inner = slice(6, -6)
    for _ in range(10):
        grid = Affine().grid(theta, fixed.shape[-2:]).requires_grad_()
        V = sample(moving, grid, padding="border", backend="manual")
        (slopes,) = torch.autograd.grad(V.sum(), grid)
        e = (V.detach() - fixed)[0, 0, inner, inner].flatten()
        J = torch.einsum("hwi,hwj->hwij", slopes[0], locations)[inner, inner]
        theta = theta - torch.linalg.lstsq(J.reshape(-1, 6), e[:, None]).solution.T
    return theta.view(2, 3)
