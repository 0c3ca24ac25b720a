"""Spatial transformers from the grid up: the package behind the book.

The modules are named after the parts of a spatial transformer (Jaderberg et al. 2015):
`coordinates` and `transforms` generate the grid, `sampling` reads the image at it.
"""

from stn_tutorial.coordinates import (
    base_grid,
    theta_from_pixels,
    theta_to_pixels,
    to_normalized,
    to_pixels,
)
from stn_tutorial.sampling import sample
from stn_tutorial.transforms import Affine

__version__ = "0.1.0"

__all__ = [
    "Affine",
    "base_grid",
    "sample",
    "theta_from_pixels",
    "theta_to_pixels",
    "to_normalized",
    "to_pixels",
]
