"""Networks that read strings of digits, with transformers on the way or without.

After the paper's CNN, ST-CNN Single and ST-CNN Multi (Jaderberg et al. 2015, §4.2),
with fewer and narrower layers.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn

from stn_tutorial.data.strings import MOST, NONE
from stn_tutorial.experiments.models import count_parameters
from stn_tutorial.families import Affine
from stn_tutorial.localization import ModernLocalization, normalized_convolution
from stn_tutorial.transformer import SpatialTransformer

__all__ = ["PLACES", "StringReader", "width_for"]

#: Before which of its convolutions each network has a transformer.
PLACES: dict[str, tuple[int, ...]] = {"cnn": (), "single": (0,), "multi": (0, 1, 2)}


class StringReader(nn.Module):
    """A convolutional network that reads a string, with transformers on the way.

    Four convolutions with normalization; the first one halves the size, and pooling
    does until 8×8 are left. Then one hidden layer, and five answers at once.

    >>> reader = StringReader(64, width=8, places=(0, 1, 2))
    >>> pictures = torch.rand(3, 1, 64, 64)
    >>> reader(pictures).shape, [tuple(p.shape) for p in reader.params(pictures)]
    (torch.Size([3, 11, 5]), [(3, 6), (3, 6), (3, 6)])

    Args:
        size: height and width of the pictures, 64 or 128.
        width: channels of the first convolution; the others have twice as many.
        places: before which convolutions, from 0 on, there is an affine transformer. It
            passes on as much as it gets, and repeats the edge where it looks beyond.
    """

    def __init__(self, size: int, width: int, places: Sequence[int] = ()) -> None:
        super().__init__()
        self.blocks, self.transformers = nn.ModuleList(), nn.ModuleDict()
        n_in, side = 1, size
        for place, n_out in enumerate((width, 2 * width, 2 * width, 2 * width)):
            if place in places:
                self.transformers[str(place)] = _transformer((n_in, side, side))
            if place == 0:
                layers = normalized_convolution(n_in, n_out, 5, stride=2)
            else:
                layers = normalized_convolution(n_in, n_out, 3)
                layers += [nn.MaxPool2d(2)] if side > 8 else []
            self.blocks.append(nn.Sequential(*layers))
            n_in, side = n_out, max(8, side // 2)
        self.answers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(n_in * side**2, 128, bias=False),
            nn.BatchNorm1d(128),
            nn.ReLU(),
            nn.Linear(128, (NONE + 1) * MOST),
            nn.Unflatten(1, (NONE + 1, MOST)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Read pictures.

        Args:
            x: ``(N, 1, size, size)``.

        Returns:
            ``(N, 11, 5)`` scores of the classes, for each of the five places.
        """
        return self._read(x)[0]

    def params(self, x: Tensor) -> list[Tensor]:
        """Return the warp of each transformer, from the picture to what it passes on.

        A transformer of feature maps warps what the ones before it have warped. Here
        the warps before it are taken together with its own.

        Args:
            x: ``(N, 1, size, size)``.

        Returns:
            For each transformer ``(N, 6)`` of `stn_tutorial.Affine`, from its output to
            the picture.
        """
        return self._read(x)[1]

    def _read(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        so_far, every = Affine().identity().to(x).expand(len(x), -1), []
        for place, block in enumerate(self.blocks):
            if str(place) in self.transformers:
                transformer = self.transformers[str(place)]
                theta = transformer.params(x)
                x = transformer.warp(x, theta)
                so_far = Affine().compose(so_far, theta)
                every.append(so_far)
            x = block(x)
        return self.answers(x), every


def _transformer(shape: tuple[int, int, int]) -> SpatialTransformer:
    """A transformer of maps of a shape; convolutions halve them to 4×4 in front of the
    localization network's last layers."""
    halvings = int(math.log2(shape[1] // 4))
    channels = [8 if shape[1] >> k > 32 else 16 for k in range(halvings)]
    network = ModernLocalization(shape, Affine(), channels=channels)
    return SpatialTransformer(network, padding="border")


@cache
def width_for(size: int, places: tuple[int, ...], budget: int) -> int:
    """Return the width with which a network comes closest to a number of parameters.

    >>> [width_for(64, places, 300_000) for places in PLACES.values()]
    [16, 16, 13]

    Args:
        size: of the pictures.
        places: of the transformers.
        budget: the number aimed at.

    Returns:
        The width, from 1 on.
    """

    def count(width: int) -> int:
        with torch.device("meta"):  # shapes alone
            return count_parameters(StringReader(size, width, places))

    above = 1 + bisect.bisect(range(1, 256), budget, key=count)
    return min((max(1, above - 1), above), key=lambda w: abs(count(w) - budget))
