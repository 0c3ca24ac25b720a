"""Execute copies of the notebooks as a reader does who has nothing but the package.

Each copy lies alone in an empty folder, and imports the package from a wheel that is
built here. nbval executes it and compares the results of the cells that are held to
them. Arguments that this command does not know go to pytest, such as ``-n 2``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import kernels
import processes
import stamps


def install_package(folder: Path) -> dict[str, str]:
    """Build the package's wheel and unpack it, which is all of its installation.

    Args:
        folder: where to.

    Returns:
        The environment of a process that imports the package from there.
    """
    with tempfile.TemporaryDirectory() as built:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
        command += ["-d", built]
        subprocess.run(command, cwd=stamps.ROOT, check=True, capture_output=True)
        (wheel,) = Path(built).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return {**os.environ, "PYTHONPATH": str(folder)}


def copy_notebooks(folder: Path, only: str = "") -> list[Path]:
    """Copy each notebook into an empty folder of its own.

    Those that took longest are first, so that no worker ends with a long one.

    Args:
        folder: of these folders.
        only: how the names of the notebooks to copy begin.

    Returns:
        The copies.
    """
    copies = []
    paths = sorted(stamps.notebook_paths(), key=stamps.seconds_taken, reverse=True)
    for path in paths:
        if path.name.startswith(only):
            (folder / path.stem).mkdir(parents=True)
            copies.append(Path(shutil.copy(path, folder / path.stem)))
    return copies


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a chapter's number, e.g. 03")
    options, others = parser.parse_known_args()
    processes.share_cores(2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = install_package(folder / "package")
        copies = copy_notebooks(folder / "notebooks", options.only)
        if not copies:
            parser.error(f"no notebook's name starts with {options.only!r}")
        command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env"]
        command += ["--nbval-cell-timeout", str(kernels.SECONDS_OF_A_CELL), *others]
        names = [str(path.relative_to(folder)) for path in copies]
        return subprocess.run(command + names, cwd=folder, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
