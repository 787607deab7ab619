"""Everything that was measured."""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.alone import Alone
from benchmarks.built import Built
from benchmarks.contest import Contest, Effort
from benchmarks.data import Data
from benchmarks.hollow import Hollow
from benchmarks.jobs import Job
from benchmarks.lookup import Lookup
from benchmarks.pair import Pair
from benchmarks.probe import Probe
from benchmarks.threads import Threads

__all__ = ["Results", "Run"]


@dataclass(frozen=True, slots=True)
class Run:
    """A run at one size: its build, contests and measurements, and the machine it ran on. Bytes are file sizes."""

    tracks: int
    effort: Effort
    machine: Mapping[str, str]
    started: datetime
    minutes: float
    loads: tuple[float, float]  # of the machine, at the start and at the end
    clock: float  # microseconds that timing adds
    built: Built
    store_bytes: int
    source_bytes: int
    alone: Alone
    threads: Threads
    probe: Probe | None
    contests: Sequence[Contest]
    pairs: Mapping[str, Pair]  # by the name of a peer, bedeck's too
    skipped: Mapping[str, str]  # why, by the name of a peer
    abouts: Mapping[str, str]  # how a peer is used, by its name
    lookup: Lookup | None
    hollow: Hollow | None = None

    def of(self, job: Job) -> Iterator[Contest]:
        """The contests in that job."""
        return (contest for contest in self.contests if contest.job == job)

    def contest(self, peer: str, job: Job) -> Contest | None:
        """The contest with that peer in that job, if there was one."""
        return next((contest for contest in self.of(job) if contest.peer == peer), None)

    @property
    def everywhere(self) -> Iterator[Contest]:
        """The contests, those outside of this process too."""
        yield from self.contests
        yield from self.hollow.contests if self.hollow else ()

    @property
    def over_limit(self) -> float | None:
        """How many times as long as a random line a track takes in the look-up alone."""
        return self.alone.lookup_ns / self.probe.in_flight if self.probe else None

    def keep(self, data: Data) -> None:
        """Write it down, for reports to come."""
        _file(data).write_bytes(pickle.dumps(self))

    @classmethod
    def kept(cls, data: Data) -> "Run | None":
        """What was last kept for this size."""
        run = pickle.loads(_file(data).read_bytes()) if _file(data).exists() else None  # noqa: S301 - our own file
        if isinstance(run, cls) and not hasattr(run, "hollow"):  # kept before there was such a measurement
            object.__setattr__(run, "hollow", None)
        return run if isinstance(run, cls) else None


@dataclass(frozen=True, slots=True)
class Results:
    """Runs at several sizes, the smallest first."""

    runs: Sequence[Run]

    def at(self, tracks: int) -> Run | None:
        """The run at that size, if there was one."""
        return next((run for run in self.runs if run.tracks == tracks), None)

    @property
    def compared(self) -> Run:
        """The largest run in which most peers took part: the one that is shown peer by peer."""
        return max(self.runs, key=lambda run: (len(run.contests), run.tracks))


def _file(data: Data) -> Path:
    return data.folder / "run.pickle"
