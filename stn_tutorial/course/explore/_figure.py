"""What all figures that answer to the hand share: how they become part of a page."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from html import escape
from importlib import resources
from typing import Any, ClassVar

import PIL.Image
from matplotlib.figure import Figure
from torch import Tensor

from stn_tutorial._validate import check_tensor
from stn_tutorial.course.player import _png
from stn_tutorial.experiments.recording import packed

__all__ = ["Explorable", "State", "StateOf", "pack"]

_FOLDER = resources.files("stn_tutorial.course.explore")


class State:
    """A part of a figure's state, which hand and kernel both change.

    Args:
        check: takes what Python assigns to what JSON holds, or raises a `ValueError`.
        read: takes what JSON holds to what Python gets.
    """

    def __init__(
        self, check: Callable[[Any], Any], read: Callable[[Any], Any] = lambda x: x
    ) -> None:
        self.check, self.read = check, read

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, figure: Explorable | None, owner: type) -> Any:
        return self if figure is None else self.read(figure.state[self.name])

    def __set__(self, figure: Explorable, value: Any) -> None:
        figure.state = {**figure.state, self.name: self.check(value)}


class StateOf(State):
    """A part of a figure's state that is checked by what this figure shows.

    Args:
        check: takes the figure to the `check` of a `State`.
    """

    def __set__(self, figure: Explorable, value: Any) -> None:
        figure.state = {**figure.state, self.name: self.check(figure)(value)}


class Explorable(ABC):
    """A figure that answers to the hand, shown as the value of a notebook cell.

    On a page it is HTML that needs nothing else. In a live notebook it is a widget, if
    `anywidget` is installed: what is dragged there, Python reads as an attribute, and
    what Python assigns moves the figure.

    A subclass declares its state as attributes of type `State`, fills in the attributes
    below, and draws the picture that stands in its place where there are no scripts.
    Its script, ``name.js``, adds a function of that name to ``stn.figures``.

    Attributes:
        name: of the figure's own script, without ``.js``.
        needs: of the scripts that it builds on, in order.
        state: what a reader can change, by name, ready for JSON.
        data: what the script shows besides, ready for JSON.
        alt: what the figure shows, for those who can't see it.
        hint: a sentence that says what to try.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = (
        "sampling",
        "families",
        "drawing",
        "input",
        "figure",
    )

    data: dict[str, Any]
    alt: str
    hint: str
    _state: dict[str, Any]
    _widget: Any = None

    @abstractmethod
    def picture(self) -> Figure:
        """Draw what stands in the figure's place without scripts, and in print."""

    @property
    def state(self) -> dict[str, Any]:
        return dict(self._state if self._widget is None else self._widget.state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        if self._widget is None:
            self._state = state
        else:
            self._widget.state = state

    def __repr__(self) -> str:
        return f"{type(self).__name__} (a figure to take hold of, shown as HTML)"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        shown = {"text/plain": repr(self), "text/html": self.html()}
        try:
            widget = self.widget()
        except ImportError:
            return shown
        bundle = widget._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**(data or {}), **shown}, metadata

    def widget(self) -> Any:
        """Return the figure as a widget, which shares its state.

        Raises:
            ImportError: if `anywidget` is not installed.
        """
        if self._widget is None:
            widget = _widget_class(self.name, self.needs)
            self._widget = widget(state=self._state, data=self.data, hint=self.hint)
        return self._widget

    def html(self) -> str:
        """Return the figure as HTML that needs nothing else, in its present state."""
        payload = json.dumps({"state": self.state, "data": self.data}, allow_nan=False)
        payload = payload.replace("</", r"<\/")  # which would end the script
        digest = hashlib.sha256(payload.encode()).hexdigest()
        name = f"stn-{self.name}-{digest[:8]}"
        still = base64.b64encode(_few_colours(_png(self.picture(), dpi=100))).decode()
        styles = "\n".join(
            f'<style data-stn="{style}">{_file(style)}</style>'
            for style in _styles(self.name)
        )
        # Scripts apart, so that a page with several figures can leave the repeated out.
        scripts = "\n".join(
            f'<script data-stn="{script}.js">{_file(f"{script}.js")}</script>'
            for script in (*self.needs, self.name)
        )
        start = f"stn.start({json.dumps(self.name)}, {json.dumps(name)}, {payload});"
        return (
            f'<figure class="stn-explore" id="{name}">\n'
            f"{styles}\n"
            f'<img class="stn-still" alt="{escape(self.alt)}" '
            f'src="data:image/png;base64,{still}">\n'
            '<div class="stn-live" hidden></div>\n'
            f"<figcaption>{escape(self.hint)}</figcaption>\n"
            f"{scripts}\n<script>{start}</script>\n</figure>"
        )


def pack(image: Tensor) -> dict[str, Any]:
    """Return an image as a script takes it: one byte a pixel, in base64.

    >>> import torch
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
    height, width = image.shape
    return {"width": width, "height": height, "bytes": packed(image)}


@cache
def _widget_class(name: str, needs: tuple[str, ...]) -> Any:
    """The same scripts, as the module of a widget."""
    import anywidget
    import traitlets

    scripts = "\n".join(_file(f"{script}.js") for script in (*needs, name))
    render = f"({{ model, el }}) => stn.show({json.dumps(name)}, model, el)"
    members = {
        "_esm": f"{scripts}\nexport default {{ render: {render} }};",
        "_css": "\n".join(map(_file, _styles(name))),
        "state": traitlets.Dict().tag(sync=True),
        "data": traitlets.Dict().tag(sync=True),
        "hint": traitlets.Unicode().tag(sync=True),
    }
    return type(name.capitalize(), (anywidget.AnyWidget,), members)


def _few_colours(png: bytes) -> bytes:
    """The same picture in 64 colours, at half the size or less."""
    picture = PIL.Image.open(io.BytesIO(png)).convert("RGB").quantize(64)
    file = io.BytesIO()
    picture.save(file, format="png", optimize=True)
    return file.getvalue()


def _styles(name: str) -> list[str]:
    """The style sheets of a figure: of all, and its own if it has one."""
    own = f"{name}.css"
    return ["figure.css"] + [own] * _FOLDER.joinpath(own).is_file()


@cache
def _file(name: str) -> str:
    return _FOLDER.joinpath(name).read_text(encoding="utf-8")
