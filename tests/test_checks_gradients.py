"""The checks of `gradients` accept what is right and reject what readers get wrong."""

from __future__ import annotations

import itertools
import math

import torch
from answers import Answers

from stn_tutorial.course.checks import gradients as checks


def right_scatter(g, index, weights, n_pixels):
    image = torch.zeros(n_pixels, dtype=g.dtype)
    for gradient, pixels, shares in zip(g, index, weights, strict=True):
        for pixel, share in zip(pixels, shares, strict=True):
            image[pixel] += gradient * share
    return image


def assigning_scatter(g, index, weights, n_pixels):
    image = torch.zeros(n_pixels, dtype=g.dtype)
    image[index.flatten()] += (g[:, None] * weights).flatten()
    return image


def right_angle(grad_grid, angle, base):
    gradients = []
    for arrows, turn in zip(grad_grid, angle.tolist(), strict=True):
        c, s = math.cos(turn), math.sin(turn)
        derivative = torch.tensor([[-s, -c], [c, -s]], dtype=base.dtype)
        gradients.append((arrows * (base @ derivative.T)).sum())
    return torch.stack(gradients)


def right_twist(image, theta, place, reach=(0.5, 0.5)):
    """Number by number, from the definition of a mixed derivative."""
    height, width = image.shape
    factors = [*place.tolist(), 1.0]
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
    (checks.scattered, right_scatter),
    (checks.angle_gradient, right_angle),
    (checks.hessian_by_theta, right_twist),
]
WRONG = [
    (checks.scattered, assigning_scatter),
    (checks.scattered, lambda g, i, w, n: right_scatter(g, i, torch.ones_like(w), n)),
    (checks.scattered, lambda g, i, w, n: right_scatter(g, i, w, n)[:-1]),
    (checks.angle_gradient, lambda g, a, b: right_angle(g, -a, b)),
    (checks.angle_gradient, lambda g, a, b: right_angle(g, a, b).sum()),
    (checks.angle_gradient, lambda g, a, b: right_angle(g, a + math.pi / 2, b)),
    (
        checks.hessian_by_theta,
        lambda image, theta, place: -right_twist(image, theta, place),
    ),
    (
        checks.hessian_by_theta,
        lambda image, theta, place: right_twist(image, theta, place)[:3],
    ),
    (checks.hessian_by_theta, lambda *case: right_twist(*case, reach=(1, 1))),
    (checks.hessian_by_theta, lambda *case: right_twist(*case).triu()),
]
CHOICES = [
    (checks.gradient_through_nearest, "zero"),
    (checks.gradient_of_a_constant, "shifted, zeros"),
    (checks.gradient_outside, "reflection"),
]


class TestAnswers(Answers):
    right, wrong, choices = RIGHT, WRONG, CHOICES
