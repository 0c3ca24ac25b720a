"""The checks of chapter 4 accept what is right and reject what readers get wrong."""

from __future__ import annotations

import pytest
import torch

from stn_tutorial import Similarity, checks


def right_in_front(params):
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    return ((params[:, 6:] @ signs.T) > -1).all(dim=1)


def right_product(first, second):
    """As matrices, which the exercise forbids."""
    return Similarity().params_of(
        Similarity().matrix(first) @ Similarity().matrix(second)
    )


def with_the_shift_unturned(first, second):
    product = right_product(first, second)
    return torch.cat([product[:, :2], first[:, 2:] + second[:, 2:]], dim=1)


def right_phi(r):
    squared = r.square()
    return squared * torch.where(squared > 0, squared, 1.0).log()


def where_after_the_logarithm(r):
    return torch.where(r > 0, r**2 * (r**2).log(), torch.zeros_like(r))


RIGHT = [
    (checks.all_in_front, right_in_front),
    (checks.similarities_multiplied, right_product),
    (checks.phi_at_zero, right_phi),
]
WRONG = [
    (checks.all_in_front, lambda p: p[:, 6:].norm(dim=1) < 1),
    (checks.all_in_front, lambda p: p[:, 6:].abs().amax(dim=1) < 1),
    (checks.all_in_front, lambda p: p[:, 6] + p[:, 7] < 1),
    (checks.all_in_front, lambda p: (p[:, 6:].abs().sum(dim=1) < 1).any()),
    (checks.all_in_front, lambda p: p[:, 6:].abs().sum(dim=1) > 1),
    (checks.similarities_multiplied, lambda p, q: right_product(q, p)),
    (checks.similarities_multiplied, lambda p, q: p + q),
    (checks.similarities_multiplied, lambda p, q: p * q),
    (checks.similarities_multiplied, with_the_shift_unturned),
    (checks.phi_at_zero, lambda r: torch.xlogy(r**2, r**2)),
    (checks.phi_at_zero, where_after_the_logarithm),
    (checks.phi_at_zero, lambda r: right_phi(r) / 2),
    (checks.phi_at_zero, lambda r: right_phi(r.detach())),
    (checks.phi_at_zero, lambda r: right_phi(r).sum()),
    (checks.phi_at_zero, lambda r: right_phi(r).tolist()),
    (checks.phi_at_zero, torch.zeros_like),
]
CHOICES = [
    (checks.lines_that_stay_parallel, "the vertical lines"),
    (checks.plate_undone_by_minus, "it falls to a quarter"),
    (checks.fold_in_a_stiffer_plate, "it disappears"),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT + CHOICES)
def test_right_answer_is_accepted(check, answer, capsys):
    check(answer)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(("check", "answer"), WRONG)
def test_wrong_function_is_rejected_with_a_hint(check, answer):
    with pytest.raises(checks.Wrong, match="Hint"):
        check(answer)


@pytest.mark.parametrize(("check", "right"), CHOICES)
def test_every_other_prediction_is_rejected(check, right, capsys):
    check(...)
    options = capsys.readouterr().out.split("'")[1::2]
    assert right in options
    others = [option for option in options if option != right]
    assert len(others) >= 2
    for other in [*others, "something else"]:
        with pytest.raises(checks.Wrong):
            check(other)


@pytest.mark.parametrize(("check", "_"), RIGHT)
def test_stub_is_not_solved_yet(check, _, capsys):
    check(lambda *arguments: None)
    assert capsys.readouterr().out.startswith("Not solved yet")
