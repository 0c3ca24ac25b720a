"""The command line: ``python -m stn_tutorial COMMAND``; ``--help`` lists the commands.

A command is a dataclass: tyro makes its options and their help from the fields and the
docstring, and `run` does the work. What only the work needs is imported there, so that
help and complaints come at once.

Exit codes: 0 if all that was asked for is done; 1 if it failed on the way; 2 if it
can't be done as asked, for a wrong option or a missing file; 130 if it was stopped by
Ctrl-C; 141 if nobody reads what it prints.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, Union, get_args

import tyro

from stn_tutorial.data.digits import is_main_process
from stn_tutorial.experiments.distorted_digits import Config
from stn_tutorial.experiments.own_pictures import Config as OwnConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stn_tutorial.data.pictures import Pictures
    from stn_tutorial.experiments.training import Run

__all__ = ["main"]

PROGRAM = "python -m stn_tutorial"
MOST_SHOWN = 40  # digits side by side


@dataclass
class Train:
    """Train a classifier on distorted digits; the same command resumes a killed run.

    With --data=FOLDER it is trained on your own pictures: --data=FOLDER --help lists
    the options of that."""

    config: Config = field(default_factory=Config)
    folder: Path | None = None
    """Where checkpoint and result are kept; runs/MODEL-DISTORTION-… by default."""

    def run(self) -> None:
        """Train, and print the errors after each epoch."""
        from stn_tutorial.experiments.distorted_digits import run

        c = self.config
        family = f"-{c.family}" if c.model.startswith("st-") else ""
        name = f"{c.model}-{c.distortion}{family}-{c.recipe.seed}"
        folder = self.folder or Path("runs") / name
        done = run(c, folder)
        if not is_main_process():
            return
        _print_history(done)
        result = done.result
        print(
            f"test error {done.test_error:.2f}% with {result['parameters']} "
            f"parameters on {result['data']['source']}; kept in {folder}"
        )


@dataclass
class TrainOnPictures:
    """Train a classifier on your own pictures: a folder for each class, any size.

    Pictures of each class are held out, and tested on after every epoch. The same
    command resumes a killed run. show draws what the transformer looks at.
    """

    data: Path
    """The folder that has a folder for each class, named after it; or folders train and
    val, which have these. torchvision reads it."""
    config: OwnConfig = field(default_factory=OwnConfig)
    folder: Path | None = None
    """Where checkpoint and result are kept; runs/MODEL-DATA-… by default."""

    def run(self) -> None:
        """Train, and print what there is to train on and the errors."""
        from stn_tutorial.data.pictures import printable
        from stn_tutorial.experiments.own_pictures import run

        c = self.config
        pictures = c.load(self.data)
        family = f"-{c.family}" if c.has_transformer else ""
        name = f"{c.model}-{pictures.train.source}{family}-{c.recipe.seed}"
        folder = self.folder or Path("runs") / name
        if is_main_process():
            self._describe(pictures)
        done = run(c, pictures, folder)
        if not is_main_process():
            return
        _print_history(done)
        print(
            f"test error {done.test_error:.2f}% with {done.result['parameters']} "
            f"parameters on {len(pictures.held_out)} pictures held out; "
            f"kept in {printable(folder)}"
        )

    def _describe(self, pictures: Pictures) -> None:
        how, counts = pictures.preparation, (pictures.train, pictures.held_out)
        print(f"{len(pictures.classes)} classes: {_few(pictures.classes)}")
        print(
            f"{len(counts[0])} pictures to train on, {len(counts[1])} held out, as "
            f"{how.width}×{how.height} {how.colours}, {how.fit}"
        )
        if pictures.left_alone:
            print(f"left alone, since no pictures: {_few(pictures.left_alone)}")


@dataclass
class Evaluate:
    """Print a run's error on the fixed test set of its distortion, or on pictures."""

    folder: tyro.conf.Positional[Path]
    """Of the run."""
    data: Path | None = None
    """Of a run on your own pictures: their folder, for the error on those held out; or
    another folder of the same classes, for the error on all that it has."""

    def run(self) -> None:
        """Load the run's last checkpoint, and test it."""
        from stn_tutorial.experiments.own_pictures import is_of_pictures

        if is_of_pictures(self.folder):
            self._on_pictures()
            return
        if self.data:
            raise ValueError(f"{self.folder} holds a run on digits: it takes no data")
        from stn_tutorial.experiments.distorted_digits import evaluate, load_model

        print(f"test error {evaluate(*load_model(self.folder)):.2f}%")

    def _on_pictures(self) -> None:
        from stn_tutorial.experiments.own_pictures import evaluate, load_trained

        trained = load_trained(self.folder)
        if not self.data:
            raise ValueError("data must be the folder of the pictures: --data FOLDER")
        error, count, own = evaluate(trained, self.data)
        which = "held out" if own else "none of which the run is known to have held out"
        print(f"test error {error:.2f}% on {count} pictures, {which}")


@dataclass
class Export:
    """Write a run's model as ONNX: one file, opset 20, any batch size."""

    folder: tyro.conf.Positional[Path]
    """Of the run."""
    to: Path = Path("model.onnx")
    """The file to write."""
    steps: bool = False
    """Put out, beside the scores, theta and the warped images of a transformer."""

    def run(self) -> None:
        """Load the run's last checkpoint, export it, and check the file."""
        import torch

        from stn_tutorial.data.archives import atomically
        from stn_tutorial.experiments.checkpoints import read_checkpoint

        label = read_checkpoint(self.folder)[0]
        kinds = {"cell": self._of_places, "classes": self._of_pictures}
        make = next((kinds[key] for key in kinds if key in label), self._of_digits)
        model, inputs, name, outputs = make()
        if not (find_spec("onnx") and find_spec("onnxscript")):  # in none of our extras
            raise ValueError("export needs two packages: pip install onnx onnxscript")
        onnx = import_module("onnx")
        with atomically(self.to) as part:
            torch.onnx.export(
                model,
                (inputs,),
                part,
                dynamo=True,
                external_data=False,
                opset_version=20,
                input_names=[name],
                output_names=outputs,
                dynamic_shapes=({0: torch.export.Dim("batch", max=2**31 - 1)},),
                verbose=False,
            )
            written = onnx.load(part)
            if "classes" in label:  # so that others know what the scores are of
                named = {"classes": json.dumps(label["classes"], ensure_ascii=False)}
                onnx.helper.set_model_props(written, named)
            for each in (*written.graph.node, *written.graph.value_info):
                del each.metadata_props[:]  # lines of code, with paths of this machine
            part.write_bytes(written.SerializeToString())
            onnx.checker.check_model(part, full_check=True)
        print(f"wrote {self.to}")

    def _of_digits(self) -> tuple[nn.Module, Tensor, str, list[str]]:
        """A classifier, two pictures, and the names of what goes in and out."""
        from stn_tutorial.data.digits import load_digits
        from stn_tutorial.data.distortions import fixed_test_set
        from stn_tutorial.experiments.distorted_digits import load_model

        config, model = load_model(self.folder)
        digits = load_digits("test", config.data)
        images = fixed_test_set(digits.images[:2], config.distortion).images
        return self._of_images(model, images, config.model)

    def _of_pictures(self) -> tuple[nn.Module, Tensor, str, list[str]]:
        """The same of a classifier of pictures of one's own."""
        import torch

        from stn_tutorial.experiments.own_pictures import load_trained

        trained = load_trained(self.folder)
        channels = 1 if trained.config.colours == "grey" else 3
        images = torch.zeros(2, channels, *trained.config.in_size)
        return self._of_images(trained.model, images, trained.config.model)

    def _of_images(
        self, model: nn.Module, images: Tensor, name: str
    ) -> tuple[nn.Module, Tensor, str, list[str]]:
        from stn_tutorial.experiments.models import Steps, check_transformed

        if not self.steps:
            return model, images, "images", ["scores"]
        check_transformed(model, self.folder, name)
        return Steps(model).eval(), images, "images", ["scores", "theta", "warped"]

    def _of_places(self) -> tuple[nn.Module, Tensor, str, list[str]]:
        """The same of a network of CoordConv's tasks."""
        from stn_tutorial.data.not_so_clevr import Locations, all_locations
        from stn_tutorial.experiments.models import check_transformed
        from stn_tutorial.experiments.not_so_clevr import TASKS, load_network

        cell, network = load_network(self.folder)
        if self.steps:
            check_transformed(network, self.folder, cell.network)
        inputs = TASKS[cell.task].input(Locations(all_locations().centres[:2]))
        names = ("points", "scores") if inputs.ndim == 2 else ("images", "points")
        return network, inputs, names[0], [names[1]]


@dataclass
class Show:
    """Draw where a run's transformer looks, and what it passes on: on test digits, or
    on any pictures, with theta as a box; and apply the same theta to other pictures."""

    folder: tyro.conf.Positional[Path]
    """Of the run: on digits, or on your own pictures."""
    pictures: tyro.conf.Positional[tuple[Path, ...]] = ()
    """To look at: files of any size, which are prepared as those trained on were. None
    draws digits of the test set."""
    to: Annotated[Path, tyro.conf.arg(aliases=["--out"])] = Path("show.png")
    """The drawing to write: .png, .svg or .pdf."""
    count: int = 10
    """How many digits."""
    apply: tuple[Path, ...] = ()
    """Other pictures of the same scenes, one for each picture or one for all: say, the
    originals of thumbnails. The same theta is applied to them."""
    warped: Path | None = None
    """Also write what becomes of the other pictures (or, without, of the pictures), in
    their own resolution, as PNG files into this folder."""
    invert: bool = False
    """Exchange light and dark, for dark digits on white: the digits trained on are
    light on black."""
    json: bool = False
    """Print theta and the box as JSON: the corners of what the transformer sees, from
    the upper left on, as (x, y) in pixels of the picture, of which the first one's
    centre is (0, 0)."""

    def run(self) -> None:
        """Load the run's last checkpoint, and draw what its transformer does."""
        if not 1 <= self.count <= MOST_SHOWN:
            raise ValueError(f"count must be from 1 to {MOST_SHOWN}, got {self.count}")
        if self.to.suffix.lower() not in (".png", ".svg", ".pdf"):
            raise ValueError(f"to must end in .png, .svg or .pdf, got {self.to}")
        if self.pictures:
            self._pictures()
        elif self.apply or self.warped or self.json or self.invert:
            raise ValueError("pictures must be named, for all but a drawing of digits")
        else:
            self._digits()

    def _digits(self) -> None:
        import torch

        from stn_tutorial.course import plotting
        from stn_tutorial.data.digits import load_digits
        from stn_tutorial.data.distortions import fixed_test_set
        from stn_tutorial.experiments.distorted_digits import load_model
        from stn_tutorial.experiments.models import check_transformed
        from stn_tutorial.experiments.own_pictures import is_of_pictures

        if is_of_pictures(self.folder):
            raise ValueError(
                f"pictures must be named: {self.folder} is not of a run on digits"
            )
        config, model = load_model(self.folder)
        check_transformed(model, self.folder, config.model)
        digits = load_digits("test", config.data)
        images = fixed_test_set(digits.images, config.distortion).images[: self.count]
        with torch.inference_mode():
            warped = model.transformer(images)
        plotting.use_style()
        rows = [*images, *warped]
        fig, _ = plotting.show_images(rows, columns=len(images), width=0.9)
        fig.savefig(self.to)
        print(f"wrote {self.to}: digits as they come (top) and as they are passed on")

    def _pictures(self) -> None:
        from stn_tutorial.course import plotting
        from stn_tutorial.course.views import draw_looks
        from stn_tutorial.data.pictures import open_picture, printable
        from stn_tutorial.experiments.views import Looker, as_tensor

        if len(self.apply) not in (0, 1, len(self.pictures)):
            raise ValueError(
                f"apply must name one picture, or {len(self.pictures)}, one for each: "
                f"it names {len(self.apply)}"
            )
        looker = Looker(self.folder)
        looks = [looker.look(path, inverted=self.invert) for path in self.pictures]
        opened = [open_picture(path) for path in self.pictures]
        paths, others = [*self.pictures], opened
        if self.apply:
            paths = [*self.apply] * (len(looks) if len(self.apply) == 1 else 1)
            others = [open_picture(path) for path in paths]
        made = []
        if self.apply or self.warped:
            made = [looker.apply(k, as_tensor(o)) for k, o in zip(looks, others)]
        plotting.use_style()
        fig = draw_looks(
            [as_tensor(picture, 800) for picture in opened],
            looks,
            [(as_tensor(o, 800), m) for o, m in zip(others, made)] * bool(self.apply),
            [other.size for other in others],
        )
        fig.savefig(self.to)
        said = [looker.describe(p, look) for p, look in zip(self.pictures, looks)]
        print(json.dumps(said, indent=1) if self.json else _in_lines(said))
        self._tell(f"wrote {printable(self.to)}")
        for look, other, path in zip(looks, others, paths):
            _warn_of_another_frame(look.size, other.size, printable(path))
        if self.warped:
            self._write(paths, made, self.warped)

    def _write(self, paths: list[Path], made: list[Tensor], folder: Path) -> None:
        from PIL import Image

        from stn_tutorial.data.pictures import printable
        from stn_tutorial.data.tensors import as_bytes

        folder.mkdir(parents=True, exist_ok=True)
        for number, (path, image) in enumerate(zip(paths, made), start=1):
            pixels = as_bytes(image).movedim(0, -1).numpy()
            pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
            target = folder / f"{number}-{path.stem}.png"
            Image.fromarray(pixels).save(target)
            height, width = pixels.shape[:2]
            self._tell(f"wrote {printable(target)}, {width}×{height}")

    def _tell(self, line: str) -> None:
        """Print a line, beside the JSON if there is some."""
        print(line, file=sys.stderr if self.json else sys.stdout)


@dataclass
class Data:
    """Fetch and verify the digits; or write them, distorted, into a file."""

    source: Literal["mnist", "embedded"] = "mnist"
    """Which digits."""
    export: Path | None = None
    """Write distorted digits with their labels and true warps into this file, which
    NumPy loads (.npz); python -m pydoc stn_tutorial.data.export says what is in it."""
    distortion: Literal["none", "R", "RTS", "P", "E", "clutter"] = "RTS"
    """Of the file: what is done to the digits, as for train."""
    split: Literal["train", "test"] = "train"
    """Of the file: which of the digits."""
    copies: int = 1
    """Of the file: how many pictures of each digit."""
    limit: int = 0
    """Of the file: use the first so many digits; 0 uses all."""
    seed: int | None = None
    """Of the file's distortions; by default 0 for train, and for test 2015, which gives
    the pictures that errors are measured on."""
    dtype: Literal["uint8", "float32"] = "uint8"
    """Of the file's pictures: from 0 to 255, or from 0 to 1."""

    def run(self) -> None:
        """Fetch what is missing, and print the checksums; or write the file."""
        if self.export:
            self._export(self.export)
            return
        defaults = Data(source=self.source)
        for name in ("distortion", "split", "copies", "limit", "seed", "dtype"):
            if getattr(self, name) != getattr(defaults, name):
                raise ValueError(f"{name} is of the file: --export FILE.npz names it")
        self._verify()

    def _export(self, path: Path) -> None:
        from stn_tutorial.data._checks import check_whole
        from stn_tutorial.data.digits import load_digits
        from stn_tutorial.data.export import export_digits

        if path.suffix != ".npz" or path.is_dir():
            raise ValueError(f"export must be a file named like digits.npz, got {path}")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"export: there is no folder {path.parent}")
        digits = load_digits(self.split, self.source)
        check_whole(self.limit, "limit", least=0, most=len(digits))
        digits = digits.first(self.limit) if self.limit else digits
        options = {"split": self.split, "seed": self.seed, "copies": self.copies}
        export_digits(path, digits, self.distortion, dtype=self.dtype, **options)
        print(
            f"wrote {path}: {self.copies * len(digits)} pictures of the {self.split} "
            f"digits of {self.source}, distorted by {self.distortion}, "
            f"{path.stat().st_size / 1e6:.1f} MB"
        )

    def _verify(self) -> None:
        from stn_tutorial.data.archives import cache_folder, fetch_mnist
        from stn_tutorial.data.digits import load_digits

        if self.source == "mnist":
            for path in fetch_mnist():
                print(f"{path.name}: verified")
            print(f"kept in {cache_folder()}")
        for split in ("train", "test"):
            digits = load_digits(split, self.source)
            print(f"{split}: {len(digits)} digits, SHA-256 {digits.checksum[:16]}…")


@dataclass
class Work:
    """How the work on the runs is done."""

    quick: bool = False
    """Run a miniature of each, on little data, into runs/quick-…."""
    list: bool = False
    """Show what is done and what is missing, and run nothing."""
    workers: int = 1
    """How many processes share the work; seconds compare with one alone."""

    def folders(self, name: str, given: Path | None) -> tuple[Path, Path]:
        """Where the runs and the results of a table are."""
        if self.quick:
            short = "" if name == "distorted_mnist" else f"-{name.replace('_', '-')}"
            runs = Path(f"runs/quick{short}")
            return runs, runs / "results"
        if self.list and given and not given.is_dir():
            raise FileNotFoundError(f"folder must hold results: there is no {given}")
        return Path("runs") / name, given or Path("results") / name

    def run_missing(
        self, name: str, given: Path | None, wanted: dict[str, list]
    ) -> None:
        """Run what is missing of a table, or list it; cells by the folder below its."""
        from stn_tutorial.experiments.results import is_done
        from stn_tutorial.experiments.sharing import FailedRuns, work

        runs, folder = self.folders(name, given)
        todo = {folder / below: cells for below, cells in wanted.items()}
        failed: list[str] = []
        for where, cells in todo.items():
            if self.list:
                continue
            try:
                work(cells, where, runs, workers=self.workers, quick=self.quick)
            except FailedRuns as error:  # the other folders' are done nevertheless
                failed.append(str(error))
        every = [(where, cell) for where, cells in todo.items() for cell in cells]
        missing = [cell for where, cell in every if not is_done(where, cell)]
        for cell in missing if self.list else ():
            print(f"missing: {cell.name}")
        print(f"{len(every) - len(missing)} done, {len(missing)} missing")
        for where, cells in todo.items():
            _name_damaged(cells, where)
        if failed:
            raise FailedRuns("; ".join(failed))


def _apart(cells: Sequence[Any]) -> dict[str, list]:
    """The trials of a table apart from its final runs, by the folder below its."""
    wanted: dict[str, list] = {}
    for cell in cells:
        below = "" if cell.phase == "final" else "validation"
        wanted.setdefault(below, []).append(cell)
    return wanted


TableColumn = Literal["R", "RTS", "P", "E", "clutter"]


@dataclass
class Table:
    """Run what is missing of the table of distorted MNIST; processes share the work."""

    recipes: tuple[
        Literal[
            "paper",
            "short",
            "plain",
            "today",
            "short-1",
            "short-2",
            "short-4",
            "short-8",
            "short-16",
            "short-32",
        ],
        ...,
    ] = ("paper", "short", "today")
    """How to train: as the paper did; the same in a tenth of the steps, each ten times
    as long, or in so many epochs; without momentum; or as one would today."""
    columns: tuple[TableColumn, ...] = get_args(TableColumn)
    """Which distortions."""
    rows: tuple[str, ...] = (
        *("FCN", "CNN", "ST-FCN Aff", "ST-FCN Proj", "ST-FCN TPS"),
        *("ST-CNN Aff", "ST-CNN Proj", "ST-CNN TPS"),
    )
    """Which models, as the table names them, such as "ST-CNN Aff"."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Which seeds."""
    budget: int | None = None
    """How many parameters; other budgets than the table's are kept beside it."""
    compiled: bool = False
    """Compile the models, with CUDA graphs on a GPU."""
    folder: Path | None = None
    """Where the results are; results/distorted_mnist by default."""
    work: Work = field(default_factory=Work)

    def run(self) -> None:
        """Run what is missing, or list it."""
        from stn_tutorial.course.reports.distorted_mnist import overview
        from stn_tutorial.experiments.distorted_mnist import cells
        from stn_tutorial.experiments.results import is_done
        from stn_tutorial.experiments.sharing import work

        wanted = cells(
            recipes=self.recipes,
            columns=self.columns,
            rows=self.rows,
            seeds=self.seeds,
        )
        runs, folder = self.work.folders("distorted_mnist", self.folder)
        if self.budget is not None:
            if self.budget < 1:
                raise ValueError(f"budget must be >= 1, got {self.budget}")
            runs, folder = (p / "budgets" / str(self.budget) for p in (runs, folder))
        if not self.work.list:
            how = {"quick": self.work.quick, "workers": self.work.workers}
            how |= {"budget": self.budget, "compiled": self.compiled}
            work(wanted, folder, runs, **how)
        done = [cell for cell in wanted if is_done(folder, cell)]
        print(overview(done, wanted))
        _name_damaged(wanted, folder)


@dataclass
class Clutter:
    """Run what is missing of the study on clutter; processes share the work."""

    arms: tuple[str, ...] = ()
    """Which arms, as `report clutter` names them; all by default."""
    phases: tuple[Literal["search", "final"], ...] = ("search",)
    """The search, on held-out digits, or the final runs, on all digits."""
    seeds: tuple[int, ...] = (0,)
    """Which seeds."""
    folder: Path | None = None
    """Where the results are; results/clutter by default."""
    work: Work = field(default_factory=Work)

    def run(self) -> None:
        """Run what is missing, or list it."""
        from stn_tutorial.experiments.clutter import ARMS, cells

        arms = self.arms or tuple(ARMS)
        wanted = cells(phases=self.phases, arms=arms, seeds=self.seeds)
        self.work.run_missing("clutter", self.folder, {"": wanted})


Task = Literal["classification", "regression", "rendering", "detection"]


@dataclass
class Coordconv:
    """Run what is missing of CoordConv's tasks; processes share the work."""

    tasks: tuple[Task, ...] = get_args(Task)
    """Which tasks."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Which seeds."""
    folder: Path | None = None
    """Where the results are; results/coordconv by default."""
    work: Work = field(default_factory=Work)

    def run(self) -> None:
        """Run what is missing, or list it."""
        from stn_tutorial.experiments import not_so_clevr, scattered_digits

        tasks = [name for name in self.tasks if name != "detection"]
        wanted = {"": not_so_clevr.cells(tasks=tasks, seeds=self.seeds)}
        if "detection" in self.tasks:
            wanted["detection"] = scattered_digits.cells(seeds=self.seeds)
        self.work.run_missing("coordconv", self.folder, wanted)


Column = Literal["none", "R", "RTS", "P", "E", "clutter", "crop"]
Arrangement = Literal[
    "plain", "first", "everywhere", "radius", "both", "zero", "pooled", "pooled-first"
]


@dataclass
class CoordconvStn:
    """Run what is missing of the table of CoordConv in spatial transformers."""

    columns: tuple[Column, ...] = get_args(Column)
    """Which distortions; crop is clutter, seen through a crop that can only move."""
    arrangements: tuple[Arrangement, ...] = get_args(Arrangement)
    """Where the coordinates go."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Which seeds."""
    folder: Path | None = None
    """Where the results are; results/coordconv_stn by default."""
    work: Work = field(default_factory=Work)

    def run(self) -> None:
        """Run what is missing, or list it."""
        from stn_tutorial.experiments.coordconv_stn import cells

        wanted = cells(
            columns=self.columns, arrangements=self.arrangements, seeds=self.seeds
        )
        self.work.run_missing("coordconv_stn", self.folder, {"": wanted})


@dataclass
class Addition:
    """Run what is missing of MNIST addition; processes share the work."""

    lengths: tuple[Literal["short", "long"], ...] = ("short", "long")
    """Runs of 5 or of 20 epochs."""
    rows: tuple[str, ...] = ()
    """Which networks, as `report addition` names them, with 2ST for 2×ST; all by
    default."""
    seeds: tuple[int, ...] = (0,)
    """Which seeds."""
    rates: tuple[float, ...] = ()
    """Try these learning rates on held-out digits instead, in five epochs of half of
    the digits."""
    folder: Path | None = None
    """Where the results are; results/addition by default."""
    work: Work = field(default_factory=Work)

    def run(self) -> None:
        """Run what is missing, or list it."""
        from stn_tutorial.experiments.addition import ROWS, cells, trials

        rows = self.rows or tuple(ROWS)
        wanted: dict[str, list] = {"validation": trials(rows, self.rates)}
        if not self.rates:
            wanted = {"": cells(lengths=self.lengths, rows=rows, seeds=self.seeds)}
        self.work.run_missing("addition", self.folder, wanted)


@dataclass
class Strings:
    """Run what is missing of reading strings of digits; processes share the work."""

    models: tuple[Literal["cnn", "single", "multi"], ...] = ("cnn", "single", "multi")
    """Networks without transformers, with one in front, or with one before each of
    three convolutions."""
    phases: tuple[Literal["rate-0.002", "rate-0.005", "rate-0.01", "final"], ...] = (
        "final",
    )
    """The final runs, on test digits, or a learning rate tried on held-out digits."""
    sizes: tuple[Literal[64, 128], ...] = (64,)
    """Height and width of the canvases."""
    seeds: tuple[int, ...] = (0,)
    """Which seeds."""
    folder: Path | None = None
    """Where the results are; results/strings by default."""
    work: Work = field(default_factory=Work)

    def run(self) -> None:
        """Run what is missing, or list it."""
        from stn_tutorial.experiments.strings import cells

        wanted = cells(
            phases=self.phases, models=self.models, sizes=self.sizes, seeds=self.seeds
        )
        self.work.run_missing("strings", self.folder, {"": wanted})


CropsArm = Literal["all", "others", "whole", "closed", "random", "push", "hundred"]


@dataclass
class Colocalization:
    """Run what is missing of finding digits without labels of place."""

    columns: tuple[Literal["T", "TC"], ...] = ("T", "TC")
    """Which pictures: translated digits, or translated and cluttered ones."""
    digits: tuple[int, ...] = tuple(range(10))
    """Which classes."""
    arms: tuple[CropsArm, ...] = ("all",)
    """What the encoder has seen: all classes and fragments, all classes but the one to
    be found, all but fragments (whole), digits as they come (closed), or nothing; or
    all, without the pull of one crop on another (push), or with a hundred pictures to
    train on, as in the paper."""
    seeds: tuple[int, ...] = (0,)
    """Which seeds."""
    folder: Path | None = None
    """Where the results are; results/colocalization by default."""
    work: Work = field(default_factory=Work)

    def run(self) -> None:
        """Run what is missing, or list it."""
        from stn_tutorial.experiments.colocalization import cells

        wanted = cells(
            columns=self.columns, digits=self.digits, arms=self.arms, seeds=self.seeds
        )
        self.work.run_missing("colocalization", self.folder, {"": wanted})


Arm = Literal["flat", "st-plane", "conv3d", "st-affine", "st-rigid", "untilted"]
Phase = Literal["rate-0.003", "rate-0.01", "rate-0.03", "final"]


@dataclass
class Volumes:
    """Run what is missing of digits in volumes, classified from a picture of them."""

    arms: tuple[Arm, ...] = get_args(Arm)
    """What looks at the volume."""
    phases: tuple[Phase, ...] = ("final",)
    """The final runs, on test digits, or a learning rate tried on held-out digits."""
    sides: tuple[int, ...] = (24,)
    """Sides of the volumes, in voxels; the paper's are 60."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Which seeds."""
    folder: Path | None = None
    """Where the results are; results/volumes by default."""
    work: Work = field(default_factory=Work)

    def run(self) -> None:
        """Run what is missing, or list it."""
        from stn_tutorial.experiments.volumes import cells

        wanted = cells(
            phases=self.phases, arms=self.arms, sides=self.sides, seeds=self.seeds
        )
        self.work.run_missing("volumes", self.folder, {"": wanted})


Method = Literal[
    "cnn", "augmented", "st", "ic-st", "exp-st", "deformable", "polar", "c8"
]

SuccessorsPhase = Literal["rate-0.003", "rate-0.01", "rate-0.03", "final", "longer"]


@dataclass
class Successors:
    """Run what is missing of the comparison with what came after 2015."""

    methods: tuple[Method, ...] = get_args(Method)
    """What is compared, at equal compute."""
    phases: tuple[SuccessorsPhase, ...] = ("final",)
    """The final runs, on test digits, longer ones, or a learning rate tried on held-out
    digits."""
    tasks: tuple[Literal["R", "RTS", "clutter"], ...] = ("R", "RTS", "clutter")
    """Which distortions."""
    seeds: tuple[int, ...] = (0,)
    """Which seeds."""
    folder: Path | None = None
    """Where the results are; results/after_2015 by default."""
    work: Work = field(default_factory=Work)

    def run(self) -> None:
        """Run what is missing, or list it."""
        from stn_tutorial.experiments.after_2015 import cells

        wanted = cells(
            phases=self.phases,
            tasks=self.tasks,
            methods=self.methods,
            seeds=self.seeds,
        )
        self.work.run_missing("after_2015", self.folder, {"": wanted})


SignsArm = Literal[
    "cnn",
    "st",
    "cnn-crop",
    "cnn-box",
    "st-inside",
    "two",
    "cnn-jitter",
    "st-jitter",
    "cnn-48",
    "st-48",
    "cnn-grey",
    "st-grey",
]
SignsPhase = Literal[
    "rate-0.003",
    "rate-0.01",
    "rate-0.03",
    "ratio-0.1",
    "ratio-1",
    "frames",
    "final",
]


@dataclass
class Signs:
    """Run what is missing of traffic signs: photographs, which STN_TUTORIAL_GTSRB names
    (a folder that torchvision has filled, or an archive .npz). Those of --quick are
    drawn."""

    arms: tuple[SignsArm, ...] = get_args(SignsArm)
    """Which networks, and what they see."""
    phases: tuple[SignsPhase, ...] = ("final",)
    """The final runs, on the test set; a rate tried on tracks held out; or the test on
    frames held out, which flatters."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Which seeds."""
    folder: Path | None = None
    """Where the results are; results/signs by default."""
    work: Work = field(default_factory=Work)

    def run(self) -> None:
        """Run what is missing, or list it."""
        from stn_tutorial.experiments.signs import cells

        every = cells(phases=self.phases, arms=self.arms, seeds=self.seeds)
        self.work.run_missing("signs", self.folder, _apart(every))


BirdsArm = Literal[
    "whole",
    "whole-large",
    "middle",
    "fixed",
    "random",
    "st",
    "told",
    "parts",
    "parts-still",
    "box",
    "parts-and-whole",
]
BirdsPhase = Literal[
    "rate-0.001",
    "rate-0.003",
    "rate-0.01",
    "looking-0.03",
    "looking-0.1",
    "looking-0.3",
    "final",
]


@dataclass
class Birds:
    """Run what is missing of birds: photographs, which STN_TUTORIAL_CUB names (the
    folder of CUB-200-2011), in front of a trained network that a package ships. Those
    of --quick are drawn."""

    arms: tuple[BirdsArm, ...] = get_args(BirdsArm)
    """Where the windows are; see stn_tutorial.experiments.birds."""
    phases: tuple[BirdsPhase, ...] = ("final",)
    """The final runs, on the test set, or a rate tried on pictures held out."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Which seeds."""
    folder: Path | None = None
    """Where the results are; results/birds by default."""
    work: Work = field(default_factory=Work)

    def run(self) -> None:
        """Run what is missing, or list it."""
        from stn_tutorial.experiments.birds import cells

        every = cells(phases=self.phases, arms=self.arms, seeds=self.seeds)
        self.work.run_missing("birds", self.folder, _apart(every))


Recording = Literal["films", "failures", "failures_at_scale", "renderings", "teachers"]


@dataclass
class Recordings:
    """Record what is missing of the runs that the book's figures show again."""

    which: tuple[Recording, ...] = get_args(Recording)
    """Which recordings."""
    folder: Path | None = None
    """Where the results are; results/recordings by default."""
    work: Work = field(default_factory=Work)

    def run(self) -> None:
        """Record what is missing, or list it."""
        wanted = {}
        for name in self.which:
            module = import_module(f"stn_tutorial.experiments.{name}")
            wanted[name] = getattr(module, name)()
        self.work.run_missing("recordings", self.folder, wanted)


@dataclass
class Report:
    """Print a table of the book from its results, with the paper's numbers if any."""

    which: tyro.conf.Positional[
        Literal[
            "table",
            "clutter",
            "coordconv",
            "coordconv-stn",
            "addition",
            "strings",
            "colocalization",
            "volumes",
            "successors",
            "signs",
            "birds",
        ]
    ] = "table"
    """Which table, as the command is called that runs it."""
    folder: Path | None = None
    """Where the results are; by default in results, or those that are installed."""
    figures: Path | None = None
    """Also draw the figures, as PNG files in this folder."""

    def run(self) -> None:
        """Print the table, and draw the figures if asked for."""
        import matplotlib.pyplot as plt

        from stn_tutorial.course import plotting
        from stn_tutorial.experiments.results import results_folder

        name = {"table": "distorted_mnist", "successors": "after_2015"}.get(
            self.which, self.which
        )
        name = name.replace("-", "_")
        here = Path("results") / name
        folder = self.folder or (here if here.is_dir() else results_folder() / name)
        report = import_module(f"stn_tutorial.course.reports.{name}").report
        text, drawings = report(folder)
        print(text)
        if self.figures:
            plotting.use_style()
            self.figures.mkdir(parents=True, exist_ok=True)
            for each, draw in drawings.items():
                figure = draw()
                figure.savefig(self.figures / f"{each}.png")
                plt.close(figure)


COMMANDS = {
    "train": Train,
    "evaluate": Evaluate,
    "export": Export,
    "show": Show,
    "data": Data,
    "table": Table,
    "clutter": Clutter,
    "coordconv": Coordconv,
    "coordconv-stn": CoordconvStn,
    "addition": Addition,
    "strings": Strings,
    "colocalization": Colocalization,
    "volumes": Volumes,
    "successors": Successors,
    "signs": Signs,
    "birds": Birds,
    "recordings": Recordings,
    "report": Report,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; what goes wrong is one line, and the exit code tells its kind.

    Args:
        arguments: as after ``python -m stn_tutorial``; the default is the real ones.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            _command(arguments).run()
        finally:
            if sys.stdout:  # there is none after `>&-`
                sys.stdout.flush()
    except BrokenPipeError:  # such as of `report | head`: whoever reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except KeyboardInterrupt:
        _stop(f"stopped; to go on: {PROGRAM} {shlex.join(arguments)}", 130)
    except (ValueError, FileNotFoundError) as error:
        _stop(f"error: {error}", 2)
    except (OSError, *_failures()) as error:
        _stop(f"error: {error}", 1)


def _command(arguments: list[str]) -> object:
    """The command that the arguments say, or the help or complaint of tyro."""
    name = arguments[0] if arguments else ""
    if name == "train" and _names_a_folder(arguments):
        kind, program, arguments = TrainOnPictures, f"{PROGRAM} train", arguments[1:]
    elif name in COMMANDS:  # alone, since among others tyro's messages name a dummy
        kind, program, arguments = COMMANDS[name], f"{PROGRAM} {name}", arguments[1:]
    else:
        kind, program = Union[tuple(COMMANDS.values())], PROGRAM  # noqa: UP007
    return tyro.cli(tyro.conf.OmitArgPrefixes[kind], prog=program, args=arguments)


def _names_a_folder(arguments: list[str]) -> bool:
    """Whether --data is there, and is none of the names of digits."""
    for index, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name == "--data":
            given = value or next(iter(arguments[index + 1 :]), "auto")
            return given not in ("auto", "mnist", "embedded")
    return False


def _few(names: Sequence[str]) -> str:
    """Some names on one line, and how many more there are."""
    most = 8
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(" ".join(name.split()) for name in names[:most]) + more


def _in_lines(looks: list[dict[str, Any]]) -> str:
    """What JSON says of each look, for people."""
    lines = []
    for look in looks:
        width, height = look["size"]
        lines.append(
            f"{look['picture']} ({width}×{height}): {look['class']}, "
            f"{100 * look['share']:.0f}%"
        )
        name = "theta" if "theta" in look else "params"
        numbers = str([_rounded(row) for row in look[name]])
        lines.append(f"  {name} of {look['family']}: {numbers}")
        corners = [
            "(beyond the horizon)" if p is None else f"({p[0]:.1f}, {p[1]:.1f})"
            for p in look["box"]
        ]
        lines.append(f"  box in pixels (x, y): {' '.join(corners)}")
    return "\n".join(lines)


def _rounded(numbers: Any) -> Any:
    if isinstance(numbers, list):
        return [_rounded(number) for number in numbers]
    return round(numbers, 3) + 0.0  # and never -0.0


def _warn_of_another_frame(
    size: tuple[int, int], other: tuple[int, int], name: str
) -> None:
    """Say so if a picture can't show the same scene: a thumbnail is rounded a bit."""
    (a, b), (c, d) = sorted((size, other))
    if abs(d - c * b / a) > max(1.5 * d / b, 1.5):
        print(
            f"warning: {name} is {other[0]}×{other[1]}, of other proportions than "
            f"{size[0]}×{size[1]}: its edges are taken for those of the picture",
            file=sys.stderr,
        )


def _print_history(done: Run) -> None:
    """Print the errors after each epoch."""
    for entry in done.history:
        print(
            f"epoch {entry['epoch']:3d}: loss {entry['loss']:.4f}, "
            f"train {entry['train_error']:.2f}%, "
            f"test {entry['test_error']:.2f}%, {entry['seconds']:.1f} s"
        )


def _failures() -> tuple[type[Exception], ...]:
    """What can go wrong on the way, and is told in one line."""
    from stn_tutorial.data.archives import DataError
    from stn_tutorial.experiments.sharing import FailedRuns
    from stn_tutorial.experiments.training import Diverged

    return DataError, Diverged, FailedRuns


def _stop(line: str, code: int) -> NoReturn:
    """Print what is wrong on one line, once for all processes, and exit."""
    if is_main_process():
        print(" ".join(line.split()), file=sys.stderr)
    raise SystemExit(code)


def _name_damaged(cells: list, folder: Path) -> None:
    """Print which files are there, but are no results."""
    from stn_tutorial.experiments.results import result_file, what_is_missing

    for cell in cells:
        why = what_is_missing(folder, cell)
        if why and result_file(folder, cell).exists():
            print(f"warning: {why}", file=sys.stderr)
