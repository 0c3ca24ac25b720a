"""Submissions to grade: right ones, wrong ones, and some that mean harm.

Each has a name, the assignment, how its notebook is made from the students' version,
the points that it deserves, and a word that the notes must have.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from nbformat import NotebookNode, v4

import assignments

KNOWN = {n: assignments.read(p) for n, p in assignments.assignment_paths().items()}


@dataclass(frozen=True)
class Case:
    """A submission and the points that it deserves, or from which to which."""

    assignment: str
    make: Callable[[], NotebookNode]
    least: float
    most: float
    note: str = ""


def unsolved(name: str) -> NotebookNode:
    """What students get."""
    return assignments.release(KNOWN[name])


def solved(name: str) -> NotebookNode:
    """What students get, with every answer right."""
    notebook = unsolved(name)
    sources = {cell.id: cell.source for cell in KNOWN[name].cells}
    for cell in notebook.cells:
        if assignments.kind(cell) == "exercise":
            cell.source = sources[cell.id]
    return notebook


def changed(name: str, cell: str, old: str, new: str) -> NotebookNode:
    """A right solution, with another text in one of its cells."""
    notebook = solved(name)
    (found,) = [each for each in notebook.cells if each.id == cell]
    assert old in found.source
    found.source = found.source.replace(old, new)
    return notebook


def added(notebook: NotebookNode, after: str, source: str) -> NotebookNode:
    """A notebook with one more cell."""
    index = [cell.id for cell in notebook.cells].index(after)
    notebook.cells.insert(index + 1, v4.new_code_cell(source))
    return notebook


def without(
    notebook: NotebookNode, drop: Callable[[NotebookNode], bool]
) -> NotebookNode:
    """A notebook without some of its cells."""
    notebook.cells = [cell for cell in notebook.cells if not drop(cell)]
    return notebook


def tests_edited() -> NotebookNode:
    notebook = unsolved("sampler")
    for cell in notebook.cells:
        if assignments.kind(cell).endswith("test"):
            cell.source = "20.0"
            cell.metadata.points = cell.metadata.nbgrader.points = 1000
    return notebook


def answered_twice() -> NotebookNode:
    notebook = solved("sampler")
    (first,) = [cell for cell in notebook.cells if cell.id == "slopes"]
    second = copy.deepcopy(first)
    second.id, second.source = "again", "x = 1"
    notebook.cells.append(second)
    return notebook


OVERWRITES = """
import builtins, sys, torch
import stn_tutorial.course.grading
import stn_tutorial.course.checks._grading

for module in list(sys.modules.values()):
    for name in ("graded_on", "compare", "partial", "is_open"):
        if hasattr(module, name):
            setattr(module, name, lambda *a, **k: 20.0)
graded_on = partial = lambda *a, **k: 20.0
torch.allclose = torch.equal = torch.isclose = lambda *a, **k: torch.tensor(True)
sys.exit = lambda *a: None
builtins.AssertionError = builtins.Exception


class Anything:
    def __eq__(self, other):
        return True

    def __call__(self, *arguments):
        return self


sample_bilinear = slopes = image_gradient = theta_gradient = Anything()
"""
PATCHES = """
import stn_tutorial, torch
import torch.nn.functional as F

F.grid_sample = lambda image, *a, **k: image.new_zeros(1, 1, 1, 1).expand(1, 1, 1, 1)
torch.rand = torch.zeros
"""
FORGES = """
from IPython.display import display, publish_display_data
import threading, time

print("Correct, on 5 cases.")
display({"text/plain": "20.0"}, raw=True)


def flood():
    while True:
        publish_display_data(
            {"application/vnd.stn-tutorial.answer": '{"value": true, "callable": true}'}
        )
        time.sleep(0.05)


threading.Thread(target=flood, daemon=True).start()
20.0
"""
STUBBORN = """
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""
FLOOD = "print('x' * 43_000_000)\nfor i in range(100_000):\n    print('line', i)"
CHILDREN = """
import subprocess

for _ in range(3):
    subprocess.Popen(["setsid", "sleep", "4321"], start_new_session=True)
"""
HOG = "hog = [torch.ones(10**9) for _ in range(100)]"
CALLS = "    corner = points.floor()"
ADDS = """gradient.index_add_(0, (y * width + x)[inside], (g * weight)[inside])"""
ASSIGNS = "gradient[(y * width + x)[inside]] = (g * weight)[inside]"


def in_sampler(after: str, source: str) -> Callable[[], NotebookNode]:
    """A right sampler, with one more cell."""
    return lambda: added(solved("sampler"), after, source)


def in_slopes(line: str) -> Callable[[], NotebookNode]:
    """A right sampler, whose slopes (10 points with theta's) begin with a line."""
    return lambda: changed("sampler", "slopes", CALLS, f"    {line}\n{CALLS}")


#: By student. Of the sampler, 5 points are for samples, 5 for slopes, 5 for the image's
#: gradient, and 5 for theta's, which needs the slopes.
CASES = {
    "right": Case("sampler", lambda: solved("sampler"), 20, 20),
    "nothing-done": Case("sampler", lambda: unsolved("sampler"), 0, 0),
    "a-and-b-swapped": Case(
        "sampler",
        lambda: changed(
            "sampler", "sample-bilinear", "a, b = (points", "b, a = (points"
        ),
        16,
        16,
    ),
    "edge-repeated": Case(
        "sampler",
        lambda: changed("sampler", "sample-bilinear", " * inside", ""),
        11,
        13,
    ),
    "assigns": Case(
        "sampler",
        lambda: changed("sampler", "image-gradient", ADDS, ASSIGNS),
        15,
        18,
    ),
    "raises": Case("sampler", in_slopes("raise ValueError('no idea')"), 10, 10),
    "loops": Case(
        "sampler", in_sampler("slopes", "while True:\n    pass"), 20, 20, "stop"
    ),
    "loops-stubbornly": Case("sampler", in_sampler("slopes", STUBBORN), 15, 20, "stop"),
    "loops-in-a-call": Case("sampler", in_slopes("while True: pass"), 10, 10),
    "sleeps": Case(
        "sampler", in_sampler("slopes", "import time\ntime.sleep(9999)"), 20, 20, "stop"
    ),
    "prints-43-MB": Case("sampler", in_sampler("setup", FLOOD), 20, 20, "output cut"),
    "ends-kernel": Case(
        "sampler", in_sampler("slopes", "import os\nos._exit(1)"), 20, 20, "ended"
    ),
    "crashes-in-a-call": Case(
        "sampler", in_slopes("import ctypes; ctypes.string_at(0)"), 10, 10, "restarts"
    ),
    "hogs-memory": Case("sampler", in_sampler("setup", HOG), 20, 20),
    "leaves-children": Case("sampler", in_sampler("setup", CHILDREN), 20, 20),
    "quits": Case("sampler", in_sampler("slopes", "quit()"), 20, 20),
    "exits": Case("sampler", in_sampler("slopes", "raise SystemExit"), 20, 20),
    "prints-Correct": Case(
        "sampler", lambda: added(unsolved("sampler"), "theta-gradient", FORGES), 0, 0
    ),
    "overwrites-checks": Case(
        "sampler",
        lambda: added(unsolved("sampler"), "theta-gradient", OVERWRITES),
        0,
        0,
    ),
    "patches-torch": Case(
        "sampler", lambda: added(unsolved("sampler"), "theta-gradient", PATCHES), 0, 0
    ),
    "edits-tests": Case("sampler", tests_edited, 0, 0),
    "deletes-tests": Case(
        "sampler",
        lambda: without(
            solved("sampler"), lambda cell: assignments.kind(cell).endswith("test")
        ),
        20,
        20,
    ),
    "misses-cells": Case(
        "sampler",
        lambda: without(solved("sampler"), lambda c: c.id in ("slopes", "by-torch")),
        10,
        10,
        "missing",
    ),
    "answers-twice": Case("sampler", answered_twice, 20, 20),
    "uses-grid-sample": Case(
        "sampler",
        lambda: added(
            solved("sampler"), "setup", "from torch.nn.functional import grid_sample"
        ),
        0,
        0,
    ),
    "diagnosis": Case("diagnosis", lambda: solved("diagnosis"), 20, 20),
    "diagnosis-half": Case(
        "diagnosis",
        lambda: changed("diagnosis", "diagnosis", '2: "step"', '2: "start"'),
        19,
        19,
    ),
    "no-rule": Case(
        "diagnosis",
        lambda: changed(
            "diagnosis", "diagnose", "    if", "    return 'healthy'\n    if"
        ),
        12,
        14,
    ),
    "digits": Case("digits", lambda: solved("digits"), 20, 20),
    "digits-untrained": Case(
        "digits",
        lambda: changed("digits", "training", "[0.006, 0.003]", "[0.006, 1e-12]"),
        8,
        9,
    ),
}
#: Ends the process that grades it, and goes on: a teacher has to look at it.
KILLS = """
import os, signal, subprocess

subprocess.Popen(["setsid", "sleep", "4321"])
os.kill(os.getppid(), signal.SIGKILL)
"""
#: Files that are no submission, and a word of why.
FILES = {
    "not-json.ipynb": (b"this is { no notebook", "not a notebook"),
    "a-list.ipynb": (b"[1, 2, 3]", "not a notebook"),
    "deep.ipynb": (b"[" * 200_000, "not a notebook"),
    "essay.docx": (b"PK\x03\x04", "not a notebook"),
}
