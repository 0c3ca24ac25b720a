"""Photographs of traffic signs: the German benchmark GTSRB (Stallkamp et al. 2012).

It is not fetched: ``STN_TUTORIAL_GTSRB`` names where it is, a folder that torchvision
has filled, or an archive of NumPy's with smaller pictures:

- the **folder** that ``torchvision.datasets.GTSRB(root, download=True)`` was given for
  both splits. Every picture is brought to 32×32;
- the **archive**, an ``.npz`` with ``x_train``, ``(N, 32, 32, 3)`` uint8; ``y_train``,
  the classes; ``meta_train``, width, height and the corners of the sign's box in the
  original picture (``Roi.X1``, ``Y1``, ``X2``, ``Y2``); ``track_train``, counted anew
  in each class; and the same of the test pictures, but for the tracks, which the
  benchmark keeps to itself.

The benchmark's training pictures come in **tracks**: a car drove up to a sign, and took
30 pictures of it on the way. They are as good as copies of one another.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Hashable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stn_tutorial._validate import check_choice
from stn_tutorial.data.archives import DataError, named_path, told
from stn_tutorial.data.pictures import Preparation, open_picture
from stn_tutorial.data.signs import Signs

__all__ = ["N_CLASSES", "SIDE", "VARIABLE", "load_gtsrb"]

#: The environment variable that says where the pictures are.
VARIABLE = "STN_TUTORIAL_GTSRB"
#: Height and width of the pictures, and how many kinds of signs there are.
SIDE, N_CLASSES = 32, 43

_ROI = ("Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2")


def load_gtsrb(split: str = "train") -> Signs:
    """Return the photographs of traffic signs that `VARIABLE` names.

    >>> signs = load_gtsrb("test")  # doctest: +SKIP
    >>> signs.images.shape, signs.labels.max()  # doctest: +SKIP
    (torch.Size([12630, 3, 32, 32]), tensor(42))

    Args:
        split: ``"train"`` or ``"test"``.

    Returns:
        The pictures, in their order. The test pictures' tracks are not known: each is
        called a track of its own.

    Raises:
        DataError: if nothing is named, or what is named is no such data.
        ValueError: if the split is unknown.
    """
    check_choice(split, "split", ("train", "test"))
    path = named_path(
        VARIABLE,
        f"GTSRB can't be had: set {VARIABLE} to the folder that torchvision has put it "
        "in, or to an archive .npz of it.",
    )
    try:
        read = _read_folder if path.is_dir() else _read_archive
        images, labels, roi, tracks = read(path, split)
        return Signs(images, labels, _boxes(roi), tracks, "gtsrb")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} does not hold GTSRB's {split} set: {told(error)}"
        ) from error


def _boxes(roi: Tensor) -> Tensor:
    """Boxes in the pictures of 32×32, from those in the original ones."""
    width, height, left, top, right, bottom = roi.float().unbind(dim=1)
    # The pixels at the ends belong to the box, whose edge runs around them.
    edges = left / width, top / height, (right + 1) / width, (bottom + 1) / height
    return torch.stack(edges, dim=1) * SIDE - 0.5


def _read_archive(path: Path, split: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    with np.load(path, allow_pickle=False) as file:
        images = torch.from_numpy(file[f"x_{split}"])
        labels = torch.from_numpy(file[f"y_{split}"].astype(np.int64))
        roi = torch.from_numpy(file[f"meta_{split}"].astype(np.int64))
        names = range(len(labels))
        if split == "train":  # tracks are counted anew in each class
            names = zip(file["y_train"].tolist(), file["track_train"].tolist())
        tracks = _numbered(names)
    if images.shape[1:] != (SIDE, SIDE, 3) or images.dtype != torch.uint8:
        raise ValueError(f"its pictures are {tuple(images.shape[1:])}, {images.dtype}")
    return images.movedim(-1, 1).contiguous(), labels, roi, tracks


def _read_folder(root: Path, split: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    base = root / "gtsrb"
    if split == "train":
        tables = sorted((base / "GTSRB" / "Training").glob("*/GT-*.csv"))
    else:
        tables = [base / "GT-final_test.csv"]
    rows = [row for table in tables for row in _rows(table, split)]
    if not rows:
        raise ValueError("it has no table of training pictures")
    prepare = Preparation(SIDE, SIDE, fit="stretch")
    images = torch.stack([prepare(open_picture(path)) for path, _ in rows])
    labels = torch.tensor([int(row["ClassId"]) for _, row in rows])
    roi = torch.tensor([[int(row[name]) for name in _ROI] for _, row in rows])
    # A training picture is called TRACK_FRAME.ppm, and tracks are counted by class.
    names = [
        (path.parent.name, path.stem.split("_")[0] if split == "train" else path.stem)
        for path, _ in rows
    ]
    return images, labels, roi, _numbered(names)


def _numbered(names: Iterable[Hashable]) -> Tensor:
    """A number for each different name, in the order in which they come."""
    number: dict[Hashable, int] = {}
    return torch.tensor([number.setdefault(name, len(number)) for name in names])


def _rows(table: Path, split: str) -> list[tuple[Path, dict[str, str]]]:
    """The pictures that a table names, and what it says of each."""
    folder = table.parent
    if split == "test":
        folder = folder / "GTSRB" / "Final_Test" / "Images"
    with table.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter=";")
        return [(folder / row["Filename"], row) for row in rows]
