"""Two processes that serve at once: what the second one adds, in throughput and in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier as Gate
from queue import Empty
from statistics import median
from threading import BrokenBarrierError
from typing import TypeVar

from benchmarks.clock import rate
from benchmarks.contest import load
from benchmarks.data import Data
from benchmarks.jobs import JSON, Answer
from benchmarks.lists import MAIN, Lists
from benchmarks.memory import Memory
from benchmarks.peers import Peer

__all__ = ["Pair", "pair"]

R = TypeVar("R")

_WORKERS = 2
_ROUNDS = 3
_LISTS = 2000
_SEED = 4
_PATIENCE = 1800  # seconds for both to load
_FAREWELL = 1  # seconds to end by itself


@dataclass(frozen=True, slots=True)
class Pair:
    """Lists of JSON a second: one process serving while the other waits, and both, summed; medians of three rounds.

    `proportional` is the memory of both, shared pages counted once; `private` the anonymous part of it.
    """

    alone: float
    together: float
    private: int | None
    proportional: int | None

    @property
    def gain(self) -> float:
        """How many times as much two processes answer as one."""
        return self.together / self.alone

    def beside(self, server: int) -> "Pair":
        """The same, with the memory of a server that both have asked."""
        if self.private is None or self.proportional is None:
            return self
        return replace(self, private=self.private + server, proportional=self.proportional + server)


def pair(peer: type[Peer], data: Data, seconds: float) -> Pair:
    """Load the peer in two processes; measure one, then both, each for so many seconds, three times."""
    Lists(data).of(MAIN, _WORKERS * _LISTS, _SEED)
    context = get_context("spawn")
    line = _Line(context.Barrier(_WORKERS), context.Queue())
    workers = [context.Process(target=_serve, args=(peer, data, seconds, number, line)) for number in range(_WORKERS)]
    for worker in workers:
        worker.start()
    try:
        served = [_wait(workers, partial(line.told.get, timeout=1)) for _ in workers]
    finally:
        for worker in workers:
            worker.join(_FAREWELL)
            worker.terminate()
    memories = [memory for _, _, memory in served if memory]
    told_all = len(memories) == _WORKERS
    return Pair(
        alone=sum(alone for alone, _, _ in served),
        together=sum(together for _, together, _ in served),
        private=sum(memory.private for memory in memories) if told_all else None,
        proportional=sum(memory.proportional for memory in memories) if told_all else None,
    )


def _wait(workers: Sequence[BaseProcess], get: Callable[[], R]) -> R:
    while True:
        try:
            return get()
        except Empty:
            if not _all_well(workers):
                raise SystemExit("benchmarks: one of two serving processes ended early: too little memory?") from None


def _all_well(workers: Sequence[BaseProcess]) -> bool:
    return all(worker.exitcode in (None, 0) for worker in workers)


def _serve(peer: type[Peer], data: Data, seconds: float, number: int, line: "_Line") -> None:
    lists = [text.split(" ") for text in Lists(data).of(MAIN, _WORKERS * _LISTS, _SEED)[number::_WORKERS]]
    line.meet()
    before = Memory.now()
    line.meet()
    with load(peer, JSON, data) as (loaded, _, _):
        answer = loaded.answer(JSON)
        rate(answer, lists, seconds)
        rounds = [_round(answer, lists, seconds, number, line) for _ in range(_ROUNDS)]
        line.meet()
        after = Memory.now()
        line.meet()
        alone, together = (median(rates) for rates in zip(*rounds, strict=True))
        line.told.put((alone, together, after.since(before) if before and after else None))


def _round(answer: Answer, lists: list[list[str]], seconds: float, number: int, line: "_Line") -> tuple[float, float]:
    line.meet()
    alone = rate(answer, lists, seconds) if number == 0 else 0.0
    line.meet()
    return alone, rate(answer, lists, seconds)


@dataclass(frozen=True, slots=True)
class _Line:
    """Between the processes: where they wait for each other, and where they tell what they have found."""

    gate: Gate
    told: "Queue[tuple[float, float, Memory | None]]"

    def meet(self) -> None:
        try:
            self.gate.wait(_PATIENCE)
        except BrokenBarrierError:
            raise SystemExit("benchmarks: the other process is not there") from None
