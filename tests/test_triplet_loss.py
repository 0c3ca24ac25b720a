"""The triplet loss is the paper's sum over pairs."""

from __future__ import annotations

import pytest
import torch

from stn_tutorial.experiments.triplet_loss import loss_by_place, triplet_loss


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_loss_is_the_papers_sum_over_pairs():
    encodings = torch.randn(6, 2, 5, generator=seeded(), dtype=torch.float64)
    terms = [
        max(
            0.0,
            (crop - other).square().sum().item()
            - (crop - patch).square().sum().item()
            + 0.7,
        )
        for n, (crop, patch) in enumerate(encodings)
        for m, (other, _) in enumerate(encodings)
        if n != m
    ]
    assert 0 < terms.count(0.0) < len(terms)
    loss = triplet_loss(encodings, 0.7)
    assert loss.item() == pytest.approx(sum(terms) / len(terms))


def test_crops_that_all_look_like_their_patches_pay_the_whole_margin():
    same = torch.ones(4, 2, 3)
    assert triplet_loss(same, 0.5).item() == pytest.approx(0.5)


def test_a_weight_of_zero_leaves_the_push_alone():
    encodings = torch.randn(5, 2, 3, generator=seeded())
    push = (encodings[:, 0] - encodings[:, 1]).square().sum(dim=1)
    loss = triplet_loss(encodings, 9.0, weight=0.0)
    torch.testing.assert_close(loss, (9.0 - push).clamp(min=0).mean())


def test_what_a_crop_pays_by_place_is_the_mean_of_the_papers_terms():
    places, others = torch.randn(9, 3, generator=seeded()).split((7, 2))
    pull, push, loss = loss_by_place(places, others, 0.4)
    for k, place in enumerate(places):
        pulls = (place - others).square().sum(dim=1)
        pushes = (place - places).square().sum(dim=1)
        terms = (pulls[:, None] - pushes + 0.4).clamp(min=0)
        found = torch.stack([pull[k], push[k], loss[k]])
        expected = torch.stack([pulls.mean(), pushes.mean(), terms.mean()])
        torch.testing.assert_close(found, expected)
