"""Chromium opens every page from disk, with the network off, and finds it complete."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

import build_book
import pytest
import stamps
from playwright.sync_api import Page

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
PAGES = build_book.pages_in_toc()
NOTEBOOKS = [page for page in PAGES if page.startswith("notebooks/")]
MODULES = [page for page in PAGES if page.startswith("book/api/")]
CHAPTERS = {page.partition("_")[2] for page in NOTEBOOKS}
NOTES = [page for page in PAGES if page.removeprefix("book/teach/") in CHAPTERS]
# For teachers, on each chapter: two of them have all that the others have.
OTHER_NOTES = set(NOTES) - {
    "book/teach/derive_the_gradients_by_hand",
    "book/teach/when_transformers_fail",
}
INDICES = ["_modules/index", "genindex", "search"]
EACH_KIND = {PAGES[0], NOTEBOOKS[0], MODULES[0], "book/glossary", "book/playground"}
BOTH = {"book/api/families", "book/api/data"}  # of a module, and of a storey
LONG = pytest.mark.long
# How far the page can be pushed sideways, and what sticks out of it.
PUSHED = """() => {
  window.scrollTo(10000, 0);
  const pushed = Math.max(window.scrollX, document.body.scrollLeft);
  window.scrollTo(0, 0);
  const root = document.documentElement;
  return Math.max(pushed, root.scrollWidth - root.clientWidth);
}"""
STICKING_OUT = """() => {
  const scrolls = e => getComputedStyle(e).overflowX !== 'visible';
  const boxed = e => e.parentElement.closest('main')
    && (scrolls(e.parentElement) || boxed(e.parentElement));
  return [...document.querySelectorAll('main article *')]
    .filter(e => e.getBoundingClientRect().right > window.innerWidth && !boxed(e))
    .slice(0, 5).map(e => e.outerHTML.slice(0, 120));
}"""


# What stands in the way of those who can't see a page, or not well.
# It reads no style sheets by itself: a page from disk may not.
# A scheme changes the colours alone, so the rest is looked for in one; and the pages of
# the modules, which have one template, share their colours. Code is coloured alike on
# every page, and takes longest: but on one page it is taken out meanwhile.
VIOLATIONS = """async ([rules, code]) => {
  const out = [...document.querySelectorAll(code ? "nothing" : ".highlight pre")];
  const kept = out.map((pre) => [pre, ...pre.childNodes]);
  out.forEach((pre) => pre.replaceChildren());
  const found = await axe.run({
    preload: false,
    resultTypes: ["violations"],
    ...(rules.length ? {runOnly: {type: "rule", values: rules}} : {}),
  });
  kept.forEach(([pre, ...nodes]) => pre.replaceChildren(...nodes));
  return found.violations
    .filter((v) => ["serious", "critical"].includes(v.impact))
    .map((v) => `${v.id}: ${v.nodes.length}, ${v.nodes[0].html.slice(0, 200)}`);
}"""


@pytest.fixture(scope="session")
def axe() -> str:
    """The script that looks for such things, if Node's packages are there."""
    path = stamps.ROOT / "node_modules" / "axe-core" / "axe.min.js"
    if not path.is_file():
        if os.environ.get("CI"):
            pytest.fail("axe-core is missing: npm ci")
        pytest.skip("axe-core is missing: npm ci")
    return path.read_text(encoding="utf-8")


def check(page: Page, wrong: list[str]) -> None:
    """Assert that an opened page is silent, typeset, and fits its window."""
    assert page.locator("mjx-merror").count() == 0
    if page.locator("main .math").count():
        assert page.locator("mjx-container").count() > 0
    for viewport in (DESKTOP, PHONE):
        page.set_viewport_size(viewport)
        pushed = page.evaluate(PUSHED)
        assert pushed == 0, (viewport, page.evaluate(STICKING_OUT))
    assert not wrong


def but_for(left_out: Collection[str], names: Collection[str]) -> list:
    """The names, of which some are left to the long form: others stand for them."""
    return [pytest.param(n, marks=LONG) if n in left_out else n for n in names]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", but_for(OTHER_NOTES, PAGES))
def test_a_page_is_complete_offline(turn_to, name, scheme):
    page, wrong = turn_to(name, scheme)
    check(page, wrong)
    assert page.locator(".search-button-field").count() == 1
    assert page.locator("html").get_attribute("data-theme") == scheme
    assert len(page.locator("main h1").first.inner_text()) > 3
    if page.locator("main .cell_input").count():
        cells = page.locator("main .cell_input").count()
        assert page.locator("main .cell_input .copybtn").count() == cells


@pytest.mark.parametrize("name", but_for(set(PAGES) - EACH_KIND, PAGES))
def test_a_page_opens_complete_in_a_dark_room(open_file, html, name):
    """Above, the room goes dark around an open page; here it was before."""
    page, wrong = open_file(html / f"{name}.html", color_scheme="dark")
    check(page, wrong)
    assert page.locator("html").get_attribute("data-theme") == "dark"


@pytest.mark.parametrize(
    "name", but_for({*MODULES, *OTHER_NOTES} - BOTH, [*PAGES, *INDICES])
)
def test_nothing_stands_in_the_way_of_screen_readers(turn_to, axe, name):
    page, wrong = turn_to(name)
    page.evaluate(axe)
    assert page.evaluate(VIOLATIONS, [[], name == NOTEBOOKS[0]]) == []
    assert not wrong


@pytest.mark.parametrize(
    "name", but_for({*MODULES, *OTHER_NOTES} - BOTH, [*PAGES, *INDICES])
)
def test_words_stand_out_in_a_dark_room(turn_to, axe, name):
    page, wrong = turn_to(name, "dark")
    page.evaluate(axe)
    code = name == NOTEBOOKS[0]
    assert page.evaluate(VIOLATIONS, [["color-contrast"], code]) == []
    assert not wrong


def generated(html: Path) -> dict[str, str]:
    """What nobody wrote, by name: indices, and the source of each module."""
    found = {
        path.relative_to(html).with_suffix("").as_posix(): path
        for path in html.rglob("*.html")
        if not {"_static", "slides"} & {*path.relative_to(html).parts}
    }
    names = sorted(set(found) - {"index", *PAGES})
    return {name: found[name].read_text(encoding="utf-8") for name in names}


def extremes(sources: dict[str, str]) -> set[str]:
    """The sources that are longest, have the widest line, and the longest name."""

    def widest(name: str) -> int:
        return max(map(len, re.sub("<.*?>", "", sources[name]).splitlines()))

    measures = (len, widest, lambda name: len(sources[name]))
    return {max(sources, key=measure) for measure in measures}


@pytest.mark.parametrize("all_of_them", [False, pytest.param(True, marks=LONG)])
def test_generated_pages_are_complete_offline(turn_to, html, all_of_them):
    pages = generated(html)
    sources = {name: text for name, text in pages.items() if "/stn_tutorial/" in name}
    assert len(sources) > 20
    left_out = set() if all_of_them else set(sources) - extremes(sources)
    for name in pages:
        if name not in left_out:
            check(*turn_to(name))


def test_the_index_opens_the_landing_page(open_page, html):
    page, wrong = open_page("search")
    page.goto((html / "index.html").as_uri(), wait_until="commit")
    page.wait_for_url(f"**/{PAGES[0]}.html")
    assert not wrong


def test_the_theme_can_be_switched(open_page):
    page, wrong = open_page(PAGES[0])
    modes = []
    for _ in range(3):
        page.locator(".theme-switch-button").last.click()
        modes.append(page.locator("html").get_attribute("data-mode"))
    assert set(modes) == {"auto", "dark", "light"}
    assert not wrong


def test_the_search_finds_a_word_offline(open_page):
    page, wrong = open_page("search")
    page.goto(page.url + "?q=grid")
    page.wait_for_selector("#search-results li")
    assert not wrong


def test_a_folded_solution_opens(open_page):
    page, wrong = open_page(NOTEBOOKS[0])
    solution = page.locator(".cell.tag_solution").first
    assert not solution.locator("pre").first.is_visible()
    solution.locator("summary").click()
    assert solution.locator("pre").first.is_visible()
    assert not wrong
