"""The command line, ``bedeck``: the verbs of the package for a terminal. docs/cli.md is its manual.

Needs click, which is imported when the command line is run: ``pip install click``.
"""

import io
import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line with ``args``, or those of the process, and exit with its code.

    Exit codes: 0 done, 1 not found, 2 usage, schema or selection, 3 damaged data, 4 a source refused, 5 anything else,
    129 and 143 told to end, 130 interrupted, 141 nobody reads the output any more.
    """
    try:
        # They import click, which only the command line needs.
        from bedeck._cli.output import open_closed  # noqa: PLC0415
        from bedeck._cli.verbs import verbs  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write("bedeck: the command line needs click: pip install click\n")
        sys.exit(5)
    open_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # text that a terminal cannot show is no reason to fail
    verbs.main(args, prog_name="bedeck")
