"""What pictures of signs and of birds have in common: labels, and boxes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TypeVar

from torch import Tensor

from stn_tutorial._validate import check_tensor
from stn_tutorial.data.tensors import checksum_of

__all__ = ["Photographs"]

AnyPhotographs = TypeVar("AnyPhotographs", bound="Photographs")


@dataclass(frozen=True, eq=False)
class Photographs:
    """Pictures with one thing in each. Whoever knows more of them has more fields.

    >>> import torch
    >>> three = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    >>> pictures = Photographs(three, torch.tensor([4, 1, 1]), torch.zeros(3, 4))
    >>> len(pictures), pictures[pictures.labels == 1].labels.tolist()
    (3, [1, 1])

    Attributes:
        images: ``(N, C, H, W)`` uint8.
        labels: ``(N,)`` int64: the kinds of things.
        boxes: ``(N, 4)``: left, top, right and bottom of each thing, in pixels, of
            which the first one's centre is (0, 0).

    Raises:
        TypeError: if a field that should be a tensor is none.
        ValueError: if the tensors are not as long as one another.
    """

    images: Tensor
    labels: Tensor
    boxes: Tensor

    def __post_init__(self) -> None:
        for name, part in self._tensors().items():
            check_tensor(part, name)
            if len(part) != len(self.labels):
                raise ValueError(
                    f"{name} must be as many as labels, {len(self.labels)}, "
                    f"got {len(part)}"
                )

    def _tensors(self) -> dict[str, Tensor]:
        """What there is of each picture, by the name of its field."""
        names = [field.name for field in fields(self) if field.name != "source"]
        return {name: getattr(self, name) for name in names}

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)

    def __getitem__(self: AnyPhotographs, which: Tensor | slice) -> AnyPhotographs:
        """Return some of the pictures.

        Args:
            which: a slice, indices, or for each picture whether it is wanted.

        Returns:
            These, in their order.
        """
        some = {name: part[which] for name, part in self._tensors().items()}
        return replace(self, **some)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the images' and the labels' bytes, in hexadecimal."""
        return checksum_of(self.images, self.labels)
