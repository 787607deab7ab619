"""Logs as lines of JSON on standard error, where nobody who logs waits for whoever reads them."""

import json
import logging
import queue
import select
import sys
import threading
from datetime import UTC, datetime
from typing import Final, TextIO

__all__ = ["Aside", "Timely", "aside", "to_stderr"]

WAITING: Final = 10_000  # lines that are not taken yet, before others are left out
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


class Timely(logging.StreamHandler[TextIO]):
    """Writes a record where there is room for it (poll(2)); the number of those left out is told once there is.

    For a process that says little, and forks, which threads do not outlive. A line longer than a pipe takes at once,
    4 KiB, may wait all the same.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lost = 0
        self._room = select.poll()
        self._room.register(stream, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or leave it out."""
        if not self._room.poll(0):
            self._lost += 1
            return
        super().emit(record)
        if self._lost and self._room.poll(0):
            lost, self._lost = self._lost, 0
            super().emit(left_out(record, lost))


class Aside(logging.Handler):
    """Hands records to another handler in a thread of its own, which waits for whoever reads the log.

    Where that is behind by `WAITING` lines, further ones are left out, and their number is told once there is room.
    """

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._handler = handler
        self._lines: queue.Queue[logging.LogRecord | None] = queue.Queue(WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._write, name="bedeck-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record, or leave it out."""
        try:
            self._lines.put_nowait(record)
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Write what is there, within `PARTING` seconds."""
        try:
            self._lines.put(None, timeout=PARTING)
        except queue.Full:
            pass
        else:
            self._thread.join(PARTING)
        super().close()

    def _write(self) -> None:
        while (record := self._lines.get()) is not None:
            self._handler.handle(record)
            if self._lost and self._lines.empty():
                lost, self._lost = self._lost, 0
                self._handler.handle(left_out(record, lost))


def left_out(after: logging.LogRecord, lost: int) -> logging.LogRecord:
    """A record, like the one before it, which says how many are missing."""
    said = {"name": after.name, "levelno": logging.WARNING, "levelname": "WARNING"}
    said["msg"] = f"{lost} lines of the log were left out: it was not read in time"
    return logging.makeLogRecord(said)


def to_stderr(*, access: bool) -> None:
    """Have what is logged written there; with ``access`` a line for each answer, too."""
    handler = Timely(sys.stderr)
    handler.setFormatter(Lines())
    logging.getLogger().handlers = [handler]  # what asyncio and others say is a line of JSON, too
    logging.getLogger("bedeck").setLevel(logging.INFO)
    logging.getLogger("bedeck.serve.access").setLevel(logging.INFO if access else logging.WARNING)


def aside() -> Aside | None:
    """Have a thread write what goes to standard error from now on, if `to_stderr` was called: it outlives no fork."""
    root = logging.getLogger()
    if not any(isinstance(handler, Timely) for handler in root.handlers):
        return None  # whoever calls this has a log of their own
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    beside = Aside(handler)
    root.handlers = [beside]
    return beside
