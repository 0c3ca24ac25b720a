"""What a reader wrote into the student edition survives `make student`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import stamps
import student_edition


def put(folder: Path, *stubs: str) -> str:
    """Write a notebook with stubs, as it is before the edition is written anew."""
    tags = {"metadata": {"tags": ["exercise"]}}
    text = json.dumps({"cells": [{"source": stub, **tags} for stub in stubs]})
    (folder / "01_a.ipynb").write_text(text, encoding="utf-8")
    return text


def kept(folder: Path) -> dict[str, str]:
    """Make way for a new edition, and return what is kept of earlier ones."""
    student_edition.keep_answers(folder / "01_a.ipynb")
    return {path.name: path.read_text("utf-8") for path in folder.glob("kept_*")}


OPEN = "# 1, 2 or 3\nanswer_x = ...  # or 4\nchecks.x(answer_x)"


def test_every_answered_notebook_is_kept_and_none_replaced(tmp_path):
    names = ["kept_01_a.ipynb", "kept_2_01_a.ipynb", "kept_3_01_a.ipynb"]
    expected = {}
    for number, name in enumerate(names):
        expected[name] = put(tmp_path, OPEN, OPEN.replace("...", str(number)))
        assert kept(tmp_path) == expected
        put(tmp_path, OPEN)
        assert kept(tmp_path) == expected


@pytest.mark.parametrize(
    "answered",
    [
        OPEN.replace("...", "1"),
        OPEN.replace("...", "{'a': 1, 'b': ...}"),
        OPEN.replace("(answer_x)", "(1)"),
        OPEN.replace("checks.x(answer_x)", ""),
        f"print(1)\n{OPEN}",
        "def my_x(y): return 1\n\n\nchecks.x(my_x)",
        "def my_x(y):\n    z = 1\n    ...\n\n\nchecks.x(my_x)",
        "my_x = lambda y: 1\nchecks.x(my_x)",
        "answer_x = not yet",
        "1",
        "",
    ],
)
def test_what_may_be_an_answer_is_kept(answered, tmp_path):
    text = put(tmp_path, OPEN, answered)
    assert kept(tmp_path) == {"kept_01_a.ipynb": text}


def test_a_notebook_without_stubs_is_kept(tmp_path):
    text = put(tmp_path)
    assert kept(tmp_path) == {"kept_01_a.ipynb": text}


@pytest.mark.parametrize("path", stamps.notebook_paths(), ids=lambda path: path.stem)
def test_a_chapter_that_nobody_answered_is_not_kept(path, tmp_path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    stubs = [
        "".join(each["source"])
        for each in cells
        if "exercise" in each["metadata"].get("tags", [])
    ]
    put(tmp_path, *stubs)
    assert len(stubs) > 2 and kept(tmp_path) == {}
