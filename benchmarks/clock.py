"""Timing calls, one by one, contestants taking turns."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from time import perf_counter, perf_counter_ns
from typing import TypeVar

import numpy as np

from benchmarks.jobs import Answer

__all__ = ["Times", "affordable", "overhead", "rate", "seconds", "take_turns"]

K = TypeVar("K", bound=Hashable)

_SPANS = 5
_LEAST_CALLS = 10


@dataclass(frozen=True, slots=True)
class Times:
    """How long calls took, in microseconds. `spans` has the medians of the run's five consecutive parts."""

    calls: int
    p50: float
    p99: float
    p999: float
    longest: float
    spans: tuple[float, ...]

    @classmethod
    def of(cls, nanoseconds: list[int]) -> "Times":
        """Condense what was measured."""
        taken = np.array(nanoseconds) / 1000
        p50, p99, p999 = (float(value) for value in np.percentile(taken, (50, 99, 99.9), method="higher"))
        spans = tuple(float(np.median(span)) for span in np.array_split(taken, min(_SPANS, len(taken))))
        return cls(len(taken), p50, p99, p999, float(taken.max()), spans)


def take_turns(contestants: Mapping[K, tuple[Answer, Sequence[str]]]) -> dict[K, Times]:
    """Time every contestant on each of its lists, A/B/A/B: there must be as many for each.

    Ids are new `str` objects every time. Freeing the answer counts.
    """
    taken: dict[K, list[int]] = {name: [] for name in contestants}
    turns = [(answer, taken[name].append) for name, (answer, _) in contestants.items()]
    for texts in zip(*(lists for _, lists in contestants.values()), strict=True):
        for (answer, keep), text in zip(turns, texts, strict=True):
            ids = text.split(" ")
            start = perf_counter_ns()
            result = answer(ids)
            del result
            keep(perf_counter_ns() - start)
    return {name: Times.of(nanoseconds) for name, nanoseconds in taken.items()}


def affordable(answer: Answer, lists: Sequence[str], limit: float) -> int:
    """How many of these lists are answered in about so many seconds: 10 at least, all at most. Tries some of them."""
    start = perf_counter()
    for done, text in enumerate(lists, 1):
        answer(text.split(" "))
        taken = perf_counter() - start
        if taken > limit / 10:
            return min(len(lists), max(_LEAST_CALLS, int(limit / taken * done)))
    return len(lists)


def rate(answer: Answer, lists: Sequence[list[str]], limit: float) -> float:
    """Lists a second, over and over again for so many seconds."""
    start = perf_counter()
    for done, ids in enumerate(cycle(lists), 1):
        answer(ids)
        if (taken := perf_counter() - start) > limit:
            return done / taken
    raise ValueError("there are no lists to answer")


def overhead() -> float:
    """Microseconds that timing adds to every call: the median of timing next to nothing."""
    return take_turns({"nothing": (id, [""] * 10_001)})["nothing"].p50


def seconds(work: Callable[[], object]) -> float:
    """How long that takes."""
    start = perf_counter()
    work()
    return perf_counter() - start
