"""The checks that the exercises call: one function an exercise.

A check prints whether the exercise is solved. A wrong answer raises `Wrong`, with the
first case that shows it and a hint. Checks try random shapes, from a fixed seed.
"""

from stn_tutorial.checks.grids import (
    after_a_negative_a,
    after_mixing_conventions,
    after_swapping_coordinates,
    crop_theta,
    one_axis_to_normalized,
    turn_about,
)
from stn_tutorial.checks.verdict import Wrong

__all__ = [
    "Wrong",
    "after_a_negative_a",
    "after_mixing_conventions",
    "after_swapping_coordinates",
    "crop_theta",
    "one_axis_to_normalized",
    "turn_about",
]
