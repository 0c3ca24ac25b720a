"""The tables and figures of MNIST addition, from the result files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from stn_tutorial.course.plotting import COLORS
from stn_tutorial.course.reports import (
    interval,
    markdown_table,
    mean_and_spread,
    runs_of,
    tables_of,
)
from stn_tutorial.experiments.addition import LENGTHS, PAPER, ROWS, Cell, Trial

__all__ = [
    "draw_looks",
    "error_table",
    "look_table",
    "report",
    "shown",
    "trial_table",
]

Results = Mapping[Cell, Mapping[str, Any]]


def shown(row: str) -> str:
    """Return a network's name for readers.

    >>> shown("2ST-FCN TPS")
    '2×ST-FCN TPS'

    Args:
        row: one of `stn_tutorial.experiments.addition.ROWS`.

    Returns:
        The name, as the paper writes it.
    """
    return row.replace("2ST", "2×ST")


def error_table(found: Results) -> str:
    """Return the test errors as Markdown, beside the paper's.

    Args:
        found: of `read_results`, for the cells of `addition`.

    Returns:
        A line for each network that was run, and each length of its runs: what was done
        to its digits; epochs; the error in percent, the mean over seeds; the 95%
        interval of the first seed's, for other test pairs; the paper's error; and
        parameters.
    """
    rows = []
    for length, row in product(LENGTHS, ROWS):
        runs = runs_of(found, length=length, row=row)
        if not runs:
            continue
        first = runs[0]
        count = first["data"]["test"]["digits"]
        low, high = interval(round(first["test_error"] * count / 100), count)
        rows.append(
            [
                shown(row),
                first["config"]["distortion"],
                str(len(first["history"])),
                mean_and_spread([run["test_error"] for run in runs]),
                f"{low:.1f}–{high:.1f}",
                PAPER.get(row.replace("BN-", ""), ""),
                f"{first['parameters']:,}",
            ]
        )
    head = ["network", "digits", "epochs", "error (%)", "95% interval", "paper (RTS)"]
    head.append("parameters")
    return markdown_table(head, rows, names=2)


def trial_table(tried: Mapping[Trial, Mapping[str, Any]]) -> str:
    """Return what the learning rates were chosen by, as Markdown.

    Args:
        tried: of `read_results`, for the trials of `addition`.

    Returns:
        A line for each network and each ratio of its localization network's rate to the
        rest's; a column for each learning rate: the error on held-out pairs, in
        percent.
    """
    rates = sorted({trial.lr for trial in tried})
    rows = []
    for row, ratio in dict.fromkeys((trial.row, trial.ratio) for trial in tried):
        runs = [runs_of(tried, row=row, ratio=ratio, lr=rate) for rate in rates]
        errors = [f"{each[0]['test_error']:.1f}" if each else "–" for each in runs]
        rows.append([shown(row), f"{ratio:g}", *errors])
    head = ["held out (%)", "ratio", *(f"rate {rate:g}" for rate in rates)]
    return markdown_table(head, rows)


def look_table(found: Results) -> str:
    """Return which channel each transformer straightens, as Markdown.

    Args:
        found: of `read_results`, for the cells of `addition`.

    Returns:
        A line for each transformer of each network, for the first seed, and one for the
        pictures as they come: the spread within a class of the angle, in degrees, and
        of the place, in pixels, in the first and in the second channel.
    """
    rows: list[list[str]] = []
    for name, run in _looking(found):
        came = [f"(as they come, {run['config']['distortion']})", ""]
        looks = run["looks"]
        if came not in [row[:2] for row in rows]:
            rows.append([*came, *_spreads(looks["as_they_come"])])
        for k, channels in enumerate(looks["passed_on"], start=1):
            rows.append([name, str(k), *_spreads(channels)])
    head = ["network", "transformer", "angle 1 (°)", "angle 2 (°)"]
    head += ["place 1 (px)", "place 2 (px)"]
    return markdown_table(head, rows, names=2)


def draw_looks(found: Results) -> Figure:
    """Draw how much of each channel's distortion each transformer leaves.

    Args:
        found: of `read_results`, for the cells of `addition`.

    Returns:
        The figure: a row for each transformer of each network, for the first seed; a
        mark for each channel, and a line where the pictures come in; the angle on the
        left, and on the right the place, of digits that were moved. Dotted: the least
        that one warp leaves of two independent angles, half of the variance in both,
        and the most of the other one that undoing the first leaves, twice of it.
    """
    names: list[str] = []
    left: dict[str, list[list[float]]] = {part: [] for part in _PARTS}
    for name, run in _looking(found):
        looks = run["looks"]
        for k, channels in enumerate(looks["passed_on"], start=1):
            names.append(f"{name}: {k}" if len(looks["passed_on"]) > 1 else name)
            for part, shares in left.items():
                shares.append(_shares(channels, looks["as_they_come"], part))
    moved = {k: shares for k, shares in left.items() if not np.isnan(shares).all()}
    size = (6.2, 1.5 + 0.32 * len(names))
    grid = {"squeeze": False, "sharex": True, "sharey": True}
    fig, ((*axes,),) = plt.subplots(1, len(moved), figsize=size, **grid)
    for ax, (part, shares) in zip(axes, moved.items(), strict=True):
        ax.axvline(100, color=COLORS["faint"], label="as they come")
        for variance in (1 / 2, 2):
            ax.axvline(100 * variance**0.5, color=COLORS["faint"], ls=":", lw=1.2)
        for k, (color, marker) in enumerate((("input", "o"), ("output", "s"))):
            style = {"ls": "", "marker": marker, "ms": 7, "color": COLORS[color]}
            each = [share[k] for share in shares]
            rows = [row + 0.3 * (k - 0.5) for row in range(len(names))]  # side by side
            ax.plot(each, rows, label=f"channel {k + 1}", **style)
        ax.set_xlabel(f"spread of the {_PARTS[part]} (%)")
    axes[0].set_xlim(0, None)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=3)
    return fig


#: What is said of a pose, as `looks` calls it, and to readers.
_PARTS = {"angle_deg": "angle", "shift_px": "place"}


def _looking(found: Results) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The name of each network with transformers, and its first run."""
    several = len({cell.length for cell in found}) > 1
    for length, row in product(LENGTHS, ROWS):
        for run in runs_of(found, length=length, row=row)[:1]:
            if "looks" in run:
                epochs = f", {len(run['history'])} epochs" if several else ""
                yield shown(row) + epochs, run


def _spreads(channels: Sequence[Mapping[str, float]]) -> list[str]:
    return [f"{channel[part]:.1f}" for part in _PARTS for channel in channels]


def _shares(
    channels: Sequence[Mapping[str, float]],
    came: Sequence[Mapping[str, float]],
    part: str,
) -> list[float]:
    """What is left of a part of the pose, in percent; NaN if there was nothing."""
    pairs = zip(channels, came, strict=True)
    return [
        100 * left[part] / whole[part] if whole[part] > 1e-3 else math.nan
        for left, whole in pairs
    ]


def report(folder: Path) -> tuple[str, dict[str, Callable[[], Figure]]]:
    """Return the tables of some results, and what draws their figure.

    Args:
        folder: of the results; those of trials are in ``validation`` below it.

    Returns:
        The text, and by the name of its file what draws the figure.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no results, or a damaged one.
    """
    tables = error_table, look_table
    text, found = tables_of(folder, Cell, "MNIST addition", tables, trial_table, Trial)
    drawn = {"looks": partial(draw_looks, found)} if any(_looking(found)) else {}
    return text, drawn
