"""The tables and figures of birds, from the result files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse, Polygon, Rectangle

from stn_tutorial.course.plotting import COLORS, fading, frame_picture
from stn_tutorial.course.reports import (
    Discordant,
    draw_runs,
    in_a_line,
    interval,
    markdown_table,
    mcnemar,
    mean_and_spread,
    runs_of,
    tables_of,
)
from stn_tutorial.experiments.birds import ARMS, PHASES, SCALE, Cell
from stn_tutorial.experiments.results import select

__all__ = [
    "compare",
    "draw_accuracies",
    "draw_offsets",
    "draw_windows",
    "error_table",
    "look_table",
    "report",
    "trial_table",
]

Results = Mapping[Cell, Mapping[str, Any]]


def report(folder: Path) -> tuple[str, dict[str, Callable[[], Figure]]]:
    """Return the tables of some results, and what draws their figures.

    Args:
        folder: of the results; those of trials are in ``validation`` below it.

    Returns:
        The text, and by the name of its file what draws each figure.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no results, or a damaged one.
    """
    tables = error_table, look_table
    text, found = tables_of(folder, Cell, "birds", tables, trial_table)
    drawings = {"accuracies": partial(draw_accuracies, found)} if found else {}
    if "looks" in found.get(Cell("final", "st"), {}):
        drawings["offsets"] = partial(draw_offsets, found[Cell("final", "st")])
        means = found[Cell("final", "st")]["looks"]["means"]
        drawings["windows"] = partial(draw_windows, means)
    return text, drawings


def compare(found: Results, arm: str, other: str, *, seed: int = 0) -> Discordant:
    """Compare two arms on the same test pictures, by McNemar's exact test.

    Args:
        found: of `read_results`, for the cells of `birds`.
        arm: one of `ARMS`, or ``"still"``: windows at the mean places of *st*.
        other: likewise.
        seed: of both runs.

    Returns:
        What tells them apart: how many pictures each alone misclassifies, and how
        probable so uneven a division is.

    Raises:
        KeyError: if one of the two was not run.
    """
    return mcnemar(*(_wrong(found, each, seed) for each in (arm, other)))


def _wrong(found: Results, arm: str, seed: int) -> list[int]:
    if arm == "still":
        return found[Cell("final", "st", seed)]["still"]["misclassified"]
    return found[Cell("final", arm, seed)]["misclassified"]


def error_table(found: Results) -> str:
    """Return the accuracies of all arms on the test set, as Markdown.

    Args:
        found: of `read_results`, for the cells of `birds`.

    Returns:
        A line for each arm that was run: trained parameters; the accuracy in percent,
        the mean over seeds with its standard deviation; and the 95% interval of the
        first seed's, for other test pictures.
    """
    rows = []
    for arm, runs in _runs(found).items():
        first = next(iter(runs.values()))
        count = first["data"]["test"]["pictures"]
        low, high = interval(count - len(first["misclassified"]), count)
        spread = mean_and_spread(
            [100 - run["test_error"] for run in runs.values()], digits=1
        )
        size = f"{first['parameters']:,}" if arm != "still" else "–"
        rows.append([arm, size, in_a_line(spread), f"{low:.1f}–{high:.1f}"])
    head = ["windows", "parameters", "accuracy (%)", "first seed, 95%"]
    return markdown_table(head, rows)


def _runs(found: Results) -> dict[str, dict[Cell, Mapping[str, Any]]]:
    """The final runs of each arm that has some; those of windows kept still, too."""
    runs = {}
    for arm in ARMS:
        if each := select(found, phase="final", arm=arm):
            runs[arm] = each
        if arm == "st" and each:
            runs["still"] = {cell: {**r, **r["still"]} for cell, r in each.items()}
    return runs


def look_table(found: Results) -> str:
    """Return where windows are looked for and found, as Markdown.

    Args:
        found: of `read_results`, for the cells of `birds`.

    Returns:
        Two lines for each arm that learns to look, of head and body, the mean over
        seeds: the share of pictures in which the nearer window holds the part, and the
        same of a window that stays at its mean, of one in the middle and of a random
        one; the mean distance in window's sides, and that of the mean; and how the
        window follows the part along x and y. Nothing if there is no such arm.
    """
    rows = []
    for arm in ARMS:
        runs = runs_of(found, phase="final", arm=arm)
        seen = [run["looks"] for run in runs if "looks" in run]
        for part in ("head", "body") if seen else ():
            each = [look[part] for look in seen]
            values = [
                *([e[f"holds{how}"] for e in each] for how in _HOW),
                *([e[f"distance{how}"] for e in each] for how in ("", "_still")),
                *([e["follows"][axis] for e in each] for axis in "xy"),
            ]
            means = [sum(v) / len(v) for v in values]
            shares = [f"{mean:.1f}" for mean in means[:4]]
            rows.append([arm, part, *shares, *(f"{mean:.2f}" for mean in means[4:])])
    head = ["windows", "part", "held (%)", "still", "middle", "random"]
    head += ["distance", "distance, still", "follows x", "y"]
    return markdown_table(head, rows) if rows else ""


_HOW = ("", "_still", "_middle", "_random")


def trial_table(found: Results) -> str:
    """Return the trials on pictures held out, as Markdown.

    Args:
        found: of `read_results`, for the cells of `birds`.

    Returns:
        A line for each phase, and the accuracy of each arm in it.
    """
    arms = [arm for arm in ARMS if any(cell.arm == arm for cell in found)]
    rows = []
    for phase in PHASES:
        runs = [runs_of(found, phase=phase, arm=arm) for arm in arms]
        right = [[100 - run["test_error"] for run in each] for each in runs]
        if any(right):
            said = [mean_and_spread(r, digits=1) if r else "" for r in right]
            rows.append([phase, *map(in_a_line, said)])
    return markdown_table(["held-out accuracy (%)", *arms], rows)


def draw_accuracies(found: Results, arms: Sequence[str] | None = None) -> Figure:
    """Draw the test accuracies of every arm.

    Args:
        found: of `read_results`, for the cells of `birds`.
        arms: of `ARMS`, or "still", in this order; the default is all that were run.

    Returns:
        The figure: a row for each arm, a mark for each seed; orange where
        windows are learned, blue where they are told the truth, black otherwise.
    """
    runs = _runs(found)
    right = {
        arm: [100 - run["test_error"] for run in runs[arm].values()]
        for arm in (runs if arms is None else arms)
    }
    colors = {"st": "output"} | dict.fromkeys(_TOLD, "input")
    label = "test photographs named rightly (%)"
    return draw_runs(right, lambda arm: colors.get(arm, "ink"), label)


#: The arms whose windows are where the truth has them, or were told it.
_TOLD = ("told", "box", "parts", "parts-and-whole")


def draw_offsets(result: Mapping[str, Any]) -> Figure:
    """Draw where head and body are, as seen from the middle of their windows.

    Args:
        result: of a run that looks.

    Returns:
        The figure: a density for each part, with the window's edges around it.
    """
    fig, axes = plt.subplots(1, 2, figsize=(6.2, 3.1))
    for ax, part in zip(axes, ("head", "body")):
        look = result["looks"][part]
        counts = np.array(look["offsets"])
        edge = 1 / (2 * SCALE)
        ax.imshow(counts, cmap=fading("input"), extent=(-edge, edge, edge, -edge))
        ax.add_patch(_window(0, 0, 1, color=COLORS["output"]))
        ax.plot(0, 0, "+", color=COLORS["output"], ms=12, mew=2)
        ax.set_title(f"the {part}, held in {look['holds']:.0f}%")
        ax.set_xlabel("widths from the middle")
        ax.set_xlim(-edge, edge)
        ax.set_ylim(edge, -edge)
    axes[0].set_ylabel("heights")
    return fig


def draw_windows(places: Sequence[Sequence[float]]) -> Figure:
    """Draw a bird of our own, and windows over it.

    Args:
        places: x and y of the windows' middles, in coordinates in which the picture
            runs from -1 to 1.

    Returns:
        The figure.
    """
    fig, ax = plt.subplots(figsize=(2.9, 2.9))
    draw_bird(ax)
    for k, (x, y) in enumerate(places, start=1):
        color = COLORS["output" if k % 2 else "input"]
        ax.add_patch(
            _window(x, y, 2 * SCALE, color=color, style="-" if k % 2 else "--")
        )
        ax.text(x - SCALE + 0.05, y - SCALE + 0.15, str(k), color=color)
    ax.set(xlim=(-1, 1), ylim=(1, -1), aspect="equal")
    frame_picture(ax)
    return fig


def draw_bird(ax: plt.Axes) -> None:
    """Draw a bird as large as those of the benchmark are in the mean.

    Args:
        ax: in whose coordinates a picture runs from -1 to 1.
    """
    ink = COLORS["ink"]
    style = {"fc": "none", "ec": ink, "lw": 1.5}
    ax.add_patch(Polygon([(-0.3, 0.1), (-0.52, 0.42), (-0.14, 0.3)], **style))
    hiding = {**style, "fc": COLORS["paper"]}
    ax.add_patch(Ellipse((0, 0.06), 0.8, 0.46, angle=-30, **hiding))
    ax.add_patch(Circle((0.24, -0.3), 0.15, **hiding))
    ax.add_patch(Polygon([(0.37, -0.36), (0.52, -0.28), (0.37, -0.23)], **style))
    ax.plot(0.28, -0.34, "o", color=ink, ms=3)
    for x in (-0.02, 0.08):
        ax.plot([x, x + 0.02], [0.27, 0.5], color=ink, lw=1.5)


def _window(
    x: float, y: float, side: float, *, color: str, style: str = "-"
) -> Rectangle:
    corner = x - side / 2, y - side / 2
    return Rectangle(corner, side, side, fill=False, ec=color, ls=style, lw=2)
