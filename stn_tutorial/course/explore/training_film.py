"""A training on a slider: frames, what they follow, and the error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from stn_tutorial import Affine, sample, to_pixels
from stn_tutorial.course.explore._checks import one_of, whole
from stn_tutorial.course.explore._figure import Explorable, State
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.experiments.films import MOMENTS, RUNS, Film, theta_at
from stn_tutorial.experiments.recording import unpack

__all__ = ["TrainingFilm"]

#: What of a frame can follow the digit.
PARTS = ("location", "scale", "rotation")


class TrainingFilm(Explorable):
    """Recorded runs of a spatial transformer in training, moment by moment.

    Test digits with the frame in which the transformer samples, and what it passes on;
    how the frames of many digits follow these in location, scale or rotation; and the
    error. One run is as it should be, the others have something wrong.

    >>> from stn_tutorial.experiments.results import read_results, results_folder
    >>> found = read_results(results_folder() / "recordings" / "films", Film)
    >>> film = TrainingFilm(found)
    >>> film.run, film.moment, film.part
    ('as in the chapter', 0, 'location')

    Args:
        found: of `stn_tutorial.experiments.results.read_results`, a result of each of
            `stn_tutorial.experiments.films.RUNS` with seed 0.

    Attributes:
        run: which of the runs is shown.
        moment: an index into `stn_tutorial.experiments.films.MOMENTS`.
        part: what of the frames is compared with the digits: location, scale, rotation.

    Raises:
        ValueError: if a run is missing.
    """

    name = "training_film"
    run = State(one_of("run", RUNS))
    moment = State(whole("moment", 0, len(MOMENTS) - 1))
    part = State(one_of("part", PARTS))

    def __init__(self, found: Mapping[Film, Mapping[str, Any]]) -> None:
        missing = [run for run in RUNS if Film(run) not in found]
        if missing:
            raise ValueError(f"found must hold each run, {', '.join(missing)} is not")
        self.results = {run: found[Film(run)] for run in RUNS}
        first = next(iter(self.results.values()))
        digits = first["digits"]
        self.data = {
            "digits": {
                "location": [x for x, _ in digits["shift_px"]],
                "scale": [round(28 * scale, 1) for scale in digits["scale"]],
                "rotation": digits["angle_deg"],
            },
            "size": digits["size"],
            "pictures": digits["pictures"],
            "runs": [
                {
                    "name": run,
                    "epochs": [round(each["epoch"], 3) for each in result["film"]],
                    "errors": [each["error"] for each in result["film"]],
                    # Whole thousandths, which take fewer characters.
                    "thetas": [
                        (1000 * theta_at(result, k)).round().int().flatten().tolist()
                        for k in range(len(result["film"]))
                    ],
                }
                for run, result in self.results.items()
            ],
        }
        self.state = {"run": next(iter(RUNS)), "moment": 0, "part": PARTS[0]}
        self.alt = (
            "Six distorted digits with the frames in which a trained transformer "
            "samples, which have closed in on them; below, what it passes on; and the "
            "error of three runs over the epochs, of which one falls early and far"
        )
        self.hint = (
            "Play the training, or move its slider. Compare location, scale and "
            "rotation in turn: which do the frames begin to follow first, which never, "
            "and has the error fallen by then? (Dashed: exact following.) Then choose "
            "another run, grey on the right: when does it part from the first?"
        )

    def pictures(self) -> torch.Tensor:
        """Return the test digits that are shown, ``(N, 1, H, W)`` in [0, 1]."""
        return unpack(self.data["pictures"], self.data["size"])

    def picture(self) -> Figure:
        """Draw some digits after the first run, and the errors of all."""
        fig = plt.figure(figsize=(6.4, 4.6), layout="constrained")
        top, bottom = fig.subfigures(2, 1, height_ratios=(1, 1))
        digits = self.data["size"], self.pictures()[:6]
        theta = theta_at(self.results[next(iter(RUNS))], -1)[:6]
        _draw_frames(top, *digits, theta)
        ax = bottom.subplots()
        for run, color in zip(self.data["runs"], ("output", "input", "wrong")):
            ax.plot(
                run["epochs"], run["errors"], color=COLORS[color], label=run["name"]
            )
        ax.set(xlabel="epoch", ylabel="error (%)", ylim=(0, 100))
        ax.legend(fontsize=10)
        return fig


def _draw_frames(
    fig: Any, size: int, images: torch.Tensor, theta: torch.Tensor
) -> None:
    """Draw images with their frames, and below what these hold."""
    axes = fig.subplots(2, len(images))
    passed = sample(images, Affine().grid(theta, (28, 28)))
    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    for k, (upper, lower) in enumerate(axes.T):
        upper.imshow(images[k, 0].numpy(), cmap="gray", vmin=0, vmax=1)
        matrix = theta[k].view(2, 3)
        frame = to_pixels(corners @ matrix[:, :2].T + matrix[:, 2], (size, size))
        upper.plot(*frame.T.numpy(), color=COLORS["sample"], linewidth=1.3)
        upper.plot(*frame[:2].T.numpy(), color=COLORS["output"], linewidth=3)
        lower.imshow(passed[k, 0].numpy(), cmap="gray", vmin=0, vmax=1)
        upper.axis("off")
        lower.axis("off")
