"""The bench in Chromium: handles, grids, folds and fits are the package's."""

from __future__ import annotations

import math
import re

import pytest
import torch
from explorables import COST, ExplorableTests

from stn_tutorial import Projective, ThinPlateSpline, base_grid, sample
from stn_tutorial.course.explore import Bench
from stn_tutorial.course.explore.bench import FAMILIES, START, TRUTHS

CORNERS = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
TABS = {
    "Translation": "translation",
    "Attention": "attention",
    "Similarity": "similarity",
    "Affine": "affine",
    "Projective": "projective",
    "ThinPlateSpline": "spline 4×4",
}
#: By family and handle, the point of the output that the handle stands for.
HANDLES = {
    "Translation": {"middle": (0, 0)},
    "Attention": {"middle": (0, 0), "corner": (1, 1)},
    "Similarity": {"middle": (0, 0), "corner": (1, 1)},
    "Affine": {"middle": (0, 0), "right": (1, 0), "lower": (0, 1)},
    "Projective": {
        **{"upper left": (-1, -1), "upper right": (1, -1)},
        **{"lower left": (-1, 1), "lower right": (1, 1)},
    },
    "ThinPlateSpline": {
        f"control point {k}:": tuple(point)
        for k, point in enumerate(
            base_grid((4, 4), align_corners=True).flatten(0, 1).tolist()
        )
        if k in (0, 5, 15)
    },
}


def image() -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    return 0.5 + 0.25 * (x / 9).sin() + 0.25 * (y / 5 + x / 20).cos()


def at(family, params, point) -> list[float]:
    """Where the package takes a point: the middle of a grid of one pixel around it."""
    params = torch.tensor([params], dtype=torch.float64)
    if hasattr(family, "at"):
        return family.at(params, torch.tensor([point], dtype=torch.float64))[
            0, 0
        ].tolist()
    x, y, w = (
        family.matrix(params)[0] @ torch.tensor([*point, 1.0], dtype=torch.float64)
    ).tolist()
    return [x / w, y / w]


def params_of(shown) -> list[float]:
    state = shown.state()
    return state["warps"][state["family"]]


def place(handle) -> list[float]:
    said = handle.get_attribute("aria-label").replace("\u2212", "-")
    return [float(n) for n in re.findall(r"[xy] (-?[\d.]+)", said)]


def lattice(family, params) -> torch.Tensor:
    params = torch.tensor([params], dtype=torch.float64)
    return family.grid(params, (25, 25), align_corners=True)[0]


def folded(grid) -> int:
    right, down = grid.diff(dim=1)[:-1], grid.diff(dim=0)[:, :-1]
    area = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
    return int((area < 0).sum())


class TestBench(ExplorableTests):
    @classmethod
    def figure(cls):
        return Bench(image())

    @pytest.mark.parametrize("name", FAMILIES)
    def test_handles_and_parameters_are_the_packages(self, shown, name):
        shown.choose(TABS[name])
        visible = [h for h in shown.handles.all() if h.is_visible()]
        assert len(visible) == (16 if "Spline" in name else len(HANDLES[name]))
        for words, point in HANDLES[name].items():
            handle = shown.handle(words).and_(shown.root.locator(":visible"))
            expected = at(FAMILIES[name], params_of(shown), point)
            assert place(handle) == pytest.approx(expected, abs=0.006)
            shown.press(handle, "ArrowRight", "ArrowDown", "ArrowRight", "ArrowDown")
            moved = [expected[0] + 0.1, expected[1] + 0.1]
            if (name, words) == ("Translation", "middle"):
                assert params_of(shown) == pytest.approx([0.35, 0.25])
            reached = at(FAMILIES[name], params_of(shown), point)
            assert reached == pytest.approx(moved, abs=1e-4)
        if name == "Projective":  # the others stay
            shown.press(shown.handle("lower right"), "ArrowLeft")
            left = at(FAMILIES[name], params_of(shown), (-1, -1))
            shown.press(shown.handle("upper right"), "ArrowUp")
            still = at(FAMILIES[name], params_of(shown), (-1, -1))
            assert still == pytest.approx(left, abs=1e-6)

    @pytest.mark.parametrize("name", FAMILIES)
    def test_the_output_is_the_packages(self, shown, name):
        shown.set(family=name)
        params = torch.tensor([START[name]])
        grid = FAMILIES[name].grid(params, (96, 96))
        expected = sample(image()[None, None], grid)[0, 0]
        output = shown.pixels(shown.root.locator(".stn-out"))[..., 0] / 255
        torch.testing.assert_close(output, expected, rtol=0, atol=2.5 / 255)
        numbers = ", ".join(f"{value:.2f}" for value in START[name])
        assert f"torch.tensor([[{numbers}]])" in shown.code()
        assert shown.code().startswith(f"grid = {name}(")

    @pytest.mark.parametrize("stiffness", [0.0, 0.1])
    @pytest.mark.parametrize("pull", [0.3, 0.6, 1.1])
    def test_folds_are_counted_and_lit(self, shown, pull, stiffness):
        offsets = [0.0] * 32
        offsets[12] = -pull
        warps = {**shown.state()["warps"], "ThinPlateSpline": offsets}
        shown.set(family="ThinPlateSpline", warps=warps, stiffness=stiffness)
        spline = ThinPlateSpline((4, 4), stiffness=stiffness)
        expected = folded(lattice(spline, offsets))
        lit = [
            (path.get_attribute("d") or "").count("Z")
            for path in shown.root.locator(".stn-bench-fold").all()
        ]
        assert lit == [expected, expected]
        words = f"{expected} of 576 cells are folded" if expected else "No cell is"
        assert words in shown.status()
        assert bool(expected) == (pull > 0.5) or stiffness
        assert (f"stiffness={stiffness}" in shown.code()) == (stiffness > 0)

    def test_a_mirror_image_is_folded_all_over(self, shown):
        warps = {**shown.state()["warps"], "Affine": [-1, 0, 0, 0, 1, 0]}
        shown.set(family="Affine", warps=warps)
        assert "All 576 cells lie face down" in shown.status()

    def test_a_corner_goes_over_the_horizon_and_back(self, shown):
        handle = shown.handle("upper left")
        shown.press(handle, "Escape")
        panel = shown.root.locator(".stn-panel").first.bounding_box()
        far = 1.2 * panel["width"] / 3 * 1.2
        shown.drag(handle, far, far)  # past the diagonal of the other three
        params = params_of(shown)
        outside = int((~lattice(Projective(), params).isfinite().all(dim=-1)).sum())
        assert outside > 0
        assert f"{outside} of 625 points lie beyond it" in shown.status()
        marked = [
            "stn-bench-beyond" in shown.handle(words).get_attribute("class")
            for words in ("upper left", "upper right", "lower right", "lower left")
        ]
        g, h = params[6:]
        assert marked == (CORNERS @ torch.tensor([g, h]) + 1 <= 0).tolist()
        assert any(marked) and not all(marked)
        # Folded are the cells ahead of the horizon, as the determinant is negative,
        # and none that it cuts.
        ahead = lattice(Projective(), params).isfinite().all(dim=-1).view(25, 25)
        whole = ahead[:-1, :-1] & ahead[1:, :-1] & ahead[:-1, 1:]
        assert torch.linalg.det(Projective().matrix(torch.tensor(params))) < 0
        assert f"{whole.sum()} of 576 cells are folded" in shown.status()
        assert place(handle) == pytest.approx([0.44, 0.44], abs=0.02)
        grid = Projective().grid(torch.tensor([params]), (96, 96))
        expected = sample(image()[None, None], grid)[0, 0]
        output = shown.pixels(shown.root.locator(".stn-out"))[..., 0] / 255
        torch.testing.assert_close(output, expected, rtol=0, atol=2.5 / 255)
        shown.drag(handle, -far, -far)
        assert params_of(shown) == pytest.approx([1, 0, 0, 0, 1, 0, 0, 0], abs=0.02)
        assert "horizon" not in shown.status()

    def test_corners_that_would_leave_no_way_back_stay(self, shown):
        shown.press(shown.handle("upper left"), "Escape")
        left, right = shown.handle("upper left"), shown.handle("upper right")
        for _ in range(3):
            shown.drag(left, -900, -900)
            shown.drag(right, -900, -900)
        assert all(math.isfinite(value) for value in (*place(left), *place(right)))
        before = params_of(shown)
        shown.drag(right, 60, 0)
        assert params_of(shown) != before

    def test_numbers_move_the_warp(self, shown):
        shown.choose("similarity")
        shown.root.get_by_label("Similarity, -b").fill("0.25")
        assert params_of(shown) == [0.6, -0.25, 0.1, -0.1]
        assert shown.root.get_by_label("Similarity, b").input_value() == "-0.25"

    def test_a_reset_is_of_the_family_that_is_shown(self, shown):
        shown.choose("attention")
        shown.press(shown.root.get_by_label("Attention, x"), "Escape")
        state = shown.state()
        assert state["family"] == "Attention"
        assert state["warps"] == {**START, "Attention": [1, 0, 0]}

    @pytest.mark.parametrize("truth", TRUTHS)
    @pytest.mark.parametrize(
        ("count", "noise", "draw"), [(4, 1.5, 1), (20, 3.0, 0), (60, 8.0, 7)]
    )
    def test_fits_and_errors_are_the_packages(self, shown, truth, count, noise, draw):
        bench = self.figure()
        changes = {"truth": truth, "count": count, "noise": noise, "draw": draw}
        for name, value in changes.items():
            setattr(bench, name, value)
        shown.set(mode="fit", **changes)
        said = shown.root.locator(".stn-bench-value").all_inner_texts()
        errors = bench.errors()
        for name, text in zip(FAMILIES, said, strict=True):
            params = bench.fitted(name)
            shown.set(family=name)
            if params is None:
                assert text == "needs 16" and "do not determine" in shown.status()
                continue
            training, held_out = errors[name]
            if math.isinf(held_out):
                assert text == "∞" and "infinite" in shown.status()
                continue
            assert float(text) == pytest.approx(held_out, abs=0.006, rel=1e-4)
            assert f"training error {training:.1f} px" in shown.status()
            numbers = re.search(r"\[\[(.*)\]\]", shown.code())[1].split(",")
            given = [float(number) for number in numbers]
            assert given == pytest.approx(params.tolist(), abs=0.006, rel=1e-4)

    def test_a_fit_is_chosen_by_hand(self, shown):
        shown.choose("fitted to points")
        assert not any(handle.is_visible() for handle in shown.handles.all())
        shown.slide("number of points", 12)
        shown.slide("noise", 0)
        shown.button("Other points").click()
        shown.root.get_by_label("show the hidden warp").check()
        state = shown.state()
        assert [state[k] for k in ("mode", "count", "noise", "draw", "reveal")] == [
            *("fit", 12, 0, 1, True)
        ]
        assert shown.root.locator(".stn-bench-hidden").get_attribute("d")
        assert "held-out error 0.0 px" in shown.status()  # a projective fit finds it
        shown.press(shown.button("Other points"), "Escape")
        assert shown.state()["count"] == 20 and shown.state()["mode"] == "fit"
        shown.choose("by hand")
        assert shown.handle("upper left").is_visible()

    @pytest.mark.parametrize(
        "changes",
        [
            {"mode": "fit", "count": 60, "family": "ThinPlateSpline", "reveal": True},
            {"family": "ThinPlateSpline", "stiffness": 0.5},
        ],
    )
    def test_the_dearest_frames_cost_no_more(self, shown, changes):
        shown.set(**changes)
        cost, *_ = shown.live.evaluate(COST)
        assert cost < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": torch.rand(3, 4)}, "^image must be square"),
        ({"family": "Crop"}, "^family must be 'Translation', .*, got 'Crop'"),
        ({"mode": "both"}, "^mode must be 'hand' or 'fit'"),
    ],
)
def test_what_makes_no_bench_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Bench(**{"image": torch.rand(8, 8), **arguments})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", 3, "^count must be a whole number from 4 to 60"),
        ("count", 4.9, "^count must be a whole number"),
        ("noise", math.nan, "^noise must be from 0 to 8"),
        ("draw", 8, "^draw must be a whole number from 0 to 7"),
        ("draw", 1.9, "^draw must be a whole number"),
        ("truth", "Affine", "^truth must be 'Similarity'"),
        ("params", [1, 2], "^params of Projective must be 8 finite numbers"),
        ("warps", {"Affine": [1, 0, 0, 0, 1, 0]}, "^warps must have the names"),
    ],
)
def test_what_makes_no_state_is_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        setattr(Bench(torch.rand(8, 8)), name, value)


def test_without_noise_a_family_that_contains_the_truth_finds_it():
    bench = Bench(torch.rand(96, 96), mode="fit")
    bench.noise = 0
    for truth, finders in (
        ("Similarity", ("Similarity", "Affine", "Projective", "ThinPlateSpline")),
        ("Projective", ("Projective",)),
        ("ThinPlateSpline", ("ThinPlateSpline",)),
    ):
        bench.truth = truth
        for name, errors in bench.errors().items():
            if name in finders:
                assert max(errors) < 1e-6, (truth, name)
            else:
                assert errors[1] > 0.05, (truth, name)


def test_freedom_costs_more_than_it_gains_where_points_are_few_and_noisy():
    bench = Bench(torch.rand(96, 96), mode="fit")
    bench.count, bench.noise = 16, 4
    held_out = {name: errors[1] for name, errors in bench.errors().items()}
    assert min(held_out, key=held_out.get) == "Similarity"
    assert held_out["ThinPlateSpline"] == max(held_out.values())


def test_its_picture_follows_the_mode():
    for mode in ("hand", "fit"):
        figure = Bench(torch.rand(16, 16), family="ThinPlateSpline", mode=mode)
        assert len(figure.picture().axes) == 2
        assert ("handles" in figure.hint) == (mode == "hand")
