"""What a peer does better than bedeck, by the figures of one run."""

from collections.abc import Iterator

from benchmarks.contest import Contest
from benchmarks.results import Results

__all__ = ["losses"]


def losses(results: Results) -> Iterator[str]:
    """A sentence for each figure in which a peer is ahead."""
    for contest in results.contests:
        who = f"{contest.peer.name}, {contest.job.title}"
        for what, theirs, ours, unit in _figures(results, contest):
            if theirs < ours:
                yield f"{who}: {what} {_digits(theirs)} {unit}, bedeck {_digits(ours)} {unit}."


def _figures(results: Results, contest: Contest) -> Iterator[tuple[str, float, float, str]]:
    theirs, ours, alone = contest.times, contest.bedeck, results.alone
    yield "p50", theirs.p50, ours.p50, "us"
    yield "p99", theirs.p99, ours.p99, "us"
    yield "p99.9", theirs.p999, ours.p999, "us"
    yield "slowest list", theirs.longest, ours.longest, "us"
    yield "to initialise a process", contest.load_seconds, alone.open_seconds + alone.warm_seconds, "s"
    prepared, size = results.prepared[contest.peer, contest.job]
    yield (
        "from Parquet to the first answer",
        prepared + contest.load_seconds,
        results.build.seconds + alone.verify_seconds,
        "s",
    )
    if size:
        yield "bytes on disk", size / results.data.tracks, results.store_bytes / results.data.tracks, "a track"
    if contest.memory and alone.memory:
        yield "private memory", contest.memory.private / 1e6, alone.memory.private / 1e6, "MB"


def _digits(figure: float) -> str:
    return f"{figure:,.1f}" if figure >= 1 else f"{figure:.3f}"
