"""Digits in volumes: bodies, what is seen of them, and runs that are alike."""

from __future__ import annotations

import doctest
import math
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from command_line import call
from scipy.spatial.transform import Rotation

from stn_tutorial import Affine3d, Rigid3d, convert, rotation_matrix
from stn_tutorial.course.reports.volumes import difference, draw_arms, table
from stn_tutorial.data import embedded_digits
from stn_tutorial.data import volumes as bodies
from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.volumes import extrude, flatten, random_rotations, rotate
from stn_tutorial.experiments import volumes
from stn_tutorial.experiments._options import options_from
from stn_tutorial.experiments.cells import with_weights
from stn_tutorial.experiments.models import TransformedClassifier, count_parameters
from stn_tutorial.experiments.results import read_results
from stn_tutorial.experiments.training import error_rate
from stn_tutorial.experiments.volumes import (
    ARMS,
    PHASES,
    RECIPE,
    Cell,
    Config,
    cells,
    make_model,
    run,
    tilts,
    twists,
)

pytestmark = pytest.mark.usefixtures("one_core")
COMMITTED = Path(__file__).resolve().parent.parent / "results" / "volumes"
close = torch.testing.assert_close


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_examples_of_the_docstrings_are_right():
    for module in (bodies, volumes):
        assert doctest.testmod(module).failed == 0


# ------------------------------------------------------------------------------ bodies


def test_a_body_seen_along_its_axis_is_its_digit_made_smaller():
    digits = embedded_digits()[0][:4]
    for side in (16, 24, 25):
        body = extrude(digits, side)
        assert body.shape == (4, 1, side, side, side)
        assert torch.equal(body, body.flip(2))  # in the middle
        seen = flatten(body)
        thick = (body.amax(dim=(0, 1, 3, 4)) > 0).sum()
        assert abs(thick - side / 3) <= 1
        close(seen, body.amax(dim=2))
        # As much ink, in fewer pixels.
        ink = body.amax(dim=2).sum() * (28 / (side * 2 / 3)) ** 2
        assert abs(ink / digits.sum() - 1) < 0.05


def test_rotations_have_every_axis_and_every_angle_up_to_the_largest():
    params = random_rotations(4000, 90.0, draw())
    assert not params[:, 3:].any()
    angles = params[:, :3].norm(dim=1) / (math.pi / 2)
    shares = torch.histc(angles, 4, 0, 1) / 4000
    close(shares, torch.full((4,), 0.25), rtol=0, atol=0.03)
    axes = params[:, :3] / params[:, :3].norm(dim=1, keepdim=True)
    close(axes.mean(dim=0), torch.zeros(3), rtol=0, atol=0.03)
    close(axes.T @ axes / 4000, torch.eye(3) / 3, rtol=0, atol=0.03)
    assert torch.equal(params, random_rotations(4000, 90.0, draw()))
    assert not torch.equal(params, random_rotations(4000, 90.0, draw(1)))


def test_a_rotation_and_its_inverse_give_the_body_back_but_for_blur():
    y = torch.linspace(-2, 2, 20)
    blob = torch.exp(-(y[:, None, None] ** 2 + 2 * y[:, None] ** 2 + 3 * y**2))
    body = blob[None, None]
    params = random_rotations(1, 90.0, draw())
    turned = rotate(body, params)
    assert (turned - body).abs().max() > 0.1
    close(rotate(turned, -params), body, rtol=0, atol=0.12)


def test_what_is_no_digit_or_rotation_is_named():
    for call_, message in (
        (lambda: extrude(torch.zeros(2, 28, 28), 12), "digits must be"),
        (
            lambda: extrude(torch.zeros(2, 1, 28, 28), 5),
            "side must be from 6 on, got 5",
        ),
        (lambda: random_rotations(-1, 90.0, draw()), "count must be from 0 on"),
        (lambda: random_rotations(1, -1.0, draw()), "most_deg must be >= 0"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            call_()


def test_tilts_are_the_angles_of_scipy():
    truth = random_rotations(20, 90.0, draw())
    params = random_rotations(20, 90.0, draw(1))
    both = Rotation.from_rotvec(truth[:, :3]) * Rotation.from_rotvec(params[:, :3])
    across = np.abs(both.apply([0, 0, 1])[:, 2])
    for family, given in (
        (Rigid3d(), params),
        (Affine3d(), 0.7 * convert(params, Rigid3d((1.0, 1.0)), Affine3d())),
    ):
        found = tilts(truth, given, family)
        np.testing.assert_allclose(found.cos(), across, atol=1e-6)
    np.testing.assert_allclose(tilts(truth, -truth, Rigid3d()), 0, atol=1e-3)


# -------------------------------------------------------------------------------- runs


def test_all_arms_have_the_same_number_of_parameters_and_recipe():
    for cell in cells(phases=PHASES):
        config = cell.config()
        held_out = cell.phase != "final"
        lr = PHASES[cell.phase] or RECIPE.lr
        assert config.recipe == replace(RECIPE, lr=lr, seed=cell.seed)
        assert (config.validation > 0) == held_out
    for arm, side in product(ARMS, (24, 60)):
        config = Cell("final", arm, side).config()
        model = make_model(config)
        assert count_parameters(model) == pytest.approx(config.budget, rel=0.05)
        assert _is_transformed(model) == arm.startswith("st-")
        if side == 60:
            continue
        volume = torch.rand(2, 1, 24, 24, 24, generator=draw())
        assert model.eval()(volume).shape == (2, 10)
        if arm.startswith("st-"):  # it starts at the identity
            seen = flatten(volume) if arm == "st-plane" else volume
            model = model[1] if arm == "st-plane" else model
            close(model.transformer(seen), seen, rtol=0, atol=1e-5)


def _is_transformed(model):
    return any(isinstance(part, TransformedClassifier) for part in model.modules())


def test_a_miniature_and_its_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    part = "--arms flat st-rigid --sides 16 --seeds 0".split()
    assert call("volumes", "--quick", *part) == 0
    assert capsys.readouterr().out.endswith("\n2 done, 0 missing\n")
    folder = Path("runs") / "quick-volumes" / "results"
    cell = Cell("final", "st-rigid", 16)
    result = read_results(folder, Cell)[cell]
    assert result["config"] == asdict(cell.config(quick=True))
    tilt = result["tilt_deg"]
    assert 0 < tilt["as_they_come"] < 90 and 0 < tilt["passed_on"] < 90
    options = "--folder", str(folder), "--figures", "figures"
    assert call("report", "volumes", *options) == 0
    out = capsys.readouterr().out
    assert "\n| flat | 16³ | " in out and "\n| st-rigid | 16³ | " in out
    assert [path.name for path in Path("figures").iterdir()] == ["arms.png"]


def test_what_is_left_of_a_rotation_without_its_tilt_is_about_z():
    params = random_rotations(200, 170.0, draw())
    whole, left = (rotation_matrix(p[:, :3]) for p in (params, twists(params)))
    assert twists(params)[:, [0, 1, 3, 4, 5]].abs().max() == 0
    # What was undone is a rotation about an axis at right angles to z.
    tilt = whole @ left.mT
    close(tilt[:, 0, 1], tilt[:, 1, 0], rtol=0, atol=1e-5)
    still = Rigid3d().identity().expand(200, -1)
    assert tilts(twists(params), still, Rigid3d()).max() < 1e-3


def test_untilted_digits_come_without_tilts_and_with_the_same_network():
    cell = Cell("final", "untilted", 16)
    done = run(cell.config(quick=True))
    assert done.about["tilt_deg"] == {"as_they_come": pytest.approx(0, abs=0.1)}
    flat = make_model(Cell("final", "flat", 16).config())
    assert done.result["parameters"] == count_parameters(flat)


def test_the_table_compares_seed_by_seed():
    run = {"parameters": 60_000, "seconds": 50.0}
    flat = {**run, "tilt_deg": {"as_they_come": 30.0}}
    st = {**run, "tilt_deg": {"as_they_come": 30.0, "passed_on": 10.0}}
    found = {
        Cell("final", "flat", 24, s): {**flat, "test_error": 9.0 + s} for s in (0, 1)
    }
    found |= {
        Cell("final", "st-affine", 24, s): {**st, "test_error": 7.0 + 2 * s}
        for s in (0, 1, 2)
    }
    found[Cell("final", "st-affine", 24, 2)]["tilt_deg"] = {
        "as_they_come": 30.0,
        "passed_on": 10.4,
    }
    found[Cell("final", "flat", 60)] = {**flat, "test_error": 5.0}
    assert difference(found, "st-affine").each == (-2.0, -1.0)
    lines = table(found).replace("\u00a0", " ").splitlines()
    assert lines[2:] == [
        "| flat | 24³ | 60,000 | 9.50 ± 0.71 (2) | – | 30.0 |",
        "| st-affine | 24³ | 60,000 | 9.00 ± 2.00 (3) | −1.50 ± 6.35 "
        "| 30.0 to 10.0–10.4 |",
        "| flat | 60³ | 60,000 | 5.00 (1) | – | 30.0 |",
    ]
    fig = draw_arms(found)
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == [
        "flat",
        "st-affine",
    ]
    plt.close(fig)


def test_no_difference_is_a_number_and_none_measured_a_dash():
    run = {"parameters": 60_000, "tilt_deg": {}, "test_error": 5.0}
    found = {Cell("final", arm, 24): run for arm in ("flat", "st-rigid")}
    found[Cell("final", "st-affine", 24, 1)] = run  # with a seed that flat has not
    lines = table(found).replace("\u00a0", " ").splitlines()[2:]
    told = {line.split(" | ")[0]: line.split(" | ")[4] for line in lines}
    assert told == {"| flat": "–", "| st-rigid": "+0.00", "| st-affine": "–"}


def test_the_weights_that_are_drawn_are_of_the_run_that_is_kept(real_mnist):
    cell = Cell("final", "st-affine")
    model = with_weights(make_model(cell.config()), cell, COMMITTED / "weights")
    digits = load_digits("test", "mnist").first(1000)
    draw = torch.Generator().manual_seed(volumes.TEST_SEED)
    truth = random_rotations(1000, cell.config().most_deg, draw)
    seen = rotate(extrude(digits.images, cell.side), truth)
    kept = read_results(COMMITTED, Cell)[cell]
    error = error_rate(model, seen, digits.labels)
    # In half precision, and in another order of sums, a few digits may differ.
    assert error == pytest.approx(kept["test_error"], abs=0.3)
    with torch.inference_mode():
        params = model.transformer.params(seen[:200])
    angles = tilts(truth[:200], params, model.transformer.family).rad2deg()
    assert angles.mean() == pytest.approx(kept["tilt_deg"]["passed_on"], abs=3)


@pytest.mark.skipif(not COMMITTED.is_dir(), reason="no results yet")
def test_committed_results_are_of_these_arms():
    for cell, result in read_results(COMMITTED, Cell).items():
        assert options_from(Config, result["config"], cell.name) == cell.config()
        assert result["data"]["source"] == "mnist"


@pytest.mark.parametrize("side", [9, 12, 15, 21, 24, 27])
def test_a_third_of_the_layers_hold_the_digit(side):
    body = extrude(torch.ones(1, 1, 28, 28), side)
    assert flatten(body).max().item() == pytest.approx(1)
