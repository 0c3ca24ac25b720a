"""The checks of `gradients` accept what is right and reject what readers get wrong."""

from __future__ import annotations

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
    for arrows, alpha in zip(grad_grid, angle.tolist(), strict=True):
        c, s = math.cos(alpha), math.sin(alpha)
        derivative = torch.tensor([[-s, -c], [c, -s]], dtype=base.dtype)
        gradients.append((arrows * (base @ derivative.T)).sum())
    return torch.stack(gradients)


RIGHT = [
    (checks.scattered, right_scatter),
    (checks.angle_gradient, right_angle),
]
WRONG = [
    (checks.scattered, assigning_scatter),
    (checks.scattered, lambda g, i, w, n: right_scatter(g, i, torch.ones_like(w), n)),
    (checks.scattered, lambda g, i, w, n: right_scatter(g, i, w, n)[:-1]),
    (checks.angle_gradient, lambda g, a, b: right_angle(g, -a, b)),
    (checks.angle_gradient, lambda g, a, b: right_angle(g, a, b).sum()),
    (checks.angle_gradient, lambda g, a, b: right_angle(g, a + math.pi / 2, b)),
]
CHOICES = [
    (checks.gradient_through_nearest, "zero"),
    (checks.gradient_of_a_constant, "shifted, zeros"),
    (checks.kinks_of_a_ramp, "no kinks inside"),
]


class TestAnswers(Answers):
    right, wrong, choices = RIGHT, WRONG, CHOICES
