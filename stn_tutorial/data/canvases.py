"""Digits on canvases, perhaps among pieces of other digits, and their true boxes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stn_tutorial._validate import check_choice
from stn_tutorial.data.digits import DigitSet
from stn_tutorial.data.distortions import put_on_canvas
from stn_tutorial.data.tensors import as_bytes

__all__ = ["COLUMNS", "FRAME", "SIZE", "Pictures", "make_pictures"]

#: Height and width of a picture, and of the digit's frame, which is the true box.
SIZE, FRAME = 84, 28
#: How many pieces of other digits are on a canvas, translated or cluttered as well.
COLUMNS = {"T": 0, "TC": 16}


@dataclass(frozen=True, eq=False)
class Pictures:
    """Digits on canvases, and where they are.

    Attributes:
        images: ``(N, 1, 84, 84)`` uint8.
        boxes: ``(N, 4)``: left, top, right and bottom of each digit's 28×28, in pixels
            of the canvas, of which the first one's centre is (0, 0).
        labels: ``(N,)`` classes.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)

    def of(self, digit: int, count: int = 0) -> Pictures:
        """Return the pictures of a class.

        Args:
            digit: the class.
            count: the first so many; 0 returns all.

        Returns:
            The pictures, in their order.
        """
        mine = (self.labels == digit).nonzero()[:, 0]
        mine = mine[:count] if count else mine
        return Pictures(self.images[mine], self.boxes[mine], self.labels[mine])


def make_pictures(digits: DigitSet, column: str, *, seed: int) -> Pictures:
    """Put every digit on a canvas of 84×84; the pieces are of digits of all classes.

    >>> from stn_tutorial.data.digits import load_digits
    >>> digits = load_digits("test", "embedded").first(20)
    >>> pictures = make_pictures(digits, "TC", seed=0)
    >>> tuple(pictures.images.shape), tuple(pictures.boxes.shape)
    ((20, 1, 84, 84), (20, 4))
    >>> set(pictures.of(3).labels.tolist())
    {3}

    Args:
        digits: of all classes.
        column: one of `COLUMNS`.
        seed: of locations and pieces.

    Returns:
        The pictures, on the CPU.
    """
    check_choice(column, "column", tuple(COLUMNS))
    generator = torch.Generator().manual_seed(seed)
    images, corners = [], []
    for batch in digits.images.split(1000):
        done = put_on_canvas(batch, generator, size=SIZE, pieces=COLUMNS[column])
        images.append(as_bytes(done.images))
        corners.append(done.truth["shift_px"] + (SIZE - FRAME) / 2 - 0.5)
    corner = torch.cat(corners)
    boxes = torch.cat([corner, corner + FRAME], dim=1)
    return Pictures(torch.cat(images), boxes, digits.labels)
