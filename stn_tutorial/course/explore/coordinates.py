"""What CoordConv sees, and what it draws where a convolution is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from stn_tutorial.course.explore._checks import one_of, whole
from stn_tutorial.course.explore._figure import Explorable, State
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.data.not_so_clevr import CANVAS, SPLITS
from stn_tutorial.experiments.renderings import PLACES, Rendering, decode

__all__ = ["Coordinates"]

#: Networks in the order in which they are shown.
NETWORKS = ("convolution", "coordconv")
#: The place of the still picture; the figure itself begins at a place that was shown.
HELD_OUT = (44, 36)
#: The most rows and columns of the coordinate channels.
MOST = 16


def _place(place: Sequence[int]) -> list[int]:
    if len(place) != 2 or not set(place) <= set(PLACES):
        raise ValueError(f"place must be x and y of {PLACES}, got {place!r}")
    return [int(value) for value in place]


class Coordinates(Explorable):
    """Coordinate channels of any size, and what trained networks paint at a place.

    Above, two trained networks are asked for the square at a place that is dragged
    over the canvas, and answer as they were recorded. Below, the channels that
    `stn_tutorial.add_coordinates` appends.

    >>> from stn_tutorial.experiments.results import read_results, results_folder
    >>> folder = results_folder() / "recordings" / "renderings"
    >>> figure = Coordinates(read_results(folder, Rendering))
    >>> figure.place, figure.split, (figure.height, figure.width)
    ([20, 36], 'quadrant', (5, 8))

    Args:
        found: of `stn_tutorial.experiments.results.read_results`, both networks on the
            quadrant split and, if it is to be chosen, the uniform split, with seed 0.

    Attributes:
        place: ``[x, y]`` in pixels, each of
            `stn_tutorial.experiments.renderings.PLACES`: what the networks are asked.
        split: which locations were held out.
        map: whether the answers' overlap at every location is shown.
        height: of the coordinate channels, 1 to 16.
        width: of the coordinate channels, 1 to 16.
        radius: whether there is a channel of the distance from the centre.

    Raises:
        ValueError: if a network on the quadrant split is missing.
    """

    name = "coordinates"
    place = State(_place)
    split = State(one_of("split", SPLITS))
    map = State(bool)
    height = State(whole("height", 1, MOST))
    width = State(whole("width", 1, MOST))
    radius = State(bool)

    def __init__(self, found: Mapping[Rendering, Mapping[str, Any]]) -> None:
        splits = [s for s in SPLITS if all(Rendering(s, n) in found for n in NETWORKS)]
        if "quadrant" not in splits:
            raise ValueError("found must hold both networks on the quadrant split")
        self.data = {
            "places": list(PLACES),
            "splits": {
                split: {
                    "heldOut": found[Rendering(split, NETWORKS[0])]["held_out"],
                    **{n: found[Rendering(split, n)]["answers"] for n in NETWORKS},
                }
                for split in sorted(splits)
            },
        }
        self.state = {
            "place": [20, 36],
            "split": "quadrant",
            "map": False,
            "height": 5,
            "width": 8,
            "radius": False,
        }
        self.alt = (
            "A canvas with a point in its lower right quarter; the convolution draws "
            "two blurs at the quarter's inner edges, and CoordConv a square just there"
        )
        self.hint = (
            "Drag the point over the canvas, into the quarter that was held out and "
            "back. How far does the convolution's square follow, and where does it go "
            "wrong? Then change the channels' height and width: what stays the same?"
        )

    def picture(self) -> Figure:
        """Draw a place that was held out, and what both networks paint there."""
        fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.5), sharey=True)
        x, y = HELD_OUT
        at = PLACES.index(y) * len(PLACES) + PLACES.index(x)
        shown = self.data["splits"]["quadrant"]
        for ax, name in zip(axes[1:], NETWORKS):
            ax.imshow(decode(shown[name][at]).numpy(), cmap="gray", vmin=0, vmax=1)
            ax.set_title(name.replace("coordconv", "CoordConv"))
        axes[0].set(title="asked for", xlim=(0, CANVAS - 1), ylim=(CANVAS - 1, 0))
        axes[0].set_aspect("equal")
        for ax in axes:
            ax.plot(x, y, "o", color=COLORS["sample"])
            ax.plot([31.5, 31.5, 63.5], [63.5, 31.5, 31.5], "--", color=COLORS["wrong"])
        return fig
