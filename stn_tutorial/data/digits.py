"""MNIST, from its four original archives, or scikit-learn's digits in its stead.

`load_digits` looks for the archives in the cache folder, then fetches them: from the
place that ``STN_TUTORIAL_MIRROR`` names (a folder, a ``file://`` or an ``http://``
address), or from torchvision's mirrors. Every archive is checked against torchvision's
MD5 sums each time it is read, and is moved into the cache in one step, so a download
cut short leaves nothing behind and several processes may ask at once.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname, urlopen

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import MNIST
from tqdm.auto import tqdm

from stn_tutorial.data.embedded import embedded_digits

__all__ = ["DataError", "DigitSet", "cache_folder", "fetch_mnist", "load_digits"]

SPLITS = {"train": "train", "test": "t10k"}


class DataError(RuntimeError):
    """The data can't be had; the message names the archive and the reason."""


@dataclass(frozen=True)
class DigitSet:
    """Digits with their labels.

    Attributes:
        images: ``(N, 1, 28, 28)`` float32 in [0, 1], 0 is the background.
        labels: ``(N,)`` int64.
        source: ``"mnist"`` or ``"embedded"``.
        checksum: SHA-256 of images and labels.
    """

    images: Tensor
    labels: Tensor
    source: str
    checksum: str

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> DigitSet:
        """Return the same digits on another device.

        Args:
            device: where to.

        Returns:
            The digits there.
        """
        images, labels = self.images.to(device), self.labels.to(device)
        return DigitSet(images, labels, self.source, self.checksum)

    def first(self, count: int) -> DigitSet:
        """Return the first digits.

        Args:
            count: how many.

        Returns:
            They, with a checksum of their own.
        """
        return _digit_set(self.images[:count], self.labels[:count], self.source)

    def hold_out(self, count: int) -> tuple[DigitSet, DigitSet]:
        """Divide the digits in two.

        Args:
            count: how many to hold out: the last ones.

        Returns:
            The other digits, and those held out.

        Raises:
            ValueError: if no digit would be left.
        """
        if not 0 < count < len(self):
            raise ValueError(
                f"count must leave some of the {len(self)} digits, got {count}"
            )
        held = self.images[-count:], self.labels[-count:]
        return self.first(len(self) - count), _digit_set(*held, self.source)


def load_digits(split: str = "train", source: str = "auto") -> DigitSet:
    """Return the training or the test digits.

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
    if split not in SPLITS:
        raise ValueError(f"split must be one of {tuple(SPLITS)}, got {split!r}")
    if source not in ("auto", "mnist", "embedded"):
        raise ValueError(
            f"source must be 'auto', 'mnist' or 'embedded', got {source!r}"
        )
    if source != "embedded":
        try:
            return _mnist(split)
        except DataError as error:
            if source == "mnist":
                raise
            _notice(str(error))
    images, labels = embedded_digits()
    part = slice(0, -360) if split == "train" else slice(-360, None)
    return _digit_set(images[part], labels[part], "embedded")


def cache_folder() -> Path:
    """Return where archives are kept: ``STN_TUTORIAL_DATA``, or the user's cache."""
    if named := os.environ.get("STN_TUTORIAL_DATA"):
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "stn_tutorial"


def fetch_mnist() -> list[Path]:
    """Make sure that the four archives are in the cache, and return their paths.

    Raises:
        DataError: if one can't be fetched, or what was fetched is damaged.
    """
    return [_archive(name, md5) for name, md5 in MNIST.resources]


def _mnist(split: str) -> DigitSet:
    wanted = {name: md5 for name, md5 in MNIST.resources if SPLITS[split] in name}
    paths = {
        "images" if "images" in name else "labels": _archive(name, md5)
        for name, md5 in wanted.items()
    }
    # An archive is a header of 16 or 8 bytes, then one byte a pixel or label.
    contents = {
        kind: gzip.decompress(path.read_bytes()) for kind, path in paths.items()
    }
    images = np.frombuffer(contents["images"], np.uint8, offset=16)
    labels = np.frombuffer(contents["labels"], np.uint8, offset=8)
    pixels = torch.from_numpy(images.copy()).view(-1, 1, 28, 28)
    return _digit_set(
        pixels.float() / 255, torch.from_numpy(labels.astype(np.int64)), "mnist"
    )


def _archive(name: str, md5: str) -> Path:
    """The path of an archive whose checksum is right, fetched if need be."""
    path = cache_folder() / "MNIST" / "raw" / name  # as torchvision lays it out
    if path.exists() and _md5(path) == md5:
        return path
    damaged = f"{path} is damaged; " if path.exists() else ""
    reasons = []
    for place in _places():
        try:
            _fetch(f"{place.rstrip('/')}/{name}", path, md5)
            return path
        except (OSError, HTTPException, DataError) as error:
            reasons.append(f"{place}: {error}")
    raise DataError(f"{damaged}{name} can't be had ({'; '.join(reasons)})")


def _places() -> list[str]:
    mirror = os.environ.get("STN_TUTORIAL_MIRROR")
    return [mirror] if mirror else list(MNIST.mirrors)


def _fetch(address: str, path: Path, md5: str) -> None:
    """Bring a file to `path` whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    os.close(handle)
    try:
        with _open(address) as source, open(part, "wb") as target:
            shutil.copyfileobj(source, target)
        if _md5(Path(part)) != md5:
            raise DataError("the archive there is damaged: its MD5 sum is not MNIST's")
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


@contextmanager
def _open(address: str):
    """Open a path, a file:// or an http(s):// address; show a download's progress."""
    parts = urlparse(address)
    if parts.scheme not in ("http", "https"):
        local = url2pathname(parts.path) if parts.scheme == "file" else address
        with open(local, "rb") as source:
            yield source
        return
    with urlopen(address, timeout=10) as source:
        total = int(source.headers.get("Content-Length", 0)) or None
        name = parts.path.rpartition("/")[2]
        with tqdm.wrapattr(source, "read", total=total, desc=name, leave=False) as read:
            yield read


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _digit_set(images: Tensor, labels: Tensor, source: str) -> DigitSet:
    digest = hashlib.sha256(images.contiguous().numpy().tobytes())
    digest.update(labels.contiguous().numpy().tobytes())
    return DigitSet(images, labels, source, digest.hexdigest())


def _notice(reason: str) -> None:
    """Say, once a run, that the embedded digits are used."""
    if not _noticed and os.environ.get("RANK", "0") == "0":
        _noticed.append(reason)
        print(
            "MNIST can't be had, so scikit-learn's 1,797 digits are used instead. "
            f"Reason: {reason}"
        )


_noticed: list[str] = []
