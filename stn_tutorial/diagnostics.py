"""How to see a spatial transformer fail: numbers that show it.

A transformer fails in silence: the loss stays finite. `Monitor` collects numbers while
it trains, and `symptoms` says what is alarming in them. Before training,
`edge_contrast` is for the padding, `identity_drift` for conventions, `composition_gap`
for the order of two warps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_tutorial._modules import evaluating
from stn_tutorial._validate import (
    check_flag,
    check_floating,
    check_size,
    working_dtype,
)
from stn_tutorial.coordinates import to_normalized, to_pixels
from stn_tutorial.localization import parameters_by_part
from stn_tutorial.sampling import sample
from stn_tutorial.transformer import SpatialTransformer

__all__ = [
    "Monitor",
    "composition_gap",
    "edge_contrast",
    "effective_scale",
    "gradient_norms",
    "grid_spread",
    "identity_drift",
    "outside_fraction",
    "overhang",
    "symptoms",
    "theta_statistics",
]


def outside_fraction(
    grid: Tensor, size: Sequence[int] | None = None, *, align_corners: bool = False
) -> Tensor:
    """Return the share of grid points that lie outside the image.

    >>> grid = torch.tensor([[[[0.0, 0.0], [0.9, 0.0], [1.1, 0.0], [0.0, torch.nan]]]])
    >>> outside_fraction(grid).tolist()
    [0.5]
    >>> outside_fraction(grid, (4, 4), align_corners=True).tolist()
    [0.25]

    Args:
        grid: ``(N, H, W, 2)`` normalized input points.
        size: ``(H, W)`` of the input, needed with ``align_corners=True``: the edges lie
            half a pixel beyond the centres at ±1.
        align_corners: the convention of the grid's coordinates.

    Returns:
        ``(N,)`` from 0 to 1. What is not finite is outside.

    Raises:
        TypeError: if `grid` is not a floating tensor.
        ValueError: if `grid` has another shape, or `size` is needed and not given.
    """
    edges = _edges(grid, size, align_corners)
    inside = (grid.isfinite() & (grid.abs() <= edges)).all(dim=-1)
    return 1 - inside.flatten(1).float().mean(dim=1)


def overhang(
    grid: Tensor, size: Sequence[int] | None = None, *, align_corners: bool = False
) -> Tensor:
    """Return how far grid points lie outside the image: a penalty that leads back.

    >>> overhang(torch.tensor([[[[1.5, 0.0], [0.5, -3.0]]]])).tolist()
    [1.25]

    Args:
        grid: ``(N, H, W, 2)`` normalized input points.
        size: as for `outside_fraction`.
        align_corners: the convention of the grid's coordinates.

    Returns:
        ``(N,)`` the mean distance past the edges, x and y added up, in normalized
        units. What is not finite counts as inside.

    Raises:
        TypeError: if `grid` is not a floating tensor.
        ValueError: if `grid` has another shape, or `size` is needed and not given.
    """
    edges = _edges(grid, size, align_corners)
    points = grid.where(grid.isfinite(), 0.0)
    return (points.abs() - edges).relu().sum(dim=-1).flatten(1).mean(dim=1)


def _edges(grid: Tensor, size: Sequence[int] | None, align_corners: bool) -> Tensor:
    """The normalized (x, y) at which the image of a grid ends."""
    _check_grid(grid, "grid")
    check_flag(align_corners, "align_corners")
    if not align_corners:
        return grid.new_ones(2)
    if size is None:
        raise ValueError("size must be (H, W) with align_corners=True, got None")
    sides = grid.new_tensor(check_size(size, "size")[::-1])
    return sides / (sides - 1)


def _check_grid(grid: Tensor, name: str) -> None:
    check_floating(grid, name)
    if grid.ndim != 4 or grid.shape[-1] != 2:
        raise ValueError(f"{name} must be (N, H, W, 2), got {tuple(grid.shape)}")


def effective_scale(
    grid: Tensor, size: Sequence[int], *, align_corners: bool = False
) -> Tensor:
    """Return how many input pixels an output pixel stands for, along a side.

    >>> from stn_tutorial import base_grid
    >>> round(effective_scale(base_grid((7, 7))[None], (28, 28)).item(), 3)
    4.0

    Args:
        grid: ``(N, H, W, 2)`` normalized input points, H and W at least 2.
        size: ``(H, W)`` of the input.
        align_corners: the convention of the grid's coordinates.

    Returns:
        ``(N,)``: the root of the mean area of the patches between neighbouring points,
        in pixels. Above 1 the picture shrinks, below 1 it grows.

    Raises:
        TypeError: if `grid` is not a floating tensor.
        ValueError: if `grid` has another shape, or a single row or column.
    """
    _check_grid(grid, "grid")
    if min(grid.shape[1:3]) < 2:
        raise ValueError(f"grid must have two rows and columns, got {(*grid.shape,)}")
    grid = grid.to(working_dtype(grid))
    points = to_pixels(grid, size, align_corners=align_corners)
    right = points[:, :-1, 1:] - points[:, :-1, :-1]
    down = points[:, 1:, :-1] - points[:, :-1, :-1]
    area = (right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]).abs()
    area = area.where(area.isfinite(), torch.nan)  # at a horizon
    return area.flatten(1).nanmean(dim=1).sqrt()


def theta_statistics(params: Tensor) -> dict[str, Tensor]:
    """Return mean and spread of predicted parameters over a batch.

    >>> found = theta_statistics(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    >>> found["mean"].tolist(), round(found["sd"][0].item(), 3)
    ([2.0, 5.0], 1.414)

    Args:
        params: ``(N, n_params)``, N at least 2.

    Returns:
        ``"mean"`` and ``"sd"``, each ``(n_params,)``.
    """
    return {"mean": params.mean(dim=0), "sd": params.std(dim=0)}


def grid_spread(
    grid: Tensor, size: Sequence[int], *, align_corners: bool = False
) -> Tensor:
    """Return how much the grids of a batch differ from one another.

    >>> from stn_tutorial import base_grid
    >>> grid = base_grid((8, 8)) + torch.tensor([-0.25, 0.25])[:, None, None, None]
    >>> round(grid_spread(grid, (8, 8)).item(), 4)  # one pixel along x, and along y
    1.4142

    Args:
        grid: ``(N, H, W, 2)`` normalized input points.
        size: ``(H, W)`` of the input.
        align_corners: the convention of the grid's coordinates.

    Returns:
        A scalar: the points' mean distance from the batch's mean grid, in pixels.

    Raises:
        TypeError: if `grid` is not a floating tensor.
        ValueError: if `grid` has another shape.
    """
    _check_grid(grid, "grid")
    points = to_pixels(grid.to(working_dtype(grid)), size, align_corners=align_corners)
    away = points - points.mean(dim=0)
    return away.norm(dim=-1).where(away.isfinite().all(dim=-1), torch.nan).nanmean()


def edge_contrast(images: Tensor, fill: float | Sequence[float] = 0.0) -> float:
    """Return how visible the frame is that padding draws around a warped image.

    >>> images = torch.tensor([0.0, 2.0]).repeat(1, 1, 4, 2)
    >>> round(edge_contrast(images), 3), round(edge_contrast(images, fill=1.0), 3)
    (0.968, 0.0)

    Args:
        images: ``(N, C, H, W)``, as the transformer gets them.
        fill: the value outside: a number, or one a channel.

    Returns:
        The step from the mean of the outermost pixels to `fill`, in standard deviations
        of the images, in the channel where it is largest: infinite if all of it is of
        one value that isn't `fill`.

    Raises:
        ValueError: if `fill` has another number of entries.
    """
    value = torch.as_tensor(fill)
    if value.ndim > 1 or value.shape not in ((), images.shape[1:2]):
        raise ValueError(
            f"fill must be one number or {images.shape[1]}, one a channel, "
            f"got shape {tuple(value.shape)}"
        )
    rim = torch.ones(images.shape[-2:], dtype=torch.bool, device=images.device)
    rim[1:-1, 1:-1] = False
    edge = images[..., rim].mean(dim=(0, 2))
    step = (edge - value.to(edge)).abs()
    steps = step / images.std(dim=(0, 2, 3))
    return steps.where(step != 0, 0.0).max().item()  # a channel may be all `fill`


def identity_drift(
    warp: Callable[[Tensor], Tensor], in_shape: Sequence[int] = (1, 28, 28)
) -> float:
    """Return how far a warp that should do nothing moves an image, in pixels.

    >>> identity_drift(lambda images: images.roll(1, dims=-1))
    1.0

    Args:
        warp: images to images of the same shape; say, a transformer before training.
        in_shape: ``(C, H, W)`` of the images.

    Returns:
        The largest shift along x or y, over all but the outermost pixels and those
        into which something from outside comes; infinite if no others are left.
    """
    first = next(warp.parameters(), None) if isinstance(warp, nn.Module) else None
    like = torch.empty(0) if first is None else first.detach()
    height, width = in_shape[-2:]
    x = torch.arange(width, dtype=like.dtype, device=like.device).expand(in_shape)
    y = torch.arange(height, dtype=like.dtype, device=like.device)
    ramps = [x, y[:, None].expand(in_shape)]  # a value is its location
    flat = [torch.ones_like(x), torch.zeros_like(x)]  # show where the fill comes in
    images = torch.stack([*ramps, *flat])
    with torch.no_grad(), evaluating(warp):
        away = (warp(images) - images)[..., 1:-1, 1:-1].abs()
    inside = (away[2:] < 1e-3).all(dim=0)
    return away[:2, inside].max().item() if inside.any() else math.inf


def composition_gap(
    first: Tensor,
    second: Tensor,
    composed: Tensor,
    size: Sequence[int],
    *,
    align_corners: bool = False,
) -> Tensor:
    """Return how far a composed grid is from sampling at one grid after the other.

    >>> from stn_tutorial import Affine, rotation
    >>> zoom, turn = rotation(0.0, scale=0.5), rotation(0.5)
    >>> grids = [Affine().grid(theta[None], (28, 28)) for theta in (zoom, turn)]
    >>> composed = Affine().grid(Affine().compose(zoom[None], turn[None]), (28, 28))
    >>> composition_gap(*grids, composed, (28, 28)).item() < 1e-4
    True

    Args:
        first: ``(N, H, W, 2)`` the grid at which the image is sampled first.
        second: ``(N, H_out, W_out, 2)`` the grid at which the result is sampled.
        composed: like `second`, the grid that should do both.
        size: ``(H, W)`` of the input.
        align_corners: the convention of the three grids' coordinates.

    Returns:
        ``(N,)`` the mean distance in pixels, where `second` is inside the result.

    Raises:
        TypeError: if a grid is not a floating tensor.
        ValueError: if a grid has another shape.
    """
    for grid, name in ((first, "first"), (second, "second"), (composed, "composed")):
        _check_grid(grid, name)
    # A grid is a picture of locations; sampling it at the points of another composes.
    locations = sample(
        first.movedim(-1, 1), second, padding="border", align_corners=align_corners
    ).movedim(1, -1)
    away = to_pixels(composed, size, align_corners=align_corners) - to_pixels(
        locations, size, align_corners=align_corners
    )
    sides = second.new_tensor([first.shape[2], first.shape[1]])
    last = torch.ones_like(sides) if align_corners else 1 - 1 / sides
    known = (second.abs() <= last).all(dim=-1)
    gap = away.norm(dim=-1).where(known, torch.nan)
    return gap.flatten(1).nanmean(dim=1)


def gradient_norms(loss: Tensor, model: nn.Module) -> dict[str, float]:
    """Return the size of a loss's gradient in the localization network and the rest.

    Args:
        loss: a scalar that was computed with `model`.
        model: parameters whose name holds "localization" are the network's.

    Returns:
        ``"localization"`` and ``"rest"``: Euclidean norms.
    """
    parts = parameters_by_part(model)
    every = [p for part in parts.values() for p in part if p.requires_grad]
    # The graph is kept: a training step may follow.
    gradients: Sequence[Tensor | None] = ()
    if every:
        gradients = torch.autograd.grad(
            loss, every, retain_graph=True, allow_unused=True
        )
    sizes = {p: g.abs() for p, g in zip(every, gradients) if g is not None}
    squares = {
        p: size.to(working_dtype(size)).square().sum().item()
        for p, size in sizes.items()
    }
    return {
        part: sum(squares.get(p, 0.0) for p in parameters) ** 0.5
        for part, parameters in parts.items()
    }


def symptoms(row: dict[str, Any]) -> list[str]:
    """Return what is alarming about a row of `Monitor`, by rules of thumb.

    Args:
        row: one of `Monitor.rows`.

    Returns:
        A sentence for each symptom.
    """
    rules = (
        (row["outside"] > 0.5, "most of the grid is outside the image"),
        (row["black"] > 0.5, "most outputs are of one value"),
        (row["localization"] == 0, "no gradient reaches the localization network"),
        (row["scale"] > 1.5, "an output pixel stands for many: the output aliases"),
        (row["scale"] < 0.2, "the whole output samples nearly one location"),
        (row["moved"] > 5, "the grid leaps by many pixels between two rows"),
        (0 < row["epoch"] and row["spread"] < 0.3, "every image gets the same warp"),
    )
    return [sentence for alarming, sentence in rules if alarming]


def _watched(
    model: nn.Module, transformer: nn.Module, images: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """A model's scores, and what its transformer gets and returns on the way."""
    seen = []

    def see(module: nn.Module, args: Any, named: dict[str, Any], out: Tensor) -> None:
        seen.append(([*args, *named.values()][0], out))

    hook = transformer.register_forward_hook(see, with_kwargs=True)
    try:
        scores = model(images)
    finally:
        hook.remove()
    if not seen:
        raise ValueError("model must call its SpatialTransformer")
    return scores, *seen[0]


class Monitor:
    """Collect numbers of a model's first transformer, on the same images each time.

    Call it in any training loop, or hand it to one that takes such a callback.

    Args:
        images: ``(N, C, H, W)``, N at least 2.
        labels: ``(N,)``.

    Attributes:
        rows: one an epoch: epoch, loss, outside, scale, black (the share of outputs of
            one value), theta (mean), theta_sd, spread (of the grids) and moved (since
            the row before; both in pixels), localization and rest (gradient norms).
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels
        self.rows: list[dict[str, Any]] = []
        self._before: Tensor | None = None

    def __call__(self, epoch: int, model: nn.Module) -> None:
        """Add a row.

        Args:
            epoch: the number of the row.
            model: images to scores; holds a `SpatialTransformer`.

        Raises:
            ValueError: if the model holds none, or doesn't call it.
        """
        found = [m for m in model.modules() if isinstance(m, SpatialTransformer)]
        if not found:
            raise ValueError("model must hold a SpatialTransformer")
        device, transformer = next(model.parameters()).device, found[0]
        with evaluating(model):
            scores, before, after = _watched(model, transformer, self.images.to(device))
            loss = F.cross_entropy(scores, self.labels.to(device))
            norms = gradient_norms(loss, model)
            with torch.no_grad():
                theta = theta_statistics(transformer.params(before))
                grid, size = transformer.grid(before), before.shape[-2:]
        with torch.no_grad():
            points = to_pixels(grid, size, align_corners=transformer.align_corners)
            grid = to_normalized(points, size)  # edges at ±1, whatever it was
            flat = after.flatten(1).amax(1) - after.flatten(1).amin(1) < 1e-3
            past, self._before = self._before, points
            steps = (points - (points if past is None else past)).norm(dim=-1)
            moved = steps.where(steps.isfinite(), torch.nan).nanmean()
        self.rows.append(
            {
                "epoch": epoch,
                "loss": loss.item(),
                "outside": outside_fraction(grid).mean().item(),
                "scale": effective_scale(grid, size).mean().item(),
                "black": flat.float().mean().item(),
                "theta": theta["mean"].tolist(),
                "theta_sd": theta["sd"].tolist(),
                "spread": grid_spread(grid, size).item(),
                "moved": float(moved),
                **norms,
            }
        )
