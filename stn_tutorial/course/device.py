"""Where a notebook or a script runs."""

from __future__ import annotations

import torch

__all__ = ["pick_device"]


def pick_device() -> torch.device:
    """Return the CUDA device when there is one, and the CPU otherwise.

    >>> pick_device().type in ("cuda", "cpu")
    True
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
