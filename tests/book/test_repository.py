"""What the repository says about itself agrees with itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import matrix
import pytest
import set_version
import stamps
import tomllib
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import stn_tutorial
from stn_tutorial.course import environment

GITHUB = stamps.ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(
    set((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
    - {GITHUB / "ISSUE_TEMPLATE" / "config.yml"}
)
CONFIG = yaml.safe_load((stamps.ROOT / "_config.yml").read_text(encoding="utf-8"))
URL = CONFIG["repository"]["url"]
PROJECT = URL.rsplit("/", 1)[-1]
# Words are tried at their start alone: stored pictures are long ones.
FORGE = re.compile(
    rf"github(?:\.com)?[/:]([\w-]+/{PROJECT})\b|(?<![\w-])([\w-]+\.github\.io\S*)"
)


@cache
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


def test_the_address_of_the_forge_is_written_where_it_has_to_be():
    """A README is shown where no variable is filled in; a package has no book."""
    places = {}
    for name, text in text_files().items():
        if name.startswith(("notebooks/", "assignments/")) and name.endswith(".ipynb"):
            text = without_set_up_cell(text)
        if FORGE.search(text):
            places[name] = FORGE.search(text)[0]
    expected = {"_config.yml", "README.md", "stn_tutorial/course/environment.py"}
    assert set(places) == expected, places


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
    assert f"]({CONFIG['html']['baseurl']})" in text_files()["README.md"]


def test_the_badge_is_of_a_workflow_that_is_there():
    badges = re.findall(r"/actions/workflows/([\w.]+)", text_files()["README.md"])
    assert badges and set(badges) <= {path.name for path in WORKFLOWS}


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


def extras() -> dict[str, list[Requirement]]:
    text = (stamps.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)["project"]["optional-dependencies"]
    return {name: [Requirement(each) for each in found[name]] for name in found}


def stated_versions(root: Path) -> set[str]:
    found = set()
    for path, pattern in set_version.patterns(root).items():
        (version,) = pattern.findall(path.read_text("utf-8"))  # each file states one
        found.add(version)
    return found


def test_the_set_up_cells_and_the_citation_name_the_version_of_the_package():
    assert stated_versions(stamps.ROOT) == {stn_tutorial.__version__}


def test_a_new_version_is_written_everywhere_at_once(tmp_path):
    for path in [*set_version.patterns(stamps.ROOT), stamps.ROOT / "CHANGELOG.md"]:
        copy = tmp_path / path.relative_to(stamps.ROOT)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    set_version.write(tmp_path, "12.3.4", "2031-05-06")
    assert stated_versions(tmp_path) == {"12.3.4"}
    for path in (tmp_path / "notebooks").glob("*.ipynb"):
        before = json.loads((stamps.ROOT / "notebooks" / path.name).read_text("utf-8"))
        after = json.loads(path.read_text("utf-8"))
        changed = [
            (old, new)
            for old, new in zip(before["cells"], after["cells"], strict=True)
            if old != new
        ]
        ((old, new),) = changed
        assert "".join(new["source"]) == "".join(old["source"]).replace(
            f"@v{stn_tutorial.__version__}", "@v12.3.4"
        )
    log = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", log, re.M)
    assert headings[:2] == ["[Unreleased]", "[12.3.4] - 2031-05-06"]


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3.dev0", "1.02.3", ""])
def test_a_version_is_three_numbers(tmp_path, version):
    with pytest.raises(ValueError, match="three numbers"):
        set_version.write(tmp_path, version, "2031-05-06")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_digest_beside_its_tag(path):
    text = path.read_text(encoding="utf-8")
    steps = [
        step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]
    ]
    used = [step["uses"] for step in steps if "uses" in step]
    pinned = re.findall(r"uses: (\S+@[0-9a-f]{40}) # v\d+\.\d+\.\d+$", text, re.M)
    assert used and used == pinned


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_job_that_may_write_runs_no_code_of_the_project(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        if "permissions" in job:
            uses = [step.get("uses", "") for step in job["steps"]]
            assert not any(each.startswith("actions/checkout") for each in uses), name


def weekly() -> dict:
    return yaml.safe_load((GITHUB / "workflows" / "weekly.yml").read_text("utf-8"))


def test_every_week_the_notebooks_run_in_colab_s_own_image():
    job = weekly()["jobs"]["notebooks"]
    image = job["container"]["image"]
    assert "/colab-images/public/" in image and image.endswith(":latest")
    assert "'cpu-runtime'" in image and "inputs.gpu-runner && 'runtime'" in image
    (ran,) = [s["run"] for s in job["steps"] if "tools/colab.py" in s.get("run", "")]
    assert "--here" in ran
    released = [s for s in job["steps"] if "git describe" in s.get("run", "")]
    assert released and "--released" in ran
    assert set(job["strategy"]["matrix"]["source"]) == {"main", "the last release"}


def test_every_week_the_package_runs_on_both_ends_of_its_versions():
    job = weekly()["jobs"]["versions"]
    rows = job["strategy"]["matrix"]["row"]
    assert set(rows) == set(matrix.ROWS) - {"pinned"}, "the pinned are tested anyhow"
    pythons = "".join(s.get("with", {}).get("python-version", "") for s in job["steps"])
    assert {matrix.ROWS[row][0] for row in rows} <= set(pythons.split())
    (ran,) = [step["run"] for step in job["steps"] if "run" in step]
    assert ran.startswith("make matrix ") and "WHOLE=1" in ran


def test_a_gpu_is_asked_for_by_hand():
    workflow = weekly()
    (asked,) = workflow[True]["workflow_dispatch"][
        "inputs"
    ]  # YAML 1.1 reads on as True
    job = workflow["jobs"]["cuda"]
    assert f"inputs.{asked}" in job["runs-on"] and f"inputs.{asked}" in job["if"]
    assert "make cuda" in [step.get("run") for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_files_and_targets_that_are_there(path):
    steps = [
        step.get("run", "")
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
        for step in job["steps"]
    ]
    targets = set(re.findall(r"^([a-z]+):", makefile(), re.M))
    for text in steps:
        assert set(re.findall(r"\bmake ([a-z]+)", text)) <= targets
        for name in re.findall(r"(?:^|\s)((?:tools|\.ci)/\S+)", text):
            assert (stamps.ROOT / name).is_file(), name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_job_is_bounded_in_time_and_needs_jobs_that_are_there(path):
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    for name, job in jobs.items():
        assert 0 < job["timeout-minutes"] <= 180, name
        needed = job.get("needs", [])
        assert set([needed] if isinstance(needed, str) else needed) <= set(jobs) - {
            name
        }
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step), name


def test_a_failing_week_opens_one_issue(tmp_path):
    jobs = weekly()["jobs"]
    report = jobs["report"]
    assert set(report["needs"]) == set(jobs) - {"report"}
    (step,) = report["steps"]
    said = tmp_path / "said"
    forge = tmp_path / "gh"
    forge.write_text(
        f'#!/bin/sh\nif [ "$2" = list ]; then echo "$KNOWN"; '
        f"else printf '%s\\n' \"$@\" > '{said}'; fi\n"
    )
    forge.chmod(0o755)
    for known, expected in [("", ["issue", "create"]), ("7", ["issue", "comment"])]:
        surroundings = {
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "KNOWN": known,
            "RESULTS": "links: failure",
            "RUN": "https://forge.example/runs/5",
        }
        subprocess.run(["bash", "-euc", step["run"]], env=surroundings, check=True)
        words = said.read_text().splitlines()
        assert words[:2] == expected
        assert "https://forge.example/runs/5" in words[-1]
        assert not known or words[2] == known


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_one(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"] and form["description"]
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(set(ids)) == len(ids)
    for field in form["body"]:
        assert field["type"] in {"dropdown", "input", "markdown", "textarea"}
        assert field["attributes"].get("label") or field["type"] == "markdown"
        assert (field["type"] == "dropdown") == ("options" in field["attributes"])


@pytest.mark.parametrize("form", ["bug", "chapter"])
def test_a_link_that_fills_in_a_form_names_fields_that_it_has(form):
    link = environment.problem_link(page="A page", versions="1.2", form=form)
    filled = {name: value for name, (value,) in parse_qs(urlsplit(link).query).items()}
    assert urlsplit(link).path.endswith("/issues/new")
    path = GITHUB / "ISSUE_TEMPLATE" / filled.pop("template")
    fields = yaml.safe_load(path.read_text("utf-8"))["body"]
    takes_text = {f.get("id") for f in fields if f["type"] in ("input", "textarea")}
    assert filled.pop("title") == "A page: "
    assert set(filled) <= takes_text and set(filled.values()) == {"A page", "1.2"}


def test_whoever_reports_a_fault_says_where_it_was_run():
    form = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / "bug.yml").read_text("utf-8"))
    (where,) = (field for field in form["body"] if field.get("id") == "where")
    assert where["validations"]["required"]
    options = " ".join(where["attributes"]["options"])
    assert all(place in options for place in ("Colab", "My computer", "Binder"))


def test_the_dependencies_are_watched():
    watched = yaml.safe_load((GITHUB / "dependabot.yml").read_text(encoding="utf-8"))
    kinds = {each["package-ecosystem"] for each in watched["updates"]}
    assert kinds == {"github-actions", "npm", "pip"}


def test_the_dev_container_sets_up_as_the_makefile_does():
    text = (stamps.ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8")
    (target,) = re.findall(r"^READY := (\S+)$", makefile(), re.M)
    assert json.loads(text)["postCreateCommand"] == f"make {target}"


def makefile() -> str:
    return (stamps.ROOT / "Makefile").read_text(encoding="utf-8")


def test_binder_has_what_the_course_needs():
    text = (stamps.ROOT / ".binder" / "environment.yml").read_text(encoding="utf-8")
    names = {"matplotlib": "matplotlib-base", "torch": "pytorch-cpu"}
    installed = yaml.safe_load(text)["dependencies"]
    project = tomllib.loads((stamps.ROOT / "pyproject.toml").read_text("utf-8"))
    base = map(Requirement, project["project"]["dependencies"])
    for wanted in [*base, *extras()["course"]]:
        assert f"{names.get(wanted.name, wanted.name)}{wanted.specifier}" in installed


def test_no_chapter_is_named_by_its_number():
    """Numbers move when a chapter is put in; its title and its links stay."""
    named = re.compile(r"\bchapters?\s+\d", re.IGNORECASE)
    found = [
        f"{name}: {line.strip()[:100]}"
        for name, text in text_files().items()
        if name.endswith((".md", ".py", ".js", ".ipynb")) and name != "CHANGELOG.md"
        for line in text.splitlines()
        # A book that is cited has chapters too.
        if named.search(line) and "{cite" not in line
    ]
    assert not found
