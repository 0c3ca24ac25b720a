"""Importing the data, or a chapter's checks, loads no library that few of them need."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

from stn_tutorial.course import checks

PROGRAM = """
import importlib, sys, numpy, torch
def libraries():
    return {name.split(".")[0] for name in sys.modules} - sys.stdlib_module_names
before = libraries() | {"stn_tutorial"}
for name in sys.argv[1:]:
    importlib.import_module(name)
    print(name, *sorted(libraries() - before))
    before |= libraries()
"""


def test_importing_data_and_checks_loads_torch_and_numpy_alone():
    chapters = sorted(module.name for module in pkgutil.iter_modules(checks.__path__))
    assert len(chapters) > 10
    names = ["stn_tutorial.data.digits", "stn_tutorial.data.distortions"]
    names += [f"{checks.__name__}.{name}" for name in chapters]
    command = [sys.executable, "-c", PROGRAM, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == names
