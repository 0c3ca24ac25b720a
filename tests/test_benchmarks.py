"""The benchmarks run and print their tables; how fast anything is, is not asserted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def printed() -> str:
    result = subprocess.run(
        [sys.executable, "benchmarks/sampler.py", "--quick"],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def rows(printed: str, first: str) -> dict[str, list[float]]:
    """The numbers of the lines that begin so, by the name of the pass."""
    found = {}
    for line in printed.splitlines():
        if line.startswith(first):
            numbers = [
                word for word in line.split() if word[0].isdigit() and "." in word
            ]
            words = line.removeprefix(first).split(numbers[0])[0]
            found[words.strip()] = [float(number) for number in numbers]
    return found


SHAPE = "256x1x28x28"
PASSES = ["forward", "forward + backward"]


def test_the_sampler_benchmark_compares_both_backends_in_both_passes(printed):
    table = rows(printed, SHAPE)
    assert list(table) == PASSES
    for ms, other_ms, ratio, mib, other_mib, memory_ratio in table.values():
        assert min(ms, other_ms, mib, other_mib) > 0
        assert ratio == pytest.approx(ms / other_ms, rel=0.05)
        assert memory_ratio == pytest.approx(mib / other_mib, rel=0.05)


def test_the_peak_memory_is_at_least_that_of_the_results(printed):
    table = rows(printed, SHAPE)
    image = 256 * 28 * 28 * 4 / 2**20  # MiB
    for mib in table["forward"][3:5]:
        assert mib >= round(image, 1)  # the output
    for mib in table["forward + backward"][3:5]:
        assert mib >= round(image * (1 + 2), 1)  # the gradients of image and grid


def test_the_benchmark_ends_with_geometric_means(printed):
    means, table = rows(printed, "geometric mean"), rows(printed, SHAPE)
    assert list(means) == PASSES
    for name in PASSES:  # of one shape: the mean is that shape's ratio
        assert means[name] == [table[name][2], table[name][5]]


def test_the_table_fits_a_terminal(printed):
    assert max(map(len, printed.splitlines())) <= 100
