"""What every function asks of its arguments, and in which precision it computes.

The checks raise at once, and their messages name the argument, what was expected and
what came. They look at types and shapes; what needs the *values* of a tensor asks
`known_values` for them, since a compiler, an export or ``vmap`` has none to show.
"""

from __future__ import annotations

import contextlib
import numbers
import operator
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def check_tensor(value: Any, name: str) -> None:
    """Raise a TypeError unless a value is a tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor, got {kind_of(value)}")


def check_floating(value: Any, name: str) -> None:
    """Raise a TypeError unless a value is a tensor of a floating dtype.

    >>> check_floating(torch.arange(3), "points")
    Traceback (most recent call last):
        ...
    TypeError: points must be a floating tensor, got torch.int64
    """
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = value.dtype if isinstance(value, Tensor) else kind_of(value)
        raise TypeError(f"{name} must be a floating tensor, got {kind}")


def check_size(size: Any, name: str, form: str = "(H, W)") -> tuple[int, ...]:
    """Return a size as a tuple of integers >= 1, or raise.

    Integers of NumPy are welcome, and so are the symbols that stand for a size in an
    export or a trace: those stay symbols.

    Args:
        size: a sequence, or an array of one dimension.
        name: of the argument, for the error.
        form: what the size must look like: it has as many entries as this has words.
            Several forms are separated by " or ".

    Raises:
        TypeError: if `size` is not made of integers.
        ValueError: if it has another number of entries, or an entry below 1.

    >>> check_size(np.array([4, 5]), "size")
    (4, 5)
    >>> check_size((4, 0), "out_size")
    Traceback (most recent call last):
        ...
    ValueError: out_size must be (H, W) with entries >= 1, got (4, 0)
    """
    if not isinstance(size, (Sequence, np.ndarray)) or isinstance(size, str):
        raise TypeError(f"{name} must be integers {form}, got {_shown(size)}")
    try:
        found = tuple(_whole(n) for n in size)
    except TypeError:
        raise TypeError(f"{name} must be integers {form}, got {_shown(size)}") from None
    lengths = {len(one.strip("(,)").split(",")) for one in form.split(" or ")}
    plain = [n for n in found if not isinstance(n, Tensor)]
    if len(found) not in lengths or any(n < 1 for n in plain):
        raise ValueError(f"{name} must be {form} with entries >= 1, got {found}")
    return found


def size_axes(dimensions: int) -> str:
    """What a size is called in a message: of an image (2) or of a volume (3).

    >>> size_axes(3)
    'D, H, W'
    """
    return ", ".join("DHW"[-dimensions:])


def check_number(value: Any, name: str) -> float:
    """Return a finite real number as a float, or raise.

    >>> check_number(np.float32(0.5), "stiffness")
    0.5
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {_shown(value)}")
    try:
        number = float(value)
    except OverflowError:  # an integer that no float holds
        raise ValueError(f"{name} must be within ±1e308, got more") from None
    if not -np.inf < number < np.inf:
        raise ValueError(f"{name} must be finite, got {value}")
    return number


def check_flag(value: Any, name: str) -> None:
    """Raise a TypeError unless a value is True or False.

    >>> check_flag("no", "align_corners")
    Traceback (most recent call last):
        ...
    TypeError: align_corners must be True or False, got 'no'
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {_shown(value)}")


def check_choice(value: Any, name: str, known: Sequence[str]) -> None:
    """Raise a ValueError unless a value is one of the known names.

    >>> check_choice("wrap", "padding", ("zeros", "border"))
    Traceback (most recent call last):
        ...
    ValueError: padding must be 'zeros' or 'border', got 'wrap'
    """
    if not isinstance(value, str) or value not in known:
        names = [repr(one) for one in known]
        listed = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        raise ValueError(f"{name} must be {listed}, got {_shown(value)}")


def check_same_device(tensor: Tensor, name: str, other: Tensor, owner: str) -> None:
    """Raise a ValueError unless a tensor is on the device of another."""
    if tensor.device != other.device:
        raise ValueError(
            f"{name} must be on the {owner}'s device {other.device}, "
            f"got {tensor.device}"
        )


def known_values(tensor: Tensor) -> Any | None:
    """Return the numbers in a tensor as lists, or None where nobody can know them.

    There are none while a function is compiled, exported or traced, on the meta device,
    and under `torch.vmap`. A check of values is left out there.
    """
    if is_traced():
        return None
    try:
        values = tensor.detach().tolist()
    except RuntimeError:
        return None
    first = values
    while isinstance(first, list) and first:
        first = first[0]
    symbols = torch.SymFloat, torch.SymInt, torch.SymBool
    return None if isinstance(first, symbols) else values


def known_ends(tensor: Tensor) -> tuple[float, float] | None:
    """Return the smallest and the largest number in a tensor; NaN if it holds any.

    They tell cheaply that there is nothing to treat apart. There are none where
    `known_values` has none, of an empty tensor, and on a GPU, which would have to wait.

    >>> known_ends(torch.tensor([3.0, -1.0, 2.0]))
    (-1.0, 3.0)
    """
    if tensor.device.type != "cpu" or is_traced() or not tensor.numel():
        return None
    least, largest = (known_values(end) for end in tensor.detach().aminmax())
    return None if least is None or largest is None else (least, largest)


def is_traced() -> bool:
    """Whether a function is compiled, exported or traced: tensors have no numbers."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def working_dtype(*tensors: Tensor) -> torch.dtype:
    """Return the dtype to compute in: the widest of the tensors', float32 at least.

    Coordinates in half precision can't tell neighbouring pixels apart.

    >>> working_dtype(torch.zeros(1, dtype=torch.bfloat16))
    torch.float32
    """
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    return torch.float64 if wide else torch.float32


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which autocast rounds nothing, on devices that have it.

    >>> with without_autocast(torch.device("cpu")):
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.float32
    """
    # torch 2.6 can't trace the question; what is compiled is on a device that has it.
    available = device.type != "meta" and torch.compiler.is_compiling()
    if not available and not torch.amp.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def vector(values: Sequence[float], like: Tensor) -> Tensor:
    """Return numbers as a tensor of the dtype and device of another.

    Numbers that an export or a trace computes from a size stay symbols in it.

    >>> vector((3, 0.5), torch.zeros(1, dtype=torch.float64)).tolist()
    [3.0, 0.5]
    """
    # torch 2.6 takes symbols for numbers, too, and makes constants of them.
    plain = all(isinstance(value, (int, float)) for value in values)
    if plain and not torch.compiler.is_compiling():
        return like.new_tensor(values)
    return torch.stack([like.new_full((), value) for value in values])


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a @ b`` for small matrices, in full precision wherever it runs.

    A matrix product is rounded to half precision under autocast and to TF32 on some
    GPUs, and a grid can't bear that; products and sums are not.

    Args:
        a: ``(..., I, K)``.
        b: ``(..., K, J)``.

    Returns:
        ``(..., I, J)``.
    """
    return (a[..., :, :, None] * b[..., None, :, :]).sum(dim=-2)


def kind_of(value: Any) -> str:
    """What a message calls a value that is no tensor: its type, or the class it is.

    >>> kind_of(np.zeros(2)), kind_of(torch.nn.Linear)
    ('numpy.ndarray', 'the class Linear')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value)
    return f"numpy.{kind.__name__}" if kind.__module__ == "numpy" else kind.__name__


def _shown(value: Any) -> str:
    """A value in a message; of one that is long, the type."""
    return text if len(text := repr(value)) <= 60 else kind_of(value)


def _whole(n: Any) -> int:
    """An integer of Python; a symbol that stands for one stays as it is."""
    if isinstance(n, (bool, np.bool_)):
        raise TypeError
    if isinstance(n, int) or _is_symbol(n):  # a compiler's symbols pass as integers
        return n
    return operator.index(n)


def _is_symbol(n: Any) -> bool:
    """Whether a size is one that an export or a trace leaves open."""
    if isinstance(n, torch.SymInt):
        return True
    return isinstance(n, Tensor) and torch.jit.is_tracing()
