"""Make the versions of the assignments: for students, for instructors, for nbgrader.

Each assignment is written once, with its solution, as a notebook in ``assignments/``.
The tags of its cells say what they are:

- ``given``: code that students may read and run, and not change;
- ``exercise``: an answer, its solution between ``### BEGIN SOLUTION`` and ``### END
  SOLUTION``;
- ``test``: tests its answers, for the points in its metadata;
- ``hidden-test``: the same, and students see only what it is worth.

`convert` says so in nbgrader's metadata, and nbgrader does the rest.
"""

from __future__ import annotations

import argparse
import ast
import copy
import sys
from pathlib import Path
from typing import Any

import nbformat
import stamps
from nbformat import NotebookNode
from nbgrader import preprocessors
from traitlets.config import Config

FOLDER = stamps.ROOT / "assignments"
#: What nbgrader is told about a cell, by its tag.
KINDS = {
    "given": {"grade": False, "solution": False, "locked": True},
    "exercise": {"grade": False, "solution": True, "locked": False},
    "test": {"grade": True, "solution": False, "locked": True},
    "hidden-test": {"grade": True, "solution": False, "locked": True},
}
#: What takes the place of a solution.
STUB = {"python": "...  # your answer"}


def assignment_paths(folder: Path = FOLDER) -> dict[str, Path]:
    """Return the notebooks that assignments are written in, by name."""
    return {path.stem: path for path in sorted(folder.glob("*.ipynb"))}


def about(notebook: NotebookNode) -> dict[str, Any]:
    """Return what a notebook says of the assignment that it is, or nothing."""
    found = notebook.get("metadata", {}).get("stn_tutorial", {})
    return found.get("assignment", {}) if isinstance(found, dict) else {}


def kind(cell: NotebookNode) -> str:
    """Return which of the four kinds a cell is, or nothing."""
    return next((tag for tag in cell.metadata.get("tags", []) if tag in KINDS), "")


def convert(notebook: NotebookNode) -> NotebookNode:
    """Return an assignment with nbgrader's metadata, solutions and tests in it."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if not (tag := kind(cell)):
            continue
        said = {"grade_id": cell.id, "schema_version": 3, "task": False, **KINDS[tag]}
        if said["grade"]:
            said["points"] = cell.metadata.points
        cell.metadata.nbgrader = NotebookNode(said)
        if tag == "hidden-test":
            cell.source = (
                f"# {worth(cell)}: tested when this notebook is graded\n"
                f"### BEGIN HIDDEN TESTS\n{cell.source}\n### END HIDDEN TESTS"
            )
        elif tag == "test":
            cell.source = f"# {worth(cell)}\n{cell.source}"
    return notebook


def release(notebook: NotebookNode) -> NotebookNode:
    """Return the students' version of an assignment."""
    released, resources = convert(notebook), {}
    config = Config({"ClearSolutions": {"code_stub": STUB}})
    for name in (
        *("LockCells", "ClearSolutions", "ClearOutput"),
        *("ClearHiddenTests", "ComputeChecksums", "CheckCellMetadata"),
    ):
        step = getattr(preprocessors, name)(config=config)
        released, resources = step.preprocess(released, resources)
    nbformat.validate(released)
    return released


def worth(cell: NotebookNode) -> str:
    """Return what a test is worth, and what it tests."""
    points = cell.metadata.points
    return f"{points:g} point{'s' * (points != 1)}, {cell.metadata.title}"


def defined(notebook: NotebookNode) -> set[str]:
    """Return the names that the solutions of an assignment define: the answers."""
    names: set[str] = set()
    for cell in notebook.cells:
        if kind(cell) == "exercise":
            for node in ast.parse(cell.source).body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    names.add(node.name)
                elif isinstance(node, ast.Assign):
                    stored = (
                        each for each in ast.walk(node) if isinstance(each, ast.Name)
                    )
                    names |= {n.id for n in stored if isinstance(n.ctx, ast.Store)}
    return names


def read(path: Path) -> NotebookNode:
    """Return a notebook of this repository."""
    return nbformat.read(path, as_version=4)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = stamps.ROOT / "_build" / "assignments"
    parser.add_argument("--to", type=Path, default=default, help="a folder")
    folder = parser.parse_args().to
    for name, path in assignment_paths().items():
        notebook = read(path)
        versions = {
            "release": release(notebook),
            "instructor": notebook,
            "source": convert(notebook),
        }
        for version, made in versions.items():
            target = folder / version / name / f"{name}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(made, target)
    print(
        f"{folder / 'release'}: for students\n{folder / 'instructor'}: with solutions"
    )
    print(f"{folder / 'source'}: for an nbgrader course of your own")
    return 0


if __name__ == "__main__":
    sys.exit(main())
