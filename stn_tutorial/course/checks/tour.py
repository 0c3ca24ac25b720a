"""Checks of the tour: what the frame does, and what a trained network says."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from stn_tutorial.coordinates import to_pixels
from stn_tutorial.course.checks._grading import Cases, choose, compare, nearest
from stn_tutorial.families import Affine
from stn_tutorial.sampling import warp

__all__ = ["half_the_frame", "middle_of_the_frame", "upside_down"]


def half_the_frame(answer: str) -> None:
    """Check how large a digit comes out when its frame is half as large."""
    square = torch.zeros(1, 1, 32, 32)
    square[..., 12:20, 12:20] = 1.0
    halves = Affine().identity()[None] * torch.tensor([0.5, 0.5, 1, 0.5, 0.5, 1])
    side = (warp(square, halves).sum() / square.sum()).sqrt()
    options = {"half as large": 0.5, "as large as before": 1.0, "twice as large": 2.0}
    hint = "the output has as many pixels as before, for half as much of the input."
    choose(answer, nearest(side, options), options, hint)


def upside_down(answer: str, net: nn.Module, picture: Tensor) -> None:
    """Check what a network says of a 6 that is rotated by 180°.

    Args:
        answer: the reader's.
        net: images to scores.
        picture: ``(1, 1, H, W)``.
    """
    with torch.inference_mode():
        said = str(net(picture).argmax().item())
    options = ("6", "9", "another digit")
    right = said if said in options else options[-1]
    choose(answer, right, options, "look at the picture, or ask the network.")


def middle_of_the_frame(attempt: Callable[[Tensor, int, int], Tensor]) -> None:
    """Check ``attempt(theta, height, width)``: the frame's middle in the input."""

    def cases(draw: Generator) -> Cases:
        yield Affine().identity(), 42, 42
        for size in ((42, 42), (20, 50), (7, 3)):
            yield torch.randn(6, generator=draw), *size

    def reference(theta: Tensor, height: int, width: int) -> Tensor:
        # From the centre of the first pixel to its edges is half a pixel.
        return to_pixels(theta[[2, 5]], (height, width)) + 0.5

    hint = (
        "x and y are theta[2] and theta[5]; -1 is 0 pixels from the edge, 1 is all of "
        "the width or the height."
    )
    compare(attempt, reference, cases, hint)
