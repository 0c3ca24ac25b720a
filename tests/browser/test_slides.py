"""Decks in Chromium, from disk: nothing is taller than the screen, nothing is fetched.

One deck is opened; in the long form all of them are, on three screens.
"""

from __future__ import annotations

import io
import os
import re
from html import unescape

import build_slides
import deck_text
import pytest
from explorables import Shown
from figure_pack import SCALE, rasterized
from PIL import Image
from pypdf import PdfReader

TEXTS = build_slides.texts()
DECK = TEXTS[2]
SCREENS = {"1280x720": (1280, 720), "1920x1080": (1920, 1080), "4:3": (1024, 768)}


def but_one(names, one, identify=str):
    """The names, of which all but one are left to the long form."""
    return [
        pytest.param(n, id=identify(n), marks=[pytest.mark.long] * (n != one))
        for n in names
    ]


every_deck = pytest.mark.parametrize("text", but_one(TEXTS, DECK, lambda p: p.stem[:2]))
every_screen = pytest.mark.parametrize("screen", but_one(SCREENS, "1280x720"))
READY = "() => globalThis.Reveal?.isReady() ?? false"
# The present slide with all that appears on it: what is out of place, in the pixels of
# a slide, and the smallest letters of its words and of its code.
LOOK = """(k) => {
  Reveal.slide(k, 0, 99);
  const slide = Reveal.getCurrentSlide(), scale = Reveal.getScale();
  const room = slide.getBoundingClientRect();
  const seen = [...slide.querySelectorAll("*")].filter((e) =>
    !e.closest("aside, svg *, mjx-assistive-mml, .stn-panel *")
    && e.getBoundingClientRect().width && e.getBoundingClientRect().height);
  const out = seen.filter((e) => {
    const box = e.getBoundingClientRect();
    return box.left < room.left - 1 || box.right > room.right + 1
      || box.top < room.top - 1 || box.bottom > room.bottom + 1;
  });
  const full = [...slide.querySelectorAll(".words, .shown, .live, .row")].filter(
    (e) => e.scrollHeight > e.clientHeight + 2 || e.scrollWidth > e.clientWidth + 2);
  const pictures = [...slide.querySelectorAll(".picture img")].map((e) =>
    Math.min(e.clientWidth, e.clientHeight * e.naturalWidth / e.naturalHeight));
  const size = (e) => parseFloat(getComputedStyle(e).fontSize);
  const words = seen.filter((e) => e.matches(".words :is(p, li, td)"));
  const formulas = [...slide.querySelectorAll("mjx-merror")];
  return {
    heading: slide.querySelector("h1, h2").innerText,
    wrong: [...out, ...full, ...formulas].map((e) => `${e.tagName} ${e.className}`),
    height: room.height / scale,
    fits: room.right <= innerWidth + 1 && room.bottom <= innerHeight + 1,
    picture: Math.min(...pictures, 1e9),
    words: Math.min(...words.map(size), 1e9),
    code: Math.min(...seen.filter((e) => e.matches("pre")).map(size), 1e9),
  };
}"""


@pytest.fixture(scope="module")
def deck(tmp_path_factory):
    """A function that writes a deck once, and returns its path."""
    if not (build_slides.REVEAL / "reveal.js").is_file():
        reason = "npm has not fetched reveal.js"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    folder = tmp_path_factory.mktemp("slides with blanks and ümlauts")

    def write(text):
        path = folder / f"{text.stem}.html"
        if not path.is_file():
            page = build_slides.write_deck(text, build_slides.chapter_of(text))
            path.write_text(page, encoding="utf-8")
        return path

    return write


@pytest.fixture
def open_deck(open_file, deck):
    def open_it(text, **preferences):
        page, wrong = open_file(deck(text), **preferences)
        page.wait_for_function(READY)
        return page, wrong

    return open_it


@every_screen
@every_deck
def test_no_slide_is_taller_than_the_screen(open_deck, text, screen):
    width, height = SCREENS[screen]
    page, wrong = open_deck(text, viewport={"width": width, "height": height})
    count = page.evaluate("() => Reveal.getTotalSlides()")
    assert count == len(deck_text.read_deck(text))
    for k in range(count):
        seen = page.evaluate(LOOK, k)
        assert seen["wrong"] == [], seen["heading"]
        assert seen["fits"] and seen["height"] == pytest.approx(720), seen["heading"]
        assert seen["picture"] >= 200, seen["heading"]
        assert seen["words"] >= 24 and seen["code"] >= 18, seen["heading"]
    assert not wrong


@every_deck
def test_a_deck_is_printed_slide_by_slide(open_file, deck, text):
    page, wrong = open_file(deck(text))
    page.goto(f"{deck(text).as_uri()}?print-pdf")
    page.wait_for_function(READY)
    page.wait_for_selector(".pdf-page")
    printed = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    slides = deck_text.read_deck(text)
    assert len(printed.pages) == len(slides)
    words = printed.pages[0].extract_text().split()
    assert build_slides.chapter_of(text).title in " ".join(words)
    assert not wrong


def first_explorable(text) -> int:
    """The number of the first slide with an explorable, the title slide being 0."""
    slides = deck_text.read_deck(text)
    kinds = [[piece.kind for piece in slide.pieces] for slide in slides]
    return next(k for k, each in enumerate(kinds) if "explorable" in each)


def test_an_explorable_answers_on_its_slide_and_a_remote_control_turns_it(open_deck):
    page, wrong = open_deck(DECK, viewport={"width": 1024, "height": 768})
    at = first_explorable(DECK)
    page.evaluate("(k) => Reveal.slide(k)", at)
    figure = Shown(page, page.locator("section.present .stn-explore"))
    rest = figure.state()
    figure.drag(figure.handles.first, 40, 20)
    dragged = figure.state()
    assert dragged != rest
    figure.press(figure.handles.first, "ArrowRight")
    assert figure.state() != dragged
    assert page.evaluate("() => Reveal.getIndices().h") == at, "the key is the figure's"
    page.keyboard.press("PageDown")
    assert page.evaluate("() => Reveal.getIndices().h") == at + 1
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("() => Reveal.getIndices().h") == at
    assert not wrong


def test_the_answer_of_a_question_appears_with_the_next_click(open_deck):
    page, _ = open_deck(DECK)
    kinds = [[p.kind for p in s.pieces] for s in deck_text.read_deck(DECK)]
    page.evaluate("(k) => Reveal.slide(k, 0, -1)", kinds.index(["quiz"]))
    slide = page.locator("section.present")
    assert slide.locator(".visible").count() == 0
    assert slide.locator(".why").evaluate("(e) => getComputedStyle(e).opacity") == "0"
    page.keyboard.press("PageDown")
    assert slide.locator(".options .visible").count() == 1


@pytest.mark.long
def test_the_speakers_view_has_the_notes_offline(open_deck):
    page, wrong = open_deck(DECK)
    page.evaluate("() => Reveal.slide(2)")
    with page.expect_popup() as opened:
        page.keyboard.press("s")
    told = unescape(re.sub("<.*?>", "", deck_text.read_deck(DECK)[2].notes))
    assert "?" in told
    opened.value.wait_for_function(
        """(told) => document.querySelector(".speaker-controls-notes .value")
            ?.textContent.includes(told)""",
        arg=told.strip().partition("\n")[0],
    )
    assert not wrong


def test_a_drawing_of_the_pack_is_a_picture_of_its_size(browser):
    size = 'width="30pt" height="15pt" viewBox="0 0 30 15"'
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    drawing += '<rect width="30" height="15" fill="#d55e00"/></svg>'
    ((name, png),) = rasterized({"fig-it": drawing}, browser)
    assert name == "png/fig-it.png"
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    assert picture.size == (40 * SCALE, 20 * SCALE)
    assert picture.getpixel((5, 5)) == (0xD5, 0x5E, 0x00)
