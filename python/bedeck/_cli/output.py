"""Standard streams, as they may also be: closed, full, or starting with a byte order mark."""

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

__all__ = ["line", "lines_of_input", "naming_output", "open_closed", "write"]


def open_closed() -> None:
    """Have output go nowhere where the shell closed it, rather than into the next file that is opened."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends


@contextmanager
def naming_output() -> Iterator[None]:
    """Say of an error in writing that it was standard output; BrokenPipeError goes through."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def write(data: bytes) -> None:
    """Write bytes to standard output."""
    with naming_output():
        sys.stdout.buffer.write(data)


def line(text: str | bytes) -> None:
    """Write a line to standard output, at once."""
    with naming_output():
        click.echo(text)


def lines_of_input() -> Iterator[bytes]:
    """The lines of standard input, without a byte order mark at their start."""
    if sys.stdin is None:
        raise click.ClickException("standard input is closed, and - stands for its lines")
    for place, text in enumerate(sys.stdin.buffer):
        yield text if place else text.removeprefix(codecs.BOM_UTF8)
