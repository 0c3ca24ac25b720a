"""Checks of the chapter on sampling: an image between its pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from stn_tutorial.coordinates import base_grid, to_normalized
from stn_tutorial.course.checks._grading import (
    Cases,
    Wrong,
    as_tensors,
    choose,
    compare,
    is_open,
    leave_open,
)
from stn_tutorial.sampling import sample

__all__ = [
    "at_the_right_edge",
    "contrast_after_shift",
    "free_weights",
    "repaired_sampler",
    "upsampled",
    "where_zeros_darken",
]


def at_the_right_edge(answers: Mapping[str, Any]) -> None:
    """Check predictions of what is sampled half a pixel right of the last centre.

    Args:
        answers: for ``"zeros"``, ``"border"``, ``"reflection"`` and
            ``"reflection, align_corners=True"``, the value at ``x = W - 0.5`` in a
            row that ends with 2 and 6.

    Raises:
        Open: if one has no answer, in the strict mode.
        Wrong: if a key is missing, or a value is no number or not that of `sample`.
    """
    row = torch.tensor([[4.0, 2.0, 6.0]]).expand(3, 3)[None, None]
    point = torch.tensor([[[[2.5, 1.0]]]])
    for key in ("zeros", "border", "reflection", "reflection, align_corners=True"):
        if key not in answers:
            raise Wrong(f"there is no answer for {key!r}")
        answer = answers[key]
        if is_open(answer):
            return leave_open(f"{key}.")
        padding, align_corners = key.split(",")[0], key.endswith("True")
        grid = to_normalized(point, (3, 3), align_corners=align_corners)
        right = sample(row, grid, padding=padding, align_corners=align_corners)
        try:
            number = float(answer)
        except (TypeError, ValueError):
            raise Wrong(f"with {key}: answer with a number, not {answer!r}") from None
        if not abs(number - right.item()) <= 1e-3:
            raise Wrong(
                f"with {key}, {answer} is not the value there.\nHint: "
                "find the two columns on either side of x = W - 0.5, and ask the "
                "padding for the value of the one that is outside."
            )
    print("Correct, on 4 samples.")


def contrast_after_shift(attempt: Callable[[float], float]) -> None:
    """Check ``attempt(shift)``: the contrast of a chequerboard, `shift` pixels on.

    The chequerboard is -1 and 1 in turn; its contrast is the largest absolute value
    sampled, away from the edges.
    """
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    board = ((rows + columns) % 2 * 2.0 - 1)[None, None].double()

    def reference(shift: float) -> Tensor:
        grid = base_grid((16, 16), dtype=torch.float64)[None]
        read = sample(board, grid + torch.tensor([shift * 2 / 16, 0.0]).double())
        return read[..., 4:8, 4:8].abs().amax()

    hint = (
        "mix two neighbours of opposite sign with weights 1 - s and s. And what is "
        "sampled a whole pixel further on? (The cosine of omega / 2 holds for half a "
        "pixel; cos(pi s) is right at 0, 0.5 and 1, and only there.)"
    )
    cases = [(s,) for s in (0.0, 0.5, 0.25, 0.8, 1.0, 1.5, 2.0, 3.3)]
    compare(as_tensors(attempt), reference, cases, hint)


def free_weights(answer: Any) -> None:
    """Check how many weights of three neighbours constants and ramps leave free."""
    neighbours = torch.tensor([-1.0, 0.0, 1.0])
    tests = torch.stack([torch.ones(3), neighbours])  # what the weights must satisfy
    right = len(neighbours) - int(torch.linalg.matrix_rank(tests))
    hint = (
        "count the unknowns, and the equations: constants give p + q + r = 1, and a "
        "ramp gives a second one."
    )
    choose(answer, right, range(4), hint)


def repaired_sampler(attempt: Callable[..., Tensor]) -> None:
    """Check ``attempt(image, points)``: bilinear sampling of (H, W), zeros outside."""

    def cases(draw: Generator) -> Cases:
        for height, width in ((5, 5), (4, 9), (12, 3)):
            image = torch.rand(height, width, generator=draw)
            size = torch.tensor([width, height])
            yield image, torch.rand(6, 7, 2, generator=draw) * (size + 2) - 1.5

    def reference(image: Tensor, points: Tensor) -> Tensor:
        grid = to_normalized(points, image.shape)[None]
        return sample(image[None, None], grid)[0, 0]

    hint = (
        "sample a ramp that rises along x alone, then one along y alone: which "
        "fraction belongs to which direction?"
    )
    compare(attempt, reference, cases, hint)


def upsampled(attempt: Callable[..., Tensor]) -> None:
    """Check ``attempt(image, size, align_corners)``: resizing by sampling."""

    def cases(draw: Generator) -> Cases:
        for align_corners in (False, True):
            for small, large in (((4, 4), (8, 8)), ((3, 5), (10, 7)), ((6, 2), (6, 9))):
                yield torch.rand(2, 3, *small, generator=draw), large, align_corners

    def reference(image: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
        return F.interpolate(image, size, mode="bilinear", align_corners=align_corners)

    hint = (
        "the base grid of the *output* size, in the given convention; and think "
        "of what is sampled outside the centres."
    )
    compare(attempt, reference, cases, hint)


def where_zeros_darken(answer: Any) -> None:
    """Check a prediction: where zero padding darkens an image enlarged by sampling."""
    grid = base_grid((12, 12))[None]
    darker = sample(torch.ones(1, 1, 4, 4), grid)[0, 0] < 0.999
    found = {
        (False, False): "nowhere",
        (True, False): "along the edges",
        (True, True): "everywhere",
    }
    hint = (
        "enlarge an image of ones from 4 to 12 pixels, with padding='zeros' and "
        "align_corners=False, and print it."
    )
    right = found[bool(darker[0, 6]), bool(darker[6, 6])]
    choose(answer, right, found.values(), hint)
