"""Checks of the chapter on localization networks: what they answer, and how."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from stn_tutorial.coordinates import rotation, theta_from_pixels
from stn_tutorial.course.checks._grading import Cases, choose, compare, nearest
from stn_tutorial.data import embedded_digits
from stn_tutorial.families import Attention, Similarity
from stn_tutorial.sampling import sample

__all__ = [
    "crop_inside",
    "expected_location",
    "inverse_of_a_distortion",
    "mean_angle",
    "output_of_zero_parameters",
    "trained_on_rotated_digits",
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


def mean_angle(attempt: Callable[[Tensor], Tensor]) -> None:
    """Check ``attempt(angles)``: the mean of angles, on the circle."""

    def cases(draw: Generator) -> Cases:
        # Symmetric about the mean, so that every notion of a mean agrees.
        for middle in (0.3, 2.9, -3.0, 1.6):
            spread = torch.rand(3, generator=draw, dtype=torch.float64)
            angles = middle + torch.cat([spread, -spread.flip(0)])
            yield (torch.atan2(angles.sin(), angles.cos()),)

    def reference(angles: Tensor) -> Tensor:
        return torch.polar(torch.ones_like(angles), angles).sum().angle()

    hint = (
        "average the points (cos, sin) on the circle, then take the angle of the "
        "mean; atan2 tells all four quadrants apart."
    )
    compare(attempt, reference, cases, hint)


def crop_inside(attempt: Callable[[Tensor], Tensor]) -> None:
    """Check ``attempt(u)``: scales and shifts of crops that stay in the picture."""

    def cases(draw: Generator) -> Cases:
        for count in (1, 5, 40):
            u = torch.randn(count, 3, generator=draw, dtype=torch.float64)
            yield (u * count**0.5,)

    def reference(u: Tensor) -> Tensor:
        s = torch.sigmoid(u[:, 0])
        crop = torch.stack([s, *((1 - s) * torch.tanh(u[:, k]) for k in (1, 2))], 1)
        corners = Attention().grid(crop, (2, 2), align_corners=True)
        assert bool((corners.abs() <= 1 + 1e-12).all())
        return crop

    hint = (
        "the crop reaches from x - s to x + s, and the picture from -1 to 1: "
        "how far can x go?"
    )
    compare(attempt, reference, cases, hint)


def trained_on_rotated_digits(answer: str) -> None:
    """Check how outputs stand when their classifier has learned digits that lean."""
    images, labels = embedded_digits()
    seven = images[labels == 7][:1]

    def lean(degrees: float) -> Tensor:
        angle = math.radians(-degrees)  # the grid rotates the other way
        params = torch.tensor([[math.cos(angle), math.sin(angle), 0, 0]])
        return sample(seven, Similarity().grid(params, (28, 28)))

    learned, leans = lean(40), range(-90, 91, 5)
    best = min(leans, key=lambda k: float((lean(k) - learned).square().mean()))
    options = {"upright": 0.0, "leaning by 40°": 40.0, "leaning by -40°": -40.0}
    hint = "which outputs have the lowest loss: those that look like what?"
    choose(answer, nearest(best, options), options, hint)


def expected_location(attempt: Callable[[Tensor], Tensor]) -> None:
    """Check ``attempt(maps)``: the mean location of each map under its softmax."""

    def cases(draw: Generator) -> Cases:
        for shape in ((1, 1, 3, 3), (2, 3, 4, 7), (3, 2, 9, 5)):
            yield (3 * torch.randn(shape, generator=draw, dtype=torch.float64),)

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
