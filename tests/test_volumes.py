"""Sampling volumes: what ``test_sampling.py`` asks of images, asked in one axis more.

The oracles are PyTorch's kernel of five dimensions, SciPy, the paper's sum with a third
factor, finite differences, and the sampler of images, where a volume is one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from every import every
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from stn_tutorial import base_grid, sample
from stn_tutorial.antialiasing import finer_grid, samples_per_side

BACKENDS = ("native", "manual")
PADDINGS = ("zeros", "border", "reflection")
INTERPOLATIONS = ("bilinear", "nearest")
CONVENTIONS = (False, True)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}

backends = pytest.mark.parametrize("backend", BACKENDS)
paddings = pytest.mark.parametrize("padding", PADDINGS)
interpolations = pytest.mark.parametrize("interpolation", INTERPOLATIONS)
close = torch.testing.assert_close


def of_all(**values) -> Callable[[], dict[str, dict]]:
    """Every combination of options, by name."""
    rows = [dict(zip(values, row)) for row in itertools.product(*values.values())]
    return lambda: {str(row): row for row in rows}


def normalized(voxels: np.ndarray, size: tuple[int, ...], align_corners: bool):
    """Voxel (x, y, z) -> normalized (x, y, z): the conventions, written out."""
    n = np.array(size[::-1], dtype=np.float64)
    if align_corners:
        return 2 * voxels / np.maximum(n - 1, 1) - 1
    return (2 * voxels + 1) / n - 1


class Reading(NamedTuple):
    volume: Tensor
    grid: Tensor
    weights: Tensor  # of the output, to make a scalar of it
    voxels: np.ndarray
    options: dict


def reading(
    seed: int,
    dtype: torch.dtype = torch.float64,
    *,
    shape=(2, 3, 3, 5, 4),
    out=(2, 4, 3),
    padding: str = "zeros",
    align_corners: bool = False,
) -> Reading:
    """Points in and around a volume, away from the kinks and the ties."""
    rng = np.random.default_rng(seed)
    n, c, *size = shape
    sides = np.array(size[::-1])
    whole = rng.integers(-sides - 2, 2 * sides + 2, (n, *out, 3))
    part = rng.uniform(0.05, 0.45, whole.shape) + rng.choice([0, 0.5], whole.shape)
    grid = normalized(whole + part, size, align_corners)
    return Reading(
        torch.from_numpy(rng.random(shape)).to(dtype),
        torch.from_numpy(grid).to(dtype),
        torch.from_numpy(rng.uniform(-1, 1, (n, c, *out))).to(dtype),
        whole + part,
        {"padding": padding, "align_corners": align_corners},
    )


@st.composite
def readings(draw, dtype: torch.dtype = torch.float64, padding=None) -> Reading:
    shape = draw(st.tuples(*[st.integers(1, 2)] * 2, *[st.integers(1, 5)] * 3))
    return reading(
        draw(st.integers(0, 2**32 - 1)),
        dtype,
        shape=shape,
        out=draw(st.tuples(*[st.integers(1, 3)] * 3)),
        padding=padding or draw(st.sampled_from(PADDINGS)),
        align_corners=draw(st.booleans()),
    )


def values_and_gradients(function, case: Reading, **options) -> list[Tensor]:
    volume, grid = (t.detach().clone().requires_grad_() for t in case[:2])
    out = function(volume, grid, **options)
    return [
        out.detach(),
        *torch.autograd.grad((out * case.weights).sum(), (volume, grid)),
    ]


def of_torch(case: Reading, interpolation: str = "bilinear") -> list[Tensor]:
    return values_and_gradients(
        F.grid_sample,
        case,
        mode=interpolation,
        padding_mode=case.options["padding"],
        align_corners=case.options["align_corners"],
    )


def of_sample(case: Reading, **options) -> list[Tensor]:
    return values_and_gradients(sample, case, **case.options, **options)


# ------------------------------------------------------------------ against PyTorch


@pytest.mark.parametrize("dtype", TOLERANCE)
@backends
@interpolations
@given(st.data())
@settings(max_examples=25)
def test_values_and_both_gradients_are_those_of_grid_sample(
    dtype, backend, interpolation, data
):
    case = data.draw(readings(dtype))
    expected = of_torch(case, interpolation)
    got = of_sample(case, backend=backend, interpolation=interpolation)
    for mine, theirs in zip(got, expected, strict=True):
        close(mine, theirs, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@every(of_all(padding=PADDINGS, align_corners=CONVENTIONS))
def test_ties_at_whole_voxels_have_the_gradient_of_grid_sample(options):
    n = 5 if options["align_corners"] else 4  # whole voxels are exact in binary
    places = np.stack(np.meshgrid(*[np.arange(-2.0, n + 2)] * 3), axis=-1)
    grid = normalized(places, (n, n, n), options["align_corners"])
    case = reading(3, shape=(1, 2, n, n, n), out=places.shape[:3], **options)
    case = case._replace(grid=torch.from_numpy(grid)[None])
    for mine, theirs in zip(of_sample(case, backend="manual"), of_torch(case)):
        close(mine, theirs, rtol=1e-12, atol=1e-12)


@backends
def test_nearest_ties_go_to_the_even_voxel(backend):
    x = np.arange(-1.5, 5)  # -1.5, -0.5, ..., 4.5
    even = np.rint(x).astype(int)  # IEEE: ties to even
    volume = torch.arange(1.0, 65, dtype=torch.float64).view(1, 4, 4, 4)
    for axis in range(3):
        points = np.zeros((1, 1, len(x), 3))
        points[..., axis] = x
        grid = torch.from_numpy(normalized(points, (4, 4, 4), False))
        options = {"interpolation": "nearest", "fill": -7.0, "backend": backend}
        got = sample(volume, grid, **options)
        expected = [4**axis * k + 1.0 if 0 <= k < 4 else -7.0 for k in even]
        assert got.flatten().tolist() == expected


# ---------------------------------------- against sums, SciPy and the sampler of images


@backends
@given(readings(padding="zeros"), st.floats(-2, 2))
@settings(max_examples=25)
def test_trilinear_reading_is_the_sum_of_the_paper_with_a_third_factor(
    backend, case, fill
):
    n, c, *size = case.volume.shape
    if case.options["align_corners"] and 1 in size:
        return  # such an axis has no coordinates
    got = sample(case.volume, case.grid, **case.options, backend=backend, fill=fill)
    tents = [
        np.maximum(0, 1 - np.abs(case.voxels[..., axis, None] - np.arange(side)))
        for axis, side in enumerate(reversed(size))
    ]
    weights = np.einsum("nijkx,nijky,nijkz->nijkzyx", *tents)
    expected = np.einsum("nczyx,nijkzyx->ncijk", case.volume, weights)
    outside = 1 - weights.sum((-1, -2, -3))
    np.testing.assert_allclose(got, expected + fill * outside[:, None], atol=1e-10)


@backends
@given(readings())
@settings(max_examples=25)
def test_paddings_are_the_boundary_modes_of_scipy(backend, case):
    if case.options["align_corners"] and 1 in case.volume.shape[2:]:
        return
    mode = {
        ("border", False): "nearest",
        ("border", True): "nearest",
        ("reflection", False): "reflect",
        ("reflection", True): "mirror",
        ("zeros", False): "grid-constant",
        ("zeros", True): "grid-constant",
    }[case.options["padding"], case.options["align_corners"]]
    got = sample(case.volume, case.grid, **case.options, backend=backend)
    layers_first = np.moveaxis(case.voxels[..., ::-1], -1, 1)  # (N, [z, y, x], ...)
    for k, volume in enumerate(case.volume.numpy()):
        for c, channel in enumerate(volume):
            expected = map_coordinates(channel, layers_first[k], order=1, mode=mode)
            np.testing.assert_allclose(got[k, c], expected, rtol=1e-10, atol=1e-10)


@every(of_all(backend=BACKENDS, padding=PADDINGS, interpolation=INTERPOLATIONS))
def test_in_one_of_its_layers_a_volume_is_read_as_an_image(options):
    generator = torch.Generator().manual_seed(0)
    volume = torch.rand(2, 3, 4, 5, 6, generator=generator, dtype=torch.float64)
    plane = 2.4 * torch.rand(2, 7, 8, 2, generator=generator, dtype=torch.float64) - 1.2
    for layer in range(4):
        z = torch.full_like(plane[..., :1], (2 * layer + 1) / 4 - 1)
        grid = torch.cat([plane, z], dim=-1)[:, None]
        got = sample(volume, grid, **options)[:, :, 0]
        close(got, sample(volume[:, :, layer], plane, **options), rtol=0, atol=1e-12)


# --------------------------------------------------------------------------- identity

SIZES = [(1, 1, 1), (1, 9, 2), (9, 1, 1), (2, 3, 4), (31, 17, 8), (12, 11, 60)]


@every(
    of_all(
        padding=PADDINGS,
        align_corners=CONVENTIONS,
        interpolation=INTERPOLATIONS,
        dtype=TOLERANCE,
    )
)
def test_identity_returns_the_input_exactly(options):
    options = dict(options)
    dtype = options.pop("dtype")
    for size in SIZES:
        volume = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
        volume = volume.to(dtype)
        grid = base_grid(size, align_corners=options["align_corners"], dtype=dtype)
        got = sample(volume, grid, backend="manual", **options)
        assert torch.equal(got, volume), size
        # What the native kernel's rounding leaves: see the tests of images.
        away = (sample(volume, grid, **options) - volume).abs().max()
        assert away <= sum(size) * torch.finfo(dtype).eps, size


@every(of_all(backend=BACKENDS, interpolation=INTERPOLATIONS, align=CONVENTIONS))
def test_no_point_whose_neighbours_are_inside_depends_on_the_fill(options):
    size, rng = (5, 6, 7), np.random.default_rng(0)
    align = options["align"]
    options = {key: options[key] for key in ("backend", "interpolation")}
    last = np.array(size[::-1]) - 1
    points = rng.uniform([-1, -1, -1], last + 1, (1, 9, 9, 9, 3))
    nearest = options["interpolation"] == "nearest"
    near = (np.rint if nearest else np.floor)(points)
    inside = ((near >= 0) & (near + (not nearest) <= last)).all(-1)
    assert 0.2 < inside.mean() < 0.9
    grid = torch.from_numpy(normalized(points, size, align)).float()
    volume = torch.from_numpy(rng.uniform(-1, 1, (1, 2, *size))).float()

    def chosen(fill) -> list[Tensor]:
        inputs = volume.clone().requires_grad_(), grid.clone().requires_grad_()
        out = sample(*inputs, fill=fill, align_corners=align, **options)
        out = out[:, :, torch.from_numpy(inside[0])]
        return [out.detach(), *torch.autograd.grad(out.square().sum(), inputs)]

    for fill in (1e9, [-0.42, 1e30]):
        for with_fill, without in zip(chosen(fill), chosen(0)):
            assert torch.equal(with_fill, without)


# -------------------------------------------------------------------------- gradients


@every(
    of_all(
        backend=BACKENDS,
        interpolation=INTERPOLATIONS,
        padding=PADDINGS,
        align_corners=CONVENTIONS,
    )
)
def test_gradients_are_those_of_finite_differences(options):
    outside = {k: options[k] for k in ("padding", "align_corners")}
    case = reading(11, shape=(2, 2, 3, 2, 4), out=(1, 2, 2), **outside)
    inputs = [t.requires_grad_() for t in case[:2]]
    fill = {"fill": [-1.0, 0.5]} if options["padding"] == "zeros" else {}

    def function(volume: Tensor, grid: Tensor) -> Tensor:
        return sample(volume, grid, **options, **fill)

    assert gradcheck(function, inputs, fast_mode=True)
    if options["backend"] == "manual":
        assert gradgradcheck(function, inputs, fast_mode=True)
        assert gradcheck(function, inputs, fast_mode=True, check_forward_ad=True)


def test_one_gradient_can_be_had_without_the_other():
    case = reading(19)
    for options in of_all(backend=BACKENDS, interpolation=INTERPOLATIONS)().values():
        both = of_sample(case, **options)
        for k in (0, 1):
            inputs = [t.detach().clone() for t in case[:2]]
            inputs[k].requires_grad_()
            (sample(*inputs, **options) * case.weights).sum().backward()
            close(inputs[k].grad, both[1 + k])


@backends
@interpolations
@given(readings())
@settings(max_examples=20)
def test_scattering_gradients_is_the_adjoint_of_reading(backend, interpolation, case):
    options = {**case.options, "backend": backend, "interpolation": interpolation}
    u = case.volume.clone().requires_grad_()
    (scattered,) = torch.autograd.grad(sample(u, case.grid, **options), u, case.weights)
    other = case.volume.flip(-1).sqrt()  # the adjoint holds for every volume
    left = (sample(other, case.grid, **options) * case.weights).sum()
    close(left, (other * scattered).sum(), rtol=1e-12, atol=1e-12)


def test_the_third_mixed_derivative_is_the_alternating_sum_of_the_corners():
    volume = torch.tensor([1.0, 2, 5, 9, 4, 7, 3, 8], dtype=torch.float64)
    volume = volume.view(1, 2, 2, 2)
    point = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64, requires_grad=True)
    out = sample(volume, point.view(1, 1, 1, 3), backend="manual").sum()
    for axis in range(3):
        (slope,) = torch.autograd.grad(out, point, create_graph=True)
        out = slope[axis]
    signs = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    expected = torch.einsum("czyx,z,y,x->", volume, signs, signs, signs)
    close(out, expected)  # a normalized unit is one voxel


# --------------------------------------------------------- points that are not numbers


@every(
    of_all(
        bad=[float("nan"), float("-inf")],
        where=[0, 1, 2],
        backend=BACKENDS,
        interpolation=INTERPOLATIONS,
        padding=PADDINGS,
    )
)
def test_a_point_that_is_not_finite_reads_as_outside_and_passes_no_gradient(row):
    options = {key: row[key] for key in ("backend", "interpolation")}
    case = reading(23, padding=row["padding"])
    fill = torch.tensor([0.3, -2.0, 5.0], dtype=torch.float64)
    if row["padding"] == "zeros":
        options["fill"] = fill
    else:
        fill = torch.zeros_like(fill)
    clean = of_sample(case, **options)
    grid, gone = case.grid.clone(), torch.zeros(case.grid.shape[:-1], dtype=torch.bool)
    gone[:, 1, :2] = True
    grid[:, 1, :2, :, row["where"]] = row["bad"]
    out, grad_volume, grad_grid = of_sample(case._replace(grid=grid), **options)
    kept = ~gone[:, None].expand_as(out)
    assert torch.equal(out[kept], clean[0][kept])
    outside = out[:, :, 1, :2]
    assert torch.equal(outside, fill.view(1, 3, 1, 1).expand_as(outside))
    assert not grad_grid[gone].any() and torch.equal(grad_grid[~gone], clean[2][~gone])
    assert grad_volume.isfinite().all()


@every(of_all(backend=BACKENDS, interpolation=INTERPOLATIONS, padding=PADDINGS))
def test_huge_finite_points_are_read_like_any_other(options):
    most = torch.finfo(torch.float32).max
    far = torch.tensor([1e4, 1e7, 1e10, 1e19, 1e30, most / 8, most])
    far = torch.cat([far, -far])
    grid = torch.stack([far, far.flip(0), far], dim=-1)[None, None, None]
    grid.requires_grad_()
    volume = torch.rand(1, 2, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    volume.requires_grad_()
    out = sample(volume, grid, **options)
    out.sum().backward()
    assert grid.grad.isfinite().all() and volume.grad.isfinite().all()
    if options["padding"] == "zeros":
        assert not out.any() and not volume.grad.any() and not grid.grad.any()
    else:
        assert volume.min() - 1e-6 <= out.min() and out.max() <= volume.max() + 1e-6
    if options["padding"] == "border":
        ends = volume[..., -1, 0, -1][..., None], volume[..., 0, -1, 0][..., None]
        close(out[:, :, 0, 0], torch.where(far > 0, *ends))


# -------------------------------------------------------------------- shapes and types


@every(of_all(antialias=[False, 2], interpolation=INTERPOLATIONS, backend=BACKENDS))
def test_one_volume_and_one_grid_need_no_batch(options):
    case = reading(61, torch.float32)
    options = {**case.options, **options, "fill": 0.5}
    (volume, other), grid = case.volume, case.grid[0]
    expected = sample(case.volume, torch.stack([grid, grid]), **options)
    assert torch.equal(sample(volume, grid, **options), expected[0])
    for volumes in (case.volume, torch.stack([volume, other])):
        for one in (grid, grid[None]):
            assert torch.equal(sample(volumes, one, **options), expected)
    many = sample(volume, torch.stack([grid] * 3), **options)
    assert torch.equal(many, expected[:1].expand_as(many)) and len(many) == 3
    # Each of a batch for itself, whatever the others are.
    alone = sample(other[None], case.grid[1:], **options)
    assert torch.equal(sample(case.volume, case.grid, **options)[1:], alone)


@every(of_all(dtype=[torch.uint8, torch.int64, torch.bool], padding=PADDINGS))
def test_nearest_looks_whole_numbers_up_and_keeps_their_dtype(row):
    case = reading(67, padding=row["padding"])
    whole = (case.volume * 200).round().to(row["dtype"])
    fill = {"fill": 1} if row["padding"] == "zeros" else {}
    options = {**case.options, **fill, "interpolation": "nearest"}
    got = sample(whole, case.grid, **options)
    assert got.dtype == row["dtype"]
    close(got.double(), sample(whole.double(), case.grid, **options), rtol=0, atol=0)


@every(of_all(backend=BACKENDS, interpolation=INTERPOLATIONS, padding=PADDINGS))
def test_an_empty_batch_or_output_is_empty(options):
    for shape, out in (((0, 2, 3, 4, 5), (1, 2, 3)), ((2, 1, 3, 4, 5), (2, 0, 3))):
        volume = torch.rand(shape).requires_grad_()
        grid = torch.zeros(shape[0], *out, 3).requires_grad_()
        got = sample(volume, grid, **options)
        assert got.shape == (*shape[:2], *out)
        got.sum().backward()
        assert not volume.grad.any() and not grid.grad.any()


@every(of_all(backend=BACKENDS, interpolation=INTERPOLATIONS))
def test_neither_memory_nor_precision_matters(options):
    case = reading(37, padding="border")
    expected = of_sample(case, **options)
    wide = torch.zeros(*case.grid.shape[:-1], 7, dtype=torch.float64)
    wide[..., 1:6:2] = case.grid
    moved = case._replace(
        volume=case.volume.to(memory_format=torch.channels_last_3d),
        grid=wide[..., 1:6:2],
    )
    for mine, theirs in zip(of_sample(moved, **options), expected, strict=True):
        close(mine, theirs, rtol=1e-12, atol=1e-12)
    for dtype in (torch.float16, torch.bfloat16):
        volume, grid = case.volume.to(dtype), case.grid.to(dtype)
        got = sample(volume, grid, **options)
        exact = sample(volume.float(), grid.float(), **options)
        assert torch.equal(got, exact.to(dtype))


# ------------------------------------------------------------------------ antialiasing


def test_a_volume_that_shrinks_is_the_mean_of_its_patches():
    volume = torch.rand(2, 3, 6, 9, 12, generator=torch.Generator().manual_seed(0))
    grid = base_grid((2, 3, 4))
    assert samples_per_side(grid[None], (6, 9, 12)).tolist() == [3.0]
    close(finer_grid(grid[None], 3)[0], base_grid((6, 9, 12)))
    expected = F.avg_pool3d(volume, 3)
    for backend, antialias in itertools.product(BACKENDS, (3, True)):
        options = {"backend": backend, "antialias": antialias}
        close(sample(volume, grid, **options), expected)
    # Each has its own number: the second grid is as fine as its volume.
    grids = torch.stack([grid, grid / 3])
    both = sample(volume, grids, antialias=True)
    close(both[0], expected[0])
    close(both[1], sample(volume[1], grids[1]))


# ------------------------------------------------------------------------------ errors

VOLUME, GRID = torch.zeros(2, 3, 4, 5, 6), torch.zeros(2, 2, 3, 4, 3)


@pytest.mark.parametrize(
    ("volume", "grid", "options", "message"),
    [
        (VOLUME[0, 0], GRID, {}, r"image must be \(N, C, D, H, W\) or .*\(4, 5, 6\)"),
        (VOLUME[None], GRID, {}, r"image must be \(N, C, D, H, W\) or \(C, D, H, W\)"),
        (VOLUME[:, :, :0], GRID, {}, r"image must .*got \(2, 3, 0, 5, 6\)"),
        (VOLUME, GRID[..., :2], {}, r"grid must be \(N, H, W, 2\) or \(H, W, 2\)"),
        (VOLUME, GRID[0, 0], {}, r"grid must be \(N, D, H, W, 3\) or \(D, H, W, 3\)"),
        (VOLUME, GRID[..., :1], {}, r"grid must be \(N, H, W, 2\) or .*\(D, H, W, 3\)"),
        (VOLUME, GRID[0, 0, ..., :2], {}, r"image must be .* grid of 2 coordinates"),
        (VOLUME, GRID[[0, 0, 0]], {}, "grid must have the image's batch size 2, got 3"),
        (VOLUME, GRID, {"interpolation": "bicubic"}, "interpolation must be 'nearest'"),
        (VOLUME, GRID, {"fill": [1.0, 2.0]}, r"fill must be one number or 3.*\(2,\)"),
    ],
)
def test_a_wrong_argument_is_named(volume, grid, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        sample(volume, grid, **options)
