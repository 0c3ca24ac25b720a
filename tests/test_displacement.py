"""Displacement fields, of images and volumes: grids, roughness, folds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck

from stn_tutorial import Affine, Affine3d, base_grid, rotation_matrix, sample
from stn_tutorial.displacement import (
    displaced_grid,
    folded_fraction,
    jacobian_determinants,
    roughness,
)

SIZES = [(5, 7), (3, 5, 4)]
sizes = pytest.mark.parametrize("size", SIZES, ids=str)
close = torch.testing.assert_close


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


# ------------------------------------------------------------------------------- grids


@sizes
@pytest.mark.parametrize("align_corners", [False, True])
def test_a_displacement_is_in_pixels_along_every_axis(size, align_corners):
    d = len(size)
    image = random(1, 2, *size)
    for axis in range(d):  # x, y, z
        field = torch.zeros(1, d, *size, dtype=torch.float64)
        field[:, axis] = 1.0
        grid = displaced_grid(field, align_corners=align_corners)
        found = sample(image, grid, align_corners=align_corners, backend="manual")
        dim = -1 - axis
        n = image.shape[dim]
        close(found.narrow(dim, 0, n - 1), image.narrow(dim, 1, n - 1))
        assert found.select(dim, n - 1).abs().max() < 1e-12  # from outside
    still = displaced_grid(0 * field, align_corners=align_corners)
    expected = base_grid(size, align_corners=align_corners, dtype=torch.float64)
    assert torch.equal(still[0], expected)


@sizes
def test_fields_pass_gradients_and_half_precision_is_computed_in_single(size):
    field = random(1, len(size), *[2] * len(size)).requires_grad_()
    assert gradcheck(displaced_grid, field) and gradcheck(roughness, field)
    assert displaced_grid(field.detach().half()).dtype == torch.float32


# --------------------------------------------------------------------------- roughness


@sizes
def test_roughness_is_the_mean_squared_difference_along_each_axis(size):
    field = random(2, len(size), *size)
    expected = sum(
        (np.diff(field.numpy(), axis=dim) ** 2).sum(axis=1).mean()
        for dim in range(2, 2 + len(size))
    )
    assert roughness(field).item() == pytest.approx(expected, rel=1e-12)
    assert roughness(field + 3).item() == pytest.approx(expected, rel=1e-9)  # a shift
    assert roughness(0 * field + 3).item() == 0


# --------------------------------------------------------------------------- Jacobians


@sizes
@pytest.mark.parametrize("align_corners", [False, True])
def test_the_determinant_of_an_affine_warp_is_that_of_its_matrix(size, align_corners):
    d = len(size)
    family = Affine() if d == 2 else Affine3d()
    params = family.identity().double() + random(3, family.n_params) - 0.5
    options = {"align_corners": align_corners}
    grid = family.grid(params, size, **options)
    expected = torch.linalg.det(family.matrix(params)).view(3, *[1] * d)
    cells = tuple(n - 1 for n in size)
    close(jacobian_determinants(grid, **options), expected.expand(3, *cells))
    # Of an input that has twice as many pixels a side, it covers 2^d times as many.
    if not align_corners:
        larger = jacobian_determinants(grid, [2 * n for n in size])
        close(larger, (2**d * expected).expand(3, *cells))


def test_the_order_of_the_axes_is_not_lost():
    """A rotation has 1, and swapping two axes has -1, whichever they are."""
    grid = base_grid((4, 4, 4), dtype=torch.float64)[None]
    turned = grid @ rotation_matrix(random(3)).T
    close(jacobian_determinants(turned), torch.ones(1, 3, 3, 3).double())
    for order in ([1, 0, 2], [0, 2, 1], [2, 1, 0]):
        assert folded_fraction(grid[..., order]).item() == 1
    assert folded_fraction(grid[..., [1, 2, 0]]).item() == 0


@sizes
def test_a_wave_folds_where_its_slope_is_steeper_than_the_identity(size):
    d, width = len(size), 40
    shape = (*[3] * (d - 1), width)
    x = torch.arange(width, dtype=torch.float64)
    wave = 2.5 * torch.sin(x / 2)
    field = torch.zeros(1, d, *shape, dtype=torch.float64)
    field[:, 0] = wave
    grid = displaced_grid(field)
    expected = 1 + wave.diff()
    found = jacobian_determinants(grid)
    close(found, expected.expand_as(found))
    share = (expected <= 0).double().mean().item()
    assert 0.1 < share < 0.5
    assert folded_fraction(grid).item() == pytest.approx(share)
    grid[0, ..., 0, 0] = torch.nan
    assert folded_fraction(grid).item() > share


def test_without_a_penalty_a_field_folds_and_with_one_it_does_not():
    """Two blobs of unlike shape in a volume, one led to the other by descent."""
    z, y, x = torch.meshgrid(*[torch.linspace(-2, 2, 8)] * 3, indexing="ij")
    moving = torch.exp(-((x - 0.4) ** 2) - y**2 - 2 * z**2)[None, None]
    fixed = torch.exp(-(x**2) - 2 * (y + 0.3) ** 2 - z**2)[None, None]
    noise = 0.1 * torch.randn(fixed.shape, generator=torch.Generator().manual_seed(0))

    def register(weight: float) -> tuple[float, float]:
        field = torch.zeros(1, 3, 8, 8, 8, requires_grad=True)
        optimizer = torch.optim.Adam([field], lr=0.1)
        for _ in range(60):
            found = sample(moving, displaced_grid(field), padding="border")
            difference = F.mse_loss(found, fixed + noise)
            optimizer.zero_grad()
            (difference + weight * roughness(field)).backward()
            optimizer.step()
        return difference.item(), folded_fraction(displaced_grid(field)).item()

    start = F.mse_loss(moving, fixed + noise).item()
    (free, folds), (smooth, few) = register(0.0), register(0.01)
    assert free < smooth < start
    assert folds > 0.1 and few == 0


# ------------------------------------------------------------------------------ errors


def test_what_is_no_field_or_no_grid_is_named():
    for function, wrong, message in (
        (displaced_grid, torch.zeros(1, 3, 4, 5), "displacement must be"),
        (displaced_grid, torch.zeros(1, 2, 4, 5, 6), "displacement must be"),
        (roughness, torch.zeros(1, 2, 1, 5), "displacement must be 2 pixels long"),
        (jacobian_determinants, torch.zeros(4, 5, 2), "grid must be"),
        (jacobian_determinants, torch.zeros(1, 1, 5, 2), "grid must be"),
        (folded_fraction, torch.zeros(1, 4, 5, 3), "grid must be"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            function(wrong)
    with pytest.raises(ValueError, match=r"^in_size must be \(H, W\)"):
        jacobian_determinants(torch.zeros(1, 4, 5, 2), (3, 4, 5))
    with pytest.raises(TypeError, match="^displacement must be a floating tensor"):
        displaced_grid(torch.zeros(1, 2, 4, 5).int())


def test_a_cell_with_a_corner_at_infinity_counts_as_folded():
    grid = base_grid((2, 2))[None].clone()
    grid[0, 0, 1] = torch.tensor([math.inf, 0.25])
    assert folded_fraction(grid).item() == 1


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_cell_with_any_corner_that_is_not_finite_is_folded(corner):
    grid = base_grid((2, 2))[None].clone()
    grid[0][corner] = torch.nan
    assert folded_fraction(grid).item() == 1


def test_roughness_in_half_precision_is_that_of_single():
    for step in (1e-4, 300.0):
        field = step * torch.tensor([0.0, 1.0]).repeat(1, 2, 3, 1)
        assert roughness(field.half()).item() == pytest.approx(
            roughness(field).item(), rel=0.05
        )


def test_half_precision_folds_no_grid():
    grid = (base_grid((256, 256)) + 1 / 256)[None]
    assert folded_fraction(grid.bfloat16().float()).item() == 0
    assert folded_fraction(grid.bfloat16()).item() == 0
    wide = base_grid((2, 2), dtype=torch.float16)[None]
    assert jacobian_determinants(wide, (600, 600)).item() == 90_000
