"""The table of digits in volumes, from the result files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from stn_tutorial.course.reports import (
    Report,
    draw_runs,
    in_a_line,
    markdown_table,
    mean_and_spread,
    runs_of,
)
from stn_tutorial.experiments.differences import Difference, seed_by_seed
from stn_tutorial.experiments.results import select
from stn_tutorial.experiments.volumes import ARMS, PHASES, Cell

__all__ = ["difference", "draw_arms", "report", "table"]

Results = Mapping[Cell, Mapping[str, Any]]


def table(found: Results) -> str:
    """Return the errors of all arms as Markdown.

    Args:
        found: of `read_results`, for the cells of `volumes`.

    Returns:
        A line for each phase, side and arm that was measured: parameters, the mean
        error in percent with the standard deviation and the number of seeds, how much
        more that is than the error of *flat* on the same seeds, in points, with half
        the width of the 95% interval, and the mean tilt of the digits in degrees, as
        they come and as a transformer passes them on, from the least to the most of the
        seeds.
    """
    rows = []
    for phase in PHASES:
        for side in sorted({cell.side for cell in found}):
            for arm in ARMS:
                runs = runs_of(found, phase=phase, side=side, arm=arm)
                if runs:
                    names = [arm if phase == "final" else f"{arm}, {phase}", f"{side}³"]
                    change = difference(found, arm, phase=phase, side=side)
                    against = _shown(change) if arm != "flat" else "–"
                    rows.append([*names, *_numbers(runs), against, _tilts(runs)])
    head = ["arm", "voxels", "parameters", "error (%), ± s.d."]
    head += ["minus flat (points), ± 95%", "tilt (°)"]
    return markdown_table(head, rows, names=2)


def difference(
    found: Results,
    arm: str,
    other: str = "flat",
    *,
    phase: str = "final",
    side: int = 24,
) -> Difference:
    """Return how much larger an arm's error is than that of another, seed by seed.

    Args:
        found: of `read_results`, for the cells of `volumes`.
        arm: one of `ARMS`.
        other: likewise.
        phase: one of `PHASES`.
        side: of the volumes.

    Returns:
        The differences of the seeds that both have; there may be none.
    """
    runs, others = (
        select(found, phase=phase, side=side, arm=each) for each in (arm, other)
    )
    return seed_by_seed(runs, others)


def draw_arms(found: Results) -> Figure:
    """Draw the test errors of every arm.

    Args:
        found: of `read_results`, for the cells of `volumes`.

    Returns:
        The figure: a row for each arm that was measured on the smallest volumes, a mark
        for each seed; orange with a transformer, black without.
    """
    side = min(cell.side for cell in found)
    runs = {arm: runs_of(found, phase="final", side=side, arm=arm) for arm in ARMS}
    errors = {
        arm: [run["test_error"] for run in each] for arm, each in runs.items() if each
    }
    label = "error on test digits (%)"
    return draw_runs(errors, lambda arm: "output" if arm[:3] == "st-" else "ink", label)


def _numbers(runs: list[Mapping[str, Any]]) -> list[str]:
    errors = [run["test_error"] for run in runs]
    return [f"{runs[0]['parameters']:,}", in_a_line(mean_and_spread(errors))]


def _shown(change: Difference) -> str:
    if not change.each:
        return "–"
    width = f" ± {change.half_width:.2f}" if len(change.each) > 1 else ""
    return in_a_line(f"{change.mean:+.2f}{width}").replace("-", "−")


def _tilts(runs: list[Mapping[str, Any]]) -> str:
    """Such as ``35.1 to 28.3–29.8``: before a transformer, and behind it."""
    shown = []
    for when in ("as_they_come", "passed_on"):
        angles = [run["tilt_deg"][when] for run in runs if when in run["tilt_deg"]]
        each = sorted({f"{angle:.1f}" for angle in angles}, key=float)
        if each:
            shown.append("–".join([each[0], *each[1:][-1:]]))
    return " to ".join(shown)


#: What the command prints and draws.
report = Report(
    Cell,
    "digits in volumes",
    tables=(table,),
    figures={"arms": draw_arms},
)
