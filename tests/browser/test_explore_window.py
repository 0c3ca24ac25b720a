"""The window in Chromium: hands, keys and numbers move the frame, both ways."""

from __future__ import annotations

import pytest
import torch

from stn_tutorial import warp
from stn_tutorial.course.explore import Window

IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
PIXELS = """(canvas) => {
  const {width, height} = canvas;
  const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  return [...data].filter((_, k) => k % 4 === 0);
}"""


def image() -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    return 0.5 + 0.25 * (x / 9).sin() + 0.25 * (y / 5 + x / 20).cos()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A page with the same figure twice, as when a cell was shown twice."""
    path = tmp_path_factory.mktemp("window") / "page.html"
    start = '<!doctype html><meta charset="utf-8"><meta name="viewport" '
    start += 'content="width=device-width"><body>'
    shown = 2 * Window(image())._repr_html_()
    path.write_text(start + shown + "</body>", encoding="utf-8")
    return path


class Shown:
    """What a reader sees of the window, and can do with it."""

    def __init__(self, page) -> None:
        self.page = page
        self.root = page.locator(".stn-explore").first
        self.handles = self.root.locator(".stn-handle")
        self.fields = self.root.locator(".stn-numbers input")

    def theta(self) -> list[float]:
        return [
            float(v) for v in self.fields.evaluate_all("all => all.map(e => e.value)")
        ]

    def output(self) -> torch.Tensor:
        canvas = self.root.locator(".stn-out")
        return torch.tensor(canvas.evaluate(PIXELS)).view(64, 64) / 255

    def handle(self, words: str):
        return self.root.get_by_role("button", name=words)


@pytest.fixture
def shown(open_file, path):
    page, wrong = open_file(path)
    yield Shown(page)
    assert not wrong


def test_it_starts_once_each_and_hides_its_still_picture(shown):
    assert shown.page.locator(".stn-live .stn-panels").count() == 2
    assert shown.root.locator(".stn-still").is_hidden()
    assert shown.theta() == [0.5, -0.26, -0.1, 0.26, 0.5, 0.15]
    assert (
        "theta = torch.tensor([[0.50, -0.26" in shown.root.locator("code").inner_text()
    )


def test_the_output_is_the_packages(shown):
    expected = warp(image()[None, None], torch.tensor([shown.theta()]), (64, 64))[0, 0]
    # One byte a pixel comes, and one byte goes.
    torch.testing.assert_close(shown.output(), expected, rtol=0, atol=2.5 / 255)


@pytest.mark.parametrize(
    ("words", "places"),
    [("first column", (0, 3)), ("second column", (1, 4)), ("third column", (2, 5))],
)
def test_arrow_keys_move_a_column_of_theta(shown, words, places):
    before = shown.theta()
    shown.handle(words).focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowDown"):
        shown.page.keyboard.press(key)
    change = [after - start for after, start in zip(shown.theta(), before)]
    expected = [0.0] * 6
    expected[places[0]], expected[places[1]] = 0.1, 0.01
    assert change == pytest.approx(expected, abs=1e-6)


def test_a_drag_moves_the_frame(shown):
    panel = shown.root.locator(".stn-input").bounding_box()
    box = shown.handle("third column").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    shown.page.mouse.move(x, y)
    shown.page.mouse.down()
    shown.page.mouse.move(x + panel["width"] / 6, y - panel["height"] / 12)
    shown.page.mouse.up()
    shown.page.mouse.move(x, y)  # let go: it stays
    assert shown.theta() == pytest.approx([0.5, -0.26, 0.4, 0.26, 0.5, -0.1], abs=0.011)


def test_the_corner_rotates_and_scales_and_keeps_the_shape(shown):
    shown.page.keyboard.press("Tab")
    shown.handle("corner of the frame").focus()
    for _ in range(6):
        shown.page.keyboard.press("ArrowLeft")
    a, b, c, d, e, f = shown.theta()
    assert (c, f) == (-0.1, 0.15)
    assert a == pytest.approx(e, abs=0.011) and b == pytest.approx(-d, abs=0.011)
    assert (a, b) != (0.5, -0.26)


def test_numbers_move_the_frame_and_escape_resets_it(shown):
    shown.fields.nth(2).fill("0.35")
    assert "x 0.35" in shown.handle("third column").get_attribute("aria-label")
    assert "0.35" in shown.root.locator("code").inner_text()
    shown.fields.nth(2).fill("")  # not a number yet: nothing happens
    assert "0.35" in shown.root.locator("code").inner_text()
    shown.handle("first column").focus()
    shown.page.keyboard.press("Escape")
    assert shown.theta() == IDENTITY
    assert "keeps the size" in shown.root.locator("output").inner_text()


def test_a_mirror_is_told(shown):
    shown.fields.nth(0).fill("-0.5")
    shown.fields.nth(1).fill("0")
    assert "mirrored" in shown.root.locator("output").inner_text()


def test_the_grid_can_be_shown(shown):
    dots = shown.root.locator(".stn-dots")
    assert not dots.get_attribute("d")
    shown.root.get_by_label("sampling grid").check()
    assert dots.get_attribute("d").count("M") == 64


def test_targets_are_large_enough_on_a_phone_and_nothing_overflows(shown):
    shown.page.set_viewport_size({"width": 390, "height": 800})
    for target in (*shown.handles.all(), *shown.fields.all()):
        box = target.bounding_box()
        assert box["height"] >= 44
    wide = shown.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390


def test_a_picture_stands_in_print_and_without_scripts(open_file, shown, path, browser):
    shown.page.emulate_media(media="print")
    assert shown.root.locator(".stn-still").is_visible()
    assert shown.root.locator(".stn-live").is_hidden()
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(path.as_uri())
    still = page.locator(".stn-still").first
    assert still.is_visible() and len(still.get_attribute("alt")) > 40
    context.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.rand(3, 4),), "^image must be square"),
        ((torch.rand(1, 4, 4),), r"^image must be \(H, W\)"),
        ((torch.rand(4, 4), (1, 2, 3)), "^theta must be six finite numbers"),
        ((torch.rand(4, 4), (1, 2, 3, 4, 5, float("inf"))), "^theta must be six"),
    ],
)
def test_what_makes_no_window_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Window(*arguments)
