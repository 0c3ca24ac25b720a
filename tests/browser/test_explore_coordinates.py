"""What CoordConv sees, in Chromium: the package's channels, and recorded answers."""

from __future__ import annotations

import pytest
import torch
from explorables import ExplorableTests

from stn_tutorial import add_coordinates
from stn_tutorial.course.explore import Coordinates
from stn_tutorial.data.not_so_clevr import Locations
from stn_tutorial.experiments.renderings import PLACES, Rendering, decode
from stn_tutorial.experiments.results import read_results, results_folder

NETWORKS = ("convolution", "coordconv")


@pytest.fixture(scope="module")
def found():
    return read_results(results_folder() / "recordings" / "renderings", Rendering)


def answer(found, split: str, network: str, x: int, y: int) -> torch.Tensor:
    at = PLACES.index(y) * len(PLACES) + PLACES.index(x)
    return decode(found[Rendering(split, network)]["answers"][at])


def overlap(painted: torch.Tensor, x: int, y: int) -> float:
    square = Locations(torch.tensor([[x, y]])).squares()[0, 0] > 0
    white = painted >= 0.5
    return ((white & square).sum() / (white | square).sum()).item()


class TestCoordinates(ExplorableTests):
    @classmethod
    def figure(cls):
        folder = results_folder() / "recordings" / "renderings"
        return Coordinates(read_results(folder, Rendering))

    @pytest.mark.parametrize(("height", "width"), [(5, 8), (1, 16), (16, 1), (7, 7)])
    def test_the_channels_are_the_packages(self, shown, height, width):
        expected = add_coordinates(torch.zeros(1, 1, height, width), radius=True)[0, 1:]
        made = shown.page.evaluate(
            """([height, width]) => Object.values(
                 stn.coordinateChannels(height, width)).map((c) => [...c.pixels])""",
            [height, width],
        )
        made = torch.tensor(made).view(3, height, width)
        torch.testing.assert_close(made, expected, rtol=0, atol=1e-4)

    def test_sliders_change_the_channels(self, shown):
        shown.slide("height", 3)
        shown.slide("width", 4)
        pixels = shown.pixels(shown.root.locator(".stn-coordinates-x"))
        assert pixels.shape[:2] == (3, 4)
        assert shown.root.get_by_text("x: −0.75 to 0.75").is_visible()
        shown.root.get_by_label("radius").uncheck()
        assert shown.root.locator(".stn-coordinates-radius").is_hidden()
        assert shown.code() == "add_coordinates(torch.zeros(1, 1, 3, 4))[0, 1:]"

    @pytest.mark.parametrize("place", [(4, 4), (20, 44), (52, 48)])
    def test_answers_are_those_that_were_recorded(self, shown, found, place):
        shown.set(place=list(place))
        for network in NETWORKS:
            expected = answer(found, "quadrant", network, *place)
            canvas = shown.root.locator(f"canvas.stn-coordinates-{network}")
            seen = shown.pixels(canvas)[..., 0] / 255
            torch.testing.assert_close(seen, expected, rtol=0, atol=1.5 / 255)
            iou = f"IoU {overlap(expected, *place):.2f}"
            words = {"coordconv": "CoordConv"}.get(network, network)
            assert iou in shown.status().split(f"{words} draws")[1].split(";")[0]

    def test_the_place_is_dragged_from_one_to_the_next(self, shown):
        shown.set(place=[44, 36])
        handle = shown.handle("place of the square")
        shown.press(handle, "ArrowRight", "ArrowDown")
        assert shown.state()["place"] == [48, 40]
        assert "held out" in shown.status() and "not held out" not in shown.status()
        shown.set(place=[8, 8])
        assert "not held out" in shown.status()

    def test_the_overlap_at_every_place_is_shown(self, shown, found):
        shown.root.get_by_label("overlap").check()
        maps = shown.root.locator(".stn-panel canvas:visible")
        assert maps.count() == 2
        seen = shown.pixels(maps.first)[..., 0] / 255
        assert seen.shape == (14, 14)
        for x, y in ((4, 4), (56, 56), (32, 40)):
            expected = overlap(answer(found, "quadrant", "convolution", x, y), x, y)
            at = PLACES.index(y), PLACES.index(x)
            assert seen[at].item() == pytest.approx(expected, abs=1.5 / 255)

    def test_the_uniform_split_has_answers_of_its_own(self, shown, found):
        shown.choose("uniform")
        canvas = shown.root.locator("canvas.stn-coordinates-convolution")
        expected = answer(found, "uniform", "convolution", 20, 36)
        seen = shown.pixels(canvas)[..., 0] / 255
        torch.testing.assert_close(seen, expected, rtol=0, atol=1.5 / 255)


def test_the_convolution_goes_wrong_in_the_quadrant_alone(found):
    far = [(x, y) for x in PLACES for y in PLACES if min(x, y) >= 40]
    near = [(x, y) for x in PLACES for y in PLACES if min(x, y) < 28]
    for network, wrong in (("convolution", True), ("coordconv", False)):
        lost = [overlap(answer(found, "quadrant", network, *p), *p) for p in far]
        kept = [overlap(answer(found, "quadrant", network, *p), *p) for p in near]
        assert min(kept) > 0.5
        assert (max(lost) < 0.1) == wrong and (min(lost) > 0.9) != wrong


def test_python_reads_and_chooses(found):
    figure = Coordinates(found)
    figure.place, figure.split, figure.height = (4, 56), "uniform", 16
    assert (figure.place, figure.split, figure.height) == ([4, 56], "uniform", 16)
    with pytest.raises(ValueError, match="^place must be x and y of"):
        figure.place = (5, 4)
    with pytest.raises(ValueError, match="^split must be 'uniform' or"):
        figure.split = "half"
    for side in (0, 17, True):
        with pytest.raises(
            ValueError, match="^width must be a whole number from 1 to 16"
        ):
            figure.width = side


def test_what_is_missing_is_named(found):
    alone = {Rendering("quadrant", "coordconv"): {}}
    with pytest.raises(ValueError, match="^found must hold both networks on the quad"):
        Coordinates(alone)
