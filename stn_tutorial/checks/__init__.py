"""The checks that the exercises call: one function an exercise.

A check prints whether the exercise is solved. A wrong answer raises `Wrong`, with the
first case that shows it and a hint. Checks try random shapes, from a fixed seed.
"""

from stn_tutorial.checks.gradients import (
    angle_gradient,
    pull_of_a_constant,
    pull_outside,
    pull_through_nearest,
    scattered,
    twist,
)
from stn_tutorial.checks.grids import (
    after_a_negative_a,
    after_mixing_conventions,
    after_swapping_coordinates,
    crop_theta,
    one_axis_to_normalized,
    turn_about,
)
from stn_tutorial.checks.reading import (
    at_the_right_edge,
    contrast_after_shift,
    reflected,
    repaired_reader,
    upsampled,
    where_zeros_darken,
    white_fill,
)
from stn_tutorial.checks.verdict import Wrong

__all__ = [
    "Wrong",
    "after_a_negative_a",
    "after_mixing_conventions",
    "after_swapping_coordinates",
    "angle_gradient",
    "at_the_right_edge",
    "contrast_after_shift",
    "crop_theta",
    "one_axis_to_normalized",
    "pull_of_a_constant",
    "pull_outside",
    "pull_through_nearest",
    "reflected",
    "repaired_reader",
    "scattered",
    "turn_about",
    "twist",
    "upsampled",
    "where_zeros_darken",
    "white_fill",
]
