"""Aliasing: rings that a smaller picture can't carry, with and without antialiasing."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from stn_tutorial import base_grid, sample
from stn_tutorial._validate import check_flag
from stn_tutorial.course.explore._checks import whole
from stn_tutorial.course.explore._figure import Explorable, State, pack
from stn_tutorial.course.plotting import COLORS

__all__ = ["Aliasing"]

SIDE = 96
RINGS = 16
LEAST = 12


def _flag(antialias: bool) -> bool:
    check_flag(antialias, "antialias")
    return bool(antialias)


def _rings() -> Tensor:
    """Rings as fine as r is large: at the radius r there are 16 r to a unit."""
    squared = base_grid((SIDE, SIDE)).double().square().sum(dim=-1)
    return 0.5 + 0.5 * torch.cos(torch.pi * RINGS * squared)


class Aliasing(Explorable):
    """Rings that get finer outwards, and the same picture shrunk by sampling it.

    Two pixels of the output are the shortest period that it can carry along an axis; a
    square shows where the rings are as fine as that along x or along y. What the output
    shows outside is not in the input. The samples are those of
    ``sample(rings, base_grid(size), antialias=…)``.

    >>> aliasing = Aliasing(24)
    >>> aliasing.size, aliasing.antialias
    (24, False)

    Args:
        size: pixels a side of the output, where the figure begins.

    Attributes:
        size: pixels a side of the output, from 12 to 96.
        antialias: whether each output pixel is the mean of samples all over its patch.
        image: ``(96, 96)``, the rings.

    Raises:
        ValueError: if `size` is no whole number from 12 to 96.
    """

    name = "aliasing"
    size = State(whole("size", LEAST, SIDE))
    antialias = State(_flag)

    def __init__(self, size: int = 24) -> None:
        self.image = _rings().float()
        self.data = {"image": pack(self.image), "rings": RINGS, "least": LEAST}
        self.state = {"size": Aliasing.size.check(size), "antialias": False}
        self.alt = (
            "Left, rings that grow finer outwards; right, the picture shrunk by "
            "bilinear sampling, with false sets of rings outside a square"
        )
        self.hint = (
            "Make the output smaller, pixel by pixel. When does the square come in "
            "from the edges? What appears outside it, and what does antialiasing show "
            "there instead?"
        )

    def picture(self) -> Figure:
        """Draw the rings and the shrunk picture, with the square over both."""
        fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.4), layout="constrained")
        grid = base_grid((self.size, self.size))
        shrunk = sample(self.image[None], grid, antialias=self.antialias)[0]
        title = f"{self.size} × {self.size}"
        title += ", antialiased" if self.antialias else ", sampled"
        for ax, image, words in zip(axes, (self.image, shrunk), ("96 × 96", title)):
            extent = (-1, 1, 1, -1)
            ax.imshow(image.numpy(), cmap="gray", vmin=0, vmax=1, extent=extent)
            reach = self.size / (4 * RINGS)
            corner, side = (-reach, -reach), 2 * reach
            style = {"fill": False, "color": COLORS["wrong"], "lw": 2}
            ax.add_patch(Rectangle(corner, side, side, **style))
            ax.set_title(words)
            ax.axis("off")
        return fig
