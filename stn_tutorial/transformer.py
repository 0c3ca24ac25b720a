"""The spatial transformer: localization network, grid generator and sampler in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from stn_tutorial._validate import (
    check_floating,
    check_size,
    kind_of,
    size_axes,
    without_autocast,
)
from stn_tutorial.families import (
    Affine,
    Family,
    MatrixFamily,
    check_family,
    dimensions_of,
)
from stn_tutorial.sampling import (
    _check_interpolation,
    _check_options,
    _grid_on,
    sample,
)

__all__ = ["SpatialTransformer"]

#: The options of `sample`, which are those of a transformer, and their defaults.
DEFAULTS: dict[str, Any] = dict(sample.__kwdefaults__ or {})


class SpatialTransformer(nn.Module):
    """Warp every image of a batch as the localization network sees fit (§3).

    With a family of three dimensions, such as `stn_tutorial.Affine3d`, it warps volumes
    ``(N, C, D, H, W)``, and its sizes are ``(D, H, W)``.

    >>> import torch
    >>> from stn_tutorial.localization import ConvLocalization
    >>> transformer = SpatialTransformer(ConvLocalization((1, 28, 28), Affine()))
    >>> images = torch.rand(5, 1, 28, 28)
    >>> torch.allclose(transformer(images), images, atol=1e-5)  # it starts so
    True
    >>> params = transformer.params(images)
    >>> params.shape, transformer.warp(images, params).shape
    (torch.Size([5, 6]), torch.Size([5, 1, 28, 28]))

    Args:
        localization: ``(N, C, H, W)`` -> ``(N, n_params)``, or matrices of the family;
            see `stn_tutorial.localization`.
        family: the family of warps; the default is the localization network's own, its
            attribute ``family``, or else `Affine`.
        out_size: ``(H, W)`` of the output; the default is the input's.
        interpolation: see `stn_tutorial.sample`, as for all that follow.
        padding: what lies outside the images.
        fill: with ``padding="zeros"``, the value outside.
        align_corners: the convention of the coordinates, of grid and sampler alike.
        backend: ``"native"`` or ``"manual"``.
        antialias: take the mean of several samples in each output pixel's patch.

    Raises:
        TypeError: if an argument has the wrong type, as a family's class has.
        ValueError: if `out_size` is not ``(H, W)``, an option is unknown, or the
            network's own family has another number of parameters than `family`, or
            other dimensions, or one of both is no family of matrices.
    """

    def __init__(
        self,
        localization: nn.Module,
        family: Family | None = None,
        out_size: Sequence[int] | None = None,
        *,
        interpolation: str = "bilinear",
        padding: str = "zeros",
        fill: float | Sequence[float] | Tensor = 0.0,
        align_corners: bool = False,
        backend: str = "native",
        antialias: bool | int = False,
    ) -> None:
        super().__init__()
        if not isinstance(localization, nn.Module):
            raise TypeError(
                f"localization must be a torch.nn.Module, got {kind_of(localization)}"
            )
        own = getattr(localization, "family", None)
        if family is None:
            family = Affine() if own is None else own
        check_family(family)
        if isinstance(own, Family) and _kind(own) != _kind(family):
            raise ValueError(
                f"localization must end in {family.n_params} numbers for {family!r}, "
                f"but is made for {own!r}"
            )
        _check_options(interpolation, padding, fill, align_corners, backend, antialias)
        if isinstance(fill, Tensor) and fill.requires_grad:
            raise ValueError(
                "fill must be constant: a module keeps its value, and a gradient would "
                "not come back; hand a trained one to sample()"
            )
        _check_interpolation(interpolation, dimensions_of(family))
        self.localization = localization
        self.family: Family = family
        self.out_size = None
        if out_size is not None:
            axes = size_axes(dimensions_of(family))
            self.out_size = check_size(out_size, "out_size", f"({axes})")
        self.interpolation = interpolation
        self.padding = padding
        self.fill = _numbers(fill)
        self.align_corners = align_corners
        self.backend = backend
        self.antialias = antialias

    def params(self, x: Tensor) -> Tensor:
        """Return the parameters that the localization network predicts.

        Under autocast, too, the network computes in the precision of its weights. Of
        numbers near 1, bfloat16 holds the multiples of 1/128: with such a theta the
        edge of 42 pixels would move in steps of a sixth of a pixel.

        Args:
            x: ``(N, C, H, W)`` images.

        Returns:
            ``(N, n_params)``, normalized output to normalized input.

        Raises:
            TypeError: if `x`, or what the network returns, is not a floating tensor.
            ValueError: if `x` is not ``(N, C, H, W)``, or the network returns a shape
                that is not the family's.
        """
        check_floating(x, "x")
        dimensions = dimensions_of(self.family)
        if x.ndim != dimensions + 2:
            axes = size_axes(dimensions)
            raise ValueError(f"x must be (N, C, {axes}), got {tuple(x.shape)}")
        weights = self.localization.parameters()
        dtype = next((p.dtype for p in weights if p.is_floating_point()), x.dtype)
        with without_autocast(x.device):
            params = self.localization(x.to(dtype))
        check_floating(params, "what localization returns")
        if isinstance(self.family, MatrixFamily) and params.ndim == 3:
            params = self.family.params_of(params)
        if params.shape != (x.shape[0], self.family.n_params):
            raise ValueError(
                f"localization must return (N, {self.family.n_params}) for "
                f"{self.family!r}, got {tuple(params.shape)}"
            )
        return params

    def grid(self, x: Tensor) -> Tensor:
        """Return the input coordinates at which the images are sampled.

        Args:
            x: ``(N, C, H, W)`` images.

        Returns:
            ``(N, *out_size, 2)`` normalized input points, of volumes
            ``(N, *out_size, 3)``.
        """
        return self._grid(x, self.params(x))

    def warp(self, x: Tensor, params: Tensor) -> Tensor:
        """Warp images by given parameters, say, those that `params` has returned.

        So images and their parameters cost one pass of the localization network.

        Args:
            x: ``(N, C, H, W)`` images.
            params: ``(N, n_params)``, normalized output to normalized input.

        Returns:
            ``(N, C, *out_size)`` warped images.
        """
        options = {name: getattr(self, name) for name in DEFAULTS}
        return sample(x, self._grid(x, params), **options)

    def forward(self, x: Tensor) -> Tensor:
        """Warp every image as the localization network sees fit.

        Args:
            x: ``(N, C, H, W)`` images.

        Returns:
            ``(N, C, *out_size)`` warped images.
        """
        return self.warp(x, self.params(x))

    def extra_repr(self) -> str:
        """What `print` shows besides the localization network."""
        parts = [repr(self.family)]
        parts += [f"out_size={self.out_size}"] if self.out_size else []
        for name, default in DEFAULTS.items():
            value = getattr(self, name)
            parts += [f"{name}={value!r}"] if value != default else []
        return ", ".join(parts)

    def _grid(self, x: Tensor, params: Tensor) -> Tensor:
        in_size = tuple(x.shape[2:])
        size = self.out_size or in_size
        return _grid_on(in_size, self.family, params, size, self.align_corners)


def _kind(family: Family) -> tuple[int, int, bool]:
    """What two families have in common if one's parameters can be the other's."""
    matrix = isinstance(family, MatrixFamily)
    return family.n_params, dimensions_of(family), matrix


def _numbers(fill: float | Sequence[float] | Tensor) -> float | tuple[float, ...]:
    """A fill as plain numbers, which can be copied, saved and exported."""
    values = fill.tolist() if isinstance(fill, Tensor) else np.asarray(fill).tolist()
    return tuple(values) if isinstance(values, list) else values
