"""The environment of processes that train side by side on a CPU."""

from __future__ import annotations

import os


def share_cores(jobs: int) -> None:
    """Set what processes inherit from this one, unless it is set already.

    Args:
        jobs: how many run at a time. More threads than cores only wait.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    # glibc hands large blocks back to the kernel as soon as they are free, and gets
    # them again at the next step of training, page by page and zeroed. That can be a
    # third of the time; these two make it keep them.
    os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**31))
