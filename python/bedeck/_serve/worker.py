"""One process that answers: an event loop, a listening socket, a catalogue."""

import asyncio
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Collection
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import uvloop

from bedeck._serve.api import Api
from bedeck._serve.connection import Connection
from bedeck._serve.desk import Desk
from bedeck._serve.limits import Limits
from bedeck._serve.metrics import Block, Slot
from bedeck._serve.opening import opened
from bedeck._serve.watch import Watch
from bedeck.catalogue import Catalogue
from bedeck.store import Store

if TYPE_CHECKING:
    from bedeck._serve.tracing import Telemetry

__all__ = ["BACKLOG", "DRAIN", "READY", "Door", "Plan", "Worker"]

READY: Final = b"ready\n"
DRAIN: Final = b"drain\n"
TEND: Final = 0.25
LONGEST_TURN: Final = 0.025  # seconds of work, before sockets are looked at again
BACKLOG: Final = 1024  # connections that wait to be accepted
SWITCH: Final = 2e-4  # seconds that a thread, which follows the store, may keep the event loop from going on

log = logging.getLogger("bedeck.serve")


@dataclass(frozen=True, slots=True)
class Plan:
    """What all workers of a service do."""

    store: Store
    options: dict[str, Any]  # of bedeck.open
    limits: Limits
    block: Block
    lock: bool
    server: Literal["bedeck", "uvicorn"]
    telemetry: bool  # whether OpenTelemetry is told of answers


class Door(Protocol):
    """What lets requests in."""

    @property
    def connections(self) -> Collection[Any]:
        """Those that are open."""

    async def open(self, listener: socket.socket) -> None:
        """Accept connections from now on."""

    def shut(self) -> None:
        """Accept no more. What was begun is answered."""

    async def part(self) -> None:
        """End the connections that there still are."""


class OwnDoor:
    """Our own server."""

    def __init__(self, desk: Desk) -> None:
        self.connections: set[Connection] = set()
        self._desk = desk
        desk.turn_lasts = min(LONGEST_TURN, desk.limits.bound / 4)
        self._server: asyncio.Server | None = None
        self._tending: asyncio.Task[None] | None = None

    async def open(self, listener: socket.socket) -> None:
        """Accept connections from now on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._desk, self.connections), sock=listener, backlog=BACKLOG
        )
        self._tending = loop.create_task(self._tend())

    def shut(self) -> None:
        """Accept no more. What was begun is answered."""
        if self._server:
            self._server.close()

    async def part(self) -> None:
        """End the connections that there still are."""
        for connection in list(self.connections):
            connection.abort()

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(TEND)
            now = time.monotonic()
            for connection in list(self.connections):
                connection.tend(now)
            self._bound()

    def _bound(self) -> None:
        """Part with clients that do not read, while they have the worker keep too much for them."""
        unread = [(*connection.unread(), connection) for connection in self.connections]
        over = sum(size for size, _, _ in unread) - self._desk.limits.unread
        for size, _, connection in sorted(unread, key=itemgetter(1)):
            if over <= 0:
                return
            if size:
                connection.abort()
                over -= size


class Worker:
    """``control`` leads to the supervisor: whoever closes its other end, or writes `DRAIN`, has the worker drain."""

    def __init__(self, plan: Plan, slot: Slot, listener: socket.socket, control: socket.socket, *, early: bool) -> None:
        self._plan = plan
        self._slot = slot
        self._listener = listener
        self._control = control
        self._early = early  # whether to accept connections before there is a catalogue

    def run(self) -> None:
        """Work until told to end. Raises what `bedeck.open` raises."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # what they mean is the supervisor's matter
            signal.signal(number, signal.SIG_IGN)
        sys.setswitchinterval(SWITCH)
        # The process ends with it: what still waits, in threads or in tasks, is not waited for.
        uvloop.new_event_loop().run_until_complete(self._work())

    async def _work(self) -> None:
        loop, plan = asyncio.get_running_loop(), self._plan
        api = Api(plan.limits, plan.block, self._slot)
        desk = Desk(api, plan.limits, self._slot, loop)
        telemetry = desk.telemetry = begun_telemetry(self._slot) if plan.telemetry else None
        door = make_door(plan, desk)
        watch = Watch(desk, door, loop)
        ending = asyncio.Event()
        loop.add_reader(self._control, self._told, ending)
        watch.start()
        if self._early:
            await door.open(self._listener)
        opening = loop.run_in_executor(None, self._open)
        await first_of(opening, ending.wait())
        if not opening.done():
            return  # it waits for a version, or warms one, in a thread that ends with the process
        catalogue = await opening
        api.catalogue, api.live = catalogue, True
        watch.follow(catalogue)
        gc.collect()
        gc.freeze()  # what lives as long as the process need not be looked through again and again
        if not self._early:
            await door.open(self._listener)
        self._slot.set("ready", 1)
        with suppress(ConnectionError):  # whoever is not there any more need not know
            self._control.send(READY)
        await ending.wait()
        api.live = False
        self._slot.set("ready", 0)
        await asyncio.sleep(plan.limits.linger)
        desk.draining = True
        door.shut()
        until = time.monotonic() + plan.limits.drain
        while door.connections and time.monotonic() < until:  # noqa: ASYNC110 - uvicorn tells nobody that one ends
            await asyncio.sleep(0.01)
        await door.part()
        watch.stop()
        api.close()
        if telemetry:
            await loop.run_in_executor(None, telemetry.close)

    def _open(self) -> Catalogue:
        return opened(self._plan.store, self._plan.options, lock=self._plan.lock)

    def _told(self, ending: asyncio.Event) -> None:
        try:
            ended = not self._control.recv(64)
        except ConnectionError:  # what was said to it was not heard any more
            ended = True
        if ended:
            asyncio.get_running_loop().remove_reader(self._control)
        ending.set()


async def first_of(*things: Awaitable[Any]) -> None:
    """Wait for the first of them; leave the others alone."""
    await asyncio.wait([asyncio.ensure_future(thing) for thing in things], return_when=asyncio.FIRST_COMPLETED)


def begun_telemetry(slot: Slot) -> "Telemetry":
    """Its threads do not outlive a fork, so that it begins in the worker."""
    from bedeck._serve.tracing import Telemetry  # noqa: PLC0415 - which need not be installed

    return Telemetry(slot)


def make_door(plan: Plan, desk: Desk) -> Door:
    """The server that a plan names."""
    if plan.server == "uvicorn":
        from bedeck._serve.foreign import UvicornDoor  # noqa: PLC0415 - which need not be installed

        return UvicornDoor(desk)
    return OwnDoor(desk)
