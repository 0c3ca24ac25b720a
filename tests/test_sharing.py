"""The work on a table: shared out, resumed, and ended in good order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from tiny_cells import TinyCell

from stn_tutorial.experiments.results import read_results, result_file
from stn_tutorial.experiments.sharing import FailedRuns, work

HANG = 600  # seconds, after which a test is taken to hang
FEW = [TinyCell("quick", 0), TinyCell("quick", 1)]


def measured(folder: Path) -> set[TinyCell]:
    return set(read_results(folder, TinyCell))


def test_work_leaves_a_result_a_cell_and_runs_none_twice(tmp_path):
    work(FEW, tmp_path, tmp_path / "runs", progress=False, seconds=2.5)
    found = read_results(tmp_path, TinyCell)
    assert set(found) == set(FEW)
    assert all(result["seconds"] == 2.5 for result in found.values())
    work(FEW, tmp_path, tmp_path / "runs", progress=False, seconds=9.0)
    assert read_results(tmp_path, TinyCell) == found


@pytest.mark.parametrize("content", [b"", b'{"cell"', b"[]", b'{"cell": {}}'])
def test_a_damaged_result_is_no_result(tmp_path, content):
    result_file(tmp_path, FEW[0]).write_bytes(content)
    work(FEW, tmp_path, tmp_path / "runs", progress=False)
    assert measured(tmp_path) == set(FEW)


def test_the_bar_reaches_its_end_whatever_was_done_before(tmp_path, capsys):
    for part in (FEW[:1], FEW):
        work(part, tmp_path, tmp_path / "runs")
        said = capsys.readouterr()
        assert f"{len(part)}/{len(part)}" in said.err.split("\r")[-1]
        assert said.out == f"{part[-1].name}: 0 s\n"


def test_without_progress_it_says_nothing(tmp_path, capsys):
    work(FEW, tmp_path, tmp_path / "runs", progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_failed_run_is_named_and_the_others_go_on(tmp_path, capsys):
    cells = [TinyCell("wrong"), FEW[0], TinyCell("infinite"), FEW[1]]
    with pytest.raises(FailedRuns, match="^2 of 4 failed: wrong-0, infinite-0$"):
        work(cells, tmp_path, tmp_path / "runs", progress=False)
    assert measured(tmp_path) == set(FEW)
    assert capsys.readouterr().err.splitlines() == [
        "wrong-0 failed: ValueError: nothing to learn from",
        "infinite-0 failed: ValueError: seconds must be finite, got inf",
    ]


def test_a_full_disk_ends_the_work(tmp_path):
    with pytest.raises(OSError, match="No space left on device"):
        work([TinyCell("full"), *FEW], tmp_path, tmp_path / "runs", progress=False)
    assert measured(tmp_path) == set()


def test_no_more_workers_are_started_than_there_are_cells(tmp_path, monkeypatch):
    monkeypatch.setattr("multiprocessing.context.SpawnProcess.start", None)
    work(FEW[:1], tmp_path, tmp_path / "runs", workers=8, progress=False)
    assert measured(tmp_path) == set(FEW[:1])
    work(FEW[:1], tmp_path, tmp_path / "runs", workers=8, progress=False)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_a_number_of_workers_that_is_none_is_refused(tmp_path, workers):
    with pytest.raises(ValueError, match="^workers must be an integer >= 1, got"):
        work(FEW, tmp_path, tmp_path / "runs", workers=workers)


def test_a_cell_that_another_process_is_at_is_waited_for(tmp_path, monkeypatch):
    runs, naps = tmp_path / "runs", []
    runs.mkdir()
    other = FileLock(runs / f"{FEW[0].name}.lock")
    other.acquire()

    def nap(seconds: float) -> None:
        assert measured(tmp_path) == {FEW[1]}  # all but the other's is done
        naps.append(seconds)
        if len(naps) == 3:  # the other process ends, and has left no result
            other.release()

    monkeypatch.setattr("stn_tutorial.experiments.sharing.time.sleep", nap)
    work(FEW, tmp_path, runs, progress=False)
    assert len(naps) == 3 and measured(tmp_path) == set(FEW)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_what_a_killed_worker_began_the_others_finish(tmp_path):
    """The parent is patient until the worker was killed at the fatal cell."""
    cells = [TinyCell("patient"), TinyCell("fatal"), *FEW]
    work(cells, tmp_path, tmp_path / "runs", workers=2, progress=False)
    found = read_results(tmp_path, TinyCell)
    assert set(found) == set(cells)
    assert found[TinyCell("fatal")]["process"] == os.getpid()


# A shell lets what it runs in the background ignore Ctrl-C: the program listens anyway.
PROGRAM = """
import signal
import sys
from pathlib import Path
from tiny_cells import TinyCell
from stn_tutorial import commands
from stn_tutorial.experiments.sharing import work

def run(self):
    cells = [TinyCell("endless", 0), TinyCell("endless", 1)]
    work(cells, Path("results"), Path("runs"), workers=2)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    commands.Table.run = run
    commands.main(["table"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("how", ["Ctrl-C", "kill"])
def test_workers_end_with_the_process_that_started_them(tmp_path, how):
    (tmp_path / "program.py").write_text(PROGRAM)
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    process = subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + HANG
    marks = [tmp_path / "runs" / f"endless-{k} has begun" for k in (0, 1)]
    while not all(mark.exists() for mark in marks):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    if how == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)  # a terminal tells every process
    else:
        process.kill()
    _, err = process.communicate(timeout=HANG)
    for k in (0, 1):  # what nobody is at is not locked
        FileLock(tmp_path / "runs" / f"endless-{k}.lock").acquire(timeout=HANG)
    if how == "Ctrl-C":
        assert process.returncode == 130
        last = err.replace("\r", "\n").splitlines()[-1]
        assert last == "stopped; to go on: python -m stn_tutorial table"
        assert "Traceback" not in err
