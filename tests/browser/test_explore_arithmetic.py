"""What the figures compute is what the package computes, in a real browser."""

from __future__ import annotations

from importlib import resources
from itertools import product

import pytest
import torch
from torch import Tensor

from stn_tutorial import (
    Affine,
    Attention,
    Projective,
    Similarity,
    ThinPlateSpline,
    Translation,
    sample,
    to_normalized,
    to_pixels,
)
from stn_tutorial.families import fit

FOLDER = resources.files("stn_tutorial.course.explore")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
PADDINGS = ("zeros", "border", "reflection")
#: Of each family: what makes it in the browser, and how far parameters go.
FAMILIES = {
    "stn.translation": (Translation(), 0.5),
    "stn.attention": (Attention(), 0.5),
    "stn.similarity(1.5)": (Similarity(1.5), 0.5),
    "stn.affine": (Affine(), 0.5),
    "stn.projective": (Projective(), 0.4),
    "stn.thinPlateSpline([3, 4])": (ThinPlateSpline((3, 4)), 0.3),
    "stn.thinPlateSpline([4, 4], 0.1)": (ThinPlateSpline((4, 4), stiffness=0.1), 0.3),
}


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_context(offline=True).new_page()
    for name in ("sampling", "families"):
        page.evaluate(FOLDER.joinpath(f"{name}.js").read_text(encoding="utf-8"))
    yield page
    page.context.close()


def draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(height: int, width: int, seed: int) -> Tensor:
    return torch.rand(height, width, generator=draw(seed))


def flat(values: Tensor) -> list[float | str]:
    """Numbers for the browser, which JSON can't say all of."""
    return [v if abs(v) < float("inf") else str(v) for v in values.flatten().tolist()]


READ = """([size, pixels, grid, out, reading]) => {
  const image = {height: size[0], width: size[1], pixels};
  return [...stn.sample(image, grid.map(Number), out, reading).pixels];
}"""


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("interpolation", "padding", "fill"),
    # Zeros without a fill, read bilinearly, have a quick way of their own.
    [
        *product(INTERPOLATIONS, PADDINGS, [0.0]),
        *product(INTERPOLATIONS, ["zeros"], [0.25]),
    ],
)
def test_reading_is_the_packages(page, interpolation, padding, fill, align_corners):
    for seed, size in enumerate([(7, 5), (4, 9), (1, 3), (28, 28)]):
        image = picture(*size, seed)
        grid = 1.8 * (2 * torch.rand(1, 6, 8, 2, generator=draw(seed + 100)) - 1)
        grid[0, 0, 0, 0], grid[0, 1, 1, 1] = torch.inf, torch.nan
        if interpolation == "nearest":  # a hair beside a tie, precisions may differ
            points = to_pixels(grid, size, align_corners=align_corners)
            beside = ((points % 1) - 0.5).abs() < 1e-3
            points = torch.where(beside, points + 0.01, points)
            grid = to_normalized(points, size, align_corners=align_corners)
        options = {"interpolation": interpolation, "padding": padding, "fill": fill}
        expected = sample(
            image[None, None].double(),
            grid.double(),
            align_corners=align_corners,
            backend="manual",
            **options,
        )
        options["alignCorners"] = align_corners
        given = [size, flat(image), flat(grid), (6, 8), options]
        found = torch.tensor(page.evaluate(READ, given))
        torch.testing.assert_close(
            found.double(), expected.flatten(), rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_slopes_are_the_packages_on_kinks_as_well(page, padding):
    image = picture(6, 9, 4).double()
    points = 20 * torch.rand(80, 2, generator=draw(6), dtype=torch.float64) - 6
    points[:30] = points[:30].round().clamp(-1, 5)  # inside the frame of padding
    points[30:40, 0] = points[30:40, 0].round().clamp(-1, 5)
    free = points.clone().requires_grad_()
    grid = to_normalized(free, image.shape)[None, None]
    read = sample(image[None, None], grid, padding=padding, backend="manual")
    (slopes,) = torch.autograd.grad(read.sum(), free)
    script = """([pixels, points, padding]) => {
      const image = {width: 9, height: 6, pixels};
      return points.map(([x, y]) => stn.slopesAt(image, x, y, padding));
    }"""
    given = [flat(image), points.tolist(), padding]
    found = torch.tensor(page.evaluate(script, given), dtype=torch.float64)
    expected = torch.cat([read.detach().flatten()[:, None], slopes], dim=1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_grid_is_the_packages(page, name, align_corners):
    family, reach = FAMILIES[name]
    size = (6, 9)
    away = torch.randn(5, family.n_params, generator=draw(1), dtype=torch.float64)
    params = family.identity().double() + reach * away
    expected = family.grid(params, size, align_corners=align_corners)
    make = f"""([params, size, align]) => params.map((p) =>
        [...stn.grid({name}, p, size, align)].map(String))"""
    found = page.evaluate(make, [params.tolist(), size, align_corners])
    found = torch.tensor([[float(v) for v in row] for row in found])
    if name == "stn.projective":
        assert found.isinf().any() and not found.isinf().all()  # a horizon in sight
    # Beside a horizon points are far away: there, what counts is the direction.
    torch.testing.assert_close(
        found.double(), expected.flatten(1), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_an_identity_reads_every_pixel_where_it_is(page, name):
    image = picture(8, 12, 3)
    script = f"""([pixels]) => {{
      const image = {{height: 8, width: 12, pixels}};
      const family = {name};
      return [...stn.sample(image, stn.grid(family, family.identity, [8, 12]), [8, 12])
        .pixels];
    }}"""
    found = torch.tensor(page.evaluate(script, [flat(image)]))
    torch.testing.assert_close(found, image.flatten(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_fit_is_the_packages(page, name):
    family, _ = FAMILIES[name]
    points = 1.8 * torch.rand(1, 40, 2, generator=draw(7)).double() - 0.9
    targets = points + 0.2 * torch.randn(1, 40, 2, generator=draw(8)).double()
    script = f"([points, targets]) => stn.fit({name}, points, targets)"
    for count in (-(-family.n_params // 2), 40):  # as many as needed, and more
        given = points[:, :count], targets[:, :count]
        found = torch.tensor(page.evaluate(script, [p[0].tolist() for p in given]))
        expected = fit(family, *given)[0]
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


def test_a_spline_at_points_that_are_known_is_the_packages(page):
    offsets = 0.3 * torch.randn(1, 24, generator=draw(1)).double()
    points = 2 * torch.rand(30, 2, generator=draw(2)).double() - 1
    script = """([points, params]) => {
      const spline = stn.thinPlateSpline([3, 4], 0.1);
      return [...stn.splinesAt(spline.points, points)(spline, params)];
    }"""
    given = [points.tolist(), offsets[0].tolist()]
    found = torch.tensor(page.evaluate(script, given)).view(1, 30, 2)
    expected = ThinPlateSpline((3, 4), stiffness=0.1).at(offsets, points)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


def test_pixels_and_normalized_coordinates_are_the_packages(page):
    points = 4 * torch.rand(20, 2, generator=draw(5)) - 2
    script = """([points, n, align, there]) => points.map((p) => p.map((x, k) =>
        stn[there](x, n[k], align)))"""
    for align_corners in (False, True):
        for name, convert in (("toPixel", to_pixels), ("toNormalized", to_normalized)):
            expected = convert(points, (11, 7), align_corners=align_corners)
            given = [points.tolist(), (7, 11), align_corners, name]
            found = torch.tensor(page.evaluate(script, given))
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
