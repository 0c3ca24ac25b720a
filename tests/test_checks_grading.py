"""What the exercises' checks say of right, wrong and missing answers."""

from __future__ import annotations

import doctest
import os

import pytest
import torch

from stn_tutorial.course.checks import Open, Wrong, _grading, sampling, strict
from stn_tutorial.course.checks._grading import choose, compare, nearest

CASES = [(torch.tensor([1.0, 2.0]),), (torch.arange(12.0).view(3, 4),)]


def double(x):
    return 2 * x


def test_a_right_answer_is_correct_on_every_case(capsys):
    compare(lambda x: x + x, double, CASES, hint="-")
    assert capsys.readouterr().out == "Correct, on 2 cases.\n"


@pytest.mark.parametrize("nothing", [None, ...])
def test_a_stub_is_open_and_not_wrong(nothing, capsys):
    compare(lambda x: nothing, double, CASES, hint="-")
    assert capsys.readouterr().out.startswith("Not answered yet")


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda x: [1], "expected a tensor, got list"),
        (lambda x: x[:1], r"expected shape \(2,\), got \(1,\)"),
        (lambda x: double(x) + torch.tensor([0, 1]), r"1 of 2 values .* at \(1,\)"),
        (lambda x: double(x) * torch.nan, "2 of 2 values differ"),
    ],
)
def test_a_wrong_answer_says_on_which_case_and_what_to_look_at(attempt, message):
    with pytest.raises(Wrong, match=message) as error:
        compare(attempt, double, CASES, hint="twice as much")
    assert str(error.value).startswith("for x = [1, 2]: ")
    assert str(error.value).endswith("\nHint: twice as much")


def test_the_first_wrong_case_is_the_one_shown(capsys):
    with pytest.raises(Wrong, match=r"^for x = tensor \(3, 4\): 11 of 12") as error:
        compare(lambda x: x * 2 if x.ndim == 1 else x, double, CASES, hint="-")
    assert "expected 2, got 1" in str(error.value)
    assert capsys.readouterr().out == ""


def test_a_difference_within_the_tolerance_is_none(capsys):
    compare(lambda x: double(x) + 5e-6, double, CASES, hint="-")
    compare(lambda x: double(x) + 0.05, double, CASES, hint="-", tolerance=0.1)
    assert capsys.readouterr().out.count("Correct") == 2
    with pytest.raises(Wrong):
        compare(lambda x: double(x) + 1e-3, double, CASES, hint="-")


def test_another_float_type_or_a_gradient_is_no_fault(capsys):
    compare(lambda x: double(x.double().requires_grad_()), double, CASES, hint="-")
    assert "Correct" in capsys.readouterr().out


def test_other_arguments_are_shown_as_they_are():
    with pytest.raises(Wrong, match="^for x = \\[1, 2\\], n = 3, padding = 'zeros': "):
        compare(
            lambda x, n, padding: x,
            lambda x, n, padding: n * x,
            [(torch.tensor([1.0, 2.0]), 3, "zeros")],
            hint="-",
        )


def test_arguments_without_names_are_shown_in_brackets_and_numbers_shortly():
    with pytest.raises(Wrong, match=r"^for \(0.33333, 2\): expected 0.66667, got 0\n"):
        case = (1 / 3, 2)
        compare(
            lambda *x: torch.tensor(0.0), lambda x, n: torch.tensor(n * x), [case], ""
        )


def test_a_mistake_in_the_attempt_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        compare(lambda x: 1 / 0, double, CASES, hint="-")


OPTIONS = ("left", "right")


def test_the_right_choice_is_correct(capsys):
    choose("left", "left", OPTIONS, hint="-")
    assert capsys.readouterr().out == "Correct.\n"


@pytest.mark.parametrize("nothing", [None, ...])
def test_without_a_choice_the_options_are_listed(nothing, capsys):
    choose(nothing, "left", OPTIONS, hint="-")
    assert (
        capsys.readouterr().out == "Not answered yet: choose one of 'left', 'right'.\n"
    )


def test_the_wrong_choice_does_not_give_the_answer_away():
    with pytest.raises(Wrong, match="^'right' is not what happens") as error:
        choose("right", "left", OPTIONS, hint="try it")
    assert "left" not in str(error.value) and "try it" in str(error.value)


def test_a_choice_that_is_no_option_is_told_the_options():
    with pytest.raises(Wrong, match="^answer with one of 'left', 'right'"):
        choose("up", "left", OPTIONS, hint="-")


def test_what_happens_is_the_nearest_of_the_options_be_they_numbers_or_pictures():
    assert nearest(0.4, {"it stays": 1.0, "it halves": 0.5}) == "it halves"
    picture = torch.rand(2, 3)
    options = {"black": 0.0, "mirrored": picture.flip(1), "as it was": picture}
    assert nearest(picture + 1e-4, options) == "as it was"


def test_cases_are_drawn_from_one_seed(capsys):
    drawn = []

    def cases(draw):
        for _ in range(3):
            drawn.append(torch.rand(2, generator=draw))
            yield (drawn[-1],)

    for _ in range(2):
        compare(double, double, cases, "-")
    assert capsys.readouterr().out == "Correct, on 3 cases.\n" * 2
    assert torch.equal(torch.stack(drawn[:3]), torch.stack(drawn[3:]))


def test_wrong_is_a_failed_assertion():
    assert issubclass(Wrong, AssertionError)


UNANSWERED = [
    lambda: compare(lambda x: None, double, CASES, hint="-"),
    lambda: choose(..., "left", OPTIONS, hint="-"),
    lambda: sampling.at_the_right_edge(
        {
            "zeros": ...,
            "border": 6,
            "reflection": 6,
            "reflection, align_corners=True": 4,
        }
    ),
]


@pytest.mark.parametrize("ask", UNANSWERED)
def test_in_the_strict_mode_a_missing_answer_raises(ask, capsys):
    with strict(), pytest.raises(Open, match="^Not answered yet: "):
        ask()
    assert capsys.readouterr().out == ""
    ask()  # and afterwards it prints again
    assert capsys.readouterr().out.startswith("Not answered yet: ")


@pytest.mark.parametrize(("value", "raises"), [("1", True), ("0", False), ("", False)])
def test_a_whole_process_can_be_strict(value, raises, monkeypatch, capsys):
    monkeypatch.setenv("STN_TUTORIAL_STRICT", value)
    if raises:
        with pytest.raises(Open):
            choose(..., "left", OPTIONS, hint="-")
    else:
        choose(..., "left", OPTIONS, hint="-")
        assert capsys.readouterr().out.startswith("Not answered yet")
    with strict():
        pass
    assert os.environ["STN_TUTORIAL_STRICT"] == value


def test_in_the_strict_mode_right_and_wrong_are_what_they_were(capsys):
    with strict():
        choose("left", "left", OPTIONS, hint="-")
        compare(double, double, CASES, hint="-")
        with pytest.raises(Wrong):
            choose("right", "left", OPTIONS, hint="-")
    assert capsys.readouterr().out == "Correct.\nCorrect, on 2 cases.\n"


def test_the_strict_mode_ends_with_a_failure_inside():
    with pytest.raises(Wrong), strict():
        choose("right", "left", OPTIONS, hint="-")
    assert "STN_TUTORIAL_STRICT" not in os.environ


@pytest.mark.parametrize("error", [Wrong("for (1, 2): no\nHint: look"), Open("none")])
def test_a_notebook_shows_the_message_and_no_traceback(error):
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell()
    shown = []
    shell._showtraceback = lambda kind, value, lines: shown.extend(lines)
    shell.user_ns["error"] = error
    shell.run_cell("def fail():\n    raise error\nfail()")
    assert shown == [f"{type(error).__name__}: {error}"]


def test_the_examples_run():
    assert doctest.testmod(_grading).failed == 0


def test_an_attempt_may_change_its_arguments_and_is_judged_by_its_answer():
    cases = [(torch.tensor([1.0, 2.0]),), (torch.tensor([3.0]),)]

    def right(x):
        return x.mul_(2)

    compare(right, lambda x: 2 * x, cases, "double it")

    def cheating(x):
        x.zero_()
        return torch.zeros_like(x)

    with pytest.raises(Wrong, match=r"^for x = \[1, 2\]"):
        compare(cheating, lambda x: 2 * x, cases, "double it")


def test_an_answer_that_is_missing_in_one_case_is_wrong_there():
    cases = [(torch.tensor(1.0),), (torch.tensor(-1.0),)]
    with pytest.raises(Wrong, match="expected a tensor, got NoneType"):
        compare(lambda x: x if x > 0 else None, lambda x: x, cases, "always answer")


def test_complex_numbers_are_wrong():
    with pytest.raises(Wrong, match="expected real numbers"):
        compare(lambda x: x + 1j, lambda x: x, [(torch.ones(2),)], "real")


def test_whole_numbers_are_not_what_rounds_to_them(capsys):
    case = [(torch.arange(3),)]
    with pytest.raises(Wrong, match=r"3 of 3 values .* expected 0, got 0.9"):
        compare(lambda x: x + 0.9, lambda x: x, case, "-")
    for dtype in (torch.int32, torch.uint16, torch.float64):
        compare(lambda x, dtype=dtype: x.to(dtype), lambda x: x, case, "-")
    assert capsys.readouterr().out.count("Correct") == 3
