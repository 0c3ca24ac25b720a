"""Run every test and every notebook unchanged on a GPU, and write a report of it.

All of it runs at once, as many notebooks beside the tests as there are cores for, and
is stopped after ten minutes: what has not ended by then counts as failed. The report
goes to book/runs_on, and the book's page *Runs on* shows it. ``--device cpu`` is the
same without a GPU, to try it: that report goes to _build.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path

import matrix
import rooms
import stamps
import torch
from run_tests import OF_THE_PACKAGE

SECONDS = 600
THREADS = 2  # of each process: a GPU does the work
NEEDED = 4  # cores for the tests, which pytest-xdist divides among processes


def environment(device: str) -> dict[str, str]:
    """Return the environment of the processes.

    Args:
        device: cuda or cpu, on which no GPU is to be seen.
    """
    variables = {"PYTHONPATH": str(stamps.ROOT), "OMP_NUM_THREADS": str(THREADS)}
    if device == "cpu":
        variables["CUDA_VISIBLE_DEVICES"] = ""
    return rooms.clean(**variables)


async def run_in_time(path: Path, variables: dict[str, str], ends: float) -> rooms.Run:
    """Run a notebook, or say that there was no time left for it.

    Args:
        path: of the notebook.
        variables: of its kernel.
        ends: when it must have ended, by `time.monotonic`.
    """
    try:
        # What a GPU computes differs in the last digits: outputs that are printed are
        # held to the stored ones all the same, since they are rounded.
        running = rooms.run_alone(path, Path(sys.executable), variables)
        return await asyncio.wait_for(running, max(1.0, ends - time.monotonic()))
    except asyncio.TimeoutError:
        name = path.relative_to(stamps.ROOT).as_posix()
        return rooms.Run(name, problems=[f"it did not end within {SECONDS} seconds"])


def run(device: str, only: str, tests: list[str], jobs: int) -> dict:
    """Run tests and notebooks side by side, and return what the report tells.

    Args:
        device: cuda or cpu.
        only: how the names of the notebooks begin.
        tests: arguments of pytest; none runs no tests.
        jobs: notebooks at once.
    """
    variables, ends = environment(device), time.monotonic() + SECONDS
    found: dict = {}

    def test() -> None:
        parallel = ["-n", str(NEEDED), "--dist", "worksteal"]
        python = Path(sys.executable)
        found.update(matrix.run_tests(python, tests + parallel, variables, SECONDS))

    beside = threading.Thread(target=test)
    if tests:
        beside.start()
    paths = [path for path in stamps.notebook_paths() if path.name.startswith(only)]
    paths.sort(key=stamps.seconds_taken, reverse=True)
    runs = asyncio.run(
        rooms.run_all(paths, jobs, lambda path: run_in_time(path, variables, ends))
    )
    if tests:
        beside.join()
    about = {"row": "cuda", "asked": [f"device={device}"], **rooms.summary(runs)}
    return about | ({"tests": {"which": "the package", **found}} if tests else {})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--only", default="", help="a chapter's number, e.g. 03")
    parser.add_argument("--no-tests", action="store_true", help="notebooks alone")
    parser.add_argument("--jobs", type=int, help="notebooks at once")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("No CUDA device is to be had here: --device cpu tries it without.")
        return 2
    jobs = options.jobs or max(1, ((os.cpu_count() or 1) - NEEDED) // THREADS)
    tests = [] if options.no_tests else OF_THE_PACKAGE
    about = run(options.device, options.only, tests, jobs)
    if options.device == "cuda" and not options.only:
        path = rooms.record("cuda", about)
    else:
        path = stamps.ROOT / "_build" / "cuda.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(about, indent=1), encoding="utf-8")
    bad = sum(bool(done["problems"]) for done in about["notebooks"])
    good = len(about["notebooks"]) - bad
    print(f"Tests: {json.dumps(about.get('tests', 'not run'))}")
    print(f"{good} notebooks passed, {bad} failed, on {about['device']}: {path}")
    return 1 if matrix.failed(about) else 0


if __name__ == "__main__":
    sys.exit(main())
