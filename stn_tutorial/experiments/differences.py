"""How much two networks differ over seeds: a mean with its interval."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

__all__ = ["Difference"]


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
