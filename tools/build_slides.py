"""Write the slides: one deck a chapter, an index of them, and the pack of figures.

A deck is a single file that needs nothing else: reveal.js and MathJax, the figures, the
explorables and their scripts stand in it. Its text is in ``slides/``, what it shows
comes from the executed notebook.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import re
import sys
from collections.abc import Iterator
from html import escape, unescape
from pathlib import Path

import chapter_pieces
import deck_text
import figure_pack
import slides_in_book
import stamps
from build_book import HTML
from page_scripts import keep_scripts_once
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from slides_in_book import SLIDES

from stn_tutorial.course import svg
from stn_tutorial.course.quiz import Choice, Numeric
from stn_tutorial.data.embedded import CREDITS

TEXTS = stamps.ROOT / "slides"
REVEAL = stamps.ROOT / "node_modules" / "reveal.js" / "dist"
MATHJAX = "static/mathjax/tex-svg.js"
BOOK = "Spatial Transformers from the Grid Up"
LICENCE = f"{BOOK}, stn_tutorial contributors, CC BY 4.0 (code: BSD-3-Clause)"
STYLE = "a11y-high-contrast-light"
MNIST = "Digits: MNIST, by LeCun, Cortes and Burges, CC BY-SA 3.0."
DIGITS = re.compile(r"few_digits\(|load_digits\((?!.*embedded)")
PHOTOGRAPH = re.compile(r"photograph\(\s*[\"'](\w+)")
FIGURE_ID = re.compile(r"\bstn-\w+-[0-9a-f]{8}\b")
# From how many times as wide as high a picture stands below the words, not beside them.
WIDE = 1.75


def texts() -> list[Path]:
    """Return the decks' texts in the order of the chapters."""
    return sorted(TEXTS.glob("[0-9]*.md"))


def chapter_of(text: Path) -> chapter_pieces.Chapter:
    """Return the pieces of the chapter that a deck's text is about."""
    return chapter_pieces.Chapter(stamps.ROOT / "notebooks" / f"{text.stem}.ipynb")


def credits(chapter: chapter_pieces.Chapter) -> list[str]:
    """Return what must be written where pictures of a chapter are shown."""
    code = "\n".join(c.source for c in chapter.cells.values() if c.cell_type == "code")
    shown = [CREDITS[name] for name in CREDITS if name in PHOTOGRAPH.findall(code)]
    return shown + [MNIST] * bool(DIGITS.search(code))


def show(
    piece: deck_text.Piece, chapter: chapter_pieces.Chapter, place: int = 0
) -> str:
    """Return a piece of the chapter as HTML.

    Args:
        piece: what to show.
        chapter: that it is a piece of.
        place: the number of the slide, which an explorable's id gets: a deck may show
            the same one twice.

    Raises:
        KeyError: if the chapter has no such piece.
    """
    later = " fragment" if "fragment" in piece.options else ""
    lines = piece.options.get("lines", "")
    match piece.kind:
        case "figure":
            figure = chapter.figure(piece.name)
            image = chapter_pieces.picture(figure, address(figure))
            return f'<figure class="picture{later}">{image}</figure>'
        case "explorable":
            figure = FIGURE_ID.sub(rf"\g<0>-{place}", chapter.explorable(piece.name))
            return f'<div class="live" data-prevent-swipe>{figure}</div>'
        case "equation":
            tex = chapter.equation(piece.name).rstrip(" .,:;\n")
            tex = escape(tex, quote=False)
            return f'<div class="formula{later}">\\[{tex}\\]</div>'
        case "code":
            code = chapter.code(piece.name, lines)
            colours = HtmlFormatter(style=STYLE, nowrap=True, noclasses=True)
            code = highlight(code, PythonLexer(), colours).rstrip()
            return f'<pre class="code{later}">{code}</pre>'
        case "output":
            printed, shown = chapter.output(piece.name, lines)
            if part := piece.options.get("part"):
                printed, shown = "", shown[int(part) - 1 : int(part)]
            shown = "\n\n".join(shown)
            if printed:
                printed = escape(printed, quote=False)
                printed = f'<pre class="printed{later}">{printed}</pre>'
            table = deck_text.markdown().render(shown)
            return printed + (
                f'<div class="table{later}">{table}</div>' if shown else ""
            )
        case "quiz":
            questions = chapter.quiz(piece.name)
            number = int(piece.options.get("question", "1"))
            if number > len(questions):
                raise KeyError(f"the quiz {piece.name!r} has no question {number}")
            return _question(questions[number - 1], piece.text)
        case "exercises":
            rows = [_exercise(chapter.exercise(name)) for name in piece.name.split()]
            return f'<ul class="exercises">{"".join(rows)}</ul>'
    raise KeyError(f"nothing shows a piece of the kind {piece.kind!r}")


def address(figure: chapter_pieces.Figure) -> str:
    """Return a figure as the address that an image takes."""
    if not figure.svg:
        return f"data:image/png;base64,{figure.png}"
    text = svg.on_page(figure.svg) if svg.MARK in figure.svg else figure.svg
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def _question(question: Choice | Numeric, reason: str) -> str:
    """A question and its options; what is right, and why, appears afterwards."""
    if isinstance(question, Numeric):
        answers = ""
        right = f"<strong>{question.shown} {deck_text.inline(question.unit)}.</strong> "
        reason = reason or question.numbers[0].why
    else:
        items = "".join(
            f"<li{hidden(option.right)}>{deck_text.inline(option.answer)}</li>"
            for option in question.options
        )
        answers, right = f'<ol class="options">{items}</ol>', ""
        reason = reason or next(o.why for o in question.options if o.right)
    return (
        f"<p>{deck_text.inline(question.text)}</p>{answers}"
        f'<p class="why fragment">{right}{deck_text.inline(reason)}</p>'
    )


def hidden(is_hidden: bool) -> str:
    """Return the attribute of what appears when the speaker goes on."""
    return ' class="fragment"' if is_hidden else ""


def _exercise(line: str) -> str:
    title, _, rest = line.partition(" · ")
    rendered = deck_text.markdown().renderInline(title)
    return f"<li><b>{rendered}</b> <span>{escape(rest)}</span></li>"


#: The letters of code, in pixels of a slide: the smallest, the smallest beside a
#: figure, and the largest; and how wide each is in these.
SMALLEST, BESIDE, LARGEST, LETTER = 18, 21, 29, 0.602
#: What a slide has below its heading, and what stands between two columns.
WIDTH, HEIGHT, GAP = 1168, 574, 40
#: How wide a formula may be.
FORMULA = 620
CODE = re.compile(r"<pre.*?>(.*?)</pre>", re.DOTALL)
MATHS = re.compile(r'<div class="formula.*?</div>', re.DOTALL)
TAG = re.compile(r"<[^>]+>")
LINE = re.compile(r"<(?:li|p)\b")
#: What stands with the words of a slide; the rest is shown below or beside them.
WITH_WORDS = {"quiz", "exercises"}


def write_slide(
    slide: deck_text.Slide, chapter: chapter_pieces.Chapter, place: int
) -> str:
    """Return a slide as HTML: words and what is shown, below each other or beside."""
    words = slide.words + "".join(
        show(piece, chapter) for piece in slide.pieces if piece.kind in WITH_WORDS
    )
    others = [piece for piece in slide.pieces if piece.kind not in WITH_WORDS]
    figures = [piece for piece in others if piece.kind == "figure"]
    kinds = ["question"] * (slide.heading.endswith("?") or _has(slide, "quiz"))
    rest = "".join(
        _rows([each for each in others if each not in figures], chapter, place)
    )
    if column := _column(words + rest, figures, chapter):
        words, others = words + rest, figures
        kinds.append("beside")
    else:
        column = WIDTH
        kinds.append("below" if others else "text")
    size = _letters(words + rest * (others != figures), column, figures)
    body = f'<div class="words">{words}</div>' if words else ""
    if others:
        body += f'<div class="shown">{"".join(_rows(others, chapter, place))}</div>'
    notes = f'<aside class="notes">{slide.notes}</aside>' if slide.notes else ""
    return (
        f'<section class="{" ".join(kinds)}">\n<h2>{slide.heading}</h2>\n'
        f'<div class="body" style="--words: {column:.0f}px; --code: {size}px">'
        f"{body}</div>\n{notes}</section>"
    )


def _has(slide: deck_text.Slide, kind: str) -> bool:
    return any(piece.kind == kind for piece in slide.pieces)


def _rows(
    pieces: list[deck_text.Piece], chapter: chapter_pieces.Chapter, place: int = 0
) -> Iterator[str]:
    """The pieces one below the other; figures that follow each other share a row."""
    row: list[str] = []
    for piece in [*pieces, None]:
        if piece and piece.kind == "figure":
            row.append(show(piece, chapter))
            continue
        if row:
            yield f'<div class="row">{"".join(row)}</div>'
            row = []
        if piece:
            yield show(piece, chapter, place)


def _column(
    words: str, figures: list[deck_text.Piece], chapter: chapter_pieces.Chapter
) -> float:
    """How wide the words beside figures are; 0 if they stand above them."""
    aspect = sum(shape(chapter.figure(piece.name)) for piece in figures)
    if not words or not figures or aspect > WIDE:
        return 0
    left = WIDTH - GAP - min(0.62 * WIDTH, aspect * HEIGHT)
    if "formula" in words and left < FORMULA:
        return 0
    longest = max(map(len, _lines(words)), default=0)
    return left if BESIDE * LETTER * longest + 40 <= left else 0


def _letters(shown: str, width: float, figures: list[deck_text.Piece]) -> int:
    """How many pixels the letters of a slide's code may have."""
    lines = _lines(shown)
    if not lines:
        return LARGEST
    taken = 53 * len(LINE.findall(shown)) + 45 * len(CODE.findall(shown))
    for formula in MATHS.findall(shown):
        taken += min(360, 140 + 110 * formula.count(r"\\"))
    taken += 270 * bool(figures and width == WIDTH)
    wide = (width - 40) / (LETTER * max(map(len, lines)))
    high = (HEIGHT - taken) / (1.4 * len(lines))
    return int(max(SMALLEST, min(LARGEST, wide, high)))


def _lines(shown: str) -> list[str]:
    """The lines of code and of what is printed."""
    blocks = [TAG.sub("", unescape(block)) for block in CODE.findall(shown)]
    return [line for block in blocks for line in block.splitlines()]


def shape(figure: chapter_pieces.Figure) -> float:
    """Return how many times as wide as high a figure is; pictures count as squares."""
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', figure.svg[:2000])
    return float(found[1]) / float(found[2]) if found else 1.0


def write_deck(text: Path, chapter: chapter_pieces.Chapter) -> str:
    """Return the deck of a text, as the HTML of a page that needs nothing else.

    Raises:
        KeyError: if it names a piece that its chapter does not have.
        ValueError: if a directive is wrong.
    """
    first, *rest = deck_text.read_deck(text)
    number = int(text.name[:2])
    place = f"{BOOK} · chapter {number}" if number else BOOK
    notes = f'<aside class="notes">{first.notes}</aside>' if first.notes else ""
    shown = "".join(_rows(first.pieces, chapter))
    licence = " ".join([f"{LICENCE}.", *credits(chapter)])
    title = (
        f'<section class="title">\n<p class="book">{place}</p>\n'
        f"<h1>{escape(chapter.title)}</h1>\n"
        f'<div class="body"><div class="words">{first.words}</div>'
        f'<div class="shown">{shown}</div></div>\n'
        f'<p class="licence">{escape(licence)}</p>{notes}</section>'
    )
    shown = [write_slide(slide, chapter, k) for k, slide in enumerate(rest, start=2)]
    slides = "\n".join([title, *shown])
    return PAGE.format(
        title=escape(f"{chapter.title}: slides"),
        style=_style(),
        scripts=_scripts(),
        slides=keep_scripts_once(slides),
    )


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div class="reveal"><div class="slides">
{slides}
</div></div>
{scripts}
</body>
</html>
"""


def _style() -> str:
    files = [REVEAL / "reset.css", REVEAL / "reveal.css", TEXTS / "deck.css"]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def _scripts() -> str:
    """reveal.js, its speaker's view and zoom, what starts the deck, and MathJax."""
    package = importlib.util.find_spec("sphinx-mathjax-offline")
    mathjax = Path(package.submodule_search_locations[0]) / MATHJAX
    files = [REVEAL / "reveal.js", REVEAL / "plugin" / "notes.js"]
    files += [REVEAL / "plugin" / "zoom.js", TEXTS / "deck.js", mathjax]
    return "\n".join(f"<script>{_script(path)}</script>" for path in files)


def _script(path: Path) -> str:
    """A script that can stand in a page: without a map, and without ending it."""
    text = path.read_text(encoding="utf-8").partition("//# sourceMappingURL=")[0]
    return text.replace("</script", r"<\/script").replace("<!--", r"<\!--")


def write_index(folder: Path) -> None:
    """Write the page that lists the decks, and says how to use them."""
    rows = []
    for text in texts():
        chapter = chapter_of(text)
        name, count = f"{text.stem}.html", len(deck_text.read_deck(text))
        rows.append(
            f'<li><a href="{name}">{escape(chapter.title)}</a> '
            f"<span>{count} slides</span></li>"
        )
    page = (TEXTS / "index.html").read_text(encoding="utf-8")
    page = page.replace("<!-- decks -->", "\n".join(rows))
    (folder / "index.html").write_text(page, encoding="utf-8")


def build(only: str = "", *, pack: bool = True) -> Iterator[str]:
    """Write the decks, their index and the pack; yield a line on each.

    Raises:
        FileNotFoundError: if npm has not fetched reveal.js.
    """
    SLIDES.mkdir(parents=True, exist_ok=True)
    for text in texts():
        if only in text.stem:
            page = write_deck(text, chapter_of(text))
            path = SLIDES / f"{text.stem}.html"
            path.write_text(page, encoding="utf-8")
            yield f"{path}: {len(page.encode()) / 1e6:.1f} MB"
    write_index(SLIDES)
    if pack:
        yield figure_pack.write(SLIDES / "figures.zip")
    if (HTML / "index.html").is_file():
        slides_in_book.put(HTML)
        yield f"The book has them in {HTML / 'slides'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="decks whose name contains this")
    parser.add_argument("--no-pack", action="store_true", help="write no figures.zip")
    options = parser.parse_args()
    try:
        for line in build(options.only, pack=not options.no_pack):
            print(line)
    except FileNotFoundError as error:
        print(f"{error.filename} is missing: npm ci", file=sys.stderr)
        return 1
    except (KeyError, ValueError) as error:
        print(*error.args, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
