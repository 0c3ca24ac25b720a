"""The tools behind `make`: what counts as stale, and what is never stored."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import build_book
import pytest
import run_tests
import stamps
import yaml


def code_cell(source, **metadata):
    # Made here, as importing nbformat takes seconds.
    empty = {"outputs": [], "execution_count": None, "metadata": metadata}
    return {"cell_type": "code", "source": source, **empty}


def new_notebook(*cells):
    return {"cells": [*cells], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}


def prose(source):
    return {"cell_type": "markdown", "source": source, "metadata": {}}


@pytest.fixture
def project(tmp_path):
    """A small project: one notebook, one module, one pin, and the tools."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "stn_tutorial").mkdir()
    (tmp_path / "tools").mkdir()
    package = tmp_path / "stn_tutorial"
    (package / "__init__.py").write_text("from stn_tutorial.a import x\n")
    (package / "a.py").write_text('"""A."""\nfrom stn_tutorial.b import y\n\nx = y\n')
    (package / "b.py").write_text("y = 1\n")
    (package / "other.py").write_text("z = 1\n")
    (tmp_path / "requirements.txt").write_text("numpy==1 ; x\ncodespell==1\n")
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['numpy>=1']\n")
    for name in ("stamps", "reach", "processes", "kernels", "run_notebooks"):
        source = stamps.ROOT / "tools" / f"{name}.py"
        (tmp_path / "tools" / source.name).write_text(
            source.read_text(encoding="utf-8")
        )
    return tmp_path


def write(project, name, code, **metadata):
    path = project / "notebooks" / f"{name}.ipynb"
    notebook = new_notebook(prose("# A"), code_cell(code, **metadata))
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def run(project):
    command = [sys.executable, "tools/run_notebooks.py"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True)


def stamped(project, code="1 + 1"):
    notebook = new_notebook(code_cell(code), prose("Prose."))
    digest = stamps.current_digest(notebook, project)
    notebook["metadata"][stamps.STAMP_KEY] = {"digest": digest}
    return notebook


def test_a_stamped_notebook_is_fresh(project):
    assert stamps.freshness(stamped(project), project) == "fresh"


def test_a_notebook_without_a_stamp_never_ran(project):
    assert stamps.freshness(new_notebook(), project) == "never run"


def test_changed_code_is_stale_and_changed_prose_is_not(project):
    notebook = stamped(project)
    notebook["cells"][1]["source"] = "Better prose."
    assert stamps.freshness(notebook, project) == "fresh"
    notebook["cells"][0]["source"] = "1 + 2"
    assert stamps.freshness(notebook, project) == "stale: the code changed"


@pytest.mark.parametrize(
    "code",
    [
        "from stn_tutorial import x",
        "from stn_tutorial import a",
        "import stn_tutorial as stn",
        "import stn_tutorial.a",
        "def later():\n    from stn_tutorial.a import x",
        "%pip install x\n!ls\nfrom stn_tutorial.b import y",
    ],
)
def test_what_a_module_does_makes_those_stale_that_reach_it(project, code):
    notebook, other = stamped(project, code), stamped(project)
    (project / "stn_tutorial" / "b.py").write_text("y = 2\n")
    assert stamps.freshness(notebook, project) == "stale: the modules changed"
    assert stamps.freshness(other, project) == "fresh"


def test_what_a_module_says_makes_nothing_stale(project):
    notebook = stamped(project, "from stn_tutorial import x")
    module = project / "stn_tutorial" / "a.py"
    module.write_text(
        '"""A, said better."""\n# Why.\nfrom stn_tutorial.b import y\nx = (y)\n'
    )
    assert stamps.freshness(notebook, project) == "fresh"
    shown = "import inspect\nfrom stn_tutorial import a\nprint(inspect.getsource(a))"
    notebook = stamped(project, shown)
    module.write_text(module.read_text() + "# Shown, since the chapter prints it.\n")
    assert stamps.freshness(notebook, project) == "stale: the modules changed"


def test_a_module_that_is_not_reached_makes_nothing_stale(project):
    notebook = stamped(project, "from stn_tutorial import x")
    (project / "stn_tutorial" / "other.py").write_text("z = 2\n")
    assert stamps.freshness(notebook, project) == "fresh"


def test_a_notebook_that_runs_a_command_reaches_it(project):
    (project / "stn_tutorial" / "__main__.py").write_text("import stn_tutorial.other\n")
    notebook = stamped(project, 'subprocess.run([python, "-m", "stn_tutorial", "x"])')
    (project / "stn_tutorial" / "other.py").write_text("z = 2\n")
    assert stamps.freshness(notebook, project) == "stale: the modules changed"


def test_pins_of_what_chapters_import_count_and_others_do_not(project):
    notebook = stamped(project)
    pins = project / "requirements.txt"
    pins.write_text("numpy==1 --hash=sha256:00\ncodespell==2\n")
    assert stamps.freshness(notebook, project) == "fresh"
    pins.write_text("numpy==2\ncodespell==2\n")
    assert stamps.freshness(notebook, project) == "stale: the pins changed"


def test_changed_results_make_those_stale_that_name_their_folder(project):
    for name in ("one", "two"):
        (project / "results" / name).mkdir(parents=True)
        (project / "results" / name / "a.json").write_text("1")
    other = stamped(project)
    reader = stamped(project, 'read(results_folder() / "one")')
    (project / "results" / "two" / "b.json").write_text("2")
    assert stamps.freshness(reader, project) == "fresh"
    (project / "results" / "one" / "b.json").write_text("2")
    assert stamps.freshness(reader, project) == "stale: the results changed"
    assert stamps.freshness(other, project) == "fresh"


def test_changed_weights_make_those_stale_that_name_their_folder(project):
    (project / "results" / "one" / "weights").mkdir(parents=True)
    weights = project / "results" / "one" / "weights" / "a.safetensors"
    weights.write_bytes(b"1")
    notebook = stamped(project, 'load(results_folder() / "one" / "weights")')
    weights.write_bytes(b"2")
    assert stamps.freshness(notebook, project) == "stale: the results changed"


def test_what_git_ignores_among_results_makes_nothing_stale(project):
    subprocess.run(["git", "init", "-q", project], check=True)
    (project / ".gitignore").write_text("runs/\n")
    folder = project / "results" / "one"
    (folder / "runs").mkdir(parents=True)
    (folder / "a.json").write_text("1")
    notebook = stamped(project, 'read(results_folder() / "one")')
    (folder / "runs" / "a.lock").touch()
    assert stamps.freshness(notebook, project) == "fresh"
    (folder / "b.json").write_text("2")
    assert stamps.freshness(notebook, project) == "stale: the results changed"


def test_a_notebook_reads_no_results_where_there_are_none(project):
    (project / "results").mkdir()
    reader = new_notebook(code_cell("read(results_folder())"))
    assert stamps.results_of(reader, project) == []


def test_outputs_and_run_times_are_no_part_of_the_source():
    notebook = new_notebook(code_cell("1 + 1"))
    before = stamps.digest_notebook(notebook)
    notebook["cells"][0]["execution_count"] = 7
    notebook["cells"][0]["metadata"]["execution"] = {"iopub.status.busy": "now"}
    assert stamps.digest_notebook(notebook) == before


def test_files_are_seen_inside_a_folder_that_an_outer_repository_ignores(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("inner/\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "a.txt").write_text("1")
    assert stamps.project_files(root=inner) == [inner / "a.txt"]


def test_line_endings_do_not_matter(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"one\ntwo\n")
    before = stamps.digest_files([file], tmp_path)
    file.write_bytes(b"one\r\ntwo\r\n")
    assert stamps.digest_files([file], tmp_path) == before


def test_a_run_stores_what_went_well_and_nothing_else(project):
    good = write(
        project, "01_a", "print(1)\nprint(2, flush=True)\nprint(3)", tags=["keep"]
    )
    fails = write(project, "02_b", "half = 1 / 2\nhalf / 0")
    noisy = write(project, "03_c", "import sys\nprint('oh', file=sys.stderr)")
    before = [path.read_bytes() for path in (fails, noisy)]
    result = run(project)
    assert result.returncode == 1
    notebook = json.loads(good.read_text(encoding="utf-8"))
    cell = notebook["cells"][1]
    assert ["".join(output["text"]) for output in cell["outputs"]] == ["1\n2\n3\n"]
    assert cell["metadata"] == {"tags": ["keep"]}
    assert stamps.freshness(notebook, project) == "fresh"
    assert "02_b.ipynb, cell 1" in result.stderr
    assert "half / 0" in result.stderr and "ZeroDivisionError" in result.stderr
    assert "03_c.ipynb, cell 1 wrote to stderr" in result.stderr
    assert [path.read_bytes() for path in (fails, noisy)] == before


def test_scripts_of_figures_and_quizzes_are_brought_up_to_date(project):
    course = project / "stn_tutorial" / "course"
    (course / "explore").mkdir(parents=True)
    (course / "explore" / "a.js").write_text("const now = 2;\n")
    (course / "b.js").write_text("const here = 3;\n")
    html = '<script data-stn="{}">{}</script><script>start();</script>'
    path = write(project, "01_a", "1 + 1")
    notebook = json.loads(path.read_text(encoding="utf-8"))
    digest = stamps.current_digest(notebook, project)
    notebook["metadata"][stamps.STAMP_KEY] = {"digest": digest}
    stale = html.format("a.js", "const before = 1;\n") + html.format("b.js", "")
    output = {"output_type": "display_data", "data": {"text/html": stale}}
    notebook["cells"][1]["outputs"] = [{**output, "metadata": {}}]
    path.write_text(json.dumps(notebook), encoding="utf-8")
    assert "01_a.ipynb: fresh, its scripts brought up to date" in run(project).stdout
    notebook = json.loads(path.read_text(encoding="utf-8"))
    stored = "".join(notebook["cells"][1]["outputs"][0]["data"]["text/html"])
    present = html.format("a.js", "const now = 2;\n")
    assert stored == present + html.format("b.js", "const here = 3;\n")
    assert "01_a.ipynb: fresh\n" in run(project).stdout


def test_every_kind_of_entry_of_the_toc_is_counted(tmp_path):
    toc = tmp_path / "_toc.yml"
    toc.write_text(
        "root: a\nparts:\n- chapters:\n  - file: b\n    sections:\n    - file: c\n"
    )
    assert build_book.pages_in_toc(toc) == ["a", "b", "c"]


def test_a_page_that_was_not_rendered_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(build_book, "HTML", tmp_path)
    assert build_book.missing_pages() == build_book.pages_in_toc()


def tools_behind(name: str, found: set[str]) -> set[str]:
    """A tool, and those that it imports, and those that they import in turn."""
    path = stamps.ROOT / "tools" / f"{name}.py"
    if name not in found and path.is_file():
        found.add(name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                tools_behind(node.module or "", found)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    tools_behind(alias.name, found)
    return found


def test_a_book_is_old_when_what_its_pages_are_made_with_changes():
    text = (stamps.ROOT / "_config.yml").read_text(encoding="utf-8")
    extensions = yaml.safe_load(text)["sphinx"]["local_extensions"]
    found: set[str] = set()
    for name in [*extensions, "build_book"]:
        tools_behind(name, found)
    assert {"editions", "student_edition", "plain_markdown", "reach"} <= found
    inputs = set(stamps.project_files(*build_book.INPUTS))
    assert {stamps.ROOT / "tools" / f"{name}.py" for name in found} <= inputs


def test_a_book_is_old_when_a_result_a_deck_or_a_pin_changes():
    inputs = stamps.project_files(*build_book.INPUTS)
    read = stamps.project_files("results", "slides", "pyproject.toml")
    assert len(read) > 2 and set(read) <= set(inputs)


def test_the_stage_of_the_notebooks_runs_again_when_a_file_changes_that_it_reads():
    depends_on, _ = run_tests.STAGES["notebooks"]
    read = stamps.project_files("book", "notebooks", ".gitignore", "_config.yml")
    assert set(read) <= set(stamps.project_files(*depends_on))


def test_a_stage_is_run_again_where_its_surroundings_change(monkeypatch):
    before = run_tests.stage_digest(["tools"])
    assert run_tests.stage_digest(["tools"]) == before
    monkeypatch.setenv("STN_TUTORIAL_MIRROR", "file:///elsewhere")
    assert run_tests.stage_digest(["tools"]) != before


def test_long_forms_are_another_run_and_left_out_of_the_usual_one():
    commands = [each for _, stage in run_tests.STAGES.values() for each in stage]
    asked = [run_tests.shorter(each)[len(each) :] for each in commands]
    tests = ["pytest" in each for each in commands]
    assert asked == [["-m", "not long"] if runs else [] for runs in tests]
    assert sum(tests) == 3
    usual, long = (run_tests.stage_digest(["tools"], long=k) for k in (False, True))
    assert usual != long
