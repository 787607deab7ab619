"""Updates by key, and compaction: the records are those that should be, in as many files as it takes."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import bedeck
from bedeck import (
    Key,
    NotFoundError,
    Producer,
    Reference,
    Schema,
    SchemaError,
    SourceError,
    Type,
)
from bedeck.store import LocalStore
from cycles import SCHEMA, held, keyed, rows
from stores import contents


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def producer(store: LocalStore) -> Producer:
    return Producer(store, SCHEMA)


# Updates


def test_an_update_replaces_adds_and_deletes_by_key(store: LocalStore, producer: Producer):
    producer.cycle(rows())
    upserts = [{"id": 5, "title": "other", "artist_ids": ["a1"]}, {"id": 900, "title": "new"}]
    cycle = producer.update({"track": upserts}, {"track": [7, 8, 12345], "artist": ["a19"]})
    track = cycle.types["track"]
    assert (track.rows, track.records, track.added, track.removed, track.changed) == (2, 199, 1, 2, 1)
    assert cycle.types["artist"].removed == 1
    expected = keyed(rows()["track"])
    expected |= {5: upserts[0], 900: {**upserts[1], "artist_ids": None}}
    assert held(store) == {key: of for key, of in expected.items() if key not in {7, 8}}
    assert bedeck.open(store.path)["track"].decorate([19], ["artists.name"]) == [
        {"artists": [None, {"name": "name 5"}]}
    ]
    head = store.head()
    assert head is not None
    assert head.details["how"] == "update"


def test_an_update_without_an_effect_is_not_announced(store: LocalStore, producer: Producer):
    producer.cycle(rows())
    assert producer.update({"track": rows()["track"][:3]}, {"track": [12345], "artist": []}).unchanged
    assert producer.update().unchanged
    assert store.entries() == [1]


def test_an_update_that_is_too_much_makes_new_bases(store: LocalStore):
    said: list[str] = []
    producer = Producer(store, SCHEMA, say=said.append)
    producer.cycle(rows())
    upserts = rows(tracks=90, tag=" again")["track"]
    cycle = producer.update({"track": iter(upserts)}, {"track": [150, 151]})
    track = cycle.types["track"]
    assert (track.kind, track.added, track.removed, track.changed) == ("anew", 0, 2, 90)
    expected = keyed(rows()["track"]) | keyed(upserts)
    assert held(store) == {key: of for key, of in expected.items() if key not in {150, 151}}
    assert any("new bases are needed" in text for text in said)
    assert any(re.search(r'type "track" gets a new base, .*: [\d,]+ bytes', text) for text in said)
    head = store.head()
    assert head is not None
    assert head.details["sources"]["track"][0]["rows"] == 90
    assert head.details["sources"]["artist"] == []


@pytest.mark.parametrize("kind", ["uuid", "base62", "string", "int", "bytes"])
def test_keys_of_any_kind_are_deleted_whether_or_not_there_are_new_bases(store: LocalStore, kind: Any):
    of = {
        "uuid": lambda n: f"00000000-0000-0000-0000-{n:012x}",
        "base62": lambda n: f"{n:022}",
        "string": lambda n: f"k{n}",
        "int": lambda n: n,
        "bytes": lambda n: bytes([n]),
    }[kind]
    producer = Producer(store, Schema({"a": Type(Key("id", kind))}), compact_share=0.5)
    producer.cycle({"a": [{"id": of(n), "n": n} for n in range(100)]})
    producer.update({"a": [{"id": of(3), "n": 33}]}, {"a": [of(1), of(2)]})
    keys = [of(n) for n in range(40, 90)]
    producer.update(
        {"a": pa.table({"id": keys[:25], "n": range(25)})},
        {"a": pa.array(keys[25:])},
        allow={"record-count": "a test"},
    )
    records = bedeck.open(store.path)["a"]
    assert len(records) == 100 - 2 - 25
    assert records.decorate([of(n) for n in (1, 2, 3, 40, 64, 65, 89, 90)]) == [
        None,
        None,
        {"n": 33},
        {"n": 0},
        {"n": 24},
        None,
        None,
        {"n": 90},
    ]


def test_uuids_are_deleted_however_they_are_written(store: LocalStore):
    keys = [f"00000000-0000-0000-0000-{n:011x}A" for n in range(20)]
    producer = Producer(store, Schema({"a": Type(Key("id", "uuid"))}))
    producer.cycle({"a": [{"id": key, "n": 0} for key in keys]})
    producer.update({"a": [{"id": key.upper(), "n": 1} for key in keys[:10]]}, {"a": [keys[11].lower(), keys[12]]})
    assert sorted(record["n"] for record in bedeck.open(store.path)["a"].values()) == [0] * 8 + [1] * 10


def test_an_update_needs_whole_records_of_files(store: LocalStore, producer: Producer):
    producer.cycle(rows())
    with pytest.raises(SchemaError, match='there is no column "artist_ids"'):
        producer.update({"track": pa.table({"id": [1], "title": ["x"]})})
    cycle = producer.update({"track": pa.table({"id": [1], "title": ["x"], "artist_ids": [["a1"]], "n": [7]})})
    assert cycle.types["track"].changed == 1
    assert bedeck.open(store.path)["track"].decorate([0, 1], ["n", "title"]) == [
        {"n": None, "title": "title 0"},
        {"n": 7, "title": "x"},
    ]


def test_an_update_has_the_types_that_are_announced(store: LocalStore, producer: Producer):
    with pytest.raises(NotFoundError, match=r"nothing is announced yet .*run a cycle with all sources first"):
        producer.update({"track": []})
    producer.cycle(rows())
    more = Schema({**SCHEMA.types, "album": Type("id")})
    with pytest.raises(SchemaError, match=r'type "album" is new: .*run a cycle with all sources first'):
        Producer(store, more).update({"album": [{"id": 1}]})
    with pytest.raises(SchemaError, match='type "track" is not in the schema any more'):
        Producer(store, Schema({"artist": Type(Key("id", "string"))})).update({"artist": []})
    with pytest.raises(SchemaError, match="deletes: there is no type 'tracks'"):
        producer.update(deletes={"tracks": [1]})
    with pytest.raises(TypeError, match="deletes: keys are expected, in an iterable, not 'a1'"):
        producer.update(deletes={"artist": "a1"})
    assert Producer(store, more).update({"artist": [{"id": "a77", "name": "x"}]}).version == 2


def test_what_is_updated_and_deleted_at_once_is_refused(producer: Producer):
    producer.cycle(rows())
    with pytest.raises(SourceError, match='type "track": key 5 is both given and deleted'):
        producer.update({"track": [{"id": 5, "title": "x"}]}, {"track": [4, 5]})


def test_updates_keep_aliases(store: LocalStore, producer: Producer):
    schema = Schema(
        {
            "track": Type("id", references={"artists": Reference("artist_ids", "artist")}, renamed={"title": "name"}),
            "artist": Type("id"),
        }
    )
    producer = Producer(store, schema)
    producer.cycle(rows())
    producer.update({"track": [{"id": 5, "title": "x"}]})
    producer.compact()
    assert bedeck.open(store.path)["track"].decorate([5], ["name"]) == [{"name": "x"}]


# Compaction


def test_a_compaction_has_the_same_records_in_new_bases(store: LocalStore, tmp_path: Path):
    said: list[str] = []
    producer = Producer(store, SCHEMA, say=said.append)
    with pytest.raises(NotFoundError, match="nothing is announced yet that could be compacted"):
        producer.compact()
    producer.cycle(rows())
    producer.update({"track": [{"id": 5, "title": "x"}, {"id": 500, "title": "y"}]}, {"track": [7]})
    before = held(store)
    assert said == []
    cycle = producer.compact(annotations={"why": "a test"})
    assert cycle.version == 3
    assert {(of.kind, of.added, of.removed, of.changed) for of in cycle.types.values()} == {("anew", 0, 0, 0)}
    assert [text.split(":")[0] for text in said] == [
        'type "artist" gets a new base, which consumers fetch anew',
        'type "track" gets a new base, which consumers fetch anew',
    ]
    assert held(store) == before
    manifest = store.manifest(store.resolve())
    assert [len(of["layers"]) for of in manifest["types"].values()] == [1, 1]
    bedeck.build(SCHEMA, tmp_path / "built", {"track": list(before.values()), "artist": rows()["artist"]})
    assert contents(store.path / "blobs").items() >= contents(tmp_path / "built" / "blobs").items()
    assert producer.compact().unchanged
