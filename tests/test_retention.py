"""What is kept and what is collected: nothing goes that is served, pinned, kept, or about to be announced."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedeck._core import blake3
from bedeck._objects.local import LocalObjects
from bedeck.errors import DamagedError, NotFoundError
from bedeck.log import Ref, canonical
from bedeck.objects import Objects
from bedeck.retention import GRACE
from bedeck.store import LocalStore, Store
from shelves import announce, blob_names, make_blob, make_manifest
from small import scratch

COUNT = 6
DAY = 24 * 3600


@pytest.fixture
def store(objects: Objects) -> Store:
    """A store with versions 1 to 6, in a folder, in S3, and in Azure."""
    store = LocalStore(objects.path) if isinstance(objects, LocalObjects) else Store(objects)
    for _ in range(COUNT):
        announce(store)
    return store


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "store")
    for _ in range(COUNT):
        announce(store)
    return store


def there(store: Store) -> list[int]:
    """The versions that are whole, ascending; of others none may be found, damaged or not."""
    found = []
    for version in range(1, store.highest(store.newest()) + 1):
        with suppress(NotFoundError):
            store.measure(store.manifest(store.resolve(version)))
            found.append(version)
    return found


def names(store: Store) -> set[str]:
    """The names of blobs and manifests."""
    return {of.name for prefix in ("blobs/", "manifests/") for of in store.objects.scan(prefix)}


def needed(store: Store, versions: list[int]) -> set[str]:
    """The names of the objects that these versions need."""
    manifests = {f"manifests/{store.resolve(version).manifest}.json" for version in versions}
    return manifests.union(*(blob_names(store, version) for version in versions))


def age(store: LocalStore, seconds: float, *names: str) -> None:
    """Have these files be older."""
    for name in names:
        at = (store.path / name).stat().st_mtime - seconds
        os.utime(store.path / name, (at, at))


# What is kept


def test_the_newest_are_kept_and_nothing_else(store: Store) -> None:
    before = needed(store, [1, 2, 3, 4]) - needed(store, [5, 6])
    collected = store.collect(keep=2)
    assert (collected.kept, collected.dropped, collected.spared) == ([6, 5], [4, 3, 2, 1], [])
    assert {of.name for of in collected.objects} == before
    assert collected.bytes == sum(of.size for of in collected.objects) > 4 * len(b"tracks 1")
    assert there(store) == [5, 6]
    assert names(store) == needed(store, [5, 6])
    entry = store.newest()
    assert entry is not None
    assert (entry.kind, entry.details, entry.served.version) == ("collect", {"keep": 2, "versions": [4, 3, 2, 1]}, 6)
    assert announce(store).announced.version == 7


def test_a_dry_run_tells_the_same_and_changes_nothing(store: Store) -> None:
    before, entries = names(store), store.entries()
    told = store.collect(keep=2, dry_run=True)
    assert names(store) == before
    assert store.entries() == entries
    assert store.collect(keep=2) == told


def test_nothing_to_collect_is_no_entry(store: Store) -> None:
    collected = store.collect(keep=COUNT)
    assert (collected.kept, collected.dropped, collected.objects) == ([6, 5, 4, 3, 2, 1], [], [])
    assert store.entries() == list(range(1, COUNT + 1))


def test_what_is_pinned_is_kept_with_all_it_needs(store: Store) -> None:
    store.pin(2, "why")
    assert store.collect(keep=1).kept == [6, 2]
    assert there(store) == [2, 6]
    assert names(store) == needed(store, [2, 6])
    store.unpin("why")
    assert store.collect(keep=1).dropped == [2]
    assert there(store) == [6]


def test_what_is_announced_is_kept_after_a_rollback(store: Store) -> None:
    store.rollback(3, "why")
    assert store.collect(keep=1).kept == [6, 3]
    assert store.resolve().version == 3
    assert there(store) == [3, 6]


def test_more_cannot_be_kept_than_there_is(store: Store) -> None:
    store.collect(keep=2)
    assert store.collect(keep=4).kept == [6, 5]
    for version in (1, 4):
        with pytest.raises(
            NotFoundError, match=rf"version {version} is not kept in {store.place} any more: .*@.* dropped it"
        ):
            store.resolve(version)
        with pytest.raises(NotFoundError, match="is not kept"):
            store.pin(version, "why")
        with pytest.raises(NotFoundError, match="is not kept"):
            store.rollback(version, "why")
    assert [info.version for info in store.versions()] == [6, 5]


def test_a_blob_that_a_kept_version_shares_stays(store: Store) -> None:
    announce(store, b"tracks 1")
    assert blob_names(store, 7) == blob_names(store, 1)
    store.collect(keep=1)
    assert there(store) == [7]


def test_at_least_one_is_kept(store: Store) -> None:
    for keep in (0, -1):
        with pytest.raises(ValueError, match=f"keep={keep}: at least one version"):
            store.collect(keep=keep)
    assert there(store) == [1, 2, 3, 4, 5, 6]


def test_files_of_others_are_left_alone(local: LocalStore) -> None:
    strays = ["blobs/README", "blobs/x.blob~", "manifests/notes.json", "tmp/mine"]
    for name in strays:
        local.objects.put(name, b"mine")
        age(local, 9 * DAY, name)
    local.collect(keep=1)
    assert [local.objects.get(name) for name in strays] == [b"mine"] * len(strays)


# What a build may be about to announce


def upload(store: Store, folder: Path, data: bytes, *, manifest: bool) -> tuple[set[str], Callable[[], Any]]:
    """A build that has sent its blobs, and perhaps its manifest: their names, and how it ends."""
    folder.mkdir()
    on = store.newest()
    blob = make_blob(folder, "track", data)
    made = make_manifest(store, on, {"track": [blob]})
    sent = {f"blobs/{blob['name']}"}
    store.objects.upload(f"blobs/{blob['name']}", folder / blob["name"])
    if manifest:
        text = canonical(made) + b"\n"
        sent.add(f"manifests/{blake3(text)}.json")
        store.objects.put(f"manifests/{blake3(text)}.json", text)
    return sent, lambda: store.announce(on, made, {})


@pytest.mark.parametrize("manifest", [False, True])
def test_what_a_build_has_sent_is_spared(store: Store, tmp_path: Path, *, manifest: bool) -> None:
    sent, finish = upload(store, tmp_path / "build", b"being built", manifest=manifest)
    collected = store.collect(keep=1)
    assert not sent & {of.name for of in collected.objects}
    assert finish().announced.version == 7
    assert there(store) == [6, 7]


@pytest.mark.parametrize("manifest", [False, True])
def test_what_a_dead_build_has_left_goes_in_the_end(local: LocalStore, tmp_path: Path, *, manifest: bool) -> None:
    sent, _ = upload(local, tmp_path / "build", b"never announced", manifest=manifest)
    age(local, GRACE - 600, *sent)
    assert not sent & {of.name for of in local.collect(keep=1).objects}
    age(local, 1200, *sent)
    assert {of.name for of in local.collect(keep=1).objects} == sent
    assert names(local) == needed(local, [6])


def test_without_a_grace_all_goes_that_no_version_needs(store: Store, tmp_path: Path) -> None:
    sent, _ = upload(store, tmp_path / "build", b"never announced", manifest=True)
    assert sent <= {of.name for of in store.collect(keep=1, grace=-DAY).objects}
    assert names(store) == needed(store, [6])


def test_a_blob_that_is_sent_again_is_as_good_as_new(local: LocalStore, tmp_path: Path) -> None:
    old = f"manifests/{local.resolve(1).manifest}.json"
    age(local, 9 * DAY, old, *blob_names(local, 1))
    sent, finish = upload(local, tmp_path / "build", b"tracks 1", manifest=False)
    assert sent <= blob_names(local, 1)
    local.collect(keep=1)
    finish()
    assert there(local) == [6, 7]


def test_a_build_sends_again_what_only_older_versions_have(store: Store) -> None:
    (track,) = blob_names(store, 1) - blob_names(store, 6)
    store.objects.put(track, b"rubbish!")
    announce(store, b"tracks 1")
    assert store.objects.get(track) == b"tracks 1"


def test_a_manifest_that_lost_its_race_goes_at_once(store: Store, tmp_path: Path) -> None:
    sent, _ = upload(store, tmp_path / "build", b"lost", manifest=True)
    announce(store)
    collected = store.collect(keep=1)
    assert collected.kept == [7]
    assert 7 not in collected.dropped
    assert sent <= {of.name for of in collected.objects}
    assert there(store) == [7]


def test_the_clock_of_the_machine_does_not_matter(
    local: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, finish = upload(local, tmp_path / "build", b"being built", manifest=False)
    real = time.time
    for skew in (-10 * 365 * DAY, 10 * 365 * DAY):
        monkeypatch.setattr(time, "time", lambda skew=skew: real() + skew)
        assert {of.name for of in local.collect(keep=1).spared} == sent
    finish()


# Damage, crashes and races


@pytest.mark.parametrize("version", [5, 6])
def test_nothing_goes_where_it_cannot_be_told_what_is_needed(store: Store, version: int) -> None:
    name = f"manifests/{store.resolve(version).manifest}.json"
    whole = store.objects.get(name)
    store.objects.put(name, whole[:-2])
    before, entries = names(store), store.entries()
    with pytest.raises(DamagedError, match="does not match its checksum"):
        store.collect(keep=2)
    assert names(store) == before
    assert store.entries() == entries
    store.objects.put(name, whole)
    assert store.collect(keep=2).kept == [6, 5]


def test_a_missing_manifest_of_what_is_served_is_told(store: Store) -> None:
    store.pin(3, "why")
    store.objects.delete(f"manifests/{store.resolve(3).manifest}.json")
    with pytest.raises(DamagedError, match="is missing"):
        store.collect(keep=1)
    assert needed(store, [1, 2, 4, 5, 6]) <= names(store)


def test_an_entry_that_cannot_be_read_stops_the_collection(store: Store) -> None:
    store.objects.put("log/0000000005.json", b"rubbish")
    with pytest.raises(DamagedError, match="log entry 5"):
        store.collect(keep=3)
    assert len(names(store)) == 2 * COUNT + 1
    assert store.collect(keep=1).kept == [6]  # which needs no more of the log


def test_a_damaged_manifest_of_what_is_dropped_does_not_matter(local: LocalStore) -> None:
    name = f"manifests/{local.resolve(1).manifest}.json"
    local.objects.put(name, b"rubbish")
    track = blob_names(local, 2) - blob_names(local, 6)
    assert local.collect(keep=1).kept == [6]
    assert not track & names(local)
    age(local, 2 * DAY, name)
    assert name in {of.name for of in local.collect(keep=1).objects}


class Ended(BaseException):
    """As if the process had been killed."""


class Ending:
    """Objects that end their process, as far as it can tell, at the `left`-th change."""

    def __init__(self, objects: Objects, left: int) -> None:
        self._objects = objects
        self._left = left

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._objects, name)
        if name not in {"create", "put", "upload", "delete"}:
            return value

        def change(*arguments: object) -> object:
            self._left -= 1
            if self._left < 0:
                raise Ended
            return value(*arguments)

        return change


def test_a_collection_that_is_killed_at_any_step_loses_nothing_and_the_next_one_ends_it(tmp_path: Path) -> None:
    for step in range(1000):
        store = LocalStore(tmp_path / str(step))
        for _ in range(4):
            announce(store)
        store.pin(2, "why")
        expected = needed(store, [2, 4])
        try:
            Store(Ending(store.objects, step)).collect(keep=1)
        except Ended:
            pass
        else:
            break
        assert there(store) in ([1, 2, 3, 4], [2, 4])
        assert store.resolve().version == 2
        store.collect(keep=1)
        assert names(store) == expected
        assert there(store) == [2, 4]
    assert step > 8


def test_of_a_pin_and_a_collection_at_once_the_pin_is_made_or_refused_but_never_broken(
    new_objects: Callable[[], Objects],
) -> None:
    ends = set()
    for _ in range(12):
        store = Store(new_objects())
        for _ in range(3):
            announce(store)
        start = threading.Barrier(2)

        def collect(store: Store = store, start: threading.Barrier = start) -> None:
            start.wait(60)
            store.collect(keep=1)

        thread = threading.Thread(target=collect)
        thread.start()
        start.wait(60)
        try:
            store.pin(1, "why")
            ends.add("made")
        except NotFoundError:
            ends.add("refused")
        thread.join()
        served = store.resolve()
        assert store.measure(store.manifest(served))
        assert served.version in {1, 3}
    assert ends


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("announce"), st.integers(1, 3)),
        st.tuples(st.sampled_from(["pin", "rollback"]), st.integers(1, 8)),
        st.tuples(st.just("unpin"), st.just(0)),
        st.tuples(st.just("collect"), st.integers(1, 3)),
    ),
    max_size=20,
)


@given(steps=STEPS)
def test_whatever_happened_what_is_served_announced_and_kept_is_whole(steps: list[tuple[str, int]]) -> None:
    with scratch() as folder:
        store = LocalStore(folder / "store")
        kept = {announce(store, b"tracks 0").announced.version}
        pinned, announced, highest = None, 1, 1
        for step, number in steps:
            try:
                if step == "announce":
                    announced = highest = announce(store, b"tracks %d" % number).announced.version
                    kept.add(highest)
                elif step == "collect":
                    store.collect(keep=number)
                    kept &= {announced, pinned, *range(highest - number + 1, highest + 1)}
                elif step == "pin":
                    store.pin(number, "why")
                    assert number in kept
                    pinned = number
                elif step == "unpin":
                    store.unpin("why")
                    pinned = None
                else:
                    store.rollback(number, "why")
                    assert number in kept
                    announced = number
            except NotFoundError:
                assert number not in kept or (step, pinned) == ("unpin", None)
            except OSError:
                assert (step, number) == ("rollback", announced)
            head = store.head()
            assert head is not None
            assert (head.announced.version, head.pinned and head.pinned.version) == (announced, pinned)
            assert there(store) == sorted(kept)
            infos = store.versions()
            assert [info.version for info in infos] == sorted(kept, reverse=True)
            assert [info.version for info in infos if info.served] == [pinned or announced]
            assert [info.version for info in infos if info.announced] == [announced]
            assert [info.version for info in infos if info.pinned] == ([pinned] if pinned else [])
            assert not any(info.damage for info in infos)


# What is told of versions


def test_versions_are_told_newest_first(store: Store) -> None:
    store.pin(2, "why")
    details = {"sources": {"track": "t"}}
    announce(store, b"tracks 1", details)
    infos = store.versions()
    assert [info.version for info in infos] == [7, 6, 5, 4, 3, 2, 1]
    assert [info.entry for info in infos] == [8, 6, 5, 4, 3, 2, 1]
    newest = infos[0]
    entry = store.entry(8)
    assert (newest.at, newest.by, newest.details, newest.manifest) == (
        entry.at,
        entry.by,
        details,
        entry.announced.manifest,
    )
    assert (newest.announced, newest.pinned, newest.served) == (True, False, False)
    assert (infos[5].announced, infos[5].pinned, infos[5].served) == (False, True, True)
    assert newest.bytes == newest.written == len(b"tracks 1" + b"artists")


def test_damage_is_told_of_the_version_that_has_it(store: Store) -> None:
    (track,) = blob_names(store, 3) - blob_names(store, 4)
    (other,) = blob_names(store, 4) - blob_names(store, 3)
    store.objects.put(track, b"short")
    store.objects.delete(other)
    name = f"manifests/{store.resolve(5).manifest}.json"
    store.objects.put(name, b"rubbish")
    damage = {info.version: info.damage for info in store.versions()}
    assert damage[3] == f"blob {track.removeprefix('blobs/')} has 5 bytes instead of 8"
    assert damage[4] == f"blob {other.removeprefix('blobs/')} is missing"
    assert damage[5] is not None
    assert "does not match its checksum" in damage[5]
    assert [damage[version] for version in (1, 2, 6)] == [None] * 3
    assert store.resolve() == Ref(6, store.entry(6).announced.manifest)
