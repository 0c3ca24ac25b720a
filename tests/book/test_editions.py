"""Every chapter's page leads to both editions, and a release publishes both."""

from __future__ import annotations

import json
import os
import re
import subprocess
from html import unescape

import editions
import pytest
import stamps
import yaml
from sphinx.util.osutil import relative_uri

import stn_tutorial

NAMES = [path.stem for path in stamps.notebook_paths()]
CONFIG = yaml.safe_load((stamps.ROOT / "_config.yml").read_text(encoding="utf-8"))
REPOSITORY = CONFIG["repository"]["url"].removeprefix("https://github.com/")
COLAB = f"https://colab.research.google.com/github/{REPOSITORY}/blob"
RELEASE = f"v{stn_tutorial.__version__}"


def addresses(name: str) -> tuple[str, str]:
    """Of the student edition and the full one of a chapter, in Colab."""
    student = f"{COLAB}/student-{RELEASE}/{name}.ipynb"
    return student, f"{COLAB}/{RELEASE}/notebooks/{name}.ipynb"


class App:
    """As much of Sphinx as the extension asks for when a page is written."""

    class builder:
        get_target_uri = staticmethod(lambda page: f"{page}.html")


def test_the_line_stands_below_the_title_and_the_menu_has_both():
    button = {"type": "link", "text": "Colab", "url": "full", "icon": "logo"}
    other = {"type": "link", "text": "Binder", "url": "binder"}
    context = {
        "body": "<h1>Title</h1><p>Text</p><h1>Other</h1>",
        "header_buttons": [{"type": "link"}, {"buttons": [button, other]}],
    }
    editions.lead_to_both_editions(App(), f"notebooks/{NAMES[1]}", "", context, None)
    student, full = addresses(NAMES[1])
    line = re.fullmatch(
        r"<h1>Title</h1>\n<p class=.*?</p><p>Text</p><h1>Other</h1>", context["body"]
    )
    assert re.findall(r'href="([^"]*)"', line[0]) == [
        student,
        relative_uri("notebooks/x.html", f"student/{NAMES[1]}.ipynb"),
        full,
    ]
    added = {"type": "link", "text": "Colab, student edition", "icon": "logo"}
    buttons = context["header_buttons"][1]["buttons"]
    assert buttons == [button, added | {"url": student}, other]


@pytest.mark.parametrize("page", ["book/glossary", "notebooks", "index"])
def test_other_pages_are_left_alone(page):
    context = {"body": "<h1>Title</h1>"}
    editions.lead_to_both_editions(App(), page, "", context, None)
    assert context == {"body": "<h1>Title</h1>"}


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:2])
def test_a_page_leads_to_both_editions_and_brings_the_students(name, html):
    text = unescape((html / "notebooks" / f"{name}.html").read_text(encoding="utf-8"))
    for address in addresses(name):
        assert text.count(f'"{address}"') == 2  # the line and the menu
    assert f'<a href="../student/{name}.ipynb" download' in text
    path = html / "student" / f"{name}.ipynb"
    edition = json.loads(path.read_text(encoding="utf-8"))
    tags = [tag for c in edition["cells"] for tag in c["metadata"].get("tags", [])]
    assert "exercise" in tags and "solution" not in tags


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:2])
def test_equations_and_exercises_have_the_numbers_of_the_page(name, html):
    page = (html / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
    edition = (html / "student" / f"{name}.ipynb").read_text(encoding="utf-8")
    # Each stands once on the page; a solution may have some more of its own.
    equations = re.findall(r'class="eqno">\(([\d.]+)\)', page)
    told = re.findall(r"\\tag\{([\d.]+)\}", edition)
    assert told == [number for number in equations if number in told]
    exercises = re.findall(r"admonition-title[^>]*>.*?Exercise ([\d.]+)", page)
    assert re.findall(r"### Exercise ([\d.]+) ·", edition) == exercises


def test_a_release_pushes_the_students_notebooks_as_a_tag(tmp_path):
    path = stamps.ROOT / ".github" / "workflows" / "book.yml"
    job = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]["student"]
    assert job["if"] == "${{ startsWith(github.ref, 'refs/tags/v') }}"
    (step,) = [step for step in job["steps"] if "run" in step]
    forge, folder = tmp_path / "forge", tmp_path / "student"
    subprocess.run(["git", "init", "--bare", "--quiet", forge], check=True)
    folder.mkdir()
    for round in (1, 2):  # a release may be published again
        (folder / "00_a.ipynb").write_text(f"{round}")
        environment = {
            **{"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            **{"REMOTE": str(forge), "RELEASE": RELEASE},
        }
        subprocess.run(
            ["bash", "-euc", step["run"]], cwd=folder, env=environment, check=True
        )
    git = ["git", "-C", str(forge)]
    shown = [*git, "show", f"student-{RELEASE}:00_a.ipynb"]
    assert subprocess.run(shown, capture_output=True, text=True).stdout == "2"
    refs = [*git, "for-each-ref", "--format=%(refname)"]
    listed = subprocess.run(refs, capture_output=True, text=True, check=True).stdout
    assert listed.split() == [f"refs/tags/student-{RELEASE}"]
