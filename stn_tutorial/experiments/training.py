"""The training loop: one for every model, on one process or several.

Digits stay on the device and are distorted there, a batch at a time. All that is random
in an epoch is drawn from a generator seeded by (seed, epoch), and a killed run goes on
as if nothing had happened: on a CPU, to the same bits. Accelerate does all the rest.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from tqdm.auto import tqdm

from stn_tutorial.data.digits import DigitSet
from stn_tutorial.experiments._options import Range, check_options
from stn_tutorial.experiments.checkpoints import resume, save_checkpoint

__all__ = ["Recipe", "Run", "environment", "error_rate", "misclassified", "train"]

_MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}  # Accelerate's names
Distort = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        epochs: passes over the training digits.
        batch_size: digits a step, over all processes; two at least, as batch
            normalization compares them.
        optimizer: adamw, or sgd as in the paper (no momentum, no weight decay).
        lr: learning rate at its height.
        localization_lr_ratio: the localization network's learning rate over the rest's.
        schedule: one-cycle (up, then down along a cosine), or step as in the paper
            (divided by 10 after each third of the run).
        weight_decay: of adamw.
        seed: of the order and the distortions.
        precision: of what the model computes; weights and losses stay float32.
        compiled: compile the model; with CUDA graphs on a GPU, where the launches of
            small kernels take longer than the kernels. Results differ by rounding.
    """

    epochs: Annotated[int, Range(least=1)] = 10
    batch_size: Annotated[int, Range(least=2)] = 256
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: Annotated[float, Range(above=0)] = 2e-3
    localization_lr_ratio: Annotated[float, Range(above=0)] = 0.3
    schedule: Literal["one-cycle", "step"] = "one-cycle"
    weight_decay: Annotated[float, Range(least=0)] = 1e-4
    seed: Annotated[int, Range(least=0, below=2**32)] = 0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compiled: bool = False

    def __post_init__(self) -> None:
        check_options(self)


@dataclass
class Run:
    """What `train` returns.

    Attributes:
        model: trained, in evaluation mode.
        history: one entry an epoch: loss, train_error and test_error (%), seconds.
        environment: device, versions and when the run ended, ready for JSON.
    """

    model: nn.Module
    history: list[dict[str, float]] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def test_error(self) -> float:
        """The test error after the last epoch, in percent."""
        return self.history[-1]["test_error"]


def train(
    model: nn.Module,
    digits: DigitSet,
    test: tuple[Tensor, Tensor],
    recipe: Recipe,
    *,
    distort: Distort | None = None,
    folder: Path | None = None,
    label: dict[str, Any] | None = None,
    on_epoch: Callable[[int, nn.Module], None] | None = None,
    progress: bool = True,
) -> Run:
    """Train a model, or go on where a killed run of the same label and recipe stopped.

    Args:
        model: images to scores; parameters whose name holds "localization" get their
            own learning rate.
        digits: to train on.
        test: images ``(N, C, H, W)``, distorted already, and labels ``(N,)``.
        recipe: how to train.
        distort: what is done to each batch of digits, from a generator on their device.
        folder: where the checkpoint is kept; without, there is none.
        label: what else tells this run from others; kept in the checkpoint as JSON.
        on_epoch: called with the epoch (0 before the first) and the model.
        progress: show a bar with loss, error and images per second.

    Returns:
        The run; its model is `model`, which goes on computing in the recipe's
        precision, in tests as well. Another with its weights computes in its own.

    Raises:
        ValueError: if the folder holds a run of another label or recipe.
    """
    AcceleratorState._reset_state()  # else a process keeps its first run's precision
    # Several processes without an accelerator find each other only if told so.
    alone = not torch.accelerator.is_available()
    accelerator = Accelerator(cpu=alone, mixed_precision=_MIXED[recipe.precision])
    device, main = accelerator.device, accelerator.is_main_process
    label = {**(label or {}), "recipe": asdict(recipe)}
    digits, model = digits.to(device), model.to(device)
    test_images, test_labels = (part.to(device) for part in test)
    optimizer = _optimizer(model, recipe)
    steps = math.ceil(len(digits) / recipe.batch_size)
    schedule = _schedule(recipe, steps)
    history = resume(folder, label, model, optimizer) if folder else []
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    if recipe.compiled:
        # Not dynamic: there are two batch sizes, and an epoch's last batch is alone.
        mode = "reduce-overhead" if device.type == "cuda" else "default"
        wrapped = torch.compile(wrapped, mode=mode, dynamic=False)

    def close(epoch: int) -> None:
        if folder and main:
            save_checkpoint(folder, label, model, optimizer.optimizer, history)
        if on_epoch:
            on_epoch(epoch, model.eval())

    if not history:
        close(0)
    for epoch in range(len(history), recipe.epochs):
        start = time.perf_counter()
        tally = torch.zeros(3, device=device)  # loss, wrong, seen
        wrapped.train()
        bar = tqdm(
            _batches(digits, recipe, epoch, accelerator, distort),
            total=steps,
            desc=f"epoch {epoch + 1}/{recipe.epochs}",
            disable=not (progress and main),
            leave=False,
        )
        for step, (images, labels) in enumerate(bar):
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * schedule(epoch * steps + step)
            with accelerator.autocast():
                scores = wrapped(images)
            loss = F.cross_entropy(scores.float(), labels)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            wrong = (scores.argmax(1) != labels).sum()
            count = torch.tensor(len(labels), device=device)
            tally += torch.stack([loss.detach() * count, wrong, count])
            if step % 20 == 0 and not bar.disable:
                bar.set_postfix_str(_so_far(tally, start, accelerator.num_processes))
        total_loss, wrong, seen = accelerator.reduce(tally, "sum").tolist()
        history.append(
            {
                "epoch": epoch + 1,
                "loss": total_loss / seen,
                "train_error": 100 * wrong / seen,
                "test_error": error_rate(model, test_images, test_labels),
                "seconds": time.perf_counter() - start,
            }
        )
        close(epoch + 1)
    return Run(model.eval(), history, environment(device, accelerator.num_processes))


def error_rate(
    model: nn.Module, images: Tensor, labels: Tensor, *, batch_size: int = 1000
) -> float:
    """Return the share of images that a model misclassifies.

    Args:
        model: images to scores.
        images: ``(N, C, H, W)``.
        labels: ``(N,)``.
        batch_size: of the images scored at once.

    Returns:
        The error in percent.
    """
    wrong = misclassified(model, images, labels, batch_size=batch_size)
    return 100 * len(wrong) / len(labels)


def misclassified(
    model: nn.Module, images: Tensor, labels: Tensor, *, batch_size: int = 1000
) -> list[int]:
    """Return which images a model misclassifies.

    Args:
        model: images to scores.
        images: ``(N, C, H, W)``.
        labels: ``(N,)``.
        batch_size: of the images scored at once.

    Returns:
        Their indices.
    """
    model.eval()
    with torch.inference_mode():
        found = torch.cat([model(x).argmax(1) for x in images.split(batch_size)])
    return (found != labels).nonzero()[:, 0].tolist()


def _batches(
    digits: DigitSet,
    recipe: Recipe,
    epoch: int,
    accelerator: Accelerator,
    distort: Distort | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's share of every batch of an epoch, distorted."""
    device, rank = accelerator.device, accelerator.process_index
    seed = recipe.seed * 1_000_003 + epoch
    order = torch.Generator().manual_seed(seed)
    permutation = torch.randperm(len(digits), generator=order).to(device)
    draw = torch.Generator(device)
    draw.manual_seed(1009 * seed + rank + 1)
    for batch in permutation.split(recipe.batch_size):
        mine = batch.tensor_split(accelerator.num_processes)[rank]
        if len(mine) < 2:  # too few for batch normalization, or for clutter
            mine = permutation[:2]
        images = digits.images[mine]
        yield distort(images, draw) if distort else images, digits.labels[mine]


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Two groups, each with its learning rate at the height of the schedule."""
    parts = {"rest": [], "localization": []}
    for name, parameter in model.named_parameters():
        parts["localization" if "localization" in name else "rest"].append(parameter)
    ratios = {"rest": 1.0, "localization": recipe.localization_lr_ratio}
    groups = [
        {"params": parameters, "lr": recipe.lr, "peak": recipe.lr * ratios[part]}
        for part, parameters in parts.items()
        if parameters
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups)
    return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)


def _schedule(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """The learning rate over its height, as a function of the step alone."""
    total = recipe.epochs * steps

    def step_down(step: int) -> float:
        return 0.1 ** (3 * step // total)

    def one_cycle(step: int) -> float:
        warm_up = max(1, total // 5)
        if step < warm_up:
            return 0.04 + 0.96 * step / warm_up
        along = (step - warm_up) / max(1, total - warm_up)
        return 0.5 + 0.5 * math.cos(math.pi * along) * 0.998

    return step_down if recipe.schedule == "step" else one_cycle


def _so_far(tally: Tensor, start: float, processes: int) -> str:
    loss, wrong, seen = tally.tolist()
    loss, error = loss / seen, 100 * wrong / seen
    rate = processes * seen / (time.perf_counter() - start)
    return f"loss {loss:.3f}, error {error:.1f}%, {rate:.0f} images/s"


def environment(device: torch.device, processes: int = 1) -> dict[str, Any]:
    """Return what a result says of where it was made.

    Args:
        device: that computed.
        processes: how many.

    Returns:
        Device, versions and the time, which is when the run ended; ready for JSON.
    """
    name = f"{platform.machine()}, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return {
        "device": f"{device.type} ({name})",
        "processes": processes,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
