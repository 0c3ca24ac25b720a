"""Traffic signs: drawn and loaded, divided by track, and runs that are alike."""

from __future__ import annotations

import csv
import doctest
import math
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from command_line import call
from PIL import Image
from torch import nn

from stn_tutorial import Affine, Attention, SpatialTransformer, warp
from stn_tutorial.course.reports import signs as report
from stn_tutorial.data import gtsrb
from stn_tutorial.data import signs as drawn
from stn_tutorial.data.archives import DataError
from stn_tutorial.data.gtsrb import VARIABLE, load_gtsrb
from stn_tutorial.data.signs import KINDS, Signs, draw_kinds, draw_signs, jittered
from stn_tutorial.experiments import signs as study
from stn_tutorial.experiments._options import options_from
from stn_tutorial.experiments.models import (
    ModernCNN,
    TransformedClassifier,
    count_parameters,
)
from stn_tutorial.experiments.results import read_results
from stn_tutorial.experiments.signs import (
    ARMS,
    PHASES,
    RECIPE,
    Cell,
    Config,
    TransformedInside,
    cells,
    looks,
    make_model,
    square_crops,
)
from stn_tutorial.experiments.views import bounding_boxes

pytestmark = pytest.mark.usefixtures("one_core")
COMMITTED = Path(__file__).resolve().parent.parent / "results" / "signs"
close = torch.testing.assert_close


@pytest.fixture(scope="module")
def signs():
    return draw_signs(48, seed=5, frames=2)


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


def test_the_examples_of_the_docstrings_are_right():
    for module in (drawn, gtsrb, study):
        assert doctest.testmod(module).failed == 0


# ----------------------------------------------------------------------- drawn signs


def test_shapes_cover_what_geometry_says():
    opaque = draw_kinds(64)[:, 3].mean(dim=(1, 2)) * 4  # of a square of 2×2
    areas = {
        "no entry": math.pi * 0.97**2,
        "priority road": 2 * 0.96**2,
        "stop": 8 * math.tan(math.pi / 8) * 0.98**2,
        "danger": 0.98 * (0.95 + 0.78),
    }
    for kind, area in areas.items():
        assert opaque[KINDS.index(kind)].item() == pytest.approx(area, rel=0.01)


def test_arrows_are_quarters_of_a_rotation_apart():
    ahead, left, right = (
        draw_kinds(32)[KINDS.index(kind)] for kind in ("ahead", "left", "right")
    )
    close(torch.rot90(ahead, 1, (1, 2)), left)
    close(torch.rot90(ahead, -1, (1, 2)), right)
    # And only the digits of the numbers differ.
    thirty, fifty = (draw_kinds(32)[KINDS.index(kind)] for kind in ("30", "50"))
    apart = (thirty - fifty).abs().amax(dim=0) > 1e-6
    assert apart.any() and not apart[:, 16:].any() and not apart[:8].any()


def test_in_the_box_of_each_sign_is_its_kind(signs):
    kinds = draw_kinds(16)
    right = 0
    for image, label, box in zip(signs.images, signs.labels, signs.boxes):
        left, top, far, low = (box + 0.5).long().tolist()
        crop = image[None, :, top:low, left:far] / 255
        crop = F.interpolate(crop, (16, 16), mode="bilinear", antialias=True)[0]
        scores = []
        for kind in kinds:  # the correlation, where the kind is opaque
            inside = kind[3] > 0.9
            seen, known = (part[:3, inside].flatten() for part in (crop, kind))
            scores.append(np.corrcoef(seen, known)[0, 1])
        right += int(np.argmax(scores)) == int(label)
    assert right > 0.7 * len(signs)  # of twelve kinds; a guess has 0.08


def test_a_scene_comes_nearer_from_frame_to_frame(signs):
    sizes = (signs.boxes[:, 2:] - signs.boxes[:, :2]).amax(dim=1)
    first, second = sizes.view(-1, 2).unbind(dim=1)
    assert ((second - first) >= 0).all() and (second > first).float().mean() > 0.9
    assert torch.equal(signs.tracks.view(-1, 2)[:, 0], torch.arange(24))
    assert (signs.boxes >= -0.5).all() and (signs.boxes <= 47.5).all()


def test_signs_are_drawn_from_their_seed():
    one, same, other = (draw_signs(12, seed=seed, size=24) for seed in (1, 1, 2))
    assert one.checksum == same.checksum != other.checksum
    assert one.images.shape == (12, 3, 24, 24) and one.images.dtype == torch.uint8


def test_what_cannot_be_drawn_is_named():
    for wrong, message in (
        (lambda: draw_signs(0, seed=0), "count must be from 1 on"),
        (lambda: draw_signs(4, seed=0, frames=3), "count must be a multiple of"),
        (lambda: draw_signs(4, seed=0, size=15), "size must be from 16 on"),
        (lambda: draw_kinds(7), "side must be from 8 on"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            wrong()


def test_tracks_stay_together_and_frames_do_not(signs):
    for by, shared in (("tracks", False), ("frames", True)):
        rest, held = signs.hold_out(by=by)
        assert len(rest) + len(held) == len(signs) and 0.1 < len(held) / 48 < 0.3
        both = set(rest.tracks.tolist()) & set(held.tracks.tolist())
        assert bool(both) == shared
    with pytest.raises(ValueError, match="^by must be 'tracks' or 'frames'"):
        signs.hold_out(by="classes")


def test_grey_is_the_mean_of_the_colours(signs):
    grey = signs.grey()
    mean = signs.images.double().mean(dim=1, keepdim=True)
    assert (grey.images - mean).abs().max() <= 0.5
    assert grey.images.shape == (48, 1, 48, 48)
    assert torch.equal(grey.labels, signs.labels)


def test_signs_must_be_as_many_as_their_labels(signs):
    parts = [signs.images, signs.labels, signs.boxes, signs.tracks]
    with pytest.raises(ValueError, match="^boxes must be as many as labels, 48"):
        Signs(*parts[:2], signs.boxes[1:], signs.tracks, "drawn")
    with pytest.raises(TypeError, match="^tracks must be a tensor"):
        Signs(*parts[:3], [0] * 48, "drawn")


def test_jitter_is_a_small_similarity_of_each_picture():
    side, n = 32, 200
    ramp = (2 * torch.arange(side) + 1) / side - 1
    x, y = torch.meshgrid(ramp, ramp, indexing="xy")
    ramps = torch.stack([x, y]).expand(n, 2, side, side)
    seen = jittered(ramps, torch.Generator().manual_seed(0))[..., 12:20, 12:20]
    points = torch.stack([x, y, torch.ones_like(x)])[:, 12:20, 12:20].flatten(1)
    theta = torch.linalg.lstsq(points.T[None], seen.flatten(2).mT).solution.mT
    a, b, across = theta[:, 0].unbind(dim=1)
    c, d, down = theta[:, 1].unbind(dim=1)
    close(torch.stack([a, b]), torch.stack([d, -c]), rtol=0, atol=1e-4)
    angle, scale = torch.atan2(c, a).rad2deg(), (a * d - b * c).sqrt().log()
    for values, most in ((angle, 15), (scale, 0.2), (across, 0.2), (down, 0.2)):
        assert 0.9 * most < values.abs().max() < 1.001 * most
        assert abs(values.mean()) < 0.2 * most
    flat = torch.full((3, 1, 8, 8), 0.7)
    close(jittered(flat, torch.Generator()), flat)  # edges go on


# -------------------------------------------------------------------------- the loader


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder as torchvision leaves it, of noise: two classes, tracks of two."""
    root = tmp_path_factory.mktemp("photographs")
    noise = np.random.default_rng(0)
    head = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId".split(";")

    def write(folder, table, names, label):
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for name in names:
            pixels = noise.integers(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name)
            rows.append([name, 50, 40, 5, 10, 44, 29, label])
        new = not table.exists()
        with table.open("a", newline="") as file:
            csv.writer(file, delimiter=";").writerows([head] * new + rows)

    base = root / "gtsrb" / "GTSRB"
    for label in (0, 7):
        folder = base / "Training" / f"{label:05}"
        names = [f"{t:05}_{f:05}.ppm" for t in (0, 1) for f in (0, 1)]
        write(folder, folder / f"GT-{label:05}.csv", names, label)
        tests = base / "Final_Test" / "Images"
        table = root / "gtsrb" / "GT-final_test.csv"
        write(tests, table, [f"{label:05}.ppm"], label)
    return root


def test_a_folder_of_torchvision_is_read_with_boxes_and_tracks(
    photographs, monkeypatch
):
    datasets = pytest.importorskip("torchvision.datasets")
    monkeypatch.setenv(VARIABLE, str(photographs))
    for split, tracks in (("train", [0, 0, 1, 1, 2, 2, 3, 3]), ("test", [0, 1])):
        found = load_gtsrb(split)
        theirs = datasets.GTSRB(photographs, split=split)
        assert len(found) == len(theirs)
        assert found.tracks.tolist() == tracks
        for k, (picture, _) in enumerate(theirs):
            small = np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR))
            assert np.array_equal(found.images[k].permute(1, 2, 0), small)
        if split == "test":  # of training classes, torchvision counts the folders
            assert found.labels.tolist() == [label for _, label in theirs]
        # Columns 5 to 44 of 50 are 3.2 to 28.8 of 32, rows 10 to 29 of 40 are 8 to 24.
        box = torch.tensor([3.2, 8.0, 28.8, 24.0]) - 0.5
        close(found.boxes, box.expand(len(found), 4))
    assert load_gtsrb("train").labels.tolist() == [0, 0, 0, 0, 7, 7, 7, 7]


def test_an_archive_gives_what_its_folder_gives(photographs, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(photographs))
    splits = {split: load_gtsrb(split) for split in ("train", "test")}
    content = {}
    for split, found in splits.items():
        content[f"x_{split}"] = found.images.permute(0, 2, 3, 1).numpy()
        content[f"y_{split}"] = found.labels.numpy().astype(np.uint8)
        meta = [50, 40, 5, 10, 44, 29]
        content[f"meta_{split}"] = np.tile(np.int16(meta), (len(found), 1))
    content["track_train"] = np.int16([0, 0, 1, 1, 0, 0, 1, 1])  # anew in each class
    path = tmp_path / "small.npz"
    np.savez(path, **content)
    monkeypatch.setenv("HOME", str(tmp_path))
    for address in (str(path), path.as_uri(), "~/small.npz"):
        monkeypatch.setenv(VARIABLE, address)
        for split, found in splits.items():
            again = load_gtsrb(split)
            for name in ("images", "labels", "boxes", "tracks"):
                close(getattr(again, name), getattr(found, name))


def test_a_folder_may_be_named_from_home(photographs, monkeypatch):
    monkeypatch.setenv("HOME", str(photographs.parent))
    monkeypatch.setenv(VARIABLE, f"~/{photographs.name}")
    assert len(load_gtsrb("train")) == 8


def test_pictures_that_are_no_bytes_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "floats.npz"
    np.savez(
        path,
        x_train=np.ones((2, 32, 32, 3), np.float32),
        y_train=np.zeros(2),
        meta_train=np.ones((2, 6)),
        track_train=np.zeros(2),
    )
    monkeypatch.setenv(VARIABLE, str(path))
    with pytest.raises(DataError, match=r"pictures are \(32, 32, 3\), torch.float32"):
        load_gtsrb("train")


def test_a_run_is_not_resumed_on_other_pictures(tmp_path, monkeypatch):
    config = Config(data="drawn", limit=24, recipe=replace(RECIPE, epochs=1))
    study.run(config, tmp_path)
    known = study.load

    def relabelled(config):
        signs, test = known(config)
        return signs, replace(test, labels=test.labels.flip(0))

    monkeypatch.setattr(study, "load", relabelled)
    with pytest.raises(ValueError, match=r"other options \(pictures\)"):
        study.run(config, tmp_path)


def test_what_holds_no_photographs_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(DataError, match=f"^GTSRB can't be had: set {VARIABLE}"):
        load_gtsrb()
    damaged, other = tmp_path / "damaged.npz", tmp_path / "other.npz"
    damaged.write_bytes(b"PK no archive")
    np.savez(other, x_train=np.zeros((2, 28, 28, 3), np.uint8))
    for named in (tmp_path, tmp_path / "nowhere", damaged, other):
        monkeypatch.setenv(VARIABLE, str(named))
        with pytest.raises(DataError, match="does not hold GTSRB's train set: "):
            load_gtsrb()
    with pytest.raises(ValueError, match="^split must be"):
        load_gtsrb("validation")


# -------------------------------------------------------------------------------- runs


def test_all_arms_have_the_same_number_of_parameters_and_recipe():
    for cell in cells(phases=PHASES, seeds=[3]):
        config = cell.config()
        changed, tested = PHASES[cell.phase]
        assert config.recipe == replace(RECIPE, seed=3, **changed)
        assert config.tested == tested == ("test" if cell.phase == "final" else tested)
    for arm in ARMS:
        config = Cell("final", arm).config()
        model = make_model(config, (32, 32), 43)
        assert count_parameters(model) == pytest.approx(config.budget, rel=0.05)
        channels = 1 if config.grey else 3
        image = torch.rand(2, channels, 32, 32)
        assert model.eval()(image).shape == (2, 43)
        assert isinstance(model, TransformedClassifier) == config.front
        side = config.side or 32
        if config.front:  # it starts at the identity, at whatever resolution
            seen = model.transformer(image)
            known = F.interpolate(image, (side, side), mode="bilinear")
            close(seen, known, rtol=0, atol=1e-5)


def test_a_transformer_inside_starts_as_none():
    plain = ModernCNN((3, 20, 20), 8, 5).eval()
    inside = TransformedInside((3, 20, 20), 8, 5).eval()
    layers = [layer for layer in inside if not isinstance(layer, SpatialTransformer)]
    assert len(layers) == len(inside) - 1 == len(plain)
    for layer, known in zip(layers, plain):
        layer.load_state_dict(known.state_dict())
    image = torch.rand(2, 3, 20, 20)
    close(inside(image), plain(image), rtol=0, atol=1e-4)


class Told(nn.Module):
    """Reads theta off the first row of a picture."""

    family = Affine()

    def forward(self, x):
        return x[:, 0, 0, :6]


def test_looks_are_overlaps_and_correlations_of_known_boxes():
    theta = torch.tensor(
        [[0.5, 0, 0.25, 0, 0.5, 0], [0.5, 0, -0.25, 0, 0.5, 0], [0.25, 0, 0, 0, 0.5, 0]]
    )
    images = torch.zeros(3, 1, 8, 8)
    images[:, 0, 0, :6] = theta
    boxes = torch.tensor([[3, 2, 7, 6], [1, 2, 5, 6], [3, 2, 5, 6]]) - 0.5
    said = looks(Told(), images, boxes)
    assert said["iou"] == pytest.approx(1)
    assert said["iou_of_the_picture"] == pytest.approx((16 + 16 + 8) / 64 / 3)
    close(torch.tensor(said["mean_box"]), boxes.mean(dim=0))
    assert said["follows"] == pytest.approx({"x": 1, "y": 0, "size": 1})
    said = looks(Told(), images, boxes[[1, 0, 2]])
    assert said["follows"]["x"] == pytest.approx(-1)


def test_a_square_crop_holds_its_box_with_a_margin():
    boxes = torch.tensor([[3.5, 10.5, 13.5, 30.5], [-0.5, -0.5, 47.5, 47.5]])
    params = square_crops(boxes, (48, 48), margin=1.5)
    found = bounding_boxes(Attention(), params, (48, 48))
    close(found[0], torch.tensor([-6.5, 5.5, 23.5, 35.5]))
    close(found[1], torch.tensor([-12.5, -12.5, 59.5, 59.5]))


def test_a_miniature_and_its_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    part = "--arms cnn two --seeds 0 --phases final frames".split()
    assert call("signs", "--quick", *part) == 0
    assert capsys.readouterr().out.endswith("\n4 done, 0 missing\n")
    folder = Path("runs") / "quick-signs" / "results"
    cell = Cell("final", "two")
    result = read_results(folder, Cell)[cell]
    assert result["config"] == asdict(cell.config(quick=True))
    assert result["data"]["classes"] == 12
    count = result["data"]["test"]["pictures"]
    assert result["test_error"] == pytest.approx(
        100 * len(result["misclassified"]) / count
    )
    options = "--folder", str(folder), "--figures", "figures"
    assert call("report", "signs", *options) == 0
    out = capsys.readouterr().out
    assert "\n| cnn | " in out and "\n| two | " in out and "\n| frames | " in out
    assert [path.name for path in Path("figures").iterdir()] == ["errors.png"]


def test_two_arms_are_compared_on_the_pictures_that_tell_them_apart():
    found = {
        Cell("final", "cnn"): {"misclassified": [1, 2, 3, 4, 5, 6]},
        Cell("final", "st"): {"misclassified": [1]},
        Cell("final", "two"): {"misclassified": [1, 2, 3, 4, 5, 6]},
    }
    worse, better, q = report.compare(found, "st")
    assert (worse, better) == (0, 5) and q == pytest.approx(2 * 0.5**5)
    assert report.compare(found, "two") == (0, 0, 1.0)
    assert report.compare(found, "cnn", "st")[:2] == (5, 0)


@pytest.mark.skipif(not COMMITTED.is_dir(), reason="no results yet")
def test_committed_results_are_of_these_cells():
    for folder in (COMMITTED, COMMITTED / "validation"):
        for cell, result in read_results(folder, Cell).items():
            config = options_from(Config, result["config"], cell.name)
            assert config == cell.config()
            assert result["data"]["source"] == "gtsrb"
            assert (cell.phase == "final") == (folder == COMMITTED)


def test_the_rate_is_the_best_of_three_for_each_network_on_tracks_held_out():
    tried = read_results(COMMITTED / "validation", Cell)
    errors = defaultdict(dict)
    for cell, result in tried.items():
        if cell.seed == 0:
            errors[cell.arm][cell.config().recipe.lr] = result["test_error"]
    assert {*errors} == {"cnn", "st", "st-inside", "two"}
    for each in errors.values():
        assert len(each) == 3 and min(each, key=each.get) == study.RECIPE.lr


def test_the_drawn_signs_are_an_option_of_a_run():
    config = Config(data="drawn", limit=24, grey=True, tested="tracks")
    train, test = study.load(config)
    assert train.images.shape[1:] == test.images.shape[1:] == (1, 48, 48)
    assert not set(train.tracks.tolist()) & set(test.tracks.tolist())


def test_signs_in_their_boxes_fill_the_picture():
    config = study.Cell("final", "cnn-box").config(quick=True)
    whole = study.load(replace(config, crop=1.0))[0]
    cropped = study.load(config)[0]
    assert cropped.images.shape == whole.images.shape
    size = whole.images.shape[-2], whole.images.shape[-1]
    params = square_crops(whole.boxes[:5], size, margin=1.0)
    seen = warp(
        whole.images[:5] / 255, params, size, family=Attention(), padding="border"
    )
    assert (255 * seen - cropped.images[:5]).abs().max() <= 0.5 + 1e-3
    # Nothing is cropped once more in front of the network.
    assert isinstance(
        make_model(config, size, 43), type(make_model(Config(), size, 43))
    )


def test_kinds_that_somebody_changes_are_drawn_as_ever():
    before = draw_signs(2, seed=0, size=16).images
    draw_kinds().mul_(0)
    assert torch.equal(draw_signs(2, seed=0, size=16).images, before)
