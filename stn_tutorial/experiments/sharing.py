"""The work on a table of runs, shared by any number of processes or machines.

A process takes the cells that have no result, one after the other, and leaves out those
that another one is at. Whoever shares a folder shares the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from filelock import FileLock, Timeout
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm

from stn_tutorial.data.distortions import DISTORTIONS
from stn_tutorial.experiments.distorted_digits import Config, make_model, run
from stn_tutorial.experiments.results import write_json

__all__ = ["missing", "result_file", "work"]


class _Cell(Protocol):
    """A place of a table and a seed: a frozen dataclass."""

    @property
    def name(self) -> str: ...


AnyCell = TypeVar("AnyCell", bound=_Cell)
Finish = Callable[[Config, nn.Module, dict[str, Any]], dict[str, Any]]


def result_file(folder: Path, cell: AnyCell) -> Path:
    """Return where a cell's result is kept.

    Args:
        folder: of the results.
        cell: any.

    Returns:
        The path of a JSON file, which may not exist yet.
    """
    return folder / f"{cell.name}.json"


def missing(todo: Mapping[AnyCell, Path], runs: Path) -> Iterator[AnyCell]:
    """Return the cells without a result, but for those that another process is at.

    The operating system locks a cell while the caller is at it, and unlocks it when the
    process ends, however it ends.

    Args:
        todo: the cells in the order of work, and the folder of each one's result.
        runs: where the locks are kept.

    Returns:
        The cells, one after the other.
    """
    runs.mkdir(parents=True, exist_ok=True)
    for cell, folder in todo.items():
        lock = FileLock(runs / f"{cell.name}.lock", blocking=False)
        with suppress(Timeout), lock:
            if not result_file(folder, cell).exists():
                yield cell


def work(
    todo: Mapping[AnyCell, Config],
    folder: Path,
    runs: Path,
    *,
    finish: Finish | None = None,
    workers: int = 1,
    progress: bool = True,
) -> None:
    """Run what is `missing`; a killed run goes on at its last epoch.

    Args:
        todo: the cells and their configurations, in the order of work.
        folder: of the results, one JSON file a cell.
        runs: where locks and checkpoints are kept.
        finish: from a configuration, its trained model and its result to what is kept
            of them, ``test_error`` at least; the default keeps the result.
        workers: processes that share the work; on a CPU, they share its threads as
            well. Small networks leave a GPU idle much of the time: let several share.
        progress: show a bar of all the work, with the time it will still take, and the
            error of each run that ends.

    Raises:
        RuntimeError: if another worker failed; it has said why.
    """
    amounts = {cell: _operations(config) for cell, config in todo.items()}
    threads = max(1, torch.get_num_threads() // workers)
    job = (todo, amounts, folder, runs, finish, threads)
    fresh = torch.multiprocessing.get_context("spawn")  # CUDA bears no fork
    others = [
        # A daemon ends when this process does.
        fresh.Process(target=_work_alone, args=(*job, progress, False), daemon=True)
        for _ in range(workers - 1)
    ]
    for other in others:
        other.start()
    before = torch.get_num_threads()
    try:
        _work_alone(*job, progress, True)
        for other in others:
            other.join()
    finally:
        torch.set_num_threads(before)
        for other in others:
            other.terminate()
    if any(other.exitcode for other in others):
        raise RuntimeError("a worker failed; its cell is still missing")


def _work_alone(
    todo: Mapping[_Cell, Config],
    amounts: Mapping[_Cell, float],
    folder: Path,
    runs: Path,
    finish: Finish | None,
    threads: int,
    progress: bool,
    first: bool,
) -> None:
    """All the work of a process; the first one has the bar."""
    torch.set_num_threads(threads)

    def finished() -> float:
        """What is done by now, by whichever process."""
        return sum(amounts[cell] for cell in todo if result_file(folder, cell).exists())

    bar = tqdm(
        total=sum(amounts.values()),
        initial=finished(),
        bar_format="{desc}{percentage:3.0f}% |{bar:30}| {elapsed}, {remaining} left",
        disable=not (progress and first),
    )
    for cell in missing(dict.fromkeys(todo, folder), runs):
        config = todo[cell]
        bar.set_description(cell.name)
        each = amounts[cell] / config.recipe.epochs

        def show(epoch: int, model: nn.Module, each: float = each) -> None:
            bar.n = finished() + each * epoch
            bar.refresh()

        done, result = run(
            config, runs / cell.name, on_epoch=show, progress=progress and first
        )
        if finish:
            result = finish(config, done.model, result)
        write_json(result_file(folder, cell), {"cell": asdict(cell), **result})
        if progress:
            bar.write(f"{cell.name}: {result['test_error']:.2f}%")
    bar.close()


def _operations(config: Config) -> float:
    """What a run costs: the operations of an image, times the images."""
    image = torch.zeros(1, 1, *DISTORTIONS[config.distortion].size)
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        make_model(config).eval()(image)
    return counter.get_total_flops() * config.recipe.epochs * (config.limit or 60_000)
