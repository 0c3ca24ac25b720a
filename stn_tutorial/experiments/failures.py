"""Transformers that fail, recorded with a monitor, and a healthy twin of each.

The networks, the digits and the faults are those of *When transformers fail*. A
healthy twin is the same run, with the same seed, without the fault.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from stn_tutorial.data.digits import DigitSet, load_digits
from stn_tutorial.data.distortions import DISTORTIONS, distort
from stn_tutorial.diagnostics import Monitor
from stn_tutorial.experiments.classification import USED, used
from stn_tutorial.experiments.models import FCN, TransformedClassifier, seeded
from stn_tutorial.experiments.recording import at_steps, packed, rounded
from stn_tutorial.experiments.results import ENVIRONMENT, Seed, check_cell
from stn_tutorial.experiments.training import Recipe, Run, train
from stn_tutorial.families import Affine
from stn_tutorial.localization import FullyConnectedLocalization
from stn_tutorial.transformer import SpatialTransformer

__all__ = [
    "EVERY",
    "FAULTS",
    "NORMALIZED",
    "RECIPE",
    "ROW",
    "Failure",
    "Fault",
    "brief",
    "failures",
    "given",
    "learn",
    "network",
]

#: Mean and standard deviation by which normalized pictures are made.
NORMALIZED = (0.1307, 0.3081)
#: How many steps lie between two looks, and how many digits' frames are kept.
EVERY, KEPT = 10, 6
#: How the networks are trained, but for their rates.
RECIPE = Recipe(
    epochs=17, batch_size=128, optimizer="adam", schedule="constant", weight_decay=0
)


@dataclass(frozen=True)
class Fault:
    """What is done to the digits, and what is wrong in a run, or in its twin.

    Attributes:
        distortion: of the digits.
        lr: of the classifier.
        ratio: the localization network's rate over the classifier's.
        identity: whether the localization network starts at the identity.
        normalized: whether the pictures are normalized.
        filled: whether the padding is the background's value, and not zero.
        knows: what the classifier has been trained on before, a distortion's name.
    """

    distortion: str = "R"
    lr: float = 3e-3
    ratio: float = 1.0
    identity: bool = True
    normalized: bool = False
    filled: bool = True
    knows: str = ""


_FRAMED = {"distortion": "RTS", "lr": 4e-3, "normalized": True}
#: By name, a run with the fault and its healthy twin.
FAULTS = {
    "start": (Fault(lr=1e-2, identity=False), Fault(lr=1e-2)),
    "step": (Fault(lr=3e-2), Fault(lr=3e-2, ratio=0.1)),
    "frame": (Fault(**_FRAMED, filled=False), Fault(**_FRAMED)),
    "idle": (Fault(lr=1e-3, knows="R"), Fault(lr=1e-3, knows="none")),
}
#: What is kept of a row of a `stn_tutorial.diagnostics.Monitor`, and the step.
ROW = {
    "step": int,
    "loss": float,
    "outside": float,
    "scale": float,
    "black": float,
    "spread": float,
    "moved": float,
    "localization": float,
}


@dataclass(frozen=True)
class Failure:
    """A recorded run.

    >>> Failure("step", healthy=True).name
    'step-healthy-0'

    Attributes:
        fault: one of `FAULTS`.
        healthy: whether it is the twin, without the fault.
        seed: of weights, order and distortions.

    Raises:
        TypeError: if an attribute is of another type.
        ValueError: if there is no such fault.
    """

    RESULT: ClassVar[dict[str, Any]] = {
        "recipe": Recipe,
        "data": USED,
        "test_error": float,
        "rows": [{**ROW, "theta": [[float]]}, ...],
        "size": int,
        "pictures": [str],
        "fill": float,
        "seconds": float,
        **ENVIRONMENT,
    }

    fault: str
    healthy: bool = False
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, fault=FAULTS)

    @property
    def name(self) -> str:
        """The name of the run's file, such as ``step-healthy-0``."""
        return f"{self.fault}{'-healthy' * self.healthy}-{self.seed}"

    def measure(
        self, checkpoints: Path, *, progress: bool = False, quick: bool = False
    ) -> dict[str, Any]:
        """Run it, from the start.

        Args:
            checkpoints: not used.
            progress: show a bar.
            quick: a miniature: two epochs on few digits.

        Returns:
            The recipe, the error in percent on the test digits, what a
            `stn_tutorial.diagnostics.Monitor` says of a hundred of these at every
            tenth step, and theta of the first of them; their pictures, one byte a
            pixel, in base64, and the value that stands outside of these.
        """
        fault = FAULTS[self.fault][self.healthy]
        digits = load_digits("train", "embedded").first(64 if quick else 1437)
        test = load_digits("test", "embedded")
        draw = torch.Generator().manual_seed(1)
        images = distort(test.images, fault.distortion, draw).images
        recipe = replace(
            RECIPE, lr=fault.lr, localization_lr_ratio=fault.ratio, seed=self.seed
        )
        if quick:
            recipe = replace(recipe, epochs=2, batch_size=16)
        model = network(fault, digits, recipe)
        tested = (given(images, fault), test.labels)
        monitor = Monitor(*(part[:100] for part in tested))
        thetas = []

        def look(step: int, model: nn.Module) -> None:
            monitor(step, model)
            with torch.inference_mode():
                device = next(model.parameters()).device
                theta = model.transformer.params(tested[0][:KEPT].to(device))
            thetas.append(rounded(theta.cpu(), 3))

        steps = recipe.epochs * -(-len(digits) // recipe.batch_size)
        at_steps(model, range(0, steps, EVERY), look)
        done = learn(fault, model, digits, tested, recipe, progress=progress)
        look(steps, done.model)
        return {
            "recipe": asdict(recipe),
            "data": used(digits, test),
            "test_error": done.test_error,
            "rows": [
                {**brief(row), "theta": theta}
                for row, theta in zip(monitor.rows, thetas)
            ],
            "size": images.shape[-1],
            "pictures": [packed(image) for image in images[:KEPT]],
            "fill": 0.0 if fault.filled else NORMALIZED[0],
            "seconds": done.result["seconds"],
            **done.environment,
        }


def failures() -> list[Failure]:
    """Return the recorded runs.

    >>> len(failures())
    8

    Returns:
        The runs, each beside its twin.
    """
    return [Failure(*each) for each in product(FAULTS, (False, True))]


def learn(
    fault: Fault,
    model: nn.Module,
    digits: DigitSet,
    tested: tuple[Tensor, Tensor],
    recipe: Recipe,
    *,
    progress: bool = False,
) -> Run:
    """Train a network on digits that are distorted and normalized as a fault says.

    Args:
        fault: says what the network gets.
        model: is changed in place.
        digits: upright, to learn from.
        tested: what the network gets in the test, and the labels.
        recipe: how it is trained.
        progress: show a bar.

    Returns:
        See `stn_tutorial.experiments.training.train`.
    """

    def distorted(images: Tensor, draw: torch.Generator) -> Tensor:
        return given(distort(images, fault.distortion, draw).images, fault)

    return train(model, digits, tested, recipe, distort=distorted, progress=progress)


def given(images: Tensor, fault: Fault) -> Tensor:
    """Return what the network gets of pictures.

    >>> given(torch.zeros(1, 1, 2, 2), Fault(normalized=True)).mean().round(decimals=2)
    tensor(-0.4200)

    Args:
        images: in [0, 1].
        fault: says whether they are normalized.

    Returns:
        The same images, or normalized ones.
    """
    mean, deviation = NORMALIZED
    return (images - mean) / deviation if fault.normalized else images


def network(fault: Fault, digits: DigitSet, recipe: Recipe) -> TransformedClassifier:
    """Return the network of *When transformers fail*, before it is trained.

    Args:
        fault: decides its start, its padding, and what its classifier knows.
        digits: what the classifier learns from, if it knows something: twice as long as
            the recipe says.
        recipe: how, and the seed of all weights.

    Returns:
        A fully connected localization network, an affine warp to 28×28, and a small
        fully connected classifier.
    """
    size = DISTORTIONS[fault.distortion].size
    background = -NORMALIZED[0] / NORMALIZED[1]
    fill = background if fault.normalized and fault.filled else 0.0
    with seeded(recipe.seed):
        look = FullyConnectedLocalization((1, *size), Affine())
        if not fault.identity:
            look[-1].reset_parameters()
        transformer = SpatialTransformer(look, Affine(), (28, 28), fill=fill)
        classifier = FCN((1, 28, 28), 64)
    if fault.knows:
        longer = replace(recipe, epochs=2 * recipe.epochs, lr=3e-3)
        known = lambda x, draw: distort(x, fault.knows, draw).images  # noqa: E731
        tested = digits.images[:100], digits.labels[:100]
        train(classifier, digits, tested, longer, distort=known)
    return TransformedClassifier(transformer, classifier)


def brief(row: dict[str, Any]) -> dict[str, float]:
    """Return what is kept of a row of a `stn_tutorial.diagnostics.Monitor`.

    Args:
        row: whose epoch is a step.

    Returns:
        The step, and the numbers with four digits.
    """
    names = [name for name in ROW if name != "step"]
    return {
        "step": row["epoch"],
        **{name: float(f"{row[name]:.4g}") for name in names},
    }
