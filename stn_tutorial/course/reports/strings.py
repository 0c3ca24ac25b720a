"""The tables and figures of strings of digits, from the result files."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial.course.plotting import COLORS, show_images
from stn_tutorial.course.reports import (
    Report,
    interval,
    markdown_table,
    mcnemar,
    runs_of,
)
from stn_tutorial.data.strings import MOST, NONE, Strings
from stn_tutorial.experiments.results import select
from stn_tutorial.experiments.string_readers import PLACES
from stn_tutorial.experiments.strings import PAPER, PHASES, SIZES, Cell

__all__ = [
    "NAMES",
    "draw_lengths",
    "draw_views",
    "error_table",
    "look_table",
    "pair_table",
    "rate_table",
    "report",
    "written",
]

Results = Mapping[Cell, Mapping[str, Any]]

#: The networks' names for readers, as the paper has them.
NAMES = {"cnn": "CNN", "single": "ST-CNN Single", "multi": "ST-CNN Multi"}


def error_table(found: Results) -> str:
    """Return the sequence errors as Markdown, beside the paper's.

    Args:
        found: of `read_results`, for the cells of `strings`.

    Returns:
        A line for each network that was run to the end, and each canvas and seed: the
        error in percent with the 95% interval for other strings; the mean error on
        training strings during the last epoch; the paper's error, on house numbers;
        seconds of processor time for 1,000 pictures, in reading and in training; and
        the parameters.
    """
    rows = []
    for size, model in product(SIZES, PLACES):
        final = select(found, phase="final", size=size, model=model)
        for cell, run in final.items():
            count = run["data"]["test"]["digits"]
            low, high = interval(len(run["misread"]), count)
            seconds = run["processor_seconds"]
            rows.append(
                [
                    f"{size}², {cell.seed}",
                    NAMES[model],
                    f"{run['test_error']:.2f}",
                    f"{low:.1f}–{high:.1f}",
                    f"{run['history'][-1]['train_error']:.1f}",
                    f"{PAPER[model][size]}",
                    f"{seconds['reading']:.1f}",
                    f"{seconds['training']:.1f}",
                    f"{run['parameters']:,}",
                ]
            )
    head = ["canvas, seed", "network", "error (%)", "95% interval", "last epoch (%)"]
    head += ["paper (houses)", "s to read 1,000", "s to learn", "parameters"]
    return markdown_table(head, rows, names=2)


def pair_table(found: Results) -> str:
    """Return how the networks compare in pairs, string by string, as Markdown.

    Args:
        found: of `read_results`, for the cells of `strings`.

    Returns:
        A line for each canvas, seed and pair of networks that were both run to the
        end: how many strings each of them alone misreads, and `mcnemar`'s `q`.
    """
    rows = []
    seeds = sorted({cell.seed for cell in found})
    for size, seed, (a, b) in product(SIZES, seeds, combinations(PLACES, 2)):
        pair = [found.get(Cell("final", model, size, seed)) for model in (a, b)]
        if all(pair):
            one, other, chance = mcnemar(*(run["misread"] for run in pair))
            shown = f"{chance:.2g}" if chance >= 1e-4 else "below 0.0001"
            names = f"{NAMES[a]} or {NAMES[b]}"
            rows.append([f"{size}², {seed}", names, f"{one}", f"{other}", shown])
    head = ["canvas, seed", "pair", "the first alone", "the second alone", "by chance"]
    return markdown_table(head, rows, names=2)


def look_table(found: Results) -> str:
    """Return how alike strings lie behind each transformer, as Markdown.

    Args:
        found: of `read_results`, for the cells of `strings`.

    Returns:
        A line for each transformer of each network that was run to the end, and one a
        canvas for the strings as they come: standard deviations, of the angle in
        degrees among the shortest strings and among the longest, of the height in
        percent and of the centre in pixels among strings of one length; the mean over
        seeds.
    """
    rows = []
    for size in SIZES:
        where = f"{size}²"
        for run in runs_of(found, phase="final", size=size)[:1]:
            came = _spread([run["looks"]["as_they_come"]])
            rows.append([where, "as they come", *came])
        for model, places in PLACES.items():
            runs = runs_of(found, phase="final", size=size, model=model)
            for k, place in enumerate(places if runs else ()):
                name = f"{NAMES[model]}, before convolution {place + 1}"
                each = [run["looks"]["passed_on"][k] for run in runs]
                rows.append([where, name, *_spread(each)])
    head = ["canvas", "strings", "angle of 1 (°)", f"angle of {MOST} (°)"]
    head += ["height (%)", "centre (px)"]
    return markdown_table(head, rows, names=2)


def rate_table(found: Results) -> str:
    """Return what the learning rates gave that were tried, as Markdown.

    Args:
        found: of `read_results`, for the cells of `strings`.

    Returns:
        A line for each network and canvas for which any was tried: for each rate the
        error in percent, on strings of digits that were held out from training, a seed
        after the other.
    """
    phases = {phase: rate for phase, rate in PHASES.items() if rate}
    rows = []
    for size, model in product(SIZES, PLACES):
        errors = [
            [
                f"{run['test_error']:.1f}"
                for run in runs_of(found, phase=phase, size=size, model=model)
            ]
            for phase in phases
        ]
        if any(errors):
            said = [", ".join(each) or "–" for each in errors]
            rows.append([f"{size}²", NAMES[model], *said])
    head = ["canvas", "network", *(f"rate {rate:g} (%)" for rate in phases.values())]
    return markdown_table(head, rows, names=2)


def draw_lengths(found: Results) -> Figure:
    """Draw the error over the length of the string.

    Args:
        found: of `read_results`, for the cells of `strings`.

    Returns:
        The figure: a line for each network on the smaller canvas, with the intervals of
        the first seed.
    """
    fig, ax = plt.subplots(figsize=(6.2, 3.4))
    styles = {"cnn": ("ink", "o"), "single": ("input", "s"), "multi": ("output", "^")}
    for shift, (model, (color, marker)) in enumerate(styles.items(), start=-1):
        for run in runs_of(found, phase="final", size=64, model=model)[:1]:
            wrong = [each["misread"] for each in run["by_length"]]
            count = [each["strings"] for each in run["by_length"]]
            error = [100 * w / n for w, n in zip(wrong, count)]
            ends = [interval(w, n) for w, n in zip(wrong, count)]
            away = [[abs(e - end[k]) for e, end in zip(error, ends)] for k in (0, 1)]
            place = [length + 0.1 * shift for length in range(1, len(error) + 1)]
            style = {"color": COLORS[color], "marker": marker, "label": NAMES[model]}
            ax.errorbar(place, error, away, capsize=3, **style)
    ax.set(xlabel="digits in the string", ylabel="misread (%)", ylim=(0, None))
    ax.set_xticks(range(1, 6))
    ax.legend(loc="upper left")
    return fig


def written(labels: Tensor) -> str:
    """Return what a string says, in digits.

    >>> written(torch.tensor([4, 0, 7, NONE, NONE]))
    '407'

    Args:
        labels: ``(5,)`` classes.

    Returns:
        The digits; a place without one, in front of others, is a dot.
    """
    said = "".join("." if k == NONE else str(k) for k in labels.tolist())
    return said.rstrip(".")


def draw_views(strings: Strings, views: Mapping[str, Tensor]) -> Figure:
    """Draw canvases with what transformers look at, as frames.

    Args:
        strings: a few of them.
        views: by the name of a transformer, ``(N, 6)`` of `stn_tutorial.Affine`, from
            what it passes on to the canvas; three at most.

    Returns:
        The figure: the canvases, and on each a frame for each transformer.
    """
    names = [written(labels) for labels in strings.labels]
    fig, axes = show_images(
        list(strings.images[:, 0]), names, columns=3, width=2.0, limits=(0, 1)
    )
    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    half = strings.images.shape[-1] / 2
    for ax in axes.flat:
        # Frames leave the canvas to the right, where short strings have no digits.
        ax.set(xlim=(-0.4 * half, 3.3 * half), ylim=(2.3 * half, -0.3 * half))
    for (name, params), (color, style) in zip(
        views.items(), (("input", "-"), ("output", "--"), ("gradient", ":"))
    ):
        theta = params.unflatten(1, (2, 3))
        frames = corners @ theta[:, :, :2].mT + theta[:, None, :, 2]
        for ax, frame in zip(axes.flat, half * (frames + 1) - 0.5):
            label = name if ax is axes.flat[0] else None
            ax.plot(*frame.T, style, color=COLORS[color], lw=2.5, label=label)
    fig.legend(loc="outside upper center", ncols=3)
    return fig


def _spread(runs: Sequence[Sequence[Mapping[str, float]]]) -> list[str]:
    """What a line of the table says of runs: two angles, height and centre."""

    def within(by_length: Sequence[Mapping[str, float]], name: str) -> float:
        squares = [each[name] ** 2 for each in by_length]
        return math.sqrt(statistics.mean(squares))

    columns = [[run[k]["angle_deg"] for run in runs] for k in (0, -1)]
    columns += [
        [within(run, name) for run in runs] for name in ("height_percent", "centre_px")
    ]
    return [f"{statistics.mean(column):.1f}" for column in columns]


#: What the command prints and draws.
report = Report(
    Cell,
    "strings of digits",
    tables=(error_table, pair_table, look_table, rate_table),
    figures={"lengths": draw_lengths},
)
