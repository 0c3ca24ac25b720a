"""The slice in Chromium: what the plane shows and says is what the package computes."""

from __future__ import annotations

import math
import re
from importlib import resources

import pytest
import torch
from explorables import ExplorableTests
from torch.autograd.functional import jacobian

from stn_tutorial import (
    Affine3d,
    base_grid,
    rotation_matrix,
    rotation_vector,
    sample,
    warp,
)
from stn_tutorial.course.explore import Slice
from stn_tutorial.data.volumes import flatten

FOLDER = resources.files("stn_tutorial.course.explore")
#: From above and from the right: first about y, then about x.
CAMERA = rotation_matrix(torch.tensor([0.42, 0.0, 0.0])) @ rotation_matrix(
    torch.tensor([0.0, -0.5, 0.0])
)
LIGHT = """(canvas, points) => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext("2d", {willReadFrequently: true});
  context.drawImage(canvas, 0, 0);
  return points.map(([x, y]) => {
    const place = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
    return context.getImageData(...place, 1, 1).data[0];
  });
}"""


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def body(side: int = 24) -> torch.Tensor:
    """An ellipsoid off the middle: no two of its slices are alike."""
    away = base_grid((side,) * 3, dtype=torch.float32) - torch.tensor([0.2, -0.1, 0.1])
    return torch.sigmoid(9 * (1 - (away * torch.tensor([1.5, 2.2, 3.0])).norm(dim=-1)))


def euler(radians: torch.Tensor) -> torch.Tensor:
    roll, pitch, yaw = rotation_matrix(radians.diag())
    return yaw @ pitch @ roll


def theta(shown) -> torch.Tensor:
    """As the line of Python says."""
    return torch.tensor(
        [float(n) for n in re.findall(r"-?\d+\.\d+", shown.code())]
    ).view(3, 4)


class TestSlice(ExplorableTests):
    @classmethod
    def figure(cls):
        return Slice(body(), torch.tensor([0.0, 0.0, 2.0]), numbers=(20, -35, 10))

    @pytest.mark.parametrize("rotation", ["angles", "vector"])
    def test_the_slice_and_the_sum_are_the_packages(self, shown, rotation):
        figure = self.figure()
        for numbers, offset in (([25, -130, 60], 0.3), ([0, 0, 0], -0.5)):
            shown.set(rotation=rotation, numbers=numbers, offset=offset, shown="layer")
            figure.rotation, figure.numbers, figure.offset = rotation, numbers, offset
            torch.testing.assert_close(theta(shown), figure.theta, rtol=0, atol=6e-4)
            volume = body()[None, None]
            layer = warp(volume, figure.theta[None], (1, 48, 48), family=Affine3d())
            still = torch.cat([figure.theta[:, :3], torch.zeros(3, 1)], dim=1)
            every = warp(volume, still[None], (24, 48, 48), family=Affine3d())
            for what, expected in (("layer", layer[:, :, 0]), ("sum", flatten(every))):
                shown.set(shown=what)
                seen = shown.pixels(shown.root.locator(".stn-out"))[..., 0] / 255
                torch.testing.assert_close(
                    seen, expected[0, 0].clamp(max=1), rtol=0, atol=3 / 255
                )

    def test_the_slice_lies_in_the_picture_of_the_body(self, shown):
        """Where the plane faces the eye its picture is the slice, smaller."""
        numbers = rotation_vector(CAMERA.T).rad2deg().tolist()
        shown.set(rotation="vector", numbers=numbers, offset=0)
        points = 1.8 * torch.rand(40, 2, generator=draw(1)) - 0.9
        plane = shown.root.locator(".stn-smooth").nth(1)
        lit = plane.evaluate(LIGHT, ((points + 1.7) / 3.4).tolist())
        out = shown.pixels(shown.root.locator(".stn-out"))[..., 0].float()
        expected = sample(out[None, None], points.view(1, 1, -1, 2)).flatten()
        assert expected.std() > 40
        # One byte of colour, and edges that the browser smooths in its own way.
        assert (torch.tensor(lit) - expected).abs().mean() < 3

    def test_angles_lock_and_a_rotation_vector_does_not(self, shown):
        for rotation, make in (("angles", euler), ("vector", rotation_matrix)):
            for numbers in ([20.0, 80.0, -10.0], [50.0, 90.0, 0.0], [0.0, 0.0, 0.0]):
                shown.set(rotation=rotation, numbers=numbers)
                at = torch.tensor(numbers, dtype=torch.float64).deg2rad()
                slopes = jacobian(make, at).flatten(0, 1)
                said = re.findall(r"numbers: ([\d., ]+)\.", shown.status())[0]
                said = [float(value) for value in said.split(", ")]
                values = torch.linalg.svdvals(slopes).tolist()
                assert said == pytest.approx(values, abs=0.006)
        shown.set(rotation="angles", numbers=[10, 90, 0])
        assert "axes 0° apart" in shown.status()

    def test_where_angles_lock_two_of_them_do_the_same(self, shown):
        shown.set(numbers=[30, 90, 0])
        before = theta(shown)
        shown.slide("roll", 50)
        shown.slide("yaw", 20)
        torch.testing.assert_close(theta(shown), before, rtol=0, atol=1e-3)

    def test_the_axes_are_the_columns_of_the_jacobian(self, shown):
        """By the figure without a script, too, which takes differences."""
        figure = self.figure()
        for rotation in ("angles", "vector"):
            figure.rotation, figure.numbers = rotation, (40, 60, -25)
            shown.set(rotation=rotation, numbers=[40, 60, -25])
            expected = (figure._axes().float() @ CAMERA.T)[:, :2]
            lines = shown.root.locator("path:is(.stn-first, .stn-second, .stn-third)")
            for line, tip in zip(lines.all(), expected):
                ends = re.findall(r"-?\d+\.\d+", line.get_attribute("d"))
                found = torch.tensor([float(end) for end in ends[2:]])
                torch.testing.assert_close(found, tip, rtol=0, atol=1e-3)

    def test_the_other_kind_of_numbers_keeps_the_plane(self, shown):
        before = theta(shown)
        shown.choose("a rotation vector")
        assert shown.state()["numbers"] != self.figure().state["numbers"]
        torch.testing.assert_close(theta(shown), before, rtol=0, atol=3e-3)
        shown.choose("three angles")
        torch.testing.assert_close(theta(shown), before, rtol=0, atol=5e-3)

    def test_the_pole_follows_the_hand_and_the_edge_rotates_about_it(self, shown):
        shown.press(shown.handle("right edge"), "ArrowUp", "ArrowUp", "ArrowUp")
        turned = theta(shown)
        before = self.figure().theta
        torch.testing.assert_close(turned[:, 2], before[:, 2], rtol=0, atol=6e-3)
        assert (turned[:, 0] - before[:, 0]).norm() > 0.1
        box = shown.handle("tilts it").bounding_box()
        shown.drag(shown.handle("tilts it"), 25, 20)
        after = shown.handle("tilts it").bounding_box()
        assert after["x"] - box["x"] == pytest.approx(25, abs=2)
        assert after["y"] - box["y"] == pytest.approx(20, abs=2)

    def test_a_drag_over_the_rim_and_back_ends_where_it_began(self, shown):
        """What faces the eye stays so: a place of the hand is one plane."""
        handle = shown.handle("tilts it")
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        mouse = shown.page.mouse
        for angle in range(0, 360, 30):
            shown.set(**self.figure().state)
            before = shown.state()["numbers"]
            far = [400 * f(math.radians(angle)) for f in (math.cos, math.sin)]
            mouse.move(x, y)
            mouse.down()
            mouse.move(x + far[0], y + far[1], steps=4)
            mouse.move(x, y, steps=4)
            mouse.up()
            normals = [
                euler(torch.tensor(numbers).deg2rad())[:, 2]
                for numbers in (before, shown.state()["numbers"])
            ]
            assert normals[0] @ normals[1] > math.cos(math.radians(3))

    def test_of_two_triples_the_nearer_one_is_taken(self, shown):
        shown.set(numbers=[20, 105, 0], offset=0)
        shown.press(shown.handle("right edge"), "ArrowUp")
        roll, pitch, yaw = shown.state()["numbers"]
        assert math.dist((roll, pitch, yaw), (20, 105, 0)) < 50
        shown.set(numbers=[160, 20, -170])
        shown.press(shown.handle("right edge"), "ArrowDown")
        assert math.dist(shown.state()["numbers"], (160, 20, -170)) < 50

    def test_the_middle_moves_along_the_pole_and_not_out_of_the_volume(self, shown):
        shown.press(shown.handle("middle of the plane"), *40 * ["ArrowRight"])
        state = shown.state()
        assert abs(state["offset"]) == 0.9 and state["numbers"] == [20, -35, 10]
        shift = theta(shown)[:, 3]
        torch.testing.assert_close(
            shift, state["offset"] * theta(shown)[:, 2], rtol=0, atol=2e-3
        )

    def test_the_tilt_is_the_angle_to_the_direction_of_sight(self, shown):
        shown.set(rotation="angles", numbers=[30, 0, 70])
        assert "tilt is 30°" in shown.status()


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_context(offline=True).new_page()
    for name in ("sampling", "drawing", "volumes"):
        page.evaluate(FOLDER.joinpath(f"{name}.js").read_text(encoding="utf-8"))
    yield page
    page.context.close()


def test_reading_a_volume_is_the_packages(page):
    script = """([size, voxels, theta, points]) => {
      const [depth, height, width] = size;
      const volume = {depth, height, width, voxels};
      return [...stn.warpVolume(volume, theta, points ?? stn.baseGrid3d([3, 4, 5]))];
    }"""
    eye = torch.tensor([1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0])
    for seed, size in enumerate([(4, 5, 6), (1, 3, 7), (9, 2, 1), (12, 12, 12)]):
        volume = torch.rand(1, 1, *size, generator=draw(seed))
        points = 3 * torch.rand(1, 1, 1, 60, 3, generator=draw(seed + 50)) - 1.5
        given = [size, volume.flatten().tolist(), eye.tolist()]
        found = page.evaluate(script, [*given, points.flatten().tolist()])
        expected = sample(volume, points, backend="manual").flatten()
        torch.testing.assert_close(torch.tensor(found), expected, rtol=0, atol=1e-5)
        moved = eye + 0.4 * torch.randn(12, generator=draw(seed + 90))
        given[2] = moved.tolist()
        found = page.evaluate(script, [*given, None])
        expected = warp(volume, moved[None], (3, 4, 5), family=Affine3d()).flatten()
        torch.testing.assert_close(torch.tensor(found), expected, rtol=0, atol=1e-5)


def test_rotations_are_the_packages_and_have_their_numbers_back(page):
    script = """(vectors) => vectors.map((vector) => {
      const m = stn.space.exponential(vector);
      return [m, stn.space.toVector(m), stn.space.fromAngles(stn.space.toAngles(m))];
    })"""
    vectors = torch.randn(12, 3, generator=draw(3), dtype=torch.float64)
    half = math.pi * torch.tensor([[0.6, 0.0, -0.8], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    vectors = torch.cat([vectors, 1e-7 * vectors[:2], half, half[1:] / 2])
    found = page.evaluate(script, vectors.tolist())
    for vector, (matrix, back, again) in zip(vectors, found):
        expected = rotation_matrix(vector).flatten()
        matrix, again = (torch.tensor(m, dtype=torch.float64) for m in (matrix, again))
        torch.testing.assert_close(matrix, expected, rtol=0, atol=1e-9)
        torch.testing.assert_close(again, expected, rtol=0, atol=1e-6)
        there = rotation_matrix(torch.tensor(back, dtype=torch.float64)).flatten()
        torch.testing.assert_close(there, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volume": torch.rand(4, 4, 5)}, "^volume must be a cube"),
        ({"volume": torch.rand(25, 25, 25)}, "^volume must be a cube of at most 24"),
        ({"numbers": (0, 0, 200)}, "^numbers must be three from -180"),
        ({"numbers": (0, 0, math.nan)}, "^numbers must be three"),
        ({"offset": 1.0}, "^offset must be from -0.9"),
        ({"rotation": "quaternion"}, "^rotation must be 'angles' or 'vector'"),
    ],
)
def test_what_makes_no_slice_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Slice(**{"volume": torch.rand(6, 6, 6), **change})


def test_python_moves_the_plane():
    figure = Slice(body(6))
    figure.rotation, figure.numbers, figure.shown = "vector", [0, 0, 90], "sum"
    figure.offset = 0.25
    expected = torch.tensor([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0.25]])
    torch.testing.assert_close(figure.theta, expected, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="^shown must be 'layer' or 'sum'"):
        figure.shown = "all"
