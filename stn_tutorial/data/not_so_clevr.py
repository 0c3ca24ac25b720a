"""Not-so-Clevr: one white square at every place of a canvas (Liu et al. 2018, §3).

A 9×9 square on a canvas of 64×64 pixels has 56×56 places that keep it inside. Each is
known in three ways: by the pixel coordinates of the square's centre, by a canvas that
is 1 at that pixel alone, and by the picture of the square. The paper's tasks lead from
one to another.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_tutorial.coordinates import to_normalized

__all__ = ["CANVAS", "SPLITS", "SQUARE", "Places", "all_places", "split_places"]

#: Height and width of the canvas, in pixels.
CANVAS = 64
#: The side of the square, in pixels.
SQUARE = 9
#: The two ways to choose the test places.
SPLITS = ("uniform", "quadrant")


@dataclass(frozen=True)
class Places:
    """Some places of the square.

    Attributes:
        centres: ``(N, 2)`` integers: the pixel coordinates (x, y) of its centre.
    """

    centres: Tensor

    def __len__(self) -> int:
        """The number of places."""
        return len(self.centres)

    def points(self) -> Tensor:
        """Return the centres in normalized coordinates: ``(N, 2)``, float32."""
        return to_normalized(self.centres.float(), (CANVAS, CANVAS))

    def classes(self) -> Tensor:
        """Return the number of each centre's pixel, row by row: ``(N,)``, 0 to 4095."""
        x, y = self.centres.unbind(-1)
        return y * CANVAS + x

    def one_hot(self) -> Tensor:
        """Return canvases that are 1 at the centre alone: ``(N, 1, 64, 64)``."""
        flat = F.one_hot(self.classes(), CANVAS**2).float()
        return flat.unflatten(1, (1, CANVAS, CANVAS))

    def squares(self) -> Tensor:
        """Return pictures of the square, 1 on 0: ``(N, 1, 64, 64)``."""
        axis = torch.arange(CANVAS, device=self.centres.device)
        near = (axis - self.centres[..., None]).abs() <= SQUARE // 2  # (N, 2, 64)
        across, down = near.float().unbind(1)
        return (down[:, :, None] * across[:, None, :])[:, None]


def all_places() -> Places:
    """Return the 3,136 places that keep the square inside, row by row."""
    axis = torch.arange(SQUARE // 2, CANVAS - SQUARE // 2)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return Places(torch.stack([x, y], dim=-1).flatten(0, 1))


def split_places(kind: str, *, seed: int = 0) -> tuple[Places, Places]:
    """Return the places to train on and those to test on.

    Args:
        kind: ``"uniform"``: a random fifth is for testing; ``"quadrant"``: the places
            in the lower right quarter of the canvas are.
        seed: of the random choice.

    Returns:
        Both; they have no place in common.

    Raises:
        ValueError: if `kind` is unknown.
    """
    places = all_places().centres
    if kind == "quadrant":
        test = (places >= CANVAS // 2).all(dim=-1)
    elif kind == "uniform":
        order = torch.randperm(
            len(places), generator=torch.Generator().manual_seed(seed)
        )
        test = torch.zeros(len(places), dtype=torch.bool)
        test[order[: len(places) // 5]] = True
    else:
        raise ValueError(f"kind must be one of {SPLITS}, got {kind!r}")
    return Places(places[~test]), Places(places[test])
