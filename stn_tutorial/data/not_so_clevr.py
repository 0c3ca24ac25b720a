"""Not-so-Clevr: one white square at every location of a canvas (Liu et al. 2018, §3).

A 9×9 square on a canvas of 64×64 pixels has 56×56 locations that keep it inside. Each
is known in three ways: by the pixel coordinates of the square's centre, by a canvas
that is 1 at that pixel alone, and by the picture of the square. The paper's tasks lead
from one to another.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_tutorial._validate import check_choice, check_tensor
from stn_tutorial.coordinates import to_normalized
from stn_tutorial.data._checks import check_whole

__all__ = [
    "CANVAS",
    "SPLITS",
    "SQUARE",
    "Locations",
    "all_locations",
    "split_locations",
]

#: Height and width of the canvas, in pixels.
CANVAS = 64
#: The side of the square, in pixels.
SQUARE = 9
#: The two ways to choose the test locations.
SPLITS = ("uniform", "quadrant")


@dataclass(frozen=True, eq=False)
class Locations:
    """Some locations of the square.

    >>> locations = Locations(torch.tensor([[4, 4], [59, 32]]))
    >>> locations.classes().tolist()
    [260, 2107]
    >>> tuple(locations.squares().shape)
    (2, 1, 64, 64)

    Attributes:
        centres: ``(N, 2)`` integers: the pixel coordinates (x, y) of the square's
            centre, each from 4 to 59, so that the square is inside.

    Raises:
        TypeError: if `centres` is not a tensor of integers.
        ValueError: if it is not ``(N, 2)``, or a square is not inside.
    """

    centres: Tensor

    def __post_init__(self) -> None:
        centres = self.centres
        check_tensor(centres, "centres")
        if centres.is_floating_point() or centres.dtype == torch.bool:
            raise TypeError(f"centres must be integers, got {centres.dtype}")
        if centres.ndim != 2 or centres.shape[1] != 2:
            raise ValueError(f"centres must be (N, 2), got {tuple(centres.shape)}")
        low, high = SQUARE // 2, CANVAS - SQUARE // 2 - 1
        if bool(((centres < low) | (centres > high)).any()):
            raise ValueError(
                f"centres must be from {low} to {high}, so that the square is inside, "
                f"got {int(centres.min())} to {int(centres.max())}"
            )

    def __len__(self) -> int:
        """Return the number of locations."""
        return len(self.centres)

    def points(self) -> Tensor:
        """Return the centres in normalized coordinates: ``(N, 2)``, float32.

        >>> Locations(torch.tensor([[31, 32]])).points().tolist()
        [[-0.015625, 0.015625]]
        """
        return to_normalized(self.centres.float(), (CANVAS, CANVAS))

    def classes(self) -> Tensor:
        """Return the number of each centre's pixel, row by row: ``(N,)``, 0 to 4095.

        >>> Locations(torch.tensor([[31, 32]])).classes().tolist()
        [2079]
        """
        x, y = self.centres.long().unbind(-1)
        return y * CANVAS + x

    def one_hot(self) -> Tensor:
        """Return canvases that are 1 at the centre alone: ``(N, 1, 64, 64)``, float32.

        >>> Locations(torch.tensor([[31, 32]])).one_hot().nonzero().tolist()
        [[0, 0, 32, 31]]
        """
        flat = F.one_hot(self.classes(), CANVAS**2).float()
        return flat.unflatten(1, (1, CANVAS, CANVAS))

    def squares(self) -> Tensor:
        """Return pictures of the square, 1 on 0: ``(N, 1, 64, 64)``, float32.

        >>> int(Locations(torch.tensor([[31, 32]])).squares().sum())
        81
        """
        axis = torch.arange(CANVAS, device=self.centres.device)
        near = (axis - self.centres[..., None]).abs() <= SQUARE // 2  # (N, 2, 64)
        across, down = near.float().unbind(1)
        return (down[:, :, None] * across[:, None, :])[:, None]


def all_locations() -> Locations:
    """Return the 3,136 locations that keep the square inside, row by row.

    >>> all_locations().centres[:2].tolist()
    [[4, 4], [5, 4]]
    """
    axis = torch.arange(SQUARE // 2, CANVAS - SQUARE // 2)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return Locations(torch.stack([x, y], dim=-1).flatten(0, 1))


def split_locations(kind: str, *, seed: int = 0) -> tuple[Locations, Locations]:
    """Return the locations to train on and those to test on.

    >>> [len(part) for part in split_locations("quadrant")]
    [2352, 784]

    Args:
        kind: ``"uniform"``: a random fifth is for testing; ``"quadrant"``: the
            locations in the lower right quarter of the canvas are.
        seed: of the random choice.

    Returns:
        Both; they have no location in common.

    Raises:
        TypeError: if `seed` is not an integer.
        ValueError: if `kind` is unknown.
    """
    check_choice(kind, "kind", SPLITS)
    generator = torch.Generator().manual_seed(check_whole(seed, "seed"))
    centres = all_locations().centres
    if kind == "quadrant":
        test = (centres >= CANVAS // 2).all(dim=-1)
    else:
        test = torch.zeros(len(centres), dtype=torch.bool)
        test[torch.randperm(len(centres), generator=generator)[: len(centres) // 5]] = 1
    return Locations(centres[~test]), Locations(centres[test])
