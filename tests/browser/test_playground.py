"""The playground on its page, with networks: from disk, and with the network off."""

from __future__ import annotations

import base64
import math
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import page_runtime
import pytest
import torch
from playwright.sync_api import Page
from torch import Tensor

from stn_tutorial import Affine, rotation, sample, theta_from_pixels
from stn_tutorial.course.explore import painter
from stn_tutorial.course.explore.playground import RUNS, few_digits
from stn_tutorial.data.digits import load_digits
from stn_tutorial.data.distortions import fixed_test_set
from stn_tutorial.data.not_so_clevr import Locations
from stn_tutorial.experiments.distorted_digits import load_model
from stn_tutorial.experiments.models import Steps
from stn_tutorial.experiments.not_so_clevr import load_network
from stn_tutorial.experiments.results import results_folder

PAGE = "book/playground.html"
SCREENSHOTS = Path(__file__).resolve().parents[2] / "_build" / "screenshots"
PHONE = {"width": 390, "height": 844}
ANGLES = range(-175, 181, 5)
#: What the page may weigh before a reader asks for more, in bytes.
HEAVIEST = 1_500_000

# Run a network on images that come as base64; the outputs come likewise.
RUN = """async ([name, text, size]) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const live = document.querySelector(".stn-live");
  const start = performance.now();
  const out = await live.networks.run(
    name, "images", new Float32Array(bytes.buffer), size);
  const milliseconds = performance.now() - start;
  const code = (values) => btoa(Array.from(new Uint8Array(values.slice().buffer),
    (b) => String.fromCharCode(b)).join(""));
  return [milliseconds, Object.fromEntries(
    Object.entries(out).map(([output, values]) => [output, code(values)]))];
}"""
# Run a network often; the median of the milliseconds.
OFTEN = """async ([name, count]) => {
  const live = document.querySelector(".stn-live");
  const image = Float32Array.from({length: 42 * 42}, (_, k) => (k % 17) / 17);
  const times = [];
  for (let k = 0; k < count; k++) {
    const start = performance.now();
    await live.networks.run(name, "images", image, [1, 1, 42, 42]);
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[count >> 1];
}"""
# Take down every memory that WebAssembly is given from now on.
NOTE_MEMORIES = """() => {
  globalThis.memories = [];
  const { Memory } = WebAssembly;
  WebAssembly.Memory = class extends Memory {
    constructor(size) {
      super(size);
      memories.push(this);
    }
  };
}"""
ANSWERED = "() => document.querySelector('.stn-play-bar.stn-play-best') !== null"
FILMED = "() => document.querySelector('.stn-play-told').innerText.startsWith('Of 360')"


PAINT = """async (place) => {
  const live = document.querySelectorAll(".stn-live")[1];
  live.model.set({place});
  await live.settled();
  return Array.from(live.querySelectorAll("canvas"), (canvas) => [
    ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
  ].filter((_, k) => k % 4 === 0));
}"""


def strokes() -> dict[int, list[list[tuple[float, float]]]]:
    """Ten digits as lines, in units of the pad's side, y downward."""

    def arc(x, y, width, height, start, end):
        turns = [math.radians(start + (end - start) * k / 24) for k in range(25)]
        return [(x + width * math.cos(t), y + height * math.sin(t)) for t in turns]

    return {
        0: [arc(0.5, 0.5, 0.2, 0.32, -90, 270)],
        1: [[(0.55, 0.18), (0.47, 0.82)]],
        2: [[*arc(0.5, 0.33, 0.18, 0.15, -170, 40), (0.32, 0.8), (0.7, 0.8)]],
        3: [
            arc(0.48, 0.34, 0.17, 0.15, -150, 80)
            + arc(0.48, 0.65, 0.19, 0.17, -80, 150)
        ],
        4: [
            [(0.36, 0.2), (0.32, 0.52), (0.7, 0.5)],
            [(0.64, 0.2), (0.6, 0.82)],
        ],
        5: [
            [(0.68, 0.2), (0.4, 0.2), (0.37, 0.45)]
            + arc(0.47, 0.62, 0.2, 0.18, -110, 140)
        ],
        6: [[(0.6, 0.18), (0.45, 0.35), *arc(0.5, 0.64, 0.17, 0.17, -170, 190)]],
        7: [[(0.3, 0.22), (0.7, 0.22), (0.48, 0.82)]],
        8: [arc(0.5, 0.34, 0.14, 0.14, 90, 450) + arc(0.5, 0.65, 0.17, 0.17, -90, 270)],
        9: [[*arc(0.5, 0.36, 0.16, 0.15, -30, -390), (0.6, 0.82)]],
    }


def picture(digit: int, angle: float, scale: float, shift: list[float]) -> Tensor:
    """A digit of the page, as the package distorts it."""
    move = 7 + torch.tensor(shift).float()
    matrix = rotation(math.radians(angle), float(scale), move, center=(13.5, 13.5))
    theta = theta_from_pixels(matrix, (28, 28), (42, 42))
    grid = Affine().grid(theta.flatten()[None], (42, 42))
    return sample(few_digits()[0][digit][None], grid)


def network(name: str) -> torch.nn.Module:
    return load_model(results_folder() / RUNS[name])[1]


def load(page: Page) -> None:
    """Press the button, and wait until the networks have answered."""
    page.get_by_role("button", name="Load the networks").first.click()
    page.locator(".stn-loader").first.wait_for(state="hidden", timeout=300_000)
    page.wait_for_function(ANSWERED)


def set_state(page: Page, **changes) -> None:
    """Change the figure's state, and wait until the networks have answered."""
    page.evaluate(
        """async (changes) => {
          const live = document.querySelector(".stn-live");
          live.model.set(changes);
          await live.settled();
        }""",
        changes,
    )


def wait(page: Page) -> None:
    """Wait until the networks have answered what is shown."""
    page.evaluate("() => document.querySelector('.stn-live').settled()")


def status(page: Page) -> str:
    return page.locator("output.stn-status").first.inner_text()


def run(page: Page, name: str, images: Tensor) -> tuple[float, dict[str, Tensor]]:
    """Run one of the page's networks."""
    text = base64.b64encode(images.contiguous().numpy().tobytes()).decode()
    milliseconds, out = page.evaluate(RUN, [name, text, list(images.shape)])
    tensors = {
        key: torch.frombuffer(bytearray(base64.b64decode(value)), dtype=torch.float32)
        for key, value in out.items()
    }
    return milliseconds, tensors


@pytest.fixture(scope="module")
def runtime() -> None:
    if not page_runtime.is_there():
        pytest.skip("needs what npm fetches: npm ci")


@pytest.fixture(scope="module")
def page(open_for_all, html, runtime):
    """The page, with its networks loaded, for all tests that leave it loaded."""
    page, wrong = open_for_all(html / PAGE)
    page.evaluate(NOTE_MEMORIES)
    load(page)
    yield page
    assert not wrong


@pytest.fixture
def digits(this_machine_only, monkeypatch) -> Tensor:
    """200 distorted test digits: of MNIST where it can be had without the network."""
    if this_machine_only:
        monkeypatch.setenv("STN_TUTORIAL_MIRROR", this_machine_only)
    source = "mnist" if this_machine_only else "embedded"
    return fixed_test_set(load_digits("test", source).images[:200], "RTS").images


def test_it_is_light_until_the_networks_are_asked_for(open_page, html):
    page, wrong = open_page("book/bibliography")
    asked: dict[str, set[str]] = {}
    for name in ("book/bibliography.html", PAGE):
        files = asked.setdefault(name, set())
        page.on("request", lambda request, files=files: files.add(request.url))
        page.goto((html / name).as_uri())
    # What the theme brings to every page is not the playground's.
    own = asked[PAGE] - (asked["book/bibliography.html"] - {(html / PAGE).as_uri()})
    files = {unquote(urlsplit(url).path) for url in own}
    assert str(html / PAGE) in files
    assert not any("_static/runtime/" in file for file in files)
    assert sum(Path(file).stat().st_size for file in files) < HEAVIEST
    assert not wrong


def test_both_networks_are_pytorchs(page, digits):
    with torch.inference_mode():
        st_cnn = Steps(network("st-cnn"))(digits)
        expected = {
            "st-cnn": dict(zip(("scores", "theta", "warped"), st_cnn)),
            "cnn": {"scores": network("cnn")(digits)},
        }
    for name, outputs in expected.items():
        milliseconds, found = run(page, name, digits)
        assert found.keys() == outputs.keys()
        for key, values in outputs.items():
            torch.testing.assert_close(found[key], values.flatten(), rtol=0, atol=1e-4)
        print(f"{name}: 200 digits in {milliseconds:.0f} ms")


@pytest.mark.parametrize(
    ("digit", "angle", "scale", "shift"),
    [(12, -35, 0.8, [-9, -9]), (3, 120, 1.0, [0, 0]), (15, 10, 1.25, [4, -2])],
)
def test_the_page_shows_what_pytorch_computes(page, digit, angle, scale, shift):
    set_state(
        page, digit=digit, angle=angle, scale=scale, shift=shift, pieces=0, strokes=[]
    )
    image = picture(digit, angle, scale, shift)
    with torch.inference_mode():
        scores, theta, _ = Steps(network("st-cnn"))(image)
        both = {"st-cnn": scores, "cnn": network("cnn")(image)}
    shown = page.locator(".stn-play-theta .stn-numbers span").all_inner_texts()
    found = torch.tensor([float(text.replace("\u2212", "-")) for text in shown])
    # The page's digits have one byte a pixel, and its numbers two digits.
    torch.testing.assert_close(found, theta[0], rtol=0, atol=0.0051)
    for column, each in enumerate(both.values()):
        cells = page.locator(f".stn-play-table td:nth-child({column + 2})")
        percent = [float(text.strip(" %")) for text in cells.all_inner_texts()]
        expected = 100 * each[0].softmax(0)
        torch.testing.assert_close(torch.tensor(percent), expected, rtol=0, atol=0.51)
    assert f"ST-CNN says {both['st-cnn'].argmax()}" in status(page)
    assert f"plain CNN says {both['cnn'].argmax()}" in status(page)


def test_the_film_counts_what_pytorch_counts(page):
    set_state(page, digit=7, angle=0, scale=1, shift=[0, 0], pieces=0, strokes=[])
    assert not page.evaluate(FILMED)
    page.get_by_role("button", name="All angles at once").click()
    page.wait_for_function(FILMED)
    images = torch.cat([picture(7, angle, 1, [0, 0]) for angle in ANGLES])
    said = page.locator(".stn-play-told").inner_text()
    with torch.inference_mode():
        for name, words in (("st-cnn", "ST-CNN"), ("cnn", "plain CNN")):
            right = (network(name)(images).argmax(1) == 7).sum() * 360 // len(images)
            assert f"the {words} over {right}°" in said
    lines = page.locator("path.stn-play-line").evaluate_all(
        "(all) => all.filter((line) => line.getAttribute('d').length > 500).length"
    )
    assert lines == 20  # ten of each network, over all angles
    page.get_by_label("scale").first.fill("0.9")
    assert not page.evaluate(FILMED)  # of another picture


def test_the_rotation_plays_and_comes_back(page):
    set_state(page, digit=16, angle=20, scale=1, shift=[0, 0], pieces=0, strokes=[])
    page.get_by_role("button", name="Play the rotation").click()
    page.wait_for_function(FILMED, timeout=120_000)
    page.get_by_role("button", name="Play the rotation").wait_for()
    angle = "() => document.querySelector('.stn-live').model.get('angle') === 20"
    page.wait_for_function(angle)


def test_it_goes_to_the_end_for_who_asked_for_less_motion(page):
    set_state(page, digit=5, angle=15, scale=1, shift=[0, 0], pieces=0, strokes=[])
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("button", name="Play the rotation").click()
    page.wait_for_function(FILMED)
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate("document.querySelector('.stn-live').model.get('angle')") == 15


def test_digits_drawn_with_the_mouse_are_recognized(page):
    set_state(page, angle=0, scale=1, shift=[0, 0], pieces=0)
    right = {"ST-CNN": 0, "plain CNN": 0}
    for digit, lines in strokes().items():
        page.get_by_role("button", name="Clear", exact=True).click()
        pad = page.locator(".stn-pad")
        pad.scroll_into_view_if_needed()
        box = pad.bounding_box()
        for line in lines:
            points = [
                (box["x"] + x * box["width"], box["y"] + y * box["height"])
                for x, y in line
            ]
            page.mouse.move(*points[0])
            page.mouse.down()
            for point in points[1:]:
                page.mouse.move(*point)
            page.mouse.up()
        wait(page)
        for name in right:
            right[name] += f"{name} says {digit} " in status(page)
        drawn = page.evaluate(
            """() => {
              const live = document.querySelector(".stn-live");
              return [...stn.asMnist(live.model.get("strokes")).pixels];
            }"""
        )
        image = torch.tensor(drawn).view(28, 28)
        for axis in (0, 1):
            centre = (image.sum(axis) * torch.arange(28.0)).sum() / image.sum()
            assert abs(centre - 13.5) <= 1.01
        sides = [(image > 0.01).any(axis).sum() for axis in (0, 1)]
        assert max(sides) == 20
    print(f"of ten drawn digits, right: {right}")
    assert right["ST-CNN"] >= 8


def test_the_painter_paints_what_pytorch_does(page):
    place = [46, 44]
    _, *painted = page.evaluate(PAINT, place)
    locations = Locations(torch.tensor([place]))
    captions = page.locator(".stn-explore").nth(1).locator(".stn-small .stn-caption")
    told = [text for text in captions.all_inner_texts() if "union" in text]
    square = locations.squares() > 0
    for run, pixels, words in zip(painter.RUNS.values(), painted, told, strict=True):
        with torch.inference_mode():
            scores = load_network(results_folder() / run)[1](locations.points())
        expected = (255 * scores.sigmoid()).flatten()
        found = torch.tensor(pixels).float()
        torch.testing.assert_close(found, expected, rtol=0, atol=0.6)
        white = scores > 0
        iou = (white & square).sum() / (white | square).sum()
        assert abs(float(words.split()[-1]) - iou) < 0.0051


def memory(page: Page) -> tuple[int, int]:
    """Bytes of JavaScript, and of WebAssembly, once the garbage is out."""
    protocol = page.context.new_cdp_session(page)
    protocol.send("HeapProfiler.collectGarbage")
    heap = protocol.send("Runtime.getHeapUsage")["usedSize"]
    protocol.detach()
    wasm = "memories.reduce((sum, {buffer}) => sum + buffer.byteLength, 0)"
    return heap, page.evaluate(wasm)


@pytest.mark.parametrize("runs", [300, pytest.param(1000, marks=pytest.mark.long)])
def test_its_memory_is_steady_over_many_runs(page, runs):
    for name in RUNS:
        page.evaluate(OFTEN, [name, 50])
    heap, wasm = memory(page)
    for name in RUNS:
        milliseconds = page.evaluate(OFTEN, [name, runs])
        print(f"{name}: {milliseconds:.1f} ms a picture")
    heap_after, wasm_after = memory(page)
    print(f"JavaScript {heap / 1e6:.1f} → {heap_after / 1e6:.1f} MB, ", end="")
    print(f"WebAssembly {wasm / 1e6:.1f} → {wasm_after / 1e6:.1f} MB")
    assert wasm > 1e6
    assert wasm_after == wasm
    assert heap_after - heap < 2e6


def test_a_finger_draws_on_a_phone(open_file, html, runtime):
    page, wrong = open_file(html / PAGE, viewport=PHONE, has_touch=True, is_mobile=True)
    page.get_by_role("button", name="Load the networks").first.tap()
    page.locator(".stn-loader").first.wait_for(state="hidden", timeout=300_000)
    page.get_by_role("button", name="Clear", exact=True).tap()
    pad = page.locator(".stn-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    scrolled = page.evaluate("scrollY")
    protocol = page.context.new_cdp_session(page)
    (line,) = strokes()[7]
    points = [
        {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        for x, y in line
    ]
    for kind, touches in (
        ("touchStart", points[:1]),
        *(("touchMove", [point]) for point in points[1:]),
        ("touchEnd", []),
    ):
        event = {"type": kind, "touchPoints": touches}
        protocol.send("Input.dispatchTouchEvent", event)
    set_state(page, angle=0, scale=1, shift=[0, 0])
    assert "ST-CNN says 7" in status(page)
    assert page.evaluate("scrollY") == scrolled  # the page stays where it is
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert not wrong


def test_without_a_part_of_the_runtime_it_says_so(open_file, html, tmp_path, runtime):
    copy = tmp_path / "html"
    ignore = shutil.ignore_patterns("*.ipynb", "wasm-03.js", "_images", "_sources")
    shutil.copytree(html, copy, ignore=ignore)
    page, _ = open_file(copy / PAGE)
    page.get_by_role("button", name="Load the networks").first.click()
    said = page.locator(".stn-loader").first
    said.get_by_text("can't be loaded").wait_for()
    assert "wasm-03.js is missing" in said.inner_text()
    page.get_by_role("button", name="Next digit").click()  # and all else works
    assert "Test digit" in status(page)


def test_pictures_are_taken_to_be_looked_at(page):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    move = {"angle": -35, "scale": 0.8, "shift": [-9, -9]}
    set_state(page, digit=12, **move, pieces=0, strokes=[])
    page.get_by_role("button", name="All angles at once").click()
    page.wait_for_function(FILMED)
    for kind, width in (("wide", 1280), ("dark", 1280), ("narrow", 390)):
        page.emulate_media(color_scheme="dark" if kind == "dark" else "light")
        page.set_viewport_size({"width": width, "height": 900})
        shot = SCREENSHOTS / f"playground-page-{kind}.png"
        page.screenshot(path=shot, full_page=True)
        assert shot.stat().st_size > 20_000
