"""Run every notebook as Colab does: alone, with another torch, installing the package.

Each notebook starts on a fresh machine, as far as it can see: an environment with the
versions that Colab has, and without this package. Its set-up cell installs the package
from the address that it names; git finds this checkout there, as it is. A notebook
fails if a cell does, if anything is written to stderr, warnings included, if an output
that is held to the stored one differs, if it leaves a file behind, or if torch or NumPy
are not the ones that were there before. What came of it goes to book/runs_on, and the
book's page *Runs on* shows it.

With ``--here`` the room is the environment that this runs in: Colab's own image.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import processes
import rooms
import stamps
import yaml

ROOM = stamps.ROOT / "_build" / "colab"
# What Colab had in November 2026, as far as the set-up cell can run into it.
PYTHON = "3.13"
TORCH = "2.11.*"
VERSIONS = [
    "numpy==2.1.*",
    "ipywidgets==7.7.*",
    *("accelerate", "ipykernel", "matplotlib", "safetensors", "scikit-learn", "scipy"),
]
# What a fresh machine must not hand over to the next: what the set-up cell may change.
KEPT = ("torch", "numpy")
FOLDERS = ("notebooks", "student")


def notebooks(only: str) -> list[Path]:
    """Return the notebooks and, where they have been made, the student editions.

    Args:
        only: how their names begin.

    Returns:
        Those that take longest first, so that no worker ends with a long one.
    """
    found = [
        path
        for folder in FOLDERS
        for path in (stamps.ROOT / folder).glob(f"{only}*.ipynb")
        if path.name[0].isdigit()
    ]
    return sorted(sorted(found), key=stamps.seconds_taken, reverse=True)


def address() -> str:
    """Return the address of the repository, as the book has it."""
    text = (stamps.ROOT / "_config.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["repository"]["url"]


def is_solved(path: Path) -> bool:
    """Whether a notebook is no student edition, whose exercises are still open."""
    return path.parent.name == "notebooks"


async def run(path: Path, below: Path, environment: dict[str, str]) -> rooms.Run:
    """Run a notebook on a machine of its own, and look at what it did to it.

    Args:
        path: of the notebook.
        below: the Python of the room.
        environment: of the kernel.
    """
    before = {name: rooms.digest_of(name, below) for name in KEPT}
    with tempfile.TemporaryDirectory() as name:
        machine = Path(name).resolve() / "machine"
        python = rooms.layer(machine, below)
        done = await rooms.run_alone(path, python, environment, compare=is_solved(path))
        if not str(done.told.get("package", machine)).startswith(str(machine)):
            done.problems.append("the package is not what the set-up cell installed")
        for distribution in KEPT:
            if rooms.digest_of(distribution, python) != before[distribution]:
                done.problems.append(f"the set-up cell replaces {distribution}")
    return done


async def run_here(path: Path, environment: dict[str, str]) -> rooms.Run:
    """Run a notebook in the present environment, and remove the package again."""
    python = Path(sys.executable)
    before = {name: rooms.digest_of(name, python) for name in KEPT}
    done = await rooms.run_alone(path, python, environment, compare=is_solved(path))
    for distribution in KEPT:
        if rooms.digest_of(distribution, python) != before[distribution]:
            done.problems.append(f"the set-up cell replaces {distribution}")
    remove = [python, "-m", "pip", "uninstall", "-q", "-y", "stn-tutorial"]
    subprocess.run(remove, check=True, env=environment)
    return done


def report(runs: list[rooms.Run], note: str) -> str:
    """Return what the runs came to, as a table in Markdown.

    Args:
        runs: of the notebooks.
        note: on the room.
    """
    lines = [
        "| notebook | | seconds | set-up | MB | as stored |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for done in sorted(runs, key=lambda done: done.notebook):
        lines.append(
            f"| {done.notebook} | {'failed' if done.problems else 'passed'} "
            f"| {done.seconds:.0f} | {done.seconds_to_set_up:.0f} "
            f"| {done.megabytes} | {done.checked} |"
        )
        lines += [f"| | {problem} | | | | |" for problem in done.problems]
    versions = next((d.told["versions"] for d in runs if "versions" in d.told), {})
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    cuda = next((d.told["cuda"] for d in runs if d.told.get("cuda")), "no GPU")
    passed = sum(not done.problems for done in runs)
    ended = f"{passed} passed, {len(runs) - passed} failed"
    room = ". ".join(filter(None, [note, f"{told}, {platform.system()}, {cuda}"]))
    return "\n".join([*lines, "", f"{room}.", "", ended])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a chapter's number, e.g. 03")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at once")
    parser.add_argument("--python", default="", help=f"default: Python {PYTHON}")
    parser.add_argument("--torch", default=TORCH, help=f"its version, now {TORCH}")
    parser.add_argument("--here", action="store_true", help="run in this environment")
    parser.add_argument(
        "--released", action="store_true", help="install what the forge really has"
    )
    options = parser.parse_args()
    if not (paths := notebooks(options.only)):
        parser.error(f"no notebook's name starts with {options.only!r}")
    processes.share_cores(options.jobs)
    os.environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    note = ""
    if not options.here:
        python, note = options.python, ""
        if not python:
            python, note = rooms.interpreter(PYTHON)
        room = rooms.make_environment(
            ROOM / "room", python, [f"torch=={options.torch}", *VERSIONS]
        )
    with rooms.forge(address()) as places:
        environment = rooms.clean(**({} if options.released else places))

        def in_the_room(path: Path):
            if options.here:
                return run_here(path, environment)
            return run(path, room, environment)

        jobs = 1 if options.here else options.jobs
        runs = asyncio.run(rooms.run_all(paths, jobs, in_the_room))
    about = {"row": "colab", "note": note, **rooms.summary(runs)}
    if about["versions"]:  # at least one came as far as to tell
        rooms.record_some("colab", about)
    text = report(runs, note)
    ROOM.mkdir(parents=True, exist_ok=True)
    (ROOM / "report.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}")
    return 1 if any(done.problems for done in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
