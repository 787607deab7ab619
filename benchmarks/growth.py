"""What would become of peers at a size that they were not run at: extrapolated, and said to be so."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

from benchmarks.contest import Contest
from benchmarks.results import Results

__all__ = ["Growth", "growths"]


@dataclass(frozen=True, slots=True)
class Growth:
    """Microseconds for a list of 100 and gigabytes: at two sizes, and what follows for a third.

    Time grows by as much for each doubling of the tracks, memory (files and private) in proportion to them.
    """

    first: Contest
    second: Contest
    tracks: tuple[int, int, int]

    @property
    def p50(self) -> float:
        """Microseconds, extrapolated."""
        small, large, whole = map(log, self.tracks)
        slope = (self.second.main.peer.p50 - self.first.main.peer.p50) / (large - small)
        return self.second.main.peer.p50 + max(0.0, slope) * (whole - large)

    @property
    def gigabytes(self) -> tuple[float, float]:
        """Private, of each process; in files, or in a server, once for all."""
        memory = self.second.memory.private if self.second.memory else 0
        scale = self.tracks[2] / self.tracks[1] / 1e9
        return memory * scale, (self.second.server or self.second.prepared.bytes) * scale


def growths(results: Results) -> Iterator[Growth]:
    """Those of every contest that was in two runs, but not in the last."""
    if len(results.runs) < 3:  # noqa: PLR2004 - two to draw a line through, one to reach for
        return
    small, large, whole = results.runs[-3:]
    for second in large.contests:
        first = small.contest(second.peer, second.job)
        if first and not whole.contest(second.peer, second.job):
            yield Growth(first, second, (small.tracks, large.tracks, whole.tracks))
