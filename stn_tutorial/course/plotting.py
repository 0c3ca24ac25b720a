"""The figures the chapters share: one style, and one colour for each meaning.

All positions are in pixel coordinates, so that an image, its grid and its sample points
can be drawn over one another: the centre of the first pixel is ``(0, 0)``.

An image is a tensor ``(H, W)`` or ``(C, H, W)``, a NumPy array ``(H, W)`` or
``(H, W, C)``, or a PIL image, with 1, 3 or 4 channels. Arrays with their channels in
front, tensors with theirs at the end, and batch dimensions of 1 are understood as well.
Bytes are divided by 255, unsigned integers of 16 bits by 65,535.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import torch
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import AutoLocator, FixedLocator, NullLocator
from torch import Tensor

from stn_tutorial.course.svg import COLORS, show_as_svg

__all__ = [
    "COLORS",
    "ERROR_FLOOR",
    "WIDEST",
    "draw_arrows",
    "draw_grid",
    "draw_monitor",
    "draw_pixels",
    "draw_points",
    "fading",
    "frame_picture",
    "label_panels",
    "make_panels",
    "plain_ticks",
    "show_images",
    "use_style",
]

#: What a logarithmic axis shows in place of an error of 0, in percent.
ERROR_FLOOR = 0.01
#: The width of a figure, in inches, whose lettering a phone's reader can still read.
WIDEST = 6.2

Image = Tensor | np.ndarray | PIL.Image.Image
Points = Tensor | np.ndarray


def use_style() -> None:
    """Set Matplotlib up for the book: SVG, legible on a phone, no interpolation.

    >>> use_style()
    >>> plt.rcParams["image.interpolation"]
    'none'
    """
    show_as_svg()
    ink = COLORS["ink"]
    cycle = ("input", "output", "gradient", "sample", "wrong")
    plt.rcParams.update(
        {
            "figure.facecolor": "white",
            "figure.dpi": 110,
            "figure.figsize": (WIDEST, 4.4),
            "axes.facecolor": "none",
            "axes.edgecolor": ink,
            "axes.labelcolor": ink,
            "text.color": ink,
            "xtick.color": ink,
            "ytick.color": ink,
            "figure.constrained_layout.use": True,
            "figure.constrained_layout.h_pad": 0.08,
            "savefig.facecolor": "white",
            "image.cmap": "gray",
            "image.interpolation": "none",
            "font.size": 12,
            "axes.titlesize": 13,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=[COLORS[name] for name in cycle]),
            "legend.frameon": False,
        }
    )


def show_images(
    images: Image | Sequence[Image],
    titles: Sequence[str] | str | None = None,
    *,
    columns: int | None = None,
    width: float = 2.2,
    limits: tuple[float, float] | None = (0.0, 1.0),
) -> tuple[Figure, np.ndarray]:
    """Show images side by side, without axes.

    >>> fig, axes = show_images([torch.zeros(8, 8)] * 5, columns=3)
    >>> axes.shape
    (2, 3)
    >>> photograph = np.zeros((20, 30, 3), dtype=np.uint8)
    >>> fig, axes = show_images(photograph, "one image alone")
    >>> axes.shape
    (1, 1)

    Args:
        images: images, a batch ``(N, C, H, W)`` of them, or one image alone; see the
            head of this module for what an image is.
        titles: one for each image.
        columns: images in a row; the default is all.
        width: of one image, in inches, if they are not too many for it.
        limits: the values shown black and white; `None` for each image's own.

    Returns:
        The figure and the array of its axes, ``(rows, columns)``.

    Raises:
        TypeError: if an image is none of these.
        ValueError: if there are no images, an image has another shape, there is not a
            title for each, or `columns` is less than 1.
    """
    images = [images] if _is_one_image(images) else images
    if isinstance(images, str) or not isinstance(images, Iterable):
        raise TypeError(f"images must be images, got {type(images).__name__}")
    pictures = [_pixels(image) for image in images]
    if not pictures:
        raise ValueError("images must be one or more, got none")
    titles = [titles] if isinstance(titles, str) else titles
    if titles is not None and len(titles) != len(pictures):
        raise ValueError(
            f"titles must be {len(pictures)}, one for each image, got {len(titles)}"
        )
    columns = len(pictures) if columns is None else columns
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    rows = -(-len(pictures) // columns)
    aspect = max(picture.shape[0] / picture.shape[1] for picture in pictures)
    width = min(width, WIDEST / columns)
    height = width * aspect + (0.35 if titles else 0.1)
    fig, axes = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False
    )
    for ax in axes.flat[len(pictures) :]:
        ax.axis("off")
    vmin, vmax = limits or (None, None)
    for k, (ax, picture) in enumerate(zip(axes.flat, pictures)):
        ax.imshow(picture, vmin=vmin, vmax=vmax)
        frame_picture(ax)
        if titles:
            ax.set_title(titles[k])
    return fig, axes


def frame_picture(ax: Axes) -> None:
    """Give a picture a thin edge in place of its axes; title and labels stay.

    By its edge a black picture is told from a dark page, and a white one from a bright.

    >>> fig, ax = plt.subplots()
    >>> frame_picture(ax)
    >>> ax.spines["left"].get_visible(), len(ax.get_xticks())
    (False, 0)

    Args:
        ax: of the picture.
    """
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    edge = {"fill": False, "lw": 0.6, "edgecolor": COLORS["faint"], "zorder": 1}
    whole = {"transform": ax.transAxes, "clip_on": False}
    ax.add_patch(Rectangle((0, 0), 1, 1, **whole, **edge))


def fading(*names: str) -> LinearSegmentedColormap:
    """Return a colour map that begins as the page, so that it suits light and dark.

    >>> [float(fading("input")(value)[3]) for value in (0.0, 1.0)]  # how opaque
    [0.0, 1.0]
    >>> signed = fading("input", "output")  # negative, positive
    >>> [round(float(signed(value)[3]), 1) for value in (0.0, 0.5, 1.0)]
    [1.0, 0.0, 1.0]

    Args:
        names: of `COLORS`: the one of the highest value; or two, of the lowest and of
            the highest, with nothing in the middle.
    """
    ends = [to_rgb(COLORS[name]) for name in names]
    stops = [(0.0, (*ends[-1], 0.0)), (1.0, (*ends[-1], 1.0))]
    if len(ends) == 2:
        low, high = ends
        stops = [(0.0, (*low, 1.0)), (0.5, (*low, 0.0)), (0.5, (*high, 0.0)), stops[1]]
    return LinearSegmentedColormap.from_list("fading", stops)


def make_panels(
    names: Sequence[str], *, height: float, **shared: bool
) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with a panel for each name, two in a row.

    >>> fig, panels = make_panels(["R", "RTS", "P"], height=2, sharey=True)
    >>> list(panels), panels["P"].get_title()
    (['R', 'RTS', 'P'], 'P')

    Args:
        names: the titles, one at least.
        height: of a row, in inches.
        **shared: of `matplotlib.pyplot.subplots`: sharex and sharey.

    Returns:
        The figure, and the axes by their names.
    """
    shape = (-(-len(names) // 2), min(2, len(names)))
    size = (WIDEST, height * shape[0] + 0.5)
    fig, axes = plt.subplots(*shape, figsize=size, squeeze=False, **shared)
    for ax in axes.flat[len(names) :]:
        ax.remove()
    panels = dict(zip(names, axes.flat, strict=False))
    for name, ax in panels.items():
        ax.set(title=name)
    return fig, panels


def label_panels(
    fig: Figure, x: str, y: str, legend: Mapping[str, Mapping[str, Any]]
) -> Figure:
    """Label the outer axes, mark plain numbers on logarithmic ones, add a legend.

    >>> fig, panels = make_panels(["R", "RTS"], height=2)
    >>> fig = label_panels(fig, "epoch", "error (%)", {"CNN": {"color": "black"}})
    >>> panels["R"].get_ylabel(), panels["RTS"].get_ylabel()
    ('error (%)', '')

    Args:
        fig: of `make_panels`, drawn.
        x: the label of the lowest axes of each column.
        y: the label of the first axes of each row.
        legend: the line properties of each name in the legend; empty for no legend.

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
    handles = [Line2D([], [], label=name, **line) for name, line in legend.items()]
    if handles:
        columns = len(handles) if len(handles) < 5 else 3
        fig.legend(handles=handles, loc="outside lower center", ncols=columns)
    return fig


def draw_pixels(
    ax: Axes,
    image: Image,
    *,
    color: str = COLORS["input"],
    centres: bool = True,
) -> None:
    """Draw an image as squares with their centres marked, in pixel coordinates.

    >>> fig, ax = plt.subplots()
    >>> draw_pixels(ax, torch.eye(3))
    >>> len(ax.lines[0].get_xdata()), [float(end) for end in ax.get_xlim()]
    (3, [-0.5, 2.5])

    Args:
        ax: where to draw.
        image: as at the head of this module.
        color: of the squares' outlines and centres.
        centres: mark every pixel's centre.
    """
    array = _pixels(image)
    height, width = array.shape[:2]
    ax.imshow(array, vmin=0, vmax=1)
    x, y = np.arange(width + 1) - 0.5, np.arange(height + 1) - 0.5
    ax.vlines(x, y[0], y[-1], color=color, linewidth=0.8)
    ax.hlines(y, x[0], x[-1], color=color, linewidth=0.8)
    if centres:
        columns, rows = np.meshgrid(x[:-1] + 0.5, y[:-1] + 0.5)
        ax.plot(columns, rows, ".", color=color, markersize=4)
    ax.set_aspect("equal")


def draw_grid(
    ax: Axes,
    points: Points,
    *,
    color: str = COLORS["sample"],
    every: int = 1,
    linewidth: float = 0.9,
) -> None:
    """Draw the lines of a grid of pixel coordinates.

    >>> from stn_tutorial import base_grid, to_pixels
    >>> fig, ax = plt.subplots()
    >>> draw_grid(ax, to_pixels(base_grid((4, 6)), (4, 6)))
    >>> len(ax.collections[0].get_segments())  # 4 rows and 6 columns
    10

    Args:
        ax: where to draw.
        points: ``(H, W, 2)`` or ``(1, H, W, 2)``, ``(x, y)`` in pixels.
        color: of the lines.
        every: draw each line of this many; the last is always drawn.
        linewidth: in points.

    Raises:
        TypeError: if `points` is no tensor and no array.
        ValueError: if `points` has another shape, or `every` is less than 1.
    """
    array = _coordinates(points, "points")
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 3:
        raise ValueError(f"points must be (H, W, 2), got {array.shape}")
    if every < 1:
        raise ValueError(f"every must be at least 1, got {every}")
    rows = sorted({*range(0, array.shape[0], every), array.shape[0] - 1})
    columns = sorted({*range(0, array.shape[1], every), array.shape[1] - 1})
    lines = [array[i] for i in rows] + [array[:, j] for j in columns]
    ax.add_collection(LineCollection(lines, colors=color, linewidths=linewidth))


def draw_points(
    ax: Axes,
    points: Points,
    *,
    color: str = COLORS["sample"],
    size: float = 4,
) -> None:
    """Mark points of pixel coordinates.

    >>> fig, ax = plt.subplots()
    >>> draw_points(ax, torch.tensor([[0.0, 0.0], [2.5, 1.0]]))
    >>> ax.lines[0].get_xydata().tolist()
    [[0.0, 0.0], [2.5, 1.0]]

    Args:
        ax: where to draw.
        points: ``(..., 2)``, ``(x, y)`` in pixels.
        color: of the marks.
        size: of a mark, in points.

    Raises:
        TypeError: if `points` is no tensor and no array.
        ValueError: if the last dimension of `points` is not 2.
    """
    x, y = _coordinates(points, "points").reshape(-1, 2).T
    ax.plot(x, y, "o", color=color, markersize=size)


def draw_arrows(
    ax: Axes,
    start: Points,
    end: Points,
    *,
    color: str = COLORS["gradient"],
    width: float = 0.004,
) -> None:
    """Draw arrows between points of pixel coordinates.

    >>> fig, ax = plt.subplots()
    >>> draw_arrows(ax, torch.zeros(4, 2), torch.ones(4, 2))
    >>> len(ax.collections[0].get_offsets())
    4

    Args:
        ax: where to draw.
        start: ``(..., 2)``, where the arrows begin, ``(x, y)`` in pixels.
        end: of the same shape, where they point.
        color: of the arrows.
        width: of a shaft, as a share of the plot's width.

    Raises:
        TypeError: if `start` or `end` is no tensor and no array.
        ValueError: if they don't have one shape ``(..., 2)``.
    """
    here, there = _coordinates(start, "start"), _coordinates(end, "end")
    if here.shape != there.shape:
        raise ValueError(
            f"end must have the shape of start, {here.shape}, got {there.shape}"
        )
    ax.quiver(
        *here.reshape(-1, 2).T,
        *(there - here).reshape(-1, 2).T,
        angles="xy",
        scale_units="xy",
        scale=1,
        color=color,
        width=width,
    )


def _array(values: Any, name: str, expected: str) -> np.ndarray:
    """A tensor or a NumPy array as an array of real numbers on the CPU."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        # NumPy has no bfloat16.
        values = (values.float() if values.is_floating_point() else values).numpy()
    if not isinstance(values, np.ndarray):
        raise TypeError(f"{name} must be {expected}, got {type(values).__name__}")
    if values.dtype.kind not in "buif":
        raise TypeError(f"{name} must hold real numbers, got {values.dtype}")
    return values


def _coordinates(points: Points, name: str) -> np.ndarray:
    """Points ``(..., 2)`` as an array."""
    array = _array(points, name, "a tensor or a NumPy array")
    if array.ndim < 1 or array.shape[-1] != 2:
        raise ValueError(f"{name} must be (..., 2), got {array.shape}")
    return array


CHANNELS = (3, 1, 4)  # colours, grey, and colours with opacity


def _is_one_image(images: Any) -> bool:
    """Whether this is an image, and no batch or sequence of images."""
    if not isinstance(images, (Tensor, np.ndarray)):
        return isinstance(images, PIL.Image.Image)
    shape = images.shape
    return len(shape) == 2 or (
        len(shape) == 3 and (shape[0] in CHANNELS or shape[-1] in CHANNELS)
    )


def _pixels(image: Image) -> np.ndarray:
    """An image as an array (H, W) or (H, W, C) that `imshow` takes."""
    usual, other = (0, -1) if isinstance(image, Tensor) else (-1, 0)
    if isinstance(image, PIL.Image.Image):
        plain = image.mode in ("L", "RGB", "RGBA") or image.mode.startswith("I;16")
        image = np.asarray(image if plain else image.convert("RGB"))
    array = _array(image, "image", "a tensor, a NumPy array or a PIL image")
    shape = array.shape
    whole = array.dtype in (np.uint8, np.uint16)  # 8 or 16 bits a value
    array = array / np.iinfo(array.dtype).max if whole else array.astype(np.float32)
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3:
        places = ((axis, n) for n in CHANNELS for axis in (usual, other))
        axis = next((axis for axis, n in places if array.shape[axis] == n), usual)
        array = np.moveaxis(array, axis, -1)
        if array.shape[-1] == 1:
            array = array[..., 0]
        else:
            array = array.clip(0, 1)  # as Matplotlib would, with a warning
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)):
        raise ValueError(
            "image must be one image, (H, W), (C, H, W) or (H, W, C) with 1, 3 or 4 "
            f"channels, got {shape}"
        )
    if array.size == 0:
        raise ValueError(f"image must have pixels, got {shape}")
    return array


def plain_ticks(axis: Axis) -> None:
    """Mark round numbers on a logarithmic axis, and write them without powers.

    >>> fig, ax = plt.subplots()
    >>> lines = ax.semilogy([1, 2], [0.5, 20])
    >>> plain_ticks(ax.yaxis)
    >>> [float(tick) for tick in ax.get_yticks() if 1 <= tick <= 10]
    [1.0, 2.0, 5.0, 10.0]

    Args:
        axis: whose data are drawn already.
    """
    low, high = axis.get_view_interval()
    steps = (1, 1.5, 2, 3, 4, 6, 8) if high < 4 * low else (1, 2, 5)
    steps = steps if high < 1e6 * low else (1,)
    ticks = [k * 10.0**n for n in range(-12, 13) for k in steps]
    axis.set_major_locator(FixedLocator(ticks) if high > 1.5 * low else AutoLocator())
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def draw_monitor(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str] = ()
) -> Figure:
    """Draw what a `stn_tutorial.diagnostics.Monitor` has collected over the epochs.

    Four panels: the share of points outside the input and of outputs of one value, the
    input pixels that a step of the output stands for, the mean of each parameter of the
    warp, and the gradient's norm in the localization network and in the rest.

    >>> row = {"epoch": 0, "outside": 0.1, "black": 0.0, "scale": 1.0}
    >>> row |= {"theta": [1.0, 0.0], "localization": 0.2, "rest": 3.0}
    >>> fig = draw_monitor([row, row | {"epoch": 1}])
    >>> [ax.get_title() for ax in fig.axes][:2]
    ['share of points, of outputs', 'input pixels per output pixel']

    Args:
        rows: of the monitor, one for each epoch.
        names: of the warp's parameters, such as ``"abcdef"`` for an affine warp; by
            default they are numbered, if they are few enough for a legend.

    Returns:
        The figure. A gradient of exactly 0 is left out: the axis is logarithmic.

    Raises:
        ValueError: if there are no rows.
    """
    if not rows:
        raise ValueError("rows must be one or more, got none")
    table = {name: [row[name] for row in rows] for name in rows[0]}
    epochs = table["epoch"]
    fig, axes = plt.subplots(2, 2, figsize=(WIDEST, 5.6), sharex=True)
    shares, scale, theta, gradients = axes.flat
    shares.plot(epochs, table["outside"], color=COLORS["sample"], lw=4)
    shares.plot(epochs, table["black"], "--", color=COLORS["ink"])
    shares.legend(["outside", "black"])
    shares.set(title="share of points, of outputs", ylim=(-0.05, 1.05))
    scale.plot(epochs, table["scale"], color=COLORS["input"])
    scale.set(title="input pixels per output pixel", ylim=(0, None))
    lines = theta.plot(epochs, table["theta"])
    theta.set(title="mean theta", xlabel="epoch")
    names = names or [rf"$\theta_{k + 1}$" for k in range(len(lines))]
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.3)}
    for line in lines[5:]:  # five colours, then the same ones dashed
        line.set_linestyle("--")
    if len(lines) <= 8:  # a projective warp's; more are no legend
        theta.legend(lines, names, ncols=3, handlelength=1, columnspacing=0.8, **below)
    for name, color in (("localization", "gradient"), ("rest", "faint")):
        norms = [norm or torch.nan for norm in table[name]]  # no logarithm of 0
        gradients.semilogy(epochs, norms, ".-", color=COLORS[color])
    gradients.set(title="gradient norm", xlabel="epoch")
    plain_ticks(gradients.yaxis)
    gradients.legend(["localization", "rest"], **below)
    return fig
