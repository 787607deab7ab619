"""How a blob of format 1 is laid out: what its directory describes, each noun with the formulas that belong to it.

    Key                       text form <-> stored form
    Index, Locator            stored key -> slot -> place of the record
    Field: Number, Var, Item  where a field's value lies in a record
    Type                      what a value means in Python, in JSON and in the canonical form

These are the parts `bedeck.reference` is made of; docs/format.md says the same in prose. Whatever does not fit raises
`DamagedError`, whatever format 1 does not know `FormatError`.

A **raw** value is a number modulo 2^64, the bytes stored, `None`, or a list of these.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import functools
import json
import math
import re
import struct
import uuid
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_UP, Context
from itertools import pairwise
from typing import Any

from bedeck._guard import Json, Section
from bedeck.errors import FormatError
from bedeck.zones import zone

__all__ = ["Field", "Index", "Item", "Key", "Locator", "Number", "Raw", "Type", "Var"]

Raw = Any

U64 = (1 << 64) - 1
BASE62 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
BASE62_DIGITS = 22
KEY_WIDTHS = {"base62": 16, "uuid": 16, "int": 8, "string": 0, "bytes": 0}
MAX_KEY, MAX_SLOTS = 65_535, (1 << 32) - 2
TYPE = re.compile(
    r"(list<)?(?:(bool|u?int(?:8|16|32|64)|float32|float64|string|binary|date|categorical|reference)"
    r"|timestamp\[(s|ms|us|ns)(?:,(.+?))?\])(?(1)>)"
)
ENDS = {2: "28H", 4: "14I"}
UNALIGNED = 56
MORE = 0x80
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
ESCAPES = {code: f"\\u{code:04x}" for code in range(0x20)}
ESCAPES |= {ord(char): f"\\{short}" for char, short in zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True)}


# Keys, and the way from a key to its record ------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A type's key: `name` is the one it is selected by, `width` the bytes of its stored form, 0 if they vary."""

    name: str
    kind: str
    width: int
    signed: bool

    @classmethod
    def read(cls, described: Json) -> Key:
        kind = described["kind"].text()
        if kind not in KEY_WIDTHS:
            raise FormatError(f"{described.where}.kind: {kind!r} is not known in format 1")
        width = described["width"].integer(KEY_WIDTHS[kind], KEY_WIDTHS[kind])
        return cls(described["field"].text(), kind, width, "signed" not in described or described["signed"].flag())

    def stored(self, key: object) -> bytes | None:
        """The stored form of a key; `None` if no catalogue can have it. `TypeError` for what is no key of this kind."""
        match self.kind, key:
            case "base62", str():
                return parse_base62(key)
            case "uuid", str():
                return parse_uuid(key)
            case "uuid", uuid.UUID():
                return key.bytes
            case "int", int() if not isinstance(key, bool):
                low, high = (-1 << 63, 1 << 63) if self.signed else (0, 1 << 64)
                return (key & U64).to_bytes(8, "little") if low <= key < high else None
            case "string", str():
                text = key.encode(errors="surrogatepass")
                return text if len(text) <= MAX_KEY else None
            case "bytes", bytes():
                return key if len(key) <= MAX_KEY else None
        raise TypeError(f"{type(key).__name__} is not a key of kind {self.kind}")

    def value(self, stored: bytes) -> str | int | bytes:
        """A stored key as it is printed: text, an integer for `int`, bytes for `bytes`."""
        match self.kind:
            case "base62":
                return print_base62(stored)
            case "uuid":
                return str(uuid.UUID(bytes=stored))
            case "int":
                return int.from_bytes(stored, "little", signed=self.signed)
            case "string":
                return stored.decode()
            case _:
                return stored

    def parse(self, text: bytes) -> str | int | bytes:
        """A key that has no record, kept as its text (8 bytes for `int`), as it is printed."""
        return self.value(text) if self.kind in ("int", "bytes") else text.decode()

    def canonical(self, value: str | int | bytes) -> bytes:
        """A printed key as digests take it: 8 bytes for `int`, else its bytes after their length."""
        if isinstance(value, int):
            return (value & U64).to_bytes(8, "little")
        text = value.encode() if isinstance(value, str) else value
        return varint(len(text)) + text


def parse_base62(text: str) -> bytes | None:
    if len(text) != BASE62_DIGITS or not set(text) <= set(BASE62):
        return None
    number = functools.reduce(lambda number, digit: number * 62 + BASE62.index(digit), text, 0)
    return number.to_bytes(16, "big") if number < 1 << 128 else None


def print_base62(stored: bytes) -> str:
    number = int.from_bytes(stored, "big")
    return "".join(BASE62[number // 62**place % 62] for place in reversed(range(BASE62_DIGITS)))


def parse_uuid(text: str) -> bytes | None:
    """The UUID written canonically, or without hyphens, in either case."""
    written = re.fullmatch(r"[0-9a-fA-F]{8}(-?)([0-9a-fA-F]{4}\1){3}[0-9a-fA-F]{12}", text)
    return bytes.fromhex(text.replace("-", "")) if written else None


def mix(x: int) -> int:
    """The finaliser of SplitMix64: a bijection of 64-bit numbers."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & U64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & U64
    return x ^ x >> 31


def high(a: int, b: int) -> int:
    """The upper half of the 128-bit product: `a`, as a fraction of 2^64, of `b`."""
    return a * b >> 64


def hash_key(stored: bytes, seed: int) -> int:
    """The 64-bit hash of a stored key."""
    h = mix(len(stored) ^ seed * 0x9E3779B97F4A7C15 & U64)
    for at in range(0, len(stored), 8):
        h = mix(h ^ int.from_bytes(stored[at : at + 8], "little"))
    return h


@dataclass(frozen=True)
class Index:
    """The perfect hash from keys to slots: a pilot a bucket, so chosen that no two keys meet; per part."""

    seed: int
    parts: int
    buckets: int
    slots: int
    pilots: bytes

    @classmethod
    def read(cls, described: Json, pilots: Section, *, has_keys: bool = True) -> Index:
        """Without keys, as in a group, there are no pilots: slots are then all there is."""
        parts, buckets, slots = (described[name].integer(least=1) for name in ("parts", "buckets", "slots"))
        if parts * slots > MAX_SLOTS:
            raise described.damaged(f"has {parts * slots} slots; {MAX_SLOTS} are the most")
        if (parts * buckets if has_keys else 0) != len(pilots.data):
            raise pilots.damaged(f"has {len(pilots.data)} pilots for {parts} * {buckets} buckets")
        return cls(described["seed"].integer(), parts, buckets, slots, pilots.data)

    @property
    def total(self) -> int:
        """The slots of all parts."""
        return self.parts * self.slots

    def slot(self, stored: bytes) -> int:
        """The slot of a key; some slot for a key that was not built in."""
        h = hash_key(stored, self.seed)
        part = high(h, self.parts)
        pilot = self.pilots[part * self.buckets + high(self.skewed(h * self.parts & U64), self.buckets)]
        spread = (h ^ pilot * 0x517CC1B727220A95 & U64) * 0xF1357AEA2E62A9C5 & U64
        return part * self.slots + high(spread, self.slots)

    @staticmethod
    def skewed(x: int) -> int:
        """About x^2 (1 + x) / 2, on fractions of 2^64: a few buckets become large, many small."""
        y = high(high(x, x), x >> 1 | 1 << 63)
        return y - (y >> 8) + (x >> 8)


@dataclass(frozen=True)
class Locator:
    """Where the record of each slot lies: 64-byte lines, each a base and the ends of the records, relative to it.

    With `width` 0 there are no lines: every slot has a record of `length` bytes.
    """

    section: Section
    width: int
    slots: int
    length: int = 0

    def __post_init__(self) -> None:
        if self.width == 0 and self.length and not self.section.data:
            return
        if self.width not in ENDS or len(self.section.data) != -(-self.slots // self.ends) * 64:
            raise self.section.damaged(f"is not as long as {self.slots} ends of {self.width} bytes need")

    @property
    def ends(self) -> int:
        """Ends a line."""
        return 56 // self.width

    def extent(self, slot: int) -> tuple[int, int]:
        """Start and end of a slot's record in `records`; equal for a hole."""
        if not 0 <= slot < self.slots:
            raise self.section.damaged(f"has no slot {slot}, only {self.slots}")
        if self.width == 0:
            return slot * self.length, (slot + 1) * self.length
        line, place = divmod(slot, self.ends)
        base, *ends = struct.unpack("<Q" + ENDS[self.width], self.section.take(line * 64, 64))
        start, end = ends[place - 1] if place else 0, ends[place]
        if start > end:
            raise self.section.damaged(f"slot {slot} ends before it starts")
        return base + start, base + end


# Fields, and the values they hold ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Number:
    """A number in a record's packed bits, to which `base` is added."""

    offset: int
    bits: int
    base: int

    @classmethod
    def read(cls, described: Json, fixed: int) -> Number:
        base = described["base"].integer(least=-1 << 63)
        return cls(*read_place(described["offset"], described["bits"], fixed), base)

    def read_from(self, record: Section) -> int:
        return record.bits(self.offset, self.bits) + self.base & U64


@dataclass(frozen=True)
class Var:
    """A value after the packed bits: its place among those, and where its length in units (or the escape) is."""

    order: int
    offset: int
    bits: int
    unit: int
    long: bool

    @classmethod
    def read(cls, described: Json, fixed: int) -> Var:
        offset, bits = read_place(described["offset"], described["bits"], fixed, most=31)
        unit = described["unit"].integer(1, 8)
        return cls(described["order"].integer(), offset, bits, unit, described["long"].flag())


def read_place(offset: Json, bits: Json, fixed: int, most: int = 64) -> tuple[int, int]:
    """A place in the packed bits of records with `fixed` bytes of equal length."""
    first, width = offset.integer(), bits.integer(most=most)
    if first + width > fixed * 8 or (width > UNALIGNED and first % 8):
        raise offset.damaged(f"{width} bits at {first} cannot be read from {fixed} bytes")
    return first, width


@dataclass(frozen=True)
class Item:
    """The numbers of a list: `width` bytes each, to which `base` is added, after a bitmap of nulls if there are any."""

    width: int
    base: int
    nulls: bool

    @classmethod
    def read(cls, described: Json) -> Item:
        base = described["base"].integer(least=-1 << 63)
        return cls(described["width"].integer(1, 8), base, described["nulls"].flag())

    def split(self, data: bytes) -> list[Raw]:
        count = 8 * len(data) // (8 * self.width + 1) if self.nulls else len(data) // self.width
        bitmap = (count + 7) // 8 if self.nulls else 0
        if bitmap + count * self.width != len(data):
            raise ValueError(f"{len(data)} bytes do not hold items of {self.width} bytes")
        null = int.from_bytes(data[:bitmap], "little")
        numbers = (data[at : at + self.width] for at in range(bitmap, len(data), self.width))
        values = [int.from_bytes(number, "little") + self.base & U64 for number in numbers]
        return [None if null >> place & 1 else value for place, value in enumerate(values)]


@dataclass(frozen=True)
class Field:
    """A field: `place` is where its value is, or its number in `values`, the table of interned ones.

    `printed` is where a reference has the keys it names once more, as they print.
    """

    id: int
    name: str
    type: Type
    place: Number | Var
    null_bit: int | None
    values: tuple[bytes, ...] | None
    item: Item | None
    target: str | None
    printed: Var | None
    dangling: tuple[bytes, ...]

    @classmethod
    def read(cls, described: Json, fixed: int, values: Section) -> Field:
        kind = Type.parse(described["type"])
        refers, numeric = kind.name == "reference", not kind.is_bytes
        has = [member in described for member in ("reference", "dangling", "item")]
        if has != [refers, refers, kind.is_list and numeric]:
            raise described.damaged(f"does not have what a {described['type'].text()} has")
        if "printed" in described and not refers:
            raise described.damaged("has printed keys, and is no reference")
        places = {member for member in ("bits", "values", "var") if member in described}
        if places not in ([{"bits"}] if numeric and not kind.is_list else [{"bits", "values"}, {"var"}]):
            raise described.damaged(f"a {described['type'].text()} cannot be in {sorted(places)}")
        return cls(
            id=described["id"].integer(),
            name=described["name"].text(),
            type=kind,
            place=Number.read(described["bits"], fixed) if "bits" in described else Var.read(described["var"], fixed),
            null_bit=described["null_bit"].integer(most=fixed * 8 - 1) if "null_bit" in described else None,
            values=read_table(described["values"], values) if "values" in described else None,
            item=Item.read(described["item"]) if "item" in described else None,
            target=described["reference"]["type"].text() if refers else None,
            printed=Var.read(described["printed"], fixed) if "printed" in described else None,
            dangling=read_table(described["dangling"], values) if refers else (),
        )

    def parse(self, data: bytes) -> Raw:
        """The raw value that a var value, or an entry of the table, is."""
        if not self.type.is_list:
            return data
        return split_items(data) if self.item is None else self.item.split(data)

    def parse_printed(self, data: bytes) -> Raw:
        """The texts that printed keys are."""
        return split_items(data) if self.type.is_list else data


def read_table(described: Json, values: Section) -> tuple[bytes, ...]:
    """The entries of a table: the ends of all, then their bytes; in ascending order."""
    offset, count = described["offset"].integer(), described["count"].integer()
    start = offset + 8 * (count + 1)
    ends = struct.unpack(f"<{count + 1}Q", values.take(offset, start - offset))
    entries = tuple(values.take(start + first, last - first) for first, last in pairwise(ends))
    if ends[0] != 0 or any(left >= right for left, right in pairwise(entries)):
        raise described.damaged("is not a table of entries in ascending order")
    return entries


def split_items(data: bytes) -> list[Raw]:
    """The items of a list of byte strings."""
    items: list[Raw] = []
    at = 0
    while at < len(data):
        size, at = read_varint(data, at)
        if at + size - 1 > len(data):
            raise ValueError("the last item is cut short")
        items.append(data[at : at + size - 1] if size else None)
        at += max(size - 1, 0)
    return items


def varint(number: int) -> bytes:
    """A number as LEB128."""
    return bytes([number]) if number < MORE else bytes([number & 127 | MORE]) + varint(number >> 7)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The LEB128 number at `at`, and where it ends."""
    number = 0
    for place in range(10):
        number |= (data[at + place] & 127) << 7 * place
        if data[at + place] < MORE:
            return number, at + place + 1
    raise ValueError("a varint has more than ten bytes")


@dataclass(frozen=True)
class Type:
    """A field's type, or that of a list's items: what a raw value that is neither null nor a list means."""

    name: str
    unit: str | None = None
    zone: str | None = None
    is_list: bool = False

    @classmethod
    def parse(cls, described: Json) -> Type:
        written = TYPE.fullmatch(described.text())
        if written is None:
            raise FormatError(f"{described.where}: {described.text()!r} is not a type of format 1")
        return cls(written[2] or "timestamp", written[3], written[4], is_list=written[1] is not None)

    def widens_to(self, other: Type) -> bool:
        """Whether every value of this type is one of `other`: of the same type, text, or an integer of no more bits."""
        if self.is_list != other.is_list:
            return False
        if {self.name, other.name} <= {"string", "categorical"}:
            return True
        match integer(self.name), integer(other.name):
            case (sign, width), (other_sign, other_width):
                return width <= other_width if sign == other_sign else sign == "u" and width < other_width
        return self == other

    @property
    def is_bytes(self) -> bool:
        """Whether raw values are bytes, not numbers."""
        return self.name in ("string", "categorical", "binary")

    def value(self, raw: Raw) -> object:
        """A raw value as Python has it; nanoseconds are cut to microseconds."""
        if self.is_bytes:
            return raw if self.name == "binary" else unescape(raw)
        match self.name:
            case "bool":
                return (False, True)[raw]
            case "float32" | "float64":
                return struct.unpack("<f" if self.name == "float32" else "<d", self.canonical(raw))[0]
            case "date":
                return (EPOCH + dt.timedelta(days=signed(raw))).date()
            case "timestamp":
                moment = self.moment(raw)
                return moment.replace(tzinfo=None) if self.zone is None else moment.astimezone(zone(self.zone))
            case _:
                return raw if self.name.startswith("u") else signed(raw)

    def json_value(self, raw: Raw) -> object:
        """A raw value as JSON has it: numbers that are not finite are null, timestamps RFC 3339 in UTC."""
        if self.name == "timestamp":
            digits = DIGITS[str(self.unit)]
            fraction = f".{signed(raw) % 10**digits:0{digits}}" if digits else ""
            return self.moment(raw).isoformat(timespec="seconds").replace("+00:00", f"{fraction}Z")
        value = self.value(raw)
        if not isinstance(value, float):
            return value
        return (shortest(value) if self.name == "float32" else value) if math.isfinite(value) else None

    def canonical(self, raw: Raw) -> bytes:
        """A raw value as the digest takes it."""
        if self.is_bytes:
            return varint(len(raw)) + bytes(raw)
        return int(raw).to_bytes({"bool": 1, "float32": 4}.get(self.name, 8), "little")

    def moment(self, raw: int) -> dt.datetime:
        """A timestamp's instant, in UTC; a wall-clock time is taken as UTC."""
        return EPOCH + dt.timedelta(microseconds=signed(raw) * 10**6 // 10 ** DIGITS[str(self.unit)])


def integer(name: str) -> tuple[str, int] | None:
    """Of a type of integers the sign, `u` or nothing, and the bits; nothing of any other."""
    found = re.fullmatch(r"(u?)int(\d+)", name)
    return (found[1], int(found[2])) if found else None


def signed(raw: int) -> int:
    """A number modulo 2^64 as two's complement."""
    return raw - (1 << 64) if raw >> 63 else raw


def shortest(value: float) -> float:
    """The number of fewest decimal digits, of those the nearest, that is `value` when read as a float32."""
    # Floats lie closer below a power of two than above it: the nearest number may be read as another, the next not.
    roundings = (Context(digits, way) for digits in range(1, 10) for way in (ROUND_HALF_EVEN, ROUND_UP))
    numbers = (float(rounding.create_decimal_from_float(value)) for rounding in roundings)
    return next(number for number in numbers if ctypes.c_float(number).value == value)


def escape(text: str) -> str:
    """Text as it is stored: escaped as in a JSON string, and no more than that needs."""
    return text.translate(ESCAPES)


def unescape(stored: bytes) -> str:
    """The text that was stored."""
    text = str(json.loads(f'"{stored.decode()}"'))
    if escape(text).encode() != stored:
        raise ValueError("text is not escaped minimally")
    return text
