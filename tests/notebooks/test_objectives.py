"""Every objective of a chapter is tested by something that the chapter asks."""

from __future__ import annotations

import ast
import re

import nbformat
import objectives
import pytest
import stamps

PATHS = stamps.notebook_paths()


@pytest.fixture(params=PATHS, ids=[path.stem[:2] for path in PATHS])
def path(request):
    return request.param


@pytest.fixture
def cells(path) -> list[nbformat.NotebookNode]:
    return nbformat.read(path, as_version=4).cells


def names_in(cells) -> list[str]:
    return next(c.metadata.objectives for c in cells if "objectives" in c.metadata)


def said_to_test(cell) -> list[list[str]]:
    """What a cell says that it tests: a list for each of its questions."""
    tests = cell.metadata.get("tests", [])
    return [tests] if tests and isinstance(tests[0], str) else list(tests)


def test_each_objective_has_a_name_of_its_own(cells):
    (cell,) = (cell for cell in cells if "objectives" in cell.metadata)
    promised = re.search(r"\*\*You will\*\*\n\n((?:- .+\n)+)", cell.source)[1]
    names = names_in(cells)
    assert len(names) == len(set(names)) == len(promised.splitlines())


def test_each_objective_is_tested(cells):
    tested = {name for c in cells for names in said_to_test(c) for name in names}
    assert tested == set(names_in(cells))


def test_each_exercise_and_each_prediction_tests_something(cells):
    for cell in cells:
        if "{exercise}" in cell.source or cell.source.startswith("# @title Predict"):
            (names,) = said_to_test(cell)
            assert names, cell.source[:80]


def test_the_closing_quiz_says_it_of_each_question(cells):
    (quiz,) = (c for c in cells if c.source.startswith("# @title Check yourself"))
    call = ast.parse(quiz.source).body[0].value
    assert len(said_to_test(quiz)) == len(call.args)


def test_the_table_holds_what_the_cells_say(path, cells):
    table = objectives.objectives_of(path)
    assert [each.name for each in table] == names_in(cells)
    said = [name for c in cells for names in said_to_test(c) for name in names]
    told = [each.name for each in table for _ in each.tested_by]
    assert sorted(said) == sorted(told)
    assert not any(each.text.endswith((";", ".")) for each in table)
