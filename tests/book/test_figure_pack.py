"""The pack of figures: all there, named by their labels, with captions and licence."""

from __future__ import annotations

import zipfile
from xml.etree import ElementTree

import figure_pack
import pytest
import stamps
from bs4 import BeautifulSoup
from chapter_pieces import Chapter

from stn_tutorial.data.embedded import CREDITS


@pytest.fixture(scope="module")
def figures():
    chapters = map(Chapter, stamps.notebook_paths()[:2])
    return {k: v for chapter in chapters for k, v in chapter.figures().items()}


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    """Two packs of the first figures, without a browser, which only makes PNG."""
    folder = tmp_path_factory.mktemp("pack")
    first = stamps.notebook_paths()[:2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure_pack, "find_chromium", lambda: None)
        patch.setattr(stamps, "notebook_paths", lambda: first)
        told = [figure_pack.write(folder / f"{k}.zip") for k in range(2)]
    assert "without Chromium" in told[0]
    return [folder / f"{k}.zip" for k in range(2)]


def test_every_drawing_is_there_under_its_label(packs, figures):
    with zipfile.ZipFile(packs[0]) as pack:
        drawings = [name for name, figure in figures.items() if figure.svg]
        assert len(drawings) > 12
        for name in drawings:
            drawing = ElementTree.fromstring(pack.read(f"figures/svg/{name}.svg"))
            assert drawing.tag == "{http://www.w3.org/2000/svg}svg"


def test_the_index_tells_captions_texts_and_licence(packs, figures):
    with zipfile.ZipFile(packs[0]) as pack:
        page = BeautifulSoup(pack.read("figures/index.html"), "html.parser")
        names = set(pack.namelist())
    for name, figure in figures.items():
        told = page.find(id=name)
        assert figure_pack.plain(figure.caption) in told.get_text()
        assert "`" not in told.get_text() and len(figure.alt) > 40
        assert told.img["alt"] == figure.alt
        assert f"figures/{told.img['src']}" in names
    head = page.find("p").get_text()
    assert "CC BY 4.0" in head and all(each in head for each in CREDITS.values())


def test_the_same_figures_make_the_same_pack(packs):
    first, second = (path.read_bytes() for path in packs)
    assert first == second
