"""The command line, called in the process of a test."""

from __future__ import annotations

from stn_tutorial import commands


def call(*arguments: str) -> int:
    """Run a command; its exit code."""
    try:
        commands.main(arguments)
    except SystemExit as stop:
        return stop.code
    return 0
