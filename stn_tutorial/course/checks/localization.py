"""Checks of the chapter on localization networks: what they answer, and how."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from stn_tutorial.coordinates import rotation, theta_from_pixels
from stn_tutorial.course.checks._grading import Cases, choose, compare, nearest
from stn_tutorial.families import Similarity
from stn_tutorial.sampling import sample

__all__ = [
    "best_dimming",
    "expected_location",
    "inverse_of_a_distortion",
    "length_of_a_mean",
    "output_of_zero_parameters",
]


def inverse_of_a_distortion(attempt: Callable[..., Tensor]) -> None:
    """Check ``attempt(angle, scale, shift_px, n_in, n_out)``: the warp to predict."""

    def cases(draw: Generator) -> Cases:
        for count, n_in, n_out in ((1, 28, 28), (3, 42, 28), (5, 20, 33)):
            angle = torch.rand(count, generator=draw, dtype=torch.float64) * 6 - 3
            scale = torch.rand(count, generator=draw, dtype=torch.float64) + 0.5
            shift = torch.randn(count, 2, generator=draw, dtype=torch.float64) * 4
            yield angle, scale, shift, n_in, n_out

    def reference(
        angle: Tensor, scale: Tensor, shift_px: Tensor, n_in: int, n_out: int
    ) -> Tensor:
        middle = torch.full_like(shift_px, (n_out - 1) / 2)
        shift = shift_px + (n_in - n_out) / 2
        digit_to_picture = rotation(angle, scale, shift, center=middle)
        made = theta_from_pixels(digit_to_picture, (n_out, n_out), (n_in, n_in))
        last_row = made.new_tensor([0, 0, 1]).expand(len(made), 1, 3)
        undone = torch.linalg.inv(torch.cat([made, last_row], dim=1))
        return Similarity(aspect=1).params_of(undone)

    hint = (
        "the crop follows the digit: it has its angle, scale and location. "
        "Then change units: an output's unit is n_out / 2 pixels, an input's n_in / 2."
    )
    compare(attempt, reference, cases, hint)


def output_of_zero_parameters(answer: str) -> None:
    """Check what a transformer outputs whose network predicts zeros."""
    image = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(2)) + 0.1
    read = sample(image, Similarity().grid(torch.zeros(1, 4), (28, 28)))
    options = {
        "the picture": image,
        "one grey, the middle of the picture": image[..., 13:15, 13:15].mean(),
        "black": 0.0,
    }
    hint = "put a = b = x = y = 0 into the similarity: where is each pixel sampled?"
    choose(answer, nearest(read, options), options, hint)


def length_of_a_mean(attempt: Callable[[Tensor], Tensor]) -> None:
    """Check ``attempt(delta)``: the length of the mean of an arc's points."""

    def cases(draw: Generator) -> Cases:
        yield (torch.tensor([math.pi / 2, math.pi], dtype=torch.float64),)
        for count in (1, 5):
            delta = torch.rand(count, generator=draw, dtype=torch.float64)
            yield (0.1 + 3 * delta,)

    def reference(delta: Tensor) -> Tensor:
        n = 20_000
        middles = (2 * torch.arange(n, dtype=delta.dtype) + 1) / n - 1
        angles = delta[:, None] * middles
        mean = torch.stack([angles.cos().mean(dim=1), angles.sin().mean(dim=1)], 1)
        return mean.norm(dim=1)

    hint = (
        "the sines cancel; the mean of cos over the arc is an integral from -delta to "
        "delta, divided by the arc's length 2 delta."
    )
    compare(attempt, reference, cases, hint)


def best_dimming(attempt: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Check ``attempt(V, T)``: the factor that makes an output most like its target."""

    def cases(draw: Generator) -> Cases:
        for shape in ((1, 1, 4, 4), (3, 1, 5, 7)):
            output = torch.rand(shape, generator=draw, dtype=torch.float64)
            yield output, torch.rand(shape, generator=draw, dtype=torch.float64)

    def reference(output: Tensor, target: Tensor) -> Tensor:
        columns = output.flatten(1)[..., None], target.flatten(1)[..., None]
        return torch.linalg.lstsq(*columns).solution[:, 0, 0]

    hint = (
        "mean((cV - T)²) is a parabola in c: where is its derivative zero? "
        "Each picture has a factor of its own."
    )
    compare(attempt, reference, cases, hint)


def expected_location(attempt: Callable[[Tensor], Tensor]) -> None:
    """Check ``attempt(maps)``: the mean location of each map under its softmax."""

    def cases(draw: Generator) -> Cases:
        for shape in ((1, 1, 3, 3), (2, 3, 4, 7), (3, 2, 9, 5)):
            yield (3 * torch.randn(shape, generator=draw),)

    def reference(maps: Tensor) -> Tensor:
        height, width = maps.shape[-2:]
        weights = maps.exp() / maps.exp().sum(dim=(2, 3), keepdim=True)
        x = (2 * torch.arange(width) + 1) / width - 1
        y = (2 * torch.arange(height) + 1) / height - 1
        across = (weights.sum(dim=2) * x).sum(dim=-1)
        down = (weights.sum(dim=3) * y).sum(dim=-1)
        return torch.stack([across, down], dim=-1)

    hint = (
        "the softmax runs over height and width together; the mean is of (x, y), "
        "in this order, as base_grid has it."
    )
    compare(attempt, reference, cases, hint)
