"""The order in Chromium: both products, and a point that goes back through both."""

from __future__ import annotations

import math
import re

import pytest
import torch
from explorables import ExplorableTests
from torch import Tensor

from stn_tutorial import Affine, rotation, warp
from stn_tutorial.course.explore import Order
from stn_tutorial.data import embedded_digits


def image() -> Tensor:
    return embedded_digits((64, 64))[0][7, 0]


def thetas(angle: float, shift: float) -> dict[str, Tensor]:
    return {
        "shift": torch.tensor([1.0, 0.0, shift, 0.0, 1.0, 0.0]),
        "rotate": rotation(math.radians(angle)).flatten(),
    }


def composed(angle: float, shift: float, first: str) -> Tensor:
    """The package's product, (2, 3)."""
    both = thetas(angle, shift)
    second = "rotate" if first == "shift" else "shift"
    return Affine().compose(both[first], both[second]).view(2, 3)


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def products(shown) -> list[list[float]]:
    """The numbers of both composed thetas, as they stand on the page."""
    matrices = shown.root.locator(".stn-order-product .stn-order-matrix").all()
    return [
        [number(text) for text in matrix.locator("span").all_inner_texts()]
        for matrix in matrices
    ]


def titles(shown) -> list[str]:
    return shown.root.locator(".stn-order-title").all_inner_texts()


def points(shown) -> list[list[float]]:
    """The three points of the status sentence: output, intermediate, input."""
    pairs = re.findall(r"\(([−\d.]+), ([−\d.]+)\)", shown.status())
    return [[number(x), number(y)] for x, y in pairs]


class TestOrder(ExplorableTests):
    @classmethod
    def figure(cls):
        return Order(image())

    @pytest.mark.parametrize(("angle", "shift"), [(34, -0.3), (-135, 0.85), (0, 0.5)])
    @pytest.mark.parametrize("first", ["shift", "rotate"])
    def test_what_is_composed_is_the_packages(self, shown, angle, shift, first):
        shown.slide("angle", angle)
        shown.slide("shift c", shift)
        if first == "rotate":
            shown.button("Swap").click()
        for found, order in zip(products(shown), ("shift", "rotate")):
            expected = composed(angle, shift, order).flatten().tolist()
            assert found == pytest.approx(expected, abs=0.0051)
        code = {"torch": torch, "Affine": Affine}
        exec(shown.code(), code)
        expected = composed(angle, shift, first).flatten()
        torch.testing.assert_close(code["theta"], expected, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("first", ["shift", "rotate"])
    def test_the_pictures_are_the_packages(self, shown, first):
        if first == "rotate":
            shown.button("Swap").click()
        one = thetas(34, -0.3)[first].view(1, 2, 3)
        for canvas, theta in ((1, one), (2, composed(34, -0.3, first)[None])):
            expected = warp(image()[None, None], theta)[0, 0]
            found = shown.pixels(shown.root.locator("canvas").nth(canvas))[..., 0] / 255
            torch.testing.assert_close(found, expected, rtol=0, atol=2.5 / 255)

    def test_a_point_goes_back_through_the_second_card_first(self, shown):
        shown.press(shown.handle("point"), "ArrowLeft", "ArrowDown", "Shift+ArrowDown")
        p, q, r = points(shown)
        assert p == [0.35, -0.34]
        both = thetas(34, -0.3)
        between = both["rotate"].view(2, 3) @ torch.tensor([*p, 1.0])
        assert q == pytest.approx(between.tolist(), abs=0.0051)
        theta = composed(34, -0.3, "shift")
        there = theta @ torch.tensor([*p, 1.0])
        assert r == pytest.approx(there.tolist(), abs=0.0051)
        other = composed(34, -0.3, "rotate") @ torch.tensor([*p, 1.0])
        apart = f"{(there - other).norm():.2f} beside it"
        assert apart in shown.status()

    def test_cards_that_are_swapped_change_their_places(self, shown):
        assert titles(shown) == ["1. shift", "2. rotate"]
        shown.button("Swap").click()
        assert titles(shown) == ["1. rotate", "2. shift"]
        assert "first=rotate, second=shift" in shown.code()
        slider = shown.root.get_by_label("angle")
        shown.press(slider, "ArrowRight", "Escape")
        assert titles(shown) == ["1. shift", "2. rotate"]
        assert slider.evaluate("(e) => e === document.activeElement")

    @pytest.mark.parametrize(("angle", "shift"), [(0, 0.5), (120, 0), (180, 0)])
    def test_a_shift_or_a_rotation_of_nothing_may_come_in_any_order(
        self, shown, angle, shift
    ):
        differs = shown.root.locator(".stn-order-differs")
        assert differs.count() == 4  # the third column, in both
        shown.set(angle=angle, shift=shift)
        assert "the same location" in shown.status()
        assert differs.count() == 0
        shown.set(angle=180, shift=0.25)
        assert "0.50 beside it" in shown.status()

    def test_a_press_on_the_output_chooses_its_point(self, shown):
        canvas, panel = (
            shown.root.locator("canvas").nth(2),
            shown.root.locator(".stn-panel"),
        )
        box, frame = canvas.bounding_box(), panel.bounding_box()
        x = box["x"] - frame["x"] + box["width"] / 4
        y = box["y"] - frame["y"] + box["height"] / 2
        panel.click(position={"x": x, "y": y})
        assert shown.state()["point"] == pytest.approx([-0.5, 0], abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.rand(3, 4),), "^image must be square"),
        ((torch.rand(4, 4), 181), "^angle must be from -180 to 180, got 181"),
        ((torch.rand(4, 4), 0, 1.5), "^shift must be from -1 to 1, got 1.5"),
    ],
)
def test_what_can_not_be_ordered_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Order(*arguments)


def test_python_reads_and_changes_the_order():
    order = Order(image(), angle=-60, shift=0.4)
    assert order.first == "shift" and order.point == (0.4, -0.4)
    assert torch.allclose(order.theta, composed(-60, 0.4, "shift"))
    order.first, order.angle, order.point = "rotate", 20, (0, 1)
    assert torch.allclose(order.theta, composed(20, 0.4, "rotate"))
    for name, value in {"first": "scale", "point": (0, 2)}.items():
        with pytest.raises(ValueError, match=f"^{name} must be"):
            setattr(order, name, value)
