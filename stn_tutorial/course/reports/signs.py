"""The tables and figures of traffic signs, from the result files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from stn_tutorial.course.reports import (
    Discordant,
    Report,
    draw_runs,
    in_a_line,
    interval,
    markdown_table,
    mcnemar,
    mean_and_spread,
    runs_of,
)
from stn_tutorial.experiments.results import select
from stn_tutorial.experiments.signs import ARMS, PHASES, Cell

__all__ = [
    "arms_of",
    "compare",
    "draw_errors",
    "error_table",
    "look_table",
    "report",
    "trial_table",
]

Results = Mapping[Cell, Mapping[str, Any]]


def arms_of(found: Results) -> list[str]:
    """Return the arms whose final runs are there, in their order.

    Args:
        found: of `read_results`, for the cells of `signs`.

    Returns:
        Of `ARMS`.
    """
    return [arm for arm in ARMS if select(found, phase="final", arm=arm)]


def compare(
    found: Results, arm: str, other: str = "cnn", *, seed: int = 0
) -> Discordant:
    """Compare two arms on the same test pictures, by McNemar's exact test.

    Args:
        found: of `read_results`, for the cells of `signs`.
        arm: one of `ARMS`.
        other: likewise.
        seed: of both runs.

    Returns:
        What tells them apart.

    Raises:
        KeyError: if one of the two was not run.
    """
    runs = (found[Cell("final", each, seed)] for each in (arm, other))
    return mcnemar(*(run["misclassified"] for run in runs))


def error_table(found: Results) -> str:
    """Return the errors of all arms on the test set, as Markdown.

    Args:
        found: of `read_results`, for the cells of `signs`.

    Returns:
        A line for each arm that was run: parameters; the error in percent, the mean
        over seeds with its standard deviation; and the 95% interval of the first
        seed's, for other test pictures, if they were independent.
    """
    rows = []
    for arm in ARMS:
        runs = select(found, phase="final", arm=arm)
        if not runs:
            continue
        first, *_ = each = list(runs.values())
        count = first["data"]["test"]["pictures"]
        low, high = interval(len(first["misclassified"]), count)
        rows.append(
            [
                arm,
                f"{first['parameters']:,}",
                in_a_line(mean_and_spread([run["test_error"] for run in each])),
                f"{low:.1f}–{high:.1f}",
            ]
        )
    return markdown_table(["network", "parameters", "error (%)", "first, 95%"], rows)


def look_table(found: Results) -> str:
    """Return where the transformers look, as Markdown.

    Args:
        found: of `read_results`, for the cells of `signs`.

    Returns:
        A column for each arm with a transformer in front, the mean over its seeds: the
        IoU with the sign's box of theta's, of theta's mean box and of the whole
        picture; and the correlations over the pictures of x, y and size. Nothing if
        there is no such arm.
    """
    columns = {}
    for arm in ARMS:
        runs = runs_of(found, phase="final", arm=arm)
        seen = [run["looks"] for run in runs if "looks" in run]
        if not seen:
            continue
        values = [
            *([look[name] for look in seen] for name in _OVERLAPS),
            *([look["follows"][name] for look in seen] for name in _FOLLOWED),
        ]
        columns[arm] = [f"{sum(v) / len(v):.2f}" for v in values]
    names = [*_OVERLAPS.values(), *_FOLLOWED.values()]
    rows = [list(line) for line in zip(names, *columns.values(), strict=True)]
    return markdown_table(["mean over seeds", *columns], rows) if columns else ""


_OVERLAPS = {
    "iou": "IoU of theta's box",
    "iou_of_the_mean_box": "IoU of the mean box",
    "iou_of_the_picture": "IoU of the whole picture",
}
_FOLLOWED = {
    "x": "theta follows x",
    "y": "theta follows y",
    "size": "theta follows the size",
}


def trial_table(found: Results) -> str:
    """Return the trials on pictures held out, as Markdown.

    Args:
        found: of `read_results`, for the cells of `signs`.

    Returns:
        A line for each phase, and the error of each arm in it, the mean over seeds.
    """
    arms = [arm for arm in ARMS if any(cell.arm == arm for cell in found)]
    rows = []
    for phase in PHASES:
        runs = [runs_of(found, phase=phase, arm=arm) for arm in arms]
        errors = [[run["test_error"] for run in each] for each in runs]
        if any(errors):
            rows.append(
                [phase, *(in_a_line(mean_and_spread(e)) if e else "" for e in errors)]
            )
    return markdown_table(["held-out error (%)", *arms], rows)


def draw_errors(found: Results) -> Figure:
    """Draw the test errors of every arm.

    Args:
        found: of `read_results`, for the cells of `signs`.

    Returns:
        The figure: a row for each arm that was run, a mark for each seed; orange with a
        transformer, black without.
    """
    errors = {
        arm: [run["test_error"] for run in runs_of(found, phase="final", arm=arm)]
        for arm in arms_of(found)
    }
    label = "error on test photographs (%)"
    return draw_runs(errors, lambda arm: "ink" if arm[:3] == "cnn" else "output", label)


#: What the command prints and draws.
report = Report(
    Cell,
    "traffic signs",
    tables=(error_table, look_table),
    figures={"errors": draw_errors},
    trials=trial_table,
)
