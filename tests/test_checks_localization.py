"""The checks of `localization` accept what is right and reject mistakes."""

from __future__ import annotations

import math

import torch
from answers import Answers

from stn_tutorial.course.checks import localization as checks


def right_undoing(angle, scale, shift_px, n_in, n_out):
    rows = []
    for turn, zoom, (x, y) in zip(angle, scale, shift_px.tolist(), strict=True):
        size = float(zoom) * n_out / n_in
        a, b = size * math.cos(turn), size * math.sin(turn)
        rows.append([a, b, 2 * x / n_in, 2 * y / n_in])
    return torch.tensor(rows)


def right_mean(angles):
    x, y = angles.cos().mean().item(), angles.sin().mean().item()
    return torch.tensor(math.atan2(y, x))


def right_mean_of_differences(angles):
    """The other mean of the circle: the angles as seen from one of them."""
    away = torch.remainder(angles - angles[0] + math.pi, 2 * math.pi) - math.pi
    mean = angles[0] + away.mean()
    return torch.atan2(mean.sin(), mean.cos())


def right_window(u):
    s = 1 / (1 + (-u[:, :1]).exp())
    return torch.cat([s, u[:, 1:].tanh() * (1 - s)], dim=1)


def right_places(maps):
    height, width = maps.shape[-2:]
    weights = maps.flatten(2).softmax(dim=-1).unflatten(-1, (height, width))
    y, x = torch.meshgrid(
        *(
            (torch.arange(n, dtype=maps.dtype) + 0.5) * 2 / n - 1
            for n in maps.shape[2:]
        ),
        indexing="ij",
    )
    return torch.stack([(weights * x).sum((2, 3)), (weights * y).sum((2, 3))], dim=-1)


def swapped_places(maps):
    return right_places(maps).flip(-1)


def places_of_corners(maps):
    """As if ±1 were the centres of the outermost pixels."""
    sizes = torch.tensor([maps.shape[3], maps.shape[2]])
    return right_places(maps) * sizes / (sizes - 1)


RIGHT = [
    (checks.inverse_of_a_distortion, right_undoing),
    (checks.mean_angle, right_mean),
    (checks.mean_angle, right_mean_of_differences),
    (checks.crop_inside, right_window),
    (checks.expected_location, right_places),
]
WRONG = [
    (
        checks.inverse_of_a_distortion,
        lambda a, s, t, n, m: right_undoing(-a, 1 / s, -t, n, m),
    ),
    (
        checks.inverse_of_a_distortion,
        lambda a, s, t, n, m: right_undoing(a, s, t, n, n),
    ),
    (
        checks.inverse_of_a_distortion,
        lambda a, s, t, n, m: right_undoing(a, s, t * n / m, n, m),
    ),
    (
        checks.inverse_of_a_distortion,
        lambda a, s, t, n, m: right_undoing(-a, s, t, n, m),
    ),
    (
        checks.inverse_of_a_distortion,
        lambda a, s, t, n, m: right_undoing(a, 1 / s, t, n, m),
    ),
    (
        checks.inverse_of_a_distortion,
        lambda a, s, t, n, m: right_undoing(a, s, t.flip(1), n, m),
    ),
    (
        checks.inverse_of_a_distortion,
        lambda a, s, t, n, m: right_undoing(a, s, t, n, m) * n / (n - 1),
    ),
    (checks.mean_angle, lambda angles: angles.mean()),
    (checks.mean_angle, lambda angles: (angles % (2 * math.pi)).mean()),
    (checks.mean_angle, lambda angles: torch.atan(angles.tan().mean())),
    (checks.mean_angle, lambda angles: angles.median()),
    (checks.mean_angle, lambda angles: angles[0]),
    (checks.mean_angle, lambda a: torch.atan2(a.cos().mean(), a.sin().mean())),
    (checks.mean_angle, lambda a: torch.atan(a.sin().mean() / a.cos().mean())),
    (
        checks.crop_inside,
        lambda u: torch.cat([u[:, :1].sigmoid(), u[:, 1:].tanh()], 1),
    ),
    (checks.crop_inside, lambda u: right_window(u).clamp(max=0.5)),
    (checks.crop_inside, lambda u: right_window(u)[:, [0, 2, 1]]),
    (checks.expected_location, swapped_places),
    (checks.expected_location, places_of_corners),
]
CHOICES = [
    (checks.output_of_zero_parameters, "one grey, the middle of the picture"),
    (checks.trained_on_rotated_digits, "leaning by 40°"),
]


class TestAnswers(Answers):
    right, wrong, choices = RIGHT, WRONG, CHOICES
