"""Polar: a digit beside its log-polar picture, in which a rotation is a shift."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial import sample, to_normalized
from stn_tutorial.course.explore._checks import between
from stn_tutorial.course.explore._figure import Explorable, State, pack
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.experiments.after_2015 import rotated_and_scaled
from stn_tutorial.experiments.successors import LogPolar

__all__ = ["Polar"]

#: Rows and columns of the polar picture.
RINGS, DIRECTIONS = 24, 32
#: Normalized radii of the first and the last ring.
INNER, OUTER = 0.05, 1.0
#: How much the digit may be scaled.
SCALES = (0.5, 1.6)
#: Rings are farther from the middle by this factor from one to the next.
GROWTH = (OUTER / INNER) ** (1 / (RINGS - 1))


def _origin(origin: Sequence[float]) -> list[float]:
    x, y = (float(value) for value in origin)
    if not (abs(x) <= 1 and abs(y) <= 1):
        raise ValueError(f"origin must be x and y from -1 to 1, got {origin!r}")
    return [x, y]


class Polar(Explorable):
    """A digit that is rotated and scaled by hand, and its log-polar picture.

    Rows of the polar picture are rings that grow by a constant factor, columns are
    directions. Beside it stands the same picture, shifted back by as many columns and
    rows as the rotation and the scale are worth. While the origin is in the middle,
    that undoes both.

    >>> figure = Polar(torch.rand(28, 28))
    >>> figure.angle = 90
    >>> figure.columns, round(figure.rows, 2)
    (8.0, 0.0)

    Args:
        image: ``(H, W)`` in [0, 1], square.

    Attributes:
        angle: by which the digit is rotated, clockwise, in degrees.
        scale: of the digit; above 1 it grows.
        origin: ``[x, y]`` of the polar picture's, normalized.

    Raises:
        ValueError: if the image is not square.
    """

    name = "polar"
    angle = State(between("angle", -180, 180))
    scale = State(between("scale", *SCALES))
    origin = State(_origin)

    def __init__(self, image: Tensor) -> None:
        self.data = {"image": pack(image)}
        if image.shape[0] != image.shape[1]:
            raise ValueError(f"image must be square, got {tuple(image.shape)}")
        self.image = image.detach().float().cpu()
        self.state = {"angle": 0.0, "scale": 1.0, "origin": [0.0, 0.0]}
        self.alt = (
            "A rotated digit with rings around its middle; its log-polar picture, of "
            "rings by directions; and the same shifted back, as of the upright digit"
        )
        self.hint = (
            "Rotate the digit by its orange handle, and make it larger: what moves in "
            "the polar picture, and which way? Where do columns go that leave it at "
            "the right? Then drag the origin, blue, off the digit's middle, and rotate "
            "again."
        )

    @property
    def columns(self) -> float:
        """By how many columns the rotation moves the polar picture."""
        return self.angle * DIRECTIONS / 360

    @property
    def rows(self) -> float:
        """By how many rows the scale does."""
        return math.log(self.scale, GROWTH)

    def digit(self) -> Tensor:
        """Return the digit as it is rotated and scaled: ``(H, W)``."""
        image = self.image[None, None]
        return rotated_and_scaled(image, self.angle, self.scale)[0, 0]

    def polar(self) -> Tensor:
        """Return its log-polar picture: ``(24, 32)``, of rings by directions."""
        family = LogPolar(INNER, OUTER)
        grid = family.grid(torch.tensor([self.origin]), (RINGS, DIRECTIONS))
        return sample(self.digit()[None], grid[0])[0]

    def shifted_back(self) -> Tensor:
        """Return that picture, shifted back by rotation and scale: ``(24, 32)``."""
        wide = self.polar().repeat(1, 3)  # columns come round
        y, x = torch.meshgrid(
            torch.arange(RINGS) + self.rows,
            torch.arange(DIRECTIONS) + DIRECTIONS + self.columns,
            indexing="ij",
        )
        grid = to_normalized(torch.stack([x, y], dim=-1), wide.shape)
        return sample(wide[None], grid)[0]

    def picture(self) -> Figure:
        """Draw a digit that is rotated by 90 degrees, its picture, and that shifted."""
        quarter = Polar(self.image)
        quarter.angle = 90
        fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.5))
        edges = {"cmap": "gray", "vmin": 0, "vmax": 1}
        axes[0].imshow(quarter.digit().numpy(), extent=(-1, 1, 1, -1), **edges)
        for radius in (0.2, 0.5, 1.0):
            ring = plt.Circle((0, 0), radius, fill=False, color=COLORS["input"])
            axes[0].add_patch(ring)
        for ax, seen in zip(axes[1:], (quarter.polar(), quarter.shifted_back())):
            ax.imshow(seen.numpy(), **edges)
        titles = ("rotated by 90°", "in polar coordinates", "8 columns back")
        for ax, title in zip(axes, titles):
            ax.set_title(title)
            ax.axis("off")
        return fig
