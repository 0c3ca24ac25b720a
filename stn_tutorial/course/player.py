"""A player for a few pictures: it works on a static page, with no kernel and offline.

The pictures are part of the page, and so is the classic script that shows one after the
other. Without scripts the last picture is shown. Nothing moves before it is asked to;
where the reader's system asks for reduced motion, the button steps instead of playing.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Iterable, Sequence
from html import escape

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

__all__ = ["Player"]

STYLE = """
.stn-player { margin: 0 0 1rem; max-width: 44rem; }
.stn-player [hidden] { display: none !important; }
.stn-player img { display: block; width: 100%; height: auto; margin: 0; }
.stn-player div { display: flex; gap: 0.75rem; align-items: center; margin: 0.5rem 0; }
.stn-player button { min-width: 4.5rem; padding: 0.3rem 0.6rem; font: inherit;
  color: inherit; background: rgb(128 128 128 / 18%); cursor: pointer;
  border: 1px solid rgb(128 128 128 / 60%); border-radius: 0.4rem; }
.stn-player input { flex: 1; min-width: 0; }
.stn-player output { min-width: 8.5rem; font-variant-numeric: tabular-nums; }
"""

SCRIPT = """
document.querySelectorAll("#%ID%:not([data-ready])").forEach((player) => {
  player.dataset.ready = "yes";
  const frames = [...player.querySelectorAll("img")];
  const button = player.querySelector("button");
  const slider = player.querySelector("input");
  const caption = player.querySelector("output");
  const stepwise = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let timer = null;
  const show = (k) => {
    frames.forEach((frame, i) => { frame.hidden = i !== k; });
    slider.value = k;
    slider.setAttribute("aria-valuetext", frames[k].dataset.caption);
    caption.textContent = frames[k].dataset.caption;
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = stepwise ? "Next" : "Play";
  };
  const step = () => {
    const next = (Number(slider.value) + 1) % frames.length;
    show(next);
    if (next === frames.length - 1) stop();
  };
  button.addEventListener("click", () => {
    if (stepwise) return step();
    if (timer !== null) return stop();
    button.textContent = "Pause";
    step();
    timer = setInterval(step, %MILLISECONDS%);
  });
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  stop();
  show(frames.length - 1);
  player.querySelector("div").hidden = false;
});
"""


class Player:
    """Pictures that follow one another, shown as the value of a notebook cell.

    >>> figures = (plt.figure(figsize=(1, 1)) for _ in range(3))
    >>> Player(figures, ["before", "epoch 1", "epoch 2"], alt="An empty picture")
    Player of 3 pictures (shown as HTML)

    Args:
        figures: the pictures, two or more, all of one size; each is drawn and closed
            before the next is asked for, so a generator keeps only one open. They have
            no ground: what is drawn must be seen on a light and on a dark page.
        captions: one for each, such as ``"after epoch 3"``.
        alt: what the pictures show and what to watch, for those who can't see them.
        seconds: how long each is shown.
        dpi: pixels an inch.

    Raises:
        ValueError: if there are fewer than two figures, another number of captions, no
            `alt`, or `seconds` is not positive and finite.
    """

    def __init__(
        self,
        figures: Iterable[Figure],
        captions: Sequence[str],
        *,
        alt: str,
        seconds: float = 0.7,
        dpi: int = 100,
    ) -> None:
        if not alt.strip():
            raise ValueError("alt must say what the pictures show, got an empty text")
        if not 0 < seconds < math.inf:
            raise ValueError(f"seconds must be positive and finite, got {seconds}")
        self.pictures = [_png(figure, dpi) for figure in figures]
        if len(self.pictures) < 2:
            raise ValueError(f"figures must be two or more, got {len(self.pictures)}")
        if len(captions) != len(self.pictures):
            raise ValueError(
                f"captions must be {len(self.pictures)}, one a figure, "
                f"got {len(captions)}"
            )
        self.captions = [str(caption) for caption in captions]
        self.alt = alt
        self.seconds = seconds

    def __repr__(self) -> str:
        return f"Player of {len(self.pictures)} pictures (shown as HTML)"

    def _repr_html_(self) -> str:
        digest = hashlib.sha256(b"".join(self.pictures)).hexdigest()
        last = len(self.pictures) - 1
        frames = "\n".join(
            f'<img src="data:image/png;base64,{base64.b64encode(picture).decode()}" '
            f'alt="{escape(f"{self.alt} ({caption})")}" '
            f'data-caption="{escape(caption)}"{"" if k == last else " hidden"}>'
            for k, (picture, caption) in enumerate(zip(self.pictures, self.captions))
        )
        name = f"stn-player-{digest[:8]}"
        script = SCRIPT.replace("%ID%", name).replace(
            "%MILLISECONDS%", json.dumps(round(1000 * self.seconds))
        )
        return (
            f'<figure class="stn-player" id="{name}">\n<style>{STYLE}</style>\n'
            f"{frames}\n<div hidden>"
            '<button type="button">Play</button>'
            f'<input type="range" min="0" max="{last}" step="1" value="{last}" '
            'aria-label="Picture"><output></output></div>\n'
            f"<script>{script}</script>\n</figure>"
        )


def _png(figure: Figure, dpi: int) -> bytes:
    """Draw a figure, close it, and return its picture, the same bytes each time."""
    file = io.BytesIO()
    options = {"transparent": True, "metadata": {"Software": None}}
    figure.savefig(file, format="png", dpi=dpi, **options)
    plt.close(figure)
    return file.getvalue()
