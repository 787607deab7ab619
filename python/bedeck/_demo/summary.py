"""The figures of the demonstration, for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from bedeck._cli.terminal import human, table

__all__ = ["arithmetic", "comparison"]

LARGE = 100_000_000  # tracks
WORKERS = 8
ENOUGH = 100_000  # tracks; fewer say nothing of a large catalogue, as costs that do not grow outweigh the rest
LONG = 120  # seconds, from here on told in minutes
COARSE = 10  # from here on, digits after the point mean nothing

Facts = Mapping[str, Any]


def comparison(facts: Facts) -> Iterator[str]:
    """Both sides beside each other, and what was measured how."""
    dict_, bedeck, ids = facts["dict"], facts["bedeck"], facts["list_ids"]
    rows: list[tuple[str, ...]] = [("", "dict", "bedeck", "")]
    seconds = dict_["seconds"], bedeck["seconds"]
    rows.append(("to initialise a process", *map(_seconds, seconds), _ratio(*seconds)))
    rows.append(("memory of each process", _memory(dict_), _memory(bedeck), ""))
    rows.append(("memory that all processes share", "-", human(facts["store_bytes"]), ""))
    for verb, what in (("decorate_us", "dicts"), ("decorate_json_us", "JSON")):
        medians, tails = ((dict_[verb][part], bedeck[verb][part]) for part in ("p50", "p99"))
        rows.append((f"{ids} tracks as {what}, p50", *map(_microseconds, medians), _ratio(*medians)))
        rows.append((f"{ids} tracks as {what}, p99", *map(_microseconds, tails), ""))
    yield from table(rows, numbers=range(1, 4))
    yield f"  Timed: {facts['lists']:,} lists of each kind, of tracks drawn at random, the sides taking"
    yield f"  turns. Compared first: their answers to {facts['checked']} of the playlists, which are equal."
    yield "  The dict is filled from the Parquet files, holds equal strings and lists once,"
    yield f"  and has JSON made by {facts['json_by']}; bedeck checks every byte of the store at start."


def arithmetic(facts: Facts) -> Iterator[str]:
    """What follows for more processes and, from enough tracks, for a large catalogue."""
    dict_, bedeck, shared = facts["dict"], facts["bedeck"], facts["store_bytes"]
    times = LARGE / facts["tracks"]
    large = f"with {LARGE / 1e6:.0f} M tracks"
    rows: list[tuple[str, ...]] = []
    enough = facts["tracks"] >= ENOUGH
    if dict_["private_bytes"] is not None:
        memory = WORKERS * dict_["private_bytes"], WORKERS * bedeck["private_bytes"] + shared
        rows.append((f"memory of {WORKERS} processes", *map(human, memory)))
        if enough:
            rows.append((f"the same, {large}", *(human(of * times) for of in memory)))
    if enough:
        seconds = dict_["seconds"] * times, bedeck["seconds"] * times
        rows.append((f"to initialise a process, {large}", *map(_seconds, seconds)))
        rows.append((f"to build the store, once, {large}", "-", _seconds(facts["build_seconds"] * times)))
    if rows:
        yield from table([("", "dict", "bedeck"), *rows], numbers=range(1, 3))


def _memory(side: Facts) -> str:
    return "not known" if side["private_bytes"] is None else human(side["private_bytes"])


def _ratio(of: float, to: float) -> str:
    return f"{of / to:,.{0 if of / to >= COARSE else 1}f} x"


def _seconds(seconds: float) -> str:
    if seconds >= LONG:
        return f"{seconds / 60:,.0f} min"
    return f"{seconds:.0f} s" if seconds >= COARSE else f"{seconds:.2g} s"


def _microseconds(microseconds: float) -> str:
    return f"{microseconds:,.0f} us"
