"""What processes that train side by side inherit."""

from __future__ import annotations

import os

import processes


def test_the_cores_are_shared_and_memory_is_kept(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    processes.share_cores(2)
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert os.environ["MALLOC_MMAP_MAX_"] == "0"


def test_what_is_set_already_stays(monkeypatch):
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "7"})
    processes.share_cores(2)
    assert os.environ["OMP_NUM_THREADS"] == "7"
