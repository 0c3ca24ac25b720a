"""The checks of `training` accept what is right and reject what readers get wrong."""

from __future__ import annotations

import math

import pytest
import torch
from answers import Answers
from torch import nn
from torch.nn import functional

from stn_tutorial.course.checks import Wrong
from stn_tutorial.course.checks import training as checks
from stn_tutorial.data.digits import load_digits

TEST = load_digits("test", "embedded")


def rotated(images, angle):
    """All pictures rotated by one angle, with PyTorch alone."""
    c, s = math.cos(angle), math.sin(angle)
    theta = torch.tensor([[c, s, 0.0], [-s, c, 0.0]]).expand(len(images), 2, 3)
    grid = functional.affine_grid(theta, images.shape, align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


class KnowsAQuarterCircle(nn.Module):
    """Knows the test digits rotated by up to 45°, and names what is most alike."""

    def __init__(self):
        super().__init__()
        angles = [math.radians(degrees) for degrees in range(-45, 46, 15)]
        images = functional.pad(TEST.images, (7, 7, 7, 7))
        known = torch.cat([rotated(images, angle) for angle in angles]).flatten(1)
        self.known = functional.normalize(known, dim=1)
        self.labels = TEST.labels.repeat(len(angles))

    def forward(self, x):
        nearest = (x.flatten(1) @ self.known.T).argmax(dim=1)
        return functional.one_hot(self.labels[nearest], 10).float()


class KnowsNothing(nn.Module):
    def forward(self, x):
        return torch.zeros(len(x), 10)


def right_scale(theta):
    """The similarity whose matrix is closest, as a point (p, q) in the plane."""
    p, q = (theta[:, 0] + theta[:, 4]) / 2, (theta[:, 3] - theta[:, 1]) / 2
    return (p**2 + q**2).sqrt()


def right_row(first, second):
    rows = torch.tensor([0.0, 0.0, 1.0]).to(first).expand(len(first), 1, 3)
    a, b = (torch.cat([theta, rows], dim=1) for theta in (first, second))
    return torch.einsum("nij,njk->nik", a, b)[:, :2]


RIGHT = [(checks.scale_of, right_scale), (checks.composed_thetas, right_row)]
WRONG = [
    (checks.scale_of, lambda theta: theta[:, 0]),
    (checks.scale_of, lambda theta: 2 * right_scale(theta)),
    (
        checks.scale_of,
        lambda theta: theta.view(-1, 2, 3)[..., :2].det().abs().sqrt(),
    ),
    (checks.composed_thetas, lambda first, second: right_row(second, first)),
    (checks.composed_thetas, lambda first, second: first * second),
    (checks.composed_thetas, lambda first, second: first),
]
CHOICES = [
    (checks.sampled_with_the_truth, "distorted twice"),
    (checks.distorted_once, "training lower, test higher"),
]


class TestAnswers(Answers):
    right, wrong, choices = RIGHT, WRONG, CHOICES


@pytest.mark.parametrize(
    ("model", "right"),
    [
        (KnowsAQuarterCircle, "more than twice as high"),
        (KnowsNothing, "about the same"),
    ],
)
def test_rotating_too_far_is_judged_by_the_model_itself(model, right, capsys):
    model = model()
    checks.rotated_too_far(right, model, TEST)
    assert capsys.readouterr().out.startswith("Correct")
    for other in {"lower", "about the same", "more than twice as high"} - {right}:
        with pytest.raises(Wrong, match="Hint"):
            checks.rotated_too_far(other, model, TEST)


def test_rotating_too_far_is_open(capsys):
    checks.rotated_too_far(..., KnowsNothing(), TEST)
    assert capsys.readouterr().out.startswith("Not answered yet")
