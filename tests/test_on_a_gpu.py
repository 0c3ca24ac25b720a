"""What is computed for a tensor on a GPU is made on that GPU: tried without one.

PyTorch's fake tensors know their device and nothing else. An operation on two of them
that lie on different devices raises, as on a real GPU, and so does a CPU's tensor that
is made on the way and not moved. Gradients need the real thing: `make cuda`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import stn_tutorial as stn
from stn_tutorial import diagnostics, localization
from stn_tutorial.data.distortions import DISTORTIONS, distort
from stn_tutorial.experiments import (
    colocalization_baselines,
    colocalization_encoder,
    models,
)

FAMILIES = [
    stn.Affine(),
    stn.Attention(),
    stn.Crop(),
    stn.Projective(),
    stn.Similarity(aspect=1.0),
    stn.ThinPlateSpline(),
    stn.Translation(),
]


@pytest.fixture
def images() -> Iterator[torch.Tensor]:
    """Images on a GPU that is not there; what is made is fake until the test ends."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield torch.empty(2, 1, 28, 28, device="cuda")


def test_a_tensor_that_is_left_on_the_cpu_is_noticed(images):
    with pytest.raises(RuntimeError, match="device"):
        images + torch.ones(28)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: type(family).__name__)
def test_a_warp_stays_on_the_gpu(images, family):
    params = torch.empty(2, family.n_params, device="cuda")
    assert family.grid(params, (12, 12)).device.type == "cuda"
    for backend in ("native", "manual"):
        for interpolation, padding in (
            ("nearest", "zeros"),
            ("bilinear", "border"),
            ("bicubic", "reflection"),
        ):
            options = {"interpolation": interpolation, "padding": padding}
            out = stn.warp(
                images, params, (12, 12), family=family, backend=backend, **options
            )
            assert out.device.type == "cuda", (backend, options)
        shrunk = stn.warp(
            images, params, (5, 5), family=family, backend=backend, antialias=True
        )
        assert shrunk.device.type == "cuda"


@pytest.mark.parametrize("name", ["Conv", "FullyConnected", "Modern"])
def test_a_transformer_that_was_moved_stays_on_the_gpu(images, name):
    kind = getattr(localization, f"{name}Localization")
    for family in (stn.Affine(), stn.ThinPlateSpline(), stn.Similarity()):
        with torch.device("cuda"):  # a fake module can be made there, and not moved
            module = stn.SpatialTransformer(
                kind((1, 28, 28), family), out_size=(12, 12)
            )
        assert module(images).device.type == "cuda"
        assert module.grid(images).device.type == "cuda"


def test_layers_and_models_stay_on_the_gpu(images):
    with torch.device("cuda"):
        made = [
            stn.CoordConv2d(1, 4, 3, radius=True),
            stn.CoordConvTranspose2d(1, 4, 3),
            models.FCN((1, 28, 28), 8),
            models.CNN((1, 28, 28), 8),
        ]
    for module in made:
        assert module(images).device.type == "cuda", type(module).__name__
    assert stn.add_coordinates(images, radius=True).device.type == "cuda"


@pytest.mark.parametrize("name", DISTORTIONS)
def test_digits_are_distorted_where_they_lie(images, name):
    """What is drawn is drawn on the CPU, by a generator that is the same everywhere."""
    made = distort(images, name, torch.Generator().manual_seed(0))
    assert made.images.device.type == "cuda"


def test_coordinates_and_diagnostics_stay_on_the_gpu(images):
    theta = torch.empty(2, 2, 3, device="cuda")
    corners = torch.empty(4, 2, device="cuda")
    grid = stn.Affine().grid(theta, (12, 12))
    for found in (
        stn.rotation(torch.empty(3, device="cuda"), 2.0, (0.1, 0.2), center=(0.1, 0.3)),
        stn.homography(corners, corners),
        stn.theta_to_pixels(theta, (28, 28), (12, 12)),
        stn.theta_from_pixels(theta, (28, 28), (12, 12)),
        stn.to_pixels(grid, (28, 28)),
        stn.to_normalized(grid, (28, 28)),
        stn.convert(theta, stn.Affine(), stn.Projective()),
        diagnostics.theta_statistics(theta.flatten(1))["mean"],
    ):
        assert found.device.type == "cuda"


def test_what_studies_ask_of_a_network_is_asked_on_its_gpu(images):
    """Their pictures lie on the CPU, and `fit` has moved the network."""
    with torch.device("cuda"):
        classifier = models.CNN((1, 28, 28), n_classes=11)
    colocalization_encoder.Encoder(classifier, torch.zeros(10, 1, 28, 28))
    for corners in colocalization_baselines.BASELINES.values():
        found = corners(torch.zeros(4, 1, 84, 84, dtype=torch.uint8), classifier)
        assert found.device.type == "cpu"
