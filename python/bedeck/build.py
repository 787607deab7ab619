"""Building a version of a catalogue from its sources into a store."""

import json
import operator
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bedeck._core import Builder
from bedeck._limit import memory_limit
from bedeck.errors import SchemaError
from bedeck.schema import Schema, Type
from bedeck.sources import ResolvedType, Source, Stream, count, read
from bedeck.store import Store

__all__ = ["Build", "BuiltType", "Dangling", "build", "cores"]

LEAST_MEMORY = 128 << 20
MOST_MEMORY = 1 << 62
WORK = {"read": 10, "index": 1, "resolve": 4, "write": 4, "check": 1}  # parts of the time that the stages take


class Dangling(NamedTuple):
    """References of one field to keys that have no record: how many ``uses`` of how many different ``keys``."""

    uses: int
    keys: int


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
    progress: Callable[[int, int], object] | None = None,
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
    if threads is not None:
        threads = _at_least(1, "threads", threads, "as many as there are cores")
    if not isinstance(schema, Schema | str | os.PathLike):
        raise TypeError(f"schema: a Schema or the path of a catalogue.toml is expected, not {type(schema).__name__}")
    if memory is not None:
        memory = min(_at_least(LEAST_MEMORY, "memory", memory, "half of what there is"), MOST_MEMORY)
    if progress is not None and not callable(progress):
        raise TypeError(f"progress={progress!r}: a function of two numbers is expected, or None")
    base = Path() if isinstance(schema, Schema) else Path(schema).parent
    place = "" if isinstance(schema, Schema) else f"{os.fspath(schema)}: "
    schema = schema if isinstance(schema, Schema) else Schema.load(schema)
    given = _given(schema, {} if sources is None else sources, place)
    target = Store.at(store)
    with target.hold() as folder:
        head = target.head()
        parent = target.manifest(head.announced) if head else None
        builder = Builder(folder, threads or cores(), memory or _half())
        numbers = _Numbers(parent)
        work = _Work({name: count(source, base) for name, source in given.items()}, progress)
        described = {}
        with closing(builder):
            for name, type_ in schema.types.items():
                streams = work.watch(name, read(name, type_, given[name], base))
                described[name] = _add(builder, numbers, name, type_, streams)
            built = json.loads(builder.finish(work.at))
        version = target.highest(head) + 1
        manifest = {
            "format": 1,
            "namespace": schema.namespace,
            "version": version,
            "parent": head.announced.manifest if head else None,
            "schema": schema.to_mapping(),
            "next_field_id": numbers.next,
            "types": {
                type_["name"]: {
                    **{name: type_[name] for name in ("records", "digest", "epoch", "key")},
                    "fields": described[type_["name"]],
                    "layers": [{"version": version, **layer} for layer in type_["layers"]],
                }
                for type_ in built
            },
        }
        blobs = [layer["blob"]["name"] for type_ in built for layer in type_["layers"]]
        target.announce(head, manifest, {name: folder / name for name in blobs})
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


def _half() -> int:
    limit = memory_limit()
    return max(limit.bytes // 2 if limit else 0, LEAST_MEMORY)


class _Work:
    """How far a build has come, told to ``tell`` as work done and work in all."""

    def __init__(self, expected: Mapping[str, int | None], tell: Callable[[int, int], object] | None) -> None:
        self._rows = {name: rows or 0 for name, rows in expected.items()}
        self._stages: dict[str, dict[str, float]] = {name: dict.fromkeys(WORK, 0.0) for name in expected}
        self._tell = tell

    def watch(self, name: str, streams: Iterable[Stream]) -> Iterator[Stream]:
        """The streams of a type; what is read of them counts as done."""
        read = 0

        def progress(rows: int) -> None:
            nonlocal read
            read += rows
            self._rows[name] = max(read, self._rows[name])
            self.at(name, "read", read, self._rows[name])

        for stream in streams:
            stream.watch = progress
            yield stream

    def at(self, name: str, stage: str, done: int, of: int) -> None:
        self._stages[name][stage] = done / of if of else 1.0
        if self._tell is not None:
            work = sum(rows * self._done(name) for name, rows in self._rows.items())
            self._tell(int(work), sum(self._rows.values()) * sum(WORK.values()))

    def _done(self, name: str) -> float:
        """Work done for each row of a type."""
        return sum(WORK[stage] * share for stage, share in self._stages[name].items())


class _Numbers:
    """Ids of fields: those that the parent gave, and new ones for new names, never one twice."""

    def __init__(self, parent: Mapping[str, Any] | None) -> None:
        self.next: int = parent["next_field_id"] if parent else 0
        types = parent["types"] if parent else {}
        self._known = {(name, field["name"]): field["id"] for name, of in types.items() for field in of["fields"]}

    def of(self, type_name: str, field: str) -> int:
        number = self._known.get((type_name, field))
        if number is None:
            number, self.next = self.next, self.next + 1
        return int(number)


def _at_least(least: int, name: str, value: int, otherwise: str) -> int:
    way_out = f"or None for {otherwise}"
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r}: a whole number is expected, {way_out}") from None
    if number < least:
        raise ValueError(f"{name}={value}: at least {least} is needed, {way_out}")
    return number


def _given(schema: Schema, sources: Mapping[str, Source] | Iterable[object], place: str) -> dict[str, Source]:
    if not isinstance(sources, Mapping):
        example = f'{{"{next(iter(schema.types))}": [...]}}'
        raise TypeError(f"sources: a mapping of type to source is expected, not {type(sources).__name__}: {example}")
    for name in sources:
        if name not in schema.types:
            raise SchemaError(f"sources: there is no type {name!r}; the schema has {', '.join(schema.types)}")
    given: dict[str, Source] = {}
    for name, type_ in schema.types.items():
        source = sources.get(name, type_.source)
        if source is None:
            raise SchemaError(f'{place}[type.{name}]: no source: write source = "..." into it, or give it in sources=')
        given[name] = source
    return given


def _add(
    builder: Builder, numbers: _Numbers, name: str, type_: Type, streams: Iterable[Stream]
) -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = []
    for place, stream in enumerate(streams):
        with stream:
            if place == 0:
                fields = _fields(numbers, name, stream.resolved)
                builder.add_type(json.dumps(_spec(name, type_, stream.resolved, fields)))
            builder.add_source(name, stream.origin, stream.reader)
    return fields


def _fields(numbers: _Numbers, name: str, resolved: ResolvedType) -> list[dict[str, Any]]:
    fields = []
    for field in resolved.fields:
        described: dict[str, Any] = {"id": numbers.of(name, field.name), "name": field.name, "type": field.type}
        if field.reference is not None:
            described["reference"] = {"name": field.reference, "type": field.target}
        fields.append(described)
    return fields


def _spec(name: str, type_: Type, resolved: ResolvedType, fields: list[dict[str, Any]]) -> dict[str, Any]:
    columns = {reference: to.field for reference, to in type_.references.items()}
    return {
        "name": name,
        "key": {"field": resolved.key.name, "kind": resolved.kind},
        "fields": fields,
        "hot": [columns.get(hot, hot) for hot in type_.hot],
        "printed": [hot for hot in type_.hot if hot in columns.values() and hot not in columns],
        "on_duplicate": type_.on_duplicate,
        "strict": type_.strict,
    }
