"""Where requests wait in line, and are answered one after the other: what all connections of a worker share."""

import asyncio
import logging
import time
from collections import deque
from typing import Any, Final, Protocol

from bedeck._serve.api import Api, Job
from bedeck._serve.encoding import encoded
from bedeck._serve.gate import Gate
from bedeck._serve.limits import Limits
from bedeck._serve.message import Answer, Problem, Request
from bedeck._serve.metrics import Slot
from bedeck._serve.route import OTHER

__all__ = ["Desk", "Teller", "Waiting", "Work", "access", "due"]

LONGEST: Final = 9  # digits of milliseconds
LATE: Final = Problem(
    503,
    "its time was over when its turn came: allow for more, or ask again in a second, or another instance",
    (b"retry-after", b"1"),
)
log = logging.getLogger("bedeck.serve")
access = logging.getLogger("bedeck.serve.access")


class Waiting(Protocol):
    """Somebody in line."""

    def step(self, now: float) -> None:
        """Do a part of the work: no more than one slice of a list."""


class Teller(Protocol):
    """Somebody who is told of each answer."""

    def answered(self, request: Request, route: int, status: int, size: int, now: float) -> None:
        """One was given at ``now``, a time of ``time.monotonic()``."""


class Work:
    """One request that was let in, until its answer is there."""

    __slots__ = ("_desk", "_job", "_waits", "request")

    def __init__(self, desk: "Desk", request: Request) -> None:
        self._desk = desk
        self._job: Job | None = None
        self._waits = False
        self.request = request

    def wait(self) -> None:
        """Count among those that wait: not before its client takes the answer, or others would wait for that client."""
        self._waits = True
        self._desk.gate.waiting += 1

    def step(self, now: float) -> Answer | None:
        """Do a part of it; the answer, once it is there."""
        desk, request = self._desk, self.request
        try:
            if self._job is not None:
                answer = _continued(self._job)
            elif request.route != OTHER and desk.gate.late(request, now):
                desk.slot.shed("late")
                answer = LATE.answer()
            else:
                begun = desk.api.begin(request)
                if desk.limits.compress:
                    begun = encoded(begun, request, desk.limits.compress)
                if isinstance(begun, Answer):
                    answer = begun
                else:
                    self._job = begun
                    answer = _continued(begun)
        except Problem as problem:
            answer = problem.answer()
        except Exception:
            log.exception("a request failed", extra={"path": request.path, "method": request.method})
            answer = Problem(500, "something went wrong here, and is in the log").answer()
        if answer is not None:
            self._waits = False
            desk.gate.left(time.monotonic())
        return answer

    def dropped(self) -> None:
        """Nobody waits for the answer any more, or for the rest of it."""
        if self._waits:
            self._desk.gate.left(time.monotonic())
        if self._job is not None:
            self._job.close()


def _continued(job: Job) -> Answer | None:
    try:
        next(job)
    except StopIteration as done:
        answer: Answer = done.value
        return answer
    return None


class Desk:
    """The line. ``draining`` is whether connections are to end with their next answer.

    ``turn_lasts`` is how many seconds are worked, before sockets are looked at again.
    """

    def __init__(self, api: Api, limits: Limits, slot: Slot, loop: asyncio.AbstractEventLoop) -> None:
        self.telemetry: Teller | None = None
        self.api = api
        self.limits = limits
        self.slot = slot
        self.gate = Gate(limits)
        self.draining = False
        self.loop = loop
        # Short, and a flood of those that are refused leaves no time for those that are not; long, and they are late.
        # Servers of others send an answer, and read the next request, in turns of their own: the gate has to see those.
        self.turn_lasts = 0.0
        self._tells = access.isEnabledFor(logging.INFO)
        self._line: deque[Waiting] = deque()
        self._due = False

    def join(self, waiting: Waiting, *, begun: bool = False) -> None:
        """Have somebody wait at the end of the line; who has ``begun`` behind the next one: those who have soon end."""
        if begun:
            self._line.insert(1, waiting)
        else:
            self._line.append(waiting)
        if not self._due:
            self._due = True
            self.loop.call_soon(self._turn)

    def answered(self, request: Request, route: int, status: int, size: int) -> None:
        """Count an answer of ``size`` bytes, and tell whoever wants to know."""
        now = time.monotonic()
        self.slot.answered(route, status, now - request.at, size)
        if self.telemetry:
            self.telemetry.answered(request, route, status, size, now)
        if self._tells:
            access.info("answered", extra=_told(request, status, size, now - request.at))

    def _turn(self) -> None:
        line, now = self._line, time.monotonic()
        until = now + self.turn_lasts
        try:
            while True:
                line.popleft().step(now)
                now = time.monotonic()
                if not line or now >= until:
                    break
        finally:  # whatever is wrong with one, the others go on
            self._due = bool(line)
            if line:
                self.loop.call_soon(self._turn)


def _told(request: Request, status: int, size: int, seconds: float) -> dict[str, Any]:
    id_ = request.headers.get(b"x-request-id", b"").decode("latin-1")
    return {
        "method": request.method, "path": request.path, "status": status, "bytes": size,
        "milliseconds": round(seconds * 1e3, 3), "request_id": id_ or None,
    }  # fmt: skip


def due(limits: Limits, headers: dict[bytes, bytes], at: float) -> float:
    """When the answer to a request that came at ``at`` has to be complete. Raises `Problem`."""
    seconds = limits.bound
    for name in (b"bedeck-timeout-ms", b"x-envoy-expected-rq-timeout-ms"):
        if name in headers:
            text = headers[name]
            if not text.isdigit() or len(text) > LONGEST:
                raise Problem(
                    400, f"{name.decode()}: a whole number of milliseconds is expected", parameter=name.decode()
                )
            seconds = min(seconds, int(text) / 1000)
    return at + seconds
