"""The thin plate spline, against SciPy, kornia, closed forms and its own energy.

What it shares with every family is asked in ``test_families.py``.
"""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RBFInterpolator
from torch import Tensor
from torch.autograd import gradcheck
from torch.overrides import TorchFunctionMode

from stn_tutorial import ThinPlateSpline, base_grid, sample

LATTICES = [(4, 4), (2, 2), (3, 5), (2, 7), (8, 8)]
lattices = pytest.mark.parametrize("lattice", LATTICES, ids=str)
conventions = pytest.mark.parametrize("align_corners", [False, True])
seeds = st.integers(0, 2**32 - 1)


def pins(lattice: tuple[int, int]) -> np.ndarray:
    """(K, 2) control points, row by row, from end to end: written out."""
    rows, columns = np.linspace(-1, 1, lattice[0]), np.linspace(-1, 1, lattice[1])
    return np.array([(x, y) for y in rows for x in columns])


def offsets(lattice: tuple[int, int], seed: int, n: int = 2, spread: float = 0.3):
    """(n, 2 K) float64 parameters."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.uniform(-spread, spread, (n, 2 * np.prod(lattice))))


def affine_offsets(lattice: tuple[int, int], matrix: np.ndarray) -> Tensor:
    """(1, 2 K) offsets that move every control point by a 2×3 matrix."""
    points = pins(lattice)
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return torch.from_numpy((moved - points).reshape(1, -1))


# ---------------------------------------------------------------------- interpolation


@lattices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_control_point_goes_where_it_is_told(lattice, dtype):
    family = ThinPlateSpline(lattice)
    params = offsets(lattice, 0, spread=1.0).to(dtype)
    points = torch.from_numpy(pins(lattice)).to(dtype)
    got = family.at(params, points)
    assert got.dtype == dtype
    expected = points + params.view(2, -1, 2)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)


@lattices
def test_the_grid_passes_through_the_control_points(lattice):
    """Where the pixels are the control points: one a point, corners aligned."""
    family = ThinPlateSpline(lattice)
    params = offsets(lattice, 1, spread=1.0).float()
    grid = family.grid(params, lattice, align_corners=True)
    expected = torch.from_numpy(pins(lattice)).float() + params.view(2, -1, 2)
    torch.testing.assert_close(grid.flatten(1, 2), expected, rtol=0, atol=1e-5)


def test_offsets_are_x_then_y_point_by_point_and_row_by_row():
    family = ThinPlateSpline((2, 3))
    params = torch.zeros(1, 12)
    params[0, 2 * 2] = 0.25  # the third point of the first row: the upper right one
    params[0, 2 * 3 + 1] = -0.5  # the first point of the second: the lower left one
    grid = family.grid(params, (2, 3), align_corners=True)[0]
    expected = base_grid((2, 3), align_corners=True)
    expected[0, 2, 0] += 0.25
    expected[1, 0, 1] -= 0.5
    torch.testing.assert_close(grid, expected, rtol=0, atol=1e-6)


@lattices
@conventions
@pytest.mark.parametrize("stiffness", [0.0, 0.1, 3.0])
def test_the_warp_is_that_of_scipy(lattice, stiffness, align_corners):
    params = offsets(lattice, 2)
    family = ThinPlateSpline(lattice, stiffness=stiffness)
    grid = family.grid(params, (7, 9), align_corners=align_corners)
    at = base_grid((7, 9), align_corners=align_corners, dtype=torch.float64)
    points = pins(lattice)
    for one, got in zip(params.view(2, -1, 2).numpy(), grid, strict=True):
        # SciPy's bump is r² log r, half of ours: so is its share of the stiffness.
        spline = RBFInterpolator(
            points, one, kernel="thin_plate_spline", smoothing=stiffness / 2
        )
        expected = spline(at.reshape(-1, 2).numpy()).reshape(7, 9, 2) + at.numpy()
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-10)


@conventions
def test_the_grid_is_the_warp_at_every_pixel(align_corners):
    family = ThinPlateSpline((4, 4))
    params = offsets((4, 4), 3)
    at = base_grid((5, 8), align_corners=align_corners, dtype=torch.float64)
    got = family.grid(params, (5, 8), align_corners=align_corners)
    expected = family.at(params, at.flatten(0, 1)).unflatten(1, (5, 8))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-14)


def test_kornia_bends_the_same_way():
    """kornia puts the bumps where the points go, not where they come from.

    So both agree at the control points, and elsewhere to first order in the offsets:
    halving them quarters the difference.
    """
    kornia = pytest.importorskip("kornia.geometry.transform")
    family = ThinPlateSpline((4, 4))
    source = torch.from_numpy(pins((4, 4)))[None]
    between = base_grid((9, 9), dtype=torch.float64).reshape(1, -1, 2)
    direction = offsets((4, 4), 4, n=1, spread=1.0)

    def difference(size: float, points: Tensor) -> float:
        params = size * direction
        target = source + params.view(1, -1, 2)
        bumps, plane = kornia.get_tps_transform(source, target)
        theirs = kornia.warp_points_tps(points, target, bumps, plane)
        return (family.at(params, points[0]) - theirs).abs().max().item()

    assert difference(0.1, source) < 1e-12
    coarse, fine = difference(0.01, between), difference(0.005, between)
    assert coarse < 10 * 0.01**2
    assert coarse / fine == pytest.approx(4, rel=0.15)


def test_an_image_is_bent_where_a_control_point_is_pulled():
    """Pulling the middle pin of nine to the right shows there what lay to the right."""
    ramp = torch.linspace(-1, 1, 41).expand(1, 1, 41, 41)  # reads the x it is read at
    params = torch.zeros(1, 18)
    params[0, 2 * 4] = 0.3
    grid = ThinPlateSpline((3, 3)).grid(params, (41, 41), align_corners=True)
    read = sample(ramp, grid, padding="border", align_corners=True)
    moved = (read - ramp)[0, 0]
    assert moved[20, 20] == pytest.approx(0.3, abs=1e-5)
    for i, j in [(0, 0), (0, 20), (20, 0), (20, 40), (40, 40)]:
        assert moved[i, j] == pytest.approx(0, abs=1e-5)
    assert moved.argmax() == 20 * 41 + 20


# ------------------------------------------------------------ affine warps and energy

MATRIX = np.array([[0.8, -0.3, 0.1], [0.25, 1.1, -0.2]])


@lattices
@pytest.mark.parametrize("stiffness", [0.0, 2.0])
def test_affine_offsets_make_an_affine_warp_and_bend_nothing(lattice, stiffness):
    family = ThinPlateSpline(lattice, stiffness=stiffness)
    params = affine_offsets(lattice, MATRIX)
    at = base_grid((6, 7), dtype=torch.float64).numpy()
    expected = at @ MATRIX[:, :2].T + MATRIX[:, 2]
    np.testing.assert_allclose(
        family.grid(params, (6, 7))[0].numpy(), expected, atol=1e-11
    )
    assert abs(family.bending_energy(params).item()) < 1e-10
    # In float32, up to the rounding of K² products of numbers below one.
    assert abs(family.bending_energy(params.float()).item()) < 1e-4


def test_the_identity_bends_nothing():
    family = ThinPlateSpline()
    assert family.bending_energy(family.identity()[None]).tolist() == [0.0]


@lattices
@given(seeds)
@settings(max_examples=20)
def test_the_energy_is_a_positive_quadratic_form(lattice, seed):
    family = ThinPlateSpline(lattice)
    a, b = offsets(lattice, seed)[:, None]

    def energy(params: Tensor) -> float:
        return family.bending_energy(params).item()

    assert energy(a) > 0
    close = {"rel": 1e-8, "abs": 1e-9}
    assert energy(-2.5 * a) == pytest.approx(6.25 * energy(a), **close)
    # The parallelogram law, which quadratic forms alone obey.
    both = 2 * energy(a) + 2 * energy(b)
    assert energy(a + b) + energy(a - b) == pytest.approx(both, **close)
    # Moving, turning or scaling the whole sheet besides costs nothing.
    tilted = a + affine_offsets(lattice, MATRIX)
    assert energy(tilted) == pytest.approx(energy(a), **close)


@pytest.mark.parametrize("stiffness", [0.0, 0.5])
def test_the_energy_is_the_integral_of_the_second_derivatives(stiffness):
    """Integrated numerically over a wide square; the factor is that of the bump.

    r² log r² is 16 π times the fundamental solution of the biharmonic equation.
    """
    family = ThinPlateSpline((3, 3), stiffness=stiffness)
    params = offsets((3, 3), 5, n=1)
    step, reach = 0.05, 12.0
    axis = torch.arange(-reach, reach, step, dtype=torch.float64) + step / 3
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    warp = family.at(params, torch.stack([x, y], -1).reshape(-1, 2))
    f = warp.reshape(len(axis), len(axis), 2).numpy()
    xx = (f[1:-1, 2:] - 2 * f[1:-1, 1:-1] + f[1:-1, :-2]) / step**2
    yy = (f[2:, 1:-1] - 2 * f[1:-1, 1:-1] + f[:-2, 1:-1]) / step**2
    xy = (f[2:, 2:] - f[2:, :-2] - f[:-2, 2:] + f[:-2, :-2]) / (4 * step**2)
    integral = (xx**2 + 2 * xy**2 + yy**2).sum() * step**2
    energy = family.bending_energy(params).item()
    assert integral / energy == pytest.approx(16 * np.pi, rel=0.03)


def test_the_more_stiffness_the_less_it_bends():
    params = offsets((4, 4), 6)
    points = torch.from_numpy(pins((4, 4)))
    warps = [ThinPlateSpline((4, 4), stiffness=s) for s in (0, 0.01, 0.1, 1, 10, 1e6)]
    energies = torch.stack([each.bending_energy(params) for each in warps])
    assert (energies.diff(dim=0) < 0).all()
    misses = torch.stack(
        [
            (each.at(params, points) - points - params.view(2, -1, 2)).norm(dim=(1, 2))
            for each in warps
        ]
    )
    assert (misses.diff(dim=0) > 0).all()
    assert misses[0].max() < 1e-12
    # Infinitely stiff, it is the affine warp closest to the offsets.
    plane = np.c_[np.ones(16), points]
    for one, warped in zip(params.view(2, -1, 2), warps[-1].at(params, points)):
        fit = plane @ np.linalg.lstsq(plane, one.numpy(), rcond=None)[0]
        np.testing.assert_allclose(warped - points, fit, atol=1e-4)


# ------------------------------------------------------------------------- gradients


def test_the_warp_is_linear_in_the_offsets():
    family = ThinPlateSpline((3, 4))
    a, b = offsets((3, 4), 7)[:, None]
    zero = family.grid(torch.zeros_like(a), (5, 6))

    def move(params: Tensor) -> Tensor:
        return family.grid(params, (5, 6)) - zero

    torch.testing.assert_close(
        move(2 * a - 3 * b), 2 * move(a) - 3 * move(b), rtol=0, atol=1e-13
    )


def test_the_energy_and_single_points_pass_gradients():
    family = ThinPlateSpline((3, 3))
    params = offsets((3, 3), 8).requires_grad_()
    assert gradcheck(family.bending_energy, params)
    points = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (4, 2)))
    assert gradcheck(family.at, (params, points.requires_grad_()))


def test_the_slope_is_finite_at_the_control_points_themselves():
    family = ThinPlateSpline((3, 3))
    params = offsets((3, 3), 9, n=1)
    points = torch.from_numpy(pins((3, 3))).requires_grad_()
    family.at(params, points).sum().backward()
    step = 1e-6
    for axis in (0, 1):
        shift = step * torch.eye(2, dtype=torch.float64)[axis]
        with torch.no_grad():
            ahead, behind = (family.at(params, points + s) for s in (shift, -shift))
        slope = (ahead - behind).sum(dim=(0, 2)) / (2 * step)
        torch.testing.assert_close(points.grad[:, axis], slope, rtol=0, atol=1e-4)


# -------------------------------------------------------------- precision and devices


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_finite_and_exact_up_to_its_parameters(dtype):
    family = ThinPlateSpline((8, 8))
    params = offsets((8, 8), 10).to(dtype)
    grid, energy = family.grid(params, (28, 28)), family.bending_energy(params)
    assert grid.dtype == energy.dtype == torch.float32
    exact = family.grid(params.double(), (28, 28))
    torch.testing.assert_close(grid.double(), exact, rtol=0, atol=1e-5)
    exact = family.bending_energy(params.double())
    torch.testing.assert_close(energy.double(), exact, rtol=1e-4, atol=0)
    points = torch.from_numpy(pins((8, 8))).to(dtype)
    assert family.at(params, points).dtype == torch.float32
    largest = torch.full((1, family.n_params), torch.finfo(torch.float16).max)
    assert family.grid(largest.to(dtype), (28, 28)).isfinite().all()
    assert family.bending_energy(largest.to(dtype)).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_no_point_and_no_energy(dtype):
    family = ThinPlateSpline()
    params, points = offsets((4, 4), 11).float(), torch.rand(5, 2)

    def everything() -> list[Tensor]:
        return [
            family.grid(params, (9, 13)),
            family.at(params, points),
            family.bending_energy(params),
        ]

    expected = everything()
    with torch.autocast("cpu", dtype):
        got = everything()
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.dtype == torch.float32 and torch.equal(mine, theirs)


class Calls(TorchFunctionMode):
    """The names of the PyTorch functions that are called meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.append(getattr(func, "__name__", str(func)))
        return func(*args, **(kwargs or {}))


SOLVERS = ("inv", "solve", "lu", "cholesky", "lstsq", "qr", "svd", "eig")


def solves(names: list[str]) -> list[str]:
    return [name for name in names if any(s in name for s in SOLVERS)]


def test_the_system_is_solved_once():
    with Calls() as making:
        family = ThinPlateSpline((4, 4))
    assert len(solves(making.names)) == 1
    params = offsets((4, 4), 12).float()
    with Calls() as first:
        family.grid(params, (28, 28))
    with Calls() as again:
        family.grid(params, (28, 28))
        family.grid(-params, (28, 28))
    assert not solves(first.names) and not solves(again.names)
    # The bumps, too, are worked out for the first batch alone.
    assert "log" in first.names and "log" not in again.names


def test_sizes_conventions_and_types_are_not_mistaken_for_one_another():
    family = ThinPlateSpline((3, 3))
    params = offsets((3, 3), 13)
    cases = [
        (size, align_corners, dtype)
        for size in [(4, 6), (6, 4), (3, 8)]  # of 24 pixels each
        for align_corners in (False, True)
        for dtype in (torch.float32, torch.float64)
    ]
    for size, align_corners, dtype in cases + cases[::-1]:
        got = family.grid(params.to(dtype), size, align_corners=align_corners)
        fresh = ThinPlateSpline((3, 3)).grid(
            params.to(dtype), size, align_corners=align_corners
        )
        assert got.dtype == dtype
        assert torch.equal(got, fresh)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_moves_between_devices():
    family = ThinPlateSpline()
    params = offsets((4, 4), 14)
    expected = family.grid(params, (28, 28))
    for device in ("cuda", "cpu", "cuda"):
        got = family.grid(params.to(device), (28, 28))
        assert got.device.type == device
        torch.testing.assert_close(got.cpu(), expected, rtol=0, atol=1e-12)
        assert family.bending_energy(params.to(device)).device.type == device


def test_it_follows_its_parameters_whatever_the_default_device():
    params = offsets((3, 3), 15)
    expected = ThinPlateSpline((3, 3)).grid(params, (4, 5))
    with torch.device("meta"):  # stands in for any other device
        family = ThinPlateSpline((3, 3))
        got = family.grid(params, (4, 5))
        energy = family.bending_energy(params)
    assert got.device.type == energy.device.type == "cpu"
    assert torch.equal(got, expected)


def test_what_inference_mode_made_serves_training():
    """An evaluation before the first step must not break the first step."""
    with torch.inference_mode():
        family = ThinPlateSpline((3, 3))
        family.grid(torch.zeros(1, 18), (5, 6))
    params = torch.zeros(1, 18, requires_grad=True)
    family.grid(params, (5, 6)).sum().backward()
    family.bending_energy(params).sum().backward()
    assert params.grad.isfinite().all() and params.grad.abs().sum() > 0


def test_a_copy_is_a_spline_of_its_own():
    family = ThinPlateSpline((3, 3), stiffness=0.5)
    params = offsets((3, 3), 16)
    expected = family.grid(params, (4, 5))
    twin = copy.deepcopy(family)
    assert twin.control_points == (3, 3) and twin.stiffness == 0.5
    assert torch.equal(twin.grid(params, (4, 5)), expected)
    twin.grid(params, (4, 5)).zero_()  # what is handed out is not what is kept
    assert torch.equal(twin.grid(params, (4, 5)), expected)
    assert torch.equal(family.grid(params, (4, 5)), expected)


# ---------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("lattice", "error"),
    [
        (4, TypeError),
        ((4.0, 4), TypeError),
        (("4", "4"), TypeError),
        ((True, 4), TypeError),
        ((4,), ValueError),
        ((4, 4, 4), ValueError),
        ((1, 4), ValueError),
        ((4, 0), ValueError),
    ],
)
def test_a_wrong_lattice_is_named(lattice, error):
    with pytest.raises(error, match="^control_points must be .*got"):
        ThinPlateSpline(lattice)


@pytest.mark.parametrize(
    ("stiffness", "error"),
    [
        (-0.1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("stiff", TypeError),
        (None, TypeError),
    ],
)
def test_a_wrong_stiffness_is_named(stiffness, error):
    with pytest.raises(error, match="^stiffness must be .*got"):
        ThinPlateSpline(stiffness=stiffness)


def test_wrong_parameters_are_named_by_every_method():
    family = ThinPlateSpline((3, 3))
    for call in (
        lambda p: family.grid(p, (3, 4)),
        lambda p: family.at(p, torch.zeros(1, 2)),
        family.bending_energy,
    ):
        with pytest.raises(ValueError, match=r"^params must be \(N, 18\), got \(1, 9"):
            call(torch.zeros(1, 9))
        with pytest.raises(TypeError, match="^params must be a floating tensor"):
            call(torch.zeros(1, 18, dtype=torch.long))


# ------------------------------------------------------------------------ what is kept


def test_a_spline_keeps_a_few_sizes_and_its_copies_none():
    spline = ThinPlateSpline((3, 3))
    params = torch.zeros(1, 18)
    for k in range(20):
        spline.grid(params, (100 + k, 100))
    kept = sum(basis.numel() for basis in spline._bases.values())
    assert kept <= 4 * 120 * 100 * 9
    assert len(pickle.dumps(spline)) < 10_000
    for twin in (copy.deepcopy(spline), pickle.loads(pickle.dumps(spline))):
        assert not twin._bases and twin == spline
        assert torch.equal(twin.grid(params, (5, 6)), spline.grid(params, (5, 6)))


def test_the_lattice_may_be_of_numpy_integers():
    spline = ThinPlateSpline(np.array([3, 4]), stiffness=np.float32(0.5))
    assert spline == ThinPlateSpline((3, 4), stiffness=0.5)
    assert spline.n_params == 24


def test_what_torch_func_leaves_behind_serves_training():
    spline = ThinPlateSpline((3, 3))
    params = torch.zeros(18, requires_grad=True)

    def energy(p: torch.Tensor) -> torch.Tensor:
        return spline.grid(p, (4, 5)).square().sum()

    of_func = torch.func.grad(energy)(params.detach())
    (of_autograd,) = torch.autograd.grad(energy(params), params)
    torch.testing.assert_close(of_func, of_autograd)
    assert len(pickle.dumps(spline)) < 10_000


def test_bases_of_four_sizes_are_kept():
    spline = ThinPlateSpline((3, 3))
    for n in (4, 5, 6, 7):
        spline.grid(torch.zeros(1, 18), (n, n))
    kept = list(spline._bases.values())
    for n in (4, 5, 6, 7):
        spline.grid(torch.zeros(1, 18), (n, n))
    assert all(a is b for a, b in zip(kept, spline._bases.values()))
    spline.grid(torch.zeros(1, 18), (8, 8))
    assert len(spline._bases) == len(kept) == 4


def test_points_are_moved_in_the_wider_dtype():
    points = torch.rand(5, 2, dtype=torch.float64)
    spline = ThinPlateSpline((2, 2))
    assert spline.at(spline.identity()[None], points).dtype == torch.float64
