"""Netflix Hollow in its JVM, beside bedeck."""

from collections.abc import Iterator

from benchmarks.contest import WARM_UP, Contest
from benchmarks.hollow import NAME, Hollow
from benchmarks.lists import MAIN
from benchmarks.report.table import TIMES, figure, table, times
from benchmarks.results import Run

__all__ = ["hollow"]

_HOLLOW = """\
Hollow {version}, {java}, {measured:%Y-%m-%d %H:%M} UTC; load {loads[0]:.1f} at the start, {loads[1]:.1f} at the end.

Measured by `benchmarks/hollow`, with G1 and {heap:.1f} GiB of heap, touched beforehand, in huge pages where the kernel
gives them. Hollow's blob is a snapshot of the same three types with all their fields: keys, titles and names inline,
references and lists as Hollow's own, words of small sets (labels, genres, countries) as shared records. It is read into
the heap, and the tracks are indexed by their ids (`HollowPrimaryKeyIndex`). Answers are made from the read states of
the types, which generated classes only wrap; the id of the album is read from the album. JSON is written by hand into
one buffer that is used again, and copied at the end. The answers to {checked:,} lists of {size}, and to some of every
other case, were compared with bedeck's, value by value, in both forms.

What is like for like: the catalogue, the lists and their order, the values, one thread, ids that are new strings every
time, and that each call is timed by itself. What is not:

* Each ran in a process of its own, first Hollow, then bedeck, not taking turns.
* Hollow is timed in Java with `System.nanoTime`, and answers with Java's maps and arrays of bytes; bedeck is timed in
  Python, and its dicts are Python's. A Python service would have to ask a JVM over a socket, and what that takes is not
  in these figures.
* Before each case Hollow answers up to {warm_up:,} lists over and over, for {seconds:g} s, so that they are compiled.
* Python frees an answer within its time. The JVM collects garbage later, and its pauses fall into whichever call they
  interrupt."""
_COSTS = """\
To initialise is to read the blob ({read:.3f} s) and to build the index, which the blob does not have ({index:.3f} s),
in a JVM that runs already. Private memory is the heap in use after garbage collection, the index included; what the JVM
itself takes, and room for garbage, comes on top, and every process has its own. bedeck's file has its indexes. Its
memory is what opening and warming added to its process; its files, {shared:,.0f} MB, are mapped by all
processes in one copy."""


def hollow(run: Run) -> str:
    """Every case of both jobs, and what it takes; nothing where Hollow was not measured."""
    if not run.hollow:
        return ""
    found = run.hollow
    text = _HOLLOW.format(
        version=found.version,
        java=found.java,
        heap=found.heap / 2**30,
        measured=found.measured,
        loads=found.loads,
        checked=min(contest.checked for contest in found.contests),
        size=MAIN.size,
        warm_up=WARM_UP,
        seconds=found.warm_up,
    )
    head = ("answer", "ids", "lists", *TIMES, "times as long as bedeck", "at p99.9")
    rows = [row for contest in found.contests for row in _pairs(contest)]
    costs = ("contestant", "prepare, s", "initialise, s", "file, B a track", "private MB")
    parts = [f"## {NAME}, {run.tracks:,} tracks", text, table(head, rows), table(costs, _costs(run, found))]
    memory = run.alone.memory
    last = _COSTS.format(
        read=found.read_seconds,
        index=found.index_seconds,
        shared=memory.files / 1e6 if memory else run.store_bytes / 1e6,
    )
    return "\n\n".join((*parts, last))


def _pairs(contest: Contest) -> Iterator[tuple[str, ...]]:
    for case, match in contest.matches.items():
        ratio = f"{match.ratio:.1f} ({min(match.ratios):.1f} to {max(match.ratios):.1f})"
        theirs, ours = times(match.peer), times(match.bedeck)
        tail = f"{match.peer.p999 / match.bedeck.p999:.1f}" if theirs[2] else ""
        yield f"Hollow, {contest.job.title}", case.name, f"{match.peer.calls:,}", *theirs, ratio, tail
        yield "bedeck on the same", "", "", *ours, "", ""


def _costs(run: Run, found: Hollow) -> Iterator[tuple[str, ...]]:
    contest, alone = found.contests[0], run.alone
    heap = contest.memory.private / 1e6 if contest.memory else 0
    prepared = contest.prepared
    yield (
        NAME,
        f"{prepared.seconds:.1f}",
        figure(contest.load_seconds),
        f"{prepared.bytes / run.tracks:.1f}",
        f"{heap:,.0f}",
    )
    ready, private = alone.open_seconds + alone.warm_seconds, alone.memory.private / 1e6 if alone.memory else None
    told = "not told" if private is None else f"{private:,.0f}"
    yield "bedeck", f"{run.built.seconds:.1f}", figure(ready), f"{run.store_bytes / run.tracks:.1f}", told
