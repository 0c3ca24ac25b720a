"""Sampling at a grid, against PyTorch, SciPy, OpenCV, the papers' sums, closed forms.

Random grid points are drawn in pixel coordinates, at least 0.05 away from every whole
and every half pixel: that is where a reading has its kinks and its ties, and where two
right answers may differ. The ties have tests of their own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from stn_tutorial import base_grid, sample

BACKENDS = ("native", "manual")
PADDINGS = ("zeros", "border", "reflection")
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")
CONVENTIONS = (False, True)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
FLOATS = tuple(TOLERANCE)
HALVES = (torch.float16, torch.bfloat16)

backends = pytest.mark.parametrize("backend", BACKENDS)
paddings = pytest.mark.parametrize("padding", PADDINGS)
conventions = pytest.mark.parametrize("align_corners", CONVENTIONS)
interpolations = pytest.mark.parametrize("interpolation", INTERPOLATIONS)


def normalized(pixels: np.ndarray, size: tuple[int, int], align_corners: bool):
    """Pixel (x, y) -> normalized (x, y), from the statement of the two conventions.

    With ``align_corners=True`` the centres of the first and the last pixel are -1 and
    1; with ``False`` the edges are. An axis of one pixel has no extent in the former:
    whatever the coordinate, pixel 0 is read.
    """
    height, width = size
    n = np.array([width, height], dtype=np.float64)
    if align_corners:
        return 2 * pixels / np.maximum(n - 1, 1) - 1
    return (2 * pixels + 1) / n - 1


def off_the_kinks(rng: np.random.Generator, shape, size: tuple[int, int]) -> np.ndarray:
    """Pixel points (*shape, 2) in and around an image, away from wholes and halves."""
    n = np.array([size[1], size[0]])
    whole = rng.integers(-n - 2, 2 * n + 2, (*shape, 2))
    part = rng.uniform(0.05, 0.45, (*shape, 2)) + rng.choice([0, 0.5], (*shape, 2))
    return whole + part


class Reading(NamedTuple):
    image: Tensor
    grid: Tensor
    weights: Tensor  # of the output, to make a scalar of it
    pixels: np.ndarray
    options: dict

    def to(self, device: torch.device) -> Reading:
        image, grid, weights = (t.to(device) for t in self[:3])
        return Reading(image, grid, weights, self.pixels, self.options)


def reading(
    seed: int,
    dtype: torch.dtype,
    *,
    shape=(2, 3, 5, 7),
    out=(4, 3),
    padding: str = "zeros",
    align_corners: bool = False,
) -> Reading:
    rng = np.random.default_rng(seed)
    n, c, *size = shape
    pixels = off_the_kinks(rng, (n, *out), tuple(size))
    grid = normalized(pixels, tuple(size), align_corners)
    return Reading(
        torch.from_numpy(rng.random(shape)).to(dtype),
        torch.from_numpy(grid).to(dtype),
        torch.from_numpy(rng.uniform(-1, 1, (n, c, *out))).to(dtype),
        pixels,
        {"padding": padding, "align_corners": align_corners},
    )


@st.composite
def readings(draw, dtype: torch.dtype = torch.float64, padding=None) -> Reading:
    side = st.integers(1, 8)
    return reading(
        draw(st.integers(0, 2**32 - 1)),
        dtype,
        shape=(
            draw(st.integers(1, 3)),
            draw(st.integers(1, 3)),
            draw(side),
            draw(side),
        ),
        out=(draw(st.integers(1, 5)), draw(st.integers(1, 5))),
        padding=padding or draw(st.sampled_from(PADDINGS)),
        align_corners=draw(st.booleans()),
    )


def of_torch(case: Reading, interpolation: str) -> list[Tensor]:
    """Value and both gradients of PyTorch's own function."""
    image, grid = (t.clone().requires_grad_() for t in case[:2])
    out = F.grid_sample(
        image,
        grid,
        mode=interpolation,
        padding_mode=case.options["padding"],
        align_corners=case.options["align_corners"],
    )
    return [
        out.detach(),
        *torch.autograd.grad((out * case.weights).sum(), (image, grid)),
    ]


def of_sample(case: Reading, **options) -> list[Tensor]:
    """Value and both gradients of the function under test."""
    image, grid = (t.clone().requires_grad_() for t in case[:2])
    out = sample(image, grid, **case.options, **options)
    return [
        out.detach(),
        *torch.autograd.grad((out * case.weights).sum(), (image, grid)),
    ]


def tent_weights(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(P, 2) points -> (P, H * W): every factor of the paper's equation (5)."""
    height, width = size
    weights = np.zeros((len(pixels), height * width))
    for p, (x, y) in enumerate(pixels):
        for h in range(height):
            for w in range(width):
                tent = max(0.0, 1 - abs(x - w)) * max(0.0, 1 - abs(y - h))
                weights[p, h * width + w] = tent
    return weights


# ------------------------------------------------------------------ against PyTorch


@pytest.mark.parametrize("dtype", FLOATS)
@backends
@interpolations
@given(st.data())
@settings(max_examples=60)
def test_values_and_both_gradients_are_those_of_grid_sample(
    dtype, backend, interpolation, data
):
    case = data.draw(readings(dtype))
    expected = of_torch(case, interpolation)
    got = of_sample(case, backend=backend, interpolation=interpolation)
    tolerance = TOLERANCE[dtype]
    for mine, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


@backends
@paddings
@conventions
@interpolations
def test_larger_images_are_read_as_grid_sample_reads_them(
    backend, padding, align_corners, interpolation, device
):
    case = reading(
        7,
        torch.float64,
        shape=(2, 3, 61, 43),
        out=(37, 53),
        padding=padding,
        align_corners=align_corners,
    ).to(device)
    expected = of_torch(case, interpolation)
    got = of_sample(case, backend=backend, interpolation=interpolation)
    for mine, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


@paddings
@conventions
def test_ties_at_whole_pixels_have_the_gradient_of_grid_sample(padding, align_corners):
    # 5 and 8 pixels: normalized coordinates of whole pixels are exact in binary.
    n = 5 if align_corners else 8
    x, y = np.meshgrid(np.arange(-2.0, n + 2), np.arange(-2.0, n + 2))
    grid = normalized(np.stack([x, y], -1), (n, n), align_corners)
    case = reading(3, torch.float64, shape=(1, 2, n, n), out=x.shape)
    case = case._replace(
        grid=torch.from_numpy(grid)[None],
        options={"padding": padding, "align_corners": align_corners},
    )
    for mine, theirs in zip(
        of_sample(case, backend="manual"), of_torch(case, "bilinear"), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_at_a_pixel_the_slope_is_that_on_its_right():
    image = torch.tensor([[[[1.0, 3.0, 7.0, 20.0]]]])
    x = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])  # the last is where the outside begins
    grid = torch.stack([(x - 1.5) / 2, torch.zeros(5)], -1)[None, None].requires_grad_()
    sample(image, grid, backend="manual").sum().backward()
    slopes = grid.grad[0, 0, :, 0] / 2  # a normalized unit is two pixels
    assert slopes.tolist() == [2.0, 4.0, 13.0, -20.0, 0.0]


@backends
@conventions
def test_nearest_ties_go_to_the_even_pixel(backend, align_corners):
    n = 9 if align_corners else 8
    x = np.arange(-1.5, n + 1)  # -1.5, -0.5, ..., n + 0.5
    points = np.stack([x, np.zeros_like(x)], -1)
    grid = torch.from_numpy(normalized(points, (n, n), align_corners))[None, None]
    image = torch.arange(1.0, n * n + 1, dtype=torch.float64).view(1, 1, n, n)
    got = sample(
        image,
        grid,
        interpolation="nearest",
        align_corners=align_corners,
        backend=backend,
        fill=-7.0,
    )
    even = np.rint(x).astype(int)  # IEEE: ties to even
    expected = [k + 1.0 if 0 <= k < n else -7.0 for k in even]
    assert got.flatten().tolist() == expected


# ------------------------------------------------- against the paper and against SciPy


@backends
@given(readings(padding="zeros"), st.floats(-2, 2))
@settings(max_examples=40)
def test_bilinear_reading_is_the_double_sum_of_the_paper(backend, case, fill):
    n, c, *size = case.image.shape
    if case.options["align_corners"] and 1 in size:
        return  # such an axis has no coordinates: see `normalized`
    got = sample(case.image, case.grid, **case.options, backend=backend, fill=fill)
    for k in range(n):
        weights = tent_weights(case.pixels[k].reshape(-1, 2), tuple(size))
        values = case.image[k].reshape(c, -1).numpy()
        outside = 1 - weights.sum(1)
        expected = values @ weights.T + fill * outside
        np.testing.assert_allclose(
            got[k].reshape(c, -1).numpy(), expected, rtol=1e-10, atol=1e-10
        )


@backends
def test_the_image_receives_the_weights_it_was_read_with(backend):
    case = reading(5, torch.float64, shape=(1, 1, 4, 6), out=(3, 5))
    weights = tent_weights(case.pixels.reshape(-1, 2), (4, 6))
    _, grad_image, _ = of_sample(case, backend=backend)
    expected = case.weights.reshape(1, -1).numpy() @ weights
    np.testing.assert_allclose(grad_image.reshape(1, -1), expected, atol=1e-12)


@backends
@given(readings())
@settings(max_examples=40)
def test_paddings_are_the_boundary_modes_of_scipy(backend, case):
    if case.options["align_corners"] and 1 in case.image.shape[-2:]:
        return
    mode = {
        ("border", False): "nearest",
        ("border", True): "nearest",
        ("reflection", False): "reflect",  # about the edge of the image
        ("reflection", True): "mirror",  # about the centre of the corner pixel
        ("zeros", False): "grid-constant",
        ("zeros", True): "grid-constant",
    }[case.options["padding"], case.options["align_corners"]]
    got = sample(case.image, case.grid, **case.options, backend=backend)
    rows_first = np.moveaxis(case.pixels[..., ::-1], -1, 1)  # (N, [y, x], ...)
    for k, image in enumerate(case.image.numpy()):
        for c, channel in enumerate(image):
            expected = map_coordinates(channel, rows_first[k], order=1, mode=mode)
            np.testing.assert_allclose(got[k, c], expected, rtol=1e-10, atol=1e-10)


@backends
@paddings
def test_a_linear_ramp_is_read_exactly_inside(backend, padding):
    y, x = np.mgrid[0:6, 0:9].astype(np.float64)
    ramp = torch.from_numpy(2 * x - 3 * y + 1)[None, None]
    rng = np.random.default_rng(1)
    points = rng.uniform([0, 0], [8, 5], (1, 10, 10, 2))
    grid = torch.from_numpy(normalized(points, (6, 9), False))
    got = sample(ramp, grid, padding=padding, backend=backend)[0, 0].numpy()
    expected = 2 * points[0, ..., 0] - 3 * points[0, ..., 1] + 1
    np.testing.assert_allclose(got, expected, atol=1e-12)


# --------------------------------------------------------------------------- identity

SIZES = [
    (1, 1),
    (1, 9),
    (9, 1),
    (60, 1),
    (2, 3),
    (28, 28),
    (31, 17),
    (58, 57),
    (60, 60),
]


@paddings
@conventions
@interpolations
@pytest.mark.parametrize("dtype", FLOATS)
def test_identity_returns_the_input_exactly(
    dtype, interpolation, padding, align_corners, device
):
    for size in SIZES:
        rng = np.random.default_rng(0)
        image = torch.from_numpy(rng.random((2, 3, *size))).to(device, dtype)
        grid = base_grid(size, align_corners=align_corners, dtype=dtype, device=device)
        got = sample(
            image,
            grid.expand(2, -1, -1, -1),
            interpolation=interpolation,
            padding=padding,
            align_corners=align_corners,
            backend="manual",
        )
        assert torch.equal(got, image), size


@paddings
@conventions
@pytest.mark.parametrize("dtype", FLOATS)
def test_identity_by_the_native_kernel_is_exact_up_to_the_kernels_rounding(
    dtype, padding, align_corners, device
):
    # The kernel computes ((x + 1) n - 1) / 2, whose intermediate results are as large
    # as 2n: a pixel's position is off by up to about n eps along each axis, and
    # the value, in [0, 1], by no more than both together. The bound below is tight: the
    # largest error seen over all sizes up to 60x60 is 0.6 of it (6.7e-6 in float32).
    options = {"padding": padding, "align_corners": align_corners}
    for size in SIZES:
        rng = np.random.default_rng(0)
        image = torch.from_numpy(rng.random((2, 3, *size))).to(device, dtype)
        grid = base_grid(size, align_corners=align_corners, dtype=dtype, device=device)
        got = sample(image, grid.expand(2, -1, -1, -1), **options)
        bound = sum(size) * torch.finfo(dtype).eps
        assert (got - image).abs().max() <= bound, size
        if dtype == torch.float64:
            assert bound < 1e-13


@conventions
@pytest.mark.parametrize("dtype", FLOATS)
def test_identity_is_exact_at_every_length_up_to_a_thousand(dtype, align_corners):
    for n in range(1, 1001, 3):
        image = torch.linspace(0, 1, n, dtype=dtype).view(1, 1, 1, n).sqrt()
        grid = base_grid((1, n), align_corners=align_corners, dtype=dtype)[None]
        got = sample(image, grid, align_corners=align_corners, backend="manual")
        assert torch.equal(got, image), f"length {n}"


FILLS = (1.0, -9999.0, 1e9, -3e38, [-0.42, 1e30, 255.0])


@backends
@interpolations
@conventions
@pytest.mark.parametrize("size", [(28, 28), (20, 31), (1, 9), (2, 2)])
def test_identity_is_the_same_whatever_the_fill(
    size, align_corners, interpolation, backend
):
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(0)) - 0.5
    grid = base_grid(size, align_corners=align_corners)
    options = {"interpolation": interpolation, "backend": backend}
    options["align_corners"] = align_corners
    plain = sample(image, grid, **options)
    for fill in FILLS:
        assert torch.equal(sample(image, grid, fill=fill, **options), plain), fill
    if backend == "manual":
        assert torch.equal(plain, image)


@backends
@interpolations
@conventions
@pytest.mark.parametrize("fill", FILLS)
def test_no_point_whose_neighbours_are_inside_depends_on_the_fill(
    fill, align_corners, interpolation, backend
):
    size, rng = (9, 12), np.random.default_rng(0)
    options = {"interpolation": interpolation, "backend": backend}
    before, after = {"nearest": (0, 0), "bilinear": (0, 1), "bicubic": (1, 2)}[
        interpolation
    ]
    last = np.array([size[1] - 1, size[0] - 1])
    points = rng.uniform([-3, -3], last + 3, (1, 40, 40, 2))
    near = (np.rint if interpolation == "nearest" else np.floor)(points)
    inside = ((near >= before) & (near + after <= last)).all(-1)
    assert 0.2 < inside.mean() < 0.8
    grid = torch.from_numpy(normalized(points, size, align_corners)).float()
    image = torch.from_numpy(rng.uniform(-1, 1, (1, 3, *size))).float()

    def values_and_gradients(fill) -> tuple[Tensor, ...]:
        inputs = image.clone().requires_grad_(), grid.clone().requires_grad_()
        out = sample(*inputs, fill=fill, align_corners=align_corners, **options)
        chosen = out[:, :, torch.from_numpy(inside[0])]
        return chosen.detach(), *torch.autograd.grad(chosen.square().sum(), inputs)

    for with_fill, without in zip(values_and_gradients(fill), values_and_gradients(0)):
        assert torch.equal(with_fill, without)


@backends
@interpolations
def test_the_fill_has_a_gradient(interpolation, backend):
    case = reading(33, torch.float64, shape=(1, 3, 4, 5))
    fill = torch.tensor([0.3, -2.0, 5.0], dtype=torch.float64, requires_grad=True)

    def filled(fill: Tensor) -> Tensor:
        options = {"interpolation": interpolation, "backend": backend}
        return sample(case.image, case.grid, fill=fill, **options)

    assert gradcheck(filled, fill)


# -------------------------------------------------------------------------- gradients


# ---------------------------------------------------------------------------- bicubic


def kernel(distance: np.ndarray, alpha: float = -0.75) -> np.ndarray:
    """Keys' kernel (1981), as the paper writes it."""
    s = np.abs(distance)
    inner = (alpha + 2) * s**3 - (alpha + 3) * s**2 + 1
    outer = alpha * (s**3 - 5 * s**2 + 8 * s - 4)
    return np.where(s <= 1, inner, np.where(s < 2, outer, 0.0))


@backends
@given(readings(padding="zeros"), st.floats(-2, 2))
@settings(max_examples=40)
def test_bicubic_sampling_is_the_double_sum_over_the_kernel(backend, case, fill):
    n, c, height, width = case.image.shape
    if case.options["align_corners"] and 1 in (height, width):
        return
    options = {**case.options, "backend": backend, "interpolation": "bicubic"}
    got = sample(case.image, case.grid, **options, fill=fill)
    for k in range(n):
        x, y = case.pixels[k].reshape(-1, 2, 1).transpose(1, 0, 2)
        across, down = kernel(x - np.arange(width)), kernel(y - np.arange(height))
        weights = (down[:, :, None] * across[:, None]).reshape(len(x), -1)
        expected = case.image[k].reshape(c, -1).numpy() @ weights.T
        expected = expected + fill * (1 - weights.sum(1))
        np.testing.assert_allclose(
            got[k].reshape(c, -1), expected, rtol=1e-10, atol=1e-10
        )


@backends
def test_bicubic_sampling_is_that_of_opencv(backend):
    image = np.random.default_rng(0).random((6, 9), dtype=np.float32)
    for size in ((6, 9), (15, 13), (31, 40)):
        expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC)
        got = sample(
            torch.from_numpy(image)[None],
            base_grid(size),
            interpolation="bicubic",
            padding="border",
            backend=backend,
        )
        np.testing.assert_allclose(got[0], expected, atol=2e-6)


@backends
@paddings
def test_bicubic_sampling_reproduces_what_its_kernel_can(backend, padding):
    # Constants everywhere; of a ramp, pixels and the points halfway between them.
    # Elsewhere it is off by the kernel's moment, (2 alpha + 1) t (1 - t)(2 t - 1).
    y, x = np.mgrid[0:8, 0:9].astype(np.float64)
    ramp = torch.from_numpy(np.stack([np.full_like(x, 0.7), 2 * x - 3 * y + 1]))
    points = np.random.default_rng(1).uniform([1, 1], [7, 6], (10, 10, 2))
    grid = torch.from_numpy(normalized(points, (8, 9), False))
    options = {"interpolation": "bicubic", "padding": padding, "backend": backend}
    constant, line = sample(ramp, grid, **options).numpy()
    np.testing.assert_allclose(constant, 0.7, atol=1e-12)
    t = points - np.floor(points)
    x, y = np.moveaxis(points + (2 * -0.75 + 1) * t * (1 - t) * (2 * t - 1), -1, 0)
    np.testing.assert_allclose(line, 2 * x - 3 * y + 1, atol=1e-12)


def test_bicubic_sampling_has_no_kink_at_a_pixel():
    image = torch.rand(1, 1, 9, generator=torch.Generator().manual_seed(0)).double()
    options = {"interpolation": "bicubic", "backend": "manual"}
    for pixel in range(2, 7):
        slopes = []
        for beside in (-1e-9, 0.0, 1e-9):
            x = torch.tensor(2 * (pixel + beside + 0.5) / 9 - 1, dtype=torch.float64)
            grid = torch.stack([x, x * 0]).view(1, 1, 2).requires_grad_()
            (slope,) = torch.autograd.grad(sample(image, grid, **options).sum(), grid)
            slopes.append(slope[..., 0].item() / 4.5)
        central = 0.75 * (image[0, 0, pixel + 1] - image[0, 0, pixel - 1]).item()
        assert slopes == pytest.approx([central] * 3, abs=1e-6)


@pytest.mark.parametrize("shape", [(2, 2, 3, 4), (1, 1, 1, 4), (1, 2, 3, 1)])
@backends
@paddings
@conventions
@interpolations
def test_gradients_are_those_of_finite_differences(
    interpolation, align_corners, padding, backend, shape
):
    case = reading(
        11,
        torch.float64,
        shape=shape,
        out=(2, 3),
        padding=padding,
        align_corners=align_corners,
    )
    inputs = [t.requires_grad_() for t in case[:2]]
    options = {**case.options, "interpolation": interpolation, "backend": backend}
    if padding == "zeros":
        options["fill"] = torch.linspace(-1, 1, shape[1], dtype=torch.float64)
    assert gradcheck(lambda image, grid: sample(image, grid, **options), inputs)


@backends
@paddings
@conventions
@interpolations
def test_second_gradients_are_those_of_finite_differences(
    interpolation, align_corners, padding, backend
):
    case = reading(
        13,
        torch.float64,
        shape=(2, 2, 3, 4),
        out=(2, 3),
        padding=padding,
        align_corners=align_corners,
    )
    inputs = [t.requires_grad_() for t in case[:2]]
    options = {**case.options, "interpolation": interpolation, "backend": backend}
    if padding == "zeros":
        options["fill"] = -0.42
    if backend == "native":
        _skip_without_native_double_backward(case)
    assert gradgradcheck(
        lambda image, grid: sample(image, grid, **options), inputs, fast_mode=True
    )


def _skip_without_native_double_backward(case: Reading) -> None:
    image, grid = (t.detach().clone().requires_grad_() for t in case[:2])
    out = F.grid_sample(image, grid, align_corners=False)
    (first,) = torch.autograd.grad(out.sum(), grid, create_graph=True)
    try:
        first.sum().backward()
    except RuntimeError:
        pytest.skip("this PyTorch can't differentiate grid_sample twice")


def test_the_mixed_second_derivative_is_the_twist_of_the_cell():
    image = torch.tensor([[[[1.0, 2.0], [5.0, 9.0]]]], dtype=torch.float64)
    grid = torch.tensor([[[[0.1, -0.2]]]], dtype=torch.float64, requires_grad=True)
    hessian = torch.autograd.functional.hessian(
        lambda g: sample(image, g, backend="manual").sum(), grid
    ).view(2, 2)
    twist = 1.0 - 2.0 - 5.0 + 9.0  # nw - ne - sw + se; a normalized unit is one pixel
    assert hessian.tolist() == [[0.0, twist], [twist, 0.0]]


@backends
@interpolations
@given(readings())
@settings(max_examples=40)
def test_scattering_gradients_is_the_adjoint_of_reading(backend, interpolation, case):
    options = {**case.options, "backend": backend, "interpolation": interpolation}
    u = case.image.clone().requires_grad_()
    v = case.weights
    out = sample(u, case.grid, **options)
    (scattered,) = torch.autograd.grad(out, u, v)
    other = torch.flip(case.image, [-1]).sqrt()  # the adjoint holds for every image
    left = (sample(other, case.grid, **options) * v).sum()
    right = (other * scattered).sum()
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


@backends
def test_reading_is_linear_in_the_image(backend):
    case = reading(2, torch.float64, padding="reflection")
    a, b = case.image, case.image.flip(0, 2)

    def read(image: Tensor) -> Tensor:
        return sample(image, case.grid, **case.options, backend=backend)

    torch.testing.assert_close(read(2 * a - 3 * b), 2 * read(a) - 3 * read(b))


@backends
def test_nearest_gradients_count_the_readings_and_have_no_slope(backend):
    case = reading(17, torch.float64, shape=(1, 1, 4, 5), out=(6, 7))
    case = case._replace(weights=torch.ones_like(case.weights))
    _, grad_image, grad_grid = of_sample(case, backend=backend, interpolation="nearest")
    counts = np.zeros((4, 5))
    for x, y in np.rint(case.pixels.reshape(-1, 2)).astype(int):
        if 0 <= x < 5 and 0 <= y < 4:
            counts[y, x] += 1
    assert counts.sum() > 0
    np.testing.assert_array_equal(grad_image[0, 0], counts)
    assert torch.equal(grad_grid, torch.zeros_like(grad_grid))


@backends
@interpolations
@pytest.mark.parametrize("which", ["image", "grid"])
def test_one_gradient_can_be_had_without_the_other(which, interpolation, backend):
    case = reading(19, torch.float64)
    both = of_sample(case, backend=backend, interpolation=interpolation)
    image, grid = case.image.clone(), case.grid.clone()
    wanted = (image if which == "image" else grid).requires_grad_()
    out = sample(image, grid, backend=backend, interpolation=interpolation)
    (out * case.weights).sum().backward()
    expected = both[1] if which == "image" else both[2]
    torch.testing.assert_close(wanted.grad, expected)
    assert (grid if which == "image" else image).grad is None


@backends
@interpolations
def test_without_any_gradient_the_result_needs_none(backend, interpolation):
    case = reading(19, torch.float32)
    out = sample(case.image, case.grid, backend=backend, interpolation=interpolation)
    assert not out.requires_grad


# --------------------------------------------------------- points that are not numbers


@backends
@paddings
@interpolations
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("where", [0, 1, slice(None)])
def test_a_point_that_is_not_finite_reads_as_outside_and_passes_no_gradient(
    where, bad, interpolation, padding, backend, device
):
    case = reading(23, torch.float64, padding=padding).to(device)
    fill = torch.tensor([0.3, -2.0, 5.0], dtype=torch.float64, device=device)
    options = {"backend": backend, "interpolation": interpolation}
    if padding == "zeros":
        options["fill"] = fill
    else:
        fill = torch.zeros(3, dtype=torch.float64, device=device)
    clean = of_sample(case, **options)

    gone = torch.zeros(case.grid.shape[:3], dtype=torch.bool, device=device)
    gone[:, 1, :2] = True
    grid = case.grid.clone()
    grid[:, 1, :2, where] = bad
    out, grad_image, grad_grid = of_sample(case._replace(grid=grid), **options)

    kept = ~gone[:, None].expand_as(out)
    assert torch.equal(out[kept], clean[0][kept])
    assert torch.equal(out[:, :, 1, :2], fill.view(1, 3, 1).expand(2, 3, 2))
    assert torch.equal(grad_grid[gone], torch.zeros_like(grad_grid[gone]))
    assert torch.equal(grad_grid[~gone], clean[2][~gone])
    weights = case.weights.where(kept, 0.0)
    without = of_sample(case._replace(weights=weights), **options)
    torch.testing.assert_close(grad_image, without[1], rtol=1e-12, atol=1e-12)


@backends
@paddings
@interpolations
def test_on_a_side_of_one_pixel_a_point_that_is_not_finite_is_outside_too(
    interpolation, padding, backend
):
    image = torch.full((1, 1, 1, 3), 5.0, requires_grad=True)
    points = torch.tensor([[0.0, torch.nan], [torch.inf, 0.0]]).view(1, 1, 2, 2)
    fill = 9.0 if padding == "zeros" else 0.0
    options = {"padding": padding, "interpolation": interpolation, "backend": backend}
    out = sample(image, points, align_corners=True, fill=fill, **options)
    out.sum().backward()
    assert out.flatten().tolist() == [fill, fill]
    assert image.grad.count_nonzero() == 0


@backends
@interpolations
def test_a_point_that_is_not_finite_reads_no_pixel_not_even_with_weight_zero(
    interpolation, backend
):
    image = torch.full((1, 1, 4, 5), torch.nan)
    points = torch.tensor([[torch.inf, torch.inf], [torch.nan, 0.0]]).view(1, 1, 2, 2)
    out = sample(image, points, interpolation=interpolation, backend=backend)
    assert out.flatten().tolist() == [0.0, 0.0]


@backends
def test_no_gradient_passes_however_large_it_comes(backend):
    image = torch.rand(1, 1, 3, 3).requires_grad_()
    grid = torch.tensor([torch.nan, 0.2]).view(1, 1, 1, 2).requires_grad_()
    sample(image, grid, backend=backend).log().sum().backward()  # log 0 is steep
    assert image.grad.count_nonzero() == grid.grad.count_nonzero() == 0


@paddings
def test_a_point_that_is_not_finite_has_no_second_gradient_either(padding):
    case = reading(29, torch.float64, padding=padding)
    grid = case.grid.clone()
    grid[0, 0, 0, 0] = torch.nan
    image, grid = case.image.requires_grad_(), grid.requires_grad_()
    out = sample(image, grid, **case.options, backend="manual").square().sum()
    first = torch.autograd.grad(out, (image, grid), create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), (image, grid))
    assert all(bool(g.isfinite().all()) for g in (*first, *second))
    assert second[1][0, 0, 0].tolist() == [0.0, 0.0]


@backends
@paddings
@conventions
@interpolations
@pytest.mark.parametrize("dtype", FLOATS)
def test_huge_finite_points_are_read_like_any_other(
    dtype, interpolation, align_corners, padding, backend, device
):
    most = torch.finfo(dtype).max
    far = torch.tensor(
        [1e4, 1e7, 1e10, 1e19, 1e30, most / 8, most], dtype=torch.float64
    )
    far = torch.cat([far, -far])
    points = torch.stack([far, far.flip(0)], dim=-1)[None, None]
    grid = points.to(device, dtype).requires_grad_()
    rng = np.random.default_rng(0)
    image = (
        torch.from_numpy(rng.random((1, 2, 5, 7))).to(device, dtype).requires_grad_()
    )
    options = {} if padding != "zeros" else {"fill": -3.0}
    out = sample(
        image,
        grid,
        padding=padding,
        align_corners=align_corners,
        interpolation=interpolation,
        backend=backend,
        **options,
    )
    out.sum().backward()
    assert bool(grid.grad.isfinite().all()) and bool(image.grad.isfinite().all())
    if padding == "zeros":
        assert torch.equal(out, torch.full_like(out, -3.0))
        assert not image.grad.any() and not grid.grad.any()
    elif padding == "border":
        right = (far > 0).to(device)
        top_right, bottom_left = image[..., 0, -1], image[..., -1, 0]
        expected = torch.where(right, top_right[..., None], bottom_left[..., None])
        torch.testing.assert_close(out[:, :, 0], expected)
        assert not grid.grad.any()
    else:
        assert image.min() - 1e-6 <= out.min() and out.max() <= image.max() + 1e-6


# ------------------------------------------------------------------------------- fill


@backends
@interpolations
@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        (0.25, [0.25, 0.25, 0.25]),
        (-3, [-3.0, -3.0, -3.0]),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]),
        ((1, 2, 3), [1.0, 2.0, 3.0]),
        (torch.tensor(0.5), [0.5, 0.5, 0.5]),
        (torch.tensor([4.0, 5.0, 6.0], dtype=torch.float64), [4.0, 5.0, 6.0]),
        (np.float32(0.75), [0.75, 0.75, 0.75]),
    ],
)
def test_outside_lies_the_fill(fill, expected, interpolation, backend):
    options = {"fill": fill, "interpolation": interpolation, "backend": backend}
    draw = torch.Generator().manual_seed(0)
    for dtype in (*FLOATS, *HALVES):
        image = torch.rand(2, 3, 4, 5, generator=draw).to(dtype)
        got = sample(image, torch.full((2, 1, 2, 2), 3.0, dtype=dtype), **options)
        assert got.dtype == dtype
        wanted = torch.tensor(expected, dtype=dtype).view(1, 3, 1, 1)
        torch.testing.assert_close(got, wanted.expand_as(got))


@backends
def test_an_image_of_the_fill_reads_as_the_fill_everywhere(backend):
    case = reading(31, torch.float64)
    image = torch.full_like(case.image, 0.7)
    got = sample(image, case.grid, fill=0.7, backend=backend)
    torch.testing.assert_close(got, torch.full_like(got, 0.7))


# -------------------------------------------------------------------- shapes and types


@backends
@interpolations
@pytest.mark.parametrize("antialias", [False, 2, True])
def test_one_image_and_one_grid_need_no_batch(antialias, interpolation, backend):
    case = reading(61, torch.float32, shape=(2, 3, 5, 7))
    options = {**case.options, "antialias": antialias, "backend": backend}
    options |= {"interpolation": interpolation, "fill": 0.5}
    (image, other), (grid, _) = case.image, case.grid
    expected = sample(case.image, torch.stack([grid, grid]), **options)
    assert torch.equal(sample(image, grid, **options), expected[0])
    for images in (case.image, torch.stack([image, other])):
        for one in (grid, grid[None]):
            assert torch.equal(sample(images, one, **options), expected)
    grids = torch.stack([grid, grid, grid])
    for one in (image, image[None]):
        many = sample(one, grids, **options)
        assert torch.equal(many, expected[:1].expand_as(many)) and len(many) == 3
    assert sample(image[None], grid, **options).shape == (1, 3, 4, 3)
    assert sample(image, grid[None], **options).shape == (1, 3, 4, 3)


INTEGERS = (torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool)


@backends
@paddings
@pytest.mark.parametrize("dtype", INTEGERS)
def test_nearest_looks_whole_numbers_up_and_keeps_their_dtype(dtype, padding, backend):
    case = reading(67, torch.float64, padding=padding)
    whole = (case.image * 200).round().to(dtype)
    options = {**case.options, "interpolation": "nearest", "backend": backend}
    fill = {"fill": 1} if padding == "zeros" else {}
    got = sample(whole, case.grid, **options, **fill)
    assert got.dtype == dtype
    expected = sample(whole.double(), case.grid, **options, **fill)
    assert torch.equal(got.double(), expected)


def test_the_largest_whole_numbers_are_exact():
    image = torch.tensor([[[2**62 + 1, -(2**62) - 1]]])
    grid = base_grid((1, 2)) * torch.tensor([3.0, 1.0])
    nearest = {"interpolation": "nearest", "fill": 2**53 + 1}
    assert torch.equal(sample(image, base_grid((1, 2)), **nearest), image)
    assert torch.equal(
        sample(image, grid, **nearest), torch.full_like(image, 2**53 + 1)
    )


def test_whole_numbers_have_no_gradient():
    image, grid = torch.arange(6).view(1, 2, 3), base_grid((2, 3)).requires_grad_()
    assert not sample(image, grid, interpolation="nearest").requires_grad


@backends
@paddings
@interpolations
@pytest.mark.parametrize(
    ("shape", "out"),
    [((0, 3, 4, 5), (2, 3)), ((2, 3, 4, 5), (0, 3)), ((2, 1, 4, 5), (2, 0))],
)
def test_an_empty_batch_or_output_is_empty(shape, out, interpolation, padding, backend):
    image = torch.rand(shape).requires_grad_()
    grid = torch.zeros(shape[0], *out, 2).requires_grad_()
    got = sample(
        image, grid, padding=padding, interpolation=interpolation, backend=backend
    )
    assert got.shape == (shape[0], shape[1], *out)
    got.sum().backward()
    assert torch.equal(image.grad, torch.zeros_like(image))
    assert torch.equal(grid.grad, torch.zeros_like(grid))


@backends
@interpolations
def test_how_the_inputs_lie_in_memory_does_not_matter(backend, interpolation):
    case = reading(37, torch.float64, padding="border")
    expected = of_sample(case, backend=backend, interpolation=interpolation)
    image = case.image.to(memory_format=torch.channels_last)
    wide = torch.zeros(*case.grid.shape[:3], 5, dtype=torch.float64)
    wide[..., 1:4:2] = case.grid
    grid = wide[..., 1:4:2]
    weights = case.weights.mT.contiguous().mT
    assert not (image.is_contiguous() or grid.is_contiguous())
    got = of_sample(
        case._replace(image=image, grid=grid, weights=weights),
        backend=backend,
        interpolation=interpolation,
    )
    for mine, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


@backends
@interpolations
def test_an_expanded_image_and_grid_collect_the_gradients_of_all(
    backend, interpolation
):
    case = reading(41, torch.float64, shape=(1, 1, 5, 7))
    expected = of_sample(case, backend=backend, interpolation=interpolation)
    image, grid = (t.clone().requires_grad_() for t in case[:2])
    out = sample(
        image.expand(3, 2, -1, -1),
        grid.expand(3, -1, -1, -1),
        backend=backend,
        interpolation=interpolation,
    )
    (out * case.weights).sum().backward()
    torch.testing.assert_close(out, expected[0].expand(3, 2, -1, -1))
    torch.testing.assert_close(image.grad, 6 * expected[1])
    torch.testing.assert_close(grid.grad, 6 * expected[2])


@backends
@paddings
@interpolations
@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_the_float32_result_rounded(
    dtype, interpolation, padding, backend, device
):
    case = reading(43, torch.float64, padding=padding).to(device)
    image, grid = case.image.to(dtype), case.grid.to(dtype)
    options = {**case.options, "interpolation": interpolation, "backend": backend}
    got = sample(image, grid, **options)
    assert got.dtype == dtype
    assert torch.equal(got, sample(image.float(), grid.float(), **options).to(dtype))


@backends
@interpolations
@pytest.mark.parametrize("image_dtype", [*FLOATS, *HALVES])
def test_image_and_grid_may_differ_in_type(image_dtype, interpolation, backend):
    for grid_dtype in (*FLOATS, *HALVES):
        _assert_types_may_differ(image_dtype, grid_dtype, interpolation, backend)


def _assert_types_may_differ(
    image_dtype: torch.dtype, grid_dtype: torch.dtype, interpolation: str, backend: str
) -> None:
    case = reading(47, torch.float64, padding="border")
    image = case.image.to(image_dtype).requires_grad_()
    grid = case.grid.to(grid_dtype).requires_grad_()
    options = {**case.options, "interpolation": interpolation, "backend": backend}
    got = sample(image, grid, **options)
    assert got.dtype == image_dtype
    got.sum().backward()
    assert image.grad.dtype == image_dtype and grid.grad.dtype == grid_dtype
    wider = (
        torch.float64 if torch.float64 in (image_dtype, grid_dtype) else torch.float32
    )
    exact = sample(image.detach().to(wider), grid.detach().to(wider), **options)
    assert torch.equal(got, exact.to(image_dtype))


def test_the_inputs_are_left_as_they_were():
    case = reading(53, torch.float32)
    case.grid[0, 0, 0, 0] = torch.nan
    for backend in BACKENDS:
        image, grid = case.image.clone(), case.grid.clone()
        sample(image, grid, fill=2.0, backend=backend)
        assert torch.equal(image, case.image)
        torch.testing.assert_close(grid, case.grid, rtol=0, atol=0, equal_nan=True)


# ----------------------------------------------------------------------------- devices


@paddings
@conventions
@interpolations
def test_both_backends_agree_on_every_device(
    interpolation, align_corners, padding, device
):
    case = reading(59, torch.float32, padding=padding, align_corners=align_corners).to(
        device
    )
    manual, native = (
        of_sample(case, backend=backend, interpolation=interpolation)
        for backend in ("manual", "native")
    )
    for mine, theirs in zip(manual, native, strict=True):
        assert mine.device.type == device.type
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------------------ errors

IMAGE = torch.zeros(2, 3, 4, 5)
GRID = torch.zeros(2, 6, 7, 2)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image": [[1.0]]}, TypeError, "image must be a tensor, got list"),
        (
            {"image": IMAGE.long()},
            TypeError,
            "image must be floating .* got torch.int64",
        ),
        ({"image": IMAGE[0, 0]}, ValueError, r"image must be \(N, C, H, W\).*\(4, 5\)"),
        ({"image": IMAGE.numpy()}, TypeError, "image must be a tensor, got numpy.ndar"),
        ({"image": IMAGE[:, :0]}, ValueError, r"image must .*got \(2, 0, 4, 5\)"),
        ({"image": IMAGE[:, :, :0]}, ValueError, r"image must .*got \(2, 3, 0, 5\)"),
        ({"image": IMAGE[..., :0]}, ValueError, r"image must .*got \(2, 3, 4, 0\)"),
        ({"grid": None}, TypeError, "grid must be a floating tensor, got None"),
        (
            {"grid": GRID.int()},
            TypeError,
            "grid must be a floating tensor, got torch.int32",
        ),
        (
            {"grid": GRID.cfloat()},
            TypeError,
            "grid must be a floating tensor, got torch.complex",
        ),
        (
            {"grid": GRID[0, 0]},
            ValueError,
            r"grid must be \(N, H, W, 2\) or \(H, W, 2\), got \(7, 2\)",
        ),
        ({"grid": GRID[..., :1]}, ValueError, r"grid must .*got \(2, 6, 7, 1\)"),
        ({"grid": GRID[[0, 0, 0]]}, ValueError, "grid must have .*batch size 2, got 3"),
        ({"grid": GRID.to("meta")}, ValueError, "grid must be on .*cpu, got meta"),
        (
            {"interpolation": "bicubic!"},
            ValueError,
            "interpolation must be .*'bicubic!'",
        ),
        ({"interpolation": None}, ValueError, "interpolation must be .*got None"),
        ({"padding": "wrap"}, ValueError, "padding must be .*'border'.*got 'wrap'"),
        ({"backend": "cuda"}, ValueError, "backend must be .*'manual'.*got 'cuda'"),
        ({"fill": float("nan")}, ValueError, "fill must be finite, got nan"),
        ({"fill": [0, 1, float("inf")]}, ValueError, "fill must be finite, got"),
        ({"fill": [1.0, 2.0]}, ValueError, r"fill must be one number or 3.*\(2,\)"),
        ({"fill": torch.ones(3, 1)}, TypeError, "fill must be numbers, got tensor"),
        ({"fill": "white"}, TypeError, "fill must be numbers, got 'white'"),
        ({"fill": None}, TypeError, "fill must be numbers, got None"),
        ({"fill": 1.0, "padding": "border"}, ValueError, "fill needs padding='zeros'"),
        ({"fill": 1e39}, ValueError, "fill must be a number that torch.float32 can"),
        ({"fill": [0, 0, -1e39]}, ValueError, "fill must be a number that .* got -1e"),
        ({"fill": 10**400}, ValueError, "fill must be a number that torch.float32 can"),
        (
            {"image": IMAGE.half(), "fill": torch.tensor([0, 1e5, 0])},
            ValueError,
            "fill must be a number that torch.float16 can hold, got 100000.0",
        ),
        (
            {"image": IMAGE.byte(), "interpolation": "nearest", "fill": -1},
            ValueError,
            "fill must be a number that torch.uint8 can hold, got -1",
        ),
        (
            {"image": IMAGE.byte(), "interpolation": "nearest", "fill": 0.5},
            ValueError,
            "fill must be a number that torch.uint8 can hold, got 0.5",
        ),
        (
            {"image": IMAGE.byte(), "interpolation": "nearest", "antialias": True},
            TypeError,
            "image must be floating unless",
        ),
        ({"image": IMAGE.cfloat()}, TypeError, "image must be floating unless"),
        ({"grid": GRID.numpy()}, TypeError, "grid must be .* got numpy.ndarray"),
        ({"align_corners": "no"}, TypeError, "align_corners must be True .*got 'no'"),
        ({"align_corners": 1}, TypeError, "align_corners must be True or False"),
        ({"interpolation": torch.nn.Linear}, ValueError, "interpolation must be"),
        ({"fill": float}, TypeError, "fill must be numbers, got"),
    ],
)
def test_a_wrong_argument_is_named(arguments, error, message):
    arguments = {"image": IMAGE, "grid": GRID, **arguments}
    image, grid = arguments.pop("image"), arguments.pop("grid")
    with pytest.raises(error, match=f"^{message}"):
        sample(image, grid, **arguments)


@backends
def test_numbers_and_flags_may_be_those_of_numpy(backend):
    case = reading(71, torch.float32)
    got = sample(
        case.image,
        case.grid,
        fill=np.array([1, 2, 3]),
        align_corners=np.bool_(True),
        antialias=np.int64(2),
        backend=backend,
    )
    options = {"fill": (1, 2, 3), "align_corners": True, "antialias": 2}
    expected = sample(case.image, case.grid, backend=backend, **options)
    assert torch.equal(got, expected)


def test_options_are_given_by_name():
    with pytest.raises(TypeError):
        sample(IMAGE, GRID, "bilinear")


@backends
@interpolations
@pytest.mark.parametrize(
    ("padding", "fill"), [("zeros", 2.5), *((padding, 0.0) for padding in PADDINGS)]
)
def test_a_grid_known_to_be_near_is_read_to_the_bit_as_any_other(
    monkeypatch, backend, padding, interpolation, fill
):
    torch.manual_seed(0)
    image = torch.rand(3, 2, 5, 7)
    near = 2.5 * torch.rand(3, 4, 6, 2) - 1.25
    seed = torch.rand(3, 2, 4, 6)

    def read(grid: Tensor) -> list[Tensor]:
        given = image.clone().requires_grad_(), grid.clone().requires_grad_()
        options = {"padding": padding, "interpolation": interpolation, "fill": fill}
        out = sample(*given, backend=backend, **options)
        return [out.detach(), *torch.autograd.grad(out, given, seed)]

    quick = read(near)
    odd = near.clone()
    odd[1, 2, 3, 0] = torch.nan  # sends the whole batch the long way
    with_odd = read(odd)
    assert (with_odd[0][1, :, 2, 3] == fill).all()
    assert (with_odd[2][1, 2, 3] == 0).all()
    for i in (0, 2):
        for part, other in zip(quick, with_odd, strict=True):
            assert torch.equal(part[i], other[i])
    monkeypatch.setattr("stn_tutorial.sampling.known_ends", lambda tensor: None)
    for part, other in zip(quick, read(near), strict=True):
        assert torch.equal(part, other)


def test_a_surplus_sample_poisons_no_other_image():
    """Of a batch with patches of two sizes, those beyond an image's own don't count."""
    images = torch.zeros(2, 1, 16, 16)
    images[0, 0, 11, 9] = math.nan
    grids = torch.stack([0.25 * base_grid((4, 4)), base_grid((4, 4))])
    together = sample(images, grids, antialias=True)
    assert not together[0].isnan().any()
    assert_close(together[:1], sample(images[:1], grids[:1], antialias=True))


def test_a_fill_of_zeros_learns_as_any_other():
    fill = nn.Parameter(torch.zeros(3))
    out = sample(torch.ones(1, 3, 4, 4), 3 * base_grid((4, 4))[None], fill=fill)
    out.sum().backward()
    assert fill.grad is not None and (fill.grad > 0).all()


@pytest.mark.parametrize("backend", ["native", "manual"])
@pytest.mark.parametrize("padding", ["border", "reflection"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_no_fill_comes_in_where_the_padding_continues_the_image(
    interpolation, padding, backend
):
    fill = torch.zeros(1, requires_grad=True)
    image, outside = torch.rand(1, 1, 4, 4), torch.full((1, 1, 1, 2), -1.4)
    options = {"interpolation": interpolation, "padding": padding, "backend": backend}
    filled = sample(image, outside, fill=fill, **options)
    assert_close(filled, sample(image, outside, **options), rtol=0, atol=0)
    assert not filled.requires_grad
