"""Evaluation mode for a while, and sequences of layers that can be sliced."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode for a while; afterwards each module has its own mode again.

    >>> model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2).eval())
    >>> with evaluating(model):
    ...     print([layer.training for layer in model])
    [False, False]
    >>> [layer.training for layer in model]
    [True, False]
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    before = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, training in zip(modules, before):
            module.training = training


class Layers(nn.Sequential):
    """Layers in a row that a subclass builds itself.

    `torch.nn.Sequential` makes a slice by calling its own class with the layers, which
    such a subclass doesn't take; here a slice is a plain `torch.nn.Sequential`.

    >>> type(Layers(nn.Flatten(), nn.ReLU())[:1]).__name__
    'Sequential'
    """

    def __getitem__(self, index: int | slice) -> Any:
        """A layer, or those of a slice."""
        if isinstance(index, slice):
            return nn.Sequential(OrderedDict([*self._modules.items()][index]))
        return super().__getitem__(index)
