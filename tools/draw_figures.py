"""Draw the pictures of the book's pages, its logo and its favicon, with the package.

Run by `make figures`. The pictures are stored under book/_static, since a reader of the
repository should see them without building anything.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import draw_boards
import draw_cards
import draw_film
import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch, FancyArrowPatch
from PIL import Image
from torch import Tensor

from stn_tutorial import Affine, base_grid, rotation, sample, to_pixels, warp
from stn_tutorial.course import plotting, svg
from stn_tutorial.course.overview import draw_overview
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.course.views import draw_looks
from stn_tutorial.data import photograph
from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.distortions import fixed_test_set
from stn_tutorial.experiments.results import results_folder
from stn_tutorial.experiments.views import Looker

STATIC = Path(__file__).parents[1] / "book" / "_static"


def logo() -> Figure:
    """A square grid, and the grid that a rotation makes of it."""
    fig, ax = plt.subplots(figsize=(2, 2), layout="none")
    fig.patch.set_alpha(0)
    ax.set_position([0, 0, 1, 1])
    lines = base_grid((4, 4), align_corners=True)
    turned = lines @ rotation(0.42, 0.92)[:, :2].T
    plotting.draw_grid(ax, lines, color=COLORS["input"], linewidth=3.4)
    plotting.draw_grid(ax, turned, color=COLORS["output"], linewidth=3.4)
    ax.set(xlim=(-1.32, 1.32), ylim=(1.32, -1.32))
    ax.axis("off")
    return fig


def points() -> Figure:
    """Indices, points and sizes."""
    fig, ax = plt.subplots(figsize=(5, 3.1))
    plotting.draw_pixels(ax, torch.full((3, 5), 0.92))
    mark = {"textcoords": "offset points", "ha": "center", "fontsize": 10}
    for x, y in ((0, 0), (3, 1), (4, 2)):
        ax.annotate(f"({x}, {y})", (x, y), (0, 6), color=COLORS["input"], **mark)
        index = f"image\n[{y}, {x}]"
        ax.annotate(index, (x, y), (0, -5), va="top", linespacing=1, **mark)
    arrow = {"arrowstyle": "-|>", "mutation_scale": 14, "clip_on": False}
    ax.add_patch(FancyArrowPatch((-0.75, -0.75), (0.7, -0.75), **arrow))
    ax.add_patch(FancyArrowPatch((-0.75, -0.75), (-0.75, 0.7), **arrow))
    ax.text(0.85, -0.75, "x", va="center")
    ax.text(-0.75, 0.95, "y", ha="center")
    ax.text(4.65, 1, "H = 3", va="center")
    ax.text(2, 2.85, "W = 5", ha="center")
    ax.set(xlim=(-1, 5.4), ylim=(3, -1.05))
    ax.axis("off")
    return fig


def rulers() -> Figure:
    """Both conventions over one row of four pixels."""
    fig, axes = plt.subplots(2, 1, figsize=(5.6, 3))
    for ax, align_corners in zip(axes, (False, True)):
        plotting.draw_pixels(ax, torch.full((1, 4), 0.92))
        ends = to_pixels(
            torch.tensor([[-1.0], [1.0]]), (4,), align_corners=align_corners
        )
        for x, name in zip(ends[:, 0].tolist(), ("−1", "1")):
            ax.vlines(x, -0.5, 0.5, color=COLORS["output"], linewidth=3)
            ax.text(x, 0.55, name, ha="center", va="top")
        ax.vlines(1.5, -0.5, 0.5, COLORS["output"], linestyle=":", linewidth=3)
        ax.text(1.5, 0.55, "0", ha="center", va="top")
        ax.set(
            title=f"align_corners={align_corners}", xlim=(-0.9, 3.9), ylim=(0.9, -0.5)
        )
        ax.axis("off")
    return fig


def letter(times: int) -> Tensor:
    """An F of 7×7 pixels, enlarged: no rotation and no mirror leaves it as it is."""
    pixels = torch.full((7, 7), 0.25)
    pixels[1:6, 2] = pixels[1, 2:5] = pixels[3, 2:4] = 1.0
    return pixels.repeat_interleave(times, 0).repeat_interleave(times, 1)[None, None]


def _pair(theta: Tensor, every: int = 4) -> tuple[Figure, Axes, Axes, Tensor]:
    """A letter with theta's grid over it, and what is sampled at it."""
    picture = letter(4)
    grid = Affine().grid(theta.reshape(1, 6), (28, 28))
    fig, (left, right) = plt.subplots(1, 2, figsize=(5.6, 3))
    places = to_pixels(grid[0], (28, 28))
    left.imshow(picture[0, 0], vmin=0, vmax=1)
    plotting.draw_grid(left, places, every=every)
    right.imshow(sample(picture, grid)[0, 0], vmin=0, vmax=1)
    base = to_pixels(base_grid((28, 28)), (28, 28))
    plotting.draw_grid(right, base, color=COLORS["output"], every=every)
    left.set_title("input")
    right.set_title("output")
    for ax in (left, right):
        ax.axis("off")
    return fig, left, right, places


def direction() -> Figure:
    """Theta takes an output point to the input point that is sampled for it."""
    theta = torch.tensor([[0.6, -0.2, 0.1], [0.2, 0.6, -0.1]])
    fig, left, right, places = _pair(theta)
    start, end = (20.0, 8.0), tuple(places[8, 20].tolist())
    for ax, point in ((right, start), (left, end)):
        ax.plot(*point, "o", color=COLORS["wrong"], markersize=9)
    arrow = ConnectionPatch(
        *(start, end, right.transData, left.transData),
        arrowstyle="-|>",
        mutation_scale=18,
        linewidth=2,
        shrinkB=6,
        connectionstyle="arc3,rad=0.25",
        color=COLORS["wrong"],
    )
    fig.add_artist(arrow)
    fig.suptitle("theta: from output to input", fontsize=11)
    return fig


def angle() -> Figure:
    """A positive angle rotates the grid clockwise, and the picture the other way."""
    fig, left, right, _ = _pair(rotation(0.5), every=27)
    left.set_title("grid: +0.5 rad")
    right.set_title("picture: −0.5 rad")
    for ax in (left, right):
        ax.set(xlim=(-6, 33), ylim=(33, -6))
    return fig


def order() -> Figure:
    """The warp that comes first stands on the left."""
    shift, rotate = rotation(0.0, shift=(-0.3, 0.0)), rotation(1.0)
    steps = [Affine().identity(), shift, Affine().compose(shift, rotate)]
    pictures = [warp(letter(8), step) for step in steps]
    titles = ["input", "first: shift", "then: rotate\nshift · rotate"]
    return plotting.show_images(pictures, titles, width=1.9)[0]


def paddings() -> Figure:
    """What is sampled outside the image."""
    photo = photograph("flower", (60, 90))
    grid = base_grid((100, 150))[None] * 1.8
    options = [{}, {"fill": [0.9, 0.6, 0.0]}]
    options += [{"padding": "border"}, {"padding": "reflection"}]
    titles = ['"zeros"', '"zeros", fill=…', '"border"', '"reflection"']
    pictures = [sample(photo, grid, **option) for option in options]
    return plotting.show_images(pictures, titles, columns=2, width=2.8)[0]


def looks() -> Figure:
    """What ``show --apply`` draws: small pictures of digits, and larger ones."""
    looker = Looker(results_folder() / "rts" / "st-cnn-0")
    digits = load_digits("test", "embedded").images[[3, 1]]
    theta = fixed_test_set(digits, "RTS", seed=4).truth["theta"]
    small, large = (
        sample(digits, Affine().grid(theta, size), interpolation="bicubic").clamp(0, 1)
        for size in ((42, 42), (168, 168))
    )
    seen = []
    with TemporaryDirectory() as folder:
        for number, image in enumerate(small):
            path = Path(folder) / f"{number}.png"
            Image.fromarray((255 * image[0]).round().byte().numpy()).save(path)
            seen.append(looker.look(path))
    others = [(image, looker.apply(look, image)) for look, image in zip(seen, large)]
    return draw_looks([*small], seen, others, [(168, 168)] * len(seen))


FIGURES = {
    "own-looks": looks,
    "notation-points": points,
    "notation-rulers": rulers,
    "notation-direction": direction,
    "notation-angle": angle,
    "notation-order": order,
    "notation-paddings": paddings,
}


def draw(static: Path) -> None:
    """Write every picture under `static`."""
    plotting.use_style()
    (static / "figures").mkdir(parents=True, exist_ok=True)
    figures = FIGURES | {"overview": draw_overview}
    figures |= {f"card-{name}": card for name, card in draw_cards.CARDS.items()}
    figures |= {f"board-{name}": board for name, board in draw_boards.BOARDS.items()}
    for name, figure in figures.items():
        path = static / "figures" / f"{name}.svg"
        path.write_text(svg.to_svg(figure()), encoding="utf-8")
    draw_film.draw(static / "figures" / "training.gif")
    plt.rcParams["svg.hashsalt"] = "logo"
    mark = logo()
    mark.savefig(static / "logo.svg", transparent=True, metadata={"Date": None})
    mark.savefig(static / "logo.png", transparent=True, dpi=128)
    Image.open(static / "logo.png").save(static / "favicon.ico", sizes=[(32, 32)])
    plt.close("all")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=STATIC, help="the static folder")
    draw(parser.parse_args().into)
