"""Checks of the chapter on co-localization: boxes, overlap, the loss and its slope."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from stn_tutorial.course.checks._grading import Cases, choose, compare

__all__ = [
    "box_of_theta",
    "fixed_crop",
    "iou_of_a_shift",
    "margin_of_zero",
    "pull_alone",
    "slope_of_the_loss",
]


def box_of_theta(attempt: Callable[[Tensor, tuple[int, int]], Tensor]) -> None:
    """Check ``attempt(params, size)``: (N, 3) s, x, y -> (N, 4) edges in pixels."""

    def reference(params: Tensor, size: tuple[int, int]) -> Tensor:
        scale, middle = params[:, :1], params[:, 1:]
        ends = torch.cat([middle - scale, middle + scale], dim=1)
        height, width = size
        length = ends.new_tensor([width, height, width, height])
        return (ends + 1) * length / 2 - 0.5

    def cases(draw: Generator) -> Cases:
        yield torch.tensor([[1.0, 0.0, 0.0]]), (4, 4)
        for size in ((84, 84), (30, 50)):
            yield torch.rand(3, 3, generator=draw) - 0.3, size

    hint = (
        "the output's edges are at -1 and 1: theta takes them to x - s and x + s. Then "
        "(u + 1) W / 2 - 1/2 pixels, of which the first one's centre is 0. The order "
        "is left, top, right, bottom; x goes with the width."
    )
    compare(attempt, reference, cases, hint, tolerance=1e-4)


def iou_of_a_shift(attempt: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Check ``attempt(side, shift)``: the IoU of a square and the same one moved."""

    def reference(side: Tensor, shift: Tensor) -> Tensor:
        common = (side[:, None] - shift.abs()).clamp(min=0).prod(dim=1)
        return common / (2 * side * side - common)

    def cases(draw: Generator) -> Cases:
        yield torch.tensor([28.0]), torch.tensor([[0.0, 0.0]])
        yield torch.tensor([28.0]), torch.tensor([[40.0, -3.0]])
        yield torch.tensor([3.0]), torch.tensor([[-40.0, 50.0]])
        side = 10 + 20 * torch.rand(5, generator=draw)
        yield side, 20 * torch.rand(5, 2, generator=draw) - 10

    hint = (
        "the common part has the sides a - |dx| and a - |dy|, neither less than 0; the "
        "union is twice the square less the common part."
    )
    compare(attempt, reference, cases, hint)


def slope_of_the_loss(attempt: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Check ``attempt(crops, patches, margin)``: the loss's gradient at the crops."""

    def reference(crops: Tensor, patches: Tensor, margin: float) -> Tensor:
        at = crops.detach().requires_grad_()
        push = (at - patches).square().sum(dim=1)
        pull = (at[:, None] - at).square().sum(dim=2)
        hinge = (pull - push[:, None] + margin).clamp(min=0)
        off = 1 - torch.eye(len(at), dtype=at.dtype)
        return torch.autograd.grad((hinge * off).sum(), at)[0]

    def cases(draw: Generator) -> Cases:
        for count, width, margin in ((2, 1, 10.0), (3, 4, 0.5), (6, 3, 1.0)):
            shape = (count, width)
            crops, patches = (
                torch.randn(shape, generator=draw, dtype=torch.float64) for _ in "cp"
            )
            yield crops, patches, margin

    hint = (
        "an active pair (n, m) sends 2 (r_n - e_m) to n and 2 (e_m - e_n) to m; sum "
        "over the pairs that are active, with n ≠ m, in both roles."
    )
    compare(attempt, reference, cases, hint)


def pull_alone(answer: str) -> None:
    """Check what is the lowest loss if nothing pushes crops from their patches."""
    crops = torch.zeros(4, 3)  # an encoder of crops that are black everywhere
    pull = (crops[:, None] - crops).square().sum()
    right = "a black corner" if float(pull) == 0 else "the digit"
    hint = "two crops of nothing look exactly alike; two handwritten digits never do."
    choose(answer, right, ("the digit", "a black corner", "the whole picture"), hint)


def margin_of_zero(answer: str) -> None:
    """Check what crops that look like their patches pay with a margin of zero."""
    pull = push = torch.zeros(3)
    loss = (pull - push + 0.0).clamp(min=0).mean()
    right = "nothing" if float(loss) == 0 else "the margin"
    options = ("nothing", "half as much as with 1", "as much as with 1")
    hint = "put pull = push = 0 into the hinge, with a margin of 0, and then of 1."
    choose(answer, right, options, hint)


def fixed_crop(answer: str) -> None:
    """Check how large a crop may be that has the digit of 28 pixels in its middle."""
    sides = (33, 39, 45)
    right = max(side for side in sides if (28 / side) ** 2 > 0.5)
    hint = "they share 28² pixels, and cover as many as the larger one has."
    choose(answer, f"{right} pixels", [f"{side} pixels" for side in sides], hint)
