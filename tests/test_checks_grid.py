"""The checks of `grid` accept what is right and reject what readers get wrong."""

from __future__ import annotations

import math

import torch
from answers import Answers

from stn_tutorial import theta_from_pixels, to_normalized
from stn_tutorial.course.checks import grid as checks


def right_axis(pixels, n, align_corners):
    return to_normalized(pixels[:, None], (n,), align_corners=align_corners)[:, 0]


def right_turn(angle, centre, size):
    """Three factors: back from the centre, the turn, and to the centre."""
    c, s = math.cos(angle), math.sin(angle)
    x, y = centre
    to_centre = torch.tensor([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])
    turn = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    matrix = to_centre @ turn @ torch.linalg.inv(to_centre)
    return theta_from_pixels(matrix[:2].double(), size, size).float()


def right_crop(box, size):
    left, top, right, bottom = box
    corners = torch.tensor([[left, top], [right, bottom]]) - 0.5
    (x0, y0), (x1, y1) = to_normalized(corners, size).tolist()
    return torch.tensor(
        [[(x1 - x0) / 2, 0, (x0 + x1) / 2], [0, (y1 - y0) / 2, (y0 + y1) / 2]]
    )


class TestAnswers(Answers):
    right = [
        (checks.one_axis_to_normalized, right_axis),
        (checks.rotation_about, right_turn),
        (checks.crop_theta, right_crop),
    ]
    wrong = [
        (checks.one_axis_to_normalized, lambda p, n, a: 2 * p / (n - 1) - 1),
        (checks.one_axis_to_normalized, lambda p, n, a: 2 * p / n - 1),
        (checks.one_axis_to_normalized, lambda p, n, a: right_axis(p, n, not a)),
        (checks.rotation_about, lambda angle, c, size: right_turn(-angle, c, size)),
        (
            checks.rotation_about,
            lambda angle, c, size: right_turn(angle, c[::-1], size),
        ),
        (checks.rotation_about, lambda angle, c, size: right_turn(angle, (0, 0), size)),
        (checks.crop_theta, lambda box, size: right_crop(box, size)[:, :2]),
        (checks.crop_theta, lambda box, size: right_crop(box, size[::-1])),
        (checks.crop_theta, lambda box, size: right_crop([p - 1 for p in box], size)),
    ]
    choices = [
        (checks.after_swapping_coordinates, "a reflection in the diagonal"),
        (checks.after_a_negative_a, "left and right change places"),
        (checks.after_mixing_conventions, "it shrinks"),
    ]
