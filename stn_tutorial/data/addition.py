"""Pairs of distorted digits to be added: the paper's MNIST addition (§A.1).

A picture has two channels, and each shows a digit that was distorted alone. The label
is the sum, and nothing says which digit is where, or how it was distorted. In the paper
that is a rotation, a scale and a translation into 42×42 pixels, as we read it: the
column RTS of its table. It is an argument here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stn_tutorial._validate import check_choice, check_tensor
from stn_tutorial.data._checks import check_whole
from stn_tutorial.data.digits import DigitSet
from stn_tutorial.data.distortions import DISTORTIONS, distort

__all__ = ["N_SUMS", "Pairs", "fixed_pairs", "make_pairs"]

#: How many sums two digits have, from 0 to 18.
N_SUMS = 19


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pictures of two digits each, their sums, and what was done to each digit.

    Attributes:
        images: ``(N, 2, H, W)``: one digit a channel.
        labels: ``(N,)`` int64: the sums, from 0 to 18.
        digits: ``(N, 2)`` int64: the digits that the channels show.
        truth: that of `stn_tutorial.data.distortions.Distorted`, with ``(N, 2, ...)``
            for the two channels.
    """

    images: Tensor
    labels: Tensor
    digits: Tensor
    truth: dict[str, Tensor]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)


def make_pairs(
    digits: DigitSet,
    first: Tensor,
    second: Tensor,
    generator: torch.Generator,
    *,
    distortion: str = "RTS",
) -> Pairs:
    """Pair digits, and distort each of them alone.

    >>> from stn_tutorial.data.digits import load_digits
    >>> digits = load_digits("test", "embedded")
    >>> draw = torch.Generator().manual_seed(0)
    >>> pairs = make_pairs(digits, torch.tensor([0, 1]), torch.tensor([3, 3]), draw)
    >>> tuple(pairs.images.shape), pairs.digits.tolist(), pairs.labels.tolist()
    ((2, 2, 42, 42), [[2, 5], [3, 5]], [7, 8])

    Args:
        digits: to take from.
        first: ``(N,)`` int64, on the digits' device: which ones the first channels
            show.
        second: ``(N,)``, likewise for the second channels.
        generator: of the distortions, on any device; a pair's depend on its place among
            the N, and not on the digits.
        distortion: one of `stn_tutorial.data.distortions.DISTORTIONS`.

    Returns:
        The pairs, on the digits' device.

    Raises:
        TypeError: if `first` or `second` is not a tensor.
        ValueError: if they are not as long as one another, or the distortion is
            unknown.
    """
    check_choice(distortion, "distortion", tuple(DISTORTIONS))
    check_tensor(first, "first")
    check_tensor(second, "second")
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(
            "first and second must be (N,), the same N, "
            f"got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    chosen = torch.stack([first, second], dim=1).flatten()
    done = distort(digits.images[chosen], distortion, generator)
    shown = digits.labels[chosen].view(-1, 2)
    return Pairs(
        done.images.view(-1, 2, *done.images.shape[-2:]),
        shown.sum(dim=1),
        shown,
        {name: value.unflatten(0, (-1, 2)) for name, value in done.truth.items()},
    )


def fixed_pairs(
    digits: DigitSet, *, distortion: str = "RTS", seed: int = 2015
) -> Pairs:
    """Pair the test digits, each time alike, so that errors can be compared.

    Every digit is there twice, once in the first channel and once in the second.

    >>> from stn_tutorial.data.digits import load_digits
    >>> pairs = fixed_pairs(load_digits("test", "embedded").first(4))
    >>> first, second = pairs.digits.unbind(dim=1)
    >>> first.tolist(), sorted(second.tolist())
    ([2, 3, 4, 5], [2, 3, 4, 5])

    Args:
        digits: of the test set, or held out from the training digits.
        distortion: one of `stn_tutorial.data.distortions.DISTORTIONS`.
        seed: of partners and distortions; results compare under the default alone.

    Returns:
        As many pairs as digits, on the digits' device. What is random is drawn on the
        CPU, for batches of 1,000.
    """
    generator = torch.Generator().manual_seed(check_whole(seed, "seed"))
    device = digits.images.device
    first = torch.arange(len(digits), device=device)
    second = torch.randperm(len(digits), generator=generator).to(device)
    parts = [
        make_pairs(digits, *chosen, generator, distortion=distortion)
        for chosen in zip(first.split(1000), second.split(1000))
    ]
    return Pairs(
        *(
            torch.cat([getattr(part, name) for part in parts])
            for name in ("images", "labels", "digits")
        ),
        {k: torch.cat([part.truth[k] for part in parts]) for k in parts[0].truth},
    )
