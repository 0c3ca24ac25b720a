"""Digits in volumes, classified from a picture of them (Jaderberg et al. 2015, §A.3).

The paper extrudes MNIST's digits into volumes of 60³, rotates them, and lets a
transformer with a 3-D affine warp turn each so that the sum along one axis, a picture,
can be classified. It shows such pictures and gives no numbers. Here that network is
compared with three of the same number of parameters: one that sees the sum along z of
the volume as it comes, the same with a transformer in the plane behind the sum, and one
with convolutions in three dimensions. What looking can win is told by a fourth, which
gets sums of volumes that are not tilted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_tutorial.data.digits import DigitSet
from stn_tutorial.data.volumes import extrude, flatten, random_rotations, rotate
from stn_tutorial.experiments import classification
from stn_tutorial.experiments._options import Range, check_options
from stn_tutorial.experiments.cells import TrainedCell, known_names, miniature
from stn_tutorial.experiments.classification import about, digits_of, label_of
from stn_tutorial.experiments.models import (
    ModernCNN,
    TransformedClassifier,
    closest_width,
    count_parameters,
    seeded,
)
from stn_tutorial.experiments.results import Seed, check_cell
from stn_tutorial.experiments.training import Recipe, Run, predict, train
from stn_tutorial.families import Affine, Family
from stn_tutorial.families_3d import Affine3d, Rigid3d, rotation_matrix
from stn_tutorial.localization import (
    ModernLocalization,
    flat_features,
    normalized_convolution,
)
from stn_tutorial.transformer import SpatialTransformer

__all__ = [
    "ARMS",
    "FAMILIES",
    "PHASES",
    "Cell",
    "Config",
    "Flatten",
    "VolumeCNN",
    "cells",
    "make_model",
    "run",
    "tilts",
    "twists",
]

#: What looks at the volume. The first is the baseline.
ARMS = ("flat", "st-plane", "conv3d", "st-affine", "st-rigid", "untilted")
#: The families of those that have a transformer.
FAMILIES = {"st-plane": Affine, "st-affine": Affine3d, "st-rigid": Rigid3d}
#: By phase, the learning rate that is tried on held-out digits; the final runs, on the
#: test digits, have that of the `RECIPE`.
PHASES: dict[str, float | None] = {
    "rate-0.003": 0.003,
    "rate-0.01": 0.01,
    "rate-0.03": 0.03,
    "final": None,
}
#: The rates are those of the table's today and of the study on clutter, for every arm:
#: they were not chosen for this task.
RECIPE = Recipe(epochs=6, batch_size=64, lr=0.01, localization_lr_ratio=0.3)
#: The rotations of the test digits are drawn from this seed.
TEST_SEED = 20_150_605


@dataclass(frozen=True)
class Config:
    """Everything that decides what a run gives.

    Attributes:
        arm: what looks at the volume: the sum along z (flat), the same with a planar
            transformer behind it (st-plane) or one in space before it (other st-…),
            convolutions in three dimensions (conv3d), or the sum along z of digits
            that are rotated about z alone (untilted), as a transformer would pass them
            on that has undone the tilt and nothing else.
        side: of the volumes, in voxels; the paper's are 60.
        most_deg: the largest angle of the rotations.
        budget: how many parameters the model may have, about.
        data: mnist, or embedded.
        limit: how many training digits.
        tested: how many digits are tested.
        validation: hold out so many training digits, the last ones, and test on these.
        recipe: how to train.
    """

    arm: Literal["flat", "st-plane", "conv3d", "st-affine", "st-rigid", "untilted"] = (
        "st-affine"
    )
    side: Annotated[int, Range(least=16)] = 24
    most_deg: Annotated[float, Range(least=0)] = 90.0
    budget: Annotated[int, Range(least=1)] = 60_000
    data: Literal["mnist", "embedded"] = "mnist"
    limit: Annotated[int, Range(least=1)] = 2000
    tested: Annotated[int, Range(least=1)] = 1000
    validation: Annotated[int, Range(least=0)] = 0
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        check_options(self)


#: What the result of a run looks like.
RESULT = {
    "config": Config,
    **classification.RESULT,
    "tilt_deg": {"as_they_come": float, "passed_on?": float},
}


class Flatten(nn.Module):
    """`stn_tutorial.data.volumes.flatten` as a layer.

    >>> Flatten()(torch.zeros(2, 1, 6, 8, 8)).shape
    torch.Size([2, 1, 8, 8])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum along z.

        Args:
            x: ``(N, C, D, H, W)``.

        Returns:
            ``(N, C, H, W)``.
        """
        return flatten(x)


class VolumeCNN(nn.Sequential):
    """`stn_tutorial.experiments.models.ModernCNN`, in three dimensions.

    >>> VolumeCNN((1, 24, 24, 24), 8)(torch.zeros(2, 1, 24, 24, 24)).shape
    torch.Size([2, 10])

    Args:
        in_shape: ``(C, D, H, W)``.
        width: channels of the last convolutions.
        n_classes: how many scores.
    """

    def __init__(
        self, in_shape: Sequence[int], width: int = 32, n_classes: int = 10
    ) -> None:
        half = max(1, width // 2)
        features = nn.Sequential(
            *normalized_convolution(in_shape[0], half, 5, stride=2, dimensions=3),
            *normalized_convolution(half, width, 3, dimensions=3),
            nn.MaxPool3d(2),
            *normalized_convolution(width, width, 3, dimensions=3),
            *normalized_convolution(width, width, 3, dimensions=3),
            nn.MaxPool3d(2),
        )
        n_features = flat_features(features, in_shape)
        super().__init__(*features, nn.Flatten(), nn.Linear(n_features, n_classes))


def make_model(config: Config) -> nn.Module:
    """Build the untrained model of a configuration.

    >>> make_model(Config(side=16))(torch.zeros(2, 1, 16, 16, 16)).shape
    torch.Size([2, 10])

    Args:
        config: its recipe's seed decides the weights.

    Returns:
        The model, from volumes ``(N, 1, side, side, side)`` to scores ``(N, 10)``.
    """
    picture = (1, config.side, config.side)
    volume = (1, config.side, config.side, config.side)
    with seeded(config.recipe.seed):
        if config.arm == "conv3d":
            width = closest_width(VolumeCNN, volume, config.budget)
            return VolumeCNN(volume, width)
        transformer, rest = None, config.budget
        if config.arm in FAMILIES:
            family = FAMILIES[config.arm]()
            seen = picture if isinstance(family, Affine) else volume
            transformer = SpatialTransformer(_localization(seen, family), family)
            rest -= count_parameters(transformer)
        width = closest_width(ModernCNN, picture, rest)
        classifier = ModernCNN(picture, width)
    if transformer is None:
        return nn.Sequential(Flatten(), classifier)
    if config.arm == "st-plane":  # first the sum, then the transformer
        return nn.Sequential(Flatten(), TransformedClassifier(transformer, classifier))
    return TransformedClassifier(transformer, nn.Sequential(Flatten(), classifier))


def _localization(in_shape: Sequence[int], family: Family) -> nn.Module:
    """A network that is as large for large volumes as for small ones: it sees them at
    a side of 20 to 40, which is where a digit can be seen to lie."""
    channels, *size = in_shape
    pooled = size[0] // 20
    if pooled > 1:
        size = [side // pooled for side in size]
    network = ModernLocalization((channels, *size), family, channels=(8, 16, 16))
    if pooled > 1:
        pool = nn.AvgPool2d if len(size) == 2 else nn.AvgPool3d
        return nn.Sequential(pool(pooled), network)
    return network


def run(config: Config, folder: Path | None = None, *, progress: bool = False) -> Run:
    """Train and test a configuration; go on where a killed run of it stopped.

    Args:
        config: what to train and how.
        folder: where the checkpoint is kept; none is without.
        progress: show a bar.

    Returns:
        The run; its `result` looks like `RESULT`.

    Raises:
        ValueError: if the folder holds a run with other options.
        DataError: if the data can't be had.
    """
    digits, test = digits_of(config)
    test = test.first(min(config.tested, len(test)))
    draw = torch.Generator().manual_seed(TEST_SEED)
    truth = _rotations(config, len(test), draw)
    volumes = rotate(extrude(test.images, config.side), truth)
    straight = DigitSet(extrude(digits.images, config.side), digits.labels, "volumes")
    model = make_model(config)

    def anew(batch: Tensor, draw: torch.Generator) -> Tensor:
        return rotate(batch, _rotations(config, len(batch), draw))

    done = train(
        model,
        straight,
        (volumes, test.labels),
        config.recipe,
        distort=anew,
        folder=folder,
        label=label_of(config, digits),
        evaluate_every=config.recipe.epochs,
        progress=progress,
    )
    done.about = {
        **about(config, digits, test),
        "test_error": done.test_error,
        "tilt_deg": _tilts_of(done.model, volumes, truth),
    }
    return done


def _rotations(config: Config, count: int, draw: torch.Generator) -> Tensor:
    params = random_rotations(count, config.most_deg, draw)
    return twists(params) if config.arm == "untilted" else params


def twists(params: Tensor) -> Tensor:
    """Return the rotations about z that are left of rotations without their tilts.

    Every rotation is one about z, its *twist*, and then one about an axis at right
    angles to z, its tilt.

    >>> about_z = torch.tensor([[0.0, 0.0, 0.5, 0.0, 0.0, 0.0]])
    >>> bool(torch.allclose(twists(about_z), about_z))
    True
    >>> twists(torch.tensor([[0.5, -0.2, 0.0, 0.0, 0.0, 0.0]])).abs().max().item()
    0.0

    Args:
        params: ``(N, 6)`` of `Rigid3d`, without shifts, with angles below a whole
            rotation.

    Returns:
        ``(N, 6)``, likewise.
    """
    half = params[:, :3].norm(dim=1) / 2
    along = params[:, 2] / 2 * torch.sinc(half / torch.pi)  # sin(half) n_z
    angle = 2 * torch.atan2(along, half.cos())
    return F.pad(angle[:, None], (2, 3))


def tilts(truth: Tensor, params: Tensor, family: Affine3d | Rigid3d) -> Tensor:
    """Return the angles between the line of sight and the axes of digits.

    Along its axis a digit was extruded; who looks along it sees the digit. The line of
    sight is the output's z axis, led through both warps.

    >>> truth = torch.tensor([[0.5, 0.0, 0.0, 0.0, 0.0, 0.0]])
    >>> for params in (torch.zeros(1, 6), -truth):
    ...     print(round(tilts(truth, params, Rigid3d()).item(), 3))
    0.5
    0.0

    Args:
        truth: ``(N, 6)`` of `Rigid3d`: from the rotated volume to the straight digit.
        params: ``(N, n_params)`` of `family`, in a cube: from the transformer's output
            to the rotated volume.
        family: of `params`.

    Returns:
        ``(N,)`` radians, from 0 to a quarter of a rotation.
    """
    if isinstance(family, Rigid3d):
        sight = rotation_matrix(params[:, :3])[:, :, 2]
    else:
        sight = family.matrix(params)[:, :3, 2]
    along = (rotation_matrix(truth[:, :3]) * sight[:, None]).sum(dim=-1)
    return torch.atan2(along[:, :2].norm(dim=1), along[:, 2].abs())


def _tilts_of(model: nn.Module, volumes: Tensor, truth: Tensor) -> dict[str, float]:
    """The mean tilts, as the digits come and as a transformer passes them on."""
    still = Rigid3d().identity().expand(len(truth), -1)
    found = {"as_they_come": tilts(truth, still, Rigid3d())}
    if isinstance(model, TransformedClassifier):
        network = model.transformer.localization
        params = predict(network, volumes, batch_size=250)
        found["passed_on"] = tilts(truth, params, model.transformer.family)
    return {name: angles.rad2deg().mean().item() for name, angles in found.items()}


@dataclass(frozen=True)
class Cell(TrainedCell):
    """One run.

    >>> cell = Cell("final", "st-affine")
    >>> cell.name, cell.config().limit
    ('final-st-affine-24-0', 2000)

    Attributes:
        phase: one of `PHASES`.
        arm: one of `ARMS`.
        side: of the volumes, in voxels.
        seed: of weights, order and rotations.

    Raises:
        TypeError: if a name is no string, or a number no integer.
        ValueError: if there is no such run.
    """

    RESULT: ClassVar[dict[str, Any]] = RESULT
    RUN = staticmethod(run)

    phase: str
    arm: str
    side: Annotated[int, Range(least=16)] = 24
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_cell(self, phase=PHASES, arm=ARMS)

    def config(self, *, quick: bool = False) -> Config:
        """Return the configuration of the run.

        Args:
            quick: of a miniature: few embedded digits, two epochs.

        Returns:
            What to give to `run`.
        """
        rate = PHASES[self.phase]
        lr = RECIPE.lr if rate is None else rate
        config = Config(
            arm=self.arm,
            side=self.side,
            validation=0 if rate is None else 10_000,
            recipe=replace(RECIPE, lr=lr, seed=self.seed),
        )
        if quick:
            config = miniature(config, limit=64, tested=64, validation=0)
        return config


def cells(
    *,
    phases: Iterable[str] = ("final",),
    arms: Iterable[str] = ARMS,
    sides: Iterable[int] = (24,),
    seeds: Iterable[int] = range(3),
) -> list[Cell]:
    """Return the runs of some arms, those of a seed together.

    >>> [cell.name for cell in cells(arms=["flat"], seeds=[0, 1])]
    ['final-flat-24-0', 'final-flat-24-1']

    Args:
        phases: of `PHASES`.
        arms: of `ARMS`.
        sides: of the volumes, in voxels.
        seeds: of weights, order and rotations.

    Returns:
        The cells, in the order of work.

    Raises:
        ValueError: if a name is unknown.
    """
    phases = known_names(phases, "phases", PHASES)
    arms = known_names(arms, "arms", ARMS)
    every = product(seeds, sides, phases, arms)
    return [Cell(phase, arm, side, seed) for seed, side, phase, arm in every]
