"""The player in Chromium: it plays, steps, keeps still if asked, fetches nothing."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from stn_tutorial.course.player import Player

CAPTIONS = ["before training", "after epoch 1", "after epoch 2", "after epoch 3"]
MILLISECONDS = 500


def figures():
    for k in range(len(CAPTIONS)):
        fig, ax = plt.subplots(figsize=(6, 2))
        ax.plot([0, k])
        yield fig


class Shown:
    """What a reader sees of a player, and can do with it."""

    def __init__(self, player) -> None:
        self.player = player
        self.button = player.locator("button")
        self.slider = player.locator("input")

    def captions(self) -> list[str]:
        """Of the pictures that can be seen; the line of text says the same."""
        seen = self.player.locator("img:visible")
        captions = seen.evaluate_all("all => all.map(e => e.dataset.caption)")
        assert self.player.locator("output").inner_text() == captions[0]
        assert self.slider.get_attribute("aria-valuetext") == captions[0]
        assert self.slider.input_value() == str(CAPTIONS.index(captions[0]))
        return captions


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A page with the same player twice, as when a cell was shown twice."""
    player = Player(figures(), CAPTIONS, alt="A line", seconds=MILLISECONDS / 1000)
    path = tmp_path_factory.mktemp("player") / "page.html"
    start = '<!doctype html><meta charset="utf-8"><body>'
    path.write_text(start + 2 * player._repr_html_() + "</body>", encoding="utf-8")
    return path


@pytest.fixture
def shown(open_file, path):
    """Return a function that opens the page and stops its clock."""
    pages = []

    def open_it(motion: str = "no-preference") -> tuple[Shown, object]:
        page, wrong = open_file(path, reduced_motion=motion)
        pages.append(wrong)
        page.clock.install(time=0)
        page.clock.pause_at(1000)  # from now on it runs when it is told to
        return Shown(page.locator(".stn-player").first), page

    yield open_it
    assert pages and not any(pages)


def test_it_shows_the_last_picture_and_keeps_still(shown):
    player, page = shown()
    page.clock.run_for(10 * MILLISECONDS)
    assert player.captions() == CAPTIONS[-1:]
    assert player.button.inner_text() == "Play"


def test_it_plays_from_the_first_picture_to_the_last_and_stops(shown):
    player, page = shown()
    player.button.click()
    seen = player.captions()
    for _ in CAPTIONS[1:]:
        assert player.button.inner_text() == "Pause"
        page.clock.run_for(MILLISECONDS)
        seen += player.captions()
    assert seen == CAPTIONS
    assert player.button.inner_text() == "Play"
    page.clock.run_for(10 * MILLISECONDS)
    assert player.captions() == CAPTIONS[-1:]


def test_it_pauses_and_goes_on_from_there(shown):
    player, page = shown()
    player.button.click()
    page.clock.run_for(MILLISECONDS)
    player.button.click()
    assert player.button.inner_text() == "Play"
    page.clock.run_for(10 * MILLISECONDS)
    assert player.captions() == CAPTIONS[1:2]
    player.button.click()
    assert player.captions() == CAPTIONS[2:3]


def test_the_slider_steps_by_keyboard_and_pauses(shown):
    player, page = shown()
    player.button.click()
    player.slider.press("ArrowRight")
    assert player.captions() == CAPTIONS[1:2]
    player.slider.press("End")
    player.slider.press("ArrowLeft")
    assert player.captions() == CAPTIONS[2:3]
    page.clock.run_for(10 * MILLISECONDS)
    assert player.captions() == CAPTIONS[2:3]
    assert player.button.inner_text() == "Play"


def test_with_reduced_motion_the_button_steps(shown):
    player, page = shown("reduce")
    assert player.button.inner_text() == "Next"
    for caption in CAPTIONS:
        player.button.click()
        page.clock.run_for(10 * MILLISECONDS)
        assert player.captions() == [caption]
    assert player.button.inner_text() == "Next"


def test_two_players_on_a_page_do_not_disturb_each_other(shown):
    player, page = shown()
    other = Shown(page.locator(".stn-player").nth(1))
    other.button.click()
    page.clock.run_for(MILLISECONDS)
    assert (player.captions(), other.captions()) == (CAPTIONS[-1:], CAPTIONS[1:2])
    assert player.button.inner_text() == "Play"


def test_the_page_is_all_that_is_read(shown):
    player, page = shown()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    for _ in CAPTIONS:
        player.button.click()
    assert [url for url in asked if not url.startswith("data:")] == [page.url]


def test_it_fits_a_phone(shown):
    player, page = shown()
    page.set_viewport_size({"width": 390, "height": 844})
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") == 0
    for part in (player.button, player.slider, player.player.locator("img:visible")):
        box = part.bounding_box()
        assert box["width"] > 40 and box["x"] >= 0
        assert box["x"] + box["width"] <= 390
