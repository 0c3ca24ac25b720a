"""Anybody's pictures: a folder for each class, in any size, shape and kind of colours.

torchvision's ``ImageFolder`` finds them: the folders' names are the classes, and what
is in folders below belongs to them, too. Files whose names are not those of pictures,
and all whose names begin with a dot, are left alone. Pillow reads them: upright, as the
camera says; palettes and other colours become RGB, 16 bits become 8, and of an
animation the first picture counts. What is transparent shows the background.

Every picture is brought to one size, by `Preparation`, and kept in one byte a value.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor
from tqdm.auto import tqdm

from stn_tutorial._validate import check_choice, check_number
from stn_tutorial.data._checks import check_whole
from stn_tutorial.data.archives import told
from stn_tutorial.data.digits import DigitSet

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "FITS",
    "Pictures",
    "Preparation",
    "load_pictures",
    "open_picture",
    "printable",
]

#: Pictures of one channel, or of three.
COLOURS = ("grey", "rgb")
#: How a picture is made as large as the others, see `Preparation`.
FITS = ("pad", "crop", "stretch")
#: What lies behind and beside a picture, from 0 to 255.
BACKGROUNDS = {"black": 0, "white": 255}
#: Pillow's modes of one channel, and of one channel with opacity.
GREY = ("1", "L", "LA", "La", "I", "F")
#: Where pictures may be held out already, the first one that there is.
HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class Preparation:
    """How a picture of any size becomes the input of a network.

    >>> preparation = Preparation(32, 32)
    >>> tuple(preparation(Image.new("RGB", (640, 480))).shape)
    (3, 32, 32)
    >>> preparation.seen((640, 480))  # bars of 80 pixels above and below
    (0.0, -80.0, 640.0, 560.0)

    Attributes:
        height: of the input.
        width: of the input.
        colours: ``"grey"``, one channel, or ``"rgb"``, three.
        fit: ``"pad"`` keeps the whole picture and its proportions, with bars of the
            background on two sides; ``"crop"`` keeps the proportions, and the middle of
            the picture; ``"stretch"`` keeps the whole picture alone.
        background: ``"black"`` or ``"white"``: of the bars, and behind what is
            transparent.

    Raises:
        TypeError: if a size is no integer.
        ValueError: if a size is not positive, or a name unknown.
    """

    height: int = 64
    width: int = 64
    colours: str = "rgb"
    fit: str = "pad"
    background: str = "black"

    def __post_init__(self) -> None:
        check_whole(self.height, "height", least=1)
        check_whole(self.width, "width", least=1)
        check_choice(self.colours, "colours", COLOURS)
        check_choice(self.fit, "fit", FITS)
        check_choice(self.background, "background", tuple(BACKGROUNDS))

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of the input."""
        return (1 if self.colours == "grey" else 3, self.height, self.width)

    def seen(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Return what of a picture the whole input shows.

        Args:
            size: ``(width, height)`` of the picture, as Pillow has it.

        Returns:
            Left, top, right and bottom, in pixels of the picture, from its upper left
            corner: beyond its edges where there are bars.
        """
        (width, height), goal = size, (self.width, self.height)
        if self.fit == "stretch":
            return 0.0, 0.0, float(width), float(height)
        if self.fit == "crop":
            scale = min(width / self.width, height / self.height)
            halves = scale * self.width / 2, scale * self.height / 2
            x, y = width / 2, height / 2
            ends = x - halves[0], y - halves[1], x + halves[0], y + halves[1]
            # Rounding must not lead beyond the picture.
            left, top = (max(0.0, end) for end in ends[:2])
            return left, top, min(ends[2], width), min(ends[3], height)
        left, top, *inner = self._inside(size)
        steps = width / inner[0], height / inner[1]
        start = -left * steps[0], -top * steps[1]
        return (*start, *(a + n * step for a, n, step in zip(start, goal, steps)))

    def __call__(self, picture: Image.Image) -> Tensor:
        """Return a picture as the input.

        Args:
            picture: of `open_picture`.

        Returns:
            ``(C, H, W)`` uint8.
        """
        mode, back = self.colours.upper().replace("GREY", "L"), self._background
        if picture.mode in ("RGBA", "LA"):
            picture = picture.convert("RGBA")
            ground = Image.new("RGBA", picture.size, (back, back, back, 255))
            picture = Image.alpha_composite(ground, picture)
        picture = picture.convert(mode)
        smooth = Image.Resampling.BILINEAR  # over all pixels, where a picture shrinks
        if self.fit == "pad":
            left, top, *inner = self._inside(picture.size)
            canvas = Image.new(mode, (self.width, self.height), (back,) * len(mode))
            canvas.paste(picture.resize(tuple(inner), smooth), (left, top))
        else:
            box = self.seen(picture.size)
            canvas = picture.resize((self.width, self.height), smooth, box=box)
        array = np.array(canvas).reshape(self.height, self.width, -1)
        return torch.from_numpy(array).movedim(-1, 0)

    @property
    def _background(self) -> int:
        return BACKGROUNDS[self.background]

    def _inside(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, top, width and height of a padded picture in the input."""
        scale = min(self.width / size[0], self.height / size[1])
        width, height = (max(1, round(n * scale)) for n in size)
        return (self.width - width) // 2, (self.height - height) // 2, width, height


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures with their classes, to train on and held out.

    Attributes:
        train: to train on: images ``(N, C, H, W)`` uint8, and labels.
        held_out: to test on, likewise.
        classes: the names, by label.
        held_out_names: of the pictures held out, below the folder.
        preparation: that they went through.
        left_alone: names of files that are no pictures.
    """

    train: DigitSet
    held_out: DigitSet
    classes: tuple[str, ...]
    held_out_names: tuple[str, ...]
    preparation: Preparation
    left_alone: tuple[str, ...] = ()


def load_pictures(
    folder: Path,
    *,
    size: tuple[int, int] = (64, 64),
    colours: str = "auto",
    fit: str = "pad",
    background: str = "black",
    share: float = 0.2,
    seed: int = 0,
    lone: bool = False,
) -> Pictures:
    """Read the pictures of a folder, and hold some of each class out.

    If the folder has the folders ``train`` and ``val`` (or ``test``), and no others,
    these are the pictures to train on and those held out. Otherwise each class gives a
    share of its pictures, one at least, chosen by the seed; the choice in one class
    does not depend on the others.

    Args:
        folder: that has a folder for each class.
        size: ``(H, W)`` that the pictures are brought to.
        colours: ``"grey"``, ``"rgb"``, or ``"auto"``: grey if all files are.
        fit: see `Preparation`.
        background: see `Preparation`.
        share: how much of each class to hold out.
        seed: of the choice.
        lone: where they are divided, a class may have a single picture, which isn't
            held out.

    Returns:
        The pictures.

    Raises:
        FileNotFoundError: if there is no such folder, or a class has no pictures.
        ValueError: if it is no folder of classes, a picture is damaged, a class has too
            few, a picture held out is trained on as well (by a link), or torchvision is
            missing.
    """
    check_choice(colours, "colours", ("auto", *COLOURS))
    if not 0 < check_number(share, "share") < 1:
        raise ValueError(f"share must be between 0 and 1, got {share}")
    check_whole(seed, "seed", least=0)
    folder = Path(folder)
    _check_folder(folder)
    given = _folders_held_out(folder)
    if given:
        train, test = (_find(each) for each in given)
        if unknown := sorted({*test[0]} - {*train[0]}):
            raise ValueError(
                f"{printable(given[1])} has classes that {printable(given[0])} lacks: "
                f"{', '.join(unknown)}"
            )
        numbers = [train[0].index(name) for name in test[0]]
        held = [(path, numbers[label]) for path, label in test[1]]
        classes, kept = train
        _check_apart(kept, held)
    else:
        classes, found = _find(folder)
        kept, held = _hold_out(found, classes, share, seed, lone)
    if len(classes) < 2:
        raise ValueError(
            f"{printable(folder)} must have two classes or more, a folder each: it has "
            f"{classes[0]} alone"
        )
    paths = [path for path, _ in (*kept, *held)]
    if colours == "auto":
        colours = "rgb" if any(map(_is_coloured, paths)) else "grey"
    preparation = Preparation(*size, colours, fit, background)
    images = _read_all(paths, preparation)
    labels = torch.tensor([label for _, label in (*kept, *held)])
    source = printable(folder.resolve().name)
    return Pictures(
        DigitSet(images[: len(kept)], labels[: len(kept)], source),
        DigitSet(images[len(kept) :], labels[len(kept) :], source),
        tuple(classes),
        tuple(printable(Path(path).relative_to(folder)) for path, _ in held),
        preparation,
        tuple(_left_alone(folder)),
    )


def open_picture(path: Path, *, least: tuple[int, int] | None = None) -> Image.Image:
    """Read a picture, upright, in one of Pillow's modes L, LA, RGB and RGBA.

    Args:
        path: of a file that Pillow reads.
        least: ``(width, height)`` that is enough: of a JPEG, a half, a quarter or an
            eighth of the pixels is read in a fraction of the time.

    Returns:
        The picture.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it can't be read; the message names it.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no picture {printable(path)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, and of large pictures
            with Image.open(path) as file:
                if least:  # a size as it is shown; it may be stored on its side
                    aside = file.getexif().get(ExifTags.Base.Orientation, 1) > 4
                    file.draft(None, least[::-1] if aside else least)
                return ImageOps.exif_transpose(_in_bytes(file))
    except Exception as error:  # Pillow's readers raise whatever they meet
        why = "no picture that Pillow knows"
        if not isinstance(error, Image.UnidentifiedImageError):
            why = printable(told(error))
        raise ValueError(f"{printable(path)} can't be read: {why}") from None


def printable(text: Any) -> str:
    """Return a name so that it can be printed, whatever bytes a file system holds.

    >>> printable("Käse"), printable("K\\udce4se")
    ('Käse', 'K\\\\udce4se')

    Args:
        text: a string, or what becomes one.

    Returns:
        The text, with bytes that are no letters as escapes.
    """
    return str(text).encode("utf-8", "backslashreplace").decode()


def _in_bytes(file: Image.Image) -> Image.Image:
    """A picture with one byte a channel."""
    if file.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(file) / 257).round().astype(np.uint8))
    if file.mode in ("I", "F"):
        array = np.asarray(file).astype(float)
        low, high = float(array.min()), float(array.max())
        most = 1.0 if file.mode == "F" else 65535.0
        if not 0 <= low <= high <= most:
            raise ValueError(
                f"its values go from {low:g} to {high:g}, where 0 to {most:g} is known"
            )
        return Image.fromarray((array * (255 / most)).round().astype(np.uint8))
    file.load()  # before a look at what is transparent: some readers find it late
    if "transparency" in file.info or file.mode in ("PA", "La", "RGBa"):
        return file.convert("RGBA")
    if file.mode in ("L", "LA", "RGB", "RGBA"):
        return file.copy()
    return file.convert("L" if file.mode == "1" else "RGB")


def _image_folder() -> type:
    """torchvision's class, which leaves hidden folders alone, as of notebooks."""
    try:
        base = import_module("torchvision.datasets").ImageFolder
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise _unloadable(error) from None
        raise ValueError(
            "a folder of pictures is read by torchvision: pip install torchvision"
        ) from None
    except Exception as error:  # of a build for another PyTorch: of many kinds
        raise _unloadable(error) from None

    class Folder(base):
        def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
            names = [path.name for path in _class_folders(Path(directory))]
            return names, {name: number for number, name in enumerate(names)}

    return Folder


def _unloadable(error: Exception) -> ValueError:
    return ValueError(
        f"torchvision does not load ({told(error)}): install the one that belongs "
        f"to torch {torch.__version__}"
    )


def _is_picture(path: str | Path) -> bool:
    """Whether a file's name is that of a picture, as torchvision sees it."""
    endings = import_module("torchvision.datasets.folder").IMG_EXTENSIONS
    name = os.path.basename(path).lower()
    return not name.startswith(".") and name.endswith(endings)


def _class_folders(folder: Path) -> list[Path]:
    """The folders in a folder, by name; hidden ones are none, nor are a Mac's."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith((".", "__MACOSX"))
    )


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {printable(folder)}")
    if not folder.is_dir():
        raise ValueError(
            f"{printable(folder)} is a file: pictures are given as a folder that has a "
            "folder for each class"
        )


def _folders_held_out(folder: Path) -> tuple[Path, Path] | None:
    """The folders of a set that is divided already."""
    names = {path.name for path in _class_folders(folder)}
    held = next((name for name in HELD_OUT if name in names), None)
    if "train" in names and held and names <= {"train", *HELD_OUT}:
        return folder / "train", folder / held
    return None


def _find(folder: Path) -> tuple[list[str], list[tuple[str, int]]]:
    """The classes of a folder, and its pictures with their labels."""
    kind = _image_folder()
    if not _class_folders(folder):
        loose = sum(map(_is_picture, folder.iterdir()))
        found = f"{loose} pictures lie in it directly" if loose else "it has no folders"
        raise ValueError(
            f"{printable(folder)} must have a folder for each class: {found}"
        )
    try:
        found = kind(str(folder), is_valid_file=_is_picture)
    except FileNotFoundError as error:
        classes = str(error).partition("classes ")[2].partition(". ")[0].rstrip(".")
        raise FileNotFoundError(
            f"{printable(folder)} has classes without pictures: {printable(classes)}"
        ) from None
    # A link may lead to a picture again, or round in a circle: each counts once, since
    # one that is trained on must not be held out as well.
    once = {(os.path.realpath(p), label): p for p, label in reversed(found.samples)}
    samples = [(path, label) for (_, label), path in once.items()][::-1]
    return [printable(name) for name in found.classes], samples


def _hold_out(
    found: Sequence[tuple[str, int]],
    classes: Sequence[str],
    share: float,
    seed: int,
    lone: bool,
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """The pictures to train on and those held out, both in their order."""
    kept, held = [], []
    for label, name in enumerate(classes):
        own = [sample for sample in found if sample[1] == label]
        if len(own) < 2 and not lone:
            raise ValueError(
                f"class {name} has one picture: two at least are needed, one to train "
                "on and one to hold out"
            )
        count = min(len(own) - 1, max(1, round(share * len(own))))
        key = zlib.crc32(name.encode())  # not the label, which other classes shift
        draw = torch.Generator().manual_seed(seed * 1_000_003 + key)
        chosen = {*torch.randperm(len(own), generator=draw)[:count].tolist()}
        for index, sample in enumerate(own):
            (held if index in chosen else kept).append(sample)
    return kept, held


def _check_apart(
    kept: Sequence[tuple[str, int]], held: Sequence[tuple[str, int]]
) -> None:
    """Raise if a picture is in both parts of a set that was divided already."""
    trained_on = {os.path.realpath(path) for path, _ in kept}
    both = [path for path, _ in held if os.path.realpath(path) in trained_on]
    if both:
        more = f" and {len(both) - 1} more" if len(both) > 1 else ""
        raise ValueError(
            f"{printable(both[0])}{more} must not be held out: it is a link to a "
            "picture that is trained on"
        )


def _is_coloured(path: str) -> bool:
    """Whether a file says that it has colours; what can't be opened is told later."""
    try:
        with Image.open(path) as file:
            return file.mode not in GREY and not file.mode.startswith("I;16")
    except Exception:
        return False


def _read_all(paths: Sequence[str], preparation: Preparation) -> Tensor:
    """All pictures, ``(N, C, H, W)``, or an error that names those that are damaged."""
    images = torch.empty(len(paths), *preparation.shape, dtype=torch.uint8)
    enough = 2 * preparation.width, 2 * preparation.height
    damaged = []
    with tqdm(paths, "pictures", leave=False, disable=None) as bar:
        for image, path in zip(images, bar):
            try:
                image.copy_(preparation(open_picture(Path(path), least=enough)))
            except ValueError as error:
                damaged.append(str(error))
    if damaged:
        more = f"; and so {len(damaged) - 3} more" if len(damaged) > 3 else ""
        raise ValueError("; ".join(damaged[:3]) + more)
    return images


def _left_alone(folder: Path) -> Iterable[str]:
    """The files in the folder that are neither pictures nor hidden."""
    for root, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            if not name.startswith(".") and not _is_picture(name):
                yield printable(Path(root, name).relative_to(folder))
