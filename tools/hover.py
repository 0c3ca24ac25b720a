"""What a link leads to is shown where it stands: entries, equations, figures, papers.

A chapter says "theta" as any text does, without markup. Here the first mention of each
word of the glossary becomes a link on the rendered page, and sphinx-tippy shows what is
behind a link, be it an entry, a figure, an equation or a paper, when a pointer or the
keyboard comes to it. The tips are made while the book is built: no page fetches any.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import stamps
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms.post_transforms import SphinxPostTransform

GLOSSARY = "book/glossary"
LINKED = ("notebooks/", "book/how_to_use", "book/playground", "book/notation")
#: Words of the glossary with everyday senses, which a text may mean.
EVERYDAY = {
    *("attention", "budget", "cell", "crop", "fill", "moments", "reach", "recipe"),
    "similarity",
}
#: Where a word is not running text, or is a link already.
NOT_TEXT = (
    *(nodes.title, nodes.caption, nodes.literal, nodes.literal_block, nodes.math),
    *(nodes.reference, nodes.raw, nodes.rubric, nodes.strong, nodes.table),
)
SCRIPTS = (
    "@popperjs/core/dist/umd/popper.min.js",
    "tippy.js/dist/tippy-bundle.umd.min.js",
)
MODULES = stamps.ROOT / "node_modules"


def pattern_of(words: list[str]) -> re.Pattern[str]:
    """Return a pattern for any of the words, the longest first, one or many of them.

    >>> pattern_of(["grid", "base grid"]).search("Two base grids.").group("word")
    'base grid'
    >>> pattern_of(["grid"]).search("the base-grid") is None
    True
    """
    longest_first = sorted(words, key=len, reverse=True)
    any_of = "|".join(re.escape(word) for word in longest_first)
    return re.compile(rf"(?<![\w-])(?P<word>{any_of})s?(?![\w-])", re.IGNORECASE)


def split_at_words(
    text: str, pattern: re.Pattern[str], seen: set[str]
) -> Iterator[tuple[str, str | None]]:
    """Cut a text into pieces, each with the word whose first mention it is, or None.

    >>> seen = set()
    >>> list(split_at_words("A grid of grids", pattern_of(["grid"]), seen))
    [('A ', None), ('grid', 'grid'), (' of grids', None)]
    """
    start = 0
    for match in pattern.finditer(text):
        word = match["word"].lower()
        if word not in seen:
            seen.add(word)
            yield text[start : match.start()], None
            yield match.group(), word
            start = match.end()
    yield text[start:], None


class LinkWordsOfTheGlossary(SphinxPostTransform):
    """Link the first mention of each word of the glossary on a page."""

    default_priority = 700  # when every reference is resolved
    formats = ("html",)

    def run(self, **_: object) -> None:
        if not self.env.docname.startswith(LINKED):
            return
        terms = {
            name.lower(): anchor
            for name, _, kind, _, anchor, _ in self.env.get_domain("std").get_objects()
            if kind == "term" and name.lower() not in EVERYDAY
        }
        pattern, seen = pattern_of(list(terms)), set()
        uri = self.app.builder.get_relative_uri(self.env.docname, GLOSSARY)
        for text in list(self.document.findall(nodes.Text)):
            if not _is_running_text(text):
                continue
            pieces = []
            for piece, word in split_at_words(text.astext(), pattern, seen):
                if word is None:
                    pieces += [nodes.Text(piece)] if piece else []
                else:
                    target = f"{uri}#{terms[word]}"
                    link = nodes.reference(
                        "", piece, refuri=target, internal=True, classes=["glossary"]
                    )
                    pieces.append(link)
            if any(isinstance(piece, nodes.reference) for piece in pieces):
                text.parent.replace(text, pieces)


def _is_running_text(text: nodes.Text) -> bool:
    node, in_paragraph = text.parent, False
    while node is not None:
        if isinstance(node, NOT_TEXT) or "exercise" in node.get("classes", []):
            return False
        in_paragraph |= isinstance(node, nodes.paragraph)
        node = node.parent
    return in_paragraph


def use_what_npm_fetched(app: Sphinx, config: Config) -> None:
    """Let pages load Tippy from beside them."""
    config.html_static_path += [f"node_modules/{script}" for script in SCRIPTS]
    config.tippy_js = [script.rsplit("/")[-1] for script in SCRIPTS]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(LinkWordsOfTheGlossary)
    if all((MODULES / script).is_file() for script in SCRIPTS):
        app.setup_extension("sphinx_tippy")
        app.connect("config-inited", use_what_npm_fetched)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
