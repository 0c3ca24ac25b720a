"""The clinic: runs that went wrong, with their symptoms, to be diagnosed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial.course.explore._checks import one_of, whole
from stn_tutorial.course.explore._figure import Explorable, State
from stn_tutorial.course.plotting import COLORS
from stn_tutorial.experiments.failures import EVERY, Failure
from stn_tutorial.experiments.recording import unpack

__all__ = ["Clinic"]

#: The runs by their fault, in the order in which they are shown. The first and the
#: third end alike.
RUNS = ("step", "idle", "start", "frame")
#: What a monitor's row is shown of.
NUMBERS = ("loss", "outside", "localization", "moved", "spread", "scale")
#: What can be chosen: its words, and what would be seen if it were so.
DIAGNOSES = {
    "start": (
        "a start away from the identity",
        "before training, a step of the output would be far from the pixels that it "
        "is for the healthy twin.",
    ),
    "step": (
        "steps that are too long",
        "from a healthy start, the grid would move by many pixels between two looks.",
    ),
    "frame": (
        "a frame that the padding draws",
        "the outputs would have a grey rim wherever a grid is outside of the image.",
    ),
    "idle": (
        "a classifier that needs no transformer",
        "the loss would be low from the start, and all grids alike: a spread near 0.",
    ),
    "skip": (
        "an output that skips pixels",
        "a step of the output would be well over a pixel before any training, in the "
        "healthy twin not.",
    ),
}


def _answers(answers: list[str | None]) -> list[str | None]:
    known = {None, *DIAGNOSES}
    if len(answers) != len(RUNS) or not set(answers) <= known:
        raise ValueError(
            f"answers must be {len(RUNS)} of {', '.join(DIAGNOSES)} or None, "
            f"got {answers!r}"
        )
    return list(answers)


class Clinic(Explorable):
    """Four recorded runs that went wrong: symptoms first, and the cause on demand.

    Test digits with their frames and what is passed on, and the numbers of a
    `stn_tutorial.diagnostics.Monitor`, look by look, beside those of a healthy twin:
    the same run without the fault. A diagnosis is chosen, and then the hidden part is
    shown.

    >>> from stn_tutorial.experiments.results import read_results, results_folder
    >>> found = read_results(results_folder() / "recordings" / "failures", Failure)
    >>> clinic = Clinic(found)
    >>> clinic.run, clinic.look, clinic.answers
    (0, 0, [None, None, None, None])

    Args:
        found: of `stn_tutorial.experiments.results.read_results`, each fault's run and
            its twin, with seed 0.

    Attributes:
        run: which of the runs is shown, from 0.
        look: an index into its rows.
        number: which number of the rows is drawn.
        answers: of each run, the diagnosis that is chosen, or None.

    Raises:
        ValueError: if a run is missing.
    """

    name = "clinic"
    run = State(whole("run", 0, len(RUNS) - 1))
    look = State(whole("look", 0, 21))
    number = State(one_of("number", NUMBERS))
    answers = State(_answers)

    def __init__(self, found: Mapping[Failure, Mapping[str, Any]]) -> None:
        cells = [Failure(fault, well) for fault in RUNS for well in (False, True)]
        missing = [cell.name for cell in cells if cell not in found]
        if missing:
            raise ValueError(f"found must hold each run, {', '.join(missing)} is not")
        pairs = {f: (found[Failure(f)], found[Failure(f, True)]) for f in RUNS}
        self._losses = [  # of each run, and of its twin
            [[row["loss"] for row in each["rows"]] for each in pair]
            for pair in pairs.values()
        ]
        self.data = {
            "runs": [_case(fault, *pair) for fault, pair in pairs.items()],
            "diagnoses": [
                {"name": name, "words": words, "then": then}
                for name, (words, then) in DIAGNOSES.items()
            ],
        }
        self.state = {
            "run": 0,
            "look": 0,
            "number": NUMBERS[0],
            "answers": [None] * len(RUNS),
            "looked": [False] * len(RUNS),
        }
        self.alt = (
            "The losses of four runs, each beside that of a healthy twin: two stay at "
            "that of a guess, one is low from the start, and one falls much as its "
            "twin's does"
        )
        self.hint = (
            "Choose a run, move through its looks, and go through its numbers. "
            "(Gradient is what a monitor calls localization; pixels a step, scale.) "
            "The grey line is a healthy twin: the same run without the fault. Choose a "
            "diagnosis, and then look. Two of the runs end alike: which number, at "
            "which step, tells them apart?"
        )

    def pictures(self, run: int) -> Tensor:
        """Return the test digits of a run.

        Args:
            run: from 0.

        Returns:
            ``(N, 1, H, W)`` in [0, 1].
        """
        case = self.data["runs"][run]
        return unpack(case["pictures"], case["size"])

    def picture(self) -> Figure:
        """Draw the loss of every run, and of its twin."""
        fig, axes = plt.subplots(1, len(RUNS), figsize=(6.4, 2.4), sharey=True)
        for k, (ax, (ill, well)) in enumerate(zip(axes, self._losses)):
            steps = self.data["runs"][k]["steps"]
            ax.plot(steps, well, color=COLORS["faint"])
            ax.plot(steps, ill, color=COLORS["output"])
            ax.set(title=f"run {k + 1}", xticks=(0, 100, 200), ylim=(0, 3))
        axes[0].set_ylabel("loss")
        axes[0].set_xlabel("step")
        return fig


def _case(
    fault: str, ill: Mapping[str, Any], well: Mapping[str, Any]
) -> dict[str, Any]:
    """A run as the script takes it, with what is hidden at first."""
    numbers = {
        name: [[row[name] for row in each["rows"]] for each in (ill, well)]
        for name in NUMBERS
    }
    return {
        "fault": fault,
        "steps": [row["step"] for row in ill["rows"]],
        "numbers": numbers,
        "thetas": [
            [round(1000 * entry) for theta in row["theta"] for entry in theta]
            for row in ill["rows"]
        ],
        "size": ill["size"],
        "pictures": ill["pictures"],
        "fill": ill["fill"],
        "hidden": _hidden(fault, ill, well),
    }


def _hidden(fault: str, ill: Mapping[str, Any], well: Mapping[str, Any]) -> list[str]:
    """Why, the number that tells, and what to do."""

    def most(name: str) -> tuple[float, float]:
        return tuple(max(row[name] for row in each["rows"]) for each in (ill, well))

    def at(name: str, look: int) -> tuple[float, float]:
        return tuple(each["rows"][look][name] for each in (ill, well))

    errors = [each["test_error"] for each in (ill, well)]
    ended = f"It ends with {errors[0]:.0f}% errors, the twin with {errors[1]:.0f}%."
    if fault == "start":
        scale, twin = at("scale", 0)
        return [
            "The last layer of the localization network kept PyTorch's random numbers, "
            "at a rate that a start at the identity bears.",
            f"Before training, a step of the output was {scale:.2f} pixels, a keyhole; "
            f"the twin's was {twin:.2f}. Look at effective_scale first: later, this "
            f"run is like one with steps that are too long. {ended}",
            "Start at the identity.",
        ]
    if fault == "step":
        moved, twin = at("moved", 1)
        return [
            "The localization network had the classifier's rate, "
            f"{ill['recipe']['lr']:g} with Adam, and the twin a tenth of it.",
            f"From a start at the identity, the grid moved by {moved:.0f} pixels in "
            f"{EVERY} steps, the twin's by {twin:.1f}: that is moved, in the rows of a "
            f"monitor. Outside no gradient brings it back. {ended}",
            "Give the localization network a smaller rate, and stop a run that leaps.",
        ]
    if fault == "frame":
        outside, twin = most("outside")
        return [
            "The pictures were normalized, so that the padding's zero is not the value "
            "of the background: it draws a grey frame, here visible in the outputs.",
            f"Up to {outside:.0%} of the grid were outside, up to {twin:.0%} of the "
            "twin's, whose padding is filled with the background. edge_contrast says "
            f"it before training. {ended} So the error does not.",
            "Fill with the background's value, or pad with the border.",
        ]
    spread, twin = at("spread", -1)
    return [
        "The classifier had been trained on rotated digits before. The twin's had seen "
        "upright ones alone.",
        f"At the end the grids differ by {spread:.1f} pixels, the twin's by "
        f"{twin:.1f}: that is grid_spread. {ended}",
        "If few errors are all you want, leave the transformer out. If it is to align, "
        "take a classifier that knows upright digits alone.",
    ]
