"""A kernel that runs a notebook's cells, in a folder and with time enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

SECONDS_OF_A_CELL = 3600  # against hanging; nothing fails since a machine is slow
# How a run ends early: by an error, without an end, or with its kernel.
FAILURES = (CellExecutionError, CellTimeoutError, DeadKernelError)


def client_for(
    notebook: NotebookNode, folder: Path, kernel: str = "python3", **options: Any
) -> NotebookClient:
    """Return what runs the cells of a notebook, and writes their outputs into it.

    Args:
        notebook: changed in place.
        folder: that the cells run in.
        kernel: its name.
        **options: of nbclient.
    """
    return NotebookClient(
        notebook,
        timeout=SECONDS_OF_A_CELL,
        kernel_name=kernel,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # not a word of the kernel's own
        resources={"metadata": {"path": str(folder)}},
        **options,
    )
