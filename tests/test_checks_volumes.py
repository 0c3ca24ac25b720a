"""The checks of `volumes` accept what is right and reject common mistakes."""

from __future__ import annotations

import torch
from answers import Answers

from stn_tutorial.course.checks import volumes


def right_weights(a, b, c):
    """By binary digits: bit 0 says left or right, bit 1 above or below."""
    weights = []
    for k in range(8):
        weight = 1
        for bit, distance in enumerate((a, b, c)):
            weight = weight * (distance if k >> bit & 1 else 1 - distance)
        weights.append(weight)
    return torch.stack(weights, dim=-1)


def right_angle(first, second):
    between = second @ first.transpose(1, 2)
    trace = between[:, 0, 0] + between[:, 1, 1] + between[:, 2, 2]
    return ((trace - 1) / 2).clamp(-1, 1).acos()


class TestAnswers(Answers):
    right = [
        (volumes.weights_of_eight, right_weights),
        (volumes.angle_between, right_angle),
    ]
    wrong = [
        (volumes.weights_of_eight, lambda a, b, c: right_weights(c, b, a)),
        (volumes.weights_of_eight, lambda a, b, c: right_weights(1 - a, b, c)),
        (volumes.weights_of_eight, lambda a, b, c: right_weights(a, b, c).mT),
        (volumes.angle_between, lambda r, s: right_angle(r, s.mT)),
        (volumes.angle_between, lambda r, s: right_angle(r, s).rad2deg()),
        (volumes.angle_between, lambda r, s: right_angle(r, s).cos()),
    ]
    choices = [
        (volumes.fifth_power, "α⁴ K"),
        (volumes.led_past_the_middle, "does not, turns over"),
        (volumes.rotated_about_z, "it rotates"),
    ]
