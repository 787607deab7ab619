"""Everything that one run has measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bedeck import Build
from benchmarks.alone import Alone
from benchmarks.contest import Contest
from benchmarks.data import Data
from benchmarks.jobs import Job
from benchmarks.lookup import Lookup
from benchmarks.peers import Peer

__all__ = ["SHORTER", "Results"]

SHORTER = 5  # times fewer lists are timed where many lengths are


@dataclass(frozen=True, slots=True)
class Results:
    """One run: its builds, contests and measurements, and the machine it ran on. Bytes are file sizes."""

    data: Data
    lists: int
    machine: Mapping[str, str]
    started: datetime
    loads: tuple[float, float]  # of the machine, at the start and at the end
    clock: float  # microseconds that timing adds
    build: Build
    store_bytes: int
    source_bytes: int
    alone: Alone
    prepared: Mapping[tuple[type[Peer], Job], tuple[float, int]]  # seconds, and bytes of the files
    contests: tuple[Contest, ...]
    lookup_build: Build
    lookup: Lookup

    def contest(self, peer: type[Peer], job: Job) -> Contest:
        """The contest with that peer in that job."""
        return next(contest for contest in self.contests if (contest.peer, contest.job) == (peer, job))

    def bytes_each(self, name: str) -> float:
        """Bytes of the blob of a type, by its records."""
        return self.build.types[name].bytes / self.build.types[name].records
