"""Localization networks: from an image to the parameters of a warp.

Any network will do that ends in ``n_params`` numbers, if it *starts at the identity*:
then the transformer first passes images on as they are, and the classifier behind it
sees something worth learning from. `start_at_identity` sees to that. The networks here
are the paper's two (§4.1) and a small modern one, which takes volumes as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from stn_tutorial._modules import Layers, evaluating
from stn_tutorial._validate import check_number, check_size, kind_of
from stn_tutorial.families import Family, check_family

__all__ = [
    "ConvLocalization",
    "FullyConnectedLocalization",
    "ModernLocalization",
    "flat_features",
    "normalized_convolution",
    "parameters_by_part",
    "start_at_identity",
]

#: The shape of an image, or of a volume.
SHAPES = "(C, H, W) or (C, D, H, W)"


def start_at_identity(
    last: nn.Module,
    family: Family,
    *,
    perturbation: float = 0.0,
    generator: torch.Generator | None = None,
) -> None:
    """Make a layer answer with the identity's parameters, whatever comes in.

    >>> from stn_tutorial import Attention
    >>> last = nn.Linear(32, Attention().n_params)
    >>> start_at_identity(last, Attention())
    >>> last(torch.rand(1, 32)).tolist()
    [[1.0, 0.0, 0.0]]

    Args:
        last: the last layer of a localization network, ``n_params`` wide.
        family: the family of warps: its ``identity()`` is the start, of `Crop` the crop
            from the middle.
        perturbation: the standard deviation of the weights. 0 is exactly the identity;
            a small value lets the first gradients reach the layers in front as well.
        generator: for the perturbation.

    Raises:
        TypeError: if `last` is no `torch.nn.Linear`.
        ValueError: if the layer is not ``n_params`` wide, has no bias, or weights that
            are computed from others (`torch.nn.utils.parametrize`, pruning), or the
            perturbation is negative or not finite.
    """
    check_family(family)
    if not isinstance(last, nn.Linear):
        raise TypeError(f"last must be a torch.nn.Linear, got {kind_of(last)}")
    if last.out_features != family.n_params:
        raise ValueError(
            f"last must have {family.n_params} outputs for {family!r}, "
            f"got {last.out_features}"
        )
    if last.bias is None:
        raise ValueError("last must have a bias: it holds the identity")
    if not {"weight", "bias"} <= last._parameters.keys():
        raise ValueError("last must have plain weights, no parametrized or pruned ones")
    if check_number(perturbation, "perturbation") < 0:
        raise ValueError(f"perturbation must be >= 0, got {perturbation}")
    with torch.no_grad():
        last.bias.copy_(family.identity())
        nn.init.normal_(last.weight, std=float(perturbation), generator=generator)


class FullyConnectedLocalization(Layers):
    """The paper's network for the ST-FCN: hidden layers of 32 and 32 (§A.2).

    >>> from stn_tutorial import Affine
    >>> network = FullyConnectedLocalization((1, 28, 28), Affine())
    >>> network(torch.rand(5, 1, 28, 28)).shape, network.family
    (torch.Size([5, 6]), Affine())

    Args:
        in_shape: ``(C, H, W)`` of the images, or ``(C, D, H, W)`` of volumes.
        family: the family of warps.
        hidden: the widths of the hidden layers.
        normalized: normalize the hidden layers over the batch, which the paper's
            network does not: it then learns in far fewer steps.
        perturbation: see `start_at_identity`.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        family: Family,
        *,
        hidden: Sequence[int] = (32, 32),
        normalized: bool = False,
        perturbation: float = 0.0,
    ) -> None:
        check_family(family)
        widths = [flat_features(nn.Flatten(), in_shape), *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for n_in, n_out in zip(widths, widths[1:]):
            layers.append(nn.Linear(n_in, n_out, bias=not normalized))
            layers += [nn.BatchNorm1d(n_out)] if normalized else []
            layers.append(nn.ReLU())
        layers.append(nn.Linear(widths[-1], family.n_params))
        super().__init__(*layers)
        self.family = family
        start_at_identity(self[-1], family, perturbation=perturbation)


class ConvLocalization(Layers):
    """The paper's network for the ST-CNN: two 5×5 convolutions of 20, one layer of 20.

    Each convolution follows a 2×2 max pooling.

    >>> from stn_tutorial import Crop
    >>> ConvLocalization((1, 60, 60), Crop(scale=0.5))(torch.rand(5, 1, 60, 60)).shape
    torch.Size([5, 2])

    Args:
        in_shape: ``(C, H, W)`` of the images, at least 28×28.
        family: the family of warps.
        channels: of both convolutions.
        hidden: the width of the fully connected layer.
        padding: of the second convolution. The paper's has none, as we read it; with a
            padding of 2, images may be as small as 12×12.
        perturbation: see `start_at_identity`.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        family: Family,
        *,
        channels: int = 20,
        hidden: int = 20,
        padding: int = 0,
        perturbation: float = 0.0,
    ) -> None:
        check_family(family)
        in_shape = check_size(in_shape, "in_shape", "(C, H, W)")
        features = nn.Sequential(
            nn.MaxPool2d(2),
            nn.Conv2d(in_shape[0], channels, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, channels, 5, padding=padding),
            nn.ReLU(),
        )
        n_features = flat_features(features, in_shape)
        super().__init__(
            *features,
            nn.Flatten(),
            nn.Linear(n_features, hidden),
            nn.ReLU(),
            nn.Linear(hidden, family.n_params),
        )
        self.family = family
        start_at_identity(self[-1], family, perturbation=perturbation)


class ModernLocalization(Layers):
    """Strided convolutions with normalization, and as a rule no pooling behind them.

    The hidden layer is normalized as well. Without, large first steps can push all its
    units below zero for good; then the output is the last layer's bias, the same warp
    for every image.

    >>> from stn_tutorial import ThinPlateSpline
    >>> network = ModernLocalization((3, 48, 64), ThinPlateSpline((3, 3)))
    >>> network(torch.rand(5, 3, 48, 64)).shape
    torch.Size([5, 18])
    >>> from stn_tutorial import Rigid3d
    >>> network = ModernLocalization((1, 9, 16, 16), Rigid3d())
    >>> network(torch.rand(5, 1, 9, 16, 16)).shape
    torch.Size([5, 6])

    Args:
        in_shape: ``(C, H, W)`` of the images, or ``(C, D, H, W)`` of volumes.
        family: the family of warps.
        channels: of the convolutions, each of which halves the size; the first is 5×5,
            the others are 3×3; of volumes likewise, in three dimensions.
        hidden: the width of the fully connected layer.
        pooled: take the maximum over all locations behind the convolutions. Then the
            fully connected layer is told what there is, but not where.
        perturbation: see `start_at_identity`.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        family: Family,
        *,
        channels: Sequence[int] = (16, 32, 32),
        hidden: int = 32,
        pooled: bool = False,
        perturbation: float = 0.0,
    ) -> None:
        check_family(family)
        in_shape = check_size(in_shape, "in_shape", SHAPES)
        dimensions = len(in_shape) - 1
        widths = [in_shape[0], *channels]
        layers: list[nn.Module] = []
        for n_in, n_out in zip(widths, widths[1:]):
            size = 3 if layers else 5
            layers += normalized_convolution(
                n_in, n_out, size, stride=2, dimensions=dimensions
            )
        pool = nn.AdaptiveMaxPool2d if len(in_shape) == 3 else nn.AdaptiveMaxPool3d
        layers += [pool(1)] if pooled else []
        n_features = flat_features(nn.Sequential(*layers), in_shape)
        super().__init__(
            *layers,
            nn.Flatten(),
            nn.Linear(n_features, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, family.n_params),
        )
        self.family = family
        start_at_identity(self[-1], family, perturbation=perturbation)


def normalized_convolution(
    n_in: int, n_out: int, size: int, *, stride: int = 1, dimensions: int = 2
) -> list[nn.Module]:
    """Return a convolution, batch normalization and a ReLU.

    >>> nn.Sequential(*normalized_convolution(1, 8, 5))(torch.rand(2, 1, 9, 9)).shape
    torch.Size([2, 8, 9, 9])

    Args:
        n_in: channels that come in.
        n_out: channels that go out.
        size: of the kernel, odd; the padding is half of it.
        stride: of the convolution.
        dimensions: 2 for images, 3 for volumes.

    Returns:
        The three layers.
    """
    convolution, normalization = {
        2: (nn.Conv2d, nn.BatchNorm2d),
        3: (nn.Conv3d, nn.BatchNorm3d),
    }[dimensions]
    layer = convolution(n_in, n_out, size, stride, size // 2, bias=False)
    return [layer, normalization(n_out), nn.ReLU()]


def parameters_by_part(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Return a model's parameters in two parts: the localization network and the rest.

    >>> model = nn.ModuleDict({"localization": nn.Linear(2, 6), "last": nn.PReLU()})
    >>> {part: len(found) for part, found in parameters_by_part(model).items()}
    {'rest': 1, 'localization': 2}

    Args:
        model: parameters whose name holds "localization" are that network's, as in a
            model that holds a `SpatialTransformer`.

    Returns:
        ``"rest"`` and ``"localization"``: lists, of which one may be empty.
    """
    parts: dict[str, list[nn.Parameter]] = {"rest": [], "localization": []}
    for name, parameter in model.named_parameters():
        parts["localization" if "localization" in name else "rest"].append(parameter)
    return parts


def flat_features(features: nn.Module, in_shape: Sequence[int]) -> int:
    """Return how many numbers a module makes of one image.

    >>> flat_features(nn.MaxPool2d(2), (3, 28, 28))
    588

    Args:
        features: the module.
        in_shape: ``(C, H, W)`` of the image, or ``(C, D, H, W)`` of a volume.

    Returns:
        The number of values in its output.

    Raises:
        TypeError: if `in_shape` is not made of integers.
        ValueError: if `in_shape` is neither, or the module can't take such images.
    """
    in_shape = check_size(in_shape, "in_shape", SHAPES)
    # A batch of one must not touch the running statistics.
    with torch.no_grad(), evaluating(features):
        try:
            return features(torch.zeros(1, *in_shape)).numel()
        except RuntimeError as error:
            raise ValueError(
                f"in_shape {in_shape} does not fit the module: {error}"
            ) from None
