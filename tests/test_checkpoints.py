"""Checkpoints: everything comes back, nothing is half written, nothing is code."""

from __future__ import annotations

import ast
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import stn_tutorial
from stn_tutorial.experiments import checkpoints
from stn_tutorial.experiments.checkpoints import load_tensors, read_checkpoint

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


def scaler_of(scale: float = 1.0, *, enabled: bool = False) -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=scale, enabled=enabled)


def save_checkpoint(folder, label, model, optimizer, history) -> None:
    checkpoints.save_checkpoint(folder, label, model, optimizer, scaler_of(), history)


def resume(folder, label, model, optimizer) -> list[dict]:
    return checkpoints.resume(folder, label, model, optimizer, scaler_of())


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
    """Train on noise."""
    draw = torch.Generator().manual_seed(count)
    for _ in range(count):
        x = torch.randn(8, 4, generator=draw)
        loss = F.cross_entropy(model(x), torch.randint(3, (8,), generator=draw))
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
    other = model_of(1)
    optimizer = kind(other)
    assert resume(tmp_path / "a" / "b", LABEL, other, optimizer) == HISTORY
    steps(other, optimizer, 3)
    assert same(model.state_dict(), other.state_dict())


def test_tied_weights_come_back_tied(tmp_path):
    def tied(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        model[1].weight = model[0].weight
        return model

    model, other = tied(0), tied(1)
    save_checkpoint(tmp_path, LABEL, model, sgd(model), HISTORY)
    assert resume(tmp_path, LABEL, other, sgd(other)) == HISTORY
    assert same(model.state_dict(), other.state_dict())
    assert other[1].weight is other[0].weight


def test_without_a_checkpoint_nothing_changes(tmp_path):
    model = model_of(0)
    state = torch.get_rng_state()
    assert resume(tmp_path / "none", LABEL, model, adamw(model)) == []
    assert torch.equal(torch.get_rng_state(), state)
    assert same(model.state_dict(), model_of(0).state_dict())


def test_the_file_holds_named_tensors_and_json(saved):
    assert [path.name for path in saved.iterdir()] == [FILE]
    with safe_open(saved / FILE, "pt") as file:
        assert set(file.metadata()) == {"label", "history", "scaler", "checksum"}
        assert {key.split(".")[0] for key in file.keys()} == {"model", "optimizer"}


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


# ----------------------------------------------------------------- what is not believed


def rewrite(path: Path, change: Callable[[dict, dict], None], *, sign: bool) -> None:
    """Change what a checkpoint says, and sign it with a right checksum or not."""
    with safe_open(path, "pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    change(header, tensors)
    if sign:
        del header["checksum"]
        header["checksum"] = checkpoints._checksum(header, tensors)
    save_file(tensors, path, header)


def cut(size: int) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes()[:size])


def flip(place: float) -> Callable[[Path], None]:
    """Flip one bit, at a fraction of the file's length."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(place * len(content))] ^= 4
        path.write_bytes(content)

    return damage


def edited(change: Callable[[dict, dict], Any], *, sign: bool = False):
    return lambda path: rewrite(path, change, sign=sign)


def in_place_of_it(path: Path) -> None:
    path.unlink()
    path.mkdir()


def nan(header: dict, tensors: dict) -> None:
    tensors["model.0.weight"][0, 0] = torch.nan


def larger(header: dict, tensors: dict) -> None:
    tensors["model.0.weight"] = torch.zeros(6, 5)


def double(header: dict, tensors: dict) -> None:
    tensors["model.0.weight"] = tensors["model.0.weight"].double()


def forget_optimizer(header: dict, tensors: dict) -> None:
    for name in [name for name in tensors if name.startswith("optimizer.")]:
        del tensors[name]


DAMAGES = {
    "empty": (cut(0), "damaged"),
    "cut in the length": (cut(5), "damaged"),
    "cut in the header": (cut(200), "damaged"),
    "cut in the tensors": (cut(-1), "damaged"),
    "text": (lambda path: path.write_text("not a checkpoint"), "damaged"),
    "a folder": (in_place_of_it, "damaged"),
    "a flipped bit in a tensor": (flip(0.9), "its checksum is another"),
    "another file": (lambda path: save_file({"a": torch.ones(2)}, path), "lacks label"),
    "no history": (edited(lambda h, t: h.pop("history")), "lacks history"),
    "no checksum": (edited(lambda h, t: h.pop("checksum")), "lacks checksum"),
    "another label": (edited(lambda h, t: h.update(label="{}")), "checksum"),
    "a weight of NaN": (edited(nan), "checksum"),
    "no optimizer": (edited(forget_optimizer), "checksum"),
    "a tensor missing": (edited(lambda h, t: t.pop("model.0.bias")), "checksum"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_what_to_do(saved, damage):
    path = saved / FILE
    make, said = DAMAGES[damage]
    make(path)
    model = model_of(0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for read in (
        lambda: read_checkpoint(saved),
        lambda: resume(saved, LABEL, model, adamw(model)),
    ):
        with pytest.raises(ValueError) as raised:
            read()
        message = str(raised.value)
        assert message.startswith(str(path)) and said in message
        assert message.endswith("move it away to train from the start")
        assert "\n" not in message
    assert same(model.state_dict(), before)


@pytest.mark.parametrize("place", [k / 40 for k in range(40)])
def test_no_flipped_bit_goes_unnoticed(saved, place):
    flip(place)(saved / FILE)
    with pytest.raises(ValueError, match=FILE):
        read_checkpoint(saved)


OTHERS = {
    "it lacks 0.bias": lambda h, t: t.pop("model.0.bias"),
    "it has the unknown 9.weight and 1 more": lambda h, t: t.update(
        {"model.9.weight": torch.ones(1), "model.9.zeros": torch.ones(1)}
    ),
    "it has another shape or dtype of 0.weight": larger,
    "another shape or dtype of 0.weight": double,
    "it has numbers that are not finite in 0.weight": nan,
    "optimizer.99.step of shape ()": lambda h, t: t.update(
        {"optimizer.99.step": torch.ones(())}
    ),
    "optimizer.0.exp_avg of shape (2,)": lambda h, t: t.update(
        {"optimizer.0.exp_avg": torch.ones(2)}
    ),
    "optimizer.x of shape (1,)": lambda h, t: t.update({"optimizer.x": torch.ones(1)}),
}


@pytest.mark.parametrize("said", OTHERS)
def test_a_checkpoint_that_does_not_fit_is_named_and_changes_nothing(saved, said):
    rewrite(saved / FILE, OTHERS[said], sign=True)
    model = model_of(5)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = adamw(model)
    with pytest.raises(ValueError) as raised:
        resume(saved, LABEL, model, optimizer)
    assert str(saved / FILE) in str(raised.value) and said in str(raised.value)
    assert same(model.state_dict(), before) and not optimizer.state


def test_weights_of_a_model_must_fit_and_be_finite(tmp_path):
    model, other = model_of(0), model_of(1)
    load_tensors(model, other.state_dict(), tmp_path / "a")
    assert same(model.state_dict(), other.state_dict())
    with pytest.raises(ValueError, match="a does not fit the model: it lacks"):
        load_tensors(model, {}, tmp_path / "a")


def test_a_label_or_history_that_json_cant_hold_is_refused(tmp_path):
    model = model_of(0)
    with pytest.raises(ValueError, match="JSON"):
        save_checkpoint(tmp_path, LABEL, model, sgd(model), [{"loss": float("nan")}])
    assert list(tmp_path.iterdir()) == []


def test_the_scale_of_losses_in_half_precision_comes_back(tmp_path):
    model = model_of(0)
    scaler = scaler_of(2.0**7, enabled=True)
    checkpoints.save_checkpoint(tmp_path, LABEL, model, sgd(model), scaler, [])
    other = scaler_of(enabled=True)
    checkpoints.resume(tmp_path, LABEL, model, sgd(model), other)
    assert other.get_scale() == 2.0**7


# ------------------------------------------------------------------------------ writing


@pytest.mark.parametrize("moment", ["before the last step", "while writing"])
def test_a_writing_that_is_cut_off_leaves_the_last_checkpoint(
    saved, monkeypatch, moment
):
    expected = (saved / FILE).read_bytes()
    model = model_of(3)

    def cut_off(*arguments):
        raise KeyboardInterrupt

    if moment == "while writing":
        real = Path.write_bytes

        def write_half(path, content):
            real(path, content[: len(content) // 2])
            raise KeyboardInterrupt

        monkeypatch.setattr(Path, "write_bytes", write_half)
    else:
        monkeypatch.setattr(os, "replace", cut_off)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(saved, LABEL, model, adamw(model), [])
    monkeypatch.undo()
    assert (saved / FILE).read_bytes() == expected
    assert resume(saved, LABEL, model, adamw(model)) == HISTORY
    save_checkpoint(saved, LABEL, model, adamw(model), [])  # nothing is in its way
    assert resume(saved, LABEL, model, adamw(model)) == []


def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(saved, monkeypatch):
    expected = (saved / FILE).read_bytes()
    real = Path.write_bytes

    def full(path, content):
        real(path, content[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    model = model_of(3)
    with pytest.raises(OSError) as raised:
        save_checkpoint(saved, LABEL, model, adamw(model), [])
    said = str(raised.value)
    assert str(saved) in said and os.strerror(errno.ENOSPC) in said
    assert "\n" not in said
    assert [path.name for path in saved.iterdir()] == [FILE]
    assert (saved / FILE).read_bytes() == expected


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
def test_a_checkpoint_has_the_mode_that_the_user_wants_of_files(tmp_path):
    model = model_of(0)
    before = os.umask(0o027)
    try:
        save_checkpoint(tmp_path, LABEL, model, sgd(model), [])
    finally:
        os.umask(before)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o640


def test_nothing_in_the_package_pickles():
    """Pickled files can run code; the package writes none, and reads one, the weights
    that another package ships, in the way that runs none."""
    for path in Path(stn_tutorial.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
                assert path.name == "birds.py", path
            assert ast.unparse(node) != "torch.save", path
            call = ast.unparse(node) if isinstance(node, ast.Call) else ""
            if call.startswith("torch.load("):
                assert call.endswith("weights_only=True)"), path
            if call.startswith("np.load("):
                assert call.endswith("allow_pickle=False)"), path
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                assert "pickle" not in ast.unparse(node), path
                assert "joblib" not in ast.unparse(node), path
