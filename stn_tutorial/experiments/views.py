"""Where a trained transformer looks: theta on pictures of any size, in their pixels.

A network sees a picture in the size that it was trained on. Theta is in the normalized
coordinates of that input, so that it can be taken to the picture that the input was
made of, and on to any other that shows the same scene: a larger one, or a mask.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stn_tutorial.coordinates import base_grid, to_pixels
from stn_tutorial.data.distortions import DISTORTIONS
from stn_tutorial.data.pictures import BACKGROUNDS, Preparation, open_picture
from stn_tutorial.experiments.distorted_digits import load_model
from stn_tutorial.experiments.models import check_transformed
from stn_tutorial.experiments.own_pictures import is_of_pictures, load_trained
from stn_tutorial.families import Family, MatrixFamily, family_for_image
from stn_tutorial.sampling import sample
from stn_tutorial.thin_plate_spline import ThinPlateSpline

__all__ = ["Look", "Looker", "as_tensor", "bounding_boxes", "correlation", "outline"]

#: Points on each side of an outline.
SIDE = 16
#: Pixels on the longer side of what is made of another picture, at most.
LARGEST = 4096


@dataclass(frozen=True, eq=False)
class Look:
    """What a transformer does to a picture.

    Attributes:
        size: ``(width, height)`` of the picture.
        params: ``(n_params,)``, normalized output to normalized input of the network.
        outline: ``(64, 2)``: the output's edge in the picture, ``(x, y)`` in pixels of
            it, of which the first one's centre is ``(0, 0)``; round, from the output's
            upper left corner on. What is beyond the horizon of a projective warp is
            infinite.
        output: ``(C, h, w)`` in [0, 1], what the classifier gets.
        said: the class that it finds.
        share: the probability that it gives that class.
    """

    size: tuple[int, int]
    params: Tensor
    outline: Tensor
    output: Tensor
    said: str
    share: float

    @property
    def corners(self) -> Tensor:
        """The outline's four corners, ``(4, 2)``."""
        return self.outline[::SIDE]

    def outline_in(self, size: tuple[int, int]) -> Tensor:
        """Return the outline in another picture that shows the same.

        Args:
            size: ``(width, height)`` of the other picture.

        Returns:
            ``(64, 2)`` in its pixels.
        """
        scale = torch.tensor(size) / torch.tensor(self.size)
        return (self.outline + 0.5) * scale - 0.5


class Looker:
    """A trained classifier with a transformer, and how it wants its pictures.

    Args:
        folder: of a run on digits or on pictures of one's own.

    Raises:
        ValueError: if the folder holds no checkpoint, or none of a transformer.
    """

    def __init__(self, folder: Path) -> None:
        if is_of_pictures(folder):
            trained = load_trained(folder)
            config, model, self.classes = trained.config, trained.model, trained.classes
            self.preparation = Preparation(
                *config.in_size, config.colours, config.fit, config.background
            )
        else:
            config, model = load_model(folder)
            self.classes = tuple("0123456789")
            size = DISTORTIONS[config.distortion].size
            self.preparation = Preparation(*size, "grey")
        check_transformed(model, folder, config.model)
        self.model = model

    @property
    def family(self) -> Family:
        """Of the transformer's warps."""
        return self.model.transformer.family

    def look(self, path: Path, *, inverted: bool = False) -> Look:
        """Show the network a picture.

        Args:
            path: of the picture.
            inverted: exchange light and dark first.

        Returns:
            What becomes of it.

        Raises:
            FileNotFoundError: if there is no such picture.
            ValueError: if it can't be read.
        """
        enough = 2 * self.preparation.width, 2 * self.preparation.height
        prepare = self.preparation
        if inverted:  # the bars and what is transparent, too
            other = {"black": "white", "white": "black"}[prepare.background]
            prepare = replace(prepare, background=other)
        prepared = prepare(open_picture(path, least=enough)) / 255
        size = open_picture(path).size
        images = (1 - prepared if inverted else prepared)[None]
        with torch.inference_mode():
            params = self.model.transformer.params(images)
            output = self.model.transformer.warp(images, params)
            shares = self.model.classifier(output).softmax(1)[0]
        best = int(shares.argmax())
        left, top, right, bottom = self.preparation.seen(size)
        steps = torch.tensor([right - left, bottom - top]) / 2
        edge = outline(self.family, params)[0]
        points = torch.tensor([left, top]) + steps * (edge + 1)
        return Look(
            size,
            params[0].clone(),
            points - 0.5,
            output[0].clone(),
            self.classes[best],
            float(shares[best]),
        )

    def apply(self, look: Look, other: Tensor) -> Tensor:
        """Do to another picture what the transformer does to the one that it saw.

        The other one shows the same scene, in whatever resolution. What is made of it
        has about as many pixels as it has within the outline.

        Args:
            look: of the picture that the network saw.
            other: ``(C, H, W)`` in [0, 1].

        Returns:
            ``(C, h, w)``, in the proportions of the transformer's output.
        """
        size = other.shape[-1], other.shape[-2]
        rows, columns = look.output.shape[-2:]
        area = _area(look.outline_in(size))
        scale = math.sqrt(area / (rows * columns)) if math.isfinite(area) else 1.0
        scale = min(scale, LARGEST / max(rows, columns))
        out_size = max(1, round(rows * scale)), max(1, round(columns * scale))
        grid = self.family.grid(look.params[None], out_size)
        # From the network's input to the picture, of which the other has the frame.
        left, top, right, bottom = self.preparation.seen(look.size)
        whole = torch.tensor(look.size)
        middle = torch.tensor([left + right, top + bottom]) / whole - 1
        grid = middle + grid * torch.tensor([right - left, bottom - top]) / whole
        fill = BACKGROUNDS[self.preparation.background] / 255
        return sample(other[None], grid, fill=fill)[0]

    def describe(self, path: Path, look: Look) -> dict[str, Any]:
        """Return what is known of a look, ready for JSON.

        Args:
            path: of the picture.
            look: at it.

        Returns:
            The picture and its size, the class and its share, the family, its
            parameters, theta as a matrix if it is one, and the corners of the box (and
            the outline, if it is curved) in the picture's pixels; null if infinite.
        """
        family, params = self.family, look.params
        said = {
            "picture": str(path),
            "size": list(look.size),
            "class": look.said,
            "share": round(look.share, 4),
            "family": repr(family),
            "params": params.tolist(),
        }
        if isinstance(family, MatrixFamily):
            matrix = family.matrix(params)
            flat = torch.equal(matrix[2], torch.tensor([0.0, 0.0, 1.0]))
            said["theta"] = matrix[: 2 if flat else 3].tolist()
        said["box"] = _finite(look.corners)
        if isinstance(family, ThinPlateSpline):
            said["outline"] = _finite(look.outline)
        return said


def outline(family: Family, params: Tensor) -> Tensor:
    """Return the edge of the output in the input, both normalized.

    >>> from stn_tutorial.families import Attention
    >>> outline(Attention(), torch.tensor([[0.5, 0.0, 0.0]]))[0, ::16].tolist()
    [[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]

    Args:
        family: of the warps.
        params: ``(N, n_params)``, normalized output to normalized input.

    Returns:
        ``(N, 64, 2)`` points, round from the output's upper left corner on.
    """
    size = (SIDE + 1, SIDE + 1)
    if isinstance(family, ThinPlateSpline):
        return family.at(params, _round(base_grid(size, align_corners=True)))
    # A matrix takes points where it takes them, whatever the convention of the grid.
    grid = family.grid(params, size, align_corners=True)
    return _round(grid.movedim(0, 2)).movedim(1, 0)


def bounding_boxes(
    family: Family,
    params: Tensor,
    size: tuple[int, int],
    *,
    align_corners: bool = False,
) -> Tensor:
    """Return the upright boxes around what transformers sample, in pixels of the input.

    A crop is such a box itself; what is rotated or bent has one around it.

    >>> from stn_tutorial.families import Attention
    >>> bounding_boxes(Attention(), torch.tensor([[0.5, 0.5, 0.0]]), (84, 84)).tolist()
    [[41.5, 20.5, 83.5, 62.5]]

    Args:
        family: of the warps.
        params: ``(N, n_params)``, normalized output to normalized input.
        size: ``(H, W)`` of the input.
        align_corners: the convention that the transformer works in. With True, the box
            goes through the centres of the pixels at the output's rim.

    Returns:
        ``(N, 4)``: left, top, right and bottom, in pixels of which the first one's
        centre is (0, 0), so that its edges are at -0.5 and 0.5.
    """
    family = family_for_image(family, size, align_corners=align_corners)
    edge = to_pixels(outline(family, params), size, align_corners=align_corners)
    return torch.cat([edge.amin(dim=1), edge.amax(dim=1)], dim=1)


def correlation(ours: Tensor, theirs: Tensor) -> float:
    """Return how one measure of many pictures follows another, by Pearson.

    >>> x = torch.arange(5)
    >>> round(correlation(x, 3 - 2 * x), 2), correlation(x, torch.ones(5))
    (-1.0, 0.0)

    Args:
        ours: ``(N,)``, such as the x of the middles of windows.
        theirs: ``(N,)``, such as the x of what should be in them.

    Returns:
        From -1 to 1; 0 if one of the two is constant, and follows nothing.
    """
    both = torch.stack([ours, theirs]).double()
    if both.std(dim=1, correction=0).min() < 1e-6:
        return 0.0
    return torch.corrcoef(both)[0, 1].item()


def as_tensor(picture: Image.Image, most: int | None = None) -> Tensor:
    """Return a picture as a tensor.

    >>> tuple(as_tensor(Image.new("L", (40, 30)), most=20).shape)
    (1, 15, 20)

    Args:
        picture: in Pillow's modes L, LA, RGB or RGBA.
        most: of pixels on its longer side; larger ones are made smaller.

    Returns:
        ``(C, H, W)`` in [0, 1].
    """
    if most and max(picture.size) > most:
        picture = picture.copy()
        picture.thumbnail((most, most))
    array = np.array(picture).reshape(picture.height, picture.width, -1)
    return torch.from_numpy(array).movedim(-1, 0) / 255


def _round(square: Tensor) -> Tensor:
    """The edge of a grid (n, n, 2), round from the upper left, no point twice."""
    top, right = square[0, :-1], square[:-1, -1]
    bottom, left = square[-1, 1:].flip(0), square[1:, 0].flip(0)
    return torch.cat([top, right, bottom, left])


def _area(points: Tensor) -> float:
    """What a closed line encloses; the shoelace formula."""
    (x, y), (u, v) = points.T, points.roll(-1, 0).T
    return abs(float((x * v - u * y).sum())) / 2


def _finite(points: Tensor) -> list[list[float] | None]:
    return [
        [round(x, 3), round(y, 3)] if math.isfinite(x) and math.isfinite(y) else None
        for x, y in points.tolist()
    ]
