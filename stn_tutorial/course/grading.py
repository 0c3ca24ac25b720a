"""What the tests of an assignment say: the first case that fails, and points.

The tests are cells of a notebook. A reader runs them, and so does who grades: there, a
missing answer raises as well (see `stn_tutorial.course.checks`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from stn_tutorial.course.checks._grading import (
    Wrong,
    complex_for_real,
    differing,
    is_open,
    leave_open,
)

__all__ = ["graded_on", "partial"]

#: How many numbers of a tensor are shown.
SHOWN = 24


def graded_on(
    cases: Iterable[Sequence[Any]],
    answer: Callable[..., Any],
    reference: Callable[..., Any],
    hint: str,
    *,
    tolerance: float = 1e-4,
) -> None:
    """Call an answer on every case, and compare it with a reference.

    >>> double = lambda x: 2 * x
    >>> graded_on([(torch.ones(2),)], double, double, "a factor")
    Correct, on 1 case.
    >>> graded_on([(torch.ones(2),)], torch.sqrt, double, "a factor")
    Traceback (most recent call last):
        ...
    stn_tutorial.course.checks._grading.Wrong: wrong on case 1
      input:    x = [1, 1]
      expected: [2, 2]
      got:      [1, 1]
      hint:     a factor

    Args:
        cases: tuples of arguments; the small ones first, as they are shown.
        answer: what is graded; open if it returns `None` or ``...``.
        reference: returns what is right; its arguments' names are shown.
        hint: what to look at.
        tolerance: absolute and relative.

    Raises:
        Open: if there is no answer, where that is not only printed.
        Wrong: at the first case with an error, another shape or other values.
    """
    if is_open(answer):
        return leave_open("there is no function yet.")
    names = list(inspect.signature(reference).parameters)
    count = 0
    for case in cases:
        count += 1
        kept = [each.clone() if isinstance(each, Tensor) else each for each in case]
        expected = reference(*kept)
        given = [f"{name} = {shown(each)}" for name, each in zip(names, kept)]
        try:
            got = answer(*case)
        except Exception as error:
            raise Wrong(
                _report(
                    count, given, shown(expected), f"an error, {_named(error)}", hint
                )
            ) from error
        if is_open(got):
            return leave_open("the function returns nothing.")
        if not _alike(got, expected, tolerance):
            told = _told_apart(expected, got, tolerance)
            raise Wrong(_report(count, given, *told, hint))
    print(f"Correct, on {count} case{'s' * (count > 1)}.")


def partial(points: float, value: float, *, full: float, none: float) -> float:
    """Return the points of a number: all at `full`, none at `none`, a line between.

    >>> partial(4, 0.3, full=0.2, none=0.4)
    2.0

    Args:
        points: that there are to be had.
        value: what was reached.
        full: from here on, all points are given.
        none: from here on, no points.

    Returns:
        Points, to a tenth. Not a number has none.
    """
    share = (none - value) / (none - full)
    return round(points * min(1.0, max(0.0, share)), 1) if share == share else 0.0


def shown(value: Any) -> str:
    """Return a value as a message shows it.

    >>> shown(torch.tensor([[0.5, 1.0], [0.25, 1 / 3]]))
    '[[0.5, 1], [0.25, 0.3333]]'
    >>> shown(torch.zeros(9, 9))
    'a tensor (9, 9) that begins [0, 0, 0, 0, 0, 0, ...]'

    Args:
        value: a tensor, or what has a `repr`.
    """
    if isinstance(value, Tensor):
        if value.numel() <= SHOWN:
            return _numbers(value.tolist())
        first = _numbers(value.flatten()[:6].tolist())[:-1]
        return f"a tensor {tuple(value.shape)} that begins {first}, ...]"
    if isinstance(value, (tuple, list)) and len(value) <= SHOWN:
        return f"({', '.join(map(shown, value))})"
    text = _numbers(value) if isinstance(value, float) else repr(value)
    return text if len(text) <= 400 else f"{text[:400]} ..."


def _numbers(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_numbers, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else repr(value)


def _alike(got: Any, expected: Any, tolerance: float) -> bool:
    if isinstance(expected, (tuple, list)):
        alike = isinstance(got, (tuple, list)) and len(got) == len(expected)
        return alike and all(map(lambda a, b: _alike(a, b, tolerance), got, expected))
    if isinstance(expected, (Tensor, float)):
        if not isinstance(got, (Tensor, float, int)):
            return False
        got, expected = torch.as_tensor(got), torch.as_tensor(expected)
        if got.shape != expected.shape or complex_for_real(got, expected):
            return False
        return not differing(got, expected, tolerance).any()
    return type(got) is type(expected) and got == expected


def _told_apart(expected: Any, got: Any, tolerance: float) -> tuple[str, str]:
    """What was expected, and what came; of large tensors, where they differ first."""
    if not isinstance(expected, Tensor):
        return shown(expected), shown(got)
    if not isinstance(got, Tensor):
        return shown(expected), f"{shown(got)}, of type {type(got).__name__}"
    if got.shape != expected.shape:
        return f"a tensor {tuple(expected.shape)}", f"a tensor {tuple(got.shape)}"
    if complex_for_real(got, expected):
        return "real numbers", "complex ones"
    if expected.numel() <= SHOWN:
        return shown(expected), shown(got)
    far = differing(got, expected, tolerance)
    where = tuple(far.nonzero()[0].tolist())
    share = f"{int(far.sum())} of {far.numel()} differ"
    values = [_numbers(each[where].item()) for each in (expected, got)]
    return f"{values[0]} at {where}", f"{values[1]} there; {share}"


def _named(error: Exception) -> str:
    text = str(error)[:500]
    return (
        text
        if getattr(error, "of_answer", False)
        else f"{type(error).__name__}: {text}"
    )


def _report(case: int, given: list[str], expected: str, got: str, hint: str) -> str:
    lines = {
        "input": ", ".join(given),
        "expected": expected,
        "got": got,
        "hint": hint,
    }
    said = (f"  {name + ':':10}{text}" for name, text in lines.items())
    return "\n".join([f"wrong on case {case}", *said])
