"""A quiz in Chromium: what the mouse, the keys and a typed number bring to light."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page

from stn_tutorial.course.quiz import Quiz

CHOICE = "Which way?\n- Left | Not left.\n+ Right | Indeed.\n- Up | Not up."
NUMBER = """
    How far?
    = 0.5 ± 0.01 px | Half a pixel.
    - 1 | Twice as far.
    ? Think again.
"""
SECOND = "How many?\n= -28 | Count.\n? Hm."
#: Collect what is added to a live region, which is what a screen reader says.
LISTEN = """() => {
  window.said = [];
  const note = (changes) => {
    for (const { addedNodes, target } of changes)
      for (const node of addedNodes)
        if (target.ariaLive === "polite") window.said.push(node);
  };
  const options = { childList: true, subtree: true };
  new MutationObserver(note).observe(document.body, options);
}"""
# What is not shown when it is said is not said.
SAID = """() => window.said.map(
    (node) => getComputedStyle(node).display === "none" ? "" : node.innerText)"""


@pytest.fixture
def page(come_back, tmp_path) -> Page:
    html = Quiz(CHOICE, NUMBER)._repr_html_() + Quiz(SECOND)._repr_html_()
    file = tmp_path / "quiz.html"
    file.write_text(f"<!doctype html><body>{html}", encoding="utf-8")
    page, wrong = come_back(file)
    page.evaluate(LISTEN)
    yield page
    assert not wrong
    assert page.url == file.as_uri()  # no form was sent


def shown(page: Page) -> list[str]:
    """The reasons that can be seen."""
    return [p.inner_text() for p in page.locator("p").all() if p.is_visible()]


def field(page: Page, index: int) -> Locator:
    return page.get_by_label("Your number").nth(index)


def test_a_chosen_option_shows_its_reason_alone_and_says_it(page):
    assert shown(page) == []
    page.get_by_label("Left").check()
    assert shown(page) == ["Not so. Not left."]
    page.get_by_label("Right").check()
    assert shown(page) == ["Right. Indeed."]
    assert page.evaluate(SAID)[-1] == "Right. Indeed."


def test_arrows_move_between_options_and_space_chooses(page):
    page.get_by_label("Left").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert shown(page) == []
    page.keyboard.press("Space")
    assert shown(page) == ["Not so. Not up."]
    page.keyboard.press("ArrowDown")  # round to the first
    page.keyboard.press("Space")
    assert shown(page) == ["Not so. Not left."]


TYPED = {
    "0.5": "Right. Half a pixel.",
    "0,51": "Right. Half a pixel.",
    " 1/2 ": "Right. Half a pixel.",
    "1.0": "Not so. Twice as far.",
    "−0.5": "Not so. Think again.",
    "0.52": "Not so. Think again.",
    "half": "Type a number, such as 0.5 or 1/2.",
    "": "Type a number, such as 0.5 or 1/2.",
    "1/2/3": "Type a number, such as 0.5 or 1/2.",
}


def test_a_typed_number_is_judged_and_said(page):
    for typed, told in TYPED.items():
        field(page, 0).fill(typed)
        page.get_by_role("button", name="Check").first.click()
        assert shown(page) == [told], typed
        assert page.evaluate(SAID)[-1] == told
    assert len(page.evaluate("window.said")) == len(TYPED)


def test_enter_checks_the_number_in_whose_field_it_is_typed(page):
    field(page, 1).fill("-28")
    field(page, 1).press("Enter")
    assert shown(page) == ["Right. Count."]
    field(page, 0).fill("2")
    field(page, 0).press("Enter")
    assert shown(page) == ["Not so. Think again.", "Right. Count."]


def test_what_can_be_touched_is_large_enough_and_named(page):
    for control in (field(page, 0), page.get_by_role("button", name="Check").first):
        assert control.bounding_box()["height"] >= 44
    groups = page.get_by_role("group").all()
    assert len(groups) >= 3


@pytest.mark.parametrize("formula", ["", "$x^2$ "])
def test_colab_which_sets_no_mathematics_is_brought_to_if_there_is_any(
    browser, tmp_path, formula
):
    file = tmp_path / "quiz.html"
    html = Quiz(f"Is {formula}it?\n+ Yes | …\n- No | …")._repr_html_()
    file.write_text(f"<!doctype html><body>{html}", encoding="utf-8")
    asked = []
    page = browser.new_context().new_page()
    page.add_init_script("window.google = {colab: {}}")
    page.on("request", lambda request: asked.append(request.url))
    page.route("https://**/*", lambda route: route.abort())
    page.goto(file.as_uri(), wait_until="load")
    assert ["mathjax" in url for url in asked] == [False] + [True] * bool(formula)
    page.context.close()


def test_mathematics_in_quizzes_is_set_on_the_pages(turn_to):
    page, wrong = turn_to("notebooks/03_derive_the_gradients_by_hand")
    formulas = page.locator(".stn-quiz .math")
    assert formulas.count() > 0
    assert page.locator(".stn-quiz mjx-container").count() == formulas.count()
    assert not wrong
