"""CoordConv under PyTorch's tracers, compilers, exporters and transforms.

Every layer and `add_coordinates`, with and without their options, in each of them, and
then on images of other sizes than it was made with.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

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

EVERY = {"radius": True, "align_corners": True}


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


#: What is made with which options, for images of how many axes of space.
CASES = {
    "add_coordinates": (AddCoordinates, 2, {}),
    "add_coordinates, every": (AddCoordinates, 2, EVERY),
    "1d": (CoordConv1d, 1, EVERY),
    "2d": (CoordConv2d, 2, {}),
    "2d, groups": (CoordConv2d, 2, {"groups": 2, **EVERY}),
    "2d, reflect": (
        *(CoordConv2d, 2),
        {"padding": 1, "padding_mode": "reflect", **EVERY},
    ),
    "3d": (CoordConv3d, 3, EVERY),
    "transposed": (CoordConvTranspose2d, 2, EVERY),
    "output_size": (GrowsTo, 2, {"stride": 2, **EVERY}),
}
# The sizes that something is made with, and others.
SIZE, OTHER = (6, 9, 4), (7, 4, 5)


def make(name: str) -> nn.Module:
    kind, _, options = CASES[name]
    sizes = () if kind is AddCoordinates else (4, 6, 3)
    return kind(*sizes, **options).eval()


@pytest.fixture(params=CASES)
def case(request) -> tuple[nn.Module, Tensor, Tensor]:
    """A module, images to make something of it with, and images of another size."""
    _, ndim, _ = CASES[request.param]
    torch.manual_seed(0)
    module = make(request.param)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(5, 4, *SIZE[:ndim], generator=generator)
    return module, x, torch.rand(4, 4, *OTHER[:ndim], generator=generator)


def any_size(x: Tensor) -> dict[int, torch.export.Dim]:
    axes = {0: "batch", **dict(zip(range(2, x.ndim), "abc"))}
    # PyTorch's own convolution has another rule where its output has one pixel.
    return {
        axis: torch.export.Dim(name, min=4, max=4096) for axis, name in axes.items()
    }


# While it is traced, PyTorch's own transposed layer compares an output size.
@pytest.mark.parametrize(
    "case", [one for one in CASES if one != "output_size"], indirect=True
)
def test_a_trace_follows_every_size(case):
    module, x, other = case
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.trace.* is deprecated")
        warnings.filterwarnings("error", category=torch.jit.TracerWarning)
        traced = torch.jit.trace(module, (x,))
    for each in (x, other):
        torch.testing.assert_close(traced(each), module(each))


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


@pytest.mark.parametrize(
    "case", [one for one in CASES if "add_coordinates" not in one], indirect=True
)
def test_several_models_run_as_one(case):
    """`torch.func.stack_module_state` makes an ensemble of them."""
    module, x, _ = case
    parameters = {
        name: torch.stack([p, 2 * p]) for name, p in module.named_parameters()
    }
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


class Together(nn.Module):
    """Several cases in one graph, one input each: capturing a graph takes a while."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.names = list(names)
        self.layers = nn.ModuleList(make(name) for name in self.names)
        self.eval()

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        return [layer(x) for layer, x in zip(self.layers, inputs)]

    def inputs(self, n: int, size: tuple[int, ...]) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(n)
        shapes = [(n, 4, *size[: CASES[name][1]]) for name in self.names]
        return tuple(torch.rand(shape, generator=generator) for shape in shapes)

    def assert_same(self, captured: Callable[..., list[Tensor]]) -> None:
        """Compare the outputs, case by case, for the sizes above and for others."""
        for each in (self.inputs(5, SIZE), self.inputs(4, OTHER)):
            results = zip(self.names, captured(*each), self(*each), strict=True)
            for name, got, expected in results:
                torch.testing.assert_close(
                    got, expected, msg=lambda text, name=name: f"{name}: {text}"
                )


def test_an_export_follows_every_size():
    together = Together(CASES)
    inputs = together.inputs(5, SIZE)
    shapes = (tuple(any_size(x) for x in inputs),)
    together.assert_same(
        torch.export.export(together, inputs, dynamic_shapes=shapes).module()
    )


def test_what_is_compiled_is_one_graph_for_every_size():
    together = Together(CASES)
    torch.compiler.reset()
    together.assert_same(
        torch.compile(together, backend="eager", fullgraph=True, dynamic=True)
    )


@pytest.mark.filterwarnings("ignore:# The axis name")  # that two inputs share it
def test_onnx_runtime_agrees_for_every_size(tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = Together(("1d", "2d, groups", "3d", "transposed"))
    path = tmp_path / "layers.onnx"
    inputs = [model.inputs(5, SIZE), model.inputs(4, OTHER)]
    names = [f"x{k}" for k in range(len(model.layers))]
    torch.onnx.export(
        model,
        inputs[0],
        path,
        dynamo=True,
        external_data=False,
        optimize=False,  # takes long, and changes what is computed in nothing
        input_names=names,
        dynamic_shapes=(tuple(any_size(x) for x in inputs[0]),),
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
