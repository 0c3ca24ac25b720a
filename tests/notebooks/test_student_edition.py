"""Nothing of a solution is left in the student edition, and everything else is there.

The editions are compared cell by cell, as JSON, with the chapters that they are of.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import stamps
import student_edition
import yaml

import stn_tutorial

PATHS = stamps.notebook_paths()
each_chapter = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem[:2])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("edition")
    student_edition.write(folder)
    return folder


def cells(path: Path) -> list[dict]:
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in found]


def is_solution(cell: dict) -> bool:
    return "solution" in cell["metadata"].get("tags", [])


def is_stub(cell: dict) -> bool:
    return "exercise" in cell["metadata"].get("tags", [])


def strings(value: object) -> Iterator[str]:
    """All that is written in a piece of JSON; lists of lines as one text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        if all(isinstance(each, str) for each in value):
            yield "".join(value)
        else:
            for each in value:
                yield from strings(each)


def text_of(found: list[dict]) -> str:
    """Sources, outputs, captions and descriptions, with one blank for many."""
    written = "\n".join(strings([[c["source"], c["metadata"]] for c in found]))
    outputs = "\n".join(strings([c.get("outputs", []) for c in found]))
    return " ".join(f"{written}\n{outputs}".split())


def traces(solution: dict) -> set[str]:
    """Pieces of a solution that would give it away: lines, sentences, pictures."""
    pieces = []
    for text in strings([solution["source"], solution["metadata"].get("mystnb", {})]):
        pieces += re.split(r"\n|(?<=[.:;?]) ", text)
    for text in strings([output.get("data", {}) for output in solution["outputs"]]):
        pieces += [text[k : k + 80] for k in range(0, len(text) - 80, 997)]
    for text in strings([output.get("text", "") for output in solution["outputs"]]):
        pieces += text.splitlines()
    joined = {" ".join(piece.strip(" #").split()) for piece in pieces}
    return {piece for piece in joined if len(piece) >= 12}


@each_chapter
def test_nothing_of_a_solution_is_left(path, folder):
    chapter, edition = cells(path), cells(folder / path.name)
    solutions = [{"outputs": [], **cell} for cell in chapter if is_solution(cell)]
    told_anyway = text_of([cell for cell in chapter if not is_solution(cell)])
    of_solutions, of_edition = text_of(solutions), text_of(edition)
    for solution in solutions:
        own = {piece for piece in traces(solution) if piece not in told_anyway}
        assert own, f"nothing to look for in {solution['id']}"
        assert all(piece in of_solutions for piece in own)
        assert not [piece for piece in own if piece in of_edition]


@each_chapter
def test_all_other_cells_are_there_and_in_order(path, folder):
    chapter, edition = cells(path), cells(folder / path.name)
    kept = [cell["id"] for cell in chapter if not is_solution(cell)]
    assert [cell["id"] for cell in edition] == kept
    assert len(kept) < len(chapter)


@each_chapter
def test_stubs_are_there_with_their_checks_and_without_outputs(path, folder):
    chapter = [cell for cell in cells(path) if is_stub(cell)]
    edition = [cell for cell in cells(folder / path.name) if is_stub(cell)]
    assert [c["source"] for c in edition] == [c["source"] for c in chapter]
    assert edition and all("checks." in c["source"] for c in edition)
    for cell in edition:
        assert cell["outputs"] == [] and cell["execution_count"] is None


def words(text: str) -> list[str]:
    """The words of a text, without what is only markup of one edition or the other."""
    markup = r"\{[\w:]+\}`[^`]*`|^\([\w-]+\)=$|^:label:.*$|\$\$ \([\w-]+\)"
    markup += r"|\{exercise\}|\{dropdown\}|\]\([^)]*\)|</?\w+>|\\tag\{[^}]*\}"
    return re.findall(r"[^\W_]+", re.sub(markup, " ", text, flags=re.MULTILINE))


@each_chapter
def test_all_else_is_as_it_was(path, folder):
    """Explorables, pictures and every word of the text, in their order."""
    before = {cell["id"]: cell for cell in cells(path)}
    for now in cells(folder / path.name):
        was = before[now["id"]]
        if now["cell_type"] == "code" and not is_stub(now):
            assert now == was
        elif now["cell_type"] == "markdown":
            written = iter(words(now["source"]))
            lost = [word for word in words(was["source"]) if word not in written]
            assert not lost, now["source"]


@each_chapter
def test_colab_can_show_the_text(path, folder):
    for cell in cells(folder / path.name):
        if cell["cell_type"] == "markdown":
            text = re.sub(r"^`{3}.*?^`{3}", "", cell["source"], flags=re.S | re.M)
            assert not re.findall(r"\{[\w:-]+\}`|^:{3,}.*|^\([\w-]+\)=$", text, re.M)
            assert not re.findall(r"\$\$ \([\w-]+\)", text)
            assert text.count("<details>") == text.count("</details>")


@each_chapter
def test_colab_opens_the_edition_and_the_set_up_installs_the_release(path, folder):
    config = yaml.safe_load((stamps.ROOT / "_config.yml").read_text(encoding="utf-8"))
    repository = config["repository"]["url"].removeprefix("https://github.com/")
    edition = cells(folder / path.name)
    text = "\n".join(c["source"] for c in edition if c["cell_type"] == "markdown")
    version = stn_tutorial.__version__
    assert re.findall(r"https://colab\.[^)]+", text) == [
        f"https://colab.research.google.com/github/{repository}/blob/"
        f"student-v{version}/{path.name}"
    ]
    assert "https://colab." in edition[0]["source"]
    assert f"{repository}@v{version}" in edition[1]["source"]


@each_chapter
def test_links_lead_somewhere(path, folder):
    """To another notebook of the edition, or out: the book's folder is not there."""
    edition = cells(folder / path.name)
    text = "\n".join(c["source"] for c in edition if c["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert target.startswith("https://") or (folder / target).is_file(), target
    book = re.findall(r"https://[\w.-]+\.github\.io/[\w-]+/([\w/-]+)\.html", text)
    assert f"notebooks/{path.stem}" in book
    for page in book:
        assert any(
            (stamps.ROOT / f"{page}{end}").is_file() for end in (".md", ".ipynb")
        )


@each_chapter
def test_nothing_refers_to_a_figure_of_a_solution(path, folder):
    gone = [c["metadata"].get("mystnb", {}) for c in cells(path) if is_solution(c)]
    names = {each["figure"]["name"] for each in gone if "figure" in each}
    text = "\n".join(cell["source"] for cell in cells(folder / path.name))
    assert not names & set(re.findall(r"[\w-]+", text))


def test_an_edition_is_a_notebook_and_says_nothing_of_a_run(folder):
    notebook = nbformat.read(folder / PATHS[0].name, as_version=4)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


def test_the_same_chapters_make_the_same_files(folder, tmp_path):
    student_edition.write(tmp_path)
    assert {path.name for path in folder.iterdir()} == {path.name for path in PATHS}
    for path in PATHS:
        assert (tmp_path / path.name).read_bytes() == (folder / path.name).read_bytes()


def test_one_chapter_can_be_chosen(tmp_path):
    (path,) = student_edition.write(tmp_path / "new", "03")
    assert list((tmp_path / "new").iterdir()) == [path]
    assert path.name.startswith("03_")


def test_answers_are_kept_when_the_edition_is_written_anew(tmp_path):
    (path,) = student_edition.write(tmp_path, "01")
    fresh = path.read_text(encoding="utf-8")
    assert "answer_swap = ..." in fresh
    answered = fresh.replace("answer_swap = ...", "answer_swap = 'nothing'")
    path.write_text(answered, encoding="utf-8")
    for _ in range(2):
        student_edition.write(tmp_path, "01")
        assert path.read_text(encoding="utf-8") == fresh
        kept = tmp_path / f"kept_{path.name}"
        assert kept.read_text(encoding="utf-8") == answered
    assert set(tmp_path.iterdir()) == {path, kept}


def test_the_edition_is_no_part_of_the_repository():
    ignored = (stamps.ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "student/" in ignored
    config = yaml.safe_load((stamps.ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert "student" in config["exclude_patterns"]


OPEN = "Not answered yet: choose one.\n"


def written(stub: str, below: str = "1 + 1") -> nbformat.NotebookNode:
    code = [nbformat.v4.new_code_cell(source) for source in (stub, below)]
    code[0].metadata["tags"] = ["exercise", "raises-exception"]
    return nbformat.v4.new_notebook(cells=code)


@pytest.mark.parametrize(
    ("stub", "faults"), [(f"print({OPEN.strip()!r})", []), ("1 / 0", ["stops"])]
)
def test_a_run_goes_from_top_to_bottom(stub, faults, tmp_path):
    path = tmp_path / "tiny.ipynb"
    nbformat.write(written(stub), path)
    found = asyncio.run(student_edition.run(path, tmp_path, asyncio.Semaphore(1)))
    assert len(found) == len(faults)
    for each, fault in zip(found, faults, strict=True):
        assert each.startswith(f"tiny.ipynb {fault}") and "ZeroDivisionError" in each


@pytest.mark.parametrize(
    ("said", "noise", "faults"),
    [
        (OPEN, "", []),
        (OPEN, "UserWarning: old", ["a warning, 'UserWarning: old'"]),
        ("Correct.\n", "", ["a stub says 'Correct.\\n'"]),
        (OPEN + OPEN, "", [f"a stub says {OPEN + OPEN!r}"]),
        ("", "", ["a stub says ''"]),
    ],
)
def test_a_run_finds_what_a_student_should_not_meet(said, noise, faults):
    notebook = written("")
    for cell, name, text in zip(
        notebook.cells, ("stdout", "stderr"), (said, noise), strict=True
    ):
        cell.outputs = [nbformat.v4.new_output("stream", name=name, text=text)]
    assert student_edition.faults(notebook) == faults
