"""How the command line ends: exit codes, and one line for whatever went wrong."""

import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

import click

from bedeck._cli.output import naming_output
from bedeck.errors import (
    DamagedError,
    Error,
    FormatError,
    MissingKeyError,
    NotFoundError,
    RefusedError,
    SchemaError,
    SelectionError,
    SourceError,
)

__all__ = ["Exit", "Verbs", "ending_in_order"]

# Hints at arguments in Python, and what they are on the command line.
_HINTS = {
    'missing="null" or "drop" lets it pass': "--missing null or drop lets it pass",
    "open another version with version=": "open another version with --version",
    " into it, or give it in sources=": " into it",
}
_ALLOW = re.compile(r"allow=\{(.*)\}")
_REASON = re.compile(r'"([^"]+)": "\.\.\."')


class Exit(IntEnum):
    """The exit codes."""

    NOT_FOUND = 1
    USAGE = 2
    DAMAGED = 3
    REFUSED = 4
    UNEXPECTED = 5
    HUNG_UP = 129  # what shells show for a process that SIGHUP ended
    INTERRUPTED = 130  # and for SIGINT
    BROKEN_PIPE = 141  # and for SIGPIPE
    TERMINATED = 143  # and for SIGTERM


_ENDS = {signal.SIGTERM: Exit.TERMINATED, signal.SIGHUP: Exit.HUNG_UP}


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
            with _warning_in_lines():
                code = super().main(*args, **{**extra, "standalone_mode": False}) or 0
            with naming_output():
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


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Let signals end the block as an exception does, so that what it made is taken away. For the main thread.

    SIGTERM, and SIGHUP of a terminal that is gone; not those that are ignored, as below nohup.
    """
    heeded = [number for number in _ENDS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _end) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _warning_in_lines() -> Iterator[None]:
    """Have each warning be a line like those of errors, without a place in the code."""

    def show(message: Warning | str, *_where: object, **_more: object) -> None:
        click.echo(f"bedeck: warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _end(number: int, _frame: object) -> NoReturn:
    for each in _ENDS:
        signal.signal(each, signal.SIG_IGN)  # once is enough
    raise SystemExit(_ENDS[signal.Signals(number)])


def _code(error: Exception) -> Exit:
    match error:
        case MissingKeyError() | NotFoundError():
            return Exit.NOT_FOUND
        case click.UsageError() | SchemaError() | SelectionError():
            return Exit.USAGE
        case DamagedError() | FormatError():
            return Exit.DAMAGED
        case SourceError() | RefusedError():
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
            text = _for_a_shell(str(error))
        case OSError(strerror=str(reason), filename=str() | Path() as name):
            text = f"{name}: {reason}"
        case OSError():
            text = str(error)
        case MemoryError():
            text = "out of memory"
        case _:
            text = f"unexpected {type(error).__name__}: {error}; please report this"
    return text


def _for_a_shell(text: str) -> str:
    for argument, option in _HINTS.items():
        text = text.replace(argument, option)
    return _ALLOW.sub(lambda found: " ".join(f'--allow {name}="..."' for name in _REASON.findall(found[1])), text)


def _finish_output() -> None:
    """Write out what is left; where that cannot be, forget it, or Python would complain of it on its way out."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
