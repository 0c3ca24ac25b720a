"""The slice: a plane that is rotated and moved through a volume, and what it shows."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial import Affine3d, base_grid, rotation_matrix, warp
from stn_tutorial.course.explore._checks import between, one_of
from stn_tutorial.course.explore._figure import Explorable, State, pack
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.data.volumes import layers

__all__ = ["Slice"]

#: The largest side of a volume; it travels with the page.
LARGEST = 24
#: How far the plane may be from the middle, in half sides of the volume.
FURTHEST = 0.9


def _degrees(numbers: Sequence[float]) -> list[float]:
    values = [float(number) for number in numbers]
    if len(values) != 3 or not all(abs(value) <= 180 for value in values):
        raise ValueError(f"numbers must be three from -180 to 180, got {numbers}")
    return values


class Slice(Explorable):
    """A plane through a volume, and the layer of it that the plane shows.

    The plane is the output, taken to the input by a theta of 3×4: a rotation, by three
    angles or by a rotation vector, and a shift along the plane's own normal, its pole.
    Beside it are the axes about which the three numbers rotate: where three angles
    lock, two of them lie in one line.

    >>> figure = Slice(torch.rand(8, 8, 8), numbers=(0, 90, 0), offset=0.5)
    >>> (figure.theta.round(decimals=2) + 0.0).tolist()  # without -0
    [[0.0, 0.0, 1.0, 0.5], [0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]]

    Args:
        volume: ``(D, H, W)`` in [0, 1], a cube of at most 24 voxels a side.
        axis: ``(3,)``, the direction of sight that shows what the volume holds, if it
            is to be told how far from it the plane's pole is (the *tilt*).
        rotation: what the numbers are, angles or vector.
        numbers: three, in degrees: roll about x, pitch about y and yaw about z, in this
            order; or a rotation vector.
        offset: where the plane is on its pole, in half sides of the volume.

    Attributes:
        rotation: angles or vector.
        numbers: the three numbers.
        offset: of the plane from the volume's middle.
        shown: one ``layer``, or the ``sum`` of all that are parallel to it.

    Raises:
        ValueError: if the volume is no such cube, or an argument is out of range.
    """

    name = "slice"
    needs = (*Explorable.needs, "volumes")
    rotation = State(one_of("rotation", ("angles", "vector")))
    numbers = State(_degrees)
    offset = State(between("offset", -FURTHEST, FURTHEST))
    shown = State(one_of("shown", ("layer", "sum")))

    def __init__(
        self,
        volume: Tensor,
        axis: Tensor | None = None,
        *,
        rotation: str = "angles",
        numbers: Sequence[float] = (0.0, 0.0, 0.0),
        offset: float = 0.0,
    ) -> None:
        side = len(volume)
        if volume.shape != (side,) * 3 or side > LARGEST:
            raise ValueError(
                f"volume must be a cube of at most {LARGEST} voxels a side, got "
                f"{tuple(volume.shape)}"
            )
        self.volume = volume.detach().float().cpu()
        self.data = {
            "volume": pack(self.volume.flatten(0, 1)),
            "depth": side,
            "thickness": layers(side),
            "axis": None if axis is None else (axis / axis.norm()).tolist(),
        }
        self.state = {"shown": "layer"}
        self.rotation, self.numbers, self.offset = rotation, numbers, offset
        self.alt = (
            "Left, a body in a cube, cut by a plane; middle, what the plane shows of "
            "it, a smear; right, the three axes about which the three numbers rotate "
            "the plane"
        )
        self.hint = (
            "Tilt the plane by its pole, rotate it by its right edge, and slide it "
            "along the pole: from where can the digit be read?"
        )

    @property
    def theta(self) -> Tensor:
        """``(3, 4)``, from output to input: rotation and shift of the plane."""
        radians = torch.tensor(self.numbers, dtype=torch.float64).deg2rad()
        if self.rotation == "vector":
            matrix = rotation_matrix(radians)
        else:
            roll, pitch, yaw = rotation_matrix(radians.diag())
            matrix = yaw @ pitch @ roll
        shift = self.offset * matrix[:, 2:]
        return torch.cat([matrix, shift], dim=1).float()

    def picture(self) -> Figure:
        """Draw the body with its plane, what the plane shows, and the axes."""
        fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.6), width_ratios=(1.5, 1, 1))
        away = torch.tensor([[0.42, 0.0, 0.0], [0.0, -0.5, 0.0]])
        camera = torch.linalg.multi_dot(list(rotation_matrix(away)))
        theta = self.theta
        points = base_grid(self.volume.shape, dtype=torch.float32) @ camera.T
        inside = self.volume > 0.15
        x, y, behind = points[inside].T.numpy()
        light = self.volume[inside].numpy() * (0.85 - 0.4 * behind)
        body, layer, gimbal = axes
        body.set_facecolor("black")
        body.scatter(x, y, c=light, s=3, cmap="gray", vmin=0, vmax=1, marker="s")
        corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
        plane = (corners @ theta[:, :2].T + theta[:, 3]) @ camera.T
        body.plot(*plane[:, :2].T.numpy(), color=COLORS["sample"])
        body.plot(*plane[:2, :2].T.numpy(), color=COLORS["output"], linewidth=3)
        seen = warp(
            self.volume[None, None], theta[None], (1, 48, 48), family=Affine3d()
        )
        layer.imshow(seen[0, 0, 0].numpy(), cmap="gray", vmin=0, vmax=1)
        lines = self._axes().float() @ camera.T
        for line, color in zip(lines, ("input", "gradient", "output")):
            ends = torch.stack([-line, line])[:, :2].T.numpy()
            gimbal.plot(*ends, color=COLORS[color], linewidth=3)
        titles = "volume and plane", "the plane shows", "axes"
        for ax, title, reach in zip(axes, titles, (1.7, None, 1.5)):
            ax.set(title=title, xticks=[], yticks=[], aspect="equal")
            if reach:
                ax.set(xlim=(-reach, reach), ylim=(reach, -reach))
        return fig

    def _axes(self) -> Tensor:
        """What a small change of each number rotates about, (3, 3), a row each."""
        radians = torch.tensor(self.numbers, dtype=torch.float64).deg2rad()
        if self.rotation == "angles":
            _, pitch, yaw = rotation_matrix(radians.diag())
            return torch.stack([(yaw @ pitch)[:, 0], yaw[:, 1], yaw[:, 2]])
        step, axes = 1e-6, torch.eye(3, dtype=torch.float64)
        turned = rotation_matrix(radians + step * axes) @ rotation_matrix(radians).T
        slopes = (turned - axes) / step
        return torch.stack([slopes[:, 2, 1], slopes[:, 0, 2], slopes[:, 1, 0]], dim=1)
