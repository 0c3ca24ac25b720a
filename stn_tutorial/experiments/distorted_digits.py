"""Classifying distorted digits: one run, from its options to its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from torch import nn

from stn_tutorial.data.digits import is_main_process
from stn_tutorial.data.distortions import (
    DISTORTIONS,
    distort,
    distorted_copies,
    fixed_test_set,
)
from stn_tutorial.experiments import classification
from stn_tutorial.experiments._options import Range, check_options, options_from
from stn_tutorial.experiments.checkpoints import load_tensors, read_checkpoint
from stn_tutorial.experiments.classification import about, digits_of, label_of
from stn_tutorial.experiments.environment import autocast
from stn_tutorial.experiments.models import FamilyName, ModelName, build, seeded
from stn_tutorial.experiments.results import keep_result
from stn_tutorial.experiments.training import (
    Recipe,
    Run,
    error_rate,
    misclassified,
    train,
)

__all__ = [
    "RESULT",
    "Config",
    "evaluate",
    "load_model",
    "make_model",
    "run",
]


@dataclass(frozen=True)
class Config:
    """Everything that decides what a run gives.

    >>> Config(model="cnn", out_size=28)
    Traceback (most recent call last):
        ...
    ValueError: out_size must be None for cnn, got 28

    Attributes:
        model: which classifier; the st- variants have a spatial transformer in front,
            of which st-small's localization network is half as wide, and st-pooled's
            pools over all locations.
        distortion: what is done to the digits; sizes and ranges as in the paper.
        family: the family of warps of an st- variant; crop has half the image's height
            and width.
        coordinates: which convolutions of an st- variant are CoordConv layers: the
            localization network's first, all of that network's (everywhere), all with
            the radius, both its first and the classifier's, or its first with weights
            of zero for the coordinates, so that it starts as if it had none (zero).
        out_size: height and width of an st- variant's output; none keeps the input's.
        pool: average pooling of an st- variant's output, by so many pixels a side.
        zoom: an st- variant starts at a crop from the middle, of so much of the image's
            height and width.
        budget: how many parameters the model may have, about.
        data: mnist, embedded, or auto: mnist when it can be had.
        limit: use the first so many training digits; 0 uses all.
        copies: distort every training digit so many times before training; an epoch is
            then a pass over all these pictures. 0 distorts each digit anew in every
            epoch.
        validation: hold out so many training digits, the last ones, and test on them
            instead: a recipe is chosen on these, never on the test digits.
        recipe: how to train.
    """

    model: ModelName = "st-cnn"
    distortion: Literal["none", "R", "RTS", "P", "E", "clutter"] = "RTS"
    family: FamilyName = "affine"
    coordinates: Literal["none", "first", "everywhere", "radius", "both", "zero"] = (
        "none"
    )
    out_size: Annotated[int, Range(least=1)] | None = None
    pool: Annotated[int, Range(least=1)] = 1
    zoom: Annotated[float, Range(above=0)] = 1.0
    budget: Annotated[int, Range(least=1)] = 100_000
    data: Literal["auto", "mnist", "embedded"] = "auto"
    limit: Annotated[int, Range(least=0)] = 0
    copies: Annotated[int, Range(least=0)] = 0
    validation: Annotated[int, Range(least=0)] = 0
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        check_options(self)
        alone = {"out_size": None, "pool": 1, "zoom": 1.0, "coordinates": "none"}
        alone["family"] = "affine"
        for name, default in alone.items():
            given = getattr(self, name)
            if given != default and not self.model.startswith("st-"):
                raise ValueError(
                    f"{name} must be {default} for {self.model}, got {given}"
                )


#: What the result of a run looks like; see `stn_tutorial.experiments.results`.
RESULT = {"config": Config, **classification.RESULT, "misclassified?": [int]}


def make_model(config: Config) -> nn.Module:
    """Build the untrained model of a configuration.

    >>> import torch
    >>> model = make_model(Config(model="st-cnn", distortion="RTS", out_size=28))
    >>> model.transformer(torch.zeros(2, 1, 42, 42)).shape
    torch.Size([2, 1, 28, 28])

    Args:
        config: its recipe's seed decides the weights.

    Returns:
        The model, on the CPU.
    """
    with seeded(config.recipe.seed):
        return build(
            config.model,
            (1, *DISTORTIONS[config.distortion].size),
            family=config.family,
            coordinates=config.coordinates,
            budget=config.budget,
            out_size=config.out_size and (config.out_size, config.out_size),
            pool=config.pool,
            zoom=config.zoom,
        )


def run(
    config: Config,
    folder: Path | None = None,
    *,
    on_epoch: Callable[[int, nn.Module], None] | None = None,
    evaluate_every: int = 1,
    progress: bool = True,
) -> Run:
    """Train and test a configuration; go on where a killed run of it stopped.

    Args:
        config: what to train and how.
        folder: where checkpoint and ``result.json`` are kept; none are without.
        on_epoch: see `stn_tutorial.experiments.training.fit`.
        evaluate_every: likewise.
        progress: show a bar.

    Returns:
        The run; its `result` looks like `RESULT`.

    Raises:
        ValueError: if the folder holds a run with other options.
        DataError: if the data can't be had.
    """
    digits, test = digits_of(config)
    test_images = fixed_test_set(test.images, config.distortion).images
    model = make_model(config)
    name, seed = config.distortion, config.recipe.seed
    examples, anew = digits, lambda x, draw: distort(x, name, draw).images
    if config.copies:
        examples = distorted_copies(digits, name, config.copies, seed=seed)
        anew = None
    done = train(
        model,
        examples,
        (test_images, test.labels),
        config.recipe,
        distort=anew,
        folder=folder,
        label=label_of(config, digits),
        on_epoch=on_epoch,
        evaluate_every=evaluate_every,
        progress=progress,
    )
    device = next(model.parameters()).device
    with autocast(device, config.recipe.precision):
        wrong = misclassified(model, test_images, test.labels)
    done.about = {
        **about(config, digits, test),
        "test_error": done.test_error,
        "misclassified": wrong,
    }
    if folder and is_main_process():
        keep_result(folder, done.result)
    return done


def load_model(folder: Path) -> tuple[Config, nn.Module]:
    """Return the configuration and the model of a run's last checkpoint.

    Args:
        folder: of the run.

    Returns:
        Both; the model is on the CPU, in evaluation mode.

    Raises:
        ValueError: if the folder holds no checkpoint, or none of a `Config`.
    """
    label, weights = read_checkpoint(folder)
    config = options_from(Config, label, f"the checkpoint in {folder}")
    model = make_model(config)
    load_tensors(model, weights, Path(folder))
    return config, model.eval()


def evaluate(config: Config, model: nn.Module) -> float:
    """Test a model on the fixed test set of its distortion.

    Args:
        config: names the distortion, the data and which digits are held out.
        model: images to scores.

    Returns:
        The error in percent.
    """
    _, digits = digits_of(config)
    images = fixed_test_set(digits.images, config.distortion).images
    with autocast(next(model.parameters()).device, config.recipe.precision):
        return error_rate(model, images, digits.labels)
