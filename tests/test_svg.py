"""Figures as SVG: the same each time, small, and legible on pages of either colour."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from stn_tutorial.course.plotting import use_style
from stn_tutorial.course.svg import COLORS, DARK, on_page, to_svg

PAGES = {"light": "#FFFFFF", "dark": "#121212"}
NAMES = {"svg": "http://www.w3.org/2000/svg"}


@pytest.fixture(autouse=True)
def style():
    plt.switch_backend("Agg")
    with plt.rc_context():
        use_style()
        yield
    plt.close("all")


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, as the guidelines for accessible pages define it."""

    def luminance(color: str) -> float:
        value = np.array(to_rgb(color))
        linear = np.where(
            value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4
        )
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def pictures(svg: str) -> list[Image.Image]:
    found = re.findall(r"base64,([^\"]*)", svg)
    return [Image.open(BytesIO(base64.b64decode(data))) for data in found]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", sorted(set(COLORS) - {"paper"}))
def test_a_colour_can_be_seen_on_its_page(name, page):
    color = {**COLORS, **(DARK if page == "dark" else {})}[name]
    needed = {"ink": 7, "wrong": 2.2}.get(name, 3)
    assert contrast(color, PAGES[page]) >= needed


def test_a_figure_is_the_same_text_each_time_and_names_no_date_and_no_version():
    def text() -> str:
        fig, ax = plt.subplots()
        ax.plot([0, 1, 2], [0, 3, 1])
        ax.imshow(np.eye(4))
        return to_svg(fig)

    first = text()
    assert first == text()
    assert not re.search(r"<metadata|Matplotlib v|20\d\d-\d\d", first)
    assert ET.fromstring(first).tag == "{http://www.w3.org/2000/svg}svg"


def test_drawing_leaves_the_figure_as_it_was():
    fig, ax = plt.subplots()
    ax.imshow(np.eye(4))
    word = ax.text(1.5, 1.5, "over", color=COLORS["ink"])
    to_svg(fig)
    assert word.get_color() == COLORS["ink"]
    assert fig.patch.get_gid() is None


def test_lettering_needs_no_font():
    fig, ax = plt.subplots()
    ax.set_title("a title")
    assert not ET.fromstring(to_svg(fig)).findall(".//svg:text", NAMES)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
def test_a_picture_keeps_its_pixels(shape):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    fig, ax = plt.subplots()
    ax.imshow(values, vmin=0, vmax=255)
    svg = to_svg(fig)
    for text in (svg, on_page(svg), on_page(svg, dark=True)):
        (picture,) = pictures(text)
        assert picture.size == (7, 5)
        # Grey values pass through a colour map.
        assert abs(np.asarray(picture).astype(int) - values).max() <= (len(shape) < 3)
        assert "pixelated" in text


def test_a_photograph_is_shown_smooth():
    fig, ax = plt.subplots(figsize=(2, 2))
    ax.imshow(np.random.default_rng(0).random((200, 200)))
    assert "pixelated" not in to_svg(fig)


def test_rasterized_parts_have_two_pixels_for_one_of_a_plain_screen():
    fig, ax = plt.subplots(figsize=(4, 3))
    ax.plot(np.random.default_rng(0).random(3000), rasterized=True)
    width = ax.get_position().width * 4 * 96
    (picture,) = pictures(to_svg(fig))
    assert 1.7 * width < picture.width < 2.1 * width


def test_a_line_keeps_every_point_that_can_be_seen():
    fig, ax = plt.subplots(layout="none")
    x = np.linspace(0, 1, 501)
    (wave,) = ax.plot(x, np.sin(20 * x))
    ax.plot([0, 1, 0.4], [0.5, 0.5, 0.5])  # back on itself
    ax.set(xlim=(0, 1), ylim=(-1, 1))
    paths = re.findall(r'<path d="([^"]*)" clip-path', to_svg(fig))
    drawn = [
        np.array([point.split() for point in re.split("[ML]", path)[1:]], dtype=float)
        for path in paths
    ]
    scale = np.ptp(drawn[0][:, 0])  # points to a unit of x
    height = np.ptp(drawn[0][:, 1]) / 2
    middle = (drawn[0][:, 1].min() + drawn[0][:, 1].max()) / 2
    true = np.stack(
        [drawn[0][0, 0] + scale * x, middle - height * np.sin(20 * x)], axis=1
    )
    share = np.linspace(0, 1, 300)[:, None, None]
    dense = (drawn[0][:-1] * (1 - share) + drawn[0][1:] * share).reshape(-1, 2)
    away = [np.hypot(*(dense - point).T).min() for point in true]
    assert max(away) < 0.25
    assert len(drawn[0]) < 200
    assert len(drawn[1]) == 3


def test_a_page_has_no_card_and_dark_pages_have_light_ink():
    fig, ax = plt.subplots()
    ax.set_title("title")
    ax.text(0.5, 0.5, "black", color="black")
    ax.plot([0, 1], color="black")
    svg = to_svg(fig)
    assert "#ffffff" in svg
    light, dark = on_page(svg), on_page(svg, dark=True)
    assert "#ffffff" not in light + dark
    assert COLORS["ink"].lower() in light
    assert COLORS["ink"].lower() not in dark
    assert "stroke: #000000" not in dark
    ET.fromstring(dark)


def test_what_is_over_a_picture_keeps_its_colours():
    fig, ax = plt.subplots()
    ax.imshow(np.full((9, 9), 0.9), vmin=0, vmax=1)
    ax.text(4, 4, "over", color=COLORS["ink"])
    ax.plot([2, 6], [2, 6], color=COLORS["ink"])
    ax.axis("off")
    ax.plot([2, 6], [6, 2], "o", color=COLORS["input"])
    dark = re.sub("<style>.*?</style>", "", on_page(to_svg(fig), dark=True))
    assert DARK["ink"].lower() not in dark
    assert DARK["input"].lower() not in dark


def test_a_notebook_shows_svg_alone():
    code = """
from ipykernel.inprocess.ipkernel import InProcessKernel
shell = InProcessKernel().shell
from stn_tutorial.course import plotting
plotting.use_style()
import matplotlib.pyplot as plt
data, _ = shell.display_formatter.format(plt.subplots()[0])
print(sorted(data), data["image/svg+xml"][:5])
"""
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.strip().endswith("['image/svg+xml', 'text/plain'] <svg")
