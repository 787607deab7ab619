"""Lists of ids in, answers out: what stands in each place, in Python, in JSON and in Arrow."""

import array
import datetime as dt
import itertools
import json
import math
import random
import struct
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bedeck
from bedeck import (
    Catalogue,
    DeadlineError,
    Key,
    MissingKeyError,
    Records,
    Reference,
    Schema,
    SelectionError,
    SourceError,
    Type,
)
from oracle import read_json, read_table
from small import make
from strategies import base62

TRACKS = [
    {"id": "t1", "title": "One", "artist_ids": ["a1", "a2"], "album_id": "b1", "next": "t2"},
    {"id": "t2", "title": 'Two "2"', "artist_ids": [], "album_id": "gone", "next": "t2"},
    {"id": "t3", "title": None, "artist_ids": None, "album_id": None, "next": None},
    {"id": "t4", "title": "", "artist_ids": ["a2", None, "gone", "a2"], "album_id": "b2", "next": "t1"},
]
ARTISTS = [
    {"id": "a1", "name": "Ann", "similar_ids": ["a2", "a1"], "best_id": "t1"},
    {"id": "a2", "name": "Bo", "similar_ids": ["a1"], "best_id": None},
]
ALBUMS = [
    {"id": "b1", "title": "First", "artist_id": "a1"},
    {"id": "b2", "title": "Second", "artist_id": "gone"},
]


@pytest.fixture(scope="module")
def music() -> Catalogue:
    types = {
        "track": Type(
            "id",
            references={
                "artists": Reference("artist_ids", "artist"),
                "album": Reference("album_id", "album"),
                "next": Reference("next", "track"),
            },
        ),
        "artist": Type(
            "id", references={"similar": Reference("similar_ids", "artist"), "best": Reference("best_id", "track")}
        ),
        "album": Type("id", references={"artist": Reference("artist_id", "artist")}),
    }
    return make(types, {"track": TRACKS, "artist": ARTISTS, "album": ALBUMS})


@pytest.fixture(scope="module")
def tracks(music: Catalogue) -> Records:
    return music["track"]


def in_every_form(records: Records, ids: Any, fields: list[str] | None, **options: Any) -> list[Any]:
    """The answer in Python, which the other forms agree with."""
    answer = records.decorate(ids, fields, **options)
    assert read_json(records.decorate_json(ids, fields, **options)) == answer
    table = read_table(records.decorate_arrow(ids, fields, **options))
    nothing = dict.fromkeys(pa.table(records.decorate_arrow([], fields)).column_names)
    assert table == [nothing if row is None else row for row in answer]
    if fields is not None:
        selection = records.select(*fields)
        assert selection.decorate(ids, **options) == answer
        assert selection.decorate_json(ids, **options) == records.decorate_json(ids, fields, **options)
        assert read_table(selection.decorate_arrow(ids, **options)) == table
        assert [record and dict(record) for record in selection.records(ids, **options)] == answer
    return answer


# Places


def test_each_id_has_its_place_duplicates_included(tracks: Records):
    ids = ["t2", "nope", "t1", "t2", "", "t1"]
    two, one = {"title": 'Two "2"'}, {"title": "One"}
    assert in_every_form(tracks, ids, ["title"]) == [two, None, one, two, None, one]


def test_answers_of_duplicates_are_not_shared(tracks: Records):
    first, second = tracks.decorate(["t1", "t1"], ["artists.name", "artist_ids"])
    first["artists"][0]["name"] = "changed"
    first["artist_ids"].clear()
    assert second == {"artists": [{"name": "Ann"}, {"name": "Bo"}], "artist_ids": ["a1", "a2"]}


def test_missing_ids_are_null_or_dropped_or_an_error(tracks: Records):
    ids = ["t1", "nope", "t2", "nil"]
    one, two = {"next": "t2"}, {"next": "t2"}
    assert in_every_form(tracks, ids, ["next"], missing="null") == [one, None, two, None]
    assert in_every_form(tracks, ids, ["next"], missing="drop") == [one, two]
    assert in_every_form(tracks, ["t1", "t2"], ["next"], missing="error") == [one, two]
    select = tracks.select("next")
    for call in (tracks.decorate, tracks.decorate_json, tracks.decorate_arrow, select.records):
        with pytest.raises(MissingKeyError, match=r"^ids\[1\]: 'nope' is not in type \"track\""):
            call(ids, missing="error")
        with pytest.raises(MissingKeyError, match=r"^ids\[200\]"):
            call([*["t1"] * 200, "nope"], missing="error")
        with pytest.raises(MissingKeyError, match=r"^ids\[1\]"):
            call(iter(ids), missing="error")
        with pytest.raises(ValueError, match=r'missing=.ignore.: expected "null", "drop" or "error"'):
            call(ids, missing="ignore")
        with pytest.raises(ValueError, match='missing=None: expected "null", "drop" or "error"'):
            call(ids, missing=None)


def test_nothing_asked_for_is_nothing_answered(tracks: Records):
    assert in_every_form(tracks, [], ["title", "artists.name"]) == []
    assert tracks.decorate_json([]) == b"[]"
    table = pa.table(tracks.decorate_arrow([], ["id", "artists.name"]))
    artists = pa.list_(pa.struct([("name", pa.string())]))
    assert table.schema == pa.schema([("id", pa.string()), ("artists", artists)])
    assert in_every_form(tracks, ["nope"] * 3, [], missing="drop") == []


@pytest.mark.parametrize("length", [1, 127, 128, 129, 12_883])
def test_lists_of_any_length_keep_their_order(tracks: Records, length: int):
    ids = random.Random(length).choices([*(row["id"] for row in TRACKS), "nope"], k=length)
    titles = {row["id"]: {"title": row["title"], "album": row["album_id"]} for row in TRACKS}
    albums = {"b1": {"title": "First"}, "b2": {"title": "Second"}}
    expected = [titles[key] | {"album": albums.get(titles[key]["album"])} if key in titles else None for key in ids]
    assert in_every_form(tracks, ids, ["title", "album.title"]) == expected


def test_a_million_ids():
    records = make({"a": Type("id")}, {"a": [{"id": n, "n": n * n} for n in range(1000)]})["a"]
    ids = np.random.default_rng(1).integers(0, 1001, 1_000_000)
    answers = [*({"n": n * n} for n in range(1000)), None]
    expected = [answers[n] for n in ids.tolist()]
    assert records.decorate(ids) == expected
    assert json.loads(records.decorate_json(ids)) == expected
    table = pa.table(records.decorate_arrow(ids, ["id", "n"]))
    assert table["id"].to_pylist() == [None if n == 1000 else n for n in ids.tolist()]
    assert table["n"].to_pylist() == [row and row["n"] for row in expected]
    assert len(records.decorate_json(ids, missing="drop")) < len(records.decorate_json(ids))


# Selections


def test_no_fields_named_are_all_of_the_type_itself_but_not_its_key(tracks: Records):
    assert in_every_form(tracks, ["t4"], None) == [{name: value for name, value in TRACKS[3].items() if name != "id"}]
    assert tracks.decorate(["t4"]) == tracks.decorate(["t4"], None)


def test_fields_come_in_the_order_asked_for_and_once(tracks: Records):
    asked = ["next", "id", "album.title", "title", "next", "album.id", "album.title", "id"]
    (answer,) = in_every_form(tracks, ["t1"], asked)
    assert list(answer) == ["next", "id", "album", "title"]
    assert list(answer["album"]) == ["title", "id"]
    expected = b'[{"next":"t2","id":"t1","album":{"title":"First","id":"b1"},"title":"One"}]'
    assert tracks.decorate_json(["t1"], asked) == expected
    assert tracks.decorate(["t1"], (name for name in asked)) == [answer]


def test_no_field_at_all_is_an_empty_record(tracks: Records):
    assert tracks.decorate(["t1", "nope"], []) == [{}, None]
    assert tracks.decorate_json(["t1", "nope"], []) == b"[{},null]"
    assert pa.table(tracks.decorate_arrow(["t1", "nope"], [])).num_rows == 2


def test_references_are_followed_to_any_depth(tracks: Records):
    assert in_every_form(tracks, ["t1"], ["album.artist.best.album.artist.name"]) == [
        {"album": {"artist": {"best": {"album": {"artist": {"name": "Ann"}}}}}}
    ]
    ann = {"similar": [{"name": "Bo"}, {"name": "Ann"}]}
    bo = {"similar": [{"name": "Ann"}]}
    assert in_every_form(tracks, ["t1", "t4"], ["artists.similar.similar.name", "artists.id"]) == [
        {"artists": [{"similar": [bo, ann], "id": "a1"}, {"similar": [ann], "id": "a2"}]},
        {"artists": [{"similar": [ann], "id": "a2"}, None, None, {"similar": [ann], "id": "a2"}]},
    ]


def test_records_that_refer_to_themselves_are_followed_as_far_as_asked(tracks: Records):
    (answer,) = in_every_form(tracks, ["t2"], ["next.next.next.next.next.id"])
    for _ in range(5):
        answer = answer["next"]
    assert answer == {"id": "t2"}
    deep = ".".join(["next"] * 60 + ["title"])
    innermost = b'{"title":"Two \\"2\\""}'
    assert tracks.decorate_json(["t4"], [deep]) == b"[" + b'{"next":' * 60 + innermost + b"}" * 60 + b"]"


TOO_DEEP = """
import bedeck, sys
records = bedeck.open(sys.argv[1])["a"]
for call in (records.decorate, records.decorate_json, records.decorate_arrow):
    for depth in (10_000, 100_000, 1_000_000):
        try:
            call([1], ["up." * depth + "id"])
        except bedeck.SelectionError:
            print("refused")
"""


def test_a_way_too_long_to_follow_is_refused(tmp_path: Path):
    schema = Schema({"a": Type("id", references={"up": Reference("up", "a")})})
    bedeck.build(schema, tmp_path / "store", {"a": [{"id": 1, "up": 1}]})
    run = subprocess.run([sys.executable, "-c", TOO_DEEP, tmp_path / "store"], capture_output=True, text=True)  # noqa: PLW1510, S603
    assert (run.returncode, run.stdout.split()) == (0, ["refused"] * 9), run.stderr


def test_a_reference_that_leads_nowhere_is_none_and_its_key_is_kept(tracks: Records):
    fields = ["artists.name", "artist_ids", "album.title", "album_id"]
    assert in_every_form(tracks, ["t2", "t3", "t4"], fields) == [
        {"artists": [], "artist_ids": [], "album": None, "album_id": "gone"},
        {"artists": None, "artist_ids": None, "album": None, "album_id": None},
        {
            "artists": [{"name": "Bo"}, None, None, {"name": "Bo"}],
            "artist_ids": ["a2", None, "gone", "a2"],
            "album": {"title": "Second"},
            "album_id": "b2",
        },
    ]
    assert in_every_form(tracks, ["t4"], ["album.artist.best.title"]) == [{"album": {"artist": None}}]


def test_the_keys_and_the_records_of_a_reference_can_stand_side_by_side(tracks: Records):
    assert in_every_form(tracks, ["t1"], ["album.artist_id", "album.artist.name"]) == [
        {"album": {"artist_id": "a1", "artist": {"name": "Ann"}}}
    ]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (["titel"], '"titel": type "track" has no "titel"; it has id, title'),
        (["artists.nam"], 'type "artist" has no "nam"'),
        (["title.x"], '"title.x": "title" of type "track" is string and has no fields; select "title"$'),
        (["album.id.x"], '"album.id.x": "id" of type "album" is the key and has no fields; select "album.id"$'),
        (["nothing.x"], '"nothing.x": type "track" has no "nothing"; it has id, title'),
        (["album_id.title"], '"album_id" of type "track" is a column, not a reference; .*: "album.title"$'),
        (["next.artist_ids.best.title"], '"artist_ids" of type "track" is a column, .*: "next.artists.best.title"$'),
        (["album"], r'"album" of type "track" is a reference to type "album"; select a field of it'),
        (["next", "next.title"], 'both the keys and the records of "next"'),
        ([""], "has no"),
        (["."], "has no"),
        (["artists."], "has no"),
        ([".title"], "has no"),
        (["\ud800"], "has no"),
    ],
)
def test_what_cannot_be_selected_is_an_error(tracks: Records, fields: list[str], why: str):
    for call in (lambda: tracks.decorate([], fields), lambda: tracks.select(*fields)):
        with pytest.raises(SelectionError, match=why):
            call()


def test_fields_are_a_list_of_names(tracks: Records):
    with pytest.raises(TypeError, match=r"a list of names, not one string: \['title'\]"):
        tracks.decorate(["t1"], "title")
    with pytest.raises(TypeError):
        tracks.decorate(["t1"], [1])


def test_a_type_that_is_not_there_is_an_error(music: Catalogue):
    with pytest.raises(SelectionError, match="there is no type 'trak'; the catalogue has album, artist, track"):
        music["trak"]


def test_a_reference_may_be_called_as_its_column():
    types = {"a": Type("id", references={"up": Reference("up", "a")})}
    records = make(types, {"a": [{"id": 1, "up": 2}, {"id": 2, "up": 3}]})["a"]
    assert in_every_form(records, [1, 2], None) == [{"up": 2}, {"up": 3}]
    assert in_every_form(records, [1, 2], ["up.id"]) == [{"up": {"id": 2}}, {"up": None}]


# Deadlines


def test_a_deadline_ends_a_list(tracks: Records):
    calls = (tracks.decorate, tracks.decorate_json, tracks.decorate_arrow, tracks.select("title").records)
    for call in calls:
        for passed in (0, time.monotonic() - 1, -math.inf):
            with pytest.raises(DeadlineError, match=r"is a time of time\.monotonic\(\), not a duration"):
                call(["t1"], deadline=passed)
        for ahead in (time.monotonic() + 600, math.inf, 1e300, None):
            assert len(call(["t1"], deadline=ahead)) > 0
        with pytest.raises((ValueError, DeadlineError)):
            call(["t1"], deadline=math.nan)


def test_a_deadline_is_looked_at_between_slices():
    records = make({"a": Type("id")}, {"a": [{"id": 1, "n": ["x" * 1000] * 1000}]})["a"]
    with pytest.raises(DeadlineError):  # 100 GB, had it to be completed
        records.decorate_json([1] * 100_000, deadline=time.monotonic() + 0.05)


# Ids

NUMBERS = [0, 1, 61, 62**21, (1 << 128) - 1]
KEYS = {
    "base62": [base62(number) for number in NUMBERS],
    "uuid": [str(uuid.UUID(int=number)) for number in NUMBERS],
    "int": [-(1 << 63), -1, 0, 5, (1 << 63) - 1],
    "unsigned": [0, 1, 5, 1 << 63, (1 << 64) - 1],
    "string": ["", "x", "Blåbär 😀", "\0", "k" * 65_535],
    "bytes": [b"", b"x", b"\0", b"\0\0\xff", b"k" * 65_535],
}
COLUMNS = {"int": pa.int64(), "unsigned": pa.uint64(), "bytes": pa.binary()}


@pytest.fixture(scope="module")
def keyed() -> Catalogue:
    def source(kind: str) -> pa.Table:
        return pa.table({"id": column(kind, KEYS[kind]), "place": range(len(KEYS[kind]))})

    kinds = {kind: "int" if kind == "unsigned" else kind for kind in KEYS}
    return make({of: Type(Key("id", kind)) for of, kind in kinds.items()}, {of: source(of) for of in KEYS})


def binary(ids: Iterable[str]) -> list[bytes]:
    return [key.encode() for key in ids]


def column(kind: str, ids: list[Any]) -> pa.Array:
    return pa.array(ids, COLUMNS.get(kind, pa.string()))


def chunked(kind: str, ids: list[Any]) -> pa.ChunkedArray:
    return pa.chunked_array([column(kind, part) for part in (ids[:2], [], ids[2:])])


FORMS: list[tuple[str, str, Callable[[list[Any]], Any]]] = [
    *((kind, "list", list) for kind in KEYS),
    *((kind, "tuple", tuple) for kind in KEYS),
    *((kind, "generator", iter) for kind in KEYS),
    *((kind, "deque", deque) for kind in KEYS),
    *((kind, "dict", dict.fromkeys) for kind in KEYS),
    *((kind, "keys", lambda ids: dict.fromkeys(ids).keys()) for kind in KEYS),
    *((kind, "numpy of objects", lambda ids: np.array(ids, object)) for kind in KEYS),
    *((kind, "arrow", partial(column, kind)) for kind in KEYS),
    *((kind, "slice of arrow", lambda ids, kind=kind: column(kind, [*ids, *ids])[5:10]) for kind in KEYS),
    *((kind, "chunked arrow", partial(chunked, kind)) for kind in KEYS),
    *((kind, "table's column", lambda ids, kind=kind: pa.table({"x": chunked(kind, ids)})["x"]) for kind in KEYS),
    *((kind, "arrow dictionary", lambda ids, kind=kind: column(kind, ids).dictionary_encode()) for kind in KEYS),
    *((kind, "chunked dictionary", lambda ids, kind=kind: chunked(kind, ids).dictionary_encode()) for kind in KEYS),
    *(
        (kind, name, lambda ids, name=name: pa.array(ids, getattr(pa, name)()))
        for kind in ("base62", "uuid", "string")
        for name in ("large_string", "string_view")
    ),
    *(
        (kind, name, lambda ids, name=name: pa.array(binary(ids), getattr(pa, name)()))
        for kind in ("base62", "uuid", "string")
        for name in ("binary", "large_binary", "binary_view")
    ),
    *(
        ("bytes", name, lambda ids, name=name: pa.array(ids, getattr(pa, name)()))
        for name in ("binary", "large_binary", "binary_view")
    ),
    *((kind, "bytes", binary) for kind in ("base62", "uuid", "string")),
    *((kind, "numpy of text", np.array) for kind in ("base62", "uuid")),
    *((kind, "numpy of bytes", lambda ids: np.array(binary(ids))) for kind in ("base62", "uuid")),
    ("base62", "arrow of fixed size", lambda ids: pa.array(binary(ids), pa.binary(22))),
    ("uuid", "uuid.UUID", lambda ids: [uuid.UUID(key) for key in ids]),
    ("uuid", "16 bytes", lambda ids: [uuid.UUID(key).bytes for key in ids]),
    ("uuid", "numpy of 16 bytes", lambda ids: np.array([uuid.UUID(key).bytes for key in ids], "V16")),
    ("uuid", "arrow of 16 bytes", lambda ids: pa.array([uuid.UUID(key).bytes for key in ids], pa.binary(16))),
    ("uuid", "arrow uuid", lambda ids: pa.array([uuid.UUID(key).bytes for key in ids], pa.uuid())),
    ("uuid", "upper case", lambda ids: [key.upper() for key in ids]),
    ("uuid", "without hyphens", lambda ids: [key.replace("-", "") for key in ids]),
    ("bytes", "bytearray", lambda ids: [bytearray(key) for key in ids]),
    ("int", "numpy", np.array),
    ("int", "numpy scalars", lambda ids: list(np.array(ids))),
    ("int", "every second of numpy", lambda ids: np.repeat(np.array(ids), 2)[::2]),
    ("int", "array", lambda ids: array.array("q", ids)),
    ("int", "memoryview", lambda ids: memoryview(array.array("q", ids))),
    ("unsigned", "numpy", lambda ids: np.array(ids, np.uint64)),
    ("unsigned", "array", lambda ids: array.array("Q", ids)),
]


@pytest.mark.parametrize(("kind", "make_ids"), [pytest.param(k, f, id=f"{k} as {name}") for k, name, f in FORMS])
def test_ids_may_come_in_any_form(keyed: Catalogue, kind: str, make_ids: Callable[[list[Any]], Any]):
    answer = keyed[kind].decorate(make_ids(KEYS[kind]), ["place", "id"])
    assert answer == [{"place": place, "id": key} for place, key in enumerate(KEYS[kind])]
    assert read_json(keyed[kind].decorate_json(make_ids(KEYS[kind]), ["place"])) == [{"place": n} for n in range(5)]
    assert pa.table(keyed[kind].decorate_arrow(make_ids(KEYS[kind]), ["place"]))["place"].to_pylist() == list(range(5))


@pytest.mark.parametrize("kind", ["int", "unsigned"])
@pytest.mark.parametrize("name", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_integers_of_any_width_are_ids(keyed: Catalogue, kind: str, name: str):
    edges = [0, 5, int(np.iinfo(name).min), int(np.iinfo(name).max)]
    expected = [{"place": KEYS[kind].index(key)} if key in KEYS[kind] else None for key in edges]
    for ids in (edges, np.array(edges, name), list(np.array(edges, name)), pa.array(edges, getattr(pa, name)())):
        assert keyed[kind].decorate(ids) == expected


@pytest.mark.parametrize("kind", KEYS)
def test_nulls_of_arrow_are_misses(keyed: Catalogue, kind: str):
    key = KEYS[kind][1]
    for ids in (pa.array([key, None]), pa.chunked_array([[key, None]])):
        assert keyed[kind].decorate(ids) == [{"place": 1}, None]
    assert keyed[kind].decorate(pa.nulls(2)) == [None, None]


@pytest.mark.parametrize("kind", KEYS)
def test_no_ids_of_any_form(keyed: Catalogue, kind: str):
    for ids in ([], (), set(), iter(()), np.array([]), column(kind, []), pa.chunked_array([[]]), pa.array([])):
        assert keyed[kind].decorate(ids) == []


MALFORMED: dict[str, list[Any]] = {
    "base62": [
        "",
        "0" * 21,
        "0" * 23,
        "0" * 44,
        "0" * 21 + "-",
        "0" * 21 + "\0",
        "0" * 20 + "é",
        "\u0660" * 22,
        " " + "0" * 21,
        "7N42dgm5tFLK9N8MT7fHC8",
        "7N42dgm5tFLK9N8MT7fHD0",
        "80000000000000000000" + "00",
        "Z" * 22,
        "spotify:track:" + "0" * 22,
        b"",
        b"\0" * 16,
        b"\xff" * 22,
        "\ud800" * 22,
    ],
    "uuid": [
        "",
        "0" * 31,
        "0" * 33,
        "0" * 36,
        "g" * 32,
        "{00000000-0000-0000-0000-000000000000}",
        "urn:uuid:00000000-0000-0000-0000-000000000000",
        "00000000-0000-0000-0000_000000000000",
        "0000000-00000-0000-0000-000000000000",
        "00000000-0000-0000-0000-00000000000",
        "00000000-0000-0000-0000-00000000000\n",
        b"",
        b"0" * 15,
        b"0" * 17,
        "\ud800" * 32,
        uuid.UUID(int=2),
    ],
    "int": [-(1 << 63) - 1, 1 << 63, 1 << 64, (1 << 64) - 1, (1 << 64) + 5, 10**100, -(10**100)],
    "unsigned": [-1, -(1 << 63), 1 << 64, (1 << 64) + 5, 10**100, -(10**100)],
    "string": ["y", "X", "x ", "x\0", "\0\0", "k" * 65_534, "k" * 65_536, "k" * 200_000, "\ud800", b"\xff", "Blabar"],
    "bytes": [b"y", b"\0\0", b"\0\0\xff\0", b"k" * 65_534, b"k" * 65_536, bytearray(b"y")],
}


@pytest.mark.parametrize("kind", KEYS)
def test_malformed_ids_are_misses(keyed: Catalogue, kind: str):
    records, ids = keyed[kind], MALFORMED[kind]
    assert records.decorate(ids) == [None] * len(ids)
    assert [records.get(key) for key in ids] == [None] * len(ids)
    assert not any(key in records for key in ids)
    assert records.decorate([KEYS[kind][0], *ids, KEYS[kind][1]], missing="drop") == [{"place": 0}, {"place": 1}]


@given(st.data())
def test_only_keys_are_hits(keyed: Catalogue, data: st.DataObject):
    number = data.draw(st.sampled_from(NUMBERS)) ^ (1 << data.draw(st.integers(0, 127)))
    signed = data.draw(st.sampled_from(KEYS["int"])) ^ (1 << data.draw(st.integers(0, 62)))
    for kind, key in {
        "base62": base62(number),
        "uuid": str(uuid.UUID(int=number)),
        "int": signed,
        "string": data.draw(st.text(max_size=3)),
        "bytes": data.draw(st.binary(max_size=3)),
    }.items():
        expected = {"place": KEYS[kind].index(key)} if key in KEYS[kind] else None
        assert keyed[kind].decorate([key]) == [expected]


NO_KEYS: dict[str, list[Any]] = {
    "base62": [None, 1, True, 1.0, ["x"], {}, uuid.UUID(int=0), object(), np.int64(1), bytearray(b"0" * 22)],
    "uuid": [None, 1, False, 1.5, (1,), dt.date.min, np.float64(1)],
    "int": [None, True, False, 1.0, "1", b"1", [1], np.True_, np.float32(1), Decimal(1), uuid.UUID(int=5)],
    "unsigned": [None, True, 1.0, "1", b"1", math.nan],
    "string": [None, 1, True, 1.0, ["x"], uuid.UUID(int=0)],
    "bytes": [None, 1, True, "x", [120], object()],
}


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, keys in NO_KEYS.items() for key in keys])
def test_what_cannot_be_a_key_is_a_type_error_that_names_its_place(keyed: Catalogue, kind: str, key: Any):
    records = keyed[kind]
    good = KEYS[kind][1]
    select = records.select("place")
    for call in (records.decorate, records.decorate_json, records.decorate_arrow, select.records):
        for ids in ([good] * 150 + [key], iter([good] * 150 + [key]), (*[good] * 150, key)):
            with pytest.raises(TypeError, match=rf"^ids\[150\]: {type(key).__name__}"):
                call(ids)


@pytest.mark.parametrize("kind", KEYS)
def test_one_key_is_no_list(keyed: Catalogue, kind: str):
    for key in ("x", b"x", KEYS["base62"][0]):
        with pytest.raises(TypeError, match="a list of keys, not one key"):
            keyed[kind].decorate(key)
    for key in (None, 5, 1.0, object()):
        with pytest.raises(TypeError):
            keyed[kind].decorate(key)


def test_columns_of_the_wrong_kind_are_type_errors(keyed: Catalogue):
    wrong = [
        ("int", np.array([1.0])),
        ("int", np.array([True])),
        ("int", np.array([[1]])),
        ("int", np.array(1)),
        ("int", np.array(["1"])),
        ("int", pa.array([1.0])),
        ("int", pa.array([True])),
        ("int", pa.array(["1"])),
        ("int", pa.array([[1]])),
        ("int", np.array(["2020-01-01"], "datetime64[D]")),
        ("bytes", pa.array(["x"])),
        ("string", pa.array([1])),
        ("uuid", np.array([1])),
    ]
    for kind, ids in wrong:
        with pytest.raises(TypeError, match="ids"):
            keyed[kind].decorate(ids)


def test_errors_of_an_iterable_stay_what_they_are(tracks: Records):
    def ids() -> Iterable[str]:
        yield "t1"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tracks.decorate(ids())
    with pytest.raises(MemoryError):
        tracks.decorate_json(itertools.chain(["t1"], Failing()))


class Failing:
    def __iter__(self) -> Any:
        raise MemoryError


# Values

MOMENT = dt.datetime(2024, 2, 29, 23, 59, 59, 999_999)  # noqa: DTZ001 - a wall-clock time


def of_values(type_: str, values: list[Any], arrow: pa.DataType | None = None) -> Records:
    """A type with a field `v`, of which record i has values[i]."""
    source = pa.table({"id": pa.array(range(len(values))), "v": pa.array(values, arrow)})
    return make({"a": Type("id", fields={"v": type_})}, {"a": source})["a"]


def as_json(records: Records) -> list[str]:
    """The texts of `v` in JSON, byte for byte."""
    texts = [records.decorate_json([key], ["v"]).decode() for key in range(len(records))]
    assert all(text.startswith('[{"v":') and text.endswith("}]") for text in texts)
    assert records.decorate_json(range(len(records)), ["v"]).decode() == f"[{','.join(text[1:-1] for text in texts)}]"
    return [text[len('[{"v":') : -len("}]")] for text in texts]


def as_python(records: Records) -> list[Any]:
    return [row["v"] for row in records.decorate(range(len(records)), ["v"])]


def test_text_in_json_is_escaped_no_more_than_needed():
    texts = [chr(code) for code in range(0x120)] + ["\u2028", "\u2029", "\ufeff", "\uffff", "😀", '"\\/\b\f\n\r\t', ""]
    texts += ["a" * 300 + '"' + "b" * 300, "\\u0041", "\\", '\\"', "\x00" * 100]
    for type_ in ("string", "categorical"):
        records = of_values(type_, texts)
        assert as_python(records) == texts
        assert as_json(records) == [json.dumps(text, ensure_ascii=False) for text in texts]
    lists = of_values("list<string>", [[text, text] for text in texts])
    assert as_json(lists) == [json.dumps([text, text], ensure_ascii=False, separators=(",", ":")) for text in texts]


def test_names_in_json_are_escaped():
    names = ['"', "\\", "\n", "é😀", "\x1f", " ", "x" * 300]
    records = make({"a": Type("id\n")}, {"a": [{"id\n": 1, **dict.fromkeys(names, 2)}]})["a"]
    expected = {"id\n": 1, **dict.fromkeys(names, 2)}
    assert (
        records.decorate_json([1], ["id\n", *names])
        == json.dumps([expected], ensure_ascii=False, separators=(",", ":")).encode()
    )
    assert pa.table(records).to_pylist() == [expected]


def test_keys_in_json(keyed: Catalogue):
    def json_keys(kind: str) -> Any:
        return [row["id"] for row in json.loads(keyed[kind].decorate_json(KEYS[kind], ["id"]))]

    for kind in ("base62", "uuid", "int", "unsigned", "string"):
        assert json_keys(kind) == KEYS[kind]
    assert json_keys("bytes")[:4] == ["", "eA==", "AA==", "AAD/"]


@pytest.mark.parametrize(
    ("type_", "edges"),
    [
        *((f"int{bits}", [-1 << bits - 1, -1, 0, 1, (1 << bits - 1) - 1]) for bits in (8, 16, 32, 64)),
        *((f"uint{bits}", [0, 1, (1 << bits) - 1]) for bits in (8, 16, 32, 64)),
    ],
)
def test_integers_are_written_in_full(type_: str, edges: list[int]):
    records = of_values(type_, [*edges, None], getattr(pa, type_)())
    assert as_python(records) == [*edges, None]
    assert as_json(records) == [*map(str, edges), "null"]


def test_booleans():
    records = of_values("bool", [True, False, None])
    assert [type(value) for value in as_python(records)] == [bool, bool, type(None)]
    assert as_json(records) == ["true", "false", "null"]


FLOATS = [0.0, -0.0, 0.1, 1 / 3, 1e16, 123456789.0, 1e300, -1e-300, 5e-324, 2.0**-1074, 1.7976931348623157e308]


def test_double_precision_is_written_shortest():
    records = of_values("float64", FLOATS)
    assert [struct.pack("<d", value) for value in as_python(records)] == [struct.pack("<d", value) for value in FLOATS]
    written = as_json(records)
    assert [float(text) for text in written] == FLOATS
    assert written[1].startswith("-0")
    assert [digits(text) for text in written] == [digits(repr(value)) for value in FLOATS]


def test_single_precision_is_written_shortest_and_read_exactly():
    singles = [np.float32(value) for value in (*FLOATS[:6], 1e38, 1e-45, 1.1754944e-38, 16777216, 33554432, 9.5e-7)]
    records = of_values("float32", [float(single) for single in singles], pa.float32())
    assert as_python(records) == [float(single) for single in singles]
    assert as_python(records)[2] == 0.10000000149011612
    written = as_json(records)
    assert written[2] == "0.1"
    assert [np.float32(text) for text in written] == singles
    assert [digits(text) for text in written] == [digits(str(single)) for single in singles]


def digits(text: str) -> tuple[int, tuple[int, ...], Any]:
    return tuple(Decimal(text).normalize().as_tuple())


@pytest.mark.parametrize("type_", ["float32", "float64"])
def test_numbers_that_json_does_not_know_are_null(type_: str):
    values = [math.nan, math.inf, -math.inf, 1.0]
    assert as_json(of_values(type_, values)) == ["null", "null", "null", as_json(of_values(type_, [1.0]))[0]]
    assert str(as_python(of_values(type_, values))) == str(values)
    lists = of_values(f"list<{type_}>", [values])
    assert json.loads(as_json(lists)[0]) == [None, None, None, 1.0]
    assert str(as_python(lists)) == str([values])


def test_dates_are_written_with_four_digits():
    dates = [dt.date.min, dt.date(999, 1, 1), dt.date(1969, 12, 31), dt.date(1970, 1, 1), dt.date(2024, 2, 29)]
    dates.append(dt.date.max)
    records = of_values("date", [*dates, None])
    assert as_python(records) == [*dates, None]
    assert [type(value) for value in as_python(records)[:6]] == [dt.date] * 6
    assert as_json(records) == [*(f'"{date.isoformat()}"' for date in dates), "null"]
    assert as_json(records)[0] == '"0001-01-01"'
    assert as_json(records)[5] == '"9999-12-31"'


@pytest.mark.parametrize(
    ("unit", "fraction"), [("s", ""), ("ms", ".999"), ("us", ".999999"), ("ns", ".999999999")], ids=str
)
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Stockholm", "America/St_Johns"])
def test_timestamps_are_rfc_3339_in_utc(unit: str, fraction: str, zone: str | None):
    per_second = 10 ** max(len(fraction) - 1, 0)
    seconds = int(MOMENT.replace(tzinfo=dt.UTC).timestamp())
    ticks = [(seconds + 1) * per_second - 1, 0, -1, None]
    type_ = f"timestamp[{unit},{zone}]" if zone else f"timestamp[{unit}]"
    records = of_values(type_, ticks, pa.timestamp(unit, zone))
    nothing = fraction.replace("9", "0")
    clocks = (f"2024-02-29T23:59:59{fraction}Z", f"1970-01-01T00:00:00{nothing}Z", f"1969-12-31T23:59:59{fraction}Z")
    assert as_json(records) == [*(f'"{clock}"' for clock in clocks), "null"]
    first, epoch, last, null = as_python(records)
    micros = int((fraction[1:] + "000000")[:6])
    if zone is None:
        assert (first, epoch) == (MOMENT.replace(microsecond=micros), dt.datetime(1970, 1, 1))  # noqa: DTZ001
        assert first.tzinfo is None
    else:
        assert first == MOMENT.replace(microsecond=micros, tzinfo=dt.UTC)
        assert first.utcoffset() == first.astimezone(ZoneInfo(zone)).utcoffset()
        assert str(first.tzinfo) == zone
        assert last == dt.datetime(1969, 12, 31, 23, 59, 59, micros, dt.UTC)
    assert null is None
    assert pa.table(records.decorate_arrow([0], ["v"])).schema.field("v").type == pa.timestamp(unit, zone)
    assert pa.table(records.decorate_arrow(range(4), ["v"]))["v"].cast(pa.int64()).to_pylist() == ticks


def test_timestamps_at_the_ends_of_the_calendar():
    ends = [dt.datetime.min, dt.datetime.max]  # noqa: DTZ901 - wall-clock times
    records = of_values("timestamp[us]", ends)
    assert as_python(records) == ends
    assert as_json(records) == ['"0001-01-01T00:00:00.000000Z"', '"9999-12-31T23:59:59.999999Z"']
    aware = of_values("timestamp[us,UTC]", ends, pa.timestamp("us", "UTC"))
    assert as_python(aware) == [end.replace(tzinfo=dt.UTC) for end in ends]


def test_a_wall_clock_beyond_the_calendar_is_refused():
    with pytest.raises(SourceError, match="row 0"):  # 0:59 on the first of January 10000
        of_values("timestamp[s,Europe/Stockholm]", [253_402_300_799], pa.timestamp("s", "Europe/Stockholm"))
    for type_, unit in ((pa.date32(), "date"), (pa.timestamp("s"), "timestamp[s]")):
        ends = [-719_163, 2_932_897] if unit == "date" else [-62_135_596_801, 253_402_300_800]
        for end in ends:
            with pytest.raises(SourceError, match=rf'row 1.*field "v".*{end}.*declare it int'):
                of_values(unit, [0, end], type_)


def test_a_repeated_hour_is_told_apart():
    ends = [dt.datetime(2024, 10, 27, hour, 30, tzinfo=dt.UTC) for hour in (0, 1)]
    found = as_python(of_values("timestamp[s,Europe/Stockholm]", ends, pa.timestamp("s", "Europe/Stockholm")))
    assert [moment.isoformat() for moment in found] == ["2024-10-27T02:30:00+02:00", "2024-10-27T02:30:00+01:00"]
    assert [moment.fold for moment in found] == [0, 1]


def test_bytes_are_base64():
    values = [b"", b"\0", b"\xfb\xff", b"abc", bytes(range(256)) * 4, None]
    records = of_values("binary", values)
    assert as_python(records) == values
    assert as_json(records)[:4] == ['""', '"AA=="', '"+/8="', '"YWJj"']
    assert as_json(of_values("list<binary>", [[b"\0", None, b""]])) == ['["AA==",null,""]']


def test_dangling_keys_are_written_like_keys():
    kinds = {"base62": ["nope", base62(1)], "int": [-7], "string": ['"\n', "x" * 70_000], "bytes": [b"\xff\xfe"]}
    kinds["uuid"] = [str(uuid.UUID(int=7)).upper(), "nope"]
    printed = {**kinds, "uuid": [str(uuid.UUID(int=7)), "nope"]}
    types = {kind: Type(Key("id", kind)) for kind in kinds}
    types["a"] = Type("id", references={f"{kind}s": Reference(kind, kind) for kind in kinds})
    columns = {kind: pa.array([keys], pa.list_(column(kind, keys).type)) for kind, keys in kinds.items()}
    sources = {kind: pa.table({"id": column(kind, KEYS[kind])}) for kind in kinds}
    records = make(types, sources | {"a": pa.table({"id": [1], **columns})})["a"]
    assert records.decorate([1], list(kinds)) == [printed]
    assert json.loads(records.decorate_json([1], list(kinds))) == [{**printed, "bytes": ["//4="]}]
    assert read_table(records.decorate_arrow([1], list(kinds))) == [printed]
    assert records.decorate([1], ["uuids.id", "bytess.id"]) == [{"uuids": [None, None], "bytess": [None]}]
