"""Checks of the chapter on photographs: crops of boxes, mirrors, tracks, resolution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from stn_tutorial.course.checks._grading import Cases, choose, compare, nearest
from stn_tutorial.data.signs import KINDS, draw_kinds
from stn_tutorial.sampling import warp

__all__ = [
    "a_frame_with_a_sibling",
    "held_by_chance",
    "how_much_wider",
    "kind_in_the_mirror",
    "larger_picture",
    "theta_of_boxes",
]


def theta_of_boxes(attempt: Callable[[Tensor, tuple[int, int]], Tensor]) -> None:
    """Check ``attempt(boxes, size)``: (N, 4) edges in pixels -> (N, 6) affine theta."""

    def reference(boxes: Tensor, size: tuple[int, int]) -> Tensor:
        # Solved from what theta has to do: two opposite corners go to two others.
        length = boxes.new_tensor([size[1], size[0]])
        low, high = ((2 * b + 1) / length - 1 for b in (boxes[:, :2], boxes[:, 2:]))
        theta = boxes.new_zeros(len(boxes), 6)
        theta[:, [0, 4]] = (high - low) / 2
        theta[:, [2, 5]] = (high + low) / 2
        return theta

    def cases(draw: Generator) -> Cases:
        yield torch.tensor([[-0.5, -0.5, 31.5, 31.5]]), (32, 32)
        yield torch.tensor([[-0.5, -0.5, 15.5, 31.5]]), (32, 32)
        for size in ((48, 48), (30, 50)):
            corner = 20 * torch.rand(3, 2, generator=draw)
            reach = 1 + 20 * torch.rand(3, 2, generator=draw)
            yield torch.cat([corner, corner + reach], dim=1), size

    hint = (
        "normalize the edges first, (2 x + 1) / W - 1. Theta takes the output's -1 and "
        "1 to them: its scale is half of their difference, its shift half of their sum."
        " The six numbers are the rows (a, 0, x) and (0, b, y)."
    )
    compare(attempt, reference, cases, hint)


def kind_in_the_mirror(attempt: Callable[[Tensor], Tensor]) -> None:
    """Check ``attempt(labels)``: (N,) kinds -> (N,) kinds in the mirror, or -1."""
    kinds = draw_kinds(32)
    apart = (kinds[:, None] - kinds.flip(-1)).abs().amax(dim=(2, 3, 4))
    same = apart < 1e-3  # [k, m]: kind k looks like kind m in the mirror
    becomes = torch.where(same.any(dim=0), same.int().argmax(dim=0), -1)

    def cases(draw: Generator) -> Cases:
        yield (torch.arange(len(KINDS)),)
        yield (torch.randint(len(KINDS), (20,), generator=draw),)

    hint = (
        "look at the twelve kinds: six stay themselves, two become each other, and "
        "nobody has seen the other four in a street."
    )
    compare(attempt, lambda labels: becomes[labels], cases, hint)


def a_frame_with_a_sibling(answer: float) -> None:
    """Check how many of the frames held out have another frame of theirs trained on."""
    held = torch.rand(100_000, 3, generator=Generator().manual_seed(0)) < 1 / 5
    sibling = (held[:, 0] & ~(held[:, 1] & held[:, 2])).sum() / held[:, 0].sum()
    options = (0.36, 0.64, 0.8, 0.96)
    right = min(options, key=lambda option: abs(option - sibling.item()))
    hint = "it has none if both others are held out as well: 1/5 times 1/5."
    choose(answer, right, options, hint)


def how_much_wider(answer: float) -> None:
    """Check by how much tracks widen an interval, by drawing tracks that fail whole."""
    draw = Generator().manual_seed(0)
    tracks = (torch.rand(2000, 400, generator=draw) < 0.05).double()
    # Each of 400 tracks stands for 30 pictures, so there are 12,000.
    spread = tracks.mean(dim=1).std() / (0.05 * 0.95 / 12_000) ** 0.5
    options = (1.0, 2.6, 5.5, 30.0)
    right = min(options, key=lambda option: abs(option - spread.item()))
    hint = "the variance is multiplied by 1 + (m - 1) ρ, with m = 30 and ρ = 1."
    choose(answer, right, options, hint)


def held_by_chance(attempt: Callable[[Tensor], Tensor]) -> None:
    """Check ``attempt(points)``: (N, 2) in a picture -> (N,) probabilities."""

    def reference(points: Tensor) -> Tensor:
        # Of 200 windows along an axis, and pairs of them, those that hold the point.
        middles = (torch.arange(200, dtype=points.dtype) + 0.5) / 200 - 0.5
        holds = (points[..., None] - middles).abs() <= 0.5
        return holds.to(points.dtype).mean(dim=-1).prod(dim=-1)

    def cases(draw: Generator) -> Cases:
        yield (torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.5], [-0.5, 0.0]]),)
        yield (2 * torch.randint(-99, 100, (20, 2), generator=draw) / 200,)

    hint = (
        "along x the middle has a range of length 1, from -0.5 to 0.5, and the window "
        "holds the point if they are at most 0.5 apart. Which part of the range is "
        "that? x and y are independent."
    )
    compare(attempt, reference, cases, hint)


def larger_picture(answer: str) -> None:
    """Check what theta becomes for a picture of the same scene with more pixels."""
    small = draw_kinds(32)[:1, :3]
    large = draw_kinds(64)[:1, :3]
    theta = torch.tensor([0.6, 0.0, 0.1, 0.0, 0.6, -0.2])
    crop = warp(small, theta, (16, 16), antialias=True)
    factors = torch.tensor([1.0, 1.0, 2.0, 1.0, 1.0, 2.0])
    tried = {
        "it stays": theta,
        "the scales double": theta * torch.tensor([2.0, 1, 1, 1, 2.0, 1]),
        "the shifts double": theta * factors,
        "all of it doubles": 2 * theta,
    }
    crops = {k: warp(large, t, (16, 16), antialias=True) for k, t in tried.items()}
    hint = "±1 are the edges of the picture, however many pixels lie between them."
    choose(answer, nearest(crop, crops), tuple(tried), hint)
