"""The tables and figures of the CoordConv experiments, from the result files."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.figure import Figure

from stn_tutorial.course.plotting import COLORS, ERROR_FLOOR, label_panels, make_panels
from stn_tutorial.data.not_so_clevr import SPLITS
from stn_tutorial.experiments import coordconv_stn, not_so_clevr, scattered_digits
from stn_tutorial.experiments.coordconv_stn import ARRANGEMENTS, COLUMNS, paired
from stn_tutorial.experiments.not_so_clevr import TASKS
from stn_tutorial.experiments.results import select

__all__ = [
    "detection_table",
    "difference_table",
    "draw_convergence",
    "draw_differences",
    "draw_learning",
    "error_table",
    "pose_table",
    "seconds_to_solve",
    "task_table",
]

TaskResults = Mapping[not_so_clevr.Cell, Mapping[str, Any]]
BoxResults = Mapping[scattered_digits.Cell, Mapping[str, Any]]
STNResults = Mapping[coordconv_stn.Cell, Mapping[str, Any]]

#: The line of each arrangement: no coordinates are black.
STYLES = {
    "plain": {"color": COLORS["ink"], "ls": "-"},
    "first": {"color": COLORS["output"], "ls": "-"},
    "everywhere": {"color": COLORS["output"], "ls": "--"},
    "radius": {"color": COLORS["output"], "ls": ":"},
    "both": {"color": COLORS["output"], "ls": "-."},
    "pooled": {"color": COLORS["ink"], "ls": "--"},
    "pooled-first": {"color": COLORS["input"], "ls": "--"},
}


def seconds_to_solve(result: Mapping[str, Any]) -> float | None:
    """Return how long a network trained until every test place was as it should be.

    Args:
        result: of `stn_tutorial.experiments.not_so_clevr.solve`.

    Returns:
        Seconds of training, to the end of the epoch from which on the task stayed
        solved; None if it was not solved at the end.
    """
    seconds = None
    for entry in reversed(result["history"]):
        if entry["test"]["solved"] < 1:
            break
        seconds = entry["seconds"]
    return seconds


def task_table(found: TaskResults) -> str:
    """Return what each network reaches in each task, as Markdown.

    Args:
        found: of `stn_tutorial.experiments.not_so_clevr.results`.

    Returns:
        A line for each task, split and network: its parameters; the test places that
        are as they should be, in percent, with the range over seeds; the mean error in
        pixels or the mean IoU; the number of seeds that solved it and their median
        time.
    """
    head = "task,split,network,parameters,solved (%),error or IoU,seeds that solved it"
    lines = [head.split(","), ["---", "---", "---", *["---:"] * 4]]
    for task in TASKS:
        for split in SPLITS:
            for network in TASKS[task].networks:
                runs = _runs(found, task=task, split=split, network=network)
                if runs:
                    lines.append([task, split, network, *_task_line(runs)])
    return _markdown(lines)


def _task_line(runs: list[Mapping[str, Any]]) -> list[str]:
    last = [run["history"][-1]["test"] for run in runs]
    solved = [100 * entry["solved"] for entry in last]
    unit = "px" if "px" in last[0] else "iou"
    error = statistics.mean(entry[unit] for entry in last)
    times = [time for run in runs if (time := seconds_to_solve(run)) is not None]
    when = f", {statistics.median(times):.0f} s" if times else ""
    return [
        f"{runs[0]['parameters']:,}",
        f"{statistics.mean(solved):.1f} ({min(solved):.1f}–{max(solved):.1f})",
        f"{error:.2f} px" if unit == "px" else f"IoU {error:.3f}",
        f"{len(times)} of {len(runs)}{when}",
    ]


def detection_table(found: BoxResults) -> str:
    """Return the IoU of boxes around scattered digits, as Markdown.

    Args:
        found: of `stn_tutorial.experiments.scattered_digits.results`.

    Returns:
        A line for each kind of boxes and network.
    """
    lines = [["box relative to", "network", "parameters", "IoU", "IoU > 0.5 (%)"]]
    lines.append(["---", "---", *["---:"] * 3])
    for boxes in scattered_digits.BOXES:
        for network in ("convolution", "coordconv"):
            if runs := _runs(found, boxes=boxes, network=network):
                count = f"{runs[0]['parameters']:,}"
                iou = _mean([run["iou"] for run in runs], digits=3)
                above = _mean([100 * run["above_half"] for run in runs], digits=1)
                lines.append([boxes, network, count, iou, above])
    return _markdown(lines)


def error_table(found: STNResults) -> str:
    """Return the test errors of transformers with coordinates, as Markdown.

    Args:
        found: of `stn_tutorial.experiments.coordconv_stn.results`.

    Returns:
        A line for each arrangement: mean error in percent ± standard deviation, and the
        number of seeds, on each distortion.
    """
    lines = [["coordinates", *COLUMNS], ["---", *["---:"] * len(COLUMNS)]]
    for name in ARRANGEMENTS:
        runs = [_runs(found, column=column, arrangement=name) for column in COLUMNS]
        if any(runs):
            errors = [[run["test_error"] for run in each] for each in runs]
            lines.append([name, *(_mean(each) if each else "–" for each in errors)])
    return _markdown(lines)


def difference_table(found: STNResults, *, epoch: int | None = None) -> str:
    """Return what coordinates change, seed by seed, as Markdown.

    Args:
        found: of `stn_tutorial.experiments.coordconv_stn.results`.
        epoch: after which to compare; the default is the last one.

    Returns:
        A line for each distortion that was measured: for each arrangement, the mean
        difference of its error from that of the same network without coordinates, in
        percentage points, with the 95% confidence interval and the verdict.
    """
    pairs = list(_pairs(found))
    lines = [["distortion", *(name for name, _ in pairs)]]
    lines.append(["---", *["---:"] * len(pairs)])
    for column in COLUMNS:
        line = [_change(found, column, *pair, epoch=epoch) for pair in pairs]
        if any(line):
            lines.append([column, *(each or "–" for each in line)])
    return _markdown(lines)


def _change(
    found: STNResults, column: str, name: str, against: str, *, epoch: int | None
) -> str:
    """Such as ``-0.05 [-0.23, +0.12] undecided``, or nothing if no seeds are shared."""
    try:
        change = paired(found, column, name, against=against, epoch=epoch)
    except ValueError:
        return ""
    low, high = (change.mean + s * change.half_width for s in (-1, 1))
    return f"{change.mean:+.2f} [{low:+.2f}, {high:+.2f}] {change.verdict}"


def pose_table(found: STNResults) -> str:
    """Return how unlike one another digits of a class are posed, as Markdown.

    Args:
        found: of `stn_tutorial.experiments.coordconv_stn.results`.

    Returns:
        A line for each distortion with a true pose, as the digits come and as each
        arrangement passes them on: standard deviations of angle, scale and shift, the
        mean over seeds; see `stn_tutorial.experiments.coordconv_stn.pose_spread`.
    """
    lines = [["distortion", "coordinates", "angle (°)", "scale (%)", "shift (px)"]]
    lines.append(["---", "---", *["---:"] * 3])
    for column in COLUMNS:
        for name in ARRANGEMENTS:
            runs = _runs(found, column=column, arrangement=name)
            if not runs or not runs[0]["poses"]:
                continue
            if lines[-1][0] != column:
                before = runs[0]["poses"]["as_they_come"].values()
                lines.append([column, "(as they come)", *(f"{v:.1f}" for v in before)])
            poses = [run["poses"]["passed_on"] for run in runs]
            after = [_mean([pose[key] for pose in poses], digits=1) for key in poses[0]]
            lines.append([column, name, *after])
    return _markdown(lines)


def draw_learning(found: TaskResults) -> Figure:
    """Draw how many test places are as they should be against the time of training.

    Args:
        found: of `stn_tutorial.experiments.not_so_clevr.results`.

    Returns:
        The figure: a panel for each task and split, a line for each run of the two
        networks that all tasks have; orange with coordinates, black without. Seconds
        compare if the machine was equally busy.
    """
    tasks = [task for task in TASKS if _runs(found, task=task)] or list(TASKS)
    places = {f"{task}, {split}": (task, split) for task in tasks for split in SPLITS}
    fig, panels = make_panels(list(places), height=1.9, sharey=True)
    looks = {"convolution": COLORS["ink"], "coordconv": COLORS["output"]}
    looks = {name: {"color": color} for name, color in looks.items()}
    for name, ax in panels.items():
        task, split = places[name]
        for network, look in looks.items():
            for run in _runs(found, task=task, split=split, network=network):
                seconds = [entry["seconds"] for entry in run["history"]]
                solved = [100 * entry["test"]["solved"] for entry in run["history"]]
                ax.plot(seconds, solved, lw=1, marker=".", ms=4, **look)
        ax.set(xscale="log", ylim=(-4, 104))
    return label_panels(fig, "seconds of training", "test places (%)", looks)


def draw_differences(found: STNResults) -> Figure:
    """Draw what coordinates change: mean differences with their confidence intervals.

    Args:
        found: of `stn_tutorial.experiments.coordconv_stn.results`.

    Returns:
        The figure: a panel for each distortion, a line for each arrangement. Left of
        zero, coordinates help. Dots are the seeds. The control, whose effect may be ten
        times as large, is left to `difference_table`.
    """
    pairs = [pair for pair in _pairs(found) if pair[1] == "plain"]
    fig, panels = make_panels(list(COLUMNS), height=0.6 + 0.2 * len(pairs), sharey=True)
    for column, ax in panels.items():
        ax.axvline(0, color=COLORS["faint"])
        for place, (name, against) in enumerate(pairs):
            try:
                change = paired(found, column, name, against=against)
            except ValueError:
                continue
            color = STYLES[name]["color"]
            look = {"color": color, "marker": "o", "ms": 4, "capsize": 3}
            ax.errorbar(change.mean, place, xerr=change.half_width, **look)
            high = [place - 0.28] * len(change.each)
            ax.plot(change.each, high, ls="", marker=".", ms=3, color=COLORS["faint"])
        ax.set_yticks(range(len(pairs)), [name for name, _ in pairs])
        ax.set(ylim=(len(pairs) - 0.5, -0.7))
    return label_panels(fig, "change of the error (points)", "", {})


def draw_convergence(found: STNResults) -> Figure:
    """Draw the mean test error after each epoch.

    Args:
        found: of `stn_tutorial.experiments.coordconv_stn.results`.

    Returns:
        The figure: a panel for each distortion, a line for each arrangement.
    """
    fig, panels = make_panels(list(COLUMNS), height=1.8)
    shown = [name for name in ARRANGEMENTS if _runs(found, arrangement=name)]
    for column, ax in panels.items():
        for name in shown:
            runs = _runs(found, column=column, arrangement=name)
            curves = [[e["test_error"] for e in run["history"]] for run in runs]
            means = [
                max(ERROR_FLOOR, statistics.mean(e)) for e in zip(*curves, strict=True)
            ]
            if runs:
                ax.plot(range(1, len(means) + 1), means, lw=1.3, **STYLES[name])
        ax.set(yscale="log")
    looks = {name: STYLES[name] for name in shown}
    return label_panels(fig, "epoch", "test error (%)", looks)


def _runs(found: Mapping[Any, Any], **wanted: str) -> list[Any]:
    """The results of the cells that are as wanted, in the order of their seeds."""
    return list(select(found, **wanted).values())


def _pairs(found: STNResults) -> Iterable[tuple[str, str]]:
    """Each arrangement that was measured, and its like without coordinates."""
    for name in ARRANGEMENTS:
        against = "pooled" if name.startswith("pooled") else "plain"
        if name != against and _runs(found, arrangement=name):
            yield name, against


def _mean(values: list[float], *, digits: int = 2) -> str:
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread} ({len(values)})"


def _markdown(lines: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
