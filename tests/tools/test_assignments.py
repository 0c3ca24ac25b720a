"""Assignments: what students get, what tests say, and that they stand fast."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import answering
import grade
import grading_measured
import pytest
import referee
import submissions
import torch
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode, v4, writes
from room import Outputs

import assignments

NAMES = sorted(submissions.KNOWN)


class RoomWithin:
    """A room without a kernel: runs cells here, and answers in the same words."""

    def __init__(self) -> None:
        self.names: dict[str, object] = {}
        self.endless: Counter[str] = Counter()

    def run(self, cell: NotebookNode) -> None:
        exec(TransformerManager().transform_cell(cell.source), self.names)

    def ask(self, request: dict[str, object]) -> dict[str, object]:
        return json.loads(answering.answer(self.names, json.dumps(request)))


def graded(name: str, submitted: NotebookNode) -> dict[str, dict[str, object]]:
    """What each test says of a submission, without a kernel."""
    cells = referee.grade(submissions.KNOWN[name], submitted, 3, RoomWithin()).cells
    tests = [grade.judged(cell) for cell in cells if grade.is_test(cell)]
    return {test["name"]: test for test in tests}


def points(tests: dict[str, dict[str, object]]) -> float:
    return sum(test["score"] for test in tests.values())


@pytest.mark.parametrize("name", NAMES)
def test_an_assignment_has_twenty_points_and_titled_tests_of_both_kinds(name):
    notebook = submissions.KNOWN[name]
    tests = [cell for cell in notebook.cells if grade.is_test(cell)]
    assert sum(cell.metadata.points for cell in tests) == 20
    assert len({cell.metadata.title for cell in tests}) == len(tests)
    assert {assignments.kind(cell) for cell in tests} == {"test", "hidden-test"}
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert assignments.about(notebook)["name"] == name


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_solution_or_of_a_hidden_test_is_released(name):
    released = "\n".join(cell.source for cell in submissions.unsolved(name).cells)
    for cell in submissions.KNOWN[name].cells:
        source = cell.source
        if assignments.kind(cell) == "exercise":
            source = "\n".join(
                part.split("### END SOLUTION")[0]
                for part in source.split("### BEGIN SOLUTION")[1:]
            )
        elif assignments.kind(cell) != "hidden-test":
            continue
        secret = {
            line.strip() for line in source.splitlines() if len(line.strip()) > 20
        }
        shown = {cell.strip() for cell in released.splitlines()}
        public = {
            line.strip()
            for each in submissions.KNOWN[name].cells
            if assignments.kind(each) in ("given", "test", "")
            for line in each.source.splitlines()
        }
        assert secret and not (secret - public) & shown
    assert "HIDDEN" not in released and "SOLUTION" not in released


@pytest.mark.parametrize("name", ["diagnosis", "sampler"])
def test_a_solution_has_all_points_and_a_stub_none(name):
    assert points(graded(name, submissions.solved(name))) == 20
    assert points(graded(name, submissions.unsolved(name))) == 0


@pytest.mark.parametrize("name", ["a-and-b-swapped", "assigns", "no-rule"])
def test_what_is_right_in_a_wrong_submission_counts(name):
    case = submissions.CASES[name]
    tests = graded(case.assignment, case.make())
    assert case.least <= points(tests) <= case.most


def test_feedback_names_the_first_case_with_its_input_and_what_was_expected():
    tests = graded("sampler", submissions.CASES["a-and-b-swapped"].make())
    said = tests["test-inside"]["says"].splitlines()
    assert said[0] == "wrong on case 1"
    values = dict(line.strip().split(":", 1) for line in said[1:4])
    parts = values["input"].split("image = ")[1].split(", points = ")
    ((nw, ne), (sw, se)), ((x, y),) = map(json.loads, parts)
    right = (1 - y) * ((1 - x) * nw + x * ne) + y * ((1 - x) * sw + x * se)
    swapped = (1 - x) * ((1 - y) * nw + y * ne) + x * ((1 - y) * sw + y * se)
    assert json.loads(values["expected"]) == pytest.approx([right], abs=1e-3)
    assert json.loads(values["got"]) == pytest.approx([swapped], abs=1e-3)


def test_cases_follow_the_seed():
    submitted = submissions.CASES["a-and-b-swapped"].make()

    def said(seed):
        room = RoomWithin()
        cells = referee.grade(submissions.KNOWN["sampler"], submitted, seed, room).cells
        return [grade.judged(cell)["says"] for cell in cells if grade.is_test(cell)]

    assert said(1) == said(1) != said(2)


def test_tests_are_the_assignments_whatever_a_submission_says():
    case = submissions.CASES["edits-tests"]
    tests = graded("sampler", case.make())
    assert points(tests) == 0 and sum(t["points"] for t in tests.values()) == 20


def test_a_missing_cell_stands_where_it_belongs_and_a_second_one_is_a_students_own():
    notebook = submissions.KNOWN["sampler"]
    cells = referee.assemble(notebook, submissions.CASES["misses-cells"].make())
    ids = [cell.id for cell in cells]
    expected = [cell.id for cell in notebook.cells if assignments.kind(cell)]
    assert ids == expected
    assert cells[ids.index("slopes")].metadata.missing
    twice = referee.assemble(notebook, submissions.answered_twice())
    assert [cell.id for cell in twice][:-1] == expected
    assert twice[-1].source == "x = 1" and not assignments.kind(twice[-1])


@pytest.mark.parametrize("name", submissions.FILES)
def test_what_is_no_notebook_is_refused(name, tmp_path):
    content, why = submissions.FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(referee.Unusable, match=why):
        referee.read_submission(tmp_path / name)


def test_a_wrong_assignment_and_a_chapter_are_refused():
    wrong = submissions.unsolved("diagnosis")
    with pytest.raises(referee.Unusable, match="'diagnosis', not 'sampler'"):
        referee.check_assignment(wrong, submissions.KNOWN["sampler"])
    assert referee.assignment_of(wrong, submissions.KNOWN) == "diagnosis"
    chapter = v4.new_notebook(cells=[v4.new_code_cell("x = 1", id="setup")])
    with pytest.raises(referee.Unusable, match="none of the assignments"):
        referee.assignment_of(chapter, submissions.KNOWN)


def test_values_cross_as_they_are_and_nothing_else_does():
    values = [
        *(True, 3, 0.5, [1, (2, 2.5)], {1: torch.ones(2, 3)}),
        torch.arange(6).view(2, 3).T,
        torch.tensor(2.5, dtype=torch.float64),
        torch.zeros(0, 4),
        torch.tensor([1.0, torch.nan], dtype=torch.bfloat16),
    ]

    def sent(value):
        return answering.decode(json.loads(json.dumps(answering.encode(value))))

    for value in values:
        torch.testing.assert_close(sent(value), value, equal_nan=True, rtol=0, atol=0)
    for value in (None, ..., "a", ["a", (None, "b")]):
        assert sent(value) == value
    for value in (object(), len, {1}):
        with pytest.raises(TypeError):
            answering.encode(value)
    for forged in ({"x": 1}, {"tensor": ["float99", [1], ""]}, {}, {"tensor": 3}):
        with pytest.raises(ValueError):
            answering.decode(forged)


def test_names_that_are_excluded_are_found_where_they_are_used_alone():
    def used(source):
        return referee.excluded_names(
            [v4.new_code_cell(source)], ["grid_sample", "exec"]
        )

    assert used("F.grid_sample(x, y)") == ["grid_sample"]
    assert used("from torch.nn.functional import grid_sample as g") == ["grid_sample"]
    assert used("exec('1')") == ["exec"]
    assert not used("# grid_sample\ngrid_sample = 3\n'F.grid_sample'")
    assert not used("this is no Python (")


def test_outputs_are_kept_up_to_a_number_of_characters():
    outputs = Outputs(1000)
    for _ in range(50):
        kind, stream = {"msg_type": "stream"}, {"name": "stdout", "text": "x" * 10_000}
        outputs.receive({"msg_type": "stream", "content": stream, "header": kind})
    assert len(json.dumps(outputs.kept)) < 1500
    assert "the rest is left out" in outputs.kept[-1].text


def test_a_page_runs_nothing_and_a_spreadsheet_neither(tmp_path):
    evil = "<script>alert(1)</script>"
    item = grade.Submission("=1+1", None, "sampler", "graded", file="=1+1.ipynb")
    item.tests = [
        {"name": "t", "title": evil, "hidden": True, "score": 1, "points": 2}
        | {"says": evil}
    ]
    data = {"text/html": evil, "image/png": f'"><{evil}', "text/plain": evil}
    cell = v4.new_code_cell(evil, outputs=[v4.new_output("display_data", data)])
    item.graded = json.dumps(v4.new_notebook(cells=[cell]))
    grade.write_feedback(tmp_path, [item], submissions.KNOWN)
    (page,) = tmp_path.glob("*.html")
    text = page.read_text("utf-8")
    assert "<script" not in text and "&lt;script" in text
    assert "http" not in text.replace("http-equiv", "")
    grade.write_csv(tmp_path / "grades.csv", [item], 3)
    line = (tmp_path / "grades.csv").read_text("utf-8").splitlines()[1]
    assert line.startswith("'=1+1,sampler,1,2,graded") and "'=1+1.ipynb" in line


def test_submissions_are_found_in_files_and_in_folders(tmp_path):
    for name in ("a.ipynb", "b/x.ipynb", "c/deep/y.ipynb", "d/notes.txt", ".hidden/z"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    found = [
        (item.student, item.path and Path(item.path).name, item.file)
        for item in grade.find(tmp_path)
    ]
    assert found == [
        ("a", "a.ipynb", "a.ipynb"),
        ("b", "x.ipynb", "b/x.ipynb"),
        ("c", "y.ipynb", "c/deep/y.ipynb"),
        ("d", None, ""),
    ]


def handed_in(student: str, file: str, points: float, name="sampler"):
    """A graded submission, as far as it matters which one counts."""
    item = grade.Submission(student, Path(file), name, "graded", file=file)
    item.tests, item.graded = [{"score": points, "points": 20}], "{}"
    return item


def test_the_best_of_a_students_notebooks_counts_in_whatever_order_they_are_done():
    for step in (1, -1):
        items = [
            handed_in("a", "a/1.ipynb", 5),
            handed_in("a", "a/2.ipynb", 15),
            handed_in("b", "b/1.ipynb", 15),
            handed_in("b", "b/2.ipynb", 15),
            handed_in("b", "b/3.ipynb", 0),
            handed_in("b", "b/4.ipynb", 3, "diagnosis"),
            grade.Submission("a", Path("a/0.ipynb"), state="this is no notebook"),
        ]
        counted = grade.choose(items[::step])
        files = {item.file for item in counted}
        assert files == {"a/2.ipynb", "b/1.ipynb", "b/4.ipynb"}
        assert [note for item in items for note in item.notes or [""]] == [
            "handed in twice: another one counts",
            "handed in twice: this one counts",
            "handed in 3 times: this one counts",
            *["handed in 3 times: another one counts"] * 2,
            *[""] * 2,
        ]


def graded_here(item: grade.Submission, submitted: NotebookNode) -> grade.Submission:
    """A submission of *sampler* after its grading, without a kernel."""
    room = RoomWithin()
    notebook = referee.grade(submissions.KNOWN["sampler"], submitted, 3, room)
    item.tests = [grade.judged(cell) for cell in notebook.cells if grade.is_test(cell)]
    item.assignment, item.state, item.graded = "sampler", "graded", writes(notebook)
    return item


@pytest.mark.parametrize("step", [1, -1], ids=["first to last", "last to first"])
def test_table_and_gradebook_say_the_same_whichever_notebook_is_done_first(
    step, tmp_path, monkeypatch
):
    files = {"1.ipynb": submissions.unsolved("sampler")}
    files["2.ipynb"] = submissions.CASES["a-and-b-swapped"].make()
    files["3.ipynb"] = submissions.unsolved("sampler")
    folder, results = tmp_path / "handed_in", tmp_path / "grades"
    (folder / "eve").mkdir(parents=True)
    for name in files:
        (folder / "eve" / name).touch()
    command = ["grade.py", str(folder), "--to", str(results), "--seed", "3"]
    monkeypatch.setattr("sys.argv", command)
    for name in ("referee.warm_up", "processes.share_cores", "room.adopt_orphans"):
        monkeypatch.setattr(name, lambda *_: None)
    counted = []
    fakes = {
        "trusted": lambda: "",
        "grade_all": lambda items, *_: (
            graded_here(item, files[item.path.name]) for item in items[::step]
        ),
        "write_gradebook": lambda _, items, known: counted.extend(items),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(grade, name, fake)
    assert grade.main() == 0
    with (results / "grades.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    another, this = (f"handed in 3 times: {k} one counts" for k in ("another", "this"))
    assert [(line["file"], line["notes"]) for line in lines] == [
        ("eve/1.ipynb", another),
        ("eve/2.ipynb", this),
        ("eve/3.ipynb", another),
    ]
    (best,) = (line for line in lines if line["notes"] == this)
    assert [item.file for item in counted] == [best["file"]]
    assert counted[0].points == float(best["points"]) > 0


def test_thresholds_lie_between_what_trainings_reach_with_and_without_a_transformer():
    measured = json.loads((assignments.FOLDER / "measured.json").read_text("utf-8"))
    asked = grading_measured.limits(submissions.KNOWN["digits"])
    assert {key: limit.points for key, limit in asked.items()} == {
        "error": 6,
        "distance": 4,
    }
    for key, limit in asked.items():
        found = {
            name: measured["digits"][name] for name in ("learns", "learns nothing")
        }
        points = {
            name: [limit.worth(row[key]) for row in rows]
            for name, rows in found.items()
        }
        assert min(points["learns"]) == limit.points
        assert max(points["learns nothing"]) <= limit.points / 10


def test_the_page_on_grading_says_what_was_measured():
    rows = [{"error": 0.12, "distance": 0.5}, {"error": 0.3, "distance": 0.5}]
    digits = {"learns": rows, "learns nothing": rows[1:]}
    told = {"digits": digits, "device": "an abacus"}
    told |= {"processor_seconds": {"one": 1.2, "two": 2.6, "three": 16.3}}
    asked = {"error": grading_measured.Limits(6, 0.2, 0.4)}
    asked |= {"distance": grading_measured.Limits(4, 0.6, 0.9)}
    assert grading_measured.digits(told, asked).splitlines()[2:] == [
        "| the localization network learns | 12% to 30%: 3 to 6 points of 6 "
        "| 0.50: 4 points of 4 |",
        "| the localization network learns nothing | 30%: 3 points of 6 "
        "| 0.50: 4 points of 4 |",
        "| all points | 20% or less | 0.6 or less |",
        "| no points | 40% or more | 0.9 or more |",
    ]
    assert grading_measured.seconds(told) == (
        "To grade a right solution takes 1 (`one`), 3 (`two`) and 16 (`three`) seconds "
        "of the processor (an abacus)."
    )
