"""Versions that are whole and not taken: they would break what is in use, or do not fit into memory."""

import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import bedeck
from bedeck import Key, Schema, Type, verified
from bedeck._limit import memory_limit
from bedeck.errors import SelectionError
from bedeck.store import LocalStore
from moving import NARROW, PAIR, WIDE, Told, pair, restless
from small import scratch
from sparse import Sparse
from stores import SMALL, small_rows

ROWS = [small_rows(tag) for tag in ("", " again")]


@pytest.fixture(autouse=True)
def own_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A small store with version 1."""
    bedeck.build(SMALL, tmp_path / "store", ROWS[0])
    return tmp_path / "store"


# What is in use


def test_a_version_that_breaks_a_living_selection_is_refused_until_it_does_not(tmp_path: Path) -> None:
    store = tmp_path / "store"
    bedeck.build(PAIR, store, pair(1, WIDE))
    catalogue = bedeck.open(store)
    told = Told(catalogue)
    selection = catalogue["a"].select("extra")
    bedeck.build(PAIR, store, pair(2, NARROW))
    for failures in (1, 2):
        with pytest.raises(SelectionError, match=r"version 2 of .* is not taken.*in use breaks.*no .extra."):
            catalogue.refresh()
        event = told.next("refused")
        assert (event.old, event.new) == (1, 2)
        status = catalogue.status()
        assert (status.version, status.announced, status.refused, status.failures) == (1, 2, 2, failures)
        assert status.error == event.error
        assert selection.decorate([7]) == [{"extra": 1}]
    bedeck.build(PAIR, store, pair(3, WIDE))
    assert catalogue.refresh()
    assert selection.decorate([7]) == [{"extra": 3}]
    status = catalogue.status()
    assert (status.version, status.refused, status.failures) == (3, None, 0)
    assert "extra" in status.error
    assert status.error_at


def test_a_selection_that_is_gone_breaks_nothing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    bedeck.build(PAIR, store, pair(1, WIDE))
    catalogue = bedeck.open(store)
    catalogue["a"].select("extra")
    catalogue.view()["a"].select("extra")  # that of a view stays with it
    bedeck.build(PAIR, store, pair(2, WIDE))
    assert catalogue.refresh()
    bedeck.build(PAIR, store, pair(3, NARROW))
    assert catalogue.refresh()
    assert catalogue.version == 3


@pytest.mark.parametrize(
    "use",
    [
        lambda catalogue: catalogue["a"].decorate([1], ["extra"]),
        lambda catalogue: catalogue["a"].decorate_json([1], ["extra"]),
        lambda catalogue: catalogue["gone"].decorate([1]),
        lambda catalogue: catalogue["gone"].get(1),
    ],
    ids=["fields", "as JSON", "a type", "its records"],
)
def test_what_was_asked_for_in_a_version_has_to_be_in_the_next(tmp_path: Path, use: Any) -> None:
    store = tmp_path / "store"
    schema = Schema({name: Type(key=Key("k", "int")) for name in ("a", "b", "gone")})
    bedeck.build(schema, store, {**pair(1, WIDE), "gone": [{"k": 1}]})
    catalogue = bedeck.open(store)
    use(catalogue)
    bedeck.build(PAIR, store, pair(2, NARROW))
    with pytest.raises(SelectionError, match=r"extra|gone"):
        catalogue.refresh()
    assert catalogue.version == 1
    bedeck.build(schema, store, {**pair(3, WIDE), "gone": [{"k": 1}]})
    assert catalogue.refresh()
    bedeck.build(PAIR, store, pair(4, NARROW))  # since nobody asked version 3 for it
    assert catalogue.refresh()
    assert catalogue.version == 4


@restless()
def test_selections_made_while_it_moves_are_never_broken() -> None:
    """Versions with a field and without come in turns: who selected it, has it until letting go."""
    with scratch() as folder:
        local = LocalStore(folder / "store")
        for version in (1, 2):
            bedeck.build(PAIR, local.path, pair(version, WIDE if version == 1 else NARROW), threads=1)
        catalogue = bedeck.open(local.path)
        ends, broken, seen = threading.Event(), [], []

        def select() -> None:
            while not ends.is_set():
                try:
                    selection = catalogue["a"].select("extra")
                except SelectionError:
                    seen.append(False)
                    continue
                for _ in range(5):
                    try:
                        selection.decorate([1])
                    except SelectionError as error:
                        broken.append(error)
                seen.append(True)

        reader = threading.Thread(target=select)
        reader.start()
        turns = 0
        while turns < 100 or len(set(seen)) < 2:
            turns += 1
            local.pin(1 + turns % 2, "to and fro")
            with suppress(SelectionError):
                catalogue.refresh()
        ends.set()
        reader.join()
        assert broken == []


# Memory


def test_what_was_warmed_is_warm_after_a_refresh(store: Path) -> None:
    catalogue = bedeck.open(store)
    warmed = catalogue.warm(lock=True)
    bedeck.build(SMALL, store, ROWS[1])
    catalogue.refresh()
    memory = catalogue.memory()
    assert memory["mapped"] == memory["bytes"] == catalogue.status().bytes == catalogue.status().resident
    assert memory["locked"] == (memory["bytes"] if warmed.locked else 0)


def test_a_version_that_does_not_fit_beside_the_old_one_is_refused_and_can_be_taken_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limit = memory_limit()
    assert limit
    big, store = tmp_path / "big", tmp_path / "store"
    blob = Sparse(1, heap=limit.bytes).write(big)
    bedeck.build(Schema({"n": Type(key=Key("k", "int"))}), store, {"n": [{"k": 1, "title": "one"}]})
    small, careless = bedeck.open(store), bedeck.open(store, overcommit=True)
    told = Told(small)
    moved = blob.rename(store / "blobs" / blob.name)
    announce(LocalStore(store), LocalStore(big))
    marks, mark = verified.folder(), verified.name_of(moved, blob.stem.removeprefix("n-").ljust(64, "0"))
    (marks / mark).touch()
    for times in (1, 0):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            assert small.refresh() is False
        assert [type(warning.message) for warning in warned] == [bedeck.MemoryWarning] * times
        assert told.next("refused").new == 2
    status = small.status()
    assert (status.version, status.refused, status.failures) == (1, 2, 2)
    assert "does not fit" in status.error
    assert "overcommit=True" in status.error
    assert "does not fit" in caplog.text
    with pytest.warns(bedeck.MemoryWarning, match="does not fit"):
        assert careless.refresh() is True
    assert careless.version == 2


def announce(local: LocalStore, other: LocalStore) -> None:
    """Announce in one store what another one has, whose blobs are there already."""
    head = local.head()
    manifest = other.manifest(other.resolve()) | {
        "version": head.announced.version + 1,
        "parent": head.announced.manifest,
    }
    local.announce(head, manifest, {})
