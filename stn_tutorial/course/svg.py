"""Figures as SVG: sharp at every size, and at home on a light and on a dark page.

Lettering is drawn as paths: it looks the same where a font is missing, as on most
phones. Pictures keep their own pixels: each is stored as the PNG that it is, and
enlarged by what shows it. What has been given `rasterized=True` is drawn at twice the
resolution of a plain screen.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO, StringIO
from typing import Any

import matplotlib as mpl
import PIL.Image
from matplotlib.artist import Artist
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

__all__ = ["COLORS", "DARK", "on_page", "show_as_svg", "to_svg"]

#: One colour a meaning, from Okabe and Ito's palette, which colour-blind readers can
#: tell apart. Each has a contrast of 3 to 1 with a white page, but for "wrong": made
#: darker, it could not be told from "output". It marks pictures, or stands by words.
COLORS = {
    "input": "#0072B2",  # the image that is sampled, and its pixels
    "output": "#D55E00",  # the image that is made, and its pixels
    "sample": "#CC79A7",  # where the input is sampled
    "gradient": "#009E73",
    "wrong": "#E69F00",
    "ink": "#222222",
    "faint": "#8F8F8F",
    "paper": "#FFFFFE",  # what hides the lines behind a word
}
#: What these are on a dark page, where they differ.
DARK = {
    "input": "#3D9BD9",
    "ink": "#E0E0E0",
    "faint": "#7A7A7A",
    "paper": "#121212",
}
#: What these are over a picture, which is the same on every page, and so are they.
OVER_A_PICTURE = {"input": "#0072B3", "ink": "#212121", "faint": "#8E8E8E"}
#: On the root of every drawing, so that the book knows its own.
MARK = 'data-drawing="stn-tutorial"'
#: The pixels of the rasterized parts, in an inch of 96 CSS pixels.
DPI = 192
#: From how many CSS pixels on a picture's pixel is seen as a square.
SQUARE = 2.0
#: How far a line may pass from a point that is left out, in points.
TOLERANCE = 0.03

NUMBER = re.compile(r"-?\d+\.\d+(?!\d|e)")
PLACE = re.compile(r'(?<=\s)[xy]="[^"]*"')
PATH = re.compile(r'(?<=\s)d="([^"]*)"')
# A path of straight lines.
LINES = re.compile(r"(?:[ML] \S+ \S+\s*)+")
PICTURE = re.compile(r"<image ([^>]*)/>")
DATA = re.compile(r'(?<=xlink:href="data:image/png;base64,)[^"]*')
MATRIX = re.compile(r'transform="matrix\((\S+) ')
PIXELATED = re.compile(r'\s*style="image-rendering:[^"]*"')
CARD = re.compile(r'<g id="card">.*?</g>\s*', re.DOTALL)
PAINT = re.compile(r"(fill|stroke): (#[0-9a-f]{6})")


def to_svg(figure: Figure) -> str:
    """Return a figure as SVG, the same for the same figure.

    >>> import matplotlib.pyplot as plt
    >>> fig, ax = plt.subplots()
    >>> text = to_svg(fig)
    >>> text[:5], text == to_svg(fig)
    ('<svg ', True)

    Args:
        figure: drawn with `stn_tutorial.course.plotting.use_style`.

    Returns:
        The element ``<svg>``. The figure's ground has the name ``card``.
    """
    buffer = StringIO()
    settings = {
        "image.composite_image": False,
        "svg.fonttype": "path",
        "svg.hashsalt": "stn_tutorial",
    }
    with mpl.rc_context(settings), _named(figure):
        figure.savefig(
            buffer,
            format="svg",
            dpi=DPI,
            bbox_inches="tight",
            pad_inches=0.03,
            facecolor=figure.get_facecolor(),
            metadata={"Date": None},
        )
    text = buffer.getvalue()
    text = text[text.index("<svg ") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace(
        "<svg ", f'<svg {MARK} style="max-width: 100%; height: auto" ', 1
    )
    text = PATH.sub(_path, text)
    text = PLACE.sub(lambda match: NUMBER.sub(_short, match[0]), text)
    return PICTURE.sub(_smaller, text)


def on_page(svg: str, *, dark: bool = False) -> str:
    """Return a drawing without its white ground, for a page that is light or dark.

    >>> import matplotlib.pyplot as plt
    >>> fig, ax = plt.subplots()
    >>> lines = ax.plot([0, 1], color=COLORS["ink"])
    >>> text = to_svg(fig)
    >>> [word in on_page(text) for word in ("card", "#222222")]
    [False, True]
    >>> [word in on_page(text, dark=True) for word in ("card", "#222222", "#e0e0e0")]
    [False, False, True]

    Args:
        svg: of `to_svg`.
        dark: exchange the palette's colours for those of `DARK`.

    Returns:
        The element ``<svg>``. Pictures in it are what they were.
    """
    svg = CARD.sub("", svg)
    if not dark:
        return svg
    exchanged = {COLORS[name].lower(): DARK[name].lower() for name in DARK}
    ink = DARK["ink"].lower()

    def paint(match: re.Match[str]) -> str:
        kind, color = match.groups()
        black = kind == "stroke" and color == "#000000"
        return f"{kind}: {ink if black else exchanged.get(color, color)}"

    svg = PAINT.sub(paint, svg)
    # Matplotlib leaves out the fill of what is black.
    rule = f'<style>g[id^="text_"] {{ fill: {ink} }}</style>'
    return re.sub(r"(<svg [^>]*>)", rf"\1{rule}", svg, count=1)


def show_as_svg() -> None:
    """Let a notebook show its figures as SVG; outside of one, do nothing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if not hasattr(shell, "kernel"):
        return
    shell.config.InlineBackend.figure_formats = ["svg"]
    shell.enable_matplotlib("inline")  # now, since it registers formats of its own
    formatters = shell.display_formatter.formatters
    for kind, formatter in formatters.items():
        if kind.startswith("image/"):
            formatter.pop(Figure, None)
    formatters["image/svg+xml"].for_type(Figure, to_svg)


def _path(match: re.Match[str]) -> str:
    """A path in hundredths of a point, without points that no eye can miss."""
    text = match[1]
    if LINES.fullmatch(text):
        lines = [
            _straightened([tuple(map(float, point.split())) for point in line])
            for line in (part.split("L") for part in text.split("M")[1:])
        ]
        text = "".join(
            "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in line) for line in lines
        )
    return 'd="' + " ".join(NUMBER.sub(_short, text).split()) + '"'


def _straightened(line: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that a line needs to stay within the tolerance."""
    kept, start = line[:1], 0
    for end in range(2, len(line) + 1):
        if end < len(line):
            (x, y), (u, v) = line[start], line[end]
            length = max(((u - x) ** 2 + (v - y) ** 2) ** 0.5, 1e-9)
            along = [
                ((a - x) * (u - x) + (b - y) * (v - y)) / length
                for a, b in line[start + 1 : end]
            ]
            off = max(
                abs((a - x) * (v - y) - (b - y) * (u - x)) / length
                for a, b in line[start + 1 : end]
            )
            # It turns back nowhere, or its end would be lost.
            if off <= TOLERANCE and along == sorted(along) and along[-1] <= length:
                continue
        start = end - 1
        kept.append(line[start])
    return kept if len(line) > 1 else line


def _short(match: re.Match[str]) -> str:
    """A length in points to a hundredth, which is less than a screen can show."""
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")


def _smaller(match: re.Match[str]) -> str:
    """A picture without channels that it doesn't use, and smooth if it is large."""
    attributes = match[1]
    data = DATA.search(attributes)
    if data is None:
        return match[0]
    picture = PIL.Image.open(BytesIO(base64.b64decode(data[0])))
    if picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (255, 255):
        picture = picture.convert("RGB")
        red, green, blue = picture.split()
        if red.tobytes() == green.tobytes() == blue.tobytes():
            picture = red
    buffer = BytesIO()
    picture.save(buffer, format="png", optimize=True)
    attributes = DATA.sub(base64.b64encode(buffer.getvalue()).decode(), attributes)
    matrix = MATRIX.search(attributes)
    if matrix and abs(float(matrix[1])) * 96 / 72 < SQUARE:
        attributes = PIXELATED.sub("", attributes)
    return f"<image {attributes}/>"


@contextmanager
def _named(figure: Figure) -> Iterator[None]:
    """Name a figure's ground, and let colours over a picture be told from others."""
    gid = figure.patch.get_gid()
    figure.patch.set_gid("card")
    figure.draw_without_rendering()  # places everything
    pictures = [image for ax in figure.axes for image in ax.images]
    grounds = [picture.get_window_extent() for picture in pictures]
    artists = [a for ax in figure.axes for a in (*ax.texts, *ax.lines, *ax.collections)]
    over = [a for a in artists if any(_is_over(a, ground) for ground in grounds)]
    changed = [change for artist in over for change in _change_colors(artist)]
    try:
        yield
    finally:
        figure.patch.set_gid(gid)
        for set_color, color in changed:
            set_color(color)


def _is_over(artist: Artist, ground: Bbox) -> bool:
    """Whether a word's middle, or all of a line, is over a picture."""
    box = artist.get_window_extent()
    if isinstance(artist, Text):
        return ground.contains(*(box.min + box.max) / 2)
    (left, low), (right, high) = ground.padded(2).get_points()
    return left <= box.x0 and low <= box.y0 and box.x1 <= right and box.y1 <= high


def _change_colors(artist: Artist) -> list[tuple[Callable[[Any], None], Any]]:
    """Give an artist colours that stay, and return what brings the others back."""
    names = ["color"] if isinstance(artist, Text) else ["edgecolor", "facecolor"]
    if isinstance(artist, Line2D):
        names = ["color", "markeredgecolor", "markerfacecolor"]
    changed = []
    for name in names:
        color = getattr(artist, f"get_{name}")()
        for meaning, stays in OVER_A_PICTURE.items():
            if len(color) and same_color(color, COLORS[meaning]):
                set_color = getattr(artist, f"set_{name}")
                changed.append((set_color, color))
                set_color(stays)
    return changed
