"""Pixels in one byte each, and checksums of tensors."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

__all__ = ["as_bytes", "checksum_of"]


def as_bytes(images: Tensor) -> Tensor:
    """Return images in one byte a pixel.

    >>> as_bytes(torch.tensor([0.0, 0.5, 1.0, 1.5])).tolist()
    [0, 128, 255, 255]

    Args:
        images: of any shape, floating; what is below 0 or above 1 is cut off.

    Returns:
        The same shape, uint8: 0 to 255 for 0 to 1, rounded.
    """
    return (255 * images.clamp(0, 1)).round().to(torch.uint8)


def checksum_of(*tensors: Tensor) -> str:
    """Return the SHA-256 of tensors' bytes, one after the other, in hexadecimal.

    >>> checksum_of(torch.zeros(2), torch.arange(3))[:16]
    'bd2fbb4b3dcb9759'

    Args:
        tensors: of any shapes, types and devices.

    Returns:
        64 characters.
    """
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
