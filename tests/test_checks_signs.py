"""The checks of `signs` accept what is right and reject common mistakes."""

from __future__ import annotations

import torch
from answers import Answers

from stn_tutorial.coordinates import to_normalized
from stn_tutorial.course.checks import signs


def right_theta(boxes, size):
    corners = to_normalized(boxes.view(-1, 2, 2), size)
    first, last = corners.unbind(dim=1)
    zero = torch.zeros(len(boxes))
    (a, b), (x, y) = ((last - first) / 2).T, ((last + first) / 2).T
    return torch.stack([a, zero, x, zero, b, y], dim=1)


def right_mirror(labels):
    return torch.tensor([0, -1, 2, 3, -1, -1, -1, 7, 9, 8, 10, 11])[labels]


def right_chance(points):
    return (1 - points.abs()).prod(dim=-1)


class TestAnswers(Answers):
    right = [
        (signs.theta_of_boxes, right_theta),
        (signs.kind_in_the_mirror, right_mirror),
        (signs.held_by_chance, right_chance),
    ]
    wrong = [
        (signs.theta_of_boxes, lambda b, size: right_theta(b + 0.5, size)),
        (signs.theta_of_boxes, lambda b, size: right_theta(b, size[::-1])),
        (signs.theta_of_boxes, lambda b, size: 2 * right_theta(b, size)),
        (signs.kind_in_the_mirror, lambda labels: labels),
        (signs.kind_in_the_mirror, lambda labels: right_mirror(labels).clamp(min=0)),
        (signs.held_by_chance, lambda points: (1 - points).prod(dim=-1)),
        (signs.held_by_chance, lambda points: 1 - points.abs().amax(dim=-1)),
        (signs.held_by_chance, lambda points: 0.5 * right_chance(points)),
    ]
    choices = [
        (signs.a_frame_with_a_sibling, 0.96),
        (signs.how_much_wider, 5.5),
        (signs.larger_picture, "it stays"),
    ]
