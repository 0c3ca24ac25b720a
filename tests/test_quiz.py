"""Quizzes: the HTML that is shown, parsed as a browser would."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from stn_tutorial.course.quiz import Quiz

QUESTIONS = (
    """
    What does `theta[0, 2]` move? It is
    the third number.
    + The picture, to the *left* | It moves where
      we read, so …
    - a < b & c | No: `<b>` is text here.
    - The "grid" - or | - or nothing | bars stay.
    """,
    "And `theta[1, 2]`?\n+ Up | Yes.\n- Down | Other way.",
)


class Page(HTMLParser):
    """Every element with its attributes, and all the text."""

    VOID = ("input", "br", "hr", "img")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def named(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def page() -> Page:
    return Page(Quiz(*QUESTIONS)._repr_html_())


def test_the_html_is_well_formed(page):
    assert page.open == []


def test_each_question_is_a_group_of_its_own(page):
    assert len(page.named("fieldset")) == len(page.named("legend")) == 2
    radios = page.named("input")
    assert {radio["type"] for radio in radios} == {"radio"}
    names = [radio["name"] for radio in radios]
    assert names[0] == names[1] == names[2] != names[3] == names[4]


def test_each_option_has_a_label_that_belongs_to_it(page):
    ids = [radio["id"] for radio in page.named("input")]
    assert len(set(ids)) == len(ids) == 5
    assert [label["for"] for label in page.named("label")] == ids


def test_nothing_is_chosen_before_the_reader_chooses(page):
    assert not any("checked" in radio for radio in page.named("input"))


def test_the_answer_says_right_or_wrong_in_words_and_why(page):
    verdicts = [p["class"] for p in page.named("p")]
    assert verdicts == ["right", "wrong", "wrong", "right", "wrong"]
    assert page.text.count("Right.") == 2 and page.text.count("Not so.") == 3
    assert "It moves where we read, so …" in page.text
    assert "- or nothing | bars stay." in page.text


def test_a_piece_may_run_over_several_lines(page):
    assert "1. What does theta[0, 2] move? It is the third number." in page.text
    assert "2. And theta[1, 2]?" in page.text


def test_a_question_alone_has_no_number():
    assert "<legend>And <code>theta[1, 2]</code>?" in Quiz(QUESTIONS[1])._repr_html_()


def test_text_is_text_and_backquotes_are_code(page):
    assert "a < b & c" in page.text and 'The "grid" - or' in page.text
    assert "No: <b> is text here." in page.text
    assert len(page.named("b")) == 5  # the verdicts alone
    assert len(page.named("code")) == 3 and "`" not in page.text


def test_the_page_needs_no_script_and_asks_for_nothing(page):
    html = Quiz(*QUESTIONS)._repr_html_()
    assert not page.named("script") and not page.named("link")
    for request in ("http:", "https:", "url(", "@import", "src=", "onclick"):
        assert request not in html


def test_a_quiz_is_the_same_every_time_and_two_quizzes_do_not_mix():
    assert Quiz(*QUESTIONS)._repr_html_() == Quiz(*QUESTIONS)._repr_html_()
    first, second = (Page(Quiz(question)._repr_html_()) for question in QUESTIONS)
    mine, other = ({r["name"] for r in p.named("input")} for p in (first, second))
    assert not mine & other


def test_without_html_a_quiz_says_what_it_is():
    assert repr(Quiz(*QUESTIONS)).startswith("Quiz of 2 questions")


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("", "needs a text, two options and a right one"),
        ("Why?", "needs a text, two options and a right one: 'Why.'"),
        ("Why?\n+ Only one | …", "needs a text, two options and a right one"),
        ("Why?\n- Neither | …\n- Nor | …", "needs a text, two options and a right"),
        ("\n+ No | text\n- at | all", "needs a text, two options and a right one"),
        ("Why?\n+ Because\n- Or not | …", "option '. Because' has no reason"),
    ],
)
def test_a_question_needs_a_choice_a_right_answer_and_reasons(question, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Quiz(QUESTIONS[0], question)
