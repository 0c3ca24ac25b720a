"""Execute the notebooks whose stored outputs are stale, and store the new outputs.

A notebook is stale when its code, a module that it reaches, a pin of what it imports or
a result that it reads changed since it ran. Several run at once, each in a kernel of
its own. A cell that fails or writes to stderr fails the command, and nothing of that
notebook is stored. The scripts of explorables, which stand in the outputs as they stand
in their files, are brought up to date without a run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import kernels
import nbformat
import processes
import stamps
from tqdm import tqdm

# What editors and runs leave in a cell's metadata.
VOLATILE = {"ExecuteTime", "collapsed", "execution", "id", "outputId", "scrolled"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
# A script of an explorable or of a quiz, or its style, as it stands in an output.
SCRIPT = re.compile(r'(<(script|style) data-stn="([\w.]+)">).*?(</\2>)', re.DOTALL)
COURSE = stamps.ROOT / "stn_tutorial" / "course"
SCRIPTS = [COURSE, COURSE / "explore"]
# Asked of the kernel after the last cell: what the chapter's cells really ran on.
DESCRIBE_RUN = """
import json, platform, torch
place = f"cpu, {torch.get_num_threads()} threads"
if torch.cuda.is_available():
    place = torch.cuda.get_device_name()
print(json.dumps({
    "device": f"{place}, {platform.system()} {platform.machine()}",
    "python": platform.python_version(),
    "torch": torch.__version__,
}))
"""


class NotStored(Exception):
    """A notebook ran in a way that must not become the stored output."""


async def execute(path: Path, progress: tqdm) -> None:
    """Run one notebook from its first cell to its last, then store and stamp it."""
    notebook = nbformat.read(path, as_version=4)
    digest = stamps.current_digest(notebook)
    clean_before(notebook)
    client = kernels.client_for(notebook, path.parent)
    started = time.perf_counter()
    async with client.async_setup_kernel():
        for index, cell in enumerate(notebook.cells):
            progress.set_postfix_str(f"{path.stem}, cell {index}")
            try:
                await client.async_execute_cell(cell, index)
            except kernels.FAILURES as error:
                raise NotStored(
                    f"{path.name}, cell {index}:\n\n{cell.source}\n\n{error}"
                ) from None
            progress.update()
        seconds = round(time.perf_counter() - started, 1)
        notebook.cells.append(nbformat.v4.new_code_cell(DESCRIBE_RUN))
        probe = await client.async_execute_cell(notebook.cells[-1], index + 1)
        notebook.cells.pop()
    clean_after(notebook, path.name)
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
        stamps.STAMP_KEY: {
            "digest": digest,
            "executed": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "seconds": seconds,
            **json.loads(probe.outputs[0].text),
        },
    }
    nbformat.validate(notebook)
    store(notebook, path)


def clean_before(notebook: nbformat.NotebookNode) -> None:
    """Forget earlier outputs and what editors left in the cells' metadata."""
    for cell in notebook.cells:
        for key in VOLATILE & set(cell.metadata):
            del cell.metadata[key]
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def clean_after(notebook: nbformat.NotebookNode, name: str) -> None:
    """Join adjacent prints, drop the views of live widgets, and refuse stderr."""
    for index, cell in enumerate(notebook.cells):
        kept: list[nbformat.NotebookNode] = []
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                raise NotStored(
                    f"{name}, cell {index} wrote to stderr:\n\n{cell.source}\n\n"
                    f"{output.text}"
                )
            output.get("data", {}).pop(WIDGET_VIEW, None)
            if kept and kept[-1].output_type == output.output_type == "stream":
                kept[-1].text += output.text
            else:
                kept.append(output)
        if cell.cell_type == "code":
            cell.outputs = kept


def with_present_scripts(html: str) -> str:
    """Return an output with its scripts as their files have them now."""

    def present(match: re.Match[str]) -> str:
        opening, _, name, closing = match.groups()
        for path in (folder / name for folder in SCRIPTS):
            if path.is_file():
                return f"{opening}{path.read_text(encoding='utf-8')}{closing}"
        return match[0]

    return SCRIPT.sub(present, html)


def refresh_scripts(path: Path) -> bool:
    """Bring a notebook's scripts up to date; say whether any was behind."""
    notebook = nbformat.read(path, as_version=4)
    behind = False
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            html = output.get("data", {}).get("text/html", "")
            if "data-stn=" in html and (now := with_present_scripts(html)) != html:
                output.data["text/html"], behind = now, True
    if behind:
        store(notebook, path)
    return behind


def store(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook, whole or not at all."""
    part = path.with_suffix(".part")
    nbformat.write(notebook, part)
    os.replace(part, path)


async def execute_all(paths: list[Path], jobs: int) -> list[str]:
    """Execute notebooks, `jobs` at a time; return what went wrong."""
    places = asyncio.Semaphore(jobs)
    cells = sum(len(nbformat.read(path, as_version=4).cells) for path in paths)
    with tqdm(total=cells, unit="cell", leave=False, disable=None) as progress:

        async def in_turn(path: Path) -> None:
            async with places:
                await execute(path, progress)

        results = await asyncio.gather(*map(in_turn, paths), return_exceptions=True)
    for path, result in zip(paths, results, strict=True):
        if isinstance(result, BaseException) and not isinstance(result, NotStored):
            raise RuntimeError(f"{path.name} could not be executed") from result
    return [str(result) for result in results if result is not None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a chapter's number, e.g. 03")
    parser.add_argument("--force", action="store_true", help="run fresh ones too")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="kernels at once"
    )
    options = parser.parse_args()
    chosen = [p for p in stamps.notebook_paths() if p.name.startswith(options.only)]
    if not chosen:
        print(f"No notebook's name starts with {options.only!r}.", file=sys.stderr)
        return 1
    stale = []
    for path in chosen:
        state = stamps.freshness(nbformat.read(path, as_version=4))
        if options.force or state != "fresh":
            stale.append(path)
        elif refresh_scripts(path):
            state += ", its scripts brought up to date"
        print(f"{path.name}: {state}", flush=True)
    processes.share_cores(options.jobs)
    errors = asyncio.run(execute_all(stale, options.jobs)) if stale else []
    for error in errors:
        print(f"\nNot stored: {error}", file=sys.stderr)
    print(f"{len(stale) - len(errors)} executed and stored, {len(errors)} failed.")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
