"""Between the pixels, in Chromium: every reading is the package's."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from explorables import ExplorableTests

from stn_tutorial import sample, to_normalized
from stn_tutorial.course.explore import Between

U = torch.tensor(
    [
        [0.9, 0.2, 0.1, 0.0, 0.8],
        [0.2, 0.6, 0.8, 0.3, 0.1],
        [0.1, 0.7, 1.0, 0.6, 0.2],
        [0.0, 0.3, 0.9, 0.7, 0.1],
        [0.8, 0.1, 0.3, 0.2, 0.9],
    ]
)
INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
PADDINGS = ("zeros", "border", "reflection")


def value(shown) -> float:
    text = shown.root.locator(".stn-sum td").last.inner_text()
    return float(text.replace("\N{MINUS SIGN}", "-"))


def numbers(texts: list[str]) -> list[float]:
    return [float(text.replace("\N{MINUS SIGN}", "-")) for text in texts if text]


def code_value(shown) -> float:
    """What the line under the figure returns, in Python."""
    names = {"U": U, "torch": torch, "sample": sample, "to_normalized": to_normalized}
    return eval(shown.code(), names)


class TestBetween(ExplorableTests):
    @classmethod
    def figure(cls):
        return Between(U)

    @pytest.mark.parametrize(
        ("interpolation", "padding", "fill"),
        [
            *product(INTERPOLATIONS, PADDINGS, [0.0]),
            *product(INTERPOLATIONS, ["zeros"], [0.35]),
        ],
    )
    def test_it_reads_what_the_package_reads(self, shown, interpolation, padding, fill):
        generator = torch.Generator().manual_seed(1)
        points = (7 * torch.rand(12, 2, generator=generator) - 1).round(decimals=2)
        points = points.tolist() + [[2.0, 3.0], [4.5, 2.0], [-0.5, -0.5]]
        shown.set(interpolation=interpolation, padding=padding, fill=fill)
        for point in points:
            if interpolation == "nearest":  # ties are rounded one way or the other
                point = [v + 0.02 * (v % 1 == 0.5) for v in point]
            shown.set(point=point)
            assert value(shown) == pytest.approx(code_value(shown), abs=5.1e-4), point

    @pytest.mark.parametrize("padding", PADDINGS)
    def test_ties_outside_take_the_side_that_the_package_takes(self, shown, padding):
        shown.set(interpolation="nearest", padding=padding)
        for x in (-0.5, 0.5, 1.5, 4.5):
            shown.set(point=[x, 1.0])
            place = to_normalized(torch.tensor([[[x, 1.0]]]).double(), U.shape)
            options = {"interpolation": "nearest", "padding": padding}
            read = sample(U[None].double(), place, backend="manual", **options)
            assert value(shown) == pytest.approx(read.item(), abs=5.1e-4), x

    def test_the_weights_are_the_areas_of_the_opposite_rectangles(self, shown):
        badges = shown.root.locator(".stn-between-side .stn-badge").all_inner_texts()
        assert numbers(badges) == [0.28, 0.12, 0.42, 0.18]
        terms = "0.28 · 0.7 + 0.12 · 1.0 + 0.42 · 0.3 + 0.18 · 0.9 = 0.604"
        assert terms in shown.status()
        tents = shown.root.locator(".stn-weight:visible").all_inner_texts()
        assert numbers(tents) == [0.7, 0.3, 0.4, 0.6]

    def test_sixteen_weights_sum_to_one_and_some_are_negative(self, shown):
        shown.choose("bicubic")
        badges = shown.root.locator(".stn-between .stn-badge:visible")
        found = numbers(badges.all_inner_texts())
        assert len(found) == 16 and sum(found) == pytest.approx(1, abs=0.04)
        below = shown.root.locator(".stn-badge.stn-below:visible")
        assert below.count() == sum(weight < 0 for weight in found) == 8
        assert "8 weights are negative" in shown.status()

    def test_neighbours_outside_are_told_and_shown(self, shown):
        arrows = shown.root.locator("path.stn-frame").first
        shown.set(point=[4.5, 2.0])
        assert "2 of the 4 lie outside and count as 0.00" in shown.status()
        assert value(shown) == pytest.approx(0.1) and not arrows.get_attribute("d")
        shown.slide("fill", 0.5)
        assert value(shown) == pytest.approx(0.35)
        shown.choose("border")
        assert value(shown) == pytest.approx(0.2) and arrows.get_attribute("d")
        assert "repeat the edge" in shown.status()
        assert not shown.root.get_by_label("fill").is_visible()
        shown.choose("reflection")
        assert "mirrored at the edge" in shown.status()

    def test_keys_and_mouse_move_the_point_no_further_than_a_pixel_outside(self, shown):
        handle = shown.handle("point")
        shown.press(handle, "ArrowRight", "Shift+ArrowUp")
        assert shown.state()["point"] == [1.4, 2.58]
        shown.drag(handle, 2000, 0)
        assert shown.state()["point"] == [5.0, 2.58]
        shown.press(handle, "Escape")
        assert shown.state()["point"] == [1.3, 2.6]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.rand(3, 9),), "^image must be .* 2 to 8 pixels a side, got"),
        ((torch.rand(1, 4, 4),), "^image must be"),
        ((torch.rand(4, 4), (1, 2, 3)), "^point must be 2 finite numbers"),
        ((torch.rand(4, 4), (1, float("nan"))), "^point must be 2 finite numbers"),
    ],
)
def test_what_can_not_be_shown_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Between(*arguments)


def test_python_reads_and_moves_the_point():
    between = Between(U, (0.5, 4.5))
    assert between.point.tolist() == [0.5, 4.5]
    between.point, between.padding = torch.tensor([1.0, 2.0]), "border"
    between.interpolation, between.fill = "bicubic", 0.5
    assert between.state["point"] == [1, 2] and between.state["padding"] == "border"
    with pytest.raises(ValueError, match="^padding must be"):
        between.padding = "wrap"
    with pytest.raises(ValueError, match="^fill must be from 0 to 1"):
        between.fill = 2
