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
from typing import Any

import torch
from torch import Tensor, nn

from stn_tutorial.coordinates import base_grid
from stn_tutorial.data.digits import load_digits
from stn_tutorial.experiments.models import count_parameters, tell_places
from stn_tutorial.experiments.results import read_results
from stn_tutorial.experiments.training import machine
from stn_tutorial.families import Attention
from stn_tutorial.localization import normalized_convolution
from stn_tutorial.sampling import sample

__all__ = [
    "BOXES",
    "CANVAS",
    "BoxNetwork",
    "Cell",
    "Scene",
    "boxes_iou",
    "cells",
    "predict_boxes",
    "results",
    "scatter",
    "solve",
]

#: Height and width of the canvas, in pixels.
CANVAS = 64
#: In which coordinates a box is wanted.
BOXES = ("canvas", "cell")
_CELLS = 8  # in each direction
_COUNT = 4  # digits on a canvas, one in each quarter


@dataclass(frozen=True)
class Scene:
    """Canvases with digits.

    Attributes:
        images: ``(N, 1, 64, 64)``.
        boxes: ``(N, 4, 4)``: left, top, right and bottom edge of each digit's ink, in
            normalized coordinates of the canvas.
    """

    images: Tensor
    boxes: Tensor


def scatter(digits: Tensor, generator: torch.Generator) -> Scene:
    """Scatter digits over canvases, four on each, at random sizes and places.

    Args:
        digits: ``(4 N, 1, 28, 28)`` in [0, 1].
        generator: all that is random is drawn from it, on the CPU.

    Returns:
        N canvases. A digit's frame is 14 to 26 pixels wide and inside its quarter; its
        box holds the pixels above 0.2.
    """
    n, side = len(digits), CANVAS // 2
    frame = 14 + 12 * torch.rand(n, 1, generator=generator)
    shift = (torch.rand(n, 2, generator=generator) * 2 - 1) * (1 - frame / side)
    # From the quarter to the digit: what `shift` moved and `frame` shrank.
    params = torch.cat([side / frame, -shift * side / frame], dim=1).to(digits)
    quarters = sample(digits, Attention().grid(params, (side, side)), antialias=True)
    ink = quarters[:, 0] > 0.2
    boxes = torch.stack([*_extent(ink.any(dim=1)), *_extent(ink.any(dim=2))], dim=1)
    corners = boxes.new_tensor([[0, 0], [1, 0], [0, 1], [1, 1]]) * side
    boxes = boxes[:, [0, 2, 1, 3]].unflatten(0, (-1, _COUNT)) + corners.repeat(1, 2)
    grid = quarters.unflatten(0, (-1, 2, 2))  # (N, down, across, 1, side, side)
    images = grid.permute(0, 3, 1, 4, 2, 5).flatten(2, 3).flatten(3, 4)
    return Scene(images.contiguous(), boxes * (2 / CANVAS) - 1)


def _extent(seen: Tensor) -> tuple[Tensor, Tensor]:
    """From (N, side) booleans to the edges of what is true."""
    length = seen.shape[1]
    return seen.int().argmax(dim=1), length - seen.int().flip(1).argmax(dim=1)


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
            tell_places(self)


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


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        boxes: one of `BOXES`.
        network: convolution or coordconv.
        seed: of the weights and of what is scattered in training.
    """

    boxes: str
    network: str
    seed: int = 0

    @property
    def name(self) -> str:
        """The name of the cell's file, such as ``canvas-coordconv-0``."""
        return f"{self.boxes}-{self.network}-{self.seed}"


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
    test_images = test.images[: len(test) // _COUNT * _COUNT]
    test_scene = scatter(test_images, torch.Generator().manual_seed(2018))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(cell.seed)
        network = BoxNetwork(coordinates=cell.network == "coordconv")
    draw = torch.Generator().manual_seed(cell.seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.003)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.003, total_steps=max(10, steps), pct_start=0.2
    )
    start, losses = time.perf_counter(), []
    for _ in range(steps):
        batch = torch.randint(len(digits), (32 * _COUNT,), generator=draw)
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
        **machine(torch.device("cpu")),
    }
    return network, result


def results(folder: Path) -> dict[Cell, dict[str, Any]]:
    """Return what has been measured.

    Args:
        folder: of the results, one JSON file a cell.

    Returns:
        The result of each cell; see `solve`.
    """
    return read_results(Cell, folder)
