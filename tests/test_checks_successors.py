"""The checks of `successors` accept what is right and reject common mistakes."""

from __future__ import annotations

import torch
from answers import Answers

from stn_tutorial import Affine
from stn_tutorial.course.checks import successors


def right_looks(thetas):
    whole = thetas[0]
    for theta in thetas[1:]:
        whole = Affine().compose(whole, theta)
    return whole


def right_tents(x, width):
    return (1 - (x[:, None] - torch.arange(width)).abs()).clamp(min=0)


class TestAnswers(Answers):
    right = [(successors.all_looks, right_looks), (successors.tents, right_tents)]
    wrong = [
        (successors.all_looks, lambda thetas: right_looks(thetas.flip(0))),
        (successors.all_looks, lambda thetas: thetas.prod(dim=0)),
        (successors.tents, lambda x, n: 1 - (x[:, None] - torch.arange(n)).abs()),
        (successors.tents, lambda x, n: right_tents(x, n).T),
        (successors.tents, lambda x, n: right_tents(x, n).softmax(dim=1)),
    ]
    choices = [
        (successors.area, "it is squared"),
        (successors.upside_down, "those of the 6 upright"),
        (successors.cost, "8 times"),
    ]
