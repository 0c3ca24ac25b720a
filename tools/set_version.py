"""Write a new version wherever the repository states one.

The version is that of `stn_tutorial.__version__`. The set-up cells of the notebooks
install its tag, the citation names it, and the changelog's unreleased changes become
its own. `make version VERSION=1.2.3` calls this; CONTRIBUTING.md says what comes next.
"""

from __future__ import annotations

import argparse
import re
import sys
from datetime import date
from pathlib import Path

import stamps

NUMBER = r"(?:0|[1-9]\d*)"
VERSION = rf"{NUMBER}\.{NUMBER}\.{NUMBER}"
# What stands before a version in a file, and in a notebook.
STATED = {
    "stn_tutorial/__init__.py": r'(?<=^__version__ = ")',
    "CITATION.cff": r"(?<=^version: )",
}
INSTALLED = r"(?<=/stn-tutorial@v)"


def patterns(root: Path) -> dict[Path, re.Pattern[str]]:
    """Return the files that state the version, and what finds it in each."""
    before = {root / name: pattern for name, pattern in STATED.items()}
    notebooks = [*stamps.notebook_paths(root), *(root / "assignments").glob("*.ipynb")]
    before |= dict.fromkeys(notebooks, INSTALLED)
    return {path: re.compile(b + VERSION, re.MULTILINE) for path, b in before.items()}


def write(root: Path, version: str, today: str) -> None:
    """Make `version` the one that the repository states, and date its changes."""
    if not re.fullmatch(VERSION, version):
        raise ValueError(f"a version is three numbers, like 1.2.3, not {version!r}")
    heading = f"## [Unreleased]\n\n## [{version}] - {today}"
    log = root / "CHANGELOG.md"
    texts = {log: log.read_text("utf-8").replace("## [Unreleased]", heading, 1)}
    for path, pattern in patterns(root).items():
        texts[path] = pattern.sub(version, path.read_text("utf-8"))
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8", newline="\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version")
    version = parser.parse_args().version
    try:
        write(stamps.ROOT, version, date.today().isoformat())
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The version is {version}. Next: make notebooks, make test; then tag it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
