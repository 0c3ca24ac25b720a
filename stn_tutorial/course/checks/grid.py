"""Checks of the chapter on the grid: coordinates, grids and thetas."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from stn_tutorial.coordinates import (
    base_grid,
    rotation,
    theta_from_pixels,
    to_normalized,
    to_pixels,
)
from stn_tutorial.course.checks._grading import Cases, choose, compare, nearest
from stn_tutorial.families import Affine
from stn_tutorial.sampling import sample

__all__ = [
    "after_a_negative_a",
    "after_swapping_coordinates",
    "crop_theta",
    "rotation_about",
    "warps_that_move_a_pixel",
]


def rotation_about(attempt: Callable[..., Tensor]) -> None:
    """Check ``attempt(angle, centre, size)``: theta that rotates about a pixel."""

    def cases(draw: Generator) -> Cases:
        for size in ((28, 28), (120, 180), (50, 31)):
            for _ in range(3):
                x, y, share = torch.rand(3, generator=draw).tolist()
                yield share * 6 - 3, (x * size[1], y * size[0]), size

    def reference(
        angle: float, centre: tuple[float, float], size: tuple[int, int]
    ) -> Tensor:
        matrix = rotation(torch.tensor(angle, dtype=torch.float64), center=centre)
        return theta_from_pixels(matrix, size, size).float()

    hint = (
        "the centre samples itself if p = A p + t, with p in normalized coordinates "
        "and A for the sizes of both axes. If the signs are off: a theta that rotates "
        "the grid clockwise rotates the picture counterclockwise."
    )
    compare(attempt, reference, cases, hint, tolerance=1e-4)


def crop_theta(attempt: Callable[..., Tensor]) -> None:
    """Check ``attempt(box, size)``: theta that cuts a box of pixels out of an image."""

    def cases(draw: Generator) -> Cases:
        for height, width in ((28, 28), (120, 180), (31, 50)):
            for _ in range(3):
                u = torch.rand(4, generator=draw)
                left, top = int(u[0] * width / 2), int(u[1] * height / 2)
                right = left + 1 + int(u[2] * width / 2)
                bottom = top + 1 + int(u[3] * height / 2)
                yield (left, top, right, bottom), (height, width)

    def reference(box: tuple[int, int, int, int], size: tuple[int, int]) -> Tensor:
        left, top, right, bottom = box
        height, width = size
        return torch.tensor(
            [
                [(right - left) / width, 0.0, (left + right) / width - 1],
                [0.0, (bottom - top) / height, (top + bottom) / height - 1],
            ]
        )

    hint = (
        "the output's edges -1 and 1 must land on the box's edges, and pixel "
        "columns left to right - 1 have their edges at left - 0.5 and right - 0.5."
    )
    compare(attempt, reference, cases, hint)


def after_swapping_coordinates(answer: str) -> None:
    """Check what happens to a picture when x and y of its grid are swapped."""
    image = torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(4))
    swapped = sample(image, base_grid((6, 6)).flip(-1)[None])
    pictures = {
        "nothing": image,
        "a rotation by 90°": image.rot90(1, (2, 3)),
        "left and right are exchanged": image.flip(3),
        "a reflection in the diagonal": image.mT,
    }
    hint = "sample torch.arange(9.0).view(1, 1, 3, 3) at grid.flip(-1)."
    choose(answer, nearest(swapped, pictures), pictures, hint)


def after_a_negative_a(answer: str) -> None:
    """Check what happens to a picture when theta's first number is negative."""
    image = torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(5))
    params = torch.tensor([[-1.0, 0.0, 0.0, 0.0, 1.0, 0.0]])
    warped = sample(image, Affine().grid(params, (6, 6)))
    pictures = {
        "black": torch.zeros_like(image),
        "left and right are exchanged": image.flip(3),
        "top and bottom are exchanged": image.flip(2),
        "a rotation by 180°": image.flip((2, 3)),
    }
    hint = "which input pixel does the output pixel at (1, y) sample?"
    choose(answer, nearest(warped, pictures), pictures, hint)


def warps_that_move_a_pixel(answer: int) -> None:
    """Check after how many warps with mixed conventions a pixel is lost.

    The outermost of 28 pixels has then moved by more than one pixel.
    """
    last = torch.tensor([27.0])
    position, warps = last, 0
    while last - position <= 1:
        # What is sampled here is seen at the location whose base grid looks here.
        looked_at = to_normalized(position, (28,), align_corners=False)
        position = to_pixels(looked_at, (28,), align_corners=True)
        warps += 1
    hint = (
        "what is the normalized coordinate of pixel 27 under align_corners=False, and "
        "at which pixel does base_grid((1, 28), align_corners=True) have that? There "
        "one sees, after one warp, what had been at pixel 27."
    )
    choose(answer, warps, (1, 3, 14, 28), hint)
