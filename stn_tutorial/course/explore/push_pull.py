"""Push and pull: one warp, from the input to the output and the other way round."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial import rotation
from stn_tutorial.course.explore._checks import between
from stn_tutorial.course.explore._figure import Explorable, State, pack
from stn_tutorial.course.plotting import COLORS

__all__ = ["PushPull"]

#: How far the sliders go: degrees, and a factor.
ANGLES, SCALES = (-90, 90), (0.5, 2)


def _step(step: int) -> int:
    if isinstance(step, bool) or step != int(step) or step < 0:
        raise ValueError(f"step must be a whole number of pixels, got {step!r}")
    return int(step)


def _pixel(pixel: Sequence[int]) -> list[int]:
    x, y = pixel
    if min(x, y) < 0 or int(x) != x or int(y) != y:
        raise ValueError(f"pixel must be two whole numbers, x and y, got {pixel!r}")
    return [int(x), int(y)]


class PushPull(Explorable):
    """A forward warp beside an inverse one, pixel by pixel.

    The image is rotated and scaled about its middle. Pushed, every input pixel goes to
    the nearest output pixel, where the last one stays; pulled, every output pixel takes
    the nearest input pixel. An output pixel that is pulled from the image and that no
    pixel is pushed to is a hole; a pixel that is pushed to where one was is a
    collision.

    >>> figure = PushPull(torch.rand(12, 12), angle=30, scale=1.3)
    >>> figure.angle, figure.scale, figure.step
    (30.0, 1.3, 144)

    Args:
        image: ``(n, n)`` in [0, 1], a few pixels wide.
        angle: degrees from x towards y, clockwise on the screen, -90 to 90.
        scale: 0.5 to 2; above 1 enlarges.

    Attributes:
        angle: degrees, input to output.
        scale: input to output.
        step: how many pixels are done, row by row.
        pixel: ``(x, y)`` of the one whose arrows are shown.

    Raises:
        ValueError: if the image is not square and small, or a number is out of range.
    """

    name = "push_pull"
    angle = State(between("angle", *ANGLES))
    scale = State(between("scale", *SCALES))
    step = State(_step)
    pixel = State(_pixel, tuple)

    def __init__(self, image: Tensor, angle: float = 30, scale: float = 1.3) -> None:
        self.data = {"image": pack(image)}
        height, width = image.shape
        if height != width or not 2 <= width <= 20:
            raise ValueError(
                f"image must be square, of 2 to 20 pixels, got {tuple(image.shape)}"
            )
        self.image = image.detach().float().cpu()
        self.state = {
            "angle": PushPull.angle.check(angle),
            "scale": PushPull.scale.check(scale),
            "step": height * width,
            "pixel": [width // 2, height // 3],
        }
        self.alt = (
            "Left, an image of a few pixels; middle, its pixels pushed to where a "
            "rotation and scale takes them, with orange holes; right, every output "
            "pixel pulled from the input, without holes"
        )
        self.hint = (
            "Move the sliders: orange pixels received nothing, and a dot marks a pixel "
            "that was pushed to more than once. Then play it, or choose a pixel, and "
            "compare the two arrows. Which scales leave holes, which make collisions, "
            "and can one warp do both?"
        )

    def picture(self) -> Figure:
        """Draw the input, and both outputs."""
        n = len(self.image)
        there = self._nearest(self.angle, self.scale)
        back = self._nearest(-self.angle, 1 / self.scale)
        pushed = torch.full((n, n), torch.nan)
        pulled = torch.zeros(n, n)
        for k in range(n * n):
            (u, v), (x, y) = there[k], back[k]
            if 0 <= u < n and 0 <= v < n:
                pushed[v, u] = self.image[k // n, k % n]
            if 0 <= x < n and 0 <= y < n:
                pulled[k // n, k % n] = self.image[y, x]
        from_image = ((back >= 0) & (back < n)).all(dim=-1).view(n, n)
        holes = pushed.isnan() & from_image
        orange = torch.tensor(to_rgb(COLORS["wrong"]))
        seen = pushed.nan_to_num()[..., None].expand(n, n, 3)
        seen = torch.where(holes[..., None], orange, seen)
        fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.5), layout="constrained")
        titles = ("input", "output, pushed", "output, pulled")
        for ax, picture, title in zip(axes, (self.image, seen, pulled), titles):
            ax.imshow(picture.numpy(), cmap="gray", vmin=0, vmax=1)
            ax.set_title(title)
            ax.axis("off")
        return fig

    def _nearest(self, angle: float, scale: float) -> Tensor:
        """Where the pixels go, row by row: (n², 2) whole pixel coordinates."""
        n = len(self.image)
        matrix = rotation(
            torch.tensor(math.radians(angle), dtype=torch.float64),
            scale,
            center=((n - 1) / 2, (n - 1) / 2),
        )
        points = torch.cartesian_prod(torch.arange(n), torch.arange(n)).flip(-1)
        moved = points.double() @ matrix[:, :2].T + matrix[:, 2]
        return moved.round(decimals=6).round().long()  # a tie is one, however rounded
