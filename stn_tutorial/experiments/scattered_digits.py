"""Boxes around scattered digits: a small stand-in for the detection of Liu et al. (§5).

The paper gives coordinates to a Faster R-CNN that detects digits scattered over a
canvas. Here, a convolutional network says for every cell of 8×8 pixels which box the
digit has whose centre lies in it, and is judged at these cells alone: nothing needs to
be detected. What is left is the question that coordinates answer. A box may be wanted
in coordinates of the canvas, or relative to the middle of the cell, as detectors with
anchors have it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from stn_tutorial.coordinates import base_grid
from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.scattered_digits import COUNT, scatter
from stn_tutorial.experiments.cells import NamedCell
from stn_tutorial.experiments.classification import USED, used
from stn_tutorial.experiments.models import seeded, use_coordconv
from stn_tutorial.experiments.results import ENVIRONMENT, Seed, check_cell
from stn_tutorial.experiments.training import Problem, Recipe, fit, predict
from stn_tutorial.localization import normalized_convolution

__all__ = ["BOXES", "BoxNetwork", "Cell", "boxes_at", "boxes_iou", "cells", "solve"]

#: In which coordinates a box is wanted.
BOXES = ("canvas", "cell")
_CELLS = 8  # in each direction


class BoxNetwork(nn.Sequential):
    """Four convolutions with normalization, and a box for each of 8×8 cells.

    >>> BoxNetwork(coordinates=True)(torch.zeros(2, 1, 64, 64)).shape
    torch.Size([2, 4, 8, 8])

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

    >>> boxes_iou(torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 0, 3, 2])).item()
    0.3333333432674408

    Args:
        boxes: ``(..., 4)``: left, top, right and bottom.
        others: ``(..., 4)``.

    Returns:
        ``(...)``, from 0 to 1.
    """
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., 2:], others[..., 2:])
    common = (high - low).clamp(min=0).prod(dim=-1)
    area, other = (
        (b[..., 2:] - b[..., :2]).clamp(min=0).prod(dim=-1) for b in (boxes, others)
    )
    return common / (area + other - common).clamp(min=1e-9)


@dataclass(frozen=True)
class Cell(NamedCell):
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
        "data": USED,
        "recipe?": Recipe,
        "history?": [
            {
                "epoch": int,
                "loss": float,
                "seconds": float,
                "iou": float,
                "above_half": float,
            },
            ...,
        ],
        "steps?": int,  # of results from before there were epochs, with their loss
        "loss?": float,
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

    def measure(
        self, checkpoints: Path, *, progress: bool = False, quick: bool = False
    ) -> dict[str, Any]:
        """Run the cell.

        Args:
            checkpoints: the folder for the run's checkpoint.
            progress: show a bar.
            quick: a miniature: two epochs of embedded digits.

        Returns:
            The result of `solve`.
        """
        small = {"data": "embedded", "limit": 200, "epochs": 2} if quick else {}
        return solve(self, checkpoints, progress=progress, **small)[1]


def cells(*, seeds: Iterable[int] = range(5)) -> list[Cell]:
    """Return the runs, those of a seed together.

    >>> [cell.name for cell in cells(seeds=[0])][:2]
    ['canvas-convolution-0', 'canvas-coordconv-0']

    Args:
        seeds: one run of each network and kind of box for each seed.

    Returns:
        The cells.
    """
    every = product(seeds, BOXES, ("convolution", "coordconv"))
    return [Cell(boxes, network, seed) for seed, boxes, network in every]


def boxes_at(outputs: Tensor, boxes: Tensor, kind: str) -> Tensor:
    """Return the boxes that a network says in the cells where digits' centres lie.

    >>> boxes = torch.tensor([[[-0.5, -0.5, -0.25, -0.25]]])  # the cell's middle ±0.125
    >>> said = torch.tensor([-0.125, -0.125, 0.125, 0.125])
    >>> boxes_at(said[None, :, None, None].expand(1, 4, 8, 8), boxes, "cell").tolist()
    [[[-0.5, -0.5, -0.25, -0.25]]]

    Args:
        outputs: ``(N, 4, 8, 8)``, of a network such as `BoxNetwork`.
        boxes: ``(N, K, 4)``, the true ones, in normalized coordinates of the canvas.
        kind: one of `BOXES`: what the network's outputs mean.

    Returns:
        ``(N, K, 4)`` in normalized coordinates of the canvas.
    """
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    column, row = ((centres + 1) / 2 * _CELLS).long().clamp(0, _CELLS - 1).unbind(-1)
    canvas = torch.arange(len(outputs), device=outputs.device)[:, None]
    said = outputs.permute(0, 2, 3, 1)[canvas, row, column]
    if kind == "canvas":
        return said
    middles = base_grid((_CELLS, _CELLS), device=outputs.device)[row, column]
    return said + middles.repeat(1, 1, 2)


def solve(
    cell: Cell,
    folder: Path | None = None,
    *,
    data: str = "mnist",
    limit: int = 10_000,
    epochs: int = 5,
    progress: bool = False,
) -> tuple[nn.Module, dict[str, Any]]:
    """Train a network to say boxes, and test it on canvases of the test digits.

    Args:
        cell: which boxes, network and seed.
        folder: where a checkpoint is kept; without, there is none.
        data: mnist, embedded or auto.
        limit: use the first so many training digits, by fours.
        epochs: in which every digit is on one canvas.
        progress: show a bar.

    Returns:
        The network in evaluation mode, and the result, ready for JSON: ``iou`` is the
        mean over the test digits, ``above_half`` the share of those above 0.5.
    """
    recipe = Recipe(epochs, batch_size=32, lr=0.003, weight_decay=0.01, seed=cell.seed)
    digits = load_digits("train", data)
    digits = digits.first(min(limit, len(digits)) // COUNT * COUNT)
    test = load_digits("test", digits.source)
    test = test.first(len(test) // COUNT * COUNT)
    test_scene = scatter(test.images, torch.Generator().manual_seed(2018))
    with seeded(cell.seed):
        network = BoxNetwork(coordinates=cell.network == "coordconv")

    def prepare(fours: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        digits = fours.flatten(0, 1)
        order = torch.randperm(len(digits), generator=draw, device=draw.device)
        scene = scatter(digits[order], draw)
        return scene.images, scene.boxes

    def loss(outputs: Tensor, boxes: Tensor) -> Tensor:
        return (boxes_at(outputs, boxes, cell.boxes) - boxes).abs().mean()

    def evaluate(network: nn.Module) -> dict[str, float]:
        outputs = predict(network, test_scene.images)
        found = boxes_at(outputs, test_scene.boxes, cell.boxes)
        ious = boxes_iou(found, test_scene.boxes)
        return {
            "iou": ious.mean().item(),
            "above_half": (ious > 0.5).float().mean().item(),
        }

    fours = digits.images.unflatten(0, (-1, COUNT))
    problem = Problem((fours,), loss, evaluate, prepare)
    label = {"cell": asdict(cell), "sha256": digits.checksum}
    done = fit(network, problem, recipe, folder=folder, label=label, progress=progress)
    result = {
        "cell": asdict(cell),
        "recipe": asdict(recipe),
        "data": used(digits, test),
        **{name: done.history[-1][name] for name in ("iou", "above_half")},
        **done.result,
    }
    return done.model, result
