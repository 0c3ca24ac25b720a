"""Draw what a teacher draws on the board: plain sketches, for the chapters' notes.

Each is named as its chapter's file is, without the number. `make figures` draws them
with the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from stn_tutorial.course.plotting import COLORS

INK, FAINT = COLORS["ink"], COLORS["faint"]


def board(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels without axes, in units of half an inch."""
    fig, axes = plt.subplots(1, columns, figsize=(width, height), squeeze=False)
    for ax in axes[0]:
        ax.axis("off")
    return fig, list(axes[0])


def arrow(ax: Axes, start: tuple, end: tuple, color: str = INK) -> None:
    style = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops={**style, "mutation_scale": 14, "lw": 1.8})


def word(ax: Axes, x: float, y: float, text: str, color: str = INK, **style) -> None:
    ax.text(x, y, text, **{"ha": "center", "va": "center", "color": color, **style})


def grid() -> Figure:
    """Pixels that are pushed leave a hole and collide; pixels that are pulled don't."""
    fig, axes = board(6, 3.2, 2)
    for ax, title, down in zip(axes, ("push", "pull"), (True, False), strict=True):
        for y in (0, 3):
            for x in range(6):
                ax.add_patch(Rectangle((x - 0.5, y), 1, 0.8, fill=False, ec=FAINT))
        for x in range(6):
            at = 2.5 + 1.45 * (x - 2.5) if down else 2.5 + (x - 2.5) / 1.45
            start, end = ((x, 0.8), (at, 2.95)) if down else ((x, 2.95), (at, 0.85))
            if -0.5 < at < 5.5:
                arrow(ax, start, end, COLORS["output" if down else "input"])
        word(ax, 2.5, -0.5, "input")
        word(ax, 2.5, 4.3, "output")
        ax.set(title=title, xlim=(-0.7, 5.7), ylim=(4.7, -0.9))
    for x in (1, 4):
        word(axes[0], x, 3.4, "?", COLORS["wrong"], fontsize=16, weight="bold")
    return fig


def sampling() -> Figure:
    """A row between its centres, and the rectangles of the weights."""
    fig, (row, cell) = board(6.2, 3, 2)
    heights = [1.0, 2.2, 0.7, 1.6]
    row.plot(range(4), heights, color=COLORS["sample"], lw=2.5)
    for x, height in enumerate(heights):
        row.plot([x - 1, x, x + 1], [0, height, 0], "--", color=COLORS["input"], lw=1.5)
        row.plot(x, height, "o", color=COLORS["input"])
    row.axhline(0, color=INK, lw=1)
    row.set(title="a sum of tents", xlim=(-1.2, 4.2), ylim=(-0.3, 2.6))
    a, b = 0.7, 0.4
    for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
        cell.plot(x, y, "o", color=COLORS["input"], ms=9)
    cell.add_patch(Rectangle((0, 0), a, b, color=COLORS["sample"], alpha=0.5, lw=0))
    cell.plot([a, a], [0, 1], color=FAINT)
    cell.plot([0, 1], [b, b], color=FAINT)
    cell.plot(a, b, "o", color=COLORS["sample"], ms=10)
    word(cell, a / 2, b / 2, "a b")
    word(cell, 1.0, 1.14, "se gets a b", COLORS["input"])
    word(cell, a / 2, -0.13, "a")
    word(cell, -0.12, b / 2, "b")
    cell.set(title="the opposite rectangle", xlim=(-0.3, 1.45), ylim=(1.3, -0.3))
    cell.set_aspect("equal")
    return fig


def gradients() -> Figure:
    """A kink in the value is a step in the slope; and a loss that becomes flat."""
    fig, (row, loss) = board(6.2, 3, 2)
    row.plot([0, 1, 2, 3], [2.1, 2.9, 2.6, 3.6], "o-", color=COLORS["input"])
    for x, slope in enumerate((0.8, -0.3, 1.0)):
        row.plot([x, x + 1], [slope, slope], color=COLORS["gradient"], lw=2.5)
    row.axhline(0, color=FAINT, lw=1)
    row.plot(1, -0.3, "o", color=COLORS["gradient"])
    word(row, 0.45, 3.3, "value", COLORS["input"])
    word(row, 0.45, 1.25, "slope", COLORS["gradient"])
    word(row, 1.5, -0.75, "floor: to the right")
    row.set(xlim=(-0.2, 3.2), ylim=(-1.1, 4))
    t = np.linspace(-3, 3, 300)
    hill = 1.6 * (1 - np.exp(-((t / 0.6) ** 2))) * np.exp(-((abs(t) / 2.3) ** 6))
    loss.plot(t, hill + 0.9 * (1 - np.exp(-((t / 2.3) ** 6))), color=COLORS["wrong"])
    for x, y, text in ((0, -0.3, "here"), (1.5, 2.0, "hill"), (2.6, 0.6, "plain")):
        word(loss, x, y, text)
    loss.set(title="loss over the shift", xlim=(-3.2, 3.2), ylim=(-0.6, 2.5))
    return fig


def register() -> Figure:
    """The loss sags between whole pixels; some of these are peaks, and some are not."""
    fig, axes = board(6.2, 2.8, 2)
    cases = {"a peak at 0": (1.3, 1.1, 0.8), "no peak": (2.2, 1.2, 0.2)}
    a = np.linspace(0, 1, 50)
    for ax, (title, losses) in zip(axes, cases.items(), strict=True):
        ax.plot((-1, 0, 1), losses, "o--", color=FAINT)
        for k, (left, right) in enumerate(zip(losses, losses[1:], strict=False)):
            sag = (1 - a) * left + a * right - a * (1 - a) * 0.8
            ax.plot(k - 1 + a, sag, color=COLORS["wrong"], lw=2.5)
        for x, y in zip((-1, 0, 1), losses, strict=True):
            word(ax, x, -0.35, f"{x:g}".replace("-", "−"))
            ax.plot(x, y, "o", color=INK)
        ax.set(title=title, xlim=(-1.3, 1.4), ylim=(-0.5, 2.5))
    middle = (losses_at := cases["a peak at 0"])[0] / 2 + losses_at[1] / 2
    axes[0].annotate(
        "", (-0.5, middle), (-0.5, middle - 0.2), arrowprops={"arrowstyle": "<->"}
    )
    word(axes[0], -0.5, middle + 0.22, "at most D / 4")
    return fig


def families() -> Figure:
    """A camera above a floor: rays that meet it, that never do, that did behind it."""
    fig, (ax,) = board(6, 2.7)
    ax.axhline(0, color=INK, lw=2)
    ax.add_patch(Circle((0, 1.6), 0.12, color=INK))
    arrow(ax, (0, 1.6), (2.9, 0.03), COLORS["gradient"])
    arrow(ax, (0, 1.6), (5.6, 1.6), INK)
    arrow(ax, (0, 1.6), (3.2, 2.6), COLORS["wrong"])
    ax.plot([0, -5.1], [1.6, 0], "--", color=COLORS["wrong"])
    word(ax, 3.4, 0.35, "floor ahead", COLORS["gradient"], ha="left")
    word(ax, 4.2, 1.85, "horizon")
    word(ax, 3.3, 2.75, "sky: divisor below 0", ha="left")
    word(ax, -2.7, 0.3, "floor behind", ha="left")
    ax.set(xlim=(-5.6, 7.5), ylim=(-0.3, 3.1), aspect="equal")
    return fig


def localization() -> Figure:
    """A circle laid on a line has a cut; and what outputs cost."""
    fig, (dial, cost) = board(6.2, 2.9, 2)
    angle = np.linspace(-math.pi, math.pi, 200)
    dial.plot(np.cos(angle) * 0.8 - 1.4, np.sin(angle) * 0.8, color=COLORS["input"])
    dial.plot([-0.2, 2.6], [0, 0], color=COLORS["input"], lw=2)
    for x, text in ((-0.2, "−180°"), (1.2, "0°"), (2.6, "180°")):
        dial.plot([x, x], [-0.12, 0.12], color=INK)
        word(dial, x, -0.4, text)
    dial.plot(-2.2, 0, "o", color=COLORS["wrong"], ms=9)
    dial.plot([-0.2, 2.6], [0, 0], "o", color=COLORS["wrong"], ms=9)
    word(dial, 0.2, 1.25, "one point, two numbers", COLORS["ink"])
    dial.set(xlim=(-2.5, 3.1), ylim=(-1.3, 1.6))
    names = ["blur", "quarter off", "black", "half off", "upright"]
    heights = [2.8, 1.08, 1.0, 0.45, 0.05]
    cost.barh(names[::-1], heights[::-1], color=COLORS["output"], height=0.6)
    for k, name in enumerate(names[::-1]):
        word(cost, -0.1, k, name, ha="right")
    cost.set(title="what an output costs", xlim=(-1.6, 3))
    return fig


def failures() -> Figure:
    """The chain that a gradient passes, and where each of the eight faults cuts it."""
    fig, (ax,) = board(6.2, 2.6)
    parts = ["local-\nization", "theta", "grid", "sampler", "classi-\nfier", "loss"]
    faults = ["B  H", "C  G", "D  F", "A  E", "H", ""]
    for k, (part, fault) in enumerate(zip(parts, faults, strict=True)):
        ax.add_patch(Rectangle((2 * k, -0.1), 1.6, 1.2, fill=False, ec=INK, lw=1.6))
        word(ax, 2 * k + 0.8, 0.5, part)
        word(ax, 2 * k + 0.8, -0.6, fault, COLORS["output"], weight="bold")
        if k:
            arrow(ax, (2 * k - 0.4, 0.68), (2 * k, 0.68))
            arrow(ax, (2 * k, 0.3), (2 * k - 0.4, 0.3), COLORS["gradient"])
    word(ax, 5.8, 1.5, "picture, to the right;  gradient, to the left")
    ax.set(xlim=(-0.3, 12), ylim=(-1, 2))
    return fig


def study() -> Figure:
    """Four intervals, and the word that each allows."""
    fig, (ax,) = board(6, 2.8)
    ax.axvline(0, ymax=0.84, color=INK)
    rows = [(-0.6, 0.3, "helps"), (0.05, 0.4, "undecided"), (0.7, 0.4, "hurts")]
    rows.append((0.1, 1.4, "undecided: nothing learned"))
    for k, (middle, half, text) in enumerate(rows):
        ax.errorbar(middle, -k, xerr=half, fmt="o", color=COLORS["output"], capsize=5)
        word(ax, 1.8, -k, text, ha="left")
    word(ax, 0, 0.75, "no difference")
    ax.set(xlim=(-1.6, 4.6), ylim=(-3.5, 1.1))
    return fig


def twice() -> Figure:
    """Two angles on a circle, their mean, and what a warp that subtracts it leaves."""
    fig, axes = board(6.2, 2.6, columns=3)
    first, second = math.radians(75), math.radians(5)
    warps = {"as they come": 0.0, "first straight": first}
    warps["the mean"] = (first + second) / 2
    for ax, (name, undone) in zip(axes, warps.items(), strict=True):
        ax.add_patch(Circle((0, 0), 1, fill=False, ec=FAINT, lw=1.4))
        ax.plot([0, 0], [0, 1.15], color=INK, lw=1.2, ls=":")
        for angle, color in ((first, "input"), (second, "output")):
            left = angle - undone
            arrow(ax, (0, 0), (math.sin(left), math.cos(left)), COLORS[color])
        word(ax, 0, -1.35, name)
        ax.set(xlim=(-1.3, 1.3), ylim=(-1.6, 1.3), aspect="equal")
    return fig


def triplet() -> Figure:
    """Two crops that attract each other, and one that is pushed off its patch."""
    fig, (ax,) = board(6, 2.9)
    for x, place in ((0, (0.5, 1.2)), (6, (7.6, 0.6))):
        ax.add_patch(Rectangle((x, 0), 4, 4, fill=False, ec=INK, lw=1.5))
        frame = {"fill": False, "ec": COLORS["output"], "lw": 2.5}
        ax.add_patch(Rectangle(place, 1.3, 1.3, **frame))
        word(ax, place[0] + 0.65, place[1] + 0.65, "3", fontsize=18)
    patch = {"fill": False, "ec": COLORS["input"], "lw": 2, "ls": "--"}
    ax.add_patch(Rectangle((2.4, 2.5), 1.3, 1.3, **patch))
    arrow(ax, (2.0, 1.7), (4.4, 1.5), COLORS["output"])
    arrow(ax, (7.4, 1.25), (5.2, 1.45), COLORS["output"])
    word(ax, 5.0, 0.9, "pull", COLORS["output"])
    arrow(ax, (1.2, 2.6), (0.5, 3.4), COLORS["input"])
    word(ax, 1.55, 3.3, "push", COLORS["input"])
    word(ax, 3.05, 2.2, "patch", COLORS["input"])
    ax.set(xlim=(-0.3, 10.3), ylim=(4.3, -0.3))
    return fig


def volumes() -> Figure:
    """A point among eight neighbours, and a cell that folds."""
    fig, (ax, cell) = board(6, 3, 2)
    shift = np.array([0.9, -0.7])
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]], dtype=float)
    for corners in (square, square + shift):
        ax.plot(*corners.T, color=INK)
        ax.plot(*corners.T, "o", color=COLORS["input"], ms=8)
    for corner in square[:4]:
        ax.plot(*np.stack([corner, corner + shift]).T, color=FAINT)
    ax.plot(1.5, 0.7, "o", color=COLORS["output"], ms=10)
    word(ax, 1.0, 2.5, "eight neighbours, seven lerps")
    ax.set(xlim=(-0.4, 3.3), ylim=(2.9, -1.1))
    for x, points, color, text in (
        (0, [[0, 0], [1, 0.2], [1.2, 1.2], [0.1, 1]], "output", "> 0"),
        (2, [[0, 0], [1, 0.9], [1.1, 0.1], [0.1, 1]], "wrong", "folds"),
    ):
        outline = np.array([*points, points[0]]) + [x, 0.3]
        cell.plot(*outline.T, color=COLORS[color], lw=2)
        word(cell, x + 0.5, 1.8, text)
    word(cell, 1.6, 2.5, "the determinant of a cell")
    cell.set(xlim=(-0.4, 3.5), ylim=(2.9, -0.3))
    return fig


def photographs() -> Figure:
    """Tracks that are divided between them and through them, and three boxes."""
    fig, (ax, picture) = board(6, 3, 2)
    for row in (0, 1.6):
        for column in range(3):
            ax.add_patch(Rectangle((1.2 * column, row), 1, 1, fill=False, ec=INK))
        word(ax, -0.6, row + 0.5, "track")
    ax.plot([-1, 3.8], [1.3, 1.3], color=COLORS["input"], lw=2)
    ax.plot([2.3, 2.3], [-0.3, 2.9], color=COLORS["wrong"], ls="--", lw=2)
    word(ax, 4.1, 1.3, "✓", COLORS["input"], fontsize=16)
    word(ax, 2.3, -0.6, "✗", COLORS["wrong"], fontsize=16)
    ax.set(xlim=(-1.2, 4.5), ylim=(3.6, -1))
    for corner, side, color, style in (
        ((0, 0), 4, INK, "-"),
        ((2.3, 0.4), 1.2, COLORS["input"], "-"),
        ((2.1, 0.3), 1.5, COLORS["output"], "-"),
        ((1.1, 1.1), 1.8, FAINT, "--"),
    ):
        look = {"fill": False, "ec": color, "ls": style, "lw": 2}
        picture.add_patch(Rectangle(corner, side, side, **look))
    word(picture, 3.45, 2.15, "looks", COLORS["output"])
    word(picture, 2, 3.3, "never moves", FAINT)
    picture.set(xlim=(-0.3, 4.3), ylim=(4.3, -0.3), aspect="equal")
    return fig


def after() -> Figure:
    """Looks that sample the original, and a rotation that is a shift of columns."""
    fig, (looks, polar) = board(6, 3, 2)
    for k, name in enumerate(("source", "look 1", "look 2")):
        looks.add_patch(Rectangle((1.5 * k, 0), 1, 1, fill=False, ec=INK, lw=1.5))
        word(looks, 1.5 * k + 0.5, 0.5, name, fontsize=11)
    for x, high in ((2, -0.5), (3.5, -1.0)):
        looks.plot([0.5, 0.5, x], [0, high, high], color=COLORS["output"], lw=1.8)
        arrow(looks, (x, high), (x, -0.05), COLORS["output"])
    looks.plot([2, 2, 3.5], [1, 1.5, 1.5], color=COLORS["wrong"], lw=1.8, ls="--")
    arrow(looks, (3.5, 1.5), (3.5, 1.05), COLORS["wrong"])
    word(looks, 2.75, 1.5, "×", COLORS["wrong"], fontsize=18)
    word(looks, 2.0, 2.1, "compose, sample once")
    looks.set(xlim=(-0.2, 4.2), ylim=(2.5, -1.4))
    polar.add_patch(Circle((0.9, 0.5), 0.9, fill=False, ec=INK, lw=1.5))
    for k in range(8):
        angle = 2 * math.pi * k / 8
        end = 0.9 + 0.9 * math.cos(angle), 0.5 + 0.9 * math.sin(angle)
        polar.plot([0.9, end[0]], [0.5, end[1]], color=FAINT, lw=1)
        left = 2.3 + 0.25 * k
        polar.add_patch(Rectangle((left, 0), 0.25, 1, fill=False, ec=FAINT))
    arrow(polar, (1.75, -0.1), (1.9, 0.55), COLORS["output"])
    arrow(polar, (2.6, 1.3), (3.6, 1.3), COLORS["output"])
    word(polar, 2.2, 2.1, "a rotation is a shift")
    polar.set(xlim=(-0.2, 4.5), ylim=(2.5, -1.4), aspect="equal")
    return fig


BOARDS: dict[str, Callable[[], Figure]] = {
    "put_every_pixel_on_a_grid": grid,
    "read_between_the_pixels": sampling,
    "derive_the_gradients_by_hand": gradients,
    "register_two_photographs": register,
    "choose_a_family_of_warps": families,
    "predict_the_warp": localization,
    "when_transformers_fail": failures,
    "put_coordinates_into_the_localization_network": study,
    "look_twice": twice,
    "find_what_nobody_labelled": triplet,
    "read_volumes": volumes,
    "look_at_photographs": photographs,
    "see_what_came_after": after,
}
