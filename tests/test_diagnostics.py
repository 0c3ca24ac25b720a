"""Numbers that tell a failing transformer: on transformers that fail on purpose."""

from __future__ import annotations

import doctest
import math
from collections import OrderedDict

import matplotlib.pyplot as plt
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from stn_tutorial import (
    Affine,
    Projective,
    Similarity,
    SpatialTransformer,
    Translation,
    base_grid,
    diagnostics,
    sample,
    to_normalized,
    to_pixels,
)
from stn_tutorial.course.plotting import draw_monitor
from stn_tutorial.data.digits import load_digits
from stn_tutorial.diagnostics import (
    Monitor,
    composition_gap,
    edge_contrast,
    effective_scale,
    gradient_norms,
    grid_spread,
    identity_drift,
    outside_fraction,
    overhang,
    symptoms,
    theta_statistics,
)
from stn_tutorial.experiments.models import build
from stn_tutorial.experiments.training import Recipe, train
from stn_tutorial.localization import FullyConnectedLocalization, ModernLocalization


def shifted(x: float, y: float, size: tuple[int, int] = (8, 8)) -> torch.Tensor:
    return Affine().grid(torch.tensor([[1.0, 0, x, 0, 1, y]]), size)


def test_the_identity_has_nothing_outside():
    assert outside_fraction(base_grid((7, 5))[None]).item() == 0


@pytest.mark.parametrize("part", [0.25, 0.5, 1.0])
def test_a_shift_leaves_its_share_outside(part):
    grid = torch.cat([shifted(2 * part, 0), shifted(0, -2 * part), shifted(0, 0)])
    assert outside_fraction(grid).tolist() == [part, part, 0]


def test_what_is_behind_a_horizon_is_outside():
    grid = Projective().grid(torch.tensor([[1.0, 0, 0, 0, 1, 0, 4, 0]]), (8, 8))
    behind = ~grid.isfinite().all(dim=-1)
    assert outside_fraction(grid).item() >= behind.float().mean().item() > 0
    assert outside_fraction(torch.full((1, 2, 2, 2), math.nan)).item() == 1


@pytest.mark.parametrize("zoom", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_a_zoom_is_the_scale_whatever_the_turn(zoom, angle):
    params = [[zoom * math.cos(angle), zoom * math.sin(angle), 0.3, -0.2]]
    grid = Similarity().grid(torch.tensor(params), (10, 10))
    assert effective_scale(grid, (10, 10)).item() == pytest.approx(zoom, rel=1e-4)
    assert effective_scale(grid, (30, 30)).item() == pytest.approx(3 * zoom, rel=1e-4)


@pytest.mark.parametrize("align_corners", [False, True])
def test_halving_the_size_is_a_scale_of_two(align_corners):
    grid = base_grid((5, 5), align_corners=align_corners)[None]
    size = (9, 9) if align_corners else (10, 10)
    scale = effective_scale(grid, size, align_corners=align_corners)
    assert scale.item() == pytest.approx(2, rel=1e-5)


def test_half_precision_holds_a_scale_beyond_its_own_squares():
    grid = base_grid((2, 2), dtype=torch.float16)[None]
    assert effective_scale(grid, (2000, 2000)).item() == pytest.approx(1000, rel=1e-4)


def test_a_collapsed_grid_has_no_scale():
    grid = Affine().grid(torch.zeros(1, 6), (4, 4))
    assert effective_scale(grid, (28, 28)).item() == 0


def test_a_single_row_has_no_patches():
    with pytest.raises(ValueError, match=r"^grid must have two .* \(1, 1, 5, 2\)"):
        effective_scale(torch.zeros(1, 1, 5, 2), (8, 8))


def test_a_horizon_leaves_the_scale_finite():
    grid = Projective().grid(torch.tensor([[1.0, 0, 0, 0, 1, 0, 2, 0]]), (8, 8))
    assert not grid.isfinite().all()
    assert effective_scale(grid, (8, 8)).isfinite().all()


def test_theta_that_ignores_its_image_has_no_spread():
    same = theta_statistics(torch.tensor([[1.0, 2.0], [1.0, 2.0]]))
    assert same["mean"].tolist() == [1, 2] and same["sd"].tolist() == [0, 0]
    other = theta_statistics(torch.tensor([[1.0, 2.0], [3.0, 2.0]]))
    assert other["mean"].tolist() == [2, 2]
    assert other["sd"].tolist() == pytest.approx([math.sqrt(2), 0])


def digits(count: int = 40):
    part = load_digits("train", "embedded").first(count)
    return part.images, part.labels


def test_gradient_norms_are_those_of_backward_and_leave_it_alone():
    torch.manual_seed(0)
    model = build("st-cnn", budget=30_000)
    images, labels = digits()
    found = gradient_norms(F.cross_entropy(model(images), labels), model)
    assert all(p.grad is None for p in model.parameters())
    F.cross_entropy(model(images), labels).backward()
    for part, norm in found.items():
        grads = [
            p.grad.flatten()
            for name, p in model.named_parameters()
            if ("localization" in name) == (part == "localization")
        ]
        assert norm == pytest.approx(torch.cat(grads).norm().item(), rel=1e-4) and norm


def black(model: nn.Module) -> nn.Module:
    """Send the grid out of the image."""
    with torch.no_grad():
        model.transformer.localization[-1].bias[2] = 5.0
    return model


def test_a_grid_that_has_left_shows_in_every_number():
    torch.manual_seed(0)
    images, labels = digits()
    monitor = Monitor(images, labels)
    model = build("st-cnn", budget=30_000).eval()
    monitor(0, model)
    monitor(1, black(model))
    start, gone = monitor.rows
    assert start["outside"] == start["black"] == 0
    assert start["scale"] == pytest.approx(1, rel=1e-4)
    assert start["localization"] > 0 and start["rest"] > 0
    assert gone["outside"] == gone["black"] == 1
    assert gone["localization"] == 0
    assert [row["epoch"] for row in monitor.rows] == [0, 1]


def test_it_watches_a_training_and_changes_nothing():
    images, labels = digits(64)
    part, weights = load_digits("train", "embedded").first(64), []
    for monitor in (Monitor(images, labels), None):
        torch.manual_seed(0)
        model = build("st-modern", budget=60_000)
        recipe = Recipe(epochs=2, batch_size=32)
        options = {"on_epoch": monitor, "progress": False}
        train(model, part, (images, labels), recipe, **options)
        weights.append(model.state_dict())
    with_watch, without = weights
    assert all(torch.equal(with_watch[key], without[key]) for key in without)


def test_a_transformer_in_the_middle_is_found():
    torch.manual_seed(0)
    localization = nn.Sequential(nn.Flatten(), nn.Linear(3 * 14 * 14, 6))
    nn.init.zeros_(localization[1].weight)
    with torch.no_grad():
        localization[1].bias.copy_(Affine().identity())
    model = nn.Sequential(
        *(nn.Conv2d(1, 3, 3, stride=2, padding=1), SpatialTransformer(localization)),
        *(nn.Flatten(), nn.Linear(3 * 14 * 14, 10)),
    )
    monitor = Monitor(*digits())
    monitor(0, model)
    assert monitor.rows[0]["scale"] == pytest.approx(1, rel=1e-4)
    assert len(monitor.rows[0]["theta"]) == 6


def test_a_grid_of_corner_centres_is_watched_by_its_places():
    """The same places in the other convention give the same numbers."""
    images, labels = digits()
    rows = []
    for align_corners in (False, True):
        torch.manual_seed(0)
        model = build("st-cnn", budget=30_000, align_corners=align_corners).eval()
        width = 27 / 28 if align_corners else 1  # the same shift of 0.5 · 14 pixels
        with torch.no_grad():
            model.transformer.localization[-1].bias[2] += 0.5 / width
        monitor = Monitor(images, labels)
        monitor(0, model)
        rows.append(monitor.rows[0])
    for key in ("outside", "scale", "spread"):
        assert rows[0][key] == pytest.approx(rows[1][key], abs=1e-5)


def test_a_model_without_a_transformer_is_refused():
    with pytest.raises(ValueError, match="^model must hold a SpatialTransformer"):
        Monitor(*digits())(0, build("cnn"))


def test_the_plot_shows_every_number():
    monitor = Monitor(*digits())
    torch.manual_seed(0)
    model = build("st-cnn", budget=30_000).eval()
    monitor(0, model)
    monitor(1, black(model))
    fig = draw_monitor(monitor.rows)
    lines = [len(ax.lines) for ax in fig.axes]
    assert lines == [2, 1, 6, 2]
    assert all(len(line.get_xdata()) == 2 for ax in fig.axes for line in ax.lines)
    plt.close(fig)


def test_a_penalty_leads_back_where_the_image_has_no_slope():
    grid = shifted(3.0, 0).requires_grad_()
    read = sample(torch.rand(1, 1, 8, 8), grid).square().sum()
    (dead,) = torch.autograd.grad(read, grid)
    (alive,) = torch.autograd.grad(overhang(grid).sum(), grid)
    assert dead.abs().sum() == 0
    assert (alive[..., 0] > 0).all() and alive[..., 1].abs().sum() == 0


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, 0), (-4, 3.5)])
def test_overhang_is_the_mean_distance_past_the_edges(x, y):
    expected = sum(max(0.0, abs(t) - 1) for t in (x, y))
    grid = torch.tensor([[[[x, y], [0.5, -1.0]]]], dtype=torch.float32)
    assert overhang(grid).item() == pytest.approx(expected / 2)
    assert overhang(torch.full((1, 2, 2, 2), math.nan)).item() == 0


def test_grids_that_differ_by_a_shift_spread_by_pixels():
    same = torch.cat([shifted(0.3, 0.1)] * 3)
    assert grid_spread(same, (8, 8)).item() == pytest.approx(0, abs=1e-5)
    apart = torch.cat([shifted(0.5, 0), shifted(-0.5, 0)])  # 2 pixels each of 8
    assert grid_spread(apart, (8, 8)).item() == pytest.approx(2)
    assert grid_spread(apart, (8, 80)).item() == pytest.approx(20)


def test_a_number_does_not_depend_on_the_convention_of_the_grid():
    size, draw = (5, 8), torch.Generator().manual_seed(0)
    grids = 1.5 * torch.randn(2, 6, 7, 9, 2, generator=draw)
    grid, other = grids[0], grids[1].clamp(-0.7, 0.7)
    points = to_pixels(grid, size)
    ends = torch.tensor([7.5, 4.5])
    inside = ((points >= -0.5) & (points <= ends)).all(dim=-1)
    assert outside_fraction(grid).tolist() == pytest.approx(
        (1 - inside.flatten(1).float().mean(1)).tolist()
    )
    corners = {"align_corners": True}
    same = to_normalized(points, size, **corners)
    assert_close(outside_fraction(same, size, **corners), outside_fraction(grid))
    assert_close(grid_spread(same, size, **corners), grid_spread(grid, size))
    middle = to_normalized(to_pixels(other, (7, 9)), (7, 9), **corners)
    gap = composition_gap(grid, other, grid, size)
    assert_close(composition_gap(same, middle, same, size, **corners), gap)


def test_the_overhang_starts_at_the_edges_in_either_convention():
    edge = torch.tensor([[[[7.5, 2.0], [-0.5, 4.5]]]])
    for align_corners in (False, True):
        options = {"size": (5, 8), "align_corners": align_corners}
        grid = to_normalized(edge, (5, 8), align_corners=align_corners)
        assert overhang(0.999 * grid, **options).item() == 0
        beyond = grid + grid.sign() * 0.25 * (grid.abs() > 0.9)
        assert overhang(beyond, **options).item() == pytest.approx(0.375)
    assert overhang(torch.full((1, 2, 2, 2), 9.0), (1, 1), align_corners=True) == 0


@pytest.mark.parametrize("measure", [outside_fraction, overhang])
def test_the_edges_of_corner_centres_need_a_size(measure):
    with pytest.raises(ValueError, match=r"size must be \(H, W\) with align_corners"):
        measure(torch.zeros(1, 2, 2, 2), align_corners=True)


@pytest.mark.parametrize(
    "measure",
    [
        outside_fraction,
        overhang,
        lambda grid: effective_scale(grid, (8, 8)),
        lambda grid: grid_spread(grid, (8, 8)),
        lambda grid: composition_gap(grid, grid, grid, (8, 8)),
    ],
)
def test_what_is_no_grid_is_refused_by_name(measure):
    with pytest.raises(ValueError, match=r"must be \(N, H, W, 2\), got \(2, 2, 2\)"):
        measure(torch.zeros(2, 2, 2))
    with pytest.raises(TypeError, match="must be a floating tensor, got"):
        measure([[0.0, 0.0]])


def test_the_examples_in_docstrings_are_so():
    assert doctest.testmod(diagnostics).failed == 0


def test_a_normalized_background_makes_a_frame_and_its_own_value_none():
    images = (digits()[0] - 0.1307) / 0.3081
    background = images.min().item()
    assert edge_contrast(images) == pytest.approx(0.424 / images.std().item(), rel=0.01)
    assert edge_contrast(images, background) == pytest.approx(0, abs=1e-5)
    colour = torch.stack([images[:, 0], images[:, 0] + 2], dim=1)
    both = [background, background + 2]
    assert edge_contrast(colour, both) == pytest.approx(0, abs=1e-5)
    assert edge_contrast(colour, background) == pytest.approx(2 / images.std().item())


class Mixed(SpatialTransformer):
    """Its grid means centres by ±1, and its sampler edges."""

    def forward(self, x):
        size = x.shape[-2:]
        grid = self.family.grid(self.params(x), size, align_corners=True)
        return sample(x, grid, align_corners=False)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 12, 20)])
def test_a_new_transformer_drifts_only_if_it_mixes_conventions(shape):
    localization = FullyConnectedLocalization(shape, Affine())
    for align_corners in (False, True):
        whole = SpatialTransformer(localization, align_corners=align_corners)
        assert identity_drift(whole, shape) < 1e-4
    drift = identity_drift(Mixed(localization), shape)
    assert 0.35 < drift < 0.5
    two = nn.Sequential(Mixed(localization), Mixed(localization))
    assert identity_drift(two, shape) > 1.5 * drift
    assert identity_drift(lambda x: x.roll(2, dims=-1), shape) > 1.9


def test_the_right_product_has_no_gap_and_the_other_has():
    family, draw = Similarity(aspect=1.0), torch.Generator().manual_seed(0)
    start = torch.tensor([0.7, 0.1, 0.1, -0.1])
    first, second = start + 0.1 * torch.randn(2, 5, 4, generator=draw)
    grids = family.grid(first, (30, 30)), family.grid(second, (20, 24))
    right = family.grid(family.compose(first, second), (20, 24))
    wrong = family.grid(family.compose(second, first), (20, 24))
    assert composition_gap(*grids, right, (40, 40)).max() < 1e-3
    assert composition_gap(*grids, wrong, (40, 40)).min() > 0.1
    # The gap is a distance in pixels: here, along x.
    moved = right + torch.tensor([0.1, 0.0])
    gap = composition_gap(*grids, moved, (40, 40))
    assert gap.tolist() == pytest.approx([2.0] * 5, abs=1e-3)


def test_symptoms_are_those_of_the_failure():
    torch.manual_seed(0)
    monitor, model = Monitor(*digits()), build("st-cnn", budget=30_000).eval()
    monitor(0, model)
    assert symptoms(monitor.rows[0]) == []
    monitor(1, black(model))
    found = " ".join(symptoms(monitor.rows[1]))
    for word in ("outside", "one value", "no gradient", "leaps", "same warp"):
        assert word in found
    assert "aliases" not in found and "one location" not in found


@pytest.mark.parametrize(("zoom", "word"), [(3.0, "aliases"), (0.1, "one location")])
def test_a_scale_too_large_or_too_small_is_a_symptom(zoom, word):
    torch.manual_seed(0)
    monitor, model = Monitor(*digits()), build("st-cnn", budget=30_000).eval()
    with torch.no_grad():
        model.transformer.localization[-1].bias.mul_(zoom)
    monitor(0, model)
    assert [word in sentence for sentence in symptoms(monitor.rows[0])].count(True) == 1


def test_a_row_tells_how_far_the_grid_has_moved():
    torch.manual_seed(0)
    monitor, model = Monitor(*digits()), build("st-cnn", budget=30_000).eval()
    monitor(0, model)
    with torch.no_grad():
        model.transformer.localization[-1].bias[2] += 0.5  # a quarter of 28 pixels
    monitor(1, model)
    assert monitor.rows[0]["moved"] == 0
    assert monitor.rows[1]["moved"] == pytest.approx(7, rel=1e-4)
    assert monitor.rows[1]["spread"] == pytest.approx(0, abs=1e-4)


def normalized_model():
    localization = ModernLocalization((1, 16, 16), Affine())
    layers = SpatialTransformer(localization), nn.Flatten(), nn.Linear(256, 3)
    return nn.Sequential(*layers).train()


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_a_look_trains_no_batch_normalization():
    model, images = normalized_model(), torch.rand(4, 1, 16, 16)
    before = state_of(model)
    identity_drift(model[0], (1, 16, 16))
    Monitor(images, torch.tensor([0, 1, 2, 0]))(0, model)
    assert all(module.training for module in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_monitor_leaves_no_hook_behind_and_says_when_it_saw_nothing():
    model = normalized_model()
    monitor = Monitor(torch.rand(2, 1, 16, 16), torch.tensor([0, 9]))
    with pytest.raises((IndexError, RuntimeError)):  # there is no class 9
        monitor(0, model)
    assert not model[0]._forward_hooks

    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.transformer, self.rest = model[0], model[1:]

        def forward(self, x):
            return self.rest(x)

    with pytest.raises(ValueError, match="must call"):
        Monitor(torch.rand(2, 1, 16, 16), torch.tensor([0, 1]))(0, Idle())


def test_a_training_step_may_follow_the_gradient_norms():
    model = normalized_model()
    loss = model(torch.rand(4, 1, 16, 16)).square().mean()
    gradient_norms(loss, model)
    loss.backward()


@pytest.mark.parametrize("pixels", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("fill", [0.0, 0.3])
def test_the_drift_is_the_shift_whatever_lies_outside(pixels, fill):
    localization = FullyConnectedLocalization((1, 28, 28), Translation())
    localization[-1].bias.data[0] = pixels / 14
    moved = SpatialTransformer(localization, fill=fill)
    assert identity_drift(moved) == pytest.approx(pixels, abs=1e-3)
    localization[-1].bias.data[0] = 10.0  # nothing of the picture is left
    assert identity_drift(moved) == math.inf


def test_a_channel_of_one_value_hides_no_frame():
    images = torch.cat([torch.rand(4, 1, 8, 8) + 1, torch.zeros(4, 1, 8, 8)], dim=1)
    assert edge_contrast(images) == pytest.approx(
        edge_contrast(images[:, :1]), rel=1e-4
    )
    assert edge_contrast(images) > 1


def test_gradients_in_half_precision_are_not_lost():
    model = nn.Sequential(
        OrderedDict(localization=nn.Linear(4, 1), rest=nn.Linear(1, 1))
    )
    x = 1e-4 * torch.rand(8, 4)
    wanted = gradient_norms(model(x).sum() * 1e-3, model)
    got = gradient_norms((model.half()(x.half()) * 1e-3).sum(), model)
    assert got["localization"] == pytest.approx(wanted["localization"], rel=0.05)


def test_large_grids_in_half_precision_keep_their_spread():
    grid = base_grid((300, 300))[None].repeat(2, 1, 1, 1)
    grid[1] += 0.1
    assert grid_spread(grid.half(), (300, 300)).item() == pytest.approx(10.6, rel=0.01)


def test_a_horizon_in_the_picture_leaves_the_monitor_finite():
    network = FullyConnectedLocalization((1, 8, 8), Projective())
    model = nn.Sequential(SpatialTransformer(network), nn.Flatten(), nn.Linear(64, 10))
    monitor = Monitor(torch.rand(4, 1, 8, 8), torch.arange(4))
    monitor(0, model)
    network[-1].bias.data[6] = 1.3
    monitor(1, model)
    assert math.isfinite(monitor.rows[-1]["moved"])


def test_a_transformer_may_be_called_by_name():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            network = FullyConnectedLocalization((1, 8, 8), Affine())
            self.stn, self.last = SpatialTransformer(network), nn.Linear(64, 10)

        def forward(self, images):
            return self.last(self.stn(x=images).flatten(1))

    monitor = Monitor(torch.rand(4, 1, 8, 8), torch.arange(4))
    monitor(0, Named())
    assert monitor.rows[0]["outside"] == 0


def test_a_flat_picture_that_is_not_the_fill_has_an_infinite_frame():
    flat = torch.full((4, 3, 8, 8), 0.5)
    assert edge_contrast(flat) == math.inf
    assert edge_contrast(flat, fill=0.5) == 0
    flat[0, 0, 3, 3] = torch.nan
    assert math.isnan(edge_contrast(flat[:, :1]))
    with pytest.raises(ValueError, match="^fill must be one number or 3, one a chan"):
        edge_contrast(flat, fill=(0.0, 1.0))


def test_what_is_not_finite_is_outside_of_a_single_column_too():
    grid = base_grid((5, 1))[None].clone()
    grid[0, 0] = math.inf
    assert outside_fraction(grid, (5, 1), align_corners=True).item() == pytest.approx(
        0.2
    )


def test_a_frozen_model_has_no_gradient():
    model = nn.Linear(2, 2).requires_grad_(False)
    loss = model(torch.zeros(1, 2, requires_grad=True)).sum()
    assert gradient_norms(loss, model) == {"localization": 0.0, "rest": 0.0}


def test_a_drift_is_measured_in_the_precision_of_the_weights():
    layer = nn.Conv2d(1, 1, 3, padding=1, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.eye(3)[1].double().outer(torch.eye(3)[1].double()))
    assert identity_drift(layer) == 0
