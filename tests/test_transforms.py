"""The affine family, against PyTorch's affine grids and matrix algebra."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stn_tutorial import Affine, sample

CONVENTIONS = (False, True)
# PyTorch warns of one-pixel grids with align_corners=True: that is what is compared.
pytestmark = pytest.mark.filterwarnings("ignore:Since version 1.3.0:UserWarning")
conventions = pytest.mark.parametrize("align_corners", CONVENTIONS)
FLOATS = (torch.float32, torch.float64)


@pytest.fixture(
    params=[
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(
                not torch.cuda.is_available(), reason="needs a CUDA device"
            ),
        ),
    ]
)
def device(request) -> torch.device:
    return torch.device(request.param)


def near_identity(seed: int, n: int = 3, spread: float = 0.3) -> Tensor:
    """(n, 6) float64 parameters of warps that can be undone."""
    rng = np.random.default_rng(seed)
    theta = np.eye(2, 3).reshape(1, 6) + rng.uniform(-spread, spread, (n, 6))
    return torch.from_numpy(theta)


def square(params: Tensor) -> np.ndarray:
    """(N, 6) -> (N, 3, 3), the matrices with their last row."""
    theta = params.reshape(-1, 2, 3).numpy()
    last = np.broadcast_to([0.0, 0.0, 1.0], (len(theta), 1, 3))
    return np.concatenate([theta, last], axis=1)


seeds = st.integers(0, 2**32 - 1)


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


@conventions
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("size", [(28, 28), (17, 31), (1, 5), (60, 60)])
def test_identity_returns_the_input(size, padding, align_corners, device):
    family = Affine()
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    image = image.to(device)
    params = family.identity().to(device).expand(2, -1)
    assert params.shape == (2, family.n_params)
    grid = family.grid(params, size, align_corners=align_corners)
    options = {"padding": padding, "align_corners": align_corners}
    assert torch.equal(sample(image, grid, backend="manual", **options), image)
    # What the native kernel's own rounding leaves: see the sampler's identity tests.
    error = (sample(image, grid, **options) - image).abs().max()
    assert error <= sum(size) * 2**-23


def test_identity_leaves_points_where_they_are():
    assert Affine().identity().tolist() == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert Affine().n_params == 6


@conventions
def test_the_grid_passes_gradients(align_corners):
    params = near_identity(3, 2).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: Affine().grid(p, (3, 4), align_corners=align_corners), params
    )


def test_matrix_is_the_parameters_row_by_row():
    params = torch.arange(12.0).view(2, 6)
    assert Affine().matrix(params)[1].tolist() == [
        [6.0, 7.0, 8.0],
        [9.0, 10.0, 11.0],
        [0.0, 0.0, 1.0],
    ]


# ------------------------------------------------------------ composition and inverses


@given(seeds, seeds, st.integers(0, 3))
def test_composition_multiplies_the_matrices_first_by_second(one, other, n):
    first, second = near_identity(one, n, 2.0), near_identity(other, n, 2.0)
    got = Affine().compose(first, second)
    assert got.shape == (n, 6)
    np.testing.assert_allclose(square(got), square(first) @ square(second), atol=1e-12)


@conventions
def test_composition_is_reading_twice(align_corners):
    family = Affine()
    y, x = np.mgrid[0:96, 0:128] / 16.0
    image = torch.from_numpy(np.sin(x) * np.cos(y) + 0.3 * np.sin(x + 2 * y))[
        None, None
    ]
    turn = torch.tensor([[0.8, -0.3, 0.05, 0.2, 0.85, -0.1]], dtype=torch.float64)
    stretch = torch.tensor([[0.6, 0.1, 0.1, 0.0, 0.9, 0.05]], dtype=torch.float64)

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
    assert (twice - backwards)[inside].abs().max() > 10 * bound


@given(seeds)
def test_a_warp_and_its_inverse_leave_the_image(seed):
    family = Affine()
    params = near_identity(seed)
    inverse = family.inverse(params)
    identity = family.identity().double().expand(3, -1)
    for there_and_back in (
        family.compose(params, inverse),
        family.compose(inverse, params),
    ):
        torch.testing.assert_close(there_and_back, identity, rtol=0, atol=1e-13)
    np.testing.assert_allclose(
        square(inverse), np.linalg.inv(square(params)), atol=1e-12
    )


def test_the_inverse_passes_gradients():
    params = near_identity(5, 2).requires_grad_()
    assert torch.autograd.gradcheck(Affine().inverse, params)
    other = near_identity(6, 2).requires_grad_()
    assert torch.autograd.gradcheck(Affine().compose, (params, other))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, *FLOATS])
def test_composition_and_inverse_keep_type_and_device(dtype, device):
    family = Affine()
    params = near_identity(7).to(device, dtype)
    for got, exact in (
        (family.inverse(params), family.inverse(params.double())),
        (
            family.compose(params, params),
            family.compose(params.double(), params.double()),
        ),
    ):
        assert got.dtype == dtype and got.device == params.device
        tolerance = 8 * torch.finfo(dtype).eps
        torch.testing.assert_close(got.double(), exact, rtol=0, atol=tolerance)


def test_autocast_changes_no_coordinate(device):
    family = Affine()
    params = near_identity(9).to(device, torch.float32)

    def everything() -> list[Tensor]:
        return [
            family.grid(params, (9, 13)),
            family.compose(params, params.flip(0)),
            family.inverse(params),
        ]

    expected = everything()
    with torch.autocast(device.type, torch.bfloat16):
        got = everything()
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.dtype == torch.float32
        assert torch.equal(mine, theirs)


def test_an_empty_batch_has_an_empty_grid():
    assert Affine().grid(torch.zeros(0, 6), (3, 4)).shape == (0, 3, 4, 2)
    assert Affine().inverse(torch.zeros(0, 6)).shape == (0, 6)


# ------------------------------------------------------------------------------ errors

GOOD = torch.tensor([[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]])
WRONG = [
    ([1.0, 0.0], TypeError, "must be a tensor, got list"),
    (GOOD.long(), TypeError, "must be floating, got torch.int64"),
    (GOOD[0], ValueError, r"must be \(N, 6\), got \(6,\)"),
    (GOOD.view(1, 2, 3), ValueError, r"must be \(N, 6\), got \(1, 2, 3\)"),
    (GOOD[:, :4], ValueError, r"must be \(N, 6\), got \(1, 4\)"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_wrong_parameters_are_named(wrong, error, message):
    family = Affine()
    for name, call in (
        ("params", lambda: family.grid(wrong, (3, 4))),
        ("params", lambda: family.matrix(wrong)),
        ("params", lambda: family.inverse(wrong)),
        ("first", lambda: family.compose(wrong, GOOD)),
        ("second", lambda: family.compose(GOOD, wrong)),
    ):
        with pytest.raises(error, match=f"^{name} {message}"):
            call()


def test_warps_of_two_batch_sizes_are_not_composed():
    with pytest.raises(ValueError, match=r"^second must be \(2, 6\).*got \(3, 6\)"):
        Affine().compose(GOOD.expand(2, 6), GOOD.expand(3, 6))


@pytest.mark.parametrize(
    ("size", "error"),
    [((3,), ValueError), ((3, 4, 5), ValueError), ((0, 4), ValueError), (5, TypeError)],
)
def test_a_wrong_output_size_is_named(size, error):
    with pytest.raises(error, match="^size must be"):
        Affine().grid(GOOD, size)


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
    with pytest.raises(ValueError, match="^params have no inverse"):
        Affine().inverse(params)
