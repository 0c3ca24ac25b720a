"""The classifiers: as large as they are told to be, and the identity in front."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close as close

from stn_tutorial import Affine, SpatialTransformer
from stn_tutorial.experiments.models import (
    CNN,
    FAMILIES,
    FCN,
    MODELS,
    FamilyName,
    ModelName,
    ModernCNN,
    RowsConv2d,
    TransformedClassifier,
    build,
    count_parameters,
    use_coordconv,
)

SIZES = (28, 42, 60)
BUDGET = 200_000
TRANSFORMED = [name for name in MODELS if name.startswith("st-")]
sizes = pytest.mark.parametrize("size", SIZES)
names = pytest.mark.parametrize("name", MODELS)
transformed = pytest.mark.parametrize("name", TRANSFORMED)


@pytest.fixture(autouse=True)
def repeatable_weights() -> None:
    torch.manual_seed(0)


def digits(size: int, n: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, 1, size, size, generator=generator)


# -------------------------------------------------------- one channel, behind a warp


@pytest.mark.parametrize("stride", [1, 2, (1, 3)])
@pytest.mark.parametrize("padding", [0, 2, (0, 1)])
@pytest.mark.parametrize("kernel", [5, (3, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_in_rows_is_a_convolution(kernel, stride, padding, bias):
    rows = RowsConv2d(1, 3, kernel, stride, padding, bias=bias).double()
    plain = torch.nn.Conv2d(1, 3, kernel, stride, padding, bias=bias).double()
    plain.load_state_dict(rows.state_dict())
    image = torch.rand(2, 1, 9, 11, dtype=torch.float64)
    pull, found = None, []
    for layer in (rows, plain):
        leaf = image.clone().requires_grad_()
        out = layer(leaf)
        pull = torch.rand_like(out) if pull is None else pull
        wanted = [leaf, *layer.parameters()]
        found.append([out, *torch.autograd.grad(out, wanted, pull)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["st-cnn", "st-modern", "st-small", "st-pooled"])
def test_behind_a_transformer_the_first_convolution_is_in_rows(name):
    model = build(name, (1, 42, 42), out_size=(28, 28), budget=100_000)
    assert type(model.classifier[0]) is RowsConv2d
    model = build(name, (2, 42, 42), out_size=(28, 28), budget=100_000)
    assert type(model.classifier[0]) is torch.nn.Conv2d
    for alone in ("cnn", "modern"):
        assert type(build(alone, (1, 42, 42), budget=100_000)[0]) is torch.nn.Conv2d


# ------------------------------------------------------------------------- parameters


@sizes
def test_the_models_of_a_table_are_equally_large(size):
    """Within 5% of the budget and of one another; run with ``-rP`` to see the table."""
    counts = {}
    for name in MODELS:
        families = FAMILIES if size == 42 else ["affine"]
        for family in families if name in TRANSFORMED else ["-"]:
            options = {"family": family} if name in TRANSFORMED else {}
            with torch.device("meta"):  # sizes alone, and no memory
                model = build(name, (1, size, size), budget=BUDGET, **options)
            counts[name, family] = count_parameters(model)
    for (name, family), count in counts.items():
        print(f"{size}x{size}  {name:10} {family:12} {count:8,} {count / BUDGET:7.1%}")
    assert all(abs(count / BUDGET - 1) < 0.05 for count in counts.values())
    assert max(counts.values()) / min(counts.values()) < 1.05


@names
@pytest.mark.parametrize("budget", [60_000, 400_000])
def test_other_budgets_are_met_as_well(name, budget):
    with torch.device("meta"):
        count = count_parameters(build(name, budget=budget))
    assert count == pytest.approx(budget, rel=0.05)


def test_the_search_for_the_width_leaves_no_trace_in_the_weights():
    torch.manual_seed(3)
    model = build("cnn", budget=50_000)
    torch.manual_seed(3)
    alone = CNN((1, 28, 28), model[0].out_channels)
    for one, other in zip(model.parameters(), alone.parameters(), strict=True):
        assert torch.equal(one, other)


def test_no_other_width_is_closer_to_the_budget():
    for budget in (50_000, 123_456, 200_000):
        model = build("cnn", budget=budget)
        width = model[0].out_channels
        miss = abs(count_parameters(model) - budget)
        for other in (width - 1, width + 1):
            assert abs(count_parameters(CNN((1, 28, 28), other)) - budget) >= miss


@pytest.mark.parametrize("options", [{"out_size": (14, 14)}, {"padding": "border"}])
def test_a_model_without_a_transformer_takes_no_options_of_one(options):
    with pytest.raises(TypeError, match=f"^cnn has no transformer .* {[*options][0]}"):
        build("cnn", **options)


def test_the_parameters_are_those_one_can_count_by_hand():
    assert count_parameters(FCN((1, 28, 28))) == 785 * 128 + 129 * 128 + 129 * 10
    # 28 is convolved to 20, pooled to 10, convolved to 4 and pooled to 2.
    cnn = (81 + 1) * 32 + (49 * 32 + 1) * 32 + (4 * 32 + 1) * 10
    assert count_parameters(CNN((1, 28, 28))) == cnn
    # 28 is strided to 14, pooled to 7 and pooled to 3; a convolution has no bias, but
    # the normalization behind it has two numbers a channel.
    u, w = 32, 64
    convolutions = 25 * u + 9 * (u * w + w * w + w * w) + 2 * (u + 3 * w)
    assert count_parameters(ModernCNN((1, 28, 28))) == convolutions + (9 * w + 1) * 10


def test_only_what_is_trained_is_counted():
    model = FCN((1, 4, 4), width=8)
    frozen = sum(p.numel() for p in model[1].requires_grad_(False).parameters())
    assert frozen == 17 * 8
    assert count_parameters(model) == 9 * 8 + 9 * 10


# ---------------------------------------------------------------------------- scoring


@names
@sizes
def test_every_model_scores_digits_of_every_size(name, size):
    model = build(name, (1, size, size))
    scores = model(digits(size))
    assert scores.shape == (3, 10) and scores.dtype == torch.float32
    assert scores.isfinite().all()
    scores.logsumexp(1).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@transformed
@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "crop"])
def test_a_transformed_model_starts_as_its_classifier_alone(name, family):
    model = build(name, family=family).eval()
    x = digits(28)
    assert isinstance(model, TransformedClassifier)
    assert type(model.transformer.family) is FAMILIES[family]
    # The native kernel reads at the identity up to its rounding: see the sampler.
    torch.testing.assert_close(model.transformer(x), x, rtol=0, atol=56 * 2**-23)
    torch.testing.assert_close(model(x), model.classifier(x), rtol=0, atol=1e-4)


@transformed
def test_a_model_that_crops_starts_with_the_middle(name):
    model = build(name, (1, 60, 60), family="crop", out_size=(30, 30)).eval()
    x = digits(60)
    middle = x[..., 15:45, 15:45]
    torch.testing.assert_close(model.transformer(x), middle, rtol=0, atol=1e-5)


@transformed
@torch.no_grad()  # with gradients, the first convolution sums in another order
def test_with_the_manual_sampler_it_is_its_classifier_to_the_bit(name):
    model = build(name, backend="manual").eval()
    x = digits(28)
    assert torch.equal(model(x), model.classifier(x))


@transformed
def test_the_first_gradient_reaches_the_localization_network(name):
    model = build(name)
    loss = torch.nn.functional.cross_entropy(model(digits(28)), torch.arange(3))
    loss.backward()
    assert model.transformer.localization[-1].weight.grad.abs().max() > 0


@transformed
def test_the_transformer_can_hand_on_a_smaller_image(name):
    model = build(name, (1, 60, 60), out_size=(28, 30), padding="border")
    assert model.transformer.padding == "border"
    assert model.transformer(digits(60)).shape == (3, 1, 28, 30)
    assert model(digits(60)).shape == (3, 10)
    assert count_parameters(model) == pytest.approx(BUDGET, rel=0.05)


def test_images_need_not_be_square_or_grey():
    for name in MODELS:
        model = build(name, (3, 30, 36))
        assert model(torch.rand(2, 3, 30, 36)).shape == (2, 10)


@names
def test_a_seed_makes_the_same_model_twice(name):
    def weights() -> list[Tensor]:
        torch.manual_seed(5)
        return list(build(name).parameters())

    for one, other in zip(weights(), weights(), strict=True):
        assert torch.equal(one, other)


def test_a_transformer_and_a_classifier_of_ones_own():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 6))
    transformer = SpatialTransformer(network, Affine())
    model = TransformedClassifier(transformer, FCN((1, 4, 4), width=3))
    x = torch.rand(2, 1, 4, 4)
    assert torch.equal(model(x), model.classifier(model.transformer(x)))


# ----------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet"}, "^name must be 'fcn', .*'st-cnn'.*got 'resnet'"),
        (
            {"name": "st-cnn", "family": "rigid"},
            "^family must be .translation., .*, got .rigid.",
        ),
        ({"name": "cnn", "budget": 100}, "^budget of 100 is out of reach for cnn"),
        ({"name": "st-fcn", "budget": 5_000}, "^budget of 5000 is out of reach for st"),
        ({"name": "fcn", "budget": 10**9}, "^budget of 1000000000 is out of reach"),
        ({"name": "cnn", "budget": -5}, "^budget of -5 is out of reach"),
        ({"name": "cnn", "in_shape": (1, 9, 9)}, r"^in_shape \(1, 9, 9\) does not fit"),
        ({"name": "fcn", "in_shape": (28, 28)}, r"^in_shape must be \(C, H, W\)"),
        ({"name": "st-cnn", "out_size": (28,)}, "^out_size must be"),
    ],
)
def test_what_can_not_be_built_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def test_an_option_that_the_sampler_does_not_have_is_named():
    with pytest.raises(TypeError, match="paddin"):
        build("st-cnn", paddin="border")


def test_options_may_name_every_family_and_model():
    assert set(get_args(FamilyName)) == set(FAMILIES)
    assert set(get_args(ModelName)) == set(MODELS)


@pytest.mark.parametrize(
    "options",
    [
        {"dilation": 2},
        {"padding": 2, "padding_mode": "reflect"},
        {"padding": "same"},
    ],
)
def test_rows_leave_unusual_convolutions_alone(options):
    rows = RowsConv2d(1, 3, 5, **options)
    image = torch.rand(2, 1, 16, 16)
    close(rows(image.clone().requires_grad_()), rows(image))


@pytest.mark.parametrize("convolution", [nn.Conv1d, nn.Conv3d, nn.ConvTranspose2d])
def test_weights_for_coordinates_are_drawn_whatever_the_dimension(convolution):
    (layer,) = use_coordconv(nn.Sequential(convolution(1, 8, 3)))
    assert (layer.weight != 0).all()


def test_a_similarity_may_start_at_a_crop():
    options = {"family": "similarity", "zoom": 0.7, "out_size": (28, 28)}
    model = build("st-cnn", (1, 42, 42), **options)
    close(model.transformer.localization[-1].bias, torch.tensor([0.7, 0.0, 0.0, 0.0]))


def test_a_slice_of_a_network_is_its_layers():
    network = FCN((1, 8, 8), 16)
    hidden = network[:-1]
    assert type(hidden) is nn.Sequential and hidden[1] is network[1]
    assert hidden(torch.rand(2, 1, 8, 8)).shape == (2, 16)
