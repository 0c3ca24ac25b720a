"""Sphinx extension: every chapter's page leads to both editions of its notebook.

A line below the title, and the menu with the rocket, open the chapter in Colab with its
solutions and without them. The student edition lies in the built book as well, so that
it can be had where the book is, and offline.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

import stamps
import student_edition
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri

FOLDER = "student"  # of the built book


def lead_to_both_editions(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document
) -> None:
    """Put the links below a chapter's title and into the menu of its page."""
    folder, _, name = page.rpartition("/")
    if folder != "notebooks" or "body" not in context:
        return
    student = student_edition.colab_address(name)
    file = relative_uri(app.builder.get_target_uri(page), f"{FOLDER}/{name}.ipynb")
    full = student_edition.colab_address(name, full=True)
    line = (
        '<p class="stn-editions">Without the solutions: '
        f'<a href="{escape(student)}">student edition in Colab</a>, '
        f'<a href="{escape(file)}" download>as a file</a>. With them: this page, '
        f'<a href="{escape(full)}">full edition in Colab</a>.</p>'
    )
    context["body"] = context["body"].replace("</h1>", f"</h1>\n{line}", 1)
    for group in context.get("header_buttons", []):
        buttons = group.get("buttons", [])
        for place, button in enumerate(buttons):
            if button["text"] == "Colab":
                added = {"text": "Colab, student edition", "url": student}
                buttons.insert(place + 1, button | added)
                break


def write_the_student_edition(app: Sphinx, error: Exception | None) -> None:
    """Put the student edition beside the pages of the book."""
    if not error and app.builder.format == "html":
        chapters = [path.stem for path in stamps.notebook_paths(Path(app.srcdir))]
        if any(f"notebooks/{name}" in app.env.found_docs for name in chapters):
            student_edition.write(Path(app.outdir) / FOLDER)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", lead_to_both_editions, priority=901)
    app.connect("build-finished", write_the_student_edition)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
