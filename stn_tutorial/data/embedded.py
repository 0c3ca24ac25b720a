"""Images that need no download: scikit-learn's two photographs and its digits.

The photographs are *china.jpg* and *flower.jpg*, both CC BY 2.0: show their `CREDITS`
wherever they are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits, load_sample_image
from torch import Tensor

__all__ = ["CREDITS", "embedded_digits", "photograph"]

#: What to write wherever a photograph is shown.
CREDITS = {
    "china": "Photograph: danielbuechele (Flickr), CC BY 2.0, from scikit-learn.",
    "flower": "Photograph: vultilion (Flickr), CC BY 2.0, from scikit-learn.",
}


def photograph(name: str = "china", size: Sequence[int] | None = None) -> Tensor:
    """Return a photograph.

    Args:
        name: ``"china"`` or ``"flower"``.
        size: ``(H, W)`` to shrink it to, by averaging areas; the default is the
            original, ``(427, 640)``.

    Returns:
        ``(1, 3, H, W)`` float32 in [0, 1].

    Raises:
        ValueError: if there is no photograph of that name.
    """
    if name not in CREDITS:
        raise ValueError(f"name must be one of {tuple(CREDITS)}, got {name!r}")
    pixels = torch.from_numpy(load_sample_image(f"{name}.jpg").copy())
    image = pixels.permute(2, 0, 1)[None].float() / 255
    if size is None:
        return image
    return _resize(image, size).clamp(0, 1)


@lru_cache(maxsize=4)
def _all_digits(height: int, width: int) -> tuple[Tensor, Tensor]:
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float()[:, None] / 16
    inner = (round(height * 20 / 28), round(width * 20 / 28))
    images = _resize(images, inner).clamp(0, 1)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    images = F.pad(
        images, (left, width - inner[1] - left, top, height - inner[0] - top)
    )
    return images, torch.from_numpy(bunch.target).long()


def embedded_digits(size: Sequence[int] = (28, 28)) -> tuple[Tensor, Tensor]:
    """Return scikit-learn's 1,797 handwritten digits, enlarged from 8×8.

    Like MNIST's, they fill the middle 20/28 of the frame, and the margin is black.

    Args:
        size: ``(H, W)`` of the images.

    Returns:
        Images ``(1797, 1, H, W)``, float32 in [0, 1], and labels ``(1797,)``, int64.
    """
    images, labels = _all_digits(*size)
    return images.clone(), labels.clone()


def _resize(image: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(
        image, tuple(size), mode="bilinear", align_corners=False, antialias=True
    )
