"""Ways to a digit's box without training: what a co-localizer must be better than."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_tutorial.data.canvases import FRAME, SIZE
from stn_tutorial.experiments.colocalization_encoder import NOTHING
from stn_tutorial.experiments.models import CNN

__all__ = ["BASELINES"]

#: What random frames are drawn with.
_SEED = 2015


def _middle(images: Tensor, classifier: CNN) -> Tensor:
    """The frame in the middle."""
    return torch.full((len(images), 2), (SIZE - FRAME) / 2.0)


def _anywhere(images: Tensor, classifier: CNN) -> Tensor:
    """A frame at random."""
    draw = torch.Generator().manual_seed(_SEED)
    return (SIZE - FRAME) * torch.rand(len(images), 2, generator=draw)


def _most_ink(images: Tensor, classifier: CNN) -> Tensor:
    """The window that holds most ink; the middle of them, if several hold as much."""
    ink = F.avg_pool2d(images / 255, (FRAME, 1), stride=1)  # one axis after the other
    ink = F.avg_pool2d(ink, (1, FRAME), stride=1)
    ties = (ink >= ink.amax(dim=(2, 3), keepdim=True) - 1e-5)[:, 0].float()
    steps = torch.arange(ties.shape[-1], dtype=torch.float32)
    total = ties.sum(dim=(1, 2))
    x, y = (ties.sum(dim=axis) @ steps / total for axis in (1, 2))
    return torch.stack([x, y], dim=1)


def _most_confident(images: Tensor, classifier: CNN) -> Tensor:
    """The window, every 4 pixels, that the classifier is surest to be of some class.

    Its layers are convolutions but the last, which is one with a kernel of 2×2.
    """
    *features, _, last = classifier
    features = nn.Sequential(*features)
    weight = last.weight.unflatten(1, (-1, 2, 2))
    found = []
    with torch.inference_mode():
        for part in images.split(100):
            part = part.to(weight.device)
            scores = F.conv2d(features(part / 255), weight, last.bias)
            sure = scores.softmax(dim=1)[:, :NOTHING].amax(dim=1)
            best = sure.flatten(1).argmax(dim=1)
            row, column = best // scores.shape[-1], best % scores.shape[-1]
            found.append(4.0 * torch.stack([column, row], dim=1))
    return torch.cat(found).to(images.device)


#: Ways to a box of 28×28 without training; they know its size. From pictures, uint8,
#: and the encoder's classifier to the frames' upper left corners ``(N, 2)``: x, y.
BASELINES = {
    "middle": _middle,
    "anywhere": _anywhere,
    "most ink": _most_ink,
    "most confident": _most_confident,
}
