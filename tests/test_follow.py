"""A catalogue follows its store: it moves to what is announced, pinned or rolled back to, and readers never notice."""

# ruff: noqa: S301 - what is unpickled here was pickled here

import json
import logging
import os
import pickle
import queue
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import bedeck
from away import Away, fork
from bedeck import Catalogue, Event, Key, Schema, Type
from bedeck.errors import NotFoundError, SelectionError
from bedeck.log import canonical, checksum_of
from bedeck.store import LocalStore
from moving import OFTEN, PAIR, PATIENCE, Told, pair, restless
from small import scratch
from stores import SMALL, answers, small_rows

ROWS = [small_rows(tag) for tag in ("", " again", " and again")]


@pytest.fixture(autouse=True)
def own_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A small store with version 1."""
    bedeck.build(SMALL, tmp_path / "store", ROWS[0])
    return tmp_path / "store"


# Moving


def test_a_catalogue_stays_until_it_is_refreshed(store: Path) -> None:
    catalogue = bedeck.open(store)
    records, selection = catalogue["t"], catalogue["t"].select("s")
    assert catalogue.refresh() is False
    for version in (2, 3):
        before = answers(catalogue, ROWS[0])
        bedeck.build(SMALL, store, ROWS[version - 1])
        assert answers(catalogue, ROWS[0]) == before
        assert catalogue.version == version - 1
        assert catalogue.refresh() is True
        assert catalogue.version == version
        assert answers(catalogue, ROWS[0]) == answers(bedeck.open(store, version=version), ROWS[0]) != before
        assert records.decorate([1]) == catalogue["t"].decorate([1])
        assert selection.decorate([1]) == [{"s": ROWS[version - 1]["t"][0]["s"]}]
        assert catalogue.refresh() is False


def test_pins_and_roll_backs_move_it_as_announcements_do(store: Path) -> None:
    local = LocalStore(store)
    for rows in ROWS[1:]:
        bedeck.build(SMALL, store, rows)
    catalogue = bedeck.open(store)
    told = []
    catalogue.listen(lambda event: told.append((event.kind, event.old, event.new)))
    expected = {version: answers(bedeck.open(store, version=version), ROWS[0]) for version in (1, 2, 3)}
    for change, served in (
        (lambda: local.pin(1, "bad titles"), 1),
        (lambda: local.pin(2, "less bad"), 2),
        (lambda: local.unpin("mended"), 3),
        (lambda: local.rollback(2, "not mended"), 2),
    ):
        change()
        assert catalogue.refresh()
        assert catalogue.version == served
        assert answers(catalogue, ROWS[0]) == expected[served]
        head = local.head()
        status = catalogue.status()
        assert (status.version, status.entry, status.failures) == (served, head.number, 0)
        assert (status.announced, status.pinned) == (head.announced.version, head.pinned and head.pinned.version)
    assert told == [("refreshed", 3, 1), ("refreshed", 1, 2), ("refreshed", 2, 3), ("refreshed", 3, 2)]
    assert status.refreshes == 4


def test_what_is_announced_under_a_pin_is_told_and_not_served(store: Path) -> None:
    LocalStore(store).pin(1, "while we look into it")
    catalogue = bedeck.open(store)
    bedeck.build(SMALL, store, ROWS[1])
    assert catalogue.refresh() is False
    status = catalogue.status()
    assert (status.version, status.announced, status.pinned, status.failures) == (1, 2, 1, 0)


def test_a_follower_moves_by_itself(store: Path) -> None:
    with closing(bedeck.open(store, follow=True, poll=OFTEN)) as catalogue:
        told = Told(catalogue)
        for version in (2, 3):
            bedeck.build(SMALL, store, ROWS[version - 1])
            event = told.next("refreshed")
            assert (event.old, event.new, event.error) == (version - 1, version, None)
            assert catalogue.version == version
        LocalStore(store).pin(1, "back")
        assert told.next("refreshed").new == 1
        status = catalogue.status()
        assert status.following
        assert status.reachable
        assert (status.version, status.announced, status.pinned, status.refreshes) == (1, 3, 1, 3)
        assert None not in (status.age, status.delay, status.seconds, status.heard)
    assert not catalogue.status().following


def test_a_catalogue_of_one_version_stays(store: Path) -> None:
    catalogue = bedeck.open(store, version=1)
    bedeck.build(SMALL, store, ROWS[1])
    assert catalogue.refresh() is False
    status = catalogue.status()
    assert (status.version, status.announced, status.entry, status.age) == (1, None, None, None)


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"version": 1, "follow": True}, ValueError, "version=1 stays as it is"),
        ({"poll": 0}, ValueError, "poll=0"),
        ({"poll": float("nan")}, ValueError, "poll=nan"),
        ({"keep": 0}, ValueError, "keep=0"),
        ({"version": True}, TypeError, "version=True"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    store: Path, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        bedeck.open(store, **options)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_store_that_was_built_anew_in_its_place_is_noticed(store: Path, tmp_path: Path, elsewhere: bool) -> None:  # noqa: FBT001
    bedeck.build(SMALL, store, ROWS[1])
    catalogue = bedeck.open(
        Away(store).store() if elsewhere else store, cache=tmp_path / "cache" if elsewhere else None
    )
    shutil.rmtree(store)
    with pytest.raises(NotFoundError):
        catalogue.refresh()
    assert catalogue["t"].decorate([1], ["s"]) == [{"s": "one again"}]
    bedeck.build(SMALL, store, ROWS[2])
    assert catalogue.refresh()
    assert (catalogue.version, catalogue.status().entry) == (1, 1)
    assert catalogue["t"].decorate([1], ["s"]) == [{"s": "one and again"}]


# One version


def test_views_records_and_iterations_keep_their_version(store: Path) -> None:
    catalogue = bedeck.open(store)
    view, records = catalogue.view(), catalogue["t"]
    record, keys, items, values = records[1], iter(records), records.items(), iter(records.values())
    stream, batches = pa.RecordBatchReader.from_stream(records), records.decorate_arrow([1])
    before = {"i": 1, "s": "one", "as": ["x", "gone"]}
    gone = {"a": ROWS[1]["a"], "t": [{"i": 5, "s": "five", "as": ["yy"]}]}
    bedeck.build(SMALL, store, gone)
    assert catalogue.refresh()
    assert records.get(1) is None
    assert view["t"][1] == record == before
    assert view["t"].select("r.n").decorate([1]) == [{"r": [{"n": "Ann"}, None]}]
    assert sorted(keys) == [-2, 1]
    assert dict(items)[1] == before
    assert before in [dict(value) for value in values]
    assert sorted(stream.read_all().column("i").to_pylist()) == [-2, 1]
    assert pa.table(batches).to_pylist() == [{"s": "one", "as": ["x", "gone"]}]
    assert list(records) == [5]


def test_an_iteration_over_items_that_began_before_a_refresh_ends_in_its_version(store: Path) -> None:
    catalogue = bedeck.open(store)
    seen = []
    for key, record in catalogue["t"].items():
        seen.append((key, record["i"]))
        bedeck.build(SMALL, store, {"a": ROWS[1]["a"], "t": [{"i": 5 + len(seen), "s": "", "as": None}]})
        assert catalogue.refresh()
    assert sorted(seen) == [(-2, -2), (1, 1)]


def mapped(store: Path) -> set[str]:
    """The blobs of ``store`` that this process maps."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {Path(line.split()[5]).name for line in lines if f"{store}/blobs/" in line}


def blobs_of(store: Path, version: int) -> set[str]:
    local = LocalStore(store)
    return set(local.measure(local.manifest(local.resolve(version))))


def test_an_old_version_is_unmapped_after_its_last_view_and_record(store: Path) -> None:
    catalogue = bedeck.open(store)
    view = catalogue.view()
    record = view["t"][1]
    bedeck.build(SMALL, store, ROWS[1])
    catalogue.refresh()
    assert mapped(store) == blobs_of(store, 1) | blobs_of(store, 2)
    del view
    assert mapped(store) == blobs_of(store, 1) | blobs_of(store, 2)
    assert record["s"] == "one"
    del record
    assert mapped(store) == blobs_of(store, 2)


def test_a_version_that_was_refused_is_unmapped_at_once(store: Path) -> None:
    catalogue = bedeck.open(store)
    selection = catalogue["t"].select("s")
    bedeck.build(Schema({"t": Type(key=Key("i", "int"))}), store, {"t": [{"i": 1}]})
    with pytest.raises(SelectionError):
        catalogue.refresh()
    assert mapped(store) == blobs_of(store, 1)
    assert selection.decorate([1]) == [{"s": "one"}]


def read_pairs(catalogue: Catalogue, ends: threading.Event, mixed: list[Any], done: list[int]) -> None:
    """Decorate lists of both types until ``ends``, in views, by selections and by name; notes in ``done`` how often."""
    keys = list(range(50))
    cards = [catalogue[name].select("version") for name in ("a", "b")]
    while not ends.is_set():
        with catalogue.view() as view:
            rows = [row["version"] for name in ("a", "b") for row in view[name].decorate(keys, ["version"])]
            if rows != [view.version] * 100:
                mixed.append(("view", view.version, rows))
        for card in cards:
            rows = [row["version"] for row in card.decorate(keys)]
            if rows != rows[:1] * 50:
                mixed.append(("call", rows))
        done.append(4)


@restless()
def test_no_list_mixes_versions_under_back_to_back_refreshes() -> None:
    """Two types, each record of both with the number of its version; readers on threads, all the while it moves."""
    with scratch() as folder:
        local = LocalStore(folder / "store")
        for version in range(1, 9):
            bedeck.build(PAIR, local.path, pair(version), threads=1)
        catalogue = bedeck.open(local.path)
        ends, mixed, done, moved = threading.Event(), [], [], 0
        readers = [threading.Thread(target=read_pairs, args=(catalogue, ends, mixed, done)) for _ in range(2)]
        for reader in readers:
            reader.start()
        while len(done) < 5_000 or moved < 100:
            local.pin(1 + moved % 8, "to and fro")
            moved += catalogue.refresh()
        ends.set()
        for reader in readers:
            reader.join()
        assert mixed == []
        assert catalogue.status().refreshes == moved
        assert len(mapped(local.path)) == 2


def test_of_many_refreshes_at_once_one_moves_it(store: Path) -> None:
    with closing(bedeck.open(store, follow=True, poll=OFTEN)) as catalogue, ThreadPoolExecutor(8) as pool:
        told: list[tuple[int, int | None]] = []
        catalogue.listen(lambda event: told.append((event.old, event.new)))
        for rows in ROWS[1:]:
            bedeck.build(SMALL, store, rows)
            for refreshed in [pool.submit(catalogue.refresh) for _ in range(16)]:
                refreshed.result(PATIENCE)
            assert catalogue.version == LocalStore(store).head().served.version
        assert told == [(1, 2), (2, 3)]


def test_a_refresh_from_a_signal_that_comes_upon_another_does_not_wait_for_itself(store: Path, tmp_path: Path) -> None:
    """As a service does that is told to refresh by SIGHUP."""
    away = Away(store)
    catalogue = bedeck.open(away.store(), cache=tmp_path / "cache")
    bedeck.build(SMALL, store, ROWS[1])
    inner: list[bool] = []

    def interrupt(name: str, data: bytes) -> bytes:
        if name.startswith("manifests/") and not inner:
            signal.raise_signal(signal.SIGHUP)
        return data

    before = signal.signal(signal.SIGHUP, lambda *_: inner.append(catalogue.refresh()))
    try:
        away.fault = interrupt
        assert catalogue.refresh() is True
    finally:
        signal.signal(signal.SIGHUP, before)
    assert inner == [False]
    assert catalogue.version == 2


# Beginning


def test_before_the_first_version_there_is_an_error_at_once_or_after_the_wait(tmp_path: Path) -> None:
    for options in ({}, {"follow": True}, {"wait": 0}, {"wait": 0.05}, {"wait": 0.05, "follow": True, "poll": OFTEN}):
        with pytest.raises(NotFoundError, match="no bedeck store at"):
            bedeck.open(tmp_path / "store", **options)
    with LocalStore(tmp_path / "store").hold(), pytest.raises(NotFoundError, match=r"nothing is announced .* yet"):
        bedeck.open(tmp_path / "store", wait=0.05, poll=OFTEN)


def test_the_first_version_ends_the_wait(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(bedeck.open, tmp_path / "store", wait=PATIENCE, poll=OFTEN)
        bedeck.build(SMALL, tmp_path / "store", ROWS[0])
        catalogue = opened.result(PATIENCE)
    status = catalogue.status()
    assert (catalogue.version, status.failures, status.error) == (1, 0, None)


def test_a_follower_begins_with_the_version_before_where_the_newest_is_damaged(store: Path) -> None:
    bedeck.build(SMALL, store, ROWS[1])
    (damaged, *_) = sorted(blobs_of(store, 2))
    data = (store / "blobs" / damaged).read_bytes()
    (store / "blobs" / damaged).write_bytes(data[:-1] + b"!")
    with pytest.raises(bedeck.DamagedError):
        bedeck.open(store)
    with closing(bedeck.open(store, follow=True, poll=OFTEN)) as catalogue:
        status = catalogue.status()
        assert (status.version, status.announced) == (1, 2)
        assert status.failures
        assert damaged in status.error
        told = Told(catalogue)
        told.next("failed")
        (store / "blobs" / damaged).write_bytes(data)
        assert told.next("refreshed").new == 2
        assert catalogue.status().failures == 0


def test_a_follower_never_begins_with_what_was_rolled_back(store: Path) -> None:
    for rows in ROWS[1:]:
        bedeck.build(SMALL, store, rows)
    LocalStore(store).rollback(2, "3 is rubbish")
    for name in blobs_of(store, 2):
        (store / "blobs" / name).unlink()
    with closing(bedeck.open(store, follow=True)) as catalogue:
        assert catalogue.version == 1


# Events


def test_a_listener_that_raises_is_logged_and_harmless(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    catalogue = bedeck.open(store)
    events: list[Event] = []

    def fail(_: Event) -> None:
        raise RuntimeError("not my day")

    catalogue.listen(fail)
    stop = catalogue.listen(events.append)
    bedeck.build(SMALL, store, ROWS[1])
    with caplog.at_level(logging.INFO, "bedeck"):
        assert catalogue.refresh()
    assert "not my day" in caplog.text
    assert "version 2 of" in caplog.text
    assert [(event.kind, event.old, event.new) for event in events] == [("refreshed", 1, 2)]
    stop()
    stop()
    bedeck.build(SMALL, store, ROWS[2])
    assert catalogue.refresh()
    assert len(events) == 1


def test_a_listener_may_refresh_and_close(store: Path) -> None:
    with closing(bedeck.open(store, follow=True, poll=OFTEN)) as catalogue:
        told: queue.Queue[bool] = queue.Queue()

        def listen(_: Event) -> None:
            catalogue.close()
            told.put(catalogue.refresh())

        catalogue.listen(listen)
        bedeck.build(SMALL, store, ROWS[1])
        assert told.get(timeout=PATIENCE) is False
        assert catalogue.version == 2


# Clocks


@pytest.mark.parametrize("at", ["1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "at noon"])
def test_no_clock_decides_what_is_served(store: Path, at: str) -> None:
    local = LocalStore(store)
    catalogue = bedeck.open(store)
    bedeck.build(SMALL, store, ROWS[1])
    path = store / "log" / "0000000002.json"
    line = canonical(json.loads(path.read_bytes().partition(b"\n")[0]) | {"at": at})
    path.write_bytes(line + checksum_of(line))
    assert local.head().at == at
    assert catalogue.refresh()
    status = catalogue.status()
    assert (status.version, status.failures) == (2, 0)
    assert (status.age is None) == (status.delay is None) == (at == "at noon")


# Ends


def followers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "bedeck-follow"]


def test_a_catalogue_that_is_gone_or_closed_is_not_followed(store: Path) -> None:
    first, second = bedeck.open(store, follow=True, poll=OFTEN), bedeck.open(store, follow=True, poll=3600)
    threads = followers()
    assert len(threads) == 2
    first.close()
    del second
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    bedeck.build(SMALL, store, ROWS[1])
    assert first.version == 1
    assert first.refresh()  # by hand it goes on


FOLLOWING = """
import sys, threading, bedeck
catalogue = bedeck.open(sys.argv[1], follow=True, poll=0.001)
told = threading.Event()
catalogue.listen(lambda event: told.set())
print(catalogue.version, flush=True)
assert told.wait(60)
print(catalogue.version, flush=True)
"""


def test_a_process_that_follows_ends_when_it_is_done(store: Path) -> None:
    command = [sys.executable, "-c", FOLLOWING, str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - this very Python
        assert process.stdout
        assert process.stdout.readline() == "1\n"
        bedeck.build(SMALL, store, ROWS[1])
        assert process.stdout.readline() == "2\n"
        assert process.wait(PATIENCE) == 0


HANGING = """
import os, sys, threading, bedeck
from away import Away, fork
away, begun = Away(sys.argv[1]), threading.Event()
catalogue = bedeck.open(away.store(), cache=sys.argv[2], follow=True, poll=0.001)

def hang(name, data):
    begun.set()
    threading.Event().wait()

away.fault = hang
assert begun.wait(60)
print("goes", flush=True)
"""


def test_a_process_ends_though_a_refresh_hangs(store: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HANGING, str(store), str(tmp_path / "cache")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(  # noqa: S603 - this very Python
        command, capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "goes\n", "")


def test_a_pickled_catalogue_follows_where_it_is_read(store: Path) -> None:
    with closing(bedeck.open(store, follow=True, poll=3600, keep=5, overcommit=True)) as catalogue:
        data = pickle.dumps((catalogue, catalogue["t"].select("s")))
        bedeck.build(SMALL, store, ROWS[1])
        again, selection = pickle.loads(data)
        with closing(again):
            assert (catalogue.version, again.version) == (1, 2)
            assert again.status().following
            assert selection.decorate([1]) == [{"s": "one again"}]


def test_a_forked_child_follows_by_itself(store: Path) -> None:
    """As under a server that loads the application and then forks its workers."""
    catalogue = bedeck.open(store, follow=True, poll=OFTEN)
    hearing, telling = os.pipe()
    child = fork()
    if not child:
        signal.alarm(PATIENCE)  # a child that hangs is killed, and so told
        code = 1
        try:
            told = Told(catalogue)
            os.write(telling, b"listens")
            if told.next("refreshed").new == 2 and catalogue["t"].decorate([1], ["s"]) == [{"s": "one again"}]:
                catalogue.close()
                code = 0
        finally:
            os._exit(code)
    assert os.read(hearing, 7) == b"listens"
    told = Told(catalogue)
    bedeck.build(SMALL, store, ROWS[1])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    while catalogue.version != 2:
        told.next("refreshed")
    catalogue.close()
