"""Options are checked where they are made, by their annotations alone."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import pytest

from stn_tutorial.data.distortions import DISTORTIONS
from stn_tutorial.experiments import distorted_mnist, models
from stn_tutorial.experiments._options import (
    Range,
    check_options,
    choices,
    options_from,
)
from stn_tutorial.experiments.distorted_digits import Config
from stn_tutorial.experiments.training import Recipe


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be an integer >= 1, got 0"),
        ({"batch_size": 0}, "batch_size must be an integer >= 2, got 0"),
        ({"lr": math.nan}, "lr must be a finite number > 0, got nan"),
        ({"lr": math.inf}, "lr must be a finite number > 0, got inf"),
        (
            {"localization_lr_ratio": -0.1},
            "localization_lr_ratio must be a finite number >= 0, got -0.1",
        ),
        (
            {"weight_decay": math.nan},
            "weight_decay must be a finite number >= 0, got nan",
        ),
        ({"seed": -1}, "seed must be an integer >= 0 and < 4294967296, got -1"),
        (
            {"seed": 2**32},
            "seed must be an integer >= 0 and < 4294967296, got 4294967296",
        ),
        (
            {"precision": "bf16"},
            "precision must be 'float32', 'bfloat16' or 'float16', got 'bf16'",
        ),
    ],
)
def test_a_recipe_that_makes_no_sense_is_named(options, message):
    with pytest.raises(ValueError) as raised:
        Recipe(**options)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 2.5}, "epochs must be an integer >= 1, got 2.5"),
        ({"epochs": True}, "epochs must be an integer >= 1, got True"),
        ({"lr": "0.1"}, "lr must be a finite number > 0, got '0.1'"),
        ({"compiled": 1}, "compiled must be True or False, got 1"),
    ],
)
def test_an_option_of_another_type_is_named(options, message):
    with pytest.raises(TypeError) as raised:
        Recipe(**options)
    assert str(raised.value) == message


@pytest.mark.parametrize("name", ["out_size", "limit", "validation", "budget"])
def test_a_config_that_makes_no_sense_is_named(name):
    with pytest.raises(ValueError, match=f"^{name} must be .* got -1"):
        Config(**{name: -1})
    with pytest.raises(TypeError, match=f"^{name} must be .* got 2.5"):
        Config(**{name: 2.5})


@pytest.mark.parametrize("name", ["model", "distortion", "family", "coordinates"])
def test_an_unknown_name_is_refused_with_those_that_are_known(name):
    with pytest.raises(ValueError) as raised:
        Config(**{name: "resnet"})
    message = str(raised.value)
    assert message.startswith(f"{name} must be ") and message.endswith("got 'resnet'")
    assert all(repr(known) in message for known in choices(Config, name))


def test_a_recipe_is_no_dictionary():
    with pytest.raises(TypeError, match="^recipe must be a Recipe, got dict"):
        Config(recipe={})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out_size": 28}, "^out_size must be None for cnn, got 28"),
        ({"pool": 2}, "^pool must be 1 for cnn, got 2"),
        ({"coordinates": "first"}, "^coordinates must be none for cnn, got first"),
    ],
)
def test_options_of_a_transformer_are_refused_without_one(options, message):
    with pytest.raises(ValueError, match=message):
        Config(model="cnn", **options)


def test_the_names_of_options_are_those_of_what_they_name():
    assert set(choices(Config, "model")) == set(models.MODELS)
    assert set(choices(Config, "distortion")) == set(DISTORTIONS)
    assert set(choices(Config, "family")) == set(models.FAMILIES)
    assert set(choices(Config, "coordinates")) == set(models.COORDINATES)
    for recipe in distorted_mnist.RECIPES.values():
        assert recipe.optimizer in choices(Recipe, "optimizer")


def test_numbers_of_numpy_become_those_of_python():
    recipe = Recipe(epochs=np.int64(3), lr=np.float32(0.5), weight_decay=0)
    assert recipe == Recipe(epochs=3, lr=0.5, weight_decay=0.0)
    assert json.loads(json.dumps(asdict(recipe))) == asdict(recipe)


def test_a_range_has_its_ends_or_not():
    @dataclass
    class Options:
        part: Annotated[float, Range(least=0, below=1)] = 0.5
        count: Annotated[int, Range(above=0)] | None = None
        name: str = "a"

        def __post_init__(self) -> None:
            check_options(self)

    assert Options(part=0, count=1).part == 0
    with pytest.raises(ValueError, match="^part must be .* >= 0 and < 1, got 1"):
        Options(part=1)
    with pytest.raises(ValueError, match="^count must be None or an integer > 0"):
        Options(count=0)
    with pytest.raises(TypeError, match="^name must be a str, got int"):
        Options(name=3)


# ------------------------------------------------------------- options read from a file


def test_options_come_back_from_json():
    config = Config(out_size=28, recipe=Recipe(lr=0.1))
    read = json.loads(json.dumps(asdict(config)))
    assert options_from(Config, read, "a.json") == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], r"^a\.json must be named options, got \[1\]"),
        ({"colour": 1}, "^a.json has options that this version does not know: colour"),
        ({"recipe": {"momentum": 1}}, "does not know: momentum"),
        ({"recipe": 3}, "^a.json must be named options, got 3"),
        ({"limit": -1}, "^a.json: limit must be"),
        ({"recipe": {"lr": "fast"}}, "^a.json: lr must be"),
    ],
)
def test_what_a_file_says_is_checked_and_the_file_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        options_from(Config, values, "a.json")


def test_an_integer_that_no_float_holds_is_refused():
    with pytest.raises(ValueError, match="^lr must be a finite number"):
        Recipe(lr=10**400)
