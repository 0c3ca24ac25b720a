"""From result files to the tables and figures of the book, one module a table.

Each module has a `report`: from a folder to the text that the command of that name
prints, and the figures that it draws.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

__all__ = ["markdown_table", "mean_and_spread"]


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
