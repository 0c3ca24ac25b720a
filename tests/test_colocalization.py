"""Co-localization: no label of place, the loss of the paper, boxes that are exact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from command_line import call
from torch import nn

from stn_tutorial import Affine, Attention, Projective, ThinPlateSpline, warp
from stn_tutorial.course.reports.colocalization import (
    class_table,
    draw_classes,
    with_interval,
)
from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.distortions import distort, put_on_canvas
from stn_tutorial.experiments import colocalization as study
from stn_tutorial.experiments._options import options_from
from stn_tutorial.experiments.colocalization import Cell, Colocalizer, Config, Encoder
from stn_tutorial.experiments.models import CNN
from stn_tutorial.experiments.results import read_results, select
from stn_tutorial.experiments.sharing import work
from stn_tutorial.experiments.views import bounding_boxes, outline

pytestmark = pytest.mark.usefixtures("one_core")
COMMITTED = Path(__file__).resolve().parent.parent / "results" / "colocalization"


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------------------- pictures


def test_the_tables_clutter_is_a_canvas_of_60_with_16_pieces():
    digits = load_digits("test", "embedded").images[:20]
    clutter = distort(digits, "clutter", seeded())
    canvas = put_on_canvas(digits, seeded())
    assert torch.equal(clutter.images, canvas.images)
    assert torch.equal(clutter.truth["theta"], canvas.truth["theta"])


def test_a_canvas_without_pieces_holds_the_digit_and_nothing_else():
    digits = load_digits("test", "embedded").images[:50]
    done = put_on_canvas(digits, seeded(), size=84, pieces=0)
    torch.testing.assert_close(done.images.sum((1, 2, 3)), digits.sum((1, 2, 3)))
    for k, (x, y) in enumerate(done.truth["shift_px"].int().tolist()):
        there = done.images[k, :, 28 + y : 56 + y, 28 + x : 56 + x]
        assert torch.equal(there, digits[k])


@pytest.mark.parametrize("size", [26, 61])
def test_a_canvas_on_which_no_digit_fits_is_refused(size):
    with pytest.raises(ValueError, match=f"size must be even .* got {size}"):
        put_on_canvas(torch.zeros(1, 1, 28, 28), seeded(), size=size)


def test_the_true_box_is_the_digits_frame():
    digits = load_digits("test", "embedded").first(40)
    pictures = study.make_pictures(digits, "T", seed=1)
    for image, box, digit in zip(pictures.images, pictures.boxes, digits.images):
        left, top, right, bottom = (int(edge + 0.5) for edge in box.tolist())
        assert right - left == bottom - top == 28
        inside = image[:, top:bottom, left:right]
        assert torch.equal(inside, (255 * digit).round().byte())


def test_an_encoder_sees_no_digit_that_the_crops_are_of():
    parts = [
        study.digits_for(name, "embedded").images
        for name in ("encoder", "crops", "validation")
    ]
    rows = [{tuple(image.flatten().tolist()) for image in part} for part in parts]
    assert all(len(row) > 200 for row in rows)
    assert not (rows[0] & rows[1] or rows[0] & rows[2] or rows[1] & rows[2])
    classifier, said = study.train_encoder("others", digit=3, data="embedded", epochs=1)
    assert said["classes"] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert study.train_encoder("random", data="embedded")[1]["digits"] == 0


def test_fragments_are_none_of_the_classes_and_whole_digits_keep_theirs():
    """A digit is one bright spot: where it lies in a crop tells how far that is off."""
    digits = torch.zeros(400, 1, 28, 28)
    digits[:, :, 13:15, 13:15] = 1
    labels = torch.arange(400) % 10
    crops, said = study.shaken(digits, labels, seeded())
    fragment = said == study.NOTHING
    assert 0.3 < fragment.float().mean() < 0.5
    assert torch.equal(said[~fragment], labels[~fragment])
    y, x = (crops[:, 0].sum(dim=axis) @ torch.arange(28.0) for axis in (2, 1))
    ink = crops.sum(dim=(1, 2, 3))
    off = torch.stack([x, y]).div(ink.clamp(min=1e-6)).sub(13.5).abs().amax(dim=0)
    assert off[~fragment].max() < 3 / 0.9 + 0.5
    assert off[fragment & (ink > 0.5)].min() > 9 / 1.6 - 0.5


# ------------------------------------------------------------------------------- boxes


def test_a_box_is_where_the_warp_takes_its_pixels_from():
    """A picture that is white inside the box becomes white, and black outside."""
    params = torch.tensor([[0.25, 0.5, -0.25], [0.5, 0.0, 0.25]])
    boxes = bounding_boxes(Attention(), params, (32, 64))
    for p, (left, top, right, bottom) in zip(params, boxes.tolist()):
        inside = torch.zeros(1, 1, 32, 64)
        rows = slice(round(top + 0.5), round(bottom + 0.5))
        inside[:, :, rows, round(left + 0.5) : round(right + 0.5)] = 1
        assert 0 < inside.mean() < 1
        size = (rows.stop - rows.start, round(right - left))
        crop, rest = (
            warp(x, p[None], size, family=Attention()) for x in (inside, 1 - inside)
        )
        torch.testing.assert_close(crop, torch.ones_like(crop))
        torch.testing.assert_close(rest, torch.zeros_like(rest))


@pytest.mark.parametrize(
    "family", [Attention(), Affine(), Projective(), ThinPlateSpline()]
)
def test_a_box_holds_the_outline_and_touches_it(family):
    params = family.identity() + 0.1 * torch.randn(
        3, family.n_params, generator=seeded()
    )
    for p, (left, top, right, bottom) in zip(
        params, bounding_boxes(family, params, (84, 60))
    ):
        points = (outline(family, p[None]) + 1) * torch.tensor([30.0, 42.0]) - 0.5
        ends = torch.stack([points.amin(dim=0), points.amax(dim=0)])
        torch.testing.assert_close(
            torch.stack([left, top, right, bottom]), ends.flatten()
        )


def test_with_aligned_corners_the_identitys_box_goes_through_pixel_centres():
    start = Attention().identity()[None]
    box = bounding_boxes(Attention(), start, (10, 20), align_corners=True)
    assert box.tolist() == [[0.0, 0.0, 19.0, 9.0]]
    assert bounding_boxes(Attention(), start, (10, 20)).tolist() == [
        [-0.5, -0.5, 19.5, 9.5]
    ]


# -------------------------------------------------------------------------------- loss


def test_the_loss_is_the_papers_sum_over_pairs():
    encodings = torch.randn(6, 2, 5, generator=seeded(), dtype=torch.float64)
    terms = [
        max(
            0.0,
            (crop - other).square().sum().item()
            - (crop - patch).square().sum().item()
            + 0.7,
        )
        for n, (crop, patch) in enumerate(encodings)
        for m, (other, _) in enumerate(encodings)
        if n != m
    ]
    assert 0 < terms.count(0.0) < len(terms)
    loss = study.triplet_loss(encodings, 0.7)
    assert loss.item() == pytest.approx(sum(terms) / len(terms))


def test_crops_that_all_look_like_their_patches_pay_the_whole_margin():
    same = torch.ones(4, 2, 3)
    assert study.triplet_loss(same, 0.5).item() == pytest.approx(0.5)


def test_a_weight_of_zero_leaves_the_push_alone():
    encodings = torch.randn(5, 2, 3, generator=seeded())
    push = (encodings[:, 0] - encodings[:, 1]).square().sum(dim=1)
    loss = study.triplet_loss(encodings, 9.0, weight=0.0)
    torch.testing.assert_close(loss, (9.0 - push).clamp(min=0).mean())


# --------------------------------------------------------------------- crops, training


@pytest.mark.parametrize("scale", [0.25, 0.5, 1.0])
def test_a_crop_reaches_the_edges_and_never_leaves_the_picture(scale):
    family = study.CropInside(scale)
    places = torch.tensor([[-1.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
    left, top, right, bottom = bounding_boxes(family, places, (40, 80)).T
    torch.testing.assert_close(left[0], torch.tensor(-0.5))
    torch.testing.assert_close(bottom[0], torch.tensor(39.5))
    torch.testing.assert_close(right[1], torch.tensor(79.5))
    torch.testing.assert_close(top[1], torch.tensor(-0.5))
    torch.testing.assert_close(right - left, torch.full((3,), 80 * scale))
    crop = Attention().grid(family.attention(places), (5, 7))
    assert torch.equal(family.grid(places, (5, 7)), crop)


def coordinates_of(model: Colocalizer, elsewhere: float) -> torch.Tensor:
    """Where a model that encodes nothing takes crop and patch from, along x."""
    ramp = torch.linspace(-1 + 1 / 84, 1 - 1 / 84, 84).expand(1, 1, 84, 84)
    place = torch.full((1, 2), elsewhere)
    return model((ramp, place)).detach()[0].view(2, 28, 28)[:, 0]


def test_crop_and_patch_are_of_one_size_which_shrinks_while_trained():
    model = study.make_model(Config(), nn.Flatten(), passes=2).eval()
    crop, patch = coordinates_of(model, -1.0)
    step = 1 / 28  # half the picture in 28 pixels
    ends = torch.tensor([-0.5 + step / 2, 0.5 - step / 2])
    torch.testing.assert_close(crop[[0, -1]], ends, atol=1e-4, rtol=0)
    torch.testing.assert_close(patch[[0, -1]], ends - 0.5, atol=1e-4, rtol=0)
    images = torch.rand(4, 1, 84, 84)
    for along in (0.5, 1.0, 1.0):
        model.train()((images, torch.zeros(4, 2)))
        assert model.along == along
    crop, patch = coordinates_of(model.eval(), 1.0)
    assert (crop[-1] - crop[0]).item() == pytest.approx(54 / 84, abs=1e-4)
    assert patch[-1].item() == pytest.approx(1 - 1 / 84, abs=1e-4)


def test_pictures_are_blurred_at_first_and_sharp_at_last():
    model = study.make_model(Config(start=1 / 3), nn.Flatten(), passes=1)
    dot = torch.zeros(2, 1, 84, 84)
    dot[:, :, 42, 42] = 1
    lit = [(model((dot, torch.ones(2, 2)))[:, 0] > 1e-3).sum(dim=1) for _ in range(2)]
    assert lit[0].tolist() == [25, 25] and lit[1].tolist() == [1, 1]


def test_an_encoder_is_frozen_and_digits_have_the_length_one():
    classifier = CNN((1, 28, 28))
    digits = torch.rand(30, 1, 28, 28)
    encoder = Encoder(classifier, digits)
    encodings = encoder(digits)
    assert not encodings.requires_grad
    assert encodings.square().sum(dim=1).mean().item() == pytest.approx(1)
    scores = encodings[:, -10:] * encoder.usual_length
    torch.testing.assert_close(scores, classifier(digits))


def test_training_moves_the_localization_network_and_leaves_the_encoder_alone():
    cell = Cell("T", 3, "random")
    config = cell.config(quick=True)
    moved = study.run(replace(config, count=16)).model
    fresh = study.train_encoder("random", data="embedded", seed=0)[0].state_dict()
    for name, weight in moved.encoder.classifier.state_dict().items():
        assert torch.equal(weight, fresh[name])
    images = torch.rand(3, 1, 84, 84)
    assert not (moved.transformer.params(images) == 0).any()
    assert moved.along == 1 and moved.family == study.CropInside(28 / 84)


# --------------------------------------------------------------------------- baselines


def test_the_window_with_most_ink_is_about_a_digit_that_is_alone():
    digits = load_digits("test", "embedded").first(60)
    pictures = study.make_pictures(digits, "T", seed=2)
    corners = study.BASELINES["most ink"](pictures.images, None) - 0.5
    found = torch.cat([corners, corners + 28], dim=1)
    assert study._judge(found, pictures.boxes)["found"] == 100.0


def test_the_most_confident_window_is_that_of_the_classifier_slid_along():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = CNN((1, 28, 28))
    pictures = study.make_pictures(
        load_digits("test", "embedded").first(2), "TC", seed=3
    )
    corners = study.BASELINES["most confident"](pictures.images, classifier)
    for image, corner in zip(pictures.images / 255, corners.int().tolist()):
        places = [(x, y) for y in range(0, 57, 4) for x in range(0, 57, 4)]
        windows = torch.stack([image[:, y : y + 28, x : x + 28] for x, y in places])
        with torch.no_grad():
            sure = classifier(windows).softmax(dim=1).amax(dim=1)
        assert sure[places.index(tuple(corner))] >= sure.max() - 1e-6


# --------------------------------------------------------------------- cells, command


def test_wilsons_interval_is_that_of_scipy():
    from scipy.stats import binomtest

    for found, count in ((0, 20), (7, 20), (97, 100), (1000, 1000)):
        expected = binomtest(found, count).proportion_ci(method="wilson")
        assert study.wilson(found / count, count) == pytest.approx(expected, abs=1e-4)


def test_arms_differ_in_what_they_say_and_in_nothing_else():
    configs = {arm: Cell("TC", 4, arm, 2).config() for arm in study.ARMS}
    kinds = {"all", "others", "closed", "random"}
    assert {c.encoder for c in configs.values()} == kinds
    alike = {"encoder": "all", "count": 0, "recipe": configs["all"].recipe}
    assert len({replace(config, **alike) for config in configs.values()}) == 1
    steps = {arm: c.recipe.epochs * (c.count or 2000) for arm, c in configs.items()}
    assert max(steps.values()) <= 1.2 * min(steps.values())
    assert all(c.recipe.seed == 2 and not c.validation for c in configs.values())


@pytest.mark.parametrize("wrong", [{"column": "X"}, {"digit": 10}, {"arm": "none"}])
def test_a_cell_that_there_is_not_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Cell(**{"column": "T", "digit": 3, **wrong})


def test_co_localization_in_miniature(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    part = "--columns T TC --digits 3 --arms all others".split()
    assert call("colocalization", "--quick", "--list", *part) == 0
    assert capsys.readouterr().out.startswith("missing: T-3-all-0\n")
    assert call("colocalization", "--quick", *part) == 0
    assert capsys.readouterr().out.endswith("\n4 done, 0 missing\n")
    folder = Path("runs") / "quick-colocalization" / "results"
    options = "--folder", str(folder), "--figures", "figures"
    assert call("report", "colocalization", *options) == 0
    out = capsys.readouterr().out
    assert "\n| TC | others (1 classes, 1 runs) |" in out and "*most ink*" in out
    assert [path.name for path in Path("figures").iterdir()] == ["classes.png"]
    found = read_results(folder, Cell)
    seen = found[Cell("TC", 3, "others")]["encoder"]["classes"]
    assert 3 not in seen and len(seen) == 9


def test_a_run_that_was_done_is_not_done_again(tmp_path):
    cells = [Cell("T", 3, "random")]
    work(cells, tmp_path, tmp_path / "runs", quick=True, progress=False)
    file = tmp_path / "T-3-random-0.json"
    before = file.read_text()
    work(cells, tmp_path, tmp_path / "runs", quick=True, progress=False)
    assert file.read_text() == before


# ---------------------------------------------------------------------------- results


def test_every_class_was_run_on_both_kinds_of_pictures():
    found = read_results(COMMITTED, Cell)
    assert set(study.cells()) <= set(found)
    for cell, result in found.items():
        assert options_from(Config, result["config"], cell.name) == cell.config()
        assert result["data"]["source"] == "mnist" and result["data"]["split"] == "test"
        seen = cell.digit in result["encoder"]["classes"]
        assert seen == (cell.arm in ("all", "closed", "hundred"))


def test_the_table_has_a_line_for_every_class_and_the_figure_a_mark():
    found = read_results(COMMITTED, Cell)
    assert class_table(found).count("\n") == 12
    fig = draw_classes(found)
    plt.close(fig)
    run = found[Cell("TC", 0)]
    assert with_interval([run]).startswith(f"{run['found']:.1f} [")


def test_ours_are_found_more_often_than_what_needs_no_training():
    """By the means over the classes, in clutter; and each class above the aim."""
    runs = select(read_results(COMMITTED, Cell), column="TC", arm="all").values()
    ours = sum(run["found"] for run in runs) / len(runs)
    for name in study.BASELINES:
        assert ours > sum(run["baselines"][name] for run in runs) / len(runs)
    assert min(run["found"] for run in runs) > 93
