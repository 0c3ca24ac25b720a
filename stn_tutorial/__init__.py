"""Spatial transformers from the grid up: the package behind the book.

The modules are named after the parts of a spatial transformer (Jaderberg et al. 2015):
`localization` predicts the parameters of a warp, `coordinates` and `families` make
the grid of them, `sampling` samples the image at it; `transformer` is all three in one.
`coordconv` has convolutions that know where they are (Liu et al. 2018).
"""

from __future__ import annotations

import importlib
from typing import Any

from stn_tutorial.coordconv import (
    CoordConv1d,
    CoordConv2d,
    CoordConv3d,
    CoordConvTranspose2d,
    add_coordinates,
    convert_to_coordconv,
)
from stn_tutorial.coordinates import (
    base_grid,
    homography,
    rotation,
    theta_from_pixels,
    theta_to_pixels,
    to_normalized,
    to_pixels,
)
from stn_tutorial.families import (
    Affine,
    Attention,
    Crop,
    Family,
    MatrixFamily,
    Projective,
    Similarity,
    Translation,
    convert,
)
from stn_tutorial.families_3d import (
    Affine3d,
    Rigid3d,
    Similarity3d,
    rotation_matrix,
    rotation_vector,
)
from stn_tutorial.sampling import sample, warp
from stn_tutorial.thin_plate_spline import ThinPlateSpline
from stn_tutorial.transformer import SpatialTransformer

__version__ = "0.2.0"

__all__ = [
    "Affine",
    "Affine3d",
    "Attention",
    "CoordConv1d",
    "CoordConv2d",
    "CoordConv3d",
    "CoordConvTranspose2d",
    "Crop",
    "Family",
    "MatrixFamily",
    "Projective",
    "Rigid3d",
    "Similarity",
    "Similarity3d",
    "SpatialTransformer",
    "ThinPlateSpline",
    "Translation",
    "add_coordinates",
    "base_grid",
    "convert",
    "convert_to_coordconv",
    "homography",
    "report_environment",
    "rotation",
    "rotation_matrix",
    "rotation_vector",
    "sample",
    "theta_from_pixels",
    "theta_to_pixels",
    "to_normalized",
    "to_pixels",
    "warp",
]


def __getattr__(name: str) -> Any:
    """Import `report_environment` when it is asked for: it is the course's."""
    if name == "report_environment":
        return importlib.import_module("stn_tutorial.course.environment").__dict__[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
