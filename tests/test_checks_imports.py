"""Importing a chapter's checks loads no library that only a few of them need."""

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
    importlib.import_module(f"stn_tutorial.course.checks.{name}")
    print(name, *sorted(libraries() - before))
    before |= libraries()
"""


def test_importing_checks_loads_torch_and_numpy_alone():
    names = sorted(module.name for module in pkgutil.iter_modules(checks.__path__))
    assert len(names) > 10
    command = [sys.executable, "-c", PROGRAM, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == names
