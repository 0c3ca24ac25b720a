"""A localization network and its teachers: parameters, pictures, or labels alone.

The networks, the digits and the rates are those of *Predict the warp*, and the training
has 3,000 steps, where the chapter has time for a few hundred.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.distortions import distort
from stn_tutorial.experiments.cells import NamedCell
from stn_tutorial.experiments.classification import USED, used
from stn_tutorial.experiments.environment import environment
from stn_tutorial.experiments.models import seeded
from stn_tutorial.experiments.recording import rounded
from stn_tutorial.experiments.results import ENVIRONMENT, Seed, check_cell
from stn_tutorial.families import Similarity
from stn_tutorial.localization import FullyConnectedLocalization
from stn_tutorial.sampling import sample

__all__ = ["STEPS", "TEACHERS", "Taught", "teachers"]

#: What the loss compares, which is the parameters with the true ones, the output with
#: the upright digit, or a frozen classifier's answer to the output with the label.
TEACHERS = ("parameters", "pictures", "labels")
#: How long a run is, and of how many test pictures all four parameters are kept.
STEPS, KEPT = 3000, 12
_SIMILARITY = Similarity(aspect=1)


@dataclass(frozen=True)
class Taught(NamedCell):
    """A recorded run.

    >>> Taught("labels", start="default").name
    'labels-default-0'

    Attributes:
        teacher: one of `TEACHERS`.
        start: of the last layer: the identity, or PyTorch's default.
        seed: of the weights and the batches.

    Raises:
        TypeError: if an attribute is of another type.
        ValueError: if there is no such teacher, or start.
    """

    RESULT: ClassVar[dict[str, Any]] = {
        "recipe": {"optimizer": str, "lr": float, "batch_size": int, "steps": int},
        "data": USED,
        "off_deg": [float, ...],
        "params": [[float], ...],
        "loss": float,
        "accuracy": float,
        "upright_accuracy": float,
        "seconds": float,
        **ENVIRONMENT,
    }

    teacher: str
    start: str = "identity"
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, teacher=TEACHERS, start=("identity", "default"))

    def measure(
        self, checkpoints: Path, *, progress: bool = False, quick: bool = False
    ) -> dict[str, Any]:
        """Run it, from the start.

        Args:
            checkpoints: not used.
            progress: not used.
            quick: a miniature: five steps on few digits.

        Returns:
            The recipe; of the test pictures the errors of their angles, from -180 to
            180 degrees, and the parameters of the first; the mean loss of the last
            hundred steps; the percentage of the outputs, and of the upright digits,
            that the frozen classifier gets right.
        """
        begin = time.perf_counter()
        digits = load_digits("train", "embedded").first(40 if quick else 1400)
        test = load_digits("test", "embedded").first(20 if quick else 360)
        steps = 5 if quick else STEPS
        pictures, target = _rotated(digits.images.repeat(4, 1, 1, 1), 0)
        pictures_test, target_test = _rotated(test.images, 1)
        upright, labels = digits.images.repeat(4, 1, 1, 1), digits.labels.repeat(4)
        classifier = _classifier(digits.images, digits.labels, 5 if quick else 200)
        losses = []

        def loss_of(params: Tensor, k: Tensor) -> Tensor:
            if self.teacher == "parameters":
                loss = F.mse_loss(params, target[k])
            else:
                output = sample(pictures[k], _SIMILARITY.grid(params, (28, 28)))
                loss = (
                    F.mse_loss(output, upright[k])
                    if self.teacher == "pictures"
                    else F.cross_entropy(classifier(output), labels[k])
                )
            losses.append(loss.item())
            return loss

        with seeded(self.seed):
            net = FullyConnectedLocalization((1, 28, 28), _SIMILARITY)
            if self.start == "default":
                net[-1].reset_parameters()
        _fit(net, pictures, loss_of, steps, self.seed)
        with torch.inference_mode():
            params = net(pictures_test)
            output = sample(pictures_test, _SIMILARITY.grid(params, (28, 28)))
        off = torch.rad2deg(_angle(params) - _angle(target_test))
        return {
            "recipe": {"optimizer": "adam", "lr": 5e-3, "batch_size": 128}
            | {"steps": steps},
            "data": used(digits, test),
            "off_deg": rounded((off + 180) % 360 - 180, 2),
            "params": rounded(params[:KEPT], 4),
            "loss": sum(losses[-100:]) / len(losses[-100:]),
            "accuracy": _accuracy(classifier, output, test.labels),
            "upright_accuracy": _accuracy(classifier, test.images, test.labels),
            "seconds": time.perf_counter() - begin,
            **environment(torch.device("cpu")),
        }


def teachers(*, seeds: Iterable[int] = (0, 1, 2)) -> list[Taught]:
    """Return the recorded runs.

    >>> [each.name for each in teachers(seeds=[0])][:2]
    ['labels-default-0', 'parameters-identity-0']

    Args:
        seeds: of the weights and the batches; the random start has seed 0 alone.

    Returns:
        One run of the labels from PyTorch's default, and every teacher's runs from the
        identity.
    """
    every = [Taught(teacher, seed=seed) for seed, teacher in product(seeds, TEACHERS)]
    return [Taught("labels", "default"), *every]


def _rotated(upright: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Rotated digits, and the parameters that a transformer undoes this with."""
    made = distort(upright, "R", torch.Generator().manual_seed(seed))
    angle = made.truth["angle"]
    zero = torch.zeros_like(angle)
    return made.images, torch.stack([angle.cos(), angle.sin(), zero, zero], dim=1)


def _angle(params: Tensor) -> Tensor:
    return torch.atan2(params[:, 1], params[:, 0])


def _fit(
    net: nn.Module,
    images: Tensor,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    steps: int,
    seed: int,
) -> None:
    """Train a network, as the chapter does."""
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        batch = torch.randint(len(images), (128,), generator=draw)
        loss = loss_of(net(images[batch]), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _classifier(images: Tensor, labels: Tensor, steps: int) -> nn.Module:
    """The chapter's classifier, which has learned upright digits and is frozen."""
    with seeded(0):
        classifier = nn.Sequential(
            *(nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.ReLU()),
            *(nn.Conv2d(16, 32, 5, stride=2, padding=2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, 10)),
        )
    loss_of = lambda scores, k: F.cross_entropy(scores, labels[k])  # noqa: E731
    _fit(classifier, images, loss_of, steps, seed=0)
    return classifier.requires_grad_(False)


def _accuracy(classifier: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.inference_mode():
        right = classifier(images).argmax(dim=1) == labels
    return 100 * right.float().mean().item()
