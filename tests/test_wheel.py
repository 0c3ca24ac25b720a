"""The package as it is installed: what the wheel holds, and what it needs."""

from __future__ import annotations

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


def run_in(room: Path, code: str) -> str:
    """Run code that sees the standard library and the room, and return its output."""
    surroundings = {**os.environ, "PYTHONPATH": str(room)}
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(
        command, cwd=room, env=surroundings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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


def test_the_face_works_where_there_are_torch_and_numpy_alone(room):
    output = run_in(
        room,
        "import importlib.util as u, torch, stn_tutorial as stn\n"
        "image = torch.arange(24.0).reshape(1, 2, 3, 4)\n"
        "family = stn.Affine()\n"
        "grid = family.grid(family.identity().expand(1, -1), (3, 4))\n"
        "print(u.find_spec('matplotlib'), u.find_spec('scipy'), stn.__file__)\n"
        "print(torch.equal(stn.sample(image, grid, backend='manual'), image))\n",
    )
    where, right = output.splitlines()
    assert where == f"None None {room / 'stn_tutorial' / '__init__.py'}"
    assert right == "True"


def test_the_whole_method_works_where_there_are_torch_and_numpy_alone(room):
    code = (
        "import importlib, pkgutil, stn_tutorial\n"
        "for module in pkgutil.iter_modules(stn_tutorial.__path__):\n"
        "    if not module.ispkg and module.name not in ('commands', '__main__'):\n"
        "        importlib.import_module('stn_tutorial.' + module.name)\n"
        "        print(module.name)\n"
    )
    assert {"coordinates", "transformer", "diagnostics"} <= set(
        run_in(room, code).split()
    )


def test_importing_the_face_loads_no_library_that_torch_does_not(room):
    code = (
        "import sys, torch, numpy\n"
        "before = {name.split('.')[0] for name in sys.modules}\n"
        "import stn_tutorial\n"
        "added = {name.split('.')[0] for name in sys.modules} - before\n"
        "print(sorted(added - sys.stdlib_module_names))\n"
    )
    assert run_in(room, code).strip() == "['stn_tutorial']"
