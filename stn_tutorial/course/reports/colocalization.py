"""The table and the figure of co-localization, from the result files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from stn_tutorial.course.plotting import COLORS
from stn_tutorial.course.reports import Report, interval, markdown_table, runs_of
from stn_tutorial.data.canvases import COLUMNS
from stn_tutorial.experiments.colocalization import ARMS, Cell
from stn_tutorial.experiments.colocalization_baselines import BASELINES

__all__ = ["arm_table", "class_table", "draw_classes", "report", "with_interval"]

Results = Mapping[Cell, Mapping[str, Any]]

#: The colour of each arm.
STYLES = {
    "all": "output",
    "others": "input",
    "whole": "sample",
    "closed": "ink",
    "random": "gradient",
    "push": "wrong",
    "hundred": "sample",
}


def with_interval(runs: Sequence[Mapping[str, Any]], part: str = "test") -> str:
    """Return how many boxes were found, in percent, with the 95% interval.

    >>> with_interval([{"test": {"found": 90.0, "pictures": 100}}])
    '90.0 [82.6, 94.5]'

    Args:
        runs: of one class; of several seeds the mean is taken, and where there are
            more than one, the lowest and the highest seed follow.
        part: test, or own, the pictures that were trained on.

    Returns:
        The text. The interval (Wilson's) is about other pictures of the class, as many
        as one seed has.
    """
    shares = [run[part]["found"] for run in runs]
    count = runs[0][part]["pictures"]
    low, high = interval(count * mean(shares) / 100, count)
    text = f"{mean(shares):.1f} [{low:.1f}, {high:.1f}]"
    if len(shares) > 1:
        text += f", seeds {min(shares):.1f}–{max(shares):.1f}"
    return text


def class_table(found: Results) -> str:
    """Return how many boxes were found of each class, as Markdown.

    Args:
        found: of `read_results`, for the cells of `colocalization`.

    Returns:
        A line for each class, a column for each column and arm that was run; see
        `with_interval`.
    """
    measured = _measured(found)
    rows = []
    for digit in range(10):
        line = []
        for column, arm in measured:
            runs = runs_of(found, column=column, arm=arm, digit=digit)
            line.append(with_interval(runs, _part(arm)) if runs else "–")
        rows.append([str(digit), *line])
    return markdown_table(["digit", *(f"{c}, {a}" for c, a in measured)], rows)


def arm_table(found: Results) -> str:
    """Return the means over the classes, beside those of boxes that need no training.

    Args:
        found: of `read_results`, for the cells of `colocalization`.

    Returns:
        A line for each column and arm: over the classes, the mean share of boxes found,
        the lowest and the highest class, the mean IoU and the mean side of a box; then
        each of `BASELINES`, which know the box's size.
    """
    head = ["pictures", "boxes", "found (%)", "lowest", "highest", "IoU", "side (px)"]
    rows = []
    for column, arm in _measured(found):
        runs = runs_of(found, column=column, arm=arm)
        part = _part(arm)
        shares = [
            mean(run[part]["found"] for run in each)
            for each in _by_class(runs).values()
        ]
        iou = mean(run[part]["iou"] for run in runs)
        side = mean(run["side_px"] for run in runs)
        spread = [
            f"{number:.1f}" for number in (mean(shares), min(shares), max(shares))
        ]
        name = f"{arm} ({len(shares)} classes, {len(runs)} runs)"
        rows.append([column, name, *spread, f"{iou:.2f}", f"{side:.1f}"])
    for column in COLUMNS:
        runs = runs_of(found, column=column, arm="all")
        for name in BASELINES if runs else ():
            classes = _by_class(runs).values()
            each = [mean(run["baselines"][name] for run in of) for of in classes]
            spread = [f"{number:.1f}" for number in (mean(each), min(each), max(each))]
            rows.append([column, f"*{name}*", *spread, "–", "28.0"])
    return markdown_table(head, rows, names=2)


def draw_classes(found: Results) -> Figure:
    """Draw how many boxes were found of each class among pieces of other digits.

    Args:
        found: of `read_results`, for the cells of `colocalization`.

    Returns:
        The figure: for each arm a mark for each class, the mean over seeds, with the
        95% interval; grey, the best box that needs no training, in the mean, too.
    """
    fig, ax = plt.subplots(figsize=(6.2, 3.2))
    arms = [arm for column, arm in _measured(found) if column == "TC"]
    for k, arm in enumerate(arms):
        part = _part(arm)
        runs = _by_class(runs_of(found, column="TC", arm=arm))
        shares = {d: mean(r[part]["found"] for r in each) for d, each in runs.items()}
        counts = [each[0][part]["pictures"] for each in runs.values()]
        ends = [interval(n * s / 100, n) for n, s in zip(counts, shares.values())]
        errors = [
            [s - low for s, (low, _) in zip(shares.values(), ends)],
            [high - s for s, (_, high) in zip(shares.values(), ends)],
        ]
        places = [digit + 0.18 * (k - (len(arms) - 1) / 2) for digit in shares]
        style = {"color": COLORS[STYLES[arm]], "fmt": "o", "ms": 4, "label": arm}
        ax.errorbar(places, list(shares.values()), yerr=errors, **style)
    plain = _by_class(runs_of(found, column="TC", arm="all"))
    best = [
        max(mean(run["baselines"][name] for run in each) for name in BASELINES)
        for each in plain.values()
    ]
    ax.plot(list(plain), best, "_", color=COLORS["faint"], ms=22, label="no training")
    ax.set(xticks=range(10), xlabel="digit", ylabel="boxes found (%)", ylim=(-3, 103))
    fig.legend(loc="outside lower center", ncols=3)
    return fig


def _measured(found: Results) -> list[tuple[str, str]]:
    """The columns and arms of which there is a result, in their order."""
    return [
        (column, arm)
        for column in COLUMNS
        for arm in ARMS
        if runs_of(found, column=column, arm=arm)
    ]


def _part(arm: str) -> str:
    """What an arm is judged on: the paper's hundred pictures, on themselves."""
    return "own" if arm == "hundred" else "test"


def _by_class(
    runs: Sequence[Mapping[str, Any]],
) -> dict[int, list[Mapping[str, Any]]]:
    """Runs by their class, in its order."""
    classes: dict[int, list[Mapping[str, Any]]] = {}
    for run in sorted(runs, key=lambda run: run["config"]["digit"]):
        classes.setdefault(run["config"]["digit"], []).append(run)
    return classes


#: What the command prints and draws.
report = Report(
    Cell,
    "co-localization",
    tables=(class_table, arm_table),
    figures={"classes": draw_classes},
)
