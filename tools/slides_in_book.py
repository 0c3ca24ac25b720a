"""Put the slides into the rendered book, where its pages link to them.

Without ``make slides`` a page stands there that says how to make them: a link that
leads nowhere helps nobody.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import stamps

SLIDES = stamps.ROOT / "_build" / "slides"
NOT_MADE = stamps.ROOT / "slides" / "not_made.html"


def put(html: Path) -> None:
    """Put the decks, or the page in their place, into a book's folder ``slides``."""
    target = html / "slides"
    if (SLIDES / "index.html").is_file():
        shutil.copytree(SLIDES, target, dirs_exist_ok=True)
    else:
        target.mkdir(exist_ok=True)
        shutil.copyfile(NOT_MADE, target / "index.html")
