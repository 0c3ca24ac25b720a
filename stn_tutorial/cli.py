"""The command line: ``python -m stn_tutorial COMMAND``; ``--help`` lists the commands.

A command is a dataclass: tyro makes its options and their help from the fields and the
docstring, and `run` does the work.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Union

import torch
import tyro
from accelerate import PartialState

from stn_tutorial import plotting
from stn_tutorial.data.digits import DataError, cache_folder, fetch_mnist, load_digits
from stn_tutorial.data.distortions import fixed_test_set
from stn_tutorial.experiments.distorted_digits import (
    Config,
    evaluate,
    load_model,
    run,
)
from stn_tutorial.models import TransformedClassifier
from stn_tutorial.tables import Coordconv, CoordconvStn, Report, Table

__all__ = ["main"]


@dataclass
class Train:
    """Train a classifier on distorted digits; the same command resumes a killed run."""

    config: Config = field(default_factory=Config)
    folder: Path | None = None
    """Where checkpoint and result are kept; runs/MODEL-DISTORTION-… by default."""

    def run(self) -> None:
        c = self.config
        warp = f"-{c.transformation}" if c.model.startswith("st-") else ""
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
