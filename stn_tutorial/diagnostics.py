"""How to see a spatial transformer fail: numbers of a run, and a picture of them.

A transformer fails in silence: the loss stays finite. Each number tells one failure:

- `outside_fraction` near 1: the grid has left the image; the output is black;
- `effective_scale` far above 1: the output skips input pixels and aliases; near 0: the
  whole output reads one place;
- `theta_statistics` with no spread: every image gets the same warp;
- `gradient_norms` of zero in the localization network: it learns nothing any more.

`Watch` collects them during training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from stn_tutorial.coordinates import to_pixels
from stn_tutorial.plotting import COLORS
from stn_tutorial.transformer import SpatialTransformer

__all__ = [
    "Watch",
    "effective_scale",
    "gradient_norms",
    "outside_fraction",
    "theta_statistics",
]


def outside_fraction(grid: Tensor) -> Tensor:
    """Return the share of grid points that lie outside the image.

    Args:
        grid: ``(N, H, W, 2)`` normalized input points, ``align_corners=False``.

    Returns:
        ``(N,)`` from 0 to 1. The image ends at ±1; what is not finite is outside.
    """
    inside = (grid.abs() <= 1).all(dim=-1)
    return 1 - inside.flatten(1).float().mean(dim=1)


def effective_scale(
    grid: Tensor, size: Sequence[int], *, align_corners: bool = False
) -> Tensor:
    """Return how many input pixels an output pixel stands for, along a side.

    Args:
        grid: ``(N, H, W, 2)`` normalized input points, H and W at least 2.
        size: ``(H, W)`` of the input.
        align_corners: the convention of the grid's coordinates.

    Returns:
        ``(N,)``: the root of the mean area of the patches between neighbouring points,
        in pixels. Above 1 the picture shrinks, below 1 it grows.

    Raises:
        ValueError: if the grid has a single row or column.
    """
    if min(grid.shape[1:3]) < 2:
        raise ValueError(
            f"grid must have two rows and columns, got {tuple(grid.shape)}"
        )
    points = to_pixels(grid, size, align_corners=align_corners)
    right = points[:, :-1, 1:] - points[:, :-1, :-1]
    down = points[:, 1:, :-1] - points[:, :-1, :-1]
    area = (right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]).abs()
    area = area.where(area.isfinite(), torch.nan)  # at a horizon
    return area.flatten(1).nanmean(dim=1).sqrt()


def theta_statistics(params: Tensor) -> dict[str, Tensor]:
    """Return mean and spread of predicted parameters over a batch.

    Args:
        params: ``(N, n_params)``, N at least 2.

    Returns:
        ``"mean"`` and ``"sd"``, each ``(n_params,)``.
    """
    return {"mean": params.mean(dim=0), "sd": params.std(dim=0)}


def gradient_norms(loss: Tensor, model: nn.Module) -> dict[str, float]:
    """Return the size of a loss's gradient in the localization network and the rest.

    The parameters' ``grad`` is left alone.

    Args:
        loss: a scalar that was computed with `model`.
        model: parameters whose name holds "localization" are the network's.

    Returns:
        ``"localization"`` and ``"rest"``: Euclidean norms.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    grads = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    squares = {"localization": 0.0, "rest": 0.0}
    for name, grad in zip(named, grads, strict=True):
        part = "localization" if "localization" in name else "rest"
        squares[part] += 0.0 if grad is None else float(grad.square().sum())
    return {part: square**0.5 for part, square in squares.items()}


class Watch:
    """Collect the numbers of this module after every epoch, on the same images.

    Give it to `stn_tutorial.training.train` as ``on_epoch``, or call it in a loop of
    your own. The first transformer of the model is watched.

    Args:
        images: ``(N, C, H, W)``, N at least 2.
        labels: ``(N,)``.

    Attributes:
        rows: one an epoch: epoch, loss, outside, scale, black (the share of outputs of
            one value), theta (mean), theta_sd, localization and rest (gradient norms).
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels
        self.rows: list[dict[str, Any]] = []

    def __call__(self, epoch: int, model: nn.Module) -> None:
        """Add a row.

        Args:
            epoch: the number of the row.
            model: images to scores; holds a `SpatialTransformer`.

        Raises:
            ValueError: if the model holds none.
        """
        parts = (m for m in model.modules() if isinstance(m, SpatialTransformer))
        transformer = next(parts, None)
        if transformer is None:
            raise ValueError("model must hold a SpatialTransformer")
        device = next(model.parameters()).device
        seen = []
        hook = transformer.register_forward_hook(
            lambda module, inputs, output: seen.append((inputs[0], output))
        )
        scores = model(self.images.to(device))
        hook.remove()
        loss = F.cross_entropy(scores, self.labels.to(device))
        norms = gradient_norms(loss, model)
        with torch.no_grad():
            (before, after), *_ = seen
            theta = theta_statistics(transformer.params(before))
            grid = transformer.grid(before)
            scale = effective_scale(grid, before.shape[-2:])
            flat = after.flatten(1).amax(1) - after.flatten(1).amin(1) < 1e-3
        self.rows.append(
            {
                "epoch": epoch,
                "loss": loss.item(),
                "outside": outside_fraction(grid).mean().item(),
                "scale": scale.mean().item(),
                "black": flat.float().mean().item(),
                "theta": theta["mean"].tolist(),
                "theta_sd": theta["sd"].tolist(),
                **norms,
            }
        )

    def plot(self) -> Figure:
        """Draw the numbers over the epochs.

        Returns:
            The figure.
        """
        epochs = [row["epoch"] for row in self.rows]
        fig, axes = plt.subplots(2, 2, figsize=(6.4, 4.6), sharex=True)
        (shares, scale), (theta, gradients) = axes
        for name, color in (("outside", "sample"), ("black", "ink")):
            line = [row[name] for row in self.rows]
            shares.plot(epochs, line, label=name, color=COLORS[color])
        shares.set(title="share of points, of outputs", ylim=(-0.05, 1.05))
        scale.plot(epochs, [row["scale"] for row in self.rows], color=COLORS["input"])
        scale.set(title="input pixels a step", ylim=(0, None))
        theta.plot(epochs, [row["theta"] for row in self.rows])
        theta.set(title="mean theta", xlabel="epoch")
        for name, color in (("localization", "gradient"), ("rest", "faint")):
            line = [max(row[name], 1e-12) for row in self.rows]
            gradients.semilogy(epochs, line, label=name, color=COLORS[color])
        gradients.set(title="gradient norm", xlabel="epoch")
        for ax in (shares, gradients):
            ax.legend()
        return fig
