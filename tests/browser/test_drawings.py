"""Drawings on the pages: sharp, legible on a phone, and on no card in the dark."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import unquote, urlsplit

import build_book
import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_rgb
from playwright.sync_api import Page

from stn_tutorial.course import svg
from stn_tutorial.course.plotting import use_style

PAGES = build_book.pages_in_toc()
PHONE = {"width": 390, "height": 844}
SMALLEST = 9  # CSS pixels, of a font
DARK_PAGE = "#121212"
G = "{http://www.w3.org/2000/svg}g"
SCALE = re.compile(r"scale\(([\d.]+) -")
FILL = re.compile(r"fill: (#[0-9a-f]{6})")
# What is folded is seen as well, sooner or later; it is folded again below.
UNFOLD = """() => document.querySelectorAll('details:not([open])').forEach(
  e => { e.open = true; e.dataset.unfolded = true })"""
FOLD = """() => document.querySelectorAll('details[data-unfolded]').forEach(
  e => { e.open = false; delete e.dataset.unfolded })"""
# Of each picture that can be seen: where from, how wide here and by itself, its name.
SHOWN = """() => [...document.querySelectorAll('article img')]
  .filter(e => e.checkVisibility() && !e.closest('.stn-explore, .text_html'))
  .map(e => {
    let ground = e, color = 'rgba(0, 0, 0, 0)';
    while (ground && / 0\\)$/.test(color)) {
      color = getComputedStyle(ground).backgroundColor;
      ground = ground.parentElement;
    }
    return {
      src: e.src, width: e.clientWidth, own: e.naturalWidth, ground: color,
      drawing: Boolean(e.closest('.drawing')), name: e.closest('[id]').id,
      photograph: Boolean(e.closest('.tag_photograph')),
    };
  })"""
# Of all that cells show and that is no drawing: the grounds that are not transparent.
GROUNDS = """() => [...document.querySelectorAll('.cell_output .text_html')]
  .flatMap(e => [e, ...e.querySelectorAll('.stn-player img')])
  .map(e => getComputedStyle(e).backgroundColor)
  .filter(color => !/, 0\\)$/.test(color))"""


def lettering(text: str) -> list[tuple[str, float, str]]:
    """What is written in a drawing, how large in points, and in what colour."""
    root = ET.fromstring(
        text, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
    )
    found = []
    for group in root.iter(G):
        if not group.get("id", "").startswith("text_"):
            continue
        words = next((e.text.strip() for e in group if e.tag is ET.Comment), "")
        for inner in group.iter(G):
            if scale := SCALE.search(inner.get("transform", "")):
                fill = FILL.search(inner.get("style", ""))
                found.append(
                    (words, 100 * float(scale[1]), fill[1] if fill else "#000000")
                )
    return found


def width_in_points(text: str) -> float:
    return float(re.search(r'width="([\d.]+)pt"', text)[1])


def too_small(text: str, width: float) -> dict[str, float]:
    """The words of a drawing that are too small where it is shown, with their size."""
    scale = min(width / width_in_points(text), 96 / 72)
    sizes = {words: round(points * scale, 2) for words, points, _ in lettering(text)}
    return {words: size for words, size in sizes.items() if size < SMALLEST}


def pale(text: str) -> set[str]:
    """The words of a dark page's drawing that can hardly be read there."""

    def luminance(color: str) -> float:
        linear = [((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(color)]
        return sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear))

    def contrast(color: str) -> float:
        return (luminance(color) + 0.05) / (luminance(DARK_PAGE) + 0.05)

    stays = {"#000000", *(color.lower() for color in svg.OVER_A_PICTURE.values())}
    return {
        words
        for words, _, color in lettering(text)
        if color not in stays and contrast(color) < 3
    }


def is_light(color: str) -> bool:
    return max(map(float, re.findall(r"[\d.]+", color)[:3])) >= 70


def file_of(picture: dict) -> str:
    return Path(unquote(urlsplit(picture["src"]).path)).read_text(encoding="utf-8")


def shown(page: Page) -> list[dict]:
    page.evaluate(UNFOLD)
    pictures = page.evaluate(SHOWN)
    page.evaluate(FOLD)
    return pictures


@pytest.mark.parametrize("name", PAGES)
def test_a_drawing_can_be_read_on_a_phone(turn_to, name):
    page, _ = turn_to(name, size=PHONE)
    small = {
        picture["name"]: words
        for picture in shown(page)
        if picture["drawing"]
        and (words := too_small(file_of(picture), picture["width"]))
    }
    assert not small


@pytest.mark.parametrize("name", PAGES)
def test_a_picture_is_a_drawing_or_twice_as_fine_as_a_plain_screen(turn_to, name):
    page, _ = turn_to(name)
    coarse = [
        (picture["name"], picture["own"], picture["width"])
        for picture in shown(page)
        if not picture["drawing"]
        and not (picture["photograph"] and picture["own"] >= 2 * picture["width"])
    ]
    assert not coarse, "draw it as SVG, or tag the cell `photograph`"


@pytest.mark.parametrize("name", PAGES)
def test_a_drawing_is_at_home_in_the_dark(turn_to, name):
    page, _ = turn_to(name, "dark")
    assert not [ground for ground in page.evaluate(GROUNDS) if is_light(ground)]
    for picture in shown(page):
        assert not is_light(picture["ground"]), picture
        if picture["drawing"]:
            text = file_of(picture)
            assert 'id="card"' not in text, picture
            assert not pale(text), picture


@pytest.fixture
def bad():
    with plt.rc_context():
        use_style()
        fig, ax = plt.subplots(figsize=(9, 3))
        ax.text(0.5, 0.5, "tiny", fontsize=8)
        ax.set_title("grey", color="0.2")
        ax.set_xlabel("large", fontsize=30)
        yield svg.to_svg(fig)
        plt.close(fig)


def test_small_lettering_is_found(bad):
    small = too_small(bad, 340)
    assert {"tiny", "grey"} <= set(small) and "large" not in small
    assert small["tiny"] == pytest.approx(8 * 340 / width_in_points(bad), abs=0.01)
    assert not too_small(bad, 1200)


def test_lettering_that_is_dark_on_a_dark_page_is_found(bad):
    assert pale(svg.on_page(bad, dark=True)) == {"grey"}
