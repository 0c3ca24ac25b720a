"""Write the student edition: the chapters without the solutions of their exercises.

The solutions' cells are gone, with their pictures, and the stubs have no outputs; all
else is as it stands in the chapters. Only the ways out of a notebook differ: a line
below the title opens it in Colab, and links to pages of the book lead to the published
ones. `make student` writes the edition into `student/`, which git ignores; a release
publishes it as the tag `student-v…`. `make student RUN=1` then runs every notebook from
top to bottom, each alone in an empty folder, as *Run all* does with no exercise solved.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
from functools import cache
from itertools import chain, count
from pathlib import Path

import check_notebooks
import kernels
import nbformat
import plain_markdown
import processes
import stamps
import yaml

from stn_tutorial import __version__
from stn_tutorial.course.checks._grading import OPEN

FOLDER = stamps.ROOT / "student"
#: The tag that holds the edition of this version, and nothing else.
TAG = f"student-v{__version__}"
TITLE = re.compile(r"\A# .+\n")
# A link to a page of the book, and the part of it that follows the page's name.
PAGE = re.compile(r"\]\(\.\./(book/[\w/]+)\.md(#[\w-]+)?\)")


@cache
def config() -> dict:
    """Return the book's settings, which know its addresses."""
    return yaml.safe_load((stamps.ROOT / "_config.yml").read_text(encoding="utf-8"))


@cache
def numbers() -> dict[str, str]:
    """Return the numbers of all equations of the book, by label."""
    found = {}
    for path in stamps.notebook_paths():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        found |= plain_markdown.numbers_of_equations(cells, int(path.name[:2]))
    return found


def page_address(name: str) -> str:
    """Return where a page of the book is published."""
    return f"{config()['html']['baseurl']}{name}.html"


def colab_address(name: str, full: bool = False) -> str:
    """Return where Colab opens a chapter: its student edition, or all of it."""
    repository = config()["repository"]["url"].removeprefix("https://github.com/")
    place = f"v{__version__}/notebooks" if full else TAG
    colab = config()["launch_buttons"]["colab_url"]
    return f"{colab}/github/{repository}/blob/{place}/{name}.ipynb"


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def student_edition(notebook: dict, name: str) -> dict:
    """Return a chapter's notebook without the solutions of its exercises.

    Args:
        notebook: the chapter, as JSON; left as it is.
        name: of its file, without the ending.

    Returns:
        A notebook for students, as JSON.
    """
    edition = json.loads(json.dumps(notebook))
    texts = plain_markdown.plain(edition["cells"], int(name[:2]), numbers())
    for cell, text in zip(edition["cells"], texts):
        if text is not None:
            text = PAGE.sub(lambda m: f"]({page_address(m[1])}{m[2] or ''})", text)
            cell["source"] = text.splitlines(keepends=True)
    edition["cells"] = [c for c in edition["cells"] if "solution" not in tags(c)]
    for cell in edition["cells"]:
        if "exercise" in tags(cell):
            cell |= {"outputs": [], "execution_count": None}
            # A wrong answer, too, lets the cells below it run.
            cell["metadata"]["tags"] = [*tags(cell), "raises-exception"]
    about = f"""
*Student edition, without the solutions of the exercises.* \
[Open it in Colab]({colab_address(name)}) · \
[the page of the book]({page_address(f"notebooks/{name}")}), with the solutions

*Run all of it first: Jupyter hides stored pictures of a notebook that it doesn't know.*
"""
    first = edition["cells"][0]
    text = TITLE.sub(lambda title: title[0] + about, "".join(first["source"]), count=1)
    first["source"] = text.splitlines(keepends=True)
    # The stamp of the run is that of the whole chapter.
    edition["metadata"].pop(stamps.STAMP_KEY, None)
    return edition


def write(folder: Path = FOLDER, only: str = "") -> list[Path]:
    """Write the student edition into a folder, and nothing else.

    Args:
        folder: made if need be. Notebooks that are in it are replaced; one in which
            somebody answered is kept beside, as ``kept_….ipynb``, or as
            ``kept_2_….ipynb`` where that is taken.
        only: how the names of the chapters to write begin.

    Returns:
        The notebooks' files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for path in stamps.notebook_paths():
        if path.name.startswith(only):
            chapter = json.loads(path.read_text(encoding="utf-8"))
            edition = student_edition(chapter, path.stem)
            text = json.dumps(edition, indent=1, ensure_ascii=False) + "\n"
            written.append(folder / path.name)
            keep_answers(written[-1])
            written[-1].write_text(text, encoding="utf-8", newline="\n")
    return written


def keep_answers(path: Path) -> None:
    """Rename an earlier file in which a stub is answered, to a name that is free."""
    if not path.is_file():
        return
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    stubs = ["".join(cell["source"]) for cell in cells if "exercise" in tags(cell)]
    # Without any stub, nothing says where answers would be.
    if not stubs or not all(map(is_open, stubs)):
        prefixes = chain(["kept_"], (f"kept_{n}_" for n in count(2)))
        places = (path.with_name(prefix + path.name) for prefix in prefixes)
        path.replace(next(place for place in places if not place.exists()))


def is_open(stub: str) -> bool:
    """Whether nobody answered in a stub, as far as its source tells.

    Args:
        stub: the source of its cell. It is open if it binds one name to ``...``, to a
            dictionary of them or to a function without code, and hands it to a check.
    """
    try:
        body = ast.parse(stub).body
    except (SyntaxError, ValueError):
        return False
    match body:
        case [binding, ast.Expr(ast.Call(args=[ast.Name(), *_]))]:
            return _binds_nothing(binding)
    return False


def _binds_nothing(node: ast.stmt) -> bool:
    match node:
        case ast.FunctionDef(body=body):
            values = body[1:] if ast.get_docstring(node) else body
        case ast.Assign(value=ast.Dict(values=values)):
            pass
        case ast.Assign(value=value):
            values = [value]
        case _:
            return False
    return all(ast.unparse(each) == "..." for each in values)


async def run(path: Path, folder: Path, places: asyncio.Semaphore) -> list[str]:
    """Run one notebook alone in a folder; return what a student should not meet."""
    notebook = nbformat.read(path, as_version=4)
    # It raises every error, whatever a cell's tags allow.
    client = kernels.client_for(notebook, folder, force_raise_errors=True)
    async with places:
        try:
            await client.async_execute()
        except kernels.FAILURES as error:
            return [f"{path.name} stops: {error}"]
    return [f"{path.name}: {fault}" for fault in faults(notebook)]


def faults(notebook: dict) -> list[str]:
    """Return what is wrong with the outputs of a run in which nothing was answered."""
    found = []
    for cell in notebook["cells"]:
        printed = [o for o in cell.get("outputs", []) if o["output_type"] == "stream"]
        noise = "".join(o["text"] for o in printed if o["name"] == "stderr")
        if noise:
            found.append(f"a warning, {noise!r}")
        said = "".join(o["text"] for o in printed)
        if "exercise" in tags(cell) and not re.fullmatch(f"{OPEN}: .*\n", said):
            found.append(f"a stub says {said!r}")
    return found


async def run_all(paths: list[Path], jobs: int) -> list[str]:
    """Run notebooks with the package from its wheel; return what is wrong."""
    places = asyncio.Semaphore(jobs)
    with tempfile.TemporaryDirectory() as name:
        environment = check_notebooks.install_package(Path(name, "package"))
        os.environ["PYTHONPATH"] = environment["PYTHONPATH"]
        tasks = []
        for path in paths:
            alone = Path(name, path.stem)
            alone.mkdir()
            tasks.append(run(Path(shutil.copy(path, alone)), alone, places))
        return [fault for each in await asyncio.gather(*tasks) for fault in each]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a chapter's number, e.g. 03")
    parser.add_argument("--run", action="store_true", help="run what was written")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="at a time")
    options = parser.parse_args()
    written = write(only=options.only)
    if not written:
        parser.error(f"no notebook's name starts with {options.only!r}")
    print(f"{len(written)} notebooks written to {FOLDER}", flush=True)
    if not options.run:
        return 0
    processes.share_cores(options.jobs)
    wrong = asyncio.run(run_all(written, options.jobs))
    for fault in wrong:
        print(fault, file=sys.stderr)
    print(f"{len(written)} run from top to bottom, {len(wrong)} faults.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
