"""Every chapter has the same skeleton, and the size that a reader can take."""

from __future__ import annotations

import re
import statistics

import nbformat
import pytest
import stamps
import yaml

import stn_tutorial

PATHS = stamps.notebook_paths()
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


@pytest.fixture(params=PATHS, ids=[path.stem[:2] for path in PATHS])
def notebook(request) -> nbformat.NotebookNode:
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


def test_the_skeleton_is_there_and_in_order(notebook):
    text = "\n\n".join(sources(notebook, "markdown"))
    found = [re.search(heading, text, re.MULTILINE) for heading in HEADINGS]
    missing = [h for h, match in zip(HEADINGS, found, strict=True) if not match]
    assert not missing
    places = [match.start() for match in found]
    assert places == sorted(places)


def test_the_title_is_the_first_line_and_the_only_one(notebook):
    titles = re.findall(
        r"^# .+", "\n".join(sources(notebook, "markdown")), re.MULTILINE
    )
    assert notebook.cells[0].source.startswith("# ")
    assert len(titles) == 1


def test_time_is_told_in_minutes(notebook):
    text = "\n\n".join(sources(notebook, "markdown"))
    assert re.search(r"^\*\*Time[:.]?\*\*[:.]?\s*(?:about )?\d+", text, re.MULTILINE)


def tagged(notebook: nbformat.NotebookNode, tag: str) -> list[dict]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def test_there_are_four_exercises_each_with_a_folded_solution(notebook):
    text = "\n\n".join(sources(notebook, "markdown"))
    exercises = re.findall(r"\{exercise(?:-start)?\}", text)
    solutions = tagged(notebook, "solution")
    assert len(exercises) >= 4
    assert len(solutions) >= len(exercises)
    assert all("hide-cell" in cell.metadata.tags for cell in solutions)


def test_half_the_exercises_ask_what_happens(notebook):
    text = "\n\n".join(sources(notebook, "markdown"))
    exercises = re.findall(r"\{exercise(?:-start)?\}(.*)", text)
    asking = [title for title in exercises if "what happens" in title.lower()]
    assert 2 * len(asking) >= len(exercises)


def test_six_cells_are_held_to_their_printed_result(notebook):
    held = tagged(notebook, "nbval-check-output")
    assert len(held) >= 6
    silent = [c.source for c in held if not any(map(says_something, c.outputs))]
    assert not silent, "a held cell prints something to hold it to"


def says_something(output: dict) -> bool:
    """Whether an output is a printed text or a table."""
    return "text" in output or "text/markdown" in output.get("data", {})


def test_cells_are_small_steps(notebook):
    lines = [len(source.splitlines()) for source in sources(notebook, "code")]
    assert max(lines) <= 40
    assert statistics.median(lines) <= 10


def test_the_text_is_a_chapter_long(notebook):
    words = len(re.findall(r"[^\W\d_][\w’'-]*", prose(notebook)))
    assert 2_000 <= words <= 4_000


def test_set_up_cells_differ_in_their_imports_alone():
    frames = [frame_of_set_up(nbformat.read(path, as_version=4)) for path in PATHS]
    for path, frame in zip(PATHS, frames, strict=True):
        assert frame == frames[0], path.name


def test_the_set_up_cell_installs_the_release_of_this_version(notebook):
    config = yaml.safe_load((stamps.ROOT / "_config.yml").read_text(encoding="utf-8"))
    set_up = sources(notebook, "code")[0]
    sources_of_packages = re.findall(r'"(git\+.*)"', set_up)
    url, tag = config["repository"]["url"], f"v{stn_tutorial.__version__}"
    assert sources_of_packages == [f"git+{url}@{tag}"]
    # What Colab has, torch above all, stays as it is: the package's ranges admit it.
    assert re.findall(r"%pip .*", set_up) == [
        '%pip install -q "stn-tutorial[course] @ {source}"'
    ]
