"""The checks of the tour accept what is right and reject what readers get wrong."""

from __future__ import annotations

import torch
from answers import Answers
from torch import nn

from stn_tutorial.course.checks import tour as checks

PICTURE = torch.zeros(1, 1, 42, 42)


class Says(nn.Module):
    """Gives one answer to every picture."""

    def __init__(self, digit):
        super().__init__()
        self.scores = nn.functional.one_hot(torch.tensor([digit]), 10).float()

    def forward(self, x):
        return self.scores.expand(len(x), 10)


def upside_down(digit):
    return lambda answer: checks.upside_down(answer, Says(digit), PICTURE)


def middle(theta, height, width):
    return torch.stack([(theta[2] + 1) * width / 2, (theta[5] + 1) * height / 2])


def between_the_centres(theta, height, width):
    return middle(theta, height - 1, width - 1)


def row_first(theta, height, width):
    return middle(theta, height, width).flip(0)


def not_in_pixels(theta, height, width):
    return theta[[2, 5]]


class TestAnswers(Answers):
    right = [(checks.middle_of_the_frame, middle)]
    wrong = [
        (checks.middle_of_the_frame, between_the_centres),
        (checks.middle_of_the_frame, row_first),
        (checks.middle_of_the_frame, not_in_pixels),
    ]
    choices = [
        (checks.half_the_frame, "twice as large"),
        (upside_down(9), "9"),
        (upside_down(6), "6"),
        (upside_down(3), "another digit"),
    ]
