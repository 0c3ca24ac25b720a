"""Scattered digits: whole, in their quarters, with the boxes of their ink."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from stn_tutorial.data import embedded_digits
from stn_tutorial.data.scattered_digits import CANVAS, scatter


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_digits(count: int) -> Tensor:
    return embedded_digits()[0][:count]


def test_digits_lie_in_their_quarters_with_the_boxes_of_their_ink():
    digits = some_digits(40)
    scene = scatter(digits, seeded())
    assert scene.images.shape == (10, 1, CANVAS, CANVAS)
    assert scene.boxes.shape == (10, 4, 4)
    edges = ((scene.boxes + 1) * CANVAS / 2).round().long()
    for image, boxes in zip(scene.images[:, 0], edges, strict=True):
        rest = image.clone()
        for number, (left, top, right, bottom) in enumerate(boxes.tolist()):
            row, column = divmod(number, 2)
            assert 32 * column <= left < right <= 32 * column + 32
            assert 32 * row <= top < bottom <= 32 * row + 32
            inside = image[top:bottom, left:right] > 0.2
            # The box is tight: each of its four sides touches ink.
            assert inside[0].any() and inside[-1].any()
            assert inside[:, 0].any() and inside[:, -1].any()
            rest[top:bottom, left:right] = 0
        assert rest.max() <= 0.2


def test_a_digit_is_about_as_bright_as_its_frame_is_large():
    """Ink is kept: the frame is 14 to 26 of the digit's own 28 pixels wide."""
    digits = some_digits(400)
    scene = scatter(digits, seeded())
    quarters = scene.images.unfold(2, 32, 32).unfold(3, 32, 32).flatten(0, 3)
    ratio = (quarters.sum(dim=(1, 2)) / digits.sum(dim=(1, 2, 3))).sqrt() * 28
    assert 13.8 < ratio.min() < 14.5 and 25.5 < ratio.max() < 26.2
    assert abs(ratio.mean() - 20) < 0.6  # uniform: 20 ± 3.5 / √400, three times


def test_a_generator_decides_everything():
    torch.manual_seed(1)
    first = scatter(some_digits(8), seeded(5))
    torch.manual_seed(2)
    again = scatter(some_digits(8), seeded(5))
    other = scatter(some_digits(8), seeded(6))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.boxes, again.boxes)
    assert not torch.equal(first.boxes, other.boxes)


def test_a_canvas_depends_on_its_own_digits_alone():
    digits = some_digits(12)
    scene = scatter(digits, seeded())
    digits[:4], digits[8:] = 0, 1
    again = scatter(digits, seeded())
    assert torch.equal(again.images[1], scene.images[1])
    assert torch.equal(again.boxes[1], scene.boxes[1])


def test_without_ink_the_box_is_the_quarter():
    scene = scatter(torch.zeros(4, 1, 28, 28), seeded())
    quarters = [[-1, -1, 0, 0], [0, -1, 1, 0], [-1, 0, 0, 1], [0, 0, 1, 1]]
    assert scene.boxes.tolist() == [quarters] and not scene.images.any()


def test_no_digits_are_no_canvases():
    scene = scatter(torch.zeros(0, 1, 28, 28), seeded())
    assert scene.images.shape == (0, 1, CANVAS, CANVAS)
    assert scene.boxes.shape == (0, 4, 4)


def test_precision_and_device_are_the_digits(device):
    digits = some_digits(8).double().to(device)
    scene = scatter(digits, seeded())
    assert scene.images.dtype == torch.float64
    assert scene.images.device.type == scene.boxes.device.type == device.type
    single = scatter(some_digits(8), seeded())
    torch.testing.assert_close(
        scene.images.float().cpu(), single.images, rtol=0, atol=1e-4
    )


@pytest.mark.parametrize(
    ("digits", "generator", "error", "message"),
    [
        (torch.zeros(6, 1, 28, 28), seeded(), ValueError, "digits must be a multiple"),
        (torch.zeros(4, 28, 28), seeded(), ValueError, "digits must be .N, 1, 28, 28."),
        (torch.zeros(4, 1, 28, 28).byte(), seeded(), TypeError, "digits must be float"),
        (np.zeros((4, 1, 28, 28)), seeded(), TypeError, "digits must be a tensor"),
        (torch.zeros(4, 1, 28, 28), 0, TypeError, "generator must be a torch.Gen"),
    ],
)
def test_what_cant_be_scattered_is_named(digits, generator, error, message):
    with pytest.raises(error, match=f"^{message}"):
        scatter(digits, generator)
