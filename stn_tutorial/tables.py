"""The commands that run the experiments of the papers, and print what they found.

Each is a dataclass; see `stn_tutorial.cli`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import matplotlib.pyplot as plt
import tyro
from matplotlib.figure import Figure

from stn_tutorial import coordconv_report, plotting
from stn_tutorial.experiments import coordconv, coordconv_stn, scattered_digits
from stn_tutorial.experiments.distorted_digits import write_json
from stn_tutorial.experiments.distorted_mnist import (
    BUDGET,
    COLUMNS,
    RECIPES,
    ROWS,
    cells,
    results,
)
from stn_tutorial.experiments.sharing import missing, result_file, work
from stn_tutorial.report import (
    at_other_budgets,
    draw_against_paper,
    draw_against_parameters,
    draw_against_time,
    draw_gains,
    overview,
    table,
)

__all__ = ["Coordconv", "CoordconvStn", "Report", "Table"]


@dataclass
class Table:
    """Run what is missing of the table of distorted MNIST; processes share the work."""

    recipes: tuple[Literal["paper", "today"], ...] = ("paper", "today")
    """How to train, as the paper did but scaled down, or as one would today."""
    columns: tuple[Literal["R", "RTS", "P", "E", "clutter"], ...] = tuple(COLUMNS)
    """Which distortions."""
    rows: tuple[str, ...] = tuple(ROWS)
    """Which models, as the table names them, such as "ST-CNN Aff"."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Which seeds."""
    quick: bool = False
    """Run a miniature of every cell, on few embedded digits, into runs/quick."""
    list: bool = False
    """Show what is done and what is missing, and run nothing."""
    budget: int = BUDGET
    """How many parameters; other budgets than the table's are kept beside it."""
    workers: int = 1
    """How many processes share the work."""
    compiled: bool = False
    """Compile the models, with CUDA graphs on a GPU."""
    folder: Path = Path("results/distorted_mnist")
    """Where the results are, one JSON file a run."""

    def run(self) -> None:
        """Run what is missing, or list it."""
        names = {"recipes": self.recipes, "columns": self.columns, "rows": self.rows}
        wanted = cells(**names, seeds=self.seeds)
        runs = Path("runs/quick" if self.quick else "runs/distorted_mnist")
        folder = runs / "results" if self.quick else self.folder
        if self.budget != BUDGET:
            runs, folder = (p / "budgets" / str(self.budget) for p in (runs, folder))
        if not self.list:
            how = {"quick": self.quick, "budget": self.budget}
            how["compiled"] = self.compiled
            todo = {cell: cell.config(**how) for cell in wanted}
            work(todo, folder, runs, workers=self.workers)
        print(overview(results(folder), wanted))


@dataclass
class Coordconv:
    """Run what is missing of CoordConv's tasks; processes share the work."""

    tasks: tuple[
        Literal["classification", "regression", "rendering", "detection"], ...
    ] = ("classification", "regression", "rendering", "detection")
    """Which tasks."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Which seeds."""
    quick: bool = False
    """Run a miniature of each, into runs/quick-coordconv."""
    list: bool = False
    """Show what is done and what is missing, and run nothing."""
    folder: Path = Path("results/coordconv")
    """Where the results are, one JSON file a run."""

    def run(self) -> None:
        """Run what is missing, or list it."""
        runs = Path("runs/quick-coordconv" if self.quick else "runs/coordconv")
        folder = runs / "results" if self.quick else self.folder
        tasks = [name for name in self.tasks if name != "detection"]
        todo: dict[Any, Path] = dict.fromkeys(
            coordconv.cells(tasks=tasks, seeds=self.seeds), folder
        )
        if "detection" in self.tasks:
            boxes = scattered_digits.cells(seeds=self.seeds)
            todo |= dict.fromkeys(boxes, folder / "detection")
        if not self.list:
            for cell in missing(todo, runs):
                _, result = self._solve(cell)
                write_json(result_file(todo[cell], cell), result)
                print(f"{cell.name}: {result['seconds']:.0f} s", flush=True)
        print(_tally(todo, named=self.list))

    def _solve(self, cell: Any) -> tuple[Any, dict[str, Any]]:
        if isinstance(cell, scattered_digits.Cell):
            small = {"data": "embedded", "steps": 20} if self.quick else {}
            return scattered_digits.solve(cell, **small)
        small = {"epochs": 1, "batch_size": 256} if self.quick else {}
        return coordconv.solve(cell, **small)


@dataclass
class CoordconvStn:
    """Run what is missing of the table of CoordConv in spatial transformers."""

    columns: tuple[Literal["none", "R", "RTS", "P", "E", "clutter", "crop"], ...] = (
        tuple(coordconv_stn.COLUMNS)
    )
    """Which distortions; crop is clutter, read through a window that can only move."""
    arrangements: tuple[
        Literal[
            "plain", "first", "everywhere", "radius", "both", "pooled", "pooled-first"
        ],
        ...,
    ] = tuple(coordconv_stn.ARRANGEMENTS)
    """Where the coordinates go."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Which seeds."""
    quick: bool = False
    """Run a miniature of every cell, on few embedded digits, into runs/quick-…."""
    list: bool = False
    """Show what is done and what is missing, and run nothing."""
    workers: int = 1
    """How many processes share the work."""
    folder: Path = Path("results/coordconv_stn")
    """Where the results are, one JSON file a run."""

    def run(self) -> None:
        """Run what is missing, or list it."""
        runs = Path("runs/quick-coordconv-stn" if self.quick else "runs/coordconv_stn")
        folder = runs / "results" if self.quick else self.folder
        wanted = coordconv_stn.cells(
            columns=self.columns, arrangements=self.arrangements, seeds=self.seeds
        )
        if not self.list:
            todo = {cell: cell.config(quick=self.quick) for cell in wanted}
            keep = coordconv_stn.keep
            work(todo, folder, runs, finish=keep, workers=self.workers)
        print(coordconv_report.error_table(coordconv_stn.results(folder)))
        print(_tally(dict.fromkeys(wanted, folder), named=self.list))


@dataclass
class Report:
    """Print a table of the book from its results, with the paper's numbers if any."""

    which: tyro.conf.Positional[
        Literal["distorted_mnist", "coordconv", "coordconv_stn"]
    ] = "distorted_mnist"
    """Which table."""
    folder: Path | None = None
    """Where the results are; results/WHICH by default."""
    figures: Path | None = None
    """Also draw the figures, as PNG files in this folder."""

    def run(self) -> None:
        """Print the table, and draw the figures if asked for."""
        folder = self.folder or Path("results") / self.which
        drawings = getattr(self, f"_{self.which}")(folder)
        if self.figures:
            plotting.use_style()
            self.figures.mkdir(parents=True, exist_ok=True)
            for name, draw in drawings.items():
                figure = draw()
                figure.savefig(self.figures / f"{name}.png")
                plt.close(figure)

    def _distorted_mnist(self, folder: Path) -> dict[str, Callable[[], Figure]]:
        found, others = results(folder), at_other_budgets(folder)
        drawings = {"against_paper": partial(draw_against_paper, found)}
        for recipe in RECIPES:
            print(f"{recipe}: ours, mean ± sd (seeds); the paper's\n")
            print(table(found, recipe))
        for recipe in {cell.recipe: None for cell in found}:
            drawings |= {
                f"{recipe}_against_time": partial(draw_against_time, found, recipe),
                f"{recipe}_against_parameters": partial(
                    draw_against_parameters, found, others, recipe
                ),
                f"{recipe}_gains": partial(draw_gains, found, recipe),
            }
        return drawings

    def _coordconv(self, folder: Path) -> dict[str, Callable[[], Figure]]:
        found = coordconv.results(folder)
        print(coordconv_report.task_table(found))
        boxes = scattered_digits.results(folder / "detection")
        print(coordconv_report.detection_table(boxes))
        return {"learning": partial(coordconv_report.draw_learning, found)}

    def _coordconv_stn(self, folder: Path) -> dict[str, Callable[[], Figure]]:
        found = coordconv_stn.results(folder)
        for make in ("error_table", "difference_table", "pose_table"):
            print(getattr(coordconv_report, make)(found))
        draw = ("draw_differences", "draw_convergence")
        return {
            name.removeprefix("draw_"): partial(getattr(coordconv_report, name), found)
            for name in draw
        }


def _tally(todo: Mapping[Any, Path], *, named: bool) -> str:
    """How many results are there and how many are not, and if wished, which are not."""
    absent = [c.name for c, where in todo.items() if not result_file(where, c).exists()]
    names = [f"missing: {name}" for name in absent] if named else []
    counts = f"{len(todo) - len(absent)} done, {len(absent)} missing"
    return "\n".join([*names, counts])
