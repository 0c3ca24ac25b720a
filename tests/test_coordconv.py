"""CoordConv: exact coordinates for every size, and convolutions where they weigh 0."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stn_tutorial.coordconv import (
    CoordConv1d,
    CoordConv2d,
    CoordConv3d,
    CoordConvTranspose2d,
    add_coordinates,
    convert_to_coordconv,
)

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


# ------------------------------------------------------------------------- coordinates


@sizes
@conventions
def test_the_channels_are_the_pixel_centres_in_the_order_x_y_z_r(size, align_corners):
    x = images(2, 3, *size)
    out = add_coordinates(x, radius=True, align_corners=align_corners)
    assert out.shape == (2, 3 + len(size) + 1, *size)
    assert torch.equal(out[:, :3], x)
    for place in np.ndindex(*size):
        rows_first = [
            centre(i, n, align_corners) for i, n in zip(place, size, strict=True)
        ]
        expected = [*rows_first[::-1], math.hypot(*rows_first)]
        for image in range(2):
            got = out[(image, slice(3, None), *place)]
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


def test_what_is_kept_from_an_evaluation_does_for_training():
    x = images(2, 3, 11, 13)
    with torch.inference_mode():
        add_coordinates(x)
    layer = CoordConv2d(3, 4, 3)
    layer(x.requires_grad_()).sum().backward()
    assert x.grad.isfinite().all() and layer.weight.grad.isfinite().all()


def test_many_sizes_are_not_all_kept():
    from stn_tutorial import coordconv

    for n in range(1, 100):
        add_coordinates(images(1, 1, n))
    assert len(coordconv._cache) <= coordconv._KEPT
    assert add_coordinates(images(1, 1, 2))[0, 1].tolist() == [-0.5, 0.5]


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(2, 3), ValueError, r"^x must be \(N, C, \*spatial\), got \(2, 3"),
        (torch.zeros(1, 1, 1, 1, 1, 1), ValueError, "^x must be"),
        (torch.zeros(1, 1, 4, dtype=torch.int64), TypeError, "^x must be floating"),
    ],
)
def test_what_is_no_batch_of_images_is_named(x, error, message):
    with pytest.raises(error, match=message):
        add_coordinates(x)


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
    places = {k: v for k, v in option.items() if k in keys}
    rest = {k: v for k, v in option.items() if k not in (*keys, "groups")}
    groups = option.get("groups", 1)
    parts = []
    for k, part in enumerate(x.chunk(groups, dim=1)):
        whole = add_coordinates(part, **places)
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
def test_one_layer_reads_every_size(layer):
    coord = random_layer(layer, {"padding": 1})
    for n in (3, 4, 10):
        size = [n, *LAYERS[layer][1][1:]]
        assert coord(images(1, 4, *size)).isfinite().all()


@layers
@options
def test_a_single_image_is_a_batch_of_one(layer, option):
    coord = random_layer(layer, option)
    x = images(1, 4, *LAYERS[layer][1])
    torch.testing.assert_close(coord(x[0]), coord(x)[0])


def test_a_transposed_layer_takes_an_output_size():
    layer = CoordConvTranspose2d(4, 2, 3, stride=2)
    assert layer(images(1, 4, 5, 6), [12, 14]).shape == (1, 2, 12, 14)


def test_a_layer_prints_as_what_it_is():
    text = repr(CoordConv2d(3, 8, kernel_size=(1, 2), radius=True))
    assert text == (
        "CoordConv2d(3, 8, kernel_size=(1, 2), stride=(1, 1), radius=True, "
        "align_corners=False)"
    )


@layers
def test_a_shape_that_does_not_fit_is_named(layer):
    coord = random_layer(layer, {})
    size = LAYERS[layer][1]
    for x in (images(2, 5, *size), images(2, 4, *size, 3), images(4)):
        with pytest.raises(ValueError, match=r"^x must be \(N, 4"):
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
    places = {k: v for k, v in option.items() if k in ("radius", "align_corners")}
    rest = {k: v for k, v in option.items() if k not in places}
    convolution = plain(4, 6, 3, **rest).eval()
    coord = layer.from_convolution(convolution, **places)
    x = images(2, 4, *size)
    torch.testing.assert_close(coord(x), convolution(x), rtol=1e-5, atol=1e-6)
    assert not coord.training
    back = coord.to_convolution()
    assert type(back) is plain and repr(back) == repr(convolution)
    for name, value in convolution.state_dict().items():
        assert torch.equal(back.state_dict()[name], value)


@layers
def test_a_layer_that_knows_places_is_no_convolution(layer):
    coord = random_layer(layer, {})
    with pytest.raises(ValueError, match="^coordinate weights must be zero"):
        coord.to_convolution()
    with pytest.raises(TypeError, match="^layer must be a Conv"):
        layer.from_convolution(coord)


def network() -> nn.Module:
    shared = nn.Conv2d(4, 4, 3, padding=1)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()),
        *(shared, nn.ReLU(), shared),
        nn.ConvTranspose2d(4, 2, 3),
        *(nn.Flatten(), nn.LazyLinear(10)),
    )


def test_a_converted_model_is_the_same_function_and_can_learn_places():
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


def test_a_convolution_alone_is_converted_to_a_new_layer():
    convolution = nn.Conv1d(2, 3, 3)
    converted = convert_to_coordconv(convolution)
    assert type(converted) is CoordConv1d and type(convolution) is nn.Conv1d


def test_there_must_be_something_to_convert():
    for module in (nn.Linear(2, 2), CoordConv2d(1, 2, 3)):
        with pytest.raises(ValueError, match="^module must hold a convolution"):
            convert_to_coordconv(module)


# ------------------------------------------------------------- as others use it


@layers
def test_a_layer_compiles_to_one_graph(layer):
    torch.compiler.reset()
    coord = random_layer(layer, {"radius": True})
    compiled = torch.compile(coord, backend="aot_eager", fullgraph=True)
    x = images(2, 4, *LAYERS[layer][1])
    for _ in range(2):  # with and without what eager calls keep
        torch.testing.assert_close(compiled(x), coord(x))


@layers
def test_a_layer_is_exported_for_every_batch_size(layer):
    coord = random_layer(layer, {"radius": True}).eval()
    size = LAYERS[layer][1]
    batch = ({0: torch.export.Dim("batch", max=2**31 - 1)},)
    program = torch.export.export(coord, (images(3, 4, *size),), dynamic_shapes=batch)
    for n in (1, 5):
        x = images(n, 4, *size)
        torch.testing.assert_close(program.module()(x), coord(x))


def test_onnx_runtime_agrees(tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = nn.Sequential(
        CoordConv2d(1, 4, 3, padding=1, radius=True),
        nn.ReLU(),
        CoordConvTranspose2d(4, 2, 2, stride=2),
    ).eval()
    path, x = tmp_path / "coordconv.onnx", images(2, 1, 6, 9)
    torch.onnx.export(model, (x,), path, dynamo=True, input_names=["x"], verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"x": x.numpy()})
    np.testing.assert_allclose(got, model(x).detach().numpy(), rtol=0, atol=1e-5)


@layers
def test_autocast_computes_in_half_precision(layer):
    coord = random_layer(layer, {"radius": True})
    x = images(2, 4, *LAYERS[layer][1])
    with torch.autocast("cpu", torch.bfloat16):
        out = coord(x)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), coord(x), rtol=0.05, atol=0.05)
    out.float().sum().backward()
    assert coord.weight.grad.dtype == torch.float32


def test_channels_last_goes_through():
    coord = CoordConv2d(3, 4, 3, padding=1).to(memory_format=torch.channels_last)
    x = images(2, 3, 6, 7)
    out = coord(x.to(memory_format=torch.channels_last))
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, coord(x))


# ------------------------------------------------------------------ what it is all for


def test_a_convolution_can_not_tell_places_and_coordconv_can():
    """Circular padding makes a convolution exactly equivariant; then moving the image
    moves the features, and a global maximum is the same for every place."""
    square = torch.zeros(1, 1, 12, 12)
    square[..., 2:5, 3:6] = 1
    moved = square.roll((4, 5), dims=(2, 3))
    plain = nn.Conv2d(1, 8, 3, padding=1, padding_mode="circular")
    coord = CoordConv2d(1, 8, 3, padding=1, padding_mode="circular")
    for layer, same in ((plain, True), (coord, False)):
        pooled = [layer(x).amax(dim=(2, 3)) for x in (square, moved)]
        assert torch.allclose(*pooled, atol=1e-6) is same
