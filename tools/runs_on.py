"""Sphinx directives for where the package and the chapters have run, and how it went.

`runs-on` makes a table of the files that `make matrix`, `make colab` and `make cuda`
leave under book/runs_on, and a list of what failed; `runs-on-notebooks` a table of the
seconds and the memory that the notebooks took in one of these rooms. A room without a
file has not been run, and the table says so.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from stn_tutorial import __version__

FOLDER = "book/runs_on"
# The rooms, as the table names them, and what leaves their files.
ROOMS = {
    "oldest": "Oldest versions",
    "pinned": "Pinned versions",
    "newest": "Newest versions",
    "colab": "Like Colab",
    "cuda": "On a GPU (CUDA)",
}
HEADS = ("Room", "Python", "torch", "NumPy", "Device", "Run", "Tests", "Notebooks")
WIDTHS = (18, 8, 12, 8, 22, 12, 18, 16)


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what the files tell, by the name of the room."""
    paths = {name: folder / f"{name}.json" for name in ROOMS}
    return {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.is_file()
    }


def row_of(name: str, about: dict[str, Any] | None) -> list[str]:
    """Return the cells of a room's row.

    Args:
        name: of the room.
        about: what its file tells, if there is one.
    """
    if about is None:
        return [ROOMS[name], *[""] * 4, f"not run with {__version__}", "", ""]
    if "not_run" in about:
        return [ROOMS[name], *[""] * 4, f"not run: {about['not_run']}", "", ""]
    versions = about.get("versions", {})
    when = f"{datetime.fromisoformat(about['finished']):%Y-%m-%d}"
    if about["version"] != __version__:
        when += f", version {about['version']}"
    return [
        ROOMS[name],
        *(versions.get(key, "") for key in ("python", "torch", "numpy")),
        about["device"],
        when,
        tests_of(about.get("tests")),
        notebooks_of(about["notebooks"]),
    ]


def tests_of(tests: dict[str, Any] | None) -> str:
    """Return how many tests passed, failed and were skipped."""
    if not tests:
        return "none"
    if "problem" in tests:
        return tests["problem"]
    counted = f"{tests['which']}: {tests['passed']:,} passed, {tests['failed']} failed"
    return f"{counted}, {tests['skipped']} skipped"


def notebooks_of(runs: list[dict[str, Any]]) -> str:
    """Return how many notebooks passed and failed."""
    bad = sum(bool(run["problems"]) for run in runs)
    return f"{len(runs) - bad} passed, {bad} failed"


def notebook_row(run: dict[str, Any]) -> list[str]:
    """Return the cells of a notebook's row."""
    folder, _, name = run["notebook"].rpartition("/")
    edition = ", student edition" if folder == "student" else ""
    return [
        Path(name).stem.replace("_", " ") + edition,
        run["finished"][:10],
        f"{run['seconds']:.0f}",
        f"{run['seconds_to_set_up']:.0f}",
        f"{run['megabytes']:,}",
        "failed" if run["problems"] else "passed",
    ]


def failures_of(about: dict[str, Any]) -> list[str]:
    """Return one line for each test and each notebook that failed."""
    names = [str(name) for name in about.get("tests", {}).get("failures", [])]
    cases = Counter(name.partition("[")[0] for name in names)
    failed = [name + (f" ({n} cases)" if n > 1 else "") for name, n in cases.items()]
    for run in about.get("notebooks", []):
        failed += [f"{run['notebook']}: {problem}" for problem in run["problems"]]
    return failed


def table_of(heads: tuple[str, ...], widths: tuple[int, ...], rows: list[list[str]]):
    """Return a table of texts."""

    def line(texts: list[str]) -> nodes.row:
        paragraphs = [nodes.paragraph("", text) for text in texts]
        return nodes.row("", *[nodes.entry("", each) for each in paragraphs])

    group = nodes.tgroup(cols=len(heads))
    group += [nodes.colspec(colwidth=width) for width in widths]
    group += nodes.thead("", line(list(heads)))
    group += nodes.tbody("", *map(line, rows))
    return nodes.table("", group, classes=["run-status"])


class RunsOn(SphinxDirective):
    """A table of the rooms, and what failed in each."""

    def run(self) -> list[nodes.Node]:
        rooms = self.read()
        rows = [row_of(name, rooms.get(name)) for name in ROOMS]
        found: list[nodes.Node] = [table_of(HEADS, WIDTHS, rows)]
        for name, about in rooms.items():
            if failed := failures_of(about):
                items = [nodes.list_item("", nodes.paragraph("", t)) for t in failed]
                found.append(nodes.paragraph("", f"{ROOMS[name]}: what failed"))
                found.append(nodes.bullet_list("", *items))
        return found

    def read(self) -> dict[str, dict[str, Any]]:
        """Return what the files tell, and rebuild the page when one changes."""
        folder = Path(self.env.srcdir) / FOLDER
        for name in ROOMS:
            self.env.note_dependency(str(folder / f"{name}.json"))
        return read(folder)


class RunsOnNotebooks(RunsOn):
    """A table of the notebooks that ran in a room: seconds, memory."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        about = self.read().get(self.arguments[0])
        if not about or "notebooks" not in about:
            return [nodes.paragraph("", "There is no such run yet.")]
        heads = ("Notebook", "Run", "Seconds", "to set up", "MB", "")
        rows = [notebook_row(run) for run in about["notebooks"]]
        return [table_of(heads, (40, 12, 10, 10, 10, 10), rows)]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("runs-on", RunsOn)
    app.add_directive("runs-on-notebooks", RunsOnNotebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
