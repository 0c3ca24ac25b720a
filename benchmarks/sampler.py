"""Compare the sampler's two backends: time and peak memory, and their ratio.

For each shape a batch of images is read at the grid of a small rotation, forward alone
(as in inference) and forward and backward (the gradients of image and grid). The last
line of a device is the geometric mean of the ratios over the shapes.

    python benchmarks/sampler.py            # about a minute on two CPU cores
    python benchmarks/sampler.py --quick    # seconds, to see that it runs
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from stn_tutorial import Affine, rotation, sample

SHAPES = (
    (256, 1, 28, 28),
    (256, 1, 60, 60),
    (64, 3, 96, 96),
    (16, 3, 224, 224),
    (4, 3, 512, 512),
)
THREADS = 2
BACKENDS = ("manual", "native")
HEADER = (
    f"{'shape':<18}{'pass':<20}"
    f"{'manual ms':>10}{'native ms':>10}{'ratio':>7}"
    f"{'manual MiB':>12}{'native MiB':>11}{'ratio':>7}"
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="a few repeats on the smallest shape"
    )
    quick = parser.parse_args(arguments).quick
    torch.set_num_threads(THREADS)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        print(f"\n{describe(device)}\n{HEADER}\n{'-' * len(HEADER)}")
        compare(torch.device(device), SHAPES[:1] if quick else SHAPES, quick)


def describe(device: str) -> str:
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    threads = f", {THREADS} threads" if device == "cpu" else ""
    return f"{device} ({name}{threads}), torch {torch.__version__}, float32, bilinear"


def compare(device: torch.device, shapes: tuple, quick: bool) -> None:
    """Print a line for each shape and pass, and the geometric means of the ratios."""
    ratios: dict[str, list[tuple[float, float]]] = {}
    for shape in shapes:
        for name, step in (("forward", forward), ("forward + backward", both)):
            image, grid = inputs(shape, device)
            runs = {backend: step(image, grid, backend) for backend in BACKENDS}
            ms = milliseconds(runs, device, quick)
            mib = {backend: peak(run, device) / 2**20 for backend, run in runs.items()}
            time_ratio = ms["manual"] / ms["native"]
            memory_ratio = mib["manual"] / mib["native"]
            ratios.setdefault(name, []).append((time_ratio, memory_ratio))
            print(
                f"{'x'.join(map(str, shape)):<18}{name:<20}"
                f"{ms['manual']:>10.2f}{ms['native']:>10.2f}{time_ratio:>7.2f}"
                f"{mib['manual']:>12.1f}{mib['native']:>11.1f}{memory_ratio:>7.2f}",
                flush=True,
            )
    for name, pairs in ratios.items():
        time_ratio, memory_ratio = (geometric_mean(column) for column in zip(*pairs))
        print(
            f"{'geometric mean':<18}{name:<20}"
            f"{'':>20}{time_ratio:>7.2f}{'':>23}{memory_ratio:>7.2f}"
        )


def inputs(shape: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Random images, and for each the grid of a rotation that keeps most of it."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(shape, generator=generator).to(device)
    theta = rotation(0.3, 0.9, (0.05, -0.05)).to(device)
    grid = Affine().grid(theta[None], shape[-2:]).repeat(shape[0], 1, 1, 1)
    return image.requires_grad_(), grid.requires_grad_()


def forward(image: Tensor, grid: Tensor, backend: str) -> Callable[[], None]:
    def run() -> None:
        with torch.no_grad():
            sample(image, grid, backend=backend)

    return run


def both(image: Tensor, grid: Tensor, backend: str) -> Callable[[], None]:
    upstream = torch.ones_like(image)

    def run() -> None:
        out = sample(image, grid, backend=backend)
        torch.autograd.grad(out, (image, grid), upstream)

    return run


def milliseconds(
    runs: dict[str, Callable[[], None]], device: torch.device, quick: bool
) -> dict[str, float]:
    """The median time of each run, after warming up.

    The runs take turns, so that whatever else the machine does slows all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    repeats, budget = (3, 0.05) if quick else (10, 4.0)
    for run in runs.values():
        run()
    begin = time.perf_counter()
    while len(times[BACKENDS[-1]]) < repeats or time.perf_counter() - begin < budget:
        for name, run in runs.items():
            synchronize(device)
            start = time.perf_counter()
            run()
            synchronize(device)
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def peak(run: Callable[[], None], device: torch.device) -> int:
    """The most bytes that a run holds at once, beside its inputs."""
    run()
    if device.type == "cuda":
        synchronize(device)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        synchronize(device)
        return torch.cuda.max_memory_allocated() - before
    with tempfile.TemporaryDirectory() as folder, no_log():
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
            run()
        path = Path(folder, "trace.json")
        record.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    changes = [event for event in events if event.get("name") == "[memory]"]
    held = most = 0
    for event in sorted(changes, key=lambda event: event["ts"]):
        held += event["args"]["Bytes"]
        most = max(most, held)
    return most


@contextlib.contextmanager
def no_log() -> Iterator[None]:
    """Keep the profiler's log, written by C++ code, out of the table."""
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def geometric_mean(ratios: tuple[float, ...]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


if __name__ == "__main__":
    main()
