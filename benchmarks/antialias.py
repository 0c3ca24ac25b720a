"""Compare sampling with and without antialiasing where a picture shrinks.

For each factor of shrinking: the root mean square error against the mean over each
output pixel's patch (32 x 32 samples), without and with ``antialias=True``, and the
milliseconds of a pass forward and backward. Antialiasing costs what sampling a larger
output would: so many samples a pixel. Times are medians.

    python benchmarks/antialias.py            # about half a minute on two CPU cores
    python benchmarks/antialias.py --quick    # seconds, to see that it runs
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from _tables import median_seconds, print_tables
from torch import Tensor

from stn_tutorial import Similarity, sample
from stn_tutorial.antialiasing import finer_grid, samples_per_side
from stn_tutorial.data import photograph

FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
ANGLE = math.radians(20)
SIZE = (192, 288)
HEADER = (
    f"{'shrinks by':>10}{'samples':>10}{'plain error':>13}{'antialias':>11}"
    f"{'ratio':>8}{'plain ms':>11}{'antialias ms':>14}"
)


def main(arguments: Sequence[str] | None = None) -> None:
    about = f"a picture of {'x'.join(map(str, SIZE))}"
    print_tables(__doc__, HEADER, about, compare, arguments)


def compare(device: torch.device, quick: bool) -> None:
    """Print a line for each factor."""
    image = photograph("china", SIZE).to(device)
    for factor in FACTORS:
        grid = turned(image, factor)
        reference = F.avg_pool2d(sample(image, finer_grid(grid, 32)), 32)
        errors = [
            F.mse_loss(sample(image, grid, antialias=antialias), reference).sqrt()
            for antialias in (False, True)
        ]
        runs = {"plain": both(image, grid, False), "smooth": both(image, grid, True)}
        taken = median_seconds(runs, repeats=2 if quick else 15)
        samples = int(samples_per_side(grid, image.shape[-2:])) ** 2
        print(
            f"{factor:>10.1f}{samples:>10}{errors[0]:>13.4f}{errors[1]:>11.4f}"
            f"{errors[0] / errors[1]:>8.2f}"
            f"{1e3 * taken['plain']:>11.2f}{1e3 * taken['smooth']:>14.2f}",
            flush=True,
        )


def turned(image: Tensor, factor: float) -> Tensor:
    """A grid over the whole picture, turned, whose steps are `factor` pixels long."""
    height, width = image.shape[-2:]
    size = round(height / factor), round(width / factor)
    params = image.new_tensor([[math.cos(ANGLE), math.sin(ANGLE), 0.0, 0.0]])
    return Similarity(aspect=width / height).grid(params, size)


def both(image: Tensor, grid: Tensor, antialias: bool) -> Callable[[], None]:
    """A pass forward and backward, with respect to image and grid."""
    inputs = [each.clone().requires_grad_() for each in (image, grid)]

    def run() -> None:
        torch.autograd.grad(sample(*inputs, antialias=antialias).sum(), inputs)

    return run


if __name__ == "__main__":
    main()
