"""``python -m stn_tutorial``."""

import signal
import sys

if __name__ == "__main__":
    # A command that is told to end cleans up as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        from stn_tutorial.commands import main
    except KeyboardInterrupt:
        sys.exit(130)
    main()
