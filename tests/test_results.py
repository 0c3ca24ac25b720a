"""The committed results: whole, comparable, and not chosen by test digits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stn_tutorial.experiments.distorted_digits import Config
from stn_tutorial.experiments.distorted_mnist import RECIPES
from stn_tutorial.experiments.results import results_folder
from stn_tutorial.experiments.training import Recipe

RESULTS = Path(__file__).resolve().parent.parent / "results"
# The runs of `distorted_digits.run`; CoordConv's own tasks have tests of their own.
FILES = [p for p in sorted(RESULTS.rglob("*.json")) if "coordconv" not in p.parts]


def test_the_results_are_those_of_the_checkout_or_those_installed(
    tmp_path, monkeypatch
):
    assert results_folder() == RESULTS
    package = tmp_path / "stn_tutorial"
    package.mkdir()
    monkeypatch.setattr("importlib.resources.files", lambda name: tmp_path / name)
    with pytest.raises(FileNotFoundError, match="neither in .*_results nor in "):
        results_folder()
    for folder in (tmp_path / "results", package / "_results"):
        folder.mkdir()
        assert results_folder() == folder


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def runs(folder: str, model: str) -> list[dict]:
    every = [read(path) for path in sorted((RESULTS / folder).glob("*.json"))]
    return [run for run in every if run["config"]["model"] == model]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(RESULTS).as_posix())
def test_a_result_tells_how_it_was_made(path):
    result = read(path)
    config = result["config"]
    config = Config(**{**config, "recipe": Recipe(**config["recipe"])})
    assert len(result["history"]) == config.recipe.epochs
    assert result["test_error"] == result["history"][-1]["test_error"]
    held_out = config.validation
    assert result["data"]["test"]["split"] == ("validation" if held_out else "test")
    assert result["data"]["test"]["digits"] == (held_out or 10_000)
    assert result["data"]["train"]["digits"] == (config.limit or 60_000 - held_out)
    assert {"device", "versions", "finished", "parameters"} <= result.keys()


def rates(run: dict) -> tuple[float, float]:
    recipe = run["config"]["recipe"]
    return recipe["lr"], recipe["localization_lr_ratio"]


@pytest.mark.parametrize("model", ["cnn", "st-cnn"])
def test_learning_rates_were_chosen_on_held_out_training_digits(model):
    tried, final = runs("rts/validation", model), runs("rts", model)
    assert all(run["config"]["validation"] for run in tried)
    best = min(tried, key=lambda run: run["test_error"])
    assert {rates(run) for run in final} == {rates(best)}
    learning_rates = sorted({rates(run)[0] for run in tried})
    assert learning_rates[0] < rates(best)[0] < learning_rates[-1]


def test_both_models_were_offered_the_same_learning_rates():
    offered = [
        {rates(run)[0] for run in runs("rts/validation", model)}
        for model in ("cnn", "st-cnn")
    ]
    assert offered[0] == offered[1]


@pytest.mark.parametrize(
    ("name", "model"), [("paper", "st-cnn"), ("today", "st-modern")]
)
def test_learning_rates_of_the_table_were_chosen_on_held_out_digits(name, model):
    tried = runs("distorted_mnist/validation", model)
    assert all(run["config"]["validation"] for run in tried) and len(tried) >= 5
    recipe = RECIPES[name]
    best = min(tried, key=lambda run: run["test_error"])
    assert rates(best) == (recipe.lr, recipe.localization_lr_ratio)
    assert len({len(run["history"]) for run in tried}) == 1  # all had the same time
    for position in (0, 1):  # what was chosen lies inside of what was tried
        values = [rates(run)[position] for run in tried]
        assert min(values) < rates(best)[position] < max(values)


def test_the_transformer_lowers_the_error_on_rts():
    plain, transformed = runs("rts", "cnn"), runs("rts", "st-cnn")
    by_seed = [
        {run["config"]["recipe"]["seed"]: run for run in model}
        for model in (plain, transformed)
    ]
    assert set(by_seed[0]) == set(by_seed[1]) == {0, 1, 2}
    for seed, run in by_seed[1].items():
        assert len(run["history"]) <= 10
        assert run["test_error"] < 1.5
        assert run["test_error"] < by_seed[0][seed]["test_error"]
        assert run["parameters"] == pytest.approx(by_seed[0][seed]["parameters"], 0.05)
