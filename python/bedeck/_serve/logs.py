"""Logs as lines of JSON on standard error, where nobody who logs waits for whoever reads them."""

import json
import logging
import os
import queue
import select
import sys
import threading
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

__all__ = ["Aside", "aside", "to_stderr"]

WAITING: Final = 4 << 20  # bytes of lines that are not taken yet, before others are left out
PARTING: Final = 1.0  # seconds that they have in the end

STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Lines(logging.Formatter):
    """Each record is a JSON object: ``at``, ``level``, ``logger``, ``message``, and whatever it was given besides."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        told |= {name: value for name, value in vars(record).items() if name not in STANDARD}
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


class Aside(logging.Handler):
    """Has a thread write lines to a descriptor, so that whoever logs never waits for whoever reads the log.

    While `WAITING` bytes are not taken, further lines are left out, and their number is told once there is room, or in
    the end. The thread does not outlive a fork, and holds nothing then that a child needs.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.setFormatter(Lines())
        self._descriptor = descriptor
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()  # an empty one is the end
        self._taken = self._lost = 0  # of the bytes and the lines there were; these are for those who log to change,
        self._written = self._told = 0  # and these for the thread
        self._thread = threading.Thread(target=self._write, name="bedeck-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record, or leave it out."""
        if self._taken - self._written > WAITING:
            self._lost += 1
            return
        try:
            line = self._line(record)
        except Exception as error:  # noqa: BLE001 - of what a record holds; who logs does not fail
            line = self._line(said(f"what {record.pathname}, line {record.lineno}, logs cannot be told: {error!r}"))
        self._taken += len(line)
        self._lines.put(line)

    def close(self) -> None:
        """Write what is there, within `PARTING` seconds."""
        self._lines.put(b"")
        self._thread.join(PARTING)
        super().close()

    def _write(self) -> None:
        while line := self._lines.get():
            self._put(line)
            self._written += len(line)
            if self._lines.empty():
                self._tell()
        self._tell()

    def _tell(self) -> None:
        """Say how many lines were left out since this was said."""
        if lost := self._lost - self._told:
            self._told += lost
            self._put(self._line(said(f"{lost} lines of the log were left out: it was not read in time")))

    def _line(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode()

    def _put(self, line: bytes) -> None:
        with suppress(OSError):  # nobody reads it any more
            while line:
                try:
                    line = line[os.write(self._descriptor, line) :]
                except BlockingIOError:  # whoever shares the descriptor has it so
                    select.select([], [self._descriptor], [])


def said(message: str) -> logging.LogRecord:
    """A warning about the log itself."""
    return logging.makeLogRecord(
        {"name": "bedeck.serve", "levelno": logging.WARNING, "levelname": "WARNING", "msg": message}
    )


def to_stderr(*, access: bool) -> logging.Handler:
    """Have what is logged, and warnings, written there; with ``access`` a line for each answer, too.

    The handler, to be closed in the end.
    """
    handler = Aside(sys.stderr.fileno()) if sys.stderr else logging.NullHandler()
    logging.getLogger().handlers = [handler]  # what asyncio and others say is a line of JSON, too
    logging.getLogger("bedeck").setLevel(logging.INFO)
    logging.getLogger("bedeck.serve.access").setLevel(logging.INFO if access else logging.WARNING)
    warnings.showwarning = _warned
    return handler


def aside() -> Aside | None:
    """Have a thread write what `to_stderr` has written, in a child of the process that called it."""
    root = logging.getLogger()
    if not sys.stderr or not any(isinstance(handler, Aside) for handler in root.handlers):
        return None  # whoever calls this has a log of their own
    handler = Aside(sys.stderr.fileno())
    root.handlers = [handler]
    return handler


def _warned(message: Warning | str, category: type[Warning], *_where: object, **_more: object) -> None:
    logging.getLogger("bedeck.serve").warning("%s", message, extra={"warning": category.__name__})
