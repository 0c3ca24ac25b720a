"""What code can reach: the modules it imports, and those that they import in turn.

A name that a package's ``__init__`` hands on counts as the module that it comes from:
``from stn_tutorial import sample`` reaches the sampler, and not all of the face.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path


class Module:
    """A module of a package: its file, its syntax tree, and what it imports.

    Args:
        root: the folder that holds the package.
        name: of the module, as in ``stn_tutorial.sampling``.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        base = root.joinpath(*name.split("."))
        init = base / "__init__.py"
        self.path = init if init.is_file() else base.with_suffix(".py")

    @property
    def exists(self) -> bool:
        return self.path.is_file()

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def tree(self) -> ast.Module:
        return _parse(self.text)

    def source_of(self, name: str) -> str | None:
        """The module that a name of this ``__init__`` is imported from, if it is."""
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom):
                if name in [alias.asname or alias.name for alias in node.names]:
                    return node.module
        return None


def imports(tree: ast.AST, root: Path, package: str) -> Iterator[str]:
    """Yield the modules of a package that code imports, wherever the import stands.

    Args:
        tree: of the code.
        root: the folder that holds the package.
        package: the package's name; other imports are left out.

    Yields:
        Names of modules, some perhaps several times.
    """
    for node in _import_statements(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            yield from (n for n in names if n.split(".")[0] == package)
        else:
            if (node.module or "").split(".")[0] != package:
                continue
            here = Module(root, node.module)
            for alias in node.names:
                below = Module(root, f"{node.module}.{alias.name}")
                handed_on = here.source_of(alias.name) if here.exists else None
                yield below.name if below.exists else handed_on or node.module


def reached(trees: Iterable[ast.AST], root: Path, package: str) -> list[Module]:
    """Return the modules that code reaches, itself or through others.

    Args:
        trees: of the code.
        root: the folder that holds the package.
        package: the package's name.

    Returns:
        The modules, by name.
    """
    found: dict[str, Module] = {}
    pending = [name for tree in trees for name in imports(tree, root, package)]
    while pending:
        module = Module(root, pending.pop())
        if module.exists and module.name not in found:
            found[module.name] = module
            pending += imports(module.tree, root, package)
    return [found[name] for name in sorted(found)]


@cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def _import_statements(tree: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    """The imports in code, which every chapter that reaches it asks for."""
    return [n for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))]


@cache
def digest_of_meaning(text: str) -> str:
    """Return a digest of what code does: of its syntax without what it only says.

    Comments, docstrings and the layout of the text are no part of it.
    """
    tree = ast.parse(text)  # a tree of its own: it is cut back here
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _only_says(part)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _only_says(node: ast.AST) -> bool:
    """Whether a statement is a string and nothing else."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
