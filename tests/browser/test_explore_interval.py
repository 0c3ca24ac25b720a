"""The interval in Chromium: its numbers are SciPy's, and what it says follows."""

from __future__ import annotations

import re

import pytest
from explorables import ExplorableTests
from scipy import stats

from stn_tutorial.course.explore import Interval
from stn_tutorial.experiments.differences import Difference

FOUND = {
    "first on P": [0.36, 0.12, 0.61, 0.48, 0.25],
    "both on crop": [1.01, 0.86, 1.16, 0.95, 1.05],
    "first on RTS": [0.01, -0.46, 0.49, 0.3, -0.25],
}


def numbers(shown) -> list[float]:
    """Mean, both ends, p in percent, and what is left of it after the correction."""
    said = shown.status().replace("−", "-").replace("95% interval", "")
    return [float(n) for n in re.findall(r"[+-]?\d+\.?\d*(?=%| points| to|,)", said)]


class TestInterval(ExplorableTests):
    @classmethod
    def figure(cls):
        return Interval(FOUND)

    @pytest.mark.parametrize("seeds", [2, 3, 5])
    @pytest.mark.parametrize("name", FOUND)
    def test_mean_interval_and_p_are_those_of_students_t(self, shown, name, seeds):
        shown.choose(name)
        shown.choose(re.compile(f"^{seeds}$"))
        change = Difference(tuple(FOUND[name][:seeds]))
        mean, low, high, p = numbers(shown)
        assert mean == pytest.approx(change.mean, abs=0.006)
        assert low == pytest.approx(change.mean - change.half_width, abs=0.006)
        assert high == pytest.approx(change.mean + change.half_width, abs=0.006)
        expected = stats.ttest_1samp(change.each, 0.0).pvalue
        assert p == pytest.approx(100 * expected, abs=0.51 if p > 10 else 0.01)
        verdict = ("helps" if mean < 0 else "hurts") if expected < 0.05 else "undecided"
        assert shown.status().endswith(f"{verdict}.")
        figure = self.figure()
        figure.differences, figure.seeds = FOUND[name], seeds
        assert figure.p_value == pytest.approx(expected)

    def test_the_tails_are_scipys(self, shown):
        script = "([t, n]) => [stn.beyond(t, n), stn.quantile(0.05, n)]"
        for degrees in (1, 2, 4):
            for t in (0.0, 0.3, 2.776, 40.0, 1e4):
                beyond, quantile = shown.page.evaluate(script, [t, degrees])
                assert beyond == pytest.approx(2 * stats.t.sf(t, degrees), rel=1e-6)
            assert quantile == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-9)

    def test_many_questions_undo_what_one_decides(self, shown):
        assert "hurts" in shown.status()
        shown.slide("questions", 20)
        *_, p, corrected = [n for n in numbers(shown) if n != 20]
        assert corrected == pytest.approx(20 * p, rel=0.02)
        assert "of 20 questions" in shown.status()
        assert shown.status().endswith("undecided.")

    def test_a_seed_is_dragged_along_its_row(self, shown):
        panel = shown.root.locator(".stn-panel").first.bounding_box()
        shown.drag(shown.handle("seed 1"), panel["width"] / 3.15, 40)  # 3, and a rim
        moved = shown.state()["differences"]
        assert moved[1] == pytest.approx(FOUND["first on P"][1] + 1, abs=0.03)
        assert (
            moved[:1] + moved[2:] == FOUND["first on P"][:1] + FOUND["first on P"][2:]
        )
        assert not shown.root.get_by_role("radio", name="first on P").is_checked()

    def test_equal_differences_leave_no_doubt(self, shown):
        shown.set(differences=[0.2] * 5)
        assert "p = below 0.01%: hurts" in shown.status()
        shown.set(differences=[0.0] * 5)
        assert "p = 100%: undecided" in shown.status()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("differences", [0.1] * 4, "^differences must be 5 numbers"),
        ("differences", [0, 0, 0, 0, 2], "^differences must be 5 numbers"),
        ("seeds", 4, "^seeds must be one of"),
        ("questions", 0, "^questions must be a whole number from 1 to 40"),
        ("questions", 1.5, "^questions must be a whole number"),
    ],
)
def test_what_the_figure_cannot_show_is_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        setattr(Interval(FOUND), name, value)


def test_nothing_found_is_refused():
    with pytest.raises(ValueError, match="^found must hold differences"):
        Interval({})
