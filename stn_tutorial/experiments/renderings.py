"""What networks paint where they are asked to: answers of the rendering task, kept.

The CoordConv chapter's two networks, trained as for its table, are asked for the
square at every fourth location along either axis, of which some are held out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from stn_tutorial.data.not_so_clevr import CANVAS, SPLITS, Locations, split_locations
from stn_tutorial.experiments import not_so_clevr
from stn_tutorial.experiments.cells import NamedCell
from stn_tutorial.experiments.results import Seed, check_cell
from stn_tutorial.experiments.training import predict

__all__ = ["PLACES", "Rendering", "asked", "decode", "encode", "renderings"]

#: The x and the y, in pixels, that the networks are asked for.
PLACES = tuple(range(4, 60, 4))
_LETTERS = "abcdefghijklmnop"


@dataclass(frozen=True)
class Rendering(NamedCell):
    """A trained network's answers.

    >>> Rendering("quadrant", "coordconv").name
    'quadrant-coordconv-0'

    Attributes:
        split: which locations are held out; see
            `stn_tutorial.data.not_so_clevr.split_locations`.
        network: coordconv or convolution.
        seed: of the weights, the order, and the uniform split.

    Raises:
        TypeError: if a name is no string, or the seed no integer.
        ValueError: if there is no such network or split.
    """

    RESULT: ClassVar[dict[str, Any]] = {
        **not_so_clevr.Cell.RESULT,
        "held_out": [bool, ...],
        "answers": [str, ...],
    }

    split: str
    network: str
    seed: Seed = 0

    def __post_init__(self) -> None:
        networks = not_so_clevr.TASKS["rendering"].networks
        check_cell(self, split=SPLITS, network=networks)

    def measure(
        self, checkpoints: Path, *, progress: bool = False, quick: bool = False
    ) -> dict[str, Any]:
        """Train the network, or go on where a killed run of it stopped, and ask it.

        Args:
            checkpoints: the folder for the run's checkpoint.
            progress: show a bar.
            quick: a miniature: one epoch on every 16th location.

        Returns:
            The result of `stn_tutorial.experiments.not_so_clevr.solve`; of each
            location of `asked`, whether it is held out; and the answers, see `encode`.
        """
        cell = not_so_clevr.Cell("rendering", self.split, self.network, self.seed)
        small = {"epochs": 1, "every": 16} if quick else {}
        network, result = not_so_clevr.solve(
            cell, checkpoints, progress=progress, **small
        )
        del result["cell"]
        held_out = split_locations(self.split, seed=self.seed)[1].classes()
        painted = predict(network, asked().points()).sigmoid()[:, 0]
        return {
            **result,
            "held_out": torch.isin(asked().classes(), held_out).tolist(),
            "answers": [encode(image) for image in painted],
        }


def renderings() -> list[Rendering]:
    """Return the runs.

    >>> len(renderings())  # two splits, two networks
    4

    Returns:
        The runs.
    """
    networks = ("convolution", "coordconv")
    return [Rendering(*each) for each in product(SPLITS, networks)]


def asked() -> Locations:
    """Return the locations that the networks are asked for, row by row.

    >>> asked().centres[:2].tolist(), len(asked())
    ([[4, 4], [8, 4]], 196)
    """
    axis = torch.tensor(PLACES)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return Locations(torch.stack([x, y], dim=-1).flatten(0, 1))


def encode(image: Tensor) -> str:
    """Return a picture in sixteen levels, as runs: a letter, and how often it comes.

    >>> encode(torch.tensor([[0.0, 0.0, 1.0], [1.0, 1.0, 0.4]]))
    'a2p3g'

    Args:
        image: ``(H, W)`` in [0, 1]. Half and more is in the upper eight levels.

    Returns:
        Its pixels row by row, ``a`` for 0 to ``p`` for 1; no number stands for one.
    """
    letters = "".join(_LETTERS[level] for level in (15 * image).round().int().flatten())
    runs = re.finditer(r"(.)\1*", letters)
    return "".join(
        run[1] + (str(len(run[0])) if len(run[0]) > 1 else "") for run in runs
    )


def decode(runs: str, size: int = CANVAS) -> Tensor:
    """Return the picture that `encode` was given, in sixteen levels.

    >>> decode("a2p3g", 3)
    tensor([[0.0000, 0.0000, 1.0000],
            [1.0000, 1.0000, 0.4000]])

    Args:
        runs: of `encode`.
        size: the picture's width.

    Returns:
        ``(H, W)`` in [0, 1].

    Raises:
        ValueError: if `runs` holds something else, or no whole rows.
    """
    if not re.fullmatch(r"([a-p]\d*)+", runs):
        raise ValueError(f"runs must be letters from a to p, and counts, got {runs!r}")
    levels: list[int] = []
    for letter, count in re.findall(r"([a-p])(\d*)", runs):
        levels += [_LETTERS.index(letter)] * int(count or 1)
    if len(levels) % size:
        raise ValueError(f"runs must fill rows of {size}, got {len(levels)} pixels")
    return torch.tensor(levels).view(-1, size) / 15
