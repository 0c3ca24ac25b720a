"""A word, a figure, an equation and a paper are shown where they are mentioned."""

from __future__ import annotations

import json
import re

import hover
import pytest
import stamps

HTML = stamps.ROOT / "_build" / "html"
KINDS = {
    "a word": ("a.glossary", "dd, p"),
    "an equation": ('a.reference[href^="#equation"]', "mjx-container"),
    "a figure": ('a.reference[href^="#fig-"]', "figure img"),
    "a paper": ('a.reference[href*="bibliography.html#"]', ".citation"),
}


@pytest.fixture(scope="module")
def chapter(open_for_all, html):
    page, wrong = open_for_all(html / "notebooks" / "02_read_between_the_pixels.html")
    page.wait_for_function("() => document.querySelector('a.glossary')?._tippy")
    return page, wrong


def tips() -> dict[str, dict[str, str]]:
    """The tips of each page: from the selector of a link to what is shown."""
    found = {}
    for path in sorted((HTML / "_static" / "tippy").rglob("*.js")):
        text = path.read_text(encoding="utf-8")
        if match := re.match(r"selector_to_html = (\{.*\})$", text, re.MULTILINE):
            found[path.name.split(".")[0]] = json.loads(match[1])
    return found


@pytest.mark.parametrize("how", ["pointer", "keyboard"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_link_leads_to_is_shown_beside_it(chapter, kind, how):
    selector, shown = KINDS[kind]
    page, wrong = chapter
    link = page.locator(f"article {selector}:visible").first
    tip = page.locator(".tippy-box")
    link.scroll_into_view_if_needed()
    if how == "pointer":
        link.hover()
    else:
        link.focus()
    tip.locator(shown).first.wait_for()
    box, width = tip.bounding_box(), page.viewport_size["width"]
    assert 0 <= box["x"] and box["x"] + box["width"] <= width
    for image in tip.locator("img:visible").all():
        assert image.evaluate("img => img.decode().then(() => img.naturalWidth)")
    page.mouse.move(0, 0)
    link.evaluate("link => link.blur()")
    tip.first.wait_for(state="detached")
    assert not wrong


def test_every_chapter_links_the_words_it_needs_once():
    pages = [path for path in tips() if re.match(r"\d\d_", path)]
    assert len(pages) >= len(stamps.notebook_paths())
    for path in stamps.notebook_paths():
        text = (HTML / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8")
        linked = re.findall(r'class="glossary[^"]*" href="[^"]*#(term-[^"]+)"', text)
        assert len(linked) >= 4, path.stem
        assert len(set(linked)) == len(linked), path.stem


def test_tips_hold_no_figure_that_answers_to_the_hand_and_stay_small():
    for page, shown in tips().items():
        if page[:2].isdigit():
            assert sum(map(len, shown.values())) < 100_000, page
        assert not any("stn-explore" in tip for tip in shown.values()), page


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The base grid and a grid", ["base grid", "grid"]),
        ("Grids, grids and a GRID", ["grid"]),
        ("a gridded base-grid, subgrid", []),
        ("Samplers sample", ["sampler"]),
    ],
)
def test_a_word_is_linked_where_it_is_mentioned_first(text, words):
    pattern = hover.pattern_of(["grid", "base grid", "sampler"])
    pieces = list(hover.split_at_words(text, pattern, set()))
    assert "".join(piece for piece, _ in pieces) == text
    assert [word for _, word in pieces if word] == words
