"""``python -m stn_tutorial``."""

from stn_tutorial.commands import main

if __name__ == "__main__":
    main()
