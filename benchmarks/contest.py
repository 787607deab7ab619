"""bedeck against one peer, in one process, taking turns."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import orjson
import pyarrow as pa

from benchmarks.clock import Times, affordable, seconds, take_turns
from benchmarks.data import Data
from benchmarks.jobs import Answer, Job
from benchmarks.lists import CASES, MAIN, Case, Lists
from benchmarks.memory import Memory
from benchmarks.peers import Peer
from benchmarks.peers.kept import seconds_of, size_of
from benchmarks.subject import Bedeck

__all__ = [
    "CHECKED",
    "WARM_UP",
    "Contest",
    "Effort",
    "Match",
    "Prepared",
    "check",
    "compete",
    "load",
    "prepare",
    "to_check",
]

CHECKED = 500  # lists whose answers are compared before any is timed
WARM_UP = 1000  # lists answered right before the first that is timed
_LEAST_KNOWN = 0.95
_MAIN_SHARE = 0.5  # of the time, for the case that the others are variations of
_CHECK_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Effort:
    """How many lists to time in the main case and in the others, and the seconds to spend on them at the most."""

    lists: int
    others: int
    seconds: float

    @property
    def rate_seconds(self) -> float:
        """How long to answer at full speed, where lists a second are counted."""
        return self.seconds / 8

    def most(self, case: Case) -> int:
        """How many lists to time in that case."""
        return self.lists if case == MAIN else self.others


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a peer serves from: the seconds that writing it took, with all it was made of, and its own bytes."""

    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Match:
    """Times of both for the same lists."""

    peer: Times
    bedeck: Times

    @property
    def ratio(self) -> float:
        """How many times as long the peer takes, by medians."""
        return self.peer.p50 / self.bedeck.p50

    @property
    def ratios(self) -> tuple[float, ...]:
        """The same for each consecutive part of the run."""
        return tuple(theirs / ours for theirs, ours in zip(self.peer.spans, self.bedeck.spans, strict=True))


@dataclass(frozen=True, slots=True)
class Contest:
    """How it went, case by case; what loading the peer took, and how many answers were compared before."""

    peer: str
    job: Job
    prepared: Prepared
    load_seconds: float
    memory: Memory | None
    server: int  # bytes of anonymous memory in a server that the peer asks
    checked: int
    matches: Mapping[Case, Match]

    @property
    def main(self) -> Match:
        """The main case."""
        return self.matches[MAIN]


def prepare(peer: type[Peer], job: Job, data: Data) -> Prepared:
    """Have the peer write its files."""
    files = peer.prepare(data, job)
    return Prepared(sum(map(seconds_of, files)), size_of(files[-1]) if files else 0)


def compete(peer: type[Peer], jobs: Sequence[Job], prepared: Prepared, data: Data, effort: Effort) -> list[Contest]:
    """Load the peer, open bedeck, and for each job compare their answers, then time both."""
    with load(peer, jobs[0], data) as (loaded, load_seconds, memory):
        bedeck, lists, contests = Bedeck(data, jobs[0]), Lists(data), []
        for job in jobs:
            theirs, ours = loaded.answer(job), bedeck.answer(job)
            checked = check(job, ours, theirs, lists, effort)
            bedeck.warm()
            loaded.warm()
            matches = {case: _match(theirs, ours, case, lists, effort) for case in CASES}
            contests.append(Contest(peer.name, job, prepared, load_seconds, memory, 0, checked, matches))
        return contests


def to_check(lists: Lists) -> tuple[list[str], list[str]]:
    """The lists whose answers are compared: of the main case, as many as there is time for, and of the others, all."""
    return lists.of(MAIN, CHECKED, seed=1), [text for case in CASES[1:] for text in lists.of(case, 3, seed=1)]


def check(job: Job, ours: Answer, theirs: Answer, lists: Lists, effort: Effort) -> int:
    """Compare their answers with bedeck's, value by value; how many of the main case. Exits where they differ."""
    known = asked = 0
    texts, others = to_check(lists)
    texts = texts[: affordable(theirs, texts, effort.seconds * _CHECK_SHARE)]
    for text in (*texts, *others):
        ids = text.split(" ")
        answers = job.canonical(ours(ids)), job.canonical(theirs(ids))
        if answers[0] != answers[1]:
            raise SystemExit(f"benchmarks: answers differ for {text!r}:\n{answers[0]!r}\n{answers[1]!r}")
        known += sum(entity is not None for entity in orjson.loads(answers[0]))
        asked += len(ids)
    if known < _LEAST_KNOWN * asked:
        raise SystemExit("benchmarks: the lists do not fit the data kept from an earlier run: remove benchmarks/.data")
    return len(texts)


@contextmanager
def load(peer: type[Peer], job: Job, data: Data) -> Iterator[tuple[Peer, float, Memory | None]]:
    """Load a peer; the seconds and the memory that took. Until the end of the block, nothing of it is collected."""
    before = Memory.now()
    gc.disable()
    made: list[Peer] = []
    load_seconds = seconds(lambda: made.append(peer(data, job)))
    gc.enable()
    gc.collect()
    gc.freeze()
    pa.default_memory_pool().release_unused()
    after = Memory.now()
    yield made[0], load_seconds, after.since(before) if before and after else None
    gc.unfreeze()


def _match(theirs: Answer, ours: Answer, case: Case, lists: Lists, effort: Effort) -> Match:
    most, share = effort.most(case), _MAIN_SHARE if case == MAIN else (1 - _MAIN_SHARE) / (len(CASES) - 1)
    budget = effort.seconds * share
    warm_up = lists.of(case, min(WARM_UP, most), seed=2)
    warm_up = warm_up[: affordable(theirs, warm_up, budget / 5)]
    take_turns({"peer": (theirs, warm_up), "bedeck": (ours, warm_up)})
    timed = lists.of(case, most, seed=3)
    timed = timed[: affordable(theirs, timed, budget)]
    times = take_turns({"peer": (theirs, timed), "bedeck": (ours, timed)})
    return Match(times["peer"], times["bedeck"])
