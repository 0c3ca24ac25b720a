"""Test the package and the first chapters on the oldest and the newest versions.

Each row of the matrix is an environment of its own, made under _build/matrix: Python,
torch and NumPy as old as the package allows, as they are pinned, and as new as they can
be had. The tests of the method (``--whole``: all of the package, in their long forms)
and the first chapters run in it. What came of a row goes into a file under
book/runs_on, with versions, dates and failures, and the book's page *Runs on* shows it.
A row whose versions can't be had says that it was not run, and why.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

import processes
import rooms
import stamps
from run_tests import OF_THE_PACKAGE

# Of each row: its Python, and what pip is asked for beside the package's own ranges.
ROWS = {
    "oldest": ("3.10", ["torch==2.6.*", "torchvision==0.21.*", "numpy==1.26.*"]),
    "pinned": (".".join(map(str, sys.version_info[:2])), []),
    "newest": ("3.13", ["torch", "torchvision", "numpy"]),
}
PACKAGE = [f"--editable={stamps.ROOT}[course,test]", "ipykernel"]
CHAPTERS = ("00", "01", "02")
# Tests of the method whose files are not named after one of its modules.
FURTHER = ("test_warp.py", "test_tracing.py", "test_validate.py")


def tests_of_the_method() -> list[str]:
    """Return the test files that are named after the modules of the method."""
    folder = stamps.ROOT / "tests"
    names = [f"test_{path.stem}.py" for path in stamps.ROOT.glob("stn_tutorial/*.py")]
    found = {folder / name for name in [*names, *FURTHER] if name != "test_commands.py"}
    return sorted(
        path.relative_to(stamps.ROOT).as_posix() for path in found if path.is_file()
    )


def run_tests(
    python: Path,
    what: list[str],
    environment: dict[str, str] | None = None,
    limit: float | None = None,
) -> dict:
    """Run tests, and return how many passed and which failed.

    Args:
        python: of the environment.
        what: arguments of pytest.
        environment: of the process; the default is this one's.
        limit: in seconds.
    """
    with tempfile.TemporaryDirectory() as name:
        told = Path(name) / "tests.xml"
        command = [python, "-m", "pytest", "-q", f"--junitxml={told}", *what]
        started = time.perf_counter()
        environment = environment or rooms.clean()
        try:
            ended = subprocess.run(
                command, cwd=stamps.ROOT, env=environment, timeout=limit
            )
        except subprocess.TimeoutExpired:
            return {"problem": f"pytest did not end within {limit:g} seconds"}
        seconds = round(time.perf_counter() - started)
        if not told.is_file():
            return {"problem": f"pytest ended with {ended.returncode}"}
        return counts(told) | {"seconds": seconds}


def counts(told: Path) -> dict:
    """Return how many tests of a JUnit file passed, were skipped and failed.

    Args:
        told: the file.
    """
    found: dict = {"passed": 0, "skipped": 0, "failed": 0, "failures": []}
    for case in ElementTree.parse(told).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            found["failed"] += 1
            name = f"{case.get('classname')}::{case.get('name')}"
            if name not in found["failures"]:
                found["failures"].append(name)
        else:
            found["skipped" if "skipped" in kinds else "passed"] += 1
    return found


def environment_of(row: str) -> Path:
    """Make a row's environment, or take this one, and return its Python.

    Raises:
        LookupError: if its versions can't be had here.
    """
    version, asked = ROWS[row]
    if row == "pinned":
        return Path(sys.executable)
    python, note = rooms.interpreter(version)
    if note:
        raise LookupError(note)
    folder = stamps.ROOT / "_build" / "matrix" / row
    try:
        return rooms.make_environment(folder, python, [*asked, *PACKAGE])
    except subprocess.CalledProcessError as error:
        raise LookupError("pip could not install its versions") from error


def run_row(row: str, *, whole: bool, chapters: tuple[str, ...], jobs: int) -> dict:
    """Run a row of the matrix, and return what is told of it."""
    about = {"row": row, "asked": [f"python=={ROWS[row][0]}.*", *ROWS[row][1]]}
    try:
        python = environment_of(row)
    except LookupError as error:
        return about | {"not_run": str(error), "finished": rooms.now()}
    what = OF_THE_PACKAGE if whole else [*tests_of_the_method(), "-m", "not long"]
    about["tests"] = {"which": "the package" if whole else "the method"}
    about["tests"] |= run_tests(python, what)
    paths = [p for p in stamps.notebook_paths() if p.name.startswith(chapters)]
    kernel = rooms.clean(PYTHONPATH=str(stamps.ROOT))
    runs = asyncio.run(
        rooms.run_all(paths, jobs, lambda p: rooms.run_alone(p, python, kernel))
    )
    return about | rooms.summary(runs)


def failed(about: dict) -> bool:
    """Whether anything of a row that was run failed."""
    tests = about.get("tests", {})
    problems = [
        run["problems"] for run in about.get("notebooks", []) if run["problems"]
    ]
    return bool(problems or tests.get("failed") or tests.get("problem"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=ROWS, help="one row")
    parser.add_argument(
        "--whole", action="store_true", help="all tests of the package, and long forms"
    )
    parser.add_argument("--jobs", type=int, default=1, help="chapters at once")
    options = parser.parse_args()
    processes.share_cores(options.jobs)
    os.environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    bad = []
    for row in [options.only] if options.only else ROWS:
        print(f"== {row}", flush=True)
        about = run_row(row, whole=options.whole, chapters=CHAPTERS, jobs=options.jobs)
        rooms.record(row, about)
        print(json.dumps(about.get("tests", about), indent=1))
        if failed(about):
            bad.append(row)
    print(f"{', '.join(bad)} failed" if bad else "Nothing failed.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
