"""The pull on a point in Chromium: its numbers are those of the package's backward."""

from __future__ import annotations

import re

import pytest
import torch
from explorables import ExplorableTests

from stn_tutorial import sample, to_normalized
from stn_tutorial.course.explore import Pull

SIZE = (12, 15)


def image() -> torch.Tensor:
    """A blob on a slope, as bytes hold it."""
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(15.0), indexing="ij")
    blob = 0.7 * torch.exp(-((x - 6) ** 2 + (y - 5) ** 2) / 9) + 0.01 * x
    return (255 * blob).round() / 255


def numbers(text: str) -> list[float]:
    plain = text.replace("\N{MINUS SIGN}", "-")
    return [float(number) for number in re.findall(r"-?\d+\.\d+", plain)]


def pieces(locator) -> list[torch.Tensor]:
    """The lines of a path, each as (points, 2)."""
    lines = locator.get_attribute("d").split("M")[1:]
    return [
        torch.tensor([[float(n) for n in point.split()] for point in line.split("L")])
        for line in lines
    ]


def backward(points: torch.Tensor, backend: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and slopes at pixel points (..., 2)."""
    points = points.double().requires_grad_()
    grid = to_normalized(points, SIZE).view(1, 1, -1, 2)
    values = sample(image().double()[None, None], grid, backend=backend).flatten()
    (slopes,) = torch.autograd.grad(values.sum(), points)
    return values.detach().view(points.shape[:-1]), slopes


def field(shift, target, backend: str) -> tuple[float, torch.Tensor]:
    """The loss, and the arrows (H, W, 2)."""
    rows, columns = torch.arange(12.0), torch.arange(15.0)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    places = torch.stack([x, y], dim=-1).double()
    goal, _ = backward(places - torch.tensor(target), backend)
    points = (places + torch.tensor(shift)).requires_grad_()
    grid = to_normalized(points, SIZE)[None]
    read = sample(image().double()[None, None], grid, backend=backend)[0, 0]
    loss = 0.5 * ((read - goal) ** 2).sum()
    return loss.item(), -torch.autograd.grad(loss, points)[0]


class TestPullOnOnePoint(ExplorableTests):
    @classmethod
    def figure(cls):
        return Pull(image(), (3.3, 2.6))

    @pytest.mark.parametrize("backend", ["manual", "native"])
    @pytest.mark.parametrize("point", [(3.3, 2.6), (0.25, 10.9), (7.5, 4.75)])
    def test_the_arrow_is_the_packages_backward(self, shown, point, backend):
        shown.set(point=list(point))
        value, slopes = backward(torch.tensor(point), backend)
        caption = shown.root.locator(".stn-caption").first.inner_text()
        times = float(caption.rpartition(" ")[2])
        begin, end = pieces(shown.root.locator(".stn-pull-arrow"))[0].double()
        # The path says four digits.
        torch.testing.assert_close((end - begin) / times, slopes, rtol=0, atol=1e-4)
        said = numbers(shown.status())
        assert said[:2] == pytest.approx(point, abs=0.006)
        assert said[2:] == pytest.approx([value.item(), *slopes.tolist()], abs=6e-4)

    def test_the_row_is_the_packages(self, shown):
        x = torch.arange(15.0)
        row = torch.stack([x, torch.full_like(x, 2.6)], dim=-1)
        values, slopes = backward(row, "manual")
        (curve,) = pieces(shown.root.locator(".stn-pull-value").first)
        torch.testing.assert_close(curve[:, 1].double(), values, rtol=0, atol=1e-4)
        path = shown.root.locator(".stn-pull-slope").first.get_attribute("d")
        steps = [float(step.split()[1].split("h")[0]) for step in path.split("M")[1:]]
        assert steps == pytest.approx(slopes[:-1, 0].tolist(), abs=1e-4)

    def test_on_a_kink_both_slopes_are_told(self, shown):
        shown.press(shown.handle("the point"), *3 * ["ArrowLeft"])
        assert shown.state()["point"] == [3, 2.6]
        *_, here, _, left = numbers(shown.status())
        beside = [backward(torch.tensor([x, 2.6]), "manual")[1] for x in (2.999, 3)]
        assert left == pytest.approx(beside[0][0].item(), abs=6e-4)
        assert here == pytest.approx(beside[1][0].item(), abs=6e-4)

    def test_a_press_moves_the_point_which_stays_inside(self, shown):
        box = shown.root.locator(".stn-panel").first
        size = box.bounding_box()
        spot = {"x": size["width"] * 9.5 / 15, "y": size["height"] * 3.5 / 12}
        box.click(position=spot)
        assert shown.state()["point"] == pytest.approx([9, 3], abs=0.05)
        shown.drag(shown.handle("the point"), 2 * size["width"], 2 * size["height"])
        assert shown.state()["point"] == [14, 11]
        assert "slopes(U, torch.tensor([14.00, 11.00]" in shown.code()


class TestPullOnAllPoints(ExplorableTests):
    @classmethod
    def figure(cls):
        return Pull(image(), target=(2, 1), asked="all points")

    @pytest.mark.parametrize("backend", ["manual", "native"])
    @pytest.mark.parametrize(
        ("shift", "target"),
        [((0.25, -0.5), (2.0, 1.0)), ((-1.6, -1.3), (2.0, 1.5)), ((3.1, 2.2), (-3, 0))],
    )
    def test_loss_and_arrows_are_the_packages(self, shown, shift, target, backend):
        shown.set(shift=list(shift), target=list(target))
        loss, arrows = field(shift, [float(d) for d in target], backend)
        total = arrows.sum(dim=(0, 1)).tolist()
        said = numbers(shown.status())
        assert said == pytest.approx([loss, *total], abs=6e-4)
        caption = shown.root.locator(".stn-caption").first.inner_text()
        times = float(re.search(r"× ([\d.]+)", caption)[1])
        lines = pieces(shown.root.locator(".stn-pull-field"))
        drawn = torch.stack([line for line in lines if len(line) == 2]).double()
        found = (drawn[:, 1] - drawn[:, 0]) / times
        long = (times * arrows).norm(dim=-1) > 0.08
        torch.testing.assert_close(found, arrows[long], rtol=0, atol=1e-4)

    def test_the_curves_are_the_loss_and_its_gradient_over_shifts(self, shown):
        (curve,) = pieces(shown.root.locator(".stn-pull-value").nth(1))
        gradient = torch.cat(pieces(shown.root.locator(".stn-pull-slope").nth(1)))
        for x in (-2.5, 0.4, 3.15):
            loss, arrows = field((x, 0.0), (2.0, 1.0), "manual")
            height = curve[(curve[:, 0] - x).abs() < 1e-3, 1].item()
            slope = gradient[(gradient[:, 0] - x).abs() < 1e-3, 1].item()
            assert height == pytest.approx(loss, abs=1e-4)
            assert slope == pytest.approx(-arrows[..., 0].sum().item(), abs=1e-4)

    def test_following_the_arrow_ends_where_it_vanishes(self, shown):
        assert "pull left and up; the target lies right and down" in shown.status()
        handle = shown.handle("all points")
        shown.press(handle, *8 * ["ArrowLeft"], *4 * ["ArrowUp"])
        assert shown.state()["shift"] == [-2, -1]
        assert "they cancel" in shown.status()
        assert not shown.root.locator(".stn-pull-arrow").get_attribute("d")

    def test_the_target_is_displaced(self, shown):
        outline = shown.root.locator(".stn-pull-target")
        before = outline.get_attribute("d")
        shown.press(shown.handle("target"), "ArrowUp", "ArrowUp", "Shift+ArrowRight")
        assert shown.state()["target"] == [2.05, 0.5]
        assert outline.get_attribute("d") != before

    def test_one_point_can_be_asked_instead(self, shown):
        shown.choose("one point")
        assert shown.handle("the point").is_visible()
        assert shown.handle("target").is_hidden()
        assert "brighter" in shown.status()


def test_python_computes_the_same_arrows():
    pull = Pull(image(), asked="all points")
    pull.shift, pull.target = (0.25, -0.5), (2, 1)
    _, expected = field((0.25, -0.5), (2.0, 1.0), "native")
    torch.testing.assert_close(pull.arrows(), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.rand(1, 4),), "^image must have sides of at least 2"),
        ((torch.rand(1, 4, 4),), r"^image must be \(H, W\)"),
        ((torch.rand(4, 4), (1, 2, 3)), "^point must be 2 finite numbers"),
        ((torch.rand(4, 4), (1, 1), (1,)), "^target must be 2 finite numbers"),
        ((torch.rand(4, 4), (1, 1), (1, 1), "none"), "^asked must be 'one point'"),
    ],
)
def test_what_has_no_pull_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Pull(*arguments)
