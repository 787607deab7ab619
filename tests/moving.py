"""Catalogues that move, for the tests: events to be waited for, and rows that tell which version they are of."""

import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bedeck import Catalogue, Event, Key, Schema, Type

__all__ = ["NARROW", "OFTEN", "PAIR", "PATIENCE", "WIDE", "Told", "pair", "restless"]

PATIENCE = 60  # seconds until a test that waits for something gives up
OFTEN = 0.01

PAIR = Schema({name: Type(key=Key("k", "int")) for name in ("a", "b")})
WIDE, NARROW = ("version", "extra"), ("version",)


def pair(version: int, fields: tuple[str, ...] = NARROW) -> dict[str, list[dict[str, int]]]:
    """Rows for `PAIR`, of both types, each with the number of the version in each field."""
    return {name: [{"k": key, **dict.fromkeys(fields, version)} for key in range(50)] for name in ("a", "b")}


class Told:
    """Events of a catalogue, to be waited for."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._events: queue.Queue[Event] = queue.Queue()
        self.stop = catalogue.listen(self._events.put)

    def next(self, kind: str) -> Event:
        """The next event of this kind."""
        while True:
            event = self._events.get(timeout=PATIENCE)
            if event.kind == kind:
                return event


@contextmanager
def restless() -> Iterator[None]:
    """Has threads take turns as often as can be, so that a refresh does not wait for readers that never pause."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)
