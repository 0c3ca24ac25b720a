"""The window in Chromium: hands, keys and numbers move the frame, both ways."""

from __future__ import annotations

import sys

import pytest
import torch
from explorables import ExplorableTests

from stn_tutorial import warp
from stn_tutorial.course.explore import Window, _figure

IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
START = [0.5, -0.26, -0.1, 0.26, 0.5, 0.15]


def image() -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    return 0.5 + 0.25 * (x / 9).sin() + 0.25 * (y / 5 + x / 20).cos()


def fields(shown):
    return shown.root.locator(".stn-numbers input")


def theta(shown) -> list[float]:
    return [float(field.input_value()) for field in fields(shown).all()]


class TestWindow(ExplorableTests):
    @classmethod
    def figure(cls):
        return Window(image())

    def test_a_frame_without_area_is_a_line(self, shown):
        shown.set(theta=[0.5, 0.5, 0.0, 0.5, 0.5, 0.0])
        assert "repeats what lies on one line" in shown.status()

    def test_the_output_is_the_packages(self, shown):
        params = torch.tensor([shown.state()["theta"]])
        expected = warp(image()[None, None], params, (64, 64))[0, 0]
        output = shown.pixels(shown.root.locator(".stn-out"))[..., 0] / 255
        # One byte a pixel comes, and one byte goes.
        torch.testing.assert_close(output, expected, rtol=0, atol=2.5 / 255)
        assert "theta = torch.tensor([[0.50, -0.26" in shown.code()

    @pytest.mark.parametrize(
        ("words", "places"),
        [("first column", (0, 3)), ("second column", (1, 4)), ("third column", (2, 5))],
    )
    def test_arrow_keys_move_a_column_of_theta(self, shown, words, places):
        before = theta(shown)
        shown.press(shown.handle(words), "ArrowRight", "ArrowRight", "Shift+ArrowDown")
        change = [after - start for after, start in zip(theta(shown), before)]
        expected = [0.0] * 6
        expected[places[0]], expected[places[1]] = 0.1, 0.01
        assert change == pytest.approx(expected, abs=1e-6)

    def test_a_handle_beyond_the_panel_does_not_jump_to_its_edge(self, shown):
        beyond = [1.0, 0.0, 0.9, 0.0, 1.0, 0.0]  # the right edge is at 1.9, not in view
        shown.set(theta=beyond)
        shown.press(shown.handle("first column"), "Shift+ArrowLeft")
        assert theta(shown)[0] == pytest.approx(0.99)
        shown.set(theta=beyond)
        shown.drag(shown.handle("first column"), -3, 0)
        assert 0.9 < theta(shown)[0] < 1
        shown.drag(shown.handle("first column"), 40, 0)  # nor farther out
        assert theta(shown)[0] < 1
        shown.set(theta=[1e9, 0.0, 0.0, 0.0, 1.0, 0.0])
        shown.drag(shown.handle("first column"), -40, 0)  # from afar it comes at once
        assert 0.8 < theta(shown)[0] < 1.5

    def test_escape_sets_back_the_number_that_is_being_typed(self, shown):
        fields(shown).first.fill("7")
        shown.page.keyboard.press("Escape")
        shown.page.wait_for_function(
            "() => document.activeElement.value === '1.00'", timeout=2000
        )

    def test_a_drag_moves_the_frame(self, shown):
        panel = shown.root.locator(".stn-panel").first.bounding_box()
        shown.drag(
            shown.handle("third column"), panel["width"] / 6, -panel["height"] / 12
        )
        expected = [0.5, -0.26, 0.4, 0.26, 0.5, -0.1]
        assert theta(shown) == pytest.approx(expected, abs=0.011)

    def test_the_corner_rotates_and_scales_and_keeps_the_shape(self, shown):
        shown.press(shown.handle("corner of the frame"), *6 * ["ArrowLeft"])
        a, b, c, d, e, f = theta(shown)
        assert (c, f) == (-0.1, 0.15)
        assert a == pytest.approx(e, abs=0.011) and b == pytest.approx(-d, abs=0.011)
        assert (a, b) != (0.5, -0.26)

    def test_numbers_move_the_frame_and_escape_resets_it(self, shown):
        fields(shown).nth(2).fill("0.35")
        assert "x 0.35" in shown.handle("third column").get_attribute("aria-label")
        assert "0.35" in shown.code()
        fields(shown).nth(2).fill("")  # not a number yet: nothing happens
        assert "0.35" in shown.code()
        shown.press(shown.handle("first column"), "Escape")
        assert theta(shown) == IDENTITY
        assert "keeps the size" in shown.status()

    def test_a_mirror_is_told(self, shown):
        fields(shown).nth(0).fill("-0.5")
        fields(shown).nth(1).fill("0")
        assert "mirrored" in shown.status()

    def test_the_grid_can_be_shown(self, shown):
        dots = shown.root.locator(".stn-sample-dots")
        assert not dots.get_attribute("d")
        shown.root.get_by_label("sampling grid").check()
        assert dots.get_attribute("d").count("M") == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.rand(3, 4),), "^image must be square"),
        ((torch.rand(1, 4, 4),), r"^image must be \(H, W\)"),
        ((torch.rand(4, 4), (1, 2, 3)), "^theta must be 6 finite numbers"),
        ((torch.rand(4, 4), (1, 2, 3, 4, 5, float("inf"))), "^theta must be 6"),
    ],
)
def test_what_makes_no_window_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Window(*arguments)


def test_python_reads_and_moves_the_frame():
    window = Window(image(), torch.eye(2, 3))
    assert torch.equal(window.theta, torch.eye(2, 3)) and window.grid is False
    window.theta = torch.tensor([START])
    assert window.state["theta"] == pytest.approx(START)
    with pytest.raises(ValueError, match="^theta must be 6"):
        window.theta = [1, 2]


def test_without_anywidget_the_page_form_is_shown(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    _figure._widget_class.cache_clear()
    shown = Window(image())._repr_mimebundle_()
    assert set(shown) == {"text/plain", "text/html"}
    assert "stn.start(" in shown["text/html"]


def test_with_anywidget_both_forms_are_shown():
    data, _ = Window(image())._repr_mimebundle_()
    assert {"text/html", "application/vnd.jupyter.widget-view+json"} <= set(data)


def test_no_script_ends_itself():
    for name in (*Window.needs, Window.name):
        assert "</script" not in _figure._file(f"{name}.js")
