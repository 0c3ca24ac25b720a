"""Boxes around scattered digits: a small stand-in for the detection of Liu et al. (§5).

The paper gives coordinates to a Faster R-CNN that detects digits scattered over a
canvas. Here, a convolutional network says for every cell of 8×8 pixels which box the
digit has whose centre lies in it, and is judged at these cells alone: nothing needs to
be detected. What is left is the question that coordinates answer. A box may be wanted
in coordinates of the canvas, or relative to the middle of the cell, as detectors with
anchors have it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from stn_tutorial.coordinates import base_grid
from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.scattered_digits import COUNT, Scene, scatter
from stn_tutorial.experiments.models import count_parameters, seeded, use_coordconv
from stn_tutorial.experiments.results import ENVIRONMENT, Seed, check_cell
from stn_tutorial.experiments.training import environment
from stn_tutorial.localization import normalized_convolution

__all__ = [
    "BOXES",
    "BoxNetwork",
    "Cell",
    "boxes_iou",
    "cells",
    "predict_boxes",
    "solve",
]

#: In which coordinates a box is wanted.
BOXES = ("canvas", "cell")
_CELLS = 8  # in each direction


class BoxNetwork(nn.Sequential):
    """Four convolutions with normalization, and a box for each of 8×8 cells.

    A cell sees 31×31 pixels about its first: a little less than the largest digits take
    if their centre is at the cell's last.

    Args:
        coordinates: give every convolution the coordinates.
    """

    def __init__(self, *, coordinates: bool = False) -> None:
        layers: list[nn.Module] = []
        for n_in, n_out, stride in ((1, 16, 2), (16, 32, 2), (32, 64, 2), (64, 64, 1)):
            layers += normalized_convolution(n_in, n_out, 3, stride=stride)
        super().__init__(*layers, nn.Conv2d(64, 4, 1))
        if coordinates:
            use_coordconv(self)


def boxes_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union of boxes, one by one.

    Args:
        boxes: ``(..., 4)``: left, top, right and bottom.
        others: ``(..., 4)``.

    Returns:
        ``(...)``, from 0 to 1.
    """
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., 2:], others[..., 2:])
    common = (high - low).clamp(min=0).prod(dim=-1)
    areas = [
        (b[..., 2:] - b[..., :2]).clamp(min=0).prod(dim=-1) for b in (boxes, others)
    ]
    return common / (areas[0] + areas[1] - common).clamp(min=1e-9)


_DATA = {"digits": int, "sha256": str}


@dataclass(frozen=True)
class Cell:
    """One run.

    >>> Cell("canvas", "coordconv").name
    'canvas-coordconv-0'

    Attributes:
        boxes: one of `BOXES`.
        network: convolution or coordconv.
        seed: of the weights and of what is scattered in training.

    Raises:
        TypeError: if a name is no string, or the seed no integer.
        ValueError: if there is no such run.
    """

    RESULT: ClassVar[dict[str, Any]] = {
        "parameters": int,
        "data": {"source": str, "train": _DATA, "test": _DATA},
        "steps": int,
        "loss": float,
        "iou": float,
        "above_half": float,
        "seconds": float,
        **ENVIRONMENT,
    }

    boxes: str
    network: str
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, boxes=BOXES, network=("convolution", "coordconv"))

    @property
    def name(self) -> str:
        """The name of the cell's file, such as ``canvas-coordconv-0``."""
        return f"{self.boxes}-{self.network}-{self.seed}"

    def measure(
        self, checkpoints: Path, *, progress: bool = False, quick: bool = False
    ) -> dict[str, Any]:
        """Run the cell.

        Args:
            checkpoints: not used: a run is short, and starts anew.
            progress: there is no bar.
            quick: a miniature: a few steps on embedded digits.

        Returns:
            The result of `solve`.
        """
        small = {"data": "embedded", "steps": 20} if quick else {}
        return solve(self, **small)[1]


def cells(*, seeds: Iterable[int] = range(5)) -> list[Cell]:
    """Return the runs, those of a seed together.

    Args:
        seeds: any.

    Returns:
        The cells.
    """
    every = product(seeds, BOXES, ("convolution", "coordconv"))
    return [Cell(boxes, network, seed) for seed, boxes, network in every]


def predict_boxes(network: nn.Module, scene: Scene, kind: str) -> Tensor:
    """Return the boxes that a network says in the cells where digits' centres lie.

    Args:
        network: such as `BoxNetwork`.
        scene: N canvases.
        kind: one of `BOXES`: what the network's answer means.

    Returns:
        ``(N, 4, 4)`` in normalized coordinates of the canvas, as in `Scene`.
    """
    centres = (scene.boxes[..., :2] + scene.boxes[..., 2:]) / 2
    column, row = ((centres + 1) / 2 * _CELLS).long().clamp(0, _CELLS - 1).unbind(-1)
    answers = network(scene.images)  # (N, 4, 8, 8)
    boxes = answers.permute(0, 2, 3, 1)[
        torch.arange(len(answers))[:, None], row, column
    ]
    if kind == "canvas":
        return boxes
    middles = base_grid((_CELLS, _CELLS), device=answers.device)[row, column]
    return boxes + middles.repeat(1, 1, 2)


def solve(
    cell: Cell, *, data: str = "mnist", limit: int = 10_000, steps: int = 400
) -> tuple[nn.Module, dict[str, Any]]:
    """Train a network to say boxes, and test it on canvases of the test digits.

    Args:
        cell: which boxes, network and seed.
        data: mnist, embedded or auto.
        limit: use the first so many training digits.
        steps: of 32 canvases.

    Returns:
        The network in evaluation mode, and the result, ready for JSON: ``iou`` is the
        mean over the test digits.
    """
    digits = load_digits("train", data)
    digits = digits.first(min(limit, len(digits)))
    test = load_digits("test", digits.source)
    test_images = test.images[: len(test) // COUNT * COUNT]
    test_scene = scatter(test_images, torch.Generator().manual_seed(2018))
    with seeded(cell.seed):
        network = BoxNetwork(coordinates=cell.network == "coordconv")
    draw = torch.Generator().manual_seed(cell.seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.003)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.003, total_steps=max(10, steps), pct_start=0.2
    )
    start, losses = time.perf_counter(), []
    for _ in range(steps):
        batch = torch.randint(len(digits), (32 * COUNT,), generator=draw)
        scene = scatter(digits.images[batch], draw)
        loss = (predict_boxes(network, scene, cell.boxes) - scene.boxes).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    seconds = time.perf_counter() - start
    network.eval()
    with torch.inference_mode():
        found = predict_boxes(network, test_scene, cell.boxes)
    ious = boxes_iou(found, test_scene.boxes)
    result = {
        "cell": asdict(cell),
        "parameters": count_parameters(network),
        "data": {
            "source": digits.source,
            "train": {"digits": len(digits), "sha256": digits.checksum},
            "test": {"digits": len(test_images), "sha256": test.checksum},
        },
        "steps": steps,
        "loss": math.fsum(losses[-50:]) / len(losses[-50:]),
        "iou": ious.mean().item(),
        "above_half": (ious > 0.5).float().mean().item(),
        "seconds": seconds,
        **environment(torch.device("cpu")),
    }
    return network, result
