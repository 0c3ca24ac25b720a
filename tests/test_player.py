"""The player: its HTML, parsed, holds every picture, and asks for nothing else."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import pytest

from stn_tutorial.course.player import Player

CAPTIONS = ["before <training>", 'after "epoch" 1', "after epoch 2"]
ALT = "Digits & the frame that is read"


def figures(count=3):
    made = []
    for k in range(count):
        fig, ax = plt.subplots(figsize=(2, 1))
        ax.plot([0, k])
        made.append(fig)
    return made


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def html() -> str:
    return Player(figures(), CAPTIONS, alt=ALT, seconds=0.5)._repr_html_()


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_the_html_is_well_formed(page):
    assert page.open == []


def test_every_figure_is_a_picture_of_the_page_itself(page):
    pictures = page.named("img")
    assert len(pictures) == 3
    for picture in pictures:
        head, _, data = picture["src"].partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")


def test_every_picture_says_what_it_shows_and_when(page):
    pictures = page.named("img")
    assert [picture["data-caption"] for picture in pictures] == CAPTIONS
    assert [picture["alt"] for picture in pictures] == [
        f"{ALT} ({c})" for c in CAPTIONS
    ]


def test_without_a_script_the_last_picture_is_shown_alone(page):
    shown = [picture for picture in page.named("img") if "hidden" not in picture]
    assert [picture["data-caption"] for picture in shown] == CAPTIONS[-1:]
    (controls,) = page.named("div")
    assert "hidden" in controls


def test_the_controls_have_names_and_the_slider_reaches_every_picture(page):
    (slider,) = page.named("input")
    assert (slider["min"], slider["max"], slider["step"]) == ("0", "2", "1")
    assert slider["aria-label"]
    (button,) = page.named("button")
    assert button["type"] == "button"


def test_nothing_is_fetched(html):
    text = re.sub(r"base64,[\w+/=]+", "", html)
    assert not re.search(r"https?:|//\w|@import|url\(|src=\"(?!data:)", text)


def test_reduced_motion_is_asked_for(html):
    assert "prefers-reduced-motion" in html


def test_the_time_reaches_the_script(html):
    assert "setInterval(step, 500)" in html
    assert "%" + "MILLISECONDS%" not in html and "%ID%" not in html


def test_equal_pictures_give_equal_html(html):
    assert Player(figures(), CAPTIONS, alt=ALT, seconds=0.5)._repr_html_() == html


def test_other_pictures_have_another_name(page):
    other = Page(Player(figures(4)[1:], CAPTIONS, alt=ALT)._repr_html_())
    assert other.named("figure")[0]["id"] != page.named("figure")[0]["id"]


def test_figures_are_closed():
    made = figures()
    Player(made, CAPTIONS, alt=ALT)
    assert not {figure.number for figure in made} & set(plt.get_fignums())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"captions": CAPTIONS[:2]}, "captions"),
        ({"alt": " "}, "alt"),
        ({"seconds": 0}, "seconds"),
        ({"seconds": float("inf")}, "seconds"),
    ],
)
def test_bad_arguments_are_named(change, named):
    made = figures()
    arguments = {"captions": CAPTIONS, "alt": ALT, "seconds": 1.0} | change
    with pytest.raises(ValueError, match=named):
        Player(made, **arguments)
    for figure in made:
        plt.close(figure)


def test_one_figure_is_no_film():
    (figure,) = figures(1)
    with pytest.raises(ValueError, match="figures"):
        Player([figure], CAPTIONS[:1], alt=ALT)
    plt.close(figure)
