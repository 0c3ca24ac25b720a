"""Every chapter has the same skeleton, and the size that a reader can take.

The tour, whose number is 0, is no chapter: it derives nothing, and is much shorter.
"""

from __future__ import annotations

import re
import statistics

import nbformat
import pytest
import stamps
import yaml

import stn_tutorial

PATHS = stamps.notebook_paths()
TOURS = [path for path in PATHS if path.name.startswith("00_")]
CHAPTERS = [path for path in PATHS if path not in TOURS]
HEADINGS = [
    r"\*\*You will\b",
    r"\*\*You need\b",
    r"\*\*Time\b",
    r"^#+ .*\bExercises\b",
    r"^#+ .*\bCheck yourself\b",
    r"^#+ .*\bSummary\b",
    r"^#+ .*\bWhere this is used\b",
    r"^#+ .*\bFurther reading\b",
]

# The longest that a reader is asked to sit, in minutes.
SITTING = 75

IN_A_TOUR = [heading for heading in HEADINGS if not re.search("used|Further", heading)]


def number(path) -> str:
    return path.stem[:2]


@pytest.fixture(params=CHAPTERS, ids=number)
def notebook(request) -> nbformat.NotebookNode:
    """A chapter."""
    return nbformat.read(request.param, as_version=4)


@pytest.fixture(params=TOURS, ids=number)
def tour(request) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


@pytest.fixture(params=PATHS, ids=number)
def any_notebook(request) -> nbformat.NotebookNode:
    """A chapter or a tour."""
    return nbformat.read(request.param, as_version=4)


def sources(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def prose(notebook: nbformat.NotebookNode) -> str:
    """Return the text a reader reads: no mathematics, no code, no options."""
    text = "\n\n".join(sources(notebook, "markdown"))
    text = re.sub(r"^(`{3,})(?!\{).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$", "", text, flags=re.DOTALL)
    return re.sub(r"^(:\w[\w-]*:.*|[`:]{3,}.*)$", "", text, flags=re.MULTILINE)


def frame_of_set_up(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the set-up cell without its imports and empty lines."""
    lines = sources(notebook, "code")[0].splitlines()
    imports = re.compile(r"(import|from) |    \w+,$|\)$")
    return [line for line in lines if line.strip() and not imports.match(line)]


def are_there_and_in_order(
    headings: list[str], notebook: nbformat.NotebookNode
) -> bool:
    text = "\n\n".join(sources(notebook, "markdown"))
    found = [re.search(heading, text, re.MULTILINE) for heading in headings]
    missing = [h for h, match in zip(headings, found, strict=True) if not match]
    assert not missing
    places = [match.start() for match in found]
    return places == sorted(places)


def test_the_skeleton_is_there_and_in_order(notebook):
    assert are_there_and_in_order(HEADINGS, notebook)


def test_the_skeleton_of_a_tour_is_there_and_in_order(tour):
    assert are_there_and_in_order(IN_A_TOUR, tour)


def test_the_title_is_the_first_line_and_the_only_one(any_notebook):
    text = "\n".join(sources(any_notebook, "markdown"))
    assert any_notebook.cells[0].source.startswith("# ")
    assert len(re.findall(r"^# .+", text, re.MULTILINE)) == 1


def minutes_to_read(notebook: nbformat.NotebookNode, heading: str = "") -> float:
    """What a chapter takes up to a heading, as book/how_to_use.md estimates it.

    Exercises are left out: each says for itself how long it takes.
    """
    words = cells = 0
    for cell in notebook.cells:
        if {"exercise", "solution"} & set(cell.metadata.get("tags", [])):
            continue
        text, found, _ = cell.source.partition(f"## {heading}\n" if heading else "\0")
        if cell.cell_type == "code":
            cells += 1
        elif "{exercise}" not in text:
            words += len(text.split())
        if found:
            break
    return words / 200 + cells / 2


def test_the_minutes_are_those_that_words_cells_and_exercises_give(any_notebook):
    text = "\n\n".join(sources(any_notebook, "markdown"))
    told = re.search(
        r"^\*\*Time\*\* (\d+) .+ exercises, (\d+) without", text, re.MULTILINE
    )
    whole, alone = map(int, told.groups())
    exercises = re.findall(r"\{exercise\} (.+) · (\d+) minutes", text)
    asked = sum(int(took) for title, took in exercises if "(optional)" not in title)
    assert abs(whole - alone - asked) <= 5, f"the exercises say {asked} minutes"
    estimate = minutes_to_read(any_notebook)
    assert abs(alone - estimate) <= 8, f"the text takes about {estimate:.0f} minutes"


def test_a_long_chapter_has_a_place_to_stop(any_notebook):
    text = "\n\n".join(sources(any_notebook, "markdown"))
    whole = int(re.search(r"^\*\*Time\*\* (\d+)", text, re.MULTILINE)[1])
    told = re.findall(r"Two sittings: (\d+) minutes up to \*(.+)\*, then (\d+)\.", text)
    stops = re.findall(
        r"^\*\*A place to stop\.\*\* .+\n\n(?:\(.+\)=\n)?## (.+)$", text, re.MULTILINE
    )
    if whole <= SITTING:
        assert not told and not stops
        return
    [(first, heading, second)] = told
    assert stops == [heading]
    assert int(first) + int(second) == whole
    assert max(int(first), int(second)) <= SITTING
    estimate = minutes_to_read(any_notebook, heading)
    assert abs(int(first) - estimate) <= 8, f"up to there: about {estimate:.0f} minutes"


def tagged(notebook: nbformat.NotebookNode, tag: str) -> list[dict]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def has_exercises(notebook: nbformat.NotebookNode, least: int) -> bool:
    """Whether there are so many, each with a solution, and every solution folded."""
    text = "\n\n".join(sources(notebook, "markdown"))
    exercises = re.findall(r"\{exercise(?:-start)?\}", text)
    solutions = tagged(notebook, "solution")
    folded = all("hide-cell" in cell.metadata.tags for cell in solutions)
    return len(solutions) >= len(exercises) >= least and folded


def test_there_are_four_exercises_each_with_a_folded_solution(notebook):
    assert has_exercises(notebook, 4)


def test_a_tour_has_two_exercises_each_with_a_folded_solution(tour):
    assert has_exercises(tour, 2)


def test_half_the_exercises_ask_what_happens(any_notebook):
    text = "\n\n".join(sources(any_notebook, "markdown"))
    exercises = re.findall(r"\{exercise(?:-start)?\}(.*)", text)
    asking = [title for title in exercises if "what happens" in title.lower()]
    assert 2 * len(asking) >= len(exercises)


def holds_cells(notebook: nbformat.NotebookNode, least: int) -> bool:
    """Whether so many cells are held to what they print, and all of these print."""
    held = tagged(notebook, "nbval-check-output")
    silent = [c.source for c in held if not any(map(says_something, c.outputs))]
    assert not silent, "a held cell prints something to hold it to"
    return len(held) >= least


def test_six_cells_are_held_to_their_printed_result(notebook):
    assert holds_cells(notebook, 6)


def test_three_cells_of_a_tour_are_held_to_their_printed_result(tour):
    assert holds_cells(tour, 3)


def says_something(output: dict) -> bool:
    """Whether an output is a printed text or a table."""
    return "text" in output or "text/markdown" in output.get("data", {})


def test_cells_are_small_steps(any_notebook):
    """The closing quiz is text, which the page shows in another form."""
    codes = sources(any_notebook, "code")
    quizzes = [code for code in codes if code.startswith("# @title Check yourself")]
    lines = [len(code.splitlines()) for code in codes if code not in quizzes]
    assert max(lines) <= 40
    assert statistics.median(lines) <= 10
    assert [len(quiz.splitlines()) <= 60 for quiz in quizzes] == [True]


def count_words(notebook: nbformat.NotebookNode) -> int:
    return len(re.findall(r"[^\W\d_][\w’'-]*", prose(notebook)))


def test_the_text_is_a_chapter_long(notebook):
    assert 2_000 <= count_words(notebook) <= 4_000


def test_the_text_of_a_tour_is_short(tour):
    assert 500 <= count_words(tour) <= 1_500


def test_set_up_cells_differ_in_their_imports_alone():
    frames = [frame_of_set_up(nbformat.read(path, as_version=4)) for path in PATHS]
    for path, frame in zip(PATHS, frames, strict=True):
        assert frame == frames[0], path.name


def test_the_set_up_cell_installs_the_release_of_this_version(any_notebook):
    config = yaml.safe_load((stamps.ROOT / "_config.yml").read_text(encoding="utf-8"))
    set_up = sources(any_notebook, "code")[0]
    sources_of_packages = re.findall(r'"(git\+.*)"', set_up)
    url, tag = config["repository"]["url"], f"v{stn_tutorial.__version__}"
    assert sources_of_packages == [f"git+{url}@{tag}"]
    # What Colab has, torch above all, stays as it is: the package's ranges admit it.
    assert re.findall(r"%pip .*", set_up) == [
        '%pip install -q "stn-tutorial[course] @ {source}"'
    ]
