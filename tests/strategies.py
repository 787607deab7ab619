"""Catalogues as the property tests draw them: types with references among them, their rows, selections and requests.

What a column holds is drawn as a few values, which hypothesis shrinks, and a seed that spreads them over the rows.
"""

import datetime as dt
import random
import string
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from bedeck import Key, Reference, Type

__all__ = ["Column", "Rows", "absent", "base62", "catalogues", "paths", "requests", "shown", "table_of", "type_of"]

BASE62 = string.digits + string.ascii_lowercase + string.ascii_uppercase
INTEGERS = {f"{sign}int{bits}": (sign, bits) for sign in ("", "u") for bits in (8, 16, 32, 64)}
ZONES = ("UTC", "Europe/Stockholm", "America/St_Johns", "Asia/Kathmandu")
TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
TIMESTAMPS = tuple(f"timestamp[{unit}{zone}]" for unit in TICKS for zone in ("", *(f",{zone}" for zone in ZONES)))
PLAIN = ("bool", *INTEGERS, "float32", "float64", "string", "binary", "date", "categorical")
KINDS = ("base62", "uuid", "int", "string", "bytes")
FIRST, LAST = -62_104_060_800, 253_370_764_799  # years 2 to 9998, in seconds: any zone keeps them within 1 to 9999
SHORT = 3
SHOWN = 9_000  # characters
AWKWARD = '"\\/\b\f\n\r\t\0\x1f\x7f\u2028é字😀'


@dataclass(frozen=True)
class Column:
    """A column: its type as a blob states it, and its values; timestamps are ticks, references are keys."""

    name: str
    type: str
    values: list[Any]
    reference: str | None = None
    target: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def scalar(self) -> str:
        """The type, or that of a list's items."""
        return self.type.removeprefix("list<").removesuffix(">") if self.is_list else self.type

    @property
    def is_list(self) -> bool:
        return self.type.startswith("list<")


def shown(drawn: Any) -> str:
    """What a failure shows of a dataclass: a beginning, for hypothesis refuses more."""
    members = ", ".join(f"{member.name}={getattr(drawn, member.name)!r}" for member in fields(drawn))
    return f"{type(drawn).__name__}({members[:SHOWN]})"


@dataclass(frozen=True, repr=False)
class Rows:
    """The rows of one type, by column."""

    name: str
    key: Key
    signed: bool
    keys: list[Any]
    columns: list[Column]
    hot: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return shown(self)


# What bedeck is given


def type_of(rows: Rows) -> Type:
    """The type as a schema declares it."""
    return Type(
        rows.key,
        fields={column.name: column.type for column in rows.columns if column.scalar == "categorical"},
        references={str(c.reference): Reference(c.name, c.target) for c in rows.columns if c.target is not None},
        hot=rows.hot,
    )


def table_of(rows: Rows, catalogue: Mapping[str, Rows]) -> pa.Table:
    """The rows as Arrow data."""
    arrays = {rows.key.field: pa.array(rows.keys, key_type(rows))}
    for column in rows.columns:
        item = key_type(catalogue[column.target]) if column.target is not None else arrow_type(column.scalar)
        arrays[column.name] = pa.array(column.values, pa.list_(item) if column.is_list else item)
    return pa.table(arrays)


def key_type(rows: Rows) -> pa.DataType:
    if rows.key.kind == "int":
        return pa.int64() if rows.signed else pa.uint64()
    return pa.binary() if rows.key.kind == "bytes" else pa.string()


def arrow_type(scalar: str) -> pa.DataType:
    match scalar:
        case "bool":
            return pa.bool_()
        case "categorical":
            return pa.string()
        case "date":
            return pa.date32()
        case _ if scalar.startswith("timestamp"):
            unit, _, zone = scalar[len("timestamp[") : -1].partition(",")
            return pa.timestamp(unit, zone or None)
        case _:
            return getattr(pa, scalar)()


# Values


def base62(number: int) -> str:
    """A number as the 22 characters of a base62 key."""
    return "".join(BASE62[number // 62**place % 62] for place in reversed(range(22)))


SHORT_TEXTS = st.text(max_size=8) | st.text(AWKWARD, max_size=8)
TEXTS = SHORT_TEXTS | st.builds(lambda text, times: text * times, SHORT_TEXTS, st.sampled_from([32, 100]))
NAMES = st.text(st.characters(exclude_characters=".\0", exclude_categories=["Cs"]), min_size=1, max_size=6)
OTHERS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "float32": st.floats(width=32),
    "float64": st.floats(),
    "binary": st.binary(max_size=8) | st.binary(min_size=200, max_size=300),
    "date": st.dates(dt.date.min, dt.date.max),
}


def numbers(draw: st.DrawFn, low: int, high: int) -> st.SearchStrategy[int]:
    """A strategy for numbers of some range within `low` to `high`, of any width."""
    first = draw(st.sampled_from([low, 0, high]) | st.integers(low, high))
    last = first + (1 << draw(st.integers(0, (high - low).bit_length()))) - 1
    return st.integers(first, min(last, high))


def scalars(draw: st.DrawFn, scalar: str) -> st.SearchStrategy[Any]:
    """A strategy for values of a type that is no list."""
    if scalar in INTEGERS:
        sign, bits = INTEGERS[scalar]
        low = 0 if sign else -1 << bits - 1
        return numbers(draw, low, low + (1 << bits) - 1)
    if scalar.startswith("timestamp"):
        ticks = TICKS[scalar[len("timestamp[") : -1].partition(",")[0]]
        return numbers(draw, max(FIRST * ticks, -1 << 63), min(LAST * ticks, (1 << 63) - 1))
    return OTHERS.get(scalar, TEXTS)


@st.composite
def values(draw: st.DrawFn, scalar: str, *, is_list: bool, rows: int) -> list[Any]:
    """The values of a column: of a few, any often; nulls among them, or nothing else."""
    one = scalars(draw, scalar)
    if is_list:
        items = st.lists(st.none() | one if draw(st.booleans()) else one, max_size=4)
        one = items | st.builds(lambda item, times: [item] * times, one, st.sampled_from([20, 32, 300]))
    pool = draw(st.lists(one, min_size=1, max_size=5))
    pool += [None] * draw(st.sampled_from([0, 0, 1, 5]))
    choose = random.Random(draw(st.integers(0, 99)))
    if draw(st.integers(0, 9)) == 0:
        return [None] * rows
    chosen = [choose.choice(pool) for _ in range(rows)]
    if scalar in ("string", "categorical") and not is_list and draw(st.booleans()):
        return [text if text is None else f"{text}{row}" for row, text in enumerate(chosen)]
    return chosen


@cache
def keys(kind: str, *, signed: bool) -> st.SearchStrategy[Any]:
    """Keys of a kind as they are printed."""
    wide = st.sampled_from([0, 1, (1 << 128) - 1]) | st.integers(0, (1 << 128) - 1)
    match kind:
        case "base62":
            return st.builds(base62, wide)
        case "uuid":
            return st.builds(lambda number: str(uuid.UUID(int=number)), wide)
        case "int":
            low, high = (-1 << 63, (1 << 63) - 1) if signed else (0, (1 << 64) - 1)
            return st.sampled_from([low, 0, 1, high]) | st.integers(low, high)
        case "string":
            return st.text(max_size=6) | st.builds(lambda text: text * 60, st.text(min_size=1, max_size=6))
    return st.binary(max_size=6) | st.binary(min_size=255, max_size=257)


def key_maker(kind: str) -> Callable[[random.Random], Any]:
    """What makes any number of keys of a kind, fast."""
    return {
        "base62": lambda source: base62(source.getrandbits(128)),
        "uuid": lambda source: str(uuid.UUID(int=source.getrandbits(128))),
        "int": lambda source: source.getrandbits(63),
        "string": lambda source: f"{source.getrandbits(40):x}",
        "bytes": lambda source: source.randbytes(source.randrange(12)),
    }[kind]


def malformed(kind: str, *, signed: bool) -> list[Any]:
    """What is no key of a kind."""
    return {
        "base62": ["", "0" * 21, "0" * 23, "7N42dgm5tFLK9N8MT7fHC8", "Z" * 22, "0" * 21 + "_", "é" * 11],
        "uuid": ["", "0" * 31, "g" * 32, "0000000000000000-0000-0000-0000-0000", "é" * 16],
        "int": [-(1 << 63) - 1, 1 << 64, 10**30, -1 if not signed else 1 << 63],
        "string": ["x" * 65_536],
        "bytes": [b"x" * 65_536],
    }[kind]


@cache
def strangers(kind: str, *, signed: bool) -> st.SearchStrategy[Any]:
    """Ids that are most likely in no catalogue, malformed ones among them."""
    return keys(kind, signed=signed) | st.sampled_from(malformed(kind, signed=signed))


def absent(target: Rows, longest: int = 65_536) -> st.SearchStrategy[Any]:
    """References to a type that most likely lead nowhere, none of them longer than that."""
    kind = str(target.key.kind)
    every = [] if kind == "int" else malformed(kind, signed=target.signed)
    broken = [key for key in every if len(key) <= longest]
    return keys(kind, signed=target.signed) | (st.sampled_from(broken) if broken else st.nothing())


# Catalogues


@st.composite
def catalogues(draw: st.DrawFn) -> dict[str, Rows]:
    """One to three types, their columns of any type, references among them in any direction."""
    names = ["track", "artist", "album"][: draw(st.integers(1, 3))]
    bare = {name: draw(keyed(name)) for name in names}
    return {name: draw(filled(rows, bare)) for name, rows in bare.items()}


@st.composite
def keyed(draw: st.DrawFn, name: str) -> Rows:
    """A type with its keys, and no columns yet."""
    kind, signed = draw(st.sampled_from(KINDS)), draw(st.booleans())
    found = draw(st.lists(keys(kind, signed=signed), max_size=4, unique=True))
    count = len(found) + draw(st.sampled_from([0, 0, 1, 3, 10, 30, 300]))
    one, source = key_maker(kind), random.Random(draw(st.integers(0, 99)))
    while len(found) < count:
        found = list(dict.fromkeys([*found, *(one(source) for _ in range(count - len(found)))]))
    source.shuffle(found)
    return Rows(name, Key("id", kind), signed, found, [])


@st.composite
def filled(draw: st.DrawFn, rows: Rows, bare: Mapping[str, Rows]) -> Rows:
    """The type with its columns and references."""
    fields, links = draw(st.integers(0, 6)), draw(st.integers(0, 2))
    count = fields + 2 * links
    names = draw(st.lists(NAMES.filter(lambda name: name != "id"), min_size=count, max_size=count, unique=True))
    columns = [draw(column(names.pop(), len(rows.keys))) for _ in range(fields)]
    columns += [draw(link(names.pop(), names.pop(), bare, len(rows.keys))) for _ in range(links)]
    columns = draw(st.permutations(columns))
    hot = tuple(column.name for column in columns if draw(st.integers(0, 4)) == 0)
    return Rows(rows.name, rows.key, rows.signed, rows.keys, columns, hot)


@st.composite
def column(draw: st.DrawFn, name: str, rows: int) -> Column:
    scalar, is_list = draw(st.sampled_from((*PLAIN, *TIMESTAMPS))), draw(st.booleans())
    return Column(name, f"list<{scalar}>" if is_list else scalar, draw(values(scalar, is_list=is_list, rows=rows)))


@st.composite
def link(draw: st.DrawFn, name: str, reference: str, bare: Mapping[str, Rows], rows: int) -> Column:
    """A reference, perhaps of the same name as its column, to keys that are there or not."""
    target, is_list = bare[draw(st.sampled_from(sorted(bare)))], draw(st.booleans())
    lost = draw(st.lists(absent(target), min_size=1, max_size=3))
    pool = [*target.keys[:20], *lost, *[None] * draw(st.integers(0, 3))]
    if target.key.kind == "uuid" and draw(st.booleans()):
        pool = [key and key.upper() for key in pool]
    source = random.Random(draw(st.integers(0, 99)))
    longest = draw(st.sampled_from([1, SHORT, SHORT, 300]))

    def value() -> Any:
        if not is_list:
            return source.choice(pool)
        return source.choices(pool, k=source.randint(0, longest)) if source.random() < 0.9 else None

    kind = "list<reference>" if is_list else "reference"
    return Column(name, kind, [value() for _ in range(rows)], name if draw(st.booleans()) else reference, target.name)


# What is asked


@st.composite
def paths(draw: st.DrawFn, catalogue: Mapping[str, Rows], name: str) -> list[str] | None:
    """Fields of a type to select, through references to some depth; `None` for its own."""
    if draw(st.integers(0, 4)) == 0:
        return None
    chosen: list[str] = []
    bare: dict[str, bool] = {}
    for _ in range(draw(st.integers(0, 5))):
        path = draw(way(catalogue, catalogue[name], 3))
        for end in (at for at, char in enumerate(path + ".") if char == "."):
            if bare.setdefault(path[:end], end == len(path)) != (end == len(path)):
                break  # keys and records of a reference under one name
        else:
            chosen.append(path)
    return chosen


@st.composite
def way(draw: st.DrawFn, catalogue: Mapping[str, Rows], rows: Rows, depth: int) -> str:
    links = [column for column in rows.columns if column.reference is not None]
    if depth and links and draw(st.booleans()):
        through = draw(st.sampled_from(links))
        # Lists of lists of lists grow fast.
        left = depth - 1 if all(len(value or "") <= SHORT for value in through.values if through.is_list) else 0
        return f"{through.reference}.{draw(way(catalogue, catalogue[str(through.target)], left))}"
    return draw(st.sampled_from(["id", *(name for column in rows.columns for name in (column.name, *column.aliases))]))


def requests(rows: Rows) -> st.SearchStrategy[list[Any]]:
    """Ids in any order, some of them of records, some more than once."""
    absent = strangers(str(rows.key.kind), signed=rows.signed)
    return st.lists(st.sampled_from(rows.keys) | absent if rows.keys else absent, max_size=12)
