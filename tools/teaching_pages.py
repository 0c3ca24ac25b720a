"""Sphinx directives for the teaching pages, which read the chapters they speak of.

`session` is a chapter in ninety minutes, and `course` a row of such sessions, both from
book/teach/sessions.yml. Minutes of chapters and exercises are those that the chapters
state. `objectives-table` says what tests each objective of a chapter. `run-costs` says
how long the chapters take to read, to work through and to run. `citation` is the entry
for a bibliography, and `chapter-notes` links to the notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import book_extension
import objectives
import stamps
import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SESSIONS = "book/teach/sessions.yml"
#: The notebook that is no chapter, and needs no session.
TOUR = "meet_a_spatial_transformer"


@dataclass
class Chapter:
    """A chapter as the plans see it."""

    name: str  # its file's, without the number
    title: str
    page: str
    minutes: int
    minutes_alone: int
    exercises: dict[str, objectives.Exercise]


@dataclass(frozen=True)
class Block:
    """A part of a session: minutes, what is done, the exercises and the slides for it.

    The slides are the heading of the first, and that of the last if it is told.
    """

    minutes: int
    text: str
    labels: tuple[str, ...] = ()
    slides: tuple[str, ...] = ()


def name_of(path: Path) -> str:
    """Return a notebook's name without its number, which may change."""
    return path.stem.partition("_")[2]


@cache
def read_chapter(path: Path, changed: float) -> Chapter:
    """Return a chapter, whose file has last been changed at a certain time."""
    told = book_extension.read_chapter(path)
    exercises = objectives.exercises_of(objectives.read_cells(path))
    return Chapter(
        name=name_of(path),
        title=book_extension.numbered(told),
        page=told["page"],
        minutes=int(told["minutes"]),
        minutes_alone=int(told["minutes_alone"]),
        exercises={each.label: each for each in exercises},
    )


def read_chapters(root: Path = stamps.ROOT) -> dict[str, Chapter]:
    """Return the book's chapters and the tour by their names."""
    found = [
        read_chapter(path, path.stat().st_mtime) for path in stamps.notebook_paths(root)
    ]
    return {chapter.name: chapter for chapter in found}


def read_plans(root: Path = stamps.ROOT) -> dict:
    """Return what book/teach/sessions.yml says."""
    return yaml.safe_load((root / SESSIONS).read_text(encoding="utf-8"))


def blocks_of(lines: list[str], chapter: Chapter) -> Iterator[Block]:
    """Yield the parts of a session.

    A line is ``10 what is done``, with ``→ first slide … last slide`` behind it, or
    labels of exercises, ``ex-a, ex-b``, which take the minutes that they state, with
    ``: how`` behind them if there is more to say.
    """
    for line in lines:
        if timed := re.fullmatch(r"(\d+) (.+)", line, re.DOTALL):
            text, _, slides = timed[2].partition(" → ")
            named = tuple(slides.split(" … ")) if slides else ()
            yield Block(int(timed[1]), text, slides=named)
            continue
        labels, _, how = line.partition(": ")
        names = tuple(labels.split(", "))
        minutes = sum(chapter.exercises[name].minutes for name in names)
        yield Block(minutes, how, names)


def headings_of(name: str, root: Path = stamps.ROOT) -> list[str]:
    """Return the headings of a chapter's slides; the first, its title, has none."""
    (path,) = (root / "slides").glob(f"[0-9]*_{name}.md")
    text = path.read_text(encoding="utf-8")
    return ["", *re.findall(r"^## (.+)$", text, re.MULTILINE)]


def slides_of(blocks: list[Block], headings: list[str]) -> list[str]:
    """Return which slides each part of a session is taught with, such as ``4–10``.

    A session begins with the title. A part goes on to the slide before one with which
    another part begins, unless it says where it ends. Exercises stand on the last.

    Args:
        blocks: of the session.
        headings: of the deck.

    Raises:
        ValueError: if there is no slide of a name.
    """
    names = [block.slides[:1] for block in blocks]
    names[0] = names[0] or ("",)
    starts = [headings.index(name[0]) + 1 if name else None for name in names]
    begins = sorted({len(headings), *filter(None, starts)})
    ranges = []
    for block, start in zip(blocks, starts, strict=True):
        if block.labels:
            start = len(headings)
        if start is None:
            ranges.append("")
            continue
        end = next((other - 1 for other in begins if other > start), start)
        if len(block.slides) == 2:
            end = headings.index(block.slides[1]) + 1
        ranges.append(f"{start}–{end}" if end > start else f"{start}")
    return ranges


def links_to(labels: tuple[str, ...] | list[str]) -> str:
    """Return references to exercises, in MyST."""
    return ", ".join(f"{{ref}}`{label}`" for label in labels)


def titled(labels: tuple[str, ...] | list[str], chapter: Chapter) -> str:
    """Return references to exercises with their titles, in MyST."""
    exercises = [chapter.exercises[label] for label in labels]
    return ", ".join(f"{{ref}}`{e.label}` (*{e.title}*)" for e in exercises)


def minutes_of(labels: list[str], chapter: Chapter) -> int:
    return sum(chapter.exercises[label].minutes for label in labels)


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table in MyST, whose cells may hold anything but line breaks."""
    lines = ["| " + " | ".join(heads) + " |"]
    lines.append("|" + "---|" * len(heads))
    lines += ["| " + " | ".join(cell or " " for cell in row) + " |" for row in rows]
    return "\n".join(lines)


class Teaching(SphinxDirective):
    """What the directives of this module share."""

    final_argument_whitespace = True

    def known(self) -> tuple[dict[str, Chapter], dict]:
        """Return chapters and plans; the page is made anew when one of them changes."""
        self.env.note_dependency(SESSIONS)
        root = Path(self.env.srcdir)
        for path in [*stamps.notebook_paths(root), *root.glob("slides/[0-9]*.md")]:
            self.env.note_dependency(str(path))
        return read_chapters(root), read_plans(root)

    def shown(self, text: str) -> list[nodes.Node]:
        return self.parse_text_to_nodes(text)


class Session(Teaching):
    """A chapter in one session: minute by minute, with what comes before and after."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        chapters, plans = self.known()
        chapter = chapters[self.arguments[0]]
        plan = plans["chapters"][chapter.name]
        blocks = list(blocks_of(plan["class"], chapter))
        slides = slides_of(blocks, headings_of(chapter.name, Path(self.env.srcdir)))
        rows, now = [], 0
        for block, shown in zip(blocks, slides, strict=True):
            done = block.text
            if block.labels:
                done = titled(block.labels, chapter) + (f": {done}" if done else "")
            clock = f"{now}–{now + block.minutes}"
            rows.append([clock, str(block.minutes), done, shown])
            now += block.minutes
        before = (
            f"**Before**: the chapter without its exercises, {chapter.minutes_alone}"
        )
        after = minutes_of(plan["home"], chapter)
        lines = [
            f"{before} minutes.",
            "",
            table(["from – to", "minutes", "in class", "slides"], rows),
            "",
            f"**At home**: {titled(plan['home'], chapter)}; {after} minutes.",
        ]
        if optional := plan.get("optional"):
            lines[-1] += f" For who wants more: {titled(optional, chapter)}."
        return self.shown("\n".join(lines))


class Course(Teaching):
    """A course of `sessions.yml`: a row for each of its sessions."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        chapters, plans = self.known()
        course = plans["courses"][self.arguments[0]]
        if "blocks" in course:
            return self.shown(hours(course["blocks"]))
        rows = []
        for day in course["days"]:
            chapter = chapters[day["chapter"]]
            plan = plans["chapters"][chapter.name]
            read = [chapters[name] for name in [*day.get("read", []), chapter.name]]
            texts = [f"[{each.title}](/{each.page}.ipynb)" for each in read]
            before = sum(each.minutes_alone for each in read)
            notes = f"[notes](/book/teach/{chapter.name}.md)"
            after = minutes_of(plan["home"], chapter)
            rows.append(
                [
                    day["when"],
                    " and ".join(texts) + f", {before} min",
                    f"{day['about']} ({notes}), {plans['minutes']} min",
                    f"{links_to(plan['home'])}, {after} min",
                ]
            )
        heads = ["day", "read before", "session", course["after"]]
        return self.shown(table(heads, rows))


def hours(blocks: list[str], start: int = 9 * 60) -> str:
    """Return a day as a table, from nine o'clock on."""
    rows, now = [], start
    for block in blocks_of(blocks, None):
        rows.append(
            [f"{now // 60}:{now % 60:02}", str(block.minutes), block.text],
        )
        now += block.minutes
    rows.append([f"{now // 60}:{now % 60:02}", "", "end"])
    return table(["at", "minutes", "what"], rows)


class ObjectivesTable(Teaching):
    """What a chapter promises, and what tests it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        chapters, _ = self.known()
        chapter = chapters[self.arguments[0]]
        path = Path(self.env.srcdir) / f"{chapter.page}.ipynb"
        rows = []
        for each in objectives.objectives_of(path):
            told = told_of(each.tested_by, chapter)
            rows.append([each.text.replace("|", r"\|"), told])
        return self.shown(table(["you will", "tested by"], rows))


def told_of(questions: list[objectives.Question], chapter: Chapter) -> str:
    """Say which questions these are and where, in MyST."""
    told = [f"{{ref}}`{q.where}`" for q in questions if q.kind == "exercise"]
    told += [f"*Predict* in *{q.where}*" for q in questions if q.kind == "predict"]
    numbers = [str(q.number) for q in questions if q.kind == "quiz"]
    if numbers:
        link = f"[quiz](/{chapter.page}.ipynb#check-yourself)"
        told.append(f"{link}, question{'s' * (len(numbers) > 1)} {', '.join(numbers)}")
    return "; ".join(told)


class RunCosts(Teaching):
    """How long each chapter takes to read, to work through, and to run."""

    def run(self) -> list[nodes.Node]:
        chapters, _ = self.known()
        rows, total = [], 0.0
        for chapter in chapters.values():
            path = Path(self.env.srcdir) / f"{chapter.page}.ipynb"
            seconds = stamps.seconds_taken(path)
            total += seconds
            minutes = [str(chapter.minutes_alone), str(chapter.minutes)]
            link = f"[{chapter.title}](/{chapter.page}.ipynb)"
            rows.append([link, *minutes, f"{seconds / 60:.1f}"])
        rows.append(["all", "", "", f"{total / 60:.0f}"])
        heads = ["chapter", "to read (min)", "with the exercises (min)"]
        return self.shown(table([*heads, "computer, all cells (min)"], rows))


class ChapterNotes(Teaching):
    """Links to the notes on every chapter, with the minutes that the chapter takes."""

    def run(self) -> list[nodes.Node]:
        chapters, _ = self.known()
        rows = []
        for chapter in chapters.values():
            title = f"[{chapter.title}](/{chapter.page}.ipynb)"
            notes = f"[notes](/book/teach/{chapter.name}.md)"
            minutes = [str(chapter.minutes_alone), str(chapter.minutes)]
            rows.append([title, notes, *minutes])
        heads = ["chapter", "for you", "to read (min)", "with the exercises (min)"]
        return self.shown(table(heads, rows))


class Citation(Teaching):
    """The book in BibTeX, as CITATION.cff has it."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency("CITATION.cff")
        path = Path(self.env.srcdir) / "CITATION.cff"
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        url = self.config.html_theme_options["repository_url"]
        authors = " and ".join(f"{{{author['name']}}}" for author in told["authors"])
        year = re.search(r"\d{4}", self.config.copyright)[0]
        fields = {
            "author": authors.replace("_", r"\_"),
            "title": told["title"],
            "version": told["version"],
            "year": year,
            "url": url,
        }
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
        text = "\n".join(["@software{stn_tutorial,", *lines, "}"])
        return [nodes.literal_block(text, text, language="bibtex")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("chapter-notes", ChapterNotes)
    app.add_directive("citation", Citation)
    app.add_directive("course", Course)
    app.add_directive("objectives-table", ObjectivesTable)
    app.add_directive("run-costs", RunCosts)
    app.add_directive("session", Session)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
