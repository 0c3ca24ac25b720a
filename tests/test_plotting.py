"""The shared figures: what is drawn, and where, read back from Matplotlib's artists."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex, to_rgb

from stn_tutorial import base_grid, to_pixels
from stn_tutorial.course.plotting import (
    COLORS,
    draw_arrows,
    draw_grid,
    draw_pixels,
    draw_points,
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
    # Colour-blind readers tell colours apart by lightness too: none on white is pale,
    # but for the one that is meant to be.
    for name in set(COLORS) - {"faint"}:
        assert np.dot(to_rgb(COLORS[name]), [0.2126, 0.7152, 0.0722]) < 0.75, name


def test_the_style_is_opaque_white_and_shows_pixels_as_squares():
    use_style()
    assert to_hex(plt.rcParams["figure.facecolor"]) == "#ffffff"
    assert to_hex(plt.rcParams["savefig.facecolor"]) == "#ffffff"
    assert plt.rcParams["image.interpolation"] == "nearest"
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
    assert not any(ax.axison for ax in axes.flat)
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


def test_a_batch_is_not_one_image():
    with pytest.raises(
        ValueError, match=r"^image must be one image, got \(2, 1, 4, 4\)"
    ):
        show_images([torch.rand(2, 1, 4, 4)])


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


def test_pixels_can_show_their_values_instead_of_their_centres(ax):
    draw_pixels(ax, torch.tensor([[0.0, 1.0], [0.25, 0.5]]), centres=False, values=True)
    assert not ax.get_lines()
    assert [text.get_text() for text in ax.texts] == ["0", "1", "0.25", "0.5"]
    assert [round(text.get_position()[0]) for text in ax.texts] == [0, 1, 0, 1]
    # White on dark, ink on light.
    assert ax.texts[0].get_color() == "white"
    assert ax.texts[1].get_color() == COLORS["ink"]


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
    draw_points(ax, points, marker="x", size=7, label="here")
    (line,) = ax.get_lines()
    assert line.get_xydata().tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert line.get_marker() == "x" and line.get_markersize() == 7
    assert line.get_linestyle() == "None" and line.get_label() == "here"


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
