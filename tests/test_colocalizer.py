"""Crops never leave the picture, shrink while trained, and are boxes that are exact."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stn_tutorial import (
    Affine,
    Attention,
    Projective,
    Similarity,
    ThinPlateSpline,
    warp,
)
from stn_tutorial.experiments.colocalization import Config, make_model
from stn_tutorial.experiments.colocalizer import Colocalizer, CropInside
from stn_tutorial.experiments.views import bounding_boxes, outline


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_box_is_where_the_warp_takes_its_pixels_from():
    """A picture that is white inside the box becomes white, and black outside."""
    params = torch.tensor([[0.25, 0.5, -0.25], [0.5, 0.0, 0.25]])
    boxes = bounding_boxes(Attention(), params, (32, 64))
    for p, (left, top, right, bottom) in zip(params, boxes.tolist()):
        inside = torch.zeros(1, 1, 32, 64)
        rows = slice(round(top + 0.5), round(bottom + 0.5))
        inside[:, :, rows, round(left + 0.5) : round(right + 0.5)] = 1
        assert 0 < inside.mean() < 1
        size = (rows.stop - rows.start, round(right - left))
        crop, rest = (
            warp(x, p[None], size, family=Attention()) for x in (inside, 1 - inside)
        )
        torch.testing.assert_close(crop, torch.ones_like(crop))
        torch.testing.assert_close(rest, torch.zeros_like(rest))


@pytest.mark.parametrize(
    "family", [Attention(), Affine(), Projective(), ThinPlateSpline()]
)
def test_a_box_holds_the_outline_and_touches_it(family):
    params = family.identity() + 0.1 * torch.randn(
        3, family.n_params, generator=seeded()
    )
    for p, (left, top, right, bottom) in zip(
        params, bounding_boxes(family, params, (84, 60))
    ):
        points = (outline(family, p[None])[0] + 1) * torch.tensor([30.0, 42.0]) - 0.5
        ends = torch.stack([points.amin(dim=0), points.amax(dim=0)])
        torch.testing.assert_close(
            torch.stack([left, top, right, bottom]), ends.flatten()
        )


def test_with_aligned_corners_the_identitys_box_goes_through_pixel_centres():
    start = Attention().identity()[None]
    box = bounding_boxes(Attention(), start, (10, 20), align_corners=True)
    assert box.tolist() == [[0.0, 0.0, 19.0, 9.0]]
    assert bounding_boxes(Attention(), start, (10, 20)).tolist() == [
        [-0.5, -0.5, 19.5, 9.5]
    ]


@pytest.mark.parametrize("scale", [0.25, 0.5, 1.0])
def test_a_crop_reaches_the_edges_and_never_leaves_the_picture(scale):
    family = CropInside(scale)
    places = torch.tensor([[-1.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
    left, top, right, bottom = bounding_boxes(family, places, (40, 80)).T
    torch.testing.assert_close(left[0], torch.tensor(-0.5))
    torch.testing.assert_close(bottom[0], torch.tensor(39.5))
    torch.testing.assert_close(right[1], torch.tensor(79.5))
    torch.testing.assert_close(top[1], torch.tensor(-0.5))
    torch.testing.assert_close(right - left, torch.full((3,), 80 * scale))
    crop = Attention().grid(family.attention(places), (5, 7))
    assert torch.equal(family.grid(places, (5, 7)), crop)


def coordinates_of(model: Colocalizer, elsewhere: float) -> torch.Tensor:
    """Where a model that encodes nothing takes crop and patch from, along x."""
    ramp = torch.linspace(-1 + 1 / 84, 1 - 1 / 84, 84).expand(1, 1, 84, 84)
    place = torch.full((1, 2), elsewhere)
    return model((ramp, place)).detach()[0].view(2, 28, 28)[:, 0]


def test_crop_and_patch_are_of_one_size_which_shrinks_while_trained():
    model = make_model(Config(), nn.Flatten(), passes=2).eval()
    crop, patch = coordinates_of(model, -1.0)
    step = 1 / 28  # half the picture in 28 pixels
    ends = torch.tensor([-0.5 + step / 2, 0.5 - step / 2])
    torch.testing.assert_close(crop[[0, -1]], ends, atol=1e-4, rtol=0)
    torch.testing.assert_close(patch[[0, -1]], ends - 0.5, atol=1e-4, rtol=0)
    images = torch.rand(4, 1, 84, 84)
    for along in (0.5, 1.0, 1.0):
        model.train()((images, torch.zeros(4, 2)))
        assert model.along == along
    crop, patch = coordinates_of(model.eval(), 1.0)
    assert (crop[-1] - crop[0]).item() == pytest.approx(54 / 84, abs=1e-4)
    assert patch[-1].item() == pytest.approx(1 - 1 / 84, abs=1e-4)


def test_pictures_are_blurred_at_first_and_sharp_at_last():
    model = make_model(Config(start=1 / 3), nn.Flatten(), passes=1)
    dot = torch.zeros(2, 1, 84, 84)
    dot[:, :, 42, 42] = 1
    lit = [(model((dot, torch.ones(2, 2)))[:, 0] > 1e-3).sum(dim=1) for _ in range(2)]
    assert lit[0].tolist() == [25, 25] and lit[1].tolist() == [1, 1]


def test_the_box_of_a_rotation_knows_the_image():
    quarter = torch.tensor([[0.0, 1.0, 0.0, 0.0]])  # of a full rotation
    box = bounding_boxes(Similarity(), quarter, (20, 40))
    torch.testing.assert_close(box, torch.tensor([[9.5, -10.5, 29.5, 29.5]]))
