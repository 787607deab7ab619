"""Threads, forks, builds beside readers, full disks and failing sources: answers stay right, and stores whole."""

# ruff: noqa: S301 - what is unpickled here was pickled here

import multiprocessing
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

import bedeck
from bedeck import Catalogue, Key, Schema, Type
from bedeck.errors import BusyError, MissingKeyError, SourceError, StoreError
from bedeck.store import LocalStore
from stores import RICH, SMALL, answers, contents, keys_of, readings, rich_rows, small_rows

FORKSERVER = multiprocessing.get_context("forkserver")
SPAWN = multiprocessing.get_context("spawn")
PATIENCE = 120  # seconds until a test that waits for another process gives up
THREADS = 8

ROWS = [small_rows(tag) for tag in ("", " again", " and again")]
RICH_ROWS = rich_rows(30)
NUMBERS = Schema({"n": Type(key=Key("i", "int"))})


@pytest.fixture(autouse=True)
def own_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A small store with version 1."""
    bedeck.build(SMALL, tmp_path / "store", ROWS[0])
    return tmp_path / "store"


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    store = tmp_path_factory.mktemp("rich") / "store"
    bedeck.build(RICH, store, RICH_ROWS)
    return bedeck.open(store)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """100,000 numbers with their squares."""
    store = tmp_path_factory.mktemp("numbers") / "store"
    bedeck.build(NUMBERS, store, {"n": square(100_000)})
    return bedeck.open(store)


def square(count: int) -> pa.Table:
    return pa.table({"i": range(count), "square": [number**2 for number in range(count)]})


@pytest.fixture
def restless() -> Iterator[None]:
    """Has threads take turns as often as can be."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def at_once(*work: Callable[[], Any]) -> list[Any]:
    """The results of all `work`, begun at the same time on threads of their own."""
    barrier = threading.Barrier(len(work))

    def begin(one: Callable[[], Any]) -> Any:
        barrier.wait(PATIENCE)
        return one()

    with ThreadPoolExecutor(len(work)) as pool:
        return [done.result(PATIENCE) for done in [pool.submit(begin, one) for one in work]]


# Threads


@pytest.mark.usefixtures("restless")
def test_many_threads_read_one_catalogue(rich: Catalogue) -> None:
    expected = answers(rich, RICH_ROWS)
    ids = {name: keys_of(RICH_ROWS, name) for name in RICH_ROWS}

    def read_in_some_order(seed: int) -> None:
        reads = list(readings(rich, rich.info()["types"], ids)) * 3
        Random(seed).shuffle(reads)
        for what, read in reads:
            assert read() == expected[what], what

    at_once(*(lambda seed=seed: read_in_some_order(seed) for seed in range(THREADS)))


@pytest.mark.usefixtures("restless")
def test_many_threads_share_one_selection(numbers: Catalogue) -> None:
    selection = numbers["n"].select("square", "i")
    fields = {"square", "i"}

    def use(seed: int) -> None:
        random = Random(seed)
        for length in (1, 3, 128, 129, 300, 5000):
            ids = [random.randrange(-10, 100_010) for _ in range(length)]
            expected = [{"square": i * i, "i": i} if 0 <= i < 100_000 else None for i in ids]
            assert selection.decorate(ids) == expected
            assert selection.decorate_json(ids) == json(expected)
            assert [record and dict(record) for record in selection.records(ids)] == expected
            there = [row for row in expected if row]
            assert pa.table(selection.decorate_arrow(ids, missing="drop")).to_pylist() == there
            for row, record in zip(there, selection.records(ids, missing="drop"), strict=True):
                assert record is not None
                assert record.keys() == fields
                assert record["square"] == row["square"]
            if len(there) < length:
                with pytest.raises(MissingKeyError):
                    selection.decorate(ids, missing="error")

    at_once(*(lambda seed=seed: use(seed) for seed in range(THREADS)))


def json(rows: list[dict[str, int] | None]) -> bytes:
    shown = ",".join(f'{{"square":{row["square"]},"i":{row["i"]}}}' if row else "null" for row in rows)
    return f"[{shown}]".encode()


@pytest.mark.usefixtures("restless")
def test_more_selections_than_are_kept_compiled(tmp_path: Path) -> None:
    names = [f"f{number}" for number in range(40)]
    schema = Schema({"x": Type(key=Key("k"))})
    bedeck.build(schema, tmp_path / "store", {"x": [{"k": 1, **{name: name for name in names}}]})
    records = bedeck.open(tmp_path / "store")["x"]
    kept = [records.select(name) for name in names]

    def select(seed: int) -> None:
        random = Random(seed)
        for _ in range(400):
            fields = random.sample(names, 3)
            assert records.decorate([1], fields) == [{name: name for name in fields}]
            place = random.randrange(len(names))
            assert kept[place].decorate([1]) == [{names[place]: names[place]}]

    at_once(*(lambda seed=seed: select(seed) for seed in range(THREADS)))


@pytest.mark.usefixtures("restless")
def test_threads_that_share_an_iterator_get_each_key_once(numbers: Catalogue) -> None:
    keys = iter(numbers["n"])
    taken = at_once(*[lambda: list(keys)] * THREADS)
    assert sorted(key for part in taken for key in part) == list(range(100_000))


@pytest.mark.usefixtures("restless")
def test_threads_that_share_an_answer_all_read_it(numbers: Catalogue) -> None:
    batches = numbers["n"].decorate_arrow(range(1000))
    (record,) = numbers["n"].select("square").records([7])
    expected = [{"square": i * i} for i in range(1000)]

    def use() -> None:
        for _ in range(20):
            assert pa.table(batches).to_pylist() == expected
            assert record == {"square": 49}

    at_once(*[use] * THREADS)


@pytest.mark.usefixtures("restless")
def test_threads_open_and_drop_catalogues_beside_each_other(store: Path) -> None:
    expected = answers(bedeck.open(store), ROWS[0])

    def use() -> None:
        for verify in ("once", "always") * 10:
            catalogue = bedeck.open(store, verify=verify)  # type: ignore[arg-type]
            assert answers(catalogue, ROWS[0]) == expected
            catalogue.verify()
            catalogue.warm()

    at_once(*[use] * 4)


def test_ids_that_change_under_the_reader_do_no_harm(numbers: Catalogue) -> None:
    """A list is taken over before others run; an iterable may do what it likes meanwhile."""
    ids = list(range(5000))

    class Meddler(list[int]):
        def __iter__(self) -> Iterator[int]:
            for number in range(300):
                ids.clear()
                yield number

    assert len(numbers["n"].decorate(Meddler())) == 300

    class Number:
        def __index__(self) -> int:
            ids.clear()
            return 3

    ids[:] = [1, Number(), 2]  # type: ignore[list-item]
    assert numbers["n"].decorate(ids)[:2] == [{"square": 1}, {"square": 9}]


# Fork


def use_while_forking(store: Path) -> None:
    """Fork while threads decorate; parent and child both go on, and open anew, and build."""
    catalogue = bedeck.open(store)
    expected = [{"square": i * i} for i in range(1000)]
    iterator, stop = iter(catalogue["n"]), threading.Event()
    first = [next(iterator) for _ in range(200)]

    def use() -> None:
        while not stop.is_set():
            assert catalogue["n"].decorate(range(1000)) == expected
            catalogue["n"].decorate_json(range(1000))
            catalogue.warm()
            catalogue.verify()

    def go_on(build_into: Path) -> None:
        assert sorted(first + list(iterator)) == list(range(100_000))
        assert catalogue["n"].decorate(range(1000)) == expected
        assert pa.table(catalogue["n"]).num_rows == 100_000
        catalogue.verify()
        assert bedeck.open(store, verify="always")["n"].decorate(range(1000)) == expected
        bedeck.build(NUMBERS, build_into, {"n": [{"i": 1}]}, threads=2)
        assert list(bedeck.open(build_into)["n"]) == [1]

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    children = []
    for number in range(5):
        child = os.fork()
        if not child:
            signal.alarm(PATIENCE)  # a child that hangs is killed, and so told
            try:
                go_on(store.with_name(f"child-{number}"))
            except BaseException as error:  # noqa: BLE001
                os.write(2, f"{error!r}\n".encode())
                os._exit(1)
            os._exit(0)
        children.append(child)
    stop.set()
    for thread in threads:
        thread.join()
    go_on(store.with_name("parent"))
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert ended == [0] * len(children), ended


def run(context: Any, target: Callable[..., None], *arguments: Any) -> None:
    """Run `target` in a process of its own, to its good end."""
    process = context.Process(target=target, args=arguments)
    process.start()
    process.join(PATIENCE)
    alive = process.is_alive()
    process.kill()
    process.join()
    assert not alive, f"{target.__name__} hangs"
    assert process.exitcode == 0


def test_a_catalogue_goes_on_in_parent_and_child_after_a_fork_in_the_midst_of_use(numbers: Catalogue) -> None:
    run(FORKSERVER, use_while_forking, numbers.path)


# Pickling


def test_catalogues_records_and_selections_pickle_as_their_place(store: Path) -> None:
    catalogue = bedeck.open(store)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps((catalogue, catalogue["t"], catalogue["t"].select("s", "r.n")), protocol)
        again, records, selection = pickle.loads(data)
        assert answers(again, ROWS[0]) == answers(catalogue, ROWS[0])
        assert records.decorate([1]) == catalogue["t"].decorate([1])
        assert selection.decorate([1, 9]) == [{"s": "one", "r": [{"n": "Ann"}, None]}, None]
        assert records.name == "t"


def test_a_pickled_catalogue_opens_what_was_asked_for(store: Path) -> None:
    newest, first = bedeck.open(store), bedeck.open(store, version=1, verify="always")
    pickled = pickle.dumps((newest, first))
    bedeck.build(SMALL, store, ROWS[1])
    assert newest.version == first.version == 1
    newest, first = pickle.loads(pickled)
    assert (newest.version, first.version) == (2, 1)


def test_a_pickled_record_is_plain_data(store: Path) -> None:
    record = bedeck.open(store)["t"][1]
    pickled = pickle.dumps(record)
    shutil.rmtree(store)
    assert pickle.loads(pickled) == {"i": 1, "s": "one", "as": ["x", "gone"]}


def test_a_catalogue_opened_by_a_relative_path_pickles_as_the_same_place(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store.parent)
    pickled = pickle.dumps(bedeck.open("store"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert answers(pickle.loads(pickled), ROWS[0])["t: len"] == 2


def check_there(catalogue: Catalogue, records: Any, selection: Any, expected: dict[str, Any]) -> None:
    found = answers(catalogue, ROWS[0])
    assert {what: value for what, value in found.items() if not isinstance(value, pa.Table)} == expected
    assert records.decorate([1, 5]) == [{"s": "one", "as": ["x", "gone"]}, None]
    assert selection.decorate([1]) == [{"s": "one"}]


@pytest.mark.parametrize("context", [SPAWN, FORKSERVER], ids=["spawn", "forkserver"])
def test_what_is_sent_to_another_process_works_there(store: Path, context: Any) -> None:
    catalogue = bedeck.open(store)
    expected = answers(catalogue, ROWS[0])
    plain = {what: value for what, value in expected.items() if not isinstance(value, pa.Table)}
    run(context, check_there, catalogue, catalogue["t"], catalogue["t"].select("s"), plain)


# Builds beside builds and readers


def test_a_build_beside_a_build_is_refused(store: Path) -> None:
    refused: list[str] = []

    def rows() -> Iterator[dict[str, Any]]:
        yield ROWS[1]["t"][0]
        with pytest.raises(BusyError) as raised:
            bedeck.build(SMALL, store, ROWS[2])
        refused.append(str(raised.value))
        yield ROWS[1]["t"][1]

    assert bedeck.build(SMALL, store, {**ROWS[1], "t": rows()}).version == 2
    assert refused == [f"{store} is held by process {os.getpid()}: let that build end, then try again"]
    assert answers(bedeck.open(store), ROWS[1])["t: decorate"][0] == {"s": "one again", "as": ["x", "gone"]}
    assert bedeck.build(SMALL, store, ROWS[2]).version == 3


def build_slowly(store: Path, heard: Connection, told: Connection) -> None:
    """Build, and once that is begun wait to be told to go on."""

    def rows() -> Iterator[dict[str, Any]]:
        told.send("begun")
        assert heard.recv() == "go on"
        yield from ROWS[1]["t"]

    bedeck.build(SMALL, store, {**ROWS[1], "t": rows()})


def test_a_build_beside_one_of_another_process_is_refused(store: Path) -> None:
    heard, tell = FORKSERVER.Pipe(duplex=False)
    hear, told = FORKSERVER.Pipe(duplex=False)
    process = FORKSERVER.Process(target=build_slowly, args=(store, heard, told))
    process.start()
    assert hear.recv() == "begun"
    before = answers(bedeck.open(store), ROWS[0])
    for _ in range(3):
        with pytest.raises(BusyError, match=f"held by process {process.pid}:"):
            bedeck.build(SMALL, store, ROWS[2])
    assert answers(bedeck.open(store), ROWS[0]) == before
    tell.send("go on")
    process.join(PATIENCE)
    assert process.exitcode == 0
    assert bedeck.open(store).version == 2
    assert bedeck.build(SMALL, store, ROWS[2]).version == 3


def test_of_builds_at_once_on_many_threads_those_that_end_well_are_all_announced(store: Path) -> None:
    def build() -> int | None:
        try:
            return bedeck.build(SMALL, store, ROWS[1], threads=2).version
        except BusyError:
            return None

    built = [version for version in at_once(*[build] * THREADS) if version]
    assert sorted(built) == list(range(2, 2 + len(built)))
    assert LocalStore(store).entries() == list(range(1, 2 + len(built)))
    assert bedeck.open(store, verify="always").version == 1 + len(built)


def test_readers_keep_their_version_while_others_are_built(store: Path, tmp_path: Path) -> None:
    expected = []
    for number, built in enumerate(ROWS):
        bedeck.build(SMALL, tmp_path / str(number), built)
        expected.append(answers(bedeck.open(tmp_path / str(number)), ROWS[0]))
    old = bedeck.open(store)
    view = old.view()

    def rows() -> Iterator[dict[str, Any]]:
        """In the midst of a build: the version before it is what there is."""
        for row in ROWS[1]["t"]:
            assert answers(bedeck.open(store), ROWS[0]) == answers(old, ROWS[0]) == expected[0]
            yield row

    bedeck.build(SMALL, store, {**ROWS[1], "t": rows()})
    new = bedeck.open(store)
    bedeck.build(SMALL, store, ROWS[2])
    for catalogue, version in ((old, 1), (new, 2), (bedeck.open(store), 3)):
        assert catalogue.version == version
        assert answers(catalogue, ROWS[0]) == expected[version - 1]
        assert answers(bedeck.open(store, version=version), ROWS[0]) == expected[version - 1]
    assert view.version == 1
    assert view["t"].decorate([1]) == [{"s": "one", "as": ["x", "gone"]}]


def test_an_iteration_keeps_its_version_while_another_is_announced(store: Path) -> None:
    bedeck.build(NUMBERS, store.with_name("numbers"), {"n": square(1000)})
    records = bedeck.open(store.with_name("numbers"))["n"]
    keys, stream = iter(records), pa.RecordBatchReader.from_stream(records)
    seen = [next(keys) for _ in range(300)]
    bedeck.build(NUMBERS, store.with_name("numbers"), {"n": [{"i": -1, "square": 1}]})
    assert sorted(seen + list(keys)) == list(range(1000))
    assert stream.read_all().num_rows == 1000
    assert list(bedeck.open(store.with_name("numbers"))["n"]) == [-1]


def test_a_record_outlives_its_catalogue_and_its_files(store: Path) -> None:
    record = bedeck.open(store)["t"][1]
    (lazy,) = bedeck.open(store)["t"].select("r.n").records([1])
    keys, batches = iter(bedeck.open(store)["a"]), bedeck.open(store)["t"].decorate_arrow([1])
    shutil.rmtree(store)
    assert record["s"] == "one"
    assert lazy == {"r": [{"n": "Ann"}, None]}
    assert sorted(keys) == ["x", "yy", "zoë"]
    assert pa.table(batches).to_pylist() == [{"s": "one", "as": ["x", "gone"]}]


def test_the_same_records_built_again_take_the_place_of_open_files(store: Path) -> None:
    catalogue = bedeck.open(store)
    before = answers(catalogue, ROWS[0])
    bedeck.build(SMALL, store, ROWS[0])
    assert bedeck.open(store).version == 2
    assert len(list((store / "blobs").iterdir())) == 2
    assert answers(catalogue, ROWS[0]) == before == answers(bedeck.open(store), ROWS[0])
    catalogue.verify()


@pytest.mark.usefixtures("restless")
def test_readers_beside_builds_see_whole_versions(tmp_path: Path) -> None:
    """Each version has in all of its records, of both types, one number: its own."""
    schema = Schema({"a": Type(key=Key("k")), "b": Type(key=Key("k"))})
    ends = threading.Event()

    def rows(version: int) -> dict[str, list[dict[str, int]]]:
        return {name: [{"k": key, "version": version} for key in range(200)] for name in ("a", "b")}

    def build() -> None:
        try:
            for version in range(2, 12):
                bedeck.build(schema, tmp_path / "store", rows(version), threads=1)
        finally:
            ends.set()

    def read() -> Counter[int]:
        seen: Counter[int] = Counter()
        while not ends.is_set():
            catalogue = bedeck.open(tmp_path / "store")
            found = [row["version"] for name in catalogue for row in catalogue[name].decorate(range(200))]
            assert found == [catalogue.version] * 400
            assert catalogue.version >= max(seen, default=1)
            seen[catalogue.version] += 1
        return seen

    bedeck.build(schema, tmp_path / "store", rows(1))
    at_once(build, read, read)
    assert bedeck.open(tmp_path / "store").version == 11


# Disks and places


def build_on_a_full_disk(store: Path, room: int, told: Connection) -> None:
    """Build where no file can become larger than `room`; Python has the signal for it ignored, so writes fail."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        bedeck.build(NUMBERS, store, {"n": square(100_000)})
    except OSError as error:
        told.send((type(error).__name__, str(error)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert bedeck.build(NUMBERS, store, {"n": square(10)}).version == 2


@pytest.mark.parametrize("room", [0, 1, 100, 4096, 1 << 18, 1 << 20])
def test_a_full_disk_is_told_and_leaves_the_store_as_it_was(tmp_path: Path, room: int) -> None:
    store = tmp_path / "store"
    bedeck.build(NUMBERS, store, {"n": square(3)})
    before = contents(store)
    del before["latest"]
    first = answers(bedeck.open(store), {"n": [{"i": 1}]})
    hear, told = FORKSERVER.Pipe(duplex=False)
    run(FORKSERVER, build_on_a_full_disk, store, room, told)
    error, message = hear.recv()
    assert error == "StoreError"
    assert str(store) in message
    assert "File too large" in message
    assert answers(bedeck.open(store, version=1), {"n": [{"i": 1}]}) == first
    assert sorted(path.name for path in (store / "tmp").iterdir()) == ["lock"]
    assert {name: data for name, data in contents(store).items() if name in before} == before
    assert len(contents(store)) == len(before) + 4  # entry, hint, manifest and blob of the build once there was room


def open_without_a_way_to_write(folder: Path, told: Connection) -> None:
    """Open the store in `folder` as a user who may only read it."""
    bedeck.build(SMALL, folder / "other", ROWS[0])  # that user might not be able to import what this takes
    bedeck.open(folder / "other")
    if not os.getuid():
        os.setgid(65534)
        os.setuid(65534)
    try:
        (folder / "store" / "tmp" / "mine").touch()
    except PermissionError:
        told.send("may only read")
    catalogue = bedeck.open(folder / "store")
    catalogue.warm()
    catalogue.verify()
    told.send(catalogue["t"].decorate([1]))
    try:
        bedeck.build(SMALL, folder / "store", ROWS[1])
    except StoreError as error:
        told.send(str(error))


def test_a_store_that_can_only_be_read_opens_and_cannot_be_built_into(store: Path) -> None:
    hear, told = FORKSERVER.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        shutil.copytree(store, folder / "store")
        for path in [folder, *(folder / "store").rglob("*"), folder / "store"]:
            path.chmod(0o755 if path == folder else 0o555 if path.is_dir() else 0o444)
        before = contents(folder / "store")
        run(FORKSERVER, open_without_a_way_to_write, folder, told)
        assert contents(folder / "store") == before
        for path in (folder / "store").rglob("*"):
            path.chmod(0o755)  # or the folder could not be removed
        (folder / "store").chmod(0o755)
    assert hear.recv() == "may only read"
    assert hear.recv() == [{"s": "one", "as": ["x", "gone"]}]
    assert "cannot prepare the store" in hear.recv()


@pytest.mark.parametrize(
    "name",
    ["with space", "Blåbär 漢字 🙂", "'a' \"b\"", "%s {x} *?[a]", "new\nline", "-", os.fsdecode(b"not UTF-8 \xff")],
)
def test_a_store_may_be_called_anything(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (Path(name), name, tmp_path / name):
        bedeck.build(SMALL, place, ROWS[0])
        catalogue = bedeck.open(place)
        assert catalogue["t"].decorate([1]) == [{"s": "one", "as": ["x", "gone"]}]
        assert repr(catalogue)
        assert pickle.loads(pickle.dumps(catalogue)).version == catalogue.version
    (blob, *_) = (Path(name) / "blobs").glob("t-*")
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    with pytest.raises(StoreError, match=blob.name):
        bedeck.open(name)


# Sources that fail


class Trouble(Exception):  # noqa: N818
    """Nothing that bedeck could know."""


def failing(rows: list[dict[str, Any]], after: int, error: BaseException) -> Iterator[dict[str, Any]]:
    yield from rows[:after]
    raise error


@pytest.mark.parametrize("error", [Trouble("no"), KeyboardInterrupt(), SystemExit(3), MemoryError(), OSError(5, "I/O")])
@pytest.mark.parametrize("type_name", ["a", "t"])
@pytest.mark.parametrize("after", [0, 1])
def test_what_is_raised_in_an_iterable_is_raised_and_leaves_nothing(
    store: Path, error: BaseException, type_name: str, after: int
) -> None:
    before = contents(store)
    with pytest.raises(type(error)) as raised:
        bedeck.build(SMALL, store, {**ROWS[1], type_name: failing(ROWS[1][type_name], after, error)})
    assert raised.value is error
    assert contents(store) == before
    assert sorted(path.name for path in (store / "tmp").iterdir()) == ["lock"]
    assert bedeck.build(SMALL, store, ROWS[1]).version == 2


def test_what_is_raised_late_in_a_long_iterable_is_raised(store: Path) -> None:
    before, rows = contents(store), [{"i": number} for number in range(100_000)]
    error = Trouble("late")
    with pytest.raises(Trouble) as raised:
        bedeck.build(NUMBERS, store, {"n": failing(rows, 99_999, error)}, threads=2)
    assert raised.value is error
    assert contents(store) == before


class Stream:
    """Arrow data of which the reading fails after some batches."""

    def __init__(self, error: BaseException, batches: int) -> None:
        self.error, self.batches = error, batches

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        table = square(1000)

        def read() -> Iterator[pa.RecordBatch]:
            for number in range(self.batches):
                yield table.set_column(0, "i", pa.array(range(number * 1000, number * 1000 + 1000))).to_batches()[0]
            raise self.error

        return pa.RecordBatchReader.from_batches(table.schema, read()).__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("error", [Trouble("no"), ValueError("no"), OSError(5, "no"), KeyboardInterrupt("no")])
@pytest.mark.parametrize("batches", [0, 1, 40])
def test_what_is_raised_in_an_arrow_stream_is_told_and_leaves_nothing(
    store: Path, error: BaseException, batches: int
) -> None:
    before = contents(store)
    with pytest.raises((SourceError, type(error)), match="no"):
        bedeck.build(NUMBERS, store, {"n": Stream(error, batches)}, threads=2)
    assert contents(store) == before
    assert sorted(path.name for path in (store / "tmp").iterdir()) == ["lock"]
    assert bedeck.build(SMALL, store, ROWS[1]).version == 2


def test_a_source_that_gives_no_stream_is_told(store: Path) -> None:
    class NoStream:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            raise Trouble("no stream")

    before = contents(store)
    with pytest.raises((SourceError, Trouble), match="no stream"):
        bedeck.build(NUMBERS, store, {"n": NoStream()})
    assert contents(store) == before


@pytest.mark.parametrize("error", [Trouble("no"), KeyboardInterrupt()])
def test_what_is_raised_in_an_iterable_of_ids_is_raised(numbers: Catalogue, error: BaseException) -> None:
    def ids() -> Iterator[int]:
        yield from range(1000)
        raise error

    records = numbers["n"]
    for read in (records.decorate, records.decorate_json, records.decorate_arrow, records.select("i").records):
        with pytest.raises(type(error)) as raised:
            read(ids())
        assert raised.value is error
    assert records.decorate([2]) == [{"square": 4}]


def test_what_is_raised_while_warming_ends_it(numbers: Catalogue) -> None:
    def progress(done: int, total: int) -> None:
        raise Trouble(done, total)

    with pytest.raises(Trouble) as raised:
        numbers.warm(progress)
    done, total = raised.value.args
    assert 0 < done <= total == numbers.info()["bytes"]


BUILD = """
import sys, bedeck
from bedeck import Key, Schema, Type

def rows():
    yield {"i": 1}
    print("reading", flush=True)
    yield from ({"i": number} for number in range(5_000_000))  # seconds of work, should nothing end it

bedeck.build(Schema({"n": Type(key=Key("i", "int"))}), sys.argv[1], {"n": rows()})
"""


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_from_the_keyboard_ends_a_build(tmp_path: Path) -> None:
    bedeck.build(NUMBERS, tmp_path / "store", {"n": [{"i": 1}]})
    before = contents(tmp_path / "store")
    command = [sys.executable, "-c", BUILD, str(tmp_path / "store")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "reading\n"
            process.send_signal(signal.SIGINT)
            assert "KeyboardInterrupt" in process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert contents(tmp_path / "store") == before
