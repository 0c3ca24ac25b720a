"""The table as independent runs: named, shared out, resumed, and reported."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from command_line import call
from safetensors.torch import save_file
from torch import nn

from stn_tutorial.course.reports.distorted_mnist import (
    draw_learning_curve,
    errors,
    learning_curve,
    overview,
    shortcut,
    table,
)
from stn_tutorial.experiments.distorted_digits import make_model
from stn_tutorial.experiments.distorted_mnist import (
    COLUMNS,
    COPIES,
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


# ------------------------------------------------------------------------------ cells


def test_the_table_has_the_papers_rows_and_columns_three_times_for_each_recipe():
    every = cells(recipes=["today"])
    assert len(every) == len(set(every)) == 3 * (8 * 4 + 4)
    assert len({cell.name for cell in every}) == len(every)
    assert {cell.row for cell in every if cell.column == "clutter"} == {
        *("FCN", "CNN", "ST-FCN Aff", "ST-CNN Aff")
    }
    places = {(cell.column, cell.row) for cell in every}
    theirs = cells(recipes=["paper", "short"])
    assert {(cell.column, cell.row) for cell in theirs} == places
    assert len(theirs) == len(every) + 3  # one network is trained both ways
    both = [cell for cell in theirs if (cell.column, cell.row) == ("R", "CNN")]
    assert {cell.recipe for cell in both} == {"paper", "short"}


def test_the_short_way_leaves_the_localization_network_its_rate():
    for cell in cells(recipes=["short"]):
        recipe = cell.config().recipe
        rate = recipe.lr * recipe.localization_lr_ratio
        assert rate == pytest.approx(RECIPES["paper"].lr)
        assert (recipe.lr == RECIPES["short"].lr) == (cell.column != "clutter")


def test_the_papers_recipe_has_its_steps_and_the_short_way_a_tenth_of_them():
    paper, short = (RECIPES[name] for name in ("paper", "short"))
    assert paper.epochs * math.ceil(COPIES * 60_000 / paper.batch_size) == 150_000
    steps = short.epochs * math.ceil(60_000 / short.batch_size)
    assert steps == pytest.approx(15_000, rel=0.005)
    assert short.lr == pytest.approx(10 * paper.lr)
    localization = short.lr * short.localization_lr_ratio
    assert localization == pytest.approx(paper.lr * paper.localization_lr_ratio)
    same = {"epochs": paper.epochs, "lr": paper.lr, "localization_lr_ratio": 1.0}
    assert replace(short, **same) == paper
    assert replace(RECIPES["plain"], optimizer="nesterov") == paper


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
@pytest.mark.parametrize("recipe", ["paper", "short", "today"])
def test_models_of_a_column_have_the_same_number_of_parameters(recipe, column):
    budgets: dict[int, list[int]] = {}
    for cell in cells(recipes=[recipe], columns=[column], seeds=[0]):
        count = count_parameters(make_model(cell.config()))
        budgets.setdefault(cell.budget, []).append(count)
    print(budgets)
    for budget, counts in budgets.items():
        assert max(counts) <= 1.05 * min(counts)
        assert all(count == pytest.approx(budget, rel=0.05) for count in counts)


def test_the_papers_networks_are_as_wide_as_its_appendix_says():
    for cell in cells(recipes=["paper", "short"], seeds=[0]):
        model = make_model(cell.config())
        classifier = getattr(model, "classifier", model)
        kind = nn.Linear if "FCN" in cell.row else nn.Conv2d
        width = len(next(m for m in classifier.modules() if type(m) is kind).weight)
        if (cell.column, cell.row) == ("clutter", "FCN"):  # for 400,000 parameters
            assert width == 108
        elif cell.column == "RTS" and "ST-FCN" in cell.row:  # for as many as FCN
            assert width in (266, 267)
        else:
            assert width in (range(128, 257) if "FCN" in cell.row else range(32, 65))


def test_recipes_differ_as_they_say():
    place = "RTS", "ST-CNN Aff", 2
    theirs, today = (Cell(name, *place).config() for name in ("short", "today"))
    assert theirs.recipe.optimizer == "nesterov" and theirs.recipe.schedule == "step"
    assert today.recipe.optimizer == "adamw" and today.recipe.schedule == "one-cycle"
    assert theirs.recipe.seed == today.recipe.seed == 2
    assert theirs.budget == today.budget
    for config in (theirs, today):
        model = make_model(config)
        assert isinstance(model, TransformedClassifier)
        digits = torch.zeros(2, 1, 42, 42)
        inside = list(model.classifier.modules())
        assert (ModernCNN in map(type, inside)) == (config is today)
        pooled = model.transformer(digits)
        if config is theirs:
            pooled = model.classifier[0](pooled)
        assert pooled.shape == (2, 1, 28, 28)


def test_what_the_paper_pools_comes_out_at_half_the_size():
    for row, column, sizes in [
        ("ST-FCN Aff", "RTS", (42, 21)),
        ("ST-FCN TPS", "RTS", (42, 21)),
        ("ST-FCN Aff", "clutter", (60, 30)),
        ("ST-CNN Aff", "clutter", (60, 30)),
    ]:
        recipe = "paper" if "FCN" in row else "short"
        model = make_model(Cell(recipe, column, row).config())
        out = model.transformer(torch.zeros(2, 1, sizes[0], sizes[0]))
        assert out.shape[-1] == sizes[0]
        assert model.classifier[0](out).shape[-1] == sizes[1]


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

    monkeypatch.setattr(Cell, "RUN", staticmethod(run))
    for options in ({}, {"compiled": True, "budget": 60_000}):
        with pytest.raises(FailedRuns):
            work([FCN], tmp_path, tmp_path, progress=False, **options)
    assert seen == [(False, FCN.budget), (True, 60_000)]


def test_a_miniature_of_every_row_and_column(tmp_path, capsys):
    columns = "R", "RTS", "clutter", "P", "E", "clutter", "R", "RTS"
    few = [
        Cell("today" if k % 2 else "short" if "CNN" in row else "paper", column, row)
        for k, (column, row) in enumerate(zip(columns, ROWS, strict=True))
    ]
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
    found[Cell("short", "RTS", "ST-CNN Aff")] = {"test_error": 9.0}
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
    header, _, *lines = table(made_up(), "today").splitlines()
    assert header.strip("| ").split(" | ")[1::2] == list(COLUMNS)
    entries = {line.strip("| ").split(" | ")[0]: line for line in lines}
    assert list(entries) == list(ROWS)
    assert entries["CNN"].endswith("| 4.00 | 3.5 |")
    spread = statistics.stdev([0.5, 0.7, 0.6])
    ours = f"| 0.60 ± {spread:.2f} | {PAPER['RTS']['ST-CNN Aff']} |"
    assert ours in entries["ST-CNN Aff"] and "9.00" not in entries["ST-CNN Aff"]
    assert "| – | 0.7 |" in entries["ST-CNN Aff"]  # R, which is missing


def test_places_that_the_paper_lacks_stay_empty():
    found = {Cell("today", "R", "ST-CNN TPS"): {"test_error": 1.0}}
    assert table(found, "today").splitlines()[-1].endswith("|  |  |")


def test_the_network_that_was_trained_both_ways_stands_in_the_table_once():
    both = {Cell(name, "R", "CNN"): {"test_error": e} for name, e in TWO_WAYS.items()}
    both[FCN] = {"test_error": 2.0}
    assert errors(both, "paper", "R", "CNN") == [TWO_WAYS["short"]]
    assert errors(both, "paper", "R", "FCN") == [2.0]
    (line,) = shortcut(both).splitlines()[2:]
    assert line.startswith("| CNN | R | 0 | 1.30 | a tenth of the steps")
    assert line.endswith("| 1.25 |")
    plain = {FCN: {"test_error": 2.0}, Cell("plain", "R", "FCN"): {"test_error": 4.9}}
    (line,) = shortcut(plain).splitlines()[2:]
    assert line == "| FCN | R | 0 | 2.00 | without momentum | 4.90 |"
    assert shortcut({FCN: {"test_error": 2.0}}) == ""


TWO_WAYS = {"paper": 1.3, "short": 1.25}


def test_the_learning_curve_counts_steps_as_many_of_the_papers():
    found = {
        Cell(name, "RTS", "CNN"): {"test_error": error}
        for name, error in (("short", 1.0), ("short-2", 5.0))
    }
    found[Cell("short-2", "RTS", "ST-CNN Aff")] = {"test_error": 3.0}
    lines = learning_curve(found).splitlines()[2:]
    assert lines == [
        "| 2 | 470 | 4,700 | 5.00 (1) | 3.00 (1) |",
        "| 64 | 15,040 | 150,400 | 1.00 (1) | – |",
    ]
    assert learning_curve({Cell("short", "RTS", "CNN"): {"test_error": 1.0}}) == ""
    fig = draw_learning_curve(found)
    assert len(fig.axes[0].lines) == 4  # two networks, and the paper's two numbers
    plt.close(fig)


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
    part = "--recipes short --columns R --rows CNN --seeds 0".split()
    assert call("table", "--quick", "--budget", "60000", *part) == 0
    folder = tmp_path / "runs" / "quick" / "results"
    assert read_results(folder, Cell) == {}
    ((cell, result),) = at_other_budgets(folder)
    assert cell == Cell("short", "R", "CNN", 0)
    assert result["config"]["budget"] == 60_000
    assert result["parameters"] == pytest.approx(60_000, rel=0.05)


def test_listing_runs_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("table", "--list", "--rows", "CNN", "ST-CNN Aff", "--seeds", "0") == 0
    assert capsys.readouterr().out.endswith("0 done, 21 missing\n")
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
