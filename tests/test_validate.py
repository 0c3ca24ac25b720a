"""The checks of arguments: what they accept, and the words in which they refuse."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch

from stn_tutorial import _validate
from stn_tutorial._validate import (
    check_choice,
    check_flag,
    check_floating,
    check_number,
    check_size,
    known_values,
    product,
    vector,
    working_dtype,
)


def test_the_examples_run():
    assert doctest.testmod(_validate).failed == 0


@pytest.mark.parametrize(
    "size",
    [(4, 5), [4, 5], torch.Size([4, 5]), np.array([4, 5]), tuple(np.array([4, 5]))],
)
def test_a_size_is_made_of_any_integers(size):
    found = check_size(size, "size")
    assert found == (4, 5) and all(type(n) is int for n in found)


def test_a_size_may_have_one_of_several_forms():
    forms = "(W,) or (H, W) or (D, H, W)"
    assert check_size((3,), "size", forms) == (3,)
    assert check_size((2, 3, 4), "size", forms) == (2, 3, 4)
    with pytest.raises(ValueError, match=r"^size must be \(W,\) or \(H, W\) or "):
        check_size((1, 2, 3, 4), "size", forms)


@pytest.mark.parametrize(
    ("size", "error"),
    [
        (28, TypeError),
        ("28", TypeError),
        ((28.0, 28.0), TypeError),
        ((True, 28), TypeError),
        (np.array([1.5, 2.5]), TypeError),
        ((28,), ValueError),
        ((28, 0), ValueError),
        (np.array([[4, 5]]), TypeError),
    ],
)
def test_what_is_no_size_is_refused_by_the_argument_s_name(size, error):
    with pytest.raises(error, match="^out_size must be .*, got "):
        check_size(size, "out_size")


@pytest.mark.parametrize("value", [np.zeros(3), [1.0], torch.nn.Linear, None])
def test_what_is_no_floating_tensor_is_named(value):
    with pytest.raises(TypeError, match="^points must be a floating tensor, got "):
        check_floating(value, "points")


@pytest.mark.parametrize("value", [1, 0, "no", None, torch.tensor(True)])
def test_a_flag_is_true_or_false(value):
    check_flag(np.bool_(True), "align_corners")
    with pytest.raises(TypeError, match="^align_corners must be True or False, got "):
        check_flag(value, "align_corners")


@pytest.mark.parametrize("value", ["wrap", None, 3, ["zeros"], np.zeros(2)])
def test_a_choice_is_one_of_the_known_names(value):
    with pytest.raises(ValueError, match="^padding must be 'zeros' or 'border', got "):
        check_choice(value, "padding", ("zeros", "border"))


def test_a_number_is_real_and_finite():
    assert check_number(np.float32(2), "stiffness") == 2.0
    for value in ("1", None, 1j, True, torch.tensor(1.0)):
        with pytest.raises(TypeError, match="^stiffness must be a number, got "):
            check_number(value, "stiffness")
    for value in (float("nan"), float("-inf")):
        with pytest.raises(ValueError, match="^stiffness must be finite, got "):
            check_number(value, "stiffness")


def test_values_are_known_where_they_can_be():
    assert known_values(torch.tensor([[1.5], [2.0]])) == [[1.5], [2.0]]
    assert known_values(torch.ones(2, requires_grad=True)) == [1.0, 1.0]
    assert known_values(torch.ones(2, device="meta")) is None
    seen = []

    def look(x):
        seen.append(known_values(x))
        return x

    torch.vmap(look)(torch.ones(2))
    torch.vmap(torch.func.grad(look))(torch.ones(2))
    torch.func.grad(look)(torch.tensor(3.0))
    torch.compile(look, backend="eager", fullgraph=True)(torch.ones(2))
    # torch 2.6 doesn't tell the values below a derivative either.
    assert seen[:2] == [None, None] and seen[2] in (3.0, None) and not any(seen[3:])


def test_computing_is_in_the_widest_dtype_and_float32_at_least():
    half, single, double = (
        torch.ones(1, dtype=kind)
        for kind in (torch.float16, torch.float32, torch.float64)
    )
    assert working_dtype(half) == working_dtype(half, single) == torch.float32
    assert working_dtype(half, double) == torch.float64


def test_a_product_keeps_its_precision_under_autocast():
    a = torch.rand(3, 2, 4, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        rounded, exact = a @ a.mT, product(a, a.mT)
    torch.testing.assert_close(exact, a @ a.mT)
    assert not torch.allclose(rounded.float(), exact)


def test_a_vector_of_sizes_follows_the_size_of_an_export():
    class Extent(torch.nn.Module):
        def forward(self, x):
            return vector([(n - 1) / 2 for n in x.shape[-2:]], x)

    sides = ({0: torch.export.Dim("h"), 1: torch.export.Dim("w")},)
    exported = torch.export.export(
        Extent(), (torch.ones(4, 5),), dynamic_shapes=sides
    ).module()
    assert exported(torch.ones(7, 9)).tolist() == [3.0, 4.0]
