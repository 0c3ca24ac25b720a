"""The module as others use it: alone, in a row, compiled, in half precision, exported.

The graphs are captured with small networks whose last layer is perturbed, so that no
warp is the identity and every step of the grid matters.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stn_tutorial import (
    Affine,
    Attention,
    Projective,
    Similarity,
    SpatialTransformer,
    ThinPlateSpline,
    Translation,
    base_grid,
    sample,
    warp,
)
from stn_tutorial.localization import (
    ConvLocalization,
    FullyConnectedLocalization,
    ModernLocalization,
)

FAMILIES = [Translation, Attention, Similarity, Affine, Projective, ThinPlateSpline]
families = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
# What is captured with every option of every family is in ``test_tracing.py``.
few_or_all = pytest.mark.parametrize(
    "family",
    [Projective, pytest.param(ThinPlateSpline, marks=pytest.mark.long)],
    ids=lambda f: f.__name__,
)
conventions = pytest.mark.parametrize("align_corners", [False, True])


@pytest.fixture(autouse=True)
def repeatable_weights() -> None:
    torch.manual_seed(0)


def images(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def perturbed(
    family: type, in_shape=(2, 12, 10), spread: float = 0.05, **options
) -> SpatialTransformer:
    """A transformer whose warps are no identities, and depend on the image."""
    warp = family()
    network = FullyConnectedLocalization(
        in_shape, warp, hidden=(8,), perturbation=spread
    )
    return SpatialTransformer(network, warp, **options).eval()


class Always(nn.Module):
    """A localization network of one fixed answer, which can be trained."""

    def __init__(self, answer: list[float]) -> None:
        super().__init__()
        self.answer = nn.Parameter(torch.tensor(answer))

    def forward(self, x: Tensor) -> Tensor:
        return self.answer.expand(len(x), -1)


# ------------------------------------------------------------------------- one warp


@families
@conventions
@pytest.mark.parametrize("network", [ConvLocalization, ModernLocalization])
def test_at_the_start_images_pass_through(family, network, align_corners):
    warp = family()
    transformer = SpatialTransformer(
        network((3, 28, 31), warp), warp, align_corners=align_corners, backend="manual"
    )
    x = images(4, 3, 28, 31)
    assert torch.equal(transformer(x), x)
    transformer.backend = "native"
    # What the native kernel's own rounding leaves: see the sampler's identity tests.
    torch.testing.assert_close(transformer(x), x, rtol=0, atol=(28 + 31) * 2**-23)


def test_the_default_family_is_affine():
    transformer = SpatialTransformer(Always([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
    assert transformer.family == Affine()
    assert transformer.out_size is None and transformer.padding == "zeros"


@families
@pytest.mark.parametrize(
    "network", [FullyConnectedLocalization, ConvLocalization, ModernLocalization]
)
def test_a_network_knows_its_family(network, family):
    transformer = SpatialTransformer(network((1, 28, 28), family()).eval())
    assert transformer.family == family()
    x = images(2, 1, 28, 28)
    torch.testing.assert_close(transformer(x), x, rtol=0, atol=1e-5)


@families
def test_images_and_parameters_cost_one_pass_of_the_network(family):
    transformer = perturbed(family, spread=0.5, padding="border")
    calls = []
    transformer.localization.register_forward_hook(lambda *_: calls.append(1))
    x = images(3, 2, 12, 10)
    params = transformer.params(x)
    warped = transformer.warp(x, params)
    assert len(calls) == 1
    assert torch.equal(warped, transformer(x))
    other = family().identity().expand(3, -1)
    torch.testing.assert_close(transformer.warp(x, other), x, rtol=0, atol=1e-5)


def test_a_network_may_return_matrices():
    theta = [0.5, 0.1, 0.0, 0.0, 0.5, 0.2]
    network = nn.Sequential(Always(theta), nn.Unflatten(1, (2, 3)))
    x = images(2, 1, 8, 8)
    of_matrices, of_numbers = (
        SpatialTransformer(network),
        SpatialTransformer(network[0]),
    )
    assert torch.equal(of_matrices(x), of_numbers(x))
    assert torch.equal(of_matrices.params(x), of_numbers.params(x))
    matrices = torch.tensor(theta).view(1, 2, 3).expand(2, 2, 3)
    assert torch.equal(of_numbers.warp(x, matrices), of_numbers(x))


class Squeeze:
    """A user's own family that is no matrix: it stretches along x."""

    n_params = 1

    def identity(self) -> Tensor:
        return torch.ones(1)

    def grid(self, params, size, *, align_corners=False) -> Tensor:
        points = base_grid(size, align_corners=align_corners).to(params)
        x, y = points.expand(len(params), -1, -1, -1).unbind(-1)
        return torch.stack([x * params[:, :, None], y], dim=-1)


def test_a_family_of_ones_own_works_as_a_built_in_one_does():
    family = Squeeze()
    network = ConvLocalization((1, 12, 12), family, padding=2)
    transformer = SpatialTransformer(network)
    x = images(2, 1, 12, 12)
    torch.testing.assert_close(transformer(x), x, rtol=0, atol=1e-5)
    mirror = torch.tensor([[-1.0]])
    torch.testing.assert_close(transformer.warp(x, mirror), x.flip(-1))
    assert torch.equal(warp(x, mirror, family=family), transformer.warp(x, mirror))
    assert "Squeeze" in str(transformer)


@families
@conventions
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"interpolation": "nearest"},
        {"padding": "border"},
        {"padding": "reflection", "backend": "manual"},
        {"fill": 0.5},
        {"fill": [0.25, 0.75]},
    ],
    ids=str,
)
def test_the_output_is_the_image_read_at_the_grid(family, options, align_corners):
    transformer = perturbed(
        family, spread=0.5, align_corners=align_corners, out_size=(7, 9), **options
    )
    x = images(3, 2, 12, 10)
    params, grid = transformer.params(x), transformer.grid(x)
    assert torch.equal(params, transformer.localization(x))
    warp = transformer.family
    if isinstance(warp, Similarity):  # which is told the image's aspect
        warp = warp.for_image((12, 10), align_corners=align_corners)
    expected = warp.grid(params, (7, 9), align_corners=align_corners)
    assert grid.shape == (3, 7, 9, 2) and torch.equal(grid, expected)
    out = transformer(x)
    assert out.shape == (3, 2, 7, 9)
    assert torch.equal(out, sample(x, grid, align_corners=align_corners, **options))
    # The convention is not lost on the way: the other one reads other places.
    other = sample(x, grid, align_corners=not align_corners, **options)
    assert not torch.equal(out, other)


@pytest.mark.parametrize("option", [{"padding": "border"}, {"fill": 0.5}], ids=str)
def test_an_option_makes_a_difference(option):
    zoomed_out = Always([2.0, 0.0, 0.0])
    x = images(2, 1, 8, 8)
    plain = SpatialTransformer(zoomed_out, Attention())(x)
    assert not torch.equal(
        SpatialTransformer(zoomed_out, Attention(), **option)(x), plain
    )


@conventions
@pytest.mark.parametrize("out_size", [(28, 28), (14, 10), (60, 33), (1, 1)])
def test_at_the_start_another_output_size_is_a_resized_image(out_size, align_corners):
    transformer = SpatialTransformer(
        FullyConnectedLocalization((2, 20, 17), Affine()),
        out_size=out_size,
        padding="border",
        align_corners=align_corners,
    )
    x = images(3, 2, 20, 17)
    if align_corners and out_size == (1, 1):  # PyTorch reads a corner, we the middle
        expected = x[:, :, 9:11, 8:9].mean(2, keepdim=True)
    else:
        expected = F.interpolate(
            x, out_size, mode="bilinear", align_corners=align_corners
        )
    torch.testing.assert_close(transformer(x), expected, rtol=0, atol=1e-5)


@families
def test_any_channel_count_and_the_size_of_the_input_by_default(family):
    for channels, size in [(1, (28, 28)), (5, (9, 14)), (3, (42, 30))]:
        warp = family()
        network = FullyConnectedLocalization((channels, *size), warp, hidden=(4,))
        x = images(2, channels, *size)
        assert SpatialTransformer(network, warp)(x).shape == x.shape


def test_one_transformer_takes_images_of_several_sizes():
    """If its localization network does: its grid follows the image."""
    network = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16, 32))
    nn.init.normal_(network[-1].weight, std=0.01)
    transformer = SpatialTransformer(network, ThinPlateSpline())
    for size in [(8, 12), (12, 8), (8, 12)]:
        x = images(2, 1, *size)
        assert transformer(x).shape == x.shape
        assert transformer.grid(x).shape == (2, *size, 2)


def test_an_empty_batch_stays_empty():
    assert perturbed(Affine)(images(0, 2, 12, 10)).shape == (0, 2, 12, 10)


# ---------------------------------------------------------------- several, and training


def test_two_in_a_row_are_one_by_the_composition():
    y, x = np.mgrid[0:64, 0:64] / 16.0
    image = torch.from_numpy(np.sin(x) * np.cos(y)).float()[None, None]
    first, second = [0.8, 0.2, 0.05, -0.1], [0.7, -0.1, 0.0, 0.1]
    row = nn.Sequential(
        SpatialTransformer(Always(first), Similarity(), padding="border"),
        SpatialTransformer(Always(second), Similarity(), padding="border"),
    )
    both = Similarity().compose(torch.tensor([first]), torch.tensor([second]))
    once = SpatialTransformer(Always(both[0].tolist()), Similarity(), padding="border")
    inside = (..., slice(8, -8), slice(8, -8))
    # Three bilinear readings of curvature 1 along both axes: 3 * 2 * (1/16)^2 / 8.
    assert (row(image) - once(image))[inside].abs().max() < 6 / 8 / 256


def test_a_row_starts_as_the_identity_and_gradients_reach_every_one():
    shape = (2, 20, 20)
    row = nn.Sequential(
        *(
            SpatialTransformer(ConvLocalization(shape, family, padding=2), family)
            for family in (Affine(), ThinPlateSpline(), Projective())
        )
    )
    x = images(3, *shape)
    torch.testing.assert_close(row(x), x, rtol=0, atol=3 * 40 * 2**-23)
    (row(x) * torch.rand(x.shape)).sum().backward()
    for transformer in row:
        assert transformer.localization[-1].weight.grad.abs().max() > 0


def test_side_by_side_each_sees_the_image_its_own_way():
    family = Translation()  # which has no state, and may serve several
    left = SpatialTransformer(Always([-0.5, 0.0]), family, padding="border")
    right = SpatialTransformer(Always([0.5, 0.0]), family, padding="border")
    x = images(2, 3, 8, 8)
    both = torch.cat([left(x), right(x)], dim=1)
    assert both.shape == (2, 6, 8, 8)
    torch.testing.assert_close(both[:, :3, :, 2:], x[..., :-2], rtol=0, atol=1e-5)
    torch.testing.assert_close(both[:, 3:, :, :-2], x[..., 2:], rtol=0, atol=1e-5)


@families
def test_training_undoes_a_shift(family):
    """Gradients through sampler, grid and network lead to where they should."""
    y, x = np.mgrid[0:21, 0:21] / 10.0 - 1

    def blob(cx: float, cy: float) -> Tensor:
        bump = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.2)
        return torch.from_numpy(bump).float()[None, None]

    warp = family()
    network = Always(warp.identity().tolist())
    transformer = SpatialTransformer(network, warp, align_corners=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    seen, wanted = blob(0.2, -0.15), blob(0.0, 0.0)
    for _ in range(60):
        loss = F.mse_loss(transformer(seen), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-4
    middle = transformer.grid(seen)[0, 10, 10]
    torch.testing.assert_close(middle, torch.tensor([0.2, -0.15]), rtol=0, atol=0.02)


# ------------------------------------------------------------------------------ state


@families
def test_the_state_is_that_of_the_localization_network(family, tmp_path):
    transformer = perturbed(family)
    x = images(3, 2, 12, 10)
    expected = transformer(x)
    state = transformer.state_dict()
    assert list(state) == [
        f"localization.{name}" for name in transformer.localization.state_dict()
    ]
    save_file(state, tmp_path / "weights.safetensors")
    other = perturbed(family, spread=0.5)
    assert not torch.equal(other(x), expected)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other(x), expected)


@families
def test_a_copy_is_a_transformer_of_its_own(family):
    transformer = perturbed(family)
    x = images(3, 2, 12, 10)
    expected = transformer(x)
    twin = copy.deepcopy(transformer)
    assert torch.equal(twin(x), expected)
    with torch.no_grad():
        twin.localization[-1].bias += 0.1
    assert not torch.equal(twin(x), expected)
    assert torch.equal(transformer(x), expected)


def test_print_shows_what_it_does():
    transformer = perturbed(Affine, out_size=(5, 6), padding="border")
    first = str(transformer).splitlines()[1]
    assert first.strip() == "Affine(), out_size=(5, 6), padding='border'"
    spline = str(perturbed(ThinPlateSpline)).splitlines()[1]
    assert spline.strip() == "ThinPlateSpline(control_points=(4, 4), stiffness=0.0)"


# ----------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "out_size", [28, (28,), (0, 28), (28.0, 28), (3, 28, 28), "28"]
)
def test_a_wrong_output_size_is_named(out_size):
    with pytest.raises(
        (TypeError, ValueError), match=r"^out_size must be.*\(H, W\).*got"
    ):
        perturbed(Affine, out_size=out_size)


def test_an_unknown_option_is_named():
    with pytest.raises(TypeError, match="paddin"):
        perturbed(Affine, paddin="border")


@pytest.mark.parametrize(
    "option",
    [
        {"padding": "wrap"},
        {"interpolation": "cubic"},
        {"backend": "c"},
        {"fill": float("nan")},
        {"antialias": -1},
        {"align_corners": "no"},
    ],
    ids=str,
)
def test_a_wrong_value_of_an_option_is_named_when_it_is_made(option):
    with pytest.raises((TypeError, ValueError), match=f"^{next(iter(option))} must be"):
        perturbed(Affine, **option)


def test_a_fill_that_does_not_fit_the_channels_is_named():
    with pytest.raises(
        ValueError, match="^fill must be one number or 2, one a channel"
    ):
        perturbed(Affine, fill=[0.5])(images(1, 2, 12, 10))


def test_what_is_no_network_or_no_family_is_named():
    start = Affine().identity().tolist()
    with pytest.raises(TypeError, match="^family must be.*got the class Affine"):
        SpatialTransformer(Always(start), Affine)
    with pytest.raises(TypeError, match="^family must be a family of warps.*got str"):
        SpatialTransformer(Always(start), "affine")
    with pytest.raises(TypeError, match="^localization must be a torch.nn.Module, got"):
        SpatialTransformer(Always, Affine())
    with pytest.raises(
        ValueError, match=r"^localization must end in 4.*Translation\(\)"
    ):
        SpatialTransformer(
            FullyConnectedLocalization((1, 5, 5), Translation()), Similarity()
        )


def test_what_is_no_batch_of_images_is_named():
    transformer = perturbed(Affine)
    with pytest.raises(
        TypeError, match="^x must be a floating tensor, got torch.uint8"
    ):
        transformer(images(1, 2, 12, 10).byte())
    with pytest.raises(
        ValueError, match=r"^x must be \(N, C, H, W\), got \(2, 12, 10\)"
    ):
        transformer(images(2, 12, 10))


def test_a_localization_network_that_does_not_fit_is_named():
    transformer = SpatialTransformer(Always([1.0, 0.0, 0.0]), Affine())
    with pytest.raises(
        ValueError,
        match=r"^localization must return \(N, 6\) for Affine\(\), got",
    ):
        transformer(images(2, 1, 5, 5))
    flat = SpatialTransformer(nn.Flatten(0), Translation())
    with pytest.raises(ValueError, match=r"^localization must return \(N, 2\)"):
        flat(images(2, 1, 5, 5))


@families
def test_a_network_that_diverged_reads_the_fill(family):
    warp = family()
    network = Always([float("nan")] * warp.n_params)
    out = SpatialTransformer(network, warp, fill=0.25)(images(2, 1, 5, 5))
    assert (out == 0.25).all()


# ---------------------------------------------------------------------- half precision


@families
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(family, dtype):
    transformer = perturbed(family, padding="border")
    x = images(4, 2, 12, 10)
    expected = transformer.params(x), transformer.grid(x), transformer(x)
    with torch.autocast("cpu", dtype):
        found = transformer.params(x), transformer.grid(x), transformer(x)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float32 and torch.equal(ours, theirs)


def test_features_that_autocast_made_half_are_accepted():
    transformer = perturbed(Affine)
    x = images(4, 2, 12, 10)
    with torch.autocast("cpu", torch.bfloat16):
        out = transformer(x.bfloat16())
        assert transformer.params(x.bfloat16()).dtype == torch.float32
    assert out.dtype == torch.bfloat16


@families
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_in_half_precision_keeps_its_grid_in_single(family, dtype):
    transformer = perturbed(family).to(dtype)
    x = images(2, 2, 12, 10).to(dtype)
    assert transformer(x).dtype == dtype
    assert transformer.grid(x).dtype == torch.float32
    assert transformer(x).isfinite().all()


def test_training_goes_through_autocast():
    transformer = perturbed(ThinPlateSpline)
    with torch.autocast("cpu", torch.bfloat16):
        loss = transformer(images(2, 2, 12, 10)).square().mean()
    loss.backward()
    for p in transformer.parameters():
        assert p.grad.dtype == torch.float32 and p.grad.isfinite().all()
        assert p.grad.abs().max() > 0


def test_an_evaluation_before_training_leaves_training_possible():
    transformer = perturbed(ThinPlateSpline)
    x = images(2, 2, 12, 10)
    with torch.inference_mode():
        transformer(x)
    transformer(x).sum().backward()
    assert transformer.localization[-1].weight.grad.isfinite().all()


# ---------------------------------------------------------------------------- compiled


def gradient(module: nn.Module, x: Tensor) -> Tensor:
    weight = next(p for n, p in module.named_parameters() if n.endswith("1.weight"))
    (grad,) = torch.autograd.grad(module(x).square().sum(), weight)
    return grad


@pytest.mark.parametrize(
    ("family", "backend"),
    [
        (Affine, "native"),
        (Projective, "manual"),
        (ThinPlateSpline, "native"),
    ],
)
def test_it_compiles_to_one_graph(family, backend):
    """Captured whole, forward and backward; run without a compiler of machine code."""
    torch.compiler.reset()
    transformer = perturbed(family, backend=backend, out_size=(7, 9))
    compiled = torch.compile(transformer, backend="aot_eager", fullgraph=True)
    x = images(3, 2, 12, 10)
    torch.testing.assert_close(compiled(x), transformer(x), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        gradient(compiled, x), gradient(transformer, x), rtol=1e-4, atol=1e-5
    )
    # From the second batch on, nothing is captured again.
    with torch.compiler.set_stance("fail_on_recompile"):
        other = images(3, 2, 12, 10, seed=2)
        torch.testing.assert_close(compiled(other), transformer(other))


@pytest.mark.usefixtures("compiler")
@few_or_all
def test_it_compiles_to_machine_code(family):
    torch.compiler.reset()
    transformer = perturbed(family)
    compiled = torch.compile(transformer, fullgraph=True)
    x = images(3, 2, 12, 10)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), transformer(x), rtol=0, atol=1e-5)


# ---------------------------------------------------------------------------- exported

BATCH = ({0: torch.export.Dim("batch", max=2**31 - 1)},)


def half_behind(transformer: SpatialTransformer) -> SpatialTransformer:
    """Lean a perspective so far that a part of the output is behind the horizon."""
    if isinstance(transformer.family, Projective):
        with torch.no_grad():
            transformer.localization[-1].bias[6] = 2.0
    return transformer


@few_or_all
def test_exported_and_in_onnx_runtime_it_agrees_for_every_batch_size(family, tmp_path):
    # One test, as ONNX is made of the exported program, which takes long to make.
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path / "transformer.onnx"
    transformer = half_behind(perturbed(family, out_size=(7, 9)))
    # Nothing has run before: what an export computes must not stay behind.
    program = torch.export.export(
        transformer, (images(2, 2, 12, 10),), dynamic_shapes=BATCH
    )
    torch.onnx.export(
        program,
        (),
        path,
        dynamo=True,
        opset_version=20,
        optimize=False,  # takes long, and changes what is computed in nothing
        input_names=["images"],
        output_names=["warped"],
        verbose=False,
    )
    model = onnx.load(path)
    versions = {each.domain: each.version for each in model.opset_import}
    assert versions[""] >= 20
    assert "GridSample" in {node.op_type for node in model.graph.node}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    module = program.module()
    for n in (1, 2, 5):
        x = images(n, 2, 12, 10, seed=n)
        expected = transformer(x)
        torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-6)
        (got,) = session.run(["warped"], {"images": x.numpy()})
        torch.testing.assert_close(torch.from_numpy(got), expected, rtol=0, atol=1e-4)
        if family is Projective:  # some points are behind the horizon, and not all
            assert 0.05 < (got == 0).mean() < 0.95
    # The module goes on as before.
    assert torch.equal(transformer(x), expected)
    transformer(x).sum().backward()
    assert transformer.localization[-1].weight.grad.isfinite().all()


def test_a_fill_that_is_trained_is_refused():
    fill = nn.Parameter(torch.tensor(0.5))
    localization = FullyConnectedLocalization((1, 8, 8), Affine())
    with pytest.raises(ValueError, match="^fill must be constant"):
        SpatialTransformer(localization, fill=fill)


def test_a_network_of_another_family_with_as_many_parameters_is_refused():
    localization = FullyConnectedLocalization((1, 8, 8), Projective())
    with pytest.raises(ValueError, match="^localization must end in 8 numbers for"):
        SpatialTransformer(localization, ThinPlateSpline((2, 2)))


def test_a_counter_among_the_weights_is_no_dtype_of_images():
    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = nn.Parameter(torch.zeros((), dtype=torch.int64), False)
            self.last = nn.Linear(16, 6)

        def forward(self, x):
            return self.last(x.flatten(1))

    transformer = SpatialTransformer(Counted())
    images = torch.rand(3, 1, 4, 4)
    expected = transformer.localization(images)
    assert torch.equal(transformer.params(images), expected)
