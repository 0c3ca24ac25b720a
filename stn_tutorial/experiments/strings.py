"""Strings of digits (Jaderberg et al. 2015, §4.2): a transformer in front, or several.

A network reads one to five digits from a canvas, in one go: five answers, each a digit
or *none*. It is right if all five are. One network has no transformer; one has a
transformer in front of it (Single); and one has a transformer before each of its first
three convolutions (Multi), of which the second and the third warp feature maps. All
have about as many parameters. The paper reads photographs of house numbers with eleven
hidden layers and millions of parameters; here are handwritten digits on textures, and
networks that a core trains in minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_tutorial.data._checks import check_whole
from stn_tutorial.data.digits import DigitSet
from stn_tutorial.data.strings import (
    MOST,
    SIZE,
    Strings,
    fixed_strings,
    make_strings,
)
from stn_tutorial.data.tensors import as_bytes
from stn_tutorial.experiments import classification
from stn_tutorial.experiments._options import Range, check_options
from stn_tutorial.experiments.cells import TrainedCell, miniature, with_weights
from stn_tutorial.experiments.classification import about, digits_of, label_of
from stn_tutorial.experiments.models import seeded
from stn_tutorial.experiments.results import Seed, check_cell
from stn_tutorial.experiments.string_readers import PLACES, StringReader, width_for
from stn_tutorial.experiments.training import Problem, Recipe, Run, fit, predict
from stn_tutorial.families import Affine

__all__ = [
    "BUDGET",
    "PAPER",
    "PHASES",
    "RECIPE",
    "SIZES",
    "Cell",
    "Config",
    "cells",
    "load_weights",
    "looks",
    "make_model",
    "misread",
    "poses",
    "processor_seconds",
    "run",
]

ModelName = Literal["cnn", "single", "multi"]
#: Heights and widths of canvases.
SIZES = (SIZE, 2 * SIZE)
#: Sequence errors in percent, as Jaderberg et al. (2015) report them for house numbers,
#: by the height and width of the picture.
PAPER = {
    "cnn": {64: 4.0, 128: 5.6},
    "single": {64: 3.7, 128: 3.9},
    "multi": {64: 3.6, 128: 3.9},
}
#: About how many parameters every network has.
BUDGET = 300_000
#: How the networks are trained. The rates are those of MNIST addition's normalized
#: networks, for all three: they were not chosen for this task.
RECIPE = Recipe(epochs=6, batch_size=64, lr=5e-3, localization_lr_ratio=0.3)
#: The runs on test digits, and shorter ones on held-out digits, with a rate to choose.
PHASES: dict[str, float | None] = {
    "rate-0.002": 2e-3,
    "rate-0.005": 5e-3,
    "rate-0.01": 1e-2,
    "final": None,
}


@dataclass(frozen=True)
class Config:
    """Everything that decides what a run gives.

    >>> Config(size=100)
    Traceback (most recent call last):
        ...
    ValueError: size must be 64 or 128, got 100

    Attributes:
        model: a network without transformers, with one in front, or with several.
        size: height and width of the canvases; the strings are as large on either.
        budget: how many parameters the network may have, about.
        data: mnist, embedded, or auto: mnist when it can be had.
        pictures: how many strings are written before training. Small networks take
            less time for a picture than its making does, so an epoch shows the same
            ones again.
        limit: use the first so many training digits; 0 uses all.
        tested: write a string for each of the first so many test digits; 0 uses all.
        validation: hold out so many training digits, the last ones, and test on them
            instead.
        recipe: how to train.
    """

    model: ModelName = "single"
    size: int = SIZE
    budget: Annotated[int, Range(least=1)] = BUDGET
    data: Literal["auto", "mnist", "embedded"] = "auto"
    pictures: Annotated[int, Range(least=2)] = 30_000
    limit: Annotated[int, Range(least=0)] = 0
    tested: Annotated[int, Range(least=0)] = 0
    validation: Annotated[int, Range(least=0)] = 0
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        check_options(self)
        _check_size(self.size)


# Of the strings of each length.
_SPREAD = [{"angle_deg": float, "height_percent": float, "centre_px": float}]
#: What the result of a run looks like; see `stn_tutorial.experiments.results`.
RESULT = {
    "config": Config,
    **classification.RESULT,
    "misread": [int],
    "by_length": [{"strings": int, "misread": int}],
    "looks": {"as_they_come": _SPREAD, "passed_on": [_SPREAD]},
    "processor_seconds": {"reading": float, "training": float},
}


def make_model(config: Config) -> StringReader:
    """Build the untrained network of a configuration, as wide as the budget allows.

    >>> [make_model(Config(model=name)).blocks[0][0].out_channels for name in PLACES]
    [16, 16, 13]

    Args:
        config: its recipe's seed decides the weights.

    Returns:
        The network, on the CPU.
    """

    places = PLACES[config.model]
    width = width_for(config.size, places, config.budget)
    with seeded(config.recipe.seed):
        model = StringReader(config.size, width, places)
    return model.to(memory_format=torch.channels_last)


def load_weights(cell: Cell, folder: Path) -> StringReader:
    """Return the trained network of a cell.

    Args:
        cell: its configuration says which network.
        folder: of the weights, one safetensors file a cell: the network's state.

    Returns:
        The network, on the CPU, in evaluation mode.

    Raises:
        ValueError: if there is no such file, or it fits another network.
    """
    return with_weights(make_model(cell.config()), cell, folder)


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
    digits, held_out = digits_of(config)
    held_out = held_out.first(min(config.tested or len(held_out), len(held_out)))
    strings = _written(digits, config)
    test = fixed_strings(held_out, size=config.size)
    problem = Problem(
        examples=(strings.images, strings.labels),
        prepare=lambda images, labels, draw: (images / 255, labels),
        loss=F.cross_entropy,
        measures={"train_error": lambda y, labels: 100 * _is_wrong(y, labels)},
        evaluate=lambda model: {
            "test_error": 100 * len(misread(model, test)) / len(test)
        },
    )
    done = fit(
        make_model(config),
        problem,
        config.recipe,
        folder=folder,
        label=label_of(config, digits),
        evaluate_every=config.recipe.epochs,
        progress=progress,
    )
    wrong = misread(done.model, test)
    done.about = {
        **about(config, digits, held_out),
        "test_error": done.test_error,
        "misread": wrong,
        "by_length": [
            {
                "strings": int((test.lengths == length).sum()),
                "misread": int((test.lengths[wrong] == length).sum()),
            }
            for length in range(1, MOST + 1)
        ],
        "looks": looks(done.model, test.first(min(1000, len(test)))),
        "processor_seconds": processor_seconds(done.model, test.images[:256]),
    }
    return done


def misread(model: nn.Module, strings: Strings) -> list[int]:
    """Return which strings a network misreads: one wrong place is enough.

    Args:
        model: pictures to ``(N, 11, 5)`` scores.
        strings: to read.

    Returns:
        Their indices.
    """
    scores = predict(model, strings.images, batch_size=250)
    return _is_wrong(scores, strings.labels).nonzero()[:, 0].tolist()


def poses(params: Tensor, strings: Strings) -> dict[str, Tensor]:
    """Return how strings lie in what a transformer passes on.

    >>> from stn_tutorial.data.digits import load_digits
    >>> strings = fixed_strings(load_digits("test", "embedded").first(20))
    >>> still = Affine().identity().expand(20, -1)
    >>> seen = poses(still, strings)
    >>> torch.allclose(seen["angle"], strings.truth["angle"], atol=1e-5)
    True

    Args:
        params: ``(N, 6)`` of `Affine`, from the output to the canvas.
        strings: with a truth.

    Returns:
        Of the strings' frames in the output, ``"angle"`` ``(N,)`` of their long sides,
        radians, clockwise on the screen; ``"height"`` ``(N,)`` and ``"centre"``
        ``(N, 2)``, in the normalized coordinates of the output.
    """
    affine = Affine()
    to_frame = affine.compose(strings.truth["theta"].flatten(1), params)
    from_frame = affine.inverse(to_frame).unflatten(1, (2, 3))
    along, down, centre = from_frame.unbind(dim=2)
    # A shear tilts the short sides: the height is that across the long ones.
    area = along[:, 0] * down[:, 1] - along[:, 1] * down[:, 0]
    return {
        "angle": torch.atan2(along[:, 1], along[:, 0]),
        "height": 2 * area.abs() / along.norm(dim=1),
        "centre": centre,
    }


def looks(model: nn.Module, strings: Strings) -> dict[str, Any]:
    """Return how alike the strings lie as they come, and behind each transformer.

    Args:
        model: a trained `StringReader`.
        strings: such as `fixed_strings`, with a truth.

    Returns:
        ``as_they_come``, and ``passed_on`` for each transformer: for each length, from
        one digit up, standard deviations among its strings, of the angle in degrees, of
        the height in percent and of the centre in pixels of the canvas, along an axis.
    """
    still = Affine().identity().expand(len(strings), -1)
    passed_on = predict(_Params(model), strings.images, batch_size=250)
    half = strings.images.shape[-1] / 2

    def spread(params: Tensor) -> list[dict[str, float]]:
        seen = poses(params, strings)
        values = {
            "angle_deg": seen["angle"].rad2deg()[:, None],
            "height_percent": 100 * seen["height"].clamp(min=1e-6).log()[:, None],
            "centre_px": half * seen["centre"],
        }
        return [
            {name: _deviation(v[strings.lengths == n]) for name, v in values.items()}
            for n in strings.lengths.unique().tolist()
        ]

    return {
        "as_they_come": spread(still),
        "passed_on": [spread(params.float()) for params in passed_on.unbind(dim=1)],
    }


def processor_seconds(
    model: nn.Module, images: Tensor, *, tries: int = 3
) -> dict[str, float]:
    """Return what a thousand pictures cost on this machine, in processor time.

    Other work on the machine disturbs processor time less than it does the clock.

    Args:
        model: pictures to scores; its weights are left alone.
        images: ``(N, 1, H, W)``, of which batches of 64 are taken.
        tries: the least of so many counts.

    Returns:
        Seconds for 1,000 pictures: ``"reading"``, forwards, and ``"training"``,
        forwards and backwards.
    """
    device = next(model.parameters()).device
    batches = images[: 64 * max(1, len(images) // 64)].to(device).split(64)
    count = sum(len(batch) for batch in batches)

    def least(work: Callable[[], None]) -> float:
        seconds = []
        for _ in range(tries):
            start = time.process_time()
            work()
            seconds.append(time.process_time() - start)
        return 1000 * min(seconds) / count

    def read() -> None:
        with torch.inference_mode():
            for batch in batches:
                model(batch)

    def learn() -> None:
        for batch in batches:
            scores = model(batch)
            torch.autograd.grad(scores.square().mean(), list(model.parameters()))

    # Normalization as in reading, which costs as much and changes no statistics.
    model.eval()
    return {"reading": least(read), "training": least(learn)}


@dataclass(frozen=True)
class Cell(TrainedCell):
    """One run.

    >>> cell = Cell("final", "multi")
    >>> cell.name, cell.config().model
    ('final-multi-64-0', 'multi')

    Attributes:
        phase: one of `PHASES`.
        model: one of `PLACES`.
        size: height and width of the canvases, 64 or 128.
        seed: of weights, order and strings.

    Raises:
        TypeError: if a name is no string, or a number no integer.
        ValueError: if there is no such run.
    """

    RESULT: ClassVar[dict[str, Any]] = RESULT
    RUN = staticmethod(run)

    phase: str
    model: str
    size: int = SIZE
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, phase=PHASES, model=PLACES)
        _check_size(self.size)

    def config(self, *, quick: bool = False) -> Config:
        """Return the configuration of the run.

        Args:
            quick: of a miniature: few embedded digits, two epochs.

        Returns:
            What to give to `run`.
        """
        rate = PHASES[self.phase]
        recipe = replace(RECIPE, lr=rate or RECIPE.lr, seed=self.seed)
        shape = {"model": self.model, "size": self.size}
        config = Config(**shape, data="mnist", recipe=recipe)
        if rate:
            # Half as long: after a few hundred steps no network reads anything yet.
            recipe = replace(recipe, epochs=RECIPE.epochs // 2)
            held_out = {"tested": 2000, "validation": 10_000}
            config = replace(config, **held_out, recipe=recipe)
        if quick:
            held_out = 100 if rate else 0
            config = miniature(config, pictures=128, tested=64, validation=held_out)
        return config


def cells(
    *,
    phases: Iterable[str] = ("final",),
    models: Iterable[str] = tuple(PLACES),
    sizes: Iterable[int] = (SIZE,),
    seeds: Iterable[int] = (0,),
) -> list[Cell]:
    """Return the runs of some networks, those of a seed and a canvas together.

    >>> [cell.name for cell in cells(models=["cnn"], seeds=range(2))]
    ['final-cnn-64-0', 'final-cnn-64-1']

    Args:
        phases: of `PHASES`.
        models: of `PLACES`.
        sizes: of the canvases.
        seeds: of weights, order and strings.

    Returns:
        The cells, in the order of work.

    Raises:
        ValueError: if a name is unknown.
    """
    every = product(seeds, sizes, phases, models)
    return [Cell(phase, model, size, seed) for seed, size, phase, model in every]


def _check_size(size: int) -> None:
    if size not in SIZES:
        raise ValueError(f"size must be 64 or 128, got {size}")


class _Params(nn.Module):
    """A `StringReader` as a module that returns its warps ``(N, K, 6)``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        params = self.model.params(x)
        return torch.stack(params, dim=1) if params else x.new_zeros(len(x), 0, 6)


def _is_wrong(scores: Tensor, labels: Tensor) -> Tensor:
    """From (N, 11, 5) scores and (N, 5) labels to (N,) booleans."""
    return (scores.argmax(dim=1) != labels).any(dim=1)


def _deviation(values: Tensor) -> float:
    """The standard deviation of (N, D) values along an axis."""
    return values.var(dim=0, correction=0).mean().sqrt().item()


_kept: dict[tuple, Strings] = {}


def _written(digits: DigitSet, config: Config) -> Strings:
    """Strings to train on, with pixels of one byte; the last ones are kept, as all
    networks of a seed read the same."""
    seed, size, count = config.recipe.seed, config.size, config.pictures
    key = (digits.checksum, size, count, seed)
    if key not in _kept:
        _kept.clear()
        draw = torch.Generator().manual_seed(check_whole(seed, "seed"))
        images, labels = [], []
        for part in torch.arange(count).split(1000):
            chosen = torch.randint(len(digits), (len(part), MOST), generator=draw)
            lengths = torch.randint(1, MOST + 1, part.shape, generator=draw)
            made = make_strings(digits, chosen, lengths, draw, size=size)
            images.append(as_bytes(made.images))
            labels.append(made.labels)
        _kept[key] = Strings(torch.cat(images), torch.cat(labels), {}, digits.source)
    return _kept[key]
