"""Does CoordConv help a spatial transformer? Runs on every distortion, in pairs.

Every arrangement of coordinates is trained on every distortion with the same seeds: the
same digits, in the same order, distorted alike, and with as many parameters. So the
runs of one seed are compared with one another, and what seeds do to all of them alike
drops out. `paired` does that.

All of it is on a part of MNIST and with short runs, so that there can be many.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.distortions import fixed_test_set
from stn_tutorial.experiments import distorted_mnist
from stn_tutorial.experiments.cells import NamedCell, miniature
from stn_tutorial.experiments.differences import (
    TEST_ERROR,
    Difference,
    Number,
    seed_by_seed,
)
from stn_tutorial.experiments.distorted_digits import RESULT, Config, run
from stn_tutorial.experiments.models import TransformedClassifier
from stn_tutorial.experiments.results import Seed, check_cell, select
from stn_tutorial.experiments.training import Recipe, predict
from stn_tutorial.families import Affine, convert

__all__ = [
    "ARRANGEMENTS",
    "BUDGET",
    "COLUMNS",
    "DIGITS",
    "RECIPE",
    "TOLD",
    "Cell",
    "Difference",
    "cells",
    "error_after",
    "paired",
    "pose_spread",
]

#: Where the coordinates go, as (model, one of `models.COORDINATES`). `zero` starts as
#: `plain` does, with its classifier, and learns what to make of them. The last two
#: forget locations before they could use them: there, coordinates must matter.
ARRANGEMENTS = {
    "plain": ("st-modern", "none"),
    "first": ("st-modern", "first"),
    "everywhere": ("st-modern", "everywhere"),
    "radius": ("st-modern", "radius"),
    "both": ("st-modern", "both"),
    "zero": ("st-modern", "zero"),
    "pooled": ("st-pooled", "none"),
    "pooled-first": ("st-pooled", "first"),
}
#: The distortions, and the size of the transformer's output; none is the input's. In
#: the last column, the transformer sees half the height and width of the clutter at
#: once, and can only move: there it has to find the digit.
COLUMNS = {"none": None, **distorted_mnist.COLUMNS, "crop": 30}
#: How many training digits, and how many parameters every model has, about.
DIGITS, BUDGET = 10_000, 120_000
#: The weights of two coordinates in the 16 filters, 5×5, of a first layer. All networks
#: but `zero` take them from their classifier.
TOLD = 2 * 16 * 5 * 5
#: The learning rates were chosen on held-out digits, for `plain` and `first` on RTS.
#: Only the last column is in float32: the CPU that made it is slow in bfloat16.
RECIPE = Recipe(
    epochs=6, batch_size=128, lr=0.03, localization_lr_ratio=0.1, precision="bfloat16"
)


_SPREAD = {"angle_deg?": float, "scale_percent?": float, "shift_px?": float}


@dataclass(frozen=True)
class Cell(NamedCell):
    """One run.

    >>> cell = Cell("RTS", "first")
    >>> cell.name, cell.config().coordinates
    ('RTS-first-0', 'first')

    Attributes:
        column: one of `COLUMNS`.
        arrangement: one of `ARRANGEMENTS`.
        seed: of weights, order and distortions.

    Raises:
        TypeError: if a name is no string, or the seed no integer.
        ValueError: if there is no such run.
    """

    RESULT: ClassVar[dict[str, Any]] = {
        **RESULT,
        "poses": {"as_they_come?": _SPREAD, "passed_on?": _SPREAD},
    }

    column: str
    arrangement: str
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, column=COLUMNS, arrangement=ARRANGEMENTS)

    def config(self, *, quick: bool = False) -> Config:
        """Return the configuration of the run.

        Args:
            quick: of a miniature: few embedded digits, two epochs, in float32.

        Returns:
            What to give to `stn_tutorial.experiments.distorted_digits.run`.
        """
        model, coordinates = ARRANGEMENTS[self.arrangement]
        crop = self.column == "crop"
        config = Config(
            model=model,
            distortion="clutter" if crop else self.column,
            family="crop" if crop else "affine",
            coordinates=coordinates,
            out_size=COLUMNS[self.column],
            budget=BUDGET + (TOLD if self.arrangement == "zero" else 0),
            data="mnist",
            limit=DIGITS,
            recipe=replace(
                RECIPE, seed=self.seed, precision="float32" if crop else "bfloat16"
            ),
        )
        if quick:
            config = miniature(config, limit=128)
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
            The result of `stn_tutorial.experiments.distorted_digits.run`, with
            ``poses`` in place of the misclassified digits: what `pose_spread` says of
            the test digits as they come and as the transformer passes them on; none
            where there are no true poses.
        """
        config = self.config(quick=quick)
        done = run(config, checkpoints, progress=progress)
        kept = {k: part for k, part in done.result.items() if k != "misclassified"}
        return {**kept, "poses": _poses(done.model, config, kept["data"]["source"])}


def cells(
    *,
    columns: Iterable[str] = tuple(COLUMNS),
    arrangements: Iterable[str] = tuple(ARRANGEMENTS),
    seeds: Iterable[int] = range(5),
) -> list[Cell]:
    """Return the cells, those of a seed together.

    >>> len(cells()), len(cells(columns=["R"], arrangements=["plain", "first"]))
    (280, 10)

    Args:
        columns: of `COLUMNS`.
        arrangements: of `ARRANGEMENTS`.
        seeds: of weights, order and distortions.

    Returns:
        The cells, in the order of work.

    Raises:
        ValueError: if a name is unknown.
    """
    every = product(seeds, columns, arrangements)
    return [Cell(column, arrangement, seed) for seed, column, arrangement in every]


def _poses(
    model: TransformedClassifier, config: Config, source: str
) -> dict[str, dict[str, float]]:
    """How much poses spread before and after a transformer, where they are known."""
    digits = load_digits("test", source)
    test = fixed_test_set(digits.images, config.distortion)
    if "angle" not in test.truth:
        return {}
    predicted = predict(model.transformer.localization, test.images)
    predicted = convert(predicted, model.transformer.family, Affine())
    still = Affine().identity().expand(len(digits), -1)
    truth, labels = test.truth["theta"], digits.labels
    return {
        "as_they_come": pose_spread(still, truth, labels),
        "passed_on": pose_spread(predicted, truth, labels),
    }


def pose_spread(params: Tensor, truth: Tensor, labels: Tensor) -> dict[str, float]:
    """Return how much the poses differ in which a transformer shows digits of a class.

    A transformer is free to show each class in a pose of its own, upright or not: the
    classifier learns it. What counts is that all digits of a class are shown alike.
    Therefore poses are compared with the mean of their class, and not with upright.

    Args:
        params: ``(N, 6)`` predicted `Affine` parameters, from the transformer's output
            to the distorted picture.
        truth: ``(N, 2, 3)``, from the distorted picture to the 28×28 digit.
        labels: ``(N,)`` classes.

    Returns:
        Standard deviations within a class: ``angle_deg``, ``scale_percent`` and
        ``shift_px`` (along an axis, in pixels of the digit).
    """
    whole = Affine().compose(truth.flatten(1), params).unflatten(1, (2, 3))
    # The digit appears with the inverse of what maps the output onto it: that has the
    # opposite angle and the reciprocal scale, which spread as much.
    (a, b), (c, d) = whole[:, :, :2].permute(1, 2, 0)
    angle = torch.atan2(c - b, a + d)
    scale = (a * d - b * c).abs().clamp(min=1e-6).log() / 2
    shift = whole[:, :, 2] * 28 / 2
    squares = {"angle_deg": [], "scale_percent": [], "shift_px": []}
    for label in labels.unique():
        mine = labels == label
        direction = torch.polar(torch.ones_like(angle[mine]), angle[mine])
        away = (direction / direction.mean()).angle()
        squares["angle_deg"].append((away * 180 / math.pi) ** 2)
        squares["scale_percent"].append((100 * (scale[mine] - scale[mine].mean())) ** 2)
        squares["shift_px"].append((shift[mine] - shift[mine].mean(dim=0)) ** 2)
    return {
        name: torch.cat(parts).mean().sqrt().item() for name, parts in squares.items()
    }


def error_after(epoch: int) -> Number:
    """Return what takes a result to its test error after an epoch.

    >>> run = {"history": [{"test_error": 9.0}, {"test_error": 2.5}]}
    >>> error_after(1)(run), error_after(2)(run)
    (9.0, 2.5)

    Args:
        epoch: from 1.

    Returns:
        A function of a result. It raises a `ValueError` if the run was shorter.
    """

    def number(result: Mapping[str, Any]) -> float:
        history = result["history"]
        if not 1 <= epoch <= len(history):
            raise ValueError(f"epoch must be from 1 to {len(history)}, got {epoch}")
        return history[epoch - 1]["test_error"]

    return number


def paired(
    found: Mapping[Cell, Mapping[str, Any]],
    column: str,
    arrangement: str,
    *,
    against: str = "plain",
    number: Number = TEST_ERROR,
) -> Difference:
    """Return the difference of two arrangements, seed by seed.

    Args:
        found: of `stn_tutorial.experiments.results.read_results`.
        column: one of `COLUMNS`.
        arrangement: one of `ARRANGEMENTS`.
        against: another one.
        number: what of a result to compare; the default is its test error in percent.

    Returns:
        The first one's number minus the other's, for each seed that both have.

    Raises:
        ValueError: if they have no seed in common.
    """
    change = seed_by_seed(
        select(found, column=column, arrangement=arrangement),
        select(found, column=column, arrangement=against),
        number,
    )
    if not change.each:
        raise ValueError(
            f"found must hold {arrangement} and {against} on {column} with a seed in "
            "common"
        )
    return change
