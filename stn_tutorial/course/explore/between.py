"""Between the pixels: a point, the neighbours it is sampled from, and their weights."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial import sample, to_normalized
from stn_tutorial._validate import check_tensor
from stn_tutorial.course.explore._checks import between, numbers, one_of
from stn_tutorial.course.explore._figure import Explorable, State
from stn_tutorial.course.plotting import COLORS

__all__ = ["Between"]

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
PADDINGS = ("zeros", "border", "reflection")
#: Of the four neighbours, nw, ne, sw and se; no meaning but the corner.
CORNERS = ("#56B4E9", "#999999", "#F0E442", "#882255")
#: More pixels than these are too small to hold their values.
MOST = 8


class Between(Explorable):
    """A point that is dragged over a few pixels, and the neighbours it is sampled from.

    Every neighbour shows its weight, the product of two heights: those of the kernel
    along x, above the image, and along y, beside it. A neighbour outside shows the
    value it is taken to have, and where that comes from.

    >>> between = Between(torch.rand(5, 5), (1.3, 2.6))
    >>> between.point, between.interpolation
    (tensor([1.3000, 2.6000]), 'bilinear')

    Args:
        image: ``(H, W)`` in [0, 1], 2 to 8 pixels a side.
        point: pixel coordinates (x, y), where the point begins.

    Attributes:
        point: ``(2,)`` pixel coordinates (x, y), where the point is.
        interpolation: ``"nearest"``, ``"bilinear"`` or ``"bicubic"``.
        padding: ``"zeros"``, ``"border"`` or ``"reflection"`` (at the edges).
        fill: in [0, 1], the value outside with ``padding="zeros"``.

    Raises:
        ValueError: if the image has another shape, or the point is not two finite
            numbers.
    """

    name = "between"
    point = State(numbers("point", 2), torch.tensor)
    interpolation = State(one_of("interpolation", INTERPOLATIONS))
    padding = State(one_of("padding", PADDINGS))
    fill = State(between("fill", 0, 1))

    def __init__(
        self, image: Tensor, point: Tensor | Sequence[float] = (1.3, 2.6)
    ) -> None:
        check_tensor(image, "image")
        if image.ndim != 2 or not all(2 <= n <= MOST for n in image.shape):
            raise ValueError(
                f"image must be (H, W), 2 to {MOST} pixels a side, "
                f"got {tuple(image.shape)}"
            )
        self.image = image.detach().float().cpu().clamp(0, 1)
        height, width = self.image.shape
        pixels = [round(value, 4) for value in self.image.flatten().tolist()]
        self.data = {"width": width, "height": height, "pixels": pixels}
        self.state = {
            "point": Between.point.check(point),
            "interpolation": "bilinear",
            "padding": "zeros",
            "fill": 0.0,
        }
        self.alt = (
            "Left, a small image with the value of every pixel, and a point between "
            "four of them; right, the square between these four, cut into four "
            "rectangles, each of which is the weight of the corner opposite to it"
        )
        self.hint = (
            "Drag the point, or reach it with Tab and move it with the arrow keys "
            "(Shift for fine steps, Escape to start again). Where does the sample "
            "equal one pixel? And what is it half a pixel past the last centre, under "
            "each padding and each interpolation?"
        )

    def picture(self) -> Figure:
        """Draw the point among the pixels, and the areas that are bilinear weights."""
        fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.4))
        x, y = self.point.tolist()
        left.imshow(self.image.numpy(), cmap="gray", vmin=0, vmax=1)
        for h, row in enumerate(self.image.tolist()):
            for w, value in enumerate(row):
                ink = COLORS["ink"] if value > 0.5 else "white"
                left.text(w, h, f"{value:.1f}", color=ink, ha="center", va="center")
        left.plot(x, y, "o", color=COLORS["sample"], markersize=9)
        place = to_normalized(self.point[None, None], self.image.shape)
        options = {"interpolation": self.interpolation, "padding": self.padding}
        if self.padding == "zeros":
            options["fill"] = self.fill
        value = sample(self.image[None], place, **options).item()
        left.set_title(f"sample at ({x:.2f}, {y:.2f}): {value:.3f}")
        _draw_areas(right, x % 1, y % 1)
        right.set_title("bilinear weights")
        for ax in (left, right):
            ax.axis("off")
        return fig


def _draw_areas(ax: Axes, a: float, b: float) -> None:
    """Cut the unit square at (a, b); each part has the colour of its far corner."""
    for k, color in enumerate(CORNERS):
        w, h = k % 2, k // 2
        x0, x1 = (0, a) if w else (a, 1)
        y0, y1 = (0, b) if h else (b, 1)
        ax.fill([x0, x1, x1, x0], [y0, y0, y1, y1], color=color, alpha=0.5)
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        ax.text(*middle, f"{(x1 - x0) * (y1 - y0):.2f}", ha="center", va="center")
        ax.plot(w, h, "o", color=color, markersize=13)
    ax.plot(a, b, "o", color=COLORS["sample"], markersize=9)
    ax.set(xlim=(-0.2, 1.2), ylim=(1.2, -0.2), aspect="equal")
