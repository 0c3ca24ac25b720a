"""Frequencies: how much of a wave is left when it is read between its pixels."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial import base_grid, sample
from stn_tutorial._validate import check_number
from stn_tutorial.course.explore._checks import between, one_of
from stn_tutorial.course.explore._figure import Explorable, State
from stn_tutorial.course.plotting import COLORS

__all__ = ["Frequencies"]

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


def _frequency(omega: float) -> float:
    if not 0 < check_number(omega, "omega") <= math.pi:
        raise ValueError(f"omega must be above 0 and at most pi, got {omega}")
    return float(omega)


class Frequencies(Explorable):
    """A wave that is read a fraction of a pixel further on, and what of it is left.

    Dots are pixels: those of the wave, and those that are read. A curve shows what is
    left of the amplitude of every frequency, from the weights alone; on it are points
    that were measured, by reading 32 pixels of a wave.

    >>> frequencies = Frequencies(omega=1.57, shift=0.5)
    >>> frequencies.shift, frequencies.interpolation
    (0.5, 'bilinear')

    Args:
        omega: the frequency, in radians a pixel, where the figure begins.
        shift: how much further on the wave is read, in pixels.

    Attributes:
        omega: in radians a pixel, above 0 and at most pi: a period of two pixels.
        shift: in pixels, from 0 to 1.
        interpolation: ``"nearest"``, ``"bilinear"`` or ``"bicubic"``.

    Raises:
        ValueError: if `omega` or `shift` is out of these bounds.
    """

    name = "frequencies"
    omega = State(_frequency)
    shift = State(between("shift", 0, 1))
    interpolation = State(one_of("interpolation", INTERPOLATIONS))

    def __init__(self, omega: float = 1.57, shift: float = 0.5) -> None:
        self.data = {}
        self.state = {
            "omega": _frequency(omega),
            "shift": Frequencies.shift.check(shift),
            "interpolation": "bilinear",
        }
        self.alt = (
            "Left, a wave, its values at the pixels, and fainter values sampled half a "
            "pixel further on; right, the part of the amplitude that is left: with "
            "bilinear interpolation it falls from 1 for broad stripes to 0 for stripes "
            "of one pixel, with bicubic it stays near 1 for longer"
        )
        self.hint = (
            "Drag the point along the curve to change the frequency, and shift the "
            "samples by a fraction of a pixel. Which shift wipes out the finest "
            "stripes? What does bicubic interpolation keep that bilinear loses, and "
            "what is wrong with nearest, which keeps everything?"
        )

    def picture(self) -> Figure:
        """Draw the wave and what is read of it, and what is left of every frequency."""
        fig, (left, right) = plt.subplots(
            1, 2, figsize=(6.4, 2.7), layout="constrained"
        )
        x = torch.linspace(0, 15, 301)
        places = torch.arange(14.0)
        left.plot(x, (self.omega * x).cos(), color=COLORS["faint"])
        left.plot(places, (self.omega * places).cos(), "o", color=COLORS["input"])
        read = _read(self.omega, self.shift, self.interpolation, 16)[:14]
        left.plot(places + self.shift, read, "o", color=COLORS["output"])
        left.set(xlabel="x (pixels)", title=f"{self.shift:.2f} pixels further on")
        frequencies = [math.pi * k / 16 for k in range(1, 17)]
        for name, line in (("bilinear", ".-"), ("bicubic", ".--")):
            kept = [_kept(omega, self.shift, name) for omega in frequencies]
            right.plot(frequencies, kept, line, color=COLORS["output"], label=name)
        right.set(xlabel="ω (radians a pixel)", title="part of the amplitude left")
        right.legend()
        return fig


def _read(omega: float, shift: float, interpolation: str, n: int) -> Tensor:
    """A wave of n pixels, read by the package at every pixel plus the shift."""
    wave = torch.cos(omega * torch.arange(float(n))).expand(1, 1, n)
    further = torch.tensor([2 * shift / n, 0.0])
    return sample(wave, base_grid((1, n)) + further, interpolation=interpolation)[0, 0]


def _kept(omega: float, shift: float, interpolation: str) -> float:
    """What is left of the amplitude over 32 pixels, away from the edges."""
    inner = slice(4, 36)
    wave = _read(omega, 0.0, interpolation, 40)[inner]
    return (_read(omega, shift, interpolation, 40)[inner].norm() / wave.norm()).item()
