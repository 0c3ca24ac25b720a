"""Pictures as people have them: every mode, size and fault that a folder can hold."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from stn_tutorial.data import pictures
from stn_tutorial.data.distortions import DISTORTIONS, distort, distort_pictures
from stn_tutorial.data.pictures import Preparation, load_pictures, open_picture


def picture(width: int = 12, height: int = 9, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return Image.fromarray(values.astype(np.uint8))


def fill(folder: Path, counts: dict[str, int], suffix: str = ".png") -> Path:
    """A folder with so many small pictures of each class."""
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            seed = 100 * number + index
            picture(seed=seed).save(folder / name / f"{index:02d}{suffix}")
    return folder


# ------------------------------------------------------------------------------- modes

RAMP = np.linspace(0, 255, 12).round().astype(np.uint8)[None].repeat(6, axis=0)


@pytest.mark.parametrize(
    ("mode", "values"),
    [
        ("L", RAMP),
        ("I;16", RAMP.astype(np.uint16) * 257),
        ("I", RAMP.astype(np.int32) * 257),
        ("F", RAMP.astype(np.float32) / 255),
    ],
)
def test_one_channel_of_any_depth_is_the_same_in_bytes(mode, values, tmp_path):
    path = tmp_path / "ramp.tif"
    Image.fromarray(values).save(path)
    with Image.open(path) as file:
        assert file.mode == mode
    read = open_picture(path)
    assert read.mode == "L"
    np.testing.assert_array_equal(np.asarray(read), RAMP)


def test_black_and_white_palettes_and_print_colours_are_read(tmp_path):
    original = picture().quantize(4)
    for mode, suffix in [("1", ".png"), ("P", ".png"), ("CMYK", ".jpg")]:
        path = tmp_path / f"{mode}{suffix}"
        (original if mode == "P" else picture().convert(mode)).save(path)
        read = open_picture(path)
        assert read.mode == ("L" if mode == "1" else "RGB")
        assert read.size == (12, 9)
    palette = open_picture(tmp_path / "P.png")
    np.testing.assert_array_equal(np.asarray(palette), original.convert("RGB"))


@pytest.mark.parametrize("background", ["black", "white"])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_shows_the_background(mode, background, tmp_path):
    clear = Image.new("RGBA", (8, 8), (200, 200, 200, 0))
    clear.paste((200, 200, 200, 255), (0, 0, 4, 8))
    path = tmp_path / "half.png"
    if mode == "P":
        half = Image.new("P", (8, 8), 0)
        half.putpalette([200, 200, 200, 90, 90, 90])
        half.paste(1, (4, 0, 8, 8))
        half.save(path, transparency=1)
    else:
        clear.convert(mode).save(path)
    read = Preparation(8, 8, "grey", background=background)(open_picture(path))[0]
    assert (read[:, :4] == 200).all()
    assert (read[:, 4:] == {"black": 0, "white": 255}[background]).all()


def test_a_picture_stands_as_the_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be rotated clockwise by 90°
    lying = Image.new("RGB", (16, 8))
    lying.paste((255, 255, 255), (0, 0, 8, 8))  # the left half becomes the upper one
    lying.save(tmp_path / "held.png", exif=exif)
    upright = open_picture(tmp_path / "held.png")
    assert upright.size == (8, 16)
    array = np.asarray(upright)
    assert array[:8].min() == 255 and array[8:].max() == 0


def test_values_of_unknown_range_are_refused(tmp_path):
    path = tmp_path / "height.tif"
    Image.fromarray(np.array([[0.0, 840.5]], dtype=np.float32)).save(path)
    with pytest.raises(ValueError, match=r"height.tif can't be read: .* 0 to 840.5"):
        open_picture(path)


# ------------------------------------------------------------------------- preparation

SIZES = [(100, 50), (50, 100), (7, 7), (64, 64), (1, 300), (333, 17)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_what_is_seen_is_where_the_pixels_come_from(fit, size):
    """A ramp says of each input pixel where in the picture it was taken."""
    width, height = size
    preparation = Preparation(24, 32, "grey", fit)
    left, top, right, bottom = preparation.seen(size)
    across = (np.arange(width) + 0.5) / width
    ramp = np.broadcast_to(255 * across, (height, width)).round().astype(np.uint8)
    made = preparation(Image.fromarray(ramp))
    assert made.shape == (1, 24, 32) and made.dtype == torch.uint8
    x = left + (np.arange(32) + 0.5) / 32 * (right - left)
    y = top + (np.arange(24) + 0.5) / 24 * (bottom - top)
    if width > 6:  # away from the edges, where values are repeated
        inside = (x > 0.1 * width) & (x < 0.9 * width)
        rows = made[0].numpy()[(y > 0) & (y < height)]
        expected = 255 * x[inside] / width
        assert np.abs(rows[:, inside] - expected).max() < 255 * 0.6 / min(width, 32) + 2
    outside = (y < -1) | (y > height + 1)
    assert (made[0].numpy()[outside] == 0).all()
    if fit == "pad":
        assert left <= 0 and top <= 0 and right >= width and bottom >= height
    if fit == "crop":
        assert left >= 0 and top >= 0 and right <= width and bottom <= height
    if fit != "stretch" and min(size) > 20:  # the proportions, up to a rounded pixel
        assert (right - left) / (bottom - top) == pytest.approx(32 / 24, rel=0.04)


# ----------------------------------------------------------------------------- folders


def test_each_class_gives_a_share_whatever_the_others_are(tmp_path):
    few = load_pictures(fill(tmp_path / "few", {"a": 10, "b": 3}), size=(8, 8))
    assert few.classes == ("a", "b") and few.preparation.colours == "rgb"
    assert few.train.labels.tolist() == [0] * 8 + [1] * 2
    assert few.held_out.labels.tolist() == [0] * 2 + [1]
    assert few.train.images.dtype == torch.uint8
    assert few.train.images.shape == (10, 3, 8, 8)
    more = load_pictures(fill(tmp_path / "more", {"a": 10, "b": 7}), size=(8, 8))
    assert more.held_out_names[:2] == few.held_out_names[:2]
    last = load_pictures(fill(tmp_path / "last", {"b": 3, "c": 2}), size=(8, 8))
    assert last.held_out_names[0] == few.held_out_names[2]  # of b, whatever is before
    again = load_pictures(tmp_path / "few", size=(8, 8))
    assert again.train.checksum == few.train.checksum
    others = [load_pictures(tmp_path / "few", size=(8, 8), seed=k) for k in (1, 2, 3)]
    assert {each.held_out_names for each in others} != {few.held_out_names}
    for each in (few, *others):  # nothing is in both
        kept, held = each.train.images.flatten(1), each.held_out.images.flatten(1)
        assert not (kept[:, None] == held).all(dim=2).any()


def test_folders_that_are_divided_already_stay_so(tmp_path):
    for part, counts in {"train": {"x": 2, "y": 1}, "val": {"y": 3}}.items():
        fill(tmp_path / part, counts)
    found = load_pictures(tmp_path, size=(8, 8))
    assert found.train.labels.tolist() == [0, 0, 1]
    assert found.held_out.labels.tolist() == [1, 1, 1]
    assert found.held_out_names[0] == str(Path("val", "y", "00.png"))
    fill(tmp_path / "test", {"x": 1})
    assert load_pictures(tmp_path, size=(8, 8)).held_out.labels.tolist() == [1, 1, 1]
    fill(tmp_path / "val" / "z", {"": 1})
    with pytest.raises(ValueError, match="val has classes that .*train lacks: z"):
        load_pictures(tmp_path)


def test_train_is_a_class_where_others_are(tmp_path):
    found = load_pictures(fill(tmp_path, {"train": 2, "tram": 2}), size=(8, 8))
    assert found.classes == ("train", "tram")


def test_what_is_no_picture_is_left_alone(tmp_path):
    fill(tmp_path, {"Äpfel": 2, "naïve 梨": 2, ".ipynb_checkpoints": 1, "__MACOSX": 1})
    (tmp_path / "Äpfel" / "notes.txt").write_text("")
    (tmp_path / "Äpfel" / "._00.png").write_bytes(b"of a Mac")
    found = load_pictures(tmp_path, size=(8, 8))
    assert found.classes == ("naïve 梨", "Äpfel")
    assert len(found.train) + len(found.held_out) == 4
    assert str(Path("Äpfel", "notes.txt")) in found.left_alone


def test_folders_below_a_class_belong_to_it_and_links_count_once(tmp_path):
    fill(tmp_path, {"a": 2, "b": 2})
    fill(tmp_path / "a", {"more": 3})
    os.symlink("..", tmp_path / "b" / "round")
    os.symlink(tmp_path / "b" / "00.png", tmp_path / "b" / "again.png")
    found = load_pictures(tmp_path / "a" / "..", size=(8, 8))
    labels = torch.cat([found.train.labels, found.held_out.labels])
    # Of b: its two, and those of a, to which its link leads.
    assert (labels == 0).sum() == 5 and (labels == 1).sum() == 7


def test_a_link_to_a_picture_that_is_trained_on_is_not_held_out(tmp_path):
    fill(tmp_path / "train", {"a": 2, "b": 2})
    fill(tmp_path / "val", {"a": 1, "b": 1})
    assert len(load_pictures(tmp_path, size=(8, 8)).held_out) == 2
    for name in ("a", "b"):
        link = tmp_path / "val" / name / "00.png"
        link.unlink()
        os.symlink(tmp_path / "train" / name / "01.png", link)
    with pytest.raises(ValueError, match="00.png and 1 more must not be held out"):
        load_pictures(tmp_path, size=(8, 8))


def test_grey_files_have_one_channel_unless_there_is_a_coloured_one(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(2):
            picture(seed=index).convert("L").save(tmp_path / name / f"{index}.png")
    assert load_pictures(tmp_path).train.images.shape == (2, 1, 64, 64)
    assert load_pictures(tmp_path, colours="rgb").train.images.shape[1] == 3
    picture().save(tmp_path / "a" / "2.jpg")
    assert load_pictures(tmp_path).train.images.shape[1] == 3
    assert load_pictures(tmp_path, colours="grey").train.images.shape[1] == 1


def test_names_that_no_encoding_knows_can_be_printed(tmp_path):
    for name in (b"a", b"\xff"):
        try:
            os.mkdir(os.fsencode(tmp_path) + b"/" + name)
        except OSError:
            pytest.skip("this file system has names of UTF-8 alone")
        for index in (b"1", b"2"):
            path = b"/".join([os.fsencode(tmp_path), name, index + b"\xe4.png"])
            picture().save(os.fsdecode(path))
    found = load_pictures(tmp_path, size=(8, 8))
    assert found.classes == ("a", "\\udcff")
    for name in (*found.classes, *found.held_out_names):
        name.encode("utf-8")


def spoil(folder: Path) -> None:
    whole = (folder / "a" / "00.png").read_bytes()
    (folder / "a" / "00.png").write_bytes(whole[:80])
    (folder / "b" / "00.png").write_bytes(b"")
    (folder / "b" / "01.png").write_text("<html>not found</html>")
    large = whole[:16] + b"\xff\xff\xff\x7f" * 2 + whole[24:]  # as the header says
    (folder / "a" / "01.png").write_bytes(large)
    (folder / "b" / "99.jpg").mkdir()


def test_damaged_pictures_are_named_three_at_a_time(tmp_path):
    spoil(fill(tmp_path, {"a": 3, "b": 3}))
    with pytest.raises(ValueError) as error:
        load_pictures(tmp_path, share=0.3)
    message = str(error.value)
    assert message.count("can't be read: ") == 3
    assert message.endswith("; and so 1 more") and "\n" not in message
    assert str(Path("b", "01.png")) in message or str(Path("a", "00.png")) in message


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        ({}, ValueError, "must have a folder for each class: it has no folders"),
        ({"a": 3}, ValueError, "must have two classes or more, .*: it has a alone"),
        ({"a": 3, "b": 1}, ValueError, "class b has one picture: two at least"),
        ({"a": 3, "b": 0, "c": 0}, FileNotFoundError, "without pictures: b, c"),
    ],
)
def test_a_folder_that_is_no_set_of_classes_is_refused(
    counts, error, message, tmp_path
):
    with pytest.raises(error, match=message):
        load_pictures(fill(tmp_path, counts))


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        load_pictures(tmp_path / "nowhere")
    picture().save(tmp_path / "one.png")
    with pytest.raises(ValueError, match="one.png is a file: pictures are given as"):
        load_pictures(tmp_path / "one.png")
    with pytest.raises(ValueError, match="1 pictures lie in it directly"):
        load_pictures(tmp_path)
    fill(tmp_path, {"a": 2, "b": 2})
    for share in (0, 1, 1.5):
        with pytest.raises(ValueError, match="share must be between 0 and 1"):
            load_pictures(tmp_path, share=share)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("", name="torchvision"), "pip install torchvision$"),
        (ModuleNotFoundError("No x", name="x"), r"does not load \(No x\): install"),
        (RuntimeError("no\noperator nms"), r"does not load \(no operator nms\)"),
        (OSError("lib.so: undefined"), r"does not load \(lib.so: undefined\)"),
    ],
)
def test_torchvision_that_is_missing_or_broken_is_one_line(
    error, message, tmp_path, monkeypatch
):
    fill(tmp_path, {"a": 2, "b": 2})
    real = importlib.import_module

    def broken(name, *others):
        if name == "torchvision.datasets":
            raise error
        return real(name, *others)

    monkeypatch.setattr(pictures, "import_module", broken)
    with pytest.raises(ValueError, match=message) as raised:
        load_pictures(tmp_path)
    assert "\n" not in str(raised.value)


# -------------------------------------------------------------------------- distortions


@pytest.mark.parametrize("name", [name for name in DISTORTIONS if name != "clutter"])
def test_pictures_are_distorted_as_digits_are(name):
    digits = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    one = distort(digits, name, torch.Generator().manual_seed(2))
    colours = digits.expand(3, 3, 28, 28)
    same = distort_pictures(colours, name, torch.Generator().manual_seed(2))
    for channel in same.images.split(1, dim=1):
        torch.testing.assert_close(channel, one.images)
    # Twice as large is the same but for the resolution.
    smooth = torch.nn.functional.interpolate(digits, (14, 14), mode="area")
    low, high = (
        torch.nn.functional.interpolate(smooth, size, mode="bilinear")
        for size in ((28, 28), (56, 56))
    )
    low = distort_pictures(low, name, torch.Generator().manual_seed(3))
    high = distort_pictures(high, name, torch.Generator().manual_seed(3))
    assert high.images.shape[-1] == 2 * low.images.shape[-1]
    halved = torch.nn.functional.avg_pool2d(high.images, 2)
    assert (halved - low.images).abs().mean() < 0.02
    for key in ("shift_px", "corners_px"):
        if key in low.truth:
            torch.testing.assert_close(2 * low.truth[key], high.truth[key])


def test_clutter_is_for_digits():
    with pytest.raises(ValueError, match="name must be .*got 'clutter'"):
        distort_pictures(torch.zeros(1, 3, 8, 8), "clutter", torch.Generator())


@pytest.mark.parametrize("goal", [28, 224, 30])
def test_a_crop_never_leads_beyond_the_picture(goal):
    prepare = Preparation(goal, goal, fit="crop")
    for width in range(28, 500, 7):
        left, top, right, bottom = prepare.seen((width, width + 68))
        assert 0 <= left < right <= width and 0 <= top < bottom <= width + 68
    assert prepare(Image.new("RGB", (232, 300))).shape == (3, goal, goal)


def test_a_photograph_on_its_side_is_read_as_large_as_one_upright(tmp_path):
    noise = torch.randint(256, (2048, 512), generator=torch.Generator().manual_seed(0))
    upright = Image.fromarray(noise.byte().numpy())
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be rotated clockwise
    aside = upright.transpose(Image.Transpose.ROTATE_90)
    aside.save(tmp_path / "aside.jpg", exif=exif)
    upright.save(tmp_path / "upright.jpg")
    sizes = [
        open_picture(tmp_path / f"{name}.jpg", least=(256, 64)).size
        for name in ("aside", "upright")
    ]
    assert sizes[0] == sizes[1] and sizes[0][0] >= 256
