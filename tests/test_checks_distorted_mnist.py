"""The checks of `distorted_mnist` accept what is right and reject mistakes."""

from __future__ import annotations

import torch
from answers import Answers
from scipy import stats

from stn_tutorial.course.checks import distorted_mnist as checks


def right_error(percent, n):
    """By SciPy: the spread of a binomial count, as a share."""
    spread = stats.binom.std(n.double().numpy(), percent.double().numpy() / 100)
    return torch.from_numpy(100 * spread / n.double().numpy()).to(percent.dtype)


class TestAnswers(Answers):
    right = [(checks.standard_error, right_error)]
    wrong = [
        (checks.standard_error, lambda percent, n: right_error(percent, n) ** 2),
        (checks.standard_error, lambda percent, n: right_error(percent, n) / 100),
        (checks.standard_error, lambda percent, n: right_error(percent, n + 1)),
        (checks.standard_error, lambda percent, n: (percent / n).sqrt()),
        # without 1 - p
        (checks.standard_error, lambda percent, n: (100 * percent / n).sqrt()),
        (checks.standard_error, lambda percent, n: right_error(percent, n)[:1]),
    ]
    choices = [
        (checks.share_of_the_steps, "about 3%"),
        (checks.best_of_twenty, "0.1 points"),
        (checks.paired_or_not, "McNemar's"),
        (checks.twenty_comparisons, "about two thirds"),
    ]


def test_the_answers_are_those_of_scipy():
    """What the checks find by drawing, in closed form."""
    assert stats.binomtest(2, 22).pvalue < 0.05
    apart = (70 * (1 - 0.007) + 52 * (1 - 0.0052)) ** 0.5
    assert (70 - 52) / apart < 1.96
    assert 0.6 < stats.binom.sf(0, 20, 0.05) < 0.7
    misread = range(200)
    lowest = sum(stats.binom.sf(k, 10_000, 0.006) ** 20 for k in misread)
    assert 0.05 < 0.6 - lowest / 100 < 0.2
