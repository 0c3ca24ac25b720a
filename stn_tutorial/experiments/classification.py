"""What runs that classify digits share: the digits, and what is told of a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from stn_tutorial.data._checks import check_whole
from stn_tutorial.data.digits import DigitSet, load_digits
from stn_tutorial.experiments.results import ENVIRONMENT
from stn_tutorial.experiments.training import Recipe

__all__ = [
    "PICTURES",
    "RESULT",
    "USED",
    "Config",
    "about",
    "digits_of",
    "label_of",
    "options_of",
    "used",
]


class Config(Protocol):
    """What the configuration of such a run has, a dataclass with more than these.

    Attributes:
        data: mnist, embedded, or auto: mnist when it can be had.
        limit: use the first so many training digits; 0 uses all.
        validation: hold out so many training digits, the last ones, and test on them.
        recipe: how to train.
    """

    data: str
    limit: int
    validation: int
    recipe: Recipe


#: What a result says of pictures that are no digits, learned or tested.
PICTURES = {"pictures": int, "sha256": str}
_DIGITS = {"digits": int, "sha256": str}
#: What a result says of the digits that were learned and tested; see `used`.
USED = {"source": str, "train": _DIGITS, "test": _DIGITS}
#: What every result of such a run looks like, but for its configuration; see
#: `stn_tutorial.experiments.results`.
RESULT = {
    "parameters": int,
    "data": {**USED, "test": {"split": str, **_DIGITS}},
    "test_error": float,
    "seconds": float,
    "history": [
        {
            "epoch": int,
            "loss": float,
            "train_error": float,
            "test_error?": float,
            "seconds": float,
        },
        ...,
    ],
    **ENVIRONMENT,
}


def digits_of(config: Config) -> tuple[DigitSet, DigitSet]:
    """Return the digits to train on and those to test on.

    >>> from stn_tutorial.experiments.distorted_digits import Config
    >>> config = Config(data="embedded", limit=100, validation=37)
    >>> [len(digits) for digits in digits_of(config)]
    [100, 37]

    Args:
        config: says from where, and how many.

    Returns:
        Both; with `validation` the second are held out of the training digits.

    Raises:
        DataError: if the data can't be had.
        ValueError: if no digit would be left to train on.
    """
    digits = load_digits("train", config.data)
    if config.validation:
        most = len(digits) - 1
        check_whole(config.validation, "validation", least=0, most=most)
        digits, test = digits.hold_out(config.validation)
    else:
        test = load_digits("test", digits.source)
    return digits.first(min(config.limit or len(digits), len(digits))), test


def options_of(config: Any) -> dict[str, Any]:
    """Return the options of a run but for its recipe, which is asked for apart.

    >>> from stn_tutorial.experiments.signs import Config
    >>> options = options_of(Config(side=48))
    >>> options["side"], "recipe" in options
    (48, False)

    Args:
        config: of the run, a dataclass with a `recipe`.

    Returns:
        By name, the values.
    """
    return {name: each for name, each in asdict(config).items() if name != "recipe"}


def label_of(config: Config, digits: DigitSet) -> dict[str, Any]:
    """Return by what a run is known again when it is gone on with.

    Args:
        config: of the run.
        digits: that are trained on.

    Returns:
        All options but the recipe, which `stn_tutorial.experiments.training.fit` knows;
        of ``auto``, what it came to.
    """
    return {**options_of(config), "data": digits.source}


def used(digits: DigitSet, test: DigitSet) -> dict[str, Any]:
    """Return what a result says of the digits that were learned and tested.

    Args:
        digits: to learn from.
        test: to be tested on, of the same source.

    Returns:
        The source, and how many there are of each, with their checksum: see `USED`.
    """
    return {
        "source": digits.source,
        "train": {"digits": len(digits), "sha256": digits.checksum},
        "test": {"digits": len(test), "sha256": test.checksum},
    }


def about(config: Config, digits: DigitSet, test: DigitSet) -> dict[str, Any]:
    """Return what a result says of a run before its numbers.

    Args:
        config: of the run.
        digits: to learn from.
        test: to be tested on.

    Returns:
        The configuration and the data, as `RESULT` has them.
    """
    data = used(digits, test)
    split = "validation" if config.validation else "test"
    data["test"] = {"split": split, **data["test"]}
    return {"config": asdict(config), "data": data}
