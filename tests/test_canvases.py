"""Digits on canvases: where they are, and what lies beside them."""

from __future__ import annotations

import pytest
import torch

from stn_tutorial.data.canvases import make_pictures
from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.distortions import distort, put_on_canvas


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_tables_clutter_is_a_canvas_of_60_with_16_pieces():
    digits = load_digits("test", "embedded").images[:20]
    clutter = distort(digits, "clutter", seeded())
    canvas = put_on_canvas(digits, seeded())
    assert torch.equal(clutter.images, canvas.images)
    assert torch.equal(clutter.truth["theta"], canvas.truth["theta"])


def test_a_canvas_without_pieces_holds_the_digit_and_nothing_else():
    digits = load_digits("test", "embedded").images[:50]
    done = put_on_canvas(digits, seeded(), size=84, pieces=0)
    torch.testing.assert_close(done.images.sum((1, 2, 3)), digits.sum((1, 2, 3)))
    for k, (x, y) in enumerate(done.truth["shift_px"].int().tolist()):
        there = done.images[k, :, 28 + y : 56 + y, 28 + x : 56 + x]
        assert torch.equal(there, digits[k])


@pytest.mark.parametrize("size", [26, 61])
def test_a_canvas_on_which_no_digit_fits_is_refused(size):
    with pytest.raises(ValueError, match=f"size must be even .* got {size}"):
        put_on_canvas(torch.zeros(1, 1, 28, 28), seeded(), size=size)


def test_the_true_box_is_the_digits_frame():
    digits = load_digits("test", "embedded").first(40)
    pictures = make_pictures(digits, "T", seed=1)
    for image, box, digit in zip(pictures.images, pictures.boxes, digits.images):
        left, top, right, bottom = (int(edge + 0.5) for edge in box.tolist())
        assert right - left == bottom - top == 28
        inside = image[:, top:bottom, left:right]
        assert torch.equal(inside, (255 * digit).round().byte())
