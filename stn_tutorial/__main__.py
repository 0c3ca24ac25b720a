"""``python -m stn_tutorial``."""

from stn_tutorial.cli import main

if __name__ == "__main__":
    main()
