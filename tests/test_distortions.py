"""Distorted digits, against closed forms, OpenCV and SciPy, and against their truth."""

from __future__ import annotations

import hashlib
import math

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from scipy.interpolate import RBFInterpolator
from torch import Tensor

from stn_tutorial import Affine, sample
from stn_tutorial.data import distortions as module
from stn_tutorial.data.digits import DigitSet
from stn_tutorial.data.distortions import (
    DISTORTIONS,
    distort,
    distorted_copies,
    fixed_test_set,
    put_on_canvas,
)

SIZES = {
    "none": (28, 28),
    "R": (28, 28),
    "RTS": (42, 42),
    "P": (42, 42),
    "E": (28, 28),
    "clutter": (60, 60),
}
# PyTorch's rounding of a location in 28 pixels, on noise whose slope reaches 1 a pixel.
ROUNDING = 4 * 28 * 2**-23
names = pytest.mark.parametrize("name", SIZES)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blob(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A smooth digit without symmetry: two bumps, at pixel coordinates (x, y)."""
    first = np.exp(-((x - 11) ** 2 + (y - 12) ** 2) / 32)
    return first + 0.5 * np.exp(-((x - 18) ** 2 + (y - 15) ** 2) / 18)


def smooth(n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    y, x = np.mgrid[0:28, 0:28].astype(float)
    return torch.from_numpy(blob(x, y)).to(dtype).expand(n, 1, 28, 28).clone()


def noise(n: int) -> Tensor:
    return torch.rand(n, 1, 28, 28, generator=seeded(99))


def sampled(picture: Tensor, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """SciPy's bilinear interpolation of (28, 28) pixels; 0 outside."""
    points = [y.astype(float), x.astype(float)]
    return ndimage.map_coordinates(
        picture.double().numpy(), points, order=1, mode="grid-constant", cval=0.0
    )


def undone(truth: dict[str, Tensor], k: int, size: tuple[int, int]) -> tuple:
    """Where each pixel of picture k comes from, rotated back by hand: x, y."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(float)
    shift_x, shift_y = truth["shift_px"][k].double().tolist()
    x, y = x - (size[1] - 1) / 2 - shift_x, y - (size[0] - 1) / 2 - shift_y
    angle, scale = float(truth["angle"][k]), float(truth["scale"][k])
    c, s = math.cos(angle) / scale, math.sin(angle) / scale
    return c * x + s * y + 13.5, -s * x + c * y + 13.5


def test_the_distortions_are_those_of_the_table():
    assert {name: each.size for name, each in DISTORTIONS.items()} == SIZES


@names
def test_pictures_are_whole(name, device):
    digits = noise(50).to(device)
    done = distort(digits, name, torch.Generator(device).manual_seed(0))
    assert done.images.shape == (50, 1, *SIZES[name])
    assert done.images.device.type == device.type
    assert done.images.dtype == torch.float32
    assert done.images.isfinite().all()
    assert 0 <= done.images.min() and done.images.max() <= 1
    assert ("offsets" if name == "E" else "theta") in done.truth
    for value in done.truth.values():
        assert len(value) == 50 and value.isfinite().all()
        assert value.device.type == device.type
    torch.testing.assert_close(digits.cpu(), noise(50), rtol=0, atol=0)


@names
def test_a_generator_decides_everything(name):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    draw = seeded(5)
    first, second = (distort(noise(8), name, draw) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again = distort(noise(8), name, seeded(5))
    assert torch.equal(first.images, again.images)
    assert all(torch.equal(first.truth[key], again.truth[key]) for key in first.truth)
    if name != "none":
        assert not torch.equal(first.images, second.images)


@names
def test_double_precision_stays(name):
    done = distort(noise(4).double(), name, seeded())
    assert done.images.dtype == torch.float64
    single = distort(noise(4), name, seeded()).images
    torch.testing.assert_close(done.images.float(), single, rtol=0, atol=1e-4)


def test_none_leaves_digits_as_they_are():
    digits = noise(5)
    done = distort(digits, "none", seeded())
    torch.testing.assert_close(done.images, digits, rtol=0, atol=ROUNDING)
    expected = torch.eye(2, 3).expand(5, 2, 3)
    torch.testing.assert_close(done.truth["theta"], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["R", "RTS"])
def test_pictures_are_sampled_where_angle_scale_and_shift_say(name):
    digits = noise(12)
    done = distort(digits, name, seeded(3))
    for k in range(12):
        x, y = undone(done.truth, k, SIZES[name])
        expected = sampled(digits[k, 0], x, y)
        np.testing.assert_allclose(done.images[k, 0], expected, rtol=0, atol=1e-4)


def test_a_positive_angle_rotates_clockwise_on_the_screen():
    digits = torch.zeros(40, 1, 28, 28)
    digits[..., 12:16, 22:26] = 1  # to the right of the middle
    done = distort(digits, "R", seeded())
    rows = torch.arange(28.0)[:, None] - 13.5
    below = (done.images[:, 0] * rows).sum(dim=(1, 2))
    assert torch.equal(below > 0, done.truth["angle"] > 0)


@pytest.mark.parametrize("name", ["R", "RTS", "clutter"])
def test_theta_is_made_of_angle_scale_and_shift(name):
    truth = distort(noise(50), name, seeded()).truth
    side = SIZES[name][0]
    angle, scale = (truth[key].double().numpy() for key in ("angle", "scale"))
    c, s = np.cos(angle) / scale, np.sin(angle) / scale
    linear = np.stack([np.stack([c, s], -1), np.stack([-s, c], -1)], 1) * side / 28
    shift = -(linear @ (truth["shift_px"].double().numpy() * 2 / side)[..., None])
    expected = np.concatenate([linear, shift], axis=-1)
    np.testing.assert_allclose(truth["theta"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["R", "RTS"])
def test_the_inverse_of_theta_gives_the_digit_back(name):
    digits = smooth(20)
    done = distort(digits, name, seeded(1))
    inverse = Affine().inverse(done.truth["theta"].flatten(1))
    back = sample(done.images, Affine().grid(inverse, (28, 28)))
    y, x = np.mgrid[0:28, 0:28] - 13.5
    inner = torch.from_numpy(
        np.hypot(x, y) < 12
    )  # no rotation takes it out of the picture
    # Two bilinear interpolations of bumps of width 3: each is off by at most an eighth
    # of the sum of the second derivatives, here 2 / 16 + 1 / 9, over the scale squared.
    error = (back - digits)[:, 0, inner].abs().max()
    assert error < 2 * (2 / 16 + 1 / 9) / 8 / 0.7**2
    rotated_on = sample(
        done.images, Affine().grid(done.truth["theta"].flatten(1), (28, 28))
    )
    assert (rotated_on - digits)[:, 0, inner].abs().max() > 5 * error


def moved_corners(truth: dict[str, Tensor], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Of a 42×42 frame around the digit: its corners, and where they come to lie."""
    frame = np.array([[-7.5, -7.5], [34.5, -7.5], [34.5, 34.5], [-7.5, 34.5]])
    centred = (frame - 13.5) * float(truth["scale"][k])
    return frame, centred + 20.5 + truth["corners_px"][k].double().numpy()


def test_p_moves_the_corners_where_they_should_go():
    truth = distort(noise(100), "P", seeded()).truth
    for k in range(100):
        frame, moved = moved_corners(truth, k)
        normalized = (2 * moved + 1) / 42 - 1
        lifted = np.concatenate([normalized, np.ones((4, 1))], axis=1)
        back = lifted @ truth["theta"][k].double().numpy().T
        back = back[:, :2] / back[:, 2:]
        expected = 1.5 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        np.testing.assert_allclose(back, expected, rtol=0, atol=2e-3)


def test_p_is_the_perspective_view_of_opencv():
    n = 60
    digits = smooth(n)
    done = distort(digits, "P", seeded(4))
    y, x = np.mgrid[0:42, 0:42]
    compared = 0
    for k in range(n):
        frame, moved = moved_corners(done.truth, k)
        if not cv2.isContourConvex(np.round(16 * moved).astype(np.int32)):
            continue  # a corner beyond the others' diagonal turns the view inside out
        compared += 1
        matrix = cv2.getPerspectiveTransform(
            frame.astype(np.float32), moved.astype(np.float32)
        )
        expected = cv2.warpPerspective(digits[k, 0].numpy(), matrix, (42, 42))
        # OpenCV has no horizon: what lies behind it is seen as well.
        behind = np.linalg.inv(matrix)[2] @ np.stack([x, y, np.ones_like(x)]).reshape(
            3, -1
        )
        ahead = (behind > 1e-3).reshape(42, 42)
        # OpenCV rounds coordinates to 1/32 of a pixel, and no slope here exceeds 0.3.
        got = done.images[k, 0].numpy()
        np.testing.assert_allclose(got[ahead], expected[ahead], rtol=0, atol=0.02)
        assert not got[~ahead].any()
    assert compared > 40


def test_e_without_offsets_at_full_size_is_the_identity(monkeypatch):
    monkeypatch.setattr(
        module, "_normal", lambda n, sd, generator, *shape: torch.zeros(n, *shape)
    )
    monkeypatch.setattr(
        module, "_uniform", lambda n, low, high, generator: torch.full((n,), high)
    )
    digits = noise(4)
    done = distort(digits, "E", seeded())
    torch.testing.assert_close(done.images, digits, rtol=0, atol=ROUNDING)


def test_e_is_the_thin_plate_spline_of_scipy_of_a_shrunk_digit():
    digits = noise(6)
    done = distort(digits, "E", seeded(2))
    ends = np.linspace(-1, 1, 4)
    points = np.stack(np.meshgrid(ends, ends), axis=-1).reshape(16, 2)
    centres = (2 * np.arange(28) + 1) / 28 - 1
    pixels = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    for k in range(6):
        moved = points + done.truth["offsets"][k].double().numpy().reshape(16, 2)
        spline = RBFInterpolator(points, moved, kernel="thin_plate_spline")
        at = spline(pixels) / float(done.truth["scale"][k])
        x, y = ((at + 1) * 14 - 0.5).T.reshape(2, 28, 28)
        expected = sampled(digits[k, 0], x, y)
        np.testing.assert_allclose(done.images[k, 0], expected, rtol=0, atol=1e-4)


def own_pixels(truth: dict[str, Tensor], k: int) -> tuple[slice, slice]:
    left, top = (16 + truth["shift_px"][k]).int().tolist()
    return slice(top, top + 28), slice(left, left + 28)


def test_the_cluttered_digit_is_there_and_clutter_only_adds():
    digits = noise(30)
    done = distort(digits, "clutter", seeded())
    for k in range(30):
        crop = done.images[k, 0][own_pixels(done.truth, k)]
        assert crop.shape == (28, 28)
        assert (crop >= digits[k, 0]).all()
        # 16 pieces can't hide more.
        assert (crop == digits[k, 0]).float().mean() > 0.4


def test_the_cluttered_digit_lies_where_theta_says():
    digits = smooth(10)
    done = distort(digits, "clutter", seeded())
    upright = sample(digits, Affine().grid(done.truth["theta"].flatten(1), (60, 60)))
    cluttered = (done.images - upright).abs() > ROUNDING
    assert (done.images > upright - ROUNDING).all()
    assert cluttered.float().mean() < 16 * 36 / 3600


def test_clutter_comes_from_other_digits():
    n = 20
    values = (torch.arange(n) + 1.0) / 32  # exact in float32
    digits = values.view(n, 1, 1, 1).expand(n, 1, 28, 28)
    done = distort(digits, "clutter", seeded())
    seen = set()
    for k in range(n):
        picture = done.images[k, 0].clone()
        picture[own_pixels(done.truth, k)] = 0
        found = set(picture.unique().tolist()) - {0.0}
        assert found <= set(values.tolist()) - {float(values[k])}
        seen |= found
    assert len(seen) == n


def clutter_alone(draws: int) -> np.ndarray:
    """(draws, 60, 60) pictures of clutter without a digit: 1 where a piece lies."""
    digits = torch.stack([torch.zeros(1, 28, 28), torch.ones(1, 28, 28)])
    draw = seeded()
    pictures = [distort(digits, "clutter", draw).images[0, 0] for _ in range(draws)]
    return torch.stack(pictures).numpy()


def test_clutter_is_16_pieces_of_6_by_6_anywhere():
    pictures = clutter_alone(300)
    assert set(np.unique(pictures)) == {0, 1}
    areas = pictures.sum(axis=(1, 2))
    assert 36 < areas.min() and areas.max() <= 16 * 36
    for picture in pictures[:50]:
        pieces, _ = ndimage.label(picture)
        for number, box in enumerate(ndimage.find_objects(pieces), 1):
            assert min(side.stop - side.start for side in box) >= 6
            if (area := (pieces == number).sum()) < 72:
                assert area >= 36
    # A piece covers pixel i of a row from as many of the 55 locations as reach it.
    reach = np.array([min(i, 54) - max(i - 5, 0) + 1 for i in range(60)]) / 55
    covered = 1 - (1 - np.outer(reach, reach)) ** 16
    deviation = areas.std() / math.sqrt(len(areas))
    assert areas.mean() == pytest.approx(covered.sum(), abs=4 * float(deviation))
    assert np.abs(pictures.mean(axis=0) - covered).max() < 0.15


def test_a_piece_of_clutter_is_cut_out_whole():
    y, x = torch.meshgrid(torch.arange(28), torch.arange(28), indexing="ij")
    coded = (28 * y + x + 1) / 1024  # exact in float32; 0 is background
    digits = torch.stack([torch.zeros(28, 28), coded])[:, None]
    draw = seeded()
    found = set()
    for _ in range(60):
        picture = distort(digits, "clutter", draw).images[0, 0].numpy()
        pieces, _ = ndimage.label(picture)
        for number, box in enumerate(ndimage.find_objects(pieces), 1):
            if (pieces == number).sum() != 36:
                continue  # several pieces touch
            piece = picture[box]
            assert piece.shape == (6, 6)
            top, left = divmod(round(float(piece[0, 0]) * 1024) - 1, 28)
            np.testing.assert_array_equal(
                piece, coded[top : top + 6, left : left + 6].numpy()
            )
            found |= {("top", top), ("left", left)}
    assert {("top", 0), ("left", 0), ("top", 22), ("left", 22)} <= found


def uniform(values: Tensor, low: float, high: float) -> None:
    assert low <= values.min() and values.max() <= high
    ours = (values.double().numpy() - low) / (high - low)
    assert stats.kstest(ours, "uniform").pvalue > 1e-3


N = 3000


def drawn(name: str) -> dict[str, Tensor]:
    return distort(torch.zeros(N, 1, 28, 28), name, seeded(7)).truth


def test_r_rotates_by_90_degrees_at_most_either_way():
    truth = drawn("R")
    uniform(truth["angle"], -math.pi / 2, math.pi / 2)
    assert (truth["scale"] == 1).all() and (truth["shift_px"] == 0).all()


def test_rts_rotates_scales_and_shifts_at_random():
    truth = drawn("RTS")
    uniform(truth["angle"], -math.pi / 4, math.pi / 4)
    uniform(truth["scale"], 0.7, 1.2)
    room = (42 - 28 * truth["scale"]) / 2  # of the frame, on each side
    for axis in (0, 1):
        uniform(truth["shift_px"][:, axis] / room, -1, 1)
    pairs = np.stack([truth["angle"], truth["scale"], *truth["shift_px"].T])
    independent = np.corrcoef(pairs) - np.eye(4)
    assert np.abs(independent).max() < 4 / math.sqrt(N)


def test_p_scales_and_moves_corners_by_5_pixels():
    truth = drawn("P")
    uniform(truth["scale"], 0.75, 1.0)
    assert truth["corners_px"].shape == (N, 4, 2)
    moves = truth["corners_px"].double().flatten().numpy()
    assert stats.kstest(moves / 5, "norm").pvalue > 1e-3


def test_e_scales_and_moves_16_points_by_1_5_pixels():
    truth = drawn("E")
    uniform(truth["scale"], 0.75, 1.0)
    offsets = truth["offsets"]
    assert offsets.shape == (N, 32)
    pixels = offsets.double().flatten().numpy() * 28 / 2
    assert stats.kstest(pixels / 1.5, "norm").pvalue > 1e-3


def test_clutter_puts_the_digit_on_whole_pixels_anywhere_inside():
    shift = drawn("clutter")["shift_px"]
    assert torch.equal(shift, shift.round())
    assert shift.min() == -16 and shift.max() == 16


# What the fixed test set draws, and how finely it is rounded before it is hashed. The
# uniform numbers are the same to the bit on every machine; the normal ones may differ
# in their last digits, and no rounded one is that close to a boundary.
DRAWN = {
    "R": {"angle": 1e-3},
    "RTS": {"angle": 1e-3, "scale": 1e-3, "shift_px": 1e-3},
    "P": {"scale": 1e-3, "corners_px": 0.3},
    "E": {"scale": 1e-3, "offsets": 0.09},
    "clutter": {"shift_px": 1.0},
}
DIGESTS = {
    "R": "a29624a97c5d572d",
    "RTS": "2b1a186928edb43c",
    "P": "c8dd37aa1cf390e8",
    "E": "a41899daafeb2101",
    "clutter": "037edc33250b5605",
}


@pytest.mark.parametrize("name", DRAWN)
def test_the_fixed_test_set_is_the_same_everywhere(name, device):
    truth = fixed_test_set(torch.zeros(1200, 1, 28, 28, device=device), name).truth
    digest = hashlib.sha256()
    for key, step in DRAWN[name].items():
        value = truth[key][900:].cpu().double().numpy() / step  # of two batches
        if key in ("corners_px", "offsets"):
            assert np.abs(value - np.floor(value) - 0.5).min() > 1e-5 / step
        digest.update(np.round(value).astype("<i8").tobytes())
    assert digest.hexdigest()[:16] == DIGESTS[name]


def test_the_fixed_test_set_is_fixed():
    digits = noise(7)
    torch.manual_seed(1)
    first = fixed_test_set(digits, "RTS")
    torch.manual_seed(2)
    again = fixed_test_set(digits, "RTS")
    assert torch.equal(first.images, again.images)
    other = fixed_test_set(digits, "RTS", seed=1)
    assert not torch.equal(first.images, other.images)
    assert set(first.truth) == {"theta", "angle", "scale", "shift_px"}
    assert {len(value) for value in first.truth.values()} == {7}


def test_the_fixed_test_set_is_drawn_in_batches():
    digits = torch.zeros(1003, 1, 28, 28)
    truth = fixed_test_set(digits, "R").truth
    draw = seeded(2015)
    for batch in digits.split(1000):
        angle = distort(batch, "R", draw).truth["angle"]
        expected, truth["angle"] = truth["angle"].split([len(batch), 1003 - len(batch)])
        assert torch.equal(angle, expected)
        break
    assert torch.equal(distort(batch[:3], "R", draw).truth["angle"], truth["angle"])


@pytest.mark.parametrize(
    ("digits", "name", "error", "message"),
    [
        (torch.zeros(2, 1, 28, 28), "rts", ValueError, r"^name must be .*got 'rts'"),
        (torch.zeros(2, 1, 28, 28), ["R"], ValueError, r"^name must be .*got \['R'\]"),
        (torch.zeros(2, 1, 28, 28), None, ValueError, r"^name must be .*got None"),
        (np.zeros((2, 1, 28, 28)), "R", TypeError, r"^digits .* got numpy.ndarray"),
        ([[0.0]], "R", TypeError, r"^digits must be a tensor, got list"),
        (torch.zeros(2, 28, 28), "R", ValueError, r"^digits must be .*\(2, 28, 28\)"),
        (torch.zeros(2, 3, 28, 28), "R", ValueError, r"^digits must be \(N, 1, 28"),
        (torch.zeros(2, 1, 32, 32), "R", ValueError, r"got \(2, 1, 32, 32\)"),
        (
            torch.zeros(2, 1, 28, 28).byte(),
            "R",
            TypeError,
            r"^digits .*uint8: .* by 255",
        ),
        (torch.zeros(2, 1, 28, 28).bool(), "R", TypeError, r"^digits .*torch.bool"),
    ],
)
def test_what_cant_be_distorted_is_named(digits, name, error, message):
    with pytest.raises(error, match=message):
        distort(digits, name, seeded())
    with pytest.raises(error, match=message):
        fixed_test_set(digits, name)


@pytest.mark.parametrize("generator", [0, None, torch.default_generator.initial_seed])
def test_what_is_no_generator_is_named(generator):
    with pytest.raises(TypeError, match=r"^generator must be a torch\.Generator, got "):
        distort(noise(2), "R", generator)


@pytest.mark.parametrize("seed", [0.5, True, "2015", None])
def test_a_seed_is_an_integer(seed):
    with pytest.raises(TypeError, match="^seed must be an integer, got "):
        fixed_test_set(noise(2), "R", seed=seed)


@names
def test_one_digit_and_none_are_batches_too(name):
    for n in (0, 1):
        for done in (distort(noise(n), name, seeded()), fixed_test_set(noise(n), name)):
            assert done.images.shape == (n, 1, *SIZES[name])
            assert {len(value) for value in done.truth.values()} == {n}


def test_a_digit_alone_is_cluttered_with_pieces_of_its_own():
    done = distort(torch.full((1, 1, 28, 28), 0.25), "clutter", seeded())
    assert done.images.unique().tolist() == [0, 0.25]
    done.images[0, 0][own_pixels(done.truth, 0)] = 0
    assert done.images.any()


def test_the_last_digit_of_a_test_set_is_cluttered_even_when_it_is_left_over():
    done = fixed_test_set(torch.ones(1001, 1, 28, 28), "clutter")
    areas = done.images.sum(dim=(1, 2, 3))
    assert (areas > 28 * 28).all()


@pytest.mark.parametrize("name", [name for name in SIZES if name != "clutter"])
def test_a_picture_depends_on_no_other_digit(name):
    digits = noise(6)
    done = distort(digits, name, seeded())
    digits[[0, 1, 3, 5]] = torch.nan
    again = distort(digits, name, seeded())
    assert torch.equal(again.images[[2, 4]], done.images[[2, 4]])
    for key, value in done.truth.items():
        assert torch.equal(again.truth[key], value)


def test_clutter_depends_on_the_digits_that_its_pieces_are_of_alone():
    digits = torch.zeros(6, 1, 28, 28)
    digits[2] = noise(1)
    done = distort(digits, "clutter", seeded())
    digits[5] = 1
    again = distort(digits, "clutter", seeded())
    assert torch.equal(again.truth["theta"], done.truth["theta"])
    for k in range(5):  # what is new is white: pieces of the last digit
        new = again.images[k] != done.images[k]
        assert (again.images[k][new] == 1).all()
        assert new.sum() <= 16 * 36


@names
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rounds_the_picture_and_not_the_warp(name, dtype):
    digits = noise(4).to(dtype)
    done, single = (distort(d, name, seeded()) for d in (digits, digits.float()))
    assert done.images.dtype == dtype
    torch.testing.assert_close(done.images, single.images.to(dtype), rtol=0, atol=0)
    for key, value in single.truth.items():
        assert torch.equal(done.truth[key], value)


@names
def test_a_generator_may_be_on_another_device_than_the_digits(name, device):
    done, here = (
        distort(noise(4).to(where), name, seeded()) for where in (device, "cpu")
    )
    torch.testing.assert_close(done.images.cpu(), here.images, rtol=0, atol=1e-4)


# --------------------------------------------------------------------- copies to keep


def some_digits(count: int) -> DigitSet:
    return DigitSet(noise(count), torch.arange(count) % 10, "embedded")


@names
def test_copies_are_distorted_digits_in_one_byte_a_pixel(name):
    digits = some_digits(1100)
    copies = distorted_copies(digits, name, 2, seed=5)
    assert copies.images.dtype == torch.uint8
    assert torch.equal(copies.labels, digits.labels.repeat(2))
    draw = torch.Generator().manual_seed(5)
    parts = [*digits.images.split(1000), *digits.images.split(1000)]
    exact = torch.cat([distort(part, name, draw).images for part in parts])
    assert (copies.images / 255 - exact).abs().max() <= 0.5 / 255 + 1e-6


def test_more_copies_begin_with_the_same_ones():
    digits = some_digits(30)
    few, many, other = (
        distorted_copies(digits, "RTS", copies, seed=seed).images
        for copies, seed in ((1, 0), (3, 0), (1, 1))
    )
    assert torch.equal(many[:30], few)
    assert not torch.equal(many[30:60], few) and not torch.equal(other, few)


@pytest.mark.parametrize(
    ("name", "copies", "message"),
    [("RST", 1, "^name must be"), ("R", 0, "^copies must be from 1")],
)
def test_copies_that_make_no_sense_are_refused(name, copies, message):
    with pytest.raises(ValueError, match=message):
        distorted_copies(some_digits(2), name, copies, seed=0)


@pytest.mark.parametrize("side", [0, 29])
def test_a_piece_must_fit_into_a_digit(side):
    digits, draw = torch.rand(2, 1, 28, 28), torch.Generator()
    with pytest.raises(ValueError, match="^side must be from 1 to 28"):
        put_on_canvas(digits, draw, size=84, side=side)
