"""The work on a table of runs, shared by any number of processes or machines.

A process takes the cells that have no result, one after the other, and leaves out those
that another one is at, until all are done. Whoever shares a folder shares the work;
what a killed process began, the others finish.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, MutableSequence, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from stn_tutorial.data.archives import DataError
from stn_tutorial.experiments.results import Cell, is_done, write_result

__all__ = ["FailedRuns", "work"]

_PAUSE = 0.5  # seconds between two looks at what other processes are at


class FailedRuns(RuntimeError):
    """Some of the runs failed, and the others are done; the message names them."""


def work(
    cells: Sequence[Cell],
    folder: Path,
    runs: Path,
    *,
    workers: int = 1,
    progress: bool = True,
    **options: Any,
) -> None:
    """Run the cells that have no result; a killed run goes on at its last epoch.

    Cells that another process is at, here or on another machine, are waited for, and
    taken over if it ends without a result.

    Args:
        cells: in the order of work.
        folder: of the results, one JSON file a cell.
        runs: where locks and checkpoints are kept.
        workers: processes that share the work; on a CPU, they share its threads as
            well. Small networks leave a GPU idle much of the time: let several share.
        progress: show how many cells are done, and each run that ends.
        options: of the cells' `measure`.

    Raises:
        FailedRuns: if runs failed. The others are done.
    """
    if type(workers) is not int or workers < 1:
        raise ValueError(f"workers must be an integer >= 1, got {workers!r}")
    runs.mkdir(parents=True, exist_ok=True)
    workers = min(workers, max(1, sum(not is_done(folder, cell) for cell in cells)))
    before = torch.get_num_threads()
    threads = max(1, before // workers)
    context = multiprocessing.get_context("spawn")  # CUDA bears no fork
    failed = context.Array("b", max(1, len(cells)), lock=False)
    job = (cells, failed, folder, runs, progress, options)
    others = [
        context.Process(target=_worker, args=(job, threads), daemon=True)
        for _ in range(workers - 1)
    ]
    try:
        with _left_to_the_parent(signal.SIGINT):
            for other in others:
                other.start()
        torch.set_num_threads(threads)
        _share(*job, first=True)
        for other in others:
            other.join()
    finally:
        torch.set_num_threads(before)
        for other in others:
            if other.pid:
                other.terminate()
                other.join()
    names = [cell.name for cell, wrong in zip(cells, failed) if wrong]
    if names:
        raise FailedRuns(f"{len(names)} of {len(cells)} failed: {', '.join(names)}")


def _share(
    cells: Sequence[Cell],
    failed: MutableSequence[int],
    folder: Path,
    runs: Path,
    progress: bool,
    options: dict[str, Any],
    *,
    first: bool,
) -> None:
    """Do the work of one process, until every cell is done or has failed."""
    left = list(range(len(cells)))
    bar = tqdm(total=len(cells), unit="cell", disable=not (progress and first))
    with bar:
        while True:
            left = [k for k in left if not (failed[k] or is_done(folder, cells[k]))]
            bar.update(len(cells) - len(left) - bar.n)
            if not left:
                return
            idle = True
            for index in left:
                cell = cells[index]
                with _locked(runs / f"{cell.name}.lock") as mine:
                    if not mine or failed[index] or is_done(folder, cell):
                        continue
                    idle = False
                    bar.set_description(cell.name)
                    failed[index] = not _run(
                        cell, folder, runs, progress, options, bars=progress and first
                    )
                    bar.update(1)
            if idle:
                time.sleep(_PAUSE)


def _run(
    cell: Cell,
    folder: Path,
    runs: Path,
    progress: bool,
    options: dict[str, Any],
    *,
    bars: bool,
) -> bool:
    """Run a cell and write its result; return whether that went well."""
    try:
        result = cell.measure(runs / cell.name, progress=bars, **options)
        write_result(folder, cell, result)
    except (DataError, OSError):  # the next cell would fare no better
        raise
    except Exception as error:
        _say(f"{cell.name} failed: {type(error).__name__}: {error}", sys.stderr)
        return False
    if progress:
        error = f"{result['test_error']:.2f}%, " if "test_error" in result else ""
        _say(f"{cell.name}: {error}{result['seconds']:.0f} s", sys.stdout)
    return True


def _say(line: str, stream: Any) -> None:
    """Print a line, above the bar if there is one."""
    tqdm.write(" ".join(line.split()), file=stream)
    stream.flush()


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Try to lock a file, and tell whether it is; the system unlocks what dies."""
    try:
        held = FileLock(path, blocking=False).acquire()
    except Timeout:
        yield False
        return
    with held:
        yield True


def _worker(job: tuple[Any, ...], threads: int) -> None:
    """Do the work of a process that was started for it."""
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        _share(*job, first=False)
    except (DataError, OSError) as error:
        _say(f"a worker stopped: {error}", sys.stderr)
        raise SystemExit(1) from None


def _end(*_: object) -> NoReturn:
    """End as if the work were done, and leave nothing to be cleaned up."""
    raise SystemExit(1)


def _end_with_the_parent() -> None:
    """End this process when the one that started it has ended, however it did."""
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _left_to_the_parent(number: signal.Signals) -> Iterator[None]:
    """Let processes that are started within ignore a signal: the parent ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
