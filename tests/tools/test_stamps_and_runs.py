"""The tools behind `make`: what counts as stale, and what is never stored."""

from __future__ import annotations

import subprocess
import sys

import build_book
import nbformat
import pytest
import run_tests
import stamps
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


@pytest.fixture
def project(tmp_path):
    """A small project: one notebook, one module, one pin, and the tools."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "stn_tutorial").mkdir()
    (tmp_path / "tools").mkdir()
    (tmp_path / "stn_tutorial" / "a.py").write_text("x = 1\n")
    (tmp_path / "requirements.txt").write_text("numpy==1\n")
    for name in ("stamps.py", "processes.py", "run_notebooks.py"):
        source = stamps.ROOT / "tools" / name
        (tmp_path / "tools" / name).write_text(source.read_text(encoding="utf-8"))
    return tmp_path


def write(project, *cells):
    path = project / "notebooks" / "01_a.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A"), *cells]), path)
    return path


def run(project):
    command = [sys.executable, "tools/run_notebooks.py"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True)


def stamped(project):
    notebook = new_notebook(cells=[new_code_cell("1 + 1")])
    digest = stamps.current_digest(notebook, project)
    notebook.metadata[stamps.STAMP_KEY] = {"digest": digest}
    return notebook


def test_a_stamped_notebook_is_fresh(project):
    assert stamps.freshness(stamped(project), project) == "fresh"


def test_a_notebook_without_a_stamp_never_ran(project):
    assert stamps.freshness(new_notebook(), project) == "never run"


def test_a_changed_source_is_stale(project):
    notebook = stamped(project)
    notebook.cells[0].source = "1 + 2"
    state = stamps.freshness(notebook, project)
    assert state == "stale: the notebook changed"


def test_changed_results_make_those_stale_that_read_them(project):
    (project / "results").mkdir()
    (project / "results" / "a.json").write_text("1")
    other, reader = stamped(project), stamped(project)
    reader.cells[0].source = 'open("../results/a.json")'
    digest = stamps.current_digest(reader, project)
    reader.metadata[stamps.STAMP_KEY] = {"digest": digest}
    assert stamps.freshness(reader, project) == "fresh"
    (project / "results" / "b.json").write_text("2")
    assert stamps.freshness(reader, project) == "stale: the results changed"
    assert stamps.freshness(other, project) == "fresh"


def test_a_changed_package_and_changed_pins_are_stale(project):
    notebook = stamped(project)
    (project / "stn_tutorial" / "a.py").write_text("x = 2\n")
    (project / "requirements.txt").write_text("numpy==2\n")
    state = stamps.freshness(notebook, project)
    assert state == "stale: the package, the pins changed"


def test_outputs_and_run_times_are_no_part_of_the_source():
    notebook = new_notebook(cells=[new_code_cell("1 + 1")])
    before = stamps.digest_notebook(notebook)
    notebook.cells[0].execution_count = 7
    notebook.cells[0].metadata["execution"] = {"iopub.status.busy": "now"}
    assert stamps.digest_notebook(notebook) == before
    notebook.cells[0].metadata["tags"] = ["nbval-check-output"]
    assert stamps.digest_notebook(notebook) != before


def test_line_endings_do_not_matter(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"one\ntwo\n")
    before = stamps.digest_files([file], tmp_path)
    file.write_bytes(b"one\r\ntwo\r\n")
    assert stamps.digest_files([file], tmp_path) == before


def test_a_run_stores_outputs_joined_and_stamped(project):
    path = write(project, new_code_cell("print(1)\nprint(2, flush=True)\nprint(3)"))
    result = run(project)
    assert result.returncode == 0, result.stderr
    notebook = nbformat.read(path, as_version=4)
    assert [output.text for output in notebook.cells[1].outputs] == ["1\n2\n3\n"]
    assert stamps.freshness(notebook, project) == "fresh"
    assert "01_a.ipynb: fresh" in run(project).stdout


def test_a_failing_cell_is_shown_and_not_stored(project):
    path = write(project, new_code_cell("half = 1 / 2\nhalf / 0"))
    before = path.read_bytes()
    result = run(project)
    assert result.returncode == 1
    assert "cell 1" in result.stderr and "ZeroDivisionError" in result.stderr
    assert "half / 0" in result.stderr
    assert path.read_bytes() == before


def test_a_cell_that_writes_to_stderr_is_not_stored(project):
    path = write(project, new_code_cell("import sys\nprint('oh', file=sys.stderr)"))
    before = path.read_bytes()
    result = run(project)
    assert result.returncode == 1
    assert "wrote to stderr" in result.stderr
    assert path.read_bytes() == before


def test_every_kind_of_entry_of_the_toc_is_counted(tmp_path):
    toc = tmp_path / "_toc.yml"
    toc.write_text(
        "root: a\nparts:\n- chapters:\n  - file: b\n    sections:\n    - file: c\n"
    )
    assert build_book.pages_in_toc(toc) == ["a", "b", "c"]


def test_a_page_that_was_not_rendered_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(build_book, "HTML", tmp_path)
    assert build_book.missing_pages() == build_book.pages_in_toc()


def test_a_stage_is_run_again_where_its_surroundings_change(monkeypatch):
    before = run_tests.stage_digest(["tools"])
    assert run_tests.stage_digest(["tools"]) == before
    monkeypatch.setenv("STN_TUTORIAL_MIRROR", "file:///elsewhere")
    assert run_tests.stage_digest(["tools"]) != before
