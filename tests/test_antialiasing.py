"""Sampling while shrinking: against area means, and as smooth as before."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck

from stn_tutorial import Affine, Projective, base_grid, sample
from stn_tutorial.antialiasing import finer_grid, samples_per_side

PADDINGS = ("zeros", "border", "reflection")
BACKENDS = ("native", "manual")


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def affine(*entries: float, size: tuple[int, int], dtype=torch.float64) -> Tensor:
    return Affine().grid(torch.tensor([entries], dtype=dtype), size)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_a_picture_that_shrinks_by_a_whole_factor_becomes_its_area_means(
    factor, backend
):
    image = noise(2, 3, 24, 48)
    grid = base_grid((24 // factor, 48 // factor)).expand(2, -1, -1, -1)
    small = sample(image, grid, antialias=True, backend=backend)
    torch.testing.assert_close(small, F.avg_pool2d(image, factor))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_identity_stays_what_it_is(padding, backend):
    image = noise(1, 2, 9, 14)
    grid = base_grid((9, 14))[None]
    options = {"padding": padding, "backend": backend}
    plain = sample(image, grid, **options)
    assert torch.equal(sample(image, grid, antialias=True, **options), plain)


def test_a_picture_that_grows_is_sampled_as_before():
    image = noise(1, 1, 8, 8)
    grid = affine(0.4, 0.1, 0.2, -0.1, 0.4, 0.0, size=(8, 8), dtype=torch.float32)
    assert torch.equal(sample(image, grid, antialias=True), sample(image, grid))


@pytest.mark.parametrize("angle", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("zoom", [1.5, 2.7, 4.0])
def test_a_shrunk_and_rotated_picture_is_near_the_integral_over_its_patches(
    angle, zoom
):
    image = noise(1, 1, 40, 40, dtype=torch.float64)
    a, b = zoom * math.cos(angle), zoom * math.sin(angle)
    grid = affine(a, -b, 0.1, b, a, 0.0, size=(20, 20)) * 0.5
    integral = F.avg_pool2d(sample(image, _dense(grid, 32)), 32)

    def error(read: Tensor) -> float:
        return (read - integral).square().mean().sqrt().item()

    better = error(sample(image, grid, antialias=True))
    assert better < error(sample(image, grid)) / 2


def _dense(grid: Tensor, n: int) -> Tensor:
    """The same affine warp, sampled n times as densely, by its three corner points."""
    height, width = grid.shape[1:3]
    right = (grid[:, :1, -1:] - grid[:, :1, :1]) / (width - 1)
    down = (grid[:, -1:, :1] - grid[:, :1, :1]) / (height - 1)
    x = (torch.arange(n * width, dtype=grid.dtype) + 0.5) / n - 0.5
    y = (torch.arange(n * height, dtype=grid.dtype) + 0.5) / n - 0.5
    return grid[:, :1, :1] + y[:, None, None] * down + x[:, None] * right


@pytest.mark.parametrize("size", [(3, 5), (1, 4), (1, 1)])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_finer_grid_of_an_affine_grid_is_that_of_a_larger_output(size, n):
    theta = (0.9, -0.4, 0.2, 0.3, 1.6, -0.1)
    finer = finer_grid(affine(*theta, size=size), n)
    assert finer.shape == (1, n * size[0], n * size[1], 2)
    if min(size) > 1:
        larger = affine(*theta, size=(n * size[0], n * size[1]))
        torch.testing.assert_close(finer, larger)


def test_as_many_samples_as_the_longest_step_has_pixels():
    zooms = [(1, 1), (0.3, 0.2), (1.01, 1), (1, 2), (2, 0.1), (3.2, 1), (100, 1)]
    grids = [affine(x, 0, 0, 0, y, 0, size=(20, 20)) for x, y in zooms]
    found = samples_per_side(torch.cat(grids), (20, 20))
    assert found.tolist() == [1, 1, 2, 2, 2, 4, 8]


def test_the_other_convention_has_steps_of_its_own():
    grid = base_grid((5, 5), align_corners=True)[None]
    assert samples_per_side(grid, (9, 9), align_corners=True).tolist() == [2]
    small = sample(noise(1, 1, 9, 9), grid, align_corners=True, antialias=True)
    assert small.isfinite().all()


def test_a_number_is_the_number_of_samples_a_side():
    image, grid = noise(1, 1, 8, 8), base_grid((8, 8))[None]
    expected = F.avg_pool2d(sample(image, finer_grid(grid, 3)), 3)
    torch.testing.assert_close(sample(image, grid, antialias=3), expected)
    torch.testing.assert_close(sample(image, grid, antialias=np.int64(3)), expected)


@pytest.mark.parametrize("wrong", [-1, 0, 1, 1.5, 2.0, "yes", None])
def test_another_number_is_refused(wrong):
    with pytest.raises(ValueError, match="^antialias must be True, False or a whole"):
        sample(noise(1, 1, 4, 4), base_grid((4, 4))[None], antialias=wrong)


ZOOMS = (1.0, 3.4, 0.5, 2.0, 1e3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_an_image_gives_the_same_alone_and_in_any_batch(interpolation, backend):
    images = noise(len(ZOOMS), 2, 16, 12)
    grids = torch.cat([affine(z, 0.1, 0, 0, z, 0, size=(9, 7)) for z in ZOOMS]).float()
    options = {"antialias": True, "interpolation": interpolation, "backend": backend}
    together = sample(images, grids, fill=0.3, **options)
    for k in range(len(ZOOMS)):
        alone = sample(images[k], grids[k], fill=0.3, **options)
        torch.testing.assert_close(together[k], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_gradients_of_an_image_do_not_depend_on_its_batch(backend):
    images = noise(len(ZOOMS), 2, 16, 12, dtype=torch.float64)
    grids = torch.cat([affine(z, 0.1, 0, 0, z, 0, size=(9, 7)) for z in ZOOMS])

    def gradients(image: Tensor, grid: Tensor) -> tuple[Tensor, ...]:
        inputs = (image.clone().requires_grad_(), grid.clone().requires_grad_())
        out = sample(*inputs, antialias=True, backend=backend)
        return torch.autograd.grad(out.square().sum(), inputs)

    together = gradients(images, grids)
    for k in range(len(ZOOMS)):
        alone = gradients(images[k], grids[k])
        for one, of_all in zip(alone, together):
            torch.testing.assert_close(of_all[k], one, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [True, 3])
@pytest.mark.parametrize("shape", [(0, 4, 5), (2, 0, 5), (2, 4, 0)])
def test_an_empty_batch_or_output_is_empty(shape, n):
    got = sample(noise(shape[0], 3, 6, 6), torch.zeros(*shape, 2), antialias=n)
    assert got.shape == (shape[0], 3, *shape[1:])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("zoom", [1e10, 1e19, 1e30, 1e38, math.inf, math.nan])
def test_grids_as_wide_as_numbers_go_read_the_fill(zoom, backend):
    grid = (base_grid((4, 5)) * zoom).requires_grad_()
    image = noise(2, 6, 6).requires_grad_()
    read = sample(image, grid, fill=-2.0, antialias=True, backend=backend)
    assert torch.equal(read, torch.full_like(read, -2.0))
    for gradient in torch.autograd.grad(read.sum(), (image, grid)):
        assert not gradient.any()


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_each_channel_has_its_own_fill(interpolation, backend):
    grid = base_grid((4, 5)) * 4  # its patches are 8 pixels by 6
    options = {"interpolation": interpolation, "backend": backend}
    fills = (0.25, -3.0, 1e6)
    read = sample(noise(3, 12, 12), grid, fill=fills, antialias=True, **options)
    for channel, fill in enumerate(fills):
        alone = sample(
            noise(3, 12, 12)[channel, None], grid, fill=fill, antialias=True, **options
        )
        torch.testing.assert_close(read[channel, None], alone)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_with_respect_to_image_and_grid(backend):
    image = noise(1, 2, 9, 9, dtype=torch.float64).requires_grad_()
    grid = affine(1.7, 0.3, 0.03, -0.2, 1.9, -0.07, size=(4, 3)).requires_grad_()
    assert gradcheck(
        lambda i, g: sample(i, g, antialias=3, backend=backend), (image, grid)
    )


def test_a_gradient_reaches_past_the_next_pixel():
    """The slope of one reading knows its two neighbours; that of a patch, its rim."""
    image = torch.zeros(1, 1, 1, 32, dtype=torch.float64)
    image[..., 20:] = 1.0
    grid = torch.zeros(1, 2, 2, 2, dtype=torch.float64)
    grid[..., 0] = torch.tensor([0.0, 0.5])  # from the middle, a step of eight pixels
    grid.requires_grad_()
    plain = sample(image, grid)[..., 0].sum()
    smooth = sample(image, grid, antialias=True)[..., 0].sum()
    (alone,) = torch.autograd.grad(plain, grid)
    (patch,) = torch.autograd.grad(smooth, grid)
    assert alone.abs().sum() == 0
    assert patch[..., 0].sum() > 0


def test_points_behind_a_horizon_read_the_fill():
    params = torch.tensor([[1.0, 0, 0, 0, 1, 0, 1.5, 0]])
    grid = Projective().grid(params, (12, 12))
    behind = ~grid.isfinite().all(dim=-1)
    read = sample(noise(1, 1, 12, 12), grid, fill=0.25, antialias=True)
    assert behind.any() and read.isfinite().all()
    assert (read[:, 0][behind] == 0.25).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    image = noise(1, 1, 16, 16).to(dtype)
    grid = base_grid((5, 5))[None]
    got = sample(image, grid, antialias=True)
    assert got.dtype == dtype
    assert torch.equal(got, sample(image.float(), grid, antialias=True).to(dtype))
