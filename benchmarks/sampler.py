"""Compare the sampler's two backends: time and peak memory, and their ratio.

For each shape a batch of images is read at the grid of a small rotation, forward alone
(as in inference) and forward and backward (the gradients of image and grid). The last
line of a device is the geometric mean of the ratios over the shapes.

    python benchmarks/sampler.py            # about a minute on two CPU cores
    python benchmarks/sampler.py --quick    # seconds, to see that it runs
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from _tables import median_seconds, print_tables
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
BACKENDS = ("manual", "native")
HEADER = (
    f"{'shape':<18}{'pass':<20}"
    f"{'manual ms':>10}{'native ms':>10}{'ratio':>7}"
    f"{'manual MiB':>12}{'native MiB':>11}{'ratio':>7}"
)


def main(arguments: Sequence[str] | None = None) -> None:
    print_tables(__doc__, HEADER, "float32, bilinear", compare, arguments)


def compare(device: torch.device, quick: bool) -> None:
    """Print a line for each shape and pass, and the geometric means of the ratios."""
    ratios: dict[str, list[tuple[float, float]]] = {}
    pace = {"repeats": 3, "seconds": 0.05} if quick else {"repeats": 10, "seconds": 4.0}
    for shape in SHAPES[:1] if quick else SHAPES:
        for name, step in (("forward", forward), ("forward + backward", both)):
            image, grid = inputs(shape, device)
            runs = {each: partial(step, image, grid, each) for each in BACKENDS}
            ms = {k: 1e3 * v for k, v in median_seconds(runs, **pace).items()}
            mib = {backend: peak(run, device) / 2**20 for backend, run in runs.items()}
            time_ratio = ms["manual"] / ms["native"]
            memory_ratio = mib["manual"] / mib["native"]
            ratios.setdefault(name, []).append((time_ratio, memory_ratio))
            print(
                f"{'x'.join(map(str, shape)):<18}{name:<20}"
                f"{ms['manual']:>10.2f}{ms['native']:>10.2f}{time_ratio:>7.2f}"
                f"{mib['manual']:>12.2f}{mib['native']:>11.2f}{memory_ratio:>7.2f}",
                flush=True,
            )
    for name, pairs in ratios.items():
        time_ratio, memory_ratio = map(statistics.geometric_mean, zip(*pairs))
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


def forward(image: Tensor, grid: Tensor, backend: str) -> None:
    with torch.no_grad():
        sample(image, grid, backend=backend)


def both(image: Tensor, grid: Tensor, backend: str) -> None:
    out = sample(image, grid, backend=backend)
    torch.autograd.grad(out, (image, grid), image.detach())  # any gradient will do


def peak(run: Callable[[], None], device: torch.device) -> int:
    """The most bytes that a run holds at once, beside its inputs."""
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
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


if __name__ == "__main__":
    main()
