"""The package as it is installed: what the wheel holds, and what it needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def needed_by(*names: str) -> set[str]:
    """Return the distributions that these need without extras, themselves included."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            for text in metadata.requires(name) or []:
                requirement = Requirement(text)
                if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                    left.append(requirement.name)
    return found


@pytest.fixture(scope="module")
def room(wheel, tmp_path_factory) -> Path:
    """A folder with the unpacked wheel, and what the wheel says it needs, alone."""
    folder = tmp_path_factory.mktemp("room")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (about,) = folder.glob("*.dist-info/METADATA")
    wanted = re.findall(r"^Requires-Dist: ([\w.-]+)[^;\n]*$", about.read_text(), re.M)
    for name in needed_by(*wanted):
        distribution = metadata.distribution(name)
        for top in {Path(file).parts[0] for file in distribution.files}:
            installed, here = Path(distribution.locate_file(top)), folder / top
            if top not in ("..", "__pycache__") and not here.exists():
                here.symlink_to(installed)
    return folder


PROGRAM = """
import importlib, json, pkgutil, sys
from importlib.util import find_spec
import numpy, torch
def loaded():
    return {name.split(".")[0] for name in sys.modules} - sys.stdlib_module_names
before = loaded()
import stn_tutorial as stn
added = loaded() - before
image = torch.arange(24.0).reshape(1, 2, 3, 4)
grid = stn.Affine().grid(stn.Affine().identity().expand(1, -1), (3, 4))
same = torch.equal(stn.sample(image, grid, backend="manual"), image)
modules = [
    module.name for module in pkgutil.iter_modules(stn.__path__)
    if not module.ispkg and module.name not in ("commands", "__main__")
]
for name in modules:
    importlib.import_module(f"stn_tutorial.{name}")
missing = [name for name in ("matplotlib", "scipy") if not find_spec(name)]
assert "scipy         not installed" in str(stn.report_environment())
print(json.dumps([stn.__file__, sorted(added), same, modules, missing]))
"""


def test_it_works_where_there_are_torch_and_numpy_alone(room):
    """Where there is nothing but the standard library and the room."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM],
        cwd=room,
        env={**os.environ, "PYTHONPATH": str(room)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    file, added, same, modules, missing = json.loads(done.stdout)
    assert file == str(room / "stn_tutorial" / "__init__.py")
    assert missing == ["matplotlib", "scipy"]
    assert added == ["stn_tutorial"], "the face loads a library that torch does not"
    assert same, "the identity changes an image"
    assert {"coordinates", "transformer", "diagnostics"} <= set(modules)


def test_the_wheel_holds_every_result_and_the_mark_of_its_types(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    results = {path for path in (ROOT / "results").rglob("*") if path.is_file()}
    assert len(results) > 300
    expected = {
        f"stn_tutorial/_results/{path.relative_to(ROOT / 'results').as_posix()}"
        for path in results
    }
    assert {name for name in names if "/_results/" in name} == expected
    assert "stn_tutorial/py.typed" in names
