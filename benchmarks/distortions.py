"""Compare the distortions of whole batches with torchvision's, one picture at a time.

Both make the same pictures: `one` does to a single digit, with torchvision's transforms
v2, what `distort` does to all digits of a batch at once. Drawing the parameters is part
of both. Times are medians; the last line of a device is the geometric mean of the
ratios.

    python benchmarks/distortions.py            # about half a minute on two CPU cores
    python benchmarks/distortions.py --quick    # seconds, to see that it runs
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from _tables import median_seconds, print_tables
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from stn_tutorial import base_grid
from stn_tutorial.data import embedded_digits
from stn_tutorial.data.distortions import DISTORTIONS, ELASTIC, distort

NAMES = ("R", "RTS", "P", "E", "clutter")
BATCH = 256
HEADER = (
    f"{'distortion':<14}{'size':>8}{'batch /s':>13}{'one by one /s':>15}{'ratio':>8}"
)
BILINEAR = InterpolationMode.BILINEAR


def main(arguments: Sequence[str] | None = None) -> None:
    print_tables(__doc__, HEADER, f"batches of {BATCH}", compare, arguments)


def compare(device: torch.device, quick: bool) -> None:
    """Print a line for each distortion, and the geometric mean of the ratios."""
    digits = embedded_digits()[0][:BATCH].to(device)
    generator = torch.Generator(device).manual_seed(0)
    ratios = []
    for name in NAMES:
        runs = {
            "batch": partial(distort, digits, name, generator),
            "one by one": partial(one_by_one, name, digits, random.Random(0)),
        }
        pace = {"repeats": 2} if quick else {"repeats": 5, "seconds": 5.0}
        taken = median_seconds(runs, **pace)
        rates = [BATCH / seconds for seconds in taken.values()]
        ratios.append(rates[0] / rates[1])
        size = "x".join(map(str, DISTORTIONS[name].size))
        print(
            f"{name:<14}{size:>8}{rates[0]:>13.0f}{rates[1]:>15.0f}{ratios[-1]:>8.2f}",
            flush=True,
        )
    print(f"{'geometric mean':<14}{'':>36}{statistics.geometric_mean(ratios):>8.2f}")


def one_by_one(name: str, digits: Tensor, chance: random.Random) -> None:
    """Distort each digit by itself; clutter is cut from all of them."""
    for digit in digits:
        one(name, digit, draw(name, digits, chance))


def draw(name: str, digits: Tensor, chance: random.Random) -> dict[str, Any]:
    """The parameters of one picture, named as in the truth of `distort`."""
    if name == "R":
        quarter = math.pi / 2
        return {"angle": chance.uniform(-quarter, quarter), "scale": 1.0}
    if name == "RTS":
        scale = chance.uniform(0.7, 1.2)
        room = (42 - 28 * scale) / 2
        return {
            "angle": chance.uniform(-math.pi / 4, math.pi / 4),
            "scale": scale,
            "shift_px": [chance.uniform(-room, room) for _ in range(2)],
        }
    if name == "P":
        moves = [[chance.gauss(0, 5) for _ in range(2)] for _ in range(4)]
        return {"scale": chance.uniform(0.75, 1.0), "corners_px": moves}
    if name == "E":
        offsets = [chance.gauss(0, 1.5) * 2 / 28 for _ in range(32)]
        offsets = torch.tensor(offsets, device=digits.device)
        return {"scale": chance.uniform(0.75, 1.0), "offsets": offsets}
    pieces = [
        (digits[chance.randrange(len(digits))], *(chance.randrange(23) for _ in "yx"))
        + tuple(chance.randrange(55) for _ in "yx")
        for _ in range(16)
    ]
    return {"shift_px": [chance.randint(-16, 16) for _ in "xy"], "pieces": pieces}


def one(name: str, digit: Tensor, drawn: dict[str, Any]) -> Tensor:
    """Distort one digit (1, 28, 28) with torchvision's transforms."""
    size = DISTORTIONS[name].size[0]
    margin = (size - 28) // 2
    if name in ("R", "RTS"):
        return F.affine(
            F.pad(digit, [margin]),
            angle=math.degrees(drawn["angle"]),
            translate=drawn.get("shift_px", [0, 0]),
            scale=drawn["scale"],
            shear=[0.0, 0.0],
            interpolation=BILINEAR,
        )
    if name == "P":
        reach, middle = size / 2 * drawn["scale"], size / 2
        frame = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
        start = [[middle + middle * x, middle + middle * y] for x, y in frame]
        end = [
            [middle + reach * x + move_x, middle + reach * y + move_y]
            for (x, y), (move_x, move_y) in zip(frame, drawn["corners_px"])
        ]
        return F.perspective(F.pad(digit, [margin]), start, end, BILINEAR)
    if name == "E":
        grid = ELASTIC.grid(drawn["offsets"][None], (28, 28)) / drawn["scale"]
        displacement = grid - base_grid((28, 28), device=digit.device)
        return F.elastic(digit, displacement, BILINEAR)
    x, y = drawn["shift_px"]
    picture = F.pad(digit, [margin + x, margin + y, margin - x, margin - y])
    for other, top, left, to_top, to_left in drawn["pieces"]:
        place = picture[:, to_top : to_top + 6, to_left : to_left + 6]
        torch.maximum(place, F.crop(other, top, left, 6, 6), out=place)
    return picture


if __name__ == "__main__":
    main()
