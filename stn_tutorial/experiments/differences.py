"""How much two networks differ over seeds: a mean with its interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

__all__ = ["TEST_ERROR", "Difference", "Number", "seed_by_seed"]

#: What of a result is compared.
Number: TypeAlias = Callable[[Mapping[str, Any]], float]
#: The test error in percent, after the last epoch.
TEST_ERROR: Number = itemgetter("test_error")


@dataclass(frozen=True)
class Difference:
    """How much larger a number of one network is than another's, over seeds.

    The interval is about other seeds, on the same test data; and of twenty intervals
    without an effect, one excludes zero.

    >>> change = Difference((0.1, 0.3, 0.2))
    >>> round(change.mean, 2), round(change.half_width, 2), change.excludes_zero
    (0.2, 0.25, False)

    Attributes:
        each: the differences, one a seed; of errors, in percentage points.
    """

    each: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean difference."""
        return statistics.mean(self.each)

    @property
    def half_width(self) -> float:
        """Half the width of the 95% confidence interval of the mean (Student's t)."""
        from scipy.stats import t as student  # takes a second, and few need it

        n = len(self.each)
        if n < 2:
            return math.inf
        t = float(student.ppf(0.975, n - 1))
        return t * statistics.stdev(self.each) / math.sqrt(n)

    @property
    def excludes_zero(self) -> bool:
        """Whether the confidence interval says that there is a difference."""
        return abs(self.mean) > self.half_width


def seed_by_seed(
    runs: Mapping[Any, Mapping[str, Any]],
    others: Mapping[Any, Mapping[str, Any]],
    number: Number = TEST_ERROR,
) -> Difference:
    """Return how much larger a number of some runs is than that of others.

    Args:
        runs: the results of a network by their cells, one a seed; see
            `stn_tutorial.experiments.results.select`.
        others: those of another network.
        number: what of a result to compare.

    Returns:
        The differences of the seeds that both have; there may be none.
    """
    numbers = [
        {cell.seed: number(result) for cell, result in each.items()}
        for each in (runs, others)
    ]
    shared = sorted(numbers[0].keys() & numbers[1].keys())
    return Difference(tuple(numbers[0][seed] - numbers[1][seed] for seed in shared))
