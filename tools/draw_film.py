"""Draw the README's animation: where a transformer looks while it is being trained.

It is the recorded training of `stn_tutorial.experiments.films`, as a GIF. Between the
recorded moments, theta goes in a straight line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from draw_cards import outline
from PIL import Image

from stn_tutorial import Affine, sample, to_pixels
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.experiments.films import MOMENTS, Film, theta_at
from stn_tutorial.experiments.recording import unpack
from stn_tutorial.experiments.results import read_results, results_folder

#: Which of the recorded digits are shown.
DIGITS = [0, 1, 4, 8, 9, 11]
#: At which epochs.
EPOCHS = [0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 6, 8, 12]
#: Frames from one recorded moment to the next; milliseconds of a frame, of the last.
STEPS, MOMENT, LAST = 2, 160, 3000
INK, GROUND = "#EEEEEE", "#16181D"


def recorded() -> dict[str, Any]:
    """Return the recorded training that the animation shows."""
    found = read_results(results_folder() / "recordings" / "films", Film)
    return found[Film("as in the chapter")]


def moments(film: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield what is told, and theta ``(6, 6)``, frame by frame."""
    chosen = [MOMENTS.index(epoch) for epoch in EPOCHS]
    thetas = [theta_at(film, moment)[DIGITS] for moment in chosen]
    for k, epoch in enumerate(EPOCHS):
        error = film["film"][chosen[k]]["error"]
        text = f"epoch {epoch:g}: {error:.0f} % of its answers are wrong"
        following = thetas[min(k + 1, len(thetas) - 1)]
        for step in range(STEPS if k + 1 < len(thetas) else 1):
            yield text, torch.lerp(thetas[k], following, step / STEPS)


def frames() -> Iterator[Image.Image]:
    """Yield the pictures of the animation."""
    film = recorded()
    pictures = unpack(film["digits"]["pictures"], 42)[DIGITS]
    fig, axes = plt.subplots(2, len(DIGITS), figsize=(7.2, 2.95), dpi=88, layout="none")
    fig.set_facecolor(GROUND)
    fig.subplots_adjust(0.01, 0.02, 0.99, 0.84, wspace=0.08, hspace=0.1)
    title = fig.text(0.5, 0.91, "", color=INK, ha="center", va="center", fontsize=13)
    grey = {"cmap": "gray", "vmin": 0, "vmax": 1}
    thin = {"color": COLORS["sample"], "linewidth": 1.8, "clip_on": False}
    thick = {"color": COLORS["output"], "linewidth": 3.6, "clip_on": False}
    lines, outputs = [], []
    for (above, below), picture in zip(axes.T, pictures):
        above.imshow(picture[0].numpy(), **grey)
        lines += [above.plot([], [], **look)[0] for look in (thin, thick)]
        above.set(xlim=(-8, 49), ylim=(49, -8))
        outputs.append(below.imshow(np.zeros((28, 28)), **grey))
    for ax in axes.flat:
        ax.axis("off")
    for text, theta in moments(film):
        title.set_text(text)
        samples = sample(pictures, Affine().grid(theta, (28, 28)))
        for k, matrix in enumerate(theta.view(-1, 2, 3)):
            corners = to_pixels(outline(matrix), (42, 42))
            lines[2 * k].set_data(*corners.T.numpy())
            lines[2 * k + 1].set_data(*corners[:2].T.numpy())
            outputs[k].set_data(samples[k, 0].numpy())
        fig.canvas.draw()
        yield Image.fromarray(np.asarray(fig.canvas.buffer_rgba())[..., :3].copy())
    plt.close(fig)


def draw(path: Path) -> None:
    """Write the animation."""
    shown = list(frames())
    # One palette for all, that of the last frame, so that nothing flickers.
    palette = shown[-1].quantize(24, dither=Image.Dither.NONE)
    first, *others = (
        each.quantize(palette=palette, dither=Image.Dither.NONE) for each in shown
    )
    durations = [MOMENT] * len(others) + [LAST]
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0)
