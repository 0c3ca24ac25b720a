"""Find what pictures have in common, with no labels of place (Jaderberg et al. A.4).

The pictures show digits of one class, somewhere on a canvas, perhaps among pieces of
other digits. A spatial transformer cuts a crop out of each, and its localization
network is trained by a triplet loss alone: crops of two pictures should look alike, and
a crop should not look like a random patch of its own picture. How alike, an *encoder*
says, a network trained for something else and frozen. Boxes are used to judge, and
never to train.

The digits are divided once: the encoder is trained on the first third of the training
digits, the crops on the second; what had to be chosen was chosen on the last sixth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_tutorial._validate import check_choice
from stn_tutorial.data.digits import DigitSet, load_digits
from stn_tutorial.data.distortions import put_on_canvas
from stn_tutorial.experiments._options import Range, check_options
from stn_tutorial.experiments.models import CNN, seeded
from stn_tutorial.experiments.results import ENVIRONMENT, Seed, check_cell
from stn_tutorial.experiments.scattered_digits import boxes_iou
from stn_tutorial.experiments.training import (
    Problem,
    Recipe,
    Run,
    error_rate,
    fit,
    predict,
)
from stn_tutorial.experiments.views import bounding_boxes
from stn_tutorial.families import Attention, Described
from stn_tutorial.localization import ModernLocalization
from stn_tutorial.sampling import sample
from stn_tutorial.transformer import SpatialTransformer

__all__ = [
    "ARMS",
    "BASELINES",
    "COLUMNS",
    "Cell",
    "Colocalizer",
    "Config",
    "CropInside",
    "Encoder",
    "Pictures",
    "cells",
    "digits_for",
    "found_boxes",
    "make_model",
    "make_pictures",
    "run",
    "shaken",
    "train_encoder",
    "triplet_loss",
    "wilson",
]

#: Height and width of a picture, and of the digit's frame, which is the true box.
SIZE, FRAME = 84, 28
#: What an encoder calls what is no digit.
NOTHING = 10
#: How many pieces of other digits are on a canvas, translated or cluttered as well.
COLUMNS = {"T": 0, "TC": 16}
#: Passes over about 2,000 pictures of a class; without clutter there is less to learn.
EPOCHS = {"T": 3, "TC": 8}
#: What the test pictures are drawn with, whatever is trained.
TEST_SEED = 2015


@dataclass(frozen=True)
class Config:
    """Everything that decides what a run gives.

    Attributes:
        column: one of `COLUMNS`.
        digit: the class that all pictures show.
        encoder: see `train_encoder`.
        count: how many pictures; 0 uses all digits of the class in the second third.
        start: side of the crops at the start, over the picture's; at the end it is a
            third, 28 pixels.
        coarse: share of the training that goes from coarse to fine; see `Colocalizer`.
        margin: by how much a crop's random patch should be farther than its like.
        data: of the pictures.
        encoder_data: of the encoder.
        validation: judge on the digits held out, and not on the test digits.
        recipe: how to train.
    """

    column: Literal["T", "TC"] = "TC"
    digit: Annotated[int, Range(least=0, below=10)] = 3
    encoder: Literal["all", "others", "closed", "random"] = "all"
    count: Annotated[int, Range(least=0)] = 0
    start: Annotated[float, Range(above=0)] = 0.5
    coarse: Annotated[float, Range(above=0)] = 0.5
    margin: Annotated[float, Range(least=0)] = 1.0
    data: Literal["mnist", "embedded"] = "mnist"
    encoder_data: Literal["mnist", "embedded"] = "mnist"
    validation: bool = False
    recipe: Recipe = field(
        default_factory=lambda: Recipe(
            epochs=8, batch_size=32, lr=3e-3, localization_lr_ratio=1.0
        )
    )

    def __post_init__(self) -> None:
        check_options(self)


# ---------------------------------------------------------------------------- pictures


@dataclass(frozen=True, eq=False)
class Pictures:
    """Digits on canvases, and where they are.

    Attributes:
        images: ``(N, 1, 84, 84)`` uint8.
        boxes: ``(N, 4)``: left, top, right and bottom of each digit's 28×28, in pixels
            of the canvas, of which the first one's centre is (0, 0).
        labels: ``(N,)`` classes.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)

    def of(self, digit: int, count: int = 0) -> Pictures:
        """Return the pictures of a class.

        Args:
            digit: the class.
            count: the first so many; 0 returns all.

        Returns:
            The pictures, in their order.
        """
        mine = (self.labels == digit).nonzero()[:, 0]
        mine = mine[:count] if count else mine
        return Pictures(self.images[mine], self.boxes[mine], self.labels[mine])


def make_pictures(digits: DigitSet, column: str, *, seed: int) -> Pictures:
    """Put every digit on a canvas of 84×84; the pieces are of digits of all classes.

    >>> digits = load_digits("test", "embedded").first(20)
    >>> pictures = make_pictures(digits, "TC", seed=0)
    >>> tuple(pictures.images.shape), tuple(pictures.boxes.shape)
    ((20, 1, 84, 84), (20, 4))
    >>> set(pictures.of(3).labels.tolist())
    {3}

    Args:
        digits: of all classes.
        column: one of `COLUMNS`.
        seed: of locations and pieces.

    Returns:
        The pictures, on the CPU.
    """
    check_choice(column, "column", tuple(COLUMNS))
    generator = torch.Generator().manual_seed(seed)
    images, corners = [], []
    for batch in digits.images.split(1000):
        done = put_on_canvas(batch, generator, size=SIZE, pieces=COLUMNS[column])
        images.append((255 * done.images).round().to(torch.uint8))
        corners.append(done.truth["shift_px"] + (SIZE - FRAME) / 2 - 0.5)
    corner = torch.cat(corners)
    boxes = torch.cat([corner, corner + FRAME], dim=1)
    return Pictures(torch.cat(images), boxes, digits.labels)


def digits_for(split: str, source: str) -> DigitSet:
    """Return the digits that an encoder or crops are trained on, or judged on.

    >>> [len(digits_for(split, "embedded")) for split in ("encoder", "crops", "test")]
    [479, 479, 360]

    Args:
        split: encoder, crops, validation, or test.
        source: mnist or embedded.

    Returns:
        The first third of the training digits, the second, the last sixth, or the test
        digits.
    """
    if split == "test":
        return load_digits("test", source)
    digits = load_digits("train", source)
    ends = {"encoder": (0, 2), "crops": (2, 4), "validation": (5, 6)}[split]
    first, last = (len(digits) * end // 6 for end in ends)
    chosen = slice(first, last)
    return DigitSet(digits.images[chosen], digits.labels[chosen], source)


@lru_cache(maxsize=3)
def _pictures(split: str, source: str, column: str, seed: int) -> Pictures:
    """Those of all classes, kept for the next cell."""
    return make_pictures(digits_for(split, source), column, seed=seed)


# ----------------------------------------------------------------------------- encoder


class Encoder(nn.Module):
    """What a classifier sees in a 28×28 crop: its last two layers' outputs.

    These are the features of the second convolution and the scores. (The first one's
    say more of where ink is than of what it is.) Such an encoding is long for what the
    classifier recognizes, and short for what it doesn't. It is only divided by the
    usual length for digits, so that squared distances are about 1.

    >>> digits = torch.rand(8, 1, 28, 28)
    >>> encodings = Encoder(CNN((1, 28, 28), n_classes=11), digits)(digits)
    >>> encodings.shape, round(encodings.square().sum(dim=1).mean().item(), 4)
    (torch.Size([8, 139]), 1.0)

    Args:
        classifier: is used, not copied, and frozen.
        usual: ``(N, 1, 28, 28)``, digits whose mean squared length becomes 1.
    """

    usual_length: Tensor

    def __init__(self, classifier: CNN, usual: Tensor) -> None:
        super().__init__()
        self.classifier = classifier.requires_grad_(False)
        squares = self._layers(usual).square().sum(dim=1)
        self.register_buffer("usual_length", squares.mean().sqrt())

    def forward(self, crops: Tensor) -> Tensor:
        """Encode crops.

        Args:
            crops: ``(N, 1, 28, 28)``.

        Returns:
            ``(N, F)``: 128 features and the scores.
        """
        return self._layers(crops) / self.usual_length

    def _layers(self, crops: Tensor) -> Tensor:
        *layers, last = self.classifier
        features = nn.Sequential(*layers)(crops)
        return torch.cat([features, last(features)], dim=1)


def shaken(
    digits: Tensor, labels: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return crops around digits, and of fragments of them, which get the label 10.

    A classifier of ten classes finds a digit in everything, and is as sure of half a 2
    as of a whole one: there is nothing else that it could say. One that is shown
    fragments can say that they are none.

    >>> digits, labels = torch.rand(50, 1, 28, 28), torch.zeros(50, dtype=torch.long)
    >>> crops, said = shaken(digits, labels, torch.Generator().manual_seed(0))
    >>> crops.shape, said.unique().tolist()
    (torch.Size([50, 1, 28, 28]), [0, 10])

    Args:
        digits: ``(N, 1, 28, 28)``, each in the middle of its frame.
        labels: ``(N,)``.
        generator: all that is random is drawn from it.

    Returns:
        Crops of 0.9 to 1.6 times the frame: three in five are off by 3 pixels at most
        along either axis, and keep their label; two in five are off by 9 to 22.
    """
    n = len(digits)
    unit = torch.rand(n, 5, generator=generator, device=generator.device)
    unit = unit.to(digits.device)
    side, away = 0.9 + 0.7 * unit[:, :1], 2 * unit[:, 1:3] - 1
    far = away / away.abs().amax(dim=1, keepdim=True) * (9 + 13 * unit[:, 3:4])
    is_fragment = unit[:, 4] < 0.4
    off_px = torch.where(is_fragment[:, None], far, 3 * away)
    params = torch.cat([side, off_px / (FRAME / 2)], dim=1)
    crops = sample(digits, Attention().grid(params, (FRAME, FRAME)))
    return crops, torch.where(is_fragment, NOTHING, labels)


@lru_cache(maxsize=12)
def train_encoder(
    kind: str = "all",
    *,
    digit: int | None = None,
    data: str = "mnist",
    seed: int = 0,
    epochs: int = 1,
) -> tuple[CNN, dict[str, Any]]:
    """Train the classifier of an encoder, on digits that no picture is made of.

    Args:
        kind: all ten classes and fragments, all `others` than `digit` and fragments,
            all ten as they come (closed), or random: not trained.
        digit: the class that is left out.
        data: mnist or embedded.
        seed: of the weights and the order.
        epochs: of the training.

    Returns:
        The paper's CNN, and what a result says of it: the classes and the number of
        digits that it was trained on, with their checksum, and its error on the test
        digits of these classes, as they come, in percent.
    """
    n_classes = 10 if kind == "closed" else 11
    with seeded(seed):
        classifier = CNN((1, FRAME, FRAME), n_classes=n_classes)
    said = {"kind": kind, "classes": [], "digits": 0, "sha256": "", "test_error": 90.0}
    if kind == "random":
        return classifier.eval(), said
    digits, test = (
        _without(digits_for(split, data), digit if kind == "others" else None)
        for split in ("encoder", "test")
    )
    judged = test.images, test.labels
    problem = Problem(
        examples=(digits.images, digits.labels),
        prepare=None if kind == "closed" else shaken,
        loss=F.cross_entropy,
        evaluate=lambda model: {"test_error": error_rate(model, *judged)},
    )
    recipe = Recipe(epochs=epochs, batch_size=64, lr=2e-3, seed=seed)
    done = fit(classifier, problem, recipe, evaluate_every=epochs)
    return done.model, {
        "kind": kind,
        "classes": digits.labels.unique().tolist(),
        "digits": len(digits),
        "sha256": digits.checksum,
        "test_error": done.test_error,
    }


def _without(digits: DigitSet, digit: int | None) -> DigitSet:
    """The digits of all other classes."""
    if digit is None:
        return digits
    kept = digits.labels != digit
    return DigitSet(digits.images[kept], digits.labels[kept], digits.source)


# ------------------------------------------------------------------- transformer, loss


class CropInside(Described):
    """A crop of a fixed size that can't leave the picture: an attention with one rule.

    Its two parameters run from -1 to 1: at the left or upper edge, and at the right or
    lower one. Beyond the picture, all is black, and nothing is as alike as black.

    >>> CropInside(0.25).grid(torch.tensor([[1.0, -1.0]]), (2, 2))[0, 0].tolist()
    [[0.625, -0.875], [0.875, -0.875]]

    Args:
        scale: side of the crop over that of the picture.
    """

    n_params = 2

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def identity(self) -> Tensor:
        """Return the parameters of the crop from the middle: zeros.

        Returns:
            ``(2,)``.
        """
        return torch.zeros(2)

    def attention(self, params: Tensor) -> Tensor:
        """Return the same crops as parameters of `stn_tutorial.Attention`.

        >>> CropInside(0.25).attention(torch.tensor([[1.0, -1.0]])).tolist()
        [[0.25, 0.75, -0.75]]

        Args:
            params: ``(N, 2)``.

        Returns:
            ``(N, 3)``: s, x and y.
        """
        scale = params.new_full((len(params), 1), self.scale)
        return torch.cat([scale, (1 - self.scale) * params], dim=1)

    def grid(
        self, params: Tensor, size: Sequence[int], *, align_corners: bool = False
    ) -> Tensor:
        """Return the input coordinates to sample; see `stn_tutorial.families.Family`.

        Args:
            params: ``(N, 2)``.
            size: ``(H, W)`` of the output.
            align_corners: the convention of the normalized coordinates.

        Returns:
            ``(N, H, W, 2)`` normalized input points.
        """
        crops = self.attention(params)
        return Attention().grid(crops, size, align_corners=align_corners)


class Colocalizer(nn.Module):
    """A spatial transformer that crops, and a frozen encoder that looks at the crops.

    Training goes from coarse to fine in its first part (`along` from 0 to 1). The crops
    shrink: a large one is seldom far from what it looks for, a small one says where
    that is. As long, crops are cut out of blurred pictures, whose encodings change more
    steadily with the place; and the pull of other crops grows, see `triplet_loss`.

    Args:
        localization: from pictures to ``(N, 2)``; a tanh makes parameters of
            `CropInside` of it.
        encoder: from crops of 28×28 to ``(N, F)``; it is not trained.
        scales: side of the crops over the picture's, at the start and at the end.
        passes: batches of training in the first part.
    """

    passed: Tensor

    def __init__(
        self,
        localization: nn.Module,
        encoder: nn.Module,
        *,
        scales: tuple[float, float] = (0.5, FRAME / SIZE),
        passes: int = 1,
    ) -> None:
        super().__init__()
        self.scales, self.passes = scales, passes
        self.register_buffer("passed", torch.tensor(0))
        inside = nn.Sequential(localization, nn.Tanh())
        self.transformer = SpatialTransformer(inside, self.family, (FRAME, FRAME))
        self.encoder = encoder.requires_grad_(False)

    @property
    def along(self) -> float:
        """How far training is in its first part, from 0 to 1."""
        return min(1.0, self.passed.item() / self.passes)

    @property
    def family(self) -> CropInside:
        """The crops of the size that they have by now."""
        start, end = self.scales
        return CropInside(start + (end - start) * self.along)

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """Encode the crop of each picture, and a random patch as large as the crop.

        Args:
            inputs: pictures ``(N, 1, H, W)``, and ``(N, 2)`` random numbers from -1 to
                1: where the patches lie, as parameters of `CropInside`.

        Returns:
            ``(N, 2, F)``: of the crops, and of the patches.
        """
        images, elsewhere = inputs
        self.transformer.family = self.family
        params = self.transformer.params(images), elsewhere
        if self.training and self.along < 1:
            images = F.avg_pool2d(images, 5, stride=1, padding=2)
        crops = [self.transformer.warp(images, each) for each in params]
        if self.training:
            self.passed += 1
        return self.encoder(torch.cat(crops)).unflatten(0, (2, -1)).transpose(0, 1)


def triplet_loss(encodings: Tensor, margin: float, *, weight: float = 1.0) -> Tensor:
    """Return the hinge loss over all pairs of a batch.

    For every two pictures n ≠ m, ``max(0, pull[n, m] - push[n] + margin)``: the squared
    distance of their crops' encodings, less that of n's crop from n's random patch.

    As long as crops lie anywhere, the pull says little of where to go: what makes them
    most alike is to leave what few of them show. A weight below 1 lets the push act
    first, which looks for what is unlike its surroundings.

    >>> alike, unlike = torch.zeros(2, 2, 3), torch.zeros(2, 2, 3)
    >>> unlike[:, 1, 0] = 2.0  # the patches are at a squared distance of 4
    >>> triplet_loss(alike, 1.0).item(), triplet_loss(unlike, 1.0).item()
    (1.0, 0.0)

    Args:
        encodings: ``(N, 2, F)``: of crops, and of random patches.
        margin: by how much farther the patches should be.
        weight: of the pull; 1 in the paper.

    Returns:
        The mean over the N (N - 1) pairs.
    """
    crops, patches = encodings.unbind(dim=1)
    push = (crops - patches).square().sum(dim=1)
    squares = crops.square().sum(dim=1)
    pull = squares[:, None] + squares - 2 * crops @ crops.T
    hinge = (weight * pull - push[:, None] + margin).clamp(min=0)
    n = len(crops)
    return (hinge.sum() - hinge.diagonal().sum()) / (n * (n - 1))


def make_model(config: Config, encoder: nn.Module, *, passes: int = 1) -> Colocalizer:
    """Build the untrained model of a configuration: it crops the middle.

    >>> model = make_model(Config(), nn.Flatten())
    >>> found_boxes(model, torch.zeros(1, 1, 84, 84)).tolist()
    [[20.5, 20.5, 62.5, 62.5]]

    Args:
        config: its recipe's seed decides the weights.
        encoder: of crops of 28×28.
        passes: batches of training in its first part, from coarse to fine.

    Returns:
        The model, on the CPU.
    """
    start, end = config.start, FRAME / SIZE
    with seeded(config.recipe.seed):
        network = ModernLocalization((1, SIZE // 2, SIZE // 2), CropInside(start))
    # Where a digit is can be seen at half the resolution, at a quarter of the cost.
    network = nn.Sequential(nn.AvgPool2d(2), network)
    return Colocalizer(network, encoder, scales=(start, end), passes=passes)


def found_boxes(model: Colocalizer, images: Tensor) -> Tensor:
    """Return the boxes of the crops, in the size that they have by now.

    Args:
        model: whose transformer crops.
        images: ``(N, 1, H, W)``, uint8 or in [0, 1].

    Returns:
        ``(N, 4)``: left, top, right and bottom, in pixels; see
        `stn_tutorial.experiments.views.bounding_boxes`.
    """
    pictures = images / 255 if images.dtype == torch.uint8 else images
    params = predict(model.transformer.localization, pictures)
    return bounding_boxes(model.family, params, tuple(images.shape[-2:]))


# --------------------------------------------------------------------------- baselines


def _middle(images: Tensor, classifier: CNN) -> Tensor:
    """The frame in the middle."""
    return torch.full((len(images), 2), (SIZE - FRAME) / 2.0)


def _anywhere(images: Tensor, classifier: CNN) -> Tensor:
    """A frame at random."""
    draw = torch.Generator().manual_seed(TEST_SEED)
    return (SIZE - FRAME) * torch.rand(len(images), 2, generator=draw)


def _most_ink(images: Tensor, classifier: CNN) -> Tensor:
    """The window that holds most ink; the middle of them, if several hold as much."""
    ink = F.avg_pool2d(images / 255, (FRAME, 1), stride=1)  # one axis after the other
    ink = F.avg_pool2d(ink, (1, FRAME), stride=1)
    ties = (ink >= ink.amax(dim=(2, 3), keepdim=True) - 1e-5)[:, 0].float()
    steps = torch.arange(ties.shape[-1], dtype=torch.float32)
    total = ties.sum(dim=(1, 2))
    x, y = (ties.sum(dim=axis) @ steps / total for axis in (1, 2))
    return torch.stack([x, y], dim=1)


def _most_confident(images: Tensor, classifier: CNN) -> Tensor:
    """The window, every 4 pixels, that the classifier is surest to be of some class.

    Its layers are convolutions but the last, which is one with a kernel of 2×2.
    """
    *features, _, last = classifier
    features = nn.Sequential(*features)
    weight = last.weight.unflatten(1, (-1, 2, 2))
    found = []
    with torch.inference_mode():
        for part in images.split(100):
            scores = F.conv2d(features(part / 255), weight, last.bias)
            sure = scores.softmax(dim=1)[:, :NOTHING].amax(dim=1)
            best = sure.flatten(1).argmax(dim=1)
            row, column = best // scores.shape[-1], best % scores.shape[-1]
            found.append(4.0 * torch.stack([column, row], dim=1))
    return torch.cat(found)


#: Ways to a box of 28×28 without training; they know its size. From pictures, uint8,
#: and the encoder's classifier to the frames' upper left corners ``(N, 2)``: x, y.
BASELINES = {
    "middle": _middle,
    "anywhere": _anywhere,
    "most ink": _most_ink,
    "most confident": _most_confident,
}


# --------------------------------------------------------------------------------- run


_JUDGED = {"pictures": int, "iou": float, "found": float}
_RESULT = {
    "config": Config,
    "parameters": int,
    "encoder": {
        "kind": str,
        "classes": [int],
        "digits": int,
        "sha256": str,
        "test_error": float,
    },
    "data": {
        "source": str,
        "split": str,
        "crops": {"digits": int, "sha256": str},
        "test": {"digits": int, "sha256": str},
    },
    "found": float,
    "iou": float,
    "side_px": float,
    "test": _JUDGED,
    "own": _JUDGED,
    "baselines": {str: float},
    "worst": [{"index": int, "iou": float, "box": [float]}],
    "seconds": float,
    "history": [
        {
            "epoch": int,
            "loss": float,
            "seconds": float,
            "iou?": float,
            "found?": float,
        },
        ...,
    ],
    **ENVIRONMENT,
}


def _judge(found: Tensor, true: Tensor) -> dict[str, float]:
    """Mean IoU, and the share of boxes above a half, in percent."""
    iou = boxes_iou(found, true)
    return {
        "pictures": len(iou),
        "iou": iou.mean().item(),
        "found": 100 * (iou > 0.5).float().mean().item(),
    }


def run(
    config: Config,
    folder: Path | None = None,
    *,
    encoder_epochs: int = 1,
    limit: int = 0,
    progress: bool = False,
    **options: Any,
) -> Run:
    """Train a co-localizer, and judge its boxes; go on where a killed run stopped.

    Args:
        config: what to train and how.
        folder: where the checkpoint is kept; without, there is none.
        encoder_epochs: of the encoder's training.
        limit: of the pictures of all classes, for a miniature; 0 takes all.
        progress: show a bar.
        **options: of `stn_tutorial.experiments.training.fit`.

    Returns:
        The run: its `result` has the share of test pictures whose box is found (an IoU
        above a half with the digit's 28×28) in percent, the mean IoU and the mean side
        of the boxes; the same of the pictures trained on (``own``), of the baselines;
        and the eight worst test pictures.
    """
    seed, split = config.recipe.seed, "validation" if config.validation else "test"
    classifier, about = train_encoder(
        config.encoder,
        digit=config.digit if config.encoder == "others" else None,
        data=config.encoder_data,
        seed=seed,
        epochs=encoder_epochs,
    )
    of = config.data, config.column
    pictures = _pictures("crops", *of, seed).of(config.digit, config.count or limit)
    test = _pictures(split, *of, TEST_SEED).of(config.digit, limit)
    steps = config.recipe.epochs * -(-len(pictures) // config.recipe.batch_size)
    passes = max(1, round(config.coarse * steps))
    usual = digits_for("encoder", config.encoder_data)
    usual = _without(usual, config.digit if config.encoder == "others" else None)
    encoder = Encoder(classifier, usual.images[:1000])
    model = make_model(config, encoder, passes=passes)

    def prepare(images: Tensor, draw: torch.Generator) -> tuple[Any, Tensor]:
        places = torch.rand(len(images), 2, generator=draw, device=draw.device)
        return (images / 255, 2 * places - 1), images

    def evaluate(model: Any) -> dict[str, float]:
        judged = _judge(found_boxes(model, test.images), test.boxes)
        return {name: judged[name] for name in ("iou", "found")}

    problem = Problem(
        examples=(pictures.images,),
        prepare=prepare,
        loss=lambda e, _: triplet_loss(e, config.margin, weight=model.along),
        evaluate=evaluate,
    )
    label = {"colocalization": asdict(config), "encoder": about}
    done = fit(
        model,
        problem,
        config.recipe,
        folder=folder,
        label=label,
        evaluate_every=2,
        progress=progress,
        **options,
    )
    boxes = found_boxes(model, test.images)
    judged = _judge(boxes, test.boxes)
    iou = boxes_iou(boxes, test.boxes)
    baselines = {}
    for name, corners in BASELINES.items():
        corner = corners(test.images, classifier) - 0.5
        frames = torch.cat([corner, corner + FRAME], dim=1)
        baselines[name] = _judge(frames, test.boxes)["found"]
    digits = {
        "crops": digits_for("crops", config.data),
        "test": digits_for(split, config.data),
    }
    done.about = {
        "config": asdict(config),
        "encoder": about,
        "data": {
            "source": config.data,
            "split": split,
            **{
                name: {"digits": len(part), "sha256": part.checksum}
                for name, part in digits.items()
            },
        },
        "found": judged["found"],
        "iou": judged["iou"],
        "side_px": (boxes[:, 2] - boxes[:, 0]).mean().item(),
        "test": judged,
        "own": _judge(found_boxes(model, pictures.images), pictures.boxes),
        "baselines": baselines,
        "worst": [
            {
                "index": index,
                "iou": iou[index].item(),
                "box": [round(edge, 2) for edge in boxes[index].tolist()],
            }
            for index in iou.argsort()[:8].tolist()
        ],
    }
    return done


def wilson(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's interval of a share, which stays within 0 and 1.

    >>> [round(end, 3) for end in wilson(1.0, 100)]
    [0.963, 1.0]

    Args:
        share: of what was found, from 0 to 1.
        count: of how many.
        z: the normal distribution's quantile; 1.96 for 95%.

    Returns:
        Its low and its high end.
    """
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    spread = share * (1 - share) / count + z * z / (4 * count * count)
    half = z * spread**0.5 / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)


# ------------------------------------------------------------------------------- cells


#: What each arm changes of a configuration. The first has an encoder that knows all ten
#: classes and fragments; then one that has never seen the class, one that has never
#: seen a fragment, as the paper's, and one that has never seen anything. The last has
#: as many pictures as the paper, a hundred, and is judged on them.
ARMS: dict[str, dict[str, Any]] = {
    "all": {},
    "others": {"encoder": "others"},
    "closed": {"encoder": "closed"},
    "random": {"encoder": "random"},
    "hundred": {"count": 100},
}


@dataclass(frozen=True)
class Cell:
    """One run.

    >>> cell = Cell("TC", 3, "others")
    >>> cell.name, cell.config().encoder
    ('TC-3-others-0', 'others')

    Attributes:
        column: one of `COLUMNS`.
        digit: the class, 0 to 9.
        arm: one of `ARMS`.
        seed: of weights, order, locations, pieces, and the encoder.

    Raises:
        TypeError: if a name is no string, or a number no integer.
        ValueError: if there is no such run.
    """

    RESULT: ClassVar[dict[str, Any]] = _RESULT

    column: str
    digit: Annotated[int, Range(least=0, below=10)]
    arm: str = "all"
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, column=COLUMNS, arm=ARMS)

    @property
    def name(self) -> str:
        """The name of the cell's file, such as ``TC-3-all-0``."""
        return f"{self.column}-{self.digit}-{self.arm}-{self.seed}"

    def config(self, *, quick: bool = False) -> Config:
        """Return the configuration of the run.

        Args:
            quick: of a miniature: embedded digits, two epochs.

        Returns:
            What to give to `run`.
        """
        config = Config(column=self.column, digit=self.digit, **ARMS[self.arm])
        epochs = EPOCHS[self.column]
        if config.count:  # as many steps with as few pictures
            epochs *= 18
        recipe = replace(config.recipe, seed=self.seed, epochs=epochs)
        config = replace(config, recipe=recipe)
        if not quick:
            return config
        recipe = replace(config.recipe, epochs=2, batch_size=16)
        few = {"data": "embedded", "encoder_data": "embedded", "recipe": recipe}
        return replace(config, **few)

    def measure(
        self, checkpoints: Path, *, progress: bool = False, quick: bool = False
    ) -> dict[str, Any]:
        """Run the cell, or go on where a killed run of it stopped.

        Args:
            checkpoints: the folder of the run.
            progress: show a bar.
            quick: see `config`.

        Returns:
            The result of `run`.
        """
        config = self.config(quick=quick)
        small = {"encoder_epochs": 1, "limit": 32} if quick else {}
        return run(config, checkpoints, progress=progress, **small).result


def cells(
    *,
    columns: Iterable[str] = tuple(COLUMNS),
    digits: Iterable[int] = range(10),
    arms: Iterable[str] = ("all",),
    seeds: Iterable[int] = (0,),
) -> list[Cell]:
    """Return the runs, those of a seed together.

    >>> len(cells()), [cell.name for cell in cells(columns=["TC"], digits=[3, 8])]
    (20, ['TC-3-all-0', 'TC-8-all-0'])

    Args:
        columns: of `COLUMNS`.
        digits: classes.
        arms: of `ARMS`.
        seeds: see `Cell`.

    Returns:
        The cells, in the order of work.

    Raises:
        ValueError: if a name is unknown.
    """
    every = product(seeds, arms, columns, digits)
    return [Cell(column, digit, arm, seed) for seed, arm, column, digit in every]
