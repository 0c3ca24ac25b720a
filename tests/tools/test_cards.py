"""Every chapter has a card: what it is about, and a small picture of it."""

from __future__ import annotations

import re

import draw_cards
import draw_film
import matplotlib.pyplot as plt
import pytest
import stamps
import yaml
from PIL import Image

from stn_tutorial.course import plotting, svg

FIGURES = stamps.ROOT / "book" / "_static" / "figures"
NAMES = [path.stem.partition("_")[2] for path in stamps.notebook_paths()]
NAMES = NAMES[1:]  # without the tour


def texts() -> dict[str, dict[str, str]]:
    path = stamps.ROOT / "book" / "cards.yml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_every_chapter_has_a_text_and_a_picture():
    assert set(NAMES) <= set(texts()) == set(draw_cards.CARDS)


def test_a_text_is_as_long_as_a_card():
    for name, card in texts().items():
        assert 80 <= len(card["about"]) <= 190, name
        assert len(card["picture"]) >= 40, name


@pytest.mark.parametrize("name", draw_cards.CARDS)
def test_a_picture_is_light_twice_as_wide_as_high_and_drawn_by_this_code(name):
    stored = (FIGURES / f"card-{name}.svg").read_text(encoding="utf-8")
    width, height = map(float, re.findall(r'(?:width|height)="([\d.]+)pt"', stored))
    assert 1.85 < width / height < 2
    assert len(stored) < 60_000
    with plt.rc_context():
        plotting.use_style()
        drawn = svg.to_svg(draw_cards.CARDS[name]())
        plt.close("all")
    count = [
        len(re.findall(r"<(?:path|use|image)\b", text)) for text in (drawn, stored)
    ]
    assert count[0] == count[1], "make figures"


def test_the_animation_is_light_and_has_the_recorded_moments():
    path = FIGURES / "training.gif"
    assert path.stat().st_size < 300_000
    with Image.open(path) as animation:
        assert animation.n_frames == len(list(draw_film.moments(draw_film.recorded())))
