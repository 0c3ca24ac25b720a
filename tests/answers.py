"""What the checks of every chapter are tested for, given answers to its exercises."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest

from stn_tutorial.course.checks import Wrong

Answer = tuple[Callable, object]


class Answers:
    """Inherit from it, as ``TestAnswers``, and fill in the three lists."""

    right: list[Answer]  # functions that solve an exercise
    wrong: list[Answer]  # functions that don't
    choices: list[Answer]  # the predictions that are right

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        answers = {
            "test_right_answer_is_accepted": self.right,
            "test_wrong_function_is_rejected_with_a_hint": self.wrong,
            "test_right_prediction_alone_is_accepted": self.choices,
            "test_a_stub_is_open": self.right,
        }
        metafunc.parametrize(("check", "answer"), answers[metafunc.function.__name__])

    def test_right_answer_is_accepted(self, check, answer, capsys):
        check(answer)
        assert capsys.readouterr().out.startswith("Correct")

    def test_wrong_function_is_rejected_with_a_hint(self, check, answer):
        with pytest.raises(Wrong, match="Hint"):
            check(answer)

    def test_right_prediction_alone_is_accepted(self, check, answer, capsys):
        # One test, as some checks train a network before they answer.
        check(answer)
        assert capsys.readouterr().out.startswith("Correct")
        check(...)
        printed = capsys.readouterr().out
        assert printed.startswith("Not answered yet")
        _, _, listed = printed.partition("one of ")
        options = ast.literal_eval(f"[{listed.rstrip().removesuffix('.')}]")
        assert answer in options
        others = [option for option in options if option != answer]
        assert len(others) >= 2
        for other in [*others, "something else"]:
            with pytest.raises(Wrong):
                check(other)

    def test_a_stub_is_open(self, check, answer, capsys):
        check(lambda *arguments: None)
        assert capsys.readouterr().out.startswith("Not answered yet")
