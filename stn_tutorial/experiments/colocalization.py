"""Find what pictures have in common, with no labels of place (Jaderberg et al. A.4).

The pictures show digits of one class, somewhere on a canvas, perhaps among pieces of
other digits. A spatial transformer cuts a crop out of each, and its localization
network is trained by a triplet loss alone: crops of two pictures should look alike, and
a crop should not look like a random patch of its own picture. How alike, an *encoder*
says, a network trained for something else and frozen. Boxes are used to judge, and
never to train.

This is the study: what is run, and how it is judged. Its parts are modules: the
pictures (`stn_tutorial.data.canvases`), the encoder (`colocalization_encoder`), the
transformer (`colocalizer`), the loss (`triplet_loss`), and boxes that need no training
(`colocalization_baselines`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from stn_tutorial.data.canvases import COLUMNS, FRAME, SIZE, Pictures, make_pictures
from stn_tutorial.experiments._options import Range, check_options
from stn_tutorial.experiments.cells import NamedCell, miniature
from stn_tutorial.experiments.colocalization_baselines import BASELINES
from stn_tutorial.experiments.colocalization_encoder import (
    Encoder,
    digits_for,
    train_encoder,
    without,
)
from stn_tutorial.experiments.colocalizer import Colocalizer, CropInside, found_boxes
from stn_tutorial.experiments.models import seeded
from stn_tutorial.experiments.results import ENVIRONMENT, Seed, check_cell
from stn_tutorial.experiments.scattered_digits import boxes_iou
from stn_tutorial.experiments.training import Problem, Recipe, Run, fit
from stn_tutorial.experiments.triplet_loss import triplet_loss
from stn_tutorial.localization import ModernLocalization

__all__ = ["ARMS", "Cell", "Config", "cells", "make_model", "run"]

#: Passes over about 2,000 pictures of a class; without clutter there is less to learn.
EPOCHS = {"T": 3, "TC": 8}
#: What the test pictures are drawn with, whatever is trained.
TEST_SEED = 2015


@dataclass(frozen=True)
class Config:
    """Everything that decides what a run gives.

    Attributes:
        column: one of `COLUMNS`.
        digit: the class that all pictures show.
        encoder: see `train_encoder`.
        count: how many pictures; 0 uses all digits of the class in the second third.
        start: side of the crops at the start, over the picture's; at the end it is a
            third, 28 pixels.
        coarse: share of the training that goes from coarse to fine; see `Colocalizer`.
        margin: by how much a crop's random patch should be farther than its like.
        pull: weight, at the end, of how far the crops are from their likes.
        data: of the pictures.
        encoder_data: of the encoder.
        validation: judge on the digits held out, and not on the test digits.
        recipe: how to train.
    """

    column: Literal["T", "TC"] = "TC"
    digit: Annotated[int, Range(least=0, below=10)] = 3
    encoder: Literal["all", "others", "whole", "closed", "random"] = "all"
    count: Annotated[int, Range(least=0)] = 0
    start: Annotated[float, Range(above=0)] = 0.5
    coarse: Annotated[float, Range(above=0)] = 0.5
    margin: Annotated[float, Range(least=0)] = 1.0
    pull: Annotated[float, Range(least=0)] = 1.0
    data: Literal["mnist", "embedded"] = "mnist"
    encoder_data: Literal["mnist", "embedded"] = "mnist"
    validation: bool = False
    recipe: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=8, batch_size=32, lr=3e-3, localization_lr_ratio=1.0
        )
    )

    def __post_init__(self) -> None:
        check_options(self)


@lru_cache(maxsize=3)
def _pictures(split: str, source: str, column: str, seed: int) -> Pictures:
    """Those of all classes, kept for the next cell."""
    return make_pictures(digits_for(split, source), column, seed=seed)


def make_model(config: Config, encoder: nn.Module, *, passes: int = 1) -> Colocalizer:
    """Build the untrained model of a configuration: it crops the middle.

    >>> model = make_model(Config(), nn.Flatten())
    >>> found_boxes(model, torch.zeros(1, 1, 84, 84)).tolist()
    [[20.5, 20.5, 62.5, 62.5]]

    Args:
        config: its recipe's seed decides the weights.
        encoder: of crops of 28×28.
        passes: batches of training in its first part, from coarse to fine.

    Returns:
        The model, on the CPU.
    """
    start, end = config.start, FRAME / SIZE
    with seeded(config.recipe.seed):
        network = ModernLocalization((1, SIZE // 2, SIZE // 2), CropInside(start))
    # Where a digit is can be seen at half the resolution, at a quarter of the cost.
    network = nn.Sequential(nn.AvgPool2d(2), network)
    return Colocalizer(network, encoder, scales=(start, end), passes=passes)


_JUDGED = {"pictures": int, "iou": float, "found": float}
_RESULT = {
    "config": Config,
    "parameters": int,
    "encoder": {
        "kind": str,
        "classes": [int],
        "digits": int,
        "sha256": str,
        "test_error": float,
    },
    "data": {
        "source": str,
        "split": str,
        "crops": {"digits": int, "sha256": str},
        "test": {"digits": int, "sha256": str},
    },
    "found": float,
    "iou": float,
    "side_px": float,
    "test": _JUDGED,
    "own": _JUDGED,
    "baselines": {str: float},
    "worst": [{"index": int, "iou": float, "box": [float]}],
    "seconds": float,
    "history": [
        {
            "epoch": int,
            "loss": float,
            "seconds": float,
            "iou?": float,
            "found?": float,
        },
        ...,
    ],
    **ENVIRONMENT,
}


def _judge(found: Tensor, true: Tensor) -> dict[str, float]:
    """Mean IoU, and the share of boxes above a half, in percent."""
    iou = boxes_iou(found, true)
    return {
        "pictures": len(iou),
        "iou": iou.mean().item(),
        "found": 100 * (iou > 0.5).float().mean().item(),
    }


def run(
    config: Config,
    folder: Path | None = None,
    *,
    limit: int = 0,
    progress: bool = False,
    **options: Any,
) -> Run:
    """Train a co-localizer, and judge its boxes; go on where a killed run stopped.

    Args:
        config: what to train and how.
        folder: where the checkpoint is kept; without, there is none.
        limit: of the pictures of all classes, for a miniature; 0 takes all.
        progress: show a bar.
        **options: of `stn_tutorial.experiments.training.fit`.

    Returns:
        The run: its `result` has the share of test pictures whose box is found (an IoU
        above a half with the digit's 28×28) in percent, the mean IoU and the mean side
        of the boxes; the same of the pictures trained on (``own``), of the baselines;
        and the eight worst test pictures.
    """
    seed, split = config.recipe.seed, "validation" if config.validation else "test"
    left_out = config.digit if config.encoder == "others" else None
    classifier, about = train_encoder(
        config.encoder, digit=left_out, data=config.encoder_data, seed=seed
    )
    of = config.data, config.column
    pictures = _pictures("crops", *of, seed).of(config.digit, config.count or limit)
    test = _pictures(split, *of, TEST_SEED).of(config.digit, limit)
    steps = config.recipe.epochs * -(-len(pictures) // config.recipe.batch_size)
    passes = max(1, round(config.coarse * steps))
    usual = without(digits_for("encoder", config.encoder_data), left_out)
    encoder = Encoder(classifier, usual.images[:1000])
    model = make_model(config, encoder, passes=passes)

    def prepare(images: Tensor, draw: torch.Generator) -> tuple[Any, Tensor]:
        places = torch.rand(len(images), 2, generator=draw, device=draw.device)
        return (images / 255, 2 * places - 1), images

    def evaluate(model: Any) -> dict[str, float]:
        judged = _judge(found_boxes(model, test.images), test.boxes)
        return {name: judged[name] for name in ("iou", "found")}

    problem = Problem(
        examples=(pictures.images,),
        prepare=prepare,
        loss=lambda e, _: triplet_loss(
            e, config.margin, weight=config.pull * model.along
        ),
        evaluate=evaluate,
    )
    label = {"colocalization": asdict(config), "encoder": about}
    done = fit(
        model,
        problem,
        config.recipe,
        folder=folder,
        label=label,
        evaluate_every=2,
        progress=progress,
        **options,
    )
    boxes = found_boxes(model, test.images)
    judged = _judge(boxes, test.boxes)
    iou = boxes_iou(boxes, test.boxes)
    baselines = {}
    for name, corners in BASELINES.items():
        corner = corners(test.images, classifier) - 0.5
        frames = torch.cat([corner, corner + FRAME], dim=1)
        baselines[name] = _judge(frames, test.boxes)["found"]
    digits = {
        "crops": digits_for("crops", config.data),
        "test": digits_for(split, config.data),
    }
    done.about = {
        "config": asdict(config),
        "encoder": about,
        "data": {
            "source": config.data,
            "split": split,
            **{
                name: {"digits": len(part), "sha256": part.checksum}
                for name, part in digits.items()
            },
        },
        "found": judged["found"],
        "iou": judged["iou"],
        "side_px": (boxes[:, 2] - boxes[:, 0]).mean().item(),
        "test": judged,
        "own": _judge(found_boxes(model, pictures.images), pictures.boxes),
        "baselines": baselines,
        "worst": [
            {
                "index": index,
                "iou": iou[index].item(),
                "box": [round(edge, 2) for edge in boxes[index].tolist()],
            }
            for index in iou.argsort()[:8].tolist()
        ],
    }
    return done


#: What each arm changes of a configuration. The first has an encoder that knows all ten
#: classes and fragments; then one that has never seen the class, one that has never
#: seen a fragment (whole), one that has seen digits as they come alone (closed), as the
#: paper's, and one that has never seen anything. The next leaves out the pull of one
#: crop on another; the last has as many pictures as the paper, a hundred, and is judged
#: on them.
ARMS: dict[str, dict[str, Any]] = {
    "all": {},
    "others": {"encoder": "others"},
    "whole": {"encoder": "whole"},
    "closed": {"encoder": "closed"},
    "random": {"encoder": "random"},
    "push": {"pull": 0.0},
    "hundred": {"count": 100},
}


@dataclass(frozen=True)
class Cell(NamedCell):
    """One run.

    >>> cell = Cell("TC", 3, "others")
    >>> cell.name, cell.config().encoder
    ('TC-3-others-0', 'others')

    Attributes:
        column: one of `COLUMNS`.
        digit: the class, 0 to 9.
        arm: one of `ARMS`.
        seed: of weights, order, locations, pieces, and the encoder.

    Raises:
        TypeError: if a name is no string, or a number no integer.
        ValueError: if there is no such run.
    """

    RESULT: ClassVar[dict[str, Any]] = _RESULT

    column: str
    digit: Annotated[int, Range(least=0, below=10)]
    arm: str = "all"
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, column=COLUMNS, arm=ARMS)

    def config(self, *, quick: bool = False) -> Config:
        """Return the configuration of the run.

        Args:
            quick: of a miniature: embedded digits, two epochs.

        Returns:
            What to give to `run`.
        """
        config = Config(column=self.column, digit=self.digit, **ARMS[self.arm])
        epochs = EPOCHS[self.column]
        if config.count:  # as many steps with as few pictures
            epochs *= 18
        recipe = replace(config.recipe, seed=self.seed, epochs=epochs)
        config = replace(config, recipe=recipe)
        if quick:
            config = miniature(config, batch_size=16, encoder_data="embedded")
        return config

    def measure(
        self, checkpoints: Path, *, progress: bool = False, quick: bool = False
    ) -> dict[str, Any]:
        """Run the cell, or go on where a killed run of it stopped.

        Args:
            checkpoints: the folder of the run.
            progress: show a bar.
            quick: see `config`.

        Returns:
            The result of `run`.
        """
        config = self.config(quick=quick)
        small = {"limit": 32} if quick else {}
        return run(config, checkpoints, progress=progress, **small).result


def cells(
    *,
    columns: Iterable[str] = tuple(COLUMNS),
    digits: Iterable[int] = range(10),
    arms: Iterable[str] = ("all",),
    seeds: Iterable[int] = (0,),
) -> list[Cell]:
    """Return the runs, those of a seed together.

    >>> len(cells()), [cell.name for cell in cells(columns=["TC"], digits=[3, 8])]
    (20, ['TC-3-all-0', 'TC-8-all-0'])

    Args:
        columns: of `COLUMNS`.
        digits: classes.
        arms: of `ARMS`.
        seeds: see `Cell`.

    Returns:
        The cells, in the order of work.

    Raises:
        ValueError: if a name is unknown.
    """
    every = product(seeds, arms, columns, digits)
    return [Cell(column, digit, arm, seed) for seed, arm, column, digit in every]
