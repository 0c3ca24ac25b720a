"""The code of a chapter is shown as it stands there."""

from __future__ import annotations

import nbformat
import pytest
from chapter_pieces import Chapter

FUNCTION = "def f():\n    return 1"


@pytest.mark.parametrize(
    "above",
    [
        "import x\n\n%pip install y\n\n",
        "\n\n    !ls\nif x:\n\n\n    %time y\n    z = 1\n",
        "%load_ext z\n",
        "",
    ],
)
@pytest.mark.parametrize(
    "definition",
    [
        FUNCTION,
        f"@cache\n{FUNCTION}",
        f"@first(1)\n# Why.\n@second(\n    2,\n)\n{FUNCTION}",
        "@dataclass\nclass f:\n    x: int = 1",
    ],
)
def test_a_definition_is_shown_whole(above, definition, tmp_path):
    cells = [
        nbformat.v4.new_markdown_cell("# A chapter"),
        nbformat.v4.new_code_cell(f"{above}{definition}\n\nf()\n"),
    ]
    path = tmp_path / "01_a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    assert Chapter(path).code("f") == definition
