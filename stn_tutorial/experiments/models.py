"""The classifiers of Jaderberg et al. (2015), §4.1, and one of today.

Each takes digits ``(N, 1, H, W)`` to ``(N, 10)`` scores, or pictures of any channels to
scores of any classes. The ST- variants put a
`SpatialTransformer` in front and are narrower behind it, so that all models of a row of
the paper's table have about the same number of parameters: `build` sees to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stn_tutorial._modules import Layers
from stn_tutorial._validate import check_choice
from stn_tutorial.coordconv import (
    CoordConv1d,
    CoordConv2d,
    CoordConv3d,
    CoordConvTranspose2d,
    convert_to_coordconv,
)
from stn_tutorial.families import (
    Affine,
    Attention,
    Crop,
    Projective,
    Similarity,
    Translation,
    convert,
    family_for_image,
)
from stn_tutorial.localization import (
    ConvLocalization,
    FullyConnectedLocalization,
    ModernLocalization,
    flat_features,
    normalized_convolution,
)
from stn_tutorial.thin_plate_spline import ThinPlateSpline
from stn_tutorial.transformer import SpatialTransformer

__all__ = [
    "CNN",
    "COORDINATES",
    "FAMILIES",
    "FCN",
    "FamilyName",
    "MODELS",
    "ModelName",
    "ModernCNN",
    "NormalizedFCN",
    "RowsConv2d",
    "SideBySide",
    "Steps",
    "TransformedClassifier",
    "build",
    "check_transformed",
    "closest_width",
    "count_parameters",
    "seeded",
    "use_coordconv",
]

#: What an option that names a family may be.
FamilyName = Literal[
    "translation", "attention", "crop", "similarity", "affine", "projective", "tps"
]
#: What an option that names a model may be.
ModelName = Literal[
    "fcn",
    "normalized-fcn",
    "cnn",
    "modern",
    "st-fcn",
    "st-normalized-fcn",
    "st-cnn",
    "st-modern",
    "st-small",
    "st-pooled",
]
#: The families of warps by the names that options use.
FAMILIES = {
    "translation": Translation,
    "attention": Attention,
    "crop": Crop,
    "similarity": Similarity,
    "affine": Affine,
    "projective": Projective,
    "tps": ThinPlateSpline,
}


class FCN(Layers):
    """The paper's fully connected network: two hidden layers of `width`.

    >>> FCN((1, 28, 28))(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])

    Args:
        in_shape: ``(C, H, W)`` of the images.
        width: of both hidden layers.
        n_classes: how many scores.
    """

    def __init__(
        self, in_shape: Sequence[int], width: int = 128, n_classes: int = 10
    ) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(flat_features(nn.Flatten(), in_shape), width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, n_classes),
        )


class NormalizedFCN(Layers):
    """`FCN`, with the same arguments, and its hidden layers normalized over the batch.

    >>> NormalizedFCN((2, 28, 28), n_classes=19)(torch.zeros(2, 2, 28, 28)).shape
    torch.Size([2, 19])
    """

    def __init__(
        self, in_shape: Sequence[int], width: int = 128, n_classes: int = 10
    ) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        n_in = flat_features(nn.Flatten(), in_shape)
        for n_out in (width, width):
            layers.append(nn.Linear(n_in, n_out, bias=False))
            layers += [nn.BatchNorm1d(n_out), nn.ReLU()]
            n_in = n_out
        super().__init__(*layers, nn.Linear(width, n_classes))


class CNN(Layers):
    """The paper's convolutional network: 9×9 and 7×7 convolutions, with pooling.

    >>> CNN((1, 42, 42))(torch.zeros(2, 1, 42, 42)).shape
    torch.Size([2, 10])

    Args:
        in_shape: ``(C, H, W)`` of the images.
        width: channels of both convolutions.
        n_classes: how many scores.
    """

    def __init__(
        self, in_shape: Sequence[int], width: int = 32, n_classes: int = 10
    ) -> None:
        features = nn.Sequential(
            nn.Conv2d(in_shape[0], width, 9),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(width, width, 7),
            nn.MaxPool2d(2),
            nn.ReLU(),
        )
        n_features = flat_features(features, in_shape)
        super().__init__(*features, nn.Flatten(), nn.Linear(n_features, n_classes))


class ModernCNN(Layers):
    """Four convolutions with normalization; the first one halves the size at once.

    A 5×5 convolution with stride 2, one 3×3 convolution, pooling, two more and pooling
    again. Most of the operations are saved at the full size, where features say little.
    The scores are computed from all locations, not from a mean over them: a digit in
    its pose is worth more than one that is anywhere.

    >>> ModernCNN((1, 42, 42))(torch.zeros(2, 1, 42, 42)).shape
    torch.Size([2, 10])

    Args:
        in_shape: ``(C, H, W)`` of the images.
        width: channels of the last convolutions.
        n_classes: how many scores.
    """

    def __init__(
        self, in_shape: Sequence[int], width: int = 64, n_classes: int = 10
    ) -> None:
        features = nn.Sequential(
            *normalized_convolution(in_shape[0], max(1, width // 2), 5, stride=2),
            *normalized_convolution(max(1, width // 2), width, 3),
            nn.MaxPool2d(2),
            *normalized_convolution(width, width, 3),
            *normalized_convolution(width, width, 3),
            nn.MaxPool2d(2),
        )
        n_features = flat_features(features, in_shape)
        super().__init__(*features, nn.Flatten(), nn.Linear(n_features, n_classes))


class RowsConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` of one channel, several times as quick behind a transformer.

    Only there is the gradient with respect to the image wanted, and on a CPU it is
    computed as if the image had as many channels as fit into a vector register. Here
    it has some: each pixel comes with those to its right that a row of the kernel
    covers, as channels, and the kernel is a column of such rows. The sums are the same.

    >>> layer = RowsConv2d(1, 3, 5, stride=2, padding=2)
    >>> image = torch.rand(2, 1, 9, 9, requires_grad=True)
    >>> torch.allclose(layer(image), layer(image.detach()), atol=1e-6)
    True

    Its arguments are those of `torch.nn.Conv2d`, with one channel that comes in.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Convolve images.

        Args:
            image: ``(N, 1, H, W)``.

        Returns:
            ``(N, C, H', W')``.
        """
        usual = self.padding_mode == "zeros" and self.dilation == (1, 1)
        usual &= not isinstance(self.padding, str)
        if not (usual and image.requires_grad and image.device.type == "cpu"):
            return super().forward(image)
        (down, right), (above, beside) = self.stride, self.padding
        padded = nn.functional.pad(image[:, 0], (beside, beside, above, above))
        rows = padded.unfold(2, self.kernel_size[1], right).permute(0, 3, 1, 2)
        column = self.weight[:, 0].transpose(1, 2)[..., None]
        return nn.functional.conv2d(rows, column, self.bias, (down, 1))


class SideBySide(nn.Module):
    """Spatial transformers that look at the same images, each in its own way (§4.3).

    Every transformer sees all channels, and warps all of them alike; what they return
    stands side by side as channels.

    >>> networks = [ConvLocalization((2, 42, 42), Affine()) for _ in range(2)]
    >>> heads = SideBySide(SpatialTransformer(n, out_size=(28, 28)) for n in networks)
    >>> heads(torch.zeros(5, 2, 42, 42)).shape
    torch.Size([5, 4, 28, 28])

    Args:
        heads: the transformers, which all have the same ``out_size``.
    """

    def __init__(self, heads: Iterable[SpatialTransformer]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> Tensor:
        """Warp every image by each of the transformers.

        Args:
            x: ``(N, C, H, W)``.

        Returns:
            ``(N, heads · C, *out_size)``: all channels as the first transformer shows
            them, then all as the second does, and so on.
        """
        return torch.cat([head(x) for head in self.heads], dim=1)


class TransformedClassifier(nn.Module):
    """A spatial transformer and a classifier behind it.

    Args:
        transformer: warps the images; it may be several, `SideBySide`.
        classifier: scores what it returns.
    """

    def __init__(
        self, transformer: SpatialTransformer | SideBySide, classifier: nn.Module
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """Warp images, then score them.

        Args:
            x: ``(N, C, H, W)``.

        Returns:
            ``(N, n_classes)`` scores.
        """
        return self.classifier(self.transformer(x))


def check_transformed(model: nn.Module, folder: Path, name: str) -> None:
    """Raise unless a run's model has a transformer in front.

    >>> check_transformed(FCN((1, 28, 28)), Path("runs/fcn"), "fcn")
    Traceback (most recent call last):
        ...
    ValueError: runs/fcn holds a fcn: no transformer

    Args:
        model: of the run.
        folder: of the run, for the message.
        name: of the model, for the message.

    Raises:
        ValueError: if the model is no `TransformedClassifier`.
    """
    if not isinstance(model, TransformedClassifier):
        raise ValueError(f"{folder} holds a {name}: no transformer")


class Steps(nn.Module):
    """What a transformed classifier computes on the way, beside its scores.

    >>> model = build("st-cnn", (1, 42, 42), out_size=(28, 28), budget=30_000)
    >>> [tuple(step.shape) for step in Steps(model)(torch.zeros(2, 1, 42, 42))]
    [(2, 10), (2, 6), (2, 1, 28, 28)]

    Args:
        model: is used, not copied.
    """

    def __init__(self, model: TransformedClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores, parameters and warped images.

        Args:
            x: ``(N, C, H, W)``.

        Returns:
            ``(N, n_classes)`` scores, ``(N, n_params)`` normalized output to normalized
            input, and ``(N, C, *out_size)`` what the classifier sees.
        """
        params = self.model.transformer.params(x)
        warped = self.model.transformer.warp(x, params)
        return self.model.classifier(warped), params, warped


#: Half as wide as usual, a quarter of the parameters.
_SMALL = {"channels": (8, 16, 16), "hidden": 16}
_NORMALIZED = partial(FullyConnectedLocalization, normalized=True)
#: The models by name, as (classifier, localization network in front or None, widest).
MODELS: dict[str, tuple[Callable, Callable | None, int]] = {
    "fcn": (FCN, None, 1024),
    "cnn": (CNN, None, 512),
    "modern": (ModernCNN, None, 512),
    "normalized-fcn": (NormalizedFCN, None, 1024),
    "st-fcn": (FCN, FullyConnectedLocalization, 1024),
    "st-normalized-fcn": (NormalizedFCN, _NORMALIZED, 1024),
    "st-cnn": (CNN, ConvLocalization, 512),
    "st-modern": (ModernCNN, ModernLocalization, 512),
    "st-small": (ModernCNN, partial(ModernLocalization, **_SMALL), 512),
    "st-pooled": (ModernCNN, partial(ModernLocalization, pooled=True), 512),
}
#: What convolutions of an ST- variant may be CoordConv layers. Everywhere means all of
#: the localization network's, radius the same with the radius, and both means that
#: network's first and the classifier's. Zero is the localization network's first, with
#: weights of zero for the coordinates: the network starts as if it had none.
COORDINATES = ("none", "first", "everywhere", "radius", "both", "zero")


def build(
    name: str,
    in_shape: Sequence[int] = (1, 28, 28),
    *,
    n_classes: int = 10,
    family: str = "affine",
    budget: int | None = 200_000,
    out_size: Sequence[int] | None = None,
    pool: int = 1,
    zoom: float = 1.0,
    coordinates: str = "none",
    heads: int = 1,
    **options: Any,
) -> nn.Module:
    """Return a classifier with about `budget` parameters.

    The classifier's width is chosen so that the whole model comes closest to it.

    >>> model = build("st-cnn", (1, 42, 42), out_size=(28, 28), budget=100_000)
    >>> model(torch.zeros(2, 1, 42, 42)).shape, abs(count_parameters(model) - 1e5) < 5e3
    (torch.Size([2, 10]), True)

    Args:
        name: one of `MODELS`.
        in_shape: ``(C, H, W)`` of the images.
        n_classes: how many scores.
        family: one of `FAMILIES`, for the ST- variants.
        budget: the number of parameters aimed at; None keeps the classifier's usual
            width, so that the model grows with pictures, channels and classes.
        out_size: ``(H, W)`` of an ST- variant's output; the default is the input's.
        pool: average pooling behind the transformer of an ST- variant.
        zoom: an ST- variant starts at a crop from the middle, of so much of the height
            and width; 1 is the identity.
        coordinates: one of `COORDINATES`, for the ST- variants.
        heads: how many transformers an ST- variant has, `SideBySide`; each has a
            localization network of its own.
        **options: of `stn_tutorial.sample`, for the transformer of an ST- variant.

    Returns:
        The model, freshly initialized from PyTorch's global random state.

    Raises:
        TypeError: if a model without a transformer is given options of one, or a
            family that is no matrix is to start at a crop.
        ValueError: if a name is unknown, `heads` is no positive integer, there is no
            convolution to give coordinates to, or no width comes within 20% of the
            budget.
    """
    check_choice(name, "name", tuple(MODELS))
    check_choice(family, "family", tuple(FAMILIES))
    check_choice(coordinates, "coordinates", COORDINATES)
    if type(heads) is not int or heads < 1:
        raise ValueError(f"heads must be an integer >= 1, got {heads!r}")
    classifier, localization, widest = MODELS[name]
    usual = {"out_size": None, "pool": 1, "zoom": 1, "coordinates": "none", "heads": 1}
    asked = {"out_size": out_size, "pool": pool, "zoom": zoom}
    asked |= {"coordinates": coordinates, "heads": heads}
    given = [*options, *(name for name in usual if asked[name] != usual[name])]
    if localization is None and given:
        raise TypeError(f"{name} has no transformer to give {', '.join(given)} to")
    in_shape = tuple(in_shape)
    transformer, inner = None, in_shape
    if localization is not None:
        align_corners = options.get("align_corners", False)
        warps = family_for_image(
            FAMILIES[family](), in_shape[1:], align_corners=align_corners
        )
        every = [
            _transformer(
                localization(in_shape, warps),
                coordinates,
                zoom,
                out_size,
                options,
            )
            for _ in range(heads)
        ]
        transformer = every[0] if heads == 1 else SideBySide(every)
        inner = (heads * in_shape[0], *(n // pool for n in out_size or in_shape[1:]))

    width, both = None, coordinates == "both"
    if budget is not None:
        width = closest_width(
            classifier,
            inner,
            budget - (count_parameters(transformer) if transformer else 0),
            n_classes=n_classes,
            coordinates=both,
            widest=widest,
        )
    model = _classifier(classifier, inner, n_classes, both, width)
    if transformer is not None:
        if type(model[0]) is nn.Conv2d and model[0].in_channels == 1:
            model[0].__class__ = RowsConv2d  # as drawn, and quicker
        pooled = model if pool == 1 else nn.Sequential(nn.AvgPool2d(pool), model)
        model = TransformedClassifier(transformer, pooled)
    if budget is not None and abs(count_parameters(model) - budget) > 0.2 * budget:
        raise ValueError(
            f"budget of {budget} is out of reach for {name}: the closest has "
            f"{count_parameters(model)} parameters"
        )
    # On a CPU, convolutions and poolings are half as fast again in this layout.
    return model.to(memory_format=torch.channels_last)


def _transformer(
    network: nn.Module,
    coordinates: str,
    zoom: float,
    out_size: Sequence[int] | None,
    options: dict[str, Any],
) -> SpatialTransformer:
    """A transformer with a localization network, changed as `build` says."""
    if coordinates == "zero":
        convert_to_coordconv(network, first=True)
    elif coordinates != "none":
        every = coordinates in ("everywhere", "radius")
        use_coordconv(network, first=not every, radius=coordinates == "radius")
    if zoom != 1:
        middle = torch.tensor([[zoom, 0.0, 0.0]])
        start = convert(middle, Attention(), network.family)[0]
        network[-1].bias.data.copy_(start)
    return SpatialTransformer(network, network.family, out_size, **options)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's global random state for a while, and put it back.

    >>> with seeded(0):
    ...     first = torch.rand(2)
    >>> with seeded(0):
    ...     torch.equal(torch.rand(2), first)
    True

    Args:
        seed: of what is drawn on the CPU within, such as the weights of a new layer.

    Returns:
        A context for ``with``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def use_coordconv(
    network: nn.Module, *, first: bool = False, radius: bool = False
) -> nn.Module:
    """Give an untrained network CoordConv layers, as if it had been written with them.

    All weights of the new layers are drawn anew, those for the coordinates too, where
    `stn_tutorial.convert_to_coordconv` keeps the function.

    >>> network = use_coordconv(nn.Sequential(nn.Conv2d(1, 8, 3)))
    >>> network[0].weight.shape, bool(network[0].weight[:, 1:].std() > 0)
    (torch.Size([8, 3, 3, 3]), True)

    Args:
        network: changed in place.
        first: change its first convolution alone.
        radius: see `stn_tutorial.add_coordinates`.

    Returns:
        The network. The weights are drawn from PyTorch's global random state.
    """
    convert_to_coordconv(network, first=first, radius=radius)
    new = (CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d)
    for layer in network.modules():
        if isinstance(layer, new):
            layer.reset_parameters()
    return network


def count_parameters(module: nn.Module) -> int:
    """Return the number of parameters that are trained.

    >>> count_parameters(nn.Linear(3, 2))  # six weights, two biases
    8

    Args:
        module: what is frozen in it does not count.

    Returns:
        The number of its parameters' entries.
    """
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def _classifier(
    kind: Callable[..., nn.Module],
    in_shape: tuple,
    n_classes: int,
    coordinates: bool,
    width: int | None,
) -> nn.Module:
    """A classifier of a width, or its usual one; perhaps its first convolution is given
    coordinates."""
    usual = {} if width is None else {"width": width}
    model = kind(in_shape, n_classes=n_classes, **usual)
    return use_coordconv(model, first=True) if coordinates else model


@cache
def _size_of_classifier(*arguments: Any) -> int:
    """The parameters of a `_classifier`, counted once, as counting takes a while."""
    with torch.device("meta"):  # no memory, and no random numbers
        return count_parameters(_classifier(*arguments))


def closest_width(
    classifier: type[nn.Module],
    in_shape: Sequence[int],
    budget: int,
    *,
    n_classes: int = 10,
    coordinates: bool = False,
    widest: int = 512,
) -> int:
    """Return the width by which a classifier has as many parameters as can be had.

    >>> closest_width(FCN, (1, 28, 28), 100_000)
    110

    Args:
        classifier: a class such as `FCN`.
        in_shape: ``(C, H, W)`` of its input.
        budget: of parameters.
        n_classes: how many scores.
        coordinates: whether its first convolution is given coordinates.
        widest: that is tried.

    Returns:
        The width in 1 to `widest` whose parameters are closest to the budget.
    """
    kind = (classifier, tuple(in_shape), n_classes, coordinates)

    def excess(width: int) -> int:
        return _size_of_classifier(*kind, width) - budget

    low, high = 1, widest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return min((low, high), key=lambda width: abs(excess(width)))
