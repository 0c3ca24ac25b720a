r"""Quizzes that answer on the page: HTML, with no kernel and no request.

A question is a text with options to choose from, or one whose answer is a number that
the reader types. Fields, labels and buttons are the browser's own, so a keyboard and a
screen reader work; ``quiz.js`` reads the numbers, and tells a screen reader what an
answer was worth. Without scripts the options answer all the same, and a number is
folded behind *Show the answer*.

Mathematics between dollar signs is set by whoever sets it around the quiz: MathJax on
the book's pages and in JupyterLab. Colab sets none in outputs, and there the script
fetches MathJax.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from functools import cache
from html import escape
from inspect import cleandoc
from pathlib import Path

__all__ = ["Quiz"]

# How far a number may be from the one asked for if the question doesn't say.
ROUNDING = 1e-6
# Code between backquotes, or mathematics between dollars.
_MARKED = r"`([^`]+)`|\$([^$]+)\$"


@dataclass(frozen=True)
class Option:
    """One of the answers a reader may choose, and why it is right or wrong."""

    answer: str
    right: bool
    why: str


@dataclass(frozen=True)
class Number:
    """A number that a reader may type, how near is near enough, and what it means."""

    value: float
    within: float
    right: bool
    why: str


@dataclass(frozen=True)
class Choice:
    """A question with options."""

    text: str
    options: list[Option]


@dataclass(frozen=True)
class Numeric:
    """A question that asks for a number; the first of the numbers is the right one."""

    text: str
    numbers: list[Number]
    shown: str
    unit: str
    hint: str


class Quiz:
    r"""A few questions, shown as the value of a notebook cell.

    >>> question = "Where is (x, y) = (2, 7)?\n+ In row 7 | It is y.\n- In row 2 | No."
    >>> number = "Where is the middle of 10 pixels?\n= 4.5 | (10 - 1) / 2.\n? Count."
    >>> Quiz(question, number)
    Quiz of 2 questions (shown as HTML)

    Args:
        questions: texts such as those below. ``+`` marks a right option and ``-`` a
            wrong one, and what follows the bar says why. A piece may run over several
            lines. Text between backquotes is set as code, text between dollar signs as
            mathematics (write such a question as a raw string). ::

                Which pixel is at the point $(x, y) = (2, 7)$?
                - `image[2, 7]` | Tensors are indexed by row first, and y counts rows.
                + `image[7, 2]` | Row 7 is y, column 2 is x.

            ``=`` marks the number that a question asks for, with how far off an answer
            may be and a unit, if there are such; ``-`` the numbers of known mistakes,
            and ``?`` a hint for all others::

                How far does the grid move?
                = 3.5 ± 0.05 pixels | A unit is $r = 14$ pixels, and $0.25 r = 3.5$.
                - 7 | That is a quarter of the width; a unit is half of it.
                ? How many pixels is one unit?

            A reader may write ``0.5``, ``0,5`` or ``1/2``.

    Raises:
        ValueError: if a question has no text, fewer than two options, none that is
            right, an option or a number without a reason, something for a number that
            is none, a number without a hint, or a mistake that would count as right.
    """

    def __init__(self, *questions: str) -> None:
        self.questions = [_parse(question) for question in questions]

    def __repr__(self) -> str:
        return f"Quiz of {len(self.questions)} questions (shown as HTML)"

    def _repr_html_(self) -> str:
        alone = len(self.questions) == 1
        fields = "\n".join(
            _fieldset("" if alone else f"{k}. ", question)
            for k, question in enumerate(self.questions, start=1)
        )
        style = f'<style data-stn="quiz.css">{_file("quiz.css")}</style>'
        script = f'<script data-stn="quiz.js">{_file("quiz.js")}</script>'
        # Keys belong to the quiz, and not to JupyterLab's shortcuts.
        form = '<form class="stn-quiz" data-lm-suppress-shortcuts="true">'
        return f"{style}\n{form}\n{fields}\n</form>\n{script}"


@cache
def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _parse(question: str) -> Choice | Numeric:
    text, *pieces = re.split(r"\n(?=[+=?-] )", cleandoc(question))
    hints = [piece[2:].strip() for piece in pieces if piece.startswith("? ")]
    answers = [piece for piece in pieces if not piece.startswith("? ")]
    if any(piece.startswith("= ") for piece in answers):
        return _parse_numeric(text, answers, hints)
    if hints:
        raise ValueError(f"a hint, but no number to find: {question!r}")
    options = []
    for piece in answers:
        answer, why = _with_reason(piece, "option")
        options.append(Option(answer, piece.startswith("+"), why))
    if not text or len(options) < 2 or not any(option.right for option in options):
        raise ValueError(f"needs a text, two options and a right one: {question!r}")
    return Choice(text, options)


def _parse_numeric(text: str, answers: list[str], hints: list[str]) -> Numeric:
    rights = [piece for piece in answers if piece.startswith("= ")]
    mistakes = [piece for piece in answers if not piece.startswith("= ")]
    if not text or len(rights) != 1 or len(hints) != 1:
        raise ValueError(f"needs a text, one right number and one hint: {text!r}")
    if any(piece.startswith("+ ") for piece in mistakes):
        raise ValueError(f"options beside a number: {text!r}")
    right, shown, unit = _number(rights[0], None)
    numbers = [right] + [_number(piece, right.within)[0] for piece in mistakes]
    for other in numbers[1:]:
        if abs(other.value - right.value) <= right.within:
            raise ValueError(f"{other.value:g} is wrong and right: {text!r}")
    return Numeric(text, numbers, shown, unit, hints[0])


def _number(piece: str, within: float | None) -> tuple[Number, str, str]:
    """Return a number, how it was written, and its unit."""
    answer, why = _with_reason(piece, "number")
    found = re.fullmatch(r"(\S+)(?: ± (\S+))?(?: (.+))?", answer, re.DOTALL)
    try:
        value = float(found[1].replace("−", "-"))
        tolerance = float(found[2]) if found[2] else within
    except (TypeError, ValueError):
        raise ValueError(f"{answer!r} is no number, with ± and a unit") from None
    if not math.isfinite(value):
        raise ValueError(f"{answer!r} is not finite")
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise ValueError(f"{answer!r} must have a finite tolerance >= 0")
    if tolerance is None:
        tolerance = ROUNDING * max(1.0, abs(value))
    right = piece.startswith("= ")
    return Number(value, tolerance, right, why), found[1], found[3] or ""


def _with_reason(piece: str, kind: str) -> tuple[str, str]:
    text = piece[2:]
    # Within code and mathematics, a bar is a part of them.
    found = re.finditer(rf"{_MARKED}|(?P<bar> \| )", text)
    bar = next((each for each in found if each["bar"]), None)
    if not bar:
        raise ValueError(f"{kind} {piece!r} has no reason after ' | '")
    return text[: bar.start()].strip(), text[bar.end() :].strip()


def _fieldset(number: str, question: Choice | Numeric) -> str:
    name = "q" + hashlib.sha256(question.text.encode()).hexdigest()[:8]
    rows = _rows if isinstance(question, Choice) else _field
    legend = f"<legend>{number}{_inline(question.text)}</legend>"
    return "\n".join(["<fieldset>", legend, *rows(name, question), "</fieldset>"])


def _rows(name: str, question: Choice) -> list[str]:
    """Return a row for each option: button, label, and where its reason is told."""
    return [
        f'<div class="stn-row"><input type="radio" name="{name}" id="{name}-{k}">'
        f'<label for="{name}-{k}">{_inline(option.answer)}</label>'
        f'<div class="stn-told" aria-live="polite">{_reason(option)}</div></div>'
        for k, option in enumerate(question.options)
    ]


def _field(name: str, question: Numeric) -> list[str]:
    """Return the field for a number, where it is judged, and the answer, folded."""
    reasons = [_reason(number, _data(number)) for number in question.numbers]
    reasons.append(f'<p class="wrong else"><b>Not so.</b> {_inline(question.hint)}</p>')
    reasons.append('<p class="none">Type a number, such as 0.5 or 1/2.</p>')
    unit = f'<span id="{name}-unit">{_inline(question.unit)}</span>'
    described = f' aria-describedby="{name}-unit"' if question.unit else ""
    answer = f"{question.shown.replace('-', '−')} {_inline(question.unit)}".strip()
    return [
        f'<div class="stn-number"><label for="{name}-n">Your number</label>',
        f'<input type="text" inputmode="decimal" autocomplete="off" id="{name}-n"'
        f"{described}>{unit if question.unit else ''}",
        '<button type="submit">Check</button></div>',
        f'<div class="stn-told" aria-live="polite">{"".join(reasons)}</div>',
        f"<details><summary>Show the answer</summary><b>{answer}.</b> "
        f"{_inline(question.numbers[0].why)}</details>",
    ]


def _data(number: Number) -> str:
    return f' data-value="{number.value!r}" data-within="{number.within!r}"'


def _reason(answer: Option | Number, data: str = "") -> str:
    verdict = "Right." if answer.right else "Not so."
    kind = "right" if answer.right else "wrong"
    return f'<p class="{kind}"{data}><b>{verdict}</b> {_inline(answer.why)}</p>'


def _inline(text: str) -> str:
    """Return a text as HTML: code between backquotes, mathematics between dollars, and
    emphasis between stars."""
    pieces = re.split(_MARKED, " ".join(text.split()))
    plain, code, formulas = (
        [escape(piece or "", quote=False) for piece in pieces[k::3]] for k in range(3)
    )
    plain = [re.sub(r"\*([^\s*][^*]*)\*", r"<em>\1</em>", piece) for piece in plain]
    html = plain[0]
    for word, formula, after in zip(code, formulas, plain[1:], strict=True):
        # The class by which Sphinx, and so MathJax, knows mathematics.
        html += (
            f"<code>{word}</code>"
            if word
            else f'<span class="math notranslate">\\({formula}\\)</span>'
        )
        html += after
    return html
