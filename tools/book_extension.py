"""Sphinx directives for what the book says about its own chapters and package.

`run-status` makes a table of the stamps that `make notebooks` leaves in the notebooks.
`chapter-path` makes the cards of a part of the book: picture, number, title, minutes,
and what book/cards.yml says of the chapter. `package-reference` documents every module
of a package. All three read what they tell about, so none can fall behind it.
`explorable` shows a figure that answers to the hand on a page that is no notebook;
`network-figure` shows one whose networks run in the page, and puts beside the page what
they need.

Of the scripts that several figures of a page bring with them, one copy is kept.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from datetime import datetime
from html import escape, unescape
from pathlib import Path

import page_runtime
import stamps
import yaml
from docutils import nodes
from page_scripts import keep_scripts_once
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

from stn_tutorial import __version__
from stn_tutorial.course.environment import problem_link
from stn_tutorial.course.explore import shown

MINUTES = re.compile(r"^\*\*Time[:.]?\*\*[:.]?\s*(?:about )?(\d+)", re.MULTILINE)
ALONE = re.compile(r"^\*\*Time\b.*?with the exercises, (\d+) without", re.MULTILINE)
# What the cards say, and their pictures, by a chapter's file name without its number.
CARDS = "book/cards.yml"
PICTURES = "/book/_static/figures/card-{}.svg"
# Where the scripts are that run networks in a page.
RUNTIME = "_static/runtime"


def read_chapter(path: Path) -> dict:
    """Return what the book tells about a chapter without rendering it."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [c for c in notebook["cells"] if c["cell_type"] == "markdown"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells)
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    time = MINUTES.search(text)
    alone = ALONE.search(text)
    return {
        "number": int(path.name[:2]),
        "page": f"notebooks/{path.stem}",
        "title": title[1].strip() if title else path.stem,
        "minutes": time[1] if time else "",
        "minutes_alone": alone[1] if alone else "",
        "stamp": notebook["metadata"].get(stamps.STAMP_KEY),
        "notebook": notebook,
    }


def chapters(directive: SphinxDirective) -> list[dict]:
    """Return the chapters that the book has, and rebuild the page when one changes."""
    paths = stamps.notebook_paths(Path(directive.env.srcdir))
    for path in paths:
        directive.env.note_dependency(str(path))
    found = map(read_chapter, paths)
    return [c for c in found if c["page"] in directive.env.found_docs]


class RunStatus(SphinxDirective):
    """A table: when, where and with what each chapter's outputs were made."""

    def run(self) -> list[nodes.Node]:
        heads = ["Chapter", "Outputs", "Run", "On", "Python", "torch", "Seconds"]
        rows = [self.row(chapter) for chapter in chapters(self)]
        group = nodes.tgroup(cols=len(heads))
        group += [nodes.colspec(colwidth=width) for width in (30, 10, 16, 20, 8, 12, 8)]
        group += nodes.thead("", table_row([nodes.Text(head) for head in heads]))
        group += nodes.tbody("", *[table_row(row) for row in rows])
        table = nodes.table("", group, classes=["run-status"])
        self.set_source_info(table)
        return [table]

    def row(self, chapter: dict) -> list[nodes.Node]:
        """Return the cells of one chapter's row."""
        stamp = chapter["stamp"] or {}
        when = stamp.get("executed", "")
        if when:
            when = f"{datetime.fromisoformat(when):%Y-%m-%d}"
        link = addnodes.pending_xref(
            "",
            nodes.inline("", numbered(chapter)),
            refdomain="std",
            reftype="doc",
            refdoc=self.env.docname,
            reftarget="/" + chapter["page"],
            refexplicit=True,
            refwarn=True,
        )
        rest = (stamp.get(key, "") for key in ("device", "python", "torch", "seconds"))
        texts = [stamps.freshness(chapter["notebook"]), when, *map(str, rest)]
        return [link, *map(nodes.Text, texts)]


def numbered(chapter: dict) -> str:
    """Return a chapter's title with its number; the tour, number 0, has none."""
    number, title = chapter["number"], chapter["title"]
    return f"{number}. {title}" if number else title


def table_row(contents: list[nodes.Node]) -> nodes.row:
    """Return a table row with one paragraph an entry."""
    paragraphs = [nodes.paragraph("", "", content) for content in contents]
    return nodes.row("", *[nodes.entry("", paragraph) for paragraph in paragraphs])


class ChapterPath(SphinxDirective):
    """The chapters of a part of the table of contents, as one linked card each."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        pages = self.pages_of(self.arguments[0])
        cards = yaml.safe_load(self.text_of(CARDS))
        lines = ["::::{grid} 1 1 2 2", ":gutter: 3", ":class-container: chapter-path"]
        for chapter in chapters(self):
            if chapter["page"] in pages:
                card = cards[chapter["page"].partition("_")[2]]
                lines += card_of(chapter, **card)
        return self.parse_text_to_nodes("\n".join([*lines, "::::"]))

    def text_of(self, name: str) -> str:
        """Return the text of a file, and rebuild the page when it changes."""
        self.env.note_dependency(name)
        return (Path(self.env.srcdir) / name).read_text(encoding="utf-8")

    def pages_of(self, part: str) -> list[str]:
        """Return the pages of a part of the table of contents, by its caption."""
        for each in yaml.safe_load(self.text_of("_toc.yml"))["parts"]:
            if each["caption"] == part:
                return [entry["file"] for entry in each["chapters"]]
        raise self.error(f"no part of _toc.yml has the caption {part!r}")


def card_of(chapter: dict, about: str, picture: str) -> list[str]:
    """Return the lines of a chapter's card."""
    minutes = chapter["minutes"]
    if chapter["minutes_alone"]:
        minutes = f"{chapter['minutes_alone']} minutes, {minutes} with the exercises"
    return [
        "",
        f":::{{grid-item-card}} {numbered(chapter)}",
        f":link: /{chapter['page']}",
        ":link-type: doc",
        f":img-top: {PICTURES.format(chapter['page'].partition('_')[2])}",
        f":img-alt: {picture}",
        "",
        about,
        "",
        "```{card-footer}",
        minutes,
        "```",
        ":::",
    ]


class PackageReference(SphinxDirective):
    """The docstrings of a package's modules, as `automodule` has them."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        package = importlib.import_module(self.arguments[0])
        lines = [f".. automodule:: {package.__name__}", "   :no-members:", ""]
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not info.name.rpartition(".")[2].startswith("_"):
                lines += [f".. rubric:: {info.name}", ""]
                lines += [f".. automodule:: {info.name}", ""]
        return self.parse_text_to_nodes("\n".join(lines))


class ShowExplorable(SphinxDirective):
    """A figure of `stn_tutorial.course.explore.shown`, by the name of its function."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        figure = getattr(shown, self.arguments[0])()
        return [nodes.raw("", figure.html(), format="html")]


class NetworkFigure(SphinxDirective):
    """A figure of `stn_tutorial.course.explore` that runs networks in the page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        figures = importlib.import_module("stn_tutorial.course.explore")
        runtime = None
        if page_runtime.is_there():
            app = self.env.app
            files = page_runtime.write(Path(app.outdir) / RUNTIME)
            here = app.builder.get_target_uri(self.env.docname)
            runtime = {"folder": relative_uri(here, f"{RUNTIME}/"), "files": files}
        figure = getattr(figures, self.arguments[0])(runtime)
        return [nodes.raw("", figure.html(), format="html")]


def leave_out_what_is_no_value(
    app: Sphinx, domain: str, kind: str, content: addnodes.desc_content
) -> None:
    """Leave out of a constant's entry a value that is long or made of classes."""
    if kind not in ("data", "attribute"):
        return
    for signature in content.parent.findall(addnodes.desc_signature):
        for part in list(signature.findall(addnodes.desc_annotation)):
            text = part.astext()
            if "=" in text and (
                len(text) > 300 or re.search("<(class|function)", text)
            ):
                signature.remove(part)


def use_base_address(app: Sphinx, config: Config) -> None:
    """Let the social cards use the address that the pages use."""
    config.ogp_site_url = config.html_baseurl


def open_the_release(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document
) -> None:
    """Let Colab open the release's notebook, whose set-up cell installs the release."""
    branch = app.config.html_theme_options["repository_branch"]
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button["text"] == "Colab":
                release = f"/blob/v{__version__}/"
                button["url"] = button["url"].replace(f"/blob/{branch}/", release)


def keep_first_scripts(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document
) -> None:
    """Leave out of a page what an earlier figure of it has brought already."""
    if "body" in context:
        context["body"] = keep_scripts_once(context["body"])


def add_problem_links(
    app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document
) -> None:
    """End each page with links to forms that know the page and the book's version."""
    if doctree is None:  # an index, the search or a module's source
        return
    title = unescape(re.sub(r"<[^>]+>", "", context["title"]))
    repository = app.config.html_theme_options["repository_url"]
    links = {
        form: escape(
            problem_link(
                page=title,
                versions=f"the book of stn_tutorial {__version__}",
                form=form,
                repository=repository,
            )
        )
        for form in ("bug", "chapter")
    }
    context["body"] += (
        '<p class="problem-links">Something here does not work? '
        f'<a href="{links["bug"]}">Report a problem</a>. Something is not clear? '
        f'<a href="{links["chapter"]}">Say what you expected</a>.</p>'
    )
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button.get("label") == "source-issues-button":
                button["url"] = links["bug"]


#: What the theme and the extensions write that misleads a screen reader, and what it
#: should be: a name that hides the words on a button, a button without a name, a role
#: whose children have other roles.
MENDED = [
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    (
        re.compile(r'<summary>(?=<span class="toctree-toggle")'),
        '<summary aria-label="The pages below this one">',
    ),
    (re.compile(r'( search-button-field [^>]*?) aria-label="Search"'), r"\1"),
    (
        re.compile(r'(<i class="theme-switch [^>]*?) title="[^"]*"'),
        r'\1 aria-hidden="true"',
    ),
    (re.compile(r'<div role="list" class="citation-list">'), "<div>"),
    # A list below a list, which viewcode puts beside the item that it belongs to.
    (re.compile(r"(?<=</li>)\s*<ul>"), "<li><ul>"),
    (re.compile(r"</ul>(?=\s*(?:<li>|</ul>))"), "</ul></li>"),
]

#: The parameters of a long signature, which Sphinx writes as definitions of no term.
PARAMETERS = re.compile(
    r'<dl>\s*((?:<dd><em class="sig-param">.*?</dd>\s*)+)</dl>', re.DOTALL
)


def as_lines(match: re.Match[str]) -> str:
    """Return a signature's parameters as the lines that they are."""
    lines = match[1].replace("<dd>", "<div>").replace("</dd>", "</div>")
    return f'<div class="sig-lines">{lines}</div>'


def mend_for_screen_readers(app: Sphinx, error: Exception | None) -> None:
    """Mend what the theme and the extensions leave in the way of screen readers."""
    if error or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        mended = PARAMETERS.sub(as_lines, text)
        for pattern, replacement in MENDED:
            mended = pattern.sub(replacement, mended)
        if mended != text:
            path.write_text(mended, encoding="utf-8")


def keep_minutes_together(app: Sphinx, page: str, source: list[str]) -> None:
    """Let no line of an exercise's heading end between the number and its minutes."""
    source[0] = re.sub(r"(· \d+) (minutes)", "\\1\N{NO-BREAK SPACE}\\2", source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", use_base_address)
    app.connect("source-read", keep_minutes_together)
    app.connect("build-finished", mend_for_screen_readers)
    app.connect("html-page-context", keep_first_scripts)
    app.connect("object-description-transform", leave_out_what_is_no_value)
    app.connect("html-page-context", open_the_release, priority=900)
    app.connect("html-page-context", add_problem_links, priority=901)
    app.add_directive("chapter-path", ChapterPath)
    app.add_directive("explorable", ShowExplorable)
    app.add_directive("network-figure", NetworkFigure)
    app.add_directive("package-reference", PackageReference)
    app.add_directive("run-status", RunStatus)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
