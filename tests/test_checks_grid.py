"""The checks of chapter 1 accept what is right and reject what readers get wrong."""

from __future__ import annotations

import math

import pytest
import torch

from stn_tutorial import theta_from_pixels, to_normalized
from stn_tutorial.course.checks import Wrong
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


RIGHT = [
    (checks.one_axis_to_normalized, right_axis),
    (checks.rotation_about, right_turn),
    (checks.crop_theta, right_crop),
]
WRONG = [
    (checks.one_axis_to_normalized, lambda p, n, a: 2 * p / (n - 1) - 1),
    (checks.one_axis_to_normalized, lambda p, n, a: 2 * p / n - 1),
    (checks.one_axis_to_normalized, lambda p, n, a: right_axis(p, n, not a)),
    (checks.rotation_about, lambda angle, c, size: right_turn(-angle, c, size)),
    (checks.rotation_about, lambda angle, c, size: right_turn(angle, c[::-1], size)),
    (checks.rotation_about, lambda angle, c, size: right_turn(angle, (0, 0), size)),
    (checks.crop_theta, lambda box, size: right_crop(box, size)[:, :2]),
    (checks.crop_theta, lambda box, size: right_crop(box, size[::-1])),
    (checks.crop_theta, lambda box, size: right_crop([p - 1 for p in box], size)),
]
CHOICES = [
    (checks.after_swapping_coordinates, "a reflection in the diagonal"),
    (checks.after_a_negative_a, "left and right change places"),
    (checks.after_mixing_conventions, "it shrinks"),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT + CHOICES)
def test_right_answer_is_accepted(check, answer, capsys):
    check(answer)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(("check", "answer"), WRONG)
def test_wrong_function_is_rejected_with_a_hint(check, answer):
    with pytest.raises(Wrong, match="Hint"):
        check(answer)


@pytest.mark.parametrize(("check", "right"), CHOICES)
def test_every_other_prediction_is_rejected(check, right, capsys):
    check(...)
    options = capsys.readouterr().out.partition("one of ")[2].strip(".\n")
    others = [option.strip("'") for option in options.split(", ")]
    others.remove(right)
    assert len(others) >= 2
    for other in [*others, "something else"]:
        with pytest.raises(Wrong):
            check(other)


@pytest.mark.parametrize(("check", "_"), RIGHT)
def test_a_stub_is_open(check, _, capsys):
    check(lambda *arguments: None)
    assert capsys.readouterr().out.startswith("Not answered yet")
