"""Boxes that need no training are the ones that they say."""

from __future__ import annotations

import torch

from stn_tutorial.data.canvases import make_pictures
from stn_tutorial.data.digits import load_digits
from stn_tutorial.experiments.colocalization_baselines import BASELINES
from stn_tutorial.experiments.models import CNN
from stn_tutorial.experiments.scattered_digits import boxes_iou


def test_the_window_with_most_ink_is_about_a_digit_that_is_alone():
    digits = load_digits("test", "embedded").first(60)
    pictures = make_pictures(digits, "T", seed=2)
    corners = BASELINES["most ink"](pictures.images, None) - 0.5
    found = torch.cat([corners, corners + 28], dim=1)
    assert (boxes_iou(found, pictures.boxes) > 0.5).all()


def test_the_most_confident_window_is_that_of_the_classifier_slid_along():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = CNN((1, 28, 28))
    pictures = make_pictures(load_digits("test", "embedded").first(2), "TC", seed=3)
    corners = BASELINES["most confident"](pictures.images, classifier)
    for image, corner in zip(pictures.images / 255, corners.int().tolist()):
        places = [(x, y) for y in range(0, 57, 4) for x in range(0, 57, 4)]
        windows = torch.stack([image[:, y : y + 28, x : x + 28] for x, y in places])
        with torch.no_grad():
            sure = classifier(windows).softmax(dim=1).amax(dim=1)
        assert sure[places.index(tuple(corner))] >= sure.max() - 1e-6
