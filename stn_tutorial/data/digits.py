"""Digits with labels: MNIST, or scikit-learn's digits where it can't be had.

Where MNIST comes from is said in `stn_tutorial.data.archives`.
"""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from stn_tutorial._validate import check_choice, check_tensor
from stn_tutorial.data._checks import check_whole
from stn_tutorial.data.archives import DataError, read_archive
from stn_tutorial.data.embedded import embedded_digits
from stn_tutorial.data.tensors import checksum_of

__all__ = ["DigitSet", "is_main_process", "load_digits"]

SPLITS = {"train": "train", "test": "t10k"}
SOURCES = ("auto", "mnist", "embedded")


@dataclass(frozen=True, eq=False)
class DigitSet:
    """Digits with their labels.

    >>> digits = load_digits("test", "embedded")
    >>> len(digits), tuple(digits.images.shape), digits.labels[:4].tolist()
    (360, (360, 1, 28, 28), [2, 3, 4, 5])

    Attributes:
        images: ``(N, 1, 28, 28)`` float32 in [0, 1], 0 is the background; of
            `stn_tutorial.data.distortions.distorted_copies`, uint8 of another size.
        labels: ``(N,)`` int64.
        source: ``"mnist"`` or ``"embedded"``.

    Raises:
        TypeError: if images or labels are not a tensor.
        ValueError: if there are not as many labels as images.
    """

    images: Tensor
    labels: Tensor
    source: str

    def __post_init__(self) -> None:
        check_tensor(self.images, "images")
        check_tensor(self.labels, "labels")
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"labels must be {tuple(self.images.shape[:1])}, one for each image, "
                f"got {tuple(self.labels.shape)}"
            )

    def __len__(self) -> int:
        """Return the number of digits."""
        return len(self.labels)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the images' and the labels' bytes, in hexadecimal."""
        return checksum_of(self.images, self.labels)

    def to(self, device: torch.device | str) -> DigitSet:
        """Return the same digits on another device.

        >>> load_digits("test", "embedded").to("cpu").images.device
        device(type='cpu')

        Args:
            device: where to.

        Returns:
            The digits there.
        """
        return DigitSet(self.images.to(device), self.labels.to(device), self.source)

    def first(self, count: int) -> DigitSet:
        """Return the first digits.

        >>> load_digits("test", "embedded").first(4).labels.tolist()
        [2, 3, 4, 5]

        Args:
            count: how many: 1 to all of them.

        Returns:
            The first `count` digits, with a checksum of their own.

        Raises:
            TypeError: if `count` is not an integer.
            ValueError: if there are not so many digits.
        """
        count = check_whole(count, "count", least=1, most=len(self))
        return DigitSet(self.images[:count], self.labels[:count], self.source)

    def hold_out(self, count: int) -> tuple[DigitSet, DigitSet]:
        """Divide the digits in two.

        >>> rest, held = load_digits("train", "embedded").hold_out(200)
        >>> len(rest), len(held)
        (1237, 200)

        Args:
            count: how many to hold out: the last ones.

        Returns:
            The other digits, and those held out.

        Raises:
            TypeError: if `count` is not an integer.
            ValueError: if no digit would be held out, or none be left.
        """
        most = len(self) - 1
        rest = len(self) - check_whole(count, "count", least=1, most=most)
        held = DigitSet(self.images[rest:], self.labels[rest:], self.source)
        return self.first(rest), held


def load_digits(split: str = "train", source: str = "auto") -> DigitSet:
    """Return the training or the test digits.

    >>> load_digits("train", "embedded").images.shape
    torch.Size([1437, 1, 28, 28])

    Args:
        split: ``"train"`` or ``"test"``.
        source: ``"mnist"``; ``"embedded"`` (scikit-learn's 1,797 digits, the last 360
            for testing: other writers than the training ones); or ``"auto"``: MNIST
            when it can be had, else the embedded digits, with a notice.

    Returns:
        The digits, on the CPU.

    Raises:
        DataError: if MNIST is asked for and can't be had.
        ValueError: if an argument is unknown.
    """
    check_choice(split, "split", tuple(SPLITS))
    check_choice(source, "source", SOURCES)
    if source != "embedded":
        try:
            return _mnist(split)
        except DataError as error:
            if source == "mnist":
                raise
            _notice(str(error))
    images, labels = embedded_digits()
    part = slice(0, -360) if split == "train" else slice(-360, None)
    return DigitSet(images[part], labels[part], "embedded")


def is_main_process() -> bool:
    """Return whether this is the only process, or the first that torchrun started.

    >>> is_main_process()
    True
    """
    return os.environ.get("RANK") in (None, "", "0")


def _mnist(split: str) -> DigitSet:
    # An archive is a header of 16 or 8 bytes, then one byte a pixel or label.
    images, labels = (
        np.frombuffer(gzip.decompress(read_archive(name)), np.uint8, offset=offset)
        for name, offset in (
            (f"{SPLITS[split]}-images-idx3-ubyte.gz", 16),
            (f"{SPLITS[split]}-labels-idx1-ubyte.gz", 8),
        )
    )
    pixels = torch.from_numpy(images.astype(np.float32)).view(-1, 1, 28, 28)
    return DigitSet(pixels / 255, torch.from_numpy(labels.astype(np.int64)), "mnist")


def _notice(reason: str) -> None:
    """Say, once a run, that the embedded digits are used."""
    if not _noticed and is_main_process():
        _noticed.append(reason)
        print(
            "MNIST can't be had, so scikit-learn's 1,797 digits are used instead. "
            f"Reason: {reason}"
        )


_noticed: list[str] = []
