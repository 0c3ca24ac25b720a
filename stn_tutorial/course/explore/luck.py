"""Luck: two networks, the same test digits, and how often chance picks the winner."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial.course.explore._checks import between, whole
from stn_tutorial.course.explore._figure import Explorable, State
from stn_tutorial.course.plotting import COLORS

__all__ = ["Luck"]

#: True errors that can be chosen, in percent.
ERRORS = (0.1, 2.0)
#: Numbers of test digits that can be chosen.
DIGITS = (1_000, 10_000, 100_000)
#: How many test sets are drawn.
SETS = 300


def _digits(digits: int) -> int:
    if digits not in DIGITS:
        raise ValueError(f"digits must be one of {DIGITS}, got {digits!r}")
    return int(digits)


class Luck(Explorable):
    """Two networks of known true errors, tested on the same digits again and again.

    A digit is misclassified by both networks, by A alone, by B alone or by neither,
    with fixed probabilities. Of 300 test sets the figure shows the errors of both
    networks, and of one of them the discordant digits and McNemar's q.

    >>> luck = Luck(first=0.8, second=0.5)
    >>> [round(100 * share, 3) for share in luck.probabilities()]
    [0.25, 0.55, 0.25]

    Args:
        first: A's true error in percent.
        second: B's.

    Attributes:
        first: A's true error in percent.
        second: B's.
        shared: which share of the better network's mistakes the other one makes, too.
        digits: how many test digits there are, of `DIGITS`.
        test_set: which test set is shown, from 0.

    Raises:
        ValueError: if an error is not from 0.1 to 2.
    """

    name = "luck"
    first = State(between("first", *ERRORS))
    second = State(between("second", *ERRORS))
    shared = State(between("shared", 0, 1))
    digits = State(_digits)
    test_set = State(whole("test_set", 0, SETS - 1))

    def __init__(self, first: float = 0.6, second: float = 0.5) -> None:
        self.data = {"sets": SETS}
        self.state = {
            "first": Luck.first.check(first),
            "second": Luck.second.check(second),
            "shared": 0.5,
            "digits": 10_000,
            "test_set": 0,
        }
        self.alt = (
            "Two overlapping heaps of test errors about 0.5 and 0.6 per cent: on some "
            "test sets the worse network has the lower error"
        )
        self.hint = (
            "Draw another test set, a few times. How often does the worse network win, "
            "and how often is q below 5%? Then let the networks share more of their "
            "mistakes: how do the two numbers change, and why? How many digits does it "
            "take?"
        )

    def probabilities(self) -> tuple[float, float, float]:
        """Return how likely both misclassify a digit, A alone, and B alone."""
        one, other = self.first / 100, self.second / 100
        both = self.shared * min(one, other)
        return both, one - both, other - both

    def errors(self) -> Tensor:
        """Draw test sets: ``(300, 2)`` errors of A and B, in percent."""
        draw = torch.Generator().manual_seed(0)
        both, first, second = (
            torch.binomial(
                torch.full((SETS,), float(self.digits)),
                torch.full((SETS,), probability),
                generator=draw,
            )
            for probability in self.probabilities()
        )
        return 100 * torch.stack([both + first, both + second], dim=1) / self.digits

    def picture(self) -> Figure:
        """Draw how the errors of both networks scatter."""
        fig, ax = plt.subplots(figsize=(6.2, 2.6))
        look = {"bins": 30, "alpha": 0.6}
        for errors, name, color in zip(self.errors().T, "AB", ("output", "input")):
            ax.hist(errors.numpy(), label=name, color=COLORS[color], **look)
        ax.set(xlabel="test error (%)", ylabel="test sets")
        ax.legend()
        return fig
