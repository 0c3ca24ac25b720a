"""The paper's distorted digits (§4.1), on whole batches, with the truth.

A distortion draws its parameters from a generator, builds a grid with the families of
this package, and samples all digits at once on their device. It returns the true warp
with the pictures, so that a localization network can be judged: ``theta`` is the grid's
own parameters, from the distorted picture (output) to the upright digit (input); a
transformer undoes the distortion if it predicts the inverse.

A distorted picture is a function of the generator's state, the number of digits and the
digit itself; of the other digits of its batch only the clutter shows anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stn_tutorial._validate import check_choice, check_floating, working_dtype
from stn_tutorial.coordinates import rotation, theta_from_pixels
from stn_tutorial.data._checks import check_digits, check_generator, check_whole
from stn_tutorial.data.digits import DigitSet
from stn_tutorial.data.tensors import as_bytes
from stn_tutorial.families import Affine, Projective
from stn_tutorial.sampling import sample
from stn_tutorial.thin_plate_spline import ThinPlateSpline

__all__ = [
    "DISTORTIONS",
    "Distorted",
    "Distortion",
    "distort",
    "distort_pictures",
    "distorted_copies",
    "fixed_test_set",
    "put_on_canvas",
]


@dataclass(frozen=True, eq=False)
class Distorted:
    """Distorted digits and what was done to them.

    >>> done = distort(torch.zeros(5, 1, 28, 28), "R", torch.Generator())
    >>> {name: tuple(value.shape) for name, value in done.truth.items()}
    {'theta': (5, 2, 3), 'angle': (5,), 'scale': (5,), 'shift_px': (5, 2)}

    Attributes:
        images: ``(N, 1, H, W)``.
        truth: tensors with N rows, float32 at least; always ``"theta"`` (but for the
            elastic distortion, ``"offsets"``), from the normalized coordinates of the
            picture to those of the digit, and what makes it up: ``"angle"`` (radians,
            clockwise on the screen), ``"scale"``, ``"shift_px"`` (x, y),
            ``"corners_px"``.
    """

    images: Tensor
    truth: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Distortion:
    """One column of the paper's table.

    >>> DISTORTIONS["clutter"].size
    (60, 60)

    Attributes:
        size: ``(H, W)`` of the distorted pictures.
        apply: from digits (N, 1, 28, 28) and a generator to `Distorted`.
    """

    size: tuple[int, int]
    apply: Callable[[Tensor, torch.Generator], Distorted]

    def out_size(self, size: Sequence[int]) -> tuple[int, int]:
        """Return the size of what becomes of pictures that are no digits.

        >>> DISTORTIONS["RTS"].out_size((64, 96))
        (96, 144)

        Args:
            size: ``(H, W)`` of the pictures.

        Returns:
            ``(H, W)``, as much larger as it is for digits.
        """
        height, width = (round(a * n / 28) for a, n in zip(self.size, size))
        return height, width


def _uniform(
    count: int, low: float, high: float, generator: torch.Generator, *shape: int
) -> Tensor:
    unit = torch.rand(count, *shape, generator=generator, device=generator.device)
    return low + (high - low) * unit


def _normal(count: int, sd: float, generator: torch.Generator, *shape: int) -> Tensor:
    return sd * torch.randn(count, *shape, generator=generator, device=generator.device)


def _parameters(drawn: Tensor, digits: Tensor) -> Tensor:
    """What was drawn, where the digits are, in float32 at least."""
    return drawn.to(digits.device, working_dtype(digits))


def _similarity_truth(
    digits: Tensor,
    angle: Tensor,
    scale: Tensor,
    shift_px: Tensor,
    size: tuple[int, int],
) -> dict[str, Tensor]:
    """The warp that rotates, scales and shifts digits about their middle."""
    angle, scale = _parameters(angle, digits), _parameters(scale, digits)
    shift_px = _parameters(shift_px, digits)
    height, width = digits.shape[-2:]
    middle = shift_px.new_tensor([(width - 1) / 2, (height - 1) / 2])
    move = shift_px.new_tensor([(size[1] - width) / 2, (size[0] - height) / 2])
    # From the pixels of the digit to those of the picture.
    matrix = rotation(angle, scale, move + shift_px, center=middle)
    theta = theta_from_pixels(matrix, (height, width), size)
    return {"theta": theta, "angle": angle, "scale": scale, "shift_px": shift_px}


def _similarity(
    digits: Tensor,
    angle: Tensor,
    scale: Tensor,
    shift_px: Tensor,
    size: tuple[int, int],
) -> Distorted:
    """Rotate, scale and shift digits about their middle into pictures of `size`."""
    truth = _similarity_truth(digits, angle, scale, shift_px, size)
    images = sample(digits, Affine().grid(truth["theta"], size))
    return Distorted(images, truth)


def _size(name: str, digits: Tensor) -> tuple[int, int]:
    """The size of distorted pictures: that of the table, if they are digits."""
    return DISTORTIONS[name].out_size(digits.shape[-2:])


def _rotate(digits: Tensor, generator: torch.Generator) -> Distorted:
    """R: a rotation within ±90°."""
    n, size = len(digits), _size("R", digits)
    angle = _uniform(n, -math.pi / 2, math.pi / 2, generator)
    return _similarity(digits, angle, torch.ones(n), torch.zeros(n, 2), size)


def _rotate_scale_translate(digits: Tensor, generator: torch.Generator) -> Distorted:
    """RTS: a rotation within ±45°, a scale of 0.7 to 1.2, anywhere in 42×42."""
    n, size = len(digits), _size("RTS", digits)
    angle = _uniform(n, -math.pi / 4, math.pi / 4, generator)
    scale = _uniform(n, 0.7, 1.2, generator)
    inner, outer = ([s[1], s[0]] for s in (digits.shape[-2:], size))  # (x, y)
    # The scaled digit's frame stays inside.
    room = (scale.new_tensor(outer) - scale[:, None] * scale.new_tensor(inner)) / 2
    shift = _uniform(n, -1, 1, generator, 2) * room
    return _similarity(digits, angle, scale, shift, size)


def _project(digits: Tensor, generator: torch.Generator) -> Distorted:
    """P: a scale of 0.75 to 1, then each corner moved by a Gaussian of 5 px, 42×42.

    The corners are those of the 42×42 picture with the digit in its middle. If those of
    the digit's own 28×28 moved as far, more pictures would be left without a legible
    digit than the paper's networks misread.
    """
    n, size = len(digits), _size("P", digits)
    scale = _parameters(_uniform(n, 0.75, 1.0, generator), digits)
    moves = _parameters(_normal(n, 5.0, generator, 4, 2), digits)
    square = moves.new_tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    start = square.expand(n, 4, 2)
    end = start * scale[:, None, None] + moves * (2 / 42)
    back = Projective().matrix(_projective_params(end, start))  # to the picture before
    zoom = torch.tensor([42 / 28, 42 / 28, 1.0])  # the digit is smaller
    theta = zoom.to(back)[:, None] * back
    images = sample(digits, Projective().grid(theta, size))
    moves_px = moves * moves.new_tensor([size[1] / 42, size[0] / 42])
    return Distorted(images, {"theta": theta, "scale": scale, "corners_px": moves_px})


def _projective_params(source: Tensor, target: Tensor) -> Tensor:
    """The 8 numbers of the projective map that takes four points to four others.

    Each pair gives two equations that are linear in the numbers,
    ``a x + b y + c - u (g x + h y) = u`` and the like for v. Points are (N, 4, 2).
    Corners at random may cross (a few in 100,000 do): then the picture is seen from
    behind, in part, where a function for four given points would rather complain.
    """
    x, y = source.double().unbind(-1)
    u, v = target.double().unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    for_u = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=-1)
    for_v = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=-1)
    system = torch.cat([for_u, for_v], dim=1)
    solution = torch.linalg.solve_ex(system, torch.cat([u, v], dim=1))[0]
    return solution.to(source.dtype)


ELASTIC = ThinPlateSpline((4, 4))


def _elastic(digits: Tensor, generator: torch.Generator) -> Distorted:
    """E: a scale of 0.75 to 1, then a thin plate spline on 16 points, 28×28.

    Each of the points, which stand 4×4 on the picture, moves by a Gaussian of 1.5 px.
    """
    n, size = len(digits), _size("E", digits)
    scale = _parameters(_uniform(n, 0.75, 1.0, generator), digits)
    offsets = _parameters(_normal(n, 1.5, generator, 32) * (2 / 28), digits)
    grid = ELASTIC.grid(offsets, size) / scale[:, None, None, None]
    return Distorted(sample(digits, grid), {"offsets": offsets, "scale": scale})


def put_on_canvas(
    digits: Tensor,
    generator: torch.Generator,
    *,
    size: int = 60,
    pieces: int = 16,
    side: int = 6,
) -> Distorted:
    """Put digits at random locations on a black canvas, among pieces of other digits.

    Each piece is a random crop of another digit of the batch; a digit that is alone in
    its batch lends its own. The defaults are the table's clutter.

    >>> done = put_on_canvas(torch.ones(5, 1, 28, 28), torch.Generator(), size=84)
    >>> tuple(done.images.shape), tuple(done.truth["shift_px"].shape)
    ((5, 1, 84, 84), (5, 2))

    Args:
        digits: ``(N, 1, 28, 28)`` in [0, 1], floating, background 0.
        generator: all that is random is drawn from it.
        size: height and width of the canvas, even, 28 at least.
        pieces: how many there are on a canvas; 0 leaves it to the digit.
        side: height and width of a piece, from 1 to 28.

    Returns:
        The canvases and the truth, as of `distort`: ``"shift_px"`` is from the middle
        of the canvas to the middle of the digit's 28×28, in whole pixels.

    Raises:
        TypeError: if `digits` is not a floating tensor, `generator` not a generator, or
            a number not an integer.
        ValueError: if the shape is another, or a digit or a piece does not fit.
    """
    check_digits(digits)
    check_generator(generator)
    side = check_whole(side, "side", least=1, most=28)
    pieces = check_whole(pieces, "pieces", least=0)
    size = check_whole(size, "size")
    n, room = len(digits), (size - 28) // 2
    if size % 2 or room < 0:
        raise ValueError(f"size must be even and 28 at least, got {size}")
    shift = _uniform(n, -room, room, generator, 2).round()
    upright = torch.zeros(n), torch.ones(n)
    truth = _similarity_truth(digits, *upright, shift, (size, size))

    def integers(high: int) -> Tensor:
        draw = torch.rand(n, pieces, generator=generator, device=generator.device)
        return (draw * high).long().clamp(max=high - 1).to(digits.device)

    ahead = 1 + integers(max(n - 1, 1))  # another digit, unless there is but one
    other = (torch.arange(n, device=digits.device)[:, None] + ahead) % max(n, 1)
    steps = torch.arange(side, device=digits.device)
    from_y = integers(28 - side + 1)[..., None, None] + steps[:, None]
    from_x = integers(28 - side + 1)[..., None, None] + steps
    patches = digits[:, 0][other[..., None, None], from_y, from_x]  # (n, pieces, …)
    to_y = integers(size - side + 1)[..., None, None] + steps[:, None]
    to_x = integers(size - side + 1)[..., None, None] + steps
    pixels = (to_y * size + to_x).flatten(1)
    # The shift is whole pixels, so the digit is copied there rather than warped.
    left, top = (truth["shift_px"].long() + room).unbind(dim=-1)
    frame = torch.arange(28, device=digits.device)
    own_y, own_x = top[:, None, None] + frame[:, None], left[:, None, None] + frame
    flat = digits.new_zeros(n, size * size)
    flat = flat.scatter(1, (own_y * size + own_x).flatten(1), digits.flatten(1))
    flat = flat.scatter_reduce(1, pixels, patches.flatten(1), reduce="amax")
    return Distorted(flat.view(n, 1, size, size), truth)


def _none(digits: Tensor, generator: torch.Generator) -> Distorted:
    """The digits as they are."""
    n = len(digits)
    return _similarity(
        digits, torch.zeros(n), torch.ones(n), torch.zeros(n, 2), _size("none", digits)
    )


#: The distortions by the names of the table's columns.
DISTORTIONS = {
    "none": Distortion((28, 28), _none),
    "R": Distortion((28, 28), _rotate),
    "RTS": Distortion((42, 42), _rotate_scale_translate),
    "P": Distortion((42, 42), _project),
    "E": Distortion((28, 28), _elastic),
    "clutter": Distortion((60, 60), put_on_canvas),
}


def distort(digits: Tensor, name: str, generator: torch.Generator) -> Distorted:
    """Distort a batch of digits.

    >>> from stn_tutorial.data import embedded_digits
    >>> digits = embedded_digits()[0][:8]
    >>> done = distort(digits, "RTS", torch.Generator().manual_seed(0))
    >>> tuple(done.images.shape), tuple(done.truth["theta"].shape)
    ((8, 1, 42, 42), (8, 2, 3))

    Args:
        digits: ``(N, 1, 28, 28)`` in [0, 1], floating, background 0. The clutter is cut
            from the other digits of the batch; a digit that is alone lends its own.
        name: one of `DISTORTIONS`: ``"none"``, ``"R"``, ``"RTS"``, ``"P"``, ``"E"`` or
            ``"clutter"``; sizes and ranges as in the paper.
        generator: all that is random is drawn from it, on its device, which need not be
            the digits'.

    Returns:
        The pictures, of the digits' dtype, and the truth, on the digits' device.

    Raises:
        TypeError: if `digits` is not a floating tensor, or `generator` not a generator.
        ValueError: if the name is unknown or the shape is another.
    """
    check_choice(name, "name", tuple(DISTORTIONS))
    check_digits(digits)
    check_generator(generator)
    return DISTORTIONS[name].apply(digits, generator)


def distort_pictures(
    images: Tensor, name: str, generator: torch.Generator
) -> Distorted:
    """Distort a batch of pictures of any size and number of channels, as digits are.

    Lengths are the digits' in proportion: where a corner of 42 pixels moves by 5, one
    of 84 moves by 10. What lies outside a picture is 0, black.

    >>> photographs = torch.rand(2, 3, 40, 60)
    >>> done = distort_pictures(photographs, "P", torch.Generator().manual_seed(0))
    >>> tuple(done.images.shape)
    (2, 3, 60, 90)

    Args:
        images: ``(N, C, H, W)``, floating.
        name: one of `DISTORTIONS` but ``"clutter"``, whose pieces belong to digits.
        generator: see `distort`.

    Returns:
        The pictures and the truth, as of `distort`.

    Raises:
        TypeError: if `images` is not a floating tensor, or `generator` not a generator.
        ValueError: if the name is unknown or the shape is another.
    """
    check_choice(name, "name", tuple(n for n in DISTORTIONS if n != "clutter"))
    check_floating(images, "images")
    if images.ndim != 4:
        raise ValueError(f"images must be (N, C, H, W), got {tuple(images.shape)}")
    check_generator(generator)
    return DISTORTIONS[name].apply(images, generator)


def distorted_copies(
    digits: DigitSet, name: str, copies: int, *, seed: int
) -> DigitSet:
    """Distort every digit several times, to be kept and trained on again and again.

    Small networks take less time for a batch than its distortion does. Pictures are
    kept in one byte a pixel, as MNIST's are: 16 copies of its 60,000 digits in 42×42
    take 1.7 GB.

    >>> from stn_tutorial.data.digits import load_digits
    >>> digits = load_digits("test", "embedded").first(5)
    >>> copies = distorted_copies(digits, "RTS", 3, seed=0)
    >>> copies.images.shape, copies.images.dtype
    (torch.Size([15, 1, 42, 42]), torch.uint8)

    Args:
        digits: on the CPU, with images in [0, 1].
        name: one of `DISTORTIONS`.
        copies: how many pictures of each digit.
        seed: of the distortions. The first copies are the same, however many there are.

    Returns:
        The pictures, all digits' first copies first, and their labels.

    Raises:
        TypeError: if `copies` or `seed` is not an integer.
        ValueError: if the name is unknown, or there is to be no copy.
    """
    check_choice(name, "name", tuple(DISTORTIONS))
    count = len(digits) * check_whole(copies, "copies", least=1)
    images = torch.empty(count, 1, *DISTORTIONS[name].size, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(check_whole(seed, "seed"))
    for copy in images.split(len(digits)):
        for part, batch in zip(copy.split(1000), digits.images.split(1000)):
            part.copy_(as_bytes(distort(batch, name, generator).images))
    return DigitSet(images, digits.labels.repeat(copies), digits.source)


def fixed_test_set(digits: Tensor, name: str, *, seed: int = 2015) -> Distorted:
    """Distort the test digits, each time alike, so that errors can be compared.

    The parameters are drawn on the CPU, whatever the digits' device, for batches of
    1,000.

    >>> digits = torch.zeros(3, 1, 28, 28)
    >>> angles = fixed_test_set(digits, "R").truth["angle"]
    >>> [round(angle, 4) for angle in angles.tolist()]
    [1.0191, 0.5681, -0.0053]

    Args:
        digits: ``(N, 1, 28, 28)`` in [0, 1], floating, background 0.
        name: one of `DISTORTIONS`.
        seed: of the distortions; results compare under the default alone.

    Returns:
        The pictures and the truth.

    Raises:
        TypeError: if `digits` is not a floating tensor, or `seed` not an integer.
        ValueError: if the name is unknown or the shape is another.
    """
    generator = torch.Generator().manual_seed(check_whole(seed, "seed"))
    check_digits(digits)
    parts = [distort(batch, name, generator) for batch in digits.split(1000)]
    truth = {
        key: torch.cat([part.truth[key] for part in parts]) for key in parts[0].truth
    }
    return Distorted(torch.cat([part.images for part in parts]), truth)
