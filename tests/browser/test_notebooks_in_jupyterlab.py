"""A chapter in JupyterLab, as a learner meets it: folded, legible, live, run through.

A few of its cells stand for it: title, set-up, first figure, an exercise, the quiz.
"""

from __future__ import annotations

import json

import nbformat
import pytest
import stamps
import student_edition

CHAPTER = stamps.ROOT / "notebooks" / "01_put_every_pixel_on_a_grid.ipynb"
BOX, STUB, SOLUTION, DERIVATION = "8a9dbe56", "1d0782b4", "1b891368", "a5e175f9"
WINDOW, QUIZ = "7a4c9df9", "f1b7f518"
#: Words of a source that nobody should read by chance.
FOLDED = {
    SOLUTION: "a reflection in the diagonal",
    DERIVATION: "the picture shrinks",
    QUIZ: "= 0.9 ±",
}
WRONG = "answer_wrong = 'black'\nchecks.after_a_negative_a(answer_wrong)"
SLIDER = "import ipywidgets\nslider = ipywidgets.IntSlider(3)\nslider"
END = "print('the end, with', slider.value)"

#: Every cell: what can be seen of it, and what its model holds.
LOOK = """async () => {
    const app = window.jupyterapp;
    await app.restored;
    const panel = app.shell.currentWidget;
    await panel.context.ready;
    const cells = panel.content.widgets;
    await Promise.all(cells.map(cell => cell.ready));
    return Object.fromEntries(cells.map(cell => [cell.model.id, {
        text: cell.node.innerText,
        outputs: cell.model.sharedModel.outputs ?? [],
    }]));
}"""
RUN_ALL = """async () => {
    const app = window.jupyterapp;
    await app.restored;
    const panel = app.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;
    await app.commands.execute("notebook:run-all-cells");
}"""
RUN_LAST = RUN_ALL.replace(
    'await app.commands.execute("notebook:run-all-cells")',
    "panel.content.activeCellIndex = panel.content.widgets.length - 1;"
    'await app.commands.execute("notebook:run-cell")',
)


def a_few_cells() -> dict:
    chapter = json.loads(CHAPTER.read_text(encoding="utf-8"))
    found = {cell["id"]: cell for cell in chapter["cells"]}
    first, set_up = chapter["cells"][:2]
    names = (WINDOW, BOX, STUB, SOLUTION, DERIVATION, QUIZ)
    cells = [first, set_up, *(found[name] for name in names)]
    wrong, slider, end = map(nbformat.v4.new_code_cell, (WRONG, SLIDER, END))
    wrong["metadata"]["tags"] = ["exercise"]
    cells[5:5] = [wrong]
    wrong["id"], slider["id"], end["id"] = "wrong", "slider", "end"
    return chapter | {"cells": [*cells, slider, end]}


@pytest.fixture
def open_lab(browser, jupyterlab):
    """Return a function that opens a notebook in a window as high as all its cells."""
    pages = []

    def open_it(name: str, notebook: dict):
        context = browser.new_context(viewport={"width": 1300, "height": 5000})
        pages.append(context.new_page())
        pages[-1].set_default_timeout(300_000)  # against hanging, not slow machines
        pages[-1].goto(jupyterlab(name, notebook))
        pages[-1].locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        return pages[-1]

    yield open_it
    for page in pages:
        page.context.close()


def test_solutions_and_quizzes_are_folded_a_box_is_set_and_no_button_grades(open_lab):
    page = open_lab("full", notebook := a_few_cells())
    # Each has its source beside it, in an editor that nobody sees.
    for words in ("What happens if x and y are swapped?", "Exercise 1"):
        page.get_by_text(words).locator("visible=true").first.wait_for()
    seen = page.evaluate(LOOK)
    for name, words in FOLDED.items():
        cell = next(cell for cell in notebook["cells"] if cell["id"] == name)
        assert words in "".join(cell["source"])
        assert words not in seen[name]["text"]
    lines = set(page.locator("body").inner_text().splitlines())
    assert "Kernel" in lines  # the menus are there, and none for teachers
    assert not {"Nbgrader", "Validate", "Create Assignment"} & lines
    assert "Solution" in seen[SOLUTION]["text"]
    assert seen[SOLUTION]["outputs"] and "Correct" not in seen[SOLUTION]["text"]
    assert "answer_swap = ..." in seen[STUB]["text"]
    box = seen[BOX]["text"]
    assert "Somebody stacks the grid" in box
    assert ":::" not in box and ":label:" not in box


def test_run_all_of_the_student_edition_passes_what_is_open_or_wrong(open_lab):
    edition = student_edition.student_edition(a_few_cells(), CHAPTER.stem)
    page = open_lab("student", edition)
    page.evaluate(RUN_ALL)
    page.wait_for_function("() => document.body.innerText.includes('the end, with')")
    seen = page.evaluate(LOOK)
    assert SOLUTION not in seen and DERIVATION not in seen
    (said,) = seen[STUB]["outputs"]
    assert "".join(said["text"]).startswith("Not answered yet: choose one of")
    (failed,) = seen["wrong"]["outputs"]
    assert failed["ename"] == "Wrong"
    noisy = [name for name in seen for o in seen[name]["outputs"] if "stderr" in str(o)]
    assert not noisy
    # A widget of ipywidgets and an explorable answer, the first to the kernel as well.
    page.locator(".widget-slider .noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    page.evaluate(RUN_LAST)
    page.get_by_text("the end, with 4").wait_for()
    figure = page.locator(".jp-OutputArea .stn-explore")
    figure.locator(".stn-handle").first.wait_for()
    assert figure.locator(".stn-still").count() == 0
