"""Images that need no download: scikit-learn's two photographs and its digits.

The photographs are *china.jpg* and *flower.jpg*, both CC BY 2.0: show their `CREDITS`
wherever they are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_tutorial._validate import check_choice, check_size

__all__ = ["CREDITS", "embedded_digits", "photograph"]

#: What to write wherever a photograph is shown.
CREDITS = {
    "china": "Photograph: danielbuechele (Flickr), CC BY 2.0, from scikit-learn.",
    "flower": "Photograph: vultilion (Flickr), CC BY 2.0, from scikit-learn.",
}


def photograph(name: str = "china", size: Sequence[int] | None = None) -> Tensor:
    """Return a photograph.

    >>> photograph("flower", size=(60, 90)).shape
    torch.Size([1, 3, 60, 90])

    Args:
        name: ``"china"`` or ``"flower"``.
        size: ``(H, W)`` to shrink it to, by averaging areas; the default is the
            original, ``(427, 640)``.

    Returns:
        ``(1, 3, H, W)`` float32 in [0, 1].

    Raises:
        ValueError: if there is no photograph of that name, or `size` is not
            ``(H, W)``, each at least 1.
        TypeError: if `size` is not made of integers.
    """
    check_choice(name, "name", tuple(CREDITS))
    if size is not None:
        size = check_size(size, "size")
    pixels = torch.from_numpy(_datasets().load_sample_image(f"{name}.jpg").copy())
    image = pixels.permute(2, 0, 1)[None].float() / 255
    return image if size is None else _resize(image, size).clamp(0, 1)


def embedded_digits(size: Sequence[int] = (28, 28)) -> tuple[Tensor, Tensor]:
    """Return scikit-learn's 1,797 handwritten digits, enlarged from 8×8.

    Like MNIST's, they fill the middle 20/28 of the frame, and the margin is black.

    >>> images, labels = embedded_digits()
    >>> images.shape, labels[:5].tolist()
    (torch.Size([1797, 1, 28, 28]), [0, 1, 2, 3, 4])

    Args:
        size: ``(H, W)`` of the images.

    Returns:
        Images ``(1797, 1, H, W)``, float32 in [0, 1], and labels ``(1797,)``, int64.

    Raises:
        ValueError: if `size` is not ``(H, W)``, each at least 1.
        TypeError: if `size` is not made of integers.
    """
    images, labels = _all_digits(check_size(size, "size"))
    return images.clone(), labels.clone()


@lru_cache(maxsize=4)
def _all_digits(size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    height, width = size
    bunch = _datasets().load_digits()
    images = torch.from_numpy(bunch.images).float()[:, None] / 16
    inner = (max(1, round(height * 20 / 28)), max(1, round(width * 20 / 28)))
    images = _resize(images, inner).clamp(0, 1)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    images = F.pad(
        images, (left, width - inner[1] - left, top, height - inner[0] - top)
    )
    return images, torch.from_numpy(bunch.target).long()


def _resize(image: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(
        image, size, mode="bilinear", align_corners=False, antialias=True
    )


def _datasets() -> ModuleType:
    """scikit-learn's data sets, imported where they are needed: that takes a second."""
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            "the embedded images need scikit-learn: pip install 'stn-tutorial[course]'"
        ) from error
    return datasets
