"""Strings of digits: the pictures, the networks that read them, and their results."""

from __future__ import annotations

import hashlib
import math
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy.io import savemat
from torch import nn
from torchvision.datasets import SVHN

from stn_tutorial import Affine
from stn_tutorial.course.reports.strings import (
    draw_lengths,
    draw_views,
    error_table,
    look_table,
    pair_table,
    rate_table,
    written,
)
from stn_tutorial.data.archives import DataError
from stn_tutorial.data.digits import DigitSet, load_digits
from stn_tutorial.data.strings import (
    ASPECT,
    NONE,
    fixed_strings,
    house_numbers,
    make_strings,
)
from stn_tutorial.experiments.models import count_parameters
from stn_tutorial.experiments.results import read_results
from stn_tutorial.experiments.sharing import work
from stn_tutorial.experiments.string_readers import PLACES, StringReader
from stn_tutorial.experiments.strings import (
    PHASES,
    RECIPE,
    Cell,
    Config,
    cells,
    looks,
    make_model,
    misread,
    poses,
    processor_seconds,
)

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def digits():
    return load_digits("test", "embedded")


@pytest.fixture(scope="module")
def strings(digits):
    return fixed_strings(digits.first(60))


def blocks(size: int = 64):
    """Strings of digits whose ink is the whole cell: of 3 with each length."""
    ink = torch.zeros(1, 1, 28, 28)
    ink[..., 4:24, 4:24] = 1
    white = DigitSet(ink, torch.tensor([8]), "white")
    lengths = torch.arange(1, 6).repeat(3)
    chosen = torch.zeros(len(lengths), 5, dtype=torch.int64)
    draw = torch.Generator().manual_seed(5)
    return make_strings(white, chosen, lengths, draw, size=size)


# ---------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("size", [64, 128])
def test_the_ink_is_where_the_truth_says(size):
    made = blocks(size)
    place = (torch.arange(size) + 0.5) * 2 / size - 1
    for k, image in enumerate(made.images[:, 0]):
        bright = image > 0.7  # the texture is darker
        area = made.truth["height_px"][k] ** 2 * ASPECT * made.lengths[k]
        assert bright.sum().item() == pytest.approx(area.item(), rel=0.2)
        rows, columns = bright.nonzero(as_tuple=True)
        centre = torch.stack([place[columns].mean(), place[rows].mean()])
        assert (centre - made.truth["centre"][k]).abs().max() < 0.8 * 2 / size
        # The long side's direction is the first principal axis of the ink.
        if made.lengths[k] > 2:
            (xx, xy), (_, yy) = np.cov(columns, rows)
            angle = 0.5 * math.atan2(2 * xy, xx - yy)
            assert angle == pytest.approx(made.truth["angle"][k].item(), abs=0.04)


def test_theta_takes_the_corners_of_the_string_to_those_of_its_frame():
    made = blocks()
    angle, height = made.truth["angle"].numpy(), made.truth["height_px"].numpy()
    for k, theta in enumerate(made.truth["theta"].numpy()):
        along = np.array([math.cos(angle[k]), math.sin(angle[k])])
        down = np.array([-along[1], along[0]])
        half = height[k] / 64
        for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            wide = ASPECT * int(made.lengths[k])
            corner = made.truth["centre"][k].numpy()
            corner = corner + half * (x * wide * along + y * down)
            assert np.abs(corner).max() <= 1 - 2 / 64 + 1e-5  # a pixel inside
            assert theta[:, :2] @ corner + theta[:, 2] == pytest.approx(
                np.array([x, y]), abs=1e-4
            )


def test_a_larger_canvas_has_strings_as_large():
    small, large = blocks(64), blocks(128)
    assert torch.equal(small.truth["height_px"], large.truth["height_px"])
    assert large.truth["centre"].abs().max() > small.truth["centre"].abs().max()


def test_digits_stand_from_left_to_right_and_none_behind_them(digits):
    chosen = torch.tensor([[4, 9, 2, 7, 1]] * 5)
    lengths = torch.tensor([1, 2, 3, 4, 5])
    made = make_strings(digits, chosen, lengths, torch.Generator())
    own = digits.labels[chosen[0]].tolist()
    for length, labels in zip(lengths.tolist(), made.labels.tolist()):
        assert labels == own[:length] + [NONE] * (5 - length)
    assert torch.equal(made.lengths, lengths)
    assert made.images.min() >= 0 and made.images.max() <= 1


def test_fixed_strings_are_fixed_and_begin_with_every_digit(digits, strings):
    assert torch.equal(strings.labels[:, 0], digits.labels[:60])
    assert torch.equal(fixed_strings(digits.first(60)).images, strings.images)
    other = fixed_strings(digits.first(60), seed=1)
    assert not torch.equal(other.labels, strings.labels)


def test_strings_that_cannot_be_are_refused(digits):
    draw, chosen = torch.Generator(), torch.zeros(2, 5, dtype=torch.int64)
    ones = torch.ones(2, dtype=torch.int64)
    with pytest.raises(ValueError, match="^lengths must be from 1 to 5"):
        make_strings(digits, chosen, 0 * ones, draw)
    with pytest.raises(ValueError, match=r"^chosen must be \(N, 5\)"):
        make_strings(digits, chosen[:, :4], ones, draw)
    with pytest.raises(ValueError, match="^size must be from 64 on, got 32"):
        make_strings(digits, chosen, ones, draw, size=32)


# ------------------------------------------------------------------------ house numbers


def test_house_numbers_are_read_from_a_file_of_their_format(tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    path = tmp_path / "train_32x32.mat"
    savemat(path, {"X": pixels, "y": np.array([[10], [3], [1], [10]], np.uint8)})
    known = hashlib.md5(path.read_bytes()).hexdigest()
    entry = [*SVHN.split_list["train"][:2], known]
    monkeypatch.setitem(SVHN.split_list, "train", entry)
    houses = house_numbers(tmp_path, size=32)
    assert houses.labels[:, 0].tolist() == [0, 3, 1, 0]
    assert houses.lengths.tolist() == [1] * 4
    grey = np.tensordot([0.299, 0.587, 0.114], pixels / 255, (0, 2))
    expected = torch.from_numpy(grey).permute(2, 0, 1)[:, None].float()
    torch.testing.assert_close(houses.images, expected)
    assert house_numbers(tmp_path).images.shape == (4, 1, 64, 64)


def test_house_numbers_that_are_not_there_or_damaged_are_told(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="^test_32x32.mat is not in"):
        house_numbers(tmp_path, "test")
    (tmp_path / "test_32x32.mat").write_bytes(b"cut off")
    with pytest.raises(DataError, match="or is damaged"):
        house_numbers(tmp_path, "test")
    with pytest.raises(ValueError, match="^split must be"):
        house_numbers(tmp_path, "all")
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(ValueError, match="pip install torchvision"):
        house_numbers(tmp_path)


# ---------------------------------------------------------------------------- networks


@pytest.mark.parametrize("size", [64, 128])
def test_all_networks_have_about_as_many_parameters(size):
    models = [make_model(Config(model=name, size=size)) for name in PLACES]
    counts = [count_parameters(model) for model in models]
    assert max(counts) < 1.07 * min(counts)


def test_untrained_transformers_change_nothing():
    plain, multi = StringReader(64, 4), StringReader(64, 4, (0, 1, 2))
    multi.load_state_dict(plain.state_dict(), strict=False)
    images = torch.rand(3, 1, 64, 64)
    expected = plain.eval()(images)
    torch.testing.assert_close(multi.eval()(images), expected, atol=1e-4, rtol=0)
    assert expected.shape == (3, 11, 5)


def test_warps_of_feature_maps_are_taken_back_to_the_picture():
    model = StringReader(64, 4, (0, 1)).eval()
    draw = torch.Generator().manual_seed(2)
    thetas = torch.randn(2, 2, 3, generator=draw)
    for transformer, theta in zip(model.transformers.values(), thetas):
        transformer.localization[-1].bias.data = theta.flatten()
    found = model.params(torch.rand(1, 1, 64, 64))
    first, second = (np.vstack([theta.numpy(), [0, 0, 1]]) for theta in thetas)
    for params, expected in zip(found, (first, first @ second)):
        assert np.allclose(params[0].detach().view(2, 3), expected[:2], atol=1e-5)


def test_a_perfect_look_shows_the_frame_upright_and_whole(strings):
    perfect = Affine().inverse(strings.truth["theta"].flatten(1))
    seen = poses(perfect, strings)
    assert seen["angle"].abs().max() < 1e-4
    assert (seen["height"] - 2).abs().max() < 1e-3
    assert seen["centre"].abs().max() < 1e-3


def test_the_spread_as_they_come_is_that_of_the_truth_within_lengths(strings):
    found = looks(StringReader(64, 2), strings)
    angle, length = strings.truth["angle"].numpy(), strings.lengths.numpy()
    expected = [np.degrees(angle[length == n]).std() for n in range(1, 6)]
    seen = [each["angle_deg"] for each in found["as_they_come"]]
    assert seen == pytest.approx(expected, rel=1e-4)
    assert found["passed_on"] == []


def test_one_wrong_place_is_enough(strings):
    class Reader(nn.Module):
        """Knows all strings, but for one place of each third."""

        def forward(self, x):
            k = int((strings.images - x[:1]).flatten(1).abs().sum(1).argmin())
            labels = strings.labels[k : k + len(x)].clone()
            labels[::3, 2] = (labels[::3, 2] + 1) % 11
            return nn.functional.one_hot(labels, 11).transpose(1, 2).float()

    assert misread(Reader(), strings) == list(range(0, 60, 3))


def test_seconds_are_those_of_a_thousand_pictures_and_leave_the_network_alone():
    model = StringReader(64, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seconds = processor_seconds(model, torch.rand(64, 1, 64, 64), tries=1)
    assert 0 < seconds["reading"] and 0 < seconds["training"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


# ------------------------------------------------------------------------------- runs


def test_runs_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="^size must be 64 or 128, got 96"):
        Cell("final", "cnn", 96)
    with pytest.raises(ValueError, match="^model must be"):
        Cell("final", "double")


def test_a_rate_is_tried_on_held_out_digits():
    for cell in cells(phases=PHASES, models=["single"], sizes=[128], seeds=[3]):
        config, rate = cell.config(), PHASES[cell.phase]
        assert config.size == 128 and config.recipe.seed == 3
        assert config.recipe.lr == (rate or RECIPE.lr)
        assert bool(config.validation) == (rate is not None)


def test_what_is_measured_is_written_read_and_reported(tmp_path):
    few = [Cell("final", "cnn"), Cell("final", "multi"), Cell("rate-0.005", "single")]
    work(few, tmp_path, tmp_path / "runs", quick=True, progress=False)
    found = read_results(tmp_path, Cell)
    assert set(found) == set(few)
    for result in found.values():
        lengths = result["by_length"]
        assert sum(each["misread"] for each in lengths) == len(result["misread"])
        assert sum(each["strings"] for each in lengths) == 64
    assert "\n| 64², 0 | ST-CNN Multi | " in error_table(found)
    assert pair_table(found).count("\n") == 3
    assert look_table(found).count("\n") == 2 + 1 + 3
    tried = found[few[2]]["test_error"]
    assert f"\n| 64² | ST-CNN Single | – | {tried:.1f} | – |" in rate_table(found)
    assert len(draw_lengths(found).axes[0].containers) == 2


@pytest.mark.parametrize("model", PLACES)
def test_strings_as_they_come_have_a_line_whatever_was_run(model):
    pose = {"angle_deg": 8.0, "height_percent": 2.0, "centre_px": 3.0}
    passed_on = [[pose] * 5] * len(PLACES[model])
    run = {"looks": {"as_they_come": [pose] * 5, "passed_on": passed_on}}
    lines = look_table({Cell("final", model, 64, seed): run for seed in (0, 1)})
    _, _, first, *others = lines.splitlines()
    assert first == "| 64² | as they come | 8.0 | 8.0 | 2.0 | 3.0 |"
    assert len(others) == len(PLACES[model])


def test_frames_are_drawn_on_every_canvas(strings):
    few = fixed_strings(load_digits("test", "embedded").first(3))
    still = Affine().identity().expand(3, -1)
    axes = draw_views(few, {"one": still, "other": 0.5 * still}).axes
    assert [len(ax.lines) for ax in axes[:3]] == [2, 2, 2]
    x, y = axes[1].lines[1].get_data()
    assert min(x) == min(y) == 15.5 and max(x) == max(y) == 47.5
    assert written(torch.tensor([NONE, 4, NONE, NONE, NONE])) == ".4"
