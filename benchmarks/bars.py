"""The bars that bedeck has set itself."""

from dataclasses import dataclass

from benchmarks.jobs import DICTS, JSON
from benchmarks.peers import Peer
from benchmarks.peers.arrow import SortedArrow
from benchmarks.peers.dicts import DictOfDicts
from benchmarks.peers.rendered import DictOfJson
from benchmarks.results import Results

__all__ = ["RECORDS", "TRACKS", "Bar", "bars"]

TRACKS, RECORDS = 5_000_000, 10_000_000  # the sizes that the bars are set for
_JSON_RATIOS: dict[type[Peer], float] = {DictOfDicts: 12, DictOfJson: 6, SortedArrow: 6}
_TRACK_BYTES = 110
_LOOKUP_SHARE = 1 / 5


@dataclass(frozen=True, slots=True)
class Bar:
    """Something measured and what it has to reach: at least, or at most."""

    what: str
    bar: float
    measured: float
    here: bool  # measured at the size that the bar is set for
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        return self.measured >= self.bar if self.at_least else self.measured <= self.bar

    @property
    def verdict(self) -> str:
        """Met or not, and by how much."""
        apart = abs(self.measured / self.bar - 1)
        side = "above" if self.measured > self.bar else "below"
        return f"{'met' if self.met else '**not met**'}, {apart:.0%} {side}"


def bars(results: Results) -> list[Bar]:
    """All bars, measured."""
    here = results.data.tracks == TRACKS
    return [
        *(
            Bar(f"JSON: times as fast as {peer.name}", ratio, results.contest(peer, JSON).ratio, here)
            for peer, ratio in _JSON_RATIOS.items()
        ),
        *(
            Bar(f"dicts: times as fast as {contest.peer.name}", 1, contest.ratio, here)
            for contest in results.contests
            if contest.job == DICTS
        ),
        Bar("bytes a track on disk", _TRACK_BYTES, results.bytes_each("track"), here, at_least=False),
        Bar(
            "lookup: cost of an id in lists of 100, as a share of that in lists of 1",
            _LOOKUP_SHARE,
            results.lookup.per_id("lazy records", 100) / results.lookup.per_id("lazy records", 1),
            results.lookup.records == RECORDS,
            at_least=False,
        ),
    ]
