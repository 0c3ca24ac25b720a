"""What the tests in a browser share: Chromium, offline, and what goes wrong in it."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from print_book import FLAGS, find_chromium

CHROMIUM = find_chromium()
DESKTOP = {"width": 1280, "height": 900}
# Mathematics is set when its promise resolves; a page without any has no MathJax.
WAIT_FOR_MATHJAX = "() => window.MathJax?.startup?.promise?.then(() => true) ?? true"
# What changes, changes at once: a page that nobody sees may never end a transition.
AT_ONCE = """addEventListener("DOMContentLoaded", () => {
  const style = document.createElement("style");
  style.textContent = "*, *::before, *::after { transition: none !important; }";
  document.head.append(style);
})"""
# Whether the theme has noticed which scheme is asked for.
IN_SCHEME = "scheme => document.documentElement.dataset.theme === scheme"
# Of each figure: its state, and all that its reader meets, in words and controls.
FIGURES = """[...document.querySelectorAll(".stn-live")].map(live => [
  live.model.all(),
  live.outerHTML,
  ...[...live.querySelectorAll("button, input, select, details")].map(
    each => [each.value, each.checked, each.disabled, each.open]),
])"""
NOTE = f"() => {{ globalThis.asOpened = JSON.stringify({FIGURES}) }}"
# Whether the figures of a page could be set back to what was noted.
SET_BACK = f"""async () => {{
  const frame = () => new Promise(requestAnimationFrame);
  const first = JSON.parse(globalThis.asOpened ?? "[]");
  const lives = document.querySelectorAll(".stn-live");
  if (!lives.length || lives.length !== first.length) return false;
  document.activeElement.blur();
  lives.forEach((live, k) => live.model?.set(first[k][0]));
  window.scrollTo(0, 0);
  await frame();
  await frame();
  return JSON.stringify({FIGURES}) === globalThis.asOpened;
}}"""

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
    """Return a function that turns to a page of the book, and looks at it anew.

    The page is opened, in a light room, if another one was before: tests of one page
    that follow each other share it, and must leave it as they found it. Then the window
    is as large, and the room as light, as the test asks for. All that went wrong since
    the page was opened is told.
    """
    page = new_page(browser, color_scheme="light")
    page.add_init_script(AT_ONCE)
    wrong, shown = watch(page), ""

    def turn(name: str, scheme: str = "light", size=DESKTOP) -> tuple[Page, list[str]]:
        nonlocal shown
        if name != shown:
            page.set_viewport_size(DESKTOP)
            page.emulate_media(color_scheme="light")
            # Whatever the page before still asked for, it ends.
            page.goto("about:blank")
            wrong.clear()
            visit(page, html / f"{name}.html")
            shown = name
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(IN_SCHEME, arg=scheme, polling=20)
        page.evaluate("window.scrollTo(0, 0)")
        return page, wrong

    return turn


@pytest.fixture(scope="session")
def come_back(browser: Browser) -> Opener:
    """Return a function that opens a file with figures in a page that is kept.

    Window, motion and medium are a new reader's again. A file that is open already, and
    where nothing went wrong, is not opened anew, which is faster, if its figures can be
    set back to all that they were.
    """

    page = new_page(browser)
    wrong, shown = watch(page), None

    def come(path: Path) -> tuple[Page, list[str]]:
        nonlocal shown
        page.set_viewport_size(DESKTOP)
        page.emulate_media(media="screen", reduced_motion="no-preference")
        page.mouse.move(0, 0)
        if path != shown or wrong or not page.evaluate(SET_BACK):
            page.goto("about:blank")
            wrong.clear()
            visit(page, path)
            page.evaluate(NOTE)
            shown = path
        return page, wrong

    return come


@pytest.fixture(scope="session")
def camera(browser: Browser) -> Page:
    """A page that is kept to take pictures in, twice as fine as a plain screen."""
    return new_page(browser, device_scale_factor=2)


@pytest.fixture(scope="session")
def without_scripts(browser: Browser) -> Page:
    """A page that is kept, of a reader whose browser runs no scripts."""
    return new_page(browser, java_script_enabled=False)


@pytest.fixture(scope="session")
def jupyterlab(tmp_path_factory) -> Iterator[Callable[[str, dict], str]]:
    """Return a function that puts a notebook into a JupyterLab, and says where."""
    folder = tmp_path_factory.mktemp("lab")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(8)
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    command += ["--LabApp.news_url=", "--ServerApp.ip=127.0.0.1"]
    command += ["--LabApp.expose_app_in_browser=True"]
    homes = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    homes += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    environment = {**os.environ, **{name: str(folder / name) for name in homes}}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"

    def serve(name: str, notebook: dict) -> str:
        notebook = nbformat.from_dict(notebook)
        kernel = {"name": "python3", "display_name": "Python 3"}
        notebook.metadata["kernelspec"] = kernel
        nbformat.write(notebook, folder / f"{name}.ipynb")
        return f"{address}/lab/tree/{name}.ipynb?token={token}&reset"

    try:
        while True:  # until it answers, or ends
            assert server.poll() is None, (folder / "log").read_text()
            try:
                urllib.request.urlopen(f"{address}/api?token={token}", timeout=5)
                break
            except OSError:
                time.sleep(0.2)
        yield serve
    finally:
        server.terminate()
        server.wait()
