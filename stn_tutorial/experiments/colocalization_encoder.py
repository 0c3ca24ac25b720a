"""What says how alike two crops are: a classifier's last layers, trained and frozen.

It is trained on digits of which no picture is made. The digits are divided once: the
encoder is trained on the first third of the training digits, the crops on the second;
what had to be chosen was chosen on the last sixth.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from stn_tutorial.data.canvases import FRAME
from stn_tutorial.data.digits import DigitSet, load_digits
from stn_tutorial.experiments.models import CNN, seeded
from stn_tutorial.experiments.training import Recipe, classification_problem, fit
from stn_tutorial.families import Attention
from stn_tutorial.sampling import sample

__all__ = [
    "FRAGMENTS",
    "NOTHING",
    "Encoder",
    "digits_for",
    "shaken",
    "train_encoder",
    "without",
]

#: What an encoder calls what is no digit.
NOTHING = 10
#: The share of fragments among the crops that it is trained on.
FRAGMENTS = 0.4


def digits_for(split: str, source: str) -> DigitSet:
    """Return the digits that an encoder or crops are trained on, or judged on.

    >>> [len(digits_for(split, "embedded")) for split in ("encoder", "crops", "test")]
    [479, 479, 360]

    Args:
        split: encoder, crops, validation, or test.
        source: mnist or embedded.

    Returns:
        The first third of the training digits, the second, the last sixth, or the test
        digits.
    """
    if split == "test":
        return load_digits("test", source)
    digits = load_digits("train", source)
    ends = {"encoder": (0, 2), "crops": (2, 4), "validation": (5, 6)}[split]
    first, last = (len(digits) * end // 6 for end in ends)
    chosen = slice(first, last)
    return DigitSet(digits.images[chosen], digits.labels[chosen], source)


class Encoder(nn.Module):
    """What a classifier sees in a 28×28 crop: its last two layers' outputs.

    These are the features of the second convolution and the scores. (The first one's
    say more of where ink is than of what it is.) Such an encoding is long for what the
    classifier recognizes, and short for what it doesn't. It is only divided by the
    usual length for digits, so that squared distances are about 1.

    >>> digits = torch.rand(8, 1, 28, 28)
    >>> encodings = Encoder(CNN((1, 28, 28), n_classes=11), digits)(digits)
    >>> encodings.shape, round(encodings.square().sum(dim=1).mean().item(), 4)
    (torch.Size([8, 139]), 1.0)

    Args:
        classifier: is used, not copied, and frozen.
        usual: ``(N, 1, 28, 28)``, digits whose mean squared length becomes 1.
    """

    usual_length: Tensor

    def __init__(self, classifier: CNN, usual: Tensor) -> None:
        super().__init__()
        self.classifier = classifier.requires_grad_(False)
        usual = usual.to(next(classifier.parameters()).device)
        squares = self._layers(usual).square().sum(dim=1)
        self.register_buffer("usual_length", squares.mean().sqrt())

    def forward(self, crops: Tensor) -> Tensor:
        """Encode crops.

        Args:
            crops: ``(N, 1, 28, 28)``.

        Returns:
            ``(N, F)``: 128 features and the scores.
        """
        return self._layers(crops) / self.usual_length

    def _layers(self, crops: Tensor) -> Tensor:
        *layers, last = self.classifier
        features = nn.Sequential(*layers)(crops)
        return torch.cat([features, last(features)], dim=1)


def shaken(
    digits: Tensor,
    labels: Tensor,
    generator: torch.Generator,
    *,
    fragments: float = FRAGMENTS,
) -> tuple[Tensor, Tensor]:
    """Return crops around digits, and of fragments of them, which get the label 10.

    A classifier of ten classes finds a digit in everything, and is as sure of half a 2
    as of a whole one: there is nothing else that it could say. One that is shown
    fragments can say that they are none.

    >>> digits, labels = torch.rand(50, 1, 28, 28), torch.zeros(50, dtype=torch.long)
    >>> crops, said = shaken(digits, labels, torch.Generator().manual_seed(0))
    >>> crops.shape, said.unique().tolist()
    (torch.Size([50, 1, 28, 28]), [0, 10])

    Args:
        digits: ``(N, 1, 28, 28)``, each in the middle of its frame.
        labels: ``(N,)``.
        generator: all that is random is drawn from it.
        fragments: the share of crops that are fragments.

    Returns:
        Crops of 0.9 to 1.6 times the frame: those of digits are off by 3 pixels at most
        along either axis, and keep their label; those of fragments are off by 9 to 22.
    """
    n = len(digits)
    unit = torch.rand(n, 5, generator=generator, device=generator.device)
    unit = unit.to(digits.device)
    side, away = 0.9 + 0.7 * unit[:, :1], 2 * unit[:, 1:3] - 1
    far = away / away.abs().amax(dim=1, keepdim=True) * (9 + 13 * unit[:, 3:4])
    is_fragment = unit[:, 4] < fragments
    off_px = torch.where(is_fragment[:, None], far, 3 * away)
    params = torch.cat([side, off_px / (FRAME / 2)], dim=1)
    crops = sample(digits, Attention().grid(params, (FRAME, FRAME)))
    return crops, torch.where(is_fragment, NOTHING, labels)


@lru_cache(maxsize=12)
def train_encoder(
    kind: str = "all",
    *,
    digit: int | None = None,
    data: str = "mnist",
    seed: int = 0,
    epochs: int = 1,
) -> tuple[CNN, dict[str, Any]]:
    """Train the classifier of an encoder, on digits that no picture is made of.

    Args:
        kind: all ten classes and fragments, all `others` than `digit` and fragments,
            all ten without fragments (whole), all ten as they come, neither moved nor
            scaled (closed), or random: not trained.
        digit: the class that is left out, or None; only `others` is meant to have one.
        data: mnist or embedded.
        seed: of the weights and the order.
        epochs: of the training.

    Returns:
        The paper's CNN, and what a result says of it: the classes and the number of
        digits that it was trained on, with their checksum, and its error on the test
        digits of these classes, as they come, in percent.
    """
    n_classes = 10 if kind in ("closed", "whole") else 11
    fragments = 0.0 if kind == "whole" else FRAGMENTS
    with seeded(seed):
        classifier = CNN((1, FRAME, FRAME), n_classes=n_classes)
    said = {"kind": kind, "classes": [], "digits": 0, "sha256": "", "test_error": 90.0}
    if kind == "random":
        return classifier.eval(), said
    digits, test = (
        without(digits_for(split, data), digit) for split in ("encoder", "test")
    )
    problem = classification_problem(
        (digits.images, digits.labels),
        (test.images, test.labels),
        prepare=None if kind == "closed" else partial(shaken, fragments=fragments),
    )
    recipe = Recipe(epochs=epochs, batch_size=64, lr=2e-3, seed=seed)
    done = fit(classifier, problem, recipe, evaluate_every=epochs)
    return done.model, {
        "kind": kind,
        "classes": digits.labels.unique().tolist(),
        "digits": len(digits),
        "sha256": digits.checksum,
        "test_error": done.test_error,
    }


def without(digits: DigitSet, digit: int | None) -> DigitSet:
    """Return the digits of all other classes.

    >>> 3 in without(digits_for("test", "embedded"), 3).labels
    False

    Args:
        digits: of all classes.
        digit: the class that is left out; None leaves out none.

    Returns:
        The others, in their order.
    """
    if digit is None:
        return digits
    kept = digits.labels != digit
    return DigitSet(digits.images[kept], digits.labels[kept], digits.source)
