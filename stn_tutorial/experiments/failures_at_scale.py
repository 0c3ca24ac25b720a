"""The failing transformers of `failures`, and their twins, on all of MNIST.

The networks and the faults are the same, and there are 60,000 digits to learn from and
10,000 to be tested on. The rate is constant, as there, or rises first and falls later,
as is usual. That is to show which of the faults more digits, more steps and a warm-up
mend by themselves.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.distortions import distort
from stn_tutorial.diagnostics import Monitor
from stn_tutorial.experiments.classification import USED, used
from stn_tutorial.experiments.failures import (
    FAULTS,
    RECIPE,
    ROW,
    brief,
    given,
    learn,
    network,
)
from stn_tutorial.experiments.recording import at_steps
from stn_tutorial.experiments.results import ENVIRONMENT, Seed, check_cell
from stn_tutorial.experiments.training import error_rate

__all__ = ["SCHEDULES", "FailureAtScale", "failures_at_scale"]

#: How the rates change.
SCHEDULES = ("one-cycle", "constant")
#: How many epochs are trained, and how many looks are taken in each.
EPOCHS, LOOKS = 3, 7
#: On how many test digits the error is taken at a look, and by the monitor.
TESTED, WATCHED = 2000, 500


@dataclass(frozen=True)
class FailureAtScale:
    """A run on all of MNIST.

    >>> FailureAtScale("step", "one-cycle", healthy=True).name
    'step-one-cycle-healthy-0'

    Attributes:
        fault: one of `stn_tutorial.experiments.failures.FAULTS`.
        schedule: of the rates, one of `SCHEDULES`.
        healthy: whether it is the twin, without the fault.
        seed: of weights, order and distortions.

    Raises:
        TypeError: if an attribute is of another type.
        ValueError: if there is no such fault or schedule.
    """

    RESULT: ClassVar[dict[str, Any]] = {
        "recipe": type(RECIPE),
        "data": USED,
        "test_error": float,
        "rows": [{**ROW, "error": float}, ...],
        "seconds": float,
        **ENVIRONMENT,
    }

    fault: str
    schedule: str
    healthy: bool = False
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, fault=FAULTS, schedule=SCHEDULES)

    @property
    def name(self) -> str:
        """The name of the run's file, such as ``step-constant-healthy-0``."""
        twin = "-healthy" * self.healthy
        return f"{self.fault}-{self.schedule}{twin}-{self.seed}"

    def measure(
        self, checkpoints: Path, *, progress: bool = False, quick: bool = False
    ) -> dict[str, Any]:
        """Run it, from the start.

        Args:
            checkpoints: not used.
            progress: show a bar.
            quick: a miniature: the embedded digits, a few of them.

        Returns:
            The recipe, the error in percent on all test digits after the last step,
            and at some steps on the way the error on the first of these, with what a
            `stn_tutorial.diagnostics.Monitor` says.
        """
        fault = FAULTS[self.fault][self.healthy]
        source = "embedded" if quick else "mnist"
        digits, test = load_digits("train", source), load_digits("test", source)
        if quick:
            digits = digits.first(256)
        recipe = replace(
            RECIPE,
            epochs=EPOCHS,
            lr=fault.lr,
            localization_lr_ratio=fault.ratio,
            schedule=self.schedule,
            seed=self.seed,
        )
        draw = torch.Generator().manual_seed(1)
        images = given(distort(test.images, fault.distortion, draw).images, fault)
        model = network(fault, digits, recipe)
        monitor = Monitor(images[:WATCHED], test.labels[:WATCHED])
        errors = []

        def look(step: int, model: nn.Module) -> None:
            monitor(step, model)
            errors.append(error_rate(model, images[:TESTED], test.labels[:TESTED]))

        steps = recipe.epochs * -(-len(digits) // recipe.batch_size)
        moments = {round(k * steps / EPOCHS / LOOKS) for k in range(EPOCHS * LOOKS)}
        at_steps(model, moments, look)
        tested = (images, test.labels)
        done = learn(fault, model, digits, tested, recipe, progress=progress)
        look(steps, done.model)
        return {
            "recipe": asdict(recipe),
            "data": used(digits, test),
            "test_error": done.test_error,
            "rows": [
                {**brief(row), "error": error}
                for row, error in zip(monitor.rows, errors)
            ],
            "seconds": done.result["seconds"],
            **done.environment,
        }


def failures_at_scale() -> list[FailureAtScale]:
    """Return the runs on all of MNIST.

    >>> len(failures_at_scale())
    16

    Returns:
        The runs, each beside its twin: with a warm-up all faults, with two seeds but
        for the one whose classifier is trained before; with a constant rate the one
        that a warm-up changes most, with one seed.
    """
    every = [(fault, "one-cycle", 0) for fault in FAULTS]
    every += [(fault, "one-cycle", 1) for fault in FAULTS if fault != "idle"]
    every.append(("step", "constant", 0))
    return [
        FailureAtScale(fault, schedule, healthy, seed)
        for (fault, schedule, seed), healthy in product(every, (False, True))
    ]
