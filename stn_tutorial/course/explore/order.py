"""The order: a shift and a rotation, and what changes when they are swapped."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial import Affine, rotation, warp
from stn_tutorial.course.explore._checks import between, one_of
from stn_tutorial.course.explore._figure import Explorable, State, pack
from stn_tutorial.course.plotting import COLORS

__all__ = ["Order"]


def _point(point: Sequence[float]) -> list[float]:
    x, y = point
    if not (-1 <= x <= 1 and -1 <= y <= 1):
        raise ValueError(f"point must be x and y from -1 to 1, got {point!r}")
    return [float(x), float(y)]


class Order(Explorable):
    """A shift and a rotation, as two cards that can be swapped.

    Both are thetas, from output to input. The intermediate picture is the image after
    the first card, the output is the image at the composed theta. A point of the output
    is traced back: through the second card, and then through the first.

    >>> order = Order(torch.rand(28, 28), angle=30, shift=-0.5)
    >>> [round(number, 2) for number in order.theta[:, 2].tolist()]
    [-0.5, 0.0]
    >>> order.first = "rotate"
    >>> [round(number, 2) for number in order.theta[:, 2].tolist()]
    [-0.43, -0.25]

    Args:
        image: ``(n, n)`` in [0, 1].
        angle: degrees by which the grid rotates, clockwise on the screen; the picture
            rotates the other way.
        shift: theta's c, normalized; the picture moves the other way.

    Attributes:
        angle: degrees, -180 to 180.
        shift: theta's c, -1 to 1.
        first: ``"shift"`` or ``"rotate"``, which of them is done to the image first.
        point: normalized ``(x, y)`` of the output's point that is traced.

    Raises:
        ValueError: if the image is not square, or a number is out of range.
    """

    name = "order"
    angle = State(between("angle", -180, 180))
    shift = State(between("shift", -1, 1))
    first = State(one_of("first", ("shift", "rotate")))
    point = State(_point, tuple)

    def __init__(self, image: Tensor, angle: float = 34, shift: float = -0.3) -> None:
        self.data = {"image": pack(image)}
        if image.shape[0] != image.shape[1]:
            raise ValueError(f"image must be square, got {tuple(image.shape)}")
        self.image = image.detach().float().cpu()
        self.state = {
            "angle": Order.angle.check(angle),
            "shift": Order.shift.check(shift),
            "first": "shift",
            "point": [0.4, -0.4],
        }
        self.alt = (
            "An image, the image shifted, and the shifted image rotated. A point of "
            "the last is traced back to the one before, and from there to the first"
        )
        self.hint = (
            "Swap the cards, and drag the point on the output: its arrows go back "
            "through the second warp, then through the first, and the orange dot on "
            "the input is where the other order samples. Which of theta's numbers does "
            "the order change, and for which angles and shifts does it change nothing?"
        )

    @property
    def theta(self) -> Tensor:
        """``(2, 3)``, the one warp that does both, normalized output to input."""
        first, second = self._thetas()
        composed = Affine().compose(first.flatten(), second.flatten())
        return composed.view(2, 3)

    def _thetas(self) -> tuple[Tensor, Tensor]:
        """What is done first, and what second: (2, 3) each."""
        shift = torch.tensor([[1.0, 0.0, self.shift], [0.0, 1.0, 0.0]])
        rotate = rotation(math.radians(self.angle))
        return (shift, rotate) if self.first == "shift" else (rotate, shift)

    def picture(self) -> Figure:
        """Draw the image, the intermediate one and the output, with the point."""
        first, second = self._thetas()
        point = torch.tensor([*self.point, 1.0])
        between = second @ point
        points = [first @ torch.cat([between, torch.ones(1)]), between, point]
        fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.5), layout="constrained")
        thetas = (torch.eye(2, 3), first, self.theta)
        titles = ("input", "intermediate", "output")
        for ax, theta, title, seen in zip(axes, thetas, titles, points):
            output = warp(self.image[None, None], theta[None])[0, 0]
            ax.imshow(
                output.numpy(), cmap="gray", vmin=0, vmax=1, extent=(-1, 1, 1, -1)
            )
            color = COLORS["output" if title == "output" else "sample"]
            ax.plot(*seen[:2].tolist(), "o", color=color, clip_on=False)
            ax.set(title=title, xlim=(-1, 1), ylim=(1, -1))
            ax.axis("off")
        return fig
