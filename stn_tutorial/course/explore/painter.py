"""The painter: a place is chosen, and two trained networks paint a square there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from stn_tutorial.course.explore._figure import Explorable, State
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.data.not_so_clevr import CANVAS, SQUARE, Locations
from stn_tutorial.experiments.results import results_folder

__all__ = ["Painter"]

#: The folder of each network's run, below that of the results.
RUNS = {
    "painter-coordconv": "coordconv/weights/rendering-quadrant-coordconv-0",
    "painter-convolution": "coordconv/weights/rendering-quadrant-convolution-0",
}


def _place(place: Sequence[int]) -> list[int]:
    x, y = (int(value) for value in place)
    low, high = SQUARE // 2, CANVAS - SQUARE // 2 - 1
    if not (low <= x <= high and low <= y <= high):
        raise ValueError(f"place must be from {low} to {high}, got {[x, y]}")
    return [x, y]


class Painter(Explorable):
    """A place on a canvas, and what two networks of the CoordConv chapter paint for it.

    Both were trained on three quarters of the canvas; the lower right one was held out.

    >>> painter = Painter()
    >>> painter.place = 40, 52
    >>> painter.state["place"]
    [40, 52]

    Args:
        runtime: see `Playground`.

    Attributes:
        place: (x, y) of the square's centre, in pixels, each from 4 to 59.

    Raises:
        ValueError: if a square at the place would not be inside.
    """

    name = "painter"
    needs = (*Explorable.needs, "runtime")
    place = State(_place)

    def __init__(self, runtime: Mapping[str, Any] | None = None) -> None:
        self.data = {"runtime": runtime}
        self.state = {"place": [20, 24]}
        self.alt = (
            "Two places of a square, one where networks were trained and one in the "
            "held-out quarter; CoordConv paints both, plain convolutions a blurred "
            "first one, and nothing like the second"
        )
        self.hint = (
            "Press on the canvas, or drag the point, and take the square into the "
            "lower right quarter. What does each network paint where it was never "
            "shown a square, and where does it begin to fail?"
        )

    def picture(self) -> Figure:
        """Draw what both networks paint at two places."""
        from stn_tutorial.experiments.not_so_clevr import load_network

        locations = Locations(torch.tensor([[20, 24], [46, 44]]))
        points = locations.points()
        columns = {"asked for": locations.squares()}
        for name, run in RUNS.items():
            network = load_network(results_folder() / run)[1]
            with torch.inference_mode():
                columns[name.removeprefix("painter-")] = network(points).sigmoid()
        fig, axes = plt.subplots(2, 3, figsize=(6.4, 4.4))
        edges = [31.5, 63.5], [31.5, 31.5]
        for column, (title, pictures) in zip(axes.T, columns.items()):
            column[0].set_title(title)
            for ax, picture in zip(column, pictures):
                ax.imshow(picture[0].numpy(), cmap="gray", vmin=0, vmax=1)
                for x, y in (edges, edges[::-1]):
                    ax.plot(x, y, color=COLORS["wrong"])
                ax.axis("off")
        return fig
