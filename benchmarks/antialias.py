"""Compare sampling with and without antialiasing where a picture shrinks.

For each factor of shrinking: the root mean square error against the mean over each
output pixel's patch (32 x 32 samples), without and with ``antialias=True``, and the
milliseconds of a pass forward and backward. Antialiasing costs what sampling a larger
output would: so many samples a pixel. Times are medians.

    python benchmarks/antialias.py            # about half a minute on two CPU cores
    python benchmarks/antialias.py --quick    # seconds, to see that it runs
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import time
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_tutorial import Affine, sample
from stn_tutorial.antialiasing import finer_grid, samples_per_side
from stn_tutorial.data import photograph

FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
ANGLE = math.radians(20)
SIZE = (192, 288)
THREADS = 2
HEADER = (
    f"{'shrinks by':>10}{'samples':>10}{'plain error':>13}{'antialias':>11}"
    f"{'ratio':>8}{'plain ms':>11}{'antialias ms':>14}"
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few repeats")
    repeats = 2 if parser.parse_args(arguments).quick else 15
    torch.set_num_threads(THREADS)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        print(f"\n{describe(device)}\n{HEADER}\n{'-' * len(HEADER)}")
        image = photograph("china", SIZE).to(device)
        for factor in FACTORS:
            print(compare(image, factor, repeats), flush=True)


def describe(device: str) -> str:
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    threads = f", {THREADS} threads" if device == "cpu" else ""
    size = "x".join(map(str, SIZE))
    return f"{device} ({name}{threads}), torch {torch.__version__}, a picture of {size}"


def compare(image: Tensor, factor: float, repeats: int) -> str:
    """A line of the table."""
    grid = turned(image, factor)
    reference = F.avg_pool2d(sample(image, finer_grid(grid, 32)), 32)
    errors = []
    for antialias in (False, True):
        read = sample(image, grid, antialias=antialias)
        errors.append((read - reference).square().mean().sqrt().item())
    plain, smooth = (
        median_seconds(image, grid, antialias, repeats) for antialias in (False, True)
    )
    samples = int(samples_per_side(grid, image.shape[-2:])) ** 2
    ratio = errors[0] / errors[1]
    return (
        f"{factor:>10.1f}{samples:>10}{errors[0]:>13.4f}{errors[1]:>11.4f}{ratio:>8.2f}"
        f"{1e3 * plain:>11.2f}{1e3 * smooth:>14.2f}"
    )


def turned(image: Tensor, factor: float) -> Tensor:
    """A grid over the whole picture, turned, whose steps are `factor` pixels long."""
    height, width = image.shape[-2:]
    size = round(height / factor), round(width / factor)
    # In normalized units a turn shears what is not square: hence the ratios.
    a, b, ratio = math.cos(ANGLE), math.sin(ANGLE), height / width
    theta = torch.tensor([[a, -b * ratio, 0, b / ratio, a, 0]], device=image.device)
    return Affine().grid(theta, size)


def median_seconds(image: Tensor, grid: Tensor, antialias: bool, repeats: int) -> float:
    """Of a pass forward and backward, with respect to image and grid."""
    taken = []
    for _ in range(repeats + 1):
        inputs = [t.clone().requires_grad_() for t in (image, grid)]
        synchronize(image.device)
        start = time.perf_counter()
        sample(*inputs, antialias=antialias).sum().backward()
        synchronize(image.device)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])  # the first one warms up


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
