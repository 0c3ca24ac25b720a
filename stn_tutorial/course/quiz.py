"""Quizzes that answer on the page: HTML and CSS, no kernel, no script, no request.

A question is a text and its options; choosing an option shows why it is right or wrong.
Radio buttons and labels are the browser's own, so a keyboard and a screen reader work.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from html import escape
from inspect import cleandoc

__all__ = ["Quiz"]

STYLE = """
.stn-quiz fieldset { border: 1px solid rgb(128 128 128 / 45%); border-radius: 0.5rem;
  margin: 0 0 1rem; padding: 0.25rem 1rem 0.75rem; min-width: 0; max-width: 44rem; }
.stn-quiz legend { float: left; width: 100%; margin: 0.5rem 0; padding: 0;
  font-size: 1rem; font-weight: 600; line-height: 1.4; }
.stn-quiz div { clear: both; padding: 0.15rem 0; line-height: 1.45;
  display: grid; grid-template-columns: 1.6rem 1fr; }
.stn-quiz input { margin: 0.3rem 0 0; width: 1rem; height: 1rem; }
.stn-quiz label { margin: 0; cursor: pointer; }
.stn-quiz p { display: none; grid-column: 2; margin: 0.25rem 0 0.4rem;
  padding-left: 0.6rem; border-left: 3px solid; }
.stn-quiz input:checked ~ p { display: block; }
.stn-quiz code { color: inherit; background: rgb(128 128 128 / 18%); border: 0; }
.stn-quiz p.right { border-color: #009e73; }
.stn-quiz p.wrong { border-color: #d55e00; }
"""


@dataclass(frozen=True)
class Option:
    """One of the answers a reader may choose, and why it is right or wrong."""

    answer: str
    right: bool
    why: str


class Quiz:
    r"""A few questions, shown as the value of a notebook cell.

    >>> question = "Where is (x, y) = (2, 7)?\n+ In row 7 | It is y.\n- In row 2 | No."
    >>> Quiz(question, question)
    Quiz of 2 questions (shown as HTML)

    Args:
        questions: texts such as the one below; ``+`` marks a right option and ``-`` a
            wrong one, and what follows the bar says why. A piece may run over several
            lines. Text between backquotes is set as code. ::

                Which pixel is at the point (x, y) = (2, 7)?
                - `image[2, 7]` | Tensors are indexed by row first, and y counts rows.
                + `image[7, 2]` | Row 7 is y, column 2 is x.

    Raises:
        ValueError: if a question has no text, fewer than two options, none that is
            right, or an option without a reason.
    """

    def __init__(self, *questions: str) -> None:
        self.questions = [_parse(question) for question in questions]

    def __repr__(self) -> str:
        return f"Quiz of {len(self.questions)} questions (shown as HTML)"

    def _repr_html_(self) -> str:
        alone = len(self.questions) == 1
        fields = "\n".join(
            _fieldset("" if alone else f"{number}. ", text, options)
            for number, (text, options) in enumerate(self.questions, start=1)
        )
        return f'<style>{STYLE}</style>\n<form class="stn-quiz">\n{fields}\n</form>'


def _parse(question: str) -> tuple[str, list[Option]]:
    text, *pieces = re.split(r"\n(?=[+-] )", cleandoc(question))
    options = []
    for piece in pieces:
        answer, bar, why = (part.strip() for part in piece[2:].partition(" | "))
        if not bar:
            raise ValueError(f"option {piece!r} has no reason after ' | '")
        options.append(Option(answer, piece.startswith("+"), why))
    if not text or len(options) < 2 or not any(option.right for option in options):
        raise ValueError(f"needs a text, two options and a right one: {question!r}")
    return text, options


def _fieldset(number: str, text: str, options: list[Option]) -> str:
    name = "q" + hashlib.sha256(text.encode()).hexdigest()[:8]
    rows = [
        f'<div><input type="radio" name="{name}" id="{name}-{k}">'
        f'<label for="{name}-{k}">{_inline(option.answer)}</label>'
        f'<p class="{"right" if option.right else "wrong"}">'
        f"<b>{'Right.' if option.right else 'Not so.'}</b> {_inline(option.why)}</p>"
        "</div>"
        for k, option in enumerate(options)
    ]
    legend = f"<legend>{number}{_inline(text)}</legend>"
    return "\n".join(["<fieldset>", legend, *rows, "</fieldset>"])


def _inline(text: str) -> str:
    text = escape(" ".join(text.split()), quote=False)
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
