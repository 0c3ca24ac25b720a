"""Registering by hand in Chromium: the descent is the package's, and so is the map."""

from __future__ import annotations

import copy
import math
from functools import cache

import pytest
import torch
from explorables import ExplorableTests

from stn_tutorial import Translation, sample
from stn_tutorial.course.explore import Register

N = 64
TRUTH = (5.0, 9.0)


def scene(size: int, dx: float, dy: float) -> torch.Tensor:
    """A view of some waves, of which no two parts are alike, from (dx, dy)."""
    y, x = torch.meshgrid(
        torch.arange(size) + dy, torch.arange(size) + dx, indexing="ij"
    )
    waves = (x / 3 + (y / 11).sin()).sin() + (y / 4 + (x / 13).cos()).cos()
    return (0.5 + 0.12 * waves + 0.25 * ((x + 2 * y) / 40).sin()).clamp(0, 1)


# As nobody knows how long the machine takes, the page itself presses Pause.
PLAY_A_LITTLE = """(live) => new Promise((resolve) => {
  const button = [...live.querySelectorAll("button")]
    .find((one) => one.textContent === "Play");
  const pause = () => {
    if (button.textContent === "Pause") button.click();
    resolve();
  };
  live.model.onChange(() => {
    if (live.model.get("stages")[0]?.[1] >= 5) setTimeout(pause);
  });
  button.click();
})"""


@cache
def recorded() -> Register:
    return Register(scene(N, 0, 0), scene(N, *TRUTH), TRUTH)


def figure() -> Register:
    """A figure of its own, without recording it again."""
    return copy.copy(recorded())


def loss_by_the_package(figure: Register, sigma: float, shifts: torch.Tensor):
    """The loss at shifts (M, 2) in pixels."""
    moving, fixed = (image[None, None] for image in figure._pair(sigma))
    inner = slice(figure.rim, -figure.rim)
    size = moving.shape[-2:]
    grid = Translation().grid(shifts / (size[0] / 2), size)[:, inner, inner]
    many = moving.expand(len(shifts), -1, -1, -1)
    read = sample(many, grid, padding="border", backend="manual")
    return ((read - fixed[..., inner, inner]) ** 2).mean(dim=(1, 2, 3))


def passed(shown) -> torch.Tensor:
    """The shifts that the way on the map goes through, (steps + 1, 2)."""
    path = shown.root.locator(".stn-way").get_attribute("d")
    pairs = [pair.split() for pair in path.replace("M", "L").split("L")[1:]]
    return torch.tensor([[float(x), float(y)] for x, y in pairs], dtype=torch.float64)


class TestRegister(ExplorableTests):
    @classmethod
    def figure(cls):
        return figure()

    @pytest.mark.parametrize("sigma", [0, 1, 8])
    @pytest.mark.parametrize("start", [(0, 0), (-20, 7), (11.3, -3.8), (24, 24)])
    def test_ten_steps_are_the_packages(self, shown, start, sigma):
        shown.set(start=list(start), stages=[[sigma, 10]], blur=sigma)
        ours = figure()
        ours.start, ours.stages = start, [(sigma, 10)]
        torch.testing.assert_close(passed(shown), ours.path(), rtol=0, atol=1e-3)

    @pytest.mark.parametrize("rate", [0.005, 0.1])
    def test_the_learning_rate_is_that_of_the_package(self, shown, rate):
        shown.set(start=[3, -8], stages=[[2, 5]])
        shown.choose(str(rate))
        assert shown.state()["stages"] == [] and shown.state()["start"] == [3, -8]
        shown.set(stages=[[2, 10]])
        ours = figure()
        ours.start, ours.stages, ours.rate = (3, -8), [(2, 10)], rate
        torch.testing.assert_close(passed(shown), ours.path(), rtol=0, atol=1e-3)
        assert f"{rate}, only_shifts" in shown.code()

    def test_stages_follow_each_other_as_in_the_package(self, shown):
        stages = [(8, 12), (2, 9)]
        shown.set(start=[-3, 4], stages=stages)
        ours = figure()
        ours.start, ours.stages = (-3, 4), stages
        expected = ours.path()
        way = passed(shown)
        # The end of a stage is the beginning of the next, and is drawn twice.
        way = torch.cat([way[:13], way[14:]])
        torch.testing.assert_close(way, expected, rtol=0, atol=1e-3)

    def test_it_says_the_loss_that_the_package_computes(self, shown):
        for sigma, shift in ((0, (0.0, 0.0)), (2, (-7.4, 12.1))):
            shown.set(start=list(shift), stages=[], blur=sigma)
            at = torch.tensor([shift], dtype=torch.float64)
            (loss,) = loss_by_the_package(figure(), sigma, at).tolist()
            off = math.dist(shift, TRUTH)
            assert f"{off:.2f} px from the truth" in shown.status()
            said = float(shown.status().rstrip(".").rpartition(" ")[2])
            assert said == pytest.approx(1000 * loss, abs=0.0051)

    def test_play_descends_and_goes_on_with_another_blur(self, shown):
        shown.page.emulate_media(reduced_motion="reduce")
        shown.choose("8")
        shown.button("Play").click()
        assert shown.state()["stages"] == [[8, 160]]
        first = passed(shown)[-1]
        shown.root.get_by_role("radio", name="2", exact=True).check()
        shown.button("Play").click()
        assert shown.state()["stages"] == [[8, 160], [2, 160]]
        last = passed(shown)[-1]
        truth = torch.tensor(TRUTH, dtype=torch.float64)
        assert (last - truth).norm() < 0.5 < (first - truth).norm()
        assert "After 320 steps" in shown.status()
        assert "has arrived" in shown.status()
        assert "(8, 160), (2, 160)" in shown.code()
        shown.button("Back to the start").click()
        assert shown.state()["stages"] == [] and "At the start" in shown.status()

    def test_play_shows_every_step_and_pauses(self, shown):
        shown.live.evaluate(PLAY_A_LITTLE)
        ((sigma, steps),) = shown.state()["stages"]
        assert sigma == 0 and 5 <= steps < 160
        assert len(passed(shown)) == steps + 1
        assert shown.button("Play").is_visible()

    def test_a_press_on_the_map_begins_there(self, shown):
        shown.set(stages=[[0, 5]])
        box = shown.root.locator(".stn-axes .stn-panel")
        size = box.bounding_box()
        box.click(position={"x": size["width"] * 0.75, "y": size["height"] * 0.25})
        state = shown.state()
        assert state["start"] == pytest.approx([12.2, -12.2], abs=0.3)
        assert state["stages"] == []

    def test_the_map_is_the_loss_and_a_blur_changes_it(self, shown):
        relief = shown.root.locator("canvas").first
        sharp = shown.pixels(relief)[..., 0]
        shown.choose("4")
        blurred = shown.pixels(relief)[..., 0]
        assert not torch.equal(sharp, blurred)
        lowest = (blurred == blurred.min()).nonzero().double().mean(dim=0)
        y, x = ((lowest + 0.5) / 8 - figure().reach - 0.25).tolist()
        assert math.dist((x, y), TRUTH) < 3

    def test_starts_that_arrive_are_tinted_and_counted(self, shown):
        tint = shown.root.locator(".stn-basin")
        assert tint.is_hidden()
        shown.choose("4")
        shown.root.get_by_label("starts that arrive").check()
        assert tint.is_visible()
        misses = figure().misses[3]
        said = f"{100 * (misses < 3).double().mean():.0f} % end within 3 px"
        assert said in shown.status()
        covers = tint.evaluate(
            """(canvas) => [...canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height).data]
            .filter((_, k) => k % 4 === 3)"""
        )
        arrives = torch.tensor(covers).view_as(misses) > 0
        # A byte holds a miss to an eighth of a pixel.
        clear = (misses - 3).abs() > 0.07
        assert torch.equal(arrives[clear], (misses < 3)[clear])

    def test_the_photographs_lie_over_one_another(self, shown):
        shown.choose("tiles")
        shown.set(start=list(TRUTH))
        over = shown.pixels(shown.root.locator(".stn-over"))[..., 0] / 255
        # At the truth both show the same, but for the rounding to bytes.
        torch.testing.assert_close(over, scene(N, *TRUTH), rtol=0, atol=3 / 255)
        shown.choose("difference")
        over = shown.pixels(shown.root.locator(".stn-over"))
        assert over[:50, :50].min() > 240  # white: no difference
        shown.choose("blend")
        shown.root.get_by_label("blurred").check()
        seen = shown.pixels(shown.root.locator(".stn-over"))
        shown.choose("8")
        assert not torch.equal(seen, shown.pixels(shown.root.locator(".stn-over")))


@pytest.mark.parametrize("sigma", [0, 2])
def test_what_is_recorded_is_the_packages(sigma):
    ours = figure()
    k = ours.blurs.index(sigma)
    line = torch.arange(-24, 24.5, 0.5, dtype=torch.float64)
    y, x = torch.meshgrid(line, line, indexing="ij")
    some = torch.randint(
        0, x.numel(), (40,), generator=torch.Generator().manual_seed(1)
    )
    shifts = torch.stack([x, y], dim=-1).view(-1, 2)[some]
    expected = loss_by_the_package(ours, sigma, shifts)
    torch.testing.assert_close(ours.maps[k].flatten()[some], expected)


def test_recorded_ends_are_those_of_the_descents_in_the_package():
    ours = figure()
    for start, sigma in (((-20, 10), 2), ((10, 3), 4), ((24, -24), 4)):
        ours.start, ours.stages = start, [(sigma, 160)]
        end = ours.path()[-1]
        row, column = start[1] + ours.reach, start[0] + ours.reach
        miss = ours.misses[ours.blurs.index(sigma)][row, column]
        expected = math.dist(end.tolist(), TRUTH)
        assert miss.item() == pytest.approx(expected, abs=0.01)


def test_python_reads_and_writes_the_descent():
    ours = figure()
    ours.start, ours.stages = [1, 2], [(0, 3), (8, 2)]
    assert ours.start == (1.0, 2.0) and ours.stages == [(0, 3), (8, 2)]
    assert ours.path().shape == (6, 2)
    assert ours.path()[0].tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="^start must be 2 finite numbers"):
        ours.start = [1]
    with pytest.raises(ValueError, match="^view must be 'difference'"):
        ours.view = "nothing"
    ours.stages = [(3, 1)]
    with pytest.raises(ValueError, match="^a blur must be one of"):
        ours.path()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (scene(16, 0, 0), scene(17, 0, 0), (0, 0)),
            "^moving and fixed must be square",
        ),
        ((scene(8, 0, 0), scene(8, 0, 0), (0, 0)), "^moving and fixed must be square"),
        ((scene(16, 0, 0), scene(16, 0, 0), (0,)), "^truth must be 2 finite"),
        ((scene(16, 0, 0)[None], scene(16, 0, 0), (0, 0)), r"^image must be \(H, W\)"),
    ],
)
def test_what_can_not_be_registered_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Register(*arguments)
