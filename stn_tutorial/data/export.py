"""Distorted digits as a file that others can read: NumPy's npz, a zip of arrays.

Such a file needs neither this package nor PyTorch, and is loaded without pickle. For N
pictures, made of the digits one after the other, it holds

- ``images``: ``(N, H, W)``, uint8 from 0 to 255, or float32 from 0 to 1;
- ``labels``: ``(N,)`` uint8;
- ``upright``: ``(D, 28, 28)`` uint8, the D digits before they were distorted;
- ``index``: ``(N,)`` int32, of which of them each picture was made;
- ``theta``: ``(N, 2, 3)`` float32, of P ``(N, 3, 3)``: the warp that *does* the
  distortion, from normalized coordinates of the picture, ``(x, y, 1)`` with ±1 at the
  picture's edges, to those of the upright digit, where the picture was sampled;
- ``undo``: of the same shape, the inverse, which a spatial transformer has to predict:
  from the digit's coordinates, as output, to the picture's, as input. What ``(3, 3)``
  matrices yield is divided by its third entry;
- what ``theta`` is made of: ``angle`` (radians, clockwise on the screen), ``scale``,
  ``shift_px`` (x, y), ``corners_px``. Of E there is no matrix: ``offsets``,
  ``(N, 32)``, are those of a `stn_tutorial.ThinPlateSpline` with 4×4 control points,
  whose grid is divided by ``scale``;
- ``config``: the distortion, split, seed and all else that made the file, as JSON.

The pixel ``(i, j)`` of a picture of height H and width W has its centre at
``x = (2 j + 1) / W - 1`` and ``y = (2 i + 1) / H - 1``. So NumPy alone reads where the
middle of the first picture was sampled, in the digit:

>>> import json, tempfile
>>> from pathlib import Path
>>> from stn_tutorial.data.digits import load_digits
>>> path = Path(tempfile.mkdtemp()) / "rts.npz"
>>> export_digits(path, load_digits("test", "embedded").first(5), "RTS", split="test")
>>> file = np.load(path)
>>> file["images"].shape, file["labels"].tolist(), file["theta"].shape
((5, 42, 42), [2, 3, 4, 5, 6], (5, 2, 3))
>>> config = json.loads(str(file["config"]))
>>> config["distortion"], config["split"], config["seed"]
('RTS', 'test', 2015)
>>> x, y = file["theta"][0] @ [0.0, 0.0, 1.0]
>>> column, row = (np.array([x, y]) + 1) * 28 / 2 - 0.5
>>> round(float(column), 1), round(float(row), 1)
(10.3, 8.9)
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import stn_tutorial
from stn_tutorial._validate import check_choice
from stn_tutorial.data._checks import check_whole
from stn_tutorial.data.archives import atomically
from stn_tutorial.data.digits import DigitSet
from stn_tutorial.data.distortions import DISTORTIONS, Distorted, distort
from stn_tutorial.data.tensors import as_bytes

__all__ = ["export_digits"]

#: How many digits are distorted at once, as for the fixed test set.
BATCH = 1000
#: What a split's distortions are drawn from, unless a seed is given.
SEEDS = {"test": 2015, "train": 0}
KINDS = ("uint8", "float32")


def export_digits(
    path: Path,
    digits: DigitSet,
    name: str,
    *,
    split: str,
    seed: int | None = None,
    copies: int = 1,
    dtype: str = "uint8",
) -> None:
    """Write distorted digits with the truth into an npz file, a batch at a time.

    No more pictures are in memory than those of a batch of 1,000.

    Args:
        path: of the file; its folder must be there.
        digits: on the CPU, with images in [0, 1].
        name: one of `stn_tutorial.data.distortions.DISTORTIONS`.
        split: ``"train"`` or ``"test"``: which the digits are; it is said in the file.
        seed: of the distortions. None is 2015 for the test digits, which gives the
            pictures of `stn_tutorial.data.distortions.fixed_test_set`, and 0 for those
            to train on.
        copies: how many pictures of each digit: all digits' first pictures first.
        dtype: of the images, ``"uint8"`` or ``"float32"``.

    Raises:
        TypeError: if `copies` or `seed` is not an integer.
        ValueError: if a name is unknown, or there is to be no copy.
    """
    check_choice(name, "name", tuple(DISTORTIONS))
    check_choice(split, "split", tuple(SEEDS))
    check_choice(dtype, "dtype", KINDS)
    copies = check_whole(copies, "copies", least=1)
    seed = SEEDS[split] if seed is None else check_whole(seed, "seed", least=0)
    config = {
        "distortion": name,
        "split": split,
        "seed": seed,
        "copies": copies,
        "source": digits.source,
        "sha256": digits.checksum,
        "theta": "normalized coordinates of the picture to those of the upright digit",
        "align_corners": False,
        "stn_tutorial": stn_tutorial.__version__,
    }
    size, count = DISTORTIONS[name].size, copies * len(digits)
    parts: list[dict[str, Tensor]] = []

    def images() -> Iterator[Tensor]:
        for done in _batches(digits.images, name, copies, seed):
            parts.append(done.truth)
            yield _pixels(done.images, dtype)

    with atomically(Path(path)) as part, zipfile.ZipFile(part, "w") as file:
        _add(file, "images", images(), (count, *size), dtype)
        truth = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        if "theta" in truth:
            truth["undo"] = _inverse(truth["theta"])
        rows = torch.arange(len(digits), dtype=torch.int32).repeat(copies)
        arrays = {
            "labels": digits.labels.to(torch.uint8).repeat(copies),
            "upright": _pixels(digits.images, "uint8"),
            "index": rows,
            **truth,
        }
        for key, array in arrays.items():
            _add(file, key, [array], tuple(array.shape), array.numpy().dtype)
        with file.open(_member("config"), "w") as member:
            np.lib.format.write_array(member, np.array(json.dumps(config)))


def _batches(digits: Tensor, name: str, copies: int, seed: int) -> Iterator[Distorted]:
    """The distorted digits, drawn from one generator."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(copies):
        for batch in digits.split(BATCH):
            yield distort(batch, name, generator)


def _pixels(images: Tensor, dtype: str) -> Tensor:
    """Images (N, 1, H, W) in [0, 1] as they are kept: (N, H, W)."""
    images = images[:, 0]
    return as_bytes(images) if dtype == "uint8" else images.float()


def _inverse(theta: Tensor) -> Tensor:
    """The warps from the other end, in the shape they came in."""
    last = theta.new_tensor([0.0, 0.0, 1.0]).expand(len(theta), 1, 3)
    square = torch.cat([theta, last], dim=1) if theta.shape[1] == 2 else theta
    inverse = torch.linalg.inv(square.double())
    return inverse[:, : theta.shape[1]].to(theta.dtype)


def _member(name: str) -> zipfile.ZipInfo:
    """An entry of the file, which says no time: the same arrays are the same bytes."""
    entry = zipfile.ZipInfo(f"{name}.npy")
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _add(
    file: zipfile.ZipFile,
    name: str,
    parts: Iterator[Tensor] | list[Tensor],
    shape: tuple[int, ...],
    dtype: np.dtype | str,
) -> None:
    """Add an array to an npz file, of which only a part is there at a time."""
    kind = np.dtype(dtype)
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False}
    with file.open(_member(name), "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, {**header, "shape": shape})
        for part in parts:
            member.write(np.ascontiguousarray(part.numpy(), kind).data)
