"""The dial: a rotation, and what two networks answer that were asked for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial import Similarity, sample
from stn_tutorial.course.explore._checks import whole
from stn_tutorial.course.explore._figure import Explorable, State, StateOf, pack
from stn_tutorial.course.plotting import COLORS

__all__ = ["Dial"]

#: The angles, in degrees, at which the answers are recorded.
DEGREES = torch.arange(-180.0, 181.0)


def _degrees(angle: Any) -> int:
    if not math.isfinite(angle) or abs(angle) > 180:
        raise ValueError(f"angle must be from -180 to 180 degrees, got {angle}")
    return round(angle)


class Dial(Explorable):
    """A digit that is rotated by hand, and the angle that two networks see in it.

    One network was trained to answer with the angle in radians, the other with its
    cosine and sine. Zero degrees are up, and positive angles clockwise. The second
    network's needle is as long as its answer.

    >>> angles = torch.deg2rad(torch.arange(-180.0, 181.0))
    >>> circle = torch.stack([angles.cos(), angles.sin()], dim=-1)
    >>> dial = Dial(torch.rand(1, 28, 28), angles[None] / 2, circle[None], angle=90)
    >>> [round(off, 2) for off in dial.off()]
    [45.0, 0.0]

    Args:
        digits: ``(D, H, W)`` in [0, 1], square and upright.
        radians: ``(D, 361)`` angles in radians, the first network's answers to each
            digit when it is rotated by -180, -179, …, 180 degrees.
        vectors: ``(D, 361, 2)``, cosine and sine as the second network answers.
        labels: what the digits are called; by default, 0, 1, …
        angle: where the dial begins, in degrees.

    Attributes:
        angle: of the digit, in whole degrees.
        digit: which of the digits is shown.

    Raises:
        ValueError: if a shape does not fit, an answer is not finite, or the angle is
            beyond ±180 degrees.
    """

    name = "dial"
    angle = State(_degrees)
    digit = StateOf(lambda dial: whole("digit", 0, len(dial.digits) - 1))

    def __init__(
        self,
        digits: Tensor,
        radians: Tensor,
        vectors: Tensor,
        labels: Sequence[Any] | None = None,
        *,
        angle: float = 120,
    ) -> None:
        if digits.ndim != 3 or digits.shape[1] != digits.shape[2]:
            raise ValueError(f"digits must be (D, H, H), got {tuple(digits.shape)}")
        count = len(digits)
        labels = list(range(count) if labels is None else labels)
        for name, answers, shape in (
            ("radians", radians, (count, len(DEGREES))),
            ("vectors", vectors, (count, len(DEGREES), 2)),
        ):
            if answers.shape != shape or not answers.isfinite().all():
                raise ValueError(
                    f"{name} must be {shape} finite numbers, got a tensor "
                    f"{tuple(answers.shape)}"
                )
        if len(labels) != count:
            raise ValueError(f"labels must be {count}, got {len(labels)}")
        self.digits = digits.detach().float().cpu()
        self.radians = radians.detach().double().cpu()
        self.vectors = vectors.detach().double().cpu()
        self.data = {
            "digits": [
                {
                    "label": str(label),
                    "image": pack(image),
                    "radians": _rounded(angles),
                    "cosines": _rounded(pair[:, 0]),
                    "sines": _rounded(pair[:, 1]),
                }
                for label, image, angles, pair in zip(
                    labels, self.digits, self.radians, self.vectors
                )
            ]
        }
        self.state = {"angle": _degrees(angle), "digit": 0}
        self.alt = (
            "Left, a dial with a rotated digit in it and three marks: its true angle, "
            "and two needles for what two networks answer. Right, their answers "
            "against the true angle: cosine and sine follow the diagonal up to ±180 "
            "degrees, and radians leave it before"
        )
        self.hint = (
            "Drag the dot around the dial, or along the diagonal, and across ±180°. "
            "Where does the network that answers in radians fail, and what does it "
            "answer there?"
        )

    def answers(self) -> tuple[float, float]:
        """Return the angles that the two networks answer, in degrees.

        Returns:
            That of the one trained on radians, which may be beyond ±180, and that of
            the one trained on cosine and sine.
        """
        at = self.angle + 180
        cosine, sine = self.vectors[self.digit, at].tolist()
        first = math.degrees(self.radians[self.digit, at].item())
        return first, math.degrees(math.atan2(sine, cosine))

    def off(self) -> tuple[float, float]:
        """Return how far both answers are off, in degrees from 0 to 180."""
        first, second = (
            abs((answer - self.angle + 180) % 360 - 180) for answer in self.answers()
        )
        return first, second

    def picture(self) -> Figure:
        """Draw the digit at its angle, and both curves of answers."""
        fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.3))
        angle = math.radians(self.angle)
        reverse = torch.tensor([[math.cos(angle), -math.sin(angle), 0.0, 0.0]])
        digit = self.digits[self.digit]
        grid = Similarity(aspect=1).grid(reverse, digit.shape)
        left.imshow(
            sample(digit[None, None], grid)[0, 0].numpy(),
            cmap="gray",
            vmin=0,
            vmax=1,
            extent=(-0.7, 0.7, 0.7, -0.7),
        )
        left.add_patch(plt.Circle((0, 0), 1, fill=False, color=COLORS["faint"]))
        left.plot(math.sin(angle), -math.cos(angle), "o", color=COLORS["ink"])
        vectors = self.vectors[self.digit]
        curves = (
            (self.radians[self.digit].rad2deg(), 1.0, "wrong", "radians"),
            (
                torch.atan2(vectors[:, 1], vectors[:, 0]).rad2deg(),
                vectors[self.angle + 180].norm().item(),
                "input",
                "cosine and sine",
            ),
        )
        for answers, length, color, name in curves:
            at = math.radians(answers[self.angle + 180].item())
            tip = length * math.sin(at), -length * math.cos(at)
            left.plot(*zip((0, 0), tip), color=COLORS[color], linewidth=3)
            right.plot(DEGREES, answers, ".", color=COLORS[color], ms=2, label=name)
        right.axvline(self.angle, color=COLORS["faint"], linewidth=1)
        left.set(xlim=(-1.2, 1.2), ylim=(1.2, -1.2), aspect=1)
        left.axis("off")
        ticks = (-180, -90, 0, 90, 180)
        right.set(xlabel="true angle (°)", xticks=ticks, yticks=ticks, ylim=(-230, 230))
        right.set_ylabel("answer (°)")
        right.legend(fontsize=9, loc="upper left", markerscale=5)
        return fig


def _rounded(numbers: Tensor) -> list[float]:
    return [round(number, 4) for number in numbers.tolist()]
