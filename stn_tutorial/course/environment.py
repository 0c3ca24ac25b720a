"""What a report of a problem should say of where it happened, and nothing personal.

Versions, the device, where MNIST comes from and the kind of system: no path, no name of
a user or a host, and nothing of an address but that there is one. It works where torch
and numpy are all that is installed.
"""

from __future__ import annotations

import html
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import quote, urlencode

import torch

import stn_tutorial
from stn_tutorial._validate import check_choice, kind_of
from stn_tutorial.course.device import pick_device
from stn_tutorial.data import archives

__all__ = ["REPOSITORY", "Environment", "problem_link", "report_environment"]

#: Where problems are told; a test compares it with the book's own address.
REPOSITORY = "https://github.com/stn-tutorial/stn-tutorial"
#: The forms for issues, and the field of each that holds versions.
_FORMS = {"bug": "versions", "chapter": "version"}

# The distributions whose versions decide how a chapter runs.
_DISTRIBUTIONS = (
    "numpy",
    "scipy",
    "scikit-learn",
    "matplotlib",
    "torchvision",
    "accelerate",
    "anywidget",
    "ipywidgets",
    "ipykernel",
)
# A version and, of what follows a plus, the known kinds of build: the rest of it may be
# the name of whoever built it, or of the machine.
_VERSION = re.compile(
    r"\d+(?:\.\d+)*(?:\.?(?:a|b|rc|post|dev)\d+)*(?:\+(?:cpu|cu\d+|rocm[\d.]+|xpu)\b)?"
)
# Variables that hosted notebooks set, and what these are called.
_HOSTS = {
    "KAGGLE_KERNEL_RUN_TYPE": "Kaggle",
    "BINDER_SERVICE_HOST": "Binder",
    "CODESPACES": "Codespaces",
}


@dataclass(frozen=True, repr=False)
class Environment:
    """What `report_environment` found: it prints as lines that can be pasted.

    >>> print(Environment({"torch": "2.6.0"}))  # doctest: +ELLIPSIS
    torch  2.6.0
    <BLANKLINE>
    Report a problem: https://...

    Attributes:
        facts: what is told, and its value.
        page: the title of the page that it is about, if that was said.
    """

    facts: Mapping[str, str]
    page: str = ""

    @property
    def link(self) -> str:
        """The address of a report of a problem, filled in with all of this."""
        return problem_link(page=self.page, versions=self._lines())

    def __str__(self) -> str:
        return f"{self._lines()}\n\nReport a problem: {self.link}"

    __repr__ = __str__  # for the last line of a cell

    def _repr_html_(self) -> str:
        return (
            f"<pre>{html.escape(self._lines())}</pre>"
            f'<p><a href="{html.escape(self.link)}" target="_blank" rel="noopener">'
            "Report a problem</a>, with these lines filled in.</p>"
        )

    def _lines(self) -> str:
        width = max(map(len, self.facts), default=0)
        return "\n".join(
            f"{name:{width}}  {value}" for name, value in self.facts.items()
        )


def report_environment(page: str = "") -> Environment:
    """Say what the package runs with and on, for a report of a problem.

    >>> about = report_environment()
    >>> list(about.facts)[:4]
    ['stn_tutorial', 'Python', 'torch', 'numpy']
    >>> about.facts["stn_tutorial"].split(",")[0] == stn_tutorial.__version__
    True

    Args:
        page: the title of the page or chapter that the problem is about.

    Returns:
        The versions, the device, the source of MNIST, the system and the kind of
        notebook. Printed, or as the last line of a cell, it ends with the address of a
        report that has all of this filled in. It holds no path, and no name of a user
        or a host; nothing is sent.

    Raises:
        TypeError: if `page` is not a string.
    """
    if not isinstance(page, str):
        raise TypeError(f"page must be a string, got {kind_of(page)}")
    python = f"{_public(platform.python_version())}, {platform.python_implementation()}"
    return Environment(
        {
            "stn_tutorial": f"{_public(stn_tutorial.__version__)}, {_installed()}",
            "Python": python,
            "torch": _public(torch.__version__),
            **{name: _version_of(name) for name in _DISTRIBUTIONS},
            "device": _device(),
            "digits": _digits(),
            "system": _system(),
            "runs in": _place(),
        },
        page,
    )


def problem_link(
    *,
    page: str = "",
    versions: str = "",
    form: str = "bug",
    repository: str = REPOSITORY,
) -> str:
    """Return the address of a form for an issue, with fields that are filled in.

    >>> problem_link(page="Read between the pixels").partition("?")[2]
    'template=bug.yml&title=Read%20between%20the%20pixels%3A%20&chapter=Read%20...

    Args:
        page: the title of the page that it is about.
        versions: what is known of the versions, in lines.
        form: ``"bug"``, or ``"chapter"`` for what is not clear.
        repository: the address of the repository.

    Returns:
        An address that is safe in a link.

    Raises:
        ValueError: if there is no such form.
    """
    check_choice(form, "form", tuple(_FORMS))
    fields = {"template": f"{form}.yml"}
    if page:
        fields |= {"title": f"{page}: ", "chapter": page}
    if versions:
        fields[_FORMS[form]] = versions
    return f"{repository}/issues/new?{urlencode(fields, quote_via=quote)}"


def _public(version: str) -> str:
    """The part of a version that says nothing of who built it."""
    found = _VERSION.match(str(version))
    return found[0] if found else "unknown"


def _version_of(distribution: str) -> str:
    try:
        return _public(metadata.version(distribution))
    except metadata.PackageNotFoundError:
        return "not installed"


def _installed() -> str:
    checkout = Path(stn_tutorial.__file__).parents[1] / "_config.yml"
    return "in a copy of the repository" if checkout.exists() else "installed"


def _device() -> str:
    device = pick_device()
    if device.type == "cuda":
        runtime = torch.version.cuda or torch.version.hip or "unknown"
        name = re.sub(r"[^\w .()-]", " ", torch.cuda.get_device_name(device))
        return f"{name}, CUDA {_public(runtime)}"
    return f"CPU, {torch.get_num_threads()} threads, {os.cpu_count()} cores"


def _digits() -> str:
    """Where MNIST comes from, or what stands in for it, without fetching anything."""
    digits = sys.modules.get("stn_tutorial.data.digits")  # once they have been loaded
    if digits is not None and digits._noticed:
        return "embedded: MNIST could not be had in this session"
    if archives.is_kept():
        return "MNIST, kept in the cache"
    mirror = os.environ.get("STN_TUTORIAL_MIRROR", "")
    if not mirror:
        return "MNIST, downloaded when it is asked for"
    kind = "an address" if mirror.startswith(("http://", "https://")) else "a folder"
    return f"MNIST, from a mirror ({kind}) when it is asked for"


def _system() -> str:
    """The kind of system: a full release may hold the name of whoever built it."""
    name, release = platform.system(), platform.release()
    if name == "Darwin":
        name, release = "macOS", platform.mac_ver()[0]
    number = re.match(r"\d+(\.\d+)?", release)
    machine = re.sub(r"\W", "", platform.machine())
    return " ".join(filter(None, [name, number and number[0], machine]))


def _place() -> str:
    """What runs this: a hosted notebook, Jupyter, IPython or Python."""
    if "google.colab" in sys.modules:
        return "Colab"
    for variable, host in _HOSTS.items():
        if variable in os.environ:
            return host
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None:
        return "Python"
    return "Jupyter" if hasattr(shell, "kernel") else "IPython"
