"""Cells that take no time, for the tests of sharing: importable by worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from stn_tutorial.experiments.results import Seed, check_cell


@dataclass(frozen=True)
class TinyCell:
    """A cell that is measured in the way that its kind says."""

    RESULT: ClassVar[dict[str, Any]] = {"seconds": float, "process": int}

    kind: str
    seed: Seed = 0

    def __post_init__(self) -> None:
        kinds = "quick", "wrong", "infinite", "fatal", "patient", "endless", "full"
        check_cell(self, kind=kinds)

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.seed}"

    def measure(
        self, checkpoints: Path, *, progress: bool = False, seconds: float = 0.0
    ) -> dict[str, Any]:
        mark = checkpoints.parent / "a worker was killed"
        if self.kind == "wrong":
            raise ValueError("nothing to learn\nfrom")
        if self.kind == "full":
            raise OSError(28, "No space left on device")
        if self.kind == "infinite":
            seconds = float("inf")
        if self.kind == "fatal" and multiprocessing.parent_process():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "patient":  # until a worker was killed
            while not mark.exists():
                time.sleep(0.02)
        if self.kind == "endless":
            (checkpoints.parent / f"{self.name} has begun").touch()
            while True:
                time.sleep(60)
        return {"seconds": seconds, "process": os.getpid()}
