"""What a worker tells of itself while it works: the state of its catalogue, of its event loop, and of its memory."""

import asyncio
import gc
import logging
import os
import time
from collections.abc import Sized
from typing import Any, Final, Protocol

from bedeck._serve.desk import Desk
from bedeck.catalogue import Catalogue
from bedeck.status import Event, Status

__all__ = ["Watch"]

TICK: Final = 0.01
LOOK: Final = 2.0  # seconds between looks at the catalogue, which take milliseconds for each gigabyte

log = logging.getLogger("bedeck.serve")


class Entered(Protocol):
    """What has connections."""

    @property
    def connections(self) -> Sized:
        """Those that are open."""


class Watch:
    """Keeps the gauges of a worker's slot true, from its start until it is stopped.

    ``door`` is where requests come in, if that is known here.
    """

    def __init__(self, desk: Desk, door: Entered | None, loop: asyncio.AbstractEventLoop) -> None:
        self._desk = desk
        self._slot = desk.slot
        self._door = door
        self._loop = loop
        self._ticking: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self._collecting = 0.0
        self._due = 0.0

    def start(self) -> None:
        """Begin."""
        self._slot.set("pid", os.getpid())
        self._due = time.monotonic() + TICK
        self._ticking = self._loop.call_later(TICK, self._tick)
        gc.callbacks.append(self._collected)

    def follow(self, catalogue: Catalogue) -> None:
        """Tell of ``catalogue`` from now on."""
        self._slot.set("version", catalogue.version)
        catalogue.listen(self._changed)
        self._looking = self._loop.create_task(self._look(catalogue))

    def stop(self) -> None:
        """Tell no more."""
        gc.callbacks.remove(self._collected)
        for each in (self._ticking, self._looking):
            if each:
                each.cancel()

    def _tick(self) -> None:
        now = time.monotonic()
        self._slot.lagged(max(0.0, now - self._due))
        self._slot.set("waiting", self._desk.gate.waiting)
        if self._door:
            self._slot.set("connections_open", len(self._door.connections))
        self._due = now + TICK
        self._ticking = self._loop.call_later(TICK, self._tick)

    async def _look(self, catalogue: Catalogue) -> None:
        told = 0
        while True:
            status = await self._loop.run_in_executor(None, self._looked, catalogue)
            slot = self._slot
            slot.set("version", status.version)
            slot.set("announced_version", status.announced or 0)
            slot.set("age_microseconds", max(0, int((status.age or 0) * 1e6)))
            slot.add("refreshes", status.refreshes - told)
            told = status.refreshes
            slot.set("failures", status.failures)
            slot.set("bytes", status.bytes)
            slot.set("resident_bytes", status.resident or 0)
            await asyncio.sleep(LOOK)

    def _looked(self, catalogue: Catalogue) -> Status:
        """In a thread: what takes longer than a request may wait."""
        self._desk.api.past.clear()
        return catalogue.status()

    def _changed(self, event: Event) -> None:
        told = {"event": event.kind, "old": event.old, "new": event.new, "seconds": round(event.seconds, 3)}
        if event.kind == "refreshed":
            self._slot.set("version", event.new or 0)
            log.info("version %s is served", event.new, extra=told)
        else:
            log.warning("the catalogue was not refreshed: %s", event.error, extra=told)

    def _collected(self, phase: str, _info: dict[str, Any]) -> None:
        if phase == "start":
            self._collecting = time.monotonic()
        else:
            self._slot.add("collections", 1)
            self._slot.add("collection_microseconds", int((time.monotonic() - self._collecting) * 1e6))
