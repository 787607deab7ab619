"""Small stores for the tests that damage, kill and share them, and all there is to be read from one."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from bedeck import Catalogue, Key, Reference, Schema, Type

__all__ = [
    "ALPHABET",
    "RICH",
    "SMALL",
    "Rows",
    "answers",
    "base62",
    "contents",
    "keys_of",
    "readings",
    "rich_rows",
    "small_rows",
]

Rows = dict[str, list[dict[str, Any]]]

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

SMALL = Schema(
    {
        "a": Type(key=Key("k"), fields={"n": "string"}),
        "t": Type(key=Key("i"), fields={"s": "string"}, references={"r": Reference("as", "a")}, hot=["as"]),
    }
)


def small_rows(tag: str = "") -> Rows:
    """Rows for `SMALL`; of two different tags they differ in every record."""
    return {
        "a": [{"k": "x", "n": f"Ann{tag}"}, {"k": "yy", "n": None}, {"k": "zoë", "n": f'"{"L" * 300}"{tag}'}],
        "t": [{"i": 1, "s": f"one{tag}", "as": ["x", "gone"]}, {"i": -2, "s": f"\n{tag}", "as": None}],
    }


WIDTHS = {f"{sign}int{bits}": (sign, bits) for sign in ("", "u") for bits in (8, 16, 32, 64)}
UNITS = ("s", "ms", "us", "ns")
SCALARS = [*WIDTHS, "bool", "float32", "float64", "date", *(f"timestamp[{unit}]" for unit in UNITS)]

RICH = Schema(
    {
        "track": Type(
            key=Key("id", "base62"),
            fields={
                **{f"of {scalar}": scalar for scalar in SCALARS},
                "zoned": "timestamp[us,Europe/Stockholm]",
                "title": "string",
                "genre": "categorical",
                "picture": "binary",
                "markets": "list<string>",
                "nothing": "string",
            },
            references={
                "artists": Reference("artist_ids", "artist"),
                "album": Reference("album_id", "album"),
                "similar": Reference("similar_ids", "track"),
                "label": Reference("label_name", "label"),
            },
            hot=["artist_ids", "label_name", "title"],
        ),
        "artist": Type(
            key=Key("id", "uuid"),
            fields={"name": "string", **{f"list of {scalar}": f"list<{scalar}>" for scalar in SCALARS}},
            references={"best": Reference("best_id", "track")},
        ),
        "album": Type(
            key=Key("id", "int"),
            fields={"title": "string"},
            references={"parts": Reference("part_hashes", "part")},
        ),
        "label": Type(key=Key("name", "string"), fields={"genres": "list<categorical>", "seals": "list<binary>"}),
        "part": Type(
            key=Key("hash", "bytes"), fields={"size": "uint64"}, references={"whole": Reference("of", "album")}
        ),
    }
)


def base62(number: int) -> str:
    """`number`, below 2^128, as 22 characters."""
    return "".join(ALPHABET[number // 62**place % 62] for place in reversed(range(22)))


def rich_rows(count: int = 40) -> Rows:
    """Rows for `RICH`: all types of fields and keys, nulls, references that dangle and go round, values in the heap."""
    random = Random(count)
    keys: dict[str, list[Any]] = {
        "track": [base62(0), *(base62(random.getrandbits(128)) for _ in range(count - 1))],
        "artist": [str(uuid.UUID(int=random.getrandbits(128))) for _ in range(count)],
        "album": [place**9 - 2**62 for place in range(count)],
        "label": ["", *(text(random, 1 + place) for place in range(count - 1))],
        "part": [random.randbytes(place) for place in range(count)],
    }
    absent: dict[str, list[Any]] = {
        "artist": [str(uuid.UUID(int=place)) for place in range(3)],
        "album": [0, 1],
        "track": [base62(1)],
        "label": ["no label"],
        "part": [b"no part"],
    }

    def one(name: str) -> Any:
        return random.choice(keys[name] * 3 + absent[name] + [None])

    def some(name: str) -> Any:
        return random.choice([None, [], [one(name) for _ in range(random.randrange(1, 5))]])

    def maybe(value: Any) -> Any:
        return value if random.random() < 0.8 else None

    markets = [[text(random, 2) for _ in range(30)] for _ in range(3)]
    return {
        "track": [
            {
                "id": key,
                **{f"of {scalar}": maybe(scalar_value(random, scalar)) for scalar in SCALARS},
                "zoned": maybe(scalar_value(random, "timestamp[us]").replace(tzinfo=UTC)),
                "title": maybe(text(random, random.choice([0, 5, 40, 700]))),
                "genre": maybe(random.choice(["a kind of noise", "another kind of noise"])),
                "picture": maybe(random.randbytes(random.choice([0, 9, 700]))),
                "markets": maybe(random.choice(markets)),
                "nothing": None,
                "artist_ids": some("artist"),
                "album_id": one("album"),
                "similar_ids": some("track"),
                "label_name": one("label"),
            }
            for key in keys["track"]
        ],
        "artist": [
            {
                "id": key,
                "name": maybe(text(random, 12)),
                **{
                    f"list of {scalar}": maybe(
                        [maybe(scalar_value(random, scalar)) for _ in range(random.choice([0, 3, 90]))]
                    )
                    for scalar in SCALARS
                },
                "best_id": one("track"),
            }
            for key in keys["artist"]
        ],
        "album": [{"id": key, "title": text(random, 9), "part_hashes": some("part")} for key in keys["album"]],
        "label": [
            {
                "name": key,
                "genres": maybe([maybe(text(random, 3)) for _ in range(4)]),
                "seals": maybe([maybe(random.randbytes(3)) for _ in range(4)]),
            }
            for key in keys["label"]
        ],
        "part": [{"hash": key, "size": random.getrandbits(64), "of": one("album")} for key in keys["part"]],
    }


def text(random: Random, length: int) -> str:
    return "".join(random.choice('abcdefgh ÅÖ漢🙂"\\\n\x01') for _ in range(length))


def scalar_value(random: Random, scalar: str) -> Any:
    moment = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None) + timedelta(seconds=random.randrange(10**9))
    if scalar in WIDTHS:
        sign, bits = WIDTHS[scalar]
        return random.randrange(2**bits) - (0 if sign else 2 ** (bits - 1))
    values: dict[str, Any] = {
        "bool": random.random() < 0.5,
        "float32": random.choice([0.0, -1.5, 2.0**100]),
        "float64": random.uniform(-1e300, 1e300),
        "date": date.fromordinal(random.randrange(1, date.max.toordinal())),
    }
    return values.get(scalar, moment)


def contents(folder: Path) -> dict[str, bytes]:
    """All files below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ways(types: Mapping[str, Any], name: str, depth: int) -> Iterator[str]:
    """All that can be selected of the type `name`, through at most `depth` references."""
    yield types[name]["key"]["field"]
    for field in types[name]["fields"]:
        yield field["name"]
        if depth and "reference" in field:
            through = field["reference"]
            yield from (f"{through['name']}.{way}" for way in ways(types, through["type"], depth - 1))


def readings(
    catalogue: Catalogue, types: Mapping[str, Any], ids: Mapping[str, list[Any]]
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each thing to be read from a catalogue, with what it is called.

    `types` is of the catalogue's `info()`, and `ids` are looked up.
    """
    for name in types:
        fields = list(ways(types, name, 2))
        yield from ((f"{name}: {what}", read) for what, read in of_type(catalogue, name, fields, ids[name]))


def of_type(
    catalogue: Catalogue, name: str, fields: list[str], ids: list[Any]
) -> Iterator[tuple[str, Callable[[], Any]]]:
    yield "len", lambda: len(catalogue[name])
    yield "keys", lambda: list(catalogue[name])
    yield "decorate", lambda: catalogue[name].decorate(ids)
    yield "decorate through", lambda: catalogue[name].decorate(ids, fields)
    yield "decorate_json", lambda: catalogue[name].decorate_json(ids)
    yield "decorate_json through", lambda: catalogue[name].decorate_json(ids, fields)
    yield "decorate_arrow through", lambda: table(catalogue[name].decorate_arrow(ids, fields))
    yield "records", lambda: [record and dict(record) for record in catalogue[name].select(*fields).records(ids)]
    yield "get", lambda: [record and dict(record) for record in map(catalogue[name].get, ids)]
    yield "stream", lambda: table(catalogue[name])


def table(source: Any) -> pa.Table:
    taken = pa.table(source)
    taken.validate(full=True)
    return taken


def keys_of(rows: Rows, name: str) -> list[Any]:
    """The keys of the type `name`: the first column of its rows."""
    return [next(iter(row.values())) for row in rows[name]]


def answers(catalogue: Catalogue, rows: Rows) -> dict[str, Any]:
    """All that a catalogue answers when asked for the keys of `rows`, by what is asked; equal for equal catalogues."""
    ids = {name: keys_of(rows, name) for name in rows}
    return {name: read() for name, read in readings(catalogue, catalogue.info()["types"], ids)}
