"""The training loop: it learns, repeats itself to the bit, and can be killed."""

from __future__ import annotations

import errno
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from stn_tutorial.commands import main
from stn_tutorial.data.digits import DigitSet, load_digits
from stn_tutorial.data.distortions import distort, fixed_test_set
from stn_tutorial.experiments import environment, training
from stn_tutorial.experiments.checkpoints import read_checkpoint
from stn_tutorial.experiments.distorted_digits import (
    Config,
    evaluate,
    load_model,
    make_model,
    run,
)
from stn_tutorial.experiments.models import TransformedClassifier, seeded
from stn_tutorial.experiments.results import write_json
from stn_tutorial.experiments.training import (
    Diverged,
    Recipe,
    Run,
    batches,
    error_rate,
    predict,
    train,
)
from stn_tutorial.localization import parameters_by_part

CHECKPOINT = "checkpoint.safetensors"
SHORT = Recipe(epochs=2, batch_size=64)
SMALL = Config(
    model="st-cnn",
    distortion="R",
    budget=25_000,
    data="embedded",
    limit=256,
    recipe=SHORT,
)
pytestmark = pytest.mark.usefixtures("one_core")


class Linear(nn.Module):
    """The smallest model that has a localization network's parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.localization = nn.Linear(1, 1)
        self.last = nn.Linear(784, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.flatten(1)) + self.localization(
            x.mean(dim=(1, 2, 3))[:, None]
        )


def linear() -> Linear:
    with seeded(0):
        return Linear()


def digits(count: int = 100) -> DigitSet:
    return load_digits("train", "embedded").first(count)


def test_set(count: int = 20) -> tuple[Tensor, Tensor]:
    few = load_digits("test", "embedded").first(count)
    return few.images, few.labels


test_set.__test__ = False


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(("model", "budget"), [("cnn", 20_000), ("st-cnn", 30_000)])
def test_models_learn_turned_digits(model, budget):
    recipe = Recipe(epochs=5, batch_size=16, lr=6e-3)
    config = replace(SMALL, model=model, budget=budget, limit=400, recipe=recipe)
    done = run(config, progress=False)
    losses = [entry["loss"] for entry in done.history]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] / 2
    assert done.test_error < 45  # of 90 by chance
    assert done.history[-1]["train_error"] < 45


def test_a_seed_decides_a_run():
    first, again = (run(SMALL, progress=False) for _ in range(2))
    assert same(first.model.state_dict(), again.model.state_dict())
    other = replace(SMALL, recipe=replace(SHORT, seed=1))
    assert not same(first.model.state_dict(), make_model(other).state_dict())
    keys = ("loss", "train_error", "test_error")
    for ours, theirs in zip(first.history, again.history):
        assert [ours[key] for key in keys] == [theirs[key] for key in keys]


def test_a_run_neither_reads_nor_moves_the_global_random_state():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = run(SMALL, progress=False)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again = run(SMALL, progress=False)
    assert same(first.model.state_dict(), again.model.state_dict())


def test_every_epoch_sees_every_digit_in_another_order():
    seen = []
    content = digits(100)
    tagged = DigitSet(
        torch.arange(100.0).view(100, 1, 1, 1).expand(100, 1, 28, 28),
        content.labels,
        "embedded",
    )

    def watch(images: Tensor, draw: torch.Generator) -> Tensor:
        seen.append(images[:, 0, 0, 0].int().tolist())
        return images

    recipe = Recipe(epochs=2, batch_size=32)
    train(linear(), tagged, test_set(), recipe, distort=watch, progress=False)
    assert [len(batch) for batch in seen] == 2 * [25, 25, 25, 25]
    first, second = sum(seen[:4], []), sum(seen[4:], [])
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second and first != sorted(first)


def test_every_epoch_has_distortions_of_its_own():
    drawn = []

    def watch(images: Tensor, draw: torch.Generator) -> Tensor:
        drawn.append(torch.rand((), generator=draw).item())
        return images

    for seed in (0, 1):
        recipe = Recipe(epochs=3, batch_size=50, seed=seed)
        train(linear(), digits(), test_set(), recipe, distort=watch, progress=False)
    assert len(set(drawn)) == 2 * 3 * 2


@given(
    count=st.integers(2, 300),
    batch_size=st.integers(2, 64),
    processes=st.integers(1, 5),
    epoch=st.integers(0, 3),
)
def test_every_example_is_in_one_batch_of_one_process(
    count, batch_size, processes, epoch
):
    recipe = Recipe(batch_size=batch_size)
    if min(count, batch_size) < 2 * processes:
        with pytest.raises(ValueError, match="must be 2 at least for each of"):
            batches(count, recipe, epoch, 0, processes)
        return
    shares = [batches(count, recipe, epoch, k, processes) for k in range(processes)]
    taken = torch.cat([torch.cat(share) for share in shares])
    assert sorted(taken.tolist()) == list(range(count))
    sizes = [sum(map(len, parts)) for parts in zip(*shares, strict=True)]
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) <= math.ceil(count / batch_size)
    if batch_size >= 4 * processes:  # else a few more join, so that nobody is alone
        assert max(sizes) <= batch_size
    each = [len(part) for share in shares for part in share]
    assert min(each) >= 2 and max(each) - min(each) <= 2


def test_processes_share_the_batches_of_one():
    recipe = Recipe(batch_size=32)
    whole = batches(70, recipe, 1)
    shares = [batches(70, recipe, 1, rank, 3) for rank in range(3)]
    for k, batch in enumerate(whole):
        assert torch.equal(torch.cat([share[k] for share in shares]), batch)


def test_on_epoch_is_called_before_the_first_epoch_and_after_each(tmp_path):
    calls = []

    def watch(epoch: int, model: nn.Module) -> None:
        assert not model.training
        assert read_checkpoint(tmp_path)[1].keys() == model.state_dict().keys()
        calls.append((epoch, weights(model)))

    model = linear()
    start = weights(model)
    recipe = Recipe(epochs=3)
    train(
        model,
        digits(),
        test_set(),
        recipe,
        folder=tmp_path,
        on_epoch=watch,
        progress=False,
    )
    assert [epoch for epoch, _ in calls] == [0, 1, 2, 3]
    assert same(calls[0][1], start) and same(calls[-1][1], model.state_dict())


def test_a_model_is_evaluated_after_every_few_epochs_and_the_last():
    recipe, every = Recipe(epochs=5), {}
    for few in (1, 2):
        run = train(linear(), digits(), test_set(), recipe, evaluate_every=few)
        every[few] = run.history
    tested = [entry["epoch"] for entry in every[2] if "test_error" in entry]
    assert tested == [2, 4, 5]
    for rare, all_of_it in zip(every[2], every[1]):
        assert rare["loss"] == all_of_it["loss"]
        if "test_error" in rare:
            assert rare["test_error"] == all_of_it["test_error"]


def learning_rates(
    monkeypatch, recipe: Recipe, count: int = 90
) -> dict[str, list[float]]:
    """The learning rate of each part's group, at each step."""
    seen: dict[str, list[float]] = {"last": [], "localization": []}
    kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[recipe.optimizer]
    model = linear()
    step = kind.step

    def watch(self, *arguments, **options):
        for group in self.param_groups:
            part = "last" if model.last.weight is group["params"][0] else "localization"
            seen[part].append(group["lr"])
        return step(self, *arguments, **options)

    monkeypatch.setattr(kind, "step", watch)
    train(model, digits(count), test_set(), recipe, progress=False)
    return seen


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_one_cycle_starts_low_peaks_and_ends_near_zero(monkeypatch, optimizer):
    recipe = Recipe(
        epochs=10,
        batch_size=9,
        optimizer=optimizer,
        lr=0.5,
        localization_lr_ratio=0.1,
    )
    seen = learning_rates(monkeypatch, recipe)
    rates = torch.tensor(seen["last"], dtype=torch.float64) / 0.5
    assert len(rates) == 100
    up, down = rates[:20], rates[20:]
    assert rates[0] == pytest.approx(0.04) and rates.argmax() == 20
    assert rates.max() == pytest.approx(1, abs=2e-3) and rates.max() <= 1
    assert up.diff().max() - up.diff().min() < 1e-9 and up.diff().min() > 0
    cosine = 0.5 + 0.5 * torch.cos(math.pi * torch.arange(80, dtype=torch.float64) / 80)
    torch.testing.assert_close(down, cosine, rtol=0, atol=2e-3)
    assert 0 < rates[-1] < 0.003
    ratios = torch.tensor(seen["localization"]).double() / (0.5 * rates)
    torch.testing.assert_close(ratios, torch.full((100,), 0.1).double())


def test_the_steps_of_the_paper_divide_by_ten_after_each_third(monkeypatch):
    recipe = Recipe(epochs=3, batch_size=9, schedule="step", optimizer="sgd", lr=0.5)
    seen = learning_rates(monkeypatch, recipe)
    assert seen["last"] == pytest.approx([0.5] * 10 + [0.05] * 10 + [0.005] * 10)
    expected = [0.3 * rate for rate in seen["last"]]
    assert seen["localization"] == pytest.approx(expected)


def test_a_transformers_localization_network_has_the_group_of_its_own():
    model = make_model(SMALL)
    assert isinstance(model, TransformedClassifier)
    optimizer = training._optimizer(model, Recipe(lr=1.0, localization_lr_ratio=0.25))
    by_peak = {group["peak"]: group["params"] for group in optimizer.param_groups}
    for peak, part in ((0.25, model.transformer), (1.0, model.classifier)):
        assert {id(p) for p in by_peak[peak]} == {id(p) for p in part.parameters()}


def test_with_a_ratio_of_zero_the_transformer_stays_where_it_starts():
    recipe = replace(SHORT, localization_lr_ratio=0, epochs=1)
    model = run(replace(SMALL, recipe=recipe), progress=False).model.cpu()
    images = torch.rand(5, 1, 28, 28)
    identity = model.transformer.family.identity().expand(5, -1)
    with torch.no_grad():
        assert torch.equal(model.transformer.params(images), identity)


def test_the_papers_sgd_has_no_momentum_and_no_decay():
    optimizer = training._optimizer(linear(), Recipe(optimizer="sgd"))
    assert type(optimizer) is torch.optim.SGD
    assert optimizer.defaults["momentum"] == optimizer.defaults["weight_decay"] == 0
    optimizer = training._optimizer(linear(), Recipe(optimizer="nesterov"))
    assert optimizer.defaults["momentum"] == 0.9 and optimizer.defaults["nesterov"]
    assert optimizer.defaults["weight_decay"] == 0
    optimizer = training._optimizer(linear(), Recipe(weight_decay=0.02))
    assert type(optimizer) is torch.optim.AdamW
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.02}


def test_one_step_of_sgd_is_one_step_of_sgd():
    content, model = digits(64), linear()
    start = weights(model)
    recipe = Recipe(epochs=1, batch_size=64, optimizer="sgd", schedule="step", lr=0.25)
    done = train(model, content, test_set(), recipe, progress=False)
    reference = linear()
    scores = reference(content.images)
    loss = nn.functional.cross_entropy(scores, content.labels)
    loss.backward()
    for name, parameter in reference.named_parameters():
        rate = 0.25 * (0.3 if "localization" in name else 1)
        expected = start[name] - rate * parameter.grad
        torch.testing.assert_close(model.state_dict()[name], expected)
    entry = done.history[0]
    assert entry["loss"] == pytest.approx(loss.item(), rel=1e-5)
    wrong = (scores.argmax(1) != content.labels).double().mean().item()
    assert entry["train_error"] == pytest.approx(100 * wrong)


@pytest.mark.parametrize("share", [0.1, 10.0])
def test_the_localization_networks_gradient_alone_is_clipped(share):
    reference, content = linear(), digits(64)
    nn.functional.cross_entropy(reference(content.images), content.labels).backward()
    looking = parameters_by_part(reference)["localization"]
    norm = nn.utils.get_total_norm([parameter.grad for parameter in looking]).item()
    model = linear()
    start = weights(model)
    recipe = Recipe(
        epochs=1,
        batch_size=64,
        optimizer="sgd",
        schedule="step",
        lr=1.0,
        localization_lr_ratio=1.0,
        localization_clip=share * norm,
    )
    train(model, content, test_set(), recipe, progress=False)
    for name, parameter in reference.named_parameters():
        left = min(share, 1.0) if "localization" in name else 1.0
        expected = start[name] - left * parameter.grad
        torch.testing.assert_close(model.state_dict()[name], expected)


def test_the_error_rate_is_the_share_of_misclassified_images():
    images = torch.eye(10).repeat(3, 1)[:, None, None]  # (30, 1, 1, 10), class by place
    labels = torch.arange(10).repeat(3)
    labels[:4] = 9
    assert error_rate(nn.Flatten(), images, labels) == pytest.approx(100 * 4 / 30)
    for batch_size in (1, 7, 30, 100):
        got = error_rate(nn.Flatten(), images, labels, batch_size=batch_size)
        assert got == pytest.approx(100 * 4 / 30)


@pytest.mark.parametrize("limit", [3, 65])
def test_no_digit_is_left_alone_in_a_batch(limit):
    seen = []

    def watch(images: Tensor, draw: torch.Generator) -> Tensor:
        seen.append(len(images))
        return images

    recipe = Recipe(epochs=1, batch_size=min(64, limit - 1))
    train(linear(), digits(limit), test_set(), recipe, distort=watch)
    assert sum(seen) == limit and min(seen) > 1


def computed_in(recipe: Recipe) -> tuple[set[torch.dtype], Run]:
    """The dtypes of a model's outputs in training and in testing, and the run."""
    seen = set()
    model = linear()
    model.last.register_forward_hook(lambda module, x, out: seen.add(out.dtype))
    done = train(model, digits(), test_set(), recipe)
    assert all(value.dtype == torch.float32 for value in weights(model).values())
    assert math.isfinite(done.history[0]["loss"])
    model(digits().images)  # afterwards, it computes in float32
    return seen, done


@pytest.mark.parametrize("precision", ["bfloat16", "float32", "float16"])
def test_a_process_may_train_in_one_precision_after_another(monkeypatch, precision):
    fast = {"amx_bf16", "amx_fp16"}
    monkeypatch.setattr(environment, "_cpu_features", lambda: fast)
    seen, done = computed_in(Recipe(epochs=1, precision=precision))
    assert seen == {getattr(torch, precision), torch.float32}
    assert done.environment["precision"] == precision


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_processor_without_half_precision_computes_in_float32(monkeypatch, precision):
    monkeypatch.setattr(environment, "_cpu_features", lambda: {"avx2"})
    seen, done = computed_in(Recipe(epochs=1, precision=precision))
    assert seen == {torch.float32}
    assert done.environment["precision"] == "float32"
    assert ", avx2)" in done.environment["device"]


def test_where_pytorch_cant_say_what_a_processor_has_nothing_is_assumed(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    cpu = torch.device("cpu")
    assert environment.precision_on(cpu, "bfloat16") == "float32"
    about = environment.environment(cpu, precision="bfloat16")
    assert about["device"].endswith(" threads)") and about["precision"] == "float32"


def test_a_transformer_trains_in_bfloat16(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "_cpu_features", lambda: {"avx512_bf16"})
    config = replace(SMALL, recipe=replace(SHORT, precision="bfloat16", epochs=1))
    done = run(config, tmp_path, progress=False)
    result = done.result
    assert all(value.isfinite().all() for value in done.model.state_dict().values())
    assert len(result["misclassified"]) == pytest.approx(3.6 * result["test_error"])
    assert evaluate(*load_model(tmp_path)) == result["test_error"]


# ------------------------------------------------------------------- what goes wrong


def test_a_diverged_run_stops_and_its_last_checkpoint_is_whole(tmp_path):
    class Explodes(Linear):
        """Its loss is finite in the first epoch alone."""

        def forward(self, x: Tensor) -> Tensor:
            self.calls = getattr(self, "calls", 0) + self.training
            return super().forward(x) * (1 if self.calls <= 2 else torch.inf)

    recipe = Recipe(epochs=3, batch_size=50)
    with pytest.raises(Diverged) as raised:
        train(Explodes(), digits(), test_set(), recipe, folder=tmp_path)
    said = str(raised.value)
    assert said.startswith("the run diverged in epoch 2, its loss is nan")
    assert f"the checkpoint in {tmp_path} is from before" in said and "\n" not in said
    _, kept = read_checkpoint(tmp_path)
    assert all(value.isfinite().all() for value in kept.values())


def test_a_weight_that_is_not_finite_is_a_diverged_run():
    recipe = Recipe(epochs=1, batch_size=64, optimizer="sgd", lr=1e38)
    with pytest.raises(Diverged, match="in epoch 1, a weight is not finite"):
        train(linear(), digits(64), test_set(), recipe, distort=lambda x, _: 1e3 * x)


def test_a_diverged_run_is_one_line_exit_code_1_and_valid_files(tmp_path, capsys):
    options = "train --data embedded --model fcn --distortion R --limit 64 --epochs 2"
    diverging = "--batch-size 32 --optimizer sgd --lr 1e38 --folder"
    with pytest.raises(SystemExit) as stopped:
        main([*options.split(), *diverging.split(), str(tmp_path)])
    assert stopped.value.code == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "the run diverged in epoch 1" in last and str(tmp_path) in last
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    assert evaluate(*load_model(tmp_path)) > 0  # of the untrained model


def test_a_full_disk_stops_a_run_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    expected = train(linear(), digits(), test_set(), SHORT)
    real, written = Path.write_bytes, []

    def full(path: Path, content: bytes) -> int:
        written.append(path)
        if len(written) == 2:  # after the first epoch
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="^can't write a checkpoint into"):
            train(linear(), digits(), test_set(), SHORT, folder=tmp_path)
    done = train(linear(), digits(), test_set(), SHORT, folder=tmp_path)
    assert same(done.model.state_dict(), expected.model.state_dict())


def test_too_few_digits_are_refused():
    with pytest.raises(ValueError, match="^examples must be 2 at least .* got 1"):
        train(linear(), digits(1), test_set(), SHORT)


@pytest.mark.parametrize(
    "backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.long)]
)
def test_compiled_training_differs_by_rounding_alone(backend, monkeypatch, request):
    if backend == "inductor":
        request.getfixturevalue("compiler")
    calls, compile = [], torch.compile

    def compile_with(model: nn.Module, **options) -> nn.Module:
        calls.append(options)
        return compile(model, backend=backend, **options)

    # What is compiled is captured in any case; machine code takes seconds to be made.
    monkeypatch.setattr(torch, "compile", compile_with)
    torch.compiler.reset()
    recipe = Recipe(epochs=1, batch_size=49, optimizer="sgd", lr=0.05)
    losses, models = [], []
    for compiled in (False, True):
        how = replace(recipe, compiled=compiled)
        done = train(linear(), digits(), test_set(), how)
        losses.append(done.history[0]["loss"])
        models.append(done.model)
    assert calls == [{"mode": "default", "dynamic": False}]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for one, other in zip(*(weights(model).values() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_the_bar_shows_loss_error_and_speed(capsys):
    train(linear(), digits(), test_set(), Recipe(epochs=1), progress=True)
    bar = capsys.readouterr().err
    for part in ("epoch 1/1", "loss ", "train error ", "examples/s"):
        assert part in bar
    train(linear(), digits(), test_set(), Recipe(epochs=1))
    assert capsys.readouterr().err == ""


def test_what_is_said_after_an_interrupted_epoch_has_its_own_line(capsys):
    def interrupt(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        raise KeyboardInterrupt

    model = linear()
    model.register_forward_pre_hook(interrupt)
    try:
        train(model, digits(), test_set(), Recipe(epochs=1), progress=True)
    except KeyboardInterrupt:  # the frames that hold the bar are still there
        print("stopped", file=sys.stderr)
    *drawn, said = capsys.readouterr().err.splitlines()
    assert "epoch 1/1" in "".join(drawn)
    assert said == "stopped"


def test_dropout_is_repeated_and_differs_between_epochs():
    def outputs() -> list[Tensor]:
        seen = []
        model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(784, 10))
        model[1].register_forward_hook(lambda module, x, out: seen.append(out == 0))
        train(model, digits(32), test_set(), replace(SHORT, lr=1e-9))
        return [dropped for dropped in seen if len(dropped) == 32]

    first, again = outputs(), outputs()
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], first[1])


def test_the_largest_seed_works():
    recipe = Recipe(epochs=1, seed=2**32 - 1)
    train(linear(), digits(), test_set(), recipe, progress=False)


class Stop(Exception):
    pass


def stopped_after(config: Config, folder: Path, last: int) -> None:
    def stop(epoch: int, model: nn.Module) -> None:
        if epoch == last:
            raise Stop

    with pytest.raises(Stop):
        run(config, folder, on_epoch=stop, progress=False)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("last", [0, 1])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, optimizer, last):
    config = replace(SMALL, model="st-modern", budget=60_000, limit=128)
    config = replace(config, recipe=replace(SHORT, optimizer=optimizer))
    expected = run(config, progress=False)
    stopped_after(config, tmp_path, last)
    epochs = []
    done = run(
        config, tmp_path, on_epoch=lambda epoch, _: epochs.append(epoch), progress=False
    )
    result = done.result
    assert epochs == list(range(last, 3))[(last > 0) :]
    assert same(done.model.state_dict(), expected.model.state_dict())
    assert [entry["epoch"] for entry in done.history] == [1, 2]
    assert done.test_error == expected.test_error
    assert json.loads((tmp_path / "result.json").read_text()) == result


def test_a_finished_run_is_not_run_again(tmp_path):
    first = run(SMALL, tmp_path, progress=False)
    before = (tmp_path / CHECKPOINT).read_bytes()
    again = run(SMALL, tmp_path, progress=False)
    assert again.history == first.history
    assert same(again.model.state_dict(), first.model.state_dict())
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_cut_off_while_it_is_written_is_harmless(tmp_path, monkeypatch):
    expected = run(SMALL, progress=False)
    replaced = []

    def fail_the_third(source, target):
        if Path(target).name == CHECKPOINT:
            replaced.append(target)
            if len(replaced) == 3:  # of epochs 0, 1 and 2
                raise Stop
        return real(source, target)

    real = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail_the_third)
        with pytest.raises(Stop):
            run(SMALL, tmp_path, progress=False)
    (tmp_path / f"{CHECKPOINT}.1.part").write_bytes(b"half of a file")
    done = run(SMALL, tmp_path, progress=False)
    assert same(done.model.state_dict(), expected.model.state_dict())


def test_another_configuration_in_the_same_folder_is_refused(tmp_path):
    run(SMALL, tmp_path, progress=False)
    before = (tmp_path / CHECKPOINT).read_bytes()
    for other, named in (
        (replace(SMALL, distortion="E"), "distortion"),
        (replace(SMALL, recipe=replace(SHORT, epochs=3)), "epochs"),
        (replace(SMALL, model="cnn", limit=128), "limit, model"),
    ):
        with pytest.raises(ValueError) as raised:
            run(other, tmp_path, progress=False)
        assert f"other options ({named})" in str(raised.value)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_run_that_took_the_data_it_could_have_stays_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("STN_TUTORIAL_MIRROR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("STN_TUTORIAL_DATA", str(tmp_path / "empty"))
    config = replace(SMALL, data="auto", recipe=replace(SHORT, epochs=1))
    run(config, tmp_path / "run", progress=False)
    found, _ = load_model(tmp_path / "run")
    assert found == replace(config, data="embedded")
    assert evaluate(*load_model(tmp_path / "run")) > 0
    mnist = DigitSet(*digits(64).images.split(64), digits(64).labels, "mnist")
    monkeypatch.setattr(
        "stn_tutorial.experiments.classification.load_digits",
        lambda split, source: mnist,
    )
    with pytest.raises(ValueError, match=r"other options \(data\)"):
        run(config, tmp_path / "run", progress=False)


def test_a_result_tells_everything(tmp_path):
    done = run(SMALL, tmp_path, progress=False)
    result = done.result
    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        CHECKPOINT,
        "result.json",
    ]
    assert result["config"] == asdict(SMALL)
    assert result["parameters"] == sum(p.numel() for p in done.model.parameters())
    data, full = result["data"], load_digits("test", "embedded")
    assert data["source"] == "embedded"
    assert data["train"] == {"digits": 256, "sha256": digits(256).checksum}
    assert data["test"] == {"split": "test", "digits": 360, "sha256": full.checksum}
    assert [set(entry) for entry in result["history"]] == 2 * [
        {"epoch", "loss", "train_error", "test_error", "seconds"}
    ]
    assert result["test_error"] == result["history"][-1]["test_error"]
    images = fixed_test_set(full.images, "R").images
    with torch.inference_mode():
        wrong = (done.model(images).argmax(1) != full.labels).nonzero()[:, 0]
    assert result["misclassified"] == wrong.tolist()
    assert len(wrong) == pytest.approx(3.6 * result["test_error"])
    seconds = [entry["seconds"] for entry in result["history"]]
    assert min(seconds) > 0 and result["seconds"] == pytest.approx(sum(seconds))
    assert result["device"].startswith("cpu (") and result["processes"] == 1
    assert f"{torch.get_num_threads()} threads" in result["device"]
    assert result["precision"] == "float32"
    assert result["versions"]["numpy"] == np.__version__
    assert result["versions"]["torch"] == torch.__version__
    assert result["finished"].endswith("+00:00")


def test_a_kept_model_gives_its_test_error_again(tmp_path):
    done = run(SMALL, tmp_path, progress=False)
    result = done.result
    config, model = load_model(tmp_path)
    assert config == SMALL and not model.training
    assert same(model.state_dict(), done.model.state_dict())
    assert evaluate(config, model) == result["test_error"]


def test_a_recipe_is_judged_on_held_out_training_digits(tmp_path):
    config = replace(SMALL, validation=400, recipe=replace(SHORT, epochs=1))
    result = run(config, tmp_path, progress=False).result
    rest, held = load_digits("train", "embedded").hold_out(400)
    assert result["data"]["train"]["sha256"] == rest.first(256).checksum
    expected = {"split": "validation", "digits": 400, "sha256": held.checksum}
    assert result["data"]["test"] == expected
    found, model = load_model(tmp_path)
    assert evaluate(found, model) == result["test_error"]
    assert evaluate(replace(found, validation=0), model) != result["test_error"]


def test_training_distorts_anew_and_the_test_set_stays(monkeypatch):
    seeds = []

    def watch(digits, name, generator):
        seeds.append(generator.initial_seed())
        return distort(digits, name, generator)

    monkeypatch.setattr("stn_tutorial.data.distortions.distort", watch)
    monkeypatch.setattr("stn_tutorial.experiments.distorted_digits.distort", watch)
    run(replace(SMALL, limit=64), progress=False)
    assert seeds[0] == 2015 and len(set(seeds)) == 3 and seeds.count(2015) == 1


def test_json_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "result.json"
    write_json(path, {"a": [1, 2.5]})
    assert json.loads(path.read_text()) == {"a": [1, 2.5]}
    with pytest.raises(TypeError):
        write_json(path, {"a": torch.ones(1)})
    assert json.loads(path.read_text()) == {"a": [1, 2.5]}
    assert [each.name for each in path.parent.iterdir()] == ["result.json"]


# What follows starts runs as a user does, each in a process of its own.
KILLED = replace(SMALL, limit=200, recipe=Recipe(epochs=3, batch_size=32))
OPTIONS = (
    "--data embedded --model st-cnn --budget 25000 --distortion R --limit 200 "
    "--batch-size 32 --epochs 3"
).split()


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[dict[str, Tensor], float]:
    """The weights of a run that nobody stops, and how long it trains."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    done = run(KILLED, progress=False)
    result = done.result
    torch.set_num_threads(threads)
    return weights(done.model), result["seconds"]


def start(folder: Path) -> subprocess.Popen:
    """Start training, and wait for the first checkpoint."""
    command = [sys.executable, "-m", "stn_tutorial", "train", *OPTIONS]
    # Tests that a shell runs in the background ignore Ctrl-C, and so would the process.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*command, "--folder", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (folder / CHECKPOINT).exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    return process


def test_a_run_killed_at_any_moment_and_resumed_ends_with_the_same_bits(
    uninterrupted, tmp_path
):
    expected, seconds = uninterrupted
    seed = random.SystemRandom().randrange(10**6)
    delay = random.Random(seed).uniform(0, 0.9 * seconds)
    print(f"seed {seed}: killed {delay:.2f} s after the first checkpoint")
    process = start(tmp_path)
    time.sleep(delay)
    process.kill()
    process.communicate()
    done = run(KILLED, tmp_path, progress=False)
    result = done.result
    assert same(done.model.state_dict(), expected)
    assert [entry["epoch"] for entry in result["history"]] == [1, 2, 3]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_ctrl_c_exits_with_130_and_says_how_to_go_on(uninterrupted, tmp_path):
    expected, _ = uninterrupted
    process = start(tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert "Traceback" not in err and out == ""
    said = err.strip().splitlines()[-1]
    command = said.removeprefix("stopped; to go on: python -m ").split()
    assert command == ["stn_tutorial", "train", *OPTIONS, "--folder", str(tmp_path)]
    done = run(KILLED, tmp_path, progress=False)
    assert same(done.model.state_dict(), expected)


def test_what_is_predicted_may_be_trained_on():
    features = predict(nn.Linear(3, 2), torch.rand(5, 3), batch_size=5)
    F.mse_loss(nn.Linear(2, 1)(features), torch.zeros(5, 1)).backward()


@pytest.mark.parametrize("labels", [[[0], [1], [2], [2]], [0], 0])
def test_there_must_be_a_label_for_each_image(labels):
    with pytest.raises(ValueError, match=r"^labels must be \(4,\), got"):
        error_rate(nn.Flatten(), torch.eye(4)[:, None], torch.tensor(labels))
