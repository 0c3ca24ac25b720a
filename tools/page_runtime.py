"""What runs networks in a page: ONNX Runtime Web and trained models, as scripts.

A page that is opened from disk may read no files but scripts. So the runtime's
WebAssembly, packed, and the models are cut into scripts, each of which adds a part of a
file as text, by the `stn.part` of ``stn_tutorial/course/explore/runtime.js``.
"""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from pathlib import Path

import stamps

DIST = stamps.ROOT / "node_modules" / "onnxruntime-web" / "dist"
LIBRARY = "ort.wasm.min.js"
GLUE = "ort-wasm-simd-threaded.mjs"
BINARY = "ort-wasm-simd-threaded.wasm"
RESULTS = stamps.ROOT / "results"
#: The models by the names that the figures' scripts use.
MODELS = {
    "st-cnn": "rts/st-cnn-0/model.onnx",
    "cnn": "rts/cnn-0/model.onnx",
    "painter-coordconv": "coordconv/weights/rendering-quadrant-coordconv-0/model.onnx",
    "painter-convolution": (
        "coordconv/weights/rendering-quadrant-convolution-0/model.onnx"
    ),
}
PART = 384 * 1024  # bytes a script, a multiple of 3, so that each is base64 by itself


def is_there() -> bool:
    """Say whether npm has fetched the runtime."""
    return all((DIST / name).is_file() for name in (LIBRARY, GLUE, BINARY))


def write(folder: Path) -> list[tuple[str, int]]:
    """Write the scripts, in the order in which a page loads them.

    Args:
        folder: is made.

    Returns:
        Their names, and how many bytes each has.

    Raises:
        FileNotFoundError: if the runtime or a model is missing.
    """
    library = (DIST / LIBRARY).read_text(encoding="utf-8")
    # Its map is not there, and a browser's tools would ask for it.
    library = library.partition("//# sourceMappingURL=")[0]
    glue = (DIST / GLUE).read_text(encoding="utf-8")
    packed = _packed(DIST / BINARY)
    scripts = {"ort.js": library, "glue.js": _part("glue", glue)}
    for k, start in enumerate(range(0, len(packed), PART)):
        scripts[f"wasm-{k:02}.js"] = _part("wasm", packed[start : start + PART])
    for name, path in MODELS.items():
        scripts[f"{name}.js"] = _part(name, (RESULTS / path).read_bytes())
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in scripts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [(name, len(text.encode())) for name, text in scripts.items()]


@cache
def _packed(path: Path) -> bytes:
    """A file, packed once for all the pages that need it."""
    return gzip.compress(path.read_bytes(), 9, mtime=0)


def _part(file: str, content: str | bytes) -> str:
    """The script that adds a part of a file."""
    if isinstance(content, bytes):
        content = base64.b64encode(content).decode()
    return f"stn.part({json.dumps(file)}, {json.dumps(content)});\n"
