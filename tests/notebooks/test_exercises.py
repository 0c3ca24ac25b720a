"""Every exercise has its box, one answer with a name of its own, a check, a solution.

A grader reads an answer by its name, and finds what checks it in the stub.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, field

import pytest
import stamps

BOX = re.compile(r":::\{exercise\}.*\n:label: ex-([\w-]+)")
# The labels of chapters whose names are of two words.
CHAPTER = re.compile(r"^(coordconv-stn|[a-z]+)-")


@dataclass
class Exercise:
    """The cells from one box to the next, or to the next heading."""

    label: str
    stubs: list[dict] = field(default_factory=list)
    after: list[dict] = field(default_factory=list)

    @property
    def word(self) -> str:
        """The label's last part, as a name."""
        return CHAPTER.sub("", self.label).replace("-", "_")


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def exercises_of(cells: list[dict]) -> list[Exercise]:
    found, inside = [], False
    for cell in cells:
        markdown = cell["cell_type"] == "markdown"
        boxes = BOX.findall(cell["source"]) if markdown else []
        assert len(boxes) < 2, "one box a cell"
        if boxes:
            found.append(Exercise(boxes[0]))
        elif markdown and cell["source"].startswith("## "):
            inside = False
            continue
        inside = inside or bool(boxes)
        if "exercise" in tags(cell):
            assert inside, cell["source"]
            found[-1].stubs.append(cell)
        elif inside and found[-1].stubs and not boxes:
            found[-1].after.append(cell)
    return found


def bound(source: str) -> list[str]:
    """The names that code binds for all: by assignment, or as functions."""
    names = []
    for statement in ast.parse(re.sub(r"^\s*[%!].*", "", source, flags=re.M)).body:
        if isinstance(statement, ast.Assign):
            names += [
                n.id
                for n in ast.walk(statement)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            ]
        elif isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            names.append(statement.name)
    return names


def checked(source: str) -> list[tuple[str, str]]:
    """The checks that code calls, each with its first argument."""
    calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
    return [
        (call.func.attr, ast.unparse(call.args[0]))
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and ast.unparse(call.func.value) == "checks"
    ]


def cells_of(path) -> list[dict]:
    """The cells of a notebook, as they are stored: to validate them takes seconds."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


CELLS = {path.stem[:2]: cells_of(path) for path in stamps.notebook_paths()}
EXERCISES = {number: exercises_of(cells) for number, cells in CELLS.items()}
every_exercise = pytest.mark.parametrize(
    "exercise",
    [each for found in EXERCISES.values() for each in found],
    ids=lambda each: each.label,
)


@pytest.mark.parametrize("number", CELLS)
def test_every_box_is_found(number):
    text = "\n".join(cell["source"] for cell in CELLS[number])
    boxes = re.findall(r"\{exercise(?:-start)?\}", text)
    assert boxes and len(boxes) == len(EXERCISES[number])


@every_exercise
def test_one_stub_holds_one_answer_and_hands_it_to_one_check(exercise):
    (stub,) = exercise.stubs
    (answer,) = bound(stub["source"])
    assert [name for _, name in checked(stub["source"])] == [answer]
    function = f"def {answer}(" in stub["source"]
    assert answer.startswith("my_") if function else answer == f"answer_{exercise.word}"
    # Nothing is told on the page of a reader who has not answered.
    assert "remove-output" in tags(stub)


@every_exercise
def test_the_solution_follows_and_passes_the_same_check(exercise):
    (stub,) = exercise.stubs
    untagged = [
        cell["source"] for cell in exercise.after if "solution" not in tags(cell)
    ]
    assert not untagged, "what follows a stub is its solution, and tagged"
    code = [cell["source"] for cell in exercise.after if cell["cell_type"] == "code"]
    ((wanted, _),) = checked(stub["source"])
    assert wanted in [name for source in code for name, _ in checked(source)]


@pytest.mark.parametrize("number", CELLS)
def test_an_answer_is_bound_by_its_stub_alone(number):
    stubs = [stub["source"] for each in EXERCISES[number] for stub in each.stubs]
    answers = [name for stub in stubs for name in bound(stub)]
    code = [c["source"] for c in CELLS[number] if c["cell_type"] == "code"]
    named = [name for source in code for name in bound(source) if name in answers]
    assert named == answers and len(set(answers)) == len(answers)
