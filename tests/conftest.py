"""What every test shares: repeatable property tests, and the book built once."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile(
    "repeatable", deadline=None, derandomize=True, database=None, print_blob=True
)
hypothesis.settings.load_profile("repeatable")
torch.set_num_threads(min(2, torch.get_num_threads()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the book first, and those of one of its pages side by side.

    The first of them renders the book, while another worker runs tests that need none;
    and `turn_to` opens a page once for all the tests that follow each other.
    """
    pages: dict[str, int] = {}

    def place(item: pytest.Item) -> tuple[bool, int]:
        fixtures = getattr(item, "fixturenames", ())
        page = -1
        if "turn_to" in fixtures and hasattr(item, "callspec"):
            page = pages.setdefault(item.callspec.params.get("name"), len(pages))
        return "html" not in fixtures, page

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def this_machine_only(tmp_path_factory) -> Iterator[str | None]:
    """Keep every test, and what it starts, from the user's cache and the network.

    Yields the mirror of MNIST that was named outside; `real_mnist` names it again.
    """
    mirror = os.environ.get("STN_TUTORIAL_MIRROR")
    hosts = ["127.0.0.1", "localhost", urlparse(mirror or "").hostname]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STN_TUTORIAL_DATA", str(tmp_path_factory.mktemp("data")))
        patch.delenv("STN_TUTORIAL_MIRROR", raising=False)
        for protocol in ("http", "https"):  # nothing listens at the port of "discard"
            patch.setenv(f"{protocol}_proxy", "http://127.0.0.1:9")
        patch.setenv("no_proxy", ",".join(filter(None, hosts)))
        yield mirror


@pytest.fixture
def real_mnist(this_machine_only, monkeypatch) -> None:
    """MNIST itself, from the mirror that ``STN_TUTORIAL_MIRROR`` names."""
    if not this_machine_only:
        pytest.skip("needs MNIST: STN_TUTORIAL_MIRROR is not set")
    monkeypatch.setenv("STN_TUTORIAL_MIRROR", this_machine_only)


@pytest.fixture
def one_core(monkeypatch) -> Iterator[None]:
    """Bits are promised on a CPU; one thread, since the tests run side by side."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["cpu", *["cuda"] * torch.cuda.is_available()])
def device(request) -> torch.device:
    return torch.device(request.param)


@pytest.fixture
def compiler() -> None:
    """What PyTorch needs to compile for a CPU."""
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if not (shutil.which("g++") or shutil.which("clang++")) or not headers.exists():
        pytest.skip("needs a C++ compiler and Python's headers")


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the rendered book, rendered anew if an input changed."""
    import build_book  # the package's own tests run without what the book needs

    try:
        build_book.build()
    except RuntimeError as error:
        pytest.fail(f"{error} Run `make book` to see why.", pytrace=False)
    return build_book.HTML
