"""The figures of the table show what was measured, beside the paper's numbers."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex

from stn_tutorial import commands as cli
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.course.reports.distorted_mnist import (
    COMPARISONS,
    draw_against_paper,
    draw_against_parameters,
    draw_against_time,
    draw_gains,
    gains_table,
)
from stn_tutorial.experiments.distorted_mnist import (
    COLUMNS,
    PAPER,
    Cell,
    at_other_budgets,
    cells,
)
from stn_tutorial.experiments.results import read_results

RESULTS = Path(__file__).resolve().parent.parent / "results" / "distorted_mnist"
RTS = Cell("today", "RTS", "ST-CNN Aff")


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


def result(error: float, parameters: int = 150_000) -> dict:
    """Of 10,000 digits the first ones are misclassified: those of the best by all."""
    history = [
        {"epoch": k, "test_error": error * factor, "train_error": 1.0, "seconds": 30.0}
        for k, factor in ((1, 8), (2, 2), (3, 1))
    ]
    wrong = list(range(round(100 * error)))
    about = {"misclassified": wrong, "parameters": parameters, "history": history}
    return {"test_error": error, **about}


def measured() -> dict[Cell, dict]:
    found = {replace(RTS, seed=s): result(e) for s, e in enumerate((0.5, 0.7, 0.6))}
    found[Cell("today", "RTS", "CNN")] = result(1.2)
    found[Cell("short", "RTS", "CNN")] = result(2.4)
    found[Cell("today", "clutter", "CNN")] = result(4.0)
    return found


def panels(fig) -> dict:
    return {ax.get_title(): ax for ax in fig.axes}


def points(ax) -> set[tuple[float, float, str, bool]]:
    """Every mark: x, y, its colour, and whether it is filled."""
    return {
        (
            round(float(line.get_xdata()[0]), 6),
            round(float(line.get_ydata()[0]), 6),
            to_hex(line.get_color()).upper(),
            line.get_markerfacecolor() != COLORS["paper"],
        )
        for line in ax.lines
        if len(line.get_xdata()) == 1
    }


def test_errors_stand_beside_the_papers_numbers():
    shown = panels(draw_against_paper(measured()))
    assert list(shown) == ["RTS", "clutter"]
    ax = shown["RTS"]
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows == ["CNN", "ST-CNN Aff"]
    marks = points(ax)
    ink, orange = COLORS["ink"], COLORS["output"]
    assert (1.2, -0.16, ink, True) in marks and (2.4, 0.16, ink, False) in marks
    assert (0.6, 0.84, orange, True) in marks
    for place, row in enumerate(rows):
        assert (PAPER["RTS"][row], place, ink, True) in marks


def test_a_whisker_is_the_spread_over_seeds():
    ax = panels(draw_against_paper(measured()))["RTS"]
    ends = [
        segment[:, 0]
        for collection in ax.collections
        for segment in collection.get_segments()
    ]
    assert len(ends) == 1  # the only place with several seeds
    assert ends[0][1] - ends[0][0] == pytest.approx(
        2 * statistics.stdev((0.5, 0.7, 0.6))
    )


def test_there_is_a_line_for_every_run_over_its_minutes():
    shown = panels(draw_against_time(measured(), "today"))
    assert {name: len(ax.lines) for name, ax in shown.items()} == {
        "RTS": 4,
        "clutter": 1,
    }
    (line,) = shown["clutter"].lines
    assert line.get_xdata() == pytest.approx([0.5, 1.0, 1.5])
    assert line.get_ydata() == pytest.approx([32, 8, 4])
    assert list(panels(draw_against_time(measured(), "paper"))) == ["RTS"]


def test_other_budgets_are_joined_with_the_tables(tmp_path):
    assert at_other_budgets(tmp_path) == []
    (tmp_path / "budgets").mkdir()
    (tmp_path / "budgets" / ".DS_Store").touch()  # a Mac's
    assert at_other_budgets(tmp_path) == []
    budgets = {}
    for path in sorted((RESULTS / "budgets").iterdir()):
        budgets |= {(path.name, c): r for c, r in read_results(path, Cell).items()}
    found = at_other_budgets(RESULTS)
    assert len(found) == len(budgets) == 5
    assert all(budgets[str(r["config"]["budget"]), cell] == r for cell, r in found)
    others = [(RTS, result(60_000 / count, count)) for count in (400_000, 50_000)]
    shown = panels(draw_against_parameters(measured(), others, "today"))
    assert list(shown) == ["RTS"]  # the one column with other budgets
    lines = {len(line.get_xdata()): line for line in shown["RTS"].lines}
    assert lines[3].get_xdata() == pytest.approx([50, 150, 400])
    assert lines[3].get_ydata() == pytest.approx([1.2, 0.6, 0.15])
    assert lines[1].get_ydata() == pytest.approx([1.2])  # the CNN
    alone = panels(draw_against_parameters(measured(), [], "today"))
    assert list(alone) == ["RTS", "clutter"]


def test_a_gain_is_a_ratio_of_errors_and_needs_both():
    full, convolutional = draw_gains(measured()).axes
    # The first seed misclassifies 50 digits, which are among the CNN's 120.
    (whisker,) = convolutional.collections[0].get_segments()
    spread = math.exp(1.96 * math.sqrt(70 / (50 * 120)))
    assert whisker[:, 1] == pytest.approx([0.5 / spread, 0.5 * spread])
    assert len(convolutional.collections) == 1 and not full.collections
    paper = {y for *_, y, color, _ in points(convolutional) if color == COLORS["ink"]}
    expected = {
        round(PAPER[column][row] / PAPER[column]["CNN"], 6)
        for column in COLUMNS
        for row in PAPER[column]
        if row.startswith("ST-CNN")
    }
    assert paper == expected


def test_single_seeds_are_dots_where_both_networks_have_several():
    found = measured()
    found[Cell("today", "RTS", "CNN", seed=1)] = result(0.7)
    _, convolutional = draw_gains(found).axes
    (dots,) = (
        line
        for line in convolutional.lines
        if len(line.get_xdata()) == 2
        and line.get_marker() == "o"
        and line.get_linestyle() == "None"
    )
    assert dots.get_ydata() == pytest.approx([0.5 / 1.2, 1.0])
    found[Cell("today", "RTS", "CNN", seed=2)] = result(1.8)
    del found[replace(RTS, seed=1)]  # pairs are those of a seed
    _, convolutional = draw_gains(found).axes
    assert any(
        list(line.get_ydata()) == pytest.approx([0.5 / 1.2, 0.6 / 1.8])
        for line in convolutional.lines
        if len(line.get_xdata()) == 2
    )


def test_gains_are_counted_by_table_and_classifier():
    found = measured()
    found[Cell("today", "clutter", "ST-CNN Aff")] = result(8.0)
    found[Cell("today", "R", "CNN")] = found[Cell("today", "R", "ST-CNN TPS")] = {
        **result(1.0)
    }
    _, _, *lines = gains_table(found).splitlines()
    told = [[part.strip() for part in line.split("|")[1:-1]] for line in lines]
    today = ["3 of 13", "1", "0.50 to 2.00", "1 lower, 1 higher"]
    assert told[3] == ["as one trains today", "CNN", *today]
    assert told[0] == ["as the paper trains", "FCN", "0 of 13", "–", "–", "–"]


def test_what_is_clear_is_told_by_the_pair_that_was_tested():
    """The first seed's 100 digits to none, whatever other seeds are like."""
    both = Cell("today", "RTS", "CNN"), RTS
    found = dict(zip(both, (result(2.0), result(1.0))))
    others = (replace(cell, seed=1) for cell in both)
    found |= zip(others, (result(1.0), result(9.0)))
    line = gains_table(found).splitlines()[5]
    assert line.endswith("| 1 of 13 | 0 | 3.33 to 3.33 | 1 lower, 0 higher |")


def test_the_comparisons_of_both_tables_are_counted():
    # A table: 26 entries with a transformer, 16 of them of another family than affine.
    assert COMPARISONS == 2 * (26 + 16)


@pytest.mark.parametrize("error", [0.0, 100.0])
def test_extreme_errors_can_be_drawn(error, tmp_path):
    found = {cell: result(error) for cell in cells(seeds=[0])}
    for fig in (
        draw_against_paper(found),
        draw_against_time(found, "today"),
        draw_against_parameters(found, [], "today"),
        draw_gains(found),
    ):
        fig.savefig(tmp_path / "figure.png")


@pytest.mark.parametrize(
    "draw",
    [
        draw_against_paper,
        lambda found: draw_against_time(found, "today"),
        lambda found: draw_against_parameters(found, [], "today"),
        draw_gains,
    ],
)
def test_a_figure_of_nothing_is_a_figure(draw, tmp_path):
    draw({}).savefig(tmp_path / "figure.png")


def test_report_draws_its_figures_into_a_folder(tmp_path, capsys):
    cli.main(["report"])
    without = capsys.readouterr().out
    figures = tmp_path / "a" / "figures"
    cli.main(["report", "--figures", str(figures)])
    assert capsys.readouterr().out == without
    kinds = ("against_time", "against_parameters")
    measured = {"today"} | ({"paper"} if list(RESULTS.glob("paper-*")) else set())
    expected = {f"{name}_{kind}" for name in measured for kind in kinds}
    assert {path.stem for path in figures.iterdir()} == expected | {
        "against_paper",
        "gains",
    }
    assert not plt.get_fignums()


@pytest.mark.parametrize("errors", [(90.1, 89.7), (0.5, 0.9), (0.4, 60.0)])
def test_every_error_axis_has_ticks(errors):
    rows = ("CNN", "ST-CNN Aff")
    found = {
        Cell("today", "R", row): result(error)
        for row, error in zip(rows, errors, strict=True)
    }
    for fig, axis in (
        (draw_against_paper(found), "x"),
        (draw_against_parameters(found, [], "today"), "y"),
    ):
        (ax,) = fig.axes
        low, high = getattr(ax, f"get_{axis}lim")()
        ticks = getattr(ax, f"get_{axis}ticks")()
        assert sum(low <= tick <= high for tick in ticks) >= 2
