"""What README and CONTRIBUTING say is so: commands, options, files, examples, links."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex

import pytest
import stamps
import yaml

import stn_tutorial
from stn_tutorial import commands

PAGES = ["README.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md"]
PAGES += ["book/how_to_use.md", "book/teaching.md", "book/api.md"]
PAGES += ["book/your_own_pictures.md"]
every_page = pytest.mark.parametrize("page", PAGES)


def text_of(name: str) -> str:
    return (stamps.ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """Return the fenced blocks of a page, their indentation taken away."""
    pattern = rf"^( *)```{language}\n(.*?)^\1```"
    found = re.finditer(pattern, text_of(name), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{match[1]}", "", match[2], flags=re.M) for match in found]


def command_lines() -> list[list[str]]:
    """Return what the README says to type, without comments, a list of words each."""
    text = "".join(blocks("README.md", "bash")).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in text.splitlines()]


def calls(program: str) -> list[list[str]]:
    start = program.split()
    found = [words for words in command_lines() if words[: len(start)] == start]
    return [words[len(start) :] for words in found]


def test_the_examples_of_the_readme_run():
    examples = blocks("README.md", "python")
    assert examples
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})


@pytest.mark.parametrize("words", calls("python -m stn_tutorial"), ids=" ".join)
def test_the_commands_of_the_readme_exist_with_their_options(words, capsys):
    name, *rest = words
    with pytest.raises(SystemExit) as done:
        commands.main([name, "--help"])
    assert not done.value.code
    helped = capsys.readouterr().out
    for word in rest:
        if word.startswith("--"):
            assert re.search(rf"{re.escape(word)}\b(?!-)", helped), word
    for word in re.findall(r"^\w[\w-]*$", " ".join(rest[:1]), re.M):
        assert word in helped


@every_page
def test_what_make_is_asked_for_is_a_target(page):
    targets = set(re.findall(r"^([\w./]+|\$\(READY\)):", text_of("Makefile"), re.M))
    asked = re.findall(r"`make\s+([a-z]+)|^make ([a-z]+)", text_of(page), re.M)
    assert {first or second for first, second in asked} <= targets


def test_every_target_is_in_the_readme():
    targets = set(re.findall(r"^([a-z]+):.*##", text_of("Makefile"), re.M)) - {"help"}
    assert targets <= set(re.findall(r"`make ([a-z]+)", text_of("README.md")))


def test_every_folder_is_in_the_readme():
    shown = set(
        re.findall(r"^ *(\S+)/ +\w", "\n".join(blocks("README.md", "text")), re.M)
    )
    there = {path.relative_to(stamps.ROOT).parts for path in stamps.project_files()}
    folders = {parts[0] for parts in there if len(parts) > 1}
    inside = {p[1] for p in there if p[0] == "stn_tutorial" and len(p) > 2}
    assert {f for f in folders if f[0] != "."} | inside == shown


def test_the_method_is_listed_as_it_is():
    listed = re.findall(
        r"^(\w+)\.py", "\n".join(blocks("CONTRIBUTING.md", "text")), re.M
    )
    files = (stamps.ROOT / "stn_tutorial").glob("*.py")
    method = {path.stem for path in files} - {"__init__", "__main__", "commands"}
    assert sorted(listed) == sorted(method)


@every_page
def test_links_between_files_lead_somewhere(page):
    folder = (stamps.ROOT / page).parent
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text_of(page)):
        if "://" not in target:
            assert (folder / target).exists(), target


def api_pages() -> set[str]:
    toc = yaml.safe_load(text_of("_toc.yml"))
    entries = [entry for part in toc["parts"] for entry in part["chapters"]]
    (api,) = (entry for entry in entries if entry["file"] == "book/api")
    return {entry["file"].rpartition("/")[2] for entry in api["sections"]}


def test_the_reference_has_a_page_for_each_module_of_the_method_and_each_storey():
    package = stamps.ROOT / "stn_tutorial"
    expected = {path.stem for path in package.glob("[a-z]*.py")}
    expected |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert api_pages() == expected
    assert {
        path.stem for path in (stamps.ROOT / "book" / "api").glob("*.md")
    } == expected
    table = re.findall(r"`stn_tutorial\.(\w+)`", text_of("book/api.md"))
    assert set(table) == expected


def test_the_reference_documents_what_the_package_offers():
    for name in stn_tutorial.__all__:
        assert getattr(stn_tutorial, name).__doc__, name


def functions_of_the_method() -> dict[str, list[str]]:
    """Return the parameters of every public function and method, by its full name."""
    found = {}
    for path in sorted((stamps.ROOT / "stn_tutorial").glob("[a-z]*.py")):
        module = importlib.import_module(f"stn_tutorial.{path.stem}")
        for name in module.__all__ if path.stem != "commands" else ():
            item = getattr(module, name)
            members = vars(item).items() if inspect.isclass(item) else [("", item)]
            for key, function in members:
                if inspect.isfunction(function) and not key.startswith("_"):
                    full = f"{path.stem}.{name}.{key}".strip(".")
                    found[full] = list(inspect.signature(function).parameters)
    return found


def test_what_deals_in_normalized_coordinates_takes_their_convention():
    """The promise of the page on notation."""
    either = {  # right in both conventions, and their docstrings say what they take
        "antialiasing.finer_grid",
        "families.fit",
        "thin_plate_spline.ThinPlateSpline.at",
        "transformer.SpatialTransformer.grid",
    }
    normalized = {"grid", "points", "theta", "composed"}
    for name, parameters in functions_of_the_method().items():
        makes_a_grid = name.endswith((".grid", "base_grid"))
        if (normalized & set(parameters) or makes_a_grid) and name not in either:
            in_pixels = name.startswith(("bilinear.", "bicubic."))
            assert in_pixels or "align_corners" in parameters, name
