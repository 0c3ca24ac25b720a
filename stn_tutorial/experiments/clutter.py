"""The study on clutter: why a transformer loses there, and where it wins.

In the paper, a transformer halves the error on cluttered digits (3.5% to 1.7%). In
today's table it doubles it. An arm of this study changes one thing of that cell: the
family of warps, how many pixels the transformer passes on, the size of its localization
network, where it starts, what that network is told, the number of parameters, the
length of the training. All arms are compared on held-out digits, in short runs on a
part of MNIST (``search``); whatever decides the question is run again on all of it,
tested on the test digits (``final``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar

from stn_tutorial.experiments.cells import TrainedCell, known_names, miniature
from stn_tutorial.experiments.distorted_digits import RESULT, Config, run
from stn_tutorial.experiments.results import Seed, check_cell
from stn_tutorial.experiments.training import Recipe

__all__ = ["ARMS", "PHASES", "Cell", "cells"]

_ATTENTION = {"model": "st-modern", "family": "attention"}
_CROP = {"model": "st-modern", "family": "crop", "out_size": 30}
#: What each arm changes of a configuration. The first two are the table's.
ARMS: dict[str, dict[str, Any]] = {
    "cnn": {"model": "modern"},
    "affine-30": {"model": "st-modern", "family": "affine", "out_size": 30},
    "attention-30": {**_ATTENTION, "out_size": 30},
    "attention-42": {**_ATTENTION, "out_size": 42},
    "attention-60": {**_ATTENTION, "out_size": 60},
    "attention-60-pooled": {**_ATTENTION, "out_size": 60, "pool": 2},
    "affine-42": {"model": "st-modern", "family": "affine", "out_size": 42},
    "attention-30-zoom": {**_ATTENTION, "out_size": 30, "zoom": 0.5},
    "crop": _CROP,
    "attention-30-small": {**_ATTENTION, "model": "st-small", "out_size": 30},
    "crop-small": {**_CROP, "model": "st-small"},
    "crop-coordinates": {**_CROP, "coordinates": "first"},
    "attention-42-coordinates": {**_ATTENTION, "out_size": 42, "coordinates": "first"},
    "cnn-400": {"model": "modern", "budget": 400_000},
    "crop-400": {**_CROP, "budget": 400_000},
    "cnn-long": {"model": "modern", "epochs": 16},
    "crop-long": {**_CROP, "epochs": 16},
    "crop-small-long": {**_CROP, "model": "st-small", "epochs": 16},
}
#: On how many digits an arm is run, for how many epochs, and on what it is judged.
PHASES: dict[str, dict[str, int]] = {
    "search": {"limit": 20_000, "epochs": 8, "validation": 10_000},
    "final": {"limit": 0, "epochs": 24, "validation": 0},
}
#: That of today's table; an arm's `epochs` are those of the search.
RECIPE = Recipe(lr=0.01, localization_lr_ratio=0.3, precision="bfloat16")
BUDGET = 150_000


@dataclass(frozen=True)
class Cell(TrainedCell):
    """One run.

    >>> cell = Cell("search", "crop")
    >>> cell.name, cell.config().family, cell.config().validation
    ('search-crop-0', 'crop', 10000)

    Attributes:
        phase: one of `PHASES`.
        arm: one of `ARMS`.
        seed: of weights, order and distortions.

    Raises:
        TypeError: if a name is no string, or the seed no integer.
        ValueError: if there is no such run.
    """

    RESULT: ClassVar[dict[str, Any]] = RESULT
    RUN = staticmethod(run)

    phase: str
    arm: str
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, phase=PHASES, arm=ARMS)

    def config(self, *, quick: bool = False) -> Config:
        """Return the configuration of the run.

        Args:
            quick: of a miniature: few embedded digits, two epochs, in float32.

        Returns:
            What to give to `stn_tutorial.experiments.distorted_digits.run`.
        """
        phase, arm = PHASES[self.phase], dict(ARMS[self.arm])
        longer = arm.pop("epochs", PHASES["search"]["epochs"])
        epochs = phase["epochs"] * longer // PHASES["search"]["epochs"]
        config = Config(
            distortion="clutter",
            data="mnist",
            limit=phase["limit"],
            validation=phase["validation"],
            recipe=replace(RECIPE, epochs=epochs, seed=self.seed),
            **{"budget": BUDGET, **arm},
        )
        if quick:
            config = miniature(config, limit=128, validation=0)
        return config


def cells(
    *,
    phases: Iterable[str] = ("search",),
    arms: Iterable[str] = tuple(ARMS),
    seeds: Iterable[int] = (0,),
) -> list[Cell]:
    """Return the runs of some arms, those of a seed together.

    >>> [cell.name for cell in cells(phases=["final"], arms=["cnn"], seeds=range(2))]
    ['final-cnn-0', 'final-cnn-1']

    Args:
        phases: of `PHASES`.
        arms: of `ARMS`.
        seeds: of weights, order and distortions.

    Returns:
        The cells, in the order of work.

    Raises:
        ValueError: if a name is unknown.
    """
    phases = known_names(phases, "phases", PHASES)
    arms = known_names(arms, "arms", ARMS)
    return [Cell(phase, arm, seed) for seed, phase, arm in product(seeds, phases, arms)]
