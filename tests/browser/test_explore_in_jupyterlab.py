"""An explorable in JupyterLab, with a live kernel: hand and Python share its state."""

from __future__ import annotations

import json
import time

import nbformat
import pytest

# Every figure, small; painter and playground run networks, and are pages of the book.
EVERY_FIGURE = """
import json, torch
from IPython.display import display
from stn_tutorial.course.explore import *
from stn_tutorial.experiments.failures import Failure
from stn_tutorial.experiments.films import Film
from stn_tutorial.experiments.renderings import Rendering
from stn_tutorial.experiments.results import read_results, results_folder
draw = torch.Generator().manual_seed(0)
small, large = (torch.rand(n, n, generator=draw) for n in (6, 64))
photo = torch.nn.functional.avg_pool2d(large[None], 5, 1, 2)[0]
angles, vectors = torch.zeros(1, 361), torch.ones(1, 361, 2)
recordings = results_folder() / "recordings"
figures = [
    Aliasing(), Bench(large), Between(small),
    Dial(large[None, :28, :28], angles, vectors), Frequencies(),
    OffByOne({"noise": large[:28, :28]}), Order(large), Pull(small),
    PushPull(small), Register(photo, photo.roll(3, -1), (3.0, 0.0), blurs=(0, 2)),
    Ruler(), Window(large),
    Clinic(read_results(recordings / "failures", Failure)),
    Coordinates(read_results(recordings / "renderings", Rendering)),
    TrainingFilm(read_results(recordings / "films", Film)),
]
for figure in figures:
    display(figure)
"""
STATES = "print(json.dumps({figure.name: figure.state for figure in figures}))"
CELLS = [
    "import torch\nfrom stn_tutorial.course.explore import Window\n"
    "window = Window(torch.rand(32, 32), [0.5, 0, 0, 0, 0.5, 0])\nwindow",
    "print('read', [round(v, 2) for v in window.theta.flatten().tolist()])",
    "window.theta = torch.eye(2, 3)",
    EVERY_FIGURE,
    STATES,
]


@pytest.fixture(scope="module")
def lab(jupyterlab):
    """The address of a notebook in JupyterLab."""
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    return jupyterlab("window", nbformat.v4.new_notebook(cells=cells))


# JupyterLab's own commands, awaited: keys typed before it listens are lost.
RUN_CELL = """index => {
    const run = async () => {
        const app = window.jupyterapp;
        await app.restored;
        const panel = app.shell.currentWidget;
        await panel.context.ready;
        await panel.sessionContext.ready;
        panel.content.activeCellIndex = index;
        await app.commands.execute("notebook:run-cell");
        return panel.content.widgets[index].model.sharedModel.outputs;
    };
    const giveUp = reject => reject(new Error(document.body.innerText));
    return Promise.race([
        run(),
        new Promise((_, reject) => setTimeout(giveUp, 300_000, reject)),
    ]);
}"""


def test_hand_and_kernel_share_the_state(browser, lab):
    page = browser.new_context(viewport={"width": 1300, "height": 1200}).new_page()
    page.set_default_timeout(300_000)  # against hanging, and not against slow machines
    page.goto(lab)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    outputs = page.evaluate(RUN_CELL, 0)
    kinds = [set(output.get("data", output)) for output in outputs]
    assert any("application/vnd.jupyter.widget-view+json" in kind for kind in kinds), (
        outputs
    )
    figure = page.locator(".jp-OutputArea .stn-explore")
    figure.locator(".stn-code code").wait_for()
    assert figure.locator(".stn-still").count() == 0  # the widget, and not the page's
    middle = figure.locator('.stn-handle[aria-label*="third column"]')
    for step in range(1, 5):
        middle.press("ArrowRight")  # and focus it: JupyterLab may have taken the focus
        assert f"x {step / 20:.2f}" in middle.get_attribute("aria-label")
    # The widget holds a change back until the kernel has taken the one before.
    read, by = "", time.monotonic() + 300
    while read != "read [0.5, 0.0, 0.2, 0.0, 0.5, 0.0]\n":
        assert time.monotonic() < by, read
        read = page.evaluate(RUN_CELL, 1)[0]["text"]
    page.evaluate(RUN_CELL, 2)
    page.wait_for_function(
        "() => document.querySelector('.stn-code code').textContent.includes('1.00')"
    )
    assert "x 0.00" in middle.get_attribute("aria-label")
    page.context.close()


def test_every_figure_tells_the_kernel_what_a_hand_did(browser, lab):
    page = browser.new_context(viewport={"width": 1300, "height": 1200}).new_page()
    page.set_default_timeout(300_000)
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(lab)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    errors = [o for o in page.evaluate(RUN_CELL, 3) if o["output_type"] == "error"]
    assert not errors
    (before,) = page.evaluate(RUN_CELL, 4)
    before = json.loads(before["text"])
    shown = page.locator(".jp-OutputArea .stn-explore")
    page.wait_for_function(
        "n => document.querySelectorAll('.jp-OutputArea .stn-explore').length === n",
        arg=len(before),
    )
    for figure in shown.all():
        assert figure.locator(".stn-still").count() == 0
        control = figure.locator(".stn-handle, input[type=range]").first
        control.focus()
        for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
            page.keyboard.press(key)
    (after,) = page.evaluate(RUN_CELL, 4)
    after = json.loads(after["text"])
    same = [name for name in before if before[name] == after[name]]
    assert not same, same
    assert not wrong
    page.context.close()
