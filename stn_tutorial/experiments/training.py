"""The training loop: one for every model and task, on one process or several.

Examples stay on the device; what is done to them, such as a distortion, is done there,
a batch at a time. All that is random in an epoch is drawn from generators that are
seeded by (seed, epoch), and a killed run goes on as if nothing had happened: on a CPU,
to the same bits. Accelerate finds the device and the other processes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm.auto import tqdm

from stn_tutorial.data.digits import DigitSet
from stn_tutorial.experiments._options import Range, check_options
from stn_tutorial.experiments.checkpoints import resume, save_checkpoint
from stn_tutorial.experiments.environment import autocast, environment, precision_on
from stn_tutorial.experiments.models import count_parameters, seeded
from stn_tutorial.localization import parameters_by_part

__all__ = [
    "Diverged",
    "Problem",
    "Recipe",
    "Run",
    "batches",
    "classification_problem",
    "error_rate",
    "fit",
    "misclassified",
    "predict",
    "train",
]

Distort = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    >>> Recipe(lr=-1)
    Traceback (most recent call last):
        ...
    ValueError: lr must be a finite number > 0, got -1

    Attributes:
        epochs: passes over the training examples.
        batch_size: examples a step, over all processes; two at least, as batch
            normalization compares them.
        optimizer: adamw, adam, sgd as in the paper (no momentum, no weight decay), or
            nesterov: the same with Nesterov's momentum of 0.9, whose steps are in
            effect ten times as long.
        lr: learning rate at its height.
        localization_lr_ratio: the localization network's learning rate over the rest's;
            with 0 its parameters stay as they start.
        localization_clip: the largest norm of the localization network's gradient, or
            None for any. A longer gradient is scaled down to it.
        schedule: one-cycle (up, then down along a cosine), step as in the paper
            (divided by 10 after each third of the run), or constant.
        weight_decay: of adamw; of adam, as a penalty on the squared weights.
        seed: of the order and the distortions; a command draws the first weights from
            it as well.
        precision: of what the model computes; weights and losses stay float32. On a CPU
            that is slow in it, float32 takes its place.
        compiled: compile the model; with CUDA graphs on a GPU, where the launches of
            small kernels take longer than the kernels. Results differ by rounding.
    """

    epochs: Annotated[int, Range(least=1)] = 10
    batch_size: Annotated[int, Range(least=2)] = 256
    optimizer: Literal["adamw", "adam", "sgd", "nesterov"] = "adamw"
    lr: Annotated[float, Range(above=0)] = 2e-3
    localization_lr_ratio: Annotated[float, Range(least=0)] = 0.3
    localization_clip: Annotated[float, Range(above=0)] | None = None
    schedule: Literal["one-cycle", "step", "constant"] = "one-cycle"
    weight_decay: Annotated[float, Range(least=0)] = 1e-4
    seed: Annotated[int, Range(least=0, below=2**32)] = 0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compiled: bool = False

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class Problem:
    """What a model is to learn, and how it is judged.

    Attributes:
        examples: tensors ``(N, ...)`` that belong together, such as images and labels.
        loss: from the model's outputs, in float32, and the targets to a scalar, a mean
            over the batch.
        evaluate: from the model to what the history says of it after an epoch.
        prepare: from the examples of a batch, and a generator on their device, to the
            model's inputs and the targets; without, the examples are just these.
        measures: by name, from outputs and targets to a number for each of the batch;
            the history has their means over the epoch.
    """

    examples: tuple[Tensor, ...]
    loss: Callable[[Tensor, Tensor], Tensor]
    evaluate: Callable[[nn.Module], dict[str, Any]]
    prepare: Callable[..., tuple[Tensor, Tensor]] | None = None
    measures: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = field(
        default_factory=dict
    )


@dataclass
class Run:
    """What `fit` returns.

    Attributes:
        model: trained, in evaluation mode.
        history: one entry an epoch: loss, seconds of training, the problem's measures,
            and what it evaluates.
        environment: where it was trained; see `environment`.
        about: what else its result says, such as what it was trained on.
    """

    model: nn.Module
    history: list[dict[str, Any]]
    environment: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def test_error(self) -> float:
        """A classifier's test error after the last epoch, in percent."""
        return self.history[-1]["test_error"]

    @property
    def result(self) -> dict[str, Any]:
        """What is kept of the run, ready for JSON."""
        return {
            **self.about,
            "parameters": count_parameters(self.model),
            "seconds": math.fsum(entry["seconds"] for entry in self.history),
            "history": self.history,
            **self.environment,
        }


class Diverged(RuntimeError):
    """A loss or a weight is no longer finite; the last checkpoint is from before."""


def fit(
    model: nn.Module,
    problem: Problem,
    recipe: Recipe,
    *,
    folder: Path | None = None,
    label: dict[str, Any] | None = None,
    on_epoch: Callable[[int, nn.Module], None] | None = None,
    evaluate_every: int = 1,
    progress: bool = False,
) -> Run:
    """Train a model, or go on where a killed run of the same label and recipe stopped.

    >>> x = torch.linspace(-1, 1, 64)[:, None]
    >>> line = Problem((x, 2 * x), F.mse_loss, lambda model: {})
    >>> run = fit(nn.Linear(1, 1), line, Recipe(epochs=20, batch_size=8, lr=0.3))
    >>> run.history[-1]["loss"] < 1e-2
    True

    Args:
        model: from inputs to outputs; parameters whose name holds "localization" get
            their own learning rate.
        problem: what it is to learn.
        recipe: how to train.
        folder: where the checkpoint is kept; without, there is none.
        label: what else tells this run from others; kept in the checkpoint as JSON.
        on_epoch: called with the epoch (0 before the first) and the model.
        evaluate_every: after how many epochs the model is evaluated, which the last
            one always is; the history of the others says how they were trained alone.
        progress: show a bar with the loss, the measures and examples per second.

    Returns:
        The run; its model is `model`.

    Raises:
        Diverged: if the loss or a weight is not finite after an epoch.
        ValueError: if the folder holds another run or a damaged checkpoint, or there
            are too few examples for the processes.
    """
    loop = _Loop(model, problem, recipe)
    label = {**(label or {}), "recipe": asdict(recipe)}
    saved = (model, loop.optimizer, loop.scaler)
    history = resume(folder, label, *saved) if folder else []

    def close(epoch: int) -> None:
        if folder and loop.accelerator.is_main_process:
            save_checkpoint(folder, label, *saved, history)
        if on_epoch:
            on_epoch(epoch, model.eval())

    if not history:
        close(0)
    for epoch in range(len(history), recipe.epochs):
        start = time.perf_counter()
        means = loop.train_epoch(epoch, progress=progress)
        seconds = time.perf_counter() - start
        finite = math.isfinite(means["loss"])
        if not (finite and _is_finite(model)):
            kept = f"; the checkpoint in {folder} is from before" if folder else ""
            lost = f"its loss is {means['loss']}"
            what = "a weight is not finite" if finite else lost
            raise Diverged(
                f"the run diverged in epoch {epoch + 1}, {what}: "
                f"try a lower learning rate{kept}"
            )
        evaluated = {}
        if (epoch + 1) % evaluate_every == 0 or epoch + 1 == recipe.epochs:
            with autocast(loop.device, recipe.precision):
                evaluated = problem.evaluate(model.eval())
        history.append({"epoch": epoch + 1, **means, "seconds": seconds, **evaluated})
        close(epoch + 1)
    return Run(model.eval(), history, loop.environment())


class _Loop:
    """What an epoch of training needs, on the device that Accelerate finds.

    Args:
        model: moved there.
        problem: its examples are copied there.
        recipe: how to train.
    """

    def __init__(self, model: nn.Module, problem: Problem, recipe: Recipe) -> None:
        # Several processes without an accelerator find each other only if told so.
        alone = not torch.accelerator.is_available()
        self.accelerator = Accelerator(cpu=alone, mixed_precision="no")
        self.device = self.accelerator.device
        self.rank = self.accelerator.process_index
        self.processes = self.accelerator.num_processes
        self.model, self.problem, self.recipe = model.to(self.device), problem, recipe
        self.examples = [part.to(self.device) for part in problem.examples]
        self.optimizer = _optimizer(model, recipe)
        half = precision_on(self.device, recipe.precision) == "float16"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)

    @cached_property
    def trained(self) -> nn.Module:
        """The model as it is called in training: shared out, and compiled if wanted."""
        shared = self.accelerator.prepare(self.model)
        if not self.recipe.compiled:
            return shared
        # Not dynamic: batches differ by one example, so there are two sizes at most.
        mode = "reduce-overhead" if self.device.type == "cuda" else "default"
        return torch.compile(shared, mode=mode, dynamic=False)

    def train_epoch(self, epoch: int, *, progress: bool) -> dict[str, float]:
        """Take the steps of an epoch; return the means over it and all processes."""
        recipe = self.recipe
        count = len(self.examples[0])
        shares = batches(count, recipe, epoch, self.rank, self.processes)
        schedule = _schedule(recipe, len(shares))
        seed = 1009 * _seed(recipe, epoch) + self.rank + 1
        draw = torch.Generator(self.device).manual_seed(seed)
        tally = _Tally(("loss", *self.problem.measures), self.device)
        bar = tqdm(
            shares,
            desc=f"epoch {epoch + 1}/{recipe.epochs}",
            disable=not (progress and self.accelerator.is_main_process),
            leave=False,
        )
        # The bar goes whatever happens, so that what is said next has its own line. The
        # seed is for what a model draws itself, such as dropout.
        with bar, seeded(seed + 500):
            self.model.train()
            for step, indices in enumerate(bar):
                for group in self.optimizer.param_groups:
                    group["lr"] = group["peak"] * schedule(epoch * len(shares) + step)
                tally.add(self._step(indices.to(self.device), draw), len(indices))
                if step % 20 == 0 and not bar.disable:
                    bar.set_postfix_str(tally.so_far(self.processes))
        return tally.means(self.accelerator)

    def _step(self, indices: Tensor, draw: torch.Generator) -> list[Tensor]:
        """Take a step; return the loss and the measures, summed over the batch."""
        parts = [part[indices] for part in self.examples]
        prepare = self.problem.prepare
        inputs, targets = prepare(*parts, draw) if prepare else parts
        with autocast(self.device, self.recipe.precision):
            outputs = self.trained(inputs)
        loss = self.problem.loss(outputs.float(), targets)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        if self.recipe.localization_clip is not None:
            self.scaler.unscale_(self.optimizer)
            looking = parameters_by_part(self.model)["localization"]
            nn.utils.clip_grad_norm_(looking, self.recipe.localization_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        with torch.no_grad():
            measures = self.problem.measures.values()
            return [loss * len(indices), *(m(outputs, targets).sum() for m in measures)]

    def environment(self) -> dict[str, Any]:
        """What a result says of where the run was made."""
        return environment(
            self.device, processes=self.processes, precision=self.recipe.precision
        )


class _Tally:
    """Means over the examples so far, on the device until somebody asks for them."""

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.names, self.start = names, time.perf_counter()
        self.sums = torch.zeros(len(names) + 1, device=device)  # the last one counts

    def add(self, sums: Sequence[Tensor], count: int) -> None:
        """Take in the sums over a batch, and of how many examples they are."""
        self.sums += torch.stack([*sums, self.sums.new_tensor(count)])

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        """The means over all processes."""
        *sums, seen = accelerator.reduce(self.sums, "sum").tolist()
        return {name: value / seen for name, value in zip(self.names, sums)}

    def so_far(self, processes: int) -> str:
        """What a progress bar says."""
        *sums, seen = self.sums.tolist()
        said = [
            f"{name.replace('_', ' ')} {value / seen:.3g}"
            for name, value in zip(self.names, sums)
        ]
        rate = processes * seen / (time.perf_counter() - self.start)
        return ", ".join([*said, f"{rate:.0f} examples/s"])


def train(
    model: nn.Module,
    digits: DigitSet,
    test: tuple[Tensor, Tensor],
    recipe: Recipe,
    *,
    distort: Distort | None = None,
    **options: Any,
) -> Run:
    """Train a classifier of digits; see `fit`.

    Args:
        model: images to scores.
        digits: to train on; images of whole numbers are divided by 255.
        test: images ``(N, C, H, W)``, distorted already, and labels ``(N,)``.
        recipe: how to train.
        distort: what is done to each batch of digits, from a generator on their device.
        **options: of `fit`.

    Returns:
        The run. Its history has ``train_error`` and ``test_error``, in percent.
    """

    def prepare(
        images: Tensor, labels: Tensor, draw: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        if images.dtype == torch.uint8:
            images = images / 255
        return distort(images, draw) if distort else images, labels

    examples = digits.images, digits.labels
    problem = classification_problem(examples, test, prepare=prepare)
    return fit(model, problem, recipe, **options)


def classification_problem(
    examples: tuple[Tensor, ...],
    test: tuple[Tensor, Tensor],
    *,
    prepare: Callable[..., tuple[Tensor, Tensor]] | None = None,
) -> Problem:
    """Return the problem of classifying: cross-entropy, and errors in percent.

    >>> scores, labels = torch.eye(3), torch.tensor([0, 1, 1])
    >>> problem = classification_problem((scores, labels), (scores, labels))
    >>> problem.measures["train_error"](scores, labels).tolist()
    [0, 0, 100]
    >>> round(problem.evaluate(nn.Flatten())["test_error"], 1)
    33.3

    Args:
        examples: to learn from; see `Problem`.
        test: images ``(N, C, H, W)``, or whatever the model takes, and labels ``(N,)``.
        prepare: from the examples of a batch, and a generator, to inputs ``(N, ...)``
            and labels ``(N,)``; without, the examples are just these.

    Returns:
        The problem, for a model from inputs to scores ``(N, classes)``. The history of
        its run has ``train_error`` and ``test_error``.
    """
    return Problem(
        examples=examples,
        prepare=prepare,
        loss=F.cross_entropy,
        measures={"train_error": lambda y, labels: 100 * (y.argmax(1) != labels)},
        evaluate=lambda model: {"test_error": error_rate(model, *test)},
    )


def predict(model: nn.Module, inputs: Tensor, *, batch_size: int = 1000) -> Tensor:
    """Return a model's outputs for many inputs.

    >>> predict(nn.Flatten(), torch.zeros(5, 2, 3), batch_size=2).shape
    torch.Size([5, 6])

    Args:
        model: is left in evaluation mode.
        inputs: ``(N, ...)``, on any device.
        batch_size: how many at once.

    Returns:
        ``(N, ...)``, on the inputs' device, without gradients.
    """
    model.eval()
    device = next((p.device for p in model.parameters()), inputs.device)
    with torch.inference_mode():
        outputs = [model(part.to(device)) for part in inputs.split(batch_size)]
    return torch.cat(outputs).to(inputs.device)  # outside: autograd may use these


def misclassified(
    model: nn.Module, images: Tensor, labels: Tensor, *, batch_size: int = 1000
) -> list[int]:
    """Return which images a model misclassifies.

    >>> misclassified(nn.Flatten(), torch.eye(3)[:, None], torch.tensor([0, 1, 1]))
    [2]

    Args:
        model: images to scores.
        images: ``(N, C, H, W)``.
        labels: ``(N,)``.
        batch_size: of the images scored at once.

    Returns:
        Their indices.

    Raises:
        ValueError: if there is not one label for each image.
    """
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"labels must be {tuple(images.shape[:1])}, got {tuple(labels.shape)}"
        )
    found = predict(model, images, batch_size=batch_size).argmax(1)
    return (found != labels).nonzero()[:, 0].tolist()


def error_rate(
    model: nn.Module, images: Tensor, labels: Tensor, *, batch_size: int = 1000
) -> float:
    """Return the share of images that a model misclassifies.

    >>> error_rate(nn.Flatten(), torch.eye(4)[:, None], torch.tensor([0, 1, 2, 2]))
    25.0

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


def batches(
    count: int, recipe: Recipe, epoch: int, rank: int = 0, processes: int = 1
) -> list[Tensor]:
    """Return which examples a process takes in each step of an epoch.

    Every example is in one batch of the epoch, on one process. Batches differ by one
    example at most, and so do the processes' shares of a batch; nobody is left with a
    single example, which batch normalization could not compare with any other.

    >>> [len(batch) for batch in batches(65, Recipe(batch_size=32), epoch=0)]
    [22, 22, 21]

    Args:
        count: of the examples.
        recipe: its seed decides the order, its batch size the number of steps: as few
            as hold all examples.
        epoch: from 0; each has an order of its own.
        rank: of the process.
        processes: how many.

    Returns:
        The indices of its examples, a tensor a step.

    Raises:
        ValueError: if a process would have a single example, or none.
    """
    least = 2 * processes
    for name, value in (("batch_size", recipe.batch_size), ("examples", count)):
        if value < least:
            raise ValueError(
                f"{name} must be 2 at least for each of {processes} processes, "
                f"got {value}"
            )
    order = torch.Generator().manual_seed(_seed(recipe, epoch))
    permutation = torch.randperm(count, generator=order)
    steps = min(math.ceil(count / recipe.batch_size), count // least)
    return [
        batch.tensor_split(processes)[rank] for batch in permutation.tensor_split(steps)
    ]


def _seed(recipe: Recipe, epoch: int) -> int:
    return recipe.seed * 1_000_003 + epoch


def _is_finite(model: nn.Module) -> bool:
    """Whether all parameters and buffers are."""
    tensors = model.state_dict().values()
    return all(bool(t.isfinite().all()) for t in tensors)


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Two groups, each with the height of its learning rate, which is set each step."""
    ratios = {"rest": 1.0, "localization": recipe.localization_lr_ratio}
    groups = [
        {"params": parameters, "peak": recipe.lr * ratios[part]}
        for part, parameters in parameters_by_part(model).items()
        if parameters
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups)
    if recipe.optimizer == "nesterov":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True)
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[recipe.optimizer]
    return kind(groups, weight_decay=recipe.weight_decay)


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

    schedules = {"step": step_down, "one-cycle": one_cycle}
    return schedules.get(recipe.schedule, lambda step: 1.0)
