"""The checks of chapter 3 accept what is right and reject what readers get wrong."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from stn_tutorial import checks


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
    (checks.twist, right_twist),
]
WRONG = [
    (checks.scattered, assigning_scatter),
    (checks.scattered, lambda g, i, w, n: right_scatter(g, i, torch.ones_like(w), n)),
    (checks.scattered, lambda g, i, w, n: right_scatter(g, i, w, n)[:-1]),
    (checks.angle_gradient, lambda g, a, b: right_angle(g, -a, b)),
    (checks.angle_gradient, lambda g, a, b: right_angle(g, a, b).sum()),
    (checks.angle_gradient, lambda g, a, b: right_angle(g, a + math.pi / 2, b)),
    (checks.twist, lambda image, theta, place: -right_twist(image, theta, place)),
    (checks.twist, lambda image, theta, place: right_twist(image, theta, place)[:3]),
    (checks.twist, lambda *case: right_twist(*case, reach=(1, 1))),
    (checks.twist, lambda *case: right_twist(*case).triu()),
]
CHOICES = [
    (checks.pull_through_nearest, "zero"),
    (checks.pull_of_a_constant, "shifted, zeros"),
    (checks.pull_outside, "reflection"),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT + CHOICES)
def test_right_answer_is_accepted(check, answer, capsys):
    check(answer)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(("check", "answer"), WRONG)
def test_wrong_function_is_rejected_with_a_hint(check, answer):
    with pytest.raises(checks.Wrong, match="Hint"):
        check(answer)


@pytest.mark.parametrize(("check", "right"), CHOICES)
def test_every_other_prediction_is_rejected(check, right, capsys):
    check(...)
    options = capsys.readouterr().out.split("'")[1::2]
    assert right in options
    others = [option for option in options if option != right]
    assert len(others) >= 2
    for other in [*others, "something else"]:
        with pytest.raises(checks.Wrong):
            check(other)


@pytest.mark.parametrize(("check", "_"), RIGHT)
def test_stub_is_not_solved_yet(check, _, capsys):
    check(lambda *arguments: None)
    assert capsys.readouterr().out.startswith("Not solved yet")
