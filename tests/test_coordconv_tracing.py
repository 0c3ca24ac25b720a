"""CoordConv under PyTorch's tracers, compilers, exporters and transforms.

Every layer and `add_coordinates`, with and without their options, in each of them, and
then on images of other sizes than it was made with.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from stn_tutorial.coordconv import (
    CoordConv1d,
    CoordConv2d,
    CoordConv3d,
    CoordConvTranspose2d,
    add_coordinates,
    convert_to_coordconv,
)

OPTIONS = {"plain": {}, "every": {"radius": True, "align_corners": True}}


class AddCoordinates(nn.Module):
    """The function as a module."""

    def __init__(self, **options: bool) -> None:
        super().__init__()
        self.options = options

    def forward(self, input: Tensor) -> Tensor:
        return add_coordinates(input, **self.options)


class GrowsTo(CoordConvTranspose2d):
    """A transposed layer that chooses the larger of its two possible sizes."""

    def forward(self, input: Tensor) -> Tensor:
        height, width = input.shape[2:]
        return super().forward(input, output_size=(2 * height + 2, 2 * width + 2))


def layer(kind: type[nn.Module], **fixed) -> Callable[..., nn.Module]:
    return lambda **options: kind(4, 6, 3, **fixed, **options)


#: What is made with options, and the sizes of images it is made with and used on.
CASES = {
    "add_coordinates": (AddCoordinates, (6, 9), (7, 4)),
    "CoordConv1d": (layer(CoordConv1d), (9,), (6,)),
    "CoordConv2d": (layer(CoordConv2d), (6, 9), (7, 4)),
    "CoordConv2d groups": (layer(CoordConv2d, groups=2), (6, 9), (7, 4)),
    "CoordConv2d reflect": (
        layer(CoordConv2d, padding=1, padding_mode="reflect"),
        *((6, 9), (7, 4)),
    ),
    "CoordConv3d": (layer(CoordConv3d), (5, 6, 4), (5, 4, 7)),
    "CoordConvTranspose2d": (layer(CoordConvTranspose2d), (6, 9), (7, 4)),
    "output_size": (layer(GrowsTo, stride=2), (6, 9), (7, 4)),
}


@pytest.fixture(params=OPTIONS)
def options(request) -> dict:
    return OPTIONS[request.param]


@pytest.fixture(params=CASES)
def case(request, options) -> tuple[nn.Module, Tensor, Tensor]:
    """A module, images to make something of it with, and images of another size."""
    make, size, other = CASES[request.param]
    torch.manual_seed(0)
    module = make(**options).eval()
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(5, 4, *size, generator=generator)
    return module, x, torch.rand(4, 4, *other, generator=generator)


def any_size(x: Tensor, prefix: str = "") -> dict[int, torch.export.Dim]:
    names = ["batch", "a", "b", "c"]
    axes = [0, *range(2, x.ndim)]
    # PyTorch's own convolution has another rule where its output has one pixel.
    return {
        axis: torch.export.Dim(prefix + name, min=4, max=4096)
        for axis, name in zip(axes, names)
    }


def test_a_trace_follows_every_size(case):
    module, x, other = case
    if isinstance(module, GrowsTo):
        pytest.skip("PyTorch's own layer compares an output size while it is traced")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.trace.* is deprecated")
        warnings.filterwarnings("error", category=torch.jit.TracerWarning)
        traced = torch.jit.trace(module, (x,))
    for each in (x, other):
        torch.testing.assert_close(traced(each), module(each))


def test_an_export_follows_every_size(case):
    module, x, other = case
    program = torch.export.export(module, (x,), dynamic_shapes=(any_size(x),))
    for each in (x, other):
        torch.testing.assert_close(program.module()(each), module(each))


def test_a_compiled_module_is_one_graph_for_every_size(case):
    module, x, other = case
    torch.compiler.reset()
    compiled = torch.compile(module, backend="eager", fullgraph=True, dynamic=True)
    for each in (x, other):
        torch.testing.assert_close(compiled(each), module(each))


def test_the_meta_device_knows_the_shape(case):
    module, x, _ = case
    expected = module(x).shape
    assert module.to("meta")(x.to("meta")).shape == expected


def test_gradients_for_each_image_are_those_of_its_own_batch(case):
    module, x, _ = case
    parameters = dict(module.named_parameters())

    def loss(parameters: dict[str, Tensor], image: Tensor) -> Tensor:
        return functional_call(module, parameters, (image[None],)).square().sum()

    found = vmap(grad(loss, argnums=(0, 1)), in_dims=(None, 0))(parameters, x)
    for k in range(len(x)):
        image = x[k : k + 1].clone().requires_grad_()
        total = module(image).square().sum()
        expected = torch.autograd.grad(total, [image, *parameters.values()])
        got = [found[1][k : k + 1], *(each[k] for each in found[0].values())]
        torch.testing.assert_close(got, [*expected], rtol=1e-4, atol=1e-4)


def test_several_models_run_as_one(case):
    """`torch.func.stack_module_state` makes an ensemble of them."""
    module, x, _ = case
    parameters = {
        name: torch.stack([p, 2 * p]) for name, p in module.named_parameters()
    }
    if not parameters:
        pytest.skip("a function has no state to stack")
    run = vmap(lambda p: functional_call(module, p, (x,)))
    torch.testing.assert_close(run(parameters)[0], module(x), rtol=1e-4, atol=1e-5)


def test_vmap_takes_images_whose_channels_are_last_in_memory(case):
    module, x, _ = case
    last = x.movedim(1, -1).contiguous().movedim(-1, 1)
    got = vmap(lambda image: module(image[None])[0])(last)
    torch.testing.assert_close(got, module(x))


def test_autocast_computes_in_half_precision(case):
    module, x, _ = case
    with torch.autocast("cpu", torch.bfloat16):
        out = module(x)
    torch.testing.assert_close(out.float(), module(x), rtol=0.05, atol=0.05)
    if parameters := list(module.parameters()):
        assert out.dtype == torch.bfloat16
        out.float().sum().backward()
        assert all(p.grad.dtype == torch.float32 for p in parameters)


class Everything(nn.Module):
    """All cases at once, one input each."""

    def __init__(self, options: dict) -> None:
        super().__init__()
        self.each = nn.ModuleList(make(**options) for make, *_ in CASES.values())

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        return [module(x) for module, x in zip(self.each, inputs)]


def test_onnx_runtime_agrees_for_every_size(tmp_path, options):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    model, path = Everything(options).eval(), tmp_path / "everything.onnx"
    inputs = [
        [torch.rand(n, 4, *sizes[k]) for _, *sizes in CASES.values()]
        for k, n in ((0, 4), (1, 5))
    ]
    names = [f"x{k}" for k in range(len(CASES))]
    torch.onnx.export(
        model,
        tuple(inputs[0]),
        path,
        dynamo=True,
        external_data=False,
        input_names=names,
        dynamic_shapes=(tuple(any_size(x, n) for x, n in zip(inputs[0], names)),),
        verbose=False,
    )
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for each in inputs:
        got = session.run(None, {n: x.numpy() for n, x in zip(names, each)})
        for one, expected in zip(got, model(*each)):
            np.testing.assert_allclose(one, expected.detach(), rtol=1e-5, atol=1e-5)


def test_a_compiled_model_can_be_converted_afterwards():
    torch.compiler.reset()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    x = torch.rand(2, 1, 6, 5)
    expected = compiled(x)
    convert_to_coordconv(compiled)
    torch.testing.assert_close(compiled(x), expected)
    with torch.no_grad():
        model[0].weight.add_(1)
    torch.testing.assert_close(compiled(x), model(x))
    assert not torch.allclose(compiled(x), expected)
