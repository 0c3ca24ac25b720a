"""Traffic signs, classified with spatial transformers and without.

The German benchmark's photographs (GTSRB), 3,921 to train on and 12,630 to test on,
32×32 in colour. All networks have about as many parameters: today's convolutional
network, with a transformer in front of it, or behind its first convolution, or both; of
grey pictures; of 48×48; and trained on pictures that are jittered.

The same can be done with signs that are drawn, where the benchmark can't be had.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from stn_tutorial.coordinates import to_normalized
from stn_tutorial.data.digits import DigitSet
from stn_tutorial.data.gtsrb import load_gtsrb
from stn_tutorial.data.signs import Signs, draw_signs, jittered
from stn_tutorial.data.tensors import as_bytes
from stn_tutorial.experiments import classification
from stn_tutorial.experiments._options import Range, check_options
from stn_tutorial.experiments.cells import TrainedCell, known_names, miniature
from stn_tutorial.experiments.classification import PICTURES, options_of
from stn_tutorial.experiments.models import (
    ModernCNN,
    TransformedClassifier,
    closest_width,
    count_parameters,
    seeded,
)
from stn_tutorial.experiments.results import Seed, check_cell
from stn_tutorial.experiments.scattered_digits import boxes_iou
from stn_tutorial.experiments.training import (
    Recipe,
    Run,
    misclassified,
    predict,
    train,
)
from stn_tutorial.experiments.views import bounding_boxes, correlation
from stn_tutorial.families import Affine, Attention
from stn_tutorial.localization import ModernLocalization
from stn_tutorial.sampling import warp
from stn_tutorial.transformer import SpatialTransformer

__all__ = [
    "ARMS",
    "PHASES",
    "RECIPE",
    "Cell",
    "Config",
    "MiddleCrop",
    "TransformedInside",
    "cells",
    "load",
    "looks",
    "make_model",
    "run",
    "square_crops",
]

#: What is run, as options of `Config`. The first is the baseline.
ARMS: dict[str, dict[str, Any]] = {
    "cnn": {},
    "st": {"front": True},
    "cnn-crop": {"crop": 0.8},
    "cnn-box": {"crop": 0.0},
    "st-inside": {"inside": True},
    "two": {"front": True, "inside": True},
    "cnn-jitter": {"jitter": True},
    "st-jitter": {"front": True, "jitter": True},
    "cnn-48": {"side": 48},
    "st-48": {"front": True, "side": 48},
    "cnn-grey": {"grey": True},
    "st-grey": {"front": True, "grey": True},
}
#: By phase, what is changed of the `RECIPE`, and what the networks are tested on.
PHASES: dict[str, tuple[dict[str, float], str]] = {
    "rate-0.003": ({"lr": 0.003}, "tracks"),
    "rate-0.01": ({"lr": 0.01}, "tracks"),
    "rate-0.03": ({"lr": 0.03}, "tracks"),
    "ratio-0.1": ({"localization_lr_ratio": 0.1}, "tracks"),
    "ratio-1": ({"localization_lr_ratio": 1.0}, "tracks"),
    "frames": ({}, "frames"),
    "final": ({}, "test"),
}
#: The rates are those of other studies, and were not chosen by trials; see `PHASES`.
RECIPE = Recipe(epochs=10, batch_size=64, lr=0.01, localization_lr_ratio=0.3)


@dataclass(frozen=True)
class Config:
    """Everything that decides what a run gives.

    Attributes:
        front: put a transformer in front of the network.
        inside: put one behind its first convolution.
        side: height and width of what the network sees; 0 takes the pictures'. Without
            a transformer in front, the pictures are brought to it by interpolation.
        grey: take the colours away.
        jitter: jitter the training pictures, anew in every epoch.
        crop: without a transformer in front, show the network the middle of each
            picture, so much of its height and width; or, if it is 0, the square around
            each sign's own box, which only the truth can tell.
        budget: how many parameters the model may have, about.
        data: gtsrb, or drawn.
        tested: on the test set, or on every fifth of the training set's tracks or
            frames, which is then held out.
        limit: draw so many signs to train on, if they are drawn, and a third as many
            to test on.
        recipe: how to train.
    """

    front: bool = False
    inside: bool = False
    side: Annotated[int, Range(least=0)] = 0
    grey: bool = False
    jitter: bool = False
    crop: Annotated[float, Range(least=0)] = 1.0
    budget: Annotated[int, Range(least=1)] = 60_000
    data: Literal["gtsrb", "drawn"] = "gtsrb"
    tested: Literal["test", "tracks", "frames"] = "test"
    limit: Annotated[int, Range(least=3)] = 3000
    recipe: Recipe = field(default_factory=lambda: RECIPE)

    def __post_init__(self) -> None:
        check_options(self)


#: What the result of a run looks like; see `stn_tutorial.experiments.results`.
RESULT = {
    **classification.RESULT,
    "config": Config,
    "data": {"source": str, "classes": int, "train": PICTURES, "test": PICTURES},
    "misclassified": [int],
    "looks?": {
        "iou": float,
        "iou_of_the_mean_box": float,
        "iou_of_the_picture": float,
        "mean_box": [float],
        "follows": {"x": float, "y": float, "size": float},
    },
}


class TransformedInside(nn.Sequential):
    """`ModernCNN` with a spatial transformer behind its first convolution.

    >>> TransformedInside((3, 32, 32), 16, 43)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 43])

    Args:
        in_shape: ``(C, H, W)`` of the images.
        width: channels of the last convolutions.
        n_classes: how many scores.
    """

    def __init__(
        self, in_shape: Sequence[int], width: int = 64, n_classes: int = 10
    ) -> None:
        layers = [*ModernCNN(in_shape, width, n_classes)]
        halves = ((n + 1) // 2 for n in in_shape[1:])  # the first has a stride of 2
        transformer = _transformer((max(1, width // 2), *halves))
        super().__init__(*layers[:3], transformer, *layers[3:])


class MiddleCrop(nn.Module):
    """The same crop from the middle of every picture: a transformer that never looks.

    >>> MiddleCrop(0.5, (2, 2))(torch.arange(16.0).view(1, 1, 4, 4)).tolist()
    [[[[5.0, 6.0], [9.0, 10.0]]]]

    Args:
        scale: height and width of the crop over the picture's.
        size: ``(H, W)`` that it is brought to.
    """

    def __init__(self, scale: float, size: tuple[int, int]) -> None:
        super().__init__()
        self.scale, self.size = scale, size

    def forward(self, x: Tensor) -> Tensor:
        """Return the crops.

        Args:
            x: ``(N, C, H, W)``.

        Returns:
            ``(N, C, *size)``.
        """
        params = x.new_tensor([self.scale, 0.0, 0.0])
        return warp(x, params, self.size, family=Attention(), padding="border")


def _transformer(
    in_shape: Sequence[int], out_size: tuple[int, int] | None = None
) -> SpatialTransformer:
    """An affine one with a small localization network; a picture's edges go on."""
    network = ModernLocalization(in_shape, Affine(), channels=(8, 16, 16), hidden=16)
    return SpatialTransformer(network, out_size=out_size, padding="border")


def make_model(config: Config, size: tuple[int, int], n_classes: int) -> nn.Module:
    """Build the untrained model of a configuration.

    >>> model = make_model(Config(front=True, inside=True, side=48), (32, 32), 43)
    >>> images = torch.zeros(2, 3, 32, 32)
    >>> model.transformer(images).shape, model(images).shape
    (torch.Size([2, 3, 48, 48]), torch.Size([2, 43]))

    Args:
        config: its recipe's seed decides the weights.
        size: ``(H, W)`` of the pictures.
        n_classes: how many scores.

    Returns:
        The model, on the CPU.
    """
    channels = 1 if config.grey else 3
    seen = (config.side, config.side) if config.side else size
    kind = TransformedInside if config.inside else ModernCNN
    with seeded(config.recipe.seed):
        front, rest = None, config.budget
        if config.front:
            front = _transformer((channels, *size), seen)
            rest -= count_parameters(front)
        shape = (channels, *seen)
        width = closest_width(kind, shape, rest, n_classes=n_classes)
        model: nn.Module = kind(shape, width, n_classes)
    if front is not None:
        model = TransformedClassifier(front, model)
    elif seen != size or config.crop not in (0, 1):
        model = nn.Sequential(MiddleCrop(config.crop, seen), model)
    return model.to(memory_format=torch.channels_last)


def load(config: Config) -> tuple[Signs, Signs]:
    """Return the pictures to train on and those to test on.

    Args:
        config: what data.

    Returns:
        The pictures, grey if so configured.

    Raises:
        DataError: if GTSRB is asked for and can't be had.
    """
    if config.data == "drawn":
        signs = draw_signs(config.limit, seed=1)
        test = draw_signs(max(1, config.limit // 3), seed=2)
    else:
        signs = load_gtsrb("train")
        test = load_gtsrb("test") if config.tested == "test" else signs
    if config.tested != "test":
        signs, test = signs.hold_out(by=config.tested)
    if config.crop == 0:
        signs, test = _in_their_boxes(signs), _in_their_boxes(test)
    return (signs.grey(), test.grey()) if config.grey else (signs, test)


def _in_their_boxes(signs: Signs) -> Signs:
    """The same signs in the squares around their boxes, with as many pixels."""
    size = signs.images.shape[-2], signs.images.shape[-1]
    params = square_crops(signs.boxes, size, margin=1.0)
    crops = warp(signs.images / 255, params, size, family=Attention(), padding="border")
    return replace(signs, images=as_bytes(crops))


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
    signs, test = load(config)
    n_classes = int(signs.labels.max()) + 1
    size = signs.images.shape[-2], signs.images.shape[-1]
    images = test.images / 255
    label = {**options_of(config), "pictures": [signs.checksum, test.checksum]}
    done = train(
        make_model(config, size, n_classes),
        DigitSet(signs.images, signs.labels, signs.source),
        (images, test.labels),
        config.recipe,
        distort=jittered if config.jitter else None,
        folder=folder,
        label=label,
        evaluate_every=config.recipe.epochs,
        progress=progress,
    )
    done.about = {
        "config": asdict(config),
        "data": {
            "source": signs.source,
            "classes": n_classes,
            "train": {"pictures": len(signs), "sha256": signs.checksum},
            "test": {"pictures": len(test), "sha256": test.checksum},
        },
        "test_error": done.test_error,
        "misclassified": misclassified(done.model, images, test.labels),
    }
    if isinstance(done.model, TransformedClassifier):
        network = done.model.transformer.localization
        done.about["looks"] = looks(network, images, test.boxes)
    return done


def looks(localization: nn.Module, images: Tensor, boxes: Tensor) -> dict[str, Any]:
    """Compare the boxes around what a transformer samples with those of the signs.

    Args:
        localization: the transformer's, or any network from images to the parameters
            of its ``family``.
        images: ``(N, C, H, W)``, floating.
        boxes: ``(N, 4)`` of the signs, in pixels.

    Returns:
        The mean intersection over union with the sign's box: of theta's box, of the
        mean of theta's boxes, the same for all pictures, and of the whole picture; that
        mean box; and how theta's boxes *follow* the signs, as the correlation
        coefficients over the pictures of the centres' x and y and of the sizes (the
        square roots of the areas), 0 if either never changes.
    """
    size = images.shape[-2], images.shape[-1]
    found = bounding_boxes(localization.family, predict(localization, images), size)
    mean_box = found.mean(dim=0)
    whole = bounding_boxes(Affine(), Affine().identity()[None], size)
    overlaps = {
        "iou": found,
        "iou_of_the_mean_box": mean_box.expand_as(found),
        "iou_of_the_picture": whole.expand_as(found),
    }
    pairs = zip(_measures(found), _measures(boxes))
    follows = [correlation(ours, theirs) for ours, theirs in pairs]
    return {
        **{name: boxes_iou(b, boxes).mean().item() for name, b in overlaps.items()},
        "mean_box": mean_box.tolist(),
        "follows": dict(zip(("x", "y", "size"), follows)),
    }


def square_crops(
    boxes: Tensor, size: tuple[int, int], *, margin: float = 1.25
) -> Tensor:
    """Return square crops around boxes, as a localization network should predict them.

    >>> square_crops(torch.tensor([[11.5, 3.5, 35.5, 43.5]]), (48, 48), margin=1.0)
    tensor([[0.8333, 0.0000, 0.0000]])

    Args:
        boxes: ``(N, 4)``: left, top, right and bottom, in pixels of the pictures.
        size: ``(H, W)`` of the pictures, H equal to W.
        margin: side of a crop over the longer side of its box.

    Returns:
        ``(N, 3)`` parameters of `stn_tutorial.Attention`.
    """
    low, high = to_normalized(boxes.view(-1, 2, 2), size).unbind(dim=1)
    half = (high - low).amax(dim=1, keepdim=True) / 2
    return torch.cat([margin * half, (low + high) / 2], dim=1)


def _measures(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centres and sizes of boxes."""
    low, high = boxes[:, :2].double(), boxes[:, 2:].double()
    x, y = ((low + high) / 2).unbind(dim=1)
    return x, y, (high - low).prod(dim=1).sqrt()


@dataclass(frozen=True)
class Cell(TrainedCell):
    """One run.

    >>> cell = Cell("final", "st-jitter")
    >>> cell.name, cell.config().front, cell.config().jitter
    ('final-st-jitter-0', True, True)

    Attributes:
        phase: one of `PHASES`.
        arm: one of `ARMS`.
        seed: of weights, order and jitter.

    Raises:
        TypeError: if a name is no string, or the seed no integer.
        ValueError: if there is no such run.
    """

    RESULT: ClassVar[dict[str, Any]] = RESULT
    RUN = staticmethod(run)

    phase: str
    arm: str
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, phase=PHASES, arm=ARMS)

    def config(self, *, quick: bool = False) -> Config:
        """Return the configuration of the run.

        Args:
            quick: of a miniature: few signs, which are drawn, two epochs.

        Returns:
            What to give to `run`.
        """
        changed, tested = PHASES[self.phase]
        recipe = replace(RECIPE, seed=self.seed, **changed)
        config = Config(**ARMS[self.arm], tested=tested, recipe=recipe)
        if quick:
            config = miniature(config, data="drawn", limit=60, budget=20_000)
        return config


def cells(
    *,
    phases: Iterable[str] = ("final",),
    arms: Iterable[str] = tuple(ARMS),
    seeds: Iterable[int] = range(3),
) -> list[Cell]:
    """Return the runs of some arms, those of a seed together.

    >>> [cell.name for cell in cells(arms=["cnn"], seeds=[0, 1])]
    ['final-cnn-0', 'final-cnn-1']

    Args:
        phases: of `PHASES`.
        arms: of `ARMS`.
        seeds: of weights, order and jitter.

    Returns:
        The cells, in the order of work.

    Raises:
        ValueError: if a name is unknown.
    """
    phases = known_names(phases, "phases", PHASES)
    arms = known_names(arms, "arms", ARMS)
    return [Cell(phase, arm, seed) for seed, phase, arm in product(seeds, phases, arms)]
