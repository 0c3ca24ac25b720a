"""The film in Chromium: moments, runs, and what the frames follow."""

from __future__ import annotations

import math

import pytest
import torch
from explorables import ExplorableTests

from stn_tutorial import warp
from stn_tutorial.course.explore import TrainingFilm
from stn_tutorial.experiments.films import MOMENTS, RUNS, Film, theta_at
from stn_tutorial.experiments.results import read_results, results_folder

LAST = len(MOMENTS) - 1
FIRST, *OTHERS = RUNS


@pytest.fixture(scope="module")
def found():
    return read_results(results_folder() / "recordings" / "films", Film)


def curve(shown) -> str:
    return shown.root.locator(".stn-film-run").get_attribute("d")


class TestTrainingFilm(ExplorableTests):
    @classmethod
    def figure(cls):
        folder = results_folder() / "recordings" / "films"
        return TrainingFilm(read_results(folder, Film))

    @pytest.mark.parametrize("run", RUNS)
    def test_it_says_the_error_and_what_the_frames_follow(self, shown, found, run):
        shown.set(run=run, moment=8)
        result = found[Film(run)]
        theta, digits = theta_at(result, 8), result["digits"]
        a, b, x, c, d, _ = theta.T.double()
        poses = {
            "location": ([x for x, _ in digits["shift_px"]], 21 * x),
            "scale": (digits["scale"], 42 * (a * d - b * c).abs().sqrt()),
            "rotation": (digits["angle_deg"], torch.atan2(c - b, a + d).rad2deg()),
        }
        status = shown.status()
        assert f"{result['film'][8]['error']:.1f}%" in status
        for part, (true, frame) in poses.items():
            true = torch.tensor(true, dtype=torch.float64)
            away = true - true.mean()
            share = (away @ frame / away.square().sum()).item()
            if part == "scale":
                share *= (true.mean() / frame.mean()).item()
            said = status.split(f"{part} ")[1].split("%")[0].replace("−", "-")
            if abs(share) < 9.9:  # the digits' sizes have been rounded
                assert float(said) == pytest.approx(100 * share, abs=1.1), part

    def test_digits_are_sampled_in_their_frames(self, shown, found):
        shown.set(moment=LAST)
        figure = self.figure()
        expected = warp(
            figure.pictures(), theta_at(found[Film(FIRST)], -1)[:12], (28, 28)
        )
        canvases = shown.root.locator(".stn-film-digits .stn-panel:last-child canvas")
        assert canvases.count() == 12
        for k in (0, 7, 11):
            seen = shown.pixels(canvases.nth(k))[..., 0] / 255
            torch.testing.assert_close(seen, expected[k, 0], rtol=0, atol=2.5 / 255)

    def test_the_slider_and_the_marker_are_at_one_moment(self, shown):
        shown.slide("Training", 6)
        marker = shown.handle("moment of the training")
        assert "epoch 1," in marker.get_attribute("aria-label")
        shown.press(marker, "ArrowRight")
        assert shown.state()["moment"] == MOMENTS.index(2)
        assert '["film"][9]  # epoch 2' in shown.code()
        shown.page.keyboard.press("Escape")
        assert shown.state()["moment"] == 0

    def test_a_run_and_a_part_are_chosen(self, shown):
        before = curve(shown)
        shown.choose(OTHERS[0])
        assert curve(shown) != before and OTHERS[0] in shown.code()
        assert shown.root.get_by_text("x of the frame").is_visible()
        shown.choose("rotation")
        assert shown.root.get_by_text("rotation of the frame").is_visible()
        assert shown.root.get_by_text("x of the frame").is_hidden()

    def test_play_goes_to_the_end_at_once_for_who_wants_no_motion(self, shown):
        shown.page.emulate_media(reduced_motion="reduce")
        shown.button("Play").click()
        assert shown.state()["moment"] == LAST

    def test_play_goes_on_and_pauses(self, shown):
        shown.button("Play").click()
        shown.page.wait_for_function(
            "() => document.querySelector('.stn-live').model.get('moment') >= 1"
        )
        shown.button("Pause").click()
        assert shown.button("Play").is_visible()

    def test_a_slider_or_a_reset_takes_over_from_the_film(self, shown):
        shown.button("Play").click()
        shown.slide("Training", 4)
        assert shown.button("Play").is_visible() and shown.state()["moment"] == 4
        shown.button("Play").click()
        shown.button("Reset").click()
        shown.page.wait_for_timeout(800)  # longer than from a moment to the next
        assert shown.button("Play").is_visible() and shown.state()["moment"] == 0

    def test_points_beyond_the_axis_are_counted(self, shown, found):
        shown.choose("ten times the rate")
        shown.choose("scale")
        shown.slide("Training", LAST)
        count = len(found[Film(FIRST)]["digits"]["scale"])
        (words,) = shown.root.get_by_text("are beyond").all_inner_texts()
        assert words.endswith(f" of {count} are beyond")


def test_the_first_run_is_the_chapters_and_the_others_are_worse(found):
    ends = {run: found[Film(run)]["film"][-1]["error"] for run in RUNS}
    assert ends[FIRST] < 6 and min(ends[run] for run in OTHERS) > ends[FIRST]
    assert all(math.isclose(f["test_error"], 4.22) for f in [found[Film(FIRST)]])


def test_python_reads_and_chooses(found):
    film = TrainingFilm(found)
    film.run, film.moment, film.part = OTHERS[1], 3, "scale"
    assert (film.run, film.moment, film.part) == (OTHERS[1], 3, "scale")
    with pytest.raises(ValueError, match="^run must be 'as in the chapter'"):
        film.run = "another"
    with pytest.raises(ValueError, match="^part must be 'location'"):
        film.part = "shear"
    for moment in (-1, LAST + 1, True, 0.5):
        with pytest.raises(ValueError, match="^moment must be a whole number from 0"):
            film.moment = moment


def test_a_run_that_is_missing_is_named(found):
    rest = {film: result for film, result in found.items() if film.run != FIRST}
    with pytest.raises(ValueError, match=f"^found must hold each run, {FIRST} is not"):
        TrainingFilm(rest)
