"""A bedeck store read by plain Python: the executable description of format 0, and the oracle of the property tests.

It is slow and small, and shares no code with the native core. Read it top-down, beside docs/format.md:

    open()      log entry -> manifest -> blobs, every checksum verified
    Store       the types of one version
    Table       one type: key -> slot -> record -> answer; whole-type iteration; digest and epoch recomputed
    Record      one record: taken apart, and in canonical form
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
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bedeck._blake3 import blake3
from bedeck._guard import Json, Section
from bedeck._layout import Field, Index, Key, Locator, Number, Raw, Type, Var, varint
from bedeck.errors import DamagedError, FormatError, NotFoundError, SelectionError

__all__ = ["Record", "Store", "Table", "open"]

FORMAT = 1
KINDS = ("announce", "rollback", "pin", "unpin", "collect")
MAGIC = b"\x89BEDECK\n"
SECTIONS = ("prelude", "pilots", "records", "heap", "values", "locator", "directory")
CHUNK, ALIGNMENT, PRELUDE, TAIL = 4 << 20, 64, 64, 64
MAX_VALUE = (1 << 31) - 1

Sections = Mapping[str, Section]
Values = dict[str, object]
Leaf = Callable[[Type, Raw], object]


# The store: log -> manifest -> blobs -------------------------------------------------------------------------------


def open(store: str | os.PathLike[str], version: int | None = None) -> Store:  # noqa: A001 as in bedeck.open
    """The version that a store serves, or an earlier one still in its log; verified whole."""
    root = Path(store)
    manifest = read_manifest(root, find_version(root, version))
    tables: dict[str, Table] = {}
    for name, described in manifest["types"].members().items():
        tables[name] = Table(name, *read_blob(root, name, described), tables)
    for table in tables.values():
        table.check_targets()
    for table in tables.values():
        table.check_epoch()
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


def find_version(root: Path, version: int | None) -> Json:
    """What the newest log entry has pinned, or else announced; or what the newest one has that names `version`."""
    numbers = [int(path.stem) for path in (root / "log").glob("*.json") if re.fullmatch(r"[0-9]{10}", path.stem)]
    for number in range(max(numbers, default=0), 0, -1):
        entry = read_entry(root / "log" / f"{number:010}.json", number)
        refs = [ref for ref in (entry["pinned"], entry["announced"]) if ref.value is not None]
        for ref in refs:
            if version is None or ref["version"].integer() == version:
                return ref
    raise NotFoundError(f"{root}: no version {'' if version is None else f'{version} '}is announced in its log")


def read_entry(path: Path, number: int) -> Json:
    """Log entry `number`, its checksum verified."""
    line, _, seal = read_file(path).partition(b"\n")
    if seal != b"blake3:" + blake3(line).hex().encode() + b"\n":
        raise DamagedError(f"{path}: entry: does not have the checksum it ends with")
    entry = Json.parse(f"{path}: entry", line)
    if entry["kind"].text() not in KINDS:
        raise FormatError(f"{path}: entry.kind: {entry['kind'].text()!r} is not known in format {FORMAT}")
    if entry["entry"].integer() != number:
        raise entry["entry"].damaged("is not the number the file is named by")
    return entry


def read_manifest(root: Path, ref: Json) -> Json:
    """The manifest of a version, its checksum verified."""
    name = ref["manifest"].hex(64)
    path = root / "manifests" / f"{name}.json"
    data = read_file(path)
    if blake3(data).hex() != name:
        raise DamagedError(f"{path}: manifest: does not have the checksum it is named by")
    manifest = Json.parse(f"{path}: manifest", data)
    if manifest["format"].integer() != FORMAT:
        raise FormatError(f"{path}: manifest.format: is {manifest['format'].integer()}; this reader knows {FORMAT}")
    if manifest["version"].integer() != ref["version"].integer():
        raise manifest["version"].damaged("is not the version the log says it is")
    return manifest


def read_blob(root: Path, type_name: str, described: Json) -> tuple[Sections, Json]:
    """The sections of a type's blob, without their padding, and its directory; all checksums verified."""
    layers = described["layers"].items()
    if len(layers) != 1:
        raise described["layers"].damaged(f"has {len(layers)} entries; a type has one layer in format {FORMAT}")
    blob = layers[0]["blob"]
    name = blob["name"].text()
    if name != f"{type_name}-{blob['hash'].hex(64)[:32]}.blob" or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", type_name):
        raise blob["name"].damaged("is not made of the type's name and the blob's hash")
    path = root / "blobs" / name
    data = read_file(path)
    if data[:8] != MAGIC:
        raise FormatError(f"{path}: prelude: not a bedeck blob, it does not start with the magic bytes")
    padded = verify_sections(path, data, blob)
    directory = read_directory(padded)
    if directory["type"].text() != type_name:
        raise directory["type"].damaged(f"is not {type_name!r}, as in the manifest")
    for member in ("records", "digest", "epoch"):
        if directory[member].value != described[member].value:
            raise directory[member].damaged("is not what the manifest has")
    return {name: trim_section(name, padded, directory["sections"][name]) for name in SECTIONS[1:-1]}, directory


def verify_sections(path: Path, data: bytes, blob: Json) -> Sections:
    """The sections that the manifest lists, padding included: they cover the file, and every chunk has its hash."""
    if len(data) != blob["size"].integer():
        raise DamagedError(f"{path}: size: {len(data)} bytes, not {blob['size'].integer()}")
    if [listed["name"].text() for listed in blob["sections"].items()] != list(SECTIONS):
        raise blob["sections"].damaged(f"are not {', '.join(SECTIONS)}")
    whole, sections = Section(str(path), "file", data), {}
    hashes, position = b"", 0
    for name, listed in zip(SECTIONS, blob["sections"].items(), strict=True):
        if listed["offset"].integer() != position:
            raise listed["offset"].damaged(f"is not {position}, where the section before it ends")
        length = listed["length"].integer()
        section = sections[name] = Section(str(path), name, whole.take(position, length))
        chunks = [blake3(section.data[at : at + CHUNK]) for at in range(0, length, CHUNK)]
        if [chunk.hex() for chunk in chunks] != [chunk.hex(64) for chunk in listed["chunks"].items()]:
            raise section.damaged("does not have the checksums of the manifest")
        hashes, position = hashes + b"".join(chunks), position + length
    if position != len(data):
        raise blob["sections"].damaged(f"end at {position}, the file at {len(data)}")
    if blake3(hashes).hex() != blob["hash"].hex(64):
        raise blob["hash"].damaged("is not the hash of the chunks' hashes")
    return sections


def read_directory(padded: Sections) -> Json:
    """The directory, which is where the prelude says."""
    prelude, directory = padded["prelude"], padded["directory"]
    version, zero, offset, length = struct.unpack("<8xIIQQ", prelude.take(0, 32))
    if version != FORMAT:
        raise FormatError(f"{prelude.file}: prelude: is of format {version}; this reader knows {FORMAT}")
    if zero or any(prelude.data[32:]) or len(prelude.data) < PRELUDE:
        raise prelude.damaged("does not end with zeros")
    if (offset, length) != (start_of("directory", padded), len(directory.data)):
        raise prelude.damaged(f"says the directory is {length} bytes at {offset}")
    return Json.parse(f"{directory.file}: directory", directory.data)


def trim_section(name: str, padded: Sections, listed: Json) -> Section:
    """A section's useful bytes, which the directory tells: aligned, and followed by zeros."""
    section, offset, length = padded[name], listed["offset"].integer(), listed["length"].integer()
    if offset != start_of(name, padded) or offset % ALIGNMENT:
        raise listed.damaged("is not where the manifest says, or not aligned")
    useful = section.take(0, length)
    if any(section.data[length:]):
        raise section.damaged("is not padded with zeros")
    return Section(section.file, name, useful)


def start_of(name: str, padded: Sections) -> int:
    return sum(len(padded[earlier].data) for earlier in SECTIONS[: SECTIONS.index(name)])


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DamagedError(f"{path}: is missing") from None


# A type ------------------------------------------------------------------------------------------------------------


class Table:
    """One type of one version: its records, by key."""

    def __init__(self, name: str, sections: Sections, directory: Json, tables: Mapping[str, Table]) -> None:
        self.name = name
        self.tables = tables
        self.directory = directory
        self.key = Key.read(directory["key"])
        self.index = Index.read(directory["index"], sections["pilots"])
        self.locator = Locator(sections["locator"], directory["locator"]["width"].integer(), self.index.total)
        self.records, self.heap = sections["records"], sections["heap"]
        self.fixed = directory["record"]["fixed"].integer(least=self.key.width)
        self.key_var = None if self.key.width else Var.read(directory["record"]["key"], self.fixed)
        self.fields = tuple(Field.read(field, self.fixed, sections["values"]) for field in directory["fields"].items())
        places = [self.key_var, *(place for field in self.fields for place in (field.place, field.printed))]
        self.vars = sorted((place for place in places if isinstance(place, Var)), key=lambda var: var.order)
        self.check_records()

    def __len__(self) -> int:
        """How many records there are."""
        return self.directory["records"].integer(most=self.index.total)

    def __iter__(self) -> Iterator[str | int | bytes]:
        """All keys, in slot order."""
        return (record.key for record in self.whole())

    def items(self, fields: Iterable[str] | None = None) -> Iterator[tuple[object, Values]]:
        """All keys, in slot order, with the fields asked for, as by `decorate`."""
        plan = self.plan(fields)
        return ((record.key, self.answer(record, plan, Type.value)) for record in self.whole())

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
        return f"{hash_sum(record.canonical() for record in self.whole()):032x}"

    def epoch(self) -> str:
        """The epoch of the types connected with this one, recomputed from their keys: 32 hex digits."""
        described = b""
        for table in sorted(self.connected(), key=lambda table: table.name):
            index = table.index
            described += table.name.encode() + b"\0"
            described += struct.pack("<4Q", index.seed, index.parts, index.buckets, index.slots)
            described += hash_sum(table.key.canonical(key) for key in table).to_bytes(16, "little")
        return blake3(described)[:16].hex()

    # From keys to records

    def find(self, key: object) -> Record | None:
        """The record of a key: index and locator lead to a record or to a hole, and the key in the record decides."""
        stored = self.key.stored(key)
        record = None if stored is None else self.record(self.index.slot(stored))
        return record if record is not None and record.stored_key == stored else None

    def record(self, slot: int) -> Record | None:
        """The record in a slot; `None` in a hole."""
        start, end = self.locator.extent(slot)
        return Record(self, self.records.part(f"slot {slot}", start, end - start)) if end > start else None

    def whole(self) -> Iterator[Record]:
        """All records, in slot order."""
        return (record for record in map(self.record, range(self.index.total)) if record is not None)

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
        for field in self.fields:
            if all(paths) and field.reference == name and field.target is not None:
                return Through(field, self.tables[field.target].plan(path[1:] for path in paths))
        columns: tuple[Key | Field, ...] = (self.key, *self.fields)
        for column in columns:
            if not any(paths) and column.name == name:
                return column
        raise SelectionError(f"type {self.name}: there is no {'reference' if all(paths) else 'field'} {name!r}")

    def answers(self, ids: Iterable[object], fields: Iterable[str] | None, leaf: Leaf) -> list[Values | None]:
        """The answers of `decorate`, their values made by `leaf`."""
        plan = self.plan(fields)
        return [None if record is None else self.answer(record, plan, leaf) for record in map(self.find, ids)]

    def answer(self, record: Record, plan: Plan, leaf: Leaf) -> Values:
        """What a plan asks for of a record, its values made by `leaf`."""
        return {name: self.value(record, step, leaf) for name, step in plan.items()}

    def value(self, record: Record, step: Step, leaf: Leaf) -> object:
        """The value that a step of a plan asks for of a record."""
        with record.section.guard(step.name):
            match step:
                case Key():
                    return record.key
                case Through(field, plan):
                    return each(record.raw(field), lambda code: self.follow(field, code, plan, leaf))
                case Field(target=str()):
                    keys = each(record.raw(step), lambda code: self.resolve(step, code)[0])
                    if step.printed is not None and keys != each(record.printed(step), TEXT.value):
                        raise ValueError("has printed keys that are not those it refers to")
                    return keys
                case Field():
                    return each(record.raw(step), lambda raw: leaf(step.type, raw))

    def follow(self, field: Field, code: int, plan: Plan, leaf: Leaf) -> Values | None:
        """What a plan asks for of the record that a reference's code leads to; `None` if it dangles."""
        _, record = self.resolve(field, code)
        return None if record is None else self.target(field).answer(record, plan, leaf)

    def resolve(self, field: Field, code: int) -> tuple[str | int | bytes, Record | None]:
        """The key that a reference's code names, and the record it leads to; `None` if it dangles."""
        if code < len(field.dangling):
            return self.target(field).key.parse(field.dangling[code]), None
        record = self.target(field).record(code - len(field.dangling))
        if record is None:
            raise ValueError(f"refers to slot {code - len(field.dangling)} of {field.target}, a hole")
        return record.key, record

    def target(self, field: Field) -> Table:
        """The type that a reference points into."""
        return self.tables[str(field.target)]

    # What is checked when a store is opened, beyond checksums

    def check_records(self) -> None:
        """The records lie one after the other, are as many as the directory says, and 64 zeros follow them."""
        if [var.order for var in self.vars] != list(range(len(self.vars))):
            raise self.directory["fields"].damaged("does not number the var values from 0 without gaps")
        count = position = 0
        for start, end in map(self.locator.extent, range(self.index.total)):
            if start != position:
                raise self.locator.section.damaged(f"leaves a gap before the record at {start}")
            count, position = count + (end > start), end
        if count != len(self):
            raise self.locator.section.damaged(f"has {count} records, not {len(self)}")
        if self.records.data[position:] != bytes(TAIL):
            raise self.records.damaged(f"does not end with {TAIL} zero bytes after the last record")

    def check_targets(self) -> None:
        """References lead to types that are there."""
        for target in self.targets() - self.tables.keys():
            raise self.directory["fields"].damaged(f"refers to type {target}, which is not there")

    def check_epoch(self) -> None:
        """The types that references connect are of one epoch."""
        for table in self.connected():
            if table.directory["epoch"].hex(32) != self.directory["epoch"].hex(32):
                raise self.directory["epoch"].damaged(f"is not that of {table.name}, with which references connect it")

    def targets(self) -> set[str]:
        """The types that its references point into."""
        return {field.target for field in self.fields if field.target is not None}

    def connected(self) -> list[Table]:
        """The types that references connect with this one, in either direction, itself included."""
        names, before = {self.name}, set[str]()
        while names != before:
            before = names
            names = names.union(*(self.tables[name].targets() for name in names))
            names |= {name for name, table in self.tables.items() if table.targets() & names}
        return [self.tables[name] for name in names]


TEXT = Type("string")


@dataclass(frozen=True)
class Through:
    """A step of a plan that leads through a reference."""

    field: Field
    plan: Plan

    @property
    def name(self) -> str:
        return str(self.field.reference)


Step = Key | Field | Through
Plan = dict[str, Step]


class Record:
    """One record, taken apart into its packed bits and its var values."""

    def __init__(self, table: Table, section: Section) -> None:
        self.table = table
        self.section = section
        self.var_values: list[bytes] = []
        position = table.fixed
        for var in table.vars:
            number = section.bits(var.offset, var.bits)
            if var.long and number == (1 << var.bits) - 1:
                offset, length = struct.unpack("<QI", section.take(position, 12))
                if length > MAX_VALUE:
                    raise section.damaged(f"has a value of {length} bytes; {MAX_VALUE} are the most")
                self.var_values.append(table.heap.take(offset, length))
                position += 12
            else:
                self.var_values.append(section.take(position, number * var.unit))
                position += number * var.unit
        if position != len(section.data):
            raise section.damaged(f"has {len(section.data)} bytes, and its values {position}")

    @property
    def stored_key(self) -> bytes:
        """The stored form of its key."""
        key_var = self.table.key_var
        return self.section.take(0, self.table.key.width) if key_var is None else self.var_values[key_var.order]

    @property
    def key(self) -> str | int | bytes:
        """Its key, as it is printed."""
        with self.section.guard("key"):
            return self.table.key.value(self.stored_key)

    def raw(self, field: Field) -> Raw:
        """The raw value of a field."""
        if field.null_bit is not None and self.section.bits(field.null_bit, 1):
            return None
        match field.place:
            case Var(order):
                return field.parse(self.var_values[order])
            case Number() as number:
                place = number.read_from(self.section)
                return place if field.values is None else field.parse(field.values[place])

    def printed(self, field: Field) -> Raw:
        """The keys that a reference names, as texts, where the record has those."""
        if field.printed is None or self.raw(field) is None:
            return None
        return field.parse_printed(self.var_values[field.printed.order])

    def canonical(self) -> bytes:
        """Its canonical form, of which the digest is made."""
        form = self.table.key.canonical(self.key)
        for field in sorted(self.table.fields, key=lambda field: field.id):
            with self.section.guard(field.name):
                form += self.canonical_value(field, self.raw(field))
        return form

    def canonical_value(self, field: Field, raw: Raw) -> bytes:
        """A value, or an item of a list, as the canonical form has it."""
        match raw:
            case None:
                return b"\0"
            case list():
                return b"\1" + varint(len(raw)) + b"".join(self.canonical_value(field, item) for item in raw)
            case _ if field.target is None:
                return b"\1" + field.type.canonical(raw)
            case _:
                return b"\1" + self.table.target(field).key.canonical(self.table.resolve(field, raw)[0])


def each(raw: Raw, function: Callable[[Raw], object]) -> object:
    """A value made of a raw one: null stays null, and a list becomes a list."""
    match raw:
        case None:
            return None
        case list():
            return [each(item, function) for item in raw]
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
