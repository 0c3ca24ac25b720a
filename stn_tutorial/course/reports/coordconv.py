"""The tables and the figure of CoordConv's tasks and boxes, from the result files."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from stn_tutorial.course.plotting import COLORS, label_panels, make_panels
from stn_tutorial.course.reports import markdown_table, mean_and_spread, runs_of
from stn_tutorial.data.not_so_clevr import SPLITS
from stn_tutorial.experiments import not_so_clevr, scattered_digits
from stn_tutorial.experiments.not_so_clevr import TASKS
from stn_tutorial.experiments.results import read_results

__all__ = [
    "detection_table",
    "draw_learning",
    "report",
    "passes_to_solve",
    "task_table",
]

TaskResults = Mapping[not_so_clevr.Cell, Mapping[str, Any]]
BoxResults = Mapping[scattered_digits.Cell, Mapping[str, Any]]


def report(folder: Path) -> tuple[str, dict[str, Callable[[], Figure]]]:
    """Return the tables of some results, and what draws their figure.

    Args:
        folder: of the tasks' results; those of the boxes are in its ``detection``.

    Returns:
        The text, and by the name of its file what draws each figure.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no results, or a damaged one.
    """
    found, boxes = read_results(folder, not_so_clevr.Cell), {}
    if (folder / "detection").is_dir():
        boxes = read_results(folder / "detection", scattered_digits.Cell)
    if not found and not boxes:
        raise ValueError(f"{folder} holds no results of CoordConv's tasks")
    tables = [f"{task}\n\n{task_table(found, task)}" for task in TASKS]
    text = "\n".join([*tables, detection_table(boxes)])
    return text, {"learning": partial(draw_learning, found)}


def passes_to_solve(result: Mapping[str, Any]) -> int | None:
    """Return how long a network trained until every test place was as it should be.

    Args:
        result: of `stn_tutorial.experiments.not_so_clevr.solve`.

    Returns:
        How many passes over the training locations, to the end of the first from which
        on the task stayed solved; None if it was not solved at the end.
    """
    solved = [entry["test"]["solved"] == 1 for entry in result["history"]]
    if not solved[-1]:
        return None
    unsolved = [i for i, done in enumerate(solved) if not done]
    return unsolved[-1] + 2 if unsolved else 1


def task_table(found: TaskResults, task: str) -> str:
    """Return what each network reaches in a task, as Markdown.

    Args:
        found: of `read_results`, for the cells of `not_so_clevr`.
        task: one of its ``TASKS``.

    Returns:
        A line for each split and network: the locations that are as they should be, in
        percent, of those it was trained on and of the test locations, these with the
        range over seeds; the mean error in pixels or the mean IoU on either; the number
        of seeds that solved it and their median number of passes.
    """
    unit = "iou" if task == "rendering" else "px"
    error = {"iou": "IoU", "px": "px off"}[unit]
    head = ["split", "network", "solved in training (%)", "in testing (%)"]
    head += [f"{error} in training", "in testing", "seeds that solved it"]
    rows = []
    for split in SPLITS:
        for network in TASKS[task].networks:
            if runs := runs_of(found, task=task, split=split, network=network):
                rows.append([split, network, *_task_line(runs, unit)])
    return markdown_table(head, rows, names=2)


def _task_line(runs: list[Mapping[str, Any]], unit: str) -> list[str]:
    last = [run["history"][-1] for run in runs]
    known, solved = (
        [100 * entry[part]["solved"] for entry in last] for part in ("train", "test")
    )
    errors = [
        statistics.mean(entry[part][unit] for entry in last)
        for part in ("train", "test")
    ]
    passes = [n for run in runs if (n := passes_to_solve(run)) is not None]
    when = f", after {statistics.median(passes):.0f}" if passes else ""
    spread = f" ({min(solved):.0f} to {max(solved):.0f})"
    digits = 2 if unit == "px" else 3
    return [
        f"{statistics.mean(known):.0f}",
        f"{statistics.mean(solved):.0f}{spread if min(solved) < max(solved) else ''}",
        *(f"{error:.{digits}f}" for error in errors),
        f"{len(passes)} of {len(runs)}{when}",
    ]


def detection_table(found: BoxResults) -> str:
    """Return the IoU of boxes around scattered digits, as Markdown.

    Args:
        found: of `read_results`, for the cells of `scattered_digits`.

    Returns:
        A line for each kind of boxes and network.
    """
    head = ["box relative to", "network", "parameters", "IoU", "IoU > 0.5 (%)"]
    rows = []
    for boxes in scattered_digits.BOXES:
        for network in ("convolution", "coordconv"):
            if runs := runs_of(found, boxes=boxes, network=network):
                count = f"{runs[0]['parameters']:,}"
                iou = mean_and_spread([run["iou"] for run in runs], digits=3)
                above = mean_and_spread(
                    [100 * run["above_half"] for run in runs], digits=1
                )
                rows.append([boxes, network, count, iou, above])
    return markdown_table(head, rows, names=2)


def draw_learning(found: TaskResults) -> Figure:
    """Draw how many test locations are as they should be, after each pass.

    Args:
        found: of `read_results`, for the cells of `not_so_clevr`.

    Returns:
        The figure: a panel for each task and split, for each network a thin line for
        each run against its steps, and a thick one for their mean; orange with
        coordinates, blue with coordinates and ReLUs where there should be none, the
        others without coordinates.
    """
    tasks = [task for task in TASKS if runs_of(found, task=task)] or list(TASKS)
    places = {f"{task}, {split}": (task, split) for task in tasks for split in SPLITS}
    fig, panels = make_panels(list(places), height=1.9, sharey=True)
    colors = {"longer": "faint", "convolution": "ink"}
    colors |= {"pooled": "ink", "coordconv": "output"}
    colors |= {"relu": "input", "relu-started": "input"}
    looks = {name: {"color": COLORS[color]} for name, color in colors.items()}
    for name in ("pooled", "relu-started"):
        looks[name]["ls"] = "--"
    for name, ax in panels.items():
        task, split = places[name]
        for network, look in looks.items():
            every = []
            for run in runs_of(found, task=task, split=split, network=network):
                batch = run["recipe"]["batch_size"]
                a_pass = math.ceil(run["locations"]["train"] / batch)
                steps = [a_pass * entry["epoch"] for entry in run["history"]]
                solved = [100 * entry["test"]["solved"] for entry in run["history"]]
                ax.plot(steps, solved, **look | {"ls": "-", "lw": 0.7, "alpha": 0.35})
                every.append(solved)
            if every:
                means = [statistics.mean(each) for each in zip(*every)]
                ax.plot(steps[: len(means)], means, lw=2, **look)
        ax.set(xscale="log", ylim=(-4, 104))
    fig = label_panels(fig, "steps (logarithmic)", "solved (%)", looks)
    for ax in fig.axes:
        ax.set_xticks([1_000, 10_000], ["1,000", "10,000"])
    return fig
