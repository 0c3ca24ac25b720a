"""What the cells of tables have in common: their names, and the run of one training.

A table's module says what its cells are called, and what `Config` each one stands for.
How a cell is measured follows from that, and so does a miniature of it; both are here.
What every cell is, trained or not, is in `stn_tutorial.experiments.results`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from stn_tutorial._validate import check_choice
from stn_tutorial.experiments.results import Cell

__all__ = ["NamedCell", "TrainedCell", "known_names", "miniature", "with_weights"]

AnyConfig = TypeVar("AnyConfig")
AnyModel = TypeVar("AnyModel", bound=nn.Module)


class NamedCell:
    """A cell that its attributes name: the base of frozen dataclasses.

    >>> from stn_tutorial.experiments.renderings import Rendering
    >>> Rendering("quadrant", "coordconv").name
    'quadrant-coordconv-0'
    """

    @property
    def name(self) -> str:
        """The name of the cell's file, its attributes with hyphens between them."""
        return "-".join(str(getattr(self, field.name)) for field in fields(self))


class TrainedCell(NamedCell):
    """A cell that trains and tests one configuration: the base of frozen dataclasses.

    A class that inherits has a `config`, and says in `RUN` what runs it.

    >>> from stn_tutorial.experiments.clutter import Cell
    >>> issubclass(Cell, TrainedCell), Cell("search", "crop", seed=3).name
    (True, 'search-crop-3')
    """

    #: What trains a configuration in a folder, as ``run(config, folder, progress=…)``.
    RUN: ClassVar[Any]

    def config(self, *, quick: bool = False) -> Any:
        """Return the configuration of the run.

        Args:
            quick: of a miniature.

        Returns:
            What to give to `RUN`.
        """
        raise NotImplementedError

    def measure(
        self, checkpoints: Path, *, progress: bool = False, **options: Any
    ) -> dict[str, Any]:
        """Run the cell, or go on where a killed run of it stopped.

        Args:
            checkpoints: the folder of the run.
            progress: show a bar.
            options: of `config`.

        Returns:
            The result of the run.
        """
        config = self.config(**options)
        return self.RUN(config, checkpoints, progress=progress).result


def miniature(config: AnyConfig, *, batch_size: int = 32, **few: Any) -> AnyConfig:
    """Return the configuration of a miniature, which is run in a second or two.

    >>> from stn_tutorial.experiments.distorted_digits import Config
    >>> small = miniature(Config(data="mnist"), limit=128)
    >>> small.data, small.limit, small.recipe.epochs
    ('embedded', 128, 2)

    Args:
        config: of a run, a dataclass with `data` and a `recipe`.
        batch_size: of its recipe.
        few: what else is changed, such as how many digits there are.

    Returns:
        The same, for two epochs of the embedded digits in float32.
    """
    short = {"epochs": 2, "batch_size": batch_size, "precision": "float32"}
    recipe = replace(config.recipe, **short)
    return replace(config, **{"data": "embedded", "recipe": recipe, **few})


def known_names(
    given: Iterable[str], what: str, known: Iterable[str]
) -> tuple[str, ...]:
    """Return names as a tuple, or raise unless all are known.

    >>> known_names(["R", "RTS", "T"], "columns", ("R", "RTS", "P"))
    Traceback (most recent call last):
        ...
    ValueError: columns must be 'R', 'RTS' or 'P', got 'T'

    Args:
        given: the names.
        what: they are, for the message.
        known: the names that there are.

    Returns:
        Those that were given.

    Raises:
        ValueError: if a name is unknown.
    """
    names = tuple(given)
    for name in names:
        check_choice(name, what, tuple(known))
    return names


def with_weights(model: AnyModel, cell: Cell, folder: Path) -> AnyModel:
    """Give a model the weights that the run of a cell ended with.

    Args:
        model: made from the cell's configuration.
        cell: whose weights they are.
        folder: of the weights, one safetensors file a cell: the model's state.

    Returns:
        The model, in evaluation mode.

    Raises:
        ValueError: if there is no such file, or it fits another model.
    """
    path = folder / f"{cell.name}.safetensors"
    if not path.exists():
        raise ValueError(f"folder must hold the weights of {cell.name}: no {path}")
    try:
        model.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"{path} does not fit {cell.name}: {error}") from None
    return model.eval()
