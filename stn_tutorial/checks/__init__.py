"""The checks that the exercises call: one function an exercise.

A check prints whether the exercise is solved. A wrong answer raises `Wrong`, with the
first case that shows it and a hint. Checks try random shapes, from a fixed seed.
"""

from stn_tutorial.checks.deciding import (
    all_turned_alike,
    interval_of,
    pose_of,
    shifted_by_a_stride,
)
from stn_tutorial.checks.failures import (
    clipped_adam,
    fill_of_a_negative,
    harmless_order,
    mixed_the_other_way,
    penalty_outside,
    pooled_readings,
)
from stn_tutorial.checks.families import (
    all_in_front,
    fold_in_a_stiffer_plate,
    lines_that_stay_parallel,
    phi_at_zero,
    plate_undone_by_minus,
    similarities_multiplied,
)
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
from stn_tutorial.checks.predicting import (
    expected_place,
    mean_angle,
    start_of_zeros,
    taught_leaning,
    undoing,
    window_inside,
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
from stn_tutorial.checks.reproducing import (
    best_of_twenty,
    paired_or_not,
    share_of_the_steps,
    standard_error,
    twenty_comparisons,
)
from stn_tutorial.checks.telling_places import (
    bias_of_places,
    coordinates_averaged,
    true_radius,
    twice_as_wide,
)
from stn_tutorial.checks.training_runs import (
    one_theta_for_two,
    read_with_the_truth,
    turned_once,
    turned_too_far,
    zoom_of,
)
from stn_tutorial.checks.verdict import Wrong

__all__ = [
    "Wrong",
    "after_a_negative_a",
    "after_mixing_conventions",
    "after_swapping_coordinates",
    "all_in_front",
    "all_turned_alike",
    "angle_gradient",
    "at_the_right_edge",
    "best_of_twenty",
    "bias_of_places",
    "clipped_adam",
    "contrast_after_shift",
    "coordinates_averaged",
    "crop_theta",
    "expected_place",
    "fill_of_a_negative",
    "fold_in_a_stiffer_plate",
    "harmless_order",
    "interval_of",
    "lines_that_stay_parallel",
    "mean_angle",
    "mixed_the_other_way",
    "one_axis_to_normalized",
    "one_theta_for_two",
    "paired_or_not",
    "penalty_outside",
    "phi_at_zero",
    "plate_undone_by_minus",
    "pooled_readings",
    "pose_of",
    "pull_of_a_constant",
    "pull_outside",
    "pull_through_nearest",
    "read_with_the_truth",
    "reflected",
    "repaired_reader",
    "scattered",
    "share_of_the_steps",
    "shifted_by_a_stride",
    "similarities_multiplied",
    "standard_error",
    "start_of_zeros",
    "taught_leaning",
    "true_radius",
    "turn_about",
    "turned_once",
    "turned_too_far",
    "twenty_comparisons",
    "twice_as_wide",
    "twist",
    "undoing",
    "upsampled",
    "where_zeros_darken",
    "white_fill",
    "window_inside",
    "zoom_of",
]
