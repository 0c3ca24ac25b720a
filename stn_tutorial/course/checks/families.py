"""Checks of the chapter on families of warps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from stn_tutorial.coordinates import base_grid
from stn_tutorial.course.checks._grading import (
    Cases,
    Wrong,
    choose,
    compare,
    is_open,
    nearest,
)
from stn_tutorial.families import Projective, Similarity
from stn_tutorial.thin_plate_spline import ThinPlateSpline

__all__ = [
    "all_in_front",
    "fold_in_a_stiffer_spline",
    "lines_that_stay_parallel",
    "phi_at_zero",
    "similarities_multiplied",
    "spline_with_negated_offsets",
]


def lines_that_stay_parallel(answer: str) -> None:
    """Check which lines of a grid are still parallel under ``g = 0.4``."""
    params = torch.tensor([[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.4, 0.0]])
    grid = Projective().grid(params, (5, 5))[0]
    parallel = {
        "the vertical lines": _parallel(grid[-1] - grid[0]),
        "the horizontal lines": _parallel(grid[:, -1] - grid[:, 0]),
    }
    still = [name for name, holds in parallel.items() if holds]
    hint = (
        "along a vertical line x is fixed, and so is the divisor; along a "
        "horizontal line the divisor changes."
    )
    right = still[0] if len(still) == 1 else "both" if still else "neither"
    choose(answer, right, ("both", *parallel, "neither"), hint)


def all_in_front(attempt: Callable[..., Tensor]) -> None:
    """Check ``attempt(params)``: whether all of the output is before the horizon."""

    def cases(draw: Generator) -> Cases:
        for n in (1, 4, 50):
            params = torch.randn(n, 8, generator=draw)
            direction = torch.randn(n, 2, generator=draw)
            direction = direction / direction.abs().sum(dim=1, keepdim=True)
            size = torch.rand(n, 1, generator=draw)
            size = torch.where(size < 0.5, size + 0.4, size + 0.6)  # not close to 1
            params[:, 6:] = direction * size
            yield (params,)

    def reference(params: Tensor) -> Tensor:
        points = base_grid((33, 33), align_corners=True).flatten(0, 1)
        divisor = params[:, 6:] @ points.T + 1
        return (divisor > 0).all(dim=1).float()

    hint = "the divisor g x + h y + 1 is smallest in one of the four corners."
    compare(attempt, reference, cases, hint)


def similarities_multiplied(attempt: Callable[..., Tensor]) -> None:
    """Check ``attempt(first, second)``: the similarity that does both."""

    def cases(draw: Generator) -> Cases:
        for n in (1, 3, 20):
            yield tuple(torch.randn(2, n, 4, generator=draw, dtype=torch.float64))

    hint = (
        "z goes through the second warp first: w1 (w2 z + t2) + t1, with "
        "w = a + i b and t = x + i y."
    )
    compare(attempt, Similarity().compose, cases, hint)


def spline_with_negated_offsets(answer: str) -> None:
    """Check how there-and-back with negated offsets errs when offsets are halved."""
    spline = ThinPlateSpline((4, 4))
    draw = torch.Generator().manual_seed(3)
    offsets = 0.02 * torch.randn(1, 32, generator=draw, dtype=torch.float64)
    points = base_grid((9, 9), dtype=torch.float64).flatten(0, 1)

    def error(bend: Tensor) -> float:
        return float((spline.at(-bend, spline.at(bend, points)[0]) - points).norm())

    ratio = error(offsets / 2) / error(offsets)
    falls = {
        "it stays": 1,
        "it halves": 1 / 2,
        "it falls to a quarter": 1 / 4,
        "it falls to an eighth": 1 / 8,
    }
    hint = (
        "with a displacement u, there and back is p + u(p) - u(p + u(p)). Expand "
        "the last term around p: how many factors of u are left?"
    )
    choose(answer, nearest(ratio, falls), falls, hint)


def phi_at_zero(attempt: Callable[[Tensor], Tensor]) -> None:
    """Check ``attempt(r)``: r² log r² and, by autograd, its slope, at 0 as well."""

    def cases(draw: Generator) -> Cases:
        yield (torch.zeros(1, dtype=torch.float64),)
        for n in (3, 20):
            r = 2 * torch.rand(n, generator=draw, dtype=torch.float64)
            r[n // 2] = 0
            yield (r,)

    def value_and_slope(r: Tensor) -> Tensor | None:
        r = r.clone().requires_grad_()
        value = attempt(r)
        if is_open(value):
            return None
        if not isinstance(value, Tensor):
            return value  # which `compare` finds fault with
        if value.shape != r.shape:
            expected, got = tuple(r.shape), tuple(value.shape)
            raise Wrong(
                f"expected shape {expected}, got {got}\nHint: one value for each r."
            )
        if not value.requires_grad:
            raise Wrong(
                "the value has lost its gradient.\nHint: compute it from r by torch's "
                "functions, with no detach, item or NumPy on the way."
            )
        return torch.stack([value, torch.autograd.grad(value.sum(), r)[0]])

    def reference(r: Tensor) -> Tensor:
        far = r.where(r > 0, 1.0)
        value, slope = r**2 * torch.log(far**2), 2 * r * (torch.log(far**2) + 1)
        return torch.stack([value, slope])

    hint = (
        "row 0 is the value and row 1 the gradient, which is 0 at r = 0. A nan "
        "comes from 0 times infinity: put a 1 in place of 0 before the logarithm."
    )
    compare(value_and_slope, reference, cases, hint)


def fold_in_a_stiffer_spline(answer: str) -> None:
    """Check what stiffness 1 does to the fold of a control point moved by 1.1."""
    params = torch.zeros(1, 32)
    params[0, 10] = 1.1

    def folded(stiffness: float) -> int:
        grid = ThinPlateSpline((4, 4), stiffness=stiffness).grid(params, (64, 64))[0]
        right, down = grid.diff(dim=1)[:-1], grid.diff(dim=0)[:, :-1]
        area = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
        return int((area < 0).sum())

    before, after = folded(0.0), folded(1.0)
    right = "it disappears"
    if after:
        right = "it grows" if after > before else "it stays"
    hint = "count the negative cell areas for both stiffnesses."
    choose(answer, right, ("it stays", "it disappears", "it grows"), hint)


def _parallel(vectors: Tensor) -> bool:
    """Whether vectors (P, 2) all lie along one line."""
    first = vectors[0]
    cross = vectors[:, 0] * first[1] - vectors[:, 1] * first[0]
    return bool(cross.abs().max() < 1e-5)
