"""Grade a folder of submitted notebooks: one CSV, and a page of feedback for each.

The folder holds a notebook for each student, or a folder for each with notebooks in it.
The CSV has a line for each file: `COLUMNS`, the points of each test, and the seed of
the random cases. Where a student hands in several notebooks of one assignment, the best
counts: it alone is in the gradebook, and the notes of all of them say so.
Every submission is graded in a process of its own, which is a copy of this one as it
was before any of them was run: see `referee` for how its tests are kept from its
answers, and `room` for its limits.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import multiprocessing.connection
import os
import re
import secrets
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
import processes
import psutil
import referee
import room
import stamps
import torch
from jinja2 import Environment, FileSystemLoader
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.preprocessors import SaveAutoGrades, SaveCells
from nbgrader.utils import determine_grade
from sqlalchemy.exc import SAWarning

import assignments

#: What must be the same after the grading as before.
TRUSTED = ("stn_tutorial", "assignments", "tools")
#: The first columns of the CSV; the file is named as in the folder of submissions.
COLUMNS = [
    *("student", "assignment", "points", "out_of"),
    *("state", "notes", "seconds", "file"),
]


@dataclass
class Submission:
    """A file that was handed in, and what became of it.

    Attributes:
        student: the name of the file or of the folder that it is in.
        path: of the file; None if there is none.
        assignment: which it is, once that is known.
        state: ``graded``, or why it is not.
        tests: of each test its name, title, points, what there were to be had, and
            what it says.
        notes: what a teacher may want to look at.
        seconds: of processor time.
        graded: the notebook with its outputs, as JSON.
        file: its path in the folder of submissions; empty if there is none.
    """

    student: str
    path: Path | None
    assignment: str = ""
    state: str = "there is no notebook"
    tests: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0
    graded: str = ""
    file: str = ""

    @property
    def points(self) -> float:
        return round(sum(test["score"] for test in self.tests), 2)


def find(folder: Path) -> Iterator[Submission]:
    """Yield what was handed in: files, and of each student's folder the notebooks."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "_")):
            continue
        if not entry.is_dir():
            yield Submission(entry.stem, entry, file=entry.name)
            continue
        found = sorted(entry.rglob("*.ipynb"))
        found = [path for path in found if ".ipynb_checkpoints" not in path.parts]
        for path in found:
            file = path.relative_to(folder).as_posix()
            yield Submission(entry.name, path, file=file)
        if not found:
            yield Submission(entry.name, None)


def grade_one(item: Submission, known: dict[str, NotebookNode], only: str, seed: int):
    """Grade a submission, in this process and a kernel, and note down what came out."""
    try:
        submitted = referee.read_submission(item.path)
        item.assignment = only or referee.assignment_of(submitted, known)
        assignment = known[item.assignment]
        referee.check_assignment(submitted, assignment)
    except referee.Unusable as error:
        item.state = str(error)
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with room.Room(Path(folder), referee.limits_of(assignment)) as place:
            graded = referee.grade(assignment, submitted, seed, place)
            item.seconds = round(place.used()[0], 1)
            item.notes = notes_on(graded, place)
    item.tests = [judged(cell) for cell in graded.cells if is_test(cell)]
    item.state, item.graded = "graded", nbformat.writes(graded)


def is_test(cell: NotebookNode) -> bool:
    """Whether a cell has points."""
    return assignments.kind(cell).endswith("test")


def judged(cell: NotebookNode) -> dict[str, Any]:
    """Return what a test says, and its points by nbgrader's rules."""
    score, most = determine_grade(cell)
    said = [output.get("evalue", output.get("text", "")) for output in cell.outputs]
    return {
        "name": cell.id,
        "title": cell.metadata.title,
        "hidden": assignments.kind(cell) == "hidden-test",
        "score": score,
        "points": most,
        "says": "\n".join(filter(None, said)).strip(),
    }


def notes_on(graded: NotebookNode, place: room.Room) -> list[str]:
    """Return what happened on the way that a teacher may want to look at."""
    notes = []
    if place.restarts:
        notes.append(f"kernel restarts: {place.restarts}")
    missing = [cell.id for cell in graded.cells if cell.metadata.get("missing")]
    if missing:
        notes.append(f"missing: {', '.join(missing)}")
    for name, words in (
        ("OutOfTime", "stopped"),
        ("KernelEnded", "ended the kernel"),
        ("NotRun", "not run"),
    ):
        ended = [
            cell.id
            for cell in graded.cells
            if any(output.get("ename") == name for output in cell.get("outputs", []))
        ]
        if ended:
            notes.append(f"{words}: {', '.join(ended)}")
    if any(out.get("name") == "grader" for c in graded.cells for out in c.outputs):
        notes.append("output cut")
    return notes


def _child(pipe: Any, item: Submission, *rest: Any) -> None:
    """The process of one submission: a failure in it is told, and is its own."""
    torch.set_num_threads(1)
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        try:
            grade_one(item, *rest)
        except Exception as error:
            item.state = f"the grading failed: {type(error).__name__}: {error}"[:500]
    pipe.send(item)
    pipe.close()


def grade_all(
    items: list[Submission],
    known: dict[str, NotebookNode],
    only: str,
    seed: int,
    jobs: int,
) -> Iterator[Submission]:
    """Grade submissions, some at a time, and yield each when it is done."""
    longest = max(_most_seconds(notebook) for notebook in known.values())
    context = multiprocessing.get_context(
        "fork" if sys.platform == "linux" else "spawn"
    )
    waiting, running = list(items), {}
    while waiting or running:
        while waiting and len(running) < jobs:
            item = waiting.pop(0)
            if item.path is None:
                yield item
                continue
            ours, theirs = context.Pipe(duplex=False)
            arguments = (theirs, item, known, only, seed)
            process = context.Process(target=_child, args=arguments)
            process.start()
            theirs.close()
            running[ours] = (item, process, time.monotonic() + longest)
        for pipe in multiprocessing.connection.wait(list(running), timeout=1):
            item, process, _ = running.pop(pipe)
            try:
                item = pipe.recv()
            except EOFError:
                item.state = "the grading ended without a result: look at the notebook"
            _end(process)
            _end_orphans([process for _, process, _ in running.values()])
            yield item
        for pipe, (item, process, until) in list(running.items()):
            if time.monotonic() > until:
                del running[pipe]
                _end(process)
                item.state = "the grading took too long"
                yield item


def _most_seconds(assignment: NotebookNode) -> float:
    limits = referee.limits_of(assignment)
    return limits.waiting * (limits.total + limits.cell) + 300


def _end(process: multiprocessing.Process) -> None:
    """End a process and all that it started."""
    process.join(5)
    if process.is_alive():
        _kill(psutil.Process(process.pid).children(recursive=True))
        process.kill()
        process.join()


def _end_orphans(running: list[multiprocessing.Process]) -> None:
    """End what a submission left behind that has ended the process that ran it."""
    known = {process.pid for process in running}
    for orphan in psutil.Process().children():
        if orphan.pid not in known:
            _kill([*orphan.children(recursive=True), orphan])


def _kill(started: Iterable[psutil.Process]) -> None:
    for each in started:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def choose(items: Iterable[Submission]) -> list[Submission]:
    """Return what counts: of each student's notebooks of an assignment, the best.

    Of equal ones it is the first by its file. Where there are several, a note is added
    to each that says how many, and whether it counts.
    """
    together: dict[tuple[str, str], list[Submission]] = {}
    for item in items:
        if item.graded:
            together.setdefault((item.assignment, item.student), []).append(item)
    chosen = []
    for same in together.values():
        best = min(same, key=lambda item: (-item.points, item.file))
        chosen.append(best)
        if len(same) == 1:
            continue
        times = "twice" if len(same) == 2 else f"{len(same)} times"
        for item in same:
            which = "this" if item is best else "another"
            item.notes.append(f"handed in {times}: {which} one counts")
    return chosen


def write_csv(path: Path, items: Iterable[Submission], seed: int) -> None:
    """Write a line for each submission, with a column for each test."""
    items = list(items)
    titles = {f"{i.assignment}: {t['name']}": None for i in items for t in i.tests}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *titles, "seed"])
        for item in items:
            of = sum(test["points"] for test in item.tests)
            scores = {f"{item.assignment}: {t['name']}": t["score"] for t in item.tests}
            line = [
                *(_cell(item.student), item.assignment, item.points, of or ""),
                *(_cell(item.state), _cell("; ".join(item.notes)), item.seconds),
                _cell(item.file),
            ]
            writer.writerow([*line, *(scores.get(title, "") for title in titles), seed])


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def write_feedback(
    folder: Path, items: Iterable[Submission], known: dict[str, NotebookNode]
) -> None:
    """Write a page for each submission, which needs no network and runs no script."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
    )
    base64 = re.compile(r"[A-Za-z0-9+/=\s]+")
    environment.tests["picture"] = lambda text: bool(base64.fullmatch(text))
    template = environment.get_template("feedback.html.j2")
    folder.mkdir(parents=True, exist_ok=True)
    for item in items:
        cells = nbformat.reads(item.graded, 4).cells if item.graded else []
        own = [cell for cell in cells if not is_test(cell)]
        title = "Not graded"
        if item.assignment in known:
            title = assignments.about(known[item.assignment])["title"]
        page = template.render(
            item=item,
            title=title,
            of=sum(test["points"] for test in item.tests),
            cells=[cell for cell in own if assignments.kind(cell) != "given"],
            today=f"{datetime.now():%Y-%m-%d %H:%M}",
        )
        name = "-".join(filter(None, (item.student, item.assignment)))
        unused = folder / f"{name}.html"
        if unused.exists():
            unused = folder / f"{name}-{secrets.token_hex(2)}.html"
        unused.write_text(page, encoding="utf-8")


def write_gradebook(
    folder: Path, items: Iterable[Submission], known: dict[str, NotebookNode]
) -> None:
    """Write nbgrader's gradebook, and the notebooks where its formgrader looks.

    It has one notebook a student and assignment: give it those that `choose` returns.
    """
    url = f"sqlite:///{folder / 'gradebook.db'}"
    # nbgrader calls the command alembic, which lies beside this Python.
    here = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([here, os.environ.get("PATH", "")])
    items = list(items)
    for name in {item.assignment for item in items}:
        said = {"notebook": name, "assignment": name, "db_url": url}
        with Gradebook(url) as gradebook:
            gradebook.update_or_create_assignment(name)
        converted = assignments.convert(known[name])
        SaveCells().preprocess(converted, {"nbgrader": said})
    # Its queries warn about sessions, which concerns nbgrader alone.
    warnings.simplefilter("ignore", SAWarning)
    for item in items:
        name, student = item.assignment, item.student
        with Gradebook(url) as gradebook:
            gradebook.update_or_create_student(student)
            gradebook.update_or_create_submission(name, student)
        said = {"notebook": name, "assignment": name, "student": student, "db_url": url}
        graded = nbformat.reads(item.graded, 4)
        SaveAutoGrades().preprocess(graded, {"nbgrader": said})
        path = folder / "autograded" / student / name / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(item.graded, encoding="utf-8")


def trusted() -> str:
    """Return a digest of the files that the grading stands on."""
    return stamps.digest_files(stamps.project_files(*TRUSTED))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("submissions", type=Path, help="the folder with what came in")
    parser.add_argument("--assignment", default="", help="the one that is asked for")
    parser.add_argument("--to", type=Path, default=stamps.ROOT / "_build" / "grades")
    parser.add_argument("--seed", type=int, help="of the random cases; default: new")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="at a time")
    options = parser.parse_args()
    known = {n: assignments.read(p) for n, p in assignments.assignment_paths().items()}
    if options.assignment and options.assignment not in known:
        parser.error(
            f"there is no assignment {options.assignment!r}: {', '.join(known)}"
        )
    if not options.submissions.is_dir():
        parser.error(f"there is no folder {options.submissions}")
    items = list(find(options.submissions))
    if not items:
        parser.error(f"nothing was handed in in {options.submissions}")
    seed = secrets.randbits(31) if options.seed is None else options.seed
    started, before = time.monotonic(), trusted()
    processes.share_cores(options.jobs)
    room.adopt_orphans()
    for notebook in known.values():
        referee.warm_up(notebook)
    print(f"{len(items)} submissions, seed {seed}", flush=True)
    if not room.without_network():
        print("This system can't take the network from a submission.", flush=True)
    done = []
    for item in grade_all(items, known, options.assignment, seed, options.jobs):
        done.append(item)
        of = sum(test["points"] for test in item.tests)
        result = f"{item.points:g}/{of:g}" if item.tests else item.state
        notes = "; ".join(item.notes)
        print(
            f"{len(done):3} {item.student:24} {item.assignment:12} {result:8} {notes}"
        )
        sys.stdout.flush()
    done.sort(key=lambda item: (item.assignment, item.student, item.file))
    counted = choose(done)
    options.to.mkdir(parents=True, exist_ok=True)
    for old in [options.to / "gradebook.db", *(options.to / "feedback").glob("*.html")]:
        old.unlink(missing_ok=True)
    write_csv(options.to / "grades.csv", done, seed)
    write_feedback(options.to / "feedback", done, known)
    write_gradebook(options.to.resolve(), counted, known)
    minutes = (time.monotonic() - started) / 60
    print(
        f"{options.to / 'grades.csv'}, {options.to / 'feedback'}: {minutes:.1f} minutes"
    )
    if trusted() != before:
        print("Files of this repository changed meanwhile: trust no grade.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
