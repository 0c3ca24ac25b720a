"""The checks of `families` accept what is right and reject what readers get wrong."""

from __future__ import annotations

import torch
from answers import Answers

from stn_tutorial import Similarity
from stn_tutorial.course.checks import families as checks


def right_product(first, second):
    """As matrices, which the exercise forbids."""
    return Similarity(aspect=1).params_of(
        Similarity(aspect=1).matrix(first) @ Similarity(aspect=1).matrix(second)
    )


def with_the_shift_unturned(first, second):
    product = right_product(first, second)
    return torch.cat([product[:, :2], first[:, 2:] + second[:, 2:]], dim=1)


RIGHT = [
    (checks.similarities_multiplied, right_product),
]
WRONG = [
    (checks.similarities_multiplied, lambda p, q: right_product(q, p)),
    (checks.similarities_multiplied, lambda p, q: p + q),
    (checks.similarities_multiplied, lambda p, q: p * q),
    (checks.similarities_multiplied, with_the_shift_unturned),
]
CHOICES = [
    (checks.lines_that_stay_parallel, "the vertical lines"),
    (checks.spline_with_negated_offsets, "it falls to a quarter"),
    (checks.diagonal_of_a_stiff_spline, "λ"),
    (checks.best_fit_of_a_stiffer_spline, "it stays"),
]


class TestAnswers(Answers):
    right, wrong, choices = RIGHT, WRONG, CHOICES
