"""The checks of `localization` accept what is right and reject mistakes."""

from __future__ import annotations

import math

import torch
from answers import Answers

from stn_tutorial import base_grid
from stn_tutorial.course.checks import localization as checks


def right_undoing(angle, scale, shift_px, n_in, n_out):
    rows = []
    for turn, zoom, (x, y) in zip(angle, scale, shift_px.tolist(), strict=True):
        size = float(zoom) * n_out / n_in
        a, b = size * math.cos(turn), size * math.sin(turn)
        rows.append([a, b, 2 * x / n_in, 2 * y / n_in])
    return torch.tensor(rows)


def right_length(delta):
    """As the sine of half the difference of the ends, by way of complex numbers."""
    ends = torch.polar(torch.ones_like(delta), delta)
    return (ends - ends.conj()).imag / (2 * delta)


def right_dimming(V, T):
    return torch.stack([(v * t).sum() / (v * v).sum() for v, t in zip(V, T)])


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


def places_on_the_grid(maps):
    """As a reader has it, who does not think of float types."""
    return maps.flatten(2).softmax(-1) @ base_grid(maps.shape[2:]).flatten(0, 1)


def swapped_places(maps):
    return right_places(maps).flip(-1)


def places_of_corners(maps):
    """As if ±1 were the centres of the outermost pixels."""
    sizes = torch.tensor([maps.shape[3], maps.shape[2]])
    return right_places(maps) * sizes / (sizes - 1)


RIGHT = [
    (checks.inverse_of_a_distortion, right_undoing),
    (checks.length_of_a_mean, right_length),
    (checks.best_dimming, right_dimming),
    (checks.expected_location, right_places),
    (checks.expected_location, places_on_the_grid),
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
    (checks.length_of_a_mean, lambda delta: delta.cos()),
    (checks.length_of_a_mean, lambda delta: 2 * delta.sin() / delta),
    (checks.length_of_a_mean, lambda delta: delta.sin() / 2),
    (checks.length_of_a_mean, lambda delta: (delta / 2).sin() / (delta / 2)),
    (checks.length_of_a_mean, lambda delta: 1 - delta / math.pi),
    (checks.best_dimming, lambda V, T: (V * T).sum() / V.square().sum()),
    (checks.best_dimming, lambda V, T: right_dimming(T, V)),
    (checks.best_dimming, lambda V, T: T.mean((1, 2, 3)) / V.mean((1, 2, 3))),
    (checks.best_dimming, lambda V, T: 2 * right_dimming(V, T)),
    (checks.best_dimming, lambda V, T: (V * T).mean(dim=(1, 2, 3))),
    (checks.expected_location, swapped_places),
    (checks.expected_location, places_of_corners),
]
CHOICES = [
    (checks.output_of_zero_parameters, "one grey, the middle of the picture"),
]


class TestAnswers(Answers):
    right, wrong, choices = RIGHT, WRONG, CHOICES
