"""`warp`: parameters or matrices of any family, one or a batch, one convention."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stn_tutorial import (
    Affine,
    Attention,
    Crop,
    Projective,
    Similarity,
    SpatialTransformer,
    ThinPlateSpline,
    Translation,
    base_grid,
    homography,
    rotation,
    sample,
    theta_from_pixels,
    warp,
)

FAMILIES = [
    *(Translation(), Crop(), Attention(), Similarity(), Affine(), Projective()),
    ThinPlateSpline((3, 4)),
]
families = pytest.mark.parametrize("family", FAMILIES, ids=repr)
conventions = pytest.mark.parametrize("align_corners", [False, True])


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def drawn(family, n: int = 3) -> Tensor:
    noise = torch.randn(n, family.n_params, generator=torch.Generator().manual_seed(1))
    return family.identity() + 0.1 * noise


@families
@conventions
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"interpolation": "nearest"},
        {"padding": "reflection", "backend": "manual"},
        {"fill": [0.5, 0.25], "antialias": 2},
    ],
    ids=str,
)
def test_it_samples_at_the_grid_of_the_family(family, align_corners, options):
    x, params = images(3, 2, 8, 6), drawn(family)
    for size in (None, (5, 7)):
        found = warp(
            x, params, size, family=family, align_corners=align_corners, **options
        )
        known = family
        if isinstance(family, Similarity):  # which is told the image's aspect
            known = family.for_image((8, 6), align_corners=align_corners)
        grid = known.grid(params, size or (8, 6), align_corners=align_corners)
        expected = sample(x, grid, align_corners=align_corners, **options)
        assert torch.equal(found, expected)


def test_a_family_of_ones_own_serves_all_images_with_one_warp():
    class Mirror:  # what is asked of a family, and no more
        n_params = 0

        def identity(self):
            return torch.zeros(0)

        def grid(self, params, size, *, align_corners=False):
            grid = base_grid(size, align_corners=align_corners)
            return (grid * torch.tensor([-1.0, 1.0])).expand(len(params), -1, -1, -1)

    x = images(3, 1, 4, 5)
    torch.testing.assert_close(warp(x, torch.zeros(0), family=Mirror()), x.flip(3))
    assert warp(x[0], torch.zeros(0), family=Mirror()).shape == (1, 4, 5)
    with pytest.raises(ValueError, match=r"params must be .*, got \(5,\)"):
        warp(x, torch.zeros(5))


@families
def test_one_image_and_one_warp_need_no_batch(family):
    x, params = images(3, 2, 8, 6), drawn(family)
    together = warp(x, params, (4, 5), family=family)
    for k in range(3):
        alone = warp(x[k], params[k], (4, 5), family=family)
        assert alone.shape == (2, 4, 5)
        torch.testing.assert_close(alone, together[k])
    torch.testing.assert_close(
        warp(x[0], params, family=family),
        warp(x[:1].expand(3, -1, -1, -1), params, family=family),
    )
    one = warp(x, params[0], family=family)
    torch.testing.assert_close(one, warp(x, params[:1], family=family))
    torch.testing.assert_close(one[1], warp(x[1], params[0], family=family))


def test_the_default_family_is_affine_and_takes_matrices():
    x, params = images(3, 2, 8, 6), drawn(Affine())
    expected = warp(x, params)
    matrices = params.view(3, 2, 3)
    assert torch.equal(warp(x, matrices), expected)
    last_row = torch.tensor([0.0, 0.0, 1.0]).expand(3, 1, 3)
    assert torch.equal(warp(x, torch.cat([matrices, last_row], 1)), expected)
    assert torch.equal(warp(x[0], matrices[0]), warp(x[0], params[0]))


def test_sizes_of_numpy_and_whole_numbers_are_welcome():
    labels = torch.arange(12).view(1, 3, 4)
    size = tuple(np.array([3, 4]))
    found = warp(labels, Affine().identity(), size, interpolation="nearest")
    assert torch.equal(found, labels) and found.dtype == labels.dtype


@conventions
@pytest.mark.parametrize("perspective", [False, True])
def test_a_pixel_matrix_warps_as_opencv_does(perspective, align_corners):
    """`rotation` and `homography`, `theta_from_pixels` and `warp`, in two lines."""
    y, x = np.mgrid[0:40, 0:60] / 16.0
    image = np.sin(x) * np.cos(y)
    if perspective:
        corners = torch.tensor([[0.0, 0], [59, 0], [59, 39], [0, 39]]).double()
        moved = corners + torch.tensor([[3.0, 2], [-6, 4], [-2, -5], [7, -3]])
        matrix, family = homography(corners, moved), Projective()
        expected = cv2.warpPerspective(
            image, matrix.numpy(), (50, 45), borderMode=cv2.BORDER_REPLICATE
        )
    else:
        matrix, family = rotation(0.4, 1.2, center=(29.5, 19.5)).double(), Affine()
        expected = cv2.warpAffine(
            image, matrix.numpy(), (50, 45), borderMode=cv2.BORDER_REPLICATE
        )
    theta = theta_from_pixels(matrix, (40, 60), (45, 50), align_corners=align_corners)
    found = warp(
        torch.from_numpy(image)[None],
        theta,
        (45, 50),
        family=family,
        padding="border",
        align_corners=align_corners,
    )
    # OpenCV rounds locations to 1/32 pixel; the picture's slopes are at most 1/16.
    assert np.abs(found[0].numpy() - expected).max() < 2 / 16 / 64


def test_a_rotation_in_pixels_is_a_similarity_on_an_image_of_any_shape():
    size, angle = (32, 64), 0.5
    matrix = rotation(torch.tensor(-angle), center=(31.5, 15.5))
    x = images(1, 1, *size)
    expected = warp(x, theta_from_pixels(matrix, size, size))
    params = torch.tensor([[math.cos(angle), math.sin(angle), 0.0, 0.0]])
    found = warp(x, params, family=Similarity())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    of_matrix = warp(x, theta_from_pixels(matrix, size, size), family=Similarity())
    torch.testing.assert_close(of_matrix, expected, rtol=0, atol=1e-4)


# ------------------------------------------------------------------------------ errors

X, P = images(1, 1, 4, 4), Affine().identity()[None]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"family": Affine}, TypeError, "family must be an instance.*class Affine"),
        ({"family": None}, TypeError, "family must be a family of warps.*NoneType"),
        ({"image": X.numpy()}, TypeError, "image must be a tensor, got numpy.ndarray"),
        (
            {"image": X[0, 0]},
            ValueError,
            r"image must be \(N, C, H, W\) or \(C, H, W\)",
        ),
        (
            {"params": P.numpy()},
            TypeError,
            "params must be a floating tensor, got nump",
        ),
        ({"params": P[:, :5]}, ValueError, r"params must be \(N, 6\), \(N, 2, 3\) or"),
        ({"out_size": 4}, TypeError, r"out_size must be integers \(H, W\), got 4"),
        ({"out_size": (4, 0)}, ValueError, r"out_size must be \(H, W\) with entries"),
        ({"padding": "wrap"}, ValueError, "padding must be 'zeros'"),
        ({"align_corners": "no"}, TypeError, "align_corners must be True or False"),
    ],
)
def test_a_wrong_argument_is_named(change, error, message):
    with pytest.raises(error, match=f"^{message}"):
        warp(**{"image": X, "params": P, **change})


@pytest.mark.parametrize("align_corners", [False, True])
def test_a_rotation_into_another_shape_is_none_that_shears(align_corners):
    image = torch.zeros(1, 32, 64)
    image[:, 15:17, 22:42] = 1  # a bar, 20 wide
    quarter, options = torch.tensor([0.0, 1.0, 0.0, 0.0]), {"padding": "border"}
    known = Similarity().for_image((32, 64), align_corners=align_corners)
    for family in (Similarity(), known):
        rotated = warp(
            image,
            quarter,
            (32, 32),
            family=family,
            align_corners=align_corners,
            **options,
        )
        assert abs((rotated[0].amax(dim=1) > 0.3).sum().item() - 20) <= 1
        transformer = SpatialTransformer(
            nn.Identity(), family, (32, 32), align_corners=align_corners, **options
        )
        assert torch.equal(transformer.warp(image[None], quarter[None])[0], rotated)
