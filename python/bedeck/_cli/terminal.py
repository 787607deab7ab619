"""What a terminal needs to know of text: how wide it is, where it is cut, and which line is replaced by the next."""

import os
import shutil
import sys
import textwrap
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import click

__all__ = ["columns", "counted", "fit", "heading", "human", "note", "pairs", "safe", "status", "table", "width"]

MOST_COLUMNS = 120
REFRESH_SECONDS = 0.1
TELLING_SECONDS = 2.0


def safe(text: str) -> str:
    """``text`` with characters escaped that would break the line or command the terminal."""
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} else char
        for char in text
    )


def columns(text: str) -> int:
    """How many columns of a terminal ``text`` takes."""
    wide = (2 if unicodedata.east_asian_width(char) in "FW" else 1 for char in text if not _is_mark(char))
    return sum(wide)


def fit(text: str, limit: int) -> str:
    """``text`` in exactly ``limit`` columns: padded, or cut with an ellipsis."""
    if columns(text) > limit:
        while columns(text) > limit - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (limit - columns(text))


def counted(number: int, noun: str) -> str:
    """A number of things, as in "1 track" and "2,000 tracks"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def heading(text: str) -> str:
    """``text`` in bold; click takes that away where it is printed to no terminal, or NO_COLOR is set."""
    return f"\x1b[1m{text}\x1b[0m"


def width() -> int:
    """Columns to write in."""
    return min(shutil.get_terminal_size().columns, MOST_COLUMNS)


def human(size: float) -> str:
    """Bytes to three digits, in powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:  # noqa: PLR2004 - what rounds to 1,000 belongs to the next unit
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"


def table(rows: Sequence[Sequence[str]], numbers: Iterable[int] = ()) -> list[str]:
    """Lines with the cells of ``rows`` below each other; the columns in ``numbers`` end below each other instead."""
    right = set(numbers)
    widths = [max(map(columns, cells)) for cells in zip(*rows, strict=True)]
    return ["  " + "  ".join(_pad(row, widths, right)).rstrip() for row in rows]


def pairs(values: Sequence[tuple[str, str]]) -> list[str]:
    """Lines of names and values; on a terminal, long values go on in the next line, below their start."""
    start = max(columns(name) for name, _ in values) + 2
    lines = [f"{fit(name, start)}{value}" for name, value in values]
    if not sys.stdout.isatty():
        return lines
    wrap = textwrap.TextWrapper(width(), subsequent_indent=" " * start, break_on_hyphens=False)
    return [part for line in lines for part in (wrap.wrap(line) if columns(line) > width() else [line])]


@contextmanager
def status(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Say what is being done, in a line on standard error that goes away with it; nothing where that is no terminal.

    What it gives is to be called with how much is done and how much there is.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda _done, _total: None
        return
    started, last = time.monotonic(), -REFRESH_SECONDS

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= REFRESH_SECONDS:
            last = time.monotonic()
            _replace_line(f"{doing}: {done / max(total, 1):.0%}{_left(last - started, done, total)}")

    _replace_line(f"{doing} ...")
    try:
        yield progress
    finally:
        _replace_line("")


def note(text: str) -> None:
    """Say something on standard error while a status may stand there."""
    if sys.stderr.isatty():
        _replace_line("")
    click.echo(f"bedeck: note: {safe(text)}", err=True)


def _left(seconds: float, done: int, total: int) -> str:
    """The time that is left, if it goes on like this, once it has gone on long enough to tell."""
    if seconds < TELLING_SECONDS or not 0 < done < total:
        return ""
    left = round(seconds * (total - done) / done)
    return f", {left // 60} min {left % 60} s left" if left >= 60 else f", {left} s left"  # noqa: PLR2004 - a minute


def _replace_line(text: str) -> None:
    sys.stderr.write("\r" + fit(safe(text), width() - 1) + ("" if text else "\r"))
    sys.stderr.flush()


def _is_mark(char: str) -> bool:
    return unicodedata.category(char) in {"Mn", "Me", "Cf"}


def _pad(row: Sequence[str], widths: Sequence[int], right: set[int]) -> Iterator[str]:
    for place, (cell, limit) in enumerate(zip(row, widths, strict=True)):
        space = " " * (limit - columns(cell))
        yield space + cell if place in right else cell + space
