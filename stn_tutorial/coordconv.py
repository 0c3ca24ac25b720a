"""CoordConv: convolutions that know where they are (Liu et al. 2018).

A convolution computes the same at every location, so it can't tell one from another.
`add_coordinates` appends channels that hold each pixel's own coordinates; what a
convolution behind them computes may then depend on the location. The layers are those
of `torch.nn` with the channels added in front, and with the same arguments: where their
coordinate weights are zero, they are the same functions.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from stn_tutorial._validate import check_flag, check_floating, kind_of, working_dtype
from stn_tutorial.coordinates import base_grid

__all__ = [
    "CoordConv1d",
    "CoordConv2d",
    "CoordConv3d",
    "CoordConvTranspose2d",
    "add_coordinates",
    "convert_to_coordconv",
]

# A convolution of `torch.nn`, or one of these layers: they share no public class.
Convolution = Any


def add_coordinates(
    x: Tensor, *, radius: bool = False, align_corners: bool = False
) -> Tensor:
    """Append the normalized coordinates of every pixel's centre as channels.

    In bfloat16, neighbouring pixels get equal coordinates where an image has more than
    a few hundred pixels a side; in float16, more than a few thousand.

    >>> images = torch.zeros(8, 3, 2, 4)
    >>> out = add_coordinates(images)
    >>> out.shape
    torch.Size([8, 5, 2, 4])
    >>> out[0, 3].tolist()  # x
    [[-0.75, -0.25, 0.25, 0.75], [-0.75, -0.25, 0.25, 0.75]]
    >>> out[0, 4].tolist()  # y
    [[-0.5, -0.5, -0.5, -0.5], [0.5, 0.5, 0.5, 0.5]]

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
        TypeError: if `x` is not a floating tensor, or an option is not a bool.
        ValueError: if `x` has another number of dimensions.
    """
    check_floating(x, "x")
    check_flag(radius, "radius")
    check_flag(align_corners, "align_corners")
    if x.ndim not in (3, 4, 5):
        raise ValueError(f"x must be (N, C, *spatial), got {tuple(x.shape)}")
    return _append(x, 1, radius, align_corners)


def _append(x: Tensor, groups: int, radius: bool, align_corners: bool) -> Tensor:
    """Append the coordinates to each group of channels, (N, C, *spatial) as it comes.

    They are made anew every time: next to a convolution that costs little, and nothing
    is left behind that a compiler, another device or a pickle would stumble over.
    """
    coordinates = base_grid(
        x.shape[2:],
        align_corners=align_corners,
        dtype=working_dtype(x),
        device=x.device,
    ).unbind(-1)
    if radius:
        coordinates += (torch.stack(coordinates).square().sum(dim=0).sqrt(),)
    if x.ndim > 3 and x.stride(1) == 1 < x.stride(-1):  # channels-last in memory
        grouped = x.movedim(1, -1).unflatten(-1, (groups, -1))
        extra = torch.stack(coordinates, dim=-1).to(x.dtype).unsqueeze(-2)
        whole = torch.cat([grouped, extra.expand(*grouped.shape[:-1], -1)], dim=-1)
        return whole.flatten(-2).movedim(-1, 1)
    grouped = x.unflatten(1, (groups, -1))
    extra = torch.stack(coordinates).to(x.dtype)
    extra = extra.expand(*grouped.shape[:2], *extra.shape)
    return torch.cat([grouped, extra], dim=2).flatten(1, 2)


class _CoordConv(nn.Module):
    """What the layers share; it stands in front of a convolution of `torch.nn`."""

    plain: type[nn.Module]  # the convolution without coordinates
    ndim: int  # of space
    in_channels: int  # without the coordinates
    groups: int
    transposed: bool
    weight: Tensor
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
        check_flag(radius, "radius")
        check_flag(align_corners, "align_corners")
        if in_channels < 0:
            raise ValueError(f"in_channels must be >= 0, got {in_channels}")
        given = inspect.signature(self.plain).bind(in_channels, *args, **kwargs)
        groups = given.arguments.get("groups", 1)
        # Each group gets the coordinates: a group sees no channels but its own.
        extra = (self.ndim + radius) * groups
        super().__init__(in_channels + extra, *args, **kwargs)
        self.in_channels = in_channels
        self.radius, self.align_corners = radius, align_corners

    def forward(self, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Append the coordinates, then convolve.

        Args:
            input: ``(N, in_channels, *spatial)`` or ``(in_channels, *spatial)``.
            *args: as for the layer of `torch.nn`.
            **kwargs: as for the layer of `torch.nn`.

        Returns:
            As from the layer of `torch.nn`.

        Raises:
            TypeError: if `input` is not a floating tensor.
            ValueError: if `input` has another shape.
        """
        check_floating(input, "input")
        batched = input.ndim == self.ndim + 2
        fits = batched or input.ndim == self.ndim + 1
        if fits and not torch.jit.is_tracing():  # which has no sizes to compare
            fits = input.shape[-self.ndim - 1] == self.in_channels
        if not fits:
            shape = f"{self.in_channels}" + ", …" * self.ndim
            raise ValueError(
                f"input must be (N, {shape}) or ({shape}), got {tuple(input.shape)}"
            )
        x = input if batched else input[None]
        whole = _append(x, self.groups, self.radius, self.align_corners)
        return super().forward(whole if batched else whole[0], *args, **kwargs)

    @classmethod
    def from_convolution(
        cls, layer: nn.Module, *, radius: bool = False, align_corners: bool = False
    ) -> _CoordConv:
        """Return a copy of a convolution that can learn about locations.

        It is the same function, and all else that `copy.deepcopy` copies is kept, as
        by `convert_to_coordconv`.

        >>> plain = torch.nn.Conv2d(3, 8, 3)
        >>> coord = CoordConv2d.from_convolution(plain)
        >>> coord.weight[:, 3:].abs().max().item()  # the coordinates' weights
        0.0

        Args:
            layer: the layer of `torch.nn` whose name this class has after "Coord".
            radius: see `add_coordinates`.
            align_corners: see `add_coordinates`.

        Returns:
            A layer with the convolution's weights, and zeros for the coordinates.

        Raises:
            TypeError: if `layer` is of another class, or an option is not a bool.
            ValueError: if `layer` can't be converted; see `convert_to_coordconv`.
        """
        if _class_of(layer) is not cls.plain:
            raise TypeError(
                f"layer must be a {cls.plain.__name__}, got {kind_of(layer)}"
            )
        check_flag(radius, "radius")
        check_flag(align_corners, "align_corners")
        _check_convertible(layer, "layer")
        coord: Convolution = copy.deepcopy(layer)
        cls._adopt(coord, radius, align_corners)
        _resize(coord.weight, coord._widen)
        return coord

    def to_convolution(self) -> nn.Module:
        """Return the convolution that this layer is, if its coordinates weigh nothing.

        >>> coord = CoordConv2d.from_convolution(torch.nn.Conv2d(3, 8, 3))
        >>> coord.to_convolution()
        Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))

        Returns:
            The layer of `torch.nn`, a copy with all else that `copy.deepcopy` copies.

        Raises:
            TypeError: if the layer is of a subclass.
            ValueError: if a coordinate's weight is not zero: no convolution does that.
                Or if its weights are computed from other tensors.
        """
        expected = _LAYERS[self.plain]
        if _class_of(self) is not expected:
            raise TypeError(f"layer must be a {expected.__name__}, got {kind_of(self)}")
        _check_convertible(self, "layer")
        if self._by_group(self.weight)[:, self.in_channels // self.groups :].any():
            raise ValueError("coordinate weights must be zero, got some that are not")
        layer: Convolution = copy.deepcopy(self)
        _resize(layer.weight, layer._narrow)
        layer.__class__ = self.plain
        del layer.radius, layer.align_corners
        return layer

    @classmethod
    def _adopt(cls, layer: Convolution, radius: bool, align_corners: bool) -> None:
        """Make a convolution one of these layers, but for the size of its weight."""
        layer.__class__ = cls
        layer.radius, layer.align_corners = bool(radius), bool(align_corners)

    def _widen(self, weight: Tensor) -> Tensor:
        """A plain weight with zeros for the coordinates."""
        image = self._by_group(weight)
        shape = (len(image), self.ndim + self.radius, *image.shape[2:])
        return self._from_groups(torch.cat([image, image.new_zeros(shape)], dim=1))

    def _narrow(self, weight: Tensor) -> Tensor:
        """The part of a weight that belongs to the image's channels."""
        image = self._by_group(weight)[:, : self.in_channels // self.groups]
        return self._from_groups(image)

    def _by_group(self, weight: Tensor) -> Tensor:
        """A view of a weight with a group's input channels along dimension 1."""
        return weight.unflatten(0, (self.groups, -1)) if self.transposed else weight

    def _from_groups(self, weight: Tensor) -> Tensor:
        """Undo `_by_group`."""
        return weight.flatten(0, 1) if self.transposed else weight

    def extra_repr(self) -> str:
        """What `print` shows: the convolution's options, and the coordinates'."""
        more = f", radius={self.radius}, align_corners={self.align_corners}"
        return super().extra_repr() + more


class CoordConv1d(_CoordConv, nn.Conv1d):
    """`torch.nn.Conv1d` that is also given x; see `CoordConv2d`.

    >>> CoordConv1d(4, 8, kernel_size=5)(torch.zeros(2, 4, 20)).shape
    torch.Size([2, 8, 16])
    """

    plain, ndim = nn.Conv1d, 1


class CoordConv2d(_CoordConv, nn.Conv2d):
    """`torch.nn.Conv2d` that is also given x and y (Liu et al. 2018, §2).

    The coordinates are made for the size that comes in, and are no part of the state.
    Zero padding pads them as well: outside, they are 0, as in the middle.

    >>> layer = CoordConv2d(3, 8, kernel_size=3, padding=1, radius=True)
    >>> layer(torch.zeros(2, 3, 28, 28)).shape
    torch.Size([2, 8, 28, 28])
    >>> layer.weight.shape  # for three channels, x, y and the radius
    torch.Size([8, 6, 3, 3])

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
    """`torch.nn.Conv3d` that is also given x, y and z; see `CoordConv2d`.

    >>> CoordConv3d(1, 8, kernel_size=3)(torch.zeros(2, 1, 5, 6, 7)).shape
    torch.Size([2, 8, 3, 4, 5])
    """

    plain, ndim = nn.Conv3d, 3


class CoordConvTranspose2d(_CoordConv, nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` that is also given x and y; see `CoordConv2d`.

    >>> layer = CoordConvTranspose2d(8, 3, kernel_size=3, stride=2)
    >>> layer(torch.zeros(2, 8, 5, 5), output_size=(12, 12)).shape
    torch.Size([2, 3, 12, 12])
    """

    plain, ndim = nn.ConvTranspose2d, 2


_LAYERS: dict[type, type[_CoordConv]] = {
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
    """Make each convolution of a model a CoordConv layer, in place.

    The function stays what it was, as the coordinates' weights are zero; they learn
    like any others. Nothing else changes: every layer and every parameter stays the
    same object with its hooks, flags and attributes, so that shared ones stay shared
    and frozen ones frozen, and an optimizer without a state yet can be used on.
    Gradients that are there get zeros for the coordinates.

    CoordConv layers are left alone. So are convolutions with no counterpart here, and a
    warning names them: subclasses of the layers of `torch.nn`, and transposed
    convolutions in one or three dimensions.

    >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU())
    >>> weight = model[0].weight
    >>> convert_to_coordconv(model)[0].weight is weight
    True
    >>> weight.shape  # for one channel, x and y
    torch.Size([8, 3, 3, 3])

    Args:
        module: changed in place; it may be a convolution itself.
        first: change the first convolution alone, in the order of `modules`.
        radius: see `add_coordinates`.
        align_corners: see `add_coordinates`.

    Returns:
        `module`.

    Raises:
        TypeError: if `module` is not a module, or an option is not a bool.
        ValueError: if there is no convolution to change, or one that can't be: it is
            lazy, its weight is computed from other tensors (parametrized, normalized,
            pruned) or complex, its `forward` is replaced, its weight is shared with
            something that would not change alike, or the model is already in a
            `DistributedDataParallel`. Then nothing is changed.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {kind_of(module)}")
    options = {"radius": radius, "align_corners": align_corners}
    for name, value in {"first": first, **options}.items():
        check_flag(value, name)
    layers = _layers_to_convert(module, first)
    for name, layer in layers.items():
        _check_convertible(layer, f"module's layer {name!r}" if name else "module")
    _check_sharing(module, layers)
    for layer in layers.values():
        _LAYERS[type(layer)]._adopt(layer, **options)
    for weight, layer in {layer.weight: layer for layer in layers.values()}.items():
        _resize(weight, layer._widen)
    if not first:
        left = [
            f"{kind_of(layer)} {name!r}"
            for name, layer in _convolutions(module).items()
            if not isinstance(layer, _CoordConv)
        ]
        if left:
            warnings.warn(f"left as it was: {', '.join(left)}", stacklevel=2)
    return module


def _convolutions(module: nn.Module) -> dict[str, Convolution]:
    """All convolutions by their names, in the order of `modules`."""
    kinds = (*_LAYERS, nn.ConvTranspose1d, nn.ConvTranspose3d)
    return {n: each for n, each in module.named_modules() if isinstance(each, kinds)}


def _layers_to_convert(module: nn.Module, first: bool) -> dict[str, Convolution]:
    """The convolutions that have a counterpart here, by their names in the module."""
    every = _convolutions(module)
    layers = {n: each for n, each in every.items() if _class_of(each) in _LAYERS}
    if not layers:
        raise ValueError(
            "module must hold a convolution of torch.nn that has a counterpart here, "
            f"got a {kind_of(module)} without one"
        )
    if first:
        name, layer = next(iter(every.items()))
        if name not in layers:
            raise ValueError(
                "module's first convolution must be of a class of torch.nn that has a "
                f"counterpart here, got the {kind_of(layer)} {name!r}"
            )
        return {name: layer}
    return layers


def _class_of(layer: Any) -> type:
    """A layer's class, beneath what parametrizing or being lazy puts over it."""
    if not isinstance(layer, nn.Module):
        return type(layer)
    kind = parametrize.type_before_parametrizations(layer)
    return getattr(kind, "cls_to_become", None) or kind


def _check_convertible(layer: Convolution, name: str) -> None:
    """Raise a ValueError if more than a wider weight is needed to convert a layer."""
    own = [one for one in ("forward", "_conv_forward") if one in vars(layer)]
    if isinstance(layer, LazyModuleMixin):
        reason = "is lazy: run the model on an image first"
    elif parametrize.is_parametrized(layer) or "weight" not in layer._parameters:
        reason = (
            "computes its weight from other tensors (it is parametrized, normalized or "
            "pruned): remove that, convert, and apply it again"
        )
    elif not layer.weight.is_floating_point():
        reason = f"has a weight of {layer.weight.dtype}, and coordinates are real"
    elif own:
        reason = f"has a {own[0]} of its own: remove that first"
    else:
        return
    raise ValueError(f"{name} can't be converted: it {reason}")


def _check_sharing(module: nn.Module, layers: dict[str, Convolution]) -> None:
    """Raise a ValueError if something would lose its share in a weight that changes."""
    owners = defaultdict(list)
    for prefix, each in module.named_modules():
        if isinstance(each, nn.parallel.DistributedDataParallel):
            raise ValueError(
                "module must be converted before DistributedDataParallel wraps it"
            )
        for name, parameter in each._parameters.items():
            if parameter is not None and not is_lazy(parameter):
                owner = (f"{prefix}.{name}".strip("."), each, parameter)
                owners[_memory(parameter)].append(owner)
    changing = {layer: _layout(layer) for layer in layers.values()}
    for name, layer in layers.items():
        for other, owner, parameter in owners[_memory(layer.weight)]:
            alike = changing.get(owner) == changing[layer]
            if not (alike and parameter is layer.weight is owner.weight):
                raise ValueError(
                    f"module's layer {name!r} can't be converted: its weight is shared "
                    f"with {other!r}, which would not change alike"
                )


def _memory(parameter: nn.Parameter) -> int:
    """What parameters have in common that are the same one, or share their memory."""
    strided = parameter.layout is torch.strided
    return (strided and parameter.data_ptr()) or id(parameter)


def _layout(layer: Convolution) -> tuple:
    """What decides where the coordinates' weights lie in the weight."""
    return layer.transposed, layer.transposed and layer.groups


def _resize(parameter: nn.Parameter, change: Callable[[Tensor], Tensor]) -> None:
    """Change the size of a parameter and its gradient; it stays the same object."""
    with torch.inference_mode(False), torch.no_grad():
        grad, parameter.grad = parameter.grad, None
        data = _stored_like(change(parameter.detach()), parameter)
        # A graph that still exists holds a node that adds to the gradient in its old
        # shape, and the next backward pass would use it. Another dtype detaches it.
        other = torch.float32 if parameter.dtype == torch.float16 else torch.float16
        parameter.data = parameter.new_empty(0, dtype=other)
        parameter.data = data
        if grad is not None:
            parameter.grad = _stored_like(change(grad.detach()), grad)


def _stored_like(x: Tensor, other: Tensor) -> Tensor:
    """A copy, channels-last or in shared memory if another tensor is."""
    layout = torch.contiguous_format
    if other.ndim > 3 and other.stride(1) == 1 and other.stride(-1) == other.shape[1]:
        layout = torch.channels_last if other.ndim == 4 else torch.channels_last_3d
    copied = x.clone(memory_format=layout)
    return copied.share_memory_() if other.is_shared() else copied
