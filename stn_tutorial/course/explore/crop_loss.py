"""The crop's loss: a crop is dragged over a picture, and what it would pay follows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from stn_tutorial.course.explore._checks import one_of, whole
from stn_tutorial.course.explore._figure import Explorable, State, StateOf, pack
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.data.canvases import FRAME, SIZE

__all__ = ["CropLoss"]

#: Where the crop's middle is when it touches an edge of the picture, in pixels.
FIRST, LAST = (FRAME - 1) / 2, SIZE - 1 - (FRAME - 1) / 2
#: What a crop is paid for, or pays, by name.
NUMBERS = ("pull", "push", "loss")


def _place(place: Sequence[float]) -> list[float]:
    x, y = (float(value) for value in place)
    if not (FIRST <= x <= LAST and FIRST <= y <= LAST):
        raise ValueError(f"place must be from {FIRST} to {LAST}, got {[x, y]}")
    return [x, y]


class CropLoss(Explorable):
    """A crop of a picture, and the triplet loss of it wherever it is dragged.

    The crops of all other pictures stay as they are, for each of some ways to crop
    them. The crop can be let go downhill, by the loss, by its pull or by its push
    alone: whether it comes to rest on the digit depends on both.

    >>> import torch
    >>> flat = {name: torch.zeros(3, 3) for name in ("pull", "push", "loss")}
    >>> figure = CropLoss(torch.rand(84, 84), (28, 28), {"the middle": flat})
    >>> figure.place = 13.5, 69.5
    >>> figure.state["place"]
    [13.5, 69.5]

    Args:
        image: ``(84, 84)`` in [0, 1].
        corner: of the true box of 28×28: its left and its upper edge, in pixels, of
            which the first one's centre is (0, 0).
        maps: by what the other pictures crop, and then by name, ``(S, S)`` each: pull,
            push and loss of the crop at S × S places, from edge to edge; see
            `stn_tutorial.experiments.triplet_loss.loss_by_place`.
        place: where the crop's middle begins, in pixels; by default in the picture's.

    Attributes:
        place: of the crop's middle (x, y), each from 13.5 to 69.5.
        others: which of the ways to crop the other pictures, by its number.
        shown: what is drawn and followed: pull, push or loss.
        box: whether the true box is shown.
        trail: where the crop has been since it was let go.

    Raises:
        ValueError: if a shape does not fit, or a map is not finite.
    """

    name = "crop_loss"
    place = State(_place)
    others = StateOf(lambda figure: whole("others", 0, len(figure.maps) - 1))
    shown = State(one_of("shown", NUMBERS))
    box = State(bool)
    trail = State(lambda trail: [_place(place) for place in trail])

    def __init__(
        self,
        image: Tensor,
        corner: Sequence[float],
        maps: Mapping[str, Mapping[str, Tensor]],
        *,
        place: Sequence[float] = (41.5, 41.5),
    ) -> None:
        if image.shape != (SIZE, SIZE):
            raise ValueError(f"image must be (84, 84), got {tuple(image.shape)}")
        left, top = (float(edge) for edge in corner)
        self.image = image.detach().float().cpu()
        self.maps = maps
        self.data = {
            "image": pack(self.image),
            "box": [left, top, left + FRAME, top + FRAME],
            "maps": [
                {"words": words, "numbers": {n: _packed(each[n]) for n in NUMBERS}}
                for words, each in maps.items()
            ],
        }
        start = _place(place)
        self.state = {"place": start, "others": 0, "shown": "loss", "box": False}
        self.trail = []
        self.alt = (
            "A digit among clutter with a square crop over it, and a map of the loss "
            "for every place of the crop, for each way to crop the other pictures: "
            + ", ".join(maps)
        )
        self.hint = (
            "Drag the crop, or let it go: from where does the loss lead it to the "
            "digit, and where to if only the pull counts? What changes when the other "
            "pictures crop their digits already?"
        )

    def picture(self) -> Figure:
        """Draw the picture with its crop, and all maps of the loss on one scale."""
        fig, (left, *right) = plt.subplots(1, 1 + len(self.maps), figsize=(6.4, 2.6))
        left.imshow(self.image.numpy(), cmap="gray", vmin=0, vmax=1)
        x, y = self.place
        corner = x - FRAME / 2, y - FRAME / 2
        edge = {"fill": False, "edgecolor": COLORS["output"], "linewidth": 2}
        left.add_patch(Rectangle(corner, FRAME, FRAME, **edge))
        left.set_title("the picture")
        reach = (FIRST - 1, LAST + 1, LAST + 1, FIRST - 1)
        losses = [numbers["loss"].cpu().numpy() for numbers in self.maps.values()]
        scale = {"vmin": min(map(np.min, losses)), "vmax": max(map(np.max, losses))}
        for ax, words, loss in zip(right, self.maps, losses):
            ax.imshow(loss, extent=reach, cmap="gray", **scale)
            ax.plot(x, y, "o", color=COLORS["output"])
            ax.set(xlim=(-0.5, SIZE - 0.5), ylim=(SIZE - 0.5, -0.5))
            ax.set_title(f"loss; others:\n{words}")
        for ax in (left, *right):
            ax.set(xticks=[], yticks=[])
        return fig


def _packed(values: Tensor) -> dict[str, Any]:
    """A map as a script takes it: 256 steps from its least value to its largest."""
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"a map must be (S, S), got {tuple(values.shape)}")
    least, most = values.min().item(), values.max().item()
    if not math.isfinite(most - least):
        raise ValueError("a map must be finite")
    map_ = (values - least) / max(most - least, 1e-12)
    return {"least": least, "most": most, "map": pack(map_)}
