"""Cycles of a producer: what is announced, what is not, and what the log tells of it."""

import re
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bedeck
from bedeck import (
    BusyError,
    DanglingReferenceError,
    Key,
    NotFoundError,
    Producer,
    Reference,
    Schema,
    SchemaError,
    SourceError,
    Type,
)
from bedeck._objects.remote import RemoteObjects
from bedeck.store import LocalStore, Store
from small import scratch
from stores import contents

Rows = list[dict[str, Any]]

SCHEMA = Schema(
    {
        "track": Type(Key("id", "int"), references={"artists": Reference("artist_ids", "artist")}),
        "artist": Type(Key("id", "string")),
    }
)


def rows(tracks: int = 200, artists: int = 20, tag: str = "") -> dict[str, Rows]:
    return {
        "track": [
            {"id": n, "title": f"title {n}{tag}", "artist_ids": [f"a{n % artists}", f"a{n % 7}"]} for n in range(tracks)
        ],
        "artist": [{"id": f"a{n}", "name": f"name {n}{tag}"} for n in range(artists)],
    }


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def producer(store: LocalStore) -> Producer:
    return Producer(store, SCHEMA)


def held(store: LocalStore, name: str = "track") -> dict[Any, dict[str, Any]]:
    """All records of what is served."""
    records = bedeck.open(store.path)[name]
    return {key: dict(records[key]) for key in records}


def keyed(rows: Rows) -> dict[Any, dict[str, Any]]:
    return {row["id"]: row for row in rows}


# Full cycles


def test_a_first_cycle_announces_all_there_is(store: LocalStore, producer: Producer):
    cycle = producer.cycle(rows())
    assert (cycle.version, cycle.parent, cycle.unchanged, cycle.attempts) == (1, None, False, 1)
    assert held(store) == keyed(rows()["track"])
    track = cycle.types["track"]
    assert (track.kind, track.rows, track.records, track.added, track.removed, track.changed) == (
        "anew",
        200,
        200,
        200,
        0,
        0,
    )
    assert cycle.bytes == sum(path.stat().st_size for path in (store.path / "blobs").iterdir())


def test_a_cycle_writes_only_what_changed(store: LocalStore, producer: Producer):
    producer.cycle(rows())
    now = rows()
    now["track"][3]["title"] = "another"
    now["track"].append({"id": 1000, "title": "new", "artist_ids": None})
    del now["track"][7]
    before = {path.name for path in (store.path / "blobs").iterdir()}
    cycle = producer.cycle(now)
    assert (cycle.version, cycle.parent) == (2, 1)
    track, artist = cycle.types["track"], cycle.types["artist"]
    assert (track.kind, track.added, track.removed, track.changed) == ("over", 1, 1, 1)
    assert track.fields["title"].changed == 1
    assert track.fields["artist_ids"].changed == 0
    assert (artist.kind, artist.bytes) == ("kept", 0)
    assert held(store) == keyed(now["track"])
    (written,) = {path.name for path in (store.path / "blobs").iterdir()} - before
    assert (store.path / "blobs" / written).stat().st_size == cycle.bytes < 4000
    assert bedeck.open(store.path, version=1)["track"].decorate([3], ["title"]) == [{"title": "title 3"}]


def test_nothing_new_is_not_announced(store: LocalStore, producer: Producer):
    producer.cycle(rows())
    before = contents(store.path)
    for again in (rows(), {name: reversed(of) for name, of in rows().items()}):
        cycle = producer.cycle(again)
        assert (cycle.version, cycle.parent, cycle.unchanged, cycle.bytes) == (None, 1, True, 0)
    assert contents(store.path) == before


def test_what_is_new_in_the_schema_alone_is_announced_without_a_blob(store: LocalStore, producer: Producer):
    producer.cycle(rows())
    track = Type(
        Key("id", "int"),
        references={"artists": Reference("artist_ids", "artist")},
        renamed={"name": "title"},
    )
    now = rows()
    now["track"] = [{"name" if name == "title" else name: of for name, of in row.items()} for row in now["track"]]
    cycle = Producer(store, Schema({"track": track, "artist": SCHEMA.types["artist"]})).cycle(now)
    assert (cycle.version, cycle.bytes) == (2, 0)


def test_a_catalogue_toml_names_sources_from_its_own_folder(tmp_path: Path, store: LocalStore):
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "data" / "a.parquet")
    toml = tmp_path / "catalogue.toml"
    toml.write_text('[type.a]\nsource = "data/*.parquet"\nkey = "id"\n')
    assert Producer(store.path, toml).cycle().types["a"].records == 2
    assert Producer(str(store.path), str(toml)).cycle().unchanged


def test_fields_and_keys_that_nobody_declares_stay_what_they_were(store: LocalStore):
    schema = Schema({"a": Type("id")})
    first = pa.table({"id": ["x", "y"], "n": pa.array([1, 2], pa.int32()), "text": ["a", "b"]})
    Producer(store, schema).cycle({"a": first})
    narrow = pa.table({"id": ["0" * 22, "y" * 22], "n": pa.array([1, 2], pa.int8()), "text": pa.nulls(2)})
    Producer(store, schema).cycle({"a": narrow})
    assert pa.table(bedeck.open(store.path)["a"]).schema == first.schema
    wide = pa.table({"id": ["x"], "n": pa.array([1 << 40]), "text": ["a"]})
    Producer(store, schema).cycle({"a": wide})
    assert pa.table(bedeck.open(store.path)["a"]).schema.field("n").type == pa.int64()


def test_a_build_and_cycles_take_turns(store: LocalStore, producer: Producer):
    bedeck.build(SCHEMA, store.path, rows())
    assert producer.cycle(rows()).unchanged
    assert producer.cycle(rows(tag="!"), allow={"changed-records": "a test"}).version == 2
    assert bedeck.build(SCHEMA, store.path, rows()).version == 3
    assert held(store) == keyed(rows()["track"])


def test_a_rollback_is_what_the_next_cycle_goes_on_from(store: LocalStore, producer: Producer):
    producer.cycle(rows())
    producer.cycle(rows(tracks=201))
    store.rollback(1, "a test")
    cycle = producer.cycle(rows(tracks=202))
    assert (cycle.version, cycle.parent, cycle.types["track"].added) == (3, 1, 2)
    store.pin(2, "a test")
    cycle = producer.cycle(rows(tracks=203))
    assert (cycle.version, cycle.parent) == (4, 3)
    assert bedeck.open(store.path).version == 2


def test_a_damaged_parent_is_told_and_a_build_heals_it(store: LocalStore, producer: Producer):
    producer.cycle(rows())
    blob = next((store.path / "blobs").glob("track-*"))
    blob.write_bytes(blob.read_bytes()[:-1])
    with pytest.raises(bedeck.DamagedError, match=blob.name):
        producer.cycle(rows(tracks=201))
    bedeck.build(SCHEMA, store.path, rows())
    assert producer.cycle(rows(tracks=201)).types["track"].added == 1


# What the log tells


def test_the_log_tells_who_when_of_what_and_how_much(store: LocalStore, producer: Producer, tmp_path: Path):
    path = tmp_path / "artists.parquet"
    pq.write_table(pa.Table.from_pylist(rows()["artist"]), path)
    producer.cycle({**rows(), "artist": str(path)}, annotations={"ticket": "MUS-7"})
    entry = store.head()
    assert entry is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry.at)
    assert "@" in entry.by
    details = entry.details
    assert details["how"] == "cycle"
    assert details["annotations"] == {"ticket": "MUS-7"}
    assert details["overrides"] == {}
    (of_artists,) = details["sources"]["artist"]
    assert (of_artists["path"], of_artists["bytes"]) == (str(path), path.stat().st_size)
    (of_tracks,) = details["sources"]["track"]
    assert of_tracks["rows"] == 200
    assert re.fullmatch("[0-9a-f]{64}", of_tracks["digest"])
    assert details["counts"]["track"] == {
        "kind": "anew",
        "rows": 200,
        "records": 200,
        "dropped": 0,
        "null_keys": 0,
        "added": 200,
        "removed": 0,
        "changed": 0,
        "bytes": next((store.path / "blobs").glob("track-*")).stat().st_size,
    }


def test_many_files_are_told_in_one(store: LocalStore, tmp_path: Path):
    for n in range(70):
        pq.write_table(pa.table({"id": [n]}), tmp_path / f"{n:02}.parquet")
    Producer(store, Schema({"a": Type("id", str(tmp_path / "*.parquet"))})).cycle()
    head = store.head()
    assert head is not None
    ((told),) = head.details["sources"]["a"]
    assert (told["files"], sorted(told)) == (70, ["bytes", "digest", "files"])


def test_manifests_tell_nothing_of_when_where_or_by_whom(tmp_path: Path):
    for name in ("one", "two"):
        producer = Producer(tmp_path / name, SCHEMA, threads=1 if name == "one" else 3)
        producer.cycle(rows(), annotations={"by": name})
        now = rows()
        now["track"][5]["title"] = "another"
        producer.cycle({of: reversed(now[of]) for of in now} if name == "two" else now)
    assert contents(tmp_path / "one" / "manifests") == contents(tmp_path / "two" / "manifests")
    assert contents(tmp_path / "one" / "blobs") == contents(tmp_path / "two" / "blobs")


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


# Sources


def generated(rows: Rows, fails: type[Exception] | None = None) -> Iterator[dict[str, Any]]:
    yield from rows
    if fails:
        raise fails("half-way")


def test_a_source_that_fails_half_way_announces_nothing(store: LocalStore, producer: Producer):
    producer.cycle(rows())
    before = contents(store.path)
    with pytest.raises(ZeroDivisionError, match="half-way"):
        producer.update({"track": lambda: generated(rows()["track"][:9], ZeroDivisionError)})
    with pytest.raises(ZeroDivisionError, match="half-way"):
        producer.cycle({**rows(), "track": generated(rows(tag="!")["track"], ZeroDivisionError)})
    assert contents(store.path) == before
    assert list((store.path / "tmp").iterdir()) == []


def test_a_file_that_changes_while_it_is_read_is_refused(store: LocalStore, tmp_path: Path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [1, 2]}), path)

    class Meddler:
        def __call__(self, _done: int, _of: int) -> None:
            pq.write_table(pa.table({"id": [1, 2, 3]}), path)

    producer = Producer(store, Schema({"a": Type("id", str(path))}), progress=Meddler())
    with pytest.raises(SourceError, match=r"a\.parquet: it changed while it was read"):
        producer.cycle()
    assert store.entries() == []


def test_rows_without_a_key_are_told_and_can_be_left_out(store: LocalStore):
    schema = Schema({"a": Type(Key("id", "int"))})
    given = [{"id": None if n % 50 == 7 else n, "n": n} for n in range(200)]
    with pytest.raises(bedeck.RefusedError) as raised:
        Producer(store, schema).cycle({"a": given})
    (finding,) = raised.value.findings
    assert (finding.validator, finding.type) == ("null-keys", "a")
    assert "4 of 200 rows have no key (2 %, where 0 % is allowed)" in finding.what
    assert finding.examples == ("<iterable> row 7", "<iterable> row 57", "<iterable> row 107", "<iterable> row 157")
    cycle = Producer(store, schema).cycle({"a": given}, allow={"null-keys": "the label's export"})
    assert (cycle.types["a"].null_keys, cycle.types["a"].rows, cycle.types["a"].records) == (4, 196, 196)


def test_a_strict_type_refuses_dangling_references(store: LocalStore):
    schema = Schema({"a": Type("id", references={"next": Reference("up", "a")}, strict=True)})
    with pytest.raises(DanglingReferenceError):
        Producer(store, schema).cycle({"a": [{"id": 1, "up": 2}]})
    assert store.entries() == []


# Two producers


def test_of_two_producers_the_second_begins_again_with_what_the_first_announced(store: LocalStore):
    said: list[str] = []
    one, other = Producer(store, SCHEMA, say=said.append), Producer(store, SCHEMA)
    one.cycle(rows())
    others = iter([lambda: other.update({"track": [{"id": 901, "title": "other"}]})])

    def interrupted() -> Rows:
        next(others, list)()
        return [{"id": 900, "title": "one"}]

    cycle = one.update({"track": interrupted})
    assert (cycle.version, cycle.parent, cycle.attempts) == (3, 2, 2)
    assert held(store).keys() == {*range(200), 900, 901}
    assert ["begins again" in text for text in said] == [True]


def test_a_source_that_can_be_read_once_only_cannot_begin_again(store: LocalStore):
    one, other = Producer(store, SCHEMA), Producer(store, SCHEMA)
    one.cycle(rows())

    def interrupted() -> Iterator[dict[str, Any]]:
        other.cycle(rows(tracks=201))
        yield from rows(tracks=202)["track"]

    with pytest.raises(BusyError, match=r"the source of track can be read once only.*give a function that makes it"):
        one.cycle({**rows(), "track": interrupted()})
    assert bedeck.open(store.path).version == 2
    table = pa.Table.from_pylist(rows(tracks=203)["track"])
    with pytest.raises(BusyError, match="the source of artist can be read once only"):
        one.cycle(
            {
                "artist": pa.Table.from_pylist(rows()["artist"]).to_reader(),
                "track": lambda: (other.cycle(rows(tracks=204)), table)[1],
            }
        )


def test_who_always_loses_gives_up(store: LocalStore):
    one, other = Producer(store, SCHEMA), Producer(store, SCHEMA)
    one.cycle(rows())
    counts = iter(range(300, 400))

    def interrupted() -> Rows:
        other.cycle(rows(tracks=next(counts)), allow={"record-count": "a test"})
        return rows(tracks=250)["track"]

    with pytest.raises(BusyError, match=r"others have announced a version .* each of 5 times"):
        one.cycle({**rows(), "track": interrupted}, allow={"record-count": "a test", "changed-records": "a test"})
    assert bedeck.open(store.path).version == 6
    assert list((store.path / "tmp").iterdir()) == []


def test_a_pin_meanwhile_is_no_race(store: LocalStore, producer: Producer):
    producer.cycle(rows())

    def interrupted() -> Rows:
        store.pin(1, "a test")
        return rows(tracks=201)["track"]

    cycle = producer.cycle({**rows(), "track": interrupted})
    assert (cycle.version, cycle.attempts) == (2, 1)
    assert bedeck.open(store.path).version == 1


def test_threads_that_publish_at_once_all_do(store: LocalStore):
    Producer(store, SCHEMA).cycle(rows())
    numbers, failures = range(1000, 1006), list[BaseException]()

    def publish(number: int) -> None:
        try:
            while True:
                try:
                    Producer(store, SCHEMA, threads=1).update({"track": [{"id": number, "title": "new"}]})
                except BusyError:
                    continue
                return
        except BaseException as error:  # noqa: BLE001 - told by the thread of the test
            failures.append(error)

    threads = [threading.Thread(target=publish, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert held(store).keys() == {*range(200), *numbers}
    assert [entry.announced.version for entry in store.history()] == [7, 6, 5, 4, 3, 2, 1]


# What may be left out


def test_versions_are_removed_if_asked_for(store: LocalStore):
    producer = Producer(store, SCHEMA, keep=2)
    for tracks in range(200, 205):
        producer.cycle(rows(tracks=tracks))
    assert [of.version for of in store.versions()] == [5, 4]


def test_a_dry_run_does_all_but_announce(store: LocalStore, producer: Producer):
    cycle = producer.cycle(rows(), dry_run=True)
    assert (cycle.version, cycle.dry_run, cycle.types["track"].records) == (None, True, 200)
    assert store.entries() == []
    producer.cycle(rows())
    before = contents(store.path)
    assert producer.update({"track": [{"id": 5, "title": "x"}]}, dry_run=True).types["track"].changed == 1
    with pytest.raises(bedeck.RefusedError):
        producer.cycle(rows(tracks=50), dry_run=True)
    assert contents(store.path) == before
    assert list((store.path / "tmp").iterdir()) == []


def test_progress_is_told(store: LocalStore):
    told: list[tuple[int, int]] = []
    producer = Producer(store, SCHEMA, progress=lambda done, of: told.append((done, of)))
    for each in (rows(), rows(tracks=201)):
        told.clear()
        producer.cycle(each)
        assert told
        assert all(0 <= done <= of for done, of in told)
        assert [done for done, _ in told] == sorted(done for done, _ in told)

    def stop(_done: int, _of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Producer(store, SCHEMA, progress=stop).cycle(rows(tracks=202))
    assert bedeck.open(store.path).version == 2


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        ({"schema": 1}, TypeError, "schema: a Schema or the path of a catalogue.toml is expected, not int"),
        ({"keep": 0}, ValueError, "keep=0: at least 1 is needed, or None for all"),
        ({"compact_share": 2}, ValueError, "compact_share=2: a share from 0 to 1 is expected"),
        ({"threads": 0}, ValueError, "threads=0: at least 1"),
        ({"progress": 1}, TypeError, "progress=1: a function of two numbers is expected, or None"),
        ({"validators": [1]}, TypeError, "validators: a mapping of name to limit or function is expected, not list"),
        ({"validators": {"min-records": print}}, ValueError, "validators: 'min-records' is the name of one"),
        ({"validators": {"min-record": 1}}, SchemaError, 'validator "min-record": there is none of this name; did you'),
    ],
)
def test_arguments_that_cannot_be_are_refused(
    arguments: dict[str, Any], error: type[Exception], why: str, tmp_path: Path
):
    with pytest.raises(error, match=f"^{re.escape(why)}"):
        Producer(**{"store": tmp_path / "store", "schema": SCHEMA, **arguments})
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        ({"sources": []}, TypeError, "sources: a mapping of type to source is expected, not list"),
        ({"annotations": {"a": 1}}, TypeError, "annotations: a mapping of texts to texts is expected"),
        ({"allow": {"min-records": " "}}, ValueError, "allow: min-records needs a reason"),
        ({"allow": {"min-record": "x"}}, ValueError, "there is no validator 'min-record'; did you mean"),
    ],
)
def test_arguments_of_a_cycle_that_cannot_be_are_refused(
    arguments: dict[str, Any], error: type[Exception], why: str, tmp_path: Path
):
    with pytest.raises(error, match=f"^{re.escape(why)}"):
        Producer(tmp_path / "store", SCHEMA).cycle(**{"sources": rows(), **arguments})
    assert not (tmp_path / "store").exists()


# Any sequence of cycles

KEYS = st.integers(0, 12)
VALUES = st.fixed_dictionaries(
    {"n": st.none() | st.integers(-3, 3), "text": st.none() | st.sampled_from(["", "a", '"', "x" * 300])}
)
STEPS = st.one_of(
    st.tuples(st.just("cycle"), st.dictionaries(KEYS, VALUES)),
    st.tuples(st.just("update"), st.dictionaries(KEYS, VALUES, max_size=4), st.sets(KEYS, max_size=4)),
    st.tuples(st.just("compact")),
)


@settings(max_examples=settings.default.max_examples // 2)
@given(st.dictionaries(KEYS, VALUES, min_size=1), st.lists(STEPS, max_size=6), st.sampled_from([0.0, 0.2, 1.0]))
def test_after_any_sequence_of_cycles_the_records_are_what_they_should_be(first: Any, steps: list[Any], share: float):
    schema = Schema({"a": Type(Key("id", "int"), fields={"n": "int8", "text": "string"})})
    lax = dict.fromkeys(("min-records", "record-count", "changed-records", "null-share"), False)
    with scratch() as folder:
        producer = Producer(folder / "store", schema, validators=lax, compact_share=share)
        model = dict(first)
        producer.cycle({"a": [{"id": key, **of} for key, of in model.items()]})
        for step in steps:
            before = dict(model)
            match step:
                case "cycle", now:
                    model = dict(now)
                    cycle = producer.cycle({"a": [{"id": key, **of} for key, of in model.items()]})
                case "update", upserts, deletes:
                    gone = deletes - upserts.keys()
                    model = {key: of for key, of in (model | upserts).items() if key not in gone}
                    cycle = producer.update({"a": [{"id": key, **of} for key, of in upserts.items()]}, {"a": gone})
                case _:
                    cycle = producer.compact()
            records = bedeck.open(folder / "store")["a"]
            assert {key: {"n": of["n"], "text": of["text"]} for key, of in records.items()} == model
            assert step[0] == "compact" or cycle.unchanged == (model == before)
            of = cycle.types["a"]
            changed = {key for key in model.keys() & before.keys() if model[key] != before[key]}
            assert (of.records, of.added, of.removed, of.changed) == (
                len(model),
                len(model.keys() - before.keys()),
                len(before.keys() - model.keys()),
                len(changed),
            )
            assert of.fields["n"].changed == sum(model[key]["n"] != before[key]["n"] for key in changed)
            assert of.fields["n"].nulls == sum(each["n"] is None for each in model.values())


# Stores elsewhere


@pytest.fixture(params=["s3", "azure"])
def away(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store in a bucket, with caches and work folders in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = request.getfixturevalue(request.param)
    return Store(RemoteObjects(f"{place.url}/{secrets.token_hex(8)}/store", **place.options))


def test_a_store_elsewhere_is_published_to_like_a_folder(away: Store, tmp_path: Path):
    producer = Producer(away, SCHEMA)
    assert producer.cycle(rows()).version == 1
    assert producer.cycle(rows()).unchanged
    cycle = producer.update({"track": [{"id": 5, "title": "x"}]}, {"track": [7]})
    assert (cycle.version, cycle.types["track"].kind) == (2, "over")
    with pytest.raises(bedeck.RefusedError):
        producer.cycle(rows(tracks=50))
    assert producer.compact().version == 3
    catalogue = bedeck.open(away)
    assert catalogue["track"].decorate([5, 7, 9], ["title"]) == [{"title": "x"}, None, {"title": "title 9"}]
    assert [path.name for path in tmp_path.glob("bedeck-work-*/*")] == []
    (blobs,) = (tmp_path / "cache" / "bedeck" / "producer").glob("*/blobs")
    assert {path.name for path in blobs.iterdir()} >= set(away.measure(away.manifest(away.resolve())))
    assert producer.cycle(rows()).version == 4
    assert len(list(blobs.iterdir())) <= 4  # of this version and, as it was in use, the one before


def test_what_a_producer_uploaded_it_does_not_download_and_another_one_does(away: Store, tmp_path: Path):
    one, other = Producer(away, SCHEMA), Producer(away, SCHEMA, cache=tmp_path / "other", work=tmp_path / "work")
    one.cycle(rows())
    one.cycle(rows(tracks=201))
    assert (tmp_path / "other").exists() is False
    assert other.cycle(rows(tracks=202)).types["track"].added == 1
    assert other.cycle(rows(tracks=203)).version == 4
    (blobs,) = (tmp_path / "other" / "producer").glob("*/blobs")
    damaged = min(blobs.iterdir())
    damaged.write_bytes(bytes(damaged.stat().st_size))
    assert other.cycle(rows(tracks=204)).version == 5
    assert len(bedeck.open(away)["track"]) == 204


def test_producers_of_a_store_elsewhere_take_turns(away: Store):
    one, other = Producer(away, SCHEMA), Producer(away, SCHEMA)
    one.cycle(rows())
    others = iter([lambda: other.update({"track": [{"id": 901, "title": "other"}]})])

    def interrupted() -> Rows:
        next(others, list)()
        return [{"id": 900, "title": "one"}]

    assert one.update({"track": interrupted}).attempts == 2
    assert bedeck.open(away)["track"].decorate([900, 901], ["title"]) == [{"title": "one"}, {"title": "other"}]
