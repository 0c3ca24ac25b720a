"""Digits as bodies: extruded along z, and rotated (Jaderberg et al. 2015, appendix).

Seen along z, a body that stands straight is its digit. Rotated, it shows its digit from
the side, and its picture, summed along z, is a smear.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stn_tutorial._validate import check_number
from stn_tutorial.data._checks import check_digits, check_generator, check_whole
from stn_tutorial.families import Attention
from stn_tutorial.families_3d import Rigid3d
from stn_tutorial.sampling import warp

__all__ = ["extrude", "flatten", "layers", "random_rotations", "rotate"]

#: Side of a digit's 28×28 pixels over that of its volume, and thickness likewise. A
#: cube of this share, however it is rotated, sticks out by its empty corners alone.
SHARE, THICKNESS = 2 / 3, 1 / 3


def extrude(digits: Tensor, side: int) -> Tensor:
    """Return the volumes of digits: a third as deep as the volume, two thirds as wide.

    >>> volumes = extrude(torch.ones(2, 1, 28, 28), 12)
    >>> tuple(volumes.shape), volumes[0, 0, :, 6, 6].tolist()
    ((2, 1, 12, 12, 12), [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])

    Args:
        digits: ``(N, 1, 28, 28)`` in [0, 1], floating.
        side: of the volumes, in voxels, at least 6.

    Returns:
        ``(N, 1, side, side, side)``, on the digits' device.

    Raises:
        TypeError: if `digits` is not a floating tensor, or `side` not an integer.
        ValueError: if `digits` has another shape, or `side` is too small.
    """
    check_digits(digits)
    side = check_whole(side, "side", least=6)
    params = digits.new_tensor([1 / SHARE, 0.0, 0.0])
    small = warp(digits, params, (side, side), family=Attention(), antialias=True)
    layer = torch.arange(side, device=digits.device)
    inside = (2 * layer - (side - 1)).abs() < layers(side)
    return small[:, :, None] * inside[:, None, None]


def layers(side: int) -> int:
    """Return how deep a digit is in a volume, in voxels: about a third of the side.

    It is odd if the side is, so that the digit is in the middle.

    >>> layers(24), layers(25)
    (8, 9)

    Args:
        side: of the volume, in voxels.

    Returns:
        The number of its layers that hold the digit.
    """
    odd = side % 2
    return round((side * THICKNESS - odd) / 2) * 2 + odd


def random_rotations(count: int, most_deg: float, generator: torch.Generator) -> Tensor:
    """Return rotations about axes of any direction, by angles up to a largest one.

    >>> params = random_rotations(1000, 60.0, torch.Generator().manual_seed(0))
    >>> params.shape, bool(params.norm(dim=1).max() <= math.radians(60))
    (torch.Size([1000, 6]), True)

    Args:
        count: how many.
        most_deg: the largest angle, in degrees; all angles up to it are as likely.
        generator: all that is random is drawn from it, on its device.

    Returns:
        ``(count, 6)`` parameters of `Rigid3d`, without a shift.

    Raises:
        TypeError: if `count` is not an integer, `most_deg` not a number, or `generator`
            not a generator.
        ValueError: if `count` is negative, or `most_deg` negative or not finite.
    """
    count = check_whole(count, "count", least=0)
    if check_number(most_deg, "most_deg") < 0:
        raise ValueError(f"most_deg must be >= 0, got {most_deg}")
    check_generator(generator)
    device = generator.device
    axes = torch.randn(count, 3, generator=generator, device=device)
    angles = torch.rand(count, 1, generator=generator, device=device)
    axes = axes / axes.norm(dim=1, keepdim=True)
    return torch.cat([math.radians(most_deg) * angles * axes, 0 * axes], dim=1)


def rotate(volumes: Tensor, params: Tensor) -> Tensor:
    """Return rotated volumes.

    >>> rotate(torch.rand(2, 1, 6, 6, 6), torch.zeros(2, 6)).shape
    torch.Size([2, 1, 6, 6, 6])

    Args:
        volumes: ``(N, 1, D, H, W)``.
        params: ``(N, 6)`` of `Rigid3d`, from the rotated to the given volumes.

    Returns:
        ``(N, 1, D, H, W)``, trilinearly sampled.
    """
    return warp(volumes, params, family=Rigid3d())


def flatten(volumes: Tensor) -> Tensor:
    """Return what is seen along z: the sum, such that a straight digit is its picture.

    >>> digits = torch.rand(2, 1, 28, 28)
    >>> torch.allclose(flatten(extrude(digits, 16)), extrude(digits, 16).amax(dim=2))
    True

    Args:
        volumes: ``(N, C, D, H, W)``, as `extrude` makes them.

    Returns:
        ``(N, C, H, W)``.
    """
    return volumes.sum(dim=2) / layers(volumes.shape[2])
