"""The dial in Chromium: what is read off it is what the networks answered."""

from __future__ import annotations

import math
import re

import pytest
import torch
from explorables import ExplorableTests

from stn_tutorial import rotation, warp
from stn_tutorial.course.explore import Dial

ANGLES = torch.deg2rad(torch.arange(-180.0, 181.0))


def digits() -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    stroke = (-((x - 14) ** 2 + (y - 9) ** 2 - 25).abs() / 20).exp()
    return torch.stack([stroke, stroke.T])


def radians() -> torch.Tensor:
    """Answers that a smooth function of the picture can give: no jump at the seam."""
    return torch.stack([2 * ANGLES.sin(), 1.5 * ANGLES.sin() + 0.3])


def vectors() -> torch.Tensor:
    length = 0.9 - 0.3 * ANGLES.cos().square()
    off = ANGLES + 0.1 * (3 * ANGLES).sin()
    one = length[:, None] * torch.stack([off.cos(), off.sin()], dim=1)
    return torch.stack([one, 0.7 * one])


def numbers(shown) -> list[float]:
    """The degrees answered and off, by radians, then by cosine and sine; its length."""
    said = " ".join(shown.root.locator(".stn-answer span").all_inner_texts())
    return [float(n) for n in re.findall(r"-?[\d.]+", said.replace("\u2212", "-"))]


class TestDial(ExplorableTests):
    @classmethod
    def figure(cls):
        return Dial(digits(), radians(), vectors(), labels=[4, 7])

    @pytest.mark.parametrize("angle", [-180, -97, 0, 45, 179, 180])
    def test_the_answers_are_the_recorded_ones(self, shown, angle):
        dial = self.figure()
        for digit in (0, 1):
            shown.set(angle=angle, digit=digit)
            dial.angle, dial.digit = angle, digit
            (first, second), (off, other) = dial.answers(), dial.off()
            length = vectors()[digit, angle + 180].norm().item()
            expected = [first, off, second, other, length]
            assert numbers(shown) == pytest.approx(expected, abs=0.52)
            assert numbers(shown)[-1] == pytest.approx(length, abs=0.006)

    def test_the_picture_is_the_one_that_the_line_of_code_makes(self, shown):
        shown.set(angle=40)
        assert "rotation(math.radians(-40))" in shown.code()
        theta = rotation(math.radians(-40))
        expected = warp(digits()[:1, None], theta[None], (28, 28))[0, 0]
        found = shown.pixels(shown.root.locator("canvas").first)[..., 0] / 255
        torch.testing.assert_close(found, expected, rtol=0, atol=2.5 / 255)

    def test_keys_move_by_five_degrees_and_by_one(self, shown):
        handle = shown.handle("on the dial")
        for start in range(-180, 181, 30):
            for key, least, most in (("", 3, 6), ("Shift+", 1, 2)):
                moved = []
                for arrow in ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"):
                    shown.set(angle=start)
                    shown.press(handle, key + arrow)
                    away = abs(shown.state()["angle"] - start)
                    moved.append(min(away, 360 - away))
                assert least <= max(moved) <= most, start
        shown.set(angle=10)
        shown.press(shown.handle("on the diagonal"), "ArrowRight", "Shift+ArrowLeft")
        assert shown.state()["angle"] == 14

    def test_a_drag_goes_round_the_dial_and_across_the_seam(self, shown):
        shown.set(angle=170)
        shown.drag(shown.handle("on the dial"), -60, 0)
        assert -180 < shown.state()["angle"] < -150

    def test_the_slider_and_the_choice_of_a_digit_move_it(self, shown):
        shown.slide("true angle", 180)
        shown.choose("7")
        assert shown.state() == {"angle": 180, "digit": 1}
        assert "0° from the seam" in shown.status()
        shown.press(shown.handle("on the dial"), "Escape")
        assert shown.state() == {"angle": 120, "digit": 0}

    def test_two_dials_on_a_page_have_a_choice_each(self, shown):
        chosen = shown.page.locator("input:checked").all()
        assert len(chosen) == 2
        shown.choose("7")
        assert shown.page.locator("input:checked").count() == 2

    def test_the_handle_on_the_diagonal_is_on_it(self, shown):
        shown.set(angle=180)
        end = shown.root.locator(".stn-dial-right").evaluate(
            """(path) => {
              const end = path.getPointAtLength(path.getTotalLength());
              const {x, y} = new DOMPoint(end.x, end.y).matrixTransform(
                path.getScreenCTM());
              return [x, y];
            }"""
        )
        box = shown.handle("on the diagonal").bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        assert end == pytest.approx(middle, abs=1.5)

    def test_a_curve_that_leaves_the_plot_is_interrupted(self, shown):
        turn = torch.stack([(ANGLES + 1).cos(), (ANGLES + 1).sin()], dim=1)[None]
        dial = Dial(digits()[:1], radians()[:1], turn)
        shown.page.set_content(f"<!doctype html><body>{dial.html()}")
        line = shown.page.locator("path.stn-vector:not(.stn-needle)").first
        assert line.get_attribute("d").count("M") == 2
        assert shown.page.get_by_role("radio").count() == 0  # one digit: no choice


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digits": torch.rand(2, 28, 20)}, r"^digits must be \(D, H, H\)"),
        ({"digits": torch.rand(28, 28)}, r"^digits must be \(D, H, H\)"),
        ({"radians": ANGLES[None]}, r"^radians must be \(2, 361\)"),
        ({"vectors": vectors() / 0}, r"^vectors must be \(2, 361, 2\) finite"),
        ({"labels": [1]}, "^labels must be 2, got 1"),
        ({"angle": 200}, "^angle must be from -180 to 180"),
    ],
)
def test_what_makes_no_dial_is_refused(change, message):
    given = {"digits": digits(), "radians": radians(), "vectors": vectors()}
    with pytest.raises(ValueError, match=message):
        Dial(**{**given, **change})


def test_python_turns_the_dial():
    dial = Dial(digits(), radians(), vectors())
    dial.angle = -180.0
    assert dial.state == {"angle": -180, "digit": 0}
    assert dial.off() == pytest.approx((180, 0), abs=0.01)
    with pytest.raises(ValueError, match="^angle must be"):
        dial.angle = math.nan
    dial.digit = 1
    assert dial.state["digit"] == 1
    for wrong in (-1, 2, 0.5, True):
        with pytest.raises(ValueError, match="^digit must be a whole number from 0 to"):
            dial.digit = wrong
