"""A bedeck store read by plain Python: the executable description of format 1, and the oracle of the property tests.

It is slow and small, and shares no code with the native core. Read it top-down, beside docs/format.md:

    open()      the types of a version, from verified files
    Store       these types, by name
    Table       one type: key -> record -> answer; whole-type iteration; digest and epoch recomputed
    _files      log entry -> manifest -> blobs, every checksum verified
    _layers     the blobs of a type: a base, groups and an overlay, and the records they make together
    _layout     what the directory describes, each noun with its formulas: Key, Index, Locator, Field, Type
    _guard      Json and Section: every member, offset and count that comes from a file is checked
    _blake3     the hash

>>> tracks = open("store/")["track"]                                        # doctest: +SKIP
>>> tracks.decorate(["4uLU6hMCjMI75M1A2tKUQC"], ["title", "artists.name"])  # doctest: +SKIP
[{'title': '...', 'artists': [{'name': '...'}]}]

Errors: `DamagedError` (a checksum, an offset or a structure is wrong), `FormatError` (not a bedeck file, or written by
a newer format) and `NotFoundError` (no such store or version), each naming the file and the section.
Everything is held in memory, and opening hashes all of it at about 20 MB/s: it is meant for small stores.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bedeck._blake3 import blake3
from bedeck._files import find_version, read_blob, read_manifest
from bedeck._guard import Json
from bedeck._layers import Blob, Layers, Record
from bedeck._layout import Field, Key, Raw, Type, varint
from bedeck.errors import SelectionError

__all__ = ["Store", "Table", "open"]

Values = dict[str, object]
Leaf = Callable[[Type, Raw], object]


def open(store: str | os.PathLike[str], version: int | None = None) -> Store:  # noqa: A001 as in bedeck.open
    """The version that a store serves, or an earlier one still in its log; verified whole."""
    root = Path(store)
    manifest = read_manifest(root, find_version(root, version))
    tables: dict[str, Table] = {}
    for name, described in manifest["types"].members().items():
        layers = described["layers"].items()
        if not layers:
            raise described["layers"].damaged("is empty")
        blobs = [Blob(*read_blob(root, name, layer)) for layer in layers]
        hashes = [layer["blob"]["hash"].text() for layer in layers]
        tables[name] = Table(name, described, Layers(blobs, hashes), tables)
    for table in tables.values():
        table.check()
    return Store(manifest["namespace"].text(), manifest["version"].integer(), tables)


@dataclass(frozen=True)
class Store:
    """The types of one version, by name."""

    namespace: str
    version: int
    tables: Mapping[str, Table]

    def __getitem__(self, name: str) -> Table:
        if name not in self.tables:
            raise SelectionError(f"there is no type {name!r}, only {', '.join(sorted(self.tables))}")
        return self.tables[name]


@dataclass(frozen=True)
class Named:
    """A field as the schema of the version has it: layers have it under its number, perhaps of a narrower type.

    `aliases` are names that it is selected by too, `through` those that lead through it if it is a reference.
    """

    id: int
    name: str
    aliases: tuple[str, ...]
    type: Type
    through: tuple[str, ...]
    target: str | None

    @classmethod
    def read(cls, described: Json) -> Named:
        kind = Type.parse(described["type"])
        refers = kind.name == "reference"
        if ("reference" in described) != refers:
            raise described.damaged(f"does not have what a {described['type'].text()} has")
        reference = described["reference"] if refers else None
        return cls(
            id=described["id"].integer(),
            name=described["name"].text(),
            aliases=texts(described, "aliases"),
            type=kind,
            through=() if reference is None else (reference["name"].text(), *texts(reference, "aliases")),
            target=None if reference is None else reference["type"].text(),
        )


def texts(described: Json, member: str) -> tuple[str, ...]:
    """A list of texts; empty where it is left out."""
    return tuple(item.text() for item in described[member].items()) if member in described else ()


class Table:
    """One type of one version: its records, by key."""

    def __init__(self, name: str, described: Json, layers: Layers, tables: Mapping[str, Table]) -> None:
        self.name = name
        self.described = described
        self.layers = layers
        self.tables = tables
        self.key = layers.base.key
        self.fields = tuple(Named.read(field) for field in described["fields"].items())

    def __len__(self) -> int:
        """How many records there are."""
        return len(self.layers)

    def __iter__(self) -> Iterator[str | int | bytes]:
        """All keys: of records as the base has them, then of those in the overlay, in slot order."""
        return (record.key for record in self.layers.whole())

    def items(self, fields: Iterable[str] | None = None) -> Iterator[tuple[object, Values]]:
        """All keys, in that order, with the fields asked for, as by `decorate`."""
        plan = self.plan(fields)
        return ((record.key, self.answer(record, plan, Type.value)) for record in self.layers.whole())

    def get(self, key: object) -> Values | None:
        """The values of all fields of the type itself; `None` if the key is not in the catalogue."""
        return self.decorate([key])[0]

    def decorate(self, ids: Iterable[object], fields: Iterable[str] | None = None) -> list[Values | None]:
        """For each id, in order, the fields asked for; `None` for an id that is not in the catalogue.

        A field is a name of this type, its key's included, or `reference.field`, to any depth: `"artists.name"` gives
        `{"artists": [{"name": ...}]}`. No fields named asks for all fields of the type itself. A field that does not
        exist raises `SelectionError`; an id of a Python type that is no key, `TypeError`.
        """
        return self.answers(ids, fields, Type.value)

    def decorate_json(self, ids: Iterable[object], fields: Iterable[str] | None = None) -> bytes:
        """The same as one JSON array: NaN and infinities are null, timestamps in UTC, bytes in base64."""
        answers = self.answers(ids, fields, Type.json_value)
        return json.dumps(answers, ensure_ascii=False, allow_nan=False, default=json_text).encode()

    def digest(self) -> str:
        """The digest of the type, recomputed from its records: 32 hex digits."""
        return f"{hash_sum(map(self.canonical, self.layers.whole())):032x}"

    def epoch(self) -> str:
        """The epoch of the types that were built with this one, recomputed from the keys of their bases: 32 hex digits.

        It is that of the manifest where these types are all there still.
        """
        described = b""
        for table in sorted(self.connected(), key=lambda table: table.name):
            base, index = table.layers.base, table.layers.base.index
            described += table.name.encode() + b"\0"
            described += struct.pack("<4Q", index.seed, index.parts, index.buckets, index.slots)
            keys = (base.key.value(piece.stored_key) for piece in base.pieces())
            described += hash_sum(map(base.key.canonical, keys)).to_bytes(16, "little")
        return blake3(described)[:16].hex()

    def find(self, key: object) -> Record | None:
        """The record of a key."""
        stored = self.key.stored(key)
        return None if stored is None else self.layers.find(stored)

    # From records to answers

    def plan(self, fields: Iterable[str] | None) -> Plan:
        """What an answer consists of, by name, in the order asked for."""
        if fields is None:
            return {field.name: field for field in self.fields}
        asked: dict[str, list[str]] = {}
        for path in fields:
            name, dot, beyond = path.partition(".")
            asked.setdefault(name, []).append(dot + beyond)
        return {name: self.step(name, paths) for name, paths in asked.items()}

    def step(self, name: str, paths: list[str]) -> Step:
        """The key or the field of that name; or, if `paths` go on from it, the reference of that name."""
        if any(paths) and not all(paths):
            raise SelectionError(f"type {self.name}: {name!r} is asked for as a field and as a reference at once")
        if any(paths):
            field = first([(field, field.through) for field in self.fields], name)
            if field is not None and field.target is not None:
                return Through(field, self.tables[field.target].plan(path[1:] for path in paths))
        elif name == self.key.name:
            return self.key
        else:
            field = first([(field, (field.name, *field.aliases)) for field in self.fields], name)
            if field is not None:
                return field
        raise SelectionError(f"type {self.name}: there is no {'reference' if any(paths) else 'field'} {name!r}")

    def answers(self, ids: Iterable[object], fields: Iterable[str] | None, leaf: Leaf) -> list[Values | None]:
        """The answers of `decorate`, their values made by `leaf`."""
        plan = self.plan(fields)
        return [None if record is None else self.answer(record, plan, leaf) for record in map(self.find, ids)]

    def answer(self, record: Record, plan: Plan, leaf: Leaf) -> Values:
        """What a plan asks for of a record, its values made by `leaf`."""
        return {name: self.value(record, step, leaf) for name, step in plan.items()}

    def value(self, record: Record, step: Step, leaf: Leaf) -> object:
        """The value that a step of a plan asks for of a record."""
        match step:
            case Key():
                return record.key
            case Through(field, plan):
                return self.each(record, field, lambda held, code: self.follow(held, code, plan, leaf))
            case Named(target=str()):
                return self.each(record, step, lambda held, code: self.resolve(held, code)[0])
            case Named():
                return self.each(record, step, lambda _, raw: leaf(step.type, raw))

    def each(self, record: Record, field: Named, make: Callable[[Field, Raw], object]) -> object:
        """A value of a record made of its raw one: null stays null, and a list becomes a list."""
        found = record.find(field.id)
        if found is None:
            return None
        piece, held = found
        with piece.section.guard(field.name):
            if held.printed is not None and piece.printed(held) is not None:
                keys = mapped(piece.raw(held), lambda code: self.resolve(held, code)[0])
                if keys != mapped(piece.printed(held), TEXT.value):
                    raise ValueError("has printed keys that are not those it refers to")
            return mapped(piece.raw(held), lambda raw: make(held, raw))

    def follow(self, field: Field, code: int, plan: Plan, leaf: Leaf) -> Values | None:
        """What a plan asks for of the record that a reference's code leads to; `None` if there is none."""
        _, record = self.resolve(field, code)
        return None if record is None else self.target(field).answer(record, plan, leaf)

    def resolve(self, field: Field, code: int) -> tuple[str | int | bytes, Record | None]:
        """The key that a reference's code names, and its record; `None` if there is none, or it is deleted.

        A key that had no record when the reference was written may have one by now.
        """
        target = self.target(field)
        if code < len(field.dangling):
            key = target.key.parse(field.dangling[code])
            record = target.find(key)
            return key if record is None else record.key, record
        stored, record = target.layers.named(code - len(field.dangling))
        return target.key.value(stored), record

    def target(self, field: Field) -> Table:
        """The type that a reference points into."""
        return self.tables[str(field.target)]

    # The canonical form

    def canonical(self, record: Record) -> bytes:
        """The canonical form of a record, of which the digest is made."""
        form = self.key.canonical(record.key)
        for field in sorted(self.fields, key=lambda field: field.id):
            value = self.each(record, field, self.canonical_value)
            match value:
                case bytes():
                    form += varint(field.id) + value
                case list():
                    items = (b"\0" if item is None else b"\1" + item for item in value)
                    form += varint(field.id) + varint(len(value)) + b"".join(items)
        return form

    def canonical_value(self, field: Field, raw: Raw) -> bytes:
        """A value, or an item of a list, as the canonical form has it."""
        if field.target is None:
            return field.type.canonical(raw)
        return self.target(field).key.canonical(self.resolve(field, raw)[0])

    # What is checked when a store is opened, beyond checksums and the structure of blobs

    def check(self) -> None:
        """The manifest describes what the layers hold, and references lead to types of one epoch that are there."""
        base = self.layers.base.directory
        for member in ("epoch", "key"):
            if self.described[member].value != base[member].value:
                raise self.described[member].damaged("is not what the base has")
        if self.described["records"].integer() != len(self.layers):
            raise self.described["records"].damaged(f"is not {len(self.layers)}, as in the layers")
        for field in self.fields:
            held = [(blob, blob.field(field.id)) for blob in self.layers.blobs]
            for blob, of in held:
                if of is not None and not (of.type.widens_to(field.type) and of.target == field.target):
                    raise blob.directory["fields"].damaged(
                        f"has field {field.id}, which cannot be read as {field.name!r}"
                    )
            if field.target is None:
                continue
            if field.target not in self.tables:
                raise self.described["fields"].damaged(f"refers to type {field.target}, which is not there")
            theirs = self.tables[field.target].layers.base.directory["epoch"]
            if theirs.hex(32) != base["epoch"].hex(32):
                raise base["epoch"].damaged(f"is not that of {field.target}, to which {field.name!r} refers")

    def targets(self) -> set[str]:
        """The types that references in its blobs point into, those of fields that are gone included."""
        return {field.target for blob in self.layers.blobs for field in blob.fields if field.target is not None}

    def connected(self) -> list[Table]:
        """The types that references connect with this one, in either direction, itself included."""
        names, before = {self.name}, set[str]()
        while names != before:
            before = names
            names = names.union(*(self.tables[name].targets() & self.tables.keys() for name in names))
            names |= {name for name, table in self.tables.items() if table.targets() & names}
        return [self.tables[name] for name in names]


TEXT = Type("string")


@dataclass(frozen=True)
class Through:
    """A step of a plan that leads through a reference."""

    field: Named
    plan: Plan


Step = Key | Named | Through
Plan = dict[str, Step]


def first(named: list[tuple[Named, tuple[str, ...]]], name: str) -> Named | None:
    """The field that is called so; where none is, the first of those that have it among their other names."""
    own = [field for field, names in named if names[:1] == (name,)]
    return next(iter(own + [field for field, names in named if name in names]), None)


def mapped(raw: Raw, function: Callable[[Raw], object]) -> object:
    """What a function makes of a raw value: of null null, of a list a list."""
    match raw:
        case None:
            return None
        case list():
            return [mapped(item, function) for item in raw]
        case _:
            return function(raw)


def hash_sum(forms: Iterable[bytes]) -> int:
    """The sum modulo 2^128 of the first halves of hashes: the same in whatever order."""
    return sum(int.from_bytes(blake3(form)[:16], "little") for form in forms) % (1 << 128)


def json_text(value: object) -> str:
    """The JSON string for a value that is none of JSON's own."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case dt.date():
            return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no value of a field")
