"""Traffic signs, drawn: shapes, colours and pictograms on textured backgrounds.

What is shown is made of distances: a shape is where its signed distance is below 0, and
its edge is as wide as a pixel. A sign is then warped into its scene by the sampler that
the book is about, with a rotation, a scale and a perspective of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_tutorial.coordinates import base_grid
from stn_tutorial.data._checks import check_generator, check_whole
from stn_tutorial.data.photographs import Photographs
from stn_tutorial.data.scattered_digits import boxes_around
from stn_tutorial.data.tensors import as_bytes
from stn_tutorial.families import Attention, Projective, Similarity
from stn_tutorial.sampling import warp

__all__ = ["KINDS", "Signs", "draw_kinds", "draw_signs", "jittered"]

#: The kinds of signs that are drawn, by label.
KINDS = (
    "no entry",
    "stop",
    "give way",
    "priority road",
    "30",
    "50",
    "80",
    "ahead",
    "left",
    "right",
    "danger",
    "crossroads",
)

_RED, _BLUE, _YELLOW = (0.78, 0.09, 0.12), (0.07, 0.28, 0.66), (0.98, 0.76, 0.05)
_WHITE, _BLACK = (0.96, 0.96, 0.96), (0.06, 0.06, 0.06)
#: The corners of shapes in a square of 2×2 around the middle, y downwards, clockwise.
_UP = ((0.0, -0.95), (0.98, 0.78), (-0.98, 0.78))
_DOWN = tuple((-x, -y) for x, y in _UP)
_DIAMOND = ((0.0, -0.96), (0.96, 0.0), (0.0, 0.96), (-0.96, 0.0))
_EIGHTHS = [math.pi * (k + 0.5) / 4 for k in range(8)]
_REACH = 0.98 / math.cos(math.pi / 8)  # of the corners; the sides are as far as 0.98
_OCTAGON = tuple((_REACH * math.cos(a), _REACH * math.sin(a)) for a in _EIGHTHS)
#: The strokes of letters and digits, between corners of two squares, one on the other.
_STROKES = {
    "a": ((0, 0), (1, 0)),
    "b": ((1, 0), (1, 1)),
    "c": ((1, 1), (1, 2)),
    "d": ((0, 2), (1, 2)),
    "e": ((0, 1), (0, 2)),
    "f": ((0, 0), (0, 1)),
    "g": ((0, 1), (1, 1)),
    "t": ((0.5, 0), (0.5, 2)),
}
_LETTERS = {"S": "afgcd", "T": "at", "O": "abcdef", "P": "abgfe"}
_LETTERS |= {"0": "abcdef", "3": "abgcd", "5": "afgcd", "8": "abcdefg"}


@dataclass(frozen=True, eq=False)
class Signs(Photographs):
    """Pictures of signs, in colour.

    Attributes:
        images: ``(N, 3, H, W)`` uint8, or ``(N, 1, H, W)`` if they are `grey`.
        labels: ``(N,)`` int64: the kinds of signs.
        boxes: ``(N, 4)`` of the signs; see `Photographs`.
        tracks: ``(N,)`` int64: pictures of one track show the same sign in front of the
            same scene.
        source: where they are from.

    Raises:
        TypeError: if one of the first four is no tensor.
        ValueError: if they are not as long as one another.
    """

    tracks: Tensor
    source: str

    def grey(self) -> Signs:
        """Return the same pictures without their colours: the mean of the three.

        Returns:
            The pictures, with images of ``(N, 1, H, W)``.
        """
        mean = self.images.float().mean(dim=1, keepdim=True).round().to(torch.uint8)
        return replace(self, images=mean)

    def hold_out(self, by: str = "tracks") -> tuple[Signs, Signs]:
        """Divide the pictures in two: every fifth track, or every fifth picture.

        Args:
            by: ``"tracks"``, or ``"frames"``, which leaves pictures of the same sign in
                both parts.

        Returns:
            The other pictures, and those held out.

        Raises:
            ValueError: if `by` is neither.
        """
        if by not in ("tracks", "frames"):
            raise ValueError(f"by must be 'tracks' or 'frames', got {by!r}")
        counted = self.tracks if by == "tracks" else torch.arange(len(self))
        held = counted % 5 == 4
        return self[~held], self[held]


class _Painter:
    """Paints shapes over one another: colours, and how opaque each pixel is.

    Args:
        side: of the square, in pixels; coordinates run from -1 to 1.
    """

    def __init__(self, side: int) -> None:
        self.points = base_grid((side, side))
        self.done = torch.zeros(4, side, side)

    def paint(self, distance: Tensor, colour: Sequence[float]) -> None:
        """Cover where a signed distance is negative; the edge is a pixel wide."""
        cover = (0.5 - distance * distance.shape[0] / 2).clamp(0, 1)
        over = torch.tensor([*colour, 1.0])[:, None, None]
        self.done = self.done + cover * (over - self.done)

    def disc(self, radius: float) -> Tensor:
        """The distance from a disc in the middle."""
        return self.points.norm(dim=-1) - radius

    def polygon(self, corners: Sequence[Sequence[float]], margin: float = 0) -> Tensor:
        """The distance from a convex polygon, made smaller by a margin."""
        start = torch.tensor(corners)
        along = start.roll(-1, 0) - start
        outward = torch.stack([along[:, 1], -along[:, 0]], dim=1)
        outward = outward / outward.norm(dim=1, keepdim=True)
        return ((self.points[..., None, :] - start) * outward).sum(-1).amax(-1) + margin

    def stroke(self, x: float, y: float, to_x: float, to_y: float) -> Tensor:
        """The distance from a line between two points."""
        start, along = torch.tensor([x, y]), torch.tensor([to_x - x, to_y - y])
        rest = self.points - start
        share = ((rest @ along) / (along @ along)).clamp(0, 1)
        return (rest - share[..., None] * along).norm(dim=-1)

    def write(self, text: str, colour: Sequence[float], box: Sequence[float]) -> None:
        """Write letters of strokes into a box: left, top, right and bottom."""
        left, top, right, bottom = box
        step = (right - left) / (1.5 * len(text) - 0.5)  # a letter, of 1.5 with its gap
        unit = torch.tensor([step, (bottom - top) / 2])
        thick = 0.075 if len(text) < 3 else 0.05
        for k, letter in enumerate(text):
            corner = torch.tensor([left + 1.5 * k * step, top])
            for stroke in _LETTERS[letter]:
                ends = corner + unit * torch.tensor(_STROKES[stroke])
                self.paint(self.stroke(*ends.flatten().tolist()) - thick, colour)

    def arrow(self, turns: int) -> None:
        """A white arrow upwards, rotated clockwise by quarters."""

        def rotated(x: float, y: float) -> tuple[float, float]:
            for _ in range(turns % 4):
                x, y = -y, x
            return x, y

        self.paint(self.stroke(*rotated(0, 0.6), *rotated(0, -0.2)) - 0.13, _WHITE)
        head = [rotated(*corner) for corner in ((0, -0.7), (0.45, -0.1), (-0.45, -0.1))]
        self.paint(self.polygon(head), _WHITE)


def _draw_kind(kind: str, side: int) -> Tensor:
    painter = _Painter(side)
    paint, disc, polygon = painter.paint, painter.disc, painter.polygon
    if kind in ("ahead", "left", "right"):
        paint(disc(0.97), _WHITE)
        paint(disc(0.9), _BLUE)
        painter.arrow({"ahead": 0, "right": 1, "left": 3}[kind])
    elif kind in ("30", "50", "80"):
        paint(disc(0.97), _RED)
        paint(disc(0.72), _WHITE)
        painter.write(kind, _BLACK, (-0.46, -0.36, 0.46, 0.36))
    elif kind == "no entry":
        paint(disc(0.97), _RED)
        paint(polygon(((-0.68, -0.2), (0.68, -0.2), (0.68, 0.2), (-0.68, 0.2))), _WHITE)
    elif kind == "stop":
        paint(polygon(_OCTAGON), _WHITE)
        paint(polygon(_OCTAGON, 0.06), _RED)
        painter.write("STOP", _WHITE, (-0.62, -0.28, 0.62, 0.28))
    elif kind == "priority road":
        paint(polygon(_DIAMOND), _WHITE)
        paint(polygon(_DIAMOND, 0.2), _YELLOW)
    else:
        shape = _DOWN if kind == "give way" else _UP
        paint(polygon(shape), _RED)
        paint(polygon(shape, 0.17), _WHITE)
        if kind == "danger":
            paint(painter.stroke(0, -0.22, 0, 0.22) - 0.09, _BLACK)
            paint(painter.stroke(0, 0.47, 0, 0.48) - 0.09, _BLACK)
        if kind == "crossroads":
            paint(painter.stroke(-0.25, -0.03, 0.25, 0.47) - 0.08, _BLACK)
            paint(painter.stroke(0.25, -0.03, -0.25, 0.47) - 0.08, _BLACK)
    return painter.done


def draw_kinds(side: int = 32) -> Tensor:
    """Return one sign of every kind, upright and from the front.

    >>> kinds = draw_kinds(64)
    >>> tuple(kinds.shape), [round(v, 2) for v in kinds[0, :, 10, 32].tolist()]
    ((12, 4, 64, 64), [0.78, 0.09, 0.12, 1.0])

    Args:
        side: height and width in pixels, 8 at least.

    Returns:
        ``(12, 4, side, side)`` float32 in [0, 1]: red, green and blue, and how opaque a
        pixel is. Colours are multiplied by opacity, so that a blend of them is one.

    Raises:
        TypeError: if `side` is no integer.
        ValueError: if it is too small.
    """
    return _kinds(check_whole(side, "side", least=8)).clone()


@cache
def _kinds(side: int) -> Tensor:
    """What `draw_kinds` returns copies of."""
    with torch.inference_mode(False):  # it is kept, and has to do for training too
        return torch.stack([_draw_kind(kind, side) for kind in KINDS])


def draw_signs(count: int, *, seed: int, size: int = 48, frames: int = 1) -> Signs:
    """Draw signs of all kinds, each somewhere in a scene among pieces of others.

    A sign is a quarter to a half as high as the picture, rotated by up to 15°, seen
    from any side, and in any light.

    >>> signs = draw_signs(24, seed=0, frames=2)
    >>> tuple(signs.images.shape), signs.labels[:6].tolist(), signs.tracks[:4].tolist()
    ((24, 3, 48, 48), [0, 0, 1, 1, 2, 2], [0, 0, 1, 1])

    Args:
        count: how many pictures, a multiple of `frames`.
        seed: all that is random is drawn from it.
        size: height and width of the pictures, 16 at least.
        frames: how many pictures are taken of each scene, on the way to its sign, which
            is larger in each.

    Returns:
        The pictures, on the CPU, those of a scene one after the other. The box of a
        sign holds the pixels that it covers by half or more.

    Raises:
        TypeError: if a number is no integer.
        ValueError: if it is too small, or `count` no multiple of `frames`.
    """
    count = check_whole(count, "count", least=1)
    size = check_whole(size, "size", least=16)
    frames = check_whole(frames, "frames", least=1)
    if count % frames:
        raise ValueError(f"count must be a multiple of frames, {frames}, got {count}")
    draw = torch.Generator().manual_seed(check_whole(seed, "seed", least=0))
    labels = torch.arange(count // frames) % len(KINDS)
    parts = [_scenes(part, draw, size, frames) for part in labels.split(500)]
    images, covered = (torch.cat(each) for each in zip(*parts))
    boxes = boxes_around(covered > 0.5) - 0.5
    tracks = torch.arange(count // frames).repeat_interleave(frames)
    return Signs(images, labels.repeat_interleave(frames), boxes, tracks, "drawn")


def _scenes(
    labels: Tensor, draw: torch.Generator, size: int, frames: int
) -> tuple[Tensor, Tensor]:
    """Frames of scenes, as bytes, and where the signs cover them."""
    n = len(labels)
    scene = _background(n, draw, size)
    for _ in range(3):  # pieces of any signs
        scene = _put_over(scene, _piece(n, draw, size))
    inward = _placed(n, draw)
    kinds = draw_kinds()[labels]
    sign = warp(
        kinds,
        Projective().params_of(inward),
        (size, size),
        family=Projective(),
        antialias=2,
    )
    scene = torch.cat([_put_over(scene, sign), sign[:, 3:]], dim=1)
    # On the way to the sign, what is around it leaves the picture.
    middle = torch.linalg.inv(inward)[:, :2, 2]
    zoom = 1.15 ** -torch.arange(float(frames)).repeat(n)
    about = middle.repeat_interleave(frames, 0) + 0.06 * _spread(n * frames, draw, 2)
    params = torch.cat([zoom[:, None], (1 - zoom[:, None]) * about], dim=1)
    scene = scene.repeat_interleave(frames, 0)
    seen = warp(scene, params, family=Attention(), padding="border")
    light = 0.65 + 0.35 * _spread(n * frames, draw, 1, 1, 1)
    noise = 0.02 * torch.randn(n * frames, 3, size, size, generator=draw)
    return as_bytes(seen[:, :3] * light + noise), seen[:, 3]


def _spread(count: int, draw: torch.Generator, *shape: int) -> Tensor:
    """Numbers from -1 to 1."""
    return 2 * torch.rand(count, *shape, generator=draw) - 1


def _background(n: int, draw: torch.Generator, size: int) -> Tensor:
    """Textures: waves of four lengths, in any colour."""
    scene = 0.45 + 0.25 * _spread(n, draw, 3, 1, 1)
    for cells, height in ((2, 0.3), (5, 0.2), (11, 0.15), (23, 0.1)):
        grey = _spread(n, draw, 1, cells, cells)
        waves = height * (0.7 * grey + 0.3 * _spread(n, draw, 3, cells, cells))
        scene = scene + F.interpolate(waves, (size, size), mode="bicubic")
    return scene.clamp(0, 1)


def _piece(n: int, draw: torch.Generator, size: int) -> Tensor:
    """A fifth of a sign of any kind, somewhere, with opacity."""
    kind = torch.randint(len(KINDS), (n,), generator=draw)
    crop = torch.cat([torch.full((n, 1), 0.35), 0.5 * _spread(n, draw, 2)], dim=1)
    patch = warp(draw_kinds()[kind], crop, (8, 8), family=Attention())
    scale, middle = torch.full((n, 1), 0.22), 0.8 * _spread(n, draw, 2)
    out = torch.cat([1 / scale, -middle / scale], dim=1)
    return warp(patch, out, (size, size), family=Attention())


def _placed(n: int, draw: torch.Generator) -> Tensor:
    """Matrices from a scene to an upright sign, both normalized."""
    angle = math.radians(15) * _spread(n, draw)
    half = 0.37 + 0.12 * _spread(n, draw)  # of the sign's height over the picture's
    middle = (0.95 - 1.15 * half)[:, None] * _spread(n, draw, 2)
    tilt = 0.2 * _spread(n, draw, 2)
    wide = 1 - 0.15 * torch.rand(n, generator=draw)
    zero, one = torch.zeros(n), torch.ones(n)
    cos, sin = half * angle.cos(), half * angle.sin()
    pose = torch.stack(
        [cos * wide, -sin, middle[:, 0], sin * wide, cos, middle[:, 1], zero, zero, one]
    )
    lean = torch.stack([one, zero, zero, zero, one, zero, *tilt.T, one])
    pose, lean = (matrix.T.view(n, 3, 3) for matrix in (pose, lean))
    return torch.linalg.inv(pose @ lean)


def _put_over(scene: Tensor, piece: Tensor) -> Tensor:
    """A scene with something over it that is multiplied by its opacity."""
    return scene * (1 - piece[:, 3:]) + piece[:, :3]


def jittered(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return pictures, each a bit rotated, scaled and moved.

    By up to 15°, by a fifth of the size and by a tenth of the width; beyond the edges,
    the pixels there go on.

    >>> jittered(torch.rand(2, 3, 32, 32), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 32, 32])

    Args:
        images: ``(N, C, H, W)``, floating.
        generator: all that is random is drawn from it, on its device.

    Returns:
        ``(N, C, H, W)``.

    Raises:
        TypeError: if `generator` is not a generator.
    """
    check_generator(generator)
    unit = torch.rand(len(images), 4, generator=generator, device=generator.device)
    spread = unit.new_tensor([math.radians(15), 0.2, 0.2, 0.2])
    angle, log_scale, x, y = (spread * (2 * unit - 1)).to(images).unbind(dim=1)
    scale = log_scale.exp()
    params = torch.stack([scale * angle.cos(), scale * angle.sin(), x, y], dim=1)
    return warp(images, params, family=Similarity(), padding="border")
