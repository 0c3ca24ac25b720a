"""The training loop: it learns, repeats itself to the bit, and can be killed."""

from __future__ import annotations

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
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from stn_tutorial.data.digits import DigitSet, load_digits
from stn_tutorial.data.distortions import distort, fixed_test_set
from stn_tutorial.experiments import training
from stn_tutorial.experiments.checkpoints import read_checkpoint
from stn_tutorial.experiments.distorted_digits import (
    Config,
    evaluate,
    load_model,
    make_model,
    run,
)
from stn_tutorial.experiments.models import TransformedClassifier, build, seeded
from stn_tutorial.experiments.results import write_json
from stn_tutorial.experiments.training import Recipe, error_rate, train

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
    recipe = Recipe(epochs=5, batch_size=32, lr=3e-3)
    config = replace(SMALL, model=model, budget=budget, limit=0, recipe=recipe)
    done, _ = run(config, progress=False)
    losses = [entry["loss"] for entry in done.history]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] / 2
    assert done.test_error < 45  # of 90 by chance
    assert done.history[-1]["train_error"] < 45


def test_a_seed_decides_a_run():
    first, again = (run(SMALL, progress=False)[0] for _ in range(2))
    assert same(first.model.state_dict(), again.model.state_dict())
    other = replace(SMALL, recipe=replace(SHORT, seed=1))
    assert not same(first.model.state_dict(), make_model(other).state_dict())
    keys = ("loss", "train_error", "test_error")
    for ours, theirs in zip(first.history, again.history):
        assert [ours[key] for key in keys] == [theirs[key] for key in keys]


def test_a_run_neither_reads_nor_moves_the_global_random_state():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, _ = run(SMALL, progress=False)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again, _ = run(SMALL, progress=False)
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
    assert [len(batch) for batch in seen] == 2 * [32, 32, 32, 4]
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


def test_processes_share_each_batch_and_distort_differently():
    content, drawn = digits(70), []

    def watch(images: Tensor, draw: torch.Generator) -> Tensor:
        drawn.append(torch.rand((), generator=draw).item())
        return images

    def batches(rank: int, processes: int) -> list[Tensor]:
        place = SimpleNamespace(
            device=torch.device("cpu"), process_index=rank, num_processes=processes
        )
        recipe = Recipe(batch_size=32)
        return [x for x, _ in training._batches(content, recipe, 0, place, watch)]

    whole, shares = batches(0, 1), [batches(rank, 3) for rank in range(3)]
    for k, batch in enumerate(whole):
        torch.testing.assert_close(torch.cat([share[k] for share in shares]), batch)
    assert len(set(drawn[3:])) == 9


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


def test_the_papers_sgd_has_no_momentum_and_no_decay():
    optimizer = training._optimizer(linear(), Recipe(optimizer="sgd"))
    assert type(optimizer) is torch.optim.SGD
    assert optimizer.defaults["momentum"] == optimizer.defaults["weight_decay"] == 0
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


def test_the_error_rate_is_the_share_of_misclassified_images():
    images = torch.eye(10).repeat(3, 1)[:, None, None]  # (30, 1, 1, 10), class by place
    labels = torch.arange(10).repeat(3)
    labels[:4] = 9
    assert error_rate(nn.Flatten(), images, labels) == pytest.approx(100 * 4 / 30)
    for batch_size in (1, 7, 30, 100):
        got = error_rate(nn.Flatten(), images, labels, batch_size=batch_size)
        assert got == pytest.approx(100 * 4 / 30)


def test_a_batch_of_one_is_not_left_over():
    config = replace(SMALL, distortion="clutter", model="modern", limit=65)
    done, _ = run(
        replace(config, recipe=Recipe(epochs=1, batch_size=64)), progress=False
    )
    assert all(value.isfinite().all() for value in done.model.state_dict().values())


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_a_process_may_train_in_one_precision_after_another(precision):
    recipe = Recipe(epochs=1, precision=precision)
    seen = []
    model = linear()
    model.last.register_forward_hook(
        lambda module, inputs, out: seen.append(out.dtype) if module.training else None
    )
    done = train(model, digits(), test_set(), recipe, progress=False)
    assert set(seen) == {torch.bfloat16 if precision == "bfloat16" else torch.float32}
    assert all(value.dtype == torch.float32 for value in weights(model).values())
    assert math.isfinite(done.history[0]["loss"])


def test_a_transformer_trains_in_bfloat16():
    recipe = replace(SHORT, precision="bfloat16", epochs=1)
    done, _ = run(replace(SMALL, recipe=recipe), progress=False)
    assert all(value.isfinite().all() for value in done.model.state_dict().values())


@pytest.mark.usefixtures("compiler")
def test_compiled_training_differs_by_rounding_alone():
    torch.compiler.reset()
    recipe = Recipe(epochs=1, batch_size=48, optimizer="sgd", lr=0.05)
    losses, models = [], []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = build("st-fcn", budget=40_000, padding="border")
        how = replace(recipe, compiled=compiled)
        done = train(model, digits(), test_set(), how, progress=False)
        losses.append(done.history[0]["loss"])
        models.append(done.model)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for one, other in zip(*(weights(model).values() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_the_bar_shows_loss_error_and_speed(capsys):
    train(linear(), digits(), test_set(), Recipe(epochs=1))
    bar = capsys.readouterr().err
    for part in ("epoch 1/1", "loss ", "error ", "% ", "images/s"):
        assert part.strip() in bar
    train(linear(), digits(), test_set(), Recipe(epochs=1), progress=False)
    assert capsys.readouterr().err == ""


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
    expected, _ = run(config, progress=False)
    stopped_after(config, tmp_path, last)
    epochs = []
    done, result = run(
        config, tmp_path, on_epoch=lambda epoch, _: epochs.append(epoch), progress=False
    )
    assert epochs == list(range(last, 3))[(last > 0) :]
    assert same(done.model.state_dict(), expected.model.state_dict())
    assert [entry["epoch"] for entry in done.history] == [1, 2]
    assert done.test_error == expected.test_error
    assert json.loads((tmp_path / "result.json").read_text()) == result


def test_a_finished_run_is_not_run_again(tmp_path):
    first, _ = run(SMALL, tmp_path, progress=False)
    before = (tmp_path / CHECKPOINT).read_bytes()
    again, _ = run(SMALL, tmp_path, progress=False)
    assert again.history == first.history
    assert same(again.model.state_dict(), first.model.state_dict())
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_cut_off_while_it_is_written_is_harmless(tmp_path, monkeypatch):
    expected, _ = run(SMALL, progress=False)
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
    done, _ = run(SMALL, tmp_path, progress=False)
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
        "stn_tutorial.experiments.distorted_digits.load_digits",
        lambda split, source: mnist,
    )
    with pytest.raises(ValueError, match=r"other options \(data\)"):
        run(config, tmp_path / "run", progress=False)


def test_a_result_tells_everything(tmp_path):
    done, result = run(SMALL, tmp_path, progress=False)
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
    assert result["versions"]["torch"] == torch.__version__
    assert result["finished"].endswith("+00:00")


def test_a_kept_model_gives_its_test_error_again(tmp_path):
    done, result = run(SMALL, tmp_path, progress=False)
    config, model = load_model(tmp_path)
    assert config == SMALL and not model.training
    assert same(model.state_dict(), done.model.state_dict())
    assert evaluate(config, model) == result["test_error"]


def test_a_recipe_is_judged_on_held_out_training_digits(tmp_path):
    config = replace(SMALL, validation=400, recipe=replace(SHORT, epochs=1))
    _, result = run(config, tmp_path, progress=False)
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
OPTIONS = (
    "--data embedded --model st-cnn --budget 30000 --distortion R --batch-size 32"
).split()
EPOCHS = 6


def start(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "stn_tutorial", "train", *OPTIONS]
    command += ["--epochs", str(EPOCHS), "--folder", str(folder)]
    # Tests that a shell runs in the background ignore Ctrl-C, and so would the process.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> tuple[dict[str, Tensor], float]:
    """The weights of a run that nobody stops, and how long it trained."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    process = start(folder)
    assert process.wait(600) == 0, process.communicate()[1]
    result = json.loads((folder / "result.json").read_text())
    return read_checkpoint(folder)[1], result["seconds"]


def test_a_run_killed_at_any_moment_and_resumed_ends_with_the_same_bits(
    uninterrupted, tmp_path
):
    expected, seconds = uninterrupted
    seed = random.SystemRandom().randrange(10**6)
    delay = random.Random(seed).uniform(0, 0.9 * seconds)
    print(f"seed {seed}: killed {delay:.2f} s after the first checkpoint")
    process = start(tmp_path)
    wait_for(tmp_path / CHECKPOINT, process)
    time.sleep(delay)
    process.kill()
    process.communicate()
    killed = process.returncode == -signal.SIGKILL
    print("killed" if killed else "it had ended")
    process = start(tmp_path)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    _, weights = read_checkpoint(tmp_path)
    assert same(weights, expected)
    result = json.loads((tmp_path / "result.json").read_text())
    assert [entry["epoch"] for entry in result["history"]] == list(range(1, EPOCHS + 1))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_ctrl_c_exits_with_130_and_says_how_to_go_on(uninterrupted, tmp_path):
    expected, _ = uninterrupted
    process = start(tmp_path)
    wait_for(tmp_path / CHECKPOINT, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    assert "Traceback" not in err and out == ""
    said = err.strip().splitlines()[-1]
    command = said.removeprefix("Stopped; to go on: python -m ")
    words = command.split()
    assert words[:2] == ["stn_tutorial", "train"] and words[2:] == [
        *OPTIONS,
        *("--epochs", str(EPOCHS), "--folder", str(tmp_path)),
    ]
    resumed = start(tmp_path)
    _, err = resumed.communicate(timeout=600)
    assert resumed.returncode == 0, err
    assert same(read_checkpoint(tmp_path)[1], expected)
