"""Push and pull in Chromium: holes and collisions are those of the chapter's loops."""

from __future__ import annotations

import math

import pytest
import torch
from explorables import ExplorableTests
from torch import Tensor

from stn_tutorial import Affine, rotation, sample, theta_from_pixels
from stn_tutorial.course.explore import PushPull
from stn_tutorial.data import embedded_digits

N = 12
ORANGE = [230, 159, 0]
#: Rotations and scales; at some of them, points lie half-way between pixels.
WARPS = [(30, 1.3), (30, 0.8), (0, 2.0), (45, 1.0), (-90, 1.2), (0, 0.5), (17, 1.0)]


def image() -> Tensor:
    return embedded_digits((N, N))[0][3, 0]


def matrix(angle: float, scale: float) -> Tensor:
    angle = torch.tensor(math.radians(angle), dtype=torch.float64)
    return rotation(angle, scale, center=(5.5, 5.5))


def nearest(matrix: Tensor, x: int, y: int) -> tuple[int, int] | None:
    """The pixel nearest to where a point goes, if there is one."""
    point = matrix @ torch.tensor([x, y, 1.0], dtype=torch.float64)
    u, v = (round(round(value, 6)) for value in point.tolist())
    return (u, v) if 0 <= u < N and 0 <= v < N else None


def expected(angle: float, scale: float, step: int = N * N) -> dict[str, int]:
    """What the loops count: forward over the input, inverse over the output."""
    there, back = matrix(angle, scale), matrix(-angle, 1 / scale)
    pixels = [(k % N, k // N) for k in range(step)]
    targets = [nearest(there, *pixel) for pixel in pixels]
    landed = [target for target in targets if target]
    sources = [nearest(back, *pixel) for pixel in pixels]
    asked = {pixel for pixel, source in zip(pixels, sources) if source}
    return {
        "holes": len(asked - set(landed)),
        "collisions": len(landed) - len(set(landed)),
        "left": targets.count(None),
        "outside": sources.count(None),
    }


def counts(shown) -> list[str]:
    return shown.root.locator(".stn-push-counts td").all_inner_texts()


def pictures(shown) -> list[Tensor]:
    return [shown.pixels(each) for each in shown.root.locator("canvas").all()]


class TestPushPull(ExplorableTests):
    @classmethod
    def figure(cls):
        return PushPull(image())

    @pytest.mark.parametrize(("angle", "scale"), WARPS)
    def test_what_is_counted_is_what_the_loops_count(self, shown, angle, scale):
        shown.slide("rotation", angle)
        shown.slide("scale", scale)
        loops = expected(angle, scale)
        found = [int(text) for text in counts(shown)]
        pushed = [loops["holes"], loops["collisions"], loops["left"]]
        assert found[::2] == pushed
        assert found[1::2] == [0, 0, loops["outside"]]
        assert f"{loops['holes']} hole" in shown.status()
        orange = (pictures(shown)[1] == torch.tensor(ORANGE)).all(dim=-1)
        assert orange.sum() == loops["holes"]

    def test_no_rotation_and_no_scale_leave_the_image_as_it_is(self, shown):
        shown.slide("rotation", 0)
        shown.slide("scale", 1)
        given, pushed, pulled = pictures(shown)
        assert torch.equal(given, pushed) and torch.equal(given, pulled)
        assert "0 holes and makes 0 collisions" in shown.status()

    def test_the_pulled_output_is_the_packages(self, shown):
        theta = theta_from_pixels(matrix(30, 1.3).float(), (N, N), (N, N))
        grid = Affine().grid(theta[None], (N, N))
        output = sample(image()[None, None], grid, interpolation="nearest")[0, 0]
        found = pictures(shown)[2][..., 0] / 255
        torch.testing.assert_close(found, output, rtol=0, atol=0.6 / 255)

    def test_half_of_the_pixels_are_pushed_in_order(self, shown):
        shown.slide("rotation", 30)
        shown.slide("scale", 0.8)
        shown.slide("pixels done", 72)
        loops = expected(30, 0.8, 72)
        assert counts(shown) == [
            *["…", "0"],
            *[str(loops["collisions"]), "0"],
            *[str(loops["left"]), str(loops["outside"])],
        ]
        assert shown.state()["pixel"] == [11, 5]  # the last that is done
        there = (matrix(30, 0.8) @ torch.tensor([11.0, 5, 1]).double()).tolist()
        assert f"is pushed to ({there[0]:.2f}, {there[1]:.2f})" in shown.status()

    def test_a_pixel_is_chosen_by_a_press_on_any_picture(self, shown):
        panel = shown.root.locator(".stn-push-panel .stn-panel")
        for canvas in shown.root.locator("canvas").all():
            shown.press(shown.handle("present"), "Escape")
            box, frame = canvas.bounding_box(), panel.bounding_box()
            x = box["x"] - frame["x"] + 2.5 / N * box["width"]
            y = box["y"] - frame["y"] + 9.5 / N * box["height"]
            panel.click(position={"x": x, "y": y})
            assert shown.state()["pixel"] == [2, 9]
            assert "Input pixel (2, 9)" in shown.status()

    def test_arrow_keys_go_from_pixel_to_pixel(self, shown):
        shown.press(shown.handle("present"), "ArrowRight", "ArrowDown", "ArrowDown")
        assert shown.state()["pixel"] == [7, 6]
        label = shown.handle("present").get_attribute("aria-label")
        assert label == "present pixel: x 7, y 6"

    def test_it_plays_to_the_end_and_again_from_the_beginning(self, shown):
        shown.slide("pixels done", 140)
        shown.button("Play").click()
        done = "document.querySelector('output').textContent.startsWith('Pushing')"
        shown.page.wait_for_function(done)
        assert shown.state()["step"] == N * N
        # Whoever listens is told of every step, however few are seen from here.
        shown.live.evaluate(
            """({model}) => model.onChange(() => {
              globalThis.least = Math.min(globalThis.least ?? 144, model.get("step"));
            })"""
        )
        shown.button("Play").click()
        shown.page.wait_for_function("globalThis.least < 144")

    def test_who_wants_less_motion_gets_the_end(self, shown):
        shown.page.emulate_media(reduced_motion="reduce")
        shown.slide("pixels done", 3)
        shown.button("Play").click()
        assert shown.state()["step"] == N * N


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.rand(3, 4),), "^image must be square, of 2 to 20 pixels"),
        ((torch.rand(28, 28),), "^image must be square, of 2 to 20 pixels"),
        ((torch.rand(4, 4), 91), "^angle must be from -90 to 90, got 91"),
        ((torch.rand(4, 4), 0, 0.1), "^scale must be from 0.5 to 2, got 0.1"),
    ],
)
def test_what_can_not_be_pushed_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PushPull(*arguments)


def test_python_reads_and_changes_the_warp():
    figure = PushPull(image())
    assert figure.pixel == (6, 4)
    figure.angle, figure.scale, figure.step, figure.pixel = -10, 0.9, 7, (6, 0)
    expected = {"angle": -10.0, "scale": 0.9, "step": 7, "pixel": [6, 0]}
    assert figure.state == expected
    for name, value in {"step": -1, "pixel": (0.5, 1)}.items():
        with pytest.raises(ValueError, match=f"^{name} must be"):
            setattr(figure, name, value)
