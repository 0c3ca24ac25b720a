"""The checks of `twice` accept what is right and reject common mistakes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from answers import Answers

from stn_tutorial.course.checks import Wrong, twice


def right_share(k):
    """From many angles, whose mean is subtracted."""
    drawn = torch.randn(200_000, k, generator=torch.Generator().manual_seed(0)).double()
    left = drawn - drawn.mean(dim=1, keepdim=True)
    measured = left.square().mean() / drawn.square().mean()
    # The answer is a fraction of k.
    return (k * measured).round() / k


def right_heads(x, thetas):
    """One by one, with PyTorch's own functions."""
    n, c, height, width = x.shape
    out = x.new_empty(n, thetas.shape[1] * c, height, width)
    for i in range(n):
        for k in range(thetas.shape[1]):
            theta = thetas[i, k].view(1, 2, 3)
            grid = F.affine_grid(theta, (1, c, height, width), align_corners=False)
            warped = F.grid_sample(x[i : i + 1], grid, align_corners=False)
            out[i, k * c : (k + 1) * c] = warped[0]
    return out


def channel_by_channel(x, thetas):
    """The first channel by every theta, then the second."""
    n, c, height, width = x.shape
    heads = right_heads(x, thetas).view(n, thetas.shape[1], c, height, width)
    return heads.transpose(1, 2).flatten(1, 2)


def right_sequence(p):
    """From many strings, whose digits are wrong at random."""
    draw = torch.Generator().manual_seed(0)
    wrong = torch.rand(400_000, 5, generator=draw) < p
    lengths = torch.arange(400_000) % 5 + 1
    counted = (wrong & (torch.arange(5) < lengths[:, None])).any(dim=1)
    measured = counted.double().mean()
    exact = torch.tensor(1 - sum((1 - p) ** n for n in range(1, 6)) / 5)
    assert abs(measured - exact) < 0.005
    return exact


class TestAnswers(Answers):
    right = [
        (twice.share_left, right_share),
        (twice.side_by_side, right_heads),
        (twice.sequence_error, right_sequence),
    ]
    wrong = [
        (twice.share_left, lambda k: 1 / k),
        (twice.share_left, lambda k: 0.5),  # right for two alone
        (twice.side_by_side, channel_by_channel),
        (twice.side_by_side, lambda x, thetas: x.repeat(1, thetas.shape[1], 1, 1)),
        (twice.sequence_error, lambda p: 1 - (1 - p) ** 3),  # of the mean length
        (twice.sequence_error, lambda p: 3 * p),
        (twice.sequence_error, lambda p: sum((1 - p) ** n for n in range(1, 6)) / 5),
    ]
    choices = [
        (twice.twin_heads, "nothing"),
        (twice.two_edges, "down"),
        (twice.round_filter, "nothing is left"),
    ]


@pytest.mark.parametrize("check", [twice.share_left, twice.sequence_error])
def test_a_plain_number_is_judged_under_the_readers_own_name(check):
    with pytest.raises(Wrong, match="^for mine = "):
        check(lambda mine: 7)
