"""The table and the curves of what came after the spatial transformer."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial.coordinates import base_grid, rotation, to_pixels
from stn_tutorial.course.plotting import (
    COLORS,
    WIDEST,
    draw_grid,
    draw_points,
    label_panels,
    make_panels,
)
from stn_tutorial.course.reports import (
    Report,
    in_a_line,
    interval,
    markdown_table,
    mean_and_spread,
    runs_of,
)
from stn_tutorial.experiments.after_2015 import METHODS, PHASES, TASKS, Cell
from stn_tutorial.experiments.successors import LogPolar
from stn_tutorial.families import Affine

__all__ = [
    "IDEAS",
    "cost_table",
    "curve",
    "draw_errors",
    "draw_longer",
    "draw_map",
    "draw_samples",
    "draw_unseen",
    "error_table",
    "rate_table",
    "report",
    "shown",
]

Results = Mapping[Cell, Mapping[str, Any]]

#: The methods' names for readers.
NAMES = {
    "cnn": "CNN",
    "augmented": "CNN, augmented",
    "st": "ST-CNN",
    "ic-st": "IC-STN",
    "exp-st": "exponential ST",
    "deformable": "deformable",
    "polar": "polar",
    "c8": "C8-equivariant",
}
#: The line of each method. Transformers are orange, a plain network is black.
STYLES = {
    "cnn": {"color": COLORS["ink"], "ls": "-"},
    "augmented": {"color": COLORS["ink"], "ls": "--"},
    "st": {"color": COLORS["output"], "ls": "-"},
    "ic-st": {"color": COLORS["output"], "ls": "--"},
    "exp-st": {"color": COLORS["output"], "ls": ":"},
    "deformable": {"color": COLORS["sample"], "ls": "-"},
    "polar": {"color": COLORS["input"], "ls": "-"},
    "c8": {"color": COLORS["gradient"], "ls": "-"},
}
#: By who decides where to sample, the ideas and their years; names have two lines.
IDEAS = {
    "a network,\nthe whole picture": {
        "spatial\ntransformer": 2015,
        "inverse\ncompositional": 2017,
        "diffeo-\nmorphic": 2018,
    },
    "a network,\neach pixel": {"flow without\ntrue flow": 2016},
    "nobody:\ngeometry": {
        "group\nconvolution": 2016,
        "polar\ntransformer": 2018,
        "E(2)-\nsteerable": 2019,
    },
    "a detector,\neach box": {"RoI align": 2017},
    "each place,\neach tap": {"deformable\nconvolution": 2017},
    "each query": {"attention": 2017, "deformable\nattention": 2021},
}


def draw_map() -> Figure:
    """Draw the ideas by year, and by who decides where to sample.

    Returns:
        The figure: a row for each of `IDEAS`, a mark for each paper.
    """
    fig, ax = plt.subplots(figsize=(WIDEST, 6.6))
    for row, papers in enumerate(IDEAS.values()):
        years = list(papers.values())
        ax.axhline(row, color=COLORS["faint"], lw=0.6, zorder=0)
        ax.plot(years, [row] * len(years), "o-", color=COLORS["output"], ms=7)
        for name, year in papers.items():
            below = year - 1 in years  # the names of neighbouring years would touch
            look = {"ha": "center", "va": "top" if below else "bottom", "fontsize": 12}
            place = row + (0.14 if below else -0.14)
            ax.text(year, place, name, color=COLORS["ink"], linespacing=0.95, **look)
    ax.set_yticks(range(len(IDEAS)), list(IDEAS))
    ax.set(xlim=(2014.3, 2021.9), ylim=(len(IDEAS) - 0.6, -0.8))
    ax.set_xticks(range(2015, 2022))
    ax.spines[["left", "right", "top"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return fig


def draw_samples(digit: Tensor) -> Figure:
    """Draw where five methods sample a digit.

    Args:
        digit: ``(1, 28, 28)``.

    Returns:
        The figure: a panel for each, with the points over the digit. Lines join the
        points of a grid; blue are a box and its bins, the taps before they moved, and
        the four pixels of one sample, which is seen from closer.
    """
    size = digit.shape[1:]
    fig, axes = plt.subplots(2, 3, figsize=(WIDEST, 4.5))
    panels = dict(zip(_samples(), axes.flat, strict=True))
    blue = {"color": COLORS["input"], "lw": 1.2}
    for name, grid in _samples().items():
        ax = panels[name]
        ax.imshow(digit[0].numpy(), vmin=0, vmax=1, cmap="gray")
        points = to_pixels(grid, size)
        if name == "RoI align":
            low, high = to_pixels(_BOX, size)
            x, y = (torch.linspace(low[k], high[k], n) for k, n in enumerate((5, 4)))
            ax.vlines(x, low[1], high[1], **blue)
            ax.hlines(y, low[0], high[0], **blue)
        elif name == "deformable":
            taps = to_pixels(_taps(), size)
            ax.plot(*torch.stack([taps, points]).unbind(dim=-1), **blue)
        elif name == "attention":
            corners = points.floor() + torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
            draw_points(ax, corners, color=COLORS["input"], size=7)
        if grid.ndim == 3:
            rings = [points, points[:, :1]] if name == "log-polar" else [points]
            draw_grid(ax, torch.cat(rings, dim=1), linewidth=0.8)
        draw_points(ax, points, size=7 if name == "attention" else 3)
        ax.set(title=name, xlim=(-0.5, size[1] - 0.5), ylim=(size[0] - 0.5, -0.5))
        ax.axis("off")
    x, y = to_pixels(_samples()["attention"], size)[0].floor().tolist()
    closer = panels["attention"]
    closer.set(
        title="one sample, closer", xlim=(x - 2.5, x + 3.5), ylim=(y + 3.5, y - 2.5)
    )
    return fig


#: Two corners of a box that a detector has found.
_BOX = torch.tensor([[-0.45, -0.7], [0.55, 0.5]])


def _taps() -> Tensor:
    """Normalized points ``(27, 2)``: the taps of a convolution at three places."""
    places = torch.tensor([[-0.45, -0.45], [0.4, -0.15], [-0.1, 0.55]])
    return (places[:, None] + 0.3 * base_grid((3, 3)).view(-1, 2)).reshape(-1, 2)


def _samples() -> dict[str, Tensor]:
    """By method, normalized points: a grid ``(H, W, 2)``, or ``(P, 2)``."""
    draw = torch.Generator().manual_seed(1)
    theta = rotation(torch.tensor([0.4]), 0.75, (0.05, 0.0)).flatten(1)
    low, high = _BOX
    box = low + (high - low) * (base_grid((6, 8)) + 1) / 2
    whole = base_grid((9, 9))
    bend = 0.12 * torch.sin(4 * whole.flip(-1))
    return {
        "spatial transformer": Affine().grid(theta, (9, 9))[0],
        "RoI align": box.reshape(-1, 2),
        "deformable": _taps() + 0.1 * torch.randn(27, 2, generator=draw),
        "log-polar": LogPolar(0.1, 0.9).grid(torch.zeros(1, 2), (7, 16))[0],
        "flow": whole + bend,
        "attention": torch.tensor([[0.13, -0.2]]),
    }


def shown(method: str) -> str:
    """Return a method's name for readers.

    >>> shown("ic-st")
    'IC-STN'

    Args:
        method: one of `stn_tutorial.experiments.after_2015.METHODS`.

    Returns:
        The name.
    """
    return NAMES[method]


def error_table(found: Results) -> str:
    """Return the errors of all methods as Markdown.

    Args:
        found: of `read_results`, for the cells of `after_2015`.

    Returns:
        A line for each method that was measured: its error in percent on each task, the
        mean over seeds with the standard deviation and their number, or of one seed
        with the 95% interval for other test digits.
    """
    rows = []
    for method in METHODS:
        line = [_error(found, task, method) for task in TASKS]
        if any(cell != "–" for cell in line):
            rows.append([shown(method), *line])
    return markdown_table(["error (%)", *TASKS], rows)


def cost_table(found: Results) -> str:
    """Return what all methods cost on R as Markdown.

    Args:
        found: of `read_results`, for the cells of `after_2015`.

    Returns:
        A line for each method that was measured on R: its parameters there, the
        multiplications of one picture's scores in millions, and seconds of a processor
        for all gradients; and for each task the pictures seen in training, in
        thousands.
    """
    rows = []
    for method in METHODS:
        runs = _finals(found, "R", method)
        if runs:
            first = runs[0]
            seconds = statistics.mean(run["processor_seconds"] for run in runs)
            rows.append(
                [
                    shown(method),
                    f"{first['parameters']:,}",
                    f"{first['multiplications'] / 1e6:.1f}",
                    f"{seconds:.0f}",
                    *(_pictures(found, task, method) for task in TASKS),
                ]
            )
    head = ["on R", "parameters", "10⁶ ×", "seconds"]
    head += [f"10³ pictures, {task}" for task in TASKS]
    return markdown_table(head, rows)


def _pictures(found: Results, task: str, method: str) -> str:
    """How many pictures a training saw, in thousands, or a dash."""
    runs = _finals(found, task, method)
    return f"{runs[0]['pictures'] / 1e3:.0f}" if runs else "–"


def _error(found: Results, task: str, method: str) -> str:
    """Such as ``3.10 (2.66–3.62)``, or a mean over seeds, or a dash."""
    runs = _finals(found, task, method)
    if not runs:
        return "–"
    if len(runs) > 1:
        return in_a_line(mean_and_spread([run["test_error"] for run in runs]))
    error, count = runs[0]["test_error"], runs[0]["data"]["test"]["digits"]
    low, high = interval(round(error * count / 100), count)
    return in_a_line(f"{error:.1f} ({low:.1f}–{high:.1f})")


def rate_table(found: Results) -> str:
    """Return what the learning rates were chosen by, as Markdown.

    Args:
        found: of `read_results`, for the cells of `after_2015`.

    Returns:
        A line for each method: the error in percent on held-out digits of R with each
        rate.
    """
    phases = [name for name, rate in PHASES.items() if rate is not None]
    rows = []
    for method in METHODS:
        tried = {"task": "R", "method": method}
        runs = [runs_of(found, phase=name, **tried) for name in phases]
        if any(runs):
            errors = [[run["test_error"] for run in each] for each in runs]
            shares = (
                f"{statistics.mean(each):.2f}" if each else "–" for each in errors
            )
            rows.append([shown(method), *shares])
    head = ["learning rate", *(f"{PHASES[name]:g}" for name in phases)]
    return markdown_table(head, rows)


def curve(found: Results, method: str, what: str) -> tuple[list[float], list[float]]:
    """Return the errors on digits that are all rotated, or scaled, alike.

    Args:
        found: of `read_results`, for the cells of `after_2015`.
        method: trained on R.
        what: ``rotations`` or ``scales``.

    Returns:
        The angles in degrees or the scales, in their order, and the mean error of the
        seeds in percent at each; both are empty if nothing was measured. At a scale of
        1 it is that of an angle of 0°.
    """
    errors: dict[float, list[float]] = {}
    for unseen in (run["unseen"] for run in _finals(found, "R", method)):
        if what == "rotations":
            points = [(p["angle_deg"], p["error"]) for p in unseen["rotations"]]
        else:
            points = [(p["scale"], p["error"]) for p in unseen["scales"]]
            still = [p for p in unseen["rotations"] if p["angle_deg"] == 0]
            points += [(1.0, p["error"]) for p in still]
        for at, error in points:
            errors.setdefault(at, []).append(error)
    places = sorted(errors)
    return places, [statistics.mean(errors[x]) for x in places]


def draw_errors(found: Results) -> Figure:
    """Draw the errors of every method, on new digits and on those that it learned.

    Args:
        found: of `read_results`, for the cells of `after_2015`.

    Returns:
        The figure: a panel for each task, a row for each method: filled, the test error
        of each seed, and hollow, the mean error on its own training pictures in the
        last fifth of the training.
    """
    names = [m for m in METHODS if runs_of(found, phase="final", method=m)]
    fig, panels = make_panels(list(TASKS), height=0.7 + 0.24 * len(names))
    hollow = {"marker": "o", "ls": "", "ms": 6, "mfc": "none"}
    filled = {"marker": "o", "ls": "", "ms": 4}
    for (task, ax), (row, method) in product(panels.items(), enumerate(names)):
        color = {"color": STYLES[method]["color"]}
        if runs := _finals(found, task, method):
            own = statistics.mean(run["history"][-1]["train_error"] for run in runs)
            new = [run["test_error"] for run in runs]
            ax.plot(own, row, **hollow, **color)
            ax.plot(new, [row] * len(new), **filled, **color)
        ax.set_yticks(range(len(names)), [shown(name) for name in names])
        ax.set(xscale="log", ylim=(len(names) - 0.5, -0.5))
        ax.set_xticks((2, 5, 10, 20, 50), ("2", "5", "10", "20", "50"))
        ax.minorticks_off()
    ink = {"color": COLORS["ink"]}
    looks = {"test, each seed": filled | ink, "own pictures, mean": hollow | ink}
    return label_panels(fig, "error (%)", "", looks)


def draw_longer(
    found: Results,
    methods: Sequence[str] = ("cnn", "st"),
    *,
    against: Literal["pictures", "seconds"] = "pictures",
) -> Figure:
    """Draw the test errors against the pictures, or the seconds, of the training.

    Args:
        found: of `read_results`, for the cells of `after_2015`.
        methods: of `METHODS`, that were also run with more operations.
        against: pictures that were seen, or seconds of one core, at the rate at which
            the runs with more operations were made (all on one kind of processor).

    Returns:
        The figure: a panel for each task; for each method a mark for each run, hollow
        with the operations of the comparison and filled with `LONGER` times as many,
        and a line through the means. Both axes are logarithmic.
    """
    fig, panels = make_panels(list(TASKS), height=2.4)
    for (task, ax), method in product(panels.items(), methods):
        longer = runs_of(found, phase="longer", task=task, method=method)
        if against == "seconds" and not longer:  # nobody knows the rate
            continue
        unit = 1.0
        if against == "seconds":  # of a picture
            unit = statistics.mean(
                run["processor_seconds"] / run["pictures"] for run in longer
            )
        means = []
        for phase, fill in (("final", "none"), ("longer", STYLES[method]["color"])):
            runs = runs_of(found, phase=phase, task=task, method=method)
            if runs:
                took = [unit * run["pictures"] for run in runs]
                errors = [run["test_error"] for run in runs]
                dots = {"marker": "o", "ls": "", "ms": 6, "mfc": fill}
                ax.plot(took, errors, color=STYLES[method]["color"], **dots)
                means.append((statistics.mean(took), statistics.mean(errors)))
        if means:
            ax.plot(*zip(*means), lw=1.2, **STYLES[method])
    for ax in panels.values():
        ax.set(xscale="log", yscale="log")
        ax.margins(0.1)
    looks = {shown(name): STYLES[name] for name in methods}
    label = {"pictures": "pictures seen", "seconds": "seconds of one core"}[against]
    return label_panels(fig, label, "test error (%)", looks)


def draw_unseen(found: Results, methods: Sequence[str] = METHODS) -> Figure:
    """Draw the error on digits that are rotated or scaled as none in training was.

    Args:
        found: of `read_results`, for the cells of `after_2015`.
        methods: which ones.

    Returns:
        The figure: a panel for rotations and one for scales, in which grey marks those
        that were trained on; a line for each method.
    """
    fig, panels = make_panels(["rotations", "scales"], height=3.0, sharey=True)
    names = [m for m in methods if _finals(found, "R", m)]
    for (what, ax), method in product(panels.items(), names):
        places, errors = curve(found, method, what)
        if places[-1:] == [180.0]:  # half a turn is one way round as the other
            places, errors = [-180.0, *places], [errors[-1], *errors]
        ax.plot(places, errors, lw=1.4, marker=".", ms=4, **STYLES[method])
    panels["rotations"].axvspan(-90, 90, color=COLORS["faint"], alpha=0.25, lw=0)
    panels["rotations"].set(xticks=range(-180, 181, 90), ylim=(0, None))
    looks = {shown(name): STYLES[name] for name in names}
    label_panels(fig, "", "test error (%)", looks)
    panels["rotations"].set_xlabel("angle (°)")
    panels["scales"].axvspan(0.985, 1.015, color=COLORS["faint"], alpha=0.25, lw=0)
    panels["scales"].set(xlabel="scale", xticks=(0.6, 0.8, 1.0, 1.2, 1.4))
    return fig


def _finals(found: Results, task: str, method: str) -> list[Mapping[str, Any]]:
    """The results of a method's final runs, in the order of their seeds."""
    return runs_of(found, phase="final", task=task, method=method)


#: What the command prints and draws.
report = Report(
    Cell,
    "what came after 2015",
    tables=(error_table, cost_table, rate_table),
    figures={"errors": draw_errors, "unseen": draw_unseen},
)
