"""The checks of chapter 7 accept what is right and reject what readers get wrong."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from stn_tutorial.course.checks import Wrong
from stn_tutorial.course.checks import distorted_mnist as checks


def right_error(percent, n):
    """By SciPy: the spread of a binomial count, as a share."""
    spread = stats.binom.std(n.double().numpy(), percent.double().numpy() / 100)
    return torch.from_numpy(100 * spread / n.double().numpy()).to(percent.dtype)


WRONG = [
    lambda percent, n: right_error(percent, n) ** 2,
    lambda percent, n: right_error(percent, n) / 100,
    lambda percent, n: right_error(percent, n + 1),
    lambda percent, n: (percent / n).sqrt(),
    lambda percent, n: 100 * (percent / 100 / n).sqrt(),  # without 1 - p
    lambda percent, n: right_error(percent, n)[:1],
]
CHOICES = [
    (checks.share_of_the_steps, "about 3%"),
    (checks.best_of_twenty, "0.1 points"),
    (checks.paired_or_not, "McNemar's"),
    (checks.twenty_comparisons, "about two thirds"),
]


def test_the_right_function_is_accepted(capsys):
    checks.standard_error(right_error)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize("attempt", WRONG)
def test_a_wrong_function_is_rejected_with_a_hint(attempt):
    with pytest.raises(Wrong, match="Hint"):
        checks.standard_error(attempt)


def test_a_stub_is_open(capsys):
    checks.standard_error(lambda percent, n: None)
    assert capsys.readouterr().out.startswith("Not answered yet")


@pytest.mark.parametrize(("check", "right"), CHOICES)
def test_the_right_prediction_is_accepted(check, right, capsys):
    check(right)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(
    ("check", "others"),
    [
        (checks.share_of_the_steps, ["about 13%", "about 30%"]),
        (checks.best_of_twenty, ["0 points", "0.01 points", "1 point"]),
        (checks.paired_or_not, ["both", "the other", "neither"]),
        (checks.twenty_comparisons, ["5%", "about a third"]),
    ],
)
def test_every_other_prediction_is_rejected(check, others, capsys):
    check(...)
    printed = capsys.readouterr().out
    assert printed.startswith("Not answered yet")
    for other in others:
        assert repr(other) in printed
        with pytest.raises(Wrong, match="Hint"):
            check(other)
    with pytest.raises(Wrong):
        check("something else")


def test_the_answers_are_those_of_scipy():
    """What the checks find by drawing, in closed form."""
    assert stats.binomtest(2, 22).pvalue < 0.05
    apart = (70 * (1 - 0.007) + 52 * (1 - 0.0052)) ** 0.5
    assert (70 - 52) / apart < 1.96
    assert 0.6 < stats.binom.sf(0, 20, 0.05) < 0.7
    misread = range(200)
    lowest = sum(stats.binom.sf(k, 10_000, 0.006) ** 20 for k in misread)
    assert 0.05 < 0.6 - lowest / 100 < 0.2
