"""MyST becomes Markdown that says the same, with the book's numbers and papers."""

from __future__ import annotations

import plain_markdown
import pytest

FIGURE = {"name": "fig-a-b", "caption": "Above: a digit, upright. Below: another."}
CELLS = [
    {"cell_type": "markdown", "metadata": {}, "source": ["# T\n", "\n", "{FIRST}"]},
    {"cell_type": "code", "metadata": {"mystnb": {"figure": FIGURE}}, "source": "1"},
    {"cell_type": "markdown", "metadata": {}, "source": "{SECOND}"},
]


def texts(first: str, second: str = "", chapter: int = 3) -> list[str]:
    cells = [dict(cell) for cell in CELLS]
    cells[0]["source"], cells[2]["source"] = first, second
    numbers = plain_markdown.numbers_of_equations(cells, chapter)
    found = plain_markdown.plain(cells, chapter, numbers | {"eq-else": "9.9"})
    assert found[1] is None
    return [found[0], found[2]]


BOX = ":::{exercise} What if? · ●○○ · 3 minutes\n:label: ex-a-b\n\nTry it.\n:::"


@pytest.mark.parametrize(("chapter", "number"), [(3, "3."), (0, "")])
def test_boxes_become_headings_with_the_numbers_of_the_book(chapter, number):
    first, second = texts(f"Before\n\n{BOX}\n", f"{BOX}\n\nAfter", chapter)
    title = f"### Exercise {number}%d · What if? · ●○○ · 3 minutes\n\nTry it."
    assert first == f"Before\n\n{title % 1}\n"
    assert second == f"{title % 2}\n\nAfter"


def test_folded_parts_open_on_a_click():
    text, _ = texts("A\n\n:::{dropdown} Why?\nSince $a$\n\n$$\nb\n$$\n:::\n\nC")
    inside = "Since $a$\n\n$$\nb\n$$"
    assert (
        text == f"A\n\n<details><summary>Why?</summary>\n\n{inside}\n\n</details>\n\nC"
    )


def test_equations_are_numbered_and_meant_by_their_numbers():
    first, second = texts(
        "$$\na\n$$ (eq-a-one)\n\nBy {eq}`eq-a-two`:\n\n$$\nb\n$$",
        "$$\nc\n$$ (eq-a-two)\n\nSee {eq}`eq-a-one` and {eq}`eq-else`.",
    )
    assert first == "$$\na \\tag{3.1}\n$$\n\nBy (3.2):\n\n$$\nb\n$$"
    assert second == "$$\nc \\tag{3.2}\n$$\n\nSee (3.1) and (9.9)."


def test_figures_are_meant_by_where_they_are_and_what_they_show():
    first, second = texts(
        "{numref}`fig-a-b` shows it.",
        "As in {numref}`fig-a-b`. {numref}`fig-a-b` is it.",
    )
    assert first == "The figure below (“a digit”) shows it."
    assert second == (
        "As in the figure above (“a digit”). The figure above (“a digit”) is it."
    )


def test_papers_are_links():
    text, _ = texts("It {cite}`jaderberg2015,wolberg1990`; {cite:t}`liu2018`.")
    assert text == (
        "It ([Jaderberg et al., 2015](https://arxiv.org/abs/1506.02025); "
        "Wolberg, 1990); [Liu et al. (2018)](https://arxiv.org/abs/1807.03247)."
    )


def test_names_of_people_have_their_accents():
    text, _ = texts("{cite:t}`thevenaz2000`")
    assert text == "[Thévenaz et al. (2000)](https://doi.org/10.1109/42.875199)"


def test_links_within_a_page_and_their_targets_are_left_out():
    text, _ = texts("(a-b)=\n## T\n\n[go](#a-b), {ref}`an exercise <ex-a-b>`")
    assert text == "## T\n\ngo, an exercise"
