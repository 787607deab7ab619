"""bedeck by itself: shapes and lengths, the limit, threads and processes, the look-up alone."""

from collections.abc import Iterator

from benchmarks.alone import FORMS
from benchmarks.jobs import JSON
from benchmarks.lists import CASES
from benchmarks.lookup import Lookup
from benchmarks.report.table import TIMES, figure, table, times
from benchmarks.results import Results, Run
from benchmarks.threads import LONG

__all__ = ["limit", "lookup", "own", "together"]

_OWN = """\
Each form and case by itself. Microseconds a list; nanoseconds an id by the median, where lists have one length.
Lazy records are made, not read. The look-up alone is `decorate_json` of no fields: the call, the ids, the index and
the comparison of the key in its record."""
_LIMIT = """\
A random line of the file of the tracks, read by a small Rust program, `benchmarks/probe`, from the page cache through
a shared mapping, as bedeck has it: one at a time, where the next is known only when the last has been read, and
{flight} at a time, all asked for by prefetching before the first is read. The look-up alone is that of lists of 100
above, which also reads the ids from Python and the index; the last column is how many times as long it takes for an id
as one of {flight} lines."""
_TOGETHER = """\
Lists of 100 as JSON, over and over for {seconds:.1f} s, so that their ids are known after the first time: lists a
second of one process while another one waits, and of both at once, medians of three rounds. Memory is what loading and
serving added to the two: `private` is anonymous, and `both` counts shared pages once (PSS). That of Redis has its
server too, which works on the same processors."""


def own(run: Run) -> str:
    """bedeck, every form and case."""
    rows = [
        (form, case.name, *times(run.alone.times[form, case]), _each(run, form, case.size))
        for form in FORMS
        for case in CASES
    ]
    rows.append(("`tracks.get(id)`", "one id", *times(run.alone.one), f"{run.alone.one.p50 * 1000:,.0f}"))
    head = ("answer", "ids", *TIMES, "ns an id")
    return f"## bedeck alone, {run.tracks:,} tracks\n\n{_OWN}\n\n{table(head, rows)}"


def _each(run: Run, form: str, size: int | None) -> str:
    found = [run.alone.times[form, case] for case in CASES if case.shape == "uniform" and case.size == size]
    return f"{found[0].p50 * 1000 / size:,.0f}" if size and found else ""


def limit(results: Results) -> str:
    """The probe, and look-ups as a multiple of it."""
    rows = list(_limits(results))
    flight = next((run.probe.flight for run in results.runs if run.probe), 0)
    head = ("tracks", "file, MB", "ns a line, alone", f"{flight} at a time", "ns an id, look-up alone", "times")
    return f"## The limit of this machine\n\n{_LIMIT.format(flight=flight)}\n\n{table(head, rows)}" if rows else ""


def _limits(results: Results) -> Iterator[tuple[str, ...]]:
    for run in results.runs:
        if run.probe and run.over_limit:
            probe, each = run.probe, run.alone.lookup_ns
            figures = (figure(value) for value in (probe.alone, probe.in_flight, each, run.over_limit))
            yield f"{run.tracks:,}", f"{probe.bytes / 1e6:,.0f}", *figures


def together(results: Results) -> str:
    """Two threads, and two processes."""
    threads = [
        (f"{run.tracks:,}", f"{run.threads.one:,.0f}", f"{run.threads.two:,.0f}", f"{run.threads.gain:.2f}")
        for run in results.runs
    ]
    head = ("tracks", "one thread", "two threads", "times as much")
    text = f"Lists of {LONG.size:,} as JSON a second, of one process: medians of five rounds that took turns."
    parts = [f"## Two threads, two processes\n\n{text}\n\n{table(head, threads)}"]
    parts.append(_TOGETHER.format(seconds=results.runs[-1].effort.rate_seconds))
    if any(results.compared.of(JSON)):
        parts.append("![Memory of two processes](plots/memory.svg)")
    return "\n\n".join((*parts, *(_pairs(run) for run in results.runs)))


def _pairs(run: Run) -> str:
    rows = [
        (
            name,
            f"{pair.alone:,.0f}",
            f"{pair.together:,.0f}",
            f"{pair.gain:.2f}",
            *("not told" if memory is None else f"{memory / 1e6:,.0f}" for memory in (pair.private, pair.proportional)),
        )
        for name, pair in run.pairs.items()
    ]
    head = ("contestant", "one process", "two", "times as much", "private MB", "both, MB")
    return f"### {run.tracks:,} tracks\n\n{table(head, rows)}"


def lookup(results: Results) -> str:
    """The look-up of small records."""
    return "\n\n".join(_lookup(run.lookup) for run in results.runs if run.lookup)


def _lookup(lookup: Lookup) -> str:
    rows = [
        (form, f"{size:,}", *times(taken), f"{lookup.per_id(form, size):,.0f}")
        for (form, size), taken in lookup.times.items()
    ]
    text = (
        f"{lookup.records:,} records of a base62 key and one integer, from an Arrow stream, built in "
        f"{lookup.seconds:.1f} s, {lookup.bytes / lookup.records:.1f} bytes a record. No field is read. Microseconds a "
        "list."
    )
    return f"## Look-up of small records\n\n{text}\n\n{table(('answer', 'ids', *TIMES, 'ns an id'), rows)}"
