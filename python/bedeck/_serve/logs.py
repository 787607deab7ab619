"""Logs as lines of JSON on standard error."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

__all__ = ["to_stderr"]

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


def to_stderr(*, access: bool) -> None:
    """Have what this package logs written there; with ``access`` a line for each answer, too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logger = logging.getLogger("bedeck")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logging.getLogger("bedeck.serve.access").setLevel(logging.INFO if access else logging.WARNING)
