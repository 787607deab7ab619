"""What it takes to prepare, to initialise, to keep."""

from benchmarks.contest import Prepared
from benchmarks.memory import Memory
from benchmarks.report.table import table
from benchmarks.results import Run

__all__ = ["costs"]

_COSTS = """\
To prepare is done once, from Parquet, all that it takes counted (finished objects are rendered once and served to all
who keep them); to initialise, by each process, from files in the page cache. Memory is what initialising added:
private to the process, in a server that it asks, or mapped pages of files, of which all processes share one copy.

Bytes in bedeck's files, indexes and padding included: {types}. The index of the tracks takes {bits:.2f} bits a key.
The whole store, log and manifest included, has {store:.1f} for each track; the compressed Parquet files of the tracks
have {source:.1f}. bedeck holds every field of the three types, lists of countries included; the peers hold what the
jobs ask for. The build took {build:.1f} s and had {peak:,.0f} MiB of anonymous memory at its peak{kept}.
Opening and verifying every byte took bedeck {verify:.3f} s; what is verified on this host was opened in {open:.1f} ms
and warmed in {warm:.1f} ms."""


def costs(run: Run) -> str:
    """A line for bedeck, one for each contest."""
    alone = run.alone
    ready = alone.open_seconds + alone.warm_seconds
    bedeck = Prepared(run.built.seconds, run.built.bytes["track"])
    rows = [
        ("bedeck", *_prepared(bedeck, ready, run.tracks), *_memory(alone.memory, 0)),
        *(
            (
                f"{contest.peer}, {contest.job.title}",
                *_prepared(contest.prepared, contest.load_seconds, run.tracks),
                *_memory(contest.memory, contest.server),
            )
            for contest in run.contests
        ),
    ]
    head = ("contestant", "prepare, s", "initialise, s", "file, B a track", "private MB", "server MB", "shared MB")
    text = _COSTS.format(
        types=", ".join(f"{run.built.bytes_each(name):.1f} for each {name}" for name in run.built.records),
        bits=alone.index_bits,
        store=run.store_bytes / run.tracks,
        source=run.source_bytes / run.tracks,
        build=run.built.seconds,
        peak=run.built.peak / 2**20,
        kept=" (measured when it was built, in an earlier run)" if run.built.kept else "",
        verify=alone.verify_seconds,
        open=alone.open_seconds * 1000,
        warm=alone.warm_seconds * 1000,
    )
    return f"## To prepare, to initialise, to keep: {run.tracks:,} tracks\n\n{table(head, rows)}\n\n{text}"


def _prepared(prepared: Prepared, ready: float, tracks: int) -> tuple[str, str, str]:
    before, each = (f"{prepared.seconds:.1f}", f"{prepared.bytes / tracks:.1f}") if prepared.bytes else ("", "")
    return before, f"{ready:.3f}", each


def _memory(memory: Memory | None, server: int) -> tuple[str, str, str]:
    private, shared = (f"{memory.private / 1e6:,.0f}", f"{memory.files / 1e6:,.0f}") if memory else ("not told",) * 2
    return private, f"{server / 1e6:,.0f}" if server else "", shared
