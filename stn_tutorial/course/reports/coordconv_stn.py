"""The tables and figures of CoordConv in transformers, from the result files."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from stn_tutorial.course.plotting import (
    COLORS,
    ERROR_FLOOR,
    WIDEST,
    label_panels,
    make_panels,
)
from stn_tutorial.course.reports import (
    Report,
    markdown_table,
    mean_and_spread,
    runs_of,
)
from stn_tutorial.experiments.coordconv_stn import (
    ARRANGEMENTS,
    COLUMNS,
    Cell,
    Difference,
    error_after,
    paired,
)
from stn_tutorial.experiments.differences import TEST_ERROR

__all__ = [
    "difference_table",
    "draw_convergence",
    "draw_differences",
    "effect",
    "error_table",
    "pose_table",
    "report",
]

Results = Mapping[Cell, Mapping[str, Any]]

#: The line of each arrangement: no coordinates are black.
STYLES = {
    "plain": {"color": COLORS["ink"], "ls": "-"},
    "first": {"color": COLORS["output"], "ls": "-"},
    "everywhere": {"color": COLORS["input"], "ls": "-"},
    "radius": {"color": COLORS["gradient"], "ls": "-"},
    "both": {"color": COLORS["sample"], "ls": "-"},
    "zero": {"color": COLORS["ink"], "ls": ":"},
    "pooled": {"color": COLORS["ink"], "ls": "--"},
    "pooled-first": {"color": COLORS["output"], "ls": "--"},
}


def effect(change: Difference) -> str:
    """Return what a change of the error says of the coordinates that made it.

    >>> effect(Difference((-0.3, -0.2, -0.3))), effect(Difference((-0.3, 0.2)))
    ('helps', 'undecided')

    Args:
        change: of `stn_tutorial.experiments.coordconv_stn.paired`.

    Returns:
        ``helps``, ``hurts``, or ``undecided`` if the confidence interval holds zero;
        of this comparison alone, whatever else was asked.
    """
    if not change.excludes_zero:
        return "undecided"
    return "helps" if change.mean < 0 else "hurts"


def error_table(found: Results) -> str:
    """Return the test errors of transformers with coordinates, as Markdown.

    Args:
        found: of `read_results`, for the cells of `coordconv_stn`.

    Returns:
        A line for each arrangement: mean error in percent ± standard deviation, and the
        number of seeds, on each distortion.
    """
    rows = []
    for name in ARRANGEMENTS:
        runs = [runs_of(found, column=column, arrangement=name) for column in COLUMNS]
        if any(runs):
            errors = [[run["test_error"] for run in each] for each in runs]
            shown = (mean_and_spread(each) if each else "–" for each in errors)
            rows.append([name, *shown])
    return markdown_table(["coordinates", *COLUMNS], rows)


def difference_table(found: Results, *, epoch: int | None = None) -> str:
    """Return what coordinates change, seed by seed, as Markdown.

    Args:
        found: of `read_results`, for the cells of `coordconv_stn`.
        epoch: after which to compare; the default is the last one.

    Returns:
        A line for each distortion that was measured: for each arrangement, the mean
        difference of its error from that of the same network without coordinates, in
        percentage points, with the 95% confidence interval and its `effect`.
    """
    pairs = list(_pairs(found))
    rows = []
    for column in COLUMNS:
        line = [_change(found, column, *pair, epoch=epoch) for pair in pairs]
        if any(line):
            rows.append([column, *(each or "–" for each in line)])
    return markdown_table(["distortion", *(name for name, _ in pairs)], rows)


def _change(
    found: Results, column: str, name: str, against: str, *, epoch: int | None
) -> str:
    """Such as ``-0.05 [-0.23, +0.12] undecided``, or nothing if no seeds are shared."""
    try:
        number = TEST_ERROR if epoch is None else error_after(epoch)
        change = paired(found, column, name, against=against, number=number)
    except ValueError:
        return ""
    low, high = (change.mean + s * change.half_width for s in (-1, 1))
    return f"{change.mean:+.2f} [{low:+.2f}, {high:+.2f}] {effect(change)}"


def pose_table(found: Results) -> str:
    """Return how much the poses of digits of a class differ, as Markdown.

    Args:
        found: of `read_results`, for the cells of `coordconv_stn`.

    Returns:
        A line for each distortion with a true pose, as the digits come and as each
        arrangement passes them on: standard deviations of angle, scale and shift, the
        mean over seeds; see `stn_tutorial.experiments.coordconv_stn.pose_spread`.
    """
    head = ["distortion", "coordinates", "angle (°)", "scale (%)", "shift (px)"]
    rows = []
    for column in COLUMNS:
        for name in ARRANGEMENTS:
            runs = runs_of(found, column=column, arrangement=name)
            if not runs or not runs[0]["poses"]:
                continue
            if not rows or rows[-1][0] != column:
                before = runs[0]["poses"]["as_they_come"].values()
                rows.append([column, "(as they come)", *(f"{v:.1f}" for v in before)])
            poses = [run["poses"]["passed_on"] for run in runs]
            after = (
                mean_and_spread([pose[key] for pose in poses], digits=1)
                for key in poses[0]
            )
            rows.append([column, name, *after])
    return markdown_table(head, rows, names=2)


def draw_differences(found: Results) -> Figure:
    """Draw by how much coordinates change the error, in percent of it.

    Args:
        found: of `read_results`, for the cells of `coordconv_stn`.

    Returns:
        The figure: the distortions one below the other, and in each a line for each
        arrangement that was run: the mean ratio of the errors with its 95% confidence
        interval, less one. Left of zero, coordinates help. Dots are the seeds. The
        control, whose effect may be ten times as large, is left to `difference_table`.
    """
    names = [name for name, against in _pairs(found) if against == "plain"]
    looks = {}
    for name in names:
        color = STYLES[name]["color"]
        face = COLORS["paper"] if name == "zero" else color
        looks[name] = {"color": color, "marker": "o", "ms": 5, "mfc": face}
    fig, ax = plt.subplots(figsize=(WIDEST, 6.2))
    ax.axvline(0, color=COLORS["faint"])
    row, middles = 0.0, []
    for k, column in enumerate(COLUMNS):
        top = row
        for name in names:
            try:
                change = paired(found, column, name, number=_log_error)
            except ValueError:  # was not run
                continue
            low, mean, high = (
                _percent(change.mean + sign * change.half_width) for sign in (-1, 0, 1)
            )
            errs = [[mean - low], [high - mean]]
            ax.errorbar(mean, row, xerr=errs, capsize=3, **looks[name])
            dots = {"ls": "", "marker": ".", "ms": 3, "color": COLORS["faint"]}
            each = [*map(_percent, change.each)]
            ax.plot(each, [row - 0.32] * len(each), **dots)
            row += 1
        row += row == top
        middles.append((top + row - 1) / 2)
        if k % 2 == 0:  # a band for every other distortion
            ax.axhspan(top - 0.7, row - 0.3, color=COLORS["faint"], alpha=0.15, lw=0)
        row += 0.4
    ax.set_yticks(middles, list(COLUMNS))
    ax.tick_params(axis="y", length=0)
    ax.set(ylim=(row - 0.7, -0.8))
    return label_panels(fig, "change of the error (%)", "", looks)


def _log_error(run: Mapping[str, Any]) -> float:
    return math.log(max(run["test_error"], ERROR_FLOOR))


def _percent(log_ratio: float) -> float:
    return 100 * math.expm1(log_ratio)


def draw_convergence(found: Results) -> Figure:
    """Draw the mean test error after each epoch.

    Args:
        found: of `read_results`, for the cells of `coordconv_stn`.

    Returns:
        The figure: a panel for each distortion, a line for each arrangement.
    """
    fig, panels = make_panels(list(COLUMNS), height=1.8)
    shown = [name for name in ARRANGEMENTS if runs_of(found, arrangement=name)]
    for column, ax in panels.items():
        for name in shown:
            runs = runs_of(found, column=column, arrangement=name)
            curves = [[e["test_error"] for e in run["history"]] for run in runs]
            means = [statistics.mean(errors) for errors in zip(*curves, strict=True)]
            means = [max(ERROR_FLOOR, mean) for mean in means]
            if runs:
                ax.plot(range(1, len(means) + 1), means, lw=1.3, **STYLES[name])
        ax.set(yscale="log")
    looks = {name: STYLES[name] for name in shown}
    return label_panels(fig, "epoch", "test error (%)", looks)


def _pairs(found: Results) -> Iterable[tuple[str, str]]:
    """Each arrangement that was measured, and its like without coordinates."""
    for name in ARRANGEMENTS:
        against = "pooled" if name.startswith("pooled") else "plain"
        if name != against and runs_of(found, arrangement=name):
            yield name, against


#: What the command prints and draws.
report = Report(
    Cell,
    "CoordConv in transformers",
    tables=(error_table, difference_table, pose_table),
    figures={"differences": draw_differences, "convergence": draw_convergence},
)
