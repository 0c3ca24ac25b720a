"""Photographs of birds, with the places of their parts: CUB-200-2011 (Wah et al. 2011).

They are not fetched: ``STN_TUTORIAL_CUB`` names the folder where they are, either

- the **archive**, unpacked: ``CUB_200_2011`` or the folder that holds it, with
  ``images``, ``parts`` and the tables ``images.txt``, ``image_class_labels.txt``,
  ``train_test_split.txt`` and ``bounding_boxes.txt``; or
- a **reduced** set of it: the same tables and ``part_locs.txt`` in ``annotations``; the
  pictures, made smaller, in a ``.tar`` or in ``images``; and a table ``.csv`` of the
  pictures that are there, with ``image_id``, and ``orig_w`` and ``orig_h``, the size
  that the annotations are measured in.

Every picture is brought to a square, whole, with black bars. The photographs belong to
those who took them, and may be used for research that is not commercial: the book
measures with them, and shows none.

For trying things out there are birds that are drawn, `draw_birds`.
"""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from stn_tutorial._validate import check_choice
from stn_tutorial.coordinates import base_grid, to_pixels
from stn_tutorial.data._checks import check_whole
from stn_tutorial.data.archives import DataError, named_path, told
from stn_tutorial.data.photographs import Photographs
from stn_tutorial.data.pictures import Preparation, open_picture
from stn_tutorial.data.tensors import as_bytes

__all__ = [
    "BODY",
    "HEAD",
    "N_CLASSES",
    "PARTS",
    "SIDE",
    "VARIABLE",
    "Birds",
    "draw_birds",
    "load_birds",
]

#: The environment variable that says where the pictures are.
VARIABLE = "STN_TUTORIAL_CUB"
#: Height and width of the pictures unless told, and how many kinds there are.
SIDE, N_CLASSES = 256, 200
#: The parts whose places are known, in the benchmark's order.
PARTS = (
    "back",
    "beak",
    "belly",
    "breast",
    "crown",
    "forehead",
    "left eye",
    "left leg",
    "left wing",
    "nape",
    "right eye",
    "right leg",
    "right wing",
    "tail",
    "throat",
)
#: The parts that belong to the head.
HEAD = ("beak", "crown", "forehead", "left eye", "nape", "right eye", "throat")
#: The parts that belong to the body.
BODY = ("back", "belly", "breast", "left wing", "right wing")


@dataclass(frozen=True, eq=False)
class Birds(Photographs):
    """Pictures of birds, in colour.

    Attributes:
        images: ``(N, 3, H, W)`` uint8.
        labels: ``(N,)`` int64: the kinds of birds.
        boxes: ``(N, 4)`` of the birds; see `Photographs`.
        parts: ``(N, 15, 2)``: the places of `PARTS`, x and y in pixels, of which the
            first one's centre is (0, 0); NaN of a part that can't be seen.
        source: where they are from.

    Raises:
        TypeError: if one of the first four is no tensor.
        ValueError: if they are not as long as one another.
    """

    parts: Tensor
    source: str

    def middle_of(self, names: Sequence[str]) -> Tensor:
        """Return where some parts of each bird are, in the mean over those seen.

        >>> birds = draw_birds(2, seed=0)
        >>> birds.middle_of(HEAD).shape
        torch.Size([2, 2])

        Args:
            names: of `PARTS`.

        Returns:
            ``(N, 2)`` x and y in pixels; NaN where none of the parts can be seen.
        """
        return self.parts[:, [PARTS.index(name) for name in names]].nanmean(dim=1)

    def hold_out(self) -> tuple[Birds, Birds]:
        """Divide the pictures in two: every fifth of each kind is held out.

        Returns:
            Those that stay, and those held out.
        """
        held = torch.zeros(len(self), dtype=torch.bool)
        for label in self.labels.unique():
            held[(self.labels == label).nonzero()[::5, 0]] = True
        return self[~held], self[held]


def load_birds(
    split: str = "train", *, classes: int = N_CLASSES, side: int = SIDE
) -> Birds:
    """Return the photographs of birds that `VARIABLE` names.

    >>> birds = load_birds("test", classes=50)  # doctest: +SKIP
    >>> birds.images.shape, birds.parts.shape  # doctest: +SKIP
    (torch.Size([1391, 3, 256, 256]), torch.Size([1391, 15, 2]))

    Args:
        split: ``"train"`` or ``"test"``, as the benchmark divides them.
        classes: of how many kinds, the first ones.
        side: height and width of the square that each picture is brought to.

    Returns:
        The pictures, in the benchmark's order.

    Raises:
        DataError: if nothing is named, or what is named is no such data.
        ValueError: if the split is unknown, there are not so many kinds, or the side is
            below 8.
    """
    check_choice(split, "split", ("train", "test"))
    check_whole(classes, "classes", least=1, most=N_CLASSES)
    check_whole(side, "side", least=8)
    path = named_path(
        VARIABLE,
        f"CUB-200-2011 can't be had: set {VARIABLE} to the folder that its archive was "
        "unpacked in.",
    )
    try:
        return _read(path, split, classes, side)
    except (OSError, KeyError, ValueError, tarfile.TarError) as error:
        raise DataError(f"{path} does not hold CUB-200-2011: {told(error)}") from error


def draw_birds(count: int, *, seed: int, side: int = 64) -> Birds:
    """Draw birds, an ellipse with a disc, of four kinds that differ in their tones.

    >>> birds = draw_birds(6, seed=0)
    >>> birds.images.shape, birds.labels.tolist()
    (torch.Size([6, 3, 64, 64]), [0, 1, 2, 3, 0, 1])

    Args:
        count: how many.
        seed: of places, sizes, poses and backgrounds.
        side: height and width of the pictures.

    Returns:
        The birds. Of the parts the crown and the belly are known: the middles of head
        and body.

    Raises:
        ValueError: if the count or the side is too small.
    """
    check_whole(count, "count", least=1)
    check_whole(side, "side", least=16)
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    place = 0.8 * torch.rand(count, 2, generator=draw) - 0.4
    size = 0.2 + 0.15 * torch.rand(count, 1, generator=draw)
    facing = torch.where(torch.rand(count, 1, generator=draw) < 0.5, -1.0, 1.0)
    head = place + size * torch.cat([facing, -torch.ones_like(facing)], dim=1)
    grid = base_grid((side, side))
    half = side / 2

    def disc(middle: Tensor, radius: Tensor, flat: float = 1.0) -> Tensor:
        offset = (grid - middle[:, None, None]) * torch.tensor([1.0, flat])
        distance = offset.norm(dim=-1) - radius[..., None]
        return (0.5 - distance * half).clamp(0, 1)[:, None]

    ground = torch.rand(count, 3, side // 8, side // 8, generator=draw)
    images = F.interpolate(ground, (side, side), mode="bilinear")
    bright = torch.tensor([0.2, 0.9])
    for tone, cover in (
        (bright[labels % 2], disc(place, 1.3 * size, 1.5)),
        (bright[labels // 2], disc(head, 0.5 * size)),
    ):
        images = images + cover * (tone[:, None, None, None] - images)
    body = size * torch.tensor([1.3, 1.3 / 1.5])  # as flat as its disc
    low = torch.minimum(place - body, head - 0.5 * size)
    high = torch.maximum(place + body, head + 0.5 * size)
    parts = torch.full((count, len(PARTS), 2), torch.nan)
    for name, middle in (("crown", head), ("belly", place)):
        parts[:, PARTS.index(name)] = to_pixels(middle, (side, side))
    ends = to_pixels(torch.stack([low, high], dim=1).clamp(-1, 1), (side, side))
    return Birds(as_bytes(images), labels, ends.flatten(1), parts, "drawn")


def _read(root: Path, split: str, classes: int, side: int) -> Birds:
    if (root / "CUB_200_2011").is_dir():
        root = root / "CUB_200_2011"
    reduced = (root / "annotations").is_dir()
    tables = root / "annotations" if reduced else root
    names = dict(_lines(tables / "images.txt"))
    labels = dict(_lines(tables / "image_class_labels.txt"))
    trained = dict(_lines(tables / "train_test_split.txt"))
    boxes = dict(_lines(tables / "bounding_boxes.txt"))
    sizes = _original_sizes(root) if reduced else {}
    wanted = [
        number
        for number in names
        if int(labels[number]) <= classes
        and trained[number] == ("1" if split == "train" else "0")
        and (not reduced or number in sizes)
    ]
    if not wanted:
        raise ValueError("it has none of these pictures")
    places = _parts(
        tables / "part_locs.txt" if reduced else root / "parts/part_locs.txt"
    )
    prepare = Preparation(side, side)
    images, ends, middles = [], [], []
    with _opener(root) as open_one:
        for number in wanted:
            picture = open_one(names[number])
            images.append(prepare(picture))
            # From pixels of the original, which the annotations count, to the square's.
            left, top, right, bottom = prepare.seen(picture.size)
            seen = torch.tensor([right - left, bottom - top])
            size = torch.tensor(picture.size)
            scale = side / seen * size / torch.tensor(sizes.get(number, picture.size))
            start = torch.tensor([left, top]) * side / seen + 0.5
            x, y, width, height = (float(n) for n in boxes[number].split())
            corners = torch.tensor([[x, y], [x + width, y + height]])
            ends.append((corners * scale - start).flatten())
            middles.append(places[number] * scale - start)
    return Birds(
        torch.stack(images),
        torch.tensor([int(labels[number]) - 1 for number in wanted]),
        torch.stack(ends),
        torch.stack(middles),
        "cub",
    )


def _lines(table: Path) -> Iterator[list[str]]:
    """A table's lines, each divided into its first word, a number, and the rest."""
    for line in table.read_text(encoding="utf-8").splitlines():
        if line.strip():
            yield line.split(maxsplit=1)


def _parts(table: Path) -> dict[str, Tensor]:
    """Where the parts of each picture are; NaN where they can't be seen."""
    found: dict[str, Tensor] = {}
    for number, line in _lines(table):
        part, x, y, visible = (float(word) for word in line.split())
        if number not in found:
            found[number] = torch.full((len(PARTS), 2), torch.nan)
        if visible:
            found[number][int(part) - 1] = torch.tensor([x, y])
    return found


def _original_sizes(root: Path) -> dict[str, tuple[int, int]]:
    """Width and height of each picture of a reduced set, before it was reduced."""
    tables = sorted(root.glob("*.csv"))
    if len(tables) != 1:
        raise ValueError(f"it has {len(tables)} tables .csv, and must have one")
    with tables[0].open(newline="", encoding="utf-8") as file:
        return {
            row["image_id"]: (int(row["orig_w"]), int(row["orig_h"]))
            for row in csv.DictReader(file)
        }


@contextmanager
def _opener(root: Path) -> Iterator[Callable[[str], Image.Image]]:
    """What opens a picture by its name: from the folder of images, or from a tar."""
    archives = sorted(root.glob("*.tar"))
    if (root / "images").is_dir() or not archives:
        yield lambda name: open_picture(root / "images" / name)
        return
    with tarfile.open(archives[0], "r:") as archive:
        # In the archive the pictures are in one folder, whatever it is called.
        members = {m.name.partition("/")[2]: m for m in archive if m.isfile()}
        yield partial(_from_archive, archive, members)


def _from_archive(
    archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str
) -> Image.Image:
    content = archive.extractfile(members[name])
    with Image.open(io.BytesIO(content.read())) as picture:
        return picture.convert("RGB")
