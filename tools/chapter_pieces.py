"""What a chapter's executed notebook has to show elsewhere: figures, formulas, code.

Each piece is found by the name that it has in the chapter: a figure, an equation and an
exercise by its label, a function by its name, an explorable by its class, and any cell
by its id.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import dedent
from typing import Any

import nbformat

from stn_tutorial.course.quiz import Quiz

EQUATION = re.compile(r"\$\$\n((?:(?!\$\$).)*)\n\$\$ \(([\w-]+)\)", re.DOTALL)
EXERCISE = re.compile(r":::+\{exercise\} (.+)\n:label: ([\w-]+)")
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
EXPLORABLE = re.compile(r"(\w+) \(a figure to take hold of")
PLAIN, MARKDOWN = "text/plain", "text/markdown"
MAGIC = re.compile(r"^[ \t]*[%!].*$", re.MULTILINE)


@dataclass(frozen=True)
class Figure:
    """A figure of a chapter, and what is said of it.

    Attributes:
        svg: a drawing, or empty.
        png: a picture in base64, or empty.
    """

    name: str
    caption: str
    alt: str
    svg: str = ""
    png: str = ""


class Chapter:
    """The pieces of one notebook.

    Every method takes a name, and raises a `KeyError` that tells it if the chapter has
    no such piece.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notebook = nbformat.read(path, as_version=4)
        self.cells = {cell.id: cell for cell in self.notebook.cells}
        self.text = "\n\n".join(
            cell.source for cell in self.cells.values() if cell.cell_type == "markdown"
        )
        self.title = TITLE.search(self.text)[1]

    def figures(self) -> dict[str, Figure]:
        """Return the figures by their labels, in the order of the chapter."""
        found = {}
        for cell in self.cells.values():
            told = cell.metadata.get("mystnb", {})
            name = told.get("figure", {}).get("name")
            kinds = {k: v for o in _data(cell) for k, v in o.items()}
            if name and {"image/svg+xml", "image/png"} & kinds.keys():
                found[name] = Figure(
                    name,
                    " ".join(told["figure"].get("caption", "").split()),
                    told.get("image", {}).get("alt", ""),
                    kinds.get("image/svg+xml", ""),
                    kinds.get("image/png", "").strip(),
                )
        return found

    def figure(self, name: str) -> Figure:
        return self._found("figure", name, self.figures())

    def equation(self, name: str) -> str:
        """Return the TeX of an equation, without its label."""
        equations = {label: tex for tex, label in EQUATION.findall(self.text)}
        return self._found("equation", name, equations)

    def exercise(self, name: str) -> str:
        """Return the line of an exercise: title, difficulty, minutes."""
        exercises = {label: line for line, label in EXERCISE.findall(self.text)}
        return self._found("exercise", name, exercises)

    def code(self, name: str, lines: str = "") -> str:
        """Return the source of a cell, or of a function or class that is defined.

        Args:
            name: of a function or class, or the id of a cell.
            lines: such as ``2-5``: these lines alone, the first being 1.
        """
        if name in self.cells:
            return _some(self.cells[name].source, lines)
        sources = {}
        for cell in self.cells.values():
            if cell.cell_type == "code":
                sources.update(_definitions(cell.source))
        return _some(self._found("code", name, sources), lines)

    def output(self, name: str, lines: str = "") -> tuple[str, list[str]]:
        """Return what a cell printed, as text, and what it shows as Markdown."""
        cell = self._found("cell", name, self.cells)
        printed = "".join(
            output.text
            for output in cell.get("outputs", [])
            if output.output_type == "stream"
        )
        shown = [each[MARKDOWN] for each in _data(cell) if MARKDOWN in each]
        plain = [each[PLAIN] for each in _data(cell) if each.keys() == {PLAIN}]
        text = (printed or "\n".join(plain)).rstrip()
        if not text and not shown:
            raise KeyError(f"{self.path.name}: cell {name!r} has printed nothing")
        return _some(text, lines), shown

    def explorable(self, name: str) -> str:
        """Return the HTML of an explorable, by its class or its cell."""
        found: dict[str, str] = {}
        for key, cell in self.cells.items():
            for each in _data(cell):
                known = EXPLORABLE.match(each.get(PLAIN, ""))
                if known and "text/html" in each:
                    found.setdefault(known[1], each["text/html"])
                    found[key] = each["text/html"]
        return self._found("explorable", name, found)

    def quiz(self, name: str) -> list[tuple[str, list[Any]]]:
        """Return the questions of a quiz, by its cell."""
        cell = self._found("quiz", name, self.cells)
        for node in ast.walk(ast.parse(MAGIC.sub("", cell.source))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Quiz":
                return Quiz(*map(ast.literal_eval, node.args)).questions
        raise KeyError(f"{self.path.name}: cell {name!r} is no quiz")

    def _found(self, kind: str, name: str, known: dict[str, Any]) -> Any:
        if name not in known:
            raise KeyError(f"{self.path.name} has no {kind} {name!r}: {[*known]}")
        return known[name]


def picture(figure: Figure, source: str) -> str:
    """Return the element that shows a figure, whose picture is at an address."""
    return f'<img src="{source}" alt="{escape(figure.alt)}">'


def _data(cell: Any) -> list[dict[str, Any]]:
    """What a cell shows, by its kind, one entry an output."""
    return [o["data"] for o in cell.get("outputs", []) if "data" in o]


def _definitions(source: str) -> dict[str, str]:
    """The functions and classes that a cell defines, with decorators, by name."""
    tree = ast.parse(MAGIC.sub("", source))
    kinds = (ast.FunctionDef, ast.ClassDef)
    nodes = [node for node in tree.body if isinstance(node, kinds)]
    for node in nodes:  # which begin at `def` or `class`, below their decorators
        node.lineno = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return {node.name: ast.get_source_segment(source, node) for node in nodes}


def _some(text: str, lines: str) -> str:
    """Some lines of a text, such as 2-5 or 4."""
    if not lines:
        return text
    first, _, last = lines.partition("-")
    kept = text.splitlines()[int(first) - 1 : int(last or first)]
    if not kept:
        raise KeyError(f"there are no lines {lines} in {text!r}")
    return dedent("\n".join(kept))
