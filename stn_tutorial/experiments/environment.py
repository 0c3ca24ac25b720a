"""The computer that a run is made on: the precision it is fast in, and what it says.

Half precision pays where there are instructions for it. On a CPU without them it is
several times slower than float32, so that a run which asks for it computes in float32
there, and its result says so.
"""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from typing import Any

import numpy as np
import torch

__all__ = ["autocast", "environment", "precision_on"]

#: What a CPU calls its instructions for a precision (of x86, and of ARM).
_INSTRUCTIONS = {
    "bfloat16": ("amx_bf16", "avx512_bf16", "bf16"),
    "float16": ("amx_fp16", "avx512_fp16", "fp16_arith"),
}
#: What a result says of a CPU, where it has it.
_TOLD = ("avx2", "avx512_f", "neon", "sve")


def precision_on(device: torch.device, precision: str) -> str:
    """Return the precision that a run computes in: the one asked for, or float32.

    >>> precision_on(torch.device("cpu"), "float32")
    'float32'

    Args:
        device: that computes.
        precision: float32, bfloat16 or float16.

    Returns:
        float32 where the device has no instructions for half precision.
    """
    if precision == "float32":
        return precision
    if device.type == "cpu":
        supported = any(name in _cpu_features() for name in _INSTRUCTIONS[precision])
    elif device.type == "cuda" and precision == "bfloat16":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        supported = True
    return precision if supported else "float32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Return a context in which a model computes in the precision of `precision_on`.

    >>> with autocast(torch.device("cpu"), "float32"):
    ...     torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype
    torch.float32

    Args:
        device: that computes.
        precision: float32, bfloat16 or float16.

    Returns:
        A context for ``with``. Weights stay float32, and so do grids and other
        computations that half precision would spoil.
    """
    dtype = getattr(torch, precision_on(device, precision))
    half = dtype if dtype != torch.float32 else torch.bfloat16
    return torch.autocast(device.type, half, enabled=dtype != torch.float32)


def environment(
    device: torch.device, *, processes: int = 1, precision: str = "float32"
) -> dict[str, Any]:
    """Return what a result says of where it was made.

    >>> about = environment(torch.device("cpu"))
    >>> sorted(about)
    ['device', 'finished', 'precision', 'processes', 'versions']

    Args:
        device: that computed.
        processes: how many.
        precision: that the recipe asked for.

    Returns:
        Device with the instructions of a CPU, the precision that was computed in,
        versions, and the time, which is when the run ended; ready for JSON.
    """
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        told = {*_TOLD, *(name for names in _INSTRUCTIONS.values() for name in names)}
        features = ", ".join(sorted(told & _cpu_features()))
        name = f"{platform.machine()}, {torch.get_num_threads()} threads, {features}"
    return {
        "device": f"{device.type} ({name.rstrip(', ')})",
        "precision": precision_on(device, precision),
        "processes": processes,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }


def _cpu_features() -> set[str]:
    """What the processor has, if PyTorch can say so: before 2.10 it can't."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return {name for name, value in capabilities.items() if value is True}
