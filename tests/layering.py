"""A writer of blobs, bases, groups and overlays, after docs/format.md; it shares no code with the builder.

Wherever the format leaves a choice, chance takes it: what readers make of a blob must not hang on what builders like.
"""

import datetime as dt
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Any

from bedeck._core import blake3
from bedeck._layout import U64, Index, escape, hash_key, high, varint
from forgery import Blob

__all__ = ["DELETED", "Column", "Shape", "changes", "digest", "epoch", "write"]

DELETED = 2**32 - 1
LINE, SLOTS_A_LINE, TAIL, INLINE = 64, 480, 64, 255
SHIFT, SPREAD = 0x517CC1B727220A95, 0xF1357AEA2E62A9C5
EPOCH = dt.date(1970, 1, 1)

Raw = Any


@dataclass(frozen=True)
class Column:
    """A field and its values, one a record.

    A value is `None`, text, bytes, a bool, a float, a date, an integer or ticks, or a list of these; of a reference it
    is a code, or a list of codes. `dangling` are the keys without a record, as their texts, and `printed` what is kept
    of the keys as they print.
    """

    id: int
    name: str
    type: str
    values: Sequence[Any]
    reference: Mapping[str, str] | None = None
    dangling: Sequence[bytes] = ()
    printed: Sequence[Any] | None = None

    @property
    def scalar(self) -> str:
        return self.type.removeprefix("list<").removesuffix(">") if self.is_list else self.type

    @property
    def is_list(self) -> bool:
        return self.type.startswith("list<")

    @property
    def is_bytes(self) -> bool:
        return self.scalar in ("string", "categorical", "binary")


# The index


@dataclass(frozen=True)
class Shape:
    """An index with its pilots: the slots of keys."""

    seed: int
    parts: int
    buckets: int
    slots: int
    pilots: bytes

    @classmethod
    def of(cls, keys: Sequence[bytes], random: Random) -> "Shape":
        """One that gives every key a slot of its own."""
        while True:
            seed, parts = random.choice([0, 1, random.getrandbits(64)]), random.choice([1, 1, 2, 3])
            hashes = [hash_key(key, seed) for key in keys]
            fullest = max((sum(high(h, parts) == part for h in hashes) for part in range(parts)), default=0)
            buckets, slots = fullest // 2 + random.randint(1, 3), fullest + fullest // 8 + random.randint(1, 4)
            shape = cls(seed, parts, buckets, slots, bytes(parts * buckets))
            pilots = shape._search(hashes)
            if pilots is not None:
                return cls(seed, parts, buckets, slots, pilots)

    @classmethod
    def read(cls, blob: Blob) -> "Shape":
        directory = blob.directory
        length = directory["sections"]["pilots"]["length"]
        return cls(**directory["index"], pilots=bytes(blob.parts["pilots"][:length]))

    @property
    def total(self) -> int:
        return self.parts * self.slots

    def slot(self, key: bytes) -> int:
        h = hash_key(key, self.seed)
        return self._slot(h, self.pilots[self._bucket(h)])

    def described(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in ("seed", "parts", "buckets", "slots")}

    def _bucket(self, h: int) -> int:
        return high(h, self.parts) * self.buckets + high(Index.skewed(h * self.parts & U64), self.buckets)

    def _slot(self, h: int, pilot: int) -> int:
        return high(h, self.parts) * self.slots + high((h ^ pilot * SHIFT & U64) * SPREAD & U64, self.slots)

    def _search(self, hashes: Iterable[int]) -> bytes | None:
        members: dict[int, list[int]] = {}
        for h in hashes:
            members.setdefault(self._bucket(h), []).append(h)
        pilots, taken = bytearray(self.parts * self.buckets), set[int]()
        for bucket, those in sorted(members.items(), key=lambda item: -len(item[1])):
            for pilot in range(256):
                slots = {self._slot(h, pilot) for h in those}
                if len(slots) == len(those) and not slots & taken:
                    break
            else:
                return None
            pilots[bucket] = pilot
            taken |= slots
        return bytes(pilots)


# Values


def number(scalar: str, value: Any) -> int:
    """A value that is a number, modulo 2^64."""
    match scalar:
        case "float32":
            return int.from_bytes(struct.pack("<f", value), "little")
        case "float64":
            return int.from_bytes(struct.pack("<d", value), "little")
        case "date":
            return (value - EPOCH).days & U64
    return int(value) & U64


def payload(scalar: str, value: Any) -> bytes:
    """A value that is bytes, as they are stored."""
    return bytes(value) if scalar == "binary" else escape(value).encode()


def items(values: Iterable[bytes | None]) -> bytes:
    """A list of byte strings."""
    return b"".join(b"\0" if value is None else varint(1 + len(value)) + value for value in values)


def signed(raw: int) -> int:
    return raw - 2**64 if raw >> 63 else raw


def ranged(scalar: str, numbers: Sequence[int], random: Random) -> tuple[int, int]:
    """A base, and the bits of the largest number when that is taken off."""
    bases = [0]
    if numbers and not scalar.startswith("float"):
        lowest = min(map(signed, numbers))
        bases = [0, lowest, lowest, min(numbers), max(lowest - random.randrange(1000), -(2**63))]
    base = random.choice(bases)
    return base, max((((raw - base) & U64).bit_length() for raw in numbers), default=0)


# Records


@dataclass
class Cell:
    """What a record has of one value: a number among the packed bits, and perhaps bytes behind these."""

    described: dict[str, Any]
    numbers: list[int]
    bits: int
    tails: list[bytes] | None = None


@dataclass
class Records:
    """Records being laid out: the tables, the heap, and the cells of every value."""

    random: Random
    count: int
    heap: bytearray = field(default_factory=bytearray)
    values: bytearray = field(default_factory=bytearray)
    cells: list[Cell] = field(default_factory=list)

    def table(self, entries: Sequence[bytes]) -> dict[str, int]:
        self.values += bytes(self.random.choice([0, 1, 8]))
        offset = len(self.values)
        ends = accumulate(map(len, entries), initial=0)
        self.values += struct.pack(f"<{len(entries) + 1}Q", *ends) + b"".join(entries)
        return {"offset": offset, "count": len(entries)}

    def put(self, numbers: list[int], bits: int, base: int = 0) -> dict[str, Any]:
        """A number in each record; `bits` is what it takes at least."""
        bits += self.random.choice([0, 0, 1, 5])
        described = {"offset": 0, "bits": 64 if bits > 56 else bits, "base": base}
        self.cells.append(Cell(described, numbers, described["bits"]))
        return described

    def put_var(self, payloads: Sequence[bytes | None]) -> dict[str, Any]:
        """Bytes in each record, or in the heap."""
        most = self.random.choice([0, 3, INLINE, INLINE])
        inline = [len(data) for data in payloads if data is not None and len(data) <= most]
        long = any(data is not None and len(data) > most for data in payloads) or self.random.random() < 0.1
        units = [unit for unit in range(1, 9) if all(length % unit == 0 for length in inline)]
        unit = self.random.choice(units)
        largest = max((length // unit for length in inline), default=0)
        bits = (largest + long).bit_length() + self.random.choice([0, 0, 3])
        escaped = (1 << bits) - 1
        numbers, tails = [], []
        for data in payloads:
            if data is not None and len(data) > most:
                numbers.append(escaped)
                tails.append(struct.pack("<QI", len(self.heap), len(data)))
                self.heap += data
            else:
                numbers.append(len(data or b"") // unit)
                tails.append(data or b"")
        described = {"order": 0, "offset": 0, "bits": bits, "unit": unit, "long": long}
        self.cells.append(Cell(described, numbers, bits, tails))
        return described

    def put_field(self, column: Column) -> dict[str, Any]:
        """A field in each record."""
        described: dict[str, Any] = {"id": column.id, "name": column.name, "type": column.type, "bytes": 0}
        nulls = described["nulls"] = sum(value is None for value in column.values)
        if column.reference is not None:
            described["reference"] = dict(column.reference)
            described["dangling"] = self.table(column.dangling)
        if nulls or self.random.random() < 0.2:
            cell = Cell({}, [int(value is None) for value in column.values], 1)
            self.cells.append(cell)
            described["null_bit"] = cell
        if not (column.is_list or column.is_bytes):
            raws = [None if value is None else number(column.scalar, value) for value in column.values]
            base, bits = ranged(column.scalar, [raw for raw in raws if raw is not None], self.random)
            described["bits"] = self.put([0 if raw is None else (raw - base) & U64 for raw in raws], bits, base)
        else:
            self._put_bytes(column, described)
        if column.printed is not None:
            texts = [self._printed(column, value) for value in column.printed]
            described["printed"] = self.put_var(texts)
        return described

    def _put_bytes(self, column: Column, described: dict[str, Any]) -> None:
        if column.is_bytes:
            one = [None if value is None else value for value in column.values]
            payloads = [None if value is None else self._bytes(column, value) for value in one]
        else:
            item = described["item"] = self._item(column)
            payloads = [None if value is None else self._numbers(column, item, value) for value in column.values]
        if column.reference is not None or self.random.random() < 0.5:
            described["var"] = self.put_var(payloads)
            return
        entries = sorted({data for data in payloads if data is not None})
        places = [0 if data is None else entries.index(data) for data in payloads]
        described["values"] = self.table(entries)
        described["bits"] = self.put(places, max(len(entries) - 1, 0).bit_length())

    @staticmethod
    def _bytes(column: Column, value: Any) -> bytes:
        if not column.is_list:
            return payload(column.scalar, value)
        return items(None if item is None else payload(column.scalar, item) for item in value)

    @staticmethod
    def _printed(column: Column, value: Any) -> bytes | None:
        if value is None or not column.is_list:
            return None if value is None else escape(value).encode()
        return items(None if item is None else escape(item).encode() for item in value)

    def _item(self, column: Column) -> dict[str, Any]:
        """How the numbers of a list are written."""
        every = [item for value in column.values if value is not None for item in value]
        numbers = [number(column.scalar, item) for item in every if item is not None]
        base, bits = ranged(column.scalar, numbers, self.random)
        width = min(8, max(1, -(-bits // 8)) + self.random.choice([0, 0, 1]))
        return {"width": width, "base": base, "nulls": None in every or self.random.random() < 0.2}

    @staticmethod
    def _numbers(column: Column, item: Mapping[str, Any], value: Sequence[Any]) -> bytes:
        null = sum(1 << place for place, one in enumerate(value) if one is None)
        bitmap = null.to_bytes(-(-len(value) // 8), "little") if item["nulls"] else b""
        raws = (0 if one is None else (number(column.scalar, one) - item["base"]) & U64 for one in value)
        return bitmap + b"".join(raw.to_bytes(item["width"], "little") for raw in raws)

    def finish(self, keys: Sequence[bytes], width: int) -> tuple[int, list[bytes]]:
        """Give every number its bits and every var value its order: the bytes of the fixed part, and all records.

        `keys` are the first `width` bytes of these.
        """
        at, packed = 8 * width, [int.from_bytes(key[:width], "little") for key in keys]
        for cell in self.random.sample(self.cells, len(self.cells)):
            at += self.random.choice([0, 0, 0, 1, 9])
            at += -at % 8 if cell.bits > 56 else 0
            cell.described["offset"] = at
            packed = [record | value << at for record, value in zip(packed, cell.numbers, strict=True)]
            at += cell.bits
        tailed = [cell for cell in self.cells if cell.tails is not None]
        self.random.shuffle(tailed)
        for order, cell in enumerate(tailed):
            cell.described["order"] = order
        fixed = max(1, -(-at // 8))
        records = [record.to_bytes(fixed, "little") for record in packed]
        for cell in tailed:
            records = [record + tail for record, tail in zip(records, cell.tails or (), strict=True)]
        return fixed, records


def lines(extents: Sequence[int], width: int) -> bytes:
    """The locator of records of these lengths, one a slot."""
    each, code = (28, "H") if width == 2 else (14, "I")
    data, base = b"", 0
    for at in range(0, len(extents), each):
        ends = list(accumulate(extents[at : at + each]))
        data += struct.pack(f"<Q{each}{code}", base, *ends, *[ends[-1]] * (each - len(ends)))
        base += ends[-1]
    return data


def changes(slots: int, places: Mapping[int, int], inserted: Sequence[int]) -> dict[str, bytes]:
    """The sections of an overlay over a base of so many slots: where the records of those that changed are."""
    data, ones = b"", 0
    for first in range(0, slots, SLOTS_A_LINE):
        bits = sum(1 << slot - first for slot in places if first <= slot < first + SLOTS_A_LINE)
        data += ones.to_bytes(4, "little") + bits.to_bytes(LINE - 4, "little")
        ones += bits.bit_count()
    in_order = [places[slot] for slot in sorted(places)]
    numbers = {"places": in_order, "inserted": inserted}
    return {"changes": data, **{name: struct.pack(f"<{len(of)}I", *of) for name, of in numbers.items()}}


def write(  # noqa: PLR0913, PLR0917 - what a blob consists of
    directory: Mapping[str, Any],
    shape: Shape,
    key: Mapping[str, Any],
    slots: Sequence[int],
    stored: Sequence[bytes] | None,
    columns: Sequence[Column],
    random: Random,
    *,
    over: Mapping[str, bytes] | None = None,
) -> Blob:
    """A blob of the records that lie in `slots`, which have the stored keys `stored`, or none in a group.

    `directory` has the members that are not laid out here: type, kind, base, records, epoch, digest. `over` are the
    sections of an overlay.
    """
    records = Records(random, len(slots))
    key_var = None
    if stored is not None and not key["width"]:
        key_var = records.put_var(stored)
    fields = [records.put_field(column) for column in columns]
    fixed, each = records.finish(stored or [b""] * len(slots), 0 if stored is None else key["width"])
    for described in fields:
        if "null_bit" in described:
            described["null_bit"] = described["null_bit"].described["offset"]
    by_slot = dict(zip(slots, each, strict=True))
    is_flat = stored is None and all("var" not in of and "printed" not in of for of in fields)
    if is_flat and random.random() < 0.7:
        width, filler = 0, bytes(fixed)
        locator = b""
    else:
        narrow = sum(map(len, each)) < 1 << 16
        width, filler = random.choice([2, 4] if narrow else [4]), b""
        locator = lines([len(by_slot.get(slot, b"")) for slot in range(shape.total)], width)
    data = b"".join(by_slot.get(slot, filler) for slot in range(shape.total))
    sections = {
        "pilots": b"" if stored is None else shape.pilots,
        "records": data + bytes(TAIL),
        "heap": bytes(records.heap),
        "values": bytes(records.values),
        "locator": locator,
        **(over or {}),
    }
    whole = {
        **directory,
        "key": dict(key),
        "index": shape.described(),
        "locator": {"width": width},
        "record": {"fixed": fixed, "key": key_var},
        "fields": fields,
        "counters": {},
    }
    return assemble(whole, sections)


def assemble(directory: Mapping[str, Any], sections: Mapping[str, bytes]) -> Blob:
    """The blob of these sections: each at a multiple of 64, zeros up to the next."""
    padded = {name: data + bytes(-len(data) % LINE) for name, data in sections.items()}
    starts = accumulate((len(data) for data in padded.values()), initial=LINE)
    extents = {
        name: {"offset": start, "length": len(data)}
        for (name, data), start in zip(sections.items(), starts, strict=False)
    }
    prelude = b"\x89BEDECK\n" + struct.pack("<I", 1) + bytes(LINE - 12)
    blob = Blob({"prelude": prelude, **padded, "directory": b""})
    blob.directory = {**directory, "sections": extents}
    return blob


# What tells contents


def canonical_key(key: Any) -> bytes:
    """A key as it prints, as digests take it."""
    if isinstance(key, int):
        return (key & U64).to_bytes(8, "little")
    text = key.encode() if isinstance(key, str) else key
    return varint(len(text)) + text


def canonical(scalar: str, value: Any) -> bytes:
    """A value that is neither null nor a list; of a reference, the key as it prints."""
    if scalar == "reference":
        return canonical_key(value)
    if scalar in ("string", "categorical", "binary"):
        data = payload(scalar, value)
        return varint(len(data)) + data
    return number(scalar, value).to_bytes({"bool": 1, "float32": 4}.get(scalar, 8), "little")


def halves(forms: Iterable[bytes]) -> int:
    """The sum of the first halves of hashes."""
    return sum(int.from_bytes(bytes.fromhex(blake3(form))[:16], "little") for form in forms) % 2**128


def digest(keys: Sequence[Any], columns: Sequence[Column]) -> str:
    """The digest of a type with these keys and columns, of which references have keys as they print."""
    forms = [canonical_key(key) for key in keys]
    for column in sorted(columns, key=lambda column: column.id):
        for row, value in enumerate(column.values):
            if value is None:
                continue
            forms[row] += varint(column.id)
            if not column.is_list:
                forms[row] += canonical(column.scalar, value)
                continue
            forms[row] += varint(len(value))
            forms[row] += b"".join(b"\0" if one is None else b"\1" + canonical(column.scalar, one) for one in value)
    return f"{halves(forms):032x}"


def epoch(types: Mapping[str, tuple[Shape, Sequence[Any]]]) -> str:
    """The epoch of types that references connect: of each the index and the keys as they print."""
    described = b""
    for name, (shape, keys) in sorted(types.items()):
        described += name.encode() + b"\0"
        described += struct.pack("<4Q", shape.seed, shape.parts, shape.buckets, shape.slots)
        described += halves(map(canonical_key, keys)).to_bytes(16, "little")
    return blake3(described)[:32]
