"""What the sampler does in eager PyTorch, it does under every transformation of code.

A *subject* is a function of tensors in many settings, its rows; a *way* is something
that PyTorch does to a function: differentiate, batch, trace, compile, export it. The
tests cross them, and the oracle is always the eager function. Whoever adds a subject
adds an entry to `SUBJECTS`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from stn_tutorial import (
    Affine,
    Affine3d,
    Attention,
    Crop,
    Family,
    Projective,
    Rigid3d,
    Similarity,
    Similarity3d,
    SpatialTransformer,
    ThinPlateSpline,
    Translation,
    base_grid,
    convert,
    homography,
    rotation,
    sample,
    theta_from_pixels,
    theta_to_pixels,
    warp,
)


class Subject(NamedTuple):
    """A function in many settings, and what it is called with."""

    rows: dict[str, nn.Module]  # each returns one tensor
    inputs: tuple[Tensor, ...]  # float32; a compiler takes equal sizes for one
    larger: tuple[Tensor, ...]  # other sizes along the open dimensions
    open_dims: tuple[dict[int, str], ...]  # of each input, by name
    covering: tuple[str, ...]  # rows enough for what is derived twice
    captured: tuple[nn.Module, ...]  # what is enough where capturing costs seconds
    long: tuple[nn.Module, ...] = ()  # captured in the long form, as are covering rows
    no_forward_mode: tuple[str, ...] = ()  # rows that PyTorch can't differentiate so
    onnx: bool = True  # whether PyTorch has every operation in ONNX


class Predict(nn.Module):
    """A localization network without weights, for images of any size."""

    def __init__(self, family: Family) -> None:
        super().__init__()
        self.family = family

    def forward(self, image: Tensor) -> Tensor:
        mean = image.flatten(1).mean(dim=1)[:, None]
        return self.family.identity().to(image) + (mean - 0.5) / 5


class Warps(nn.Module):
    """What is done with the parameters of a family, which lie near the identity."""

    def __init__(self, family: Family, **options) -> None:
        super().__init__()
        self.family, self.options = family, options
        network = Predict(family)
        self.transformer = SpatialTransformer(network, family, **options)

    def params(self, noise: Tensor) -> Tensor:
        start = self.family.identity().to(noise)
        return start + noise[:, : len(start)] / 9

    def forward(self, image: Tensor, noise: Tensor) -> Tensor:
        return warp(image, self.params(noise), family=self.family, **self.options)


class Transforms(Warps):
    """A transformer, by what it predicts and by given parameters."""

    def forward(self, image: Tensor, noise: Tensor) -> Tensor:
        predicted, given = self.transformer.params(image), self.params(noise)
        warped = self.transformer.warp(image, given + predicted)
        return self.transformer(image) + warped


class Matrices(Warps):
    """Matrices in the parameters' place: composed, undone, converted."""

    def forward(self, image: Tensor, noise: Tensor) -> Tensor:
        matrix = self.family.matrix(self.params(noise))
        half = self.family.compose(matrix, self.family.inverse(matrix[:, :2] / 2))
        affine = convert(half, self.family, Affine())
        return warp(image, affine.unflatten(1, (2, 3)), **self.options)


class Matrices3d(Warps):
    """The same with those of volumes."""

    def forward(self, volume: Tensor, noise: Tensor) -> Tensor:
        matrix = self.family.matrix(self.params(noise))
        both = self.family.compose(matrix, self.family.inverse(matrix[:, :3]))
        both = self.family.compose(both, matrix)
        affine = convert(both, self.family, Affine3d()).unflatten(1, (3, 4))
        theta = theta_to_pixels(affine, volume.shape[2:], volume.shape[2:])
        theta = theta_from_pixels(theta, volume.shape[2:], volume.shape[2:])
        return warp(volume, theta, family=Affine3d(), **self.options)


class Pixels(nn.Module):
    """Rotations and homographies in pixels, as thetas for the size of the image."""

    def __init__(self, **options) -> None:
        super().__init__()
        self.options = options

    def forward(self, image: Tensor, noise: Tensor) -> Tensor:
        size = image.shape[-2:]
        turn = rotation(noise[:, 0], 1 + noise[:, 1] / 9, noise[:, 2:4])
        theta = theta_from_pixels(turn, size, size)
        back = theta_to_pixels(theta, size, size) - turn
        square = base_grid((2, 2)).to(noise).flatten(0, 1)[[0, 1, 3, 2]]
        view = homography(square, square + noise[:, :8].unflatten(1, (4, 2)) / 9)
        return warp(image, view, family=Projective(), **self.options) + back.sum()


class Sample(nn.Module):
    """`sample` with its options, as a module."""

    def __init__(self, **options) -> None:
        super().__init__()
        self.options = options

    def forward(self, image: Tensor, grid: Tensor) -> Tensor:
        return sample(image, grid, **self.options)


def name_of(options: dict) -> str:
    kinds = {"fill": type(options["fill"]).__name__}
    words = {**options, **kinds} if options["fill"] else options
    return "-".join(str(words[key]) for key in OPTIONS)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


OPTIONS = {
    "backend": ("native", "manual"),
    "interpolation": ("nearest", "bilinear", "bicubic"),
    "padding": ("zeros", "border", "reflection"),
    "fill": (0.0, -3.0, [0.1, 0.2, 0.3]),
    "align_corners": (False, True),
    "antialias": (False, 2, True),
}
OUTSIDE = (
    ("zeros", 0.0),
    ("zeros", -3.0),
    ("zeros", [0.1, 0.2, 0.3]),
    ("border", 0.0),
    ("reflection", 0.0),
)


def settings() -> Iterator[dict]:
    """What reads, times what lies outside, the other options in turn."""
    read = itertools.product(OPTIONS["backend"], OPTIONS["interpolation"])
    for i, (backend, interpolation) in enumerate(read):
        for j, (padding, fill) in enumerate(OUTSIDE):
            corners, antialias = bool((i + j // 2) % 2), (False, 2, True)[(i + j) % 3]
            values = (backend, interpolation, padding, fill, corners, antialias)
            yield dict(zip(OPTIONS, values))


def covering(rows: list[dict]) -> tuple[str, ...]:
    """A few rows with each interpolation of each backend, and all other values."""

    def new(row: dict) -> set:
        return {(row["backend"], row["interpolation"]), *map(str, row.items())} - seen

    chosen, seen = [], set()
    while new(best := max(rows, key=lambda row: len(new(row)))):
        chosen.append(best)
        seen |= new(best)
    return tuple(map(name_of, chosen))


SETTINGS = list(settings())
ROWS = {name_of(options): Sample(**options) for options in SETTINGS}
FAMILIES = [
    *(Translation(), Crop(), Attention(), Similarity(), Similarity(aspect=1.5)),
    *(Affine(), Projective(), ThinPlateSpline((3, 3))),
]
WARPS = {
    **{f"warp {each!r}": Warps(each, backend="manual") for each in FAMILIES},
    **{f"module {each!r}": Transforms(each, backend="manual") for each in FAMILIES},
    "warp, centres": Warps(Similarity(), align_corners=True, backend="manual"),
    "warp, native": Warps(Affine(), padding="border"),
    "module, native": Transforms(Projective(), fill=[0.1, 0.2], align_corners=True),
}
MATRICES = {
    "affine": Matrices(Affine(), backend="manual"),
    "similar": Matrices(Similarity(aspect=1.5), backend="manual"),
    "pixels": Pixels(backend="manual"),
}
WARPS_3D = {
    "warp": Warps(Affine3d(), backend="manual"),
    "module": Transforms(Rigid3d(), backend="manual", padding="border"),
    "matrices": Matrices3d(Similarity3d(aspect=(1.5, 0.5)), backend="manual"),
}
SETTINGS_3D = [
    dict(zip(OPTIONS, values))
    for values in (
        ("native", "bilinear", "zeros", -3.0, False, False),
        ("manual", "bilinear", "zeros", [0.1, 0.2, 0.3], True, False),
        ("manual", "nearest", "zeros", -3.0, False, False),
        ("manual", "bilinear", "border", 0.0, False, 2),
    )
]
ROWS_3D = {name_of(options): Sample(**options) for options in SETTINGS_3D}
BATCHES = ({0: "n", 2: "h", 3: "w"}, {0: "n"})
BATCHES_3D = ({0: "n", 2: "d", 3: "h", 4: "w"}, {0: "n"})
SUBJECTS = {
    "warp": Subject(
        rows=WARPS,
        inputs=(random(4, 2, 6, 7), random(4, 18, seed=1) - 0.5),
        larger=(random(5, 2, 8, 11), random(5, 18, seed=1) - 0.5),
        open_dims=BATCHES,
        covering=(
            *(f"warp {each!r}" for each in FAMILIES[-2:]),
            *(f"module {each!r}" for each in FAMILIES[1::4]),
            *("warp, centres", "warp, native", "module, native"),
        ),
        # A family's graph is small where the native kernel samples, in one operation;
        # the manual arithmetic is captured of `sample`. These three hold an angle, a
        # radial basis, a division, a horizon, a network and a fill.
        captured=(
            Warps(Similarity(aspect=1.5)),
            Warps(ThinPlateSpline((3, 3))),
            WARPS["module, native"],
        ),
        long=(*map(Warps, FAMILIES), Transforms(Crop(), padding="border")),
        no_forward_mode=("warp, native", "module, native"),
    ),
    "matrices": Subject(
        rows=MATRICES,
        inputs=(random(4, 2, 6, 7), random(4, 8, seed=1) - 0.5),
        larger=(random(5, 2, 8, 11), random(5, 8, seed=1) - 0.5),
        open_dims=BATCHES,
        covering=tuple(MATRICES),
        captured=(Matrices(Similarity(aspect=1.5)), Pixels()),
        onnx=False,  # it has no inverse of a matrix
    ),
    "sample": Subject(
        rows=ROWS,
        inputs=(random(5, 3, 6, 7), random(5, 4, 8, 2, seed=1) * 2.6 - 1.3),
        larger=(random(4, 3, 9, 8), random(4, 5, 3, 2, seed=1) * 2.6 - 1.3),
        open_dims=({0: "n", 2: "h", 3: "w"}, {0: "n", 1: "rows", 2: "columns"}),
        covering=covering(SETTINGS),
        # Each backend and interpolation, antialiasing, a reflection and a fill.
        captured=(
            ROWS["manual-bicubic-zeros-0.0-True-True"],
            ROWS["manual-nearest-reflection-0.0-True-2"],
            ROWS["native-bilinear-zeros-float-True-True"],
        ),
        no_forward_mode=tuple(name for name in ROWS if name.startswith("native")),
    ),
    "volumes": Subject(
        rows=WARPS_3D,
        inputs=(random(5, 1, 3, 6, 7), random(5, 12, seed=1) - 0.5),
        larger=(random(4, 1, 2, 8, 9), random(4, 12, seed=1) - 0.5),
        open_dims=BATCHES_3D,
        covering=("module", "matrices"),
        captured=(Warps(Affine3d()),),
        onnx=False,  # it has no inverse of a matrix
    ),
    "sample volumes": Subject(
        rows=ROWS_3D,
        inputs=(random(5, 3, 4, 6, 7), random(5, 2, 8, 9, 3, seed=1) * 2.6 - 1.3),
        larger=(random(4, 3, 5, 9, 8), random(4, 6, 3, 2, 3, seed=1) * 2.6 - 1.3),
        open_dims=(
            {0: "n", 2: "d", 3: "h", 4: "w"},
            {0: "n", 1: "layers", 2: "rows", 3: "columns"},
        ),
        covering=tuple(ROWS_3D)[1:3],
        captured=tuple(ROWS_3D.values())[1:2],
        no_forward_mode=tuple(ROWS_3D)[:1],
    ),
}
every_row = pytest.mark.parametrize(
    ("subject", "row"),
    [
        pytest.param(subject, row, id=f"{name}-{row}")
        for name, subject in SUBJECTS.items()
        for row in subject.rows
    ],
)
covering_row = pytest.mark.parametrize(
    ("subject", "row"),
    [
        pytest.param(subject, row, id=f"{name}-{row}")
        for name, subject in SUBJECTS.items()
        for row in subject.covering
    ],
)
captured_modules = pytest.mark.parametrize(
    ("subject", "modules"),
    [
        *(
            pytest.param(each, each.captured, id=name)
            for name, each in SUBJECTS.items()
        ),
        *(
            pytest.param(
                each,
                (*each.long, *(each.rows[row] for row in each.covering)),
                id=f"{name}, all that is covering",
                marks=pytest.mark.long,
            )
            for name, each in SUBJECTS.items()
        ),
    ],
)


class Together(nn.Module):
    """Many modules in one graph, which is captured once."""

    def __init__(self, modules: tuple[nn.Module, ...]) -> None:
        super().__init__()
        self.rows = nn.ModuleList(modules)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(row(*inputs) for row in self.rows)


def smaller(x: Tensor) -> Tensor:
    """A part of one of a batch, small enough for a Hessian."""
    if x.ndim == 5:
        return x[:1, :, :2, :2, :3]
    return x[:1, :3, :3, :3] if x.ndim == 4 else x[:1]


def double(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(x.double() for x in inputs)


def scalar(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A sum whose terms all differ."""

    def summed(*inputs: Tensor) -> Tensor:
        out = function(*inputs)
        weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype)
        return (out.square() * weights.view_as(out)).sum()

    return summed


def autograd(function: Callable[..., Tensor], inputs: tuple) -> tuple[Tensor, ...]:
    inputs = tuple(x.detach().clone().requires_grad_() for x in inputs)
    return torch.autograd.grad(function(*inputs), inputs)


close = torch.testing.assert_close


# ------------------------------------------------------------------------- torch.func


@every_row
def test_func_grad_is_that_of_autograd(subject, row):
    function, inputs = scalar(subject.rows[row]), double(subject.inputs)
    which = tuple(range(len(inputs)))
    got = torch.func.grad(function, argnums=which)(*inputs)
    close(got, autograd(function, inputs))


@every_row
def test_vmap_is_one_call_after_another(subject, row):
    function = subject.rows[row]
    batches = [torch.stack([x, x.flip(0), 0.9 * x]) for x in subject.inputs]
    expected = torch.stack([function(*one) for one in zip(*batches)])
    close(torch.vmap(function)(*batches), expected)


@every_row
def test_one_input_may_be_batched_and_the_others_not(subject, row):
    function = subject.rows[row]
    for k, x in enumerate(subject.inputs):
        inputs, dims = list(subject.inputs), [None] * len(subject.inputs)
        inputs[k], dims[k] = torch.stack([x, x.flip(0)]), 0
        got = torch.vmap(function, in_dims=tuple(dims))(*inputs)
        for one, out in zip(inputs[k], got):
            close(out, function(*inputs[:k], one, *inputs[k + 1 :]))


@covering_row
def test_gradients_for_each_example_by_vmap(subject, row):
    function, inputs = scalar(subject.rows[row]), double(subject.inputs)
    batches = [torch.stack([x, x.flip(0)]) for x in inputs]
    which = tuple(range(len(inputs)))
    got = torch.vmap(torch.func.grad(function, argnums=which))(*batches)
    for k, one in enumerate(zip(*batches)):
        close(tuple(g[k] for g in got), autograd(function, one))


@every_row
def test_jvp_is_the_transpose_of_the_gradient(subject, row):
    function, inputs = scalar(subject.rows[row]), double(subject.inputs)
    if row in subject.no_forward_mode:
        pytest.skip("this kernel of PyTorch has no forward mode")
    tangents = tuple(x.flip(0) - 0.3 for x in inputs)
    _, got = torch.func.jvp(function, inputs, tangents)
    gradients = autograd(function, inputs)
    close(got, sum((g * t).sum() for g, t in zip(gradients, tangents)))


@covering_row
def test_jacobians_and_hessians_are_those_of_autograd(subject, row):
    function, inputs = scalar(subject.rows[row]), double(subject.inputs)
    if row in subject.no_forward_mode:
        pytest.skip("this kernel of PyTorch has no forward mode")
    inputs = tuple(smaller(x) for x in inputs)
    which = tuple(range(len(inputs)))
    expected = torch.autograd.functional.hessian(function, inputs)
    close(torch.func.hessian(function, argnums=which)(*inputs), expected)
    twice = torch.func.jacrev(torch.func.jacrev(function, which), which)
    close(twice(*inputs), expected)


# --------------------------------------------------- meta, trace, compile, export, ONNX


@every_row
def test_on_the_meta_device_it_has_the_shape(subject, row):
    function = subject.rows[row]
    for inputs in (subject.inputs, subject.larger):
        out = function(*[x.to("meta") for x in inputs])
        assert out.is_meta and out.shape == function(*inputs).shape


@every_row
@pytest.mark.filterwarnings("ignore")  # tracing is deprecated, and says what it is
def test_a_trace_serves_every_size(subject, row):
    function = subject.rows[row]
    traced = torch.jit.trace(function, subject.inputs, check_trace=False)
    for inputs in (subject.inputs, subject.larger):
        close(traced(*inputs), function(*inputs))


@captured_modules
def test_compiled_for_every_size_it_has_the_same_values_and_gradients(subject, modules):
    together = Together(modules)
    torch._dynamo.reset()
    # The code is captured in one graph, which PyTorch's own operations then run.
    compiled = torch.compile(together, backend="eager", fullgraph=True, dynamic=True)

    def total(module: nn.Module) -> Callable[..., Tensor]:
        return lambda *inputs: sum(out.square().sum() for out in module(*inputs))

    for inputs in (subject.inputs, subject.larger):
        with torch._dynamo.config.patch(error_on_recompile=inputs is subject.larger):
            got = autograd(total(compiled), inputs)
            values = compiled(*[x.detach().requires_grad_() for x in inputs])
        close(got, autograd(total(together), inputs), rtol=1e-4, atol=1e-4)
        close(values, together(*inputs))


@captured_modules
@pytest.mark.filterwarnings("ignore")
def test_exported_and_in_onnx_runtime_it_has_the_same_values_for_every_size(
    subject, modules, tmp_path
):
    # One test, as ONNX is made of the exported program, which takes long to make.
    words = {word for dims in subject.open_dims for word in dims.values()}
    # Without an end, torch 2.6 guards against its own end, and refuses its guard.
    known = {word: torch.export.Dim(word, min=2, max=2**31 - 1) for word in words}
    shapes = tuple(
        {dim: known[word] for dim, word in dims.items()} for dims in subject.open_dims
    )
    together = Together(modules)
    program = torch.export.export(
        together, subject.inputs, dynamic_shapes={"inputs": shapes}
    )
    sizes = {size: together(*size) for size in (subject.inputs, subject.larger)}
    module = program.module()
    for inputs, expected in sizes.items():
        close(module(*inputs), expected)
    if not subject.onnx:
        return
    sampled = subject is SUBJECTS["sample"] or subject is SUBJECTS["sample volumes"]
    if sampled and torch.__version__.startswith("2.6."):
        pytest.xfail("torch 2.6 writes no lerp or sym_float of open sizes as ONNX")
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    options = {"opset_version": 20, "external_data": False, "verbose": False}
    options["optimize"] = False  # takes most of the time
    torch.onnx.export(program, (), tmp_path / "rows.onnx", dynamo=True, **options)
    session = onnxruntime.InferenceSession(
        tmp_path / "rows.onnx", providers=["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_inputs()]
    for inputs, expected in sizes.items():
        feed = {name: x.numpy() for name, x in zip(names, inputs)}
        got = tuple(torch.from_numpy(out) for out in session.run(None, feed))
        close(got, expected, rtol=1e-4, atol=1e-4)
