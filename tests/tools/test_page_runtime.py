"""The scripts that bring a runtime and models to a page hold all of both."""

from __future__ import annotations

import base64
import gzip
import json
import re

import page_runtime
import pytest

CALL = re.compile(r'stn\.part\((".*?"), (".*")\);\n', re.DOTALL)


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """What npm fetches, in small."""
    dist = tmp_path / "dist"
    dist.mkdir()
    monkeypatch.setattr(page_runtime, "DIST", dist)
    monkeypatch.setattr(page_runtime, "PART", 30)
    library = "globalThis.ort = 1;\n//# sourceMappingURL=ort.map"
    (dist / page_runtime.LIBRARY).write_text(library)
    (dist / page_runtime.GLUE).write_text('export default "</script> \\" é";')
    (dist / page_runtime.BINARY).write_bytes(bytes(range(256)))
    return dist


def test_the_parts_make_the_files(packages, tmp_path):
    files = page_runtime.write(tmp_path / "out")
    parts: dict[str, list[str]] = {}
    for name, size in files:
        script = (tmp_path / "out" / name).read_bytes()
        assert len(script) == size
        if name != "ort.js":
            file, content = map(json.loads, CALL.fullmatch(script.decode()).groups())
            parts.setdefault(file, []).append(content)
    glue = (packages / page_runtime.GLUE).read_text()
    assert parts.pop("glue") == [glue]
    decoded = {
        file: b"".join(map(base64.b64decode, each)) for file, each in parts.items()
    }
    assert len(parts["wasm"]) > 2
    assert gzip.decompress(decoded.pop("wasm")) == bytes(range(256))
    for name, path in page_runtime.MODELS.items():
        assert decoded.pop(name) == (page_runtime.RESULTS / path).read_bytes()
    assert not decoded
    assert "sourceMappingURL" not in (tmp_path / "out" / "ort.js").read_text()


def test_it_knows_whether_npm_was_there(packages):
    assert page_runtime.is_there()
    (packages / page_runtime.GLUE).unlink()
    assert not page_runtime.is_there()


def test_the_models_together_weigh_no_more_than_a_megabyte():
    sizes = [
        (page_runtime.RESULTS / path).stat().st_size
        for path in page_runtime.MODELS.values()
    ]
    assert sum(sizes) < 1_000_000
