"""The pull on a point: a reading and its slopes, and the arrows of a loss."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial import base_grid, sample, to_normalized, to_pixels
from stn_tutorial.course import plotting
from stn_tutorial.course.explore._checks import numbers, one_of
from stn_tutorial.course.explore._figure import Explorable, State, pack
from stn_tutorial.course.plotting import COLORS

__all__ = ["Pull"]

ASKED = ("one point", "all points")
HINTS = {
    "one point": (
        "Drag the point along a row, slowly, across the lines through the pixels' "
        "centres. Which of the two curves jumps there, and which has a kink?"
    ),
    "all points": (
        "Drag the orange handle to displace the target, and the pink one, which moves "
        "all points, after the thick arrow. Where does the arrow vanish, and where "
        "does the gradient jump?"
    ),
}


class Pull(Explorable):
    """A point that is dragged over pixels, with the slopes of what it reads.

    Asked is either one point: what it reads, and the slopes, along its row as well. Or
    all points of the base grid, shifted together: how each of them would lower the loss
    ``0.5 * ((V - T) ** 2).sum()``, V being what they read, and T the image, displaced;
    the sum of their arrows; and the loss over shifts along x.

    >>> pull = Pull(torch.eye(4), (1.5, 2.25))
    >>> pull.point
    (1.5, 2.25)

    Args:
        image: ``(H, W)`` in [0, 1], each side at least 2.
        point: ``(x, y)`` in pixels, where the point begins; it stays between the
            centres of the outer pixels.
        target: ``(x, y)`` in pixels, by which the target is displaced.
        asked: ``"one point"`` or ``"all points"``.

    Attributes:
        point: ``(x, y)`` in pixels.
        target: ``(x, y)`` in pixels.
        shift: ``(x, y)`` in pixels, of all points together.
        asked: ``"one point"`` or ``"all points"``.

    Raises:
        ValueError: if the image has another shape, a pair is not two finite numbers, or
            `asked` is neither.
    """

    name = "pull"
    needs = ("sampling", "drawing", "input", "figure")
    point = State(numbers("point", 2), tuple)
    target = State(numbers("target", 2), tuple)
    shift = State(numbers("shift", 2), tuple)
    asked = State(one_of("asked", ASKED))

    def __init__(
        self,
        image: Tensor,
        point: Sequence[float] = (2.3, 1.6),
        target: Sequence[float] = (2, 1),
        asked: str = "one point",
    ) -> None:
        self.data = {"image": pack(image)}
        if min(image.shape) < 2:
            raise ValueError(
                f"image must have sides of at least 2, got {tuple(image.shape)}"
            )
        self.image = (255 * image.detach().double().cpu().clamp(0, 1)).round() / 255
        self.state = {
            "point": Pull.point.check(point),
            "target": Pull.target.check(target),
            "shift": [0.0, 0.0],
            "asked": Pull.asked.check(asked),
        }
        self.hint = HINTS[asked]
        self.alt = {
            "one point": (
                "Left, pixels with a point between them and an arrow towards brighter "
                "ones; right, the value along its row, straight between the pixels, "
                "and its slope, which jumps at them"
            ),
            "all points": (
                "A picture, the outline of its target, which lies beside it, and "
                "arrows at the pixels, straight up or down the brightness, on the "
                "whole to the left and up"
            ),
        }[asked]

    def picture(self) -> Figure:
        """Draw the point with its row, or the field of arrows."""
        return self._draw_field() if self.asked == "all points" else self._draw_row()

    def read(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return what points read, and the slopes of it, by the package.

        Args:
            points: ``(..., 2)`` pixel coordinates.

        Returns:
            ``(...)`` values, and ``(..., 2)`` slopes along x and y, for each pixel.
        """
        points = points.double().requires_grad_()
        grid = to_normalized(points, self.image.shape).view(1, 1, -1, 2)
        values = sample(self.image[None, None], grid, backend="manual")
        values = values.view(points.shape[:-1])
        return values.detach(), torch.autograd.grad(values.sum(), points)[0]

    def arrows(self) -> Tensor:
        """Return how each point of the shifted grid would lower the loss.

        Returns:
            ``(H, W, 2)``, the negative gradient with respect to x and y in pixels.
        """
        size = self.image.shape
        places = to_pixels(base_grid(size, dtype=torch.float64), size).round()
        goal, _ = self.read(places - torch.tensor(self.target))
        values, slopes = self.read(places + torch.tensor(self.shift))
        return -(values - goal)[..., None] * slopes

    def _draw_row(self) -> Figure:
        layout = [["pixels", "value"], ["pixels", "slope"]]
        fig, axes = plt.subplot_mosaic(layout, figsize=(6.4, 3.2))
        point = torch.tensor(self.point, dtype=torch.float64)
        plotting.draw_pixels(axes["pixels"], self.image)
        plotting.draw_points(axes["pixels"], point, size=8)
        tip = point + 3 * self.read(point)[1]  # long enough to be seen
        plotting.draw_arrows(axes["pixels"], point, tip, width=0.02)
        axes["pixels"].set(xticks=[], yticks=[])
        for k in range(self.image.shape[1] - 1):  # between two pixels
            x = k + torch.linspace(0, 0.999, 11, dtype=torch.float64)
            row = torch.stack([x, torch.full_like(x, self.point[1])], dim=-1)
            values, slopes = self.read(row)
            axes["value"].plot(x, values, color=COLORS["input"])
            axes["slope"].plot(x, slopes[:, 0], color=COLORS["gradient"])
        axes["value"].set(ylabel="value V", xticks=[])
        axes["slope"].set(ylabel="slope ∂V/∂x", xlabel="x (pixels)")
        return fig

    def _draw_field(self) -> Figure:
        fig, ax = plt.subplots(figsize=(3.6, 3.6))
        size = self.image.shape
        places = to_pixels(base_grid(size, dtype=torch.float64), size).round()
        goal, _ = self.read(places - torch.tensor(self.target))
        ax.imshow(self.image.numpy(), alpha=0.35, cmap="gray", vmin=0, vmax=1)
        ax.contour(goal.numpy(), levels=[0.2, 0.5, 0.8], colors=COLORS["output"])
        points, arrows = places + torch.tensor(self.shift), self.arrows()
        tips = points + 2 * arrows / arrows.norm(dim=-1).max().clamp(min=1e-9)
        plotting.draw_arrows(ax, points, tips, width=0.008)
        ax.set(xticks=[], yticks=[])
        return fig
