"""What every figure that answers to the hand must do, in Chromium.

A test file of a figure has a class that says which one, and inherits the rest::

    class TestRuler(ExplorableTests):
        @classmethod
        def figure(cls):
            return Ruler()
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Locator, Page

from stn_tutorial.course.explore import Explorable

#: Where pictures of every figure are left, to be looked at.
SCREENSHOTS = Path(__file__).resolve().parent.parent / "_build" / "screenshots"
HEAD = '<!doctype html><meta charset="utf-8"><meta name="viewport" '
HEAD += 'content="width=device-width"><title>Figures</title><body>'
DARK = "<style>html{color-scheme:dark}body{background:#121212;color:#ddd}</style>"
#: The most that a figure's own data may weigh: the rest is scripts, and a picture.
HEAVIEST = 300_000
PIXELS = """(canvas) => {
  const {width, height} = canvas;
  const copy = new OffscreenCanvas(width, height);
  const context = copy.getContext("2d", {willReadFrequently: true});
  context.drawImage(canvas, 0, 0);
  const data = context.getImageData(0, 0, width, height).data;
  return [width, height, [...data].filter((_, k) => k % 4 !== 3)];
}"""
# The quickest of some updates, in units of arithmetic that takes 4 ms on a desktop.
COST = """(live) => {
  const quickest = (work) => Math.min(...Array.from({length: 15}, () => {
    const start = performance.now();
    work();
    return performance.now() - start;
  }));
  let sum = 0;
  const arithmetic = () => { for (let k = 1; k < 1.6e6; k++) sum += Math.sqrt(k) / k; };
  arithmetic();
  const update = quickest(() => live.model.set({}));
  return [update / quickest(arithmetic), update, sum];
}"""


# What anywidget does: import the module, and give it a model that a kernel shares.
SHOW_WIDGET = """async ([esm, state, data, hint]) => {
  const url = URL.createObjectURL(new Blob([esm], {type: "text/javascript"}));
  const { default: figure } = await import(url);
  const values = {state, data, hint};
  const listeners = [];
  globalThis.widget = {
    saved: 0,
    get: (name) => values[name],
    set: (name, value) => {
      values[name] = value;
      listeners.forEach((listener) => listener());
    },
    save_changes: () => (widget.saved += 1),
    on: (_, listener) => listeners.push(listener),
  };
  document.body.innerHTML = "<main></main>";
  figure.render({ model: widget, el: document.querySelector("main") });
}"""


class Shown:
    """What a reader sees of a figure, and can do with it."""

    def __init__(self, page: Page, root: Locator) -> None:
        self.page, self.root = page, root
        self.live = root.locator(".stn-live")
        self.handles = root.locator(".stn-handle")

    def state(self) -> dict:
        return self.live.evaluate("(live) => live.model.all()")

    def set(self, **changes) -> None:
        self.live.evaluate("(live, changes) => live.model.set(changes)", changes)

    def code(self) -> str:
        return self.root.locator(".stn-code code").inner_text()

    def status(self) -> str:
        return self.root.locator("output").inner_text()

    def handle(self, words: str) -> Locator:
        return self.root.locator(f'.stn-handle[aria-label*="{words}"]')

    def button(self, words: str) -> Locator:
        return self.root.get_by_role("button", name=words)

    def press(self, handle: Locator, *keys: str) -> None:
        handle.focus()
        for key in keys:
            self.page.keyboard.press(key)

    def slide(self, label: str, value: float) -> None:
        self.root.get_by_label(label).first.fill(str(value))

    def choose(self, words: str) -> None:
        self.root.get_by_role("radio", name=words).check(force=True)

    def choose_in(self, group: str, words: str) -> None:
        """Choose one of a group, where several groups have the same words."""
        fieldset = self.root.locator("fieldset", has_text=group)
        fieldset.get_by_role("radio", name=words).check(force=True)

    def pixels(self, canvas: Locator) -> torch.Tensor:
        """A canvas as (H, W, 3), from 0 to 255."""
        width, height, values = canvas.evaluate(PIXELS)
        return torch.tensor(values).view(height, width, 3)

    def drag(self, handle: Locator, x: float, y: float) -> None:
        """Drag a handle by pixels of the screen, with the mouse."""
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        start = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(start[0] + x / 2, start[1] + y / 2)
        self.page.mouse.move(start[0] + x, start[1] + y)
        self.page.mouse.up()
        self.page.mouse.move(*start)  # let go: it stays

    def swipe(self, handle: Locator, x: float, y: float) -> None:
        """Drag a handle by pixels of the screen, with a finger."""
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        start = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        protocol = self.page.context.new_cdp_session(self.page)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            given = [{"x": px, "y": py} for px, py in points]
            event = {"type": kind, "touchPoints": given}
            protocol.send("Input.dispatchTouchEvent", event)

        touch("touchStart", start)
        touch("touchMove", (start[0] + x / 2, start[1] + y / 2))
        touch("touchMove", (start[0] + x, start[1] + y))
        touch("touchEnd")
        protocol.detach()


class ExplorableTests:
    """Tests that every figure passes; a subclass adds what its own must do."""

    @classmethod
    def figure(cls) -> Explorable:
        """Return the figure, with data as in its chapter."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def built(cls) -> tuple[Explorable, str]:
        """The figure and its HTML, which can take seconds; not to be changed."""
        figure = cls.figure()
        return figure, figure.html()

    @pytest.fixture(scope="class")
    @classmethod
    def path(cls, tmp_path_factory, built) -> Path:
        """A page with the figure twice, as when a cell was shown twice."""
        path = tmp_path_factory.mktemp("figure") / "page.html"
        path.write_text(f"{HEAD}{2 * built[1]}</body>", encoding="utf-8")
        return path

    @pytest.fixture
    def shown(self, come_back, path):
        page, wrong = come_back(path)
        yield Shown(page, page.locator(".stn-explore").first)
        assert not wrong

    def test_it_starts_once_each_and_hides_its_still_picture(self, shown, built):
        lives = shown.page.locator(".stn-live")
        assert [live.locator("output").count() for live in lives.all()] == [1, 1]
        assert shown.root.locator(".stn-still").is_hidden()
        assert shown.code() and shown.status()
        first, second = lives.evaluate_all("all => all.map((e) => e.model.all())")
        assert first == second == built[0].state

    def test_its_data_are_light_and_plain(self, built):
        html = built[1]
        payload = html.rpartition("stn.start(")[2]
        assert len(payload) < HEAVIEST
        assert "http://" not in html.replace("http://www.w3.org", "")
        assert "https://" not in html

    def test_every_handle_answers_to_keys_and_escape_resets(self, shown):
        shown.press(shown.root.locator(":is(button, input)").last, "Escape")
        rest = shown.state()
        for handle in shown.handles.all():
            if not handle.is_visible():
                continue
            moved = False
            for key in ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"):
                shown.press(handle, key)
                moved = moved or shown.state() != rest
                shown.press(handle, f"Shift+{key}")
            assert moved, handle.get_attribute("aria-label")
            shown.page.keyboard.press("Escape")
            assert shown.state() == rest

    def test_every_handle_answers_to_mouse_and_finger(self, shown):
        for move in (shown.drag, shown.swipe):
            for handle in shown.handles.all():
                if not handle.is_visible():
                    continue
                shown.press(handle, "Escape")
                rest = shown.state()
                move(handle, 30, 0)
                shown_x = shown.state()
                move(handle, -15, 25)
                moved = shown_x != rest or shown.state() != rest
                assert moved, (move.__name__, handle.get_attribute("aria-label"))

    def test_what_is_moved_has_a_name_and_is_large_enough(self, shown):
        shown.page.set_viewport_size({"width": 390, "height": 844})
        for target in shown.live.locator("button, input, select").all():
            if not target.is_visible():
                continue
            box = target.bounding_box()
            kind = target.get_attribute("type")
            if kind == "checkbox":  # its label is part of the target
                box = target.locator("xpath=..").bounding_box()
            label = target.evaluate(
                """(e) => e.ariaLabel || e.textContent
                || [...(e.labels || [])].map((label) => label.textContent).join(" ")"""
            )
            assert re.search(r"\w", label), target.evaluate("(e) => e.outerHTML")
            assert box["height"] >= 44 and box["width"] >= 44, label

    def test_nothing_overflows_on_a_phone(self, shown):
        shown.page.set_viewport_size({"width": 390, "height": 844})
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= 390
        small = shown.live.evaluate(
            """(live) => [...live.querySelectorAll("*")].filter((e) =>
                 [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())
                 && parseFloat(getComputedStyle(e).fontSize) < 9)
               .map((e) => e.textContent)"""
        )
        assert not small

    def test_a_frame_costs_no_more_than_4_ms_on_a_desktop(self, shown):
        cost, *_ = shown.live.evaluate(COST)
        assert cost < 1

    def test_a_picture_stands_in_print_and_without_scripts(
        self, shown, path, without_scripts
    ):
        shown.page.emulate_media(media="print")
        assert shown.root.locator(".stn-still").is_visible()
        assert shown.live.is_hidden()
        page = without_scripts
        page.goto(path.as_uri())
        still = page.locator(".stn-still").first
        assert still.is_visible() and len(still.get_attribute("alt")) > 40
        assert len(page.locator("figcaption").first.inner_text()) > 40

    def test_it_is_a_widget_that_shares_its_state(self, come_back, path):
        widget = self.figure().widget()
        page, wrong = come_back(path)
        given = [str(widget._esm), widget.state, widget.data, widget.hint]
        page.evaluate(SHOW_WIDGET, given)
        line = page.locator(".stn-code code")
        first = line.inner_text()
        page.locator(":is(button, input)").last.focus()
        page.keyboard.press("Escape")
        assert page.evaluate("() => widget.saved") >= 1  # the kernel is told
        page.evaluate("(state) => widget.set('state', state)", widget.state)
        assert line.inner_text() == first  # and is heard
        assert not wrong

    def test_pictures_are_taken_to_be_looked_at(self, built, path, camera):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        camera.emulate_media(color_scheme="light")
        camera.goto(path.as_uri())
        figure = camera.locator(".stn-explore").first
        for kind, width in (("narrow", 390), ("wide", 900), ("dark", 900)):
            camera.set_viewport_size({"width": width, "height": 900})
            if kind == "dark":
                camera.emulate_media(color_scheme="dark")
                camera.evaluate(
                    "(style) => document.head.insertAdjacentHTML('beforeend', style)",
                    DARK,
                )
            shot = SCREENSHOTS / f"{built[0].name}-{kind}.png"
            figure.screenshot(path=shot)
            assert shot.stat().st_size > 5_000
