"""Register: a descent that slides one photograph over another, and where it arrives."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial import Translation, sample
from stn_tutorial.course.explore._checks import numbers, one_of
from stn_tutorial.course.explore._figure import Explorable, State, pack
from stn_tutorial.course.plotting import COLORS

__all__ = ["Register"]

STEPS = 160  # of a descent
RATES = (0.005, 0.02, 0.05, 0.1)  # Adam's, in normalized units
RATE = 0.02  # the one with which descents from all starts are recorded
ARRIVED = 3.0  # pixels from the truth
VIEWS = ("difference", "blend", "tiles")


class Register(Explorable):
    """Two photographs, the loss over all shifts between them, and a descent on it.

    The moving photograph is read at the pixels of the fixed one, shifted. The loss is
    the mean square difference over the inner part of the fixed one; Adam descends on
    the shift. A blur of both photographs changes the loss, its slopes, and the starts
    from which a descent arrives: these are recorded for every start and every blur.

    >>> figure = Register(torch.rand(16, 16), torch.rand(16, 16), (1, 2), blurs=(0, 1))
    >>> figure.stages = [(1, 20), (0, 5)]
    >>> figure.path().shape  # where it begins, and 25 steps
    torch.Size([26, 2])

    Args:
        moving: ``(N, N)`` in [0, 1], N at least 16.
        fixed: ``(N, N)`` in [0, 1].
        truth: the shift ``(x, y)`` at which both show the same, in pixels.
        start: the shift ``(x, y)`` at which the descent begins, in pixels.
        blurs: standard deviations of the blurs that can be chosen, in pixels.

    Attributes:
        start: ``(x, y)``, where the descent begins, in pixels.
        stages: pairs of a blur and a number of steps, one after the other.
        blur: with which it would go on.
        rate: the learning rate of all of the descent.
        view: how the two are laid over one another: ``"difference"``, ``"blend"`` or
            ``"tiles"``.
        seen: whether the photographs are shown blurred.
        basin: whether the starts that arrive are marked.

    Raises:
        ValueError: if the photographs are not square and of one size, or too small; if
            `truth` or `start` is not two finite numbers; if a stage has a blur that
            can't be chosen.
    """

    name = "register"
    start = State(numbers("start", 2), tuple)
    stages = State(
        lambda stages: [[sigma, int(steps)] for sigma, steps in stages],
        lambda stages: [tuple(stage) for stage in stages],
    )
    blur = State(float)
    rate = State(float)
    seen = State(bool)
    view = State(one_of("view", VIEWS))
    basin = State(bool)

    def __init__(
        self,
        moving: Tensor,
        fixed: Tensor,
        truth: Sequence[float],
        start: Sequence[float] = (0.0, 0.0),
        blurs: Sequence[float] = (0, 1, 2, 4, 8),
    ) -> None:
        packed = [pack(moving), pack(fixed)]
        n = len(moving)
        if moving.shape != (n, n) or fixed.shape != (n, n) or n < 16:
            raise ValueError(
                "moving and fixed must be square, of one size and at least 16 pixels "
                f"wide, got {tuple(moving.shape)} and {tuple(fixed.shape)}"
            )
        self.truth = numbers("truth", 2)(truth)
        self.moving, self.fixed = (
            (255 * image.detach().double().cpu().clamp(0, 1)).round() / 255
            for image in (moving, fixed)
        )
        self.rim, self.reach = n // 8, 3 * n // 8
        self.blurs = [float(sigma) for sigma in blurs]
        self.maps, self.misses = [], []  # for each blur
        for sigma in self.blurs:
            gram = _gram(*self._pair(sigma), self.rim)
            halves = _square(self.reach, 0.5).double()
            self.maps.append(_loss(gram, halves)[0])
            ends = _descend(gram, _square(self.reach, 1).double())
            self.misses.append((ends - torch.tensor(self.truth)).norm(dim=-1))
        self.data = {
            "moving": packed[0],
            "fixed": packed[1],
            "truth": self.truth,
            "rim": self.rim,
            "reach": self.reach,
            "blurs": self.blurs,
            "maps": [
                # The root, so that hollows are told from each other.
                pack(((m - m.min()) / (m.max() - m.min()).clamp(min=1e-12)).sqrt())
                for m in self.maps
            ],
            "misses": [pack(miss / 32) for miss in self.misses],
            "arrived": ARRIVED,
            "steps": STEPS,
            "rate": RATE,
            "rates": RATES,
        }
        self.state = {
            "start": Register.start.check(start),
            "stages": [],
            "blur": self.blurs[0],
            "rate": RATE,
            "view": "blend",
            "seen": False,
            "basin": False,
        }
        self.alt = (
            "The loss over shifts of one photograph against the other, without and "
            "with a blur, as two maps. The starts from which a descent arrives at the "
            "truth are tinted: few without a blur, most with it"
        )
        self.hint = (
            "Press anywhere on the map, or drag the pink handle, to choose a start; "
            "then play. Change the blur and play on from where it stands. From where "
            "does it arrive without a blur, and from where with one? And what does a "
            "longer step change?"
        )

    def path(self) -> Tensor:
        """Return the descent that the state says, computed by the package.

        Returns:
            ``(steps + 1, 2)`` shifts ``(x, y)`` in pixels.
        """
        half = len(self.moving) / 2
        shift = torch.tensor([self.start], dtype=torch.float64) / half
        path = [shift]
        for sigma, steps in self.stages:
            shift = shift.clone().requires_grad_()  # the path keeps the other
            moving, fixed = self._pair(sigma)
            inner = slice(self.rim, -self.rim)
            optimizer = torch.optim.Adam([shift], lr=self.rate)
            for _ in range(steps):
                grid = Translation().grid(shift, moving.shape)[:, inner, inner]
                read = sample(
                    moving[None, None], grid, padding="border", backend="manual"
                )
                loss = ((read - fixed[inner, inner]) ** 2).mean()
                (shift.grad,) = torch.autograd.grad(loss, shift)
                optimizer.step()
                path.append(shift.detach().clone())
            shift = path[-1]
        return half * torch.cat(path)

    def picture(self) -> Figure:
        """Draw the loss over shifts without a blur and with one, and who arrives."""
        shown = sorted({0, len(self.blurs) // 2 + (len(self.blurs) > 2)})
        fig, axes = plt.subplots(1, len(shown), figsize=(6.4, 3.5), squeeze=False)
        halves, whole = (
            torch.arange(-self.reach, self.reach + step, step) for step in (0.5, 1)
        )
        for ax, k in zip(axes[0], shown):
            relief = (self.maps[k] - self.maps[k].min()).sqrt()
            ax.contourf(halves, halves, relief, levels=14, cmap="Greys_r")
            arrives = (self.misses[k] < ARRIVED).double()
            tint = [(0, 0, 0, 0), COLORS["gradient"] + "88"]
            ax.contourf(whole, whole, arrives, levels=[-0.5, 0.5, 1.5], colors=tint)
            ax.plot(*self.truth, "*", color="white", mec=COLORS["ink"], markersize=14)
            blur = f"blur {self.blurs[k]:g} px" if self.blurs[k] else "no blur"
            ax.set(title=blur, aspect="equal", xlabel="shift x (pixels)")
            ax.invert_yaxis()
        axes[0, 0].set_ylabel("shift y (pixels)")
        return fig

    def _pair(self, sigma: float) -> tuple[Tensor, Tensor]:
        if sigma not in self.blurs:
            raise ValueError(f"a blur must be one of {self.blurs}, got {sigma}")
        return _blur(self.moving, sigma), _blur(self.fixed, sigma)


def _square(reach: float, step: float) -> Tensor:
    """The shifts (x, y) of a square around zero: (K, K, 2)."""
    line = torch.arange(-reach, reach + step, step)
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)


def _blur(image: Tensor, sigma: float) -> Tensor:
    """Blur an image (H, W), whose border is continued."""
    if sigma == 0:
        return image
    radius = math.ceil(3 * sigma)
    t = torch.arange(-radius, radius + 1, dtype=image.dtype)
    kernel = torch.exp(-(t**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    image = F.pad(image[None, None], (radius,) * 4, mode="replicate")
    image = F.conv2d(image, kernel.view(1, 1, 1, -1))
    return F.conv2d(image, kernel.view(1, 1, -1, 1))[0, 0]


# Descents from thousands of starts are quick to record for one reason. All points of a
# shifted grid lie equally far, (a, b), from their top left neighbours. So the
# difference of the photographs is p + q a + r b + s a b, with images p, q, r and s that
# depend on the whole part of the shift alone, and the loss is a quadratic form of
# (1, a, b, a b), whose matrix holds the means of the products of p, q, r and s.


def _gram(moving: Tensor, fixed: Tensor, rim: int) -> Tensor:
    """That matrix for every whole shift (y, x) from -N to N: (2N + 1, 2N + 1, 4, 4)."""
    n = len(moving)
    wide = F.pad(moving[None, None], (n + 1,) * 4, mode="replicate")[0, 0]
    nw, ne, sw, se = wide[:-1, :-1], wide[:-1, 1:], wide[1:, :-1], wide[1:, 1:]
    parts = [nw, ne - nw, sw - nw, nw - ne - sw + se]
    inner = fixed[rim : n - rim, rim : n - rim]

    def correlate(image: Tensor, kernel: Tensor) -> Tensor:
        """Means of products with a kernel, whose corner lies at each pixel."""
        spectrum = torch.fft.rfft2(image) * torch.fft.rfft2(kernel, image.shape).conj()
        means = torch.fft.irfft2(spectrum, image.shape) / kernel.numel()
        first = rim + 1  # where the inner part begins, shifted by -N
        return means[first : first + 2 * n + 1, first : first + 2 * n + 1]

    ones = torch.ones_like(inner)
    rows = [[correlate(one * other, ones) for other in parts] for one in parts]
    for k, part in enumerate(parts):  # p is the reading less the fixed photograph
        cross = correlate(part, inner)
        rows[0][k] = rows[0][k] - cross
        rows[k][0] = rows[k][0] - cross
    rows[0][0] = rows[0][0] + (inner**2).mean()
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _loss(gram: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor]:
    """The loss (...) at shifts (..., 2) in pixels, and its gradient (..., 2)."""
    n = len(gram) // 2
    whole = shifts.floor().clamp(-n, n)
    column, row = (whole.long() + n).unbind(-1)
    matrix = gram.flatten(0, 1)[row * len(gram) + column]
    a, b = (shifts - whole).unbind(-1)
    one, zero = torch.ones_like(a), torch.zeros_like(a)
    m = torch.stack([one, a, b, a * b], dim=-1)
    half = (matrix * m[..., None, :]).sum(dim=-1)
    slopes = [torch.stack([zero, one, zero, b], dim=-1)]
    slopes += [torch.stack([zero, zero, one, a], dim=-1)]
    along = [2 * (half * slope).sum(dim=-1) for slope in slopes]
    return (half * m).sum(dim=-1), torch.stack(along, dim=-1)


def _descend(gram: Tensor, shifts: Tensor) -> Tensor:
    """Where descents from shifts (..., 2) in pixels end."""
    n = len(gram) // 2
    shift = (shifts / (n / 2)).requires_grad_()
    optimizer = torch.optim.Adam([shift], lr=RATE)
    for _ in range(STEPS):
        shift.grad = n / 2 * _loss(gram, n / 2 * shift.detach())[1]
        optimizer.step()
    return n / 2 * shift.detach()
