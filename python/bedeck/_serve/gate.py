"""Who is let in: a request that would wait longer than it may is refused while that costs little."""

from typing import Final

from bedeck._serve.limits import Limits
from bedeck._serve.message import Problem, Request

__all__ = ["Gate"]

WEIGHT: Final = 1 / 64  # of the last answer in the mean
SHARE: Final = 0.3  # of the bound that a request may spend waiting, by what is known when it comes
LEAST: Final = 1e-4  # seconds between two answers, where nothing is known


class Gate:
    """How many requests wait to be answered by one thread, and how soon after each other they are.

    An answer is made in one go on the thread of the event loop, so requests wait in line, and the length of the line
    times the mean time between two answers is what the next one waits. That time is looked at while there is a line, so
    that it has all that the thread does: reading, writing, and refusing. Latencies of the handler do not tell it;
    limiters that follow them (Vegas, Gradient) let everything in.
    """

    __slots__ = ("_bound", "_last", "_most", "interval", "waiting")

    def __init__(self, limits: Limits) -> None:
        self._most = limits.waiting
        self._bound = limits.bound * SHARE
        self._last = 0.0  # when the last answer was there, if others have waited since
        self.waiting = 0
        self.interval = LEAST

    def refuses(self) -> str | None:
        """Why one that comes now is not let in, as a label of metrics; ``None`` where it is."""
        if self.waiting >= self._most:
            return "waiting"
        if self.waiting * self.interval > self._bound:
            return "bound"
        return None

    def late(self, request: Request, now: float) -> bool:
        """Whether there is no time left for a request that has waited."""
        return now + min(self.interval, self._bound) > request.deadline

    def left(self, now: float) -> None:
        """One of those that waited has its answer, or is gone."""
        self.waiting -= 1
        # A pause of the whole process is no measure, and what was measured in a rush is forgotten after it.
        took = min(now - self._last, self._bound) if self._last else LEAST
        self.interval += (took - self.interval) * WEIGHT
        self._last = now if self.waiting else 0.0

    def problem(self) -> Problem:
        """The answer to one that is not let in."""
        return Problem(
            503,
            f"{self.waiting} requests wait: this one would not be answered in time. Ask again in a second, or another"
            " instance",
            (b"retry-after", b"1"),
        )
