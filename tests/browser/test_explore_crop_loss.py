"""The crop's loss in Chromium: numbers of the maps, and a descent on them."""

from __future__ import annotations

import re

import pytest
import torch
from explorables import ExplorableTests

from stn_tutorial import Attention, base_grid, sample, warp
from stn_tutorial.course.explore import CropLoss
from stn_tutorial.experiments.scattered_digits import boxes_iou

CORNER = (40.0, 10.0)
SIDE = 15


def image() -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(84.0), torch.arange(84.0), indexing="ij")
    return 0.5 + 0.25 * (x / 9).sin() + 0.25 * (y / 5 + x / 20).cos()


def bowl(x: float, y: float) -> torch.Tensor:
    """Lowest where the crop's middle is at a pixel."""
    middle = 41.5 + 28 * base_grid((SIDE, SIDE), align_corners=True)
    return (middle - torch.tensor([x, y])).norm(dim=-1) / 20


def maps() -> dict[str, dict[str, torch.Tensor]]:
    digit, black = bowl(54.0, 24.0), bowl(20.0, 60.0)
    one = {"pull": black, "push": 4 - digit, "loss": 1 + digit - 0.5 * black}
    other = {"pull": digit, "push": 4 - digit, "loss": 0.2 + digit}
    return {"the middle": one, "their digits": other}


def told(shown) -> dict[str, float]:
    words = shown.root.locator(".stn-crop-loss-numbers").inner_text()
    return {name: float(n) for name, n in re.findall(r"(\w+)\s+([\d.]+)", words)}


class TestCropLoss(ExplorableTests):
    @classmethod
    def figure(cls):
        return CropLoss(image(), CORNER, maps())

    @pytest.mark.parametrize("place", [(41.5, 41.5), (13.5, 69.5), (30.2, 55.9)])
    def test_the_numbers_are_those_of_the_maps_between_their_places(self, shown, place):
        for others, each in enumerate(maps().values()):
            shown.set(place=place, others=others)
            point = ((torch.tensor(place) - 41.5) / 28).view(1, 1, 1, 2)
            expected = {
                name: sample(
                    values[None, None], point, padding="border", align_corners=True
                ).item()
                for name, values in each.items()
            }
            assert told(shown) == pytest.approx(expected, abs=0.02)

    def test_the_crop_is_the_packages(self, shown):
        shown.set(place=[50.0, 27.25])
        params = torch.tensor(
            [[float(n) for n in re.findall(r"-?\d\.\d+", shown.code())]]
        )
        expected = warp(image()[None, None], params, (28, 28), family=Attention())
        seen = shown.pixels(shown.root.locator(".stn-out"))[..., 0] / 255
        torch.testing.assert_close(seen, expected[0, 0], rtol=0, atol=4 / 255)

    def test_the_overlap_is_the_packages(self, shown):
        for x, y in ((54, 24), (54, 33), (20, 60), (47.5, 30.5)):
            shown.set(place=[x, y])
            found = torch.tensor([x - 14.0, y - 14, x + 14, y + 14])
            true = torch.tensor([*CORNER, CORNER[0] + 28, CORNER[1] + 28])
            iou = boxes_iou(found, true).item()
            said = float(re.search(r"IoU ([\d.]+)", shown.status())[1])
            assert said == pytest.approx(iou, abs=0.006)
            assert ("not found" in shown.status()) == (iou <= 0.5)

    def test_a_step_leads_against_the_slope_and_leaves_a_trail(self, shown):
        shown.set(others=1, place=[30.0, 50.0])
        shown.button("One step").click()
        x, y = shown.state()["place"]
        # A slope of 1/20 a pixel, of which a step is 40 times as long.
        assert (x - 30, y - 50) == pytest.approx((1.36, -1.47), abs=0.12)
        assert shown.state()["trail"] == [[30, 50]] and "1 step," in shown.status()

    @pytest.mark.parametrize(
        ("number", "others", "end"),
        [("the loss", 1, (54, 24)), ("pull alone", 0, (20, 60)), ("push", 0, (54, 24))],
    )
    def test_a_descent_ends_where_the_number_is_best(self, shown, number, others, end):
        shown.page.emulate_media(reduced_motion="reduce")
        shown.choose(number)
        shown.choose(list(maps())[others])
        shown.button("Go on").click()
        place = shown.state()["place"]
        assert place == pytest.approx(end, abs=3.5)
        assert 10 < len(shown.state()["trail"]) <= 60

    def test_a_drag_a_press_and_keys_move_the_crop_and_end_the_trail(self, shown):
        shown.button("One step").click()
        assert shown.state()["trail"]
        shown.press(shown.handle("middle of the crop"), "ArrowLeft", "Shift+ArrowDown")
        state = shown.state()
        assert state["trail"] == []
        shown.root.locator(".stn-panel").nth(1).click(position={"x": 1, "y": 1})
        assert shown.state()["place"] == [13.5, 13.5]  # it can't leave the picture

    def test_the_true_box_is_shown_when_asked_for(self, shown):
        path = shown.root.locator(".stn-crop-loss-true")
        assert not path.get_attribute("d")
        shown.root.get_by_label("true box").check()
        assert path.get_attribute("d") == "M40 10h28v28h-28Z"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": torch.rand(28, 28)}, r"^image must be \(84, 84\)"),
        ({"place": (10.0, 20.0)}, "^place must be from 13.5"),
        ({"maps": {"here": dict.fromkeys(("pull", "push", "loss"), torch.rand(3, 4))}},
         r"^a map must be \(S, S\)"),
        ({"maps": {"here": dict.fromkeys(("pull", "push", "loss"), bowl(0, 0) / 0)}},
         "^a map must be finite"),
    ],
)  # fmt: skip
def test_what_makes_no_figure_is_refused(change, message):
    given = {"image": image(), "corner": CORNER, "maps": maps()}
    with pytest.raises(ValueError, match=message):
        CropLoss(**{**given, **change})


def test_python_moves_the_crop():
    figure = CropLoss(image(), CORNER, maps())
    figure.place, figure.shown, figure.others, figure.box = (20, 30), "pull", 1, True
    start = {"place": [20, 30], "shown": "pull", "others": 1, "box": True, "trail": []}
    assert figure.state == start
    with pytest.raises(ValueError, match="^shown must be 'pull', 'push' or 'loss'"):
        figure.shown = "hinge"
    for wrong in (-1, len(maps()), True):
        with pytest.raises(ValueError, match="^others must be a whole number from 0"):
            figure.others = wrong
