"""The table of distorted MNIST and its figures, from the result files.

In every figure, black is a network without a spatial transformer and orange one with;
the families differ in their line and marker, and filled marks are measured here.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate, product
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stn_tutorial.course.plotting import (
    COLORS,
    ERROR_FLOOR,
    WIDEST,
    label_panels,
    make_panels,
)
from stn_tutorial.course.reports import (
    Discordant,
    markdown_table,
    mcnemar,
    mean_and_spread,
)
from stn_tutorial.experiments.distorted_mnist import (
    COLUMNS,
    PAPER,
    RECIPES,
    ROWS,
    TABLES,
    Cell,
    at_other_budgets,
    of_table,
    rows_of,
)
from stn_tutorial.experiments.results import read_results, select

__all__ = [
    "COMPARISONS",
    "Gain",
    "draw_against_paper",
    "draw_against_parameters",
    "draw_against_time",
    "draw_gains",
    "draw_learning_curve",
    "errors",
    "gains_table",
    "learning_curve",
    "overview",
    "report",
    "shortcut",
    "table",
]

Results = Mapping[Cell, Mapping[str, Any]]

#: What the style of a line and the shape of a mark say: the family of warps.
STYLES = {None: "-o", "affine": "-o", "projective": "--s", "tps": ":^"}


def report(folder: Path) -> tuple[str, dict[str, Callable[[], Figure]]]:
    """Return the tables of some results, and what draws their figures.

    Args:
        folder: of the results.

    Returns:
        The text, and by the name of its file what draws each figure.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no results, or a damaged one.
    """
    found, others = read_results(folder, Cell), at_other_budgets(folder)
    if not found:
        raise ValueError(f"{folder} holds no results of the table")
    names = [name for name in TABLES if of_table(found, name)]
    text = f"Where a transformer helps\n\n{gains_table(found)}\n"
    text += "\n".join(
        f"{_TITLES[name]}: test error in percent, mean ± sd over seeds\n\n"
        f"{table(found, name)}"
        for name in names
    )
    drawings = {
        "against_paper": partial(draw_against_paper, found),
        "gains": partial(draw_gains, found),
    }
    for name in names:
        drawings |= {
            f"{name}_against_time": partial(draw_against_time, found, name),
            f"{name}_against_parameters": partial(
                draw_against_parameters, found, others, name
            ),
        }
    if steps := learning_curve(found):
        text += f"\nRTS against epochs, the short way\n\n{steps}"
        drawings["learning_curve"] = partial(draw_learning_curve, found)
    if both := shortcut(found):
        text += f"\nTrained in two ways\n\n{both}"
    return text, drawings


_TITLES = {"paper": "As the paper trains", "today": "As one trains today"}


def errors(results: Results, name: str, column: str, row: str) -> list[float]:
    """Return the test errors of one place of a table.

    Args:
        results: of `read_results`, for the cells of `distorted_mnist`.
        name: one of `stn_tutorial.experiments.distorted_mnist.TABLES`.
        column: one of ``COLUMNS``.
        row: one of ``ROWS``.

    Returns:
        The errors after the last epoch in percent, one a seed.
    """
    runs = select(of_table(results, name), column=column, row=row).values()
    return [run["test_error"] for run in runs]


def table(results: Results, name: str) -> str:
    """Return a table as Markdown, with the paper's numbers beside ours.

    Args:
        results: of `read_results`, for the cells of `distorted_mnist`.
        name: one of ``TABLES``.

    Returns:
        A line for each row, and for each of the paper's columns one with our errors in
        percent (mean and standard deviation over seeds) and one with the paper's.
        A dash stands for what is not measured.
    """
    head = ["model", *(part for column in COLUMNS for part in (column, "paper"))]
    rows = [
        [
            row,
            *(
                part
                for column in COLUMNS
                for part in _entry(results, name, column, row)
            ),
        ]
        for row in ROWS
    ]
    return markdown_table(head, rows)


def _entry(results: Results, name: str, column: str, row: str) -> tuple[str, str]:
    """Such as ``0.61 ± 0.03`` and ``0.5``: ours, and the paper's."""
    if row not in PAPER[column]:
        return "", ""
    found = errors(results, name, column, row)
    ours = mean_and_spread(found).rpartition(" (")[0] if found else "–"
    return ours, f"{PAPER[column][row]}"


def learning_curve(results: Results) -> str:
    """Return how errors on RTS fall with the length of the training, as Markdown.

    Args:
        results: of `read_results`, for the cells of `distorted_mnist`.

    Returns:
        A line for each length that was measured: epochs, steps, as how many of the
        paper's steps they count, and each network's error. Empty if only the table's
        own length was measured.
    """
    found = _curve(results)
    if len(found) < 2:
        return ""
    rows = []
    for epochs, by_row in found.items():
        steps = epochs * _STEPS
        ours = [
            mean_and_spread(by_row[row]) if row in by_row else "–" for row in _CURVE
        ]
        rows.append([str(epochs), f"{steps:,}", f"{10 * steps:,}", *ours])
    return markdown_table(["epochs", "steps", "as steps of the paper", *_CURVE], rows)


_CURVE = ("CNN", "ST-CNN Aff")
_STEPS = 235  # an epoch of 60,000 digits in batches of 256


def _curve(results: Results) -> dict[int, dict[str, list[float]]]:
    """By the number of epochs, each network's errors."""
    found: dict[int, dict[str, list[float]]] = {}
    for cell, result in select(results, column="RTS").items():
        if cell.recipe.startswith("short") and cell.row in _CURVE:
            place = found.setdefault(RECIPES[cell.recipe].epochs, {})
            place.setdefault(cell.row, []).append(result["test_error"])
    return dict(sorted(found.items()))


def shortcut(results: Results) -> str:
    """Return the errors of the networks that were trained in two ways, as Markdown.

    Args:
        results: of `read_results`, for the cells of `distorted_mnist`.

    Returns:
        A line for each network that was trained as the paper trains and in another way:
        its errors. Empty if there is none.
    """
    rows = []
    for cell, result in select(results, recipe="paper").items():
        for recipe, how in _OTHER_WAYS.items():
            if other := results.get(_in_another_way(cell, recipe)):
                pair = [f"{run['test_error']:.2f}" for run in (result, other)]
                rows.append(
                    [cell.row, cell.column, str(cell.seed), pair[0], how, pair[1]]
                )
    head = ["model", "column", "seed", "as the paper", "in another way", "error"]
    return markdown_table(head, rows, names=3) if rows else ""


_OTHER_WAYS = {
    "short": "a tenth of the steps, ten times as long",
    "plain": "without momentum",
}


def _in_another_way(cell: Cell, recipe: str) -> Cell | None:
    """The cell of the same place under another recipe, if it has the place."""
    known = cell.row in rows_of(recipe, cell.column)
    return replace(cell, recipe=recipe) if known else None


def overview(done: Iterable[Cell], wanted: Iterable[Cell]) -> str:
    """Return what is done and what is missing, as plain text.

    Args:
        done: the cells that have a result.
        wanted: the cells that are to have one.

    Returns:
        A block for each recipe: in each place the seeds that are done, and a dot for
        each that is missing.
    """
    done, wanted = set(done), list(wanted)
    columns = [name for name in COLUMNS if any(c.column == name for c in wanted)]
    lines = []
    for recipe in dict.fromkeys(cell.recipe for cell in wanted):
        lines.append(f"{recipe:12}" + "".join(f"{name:>9}" for name in columns))
        for row in ROWS:
            places = []
            for column in columns:
                place = (recipe, column, row)
                here = [c for c in wanted if (c.recipe, c.column, c.row) == place]
                seeds = " ".join(str(c.seed) if c in done else "·" for c in here)
                places.append(f"{seeds:>9}")
            if any(place.strip() for place in places):
                lines.append(f"{row:12}{''.join(places)}")
        lines.append("")
    missing = sum(cell not in done for cell in wanted)
    return "\n".join([*lines, f"{len(wanted) - missing} done, {missing} missing"])


def draw_against_paper(results: Results) -> Figure:
    """Draw every error beside the paper's, a panel for each column that was measured.

    Args:
        results: of `read_results`, for the cells of `distorted_mnist`.

    Returns:
        The figure. Filled marks: today's recipe; hollow, a little lower: the paper's;
        bars: the paper's numbers, pale on P, whose form we guess. A whisker is the
        standard deviation over seeds.
    """
    measured = {cell.row for cell in results} or set(ROWS)
    bar = {"color": COLORS["ink"], "ms": 13, "mew": 2, "ls": "", "marker": "|"}
    fig, panels = _panels(results, height=0.9 + 0.21 * len(measured))
    for column, ax in panels.items():
        rows = [row for row in PAPER[column] if row in measured]
        for place, row in enumerate(rows):
            ax.plot(PAPER[column][row], place, **bar, **_compared(column))
            for name in TABLES:
                if found := errors(results, name, column, row):
                    spread = statistics.stdev(found) if len(found) > 1 else None
                    look = _mark(row, filled=name == "today")
                    aside = -0.16 if name == "today" else 0.16  # so that none is hidden
                    ax.errorbar(_mean(found), place + aside, xerr=spread, **look)
        ax.set_yticks(range(len(rows)), rows)
        ax.set(xscale="log", ylim=(len(rows) - 0.4, -0.6))
        ax.set_xlim(left=0.45)  # so that 0.5 is marked
    looks = {"paper": bar, "its recipe": _mark("ST-CNN Aff", filled=False)}
    looks |= {"today's": _mark("ST-CNN Aff"), "no transformer": _mark("CNN")}
    return label_panels(fig, "test error (%)", "", looks)


def draw_learning_curve(results: Results) -> Figure:
    """Draw the errors on RTS against the length of the training.

    Args:
        results: of `read_results`, for the cells of `distorted_mnist`.

    Returns:
        The figure: a line for each network, through its mean errors over seeds, and the
        paper's number as a line across.
    """
    found = _curve(results)
    fig, ax = plt.subplots(figsize=(5.2, 3.4))
    for row in _CURVE:
        line = {
            epochs: by_row[row] for epochs, by_row in found.items() if row in by_row
        }
        steps = [10 * _STEPS * epochs for epochs in line]
        ax.plot(
            steps,
            [_mean(e) for e in line.values()],
            label=row,
            **_line(row),
            marker="o",
        )
        ax.axhline(PAPER["RTS"][row], color=_line(row)["color"], lw=1, ls=":")
    ax.set(xscale="log", yscale="log", ylabel="test error (%)")
    ax.set_xlabel("steps, as many of the paper's recipe")
    ax.legend()
    return fig


def draw_against_time(results: Results, name: str) -> Figure:
    """Draw the test error of every epoch against the minutes of training so far.

    Args:
        results: of `read_results`, for the cells of `distorted_mnist`.
        name: one of ``TABLES``.

    Returns:
        The figure, with a panel for each column that was measured and a line for each
        run. Minutes compare if one machine made all results, equally busy.
    """
    here = of_table(results, name)
    fig, panels = _panels(here, height=2.6)
    for cell, result in here.items():
        minutes = accumulate(entry["seconds"] / 60 for entry in result["history"])
        found = [max(entry["test_error"], ERROR_FLOOR) for entry in result["history"]]
        panels[cell.column].plot(list(minutes), found, **_line(cell.row))
        panels[cell.column].set(yscale="log")
    looks = _lines(cell.row for cell in here)
    return label_panels(fig, "minutes of training", "test error (%)", looks)


def draw_against_parameters(
    results: Results, others: Iterable[tuple[Cell, Mapping[str, Any]]], name: str
) -> Figure:
    """Draw errors against the number of parameters.

    Args:
        results: of `read_results`, for the cells of `distorted_mnist`.
        others: of `stn_tutorial.experiments.distorted_mnist.at_other_budgets`; if there
            are any, columns without are left out.
        name: one of ``TABLES``.

    Returns:
        The figure, with a line for each row: the mean over seeds.
    """
    others = [(c, result) for c, result in others if c.recipe in TABLES[name]]
    every = [*others, *of_table(results, name).items()]
    fig, panels = _panels((cell for cell, _ in others or every), height=2.6)
    places: dict[tuple[str, str], dict[float, list[float]]] = {}
    for cell, result in every:
        if cell.column in panels:
            place = places.setdefault((cell.column, cell.row), {})
            thousands = result["parameters"] / 1000
            place.setdefault(thousands, []).append(result["test_error"])
    for (column, row), found in places.items():
        means = [_mean(found[count]) for count in sorted(found)]
        panels[column].plot(sorted(found), means, **(_mark(row) | _line(row)))
    for ax in panels.values():
        low, high = ax.get_xlim()
        ax.set(xscale="log", yscale="log", xlim=(0.8 * max(low, 1), 1.25 * high))
    looks = _lines(row for _, row in places)
    looks = {row: _mark(row) | look for row, look in looks.items()}
    return label_panels(fig, "parameters (thousands)", "test error (%)", looks)


def draw_gains(results: Results) -> Figure:
    """Draw by what factor each transformer changes the error of the plain network.

    Args:
        results: of `read_results`, for the cells of `distorted_mnist`.

    Returns:
        The figure: a panel for each classifier, a place for each column of the table, a
        mark for each family, shaped as in `draw_against_paper`, where the ratio of the
        mean errors over seeds is, and dots, where those of single seeds are. A whisker
        is as wide as the first seed's 95% interval over test digits: both networks are
        tested on the same, and what both misclassify tells nothing.
    """
    fig, axes = plt.subplots(2, 1, figsize=(WIDEST, 5.2), sharex=True)
    bar = {"color": COLORS["ink"], "ms": 11, "mew": 2, "ls": "", "marker": "_"}
    dot = {"color": COLORS["ink"], "ms": 2.5, "ls": "", "marker": "o", "zorder": 3}
    for ax, base in zip(axes, ("FCN", "CNN"), strict=True):
        ax.axhline(1, color=COLORS["faint"])
        for column, row, x in _places(base):
            paper = PAPER[column][row] / PAPER[column][base]
            ax.plot(x, paper, **bar, **_compared(column))
            for name, aside in (("paper", -0.07), ("today", 0.07)):
                if gain := _gain(results, name, column, row):
                    look = _mark(row, filled=name == "today")
                    ends = [[end] for end in gain.whisker]
                    ax.errorbar(x + aside, gain.ratio, yerr=ends, lw=1, **look)
                    if len(gain.each) > 1:
                        ax.plot([x + aside] * len(gain.each), gain.each, **dot)
        ax.set_xticks(range(len(COLUMNS)), COLUMNS)
        ax.set(title=f"ST-{base} over {base}", yscale="log")
        ax.tick_params(labelbottom=True)
    looks = {row.split()[-1]: _mark(row) for _, row, _ in _places("FCN")}
    looks |= {
        "the paper's": bar,
        "ours, paper's recipe": _mark("ST-CNN Aff", filled=False),
    }
    looks |= {"ours, today's recipe": _mark("ST-CNN Aff"), "each of its seeds": dot}
    return label_panels(fig, "", "ratio of the errors", looks)


def _places(base: str) -> Iterator[tuple[str, str, float]]:
    """Where there is a transformer in front of a classifier: column, row, and abscissa,
    the families of a column side by side."""
    for k, column in enumerate(COLUMNS):
        rows = [row for row in PAPER[column] if row.startswith(f"ST-{base}")]
        for i, row in enumerate(rows):
            yield column, row, k + 0.27 * (i - (len(rows) - 1) / 2)


class Gain(NamedTuple):
    """What a transformer changes.

    Attributes:
        ratio: the error with it, over that without; each is the mean over all seeds.
        whisker: how far a 95% interval over test digits reaches below and above the
            ratio; how wide it is tells the first seed.
        each: the ratios of single seeds.
        pair: of the first seed, the digits that the plain network alone misclassifies,
            and those that the other one alone does.
    """

    ratio: float
    whisker: tuple[float, float]
    each: tuple[float, ...]
    pair: Discordant

    @property
    def clear(self) -> bool:
        """Whether the pair passes McNemar's test at 5% over `COMPARISONS`."""
        return self.pair.q < 0.05 / COMPARISONS

    @property
    def lower(self) -> bool:
        """Whether fewer digits of the pair are misclassified with the transformer."""
        return self.pair.better < self.pair.worse


def _gain(results: Results, name: str, column: str, row: str) -> Gain | None:
    """The gain in one place of a table, if both networks were run with a first seed."""
    base = row.split()[0].removeprefix("ST-")
    runs = of_table(results, name)
    ours, plain = (
        {cell.seed: run for cell, run in select(runs, column=column, row=which).items()}
        for which in (row, base)
    )
    firsts = plain.get(0, {}), ours.get(0, {})
    if not all("misclassified" in run for run in firsts):
        return None
    lists = [run["misclassified"] for run in firsts]
    mean, plain_mean = (_mean(errors(results, name, column, at)) for at in (row, base))
    ratio = mean / plain_mean
    pair = mcnemar(*lists)
    # The logarithm of a count x varies by 1/x, that of y by 1/y, and both misclassify m
    # digits: 1/x + 1/y - 2m/(xy), and x + y - 2m are the discordant ones.
    counts = [max(len(each), 1) for each in lists]
    spread = math.exp(1.96 * math.sqrt((pair.worse + pair.better) / math.prod(counts)))
    whisker = (ratio - ratio / spread, ratio * spread - ratio)
    each = tuple(
        _mean([ours[seed]["test_error"]]) / _mean([plain[seed]["test_error"]])
        for seed in sorted(ours.keys() & plain.keys())
    )
    return Gain(ratio, whisker, each, pair)


#: The number of comparisons in both tables, of networks with and without a transformer,
#: and of each larger family with the affine one.
COMPARISONS = len(TABLES) * sum(
    (" " in row) + (row.split()[-1] in ("Proj", "TPS"))
    for column in COLUMNS
    for row in PAPER[column]
)


def gains_table(results: Results) -> str:
    """Return where a transformer helps, as Markdown.

    Args:
        results: of `read_results`, for the cells of `distorted_mnist`.

    Returns:
        A line for each table and classifier: how many of the entries with a transformer
        are measured, in how many its error is lower, its smallest and largest ratio to
        the plain network's, and in how many the first seed passes McNemar's test at 5%
        over `COMPARISONS`, on either side.
    """
    lines = []
    for (name, title), base in product(_TITLES.items(), ("FCN", "CNN")):
        places = [(column, row) for column, row, _ in _places(base)]
        gains = [gain for p in places if (gain := _gain(results, name, *p))]
        line = [title.lower(), base, f"{len(gains)} of {len(places)}"]
        if gains:
            ratios = [gain.ratio for gain in gains]
            clear = [gain.lower for gain in gains if gain.clear]
            line.append(str(sum(ratio < 1 for ratio in ratios)))
            line.append(f"{min(ratios):.2f} to {max(ratios):.2f}")
            line.append(f"{sum(clear)} lower, {len(clear) - sum(clear)} higher")
        lines.append(line + ["–"] * (6 - len(line)))
    head = ["", "in front of", "measured", "error lower", "times the plain error"]
    return markdown_table([*head, "clear"], lines, names=2)


def _mean(found: Sequence[float]) -> float:
    return max(statistics.mean(found), ERROR_FLOOR)


def _panels(cells: Iterable[Cell], height: float) -> tuple[Figure, dict[str, Axes]]:
    """A panel for each of the cells' columns, two in a row; for all without cells."""
    measured = {cell.column for cell in cells} or set(COLUMNS)
    names = [column for column in COLUMNS if column in measured]
    return make_panels(names, height=height)


def _mark(row: str, *, filled: bool = True) -> dict[str, Any]:
    family = ROWS[row][1]
    color = COLORS["output" if family else "ink"]
    inside = color if filled else COLORS["paper"]
    return {"marker": STYLES[family][-1], "color": color, "mfc": inside, "ls": ""}


def _compared(column: str) -> dict[str, Any]:
    """Pale where our distortion may be another than the paper's."""
    return {"alpha": 0.3} if column == "P" else {}


def _line(row: str) -> dict[str, Any]:
    model, family = ROWS[row]
    color = COLORS["output" if family else "ink"]
    return {"color": color, "ls": STYLES[family][:-1], "lw": 2 if "cnn" in model else 1}


def _lines(rows: Iterable[str]) -> dict[str, dict[str, Any]]:
    return {row: _line(row) for row in sorted(set(rows), key=list(ROWS).index)}
