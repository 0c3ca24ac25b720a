"""Checks of the chapter on CoordConv: what coordinates tell a convolution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from stn_tutorial.coordconv import CoordConv2d, add_coordinates
from stn_tutorial.coordinates import base_grid
from stn_tutorial.course.checks._grading import Cases, choose, compare
from stn_tutorial.experiments.models import seeded

__all__ = [
    "bias_of_coordinates",
    "coordinates_averaged",
    "true_radius",
    "twice_as_wide",
]


def true_radius(attempt: Callable[[int, int], Tensor]) -> None:
    """Check ``attempt(height, width)``: the normalized distance from the centre."""
    hint = (
        "pixel centres lie at (2 k + 1) / n - 1 along an axis of n pixels, and 0 "
        "is the centre of the image along both, whether a pixel is there or not."
    )
    sizes = ((4, 4), (5, 5), (3, 8), (1, 6), (7, 1))
    compare(attempt, lambda *size: base_grid(size).norm(dim=-1), sizes, hint)


def coordinates_averaged(answer: str) -> None:
    """Check what a mean over all pixels keeps of a location, behind a linear layer."""
    draw = torch.Generator().manual_seed(0)
    with seeded(0):
        layer = CoordConv2d(1, 4, 1, bias=False)
    pictures = torch.zeros(2, 1, 16, 16)
    pictures[0, 0, 3, 4] = pictures[1, 0, 9, 12] = 1
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=draw))
        here, there = layer(pictures).mean(dim=(2, 3))
    hint = (
        "the mean of w v + a x + b y over all pixels is w mean(v) + a mean(x) + "
        "b mean(y). Which of the three means depends on where the white pixel is?"
    )
    same = torch.allclose(here, there, atol=1e-6)
    right = "nothing" if same else "the whole location"
    choose(answer, right, ("the whole location", "its x alone", "nothing"), hint)


def twice_as_wide(answer: str) -> None:
    """Check where a coordinate lies after the canvas became twice as wide."""
    narrow, wide = (
        add_coordinates(torch.zeros(1, 1, 1, width))[0, 1, 0] for width in (64, 128)
    )
    same = (wide - narrow[32]).abs().argmin().item()
    hint = (
        "normalized coordinates run from -1 to 1 over whatever comes in: print "
        "those of column 32 for both widths."
    )
    right = "in column 64 or 65" if same in (64, 65) else f"in column {same}"
    options = ("in column 32", "in column 64 or 65", "nowhere: it fails")
    choose(answer, right, options, hint)


def bias_of_coordinates(attempt: Callable[[CoordConv2d, int, int], Tensor]) -> None:
    """Check ``attempt(layer, height, width)``: what coordinates add to a convolution.

    That is the layer's output minus that of the plain convolution with its other
    weights, without the bias: ``(out_channels, height, width)``.
    """

    def cases(draw: Generator) -> Cases:
        shapes = ((1, 1, 1, 3, 4), (2, 3, 3, 5, 4), (3, 2, 5, 6, 9))
        for n_in, n_out, size, height, width in shapes:
            with seeded(0):
                layer = CoordConv2d(n_in, n_out, size, padding=size // 2)
            with torch.no_grad():
                layer.bias.copy_(torch.randn(n_out, generator=draw))
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=draw))
            yield layer, height, width

    def reference(layer: CoordConv2d, height: int, width: int) -> Tensor:
        blank = torch.zeros(1, layer.in_channels, height, width)
        with torch.no_grad():
            return layer(blank)[0] - layer.bias[:, None, None]

    hint = (
        "a convolution is linear: on a black image, all that is left is what the "
        "coordinates weigh, and the bias."
    )
    compare(attempt, reference, cases, hint)
