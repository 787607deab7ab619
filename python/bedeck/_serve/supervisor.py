"""The process that has workers work, and starts another where one ends. It reads no catalogue, and answers nothing."""

import json
import logging
import math
import os
import selectors
import signal
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from bedeck import errors
from bedeck._serve.logs import aside
from bedeck._serve.metrics import Slot
from bedeck._serve.worker import BACKLOG, DRAIN, READY, Plan, Worker

__all__ = ["Supervisor"]

LONGEST_PAUSE: Final = 30.0  # seconds before another try to start what does not start
SETTLED: Final = 10.0  # seconds after which a worker that ends counts as one that had started
GRACE: Final = 2.0
LONGEST_TOLD: Final = 64 << 10
LONGEST_TEXT: Final = LONGEST_TOLD // 16  # characters of an error: twelve bytes each at most, as JSON

log = logging.getLogger("bedeck.serve")


@dataclass(slots=True)
class Child:
    """A worker, from here."""

    pid: int
    slot: Slot
    control: socket.socket
    born: float
    ready: bool = False
    told: bytes = b""


@dataclass(slots=True)
class Place:
    """A listening socket, and the worker that accepts from it.

    The socket is the supervisor's, so that connections that are not accepted yet outlive a worker; not one that does
    not start again, while there are others.
    """

    listener: socket.socket
    child: Child | None = None
    leaving: list[Child] = field(default_factory=list)
    renewing: bool = False  # the child is to be replaced, once another one is ready
    coming: Child | None = None
    failures: int = 0
    due: float = 0.0


class Supervisor:
    """Workers of a plan on sockets that share an address (SO_REUSEPORT, see socket(7)).

    SIGTERM and SIGINT end the service in order, SIGHUP replaces the workers one after the other.
    """

    def __init__(self, plan: Plan, host: str, port: int, workers: int) -> None:
        self._plan = plan
        self._places = [Place(listener) for listener in listeners(host, port, workers)]
        self._selector = selectors.DefaultSelector()
        self._ending: float | None = None  # until when
        self._parting = math.inf  # from when on nobody can connect
        self._served = False
        self._failed: Exception | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._places[0].listener.getsockname()[:2]
        return host, port

    def run(self) -> None:
        """Work until told to end. Raises what a worker raises where none has ever got to work."""
        reader, writer = socket.socketpair()
        writer.settimeout(0.0)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        handlers = {number: signal.signal(number, _noted) for number in numbers}
        self._selector.register(reader, selectors.EVENT_READ)
        try:
            self._watch(reader)
        finally:
            for child in list(self._children()):
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._selector.close()
            for each in (reader, writer, *(place.listener for place in self._places)):
                each.close()
        if self._failed:
            raise self._failed

    def _watch(self, signals: socket.socket) -> None:
        while not self._is_over():
            now = time.monotonic()
            if now >= self._parting:
                for place in self._places:
                    place.listener.close()
            for place in self._places:
                self._staff(place, now)
            for key, _ in self._selector.select(0.25):
                if key.fileobj is signals:
                    self._obey(signals.recv(256))
                else:
                    self._hear(key.data)
            self._bury()

    def _is_over(self) -> bool:
        return self._ending is not None and (not any(self._children()) or time.monotonic() > self._ending)

    def _staff(self, place: Place, now: float) -> None:
        """See to it that somebody works at a place."""
        if self._ending is not None or now < place.due:
            return
        if place.child is None and place.coming is None:
            place.child = self._start(place, early=not self._served)
        elif place.renewing and place.coming is None and self._has_room():
            place.renewing = False
            place.coming = self._start(place, early=False)

    def _has_room(self) -> bool:
        """Whether one more can come: one at a time, and not while as many leave as there are numbers for."""
        free = [slot for slot in self._plan.block.slots if not slot.gauge("pid")]
        lacking = sum(place.child is None for place in self._places)
        return len(free) > lacking and not any(of.coming for of in self._places)

    def _start(self, place: Place, *, early: bool) -> Child:
        slot = next(slot for slot in self._plan.block.slots if not slot.gauge("pid"))
        control, end = socket.socketpair()
        pid = forked()
        if pid == 0:
            control.close()
            self._work(place, slot, end, early=early)
        end.close()
        slot.set("pid", pid)
        child = Child(pid, slot, control, time.monotonic())
        self._selector.register(control, selectors.EVENT_READ, child)
        return child

    def _work(self, place: Place, slot: Slot, control: socket.socket, *, early: bool) -> None:
        code, lines = 1, None
        try:
            lines = aside()
            signal.set_wakeup_fd(-1)
            for child in self._children():
                child.control.close()
            for other in self._places:
                if other is not place:
                    other.listener.close()
            self._selector.close()
            Worker(self._plan, slot, place.listener, control, early=early).run()
            code = 0
        except BaseException as error:
            log.info("a worker ends: %s", error, exc_info=not isinstance(error, errors.Error))
            told = json.dumps({"class": type(error).__name__, "text": str(error)[:LONGEST_TEXT]})
            control.send(told.encode())
        finally:
            try:
                if lines:
                    lines.close()
            finally:
                os._exit(code)

    def _hear(self, child: Child) -> None:
        try:
            data = child.control.recv(LONGEST_TOLD)
        except ConnectionResetError:
            data = b""
        if not data:
            self._selector.unregister(child.control)
            return
        if data != READY:
            child.told += data
            return
        child.ready = True
        place = next((place for place in self._places if child is place.child or child is place.coming), None)
        if place is None:  # another has taken its place before it was ready
            return
        if place.coming is child:
            if place.child:
                place.leaving.append(place.child)
                drain(place.child)
            place.child, place.coming = child, None
        if not self._served and all(place.child and place.child.ready for place in self._places):
            self._served = True
            log.info("ready", extra={"workers": len(self._places)})

    def _bury(self) -> None:
        while any(self._children()):
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            for place in self._places:
                for child in [of for of in (place.child, place.coming, *place.leaving) if of and of.pid == pid]:
                    self._mourn(place, child, os.waitstatus_to_exitcode(status))

    def _mourn(self, place: Place, child: Child, code: int) -> None:
        child.slot.left()
        if child.control in self._selector.get_map():
            self._hear_last(child)
        child.control.close()
        if child in place.leaving:
            place.leaving.remove(child)
            return
        if place.coming is child:
            place.coming = None
            place.renewing = True
        else:
            place.child = None
        if self._ending is not None:
            place.listener.close()  # who connects while others linger is answered by those
            return
        error = raised(child.told)
        if not self._served:
            self._failed = error or errors.StoreError(
                f"a worker ended with {code} before it could serve: its log says why"
            )
            self._end()
            return
        lasted = time.monotonic() - child.born
        place.failures = 0 if child.ready and lasted > SETTLED else place.failures + 1
        pause = 0.0 if place.failures <= 1 else min(LONGEST_PAUSE, 0.1 * 2.0**place.failures)
        place.due = time.monotonic() + pause
        told = {"pid": child.pid, "code": code, "again_in": pause}
        if place.failures > 1 and any(other.child and other.child.ready for other in self._places):
            # Whoever connects is answered by others; the next worker here listens once it is ready.
            address = place.listener.getsockname()
            place.listener.close()
            place.listener = bound(place.listener.family, address)
        log.error("a worker ended: %s", error or f"exit code {code}", extra=told)

    def _hear_last(self, child: Child) -> None:
        """What a child that is gone had to say; that it was ready does not matter any more."""
        child.control.settimeout(0.0)
        with suppress(OSError):
            child.told += child.control.recv(LONGEST_TOLD).removeprefix(READY)
        self._selector.unregister(child.control)

    def _obey(self, numbers: bytes) -> None:
        for number in numbers:
            if number in {signal.SIGTERM, signal.SIGINT}:
                if self._ending is None:
                    log.info("ending", extra={"signal": signal.Signals(number).name})
                    self._end()
                else:
                    self._ending = 0.0
            elif number == signal.SIGHUP and self._ending is None:
                log.info("replacing all workers")
                for place in self._places:
                    place.renewing = True

    def _end(self) -> None:
        self._parting = time.monotonic() + self._plan.limits.linger
        self._ending = self._parting + self._plan.limits.drain + GRACE
        for child in self._children():
            drain(child)

    def _children(self) -> Iterator[Child]:
        for place in self._places:
            yield from (child for child in (place.child, place.coming, *place.leaving) if child)


def listeners(host: str, port: int, number: int) -> list[socket.socket]:
    """Sockets that share an address, each with a queue of its own. Raises `OSError` where another process has it."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as alone:  # the others would share it with whoever has it
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(address)
        address = (address[0], alone.getsockname()[1], *address[2:])
    found = [bound(family, address) for _ in range(number)]
    for listener in found:
        listener.listen(BACKLOG)
    return found


def bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    """A socket that shares an address, and does not listen yet."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(address)
    listener.settimeout(0.0)
    return listener


def forked() -> int:
    """Fork; 0 in the child."""
    with warnings.catch_warnings():
        # Python 3.12 warns of threads. That of the log holds nothing that a child needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def drain(child: Child) -> None:
    """Have a worker end in order."""
    with suppress(OSError):  # it has ended
        child.control.send(DRAIN)


def raised(told: bytes) -> Exception | None:
    """The error that a worker told of."""
    try:
        of = json.loads(told)
        kind = getattr(errors, of["class"], None)
    except (ValueError, KeyError, TypeError):
        return None
    if isinstance(kind, type) and issubclass(kind, errors.Error):
        return kind(of["text"])
    return errors.StoreError(f"a worker ended with {of['class']}: {of['text']}")


def _noted(_number: int, _frame: object) -> None:
    """What came is read from the wakeup descriptor."""
