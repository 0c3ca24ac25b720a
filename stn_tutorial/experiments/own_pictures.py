"""Classifying anybody's pictures: one run, from a folder to its result.

The loop, the checkpoints and the networks are those of the digits. Values are divided
by 255 and no mean is subtracted: so 0 stays black, which is what a transformer reads
outside a picture (or white is 1, if that is the background).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from stn_tutorial.data.digits import DigitSet, is_main_process
from stn_tutorial.data.distortions import DISTORTIONS, distort_pictures
from stn_tutorial.data.pictures import Pictures, load_pictures
from stn_tutorial.experiments._options import Range, check_options, options_from
from stn_tutorial.experiments.checkpoints import load_tensors, read_checkpoint
from stn_tutorial.experiments.classification import options_of
from stn_tutorial.experiments.environment import autocast
from stn_tutorial.experiments.models import FamilyName, ModelName, build, seeded
from stn_tutorial.experiments.results import keep_result
from stn_tutorial.experiments.training import Recipe, Run, misclassified, train

__all__ = [
    "Config",
    "Trained",
    "evaluate",
    "is_of_pictures",
    "load_trained",
    "make_model",
    "run",
]

#: Of the distortions of the pictures that are held out, as of the test digits.
TEST_SEED = 2015


@dataclass(frozen=True)
class Config:
    """Everything that decides what a run gives, but for the pictures.

    >>> Config(share=1.0)
    Traceback (most recent call last):
        ...
    ValueError: share must be a finite number > 0 and < 1, got 1.0

    Attributes:
        model: which classifier; the st- variants have a spatial transformer in front,
            of which st-small's localization network is half as wide, and st-pooled's
            pools over all locations.
        family: the family of warps of an st- variant; crop has half the picture's
            height and width.
        out_size: height of an st- variant's output, whose width is in proportion; none
            keeps the input's.
        budget: how many parameters the model may have, about; none keeps the
            classifier's usual width, so that the model grows with the pictures' size,
            their channels and the number of classes.
        height: of the network's input, to which all pictures are brought.
        width: of the network's input; none is the height.
        fit: what is kept of pictures of another shape; pad: all of it, and the
            proportions, with bars on two sides; crop: the middle, and the proportions;
            stretch: all of it, without the proportions.
        colours: grey, rgb, or auto: grey if all files are, and else rgb.
        background: what is beside a picture, behind what is transparent, and where the
            transformer looks over the edge.
        distort: distort the pictures as digits are, anew in every epoch; RTS and P make
            them half as large again.
        share: of each class that is held out and tested on, one picture at least, if
            the folder has no folders train and val (or test).
        split_seed: of the choice of these pictures.
        recipe: how to train.
    """

    model: ModelName = "st-modern"
    family: FamilyName = "affine"
    out_size: Annotated[int, Range(least=1)] | None = None
    budget: Annotated[int, Range(least=1)] | None = None
    height: Annotated[int, Range(least=1)] = 64
    width: Annotated[int, Range(least=1)] | None = None
    fit: Literal["pad", "crop", "stretch"] = "pad"
    colours: Literal["auto", "grey", "rgb"] = "auto"
    background: Literal["black", "white"] = "black"
    distort: Literal["none", "R", "RTS", "P", "E"] = "none"
    share: Annotated[float, Range(above=0, below=1)] = 0.2
    split_seed: Annotated[int, Range(least=0, below=2**32)] = 0
    recipe: Recipe = field(default_factory=lambda: Recipe(epochs=30, batch_size=32))

    def __post_init__(self) -> None:
        check_options(self)
        if self.out_size and not self.has_transformer:
            raise ValueError(
                f"out_size must be None for {self.model}, got {self.out_size}"
            )

    @property
    def has_transformer(self) -> bool:
        """Whether the model has one in front."""
        return self.model.startswith("st-")

    @property
    def size(self) -> tuple[int, int]:
        """``(H, W)`` that the pictures are brought to."""
        return self.height, self.width or self.height

    @property
    def in_size(self) -> tuple[int, int]:
        """``(H, W)`` of the network's input: larger, if pictures are distorted so."""
        return DISTORTIONS[self.distort].out_size(self.size)

    def load(self, folder: Path, *, lone: bool = False) -> Pictures:
        """Read the pictures as the options say.

        Args:
            folder: that has a folder for each class.
            lone: a class may have a single picture, which isn't held out.

        Returns:
            The pictures, not distorted.
        """
        return load_pictures(
            folder,
            size=self.size,
            colours=self.colours,
            fit=self.fit,
            background=self.background,
            share=self.share,
            seed=self.split_seed,
            lone=lone,
        )


@dataclass(frozen=True, eq=False)
class Trained:
    """What a run's checkpoint holds.

    Attributes:
        config: with the colours that the pictures came to.
        classes: their names, in the order of the scores.
        sha256: of the pictures and labels trained on.
        model: on the CPU, in evaluation mode.
    """

    config: Config
    classes: tuple[str, ...]
    sha256: str
    model: nn.Module


def make_model(config: Config, n_classes: int) -> nn.Module:
    """Build the untrained model of a configuration.

    >>> config = Config(height=32, width=48, colours="rgb", out_size=16)
    >>> model = make_model(config, 5)
    >>> images = torch.zeros(2, 3, 32, 48)
    >>> model.transformer(images).shape, model(images).shape
    (torch.Size([2, 3, 16, 24]), torch.Size([2, 5]))

    Args:
        config: its recipe's seed decides the weights; its colours are grey or rgb.
        n_classes: how many scores.

    Returns:
        The model, on the CPU.
    """
    height, width = config.in_size
    options: dict[str, Any] = {}
    if config.has_transformer:
        options["fill"] = float(config.background == "white")
        if config.out_size:
            wide = max(1, round(config.out_size * width / height))
            options["out_size"] = config.out_size, wide
    channels = 1 if config.colours == "grey" else 3
    try:
        with seeded(config.recipe.seed):
            return build(
                config.model,
                (channels, height, width),
                n_classes=n_classes,
                family=config.family,
                budget=config.budget,
                **options,
            )
    except ValueError as error:
        raise ValueError(
            f"{config.model} can't be built for pictures of {width}×{height}; choose "
            f"another size or budget ({error})"
        ) from None


def run(
    config: Config,
    pictures: Pictures,
    folder: Path | None = None,
    *,
    progress: bool = True,
) -> Run:
    """Train and test on pictures; go on where a killed run of the same ones stopped.

    Args:
        config: how.
        pictures: that its `Config.load` read.
        folder: where checkpoint and ``result.json`` are kept; none are without.
        progress: show a bar.

    Returns:
        The run.

    Raises:
        ValueError: if the folder holds a run with other options or pictures.
    """
    config = replace(config, colours=pictures.preparation.colours)
    model = make_model(config, len(pictures.classes))
    test = _test_set(config, pictures.held_out)
    done = train(
        model,
        pictures.train,
        test,
        config.recipe,
        distort=None if config.distort == "none" else _distorter(config),
        folder=folder,
        label={
            **options_of(config),
            "classes": list(pictures.classes),
            "pictures": pictures.train.checksum,
            "held_out": pictures.held_out.checksum,
        },
        progress=progress,
    )
    with autocast(next(model.parameters()).device, config.recipe.precision):
        wrong = misclassified(model, *test)
    done.about = {
        "config": asdict(config),
        "data": {
            "source": pictures.train.source,
            "classes": list(pictures.classes),
            "train": _said(pictures.train),
            "held_out": _said(pictures.held_out),
        },
        "test_error": done.test_error,
        "misclassified": [pictures.held_out_names[index] for index in wrong],
    }
    if folder and is_main_process():
        keep_result(folder, done.result)
    return done


def is_of_pictures(folder: Path) -> bool:
    """Return whether a run is one on pictures of one's own.

    Args:
        folder: of the run.

    Returns:
        False if it is on digits, or of CoordConv's tasks.

    Raises:
        ValueError: if the folder holds no checkpoint, or a damaged one.
    """
    return "classes" in read_checkpoint(folder)[0]


def load_trained(folder: Path) -> Trained:
    """Return what a run's last checkpoint holds.

    Args:
        folder: of the run.

    Returns:
        Configuration, classes and model.

    Raises:
        ValueError: if the folder holds no checkpoint, or none of a `Config`.
    """
    label, weights = read_checkpoint(folder)
    where = f"the checkpoint in {folder}"
    classes, checksum = label.pop("classes", None), label.pop("pictures", None)
    label.pop("held_out", None)
    if not _are_names(classes) or not isinstance(checksum, str):
        raise ValueError(f"{where} is not of a run on pictures of one's own")
    config = options_from(Config, label, where)
    model = make_model(config, len(classes))
    load_tensors(model, weights, Path(folder))
    return Trained(config, tuple(classes), checksum, model.eval())


def evaluate(trained: Trained, folder: Path) -> tuple[float, int, bool]:
    """Test a model on the pictures held out, or on all of another folder's.

    Args:
        trained: of `load_trained`.
        folder: of pictures. If it gives the pictures that were trained on, those held
            out are tested on; if not, all that it has.

    Returns:
        The error in percent, the number of pictures tested on, and whether these are
        the ones held out.

    Raises:
        ValueError: if the folder's classes are others.
    """
    pictures = trained.config.load(folder, lone=True)
    if pictures.classes != trained.classes:
        raise ValueError(
            f"the classes must be {', '.join(trained.classes)}, as in the training: "
            f"the folder has {', '.join(pictures.classes)}"
        )
    own = pictures.train.checksum == trained.sha256
    examples = pictures.held_out
    if not own:
        parts = pictures.train, pictures.held_out
        images = torch.cat([part.images for part in parts])
        labels = torch.cat([part.labels for part in parts])
        examples = DigitSet(images, labels, pictures.train.source)
    test = _test_set(trained.config, examples)
    device = next(trained.model.parameters()).device
    with autocast(device, trained.config.recipe.precision):
        wrong = misclassified(trained.model, *test)
    return 100 * len(wrong) / len(examples), len(examples), own


def _are_names(classes: Any) -> bool:
    return (
        isinstance(classes, Sequence)
        and len(classes) > 1
        and all(isinstance(name, str) for name in classes)
    )


def _said(part: DigitSet) -> dict[str, Any]:
    return {"pictures": len(part), "sha256": part.checksum}


def _distorter(config: Config) -> Callable[[Tensor, torch.Generator], Tensor]:
    """What distorts a batch; outside the pictures is their background."""
    white = config.background == "white"

    def distorted(images: Tensor, draw: torch.Generator) -> Tensor:
        images = 1 - images if white else images
        done = distort_pictures(images, config.distort, draw).images
        return 1 - done if white else done

    return distorted


def _test_set(config: Config, held_out: DigitSet) -> tuple[Tensor, Tensor]:
    """The pictures to test on, distorted if they are, each time alike, and labels."""
    images = held_out.images / 255
    if config.distort != "none":
        draw, distorted = torch.Generator().manual_seed(TEST_SEED), _distorter(config)
        images = torch.cat([distorted(part, draw) for part in images.split(100)])
    return images, held_out.labels
