"""Frequencies in Chromium: what is left of a wave is what the package leaves of it."""

from __future__ import annotations

import math
import re
from itertools import product

import pytest
import torch
from explorables import ExplorableTests

from stn_tutorial import base_grid, sample
from stn_tutorial.course.explore import Frequencies

OMEGAS = [math.pi * k / 16 for k in (1, 5, 8, 12, 15, 16)]


def kept(omega: float, shift: float, interpolation: str) -> float:
    """By the package, over whole periods, away from the edges."""
    wave = torch.cos(omega * torch.arange(40, dtype=torch.float64)).expand(1, 1, 40)
    grid = base_grid((1, 40)).double() + torch.tensor([2 * shift / 40, 0])
    read = sample(wave, grid, interpolation=interpolation)[..., 4:36]
    return (read.norm() / wave[..., 4:36].norm()).item()


def dots(part, style: str) -> torch.Tensor:
    path = part.locator(f"path.{style}").get_attribute("d")
    return torch.tensor(
        [[float(x), float(y)] for x, y in re.findall(r"M(\S+) (\S+)h0", path)]
    )


class TestFrequencies(ExplorableTests):
    @classmethod
    def figure(cls):
        return Frequencies()

    @pytest.mark.parametrize(
        ("interpolation", "shift"),
        [
            # Half-way the nearest pixel is the even one, which is no shift of the wave.
            *product(["nearest"], [0.0, 0.2, 0.75, 1.0]),
            *product(["bilinear", "bicubic"], [0.0, 0.2, 0.5, 0.75, 1.0]),
        ],
    )
    def test_what_is_left_is_what_the_package_leaves(self, shown, interpolation, shift):
        script = """([omegas, shift, interpolation]) => omegas.map((omega) =>
            stn.response(omega, shift, interpolation).kept)"""
        found = shown.page.evaluate(script, [OMEGAS, shift, interpolation])
        expected = [kept(omega, shift, interpolation) for omega in OMEGAS]
        assert found == pytest.approx(expected, abs=1e-6)
        shown.set(shift=shift, interpolation=interpolation)
        measured = dots(shown.root.locator(".stn-axes").nth(1), "stn-output-dots")
        at = torch.tensor([round(16 * omega / math.pi) - 1 for omega in OMEGAS])
        torch.testing.assert_close(
            measured[at, 1], torch.tensor(expected), rtol=0, atol=1e-4
        )

    def test_bilinear_leaves_what_the_formula_says(self, shown):
        for omega, shift in (
            (math.pi / 2, 0.5),
            (math.pi, 0.5),
            (1.0, 0.3),
            (3.0, 0.9),
        ):
            script = "([omega, t]) => stn.response(omega, t, 'bilinear').kept"
            found = shown.page.evaluate(script, [omega, shift])
            expected = abs(
                1 - shift + shift * complex(math.cos(omega), math.sin(omega))
            )
            assert found == pytest.approx(expected, abs=1e-9)

    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
    def test_the_dots_are_what_the_line_of_code_returns(self, shown, interpolation):
        shown.set(omega=1.23, shift=0.35, interpolation=interpolation)
        names = {"torch": torch, "sample": sample, "base_grid": base_grid}
        read = eval(shown.code(), names)[0, 0]
        drawn = dots(shown.root.locator(".stn-axes").first, "stn-output-dots")
        torch.testing.assert_close(drawn[2:13, 1], read[2:13], rtol=0, atol=2e-4)
        stripes = shown.pixels(shown.root.locator("canvas.stn-out"))[0, 2:13, 0] / 255
        expected = 0.5 + read[2:13] / 2
        torch.testing.assert_close(stripes, expected, rtol=0, atol=1 / 255)

    def test_the_finest_stripes_vanish_half_a_pixel_on(self, shown):
        shown.press(shown.handle("frequency"), *40 * ["ArrowRight"])
        assert shown.state()["omega"] == pytest.approx(math.pi)
        assert "nothing of the amplitude is left" in shown.status()
        shown.choose("nearest")
        assert "even ones count" in shown.status()
        shown.slide("shift", 0.2)
        assert (
            "1.000 of the amplitude is left, 0.20 pixels behind the" in shown.status()
        )
        shown.slide("shift", 0.8)
        assert "0.20 pixels beyond the right location" in shown.status()

    def test_a_drag_changes_the_frequency_and_escape_brings_it_back(self, shown):
        handle = shown.handle("frequency")
        shown.drag(handle, -2000, 0)
        assert shown.state()["omega"] == 0.1
        shown.press(handle, "Escape")
        assert shown.state()["omega"] == 1.57
        assert "0.707 of the amplitude is left, at the right location" in shown.status()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"omega": 0}, "^omega must be above 0 and at most pi"),
        ({"omega": 3.2}, "^omega must be above 0 and at most pi"),
        ({"shift": 1.5}, "^shift must be from 0 to 1"),
    ],
)
def test_what_is_no_wave_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Frequencies(**arguments)


def test_python_reads_and_changes_the_wave():
    frequencies = Frequencies()
    frequencies.omega, frequencies.shift = 2, 0.25
    frequencies.interpolation = "bicubic"
    assert frequencies.state["omega"] == 2.0 and frequencies.shift == 0.25
    with pytest.raises(ValueError, match="^interpolation must be"):
        frequencies.interpolation = "cubic"
