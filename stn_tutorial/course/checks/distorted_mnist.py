"""Checks of the chapter on the table: protocols, and how much is noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from stn_tutorial.course.checks._grading import Cases, choose, compare, nearest

__all__ = [
    "best_of_twenty",
    "paired_or_not",
    "share_of_the_steps",
    "standard_error",
    "twenty_comparisons",
]


def share_of_the_steps(answer: str) -> None:
    """Check what share of the paper's 150,000 steps twenty epochs are."""
    batches = torch.arange(60_000).split(256)
    share = 20 * len(batches) / 150_000
    options = {"about 3%": 0.03, "about 13%": 0.13, "about 30%": 0.3}
    hint = "a step is one batch; an epoch has as many as it takes for all digits."
    choose(answer, nearest(share, options), options, hint)


def standard_error(attempt: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Check ``attempt(percent, n)``: the standard error of an error, in percent."""

    def cases(draw: Generator) -> Cases:
        yield torch.tensor([0.5]), torch.tensor([10_000.0])
        yield torch.tensor([0.0, 100.0]), torch.tensor([50.0, 50.0])
        for k in (3, 20):
            percent = 100 * torch.rand(k, generator=draw)
            yield percent, torch.randint(1, 10_000, (k,), generator=draw).float()

    def reference(percent: Tensor, n: Tensor) -> Tensor:
        # One digit counts 100 or 0 points; the mean of n has an n-th of its variance.
        p = percent.double() / 100
        variance = p * (100 - 100 * p) ** 2 + (1 - p) * (100 * p) ** 2
        return (variance / n).sqrt().to(percent.dtype)

    hint = (
        "convert percent into a probability, take the root of p (1 - p) / n, and "
        "convert back."
    )
    compare(attempt, reference, cases, hint)


def best_of_twenty(answer: str) -> None:
    """Check how far the lowest of twenty errors lies below the truth of 0.6%."""
    draw = torch.Generator().manual_seed(2)
    counts = torch.full((5_000, 20), 10_000.0)
    wrong = torch.binomial(counts, torch.tensor(0.006), generator=draw)
    below = 0.6 - (100 * wrong / 10_000).amin(dim=1).mean().item()
    options = {"0 points": 0.0, "0.01 points": 0.01, "0.1 points": 0.1, "1 point": 1.0}
    hint = "the lowest of twenty lies almost two standard errors below the mean."
    choose(answer, nearest(below, options), options, hint)


def paired_or_not(answer: str) -> None:
    """Check which test tells 70 from 52 errors on 10,000 digits, 50 of them shared."""
    n, both, alone = 10_000, 50, (20, 2)
    draw = torch.Generator().manual_seed(3)
    coins = torch.rand(200_000, sum(alone), generator=draw).round().sum(dim=1)
    away = abs(alone[0] - sum(alone) / 2)
    paired = bool(((coins - sum(alone) / 2).abs() >= away).double().mean() < 0.05)
    errors = [(both + count) / n for count in alone]
    apart = math.sqrt(sum(p * (1 - p) / n for p in errors))
    unpaired = abs(errors[0] - errors[1]) > 1.96 * apart
    names = {
        (True, True): "both",
        (True, False): "McNemar's",
        (False, True): "the other",
        (False, False): "neither",
    }
    hint = (
        "A alone misclassifies 20 digits, B alone 2. Call mcnemar, and put both "
        "standard errors under one root."
    )
    choose(answer, names[paired, unpaired], names.values(), hint)


def twenty_comparisons(answer: str) -> None:
    """Check how often at least one of twenty true nothings is called a difference."""
    draw = torch.Generator().manual_seed(4)
    called = torch.rand(100_000, 20, generator=draw) < 0.05
    share = called.any(dim=1).double().mean().item()
    options = {"5%": 0.05, "about a third": 1 / 3, "about two thirds": 2 / 3}
    hint = "how likely is it that none of the twenty calls out?"
    choose(answer, nearest(share, options), options, hint)
