"""The families of warps, against closed forms, PyTorch, OpenCV and kornia.

What every family promises is asked of every family, the thin plate spline included;
what is its own is in ``test_thin_plate_spline.py``.
"""

from __future__ import annotations

import copy
import math
import pickle

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor, nn
from torch.autograd import gradcheck

from stn_tutorial import (
    Affine,
    Attention,
    Crop,
    Family,
    MatrixFamily,
    Projective,
    Similarity,
    ThinPlateSpline,
    Translation,
    base_grid,
    convert,
    rotation,
    sample,
    theta_from_pixels,
    to_pixels,
)
from stn_tutorial.families import check_family, fit

CONVENTIONS = (False, True)
CHAIN = [Translation(), Attention(), Similarity(), Affine(), Projective()]
FAMILIES = [*CHAIN, ThinPlateSpline((3, 4)), Crop(1.0)]
groups = pytest.mark.parametrize("family", CHAIN, ids=lambda f: type(f).__name__)
families = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: type(f).__name__)
# PyTorch warns of one-pixel grids with align_corners=True: that is what is compared.
pytestmark = pytest.mark.filterwarnings("ignore:Since version 1.3.0:UserWarning")
conventions = pytest.mark.parametrize("align_corners", CONVENTIONS)
HALVES = (torch.float16, torch.bfloat16)
FLOATS = (torch.float32, torch.float64)
SIZES = ((28, 28), (17, 31), (1, 5), (60, 60))


def near_identity(seed: int, n: int = 3, spread: float = 0.3, family=FAMILIES[3]):
    """(n, n_params) float64 parameters of warps that can be undone."""
    rng = np.random.default_rng(seed)
    away = rng.uniform(-spread, spread, (n, family.n_params))
    return family.identity().double() + torch.from_numpy(away)


def aspect(size: tuple[int, int], align_corners: bool) -> float:
    """Units along x over units along y, in pixels of an image of this size."""
    height, width = size
    return (width - 1) / (height - 1) if align_corners else width / height


def of_shape(family, size: tuple[int, int], align_corners: bool = False):
    """The family, for images of a shape that it may have to know."""
    if type(family) is Similarity:
        return Similarity(aspect(size, align_corners))
    return family


def square(params: Tensor, family=FAMILIES[3], r: float = 1.0) -> np.ndarray:
    """(N, n_params) -> (N, 3, 3), the matrices as one would write them down."""
    zero, one = np.zeros(len(params)), np.ones(len(params))
    p = params.detach().double().numpy().T
    rows = {
        "Translation": lambda x, y: [one, zero, x, zero, one, y, zero, zero, one],
        "Attention": lambda s, x, y: [s, zero, x, zero, s, y, zero, zero, one],
        "Similarity": lambda a, b, x, y: [
            *(a, -b / r, x / r, b * r, a, y, zero, zero, one)
        ],
        "Affine": lambda *six: [*six, zero, zero, one],
        "Projective": lambda *eight: [*eight, one],
    }
    return np.stack(rows[type(family).__name__](*p), axis=1).reshape(-1, 3, 3)


def centres(size: tuple[int, int], align_corners: bool) -> np.ndarray:
    """(H, W, 2) normalized pixel centres, written out."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float64)
    h, w = size
    if align_corners:
        return np.stack([2 * x / (w - 1) - 1, 2 * y / (h - 1) - 1], axis=-1)
    return np.stack([(2 * x + 1) / w - 1, (2 * y + 1) / h - 1], axis=-1)


def smooth(size: tuple[int, int]) -> np.ndarray:
    """A smooth picture whose second derivatives are at most 0.0137 a square pixel."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / 16.0
    return np.sin(x) * np.cos(y) + 0.3 * np.sin(x + 2 * y)


seeds = st.integers(0, 2**32 - 1)


@families
def test_a_grid_lies_in_memory_point_by_point(family):
    # It is computed in planes, one a coordinate; `view` has to work nevertheless.
    grid = family.grid(near_identity(1, 3, family=family), (5, 7))
    assert grid.is_contiguous()


@pytest.mark.parametrize("dtype", FLOATS)
@given(seeds, st.integers(1, 3), st.integers(1, 30), st.integers(1, 30), st.booleans())
def test_the_grid_is_the_affine_grid_of_pytorch(
    dtype, seed, n, height, width, align_corners
):
    params = near_identity(seed, n, spread=2.0).to(dtype)
    got = Affine().grid(params, (height, width), align_corners=align_corners)
    expected = F.affine_grid(
        params.view(n, 2, 3), [n, 1, height, width], align_corners=align_corners
    )
    assert got.dtype == dtype
    # Coordinates reach 3 * 3 = 9, of which each of a few roundings may take a part.
    tolerance = 32 * torch.finfo(dtype).eps
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)


@conventions
def test_each_number_does_what_its_place_says(align_corners):
    size = (3, 5)
    y, x = np.mgrid[0:3, 0:5].astype(np.float64)
    if align_corners:
        x, y = 2 * x / 4 - 1, 2 * y / 2 - 1
    else:
        x, y = (2 * x + 1) / 5 - 1, (2 * y + 1) / 3 - 1
    params = torch.tensor([[2.0, 3.0, 5.0, 7.0, 11.0, 13.0]], dtype=torch.float64)
    got = Affine().grid(params, size, align_corners=align_corners)[0].numpy()
    np.testing.assert_allclose(got[..., 0], 2 * x + 3 * y + 5, atol=1e-13)
    np.testing.assert_allclose(got[..., 1], 7 * x + 11 * y + 13, atol=1e-13)


# -------------------------------------------------------------- what all have in common


@families
@conventions
@pytest.mark.parametrize("dtype", FLOATS)
def test_identity_is_the_base_grid_bit_for_bit(family, dtype, align_corners, device):
    params = family.identity()
    assert params.shape == (family.n_params,) and params.dtype == torch.float32
    params = params.to(device, dtype).expand(2, -1)
    for size in SIZES:
        grid = family.grid(params, size, align_corners=align_corners)
        expected = base_grid(size, align_corners=align_corners, dtype=dtype)
        assert grid.dtype == dtype and grid.device.type == device.type
        assert torch.equal(grid.cpu(), expected.expand(2, *size, 2)), size


@families
@conventions
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_identity_returns_the_input(family, padding, align_corners, device):
    options = {"padding": padding, "align_corners": align_corners}
    for size in SIZES:
        image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
        image = image.to(device)
        params = family.identity().to(device).expand(2, -1)
        grid = family.grid(params, size, align_corners=align_corners)
        read = sample(image, grid, backend="manual", **options)
        assert torch.equal(read, image), size
        # What the native kernel's rounding leaves: see the sampler's identity tests.
        error = (sample(image, grid, **options) - image).abs().max()
        assert error <= sum(size) * 2**-23, size


def test_identity_leaves_points_where_they_are():
    assert Translation().identity().tolist() == [0.0, 0.0]
    assert Attention().identity().tolist() == [1.0, 0.0, 0.0]
    assert Similarity().identity().tolist() == [1.0, 0.0, 0.0, 0.0]
    assert Affine().identity().tolist() == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert Projective().identity().tolist() == [1, 0, 0, 0, 1, 0, 0, 0]
    assert [family.n_params for family in FAMILIES] == [2, 3, 4, 6, 8, 24, 2]


@families
@conventions
def test_the_grid_passes_gradients(family, align_corners):
    params = near_identity(3, 2, family=family).requires_grad_()
    assert gradcheck(
        lambda p: family.grid(p, (3, 4), align_corners=align_corners), params
    )


@families
@pytest.mark.parametrize("dtype", HALVES)
def test_the_grid_of_half_precision_is_computed_in_single(family, dtype, device):
    params = near_identity(4, family=family).to(device, dtype)
    grid = family.grid(params, (9, 13))
    assert grid.dtype == torch.float32
    assert torch.equal(grid, family.grid(params.float(), (9, 13)))
    identity = family.identity().to(device, dtype)[None]
    assert torch.equal(family.grid(identity, (60, 60))[0].cpu(), base_grid((60, 60)))
    # The gradient finds its way back to the type it came from.
    params.requires_grad_()
    family.grid(params, (9, 13)).square().mean().backward()
    assert params.grad.dtype == dtype and params.grad.isfinite().all()


@families
@pytest.mark.parametrize("dtype", HALVES)
def test_autocast_changes_no_grid(family, dtype, device):
    params = near_identity(9, family=family).to(device, torch.float32)
    expected = family.grid(params, (9, 13))
    with torch.autocast(device.type, dtype):
        got = family.grid(params, (9, 13))
    assert got.dtype == torch.float32
    assert torch.equal(got, expected)


@families
def test_an_empty_batch_has_an_empty_grid(family):
    assert family.grid(torch.zeros(0, family.n_params), (3, 4)).shape == (0, 3, 4, 2)


@families
def test_every_warp_of_a_batch_is_its_own(family):
    params = near_identity(11, 4, family=family)
    together = family.grid(params, (5, 7))
    for one, expected in zip(params, together, strict=True):
        # A matrix product may add up in another order for another batch size.
        torch.testing.assert_close(
            family.grid(one[None], (5, 7))[0], expected, rtol=0, atol=1e-14
        )


BAD = [float("nan"), float("inf"), float("-inf"), 1e30, -1e30]


@families
@conventions
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("backend", ["native", "manual"])
def test_whatever_the_parameters_are_the_image_read_is_finite(
    family, padding, backend, align_corners
):
    ones = torch.ones(1, family.n_params)
    flat = [0 * ones, -ones, 1e-30 * ones]  # onto a point, turned about, almost a point
    broken = []
    for bad in BAD:
        broken.append(ones * bad)
        for k in range(family.n_params):
            one = family.identity()[None].clone()
            one[0, k] = bad
            broken.append(one)
    params = torch.cat(flat + broken)
    image = torch.rand(1, 1, 6, 7, generator=torch.Generator().manual_seed(0))
    out = sample(
        image.expand(len(params), -1, -1, -1),
        family.grid(params, (4, 5), align_corners=align_corners),
        padding=padding,
        backend=backend,
        align_corners=align_corners,
    )
    assert out.isfinite().all()
    assert out.min() >= 0 and out.max() <= image.max() + 1e-6


@families
def test_a_broken_warp_does_not_touch_its_neighbours(family):
    params = near_identity(12, 3, family=family)
    expected = family.grid(params, (5, 7))[[0, 2]]
    params[1] = float("nan")
    assert torch.equal(family.grid(params, (5, 7))[[0, 2]], expected)


# ------------------------------------------------------------------ the matrix families


@groups
@conventions
@given(seeds)
@settings(max_examples=30)
def test_the_grid_is_that_of_the_matrix_one_would_write_down(
    family, align_corners, seed
):
    params = near_identity(seed, family=family)
    points = centres((4, 6), align_corners)
    matrix = square(params, family, aspect((4, 6), align_corners))
    ahead = np.einsum("nij,hwj->nhwi", matrix[..., :2], points)
    above = ahead + matrix[:, None, None, :, 2]
    got = family.grid(params, (4, 6), align_corners=align_corners).numpy()
    # Here |g x + h y| <= 0.6: no point is near the horizon.
    np.testing.assert_allclose(got, above[..., :2] / above[..., 2:], atol=1e-13)


@groups
def test_the_matrix_is_the_one_that_one_would_write_down(family):
    family = of_shape(family, (2, 3))
    params = near_identity(13, family=family)
    expected = square(params, family, 1.5)
    np.testing.assert_allclose(family.matrix(params), expected, rtol=0, atol=1e-15)
    back = family.params_of(family.matrix(params))
    torch.testing.assert_close(back, params, rtol=0, atol=1e-15)


def test_a_similarity_turns_the_place_that_is_read_clockwise():
    image = torch.arange(9.0).view(1, 1, 3, 3)
    quarter = torch.tensor([[0.0, 1.0, 0.0, 0.0]])  # cos 90 deg, sin 90 deg
    read = sample(image, Similarity().grid(quarter, (3, 3)), backend="manual")
    # The output's right middle reads the input's bottom middle, and so on around.
    np.testing.assert_allclose(read[0, 0], np.rot90(image[0, 0]), atol=1e-5)


def test_an_attention_window_shows_a_part_larger():
    image = torch.arange(64.0).view(1, 1, 8, 8)
    window = torch.tensor([[0.5, -0.5, 0.5]])  # half the size, at the lower left
    grid = Attention().grid(window, (4, 4))
    expected = image[:, :, 4:, :4]
    assert torch.equal(sample(image, grid, backend="manual"), expected)


PAIRS = [(a, b) for i, a in enumerate(CHAIN) for b in CHAIN[i:]]


@conventions
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("small", "large"), PAIRS, ids=lambda family: type(family).__name__
)
def test_a_warp_is_the_same_warp_in_a_larger_family(small, large, dtype, align_corners):
    small, large = (of_shape(f, (5, 7), align_corners) for f in (small, large))
    params = near_identity(14, family=small).to(dtype)
    upward = convert(params, small, large)
    assert upward.shape == (3, large.n_params) and upward.dtype == dtype
    options = {"size": (5, 7), "align_corners": align_corners}
    expected = small.grid(params, **options)
    torch.testing.assert_close(
        large.grid(upward, **options), expected, rtol=0, atol=8 * torch.finfo(dtype).eps
    )
    assert torch.equal(
        convert(small.identity()[None], small, large)[0], large.identity()
    )


def test_conversion_passes_gradients():
    small = Similarity(aspect=0.5)
    params = near_identity(15, 2, family=small).requires_grad_()
    assert gradcheck(lambda p: convert(p, small, Projective()), params)


def test_a_warp_is_converted_to_a_smaller_family_that_has_it():
    affine = torch.tensor([[0.6, -0.8, 0.1, 0.8, 0.6, 0.2]])
    expected = torch.tensor([[0.6, 0.8, 0.1, 0.2]])
    found = convert(affine, Affine(), Similarity(aspect=1))
    torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match=r"^params must be a warp of Attention"):
        convert(affine, Affine(), Attention())


@pytest.mark.parametrize("dtype", [*HALVES, *FLOATS])
def test_a_conversion_keeps_the_type(dtype):
    params = torch.tensor([[0.5, 0.0, 0.25]], dtype=dtype)
    assert convert(params, Attention(), Affine()).dtype == dtype


def test_only_families_of_matrices_are_converted():
    spline = ThinPlateSpline()
    with pytest.raises(TypeError, match="^target must be.*got ThinPlateSpline"):
        convert(Affine().identity(), Affine(), spline)
    with pytest.raises(TypeError, match="^source must be.*got ThinPlateSpline"):
        convert(spline.identity(), spline, Affine())
    with pytest.raises(TypeError, match="^source must be.*got the class Affine"):
        convert(GOOD, Affine, Affine())


def test_matrix_is_the_parameters_row_by_row():
    params = torch.arange(12.0).view(2, 6)
    assert Affine().matrix(params)[1].tolist() == [
        [6.0, 7.0, 8.0],
        [9.0, 10.0, 11.0],
        [0.0, 0.0, 1.0],
    ]


# ------------------------------------------------------------ composition and inverses


@groups
@given(seeds, seeds, st.integers(0, 3))
@settings(max_examples=40)
def test_composition_multiplies_the_matrices_first_by_second(family, one, other, n):
    first = near_identity(one, n, family=family)
    second = near_identity(other, n, family=family)
    got = family.compose(first, second)
    assert got.shape == (n, family.n_params)
    expected = square(first, family) @ square(second, family)
    expected = expected / expected[:, 2:, 2:]
    np.testing.assert_allclose(square(got, family), expected, atol=1e-12)


# Two warps of each family that do not commute, or barely (two translations do).
TWICE = {
    Translation: ([0.1, -0.05], [-0.07, 0.12]),
    Attention: ([0.7, 0.1, -0.05], [0.9, -0.07, 0.08]),
    Similarity: ([0.7, 0.3, 0.05, -0.15], [0.8, -0.1, 0.15, 0.1]),
    Affine: ([0.8, -0.3, 0.05, 0.2, 0.85, -0.1], [0.6, 0.1, 0.1, 0.0, 0.9, 0.05]),
    Projective: (
        [0.8, -0.2, 0.05, 0.2, 0.7, -0.1, 0.15, -0.1],
        [0.6, 0.1, 0.1, 0.0, 0.7, 0.05, -0.1, 0.1],
    ),
}


@groups
@conventions
def test_composition_is_reading_twice(family, align_corners):
    image = torch.from_numpy(smooth((96, 128)))[None, None]
    turn, stretch = torch.tensor(TWICE[type(family)], dtype=torch.float64)[:, None]

    def read(image: Tensor, params: Tensor) -> Tensor:
        grid = family.grid(params, (96, 128), align_corners=align_corners)
        return sample(image, grid, padding="border", align_corners=align_corners)

    twice = read(read(image, turn), stretch)
    once = read(image, family.compose(turn, stretch))
    backwards = read(image, family.compose(stretch, turn))
    # Reading a smooth image bilinearly is off by at most h^2 / 8 * |f''| along each
    # axis: here (1/16)^2 / 8 * (1.3 + 2.2), three times. The edge band, where one of
    # the readings met the border, is left out.
    inside = (slice(None), slice(None), slice(12, -12), slice(16, -16))
    bound = 3 * (1 / 16) ** 2 / 8 * 3.5
    assert (twice - once)[inside].abs().max() < bound
    if type(family) is not Translation:
        assert (twice - backwards)[inside].abs().max() > 10 * bound


@groups
@given(seeds)
@settings(max_examples=40)
def test_a_warp_and_its_inverse_leave_the_image(family, seed):
    params = near_identity(seed, family=family)
    inverse = family.inverse(params)
    identity = family.identity().double().expand(3, -1)
    for there_and_back in (
        family.compose(params, inverse),
        family.compose(inverse, params),
    ):
        torch.testing.assert_close(there_and_back, identity, rtol=0, atol=1e-13)
    expected = np.linalg.inv(square(params, family))
    expected = expected / expected[:, 2:, 2:]
    np.testing.assert_allclose(square(inverse, family), expected, atol=1e-12)


@groups
def test_inverse_and_composition_pass_gradients(family):
    params = near_identity(5, 2, family=family).requires_grad_()
    assert gradcheck(family.inverse, params)
    other = near_identity(6, 2, family=family).requires_grad_()
    assert gradcheck(family.compose, (params, other))


@groups
@pytest.mark.parametrize("dtype", [*HALVES, *FLOATS])
def test_composition_and_inverse_keep_type_and_device(family, dtype, device):
    params = near_identity(7, family=family).to(device, dtype)
    for got, exact in (
        (family.inverse(params), family.inverse(params.double())),
        (
            family.compose(params, params),
            family.compose(params.double(), params.double()),
        ),
    ):
        assert got.dtype == dtype and got.device == params.device
        tolerance = 16 * torch.finfo(dtype).eps
        torch.testing.assert_close(got.double(), exact, rtol=0, atol=tolerance)


@groups
def test_autocast_changes_no_coordinate(family, device):
    params = near_identity(9, family=family).to(device, torch.float32)
    known = of_shape(family, (3, 4))

    def everything() -> list[Tensor]:
        return [
            family.compose(params, params.flip(0)),
            family.inverse(params),
            convert(params, known, Projective()),
        ]

    expected = everything()
    with torch.autocast(device.type, torch.bfloat16):
        got = everything()
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.dtype == torch.float32
        assert torch.equal(mine, theirs)


@groups
def test_empty_batches_compose_and_invert(family):
    none = torch.zeros(0, family.n_params)
    assert family.inverse(none).shape == (0, family.n_params)
    assert family.compose(none, none).shape == (0, family.n_params)


# ---------------------------------------------------------------- perspective: horizons


def plane(params: list[float], size=(9, 11), **options) -> Tensor:
    """The (9, 11, 2) grid of one perspective view."""
    return Projective().grid(torch.tensor([params]), size, **options)[0]


# The divisor 2 x + 1 vanishes at x = -1/2: what lies left of it is behind the horizon.
HALF_BEHIND = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0, 0.0]
ALL_BUT_A_CORNER = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 300.0, 300.0]


@conventions
def test_points_on_or_behind_the_horizon_are_outside(align_corners):
    points = centres((9, 11), align_corners)
    below = 2 * points[..., 0] + 1
    grid = plane(HALF_BEHIND, align_corners=align_corners)
    assert np.array_equal(grid.isfinite().all(-1), below > 1e-6)
    assert not grid.isnan().any()
    for padding in ("zeros", "border", "reflection"):
        for backend in ("native", "manual"):
            read = sample(
                torch.ones(1, 1, 9, 11),
                grid[None],
                padding=padding,
                backend=backend,
                align_corners=align_corners,
            )
            assert (read[0, 0].numpy()[below <= 1e-6] == 0).all()
            if padding != "zeros":
                np.testing.assert_allclose(read[0, 0].numpy()[below > 1e-6], 1)


def test_a_view_ahead_of_its_horizon_does_not_depend_on_those_beside_it():
    ahead = near_identity(5, n=2, family=Projective()).requires_grad_()
    behind = torch.tensor([[1.0, 0, 0, 0, 1, 0, 2, 0]], dtype=torch.float64)
    alone = Projective().grid(ahead, (6, 7))
    beside = Projective().grid(torch.cat([ahead, behind]), (6, 7))
    assert not beside[2].isfinite().all()  # the second grid is made the long way
    assert torch.equal(alone, beside[:2])
    seed = torch.rand_like(alone)
    gradients = [torch.autograd.grad(g, ahead, seed) for g in (alone, beside[:2])]
    torch.testing.assert_close(*gradients, rtol=1e-14, atol=1e-14)


def test_the_horizon_itself_has_no_place_in_the_image():
    corners = plane(
        [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0], (1, 3), align_corners=True
    )
    # The divisors are 0, 1 and 2.
    assert corners[0, 0].tolist() == [float("inf")] * 2
    assert corners[0, 1:].tolist() == [[1.0, 1.0], [0.5, 0.5]]


@given(
    st.lists(st.floats(-20, 20, width=32), min_size=8, max_size=8),
    st.booleans(),
    st.sampled_from(["native", "manual"]),
    st.sampled_from(["zeros", "border", "reflection"]),
)
def test_no_perspective_whatever_makes_a_nan_or_an_infinite_gradient(
    flat, align_corners, backend, padding
):
    params = torch.tensor([flat, HALF_BEHIND, ALL_BUT_A_CORNER], requires_grad=True)
    grid = Projective().grid(params, (6, 5), align_corners=align_corners)
    assert not grid.isnan().any()
    image = torch.rand(3, 1, 8, 7, generator=torch.Generator().manual_seed(1))
    image.requires_grad_()
    read = sample(
        image, grid, padding=padding, backend=backend, align_corners=align_corners
    )
    assert read.isfinite().all()
    read.square().sum().backward()
    assert params.grad.isfinite().all() and image.grad.isfinite().all()


def test_gradients_come_from_the_points_ahead_alone():
    params = torch.tensor([HALF_BEHIND], dtype=torch.float64, requires_grad=True)
    grid = Projective().grid(params, (9, 11))
    ahead = grid.isfinite()
    assert 0 < ahead.sum() < ahead.numel()

    def ahead_alone(p: Tensor) -> Tensor:
        return Projective().grid(p, (9, 11))[ahead]

    assert gradcheck(ahead_alone, params)
    (behind,) = torch.autograd.grad(grid[~ahead].sum(), params)
    assert behind.tolist() == [[0.0] * 8]


@given(seeds, st.floats(0, 6.28), st.floats(-0.5, 0.5))
def test_lines_stay_lines(seed, angle, offset):
    """A row of points, turned and shifted onto any line: its picture is straight."""
    onto_line = torch.tensor([[np.cos(angle), np.sin(angle), 0.0, offset]]).double()
    line = convert(onto_line, Similarity(aspect=1), Projective())
    view = near_identity(seed, 1, family=Projective())
    line_then_view = Projective().compose(view, line)
    seen = Projective().grid(line_then_view, (1, 9))[0, 0].numpy()
    first, last = seen[0], seen[-1]
    along, across = last - first, seen - first
    doubled_areas = across[:, 0] * along[1] - across[:, 1] * along[0]
    np.testing.assert_allclose(doubled_areas, 0, atol=1e-11)
    # The points stay in order, and their cross-ratio does, as in every perspective.
    steps = across @ along
    assert (np.diff(steps) > 0).all()
    a, b, c, d = steps[[0, 2, 5, 8]]
    ratio = ((c - a) * (d - b)) / ((c - b) * (d - a))
    assert ratio == pytest.approx((5 * 6) / (3 * 8), rel=1e-9)


def test_a_perspective_without_parameters_is_refused():
    """Eight numbers and a last 1 can't hold a view whose middle is not ahead."""
    family = Projective()
    swaps = torch.tensor([[0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]])  # det = -1
    with pytest.raises(ValueError, match="^the inverse of params must have the output"):
        family.inverse(torch.cat([family.identity()[None], swaps]))
    leans = torch.tensor([[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0]])
    for shift in (-1.0, -2.0):  # the middle goes onto the horizon, and behind it
        moves = torch.tensor([[1.0, 0.0, shift, 0.0, 1.0, 0.0, 0.0, 0.0]])
        with pytest.raises(ValueError, match="^the composition of first and second"):
            family.compose(leans, moves)
        assert family.compose(moves, leans).isfinite().all()


# ---------------------------------------------------------------------- other libraries

IN, OUT = (61, 83), (47, 52)


def to_normalized_matrix(size: tuple[int, int], align_corners: bool) -> np.ndarray:
    """Pixels to normalized coordinates, both conventions written out."""
    scale = [2 / (n - 1 if align_corners else n) for n in size[::-1]]
    offset = [-1.0 if align_corners else 1 / n - 1 for n in size[::-1]]
    return np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]], [0, 0, 1]])


@groups
@conventions
def test_the_grid_is_where_opencv_takes_the_points(family, align_corners):
    params = near_identity(20, 1, family=family)
    grid = family.grid(params, OUT, align_corners=align_corners)[0]
    points = centres(OUT, align_corners).reshape(1, -1, 2)
    matrix = square(params, family, aspect(OUT, align_corners))[0]
    expected = cv2.perspectiveTransform(points, matrix)
    np.testing.assert_allclose(grid.reshape(1, -1, 2), expected, atol=1e-12)


@groups
@conventions
def test_images_are_warped_as_opencv_does(family, align_corners):
    image = smooth(IN)
    params = near_identity(21, 1, spread=0.15, family=family)
    grid = family.grid(params, OUT, align_corners=align_corners)
    got = sample(
        torch.from_numpy(image)[None, None],
        grid,
        padding="border",
        align_corners=align_corners,
    )
    # From output pixels to input pixels: what WARP_INVERSE_MAP asks for.
    to_in = np.linalg.inv(to_normalized_matrix(IN, align_corners))
    theta = square(params, family, aspect(OUT, align_corners))[0]
    matrix = to_in @ theta @ to_normalized_matrix(OUT, align_corners)
    expected = cv2.warpPerspective(
        image,
        matrix,
        OUT[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    # OpenCV rounds places to 1/32 pixel, so it may be 1/64 off along each axis. The
    # slope of the picture is at most 1.3 / 16 along x and 1.6 / 16 along y.
    assert np.abs(got[0, 0].numpy() - expected).max() < (1.3 + 1.6) / 16 / 64


def warps_of_kornia():
    """Before 0.9 it has ±1 at the corners' centres alone, whatever it is asked for."""
    pytest.importorskip("kornia", minversion="0.9")
    return pytest.importorskip("kornia.geometry.transform")


@groups
@conventions
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_images_are_warped_as_kornia_does(family, align_corners, padding):
    kornia = warps_of_kornia()
    rng = np.random.default_rng(22)
    image = torch.from_numpy(rng.uniform(size=(2, 3, 12, 15)))
    params = near_identity(22, 2, family=family)
    got = sample(
        image,
        family.grid(params, (9, 14), align_corners=align_corners),
        padding=padding,
        align_corners=align_corners,
    )
    # kornia calls it source from destination; it is normalized output to input.
    expected = kornia.homography_warp(
        image,
        torch.from_numpy(square(params, family, aspect((9, 14), align_corners))),
        (9, 14),
        padding_mode=padding,
        align_corners=align_corners,
    )
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)


@conventions
def test_pixel_homographies_are_those_of_kornia(align_corners):
    kornia = warps_of_kornia()
    image = torch.from_numpy(smooth(IN))[None, None]
    params = near_identity(23, 1, spread=0.2, family=Projective())
    inward = (
        np.linalg.inv(to_normalized_matrix(IN, align_corners))
        @ square(params, Projective())[0]
        @ to_normalized_matrix(OUT, align_corners)
    )
    expected = kornia.warp_perspective(
        image,
        torch.from_numpy(np.linalg.inv(inward))[None],  # input to output pixels
        OUT,
        align_corners=align_corners,
    )
    grid = Projective().grid(params, OUT, align_corners=align_corners)
    got = sample(image, grid, align_corners=align_corners)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)


# ------------------------------------------------------------------------------ errors

GOOD = torch.tensor([[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]])
WRONG = [
    ([1.0, 0.0], TypeError, "must be a floating tensor, got list"),
    (np.zeros((1, 6)), TypeError, "must be a floating tensor, got numpy.ndarray"),
    (GOOD.long(), TypeError, "must be a floating tensor, got torch.int64"),
    (GOOD[:, :4], ValueError, r"must be \(N, 6\), \(N, 2, 3\) or.*got \(1, 4\)"),
    (GOOD[None], ValueError, r"must be \(N, 6\), \(N, 2, 3\) or.*got \(1, 1, 6\)"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_wrong_parameters_are_named(wrong, error, message):
    """The affine family here; the shapes of all, below."""
    family = Affine()
    for name, call in (
        ("params", lambda: family.grid(wrong, (3, 4))),
        ("params", lambda: family.matrix(wrong)),
        ("params", lambda: family.inverse(wrong)),
        ("params", lambda: convert(wrong, family, Projective())),
        ("first", lambda: family.compose(wrong, GOOD)),
        ("second", lambda: family.compose(GOOD, wrong)),
    ):
        with pytest.raises(error, match=f"^{name} {message}"):
            call()


@families
def test_every_family_names_the_shape_it_wants(family):
    n = family.n_params
    for shape in [(), (1, n + 1), (1, n - 1), (1, n, 1), (1, 1, n)]:
        with pytest.raises(ValueError, match=rf"^params must be \(N, {n}\).*got"):
            family.grid(torch.zeros(shape), (3, 4))


def test_warps_of_two_batch_sizes_are_not_composed():
    with pytest.raises(ValueError, match="^second must have the batch size 2.*got 3"):
        Affine().compose(GOOD.expand(2, 6), GOOD.expand(3, 6))


@pytest.mark.parametrize(
    ("size", "error"),
    [((3,), ValueError), ((3, 4, 5), ValueError), ((0, 4), ValueError), (5, TypeError)],
)
@families
def test_a_wrong_output_size_is_named(family, size, error):
    with pytest.raises(error, match="^size must be"):
        family.grid(family.identity()[None], size)


@pytest.mark.parametrize(
    "flat",
    [
        [0.0] * 6,
        [1.0, 2.0, 0.3, 2.0, 4.0, 0.1],  # both axes onto one line
        [0.0, 0.0, 0.5, 0.0, 1.0, 0.0],
        [float("nan"), 0.0, 0.0, 0.0, 1.0, 0.0],
    ],
)
def test_a_warp_that_flattens_the_image_has_no_inverse(flat):
    params = torch.cat([GOOD, torch.tensor([flat])])
    with pytest.raises(ValueError, match="^params must have an inverse, got"):
        Affine().inverse(params)


@groups
def test_no_inverse_is_a_clear_error_in_every_family(family):
    nan = torch.full((1, family.n_params), float("nan"))
    with pytest.raises(ValueError, match="^params must have an inverse, got"):
        family.inverse(nan)
    if type(family) is not Translation:  # which has no point to flatten an image to
        flat = torch.zeros(1, family.n_params)
        with pytest.raises(ValueError, match="^params must have an inverse, got"):
            family.inverse(flat)


# ----------------------------------------------------------- what a family is


def test_families_show_how_they_are_made():
    shown = [repr(family) for family in (*CHAIN, Crop(0.25), Similarity(aspect=2))]
    assert shown == [
        *("Translation()", "Attention()", "Similarity()", "Affine()", "Projective()"),
        *("Crop(scale=0.25)", "Similarity(aspect=2.0)"),
    ]
    spline = ThinPlateSpline((3, 4), stiffness=0.5)
    assert repr(spline) == "ThinPlateSpline(control_points=(3, 4), stiffness=0.5)"


def test_families_are_equal_that_make_the_same_warps():
    spline = ThinPlateSpline((3, 4))
    spline.grid(spline.identity(), (5, 6))  # what it keeps is no difference
    pairs = [
        (Affine(), Affine()),
        (Crop(0.5), Crop()),
        (spline, ThinPlateSpline((3, 4))),
    ]
    for one, other in pairs:
        assert one == other and hash(one) == hash(other)
        assert one == pickle.loads(pickle.dumps(other)) == copy.deepcopy(other)
    different = [*CHAIN, Crop(0.5), Crop(0.25), Similarity(aspect=1), spline]
    different += [ThinPlateSpline((4, 3)), ThinPlateSpline((3, 4), stiffness=1)]
    assert len(set(different)) == len(different)


class Stretch(MatrixFamily):
    """A user's own family of matrices, with a number and a sign in it."""

    entries = ("s 0 0", "0 factor -t", "0 0 1")
    letters = "st"

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor


class Mirror:
    """A user's own family that is no matrix."""

    n_params = 1

    def identity(self) -> Tensor:
        return torch.ones(1)

    def grid(self, params, size, *, align_corners=False) -> Tensor:
        points = base_grid(size, align_corners=align_corners)
        return points * params[:, None, None, :]


def test_a_family_of_ones_own_is_a_family():
    own = Stretch()
    assert own.n_params == 2 and own.identity().tolist() == [1.0, 0.0]
    params = torch.tensor([[2.0, 0.5]])
    expected = [[2.0, 0.0, 0.0], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]]
    assert own.matrix(params).tolist() == [expected]
    assert own.params_of(own.matrix(params)).tolist() == params.tolist()
    there_and_back = own.compose(params, own.inverse(params))
    assert there_and_back.tolist() == [[1.0, 0.0]]
    affine = convert(params, own, Affine())
    assert torch.equal(own.grid(params, (4, 5)), Affine().grid(affine, (4, 5)))
    assert convert(affine, Affine(), own).tolist() == params.tolist()
    assert Stretch(2.0) != own and repr(own) == "Stretch(factor=1.0)"
    assert isinstance(own, Family) and isinstance(Mirror(), Family)


def test_what_is_no_family_is_named():
    check_family(Mirror())
    with pytest.raises(
        TypeError, match="^family must be an instance.*the class Affine"
    ):
        check_family(Affine)
    for wrong in ("affine", None, nn.Identity()):
        with pytest.raises(TypeError, match="^target must be a family of warps"):
            check_family(wrong, "target")


# ---------------------------------------------------------------------------- the crop


def test_a_crop_is_a_part_of_the_image():
    image = torch.arange(64.0).view(1, 1, 8, 8)
    for at, expected in (
        ([0.0, 0.0], image[..., 2:6, 2:6]),
        ([0.5, -0.5], image[..., :4, 4:]),
        ([-0.25, 0.25], image[..., 3:7, 1:5]),
    ):
        grid = Crop(scale=0.5).grid(torch.tensor([at]), (4, 4))
        assert torch.equal(sample(image, grid, backend="manual"), expected)
    middle = Crop(0.5).grid(Crop(0.5).identity()[None], (4, 4))
    assert torch.equal(sample(image, middle, backend="manual"), image[..., 2:6, 2:6])


def test_a_crop_is_the_attention_of_its_scale():
    params = near_identity(30, family=Crop(0.3))
    scale = torch.full((3, 1), 0.3, dtype=torch.float64)
    expected = torch.cat([scale, params], dim=1)
    torch.testing.assert_close(convert(params, Crop(0.3), Attention()), expected)
    assert torch.equal(convert(expected, Attention(), Crop(0.3)), params)
    with pytest.raises(ValueError, match=r"^params must be a warp of Crop\(scale=0.5"):
        convert(expected, Attention(), Crop(0.5))


def test_the_crop_of_a_crop_is_none_of_the_family():
    family = Crop(0.5)
    with pytest.raises(ValueError, match="^the composition of first and second must"):
        family.compose(family.identity(), family.identity())
    with pytest.raises(ValueError, match="^the inverse of params must be a warp of Cr"):
        family.inverse(family.identity())


@pytest.mark.parametrize("scale", [0, -0.5, float("nan"), float("inf")])
def test_a_scale_that_is_not_positive_is_named(scale):
    with pytest.raises(ValueError, match="^scale must be (positive|finite), got"):
        Crop(scale)
    with pytest.raises(ValueError, match="^aspect must be (positive|finite), got"):
        Similarity(aspect=scale)


# ------------------------------------------------------------- matrices for parameters

known_groups = pytest.mark.parametrize(
    "family",
    [Similarity(aspect=0.75) if family == Similarity() else family for family in CHAIN]
    + [Crop(0.3)],
    ids=repr,
)


def rows_of(family) -> int:
    return 3 if family == Projective() else 2


@known_groups
@conventions
@pytest.mark.parametrize("dtype", [*HALVES, *FLOATS])
def test_matrices_make_the_grid_of_their_parameters(family, dtype, align_corners):
    params = near_identity(40, family=family).to(dtype)
    square = family.matrix(params)
    options = {"size": (4, 3), "align_corners": align_corners}
    expected = family.grid(params, **options)
    for matrices in (square, square[:, : rows_of(family)]):
        found = family.grid(matrices, **options)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        alone = family.grid(matrices[1], **options)
        if family.n_params != 3:  # a lone matrix would be parameters there
            torch.testing.assert_close(alone, expected[1], rtol=0, atol=1e-6)
    torch.testing.assert_close(family.grid(params[1], **options), expected[1])
    assert family.identity().shape == family.params_of(square[1]).shape


def test_the_grid_of_an_affine_matrix_is_that_of_its_numbers_bit_for_bit():
    params = near_identity(41).float()
    expected = Affine().grid(params, (5, 7))
    for matrices in (params.view(-1, 2, 3), Affine().matrix(params)):
        assert torch.equal(Affine().grid(matrices, (5, 7)), expected)


@groups
def test_everything_that_takes_parameters_takes_matrices(family):
    known = of_shape(family, (4, 5))
    first, second = near_identity(42, family=known), near_identity(43, family=known)
    a, b = known.matrix(first), known.matrix(second)
    expected = known.compose(first, second)
    for one, other in ((a, b), (first, b), (a, second), (a[:, : rows_of(family)], b)):
        torch.testing.assert_close(known.compose(one, other), expected)
    torch.testing.assert_close(known.inverse(a), known.inverse(first))
    torch.testing.assert_close(known.matrix(a), a)
    upward = convert(a, known, Projective())
    torch.testing.assert_close(upward, convert(first, known, Projective()))


@groups
def test_one_warp_is_composed_with_every_one_of_a_batch(family):
    one, many = near_identity(44, 1, family=family), near_identity(45, family=family)
    expected = family.compose(one.expand(3, -1), many)
    assert torch.equal(family.compose(one, many), expected)
    assert torch.equal(family.compose(one[0], many), expected)
    expected = family.compose(many, one.expand(3, -1))
    assert torch.equal(family.compose(many, one[0]), expected)
    alone = family.compose(one[0], many[0])
    assert alone.shape == (family.n_params,)
    assert family.inverse(one[0]).shape == (family.n_params,)


SHEAR = torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
LEAN = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.1, 0.0, 1.0]])
TURN = torch.tensor([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
MOVE = torch.tensor([[1.0, 0.0, 0.3], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize(
    ("family", "fits", "others"),
    [
        (Translation(), [MOVE], [SHEAR, LEAN, TURN, 2 * MOVE]),
        (Attention(), [MOVE], [SHEAR, LEAN, TURN, 2 * MOVE]),
        (Crop(1.0), [MOVE], [SHEAR, LEAN, TURN, 2 * MOVE]),
        (Crop(0.5), [], [SHEAR, LEAN, TURN, MOVE]),
        (Similarity(aspect=1), [MOVE, TURN], [SHEAR, LEAN, 2 * MOVE]),
        (Similarity(aspect=2), [MOVE], [SHEAR, LEAN, TURN]),
        (Affine(), [MOVE, TURN, SHEAR], [LEAN, 2 * MOVE]),
        (Projective(), [MOVE, TURN, SHEAR, LEAN, 2 * LEAN], [-LEAN]),
    ],
    ids=lambda value: repr(value) if isinstance(value, MatrixFamily) else "",
)
def test_a_matrix_that_is_not_of_the_family_is_refused_everywhere(family, fits, others):
    for matrix in fits:
        family.params_of(matrix)
        family.grid(matrix[None], (3, 4))
    good = family.matrix(family.identity())[None]
    for matrix in others:
        batch = torch.cat([good, matrix[None]])
        for name, function, *arguments in (
            ("matrix", family.params_of, batch),
            ("params", family.grid, batch, (3, 4)),
            ("params", family.matrix, batch),
            ("params", family.inverse, batch),
            ("first", family.compose, batch, good),
            ("second", family.compose, good, batch),
            ("params", convert, batch, family, Projective()),
        ):
            with pytest.raises(ValueError, match=f"^{name} must .* at index 1$"):
                function(*arguments)


def test_rounding_is_no_shear():
    matrix = TURN.clone()
    matrix[0, 1] += 1e-6
    Similarity(aspect=1).params_of(matrix)
    Similarity(aspect=1).params_of(TURN.bfloat16())
    matrix[0, 1] += 1e-3
    with pytest.raises(ValueError, match=r"^matrix must be a warp of Similarity\(aspe"):
        Similarity(aspect=1).params_of(matrix)


def test_what_is_not_known_yet_is_not_checked():
    batch = torch.stack([TURN, SHEAR])
    grids = torch.vmap(lambda m: Similarity(aspect=1).grid(m, (3, 4)))(batch)
    assert torch.equal(grids[0], Similarity(aspect=1).grid(TURN, (3, 4)))


@pytest.mark.parametrize("factor", [1e-9, 0.5, 3.0, 1e9])
def test_a_projective_matrix_has_no_scale(factor):
    params = near_identity(46, family=Projective())
    square = Projective().matrix(params)
    back = Projective().params_of(factor * square)
    torch.testing.assert_close(back, params, rtol=0, atol=1e-14)
    grid = Projective().grid(factor * square, (4, 5))
    torch.testing.assert_close(grid, Projective().grid(params, (4, 5)))


def test_a_view_whose_middle_is_behind_the_horizon_is_refused_and_not_mirrored():
    for corner in (-0.3, 0.0, 1e-8):
        behind = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0, 1, corner]]])
        for name, function, *arguments in (
            ("matrix", Projective().params_of, behind),
            ("params", Projective().grid, behind, (3, 4)),
            ("params", Projective().inverse, behind),
            ("params", convert, behind, Projective(), Affine()),
        ):
            with pytest.raises(ValueError, match=f"^{name} must have the output's mid"):
                function(*arguments)


@groups
def test_nearly_singular_warps_have_no_inverse_however_rounded(family):
    """0.1 and 0.3 are no binary fractions: their determinant need not be 0."""
    flat = torch.tensor([[0.1, 0.1, 0.0], [0.3, 0.3, 0.0], [0.0, 0.0, 1.0]])
    if type(family) in (Affine, Projective):
        sevenths = flat / torch.tensor([[7.0], [7.0], [1.0]])
        for matrix in (flat, sevenths, flat.double()):
            with pytest.raises(ValueError, match="^params must have an inverse"):
                family.inverse(matrix[None])
    small = torch.tensor([[1e-4, 0.0, 0.5], [0.0, 1e-4, 0.5], [0.0, 0.0, 1.0]])
    if type(family) in (Attention, Affine, Projective):  # small is not singular
        assert family.inverse(small[None]).isfinite().all()


# -------------------------------------------------- similarities on images of any shape

SHAPES = [(32, 64), (50, 20), (33, 33), (2, 7)]


@conventions
@pytest.mark.parametrize("size", SHAPES, ids=str)
def test_a_similarity_is_a_rotation_and_a_scale_in_pixels(size, align_corners):
    """The grid, in pixels, is s R p: SciPy's rotation, whatever the image's shape."""
    angle, scale = 0.7, 1.3
    params = torch.tensor([scale * math.cos(angle), scale * math.sin(angle), 0.0, 0.0])
    grid = Similarity().grid(params.double(), size, align_corners=align_corners)
    found = to_pixels(grid, size, align_corners=align_corners).numpy()
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    middle = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    away = np.stack([x, y], axis=-1) - middle
    turned = Rotation.from_euler("z", angle).as_matrix()[:2, :2]
    np.testing.assert_allclose(found, scale * away @ turned.T + middle, atol=1e-6)


@conventions
@pytest.mark.parametrize("size", SHAPES[:3], ids=str)
def test_similarities_compose_and_invert_in_pixels(size, align_corners):
    """Leading a point through both grids, against the grid of the composition."""
    options = {"size": size, "align_corners": align_corners}
    for family in (Similarity(), Similarity(aspect(size, align_corners))):
        first, second = near_identity(50, 2, family=family).split(1)
        known = Similarity(aspect(size, align_corners))
        matrix = known.matrix(first)[0]
        twice = family.grid(second, **options)[0] @ matrix[:2, :2].T + matrix[:2, 2]
        once = family.grid(family.compose(first, second), **options)[0]
        torch.testing.assert_close(once, twice, rtol=0, atol=1e-13)
        back = family.compose(first, family.inverse(first))
        torch.testing.assert_close(back[0], family.identity().double())
        affine = Affine().grid(convert(first, known, Affine()), **options)
        torch.testing.assert_close(affine, family.grid(first, **options))


@conventions
def test_a_similarity_takes_the_theta_of_a_rotation_in_pixels(align_corners):
    size, options = (32, 64), {"align_corners": align_corners}
    matrix = rotation(0.4, 0.8, shift=(3.0, -2.0), center=(31.5, 15.5))
    theta = theta_from_pixels(matrix, size, size, **options)
    found = Similarity().grid(theta, size, **options)
    torch.testing.assert_close(found, Affine().grid(theta, size, **options))
    known = Similarity(aspect(size, align_corners))
    a, b, x, y = known.params_of(theta).tolist()
    assert math.hypot(a, b) == pytest.approx(1 / 0.8, rel=1e-5)
    assert math.atan2(b, a) == pytest.approx(-0.4, rel=1e-5)
    # And the shift is in half heights along both axes.
    reach = 31 / 2 if align_corners else 16
    inverse = np.linalg.inv(matrix[:, :2].double().numpy())
    expected = -inverse @ np.array([3.0, -2.0]) / reach
    np.testing.assert_allclose([x, y], expected, atol=1e-5)


def test_right_angles_of_the_input_need_the_shape_of_the_input():
    """An output of another shape stretches: the rectangle it covers stays one."""
    family, params = Similarity(aspect=2.0), torch.tensor([0.8, 0.6, 0.0, 0.0])
    grid = to_pixels(family.grid(params, (20, 20)), (32, 64))
    along, down = grid[0, 1] - grid[0, 0], grid[1, 0] - grid[0, 0]
    assert abs(along @ down) < 1e-5
    assert along.norm().item() == pytest.approx(2 * down.norm().item(), rel=1e-5)


def test_without_the_shape_there_is_no_matrix():
    family = Similarity()
    for call in (
        lambda: family.matrix(family.identity()),
        lambda: family.params_of(TURN),
        lambda: family.compose(TURN, family.identity()),
        lambda: family.inverse(TURN),
        lambda: convert(family.identity(), family, Affine()),
        lambda: convert(Affine().identity(), Affine(), family),
    ):
        with pytest.raises(ValueError, match=r"width over height.*Similarity\(aspect="):
            call()


# -------------------------------------------------------------------- the nearest warp


def scattered(count: int, places: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    shape = count, places, 2
    return 2 * torch.rand(shape, generator=draw, dtype=torch.float64) - 1


def images_of(family, params: Tensor, points: Tensor) -> Tensor:
    """Where (N, P, 2) points sample the input, one warp for each N."""
    if not isinstance(family, MatrixFamily):
        return torch.cat(
            [family.at(p[None], x) for p, x in zip(params, points, strict=True)]
        )
    ahead = torch.cat([points, torch.ones_like(points[..., :1])], dim=-1)
    images = ahead @ family.matrix(params).mT
    return images[..., :2] / images[..., 2:]


FITTED = [*FAMILIES, Similarity(1.5)]
FITTED = [f for f in FITTED if f != Similarity()]


@pytest.mark.parametrize("family", FITTED, ids=repr)
def test_a_fit_finds_the_warp_that_moved_the_points(family):
    draw = torch.Generator().manual_seed(1)
    away = torch.randn(4, family.n_params, generator=draw, dtype=torch.float64)
    params = family.identity().double() + 0.1 * away
    points = scattered(4, 40)
    found = fit(family, points, images_of(family, params, points))
    torch.testing.assert_close(found, params, rtol=0, atol=1e-9)


@pytest.mark.parametrize("family", FITTED, ids=repr)
def test_points_without_weight_do_not_count(family):
    points = scattered(3, 50)
    params = family.identity().double().expand(3, -1)
    targets = images_of(family, params, points)
    targets[:, 40:] += 5
    weights = torch.ones(3, 50)
    weights[:, 40:] = 0
    found = fit(family, points, targets, weights)
    torch.testing.assert_close(found, params, rtol=0, atol=1e-9)


@pytest.mark.parametrize("family", FITTED, ids=repr)
def test_no_step_away_from_a_fit_is_nearer(family):
    if family == Projective():
        pytest.skip("its distances are weighed with the divisor")
    points, targets = scattered(2, 60), scattered(2, 60, seed=1)
    best = fit(family, points, targets)

    def distance(params: Tensor) -> Tensor:
        return (images_of(family, params, points) - targets).square().sum((1, 2))

    draw = torch.Generator().manual_seed(2)
    for _ in range(20):
        step = torch.randn(best.shape, generator=draw, dtype=torch.float64)
        assert (distance(best + 0.01 * step) > distance(best)).all()


def test_a_fit_of_one_number_is_a_mean():
    points, targets = scattered(1, 30), scattered(1, 30, seed=1)
    mean = (targets - points).mean(dim=1)
    torch.testing.assert_close(fit(Translation(), points, targets), mean)
    weights = torch.rand(
        1, 30, dtype=torch.float64
    )  # of distances: their squares count
    share = (weights**2 / (weights**2).sum())[..., None]
    mean = ((targets - points) * share).sum(dim=1)
    torch.testing.assert_close(fit(Translation(), points, targets, weights), mean)


class Bent:
    """A family of one's own, without a method for single points."""

    n_params = 1

    def identity(self) -> Tensor:
        return torch.zeros(1)

    def grid(self, params, size, *, align_corners=False) -> Tensor:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("family", "points", "targets", "weights", "error", "message"),
    [
        (Affine, (1, 4, 2), (1, 4, 2), None, TypeError, "^family must be"),
        (
            Bent(),
            (1, 4, 2),
            (1, 4, 2),
            None,
            TypeError,
            "^family must have a method at",
        ),
        (Affine(), (4, 2), (4, 2), None, ValueError, "^points must be .N, P, 2."),
        (Affine(), (1, 4, 2), (1, 5, 2), None, ValueError, "^targets must be"),
        (Affine(), (1, 4, 2), (1, 4, 2), (1, 5), ValueError, "^weights must be .1, 4."),
        (Similarity(), (1, 4, 2), (1, 4, 2), None, ValueError, "does not know"),
    ],
)
def test_a_fit_that_makes_no_sense_is_refused(
    family, points, targets, weights, error, message
):
    weights = None if weights is None else torch.ones(weights)
    with pytest.raises(error, match=message):
        fit(family, torch.zeros(points), torch.zeros(targets), weights)


def test_parameters_in_half_precision_are_converted_up_to_their_rounding():
    params = torch.tensor([[0.7, -0.6, 0.1, 0.6, 0.7, -0.2]], dtype=torch.float16)
    stretched = params.clone()
    stretched[0, 4] = 0.9  # an Affine, no Similarity
    found = convert(params, Affine(), Similarity(1.0))
    assert found.dtype == torch.float16
    assert (found.float() - torch.tensor([[0.7, 0.6, 0.1, -0.2]])).abs().max() < 0.01
    with pytest.raises(ValueError, match="warp of Similarity"):
        convert(stretched, Affine(), Similarity(1.0))


def test_a_fit_takes_any_dtype_and_returns_that_of_the_points():
    points = base_grid((3, 3)).view(1, 9, 2)
    for family in (Affine(), ThinPlateSpline((3, 3))):
        for dtype in (torch.float16, torch.float32, torch.float64):
            found = fit(family, points.to(dtype), (points + 0.5).double())
            moved = fit(family, points, points + 0.5)
            assert found.dtype == dtype
            torch.testing.assert_close(found.float(), moved, atol=2e-3, rtol=0)


@pytest.mark.parametrize("scale", [torch.tensor(-1.0), nn.Parameter(torch.tensor(0.5))])
def test_a_tensor_is_no_scale_of_a_crop(scale):
    with pytest.raises((TypeError, ValueError), match="^scale must be"):
        Crop(scale=scale)


class Keystone(MatrixFamily):
    """A picture that is thrown on a wall from below: a divisor of one's own."""

    entries = ("1 0 0", "0 1 0", "0 g 1")
    letters = "g"


class View(MatrixFamily):
    """A perspective of volumes."""

    entries = ("a b c d", "e f g h", "i j k l", "m n o 1")
    letters = "abcdefghijklmno"


def test_a_family_of_ones_own_may_have_a_divisor():
    params = torch.tensor([[0.5]])
    x, y = base_grid((3, 4)).unbind(-1)
    expected = torch.stack([x, y], dim=-1) / (1 + 0.5 * y)[..., None]
    torch.testing.assert_close(Keystone().grid(params, (3, 4))[0], expected)
    as_view = convert(params, Keystone(), Projective())
    assert torch.equal(
        Projective().grid(as_view, (3, 4)), Keystone().grid(params, (3, 4))
    )


def test_a_perspective_of_volumes_counts_up_to_a_factor():
    view = View()
    assert view.params_of(2 * torch.eye(4)).tolist() == view.identity().tolist()
    lean = view.identity()
    lean[-1] = 2.0  # the divisor is 1 + 2 z
    grid = view.grid(lean[None], (2, 1, 1))
    assert grid[0, 0, 0, 0].tolist() == [math.inf] * 3  # z is -0.5: at the horizon
    assert grid[0, 1, 0, 0].tolist() == [0.0, 0.0, 0.25]


def test_an_attribute_may_have_a_name_of_several_letters():
    class Scaled(MatrixFamily):
        entries = ("ab 0 a", "0 0.5 b", "0 0 1")
        letters = "ab"
        ab = 3.0

    expected = [[3.0, 0.0, 5.0], [0.0, 0.5, 6.0], [0.0, 0.0, 1.0]]
    assert Scaled().matrix(torch.tensor([5.0, 6.0])).tolist() == expected
    points = torch.rand(1, 5, 2)
    moved = points * torch.tensor([3.0, 0.5]) + torch.tensor([5.0, 6.0])
    torch.testing.assert_close(
        fit(Scaled(), points, moved), torch.tensor([[5.0, 6.0]]), rtol=1e-4, atol=1e-4
    )


def test_a_kind_of_similarity_keeps_what_else_it_knows():
    class Zoomed(Similarity):
        entries = ("zoom -b x", "b zoom y", "0 0 1")
        letters = "bxy"

        def __init__(self, aspect=None, zoom=1.0):
            super().__init__(aspect)
            self.zoom = zoom

    still = torch.zeros(3)
    known, unknown = Zoomed(1.0, zoom=2.0), Zoomed(zoom=2.0)
    assert torch.equal(unknown.grid(still, (4, 4)), known.grid(still, (4, 4)))
    assert unknown.for_image((4, 8)) == Zoomed(2.0, zoom=2.0)
    assert known.for_image((4, 8)) is known


@pytest.mark.parametrize("family", [Affine(), Projective(), Similarity(aspect=1.0)])
def test_autocast_does_not_round_a_fit(family):
    points = 2 * torch.rand(2, 9, 2, generator=torch.Generator().manual_seed(0)) - 1
    moved = family.grid(family.identity()[None] + 0.1, (3, 3)).flatten(1, 2)
    points = base_grid((3, 3)).flatten(0, 1)[None]
    with torch.autocast("cpu", torch.bfloat16):
        found = fit(family, points, moved)
    torch.testing.assert_close(found, family.identity()[None] + 0.1, atol=1e-5, rtol=0)


def test_a_fit_of_no_warps_has_none():
    none = torch.zeros(0, 12, 2)
    for family in (Affine(), ThinPlateSpline((3, 3))):
        assert fit(family, none, none).shape == (0, family.n_params)
    with pytest.raises(TypeError, match="^weights must be a floating tensor"):
        fit(Affine(), torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), [[1, 1, 1, 1]])


def test_a_composition_has_the_wider_dtype_whichever_comes_first():
    coarse, fine = torch.eye(2, 3).bfloat16()[None], torch.full((1, 6), 0.1234567)
    for pair in ((coarse, fine), (fine, coarse)):
        composed = Affine().compose(*pair)
        assert composed.dtype == torch.float32
