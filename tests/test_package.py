"""The package as a house of storeys: who imports whom, and what the face promises."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from every import every

import stn_tutorial

PACKAGE = Path(stn_tutorial.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
modules = every(
    lambda: {path.relative_to(PACKAGE).as_posix(): path for path in MODULES}
)

# The method, each module above those that may import it.
METHOD = (
    "_validate",
    "_modules",
    "coordinates",
    "displacement",
    "families",
    "families_3d",
    "thin_plate_spline",
    "bilinear",
    "bicubic",
    "antialiasing",
    "sampling",
    "localization",
    "transformer",
    "coordconv",
    "diagnostics",
)
# Each storey, and those that it stands on.
STOREYS = {
    "method": {"method"},
    "data": {"method", "data"},
    "experiments": {"method", "data", "experiments"},
    "course": {"method", "data", "experiments", "course"},
    "commands": {"method", "data", "experiments", "course", "commands"},
}
# The import names of the distributions whose names are others.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow"}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def storey_of(module: str) -> str:
    """The storey of a module that is named as in ``stn_tutorial.sampling``."""
    parts = [*module.split("."), "__init__"]
    if parts[1] in STOREYS:
        return parts[1]
    return "commands" if parts[1] == "__main__" else "method"


def imports_of(path: Path) -> list[str]:
    """Every imported module of a file, in full, wherever in the file the import is."""
    found = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            if node.module == "stn_tutorial":
                found += [f"stn_tutorial.{alias.name}" for alias in node.names]
            else:
                found.append(node.module)
    return found


def module_of(path: Path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return importlib.import_module(".".join(parts).removesuffix(".__init__"))


def public(path: Path) -> list[str]:
    """The functions and classes that a module defines without an underscore."""
    return [
        node.name
        for node in parsed(path).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
    ]


def imported_modules(path: Path) -> set[str]:
    """The modules of this package that a file imports."""
    found = set()
    for name in imports_of(path):
        if name.split(".")[0] == "stn_tutorial":
            # A name that the package's face hands on counts as where it comes from.
            last = name.split(".")[-1]
            face = last in stn_tutorial.__all__
            found.add(getattr(stn_tutorial, last).__module__ if face else name)
    return found


@modules
def test_no_arrow_runs_back_from_a_storey_to_one_above(path):
    here = module_of(path).__name__
    for name in imported_modules(path):
        assert storey_of(name) in STOREYS[storey_of(here)], f"{here} imports {name}"


@modules
def test_the_method_imports_torch_and_what_is_above_it_alone(path):
    if storey_of(module_of(path).__name__) != "method" or path.stem == "__init__":
        return
    assert path.stem in METHOD, f"{path.stem} needs a place in the order of the method"
    above = METHOD[: METHOD.index(path.stem)]
    for name in imports_of(path):
        first, *rest = name.split(".")
        if first == "stn_tutorial":
            continue
        assert first in {"torch", "numpy"} | sys.stdlib_module_names, name
    for name in imported_modules(path):
        assert name.split(".")[1] in above, f"{path.stem} imports {name}"


@modules
def test_a_module_imports_only_what_the_package_depends_on(path):
    declared = {
        re.match(r"[\w.-]+", requirement)[0].lower()
        for requirement in metadata.requires("stn-tutorial")
        if "extra ==" not in requirement or "extra == 'course'" in requirement
    }
    for name in imports_of(path):
        first = name.split(".")[0]
        if first == "stn_tutorial" or first in sys.stdlib_module_names:
            continue
        assert DISTRIBUTIONS.get(first, first) in declared, f"{first} is undeclared"


@modules
def test_all_names_what_is_public_and_nothing_else(path):
    module = module_of(path)
    listed = getattr(module, "__all__", [])
    assert len(set(listed)) == len(listed)
    for name in listed:
        assert hasattr(module, name), f"__all__ of {module.__name__} lists {name}"
        assert not name.startswith("_")
    if path.stem.startswith("_"):
        return  # private to its folder as a whole
    # What has no underscore and is not listed serves its own module alone.
    for name in set(public(path)) - set(listed):
        users = [
            other.name
            for other in MODULES
            for node in ast.walk(parsed(other))
            if isinstance(node, ast.ImportFrom) and node.module == module.__name__
            if name in [alias.name for alias in node.names]
        ]
        assert not users, f"{name} is not in __all__ and is imported by {users}"


@modules
def test_a_module_says_what_it_is_for(path):
    text = ast.get_docstring(parsed(path))
    assert text and text.splitlines()[0].endswith((".", ":"))


def documented() -> dict[str, Any]:
    """The public functions, and the public methods of the public classes, by name."""
    found = {}
    for path in MODULES:
        module = module_of(path)
        for name in set(public(path)) & set(getattr(module, "__all__", [])):
            item = getattr(module, name)
            found[f"{module.__name__}.{name}"] = item
            if inspect.isclass(item):
                found |= {
                    f"{module.__name__}.{name}.{key}": method
                    for key, method in vars(item).items()
                    if inspect.isfunction(method) and not key.startswith("_")
                }
    return found


def terse(item) -> bool:
    """Whether one sentence may do: for an exercise's check, and for what draws.

    A check takes the reader's attempt, whose contract is the exercise's text.
    """
    return item.__module__.startswith(
        ("stn_tutorial.course.checks.", "stn_tutorial.course.plotting")
    )


@every(documented)
def test_a_public_docstring_is_complete(item):
    text = inspect.getdoc(item)
    assert text, "no docstring"
    assert text.splitlines()[0].endswith((".", ":")), "the first line is no sentence"
    if inspect.isclass(item) or terse(item):
        return
    signature = inspect.signature(item)
    parameters = [name for name in signature.parameters if name != "self"]
    if parameters:
        described = re.search(r"^Args:\n((?:    .*\n?|\n)+)", text, re.M)
        assert described, "no Args section"
        entries = re.findall(r"^    \**(\w+):", described[1], re.M)
        assert entries == parameters, f"Args describes {entries}, not {parameters}"
    returns = signature.return_annotation
    if parameters and returns not in (None, "None"):
        assert re.search(r"^Returns:\n    \S", text, re.M), "no Returns section"


@pytest.mark.parametrize("name", METHOD)
def test_the_examples_of_the_method_run(name):
    module = importlib.import_module(f"stn_tutorial.{name}")
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", stn_tutorial.__all__)
def test_what_the_face_shows_has_an_example(name):
    assert ">>>" in inspect.getdoc(getattr(stn_tutorial, name))


@every(documented)
def test_public_signatures_have_types(item):
    if inspect.isclass(item) and "__init__" not in vars(item):
        return
    if getattr(item, "_is_protocol", False):  # it has an __init__ of typing's own
        return
    function = item.__init__ if inspect.isclass(item) else item
    signature = inspect.signature(function)
    for name, parameter in signature.parameters.items():
        if name != "self":
            assert parameter.annotation is not parameter.empty, f"{name} has no type"
    assert signature.return_annotation is not signature.empty


def test_the_face_of_the_package_is_what_was_promised():
    promised = {
        "base_grid": "size, *, align_corners=False, dtype=None, device=None",
        "to_pixels": "points, size, *, align_corners=False",
        "to_normalized": "points, size, *, align_corners=False",
        "theta_from_pixels": "matrix, in_size, out_size, *, align_corners=False",
        "theta_to_pixels": "theta, in_size, out_size, *, align_corners=False",
        "sample": "image, grid, *, interpolation='bilinear', padding='zeros', "
        "fill=0.0, align_corners=False, backend='native', antialias=False",
        "warp": "image, params, out_size=None, *, family=Affine(), "
        "interpolation='bilinear', padding='zeros', fill=0.0, align_corners=False, "
        "backend='native', antialias=False",
        "SpatialTransformer": "localization, family=None, out_size=None, *, "
        "interpolation='bilinear', padding='zeros', fill=0.0, align_corners=False, "
        "backend='native', antialias=False",
        "rotation": "angle, scale=1.0, shift=(0.0, 0.0), *, center=(0.0, 0.0)",
        "homography": "from_points, to_points",
    }
    for name, expected in promised.items():
        parameters = inspect.signature(getattr(stn_tutorial, name)).parameters.values()
        bare = [each.replace(annotation=inspect.Parameter.empty) for each in parameters]
        assert str(inspect.Signature(bare)) == f"({expected})"
    grid = inspect.signature(stn_tutorial.Affine().grid).parameters
    assert list(grid) == ["params", "size", "align_corners"]
    assert grid["align_corners"].default is False
    assert set(stn_tutorial.__all__) >= {*promised, "Affine"}


def test_the_version_is_that_of_the_distribution():
    assert stn_tutorial.__version__ == metadata.version("stn-tutorial")
