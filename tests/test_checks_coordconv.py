"""The checks of `coordconv` accept what is right and reject common mistakes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from answers import Answers

from stn_tutorial.course.checks import coordconv, coordconv_stn


def right_radius(height, width):
    """By loops over the pixels."""
    out = torch.empty(height, width)
    for i in range(height):
        for j in range(width):
            x, y = (2 * j + 1) / width - 1, (2 * i + 1) / height - 1
            out[i, j] = (x * x + y * y) ** 0.5
    return out


def off_centre(height, width):
    """The popular layers' radius: about (0.5, 0.5) in a frame of [-1, 1]."""
    y, x = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
    return ((x - 0.5) ** 2 + (y[:, None] - 0.5) ** 2).sqrt()


def right_bias(layer, height, width):
    """A convolution of the coordinates alone, with PyTorch's own functions."""
    x = (2 * torch.arange(width) + 1) / width - 1
    y = (2 * torch.arange(height) + 1) / height - 1
    maps = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
    weight = layer.weight[:, -2:].detach()
    return F.conv2d(maps[None], weight, padding=layer.padding)[0]


def right_pose(theta):
    """From the polar decomposition."""
    u, s, v = torch.linalg.svd(theta[:, :, :2])
    turn = u @ v
    mirrored = torch.linalg.det(turn) < 0
    u = torch.where(mirrored[:, None, None], u * torch.tensor([1.0, -1.0]), u)
    turn = u @ v
    return torch.stack([torch.atan2(turn[:, 1, 0], turn[:, 0, 0]), s.prod(1) ** 0.5], 1)


def right_interval(errors, others, t):
    change = errors - others
    half = t * ((change - change.mean()).square().sum() / (len(change) - 1)) ** 0.5
    return change.mean() + torch.tensor([-1, 1]) * half / len(change) ** 0.5


class TestAnswers(Answers):
    right = [
        (coordconv.true_radius, right_radius),
        (coordconv.bias_of_coordinates, right_bias),
        (coordconv_stn.pose_of, right_pose),
        (coordconv_stn.paired_interval, right_interval),
    ]
    wrong = [
        (coordconv.true_radius, off_centre),
        (coordconv.true_radius, lambda h, w: right_radius(w, h)),
        (coordconv.true_radius, lambda h, w: right_radius(h, w) ** 2),
        (coordconv.bias_of_coordinates, lambda *a: right_bias(*a) + 1),
        (
            coordconv.bias_of_coordinates,
            lambda layer, h, w: right_bias(layer, h, w).flip(-1),
        ),
        (coordconv_stn.pose_of, lambda t: right_pose(t) * torch.tensor([-1.0, 1.0])),
        (coordconv_stn.pose_of, lambda t: right_pose(t) ** torch.tensor([1.0, 2.0])),
        (coordconv_stn.paired_interval, lambda a, b, t: right_interval(b, a, t)),
        (coordconv_stn.paired_interval, lambda a, b, t: right_interval(a, b, 1.96)),
        (
            coordconv_stn.paired_interval,
            lambda a, b, t: right_interval(a, b.mean().expand(len(b)), t),
        ),
    ]
    choices = [
        (coordconv.coordinates_averaged, "nothing"),
        (coordconv.twice_as_wide, "in column 64 or 65"),
        (coordconv_stn.all_rotated_alike, "it stays"),
        (coordconv_stn.shifted_by_a_stride, "the same theta"),
    ]
