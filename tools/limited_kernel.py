"""Start a kernel whose process has a limit on its memory, its time and its files.

Arguments: megabytes of memory, seconds of processor time, megabytes of a file; the
others are those of the kernel. Its processes inherit the limits, each for itself.
"""

import contextlib
import resource
import sys

MEGABYTE = 2**20


def limit(memory: int, seconds: int, file: int) -> None:
    """Set limits on this process and on those that it starts."""
    for kind, most in (
        (resource.RLIMIT_AS, memory * MEGABYTE),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, file * MEGABYTE),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        with contextlib.suppress(OSError, ValueError):  # macOS has not all of them
            resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    limit(*map(int, sys.argv[1:4]))
    del sys.argv[1:4]
    del sys.path[0]  # this folder: a notebook imports none of these tools
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()
