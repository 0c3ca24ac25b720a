"""The benchmarks run and print their tables; how fast anything is, is not asserted."""

from __future__ import annotations

import contextlib
import io
import math
from types import ModuleType

import _tables
import antialias
import distortions
import pytest
import sampler
import torch

from stn_tutorial.data.distortions import distort


def quick_run(benchmark: ModuleType, **smaller: object) -> str:
    """What a benchmark prints, with some of its constants made smaller."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.setattr(_tables, "THREADS", 1)
        for constant, value in smaller.items():
            patch.setattr(benchmark, constant, value)
        benchmark.main(["--quick"])
    return printed.getvalue()


@pytest.fixture(scope="module")
def printed() -> str:
    return quick_run(sampler, SHAPES=((64, 1, 28, 28),))


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


SHAPE = "64x1x28x28"
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
    image = 64 * 28 * 28 * 4 / 2**20  # MiB
    for mib in table["forward"][3:5]:
        assert mib >= round(image, 2)  # the output
    for mib in table["forward + backward"][3:5]:
        assert mib >= round(image * (1 + 2), 2)  # the gradients of image and grid


def test_the_benchmark_ends_with_geometric_means(printed):
    means, table = rows(printed, "geometric mean"), rows(printed, SHAPE)
    assert list(means) == PASSES
    for name in PASSES:  # of one shape: the mean is that shape's ratio
        assert means[name] == [table[name][2], table[name][5]]


def test_the_table_fits_a_terminal(printed):
    assert max(map(len, printed.splitlines())) <= 100


def test_the_distortions_benchmark_compares_images_per_second():
    lines = quick_run(distortions, BATCH=20).splitlines()
    table = {words[0]: words[1:] for line in lines if (words := line.split())}
    ratios = []
    for name in ("R", "RTS", "P", "E", "clutter"):
        size, batch, one_by_one, ratio = table[name]
        ratios.append(float(ratio))
        assert float(one_by_one) > 0
        assert ratios[-1] == pytest.approx(float(batch) / float(one_by_one), rel=0.05)
    assert table["RTS"][0] == "42x42"
    mean = math.prod(ratios) ** (1 / len(ratios))
    assert float(table["geometric"][-1]) == pytest.approx(mean, rel=0.05)
    assert max(map(len, lines)) <= 100


def test_the_antialias_benchmark_shows_what_it_gains_and_costs():
    lines = quick_run(antialias, SIZE=(96, 144)).splitlines()
    table = [[float(word) for word in line.split()] for line in lines[4:]]
    assert [row[0] for row in table][0] == 1.0 and len(table) >= 5
    for factor, readings, plain, smooth, ratio, *seconds in table:
        assert readings == math.ceil(factor) ** 2
        assert ratio == pytest.approx(plain / smooth, rel=0.1)
        assert min(seconds) > 0
        assert ratio > 2 or factor == 1
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("name", ["R", "RTS", "P", "E", "clutter"])
def test_the_distortions_benchmark_compares_like_with_like(name):
    generator = torch.Generator().manual_seed(0)
    digits = torch.rand(20, 1, 28, 28, generator=generator)
    done = distort(digits, name, generator)
    for k, digit in enumerate(digits):
        drawn = {
            key: value[k] if key == "offsets" else value[k].tolist()
            for key, value in done.truth.items()
        }
        if name == "clutter":  # the digit's place; the pieces are not in the truth
            drawn |= {"shift_px": [int(v) for v in drawn["shift_px"]], "pieces": []}
        theirs = distortions.one(name, digit, drawn)
        difference = (done.images[k] - theirs).abs()
        if name == "P":  # torchvision has no horizon: it sees what lies behind it
            x, y, one = torch.tensor(drawn["theta"])[2]
            ends = (2 * torch.arange(42) + 1) / 42 - 1
            difference = difference[:, ends[:, None] * y + ends * x + one > 1e-3]
        if name == "clutter":
            difference = (theirs - done.images[k]).clamp(min=0)
            assert (done.images[k] > 0).sum() > (theirs > 0).sum()
        assert difference.max() < 1e-3
