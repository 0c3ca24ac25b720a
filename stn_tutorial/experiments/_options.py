"""Options are checked where they are made: against the annotations of a dataclass.

The annotation says all that there is to say about an option, and it says it once: its
type, the names it may have (`Literal`), and how large a number may be (`Range`).
"""

from __future__ import annotations

import math
import numbers
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from stn_tutorial._validate import check_choice, check_flag, kind_of

__all__ = ["Range", "check_options", "choices", "options_from"]

Options = TypeVar("Options")


@dataclass(frozen=True)
class Range:
    """How large a number may be; it stands in an `Annotated` type.

    Attributes:
        least: the smallest number allowed.
        above: every number allowed is larger.
        below: every number allowed is smaller.
    """

    least: float | None = None
    above: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        bounds = {">=": self.least, ">": self.above, "<": self.below}
        return " and ".join(f"{k} {v}" for k, v in bounds.items() if v is not None)


def check_options(options: Any) -> None:
    """Raise unless every field of a dataclass is what its annotation says.

    Numbers of NumPy become Python's, which JSON can hold.

    >>> @dataclass
    ... class Size:
    ...     width: Annotated[int, Range(least=1)] = 8
    ...     unit: Literal["px", "mm"] = "px"
    ...
    ...     def __post_init__(self):
    ...         check_options(self)
    >>> Size(width=0)
    Traceback (most recent call last):
        ...
    ValueError: width must be an integer >= 1, got 0
    >>> Size(unit="m")
    Traceback (most recent call last):
        ...
    ValueError: unit must be 'px' or 'mm', got 'm'

    Args:
        options: an instance of a dataclass, of whose fields each is an int, a float, a
            bool, a str, a `Literal` of names or another dataclass, may be `Annotated`
            with a `Range`, and may be None if its annotation says so.

    Raises:
        TypeError: if a field is of another type.
        ValueError: if a name is unknown, or a number out of its range or not finite.
    """
    for name, annotation in _annotations(type(options)).items():
        value = _checked(getattr(options, name), name, annotation)
        object.__setattr__(options, name, value)  # it may be frozen


def choices(options: type, name: str) -> tuple[str, ...]:
    """Return the names that a field of a dataclass may have.

    Args:
        options: a dataclass.
        name: of a field whose annotation is a `Literal`.

    Returns:
        The names, in the order of the annotation.
    """
    return get_args(_annotations(options)[name])


def options_from(kind: type[Options], values: Any, where: str) -> Options:
    """Return the options that a file says, or raise in words that name the file.

    Options that the file does not say have their defaults.

    Args:
        kind: a dataclass.
        values: what was read: a dictionary, whose values are checked.
        where: of the file, or in it, for the error.

    Returns:
        An instance of the dataclass.

    Raises:
        ValueError: if an option is unknown, missing, or not what it must be.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} must be named options, got {values!r}")
    annotations = _annotations(kind)
    if unknown := sorted(map(str, values.keys() - annotations.keys())):
        raise ValueError(
            f"{where} has options that this version does not know: {', '.join(unknown)}"
        )
    nested = {
        name: options_from(annotations[name], value, where)
        for name, value in values.items()
        if is_dataclass(annotations[name])
    }
    try:
        return kind(**{**values, **nested})
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def _annotations(options: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields, `Annotated` ones whole."""
    hints = get_type_hints(options, include_extras=True)
    return {field.name: hints[field.name] for field in fields(options)}


def _checked(value: Any, name: str, annotation: Any, optional: str = "") -> Any:
    """Return a value, or raise unless it is what an annotation says."""
    if get_origin(annotation) in (Union, types.UnionType):
        (inner,) = (a for a in get_args(annotation) if a is not type(None))
        return None if value is None else _checked(value, name, inner, "None or ")
    if get_origin(annotation) is Annotated:
        kind, allowed = get_args(annotation)
        return _number(value, name, kind, allowed, optional)
    if annotation in (int, float):
        return _number(value, name, annotation, Range(), optional)
    if get_origin(annotation) is Literal:
        check_choice(value, name, get_args(annotation))
    elif annotation is bool:
        check_flag(value, name)
    elif not isinstance(value, annotation):
        raise TypeError(
            f"{name} must be {optional}a {annotation.__name__}, got {kind_of(value)}"
        )
    return value


def _number(
    value: Any, name: str, kind: type, allowed: Range, optional: str
) -> int | float:
    """Return a number as an int or a float, or raise unless it is in its range."""
    wanted, words = (
        (numbers.Integral, "an integer")
        if kind is int
        else (numbers.Real, "a finite number")
    )
    expected = f"{name} must be {optional}{words} {allowed}".rstrip()
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise TypeError(f"{expected}, got {value!r}")
    try:
        number = kind(value)
    except OverflowError:  # an integer that no float holds
        number = math.inf
    except ValueError:  # not a number
        number = math.nan
    if not -math.inf < number < math.inf or value not in allowed:
        raise ValueError(f"{expected}, got {value}")
    return number
