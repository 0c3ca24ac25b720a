"""What cells of one training share: how they are named, measured and made small."""

from __future__ import annotations

import doctest
from dataclasses import asdict, dataclass, field, replace
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stn_tutorial.experiments import cells
from stn_tutorial.experiments.cells import TrainedCell, miniature, with_weights
from stn_tutorial.experiments.training import Recipe


@dataclass(frozen=True)
class Config:
    """What a run of these tests is made with."""

    data: str = "mnist"
    limit: int = 60_000
    recipe: Recipe = field(default_factory=lambda: Recipe(lr=0.3, precision="bfloat16"))


def run(config, folder, *, progress):
    return SimpleNamespace(result={"told": (config, folder, progress)})


@dataclass(frozen=True)
class Cell(TrainedCell):
    """A cell of three attributes."""

    RESULT: ClassVar[dict[str, Any]] = {}
    RUN = staticmethod(run)

    column: str
    side: int
    seed: int = 0

    def config(self, *, quick: bool = False, limit: int = 5) -> Config:
        return Config(data="quick" if quick else "mnist", limit=limit)


def test_the_examples_run():
    assert doctest.testmod(cells).failed == 0


def test_a_cell_is_named_by_its_attributes_and_runs_its_configuration(tmp_path):
    cell = Cell("RTS", 24, 3)
    assert cell.name == "RTS-24-3" and asdict(cell).keys() == {"column", "side", "seed"}
    assert cell.measure(tmp_path)["told"] == (Config(limit=5), tmp_path, False)
    options = {"quick": True, "limit": 7}
    told = cell.measure(tmp_path, progress=True, **options)["told"]
    assert told == (Config(data="quick", limit=7), tmp_path, True)


def test_a_miniature_differs_in_how_long_and_on_what():
    config = Config()
    small = miniature(config, limit=8, batch_size=4)
    changed = {"epochs": 2, "batch_size": 4, "precision": "float32"}
    assert small == Config("embedded", 8, replace(config.recipe, **changed))
    assert miniature(config, data="drawn").data == "drawn"


def test_weights_are_those_of_the_cell_or_are_refused(tmp_path):
    cell, model = Cell("R", 1), nn.Linear(2, 1)
    with pytest.raises(ValueError, match="^folder must hold the weights of R-1-0"):
        with_weights(model, cell, tmp_path)
    path = tmp_path / "R-1-0.safetensors"
    save_file({"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, path)
    loaded = with_weights(model, cell, tmp_path)
    assert loaded is model and not model.training and (model.weight == 1).all()
    with pytest.raises(ValueError, match="does not fit R-1-0"):
        with_weights(nn.Linear(3, 1), cell, tmp_path)
