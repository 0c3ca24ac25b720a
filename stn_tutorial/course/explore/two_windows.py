"""Two windows: one warp for two digits that were rotated apart, or one for each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial import rotation, warp
from stn_tutorial.course.explore._figure import Explorable, State, pack
from stn_tutorial.course.plotting import COLORS

__all__ = ["TwoWindows"]


def _windows(count: int) -> int:
    if count not in (1, 2):
        raise ValueError(f"windows must be 1 or 2, got {count}")
    return int(count)


def _degrees(angles: Sequence[float]) -> list[float]:
    values = [float(angle) for angle in angles]
    if len(values) != 2 or not all(abs(value) <= 180 for value in values):
        raise ValueError(f"angles must be two from -180 to 180, got {angles}")
    return values


class TwoWindows(Explorable):
    """A picture of two channels, and one or two rotations that are undone by hand.

    Each channel holds a digit that was rotated alone. A window rotates both channels
    alike: one of them can set one digit upright, or leave half of each angle; two of
    them, side by side, show each digit upright in one of four channels.

    >>> upright = torch.stack([rotation(0.5), rotation(-1.0)])
    >>> figure = TwoWindows(torch.rand(2, 28, 28), upright, (3, 5))
    >>> [round(angle) for angle in figure.upright]
    [29, -57]

    Args:
        image: ``(2, H, W)`` in [0, 1], square: one digit a channel.
        upright: ``(2, 2, 3)``: of each digit, the theta whose output shows it upright;
            its rotation counts.
        digits: what the channels show.

    Attributes:
        upright: the angles of these thetas, in degrees.
        windows: how many there are, 1 or 2.
        angles: by how much each is rotated, in degrees.
        told: whether the sum is told.

    Raises:
        ValueError: if a shape does not fit.
    """

    name = "two_windows"
    windows = State(_windows)
    angles = State(_degrees)
    told = State(bool)

    def __init__(self, image: Tensor, upright: Tensor, digits: Sequence[int]) -> None:
        if image.ndim != 3 or image.shape != (2, image.shape[1], image.shape[1]):
            raise ValueError(f"image must be (2, H, H), got {tuple(image.shape)}")
        if upright.shape != (2, 2, 3):
            raise ValueError(f"upright must be (2, 2, 3), got {tuple(upright.shape)}")
        first, second = (int(digit) for digit in digits)
        self.image = image.detach().float().cpu()
        sine, cosine = upright[:, 1, 0], upright[:, 0, 0]
        self.upright = [math.degrees(a) for a in torch.atan2(sine, cosine).tolist()]
        self.data = {
            "channels": [pack(channel) for channel in self.image],
            "upright": [round(angle, 2) for angle in self.upright],
            "digits": [first, second],
        }
        self.state = {"windows": 1, "angles": [0.0, 0.0], "told": False}
        self.alt = (
            "Above, two rotated digits with a square frame over each; below, what the "
            "frame shows of both: neither is upright"
        )
        self.hint = (
            "Rotate the window until both digits can be read, and their sum. Where is "
            "the best place for one window, and what do two of them need?"
        )

    def picture(self) -> Figure:
        """Draw both channels with the first window, and what it shows of them."""
        fig, axes = plt.subplots(2, 2, figsize=(4.4, 4.4))
        theta = rotation(math.radians(self.angles[0]))
        seen = warp(self.image[None], theta[None])[0]
        corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
        frame = (0.98 * corners @ theta[:, :2].T).T.numpy()
        look = {"cmap": "gray", "vmin": 0, "vmax": 1, "extent": (-1, 1, 1, -1)}
        for k, (above, below) in enumerate(axes.T):
            above.imshow(self.image[k].numpy(), **look)
            above.plot(*frame, color=COLORS["input"])
            above.plot(*frame[:, :2], color=COLORS["input"], linewidth=4)
            below.imshow(seen[k].numpy(), **look)
            above.set_title(f"channel {k + 1}")
            below.set_title("as the window shows it")
        for ax in axes.flat:
            ax.axis("off")
        return fig
