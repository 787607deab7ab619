"""The command line for as long as whoever started it is there: it ends, in order, where its standard input does."""

import os
import signal
import sys
import threading

from bedeck.cli import main

__all__: list[str] = []


def end_with_input() -> None:
    """Have SIGTERM end this process once nobody can write to its standard input any more, however they went."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_input, name="bedeck-tied", daemon=True).start()
    main()
