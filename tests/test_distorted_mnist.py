"""The table as independent runs: named, shared out, resumed, and reported."""

from __future__ import annotations

import statistics
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stn_tutorial import commands as cli
from stn_tutorial.course.reports.distorted_mnist import errors, overview, table
from stn_tutorial.experiments.distorted_digits import make_model
from stn_tutorial.experiments.distorted_mnist import (
    BUDGET,
    COLUMNS,
    PAPER,
    RECIPES,
    ROWS,
    Cell,
    at_other_budgets,
    cells,
    load_weights,
)
from stn_tutorial.experiments.models import (
    ModernCNN,
    TransformedClassifier,
    count_parameters,
)
from stn_tutorial.experiments.results import read_results, result_file, select
from stn_tutorial.experiments.sharing import FailedRuns, work

FCN = Cell("paper", "R", "FCN")
pytestmark = pytest.mark.usefixtures("one_core")


def call(*arguments: str) -> int:
    try:
        cli.main(arguments)
    except SystemExit as stop:
        return stop.code
    return 0


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
    with pytest.raises(ValueError, match=rf"^{argument} must be .*, got '{name}'"):
        cells(**{argument: [name]})


@pytest.mark.parametrize(
    "what",
    [
        {"recipe": "../../evil"},
        {"column": "RST"},
        {"row": "../FCN"},
        {"column": "clutter", "row": "ST-CNN TPS"},  # the paper has none
        {"seed": -1},
        {"seed": 1.0},
        {"seed": True},
        {"seed": "0/../.."},
    ],
)
def test_a_cell_that_the_table_lacks_is_refused(what):
    said = rf"^{list(what)[-1]} must be .*, got"
    with pytest.raises((TypeError, ValueError), match=said):
        replace(FCN, **what)


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


def test_a_measured_cell_leaves_its_result_and_its_checkpoint(tmp_path):
    work([FCN], tmp_path, tmp_path / "runs", quick=True, progress=False)
    (result,) = read_results(tmp_path, Cell).values()
    assert result["config"] == asdict(FCN.config(quick=True))
    assert result["data"]["source"] == "embedded"
    assert len(result["history"]) == 2 and "misclassified" in result
    assert (tmp_path / "runs" / FCN.name / "checkpoint.safetensors").exists()


def test_options_of_the_cells_are_in_their_results(tmp_path, monkeypatch):
    seen = []

    def run(config, folder, **options):
        seen.append((config.recipe.compiled, config.budget))
        raise ValueError("enough")

    monkeypatch.setattr("stn_tutorial.experiments.distorted_mnist.run", run)
    for options in ({}, {"compiled": True, "budget": 60_000}):
        with pytest.raises(FailedRuns):
            work([FCN], tmp_path, tmp_path, progress=False, **options)
    assert seen == [(False, BUDGET), (True, 60_000)]


def test_a_miniature_of_every_row_and_column(tmp_path, capsys):
    columns = "R", "RTS", "clutter", "P", "E", "clutter", "R", "RTS"
    recipes = ("paper", "today") * 4
    few = [Cell(*names) for names in zip(recipes, columns, ROWS, strict=True)]
    assert {cell.column for cell in few} == set(COLUMNS)
    work(few, tmp_path, tmp_path / "runs", quick=True, progress=False)
    assert set(read_results(tmp_path, Cell)) == set(few)
    assert call("report", "--folder", str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert all(f"\n| {row} |" in out for row in ROWS)


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


def test_the_command_runs_what_is_missing_and_lists_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    part = "--recipes paper --columns R --rows FCN --seeds 0".split()
    assert call("table", "--quick", *part, "--list") == 0
    assert capsys.readouterr().out.endswith("0 done, 1 missing\n")
    assert call("table", "--quick", *part) == 0
    assert capsys.readouterr().out.endswith("1 done, 0 missing\n")
    assert call("table", "--quick", *part, "--list") == 0
    assert "·" not in capsys.readouterr().out
    path = result_file(tmp_path / "runs" / "quick" / "results", FCN)
    assert path.exists() and not (tmp_path / "results").exists()
    path.write_bytes(path.read_bytes()[:100])
    assert call("table", "--quick", *part, "--list") == 0
    out, err = capsys.readouterr()
    assert out.endswith("0 done, 1 missing\n")
    assert str(path.name) in err and err.startswith("warning: ")


def test_another_budget_is_kept_beside_the_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    part = "--recipes paper --columns R --rows CNN --seeds 0".split()
    assert call("table", "--quick", "--budget", "60000", *part) == 0
    folder = tmp_path / "runs" / "quick" / "results"
    assert read_results(folder, Cell) == {}
    ((cell, result),) = at_other_budgets(folder)
    assert cell == Cell("paper", "R", "CNN", 0)
    assert result["config"]["budget"] == 60_000
    assert result["parameters"] == pytest.approx(60_000, rel=0.05)


def test_listing_runs_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("table", "--list", "--rows", "CNN", "ST-CNN Aff", "--seeds", "0") == 0
    assert capsys.readouterr().out.endswith("0 done, 20 missing\n")
    assert not list(tmp_path.iterdir())


def test_listing_a_folder_that_is_not_there_is_refused(tmp_path, capsys):
    assert call("table", "--list", "--folder", str(tmp_path / "missing")) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: folder must hold results: there is no")


@pytest.mark.parametrize(
    ("option", "value"), [("rows", "ResNet"), ("seeds", "-1"), ("workers", "0")]
)
def test_a_wrong_value_is_one_line(tmp_path, monkeypatch, capsys, option, value):
    monkeypatch.chdir(tmp_path)
    assert call("table", "--quick", f"--{option}", value) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {option.removesuffix('s')}") and err.count("\n") == 1
    assert err.endswith(f"got {value!r}\n".replace("'-1'", "-1").replace("'0'", "0"))


ROOT = Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "results" / "distorted_mnist"


def test_committed_results_are_whole_runs_of_their_cells():
    for cell, result in read_results(COMMITTED, Cell).items():
        config = result["config"]
        assert config["recipe"]["seed"] == cell.seed
        assert len(result["history"]) == config["recipe"]["epochs"]
        assert result["data"]["source"] == "mnist"
        assert result["data"]["train"]["digits"] == 60_000
        assert result["data"]["test"]["split"] == "test"
        assert result["test_error"] == result["history"][-1]["test_error"]
