"""Building a version of a catalogue from its sources into a store."""

import json
import operator
import os
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bedeck._core import Builder
from bedeck._limit import memory_limit
from bedeck.cycle import Dangling
from bedeck.intake import Intake, Progress, Work, chosen, expected
from bedeck.manifest import assembled
from bedeck.recipe import Recipe
from bedeck.schema import Schema
from bedeck.sources import Source
from bedeck.store import Store

__all__ = ["Build", "BuiltType", "Dangling", "build", "cores"]

LEAST_MEMORY = 128 << 20
MOST_MEMORY = 1 << 62


@dataclass(frozen=True, slots=True)
class BuiltType:
    """What became of one type: rows read, records written, rows dropped as duplicates, bytes of its blob.

    ``dangling`` has, for each field with references to keys that have no record, how many they are.
    """

    rows: int
    records: int
    dropped: int
    bytes: int
    key_kind: str
    dangling: Mapping[str, Dangling]


@dataclass(frozen=True, slots=True)
class Build:
    """A finished build: the version it announced, its types by name, and the seconds it took.

    ``gone`` has the types that the version before had and this one has not.
    """

    version: int
    types: Mapping[str, BuiltType]
    seconds: float
    gone: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Bytes of all blobs."""
        return sum(type_.bytes for type_ in self.types.values())

    @property
    def notes(self) -> list[str]:
        """What may not have been meant, a sentence each: types that are empty, or that are no longer there."""
        empty = [f'type "{name}" is empty: its source gave no rows' for name, of in self.types.items() if not of.rows]
        gone = [f'type "{name}" of the version before is not in version {self.version}' for name in self.gone]
        return empty + gone


def cores() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build(  # noqa: PLR0913 - what may be left out is named
    schema: Schema | str | os.PathLike[str],
    store: str | os.PathLike[str],
    sources: Mapping[str, Source] | None = None,
    *,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Build:
    """Build all types of a catalogue, and announce them as the next version of the store at ``store``.

    * ``schema``: a `Schema`, or the path of a ``catalogue.toml``.
    * ``sources``: for each type named, what to read instead of its ``source``: a path, glob or list of Parquet files,
      anything with ``__arrow_c_stream__``, or an iterable of mappings.
    * ``threads``: at least one; as many as there are cores if ``None``. They do not change a byte of the result; nor
      does the order of rows with unique keys.
    * ``memory``: bytes that the build may take of its own, at least 128 MiB; half of what this process may have if
      ``None``. It does not grow with the rows, but for 3 bytes each: they wait their turn in a file without a name in
      the store's folder, which takes one to two times the room of the version that is built. What reading the sources
      takes is not counted: a few hundred MB for Parquet.
    * ``progress``: called on this thread with the work done and all work there is, as far as it is known by then, in
      units without a meaning of their own. What it raises ends the build.

    Relative paths, those in ``sources`` too, start from the folder of the ``catalogue.toml``; with a `Schema`, from the
    current one.

    Every key is looked up in the finished files before they are announced. What fails, or is killed, leaves the store
    as it was; what it wrote meanwhile goes with the process, or when the next build starts.

    Raises `SchemaError`, `SourceError` and below, `BusyError` where another build holds the store, `StoreError`;
    ``TypeError`` where ``schema`` is neither, ``sources`` no mapping or ``threads`` no whole number, ``ValueError``
    where there are no threads.
    """
    started = time.monotonic()
    schema, base, place = declared(schema)
    recipe = Recipe("build", schema, chosen(schema, sources, place))
    target, room = Store.at(store), Room.of(threads, memory)
    work = Work(expected(recipe, base), told(progress))
    with target.hold() as folder:
        head = target.newest()
        parent = target.manifest(head.announced) if head else None
        intake = Intake(recipe, base, parent, work)
        with closing(Builder(folder, room.threads, room.memory)) as builder:
            intake.fill(builder)
            built = json.loads(builder.finish(work.at))
        version, hashed = target.highest(head) + 1, head.announced.manifest if head else None
        manifest = assembled(intake, built, version, hashed)
        blobs = [layer["blob"]["name"] for type_ in built for layer in type_["layers"]]
        details = {"how": "build", "sources": {name: taken.sources for name, taken in intake.taken.items()}}
        target.announce(head, manifest, {name: folder / name for name in blobs}, details)
    types = {
        type_["name"]: BuiltType(
            rows=type_["rows"],
            records=type_["records"],
            dropped=type_["dropped"],
            bytes=sum(layer["blob"]["size"] for layer in type_["layers"]),
            key_kind=type_["key"]["kind"],
            dangling={field: Dangling(*counts) for field, counts in type_["dangling"].items()},
        )
        for type_ in built
    }
    gone = tuple(name for name in (parent["types"] if parent else {}) if name not in types)
    return Build(version, types, time.monotonic() - started, gone)


def declared(schema: Schema | str | os.PathLike[str]) -> tuple[Schema, Path, str]:
    """A schema, the folder that its relative paths start from, and where it is from, for messages."""
    if not isinstance(schema, Schema | str | os.PathLike):
        raise TypeError(f"schema: a Schema or the path of a catalogue.toml is expected, not {type(schema).__name__}")
    if isinstance(schema, Schema):
        return schema, Path(), ""
    return Schema.load(schema), Path(schema).parent, f"{os.fspath(schema)}: "


def told(progress: Progress | None) -> Progress | None:
    """A function that takes progress, if there is one."""
    if progress is not None and not callable(progress):
        raise TypeError(f"progress={progress!r}: a function of two numbers is expected, or None")
    return progress


@dataclass(frozen=True, slots=True)
class Room:
    """What a build may take: threads, and bytes of memory."""

    threads: int
    memory: int

    @classmethod
    def of(cls, threads: int | None, memory: int | None) -> "Room":
        """What a caller allows; where that is `None`, all cores and half of the memory."""
        if threads is not None:
            threads = at_least(1, "threads", threads, "as many as there are cores")
        if memory is not None:
            memory = min(at_least(LEAST_MEMORY, "memory", memory, "half of what there is"), MOST_MEMORY)
        return cls(threads or cores(), memory or _half())


def _half() -> int:
    limit = memory_limit()
    return max(limit.bytes // 2 if limit else 0, LEAST_MEMORY)


def at_least(least: int, name: str, value: int, otherwise: str) -> int:
    way_out = f"or None for {otherwise}"
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r}: a whole number is expected, {way_out}") from None
    if number < least:
        raise ValueError(f"{name}={value}: at least {least} is needed, {way_out}")
    return number
