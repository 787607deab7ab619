"""How the command line ends: exit codes, and one line for whatever went wrong."""

import os
import sys
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

import click

from bedeck.errors import (
    DamagedError,
    Error,
    FormatError,
    MissingKeyError,
    NotFoundError,
    SchemaError,
    SelectionError,
    SourceError,
)

__all__ = ["Exit", "Verbs"]


class Exit(IntEnum):
    """The exit codes."""

    NOT_FOUND = 1
    USAGE = 2
    DAMAGED = 3
    REFUSED = 4
    UNEXPECTED = 5
    INTERRUPTED = 130  # what shells show for a process that SIGINT ended
    BROKEN_PIPE = 141  # and for SIGPIPE


class Verbs(click.Group):
    """A group of commands, listed in the order they were written in, whose errors are one line and an exit code."""

    def list_commands(self, _: click.Context) -> list[str]:
        """The names of the commands."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # which click would take for something that was not found
            ctx.exit(Exit.BROKEN_PIPE)

    def main(self, *args: Any, **extra: Any) -> NoReturn:  # noqa: ANN401 - whatever click takes
        """Run a command, and exit. Never lets an error through."""
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False}) or 0
            sys.stdout.flush()
        except BrokenPipeError:
            code = Exit.BROKEN_PIPE
        except click.Abort:
            code = Exit.INTERRUPTED
        except Exception as error:  # noqa: BLE001 - nobody is helped by a traceback in a shell
            click.echo(f"bedeck: {_message(error)}", err=True)
            code = _code(error)
        _finish_output()
        sys.exit(code)


def _code(error: Exception) -> Exit:
    match error:
        case MissingKeyError() | NotFoundError():
            return Exit.NOT_FOUND
        case click.UsageError() | SchemaError() | SelectionError():
            return Exit.USAGE
        case DamagedError() | FormatError():
            return Exit.DAMAGED
        case SourceError():
            return Exit.REFUSED
        case _:
            return Exit.UNEXPECTED


def _message(error: Exception) -> str:
    match error:
        case click.UsageError(ctx=click.Context() as context):
            text = f"{' '.join(error.format_message().split())} See: {context.command_path} --help"
        case click.ClickException():
            text = error.format_message()
        case Error() | ImportError():
            text = str(error)
        case OSError(strerror=str(reason), filename=str() | Path() as name):
            text = f"{name}: {reason}"
        case OSError():
            text = str(error)
        case MemoryError():
            text = "out of memory"
        case _:
            text = f"unexpected {type(error).__name__}: {error}; please report this"
    return text


def _finish_output() -> None:
    """Write out what is left; where that cannot be, forget it, or Python would complain of it on its way out."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
