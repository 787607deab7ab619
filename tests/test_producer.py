"""Cycles of a producer: what is announced, what is not, and what the log tells of it."""

import re
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
    DanglingReferenceError,
    Key,
    Producer,
    Reference,
    Schema,
    SchemaError,
    SourceError,
    Type,
)
from bedeck.store import LocalStore
from cycles import SCHEMA, Rows, held, keyed, rows
from small import scratch
from stores import contents


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def producer(store: LocalStore) -> Producer:
    return Producer(store, SCHEMA)


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
