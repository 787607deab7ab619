"""The log of a store: announcements, pins, roll-backs, each made once, in a folder, in S3 and in Azure."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bedeck._core import blake3
from bedeck._objects.local import LocalObjects
from bedeck.errors import BusyError, DamagedError, NotFoundError, StoreError
from bedeck.log import Entry, Log, Ref
from bedeck.objects import Objects
from bedeck.store import LocalStore, Store
from shelves import announce, make_blob, make_manifest

PATIENCE = 60
REF = Ref(1, "0" * 64)


@pytest.fixture
def store(objects: Objects) -> Store:
    """A store with versions 1 to 3, in a folder, in S3, and in Azure."""
    store = LocalStore(objects.path) if isinstance(objects, LocalObjects) else Store(objects)
    for _ in range(3):
        announce(store)
    return store


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "store")
    for _ in range(3):
        announce(store)
    return store


def again(store: Store) -> Store:
    """The same store, as a process sees it that has not read it before."""
    return LocalStore(store.path) if isinstance(store, LocalStore) else Store(store.objects)


# Announcing


def test_what_is_announced_is_served(store: Store) -> None:
    head = store.head()
    assert head is not None
    assert (head.number, head.kind, head.announced.version, head.pinned) == (3, "announce", 3, None)
    assert store.entries() == [1, 2, 3]
    assert store.resolve() == head.served == head.announced
    assert [store.resolve(version).version for version in (1, 2, 3)] == [1, 2, 3]
    manifest = store.manifest(store.resolve())
    assert manifest["parent"] == store.entry(2).announced.manifest
    assert {store.objects.get(f"blobs/{name}") for name in store.measure(manifest)} == {b"tracks 3", b"artists"}


def test_details_are_kept(store: Store) -> None:
    details = {"sources": {"track": "ö"}, "counts": [1, None, 2.5], "annotations": {}}
    assert announce(store, details=details).details == details
    assert store.entry(4).details == details


def test_a_new_store_has_no_head(objects: Objects) -> None:
    store = Store(objects)
    assert store.head() is None
    assert store.newest() is None
    assert store.entries() == []
    assert store.versions() == []
    for change in (store.resolve, lambda: store.pin(1, "why"), lambda: store.unpin("why"), lambda: store.collect(1)):
        with pytest.raises(NotFoundError, match=f"nothing is announced in {objects.place} yet"):
            change()
    with pytest.raises(NotFoundError, match="no version 1"):
        store.resolve(1)


# Pins and roll-backs


def test_a_pin_goes_before_what_is_announced(store: Store) -> None:
    pin = store.pin(1, "bad titles in 3")
    assert (pin.number, pin.kind, pin.details) == (4, "pin", {"reason": "bad titles in 3"})
    assert (pin.announced.version, pin.served.version) == (3, 1)
    assert announce(store).served.version == 1
    assert store.resolve().version == 1
    assert again(store).resolve().version == 1
    unpin = store.unpin("mended")
    assert (unpin.kind, unpin.details, unpin.pinned, unpin.served.version) == ("unpin", {"reason": "mended"}, None, 4)
    assert store.resolve().version == 4
    assert again(store).resolve().version == 4


def test_a_pin_replaces_a_pin(store: Store) -> None:
    store.pin(1, "this")
    assert store.pin(2, "no, that").served.version == 2


def test_nothing_is_unpinned_where_nothing_is_pinned(store: Store) -> None:
    with pytest.raises(NotFoundError, match=f"nothing is pinned in {store.place}: version 3 is served"):
        store.unpin("why")
    assert store.entries() == [1, 2, 3]


def test_builds_go_on_from_what_was_rolled_back_to(store: Store) -> None:
    entry = store.rollback(1, "2 and 3 are bad")
    assert (entry.kind, entry.announced.version, entry.served.version) == ("rollback", 1, 1)
    assert entry.details == {"reason": "2 and 3 are bad"}
    following = announce(store)
    assert following.announced.version == 4
    assert store.manifest(following.announced)["parent"] == entry.announced.manifest
    assert store.rollback(3, "3 was good").served.version == 3
    assert announce(store).announced.version == 5


def test_a_rollback_leaves_the_pin(store: Store) -> None:
    store.pin(2, "why")
    entry = store.rollback(1, "why")
    assert (entry.announced.version, entry.served.version) == (1, 2)
    assert store.unpin("why").served.version == 1


def test_what_is_announced_is_not_rolled_back_to(store: Store) -> None:
    with pytest.raises(StoreError, match=f"version 3 is what is announced in {store.place}"):
        store.rollback(3, "why")


@pytest.mark.parametrize("change", [Store.pin, Store.rollback])
def test_only_whole_versions_are_gone_back_to(store: Store, change: Callable[[Store, int, str], Entry]) -> None:
    with pytest.raises(NotFoundError, match=f"no version 9 in {store.place}"):
        change(store, 9, "why")
    first = store.manifest(store.resolve(1))
    (name,) = (blob["name"] for of in [first["types"]["track"]["layers"][0]] for blob in [of["blob"]])
    store.objects.put(f"blobs/{name}", b"short")
    with pytest.raises(DamagedError, match=f"blob {store.place}/blobs/{name} has 5 bytes instead of 8"):
        change(store, 1, "why")
    store.objects.delete(f"blobs/{name}")
    with pytest.raises(DamagedError, match=f"blob {name} is missing"):
        change(store, 1, "why")
    store.objects.delete(f"manifests/{store.resolve(2).manifest}.json")
    with pytest.raises(DamagedError, match=rf"manifest {store.resolve(2).manifest} is missing"):
        change(store, 2, "why")
    assert store.entries() == [1, 2, 3]


def test_the_history_is_told_newest_first(store: Store) -> None:
    store.pin(1, "a")
    store.unpin("b")
    store.rollback(2, "c")
    kinds = [(entry.number, entry.kind, entry.details.get("reason")) for entry in store.history()]
    assert kinds[:3] == [(6, "rollback", "c"), (5, "unpin", "b"), (4, "pin", "a")]
    assert kinds[3:] == [(number, "announce", None) for number in (3, 2, 1)]


# Fencing


def build(store: Store, folder: Path, on: Entry | None, tag: str) -> Callable[[], Entry]:
    """A build that began at the entry `on`, and has only to announce."""
    folder.mkdir(parents=True)
    blobs = {"track": [make_blob(folder, "track", tag.encode())]}
    manifest = make_manifest(store, on, blobs)
    return lambda: store.announce(on, manifest, {path.name: path for path in folder.iterdir()})


def test_a_build_that_others_have_overtaken_is_lost(store: Store, tmp_path: Path) -> None:
    finish = build(store, tmp_path / "a", store.head(), "slow")
    announce(store)
    with pytest.raises(BusyError, match=f"another build has announced a version in {store.place} since"):
        finish()
    assert store.entries() == [1, 2, 3, 4]


def test_a_build_during_which_somebody_rolls_back_is_lost(store: Store, tmp_path: Path) -> None:
    finish = build(store, tmp_path / "a", store.head(), "slow")
    store.rollback(1, "why")
    store.rollback(3, "no")  # what is announced is the same again: but it was not all along
    with pytest.raises(BusyError):
        finish()


def test_pins_do_not_matter_to_a_build(store: Store, tmp_path: Path) -> None:
    finish = build(store, tmp_path / "a", store.head(), "slow")
    store.pin(1, "a")
    store.pin(2, "b")
    entry = finish()
    assert (entry.number, entry.announced.version, entry.served.version) == (6, 4, 2)
    finish = build(store, tmp_path / "b", store.head(), "slower")
    store.unpin("c")
    assert finish().served.version == 5


def test_the_first_of_two_first_builds_wins(objects: Objects, tmp_path: Path) -> None:
    store = Store(objects)
    first, second = build(store, tmp_path / "a", None, "a"), build(store, tmp_path / "b", None, "b")
    assert first().number == 1
    with pytest.raises(BusyError):
        second()
    assert store.resolve().version == 1


def at_once(count: int, do: Callable[[int], object]) -> list[object]:
    """What `do` gives, or raises of StoreError, for the numbers below `count`, all of them at once."""
    start = threading.Barrier(count)

    def one(number: int) -> object:
        start.wait(PATIENCE)
        try:
            return do(number)
        except StoreError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_of_many_that_make_the_same_entry_one_does(new_objects: Callable[[], Objects]) -> None:
    for _ in range(5):
        objects = new_objects()
        logs = [Log(objects) for _ in range(8)]
        made = at_once(8, lambda number, logs=logs: logs[number].append(None, "announce", REF, None, {"by": number}))
        (winner,) = (entry for entry in made if entry)
        assert Log(objects).newest() == winner
        assert all(log.head() == winner for log in logs)


def test_of_many_builds_at_once_one_is_announced(store: Store, tmp_path: Path) -> None:
    head = store.head()
    finish = [build(store, tmp_path / str(number), head, f"build {number}") for number in range(8)]
    ends = at_once(8, lambda number: finish[number]())
    (winner,) = (end for end in ends if isinstance(end, Entry))
    assert all(isinstance(end, BusyError) for end in ends if end is not winner)
    assert store.head() == winner
    assert store.entries() == [1, 2, 3, 4]


def test_of_pins_at_once_all_are_made_one_after_the_other(store: Store) -> None:
    made = at_once(6, lambda number: store.pin(number % 3 + 1, f"reason {number}"))
    entries = sorted((entry for entry in made if isinstance(entry, Entry)), key=lambda entry: entry.number)
    assert [entry.number for entry in entries] == list(range(4, 10))
    assert [store.entry(entry.number) for entry in entries] == entries
    assert sorted(entry.details["reason"] for entry in entries) == [f"reason {number}" for number in range(6)]
    assert store.head() == entries[-1]


# Hints


def test_a_hint_is_only_a_hint(store: Store) -> None:
    store.pin(1, "why")
    assert store.objects.get("latest") == b"4\n"
    expected = store.newest()
    for hint in (
        b"1\n",
        b"3",
        b"4\n",
        b"5\n",
        b"9999999999\n",
        b"0",
        b"",
        b"-1",
        b"4 ",
        b"x" * 100,
        b"\xff",
        b"12345678901",
    ):
        store.objects.put("latest", hint)
        assert again(store).head() == expected
        assert again(store).newest() == expected
        assert store.head() == expected
    store.objects.delete("latest")
    assert again(store).head() == again(store).newest() == store.head() == expected
    assert announce(store).number == 5
    assert store.objects.get("latest") == b"5\n"


def test_a_head_goes_on_with_the_log(store: Store) -> None:
    reader = Store(store.objects)
    for number in range(3, 8):
        head = reader.head()
        assert head is not None
        assert head.number == number
        store.pin(1, "why")
        if number % 2:
            store.objects.put("latest", b"1\n")


class Counting:
    """Objects, and what was asked of them."""

    def __init__(self, objects: Objects) -> None:
        self.asked: list[str] = []
        self._objects = objects

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._objects, name)
        if not callable(value):
            return value

        def ask(*arguments: object) -> object:
            self.asked.append(name)
            return value(*arguments)

        return ask


def test_a_poll_of_a_long_log_costs_two_requests(objects: Objects) -> None:
    log = Log(objects)
    entry = None
    for number in range(40):
        entry = log.append(entry, "pin", REF, REF, {"reason": str(number)})
    counting = Counting(objects)
    reader = Log(counting)
    assert reader.head() == entry
    assert counting.asked == ["changed", "get", "get"]
    for _ in range(3):
        counting.asked.clear()
        assert reader.head() == entry
        assert counting.asked == ["changed", "get"]
    counting.asked.clear()
    log.append(entry, "unpin", REF, None, {"reason": ""})
    head = reader.head()
    assert head is not None
    assert head.number == 41
    assert len(counting.asked) <= 3


def test_what_is_near_the_head_is_found_near_the_head(objects: Objects) -> None:
    store = Store(objects)
    entry = None
    for version in range(1, 101):
        entry = store.log.append(entry, "announce", Ref(version, "0" * 64), None, {})
    counting = Counting(objects)
    reader = Store(counting)
    assert reader.resolve(98).version == 98
    assert counting.asked.count("get") <= 8
    counting.asked.clear()
    with pytest.raises(NotFoundError, match=r"no version 101 in .*: the newest that was announced is version 100"):
        reader.resolve(101)
    assert counting.asked == ["list", "get"]
    assert reader.resolve(1).version == 1


# Damage


def damage(data: bytes) -> dict[str, bytes]:
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 4
    return {"flipped": bytes(flipped), "cut": data[: len(data) // 2], "empty": b"", "longer": data + b"\n"}


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "longer"])
def test_a_damaged_head_is_told_to_readers_and_writers_and_changes_nothing(store: Store, how: str) -> None:
    name = "log/0000000003.json"
    whole = store.objects.get(name)
    store.objects.put(name, damage(whole)[how])
    other = again(store)
    for use in (other.head, other.newest, other.resolve, lambda: other.pin(1, "why"), lambda: announce(other)):
        with pytest.raises(DamagedError, match=r"^log entry 3 of .*0000000003\.json\): restore it"):
            use()
    assert other.resolve(2).version == 2
    assert store.entries() == [1, 2, 3]
    store.objects.put(name, whole)
    assert other.resolve().version == 3
    assert announce(other).number == 4


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "longer"])
def test_a_damaged_manifest_is_told_and_a_version_before_can_be_pinned(store: Store, how: str) -> None:
    ref = store.resolve()
    name = f"manifests/{ref.manifest}.json"
    store.objects.put(name, damage(store.objects.get(name))[how])
    with pytest.raises(DamagedError, match=f"^manifest {ref.manifest} of .*checksum"):
        store.manifest(ref)
    assert store.manifest(store.pin(2, "3 is damaged").served)["version"] == 2


def test_nobody_writes_into_a_gap(store: Store) -> None:
    for number in (2, 3):
        store.pin(number, "why")
    store.objects.delete("log/0000000004.json")
    store.objects.put("latest", b"3\n")
    with pytest.raises(DamagedError, match=r"log entry 4 of .* is missing among others"):
        announce(again(store))  # it may have announced a version
    assert store.entries() == [1, 2, 3, 5]
    assert again(store).unpin("why").number == 6


def test_an_entry_that_is_gone_is_told_to_the_build_that_began_there(local: LocalStore, tmp_path: Path) -> None:
    finish = build(local, tmp_path / "a", local.head(), "slow")
    (local.path / "log" / "0000000003.json").unlink()
    with pytest.raises(DamagedError, match=r"log entry 3 of .* is gone"):
        finish()


def test_hostile_details_of_a_collection_are_passed_over(local: LocalStore) -> None:
    announced = {"version": 3, "manifest": local.resolve().manifest}
    entry = {"announced": announced, "at": "", "by": "", "entry": 4, "kind": "collect", "pinned": None}
    for versions in (None, "1", 1, {"1": 1}, [None, "1", [1], {}]):
        line = json.dumps({**entry, "details": {"versions": versions}}).encode()
        (local.path / "log" / "0000000004.json").write_bytes(line + f"\nblake3:{blake3(line)}\n".encode())
        assert local.entry(4).dropped == frozenset()
        assert local.resolve(1).version == 1


# Places


def test_stores_are_told_by_path_and_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = LocalStore(tmp_path / "a store")
    announce(local)
    for where in (tmp_path / "a store", str(tmp_path / "a store"), f"file://{tmp_path}/a%20store", local):
        store = Store.at(where)
        assert isinstance(store, LocalStore)
        assert store.resolve().version == 1
    for url in ("s3://bucket/a/store", "s3://bucket/a/store/", "gs://bucket/a/store", "s3://bucket"):
        monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
        assert Store.at(url).place == url.rstrip("/")
    for url in (
        "http://host/a",
        "s3://",
        "s3:///a",
        "s3://bucket//a",
        "s3://bucket/a?b=c",
        "s3://u:p@bucket/a",
        "memory://x",
    ):
        with pytest.raises(
            StoreError, match="s3://bucket/prefix, gs://bucket/prefix or az://container/prefix is expected"
        ):
            Store.at(url)
    with pytest.raises(StoreError, match=r"cannot use s3://bucket/a: .*regoin"):
        Store.at("s3://bucket/a", regoin="eu-north-1")
