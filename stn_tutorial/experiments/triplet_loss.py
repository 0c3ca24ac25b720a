"""Crops should be alike, and unlike their surroundings (Jaderberg et al. 2015, A.4)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["loss_by_place", "triplet_loss"]


def triplet_loss(encodings: Tensor, margin: float, *, weight: float = 1.0) -> Tensor:
    """Return the hinge loss over all pairs of a batch.

    For every two pictures n ≠ m, ``max(0, pull[n, m] - push[n] + margin)``: the squared
    distance of their crops' encodings, less that of n's crop from n's random patch.

    As long as crops lie anywhere, the pull says little of where to go: what makes them
    most alike is to leave what few of them show. A weight below 1 lets the push act
    first, which looks for what is unlike its surroundings.

    >>> alike, unlike = torch.zeros(2, 2, 3), torch.zeros(2, 2, 3)
    >>> unlike[:, 1, 0] = 2.0  # the patches are at a squared distance of 4
    >>> triplet_loss(alike, 1.0).item(), triplet_loss(unlike, 1.0).item()
    (1.0, 0.0)

    Args:
        encodings: ``(N, 2, F)``: of crops, and of random patches.
        margin: by how much farther the patches should be.
        weight: of the pull; 1 in the paper.

    Returns:
        The mean over the N (N - 1) pairs.
    """
    crops, patches = encodings.unbind(dim=1)
    push = (crops - patches).square().sum(dim=1)
    squares = crops.square().sum(dim=1)
    pull = squares[:, None] + squares - 2 * crops @ crops.T
    hinge = (weight * pull - push[:, None] + margin).clamp(min=0)
    n = len(crops)
    return (hinge.sum() - hinge.diagonal().sum()) / (n * (n - 1))


def loss_by_place(
    places: Tensor, others: Tensor, margin: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the crop of one picture pays, wherever it lies.

    The crops of other pictures stay as they are; a random patch lies at each of the
    places, as likely at one as at another, and what is paid is the mean over both.

    >>> black, ink = torch.zeros(3, 4), torch.ones(1, 4)  # ink at one place of four
    >>> pull, push, loss = loss_by_place(torch.cat([black, ink]), ink, 1.0)
    >>> pull.tolist(), push.tolist(), loss.tolist()
    ([4.0, 4.0, 4.0, 0.0], [1.0, 1.0, 1.0, 3.0], [4.0, 4.0, 4.0, 0.25])

    Args:
        places: ``(P, F)``: encodings of the picture's crop, place by place.
        others: ``(M, F)``: of the crops of other pictures.
        margin: see `triplet_loss`.

    Returns:
        ``(P,)`` each: the mean pull, the mean push, and the mean of the hinge loss.
    """
    pull = torch.cdist(places, others).square()
    push = torch.cdist(places, places).square()
    loss = torch.zeros_like(pull[:, 0])
    for one in pull.T:
        loss += (one[:, None] - push + margin).clamp(min=0).mean(dim=1)
    return pull.mean(dim=1), push.mean(dim=1), loss / len(others)
