"""How figures grow with the catalogue."""

from benchmarks.growth import Growth, growths
from benchmarks.jobs import DICTS, JSON
from benchmarks.report.table import figure, table
from benchmarks.results import Results, Run

__all__ = ["growth"]

_GROWTH = """\
bedeck at every size, lists of 100: measured. Peers that were not run at the largest size: **extrapolated**, not
measured. Their time is taken to grow by as much for each doubling of the tracks as from {small:,} to {large:,}, their
memory in proportion to the tracks: private, in each process; in files or in a server, once."""


def growth(results: Results) -> str:
    """The figures of bedeck by size, then what would become of its peers."""
    if len(results.runs) == 1:
        return ""
    first, second = results.runs[0], results.runs[-2]
    text = _GROWTH.format(small=first.tracks, large=second.tracks)
    head = ("tracks", "JSON p50, us", "dicts p50, us", "one id, us", "build, s", "build peak, MiB", "B a track")
    parts = ["## With the size of the catalogue", text, "![p50 by tracks](plots/growth.svg)"]
    parts.append(table(head, map(_own, results.runs)))
    grown = list(growths(results))
    if grown:
        sizes = tuple(f"{tracks:,}" for tracks in grown[0].tracks)
        columns = (f"p50 at {sizes[0]}, us", f"at {sizes[1]}", f"at {sizes[2]}, extrapolated")
        names = ("contestant", *columns, "private GB, extrapolated", "file or server GB, extrapolated")
        parts.append(table(names, map(_peer, grown)))
    return "\n\n".join(parts)


def _own(run: Run) -> tuple[str, ...]:
    alone, built = run.alone, run.built
    speeds = (figure(value) for value in (alone.p50(JSON.title), alone.p50(DICTS.title), alone.one.p50))
    costs = (f"{built.seconds:,.1f}", f"{built.peak / 2**20:,.0f}", figure(built.bytes_each("track")))
    return f"{run.tracks:,}", *speeds, *costs


def _peer(growth: Growth) -> tuple[str, ...]:
    p50s = (growth.first.main.peer.p50, growth.second.main.peer.p50, growth.p50)
    name = f"{growth.second.peer}, {growth.second.job.title}"
    return name, *(f"{p50:,.0f}" for p50 in p50s), *(f"{size:,.1f}" for size in growth.gigabytes)
