"""An explorable in JupyterLab, with a live kernel: hand and Python share its state."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

CELLS = [
    "import torch\nfrom stn_tutorial.course.explore import Window\n"
    "window = Window(torch.rand(32, 32), [0.5, 0, 0, 0, 0.5, 0])\nwindow",
    "print('read', [round(v, 2) for v in window.theta.flatten().tolist()])",
    "window.theta = torch.eye(2, 3)",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab that serves a folder with one notebook."""
    folder = tmp_path_factory.mktemp("lab")
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "window.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(8)
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    command += ["--LabApp.news_url=", "--ServerApp.ip=127.0.0.1"]
    command += ["--LabApp.expose_app_in_browser=True"]
    homes = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    homes += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    environment = {**os.environ, **{name: str(folder / name) for name in homes}}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        while True:  # until it answers, or ends
            assert server.poll() is None, (folder / "log").read_text()
            try:
                urllib.request.urlopen(f"{address}/api?token={token}", timeout=5)
                break
            except OSError:
                time.sleep(0.2)
        yield f"{address}/lab/tree/window.ipynb?token={token}"
    finally:
        server.terminate()
        server.wait()


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
    middle.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert "x 0.20" in middle.get_attribute("aria-label")
    # The widget sends its state before the kernel is asked to read it: one channel.
    (read,) = page.evaluate(RUN_CELL, 1)
    assert read["text"] == "read [0.5, 0.0, 0.2, 0.0, 0.5, 0.0]\n"
    page.evaluate(RUN_CELL, 2)
    page.wait_for_function(
        "() => document.querySelector('.stn-code code').textContent.includes('1.00')"
    )
    assert "x 0.00" in middle.get_attribute("aria-label")
    page.context.close()
