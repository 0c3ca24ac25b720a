"""The picture of a look: where the transformer looks, and what it passes on."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patheffects import withStroke
from torch import Tensor

from stn_tutorial.course.plotting import COLORS, WIDEST
from stn_tutorial.experiments.views import Look

__all__ = ["draw_looks"]

#: A picture and what is made of it, or nothing.
Pair = tuple[Tensor, Tensor]


def draw_looks(
    pictures: Sequence[Tensor],
    looks: Sequence[Look],
    others: Sequence[Pair] = (),
    sizes: Sequence[tuple[int, int]] = (),
) -> Figure:
    """Draw pictures with the outline of theta, and what becomes of them.

    The outline's upper edge, which becomes the upper edge of the output, is thick.

    Args:
        pictures: ``(C, H, W)`` in [0, 1] each, perhaps made smaller for the drawing.
        looks: at each of them.
        others: for each, another picture and what the same theta makes of it.
        sizes: ``(width, height)`` of these other pictures.

    Returns:
        The figure: a row for each picture.

    Raises:
        ValueError: if there are no pictures.
    """
    if not pictures:
        raise ValueError("pictures must be one or more, got none")
    columns = 4 if others else 2
    side = min(2.6, WIDEST / columns)
    shape = (len(pictures), columns)
    figsize = (side * columns, (side + 0.3) * len(pictures))
    fig, axes = plt.subplots(*shape, figsize=figsize, squeeze=False)
    for row, (picture, look) in enumerate(zip(pictures, looks)):
        _draw_input(axes[row, 0], picture, look.size, look.outline)
        _draw_image(axes[row, 1], look.output)
        title = f"{_drawable(look.said)}, {100 * look.share:.0f}%"
        axes[row, 1].set_title(title, parse_math=False)
        if others:
            other, made = others[row]
            outline = look.outline_in(sizes[row])
            _draw_input(axes[row, 2], other, sizes[row], outline)
            _draw_image(axes[row, 3], made)
    heads = ("input", None, "the other", "its output")
    for ax, head in zip(axes[0], heads):
        if head:
            ax.set_title(head)
    return fig


def _drawable(text: str) -> str:
    """A name on one line of bounded length, with boxes for what the font lacks."""
    known = get_font(findfont(FontProperties())).get_char_index
    line = " ".join(text.split())
    line = line if len(line) < 20 else f"{line[:18]}…"
    return "".join(each if known(ord(each)) else "□" for each in line)


def _draw_image(ax: Axes, image: Tensor, extent: tuple | None = None) -> None:
    pixels = image.movedim(0, -1).clamp(0, 1).numpy()
    pixels = pixels[..., 0] if pixels.shape[-1] < 3 else pixels
    ax.imshow(pixels, vmin=0, vmax=1, extent=extent)
    ax.axis("off")


def _draw_input(
    ax: Axes, image: Tensor, size: tuple[int, int], outline: Tensor
) -> None:
    """Draw a picture in its own pixels, with the outline as far as it is near."""
    width, height = size
    _draw_image(ax, image, (-0.5, width - 0.5, height - 0.5, -0.5))
    finite = outline.isfinite().all(dim=1)
    points = outline.where(finite[:, None], float("nan")).numpy()
    closed = [*points, points[0]]
    dark = [withStroke(linewidth=4.5, foreground=COLORS["paper"])]
    ax.plot(*zip(*closed), color=COLORS["sample"], linewidth=2, path_effects=dark)
    upper = points[: len(points) // 4 + 1]
    ax.plot(*upper.T, color=COLORS["output"], linewidth=4, solid_capstyle="butt")
    reach = max(size)  # of what is drawn beside the picture, at most
    limits = []
    for points, length in zip(outline[finite].T, size):
        low, high = (points.min(), points.max()) if len(points) else (0, 0)
        start = min(-0.5, max(float(low), -reach) - 0.02 * reach)
        end = max(length - 0.5, min(float(high), length + reach) + 0.02 * reach)
        limits.append((start, end))
    ax.set(xlim=limits[0], ylim=limits[1][::-1])
