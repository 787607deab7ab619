"""Several producers of one store, and of stores elsewhere: each announces on what the other announced."""

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import bedeck
from bedeck import (
    BusyError,
    Producer,
)
from bedeck._objects.remote import RemoteObjects
from bedeck.store import LocalStore, Store
from cycles import SCHEMA, Rows, held, rows


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def producer(store: LocalStore) -> Producer:
    return Producer(store, SCHEMA)


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
