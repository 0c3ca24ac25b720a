"""What a page folds is folded in JupyterLab, and solutions and quizzes in Colab."""

from __future__ import annotations

import json

import pytest
import stamps

#: The tags by which a page folds the source of a cell, or leaves it out.
FOLDED_ON_THE_PAGE = {"hide-cell", "hide-input", "remove-cell", "remove-input"}
# Colab folds what has a title of this form.
TITLE = '# @title {} {{ display-mode: "form" }}\n'


@pytest.fixture(params=stamps.notebook_paths(), ids=lambda path: path.stem[:2])
def cells(request) -> list[dict]:
    return json.loads(request.param.read_text(encoding="utf-8"))["cells"]


def tags(cell: dict) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def test_what_a_page_folds_is_folded_in_jupyterlab_and_nothing_else(cells):
    for cell in cells:
        hidden = cell["metadata"].get("jupyter", {})
        assert hidden.get("source_hidden", False) == bool(
            tags(cell) & FOLDED_ON_THE_PAGE
        ), cell["id"]


def test_the_results_of_solutions_are_folded_with_them(cells):
    for cell in cells:
        hidden = cell["metadata"].get("jupyter", {})
        solved = "solution" in tags(cell) and cell["cell_type"] == "code"
        assert hidden.get("outputs_hidden", False) == solved, cell["id"]


def test_solutions_quizzes_and_the_set_up_are_folded_in_colab(cells):
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code[0]["source"][0] == TITLE.format("Set-up")
    for cell in code:
        if "solution" in tags(cell):
            assert cell["source"][0] == TITLE.format("Solution")
        elif any(line.startswith("Quiz(") for line in cell["source"]):
            titles = [TITLE.format(name) for name in ("Predict", "Check yourself")]
            assert cell["source"][0] in titles
            assert "remove-input" in tags(cell)  # its source names what is right
