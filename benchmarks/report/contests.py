"""bedeck beside each peer: the main case in full, the others by their medians."""

from benchmarks.contest import Contest
from benchmarks.jobs import JOBS, Job
from benchmarks.lists import CASES, MAIN
from benchmarks.report.table import TIMES, figure, table, times
from benchmarks.results import Run

__all__ = ["cases", "contests"]

_CONTESTS = """\
## Lists of {size}, {tracks:,} tracks

Microseconds a list. Each peer ran in a process of its own, taking turns with bedeck on the same lists, so bedeck has a
line for each. The ratio is that of the medians; in brackets, the least and the most of five consecutive parts of the
run. Where lists were too few for a percentile, it is left out."""
_CASES = """\
## Lists of other shapes and lengths, {tracks:,} tracks

Medians in microseconds a list; in brackets, how many times as long as bedeck on the same lists."""
_PLOTS = {"json": "JSON body: p50 and p99", "dicts": "list of dicts: p50 and p99", "columns": "columns: p50 and p99"}


def contests(run: Run) -> str:
    """A table for each job."""
    if not run.contests:
        return ""
    text = _CONTESTS.format(size=MAIN.size, tracks=run.tracks)
    return "\n\n".join((text, *(_contests(run, job) for job in JOBS if any(run.of(job)))))


def cases(run: Run) -> str:
    """A table for each job, a column for each case."""
    if not run.contests:
        return ""
    plot = "![JSON, nanoseconds an id by the length of the list](plots/lengths.svg)"
    parts = [_CASES.format(tracks=run.tracks), plot, *(_cases(run, job) for job in JOBS if any(run.of(job)))]
    return "\n\n".join(parts)


def _contests(run: Run, job: Job) -> str:
    rows = [row for contest in run.of(job) for row in _pair(contest)]
    fields = ", ".join(f"`{field}`" for field in job.fields)
    head = ("contestant", "lists", *TIMES, "times as long as bedeck", "at p99.9")
    return f"{_title(job)}\n\nOf {fields}.\n\n![{_PLOTS[job.name]}](plots/{job.name}.svg)\n\n{table(head, rows)}"


def _pair(contest: Contest) -> list[tuple[str, ...]]:
    match = contest.main
    ratio = f"{match.ratio:.1f} ({min(match.ratios):.1f} to {max(match.ratios):.1f})"
    theirs, ours = times(match.peer), times(match.bedeck)
    tail = f"{match.peer.p999 / match.bedeck.p999:.1f}" if theirs[2] else ""
    return [
        (contest.peer, f"{match.peer.calls:,}", *theirs, ratio, tail),
        ("bedeck beside it", "", *ours, "", ""),
    ]


def _cases(run: Run, job: Job) -> str:
    rows = [(contest.peer, *(_short(contest, place) for place in range(len(CASES)))) for contest in run.of(job)]
    return f"{_title(job)}\n\n{table(('contestant', *(case.name for case in CASES)), rows)}"


def _short(contest: Contest, place: int) -> str:
    match = contest.matches[CASES[place]]
    return f"{figure(match.peer.p50)} ({match.ratio:.1f})"


def _title(job: Job) -> str:
    return f"### {job.title[0].upper()}{job.title[1:]}"
