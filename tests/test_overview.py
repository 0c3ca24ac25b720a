"""The overview lights the parts that it is asked for, and can be read on a phone."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from stn_tutorial.course import plotting
from stn_tutorial.course.overview import FAINT, FIVE, PARTS, draw_overview
from stn_tutorial.data import embedded_digits


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        plotting.use_style()
        yield
    plt.close("all")


def names(fig: Figure, weight: str) -> set[str]:
    texts = fig.axes[0].texts
    return {text.get_text() for text in texts if text.get_weight() == weight}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_lit_is_named_in_bold_and_no_other(part):
    fig = draw_overview(part)
    assert names(fig, "bold") == {"θ" if part == "theta" else part}


def test_without_a_part_all_are_lit_alike():
    fig = draw_overview()
    assert not names(fig, "bold")
    assert {image.get_alpha() for image in fig.axes[0].images} == {1}
    assert "gradients" not in names(fig, "normal")


def test_pictures_of_other_parts_are_faint():
    alphas = [image.get_alpha() for image in draw_overview("sampler").axes[0].images]
    assert sorted(alphas) == [FAINT, FAINT, 1]


def test_gradients_are_drawn_where_they_are_lit():
    without, with_them = draw_overview("sampler"), draw_overview("sampler", "gradients")
    assert len(with_them.axes[0].patches) > len(without.axes[0].patches)


def test_the_output_is_the_digit_upright():
    *_, output = draw_overview().axes[0].images
    digit = embedded_digits()[0][FIVE, 0].numpy()
    shown = np.asarray(output.get_array())
    assert np.corrcoef(shown.ravel(), digit.ravel())[0, 1] > 0.97


def test_lettering_is_nine_pixels_on_a_phone():
    fig = draw_overview("gradients")
    pixels = 358 / (72 * fig.get_figwidth())  # of one point, on a page 390 px wide
    assert min(text.get_size() for text in fig.axes[0].texts) * pixels >= 9


def test_a_part_that_is_not_there_is_refused_by_name():
    with pytest.raises(ValueError, match="lit must be .*sampler.*got 'sample'"):
        draw_overview("sample")
