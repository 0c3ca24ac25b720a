"""What came after the spatial transformer, compared at equal compute.

Eight ways to recognize digits that were distorted: none of them (a convolutional
network), the same with augmented pictures, three spatial transformers, deformable
convolutions, polar coordinates and rotated filters. All have as many parameters and as
many operations of training, counted and not timed: a method whose steps cost more takes
fewer. It is a comparison of small networks after short trainings, not of records.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from stn_tutorial._modules import evaluating
from stn_tutorial.coordinates import rotation, theta_from_pixels
from stn_tutorial.data.digits import DigitSet
from stn_tutorial.data.distortions import (
    DISTORTIONS,
    distorted_copies,
    fixed_test_set,
)
from stn_tutorial.experiments import classification
from stn_tutorial.experiments._options import Range, check_options
from stn_tutorial.experiments.cells import TrainedCell, known_names, miniature
from stn_tutorial.experiments.classification import about, digits_of, label_of
from stn_tutorial.experiments.models import (
    TransformedClassifier,
    count_parameters,
    seeded,
)
from stn_tutorial.experiments.results import Seed, check_cell
from stn_tutorial.experiments.successors import (
    CentroidLocalization,
    DeformableConv2d,
    Exponential,
    InverseCompositional,
    LogPolar,
    RotatedConv2d,
)
from stn_tutorial.experiments.training import (
    Recipe,
    Run,
    batches,
    classification_problem,
    error_rate,
    fit,
)
from stn_tutorial.families import Affine, Family
from stn_tutorial.localization import (
    ModernLocalization,
    flat_features,
    normalized_convolution,
)
from stn_tutorial.sampling import warp
from stn_tutorial.transformer import SpatialTransformer

__all__ = [
    "ANGLES_DEG",
    "BUDGET",
    "COMPUTE",
    "LONGER",
    "METHODS",
    "PHASES",
    "RATES",
    "SCALES",
    "TASKS",
    "Cell",
    "Config",
    "PolarCNN",
    "RotatedCNN",
    "augment",
    "cells",
    "make_model",
    "operations",
    "rotated_and_scaled",
    "run",
]

#: The methods that are compared. The first is the baseline.
METHODS = (
    "cnn",
    "augmented",
    "st",
    "ic-st",
    "exp-st",
    "deformable",
    "polar",
    "c8",
)
#: The distortions, and the size of what the transformers pass on.
TASKS = {"R": 28, "RTS": 28, "clutter": 30}
#: Training operations of every run, in 10⁹. Multiplications and additions count as one
#: each, and those of normalization, pooling and the like as none.
COMPUTE = {"R": 100.0, "RTS": 150.0, "clutter": 200.0}
#: About how many parameters every network has.
BUDGET = 20_000
#: Radius of the largest ring of polar coordinates, which the largest digit reaches.
REACH = {"R": 1.0, "RTS": 0.8, "clutter": 0.5}
#: By phase, the learning rate that is tried on held-out digits; the final runs, on the
#: test digits, have those of `RATES`, and so have longer ones, of `LONGER` times the
#: operations.
PHASES: dict[str, float | None] = {
    "rate-0.003": 0.003,
    "rate-0.01": 0.01,
    "rate-0.03": 0.03,
    "final": None,
    "longer": None,
}
#: How many times the operations of `COMPUTE` the longer runs have.
LONGER = 3.0
#: The rate of each method is that of three, tried on R, with the lowest error on
#: held-out digits.
RATES = dict.fromkeys(METHODS, 0.03) | {"deformable": 0.01, "c8": 0.01}
#: All but the rate is alike for all. An epoch is a fifth of the operations.
RECIPE = Recipe(epochs=5, batch_size=64, lr=0.01, localization_lr_ratio=0.3)
#: Rotations at which what was trained on R is tested as well. R has those within 90°.
ANGLES_DEG = tuple(range(-150, 181, 30))
#: Scales at which it is tested as well. R has one scale, 1.
SCALES = (0.5, 0.6, 0.7, 0.85, 1.15, 1.3, 1.5)


@dataclass(frozen=True)
class Config:
    """Everything that decides what a run gives.

    Attributes:
        method: one of `METHODS`.
        task: how the digits are distorted.
        budget: how many parameters the model may have, about.
        compute: operations of training, in 10⁹; see `COMPUTE`.
        data: mnist, or embedded.
        limit: how many training digits, each distorted once.
        tested: how many digits are tested.
        probed: how many of them are rotated and scaled by each of `ANGLES_DEG` and
            `SCALES`, after R; 0 is none.
        validation: hold out so many training digits, the last ones, and test on these.
        recipe: how to train; its epochs are parts of the operations.
    """

    method: Literal[
        "cnn", "augmented", "st", "ic-st", "exp-st", "deformable", "polar", "c8"
    ] = "st"
    task: Literal["R", "RTS", "clutter"] = "R"
    budget: Annotated[int, Range(least=1)] = BUDGET
    compute: Annotated[float, Range(above=0)] = 100.0
    data: Literal["mnist", "embedded"] = "mnist"
    limit: Annotated[int, Range(least=2)] = 5000
    tested: Annotated[int, Range(least=1)] = 5000
    probed: Annotated[int, Range(least=0)] = 0
    validation: Annotated[int, Range(least=0)] = 0
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        check_options(self)


#: What the result of a run looks like.
RESULT = {
    "config": Config,
    **classification.RESULT,
    "multiplications": int,
    "operations": {"a_picture": int, "training": int},
    "pictures": int,
    "processor_seconds": float,
    "unseen": {
        "rotations?": [{"angle_deg": float, "error": float}],
        "scales?": [{"scale": float, "error": float}],
    },
}


class RoundConv2d(nn.Conv2d):
    """A convolution of polar pictures: their columns come round, and rows end."""

    def __init__(self, n_in: int, n_out: int, size: int, *, stride: int = 1) -> None:
        super().__init__(n_in, n_out, size, stride, (size // 2, 0), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Args:
            x: ``(N, n_in, rings, directions)``.

        Returns:
            ``(N, n_out, rings', directions')``.
        """
        around = self.kernel_size[1] // 2
        return super().forward(F.pad(x, (around, around, 0, 0), mode="circular"))


def _features(
    n_in: int, width: int, layer: Callable[[int, int], Sequence[nn.Module]]
) -> nn.Sequential:
    """The convolutions that the methods share; the last two are made by `layer`."""
    return nn.Sequential(
        *normalized_convolution(n_in, 8, 5, stride=2),
        *normalized_convolution(8, 16, 3),
        nn.MaxPool2d(2),
        *layer(16, 32),
        *layer(32, width),
        nn.MaxPool2d(2),
    )


def _classifier(
    in_shape: Sequence[int], width: int, *, deformable: bool = False
) -> nn.Module:
    """Four convolutions and a layer that sees all locations."""

    def deform(n_in: int, n_out: int) -> list[nn.Module]:
        return [DeformableConv2d(n_in, n_out, 3), nn.BatchNorm2d(n_out), nn.ReLU()]

    layer = deform if deformable else partial(normalized_convolution, size=3)
    features = _features(in_shape[0], width, layer)
    n_features = flat_features(features, in_shape)
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(n_features, 10))


class PolarCNN(nn.Module):
    """The same convolutions on a polar picture, and the largest of all directions.

    >>> PolarCNN((24, 32), 16)(torch.rand(2, 1, 24, 32)).shape
    torch.Size([2, 10])

    Args:
        in_size: ``(rings, directions)``.
        width: channels of the last convolution.
    """

    def __init__(self, in_size: Sequence[int], width: int) -> None:
        super().__init__()
        features = _features(1, width, partial(normalized_convolution, size=3))
        self.features = nn.Sequential(
            *(
                _round(layer) if isinstance(layer, nn.Conv2d) else layer
                for layer in features
            )
        )
        n_features = flat_features(self.features, (1, *in_size)) // (in_size[1] // 8)
        self.last = nn.Linear(n_features, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores that a shift of the columns changes little.

        Args:
            x: ``(N, 1, rings, directions)``.

        Returns:
            ``(N, 10)``.
        """
        return self.last(self.features(x).amax(dim=3).flatten(1))


def _round(layer: nn.Conv2d) -> RoundConv2d:
    """A layer like another one, whose columns come round."""
    return RoundConv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size[0],
        stride=layer.stride[0],
    )


class RotatedCNN(nn.Module):
    """Three convolutions in eight orientations; the largest of all locations and those.

    The picture is halved in front. A weight is used at every location and in every
    orientation, so that as many weights take many times the operations; at half the
    size, they are affordable.

    >>> RotatedCNN(16)(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 10])

    Args:
        width: channels of the last convolution, each in all orientations.
        rotations: how many orientations, 4 or 8.
    """

    def __init__(self, width: int, *, rotations: int = 8) -> None:
        super().__init__()
        widths = (1, 4, 6, width)
        self.layers = nn.ModuleList(
            RotatedConv2d(n_in, n_out, 5, rotations=rotations, lifts=n_in == 1)
            for n_in, n_out in zip(widths, widths[1:])
        )
        # One mean and one variance for all orientations.
        self.norms = nn.ModuleList(nn.BatchNorm3d(n) for n in widths[1:])
        self.last = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores that a rotation of the picture changes little.

        Args:
            x: ``(N, 1, H, W)``.

        Returns:
            ``(N, 10)``.
        """
        x = F.avg_pool2d(x, 2)
        for index, (layer, norm) in enumerate(zip(self.layers, self.norms)):
            if index:
                # Of an odd size the middle must stay one, or quarters don't commute.
                odd = x.shape[-1] % 2
                size, pad = 2 + odd, odd
                x = F.max_pool3d(x, (1, size, size), (1, 2, 2), (0, pad, pad))
            x = norm(layer(x)).relu()
        return self.last(x.amax(dim=(2, 3, 4)))


def make_model(config: Config) -> nn.Module:
    """Build the untrained model of a configuration.

    >>> make_model(Config("polar", "RTS"))(torch.zeros(2, 1, 42, 42)).shape
    torch.Size([2, 10])

    Args:
        config: its recipe's seed decides the weights.

    Returns:
        The model, from pictures ``(N, 1, H, W)`` to scores ``(N, 10)``; its last
        convolution is as wide as brings it closest to the budget.
    """
    with torch.device("meta"):  # no memory, and no random numbers
        one, two = (count_parameters(_build(config, width)) for width in (1, 2))
    # The count is linear in the width of the last convolution.
    width = 1 + round((config.budget - one) / (two - one))
    with seeded(config.recipe.seed):
        return _build(config, width)


def _build(config: Config, width: int) -> nn.Module:
    """The model of a configuration, of a width."""
    task, size = config.task, DISTORTIONS[config.task].size
    in_shape, out_size = (1, *size), (TASKS[task], TASKS[task])
    if config.method == "c8":
        return RotatedCNN(width)
    if config.method in ("cnn", "augmented", "deformable"):
        return _classifier(in_shape, width, deformable=config.method == "deformable")
    if config.method == "polar":
        transformer = SpatialTransformer(
            CentroidLocalization(in_shape), LogPolar(0.05, REACH[task]), (24, 32)
        )
        return TransformedClassifier(transformer, PolarCNN((24, 32), width))
    family: Family = Exponential() if config.method == "exp-st" else Affine()
    network = ModernLocalization(in_shape, family, channels=(8, 12, 12, 12), hidden=16)
    if config.method == "ic-st":
        transformer = InverseCompositional(network, looks=2, out_size=out_size)
    else:
        transformer = SpatialTransformer(network, out_size=out_size)
    return TransformedClassifier(transformer, _classifier((1, *out_size), width))


def operations(
    model: nn.Module, in_shape: Sequence[int], *, batch_size: int = 64
) -> tuple[int, int]:
    """Count the operations for one picture: of its scores, and of a step of training.

    Counted are those of convolutions, matrix products and the bilinear sampler: a
    multiplication is one, and so is an addition. A sample takes four of each, of a
    volume eight, and its gradients twice as many.

    >>> operations(nn.Sequential(nn.Flatten(), nn.Linear(6, 10)), (1, 2, 3))
    (120, 240)

    Args:
        model: from pictures to scores; its running means are left as they are.
        in_shape: ``(C, H, W)`` of a picture, or ``(C, D, H, W)`` of a volume.
        batch_size: of the batch over which the operations are shared out: what is done
            once a step, such as the rotation of filters, counts to its share.

    Returns:
        Forwards alone, and forwards and backwards.
    """

    def forwards(x: Any, grid: Any, *args: Any, out_shape: Any, **kw: Any) -> int:
        return 2 * 2 ** grid[-1] * math.prod(out_shape)

    def backwards(above: Any, x: Any, grid: Any, *args: Any, **kw: Any) -> int:
        return 4 * 2 ** grid[-1] * math.prod(above)

    aten = torch.ops.aten
    counted = {
        aten.grid_sampler_2d: forwards,
        aten.grid_sampler_2d_backward: backwards,
        aten.grid_sampler_3d: forwards,
        aten.grid_sampler_3d_backward: backwards,
    }
    counts = []
    x = torch.zeros(batch_size, *in_shape)
    with evaluating(model):  # the running means of normalization stay
        for trained in (False, True):
            with FlopCounterMode(display=False, custom_mapping=counted) as counter:
                with torch.set_grad_enabled(trained):
                    scores = model(x)
                    if trained:
                        scores.sum().backward()
            counts.append(round(counter.get_total_flops() / batch_size))
    model.zero_grad()
    return counts[0], counts[1]


def _seconds_of_a_step(model: nn.Module, images: Tensor, *, times: int = 5) -> float:
    """The processor's time for the gradients of a batch, whatever else it does."""
    images, spent = images.to(next(model.parameters()).device), []
    for _ in range(times):
        start = time.process_time()
        model(images).sum().backward()
        spent.append(time.process_time() - start)
    model.zero_grad()
    return min(spent)


def augment(images: Tensor, draw: torch.Generator) -> Tensor:
    """Rotate, scale and move every picture a little, at random.

    By up to 20°, by a factor of 0.85 to 1.15 and by up to two pixels.

    >>> augment(torch.rand(3, 1, 28, 28), torch.Generator()).shape
    torch.Size([3, 1, 28, 28])

    Args:
        images: ``(N, C, H, W)``.
        draw: all that is random is drawn from it.

    Returns:
        ``(N, C, H, W)``.
    """
    unit = 2 * torch.rand(len(images), 4, generator=draw, device=images.device) - 1
    angle, scale = math.radians(20) * unit[:, 0], 1 + 0.15 * unit[:, 1]
    return warp(images, _about_the_middle(angle, scale, 2 * unit[:, 2:], images))


def rotated_and_scaled(digits: Tensor, angle_deg: float, scale: float) -> Tensor:
    """Rotate and scale all digits alike, about their middle.

    >>> digits = torch.rand(2, 1, 28, 28)
    >>> quarter = rotated_and_scaled(digits, 90.0, 1.0)  # of a full rotation
    >>> torch.allclose(quarter, digits.rot90(-1, (2, 3)), atol=1e-5)
    True

    Args:
        digits: ``(N, 1, H, W)``.
        angle_deg: clockwise on the screen.
        scale: above 1 the digits grow.

    Returns:
        ``(N, 1, H, W)``.
    """
    angle = digits.new_tensor(math.radians(angle_deg))
    return warp(digits, _about_the_middle(angle, scale, (0.0, 0.0), digits))


def _about_the_middle(
    angle: Tensor,
    scale: Tensor | float,
    shift_px: Tensor | Sequence[float],
    images: Tensor,
) -> Tensor:
    """Parameters of `Affine` that rotate and scale about the middle, and then shift."""
    height, width = size = images.shape[2:]
    middle = ((width - 1) / 2, (height - 1) / 2)
    matrix = rotation(angle, scale, shift_px, center=middle)
    return theta_from_pixels(matrix, size, size).flatten(-2)


def run(config: Config, folder: Path | None = None, *, progress: bool = False) -> Run:
    """Train and test a configuration; go on where a killed run of it stopped.

    Args:
        config: what to train and how.
        folder: where the checkpoint is kept; none is without.
        progress: show a bar.

    Returns:
        The run; its `result` looks like `RESULT`.

    Raises:
        ValueError: if the folder holds a run with other options.
        DataError: if the data can't be had.
    """
    digits, test = digits_of(config)
    test = test.first(min(config.tested, len(test)))
    name, epochs = config.task, config.recipe.epochs
    pictures = distorted_copies(digits, name, 1, seed=config.recipe.seed)
    seen = fixed_test_set(test.images, name).images
    model = make_model(config)
    forwards, each = operations(model, seen.shape[1:])
    part = max(2, round(1e9 * config.compute / (each * epochs)))

    def prepare(indices: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        where = draw.device
        chosen = torch.randint(
            len(pictures), indices.shape, generator=draw, device=where
        ).cpu()
        images = pictures.images[chosen].to(where) / 255
        if config.method == "augmented":
            images = augment(images, draw)
        return images, pictures.labels[chosen].to(where)

    examples, judged = (torch.arange(part),), (seen, test.labels)
    problem = classification_problem(examples, judged, prepare=prepare)
    done = fit(
        model,
        problem,
        config.recipe,
        folder=folder,
        label=label_of(config, digits),
        evaluate_every=epochs,
        progress=progress,
    )
    done.about = {
        **about(config, digits, test),
        "multiplications": forwards // 2,
        "operations": {"a_picture": each, "training": each * part * epochs},
        "pictures": part * epochs,
        "test_error": done.test_error,
        "processor_seconds": _seconds_of_a_step(model, seen[:64])
        * epochs
        * len(batches(part, config.recipe, 0)),
        "unseen": _probe(model, test.first(config.probed)) if config.probed else {},
    }
    return done


def _probe(model: nn.Module, digits: DigitSet) -> dict[str, list[dict[str, float]]]:
    """The errors on digits that are all rotated, or scaled, alike."""

    def error(angle_deg: float, scale: float) -> float:
        images = rotated_and_scaled(digits.images, angle_deg, scale)
        return error_rate(model, images, digits.labels)

    return {
        "rotations": [
            {"angle_deg": float(a), "error": error(a, 1.0)} for a in ANGLES_DEG
        ],
        "scales": [{"scale": s, "error": error(0.0, s)} for s in SCALES],
    }


@dataclass(frozen=True)
class Cell(TrainedCell):
    """One run.

    >>> cell = Cell("final", "RTS", "ic-st")
    >>> cell.name, cell.config().compute
    ('final-RTS-ic-st-0', 150.0)

    Attributes:
        phase: one of `PHASES`.
        task: one of `TASKS`.
        method: one of `METHODS`.
        seed: of weights, pictures and order.

    Raises:
        TypeError: if a name is no string, or the seed no integer.
        ValueError: if there is no such run.
    """

    RESULT: ClassVar[dict[str, Any]] = RESULT
    RUN = staticmethod(run)

    phase: str
    task: str
    method: str
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, phase=PHASES, task=TASKS, method=METHODS)

    def config(self, *, quick: bool = False) -> Config:
        """Return the configuration of the run.

        Args:
            quick: of a miniature: few embedded digits, a thousandth of the operations.

        Returns:
            What to give to `run`.
        """
        tried = PHASES[self.phase]
        lr = RATES[self.method] if tried is None else tried
        config = Config(
            method=self.method,
            task=self.task,
            compute=COMPUTE[self.task] * (LONGER if self.phase == "longer" else 1.0),
            probed=500 if self.phase == "final" and self.task == "R" else 0,
            validation=0 if tried is None else 10_000,
            recipe=replace(RECIPE, lr=lr, seed=self.seed),
        )
        if quick:
            few = {"limit": 64, "tested": 32, "validation": 0}
            probed = min(config.probed, 8)
            config = miniature(config, **few, compute=0.5, probed=probed)
        return config


def cells(
    *,
    phases: Iterable[str] = ("final",),
    tasks: Iterable[str] = tuple(TASKS),
    methods: Iterable[str] = METHODS,
    seeds: Iterable[int] = (0,),
) -> list[Cell]:
    """Return the runs of some methods, those of a seed together.

    >>> [cell.name for cell in cells(tasks=["R"], methods=["cnn"], seeds=[0, 1])]
    ['final-R-cnn-0', 'final-R-cnn-1']

    Args:
        phases: of `PHASES`.
        tasks: of `TASKS`.
        methods: of `METHODS`.
        seeds: of weights, pictures and order.

    Returns:
        The cells, in the order of work.

    Raises:
        ValueError: if a name is unknown.
    """
    phases = known_names(phases, "phases", PHASES)
    tasks = known_names(tasks, "tasks", TASKS)
    methods = known_names(methods, "methods", METHODS)
    every = product(seeds, phases, tasks, methods)
    return [Cell(phase, task, method, seed) for seed, phase, task, method in every]
