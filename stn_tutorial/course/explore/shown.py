"""The explorables of pages that are no notebooks, with what they show there."""

from __future__ import annotations

import torch

from stn_tutorial.course.explore._figure import Explorable
from stn_tutorial.course.explore.window import Window
from stn_tutorial.data import embedded_digits
from stn_tutorial.data.distortions import distort

__all__ = ["landing"]


def landing() -> Explorable:
    """Return the landing page's figure: a frame on a rotated digit among clutter.

    Returns:
        The window, whose frame the reader puts round the digit.
    """
    draw = torch.Generator().manual_seed(8)
    rotated = distort(embedded_digits()[0][:60], "R", draw).images
    cluttered = distort(rotated, "clutter", draw).images
    window = Window(cluttered[3, 0], [0.8, 0.0, 0.0, 0.0, 0.8, 0.0])
    window.hint = (
        "Which digit is it? Put the frame round it, and rotate it until the output "
        "shows it upright: drag the handles, or move them with Tab and the arrow keys. "
        "A spatial transformer is a network that learns this, from the labels alone."
    )
    return window
