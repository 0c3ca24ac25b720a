"""The tables and figures of MNIST addition, from the result files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from stn_tutorial.course.plotting import COLORS
from stn_tutorial.course.reports import (
    Report,
    interval,
    markdown_table,
    mean_and_spread,
    runs_of,
)
from stn_tutorial.experiments.addition import LENGTHS, PAPER, ROWS, Cell

__all__ = ["draw_looks", "error_table", "look_table", "report", "shown"]

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
        A line for each network that was run, and each length of its runs: epochs, the
        error in percent, the mean over seeds; the 95% interval of the first seed's, for
        other test pairs; the paper's error; and parameters.
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
                str(len(first["history"])),
                mean_and_spread([run["test_error"] for run in runs]),
                f"{low:.1f}–{high:.1f}",
                PAPER.get(row.replace("BN-", ""), ""),
                f"{first['parameters']:,}",
            ]
        )
    head = ["network", "epochs", "error (%)", "95% interval", "paper (RTS)"]
    head.append("parameters")
    return markdown_table(head, rows)


def look_table(found: Results) -> str:
    """Return which channel each transformer straightens, as Markdown.

    Args:
        found: of `read_results`, for the cells of `addition`.

    Returns:
        A line for each transformer of each network, for the first seed, and one for the
        pictures as they come: the spread of the angle within a class, in degrees, in
        the first and in the second channel.
    """
    rows = []
    for name, looks in _looks(found):
        if not rows:
            rows.append(["(as they come)", "", *_spread(looks["as_they_come"])])
        for k, channels in enumerate(looks["passed_on"], start=1):
            rows.append([name, str(k), *_spread(channels)])
    head = ["network", "transformer", "first channel (°)", "second channel (°)"]
    return markdown_table(head, rows, names=2)


def draw_looks(found: Results) -> Figure:
    """Draw how much of each channel's rotation each transformer leaves.

    Args:
        found: of `read_results`, for the cells of `addition`.

    Returns:
        The figure: a row for each transformer of each network, for the first seed; a
        mark for each channel, and a line where the pictures come in.
    """
    names, spreads, came = [], [], 0.0
    for name, looks in _looks(found):
        came = looks["as_they_come"][0]["angle_deg"]
        for k, channels in enumerate(looks["passed_on"], start=1):
            names.append(f"{name}: {k}" if len(looks["passed_on"]) > 1 else name)
            spreads.append([channel["angle_deg"] for channel in channels])
    fig, ax = plt.subplots(figsize=(6.2, 1.5 + 0.32 * len(names)))
    ax.axvline(came, color=COLORS["faint"], label="as they come")
    for k, (color, marker) in enumerate((("input", "o"), ("output", "s"))):
        left = [each[k] for each in spreads]
        style = {"ls": "", "marker": marker, "ms": 8, "color": COLORS[color]}
        ax.plot(left, range(len(names)), label=f"channel {k + 1}", **style)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="spread of the angle that is left (°)", xlim=(0, None))
    ax.set_ylim(len(names) - 0.5, -0.5)
    fig.legend(loc="outside upper center", ncols=3)
    return fig


def _looks(found: Results) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The name of each network with transformers, and where these look."""
    for length, row in product(LENGTHS, ROWS):
        for run in runs_of(found, length=length, row=row)[:1]:
            if "looks" in run:
                yield f"{shown(row)}, {len(run['history'])} epochs", run["looks"]


def _spread(channels: Sequence[Mapping[str, float]]) -> list[str]:
    return [f"{channel['angle_deg']:.1f}" for channel in channels]


#: What the command prints and draws.
report = Report(
    Cell,
    "MNIST addition",
    tables=(error_table, look_table),
    figures={"looks": draw_looks},
)
