"""What chapters import, look up and call is there: a rename breaks none in silence."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import nbformat
import pytest
import stamps

from stn_tutorial import commands

PATHS = stamps.notebook_paths()
SCOPES = (
    *(ast.FunctionDef, ast.Lambda, ast.ListComp),
    *(ast.SetComp, ast.DictComp, ast.GeneratorExp),
)


@dataclass
class Instance:
    """What a call of a class of the package makes."""

    kind: type


def source_of(path) -> str:
    """The code of a notebook, IPython's commands aside."""
    cells = nbformat.read(path, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return re.sub(r"^( *)[%!].*$", r"\1pass", code, flags=re.MULTILINE)


def find(name: str) -> Any:
    """The module, or the attribute of one, that is named as in ``stn_tutorial.x.y``."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        parent, _, last = name.rpartition(".")
        if not parent or not name.startswith(str(error.name)):
            raise
        return getattr(find(parent), last)


def bound_in(node: ast.AST) -> set[str]:
    """The names that assignments, loops, arguments and definitions bind in a node."""
    found = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            found.add(each.id)
        elif isinstance(each, ast.arg):
            found.add(each.arg)
        elif isinstance(each, (ast.FunctionDef, ast.ClassDef)):
            found.add(each.name)
    return found


def faults(code: str) -> Iterator[str]:
    """What a chapter takes from the package that is not there."""
    known: dict[str, Any] = {}  # imported from the package, and not bound anew
    for statement in ast.parse(code).body:
        if isinstance(statement, ast.ImportFrom):
            if statement.module.split(".")[0] == "stn_tutorial":
                for alias in statement.names:
                    try:
                        item = find(f"{statement.module}.{alias.name}")
                    except (ModuleNotFoundError, AttributeError):
                        yield f"from {statement.module} import {alias.name}"
                    else:
                        known[alias.asname or alias.name] = item
        else:
            yield from _faults_in(statement, known)
            # Comprehensions and functions keep the names that they bind to themselves.
            scopes = [n for n in ast.walk(statement) if isinstance(n, SCOPES)]
            inner = set().union(*map(bound_in, scopes))
            own = {n.name for n in scopes if isinstance(n, ast.FunctionDef)}
            for name in (bound_in(statement) - inner) | own:
                known.pop(name, None)
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                if isinstance(target := statement.targets[0], ast.Name):
                    known[target.id] = _meant(statement.value, known)


def _faults_in(node: ast.AST, known: dict[str, Any]) -> Iterator[str]:
    if isinstance(node, SCOPES):
        inner = bound_in(node)
        known = {name: item for name, item in known.items() if name not in inner}
    if isinstance(node, ast.Attribute):
        owner = _meant(node.value, known)
        if isinstance(owner, (ModuleType, type)) and not hasattr(owner, node.attr):
            yield ast.unparse(node)
    if isinstance(node, ast.Call):
        yield from _faults_of_call(node, known)
    for child in ast.iter_child_nodes(node):
        yield from _faults_in(child, known)


def _faults_of_call(node: ast.Call, known: dict[str, Any]) -> Iterator[str]:
    if isinstance(node.func, ast.Attribute):
        owner = _meant(node.func.value, known)
        # An instance may have more attributes than its class, but no more methods.
        if isinstance(owner, Instance) and not hasattr(owner.kind, node.func.attr):
            yield ast.unparse(node.func)
    called = _meant(node.func, known)
    if inspect.isfunction(called) or inspect.isclass(called):
        accepted = inspect.signature(called).parameters.values()
        names = {each.name for each in accepted}
        if not any(each.kind is each.VAR_KEYWORD for each in accepted):
            for keyword in node.keywords:
                if keyword.arg is not None and keyword.arg not in names:
                    yield f"{ast.unparse(node.func)}({keyword.arg}=...)"


def _meant(node: ast.expr, known: dict[str, Any]) -> Any:
    """The part of the package that an expression is, or None."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _meant(node.value, known)
        owner = owner.kind if isinstance(owner, Instance) else owner
        return getattr(owner, node.attr, None)
    if isinstance(node, ast.Call):
        kind = _meant(node.func, known)
        return Instance(kind) if isinstance(kind, type) else None
    return None


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem[:2])
def test_what_the_code_takes_from_the_package_is_there(path):
    assert not list(faults(source_of(path)))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem[:2])
def test_what_the_text_names_of_the_package_is_there(path):
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for name in set(re.findall(r"stn_tutorial(?:\.\w+)+", text)):
        find(name)


def commands_in(path) -> list[str]:
    """What follows ``python -m stn_tutorial`` in the text of a notebook."""
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.findall(r"python -m stn_tutorial ([^`\n]+)", text)


@pytest.mark.parametrize(
    "line", sorted({line for path in PATHS for line in commands_in(path)})
)
def test_a_command_that_the_text_names_has_these_options(line, capsys):
    name, *words = shlex.split(line)
    with pytest.raises(SystemExit) as done:
        commands.main([name, "--help"])
    assert not done.value.code, name
    told = capsys.readouterr().out
    for word in words:
        if word.startswith("--"):
            assert re.search(rf"{re.escape(word)}\b(?!-)", told), word
    if words and name == "report":
        assert words[0].startswith("--") or words[0] in told


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from stn_tutorial.nowhere import x", ["from stn_tutorial.nowhere import x"]),
        ("from stn_tutorial import smaple", ["from stn_tutorial import smaple"]),
        (
            "from stn_tutorial.course import quiz\nquiz.Quiz('')\nquiz.Qiuz('')",
            ["quiz.Qiuz"],
        ),
        ("from stn_tutorial import Affine as A\nA.idenity()", ["A.idenity"]),
        (
            "from stn_tutorial import sample\nsample(1, 2, pading=3)",
            ["sample(pading=...)"],
        ),
        (
            "from stn_tutorial import coordinates as c\ndef f(x): c.base_grid(siez=x)",
            ["c.base_grid(siez=...)"],
        ),
        ("from stn_tutorial import Affine\nAffine().gird()", ["Affine().gird"]),
        ("from stn_tutorial import Affine\na = Affine()\na.gird()", ["a.gird"]),
        (
            "from stn_tutorial import Affine\nAffine().grid(size=1, parms=2)",
            ["Affine().grid(parms=...)"],
        ),
        ("from stn_tutorial import Affine\n[Affine.x for Affine in ()]", []),
        ("from stn_tutorial import Affine\ndef f(Affine): Affine.x", []),
        ("from stn_tutorial import Affine\nAffine = 1\nAffine.x", []),
        (
            "from stn_tutorial import Affine\n[Affine for Affine in ()]\nAffine.x",
            ["Affine.x"],
        ),
    ],
)
def test_what_is_not_there_is_found(code, expected):
    assert list(faults(code)) == expected
