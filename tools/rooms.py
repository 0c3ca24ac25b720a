"""Rooms that are not this one: environments, and notebooks that run alone in them.

A room is a virtual environment with its own Python and its own versions. A notebook
runs in it alone, in an empty folder outside the checkout, with its warnings shown, and
is measured: `colab.py`, `matrix.py` and `on_cuda.py` say in which room, and why.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import kernels
import nbformat
import stamps
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient

RUNS_ON = stamps.ROOT / "book" / "runs_on"
# Every warning is shown, but for what other packages are told of their future: that
# concerns whoever maintains them.
BEFORE = """
import warnings as _warnings
_warnings.simplefilter("default")
for _kind in (DeprecationWarning, PendingDeprecationWarning):
    _warnings.filterwarnings("ignore", category=_kind)
    _warnings.filterwarnings("default", category=_kind, module="__main__|stn_tutorial")
del _warnings, _kind
"""
# Asked of the kernel after the last cell. Linux counts kibibytes, macOS bytes.
DESCRIBE = """
import importlib.metadata, json, platform, resource, sys, torch
import stn_tutorial
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "-"
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({
    "megabytes": round(used / 2 ** (20 if sys.platform == "darwin" else 10)),
    "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    "package": stn_tutorial.__file__,
    "versions": {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "torchvision": version("torchvision"),
        "ipywidgets": version("ipywidgets"),
        "stn-tutorial": version("stn-tutorial"),
    },
}))
"""


@dataclass
class Run:
    """A notebook that ran alone.

    Attributes:
        notebook: its path within the checkout.
        seconds: from the start of its kernel to the end of its last cell.
        seconds_to_set_up: of which until the end of the first code cell.
        megabytes: the most that its kernel held.
        checked: the outputs that are held to what is stored.
        problems: what is wrong with the run; none in a good one.
        told: what the kernel says of itself: versions, where the package is.
        finished: when it ended.
    """

    notebook: str
    seconds: float = 0.0
    seconds_to_set_up: float = 0.0
    megabytes: int = 0
    checked: int = 0
    problems: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    finished: str = field(default_factory=lambda: now())


def make_environment(
    folder: Path, python: str, requirements: Sequence[str], *options: str
) -> Path:
    """Make a virtual environment, unless it is there already, and return its Python.

    Args:
        folder: of the environment. One that was asked for differently is made anew.
        python: the interpreter that it is made with.
        requirements: what pip installs.
        options: further ones of pip.

    Raises:
        subprocess.CalledProcessError: if pip can't install what is asked for.
    """
    asked = json.dumps([str(python), *requirements])
    record = folder / "made-of.json"
    inside = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not record.is_file() or record.read_text("utf-8") != asked:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", folder], check=True)
        command = [inside, "-m", "pip", "install", "-q", "--no-compile"]
        subprocess.run([*command, *options, *requirements], check=True)
        record.write_text(asked, encoding="utf-8")
    return inside


def layer(folder: Path, below: Path) -> Path:
    """Make an environment on top of another one, and return its Python.

    What is installed in it stays in it, and the one below is as it was: a fresh
    machine, with what it came with, in a second.

    Args:
        folder: of the new environment.
        below: the Python of the one that it stands on.
    """
    subprocess.run([below, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / below.parent.name / below.name
    asked = "import json, site; print(json.dumps(site.getsitepackages()))"
    found = [
        json.loads(subprocess.run([which, "-c", asked], **captured()).stdout)
        for which in (python, below)
    ]
    (Path(found[0][0]) / "below.pth").write_text("\n".join(found[1]), encoding="utf-8")
    return python


def captured() -> dict[str, Any]:
    """Return the options of a process whose output is read, and which must succeed."""
    return {"capture_output": True, "text": True, "check": True, "env": clean()}


def clean(**more: str) -> dict[str, str]:
    """Return this process's environment without what would let the checkout in.

    Args:
        more: further variables.
    """
    inherited = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    return inherited | more


async def run_alone(
    path: Path, python: Path, environment: dict[str, str], *, compare: bool = True
) -> Run:
    """Run a notebook from top to bottom, alone in an empty folder.

    Args:
        path: of the notebook, which is left as it is.
        python: that its kernel is run by.
        environment: of its kernel.
        compare: the outputs of the cells tagged ``nbval-check-output`` with the stored.

    Returns:
        What was measured, and what is wrong: a cell that fails, a warning or anything
        else on stderr, an output that is not as stored.
    """
    run = Run(path.relative_to(stamps.ROOT).as_posix())
    notebook = nbformat.read(path, as_version=4)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    stored = {id(cell): shown(cell) for cell in codes}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / path.stem
        folder.mkdir()
        client = kernels.client_for(notebook, folder, "room")
        client.create_kernel_manager().kernel_spec_manager = kernel_of(
            python, Path(name) / "kernels"
        )
        started = time.perf_counter()
        try:
            async with client.async_setup_kernel(env=environment):
                for index, cell in enumerate(notebook.cells):
                    await client.async_execute_cell(cell, index)
                    if cell is codes[0]:
                        run.seconds_to_set_up = round(time.perf_counter() - started, 1)
                        await ask(client, BEFORE)
                run.seconds = round(time.perf_counter() - started, 1)
                run.told = json.loads(await ask(client, DESCRIBE))
                run.megabytes = run.told.pop("megabytes")
        except kernels.FAILURES as error:
            run.problems.append(f"cell {index} failed: {last_lines(str(error))}")
        left = sorted(each.name for each in folder.iterdir())
    run.finished = now()
    if left:
        run.problems.append(f"it leaves files behind: {', '.join(left)}")
    for number, cell in enumerate(codes):
        for output in cell.outputs:
            if output.get("name") == "stderr":
                run.problems.append(
                    f"code cell {number} wrote to stderr: {last_lines(output.text)}"
                )
        if compare and "nbval-check-output" in cell.metadata.get("tags", []):
            run.checked += 1
            if shown(cell) != stored[id(cell)] and not run.problems:
                run.problems.append(
                    f"code cell {number} shows {shown(cell)[:200]!r}, "
                    f"stored is {stored[id(cell)][:200]!r}"
                )
    return run


def kernel_of(python: Path, folder: Path) -> KernelSpecManager:
    """Return what finds one kernel, "room", which a certain Python runs."""
    (folder / "room").mkdir(parents=True)
    about = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "room",
        "language": "python",
    }
    (folder / "room" / "kernel.json").write_text(json.dumps(about), encoding="utf-8")
    return KernelSpecManager(kernel_dirs=[str(folder)], ensure_native_kernel=False)


async def ask(client: NotebookClient, code: str) -> str:
    """Run code that is no cell of the notebook, and return what it prints."""
    client.nb.cells.append(nbformat.v4.new_code_cell(code))
    try:
        cell = await client.async_execute_cell(
            client.nb.cells[-1], len(client.nb.cells) - 1, store_history=False
        )
    finally:
        client.nb.cells.pop()
    return "".join(output.get("text", "") for output in cell.outputs)


def shown(cell: nbformat.NotebookNode) -> str:
    """Return what a cell prints and its value, as text."""
    return "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
        if output.get("name") != "stderr"
    )


def last_lines(text: str) -> str:
    """Return the end of a long message, where the reason is."""
    return " / ".join(line for line in text.splitlines() if line.strip())[-1600:]


async def run_all(
    paths: Sequence[Path], jobs: int, run: Callable[[Path], Any]
) -> list[Run]:
    """Run notebooks, `jobs` at a time, and say how each went as soon as it is known.

    Args:
        paths: of the notebooks.
        jobs: how many run at once.
        run: what runs one of them, a coroutine function.
    """
    places = asyncio.Semaphore(jobs)

    async def in_turn(path: Path) -> Run:
        async with places:
            done = await run(path)
        print(line_of(done), flush=True)
        for problem in done.problems:
            print(f"    {problem}", flush=True)
        return done

    return list(await asyncio.gather(*map(in_turn, paths)))


def line_of(run: Run) -> str:
    """Return one line about a run."""
    return (
        f"{'FAILED' if run.problems else 'passed'}  {run.seconds:6.1f} s "
        f"({run.seconds_to_set_up:.1f} s to set up), {run.megabytes:5d} MB, "
        f"{run.checked:2d} outputs as stored  {run.notebook}"
    )


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """Return what a file under book/runs_on tells of notebooks that ran.

    Args:
        runs: of the notebooks.
    """
    told = next((done.told for done in runs if done.told), {})
    device = told.get("cuda") or f"CPU, {os.cpu_count()} cores"
    return {
        "version": package_version(),
        "finished": now(),
        "device": f"{device}, {platform.system()} {platform.machine()}",
        "versions": told.get("versions", {}),
        "notebooks": [
            {key: value for key, value in asdict(done).items() if key != "told"}
            for done in sorted(runs, key=lambda done: done.notebook)
        ],
    }


def now() -> str:
    """Return the time, as the files under book/runs_on have it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def record(name: str, about: dict[str, Any]) -> Path:
    """Write what is told of a room where the book's page *Runs on* reads it.

    Args:
        name: of the file, without its suffix.
        about: what `summary` returns, and more.
    """
    RUNS_ON.mkdir(exist_ok=True)
    path = RUNS_ON / f"{name}.json"
    text = json.dumps(about, indent=1, ensure_ascii=False)
    for folder in (stamps.ROOT, tempfile.gettempdir(), Path.home()):  # nobody's paths
        text = text.replace(str(folder), "…")
    path.write_text(f"{text}\n", encoding="utf-8", newline="\n")
    return path


def record_some(name: str, about: dict[str, Any]) -> Path:
    """Write what is told of some notebooks of a room, and keep what is told of others.

    Others are kept as long as they ran on the same versions.

    Args:
        name: of the file, without its suffix.
        about: what `summary` returns, and more.
    """
    path, now_run = RUNS_ON / f"{name}.json", about["notebooks"]
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        if all(before.get(key) == about[key] for key in ("version", "versions")):
            names = {run["notebook"] for run in now_run}
            kept = [run for run in before["notebooks"] if run["notebook"] not in names]
            both = sorted([*kept, *now_run], key=lambda run: run["notebook"])
            about = about | {"notebooks": both}
    return record(name, about)


@contextlib.contextmanager
def forge(address: str) -> Iterator[dict[str, str]]:
    """Let git find this checkout, as it is, where the set-up cells ask for a release.

    The release's tag is put on a commit of the files that git tracks or would track.

    Args:
        address: of the repository, as the set-up cells have it.

    Yields:
        Variables for processes that shall find it there.
    """
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "forge"
        for path in stamps.project_files():
            copy = clone / path.relative_to(stamps.ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        who = ["-c", "user.name=forge", "-c", "user.email=forge@localhost"]
        for words in (
            ["init", "-q"],
            ["config", "core.compression", "0"],
            ["add", "--all", "--force"],
            [*who, "commit", "-q", "--no-verify", "--no-gpg-sign", "-m", "as it is"],
            ["tag", f"v{package_version()}"],
            ["config", "uploadpack.allowFilter", "true"],
            ["config", "uploadpack.allowAnySHA1InWant", "true"],
        ):
            subprocess.run(["git", *words], cwd=clone, check=True)
        yield {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{clone.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": address,
        }


def package_version() -> str:
    """Return the version that this checkout states."""
    text = (stamps.ROOT / stamps.PACKAGE / "__init__.py").read_text(encoding="utf-8")
    return text.partition('__version__ = "')[2].partition('"')[0]


def digest_of(distribution: str, python: Path) -> str:
    """Return a digest of an installed distribution's files, their sizes and times.

    Args:
        distribution: its name.
        python: of the environment that it is installed in.
    """
    code = (
        "import importlib.metadata as m, json, os\n"
        f"files = [f.locate() for f in m.files({distribution!r}) or []]\n"
        "found = sorted((str(f), *os.stat(f)[6:9:2]) for f in files if f.exists())\n"
        f"print(m.version({distribution!r}), json.dumps(found))"
    )
    told = subprocess.run([python, "-c", code], **captured()).stdout
    return f"{told.split()[0]} {hashlib.sha256(told.encode()).hexdigest()[:16]}"


def interpreter(version: str) -> tuple[str, str]:
    """Return a Python of a version, and a note if there is none: then this one's.

    It is looked for on the path, where pyenv's may be switched off, and among pyenv's.

    Args:
        version: such as 3.13.
    """
    asked = "import platform; print(platform.python_version())"
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(home.glob(f"versions/{version}.*/bin/python"))
    for found in (shutil.which(f"python{version}"), *map(str, kept)):
        if found:
            done = subprocess.run([found, "-c", asked], capture_output=True, text=True)
            if done.returncode == 0 and done.stdout.startswith(f"{version}."):
                return found, ""
    here = ".".join(map(str, sys.version_info[:2]))
    return sys.executable, "" if here == version else (
        f"there is no Python {version} here: Python {here} is used"
    )
