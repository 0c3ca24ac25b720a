"""Aliasing in Chromium: what is shrunk there is what the package shrinks."""

from __future__ import annotations

import pytest
import torch
from explorables import ExplorableTests

from stn_tutorial import base_grid, sample
from stn_tutorial.course.explore import Aliasing


def seen() -> torch.Tensor:
    """The rings as they come to the page: one byte a pixel."""
    return (255 * Aliasing().image.double()).round() / 255


def shrunk(size: int, antialias: bool) -> torch.Tensor:
    grid = base_grid((size, size)).double()
    return sample(seen()[None], grid, antialias=antialias)[0]


class TestAliasing(ExplorableTests):
    @classmethod
    def figure(cls):
        return Aliasing()

    @pytest.mark.parametrize("antialias", [False, True])
    @pytest.mark.parametrize("size", [12, 17, 24, 48, 60, 95, 96])
    def test_every_size_is_the_packages(self, shown, size, antialias):
        script = """([pixels, size, antialias]) => [...stn.shrink(
            {width: 96, height: 96, pixels}, size, antialias).pixels]"""
        given = [seen().flatten().tolist(), size, antialias]
        found = torch.tensor(shown.page.evaluate(script, given), dtype=torch.float64)
        expected = shrunk(size, antialias)
        torch.testing.assert_close(found, expected.flatten(), rtol=0, atol=1e-4)
        shown.set(size=size, antialias=antialias)
        picture = shown.pixels(shown.root.locator("canvas.stn-out"))[..., 0] / 255
        torch.testing.assert_close(
            picture.double(), expected, rtol=0, atol=1.01 / 255, check_dtype=False
        )

    @pytest.mark.parametrize("antialias", [False, True])
    def test_the_spread_beyond_the_square_is_told(self, shown, antialias):
        shown.set(size=24, antialias=antialias)
        beyond = base_grid((24, 24)).abs().amax(dim=-1) > 24 / 64
        spread = shrunk(24, antialias)[beyond].std(correction=0).item()
        assert f"standard deviation is {spread:.2f}," in shown.status()
        share = 100 * beyond.float().mean().item()
        assert f"on {share:.0f} % of the output" in shown.status()

    def test_slider_and_switch_shrink_and_average(self, shown):
        shown.slide("output", 32)
        assert "One sample every 3.00 pixels" in shown.status()
        shown.root.get_by_label("antialiasing").check()
        assert "mean of 3 × 3 samples" in shown.status()
        assert shown.code() == "sample(rings, base_grid((32, 32)), antialias=True)"
        shown.slide("output", 96)
        assert "carries all the rings" in shown.status()
        shown.press(shown.button("Reset"), "Escape")
        assert shown.state() == {"size": 24, "antialias": False}


@pytest.mark.parametrize("size", [11, 97, 24.0])
def test_another_size_is_refused(size):
    with pytest.raises(ValueError, match="^size must be a whole number from 12 to 96"):
        Aliasing(size)


def test_python_reads_and_changes_the_size():
    aliasing = Aliasing(48)
    aliasing.size, aliasing.antialias = 30, True
    assert aliasing.state == {"size": 30, "antialias": True}
    with pytest.raises(TypeError, match="^antialias must be True or False"):
        aliasing.antialias = 4
