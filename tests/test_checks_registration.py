"""The checks of `registration` accept what is right and reject readers' mistakes."""

from __future__ import annotations

import itertools

import pytest
import torch
from answers import Answers

from stn_tutorial.course.checks import registration as checks


def right_slopes(before, here, after, d_before, d_after):
    return torch.stack([here - before + d_before, after - here - d_after])


def right_step(e, J):
    return -torch.linalg.pinv(J) @ e


def right_twist(image, theta, location, reach=(0.5, 0.5)):
    """Number by number, from the definition of a mixed derivative."""
    height, width = image.shape
    factors = [*location.tolist(), 1.0]
    x, y = (sum(t * f for t, f in zip(row, factors, strict=True)) for row in theta)
    j = int((x * width + width - 1) / 2)
    i = int((y * height + height - 1) / 2)
    mixed = image[i, j] - image[i, j + 1] - image[i + 1, j] + image[i + 1, j + 1]
    hessian = torch.zeros(6, 6, dtype=image.dtype)
    for m, n in itertools.product(range(3), range(3)):
        entry = mixed * factors[m] * factors[n] * reach[0] * width * reach[1] * height
        hessian[m, 3 + n] = hessian[3 + n, m] = entry
    return hessian


RIGHT = [
    (checks.slopes_at_a_pixel, right_slopes),
    (checks.gauss_newton_step, right_step),
    (checks.hessian_by_theta, right_twist),
]
WRONG = [
    (checks.slopes_at_a_pixel, lambda *numbers: right_slopes(*numbers).flip(0)),
    (
        checks.slopes_at_a_pixel,
        lambda k, m, n, c, d: torch.stack([m - k - c, n - m + d]),
    ),
    (checks.slopes_at_a_pixel, lambda k, m, n, c, d: torch.stack([m - k, n - m])),
    (checks.gauss_newton_step, lambda e, J: -right_step(e, J)),
    (checks.gauss_newton_step, lambda e, J: -J.T @ e),
    (checks.gauss_newton_step, lambda e, J: right_step(e, J)[:, None]),
    (
        checks.hessian_by_theta,
        lambda image, theta, location: -right_twist(image, theta, location),
    ),
    (
        checks.hessian_by_theta,
        lambda image, theta, location: right_twist(image, theta, location)[:3],
    ),
    (checks.hessian_by_theta, lambda *case: right_twist(*case, reach=(1, 1))),
    (checks.hessian_by_theta, lambda *case: right_twist(*case).triu()),
]
CHOICES = [
    (checks.step_on_stripes, "no step: the matrix is singular"),
    (checks.views_change_places, "its inverse"),
]


class TestAnswers(Answers):
    right, wrong, choices = RIGHT, WRONG, CHOICES


@pytest.mark.parametrize("seed", range(5))
def test_slopes_at_a_pixel_are_those_of_a_mixture_of_pictures(seed):
    draw = torch.Generator().manual_seed(seed)
    before, here, after, fixed = torch.rand(4, 20, generator=draw, dtype=torch.float64)

    def loss(picture):
        return ((picture - fixed) ** 2).mean()

    step = 1e-6
    left = loss(here) - loss((1 - step) * here + step * before)
    right = loss((1 - step) * here + step * after) - loss(here)
    steps = [((b - a) ** 2).mean() for a, b in ((before, here), (here, after))]
    got = right_slopes(loss(before), loss(here), loss(after), *steps)
    torch.testing.assert_close(
        got, torch.stack([left, right]) / step, atol=1e-4, rtol=0
    )
