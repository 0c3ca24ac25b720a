"""From result files to the tables and figures of the book, one module a table.

Each module has a `report`, most a `Report`: from a folder to the text that the command
of that name prints, and the figures that it draws.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from stn_tutorial.course.plotting import COLORS
from stn_tutorial.experiments.results import AnyCell, Cell, read_results, select

__all__ = [
    "Discordant",
    "Report",
    "draw_runs",
    "in_a_line",
    "interval",
    "markdown_table",
    "mcnemar",
    "mean_and_spread",
    "runs_of",
    "tables_of",
]

Results = Mapping[Any, Mapping[str, Any]]


@dataclass(frozen=True)
class Report:
    """What is shown of the results of a table: called with their folder, it is made.

    Attributes:
        cell: the class of the table's cells.
        what: the results are of, for the error when there are none.
        tables: from the results to Markdown, in the order in which they are printed.
        figures: from the results to a figure, by the name of its file.
        trials: from the trials in the folder ``validation`` to Markdown, if there are
            such.
    """

    cell: type[Cell]
    what: str
    tables: Sequence[Callable[[Results], str]]
    figures: Mapping[str, Callable[[Results], Figure]]
    trials: Callable[[Results], str] | None = None

    def __call__(self, folder: Path) -> tuple[str, dict[str, Callable[[], Figure]]]:
        """Return the tables of some results, and what draws their figures.

        Args:
            folder: of the results.

        Returns:
            The text, and by the name of its file what draws each figure; of trials
            alone none is drawn.

        Raises:
            FileNotFoundError: if there is no such folder.
            ValueError: if it holds no results, or a damaged one.
        """
        text, found = tables_of(folder, self.cell, self.what, self.tables, self.trials)
        figures = self.figures if found else {}
        return text, {name: partial(draw, found) for name, draw in figures.items()}


def tables_of(
    folder: Path,
    cell: type[AnyCell],
    what: str,
    tables: Iterable[Callable[[Any], str]],
    trial_table: Callable[[Any], str] | None = None,
    trial_cell: type[Cell] | None = None,
) -> tuple[str, dict[AnyCell, dict[str, Any]]]:
    """Return the tables of some results, and that of the trials beside them.

    Args:
        folder: of the results; those of trials are in ``validation`` below it.
        cell: the class of the cells.
        what: the results are of, for the error when there are none.
        tables: from the results to Markdown; empty ones are left out.
        trial_table: from the trials to a table, likewise, if the report has one.
        trial_cell: the class of the trials' cells; by default that of the results.

    Returns:
        The tables, one below the other, and the result of each cell; none if there are
        trials alone.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds neither results nor trials, or a damaged one.
    """
    found = read_results(folder, cell)
    trials, tried = Path(folder) / "validation", {}
    if trial_table and trials.is_dir():
        tried = read_results(trials, trial_cell or cell)
    if not found and not tried:
        raise ValueError(f"{folder} holds no results of {what}")
    made = [table(found) for table in tables] if found else []
    if tried:
        made.append(trial_table(tried))
    return "\n".join(table for table in made if table), found


def runs_of(found: Results, **wanted: Any) -> list[Mapping[str, Any]]:
    """Return the results of some cells, without the cells.

    Args:
        found: of `stn_tutorial.experiments.results.read_results`.
        wanted: what the cells' attributes are to be.

    Returns:
        The results, in the order of their seeds.
    """
    return list(select(found, **wanted).values())


def markdown_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, names: int = 1
) -> str:
    """Return a table as Markdown.

    >>> print(markdown_table(["model", "error"], [["FCN", "2.1"], ["CNN", "1.2"]]))
    | model | error |
    | --- | ---: |
    | FCN | 2.1 |
    | CNN | 1.2 |
    <BLANKLINE>

    Args:
        head: the columns' names.
        rows: of the table, below the head.
        names: how many columns, from the left, hold names; numbers stand to the right.

    Returns:
        The lines of the table, each with a line break.
    """
    rule = ["---"] * names + ["---:"] * (len(head) - names)
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *rows))


def mean_and_spread(values: Sequence[float], *, digits: int = 2) -> str:
    """Return a mean, the standard deviation if there is one, and how many values.

    >>> mean_and_spread([0.5, 0.7, 0.6]), mean_and_spread([4], digits=1)
    ('0.60 ± 0.10 (3)', '4.0 (1)')

    Args:
        values: one a seed.
        digits: behind the point.

    Returns:
        A text such as those above.
    """
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread} ({len(values)})"


def in_a_line(text: str) -> str:
    """Return a text with spaces that no line ends at, for a narrow column.

    >>> in_a_line("0.60 ± 0.10 (3)").split(" ")
    ['0.60\xa0±\xa00.10\xa0(3)']

    Args:
        text: such as that of `mean_and_spread`.

    Returns:
        The same to read.
    """
    return text.replace(" ", "\u00a0")


def interval(hits: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95% confidence interval of a share, in percent.

    >>> [round(end, 1) for end in interval(58, 1000)]
    [4.5, 7.4]

    Args:
        hits: how many pictures are so, such as misclassified; over seeds, their mean.
        count: of how many.

    Returns:
        Its ends, within 0 and 100.
    """
    z = statistics.NormalDist().inv_cdf(0.975)
    share, z2 = hits / count, z * z / count
    middle = (share + z2 / 2) / (1 + z2)
    half = z * math.sqrt(share * (1 - share) / count + z2 / (4 * count)) / (1 + z2)
    # At either end, rounding would leave the share itself outside.
    low, high = min(share, middle - half), max(share, middle + half)
    return 100 * max(0.0, low), 100 * min(1.0, high)


class Discordant(NamedTuple):
    """Test pictures that tell two networks apart.

    Attributes:
        worse: how many the one alone misclassifies.
        better: how many the other alone does.
        q: of McNemar's exact test, how probable a division at least as uneven is if the
            two are as good as one another and the pictures independent.
    """

    worse: int
    better: int
    q: float


def mcnemar(wrong: Collection[int], others: Collection[int]) -> Discordant:
    """Compare two networks on the same pictures by McNemar's exact test.

    >>> mcnemar([1, 2, 3, 4, 5, 6], [6, 7])
    Discordant(worse=5, better=1, q=0.21875)

    Args:
        wrong: which pictures one network misclassifies.
        others: which the other one does.

    Returns:
        What tells them apart. Its `q` is twice the chance that of so many tosses of a
        coin as few heads come or fewer, and 1 at most.
    """
    b, c = len({*wrong} - {*others}), len({*others} - {*wrong})
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1))
    return Discordant(b, c, min(1.0, 2 * tail / 2 ** (b + c)))


def draw_runs(
    errors: Mapping[str, Sequence[float]],
    color_of: Callable[[str], str],
    label: str,
    *,
    row: float = 0.3,
) -> Figure:
    """Draw the errors of all runs, those of an arm in a row.

    Args:
        errors: in percent, of the runs of each arm; or accuracies.
        color_of: from an arm to the name of its color in `plotting.COLORS`: output for
            those with a transformer, ink for the others.
        label: of the axis of errors.
        row: height of a row, in inches.

    Returns:
        The figure: a row for each arm, from the top, and a mark for each run.
    """
    fig, ax = plt.subplots(figsize=(6.2, 1.1 + row * len(errors)))
    for place, (arm, each) in enumerate(errors.items()):
        ax.plot(each, [place] * len(each), "o", color=COLORS[color_of(arm)])
    ax.set_yticks(range(len(errors)), list(errors))
    ax.invert_yaxis()
    ax.set_xlabel(label)
    return fig
