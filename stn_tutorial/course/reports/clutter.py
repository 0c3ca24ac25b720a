"""The table of the study on clutter, from the result files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from stn_tutorial.course.reports import (
    Report,
    draw_runs,
    markdown_table,
    mean_and_spread,
    runs_of,
)
from stn_tutorial.experiments.clutter import ARMS, PHASES, Cell
from stn_tutorial.experiments.results import select

__all__ = ["draw_arms", "report", "table"]

Results = Mapping[Cell, Mapping[str, Any]]


def table(found: Results) -> str:
    """Return the errors of all arms as Markdown.

    Args:
        found: of `read_results`, for the cells of `clutter`.

    Returns:
        A line for each arm that was measured: its parameters; in the search the mean
        error on held-out digits in percent, the standard deviation, and the number of
        seeds; at last the error on the test digits; and seconds a seed in the search.
    """
    rows = []
    for arm in ARMS:
        runs = {p: runs_of(found, arm=arm, phase=p) for p in PHASES}
        every = [run for each in runs.values() for run in each]
        if every:
            errors = [[run["test_error"] for run in runs[p]] for p in PHASES]
            shown = [mean_and_spread(each) if each else "–" for each in errors]
            seconds = [run["seconds"] for run in runs["search"]]
            took = f"{sum(seconds) / len(seconds):.0f}" if seconds else "–"
            rows.append([arm, f"{every[0]['parameters']:,}", *shown, took])
    head = ["arm", "parameters", "held-out error", "test error", "seconds"]
    return markdown_table(head, rows)


def draw_arms(found: Results) -> Figure:
    """Draw the error of every arm on the held-out digits.

    Args:
        found: of `read_results`, for the cells of `clutter`.

    Returns:
        The figure: a row for each arm that was measured, the lowest error on top, a
        mark for each seed; orange with a transformer, black without.
    """
    errors: dict[str, list[float]] = {}
    for cell, result in select(found, phase="search").items():
        errors.setdefault(cell.arm, []).append(result["test_error"])
    order = sorted(errors, key=lambda arm: sum(errors[arm]) / len(errors[arm]))
    return draw_runs(
        {arm: errors[arm] for arm in order},
        lambda arm: "ink" if ARMS[arm]["model"] == "modern" else "output",
        "error on held-out digits (%)",
        row=0.26,
    )


#: What the command prints and draws.
report = Report(
    Cell,
    "the study on clutter",
    tables=(table,),
    figures={"arms": draw_arms},
)
