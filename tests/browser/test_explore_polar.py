"""The polar picture in Chromium: what it shows is what the package samples."""

from __future__ import annotations

import re

import pytest
import torch
from explorables import ExplorableTests

from stn_tutorial.course.explore import Polar
from stn_tutorial.data import embedded_digits


def changes(shown) -> list[float]:
    """By how much the polar picture changed, and shifted back, in percent."""
    return [float(n) for n in re.findall(r"(\d+)%", shown.status())]


class TestPolar(ExplorableTests):
    @classmethod
    def figure(cls):
        return Polar(embedded_digits()[0][3, 0])

    @pytest.mark.parametrize(
        ("angle", "scale", "origin"),
        [
            (0.0, 1.0, [0.0, 0.0]),
            (-77.0, 1.3, [0.0, 0.0]),
            (140.0, 0.6, [0.3, -0.55]),
        ],
    )
    def test_both_pictures_are_the_packages(self, shown, angle, scale, origin):
        shown.set(angle=angle, scale=scale, origin=origin)
        figure = self.figure()
        figure.angle, figure.scale, figure.origin = angle, scale, origin
        canvases = shown.root.locator(".stn-out")
        for k, expected in enumerate((figure.polar(), figure.shifted_back())):
            seen = shown.pixels(canvases.nth(k))[..., 0] / 255
            torch.testing.assert_close(seen, expected, rtol=0, atol=2.5 / 255)
        before = self.figure().polar()
        for said, now in zip(changes(shown), (figure.polar(), figure.shifted_back())):
            share = ((now - before).norm() / before.norm()).item()
            assert said == pytest.approx(100 * share, abs=0.6)

    def test_a_rotation_is_a_shift_while_the_origin_is_in_the_middle(self, shown):
        shown.slide("angle", 90)
        assert "90° are 8.0 columns" in shown.status()
        moved, left = changes(shown)
        assert left < 0.2 * moved
        shown.press(shown.handle("origin"), *6 * ["ArrowRight"])
        assert shown.state()["origin"] == [0.3, 0.0]
        assert changes(shown)[1] > 5 * left and "0.30 off" in shown.status()
        assert "torch.tensor([[0.30, 0.00]]), 24, 32)" in shown.code()

    def test_the_arm_rotates_and_scales(self, shown):
        panel = shown.root.locator(".stn-panel").first.bounding_box()
        unit = panel["width"] / 2.5
        shown.drag(shown.handle("rotates and scales"), 0.9 * unit, 0.75 * unit)
        state = shown.state()
        assert state["angle"] == pytest.approx(90, abs=2)
        assert state["scale"] == pytest.approx(1.2, abs=0.03)

    def test_a_scale_stays_within_its_limits(self, shown):
        shown.press(shown.handle("rotates and scales"), *40 * ["ArrowUp"])
        assert shown.state()["scale"] == 1.6 and shown.state()["angle"] == 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("angle", 200, "^angle must be from -180 to 180"),
        ("scale", 0.1, "^scale must be from 0.5 to 1.6"),
        ("origin", (0, 2), "^origin must be x and y from -1 to 1"),
    ],
)
def test_what_the_figure_cannot_show_is_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        setattr(TestPolar.figure(), name, value)


def test_an_image_is_square():
    with pytest.raises(ValueError, match="^image must be square"):
        Polar(torch.rand(4, 5))
