"""Four faulty samplers in Chromium: they fail as the same faults do in PyTorch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from explorables import ExplorableTests
from torch import Tensor

from stn_tutorial.course.explore import OffByOne
from stn_tutorial.data import embedded_digits, photograph


def images() -> dict[str, Tensor]:
    w, h = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="xy")
    return {
        "photograph": photograph("china", size=(142, 213))[0].mean(0)[8:72, 60:124],
        "noise": torch.rand(28, 36, generator=torch.Generator().manual_seed(0)),
        "ramp": (2 * w + h) / 141,
        "digit": embedded_digits()[0][3, 0],
    }


def seen(image: Tensor) -> Tensor:
    """What comes to the page: one byte a pixel."""
    return (255 * image.double()).round() / 255


def by_torch(sampler: str, image: Tensor) -> Tensor:
    """One warp by the identity, as the chapter's samplers do it."""
    if sampler == "D":
        axes = [torch.linspace(-1, 1, n, dtype=torch.float64) for n in image.shape]
        grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1)
        return F.grid_sample(image[None, None], grid[None], align_corners=False)[0, 0]
    for dim in (0, 1):
        n = image.shape[dim]
        scale = n - {"A": 1, "B": 0, "C": 2}[sampler]
        x = torch.linspace(0, scale, n, dtype=torch.float64)
        left = x.floor().long().clamp(0, n - 1)
        right = (x.floor().long() + 1).clamp(0, n - 1)
        shape = (-1, 1) if dim == 0 else (1, -1)
        image = image.index_select(dim, left) * (right - x).view(shape) + (
            image.index_select(dim, right) * (x - left).view(shape)
        )
    return image


REPEATED = """([sampler, height, width, pixels, warps]) => {
  const image = {height, width, pixels};
  const {pictures, errors} = stn.repeatedIdentity(sampler, image);
  return warps.map((n) => ({pixels: [...pictures[n].pixels], ...errors[n]}));
}"""


class TestOffByOne(ExplorableTests):
    @classmethod
    def figure(cls):
        return OffByOne(images())

    @pytest.mark.parametrize("sampler", "ABCD")
    @pytest.mark.parametrize("name", ["photograph", "noise", "ramp", "digit"])
    def test_every_warp_is_that_of_the_same_fault_in_torch(self, shown, name, sampler):
        image = seen(images()[name])
        given = [sampler, *image.shape, image.flatten().tolist(), [0, 1, 10, 50]]
        found = shown.page.evaluate(REPEATED, given)
        expected, results = image, {0: image}
        for n in range(1, 51):
            expected = results[n] = by_torch(sampler, expected)
        for n, one in zip((0, 1, 10, 50), found, strict=True):
            pixels = torch.tensor(one["pixels"], dtype=torch.float64)
            torch.testing.assert_close(
                pixels, results[n].flatten(), rtol=0, atol=1e-6, check_stride=False
            )
            error = (results[n] - image).abs()
            assert one["largest"] == pytest.approx(error.max().item(), abs=1e-6)
            assert one["mean"] == pytest.approx(error.mean().item(), abs=1e-6)

    def test_the_pictures_are_those_of_the_state(self, shown):
        shown.choose("ramp")
        shown.slide("warps", 3)
        expected = seen(images()["ramp"])
        for _ in range(3):
            expected = by_torch("B", expected)
        canvas = shown.root.locator("canvas").nth(2)
        found = shown.pixels(canvas)[..., 0].double() / 255
        torch.testing.assert_close(found, expected, rtol=0, atol=1 / 255)
        assert "range(3)" in shown.code()
        shown.choose("error")
        canvas = shown.root.locator("canvas").nth(3)
        assert shown.pixels(canvas).float().std() > 5  # blue and orange
        right = shown.pixels(shown.root.locator("canvas").first)
        assert right.min() == 255  # no error anywhere

    def test_the_digit_hides_a_and_noise_shows_all(self, shown):
        shown.choose("digit")
        assert "A returns the input" in shown.status()
        shown.choose("noise")
        assert "Only the right sampler returns the input" in shown.status()

    def test_the_curves_go_through_the_numbers(self, shown):
        dots = shown.root.locator("path.stn-output-dots")
        shown.choose("largest")
        shown.choose("noise")
        shown.slide("warps", 20)
        before = dots.get_attribute("d")
        assert before.count("M20.0000") == 4
        shown.root.get_by_role("radio", name="mean").check(force=True)
        assert dots.get_attribute("d") != before
        shown.slide("warps", 0)
        assert dots.get_attribute("d").count("M0.0000 0.0000") == 4
        assert "no warp yet" in shown.status()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "^images must be one or more"),
        ({"large": torch.rand(65, 3)}, "^images must be 2 to 64 pixels a side"),
        ({"flat": torch.rand(5)}, r"^image must be \(H, W\)"),
    ],
)
def test_what_can_not_be_warped_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        OffByOne(given)


def test_python_reads_and_changes_what_is_shown():
    off = OffByOne(images())
    off.input, off.warps, off.measure, off.picture_of = "ramp", 7, "mean", "error"
    assert off.state["input"] == "ramp" and off.warps == 7
    with pytest.raises(ValueError, match="^warps must be a whole number from 0 to 50"):
        off.warps = 51
    with pytest.raises(ValueError, match="^input must be .* got 'painting'"):
        off.input = "painting"
    with pytest.raises(ValueError, match="^measure must be"):
        off.measure = "median"
