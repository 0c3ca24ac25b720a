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
# What stands before a version in each kind of file.
STATED = {
    "stn_tutorial/__init__.py": r'(?<=^__version__ = ")',
    "CITATION.cff": r"(?<=^version: )",
    "notebooks": r"(?<=/stn-tutorial@v)",
}
CHANGELOG = "CHANGELOG.md"


def pattern(name: str) -> re.Pattern[str]:
    """Return what finds the versions that a file states."""
    kind = "notebooks" if name.startswith("notebooks/") else name
    return re.compile(STATED[kind] + VERSION, re.MULTILINE)


def places(root: Path) -> list[str]:
    """Return the files that a new version changes, below the root."""
    notebooks = [f"notebooks/{path.name}" for path in stamps.notebook_paths(root)]
    return ["stn_tutorial/__init__.py", "CITATION.cff", CHANGELOG, *notebooks]


def stated(root: Path) -> set[str]:
    """Return every version that the repository states; more than one is an error."""
    found = set()
    for name in places(root):
        if name != CHANGELOG:
            versions = pattern(name).findall((root / name).read_text(encoding="utf-8"))
            if len(versions) != 1:
                raise ValueError(f"{name} should state one version, not {versions}")
            found.update(versions)
    return found


def write(root: Path, version: str, today: str) -> None:
    """Make `version` the one that the repository states, and date its changes."""
    if not re.fullmatch(VERSION, version):
        raise ValueError(f"a version is three numbers, like 1.2.3, not {version!r}")
    for name in places(root):
        path = root / name
        text = path.read_text(encoding="utf-8")
        if name == CHANGELOG:
            heading = f"## [Unreleased]\n\n## [{version}] - {today}"
            text = text.replace("## [Unreleased]", heading, 1)
        else:
            text = pattern(name).sub(version, text)
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
