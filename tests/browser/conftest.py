"""What the tests in a browser share: Chromium, offline, and what goes wrong in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from print_book import FLAGS, find_chromium

CHROMIUM = find_chromium()
DESKTOP = {"width": 1280, "height": 900}
# Mathematics is set when its promise resolves; a page without any has no MathJax.
WAIT_FOR_MATHJAX = "() => window.MathJax?.startup?.promise?.then(() => true) ?? true"

Opener = Callable[..., tuple[Page, list[str]]]


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


def watch(page: Page) -> list[str]:
    """Return a list that grows by what goes wrong on a page."""
    wrong = []

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
    return wrong


def visit(page: Page, path: Path) -> None:
    """Open a file, and wait until all of it can be seen."""
    page.goto(path.as_uri())
    page.evaluate(WAIT_FOR_MATHJAX)
    page.evaluate("() => document.fonts.ready.then(() => true)")


def new_page(browser: Browser, **preferences: Any) -> Page:
    """Return the page of a reader who has never been here, and is offline."""
    context = browser.new_context(offline=True, **{"viewport": DESKTOP, **preferences})
    return context.new_page()


@contextmanager
def opener(browser: Browser) -> Iterator[Opener]:
    """A function that opens a file and collects what went wrong on its page."""
    pages = []

    def open_it(path: Path, **preferences: Any) -> tuple[Page, list[str]]:
        page = new_page(browser, **preferences)
        pages.append(page)
        wrong = watch(page)
        visit(page, path)
        return page, wrong

    yield open_it
    for page in pages:
        page.context.close()


@pytest.fixture
def open_file(browser: Browser) -> Iterator[Opener]:
    """Return a function that opens a file and collects what went wrong on its page.

    Its other arguments say what the reader's system asks for, such as a colour scheme.
    """
    with opener(browser) as open_it:
        yield open_it


@pytest.fixture(scope="module")
def open_for_all(browser: Browser) -> Iterator[Opener]:
    """Return what `open_file` returns, for a page that the tests of a module share."""
    with opener(browser) as open_it:
        yield open_it


@pytest.fixture
def open_page(open_file: Opener, html: Path) -> Opener:
    """Return a function that opens a page of the book by its name."""
    return lambda name: open_file(html / f"{name}.html", color_scheme="light")


@pytest.fixture(scope="session")
def turn_to(browser: Browser, html: Path) -> Opener:
    """Return a function that opens a page where the one before it was, which is faster.

    There is a reader for each colour scheme, who leaves the pages as they are.
    """

    @cache
    def reader(scheme: str) -> tuple[Page, list[str]]:
        page = new_page(browser, color_scheme=scheme)
        return page, watch(page)

    def turn(name: str, scheme: str = "light") -> tuple[Page, list[str]]:
        page, wrong = reader(scheme)
        page.goto("about:blank")  # whatever the page before still asked for, it ends
        page.set_viewport_size(DESKTOP)
        wrong.clear()
        visit(page, html / f"{name}.html")
        return page, wrong

    return turn


@pytest.fixture(scope="session")
def come_back(browser: Browser) -> Opener:
    """Return a function that opens a file anew in a page that is kept, which is faster.

    Window, colour scheme, motion and medium are a new reader's again.
    """

    @cache
    def reader() -> tuple[Page, list[str]]:
        page = new_page(browser)
        return page, watch(page)

    def come(path: Path) -> tuple[Page, list[str]]:
        page, wrong = reader()
        page.goto("about:blank")
        page.set_viewport_size(DESKTOP)
        page.emulate_media(media="screen", reduced_motion="no-preference")
        page.mouse.move(0, 0)
        wrong.clear()
        visit(page, path)
        return page, wrong

    return come
