"""On a phone: code and tables scroll in their box, equations shrink before they do."""

from __future__ import annotations

import build_book
import pytest

CHAPTERS = [page for page in build_book.pages_in_toc() if "notebooks/" in page]
PHONE = {"width": 390, "height": 844}
# What is wider than its box, with whether it can be scrolled there.
WIDER = """(selector) => [...document.querySelectorAll(selector)]
  .filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1)
  .map(e => [e.innerText.slice(0, 60), getComputedStyle(e).overflowX])"""
# How wide each equation is, as a share of its line, and how large it is set.
EQUATIONS = """() => [...document.querySelectorAll('.bd-article div.math')]
  .filter(e => e.checkVisibility() && e.querySelector('mjx-container'))
  .map(e => {
    const set = e.querySelector('mjx-container');
    return {
      name: e.id,
      share: set.firstElementChild.getBoundingClientRect().width / e.clientWidth,
      size: parseFloat(getComputedStyle(set).fontSize),
    };
  })"""
# Every equation has been fitted to the line that it has now.
FITTED = """() => [...document.querySelectorAll('.bd-article div.math')].every(
  e => !e.checkVisibility() || !e.querySelector('mjx-container')
    || e.dataset.fitted === String(e.clientWidth))"""
# The columns of each table: how many words stand in a line of its longest entry.
WORDS = """() => [...document.querySelectorAll('.bd-article table td')]
  .filter(e => e.checkVisibility() && e.innerText.split(/\\s+/).length > 6)
  .filter(e => e.clientWidth < 100)
  .map(e => e.innerText)"""


@pytest.mark.parametrize("name", CHAPTERS)
def test_what_is_too_wide_for_a_phone_scrolls_in_its_box(turn_to, name):
    page, _ = turn_to(name, size=PHONE)
    boxes = ".cell_input pre, .cell_output pre, .pst-scrollable-table-container"
    assert {how for _, how in page.evaluate(WIDER, boxes)} <= {"auto", "scroll"}


@pytest.mark.parametrize("name", CHAPTERS)
def test_an_equation_fits_a_desktop_as_it_is_and_shrinks_on_a_phone(turn_to, name):
    page, _ = turn_to(name)
    page.wait_for_function(FITTED)
    wide = page.evaluate(EQUATIONS)
    assert not [each for each in wide if each["share"] > 1]
    page.set_viewport_size(PHONE)
    page.wait_for_function(FITTED)
    narrow = page.evaluate(EQUATIONS)
    assert len(narrow) == len(wide)
    for before, after in zip(wide, narrow, strict=True):
        assert after["size"] >= 0.69 * before["size"]
        # It shrank no further than it had to.
        assert after["share"] > 0.7 or after["size"] > 0.95 * before["size"], after


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_sentence_in_a_table_is_no_column_of_words(turn_to, name):
    page, _ = turn_to(name, size=PHONE)
    assert not page.evaluate(WORDS)
