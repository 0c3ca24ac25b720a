"""The work on a table of runs, shared by any number of processes or machines.

A process takes the cells that have no result, one after the other, and leaves out those
that another one is at. Whoever shares a folder shares the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm

from stn_tutorial.data.distortions import DISTORTIONS
from stn_tutorial.experiments.distorted_digits import (
    Config,
    make_model,
    run,
    write_json,
)
from stn_tutorial.experiments.distorted_mnist import BUDGET, Cell

__all__ = ["work"]


def work(
    todo: Sequence[Cell],
    folder: Path,
    runs: Path,
    *,
    quick: bool = False,
    data: str = "mnist",
    budget: int = BUDGET,
    compiled: bool = False,
    workers: int = 1,
    progress: bool = True,
) -> None:
    """Run what is missing, but for the cells that another process is at.

    A killed run goes on at its last epoch. A cell in work is locked by the operating
    system, which unlocks it when the process ends, however it ends.

    Args:
        todo: the cells, in the order of work.
        folder: of the results, one JSON file a cell.
        runs: where locks and checkpoints are kept.
        quick: run a miniature of each.
        data: mnist, embedded or auto.
        budget: how many parameters the models have, about.
        compiled: compile the models; see `stn_tutorial.training.Recipe`.
        workers: processes that share the work; on a CPU, they share its threads as
            well. Small networks leave a GPU idle much of the time: let several share.
        progress: show a bar of all the work, with the time it will still take.
    """
    configs = {}
    for cell in todo:
        config = cell.config(quick=quick, data=data, budget=budget)
        recipe = replace(config.recipe, compiled=compiled)
        configs[cell] = replace(config, recipe=recipe)
    threads = max(1, torch.get_num_threads() // workers)
    fresh = torch.multiprocessing.get_context("spawn")  # CUDA bears no fork
    others = [
        fresh.Process(
            target=_work_alone,
            args=(configs, folder, runs, threads),
            daemon=True,  # ends when this process does
        )
        for _ in range(workers - 1)
    ]
    for other in others:
        other.start()
    before = torch.get_num_threads()
    _work_alone(configs, folder, runs, threads, progress)
    torch.set_num_threads(before)
    for other in others:
        other.join()


def _work_alone(
    configs: dict[Cell, Config],
    folder: Path,
    runs: Path,
    threads: int,
    progress: bool = False,
) -> None:
    torch.set_num_threads(threads)
    runs.mkdir(parents=True, exist_ok=True)
    amounts = {cell: _operations(config) for cell, config in configs.items()}

    def finished() -> float:
        """What is done by now, by whichever process."""
        return sum(amounts[cell] for cell in configs if _file(folder, cell).exists())

    bar = tqdm(
        total=sum(amounts.values()),
        initial=finished(),
        bar_format="{desc}{percentage:3.0f}% |{bar:30}| {elapsed}, {remaining} left",
        disable=not progress,
    )
    for cell, config in configs.items():
        lock = FileLock(runs / f"{cell.name}.lock", blocking=False)
        with suppress(Timeout), lock:
            if _file(folder, cell).exists():
                continue
            bar.set_description(cell.name)
            each = amounts[cell] / config.recipe.epochs

            def show(epoch: int, model: nn.Module, each: float = each) -> None:
                bar.n = finished() + each * epoch
                bar.refresh()

            _, result = run(config, runs / cell.name, on_epoch=show, progress=progress)
            write_json(_file(folder, cell), {"cell": asdict(cell), **result})
            bar.write(f"{cell.name}: {result['test_error']:.2f}%")
    bar.close()


def _file(folder: Path, cell: Cell) -> Path:
    return folder / f"{cell.name}.json"


def _operations(config: Config) -> float:
    """What a run costs: the operations of an image, times the images."""
    image = torch.zeros(1, 1, *DISTORTIONS[config.distortion].size)
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        make_model(config).eval()(image)
    return counter.get_total_flops() * config.recipe.epochs * (config.limit or 60_000)
