"""A spatial transformer on one picture, with the part that a chapter is about lit."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle
from torch import Tensor

from stn_tutorial import Affine, base_grid, rotation, sample
from stn_tutorial._validate import check_choice
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.data import embedded_digits

__all__ = ["PARTS", "draw_overview"]

#: What can be lit, in the order in which a picture passes through. The gradients go
#: the other way; they are drawn only where they are lit.
PARTS = (
    "input",
    "localization network",
    "theta",
    "grid generator",
    "sampler",
    "output",
    "classifier",
    "gradients",
)
FAINT = 0.3  # the opacity of what is not lit
FIVE = 25  # a digit that can be told, rotated or not

SIDE = 1.2  # of a panel, in inches
SIZE = (5.6, 3.6)
#: The lower left corner of each panel, in inches.
CORNERS = {
    "localization network": (0.1, 2.05),
    "grid generator": (2.2, 2.05),
    "classifier": (4.3, 2.05),
    "input": (0.1, 0.35),
    "sampler": (2.2, 0.35),
    "output": (4.3, 0.35),
}
#: Where each arrow begins and ends, in inches, and the part that makes what it carries.
ARROWS = {
    ("input", "localization network"): ((0.7, 1.58), (0.7, 2.02)),
    ("localization network", "theta"): ((1.33, 2.65), (1.53, 2.65)),
    ("theta", "grid generator"): ((1.97, 2.65), (2.17, 2.65)),
    ("grid generator", "sampler"): ((2.8, 2.02), (2.8, 1.58)),
    ("input", "sampler"): ((1.33, 0.95), (2.17, 0.95)),
    ("sampler", "output"): ((3.43, 0.95), (4.27, 0.95)),
    ("output", "classifier"): ((4.9, 1.58), (4.9, 2.02)),
}
#: The way of the gradients, beside the arrows.
BACKWARD = (
    ((4.76, 2.02), (4.76, 1.58)),
    ((4.27, 0.81), (3.43, 0.81)),
    ((2.17, 0.81), (1.33, 0.81)),
    ((2.66, 1.58), (2.66, 2.02)),
    ((2.17, 2.4), (1.33, 2.4)),
)
#: The frame of the output on the input, from output to input coordinates.
THETA = rotation(0.6, 0.66, (-0.02, 0.06))


def draw_overview(*lit: str) -> Figure:
    """Draw a spatial transformer at work on a digit, some of its parts lit.

    >>> fig = draw_overview("sampler")
    >>> [text.get_text() for text in fig.axes[0].texts if text.get_weight() == "bold"]
    ['sampler']

    Args:
        *lit: the parts to light, of `PARTS`; without any, all but the gradients are.

    Returns:
        The figure, 5.6 inches wide.

    Raises:
        ValueError: if there is no such part.
    """
    for part in lit:
        check_choice(part, "lit", PARTS)
    shown = lit or PARTS[:-1]
    alpha = {part: 1 if part in shown else FAINT for part in PARTS}
    fig, ax = plt.subplots(figsize=SIZE, layout="none")
    ax.set_position([0, 0, 1, 1])
    _draw_pictures(ax, alpha)
    _draw_network(ax, "localization network", alpha)
    _draw_network(ax, "classifier", alpha)
    for part, (x, y) in CORNERS.items():
        bold = part in lit
        edge = {"edgecolor": COLORS["ink"], "linewidth": 2.4 if bold else 1}
        ax.add_patch(
            Rectangle((x, y), SIDE, SIDE, fill=False, **edge, alpha=alpha[part])
        )
        above = y > 1.5
        ax.text(
            x,
            y + SIDE + 0.07 if above else y - 0.07,
            part,
            va="bottom" if above else "top",
            weight="bold" if bold else "normal",
            color=COLORS["ink"],
            alpha=max(alpha[part], 0.6),
        )
    bold = "theta" in lit
    ax.text(
        1.75,
        2.65,
        "θ",
        ha="center",
        va="center",
        fontsize=17,
        color=COLORS["ink"],
        weight="bold" if bold else "normal",
        alpha=alpha["theta"],
    )
    for ends, (start, end) in ARROWS.items():
        strength = max(alpha[part] for part in ends)
        _draw_arrow(ax, start, end, color=COLORS["ink"], alpha=strength)
    if "gradients" in lit:
        _draw_gradients(ax)
    ax.set(xlim=(0, SIZE[0]), ylim=(0, SIZE[1]))
    ax.axis("off")
    return fig


def _draw_pictures(ax: Axes, alpha: dict[str, float]) -> None:
    """Draw the digit, the grid and the sampled digit, each in its panel."""
    digit = embedded_digits()[0][FIVE, None]
    to_digit = torch.linalg.inv(torch.cat([THETA, torch.tensor([[0.0, 0, 1]])]))
    picture = sample(digit, Affine().grid(to_digit[None, :2], (42, 42)))
    lattice = base_grid((7, 7), align_corners=True)
    places = Affine().grid(THETA[None], (7, 7), align_corners=True)[0]
    output = sample(picture, Affine().grid(THETA[None], (28, 28)))
    pictures = {"input": picture, "sampler": picture, "output": output}
    for part, image in pictures.items():
        x, y = CORNERS[part]
        ax.imshow(
            image[0, 0].numpy(),
            vmin=0,
            vmax=1,
            alpha=alpha[part],
            interpolation="none",
            extent=(x, x + SIDE, y, y + SIDE),
        )
    frame = places[[0, 0, -1, -1, 0], [0, -1, -1, 0, 0]]
    shade = {"alpha": alpha["input"]}
    ax.plot(*_place(frame, "input"), color=COLORS["sample"], linewidth=2, **shade)
    ax.plot(*_place(frame[:2], "input"), color=COLORS["output"], linewidth=3.5, **shade)
    x, y = CORNERS["output"]
    edge = {"color": COLORS["output"], "linewidth": 3.5, "solid_capstyle": "butt"}
    ax.plot([x, x + SIDE], [y + SIDE] * 2, **edge, alpha=alpha["output"], zorder=3)
    for part in ("grid generator", "sampler"):
        _draw_lattice(ax, places, part, COLORS["sample"], alpha[part])
    ax.plot(
        *_place(places, "sampler"),
        "o",
        ms=3.4,
        color=COLORS["sample"],
        alpha=alpha["sampler"],
    )
    _draw_lattice(ax, lattice, "output", COLORS["output"], 0.6 * alpha["output"])


def _place(points: Tensor, part: str) -> list:
    """Return normalized points as lists of x and y in a part's panel, in inches."""
    x, y = CORNERS[part]
    across, down = (SIDE * (points + 1) / 2).reshape(-1, 2).T
    return [x + across.numpy(), y + SIDE - down.numpy()]


def _draw_lattice(
    ax: Axes, points: Tensor, part: str, color: str, alpha: float
) -> None:
    x, y = _place(points, part)
    rows = torch.tensor([*zip(x, y)]).view(*points.shape[:2], 2)
    lines = [*rows.numpy(), *rows.transpose(0, 1).numpy()]
    ax.add_collection(LineCollection(lines, colors=color, linewidths=1, alpha=alpha))


def _draw_network(ax: Axes, part: str, alpha: dict[str, float]) -> None:
    """Draw layers that get smaller, and the numbers that come out."""
    x, y = CORNERS[part]
    middle = y + SIDE / 2
    for at, side in ((0.12, 0.9), (0.36, 0.66), (0.6, 0.42)):
        for step in (0.1, 0.05, 0.0):
            ax.add_patch(
                Rectangle(
                    (x + at + step, middle - side / 2 - step / 2),
                    0.14,
                    side,
                    facecolor=COLORS["faint"],
                    edgecolor=COLORS["ink"],
                    linewidth=0.8,
                    alpha=alpha[part],
                )
            )
    count = 6 if part == "localization network" else 10
    for k in range(count):
        on = part == "classifier" and k == 5
        ax.add_patch(
            Circle(
                (x + 1.03, middle + (count / 2 - k - 0.5) * 1.06 / count),
                0.045,
                facecolor=COLORS["output" if on else "faint"],
                edgecolor=COLORS["ink"],
                linewidth=0.8,
                alpha=alpha[part],
            )
        )


def _draw_gradients(ax: Axes) -> None:
    """Draw the way back, from the classifier to theta and to the input."""
    look = {"color": COLORS["gradient"], "linewidth": 2.2, "linestyle": (0, (2, 1))}
    for start, end in BACKWARD:
        _draw_arrow(ax, start, end, **look)
    mark = {"color": COLORS["gradient"], "weight": "bold", "va": "center"}
    ax.text(2.52, 1.8, "gradients", ha="right", **mark)


def _draw_arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], **look: object
) -> None:
    head = {"arrowstyle": "-|>", "mutation_scale": 13, "shrinkA": 0, "shrinkB": 0}
    ax.add_patch(FancyArrowPatch(start, end, **head, **{"linewidth": 1.6} | look))
