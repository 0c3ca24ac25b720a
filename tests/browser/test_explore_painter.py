"""The painter without networks: a place is chosen by hand, and within the canvas."""

from __future__ import annotations

import pytest
import torch
from explorables import ExplorableTests

import stn_tutorial
from stn_tutorial.course.explore import Painter
from stn_tutorial.data.not_so_clevr import Locations


class TestPainter(ExplorableTests):
    @classmethod
    def figure(cls):
        return Painter()

    def test_a_press_chooses_the_place_and_keeps_the_square_inside(self, shown):
        panel = shown.root.locator(".stn-panel").first
        box = panel.bounding_box()
        for x, y, place in ((40, 30, [40, 30]), (1, 63, [4, 59])):
            position = {
                "x": box["width"] * (x + 0.5) / 64,
                "y": box["height"] * (y + 0.5) / 64,
            }
            panel.click(position=position)
            assert shown.state()["place"] == place

    def test_it_says_whether_the_place_was_held_out(self, shown):
        for place, words in (([31, 40], "three quarters"), ([32, 32], "not")):
            shown.set(place=place)
            said = shown.status().replace("neither network was shown", "not")
            assert words in said

    def test_its_line_of_code_is_what_the_networks_are_given(self, shown):
        shown.set(place=[50, 17])
        names = {**vars(stn_tutorial), "torch": torch}
        exec(shown.code(), names)
        expected = Locations(torch.tensor([[50, 17]])).points()
        torch.testing.assert_close(names["points"], expected)

    def test_without_a_runtime_it_says_so(self, shown):
        said = shown.root.locator(".stn-loader").inner_text()
        assert "without ONNX Runtime Web" in said


def test_python_refuses_a_square_that_is_not_inside():
    with pytest.raises(ValueError, match="place must be from 4 to 59"):
        Painter().place = 3, 20
