"""The checks of `grid` accept what is right and reject what readers get wrong."""

from __future__ import annotations

import math

import torch
from answers import Answers

from stn_tutorial import theta_from_pixels, to_normalized
from stn_tutorial.course.checks import grid as checks


def right_rotation(angle, centre, size):
    """Three factors: back from the centre, the rotation, and to the centre."""
    c, s = math.cos(angle), math.sin(angle)
    x, y = centre
    to_centre = torch.tensor([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])
    rotation = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    matrix = to_centre @ rotation @ torch.linalg.inv(to_centre)
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
        (checks.rotation_about, right_rotation),
        (checks.crop_theta, right_crop),
    ]
    wrong = [
        (checks.rotation_about, lambda angle, c, size: right_rotation(-angle, c, size)),
        (
            checks.rotation_about,
            lambda angle, c, size: right_rotation(angle, c[::-1], size),
        ),
        (
            checks.rotation_about,
            lambda angle, c, size: right_rotation(angle, (0, 0), size),
        ),
        (checks.crop_theta, lambda box, size: right_crop(box, size)[:, :2]),
        (checks.crop_theta, lambda box, size: right_crop(box, size[::-1])),
        (checks.crop_theta, lambda box, size: right_crop([p - 1 for p in box], size)),
    ]
    choices = [
        (checks.after_swapping_coordinates, "a reflection in the diagonal"),
        (checks.after_a_negative_a, "left and right are exchanged"),
        (checks.warps_that_move_a_pixel, 3),
    ]
