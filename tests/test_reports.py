"""Reports: what is printed of results, and that damaged ones are told by name."""

from __future__ import annotations

import doctest
import json
import shutil
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from command_line import call
from scipy.stats import binomtest

from stn_tutorial.course import reports
from stn_tutorial.course.reports.coordconv_stn import (
    difference_table,
    draw_convergence,
    draw_differences,
    error_table,
    pose_table,
)
from stn_tutorial.experiments.coordconv_stn import COLUMNS, Cell

RESULTS = Path(__file__).resolve().parent.parent / "results"
FOLDERS = {
    "table": "distorted_mnist",
    "coordconv": "coordconv",
    "coordconv-stn": "coordconv_stn",
    "volumes": "volumes",
    "addition": "addition",
    "colocalization": "colocalization",
    "signs": "signs",
    "birds": "birds",
    "successors": "after_2015",
}


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


def test_the_examples_of_the_docstrings_are_right():
    assert doctest.testmod(reports).failed == 0


def test_the_interval_is_wilsons_and_holds_the_share():
    for hits, count in ((0, 5), (7, 20), (13, 13), (550, 10_000), (1000, 1000)):
        expected = binomtest(hits, count).proportion_ci(method="wilson")
        low, high = reports.interval(hits, count)
        assert (low, high) == pytest.approx(
            (100 * expected.low, 100 * expected.high), abs=1e-9
        )
        assert 0 <= low <= 100 * hits / count <= high <= 100


def test_mcnemar_is_the_exact_binomial_test():
    for wrong, others in (
        ((1, 2, 3, 9), (9, 10)),
        (range(40), range(25, 50)),
        (range(3000), range(1400, 4500)),
        ((1, 2), (1, 2)),
        ((), ()),
    ):
        worse, better, q = reports.mcnemar(wrong, others)
        assert worse == len({*wrong} - {*others})
        assert better == len({*others} - {*wrong})
        n = worse + better
        assert q == pytest.approx(binomtest(worse, n).pvalue if n else 1.0, rel=1e-9)


# ------------------------------------------------------------------------- the command


@pytest.mark.parametrize("which", FOLDERS)
def test_the_committed_tables_are_what_the_report_prints(
    which, tmp_path, monkeypatch, capsys
):
    """In an empty folder, too."""
    monkeypatch.chdir(tmp_path)
    assert call("report", which) == 0
    path = RESULTS / FOLDERS[which] / "table.md"
    assert capsys.readouterr().out == path.read_text(encoding="utf-8")


def test_a_report_is_of_the_results_here_if_there_are_any(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results" / "distorted_mnist"
    folder.mkdir(parents=True)
    shutil.copy(RESULTS / "distorted_mnist" / "today-R-cnn-0.json", folder)
    assert call("report") == 0
    assert capsys.readouterr().out.count("\n| CNN | 1.02 | 1.2 |") == 1


@pytest.mark.parametrize("which", FOLDERS)
def test_a_folder_without_results_is_an_error(which, tmp_path, capsys):
    for folder, said in ((tmp_path / "missing", "there is no"), (tmp_path, "holds no")):
        assert call("report", which, "--folder", str(folder)) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1
        assert said in err and str(folder) in err


@pytest.mark.parametrize("which", ["signs", "birds", "addition"])
def test_of_trials_alone_their_table_is_printed(which, tmp_path, capsys):
    trials = tmp_path / "validation"
    trials.mkdir()
    options = "--folder", str(tmp_path), "--figures", str(tmp_path / "figures")
    assert call("report", which, *options) == 2
    assert "holds no results" in capsys.readouterr().err
    shutil.copytree(RESULTS / which / "validation", trials, dirs_exist_ok=True)
    assert call("report", which, *options) == 0
    out = capsys.readouterr().out
    assert out.startswith("| held")
    whole = (RESULTS / which / "table.md").read_text(encoding="utf-8")
    assert whole.endswith(f"\n\n{out}")
    assert not list(tmp_path.glob("figures/*"))


def test_what_a_file_says_does_not_become_a_path(tmp_path, capsys):
    source = RESULTS / "distorted_mnist" / "today-R-cnn-0.json"
    result = json.loads(source.read_text(encoding="utf-8"))
    result["cell"]["recipe"] = "../../evil"
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / source.name).write_text(json.dumps(result))
    figures = ["--figures", str(inner / "figures")]
    assert call("report", "--folder", str(inner), *figures) == 2
    out, err = capsys.readouterr()
    assert out == "" and source.name in err
    assert "recipe must be 'paper', 'short'," in err and "got '../../evil'" in err
    assert {path.name for path in tmp_path.rglob("*")} == {"a", "b", source.name}


# ------------------------------------------------------- coordinates in transformers


def made_up() -> dict[Cell, dict]:
    found = {}
    for seed in range(3):
        for name, error in (("plain", 2.0), ("first", 1.0), ("pooled", 9.0)):
            error += 0.1 * seed
            entry = {"epoch": 1, "test_error": error}
            pose = {"angle_deg": error, "scale_percent": 2.0, "shift_px": 3.0}
            found[Cell("R", name, seed)] = {
                "test_error": error,
                "history": [{**entry, "test_error": 50.0}, entry],
                "poses": {"as_they_come": pose, "passed_on": pose},
            }
    return found


def test_the_tables_of_transformers_have_means_differences_and_poses():
    errors = error_table(made_up()).splitlines()
    assert errors[2].startswith("| plain | – | 2.10 ± 0.10 (3) | – |")
    changes = difference_table(made_up()).splitlines()
    assert changes[0] == "| distortion | first |"  # nothing to compare "pooled" with
    assert changes[2:] == ["| R | -1.00 [-1.00, -1.00] helps |"]
    early = difference_table(made_up(), epoch=1).splitlines()[2]
    assert "+0.00 [+0.00, +0.00] undecided" in early
    poses = pose_table(made_up()).splitlines()[2:]
    assert [line.split(" | ")[1] for line in poses] == [
        *("(as they come)", "plain", "first", "pooled")
    ]


def test_figures_of_transformers_draw_what_there_is():
    figure = draw_convergence(made_up())
    assert [ax.get_title() for ax in figure.axes] == list(COLUMNS)
    drawn = [len(ax.lines) for ax in figure.axes]
    assert drawn[1] > drawn[0]  # R was measured
    (ax,) = draw_differences(made_up()).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == list(COLUMNS)
    assert len(ax.containers) == 1  # the bar of the one arrangement, on R


def test_the_control_is_in_the_table_and_not_in_the_figure():
    found = made_up()
    found |= {
        replace(cell, arrangement="pooled-first"): result
        for cell, result in found.items()
        if cell.arrangement == "first"
    }
    (line,) = difference_table(found).splitlines()[2:]
    assert line == "| R | -1.00 [-1.00, -1.00] helps | -8.00 [-8.00, -8.00] helps |"
    (ax,) = draw_differences(found).axes
    assert len(ax.containers) == 1  # one bar, of first
