"""What every test shares: repeatable property tests, and the book built once."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile(
    "repeatable", deadline=None, derandomize=True, database=None, print_blob=True
)
hypothesis.settings.load_profile("repeatable")
torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the rendered book, rendered anew if an input changed."""
    import build_book  # the package's own tests run without what the book needs

    try:
        build_book.build()
    except RuntimeError as error:
        pytest.fail(f"{error} Run `make book` to see why.", pytrace=False)
    return build_book.HTML
