"""Checks of the chapter on volumes: eight weights, rotations, folds, what is seen."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from stn_tutorial.coordinates import base_grid
from stn_tutorial.course.checks._grading import Cases, choose, compare
from stn_tutorial.data.embedded import embedded_digits
from stn_tutorial.data.volumes import extrude, flatten, rotate
from stn_tutorial.displacement import folded_fraction
from stn_tutorial.families_3d import rotation_matrix

__all__ = [
    "angle_between",
    "fifth_power",
    "led_past_the_middle",
    "rotated_about_z",
    "weights_of_eight",
]


def weights_of_eight(attempt: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Check ``attempt(a, b, c)``: three times (N,) -> (N, 8), x fastest."""

    def reference(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        pairs = (torch.stack([1 - t, t], dim=-1) for t in (c, b, a))
        return torch.einsum("nz,ny,nx->nzyx", *pairs).flatten(1)

    def cases(draw: Generator) -> Cases:
        zero = torch.zeros(1)
        yield zero, zero, zero
        yield 1 + zero, zero, zero
        yield zero, zero, 1 + zero
        for count in (1, 6):
            yield tuple(torch.rand(3, count, generator=draw))

    hint = (
        "each weight is a product of three factors: a or 1 - a, b or 1 - b, c or 1 - c."
        " The second neighbour is the one on the right of the first."
    )
    compare(attempt, reference, cases, hint)


def angle_between(attempt: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Check ``attempt(first, second)``: (N, 3, 3), (N, 3, 3) -> (N,), radians."""

    def reference(first: Tensor, second: Tensor) -> Tensor:
        # From the Frobenius norm of the difference, which is 2 √2 sin(α / 2).
        apart = (first - second).norm(dim=(-2, -1))
        return 2 * (apart / math.sqrt(8)).clamp(max=1).asin()

    def cases(draw: Generator) -> Cases:
        quarter = torch.tensor([[0.0, 0.0, math.pi / 2]])
        yield rotation_matrix(0 * quarter), rotation_matrix(quarter)
        yield rotation_matrix(quarter), rotation_matrix(-quarter / 3)
        for count in (1, 5):
            vectors = torch.randn(2, count, 3, generator=draw) / 2
            yield tuple(rotation_matrix(vectors))

    hint = (
        "what leads from the first to the second is second @ first⁻¹, and the inverse "
        "of a rotation is its transpose; the angle is in its trace."
    )
    compare(attempt, reference, cases, hint)


def fifth_power(answer: str) -> None:
    """Check the fifth power of the matrix of a cross product, by its numbers."""
    alpha = 0.7
    K = torch.tensor([[0.0, -alpha, 0.0], [alpha, 0.0, 0.0], [0.0, 0.0, 0.0]])
    options = {
        "α⁴ K": alpha**4 * K,
        "-α⁴ K": -(alpha**4) * K,
        "α⁴ K²": alpha**4 * K @ K,
        "0": 0 * K,
    }
    fifth = torch.linalg.matrix_power(K, 5)
    (right,) = (name for name, value in options.items() if torch.allclose(value, fifth))
    hint = "K³ is -α² K, so two more factors of K give another factor of -α²."
    choose(answer, right, tuple(options), hint)


def led_past_the_middle(answer: str) -> None:
    """Check which of two warps folds."""
    grid = base_grid((4, 4, 4))[None]
    shares = [
        folded_fraction(grid * torch.tensor(factors)).item()
        for factors in ([-0.5, -0.5, 1.0], [-0.5, -0.5, -0.5])
    ]
    first, second = ("turns over" if share > 0.5 else "does not" for share in shares)
    options = ("turns over, turns over", "turns over, does not", "does not, turns over")
    options = (*options, "does not, does not")
    hint = "the determinant of a diagonal matrix is the product of its entries."
    choose(answer, f"{first}, {second}", options, hint)


def rotated_about_z(answer: str) -> None:
    """Check what a rotation about the line of sight does to a body's picture."""
    body = extrude(embedded_digits()[0][3:4], 24)
    seen = flatten(body)
    turned = flatten(rotate(body, torch.tensor([[0.0, 0.0, 0.7, 0.0, 0.0, 0.0]])))
    sharp = (turned.square().sum() / seen.square().sum()).item()
    right = "it rotates" if sharp > 0.8 else "it is smeared"
    if torch.allclose(turned, seen, atol=0.05):
        right = "it stays"
    hint = "all layers of the body are alike, and each is rotated in its plane."
    choose(answer, right, ("it stays", "it rotates", "it is smeared"), hint)
