"""What the functions of this folder ask of whole numbers, digits and generators."""

from __future__ import annotations

import operator
from typing import Any

import torch

from stn_tutorial._validate import check_tensor, kind_of


def check_whole(
    value: Any, name: str, *, least: int | None = None, most: int | None = None
) -> int:
    """Return a whole number as an int, or raise.

    >>> check_whole(7, "count", least=1, most=10)
    7
    >>> check_whole(-1, "count", least=1, most=10)
    Traceback (most recent call last):
        ...
    ValueError: count must be from 1 to 10, got -1

    Raises:
        TypeError: if `value` is not an integer, of Python or of NumPy.
        ValueError: if it is less than `least` or more than `most`.
    """
    try:
        whole = operator.index(value)
    except TypeError:
        whole = None
    if whole is None or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if least is not None and whole < least or most is not None and whole > most:
        bounds = f"from {least} to {most}" if most is not None else f"from {least} on"
        raise ValueError(f"{name} must be {bounds}, got {whole}")
    return whole


def check_digits(digits: Any) -> None:
    """Raise unless a function was given digits to distort.

    >>> check_digits(torch.zeros(2, 28, 28))
    Traceback (most recent call last):
        ...
    ValueError: digits must be (N, 1, 28, 28), got (2, 28, 28)

    Raises:
        TypeError: if `digits` is not a floating tensor.
        ValueError: if `digits` is not ``(N, 1, 28, 28)``.
    """
    check_tensor(digits, "digits")
    if not digits.is_floating_point():
        raise TypeError(
            f"digits must be floating, from 0 to 1, got {digits.dtype}: "
            "pixels from 0 to 255 are divided by 255"
        )
    if digits.ndim != 4 or digits.shape[1:] != (1, 28, 28):
        raise ValueError(f"digits must be (N, 1, 28, 28), got {tuple(digits.shape)}")


def check_generator(generator: Any) -> None:
    """Raise a TypeError unless a function was given a generator.

    >>> check_generator(0)
    Traceback (most recent call last):
        ...
    TypeError: generator must be a torch.Generator, got int: from a seed, \
torch.Generator().manual_seed(seed)
    """
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator, got {kind_of(generator)}: "
            "from a seed, torch.Generator().manual_seed(seed)"
        )
