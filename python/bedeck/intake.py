"""The intake: the sources of a catalogue, read once each into a builder, and what was read of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bedeck._core import Builder, blake3
from bedeck.errors import SchemaError, SourceError
from bedeck.evolution import FieldIds, types_of
from bedeck.recipe import Recipe
from bedeck.schema import Schema, Type
from bedeck.sources import ResolvedType, Source, Stream, count, paths_of, read

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Intake", "Progress", "Taken", "Work", "chosen", "expected", "named"]

# Parts of the time that the stages take, in their order; some builds leave some out.
WORK = {"read": 10, "index": 1, "sift": 2, "resolve": 4, "write": 4, "check": 1}
MOST_FILES = 64  # of a type that are named in the log
MOST_EXAMPLES = 10
TEXT = ("base62", "uuid", "string")

Described = dict[str, Any]
Progress = Callable[[int, int], object]


@dataclass(slots=True)
class Taken:
    """What was taken of the sources of one type: its fields, as a manifest describes them, and where rows came from.

    ``sources`` are fingerprints: of a file its path, size and the time of its last change, of anything else its rows
    and their hash. ``null_keys`` are rows that have no key, and were left out; ``nameless`` says where the first are.
    ``keys`` has all others, where it was asked for.
    """

    fields: list[Described] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    null_keys: int = 0
    nameless: list[str] = field(default_factory=list)
    keys: list[pa.Array] = field(default_factory=list)


class Intake:
    """Reads what a recipe names into a builder.

    ``parent`` is the manifest of the version before: fields keep their ids. ``settled`` has them keep their types, and
    keys their kinds, too, where nobody declares them and the sources allow it; and rows without a key are then left out
    and counted, where they are refused otherwise.
    """

    def __init__(
        self, recipe: Recipe, base: Path, parent: Mapping[str, Any] | None, work: Work, *, settled: bool = False
    ) -> None:
        self.recipe = recipe
        self.taken: dict[str, Taken] = {}
        self._base = base
        self._parent: Mapping[str, Any] = parent["types"] if parent else {}
        self._work = work
        self._settled = settled
        self._ids = FieldIds(parent)

    @property
    def next_field_id(self) -> int:
        """The id that the next new field gets."""
        return self._ids.next

    def fill(self, builder: Builder) -> None:
        """Read each source once. What is to be deleted is not read, and the builder not told."""
        for name, type_ in self.recipe.schema.types.items():
            self.taken[name] = Taken()
            if name in self.recipe.sources:
                self._read(builder, name, type_, self.recipe.sources[name])
            else:
                self._keep(builder, name, type_)
            if self._settled:
                self.taken[name].fields.sort(key=self._order(name))
            if self.recipe.taken is not None:
                self.taken[name].sources = self.recipe.taken.get(name, Taken()).sources

    def _order(self, name: str) -> Callable[[Described], int]:
        """The place of a field among those that the parent has; after all of them where it is new."""
        fields = self._parent[name]["fields"] if name in self._parent else ()
        places = {field["id"]: place for place, field in enumerate(fields)}
        return lambda field: places.get(field["id"], len(places))

    def _read(self, builder: Builder, name: str, type_: Type, source: Source) -> None:
        taken, known = self.taken[name], types_of(name, self._parent) if self._settled else {}
        files = _stamps(source, self._base)
        streams = read(name, type_, source, self._base, known, sparse=self.recipe.update)
        for place, stream in enumerate(streams):
            with stream:
                if place == 0:
                    taken.fields = self._describe(name, type_, stream.resolved)
                    kind = stream.resolved.kind or self._kind(name)
                    builder.add_type(json.dumps(_spec(name, type_, kind, taken.fields)))
                told = self._watch(name, stream, hashing=files is None and self.recipe.taken is None)
                builder.add_source(name, stream.origin, stream.reader)
                taken.sources += told
        if files is not None:
            taken.sources += _fingerprints(files, _stamps(source, self._base) or {})

    def _keep(self, builder: Builder, name: str, type_: Type) -> None:
        """Declare a type of which nothing is read, with the fields that the parent has."""
        of = self._parent[name]
        self.taken[name].fields = list(of["fields"])
        builder.add_type(json.dumps(_spec(name, type_, of["key"]["kind"], of["fields"])))

    def _kind(self, name: str) -> str | None:
        """The kind that keys of text had, where the parent has any."""
        of = self._parent.get(name) if self._settled else None
        return of["key"]["kind"] if of and of["records"] and of["key"]["kind"] in TEXT else None

    def _describe(self, name: str, type_: Type, resolved: ResolvedType) -> list[Described]:
        fields = []
        for column in resolved.fields:
            described: Described = {"name": column.name, "type": column.type}
            if column.reference is not None:
                described["reference"] = {"name": column.reference, "type": column.target}
                if olds := type_.renamed.get(column.reference):
                    described["reference"]["aliases"] = list(olds)
            olds = type_.renamed.get(column.name, ())
            if olds:
                described["aliases"] = list(olds)
            described["id"] = self._ids.of(name, (column.name, *olds), described)
            fields.append(described)
        return fields

    def _watch(self, name: str, stream: Stream, *, hashing: bool) -> list[dict[str, Any]]:
        """Have what is read of a stream noted; gives what will be its fingerprint, where one is to be made."""
        taken, told = self.taken[name], {"rows": 0, "digest": ""}

        def note(batch: pa.RecordBatch) -> None:
            self._work.read(name, batch.num_rows)
            if self.recipe.update:
                taken.keys.append(batch.column(0))
            if hashing:
                told["rows"] += batch.num_rows
                told["digest"] = blake3(f"{told['digest']}\n".encode() + batch.serialize().to_pybytes())

        def nameless(rows: list[int]) -> None:
            taken.null_keys += len(rows)
            room = MOST_EXAMPLES - len(taken.nameless)
            taken.nameless += [f"{stream.origin} row {row}" for row in rows[:room]]

        stream.watch.append(note)
        if self._settled:
            stream.nameless = nameless
        return [told] if hashing else []


class Work:
    """How far a build has come, told to ``tell`` as work done and work in all; ``expected`` are rows by type."""

    def __init__(self, expected: Mapping[str, int | None], tell: Progress | None) -> None:
        self._rows = {name: rows or 0 for name, rows in expected.items()}
        self._read = dict.fromkeys(expected, 0)
        self._stages: dict[str, dict[str, float]] = {name: dict.fromkeys(WORK, 0.0) for name in expected}
        self._tell = tell

    def read(self, name: str, rows: int) -> None:
        """Note that so many more rows of a type were read."""
        self._read[name] += rows
        self._rows[name] = max(self._read[name], self._rows[name])
        self.at(name, "read", self._read[name], self._rows[name])

    def at(self, name: str, stage: str, done: int, of: int) -> None:
        """Note how far a stage of a type has come: what a builder reports."""
        stages = self._stages[name]
        stages.update(dict.fromkeys(takewhile(lambda before: before != stage, WORK), 1.0))
        stages[stage] = max(stages[stage], done / of if of else 0.0)
        if self._tell is not None:
            work = sum(rows * self._done(name) for name, rows in self._rows.items())
            self._tell(int(work), sum(self._rows.values()) * sum(WORK.values()))

    def _done(self, name: str) -> float:
        """Work done for each row of a type."""
        return sum(WORK[stage] * share for stage, share in self._stages[name].items())


def chosen(schema: Schema, sources: Mapping[str, Source] | None, place: str) -> dict[str, Source]:
    """The source of each type: that in ``sources``, or else its own. ``place`` says where the schema is from.

    Raises TypeError, or `SchemaError` for a type that is not there or has no source.
    """
    given = named(schema, {} if sources is None else sources, "sources")
    for name, type_ in schema.types.items():
        source = given.setdefault(name, type_.source)
        if source is None:
            raise SchemaError(f'{place}[type.{name}]: no source: write source = "..." into it, or give it in sources=')
    return {name: given[name] for name in schema.types}


def named(schema: Schema, given: object, what: str) -> dict[str, Any]:
    """What is given by type; raises TypeError where it is no mapping, `SchemaError` for a type that is not there."""
    if not isinstance(given, Mapping):
        example = f'{{"{next(iter(schema.types))}": [...]}}'
        raise TypeError(f"{what}: a mapping of type to source is expected, not {type(given).__name__}: {example}")
    for name in given:
        if name not in schema.types:
            raise SchemaError(f"{what}: there is no type {name!r}; the schema has {', '.join(schema.types)}")
    return dict(given)


def expected(recipe: Recipe, base: Path) -> dict[str, int | None]:
    """Rows of each type, as far as sources tell without being read."""
    sources = recipe.sources
    return {name: count(sources[name], base) if name in sources else 0 for name in recipe.schema.types}


def _spec(name: str, type_: Type, kind: str | None, fields: Sequence[Described]) -> dict[str, Any]:
    columns = {reference: to.field for reference, to in type_.references.items()}
    return {
        "name": name,
        "key": {"field": type_.key.field, "kind": kind},
        "fields": [_plain(described) for described in fields],
        "hot": [columns.get(hot, hot) for hot in type_.hot],
        "printed": [hot for hot in type_.hot if hot in columns.values() and hot not in columns],
        "on_duplicate": type_.on_duplicate,
        "strict": type_.strict,
    }


def _plain(described: Described) -> Described:
    """A field as a builder knows it: without other names of it."""
    plain = {member: described[member] for member in ("id", "name", "type")}
    if "reference" in described:
        plain["reference"] = {member: described["reference"][member] for member in ("name", "type")}
    return plain


def _stamps(source: Source, base: Path) -> dict[str, os.stat_result] | None:
    """What the system tells of the files of a source; `None` where it is no path."""
    paths = None if callable(source) else paths_of(source, base)
    try:
        return None if paths is None else {path: Path(path).stat() for path in paths}
    except OSError as error:
        raise SourceError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _fingerprints(before: Mapping[str, os.stat_result], after: Mapping[str, os.stat_result]) -> list[dict[str, Any]]:
    """The fingerprints of files; of many, of all together. Raises `SourceError` where one changed meanwhile."""
    for path, stamp in before.items():
        if path not in after or _identity(after[path]) != _identity(stamp):
            raise SourceError(f"{path}: it changed while it was read: try again once it is complete")
    told = [{"path": path, "bytes": stamp.st_size, "modified": _time(stamp.st_mtime)} for path, stamp in before.items()]
    if len(told) <= MOST_FILES:
        return told
    size = sum(stamp.st_size for stamp in before.values())
    return [{"files": len(told), "bytes": size, "digest": blake3(json.dumps(told).encode())}]


def _identity(stamp: os.stat_result) -> tuple[int, int, int, int]:
    return stamp.st_dev, stamp.st_ino, stamp.st_size, stamp.st_mtime_ns


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
