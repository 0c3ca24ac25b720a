"""The figures the chapters share: one style, and one colour for each meaning.

All positions are in pixel coordinates, so that an image, its grid and its sample points
can be drawn over one another: the centre of the first pixel is ``(0, 0)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import AutoLocator, FixedLocator, NullLocator
from torch import Tensor

__all__ = [
    "COLORS",
    "LEAST",
    "draw_arrows",
    "draw_grid",
    "draw_monitor",
    "draw_pixels",
    "draw_points",
    "label_panels",
    "panels_of",
    "plain_ticks",
    "show_images",
    "use_style",
]

#: One colour a meaning, from Okabe and Ito's palette, which colour-blind readers can
#: tell apart.
COLORS = {
    "input": "#0072B2",  # the image that is read, and its pixels
    "output": "#D55E00",  # the image that is made, and its pixels
    "sample": "#CC79A7",  # where the input is read
    "gradient": "#009E73",
    "wrong": "#E69F00",
    "ink": "#222222",
    "faint": "#BBBBBB",
}
#: What a logarithmic axis of errors shows, in percent, where there is none.
LEAST = 0.01


def use_style() -> None:
    """Set Matplotlib up for the book: opaque, legible on a phone, no interpolation."""
    cycle = ("input", "output", "gradient", "sample", "wrong")
    plt.rcParams.update(
        {
            "figure.facecolor": "white",
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "image.cmap": "gray",
            "image.interpolation": "nearest",
            "font.size": 12,
            "axes.titlesize": 13,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=[COLORS[name] for name in cycle]),
            "legend.frameon": False,
        }
    )


def show_images(
    images: Sequence[Tensor],
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    width: float = 2.2,
    limits: tuple[float, float] | None = (0.0, 1.0),
) -> tuple[Figure, np.ndarray]:
    """Show images side by side, without axes.

    Args:
        images: each ``(H, W)``, ``(1, H, W)``, ``(3, H, W)``, or any of these behind a
            batch dimension of 1.
        titles: one for each image.
        columns: images in a row; the default is all.
        width: of one image, in inches.
        limits: the values shown black and white; `None` for each image's own.

    Returns:
        The figure and the array of its axes.
    """
    columns = columns or len(images)
    rows = -(-len(images) // columns)
    aspect = max(image.shape[-2] / image.shape[-1] for image in images)
    height = width * aspect + (0.35 if titles else 0.1)
    fig, axes = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False
    )
    for ax in axes.flat:
        ax.axis("off")
    vmin, vmax = limits or (None, None)
    for k, image in enumerate(images):
        ax = axes.flat[k]
        ax.imshow(_pixels(image), vmin=vmin, vmax=vmax)
        if titles:
            ax.set_title(titles[k])
    return fig, axes


def panels_of(
    names: Sequence[str], *, height: float, **shared: bool
) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with a panel for each name, two in a row.

    Args:
        names: the titles, one at least.
        height: of a row, in inches.
        **shared: of `matplotlib.pyplot.subplots`: sharex and sharey.

    Returns:
        The figure, and the axes by their names.
    """
    shape = (-(-len(names) // 2), min(2, len(names)))
    size = (6.4, height * shape[0] + 0.5)
    fig, axes = plt.subplots(*shape, figsize=size, squeeze=False, **shared)
    for ax in axes.flat[len(names) :]:
        ax.remove()
    panels = dict(zip(names, axes.flat, strict=False))
    for name, ax in panels.items():
        ax.set(title=name)
    return fig, panels


def label_panels(
    fig: Figure, x: str, y: str, looks: Mapping[str, Mapping[str, Any]]
) -> Figure:
    """Label the outer axes, mark plain numbers on logarithmic ones, add a legend.

    Args:
        fig: of `panels_of`, drawn.
        x: the label of the lowest axes of each column.
        y: the label of the first axes of each row.
        looks: the names and the line properties of the legend, if there is to be one.

    Returns:
        The figure.
    """
    lowest = {ax.get_subplotspec().colspan.start: ax for ax in fig.axes}.values()
    for ax in fig.axes:
        first = ax.get_subplotspec().is_first_col()
        ax.set(xlabel=x if ax in lowest else "", ylabel=y if first else "")
        for axis in (ax.xaxis, ax.yaxis):
            if axis.get_scale() == "log":
                plain_ticks(axis)
    handles = [Line2D([], [], label=name, **look) for name, look in looks.items()]
    if handles:
        columns = len(handles) if len(handles) < 5 else 3
        fig.legend(handles=handles, loc="outside lower center", ncols=columns)
    return fig


def draw_pixels(
    ax: Axes,
    image: Tensor,
    *,
    color: str = COLORS["input"],
    centres: bool = True,
    values: bool = False,
    limits: tuple[float, float] = (0.0, 1.0),
    alpha: float = 1.0,
) -> None:
    """Draw an image as squares with their centres marked, in pixel coordinates.

    Args:
        ax: where to draw.
        image: ``(H, W)``, or with channels and a batch of 1 in front.
        color: of the squares' outlines and centres.
        centres: mark every pixel's centre.
        values: write every pixel's value next to its centre.
        limits: the values shown black and white.
        alpha: opacity of the picture under the outlines.
    """
    array = _pixels(image)
    height, width = array.shape[:2]
    ax.imshow(array, vmin=limits[0], vmax=limits[1], alpha=alpha)
    x, y = np.arange(width + 1) - 0.5, np.arange(height + 1) - 0.5
    ax.vlines(x, y[0], y[-1], color=color, linewidth=0.8)
    ax.hlines(y, x[0], x[-1], color=color, linewidth=0.8)
    columns, rows = np.meshgrid(x[:-1] + 0.5, y[:-1] + 0.5)
    if centres:
        ax.plot(columns, rows, ".", color=color, markersize=4)
    if values:
        for i in range(height):
            for j in range(width):
                dark = np.mean(array[i, j]) < np.mean(limits)
                ax.text(
                    *(j, i + 0.2),
                    f"{np.mean(array[i, j]):.2g}",
                    color="white" if dark and alpha > 0.5 else COLORS["ink"],
                    ha="center",
                    va="top",
                    fontsize=8,
                )
    ax.set_aspect("equal")


def draw_grid(
    ax: Axes,
    points: Tensor,
    *,
    color: str = COLORS["sample"],
    every: int = 1,
    linewidth: float = 0.9,
) -> None:
    """Draw the lines of a grid ``(H, W, 2)`` of pixel coordinates.

    Args:
        ax: where to draw.
        points: ``(H, W, 2)``, ``(x, y)`` in pixels.
        color: of the lines.
        every: draw each line of this many; the last is always drawn.
        linewidth: in points.
    """
    array = points.detach().cpu().numpy()
    rows = sorted({*range(0, array.shape[0], every), array.shape[0] - 1})
    columns = sorted({*range(0, array.shape[1], every), array.shape[1] - 1})
    lines = [array[i] for i in rows] + [array[:, j] for j in columns]
    ax.add_collection(LineCollection(lines, colors=color, linewidths=linewidth))


def draw_points(
    ax: Axes,
    points: Tensor,
    *,
    color: str = COLORS["sample"],
    marker: str = "o",
    size: float = 4,
    label: str | None = None,
) -> None:
    """Mark points of pixel coordinates.

    Args:
        ax: what to draw on.
        points: ``(..., 2)``, x and y.
        color: of the marks.
        marker: as Matplotlib names it.
        size: of a mark, in points.
        label: for the legend.
    """
    x, y = points.detach().cpu().reshape(-1, 2).T.numpy()
    ax.plot(x, y, marker, color=color, markersize=size, linestyle="none", label=label)


def draw_arrows(
    ax: Axes,
    start: Tensor,
    end: Tensor,
    *,
    color: str = COLORS["gradient"],
    width: float = 0.004,
) -> None:
    """Draw arrows between points of pixel coordinates.

    Args:
        ax: what to draw on.
        start: ``(..., 2)``, where the arrows begin.
        end: ``(..., 2)``, where they point.
        color: of the arrows.
        width: of a shaft, as a share of the plot's width.
    """
    x, y = start.detach().cpu().reshape(-1, 2).T.numpy()
    u, v = (end - start).detach().cpu().reshape(-1, 2).T.numpy()
    ax.quiver(
        *(x, y, u, v),
        angles="xy",
        scale_units="xy",
        scale=1,
        color=color,
        width=width,
    )


def _pixels(image: Tensor) -> np.ndarray:
    """(..., C, H, W) or (H, W) -> an array that `imshow` takes."""
    array = image.detach().cpu().float().numpy()
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3:
        array = (
            array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, -1).clip(0, 1)
        )
    if array.ndim not in (2, 3):
        raise ValueError(f"image must be one image, got {tuple(image.shape)}")
    return array


def plain_ticks(axis: Axis) -> None:
    """Mark round numbers on a logarithmic axis, and write them without powers.

    Args:
        axis: whose data are drawn already.
    """
    low, high = axis.get_view_interval()
    steps = (1, 1.5, 2, 3, 4, 6, 8) if high < 4 * low else (1, 2, 5)
    ticks = [k * 10.0**n for n in range(-3, 5) for k in steps]
    axis.set_major_locator(FixedLocator(ticks) if high > 1.5 * low else AutoLocator())
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def draw_monitor(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw what a `stn_tutorial.diagnostics.Monitor` has collected over the epochs.

    Args:
        rows: of the monitor.

    Returns:
        The figure. A gradient of exactly 0 is left out: the axis is logarithmic.
    """
    table = {name: [row[name] for row in rows] for name in rows[0]}
    epochs = table["epoch"]
    fig, axes = plt.subplots(2, 2, figsize=(6.4, 4.6), sharex=True)
    shares, scale, theta, gradients = axes.flat
    shares.plot(epochs, table["outside"], color=COLORS["sample"], lw=4)
    shares.plot(epochs, table["black"], "--", color=COLORS["ink"])
    shares.legend(["outside", "black"])
    shares.set(title="share of points, of outputs", ylim=(-0.05, 1.05))
    scale.plot(epochs, table["scale"], color=COLORS["input"])
    scale.set(title="input pixels a step", ylim=(0, None))
    theta.plot(epochs, table["theta"])
    theta.set(title="mean theta", xlabel="epoch")
    for name, color in (("localization", "gradient"), ("rest", "faint")):
        norms = [norm or torch.nan for norm in table[name]]  # no logarithm of 0
        gradients.semilogy(epochs, norms, ".-", color=COLORS[color])
    gradients.set(title="gradient norm", xlabel="epoch")
    plain_ticks(gradients.yaxis)
    gradients.legend(["localization", "rest"])
    return fig
