"""The table as independent runs: named, shared out, resumed, and reported."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import save_file

from stn_tutorial import commands as cli
from stn_tutorial.course.reports.distorted_mnist import (
    at_other_budgets,
    errors,
    overview,
    table,
)
from stn_tutorial.experiments.distorted_digits import Config, make_model
from stn_tutorial.experiments.distorted_mnist import (
    BUDGET,
    COLUMNS,
    PAPER,
    RECIPES,
    Cell,
    cells,
    load_weights,
    results,
)
from stn_tutorial.experiments.models import (
    ModernCNN,
    TransformedClassifier,
    count_parameters,
)
from stn_tutorial.experiments.results import select
from stn_tutorial.experiments.sharing import work

FEW = [Cell("paper", "R", "FCN"), Cell("today", "R", "ST-FCN Aff")]
pytestmark = pytest.mark.usefixtures("one_core")


def quick(*some: Cell, **options) -> dict[Cell, Config]:
    return {cell: cell.config(quick=True, **options) for cell in some}


# ------------------------------------------------------------------------------ cells


def test_the_table_has_the_papers_rows_and_columns_three_times_for_each_recipe():
    every = cells()
    assert len(every) == len(set(every)) == 2 * 3 * (8 * 4 + 4)
    assert len({cell.name for cell in every}) == len(every)
    assert {cell.row for cell in every if cell.column == "clutter"} == {
        *("FCN", "CNN", "ST-FCN Aff", "ST-CNN Aff")
    }


def test_a_part_of_the_table_can_be_asked_for():
    part = cells(recipes=["today"], columns=["E", "R"], rows=["CNN"], seeds=[7])
    assert [cell.name for cell in part] == ["today-E-cnn-7", "today-R-cnn-7"]


@pytest.mark.parametrize(
    ("argument", "name"), [("recipes", "mine"), ("columns", "RST"), ("rows", "cnn")]
)
def test_an_unknown_name_is_refused(argument, name):
    with pytest.raises(ValueError, match=rf"^{argument} must be of .*, got '{name}'"):
        cells(**{argument: [name]})


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_models_of_a_column_have_the_same_number_of_parameters(recipe, column):
    counts = {
        cell.name: count_parameters(make_model(cell.config()))
        for cell in cells(recipes=[recipe], columns=[column], seeds=[0])
    }
    print(counts)
    assert max(counts.values()) <= 1.05 * min(counts.values())
    assert all(count == pytest.approx(BUDGET, rel=0.05) for count in counts.values())


def test_recipes_differ_as_they_say():
    paper, today = (Cell(name, "RTS", "ST-CNN Aff", 2).config() for name in RECIPES)
    assert paper.recipe.optimizer == "sgd" and paper.recipe.schedule == "step"
    assert today.recipe.optimizer == "adamw" and today.recipe.schedule == "one-cycle"
    assert paper.recipe.epochs < today.recipe.epochs
    assert paper.recipe.seed == today.recipe.seed == 2
    assert paper.budget == today.budget and paper.out_size == today.out_size == 28
    modern = make_model(today)
    assert isinstance(modern, TransformedClassifier)
    assert isinstance(modern.classifier, ModernCNN)


def test_no_cell_is_tested_on_what_its_recipe_was_chosen_on():
    assert all(cell.config().validation == 0 for cell in cells())
    assert all(cell.config().data == "mnist" for cell in cells())


# ------------------------------------------------------------------------------- work


def test_work_leaves_a_result_a_cell_and_runs_none_twice(tmp_path):
    work(quick(*FEW), tmp_path, tmp_path / "runs", progress=False)
    found = results(tmp_path)
    assert set(found) == set(FEW)
    for cell, result in found.items():
        assert result["config"]["distortion"] == cell.column
        assert result["data"]["source"] == "embedded"
        assert len(result["history"]) == 2
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    work(quick(*FEW), tmp_path, tmp_path / "runs", progress=False)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")} == before


def test_the_bar_reaches_its_end_whatever_was_done_before(tmp_path, capsys):
    for part in (FEW[:1], FEW):
        work(quick(*part), tmp_path, tmp_path / "runs")
        said = capsys.readouterr()
        assert "100%" in said.err.split("\r")[-1]
        assert said.out.startswith(f"{part[-1].name}: ")


def test_without_progress_it_says_nothing(tmp_path, capsys):
    work(quick(FEW[0]), tmp_path, tmp_path / "runs", progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_cell_that_another_process_is_at_is_left_to_it(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    with FileLock(runs / f"{FEW[0].name}.lock"):
        work(quick(*FEW), tmp_path, runs, progress=False)
    assert set(results(tmp_path)) == {FEW[1]}
    work(quick(*FEW), tmp_path, runs, progress=False)
    assert set(results(tmp_path)) == set(FEW)


def test_two_workers_share_the_work_and_find_what_one_finds(tmp_path):
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        work(quick(*FEW), folder, folder / "runs", workers=workers, progress=False)
    one, two = (results(tmp_path / name) for name in "12")
    assert set(one) == set(two) == set(FEW)
    for cell in FEW:
        assert one[cell]["misclassified"] == two[cell]["misclassified"]
        assert one[cell]["history"][-1]["loss"] == two[cell]["history"][-1]["loss"]


def test_compiling_is_recorded_in_the_result(tmp_path, monkeypatch):
    seen = []

    def run(config, folder, **options):
        seen.append(config.recipe.compiled)
        return None, {"test_error": 1.0}

    monkeypatch.setattr("stn_tutorial.experiments.sharing.run", run)
    for compiled in (False, True):
        folder = tmp_path / str(compiled)
        todo = quick(FEW[0], compiled=compiled)
        work(todo, folder, folder / "runs", progress=False)
    assert seen == [False, True]


KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from stn_tutorial.experiments.distorted_mnist import Cell
from stn_tutorial.experiments.sharing import work

torch.set_num_threads(1)
cell = Cell("today", "R", "ST-CNN Aff")
config = cell.config(quick=True)
config = replace(config, recipe=replace(config.recipe, epochs=6))
folder = Path(sys.argv[1])
work({cell: config}, folder, folder / "runs", progress=False)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_kill_loses_at_most_the_epoch_it_hits(tmp_path):
    def start(folder: Path) -> subprocess.Popen:
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-c", KILLED, str(folder)]
        return subprocess.Popen(command, env=environment)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait(600) == 0
    process = start(killed)
    name = Cell("today", "R", "ST-CNN Aff").name
    checkpoint = killed / "runs" / name / "checkpoint.safetensors"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert start(killed).wait(600) == 0
    (expected,), (found,) = (results(f).values() for f in (whole, killed))

    def measured(result: dict) -> list:
        return [
            {k: v for k, v in row.items() if k != "seconds"}
            for row in result["history"]
        ]

    assert measured(found) == measured(expected)


# ---------------------------------------------------------------------------- weights


def saved(cell: Cell, folder: Path, name: str | None = None) -> torch.nn.Module:
    """Keep the weights of a cell's model, moved away from their start."""
    model = make_model(cell.config())
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor += 1
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    save_file(state, folder / f"{name or cell.name}.safetensors")
    return model.eval()


@pytest.mark.parametrize(
    "cell",
    [
        Cell("today", "RTS", "ST-CNN Aff"),
        Cell("paper", "E", "ST-FCN TPS", 2),
        Cell("today", "clutter", "CNN", 1),
    ],
    ids=lambda cell: cell.name,
)
def test_the_weights_of_a_cell_come_back_to_the_bit(cell, tmp_path):
    model = saved(cell, tmp_path)
    loaded = load_weights(cell, tmp_path)
    assert not loaded.training
    assert list(loaded.state_dict()) == list(model.state_dict())
    for ours, theirs in zip(
        loaded.state_dict().values(), model.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_weights_that_are_not_there_or_do_not_fit_are_refused(tmp_path):
    cell, other = Cell("today", "R", "FCN"), Cell("today", "RTS", "CNN")
    with pytest.raises(ValueError, match=r"^folder must hold the weights of today-R"):
        load_weights(cell, tmp_path)
    saved(other, tmp_path, name=cell.name)
    with pytest.raises(ValueError, match="does not fit today-R-fcn-0"):
        load_weights(cell, tmp_path)
    (tmp_path / f"{cell.name}.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="does not fit today-R-fcn-0"):
        load_weights(cell, tmp_path)


# ----------------------------------------------------------------------------- report


def made_up() -> dict[Cell, dict]:
    """Three seeds of one place, and one of another."""
    place = Cell("today", "RTS", "ST-CNN Aff")
    found = {
        replace(place, seed=seed): {"test_error": error}
        for seed, error in enumerate((0.5, 0.7, 0.6))
    }
    found[Cell("today", "clutter", "CNN")] = {"test_error": 4.0}
    found[Cell("paper", "RTS", "ST-CNN Aff")] = {"test_error": 9.0}
    return found


def test_errors_are_those_of_one_place_and_recipe():
    assert errors(made_up(), "today", "RTS", "ST-CNN Aff") == [0.5, 0.7, 0.6]
    assert errors(made_up(), "paper", "RTS", "ST-CNN Aff") == [9.0]
    assert errors(made_up(), "paper", "R", "CNN") == []


def test_results_are_selected_by_their_cells_in_the_order_of_seeds():
    found = dict(reversed(made_up().items()))
    chosen = select(found, recipe="today", column="RTS", row="ST-CNN Aff")
    assert [cell.seed for cell in chosen] == [0, 1, 2]
    assert all(chosen[cell] is found[cell] for cell in chosen)
    assert select(found) == found
    assert select(found, column="nowhere") == {}


def test_the_table_has_mean_spread_and_seeds_beside_the_papers_number():
    header, rule, cnn, st_cnn = table(made_up(), "today").splitlines()
    assert header.split(" | ")[1:-1] == list(COLUMNS)[:-1]
    assert cnn.startswith("| CNN |") and cnn.endswith("| 4.00 (1); 3.5 |")
    spread = statistics.stdev([0.5, 0.7, 0.6])
    assert f"| 0.60 ± {spread:.2f} (3); {PAPER['RTS']['ST-CNN Aff']} |" in st_cnn
    assert "| –; 0.7 |" in st_cnn  # R, which is missing
    assert "9.00" not in st_cnn


def test_places_that_the_paper_lacks_stay_empty():
    found = {Cell("today", "R", "ST-CNN TPS"): {"test_error": 1.0}}
    assert table(found, "today").splitlines()[-1].endswith("|  |")


def test_the_overview_shows_seeds_and_dots():
    wanted = cells(recipes=["today"], columns=["RTS", "clutter"])
    text = overview(made_up(), wanted)
    lines = {line[:12].strip(): line[12:].split() for line in text.splitlines()}
    assert lines["ST-CNN Aff"] == ["0", "1", "2", "·", "·", "·"]
    assert lines["CNN"] == ["·", "·", "·", "0", "·", "·"]
    assert text.splitlines()[-1] == "4 done, 32 missing"


# ----------------------------------------------------------------------- command line


def call(*arguments: str) -> int:
    try:
        cli.main(arguments)
    except SystemExit as stop:
        return stop.code
    return 0


def test_a_miniature_of_the_whole_grid(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("table", "--quick", "--seeds", "0") == 0
    assert capsys.readouterr().out.endswith("72 done, 0 missing\n")
    assert call("table", "--quick", "--seeds", "0", "--list") == 0
    out = capsys.readouterr().out
    assert "·" not in out and out.endswith("72 done, 0 missing\n")
    folder = tmp_path / "runs" / "quick" / "results"
    assert len(list(folder.glob("*.json"))) == 72
    assert not (tmp_path / "results").exists()
    assert call("report", "--folder", str(folder)) == 0
    out = capsys.readouterr().out
    assert out.count("\n| ST-CNN TPS |") == 2 and "–" not in out


def test_another_budget_is_kept_beside_the_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    part = "--recipes paper --columns R --rows CNN --seeds 0".split()
    assert call("table", "--quick", "--budget", "60000", *part) == 0
    folder = tmp_path / "runs" / "quick" / "results"
    assert results(folder) == {}
    ((cell, result),) = at_other_budgets(folder)
    assert cell == Cell("paper", "R", "CNN", 0)
    assert result["config"]["budget"] == 60_000
    assert result["parameters"] == pytest.approx(60_000, rel=0.05)


def test_listing_runs_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("table", "--list", "--rows", "CNN", "ST-CNN Aff", "--seeds", "0") == 0
    assert capsys.readouterr().out.endswith("0 done, 20 missing\n")
    assert not list(tmp_path.iterdir())


def test_a_wrong_row_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("table", "--rows", "ResNet") == 2
    err = capsys.readouterr().err
    assert err.startswith("error: rows must be of") and err.count("\n") == 1


ROOT = Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "results" / "distorted_mnist"


def test_committed_results_are_whole_runs_of_their_cells():
    for cell, result in results(COMMITTED).items():
        config = result["config"]
        assert config["recipe"]["seed"] == cell.seed
        assert len(result["history"]) == config["recipe"]["epochs"]
        assert result["data"]["source"] == "mnist"
        assert result["data"]["train"]["digits"] == 60_000
        assert result["data"]["test"]["split"] == "test"
        assert result["test_error"] == result["history"][-1]["test_error"]


@pytest.mark.skipif(not COMMITTED.exists(), reason="no results are committed")
def test_the_committed_table_is_what_the_report_prints(capsys):
    assert call("report", "--folder", str(COMMITTED)) == 0
    expected = (COMMITTED / "table.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out == expected
