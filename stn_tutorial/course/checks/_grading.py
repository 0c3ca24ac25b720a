"""What a check says: open, wrong (and on which case), or correct."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["OPEN", "Wrong", "choose", "compare", "is_open"]

#: How what is printed about an exercise without an answer begins.
OPEN = "Not answered yet"


class Wrong(AssertionError):
    """An exercise was answered, and the answer is not right; the message says where."""


def is_open(answer: Any) -> bool:
    """Whether an exercise is still as it was: a stub returns `None` or ``...``."""
    return answer is None or answer is ...


def compare(
    attempt: Callable[..., Any],
    reference: Callable[..., Tensor],
    cases: Iterable[Sequence[Any]],
    *,
    hint: str,
    tolerance: float = 1e-5,
) -> None:
    """Call `attempt` on every case and compare it with `reference`.

    Args:
        attempt: the reader's function; open while it returns `None` or ``...``.
        reference: returns the right tensor for the same arguments.
        cases: tuples of arguments.
        hint: what to look at when a case is wrong.
        tolerance: absolute and relative.

    Raises:
        Wrong: at the first case with another shape or other values.
    """
    count = 0
    for case in cases:
        got = attempt(*case)
        if is_open(got):
            print(f"{OPEN}: the function returns nothing.")
            return
        expected = reference(*case)
        fault = _difference(got, expected, tolerance)
        if fault:
            shown = ", ".join(_brief(argument) for argument in case)
            raise Wrong(f"for ({shown}): {fault}\nHint: {hint}")
        count += 1
    print(f"Correct, on {count} cases.")


def choose(answer: Any, right: Any, options: Sequence[Any], *, hint: str) -> None:
    """Compare a prediction with what an experiment gives.

    Args:
        answer: the reader's; open while it is `None` or ``...``.
        right: what the experiment gave.
        options: what may be answered.
        hint: which experiment shows it.

    Raises:
        Wrong: if `answer` is not `right`.
    """
    if is_open(answer):
        print(f"{OPEN}: choose one of {', '.join(map(repr, options))}.")
        return
    if answer not in options:
        raise Wrong(f"answer with one of {', '.join(map(repr, options))}")
    if answer != right:
        raise Wrong(f"{answer!r} is not what happens.\nHint: {hint}")
    print("Correct.")


def _difference(got: Any, expected: Tensor, tolerance: float) -> str | None:
    """Say how `got` differs from `expected`, or return None."""
    if not isinstance(got, Tensor):
        return f"expected a tensor, got {type(got).__name__}"
    if got.shape != expected.shape:
        return f"expected shape {tuple(expected.shape)}, got {tuple(got.shape)}"
    got = got.detach().to(expected)  # on its device, too
    wrong = ~torch.isclose(got, expected, rtol=tolerance, atol=tolerance)
    if not bool(wrong.any()):
        return None
    where = tuple(wrong.nonzero()[0].tolist())
    return (
        f"{int(wrong.sum())} of {wrong.numel()} values differ; at {where} "
        f"expected {float(expected[where]):.5g}, got {float(got[where]):.5g}"
    )


def _brief(argument: Any) -> str:
    if isinstance(argument, Tensor):
        small = argument.numel() <= 6
        return str(argument.tolist()) if small else f"tensor {tuple(argument.shape)}"
    return repr(argument)
