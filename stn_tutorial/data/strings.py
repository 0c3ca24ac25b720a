"""Strings of digits: one to five of them in a row, on a textured canvas.

They stand in for the paper's house numbers (§4.2). A string is put together upright,
and one affine warp puts it onto the canvas: rotated, of any size that fits, anywhere.
A larger canvas has more background, and the string is as large as before. The labels
are five classes, from left to right: digits, and *none* behind the last one.

`house_numbers` reads the photographs themselves, as far as torchvision does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stn_tutorial._validate import check_choice, check_tensor, working_dtype
from stn_tutorial.coordinates import rotation
from stn_tutorial.data._checks import check_digits, check_generator, check_whole
from stn_tutorial.data.archives import DataError
from stn_tutorial.data.digits import DigitSet
from stn_tutorial.families import Affine
from stn_tutorial.sampling import sample

__all__ = [
    "ASPECT",
    "MOST",
    "NONE",
    "SIZE",
    "Strings",
    "fixed_strings",
    "house_numbers",
    "make_strings",
]

#: How many digits a string has at most.
MOST = 5
#: The class of what is behind the last digit.
NONE = 10
#: Height and width in pixels of the smallest canvas; a string fits into it.
SIZE = 64
#: Width over height of the cell in which a digit stands.
ASPECT = 0.7
#: A digit's ink, in the 28 pixels of its frame: as high and as wide as a cell of the
#: upright string.
_CELL = 20
_MOST_DEG, _LEAST_SHARE, _HIGHEST = 20.0, 0.7, 28.0


@dataclass(frozen=True, eq=False)
class Strings:
    """Pictures of strings, what they say, and how the strings lie.

    Attributes:
        images: ``(N, 1, H, W)`` in [0, 1].
        labels: ``(N, 5)`` int64: the digits from left to right, then `NONE`.
        truth: float32 tensors with N rows: ``"theta"`` ``(N, 2, 3)``, from the
            normalized coordinates of the canvas to those of the string's frame (its
            cells side by side, with ±1 at their edges); and what makes it up:
            ``"angle"`` (radians, clockwise on the screen), ``"height_px"`` of the
            frame, and ``"centre"`` ``(N, 2)`` of it, in normalized coordinates. Of
            photographs nobody knows these, and there are none.
        source: where the digits are from.
    """

    images: Tensor
    labels: Tensor
    truth: dict[str, Tensor]
    source: str

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)

    @property
    def lengths(self) -> Tensor:
        """``(N,)`` numbers of digits, one a string."""
        return (self.labels != NONE).sum(dim=1)

    def first(self, count: int) -> Strings:
        """Return the first strings.

        Args:
            count: how many: 1 to all of them.

        Returns:
            The first `count` strings.

        Raises:
            TypeError: if `count` is not an integer.
            ValueError: if there are not so many strings.
        """
        count = check_whole(count, "count", least=1, most=len(self))
        truth = {name: value[:count] for name, value in self.truth.items()}
        return Strings(self.images[:count], self.labels[:count], truth, self.source)


def make_strings(
    digits: DigitSet,
    chosen: Tensor,
    lengths: Tensor,
    generator: torch.Generator,
    *,
    size: int = SIZE,
) -> Strings:
    """Write strings of digits onto textured canvases.

    >>> from stn_tutorial.data.digits import load_digits
    >>> digits = load_digits("test", "embedded")
    >>> chosen, draw = torch.tensor([[0, 1, 2, 3, 4]] * 2), torch.Generator()
    >>> strings = make_strings(digits, chosen, torch.tensor([5, 2]), draw)
    >>> tuple(strings.images.shape), strings.labels.tolist()
    ((2, 1, 64, 64), [[2, 3, 4, 5, 6], [2, 3, 10, 10, 10]])

    Args:
        digits: to take from.
        chosen: ``(N, 5)`` int64, on the digits' device: which of them, from left to
            right.
        lengths: ``(N,)`` int64, from 1 to 5: how many of these are shown.
        generator: of poses, textures and contrasts, on any device.
        size: height and width of the canvas, `SIZE` or more.

    Returns:
        The strings, on the digits' device. A digit may stick out of its cell by a pixel
        or two, as it was written.

    Raises:
        TypeError: if `chosen` or `lengths` is no tensor, or `size` no integer.
        ValueError: if their shapes don't fit, a length is none, or the canvas is too
            small.
    """
    check_digits(digits.images)
    check_generator(generator)
    check_tensor(chosen, "chosen")
    check_tensor(lengths, "lengths")
    size = check_whole(size, "size", least=SIZE)
    if chosen.ndim != 2 or chosen.shape[1] != MOST or lengths.shape != chosen.shape[:1]:
        raise ValueError(
            f"chosen must be (N, {MOST}) and lengths (N,), "
            f"got {tuple(chosen.shape)} and {tuple(lengths.shape)}"
        )
    if len(lengths) and not (1 <= lengths.min() and lengths.max() <= MOST):
        raise ValueError(f"lengths must be from 1 to {MOST}")
    device = digits.images.device
    shown = torch.arange(MOST, device=device) < lengths[:, None]
    strips = _upright(digits.images[chosen.flatten()].view(-1, MOST, 28 * 28), shown)
    truth = {
        name: value.to(device, working_dtype(strips))
        for name, value in _poses(lengths.to(generator.device), size, generator).items()
    }
    # From the canvas to the frame, and on to the upright strip, of which the frame
    # covers the first cells.
    cells = lengths.to(strips)
    across, down = MOST * _CELL + 28 - _CELL, 28
    frame = strips.new_zeros(len(strips), 2, 3)
    frame[:, 0, 0] = _CELL * cells / across
    frame[:, 0, 2] = _CELL * (cells - MOST) / across
    frame[:, 1, 1] = _CELL / down
    theta = Affine().compose(frame.flatten(1), truth["theta"].flatten(1))
    ink = sample(strips, Affine().grid(theta, (size, size)), antialias=2)
    images = _on_texture(ink, generator)
    labels = digits.labels[chosen].masked_fill(~shown, NONE)
    return Strings(images, labels, truth, digits.source)


def fixed_strings(digits: DigitSet, *, size: int = SIZE, seed: int = 2015) -> Strings:
    """Write strings of the test digits, each time alike: errors can be compared.

    >>> from stn_tutorial.data.digits import load_digits
    >>> strings = fixed_strings(load_digits("test", "embedded").first(4))
    >>> strings.labels[:, 0].tolist()
    [2, 3, 4, 5]

    Args:
        digits: of the test set, or held out from the training digits.
        size: of the canvas.
        seed: of all that is random; results compare under the default alone.

    Returns:
        As many strings as digits, on the digits' device; each digit is the first of
        one of them. What is random is drawn on the CPU, for batches of 1,000.
    """
    generator = torch.Generator().manual_seed(check_whole(seed, "seed"))
    device = digits.images.device
    parts = []
    for first in torch.arange(len(digits)).split(1000):
        others = torch.randint(len(digits), (len(first), MOST - 1), generator=generator)
        chosen = torch.cat([first[:, None], others], dim=1).to(device)
        lengths = torch.randint(1, MOST + 1, first.shape, generator=generator)
        parts.append(
            make_strings(digits, chosen, lengths.to(device), generator, size=size)
        )
    return Strings(
        torch.cat([part.images for part in parts]),
        torch.cat([part.labels for part in parts]),
        {k: torch.cat([part.truth[k] for part in parts]) for k in parts[0].truth},
        digits.source,
    )


def house_numbers(folder: Path, split: str = "train", *, size: int = SIZE) -> Strings:
    """Read photographs of house numbers: SVHN, cropped to single digits.

    torchvision reads this format alone: 32×32 pixels around each digit, whose
    neighbours may look in from the sides. So every string has one digit. The format of
    whole numbers is HDF5, for which neither torchvision nor this package has a reader.

    Args:
        folder: that holds ``train_32x32.mat``, ``test_32x32.mat`` or
            ``extra_32x32.mat`` of http://ufldl.stanford.edu/housenumbers. Nothing is
            downloaded.
        split: ``"train"``, ``"test"`` or ``"extra"``.
        size: height and width that the pictures are brought to.

    Returns:
        The photographs, as grey pictures, without a truth.

    Raises:
        DataError: if the file is missing, or not the one that torchvision knows.
        ValueError: if the split is unknown, the size not positive, or torchvision
            missing.
    """
    try:
        known = import_module("torchvision.datasets").SVHN
    except ModuleNotFoundError:
        raise ValueError(
            "house numbers are read by torchvision: pip install torchvision"
        ) from None
    check_choice(split, "split", tuple(known.split_list))
    size = check_whole(size, "size", least=1)
    try:
        found = known(folder, split)
    except RuntimeError as error:
        name = known.split_list[split][1]
        raise DataError(f"{name} is not in {folder}, or is damaged") from error
    parts = []
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # of Rec. 601
    for part in torch.from_numpy(np.ascontiguousarray(found.data)).split(1000):
        grey = (part / 255 * weights).sum(dim=1, keepdim=True)
        parts.append(F.interpolate(grey, (size, size), mode="bilinear", antialias=True))
    labels = torch.full((len(found), MOST), NONE)
    labels[:, 0] = torch.from_numpy(found.labels)
    return Strings(torch.cat(parts).clamp(0, 1), labels, {}, "svhn")


def _upright(digits: Tensor, shown: Tensor) -> Tensor:
    """From (N, 5, 784) digits and which of them to show to (N, 1, 28, 108) strips.

    Frames overlap, so that cells stand as close as ink does; what is lightest counts.
    """
    columns = (digits * shown[..., None]).transpose(1, 2)
    width = (MOST - 1) * _CELL + 28
    return F.fold(columns, (28, width), (28, 28), stride=(28, _CELL)).clamp(max=1)


def _poses(lengths: Tensor, size: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Random poses in which strings of some lengths are inside the canvas."""
    source, count = generator.device, len(lengths)
    random = torch.rand(count, 4, generator=generator, device=source)
    angle = math.radians(_MOST_DEG) * (2 * random[:, 0] - 1)
    cos, sin = angle.cos(), angle.sin().abs()
    # Width and height of the box around a rotated frame that is one pixel high.
    wide = ASPECT * lengths
    box = torch.stack([wide * cos + sin, wide * sin + cos], dim=1)
    highest = ((SIZE - 2) / box.amax(dim=1)).clamp(max=_HIGHEST)
    height = highest * (_LEAST_SHARE + (1 - _LEAST_SHARE) * random[:, 1])
    free = 1 - (height[:, None] * box + 2) / size  # a margin of a pixel on each side
    centre = free * (2 * random[:, 2:] - 1)
    half = torch.stack([wide, torch.ones_like(height)], dim=1) * height[:, None] / size
    # The canvas is rotated back about the centre, and the frame's half sides become 1.
    back = rotation(-angle)[:, :2, :2] / half[:, :, None]
    theta = torch.cat([back, -back @ centre[:, :, None]], dim=2)
    return {"theta": theta, "angle": angle, "height_px": height, "centre": centre}


def _on_texture(ink: Tensor, generator: torch.Generator) -> Tensor:
    """Lay light ink over a dark texture of two scales, with a contrast of its own."""
    count, _, size, _ = ink.shape
    source = generator.device

    def noise(pixels: int) -> Tensor:
        """Noise that is as smooth as if it had been drawn for every so many pixels."""
        shape = (count, 1, size // pixels, size // pixels)
        coarse = torch.rand(shape, generator=generator, device=source).to(ink)
        return F.interpolate(coarse, (size, size), mode="bilinear")

    ground = 0.45 * noise(16) + 0.25 * noise(4)
    light = torch.rand(count, 1, 1, 1, generator=generator, device=source).to(ink)
    return ground + ink * (0.7 + 0.3 * light - ground)
