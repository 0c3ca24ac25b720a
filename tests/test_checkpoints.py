"""Checkpoints: everything comes back, nothing is half written, nothing is code."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

import stn_tutorial
from stn_tutorial.experiments.checkpoints import (
    read_checkpoint,
    resume,
    save_checkpoint,
)

LABEL = {"model": "small", "sizes": (1, 2), "recipe": {"lr": 0.1, "seed": 0}}
HISTORY = [{"epoch": 1, "loss": 0.1 + 0.2, "test_error": 100 / 3}]
FILE = "checkpoint.safetensors"


def model_of(seed: int) -> nn.Module:
    """A small network that has parameters and buffers of several dtypes."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    first, *rest = model.parameters()
    return torch.optim.AdamW([{"params": [first], "peak": 0.5}, {"params": rest}])


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), 0.1)


def momentum(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
    """Train on noise from the global random state."""
    for _ in range(count):
        loss = F.cross_entropy(model(torch.randn(8, 4)), torch.randint(3, (8,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        a[key].dtype == b[key].dtype and torch.equal(a[key], b[key]) for key in a
    )


@pytest.fixture
def saved(tmp_path) -> Path:
    model = model_of(0)
    optimizer = adamw(model)
    steps(model, optimizer, 2)
    save_checkpoint(tmp_path, LABEL, model, optimizer, HISTORY)
    return tmp_path


@pytest.mark.parametrize("kind", [adamw, sgd, momentum])
def test_a_resumed_run_goes_on_to_the_same_bits(kind, tmp_path):
    model = model_of(0)
    optimizer = kind(model)
    steps(model, optimizer, 3)
    save_checkpoint(tmp_path / "a" / "b", LABEL, model, optimizer, HISTORY)
    steps(model, optimizer, 3)
    torch.manual_seed(77)
    other = model_of(1)
    optimizer = kind(other)
    assert resume(tmp_path / "a" / "b", LABEL, other, optimizer) == HISTORY
    steps(other, optimizer, 3)
    assert same(model.state_dict(), other.state_dict())


def test_without_a_checkpoint_nothing_changes(tmp_path):
    model = model_of(0)
    state = torch.get_rng_state()
    assert resume(tmp_path / "none", LABEL, model, adamw(model)) == []
    assert torch.equal(torch.get_rng_state(), state)
    assert same(model.state_dict(), model_of(0).state_dict())


def test_the_file_holds_named_tensors_and_json(saved):
    assert [path.name for path in saved.iterdir()] == [FILE]
    with safe_open(saved / FILE, "pt") as file:
        assert set(file.metadata()) == {"label", "history"}
        assert {key.split(".")[0] for key in file.keys()} == {
            "model",
            "optimizer",
            "random",
        }


def test_the_model_can_be_read_alone(saved):
    model = model_of(0)
    steps(model, adamw(model), 2)
    label, weights = read_checkpoint(saved)
    assert label == {**LABEL, "sizes": [1, 2]}
    assert same(weights, model.state_dict())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": "large"}, "model"),
        ({"recipe": {"lr": 0.1, "seed": 1}}, "seed"),
        ({"recipe": {"lr": 0.2, "seed": 1}, "new": 0}, "lr, new, seed"),
    ],
)
def test_a_run_with_other_options_is_refused_and_they_are_named(saved, change, named):
    model = model_of(5)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError) as raised:
        resume(saved, {**LABEL, **change}, model, adamw(model))
    assert f"{saved} holds a run with other options ({named})" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert same(model.state_dict(), before)


def test_where_there_is_no_checkpoint_the_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"^folder must hold a checkpoint: .*nowhere"):
        read_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_a_damaged_checkpoint_is_named(saved, keep):
    path = saved / FILE
    path.write_bytes(path.read_bytes()[:keep])
    model = model_of(0)
    for read in (
        lambda: read_checkpoint(saved),
        lambda: resume(saved, LABEL, model, adamw(model)),
    ):
        with pytest.raises(ValueError) as raised:
            read()
        assert str(path) in str(raised.value) and "damaged" in str(raised.value)


@pytest.mark.parametrize("moment", ["before the last step", "while writing"])
def test_a_writing_that_is_cut_off_leaves_the_last_checkpoint(
    saved, monkeypatch, moment
):
    expected = (saved / FILE).read_bytes()
    model = model_of(3)

    def cut_off(*arguments):
        raise KeyboardInterrupt

    if moment == "while writing":

        def save_half(tensors, path, metadata):
            Path(path).write_bytes(expected[:300])
            raise KeyboardInterrupt

        monkeypatch.setattr("stn_tutorial.experiments.checkpoints.save_file", save_half)
    else:
        monkeypatch.setattr(os, "replace", cut_off)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(saved, LABEL, model, adamw(model), [])
    monkeypatch.undo()
    assert (saved / FILE).read_bytes() == expected
    assert resume(saved, LABEL, model, adamw(model)) == HISTORY
    save_checkpoint(saved, LABEL, model, adamw(model), [])  # nothing is in its way
    assert resume(saved, LABEL, model, adamw(model)) == []


def test_nothing_in_the_package_pickles():
    """Pickled files can run code; the package neither reads nor writes any."""
    for path in Path(stn_tutorial.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            assert name not in ("torch.load", "torch.save", "np.load"), path
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                assert "pickle" not in ast.unparse(node), path
                assert "joblib" not in ast.unparse(node), path
