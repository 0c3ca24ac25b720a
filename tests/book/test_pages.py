"""The rendered pages: all there, complete without a network, and well linked."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import build_book
import nbformat
import pytest
import stamps
import yaml
from bs4 import BeautifulSoup

import stn_tutorial

PAGES = build_book.pages_in_toc()
NOTEBOOKS = [page for page in PAGES if page.startswith("notebooks/")]
# The tour, whose number is 0, is a notebook and no chapter.
CHAPTERS = [page for page in NOTEBOOKS if not page.startswith("notebooks/00_")]
# What loads something by itself; a plain link does not.
LOADING = {
    "audio": ["src"],
    "embed": ["src"],
    "iframe": ["src"],
    "image": ["href", "xlink:href"],
    "img": ["src", "srcset"],
    "input": ["src"],
    "link": ["href"],
    "object": ["data"],
    "script": ["src"],
    "source": ["src", "srcset"],
    "track": ["src"],
    "video": ["src", "poster"],
}
ELSEWHERE = re.compile(r"^\s*(?:https?:)?//")


# What colours a word of code: most elements of a page, which nothing here asks for.
COLOURED = re.compile(r'<span class="[a-z][a-z0-9]{0,2}">([^<]*)</span>')


@cache
def parse(path: Path) -> BeautifulSoup:
    text = COLOURED.sub(r"\1", path.read_text(encoding="utf-8"))
    return BeautifulSoup(text, "html.parser")


@cache
def ids(path: Path) -> set[str]:
    """Return what a link can lead to within a page."""
    return {tag["id"] for tag in parse(path).find_all(id=True)}


def every_page(html: Path) -> list[Path]:
    return sorted(html.rglob("*.html"))


def rendered(html: Path) -> list[Path]:
    """Return the pages of the book, without the theme's building blocks and slides."""
    apart = {"_static", "slides"}
    return [p for p in every_page(html) if not apart & {*p.relative_to(html).parts}]


def test_every_page_of_the_toc_is_there_and_no_other(html):
    folders = ["book", "notebooks"]
    found = {
        path.relative_to(html).with_suffix("").as_posix()
        for folder in folders
        for path in (html / folder).rglob("*.html")
    }
    assert found == set(PAGES)
    assert len(PAGES) == len(set(PAGES))


def test_every_notebook_is_a_page():
    assert NOTEBOOKS == [f"notebooks/{path.stem}" for path in stamps.notebook_paths()]


def test_the_index_opens_the_first_page(html):
    refresh = parse(html / "index.html").find("meta", attrs={"http-equiv": "Refresh"})
    assert refresh["content"].endswith(f"url={PAGES[0]}.html")


def test_every_image_has_alt_text(html):
    silent = [
        (path.name, image.get("src", "")[:60])
        for path in rendered(html)
        for image in parse(path).find_all("img")
        if not image.get("alt", "").strip()
    ]
    assert not silent


def test_no_page_loads_anything_from_elsewhere(html):
    loads = [
        (path.name, str(tag)[:120])
        for path in rendered(html)
        for tag in parse(path).find_all(list(LOADING))
        for attribute in LOADING[tag.name]
        if ELSEWHERE.match(tag.get(attribute, ""))
        and "canonical" not in tag.get("rel", [])
    ]
    assert not loads


# What a quiz asks for in Colab alone, where nothing else sets mathematics.
IN_COLAB = "https://cdn.jsdelivr.net/npm/mathjax@3/es5/tex-chtml.js"


def test_no_script_or_style_names_a_content_network(html):
    networks = re.compile(r"cdnjs|unpkg\.com|jsdelivr|googleapis|gstatic|@import url")
    named = [
        (path.name, match[0])
        for path in rendered(html)
        for tag in parse(path).find_all(["script", "style"])
        if (match := networks.search(tag.get_text().replace(IN_COLAB, "")))
    ]
    assert not named


def test_every_local_link_leads_somewhere(html):
    broken = []
    for path in rendered(html):
        for tag in parse(path).find_all(["a", "img", "link", "script"]):
            target = tag.get("href") or tag.get("src") or ""
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or not target:
                continue
            file = (path.parent / unquote(parts.path)) if parts.path else path
            if not file.resolve().is_file():
                broken.append((path.name, target))
            elif parts.fragment and file.suffix == ".html":
                if unquote(parts.fragment) not in ids(file.resolve()):
                    broken.append((path.name, target))
    assert not broken


def test_labelled_equations_are_numbered_by_chapter(html):
    for chapter in CHAPTERS:
        page = parse(html / f"{chapter}.html")
        number = int(Path(chapter).name[:2])
        shown = [tag.get_text() for tag in page.select(".eqno")]
        assert shown, chapter
        expected = [f"({number}.{k})" for k in range(1, len(shown) + 1)]
        assert [re.sub(r"[^\d.()]", "", text) for text in shown] == expected


def test_figures_are_numbered_by_chapter(html):
    for chapter in CHAPTERS:
        page = parse(html / f"{chapter}.html")
        shown = [tag.get_text(strip=True) for tag in page.select(".caption-number")]
        figures = [text for text in shown if text.startswith("Fig")]
        number = int(Path(chapter).name[:2])
        expected = [f"Fig. {number}.{k}" for k in range(1, len(figures) + 1)]
        assert figures == expected
        assert figures, chapter


def test_a_page_has_each_script_of_its_explorables_once(html):
    with_figures = set()
    for name in PAGES:
        soup = parse(html / f"{name}.html")
        if soup.select("figure.stn-explore"):
            scripts = [script["data-stn"] for script in soup.select("[data-stn]")]
            assert len(scripts) == len(set(scripts)), name
            assert "figure.js" in scripts
            with_figures.add(name)
    assert {"book/index", CHAPTERS[0]} <= with_figures


def test_there_is_one_search_box(html):
    for page in PAGES:
        soup = parse(html / f"{page}.html")
        assert len(soup.select(".search-button-field")) == 1, page
        assert len(soup.select("input[type=search]")) == 1, page


def test_every_page_has_a_social_card_that_is_there(html):
    base = yaml.safe_load((stamps.ROOT / "_config.yml").read_text())["html"]["baseurl"]
    for page in PAGES:
        card = parse(html / f"{page}.html").find("meta", property="og:image")
        assert card["content"].startswith(base)
        assert (html / card["content"].removeprefix(base)).is_file()


def test_every_notebook_can_be_opened_in_colab(html):
    config = yaml.safe_load((stamps.ROOT / "_config.yml").read_text(encoding="utf-8"))
    owner_and_name = urlsplit(config["repository"]["url"]).path.strip("/")
    release = f"{owner_and_name}/blob/v{stn_tutorial.__version__}/"
    start = f"https://colab.research.google.com/github/{release}"
    for page in NOTEBOOKS:
        links = {
            link["href"]
            for link in parse(html / f"{page}.html").find_all("a", href=True)
            if "colab.research.google.com" in link["href"]
        }
        assert f"{start}{page}.ipynb" in links  # the other is the student edition
        assert (stamps.ROOT / f"{page}.ipynb").is_file()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_ends_with_reports_that_know_it(html, page):
    soup = parse(html / f"{page}.html")
    (heading, *_) = soup.select("article h1")
    heading = re.sub(r"\s*#$", "", heading.get_text())  # the link to itself
    links = soup.select("article .problem-links a")
    forms = []
    for link in links:
        asked = {k: v for k, (v,) in parse_qs(urlsplit(link["href"]).query).items()}
        forms.append(asked["template"])
        # A chapter's heading has its number on the page, and may get another one.
        assert asked["chapter"] and heading.endswith(asked["chapter"]), heading
        told = asked.get("versions") or asked["version"]
        assert stn_tutorial.__version__ in told
    assert forms == ["bug.yml", "chapter.yml"]


def test_solutions_are_folded(html):
    for page in NOTEBOOKS:
        solutions = parse(html / f"{page}.html").select(".cell.tag_solution")
        assert solutions, page
        for solution in solutions:
            folded = solution.find("details")
            assert folded and not folded.has_attr("open"), page


def test_run_status_lists_every_notebook(html):
    rows = parse(html / "book/run_status.html").select("table.run-status tbody tr")
    links = [row.find("a")["href"] for row in rows]
    assert links == [f"../{page}.html" for page in NOTEBOOKS]


def test_the_landing_page_leads_through_every_chapter(html):
    cards = parse(html / f"{PAGES[0]}.html").select(".chapter-path .sd-card")
    titles = [card.select_one(".sd-card-title").get_text(strip=True) for card in cards]
    paths = [stamps.ROOT / f"{chapter}.ipynb" for chapter in CHAPTERS]
    cells = [nbformat.read(path, as_version=4).cells for path in paths]
    first_lines = [cell[0].source.splitlines()[0] for cell in cells]
    assert titles == [
        f"{int(path.name[:2])}. {line.removeprefix('# ')}"
        for path, line in zip(paths, first_lines, strict=True)
    ]
    for card in cards:
        assert re.search(r"\d+ minutes", card.select_one(".sd-card-footer").get_text())
        assert card.select_one("img")["alt"]


def modules() -> list[str]:
    """Return every module of the package whose name is public."""
    found = pkgutil.walk_packages(stn_tutorial.__path__, "stn_tutorial.")
    names = [info.name for info in found]
    return ["stn_tutorial", *(name for name in names if "._" not in name)]


@pytest.mark.parametrize("module", modules())
def test_every_public_name_is_in_the_reference(html, module):
    pages = [html / f"{page}.html" for page in PAGES if "/api" in page]
    anchors = set().union(*map(ids, pages))
    contents = importlib.import_module(module)
    missing = []
    for name in getattr(contents, "__all__", []):
        thing = getattr(contents, name)
        # A constant does not say where it comes from, and may be at home elsewhere.
        homes = {module, getattr(thing, "__module__", module)} | {
            other
            for other, loaded in sys.modules.items()
            if other.startswith("stn_tutorial") and getattr(loaded, name, 0) is thing
        }
        if not anchors & {f"{home}.{name}" for home in homes}:
            missing.append(name)
    hint = "a module needs a page under book/api, a constant a comment with #:"
    assert not missing, hint
