"""The plans for teachers add up, and ask for exercises that are there."""

from __future__ import annotations

import re

import draw_boards
import matplotlib.pyplot as plt
import pytest
import stamps
import teaching_pages
import yaml

from stn_tutorial.course import plotting, svg

PLANS = yaml.safe_load(
    (stamps.ROOT / "book" / "teach" / "sessions.yml").read_text(encoding="utf-8")
)
CHAPTERS = teaching_pages.read_chapters()
every_chapter = pytest.mark.parametrize("name", PLANS["chapters"])


def told_by(name: str) -> str:
    """All that a chapter says, read without the code under test."""
    (path,) = (stamps.ROOT / "notebooks").glob(f"[0-9]*_{name}.ipynb")
    return path.read_text(encoding="utf-8")


def stated_minutes(name: str) -> dict[str, int]:
    """What the chapter's exercises say they take, by their labels."""
    pattern = r"\{exercise\}[^\"]* · (\d+) minutes\\n\",\s*\":label: ([\w-]+)"
    return {
        label: int(minutes) for minutes, label in re.findall(pattern, told_by(name))
    }


def parts_of(name: str) -> list[tuple[int, list[str]]]:
    """The minutes of each part of a session, and the labels of its exercises."""
    stated, parts = stated_minutes(name), []
    for line in PLANS["chapters"][name]["class"]:
        if timed := re.match(r"(\d+) ", line):
            parts.append((int(timed[1]), []))
        else:
            labels = line.partition(":")[0].split(", ")
            parts.append((sum(stated[label] for label in labels), labels))
    return parts


def test_every_chapter_but_the_tour_has_a_session():
    assert {*PLANS["chapters"], teaching_pages.TOUR} == set(CHAPTERS)


@every_chapter
def test_a_session_is_as_long_as_a_session(name):
    assert sum(minutes for minutes, _ in parts_of(name)) == PLANS["minutes"]


@every_chapter
def test_each_exercise_is_given_once(name):
    plan = PLANS["chapters"][name]
    in_class = [label for _, labels in parts_of(name) for label in labels]
    given = [*in_class, *plan["home"], *plan.get("optional", [])]
    assert sorted(given) == sorted(stated_minutes(name))


@every_chapter
def test_the_code_reads_the_same_minutes(name):
    chapter, text = CHAPTERS[name], told_by(name)
    stated = re.search(r"\*\*Time\*\* (\d+) minutes with the exercises, (\d+)", text)
    assert (chapter.minutes, chapter.minutes_alone) == (int(stated[1]), int(stated[2]))
    read = {label: each.minutes for label, each in chapter.exercises.items()}
    assert read == stated_minutes(name)
    blocks = teaching_pages.blocks_of(PLANS["chapters"][name]["class"], chapter)
    assert [(b.minutes, list(b.labels)) for b in blocks] == parts_of(name)


@every_chapter
def test_a_session_names_slides_of_its_deck(name):
    (deck,) = (stamps.ROOT / "slides").glob(f"[0-9]*_{name}.md")
    headings = re.findall(r"^## (.+)$", deck.read_text("utf-8"), re.MULTILINE)
    for line in PLANS["chapters"][name]["class"]:
        _, arrow, slides = line.partition(" → ")
        assert not arrow or set(slides.split(" … ")) <= set(headings), slides


def test_a_part_goes_on_to_the_slide_before_the_next_and_exercises_are_last():
    lines = ["9 a", "9 b → C", "9 c → B", "9 d", "9 e → D … E"]
    blocks = list(teaching_pages.blocks_of(lines, None))
    blocks.insert(2, teaching_pages.Block(5, "", ("ex-x",)))
    headings = ["", *"ABCDEF", "To do"]
    assert teaching_pages.slides_of(blocks, headings) == [
        *("1–2", "4", "8", "3", "", "5–6")
    ]


def test_courses_are_made_of_chapters_and_a_day_is_as_long_as_it_says():
    for course in PLANS["courses"].values():
        for day in course.get("days", []):
            assert {day["chapter"], *day.get("read", [])} <= set(CHAPTERS)
    blocks = PLANS["courses"]["one_day"]["blocks"]
    minutes = [int(block.partition(" ")[0]) for block in blocks]
    assert sum(minutes) == PLANS["courses"]["one_day"]["minutes"]


def test_a_day_is_told_by_the_clock():
    told = teaching_pages.hours(["45 one", "15 two"], start=9 * 60 + 30)
    rows = [line.split("|")[1:4] for line in told.splitlines()[2:]]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["9:30", "45", "one"],
        ["10:15", "15", "two"],
        ["10:30", "", "end"],
    ]


def test_every_chapter_has_notes_with_its_session_and_a_table_of_objectives():
    objectives = (stamps.ROOT / "book" / "teach" / "objectives.md").read_text("utf-8")
    told = re.findall(r"\{objectives-table\} (\w+)", objectives)
    assert told == list(CHAPTERS)
    for name in PLANS["chapters"]:
        notes = (stamps.ROOT / "book" / "teach" / f"{name}.md").read_text("utf-8")
        assert re.findall(r"\{session\} (\w+)", notes) == [name]


@pytest.mark.parametrize("name", CHAPTERS)
def test_notes_have_all_that_a_teacher_looks_for(name):
    notes = (stamps.ROOT / "book" / "teach" / f"{name}.md").read_text("utf-8")
    headings = re.findall(r"^## (.+)$", notes, re.MULTILINE)
    wanted = ["Misconceptions", "At the board", "Ask in class", "Exam questions"]
    assert [heading for heading in headings if heading in wanted] == wanted
    questions = notes.partition("## Exam questions")[2]
    asked = len(re.findall(r"^\*\*\d+\.", questions, re.MULTILINE))
    assert asked == questions.count("{dropdown} Answer") >= 3
    assert set(re.findall(r"\{ref\}`(ex-[\w-]+)`", notes)) <= set().union(
        *(chapter.exercises for chapter in CHAPTERS.values())
    )


@pytest.mark.parametrize("name", draw_boards.BOARDS)
def test_a_sketch_is_drawn_by_this_code_and_shown_in_the_notes(name):
    path = stamps.ROOT / "book" / "_static" / "figures" / f"board-{name}.svg"
    with plt.rc_context():
        plotting.use_style()
        drawn = svg.to_svg(draw_boards.BOARDS[name]())
        plt.close("all")
    texts = drawn, path.read_text(encoding="utf-8")
    counts = [len(re.findall(r"<(?:path|use)\b", text)) for text in texts]
    assert counts[0] == counts[1], "make figures"
    notes = (stamps.ROOT / "book" / "teach" / f"{name}.md").read_text("utf-8")
    assert f"board-{name}.svg" in notes.partition("## At the board")[2]
