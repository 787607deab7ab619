"""Makes the golden store of the format that bedeck writes: `python tests/golden/make.py tests/golden/format-1`.

Made once for each version of the format, and never again: what was written then has to be read for ever, so a folder
that is there already is refused. It holds a store of four versions, and the answers that their rows ask for:

1. bases of every type of field and every kind of key, and what is not hot aside
2. overlays: records changed, removed and new, and references that begin and cease to lead somewhere
3. a group: one field that changed everywhere
4. a field more, one that is wider, one with another name

`answers.json` has, by version and type, the fields, the keys, and a record for each as `decorate_json` prints it,
worked out here from the rows alone.
"""

import base64
import datetime as dt
import json
import random
import sys
import uuid
from pathlib import Path
from typing import Any

import bedeck

Row = dict[str, Any]
Rows = dict[str, list[Row]]

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
DAY = dt.date(2020, 2, 29)
TEXTS = ['say "hi"\\', "tab\tand\nline", "\x01 control", "Björk Guðmundsdóttir", "久石譲 🎹", "", "z" * 300]
FIELDS = {
    "track": {
        "explicit": "bool",
        "popularity": "uint8",
        "track_number": "int16",
        "duration_ms": "uint32",
        "balance": "int8",
        "loudness": "float32",
        "gain": "float64",
        "released": "date",
        "added": "timestamp[us,UTC]",
        "label": "categorical",
        "cover": "binary",
        "tags": "list<string>",
        "peaks": "list<int32>",
    },
    "artist": {"followers": "uint64", "born": "date", "seen": "timestamp[ns]"},
    "album": {"year": "uint16", "offset": "int64", "discs": "list<uint8>"},
    "print": {"score": "float64"},
}


REFERENCES = {
    "track": {
        "artists": ("artist_ids", "artist", "name"),
        "album": ("album_id", "album", "title"),
        "market": ("market_id", "market", "open"),
        "print": ("print_id", "print", "score"),
    },
    "artist": {"like": ("like_ids", "artist", "name")},
    "album": {"single": ("single_id", "track", "popularity")},
}
ABSENT = "00000000-0000-0000-0000-00000000dead"


def schema(**of_track: Any) -> bedeck.Schema:
    more: dict[str, dict[str, Any]] = {"track": {"hot": ("title", "artist_ids", "album_id"), **of_track}}
    types = {}
    for name in ("track", "artist", "album", "market", "print"):
        references = {
            step: bedeck.Reference(column, target) for step, (column, target, _) in REFERENCES.get(name, {}).items()
        }
        given = {"fields": FIELDS.get(name, {}), "references": references, **more.get(name, {})}
        types[name] = bedeck.Type("id", **given)
    return bedeck.Schema(types, namespace="golden")


def key(rng: random.Random) -> str:
    return "0" + "".join(rng.choices(DIGITS, k=21))


def maybe(rng: random.Random, value: Any) -> Any:
    return None if rng.random() < 0.1 else value


def first() -> Rows:
    rng = random.Random(1)
    artists = [str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(120)]
    albums, tracks = [*range(-5, 94), 2**62], [key(rng) for _ in range(400)]
    prints, markets = [rng.randbytes(n % 40 + 1) + bytes([n]) for n in range(90)], [f"market {n}" for n in range(30)]
    return {
        "track": [track(rng, id_, artists, albums, markets, prints) for id_ in tracks],
        "artist": [
            {
                "id": id_,
                "name": rng.choice(TEXTS) + f" {n}",
                "followers": maybe(rng, rng.getrandbits(64)),
                "born": maybe(rng, DAY + dt.timedelta(days=rng.randrange(-9_000, 9_000))),
                "seen": maybe(rng, dt.datetime(2021, 5, 6, 7, 8, 9, rng.randrange(10**6))),  # noqa: DTZ001 - naive
                "like_ids": rng.sample(artists, rng.randrange(4)),
            }
            for n, id_ in enumerate(artists)
        ],
        "album": [
            {
                "id": id_,
                "title": f"Album {id_}",
                "year": maybe(rng, rng.randrange(1900, 2026)),
                "offset": rng.randrange(-(2**63), 2**63),
                "discs": maybe(rng, [rng.randrange(256) for _ in range(rng.randrange(3))]),
                "single_id": maybe(rng, rng.choice(tracks)),
            }
            for id_ in albums
        ],
        "market": [{"id": id_, "open": rng.random() < 0.5} for id_ in markets],
        "print": [{"id": id_, "score": rng.choice([0.1, -0.0, 1e300, 5e-324, 3.0])} for id_ in prints],
    }


def track(  # noqa: PLR0913, PLR0917 - what it refers to
    rng: random.Random, id_: str, artists: list[str], albums: list[int], markets: list[str], prints: list[bytes]
) -> Row:
    return {
        "id": id_,
        "title": rng.choice(TEXTS) + id_[:4],
        "explicit": maybe(rng, rng.random() < 0.5),
        "popularity": maybe(rng, rng.randrange(101)),
        "track_number": rng.randrange(-3, 40),
        "duration_ms": maybe(rng, rng.getrandbits(32)),
        "balance": rng.randrange(-128, 128),
        "loudness": maybe(rng, rng.choice([-7.5, 0.25, 1.0, -60.0])),
        "gain": rng.random(),
        "released": maybe(rng, DAY + dt.timedelta(days=rng.randrange(9_000))),
        "added": maybe(rng, dt.datetime(2024, 1, 2, 3, 4, 5, rng.randrange(10**6), dt.UTC)),
        "label": maybe(rng, rng.choice(["Warp", "Ninja Tune", 'La"bel'])),
        "cover": maybe(rng, rng.randbytes(rng.randrange(40))),
        "tags": maybe(rng, [maybe(rng, f"tag {rng.randrange(50)}") for _ in range(rng.randrange(5))]),
        "peaks": [rng.randrange(-(2**31), 2**31) for _ in range(rng.randrange(3))],
        "notes": maybe(rng, f"{id_} " * rng.randrange(20)),
        "artist_ids": rng.sample([*artists, ABSENT], rng.randrange(4)),
        "album_id": maybe(rng, rng.choice([*albums, 777])),
        "market_id": maybe(rng, rng.choice(markets)),
        "print_id": maybe(rng, rng.choice(prints)),
    }


def second(rows: Rows) -> Rows:
    rng = random.Random(2)
    tracks, artists, albums = ([*rows[name]] for name in ("track", "artist", "album"))
    for place in range(0, 24, 2):
        tracks[place] = {**tracks[place], "title": f"changed {place}", "notes": None, "album_id": 777}
    artists[3] = {**artists[3], "name": "another name", "like_ids": [ABSENT]}
    dead = {**artists[4], "id": ABSENT, "name": "no longer dangling"}
    new = [{**tracks[200], "id": key(rng), "title": f"new {n}"} for n in range(6)]
    lucky = {**albums[9], "id": 777, "title": "lucky"}
    return {
        **rows,
        "track": [*tracks[:-7], *new],
        "artist": [*artists[:50], *artists[52:], dead],
        "album": [*albums[:20], *albums[21:], lucky],
    }


def third(rows: Rows) -> Rows:
    rng = random.Random(3)
    return {**rows, "track": [{**row, "popularity": maybe(rng, rng.randrange(101))} for row in rows["track"]]}


def fourth(rows: Rows) -> Rows:
    rng = random.Random(4)
    tracks = [{"name" if name == "title" else name: row[name] for name in row} for row in rows["track"]]
    for row in tracks:
        row |= {"energy": maybe(rng, rng.randrange(256)), "track_number": row["track_number"] * 1_000}
    return {**rows, "track": tracks}


def printed(value: Any, name: str) -> Any:
    """As JSON has it."""
    match value:
        case list():
            return [printed(item, name) for item in value]
        case bytes():
            return base64.b64encode(value).decode()
        case dt.datetime():
            text = value.replace(tzinfo=None).isoformat(timespec="microseconds")
            return text + ("000Z" if name == "seen" else "Z")
        case dt.date():
            return value.isoformat()
        case _:
            return value


def answers(rows: Rows) -> dict[str, Any]:
    """What a catalogue of these rows answers: of every record its key, all its fields, and names through references."""
    by_key = {name: {row["id"]: row for row in of_type} for name, of_type in rows.items()}
    found: dict[str, Any] = {}
    for name, of_type in rows.items():
        steps = REFERENCES.get(name, {})
        records = []
        for row in of_type:
            record = {field: printed(value, field) for field, value in row.items()}
            for step, (column, target, field) in steps.items():
                ids = row[column]
                led = [by_key[target].get(id_) for id_ in (ids if isinstance(ids, list) else [ids])]
                named = [to and {field: printed(to[field], field)} for to in led]
                record[step] = named if isinstance(ids, list) else named[0]
            records.append(record)
        fields = [*of_type[0], *(f"{step}.{field}" for step, (_, _, field) in steps.items())]
        found[name] = {"fields": fields, "records": records}
    return found


def newest() -> bedeck.Schema:
    wider = {**FIELDS["track"], "track_number": "int32", "energy": "uint8"}
    return schema(fields=wider, renamed={"name": "title"}, hot=("name", "artist_ids", "album_id"))


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir()
    versions, schemas = [first()], [schema()] * 3
    for become in (second, third, fourth):
        versions.append(become(versions[-1]))
    schemas.append(newest())
    unbounded = dict.fromkeys(("record-count", "changed-records", "dangling-references", "null-share"), 1.0)
    for rows, declared in zip(versions, schemas, strict=True):
        cycle = bedeck.Producer(folder / "store", declared, validators=unbounded).cycle(dict(rows))
        sys.stderr.write(f"{cycle.version}: { ({name: of_type.kind for name, of_type in cycle.types.items()}) }\n")
    found = {str(version): answers(rows) for version, rows in enumerate(versions, 1)}
    (folder / "answers.json").write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
