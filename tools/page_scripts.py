"""Keep one copy of the scripts and styles that several figures of a page bring."""

from __future__ import annotations

import re

# A script of a figure that answers to the hand, or its style.
SCRIPT = re.compile(r'<(script|style) data-stn="([\w.]+)">.*?</\1>\n?', re.DOTALL)


def keep_scripts_once(html: str) -> str:
    """Leave out of a page what an earlier figure of it has brought already."""
    seen = set()

    def first(match: re.Match[str]) -> str:
        repeated = match[2] in seen
        seen.add(match[2])
        return "" if repeated else match[0]

    return SCRIPT.sub(first, html)
