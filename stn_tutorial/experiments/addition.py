"""MNIST addition (Jaderberg et al. 2015, §A.1): one transformer, or two side by side.

A picture has two channels, each with a digit that was distorted alone, and the label is
their sum. One transformer warps both channels alike, so it can undo one of the two
distortions; two of them side by side can undo both. All networks have about as many
parameters. They are trained by today's recipe, in 4,700 or 19,000 steps; the paper
takes 150,000. Its digits are also scaled and moved: here only those of the
convolutional networks are, which learn such sums sooner.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from stn_tutorial.coordinates import base_grid
from stn_tutorial.data.addition import N_SUMS, Pairs, fixed_pairs, make_pairs
from stn_tutorial.data.digits import DigitSet
from stn_tutorial.data.distortions import DISTORTIONS, distorted_copies
from stn_tutorial.experiments import classification
from stn_tutorial.experiments._options import Range, check_options
from stn_tutorial.experiments.cells import TrainedCell, miniature
from stn_tutorial.experiments.classification import about, digits_of, label_of
from stn_tutorial.experiments.coordconv_stn import pose_spread
from stn_tutorial.experiments.environment import autocast
from stn_tutorial.experiments.models import (
    FamilyName,
    ModelName,
    SideBySide,
    TransformedClassifier,
    build,
    seeded,
)
from stn_tutorial.experiments.results import Seed, check_cell
from stn_tutorial.experiments.training import (
    Recipe,
    Run,
    classification_problem,
    fit,
    misclassified,
    predict,
)
from stn_tutorial.families import Affine, Family
from stn_tutorial.families import fit as fit_warp

__all__ = [
    "BUDGET",
    "CONVOLUTIONAL",
    "CONVOLUTIONAL_LR",
    "LENGTHS",
    "PAPER",
    "RECIPE",
    "ROWS",
    "Cell",
    "Config",
    "Trial",
    "cells",
    "looks",
    "make_model",
    "nearest_affine",
    "run",
    "trials",
]

#: The networks, as (classifier, family of warps, transformers side by side). They are
#: the paper's fully connected ones, the same with normalized layers (BN), and today's
#: convolutional ones, which have such layers, too.
ROWS = {
    "FCN": ("fcn", "affine", 0),
    "ST-FCN Aff": ("st-fcn", "affine", 1),
    "2ST-FCN Aff": ("st-fcn", "affine", 2),
    "2ST-FCN Proj": ("st-fcn", "projective", 2),
    "2ST-FCN TPS": ("st-fcn", "tps", 2),
    "BN-FCN": ("normalized-fcn", "affine", 0),
    "ST-BN-FCN Aff": ("st-normalized-fcn", "affine", 1),
    "2ST-BN-FCN Aff": ("st-normalized-fcn", "affine", 2),
    "2ST-BN-FCN Proj": ("st-normalized-fcn", "projective", 2),
    "2ST-BN-FCN TPS": ("st-normalized-fcn", "tps", 2),
    "BN-CNN": ("modern", "affine", 0),
    "ST-BN-CNN Aff": ("st-modern", "affine", 1),
    "2ST-BN-CNN Aff": ("st-modern", "affine", 2),
    "2ST-BN-CNN Proj": ("st-modern", "projective", 2),
    "2ST-BN-CNN TPS": ("st-modern", "tps", 2),
}
#: Test errors in percent, as Jaderberg et al. (2015) report them for digits that were
#: also scaled and moved, and for networks trained for 150,000 steps. Of one transformer
#: we know the range over families.
PAPER = {
    "FCN": "47.7",
    "CNN": "14.7",
    "ST-FCN Aff": "18.5–22.6",
    "2ST-FCN Aff": "9.0",
    "2ST-FCN Proj": "5.9",
    "2ST-FCN TPS": "5.8",
}
#: What is done to each digit of fully connected networks. A rotation alone, and not the
#: paper's scale and translation, too: with these the same network still misread 85% of
#: the pairs after 2,300 steps, where it misread 38% that were rotated alone.
DISTORTION = "R"
#: About how many parameters every fully connected network has.
BUDGET = 300_000
#: The runs by their lengths, in epochs and in how many pictures each training digit is
#: distorted beforehand. The short ones came first; seeing that two transformers were
#: behind one in them, and still gaining, we added the long ones.
LENGTHS = {"short": (5, 4), "long": (20, 8)}
#: The rates were chosen on held-out digits; see `Trial`.
RECIPE = Recipe(batch_size=64, lr=5e-3, localization_lr_ratio=0.3)
#: The plain networks bear a fifth of the rate; likewise.
PLAIN_LR = 1e-3
#: What differs for convolutional networks, which use each parameter many times, and
#: learn from the paper's distortion.
CONVOLUTIONAL: dict[str, Any] = {
    "budget": 150_000,
    "distortion": "RTS",
    "recipe": replace(RECIPE, precision="bfloat16"),
}
#: Their rates by how many transformers there are, chosen likewise; see `Trial`.
CONVOLUTIONAL_LR = {0: 5e-3, 1: 5e-3, 2: 1e-2}


@dataclass(frozen=True)
class Config:
    """Everything that decides what a run gives.

    >>> Config(model="cnn", heads=2)
    Traceback (most recent call last):
        ...
    ValueError: heads must be 0 for cnn, got 2

    Attributes:
        model: which classifier, as of `stn_tutorial.experiments.models.build`.
        family: the family of warps of an st- variant.
        heads: how many transformers stand side by side in an st- variant.
        out_size: height and width of what they pass on.
        distortion: what is done to each digit.
        budget: how many parameters the model may have, about.
        data: mnist, embedded, or auto: mnist when it can be had.
        limit: use the first so many training digits; 0 uses all.
        copies: distort every training digit so many times before training, and pair
            what comes of it anew in every epoch: small networks take less time for a
            batch than its distortion does. 0 distorts every digit of every pair anew.
        validation: hold out so many training digits, the last ones, and test on them
            instead.
        recipe: how to train. In an epoch, every digit is once in the first channel.
    """

    model: ModelName = "st-fcn"
    family: FamilyName = "affine"
    heads: Annotated[int, Range(least=0)] = 2
    out_size: Annotated[int, Range(least=1)] = 28
    distortion: Literal["none", "R", "RTS"] = DISTORTION
    budget: Annotated[int, Range(least=1)] = BUDGET
    data: Literal["auto", "mnist", "embedded"] = "auto"
    limit: Annotated[int, Range(least=0)] = 0
    copies: Annotated[int, Range(least=0)] = 0
    validation: Annotated[int, Range(least=0)] = 0
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        check_options(self)
        transformed = self.model.startswith("st-")
        if transformed != (self.heads > 0):
            wanted = "at least 1" if transformed else "0"
            raise ValueError(
                f"heads must be {wanted} for {self.model}, got {self.heads}"
            )


_SPREAD = {"angle_deg": float, "scale_percent": float, "shift_px": float}
#: What the result of a run looks like; see `stn_tutorial.experiments.results`.
RESULT = {
    "config": Config,
    **classification.RESULT,
    "misclassified?": [int],
    "looks?": {"as_they_come": [_SPREAD], "passed_on": [[_SPREAD]]},
}


def make_model(config: Config) -> nn.Module:
    """Build the untrained model of a configuration.

    >>> model = make_model(Config(family="tps"))
    >>> model.transformer(torch.zeros(3, 2, 28, 28)).shape
    torch.Size([3, 4, 28, 28])

    Args:
        config: its recipe's seed decides the weights.

    Returns:
        The model, on the CPU: ``(N, 2, H, W)`` pictures to ``(N, 19)`` scores of sums.
    """
    options: dict[str, Any] = {}
    if config.heads:
        options = {
            "family": config.family,
            "heads": config.heads,
            "out_size": (config.out_size, config.out_size),
        }
    with seeded(config.recipe.seed):
        return build(
            config.model,
            (2, *DISTORTIONS[config.distortion].size),
            n_classes=N_SUMS,
            budget=config.budget,
            **options,
        )


def run(
    config: Config,
    folder: Path | None = None,
    *,
    progress: bool = True,
) -> Run:
    """Train and test a configuration; go on where a killed run of it stopped.

    Args:
        config: what to train and how.
        folder: where the checkpoint is kept; none is without.
        progress: show a bar.

    Returns:
        The run; its `result` looks like `RESULT`.

    Raises:
        ValueError: if the folder holds a run with other options.
        DataError: if the data can't be had.
    """
    digits, held_out = digits_of(config)
    test = fixed_pairs(held_out, distortion=config.distortion)
    model = make_model(config)
    prepare = (
        _PairsOfCopies(digits, config) if config.copies else _NewPairs(digits, config)
    )
    examples = (torch.arange(len(digits)),)
    pairs = test.images, test.labels
    problem = classification_problem(examples, pairs, prepare=prepare)
    done = fit(
        model,
        problem,
        config.recipe,
        folder=folder,
        label=label_of(config, digits),
        progress=progress,
    )
    # In the run's own precision, in which its error was measured.
    with autocast(test.images.device, config.recipe.precision):
        wrong = misclassified(model, test.images, test.labels)
    done.about = {
        **about(config, digits, held_out),
        "test_error": done.test_error,
        "misclassified": wrong,
    }
    if isinstance(model, TransformedClassifier):
        done.about["looks"] = looks(model, test)
    return done


@dataclass(frozen=True)
class Cell(TrainedCell):
    """One run.

    >>> cell = Cell("long", "2ST-FCN TPS")
    >>> cell.name, cell.config().family, cell.config().heads
    ('long-2st-fcn-tps-0', 'tps', 2)

    Attributes:
        length: one of `LENGTHS`.
        row: one of `ROWS`.
        seed: of weights, order and distortions.

    Raises:
        TypeError: if a name is no string, or the seed no integer.
        ValueError: if there is no such run.
    """

    RESULT: ClassVar[dict[str, Any]] = RESULT
    RUN = staticmethod(run)

    length: str
    row: str
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, length=LENGTHS, row=ROWS)

    @property
    def name(self) -> str:
        """The name of the cell's file, such as ``long-2st-fcn-tps-0``."""
        return f"{self.length}-{self.row.lower().replace(' ', '-')}-{self.seed}"

    def config(self, *, quick: bool = False) -> Config:
        """Return the configuration of the run.

        Args:
            quick: of a miniature: few embedded digits, two epochs.

        Returns:
            What to give to `run`.
        """
        model, family, heads = ROWS[self.row]
        epochs, copies = LENGTHS[self.length]
        lr = RECIPE.lr if "BN" in self.row else PLAIN_LR
        options: dict[str, Any] = {"recipe": RECIPE}
        if "CNN" in self.row:
            options = dict(CONVOLUTIONAL)
            lr = CONVOLUTIONAL_LR[heads]
        recipe = replace(options.pop("recipe"), lr=lr, epochs=epochs, seed=self.seed)
        config = Config(
            model=model,
            family=family,
            heads=heads,
            data="mnist",
            copies=copies,
            recipe=recipe,
            **options,
        )
        if quick:
            config = miniature(config, limit=128, copies=2)
        return config


@dataclass(frozen=True)
class Trial(TrainedCell):
    """A short run by which the rates of all cells were chosen, on held-out digits.

    >>> Trial("2ST-FCN Aff", lr=0.01, ratio=0.3).config().validation
    10000

    Attributes:
        row: one of `ROWS`.
        lr: learning rate at its height.
        ratio: the localization network's over the rest's.
        seed: of weights, order and distortions.
    """

    RESULT: ClassVar[dict[str, Any]] = RESULT
    RUN = staticmethod(run)

    row: str
    lr: Annotated[float, Range(above=0)]
    ratio: Annotated[float, Range(above=0)]
    seed: Seed = 100

    def __post_init__(self) -> None:
        check_cell(self, row=ROWS)

    @property
    def name(self) -> str:
        """The name of the file, such as ``2st-fcn-aff-0.01-0.3-100``."""
        row = self.row.lower().replace(" ", "-")
        return f"{row}-{self.lr}-{self.ratio}-{self.seed}"

    def config(self, *, quick: bool = False) -> Config:
        """Return the configuration: five epochs of half of the digits.

        Args:
            quick: see `Cell.config`.

        Returns:
            What to give to `run`.
        """
        config = Cell("short", self.row, self.seed).config(quick=quick)
        rates = {"lr": self.lr, "localization_lr_ratio": self.ratio}
        recipe = replace(config.recipe, **rates)
        held_out = 100 if quick else 10_000
        limit = config.limit or 30_000
        return replace(config, limit=limit, validation=held_out, recipe=recipe)


def cells(
    *,
    lengths: Iterable[str] = tuple(LENGTHS),
    rows: Iterable[str] = tuple(ROWS),
    seeds: Iterable[int] = (0,),
) -> list[Cell]:
    """Return the runs of some networks, those of a seed and a length together.

    >>> [cell.name for cell in cells(rows=["FCN"], seeds=range(2), lengths=["short"])]
    ['short-fcn-0', 'short-fcn-1']

    Args:
        lengths: of `LENGTHS`.
        rows: of `ROWS`.
        seeds: of weights, order and distortions.

    Returns:
        The cells, in the order of work.

    Raises:
        ValueError: if a name is unknown.
    """
    every = product(seeds, lengths, rows)
    return [Cell(length, row, seed) for seed, length, row in every]


def trials(rows: Iterable[str], rates: Iterable[float]) -> list[Trial]:
    """Return the trials of some learning rates, those of a rate together.

    >>> [trial.name for trial in trials(["BN-CNN"], [0.01, 0.02])]
    ['bn-cnn-0.01-0.3-100', 'bn-cnn-0.02-0.3-100']

    Args:
        rows: of `ROWS`.
        rates: learning rates at their height.

    Returns:
        The trials, in the order of work.

    Raises:
        ValueError: if a name is unknown, or a rate not above 0.
    """
    return [Trial(row, lr, 0.3) for lr, row in product(rates, rows)]


def nearest_affine(family: Family, params: Tensor) -> Tensor:
    """Return the affine maps that come closest to warps of another family.

    Closest in the squared distance of the points sampled, over a grid of 14×14.

    >>> shift = torch.tensor([[1.0, 0.0, 0.5, 0.0, 1.0, 0.0, 0.0, 0.0]])
    >>> from stn_tutorial import Projective
    >>> (nearest_affine(Projective(), shift).round(decimals=4) + 0.0).tolist()
    [[1.0, 0.0, 0.5, 0.0, 1.0, 0.0]]

    Args:
        family: of the warps.
        params: ``(N, n_params)``, normalized output to normalized input.

    Returns:
        ``(N, 6)`` parameters of `Affine`, likewise.
    """
    size = (14, 14)
    sampled = family.grid(params, size).flatten(1, 2)
    base = base_grid(size, dtype=params.dtype, device=params.device).flatten(0, 1)
    return fit_warp(Affine(), base.expand_as(sampled), sampled)


def looks(model: TransformedClassifier, pairs: Pairs) -> dict[str, Any]:
    """Return how alike each transformer shows the digits of each channel.

    A transformer that straightens a channel leaves little spread of pose there: the
    digits of a class are all shown in the pose that the network likes best.

    Args:
        model: trained.
        pairs: such as `fixed_pairs`, with the truth of a rotation, scale and shift.

    Returns:
        ``as_they_come``, for each channel what `pose_spread` says of the pictures, and
        ``passed_on``, for each transformer, for each channel, of what it returns.
    """
    transformer = model.transformer
    heads = transformer.heads if isinstance(transformer, SideBySide) else [transformer]

    def spreads(params: Tensor) -> list[dict[str, float]]:
        return [
            pose_spread(params, pairs.truth["theta"][:, k], pairs.digits[:, k])
            for k in range(pairs.digits.shape[1])
        ]

    passed_on = []
    for head in heads:
        params = predict(head.localization, pairs.images)
        passed_on.append(spreads(nearest_affine(head.family, params)))
    still = Affine().identity().to(pairs.images).expand(len(pairs), -1)
    return {"as_they_come": spreads(still), "passed_on": passed_on}


class _NewPairs:
    """Pairs whose digits are distorted anew, a batch at a time.

    Args:
        digits: to take from; they follow the batches to their device.
        config: says how to distort.
    """

    def __init__(self, digits: DigitSet, config: Config) -> None:
        self.digits, self.distortion = digits, config.distortion

    def __call__(self, first: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """From the digits of the first channels to pictures and sums."""
        if self.digits.images.device != first.device:
            self.digits = self.digits.to(first.device)
        second = _any_of(len(self.digits), first, draw)
        pairs = make_pairs(self.digits, first, second, draw, distortion=self.distortion)
        return pairs.images, pairs.labels


class _PairsOfCopies:
    """Pairs of digits that were distorted beforehand, several times each.

    Args:
        digits: to take from, on the CPU.
        config: says how to distort, and how often; its seed decides the distortions.
    """

    def __init__(self, digits: DigitSet, config: Config) -> None:
        self.count, self.copies = len(digits), config.copies
        self.digits = _copies(digits, config)

    def __call__(self, first: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """From the digits of the first channels to pictures and sums."""
        if self.digits.images.device != first.device:
            self.digits = self.digits.to(first.device)
        chosen = torch.stack([first, _any_of(self.count, first, draw)], dim=1)
        chosen = chosen + self.count * _any_of(self.copies, chosen, draw)
        images = self.digits.images[chosen].squeeze(2) / 255
        return images, self.digits.labels[chosen].sum(dim=1)


def _any_of(count: int, like: Tensor, draw: torch.Generator) -> Tensor:
    """Random indices below a count, in the shape and on the device of others."""
    return torch.randint(count, like.shape, generator=draw, device=like.device)


_kept: dict[tuple, DigitSet] = {}


def _copies(digits: DigitSet, config: Config) -> DigitSet:
    """The digits, distorted several times; the last ones are kept, as the runs of a
    seed have the same."""
    name, seed = config.distortion, config.recipe.seed
    key = (digits.checksum, name, config.copies, seed)
    if key not in _kept:
        _kept.clear()
        _kept[key] = distorted_copies(digits, name, config.copies, seed=seed)
    return _kept[key]
