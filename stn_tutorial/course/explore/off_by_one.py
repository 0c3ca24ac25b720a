"""Off by one: four samplers with a fault, and the identity applied again and again."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial.course.explore._checks import one_of, whole
from stn_tutorial.course.explore._figure import Explorable, State, StateOf, pack

__all__ = ["OffByOne"]

#: The most warps, one after the other.
MOST = 50
MEASURES = ("largest", "mean")
PICTURES = ("output", "error")


class OffByOne(Explorable):
    """What four faulty samplers, A to D, make of the identity, warp after warp.

    A has the right locations, and weights that vanish at the last pixel; B and C scale
    them to W and to W - 2 in place of W - 1; D mixes the two conventions. Curves show
    how far each is from the input, warp for warp; a right sampler returns it.

    >>> off = OffByOne({"noise": torch.rand(28, 28), "grey": torch.full((9, 12), 0.5)})
    >>> off.input, off.warps
    ('noise', 1)

    Args:
        images: by their names, images ``(H, W)`` in [0, 1], 2 to 64 pixels a side. The
            first is shown first.

    Attributes:
        input: the name of the image that is warped.
        warps: how many times, 0 to 50.
        measure: what the curves show, ``"largest"`` or ``"mean"`` absolute error.
        picture_of: what the pictures show, ``"output"`` or ``"error"``.

    Raises:
        ValueError: if there is no image, or one has another shape.
    """

    name = "off_by_one"
    input = StateOf(lambda off: one_of("input", off.images))
    warps = State(whole("warps", 0, MOST))
    measure = State(one_of("measure", MEASURES))
    picture_of = State(one_of("picture_of", PICTURES))

    def __init__(self, images: Mapping[str, Tensor]) -> None:
        if not images:
            raise ValueError("images must be one or more, got none")
        self.data = {"images": [[name, pack(image)] for name, image in images.items()]}
        for name, image in images.items():
            if not all(2 <= n <= 64 for n in image.shape):
                raise ValueError(
                    f"images must be 2 to 64 pixels a side, got {tuple(image.shape)} "
                    f"for {name!r}"
                )
        self.images = {k: v.detach().double().cpu() for k, v in images.items()}
        self.state = {
            "input": next(iter(images)),
            "warps": 1,
            "measure": "mean",
            "picture_of": "output",
        }
        self.alt = (
            "An image, and what four faulty samplers return for the identity: A has a "
            "black last row and column, B shrinks it to the top left, C enlarges it "
            "from there, D shrinks it to the middle"
        )
        self.hint = (
            "Choose an input, and warp it once, ten times, fifty times. On which input "
            "does sampler A return exactly what it got? And on which one does a single "
            "warp give all four away, by their largest error?"
        )

    def picture(self) -> Figure:
        """Draw the input and what each sampler makes of it."""
        image = self.images[self.input]
        shown = {"input": image}
        for sampler in "ABCD":
            across, down = (_weights(sampler, n) for n in reversed(image.shape))
            out = image
            for _ in range(self.warps):
                out = down @ out @ across.T
            shown[sampler] = out
        fig, axes = plt.subplots(1, 5, figsize=(6.4, 1.7))
        for ax, (title, picture) in zip(axes, shown.items()):
            ax.imshow(picture.numpy(), cmap="gray", vmin=0, vmax=1)
            ax.set_title(title)
            ax.axis("off")
        return fig


def _weights(sampler: str, n: int) -> Tensor:
    """The weights of n pixels (columns) for each of n outputs (rows) of an axis."""
    pixels = torch.arange(n, dtype=torch.float64)
    scale = {"A": n - 1, "B": n, "C": n - 2, "D": n}[sampler]
    x = pixels * scale / (n - 1)
    if sampler == "D":  # right weights, half a pixel beside the right locations
        return torch.relu(1 - (x[:, None] - 0.5 - pixels).abs())
    left, right = (x.floor() + k for k in (0, 1))
    left, right = left.clamp(0, n - 1), right.clamp(0, n - 1)
    at_left = (right - x)[:, None] * (pixels == left[:, None])
    return at_left + (x - left)[:, None] * (pixels == right[:, None])
