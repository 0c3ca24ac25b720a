"""Distorted digits as a file: read with NumPy alone, undone with OpenCV."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from stn_tutorial import commands as cli
from stn_tutorial.data import export
from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.distortions import (
    DISTORTIONS,
    distorted_copies,
    fixed_test_set,
)
from stn_tutorial.data.export import export_digits

FEW = load_digits("test", "embedded").first(40)


def pixel_matrix(theta: np.ndarray, of: tuple[int, int], to: tuple[int, int]):
    """Theta, between normalized coordinates, as a matrix between pixels, 3×3."""

    def normalized(size: tuple[int, int]) -> np.ndarray:
        height, width = size
        x = [2 / width, 0, 1 / width - 1]
        return np.array([x, [0, 2 / height, 1 / height - 1], [0, 0, 1]])

    square = np.eye(3)
    square[: len(theta)] = theta
    return np.linalg.inv(normalized(to)) @ square @ normalized(of)


def warped(image: np.ndarray, theta: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What OpenCV makes of an image: each pixel of `size` reads where theta says."""
    matrix = pixel_matrix(theta.astype(float), size, image.shape)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(
        image.astype(np.float32), matrix, size[::-1], flags=flags
    )


@pytest.fixture(scope="module", params=["none", "R", "RTS", "P"])
def exported(request, tmp_path_factory) -> dict[str, np.ndarray]:
    path = tmp_path_factory.mktemp("exported") / "digits.npz"
    export_digits(path, FEW, request.param, split="test")
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def test_theta_does_the_distortion(exported):
    size = exported["images"].shape[1:]
    for image, theta, index in zip(
        *(exported[k] for k in ("images", "theta", "index"))
    ):
        made = warped(exported["upright"][index], theta, size)
        # Bytes are rounded twice, and OpenCV's weights are multiples of 1/32.
        assert np.abs(made - image).mean() < 1.0
        assert np.abs(made - image).max() < 16


def test_undo_gives_the_upright_digit_back(exported):
    """But for what two interpolations blur: 4 of 255 a pixel, on the average."""
    errors = []
    for image, undo, index in zip(*(exported[k] for k in ("images", "undo", "index"))):
        back = warped(image, undo, (28, 28))
        errors.append(np.abs(back - exported["upright"][index]).mean())
        other = exported["upright"][(index + 1) % len(FEW)]
        assert errors[-1] < np.abs(back - other).mean()
    assert np.mean(errors) < 4.5 and max(errors) < 8


@pytest.mark.parametrize("name", DISTORTIONS)
def test_the_test_split_is_the_set_that_errors_are_measured_on(name, tmp_path):
    path = tmp_path / "digits.npz"
    export_digits(path, FEW, name, split="test", dtype="float32")
    expected = fixed_test_set(FEW.images, name)
    with np.load(path) as file:
        assert file["images"].dtype == np.float32
        np.testing.assert_array_equal(file["images"], expected.images[:, 0])
        for key, value in expected.truth.items():
            np.testing.assert_array_equal(file[key], value)
        assert ("theta" in file) == ("undo" in file) == (name != "E")


def test_copies_are_those_that_training_keeps(tmp_path):
    path = tmp_path / "digits.npz"
    export_digits(path, FEW, "RTS", split="train", copies=3, seed=7)
    expected = distorted_copies(FEW, "RTS", 3, seed=7)
    with np.load(path) as file:
        np.testing.assert_array_equal(file["images"], expected.images[:, 0])
        np.testing.assert_array_equal(file["labels"], expected.labels)
        np.testing.assert_array_equal(file["index"], np.tile(np.arange(40), 3))
        assert len(file["upright"]) == 40


def test_the_file_says_what_made_it_and_is_the_same_each_time(tmp_path):
    paths = [tmp_path / name for name in ("one.npz", "other.npz")]
    for path in paths:
        export_digits(path, FEW, "clutter", split="train", seed=3)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with np.load(paths[0]) as file:
        config = json.loads(str(file["config"]))
    said = {key: config[key] for key in ("distortion", "split", "seed", "source")}
    assert said == {
        "distortion": "clutter",
        "split": "train",
        "seed": 3,
        "source": "embedded",
    }
    assert config["sha256"] == FEW.checksum


def test_pictures_are_written_a_batch_at_a_time(tmp_path, monkeypatch):
    """The largest batch that is distorted is ten digits, of forty."""
    sizes, distort = [], export.distort

    def watched(digits, *options):
        sizes.append(len(digits))
        return distort(digits, *options)

    monkeypatch.setattr(export, "distort", watched)
    monkeypatch.setattr(export, "BATCH", 15)
    path = tmp_path / "digits.npz"
    export_digits(path, FEW, "R", split="test", copies=2)
    assert sizes == [15, 15, 10] * 2
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
    with np.load(path) as file:
        assert file["images"].shape == (80, 28, 28)
        assert not np.array_equal(file["images"][:40], file["images"][40:])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": "rts"}, ValueError, "name must be"),
        ({"split": "val"}, ValueError, "split must be"),
        ({"dtype": "int8"}, ValueError, "dtype must be"),
        ({"copies": 0}, ValueError, "copies must be from 1 on, got 0"),
        ({"seed": -1}, ValueError, "seed must be from 0 on, got -1"),
        ({"seed": 1.5}, TypeError, "seed must be an integer, got 1.5"),
    ],
)
def test_what_cant_be_exported_is_refused(tmp_path, options, error, message):
    path = tmp_path / "digits.npz"
    name = options.pop("name", "R")
    with pytest.raises(error, match=message):
        export_digits(path, FEW, name, **{"split": "test", **options})
    assert not path.exists()


def call(*arguments: str) -> int:
    try:
        cli.main(["data", "--source", "embedded", *arguments])
    except SystemExit as stop:
        return stop.code
    return 0


def test_the_command_writes_the_file(tmp_path, capsys):
    path = tmp_path / "Übung 1.npz"
    options = "--distortion P --split test --limit 5 --copies 2".split()
    assert call("--export", str(path), *options) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        f"wrote {path}: 10 pictures of the test digits of embedded, distorted by P, 0."
    )
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    with np.load(path) as file:
        assert file["images"].shape == (10, 42, 42)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--export digits.txt", "export must be a file named like digits.npz"),
        ("--export nowhere/digits.npz", "export: there is no folder nowhere"),
        ("--export digits.npz --limit 9999", "limit must be from 0 to 1437, got 9999"),
        ("--export digits.npz --copies 0", "copies must be from 1 on, got 0"),
        ("--copies 2", "copies is of the file: --export FILE.npz names it"),
    ],
)
def test_a_file_that_cant_be_written_is_one_line(
    options, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert call(*options.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())


def test_the_code_of_the_books_page_undoes_a_digit(tmp_path, monkeypatch):
    page = Path(__file__).parents[1] / "book" / "your_own_pictures.md"
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    (code,) = (block for block in blocks if "np.load" in block)
    monkeypatch.chdir(tmp_path)
    export_digits(tmp_path / "rts-test.npz", FEW, "RTS", split="test")
    names = {}
    exec(compile(code, str(page), "exec"), names)
    upright = names["file"]["upright"][0].astype(float)
    assert names["upright"].shape == (28, 28)
    errors = [np.abs(names["upright"] - each).mean() for each in (upright, upright.T)]
    assert errors[0] < 6 and 2 * errors[0] < errors[1]
    told = {*re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| `.*?\|", text, re.M)))}
    kept = {
        key
        for name in DISTORTIONS
        for key in fixed_test_set(FEW.images[:2], name).truth
    }
    assert told == {"images", "labels", "undo", "upright", "index", "config", *kept}


def test_what_theta_yields_is_in_the_docs_coordinates():
    """The formula of the docstring is that of PyTorch's own grids."""
    base = torch.nn.functional.affine_grid(
        torch.eye(2, 3)[None], [1, 1, 42, 28], align_corners=False
    )
    j, i = np.arange(28), np.arange(42)
    np.testing.assert_allclose(base[0, 0, :, 0], (2 * j + 1) / 28 - 1, atol=1e-6)
    np.testing.assert_allclose(base[0, :, 0, 1], (2 * i + 1) / 42 - 1, atol=1e-6)


def test_a_failed_export_leaves_the_file_before(tmp_path):
    path = tmp_path / "digits.npz"
    digits = load_digits("test", "embedded").first(3)
    export_digits(path, digits, "R", split="test")
    before = path.read_bytes()
    with pytest.raises(TypeError):
        export_digits(
            path, replace(digits, images=digits.images.byte()), "R", split="test"
        )
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
