"""The cheat sheet is true: its code runs, its numbers are the package's."""

from __future__ import annotations

import re

import pytest
import stamps
import torch

import stn_tutorial

TEXT = (stamps.ROOT / "book" / "cheat_sheet.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| (\d+) \| (.*?) \|", TEXT, re.MULTILINE)


def test_the_ten_lines_are_a_spatial_transformer_that_starts_at_the_identity():
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names = {}
    exec(code, names)
    features = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 5), torch.nn.ReLU())
    transformer = names["SpatialTransformer"](features, 4 * 24 * 24)
    images = torch.rand(3, 1, 28, 28)
    out = transformer(images)
    torch.testing.assert_close(out, images, atol=1e-5, rtol=0)
    out.sum().backward()
    assert all(p.grad is not None for p in transformer.parameters())
    ours = stn_tutorial.SpatialTransformer(transformer.localization)
    transformer.localization[-1].bias.data += torch.linspace(-0.2, 0.3, 6)
    torch.testing.assert_close(
        transformer(images), ours(images), atol=1e-5, rtol=0, msg="not the package's"
    )


def test_every_family_is_there_with_its_number_of_parameters():
    no_family_of_its_own = {"Crop", "Family", "MatrixFamily"}
    families = {
        name: getattr(stn_tutorial, name)()
        for name in set(stn_tutorial.__all__) - no_family_of_its_own
        if isinstance(kind := getattr(stn_tutorial, name), type)
        and kind.__module__.endswith(("families", "thin_plate_spline"))
    }
    assert {name: int(n) for name, n, _ in ROWS} == {
        name: family.n_params for name, family in families.items()
    }


@pytest.mark.parametrize("row", ROWS[:4], ids=lambda row: row[0])
def test_a_matrix_is_the_family_s_own(row):
    name, n_params, matrix = row
    family = getattr(stn_tutorial, name)()
    values = (torch.arange(int(n_params)) + 2.0) / 7
    entries = re.search(r"pmatrix\}(.*?)\\end", matrix)[1]
    cells = [cell.strip() for cell in re.split(r"&|\\\\", entries)]
    letters = [c.lstrip("-") for c in cells if c not in ("0", "1")]
    known = dict(zip(dict.fromkeys(letters), values.tolist(), strict=True))
    numbers = [
        float(c)
        if c in ("0", "1")
        else known[c.lstrip("-")] * (-1 if c.startswith("-") else 1)
        for c in cells
    ]
    expected = torch.tensor(numbers).view(2, 3)
    order = _order(name, known)
    grid = family.grid(torch.tensor([order]), (5, 5))
    points = stn_tutorial.base_grid((5, 5))
    ones = torch.ones(5, 5, 1)
    torch.testing.assert_close(grid[0], torch.cat([points, ones], -1) @ expected.mT)


def _order(name: str, known: dict[str, float]) -> list[float]:
    """The parameters in the family's order."""
    orders = {
        "Translation": ["x", "y"],
        "Attention": ["s", "x", "y"],
        "Similarity": ["a", "b", "x", "y"],
        "Affine": [*"abcdef"],
    }
    return [known[letter] for letter in orders[name]]
