"""A training as a film: where a spatial transformer samples, moment by moment.

The ST-CNN of *Train a spatial transformer* on RTS, recorded while it trains, and the
same run with one thing wrong. Theta *is* the warp, so that a few hundred numbers a
moment are enough to show the training again, without any weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.distortions import fixed_test_set
from stn_tutorial.experiments.cells import miniature
from stn_tutorial.experiments.distorted_digits import RESULT, Config, run
from stn_tutorial.experiments.models import seeded
from stn_tutorial.experiments.recording import at_steps, packed, rounded
from stn_tutorial.experiments.results import Seed, check_cell
from stn_tutorial.experiments.training import Recipe, error_rate

__all__ = ["CONFIG", "MOMENTS", "RUNS", "Film", "films", "theta_at"]

#: How the run of the chapter on training is made.
CONFIG = Config(
    "st-cnn",
    distortion="RTS",
    out_size=28,
    budget=30_000,
    limit=6000,
    recipe=Recipe(epochs=12, batch_size=64, lr=0.008, localization_lr_ratio=0.3),
)
#: By name, the localization network's learning rate over the rest's, and whether its
#: last layer keeps PyTorch's random start instead of the identity.
RUNS = {
    "as in the chapter": (0.3, False),
    "random start": (0.3, True),
    "ten times the rate": (3.0, False),
}
#: When theta is recorded, in epochs, often at first, where most happens.
MOMENTS = (
    *(0, 0.125, 0.25, 0.375, 0.5, 0.75, 1, 1.25, 1.5, 2),
    *(2.5, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
)
#: Of how many test digits theta is recorded, how many of these are kept as pictures,
#: and on how many the error is measured.
WATCHED, PICTURES, TESTED = 120, 12, 2000


@dataclass(frozen=True)
class Film:
    """A recorded run.

    >>> Film("ten times the rate").config().recipe.localization_lr_ratio
    3.0

    Attributes:
        run: one of `RUNS`.
        seed: of weights, order and distortions.

    Raises:
        TypeError: if `run` is no string, or the seed no integer.
        ValueError: if there is no such run.
    """

    RESULT: ClassVar[dict[str, Any]] = {
        **{key: part for key, part in RESULT.items() if key != "misclassified?"},
        "film": [{"epoch": float, "error": float, "theta": [str, ...]}, ...],
        "digits": {
            "label": [int],
            "angle_deg": [float],
            "scale": [float],
            "shift_px": [[float]],
            "size": int,
            "pictures": [str],
        },
    }

    run: str
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, run=RUNS)

    @property
    def name(self) -> str:
        """The name of the run's file, such as ``random-start-0``."""
        return f"{self.run.replace(' ', '-')}-{self.seed}"

    def config(self, *, quick: bool = False) -> Config:
        """Return the configuration of the run.

        Args:
            quick: of a miniature: few embedded digits, two epochs.

        Returns:
            What to give to `stn_tutorial.experiments.distorted_digits.run`.
        """
        ratio = RUNS[self.run][0]
        recipe = replace(CONFIG.recipe, seed=self.seed, localization_lr_ratio=ratio)
        config = replace(CONFIG, data="mnist", recipe=recipe)
        return miniature(config, limit=64, batch_size=16) if quick else config

    def measure(
        self, checkpoints: Path, *, progress: bool = False, quick: bool = False
    ) -> dict[str, Any]:
        """Run it, from the start: what a killed run has recorded is lost.

        Args:
            checkpoints: not used.
            progress: show a bar.
            quick: see `config`.

        Returns:
            The run's result, with the ``film``: at each of `MOMENTS` the error in
            percent on the first `TESTED` test digits, and theta of the first `WATCHED`,
            six numbers with three digits behind the point; and with what is true of
            these ``digits``, and the first `PICTURES` of them, one byte a pixel, in
            base64.
        """
        config = self.config(quick=quick)
        test = load_digits("test", config.data)
        distorted = fixed_test_set(test.images, config.distortion)
        tested = distorted.images[:TESTED], test.labels[:TESTED]
        steps = -(-config.limit // config.recipe.batch_size)
        film = []

        def look(step: int, model: nn.Module) -> None:
            error = error_rate(model, *tested)
            with torch.inference_mode():
                device = next(model.parameters()).device
                theta = model.transformer.params(tested[0][:WATCHED].to(device))
            moment = {"epoch": step / steps, "error": error}
            rows = rounded(theta.cpu(), 3)  # as text, a line of JSON each
            film.append({**moment, "theta": [" ".join(map(str, row)) for row in rows]})

        def on_epoch(epoch: int, model: nn.Module) -> None:
            if epoch == 0:
                if RUNS[self.run][1]:
                    with seeded(self.seed):
                        model.transformer.localization[-1].reset_parameters()
                at_steps(model, {round(steps * moment) for moment in MOMENTS}, look)
            elif epoch == config.recipe.epochs:
                look(epoch * steps, model)

        done = run(config, on_epoch=on_epoch, progress=progress)
        kept = {k: part for k, part in done.result.items() if k != "misclassified"}
        truth = {key: value[:WATCHED] for key, value in distorted.truth.items()}
        digits = {
            "label": test.labels[:WATCHED].tolist(),
            "angle_deg": rounded(truth["angle"].rad2deg(), 1),
            "scale": rounded(truth["scale"], 3),
            "shift_px": rounded(truth["shift_px"], 2),
            "size": distorted.images.shape[-1],
            "pictures": [packed(image) for image in distorted.images[:PICTURES]],
        }
        return {**kept, "film": film, "digits": digits}


def films() -> list[Film]:
    """Return the recorded runs.

    >>> [film.name for film in films()]
    ['as-in-the-chapter-0', 'random-start-0', 'ten-times-the-rate-0']

    Returns:
        The runs.
    """
    return [Film(name) for name in RUNS]


def theta_at(result: Mapping[str, Any], moment: int) -> Tensor:
    """Return what a film has of theta at a moment.

    Args:
        result: of `Film.measure`, or read from its file.
        moment: an index into its ``film``.

    Returns:
        ``(N, 6)`` `Affine` parameters, of the digits that were watched.
    """
    rows = result["film"][moment]["theta"]
    return torch.tensor([[float(entry) for entry in row.split()] for row in rows])
