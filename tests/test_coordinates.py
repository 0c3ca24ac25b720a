"""Coordinates, against PyTorch's affine grids, OpenCV's warps and exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.testing import assert_close

from stn_tutorial import (
    Affine,
    Projective,
    base_grid,
    homography,
    rotation,
    sample,
    theta_from_pixels,
    theta_to_pixels,
    to_normalized,
    to_pixels,
)

CONVENTIONS = (False, True)
# PyTorch warns of one-pixel grids with align_corners=True: that is what is compared.
pytestmark = pytest.mark.filterwarnings("ignore:Since version 1.3.0:UserWarning")
conventions = pytest.mark.parametrize("align_corners", CONVENTIONS)
EPS = {torch.float32: 2**-23, torch.float64: 2**-52}


# -------------------------------------------------------------------------- base grids


@conventions
@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("size", [(1, 1), (4, 7), (7, 4), (1, 5), (28, 28), (3, 4, 5)])
def test_base_grid_is_the_affine_grid_of_the_identity(
    size, dtype, align_corners, device
):
    d = len(size)
    theta = torch.eye(d, d + 1, dtype=dtype, device=device)[None]
    expected = F.affine_grid(theta, [1, 1, *size], align_corners=align_corners)[0]
    got = base_grid(size, align_corners=align_corners, dtype=dtype, device=device)
    assert got.shape == (*size, d)
    assert got.dtype == dtype and got.device.type == device.type
    torch.testing.assert_close(got, expected, rtol=0, atol=2 * EPS[dtype])


@given(st.integers(1, 300), st.booleans(), st.sampled_from(list(EPS)))
def test_base_grid_is_the_exact_fraction_rounded(n, align_corners, dtype):
    if not align_corners:
        exact = [Fraction(2 * k + 1, n) - 1 for k in range(n)]
    elif n == 1:
        exact = [Fraction(0)]
    else:
        exact = [Fraction(2 * k, n - 1) - 1 for k in range(n)]
    got = base_grid((n,), align_corners=align_corners, dtype=dtype)
    assert got.shape == (n, 1)
    expected = torch.tensor([float(x) for x in exact], dtype=torch.float64)
    assert torch.equal(got[:, 0], expected.to(dtype))


def test_base_grid_has_x_first_and_rows_first():
    grid = base_grid((2, 4), dtype=torch.float64)
    assert grid[0, 3].tolist() == [0.75, -0.5]
    assert grid[1, 0].tolist() == [-0.75, 0.5]
    volume = base_grid((2, 4, 8), align_corners=False, dtype=torch.float64)
    assert volume[1, 0, 7].tolist() == [0.875, -0.75, 0.5]


@conventions
@pytest.mark.parametrize("size", [(5,), (4, 7), (2, 3, 5)])
def test_base_grid_is_the_same_from_both_ends(size, align_corners):
    grid = base_grid(size, align_corners=align_corners)
    assert torch.equal(grid.flip(*range(len(size))), -grid)


def test_base_grid_follows_the_default_type_and_device():
    assert base_grid((2, 3)).dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert base_grid((2, 3)).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert base_grid((2, 3)).device.type == "cpu"
    assert base_grid((2, 3), device="meta").device.type == "meta"
    assert base_grid((2, 3), dtype=torch.bfloat16).dtype == torch.bfloat16


def test_base_grid_takes_every_kind_of_size():
    expected = base_grid((4, 5))
    for size in ([4, 5], torch.Size([4, 5]), torch.zeros(1, 1, 4, 5).shape[-2:]):
        assert torch.equal(base_grid(size), expected)


SIZE_ERRORS = [
    (5, TypeError, "size must be integers"),
    ((4, 5.0), TypeError, "size must be integers"),
    ((True, 5), TypeError, "size must be integers"),
    ("45", TypeError, "size must be integers"),
    (None, TypeError, "size must be integers"),
    (torch.tensor([4, 5]), TypeError, "size must be integers"),
    ((), ValueError, r"size must be .* with entries >= 1, got \(\)"),
    ((0, 5), ValueError, r"size must be .* with entries >= 1, got \(0, 5\)"),
    ((4, -5), ValueError, r"size must be \(W,\) or"),
    ((2, 3, 4, 5), ValueError, r"size must be \(W,\) or"),
]


@pytest.mark.parametrize(("size", "error", "message"), SIZE_ERRORS)
def test_a_wrong_size_is_named(size, error, message):
    points = torch.zeros(3, 2)
    for call in (
        lambda: base_grid(size),
        lambda: to_pixels(points, size),
        lambda: to_normalized(points, size),
    ):
        with pytest.raises(error, match=f"^{message}"):
            call()


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64, torch.bool, float])
def test_base_grid_wants_a_floating_type(dtype):
    with pytest.raises(TypeError, match="^dtype must be a floating type, got"):
        base_grid((2, 3), dtype=dtype)


# ------------------------------------------------------------------ pixels, normalized


@conventions
def test_minus_one_and_one_are_where_the_convention_says(align_corners):
    ends = torch.tensor([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    got = to_pixels(ends, (4, 7), align_corners=align_corners)
    out = 0.0 if align_corners else 0.5  # from the corner's centre to the edge
    expected = [[0 - out, 0 - out], [3.0, 1.5], [6 + out, 3 + out]]
    assert got.tolist() == expected
    back = to_normalized(got, (4, 7), align_corners=align_corners)
    torch.testing.assert_close(back, ends, rtol=0, atol=1e-15)


@conventions
@pytest.mark.parametrize("size", [(6,), (4, 7), (3, 5, 2)])
def test_base_grid_in_pixels_counts_rows_and_columns(size, align_corners):
    grid = base_grid(size, align_corners=align_corners, dtype=torch.float64)
    got = to_pixels(grid, size, align_corners=align_corners).numpy()
    expected = np.stack(np.indices(size)[::-1], axis=-1)
    np.testing.assert_allclose(got, expected, atol=1e-14)


def test_points_of_every_shape_are_converted_one_by_one():
    points = torch.rand(2, 3, 4, 5, 2, generator=torch.Generator().manual_seed(0))
    got = to_pixels(points, (4, 7))
    assert got.shape == points.shape
    assert torch.equal(got[1, 2, 3, 4], to_pixels(points[1, 2, 3, 4], (4, 7)))
    assert to_pixels(torch.zeros(0, 2), (4, 7)).shape == (0, 2)
    assert to_normalized(torch.zeros(5, 0, 3), (4, 7, 2)).shape == (5, 0, 3)


@given(st.integers(1, 50), st.integers(1, 50), st.booleans(), st.integers(0, 2**32 - 1))
def test_pixels_to_normalized_and_back(height, width, align_corners, seed):
    size = (height, width)
    pixels = torch.from_numpy(np.random.default_rng(seed).uniform(-99, 99, (8, 2)))
    if align_corners:  # an axis of one pixel lies at 0 and can't be told apart
        for axis, n in enumerate((width, height)):
            if n == 1:
                pixels[:, axis] = 0
    there = to_normalized(pixels, size, align_corners=align_corners)
    back = to_pixels(there, size, align_corners=align_corners)
    torch.testing.assert_close(back, pixels, rtol=1e-13, atol=1e-12)


@given(st.integers(1, 50), st.integers(1, 50), st.booleans(), st.integers(0, 2**32 - 1))
def test_normalized_to_pixels_and_back(height, width, align_corners, seed):
    size = (height, width)
    points = torch.from_numpy(np.random.default_rng(seed).uniform(-3, 3, (8, 2)))
    there = to_pixels(points, size, align_corners=align_corners)
    back = to_normalized(there, size, align_corners=align_corners)
    for axis, n in enumerate((width, height)):
        flat = align_corners and n == 1
        expected = torch.zeros(8) if flat else points[:, axis]
        torch.testing.assert_close(back[:, axis], expected.double(), rtol=0, atol=1e-13)


@conventions
def test_conversions_pass_gradients(align_corners):
    points = torch.tensor([[0.3, -0.7]], dtype=torch.float64, requires_grad=True)
    reach = [3.0, 1.5] if align_corners else [3.5, 2.0]
    to_pixels(points, (4, 7), align_corners=align_corners).sum().backward()
    assert points.grad.tolist() == [reach]
    points.grad = None
    to_normalized(points, (4, 7), align_corners=align_corners).sum().backward()
    torch.testing.assert_close(points.grad, 1 / torch.tensor([reach]).double())


@pytest.mark.parametrize("dtype", [*EPS, torch.float16, torch.bfloat16])
def test_conversions_keep_type_and_device(dtype, device):
    points = torch.zeros(3, 2, dtype=dtype, device=device)
    for convert in (to_pixels, to_normalized):
        got = convert(points, (4, 7))
        assert got.dtype == dtype and got.device == points.device


@pytest.mark.parametrize("convert", [to_pixels, to_normalized])
@pytest.mark.parametrize(
    ("points", "error", "message"),
    [
        ([0.0, 1.0], TypeError, "points must be a floating tensor, got list"),
        (torch.zeros(2).int(), TypeError, "points must be a floating .*torch.int32"),
        (torch.tensor(0.0), ValueError, r"points must be \(..., 2\).*got \(\)"),
        (torch.zeros(2, 3), ValueError, r"points must be \(..., 2\).*got \(2, 3\)"),
    ],
)
def test_wrong_points_are_named(points, error, message, convert):
    with pytest.raises(error, match=f"^{message}"):
        convert(points, (4, 7))


# ------------------------------------------------------------------ theta and matrices

IN, OUT = (37, 52), (44, 31)
AFFINE = np.array([[0.9, -0.25, 4.0], [0.2, 1.1, -3.0]])
PROJECTIVE = np.array([[0.9, -0.2, 4.0], [0.2, 1.1, -3.0], [2e-3, -1e-3, 1.0]])
MATRICES = pytest.mark.parametrize("matrix", [AFFINE, PROJECTIVE], ids=["2x3", "3x3"])


def smooth(size: tuple[int, int]) -> np.ndarray:
    """An image without detail finer than about ten pixels."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    waves = np.sin(x / 7.0) * np.cos(y / 5.0) + 0.5 * np.sin((x + 2 * y) / 11.0)
    return waves.astype(np.float32)


def grid_of(theta: torch.Tensor, size, align_corners: bool) -> torch.Tensor:
    """theta (2, 3) or (3, 3) -> (1, H, W, 2), the perspective division included."""
    base = base_grid(size, align_corners=align_corners, dtype=theta.dtype)
    mapped = F.pad(base, (0, 1), value=1.0) @ theta.mT
    if theta.shape[-2] == 3:
        mapped = mapped[..., :2] / mapped[..., 2:]
    return mapped[None]


def opencv_warp(image: np.ndarray, matrix: np.ndarray, size) -> np.ndarray:
    warp = cv2.warpAffine if len(matrix) == 2 else cv2.warpPerspective
    return warp(
        image,
        matrix,
        (size[1], size[0]),  # OpenCV sizes are (width, height)
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


@conventions
@MATRICES
def test_theta_from_pixels_warps_as_opencv_does(matrix, align_corners):
    image = smooth(IN)
    expected = opencv_warp(image, matrix, OUT)

    def warped(align_corners_of_theta: bool) -> np.ndarray:
        theta = theta_from_pixels(
            torch.from_numpy(matrix), IN, OUT, align_corners=align_corners_of_theta
        )
        got = sample(
            torch.from_numpy(image)[None, None],
            grid_of(theta, OUT, align_corners),
            padding="border",
            align_corners=align_corners,
        )
        return got[0, 0].numpy()

    # OpenCV before version 5 rounds positions to 1/32 of a pixel: half a step off along
    # each axis, times the steepest slope.
    slope = np.abs(np.diff(image, axis=0)).max() + np.abs(np.diff(image, axis=1)).max()
    tolerance = slope / 64 + 1e-5
    np.testing.assert_allclose(warped(align_corners), expected, rtol=0, atol=tolerance)
    # The theta of the other convention is further off than that: the test can fail.
    assert np.abs(warped(not align_corners) - expected).max() > 3 * tolerance


@conventions
@MATRICES
def test_theta_reads_where_the_inverse_of_the_matrix_points(matrix, align_corners):
    rng = np.random.default_rng(0)
    source = rng.uniform(0, 30, (1, 20, 2))
    if len(matrix) == 2:
        target = cv2.transform(source, matrix)
    else:
        target = cv2.perspectiveTransform(source, matrix)
    theta = theta_from_pixels(
        torch.from_numpy(matrix), IN, OUT, align_corners=align_corners
    ).numpy()
    # Both conventions written out: normalized = scale * pixel + offset.
    n_in, n_out = np.array(IN[::-1]), np.array(OUT[::-1])
    if align_corners:
        out = 2 * target[0] / (n_out - 1) - 1
        expected = 2 * source[0] / (n_in - 1) - 1
    else:
        out = (2 * target[0] + 1) / n_out - 1
        expected = (2 * source[0] + 1) / n_in - 1
    got = np.concatenate([out, np.ones((20, 1))], axis=1) @ theta.T
    if len(matrix) == 3:
        got = got[:, :2] / got[:, 2:]
    np.testing.assert_allclose(got, expected, atol=1e-12)


@conventions
def test_theta_to_pixels_gives_opencv_the_matrix_of_the_same_warp(align_corners):
    theta = torch.tensor([[0.8, -0.3, 0.1], [0.25, 0.9, -0.05]], dtype=torch.float64)
    image = smooth(IN)
    matrix = theta_to_pixels(theta, IN, OUT, align_corners=align_corners).numpy()
    expected = opencv_warp(image, matrix, OUT)
    grid = F.affine_grid(theta[None], [1, 1, *OUT], align_corners=align_corners)
    got = F.grid_sample(
        torch.from_numpy(image)[None, None],
        grid.float(),
        padding_mode="border",
        align_corners=align_corners,
    )[0, 0].numpy()
    slope = np.abs(np.diff(image, axis=0)).max() + np.abs(np.diff(image, axis=1)).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=slope / 64 + 1e-5)


@conventions
def test_the_matrix_that_does_nothing_is_the_identity_theta(align_corners):
    theta = theta_from_pixels(
        torch.eye(2, 3).double(), (5, 8), (5, 8), align_corners=align_corners
    )
    torch.testing.assert_close(theta, torch.eye(2, 3).double(), rtol=0, atol=1e-15)


def test_halving_an_image_edge_to_edge_is_the_identity_theta():
    # Output pixel k covers input pixels 2k and 2k + 1: x_out = (x_in - 0.5) / 2.
    matrix = torch.tensor([[0.5, 0, -0.25], [0, 0.5, -0.25]], dtype=torch.float64)
    theta = theta_from_pixels(matrix, (8, 12), (4, 6))
    torch.testing.assert_close(theta, torch.eye(2, 3).double(), rtol=0, atol=1e-15)


@st.composite
def thetas(draw) -> torch.Tensor:
    """Well-conditioned affine or projective matrices, (n, 2 or 3, 3), float64."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, n = draw(st.sampled_from([2, 3])), draw(st.integers(1, 3))
    theta = np.eye(rows, 3) + rng.uniform(-0.3, 0.3, (n, rows, 3))
    return torch.from_numpy(theta)


@given(thetas(), st.tuples(*[st.integers(2, 40)] * 4), st.booleans())
@settings(max_examples=80)
def test_theta_to_pixels_and_back(theta, sides, align_corners):
    options = {"in_size": sides[:2], "out_size": sides[2:]}
    options["align_corners"] = align_corners
    matrix = theta_to_pixels(theta, **options)
    assert matrix.shape == theta.shape
    torch.testing.assert_close(
        theta_from_pixels(matrix, **options), theta, rtol=1e-9, atol=1e-9
    )


@conventions
@MATRICES
@pytest.mark.parametrize("convert", [theta_from_pixels, theta_to_pixels])
def test_a_batch_is_converted_one_by_one(convert, matrix, align_corners):
    factors = torch.tensor([1.0, 0.7, 1.3, 2.0]).view(2, 2, 1, 1)
    batch = torch.from_numpy(matrix) * factors
    got = convert(batch, IN, OUT, align_corners=align_corners)
    assert got.shape == batch.shape
    for i in range(2):
        for j in range(2):
            one = convert(batch[i, j], IN, OUT, align_corners=align_corners)
            torch.testing.assert_close(got[i, j], one)
    assert convert(batch[:0], IN, OUT).shape == (0, *batch.shape[1:])


@pytest.mark.parametrize("convert", [theta_from_pixels, theta_to_pixels])
@pytest.mark.parametrize("dtype", [*EPS, torch.float16, torch.bfloat16])
def test_matrices_keep_type_and_device(convert, dtype, device):
    matrix = torch.from_numpy(AFFINE).to(device, dtype)
    got = convert(matrix, IN, OUT)
    assert got.dtype == dtype and got.device == matrix.device
    exact = convert(matrix.double(), IN, OUT)
    # The largest number sets the scale: the small ones are differences of such.
    tolerance = 4 * torch.finfo(dtype).eps * max(1.0, float(exact.abs().max()))
    torch.testing.assert_close(got.double(), exact, rtol=0, atol=tolerance)


@pytest.mark.parametrize("convert", [theta_from_pixels, theta_to_pixels])
def test_matrices_are_not_rounded_under_autocast(convert, device):
    matrix = torch.from_numpy(AFFINE).to(device, torch.float32)
    expected = convert(matrix, IN, OUT)
    with torch.autocast(device.type, torch.bfloat16):
        got = convert(matrix, IN, OUT)
    assert torch.equal(got, expected)


@pytest.mark.parametrize("convert", [theta_from_pixels, theta_to_pixels])
@MATRICES
def test_matrices_pass_gradients(convert, matrix):
    matrix = torch.from_numpy(matrix).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: convert(m, (5, 7), (6, 4)), matrix)


def test_one_pixel_along_an_axis_is_enough_between_edges():
    theta = theta_from_pixels(torch.eye(2, 3).double(), (1, 6), (1, 6))
    torch.testing.assert_close(theta, torch.eye(2, 3).double(), rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("function", "name"), [(theta_from_pixels, "matrix"), (theta_to_pixels, "theta")]
)
def test_a_wrong_matrix_is_named(function, name):
    good = torch.eye(2, 3)
    for wrong, error, message in (
        (AFFINE, TypeError, "must be a floating tensor, got numpy.ndarray"),
        (good.int(), TypeError, "must be a floating tensor, got torch.int32"),
        (torch.zeros(5), ValueError, r"must be .*2, 3.*3, 3.*got \(5,\)"),
        (torch.zeros(3, 2), ValueError, r"must be .*got \(3, 2\)"),
        (torch.zeros(2, 3), ValueError, "must have an inverse"),
        (
            torch.tensor([[1.0, 2, 0], [2, 4, 1]]),
            ValueError,
            "must have an inverse",
        ),
        (torch.stack([good, 0 * good]), ValueError, "must have an inverse"),
        (torch.zeros(3, 3), ValueError, "must have an inverse"),
        (torch.full((2, 3), torch.nan), ValueError, "must have an inverse"),
    ):
        with pytest.raises(error, match=f"^{name} {message}"):
            function(wrong, IN, OUT)


@pytest.mark.parametrize("function", [theta_from_pixels, theta_to_pixels])
@pytest.mark.parametrize("name", ["in_size", "out_size"])
def test_a_wrong_size_of_a_matrix_is_named(name, function):
    for wrong, error, align_corners in (
        ((3, 4, 5), ValueError, False),
        ((3,), ValueError, False),
        ((0, 3), ValueError, False),
        ((3.0, 4.0), TypeError, False),
        (4, TypeError, False),
        ((1, 4), ValueError, True),
        ((4, 1), ValueError, True),
    ):
        sizes = {"in_size": (5, 6), "out_size": (7, 8), name: wrong}
        with pytest.raises(error, match=f"^{name} must be"):
            function(torch.eye(2, 3), **sizes, align_corners=align_corners)


# --------------------------------------------------------------- thetas as parameters


@conventions
def test_parameters_are_thetas_too(align_corners):
    options = {"align_corners": align_corners}
    affine = torch.tensor([[0.8, -0.3, 0.1, 0.2, 0.9, -0.2]]).double()
    projective = torch.tensor([[0.8, -0.3, 0.1, 0.2, 0.9, -0.2, 0.1, 0.05]]).double()
    for params, family in ((affine, Affine()), (projective, Projective())):
        expected = theta_to_pixels(family.matrix(params), IN, OUT, **options)
        found = theta_to_pixels(params, IN, OUT, **options)
        rows = found.shape[-2]
        torch.testing.assert_close(found, expected[..., :rows, :])
        alone = theta_to_pixels(params[0], IN, OUT, **options)
        torch.testing.assert_close(alone, found[0])
        # What one function returns another takes.
        back = theta_from_pixels(found, IN, OUT, **options)
        grid = family.grid(back, OUT, **options)
        torch.testing.assert_close(grid, family.grid(params, OUT, **options))


# ------------------------------------------------------------- rotations, homographies


@pytest.mark.parametrize("angle_deg", [-170, -30, 0, 45, 90, 200])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
def test_a_rotation_about_a_point_is_that_of_opencv(angle_deg, scale):
    # OpenCV counts counter-clockwise on the screen, and in degrees.
    expected = cv2.getRotationMatrix2D((12.5, 7.0), -angle_deg, scale)
    angle = torch.tensor(math.radians(angle_deg), dtype=torch.float64)
    found = rotation(angle, scale, center=(12.5, 7.0))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    shifted = rotation(angle, scale, (3.0, -2.0), center=(12.5, 7.0))
    np.testing.assert_allclose(shifted[:, 2] - found[:, 2], [3.0, -2.0], atol=1e-12)


def test_rotations_come_in_batches():
    angle = torch.linspace(-1, 1, 5, dtype=torch.float64)
    shift = torch.rand(5, 2, generator=torch.Generator().manual_seed(0)).double()
    together = rotation(angle, 0.5, shift)
    assert together.shape == (5, 2, 3) and together.dtype == torch.float64
    for k in range(5):
        torch.testing.assert_close(together[k], rotation(angle[k], 0.5, shift[k]))
    assert rotation(angle[:, None], torch.rand(3)).shape == (5, 3, 2, 3)
    assert rotation(0.5).dtype == torch.float32
    assert gradcheck(
        lambda a, t: rotation(a, a + 2, t, center=t),
        (angle.clone().requires_grad_(), shift.clone().requires_grad_()),
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"angle": "90"}, TypeError, "angle must be numbers, got '90'"),
        ({"angle": torch.tensor(1)}, TypeError, "angle must be a floating tensor"),
        ({"shift": 3.0}, ValueError, r"shift must be \(..., 2\), got \(\)"),
        ({"center": torch.zeros(3)}, ValueError, r"center must be \(..., 2\), got"),
    ],
)
def test_a_wrong_argument_of_a_rotation_is_named(arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        rotation(**{"angle": 0.5, **arguments})


SQUARE = torch.tensor([[0.0, 0.0], [27.0, 0.0], [27.0, 27.0], [0.0, 27.0]])


@given(st.integers(0, 2**32 - 1))
def test_a_homography_is_that_of_opencv(seed):
    rng = np.random.default_rng(seed)
    start = SQUARE.numpy() + rng.uniform(-5, 5, (4, 2)).astype(np.float32)
    end = 2 * SQUARE.numpy() + rng.uniform(91, 109, (4, 2)).astype(np.float32)
    expected = cv2.getPerspectiveTransform(start, end)
    found = homography(torch.from_numpy(start).double(), torch.from_numpy(end).double())
    # OpenCV multiplies coordinates in float32 before it solves in float64.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    seen = cv2.perspectiveTransform(start[None].astype(np.float64), found.numpy())
    np.testing.assert_allclose(seen[0], end, atol=1e-9)
    back = homography(torch.from_numpy(end).double(), torch.from_numpy(start).double())
    product = back @ found
    np.testing.assert_allclose(product / product[2, 2], np.eye(3), atol=1e-7)


def test_homographies_come_in_batches_and_keep_the_type():
    generator = torch.Generator().manual_seed(0)
    moved = SQUARE + 4 * torch.rand(5, 4, 2, generator=generator)
    together = homography(SQUARE, moved)
    assert together.shape == (5, 3, 3) and together.dtype == torch.float32
    points = torch.cat([SQUARE, torch.ones(4, 1)], dim=1)
    seen = points @ together.mT
    torch.testing.assert_close(seen[..., :2] / seen[..., 2:], moved, rtol=0, atol=1e-4)
    assert (seen[..., 2] > 0).all()
    for k in range(5):
        torch.testing.assert_close(together[k], homography(SQUARE, moved[k]))
    assert homography(SQUARE.bfloat16(), SQUARE.bfloat16()).dtype == torch.bfloat16
    doubles = SQUARE.double().requires_grad_(), moved[0].double().requires_grad_()
    assert gradcheck(homography, doubles)


def test_a_homography_far_from_the_origin_is_as_exact():
    """In float32, with the origin a thousand pixels away."""
    moved = SQUARE + torch.tensor([[1.0, 2], [-3, 1], [2, -2], [0, 3]]) + 1000
    points = torch.cat([SQUARE + 1000, torch.ones(4, 1)], dim=1)
    seen = points.double() @ homography(SQUARE + 1000, moved).double().mT
    error = (seen[:, :2] / seen[:, 2:] - moved.double()).abs().max()
    assert error < 0.05


def test_the_origin_may_be_behind_the_horizon():
    """Then no last entry is 1, but the four points stay ahead."""
    view = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, -30]]).double()
    start = SQUARE.double() + 40
    points = torch.cat([start, torch.ones(4, 1).double()], dim=1) @ view.mT
    found = homography(start, points[:, :2] / points[:, 2:])
    assert found[2, 2] < 0
    torch.testing.assert_close(found / found[2, 1], view / view[2, 1])


@pytest.mark.parametrize(
    ("start", "end", "error", "message"),
    [
        (SQUARE[:3], SQUARE, ValueError, r"from_points must be \(..., 4, 2\), got"),
        (SQUARE, SQUARE.long(), TypeError, "to_points must be a floating tensor"),
        (SQUARE, SQUARE.tolist(), TypeError, "to_points must be a floating.*got list"),
        (
            SQUARE * torch.tensor([1.0, 0.0]),
            SQUARE,
            ValueError,
            "from_points must be four",
        ),
        (SQUARE, SQUARE[[0, 1, 1, 2]], ValueError, "to_points must be four points, no"),
        (SQUARE, 0 * SQUARE, ValueError, "to_points must be four points, no three"),
        (SQUARE, SQUARE[[0, 1, 3, 2]], ValueError, "from_points and to_points must st"),
        (SQUARE, SQUARE + math.nan, ValueError, "to_points must be four points, no"),
    ],
)
def test_points_of_no_homography_are_named(start, end, error, message):
    with pytest.raises(error, match=f"^{message}"):
        homography(start, end)
    if start is SQUARE and error is ValueError:  # one of a batch
        with pytest.raises(error, match=f"^{message}.* at index 1$"):
            homography(SQUARE, torch.stack([SQUARE, end]))


def test_points_in_a_line_are_refused_however_rounded():
    """0.1 and 0.3 are no binary fractions: their determinant need not be 0."""
    line = torch.tensor([[0.1, 0.3], [0.2, 0.6], [0.3, 0.9], [1.0, 0.0]])
    for scale in (1.0, 1e-3, 1e3):
        with pytest.raises(ValueError, match="^from_points must be four points"):
            homography(scale * line, SQUARE)


def test_what_is_not_known_yet_is_not_checked():
    batch = torch.stack([SQUARE, SQUARE[[0, 1, 3, 2]]])
    found = torch.vmap(lambda points: homography(SQUARE, points))(batch)
    torch.testing.assert_close(found[0], torch.eye(3))
    singular = torch.stack([torch.eye(2, 3), torch.zeros(2, 3)])
    thetas = torch.vmap(lambda m: theta_from_pixels(m, IN, OUT))(singular)
    torch.testing.assert_close(thetas[0], theta_from_pixels(torch.eye(2, 3), IN, OUT))


@pytest.mark.parametrize("offset", [(3800.0, 2100.0), (5000.0, 5000.0)])
def test_a_small_quadrilateral_far_from_the_origin_has_its_homography(offset):
    square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    far = 8 * square + torch.tensor(offset)
    exact = homography(far.double(), square.double())
    found = homography(far, square)
    ends = torch.cat([far.double(), torch.ones(4, 1, dtype=torch.float64)], dim=1)
    for matrix, tolerance in ((exact, 1e-9), (found.double(), 1e-3)):
        seen = ends @ matrix.mT
        assert_close(seen[:, :2] / seen[:, 2:], square.double(), rtol=0, atol=tolerance)


def test_components_of_a_centre_may_be_tensors():
    c = torch.tensor(2.0, requires_grad=True)
    apart = rotation(0.3, scale=c, center=(c, c), shift=(0.0, 1.0))
    together = rotation(
        0.3, scale=c, center=torch.stack([c, c]), shift=torch.tensor([0.0, 1.0])
    )
    assert torch.equal(apart, together)
    gradients = [torch.autograd.grad(each.sum(), c)[0] for each in (apart, together)]
    assert gradients[0] == gradients[1]
    batch = torch.arange(3.0, dtype=torch.float64)
    assert rotation(0.3, center=(batch, 1)).shape == (3, 2, 3)
    assert rotation(0.3, center=(batch, 1)).dtype == torch.float64
