"""Notebooks that run alone in rooms of their own, and what is told of them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import colab
import matrix
import nbformat
import on_cuda
import pytest
import rooms
import runs_on
import stamps
import yaml

import stn_tutorial

CODE = nbformat.v4.new_code_cell


def awaited(run: Coroutine) -> rooms.Run:
    """What a run returns. The browser's tests may have a loop in this very thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run).result()


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """A function that runs cells as a notebook alone, without a word on versions."""
    monkeypatch.setattr(stamps, "ROOT", tmp_path)
    monkeypatch.setattr(rooms, "DESCRIBE", "print('{\"megabytes\": 1}')")

    def run(*cells) -> rooms.Run:
        path = tmp_path / "00_made_up.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), path)
        return awaited(rooms.run_alone(path, Path(sys.executable), rooms.clean()))

    return run


def test_what_is_wrong_with_a_run_is_told_and_a_good_one_is_measured(notebook):
    """One kernel for all that needs no end of its own: a kernel takes a second."""
    right, wrong = CODE("print(1)"), CODE("2")
    for cell in (right, wrong):
        cell.metadata["tags"] = ["nbval-check-output"]
        cell.outputs = [nbformat.v4.new_output("stream", text="1\n")]
    good = notebook(CODE("import os\nassert os.listdir() == []"), right)
    assert good.problems == [] and good.checked == 1
    assert 0 < good.seconds_to_set_up <= good.seconds
    assert good.notebook == "00_made_up.ipynb"
    (differs,) = notebook(CODE(""), wrong).problems
    assert "shows '2'" in differs and "stored is '1\\n'" in differs


def test_warnings_failures_and_files_that_stay_are_problems(notebook):
    run = notebook(
        CODE("open('left.txt', 'w').close()"),
        CODE("import warnings; warnings.warn('old', DeprecationWarning)"),
        CODE("open('../results/table.md')"),
        CODE("raise SystemExit"),
    )
    failed, left, warned = run.problems
    assert failed.startswith("cell 2 failed") and "FileNotFoundError" in failed
    assert left == "it leaves files behind: left.txt"
    assert "code cell 1 wrote to stderr" in warned and "old" in warned


def test_git_finds_this_checkout_in_the_forge_s_place():
    address = "https://forge.example/somebody/something"
    with rooms.forge(address) as places:

        def git(*words: str) -> str:
            done = subprocess.run(
                ["git", *words],
                env=rooms.clean(**places),
                check=True,
                capture_output=True,
                text=True,
            )
            return done.stdout

        told = git("ls-remote", "--tags", address)
        tag = f"refs/tags/v{stn_tutorial.__version__}"
        assert told.split()[1:] == [tag]
        clone = Path(
            places["GIT_CONFIG_KEY_0"].split("file://")[1].split(".instead")[0]
        )
        names = set(
            git("-C", str(clone), "ls-tree", "-r", "--name-only", tag).split("\n")
        )
    assert {"pyproject.toml", "stn_tutorial/__init__.py", "results/README.md"} <= names


def test_the_address_of_the_forge_is_the_one_of_the_set_up_cells():
    for path in stamps.notebook_paths():
        (first, *_) = stamps.code_of(json.loads(path.read_text(encoding="utf-8")))
        assert f'"git+{colab.address()}@v{rooms.package_version()}"' in first


def test_a_layer_has_what_lies_below_it_and_keeps_what_is_put_into_it(tmp_path):
    python = rooms.layer(tmp_path / "a layer", Path(sys.executable))
    code = "import sys, numpy; print(sys.prefix)"
    told = subprocess.run([python, "-c", code], **rooms.captured()).stdout
    assert told.strip() == str(tmp_path / "a layer")
    before = rooms.digest_of("numpy", python)
    assert before == rooms.digest_of("numpy", Path(sys.executable))
    assert before != rooms.digest_of("pytest", python)


def test_what_the_checkout_is_found_by_is_no_part_of_a_room(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    monkeypatch.setenv("STN_TUTORIAL_MIRROR", "kept")
    assert "PYTHONPATH" not in rooms.clean()
    assert rooms.clean(A="b")["A"] == "b"
    assert rooms.clean()["STN_TUTORIAL_MIRROR"] == "kept"


def test_a_python_that_is_not_there_is_told_of():
    python, note = rooms.interpreter("9.9")
    assert python == sys.executable and "9.9" in note
    assert rooms.interpreter(".".join(map(str, sys.version_info[:2])))[1] == ""


def test_colab_has_not_what_is_pinned():
    pinned = (stamps.ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert f"torch=={colab.TORCH.removesuffix('.*')}" not in pinned
    assert not any("torchvision" in version for version in colab.VERSIONS)


def test_every_notebook_runs_as_in_colab_the_longest_first(monkeypatch, tmp_path):
    found = colab.notebooks("")
    chapters = [path for path in found if path.parent.name == "notebooks"]
    assert sorted(chapters) == stamps.notebook_paths()
    seconds = [stamps.seconds_taken(path) for path in found]
    assert seconds == sorted(seconds, reverse=True)
    for name in ("notebooks/03_a.ipynb", "student/03_a.ipynb", "notebooks/04_b.ipynb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"metadata": {}}', encoding="utf-8")
    monkeypatch.setattr(stamps, "ROOT", tmp_path)
    assert [path.parent.name for path in colab.notebooks("03")] == [
        "notebooks",
        "student",
    ]


def made_up_run(**more) -> rooms.Run:
    told = {"versions": {"python": "3.10.1", "torch": "2.6.0", "numpy": "1.26.4"}}
    return rooms.Run("notebooks/03_a.ipynb", 61.4, 8.2, 900, 7, told=told, **more)


def test_the_report_of_a_room_tells_seconds_memory_versions_and_what_failed():
    text = colab.report([made_up_run(), made_up_run(problems=["bad"])], "a note")
    assert "| notebooks/03_a.ipynb | passed | 61 | 8 | 900 | 7 |" in text
    assert "bad" in text and "a note" in text and "torch 2.6.0" in text
    assert text.endswith("1 passed, 1 failed")


def test_tests_are_counted_as_pytest_tells_of_them(tmp_path):
    told = tmp_path / "tests.xml"
    told.write_text(
        "<testsuites><testsuite>"
        '<testcase classname="a" name="one"/><testcase classname="a" name="two">'
        "<skipped/></testcase>"
        '<testcase classname="a" name="three"><failure/></testcase>'
        '<testcase classname="a" name="four"><error/></testcase>'
        "</testsuite></testsuites>",
        encoding="utf-8",
    )
    assert matrix.counts(told) == {
        "passed": 1,
        "skipped": 1,
        "failed": 2,
        "failures": ["a::three", "a::four"],
    }


def test_the_rows_of_the_matrix_are_the_ends_of_what_the_package_allows():
    project = stamps.tomllib.loads((stamps.ROOT / "pyproject.toml").read_text("utf-8"))
    project = project["project"]
    python, versions = matrix.ROWS["oldest"]
    assert project["requires-python"] == f">={python}"
    for requirement in project["dependencies"]:
        assert requirement.replace(">=", "==") + ".*" in versions
    assert {"torch", "numpy"} <= set(matrix.ROWS["newest"][1])


def test_the_tests_of_the_method_are_there():
    found = matrix.tests_of_the_method()
    assert all((stamps.ROOT / name).is_file() for name in found)
    assert {"tests/test_sampling.py", "tests/test_transformer.py"} <= set(found)
    assert "tests/test_training.py" not in found


@pytest.mark.parametrize("whole", [False, True])
def test_long_forms_run_with_the_whole_package_alone(monkeypatch, whole):
    asked = []
    monkeypatch.setattr(matrix, "environment_of", lambda row: Path(sys.executable))
    monkeypatch.setattr(matrix, "run_tests", lambda _, what: asked.extend(what) or {})
    # No chapter is run, and browsers of other tests may have a loop of their own here.
    monkeypatch.setattr(rooms, "run_all", lambda *_: [])
    monkeypatch.setattr(asyncio, "run", lambda runs: runs)
    matrix.run_row("newest", whole=whole, chapters=("99",), jobs=1)
    assert ("not long" in asked) == (not whole)


def test_a_room_that_cannot_be_had_is_told_of(monkeypatch):
    monkeypatch.setitem(matrix.ROWS, "newest", ("9.9", ["torch"]))
    told = matrix.run_row("newest", whole=False, chapters=("00",), jobs=1)
    assert "9.9" in told["not_run"]
    assert not matrix.failed(told)


def test_a_notebook_that_does_not_end_in_time_has_failed(monkeypatch):
    async def endless(*_):
        await asyncio.sleep(60)

    monkeypatch.setattr(rooms, "run_alone", endless)
    path = stamps.notebook_paths()[0]
    run = awaited(on_cuda.run_in_time(path, {}, 0.0))
    assert run.notebook == f"notebooks/{path.name}" and "did not end" in run.problems[0]


def test_a_run_without_a_gpu_sees_none():
    assert on_cuda.environment("cpu")["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in set(on_cuda.environment("cuda")) - set(
        rooms.clean()
    )


def test_the_page_says_what_ran_what_failed_and_what_did_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "RUNS_ON", tmp_path)
    tests = {"which": "the method", "passed": 1234, "failed": 1, "skipped": 0}
    about = {"tests": tests | {"failures": ["a::three[1]", "a::three[2]"]}}
    about |= rooms.summary([made_up_run(problems=["bad"])])
    about["asked"] = [f"--editable={stamps.ROOT}"]
    rooms.record("oldest", about)
    rooms.record("newest", {"not_run": "no such Python"})
    told = runs_on.read(tmp_path)
    assert set(told) == {"oldest", "newest"}
    assert told["oldest"]["asked"] == ["--editable=…"]  # and nobody's folder
    row = " | ".join(runs_on.row_of("oldest", told["oldest"]))
    assert "3.10.1 | 2.6.0 | 1.26.4" in row
    assert "1,234 passed, 1 failed" in row and "0 passed, 1 failed" in row
    assert runs_on.failures_of(told["oldest"]) == [
        "a::three (2 cases)",
        "notebooks/03_a.ipynb: bad",
    ]
    (ran,) = told["oldest"]["notebooks"]
    assert runs_on.notebook_row(ran | {"finished": "2031-05-06T07:08:09"}) == [
        "03 a",
        "2031-05-06",
        "61",
        "8",
        "900",
        "failed",
    ]
    student = runs_on.notebook_row(ran | {"notebook": "student/03_a.ipynb"})
    assert student[0] == "03 a, student edition"
    assert "not run: no such Python" in runs_on.row_of("newest", told["newest"])
    assert "not run" in " ".join(runs_on.row_of("cuda", None))
    older = told["oldest"] | {"version": "0.0.1"}
    assert "version 0.0.1" in " ".join(runs_on.row_of("oldest", older))


def test_a_run_of_some_keeps_the_others_of_the_same_versions(tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "RUNS_ON", tmp_path)

    def told(*runs: rooms.Run, torch: str = "2.6.0") -> dict[str, int]:
        about = rooms.summary(runs) | {"versions": {"torch": torch}}
        path = rooms.record_some("colab", about)
        found = json.loads(path.read_text(encoding="utf-8"))["notebooks"]
        return {run["notebook"]: run["megabytes"] for run in found}

    assert told(rooms.Run("b", megabytes=1)) == {"b": 1}
    assert told(rooms.Run("a", megabytes=2)) == {"a": 2, "b": 1}
    assert told(rooms.Run("b", megabytes=3)) == {"a": 2, "b": 3}
    assert told(rooms.Run("a", megabytes=4), torch="2.7.0") == {"a": 4}


def test_every_file_of_a_room_says_when_and_with_what():
    for name, about in runs_on.read(rooms.RUNS_ON).items():
        assert about["row"] == name
        assert about["finished"][:2] == "20"
        if "not_run" not in about:
            assert {"python", "torch", "numpy"} <= set(about["versions"])
            assert about["notebooks"]
            assert Path.home().as_posix() not in json.dumps(about)
    known = {f"{name}.json" for name in runs_on.ROOMS}
    assert {path.name for path in rooms.RUNS_ON.glob("*")} <= known


def test_the_rooms_of_the_page_are_those_that_write_files():
    assert set(runs_on.ROOMS) == {*matrix.ROWS, "colab", "cuda"}
    config = yaml.safe_load((stamps.ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert "runs_on" in config["sphinx"]["config"]["extensions"]
