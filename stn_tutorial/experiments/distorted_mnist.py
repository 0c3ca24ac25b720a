"""The paper's table of distorted MNIST (Table 1), as runs that are easily shared out.

A `Cell` is one run: a row and a column of the table, a recipe and a seed. Cells know
nothing of each other, and a finished one is a JSON file of its name. So what is missing
is what has no file, and any number of processes or machines can share the work.

There are two recipes, and their numbers never mix. ``paper`` trains the paper's
networks the paper's way (plain SGD, a learning rate divided by ten after each third) in
far fewer steps. ``today`` spends as many parameters and epochs on today's layers and
schedule.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file
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
from stn_tutorial.training import Recipe

__all__ = [
    "COLUMNS",
    "PAPER",
    "RECIPES",
    "ROWS",
    "Cell",
    "cells",
    "load_weights",
    "results",
    "work",
]

#: Rows of the table, as (classifier, family of warps of the transformer in front).
ROWS = {
    "FCN": ("fcn", None),
    "CNN": ("cnn", None),
    "ST-FCN Aff": ("st-fcn", "affine"),
    "ST-FCN Proj": ("st-fcn", "projective"),
    "ST-FCN TPS": ("st-fcn", "tps"),
    "ST-CNN Aff": ("st-cnn", "affine"),
    "ST-CNN Proj": ("st-cnn", "projective"),
    "ST-CNN TPS": ("st-cnn", "tps"),
}
#: Columns of the table, and the size of a transformer's output; 0 is the input's.
COLUMNS = {"R": 0, "RTS": 28, "P": 28, "E": 0, "clutter": 30}
#: Test errors in percent, as Jaderberg et al. (2015) report them.
PAPER = {
    "R": dict(zip(ROWS, (2.1, 1.2, 1.2, 1.3, 1.1, 0.7, 0.8, 0.7), strict=True)),
    "RTS": dict(zip(ROWS, (5.2, 0.8, 0.8, 0.9, 0.8, 0.5, 0.6, 0.5), strict=True)),
    "P": dict(zip(ROWS, (3.1, 1.5, 1.5, 1.4, 1.4, 0.8, 0.8, 0.8), strict=True)),
    "E": dict(zip(ROWS, (3.2, 1.4, 2.7, 2.6, 2.4, 1.2, 1.3, 1.1), strict=True)),
    "clutter": {"FCN": 13.2, "CNN": 3.5, "ST-FCN Aff": 2.0, "ST-CNN Aff": 1.7},
}
#: The two ways to train; their learning rates were chosen on held-out training digits.
RECIPES = {
    "paper": Recipe(
        epochs=8,
        batch_size=64,
        optimizer="sgd",
        lr=0.1,
        localization_lr_ratio=0.3,
        schedule="step",
        precision="bf16",
    ),
    "today": Recipe(epochs=24, lr=0.01, localization_lr_ratio=0.3, precision="bf16"),
}
#: How many parameters every model of the table has, within 5%.
BUDGET = 150_000
#: What takes the place of the paper's classifiers under today's recipe.
TODAY = {"cnn": "modern", "st-cnn": "st-modern"}


@dataclass(frozen=True)
class Cell:
    """One run of the table.

    Attributes:
        recipe: one of `RECIPES`.
        column: one of `COLUMNS`.
        row: one of `ROWS` that the paper has in this column.
        seed: of weights, order and distortions.
    """

    recipe: str
    column: str
    row: str
    seed: int = 0

    @property
    def name(self) -> str:
        """The name of the cell's file, such as ``today-RTS-st-cnn-aff-0``."""
        row = self.row.lower().replace(" ", "-")
        return f"{self.recipe}-{self.column}-{row}-{self.seed}"

    def config(self, *, quick: bool = False, data: str = "mnist") -> Config:
        """Return the configuration of the run.

        Args:
            quick: of a miniature: few digits, two epochs.
            data: mnist, embedded or auto.

        Returns:
            What to give to `stn_tutorial.experiments.distorted_digits.run`.
        """
        model, family = ROWS[self.row]
        recipe = replace(RECIPES[self.recipe], seed=self.seed)
        config = Config(
            model=TODAY.get(model, model) if self.recipe == "today" else model,
            distortion=self.column,
            budget=BUDGET,
            data=data,
            recipe=recipe,
        )
        if family:
            config = replace(config, transformation=family, window=COLUMNS[self.column])
        if quick:
            recipe = replace(recipe, epochs=2, batch_size=32)
            config = replace(config, data="embedded", limit=128, recipe=recipe)
        return config


def cells(
    *,
    recipes: Iterable[str] = tuple(RECIPES),
    columns: Iterable[str] = tuple(COLUMNS),
    rows: Iterable[str] = tuple(ROWS),
    seeds: Iterable[int] = (0, 1, 2),
) -> list[Cell]:
    """Return the cells of the table, or of a part of it, those of a seed together.

    Args:
        recipes: of `RECIPES`.
        columns: of `COLUMNS`.
        rows: of `ROWS`; where the paper has none, nor has this table.
        seeds: any.

    Returns:
        The cells.

    Raises:
        ValueError: if a name is unknown.
    """
    wanted = {"recipes": (recipes, RECIPES), "columns": (columns, COLUMNS)}
    wanted["rows"] = (rows, ROWS)
    for argument, (names, known) in wanted.items():
        for name in names:
            if name not in known:
                raise ValueError(f"{argument} must be of {tuple(known)}, got {name!r}")
    return [
        Cell(recipe, column, row, seed)
        for seed, recipe, column, row in product(seeds, recipes, columns, rows)
        if row in PAPER[column]
    ]


def results(folder: Path) -> dict[Cell, dict[str, Any]]:
    """Return what has been measured.

    Args:
        folder: of the results, one JSON file a cell.

    Returns:
        The result of each cell: that of `distorted_digits.run`.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        found[Cell(**result.pop("cell"))] = result
    return found


def load_weights(cell: Cell, folder: Path) -> nn.Module:
    """Return the trained model of a cell.

    Args:
        cell: its configuration says which model.
        folder: of the weights, one safetensors file a cell: the model's state.

    Returns:
        The model, on the CPU, in evaluation mode.

    Raises:
        ValueError: if there is no such file, or it fits another model.
    """
    path = folder / f"{cell.name}.safetensors"
    if not path.exists():
        raise ValueError(f"folder must hold the weights of {cell.name}: no {path}")
    model = make_model(cell.config())
    try:
        model.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"{path} does not fit {cell.name}: {error}") from None
    return model.eval()


def work(
    todo: Sequence[Cell],
    folder: Path,
    runs: Path,
    *,
    quick: bool = False,
    data: str = "mnist",
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
        compiled: compile the models; see `stn_tutorial.training.Recipe`.
        workers: processes that share the work; on a CPU, they share its threads as
            well. Small networks leave a GPU idle much of the time: let several share.
        progress: show a bar of all the work, with the time it will still take.
    """
    options = {"quick": quick, "data": data, "compiled": compiled}
    threads = max(1, torch.get_num_threads() // workers)
    fresh = torch.multiprocessing.get_context("spawn")  # CUDA bears no fork
    others = [
        fresh.Process(
            target=_work_alone,
            args=(todo, folder, runs, threads),
            kwargs={**options, "progress": False},
            daemon=True,  # ends when this process does
        )
        for _ in range(workers - 1)
    ]
    for other in others:
        other.start()
    before = torch.get_num_threads()
    _work_alone(todo, folder, runs, threads, **options, progress=progress)
    torch.set_num_threads(before)
    for other in others:
        other.join()


def _work_alone(
    todo: Sequence[Cell],
    folder: Path,
    runs: Path,
    threads: int,
    *,
    quick: bool,
    data: str,
    compiled: bool,
    progress: bool,
) -> None:
    torch.set_num_threads(threads)
    runs.mkdir(parents=True, exist_ok=True)
    configs = {cell: cell.config(quick=quick, data=data) for cell in todo}
    if compiled:
        configs = {
            cell: replace(config, recipe=replace(config.recipe, compiled=True))
            for cell, config in configs.items()
        }
    amounts = {cell: _operations(config) for cell, config in configs.items()}

    def finished() -> float:
        """What is done by now, by whichever process."""
        return sum(amounts[cell] for cell in todo if _file(folder, cell).exists())

    bar = tqdm(
        total=sum(amounts.values()),
        initial=finished(),
        bar_format="{desc}{percentage:3.0f}% |{bar:30}| {elapsed}, {remaining} left",
        disable=not progress,
    )
    for cell in todo:
        lock = FileLock(runs / f"{cell.name}.lock", blocking=False)
        with suppress(Timeout), lock:
            if _file(folder, cell).exists():
                continue
            bar.set_description(cell.name)
            config, amount = configs[cell], amounts[cell] / configs[cell].recipe.epochs

            def show(epoch: int, model: nn.Module, each: float = amount) -> None:
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
