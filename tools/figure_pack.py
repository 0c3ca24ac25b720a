"""Pack all chapters' figures into one archive, for slides and handouts of one's own.

Each figure is there as SVG and as PNG, named by its label in the book; an index shows
them with captions and alternative texts, and says under which licence they are.
"""

from __future__ import annotations

import base64
import re
import zipfile
from collections.abc import Iterator
from html import escape
from pathlib import Path

import stamps
from chapter_pieces import Chapter, Figure
from playwright.sync_api import Browser
from print_book import chromium, find_chromium

from stn_tutorial.data.embedded import CREDITS

#: A reference in a caption: its words, or what it refers to.
ROLE = re.compile(r"\{[\w:]+\}`(?:([^`<]+?) <)?([^`<>]+)>?`")
#: How many pixels of a PNG are one of the drawing's.
SCALE = 3
#: The time of every entry, so that the same figures make the same archive.
TIME = (1980, 1, 1, 0, 0, 0)
LICENCES = "LICENSE-TEXT.txt"
LICENCE = (
    "Every figure is CC BY 4.0: use it, change it, and name “stn_tutorial "
    "contributors, Spatial Transformers from the Grid Up”. Where a figure shows a "
    "photograph, name its author too: "
)
HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Figures: Spatial Transformers from the Grid Up</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; color: #1c1c1c; background: white; }
figure { margin: 0 0 3rem; }
img { max-width: 100%; }
figcaption { margin-top: 0.5rem; }
p { margin: 0.25rem 0; }
</style>
"""


def write(path: Path) -> str:
    """Write the pack, and return a line on what is in it."""
    chapters = [Chapter(notebook) for notebook in stamps.notebook_paths()]
    licences = stamps.ROOT / "LICENSE-TEXT"
    files = {"index.html": index(chapters).encode(), LICENCES: licences.read_bytes()}
    drawings = {}
    for figure in (f for chapter in chapters for f in chapter.figures().values()):
        if figure.svg:
            drawings[figure.name] = figure.svg
            files[f"svg/{figure.name}.svg"] = as_file(figure.svg)
        else:
            files[f"png/{figure.name}.png"] = base64.b64decode(figure.png)
    if find_chromium():
        with chromium() as browser:
            files.update(rasterized(drawings, browser))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"figures/{name}", TIME)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED)
    note = "" if find_chromium() else "; without Chromium no drawing is there as PNG"
    return f"{path}: {path.stat().st_size / 1e6:.1f} MB, {len(drawings)} drawings{note}"


def as_file(svg: str) -> bytes:
    """Return a drawing as a file of its own."""
    if "xmlns=" not in svg[:2000]:
        svg = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + svg.encode()


def rasterized(
    drawings: dict[str, str], browser: Browser
) -> Iterator[tuple[str, bytes]]:
    """Yield the names and the PNG files of drawings, as Chromium draws them."""
    context = browser.new_context(offline=True, device_scale_factor=SCALE)
    page = context.new_page()
    for name, svg in drawings.items():
        page.set_content(f'<body style="margin: 0; width: 3000px">{svg}</body>')
        picture = page.locator("svg").first
        yield f"png/{name}.png", picture.screenshot()
    context.close()


def index(chapters: list[Chapter]) -> str:
    """Return the page that shows every figure, and says what may be done with it."""
    licence = escape(LICENCE + " ".join(CREDITS.values()))
    licence += f' The digits are told of in <a href="{LICENCES}">{LICENCES}</a>.'
    lines = [HEAD, "<h1>The figures of the book</h1>", f"<p>{licence}</p>"]
    for chapter in chapters:
        lines.append(f"<h2>{escape(chapter.title)}</h2>")
        lines += [entry(figure) for figure in chapter.figures().values()]
    return "\n".join([*lines, "</html>\n"])


def plain(caption: str) -> str:
    """Return a caption without its markup.

    >>> plain("See {numref}`fig-grid-six`: `image[i, j]`, by {cite:t}`keys1981`.")
    'See fig-grid-six: image[i, j], by keys1981.'
    """
    return ROLE.sub(lambda role: role[1] or role[2], caption).replace("`", "")


def entry(figure: Figure) -> str:
    """Return a figure's place in the index."""
    name, alt = figure.name, escape(figure.alt)
    files = [f"png/{name}.png"]
    if figure.svg:
        files.insert(0, f"svg/{name}.svg")
    links = " · ".join(f'<a href="{file}">{file}</a>' for file in files)
    return (
        f'<figure id="{name}"><img src="{files[0]}" alt="{alt}" loading="lazy">'
        f"<figcaption><p>{escape(plain(figure.caption))}</p>"
        f"<p>Alternative text: {alt}</p><p>{links}</p></figcaption></figure>"
    )
