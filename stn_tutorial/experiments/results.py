"""Results: one JSON file a run, read, selected and written in one place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

__all__ = ["read_results", "results_folder", "select", "write_json"]


def results_folder() -> Path:
    """Return where the book's results are, in a checkout or in what is installed.

    >>> (results_folder() / "distorted_mnist" / "table.md").exists()
    True

    Returns:
        The folder that holds ``distorted_mnist``, ``coordconv`` and so on: the copy
        that is installed with the package, or else ``results`` of the checkout.

    Raises:
        FileNotFoundError: if there is neither.
    """
    package = Path(str(resources.files("stn_tutorial")))
    folders = (package / "_results", package.parent / "results")
    for folder in folders:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"the book's results are neither in {folders[0]} nor in {folders[1]}: install "
        "stn-tutorial again"
    )


def read_results(cell: Callable[..., Any], folder: Path) -> dict[Any, dict[str, Any]]:
    """Read the results of a table, one JSON file a cell.

    Args:
        cell: makes the cell of what a file says under ``cell``.
        folder: of the files.

    Returns:
        The rest of each file, by its cell.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        found[cell(**result.pop("cell"))] = result
    return found


def select(found: Mapping[Any, Any], **wanted: Any) -> dict[Any, Any]:
    """Return the results of some cells.

    Args:
        found: of `read_results`.
        wanted: what the cells' attributes are to be.

    Returns:
        The results of the cells that are so, in the order of their seeds.
    """
    cells = [c for c in found if all(getattr(c, k) == v for k, v in wanted.items())]
    return {cell: found[cell] for cell in sorted(cells, key=lambda cell: cell.seed)}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file in one step, so that nobody finds half of it.

    Args:
        path: of the file; its folder is made.
        content: what to write.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)
