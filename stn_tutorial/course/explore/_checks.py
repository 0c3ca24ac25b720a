"""What many figures ask of what Python assigns to a part of their state."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Collection
from typing import Any

from stn_tutorial._validate import check_choice

__all__ = ["between", "one_of", "whole"]


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


def between(
    name: str, low: float, high: float, kind: type = float
) -> Callable[[Any], Any]:
    """Return what checks that a part lies between two numbers, and makes it a `kind`.

    >>> between("angle", -180, 180)(200)
    Traceback (most recent call last):
        ...
    ValueError: angle must be from -180 to 180, got 200

    Args:
        name: of the part.
        low: the least that is allowed.
        high: the most.
        kind: what JSON holds, float or int.

    Returns:
        From what Python assigns to what JSON holds; it raises a `ValueError` that names
        the part.
    """

    def check(value: Any) -> Any:
        if not low <= value <= high:  # NaN is refused as well
            raise ValueError(f"{name} must be from {low} to {high}, got {value!r}")
        return kind(value)

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
        known = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not known or not low <= value <= high:
            raise ValueError(
                f"{name} must be a whole number from {low} to {high}, got {value!r}"
            )
        return int(value)

    return check
