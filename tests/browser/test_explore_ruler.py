"""The ruler in Chromium: a point under both conventions, and what mixing them does."""

from __future__ import annotations

import re

import pytest
import torch
from explorables import ExplorableTests

from stn_tutorial import base_grid, sample, to_normalized, to_pixels
from stn_tutorial.course.explore import Ruler


def fields(shown) -> list[float]:
    inputs = shown.root.locator(".stn-numbers input").all()
    return [float(each.input_value()) for each in inputs]


def labels(shown, k: int) -> list[float]:
    """What stands at pixel k on both rulers."""
    texts = shown.root.locator(".stn-ruler-row .stn-ruler-label").all_inner_texts()
    return [float(texts[k].replace("−", "-")), float(texts[12 + k].replace("−", "-"))]


def status_number(shown, words: str) -> float:
    found = re.search(rf"([−\d.]+) pixels {words}", shown.status())
    return float(found[1].replace("−", "-"))


class TestRuler(ExplorableTests):
    @classmethod
    def figure(cls):
        return Ruler()

    @pytest.mark.parametrize("n", [2, 5, 12])
    def test_every_centre_has_its_coordinates(self, shown, n):
        shown.slide("pixels in the row", n)
        centres = torch.stack([torch.arange(float(n)), torch.zeros(n)], dim=-1)
        both = [to_normalized(centres, (1, n), align_corners=c) for c in (False, True)]
        for k in range(n):
            expected = [points[k, 0].item() for points in both]
            assert labels(shown, k) == pytest.approx(expected, abs=0.0051)
        hidden = shown.root.locator(".stn-ruler-row .stn-ruler-label[hidden]")
        assert hidden.count() == 3 * (12 - n)

    def test_the_point_is_dragged_and_stays_a_corner_in_every_row(self, shown):
        panel = shown.root.locator(".stn-ruler-row").bounding_box()
        shown.drag(shown.handle("point"), -panel["width"] / 2.6, 40)
        x = shown.state()["x"]  # the row's width is 2 of 2.6
        assert x == pytest.approx(7 - 4, abs=0.02)
        expected = [
            to_normalized(torch.tensor([x, 0.0]), (1, 8), align_corners=c)[0].item()
            for c in (False, True)
        ]
        assert fields(shown)[1:] == pytest.approx(expected, abs=5.1e-4)
        shown.press(shown.handle("point"), "Escape")
        shown.slide("pixels in the row", 3)
        assert fields(shown) == pytest.approx([2, 2 / 3, 1], abs=5.1e-4)

    def test_arrow_keys_move_it_by_a_quarter_of_a_pixel(self, shown):
        keys = ["ArrowLeft", "ArrowLeft", "Shift+ArrowRight"]
        shown.press(shown.handle("point"), *keys)
        assert shown.state()["x"] == pytest.approx(6.55)
        label = shown.handle("point").get_attribute("aria-label")
        assert label == "point on the row: pixel coordinate 6.55"

    def test_a_coordinate_is_typed_in_any_of_the_three_units(self, shown):
        pixels, false, true = shown.root.locator(".stn-numbers input").all()
        for field, value in ((false, 0.5), (true, 0.5), (pixels, 2.5)):
            field.fill(str(value))
            align = field is true
            if field is not pixels:
                value = to_pixels(
                    torch.tensor([value, 0.0]), (1, 8), align_corners=align
                )[0].item()
            assert shown.state()["x"] == pytest.approx(value, abs=1e-4)
        true.fill("100")  # as far as the panel goes
        assert shown.state()["x"] == pytest.approx(1.3 * 4 + 3.5)

    @pytest.mark.parametrize("n", [2, 7])
    @pytest.mark.parametrize("made", [False, True])
    @pytest.mark.parametrize("sampled", [False, True])
    def test_the_resampled_rows_are_the_packages(self, shown, n, made, sampled):
        shown.set(n=n, x=n - 1, made=made, sampled=sampled, times=20)
        row = torch.full((1, 1, 1, n), 0.6)
        row[..., [0, -1]] = 1
        rows = [row[0, 0, 0]]
        grid = base_grid((1, n), align_corners=made)[None]
        for _ in range(20):
            row = sample(row, grid, align_corners=sampled)
            rows.append(row[0, 0, 0])
        found = shown.pixels(shown.root.locator(".stn-ruler-film canvas"))[..., 0] / 255
        expected = torch.stack(rows)
        torch.testing.assert_close(found, expected, rtol=0, atol=0.6 / 255)
        assert f"range(20): row = sample(row, base_grid((1, {n})" in shown.code()

    def test_the_outermost_pixels_move_as_a_sampled_ramp_says(self, shown):
        # Every pixel of a ramp holds its coordinate, so a sample says where it was.
        shown.choose_in("grid made", "True")
        for times in (1, 3):
            shown.slide("resamplings", times)
            grid = base_grid((1, 8), align_corners=True, dtype=torch.float64)
            ramp = torch.arange(8.0, dtype=torch.float64).expand(1, 1, 1, 8)
            read = sample(ramp, grid[None], align_corners=False)[0, 0, 0, 4:6]
            scale = (read[1] - read[0]).item()  # of the distances from the middle
            expected = 3.5 * (1 - (1 / scale) ** times)
            found = status_number(shown, "towards the middle")
            assert found == pytest.approx(expected, abs=0.0051)
        assert status_number(shown, "too far out") == 0.5

    def test_swapped_conventions_move_them_outward(self, shown):
        shown.choose_in("sampled", "True")
        assert "away from the middle" in shown.status()
        assert "too near the middle" in shown.status()
        shown.choose_in("grid made", "True")
        assert "it was made for" in shown.status()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 1}, "^n must be a whole number from 2 to 12, got 1"),
        ({"n": 2.5}, "^n must be a whole number"),
        ({"times": 21}, "^times must be a whole number from 0 to 20, got 21"),
        ({"x": float("nan")}, "^x must be a finite number"),
    ],
)
def test_what_makes_no_ruler_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Ruler(**arguments)


def test_python_reads_and_changes_the_ruler():
    ruler = Ruler(5)
    assert (ruler.n, ruler.x, ruler.made, ruler.sampled) == (5, 4.0, False, False)
    ruler.n, ruler.x, ruler.sampled, ruler.times = 3, 0.5, True, 9
    expected = {"n": 3, "x": 0.5, "made": False, "sampled": True, "times": 9}
    assert ruler.state == expected
    with pytest.raises(ValueError, match="^n must be"):
        ruler.n = True
