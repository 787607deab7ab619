"""What the plots show."""

from collections.abc import Iterator
from statistics import median

from bedeck._bench.svg import Bar, Point, bars, lines
from benchmarks.alone import FORMS
from benchmarks.jobs import JOBS, JSON, Job
from benchmarks.lists import CASES, MAIN
from benchmarks.results import Results, Run

__all__ = ["plots"]

_FOR_P99 = 100  # calls


def plots(results: Results) -> dict[str, str]:
    """Each plot as SVG, by name."""
    run = results.compared
    pictures: dict[str, str] = {job.name: _contests(run, job) for job in JOBS if any(run.of(job))}
    if any(run.of(JSON)):
        title = f"{JSON.title}, {run.tracks:,} tracks: nanoseconds an id (median)"
        pictures["lengths"] = lines(title, "ids in a list", dict(_lengths(run)))
        pictures["memory"] = _memory(run)
    if len(results.runs) > 1:
        pictures["growth"] = lines("Lists of 100 uniform ids: microseconds (median)", "tracks", dict(_growth(results)))
    return pictures


def _contests(run: Run, job: Job) -> str:
    contests = list(run.of(job))
    ours = [contest.main.bedeck for contest in contests]
    entries = [Bar("bedeck", median(t.p50 for t in ours), median(t.p99 for t in ours), ours=True)]
    entries += [
        Bar(contest.peer, times.p50, times.p99 if times.calls >= _FOR_P99 else None, ours=False)
        for contest in contests
        for times in [contest.main.peer]
    ]
    title = f"{job.title[0].upper()}{job.title[1:]} of {MAIN.size} ids, {run.tracks:,} tracks"
    return bars(title, "microseconds: median, and line to the 99th percentile", sorted(entries, key=_value))


def _lengths(run: Run) -> Iterator[tuple[str, list[Point]]]:
    sizes = sorted((case.size, case) for case in CASES if case.shape == "uniform" and case.size)
    contests = list(run.of(JSON))
    yield "bedeck", [(size, median(c.matches[case].bedeck.p50 for c in contests) * 1000 / size) for size, case in sizes]
    for contest in contests:
        yield contest.peer, [(size, contest.matches[case].peer.p50 * 1000 / size) for size, case in sizes]


def _memory(run: Run) -> str:
    entries = [
        Bar(name, pair.proportional / 1e6, None, name == "bedeck")
        for name, pair in run.pairs.items()
        if pair.proportional and pair.proportional > 0
    ]
    return bars(f"Memory of two processes, {run.tracks:,} tracks", "MB, shared pages once", sorted(entries, key=_value))


def _growth(results: Results) -> Iterator[tuple[str, list[Point]]]:
    for form in FORMS:
        yield f"bedeck, {form}", [(run.tracks, run.alone.p50(form)) for run in results.runs]
    for peer in dict.fromkeys(contest.peer for run in results.runs for contest in run.of(JSON)):
        found = [(float(run.tracks), c.main.peer.p50) for run in results.runs if (c := run.contest(peer, JSON))]
        if len(found) > 1:
            yield f"{peer}, JSON", found


def _value(entry: Bar) -> float:
    return entry.value
