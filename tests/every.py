"""One test that asks the same of many things, and names all that fail.

For questions whose answer costs less than a test of its own does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def every(things: Callable[[], dict[str, Any]]) -> Callable[[Callable], Callable]:
    """Make a test of a function that asserts something of one thing.

    Args:
        things: returns them by their names, when the test runs.

    Returns:
        A decorator.
    """

    def decorate(check: Callable[[Any], None]) -> Callable[[], None]:
        def test() -> None:
            wrong = {}
            asked = things()
            assert asked, "there is nothing to ask"
            for name, thing in asked.items():
                try:
                    check(thing)
                except Exception as error:
                    wrong[name] = f"{type(error).__name__}: {error}"
            assert not wrong, "\n".join(f"{name}: {wrong[name]}" for name in wrong)

        test.__doc__ = check.__doc__
        return test

    return decorate
