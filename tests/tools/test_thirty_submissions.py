"""Thirty submissions are graded as a teacher does it, and some of them mean harm.

It takes minutes: `make test LONG=1` runs it, and so does the forge once a week.
"""

from __future__ import annotations

import csv
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest
import stamps
import submissions

pytestmark = pytest.mark.long
#: What thirty submissions may take by the clock. It is to catch what does not end.
MINUTES = 90


def hand_in(folder: Path) -> None:
    """Write what a class hands in."""
    for student, case in submissions.CASES.items():
        (folder / student).mkdir(parents=True)
        nbformat.write(case.make(), folder / student / "my homework.ipynb")
    for name, (content, _) in submissions.FILES.items():
        (folder / name).write_bytes(content)
    (folder / "nothing").mkdir()
    kills = submissions.in_sampler("setup", submissions.KILLS)()
    nbformat.write(kills, folder / "kills.ipynb")


def points_in_gradebook(path: Path) -> dict[str, float]:
    """The points of each student in nbgrader's gradebook."""
    with sqlite3.connect(path) as database:
        found = database.execute(
            "select submitted_assignment.student_id, sum(grade.auto_score) from grade "
            "join submitted_notebook on grade.notebook_id = submitted_notebook.id "
            "join submitted_assignment on "
            "submitted_notebook.assignment_id = submitted_assignment.id "
            "group by submitted_assignment.student_id"
        )
        return dict(found.fetchall())


def faults_of(student: str, line: dict[str, str]) -> list[str]:
    """What is wrong about a line of the table."""
    said = f"{student}: {line}"
    if student not in submissions.CASES:
        return (
            [] if line["state"] != "graded" and float(line["points"]) == 0 else [said]
        )
    case = submissions.CASES[student]
    right = (
        line["state"] == "graded"
        and line["assignment"] == case.assignment
        and case.least <= float(line["points"]) <= case.most
        and float(line["out_of"]) == 20
        and case.note in line["notes"]
    )
    return [] if right else [said]


def test_thirty_submissions_get_the_points_that_they_deserve(tmp_path):
    handed_in, results = tmp_path / "handed in ä", tmp_path / "grades"
    hand_in(handed_in)
    command = [sys.executable, str(stamps.ROOT / "tools" / "grade.py"), str(handed_in)]
    done = subprocess.run(
        [*command, "--to", str(results)],
        capture_output=True,
        text=True,
        timeout=60 * MINUTES,
        env={**os.environ, "PYTHONPATH": str(stamps.ROOT)},
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    with (results / "grades.csv").open(encoding="utf-8") as file:
        lines = {line["student"]: line for line in csv.DictReader(file)}
    others = {Path(name).stem for name in submissions.FILES} | {"nothing", "kills"}
    assert set(lines) == set(submissions.CASES) | others
    faults = [
        fault for student in lines for fault in faults_of(student, lines[student])
    ]
    assert not faults, "\n".join(faults)

    pages = list((results / "feedback").glob("*.html"))
    assert len(pages) == len(lines)
    for page in pages:
        text = page.read_text("utf-8")
        assert len(text) < 3_000_000, page.name
        assert "<script" not in text and 'src="http' not in text, page.name
    counted = points_in_gradebook(results / "gradebook.db")
    table = {student: float(lines[student]["points"]) for student in submissions.CASES}
    assert counted == pytest.approx(table)
    commands = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    assert ["sleep", "4321"] not in commands  # what a submission left running
