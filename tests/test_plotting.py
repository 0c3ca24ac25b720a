"""The shared figures: what is drawn, and where, read back from Matplotlib's artists."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image

from stn_tutorial import base_grid, to_pixels
from stn_tutorial.course.plotting import (
    COLORS,
    draw_arrows,
    draw_grid,
    draw_monitor,
    draw_pixels,
    draw_points,
    label_panels,
    make_panels,
    plain_ticks,
    show_images,
    use_style,
)


@pytest.fixture(autouse=True)
def figures():
    plt.switch_backend("Agg")
    with plt.rc_context():
        yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.subplots()[1]


def test_every_meaning_has_a_colour_of_its_own():
    assert {"input", "output", "sample", "gradient"} <= set(COLORS)
    assert len(set(COLORS.values())) == len(COLORS)


def test_the_style_is_opaque_white_and_shows_pixels_as_squares():
    use_style()
    assert to_hex(plt.rcParams["figure.facecolor"]) == "#ffffff"
    assert to_hex(plt.rcParams["savefig.facecolor"]) == "#ffffff"
    assert plt.rcParams["image.interpolation"] == "none"
    assert plt.rcParams["image.cmap"] == "gray"
    cycle = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    assert cycle[0] == COLORS["input"]


@pytest.mark.parametrize("lead", [(), (1,), (1, 1)])
def test_a_grey_image_is_shown_as_it_is(lead):
    image = torch.rand(*lead, 4, 6)
    _, axes = show_images([image])
    (shown,) = axes[0, 0].get_images()
    np.testing.assert_array_equal(shown.get_array(), image.reshape(4, 6).numpy())
    assert shown.get_clim() == (0.0, 1.0)
    # Pixel coordinates: the centre of the first pixel is (0, 0).
    assert shown.get_extent() == [-0.5, 5.5, 3.5, -0.5]


@pytest.mark.parametrize("lead", [(), (1,)])
def test_a_colour_image_is_shown_with_its_channels_last(lead):
    image = torch.rand(*lead, 3, 4, 6)
    image[..., 0, 0, 0] = 1.5  # beyond the limits: clipped, as Matplotlib would warn
    _, axes = show_images([image])
    shown = axes[0, 0].get_images()[0].get_array()
    expected = image.reshape(3, 4, 6).permute(1, 2, 0).clamp(0, 1)
    np.testing.assert_array_equal(shown, expected.numpy())


def test_images_fill_rows_and_the_rest_stays_empty():
    images = [torch.rand(4, 6) for _ in range(5)]
    fig, axes = show_images(images, list("abcde"), columns=3, width=2.0)
    assert axes.shape == (2, 3)
    assert [ax.get_title() for ax in axes.flat] == ["a", "b", "c", "d", "e", ""]
    assert [len(ax.get_images()) for ax in axes.flat] == [1, 1, 1, 1, 1, 0]
    assert not axes[1, 2].axison
    for ax in axes.flat[:5]:  # an edge in place of axes
        assert not ax.get_xticks().size and len(ax.patches) == 1
        assert not any(spine.get_visible() for spine in ax.spines.values())
    assert fig.get_figwidth() == 6.0
    assert show_images(images)[1].shape == (1, 5)


def test_limits_can_be_each_images_own():
    image = torch.tensor([[-3.0, 5.0]])
    shown = show_images([image], limits=None)[1][0, 0].get_images()[0]
    assert shown.get_clim() == (-3.0, 5.0)
    shown = show_images([image], limits=(-1, 2))[1][0, 0].get_images()[0]
    assert shown.get_clim() == (-1, 2)


def test_images_that_need_gradients_or_are_half_are_shown():
    image = torch.rand(1, 4, 4, requires_grad=True)
    show_images([image, image.detach().bfloat16(), image.detach().double()])
    assert image.grad is None


BYTES = np.arange(60, dtype=np.uint8).reshape(4, 5, 3) * 4  # a picture, H W C
FLOATS = torch.from_numpy(BYTES / 255).permute(2, 0, 1).float()
SAME_COLOURS = {
    "bytes of NumPy": BYTES,
    "bytes of torch, channels first": torch.from_numpy(BYTES).permute(2, 0, 1),
    "bytes of torch, channels last": torch.from_numpy(BYTES),
    "floats of NumPy, channels last": BYTES / 255,
    "floats of NumPy, channels first": FLOATS.numpy(),
    "PIL": Image.fromarray(BYTES),
}


@pytest.mark.parametrize("image", SAME_COLOURS.values(), ids=SAME_COLOURS)
def test_a_picture_is_shown_alike_whatever_holds_it(image):
    for images in (image, [image]):  # one alone, and in a list
        _, axes = show_images(images)
        assert axes.shape == (1, 1)
        shown = axes[0, 0].get_images()[0].get_array()
        np.testing.assert_allclose(shown, BYTES / 255, atol=1e-6)


def test_grey_pictures_of_pil_and_numpy_are_shown_as_they_are():
    grey = BYTES[..., 0]
    mask = grey > 100
    for image in (grey, grey[..., None], Image.fromarray(grey)):
        shown = show_images(image)[1][0, 0].get_images()[0].get_array()
        np.testing.assert_allclose(shown, grey / 255, atol=1e-6)
    shown = show_images(mask)[1][0, 0].get_images()[0].get_array()
    np.testing.assert_array_equal(shown, mask)
    deep = grey.astype(np.uint16) * 257  # 16 bits a value
    for image in (deep, Image.fromarray(deep)):
        shown = show_images(image)[1][0, 0].get_images()[0].get_array()
        np.testing.assert_allclose(shown, grey / 255, atol=1e-6)


def test_a_picture_with_a_palette_or_opacity_is_shown_in_its_colours():
    picture = Image.fromarray(BYTES)
    palette = picture.convert("P")
    shown = show_images(palette)[1][0, 0].get_images()[0].get_array()
    np.testing.assert_allclose(shown, np.asarray(palette.convert("RGB")) / 255)
    clear = show_images(picture.convert("RGBA"))[1][0, 0].get_images()[0].get_array()
    assert clear.shape == (4, 5, 4)


@pytest.mark.parametrize("batch", [torch.rand(3, 1, 4, 6), np.zeros((3, 4, 6, 3))])
def test_a_batch_is_a_sequence_of_images(batch):
    assert show_images(batch)[1].shape == (1, 3)


@pytest.mark.parametrize(
    ("images", "options", "kind", "message"),
    [
        ([torch.rand(2, 1, 4, 4)], {}, ValueError, r"^image .*, got \(2, 1, 4, 4\)"),
        ([torch.rand(2, 5, 5)], {}, ValueError, r"^image .*, got \(2, 5, 5\)"),
        ([torch.rand(4)], {}, ValueError, r"^image .*, got \(4,\)"),
        ([np.zeros((0, 4))], {}, ValueError, r"^image must have pixels"),
        ([[[0.5]]], {}, TypeError, r"^image must be a tensor, .*, got list"),
        ([np.array([["a"]])], {}, TypeError, r"^image must hold real numbers"),
        (torch.rand(4, 4).cfloat(), {}, TypeError, r"^image must hold real numbers"),
        (None, {}, TypeError, r"^images must be images, got NoneType"),
        ("digit.png", {}, TypeError, r"^images must be images, got str"),
        ([], {}, ValueError, r"^images must be one or more, got none"),
        (torch.rand(4, 4), {"titles": ["a", "b"]}, ValueError, r"^titles must be 1,"),
        (torch.rand(4, 4), {"columns": 0}, ValueError, r"^columns must be at least 1"),
    ],
)
def test_what_is_no_image_is_refused_by_name(images, options, kind, message):
    with pytest.raises(kind, match=message):
        show_images(images, **options)
    assert not plt.get_fignums()


def test_one_image_has_one_title():
    _, axes = show_images(torch.rand(4, 4), "abc")
    assert axes[0, 0].get_title() == "abc"


def test_pixels_are_squares_around_their_centres(ax):
    draw_pixels(ax, torch.rand(2, 3), color="#123456")
    marks = ax.get_lines()
    drawn = {(x, y) for line in marks for x, y in line.get_xydata().tolist()}
    assert drawn == {(x, y) for x in range(3) for y in range(2)}
    assert {line.get_color() for line in marks} == {"#123456"}
    ends = [s for lines in ax.collections for s in np.asarray(lines.get_segments())]
    upright = sorted(s[0, 0] for s in ends if s[0, 0] == s[1, 0])
    level = sorted(s[0, 1] for s in ends if s[0, 1] == s[1, 1])
    assert upright == [-0.5, 0.5, 1.5, 2.5] and level == [-0.5, 0.5, 1.5]
    assert ax.get_aspect() == 1.0


def test_pixels_can_be_drawn_without_their_centres(ax):
    draw_pixels(ax, torch.rand(2, 3), centres=False)
    assert not ax.get_lines()


def test_a_grid_is_drawn_row_by_row_and_column_by_column(ax):
    points = to_pixels(base_grid((3, 4), dtype=torch.float64), (3, 4))
    draw_grid(ax, points.requires_grad_())
    (lines,) = ax.collections
    segments = lines.get_segments()
    assert len(segments) == 3 + 4
    np.testing.assert_allclose(segments[1], [[x, 1] for x in range(4)], atol=1e-12)
    np.testing.assert_allclose(segments[3 + 2], [[2, y] for y in range(3)], atol=1e-12)
    assert to_hex(lines.get_colors()[0]) == COLORS["sample"].lower()


def test_a_thinned_grid_keeps_its_last_lines(ax):
    points = to_pixels(base_grid((6, 8)), (6, 8))
    draw_grid(ax, points, every=3)
    segments = ax.collections[0].get_segments()
    rows = [s[0, 1] for s in segments if len(s) == 8]
    columns = [s[0, 0] for s in segments if len(s) == 6]
    np.testing.assert_allclose(rows, [0, 3, 5], atol=1e-5)
    np.testing.assert_allclose(columns, [0, 3, 6, 7], atol=1e-5)


def test_points_are_marked_where_they_are(ax):
    points = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]], requires_grad=True)
    draw_points(ax, points, size=7)
    (line,) = ax.get_lines()
    assert line.get_xydata().tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert line.get_marker() == "o" and line.get_markersize() == 7
    assert line.get_linestyle() == "None"


def test_arrows_lead_from_start_to_end_in_pixels(ax):
    start = torch.tensor([[1.0, 2.0], [5.0, 6.0]])
    end = torch.tensor([[3.0, 1.0], [5.0, 9.0]], requires_grad=True)
    draw_arrows(ax, start, end)
    (arrows,) = ax.collections
    assert arrows.get_offsets().tolist() == start.tolist()
    assert arrows.U.tolist() == [2.0, 0.0] and arrows.V.tolist() == [-1.0, 3.0]
    # With this, y down the picture or not, an arrow ends at its end point.
    assert arrows.angles == "xy" and arrows.scale_units == "xy" and arrows.scale == 1
    assert to_hex(arrows.get_facecolor()[0]) == COLORS["gradient"].lower()


def test_grids_points_and_arrows_can_be_of_numpy(ax):
    grid = to_pixels(base_grid((3, 4)), (3, 4)).numpy()
    draw_grid(ax, grid[None])  # the only one of a batch
    draw_points(ax, grid)
    draw_arrows(ax, grid, grid + 1)
    assert len(ax.collections[0].get_segments()) == 7
    assert len(ax.lines[0].get_xdata()) == 12
    assert ax.collections[1].U.tolist() == [1.0] * 12


@pytest.mark.parametrize(
    ("draw", "kind", "message"),
    [
        (
            lambda ax: draw_grid(ax, torch.zeros(4, 2)),
            ValueError,
            r"^points must be \(H, W, 2\), got \(4, 2\)",
        ),
        (
            lambda ax: draw_grid(ax, torch.zeros(3, 4, 2), every=0),
            ValueError,
            "^every must be at least 1",
        ),
        (
            lambda ax: draw_points(ax, torch.zeros(4, 3)),
            ValueError,
            r"^points must be \(..., 2\), got \(4, 3\)",
        ),
        (lambda ax: draw_points(ax, [[1, 2]]), TypeError, "^points must be a tensor"),
        (
            lambda ax: draw_arrows(ax, torch.zeros(4, 2), torch.zeros(1, 2)),
            ValueError,
            r"^end must have the shape of start, \(4, 2\), got \(1, 2\)",
        ),
        (lambda ax: draw_monitor([]), ValueError, "^rows must be one or more"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(ax, draw, kind, message):
    with pytest.raises(kind, match=message):
        draw(ax)


def test_panels_are_two_in_a_row_and_labelled_outside():
    fig, panels = make_panels(["R", "RTS", "P"], height=2.0)
    assert [ax.get_title() for ax in fig.axes] == ["R", "RTS", "P"] == list(panels)
    label_panels(fig, "epoch", "error", {"CNN": {"color": "k"}, "ST": {"color": "r"}})
    # The second column ends in the first row, so its axes are the lowest there.
    assert [ax.get_xlabel() for ax in panels.values()] == ["", "epoch", "epoch"]
    assert [ax.get_ylabel() for ax in panels.values()] == ["error", "", "error"]
    (legend,) = fig.legends
    assert [text.get_text() for text in legend.get_texts()] == ["CNN", "ST"]


@pytest.mark.parametrize("values", [[0.2, 30], [5.0, 12.0], [7.0, 7.1]])
def test_logarithmic_axes_have_a_few_round_marks_without_powers(ax, values):
    ax.semilogy([1, 2], values)
    plain_ticks(ax.yaxis)
    low, high = ax.get_ylim()
    shown = [tick for tick in ax.get_yticks() if low <= tick <= high]
    assert 2 <= len(shown) <= 12
    texts = [ax.yaxis.get_major_formatter()(tick) for tick in shown]
    assert [float(text) for text in texts] == pytest.approx(shown)
    assert not any("e" in text for text in texts)


def test_a_monitor_is_drawn_number_by_number():
    rows = [
        {
            **{"epoch": k, "outside": 0.1 * k, "black": 0.5, "scale": 1 + k},
            **{"theta": [1.0, 0.1 * k], "localization": 0.0 if k else 0.2, "rest": 3.0},
        }
        for k in range(3)
    ]
    shares, scale, theta, gradients = draw_monitor(rows, names="ab").axes
    assert [text.get_text() for text in theta.get_legend().get_texts()] == ["a", "b"]
    outside, black = (line.get_ydata() for line in shares.lines)
    np.testing.assert_allclose(outside, [0, 0.1, 0.2])
    np.testing.assert_allclose(black, [0.5] * 3)
    np.testing.assert_allclose(scale.lines[0].get_ydata(), [1, 2, 3])
    np.testing.assert_allclose(theta.lines[1].get_ydata(), [0, 0.1, 0.2])
    # A gradient of 0 has no place on a logarithmic axis: it is left out.
    localization, rest = (line.get_ydata() for line in gradients.lines)
    np.testing.assert_allclose(localization, [0.2, np.nan, np.nan])
    np.testing.assert_allclose(rest, [3.0] * 3)
    assert all(line.get_xdata().tolist() == [0, 1, 2] for line in scale.lines)


@pytest.mark.parametrize("norms", [[1e-7, 3e-5], [1e6, 1e9], [1e-9, 1e3]])
def test_plain_ticks_mark_small_and_large_numbers(norms):
    fig, ax = plt.subplots()
    ax.semilogy([1, 2], norms)
    plain_ticks(ax.yaxis)
    low, high = ax.get_ylim()
    assert 2 <= sum(low <= tick <= high for tick in ax.get_yticks()) <= 14
    plt.close(fig)
