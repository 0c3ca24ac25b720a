"""The window: a frame on the input, and what the output shows of it."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial import warp
from stn_tutorial.course.explore._checks import numbers
from stn_tutorial.course.explore._figure import Explorable, State, pack
from stn_tutorial.course.plotting import COLORS

__all__ = ["Window"]

#: Where the frame begins: rotated, smaller, and off the middle.
START = (0.5, -0.26, -0.1, 0.26, 0.5, 0.15)


class Window(Explorable):
    """A frame that is dragged over an image, and the output that samples it.

    The frame is the outline of the output, taken to the input by theta: its middle is
    theta's third column, and the ways from there to its right and to its lower edge are
    the first and the second. Handles and numbers move each other.

    >>> window = Window(torch.rand(28, 28), [0.5, 0, 0, 0, 0.5, 0])
    >>> window.theta
    tensor([[0.5000, 0.0000, 0.0000],
            [0.0000, 0.5000, 0.0000]])

    Args:
        image: ``(H, W)`` in [0, 1], square.
        theta: six numbers, where the frame begins: normalized output to input.

    Attributes:
        theta: ``(2, 3)``, where the frame is.
        grid: whether the sampling grid is shown.

    Raises:
        ValueError: if the image is not square, or theta not six finite numbers.
    """

    name = "window"
    theta = State(numbers("theta", 6), lambda theta: torch.tensor(theta).view(2, 3))
    grid = State(bool)

    def __init__(self, image: Tensor, theta: Tensor | Sequence[float] = START) -> None:
        self.data = {"image": pack(image)}
        if image.shape[0] != image.shape[1]:
            raise ValueError(f"image must be square, got {tuple(image.shape)}")
        self.image = image.detach().float().cpu()
        self.state = {"theta": Window.theta.check(theta), "grid": False}
        self.alt = (
            "Left, an image with a rotated frame over it, whose upper edge is thick; "
            "right, what the frame holds, upright and enlarged"
        )
        self.hint = (
            "Drag the handles, or reach them with Tab and move them with the arrow "
            "keys (Shift for fine steps, Escape for the identity). Which of theta's "
            "columns does each of them change?"
        )

    def picture(self) -> Figure:
        """Draw the image with the frame where it begins, and the output."""
        fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.3))
        matrix = self.theta
        corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
        frame = corners @ matrix[:, :2].T + matrix[:, 2]
        left.imshow(
            self.image.numpy(), cmap="gray", vmin=0, vmax=1, extent=(-1, 1, 1, -1)
        )
        left.plot(*frame.T.numpy(), color=COLORS["sample"])
        left.plot(*frame[:2].T.numpy(), color=COLORS["output"], linewidth=3)
        seen = warp(self.image[None, None], matrix[None], (64, 64))[0, 0]
        right.imshow(seen.numpy(), cmap="gray", vmin=0, vmax=1)
        for ax, title in ((left, "input, and the frame"), (right, "output")):
            ax.set_title(title)
            ax.axis("off")
        return fig
