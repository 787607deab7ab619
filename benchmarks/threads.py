"""Two threads of one process, in long lists: whether they get in each other's way."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from statistics import median
from threading import Barrier

from benchmarks.clock import rate
from benchmarks.data import Data
from benchmarks.jobs import JSON, Answer
from benchmarks.lists import Case, Lists
from benchmarks.subject import Bedeck

__all__ = ["LONG", "Threads", "thread"]

LONG = Case("uniform", 1000)
_LISTS = 300  # for each thread
_ROUNDS = 5
_THREADS = 2


@dataclass(frozen=True, slots=True)
class Threads:
    """Lists of JSON a second with one thread, and with two, summed: medians of rounds that took turns."""

    one: float
    two: float

    @property
    def gain(self) -> float:
        """How many times as much two threads answer as one."""
        return self.two / self.one


def thread(data: Data, seconds: float) -> Threads:
    """Measure that, so many seconds a round."""
    bedeck = Bedeck(data, JSON)
    answer, lists = bedeck.answer(JSON), [text.split(" ") for text in Lists(data).of(LONG, _THREADS * _LISTS, seed=5)]
    halves = [lists[number::_THREADS] for number in range(_THREADS)]
    with ThreadPoolExecutor(_THREADS) as pool:
        rounds = list(_rounds(pool, answer, halves, seconds))
    return Threads(median(one for one, _ in rounds), median(two for _, two in rounds))


def _rounds(
    pool: ThreadPoolExecutor, answer: Answer, halves: list[list[list[str]]], seconds: float
) -> Iterator[tuple[float, float]]:
    start = Barrier(_THREADS)

    def serve(lists: list[list[str]], limit: float) -> float:
        start.wait()
        return rate(answer, lists, limit)

    for _ in range(_ROUNDS):
        one = rate(answer, halves[0], seconds)
        yield one, sum(pool.map(serve, halves, repeat(seconds)))
