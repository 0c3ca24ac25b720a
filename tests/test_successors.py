"""What came after the spatial transformer, against torchvision, torch and geometry."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from stn_tutorial import Affine, SpatialTransformer, base_grid, sample, warp
from stn_tutorial.data import embedded_digits
from stn_tutorial.experiments import successors
from stn_tutorial.experiments.successors import (
    CentroidLocalization,
    DeformableConv2d,
    Exponential,
    InverseCompositional,
    LogPolar,
    RotatedConv2d,
    attention_rows,
    deformable_convolution,
    estimate_flow,
    roi_align,
)
from stn_tutorial.families import Family

pytestmark = pytest.mark.usefixtures("one_core")
close = torch.testing.assert_close


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_the_examples_of_the_docstrings_are_right():
    assert doctest.testmod(successors).failed == 0


# ------------------------------------------------------------------------- transformers


class Constant(nn.Module):
    """Answers the same for every image, and keeps what it saw."""

    def __init__(self, params: list[float]) -> None:
        super().__init__()
        self.params = nn.Parameter(torch.tensor([params]))
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x)
        return self.params.expand(len(x), -1)


def test_looks_compose_and_each_sees_the_one_before():
    image = torch.rand(2, 1, 9, 9)
    zoom = [0.8, 0.0, 0.1, 0.0, 0.8, 0.0]
    network = Constant(zoom)
    seen = InverseCompositional(network, looks=3)(image)
    matrix = torch.tensor([[0.8, 0.0, 0.1], [0.0, 0.8, 0.0], [0.0, 0.0, 1.0]])
    cubed = torch.linalg.matrix_power(matrix, 3)[:2].expand(2, 2, 3)
    theirs = F.grid_sample(
        image,
        F.affine_grid(cubed, image.shape, align_corners=False),
        align_corners=False,
    )
    close(seen, theirs)
    close(network.seen[0], image)
    close(network.seen[1], warp(image, torch.tensor([zoom]).expand(2, -1)))
    assert len(network.seen) == 3
    once = InverseCompositional(Constant(zoom), looks=1)(image)
    close(once, SpatialTransformer(Constant(zoom))(image))


@pytest.mark.parametrize("options", [{"padding": "border"}, {"align_corners": True}])
def test_later_looks_see_what_the_options_make(options):
    image, shift = torch.rand(1, 1, 4, 6), [1.0, 0.0, 0.4, 0.0, 1.0, 0.0]
    network = Constant(shift)
    InverseCompositional(network, **options)(image)
    close(network.seen[1], warp(image, torch.tensor([shift]), **options))


def test_later_looks_see_whole_pictures_whatever_the_size_of_what_comes_out():
    network = Constant(Affine().identity().tolist())
    transformer = InverseCompositional(network, looks=2, out_size=(4, 4))
    assert transformer(torch.rand(1, 1, 9, 7)).shape == (1, 1, 4, 4)
    assert [tuple(x.shape[2:]) for x in network.seen] == [(9, 7), (9, 7)]


def test_exponential_parameters_are_warps_that_can_be_undone():
    family = Exponential()
    assert isinstance(family, Family)
    params = torch.randn(50, 6, dtype=torch.float64)
    theta = family.affine(params)
    linear = theta.unflatten(1, (2, 3))[:, :, :2]
    trace = params[:, 0] + params[:, 4]
    close(torch.linalg.det(linear), trace.exp())  # Jacobi's formula: never negative
    back = Affine().compose(theta, family.affine(family.inverse(params)))
    close(back, Affine().identity().double().expand(50, -1), rtol=0, atol=1e-8)
    angle = torch.tensor(
        [[0.0, -0.7, 0.0, 0.7, 0.0, 0.0]]
    )  # the generator of rotations
    cos, sin = math.cos(0.7), math.sin(0.7)
    close(family.affine(angle), torch.tensor([[cos, -sin, 0.0, sin, cos, 0.0]]))
    image = torch.rand(1, 1, 5, 6)
    close(warp(image, torch.zeros(1, 6), family=family), image)


# ------------------------------------------------------------------- detection's layers


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_roi_align_is_torchvisions(samples):
    features = torch.rand(2, 3, 12, 15)
    boxes = torch.tensor([[0, 1.3, 2.2, 9.7, 11.1], [1, 0.5, 0.5, 14.2, 6.0]])
    theirs = torchvision.ops.roi_align(
        features, boxes, (4, 5), sampling_ratio=samples, aligned=True
    )
    close(roi_align(features, boxes, (4, 5), samples=samples), theirs)


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(3, 1, 1), (3, 2, 0), (5, 2, 2)]
)
def test_deformable_convolution_is_torchvisions_with_its_gradients(
    size, stride, padding
):
    like = {"dtype": torch.float64, "requires_grad": True}
    x = torch.rand(2, 3, 9, 11, **like)
    weight = torch.rand(4, 3, size, size, **like)
    out = [(n + 2 * padding - size) // stride + 1 for n in x.shape[2:]]
    offsets = 2 * torch.randn(2, 2 * size**2, *out, dtype=torch.float64)
    offsets.requires_grad_()
    options = {"stride": stride, "padding": padding}
    ours = deformable_convolution(x, offsets, weight, **options)
    theirs = torchvision.ops.deform_conv2d(x, offsets, weight, **options)
    close(ours, theirs)
    above = torch.rand_like(ours)
    inputs = x, offsets, weight
    for mine, other in zip(
        torch.autograd.grad(ours, inputs, above),
        torch.autograd.grad(theirs, inputs, above),
    ):
        close(mine, other)


def test_a_deformable_layer_starts_as_a_convolution_and_learns_offsets():
    layer = DeformableConv2d(2, 4, 3, stride=2)
    x = torch.rand(2, 2, 9, 8)
    close(layer(x), F.conv2d(x, layer.weight, stride=2, padding=1))
    layer(x).square().sum().backward()
    assert layer.localization.weight.grad.abs().max() > 0


# ---------------------------------------------------------------------------- rotations


def test_a_rotation_is_a_shift_in_polar_coordinates_and_a_zoom_too():
    y = base_grid((64, 64))[..., 1]
    x = base_grid((64, 64))[..., 0]

    def picture(x, y):
        blob = torch.exp(-20 * ((x - 0.4) ** 2 + (y + 0.1) ** 2))
        return (blob + 0.5 * torch.exp(-30 * (x**2 + (y - 0.5) ** 2)))[None, None]

    family, size = LogPolar(0.05, 0.8), (25, 32)
    origin = torch.zeros(1, 2)
    seen = warp(picture(x, y), origin, size, family=family)
    step = 2 * math.pi / 32
    cos, sin = math.cos(3 * step), math.sin(3 * step)
    # Clockwise on the screen, where y points down: (x, y) came from the inverse.
    turned = picture(cos * x + sin * y, -sin * x + cos * y)
    turned = warp(turned, origin, size, family=family)
    close(turned, seen.roll(3, dims=3), rtol=0, atol=0.01)
    assert (turned - seen).abs().max() > 0.5
    ring = (0.8 / 0.05) ** (1 / 24)
    grown = warp(picture(x / ring**2, y / ring**2), origin, size, family=family)
    close(grown[:, :, 2:], seen[:, :, :-2], rtol=0, atol=0.01)


def test_an_origin_moves_as_the_picture_does():
    network = CentroidLocalization((1, 32, 32)).eval()
    close(
        network(torch.rand(2, 1, 32, 32)), torch.zeros(2, 2)
    )  # it starts in the middle
    nn.init.normal_(network.map[-1].weight)
    picture = torch.zeros(1, 1, 32, 32)
    picture[..., 12:18, 10:15] = torch.rand(6, 5)
    # Background is alike everywhere, and moves the centre of mass towards the middle:
    # a sharp map leaves it no share.
    network.map[-1].weight.data *= 100
    before, after = network(picture), network(picture.roll((4, 8), dims=(2, 3)))
    close(after - before, torch.tensor([[8.0, 4.0]]) / 16, rtol=0, atol=1e-3)


@pytest.mark.parametrize("rotations", [4, 8])
@pytest.mark.parametrize("size", [3, 5])
def test_rotated_filters_commute_with_quarter_rotations(rotations, size):
    lift = RotatedConv2d(1, 3, size, rotations=rotations, lifts=True)
    layer = RotatedConv2d(3, 2, size, rotations=rotations)
    x = torch.rand(1, 1, 10, 10)
    maps = layer(lift(x).relu())
    turned = layer(lift(x.rot90(-1, (2, 3))).relu())  # clockwise on the screen
    steps = rotations // 4
    close(turned, maps.rot90(-1, (3, 4)).roll(steps, dims=2), rtol=0, atol=1e-4)
    assert (turned - maps.rot90(-1, (3, 4))).abs().max() > 0.1


def test_eight_orientations_nearly_commute_with_an_eighth_and_plain_filters_do_not():
    digit = F.interpolate(embedded_digits()[0][3:4], size=(29, 29), mode="bilinear")
    lift = RotatedConv2d(1, 6, 7, rotations=8, lifts=True)
    lift.weight.data -= lift.weight.mean(dim=(-2, -1), keepdim=True)  # edges, no blur
    plain = RotatedConv2d(1, 6, 7, rotations=8, lifts=True)
    plain.weight.data.copy_(lift.weight)
    plain.grid.copy_(plain.grid[:1].expand_as(plain.grid))
    half = math.sqrt(0.5)
    theta = torch.tensor([[half, half, 0.0, -half, half, 0.0]])  # 45°, clockwise

    def error(layer):
        with torch.no_grad():
            maps = layer(digit)
            after = warp(maps.flatten(1, 2), theta).unflatten(1, maps.shape[1:3])
            after = after.roll(1, dims=2)
            before = layer(warp(digit, theta))
        inside = ..., slice(7, 22), slice(7, 22)
        return ((before - after)[inside].norm() / after[inside].norm()).item()

    assert error(lift) < 0.25 < 0.6 < error(plain)


# ------------------------------------------------------------------- flow and attention


def test_a_flow_explains_a_shift_and_keeps_smooth():
    y = torch.linspace(-1, 1, 20)
    blob = torch.exp(-6 * (y[:, None] ** 2 + y**2))[None, None]
    moved = blob.roll((1, 2), dims=(2, 3))
    flow = estimate_flow(blob, moved)
    seen = torchvision.ops.deform_conv2d(  # an independent sampler: one tap, moved
        moved, flow.flip(1), torch.ones(1, 1, 1, 1)
    )
    assert F.mse_loss(seen, blob) < 0.02 * F.mse_loss(moved, blob)
    inside = blob[0, 0] > 0.3
    close(flow[0, :, inside].mean(dim=1), torch.tensor([2.0, 1.0]), rtol=0, atol=0.2)


def test_attention_rows_are_the_sampler():
    image = torch.rand(2, 3, 8, 9)
    grid = 1.2 * base_grid((5, 6)).expand(2, -1, -1, -1) + 0.1 * torch.randn(2, 5, 6, 2)
    rows = attention_rows(grid, (8, 9))
    seen = rows @ image.flatten(2).mT
    theirs = F.grid_sample(image, grid, align_corners=False)
    close(seen.mT.unflatten(2, (5, 6)), theirs)
    close(seen.mT.unflatten(2, (5, 6)), sample(image, grid))
    assert (rows >= 0).all() and ((rows > 0).sum(dim=-1) <= 4).all()
    inside = (grid.abs() < 7 / 8).all(dim=-1).flatten(1)
    assert inside.any()
    close(rows.sum(dim=-1)[inside], torch.ones(int(inside.sum())))
