"""Measure what the limits and thresholds of the assignments are set by.

Of each assignment: the seconds of the processor that its solution takes to be graded.
Of *digits*, whose points depend on what a training reaches: errors and distances of
its solution, and of the same networks if the localization network learns nothing,
over several seeds and draws of the distortions. All goes to assignments/measured.json,
from which the book's page on grading takes it (`grading_measured`). It takes some
minutes.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import nbformat
import numpy
import stamps
import torch

import assignments
from stn_tutorial.experiments.results import write_json

SEEDS, DRAWS = 5, 3
#: The rates of classifier and localization network in the solution, and without it.
RATES = "rates = [0.006, 0.003]", "rates = [0.006, 0.0]"


def solved(name: str) -> nbformat.NotebookNode:
    """Return what a student hands in who solves all of an assignment."""
    notebook = assignments.read(assignments.assignment_paths()[name])
    released = assignments.release(notebook)
    sources = {cell.id: cell.source for cell in notebook.cells}
    for cell in released.cells:
        if assignments.kind(cell) == "exercise":
            cell.source = sources[cell.id]
    return released


def processor_seconds() -> dict[str, float]:
    """Return how long it takes to grade the solution of each assignment."""
    with tempfile.TemporaryDirectory() as folder:
        handed_in, to = Path(folder, "handed in"), Path(folder, "grades")
        handed_in.mkdir()
        for name in assignments.assignment_paths():
            nbformat.write(solved(name), handed_in / f"{name}.ipynb")
        tool = stamps.ROOT / "tools" / "grade.py"
        command = [sys.executable, str(tool), str(handed_in), "--to", str(to)]
        subprocess.run([*command, "--jobs", "1", "--seed", "0"], check=True)
        with (to / "grades.csv").open(encoding="utf-8-sig", newline="") as table:
            return {
                row["student"]: float(row["seconds"]) for row in csv.DictReader(table)
            }


def trained(seed: int, *, learns: bool) -> dict[str, Any]:
    """Run the cells of *digits* with its solution; return what they define.

    Args:
        seed: of the initial weights, the batches and their distortions.
        learns: whether the localization network does.
    """
    names: dict[str, Any] = {}
    for cell in assignments.read(assignments.assignment_paths()["digits"]).cells:
        if cell.cell_type != "code" or assignments.kind(cell).endswith("test"):
            continue
        source = cell.source.replace("%pip", "pass  #")
        source = source.replace("manual_seed(0)", f"manual_seed({seed})")
        if cell.id == "training" and not learns:
            assert RATES[0] in source
            source = source.replace(*RATES)
        exec(compile(source, cell.id, "exec"), names)
    return names


def reached(seed: int, *, learns: bool) -> list[dict[str, float]]:
    """Return the error and the distance of one training, for each draw."""
    names, found = trained(seed, learns=learns), []
    for draw in range(DRAWS):
        answers = {"error": "predict", "distance": "predict_params"}
        measures = {"error": names["error_of"], "distance": names["distance_left"]}
        found.append(
            {
                key: measures[key](names[answer], torch.Generator().manual_seed(draw))
                for key, answer in answers.items()
            }
        )
    return found


def main() -> int:
    torch.set_num_threads(1)
    digits = {
        name: [row for seed in range(SEEDS) for row in reached(seed, learns=learns)]
        for name, learns in {"learns": True, "learns nothing": False}.items()
    }
    device = f"CPU, {os.cpu_count()} cores"
    content = {
        "digits": {"seeds": SEEDS, "draws": DRAWS, **digits},
        "processor_seconds": processor_seconds(),
        "device": f"{device}, {torch.backends.cpu.get_cpu_capability()}",
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"torch": torch.__version__, "numpy": numpy.__version__},
    }
    path = assignments.FOLDER / "measured.json"
    write_json(path, content)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
