"""MNIST: fetched, checked, cached, or replaced. The archives here are made here."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST

from stn_tutorial.data import digits as module
from stn_tutorial.data import embedded_digits
from stn_tutorial.data.digits import (
    DataError,
    cache_folder,
    fetch_mnist,
    load_digits,
)

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
    sums = []
    for name, array in arrays.items():
        content = idx(array)
        (folder / name).write_bytes(content)
        sums.append((name, hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(MNIST, "resources", sums)
    monkeypatch.setattr(MNIST, "mirrors", [CLOSED])
    monkeypatch.setattr(module, "_noticed", [])
    monkeypatch.setenv("STN_TUTORIAL_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("STN_TUTORIAL_MIRROR", folder.as_uri())
    return folder


Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


def whole(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def of_unknown_length(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(content)


def cut_short(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


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


@pytest.fixture
def serve(mirror, monkeypatch):
    """Serve the folder over http; returns what makes it answer otherwise."""
    servers = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self, (mirror / self.path.rpartition("/")[2]).read_bytes())
                self.close_connection = True

            def log_message(self, *words) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        address = f"http://127.0.0.1:{server.server_port}/some/folder"
        monkeypatch.setenv("STN_TUTORIAL_MIRROR", address)
        return address

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def cached(name: str = TRAIN_IMAGES) -> Path:
    return cache_folder() / "MNIST" / "raw" / name


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
    place = mirror.as_uri() if form.startswith("file") else str(mirror)
    monkeypatch.setenv("STN_TUTORIAL_MIRROR", place + "/" * form.endswith("r/"))
    for split, name in (("train", "train"), ("test", "t10k")):
        images = arrays[f"{name}-images-idx3-ubyte.gz"]
        assert_holds(load_digits(split), images, arrays[f"{name}-labels-idx1-ubyte.gz"])
    assert in_the_cache() == sorted(arrays)


def test_torchvision_finds_the_same_digits_in_the_same_cache(mirror):
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
    with pytest.raises(DataError) as raised:
        load_digits("train", "mnist")
    assert f"{cached()} is damaged" in str(raised.value)
    assert load_digits("train").source == "embedded"
    assert f"{cached()} is damaged" in capsys.readouterr().out


@damages
def test_a_damaged_archive_at_the_mirror_is_named_and_not_kept(mirror, damage):
    path = mirror / TRAIN_IMAGES
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as raised:
        load_digits("train", "mnist")
    assert f"{TRAIN_IMAGES} can't be had" in str(raised.value)
    assert mirror.as_uri() in str(raised.value) and "MD5" in str(raised.value)
    assert in_the_cache() == []


@pytest.mark.parametrize("answer", [whole, of_unknown_length])
def test_an_http_mirror_is_read(serve, arrays, answer, capsys):
    serve(answer)
    digits = load_digits("test", "mnist")
    assert_holds(digits, *(arrays[name] for name in arrays if "t10k" in name))
    assert "t10k-images-idx3-ubyte.gz" in capsys.readouterr().err  # progress


def test_without_a_mirror_torchvisions_own_are_tried_in_turn(
    serve, arrays, monkeypatch
):
    monkeypatch.setattr(MNIST, "mirrors", [CLOSED, serve(whole) + "/"])
    monkeypatch.delenv("STN_TUTORIAL_MIRROR")
    digits = load_digits("test", "mnist")
    assert_holds(digits, *(arrays[name] for name in arrays if "t10k" in name))


@pytest.mark.parametrize(
    "answer", [cut_short, cut_short_in_a_chunk, missing, no_http, hanging_up]
)
def test_a_download_that_fails_is_told_and_leaves_nothing_behind(serve, answer):
    address = serve(answer)
    with pytest.raises(DataError) as raised:
        fetch_mnist()
    assert f"{TRAIN_IMAGES} can't be had ({address}: " in str(raised.value)
    assert in_the_cache() == []
    serve(whole)
    assert len(fetch_mnist()) == 4


def test_a_download_that_is_interrupted_leaves_nothing_behind(mirror, monkeypatch):
    def interrupted(source, target):
        target.write(source.read(100))
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfileobj", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_digits("train")
    assert in_the_cache() == []


PROCESS = """
import sys
from torchvision.datasets import MNIST
from stn_tutorial.data.digits import load_digits
MNIST.resources = {resources}
print("ready", flush=True)
sys.stdin.readline()
print([load_digits(split, "mnist").checksum for split in ("train", "test")])
"""


def test_two_processes_may_ask_at_once(serve):
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
    command = [sys.executable, "-c", PROCESS.format(resources=MNIST.resources)]
    pipes = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.PIPE)
    processes = [subprocess.Popen(command, **pipes, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.communicate()
    outputs = []
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        outputs.append(process.communicate(timeout=600))
        assert process.returncode == 0, outputs[-1][1]
    expected = [load_digits(split, "mnist").checksum for split in ("train", "test")]
    assert [out for out, _ in outputs] == [f"{expected}\n"] * 2
    assert len(in_the_cache()) == 4


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


def test_without_network_mnist_is_an_error_that_names_every_place(
    mirror, monkeypatch, capsys
):
    other = "http://127.0.0.1:9/other/"
    monkeypatch.setattr(MNIST, "mirrors", [CLOSED, other])
    monkeypatch.delenv("STN_TUTORIAL_MIRROR")
    with pytest.raises(DataError) as raised:
        load_digits("train", "mnist")
    for part in (TRAIN_IMAGES, f"{CLOSED}: ", f"{other}: ", "refused"):
        assert part in str(raised.value)
    assert capsys.readouterr().out == ""


def test_embedded_digits_are_had_without_looking_anywhere(mirror, capsys):
    assert load_digits("test", "embedded").source == "embedded"
    assert not cache_folder().exists() and capsys.readouterr().out == ""


def test_a_cache_that_cant_be_written_is_told(mirror, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("STN_TUTORIAL_DATA", str(tmp_path / "file"))
    with pytest.raises(DataError, match=TRAIN_IMAGES):
        load_digits("train", "mnist")


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
        (("validation",), r"^split must be one of .*'train'.*got 'validation'"),
        (("train", "cifar"), r"^source must be .*'embedded'.*got 'cifar'"),
    ],
)
def test_an_unknown_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_digits(*arguments)


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


@pytest.mark.parametrize("count", [0, -1, 1437, 2000])
def test_holding_out_leaves_something(count):
    with pytest.raises(ValueError, match=rf"^count must leave .* 1437 .* got {count}"):
        load_digits("train", "embedded").hold_out(count)


def test_digits_go_to_a_device():
    digits = load_digits("test", "embedded")
    there = digits.to("meta")
    assert there.images.device.type == there.labels.device.type == "meta"
    assert (there.source, there.checksum) == (digits.source, digits.checksum)


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
