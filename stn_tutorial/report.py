"""The table of distorted MNIST, from the result files."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from stn_tutorial.experiments.distorted_mnist import COLUMNS, PAPER, ROWS, Cell

__all__ = ["errors", "overview", "table"]

Results = Mapping[Cell, Mapping[str, Any]]


def errors(results: Results, recipe: str, column: str, row: str) -> list[float]:
    """Return the test errors of one place of the table.

    Args:
        results: of `stn_tutorial.experiments.distorted_mnist.results`.
        recipe: one of its ``RECIPES``.
        column: one of its ``COLUMNS``.
        row: one of its ``ROWS``.

    Returns:
        The errors after the last epoch in percent, one a seed.
    """
    place = (recipe, column, row)
    return [
        result["test_error"]
        for cell, result in sorted(results.items(), key=lambda item: item[0].seed)
        if (cell.recipe, cell.column, cell.row) == place
    ]


def table(results: Results, recipe: str) -> str:
    """Return one recipe's table as Markdown, with the paper's numbers beside ours.

    Args:
        results: of `stn_tutorial.experiments.distorted_mnist.results`.
        recipe: one of its ``RECIPES``.

    Returns:
        A line for each row that was measured. Each place holds the mean error in
        percent, its standard deviation and the number of seeds; then the paper's error.
    """
    measured = {(cell.row, cell.recipe) for cell in results}
    lines = [["model", *COLUMNS], ["---", *("---:" for _ in COLUMNS)]]
    for row in ROWS:
        if (row, recipe) in measured:
            places = (_place(results, recipe, column, row) for column in COLUMNS)
            lines.append([row, *places])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _place(results: Results, recipe: str, column: str, row: str) -> str:
    """Such as ``0.61 ± 0.03 (3); 0.5``: ours, and the paper's."""
    if row not in PAPER[column]:
        return ""
    found = errors(results, recipe, column, row)
    spread = f" ± {statistics.stdev(found):.2f}" if len(found) > 1 else ""
    ours = f"{statistics.mean(found):.2f}{spread} ({len(found)})" if found else "–"
    return f"{ours}; {PAPER[column][row]}"


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
                here = [
                    c
                    for c in wanted
                    if (c.recipe, c.column, c.row) == (recipe, column, row)
                ]
                seeds = " ".join(str(c.seed) if c in done else "·" for c in here)
                places.append(f"{seeds:>9}")
            if any(place.strip() for place in places):
                lines.append(f"{row:12}{''.join(places)}")
        lines.append("")
    missing = sum(cell not in done for cell in wanted)
    return "\n".join([*lines, f"{len(wanted) - missing} done, {missing} missing"])
