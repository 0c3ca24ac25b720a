"""Own pictures from the folder to a theta in pixels, as a user calls the commands."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from stn_tutorial import commands as cli
from stn_tutorial.course.views import draw_looks
from stn_tutorial.data.pictures import Preparation, load_pictures
from stn_tutorial.experiments import own_pictures
from stn_tutorial.experiments.models import FAMILIES, MODELS, count_parameters
from stn_tutorial.experiments.own_pictures import Config, load_trained, make_model
from stn_tutorial.experiments.training import Recipe
from stn_tutorial.experiments.views import Look, Looker, outline

pytestmark = pytest.mark.usefixtures("one_core")
CLASSES = ("blau 青", "rot")


def call(*arguments: str) -> int:
    """Run a command in this process; its exit code."""
    try:
        cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Blots of two colours on pictures of many sizes, as JPEG and PNG."""
    folder = tmp_path_factory.mktemp("own pictures") / "blots"
    random = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for index in range(10):
            height, width = random.integers(20, 60, 2)
            pixels = np.full((height, width, 3), 40, np.uint8)
            y, x = random.integers(0, height - 10), random.integers(0, width - 10)
            pixels[y : y + 10, x : x + 10, 0 if label else 2] = 250
            kind = "png" if index % 2 else "jpg"
            Image.fromarray(pixels).save(folder / name / f"{index}.{kind}")
    return folder


@pytest.fixture(scope="module")
def trained(folder) -> Path:
    """A run whose transformer has left the identity."""
    run = folder.parent / "run"
    options = "--height 24 --batch-size 8 --model st-small --epochs 16 --lr 0.02"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        assert call("train", "--data", folder, "--folder", run, *options.split()) == 0
    return run


# ---------------------------------------------------------------------------- training


def test_it_learns_and_keeps_the_classes(folder, trained):
    result = json.loads((trained / "result.json").read_text())
    assert result["data"]["classes"] == list(CLASSES)
    assert result["data"]["train"]["pictures"] == 16
    assert result["data"]["held_out"]["pictures"] == 4
    assert result["test_error"] == 0 and result["misclassified"] == []
    found = load_trained(trained)
    assert found.classes == CLASSES
    assert (found.config.colours, found.config.height) == ("rgb", 24)
    # Nothing says where on this machine the pictures are.
    assert str(folder.parent).encode() not in b"".join(
        path.read_bytes() for path in trained.iterdir()
    )


def test_the_command_says_what_there_is_to_train_on(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    options = "--height 16 --epochs 1 --model modern --share 0.3".split()
    assert call("train", f"--data={folder}", *options) == 0
    classes, counts, epoch, summary = capsys.readouterr().out.splitlines()
    assert classes == f"2 classes: {', '.join(CLASSES)}"
    assert counts == "14 pictures to train on, 6 held out, as 16×16 rgb, pad"
    assert re.fullmatch(r"epoch +1: loss .*, train .*%, test .*%, .* s", epoch)
    kept = Path("runs", "modern-blots-0")
    assert summary.endswith(f"parameters on 6 pictures held out; kept in {kept}")


def test_the_same_command_resumes_and_others_are_refused(folder, trained, capsys):
    options = "--height 24 --batch-size 8 --model st-small --lr 0.02".split()
    options += ["--folder", str(trained), "--epochs"]
    before = (trained / "checkpoint.safetensors").read_bytes()
    assert call("train", "--data", folder, *options, "16") == 0
    assert (trained / "checkpoint.safetensors").read_bytes() == before
    capsys.readouterr()
    assert call("train", "--data", folder, *options, "17") == 2
    assert "other options (epochs)" in capsys.readouterr().err
    assert call("train", "--data", folder, *options, "16", "--share", "0.5") == 2
    assert "other options (held_out, pictures, share)" in capsys.readouterr().err


def test_a_run_is_not_resumed_with_other_pictures_held_out(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    for part in ("train", "val"):
        shutil.copytree(folder, tmp_path / "own" / part)
    command = ["train", "--data", tmp_path / "own", "--folder", tmp_path / "run"]
    command += "--height 24 --model st-small --epochs 1 --batch-size 8".split()
    assert call(*command) == 0
    (tmp_path / "own" / "val" / CLASSES[0] / "0.jpg").unlink()
    capsys.readouterr()
    assert call(*command) == 2
    assert "other options (held_out)" in capsys.readouterr().err


def test_runs_of_the_same_pictures_are_the_same(folder):
    config = Config(height=16, distort="RTS", recipe=Recipe(epochs=1, batch_size=8))
    pictures = config.load(folder)
    one, other = (
        own_pictures.run(config, pictures, progress=False).model for _ in range(2)
    )
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


@pytest.mark.parametrize("name", MODELS)
def test_every_network_takes_any_channels_sizes_and_classes(name):
    for colours, classes, size in [("grey", 2, (40, 56)), ("rgb", 37, (48, 48))]:
        config = Config(
            model=name, colours=colours, height=size[0], width=size[1], distort="RTS"
        )
        model = make_model(config, classes).eval()
        channels = 1 if colours == "grey" else 3
        images = torch.zeros(2, channels, size[0] * 3 // 2, size[1] * 3 // 2)
        assert model(images).shape == (2, classes)


def test_a_model_grows_with_the_classes_unless_there_is_a_budget():
    few, many = (make_model(Config(colours="rgb"), count) for count in (2, 200))
    assert count_parameters(many) > 5 * count_parameters(few)
    bounded = make_model(Config(colours="rgb", budget=200_000), 20)
    assert abs(count_parameters(bounded) - 200_000) < 40_000


def test_beyond_the_edge_is_the_background():
    for background, value in (("black", 0.0), ("white", 1.0)):
        config = Config(height=16, colours="grey", background=background)
        model = make_model(config, 2)
        away = torch.tensor([[1.0, 0.0, 5.0, 0.0, 1.0, 0.0]])
        made = model.transformer.warp(torch.full((1, 1, 16, 16), 0.5), away)
        assert (made == value).all()
        paper = own_pictures._distorter(Config(distort="RTS", background=background))
        draw = torch.Generator().manual_seed(0)
        flat = torch.full((4, 1, 16, 16), value)
        torch.testing.assert_close(paper(flat, draw), torch.full((4, 1, 24, 24), value))


# ------------------------------------------------------------------ after the training


def test_evaluate_tells_the_pictures_held_out_from_others(
    folder, trained, tmp_path, capsys
):
    assert call("evaluate", trained, "--data", folder) == 0
    assert capsys.readouterr().out == "test error 0.00% on 4 pictures, held out\n"
    for name in CLASSES:  # both classes in the second one's colour
        (tmp_path / "red" / name).mkdir(parents=True)
        for index in range(3):
            source = folder / CLASSES[1] / f"{2 * index}.jpg"
            (tmp_path / "red" / name / source.name).write_bytes(source.read_bytes())
    assert call("evaluate", trained, "--data", tmp_path / "red") == 0
    assert capsys.readouterr().out.startswith("test error 50.00% on 6 pictures, none")
    for name in ("2.jpg", "4.jpg"):  # a class may have a single picture
        (tmp_path / "red" / CLASSES[0] / name).unlink()
    assert call("evaluate", trained, "--data", tmp_path / "red") == 0
    assert capsys.readouterr().out.startswith("test error 25.00% on 4 pictures, none")


def test_export_names_the_classes(trained, tmp_path, monkeypatch):
    """That a network becomes ONNX as it is, is tested on the digits'."""
    given = []

    def exported(model, inputs, path, **options):
        given.append((model, *inputs, options["output_names"]))
        value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
        graph = onnx.helper.make_graph([], "nothing", [value], [value])
        onnx.save(onnx.helper.make_model(graph), path)

    monkeypatch.setattr(torch.onnx, "export", exported)
    path = tmp_path / "model.onnx"
    assert call("export", trained, "--to", path, "--steps") == 0
    said = {each.key: each.value for each in onnx.load(path).metadata_props}
    assert json.loads(said["classes"]) == list(CLASSES)
    ((model, images, names),) = given
    assert images.shape == (2, 3, 24, 24) and names == ["scores", "theta", "warped"]
    with torch.inference_mode():
        shapes = [tuple(each.shape) for each in model(images)]
    assert shapes == [(2, 2), (2, 6), (2, 3, 24, 24)]


def test_show_prints_the_box_and_opencv_finds_the_output_in_it(
    folder, trained, tmp_path, capsys
):
    """The box in pixels of the picture, warped by OpenCV, is the other's output."""
    name = folder / CLASSES[1] / "1.png"
    original = Image.open(name)
    large = tmp_path / "large.png"
    scale = 6
    original.resize([scale * n for n in original.size]).save(large)
    options = [
        "--apply",
        large,
        "--out",
        tmp_path / "a.png",
        "--warped",
        tmp_path / "w",
    ]
    assert call("show", trained, name, *options, "--json") == 0
    out, err = capsys.readouterr()
    (said,) = json.loads(out)
    assert said["class"] == CLASSES[1] and said["size"] == list(original.size)
    assert "warning" not in err and f"wrote {tmp_path / 'a.png'}" in err
    assert np.array(said["theta"]).shape == (2, 3)
    made = np.asarray(Image.open(tmp_path / "w" / "1-large.png")).astype(float)
    height, width = made.shape[:2]
    corners = (np.array(said["box"]) + 0.5) * scale - 0.5
    goal = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    matrix = cv2.getPerspectiveTransform(
        goal.astype(np.float32), corners.astype(np.float32)
    )
    pixels = np.asarray(Image.open(large)).astype(np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    expected = cv2.warpPerspective(pixels, matrix, (width, height), flags=flags)
    assert np.abs(made - expected).mean() < 1.5  # of 255
    # About as many pixels as there are within the box.
    sides = (
        np.linalg.norm(corners[1] - corners[0]),
        np.linalg.norm(corners[2] - corners[1]),
    )
    assert height * width == pytest.approx(sides[0] * sides[1], rel=0.1)


def test_show_speaks_in_lines_and_warns_of_other_proportions(
    folder, trained, tmp_path, capsys
):
    pictures = [folder / name / "1.png" for name in CLASSES]
    wide = tmp_path / "wide.png"
    Image.new("L", (400, 20)).save(wide)
    path = tmp_path / "looks.svg"
    assert call("show", trained, *pictures, "--apply", wide, "--to", path) == 0
    out, err = capsys.readouterr()
    assert out.count("box in pixels (x, y): (") == 2 and f"wrote {path}" in out
    assert err.count("wide.png is 400×20, of other proportions than") == 2
    assert path.read_text().count("<image") == 8


@pytest.mark.parametrize("family", ["attention", "projective", "tps"])
def test_outlines_pass_through_what_the_grid_reads(family):
    """The edge of the output, half a pixel from its outer pixels' centres."""
    warp = FAMILIES[family]()
    random = torch.randn(1, warp.n_params, generator=torch.Generator().manual_seed(3))
    params = warp.identity() + 0.1 * random
    points = outline(warp, params)[0]
    assert points.shape == (64, 2)
    fine = warp.grid(params, (640, 640))[0]
    corners = torch.stack([fine[0, 0], fine[0, -1], fine[-1, -1], fine[-1, 0]])
    assert (points[::16] - corners).norm(dim=1).max() < 0.02
    assert (points[8] - (fine[0, 319] + fine[0, 320]) / 2).norm() < 0.01
    assert (points[40] - (fine[-1, 319] + fine[-1, 320]) / 2).norm() < 0.01


def test_an_outline_may_end_at_the_horizon(folder, tmp_path):
    """Half of the box is infinite: JSON has null there, and a figure is drawn."""
    config = Config(
        height=16, family="projective", recipe=Recipe(epochs=1, batch_size=8)
    )
    own_pictures.run(config, config.load(folder), tmp_path, progress=False)
    looker = Looker(tmp_path)
    with torch.no_grad():
        looker.model.transformer.localization[-1].weight.zero_()
        bias = torch.tensor([1.0, 0, 0, 0, 1, 0, 2, 0])
        looker.model.transformer.localization[-1].bias.copy_(bias)
    path = folder / CLASSES[0] / "1.png"
    look = looker.look(path)
    said = looker.describe(path, look)
    assert said["box"][0] is None and said["box"][1] is not None
    assert len(said["theta"]) == 3
    other = torch.rand(3, 50, 50)
    assert looker.apply(look, other).shape == (3, 16, 16)
    draw_looks([other], [look], [(other, other)], [(50, 50)]).savefig(
        tmp_path / "a.png"
    )


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("a$b$c", "a$b$c, 50%"),
        ("blau 青", "blau □, 50%"),
        ("a\nb", "a b, 50%"),
        ("n" * 40, "n" * 18 + "…, 50%"),
    ],
)
def test_any_class_name_can_be_drawn(name, title, tmp_path):
    points = torch.zeros(64, 2)
    look = Look((8, 8), torch.zeros(6), points, torch.zeros(1, 8, 8), name, 0.5)
    figure = draw_looks([torch.zeros(1, 8, 8)], [look])
    assert figure.axes[1].get_title() == title
    figure.savefig(tmp_path / "a.png")  # a glyph that is missing would be a warning


def test_a_run_on_digits_looks_at_pictures_too(tmp_path, capsys):
    run = tmp_path / "run"
    options = "--data embedded --model st-small --limit 64 --epochs 1 --family tps"
    assert call("train", *options.split(), "--folder", run) == 0
    paper = tmp_path / "seven.png"
    Image.new("L", (90, 60), 255).save(paper)
    capsys.readouterr()
    assert call("show", run, paper, "--json", "--to", tmp_path / "a.png") == 0
    (said,) = json.loads(capsys.readouterr().out)
    assert said["class"] in "0123456789" and "theta" not in said
    assert len(said["outline"]) == 64 and len(said["box"]) == 4
    plain, dark = (Looker(run).look(paper, inverted=value) for value in (False, True))
    assert plain.output.max() > 0.9
    assert dark.output.max() < 0.1  # the paper, and the bars


def test_a_similarity_of_wide_pictures_says_its_theta(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    run, options = tmp_path / "run", "--height 20 --width 32 --model st-small "
    options += "--family similarity --out-size 16 --epochs 1 --batch-size 8 --lr 0.02"
    assert call("train", "--data", folder, "--folder", run, *options.split()) == 0
    capsys.readouterr()
    name = folder / "rot" / "1.png"
    assert call("show", run, name, "--json", "--to", tmp_path / "a.png") == 0
    (said,) = json.loads(capsys.readouterr().out)
    assert np.array(said["theta"]).shape == (2, 3)
    left_up, right_up, right_down, left_down = np.array(said["box"])
    across, down = right_up - left_up, left_down - left_up
    assert abs(across @ down) < 1e-3 * np.linalg.norm(across) * np.linalg.norm(down)


# --------------------------------------------------------------------------- complaints

WRONG = {
    "train --data nowhere": "error: there is no folder nowhere",
    "train --data {folder} --model st-cnn --height 16": "error: st-cnn can't be "
    "built for pictures of 16×16; choose another size or budget (in_shape ",
    "train --data {folder} --budget 10": "error: st-modern can't be built "
    "for pictures of 64×64; choose another size or budget (budget of 10 is ",
    "evaluate {run}": "error: data must be the folder of the pictures: --data FOLDER",
    "evaluate {run} --data {folder}/..": "error: ",
    "show {run}": "error: pictures must be named: {run} is not of a run on digits",
    "show {run} nothing.png": "error: there is no picture nothing.png",
    "show {run} {folder}": "error: {folder} can't be read: ",
    "show {run} --json": "error: pictures must be named, for all but",
    "show {run} {folder}/rot/1.png --to x.txt": "error: to must end in .png, .svg or",
    "show {run} a.png b.png c.png --apply d.png e.png": "error: apply must name one "
    "picture, or 3, one for each: it names 2",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_what_cant_be_done_is_one_line(
    arguments, folder, trained, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    where = {"{folder}": str(folder), "{run}": str(trained)}
    words, expected = arguments.split(), WRONG[arguments]
    for key, value in where.items():
        words = [word.replace(key, value) for word in words]
        expected = expected.replace(key, value)
    assert call(*words) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith(expected)


def test_help_has_the_options_of_pictures_once_a_folder_is_named(capsys):
    for arguments, expected in [
        (["train", "--help"], False),
        (["train", "--data", "mnist", "--help"], False),
        (["train", "--data", "my pictures", "--help"], True),
        (["train", "--help", "--data=my pictures"], True),
    ]:
        assert call(*arguments) == 0
        out = capsys.readouterr().out
        assert ("--split-seed" in out) == expected
        assert ("--copies" in out) == (not expected)


def test_the_commands_of_the_books_page_have_these_options(capsys):
    page = Path(__file__).parents[1] / "book" / "your_own_pictures.md"
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^python -m stn_tutorial (.*)", text, re.M)
    # The table's options, each of them with its value, are those of train.
    rows = "".join(re.findall(r"^\|.*", text, re.M))
    lines += [f"train --data x {given}" for given in re.findall(r"`(--.*?)`", rows)]
    assert len(lines) > 10
    for line in lines:
        name, *words = shlex.split(line)
        folder = ["--data=x"] if "--data" in words else []
        assert call(name, *folder, "--help") == 0
        helped = capsys.readouterr().out
        for word in (word for word in words if word.startswith("--")):
            assert word in helped, line


def test_a_digits_commands_take_no_pictures(tmp_path, capsys):
    options = "--data embedded --model cnn --limit 8 --epochs 1".split()
    assert call("train", *options, "--folder", tmp_path) == 0
    capsys.readouterr()
    assert call("evaluate", tmp_path, "--data", tmp_path) == 2
    assert "holds a run on digits: it takes no data" in capsys.readouterr().err
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    assert call("show", tmp_path, tmp_path / "a.png") == 2
    assert capsys.readouterr().err == f"error: {tmp_path} holds a cnn: no transformer\n"


def test_the_preparation_of_a_look_is_that_of_the_training(folder, trained):
    pictures = load_pictures(folder, size=(24, 24))
    assert Looker(trained).preparation == Preparation(24, 24) == pictures.preparation
