"""Interval: five differences, one a seed, and what they decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from stn_tutorial.course.explore._checks import whole
from stn_tutorial.course.explore._figure import Explorable, State
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.experiments.differences import Difference

__all__ = ["Interval"]

#: How far a difference may lie from zero, in percentage points.
REACH = 1.5
#: Of how many seeds the interval can be made, so many of the first.
SEEDS = (2, 3, 5)
#: How many questions may be asked at once, at most.
QUESTIONS = 40


def _differences(differences: Sequence[float]) -> list[float]:
    values = [float(value) for value in differences]
    if len(values) != SEEDS[-1] or not all(abs(value) <= REACH for value in values):
        raise ValueError(
            f"differences must be {SEEDS[-1]} numbers from {-REACH} to {REACH}, "
            f"got {differences!r}"
        )
    return values


def _seeds(seeds: int) -> int:
    if seeds not in SEEDS:
        raise ValueError(f"seeds must be one of {SEEDS}, got {seeds!r}")
    return int(seeds)


def _p_value(differences: Sequence[float]) -> float:
    from scipy.stats import ttest_1samp  # takes a second, and few need it

    return float(ttest_1samp(differences, 0.0).pvalue)


class Interval(Explorable):
    """Differences of two networks' errors, seed by seed, that are moved by hand.

    Below them stands the 95% interval of their mean, by Student's t.

    >>> figure = Interval({"P": [0.1, 0.3, 0.2, 0.4, 0.5]})
    >>> figure.seeds = 3
    >>> round(figure.p_value, 3), figure.questions
    (0.074, 1)

    Args:
        found: by name, five measured differences in percentage points; the first is
            shown.

    Attributes:
        differences: five numbers, in percentage points.
        seeds: of how many of them the interval is made, 2, 3 or 5.
        questions: how many such questions were asked; this one is taken for the one
            with the smallest p.

    Raises:
        ValueError: if nothing was found, or not five differences from -1.5 to 1.5.
    """

    name = "interval"
    differences = State(_differences)
    seeds = State(_seeds)
    questions = State(whole("questions", 1, QUESTIONS))

    def __init__(self, found: Mapping[str, Sequence[float]]) -> None:
        if not found:
            raise ValueError("found must hold differences, got none")
        measured = {name: _differences(each) for name, each in found.items()}
        # To a digit of 10,000, which is what an error is measured to.
        measured = {n: [round(v, 2) for v in each] for n, each in measured.items()}
        self.data = {
            "found": list(measured.items()),
            "reach": REACH,
            "seeds": list(SEEDS),
            "questions": QUESTIONS,
        }
        first = next(iter(measured.values()))
        self.state = {"differences": first, "seeds": SEEDS[-1], "questions": 1}
        self.alt = (
            "Five dots, one a seed, beside a line at zero; below them their mean and "
            "its interval"
        )
        self.hint = (
            "Drag a seed. How far must one alone move to undo a decision? What is left "
            "of it with two seeds, or if this was the best of twenty questions? And "
            "which decides more: five seeds that agree on a small difference, or one "
            "that is far out?"
        )

    @property
    def p_value(self) -> float:
        """How probable a mean so far from zero is, if there is no difference."""
        return _p_value(self.differences[: self.seeds])

    def picture(self) -> Figure:
        """Draw the dots of the first differences, and their interval."""
        each = self.state["differences"]
        change, n = Difference(tuple(each)), len(each)
        fig, ax = plt.subplots(figsize=(6.2, 2.6))
        ax.axvline(0, color=COLORS["faint"])
        ax.plot(each, range(n), "o", color=COLORS["input"])
        look = {"fmt": "o", "color": COLORS["output"], "capsize": 4}
        ax.errorbar(change.mean, n, xerr=change.half_width, **look)
        ax.set(xlim=(-REACH, REACH), xlabel="difference of the errors (points)")
        ax.set(yticks=range(n), ylabel="seed", ylim=(n + 0.7, -0.7))
        ax.set_title(f"p = {_p_value(each):.2g}")
        return fig
