"""The command line: ``python -m stn_tutorial COMMAND``; ``--help`` lists the commands.

A command is a dataclass: tyro makes its options and their help from the fields and the
docstring, and `run` does the work.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Union

import matplotlib.pyplot as plt
import torch
import tyro
from accelerate import PartialState
from matplotlib.figure import Figure

from stn_tutorial.course import plotting
from stn_tutorial.course.reports import coordconv as coordconv_report
from stn_tutorial.course.reports.distorted_mnist import (
    at_other_budgets,
    draw_against_paper,
    draw_against_parameters,
    draw_against_time,
    draw_gains,
    overview,
    table,
)
from stn_tutorial.data.archives import DataError, cache_folder, fetch_mnist
from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.distortions import fixed_test_set
from stn_tutorial.experiments import coordconv_stn, not_so_clevr, scattered_digits
from stn_tutorial.experiments.distorted_digits import (
    Config,
    evaluate,
    load_model,
    run,
)
from stn_tutorial.experiments.distorted_mnist import (
    BUDGET,
    COLUMNS,
    RECIPES,
    ROWS,
    cells,
    results,
)
from stn_tutorial.experiments.models import TransformedClassifier
from stn_tutorial.experiments.results import write_json
from stn_tutorial.experiments.sharing import missing, result_file, work

__all__ = ["main"]


@dataclass
class Train:
    """Train a classifier on distorted digits; the same command resumes a killed run."""

    config: Config = field(default_factory=Config)
    folder: Path | None = None
    """Where checkpoint and result are kept; runs/MODEL-DISTORTION-… by default."""

    def run(self) -> None:
        c = self.config
        warp = f"-{c.family}" if c.model.startswith("st-") else ""
        name = f"{c.model}-{c.distortion}{warp}-{c.recipe.seed}"
        folder = self.folder or Path("runs") / name
        try:
            done, result = run(c, folder)
        except KeyboardInterrupt:
            if PartialState().is_main_process:
                command = " ".join(["python -m stn_tutorial", *sys.argv[1:]])
                print(f"\nStopped; to go on: {command}", file=sys.stderr)
            raise SystemExit(130) from None
        if PartialState().is_main_process:
            for entry in done.history:
                print(
                    f"epoch {entry['epoch']:3d}: loss {entry['loss']:.4f}, "
                    f"train {entry['train_error']:.2f}%, "
                    f"test {entry['test_error']:.2f}%, {entry['seconds']:.1f} s"
                )
            print(
                f"test error {done.test_error:.2f}% with {result['parameters']} "
                f"parameters on {result['data']['source']}; kept in {folder}"
            )


@dataclass
class Evaluate:
    """Print a run's error on the fixed test set of its distortion."""

    folder: tyro.conf.Positional[Path]
    """Of the run."""

    def run(self) -> None:
        print(f"test error {evaluate(*load_model(self.folder)):.2f}%")


@dataclass
class Export:
    """Write a run's model as ONNX (opset 20, any batch size)."""

    folder: tyro.conf.Positional[Path]
    """Of the run."""
    to: Path = Path("model.onnx")
    """The file to write."""

    def run(self) -> None:
        config, model = load_model(self.folder)
        digits = load_digits("test", config.data)
        images = fixed_test_set(digits.images[:2], config.distortion).images
        torch.onnx.export(
            model,
            (images,),
            self.to,
            dynamo=True,
            opset_version=20,
            input_names=["images"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim("batch", max=2**31 - 1)},),
            verbose=False,
        )
        print(f"wrote {self.to}")


@dataclass
class Show:
    """Draw test digits as they come and as the run's transformer passes them on."""

    folder: tyro.conf.Positional[Path]
    """Of the run."""
    to: Path = Path("show.png")
    """The picture to write."""
    count: int = 10
    """How many digits."""

    def run(self) -> None:
        config, model = load_model(self.folder)
        if not isinstance(model, TransformedClassifier):
            raise ValueError(f"{self.folder} holds a {config.model}: no transformer")
        if self.count < 1:
            raise ValueError(f"count must be positive, got {self.count}")
        digits = load_digits("test", config.data)
        images = fixed_test_set(digits.images, config.distortion).images[: self.count]
        with torch.inference_mode():
            warped = model.transformer(images)
        plotting.use_style()
        rows = [*images, *warped]
        fig, _ = plotting.show_images(rows, columns=len(images), width=0.9)
        fig.savefig(self.to)
        print(f"wrote {self.to}: digits as they come (top) and as they are passed on")


@dataclass
class Data:
    """Fetch and verify the digits."""

    source: Literal["mnist", "embedded"] = "mnist"
    """Which digits."""

    def run(self) -> None:
        if self.source == "mnist":
            for path in fetch_mnist():
                print(f"{path.name}: verified")
            print(f"kept in {cache_folder()}")
        for split in ("train", "test"):
            digits = load_digits(split, self.source)
            print(f"{split}: {len(digits)} digits, SHA-256 {digits.checksum[:16]}…")


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
            not_so_clevr.cells(tasks=tasks, seeds=self.seeds), folder
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
        return not_so_clevr.solve(cell, **small)


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
        found = not_so_clevr.results(folder)
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


Command = Union[  # noqa: UP007
    Train, Evaluate, Export, Show, Data, Table, Coordconv, CoordconvStn, Report
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a wrong option or missing data is one line and exit code 2.

    Args:
        arguments: as after ``python -m stn_tutorial``; the default is the real ones.
    """
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            command = tyro.cli(
                tyro.conf.OmitArgPrefixes[Command],
                prog="python -m stn_tutorial",
                args=arguments,
            )
    except SystemExit as stop:
        if stop.code:
            _fail(_gist(complaint.getvalue()))
        raise
    try:
        command.run()
    except (ValueError, DataError, OSError) as error:
        _fail(str(error))


def _gist(complaint: str) -> str:
    """What tyro's framed complaint says first, and what it offers instead."""
    ruled = re.split("[─-]{8,}", complaint)  # its rules, in a UTF-8 terminal or another
    parts = [" ".join(re.sub("[─│╭╮╰╯]", " ", part).split()) for part in ruled]
    title, gist, offer = parts[:3]
    # A class's own check is reported with the name of the class's place in tyro.
    gist = re.sub(r"^Error parsing (__\S+: )?", "", gist)
    if title == "Missing subcommand":
        gist = f"{title.lower()}: {gist}"
    offer = re.match(r"Perhaps you meant: --[\w-]+|Available subcommands: .*", offer)
    return f"{gist} ({offer[0].lower().replace(':', '', 1)})" if offer else gist


def _fail(complaint: str) -> None:
    """Print what is wrong on one line, and exit with 2."""
    print(f"error: {' '.join(complaint.split())}", file=sys.stderr)
    raise SystemExit(2)


def _tally(todo: Mapping[Any, Path], *, named: bool) -> str:
    """How many results are there and how many are not, and if wished, which are not."""
    absent = [c.name for c, where in todo.items() if not result_file(where, c).exists()]
    names = [f"missing: {name}" for name in absent] if named else []
    counts = f"{len(todo) - len(absent)} done, {len(absent)} missing"
    return "\n".join([*names, counts])
