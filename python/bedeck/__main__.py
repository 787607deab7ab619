"""``python -m bedeck``: the command line."""

from bedeck.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
