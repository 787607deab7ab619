"""bedeck against one peer, in one process, taking turns."""

import gc
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow as pa

from benchmarks.clock import Times, take_turns
from benchmarks.data import Data
from benchmarks.jobs import Answer, Job
from benchmarks.memory import Memory
from benchmarks.peers import Peer
from benchmarks.subject import answering, seconds, serving

__all__ = ["CHECKED", "SIZE", "WARM_UP", "Contest", "compete", "prepare"]

SIZE = 100  # ids a list
CHECKED = 500  # lists whose answers are compared before any is timed
WARM_UP = 1000  # lists answered right before the first that is timed
_LEAST_KNOWN = 0.95


@dataclass(frozen=True, slots=True)
class Contest:
    """How it went: times of both for the same lists; the peer's seconds to load, and the memory that took."""

    peer: type[Peer]
    job: Job
    times: Times
    bedeck: Times
    load_seconds: float
    memory: Memory | None

    @property
    def ratio(self) -> float:
        """How many times as long the peer takes, by medians."""
        return self.times.p50 / self.bedeck.p50

    @property
    def ratios(self) -> tuple[float, ...]:
        """The same for each consecutive part of the run."""
        return tuple(theirs / ours for theirs, ours in zip(self.times.spans, self.bedeck.spans, strict=True))


def prepare(peer: type[Peer], job: Job, data: Data) -> tuple[float, int]:
    """Have the peer write its files; return the seconds that took, and their bytes."""
    files: list[Path] = []
    taken = seconds(lambda: files.extend(peer.prepare(data, job)))
    return taken, sum(file.stat().st_size for file in files)


def compete(peer: type[Peer], job: Job, data: Data, lists: int) -> Contest:
    """Load the peer, open bedeck, compare their answers, then time both on so many lists."""
    loaded, load_seconds, memory = _load(peer, job, data)
    catalogue = serving(data.store)
    ours = answering(catalogue, job)
    _check(job, ours, loaded.answer, data.lists(CHECKED, SIZE, seed=1))
    warm_up, timed = (data.lists(count, SIZE, seed=seed) for count, seed in ((WARM_UP, 2), (lists, 3)))
    catalogue.warm()
    loaded.warm()
    take_turns({"peer": (loaded.answer, warm_up), "bedeck": (ours, warm_up)})
    times = take_turns({"peer": (loaded.answer, timed), "bedeck": (ours, timed)})
    return Contest(peer, job, times["peer"], times["bedeck"], load_seconds, memory)


def _load(peer: type[Peer], job: Job, data: Data) -> tuple[Peer, float, Memory | None]:
    before = Memory.now()
    gc.disable()
    made: list[Peer] = []
    load_seconds = seconds(lambda: made.append(peer(data, job)))
    gc.enable()
    gc.collect()
    gc.freeze()
    pa.default_memory_pool().release_unused()
    after = Memory.now()
    return made[0], load_seconds, after.since(before) if before and after else None


def _check(job: Job, ours: Answer, theirs: Answer, lists: list[str]) -> None:
    known = 0
    for text in lists:
        ids = text.split(" ")
        answers = job.canonical(ours(ids)), job.canonical(theirs(ids))
        if answers[0] != answers[1]:
            raise SystemExit(f"benchmarks: answers differ for {text!r}:\n{answers[0]!r}\n{answers[1]!r}")
        known += sum(entity is not None for entity in orjson.loads(answers[0]))
    if known < _LEAST_KNOWN * SIZE * len(lists):
        raise SystemExit("benchmarks: the lists do not fit the data kept from an earlier run: remove benchmarks/.data")
