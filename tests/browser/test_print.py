"""The book is printed into one PDF, with an outline."""

from __future__ import annotations

import print_book
import pytest
from pypdf import PdfReader

NAMES = ["book/cheat_sheet", "book/notation"]


def test_pages_are_printed_in_order_with_an_outline(browser, html, tmp_path):
    target = tmp_path / "book.pdf"
    sheets = print_book.print_book(browser, NAMES, html, target)
    printed = PdfReader(target)
    assert len(printed.pages) == sheets >= len(NAMES)
    titles = [item.title for item in printed.outline]
    assert titles == ["Keep one page beside you", "Agree on notation"]
    starts = [printed.get_destination_page_number(item) for item in printed.outline]
    assert starts == sorted(set(starts)) and starts[0] == 0
    assert "Symptoms and cures" in printed.pages[0].extract_text()


def test_without_a_browser_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="No Chromium"), print_book.chromium():
        pass
