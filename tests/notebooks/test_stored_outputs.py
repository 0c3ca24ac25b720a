"""The outputs stored in the notebooks are complete, fresh, and fit to be shown."""

from __future__ import annotations

import re

import nbformat
import pytest
import run_notebooks
import stamps

PATHS = stamps.notebook_paths()
MACHINE_PATH = re.compile(
    r"(?<![\w./:-])/(?:home|root|work|tmp|var|mnt|Users|opt)/[\w.]|\b[A-Z]:\\{1,2}\w"
)


@pytest.fixture(params=PATHS, ids=[path.stem[:2] for path in PATHS])
def notebook(request) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[tuple[int, dict]]:
    return [(i, c) for i, c in enumerate(notebook.cells) if c.cell_type == "code"]


def pictures(notebook: nbformat.NotebookNode) -> list[tuple[int, dict]]:
    def is_picture(output: dict) -> bool:
        return any(kind.startswith("image/") for kind in output.get("data", {}))

    return [(i, c) for i, c in code_cells(notebook) if any(map(is_picture, c.outputs))]


def texts(output: dict) -> list[str]:
    """Return what an output shows as text, markup included, pictures excluded."""
    found = [output.get("text", ""), *output.get("traceback", [])]
    for kind, content in output.get("data", {}).items():
        if not kind.startswith("image/") and isinstance(content, str):
            found.append(re.sub(r"data:[\w/+;,-]*base64,[\w+/=\s]*", "", content))
    return found


#: A line that ends in a truth value: "over twice as much: True".
TRUTH = re.compile(r"\b(True|False)\W*$", re.MULTILINE)


def test_numbers_are_the_evidence(notebook):
    """At most five lines say True or False: where that is the point, not the proof."""
    told = [
        line
        for _, cell in code_cells(notebook)
        if not {"remove-output", "remove-cell"} & set(cell.metadata.get("tags", []))
        for output in cell.outputs
        if output.get("output_type") in ("stream", "execute_result")
        for text in texts(output)
        for line in text.splitlines()
        if "<" not in line and TRUTH.search(line)
    ]
    assert len(told) <= 5, told


def test_there_are_chapters():
    assert PATHS


def test_outputs_are_fresh(notebook):
    assert stamps.freshness(notebook) == "fresh", "run `make notebooks`"


def test_stamp_says_where_and_how_long(notebook):
    stamp = notebook.metadata[stamps.STAMP_KEY]
    told = {"digest", "executed", "device", "python", "torch", "seconds"}
    assert told == set(stamp)


def test_every_code_cell_ran_in_order(notebook):
    counts = [c.execution_count for _, c in code_cells(notebook) if c.source.strip()]
    assert counts == list(range(1, len(counts) + 1))


def test_nothing_was_written_to_stderr(notebook):
    noisy = [
        index
        for index, cell in code_cells(notebook)
        for output in cell.outputs
        if output.get("name") == "stderr"
    ]
    assert not noisy


def test_tracebacks_are_stored_where_the_lesson_is_about_them_alone(notebook):
    failed = [
        index
        for index, cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "error"
        and "raises-exception" not in cell.metadata.get("tags", [])
    ]
    assert not failed


def test_no_path_of_a_machine_is_stored(notebook):
    found = [
        (index, match[0])
        for index, cell in code_cells(notebook)
        for output in cell.outputs
        for text in texts(output)
        if (match := MACHINE_PATH.search(text))
    ]
    assert not found


@pytest.mark.parametrize(
    "text", ["/home/me/x.py", "in /var/run/2.py", "'C:\\Users\\me'", "(/Users/me/a"]
)
def test_paths_of_machines_are_recognized(text):
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", ["a/b", "1/tmpl", "https://x.org/home/a", "dL/dx"])
def test_other_slashes_are_no_paths_of_machines(text):
    assert not MACHINE_PATH.search(text)


def test_what_is_displayed_as_markdown_is_set_with_its_tables(notebook):
    """Without the option, the book shows a table's bars and dashes."""
    plain = [
        index
        for index, cell in code_cells(notebook)
        if any("text/markdown" in output.get("data", {}) for output in cell.outputs)
        and cell.metadata.get("mystnb", {}).get("markdown_format") != "myst"
    ]
    assert not plain


def test_every_picture_has_alt_text_caption_and_name(notebook):
    lacking = []
    for index, cell in pictures(notebook):
        told = cell.metadata.get("mystnb", {})
        alt = told.get("image", {}).get("alt", "")
        figure = told.get("figure", {})
        if len(alt) < 40 or not figure.get("caption") or not figure.get("name"):
            lacking.append((index, alt, dict(figure)))
    assert not lacking


def test_no_picture_is_stored_in_two_formats(notebook):
    for index, cell in pictures(notebook):
        for output in cell.outputs:
            kinds = [k for k in output.get("data", {}) if k.startswith("image/")]
            assert len(kinds) < 2, index


def test_what_is_held_to_its_output_draws_nothing(notebook):
    held = [
        index
        for index, cell in pictures(notebook)
        if "nbval-check-output" in cell.metadata.get("tags", [])
    ]
    assert not held, "a drawing differs by a version's last digits"


def test_no_picture_lacks_the_picture_it_describes(notebook):
    shown = [index for index, _ in pictures(notebook)]
    told = [
        i for i, c in code_cells(notebook) if "figure" in c.metadata.get("mystnb", {})
    ]
    assert set(told) <= set(shown)


def test_names_of_figures_are_unique_in_the_book():
    names = [
        cell.metadata.get("mystnb", {}).get("figure", {}).get("name", index)
        for path in PATHS
        for index, cell in pictures(nbformat.read(path, as_version=4))
    ]
    assert len(names) == len(set(names)), sorted(names)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem[:2])
def test_a_notebook_stays_small(path):
    assert path.stat().st_size < 2_000_000


def test_explorables_are_stored_as_pages_show_them_and_light(notebook):
    weight = 0
    for _, cell in code_cells(notebook):
        for output in cell.outputs:
            html = output.get("data", {}).get("text/html", "")
            if "stn-explore" in html:
                assert set(output.data) == {"text/html", "text/plain"}
                assert run_notebooks.with_present_scripts(html) == html, (
                    "make notebooks"
                )
                weight += len(html)
    assert weight < 500_000
