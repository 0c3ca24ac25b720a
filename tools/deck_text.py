"""Read the text of a deck: what each slide says, and what of its chapter it shows.

A deck's text is Markdown. Each heading of the second level starts a slide; what stands
before the first is on the title slide. A list with ``+`` appears point by point. What
the chapter has already is named in a directive, and taken from the executed notebook::

    :::{figure} fig-grid-pixels
    :fragment:
    :::

The directives are figure, explorable, equation, code, output, quiz and exercises, and
the speaker's ``notes``. What stands in a quiz is told in place of the chapter's reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

#: What a directive can name, and the options that it takes.
DIRECTIVES = {
    "figure": {"fragment"},
    "explorable": set(),
    "equation": {"fragment"},
    "code": {"fragment", "lines"},
    "output": {"fragment", "lines", "part"},
    "quiz": {"question"},
    "exercises": set(),
    "notes": set(),
}
INFO = re.compile(r"\{(\w+)\}\s*(.*)")
OPTION = re.compile(r":(\w+):\s*(.*)")


@dataclass(frozen=True)
class Piece:
    """A piece of the chapter that a slide shows."""

    kind: str
    name: str
    options: dict[str, str] = field(default_factory=dict)
    text: str = ""


@dataclass
class Slide:
    """A slide: HTML of its heading, words and notes, and the pieces that it shows."""

    heading: str = ""
    words: str = ""
    notes: str = ""
    pieces: list[Piece] = field(default_factory=list)


def mathematics(content: str, options: dict) -> str:
    """Return a formula as MathJax finds it in a page."""
    text = escape(content, quote=False)
    return rf"\[{text}\]" if options["display_mode"] else rf"\({text}\)"


def markdown() -> MarkdownIt:
    """Return the Markdown of decks: CommonMark, tables, mathematics, directives."""
    parser = MarkdownIt("commonmark").enable("table")
    parser.use(dollarmath_plugin, renderer=mathematics)
    return parser.use(colon_fence_plugin)


def inline(text: str) -> str:
    """Return a quiz's text as HTML: code between backquotes, formulas in dollars.

    >>> inline("Is `x` < 1?")
    'Is <code>x</code> &lt; 1?'
    """
    parser = MarkdownIt("zero").enable("backticks")
    parser.use(dollarmath_plugin, renderer=mathematics)
    return parser.renderInline(" ".join(text.split()))


def read_deck(path: Path) -> list[Slide]:
    """Return the slides of a deck's text, the title slide first.

    Raises:
        ValueError: if a directive is none, or an option is none of its directive's.
    """
    parser = markdown()
    slides, block = [Slide()], []
    for token in parser.parse(path.read_text(encoding="utf-8")):
        block.append(token)
        if token.level or token.nesting == 1:
            continue
        _add(slides, block, parser)
        block = []
    return slides


def _add(slides: list[Slide], block: Sequence[Token], parser: MarkdownIt) -> None:
    """Put a block where it belongs: on a new slide, into the notes, or on the last."""
    first, slide = block[0], slides[-1]
    if first.type == "heading_open" and first.tag == "h2":
        heading = parser.renderer.render(block[1:-1], parser.options, {})
        slides.append(Slide(heading))
    elif first.type == "colon_fence":
        kind, name, options, text = _directive(first)
        if kind == "notes":
            slide.notes += parser.render(text)
        else:
            slide.pieces.append(Piece(kind, name, options, text.strip()))
    else:
        for token in block:
            if token.type == "list_item_open" and token.markup == "+":
                token.attrJoin("class", "fragment")
        slide.words += parser.renderer.render(block, parser.options, {})


def _directive(token: Token) -> tuple[str, str, dict[str, str], str]:
    """The kind, the name, the options and the text of a directive."""
    found = INFO.fullmatch(token.info.strip())
    kind, name = found.groups() if found else ("", token.info)
    if kind not in DIRECTIVES:
        raise ValueError(f"{token.info!r} is no directive; these are: {[*DIRECTIVES]}")
    lines = token.content.splitlines()
    options = {}
    while lines and (option := OPTION.fullmatch(lines[0])):
        options[option[1]] = option[2]
        lines = lines[1:]
    if unknown := options.keys() - DIRECTIVES[kind]:
        raise ValueError(f"{kind} {name} has no option {sorted(unknown)}")
    return kind, name, options, "\n".join(lines)
