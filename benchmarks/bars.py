"""The bars that bedeck has set itself."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.alone import LAZY
from benchmarks.contest import Contest
from benchmarks.jobs import DICTS, JSON
from benchmarks.lists import MAIN
from benchmarks.results import Results, Run
from benchmarks.threads import LONG

__all__ = ["RECORDS", "TRACKS", "WHOLE", "Bar", "bars"]

SMALL, TRACKS, WHOLE, RECORDS = 1_000_000, 5_000_000, 100_000_000, 10_000_000  # the sizes that the bars are set for
_JSON_RATIOS = {"dict of dicts": 12, "dict of pre-rendered JSON": 6, "Arrow IPC + searchsorted + take": 6}
_SWIFT = ("dict of pre-rendered JSON", "Arrow IPC + searchsorted + take", "LMDB", "cdb", "RocksDB, plain table")
_SWIFTEST = (*_SWIFT, "Arrow IPC of pre-rendered JSON")
_REDIS = "Redis MGET, unix socket"
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Bar:
    """Something measured and what it has to reach: at least, or at most; and the tracks that it was measured at."""

    what: str
    bar: float
    measured: float
    tracks: int
    here: bool  # that is the size that the bar is set for
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
    """All bars, measured: each in the run of its size, or else in the largest."""
    return [
        *_beside_peers(results, TRACKS),
        *_whole(results, WHOLE),
        *_one_id(results),
        *_threads(results),
        *_look_up(results),
    ]


def _at(results: Results, tracks: int) -> Run:
    return results.at(tracks) or results.runs[-1]


def _beside_peers(results: Results, tracks: int) -> Iterator[Bar]:
    run = results.at(tracks) or results.compared
    here = run.tracks == tracks
    for names, of in (
        (_SWIFT, "dict of JSON, Arrow IPC, LMDB, cdb, RocksDB"),
        (_SWIFTEST, "these and Arrow IPC of JSON"),
    ):
        if fastest := [contest for name in names if (contest := run.contest(name, JSON))]:
            one = min(fastest, key=_ratio)
            yield Bar(f"JSON: times as fast as {one.peer}, the fastest of {of}", 8, _ratio(one), run.tracks, here)
    if redis := run.contest(_REDIS, JSON):
        yield Bar(f"JSON: times as fast as {_REDIS}", 20, _ratio(redis), run.tracks, here)
    for name, ratio in _JSON_RATIOS.items():
        if contest := run.contest(name, JSON):
            yield Bar(f"JSON: times as fast as {name}", ratio, _ratio(contest), run.tracks, here)
    if any(run.of(DICTS)):
        one = min(run.of(DICTS), key=_ratio)
        yield Bar(f"dicts: times as fast as {one.peer}, the fastest peer", 1, _ratio(one), run.tracks, here)


def _ratio(contest: Contest) -> float:
    return contest.main.ratio


def _whole(results: Results, tracks: int) -> Iterator[Bar]:
    run = _at(results, tracks)
    json, built = run.alone.times[JSON.title, MAIN], run.built
    limits = [
        ("JSON: p50 of 100 ids, us", 25, json.p50),
        ("JSON: p99.9 of 100 ids, us", 100, json.p999),
        ("dicts: p50 of 100 ids, us", 55, run.alone.p50(DICTS.title)),
        ("lazy records: p50 of 100 ids, us", 20, run.alone.p50(LAZY)),
        ("bytes a track on disk", 90, built.bytes_each("track")),
        ("bits a key of the index", 3.2, run.alone.index_bits),
        ("build: minutes, reading included", 12, built.seconds / 60),
        ("build: GiB of anonymous memory at the peak", 4, built.peak / _GIB),
    ]
    if (shared := run.pairs["bedeck"].proportional) is not None:
        limits.append(("two processes: GiB of memory, shared pages counted once", 16, shared / _GIB))
    if run.over_limit:
        limits.append(("look-up alone: times as long as a random line of the file", 3, run.over_limit))
    for what, bar, measured in limits:
        yield Bar(what, bar, measured, run.tracks, run.tracks == tracks, at_least=False)


def _one_id(results: Results) -> Iterator[Bar]:
    for tracks, limit in ((SMALL, 1.0), (WHOLE, 1.5)):
        if run := results.at(tracks):
            what = "one id: p50 of `tracks.get(id)`, us"
            yield Bar(what, limit, run.alone.one.p50, tracks, here=True, at_least=False)


def _threads(results: Results) -> Iterator[Bar]:
    for run in results.runs:
        what = f"two threads: times as much JSON as one, lists of {LONG.size:,}"
        yield Bar(what, 1.8, run.threads.gain, run.tracks, here=True)


def _look_up(results: Results) -> Iterator[Bar]:
    for run in results.runs:
        if run.lookup:
            share = run.lookup.per_id("lazy records", 100) / run.lookup.per_id("lazy records", 1)
            what = "look-up of small records: cost of an id in lists of 100, as a share of that in lists of 1"
            here = run.lookup.records == RECORDS
            yield Bar(what, 1 / 5, share, run.lookup.records, here, at_least=False)
