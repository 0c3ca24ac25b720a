"""The decks: one a chapter, of what the chapter has, with questions to ask."""

from __future__ import annotations

import re
from functools import cache

import build_slides
import deck_text
import pytest
import slides_in_book
import stamps
from bs4 import BeautifulSoup
from page_scripts import keep_scripts_once

TEXTS = build_slides.texts()
every_deck = pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem[:2])
EXPLORABLE = re.compile(r'class="stn-explore" id="(stn-\w+-[0-9a-f]{8})"')


@pytest.fixture(scope="module")
def chapters():
    return {text: build_slides.chapter_of(text) for text in TEXTS}


def test_every_chapter_has_a_deck():
    notebooks = [path.stem for path in stamps.notebook_paths()]
    assert [text.stem for text in TEXTS] == notebooks


@every_deck
def test_a_deck_has_what_a_session_needs(text):
    slides = deck_text.read_deck(text)
    assert 20 <= len(slides) <= 30
    kinds = [[piece.kind for piece in slide.pieces] for slide in slides]
    assert "figure" in kinds[0], "a picture comes first"
    assert slides[0].words.strip().endswith("?</p>"), "and with it a question"
    assert "exercises" in kinds[-1], "exercises come last"
    assert sum("quiz" in each for each in kinds) >= 2
    assert all(slide.notes for slide in slides)
    for first, second, third in zip(slides, slides[1:], slides[2:]):
        asked = [slide.notes.count("?") for slide in (first, second, third)]
        assert any(asked), f"nothing to ask around {second.heading!r}"


@every_deck
def test_what_a_deck_names_is_in_its_chapter(text, chapters):
    missing = []
    for slide in deck_text.read_deck(text):
        for piece in slide.pieces:
            try:
                shown = build_slides.show(piece, chapters[text])
            except KeyError as error:
                missing.append(error.args[0])
            else:
                assert BeautifulSoup(shown, "html.parser").find()
    assert not missing, "renamed, or not executed: see CONTRIBUTING, *Write a deck*"


@pytest.fixture(scope="module")
def page_of(chapters):
    """A function that writes a deck once."""
    return cache(lambda text: build_slides.write_deck(text, chapters[text]))


@every_deck
def test_every_explorable_of_a_chapter_is_live_in_its_deck(text, chapters, page_of):
    outputs = [
        output["data"].get("text/html", "")
        for cell in chapters[text].cells.values()
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    page = page_of(text)
    shown = {name.rpartition("-")[0] for name in re.findall(r'id="(stn-\S+?)"', page)}
    assert set(EXPLORABLE.findall("".join(outputs))) == shown
    scripts = re.findall(r'<script data-stn="([\w.]+)">', page)
    assert len(scripts) == len(set(scripts))


@every_deck
def test_a_deck_is_a_page_that_needs_nothing_else(text, page_of):
    page = re.sub(r"(<script)>.*?</script>", r"\1>", page_of(text), flags=re.DOTALL)
    assert not re.search(r"<(?:link|iframe|script[^>]* src)\b", page)
    for source in re.findall(r'<img[^>]* src="(.{12})', page):
        assert source.startswith("data:image/")
    assert all(len(alt) > 20 for alt in re.findall(r'<img[^>]* alt="([^"]*)"', page))
    assert page.count("<section ") == len(deck_text.read_deck(text))


DECK = """\
Where?

:::{notes}
Ask.
:::

## A *heading*, and $x_i < 1$

- said at once
+ said later

:::{figure} fig-it
:fragment:
:::

:::{quiz} abc
Because.
:::
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "deck.md"
        path.write_text(text, encoding="utf-8")
        return deck_text.read_deck(path)

    return read


def test_a_text_becomes_slides(read):
    title, slide = read(DECK)
    assert (title.words, title.notes) == ("<p>Where?</p>\n", "<p>Ask.</p>\n")
    heading = BeautifulSoup(slide.heading, "html.parser")
    assert heading.get_text() == r"A heading, and \(x_i < 1\)" and heading.em
    points = BeautifulSoup(slide.words, "html.parser").find_all("li")
    assert [point.get("class") for point in points] == [None, ["fragment"]]
    figure, quiz = slide.pieces
    assert figure == deck_text.Piece("figure", "fig-it", {"fragment": ""})
    assert (quiz.name, quiz.text) == ("abc", "Because.")


def test_what_is_no_directive_is_refused(read):
    with pytest.raises(ValueError, match="'{figur} fig-it' is no directive"):
        read("## A\n\n:::{figur} fig-it\n:::\n")
    with pytest.raises(ValueError, match=r"figure fig-it has no option \['lines'\]"):
        read("## A\n\n:::{figure} fig-it\n:lines: 1\n:::\n")


@pytest.mark.parametrize("kind", sorted(deck_text.DIRECTIVES.keys() - {"notes"}))
def test_a_name_that_is_nowhere_is_told(kind, chapters):
    with pytest.raises(KeyError, match="nowhere"):
        build_slides.show(deck_text.Piece(kind, "nowhere"), chapters[TEXTS[1]])


def test_code_is_found_by_name_and_by_lines(chapters):
    code = chapters[TEXTS[1]].code("to_normalized_1d")
    assert code.startswith("def to_normalized_1d(") and "print" not in code
    *_, last = code.splitlines()
    lines = len(code.splitlines())
    alone = chapters[TEXTS[1]].code("to_normalized_1d", f"{lines}")
    assert alone == last.strip()


def test_an_equation_is_the_one_of_its_label(chapters):
    """Between it and its label stands no other one."""
    for chapter in chapters.values():
        for name in re.findall(r"\$\$ \((eq-[\w-]+)\)", chapter.text):
            tex = chapter.equation(name)
            assert "$" not in tex and tex.count(r"\begin") == tex.count(r"\end")


@pytest.mark.parametrize("made", [True, False])
def test_the_book_has_the_slides_or_says_how_to_make_them(monkeypatch, tmp_path, made):
    (tmp_path / "made").mkdir()
    if made:
        (tmp_path / "made" / "index.html").write_text("decks")
    monkeypatch.setattr(slides_in_book, "SLIDES", tmp_path / "made")
    (tmp_path / "html").mkdir()
    slides_in_book.put(tmp_path / "html")
    page = (tmp_path / "html" / "slides" / "index.html").read_text(encoding="utf-8")
    assert (page == "decks") == made and ("make slides" in page) != made


def test_a_script_stays_once():
    one = '<script data-stn="a.js">1</script>\n'
    other = '<style data-stn="a.css">2</style>\n'
    assert keep_scripts_once(one + other + one + other) == one + other
