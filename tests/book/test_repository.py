"""What the repository says about itself agrees with itself."""

from __future__ import annotations

import json
import re

import stamps
import tomllib
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONFIG = yaml.safe_load((stamps.ROOT / "_config.yml").read_text(encoding="utf-8"))
URL = CONFIG["repository"]["url"]
PROJECT = URL.rsplit("/", 1)[-1]
FORGE = re.compile(rf"github(?:\.com)?[/:]([\w-]+/{PROJECT})\b|([\w-]+\.github\.io\S*)")


def text_files() -> dict[str, str]:
    found = {}
    for path in stamps.project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found[path.relative_to(stamps.ROOT).as_posix()] = text
    return found


def without_set_up_cell(text: str) -> str:
    """Return a notebook's text without its first code cell."""
    notebook = json.loads(text)
    codes = [i for i, c in enumerate(notebook["cells"]) if c["cell_type"] == "code"]
    del notebook["cells"][codes[0]]
    return json.dumps(notebook)


def test_the_address_of_the_forge_is_written_in_one_place():
    places = {}
    for name, text in text_files().items():
        if name.startswith("notebooks/"):
            text = without_set_up_cell(text)
        if FORGE.search(text):
            places[name] = FORGE.search(text)[0]
    assert set(places) == {"_config.yml"}, places


def test_every_mention_of_the_address_agrees():
    owner_and_name = URL.removeprefix("https://github.com/")
    mentions = {
        (name, match[1])
        for name, text in text_files().items()
        for match in FORGE.finditer(text)
        if match[1]
    }
    assert {address for _, address in mentions} == {owner_and_name}


def test_the_base_address_of_the_pages_belongs_to_the_repository():
    owner, name = URL.removeprefix("https://github.com/").split("/")
    assert CONFIG["html"]["baseurl"] == f"https://{owner}.github.io/{name}/"


def pins() -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    text = (stamps.ROOT / "requirements.txt").read_text()
    for line in text.replace("\\\n", "").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line.partition("--hash")[0])
            found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


def test_every_requirement_is_pinned_exactly():
    for name, requirements in pins().items():
        for requirement in requirements:
            (specifier,) = requirement.specifier
            assert specifier.operator == "==" and "*" not in specifier.version, name
            assert requirement.url is None


def test_every_pin_has_its_hashes_and_names_no_index():
    text = (stamps.ROOT / "requirements.txt").read_text()
    assert "://" not in text, "the lock holds wherever the packages come from"
    for line in text.replace("\\\n", "").splitlines():
        if line and not line.startswith("#"):
            hashes = line.partition("--hash")[2]
            assert re.fullmatch(r"(=sha256:[0-9a-f]{64}( +--hash)?)+", hashes), line


def test_every_dependency_is_pinned_within_its_range():
    text = (stamps.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"].values()
    pinned = pins()
    for wanted in [project["dependencies"], *extras]:
        for requirement in map(Requirement, wanted):
            name = canonicalize_name(requirement.name)
            assert name in pinned, f"{name} is not in requirements.txt: make lock"
            for pin in pinned[name]:
                (specifier,) = pin.specifier
                assert specifier.version in requirement.specifier, name
