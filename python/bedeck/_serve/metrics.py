"""What is counted: numbers in memory that all workers of a service share, a slot for each, so that nobody waits.

A slot has one writer. Whoever is asked reads all of them, so that it does not matter which worker that is. A slot goes
on counting where the worker before it stopped.
"""

import mmap
from collections.abc import Iterator, Sequence
from operator import add
from typing import Final

from bedeck._serve.histogram import BUCKETS, bucket
from bedeck._serve.message import REASONS
from bedeck._serve.route import ROUTES

__all__ = ["COUNTERS", "GAUGES", "SHED", "Block", "Slot"]

CODES: Final = tuple(REASONS)
KINDS: Final = len(ROUTES) * len(CODES)  # of answers; memory is taken for those that there are
SHED: Final = ("waiting", "bound", "late", "starting")
COUNTERS: Final = (
    "ids", "missing", "bytes_sent", "connections", "refreshes", "collections", "collection_microseconds"
)  # fmt: skip
GAUGES: Final = (
    "pid",  # 0 where no worker has the slot
    "ready",
    "waiting",
    "connections_open",
    "version",
    "announced_version",
    "age_microseconds",
    "failures",
    "bytes",
    "resident_bytes",
)


class Slot:
    """The numbers of one worker."""

    __slots__ = ("words",)

    def __init__(self, words: memoryview) -> None:
        self.words = words

    def answered(self, route: int, code: int, seconds: float, size: int) -> None:
        """An answer with status ``code`` of ``size`` bytes was given ``seconds`` after its request was there."""
        words = self.words
        kind = route * len(CODES) + _PLACE[code]
        words[_ANSWERS + kind] += 1
        words[_DURATIONS + kind * BUCKETS + bucket(seconds)] += 1
        words[_MICROS + kind] += int(seconds * 1e6)
        words[_SENT] += size

    def shed(self, reason: str) -> None:
        """A request was refused."""
        self.words[_SHED + SHED.index(reason)] += 1

    def lagged(self, seconds: float) -> None:
        """The event loop came so late to what was due."""
        self.words[_LAGS + bucket(seconds)] += 1
        self.words[_LAG_MICROS] += int(seconds * 1e6)

    def add(self, counter: str, number: int) -> None:
        """Count ``number`` more."""
        self.words[_COUNTERS + COUNTERS.index(counter)] += number

    def decorated(self, ids: int, missing: int) -> None:
        """Count ids, and those of them without a record."""
        self.words[_IDS] += ids
        self.words[_MISSING] += missing

    def set(self, gauge: str, number: int) -> None:
        """Have a gauge tell ``number``."""
        self.words[_GAUGES + GAUGES.index(gauge)] = number

    def gauge(self, name: str) -> int:
        """What a gauge tells."""
        return self.words[_GAUGES + GAUGES.index(name)]

    def durations(self) -> Iterator[tuple[int, int, Sequence[int], float]]:
        """Route, code, histogram and sum in seconds of the answers of each kind that there were."""
        for kind in range(KINDS):
            if self.words[_ANSWERS + kind]:
                counts = self.words[_DURATIONS + kind * BUCKETS :][:BUCKETS].tolist()
                yield kind // len(CODES), CODES[kind % len(CODES)], counts, self.words[_MICROS + kind] / 1e6

    def left(self) -> None:
        """No worker has the slot any more: its counters stay."""
        self.words[_GAUGES : _GAUGES + len(GAUGES)] = memoryview(bytes(8 * len(GAUGES))).cast("Q")


class Block:
    """The numbers of all workers, in memory that forked processes share. ``wanted`` is how many there should be."""

    def __init__(self, slots: int, wanted: int = 1) -> None:
        self.wanted = wanted
        self._memory = mmap.mmap(-1, slots * WORDS * 8)
        words = memoryview(self._memory).cast("Q")
        self.slots = [Slot(words[place * WORDS : (place + 1) * WORDS]) for place in range(slots)]

    def working(self) -> list[Slot]:
        """The slots that a worker has."""
        return [slot for slot in self.slots if slot.gauge("pid")]

    def counter(self, name: str) -> int:
        """The sum of a counter."""
        return sum(self._at(_COUNTERS + COUNTERS.index(name)))

    def answers(self) -> Iterator[tuple[str, int, int]]:
        """Route, code, and how many answers that were, where there was any."""
        for kind in range(KINDS):
            if number := sum(self._at(_ANSWERS + kind)):
                yield ROUTES[kind // len(CODES)], CODES[kind % len(CODES)], number

    def refusals(self) -> Iterator[tuple[str, int]]:
        """Reason, and how many requests were refused for it."""
        for place, reason in enumerate(SHED):
            yield reason, sum(self._at(_SHED + place))

    def durations(self) -> dict[str, tuple[Sequence[int], float]]:
        """The histogram of each route that had an answer, and the sum of its durations in seconds."""
        found: dict[int, list[tuple[Sequence[int], float]]] = {}
        for slot in self.slots:
            for route, _, counts, seconds in slot.durations():
                found.setdefault(route, []).append((counts, seconds))
        return {
            ROUTES[route]: (_merged([counts for counts, _ in of]), sum(seconds for _, seconds in of))
            for route, of in sorted(found.items())
        }

    def lags(self) -> tuple[Sequence[int], float]:
        """The same of what the event loops were late by."""
        return _merged([slot.words[_LAGS : _LAGS + BUCKETS] for slot in self.slots]), sum(self._at(_LAG_MICROS)) / 1e6

    def _at(self, place: int) -> list[int]:
        return [slot.words[place] for slot in self.slots]


def _merged(histograms: Sequence[Sequence[int]]) -> list[int]:
    merged = list(histograms[0])
    for other in histograms[1:]:
        merged = list(map(add, merged, other))
    return merged


_PLACE: Final = {code: place for place, code in enumerate(CODES)}
_GAUGES: Final = 0
_COUNTERS: Final = _GAUGES + len(GAUGES)
_IDS: Final = _COUNTERS + COUNTERS.index("ids")
_MISSING: Final = _COUNTERS + COUNTERS.index("missing")
_SENT: Final = _COUNTERS + COUNTERS.index("bytes_sent")
_SHED: Final = _COUNTERS + len(COUNTERS)
_ANSWERS: Final = _SHED + len(SHED)
_MICROS: Final = _ANSWERS + KINDS
_DURATIONS: Final = _MICROS + KINDS
_LAG_MICROS: Final = _DURATIONS + KINDS * BUCKETS
_LAGS: Final = _LAG_MICROS + 1
WORDS: Final = _LAGS + BUCKETS
