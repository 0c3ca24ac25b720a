"""The bench: six families of warps, moved by hand and fitted to points."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial import (
    Affine,
    Attention,
    Projective,
    Similarity,
    ThinPlateSpline,
    Translation,
    base_grid,
    sample,
)
from stn_tutorial.course.explore._checks import between, numbers, one_of, whole
from stn_tutorial.course.explore._figure import Explorable, State, pack
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.families import MatrixFamily, fit

__all__ = ["Bench"]

FAMILIES = {
    "Translation": Translation(),
    "Attention": Attention(),
    "Similarity": Similarity(aspect=1),
    "Affine": Affine(),
    "Projective": Projective(),
    "ThinPlateSpline": ThinPlateSpline((4, 4)),
}
#: Control points, row by row, and an offset for each that bends the picture like an S.
LATTICE = base_grid((4, 4), align_corners=True).flatten(0, 1)
BEND = 0.22 * torch.stack(
    [(2.5 * LATTICE[:, 1]).sin(), (2.5 * LATTICE[:, 0]).cos() - 0.3], dim=1
)
#: Where each family begins.
START = {
    "Translation": [0.25, 0.15],
    "Attention": [0.6, 0.2, -0.15],
    "Similarity": [0.6, 0.3, 0.1, -0.1],
    "Affine": [0.7, 0.3, 0.0, -0.1, 0.55, 0.1],
    "Projective": [0.7, 0.2, 0.0, 0.0, 0.6, 0.0, 0.1, -0.35],
    "ThinPlateSpline": [round(offset, 2) for offset in BEND.flatten().tolist()],
}
#: The warps that are to be found from points; the first is a rotation by 20 degrees.
TRUTHS = {
    "Similarity": [0.9397, 0.342, 0.0, 0.0],
    "Projective": [0.8, 0.15, 0.05, -0.1, 0.75, 0.0, 0.1, -0.2],
    "ThinPlateSpline": [round(offset / 2, 2) for offset in BEND.flatten().tolist()],
}
MODES = ("hand", "fit")
#: The fewest and the most points that a warp is fitted to, and draws of their noise.
FEWEST, MOST, DRAWS = 4, 60, 8
#: The most noise, in pixels, and the highest stiffness.
NOISIEST, STIFFEST = 8.0, 2.0
#: Where a fitted warp is compared with the true one.
HELD_OUT = base_grid((25, 25), align_corners=True, dtype=torch.float64).flatten(0, 1)


def _warps(warps: dict[str, Any]) -> dict[str, list[float]]:
    if set(warps) != set(FAMILIES):
        raise ValueError(f"warps must have the names {tuple(FAMILIES)}")
    return {name: _params(name, warps[name]) for name in FAMILIES}


def _params(name: str, params: Any) -> list[float]:
    return numbers(f"params of {name}", FAMILIES[name].n_params)(params)


# What to try in each mode, in words that need no other.
HINTS = {
    "hand": "Drag the handles of each family (arrow keys move them, Escape returns to "
    "the identity). Which lines of the grid stay straight, which stay parallel, and "
    "when does the grid come to lie on top of itself?",
    "fit": "Fit all families to few points with much noise, then to many with little. "
    "Which has the smallest error at points that were held out?",
}


class Bench(Explorable):
    """Six families of warps on one image: by hand, or fitted to noisy points.

    By hand, a warp is moved by as many handles as its family has freedom for: the
    frame's middle and corners, or a spline's control points. Cells with a negative area
    are folded, and counted.

    In a fit, a hidden warp takes random points of the output to the input, where each
    is found with an error of some pixels. All six families are fitted to what was
    found, by least squares, and compared with the hidden warp at other points.

    >>> bench = Bench(torch.rand(32, 32), family="Affine")
    >>> bench.params = [1, 0, 0, 0, 1, 0]
    >>> bench.params
    tensor([1., 0., 0., 0., 1., 0.])
    >>> bench.noise = 0.0
    >>> [round(error, 3) + 0.0 for error in bench.errors()["Similarity"]]
    [0.0, 0.0]

    Args:
        image: ``(H, W)`` in [0, 1], square.
        family: the one that is shown first: the name of a class of the package.
        mode: ``"hand"`` or ``"fit"``.

    Attributes:
        family: the name of the family that is shown.
        warps: parameters of each family by name, as the hand left them.
        stiffness: of the spline that is moved by hand.
        mode: ``"hand"`` or ``"fit"``.
        truth: the family of the hidden warp.
        count: how many points there are to fit, from 4 to 60.
        noise: standard deviation of each coordinate's error, in pixels, up to 8.
        draw: which of eight draws of points and noise is used, from 0.
        reveal: whether the hidden warp is drawn.

    Raises:
        ValueError: if the image is not square, or a value is not one of these.
    """

    name = "bench"
    family = State(one_of("family", FAMILIES))
    warps = State(
        _warps, lambda warps: {name: torch.tensor(p) for name, p in warps.items()}
    )
    stiffness = State(between("stiffness", 0, STIFFEST))
    mode = State(one_of("mode", MODES))
    truth = State(one_of("truth", TRUTHS))
    count = State(whole("count", FEWEST, MOST))
    noise = State(between("noise", 0, NOISIEST))
    draw = State(whole("draw", 0, DRAWS - 1))
    reveal = State(bool)

    def __init__(
        self, image: Tensor, *, family: str = "Projective", mode: str = "hand"
    ) -> None:
        packed = pack(image)
        if image.shape[0] != image.shape[1]:
            raise ValueError(f"image must be square, got {tuple(image.shape)}")
        self.image = image.detach().float().cpu()
        draw = torch.Generator().manual_seed(0)
        shape = (DRAWS, MOST, 2)
        points = 1.9 * torch.rand(shape, generator=draw, dtype=torch.float64) - 0.95
        errors = torch.randn(shape, generator=draw, dtype=torch.float64)
        # As exact as they are told to the script.
        self._points = points.round(decimals=3)
        self._errors = errors.round(decimals=3)
        self.data = {
            "image": packed,
            "families": [
                {
                    "name": name,
                    "entries": getattr(family, "entries", None),
                    "letters": getattr(family, "letters", None),
                    "n": family.n_params,
                }
                for name, family in FAMILIES.items()
            ],
            "truths": TRUTHS,
            "points": _rounded(self._points),
            "errors": _rounded(self._errors),
            "limits": {
                "fewest": FEWEST,
                "most": MOST,
                "noisiest": NOISIEST,
                "stiffest": STIFFEST,
            },
        }
        self.state = {
            "family": one_of("family", FAMILIES)(family),
            "warps": {name: list(params) for name, params in START.items()},
            "stiffness": 0.0,
            "mode": one_of("mode", MODES)(mode),
            "truth": "Similarity",
            "count": 20,
            "noise": 3.0,
            "draw": 0,
            "reveal": False,
        }
        self.alt = (
            "Left, an image with a grid of lines over it, as one family of warps takes "
            "them there; right, what is sampled at the grid"
        )
        self.hint = HINTS[mode]

    @property
    def params(self) -> Tensor:
        """``(n_params,)`` of the family that is shown, as the hand left them."""
        return self.warps[self.family]

    @params.setter
    def params(self, params: Any) -> None:
        given = _params(self.family, params)
        self.state = {
            **self.state,
            "warps": {**self.state["warps"], self.family: given},
        }

    def correspondences(self) -> tuple[Tensor, Tensor]:
        """Return the points that the families are fitted to, and where they are found.

        Returns:
            ``(count, 2)`` normalized output points, and ``(count, 2)`` normalized input
            points with noise, in float64.
        """
        points = self._points[self.draw, : self.count]
        errors = self._errors[self.draw, : self.count] * self.noise / self._reach()
        return points, _at(self.truth, TRUTHS[self.truth], points) + errors

    def fitted(self, family: str) -> Tensor | None:
        """Return the parameters of a family that fit the points best.

        Args:
            family: its name.

        Returns:
            ``(n_params,)``, or None if the points are too few to determine them.
        """
        if 2 * self.count < FAMILIES[family].n_params:
            return None
        points, targets = self.correspondences()
        return fit(FAMILIES[family], points[None], targets[None])[0]

    def errors(self) -> dict[str, tuple[float, float]]:
        """Return how far each family's best fit is off, in pixels.

        Returns:
            By name, two root mean square distances: from the noisy points that it was
            fitted to, and from the hidden warp on a lattice over the output. Both are
            NaN if the points are too few.
        """
        points, targets = self.correspondences()
        right = _at(self.truth, TRUTHS[self.truth], HELD_OUT)
        found = {}
        for name in FAMILIES:
            params = self.fitted(name)
            if params is None:
                found[name] = (math.nan, math.nan)
                continue
            found[name] = (
                self._distance(_at(name, params, points), targets),
                self._distance(_at(name, params, HELD_OUT), right),
            )
        return found

    def _reach(self) -> float:
        """Pixels a normalized unit."""
        return len(self.image) / 2

    def _distance(self, one: Tensor, other: Tensor) -> float:
        square = (one - other).square().sum(dim=-1).mean()
        return self._reach() * square.sqrt().item()

    def picture(self) -> Figure:
        """Draw the grid of the warp that is shown, and what is sampled there."""
        fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.3))
        family, params = FAMILIES[self.family], self.params
        fitting = self.mode == "fit"
        if self.family == "ThinPlateSpline" and not fitting:
            family = ThinPlateSpline((4, 4), stiffness=self.stiffness)
        if fitting:
            found = self.fitted(self.family)
            params = family.identity() if found is None else found
        left.imshow(
            self.image.numpy(), cmap="gray", vmin=0, vmax=1, extent=(-1, 1, 1, -1)
        )
        lines = family.grid(params[None].float(), (25, 25), align_corners=True)[0]
        lines = lines.where(lines.isfinite(), torch.nan)
        for line in (*lines[::3], *lines[:, ::3].transpose(0, 1)):
            left.plot(*line.T.numpy(), color=COLORS["sample"], linewidth=1)
        left.plot(*lines[0].T.numpy(), color=COLORS["output"], linewidth=3)
        if fitting:
            points, targets = self.correspondences()
            left.plot(*targets.T.numpy(), ".", color=COLORS["input"])
        grid = family.grid(params[None].float(), self.image.shape)
        seen = sample(self.image[None, None], grid)[0, 0]
        right.imshow(seen.numpy(), cmap="gray", vmin=0, vmax=1)
        for ax, title in ((left, f"input, {self.family}"), (right, "output")):
            ax.set_title(title)
            ax.axis("off")
        left.set(xlim=(-1.5, 1.5), ylim=(1.5, -1.5))
        return fig


def _at(name: str, params: Any, points: Tensor) -> Tensor:
    """Where a family takes points (P, 2), infinite behind a horizon: (P, 2)."""
    family = FAMILIES[name]
    params = torch.as_tensor(params, dtype=torch.float64)
    if not isinstance(family, MatrixFamily):
        return family.at(params[None], points)[0]
    ahead = torch.cat([points, torch.ones_like(points[:, :1])], dim=1)
    above, below = (ahead @ family.matrix(params).T).split([2, 1], dim=1)
    return torch.where(below > 1e-6, above / below, torch.inf)


def _rounded(numbers: Tensor) -> list[Any]:
    flat = [round(number, 3) for number in numbers.flatten().tolist()]
    return [flat[k : k + 2 * MOST] for k in range(0, len(flat), 2 * MOST)]
