"""Grade one submission: run a student's cells in one process, and judge in another.

The tests are those of the assignment, never the submission's. They run in this process,
the referee, in which no line of a student's code runs. The student's cells run in a
kernel (`room`). Where a test calls an answer, the referee sends the arguments to the
kernel, and gets data back (`answering`). So nothing that a cell prints, replaces or
patches reaches the code that decides, and what is right is never sent.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import answering
import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode, v4
from room import KernelEnded, Limits, OutOfTime, Room

import assignments
from stn_tutorial.course import checks
from stn_tutorial.course.checks._grading import Open, Wrong
from stn_tutorial.course.grading import shown

#: A larger file is not read; a notebook with all its figures is a tenth of it.
LARGEST = 30_000_000


#: After how many calls that did not return an answer is called no more.
PATIENCE = 2


class Unusable(Exception):
    """A file that is no submission; the message says why."""


class AnswerFailed(Exception):
    """A call of an answer did not return; the message says why."""

    of_answer = True


class Answer:
    """A student's function, in a test: calls it in the kernel.

    Args:
        room: the kernel's.
        name: of the function.
    """

    def __init__(self, room: Room, name: str) -> None:
        self.room, self.name = room, name

    def __call__(self, *arguments: Any) -> Any:
        request = {"name": self.name, "arguments": answering.encode(arguments)}
        given = ", ".join(map(shown, arguments))
        if self.room.endless[self.name] >= PATIENCE:
            raise AnswerFailed(f"{self.name} did not return in the tests before")
        try:
            reply = self.room.ask(request)
        except KernelEnded:
            self.room.endless[self.name] += 1
            reply = {"error": "it ended the kernel (a crash, an exit, too much memory)"}
        except OutOfTime as error:
            self.room.endless[self.name] += 1
            reply = {"error": f"it was {error}"}
        if "error" in reply:
            raise AnswerFailed(f"{self.name}({given}): {reply['error']}")
        try:
            return answering.decode(reply.get("value"))
        except (ValueError, RecursionError):
            raise AnswerFailed(f"{self.name}({given}) gave what is no value") from None


class Referee:
    """Judges the answers in a room by the tests of an assignment.

    Args:
        assignment: with its solutions and tests.
        room: in which the answers are.
        seed: of the random cases.
    """

    def __init__(self, assignment: NotebookNode, room: Room, seed: int) -> None:
        self.room, self.seed = room, seed
        self.answers = assignments.defined(assignment)
        self.excluded = assignments.about(assignment).get("without", [])
        self.names: dict[str, Any] = {"__name__": "__referee__"}

    def prepare(self, assignment: NotebookNode) -> None:
        """Run the cells of the assignment that its tests build on."""
        for cell in assignment.cells:
            if assignments.kind(cell) == "given":
                source = TransformerManager().transform_cell(cell.source)
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(source, cell.id, "exec"), self.names)

    def judge(self, test: NotebookNode, submitted: list[NotebookNode]) -> None:
        """Run a test, and put what it says into its outputs."""
        said = io.StringIO()
        try:
            for name in excluded_names(submitted, self.excluded):
                raise Wrong(f"the notebook uses {name}, which is not to be used here")
            tree = ast.parse(test.source)
            for name in sorted(self.answers & _loaded(tree)):
                self.names[name] = self._fetch(name)
            draw = zlib.crc32(test.id.encode()) ^ self.seed
            self.names["draw"].manual_seed(draw)
            with contextlib.redirect_stdout(said), checks.strict():
                value = _run(tree, self.names)
        except (Wrong, Open, AnswerFailed, AssertionError) as error:
            test.outputs = [_error(type(error).__name__, str(error))]
        except Exception as error:  # the answer led the test to it
            text = f"the test failed with {type(error).__name__}: {error}"
            test.outputs = [_error("Wrong", text[:1000])]
        else:
            test.outputs = [v4.new_output("stream", text=said.getvalue()[:20_000])]
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                data = {"text/plain": repr(float(value))}
                test.outputs.append(v4.new_output("execute_result", data))

    def _fetch(self, name: str) -> Any:
        """An answer: a function as what calls it, a value as itself."""
        try:
            reply = self.room.ask({"name": name})
        except (KernelEnded, OutOfTime) as error:
            raise AnswerFailed(str(error) or "the kernel ended") from None
        if "error" in reply:
            raise AnswerFailed(reply["error"])
        if reply.get("callable"):
            return Answer(self.room, name)
        try:
            return answering.decode(reply.get("value"))
        except (ValueError, RecursionError):
            raise AnswerFailed(f"{name} is not a value") from None


def read_submission(path: Path) -> NotebookNode:
    """Return a submitted notebook.

    Raises:
        Unusable: if it is none.
    """
    try:
        if path.is_symlink() or not path.is_file():
            raise Unusable("it is not a file")
        if path.stat().st_size > LARGEST:
            raise Unusable(f"the file is larger than {LARGEST // 10**6} MB")
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        for cell in notebook.cells:
            check_cell(cell)
        return notebook
    except Unusable:
        raise
    except Exception as error:
        raise Unusable(f"the file is not a notebook ({type(error).__name__})") from None


def assignment_of(submitted: NotebookNode, known: Mapping[str, NotebookNode]) -> str:
    """Return which of the known assignments a notebook is: most of its cells are.

    Raises:
        Unusable: if it is none of them.
    """
    names = {grade_id(cell) for cell in submitted.cells}
    shared = {name: len(names & cells_of(each)) for name, each in known.items()}
    best = max(shared, key=shared.__getitem__)
    said = assignments.about(submitted).get("name")
    if said in known and shared[said]:
        return said
    if not shared[best]:
        raise Unusable("the notebook is none of the assignments")
    return best


def check_assignment(submitted: NotebookNode, assignment: NotebookNode) -> None:
    """Refuse a notebook that is not the one that was asked for.

    Raises:
        Unusable: if it says that it is another, or has none of the cells.
    """
    name = assignments.about(assignment)["name"]
    said = assignments.about(submitted).get("name", name)
    if said != name:
        raise Unusable(f"the notebook is the assignment {said!r:.60}, not {name!r}")
    if not cells_of(assignment) & {grade_id(cell) for cell in submitted.cells}:
        raise Unusable(f"no cell of the assignment {name!r} is in the notebook")


def cells_of(assignment: NotebookNode) -> set[str]:
    """Return the names of an assignment's cells but for those that all have."""
    return {cell.id for cell in assignment.cells if assignments.kind(cell)} - {"setup"}


def check_cell(cell: NotebookNode) -> NotebookNode:
    """Return a cell, if it is one."""
    if not isinstance(cell.source, str) or not isinstance(cell.metadata, dict):
        raise ValueError("a cell has no text")
    return cell


def grade_id(cell: NotebookNode) -> str:
    """Return the name by which a cell of an assignment is known, or nothing."""
    said = cell.metadata.get("nbgrader")
    found = said.get("grade_id") if isinstance(said, dict) else cell.get("id")
    return found if isinstance(found, str) else ""


def assemble(assignment: NotebookNode, submitted: NotebookNode) -> list[NotebookNode]:
    """Return the cells to run: a student's own, and the assignment's as they were.

    A student's cells keep their order. What the student may not change is as the
    assignment has it, and a cell that is missing stands behind the one that it follows
    there. Of a cell that is there twice, the first counts as the assignment's.
    """
    original = {cell.id: cell for cell in assignment.cells if assignments.kind(cell)}
    cells, found = [], set()
    for cell in submitted.cells:
        name = grade_id(cell)
        if name not in original or name in found:
            if cell.cell_type == "code":
                cells.append(v4.new_code_cell(cell.source, id=f"own-{len(cells)}"))
            continue
        found.add(name)
        made = NotebookNode(json.loads(json.dumps(original[name])))
        if assignments.kind(made) == "exercise":
            made.source = cell.source
        cells.append(nbformat.from_dict(made))
    before = None
    for name, cell in original.items():
        if name not in found:
            made = nbformat.from_dict(json.loads(json.dumps(cell)))
            if assignments.kind(made) == "exercise":
                made.source = "# this cell is missing"
                made.metadata.missing = True
            at = [each.id for each in cells].index(before) + 1 if before else 0
            cells.insert(at, made)
        before = name
    return cells


def grade(
    assignment: NotebookNode, submitted: NotebookNode, seed: int, room: Room
) -> NotebookNode:
    """Run a submission in a room, and return it with outputs, and what tests say."""
    cells = assemble(assignment, submitted)
    own = [cell for cell in cells if assignments.kind(cell) in ("", "exercise")]
    referee = Referee(assignment, room, seed)
    referee.prepare(assignment)
    for cell in cells:
        if assignments.kind(cell).endswith("test"):
            referee.judge(cell, own)
        else:
            room.run(cell)
    graded = assignments.convert(v4.new_notebook(cells=cells))
    graded.metadata = assignment.metadata
    return graded


def excluded_names(cells: list[NotebookNode], excluded: list[str]) -> list[str]:
    """Return what cells use of the names that are excluded, as far as the text tells.

    Attributes and imports count, and the names of what is imported; a variable of a
    student's own may be called like one.
    """
    used: set[str] = set()
    for cell in cells:
        try:
            tree = ast.parse(TransformerManager().transform_cell(cell.source))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                used.add(node.attr)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                used |= {alias.name for alias in node.names}
                used.add(getattr(node, "module", None) or "")
            elif isinstance(node, ast.Name) and node.id in ("eval", "exec"):
                used.add(node.id)
    return [name for name in excluded if name in used]


def _loaded(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _run(tree: ast.Module, names: dict[str, Any]) -> Any:
    """Run the statements of a cell, and return the value of the last one."""
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "test", "exec"), names)
        return None
    exec(compile(ast.Module(tree.body[:-1], []), "test", "exec"), names)
    return eval(compile(ast.Expression(last.value), "test", "eval"), names)


def _error(name: str, text: str) -> NotebookNode:
    return v4.new_output(
        "error", ename=name, evalue=text, traceback=[f"{name}: {text}"]
    )


def warm_up(assignment: NotebookNode) -> None:
    """Import what the tests of an assignment import, before a submission is run."""
    for cell in assignment.cells:
        if assignments.kind(cell):
            for node in ast.parse(
                TransformerManager().transform_cell(cell.source)
            ).body:
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    exec(compile(ast.Module([node], []), cell.id, "exec"), {})


def limits_of(assignment: NotebookNode) -> Limits:
    """Return the limits that an assignment states, or the usual ones."""
    return replace(Limits(), **assignments.about(assignment).get("limits", {}))
