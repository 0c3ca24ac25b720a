"""Notebooks are checked as a reader has them: alone, with the package installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import check_notebooks
import pytest
import stamps


def test_each_copy_lies_alone_in_a_folder_outside_the_checkout(tmp_path):
    copies = check_notebooks.copy_notebooks(tmp_path)
    originals = stamps.notebook_paths()
    assert {path.name for path in copies} == {path.name for path in originals}
    for copy in copies:
        original = stamps.ROOT / "notebooks" / copy.name
        assert list(copy.parent.iterdir()) == [copy]
        assert copy.read_bytes() == original.read_bytes()
        assert stamps.ROOT not in copy.parents


def test_the_longest_run_is_first(tmp_path):
    copies = check_notebooks.copy_notebooks(tmp_path)
    seconds = [stamps.seconds_taken(path) for path in copies]
    assert seconds == sorted(seconds, reverse=True)


@pytest.mark.parametrize("path", stamps.notebook_paths(), ids=lambda path: path.stem)
def test_no_code_reaches_out_of_its_folder(path):
    code = "\n".join(stamps.code_of(json.loads(path.read_text(encoding="utf-8"))))
    assert not re.findall(r"""["'/]\.\./.*""", code)


def test_one_chapter_can_be_chosen(tmp_path):
    (copy,) = check_notebooks.copy_notebooks(tmp_path, "03")
    assert copy.name.startswith("03_")


def test_package_and_results_are_those_of_the_wheel(tmp_path):
    environment = check_notebooks.install_package(tmp_path / "package")
    code = (
        "import stn_tutorial\n"
        "from stn_tutorial.experiments.results import results_folder\n"
        "print(stn_tutorial.__file__, results_folder(), sep='\\n')\n"
    )
    (elsewhere := tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    package = tmp_path / "package" / "stn_tutorial"
    assert done.stdout.splitlines() == [
        str(package / "__init__.py"),
        str(package / "_results"),
    ]
