"""Results: one JSON file a run, written, read, checked and selected in one place.

A table of runs is made of cells, frozen dataclasses that say what is run. A cell has a
`name`, and its result is the file of that name: what has no file is missing. Files
travel and are edited, so nothing in them is believed: a file is checked against the
cell's template, and a name that becomes part of a path is one of those that are known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, TypeVar

from stn_tutorial._validate import check_choice, check_number, kind_of
from stn_tutorial.data.archives import atomically
from stn_tutorial.experiments._options import Range, check_options, options_from

__all__ = [
    "ENVIRONMENT",
    "Cell",
    "Seed",
    "check_cell",
    "check_result",
    "is_done",
    "keep_result",
    "read_files",
    "read_results",
    "result_file",
    "results_folder",
    "select",
    "what_is_missing",
    "write_json",
    "write_result",
]

#: What the seed of a cell may be.
Seed = Annotated[int, Range(least=0, below=2**32)]
#: What every result says of where and when it was made; see `check_result`.
ENVIRONMENT = {
    "device": str,
    "precision?": str,  # older results don't say it
    "processes": int,
    "finished": str,
    "versions": {str: str},
}


class Cell(Protocol):
    """A cell of a table and a seed: one run."""

    #: What its result looks like; see `check_result`.
    RESULT: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """The name of the cell's file, without ``.json``."""

    def measure(
        self, checkpoints: Path, *, progress: bool, **options: Any
    ) -> dict[str, Any]:
        """Run the cell; go on where a killed run of it stopped.

        Args:
            checkpoints: a folder for this run alone.
            progress: show a bar.
            options: what else decides how it is run.

        Returns:
            The result, ready for JSON.
        """


AnyCell = TypeVar("AnyCell", bound=Cell)


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


def check_cell(cell: Any, **known: Iterable[str]) -> None:
    """Raise unless a cell's names are known and its seed is a `Seed`.

    Args:
        cell: a dataclass.
        known: for each other attribute of it, the names it may have.

    Raises:
        TypeError: if an attribute is of another type than its annotation says.
        ValueError: if a name is unknown, or a number out of its range.
    """
    check_options(cell)
    for attribute, names in known.items():
        check_choice(getattr(cell, attribute), attribute, tuple(names))


def check_result(content: Any, template: Any, name: str = "the file") -> None:
    """Raise a ValueError unless what came from a file looks like a template.

    >>> template = {"seconds": float, "history": [{"loss": float, "note?": str}, ...]}
    >>> check_result({"seconds": 3, "history": [{"loss": 0.5}]}, template)
    >>> check_result({"seconds": 3, "history": [{"loss": float("nan")}]}, template)
    Traceback (most recent call last):
        ...
    ValueError: history[0].loss must be finite, got nan

    Args:
        content: of JSON's types.
        template: ``float`` stands for any finite number, and ``int``, ``str`` and
            ``bool`` for a value of that type. A dictionary has exactly the keys of its
            template, those with a ``?`` may be missing; with the key ``str`` it may
            have any. A list has entries like the template's first, and at least one if
            that is followed by ``...``. A dataclass stands for a dictionary of its
            fields that it accepts.
        name: what messages call the content.
    """
    if template is float:
        try:
            check_number(content, name)
        except TypeError as error:
            raise ValueError(str(error)) from None
    elif is_dataclass(template):
        options_from(template, content, name)
    elif isinstance(template, type):
        is_kind = isinstance(content, template) and not (
            template is int and isinstance(content, bool)
        )
        if not is_kind:
            raise ValueError(f"{name} must be {template.__name__}, got {content!r:.60}")
    elif isinstance(template, list):
        if not isinstance(content, list) or len(content) < len(template) - 1:
            kind = "a list" if len(template) == 1 else "a list with entries"
            raise ValueError(f"{name} must be {kind}, got {content!r:.60}")
        for index, entry in enumerate(content):
            check_result(entry, template[0], f"{name}[{index}]")
    else:
        _check_keys(content, template, name)
        beginning = "" if name == "the file" else f"{name}."
        for key, entry in content.items():
            part = template.get(key, template.get(f"{key}?", template.get(str)))
            check_result(entry, part, f"{beginning}{key}")


def _check_keys(content: Any, template: Mapping[Any, Any], name: str) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"{name} must be an object, got {kind_of(content)}")
    if str in template:
        return
    needed = {key for key in template if not key.endswith("?")}
    known = {key.removesuffix("?") for key in template}
    if missing := sorted(needed - content.keys()):
        raise ValueError(f"{name} must have {', '.join(missing)}")
    if unknown := sorted(content.keys() - known):
        raise ValueError(f"{name} has {', '.join(unknown)}, which nothing here knows")


def result_file(folder: Path, cell: Cell) -> Path:
    """Return where a cell's result is kept, whether there is one or not.

    Args:
        folder: of the results.
        cell: whose name the file has.

    Returns:
        The path of a JSON file.
    """
    return folder / f"{cell.name}.json"


def read_files(folder: Path, template: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read all JSON files of a folder.

    Args:
        folder: of the files; what is in folders below it is left alone.
        template: what each file looks like; see `check_result`.

    Returns:
        What is in each file, by the file's name without ``.json``, in their order.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if a file is damaged, or holds something else; it is named.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"folder must hold results: there is no {folder}")
    paths = sorted(Path(folder).glob("*.json"))
    return {path.stem: _read(path, template) for path in paths}


def read_results(folder: Path, cell: type[AnyCell]) -> dict[AnyCell, dict[str, Any]]:
    """Read the results of a table, one JSON file a cell.

    >>> from stn_tutorial.experiments.scattered_digits import Cell
    >>> found = read_results(results_folder() / "coordconv" / "detection", Cell)
    >>> found[Cell("canvas", "coordconv", seed=0)]["steps"]
    400

    Args:
        folder: of the files; what is in folders below it is left alone.
        cell: the class of the cells.

    Returns:
        The result of each cell.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if a file is damaged, or holds something else; it is named.
    """
    template = {"cell": cell, **cell.RESULT}
    found = {}
    for name, result in read_files(folder, template).items():
        whose = cell(**result.pop("cell"))
        if whose.name != name:
            raise ValueError(
                f"{Path(folder) / name}.json holds the result of {whose.name}: rename "
                "it, or delete it"
            )
        found[whose] = result
    return found


def what_is_missing(folder: Path, cell: Cell) -> str:
    """Return why a cell has no result: nothing if it has one.

    Args:
        folder: of the results.
        cell: whose result is looked for.

    Returns:
        An empty string, or a few words on the file.
    """
    path = result_file(folder, cell)
    if not path.exists():
        return "no file"
    try:
        result = _read(path, {"cell": type(cell), **cell.RESULT})
    except (OSError, ValueError) as error:
        return str(error)
    if type(cell)(**result["cell"]) != cell:
        return f"{path} holds the result of another cell"
    return ""


def is_done(folder: Path, cell: Cell) -> bool:
    """Return whether a cell has a result, whole and undamaged.

    Args:
        folder: of the results.
        cell: whose result is looked for.

    Returns:
        False if the file is damaged, or is not there.
    """
    return not what_is_missing(folder, cell)


def select(found: Mapping[AnyCell, Any], **wanted: Any) -> dict[AnyCell, Any]:
    """Return the results of some cells.

    >>> from stn_tutorial.experiments.scattered_digits import Cell
    >>> found = {Cell("cell", "coordconv", seed): seed**2 for seed in (3, 2)}
    >>> list(select(found, network="coordconv").values())
    [4, 9]

    Args:
        found: of `read_results`.
        wanted: what the cells' attributes are to be.

    Returns:
        The results of the cells that are so, in the order of their seeds.
    """
    cells = [c for c in found if all(getattr(c, k) == v for k, v in wanted.items())]
    return {cell: found[cell] for cell in sorted(cells, key=lambda cell: cell.seed)}


def write_result(folder: Path, cell: Cell, result: Mapping[str, Any]) -> None:
    """Write the result of a cell.

    Args:
        folder: of the results; it is made.
        cell: whose it is.
        result: of its `measure`.

    Raises:
        ValueError: if the result is not what the cell's template says, for instance
            not finite. Nothing is written then.
    """
    content = {"cell": asdict(cell), **result}
    check_result(content, {"cell": type(cell), **cell.RESULT})
    write_json(result_file(folder, cell), content)


def keep_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write a run's result beside its checkpoint, unless it is there already.

    When a finished run is called again, nothing is trained, and its file still says
    where and when it was.

    Args:
        folder: of the run.
        result: of `stn_tutorial.experiments.training.Run`.
    """
    path = folder / "result.json"
    try:
        if json.loads(path.read_text())["history"] == result["history"]:
            return
    except (OSError, ValueError, KeyError, TypeError):  # none, or no result
        pass
    write_json(path, result)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file in one step, so that nobody finds half of it.

    Args:
        path: of the file; its folder is made.
        content: what to write.

    Raises:
        ValueError: if a number is not finite: JSON has none such.
    """
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomically(path) as part:
        part.write_text(text, encoding="utf-8")


def _read(path: Path, template: Mapping[str, Any]) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8")
        if not text.strip():
            raise ValueError("it is empty")
        content = json.loads(text)  # NaN is read, and then refused by the check
        check_result(content, template)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not a result: {error}. Restore the file, or delete it and run "
            "what is missing"
        ) from None
    return content
