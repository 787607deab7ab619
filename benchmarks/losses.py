"""What a peer does better than bedeck, by the figures of one run."""

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.contest import Contest
from benchmarks.lists import MAIN
from benchmarks.pair import Pair
from benchmarks.results import Run

__all__ = ["Loss", "losses"]

_FOR_P99, _FOR_P999 = 100, 1000  # calls that such a percentile takes


class Loss(NamedTuple):
    """A figure of which less is better, and in which a peer is ahead."""

    what: str
    peer: str
    theirs: float
    ours: float


def losses(run: Run) -> dict[str, list[Loss]]:
    """Every one, by what it is a figure of."""
    found: dict[str, list[Loss]] = {}
    for loss in dict.fromkeys(_figures(run)):
        if loss.theirs < loss.ours:
            found.setdefault(loss.what, []).append(loss)
    return found


def _figures(run: Run) -> Iterator[Loss]:
    for contest in run.everywhere:
        for what, theirs, ours in _speeds(contest):
            yield Loss(f"{contest.job.title}, {what}, us", contest.peer, theirs, ours)
    for peer in dict.fromkeys(contest.peer for contest in run.everywhere):
        contest = next(contest for contest in run.everywhere if contest.peer == peer)
        for what, theirs, ours in _costs(run, contest):
            yield Loss(what, peer, theirs, ours)
    for name, pair in run.pairs.items():
        what = "share of its speed that a process loses to a second one"
        yield Loss(what, name, _lost(pair), _lost(run.pairs["bedeck"]))


def _lost(pair: Pair) -> float:
    return 1 - pair.gain / 2


def _speeds(contest: Contest) -> Iterator[tuple[str, float, float]]:
    for case, match in contest.matches.items():
        theirs, ours = match.peer, match.bedeck
        yield f"lists of {case.name}, p50", theirs.p50, ours.p50
        if case == MAIN and theirs.calls >= _FOR_P99:
            yield f"lists of {case.name}, p99", theirs.p99, ours.p99
        if case == MAIN and theirs.calls >= _FOR_P999:
            yield f"lists of {case.name}, p99.9", theirs.p999, ours.p999
            yield f"lists of {case.name}, the slowest", theirs.longest, ours.longest


def _costs(run: Run, contest: Contest) -> Iterator[tuple[str, float, float]]:
    alone, prepared = run.alone, contest.prepared
    yield "to initialise a process, s", contest.load_seconds, alone.open_seconds + alone.warm_seconds
    first = run.built.seconds + alone.verify_seconds
    yield "from Parquet to the first answer, s", prepared.seconds + contest.load_seconds, first
    if prepared.bytes:
        yield "bytes a track on disk, all types", prepared.bytes / run.tracks, run.store_bytes / run.tracks
    if contest.memory and alone.memory:
        private = contest.memory.private + contest.server
        yield "private memory of a process, MB", private / 1e6, alone.memory.private / 1e6
