"""Render the book from the stored outputs into _build/html, and count its pages.

Every warning is an error, references that lead nowhere included. A build whose inputs
have not changed since the last good one is skipped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import page_runtime
import slides_in_book
import stamps
import yaml
from filelock import FileLock

BUILD = stamps.ROOT / "_build"
HTML = BUILD / "html"
RECORD = BUILD / "book.json"  # the digest of the inputs of the last good build
INPUTS = [
    "CITATION.cff",
    "_config.yml",
    "_toc.yml",
    "assignments/digits.ipynb",
    "assignments/measured.json",
    "book",
    "notebooks",
    "package-lock.json",
    "pyproject.toml",
    "requirements.txt",
    "results",
    "slides",
    "stn_tutorial",
    "tools",
]


def pages_in_toc(toc: Path = stamps.ROOT / "_toc.yml") -> list[str]:
    """Return the pages that the table of contents asks for, without suffix."""

    def walk(entry: dict) -> list[str]:
        here = [entry[key] for key in ("root", "file") if key in entry]
        below = [
            page
            for key in ("parts", "chapters", "sections")
            for child in entry.get(key, [])
            for page in walk(child)
        ]
        return here + below

    return walk(yaml.safe_load(toc.read_text(encoding="utf-8")))


def missing_pages() -> list[str]:
    """Return the pages of the table of contents that are not rendered."""
    return [page for page in pages_in_toc() if not (HTML / f"{page}.html").is_file()]


def is_current(digest: str) -> bool:
    """Say whether the last good build was made from these very inputs."""
    if not RECORD.is_file() or missing_pages():
        return False
    return json.loads(RECORD.read_text(encoding="utf-8")) == {"inputs": digest}


def build(*, force: bool = False) -> str:
    """Build the book if an input changed, and return a line that says how it stands.

    Raises:
        RuntimeError: if the build warns or fails, or a page is missing.
    """
    BUILD.mkdir(exist_ok=True)
    with FileLock(BUILD / "book.lock"):
        digest = stamps.digest_files(stamps.project_files(*INPUTS))
        digest += "" if page_runtime.is_there() else ", without what npm fetches"
        state = "up to date"
        if force or not is_current(digest):
            state = "built"
            RECORD.unlink(missing_ok=True)
            render()
            RECORD.write_text(json.dumps({"inputs": digest}), encoding="utf-8")
    return f"The book is {state}: {len(pages_in_toc())} pages, {HTML / 'index.html'}"


def render() -> None:
    """Render every page afresh, so that no warning hides behind an earlier build."""
    for leftover in (HTML, BUILD / ".doctrees", BUILD / "jupyter_execute"):
        shutil.rmtree(leftover, ignore_errors=True)
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [jupyter_book, "build", ".", "-W", "-n", "--keep-going", "-q"]
    run = subprocess.run(command, cwd=stamps.ROOT)
    if run.returncode:
        raise RuntimeError("The book was not built: see the warnings above.")
    if missing := missing_pages():
        raise RuntimeError(f"Pages of _toc.yml that were not rendered: {missing}")
    slides_in_book.put(HTML)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--force", action="store_true", help="build it in any case")
    options = parser.parse_args()
    try:
        print(build(force=options.force))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
