"""What all figures that answer to the hand share: how they become part of a page."""

from __future__ import annotations

import base64
import hashlib
import json
from abc import ABC, abstractmethod
from html import escape
from importlib import resources
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial._validate import check_tensor
from stn_tutorial.course.player import _png

__all__ = ["Explorable", "pack"]

_FOLDER = resources.files("stn_tutorial.course.explore")


class Explorable(ABC):
    """A figure that answers to the hand, shown as the value of a notebook cell.

    A subclass says which scripts it needs, and draws the picture that stands in its
    place where there are none.

    Attributes:
        name: of the figure's own script, without ``.js``.
        needs: of the scripts that it builds on, in order.
        state: what a reader can change, ready for JSON.
        data: what the script shows besides, ready for JSON.
        alt: what the figure shows, for those who can't see it.
        hint: a sentence that says what to try.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ("sampling", "families", "figure")

    state: dict[str, Any]
    data: dict[str, Any]
    alt: str
    hint: str

    @abstractmethod
    def picture(self) -> Figure:
        """Draw what stands in the figure's place without scripts, and in print."""

    def __repr__(self) -> str:
        return f"{type(self).__name__} (a figure to take hold of, shown as HTML)"

    def _repr_html_(self) -> str:
        payload = json.dumps({"state": self.state, "data": self.data}, allow_nan=False)
        payload = payload.replace("</", r"<\/")  # which would end the script
        digest = hashlib.sha256(payload.encode()).hexdigest()
        name = f"stn-{self.name}-{digest[:8]}"
        still = base64.b64encode(_png(self.picture(), dpi=100)).decode()
        scripts = "\n".join(map(_file, (f"{n}.js" for n in (*self.needs, self.name))))
        start = f"stn.start({json.dumps(self.name)}, {json.dumps(name)}, {payload});"
        return (
            f'<figure class="stn-explore" id="{name}">\n'
            f"<style>{_file('figure.css')}</style>\n"
            f'<img class="stn-still" alt="{escape(self.alt)}" '
            f'src="data:image/png;base64,{still}">\n'
            '<div class="stn-live" hidden></div>\n'
            f"<figcaption>{escape(self.hint)}</figcaption>\n"
            f"<script>{scripts}\n{start}</script>\n</figure>"
        )


def pack(image: Tensor) -> dict[str, Any]:
    """Return an image as a script takes it: one byte a pixel, in base64.

    >>> pack(torch.tensor([[0.0, 1.0]]))
    {'width': 2, 'height': 1, 'bytes': 'AP8='}

    Args:
        image: ``(H, W)`` in [0, 1].

    Returns:
        Its size, and its pixels.

    Raises:
        ValueError: if the image has another shape.
    """
    check_tensor(image, "image")
    if image.ndim != 2:
        raise ValueError(f"image must be (H, W), got {tuple(image.shape)}")
    pixels = (255 * image.clamp(0, 1)).round().to(torch.uint8).cpu().numpy().tobytes()
    height, width = image.shape
    return {
        "width": width,
        "height": height,
        "bytes": base64.b64encode(pixels).decode(),
    }


def _file(name: str) -> str:
    return _FOLDER.joinpath(name).read_text(encoding="utf-8")
