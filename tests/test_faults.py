"""Stores at URLs when network, server or process fail: what was announced stays, and nothing wrong is read."""

import multiprocessing
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import servers
from bedeck._objects.remote import RemoteObjects
from bedeck.errors import NotFoundError, StoreError
from bedeck.manifest import blobs_of
from bedeck.objects import Objects
from bedeck.store import Store
from middleman import Middleman, between
from servers import Place
from shelves import announce

PROCESSES = multiprocessing.get_context("forkserver")
PATIENCE = 120
IMPATIENT = {"retry_config": {"max_retries": 0}}


@pytest.fixture(params=["s3", "azure"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def middleman(place: Place) -> Iterator[Middleman]:
    with between(place.address) as middleman:
        yield middleman


def new_store(place: Place) -> Store:
    """A store with versions 1 to 3."""
    store = Store.at(f"{place.url}/{secrets.token_hex(8)}/store", **place.options)
    for _ in range(3):
        announce(store)
    return store


@pytest.fixture
def store(place: Place) -> Store:
    return new_store(place)


@pytest.fixture
def through(place: Place, middleman: Middleman, store: Store) -> Store:
    """The same store, through the middleman; what fails is not tried again."""
    return Store.at(store.place, **place.through(middleman.address), **IMPATIENT)


@pytest.fixture
def patient(place: Place, middleman: Middleman, store: Store) -> Store:
    """The same store, through the middleman; what fails is tried again, as it is unless somebody wants it otherwise."""
    return Store.at(store.place, **place.through(middleman.address))


def at(number: int, fault: str) -> Callable[[int, str, str], str]:
    return lambda asked, _method, _path: fault if asked == number else ""


def on(method: str, part: str, fault: str, times: int = 1) -> Callable[[int, str, str], str]:
    """The fault, for the first requests of this method whose path has this part."""
    left = [times]

    def decide(_asked: int, asked_method: str, path: str) -> str:
        if asked_method == method and part in path and left[0]:
            left[0] -= 1
            return fault
        return ""

    return decide


def whole(store: Store) -> int:
    """The version that is served: it is there with all its blobs, and so is the one before, and the log has no gap."""
    served = store.resolve().version
    for version in (served - 1, served):
        for name, _ in blobs_of(store.manifest(store.resolve(version))):
            assert store.objects.get(f"blobs/{name}") in {b"tracks %d" % version, b"artists"}
    numbers = store.entries()
    assert numbers == list(range(1, len(numbers) + 1))
    return served


def count(middleman: Middleman, do: Callable[[], object]) -> int:
    """How many requests something takes."""
    middleman.start(lambda *_: "")
    do()
    return len(middleman.asked)


# One request fails


@pytest.mark.parametrize("fault", ["unheard", "unanswered", "busy", "conflict"])
def test_whatever_request_of_an_announcement_fails_the_store_is_whole_and_the_next_one_heals(
    store: Store, place: Place, middleman: Middleman, fault: str
) -> None:
    def anew() -> Store:
        return Store.at(store.place, **place.through(middleman.address), **IMPATIENT)

    ends = set()
    steps = count(middleman, lambda: announce(anew()))
    seen = whole(store)
    for step in range(steps):
        before = seen
        middleman.start(at(step, fault))
        try:
            version = announce(anew()).announced.version
        except StoreError:
            version = None
        middleman.start(lambda *_: "")
        seen = whole(store)
        assert seen in ({before, before + 1} if version is None else {version})
        ends.add((version is not None, seen - before))
    assert announce(anew()).announced.version == seen + 1
    assert {(False, 0), (True, 1)} <= ends
    assert steps > 10


def test_an_entry_whose_answer_is_lost_is_made_and_is_ones_own(
    store: Store, through: Store, middleman: Middleman
) -> None:
    middleman.start(on("PUT", "log", "unanswered"))
    assert announce(through).number == 4
    assert whole(store) == 4
    middleman.start(on("PUT", "log", "unanswered"))
    assert through.pin(2, "why").number == 5
    assert store.resolve().version == 2


def test_a_lost_answer_does_not_make_another_ones_entry_ones_own(
    store: Store, through: Store, middleman: Middleman
) -> None:
    def interfere(_asked: int, method: str, path: str) -> str:
        if method == "PUT" and "log" in path and store.entries() == [1, 2, 3]:
            store.pin(1, "quicker")
            return "unanswered"
        return ""

    middleman.start(interfere)
    entry = through.pin(2, "slower")
    assert (entry.number, store.entry(4).details) == (5, {"reason": "quicker"})


def test_a_conflict_is_tried_again(store: Store, through: Store, middleman: Middleman) -> None:
    middleman.start(on("PUT", "log", "conflict", times=3))
    assert announce(through).number == 4
    assert whole(store) == 4


def test_a_store_that_neither_makes_nor_has_an_entry_is_told(
    store: Store, through: Store, middleman: Middleman
) -> None:
    middleman.start(on("PUT", "log", "conflict", times=99))
    with pytest.raises(StoreError, match=r"neither makes log/0000000004.json nor has it"):
        announce(through)
    assert whole(store) == 3


def test_what_is_busy_for_a_while_is_waited_for(store: Store, patient: Store, middleman: Middleman) -> None:
    for fault in ("busy", "unheard"):
        middleman.start(lambda asked, _method, _path, fault=fault: fault if asked % 2 == 0 else "")
        version = announce(patient).announced.version
        middleman.start(lambda *_: "")
        assert whole(store) == version


# Answers that are damaged on their way


@pytest.mark.parametrize("fault", ["cut", "flipped"])
def test_answers_damaged_on_their_way_are_told_and_never_taken(
    place: Place, store: Store, middleman: Middleman, fault: str
) -> None:
    expected = store.resolve(), store.manifest(store.resolve())

    def read() -> object:
        reader = Store.at(store.place, **place.through(middleman.address), **IMPATIENT)
        ref = reader.resolve()
        return ref, reader.manifest(ref)

    told = 0
    for step in range(count(middleman, read)):
        middleman.start(at(step, fault))
        try:
            assert read() == expected
        except StoreError:
            told += 1
        middleman.start(lambda *_: "")
        assert read() == expected
    assert told >= 2


def test_a_hint_damaged_on_its_way_is_only_a_hint(store: Store, through: Store, middleman: Middleman) -> None:
    middleman.start(on("GET", "latest", "flipped"))
    assert through.resolve() == store.resolve()


# Processes are killed


def announce_in_children(url: str, options: dict[str, Any], parent: Any) -> None:
    """Announce in a child, told by its number, each time the parent sends something; then tell how it ended."""
    while parent.recv():
        gate, opened = os.pipe()
        child = os.fork()
        if not child:
            os.read(gate, 1)
            announce(Store.at(url, **options))
            os._exit(0)
        parent.send(child)
        parent.recv()
        os.write(opened, b"!")
        parent.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        os.close(gate)
        os.close(opened)


def test_a_build_killed_at_any_request_leaves_the_store_as_it_was(s3: Place) -> None:
    store = new_store(s3)
    done = []
    here, there = PROCESSES.Pipe()
    with between(s3.address) as middleman:
        options = s3.through(middleman.address)
        process = PROCESSES.Process(target=announce_in_children, args=(store.place, options, there))
        process.start()
        seen = whole(store)
        for step in range(100):
            here.send("go")
            middleman.victim = here.recv()
            middleman.start(at(step, "killed"))
            here.send("go")
            before, ended, seen = seen, here.recv(), whole(store)
            if ended == 0:
                break
            assert ended == -signal.SIGKILL
            done.append(seen - before)
        here.send("")
        process.join(PATIENCE)
    assert announce(store).announced.version == seen + 1
    assert step > 10
    assert done == sorted(done)
    assert {*done} == {0, 1}
    collected = store.collect(keep=1, grace=-86400)
    assert collected.kept == [store.resolve().version]
    assert store.measure(store.manifest(store.resolve()))
    names = {of.name for prefix in ("blobs/", "manifests/", "tmp/") for of in store.objects.scan(prefix)}
    assert len(names) == 3


def race(url: str, options: dict[str, Any], barrier: Any, told: Any) -> None:
    store = Store.at(url, **options)
    for round_ in range(5):
        head = store.newest()
        barrier.wait(PATIENCE)
        made = store.log.append(head, "pin", head.announced, head.announced, {"reason": f"{os.getpid()} {round_}"})
        told.put(made is not None)
        barrier.wait(PATIENCE)


def test_of_many_processes_that_make_the_same_entry_one_does(store: Store, place: Place) -> None:
    count = 8
    barrier, told = PROCESSES.Barrier(count), PROCESSES.Queue()
    arguments = (store.place, place.options, barrier, told)
    processes = [PROCESSES.Process(target=race, args=arguments) for _ in range(count)]
    for process in processes:
        process.start()
    answers = [told.get(timeout=PATIENCE) for _ in range(5 * count)]
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0
    assert answers.count(True) == 5
    assert store.entries() == list(range(1, 9))


def use_after_fork(url: str, options: dict[str, Any]) -> None:
    """Use a store, fork, and use it in the child: exit code 7 if that is told."""
    store = Store.at(url, **options)
    store.head()
    child = os.fork()
    if not child:
        try:
            Store.at(url, **options).head()
        except StoreError as error:
            os._exit(7 if "this process was forked" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    store.head()


def test_a_forked_process_is_told_and_does_not_wait_for_ever(s3: Place) -> None:
    process = PROCESSES.Process(target=use_after_fork, args=("s3://bucket/x", s3.options))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0


# Places that are none


def test_a_server_that_takes_no_notice_of_conditions_is_refused(tmp_path: Path) -> None:
    with servers.careless(tmp_path) as place:
        url = "s3://bucket/some/store"
        refusal = f"{url} makes an object that is there already, though it is asked not to"
        objects: Objects = RemoteObjects(url, **place.options)
        assert objects.create("tmp/a", b"")
        assert objects.create("tmp/a", b"")  # so it is
        objects.delete("tmp/a")
        changes: list[Callable[[Store], object]] = [
            Store.check_conditions,
            announce,
            lambda store: store.pin(1, "why"),
            lambda store: store.unpin("why"),
            lambda store: store.rollback(1, "why"),
            lambda store: store.collect(1),
        ]
        for change in changes:
            with pytest.raises(StoreError, match=refusal):
                change(Store(objects))
        assert [*objects.list("")] == []


def test_a_store_that_cannot_be_reached_is_told(store: Store, place: Place) -> None:
    gone = Store.at(store.place, **place.through("127.0.0.1:1"))
    for use in (gone.head, gone.newest, gone.entries, gone.versions, gone.check_conditions, lambda: gone.pin(1, "why")):
        with pytest.raises(StoreError, match=f"cannot (read|list|write) .* of {store.place}: .*error sending request"):
            use()


def test_a_server_that_ends_is_told() -> None:
    with servers.s3() as place:
        store = new_store(place)
        assert store.head()
        os.kill(place.process, signal.SIGKILL)
        with pytest.raises(StoreError, match="cannot read latest of s3://bucket"):
            store.head()


def test_a_bucket_that_is_not_there_is_told(place: Place) -> None:
    url = f"{place.url}-of-nobody/store"
    for use in (Store.head, Store.resolve, announce):
        with pytest.raises(StoreError, match=rf"{url}: .*404.*(NoSuchBucket|ContainerNotFound)") as raised:
            use(Store.at(url, **place.options, **IMPATIENT))
        assert not isinstance(raised.value, NotFoundError)
        assert "Debug" not in str(raised.value)
        assert "\n" not in str(raised.value)


def test_credentials_that_are_refused_are_told(azure: Place) -> None:
    options = {**azure.options, "account_key": "c2VjcmV0"}
    told = r"may not read latest of az://container/x: .*; check the credentials"
    with pytest.raises(StoreError, match=told) as raised:
        Store.at("az://container/x", **options, **IMPATIENT).head()
    assert "c2VjcmV0" not in str(raised.value)


def test_what_is_missing_is_named_with_the_way_out() -> None:
    code = "import sys; sys.modules['obstore'] = None; from bedeck.store import Store; Store.at('s3://bucket/x')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert done.stderr.splitlines()[-1] == "ImportError: stores at a URL need obstore: pip install obstore"
