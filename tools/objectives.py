"""What a chapter promises, and which of its questions test it.

The cell with a chapter's objectives has a short name for each of them in its metadata
(``objectives``), in their order. A cell with an exercise or a question in the text says
by these names what it tests (``tests``), and the cell of the closing quiz says so for
each of its questions.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

OBJECTIVE = re.compile(r"^- (.+?)[;.]?$", re.MULTILINE)
EXERCISE = re.compile(
    r"\{exercise\} (?P<title>.+?) · (?P<level>[●○]+) · (?P<minutes>\d+) minutes"
    r"\n:label: (?P<label>[\w-]+)"
)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
KINDS = {"# @title Predict": "predict", "# @title Check yourself": "quiz"}


@dataclass(frozen=True)
class Exercise:
    """An exercise: what it is called, referred to and said to take."""

    title: str
    label: str
    minutes: int


@dataclass
class Question:
    """Something that tests objectives."""

    kind: str  # "exercise", "predict" or "quiz"
    where: str  # the exercise's label, or the section in which the question stands
    number: int  # in its quiz, from 1
    tests: list[str]


@dataclass
class Objective:
    """A line of *You will*, and what tests it."""

    text: str
    name: str
    tested_by: list[Question] = field(default_factory=list)


def read_cells(path: Path) -> list[dict]:
    """Return a notebook's cells, each with its source as one text."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells]


def exercises_of(cells: list[dict]) -> list[Exercise]:
    """Return the exercises of a notebook in their order."""
    text = "\n".join(c["source"] for c in cells if c["cell_type"] == "markdown")
    return [
        Exercise(found["title"], found["label"], int(found["minutes"]))
        for found in EXERCISE.finditer(text)
    ]


def promises_of(cells: list[dict]) -> tuple[list[str], list[str]]:
    """Return the lines of *You will* and the names that their cell gives them."""
    for cell in cells:
        promised = cell["source"].partition("**You will**")[2]
        if promised and cell["cell_type"] == "markdown":
            lines = promised.partition("**You need**")[0]
            return OBJECTIVE.findall(lines), cell["metadata"].get("objectives", [])
    return [], []


def questions_of(cells: list[dict]) -> list[Question]:
    """Return what says of itself that it tests objectives, in the notebook's order."""
    found, section = [], ""
    for cell in cells:
        source, tests = cell["source"], cell["metadata"].get("tests")
        if cell["cell_type"] == "markdown":
            if exercise := EXERCISE.search(source):
                label = exercise["label"]
                found.append(Question("exercise", label, 1, tests or []))
            for heading in HEADING.finditer(source):
                section = heading[1]
            continue
        kind = next((KINDS[k] for k in KINDS if source.startswith(k)), None)
        if kind == "predict":
            found.append(Question(kind, section, 1, tests or []))
        elif kind == "quiz":
            for number, each in enumerate(tests or [], start=1):
                found.append(Question(kind, section, number, each))
    return found


def objectives_of(path: Path) -> list[Objective]:
    """Return what a notebook promises, with the questions that test it."""
    cells = read_cells(path)
    found = [Objective(*each) for each in zip(*promises_of(cells), strict=True)]
    for question in questions_of(cells):
        for objective in found:
            if objective.name in question.tests:
                objective.tested_by.append(question)
    return found
