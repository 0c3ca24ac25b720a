"""What the tests of an assignment say of answers: right, wrong, and where."""

from __future__ import annotations

import doctest
import re
import warnings

import pytest
import torch

from stn_tutorial.course import grading
from stn_tutorial.course.checks import Wrong
from stn_tutorial.course.grading import graded_on

WHOLE = torch.arange(6)


def same(x):
    return x


def test_the_examples_run():
    assert doctest.testmod(grading).failed == 0


def test_the_tolerance_decides_what_differs():
    cases = [(torch.zeros(30),)]
    off = torch.zeros(30)
    off[4] = 1e-5
    graded_on(cases, lambda x: x + off, same, "-")
    with pytest.raises(Wrong, match=r"expected: 0 at \(4,\)") as error:
        graded_on(cases, lambda x: x + off, same, "-", tolerance=1e-6)
    assert "1e-05 there; 1 of 30 differ" in str(error.value)


@pytest.mark.parametrize("n", [2, 30])
def test_complex_answers_are_wrong_where_real_ones_are_expected(n):
    cases = [(torch.ones(n),)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Wrong, match="expected: real numbers\n  got:      complex"):
            graded_on(cases, lambda x: x + 1j, same, "-")
        graded_on(cases, lambda x: x * 1j, lambda x: 1j * x, "-")
        with pytest.raises(Wrong, match="wrong on case 1"):
            graded_on(cases, lambda x: x * 1j, lambda x: 2j * x, "-")


def test_whole_numbers_are_not_what_rounds_to_them():
    wrong = lambda x: x + 0.9  # noqa: E731
    with pytest.raises(Wrong, match=re.escape("got:      [0.9, 1.9, ")):
        graded_on([(WHOLE,)], wrong, same, "-")
    with pytest.raises(Wrong, match="30 of 30 differ"):
        graded_on([(torch.arange(30),)], wrong, same, "-")
    with pytest.raises(Wrong):
        graded_on([(WHOLE,)], lambda x: 0.5 + 0 * x, lambda x: x > -1, "-")


@pytest.mark.parametrize("dtype", [torch.int32, torch.float32, torch.float64])
def test_equal_values_of_another_dtype_are_right(dtype, capsys):
    graded_on([(WHOLE,)], lambda x: x.to(dtype), same, "-")
    graded_on([(WHOLE.float(),)], lambda x: x.to(dtype), same, "-")
    assert capsys.readouterr().out == "Correct, on 1 case.\n" * 2
