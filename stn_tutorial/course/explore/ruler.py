"""The ruler: a row of pixels in both conventions, and what mixing them does."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial import base_grid, sample, to_normalized
from stn_tutorial.course.explore._checks import whole
from stn_tutorial.course.explore._figure import Explorable, State
from stn_tutorial.course.plotting import COLORS, draw_pixels

__all__ = ["Ruler"]

#: How many pixels a row has, and how often it is resampled, at most.
PIXELS, TIMES = (2, 12), (0, 20)
#: The values of the outermost pixels of the row, and of those between them.
ROW = (1.0, 0.6)


def _coordinate(x: float) -> float:
    if not math.isfinite(x):
        raise ValueError(f"x must be a finite number, got {x!r}")
    return float(x)


class Ruler(Explorable):
    """A row of pixels under both conventions, and a row that is resampled with them.

    A point is dragged along the row, and has its coordinate in pixels and, normalized,
    in both conventions. Below, a row is resampled where its base grid says, repeatedly:
    the grid is made with one convention and sampled with the same, or with the other.

    >>> ruler = Ruler(n=4, x=3.0)
    >>> ruler.made = True
    >>> ruler.n, ruler.x, ruler.made, ruler.sampled
    (4, 3.0, True, False)

    Args:
        n: pixels in the row, 2 to 12.
        x: where the point begins, a pixel coordinate; by default the last centre.
        made: `align_corners` of the base grid.
        sampled: `align_corners` of the sampler.
        times: how many times the row is resampled, 0 to 20.

    Attributes:
        n: pixels in the row.
        x: where the point is, a pixel coordinate.
        made: `align_corners` of the base grid.
        sampled: `align_corners` of the sampler.
        times: how many times the row is resampled.

    Raises:
        ValueError: if `n` or `times` is out of range, or `x` not finite.
    """

    name = "ruler"
    n = State(whole("n", *PIXELS))
    x = State(_coordinate)
    made = State(bool)
    sampled = State(bool)
    times = State(whole("times", *TIMES))

    def __init__(
        self,
        n: int = 8,
        x: float | None = None,
        *,
        made: bool = False,
        sampled: bool = False,
        times: int = 6,
    ) -> None:
        self.data = {"row": list(ROW)}
        n = Ruler.n.check(n)
        self.state = {
            "n": n,
            "x": n - 1.0 if x is None else _coordinate(x),
            "made": bool(made),
            "sampled": bool(sampled),
            "times": Ruler.times.check(times),
        }
        self.alt = (
            "A row of pixels, twice, with the coordinates of their centres below it: "
            "with align_corners=False the outermost are inside -1 and 1, with True "
            "they are -1 and 1. Below, the row and what each resampling makes of it"
        )
        self.hint = (
            "Drag the point along the row, or type one of its coordinates. Then mix "
            "the conventions: after how many resamplings have the outermost pixels "
            "moved by more than one pixel, and in which rows do they never? Which way "
            "do they move when the conventions are swapped?"
        )

    def picture(self) -> Figure:
        """Draw the row, both rulers, and the row as often resampled as it begins."""
        n = self.n
        fig, axes = plt.subplots(3, 1, figsize=(6.4, 4.2), layout="constrained")
        centres = torch.stack([torch.arange(float(n)), torch.zeros(n)], dim=-1)
        for ax, align_corners in zip(axes, (False, True)):
            draw_pixels(ax, torch.full((3, 1, n), 0.9))
            ax.axvline(self.x, color=COLORS["output"])
            names = to_normalized(centres, (1, n), align_corners=align_corners)[:, 0]
            ax.set_xticks(range(n), [f"{name:.2f}" for name in names.tolist()])
            ax.set(yticks=[], title=f"align_corners={align_corners}")
            ax.spines[:].set_visible(False)
        axes[2].imshow(torch.cat(self._rows()).numpy(), cmap="gray", vmin=0, vmax=1)
        title = f"the row, and what {self.times} resamplings make of it"
        axes[2].set(xticks=[], yticks=[0, self.times], title=title)
        for ax in axes:
            ax.set_aspect("auto")
        return fig

    def _rows(self) -> list[Tensor]:
        """The row, (1, n), after 0, 1, ... resamplings."""
        outer, inner = ROW
        row = torch.full((1, 1, 1, self.n), inner)
        row[..., [0, -1]] = outer
        rows = [row]
        grid = base_grid((1, self.n), align_corners=self.made)[None]
        for _ in range(self.times):
            rows.append(sample(rows[-1], grid, align_corners=self.sampled))
        return [each[0, 0] for each in rows]
