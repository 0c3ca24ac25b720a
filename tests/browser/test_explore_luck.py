"""Luck in Chromium: what it draws is binomial, and its q is the package's."""

from __future__ import annotations

import math
import re

import pytest
from explorables import ExplorableTests

from stn_tutorial.course.explore import Luck
from stn_tutorial.course.explore.luck import SETS
from stn_tutorial.course.reports import mcnemar


def lists(shown) -> list[range]:
    """The misclassified digits of both networks, as the line of Python has them."""
    found = re.findall(r"range\((\d+)(?:, (\d+))?\)", shown.code())
    return [range(int(a)) if not b else range(int(a), int(b)) for a, b in found]


def said(shown) -> tuple[float, float]:
    """In how many test sets the better network is ahead, and q is below 5%."""
    ahead, below = re.findall(r"(\d+)%", shown.status().replace("below 5%", ""))
    return int(ahead) / 100, int(below) / 100


class TestLuck(ExplorableTests):
    @classmethod
    def figure(cls):
        return Luck(0.7, 0.5)

    def test_q_is_mcnemars(self, shown):
        for number in (0, 7, SETS - 1):
            shown.set(test_set=number)
            pair = mcnemar(*lists(shown))
            told = shown.root.locator(".stn-luck-q").inner_text()
            assert f"b : c = {pair.worse} : {pair.better}" in told
            q = re.search(r"q = ([\d.]+)", told)
            if q:
                assert float(q[1]) == pytest.approx(pair.q, abs=6e-4)
        script = "(pairs) => pairs.map(([b, c]) => stn.mcnemar(b, c))"
        pairs = [(0, 0), (1, 1), (0, 12), (40, 22), (700, 500)]
        found = shown.page.evaluate(script, pairs)
        for (b, c), q in zip(pairs, found):
            expected = mcnemar(range(b), range(b, b + c)).q
            assert q == pytest.approx(expected, rel=1e-9)

    def test_test_sets_scatter_as_binomials_do(self, shown):
        errors = []
        for number in range(0, SETS, 5):
            shown.set(test_set=number)
            errors.append([len(each) / 100 for each in lists(shown)])
        for k, percent in enumerate((0.7, 0.5)):
            each = [pair[k] for pair in errors]
            middle = sum(each) / len(each)
            spread = math.sqrt(sum((e - middle) ** 2 for e in each) / (len(each) - 1))
            s = 100 * math.sqrt(percent / 100 * (1 - percent / 100) / 10_000)
            assert middle == pytest.approx(percent, abs=4 * s / math.sqrt(len(each)))
            assert spread == pytest.approx(s, rel=0.35)

    def test_shared_mistakes_tell_nothing_apart_and_pairs_gain_by_them(self, shown):
        shown.set(shared=0)
        _, alone = said(shown)
        shown.set(shared=1)
        ahead, paired = said(shown)
        assert ahead > 0.98 and paired > alone + 0.3
        assert (
            "100%"
            in shown.root.get_by_text("shared mistakes").locator("..").inner_text()
        )

    def test_more_digits_find_the_better_one(self, shown):
        found = []
        for digits in ("1,000", "10,000", "100,000"):
            shown.choose(re.compile(f"^{digits}$"))
            found.append(said(shown))
        assert found == sorted(found) and found[0][1] < 0.1 and found[-1] == (1, 1)

    def test_between_equal_networks_few_differences_are_found(self, shown):
        shown.set(first=0.5, second=0.5, digits=100_000)
        (share,) = re.findall(r"in (\d+)%", shown.status())
        assert "equally good" in shown.status() and int(share) <= 8

    def test_another_test_set_is_another(self, shown):
        before = shown.code()
        shown.button("Another test set").click()
        assert shown.state()["test_set"] == 1 and shown.code() != before


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("first", 3.0, "^first must be from 0.1 to 2"),
        ("shared", 1.5, "^shared must be from 0 to 1"),
        ("digits", 500, "^digits must be one of"),
        ("test_set", SETS, "^test_set must be a whole number from 0 to 299"),
        ("test_set", 0.9, "^test_set must be a whole number"),
    ],
)
def test_what_the_figure_cannot_show_is_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        setattr(Luck(), name, value)
