"""The paper's table of distorted MNIST (Table 1), as runs that are easily shared out.

A `Cell` is one run: a row and a column of the table, a recipe and a seed. Cells know
nothing of each other, and a finished one is a JSON file of its name: what is missing is
what has no file. `stn_tutorial.experiments.sharing` does the work, and
`stn_tutorial.experiments.results` reads the files.

There are two recipes, and their numbers never mix. ``paper`` trains the paper's
networks the paper's way (plain SGD, a learning rate divided by ten after each third) in
far fewer steps. ``today`` spends as many parameters on today's layers and schedule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from stn_tutorial._validate import check_choice
from stn_tutorial.experiments.distorted_digits import RESULT, Config, make_model, run
from stn_tutorial.experiments.results import Seed, check_cell, read_results
from stn_tutorial.experiments.training import Recipe

__all__ = [
    "COLUMNS",
    "PAPER",
    "RECIPES",
    "ROWS",
    "Cell",
    "at_other_budgets",
    "cells",
    "load_weights",
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
#: Columns of the table, and the size of a transformer's output; none is the input's.
COLUMNS = {"R": None, "RTS": 28, "P": 28, "E": None, "clutter": 30}
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
        epochs=6,
        batch_size=64,
        optimizer="sgd",
        lr=0.1,
        localization_lr_ratio=0.3,
        schedule="step",
        precision="bfloat16",
    ),
    "today": Recipe(
        epochs=24, lr=0.01, localization_lr_ratio=0.3, precision="bfloat16"
    ),
}
#: How many parameters every model of the table has, within 5%.
BUDGET = 150_000
#: What takes the place of the paper's classifiers under today's recipe.
TODAY = {"cnn": "modern", "st-cnn": "st-modern"}


@dataclass(frozen=True)
class Cell:
    """One run of the table.

    >>> cell = Cell("today", "RTS", "ST-CNN Aff")
    >>> cell.name, cell.config().model, cell.config().recipe.epochs
    ('today-RTS-st-cnn-aff-0', 'st-modern', 24)

    Attributes:
        recipe: one of `RECIPES`.
        column: one of `COLUMNS`.
        row: one of `ROWS` that the paper has in this column.
        seed: of weights, order and distortions.

    Raises:
        TypeError: if a name is no string, or the seed no integer.
        ValueError: if the table has no such cell.
    """

    RESULT: ClassVar[dict[str, Any]] = RESULT

    recipe: str
    column: str
    row: str
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, recipe=RECIPES, column=COLUMNS)
        check_cell(self, row=PAPER[self.column])

    @property
    def name(self) -> str:
        """The name of the cell's file, such as ``today-RTS-st-cnn-aff-0``."""
        row = self.row.lower().replace(" ", "-")
        return f"{self.recipe}-{self.column}-{row}-{self.seed}"

    def config(
        self,
        *,
        quick: bool = False,
        data: str = "mnist",
        budget: int = BUDGET,
        compiled: bool = False,
    ) -> Config:
        """Return the configuration of the run.

        Args:
            quick: of a miniature: few embedded digits, two epochs, in float32.
            data: mnist, embedded or auto.
            budget: how many parameters the model has, about.
            compiled: compile the model; see `stn_tutorial.experiments.training.Recipe`.

        Returns:
            What to give to `stn_tutorial.experiments.distorted_digits.run`.
        """
        model, family = ROWS[self.row]
        recipe = replace(RECIPES[self.recipe], seed=self.seed, compiled=compiled)
        config = Config(
            model=TODAY.get(model, model) if self.recipe == "today" else model,
            distortion=self.column,
            budget=budget,
            data=data,
            recipe=recipe,
        )
        if family:
            config = replace(config, family=family, out_size=COLUMNS[self.column])
        if quick:
            small = {"epochs": 2, "batch_size": 32, "precision": "float32"}
            recipe = replace(recipe, **small)
            config = replace(config, data="embedded", limit=128, recipe=recipe)
        return config

    def measure(
        self, checkpoints: Path, *, progress: bool = False, **options: Any
    ) -> dict[str, Any]:
        """Run the cell, or go on where a killed run of it stopped.

        Args:
            checkpoints: the folder of the run.
            progress: show a bar.
            options: of `config`.

        Returns:
            The result of `stn_tutorial.experiments.distorted_digits.run`.
        """
        return run(self.config(**options), checkpoints, progress=progress).result


def cells(
    *,
    recipes: Iterable[str] = tuple(RECIPES),
    columns: Iterable[str] = tuple(COLUMNS),
    rows: Iterable[str] = tuple(ROWS),
    seeds: Iterable[int] = (0, 1, 2),
) -> list[Cell]:
    """Return the cells of the table, or of a part of it, those of a seed together.

    >>> [cell.name for cell in cells(recipes=["paper"], rows=["FCN"], columns=["E"])]
    ['paper-E-fcn-0', 'paper-E-fcn-1', 'paper-E-fcn-2']

    Args:
        recipes: of `RECIPES`.
        columns: of `COLUMNS`.
        rows: of `ROWS`; where the paper has none, nor has this table.
        seeds: of weights, order and distortions.

    Returns:
        The cells, in the order of work.

    Raises:
        ValueError: if a name is unknown.
    """
    recipes, columns, rows = tuple(recipes), tuple(columns), tuple(rows)
    for name, given, known in (
        ("recipes", recipes, RECIPES),
        ("columns", columns, COLUMNS),
        ("rows", rows, ROWS),
    ):
        for each in given:
            check_choice(each, name, tuple(known))
    return [
        Cell(recipe, column, row, seed)
        for seed, recipe, column, row in product(seeds, recipes, columns, rows)
        if row in PAPER[column]
    ]


def at_other_budgets(folder: Path) -> list[tuple[Cell, dict[str, Any]]]:
    """Read the results of cells at other numbers of parameters than the table's.

    Args:
        folder: of the table's results. Each budget has a folder in its ``budgets``.

    Returns:
        Each cell with its result, whose ``config`` tells the budget. A cell may be
        there several times.

    Raises:
        ValueError: if a file is damaged, or holds something else; it is named.
    """
    budgets = folder / "budgets"
    folders = sorted(budgets.iterdir()) if budgets.is_dir() else []
    return [pair for each in folders for pair in read_results(each, Cell).items()]


def load_weights(cell: Cell, folder: Path) -> nn.Module:
    """Return the trained model of a cell.

    >>> from stn_tutorial.experiments.results import results_folder
    >>> folder = results_folder() / "distorted_mnist" / "weights"
    >>> load_weights(Cell("today", "RTS", "ST-CNN Aff"), folder).training
    False

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
