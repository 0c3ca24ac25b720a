"""The encoder: what it was shown, what it calls no digit, and how long it is."""

from __future__ import annotations

import pytest
import torch

from stn_tutorial.experiments.colocalization_encoder import (
    NOTHING,
    Encoder,
    digits_for,
    shaken,
    train_encoder,
)
from stn_tutorial.experiments.models import CNN

pytestmark = pytest.mark.usefixtures("one_core")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_an_encoder_sees_no_digit_that_the_crops_are_of():
    parts = [
        digits_for(name, "embedded").images
        for name in ("encoder", "crops", "validation")
    ]
    rows = [{tuple(image.flatten().tolist()) for image in part} for part in parts]
    assert all(len(row) > 200 for row in rows)
    assert not (rows[0] & rows[1] or rows[0] & rows[2] or rows[1] & rows[2])
    classifier, said = train_encoder("others", digit=3, data="embedded", epochs=1)
    assert said["classes"] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert train_encoder("random", data="embedded")[1]["digits"] == 0


def test_fragments_are_none_of_the_classes_and_whole_digits_keep_theirs():
    """A digit is one bright spot: where it lies in a crop tells how far that is off."""
    digits = torch.zeros(400, 1, 28, 28)
    digits[:, :, 13:15, 13:15] = 1
    labels = torch.arange(400) % 10
    crops, said = shaken(digits, labels, seeded())
    fragment = said == NOTHING
    assert 0.3 < fragment.float().mean() < 0.5
    assert torch.equal(said[~fragment], labels[~fragment])
    y, x = (crops[:, 0].sum(dim=axis) @ torch.arange(28.0) for axis in (2, 1))
    ink = crops.sum(dim=(1, 2, 3))
    off = torch.stack([x, y]).div(ink.clamp(min=1e-6)).sub(13.5).abs().amax(dim=0)
    assert off[~fragment].max() < 3 / 0.9 + 0.5
    assert off[fragment & (ink > 0.5)].min() > 9 / 1.6 - 0.5
    assert torch.equal(shaken(digits, labels, seeded(), fragments=0.0)[1], labels)


def test_an_encoder_is_frozen_and_digits_have_the_length_one():
    classifier = CNN((1, 28, 28))
    digits = torch.rand(30, 1, 28, 28)
    encoder = Encoder(classifier, digits)
    encodings = encoder(digits)
    assert not encodings.requires_grad
    assert encodings.square().sum(dim=1).mean().item() == pytest.approx(1)
    scores = encodings[:, -10:] * encoder.usual_length
    torch.testing.assert_close(scores, classifier(digits))
