"""Chromium opens every page from disk, with the network off, and finds it complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import build_book
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])),
    None,
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
PAGES = build_book.pages_in_toc()
# Mathematics is set when its promise resolves; a page without any has no MathJax.
WAIT_FOR_MATHJAX = "() => window.MathJax?.startup?.promise?.then(() => true) ?? true"
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


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        reason = "no Chromium found: install Debian's package chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, html: Path):
    """Return a function that opens a page and collects what went wrong on it."""
    contexts = []

    def open_it(name: str, scheme: str = "light") -> tuple[Page, list[str]]:
        context = browser.new_context(
            viewport=DESKTOP, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page, wrong = context.new_page(), []

        def note_request(request) -> None:
            if not request.url.startswith(("file:", "data:", "blob:", "about:")):
                wrong.append(f"asked for {request.url}")

        def note_message(message) -> None:
            if message.type in ("error", "warning"):
                wrong.append(f"{message.type}: {message.text}")

        page.on("console", note_message)
        page.on("pageerror", lambda error: wrong.append(f"page error: {error}"))
        page.on("request", note_request)
        page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
        page.goto((html / f"{name}.html").as_uri())
        page.evaluate(WAIT_FOR_MATHJAX)
        page.evaluate("() => document.fonts.ready.then(() => true)")
        return page, wrong

    yield open_it
    for context in contexts:
        context.close()


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_complete_offline(open_page, name, scheme):
    page, wrong = open_page(name, scheme)
    check(page, wrong)
    assert page.locator(".search-button-field").count() == 1
    assert page.locator("html").get_attribute("data-theme") == scheme
    assert len(page.locator("main h1").first.inner_text()) > 3
    if page.locator("main .cell_input").count():
        cells = page.locator("main .cell_input").count()
        assert page.locator("main .cell_input .copybtn").count() == cells


def test_generated_pages_are_complete_offline(open_page, html):
    generated = {
        path.relative_to(html).with_suffix("").as_posix()
        for path in html.rglob("*.html")
        if "_static" not in path.relative_to(html).parts
    }
    for name in sorted(generated - {"index", *PAGES}):
        check(*open_page(name))


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
    chapter = next(page for page in PAGES if page.startswith("notebooks/"))
    page, wrong = open_page(chapter)
    solution = page.locator(".cell.tag_solution").first
    assert not solution.locator("pre").first.is_visible()
    solution.locator("summary").click()
    assert solution.locator("pre").first.is_visible()
    assert not wrong
