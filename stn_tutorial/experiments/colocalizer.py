"""A spatial transformer whose crops a frozen encoder compares, and their boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_tutorial.data.canvases import FRAME, SIZE
from stn_tutorial.experiments.training import predict
from stn_tutorial.experiments.views import bounding_boxes
from stn_tutorial.families import Attention, Described
from stn_tutorial.transformer import SpatialTransformer

__all__ = ["Colocalizer", "CropInside", "found_boxes"]


class CropInside(Described):
    """A crop of a fixed size that can't leave the picture: an attention with one rule.

    Its two parameters run from -1 to 1: at the left or upper edge, and at the right or
    lower one. Beyond the picture, all is black, and nothing is as alike as black.

    >>> CropInside(0.25).grid(torch.tensor([[1.0, -1.0]]), (2, 2))[0, 0].tolist()
    [[0.625, -0.875], [0.875, -0.875]]

    Args:
        scale: side of the crop over that of the picture.
    """

    n_params = 2

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def identity(self) -> Tensor:
        """Return the parameters of the crop from the middle: zeros.

        Returns:
            ``(2,)``.
        """
        return torch.zeros(2)

    def attention(self, params: Tensor) -> Tensor:
        """Return the same crops as parameters of `stn_tutorial.Attention`.

        >>> CropInside(0.25).attention(torch.tensor([[1.0, -1.0]])).tolist()
        [[0.25, 0.75, -0.75]]

        Args:
            params: ``(N, 2)``.

        Returns:
            ``(N, 3)``: s, x and y.
        """
        scale = params.new_full((len(params), 1), self.scale)
        return torch.cat([scale, (1 - self.scale) * params], dim=1)

    def grid(
        self, params: Tensor, size: Sequence[int], *, align_corners: bool = False
    ) -> Tensor:
        """Return the input coordinates to sample; see `stn_tutorial.families.Family`.

        Args:
            params: ``(N, 2)``.
            size: ``(H, W)`` of the output.
            align_corners: the convention of the normalized coordinates.

        Returns:
            ``(N, H, W, 2)`` normalized input points.
        """
        crops = self.attention(params)
        return Attention().grid(crops, size, align_corners=align_corners)


class Colocalizer(nn.Module):
    """A spatial transformer that crops, and a frozen encoder that looks at the crops.

    Training goes from coarse to fine in its first part (`along` from 0 to 1). The crops
    shrink: a large one is seldom far from what it looks for, a small one says where
    that is. As long, crops are cut out of blurred pictures, whose encodings change more
    steadily with the place; and the pull of other crops grows, see
    `stn_tutorial.experiments.triplet_loss`.

    Args:
        localization: from pictures to ``(N, 2)``; a tanh makes parameters of
            `CropInside` of it.
        encoder: from crops of 28×28 to ``(N, F)``; it is not trained.
        scales: side of the crops over the picture's, at the start and at the end.
        passes: batches of training in the first part.
    """

    passed: Tensor

    def __init__(
        self,
        localization: nn.Module,
        encoder: nn.Module,
        *,
        scales: tuple[float, float] = (0.5, FRAME / SIZE),
        passes: int = 1,
    ) -> None:
        super().__init__()
        self.scales, self.passes = scales, passes
        self.register_buffer("passed", torch.tensor(0))
        inside = nn.Sequential(localization, nn.Tanh())
        self.transformer = SpatialTransformer(inside, self.family, (FRAME, FRAME))
        self.encoder = encoder.requires_grad_(False)

    @property
    def along(self) -> float:
        """How far training is in its first part, from 0 to 1."""
        return min(1.0, self.passed.item() / self.passes)

    @property
    def family(self) -> CropInside:
        """The crops of the size that they have by now."""
        start, end = self.scales
        return CropInside(start + (end - start) * self.along)

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """Encode the crop of each picture, and a random patch as large as the crop.

        Args:
            inputs: pictures ``(N, 1, H, W)``, and ``(N, 2)`` random numbers from -1 to
                1: where the patches lie, as parameters of `CropInside`.

        Returns:
            ``(N, 2, F)``: of the crops, and of the patches.
        """
        images, elsewhere = inputs
        self.transformer.family = self.family
        params = self.transformer.params(images), elsewhere
        if self.training and self.along < 1:
            images = F.avg_pool2d(images, 5, stride=1, padding=2)
        crops = [self.transformer.warp(images, each) for each in params]
        if self.training:
            self.passed += 1
        return self.encoder(torch.cat(crops)).unflatten(0, (2, -1)).transpose(0, 1)


def found_boxes(model: Colocalizer, images: Tensor) -> Tensor:
    """Return the boxes of the crops, in the size that they have by now.

    Args:
        model: whose transformer crops.
        images: ``(N, 1, H, W)``, uint8 or in [0, 1].

    Returns:
        ``(N, 4)``: left, top, right and bottom, in pixels; see
        `stn_tutorial.experiments.views.bounding_boxes`.
    """
    pictures = images / 255 if images.dtype == torch.uint8 else images
    params = predict(model.transformer.localization, pictures)
    return bounding_boxes(model.family, params, tuple(images.shape[-2:]))
