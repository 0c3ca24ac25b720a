"""The embedded images, against what scikit-learn holds and Pillow makes of it."""

from __future__ import annotations

import doctest
import hashlib
import importlib
import pkgutil
import sys
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

from stn_tutorial import data
from stn_tutorial.course.device import pick_device
from stn_tutorial.data import embedded_digits, photograph
from stn_tutorial.data.embedded import CREDITS
from stn_tutorial.data.tensors import as_bytes, checksum_of

MODULES = [info.name for info in pkgutil.iter_modules(data.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name):
    module = importlib.import_module(f"stn_tutorial.data.{name}")
    assert doctest.testmod(module).failed == 0


def test_bytes_are_the_nearest_and_stay_within_their_range():
    levels = torch.arange(256) / 255
    for off in (-0.49, 0.0, 0.49):
        assert as_bytes(levels + off / 255).tolist() == list(range(256))
    assert as_bytes(torch.tensor([-1.0, 2.0])).tolist() == [0, 255]


def test_a_checksum_is_of_all_tensors_whatever_their_layout():
    rows, labels = torch.rand(3, 4), torch.arange(3)
    content = rows.T.contiguous().numpy().tobytes() + labels.numpy().tobytes()
    assert checksum_of(rows.T, labels) == hashlib.sha256(content).hexdigest()
    assert checksum_of(labels, rows.T) != checksum_of(rows.T, labels)


@pytest.mark.parametrize("name", ["china", "flower"])
def test_a_photograph_is_the_original_between_0_and_1(name):
    image = photograph(name)
    assert image.shape == (1, 3, 427, 640) and image.dtype == torch.float32
    original = load_sample_image(f"{name}.jpg")
    back = (image[0].permute(1, 2, 0) * 255).round().byte().numpy()
    np.testing.assert_array_equal(back, original)


@pytest.mark.parametrize("size", [(64, 96), (100, 37), (427, 640)])
def test_a_small_photograph_is_what_pillow_makes_of_it(size):
    image = photograph("flower", size)
    assert image.shape == (1, 3, *size)
    assert 0 <= image.min() and image.max() <= 1
    original = Image.fromarray(load_sample_image("flower.jpg"))
    expected = np.asarray(original.resize(size[::-1], Image.Resampling.BILINEAR)) / 255
    # Pillow rounds to whole grey levels, once along each axis.
    np.testing.assert_allclose(
        image[0].permute(1, 2, 0), expected, rtol=0, atol=1.1 / 255
    )


def test_shrinking_keeps_the_mean_brightness():
    image = photograph()
    small = photograph("china", (61, 91))
    assert abs(float(image.mean() - small.mean())) < 2e-3


def test_each_photograph_has_its_credit():
    assert set(CREDITS) == {"china", "flower"}
    assert all("CC BY 2.0" in credit for credit in CREDITS.values())


def test_an_unknown_photograph_is_named():
    with pytest.raises(ValueError, match=r"^name must be 'china' or .*got 'cat'"):
        photograph("cat")


@pytest.mark.parametrize(
    ("size", "error"),
    [
        (28, TypeError),
        ((28.0, 28), TypeError),
        ("28", TypeError),
        ((True, 28), TypeError),
        ((28,), ValueError),
        ((3, 28, 28), ValueError),
        ((0, 28), ValueError),
        ((28, -1), ValueError),
    ],
)
def test_a_size_is_height_and_width(size, error):
    for image in (embedded_digits, partial(photograph, "china")):
        with pytest.raises(error, match=r"^size must be .*\(H, W\)"):
            image(size)


@pytest.mark.parametrize("size", [[12, 12], np.array([12, 12]), torch.Size((12, 12))])
def test_a_size_may_be_any_integers(size):
    assert embedded_digits(size)[0].shape[-2:] == (12, 12)
    assert photograph("flower", size).shape[-2:] == (12, 12)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 40)])
def test_digits_may_be_tiny(size):
    images, _ = embedded_digits(size)
    assert images.shape == (1797, 1, *size) and images.any()


def test_without_scikit_learn_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for image in (partial(embedded_digits, (9, 9)), photograph):
        with pytest.raises(ImportError, match=r"pip install 'stn-tutorial\[course\]'"):
            image()


def test_digits_in_a_frame_of_11_are_scikit_learns_own_8_by_8():
    images, labels = embedded_digits((11, 11))
    bunch = load_digits()
    np.testing.assert_allclose(images[:, 0, 1:9, 1:9], bunch.images / 16, atol=1e-7)
    np.testing.assert_array_equal(labels, bunch.target)
    images[..., 1:9, 1:9] = 0
    assert not images.any()


def test_digits_are_enlarged_into_the_middle_of_a_frame_as_mnists_are():
    images, labels = embedded_digits()
    assert images.shape == (1797, 1, 28, 28) and images.dtype == torch.float32
    assert labels.shape == (1797,) and labels.dtype == torch.int64
    assert labels.unique().tolist() == list(range(10))
    assert 0 <= images.min() and 0.9 < images.max() <= 1
    for k in (0, 7, 1796):
        small = Image.fromarray((load_digits().images[k] / 16).astype(np.float32))
        enlarged = np.asarray(small.resize((20, 20), Image.Resampling.BILINEAR))
        expected = np.pad(enlarged, 4)
        np.testing.assert_allclose(images[k, 0], expected, atol=1e-5)


def test_digits_need_not_be_square():
    assert embedded_digits((16, 20))[0].shape == (1797, 1, 16, 20)


def test_what_a_reader_does_to_the_images_stays_with_the_reader():
    images, labels = embedded_digits((12, 12))
    expected, first = images.clone(), int(labels[0])
    images.zero_()
    labels.fill_(-1)
    again, labels = embedded_digits((12, 12))
    assert torch.equal(again, expected) and int(labels[0]) == first
    photograph().zero_()
    assert photograph().max() > 0.9


def test_the_device_is_cuda_when_there_is_one():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert pick_device() == torch.device(expected)
