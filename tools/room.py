"""A room for one submission: a kernel with limits on time, memory and output.

Whatever a cell does (loop for ever, print without end, fill the memory, end the kernel)
is over after its time, and the next cell runs: in the same kernel where it still
answers, and else in a new one in which the earlier cells have run again, without the
one that ended it.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import Empty
from typing import Any

import answering
import psutil
import zmq
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbformat import NotebookNode, v4

TOOLS = Path(__file__).resolve().parent
#: A larger message is not received: a kernel can't fill the referee's memory.
MESSAGE = 64 * 2**20
#: How often a kernel is started anew, at most.
RESTARTS = 5


@dataclass(frozen=True)
class Limits:
    """What a submission may use.

    Attributes:
        cell: seconds of processor time of one cell, or of one call by a test.
        total: seconds of processor time of the notebook and all its tests.
        waiting: how many times as long each of these may take by the clock: a kernel
            that sleeps, or shares its core with others, uses no processor time.
        memory: megabytes of address space of each of its processes.
        output: characters that are kept of a cell's output; of all, ten times as many.
        file: megabytes of a file that it writes.
    """

    cell: float = 60
    total: float = 300
    waiting: float = 4
    memory: int = 6000
    output: int = 500_000
    file: int = 200


class KernelEnded(Exception):
    """The kernel is gone: it crashed, or was ended as it no longer answered."""


class OutOfTime(Exception):
    """A cell took longer than it may."""


class Room:
    """Runs cells of one notebook, and asks for what they have defined.

    Args:
        folder: an empty folder, the kernel's home and working folder.
        limits: what may be used.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.began = time.monotonic()
        self.spent = 0.0  # seconds of processor time of kernels that ended
        self.room_for_output = 10 * limits.output
        self.history: list[NotebookNode] = []  # what ran to its end, for a new kernel
        self.restarts = 0
        self.endless: Counter[str] = Counter()  # calls that did not return, by name
        self.ended = False
        adopt_orphans()
        self._start()

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, cell: NotebookNode) -> None:
        """Run a cell, and put its outputs, or what ended it, into it."""
        cell.outputs = []
        if (why := self._not_ready()) is not None:
            cell.outputs = [_error("NotRun", why)]
            return
        outputs = Outputs(min(self.limits.output, self.room_for_output))
        try:
            reply = self._execute(cell.source, outputs)
            if reply.get("status") == "error" and not outputs.has_error:
                outputs.add(_error(reply["ename"], reply["evalue"]))
            self.history.append(cell)
        except OutOfTime as error:
            outputs.add(_error("OutOfTime", str(error)), always=True)
        except KernelEnded:
            why = "this cell ended the kernel (a crash, an exit, or too much memory)"
            outputs.add(_error("KernelEnded", why), always=True)
        cell.outputs = outputs.kept
        self.room_for_output -= min(outputs.size, self.limits.output)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request to `answering.answer`, and return what it says.

        Raises:
            KernelEnded: if the kernel ended on it.
            OutOfTime: if it took too long.
        """
        if (why := self._not_ready()) is not None:
            raise OutOfTime(why)
        held = json.dumps(json.dumps(request))
        source = json.dumps((TOOLS / "answering.py").read_text(encoding="utf-8"))
        code = (
            "_answering = {'__name__': '_answering'}\n"
            f"exec(compile({source}, 'answering', 'exec'), _answering)\n"
            f"_found = _answering['answer'](get_ipython().user_ns, {held})\n"
            "get_ipython().display_pub.publish({_answering['MIME']: _found})"
        )
        outputs = Outputs(self.limits.output)
        self._execute(code, outputs, silent=True)
        try:
            found = json.loads(outputs.answer or "")
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            return {"error": "its answer could not be read"}
        return found

    def used(self) -> tuple[float, float]:
        """Seconds of processor time that the kernels took, and seconds of the clock."""
        if not self.ended:
            try:
                times = psutil.Process(self.manager.provisioner.pid).cpu_times()
                self.now = sum(times[:4])  # its own, and of children that are over
            except psutil.Error:
                pass
        return self.spent + self.now, time.monotonic() - self.began

    def _over(self, seconds: float, since: tuple[float, float] = (0, 0)) -> bool:
        processor, clock = (now - then for now, then in zip(self.used(), since))
        return processor > seconds or clock > seconds * self.limits.waiting

    def _not_ready(self) -> str | None:
        """Why nothing more can be run, if so; a kernel that ended is started anew."""
        if self.ended:
            self._replay()
        if self.ended:
            return f"the kernel ended {self.restarts + 1} times: no more is run"
        if self._over(self.limits.total):
            return f"the notebook's {self.limits.total:g} seconds were over before"
        return None

    def _replay(self) -> None:
        """Start a new kernel, and run what had been run, until one keeps alive."""
        while (
            self.ended
            and self.restarts < RESTARTS
            and not self._over(self.limits.total)
        ):
            self.restarts += 1
            self._stop()
            self._start()
            for cell in self.history:
                try:
                    self._execute(cell.source, Outputs(0))
                except (OutOfTime, KernelEnded):
                    self.history.remove(cell)
                    break
            else:
                continue
            self.ended = True

    def _start(self) -> None:
        context = zmq.Context()
        context.setsockopt(zmq.MAXMSGSIZE, MESSAGE)
        self.manager = KernelManager(
            context=context,
            kernel_spec_manager=_OneKernel(self.limits),
            transport="ipc",
            connection_file=str(self.folder / f"kernel{self.restarts}.json"),
        )
        self.manager.start_kernel(
            cwd=str(self.folder),
            env=_environment(self.folder),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=300)
        self.ended, self.now = False, 0.0
        # exit() in a cell would end the kernel a moment after the cell.
        self._execute("get_ipython().ask_exit = lambda: None", Outputs(0))

    def _stop(self) -> None:
        self.spent, self.now = self.used()[0], 0.0
        self.client.stop_channels()
        for process in psutil.Process().children(recursive=True):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def _execute(
        self, code: str, outputs: Outputs, *, silent: bool = False
    ) -> dict[str, Any]:
        """Run code, collect what it puts out, and return the kernel's reply."""
        started, looked = self.used(), time.monotonic()
        sent = self.client.execute(code, silent=False, store_history=not silent)
        reply, idle, quiet_since = None, False, time.monotonic()
        while not idle:
            if reply is None and (found := self._received("shell", sent, 0)):
                reply = found["content"]
            message = self._received("iopub", sent, 0.05)
            now = time.monotonic()
            if message is not None:
                quiet_since = now
                idle = message["content"].get("execution_state") == "idle"
                outputs.receive(message)
            elif not self.manager.is_alive():
                self.ended = True
                raise KernelEnded
            elif reply is not None and now > quiet_since + 10:
                idle = True  # under a flood of output the last word can be lost
            if now > looked + 0.5:
                looked = now
                if self._over(self.limits.cell, started) or self._over(
                    self.limits.total
                ):
                    self._interrupt()
                    used = [now - then for now, then in zip(self.used(), started)]
                    raise OutOfTime(f"stopped after {max(used):.0f} seconds")
        if reply is None:
            found = self._received("shell", sent, 2)
            reply = found["content"] if found else {"status": "ok"}
        return reply

    def _received(self, channel: str, sent: str, seconds: float) -> Any:
        """The next message about what was sent, or None; others are dropped."""
        get = getattr(self.client, f"get_{channel}_msg")
        try:
            message = get(timeout=seconds)
        except (Empty, ValueError, UnicodeDecodeError):  # none, or not a message
            return None
        return message if message["parent_header"].get("msg_id") == sent else None

    def _interrupt(self) -> None:
        """Interrupt the kernel, and end it if that does not help."""
        self.manager.interrupt_kernel()
        sent = self.client.execute("", silent=True)
        until = time.monotonic() + 5
        while time.monotonic() < until and self.manager.is_alive():
            self._received("iopub", "", 0)
            if self._received("shell", sent, 0.1):
                return
        self.manager.shutdown_kernel(now=True)
        self.ended = True


class Outputs:
    """The outputs of a cell, up to a number of characters.

    Args:
        most: how many characters are kept.
    """

    def __init__(self, most: int) -> None:
        self.most, self.size, self.cut = most, 0, False
        self.kept: list[NotebookNode] = []
        self.answer: str | None = None

    @property
    def has_error(self) -> bool:
        return any(output.output_type == "error" for output in self.kept)

    def receive(self, message: dict[str, Any]) -> None:
        """Take a message of the kernel, if it is an output."""
        kind, content = message["msg_type"], message["content"]
        if (
            kind == "stream"
            and self.kept
            and self.kept[-1].get("name") == content["name"]
        ):
            room = self.most - self.size
            self.kept[-1].text += content["text"][: max(0, room)]
            self._count(len(content["text"]))
        elif kind in ("stream", "display_data", "execute_result", "error"):
            found = content.get("data", {}).get(answering.MIME)
            if found is not None:
                self.answer = found
            else:
                self.add(v4.output_from_msg(message))

    def add(self, output: NotebookNode, *, always: bool = False) -> None:
        """Keep an output, or as much of its text as there is room for."""
        room = self.most - self.size
        size = len(json.dumps(output))
        if size <= room or always:
            self.kept.append(output)
        elif output.output_type == "stream" and room > 0:
            output.text = output.text[:room]
            self.kept.append(output)
        elif output.output_type == "error":
            self.kept.append(_error(output.ename[:100], output.evalue[:500]))
        self._count(size)

    def _count(self, size: int) -> None:
        self.size += size
        if self.size > self.most and not self.cut:
            self.cut = True
            note = f"\n[more than {self.most} characters: the rest is left out]\n"
            self.kept.append(v4.new_output("stream", name="grader", text=note))


class _OneKernel(KernelSpecManager):
    """Knows one kernel: this Python's, started by `limited_kernel`."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        numbers = (limits.memory, int(limits.total) + 60, limits.file)
        self.argv = [
            *without_network(),
            *(sys.executable, str(TOOLS / "limited_kernel.py"), *map(str, numbers)),
            *("-f", "{connection_file}", "--HistoryManager.hist_file=:memory:"),
        ]

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(argv=self.argv, display_name="Python 3", language="python")


@cache
def without_network() -> tuple[str, ...]:
    """The command in front of another that takes the network from it, if there is one.

    It needs a Linux that lets users have namespaces of their own.
    """
    if shutil.which("unshare"):
        command = ("unshare", "--map-current-user", "--net", "--")
        if subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    return ()


def adopt_orphans() -> None:
    """Become the parent of what a kernel leaves behind, so that it can be ended."""
    if sys.platform == "linux":
        set_child_subreaper = 36
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def _environment(folder: Path) -> dict[str, str]:
    """What a kernel is told: the paths, and nothing that is anybody's secret."""
    kept = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "IPYTHONDIR": str(folder),
        "MPLCONFIGDIR": str(folder),
        "JUPYTER_RUNTIME_DIR": str(folder),
        "PYTHONPATH": str(TOOLS.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
        "STN_TUTORIAL_GRADING": "1",
    }


def _error(name: str, text: str) -> NotebookNode:
    return v4.new_output(
        "error", ename=name, evalue=text, traceback=[f"{name}: {text}"]
    )
