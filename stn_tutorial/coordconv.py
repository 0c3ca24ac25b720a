"""CoordConv: convolutions that know where they are (Liu et al. 2018).

A convolution does the same everywhere, so it can't tell places apart. `add_coordinates`
appends channels that hold each pixel's own coordinates; what a convolution behind them
does may then depend on the place. The layers are those of `torch.nn` with the channels
added in front, and with the same arguments: where their coordinate weights are zero,
they are the same functions.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from stn_tutorial.coordinates import base_grid

__all__ = [
    "CoordConv1d",
    "CoordConv2d",
    "CoordConv3d",
    "CoordConvTranspose2d",
    "add_coordinates",
    "convert_to_coordconv",
]

_KEPT = 32  # sizes whose coordinates are kept at a time
_cache: dict[tuple, Tensor] = {}


def add_coordinates(
    x: Tensor, *, radius: bool = False, align_corners: bool = False
) -> Tensor:
    """Append the coordinates of every pixel's centre as channels.

    In half precision, neighbouring pixels get equal coordinates where an image has more
    than a few hundred pixels a side.

    Args:
        x: ``(N, C, W)``, ``(N, C, H, W)`` or ``(N, C, D, H, W)``, floating.
        radius: append the distance from the centre of the image as well, the root of
            the sum of the squared normalized coordinates.
        align_corners: the convention of the coordinates: -1 and 1 are the image's edges
            (``False``) or the centres of its outermost pixels (``True``).

    Returns:
        ``(N, C + D (+ 1), *spatial)``: the channels of `x`, then x, y and z as far as
        there are such axes, then the radius.

    Raises:
        TypeError: if `x` is not floating.
        ValueError: if `x` has another number of dimensions.
    """
    if not x.is_floating_point():
        raise TypeError(f"x must be floating, got {x.dtype}")
    if x.ndim not in (3, 4, 5):
        raise ValueError(f"x must be (N, C, *spatial), got {tuple(x.shape)}")
    channels = _coordinates(x, radius, align_corners)
    out = torch.cat([x, channels.expand(x.shape[0], *channels.shape)], dim=1)
    if x.ndim == 4 and not x.is_contiguous():
        if x.is_contiguous(memory_format=torch.channels_last):
            return out.contiguous(memory_format=torch.channels_last)
    return out


def _coordinates(x: Tensor, radius: bool, align_corners: bool) -> Tensor:
    """The channels to append, (D (+ 1), *spatial), kept for the sizes last seen."""
    size = tuple(x.shape[2:])
    key = (size, radius, align_corners, x.dtype, x.device)
    if key in _cache and not torch.compiler.is_compiling():
        return _cache[key]
    with torch.inference_mode(False):  # what is kept has to do for training, too
        grid = base_grid(
            size, align_corners=align_corners, dtype=torch.float64, device="cpu"
        )
        parts = [*grid.unbind(-1)]
        parts += [grid.square().sum(dim=-1).sqrt()] if radius else []
        channels = torch.stack(parts).to(x)
    # An export puts something else in a tensor's place, which must not stay.
    if type(channels) is Tensor and not torch.compiler.is_compiling():
        if len(_cache) >= _KEPT:
            _cache.pop(next(iter(_cache)))
        _cache[key] = channels
    return channels


class _CoordConv(nn.Module):
    """What the layers share; it stands in front of a convolution of `torch.nn`."""

    plain: type[nn.Module]  # the convolution without coordinates
    ndim: int  # of space
    radius: bool
    align_corners: bool

    def __init__(
        self,
        in_channels: int,
        *args: Any,
        radius: bool = False,
        align_corners: bool = False,
        **kwargs: Any,
    ) -> None:
        given = inspect.signature(self.plain).bind(in_channels, *args, **kwargs)
        groups = given.arguments.get("groups", 1)
        # Each group gets the coordinates: a group sees no channels but its own.
        extra = (self.ndim + radius) * groups
        super().__init__(in_channels + extra, *args, **kwargs)
        self.in_channels = in_channels
        self.radius, self.align_corners = radius, align_corners

    def forward(self, x: Tensor, *args: Any) -> Tensor:
        """Append the coordinates, then convolve.

        Args:
            x: ``(N, in_channels, *spatial)`` or ``(in_channels, *spatial)``.
            *args: as for the layer of `torch.nn`.

        Returns:
            As from the layer of `torch.nn`.

        Raises:
            ValueError: if `x` has another shape.
        """
        if x.ndim == self.ndim + 1:
            return self(x[None], *args)[0]
        if x.ndim != self.ndim + 2 or x.shape[1] != self.in_channels:
            shape = f"(N, {self.in_channels}" + ", …" * self.ndim + ")"
            raise ValueError(f"x must be {shape}, got {tuple(x.shape)}")
        options = {"radius": self.radius, "align_corners": self.align_corners}
        if self.groups == 1:
            return super().forward(add_coordinates(x, **options), *args)
        per_group = x.unflatten(1, (self.groups, -1)).flatten(0, 1)
        grouped = add_coordinates(per_group, **options)
        whole = grouped.unflatten(0, (x.shape[0], self.groups)).flatten(1, 2)
        return super().forward(whole, *args)

    @classmethod
    def from_convolution(
        cls, layer: nn.Module, *, radius: bool = False, align_corners: bool = False
    ) -> _CoordConv:
        """Return the same function as a convolution's, ready to learn about places.

        Args:
            layer: the layer of `torch.nn` whose name this class has after "Coord".
            radius: see `add_coordinates`.
            align_corners: see `add_coordinates`.

        Returns:
            A layer with the convolution's weights, and zeros for the coordinates.

        Raises:
            TypeError: if `layer` is of another class.
        """
        if type(layer) is not cls.plain:
            raise TypeError(f"layer must be a {cls.plain.__name__}, got {layer!r}")
        coord = cls(**_options(layer), radius=radius, align_corners=align_corners)
        with torch.no_grad():
            image, places = coord._split()
            image.copy_(_by_group(layer))
            places.zero_()
            if layer.bias is not None:
                coord.bias.copy_(layer.bias)
        return coord.train(layer.training)

    def to_convolution(self) -> nn.Module:
        """Return the convolution that this layer is, if its coordinates weigh nothing.

        Returns:
            The layer of `torch.nn`, with copies of the weights.

        Raises:
            ValueError: if a coordinate's weight is not zero: no convolution does that.
        """
        image, places = self._split()
        if places.any():
            raise ValueError("coordinate weights must be zero, got some that are not")
        layer = self.plain(**_options(self))
        with torch.no_grad():
            _by_group(layer).copy_(image)
            if self.bias is not None:
                layer.bias.copy_(self.bias)
        return layer.train(self.training)

    def _split(self) -> tuple[Tensor, Tensor]:
        """Views of the weights for the image's channels and for the coordinates."""
        extra = self.ndim + self.radius
        return _by_group(self).split([self.in_channels // self.groups, extra], dim=1)

    def extra_repr(self) -> str:
        """What `print` shows: the convolution's options, and the coordinates'."""
        more = f", radius={self.radius}, align_corners={self.align_corners}"
        return super().extra_repr() + more


class CoordConv1d(_CoordConv, nn.Conv1d):
    """`torch.nn.Conv1d` that is also given x; see `CoordConv2d`."""

    plain, ndim = nn.Conv1d, 1


class CoordConv2d(_CoordConv, nn.Conv2d):
    """`torch.nn.Conv2d` that is also given x and y (Liu et al. 2018, §2).

    The coordinates are made for the size that comes in, and are no part of the state.
    Zero padding pads them as well: outside, they are 0, as in the middle.

    Args:
        in_channels: of the images, without the coordinates.
        *args: of `torch.nn.Conv2d`: out_channels, kernel_size and so on. With several
            groups, each is given the coordinates.
        radius: give it the distance from the centre as well.
        align_corners: the convention of the coordinates; see `add_coordinates`.
        **kwargs: of `torch.nn.Conv2d`.
    """

    plain, ndim = nn.Conv2d, 2


class CoordConv3d(_CoordConv, nn.Conv3d):
    """`torch.nn.Conv3d` that is also given x, y and z; see `CoordConv2d`."""

    plain, ndim = nn.Conv3d, 3


class CoordConvTranspose2d(_CoordConv, nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` that is also given x and y; see `CoordConv2d`."""

    plain, ndim = nn.ConvTranspose2d, 2


_LAYERS = {
    layer.plain: layer
    for layer in (CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d)
}


def convert_to_coordconv(
    module: nn.Module,
    *,
    first: bool = False,
    radius: bool = False,
    align_corners: bool = False,
) -> nn.Module:
    """Put a CoordConv layer in the place of each convolution of a model.

    The function stays what it was, as the coordinates' weights are zero; they learn
    like any others. Subclasses of the layers of `torch.nn` are left alone.

    Args:
        module: changed in place.
        first: change the first convolution alone, in the order of `modules`.
        radius: see `add_coordinates`.
        align_corners: see `add_coordinates`.

    Returns:
        `module`, or the new layer if it is a convolution itself.

    Raises:
        ValueError: if there is no convolution to change.
    """
    found = [each for each in module.modules() if type(each) in _LAYERS]
    if not found:
        raise ValueError(f"module must hold a convolution, got {module!r}")
    options = {"radius": radius, "align_corners": align_corners}
    new = {
        each: _LAYERS[type(each)].from_convolution(each, **options)
        for each in (found[:1] if first else found)
    }
    for parent in list(module.modules()):
        for name, child in parent._modules.items():  # one used twice is there twice
            if child in new:
                setattr(parent, name, new[child])
    return new.get(module, module)


def _options(layer: nn.Module) -> dict[str, Any]:
    """The arguments that make another layer like this one, but for the weights."""
    names = [
        name
        for name in inspect.signature(getattr(layer, "plain", type(layer))).parameters
        if name not in ("bias", "device", "dtype")
    ]
    options = {name: getattr(layer, name) for name in names}
    weight = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    return options | weight | {"bias": layer.bias is not None}


def _by_group(layer: nn.Module) -> Tensor:
    """A view of the weights with a group's input channels along dimension 1."""
    if layer.transposed:
        return layer.weight.unflatten(0, (layer.groups, -1))
    return layer.weight
