"""What many figures ask of what Python assigns to a part of their state."""

from __future__ import annotations

from collections.abc import Callable, Collection
from numbers import Integral, Real
from typing import Any

import torch

from stn_tutorial._validate import check_choice

__all__ = ["between", "numbers", "one_of", "whole"]


def one_of(name: str, known: Collection[str]) -> Callable[[Any], str]:
    """Return what checks that a part is one of some names.

    >>> one_of("shown", ("layer", "sum"))("layer")
    'layer'

    Args:
        name: of the part.
        known: the names.

    Returns:
        From what Python assigns to what JSON holds; it raises a `ValueError` that names
        the part.
    """

    def check(value: Any) -> str:
        check_choice(value, name, tuple(known))
        return value

    return check


def between(name: str, low: float, high: float) -> Callable[[Any], float]:
    """Return what checks that a part lies between two numbers, and makes it a float.

    >>> between("angle", -180, 180)(200)
    Traceback (most recent call last):
        ...
    ValueError: angle must be from -180 to 180, got 200

    Args:
        name: of the part.
        low: the least that is allowed.
        high: the most.

    Returns:
        From what Python assigns to what JSON holds; it raises a `TypeError` or a
        `ValueError` that names the part.
    """

    def check(value: Any) -> float:
        value = value.item() if isinstance(value, torch.Tensor) else value
        if not isinstance(value, Real) or isinstance(value, bool):
            raise TypeError(f"{name} must be a number, got {value!r}")
        if not low <= value <= high:  # NaN is refused as well
            raise ValueError(f"{name} must be from {low} to {high}, got {value!r}")
        return float(value)

    return check


def whole(name: str, low: int, high: int) -> Callable[[Any], int]:
    """Return what checks that a part is an integer between two.

    >>> whole("run", 0, 3)(True)
    Traceback (most recent call last):
        ...
    ValueError: run must be a whole number from 0 to 3, got True

    Args:
        name: of the part.
        low: the least that is allowed.
        high: the most.

    Returns:
        From what Python assigns to what JSON holds; it raises a `ValueError` that names
        the part.
    """

    def check(value: Any) -> int:
        known = isinstance(value, Integral) and not isinstance(value, bool)
        if not known or not low <= value <= high:
            raise ValueError(
                f"{name} must be a whole number from {low} to {high}, got {value!r}"
            )
        return int(value)

    return check


def numbers(name: str, count: int) -> Callable[[Any], list[float]]:
    """Return what checks that a part is so many numbers, in whatever shape they come.

    >>> numbers("point", 2)(torch.tensor([[1, 2]]))
    [1.0, 2.0]
    >>> numbers("point", 2)([1, 2, 3])
    Traceback (most recent call last):
        ...
    ValueError: point must be 2 finite numbers, got [1, 2, 3]

    Args:
        name: of the part.
        count: how many numbers.

    Returns:
        From what Python assigns, a tensor or a sequence, to what JSON holds; it raises
        a `ValueError` that names the part.
    """

    def check(value: Any) -> list[float]:
        flat = torch.as_tensor(value, dtype=torch.float64).detach().flatten()
        if flat.shape != (count,) or not flat.isfinite().all():
            raise ValueError(f"{name} must be {count} finite numbers, got {value}")
        return flat.tolist()

    return check
