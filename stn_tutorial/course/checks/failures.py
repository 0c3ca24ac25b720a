"""Checks of the chapter on failures: what goes wrong, and what cures it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from stn_tutorial.course.checks._grading import Cases, Wrong, choose, compare, nearest
from stn_tutorial.data.embedded import embedded_digits
from stn_tutorial.diagnostics import composition_gap, overhang
from stn_tutorial.families import Affine, Similarity
from stn_tutorial.localization import FullyConnectedLocalization
from stn_tutorial.sampling import sample
from stn_tutorial.transformer import SpatialTransformer

__all__ = [
    "averaged_samples",
    "clipped_adam",
    "conventions_swapped",
    "fill_of_a_negative",
    "pair_that_commutes",
    "penalty_outside",
]


def clipped_adam(answer: str) -> None:
    """Check what a gradient a thousand times smaller does to a step of Adam."""
    lengths = []
    for factor in (1.0, 1e-3):
        parameter = nn.Parameter(torch.zeros(50))
        optimizer = torch.optim.Adam([parameter], lr=0.01)
        gradient = torch.randn(50, generator=torch.Generator().manual_seed(0))
        for _ in range(5):
            parameter.grad = factor * gradient
            optimizer.step()
        lengths.append(parameter.detach().norm().item())
    ratio = lengths[1] / lengths[0]
    options = {
        "a thousandth": 1e-3,
        "about a thirtieth": 1 / 30,
        "nearly the same": 1.0,
    }
    hint = "Adam divides the gradient's mean by the root of the mean of its square."
    choose(answer, nearest(ratio, options), options, hint)


def penalty_outside(attempt: Callable[[Tensor], Tensor]) -> None:
    """Check ``attempt(grid)``: how far points lie outside, (N, H, W, 2) -> (N,).

    A penalty is there for its gradient, so that must arrive, too.
    """
    outside = torch.tensor([[[[3.0, -2.0]]]], requires_grad=True)
    answer = attempt(outside.clone())
    if isinstance(answer, Tensor) and not _pulls_back(answer, outside):
        raise Wrong(
            "at a point outside, the penalty has no gradient that leads back\n"
            "Hint: what is detached, rounded or only counted has none."
        )

    def cases(draw: Generator) -> Cases:
        yield (torch.tensor([[[[3.0, 0.0]]]]),)
        yield (torch.tensor([[[[0.5, -0.9]]]]),)
        yield (torch.tensor([[[[-2.0, 1.5]]]]),)
        for shape in ((1, 4, 5, 2), (3, 2, 2, 2)):
            yield (2 * torch.randn(shape, generator=draw),)

    hint = (
        "past 1, and below -1 as well, a coordinate counts with its distance from "
        "the edge; inside with 0. Add x and y, and average over an image's points."
    )
    compare(attempt, overhang, cases, hint)


def _pulls_back(penalty: Tensor, grid: Tensor) -> bool:
    """Whether a step against the penalty's gradient moves points nearer."""
    if not penalty.requires_grad:
        return False
    (slope,) = torch.autograd.grad(penalty.sum(), grid, allow_unused=True)
    return slope is not None and bool((slope * grid > 0).all())


def fill_of_a_negative(answer: str) -> None:
    """Check which fill draws no frame around black digits on white."""
    images = 1 - embedded_digits()[0][:20]
    zoom = torch.tensor([[1.6, 0.0, 0.0, 0.0, 1.6, 0.0]]).expand(20, 6)
    grid = Affine().grid(zoom, (28, 28))
    outside = (grid.abs() > 1.1).any(dim=-1)
    frames = {
        name: sample(images, grid, fill=float(name))[:, 0][outside]
        for name in ("0", "0.5", "1")
    }
    right = nearest(images[0, 0, 0, 0], frames)
    hint = "try edge_contrast(1 - images, fill) with each."
    answer = f"{answer:g}" if isinstance(answer, (int, float)) else answer
    choose(answer, right, frames, hint)


def averaged_samples(attempt: Callable[[Tensor, Tensor, int, int], Tensor]) -> None:
    """Check ``attempt(image, theta, size, n)``: n×n samples a pixel, averaged."""

    def cases(draw: Generator) -> Cases:
        start = Affine().identity()
        for count, size, n in ((1, 6, 3), (2, 5, 2), (3, 7, 4)):
            theta = start + 0.3 * torch.randn(count, 6, generator=draw)
            yield torch.rand(count, 1, 24, 24, generator=draw), theta, size, n

    def reference(image: Tensor, theta: Tensor, size: int, n: int) -> Tensor:
        grid = Affine().grid(theta, (size, size))
        return sample(image, grid, antialias=n)

    hint = (
        "an affine grid for an output of n * size pixels a side has n×n points in "
        "each pixel of the output of size. Sample there, then take means of n×n."
    )
    compare(attempt, reference, cases, hint)


def conventions_swapped(answer: str) -> None:
    """Check what grids of one convention do under the other, eight times in a row."""

    class Mixed(SpatialTransformer):
        def forward(self, x: Tensor) -> Tensor:
            grid = self.family.grid(self.params(x), x.shape[-2:])
            return sample(x, grid, align_corners=True)

    mixed = Mixed(FullyConnectedLocalization((1, 28, 28), Affine()))
    ramp = torch.arange(28.0).expand(1, 1, 28, 28)
    with torch.no_grad():
        sampled = nn.Sequential(*[mixed] * 8)(ramp)[0, 0, 14]
    span = (sampled[20] - sampled[7]).item() / 13  # input pixels between two outputs
    right = "it stays"
    if abs(span - 1) > 0.05:
        right = "it shrinks" if span > 1 else "it grows"
    hint = (
        "at the rim the grid says (W - 1)/W. Where is that, if 1 is the centre of "
        "the last pixel?"
    )
    choose(answer, right, ("it shrinks", "it stays", "it grows"), hint)


def pair_that_commutes(answer: str) -> None:
    """Check which pair of warps may be composed in either order."""

    def about(factor: complex, point: complex) -> Tensor:
        """The rotation and scaling by a complex factor about a fixed point."""
        shift = point - factor * point
        return torch.tensor([[factor.real, factor.imag, shift.real, shift.imag]])

    rotation, zoom, middle, corner = 0.8 + 0.6j, 0.7 + 0j, 0j, 1 + 1j
    shift = torch.tensor([[1.0, 0.0, 0.3, 0.1]])
    pairs = {
        "a rotation and a zoom about the same corner": (
            about(rotation, corner),
            about(zoom, corner),
        ),
        "a rotation about the middle and one about a corner": (
            about(rotation, middle),
            about(rotation, corner),
        ),
        "a zoom about a corner and a shift": (about(zoom, corner), shift),
    }
    family, gaps = Similarity(), {}
    for name, (first, second) in pairs.items():
        grids = (family.grid(each, (28, 28)) for each in (first, second))
        swapped = family.grid(family.compose(second, first), (28, 28))
        gaps[name] = composition_gap(*grids, swapped, (28, 28)).item()
    hint = (
        "use the equation of case G. A rotation or zoom alpha about a point "
        "c is p -> alpha p + (1 - alpha) c."
    )
    choose(answer, nearest(0.0, gaps), pairs, hint)
