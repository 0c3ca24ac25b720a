"""MNIST: fetched, checked, cached, or replaced. The archives here are made here."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import pwd
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST

from stn_tutorial.data import archives as module
from stn_tutorial.data import embedded_digits
from stn_tutorial.data.archives import (
    ARCHIVES,
    DataError,
    cache_folder,
    fetch_mnist,
    is_kept,
    read_archive,
)
from stn_tutorial.data.digits import DigitSet, load_digits

COUNTS = {"train": 30, "t10k": 12}
CLOSED = "http://127.0.0.1:9/"  # nothing listens there
TRAIN_IMAGES = "train-images-idx3-ubyte.gz"


def idx(array: np.ndarray) -> bytes:
    """A gzipped archive in the format of MNIST's: magic number, sizes, bytes."""
    header = [0x0800 + array.ndim, *array.shape]
    return gzip.compress(np.array(header, ">i4").tobytes() + array.tobytes())


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """The contents of the four archives, by their names."""
    rng = np.random.default_rng(0)
    found = {}
    for split, count in COUNTS.items():
        pixels = rng.integers(0, 256, (count, 28, 28), np.uint8)
        found[f"{split}-images-idx3-ubyte.gz"] = pixels
        found[f"{split}-labels-idx1-ubyte.gz"] = rng.integers(0, 10, count, np.uint8)
    return found


@pytest.fixture
def mirror(arrays, tmp_path, monkeypatch) -> Path:
    """A folder of the four archives, which take MNIST's place; the cache is empty."""
    folder = tmp_path / "a mirror #1"
    folder.mkdir()
    sums = {}
    for name, array in arrays.items():
        content = idx(array)
        (folder / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(module, "ARCHIVES", sums)
    monkeypatch.setattr(module, "MIRRORS", [CLOSED])
    monkeypatch.setattr("stn_tutorial.data.digits._noticed", [])
    monkeypatch.setenv("STN_TUTORIAL_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("STN_TUTORIAL_MIRROR", folder.as_uri())
    return folder


Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


def whole(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    with_length(str(len(content)))(handler, content)


def with_length(length: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", length)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def of_unknown_length(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(content)


def cut_short(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    with_length(str(len(content)))(handler, content[: len(content) // 2])


def cut_short_in_a_chunk(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(f"{len(content):x}\r\n".encode() + content[:100])


def missing(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_error(404)


def no_http(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.wfile.write(b"220 welcome to something else\r\n")


def hanging_up(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.connection.close()


def redirecting_to(address: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        handler.send_response(302)
        handler.send_header("Location", address or handler.path)
        handler.end_headers()

    return answer


def without_end(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1000):  # where a megabyte is far too much
        handler.wfile.write(bytes(2**16))


def dripping(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    drip(handler, content)


def dripping_headers(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    drip(handler, b"HTTP/1.0 200 OK\r\n" + b"Header: and another\r\n" * 90)


def drip(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """A byte at a time, until nobody listens any more or the test is over."""
    for k in range(len(content)):
        if handler.server.over.wait(0.01):
            return
        handler.wfile.write(content[k : k + 1])


def silent(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.server.over.wait(60)


@pytest.fixture
def serve(mirror, monkeypatch):
    """Serve the folder over http; returns what makes it answer otherwise."""
    servers = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = (mirror / self.path.rpartition("/")[2]).read_bytes()
                try:
                    answer(self, content)
                except OSError:  # the other side has heard enough
                    pass
                self.close_connection = True

            def log_message(self, *words) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.over = threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        servers.append(server)
        address = f"http://127.0.0.1:{server.server_port}/some/folder"
        monkeypatch.setenv("STN_TUTORIAL_MIRROR", address)
        return address

    yield start
    for server in servers:
        server.over.set()
        server.shutdown()
        server.server_close()


def cached(name: str = TRAIN_IMAGES) -> Path:
    return cache_folder() / "MNIST" / "raw" / name


def assert_told(capsys, *words: str, split: str = "train") -> None:
    """MNIST is refused, and replaced with a notice, in one line that has the words."""
    with pytest.raises(DataError) as raised:
        load_digits(split, "mnist")
    assert load_digits(split).source == "embedded"
    said = capsys.readouterr().out
    assert said.startswith("MNIST can't be had, so scikit-learn's 1,797 digits are")
    assert "Reason: " in said and said.endswith("\n")
    for line in (str(raised.value), said[:-1]):
        assert "\n" not in line
        for word in words:
            assert word in line, line


def in_the_cache() -> list[str]:
    return sorted(path.name for path in cache_folder().rglob("*") if path.is_file())


def assert_holds(digits, images: np.ndarray, labels: np.ndarray) -> None:
    assert digits.source == "mnist" and len(digits) == len(labels)
    assert digits.images.dtype == torch.float32 and digits.labels.dtype == torch.int64
    expected = images[:, None].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(digits.images, expected)
    np.testing.assert_array_equal(digits.labels, labels)


@pytest.mark.parametrize("form", ["folder", "folder/", "file://", "file:///"])
def test_a_folder_of_archives_becomes_digits(mirror, arrays, monkeypatch, form):
    address = mirror.as_uri() if form.startswith("file") else str(mirror)
    monkeypatch.setenv("STN_TUTORIAL_MIRROR", address + "/" * form.endswith("r/"))
    for split, name in (("train", "train"), ("test", "t10k")):
        images = arrays[f"{name}-images-idx3-ubyte.gz"]
        assert_holds(load_digits(split), images, arrays[f"{name}-labels-idx1-ubyte.gz"])
    assert in_the_cache() == sorted(arrays)


def test_the_archives_are_those_of_torchvision():
    assert list(ARCHIVES.items()) == MNIST.resources


def test_torchvision_finds_the_same_digits_in_the_same_cache(mirror, monkeypatch):
    monkeypatch.setattr(MNIST, "resources", list(module.ARCHIVES.items()))
    fetch_mnist()
    shutil.rmtree(mirror)
    for split in ("train", "test"):
        theirs = MNIST(cache_folder(), train=split == "train", download=True)
        ours = load_digits(split)
        assert torch.equal((ours.images[:, 0] * 255).byte(), theirs.data)
        assert torch.equal(ours.labels, theirs.targets)


def test_the_cache_is_enough(mirror):
    expected = load_digits("train")
    shutil.rmtree(mirror)
    assert load_digits("train").checksum == expected.checksum
    with pytest.raises(DataError, match="t10k-images"):
        load_digits("test", "mnist")


def test_fetching_returns_the_four_archives(mirror, arrays):
    paths = fetch_mnist()
    assert [path.name for path in paths] == list(arrays)
    assert all(p.read_bytes() == (mirror / p.name).read_bytes() for p in paths)


DAMAGES = {
    "cut short": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "one bit flipped": lambda content: content[:-1] + bytes([content[-1] ^ 4]),
    "more at the end": lambda content: content + b"\0",
    "another file": lambda content: b"<html>Sign in to this network</html>",
}
damages = pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))


@damages
def test_a_damaged_archive_in_the_cache_is_fetched_anew(mirror, arrays, damage):
    expected = load_digits("train").checksum
    cached().write_bytes(damage(cached().read_bytes()))
    assert load_digits("train", "mnist").checksum == expected
    assert cached().read_bytes() == (mirror / TRAIN_IMAGES).read_bytes()


@damages
def test_a_damaged_archive_in_the_cache_is_named_and_not_used(mirror, damage, capsys):
    load_digits("train")
    cached().write_bytes(damage(cached().read_bytes()))
    shutil.rmtree(mirror)
    assert_told(capsys, f"{cached()}: the archive there is damaged", "No such file")


@damages
def test_a_damaged_archive_at_the_mirror_is_named_and_not_kept(mirror, damage, capsys):
    path = mirror / TRAIN_IMAGES
    path.write_bytes(damage(path.read_bytes()))
    where = f"{TRAIN_IMAGES} can't be had ({mirror.as_uri()}: "
    assert_told(capsys, where, "MD5", "Set STN_TUTORIAL_MIRROR")
    assert in_the_cache() == []


LENGTHS = {length: with_length(length) for length in ("-5", "many", "", "9" * 30)}


@pytest.mark.parametrize("length", LENGTHS)
def test_a_malformed_length_does_no_harm(serve, arrays, length):
    serve(LENGTHS[length])
    digits = load_digits("test", "mnist")
    assert_holds(digits, *(arrays[name] for name in arrays if "t10k" in name))


@pytest.mark.parametrize("answer", [whole, of_unknown_length])
def test_an_http_mirror_is_read(serve, arrays, answer, capsys):
    serve(answer)
    digits = load_digits("test", "mnist")
    assert_holds(digits, *(arrays[name] for name in arrays if "t10k" in name))
    assert "t10k-images-idx3-ubyte.gz" in capsys.readouterr().err  # progress


def test_without_a_mirror_torchvisions_own_are_tried_in_turn(
    serve, arrays, monkeypatch
):
    monkeypatch.setattr(module, "MIRRORS", [CLOSED, serve(whole) + "/"])
    monkeypatch.delenv("STN_TUTORIAL_MIRROR")
    digits = load_digits("test", "mnist")
    assert_holds(digits, *(arrays[name] for name in arrays if "t10k" in name))


FAILURES = {
    "cut short": (cut_short, "damaged"),
    "cut short in a chunk": (cut_short_in_a_chunk, "IncompleteRead"),
    "too short a length": (with_length("100"), "damaged"),
    "missing": (missing, "404"),
    "no http": (no_http, "220 welcome"),
    "hanging up": (hanging_up, "Remote end closed"),
    "redirecting in a circle": (redirecting_to(""), "redirect"),
    "redirecting to a file": (redirecting_to("file:///etc/passwd"), "not allowed"),
    "redirecting to ftp": (redirecting_to("ftp://127.0.0.1:9/x"), "refused"),
    "redirecting to nonsense": (redirecting_to("http://[::1"), "IPv6"),
    "without end": (without_end, "damaged"),
}


@pytest.mark.parametrize(("answer", "reason"), FAILURES.values(), ids=list(FAILURES))
def test_a_download_that_fails_is_told_and_leaves_nothing_behind(
    serve, capsys, monkeypatch, answer, reason
):
    monkeypatch.setattr(module, "LIMIT", 2**16)
    address = serve(answer)
    assert_told(capsys, f"{TRAIN_IMAGES} can't be had ({address}: ", reason)
    assert in_the_cache() == []
    serve(whole)
    assert len(fetch_mnist()) == 4


@pytest.mark.parametrize("answer", [dripping, dripping_headers, silent])
def test_a_server_that_sends_next_to_nothing_is_left(
    serve, capsys, monkeypatch, answer
):
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    address = serve(answer)
    assert_told(capsys, f"{TRAIN_IMAGES} can't be had ({address}: ")
    assert in_the_cache() == []


ADDRESSES = {
    "http://[::1/": "Invalid IPv6",
    "http://127.0.0.1:port": "port",
    "http://127.0.0.1:99999": "",
    "http://": "no host",
    f"http://{'a' * 70}.org": "label",
    "http://127.0.0.1:9/with a blank": "control characters",
    "http://127.0.0.1:9/ü": "ascii",
    "file:///%00": "null byte",
    "file://[": "Invalid IPv6",
    "s3://bucket/mnist": "must begin with",
    "no such folder": "No such file",
    "~nobody-has-this-name/mnist": "home",
    " ": "No such file",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_malformed_mirror_is_told(mirror, capsys, monkeypatch, address):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("STN_TUTORIAL_MIRROR", address)
    assert_told(capsys, f"{TRAIN_IMAGES} can't be had ({address}: ", ADDRESSES[address])


@pytest.mark.parametrize("kind", ["folder", "pipe", "circle"])
def test_what_is_no_file_at_the_mirror_is_told(mirror, capsys, kind):
    (mirror / TRAIN_IMAGES).unlink()
    make_no_file(kind, mirror / TRAIN_IMAGES)
    reason = "symbolic links" if kind == "circle" else "not a file"
    assert_told(capsys, TRAIN_IMAGES, mirror.as_uri(), reason)


def make_no_file(kind: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path)


@pytest.mark.parametrize("kind", ["pipe", "circle"])
def test_what_is_no_file_in_the_cache_is_replaced(mirror, kind):
    make_no_file(kind, cached())
    assert load_digits("train").source == "mnist"
    assert cached().read_bytes() == (mirror / TRAIN_IMAGES).read_bytes()


def test_a_folder_where_an_archive_should_be_is_told(mirror, capsys):
    make_no_file("folder", cached())
    assert_told(capsys, f"{TRAIN_IMAGES} can't be kept", str(cached()), "directory")
    assert in_the_cache() == []


@pytest.mark.parametrize("kind", ["file", "circle"])
def test_a_cache_that_is_no_folder_is_told(mirror, tmp_path, monkeypatch, capsys, kind):
    folder = tmp_path / "no folder"
    folder.touch() if kind == "file" else folder.symlink_to(folder)
    monkeypatch.setenv("STN_TUTORIAL_DATA", str(folder))
    hint = "Set STN_TUTORIAL_DATA to a folder"
    assert_told(capsys, f"{TRAIN_IMAGES} can't be kept in {folder}", hint)


CODES = [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO]


@pytest.mark.parametrize("code", CODES, ids=[os.strerror(code) for code in CODES])
def test_a_disk_that_takes_no_more_is_told(mirror, monkeypatch, capsys, code):
    def fail(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, "write_bytes", fail)
    hint = "Set STN_TUTORIAL_DATA to a folder"
    words = f"{TRAIN_IMAGES} can't be kept in {cached().parent}", os.strerror(code)
    assert_told(capsys, *words, hint)
    assert in_the_cache() == []


def forbid(monkeypatch, path: Path) -> None:
    """Let a file be unreadable, even to the superuser."""
    open_any = Path.open

    def open_other(self: Path, mode: str = "r"):
        if self == path and mode == "rb":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return open_any(self, mode)

    monkeypatch.setattr(Path, "open", open_other)


def test_an_unreadable_archive_in_the_cache_is_replaced(mirror, monkeypatch):
    expected = load_digits("train").checksum
    cached().write_bytes(b"of somebody else")
    forbid(monkeypatch, cached())
    assert load_digits("train", "mnist").checksum == expected
    monkeypatch.undo()


def test_an_unreadable_archive_in_the_cache_is_told(mirror, monkeypatch, capsys):
    load_digits("train")
    shutil.rmtree(mirror)
    forbid(monkeypatch, cached())
    assert_told(capsys, TRAIN_IMAGES, f"{cached()}: ", "Permission denied")


def test_a_path_of_undecodable_bytes_is_told(mirror, monkeypatch, capsys):
    monkeypatch.setenv("STN_TUTORIAL_MIRROR", os.fsdecode(b"/nowhere/\xff"))
    assert_told(capsys, TRAIN_IMAGES, r"/nowhere/\udcff: ", "No such file")


def test_an_archive_that_mnist_hasnt_is_named(mirror):
    with pytest.raises(ValueError, match=r"^name must be 'train-.*, got 'letters.gz'"):
        read_archive("letters.gz")


def test_an_unreadable_archive_at_the_mirror_is_told(mirror, monkeypatch, capsys):
    forbid(monkeypatch, mirror / TRAIN_IMAGES)
    assert_told(capsys, TRAIN_IMAGES, mirror.as_uri(), "Permission denied")


def test_a_user_without_home_or_name_is_told(mirror, monkeypatch, capsys):
    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "STN_TUTORIAL_DATA"):
        monkeypatch.delenv(name, raising=False)
    assert_told(capsys, "no folder to keep MNIST in", "Set STN_TUTORIAL_DATA")
    monkeypatch.setenv("STN_TUTORIAL_DATA", "~/here")
    with pytest.raises(DataError, match="Set STN_TUTORIAL_DATA"):
        cache_folder()


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o007, 0o660)])
def test_a_shared_cache_is_readable_as_the_mask_says(mirror, mask, mode):
    before = os.umask(mask)
    try:
        paths = fetch_mnist()
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in paths} == {mode}
    assert cached().parent.stat().st_mode & 0o777 == 0o777 & ~mask


def test_a_download_that_is_interrupted_leaves_nothing_behind(mirror, monkeypatch):
    def interrupted(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_digits("train")
    assert in_the_cache() == []


def test_two_may_ask_at_once(serve):
    both_ask = threading.Barrier(2)

    def together(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        """Half of an archive to each; the rest when the other has its half, too."""
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:50])
        handler.wfile.flush()
        both_ask.wait(300)
        handler.wfile.write(content[50:])

    serve(together)
    with ThreadPoolExecutor(2) as two:
        found = list(two.map(lambda _: load_digits("train", "mnist"), range(2)))
    expected = load_digits("train", "mnist").checksum  # from the cache
    assert [digits.checksum for digits in found] == [expected] * 2
    assert len(in_the_cache()) == 2


def test_mnist_needs_no_package_of_the_course(mirror, monkeypatch):
    for name in ("sklearn", "torchvision", "tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    assert load_digits("train").source == "mnist"


def test_a_download_without_tqdm_says_what_to_install(serve, monkeypatch):
    serve(whole)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(
        ImportError, match=r"tqdm: pip install 'stn-tutorial\[course\]'"
    ):
        load_digits("train")


def test_without_network_one_notice_and_the_embedded_digits(
    mirror, monkeypatch, capsys
):
    monkeypatch.delenv("STN_TUTORIAL_MIRROR")
    sets = [load_digits(split) for split in ("train", "test", "train")]
    said = capsys.readouterr().out
    assert said.count("\n") == said.count("scikit-learn's 1,797 digits") == 1
    assert TRAIN_IMAGES in said and CLOSED in said
    assert [len(digits) for digits in sets] == [1437, 360, 1437]
    assert {digits.source for digits in sets} == {"embedded"}
    images, labels = embedded_digits()
    assert torch.equal(torch.cat([d.images for d in sets[:2]]), images)
    assert torch.equal(torch.cat([d.labels for d in sets[:2]]), labels)
    assert in_the_cache() == []


def test_of_several_processes_the_first_gives_the_notice(mirror, monkeypatch, capsys):
    monkeypatch.setenv("STN_TUTORIAL_MIRROR", "nowhere")
    monkeypatch.setenv("RANK", "1")
    load_digits("train")
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("RANK", "0")
    load_digits("train")
    assert "MNIST can't be had" in capsys.readouterr().out


def test_without_network_mnist_is_an_error_that_names_every_mirror(
    mirror, monkeypatch, capsys
):
    other = "http://127.0.0.1:9/other/"
    monkeypatch.setattr(module, "MIRRORS", [CLOSED, other])
    monkeypatch.delenv("STN_TUTORIAL_MIRROR")
    with pytest.raises(DataError) as raised:
        load_digits("train", "mnist")
    for part in (TRAIN_IMAGES, f"{CLOSED}: ", f"{other}: ", "refused"):
        assert part in str(raised.value)
    assert capsys.readouterr().out == ""


def test_embedded_digits_are_had_without_looking_anywhere(mirror, capsys):
    assert load_digits("test", "embedded").source == "embedded"
    assert not cache_folder().exists() and capsys.readouterr().out == ""


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("STN_TUTORIAL_DATA", "~/here")
    assert cache_folder() == tmp_path / "here"
    monkeypatch.delenv("STN_TUTORIAL_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert cache_folder() == tmp_path / "caches" / "stn_tutorial"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "stn_tutorial"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("validation",), r"^split must be 'train' or 'test', got 'validation'"),
        (("train", "cifar"), r"^source must be .*'embedded'.*got 'cifar'"),
        ((["train"],), r"^split must be .* got \['train'\]"),
    ],
)
def test_an_unknown_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_digits(*arguments)


def test_mnist_is_kept_if_all_of_it_is_there_and_whole(mirror):
    assert not is_kept() and in_the_cache() == []  # nothing is fetched
    paths = fetch_mnist()
    assert is_kept()
    paths[-1].write_bytes(b"damaged")
    assert not is_kept()
    paths[-1].unlink()
    assert not is_kept()


def test_a_checksum_is_that_of_the_contents():
    digits = load_digits("test", "embedded")
    content = digits.images.numpy().tobytes() + digits.labels.numpy().tobytes()
    assert digits.checksum == hashlib.sha256(content).hexdigest()
    few = digits.first(5)
    assert len(few) == 5 and few.source == "embedded"
    assert torch.equal(few.images, digits.images[:5])
    assert few.checksum == load_digits("test", "embedded").first(5).checksum
    assert few.checksum not in (digits.checksum, digits.first(6).checksum)


def test_held_out_digits_are_the_last_and_no_others():
    digits = load_digits("train", "embedded")
    rest, held = digits.hold_out(300)
    assert torch.equal(torch.cat([rest.images, held.images]), digits.images)
    assert torch.equal(torch.cat([rest.labels, held.labels]), digits.labels)
    assert len(held) == 300 and held.source == "embedded"
    assert rest.checksum == digits.first(len(digits) - 300).checksum != held.checksum


@pytest.mark.parametrize("count", [0, -1, 1437, 10**9])
def test_holding_out_leaves_something(count):
    with pytest.raises(
        ValueError, match=rf"^count must be from 1 to 1436, got {count}"
    ):
        load_digits("train", "embedded").hold_out(count)


@pytest.mark.parametrize("count", [0, -1, 361, 10**9])
def test_the_first_are_some_of_the_digits(count):
    digits = load_digits("test", "embedded")
    with pytest.raises(ValueError, match=rf"^count must be from 1 to 360, got {count}"):
        digits.first(count)
    assert torch.equal(digits.first(360).images, digits.images)


@pytest.mark.parametrize("count", [2.0, True, "2", None, torch.tensor(2.0), [2]])
def test_a_count_is_an_integer(count):
    digits = load_digits("test", "embedded")
    for method in (digits.first, digits.hold_out):
        with pytest.raises(TypeError, match="^count must be an integer, got "):
            method(count)


def test_a_count_may_be_numpys():
    digits = load_digits("test", "embedded")
    assert len(digits.first(np.int64(7))) == len(digits.hold_out(np.uint8(7))[1]) == 7


def test_each_digit_has_a_label():
    images = torch.zeros(3, 1, 28, 28)
    with pytest.raises(ValueError, match=r"^labels must be \(3,\), one .* got \(2,\)"):
        DigitSet(images, torch.zeros(2), "embedded")
    with pytest.raises(TypeError, match="^labels must be a tensor, got numpy.ndarray"):
        DigitSet(images, np.zeros(3), "embedded")
    with pytest.raises(TypeError, match="^images must be a tensor, got numpy.ndarray"):
        DigitSet(images.numpy(), torch.zeros(3), "embedded")


def test_digits_go_to_a_device():
    digits = load_digits("test", "embedded")
    there = digits.to("meta")
    assert there.images.device.type == there.labels.device.type == "meta"
    assert there.source == digits.source
    assert digits.to("cpu").checksum == digits.checksum


# Of the pixels over 255 (float32), then the labels (int64); computed with NumPy alone.
REAL = {
    "train": "4e58fb0c0b85b6ad09782d2d836314b8ea3baff605a87f81b9eafca02c083e5e",
    "test": "8c26786d4955bfbe4b1bc0048b3bedb22913ad773005ea62cd29f5c431131685",
}
COUNT = {"train": 60_000, "test": 10_000}
FIRST = {"train": [5, 0, 4, 1, 9], "test": [7, 2, 1, 0, 4]}


@pytest.mark.parametrize("split", REAL)
def test_mnist_is_mnist(real_mnist, split):
    digits = load_digits(split, "mnist")
    assert digits.images.shape == (COUNT[split], 1, 28, 28)
    assert digits.labels.shape == (COUNT[split],)
    assert digits.labels[:5].tolist() == FIRST[split]
    assert digits.checksum == REAL[split]
    if split == "train":  # the mean and the deviation that everybody normalizes by
        assert digits.images.mean().item() == pytest.approx(0.1307, abs=1e-4)
        assert digits.images.std().item() == pytest.approx(0.3081, abs=1e-4)
