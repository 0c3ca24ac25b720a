"""The clinic in Chromium: symptoms as they were measured, and causes on demand."""

from __future__ import annotations

import pytest
import torch
from explorables import ExplorableTests

from stn_tutorial import Affine, sample
from stn_tutorial.course.explore import Clinic
from stn_tutorial.course.explore.clinic import DIAGNOSES, NUMBERS, RUNS
from stn_tutorial.experiments.failures import Failure
from stn_tutorial.experiments.results import read_results, results_folder


@pytest.fixture(scope="module")
def found():
    return read_results(results_folder() / "recordings" / "failures", Failure)


def hidden(shown):
    return shown.root.locator(".stn-clinic-hidden")


class TestClinic(ExplorableTests):
    @classmethod
    def figure(cls):
        folder = results_folder() / "recordings" / "failures"
        return Clinic(read_results(folder, Failure))

    @pytest.mark.parametrize("run", range(4))
    def test_the_numbers_are_the_monitors(self, shown, found, run):
        shown.choose_in("Run", str(run + 1))
        shown.slide("Look", 3)
        ill, well = (found[Failure(RUNS[run], h)]["rows"][3] for h in (False, True))
        status = shown.status()
        assert status.startswith(f"Run {run + 1}, step {ill['step']}, ")
        assert f"loss {ill['loss']:.2f} ({well['loss']:.2f})" in status
        outside = f"outside {100 * ill['outside']:.0f}% ({100 * well['outside']:.0f}%)"
        assert outside in status
        assert f"pixels a step {ill['scale']:.2f} px" in status

    def test_outputs_are_sampled_with_the_fill_of_the_run(self, shown, found):
        shown.set(run=RUNS.index("frame"), look=3)
        result, figure = found[Failure("frame")], self.figure()
        theta = torch.tensor(result["rows"][3]["theta"])
        pictures = figure.pictures(RUNS.index("frame"))
        grid = Affine().grid(theta, (28, 28))
        expected = sample(pictures, grid, fill=result["fill"])
        canvases = shown.root.locator(".stn-clinic-digits .stn-panel:last-child canvas")
        for k in range(6):
            seen = shown.pixels(canvases.nth(k))[..., 0] / 255
            torch.testing.assert_close(seen, expected[k, 0], rtol=0, atol=2.5 / 255)

    def test_a_number_is_chosen(self, shown):
        shown.choose_in("Number", "moved")
        assert shown.root.get_by_text("moved since the look before").is_visible()
        assert shown.root.get_by_text("share of the grid").is_hidden()

    @pytest.mark.parametrize("run", range(4))
    def test_the_cause_is_hidden_until_a_diagnosis_is_made(self, shown, run):
        shown.set(run=run)
        look = shown.button("Look at the cause")
        assert look.is_disabled() and hidden(shown).is_hidden()
        right = DIAGNOSES[RUNS[run]][0]
        shown.choose(right)
        assert hidden(shown).is_hidden()  # the choice alone says nothing
        look.click()
        assert f"Right, it is {right}." in hidden(shown).inner_text()
        assert shown.state()["answers"][run] == RUNS[run]

    def test_a_wrong_diagnosis_is_told_what_would_be_seen(self, shown):
        shown.choose(DIAGNOSES["skip"][0])
        shown.button("Look at the cause").click()
        text = hidden(shown).inner_text()
        assert f"It is {DIAGNOSES[RUNS[0]][0]}." in text and "Right" not in text
        assert DIAGNOSES["skip"][1] in text
        shown.choose(DIAGNOSES["idle"][0])
        assert hidden(shown).is_hidden()  # another try
        shown.page.keyboard.press("Escape")
        assert shown.state()["answers"] == [None] * 4

    def test_every_run_keeps_its_own_diagnosis(self, shown):
        shown.choose(DIAGNOSES["step"][0])
        shown.button("Look at the cause").click()
        shown.choose_in("Run", "2")
        assert hidden(shown).is_hidden()
        shown.choose_in("Run", "1")
        assert hidden(shown).is_visible()


def test_each_fault_is_seen_in_the_numbers(found):
    rows = {cell: result["rows"] for cell, result in found.items()}

    def at(fault: str, look: int, number: str) -> tuple[float, float]:
        return tuple(rows[Failure(fault, h)][look][number] for h in (False, True))

    start, start_twin = at("start", 0, "scale")
    assert start < 0.1 and start_twin == pytest.approx(1)
    step, step_twin = at("step", 1, "moved")
    assert step > 100 and step_twin < 1 and at("step", 0, "scale")[0] == 1
    # The two are alike at the end.
    for fault in ("start", "step"):
        assert at(fault, -1, "outside")[0] == 1
        assert at(fault, -1, "localization")[0] == 0
    outside = [
        max(row["outside"] for row in rows[Failure("frame", h)]) for h in (False, True)
    ]
    assert outside[0] > 0.3 and outside[1] < 0.1
    idle, idle_twin = at("idle", -1, "spread")
    assert idle < 0.3 and idle_twin > 3
    # Nothing skips pixels: that answer is wrong everywhere.
    assert found[Failure("frame", True)]["rows"][-1]["scale"] < 1


def test_python_reads_and_chooses(found):
    clinic = Clinic(found)
    clinic.run, clinic.look, clinic.number = 2, 21, "spread"
    clinic.answers = [None, None, "start", None]
    assert (clinic.run, clinic.look, clinic.number) == (2, 21, "spread")
    assert clinic.answers[2] == "start"
    for name, wrong in (("run", 4), ("look", -1), ("run", True)):
        with pytest.raises(ValueError, match=f"^{name} must be a whole number from 0"):
            setattr(clinic, name, wrong)
    with pytest.raises(ValueError, match="^number must be 'loss'"):
        clinic.number = "error"
    for answers in ([None], ["fate", None, None, None]):
        with pytest.raises(ValueError, match="^answers must be 4 of start"):
            clinic.answers = answers
    assert set(NUMBERS) <= found[Failure("idle")]["rows"][0].keys()


def test_a_run_that_is_missing_is_named(found):
    rest = {c: result for c, result in found.items() if c != Failure("idle", True)}
    message = "^found must hold each run, idle-healthy-0 is not"
    with pytest.raises(ValueError, match=message):
        Clinic(rest)
