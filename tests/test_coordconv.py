"""CoordConv: exact coordinates for every size, and what a conversion keeps."""

from __future__ import annotations

import copy
import doctest
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from stn_tutorial import coordconv
from stn_tutorial.coordconv import (
    CoordConv1d,
    CoordConv2d,
    CoordConv3d,
    CoordConvTranspose2d,
    add_coordinates,
    convert_to_coordconv,
)
from stn_tutorial.coordinates import base_grid

SIZES = [(7,), (1,), (5, 5), (4, 9), (1, 6), (1, 1), (3, 4, 6), (2, 1, 5)]
sizes = pytest.mark.parametrize("size", SIZES, ids=str)
conventions = pytest.mark.parametrize("align_corners", [False, True])
LAYERS = {
    CoordConv1d: (nn.Conv1d, (9,)),
    CoordConv2d: (nn.Conv2d, (6, 9)),
    CoordConv3d: (nn.Conv3d, (5, 6, 4)),
    CoordConvTranspose2d: (nn.ConvTranspose2d, (4, 7)),
}
layers = pytest.mark.parametrize("layer", LAYERS, ids=lambda each: each.__name__)
OPTIONS = [
    {},
    {"stride": 2, "padding": 1, "bias": False},
    {"groups": 2, "dilation": 2, "padding": 2},
    {"radius": True, "align_corners": True, "groups": 2},
]
options = pytest.mark.parametrize("option", OPTIONS, ids=str)


@pytest.fixture(autouse=True)
def repeatable_weights() -> None:
    torch.manual_seed(0)


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def centre(index: int, n: int, align_corners: bool) -> float:
    """Where a pixel's centre is along an axis of n, as the conventions say it."""
    if align_corners:
        return 0.0 if n == 1 else -1 + 2 * index / (n - 1)
    return -1 + (2 * index + 1) / n


def test_the_examples_run():
    assert doctest.testmod(coordconv).failed == 0


# ------------------------------------------------------------------------- coordinates


@sizes
@conventions
def test_the_channels_are_the_pixel_centres_in_the_order_x_y_z_r(size, align_corners):
    x = images(2, 3, *size)
    out = add_coordinates(x, radius=True, align_corners=align_corners)
    assert out.shape == (2, 3 + len(size) + 1, *size)
    assert torch.equal(out[:, :3], x)
    for location in np.ndindex(*size):
        rows_first = [
            centre(i, n, align_corners) for i, n in zip(location, size, strict=True)
        ]
        expected = [*rows_first[::-1], math.hypot(*rows_first)]
        for image in range(2):
            got = out[(image, slice(3, None), *location)]
            assert got.tolist() == pytest.approx(expected, abs=1e-6)


@sizes
def test_the_radius_is_measured_from_the_true_centre(size):
    """It is the same from all sides, and 0 where a pixel's centre is the image's."""
    r = add_coordinates(images(1, 1, *size), radius=True)[0, -1]
    for axis in range(len(size)):
        torch.testing.assert_close(r, r.flip(axis), rtol=0, atol=1e-6)
    middle = tuple(n // 2 for n in size)
    if all(n % 2 for n in size):
        assert r[middle] == 0


@sizes
def test_without_a_radius_there_is_none(size):
    x = images(1, 2, *size)
    whole = add_coordinates(x, radius=True)
    assert torch.equal(add_coordinates(x), whole[:, :-1])


def test_dtype_device_and_layout_are_those_of_the_images():
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        assert add_coordinates(images(2, 3, 4, 5).to(dtype)).dtype == dtype
    x = images(2, 3, 4, 5).to(memory_format=torch.channels_last)
    out = add_coordinates(x)
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(out, add_coordinates(x.contiguous()))


def test_the_coordinates_are_those_of_the_base_grid_bit_for_bit():
    for dtype in (torch.float32, torch.float64, torch.float16):
        for size in SIZES:
            x = add_coordinates(torch.zeros(1, 0, *size, dtype=dtype))[0]
            assert torch.equal(x, base_grid(size, dtype=dtype).movedim(-1, 0))


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 1, 1)])
def test_no_images_no_channels_and_single_pixels_are_welcome(shape):
    n, channels, *size = shape
    assert add_coordinates(images(*shape)).shape == (n, channels + 2, *size)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 2, 4, 5)])
def test_channels_last_stays_channels_last(shape):
    layout = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    x = images(*shape)
    out = add_coordinates(x.to(memory_format=layout), radius=True)
    assert out.is_contiguous(memory_format=layout)
    assert torch.equal(out, add_coordinates(x, radius=True))
    assert add_coordinates(x).is_contiguous()


def test_an_evaluation_leaves_nothing_behind_that_hinders_training():
    x = images(2, 3, 11, 13)
    with torch.inference_mode():
        add_coordinates(x)
    layer = CoordConv2d(3, 4, 3)
    layer(x.requires_grad_()).sum().backward()
    assert x.grad.isfinite().all() and layer.weight.grad.isfinite().all()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(2, 3), ValueError, r"^x must be \(N, C, \*spatial\), got \(2, 3"),
        (torch.zeros(1, 1, 1, 1, 1, 1), ValueError, "^x must be"),
        (torch.zeros(1, 1, 4, dtype=torch.int64), TypeError, "^x must be a floating"),
        (np.zeros((1, 1, 4, 4)), TypeError, "^x must be a floating .* numpy.ndarray"),
        ([[[1.0]]], TypeError, "^x must be a floating .* list"),
    ],
)
def test_what_is_no_batch_of_images_is_named(x, error, message):
    with pytest.raises(error, match=message):
        add_coordinates(x)


@pytest.mark.parametrize("name", ["radius", "align_corners"])
@pytest.mark.parametrize("value", ["yes", 1, None])
def test_an_option_that_is_no_flag_is_named(name, value):
    option = {name: value}
    for call in (
        lambda: add_coordinates(images(1, 1, 4, 4), **option),
        lambda: CoordConv2d(1, 1, 3, **option),
        lambda: CoordConv2d.from_convolution(nn.Conv2d(1, 1, 3), **option),
        lambda: convert_to_coordconv(nn.Conv2d(1, 1, 3), **option),
    ):
        with pytest.raises(TypeError, match=f"^{name} must be True or False"):
            call()


# -------------------------------------------------------------------------- the layers


def random_layer(layer, option: dict) -> nn.Module:
    return layer(4, 6, 3, **option)


@layers
@options
def test_a_layer_is_the_convolution_of_images_with_coordinates(layer, option):
    """Group by group, from PyTorch's own functions."""
    plain, size = LAYERS[layer]
    coord = random_layer(layer, option)
    x = images(2, 4, *size)
    keys = ("radius", "align_corners")
    of_coordinates = {k: v for k, v in option.items() if k in keys}
    rest = {k: v for k, v in option.items() if k not in (*keys, "groups")}
    groups = option.get("groups", 1)
    parts = []
    for k, part in enumerate(x.chunk(groups, dim=1)):
        whole = add_coordinates(part, **of_coordinates)
        single = plain(whole.shape[1], 6 // groups, 3, **rest)
        with torch.no_grad():
            single.weight.copy_(coord.weight.chunk(groups)[k])
            if single.bias is not None:
                single.bias.copy_(coord.bias.chunk(groups)[k])
        parts.append(single(whole))
    torch.testing.assert_close(coord(x), torch.cat(parts, dim=1), rtol=1e-5, atol=1e-5)


@layers
@options
def test_no_weight_is_dead(layer, option):
    """Every weight, those of the coordinates too, changes the output."""
    coord = random_layer(layer, option)
    coord(images(2, 4, *LAYERS[layer][1])).square().sum().backward()
    assert all((p.grad != 0).all() for p in coord.parameters())


@layers
def test_the_state_holds_weights_alone(layer):
    coord = random_layer(layer, {"radius": True})
    coord(images(1, 4, *LAYERS[layer][1]))
    assert set(coord.state_dict()) == {"weight", "bias"}
    other = random_layer(layer, {"radius": True})
    other.load_state_dict(coord.state_dict())
    x = images(2, 4, *LAYERS[layer][1])
    assert torch.equal(other(x), coord(x))


@layers
def test_one_layer_takes_every_size(layer):
    coord = random_layer(layer, {"padding": 1})
    for n in (3, 4, 10):
        size = [n, *LAYERS[layer][1][1:]]
        assert coord(images(1, 4, *size)).isfinite().all()


@layers
@options
def test_a_single_image_is_a_batch_of_one(layer, option):
    coord, calls = random_layer(layer, option), []
    coord.register_forward_hook(lambda *_: calls.append(1))
    x = images(1, 4, *LAYERS[layer][1])
    torch.testing.assert_close(coord(x[0]), coord(x)[0])
    assert len(calls) == 2  # a hook runs once for each call


@pytest.mark.parametrize("output_size", [(12, 14), [12, 14], torch.Size([12, 14])])
def test_a_transposed_layer_takes_an_output_size_as_that_of_torch_does(output_size):
    layer, x = CoordConvTranspose2d(4, 2, 3, stride=2), images(1, 4, 5, 6)
    expected = layer.plain(4, 2, 3, stride=2)(x, output_size=output_size).shape
    assert layer(x, output_size).shape == expected == (1, 2, 12, 14)
    assert layer(x, output_size=output_size).shape == expected
    assert layer(input=x[0], output_size=[2, *output_size]).shape == expected[1:]


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [1, "same"])
def test_every_padding_pads_the_coordinates_like_the_image(mode, padding):
    layer = CoordConv2d(2, 3, 3, padding=padding, padding_mode=mode)
    plain = nn.Conv2d(4, 3, 3, padding=padding, padding_mode=mode)
    plain.load_state_dict(layer.state_dict())
    x = images(1, 2, 5, 6)
    torch.testing.assert_close(layer(x), plain(add_coordinates(x)))


@layers
def test_a_layer_is_made_in_a_dtype_and_on_a_device(layer):
    coord = random_layer(layer, {"dtype": torch.float64, "device": "cpu"})
    x = images(2, 4, *LAYERS[layer][1]).double()
    assert coord(x).dtype == torch.float64
    on_meta = random_layer(layer, {"device": "meta", "radius": True, "groups": 2})
    shape = random_layer(layer, {"radius": True, "groups": 2})(x.float()).shape
    assert on_meta(x.float().to("meta")).shape == shape
    assert copy.deepcopy(on_meta).to_empty(device="cpu")(x.float()).shape == shape


@layers
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))]
)
def test_a_layer_is_copied_and_pickled(layer, copied):
    coord = random_layer(layer, {"radius": True, "padding": 1}).eval()
    x = images(2, 4, *LAYERS[layer][1])
    expected = coord(x)
    other = copied(coord)
    assert torch.equal(other(x), expected)
    assert repr(other) == repr(coord) and not other.training
    assert len(pickle.dumps(coord)) < 20_000


def test_a_layer_prints_as_what_it_is():
    text = repr(CoordConv2d(3, 8, kernel_size=(1, 2), radius=True))
    assert text == (
        "CoordConv2d(3, 8, kernel_size=(1, 2), stride=(1, 1), radius=True, "
        "align_corners=False)"
    )


@layers
def test_an_input_that_does_not_fit_is_named(layer):
    coord = random_layer(layer, {})
    size = LAYERS[layer][1]
    for x in (images(2, 5, *size), images(2, 4, *size, 3), images(4)):
        with pytest.raises(ValueError, match=r"^input must be \(N, 4"):
            coord(x)
    for x in (images(2, 4, *size).numpy(), images(2, 4, *size).to(torch.uint8)):
        with pytest.raises(TypeError, match="^input must be a floating tensor"):
            coord(x)


def test_a_wrong_argument_is_that_of_the_convolution():
    with pytest.raises(TypeError, match="strid"):
        CoordConv2d(3, 4, 3, strid=2)
    with pytest.raises(ValueError, match="groups"):
        CoordConv2d(3, 4, 3, groups=2)


# ------------------------------------------------------------------ from and to plain


@layers
@options
def test_zero_coordinate_weights_are_the_plain_convolution(layer, option):
    plain, size = LAYERS[layer]
    keys = ("radius", "align_corners")
    of_coordinates = {k: v for k, v in option.items() if k in keys}
    rest = {k: v for k, v in option.items() if k not in keys}
    convolution = plain(4, 6, 3, **rest).eval()
    coord = layer.from_convolution(convolution, **of_coordinates)
    assert repr(coord) == repr(layer(4, 6, 3, **option))
    x = images(2, 4, *size)
    torch.testing.assert_close(coord(x), convolution(x), rtol=1e-5, atol=1e-6)
    assert not coord.training
    back = coord.to_convolution()
    assert type(back) is plain and repr(back) == repr(convolution)
    assert vars(back).keys() == vars(convolution).keys()
    for name, value in convolution.state_dict().items():
        assert torch.equal(back.state_dict()[name], value)


@layers
def test_a_layer_that_uses_its_coordinates_is_no_convolution(layer):
    coord = random_layer(layer, {})
    with pytest.raises(ValueError, match="^coordinate weights must be zero"):
        coord.to_convolution()
    with pytest.raises(TypeError, match="^layer must be a Conv.* got CoordConv"):
        layer.from_convolution(coord)


def test_there_and_back_keeps_what_a_copy_keeps():
    plain = nn.Conv2d(4, 6, 3, groups=2, dtype=torch.float64, bias=False)
    plain = plain.to(memory_format=torch.channels_last).requires_grad_(False).eval()
    calls = []
    plain.register_forward_hook(lambda *_: calls.append(1))
    plain.note = "mine"
    coord = CoordConv2d.from_convolution(plain)
    back = coord.to_convolution()
    x = images(1, 4, 5, 5).double()
    for layer in (coord, back):
        assert layer.note == "mine" and not layer.training and layer.bias is None
        assert layer.weight.dtype == torch.float64 and not layer.weight.requires_grad
        assert layer.weight.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(layer(x), plain(x))
    assert len(calls) == 4
    assert type(plain) is nn.Conv2d and plain.weight.shape == (6, 2, 3, 3)


def network() -> nn.Module:
    shared = nn.Conv2d(4, 4, 3, padding=1)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()),
        *(shared, nn.ReLU(), shared),
        nn.ConvTranspose2d(4, 2, 3),
        *(nn.Flatten(), nn.LazyLinear(10)),
    )


def test_a_converted_model_is_the_same_function_and_can_learn_about_locations():
    model = network()
    x = images(2, 3, 6, 5)
    expected = model(x)
    converted = convert_to_coordconv(copy.deepcopy(model), radius=True)
    torch.testing.assert_close(converted(x), expected, rtol=1e-5, atol=1e-6)
    kinds = [type(each).__name__ for each in converted.modules()]
    assert kinds.count("CoordConv2d") == 2 and "CoordConvTranspose2d" in kinds
    assert converted[1] is converted[3]  # a layer used twice stays one
    converted(x).square().sum().backward()
    assert converted[1].weight.grad[:, 4:].any()  # the coordinates' weights


def test_the_first_convolution_alone_can_be_converted():
    converted = convert_to_coordconv(network(), first=True)
    assert type(converted[0][0]) is CoordConv2d and type(converted[1]) is nn.Conv2d


def test_there_must_be_something_to_convert():
    for module in (nn.Linear(2, 2), CoordConv2d(1, 2, 3), nn.ConvTranspose1d(1, 2, 3)):
        with pytest.raises(ValueError, match="^module must hold a convolution"):
            convert_to_coordconv(module)
    for module in (nn.Conv2d, "resnet"):
        with pytest.raises(TypeError, match="^module must be a torch.nn.Module"):
            convert_to_coordconv(module)


# ------------------------------------------------------------ what a conversion keeps


def test_every_layer_and_every_parameter_stays_the_same_object():
    model = network()
    model(images(1, 3, 6, 5))
    layers, parameters = [*model.modules()], [*model.parameters()]
    assert convert_to_coordconv(model) is model
    for before, after in ((layers, model.modules()), (parameters, model.parameters())):
        assert [id(each) for each in before] == [id(each) for each in after]
    alone = nn.Conv1d(2, 3, 3)
    assert convert_to_coordconv(alone) is alone and type(alone) is CoordConv1d


def test_what_was_frozen_stays_frozen_and_what_was_not_does_not():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 4, 3))
    model[0].weight.requires_grad_(False)
    model[1].bias.requires_grad_(False)
    convert_to_coordconv(model)
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    assert flags == {
        **{"0.weight": False, "0.bias": True},
        **{"1.weight": True, "1.bias": False},
    }


def test_hooks_of_layers_and_of_parameters_are_kept():
    conv, calls = nn.Conv2d(1, 2, 3), []
    conv.register_forward_pre_hook(lambda _, args: calls.append(args[0].shape))
    conv.register_forward_hook(lambda *_: calls.append("forward"))
    conv.register_full_backward_hook(lambda _, g, __: calls.append(g[0].shape))
    conv.weight.register_hook(lambda g: calls.append(g.shape))
    conv.weight.register_post_accumulate_grad_hook(lambda p: calls.append("added"))
    convert_to_coordconv(conv)
    x = images(1, 1, 5, 5).requires_grad_()
    conv(x).sum().backward()
    gradients = [(2, 3, 3, 3), "added", (1, 1, 5, 5)]
    assert calls[:2] == [(1, 1, 5, 5), "forward"]
    assert len(calls) == 5 and all(one in calls for one in gradients)


def test_attributes_flags_and_modes_of_layers_and_parameters_are_kept():
    conv = nn.Conv2d(1, 2, 3).eval()
    conv.qconfig, conv.weight.no_weight_decay = "8 bits", True
    conv.register_buffer("scale", torch.ones(2))
    conv.register_parameter("gain", nn.Parameter(torch.ones(1)))
    convert_to_coordconv(conv)
    assert conv.qconfig == "8 bits" and conv.weight.no_weight_decay
    assert not conv.training and {*conv.state_dict()} == {
        *("weight", "bias", "scale", "gain")
    }


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("plain", [nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d])
def test_memory_formats_dtypes_and_shared_memory_are_kept(plain, kernel):
    layout = torch.channels_last_3d if plain is nn.Conv3d else torch.channels_last
    like = plain(5, 4, kernel, dtype=torch.bfloat16)
    for layer in (copy.deepcopy(like).to(memory_format=layout), like):
        channels_last = layer.weight.stride(1) == 1 and layer.weight.stride(-1) > 1
        convert_to_coordconv(layer.share_memory(), radius=True)
        strides = torch.empty(layer.weight.shape, device="meta")
        if channels_last:
            strides = strides.to(memory_format=layout)
        assert layer.weight.stride() == strides.stride()
        assert layer.weight.dtype == torch.bfloat16 and layer.weight.is_shared()


def test_gradients_get_zeros_for_the_coordinates():
    conv, x = nn.Conv2d(1, 2, 3), images(1, 1, 5, 5)
    conv(x).square().sum().backward()
    grad = conv.weight.grad
    convert_to_coordconv(conv)
    assert torch.equal(conv.weight.grad[:, :1], grad)
    assert not conv.weight.grad[:, 1:].any()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_graph_from_before_does_not_disturb_the_training_after(channels):
    """It holds the node that adds to the gradient, in the shape of before."""
    conv, x = nn.Conv2d(channels, 2, 3), images(1, channels, 5, 5)
    loss = conv(x).square().sum()
    loss.backward()
    convert_to_coordconv(conv).zero_grad()
    twin, seen = pickle.loads(pickle.dumps(conv)), []
    conv.weight.register_hook(lambda grad: seen.append(grad))
    for layer in (conv, twin):
        layer(x).square().sum().backward()
    assert torch.equal(conv.weight.grad, twin.weight.grad)
    assert torch.equal(seen[0], twin.weight.grad)
    assert loss.grad_fn is not None


def test_an_optimizer_from_before_trains_the_coordinates_as_well():
    conv = nn.Conv2d(1, 2, 3)
    optimizer = torch.optim.SGD(conv.parameters(), lr=0.1)
    convert_to_coordconv(conv)
    conv(images(1, 1, 5, 5)).square().sum().backward()
    optimizer.step()
    assert conv.weight[:, 1:].any()


@pytest.mark.parametrize("plain", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize("groups", [1, 2])
def test_tied_weights_stay_tied(plain, groups):
    model = nn.Sequential(*(plain(4, 4, 3, padding=1, groups=groups) for _ in "ab"))
    model[1].weight = model[0].weight
    x = images(1, 4, 5, 5)
    expected = model(x)
    convert_to_coordconv(model)
    assert model[0].weight is model[1].weight
    torch.testing.assert_close(model(x), expected)
    assert len([*model.parameters()]) == 3


def tied(one: nn.Module, other: nn.Module, weight: Any = None) -> nn.Module:
    other.weight = one.weight if weight is None else weight
    return nn.Sequential(one, other)


SHARED = {
    "a transposed twin": lambda: tied(nn.Conv2d(4, 4, 3), nn.ConvTranspose2d(4, 4, 3)),
    "other groups": lambda: tied(
        nn.ConvTranspose2d(4, 4, 3, groups=2), nn.ConvTranspose2d(4, 2, 3)
    ),
    "no convolution": lambda: tied(nn.Conv1d(4, 4, 1), nn.Linear(4, 4)),
    "a class that is left alone": lambda: tied(
        nn.Conv2d(4, 4, 3), StandardizedConv2d(4, 4, 3)
    ),
    "shared memory only": lambda: tied(
        one := nn.Conv2d(4, 4, 3),
        nn.ConvTranspose2d(4, 4, 3),
        nn.Parameter(one.weight.detach().transpose(0, 1)),
    ),
}


@pytest.mark.parametrize("case", SHARED)
def test_a_weight_that_is_shared_with_something_unchanged_is_refused(case):
    model = SHARED[case]()
    before = {name: p.shape for name, p in model.named_parameters()}
    with pytest.raises(ValueError, match=r"layer '\d' .* is shared with '\d.weight'"):
        convert_to_coordconv(model)
    with pytest.raises(ValueError, match="is shared with"):
        convert_to_coordconv(model, first=True)
    assert before == {name: p.shape for name, p in model.named_parameters()}
    assert not any(isinstance(each, CoordConv2d) for each in model)


class StandardizedConv2d(nn.Conv2d):
    """As in BiT: the weight of every output has the mean 0 and the variance 1."""

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        return self._conv_forward(x, (self.weight - mean) / variance.sqrt(), self.bias)


def test_subclasses_are_left_alone_by_name_and_never_passed_over_as_the_first():
    model = nn.Sequential(StandardizedConv2d(1, 4, 3), nn.Conv2d(4, 4, 3))
    with pytest.raises(ValueError, match="first convolution .* StandardizedConv2d '0'"):
        convert_to_coordconv(model, first=True)
    with pytest.warns(UserWarning, match="left as it was: StandardizedConv2d '0'$"):
        convert_to_coordconv(model)
    assert [type(each) for each in model] == [StandardizedConv2d, CoordConv2d]
    with pytest.raises(ValueError, match="first convolution .* CoordConv2d '0'"):
        convert_to_coordconv(nn.Sequential(model[1], nn.Conv2d(4, 4, 3)), first=True)


def with_own_forward() -> nn.Module:
    conv = nn.Conv2d(4, 4, 3)
    conv.forward = lambda x: 2 * nn.Conv2d.forward(conv, x)
    return conv


REFUSED = {
    "lazy": (lambda: nn.LazyConv2d(4, 3), "lazy"),
    "weight_norm": (lambda: weight_norm(nn.Conv2d(4, 4, 3)), "parametrized"),
    "spectral_norm": (lambda: spectral_norm(nn.Conv2d(4, 4, 3)), "parametrized"),
    "old spectral_norm": (
        lambda: nn.utils.spectral_norm(nn.Conv2d(4, 4, 3)),
        "normalized",
    ),
    "parametrized bias": (
        lambda: parametrize.register_parametrization(
            nn.Conv2d(4, 4, 3), "bias", nn.ReLU()
        ),
        "parametrized",
    ),
    "pruned": (
        lambda: prune.l1_unstructured(nn.Conv2d(4, 4, 3), "weight", 0.5),
        "pruned",
    ),
    "complex": (lambda: nn.Conv2d(4, 4, 3, dtype=torch.complex64), "complex64"),
    "forward replaced": (with_own_forward, "forward of its own"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_wider_weight_would_not_do_for_is_refused_and_nothing_is_changed(case):
    make, word = REFUSED[case]
    model = nn.Sequential(nn.Conv2d(4, 4, 3), make())
    with pytest.raises(ValueError, match=f"^module's layer '1' can't be .*{word}"):
        convert_to_coordconv(model)
    assert type(model[0]) is nn.Conv2d and model[0].weight.shape == (4, 4, 3, 3)
    with pytest.raises(ValueError, match=f"^module can't be converted: .*{word}"):
        convert_to_coordconv(model[1])
    with pytest.raises(ValueError, match=f"^layer can't be converted: .*{word}"):
        CoordConv2d.from_convolution(model[1])


def test_normalization_can_be_applied_again_after_a_conversion():
    conv, x = nn.Conv2d(4, 4, 3), images(1, 4, 5, 5)
    coord = weight_norm(CoordConv2d.from_convolution(conv))
    torch.testing.assert_close(coord(x), weight_norm(conv)(x))
    with pytest.raises(ValueError, match="^layer can't be converted: .*parametrized"):
        coord.to_convolution()


def test_a_model_inside_distributed_data_parallel_is_refused():
    class Wrapped(nn.parallel.DistributedDataParallel):
        def __init__(self, module):  # no processes
            nn.Module.__init__(self)
            self.module = module

    with pytest.raises(ValueError, match="before DistributedDataParallel"):
        convert_to_coordconv(Wrapped(nn.Conv2d(1, 2, 3)))


def test_a_model_converted_in_an_evaluation_can_be_trained():
    layer = nn.Conv2d(1, 2, 3)
    with torch.inference_mode():
        convert_to_coordconv(layer)
    layer(images(1, 1, 5, 5)).sum().backward()
    assert layer.weight.grad[:, 1:].any()


def test_models_on_the_meta_device_are_converted():
    model = convert_to_coordconv(nn.Conv2d(3, 4, 3, device="meta"))
    assert model.weight.shape == (4, 5, 3, 3) and model.weight.is_meta


# ------------------------------------------------------------- models as others write


class UNet(nn.Module):
    """One level of it: down, up again, and around."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.down = nn.Conv2d(4, 8, 2, stride=2)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.decode = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        around = self.encode(x)
        up = self.up(self.down(around).relu(), output_size=around.shape[2:])
        return self.decode(torch.cat([around, up], dim=1))


class LowRankAdapter(nn.Module):
    """As in LoRA: a frozen convolution, and a small one beside it that starts at 0."""

    def __init__(self, base: nn.Conv2d) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Conv2d(base.in_channels, 2, base.kernel_size, bias=False)
        self.b = nn.Conv2d(2, base.out_channels, 1, bias=False)
        nn.init.zeros_(self.b.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.b(self.a(x))


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


def compiled_in_place() -> nn.Module:
    model = small()
    model[0].compile(backend="eager")
    return model


def with_stubs() -> nn.Module:
    stubs = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
    return nn.Sequential(stubs[0], *small(), stubs[1])


def as_one_vector() -> nn.Module:
    """Every parameter is a view of one vector, as evolution strategies have it."""
    model = small()
    vector = nn.utils.parameters_to_vector(model.parameters())
    nn.utils.vector_to_parameters(vector, model.parameters())
    return model


def from_torchvision(name: str) -> nn.Module:
    return getattr(pytest.importorskip("torchvision").models, name)()


WILD = {
    "UNet": UNet,
    "ResNet": lambda: from_torchvision("resnet18"),
    "MobileNet": lambda: from_torchvision("mobilenet_v3_small"),
    "low-rank adapter": lambda: LowRankAdapter(nn.Conv2d(3, 4, 3)),
    "moving average": lambda: torch.optim.swa_utils.AveragedModel(small()),
    "DataParallel": lambda: nn.DataParallel(small()),
    "traced by fx": lambda: torch.fx.symbolic_trace(small()),
    "compiled in place": compiled_in_place,
    "quantization stubs": with_stubs,
    "one vector": as_one_vector,
}


@pytest.mark.parametrize("case", WILD)
def test_models_as_others_write_them_stay_the_same_function(case):
    model = WILD[case]().eval().to(memory_format=torch.channels_last)
    x = images(2, 3, 32, 32)
    expected = model(x)
    flags = [p.requires_grad for p in model.parameters()]
    plain = sum(isinstance(each, nn.Conv2d) for each in model.modules())
    convert_to_coordconv(model)
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)
    assert flags == [p.requires_grad for p in model.parameters()]
    assert plain == sum(isinstance(each, CoordConv2d) for each in model.modules())


def test_a_layer_is_fused_with_its_batch_normalization():
    layer, norm = CoordConv2d(3, 4, 3).eval(), nn.BatchNorm2d(4).eval()
    nn.init.uniform_(norm.running_mean)
    x = images(1, 3, 6, 6)
    fused = fuse_conv_bn_eval(layer, norm)
    torch.testing.assert_close(fused(x), norm(layer(x)))


def test_a_state_without_coordinates_does_not_load():
    plain = nn.Conv2d(3, 4, 3)
    state = copy.deepcopy(plain.state_dict())
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        convert_to_coordconv(plain).load_state_dict(state)


# ------------------------------------------------------------------ what it is all for


def test_a_convolution_can_not_tell_locations_apart_and_coordconv_can():
    """Circular padding makes a convolution exactly equivariant; then moving the image
    moves the features, and a global maximum is the same for every location."""
    square = torch.zeros(1, 1, 12, 12)
    square[..., 2:5, 3:6] = 1
    moved = square.roll((4, 5), dims=(2, 3))
    plain = nn.Conv2d(1, 8, 3, padding=1, padding_mode="circular")
    coord = CoordConv2d(1, 8, 3, padding=1, padding_mode="circular")
    for layer, same in ((plain, True), (coord, False)):
        pooled = [layer(x).amax(dim=(2, 3)) for x in (square, moved)]
        assert torch.allclose(*pooled, atol=1e-6) is same
