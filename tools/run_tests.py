"""Run the stages of the test suite, and skip those that nothing changed for.

Each stage remembers the digest of everything it depends on when it last passed, in
_build/tests.json. On a CI machine (CI is set) nothing is ever skipped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import processes
import stamps

RECORD = stamps.ROOT / "_build" / "tests.json"
# Two workers, each of which takes over from the other what is left of its work.
PYTEST = ["-m", "pytest", "--durations", "10", "-n", "2", "--dist", "worksteal"]
COMMON = ["pyproject.toml", "requirements.txt", "tests/conftest.py", "tools"]
# Pytest's arguments for all tests but those of the book, of which those of the tools
# read whatever the tools do.
OF_THE_PACKAGE = ["tests"] + [
    f"--ignore=tests/{part}" for part in ("book", "browser", "notebooks", "tools")
]
# Stage: the folders and files it depends on (none: all of the project), and commands.
STAGES = {
    "lint": (
        [],
        [
            ["-m", "ruff", "check", "."],
            ["-m", "ruff", "format", "--check", "."],
            ["-m", "codespell_lib"],
            ["-m", "mypy"],
            ["tools/check_scripts.py"],
        ],
    ),
    "unit": (
        [
            *(*COMMON, "stn_tutorial", "benchmarks", "results", "tests"),
            "book/your_own_pictures.md",
        ],
        [[*PYTEST, *OF_THE_PACKAGE]],
    ),
    "notebooks": (
        [
            *(*COMMON, "stn_tutorial", "notebooks", "results", "tests/notebooks"),
            *("_config.yml", "book", ".gitignore"),
        ],
        [
            [*PYTEST, "tests/notebooks"],
            ["tools/check_notebooks.py", "-n", "2", "--dist", "loadfile"]
            + ["--durations", "10"],
        ],
    ),
    # Rendered for the first test that needs it, beside tests that need none.
    "book": ([], [[*PYTEST, "tests/book", "tests/browser", "tests/tools"]]),
}


def stage_digest(depends_on: list[str], *, long: bool = False) -> str:
    """Return a digest of a stage's files and of the environment that it runs in."""
    surroundings = [
        stamps.digest_files(stamps.project_files(*depends_on)),
        os.environ.get("STN_TUTORIAL_MIRROR", ""),
        platform.python_version(),
        version("torch"),
        "long" if long else "",
    ]
    return hashlib.sha256("\0".join(surroundings).encode()).hexdigest()[:16]


def shorter(command: list[str]) -> list[str]:
    """A command that leaves out the tests marked as long, if it runs tests."""
    return [*command, "-m", "not long"] if command[: len(PYTEST)] == PYTEST else command


def run(command: list[str]) -> int:
    """Run a command of Python's, and return its exit code."""
    return subprocess.run([sys.executable, *command], cwd=stamps.ROOT).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="stage", help=", ".join(STAGES))
    parser.add_argument("--force", action="store_true", help="skip nothing")
    parser.add_argument("--long", action="store_true", help="long forms as well")
    options = parser.parse_args()
    if unknown := set(options.stages) - set(STAGES):
        parser.error(f"no such stage: {', '.join(sorted(unknown))}")
    RECORD.parent.mkdir(exist_ok=True)
    passed = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    processes.share_cores(2)
    failed = []
    for stage in options.stages or STAGES:
        depends_on, commands = STAGES[stage]
        digest = stage_digest(depends_on, long=options.long)
        if passed.pop(stage, None) == digest and not (
            options.force or os.environ.get("CI")
        ):
            print(f"== {stage}: unchanged since it passed", flush=True)
            passed[stage] = digest
            continue
        print(f"== {stage}", flush=True)
        RECORD.write_text(json.dumps(passed))
        started = time.perf_counter()
        # What checks style takes one core at a time, and tests take both.
        with ThreadPoolExecutor(2 if stage == "lint" else 1) as pool:
            codes = list(
                pool.map(run, commands if options.long else map(shorter, commands))
            )
        seconds = time.perf_counter() - started
        if any(codes):
            failed.append(stage)
        else:
            passed[stage] = digest
        RECORD.write_text(json.dumps(passed))
        print(f"== {stage}: {'FAILED' if any(codes) else 'passed'}, {seconds:.0f} s\n")
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
