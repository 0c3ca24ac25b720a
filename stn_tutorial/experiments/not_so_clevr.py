"""Locations to pictures and back: the tasks of Liu et al. (2018), §3 and §4.

In each, a network is shown some locations of a square on a canvas and tested on others.
Nothing is hidden from the convolution and nothing is hard to see; it has to say where
something is, or to put something where it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from stn_tutorial.data.not_so_clevr import CANVAS, SPLITS, Locations, split_locations
from stn_tutorial.experiments.cells import NamedCell
from stn_tutorial.experiments.checkpoints import load_tensors, read_checkpoint
from stn_tutorial.experiments.models import seeded
from stn_tutorial.experiments.not_so_clevr_networks import (
    ConvRegressor,
    CoordConvDecoder,
    CoordConvRegressor,
    DeconvDecoder,
    PooledConvRegressor,
)
from stn_tutorial.experiments.results import ENVIRONMENT, Seed, check_cell
from stn_tutorial.experiments.training import Problem, Recipe, fit, predict

__all__ = ["TASKS", "Cell", "Network", "Task", "cells", "load_network", "solve"]


@dataclass(frozen=True)
class Network:
    """A network of a task, and how it is trained on it.

    Attributes:
        make: makes one, from PyTorch's random state.
        recipe: with Adam, unlike the rest of the book.
        seeds: with how many seeds it is trained, from 0, where it takes long; without,
            with as many as are asked for.
    """

    make: Callable[[], nn.Module]
    recipe: Recipe
    seeds: int | None = None


@dataclass(frozen=True)
class Task:
    """What goes in, what shall come out, and how good what came out is.

    Attributes:
        input: from locations to the network's input.
        target: from locations to the target.
        loss: from the network's output and the target to a scalar.
        measure: from the network's output and the locations to numbers; one of them,
            ``solved``, is the fraction of locations that are as they should be.
        networks: by name.
    """

    input: Callable[[Locations], Tensor]
    target: Callable[[Locations], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    measure: Callable[[Tensor, Locations], dict[str, float]]
    networks: dict[str, Network]


def _measure_classes(scores: Tensor, locations: Locations) -> dict[str, float]:
    """The pixel with the highest score against the right one."""
    chosen = scores.flatten(1).argmax(dim=1)
    found = torch.stack([chosen % CANVAS, chosen // CANVAS], dim=1)
    away = (found - locations.centres).float().norm(dim=1)
    return {"solved": (away == 0).float().mean().item(), "px": away.mean().item()}


def _measure_points(points: Tensor, locations: Locations) -> dict[str, float]:
    """The distance to the right point; within a pixel is right."""
    away = (points - locations.points()).norm(dim=1) * CANVAS / 2
    return {"solved": (away < 1).float().mean().item(), "px": away.mean().item()}


def _measure_squares(scores: Tensor, locations: Locations) -> dict[str, float]:
    """The white pixels against the right ones: intersection over union."""
    white, square = scores > 0, locations.squares() > 0
    common = (white & square).flatten(1).sum(dim=1)
    iou = common / (white | square).flatten(1).sum(dim=1)
    return {"solved": (iou == 1).float().mean().item(), "iou": iou.mean().item()}


def _class_loss(scores: Tensor, classes: Tensor) -> Tensor:
    return F.cross_entropy(scores.flatten(1), classes)


_ADAM = Recipe(optimizer="adam", lr=0.01, batch_size=16, weight_decay=0)
_SHORT = replace(_ADAM, epochs=3, batch_size=4)
_RENDERER = Network(CoordConvDecoder, _SHORT)
# In trials without the decay, on some seeds, a few locations of a held-out quadrant
# were a pixel off, though all training locations were right.
_CLASSIFIER = Network(CoordConvDecoder, replace(_SHORT, weight_decay=0.001))
_DECONV = Network(partial(DeconvDecoder, 3, 1), replace(_ADAM, epochs=10))
_LONGER = Network(partial(DeconvDecoder, 3, 1), replace(_ADAM, epochs=150), seeds=1)
_FAST = replace(_ADAM, epochs=20)
_SLOW = replace(_FAST, lr=0.002)

#: By name, the tasks of Liu et al. (2018).
TASKS = {
    "classification": Task(
        input=Locations.points,
        target=Locations.classes,
        loss=_class_loss,
        measure=_measure_classes,
        networks={
            "coordconv": _CLASSIFIER,
            "convolution": _DECONV,
            "longer": _LONGER,
        },
    ),
    "regression": Task(
        input=Locations.one_hot,
        target=Locations.points,
        loss=F.mse_loss,
        measure=_measure_points,
        networks={
            "coordconv": Network(CoordConvRegressor, _FAST),
            "relu": Network(partial(CoordConvRegressor, rectified=True), _FAST),
            "relu-started": Network(
                partial(CoordConvRegressor, rectified=True, started=True), _FAST
            ),
            "convolution": Network(ConvRegressor, _SLOW),
            "pooled": Network(PooledConvRegressor, _SLOW),
        },
    ),
    "rendering": Task(
        input=Locations.points,
        target=Locations.squares,
        loss=F.binary_cross_entropy_with_logits,
        measure=_measure_squares,
        networks={"coordconv": _RENDERER, "convolution": _DECONV},
    ),
}


_MEASURES = {"solved": float, "px?": float, "iou?": float}


@dataclass(frozen=True)
class Cell(NamedCell):
    """One run.

    >>> Cell("rendering", "uniform", "coordconv").name
    'rendering-uniform-coordconv-0'

    Attributes:
        task: one of `TASKS`.
        split: uniform or quadrant; see
            `stn_tutorial.data.not_so_clevr.split_locations`.
        network: one of the task's.
        seed: of the weights, the order, and the uniform split.

    Raises:
        TypeError: if a name is no string, or the seed no integer.
        ValueError: if there is no such run.
    """

    RESULT: ClassVar[dict[str, Any]] = {
        "recipe": Recipe,
        "locations": {"train": int, "test": int},
        "parameters": int,
        "history": [
            {
                "epoch": int,
                "seconds": float,
                "loss": float,
                "train": _MEASURES,
                "test": _MEASURES,
            },
            ...,
        ],
        "seconds": float,
        **ENVIRONMENT,
    }

    task: str
    split: str
    network: str
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, task=TASKS, split=SPLITS)
        check_cell(self, network=TASKS[self.task].networks)

    def measure(
        self, checkpoints: Path, *, progress: bool = False, quick: bool = False
    ) -> dict[str, Any]:
        """Run the cell.

        Args:
            checkpoints: the folder for the run's checkpoint.
            progress: show a bar.
            quick: a miniature: one epoch on every 16th location.

        Returns:
            The result of `solve`.
        """
        small = {"epochs": 1, "every": 16} if quick else {}
        return solve(self, checkpoints, progress=progress, **small)[1]


def cells(
    *, tasks: Iterable[str] = tuple(TASKS), seeds: Iterable[int] = range(5)
) -> list[Cell]:
    """Return the runs of some tasks, on both splits and with every network.

    >>> len(cells(tasks=["rendering"], seeds=[0]))  # two splits, two networks
    4

    Args:
        tasks: names in `TASKS`.
        seeds: one run of each network for each seed, as far as the network has them.

    Returns:
        The cells, those of a seed together.
    """
    return [
        Cell(task, split, name, seed)
        for seed, task, split in product(seeds, tasks, SPLITS)
        for name, network in TASKS[task].networks.items()
        if network.seeds is None or seed < network.seeds
    ]


def load_network(folder: Path) -> tuple[Cell, nn.Module]:
    """Return the cell and the network of a run's last checkpoint.

    >>> from stn_tutorial.experiments.results import results_folder
    >>> run = "coordconv/weights/rendering-quadrant-coordconv-0"
    >>> cell, network = load_network(results_folder() / run)
    >>> cell.task, tuple(network(torch.zeros(1, 2)).shape)
    ('rendering', (1, 1, 64, 64))

    Args:
        folder: of the run.

    Returns:
        Both; the network is on the CPU, in evaluation mode.

    Raises:
        ValueError: if the folder holds no checkpoint, or none of such a run.
    """
    label, weights = read_checkpoint(folder)
    known = {field.name for field in fields(Cell)}
    if set(label.get("cell", ())) != known:
        raise ValueError(
            f"the checkpoint in {folder} is of no run of CoordConv's tasks"
        )
    cell = Cell(**label["cell"])
    network = TASKS[cell.task].networks[cell.network].make()
    load_tensors(network, weights, Path(folder))
    return cell, network.eval()


def solve(
    cell: Cell,
    folder: Path | None = None,
    *,
    every: int = 1,
    progress: bool = False,
    **changes: Any,
) -> tuple[nn.Module, dict[str, Any]]:
    """Train a network on some of the locations, and test it on the others.

    >>> cell = Cell("regression", "quadrant", "coordconv")
    >>> network, result = solve(cell, every=16, epochs=1)
    >>> result["locations"], sorted(result["history"][0]["test"])
    ({'train': 147, 'test': 49}, ['px', 'solved'])

    Args:
        cell: which task, split, network and seed.
        folder: where a checkpoint is kept; without, there is none.
        every: train and test on one location of so many alone, for a miniature.
        progress: show a bar.
        **changes: of the network's `Recipe`, such as fewer epochs.

    Returns:
        The network in evaluation mode, and the result, ready for JSON. Its history has
        an entry an epoch: seconds of training, the loss, and the task's measures on
        training and test locations; batch normalizations then have the means and
        variances of all training locations. Seconds compare if the machine was equally
        busy.
    """
    task = TASKS[cell.task]
    how = task.networks[cell.network]
    recipe = replace(how.recipe, seed=cell.seed, **changes)
    with seeded(cell.seed):
        network = how.make().to(memory_format=torch.channels_last)
    train, test = (
        Locations(part.centres[::every])
        for part in split_locations(cell.split, seed=cell.seed)
    )
    examples = (task.input(train), task.target(train))
    # Running means of batches of 16 are too uneven to be tested with. Shuffled, as a
    # row of locations varies less than all.
    draw = torch.Generator().manual_seed(0)
    shuffled = examples[0][torch.randperm(len(train), generator=draw)]
    judged = {"train": (examples[0], train), "test": (task.input(test), test)}

    def evaluate(network: nn.Module) -> dict[str, Any]:
        update_bn(shuffled.split(256), network, next(network.parameters()).device)
        return {
            name: task.measure(predict(network, inputs, batch_size=256), locations)
            for name, (inputs, locations) in judged.items()
        }

    problem = Problem(examples, task.loss, evaluate)
    label = {"cell": asdict(cell), "every": every}
    done = fit(network, problem, recipe, folder=folder, label=label, progress=progress)
    result = {
        "cell": asdict(cell),
        "recipe": asdict(recipe),
        "locations": {"train": len(train), "test": len(test)},
        **done.result,
    }
    return done.model, result
