"""The localization networks: where they start, and what reaches them from there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from stn_tutorial import (
    Affine,
    Attention,
    Crop,
    Projective,
    Similarity,
    SpatialTransformer,
    ThinPlateSpline,
    Translation,
)
from stn_tutorial.localization import (
    ConvLocalization,
    FullyConnectedLocalization,
    ModernLocalization,
    flat_features,
    start_at_identity,
)

NETWORKS = [FullyConnectedLocalization, ConvLocalization, ModernLocalization]
FAMILIES = [
    Translation(),
    Attention(),
    Crop(),
    Similarity(),
    Affine(),
    Projective(),
    ThinPlateSpline(),
]
SHAPES = [(1, 28, 28), (3, 42, 31), (2, 60, 60), (1, 28, 29)]
networks = pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.__name__)
families = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: type(f).__name__)


@pytest.fixture(autouse=True)
def repeatable_weights() -> None:
    torch.manual_seed(0)


def images(shape: tuple[int, int, int], n: int = 4) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(1))


# ---------------------------------------------------------------------- the beginning


@networks
@families
@pytest.mark.parametrize("in_shape", SHAPES, ids=str)
def test_it_starts_exactly_at_the_identity(network, family, in_shape):
    net = network(in_shape, family)
    for mode in (True, False):
        params = net.train(mode)(10 * images(in_shape) - 5)
        assert torch.equal(params, family.identity().expand(4, -1))


@networks
@families
def test_a_perturbation_starts_near_the_identity_and_not_at_it(network, family):
    net = network((1, 28, 28), family, perturbation=1e-3)
    assert torch.equal(net[-1].bias, family.identity())
    away = net(images((1, 28, 28))) - family.identity()
    assert 0 < away.abs().max() < 0.05
    assert (away[0] != away[1]).any()  # it sees the images


def test_the_perturbation_is_the_standard_deviation_of_the_weights():
    last = nn.Linear(500, 32)
    generator = torch.Generator().manual_seed(2)
    start_at_identity(last, ThinPlateSpline(), perturbation=0.01, generator=generator)
    # 16,000 draws estimate it to 1 / sqrt(32,000), and their mean to sd / sqrt(16,000).
    assert last.weight.std().item() == pytest.approx(0.01, rel=0.03)
    assert abs(last.weight.mean().item()) < 4 * 0.01 / 16_000**0.5
    again = nn.Linear(500, 32)
    start_at_identity(
        again, ThinPlateSpline(), perturbation=0.01, generator=generator.manual_seed(2)
    )
    assert torch.equal(again.weight, last.weight)


def test_with_a_generator_the_global_state_stays_as_it_is():
    before = torch.get_rng_state()
    last = nn.Linear(5, 6)
    torch.set_rng_state(before)
    start_at_identity(
        last, Affine(), perturbation=0.1, generator=torch.Generator().manual_seed(3)
    )
    assert torch.equal(torch.get_rng_state(), before)


def gradients(net: nn.Module, family, in_shape) -> dict[str, float]:
    """Layer by layer, the largest gradient of one step through a transformer."""
    transformer = SpatialTransformer(net, family)
    x = images(in_shape)
    (transformer(x) * torch.rand_like(x)).sum().backward()
    return {name: p.grad.abs().max().item() for name, p in net.named_parameters()}


@networks
@families
def test_the_first_gradient_reaches_the_last_layer_alone(network, family):
    net = network((1, 28, 28), family)
    last = f"{len(net) - 1}."
    for name, size in gradients(net, family, (1, 28, 28)).items():
        assert (size > 0) == name.startswith(last), name


@networks
@families
def test_a_perturbation_lets_it_reach_every_layer(network, family):
    net = network((1, 28, 28), family, perturbation=1e-2)
    for name, size in gradients(net, family, (1, 28, 28)).items():
        assert size > 0, name


# ------------------------------------------------------------------------ the networks


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_the_fully_connected_network_is_that_of_the_paper():
    net = FullyConnectedLocalization((1, 28, 28), Affine())
    assert count(net) == (784 + 1) * 32 + (32 + 1) * 32 + (32 + 1) * 6
    wide = FullyConnectedLocalization((1, 28, 28), Affine(), hidden=(7,))
    assert count(wide) == (784 + 1) * 7 + (7 + 1) * 6


def test_the_convolutional_network_is_that_of_the_paper():
    net = ConvLocalization((1, 28, 28), Affine())
    # 28 is pooled to 14, convolved to 10, pooled to 5, convolved to 1.
    convolutions = (25 + 1) * 20 + (25 * 20 + 1) * 20
    assert count(net) == convolutions + (20 * 1 * 1 + 1) * 20 + (20 + 1) * 6
    padded = ConvLocalization((1, 28, 28), Affine(), padding=2)  # 5 stays 5
    assert count(padded) == convolutions + (20 * 5 * 5 + 1) * 20 + (20 + 1) * 6
    assert [m.kernel_size for m in net if isinstance(m, nn.Conv2d)] == [(5, 5)] * 2


def test_the_modern_network_pools_nothing():
    net = ModernLocalization((1, 28, 28), Affine())
    assert not [m for m in net.modules() if "Pool" in type(m).__name__]
    # Three times halved, 28 becomes 4.
    assert net[-4].in_features == 32 * 4 * 4


def test_large_first_steps_leave_the_modern_network_alive():
    """Its hidden units answer to the images whatever its weights have become."""
    net = ModernLocalization((1, 28, 28), Affine(), perturbation=0.1)
    with torch.no_grad():
        for layer in net:
            if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer is not net[-1]:
                layer.weight -= 10.0  # every sum is negative now
    assert (net(images((1, 28, 28))).std(dim=0) > 1e-2).all()


@pytest.mark.parametrize(
    ("network", "options", "widths"),
    [
        (FullyConnectedLocalization, {"hidden": (9, 8, 7)}, [9, 8, 7, 6]),
        (ConvLocalization, {"channels": 3, "hidden": 5}, [3, 3, 5, 6]),
        (ModernLocalization, {"channels": (4, 6), "hidden": 5}, [4, 6, 5, 6]),
    ],
)
def test_the_widths_can_be_chosen(network, options, widths):
    net = network((2, 28, 31), Affine(), **options)
    layers = [m for m in net if isinstance(m, (nn.Linear, nn.Conv2d))]
    assert [len(layer.weight) for layer in layers] == widths
    assert torch.equal(net(images((2, 28, 31)))[0], Affine().identity())


def test_measuring_a_network_leaves_no_trace():
    features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    for mode in (True, False):
        features.train(mode)
        assert flat_features(features, (1, 6, 7)) == 2 * 4 * 5
        assert features.training == features[1].training == mode
    assert features[1].num_batches_tracked == 0
    assert torch.equal(features[1].running_mean, torch.zeros(2))


def test_a_crop_starts_in_the_middle_and_moves_alone():
    family = Crop(scale=0.25)
    network = ModernLocalization((1, 32, 32), family, perturbation=0.1)
    transformer = SpatialTransformer(network.eval(), family, (8, 8))
    still = torch.rand(3, 1, 32, 32)
    network[-1].weight.data.zero_()
    torch.testing.assert_close(transformer(still), still[..., 12:20, 12:20])
    network[-1].bias.data.copy_(torch.tensor([0.5, -0.25]))  # 8 right, 4 up
    torch.testing.assert_close(transformer(still), still[..., 8:16, 20:28])


# ---------------------------------------------------------------------------- errors


@networks
def test_a_wrong_image_shape_is_named(network):
    with pytest.raises(ValueError, match=r"^in_shape must be \(C, H, W\).*got \(28, 2"):
        network((28, 28), Affine())


def test_too_small_an_image_is_named():
    for padding, least in ((0, 28), (2, 12)):
        ConvLocalization((1, least, least), Affine(), padding=padding)
        for shape in [(1, least - 1, 28), (1, 28, least - 1), (1, 3, 3)]:
            with pytest.raises(ValueError, match=r"^in_shape .* does not fit"):
                ConvLocalization(shape, Affine(), padding=padding)


def test_a_last_layer_that_does_not_fit_is_named():
    with pytest.raises(
        ValueError, match=r"^last must have 6 outputs for Affine\(\), got 5"
    ):
        start_at_identity(nn.Linear(3, 5), Affine())
    with pytest.raises(ValueError, match="^last must have a bias"):
        start_at_identity(nn.Linear(3, 6, bias=False), Affine())
    with pytest.raises(TypeError, match=r"^last must be a torch\.nn\.Linear, got"):
        start_at_identity(nn.Conv2d(3, 6, 1), Affine())


@pytest.mark.parametrize("perturbation", [-1e-3, float("nan")])
@networks
def test_a_wrong_perturbation_is_named(network, perturbation):
    with pytest.raises(ValueError, match="^perturbation must be (>= 0|finite), got"):
        network((1, 28, 28), Affine(), perturbation=perturbation)


@networks
def test_a_class_in_place_of_a_family_is_named(network):
    with pytest.raises(TypeError, match="^family must be an instance.*class Affine"):
        network((1, 28, 28), Affine)


@networks
def test_shapes_and_numbers_of_numpy_are_welcome(network):
    shape, spread = np.array([2, 28, 31]), np.float32(0.01)
    net = network(shape, Affine(), perturbation=spread)
    assert net(images((2, 28, 31))).shape == (4, 6)
    with pytest.raises(
        TypeError, match=r"^in_shape must be integers \(C, H, W\).*, got"
    ):
        network((1.0, 28, 31), Affine())


@networks
def test_a_network_keeps_its_family(network):
    assert network((1, 28, 28), Crop(0.3)).family == Crop(0.3)


def test_a_module_that_is_too_large_keeps_its_mode():
    features = nn.Sequential(nn.Conv2d(1, 2, 9), nn.BatchNorm2d(2))
    with pytest.raises(ValueError, match="^in_shape .* does not fit"):
        flat_features(features, (1, 5, 5))
    assert features.training and features[1].training
    with pytest.raises(ValueError, match="^in_shape .* does not fit .* channels"):
        flat_features(features, (3, 28, 28))


@pytest.mark.parametrize(
    "changed",
    [
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    ],
)
def test_a_layer_whose_weights_are_computed_is_refused(changed):
    with pytest.raises(ValueError, match="^last must have plain weights"):
        start_at_identity(changed(nn.Linear(32, 3)), Attention())


def test_counting_features_leaves_frozen_modules_frozen():
    features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    features[1].eval()
    flat_features(features, (1, 8, 8))
    assert features.training and not features[1].training


def test_a_slice_of_a_network_is_its_layers():
    network = FullyConnectedLocalization((1, 8, 8), Affine())
    assert network[:-1](torch.rand(2, 1, 8, 8)).shape == (2, 32)
