"""MNIST's four archives: kept in a cache, fetched when they are wanted, always checked.

They are looked for in the cache folder, then fetched: from the place that
``STN_TUTORIAL_MIRROR`` names (a folder, a ``file://`` or an ``http://`` address), or
from the mirrors that torchvision uses. Names, MD5 sums and the cache's layout are
torchvision's, which finds what is kept here, and the other way round; it need not be
installed. An archive is checked each time it is read, and is moved into the cache in
one step, so a download cut short leaves nothing behind and several processes may ask at
once.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import url2pathname, urlopen

from stn_tutorial._validate import check_choice

__all__ = [
    "DataError",
    "atomically",
    "cache_folder",
    "fetch_mnist",
    "is_kept",
    "named_path",
    "read_archive",
    "told",
]

# MNIST's archives with their MD5 sums, and where they can be had.
ARCHIVES = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)

LIMIT = 2**24  # bytes: more than any of the archives has
PATIENCE = 30.0  # seconds without an answer, or before a download is judged by its
SLOWEST = 5_000  # bytes a second, on the average


class DataError(RuntimeError):
    """The data can't be had: the message names the file, the reason and what to do.

    >>> import os
    >>> from unittest import mock
    >>> nowhere = dict(STN_TUTORIAL_MIRROR="nowhere", STN_TUTORIAL_DATA="no cache")
    >>> with mock.patch.dict(os.environ, nowhere):
    ...     fetch_mnist()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    stn_tutorial.data.archives.DataError: train-images-idx3-ubyte.gz can't be had ...
    """

    def __init__(self, message: str) -> None:
        # A path may hold bytes that no encoding knows; the message can be printed.
        super().__init__(message.encode("utf-8", "backslashreplace").decode())


def cache_folder() -> Path:
    """Return where archives are kept: ``STN_TUTORIAL_DATA``, or the user's cache.

    >>> import os
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, STN_TUTORIAL_DATA="my data"):
    ...     cache_folder().name
    'my data'

    Raises:
        DataError: if nothing is named and the user has no home folder.
    """
    try:
        if named := os.environ.get("STN_TUTORIAL_DATA"):
            return Path(named).expanduser()
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise DataError(
            f"there is no folder to keep MNIST in: {told(error)} "
            "Set STN_TUTORIAL_DATA to a folder that can be written to."
        ) from error
    return Path(cache) / "stn_tutorial"


def named_path(variable: str, otherwise: str) -> Path:
    """Return the path that an environment variable names, where data are.

    >>> import os
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, STN_TUTORIAL_CUB="file:///data/birds"):
    ...     named_path("STN_TUTORIAL_CUB", "there are no birds").name
    'birds'

    Args:
        variable: its name; it holds a path, of which ``~`` is the home folder, or a
            ``file://`` address.
        otherwise: what to say if it is not set.

    Returns:
        The path, whether there is something or not.

    Raises:
        DataError: if the variable is not set, or is empty.
    """
    named = os.environ.get(variable)
    if not named:
        raise DataError(otherwise)
    parts = urlsplit(named)
    path = Path(url2pathname(parts.path) if parts.scheme == "file" else named)
    return path.expanduser()


def is_kept() -> bool:
    """Return whether the cache has all of MNIST, undamaged; nothing is fetched.

    >>> import os
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, STN_TUTORIAL_DATA="no cache"):
    ...     is_kept()
    False
    """
    try:
        for name in ARCHIVES:
            _checked(name, _read_file(_path(name)))
    except (DataError, OSError, ValueError):
        return False
    return True


def fetch_mnist() -> list[Path]:
    """Make sure that the four archives are in the cache, and return their paths.

    >>> [path.name for path in fetch_mnist()]  # doctest: +SKIP
    ['train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz', ...]

    Raises:
        DataError: if one can't be fetched or kept, or what was fetched is damaged.
    """
    for name in ARCHIVES:
        read_archive(name)
    return [_path(name) for name in ARCHIVES]


def read_archive(name: str) -> bytes:
    """Return what one of the archives holds, fetched if need be.

    >>> content = read_archive("t10k-labels-idx1-ubyte.gz")  # doctest: +SKIP

    Args:
        name: of the archive, as at MNIST's own address.

    Returns:
        The archive's bytes, as they are: compressed by gzip.

    Raises:
        DataError: if it can't be fetched or kept, or what was fetched is damaged.
        ValueError: if MNIST has no such archive.
    """
    check_choice(name, "name", tuple(ARCHIVES))
    path, reasons = _path(name), []
    try:
        return _checked(name, _read_file(path))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        reasons.append(f"{path}: {told(error)}")
    mirror = os.environ.get("STN_TUTORIAL_MIRROR")
    for address in [mirror] if mirror else MIRRORS:
        try:
            content = _checked(name, _read(f"{address.rstrip('/')}/{name}"))
        except (OSError, ValueError, RuntimeError) as error:
            reasons.append(f"{address}: {told(error)}")
            continue
        try:
            _write(path, content)
        except OSError as error:
            raise DataError(
                f"{name} can't be kept in {path.parent} ({told(error)}). "
                "Set STN_TUTORIAL_DATA to a folder that can be written to."
            ) from error
        return content
    raise DataError(
        f"{name} can't be had ({'; '.join(reasons)}). Set STN_TUTORIAL_MIRROR to a "
        "folder or an address that has MNIST's four archives."
    )


def _path(name: str) -> Path:
    return cache_folder() / "MNIST" / "raw" / name  # as torchvision lays it out


def _checked(name: str, content: bytes) -> bytes:
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != ARCHIVES[name]:
        raise ValueError("the archive there is damaged: its MD5 sum is not MNIST's")
    return content


def told(error: BaseException) -> str:
    """Return what an error says, in one line of bounded length.

    >>> told(OSError("no  such file")), told(TimeoutError())
    ('no such file', 'TimeoutError')

    Args:
        error: that was caught.

    Returns:
        300 characters at most; the kind of the error if it says nothing.
    """
    return " ".join(str(error).split())[:300] or type(error).__name__


def _read(address: str) -> bytes:
    """Read a path, a file:// or an http(s):// address."""
    parts = urlsplit(address)
    if parts.scheme in ("http", "https"):
        return _download(address)
    if parts.scheme == "file":
        return _read_file(Path(url2pathname(parts.path)))
    if "://" in address:
        raise ValueError("an address must begin with file://, http:// or https://")
    return _read_file(Path(address).expanduser())


def _read_file(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a folder, or a pipe, which would block
        raise OSError("what is there is not a file")
    with path.open("rb") as file:
        return file.read(LIMIT)


def _write(path: Path, content: bytes) -> None:
    """Bring a file to `path` whole, or not at all, readable as the umask says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomically(path) as part:
        part.write_bytes(content)


@contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """Write a file under another name, which becomes its own when all went well.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "numbers.txt"
    >>> with atomically(path) as part:
    ...     characters = part.write_text("1 2 3")
    >>> [each.name for each in path.parent.iterdir()], path.read_text()
    (['numbers.txt'], '1 2 3')

    Args:
        path: of the file.

    Returns:
        A context, which gives the path to write to, in the same folder.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class _Download(threading.Thread):
    """Receives a file in the background, where nobody has to wait for a slow server.

    A socket's own time limit is for one packet, and a server may send a byte a second.
    """

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.address = address
        self.answered = threading.Event()
        self.length: int | None = None
        self.content = bytearray()
        self.error: Exception | None = None
        self.given_up = False

    def run(self) -> None:
        try:
            with urlopen(self.address, timeout=PATIENCE) as source:
                self.length = source.length
                self.answered.set()
                while not self.given_up and len(self.content) < LIMIT:
                    if not (chunk := source.read1(2**16)):
                        break
                    self.content += chunk
        except Exception as error:  # of the address, the network or the server
            self.error = error
            if isinstance(error, HTTPError):
                error.close()  # it is the server's answer, too
        finally:
            self.answered.set()


def _download(address: str) -> bytes:
    """Fetch a file over http(s), and show the progress."""
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            "fetching MNIST needs tqdm: pip install 'stn-tutorial[course]'"
        ) from error
    download, start = _Download(address), time.monotonic()
    download.start()
    try:
        if not download.answered.wait(PATIENCE):
            raise TimeoutError(f"no answer in {PATIENCE:g} s")
        with tqdm(
            desc=address.rpartition("/")[2],
            total=download.length,
            unit="B",
            unit_scale=True,
            leave=False,
            disable=download.error is not None,
        ) as progress:
            while download.is_alive():
                download.join(0.1)
                received, seconds = len(download.content), time.monotonic() - start
                progress.update(received - progress.n)
                if seconds > PATIENCE and received < SLOWEST * seconds:
                    raise TimeoutError(f"only {received} bytes in {seconds:.0f} s")
    finally:
        download.given_up = True
    if download.error:
        raise ConnectionError(told(download.error)) from download.error
    return bytes(download.content)
