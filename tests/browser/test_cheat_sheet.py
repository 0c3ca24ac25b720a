"""The cheat sheet prints on one page of A4, with nothing cut off."""

from __future__ import annotations

import re


def test_it_prints_on_one_sheet(open_page):
    page, wrong = open_page("book/cheat_sheet")
    margins = dict.fromkeys(("top", "bottom", "left", "right"), "8mm")
    printed = page.pdf(format="A4", margin=margins)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    # In print, as wide as the sheet between its margins.
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 733, "height": 1062})
    cut = page.evaluate(
        """() => [...document.querySelectorAll("article pre, article table")]
            .filter(box => box.scrollWidth > box.clientWidth + 1)
            .map(box => box.textContent.slice(0, 60))"""
    )
    assert not cut
    assert not wrong
