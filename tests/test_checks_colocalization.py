"""The checks of `colocalization` accept what is right and reject common mistakes."""

from __future__ import annotations

import torch
from answers import Answers

from stn_tutorial import Attention, to_pixels
from stn_tutorial.course.checks import colocalization


def right_box(params, size):
    """By the corners of a grid."""
    corners = Attention().grid(params, (2, 2), align_corners=True)
    return to_pixels(corners[:, [0, 1], [0, 1]], size).flatten(1)


def right_iou(side, shift):
    """By counting, along each axis."""
    both = []
    for a, (dx, dy) in zip(side.tolist(), shift.tolist()):
        width, height = (max(0.0, min(a, a + d) - max(0.0, d)) for d in (dx, dy))
        both.append(width * height / (2 * a * a - width * height))
    return torch.tensor(both)


def slope(crops, patches, margin, first=2.0, second=2.0):
    """By loops over the pairs."""
    out = torch.zeros_like(crops)
    for n, (e, r) in enumerate(zip(crops, patches)):
        for m, other in enumerate(crops):
            gap = (e - other).square().sum() - (e - r).square().sum() + margin
            if n != m and gap > 0:
                out[n] += first * (r - other)
                out[m] += second * (other - e)
    return out


class TestAnswers(Answers):
    right = [
        (colocalization.box_of_theta, right_box),
        (colocalization.iou_of_a_shift, right_iou),
        (colocalization.slope_of_the_loss, slope),
    ]
    wrong = [
        (colocalization.box_of_theta, lambda p, s: right_box(p, s) + 0.5),
        (colocalization.box_of_theta, lambda p, s: right_box(p, s[::-1])),
        (colocalization.box_of_theta, lambda p, s: right_box(p, s)[:, [1, 0, 3, 2]]),
        (colocalization.iou_of_a_shift, lambda a, d: 1 - d.abs().sum(1) / a),
        (
            colocalization.iou_of_a_shift,
            lambda a, d: (
                (a[:, None] - d.abs()).prod(1)
                / (2 * a**2 - (a[:, None] - d.abs()).prod(1))
            ),
        ),
        (colocalization.slope_of_the_loss, lambda c, p, a: slope(c, p, a, second=0)),
        (colocalization.slope_of_the_loss, lambda c, p, a: slope(c, p, a, 1, 1)),
        (colocalization.slope_of_the_loss, lambda c, p, a: slope(c, p, 100.0)),
    ]
    choices = [
        (colocalization.pull_alone, "a black corner"),
        (colocalization.margin_of_zero, "nothing"),
        (colocalization.fixed_crop, "39 pixels"),
    ]
