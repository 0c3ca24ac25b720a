"""Checks of the chapter on families of warps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from stn_tutorial.coordinates import base_grid
from stn_tutorial.course.checks._grading import (
    Cases,
    choose,
    compare,
    nearest,
)
from stn_tutorial.families import Projective, Similarity, fit
from stn_tutorial.thin_plate_spline import ThinPlateSpline

__all__ = [
    "best_fit_of_a_stiffer_spline",
    "diagonal_of_a_stiff_spline",
    "lines_that_stay_parallel",
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


def diagonal_of_a_stiff_spline(answer: str) -> None:
    """Check what makes a spline the best compromise of distances and bending."""
    stiffness = 0.5
    plain = ThinPlateSpline((4, 4))
    draw = torch.Generator().manual_seed(3)
    wanted = 0.1 * torch.randn(1, 32, generator=draw, dtype=torch.float64)
    pins = base_grid((4, 4), align_corners=True, dtype=torch.float64).flatten(0, 1)

    def cost(diagonal: float) -> float:
        soft = ThinPlateSpline((4, 4), stiffness=diagonal)
        met = (soft.at(wanted, pins)[0] - pins).view(1, 32)
        distances = (met - wanted).square().sum()
        return float(distances + stiffness * plain.bending_energy(met)[0])

    diagonals = {"λ": stiffness, "λ²": stiffness**2, "1/λ": 1 / stiffness}
    right = min(diagonals, key=lambda name: cost(diagonals[name]))
    hint = "put ρ = λ w into ρ = q - Φ w - M v, and collect what multiplies w."
    choose(answer, right, diagonals, hint)


def best_fit_of_a_stiffer_spline(answer: str) -> None:
    """Check what stiffness 1 does to the best fit of a spline with the same points."""
    draw = torch.Generator().manual_seed(3)
    points = base_grid((12, 12), dtype=torch.float64).view(1, 144, 2)
    moves = 0.1 * torch.randn(1, 144, 2, generator=draw, dtype=torch.float64)

    def error(stiffness: float) -> float:
        soft = ThinPlateSpline((4, 4), stiffness=stiffness)
        reached = soft.at(fit(soft, points, points + moves), points[0])
        return float((reached - points - moves).norm())

    ratio = error(1.0) / error(0.0)
    hint = "which bumps and planes can the offsets make, in either spline?"
    right = nearest(ratio, {"it grows": 1.1, "it stays": 1.0, "it falls": 0.9})
    choose(answer, right, ("it grows", "it stays", "it falls"), hint)


def _parallel(vectors: Tensor) -> bool:
    """Whether vectors (P, 2) all lie along one line."""
    first = vectors[0]
    cross = vectors[:, 0] * first[1] - vectors[:, 1] * first[0]
    return bool(cross.abs().max() < 1e-5)
