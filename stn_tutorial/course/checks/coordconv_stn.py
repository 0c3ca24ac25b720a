"""Checks of the chapter on CoordConv in a transformer: poses, pairs, conclusions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from stn_tutorial.course.checks._grading import Cases, choose, compare
from stn_tutorial.data.embedded import embedded_digits
from stn_tutorial.experiments.models import seeded
from stn_tutorial.families import Affine
from stn_tutorial.localization import ModernLocalization

__all__ = ["all_rotated_alike", "paired_interval", "pose_of", "shifted_by_a_stride"]


def pose_of(attempt: Callable[[Tensor], Tensor]) -> None:
    """Check ``attempt(theta)``: angle and scale, (N, 2, 3) -> (N, 2)."""

    def reference(theta: Tensor) -> Tensor:
        (a, b), (d, e) = theta[:, :, :2].permute(1, 2, 0)
        angle = torch.atan2(d - b, a + e)
        return torch.stack([angle, (a * e - b * d).abs().sqrt()], dim=1)

    def cases(draw: Generator) -> Cases:
        quarter = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
        yield (quarter,)
        yield (2 * quarter,)
        start = Affine().identity().view(1, 2, 3)
        for count in (1, 5):
            yield (start + 0.5 * torch.randn(count, 2, 3, generator=draw),)

    hint = (
        "the nearest similarity has the angle atan2(d - b, a + e) of the matrix "
        "[[a, b], [d, e]]; areas grow by |a e - b d|, lengths by its root."
    )
    compare(attempt, reference, cases, hint)


def paired_interval(attempt: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Check ``attempt(errors, others, t)``: the paired interval, low and high end."""

    def reference(errors: Tensor, others: Tensor, t: float) -> Tensor:
        change = errors - others
        half = t * change.std() / len(change) ** 0.5
        return torch.stack([change.mean() - half, change.mean() + half])

    def cases(draw: Generator) -> Cases:
        for count, t in ((5, 2.776), (3, 4.303), (10, 2.262)):
            seed = 2 + torch.rand(count, generator=draw)
            yield seed, seed + 0.1 * torch.randn(count, generator=draw), t

    hint = (
        "take differences first, seed by seed; their standard deviation (divided "
        "by n - 1 inside, as Tensor.std has it) over the root of n, times t."
    )
    compare(attempt, reference, cases, hint)


def all_rotated_alike(answer: str) -> None:
    """Check what a common rotation of all digits does to the spread of their poses."""
    # Imported here: it brings SciPy and Accelerate, which no other check needs.
    from stn_tutorial.experiments.coordconv_stn import pose_spread

    labels = embedded_digits()[1][:200]
    draw = torch.Generator().manual_seed(2)
    params = Affine().identity() + 0.2 * torch.randn(200, 6, generator=draw)
    still = Affine().identity().view(2, 3).expand(200, 2, 3)
    rotation = torch.tensor([[0.8, 0.6, 0.0, -0.6, 0.8, 0.0]]).expand(200, 6)
    before, after = (
        pose_spread(each, still, labels)["angle_deg"]
        for each in (params, Affine().compose(rotation, params))
    )
    right = "it stays"
    if abs(after / before - 1) > 0.02:
        right = "it grows" if after > before else "it shrinks"
    hint = "the spread is taken about the mean of a class, which is rotated as well."
    choose(answer, right, ("it grows", "it stays", "it shrinks"), hint)


def shifted_by_a_stride(answer: str) -> None:
    """Check what a pooled localization network makes of a shift by its stride."""
    with seeded(3):
        network = ModernLocalization((1, 64, 64), Affine(), pooled=True)
        torch.nn.init.normal_(network[-1].weight)
    pictures = torch.zeros(2, 1, 64, 64)
    pictures[0, 0, 20:26, 20:24] = pictures[1, 0, 20:26, 36:40] = 1
    with torch.no_grad():
        here, there = network.eval()(pictures)
    same = torch.allclose(here, there, atol=1e-5)
    hint = (
        "three convolutions with a stride of 2 move their features by 2 when the "
        "picture moves by 16. What does the maximum over all pixels notice of it?"
    )
    options = ("the same theta", "a theta that follows", "the identity")
    choose(answer, options[0] if same else options[1], options, hint)
