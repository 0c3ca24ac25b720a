"""Digests of what a stored output was made from, and whether it is still fresh.

`make notebooks` writes a stamp into the metadata of every notebook it executes. The
stamp holds a digest of the notebook's own code, one of the modules that it reaches, one
of the pins of what it may import and, if it reads them, one of the measured results and
weights; a stored output is fresh while all are what they were. Prose, comments of the
package and docstrings change no output, and make nothing stale. The book's status page,
the tests and `make` itself read the same digests through this module.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import reach
import tomllib

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "stn_tutorial"
STAMP_KEY = "stn_tutorial"


def notebook_paths(root: Path = ROOT) -> list[Path]:
    """Return the chapters' notebooks in reading order."""
    return sorted((root / "notebooks").glob("[0-9]*.ipynb"))


def project_files(*folders: str, root: Path = ROOT) -> list[Path]:
    """Return the files git tracks or would track, below `folders` or everywhere.

    Outside a git checkout of its own (an unpacked archive, wherever it lies) every file
    counts that no hidden or generated folder holds.
    """
    if (root / ".git").exists():
        command = ["git", "ls-files", "-coz", "--exclude-standard", "--", *folders]
        listing = subprocess.run(
            command, cwd=root, capture_output=True, text=True, check=True
        )
        names = {root / name for name in listing.stdout.split("\0") if name}
        return sorted(path for path in names if path.is_file())
    generated = {".git", ".venv", "_build", "__pycache__", "dist", "node_modules"}
    generated |= {"runs", "student"}
    starts = [root / folder for folder in folders] or [root]
    found = [path for start in starts for path in [start, *start.rglob("*")]]
    return sorted(
        path
        for path in found
        if path.is_file() and not generated & set(path.relative_to(root).parts)
    )


def digest_files(paths: Iterable[Path], root: Path = ROOT) -> str:
    """Return one digest of files and their names, whatever their line endings."""
    total = hashlib.sha256()
    for path in paths:
        content = path.read_bytes().replace(b"\r\n", b"\n")
        total.update(path.relative_to(root).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()[:16]


def seconds_taken(path: Path) -> float:
    """Return the seconds that a notebook ran for its stored outputs, 0 without any."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return notebook["metadata"].get(STAMP_KEY, {}).get("seconds", 0.0)


def code_of(notebook: dict) -> list[str]:
    """Return the sources of a notebook's code cells."""
    sources = [c["source"] for c in notebook["cells"] if c["cell_type"] == "code"]
    joined = (s if isinstance(s, str) else "".join(s) for s in sources)
    return [source.replace("\r\n", "\n") for source in joined]


def digest_notebook(notebook: dict) -> str:
    """Return the digest of a notebook's code, cell by cell."""
    text = json.dumps(code_of(notebook), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def modules_of(notebook: dict, root: Path = ROOT) -> list[reach.Module]:
    """Return the modules of the package that a notebook reaches."""
    code = code_of(notebook)
    # Magics and shell commands are no Python.
    lines = ("" if re.match(r"\s*[%!]", x) else x for x in "\n".join(code).split("\n"))
    trees = [ast.parse("\n".join(lines))]
    if any(re.search(rf"-m\W+{PACKAGE}\b", source) for source in code):
        trees.append(ast.parse(f"import {PACKAGE}.__main__"))
    return reach.reached(trees, root, PACKAGE)


def digest_modules(notebook: dict, root: Path = ROOT) -> str:
    """Return one digest of the modules that a notebook reaches.

    A notebook that prints source code depends on its text, not on its meaning alone.
    """
    modules = modules_of(notebook, root)
    if any("getsource" in source for source in code_of(notebook)):
        return digest_files([module.path for module in modules], root)
    parts = [f"{each.name} {reach.digest_of_meaning(each.text)}" for each in modules]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def digest_pins(root: Path = ROOT) -> str:
    """Return the digest of the pins of all that the package and its chapters import."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = project["project"]["dependencies"]
    wanted += project["project"].get("optional-dependencies", {}).get("course", [])
    names = {re.match(r"[\w.-]+", requirement)[0].lower() for requirement in wanted}
    text = (root / "requirements.txt").read_text(encoding="utf-8")
    pins = re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)
    kept = sorted(f"{name}=={version}" for name, version in pins if name in names)
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:16]


def results_of(notebook: dict, root: Path = ROOT) -> list[Path]:
    """Return the result files that a notebook reads: of the folders that it names."""
    code = "\n".join(code_of(notebook))
    if not re.search(r"\bresults_folder\b|\.\./results\b", code):
        return []
    folders = [path.name for path in (root / "results").iterdir() if path.is_dir()]
    named = [name for name in folders if re.search(rf"\b{name}\b", code)] or folders
    if not named:
        return []  # of no folder, `project_files` would return all of the project
    return project_files(*(f"results/{name}" for name in named), root=root)


def current_digest(notebook: dict, root: Path = ROOT) -> dict[str, str]:
    """Return the digests that a stamp made now would hold."""
    digest = {
        "code": digest_notebook(notebook),
        "modules": digest_modules(notebook, root),
        "pins": digest_pins(root),
    }
    if results := results_of(notebook, root):
        digest["results"] = digest_files(results, root)
    return digest


def freshness(notebook: dict, root: Path = ROOT) -> str:
    """Say how a notebook's stored outputs stand to its sources.

    Returns:
        ``"fresh"``, ``"never run"``, or ``"stale: the code, the modules changed"``
        with what changed since the run.
    """
    stamp = notebook["metadata"].get(STAMP_KEY)
    if not stamp:
        return "never run"
    now, then = current_digest(notebook, root), stamp["digest"]
    changed = [f"the {part}" for part in now if now[part] != then.get(part)]
    return f"stale: {', '.join(changed)} changed" if changed else "fresh"
