"""What a check says: open, wrong (and on which case), or correct."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Generator, Tensor

__all__ = [
    "OPEN",
    "STRICT",
    "Cases",
    "Open",
    "Wrong",
    "as_tensors",
    "choose",
    "compare",
    "complex_for_real",
    "differing",
    "is_open",
    "leave_open",
    "nearest",
    "strict",
]

#: The arguments of each case, as a function that draws them yields them.
Cases = Iterator[tuple[Any, ...]]

#: How what is printed about an exercise without an answer begins.
OPEN = "Not answered yet"

#: The environment variable that turns the strict mode on, for a whole process.
STRICT = "STN_TUTORIAL_STRICT"


class _Told(AssertionError):
    """What a notebook shows as its message, without the way through the checks."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for it by this name
        return [f"{type(self).__name__}: {self}"]


class Open(_Told):
    """An exercise has no answer; raised in the strict mode alone."""


class Wrong(_Told):
    """An exercise was answered, and the answer is not right; the message says where."""


def is_open(answer: Any) -> bool:
    """Whether an exercise is still as it was: a stub returns `None` or ``...``."""
    return answer is None or answer is ...


def leave_open(why: str) -> None:
    """Say that an exercise has no answer: in print, or in the strict mode by raising.

    Args:
        why: what is missing.

    Raises:
        Open: in the strict mode.
    """
    message = f"{OPEN}: {why}"
    if os.environ.get(STRICT, "0") not in ("", "0"):
        raise Open(message)
    print(message)


@contextmanager
def strict() -> Iterator[None]:
    """Let checks raise `Open` where an answer is missing, and not print it alone.

    A wrong answer raises `Wrong` in either mode, so a check that returns was solved.
    The variable ``STN_TUTORIAL_STRICT=1`` does the same for a whole process.

    >>> from stn_tutorial.course.checks import grid
    >>> grid.after_a_negative_a(...)  # doctest: +ELLIPSIS
    Not answered yet: choose one of 'black', ...
    >>> with strict():
    ...     grid.after_a_negative_a(...)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    stn_tutorial.course.checks._grading.Open: Not answered yet: choose one of ...
    """
    before = os.environ.get(STRICT)
    os.environ[STRICT] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[STRICT]
        else:
            os.environ[STRICT] = before


def compare(
    attempt: Callable[..., Any],
    reference: Callable[..., Tensor],
    cases: Iterable[Sequence[Any]] | Callable[[Generator], Cases],
    hint: str,
    *,
    tolerance: float = 1e-5,
) -> None:
    """Call `attempt` on every case and compare it with `reference`.

    Args:
        attempt: the reader's function; open while it returns `None` or ``...``.
        reference: returns the right tensor for the same arguments.
        cases: tuples of arguments, or what draws them from a generator, always the
            same.
        hint: what to look at when a case is wrong.
        tolerance: absolute and relative.

    Raises:
        Open: if there is no answer, in the strict mode.
        Wrong: at the first case with another shape or other values.
    """
    __tracebackhide__ = True  # a mistake in the attempt is shown where it was made
    count = 0
    for case in cases(Generator().manual_seed(1)) if callable(cases) else cases:
        got = attempt(*copy.deepcopy(case))  # which an attempt may change in place
        if is_open(got) and not count:
            return leave_open("the function returns nothing.")
        expected = reference(*case)
        fault = _difference(got, expected, tolerance)
        if fault:
            raise Wrong(f"for {_told(case, attempt)}: {fault}\nHint: {hint}")
        count += 1
    print(f"Correct, on {count} cases.")


def choose(answer: Any, right: Any, options: Iterable[Any], hint: str) -> None:
    """Compare a prediction with what an experiment gives.

    Args:
        answer: the reader's; open while it is `None` or ``...``.
        right: what the experiment gave.
        options: what may be answered.
        hint: which experiment shows it.

    Raises:
        Open: if there is no answer, in the strict mode.
        Wrong: if `answer` is not `right`.
    """
    options = list(options)
    listed = ", ".join(map(repr, options))
    if is_open(answer):
        return leave_open(f"choose one of {listed}.")
    if answer not in options:
        raise Wrong(f"answer with one of {listed}")
    if answer != right:
        raise Wrong(f"{answer!r} is not what happens.\nHint: {hint}")
    print("Correct.")


def nearest(happens: Tensor | float, options: Mapping[str, Tensor | float]) -> str:
    """Return the option that an experiment comes nearest to.

    >>> nearest(0.3, {"it stays": 1.0, "it halves": 0.5, "it falls to a quarter": 0.25})
    'it falls to a quarter'

    Args:
        happens: a number or a picture that the experiment gave.
        options: by name, the number or the picture that each of them would be.

    Returns:
        The name of one of them.
    """
    away = {name: torch.as_tensor(each - happens) for name, each in options.items()}
    return min(away, key=lambda name: away[name].abs().mean().item())


def as_tensors(attempt: Callable[..., Any]) -> Callable[..., Any]:
    """Let `attempt` answer with numbers or lists where a tensor is compared.

    Args:
        attempt: the reader's function.

    Returns:
        The same function, whose answers are tensors; open where it is.
    """

    @wraps(attempt)  # whose arguments' names a message shows
    def wrapped(*arguments: Any) -> Any:
        got = attempt(*arguments)
        if is_open(got) or isinstance(got, Tensor):
            return got
        try:
            return torch.as_tensor(got, dtype=torch.float64)
        except TypeError:  # of complex numbers, `compare` tells
            return torch.as_tensor(got)

    return wrapped


def complex_for_real(got: Tensor, expected: Tensor) -> bool:
    """Whether an answer is complex where real numbers are expected."""
    return got.is_complex() and not expected.is_complex()


def differing(got: Tensor, expected: Tensor, tolerance: float) -> Tensor:
    """Return where an answer is not what was expected.

    >>> differing(torch.tensor([1.9, 2.0]), torch.tensor([1, 2]), 1e-4)
    tensor([ True, False])

    Args:
        got: the answer, of any dtype and on any device.
        expected: of the same shape.
        tolerance: absolute and relative.

    Returns:
        A mask of the same shape. Both are compared in double precision: in the dtype
        of one of them, the other might lose what tells them apart.
    """
    wide = torch.complex128 if expected.is_complex() else torch.float64
    got, expected = (each.detach().cpu().to(wide) for each in (got, expected))
    return ~torch.isclose(got, expected, rtol=tolerance, atol=tolerance)


def _difference(got: Any, expected: Tensor, tolerance: float) -> str | None:
    """Say how `got` differs from `expected`, or return None."""
    if not isinstance(got, Tensor):
        return f"expected a tensor, got {type(got).__name__}"
    if complex_for_real(got, expected):
        return "expected real numbers, got complex ones"
    if got.shape != expected.shape:
        return f"expected shape {tuple(expected.shape)}, got {tuple(got.shape)}"
    wrong = differing(got, expected, tolerance)
    if not bool(wrong.any()):
        return None
    where = tuple(wrong.nonzero()[0].tolist())
    right, came = (float(each.detach()[where]) for each in (expected, got))
    values = f"expected {right:.5g}, got {came:.5g}"
    if not where:
        return values
    return f"{int(wrong.sum())} of {wrong.numel()} values differ; at {where} {values}"


def _told(case: Sequence[Any], attempt: Callable[..., Any]) -> str:
    """Return the arguments of a case by the names that the reader gave them."""
    shown = [_brief(argument) for argument in case]
    try:
        names = [*inspect.signature(attempt).bind(*case).arguments]
    except (TypeError, ValueError):
        names = []
    if len(names) != len(shown):
        return f"({', '.join(shown)})"
    return ", ".join(f"{name} = {text}" for name, text in zip(names, shown))


def _brief(argument: Any) -> str:
    if isinstance(argument, Tensor) and argument.numel() > 6:
        return f"tensor {tuple(argument.shape)}"
    if isinstance(argument, Tensor):
        return _brief(argument.tolist())
    if isinstance(argument, list):
        return f"[{', '.join(map(_brief, argument))}]"
    return f"{argument:.5g}" if isinstance(argument, float) else repr(argument)
