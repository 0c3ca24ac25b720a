"""The networks of the CoordConv paper have its sizes, and fit their tasks."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from stn_tutorial.data.not_so_clevr import Locations, all_locations
from stn_tutorial.experiments.models import count_parameters
from stn_tutorial.experiments.not_so_clevr_networks import (
    ConvRegressor,
    CoordConvDecoder,
    CoordConvRegressor,
    DeconvDecoder,
    PooledConvRegressor,
)


def test_the_papers_networks_have_the_papers_sizes():
    assert count_parameters(CoordConvDecoder()) == 7_553
    assert count_parameters(CoordConvRegressor()) == 906
    assert count_parameters(CoordConvRegressor(rectified=True)) == 906
    every = product((2, 3, 4), (1, 2, 3))
    counts = {shape: count_parameters(DeconvDecoder(*shape)) for shape in every}
    assert min(counts.values()) == counts[2, 1] == 46_465
    assert max(counts.values()) == counts[4, 3] == 1_632_001


def test_the_convolutional_regressors_span_the_papers_range():
    counts = [count_parameters(ConvRegressor(width)) for width in (6, 8, 16, 32)]
    assert 13_000 < counts[0] < 16_000 and 125_000 < counts[-1] < 160_000
    assert counts == sorted(counts)


@pytest.mark.parametrize(
    "network", [CoordConvDecoder, DeconvDecoder, lambda: DeconvDecoder(4, 2)]
)
def test_decoders_lead_from_points_to_canvases(network):
    locations = Locations(all_locations().centres[:3])
    scores = network()(locations.points())
    assert scores.shape == locations.squares().shape
    scores.logsumexp(dim=(1, 2, 3)).sum().backward()


@pytest.mark.parametrize(
    "network", [CoordConvRegressor, ConvRegressor, PooledConvRegressor]
)
def test_regressors_lead_from_pictures_to_points(network):
    locations = Locations(all_locations().centres[:3])
    assert network()(locations.squares()).shape == locations.points().shape


@pytest.mark.parametrize("seed", range(5))
def test_the_white_pixel_wins_the_maximum_of_the_regressor_from_the_start(seed):
    # Each seed has places of its own, all of them every seventh.
    locations = Locations(all_locations().centres[7 * seed :: 35])
    won = {}
    for started in (False, True):
        torch.manual_seed(seed)
        *layers, _, _ = CoordConvRegressor(rectified=True, started=started)
        with torch.no_grad():
            scores = nn.Sequential(*layers)(locations.one_hot()).flatten(2)
        won[started] = (
            (scores.argmax(dim=2) == locations.classes()[:, None]).float().mean()
        )
        if started:  # the answers are of the order of what is wanted
            assert scores.amax(dim=2).abs().max() < 2
    assert won[True] == 1 and won[False] < 0.1


def test_a_size_without_exact_doubling_is_refused():
    for size in (1, 5):
        with pytest.raises(ValueError, match="^size must be 2, 3 or 4, got"):
            DeconvDecoder(size)


def test_the_coordconv_decoder_treats_every_pixel_by_itself():
    """Another canvas shows the same function of the location, at other locations."""
    torch.manual_seed(0)
    small, large = CoordConvDecoder(3), CoordConvDecoder(9)
    large.load_state_dict(small.state_dict())
    point = torch.tensor([[0.3, -0.2]])
    # The centres of 3 pixels are those of every third of 9, from the second on.
    assert torch.allclose(small(point), large(point)[..., 1::3, 1::3], atol=1e-6)


@pytest.mark.parametrize("started", [False, True])
def test_without_rectifiers_the_regressor_is_linear_up_to_its_maximum(started):
    torch.manual_seed(0)
    *layers, _, _ = CoordConvRegressor(started=started)
    body = nn.Sequential(*layers)
    one, other = torch.rand(2, 1, 1, 64, 64)
    together = body(one + other) + body(torch.zeros_like(one))
    torch.testing.assert_close(together, body(one) + body(other), rtol=0, atol=1e-4)
    *bent, _, _ = CoordConvRegressor(rectified=True)
    bent = nn.Sequential(*bent)
    apart = bent(one + other) + bent(torch.zeros_like(one)) - bent(one) - bent(other)
    assert apart.abs().max() > 1e-3


def test_the_pooled_regressor_has_no_weights_of_a_location():
    network = PooledConvRegressor().eval()
    assert not any(isinstance(layer, nn.Linear) for layer in network)
    locations = Locations(torch.tensor([[24, 24], [30, 24]]))
    answers = network(locations.squares())
    assert not torch.allclose(answers[0], answers[1], atol=1e-6)  # strides tell them
