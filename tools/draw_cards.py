"""Draw a small picture of what each chapter is about, for the landing page's cards.

Each is twice as wide as high, in units of its height, and is named as its chapter's
file is, without the number. `make figures` draws them with the others.
"""

from __future__ import annotations

from collections.abc import Callable

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle
from torch import Tensor

from stn_tutorial import (
    Affine,
    Projective,
    ThinPlateSpline,
    base_grid,
    rotation,
    sample,
    to_normalized,
)
from stn_tutorial.course.explore.playground import few_digits
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.data import embedded_digits, photograph
from stn_tutorial.data.canvases import make_pictures
from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.distortions import distort
from stn_tutorial.data.signs import draw_kinds, draw_signs
from stn_tutorial.data.volumes import extrude, flatten, rotate
from stn_tutorial.experiments.films import Film, theta_at
from stn_tutorial.experiments.recording import unpack
from stn_tutorial.experiments.results import read_results, results_folder
from stn_tutorial.experiments.successors import LogPolar

#: A frame round the digit of `leaning`.
FRAME = rotation(0.5, 0.62, (0.06, -0.04))


def card() -> tuple[Figure, Axes]:
    """Return an empty card."""
    fig, ax = plt.subplots(figsize=(3.2, 1.6), layout="none")
    ax.set_position([0, 0, 1, 1])
    ax.add_patch(Rectangle((0, 0), 2, 1, alpha=0))  # keeps the size
    ax.set(xlim=(0, 2), ylim=(0, 1))
    ax.axis("off")
    return fig, ax


def show(ax: Axes, image: Tensor, x: float, y: float, side: float, **look) -> None:
    """Show an image ``(H, W)`` or ``(H, W, 3)`` with its lower left corner there."""
    ratio = image.shape[1] / image.shape[0]
    look = {"vmin": 0, "vmax": 1, "cmap": "gray"} | look
    ax.imshow(image.numpy(), extent=(x, x + side * ratio, y, y + side), **look)
    ax.set(xlim=(0, 2), ylim=(0, 1), aspect="auto")


def on_card(points: Tensor, x: float, y: float, side: float) -> Tensor:
    """Return normalized points of a square there, in units of the card."""
    across, down = (side * (points + 1) / 2).unbind(dim=-1)
    return torch.stack([x + across, y + side - down], dim=-1)


def lines(
    ax: Axes, points: Tensor, square: tuple, color: str = "sample", **look
) -> None:
    """Draw the lines of a grid ``(H, W, 2)`` of a square, normalized."""
    points = on_card(points, *square).numpy()
    look = {"linewidths": 1.2, "colors": COLORS[color]} | look
    ax.add_collection(LineCollection([*points, *points.swapaxes(0, 1)], **look))


def outline(theta: Tensor) -> Tensor:
    """Return the corners of theta's grid, ``(5, 2)``: round, from the upper left."""
    corners = base_grid((2, 2), align_corners=True).view(4, 2)[[0, 1, 3, 2, 0]]
    return corners @ theta[:, :2].T + theta[:, 2]


def frame(ax: Axes, theta: Tensor, square: tuple, width: float = 2, **look) -> None:
    """Draw the outline of theta's grid, its upper edge thick."""
    points = on_card(outline(theta), *square).numpy()
    look = {"color": COLORS["sample"]} | look
    ax.plot(*points.T, linewidth=width, **look)
    look |= {"color": COLORS["output"]}
    ax.plot(*points[:2].T, linewidth=2 * width, solid_capstyle="butt", **look)


def arrow(ax: Axes, x: float, end: float, y: float = 0.5) -> None:
    head = {"arrowstyle": "-|>", "mutation_scale": 12, "shrinkA": 0, "shrinkB": 0}
    look = {"color": COLORS["ink"], "linewidth": 1.6}
    ax.add_patch(FancyArrowPatch((x, y), (end, y), **head, **look))


def leaning() -> Tensor:
    """Return a picture ``(1, 1, 42, 42)`` of a 2 that `FRAME` puts upright."""
    return sample(few_digits()[0][2][None], Affine().grid(undo(FRAME), (42, 42)))


def undo(theta: Tensor) -> Tensor:
    """Return the inverse of a theta ``(2, 3)``, as ``(1, 6)``."""
    return Affine().inverse(theta[None]).reshape(1, 6)


def grid() -> Figure:
    fig, ax = card()
    for row in range(4):
        for column in range(8):
            x, y = column / 4, row / 4
            grey = f"{0.62 + 0.3 * ((row * 5 + column * 3) % 7) / 7:.2f}"
            ax.add_patch(Rectangle((x, y), 0.25, 0.25, facecolor=grey, edgecolor="w"))
            ax.plot(x + 0.125, y + 0.125, ".", color=COLORS["input"], markersize=5)
    points = base_grid((5, 9), align_corners=True) * torch.tensor([0.78, 0.36])
    points = points @ rotation(0.3)[:, :2].T
    lines(ax, points, (0, -0.5, 2), linewidths=1.5)
    ax.plot(*on_card(points, 0, -0.5, 2).view(-1, 2).T, "o", color=COLORS["sample"])
    return fig


def sampler() -> Figure:
    fig, ax = card()
    pixels = torch.tensor([[0.15, 0.85], [0.55, 0.3]])
    show(ax, pixels, 0.05, 0.05, 0.9)
    fine = base_grid((60, 60), align_corners=True) * 0.5
    show(ax, sample(pixels[None, None], fine[None])[0, 0], 1.05, 0.05, 0.9)
    x, y = 0.575, 0.42
    for i in range(2):
        for j in range(2):
            cx, cy = 0.275 + 0.45 * j, 0.725 - 0.45 * i
            weight = (1 - abs(cx - x) / 0.45) * (1 - abs(cy - y) / 0.45)
            ax.plot([cx, x], [cy, y], color=COLORS["sample"], linewidth=1 + 8 * weight)
            ax.plot(cx, cy, "o", color=COLORS["input"], markersize=7)
    ax.plot(x, y, "o", color=COLORS["output"], markersize=9)
    ax.plot(1.675, 0.35, "o", color=COLORS["output"], markersize=9)
    return fig


def gradients() -> Figure:
    fig, ax = card()
    photo = photograph("china", (107, 160)).mean(dim=1)[0, 27:37, 18:38]
    show(ax, photo, 0, 0, 1)
    down, right = torch.gradient(photo)
    y, x = torch.meshgrid(torch.arange(1, 10, 2), torch.arange(1, 20, 2), indexing="ij")
    places = {"x": 0.05 + 0.1 * x, "y": 0.95 - 0.1 * y}
    look = {"color": COLORS["gradient"], "width": 0.012, "scale": 3.2}
    ax.quiver(*places.values(), right[y, x], -down[y, x], pivot="mid", **look)
    return fig


def register() -> Figure:
    fig, ax = card()
    photo = photograph("china", (107, 214))[0, :, 2:102, 5:205].permute(1, 2, 0)
    show(ax, photo, 0, 0, 1)
    for k in range(6):
        t = k / 5
        theta = rotation(0.5 * (1 - t), 0.3, (-0.35 + 0.6 * t, 0.16 - 0.2 * t))
        theta = theta * torch.tensor([[0.85], [0.85]])
        frame(ax, theta, (0, -0.5, 2), 1 + 1.5 * t, alpha=0.35 + 0.65 * t)
    return fig


def families() -> Figure:
    fig, ax = card()
    base = base_grid((6, 6), align_corners=True)
    spline = ThinPlateSpline((3, 3))
    bent = spline.identity()[None].clone()
    bent += 0.28 * torch.randn(bent.shape, generator=torch.Generator().manual_seed(4))
    perspective = torch.tensor([[0.8, 0.1, 0.0, 0.0, 0.85, 0.0, 0.0, 0.42]])
    of_theta = [
        torch.tensor([[1.0, 0, 0.35], [0, 1, -0.3]]),
        torch.tensor([[0.6, 0, -0.3], [0, 0.6, 0.25]]),
        rotation(0.5, 0.75),
        torch.tensor([[0.8, 0.45, 0], [-0.1, 0.7, 0]]),
    ]
    grids = [base @ theta[:, :2].T + theta[:, 2] for theta in of_theta]
    corners = {"align_corners": True}
    grids.append(Projective().grid(perspective, (6, 6), **corners)[0])
    grids.append(spline.grid(bent, (6, 6), **corners)[0])
    for k, points in enumerate(grids):
        square = (0.16 + 0.64 * (k % 3), 0.56 - 0.48 * (k // 3), 0.36)
        outline = base[[0, -1]][:, [0, -1]]
        lines(ax, outline, square, "input", linewidths=0.8)
        lines(ax, points, square)
    return fig


def predict() -> Figure:
    fig, ax = card()
    picture = leaning()[0, 0]
    show(ax, picture, 0.02, 0.15, 0.7)
    arrow(ax, 0.75, 0.87)
    for k in range(6):
        spot = (1.0, 0.8 - 0.12 * k)
        look = {"facecolor": COLORS["faint"], "edgecolor": COLORS["ink"]}
        ax.add_patch(Circle(spot, 0.045, linewidth=1, **look))
    arrow(ax, 1.12, 1.24)
    show(ax, picture, 1.28, 0.15, 0.7)
    frame(ax, FRAME, (1.28, 0.15, 0.7))
    return fig


def train() -> Figure:
    fig, ax = card()
    found = read_results(results_folder() / "recordings" / "films", Film)
    film = found[Film("as in the chapter")]
    which = 9
    picture = unpack(film["digits"]["pictures"], 42)[[which]]
    square = (0.14, 0.04, 0.76)
    show(ax, picture[0, 0], *square)
    moments = (0, 6, 9, 20)
    for k, moment in enumerate(moments, start=1):
        theta = theta_at(film, moment)[which].view(2, 3)
        strength = k / len(moments)
        frame(ax, theta, square, 0.8 + 1.4 * strength, alpha=strength)
    arrow(ax, 0.98, 1.12)
    output = sample(picture, Affine().grid(theta.view(1, 6), (28, 28)))
    show(ax, output[0, 0], 1.18, 0.14, 0.72)
    return fig


def table() -> Figure:
    fig, ax = card()
    draw = torch.Generator().manual_seed(3)
    for k, name in enumerate(("R", "RTS", "P", "E", "clutter")):
        made = distort(few_digits()[0][[2, 15]], name, draw).images
        for row, image in enumerate(made):
            show(ax, image[0], 0.02 + 0.4 * k, 0.54 - 0.45 * row, 0.37)
    return fig


def failures() -> Figure:
    fig, ax = card()
    show(ax, leaning()[0, 0], 0.34, 0.05, 0.6)
    astray = rotation(-0.35, 0.66, (-0.55, -1.2))
    frame(ax, astray, (0.34, 0.05, 0.6), color=COLORS["wrong"])
    arrow(ax, 1.02, 1.2)
    show(ax, torch.zeros(28, 28), 1.28, 0.2, 0.6)
    ax.text(1.58, 0.5, "?", color="w", fontsize=26, ha="center", va="center")
    return fig


def coordconv() -> Figure:
    fig, ax = card()
    canvas = torch.zeros(64, 64)
    canvas[38:50, 40:52] = 1
    ramp = torch.linspace(0, 1, 64).expand(64, 64)
    for k, image in enumerate((canvas, ramp, ramp.T)):
        show(
            ax, image, 0.04 + 0.68 * k, 0.2, 0.58, cmap="gray" if k == 0 else "cividis"
        )
    for k in range(2):
        x = 0.67 + 0.68 * k
        ax.text(
            x, 0.49, "+", color=COLORS["ink"], fontsize=13, ha="center", va="center"
        )
    return fig


def coordconv_stn() -> Figure:
    fig, ax = card()
    ramp = torch.linspace(0, 1, 42).expand(42, 42)
    show(ax, ramp.T, 0.28, 0.3, 0.6, cmap="cividis")
    show(ax, ramp, 0.18, 0.2, 0.6, cmap="cividis")
    show(ax, leaning()[0, 0], 0.08, 0.1, 0.6)
    arrow(ax, 0.95, 1.13)
    show(ax, leaning()[0, 0], 1.22, 0.15, 0.7)
    frame(ax, FRAME, (1.22, 0.15, 0.7))
    return fig


def twice() -> Figure:
    fig, ax = card()
    other = rotation(-0.6, 0.62, (-0.02, 0.02))
    digit = few_digits()[0][3][None]
    second = sample(digit, Affine().grid(undo(other), (42, 42)))
    for image, theta, x, color in (
        (leaning(), FRAME, 0.1, "sample"),
        (second, other, 1.1, "input"),
    ):
        show(ax, image[0, 0], x, 0.1, 0.8)
        frame(ax, theta, (x, 0.1, 0.8), color=COLORS[color])
    return fig


def colocalization() -> Figure:
    fig, ax = card()
    digits = load_digits("test", "embedded").first(60)
    pictures = make_pictures(digits, "TC", seed=2).of(3, 3)
    for k, (image, box) in enumerate(zip(pictures.images[:, 0], pictures.boxes)):
        show(ax, image / 255, 0.04 + 0.66 * k, 0.2, 0.6)
        left, top, right, bottom = (0.6 * (box + 0.5) / 84).tolist()
        corner = (0.04 + 0.66 * k + left, 0.8 - bottom)
        look = {"fill": False, "edgecolor": COLORS["sample"], "linewidth": 2}
        ax.add_patch(Rectangle(corner, right - left, bottom - top, **look))
    return fig


def volumes() -> Figure:
    fig, ax = card()
    body = extrude(embedded_digits()[0][3:4], 40)
    about = torch.tensor([[0.9, 0.7, 0.3, 0.0, 0.0, 0.0]])
    show(ax, flatten(rotate(body, about))[0, 0], 0.08, 0.12, 0.76)
    arrow(ax, 0.92, 1.1)
    show(ax, flatten(body)[0, 0], 1.17, 0.12, 0.76)
    return fig


def photographs() -> Figure:
    fig, ax = card()
    signs = draw_signs(12, seed=4)
    image = signs.images[1].movedim(0, -1) / 255
    show(ax, image, 0.08, 0.12, 0.76)
    low, high = to_normalized(signs.boxes[1].view(2, 2), (48, 48))
    theta = torch.cat([torch.diag(high - low), (high + low)[:, None]], dim=1)
    frame(ax, theta / 2, (0.08, 0.12, 0.76))
    arrow(ax, 0.92, 1.1)
    upright = draw_kinds(96)[signs.labels[1]]
    show(ax, upright.movedim(0, -1), 1.17, 0.12, 0.76)
    return fig


def after() -> Figure:
    fig, ax = card()
    digit = embedded_digits()[0][3, 0]
    tilted = Affine().grid(rotation(0.4, 0.75, (0.05, 0.0))[None].flatten(1), (8, 8))[0]
    rings = LogPolar(0.1, 0.9).grid(torch.zeros(1, 2), (7, 16))[0]
    for x, grid in ((0.08, tilted), (1.17, rings)):
        square = (x, 0.12, 0.76)
        show(ax, digit, *square)
        lines(ax, grid, square, linewidths=0.8)
        points = on_card(grid, *square).reshape(-1, 2).numpy()
        ax.plot(*points.T, ".", color=COLORS["sample"], ms=3)
    arrow(ax, 0.92, 1.1)
    return fig


CARDS: dict[str, Callable[[], Figure]] = {
    "put_every_pixel_on_a_grid": grid,
    "read_between_the_pixels": sampler,
    "derive_the_gradients_by_hand": gradients,
    "register_two_photographs": register,
    "choose_a_family_of_warps": families,
    "predict_the_warp": predict,
    "train_a_spatial_transformer": train,
    "reproduce_the_table": table,
    "when_transformers_fail": failures,
    "tell_a_convolution_where_it_is": coordconv,
    "put_coordinates_into_the_localization_network": coordconv_stn,
    "look_twice": twice,
    "find_what_nobody_labelled": colocalization,
    "read_volumes": volumes,
    "look_at_photographs": photographs,
    "see_what_came_after": after,
}
