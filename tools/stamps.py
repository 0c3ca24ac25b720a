"""Digests of what a stored output was made from, and whether it is still fresh.

`make notebooks` writes a stamp into the metadata of every notebook it executes. The
stamp holds a digest of the notebook's own source, one of the package, one of the pins
and, if the notebook reads them, one of the measured results; a stored output is fresh
while all are what they were. The book's status page, the tests and `make` itself read
the same digests through this module.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAMP_KEY = "stn_tutorial"
# What editors and runs leave in a cell's metadata; none of it changes a result.
VOLATILE = {"ExecuteTime", "collapsed", "execution", "id", "outputId", "scrolled"}


def notebook_paths(root: Path = ROOT) -> list[Path]:
    """Return the chapters' notebooks in reading order."""
    return sorted((root / "notebooks").glob("[0-9]*.ipynb"))


def project_files(*folders: str, root: Path = ROOT) -> list[Path]:
    """Return the files git tracks or would track, below `folders` or everywhere.

    Outside a git checkout (an unpacked archive) every file counts that no hidden or
    generated folder holds.
    """
    command = ["git", "ls-files", "-coz", "--exclude-standard", "--", *folders]
    listing = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if listing.returncode == 0:
        names = {root / name for name in listing.stdout.split("\0") if name}
        return sorted(path for path in names if path.is_file())
    generated = {".git", ".venv", "_build", "__pycache__", "dist"}
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


def digest_notebook(notebook: dict) -> str:
    """Return the digest of a notebook's cells: types, sources, lasting metadata."""
    cells = []
    for cell in notebook["cells"]:
        source = cell["source"]
        source = source if isinstance(source, str) else "".join(source)
        kept = {k: v for k, v in cell["metadata"].items() if k not in VOLATILE}
        cells.append([cell["cell_type"], source.replace("\r\n", "\n"), kept])
    text = json.dumps(cells, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def current_digest(notebook: dict, root: Path = ROOT) -> dict[str, str]:
    """Return the digests that a stamp made now would hold."""
    package = sorted((root / "stn_tutorial").rglob("*.py"))
    digest = {
        "notebook": digest_notebook(notebook),
        "package": digest_files(package, root),
        "pins": digest_files([root / "requirements.txt"], root),
    }
    if any("../results" in "".join(cell["source"]) for cell in notebook["cells"]):
        results = sorted((root / "results").rglob("*.json"))
        digest["results"] = digest_files(results, root)
    return digest


def freshness(notebook: dict, root: Path = ROOT) -> str:
    """Say how a notebook's stored outputs stand to its sources.

    Returns:
        ``"fresh"``, ``"never run"``, or ``"stale: the notebook, the package changed"``
        with what changed since the run.
    """
    stamp = notebook["metadata"].get(STAMP_KEY)
    if not stamp:
        return "never run"
    now, then = current_digest(notebook, root), stamp["digest"]
    changed = [f"the {part}" for part in now if now[part] != then.get(part)]
    return f"stale: {', '.join(changed)} changed" if changed else "fresh"
