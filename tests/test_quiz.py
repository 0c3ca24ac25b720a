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
NUMBER = r"""
    How far is $0.25 < r$, if $r = \tfrac{28}{2}$?
    = 3.5 ± 0.05 pixels | A unit is $r$ pixels.
    - 7 | That is a quarter of `28`.
    - -3.5 ± 0.4 | The other way.
    ? How many pixels is
      one unit?
"""


class Page(HTMLParser):
    """Every element with its attributes, and all the text."""

    VOID = ("input", "br", "hr", "img")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.text = ""
        self.texts: list[tuple[dict, str]] = []  # of paragraphs, in the page's order
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "p":
            self.texts.append((dict(attrs), ""))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text += data
        if "p" in self.open:
            self.texts[-1] = (self.texts[-1][0], self.texts[-1][1] + data)

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


@pytest.mark.parametrize("answer", ["`a | b`", "$P(a | b)$ or `c`", "`x | y` and $z$"])
def test_a_bar_within_code_or_mathematics_is_a_part_of_it(answer):
    (quiz,) = Quiz(
        f"Which?\n+ {answer} | The union | both.\n- `b` | $5 | half."
    ).questions
    assert [option.answer for option in quiz.options] == [answer, "`b`"]
    assert [option.why for option in quiz.options] == [
        "The union | both.",
        "$5 | half.",
    ]


def test_the_page_asks_for_nothing_and_has_one_style_and_one_script(page):
    html = Quiz(*QUESTIONS, NUMBER)._repr_html_()
    assert [tag["data-stn"] for tag in page.named("style")] == ["quiz.css"]
    assert [tag["data-stn"] for tag in page.named("script")] == ["quiz.js"]
    assert not page.named("link") and html.count("http") == 1
    for request in ("url(", "@import", "src=", "onclick", "fetch("):
        assert request not in html.replace("mathjax.src =", "")


def test_what_an_answer_was_worth_is_told_to_a_screen_reader(page):
    told = [tag for tag in page.named("div") if tag.get("aria-live") == "polite"]
    assert len(told) == len(page.named("input")) == len(page.named("p"))


@pytest.fixture
def numeric() -> Page:
    return Page(Quiz(NUMBER)._repr_html_())


def test_a_number_has_a_labelled_field_a_unit_and_a_button(numeric):
    (field,) = numeric.named("input")
    assert field["type"] == "text" and field["inputmode"] == "decimal"
    assert [label["for"] for label in numeric.named("label")] == [field["id"]]
    units = [tag["id"] for tag in numeric.named("span") if "id" in tag]
    assert [field["aria-describedby"]] == units
    assert [button["type"] for button in numeric.named("button")] == ["submit"]
    assert len(numeric.named("fieldset")) == len(numeric.named("legend")) == 1


def test_numbers_of_known_mistakes_have_reasons_and_all_others_a_hint(numeric):
    told = [
        (p.get("data-value"), p.get("data-within"), p["class"], text)
        for p, text in numeric.texts
    ]
    assert told[:3] == [
        ("3.5", "0.05", "right", r"Right. A unit is \(r\) pixels."),
        ("7.0", "0.05", "wrong", "Not so. That is a quarter of 28."),
        ("-3.5", "0.4", "wrong", "Not so. The other way."),
    ]
    hint = "Not so. How many pixels is one unit?"
    assert told[3] == (None, None, "wrong else", hint)
    assert told[4][2] == "none" and "Type a number" in told[4][3]


def test_the_answer_can_be_looked_up_without_a_script(numeric):
    assert len(numeric.named("details")) == len(numeric.named("summary")) == 1
    assert "Show the answer3.5 pixels. A unit is" in numeric.text


def test_a_number_without_a_tolerance_may_be_rounded_and_no_more():
    page = Page(Quiz("How many?\n= 196 | 14².\n? Square it.")._repr_html_())
    (right,) = (p for p, _ in page.texts if p["class"] == "right")
    assert float(right["data-value"]) == 196
    assert 0 < float(right["data-within"]) < 0.01


def test_mathematics_stands_where_mathjax_finds_it_and_is_no_markup(numeric):
    found = [tag for tag in numeric.named("span") if "math" in tag.get("class", "")]
    assert len(found) == 4  # two in the question, one in the reason, told twice
    assert r"How far is \(0.25 < r\), if \(r = \tfrac{28}{2}\)?" in numeric.text
    assert "$" not in numeric.text


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
        ("Why?\n+ `a | b`\n- Or not | …", "option '. `a . b`' has no reason"),
        ("Why?\n+ So | …\n- Or | …\n? Hm", "a hint, but no number to find"),
        ("How many?\n= 3 | Count.", "needs a text, one right number and one hint"),
        ("How many?\n= 3 | …\n= 4 | …\n? …", "needs a text, one right number"),
        ("How many?\n= 3 | …\n+ four | …\n? …", "options beside a number"),
        ("How many?\n= 3\n? …", "number '= 3' has no reason"),
        ("How many?\n= three | …\n? …", "'three' is no number"),
        ("How many?\n= 3 ± some | …\n? …", "'3 ± some' is no number"),
        ("How many?\n= inf | …\n? …", "'inf' is not finite"),
        ("How many?\n= 3 ± 1 | …\n- 4 | …\n? …", "4 is wrong and right"),
    ],
)
def test_a_question_needs_a_choice_a_right_answer_and_reasons(question, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Quiz(QUESTIONS[0], question)
