"""Print the rendered book into one PDF, with an outline: Chromium and pypdf.

Every page is printed as a browser prints it, from disk and offline: formulas are set,
figures are their stills, solutions stay folded.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import build_book
import stamps
from playwright.sync_api import Browser, Page, sync_playwright
from pypdf import PdfReader, PdfWriter

PDF = stamps.ROOT / "_build" / "spatial-transformers-from-the-grid-up.pdf"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SHEET = {
    "format": "A4",
    "scale": 0.72,
    "print_background": True,
    "margin": {"top": "16mm", "bottom": "16mm", "left": "14mm", "right": "14mm"},
}
READY = """() => Promise.all([
    window.MathJax?.startup?.promise,
    document.fonts.ready,
    ...[...document.images].map(image => {
        image.loading = "eager";
        return image.decode().catch(() => null);
    }),
]).then(() => true)"""


def print_page(page: Page, path: Path) -> tuple[str, PdfReader]:
    """Return the title of a page of the book, and the page as PDF."""
    page.goto(path.as_uri())
    page.emulate_media(media="print", color_scheme="light")
    page.evaluate(READY)
    title = page.evaluate("() => document.querySelector('article h1').innerText")
    return title.strip().removesuffix("#"), PdfReader(io.BytesIO(page.pdf(**SHEET)))


def find_chromium() -> str | None:
    """Return the path of the first Chromium that this machine has, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, for as long as it is needed.

    Raises:
        RuntimeError: if there is none.
    """
    found = find_chromium()
    if found is None:
        raise RuntimeError("No Chromium found: install Debian's package chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


def print_book(browser: Browser, names: list[str], html: Path, target: Path) -> int:
    """Print pages of the book, in order, into one file.

    Args:
        browser: Chromium, which alone can print.
        names: of the pages, without suffix.
        html: the folder of the rendered book.
        target: is written.

    Returns:
        The number of sheets.
    """
    whole = PdfWriter()
    context = browser.new_context(offline=True)
    page = context.new_page()
    for name in names:
        title, printed = print_page(page, html / f"{name}.html")
        start = len(whole.pages)
        whole.append(printed, import_outline=False)
        whole.add_outline_item(title=title, page_number=start)
    context.close()
    whole.compress_identical_objects()
    whole.write(target)
    return len(whole.pages)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="pages whose name contains this")
    options = parser.parse_args()
    try:
        print(build_book.build())
        names = [n for n in build_book.pages_in_toc() if options.only in n]
        with chromium() as browser:
            sheets = print_book(browser, names, build_book.HTML, PDF)
        print(f"{sheets} sheets, {PDF}")
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
