"""Drawings on the pages: one for a light page, one for a dark page, neither on a card.

A drawing is an SVG of `stn_tutorial.course.svg`, from a notebook's output or from
book/_static. Each becomes two images, of which the theme shows one, and a screen reader
meets that one alone. Both know their size, so that the page doesn't jump, and are
loaded when they come into view, which the hidden one never does.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from stn_tutorial.course import svg

IMAGE = re.compile(r'<img ([^>]*src="[^"]*_images/([^"]+\.svg)"[^>]*?)\s*/?>')
SIZE = re.compile(r'\b(width|height)="([\d.]+)pt"')


def draw_for_both_pages(app: Sphinx, doctree: nodes.document) -> None:
    """Put a light and a dark image where a drawing is."""
    folder = Path(app.doctreedir).parent / "drawings"
    for image in list(doctree.findall(nodes.image)):
        _, name = app.env.relfn2path(image["uri"], app.env.docname)
        path = Path(name)
        if path.suffix != ".svg" or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        if svg.MARK not in text:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        both = nodes.inline("", classes=["drawing"])
        for theme in ("light", "dark"):
            drawing = folder / f"{path.stem}-{theme}.svg"
            drawing.write_text(
                svg.on_page(text, dark=theme == "dark"), encoding="utf-8"
            )
            shown = image.deepcopy()
            shown["uri"] = "/" + drawing.relative_to(app.srcdir).as_posix()
            shown["classes"] = [*image["classes"], f"only-{theme}"]
            both += shown
        if both[1]["ids"]:
            both[1]["ids"] = []  # a link leads to the first
        image.replace_self(both)


def give_sizes(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document
) -> None:
    """Write the size of each drawing into its image."""
    sources = {name: uri for uri, name in app.builder.images.items()}

    def sized(match: re.Match[str]) -> str:
        attributes, name = match.groups()
        source = Path(app.srcdir) / sources.get(name, name)
        head = source.read_text(encoding="utf-8")[:600] if source.is_file() else ""
        if svg.MARK not in head:
            return match[0]
        size = "".join(
            f' {side}="{float(points) * 96 / 72:.0f}"'
            for side, points in SIZE.findall(head)
        )
        return f'<img {attributes}{size} loading="lazy" />'

    if "body" in context:
        context["body"] = IMAGE.sub(sized, context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    # Before the images are collected.
    app.connect("doctree-read", draw_for_both_pages, priority=100)
    app.connect("html-page-context", give_sizes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
