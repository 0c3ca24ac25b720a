"""The playground without networks: drawing, distorting, and what it says of itself."""

from __future__ import annotations

import math

import pytest
import torch
from explorables import ExplorableTests

import stn_tutorial
from stn_tutorial import Affine, rotation, sample, theta_from_pixels
from stn_tutorial.course.explore import Playground
from stn_tutorial.course.explore.playground import few_digits
from stn_tutorial.experiments.distorted_digits import load_model
from stn_tutorial.experiments.models import count_parameters
from stn_tutorial.experiments.results import results_folder

#: Strokes of some shapes, in units of the pad's side.
SHAPES = {
    "slash": [[[0.6, 0.2], [0.4, 0.8]]],
    "wide": [[[0.1, 0.5], [0.9, 0.45]]],
    "two strokes": [[[0.2, 0.2], [0.2, 0.5], [0.5, 0.5]], [[0.45, 0.2], [0.4, 0.9]]],
    "a corner of the pad": [[[0.01, 0.02], [0.11, 0.02], [0.05, 0.12]]],
    "heavy on one side": [[[0.2, y / 20], [0.4, y / 20]] for y in range(4, 16)]
    + [[[0.4, 0.5], [0.8, 0.5]]],
}


def theta_of(state: dict) -> torch.Tensor:
    shift = 7 + torch.tensor(state["shift"]).float()
    angle = math.radians(state["angle"])
    matrix = rotation(angle, float(state["scale"]), shift, center=(13.5, 13.5))
    return theta_from_pixels(matrix, (28, 28), (42, 42))


def distorted(state: dict) -> torch.Tensor:
    """A test digit as the package distorts it."""
    grid = Affine().grid(theta_of(state).flatten()[None], (42, 42))
    return sample(few_digits()[0][state["digit"]][None], grid)[0, 0]


def box(picture: torch.Tensor) -> list[int]:
    """Width and height of what is not black."""
    on = picture > 0.01
    return [int(on.any(axis).nonzero().diff(dim=0).sum()) + 1 for axis in (0, 1)]


class TestPlayground(ExplorableTests):
    @classmethod
    def figure(cls):
        return Playground()

    @pytest.mark.parametrize(
        ("angle", "scale", "shift"),
        [
            (0, 1, [0, 0]),
            (40, 0.7, [5, -8]),
            (-135, 1.3, [-3, 2]),
            (180, 0.5, [14, 14]),
        ],
    )
    def test_a_digit_is_distorted_as_the_package_does(self, shown, angle, scale, shift):
        shown.set(digit=4, angle=angle, scale=scale, shift=shift)
        found = shown.pixels(shown.root.locator(".stn-in"))[..., 0] / 255
        expected = distorted(shown.state())
        torch.testing.assert_close(found, expected, rtol=0, atol=1.5 / 255)

    def test_its_line_of_code_is_the_warp(self, shown):
        names = {**vars(stn_tutorial), "math": math}
        for changes in ({}, {"angle": 120, "shift": [3, -7], "scale": 1.25}):
            shown.set(**changes)
            exec(shown.code(), names)
            torch.testing.assert_close(names["theta"], theta_of(shown.state()))

    def test_clutter_is_pieces_of_other_digits(self, shown):
        shown.set(scale=1, angle=0, shift=[0, 0])
        plain = distorted(shown.state())
        shown.slide("clutter", 8)
        cluttered = shown.pixels(shown.root.locator(".stn-in"))[..., 0] / 255
        assert (cluttered > plain - 1.5 / 255).all()
        assert 20 < (cluttered > plain + 1.5 / 255).sum() <= 8 * 36
        assert "Neither network was trained on clutter." in shown.status()

    @pytest.mark.parametrize("shape", SHAPES)
    def test_a_drawing_is_scaled_and_centred_as_mnists(self, shown, shape):
        found = shown.page.evaluate(
            "(strokes) => [...stn.asMnist(strokes).pixels]", SHAPES[shape]
        )
        picture = torch.tensor(found).view(28, 28)
        assert max(box(picture)) == 20
        places = torch.arange(28.0)
        mass = picture.sum()
        x, y = ((picture.sum(axis) * places).sum() / mass for axis in (0, 1))
        assert abs(x - 14) <= 0.51 and abs(y - 14) <= 0.51  # MNIST has it at pixel 14
        assert ((picture > 0.02) & (picture < 0.98)).any()  # edges are smooth

    def test_mnists_digits_are_centred_where_drawings_are(self):
        images = few_digits()[0][:, 0]
        places = torch.arange(28.0)
        for axis in (1, 2):
            centre = (images.sum(axis) * places).sum(-1) / images.sum((1, 2))
            assert (centre - 14).abs().max() <= 0.51
        sides = [max(box((image > 0).float())) for image in images]
        assert set(sides) == {20}

    def test_a_drawing_begins_anew_after_a_test_digit(self, shown):
        pad = shown.root.locator(".stn-pad")
        shown.drag(pad, 40, 60)
        assert shown.state()["digit"] == -1
        shown.swipe(pad, -60, 30)
        strokes = shown.state()["strokes"]
        assert len(strokes) == 2 and all(len(stroke) >= 3 for stroke in strokes)
        assert "Your drawing" in shown.status()
        shown.button("Clear").click()
        assert shown.state()["strokes"] == [] and "empty" in shown.status()
        shown.button("Next digit").focus()
        shown.page.keyboard.press("Enter")
        assert shown.state()["digit"] == 0 and "a 0" in shown.status()
        shown.button("Previous digit").click()
        assert shown.state()["digit"] == 19

    def test_without_a_runtime_it_says_so(self, shown):
        said = shown.root.locator(".stn-loader").inner_text()
        assert "without ONNX Runtime Web" in said
        assert shown.button("Play the rotation").is_disabled()

    def test_it_says_what_is_new_to_the_networks(self, shown):
        shown.set(angle=45, scale=0.7, shift=[11, 0], pieces=0)
        assert "Both networks were trained" in shown.status()
        for changes, words in (
            ({"angle": 50}, "rotations beyond 45°"),
            ({"angle": 0, "scale": 1.5}, "this scale and digits so far"),
            ({"scale": 1, "shift": [8, 0], "pieces": 1}, "from the middle and clutter"),
        ):
            shown.set(**changes)
            assert words in shown.status()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("angle", 400, "^angle must be from -180 to 180, got 400"),
        ("scale", 0, "^scale must be from 0.5 to 1.5"),
        ("shift", [0, 15], "^shift must be from -14 to 14"),
        ("digit", 20, "^digit must be a whole number from -1 to 19"),
        ("digit", 2.5, "^digit must be a whole number"),
        ("pieces", -1, "^pieces must be a whole number from 0 to 16"),
        ("pieces", 3.7, "^pieces must be a whole number"),
        ("strokes", [[[float("nan"), 0]]], "not JSON compliant"),
    ],
)
def test_python_refuses_what_the_figure_cant_show(name, value, message):
    with pytest.raises(ValueError, match=message):
        setattr(Playground(), name, value)


def test_both_networks_have_as_many_parameters_as_the_page_says():
    for run in ("st-cnn-0", "cnn-0"):
        model = load_model(results_folder() / "rts" / run)[1]
        assert 28_500 < count_parameters(model) < 31_500
