"""Checks of the chapter on training: what a transformer does and is trained on."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Generator, Tensor, nn

from stn_tutorial.coordinates import rotation
from stn_tutorial.course.checks._grading import (
    Cases,
    choose,
    compare,
    is_open,
    nearest,
)
from stn_tutorial.data.digits import DigitSet, load_digits
from stn_tutorial.data.distortions import distort
from stn_tutorial.experiments.models import FCN, seeded
from stn_tutorial.families import Affine
from stn_tutorial.sampling import sample

__all__ = [
    "composed_thetas",
    "distorted_once",
    "rotated_too_far",
    "sampled_with_the_truth",
    "scale_of",
]


def sampled_with_the_truth(answer: str) -> None:
    """Check how a digit comes out, sampled with the distortion's own theta."""
    digits = load_digits("test", "embedded").images[:50]
    distorted = distort(digits, "RTS", torch.Generator().manual_seed(1))
    theta, size = distorted.truth["theta"], distorted.images.shape[-2:]
    output = sample(distorted.images, Affine().grid(theta, size))
    twice = Affine().compose(theta, theta)
    candidates = {
        "undone": sample(digits, Affine().grid(Affine().identity()[None], size)),
        "as they came": distorted.images,
        "distorted twice": sample(digits, Affine().grid(twice, size)),
    }
    hint = "the picture was made by sampling the digit with this very theta."
    choose(answer, nearest(output, candidates), candidates, hint)


def scale_of(attempt: Callable[[Tensor], Tensor]) -> None:
    """Check ``attempt(theta)``: the scale of the closest similarity, (N, 6) -> (N,)."""

    def cases(draw: Generator) -> Cases:
        yield (torch.tensor([[2.0, 0.0, 0.3, 0.0, 2.0, -0.4]]),)
        yield (torch.tensor([[-1.0, 0.0, 0.0, 0.0, 1.0, 0.0]]),)
        for n in (1, 3, 50):
            yield (torch.randn(n, 6, generator=draw),)

    def reference(theta: Tensor) -> Tensor:
        linear = theta.view(-1, 2, 3)[..., :2].double()
        stretches = torch.linalg.svdvals(linear)  # along the two axes of the ellipse
        signed = stretches[:, 0] + linear.det().sign() * stretches[:, 1]
        return (signed / 2).to(theta.dtype)

    hint = (
        "h at its best angle is the length of a vector; half of it is the scale. "
        "Use only the linear part: a11, a12, a21 and a22."
    )
    compare(attempt, reference, cases, hint)


def distorted_once(answer: str) -> None:
    """Check what distorting all training digits once and for all does to the errors.

    A fully connected network learns 1,000 distorted digits for thirty epochs, twice.
    """
    options = (
        "both lower",
        "training lower, test higher",
        "training higher, test lower",
    )
    hint = "how many different pictures does the network see in thirty epochs?"
    if is_open(answer):
        choose(answer, None, options, hint)
        return
    (train_once, test_once), (train_afresh, test_afresh) = _errors_once_and_afresh()
    if test_once < test_afresh:
        right = options[0] if train_once < train_afresh else options[2]
    else:
        right = options[1] if train_once < train_afresh else "both higher"
    choose(answer, right, options, hint)
    print(f"once: training error {train_once:.0f}%, test error {test_once:.0f}%")
    print(f"afresh: training error {train_afresh:.0f}%, test error {test_afresh:.0f}%")


def rotated_too_far(answer: str, model: nn.Module, digits: DigitSet) -> None:
    """Check a model's error on digits rotated by 45° to 90°, against within ±45°.

    Args:
        answer: the reader's.
        model: trained on digits rotated within ±45° in 42×42 pixels, on the CPU.
        digits: to test it on; the first 1,000, rotated in the middle of the picture.
    """
    images, labels = digits.images[:1000], digits.labels[:1000]
    images = nn.functional.pad(images, (7, 7, 7, 7))
    draw = torch.Generator().manual_seed(3)
    within = (torch.rand(len(labels), generator=draw) - 0.5) * math.pi / 2
    beyond = torch.where(within > 0, within + math.pi / 4, within - math.pi / 4)
    near, far = (_error(model, _rotate(images, a), labels) for a in (within, beyond))
    right = "about the same"
    if far > 2 * near:
        right = "more than twice as high"
    elif far < 0.8 * near:
        right = "lower"
    hint = "rotate the test digits farther and count: checks use the model you pass."
    choose(answer, right, ("about the same", "lower", "more than twice as high"), hint)
    if not is_open(answer):
        print(f"within 45°: {near:.1f}%, beyond: {far:.1f}%")


def composed_thetas(attempt: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Check ``attempt(first, second)``: one theta for two warps in a row.

    Each is (N, 2, 3), and `first` is sampled first.
    """

    def cases(draw: Generator) -> Cases:
        for n in (1, 2, 20):
            yield tuple(torch.randn(2, n, 2, 3, generator=draw, dtype=torch.float64))

    def reference(first: Tensor, second: Tensor) -> Tensor:
        # Where three points of the last output end up in the first input.
        points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).to(first)
        for theta in (second, first):
            points = points @ theta[..., :2].mT + theta[..., 2][:, None]
        origin, right, down = points.unbind(1)
        return torch.stack([right - origin, down - origin, origin], dim=-1)

    hint = (
        "a pixel of the last output asks the second theta first. Append the row "
        "(0, 0, 1), multiply in that order, and keep two rows."
    )
    compare(attempt, reference, cases, hint)


def _error(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """How many images a model misclassifies, in percent."""
    model.eval()
    with torch.inference_mode():
        return 100 * (model(images).argmax(dim=1) != labels).double().mean().item()


def _rotate(images: Tensor, angle: Tensor) -> Tensor:
    """Rotate images clockwise on the screen, one angle each."""
    theta = rotation(-angle)  # of the grid, counterclockwise
    return sample(images, Affine().grid(theta, images.shape[-2:]))


@lru_cache(maxsize=1)
def _errors_once_and_afresh() -> tuple[tuple[float, float], tuple[float, float]]:
    """(training, test) error in percent: distorted once, and distorted afresh."""
    digits = load_digits("train", "embedded").first(1000)
    test = load_digits("test", "embedded")
    unseen = distort(test.images, "RTS", torch.Generator().manual_seed(5)).images
    errors = []
    for once in (True, False):
        draw = torch.Generator().manual_seed(6)
        with seeded(7):
            model = FCN((1, 42, 42))
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        images = distort(digits.images, "RTS", draw).images
        for _ in range(30):
            if not once:
                images = distort(digits.images, "RTS", draw).images
            for batch in torch.randperm(len(digits), generator=draw).split(50):
                scores = model(images[batch])
                loss = nn.functional.cross_entropy(scores, digits.labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        training_error = _error(model, images, digits.labels)
        errors.append((training_error, _error(model, unseen, test.labels)))
    return errors[0], errors[1]
