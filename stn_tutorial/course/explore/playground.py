"""The playground: two trained networks look at a digit that a reader draws."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from io import BytesIO
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from stn_tutorial import Affine, base_grid, rotation, sample, theta_from_pixels
from stn_tutorial.course.explore._checks import between, whole
from stn_tutorial.course.explore._figure import Explorable, State, pack
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.experiments.results import results_folder

__all__ = ["Playground", "few_digits"]

#: The folder of each network's run, below that of the results.
RUNS = {"st-cnn": "rts/st-cnn-0", "cnn": "rts/cnn-0"}


def _shift(shift: Sequence[float]) -> list[float]:
    x, y = map(between("shift", -14, 14), shift)
    return [x, y]


def _strokes(strokes: Any) -> list[list[list[float]]]:
    return json.loads(json.dumps(strokes, allow_nan=False))


def few_digits() -> tuple[Tensor, list[int]]:
    """Return the first two digits of every class in MNIST's test set.

    >>> images, labels = few_digits()
    >>> images.shape, labels[:12]
    (torch.Size([20, 1, 28, 28]), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])

    Returns:
        Images ``(20, 1, 28, 28)`` in [0, 1], and their labels.
    """
    file = resources.files("stn_tutorial.course.explore") / "test_digits.png"
    pixels = np.array(Image.open(BytesIO(file.read_bytes())))
    images = torch.from_numpy(pixels).view(20, 1, 28, 28).float() / 255
    return images, [*range(10)] * 2


class Playground(Explorable):
    """A digit, drawn or of the test set, and what two trained networks say to it.

    The digit is rotated, scaled, moved and cluttered into a picture of 42×42. Both
    networks run in the page, if it comes with a runtime: see `runtime`.

    >>> playground = Playground()
    >>> playground.angle = 90
    >>> playground.state["angle"]
    90.0

    Args:
        runtime: the ``"folder"`` of the runtime's scripts, relative to the page, and
            its ``"files"``, as pairs of a name and a size in bytes. Without, the page
            says that its networks can't run.

    Attributes:
        digit: which test digit, from 0 to 19; -1 for a drawing.
        strokes: of the drawing: lists of points (x, y) in units of the pad's side.
        angle: of the rotation, in degrees, clockwise, from -180 to 180.
        scale: of the digit, from 0.5 to 1.5.
        shift: of the digit, in pixels to the right and down, from -14 to 14.
        pieces: how many pieces of clutter, from 0 to 16.

    Raises:
        ValueError: if a part of the state is set to something else.
    """

    name = "playground"
    needs = (*Explorable.needs, "runtime", "strokes")
    digit = State(whole("digit", -1, 19))
    strokes = State(_strokes)
    angle = State(between("angle", -180, 180))
    scale = State(between("scale", 0.5, 1.5))
    shift = State(_shift)
    pieces = State(whole("pieces", 0, 16))

    def __init__(self, runtime: Mapping[str, Any] | None = None) -> None:
        images, labels = few_digits()
        self.data = {
            "digits": pack(images.flatten(0, 2)),
            "labels": labels,
            "runtime": runtime,
        }
        place = {"angle": -35, "scale": 0.8, "shift": [-9, -9], "pieces": 0}
        self.state = {"digit": 12, "strokes": [], **place}
        self.alt = (
            "Four digits, rotated and moved in pictures of 42×42, each with the frame "
            "that the spatial transformer predicts; below, what the frames hold: the "
            "digits larger and in the middle, and rotated as before"
        )
        self.hint = (
            "Draw a digit with mouse or finger, or take a test digit. Move it, scale "
            "it, rotate it: which of the three does the frame follow, and which of the "
            "networks gives up first?"
        )

    def picture(self) -> Figure:
        """Draw four test digits with the frames that the ST-CNN predicts, and hold."""
        from stn_tutorial.experiments.distorted_digits import load_model

        digits = few_digits()[0][[12, 7, 3, 14]]
        angle = torch.tensor([-35.0, 40, 20, -25]).deg2rad()
        scale = torch.tensor([0.8, 1.0, 0.7, 0.9])
        shift = torch.tensor([[-9.0, -9], [-4, 5], [8, -9], [2, 7]])
        to_picture = rotation(angle, scale, 7 + shift, center=(13.5, 13.5))
        theta = theta_from_pixels(to_picture, (28, 28), (42, 42))
        images = sample(digits, Affine().grid(theta, (42, 42)))
        transformer = load_model(results_folder() / RUNS["st-cnn"])[1].transformer
        with torch.inference_mode():
            found = transformer.params(images)
            warped = transformer.warp(images, found)
        corners = base_grid((2, 2), align_corners=True).view(4, 2)[[0, 1, 3, 2, 0]]
        fig, axes = plt.subplots(2, 4, figsize=(6.4, 3.4))
        for column, image, params, out in zip(axes.T, images, found, warped):
            matrix = params.view(2, 3)
            frame = corners @ matrix[:, :2].T + matrix[:, 2]
            grey = {"cmap": "gray", "vmin": 0, "vmax": 1}
            column[0].imshow(image[0].numpy(), extent=(-1, 1, 1, -1), **grey)
            column[0].plot(*frame.T.numpy(), color=COLORS["sample"])
            column[0].plot(*frame[:2].T.numpy(), color=COLORS["output"], linewidth=3)
            column[1].imshow(out[0].numpy(), **grey)
        for ax in axes.flat:
            ax.axis("off")
        return fig
