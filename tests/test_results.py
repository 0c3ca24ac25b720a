"""Results: only what is one is read or written; the committed ones are fair."""

from __future__ import annotations

import doctest
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from every import every

from stn_tutorial.experiments import (
    coordconv_stn,
    distorted_mnist,
    results,
    scattered_digits,
)
from stn_tutorial.experiments.distorted_digits import (
    RESULT,
    Config,
    evaluate,
    load_model,
)
from stn_tutorial.experiments.distorted_mnist import RECIPES, Cell
from stn_tutorial.experiments.results import (
    is_done,
    keep_result,
    read_files,
    read_results,
    results_folder,
    write_json,
    write_result,
)
from stn_tutorial.experiments.teachers import STEPS
from stn_tutorial.experiments.training import Recipe

RESULTS = Path(__file__).resolve().parent.parent / "results"
# The runs of `distorted_digits.run`; CoordConv's own tasks have tests of their own.
# Runs of another kind tell it in their own way; see test_coordconv_tasks and below.
OTHERS = {
    *(
        "coordconv",
        "addition",
        "strings",
        "colocalization",
        "volumes",
        "after_2015",
        "signs",
        "birds",
    ),
    *("failures", "failures_at_scale", "renderings", "teachers"),
}
FILES = [
    path
    for path in sorted(RESULTS.rglob("*.json"))
    if not OTHERS & {*path.relative_to(RESULTS).parts}
]


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


# ------------------------------------------------------------------- what is believed


GOOD = RESULTS / "distorted_mnist" / "today-R-cnn-0.json"
DAMAGED = {
    "empty": (lambda raw: b"", "it is empty"),
    "blank": (lambda raw: b" \n", "it is empty"),
    "truncated": (lambda raw: raw[:500], "line 29"),
    "another encoding": (lambda raw: raw.decode().encode("utf-16"), "codec"),
    "not JSON": (lambda raw: b"epoch,loss\n1,0.5\n", "line 1"),
    "nested without end": (lambda raw: b"[" * 100_000, "recursion"),
    "a list": (lambda raw: b"[1, 2]", "the file must be an object, got list"),
    "a number": (lambda raw: b"3", "the file must be an object, got int"),
}
WRONG = {
    "cell.recipe": ("../../evil", "cell: recipe must be 'paper', 'short', 'plain'"),
    "cell.column": ("RST", "cell: column must be 'R'"),
    "cell.row": (["CNN"], "cell: row must be a str, got list"),
    "cell.seed": (-1, "cell: seed must be an integer >= 0"),
    "cell.colour": ("red", "cell has options that this version does not know: colour"),
    "cell": (None, "cell must be named options, got None"),
    "config.model": ("resnet", "config: model must be 'fcn'"),
    "config.budget": ("150000", "config: budget must be an integer"),
    "config.recipe.lr": (float("inf"), "config: lr must be a finite number"),
    "config.recipe.pace": (1, "config has options that this version does not know"),
    "parameters": (1.5, "parameters must be int, got 1.5"),
    "processes": (True, "processes must be int, got True"),
    "test_error": (float("nan"), "test_error must be finite, got nan"),
    "seconds": ("35", "seconds must be a number, got '35'"),
    "history.0.seconds": (10**400, "history[0].seconds must be"),
    "history": ([], "history must be a list with entries, got []"),
    "history.0.loss": (float("inf"), "history[0].loss must be finite, got inf"),
    "history.1": (3, "history[1] must be an object, got int"),
    "history.1.mood": ("good", "history[1] has mood, which nothing here knows"),
    "misclassified": ([1, "2"], "misclassified[1] must be int, got '2'"),
    "versions": ({"torch": 2}, "versions.torch must be str, got 2"),
    "verdict": ("good", "the file has verdict, which nothing here knows"),
}


def refused(folder: Path) -> str:
    """What is said of the one file in a folder: its name, what is wrong, what to do."""
    (path,) = folder.iterdir()
    with pytest.raises(ValueError) as caught:
        read_results(folder, Cell)
    said = str(caught.value)
    assert said.startswith(f"{path} is not a result: ")
    assert said.endswith("Restore the file, or delete it and run what is missing")
    assert not is_done(folder, Cell("today", "R", "CNN"))
    return said


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_file_is_told_by_name(tmp_path, how):
    damage, words = DAMAGED[how]
    (tmp_path / GOOD.name).write_bytes(damage(GOOD.read_bytes()))
    assert words in refused(tmp_path)


@pytest.mark.parametrize("where", WRONG)
def test_a_wrong_entry_is_told_by_name(tmp_path, where):
    content, (value, words) = read(GOOD), WRONG[where]
    *parts, last = [int(p) if p.isdigit() else p for p in where.split(".")]
    entry = content
    for part in parts:
        entry = entry[part]
    entry[last] = value
    (tmp_path / GOOD.name).write_text(json.dumps(content))
    assert words in refused(tmp_path)


@pytest.mark.parametrize("key", ["cell", "config", "test_error", "history", "device"])
def test_a_missing_entry_is_told_by_name(tmp_path, key):
    content = read(GOOD)
    del content[key]
    (tmp_path / GOOD.name).write_text(json.dumps(content))
    assert f"the file must have {key}" in refused(tmp_path)


def test_a_result_under_another_name_is_refused(tmp_path):
    (tmp_path / "copy.json").write_bytes(GOOD.read_bytes())
    said = r"copy\.json holds the result of today-R-cnn-0: rename it, or delete it"
    with pytest.raises(ValueError, match=said):
        read_results(tmp_path, Cell)
    path = tmp_path / "paper-R-cnn-0.json"
    (tmp_path / "copy.json").rename(path)
    assert not is_done(tmp_path, Cell("paper", "R", "CNN"))


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="^folder must hold results: there is"):
        read_results(tmp_path / "missing", Cell)


def test_what_was_written_is_read(tmp_path):
    cell, result = Cell("today", "R", "CNN"), read(GOOD)
    result.pop("cell")
    assert not is_done(tmp_path, cell)
    write_result(tmp_path / "new", cell, result)
    assert is_done(tmp_path / "new", cell)
    assert read_results(tmp_path / "new", Cell) == {cell: result}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "a lot", None])
def test_a_result_that_is_none_is_not_written(tmp_path, value):
    cell, result = Cell("today", "R", "CNN"), read(GOOD)
    result |= {"test_error": value}
    with pytest.raises(ValueError, match="^test_error must be "):
        write_result(tmp_path, cell, result)
    assert not list(tmp_path.iterdir())


def test_json_is_strict(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="No space left on device"):
        write_json(path, {"a": 2})
    assert read(path) == {"a": 1} and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_may_be_read_by_whom_the_umask_lets(tmp_path):
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640


def test_the_examples_of_the_docstrings_are_right():
    for module in (results, coordconv_stn, distorted_mnist, scattered_digits):
        assert doctest.testmod(module).failed == 0


# ----------------------------------------------------------------- what was committed


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def runs(folder: str, model: str) -> list[dict]:
    """Those of a model; "still" is an ST-CNN whose transformer never learns."""

    def kind(run: dict) -> str:
        still = run["config"]["recipe"]["localization_lr_ratio"] == 0
        return "still" if still else run["config"]["model"]

    every = read_files(RESULTS / folder, RESULT).values()
    return [run for run in every if kind(run) == model]


@every(lambda: {path.relative_to(RESULTS).as_posix(): path for path in FILES})
def test_a_result_tells_how_it_was_made(path):
    result = read(path)
    config = configured(result)
    assert len(result["history"]) == config.recipe.epochs
    assert result["test_error"] == result["history"][-1]["test_error"]
    held_out = config.validation
    assert result["data"]["test"]["split"] == ("validation" if held_out else "test")
    assert result["data"]["test"]["digits"] == (held_out or 10_000)
    assert result["data"]["train"]["digits"] == (config.limit or 60_000 - held_out)
    assert {"device", "versions", "finished", "parameters"} <= result.keys()


RECORDED = RESULTS / "recordings"


@every(lambda: {path.as_posix(): path for path in RECORDED.rglob("*.json")})
def test_a_recording_tells_how_it_was_made(path):
    result = read(path)
    assert {"cell", "seconds", "device", "versions", "finished"} <= result.keys()
    recipe = result["recipe"] if "recipe" in result else result["config"]["recipe"]
    if path.parent.name == "teachers":
        assert recipe["steps"] == STEPS and len(result["off_deg"]) == 360
        return
    assert recipe["seed"] == result["cell"]["seed"]
    recipe.setdefault("localization_clip", None)  # is newer than some
    assert asdict(Recipe(**recipe)) == recipe
    if path.parent.name == "failures":
        assert result["data"]["source"] == "embedded"
        steps = recipe["epochs"] * -(
            -result["data"]["train"]["digits"] // recipe["batch_size"]
        )
        assert result["rows"][-1]["step"] == steps


def configured(run: dict) -> Config:
    """The configuration of a run, with what has been given a default since."""
    return Config(**{**run["config"], "recipe": Recipe(**run["config"]["recipe"])})


def rates(run: dict) -> tuple[float, float]:
    recipe = run["config"]["recipe"]
    return recipe["lr"], recipe["localization_lr_ratio"]


CHAPTER = RESULTS.parent / "notebooks" / "07_train_a_spatial_transformer.ipynb"


@pytest.fixture(scope="module")
def taught() -> dict[str, Config]:
    """The configurations that the chapter trains, by its own code."""
    # Read as JSON, as importing nbformat takes seconds.
    cells = ["".join(cell["source"]) for cell in read(CHAPTER)["cells"]]
    (source,) = [source for source in cells if "\nconfigs = {" in source]
    names = {"Config": Config, "Recipe": Recipe}
    exec(source, names)
    return names["configs"]


@pytest.mark.parametrize("model", ["cnn", "st-cnn"])
def test_learning_rates_of_the_chapter_were_chosen_on_held_out_digits(model, taught):
    tried = runs("rts/validation", model)
    best = min(tried, key=lambda run: run["test_error"])
    (held_out,) = {run["config"]["validation"] for run in tried}
    assert held_out == 10_000
    recipe = replace(taught[model].recipe, seed=best["config"]["recipe"]["seed"])
    chosen = replace(taught[model], validation=held_out, data="mnist", recipe=recipe)
    assert configured(best) == chosen
    tried_rates = {rates(run)[0] for run in tried}
    assert min(tried_rates) < recipe.lr < max(tried_rates)
    for run in tried:  # what was tried differs from it in nothing but the rates
        lr, ratio = rates(run)
        recipe = replace(chosen.recipe, lr=lr, localization_lr_ratio=ratio)
        assert configured(run) == replace(chosen, recipe=recipe)


def test_all_networks_of_the_chapter_were_offered_as_many_trials():
    counts = {m: len(runs("rts/validation", m)) for m in ("cnn", "st-cnn", "still")}
    assert counts["cnn"] == counts["st-cnn"] == counts["still"] >= 8
    assert sum(counts.values()) == len(list((RESULTS / "rts/validation").iterdir()))


@pytest.mark.parametrize("model", ["cnn", "st-cnn"])
def test_the_chapter_trains_the_first_of_the_runs_that_are_kept(model, taught):
    config = replace(taught[model], data="mnist")
    tried = {run["config"]["recipe"]["seed"] for run in runs("rts/validation", model)}
    for seed in range(3):
        run = read(RESULTS / "rts" / f"{model}-{seed}.json")
        assert configured(run) == replace(
            config, recipe=replace(config.recipe, seed=seed)
        )
        assert seed not in tried  # no seed is used to choose and to report
    assert config.recipe.seed == 0


def test_the_weights_of_the_chapter_are_of_the_run_that_is_kept(real_mnist):
    kept = read(RESULTS / "rts" / "st-cnn-0.json")
    config, model = load_model(RESULTS / "rts" / "st-cnn-0")
    assert config == configured(kept)
    assert evaluate(config, model) == pytest.approx(kept["test_error"], abs=0.05)


@pytest.mark.parametrize(("name", "model"), [("today", "st-modern")])
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


@pytest.mark.parametrize("model", ["fcn", "st-fcn", "modern"])
def test_the_table_s_other_networks_had_as_many_trials_of_today_s_rates(model):
    """Tried when the recipe stood: it is the best, or within what chance explains."""
    every = runs("distorted_mnist/validation", model)
    tried = [r for r in every if r["config"]["recipe"]["optimizer"] == "adamw"]
    assert len(tried) == 5 and all(run["config"]["validation"] for run in tried)
    assert {len(run["history"]) for run in tried} == {6}
    recipe, plain = RECIPES["today"], model in ("fcn", "modern")
    wanted = [r for r in tried if rates(r)[0] == recipe.lr]
    if not plain:
        wanted = [r for r in wanted if rates(r)[1] == recipe.localization_lr_ratio]
    (chosen,) = wanted
    best = min(tried, key=lambda run: run["test_error"])
    wrong, least = (set(run["misclassified"]) for run in (chosen, best))
    alone = len(wrong - least), len(least - wrong)
    assert abs(alone[0] - alone[1]) <= 1.96 * sum(alone) ** 0.5


def test_the_transformer_lowers_the_error_on_rts():
    plain, transformed = runs("rts", "cnn"), runs("rts", "st-cnn")
    assert len(plain) == len(transformed) == 3
    errors = [[run["test_error"] for run in model] for model in (transformed, plain)]
    assert max(errors[0]) < min(errors[1])  # the worst seed is better than the best
    assert transformed[0]["parameters"] == pytest.approx(plain[0]["parameters"], 0.05)
    still = runs("rts", "still")
    assert len(still) == 3 and still[0]["parameters"] == transformed[0]["parameters"]
    assert min(run["test_error"] for run in still) > max(errors[1])


def test_a_finished_run_that_is_called_again_keeps_its_record(tmp_path):
    keep_result(tmp_path, {"history": [1, 2], "device": "a"})
    keep_result(tmp_path, {"history": [1, 2], "device": "b"})
    assert json.loads((tmp_path / "result.json").read_text())["device"] == "a"
    keep_result(tmp_path, {"history": [1, 2, 3], "device": "b"})
    assert json.loads((tmp_path / "result.json").read_text())["device"] == "b"
