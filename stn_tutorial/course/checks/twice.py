"""Checks of the chapter on several transformers: poses, heads, twins, filters."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from stn_tutorial.course.checks._grading import (
    Cases,
    as_tensors,
    choose,
    compare,
    nearest,
)
from stn_tutorial.families import Affine
from stn_tutorial.sampling import warp

__all__ = [
    "round_filter",
    "sequence_error",
    "share_left",
    "side_by_side",
    "twin_heads",
    "two_edges",
]


def share_left(attempt: Callable[[int], Tensor]) -> None:
    """Check ``attempt(k)``: what share of the variance one warp leaves of k poses."""

    def reference(k: int) -> Tensor:
        return torch.tensor((k - 1) / k)

    hint = (
        "the best common angle is the mean of the k angles. Of each angle remains its "
        "distance from that mean: what is the variance of that, over sigma²?"
    )
    compare(as_tensors(attempt), reference, [(k,) for k in (1, 2, 3, 5, 10)], hint)


def side_by_side(attempt: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Check ``attempt(x, thetas)``: (N, C, H, W), (N, K, 6) -> (N, K C, H, W)."""

    def reference(x: Tensor, thetas: Tensor) -> Tensor:
        return torch.cat([warp(x, theta) for theta in thetas.unbind(dim=1)], dim=1)

    def cases(draw: Generator) -> Cases:
        for n, c, k in ((2, 2, 2), (1, 3, 1), (3, 1, 4)):
            thetas = 0.2 * torch.randn(n, k, 6, generator=draw) + Affine().identity()
            yield torch.rand(n, c, 9, 8, generator=draw), thetas

    hint = (
        "all channels as the first theta shows them, then all as the second does: "
        "concatenate along the channels."
    )
    compare(attempt, reference, cases, hint, tolerance=1e-4)


def twin_heads(answer: str) -> None:
    """Check what a penalty for looking alike does to two heads at the same place."""
    start = torch.tensor([0.2, -0.1])
    places = torch.stack([start, start]).requires_grad_()
    apart = (places[0] - places[1]).square().sum()
    torch.exp(-apart / 0.5).backward()
    parted = bool(places.grad.abs().max() > 1e-6)
    right = "it drives them apart" if parted else "nothing"
    hint = "what is the slope of exp(-d²) at d = 0? A summit is flat."
    options = ("nothing", "it drives them apart", "it holds them together")
    choose(answer, right, options, hint)


def two_edges(answer: str) -> None:
    """Check which filter of the upright picture a rotated one's features belong to."""
    draw = Generator().manual_seed(4)
    picture = torch.rand(1, 1, 15, 15, generator=draw)
    across = torch.tensor([[[[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]]])
    down = across.mT
    rotated = torch.rot90(picture, 1, (2, 3))  # counterclockwise on the screen
    back = torch.rot90(F.conv2d(rotated, across), -1, (2, 3))
    options = {
        "across": F.conv2d(picture, across),
        "minus across": -F.conv2d(picture, across),
        "down": F.conv2d(picture, down),
        "minus down": -F.conv2d(picture, down),
    }
    hint = (
        "what answers in the rotated picture is the filter; seen from the upright "
        "picture, it is rotated back. Where do its positive weights go?"
    )
    choose(answer, nearest(back, options), list(options), hint)


def round_filter(answer: str) -> None:
    """Check whether a filter that is its own rotation notices one."""
    draw = Generator().manual_seed(5)
    picture = torch.rand(1, 1, 15, 15, generator=draw)
    bell = torch.tensor([1.0, 2.0, 1.0])
    bell = bell[:, None] * bell
    rotated = torch.rot90(picture, 1, (2, 3))
    back = torch.rot90(F.conv2d(rotated, bell[None, None]), -1, (2, 3))
    gap = (back - F.conv2d(picture, bell[None, None])).abs().max()
    right = "nothing is left" if gap < 1e-4 else "the edges are left"
    hint = "a filter that looks the same after a quarter turn answers the same."
    options = ("nothing is left", "the edges are left", "the channels are exchanged")
    choose(answer, right, options, hint)


def sequence_error(attempt: Callable[[float], Tensor]) -> None:
    """Check ``attempt(p)``: the share of strings with at least one wrong digit."""

    def reference(p: float) -> Tensor:
        right = [(1 - p) ** length for length in range(1, 6)]
        return torch.tensor(1 - sum(right) / 5)

    hint = (
        "a string of n digits is right if all n are, with probability (1 - p)^n. Take "
        "the mean over the five lengths, not the power of the mean length."
    )
    compare(
        as_tensors(attempt), reference, [(p,) for p in (0.0, 0.02, 0.1, 0.5, 1.0)], hint
    )
