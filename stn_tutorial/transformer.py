"""The spatial transformer: localization network, grid generator and sampler in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stn_tutorial.families import Affine, Family, check_family
from stn_tutorial.sampling import sample

__all__ = ["SpatialTransformer"]


class SpatialTransformer(nn.Module):
    """Warp every image of a batch as the localization network sees fit (§3).

    Args:
        localization: ``(N, C, H, W)`` -> ``(N, n_params)``; see
            `stn_tutorial.localization`.
        family: the family of warps; the default is `Affine`.
        out_size: ``(H, W)`` of the output; the default is the input's.
        **options: of `stn_tutorial.sample`: interpolation, padding, fill,
            align_corners, backend and antialias.

    Raises:
        TypeError: if an option is none of `sample`'s.
        ValueError: if `out_size` is not ``(H, W)``.
    """

    OPTIONS = frozenset(
        {"interpolation", "padding", "fill", "align_corners", "backend", "antialias"}
    )

    def __init__(
        self,
        localization: nn.Module,
        family: Family | None = None,
        out_size: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if unknown := set(options) - self.OPTIONS:
            raise TypeError(f"unknown option: {', '.join(sorted(unknown))}")
        if out_size is not None and not _is_size(out_size):
            raise ValueError(f"out_size must be (H, W), each >= 1, got {out_size!r}")
        self.localization = localization
        self.family: Family = Affine() if family is None else family
        check_family(self.family)
        self.out_size = None if out_size is None else tuple(out_size)
        self.options = options

    @property
    def align_corners(self) -> bool:
        """The convention of grid and sampler."""
        return self.options.get("align_corners", False)

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
            ValueError: if the localization network returns another shape.
        """
        weight = next(self.localization.parameters(), x)
        with torch.autocast(x.device.type, enabled=False):
            params = self.localization(x.to(weight.dtype))
        if params.shape != (x.shape[0], self.family.n_params):
            raise ValueError(
                f"localization must return (N, {self.family.n_params}) for "
                f"{self.family!r}, got {tuple(params.shape)}"
            )
        return params

    def grid(self, x: Tensor) -> Tensor:
        """Return where the images are read.

        Args:
            x: ``(N, C, H, W)`` images.

        Returns:
            ``(N, *out_size, 2)`` normalized input points.
        """
        return self._grid(x, self.params(x))

    def forward(self, x: Tensor) -> Tensor:
        """Warp every image as the localization network sees fit.

        Args:
            x: ``(N, C, H, W)`` images.

        Returns:
            ``(N, C, *out_size)`` warped images.
        """
        return sample(x, self.grid(x), **self.options)

    def _grid(self, x: Tensor, params: Tensor) -> Tensor:
        size = self.out_size or tuple(x.shape[-2:])
        return self.family.grid(params, size, align_corners=self.align_corners)

    def extra_repr(self) -> str:
        """What `print` shows besides the localization network."""
        parts = [repr(self.family)]
        parts += [f"out_size={self.out_size}"] if self.out_size else []
        return ", ".join(parts + [f"{k}={v!r}" for k, v in self.options.items()])


def _is_size(size: Any) -> bool:
    """Whether something is two positive integers."""
    if not isinstance(size, Sequence) or len(size) != 2:
        return False
    return all(type(n) is int and n >= 1 for n in size)
