"""Families of warps of volumes, against PyTorch, SciPy and the families of images."""

from __future__ import annotations

import copy
import itertools
import math
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from every import every
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from stn_tutorial import (
    Affine,
    Affine3d,
    Family,
    MatrixFamily,
    Rigid3d,
    Similarity,
    Similarity3d,
    SpatialTransformer,
    base_grid,
    convert,
    rotation_matrix,
    rotation_vector,
    sample,
    theta_from_pixels,
    theta_to_pixels,
    to_normalized,
    to_pixels,
    warp,
)
from stn_tutorial.families import dimensions_of, fit
from stn_tutorial.localization import FullyConnectedLocalization, ModernLocalization

CUBE = (1.0, 1.0)
FAMILIES = [Rigid3d(CUBE), Similarity3d(CUBE), Affine3d()]
UNEVEN = [Rigid3d((1.5, 0.5)), Similarity3d((0.75, 2.0))]
SHAPE = (4, 8, 12)  # of UNEVEN[0]
CONVENTIONS = (False, True)
seeds = st.integers(0, 2**32 - 1)
families = every(lambda: {repr(each): each for each in [*FAMILIES, *UNEVEN]})
close = torch.testing.assert_close


def near_identity(family, seed: int = 0, n: int = 3, spread: float = 0.3) -> Tensor:
    """(n, n_params) float64 parameters of warps that can be undone."""
    away = np.random.default_rng(seed).uniform(-spread, spread, (n, family.n_params))
    return family.identity().double() + torch.from_numpy(away)


def volumes(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# --------------------------------------------------------------------------- rotations


@given(seeds, st.floats(-12, 3))
def test_the_rotation_matrix_is_that_of_scipy_and_so_is_the_vector(seed, exponent):
    vectors = np.random.default_rng(seed).normal(size=(4, 3))
    vectors *= 10**exponent / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = Rotation.from_rotvec(vectors)
    matrix = rotation_matrix(torch.from_numpy(vectors))
    # An angle of a thousand radians has lost three of sixteen digits.
    tolerance = 1e-15 * max(1, 10**exponent) + 1e-15
    np.testing.assert_allclose(matrix, expected.as_matrix(), rtol=0, atol=tolerance)
    back = rotation_vector(torch.from_numpy(expected.as_matrix()))
    angles = back.norm(dim=1)
    assert (angles <= math.pi * (1 + 1e-15)).all()
    apart = Rotation.from_rotvec(back.numpy()) * expected.inv()
    assert apart.magnitude().max() < 4e-15 * max(1, 10**exponent)


def test_a_rotation_leads_from_one_axis_to_the_next():
    x, y, z = torch.eye(3, dtype=torch.float64)
    for axis, start, end in ((z, x, y), (x, y, z), (y, z, x)):
        close(rotation_matrix(axis * math.pi / 2) @ start, end, rtol=0, atol=1e-15)
    # About the diagonal by a third of a rotation: x to y, y to z, z to x.
    third = torch.ones(3, dtype=torch.float64) / 3**0.5 * 2 * math.pi / 3
    close(rotation_matrix(third), torch.stack([z, x, y]), rtol=0, atol=1e-15)


def test_half_a_rotation_about_any_axis_has_one_of_its_two_vectors():
    for direction in itertools.product((-1, 0, 1), repeat=3):
        if any(direction):
            axis = torch.tensor(direction, dtype=torch.float64)
            axis = axis / axis.norm() * math.pi
            found = rotation_vector(rotation_matrix(axis))
            sign = (found @ axis).sign()
            close(sign * found, axis, rtol=0, atol=1e-8)  # the cosine is flat there


def test_both_directions_are_smooth_at_no_rotation_and_elsewhere():
    for length in (0.0, 1e-4, 0.4, 0.9999, 1.0001, 3.1):
        vector = torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64) / 3 * length
        vector.requires_grad_()
        assert gradcheck(rotation_matrix, vector, fast_mode=True)
        assert gradgradcheck(rotation_matrix, vector, fast_mode=True)

        def there_and_back(vector: Tensor) -> Tensor:
            return rotation_vector(rotation_matrix(vector))

        jacobian = torch.autograd.functional.jacobian(there_and_back, vector)
        close(jacobian, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-7)
        if length < 3:
            assert gradgradcheck(there_and_back, vector, atol=1e-4, fast_mode=True)
    zero = torch.zeros(2, 3)
    assert torch.equal(rotation_matrix(zero), torch.eye(3).expand(2, 3, 3))
    assert torch.equal(rotation_vector(torch.eye(3)), torch.zeros(3))


def test_what_is_no_rotation_vector_or_matrix_is_named():
    for function, name, wrong in (
        (rotation_matrix, "vector", torch.zeros(2, 4)),
        (rotation_vector, "matrix", torch.zeros(3, 4)),
    ):
        with pytest.raises(ValueError, match=rf"^{name} must be \(\.\.\., .*3\), got"):
            function(wrong)
        with pytest.raises(TypeError, match=f"^{name} must be a floating tensor, got"):
            function(wrong.int())


# ------------------------------------------------------------------------------- grids


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.filterwarnings("ignore:Since version 1.3.0:UserWarning")
@given(seeds, st.integers(1, 3), st.tuples(*[st.integers(1, 7)] * 3), st.booleans())
def test_the_grid_is_the_affine_grid_of_pytorch(dtype, seed, n, size, align_corners):
    params = near_identity(Affine3d(), seed, n, spread=2.0).to(dtype)
    got = Affine3d().grid(params, size, align_corners=align_corners)
    expected = F.affine_grid(
        params.view(n, 3, 4), [n, 1, *size], align_corners=align_corners
    )
    assert got.dtype == dtype
    close(got, expected, rtol=0, atol=32 * torch.finfo(dtype).eps)


@families
def test_identity_is_the_base_grid_and_returns_the_volume(family):
    for size, align in itertools.product(
        ((5, 5, 5), (2, 9, 4), (1, 5, 1)), CONVENTIONS
    ):
        for dtype in (torch.float32, torch.float64):
            params = family.identity().to(dtype).expand(2, -1)
            grid = family.grid(params, size, align_corners=align)
            expected = base_grid(size, align_corners=align, dtype=dtype)
            assert torch.equal(grid, expected.expand(2, *size, 3)), size
            x = volumes(2, 3, *size).to(dtype)
            options = {"family": family, "align_corners": align}
            assert torch.equal(warp(x, params, backend="manual", **options), x)


@pytest.mark.parametrize("align_corners", CONVENTIONS)
@given(seeds)
def test_a_similarity_rotates_and_scales_voxels_whatever_the_shape(align_corners, seed):
    """The grid, in voxels, is s R p + t: SciPy's rotation, t in half the height."""
    vector, scale, shift = np.split(
        near_identity(Similarity3d(), seed, 1, 0.6)[0].numpy(), [3, 4]
    )
    size = (4, 6, 9)
    sides = np.array(size[::-1])
    half = (sides[1] - 1) / 2 if align_corners else sides[1] / 2
    places = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij")[::-1], axis=-1)
    middle = (sides - 1) / 2
    moved = Rotation.from_rotvec(vector).apply((places - middle).reshape(-1, 3))
    turned = moved.reshape(places.shape) + shift * half + middle
    scaled = scale * moved.reshape(places.shape) + shift * half + middle
    options = {"align_corners": align_corners}
    for family, params, expected in (
        (Rigid3d(), [*vector, *shift], turned),
        (Similarity3d(), [*vector, *scale, *shift], scaled),
    ):
        grid = family.grid(torch.tensor(params, dtype=torch.float64), size, **options)
        found = to_pixels(grid, size, **options)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_rotation_about_z_is_the_one_of_images_in_every_layer():
    x = volumes(2, 3, 4, 8, 8)
    turned = torch.tensor([[0.0, 0.0, 0.4, 0.7, 0.1, -0.2, 0.0]])
    flat = torch.tensor([[0.7 * math.cos(0.4), 0.7 * math.sin(0.4), 0.1, -0.2]])
    # The scale would shrink z as well: an affine warp undoes that.
    affine = convert(turned, Similarity3d(CUBE), Affine3d())
    affine[:, 10] = 1.0
    found = warp(x, affine, family=Affine3d(), padding="border")
    for layer in range(4):
        expected = warp(x[:, :, layer], flat, family=Similarity(), padding="border")
        close(found[:, :, layer], expected, rtol=0, atol=1e-5)


@families
def test_grids_pass_gradients_and_keep_their_precision(family):
    params = near_identity(family, 4, 2)
    fast = {"fast_mode": True}
    assert gradcheck(
        lambda p: family.grid(p, (2, 1, 3)), params.requires_grad_(), **fast
    )
    start = family.identity().double()[None].requires_grad_()
    assert gradgradcheck(lambda p: family.grid(p, (1, 2, 2)), start, **fast)
    half = params.detach().half()
    grid = family.grid(half, (2, 3, 4))
    assert grid.dtype == torch.float32
    assert torch.equal(grid, family.grid(half.float(), (2, 3, 4)))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(family.grid(half.float(), (2, 3, 4)), grid)
    assert family.grid(params[:0], (2, 3, 4)).shape == (0, 2, 3, 4, 3)
    close(family.grid(params[1], (2, 3, 4)), family.grid(params, (2, 3, 4))[1])


@families
def test_whatever_the_parameters_are_the_volume_read_is_finite(family):
    broken = [torch.zeros(1, family.n_params)]
    for bad in (float("nan"), float("inf"), 1e30, -1e30):
        broken += [
            row[None]
            for row in family.identity() + bad * torch.eye(len(family.identity()))
        ]
        broken.append(torch.full((1, family.n_params), bad))
    params = torch.cat(broken)
    for padding, backend in itertools.product(
        ("zeros", "border"), ("native", "manual")
    ):
        options = {"family": family, "padding": padding, "backend": backend}
        out = warp(volumes(1, 1, 3, 4, 5), params, (2, 3, 2), **options)
        assert out.isfinite().all() and out.min() >= 0 and out.max() <= 1 + 1e-6


# --------------------------------------------------- matrices, composition and inverses


@families
def test_matrices_do_for_parameters_everywhere(family):
    first, second = near_identity(family, 1), near_identity(family, 2)
    a, b = family.matrix(first), family.matrix(second)
    assert a.shape == (3, 4, 4)
    close(family.params_of(a), first)
    for matrices in (a, a[:, :3]):
        grid = family.grid(matrices, SHAPE)
        close(grid, family.grid(first, SHAPE))
        close(family.grid(matrices[1], SHAPE), grid[1])
        close(family.compose(matrices, second), family.compose(first, second))
    for params, expected in (
        (family.compose(first, second), a @ b),
        (family.inverse(first), torch.linalg.inv(a)),
        (family.compose(first[0], second), a[0] @ b),
    ):
        close(family.matrix(params), expected)
    there_and_back = family.compose(first, family.inverse(first))
    close(there_and_back, family.identity().double().expand(3, -1), rtol=0, atol=1e-14)
    pair = near_identity(family, 3, 1).requires_grad_(), second[:1].requires_grad_()
    assert gradcheck(family.compose, pair, fast_mode=True)
    assert gradcheck(family.inverse, pair[0], fast_mode=True)


def test_compositions_need_not_know_the_shape_and_grids_agree():
    params = near_identity(Rigid3d(), 5, 2)
    first, second = params.split(1)
    both, known = Rigid3d().compose(first, second), UNEVEN[0]
    close(known.compose(known.matrix(first), known.matrix(second)), both)
    points = known.grid(second, SHAPE)[0]
    matrix = known.matrix(first)[0]
    twice = points @ matrix[:3, :3].T + matrix[:3, 3]
    close(Rigid3d().grid(both, SHAPE)[0], twice)


def test_a_warp_is_the_same_in_a_larger_family_and_back():
    for aspect in (CUBE, (1.5, 0.5)):
        chain = [Rigid3d(aspect), Similarity3d(aspect), Affine3d()]
        for small, large in itertools.combinations(chain, 2):
            params = near_identity(small, 6)
            upward = convert(params, small, large)
            close(large.grid(upward, SHAPE), small.grid(params, SHAPE))
            close(convert(upward, large, small), params)


def test_a_negative_scale_mirrors_and_is_undone():
    mirror = Similarity3d(CUBE).params_of(MIRROR)  # and half a rotation
    close(Similarity3d(CUBE).matrix(mirror), MIRROR, rtol=0, atol=1e-6)
    params = torch.tensor([[0.3, 0.2, -0.1, -0.5, 0.1, 0.0, 0.2]], dtype=torch.float64)
    family = Similarity3d(CUBE)
    assert torch.linalg.det(family.matrix(params)) < 0
    close(family.params_of(family.matrix(params)), params)
    close(family.inverse(family.inverse(params)), params)


SHEAR = torch.eye(4)
SHEAR[0, 2] = 0.5
LEAN = torch.eye(4)
LEAN[3, 0] = 0.1
SCALE = torch.diag(torch.tensor([2.0, 2, 2, 1]))
MIRROR = torch.diag(torch.tensor([-1.0, 1, 1, 1]))


@pytest.mark.parametrize(
    ("family", "others"),
    [
        (Rigid3d(CUBE), [SHEAR, LEAN, SCALE, MIRROR, -SCALE]),
        (Similarity3d(CUBE), [SHEAR, LEAN, -SCALE]),
        (Affine3d(), [LEAN, 2 * torch.eye(4)]),
    ],
    ids=repr,
)
def test_a_matrix_that_is_not_of_the_family_is_refused(family, others):
    for matrix in others:
        batch = torch.stack([torch.eye(4), matrix])
        for name, function, *arguments in (
            ("matrix", family.params_of, batch),
            ("params", family.grid, batch, SHAPE),
            ("second", family.compose, family.identity(), batch),
        ):
            with pytest.raises(ValueError, match=f"^{name} must be a warp .* index 1$"):
                function(*arguments)
    flat = torch.diag(torch.tensor([0.0, 0.0, 0.0, 1.0]))
    if type(family) is not Rigid3d:
        with pytest.raises(ValueError, match="^params must have an inverse"):
            family.inverse(flat)


def test_without_the_shape_there_is_no_matrix():
    for family in (Rigid3d(), Similarity3d()):
        name, start = type(family).__name__, family.identity()
        for function, *arguments in (
            (family.matrix, start),
            (family.params_of, torch.eye(4)),
            (convert, start, family, Affine3d()),
        ):
            with pytest.raises(ValueError, match=rf"say, {name}\(aspect=\(1.0, 1.0\)"):
                function(*arguments)


# ----------------------------------------------------------------- matrices of voxels


@pytest.mark.parametrize("align_corners", CONVENTIONS)
def test_a_matrix_of_voxels_warps_as_scipy_does(align_corners):
    y, z, x = np.meshgrid(np.arange(9), np.arange(7), np.arange(11))
    volume = np.sin(x / 4) * np.cos(y / 4) + z / 8
    inward = np.eye(4)  # output to input voxels, x first
    inward[:3, :3] = 0.9 * Rotation.from_rotvec([0.2, -0.3, 0.4]).as_matrix()
    inward[:3, 3] = [1.5, -0.5, 1.0]
    order = [2, 1, 0]
    expected = affine_transform(
        volume,
        inward[:3, :3][np.ix_(order, order)],
        inward[:3, 3][order],
        output_shape=(6, 8, 10),
        order=1,
        mode="nearest",
    )
    sizes = {"in_size": (7, 9, 11), "out_size": (6, 8, 10)}
    options = {**sizes, "align_corners": align_corners}
    outward = torch.from_numpy(np.linalg.inv(inward))
    theta = theta_from_pixels(outward[:3], **options)
    found = warp(
        torch.from_numpy(volume)[None],
        theta,
        (6, 8, 10),
        family=Affine3d(),
        padding="border",
        align_corners=align_corners,
    )
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-12)
    close(theta_to_pixels(theta, **options), outward[:3])
    close(theta_to_pixels(theta.flatten()[None], **options)[0], outward[:3])
    square = theta_from_pixels(outward.expand(2, 4, 4), **options)
    assert square.shape == (2, 4, 4)
    # Some versions multiply a batch in another order than one matrix.
    close(square[1, :3], theta, rtol=0, atol=1e-12)


def test_points_go_to_voxels_and_back():
    size, points = (2, 3, 5), volumes(4, 3).double()
    for align in CONVENTIONS:
        voxels = to_pixels(
            base_grid(size, align_corners=align), size, align_corners=align
        )
        expected = np.stack(np.mgrid[:2, :3, :5][::-1], axis=-1)
        np.testing.assert_allclose(voxels, expected, atol=1e-6)
        there = to_pixels(points, size, align_corners=align)
        close(to_normalized(there, size, align_corners=align), points)


def test_wrong_sizes_and_matrices_of_voxels_are_named():
    with pytest.raises(ValueError, match=r"^out_size must be \(D, H, W\) with entries"):
        theta_from_pixels(torch.eye(4), (2, 3, 4), (3, 4))
    with pytest.raises(ValueError, match=r"^matrix must be .*\(\.\.\., 4, 4\), got"):
        theta_from_pixels(torch.eye(5), (2, 3, 4), (2, 3, 4))


# -------------------------------------------------------------------- the nearest warp


def test_a_fit_finds_the_affine_warp_that_moved_the_points():
    points = 2 * volumes(3, 20, 3).double() - 1
    params = near_identity(Affine3d(), 7)
    matrix = Affine3d().matrix(params)
    targets = points @ matrix[:, :3, :3].mT + matrix[:, None, :3, 3]
    close(fit(Affine3d(), points, targets), params)
    with pytest.raises(
        TypeError, match="^family must be linear in its parameters, got"
    ):
        fit(Rigid3d(CUBE), points, targets)
    with pytest.raises(ValueError, match=r"^points must be \(N, P, 3\), got"):
        fit(Affine3d(), points[..., :2], targets[..., :2])


# ---------------------------------------------------------------- what they are, errors


def test_families_show_how_they_are_made_and_are_equal_that_make_the_same():
    shown = [repr(each) for each in (Rigid3d(), *FAMILIES)]
    assert shown == [
        "Rigid3d()",
        "Rigid3d(aspect=(1.0, 1.0))",
        "Similarity3d(aspect=(1.0, 1.0))",
        "Affine3d()",
    ]
    assert [each.n_params for each in FAMILIES] == [6, 7, 12]
    for family in (*FAMILIES, *UNEVEN):
        assert isinstance(family, Family) and dimensions_of(family) == 3
        assert family == pickle.loads(pickle.dumps(copy.deepcopy(family)))
    assert len({Rigid3d(), *FAMILIES, *UNEVEN, Affine()}) == 7
    assert dimensions_of(Affine()) == 2


class Stretch(MatrixFamily):
    """A user's own family of warps of volumes."""

    entries = ("1 0 0 0", "0 1 0 0", "0 0 s z", "0 0 0 1")
    letters = "sz"


def test_a_family_of_ones_own_is_one_of_volumes():
    params = torch.tensor([[0.5, -0.5]])
    own = Stretch()
    assert own.dimensions == 3 and own.identity().tolist() == [1.0, 0.0]
    x = volumes(1, 1, 8, 3, 3)
    close(warp(x, params, (4, 3, 3), family=own), x[:, :, :4])
    assert own.inverse(params).tolist() == [[2.0, 1.0]]


@every(
    lambda: {
        "three numbers": (lambda: Rigid3d((1, 1, 1)), "aspect must be two numbers"),
        "one number": (lambda: Similarity3d(1.0), "aspect must be two numbers"),
        "negative": (lambda: Rigid3d((1, -1)), "aspect must be positive"),
        "size": (
            lambda: Affine3d().grid(torch.eye(3, 4), (4, 5)),
            r"size must be \(D, H, W\) with entries >= 1",
        ),
        "size of Rigid3d": (
            lambda: Rigid3d().grid(torch.zeros(1, 6), (4, 5)),
            r"size must be \(D, H, W\) with entries >= 1",
        ),
        "params": (
            lambda: Affine3d().grid(torch.zeros(2, 6), (2, 4, 5)),
            r"params must be \(N, 12\), \(N, 3, 4\) or \(N, 4, 4\) for Affine3d",
        ),
        "matrix": (
            lambda: Rigid3d(CUBE).params_of(torch.eye(3)),
            r"matrix must be \(\.\.\., 3, 4\) or \(\.\.\., 4, 4\), got \(3, 3\)",
        ),
        "image": (
            lambda: warp(torch.zeros(1, 4, 5), torch.eye(3, 4), family=Affine3d()),
            r"image must be \(N, C, D, H, W\) or \(C, D, H, W\), got \(1, 4, 5\)",
        ),
        "out_size": (
            lambda: warp(
                volumes(1, 2, 2, 2), torch.eye(3, 4), (2, 2), family=Affine3d()
            ),
            r"out_size must be \(D, H, W\)",
        ),
    }
)
def test_what_is_wrong_is_named(row):
    call, message = row
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


# ------------------------------------------------------------------------- transformers


class Always(nn.Module):
    """A localization network of one fixed answer, which can be trained."""

    def __init__(self, family: Family) -> None:
        super().__init__()
        self.family = family
        self.answer = nn.Parameter(family.identity())

    def forward(self, x: Tensor) -> Tensor:
        return self.answer.expand(len(x), -1)


@families
def test_a_transformer_warps_volumes_and_is_trained_through_its_grid(family):
    z, y, x = np.mgrid[:9, :9, :9] / 4.0 - 1

    def blob(cx: float, cy: float, cz: float) -> Tensor:
        away = (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2
        return torch.from_numpy(np.exp(-away / 0.4)).float()[None, None]

    network = Always(family)
    transformer = SpatialTransformer(network, align_corners=True)
    seen, wanted = blob(0.2, -0.15, 0.1), blob(0.0, 0.0, 0.0)
    assert transformer.family == family
    close(transformer(seen), seen, rtol=0, atol=1e-5)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.03)
    for _ in range(40):
        loss = F.mse_loss(transformer(seen), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    middle = transformer.grid(seen)[0, 4, 4, 4]
    close(middle, torch.tensor([0.2, -0.15, 0.1]), rtol=0, atol=0.03)
    small = SpatialTransformer(network, out_size=(3, 4, 5), padding="border")
    assert small(seen).shape == (1, 1, 3, 4, 5)
    assert f"{family!r}, out_size=(3, 4, 5), padding='border'" in str(small)


@every(
    lambda: {
        str(each): each
        for each in (
            FullyConnectedLocalization((2, 4, 6, 8), Rigid3d()),
            ModernLocalization((2, 4, 6, 8), Affine3d()),
            ModernLocalization((2, 4, 6, 8), Similarity3d(CUBE), pooled=True),
        )
    }
)
def test_networks_for_volumes_start_at_the_identity_and_can_learn(network):
    x = volumes(3, 2, 4, 6, 8)
    start = network.family.identity().expand(3, -1)
    assert torch.equal(network(x), start)
    transformer = SpatialTransformer(network)
    close(transformer(x), x, rtol=0, atol=1e-5)
    transformer(x).square().sum().backward()
    assert network[-1].weight.grad.abs().max() > 0


def test_a_transformer_of_volumes_names_what_is_wrong():
    network = Always(Affine3d())
    with pytest.raises(ValueError, match=r"^out_size must be \(D, H, W\)"):
        SpatialTransformer(network, out_size=(4, 5))
    with pytest.raises(ValueError, match="^interpolation must be 'nearest' or 'bilin"):
        SpatialTransformer(network, interpolation="bicubic")
    with pytest.raises(ValueError, match=r"^x must be \(N, C, D, H, W\), got"):
        SpatialTransformer(network)(volumes(1, 1, 4, 5))
    grid = SpatialTransformer(network).grid(volumes(2, 1, 2, 3, 4))
    assert grid.shape == (2, 2, 3, 4, 3)
    assert sample(volumes(2, 1, 2, 3, 4), grid).shape == (2, 1, 2, 3, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_family_knows_its_own_matrix_in_half_precision(dtype):
    family = Rigid3d((1.0, 1.0))
    params = torch.tensor([[0.3, 0.2, 0.1, 0.0, 0.0, 0.0]])
    found = family.params_of(family.matrix(params).to(dtype))
    assert (found.float() - params).abs().max() < 0.03
