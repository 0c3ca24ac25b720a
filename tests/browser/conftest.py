"""What the tests in a browser share: Chromium, offline, and what goes wrong in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])),
    None,
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
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


@pytest.fixture
def open_file(browser: Browser) -> Iterator[Opener]:
    """Return a function that opens a file and collects what went wrong on its page.

    Its other arguments say what the reader's system asks for, such as a colour scheme.
    """
    contexts = []

    def open_it(path: Path, **preferences: str) -> tuple[Page, list[str]]:
        context = browser.new_context(
            viewport={"width": 1280, "height": 900}, offline=True, **preferences
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
        page.goto(path.as_uri())
        page.evaluate(WAIT_FOR_MATHJAX)
        page.evaluate("() => document.fonts.ready.then(() => true)")
        return page, wrong

    yield open_it
    for context in contexts:
        context.close()


@pytest.fixture
def open_page(open_file: Opener, html: Path) -> Opener:
    """Return a function that opens a page of the book by its name."""

    def open_it(name: str, scheme: str = "light") -> tuple[Page, list[str]]:
        return open_file(html / f"{name}.html", color_scheme=scheme)

    return open_it
