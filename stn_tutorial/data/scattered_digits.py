"""Scattered digits: four on a canvas, with the boxes around them (Liu et al. 2018, §5).

The paper's detector finds digits scattered over a canvas. Here each quarter of the
canvas has one digit, of random size at a random location.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stn_tutorial._validate import working_dtype
from stn_tutorial.data._checks import check_digits, check_generator
from stn_tutorial.families import Attention
from stn_tutorial.sampling import sample

__all__ = ["CANVAS", "COUNT", "Scene", "boxes_around", "scatter"]

#: Height and width of the canvas, in pixels.
CANVAS = 64
#: Digits on a canvas, one in each quarter.
COUNT = 4
_INK = 0.2  # what is brighter belongs to a digit


@dataclass(frozen=True, eq=False)
class Scene:
    """Canvases with digits.

    Attributes:
        images: ``(N, 1, 64, 64)``.
        boxes: ``(N, 4, 4)``: left, top, right and bottom edge of each digit's ink, in
            normalized coordinates of the canvas; the quarters row by row.
    """

    images: Tensor
    boxes: Tensor


def scatter(digits: Tensor, generator: torch.Generator) -> Scene:
    """Scatter digits over canvases, four on each, at random sizes and locations.

    >>> from stn_tutorial.data import embedded_digits
    >>> digits = embedded_digits()[0][:8]
    >>> scene = scatter(digits, torch.Generator().manual_seed(0))
    >>> tuple(scene.images.shape), tuple(scene.boxes.shape)
    ((2, 1, 64, 64), (2, 4, 4))

    Args:
        digits: ``(4 N, 1, 28, 28)`` in [0, 1], floating.
        generator: all that is random is drawn from it, on its device.

    Returns:
        N canvases, on the digits' device. A digit's frame is 14 to 26 pixels wide and
        inside its quarter; its box holds the pixels above 0.2, and the whole quarter
        where there are none.

    Raises:
        TypeError: if `digits` is not a floating tensor, or `generator` is none.
        ValueError: if `digits` is not ``(4 N, 1, 28, 28)``.
    """
    check_digits(digits)
    check_generator(generator)
    if len(digits) % COUNT:
        raise ValueError(f"digits must be a multiple of {COUNT}, got {len(digits)}")
    n, side = len(digits), CANVAS // 2
    source = generator.device
    frame = 14 + 12 * torch.rand(n, 1, generator=generator, device=source)
    shift = torch.rand(n, 2, generator=generator, device=source) * 2 - 1
    shift = shift * (1 - frame / side)
    # From the quarter to the digit: what `shift` moved and `frame` shrank.
    params = torch.cat([side / frame, -shift * side / frame], dim=1)
    params = params.to(digits.device, working_dtype(digits))
    quarters = sample(digits, Attention().grid(params, (side, side)), antialias=True)
    boxes = boxes_around(quarters[:, 0] > _INK)
    corners = boxes.new_tensor([[0, 0], [1, 0], [0, 1], [1, 1]]) * side
    boxes = boxes.unflatten(0, (n // COUNT, COUNT)) + corners.repeat(1, 2)
    grid = quarters.unflatten(0, (n // COUNT, 2, 2))  # (N, down, across, 1, side, side)
    images = grid.permute(0, 3, 1, 4, 2, 5).flatten(2, 3).flatten(3, 4)
    return Scene(images.contiguous(), boxes * (2 / CANVAS) - 1)


def boxes_around(masks: Tensor) -> Tensor:
    """Return the smallest boxes that hold all that is true.

    >>> mask = torch.zeros(1, 4, 6, dtype=torch.bool)
    >>> mask[0, 1:3, 2:5] = True
    >>> boxes_around(mask).tolist()
    [[2, 1, 5, 3]]

    Args:
        masks: ``(N, H, W)`` booleans.

    Returns:
        ``(N, 4)`` integers: left, top, right and bottom, where pixel 0 reaches from 0
        to 1. Where nothing is true, it is the whole of the mask.
    """
    ends = []
    for seen in (masks.any(dim=1), masks.any(dim=2)):  # along x, and along y
        first = seen.int().argmax(dim=1)
        end = seen.shape[1] - seen.flip(1).int().argmax(dim=1)
        ends.append(torch.stack([first, end], dim=1))
    return torch.stack(ends, dim=2).flatten(1)
