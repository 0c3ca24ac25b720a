"""What the benchmarks share: a table for each device, and times that compare."""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

THREADS = 2


def print_tables(
    text: str,
    header: str,
    about: str,
    compare: Callable[[torch.device, bool], None],
    arguments: Sequence[str] | None,
) -> None:
    """Print a table on the CPU, and one on the GPU if there is one.

    Args:
        text: the benchmark's docstring, for its help.
        header: of the table.
        about: what all lines of the table have in common.
        compare: prints the lines on a device, from a few repeats if the second argument
            is true.
        arguments: of the command line; the default is the real ones.
    """
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few repeats")
    quick = parser.parse_args(arguments).quick
    torch.set_num_threads(THREADS)
    where = {"cpu": f"{platform.machine()}, {THREADS} threads"}
    if torch.cuda.is_available():
        where["cuda"] = torch.cuda.get_device_name()
    for device, name in where.items():
        print(f"\n{device} ({name}), torch {torch.__version__}, {about}")
        print(f"{header}\n{'-' * len(header)}")
        compare(torch.device(device), quick)


def median_seconds(
    runs: Mapping[str, Callable[[], Any]], *, repeats: int, seconds: float = 0.0
) -> dict[str, float]:
    """Return the median time of each run, after warming up.

    The runs take turns, so that whatever else the machine does slows all of them.

    Args:
        runs: by name.
        repeats: of each, at least.
        seconds: for which they are repeated, at least.
    """
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    begin = clock()
    while min(map(len, times.values())) < repeats or clock() - begin < seconds:
        for name, run in runs.items():
            start = clock()
            run()
            times[name].append(clock() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def clock() -> float:
    """Return the time, in seconds, when the GPU has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
