"""What a report of a problem says of its environment, and what it keeps to itself."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
import torch

import stn_tutorial
from stn_tutorial.course import environment
from stn_tutorial.data import archives

SECRETS = ["mallory", "secret-host", "hunter2", "intranet"]


@pytest.fixture
def adversarial(monkeypatch, tmp_path):
    """A machine on which everything that can be asked tells who its user is."""
    home = tmp_path / "mallory" / "secret-host"
    home.mkdir(parents=True)
    monkeypatch.chdir(home)
    for variable in ("HOME", "STN_TUTORIAL_DATA", "PYTHONPATH", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(home))
    for variable in ("USER", "LOGNAME", "USERNAME", "HOSTNAME", "BINDER_SERVICE_HOST"):
        monkeypatch.setenv(variable, "mallory@secret-host")
    monkeypatch.setenv("STN_TUTORIAL_MIRROR", "http://mallory:hunter2@intranet/mnist")
    monkeypatch.setattr(sys, "argv", [str(home / "script.py")])
    monkeypatch.setattr(sys, "executable", str(home / "python"))
    platform = environment.platform
    monkeypatch.setattr(platform, "node", lambda: "secret-host")
    monkeypatch.setattr(platform, "release", lambda: "6.1.0-mallory-secret-host")
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.1+mallory")
    monkeypatch.setattr(
        environment.metadata, "version", lambda name: "1.2.3.dev4+mallory.secret.host"
    )
    monkeypatch.setattr(torch, "__version__", "2.9.0a0+mallory")
    monkeypatch.setattr(
        stn_tutorial, "__file__", str(home / "stn_tutorial" / "__init__.py")
    )


def test_nothing_personal_is_told_however_much_there_is(adversarial):
    about = stn_tutorial.report_environment("A page")
    for told in (str(about), repr(about), about._repr_html_(), about.link):
        for secret in SECRETS:
            assert secret not in told
    lines = "\n".join(about.facts.values())
    assert not set("/\\~@") & set(lines)
    assert about.facts["torch"] == "2.9.0a0"
    assert about.facts["Python"].startswith("3.12.1,")
    assert about.facts["numpy"] == "1.2.3.dev4"
    assert about.facts["runs in"] == "Binder"
    assert "mirror (an address)" in about.facts["digits"]


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("2.6.0+cpu", "2.6.0+cpu"),
        ("2.14.1+cu130", "2.14.1+cu130"),
        ("2.9.0+cuddly", "2.9.0"),
        ("1.0rc1", "1.0rc1"),
        ("1.2.post1", "1.2.post1"),
        ("/home/mallory", "unknown"),
        ("", "unknown"),
    ],
)
def test_of_a_version_what_is_known_to_be_impersonal_is_told(version, told):
    assert environment._public(version) == told


def test_the_versions_are_those_that_are_loaded():
    facts = stn_tutorial.report_environment().facts
    assert facts["torch"] == torch.__version__
    assert facts["stn_tutorial"].startswith(stn_tutorial.__version__)
    assert ("CUDA" in facts["device"]) == torch.cuda.is_available()
    assert facts["Python"].split(",")[0] == ".".join(map(str, sys.version_info[:3]))


def test_the_source_of_the_digits_is_told_without_a_fetch(monkeypatch, tmp_path):
    def told() -> str:
        return stn_tutorial.report_environment().facts["digits"]

    monkeypatch.setitem(sys.modules, "stn_tutorial.data.digits", None)
    monkeypatch.setenv("STN_TUTORIAL_DATA", str(tmp_path / "cache"))
    assert told() == "MNIST, downloaded when it is asked for"
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    monkeypatch.setenv("STN_TUTORIAL_MIRROR", mirror.as_uri())
    assert told() == "MNIST, from a mirror (a folder) when it is asked for"
    checksums = {}
    for name in archives.ARCHIVES:
        (mirror / name).write_bytes(name.encode())
        checksums[name] = hashlib.md5(name.encode()).hexdigest()
    monkeypatch.setattr(archives, "ARCHIVES", checksums)
    assert told() == "MNIST, from a mirror (a folder) when it is asked for"
    paths = archives.fetch_mnist()
    assert told() == "MNIST, kept in the cache"
    paths[0].write_bytes(b"damaged")
    assert told() == "MNIST, from a mirror (a folder) when it is asked for"
    fell_back = SimpleNamespace(_noticed=["no network"])
    monkeypatch.setitem(sys.modules, "stn_tutorial.data.digits", fell_back)
    assert told().startswith("embedded")


def test_the_notice_of_the_embedded_digits_is_what_the_report_asks_for(monkeypatch):
    from stn_tutorial.data import digits

    monkeypatch.setattr(digits, "_noticed", [])
    assert not stn_tutorial.report_environment().facts["digits"].startswith("embedded")
    digits._notice("a reason")
    assert stn_tutorial.report_environment().facts["digits"].startswith("embedded")


def test_the_report_ends_with_a_form_that_has_it_filled_in():
    about = stn_tutorial.report_environment("Read & compare <pixels>")
    assert str(about).endswith(about.link)
    address = urlsplit(about.link)
    assert address.geturl().isascii() and " " not in about.link
    assert f"{address.scheme}://{address.netloc}{address.path}" == (
        f"{environment.REPOSITORY}/issues/new"
    )
    fields = {name: value for name, (value,) in parse_qs(address.query).items()}
    assert fields["template"] == "bug.yml"
    assert fields["chapter"] == "Read & compare <pixels>"
    assert fields["versions"] in str(about)
    assert torch.__version__ in fields["versions"]
    assert "<pixels>" not in about._repr_html_()


def test_a_page_is_a_title():
    with pytest.raises(TypeError, match="page must be a string"):
        stn_tutorial.report_environment(3)


def test_the_face_loads_the_report_when_it_is_asked_for():
    code = (
        "import sys, stn_tutorial\n"
        "assert not any(n.startswith('stn_tutorial.course') for n in sys.modules)\n"
        "stn_tutorial.report_environment\n"
        "assert 'stn_tutorial.course.environment' in sys.modules\n"
        "assert not hasattr(stn_tutorial, 'report_environments')\n"
        "assert not {'sklearn', 'matplotlib', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
