"""A Sphinx directive for the numbers on the page about grading.

`grading-measured seconds` says how long a solution takes to be graded, and
`grading-measured digits` what the thresholds of *digits* are set by: both from
assignments/measured.json, which `measure_assignments` writes, and from the
assignment itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from stn_tutorial.course.grading import partial

MEASURED, DIGITS = "assignments/measured.json", "assignments/digits.ipynb"
# How the number of a test becomes points: full=0.2, none=0.35.
LIMITS = re.compile(r"partial\((\d+), (\w+), full=([\d.]+), none=([\d.]+)\)")


@dataclass(frozen=True)
class Limits:
    """What a test that goes by a number gives for it."""

    points: int
    full: float  # this or less has all points
    none: float  # this or more has none

    def worth(self, value: float) -> float:
        return partial(self.points, value, full=self.full, none=self.none)


def limits(notebook: dict[str, Any]) -> dict[str, Limits]:
    """Return what the two tests of *digits* that go by a number give."""
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"])
    names = {"error": "error", "left": "distance"}
    return {
        names[name]: Limits(int(points), float(full), float(none))
        for points, name, full, none in LIMITS.findall(text)
    }


def seconds(told: dict[str, Any]) -> str:
    """Return a sentence on the seconds that the solutions take."""
    took = [f"{s:.0f} (`{name}`)" for name, s in told["processor_seconds"].items()]
    return (
        f"To grade a right solution takes {', '.join(took[:-1])} and {took[-1]} "
        f"seconds of the processor ({told['device']})."
    )


def digits(told: dict[str, Any], asked: dict[str, Limits]) -> str:
    """Return a table: what trainings of *digits* reach, and the points for it."""
    rows = ["| | errors on held-out digits | distance |", "|---|---|---|"]
    for name in ("learns", "learns nothing"):
        cells = [f"the localization network {name}"]
        for key, shown in (("error", "{:.0%}"), ("distance", "{:.2f}")):
            values = [row[key] for row in told["digits"][name]]
            worth = [asked[key].worth(value) for value in values]
            cells.append(
                f"{between(values, shown)}: {between(worth, '{:g}')} points "
                f"of {asked[key].points}"
            )
        rows.append(f"| {' | '.join(cells)} |")
    for name, limit, way in (("all", "full", "less"), ("no", "none", "more")):
        error, distance = (getattr(asked[key], limit) for key in ("error", "distance"))
        rows.append(f"| {name} points | {error:.0%} or {way} | {distance:g} or {way} |")
    return "\n".join(rows)


def between(values: list[float], shown: str) -> str:
    """Return from where to where values go, or the one that they all are."""
    ends = [shown.format(end) for end in (min(values), max(values))]
    return " to ".join(dict.fromkeys(ends))


class GradingMeasured(SphinxDirective):
    """A sentence or a table from what was measured."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        told, notebook = (self.read(name) for name in (MEASURED, DIGITS))
        if self.arguments[0] == "seconds":
            return self.parse_text_to_nodes(seconds(told))
        return self.parse_text_to_nodes(digits(told, limits(notebook)))

    def read(self, name: str) -> dict[str, Any]:
        """Return a file's content, and rebuild the page when it changes."""
        self.env.note_dependency(name)
        path = Path(self.env.srcdir) / name
        return json.loads(path.read_text(encoding="utf-8"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("grading-measured", GradingMeasured)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
