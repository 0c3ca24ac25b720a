r"""A chapter's text as Markdown that every Jupyter shows: Colab knows no MyST.

Boxes become headings and folded parts HTML; references to equations, figures and papers
become what a page of the book shows for them, numbers included. A figure has no caption
in a notebook, so its first words stand where it is referred to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pybtex.database import Entry, parse_file

BIBLIOGRAPHY = Path(__file__).resolve().parents[1] / "book" / "references.bib"
BODY = r"\n(?P<body>(?:.*\n)*?):::$"  # the shortest, up to a line of its own
BOX = re.compile(rf"^:::\{{exercise\}} (?P<title>.+)\n:label: .+{BODY}", re.M)
FOLD = re.compile(rf"^:::\{{dropdown\}} (?P<title>.+){BODY}", re.M)
EQUATION = re.compile(r"(?<=\$\$)(?P<body>[^$]+)\$\$ \((?P<label>[\w-]+)\)")
TARGET = re.compile(r"^\([\w-]+\)=\n", re.M)
LINK_WITHIN = re.compile(r"\[([^\]]+)\]\(#[\w-]+\)")
ROLE = re.compile(r"\{(?P<role>cite:t|cite|eq|numref|ref)\}`(?P<what>[^`]+)`")


def numbers_of_equations(cells: list[dict], chapter: int) -> dict[str, str]:
    """Return the numbers of a chapter's labelled equations, by label."""
    texts = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    labels = [match["label"] for text in texts for match in EQUATION.finditer(text)]
    return {label: numbered(chapter, k) for k, label in enumerate(labels, start=1)}


def numbered(chapter: int, count: int) -> str:
    """Return a number as the book has it; the tour, number 0, is no chapter."""
    return f"{chapter}.{count}" if chapter else str(count)


def plain(
    cells: list[dict], chapter: int, numbers: Mapping[str, str]
) -> list[str | None]:
    """Return the text of each cell of a chapter as plain Markdown.

    Args:
        cells: of the notebook.
        chapter: its number, 0 for one without.
        numbers: of the book's equations, by label.

    Returns:
        The texts, in the order of the cells; None for a cell that is code.
    """
    figures = {
        figure["name"]: (place, figure["caption"])
        for place, cell in enumerate(cells)
        if (figure := cell["metadata"].get("mystnb", {}).get("figure"))
    }
    exercises = 0

    def box(match: re.Match[str]) -> str:
        nonlocal exercises
        exercises += 1
        title = f"### Exercise {numbered(chapter, exercises)} · {match['title']}"
        return f"{title}\n{match['body'].rstrip()}"

    def role(match: re.Match[str], place: int) -> str:
        what = match["what"]
        if match["role"] == "eq":
            return f"({numbers[what]})"
        if match["role"] == "ref":
            return what.partition(" <")[0]
        if match["role"] == "numref":
            return mention(*figures[what], place, match.string[: match.start()])
        papers = map(paper, what.split(","))
        if match["role"] == "cite":
            links = [link(f"{who}, {year}", at) for who, year, at in papers]
            return f"({'; '.join(links)})"
        return ", ".join(link(f"{who} ({year})", at) for who, year, at in papers)

    plain_texts: list[str | None] = []
    for place, cell in enumerate(cells):
        text = None
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            text = FOLD.sub(folded, BOX.sub(box, TARGET.sub("", text)))
            text = EQUATION.sub(
                lambda m: f"{m['body'].rstrip()} \\tag{{{numbers[m['label']]}}}\n$$",
                text,
            )
            text = ROLE.sub(lambda m, place=place: role(m, place), text)
            text = LINK_WITHIN.sub(r"\1", text)
        plain_texts.append(text)
    return plain_texts


def folded(match: re.Match[str]) -> str:
    """Return a part that opens on a click."""
    summary = f"<summary>{match['title']}</summary>"
    return f"<details>{summary}\n\n{match['body'].strip()}\n\n</details>"


def mention(figure: int, caption: str, place: int, before: str) -> str:
    """Return words for a figure that is in one cell, and is meant in another.

    Args:
        figure: the place of its cell.
        caption: of which the first words stand for the figure.
        place: of the cell that mentions it.
        before: what is written there before the mention.
    """
    words = re.sub(r"^(Above|Left): ", "", caption)
    first = re.split(r"[.;:,?](?:\s|$)| \(", words)[0]
    article = "The" if re.search(r"(^|[.:?]\s+)$", before) else "the"
    return f"{article} figure {'above' if figure < place else 'below'} (“{first}”)"


def link(text: str, address: str | None) -> str:
    return f"[{text}]({address})" if address else text


@cache
def bibliography() -> dict[str, Entry]:
    return dict(parse_file(str(BIBLIOGRAPHY), bib_format="bibtex").entries)


def paper(key: str) -> tuple[str, str, str | None]:
    """Return who wrote a paper, when, and where it is."""
    entry = bibliography()[key.strip()]
    names = [
        " ".join(map(str, person.rich_prelast_names + person.rich_last_names))
        for person in entry.persons["author"]
    ]
    who = names[0] if len(names) == 1 else f"{names[0]} et al."
    if len(names) == 2:
        who = " and ".join(names)
    doi = entry.fields.get("doi")
    address = entry.fields.get("url") or (f"https://doi.org/{doi}" if doi else None)
    return who, entry.fields["year"], address
