"""Record a training, step by step, for figures that show it again."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stn_tutorial.data.tensors import as_bytes

__all__ = ["at_steps", "packed", "rounded", "unpack"]


def at_steps(
    model: nn.Module, steps: Collection[int], look: Callable[[int, nn.Module], Any]
) -> None:
    """Let a function look at a model before some steps of a training loop.

    The loop calls back once an epoch, and much happens in the first. So this is a hook
    of the model: a call in training mode is a step.

    >>> model, seen = nn.Linear(1, 1), []
    >>> at_steps(model, {0, 2}, lambda step, model: seen.append(step))
    >>> for _ in range(4):
    ...     _ = model(model.weight)
    >>> seen
    [0, 2]

    Args:
        model: in evaluation mode while it is looked at.
        steps: counted from 0.
        look: gets the step and the model.
    """
    taken = 0

    def before(model: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal taken
        if not model.training:
            return
        if taken in steps:
            look(taken, model.eval())
            model.train()
        taken += 1

    model.register_forward_pre_hook(before)


def rounded(values: Tensor, digits: int) -> Any:
    """Return numbers as JSON has them, in no more characters than that takes.

    >>> rounded(torch.tensor([[1.23456, -0.0001]]), 3)
    [[1.235, 0.0]]

    Args:
        values: of any shape.
        digits: how many there are behind the point.

    Returns:
        Nested lists of numbers.
    """
    if values.ndim:
        return [rounded(value, digits) for value in values]
    return round(values.item(), digits) + 0.0  # no negative zero


def packed(values: Tensor) -> str:
    """Return numbers in one byte each, as text.

    >>> packed(torch.tensor([[0.0, 1.0]]))
    'AP8='

    Args:
        values: in [0, 1], of any shape.

    Returns:
        Bytes from 0 to 255, in base64.
    """
    return base64.b64encode(as_bytes(values).cpu().numpy().tobytes()).decode()


def unpack(pictures: Sequence[str], size: int) -> Tensor:
    """Return pictures that `packed` was given.

    >>> unpack([packed(torch.eye(2))], 2).tolist()
    [[[[1.0, 0.0], [0.0, 1.0]]]]

    Args:
        pictures: of `packed`, a square of one channel each.
        size: their height and width.

    Returns:
        ``(N, 1, size, size)`` in [0, 1].
    """
    raw = bytearray(b"".join(base64.b64decode(each) for each in pictures))
    return torch.frombuffer(raw, dtype=torch.uint8).view(-1, 1, size, size) / 255
