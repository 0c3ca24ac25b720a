"""Two windows in Chromium: what they show, what they leave, and what one can't do."""

from __future__ import annotations

import math
import re

import pytest
import torch
from explorables import ExplorableTests

from stn_tutorial import rotation, warp
from stn_tutorial.course.explore import TwoWindows

#: By how much a window has to be rotated for each digit, in degrees.
UPRIGHT = (40.0, -30.0)


def image() -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    stroke = (-((x - 14) ** 2 + (y - 9) ** 2 - 25).abs() / 20).exp()
    return torch.stack([stroke, stroke.T])


def squares(shown) -> list[float]:
    """What is left of either digit, the sum of the squares, and the least one."""
    return [float(n) for n in re.findall(r"\d+", shown.status())[:4]]


class TestTwoWindows(ExplorableTests):
    @classmethod
    def figure(cls):
        return TwoWindows(image(), rotation(torch.tensor(UPRIGHT).deg2rad()), (3, 8))

    def test_each_window_shows_both_channels_as_the_package_warps_them(self, shown):
        angles = [25.0, -110.0]
        shown.set(windows=2, angles=angles)
        for window, degrees in enumerate(angles):
            theta = rotation(math.radians(degrees))
            expected = warp(image()[None], theta[None], (56, 56))[0]
            for channel in (0, 1):
                canvas = shown.root.locator(".stn-out").nth(2 * window + channel)
                seen = shown.pixels(canvas)[..., 0] / 255
                torch.testing.assert_close(
                    seen, expected[channel], rtol=0, atol=2.5 / 255
                )

    def test_one_window_leaves_the_difference_and_its_best_is_the_mean(self, shown):
        apart = UPRIGHT[0] - UPRIGHT[1]
        for angle in (*UPRIGHT, 5.0, -90.0):
            shown.set(windows=1, angles=[angle, 0])
            one, other = (upright - angle for upright in UPRIGHT)
            assert squares(shown) == pytest.approx(
                [abs(one), abs(other), one**2 + other**2, apart**2 / 2], abs=0.51
            )
        shown.set(angles=[sum(UPRIGHT) / 2, 0])
        *_, found, least = squares(shown)
        assert found == least

    def test_two_windows_can_leave_nothing(self, shown):
        shown.choose("two, side by side")
        shown.slide("angle of window 1", -30)
        shown.slide("angle of window 2", 40)
        assert squares(shown) == [0, 0, 0, 0]
        assert (
            shown.code() == "thetas = rotation(torch.tensor([-30.0, 40.0]).deg2rad())"
        )

    def test_a_slider_stays_at_its_end(self, shown):
        for end in (180, -180):
            shown.slide("angle of window 1", end)
            assert shown.state()["angles"][0] == end

    def test_the_second_window_is_there_when_asked_for(self, shown):
        assert shown.root.locator(".stn-out:visible").count() == 2
        assert shown.handle("window 2").is_hidden()
        shown.choose("two, side by side")
        assert shown.root.locator(".stn-out:visible").count() == 4
        shown.press(shown.handle("window 2"), "ArrowRight")
        assert shown.state()["angles"][1] > 0 == shown.state()["angles"][0]

    def test_a_drag_to_the_right_rotates_clockwise(self, shown):
        shown.drag(shown.handle("window 1"), 60, 0)
        assert 20 < shown.state()["angles"][0] < 60

    def test_the_sum_is_told_when_asked_for(self, shown):
        assert "= 11" not in shown.status()
        shown.root.get_by_label("tell the sum").check()
        assert "3 + 8 = 11." in shown.status()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.rand(2, 28, 20), torch.rand(2, 2, 3)), r"^image must be \(2, H, H\)"),
        ((torch.rand(3, 28, 28), torch.rand(2, 2, 3)), r"^image must be \(2, H, H\)"),
        ((torch.rand(2, 28, 28), torch.rand(2, 6)), r"^upright must be \(2, 2, 3\)"),
    ],
)
def test_what_makes_no_figure_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TwoWindows(*arguments, (1, 2))


def test_python_rotates_the_windows():
    figure = TestTwoWindows.figure()
    assert figure.upright == pytest.approx(UPRIGHT, abs=1e-4)
    figure.windows, figure.angles = 2, (10, -20)
    assert figure.state == {"windows": 2, "angles": [10, -20], "told": False}
    with pytest.raises(ValueError, match="^windows must be 1 or 2, got 3"):
        figure.windows = 3
    with pytest.raises(ValueError, match="^angles must be two from -180"):
        figure.angles = (10, 200)
