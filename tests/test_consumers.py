"""Consumers on one host, killed, forked, out of room: one brings what all use, and nobody waits for the dead."""

import multiprocessing
import os
import queue
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import bedeck
from away import LARGE, Away, asked, fork, gone, large_rows
from bedeck.errors import StoreError
from bedeck.store import LocalStore
from stores import contents

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["away", "bedeck"])
PATIENCE = 120  # seconds until a test that waits for another process gives up
MIB = 1 << 20
OLD, NEW = 1, 2


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of large rows, the second one served; not to be changed."""
    store = tmp_path_factory.mktemp("built") / "store"
    for tag in ("old", "new"):
        bedeck.build(LARGE, store, large_rows(tag))
    return store


@dataclass(frozen=True)
class Place:
    """Where a consumer finds things."""

    runtime: Path
    path: Path
    notes: Path
    cache: Path

    def consumer(self) -> tuple[Away, dict[str, Any]]:
        """The store, and how to open it, in a process that was just begun."""
        os.environ["XDG_RUNTIME_DIR"] = str(self.runtime)
        return Away(self.path, self.notes), {"cache": self.cache}


class Host:
    """A store elsewhere, and a cache on this host that has its first version."""

    def __init__(self, built: Path, folder: Path) -> None:
        self.started: list[Any] = []
        self.path = Path(shutil.copytree(built, folder / "store"))
        self.notes, self.cache = folder / "notes", folder / "cache"
        self.place = Place(folder, self.path, self.notes, self.cache)
        self.local = LocalStore(self.path)
        self.local.pin(OLD, "to begin with")
        self.blobs = contents(self.path / "blobs")
        self.expected = {version: answer(bedeck.open(self.path, version=version)) for version in (OLD, NEW)}
        self.folder = self.open().path
        self.local.unpin("go on")
        self.notes.unlink()

    def away(self) -> Away:
        return Away(self.path, self.notes)

    def open(self, **options: Any) -> bedeck.Catalogue:
        return bedeck.open(self.away().store(), cache=self.cache, **options)

    def start(self, consume: Callable[..., None], *arguments: Any) -> Any:
        """Run ``consume`` in a process of its own."""
        process = PROCESSES.Process(target=consume, args=(self.place, *arguments))
        process.start()
        self.started.append(process)
        return process

    def size(self, version: int) -> int:
        """Bytes of the blobs of a version."""
        return sum(self.local.measure(self.local.manifest(self.local.resolve(version))).values())

    def brought(self) -> int:
        """Bytes of blobs that anybody has asked the store for."""
        pieces = [line.split()[1:] for line in asked(self.notes, "blobs/")]
        return sum(int(piece[1]) - int(piece[0]) for piece in pieces if piece)

    def check(self, version: int) -> None:
        """See that a start, with and without the store, serves ``version`` from what is here, all of it right."""
        away = self.away()
        for fault in (None, gone):
            away.fault = fault or away.fault
            catalogue = bedeck.open(away.store(), cache=self.cache, verify="always")
            assert catalogue.version == version
            assert answer(catalogue) == self.expected[version]
        here = contents(self.folder / "blobs")
        assert here.items() <= self.blobs.items()


@pytest.fixture
def host(built: Path, tmp_path: Path) -> Iterator[Host]:
    host = Host(built, tmp_path)
    yield host
    for process in host.started:
        process.kill()


def answer(catalogue: bedeck.Catalogue) -> list[Any]:
    return [catalogue["a"].decorate([1]), catalogue["t"].decorate(range(0, 13_000, 997))]


def ended(process: Any) -> int:
    process.join(PATIENCE)
    alive = process.is_alive()
    process.kill()
    process.join()
    assert not alive, "hangs"
    return process.exitcode


# Killed


def watch(each: Callable[[], None]) -> None:
    """Have ``each`` called right before whatever this process asks of the file system through Python."""

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event == "open" or event.startswith(("os.", "fcntl.", "shutil.")):
            each()

    sys.addaudithook(hook)


def open_and_be_killed(place: Place, at: int, steps: Connection) -> None:
    """Open what is served, and be killed right before the step ``at``, or tell how many there were."""
    away, options = place.consumer()
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    watch(step)
    catalogue = bedeck.open(away.store(), **options)
    steps.send(count)
    assert catalogue.version == NEW


def refresh_and_be_killed(place: Place, at: int, steps: Connection) -> None:
    """The same of a consumer that serves the version before, and moves."""
    away, options = place.consumer()
    LocalStore(place.path).pin(OLD, "to begin with")
    catalogue = bedeck.open(away.store(), **options)
    catalogue["t"].select("noise")
    catalogue.warm()
    LocalStore(place.path).unpin("go on")
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    watch(step)
    assert catalogue.refresh()
    steps.send(count)
    assert catalogue.version == NEW


@pytest.mark.parametrize("consume", [open_and_be_killed, refresh_and_be_killed])
def test_a_consumer_killed_at_any_step_starts_again_and_serves(host: Host, consume: Callable[..., None]) -> None:
    """In downloads, while verifying, at the swap, while clearing up: whatever is left, a start makes the best of it."""
    hear, tell = PROCESSES.Pipe(duplex=False)
    before = Path(shutil.copytree(host.cache, host.cache.with_name("before")))
    assert ended(host.start(consume, 0, tell)) == 0
    steps = hear.recv()
    assert steps > 50
    for at in range(1, steps, max(1, steps // 12)):
        shutil.rmtree(host.cache)
        shutil.copytree(before, host.cache)
        assert ended(host.start(consume, at, tell)) in {0, -signal.SIGKILL}
        away = host.away()
        away.fault = gone
        alone = bedeck.open(away.store(), cache=host.cache)
        assert answer(alone) == host.expected[alone.version]
        host.check(NEW)


def test_a_consumer_killed_again_and_again_gets_there(host: Host) -> None:
    """Each start finds what all before it left."""
    hear, tell = PROCESSES.Pipe(duplex=False)
    at = 20
    while ended(host.start(open_and_be_killed, at, tell)):
        at += 15
    assert hear.recv() < at
    host.check(NEW)
    assert host.brought() < 4 * host.size(NEW)


def fail_at_the_third_answer(place: Place, killed: bool) -> None:  # noqa: FBT001
    """Begin a download, and be killed, or lose the store, once two of its pieces have come."""
    away, options = place.consumer()
    answers: list[str] = []

    def fail(name: str, data: bytes) -> bytes:
        answers.append(name) if name.startswith("blobs/t-") and len(data) > MIB else None
        if len(answers) < 3:
            return data
        if killed:
            os.kill(os.getpid(), signal.SIGKILL)
        return gone(name, data)

    away.fault = fail
    assert bedeck.open(away.store(), **options).version == OLD


@pytest.mark.parametrize("killed", [True, False])
def test_a_download_that_broke_off_goes_on_with_what_is_right(host: Host, killed: bool) -> None:  # noqa: FBT001
    assert ended(host.start(fail_at_the_third_answer, killed)) == (-signal.SIGKILL if killed else 0)
    (part,) = (host.folder / "tmp").glob("t-*.part")
    blob, begun = (host.path / "blobs" / part.stem).read_bytes(), part.read_bytes()
    assert len(begun) == len(blob)
    host.notes.unlink()
    other = bedeck.open(host.away().store(), cache=host.cache.with_name("other"))
    spans = spans_of(host, part.stem)
    wrong = {(start, end) for start, end in spans if begun[start:end] != blob[start:end]}
    assert wrong
    assert other.version == NEW
    host.notes.unlink()
    assert host.open().status().failures == 0
    assert spans_of(host, part.stem) == wrong
    host.check(NEW)


def spans_of(host: Host, name: str) -> set[tuple[int, int]]:
    """What of a blob was asked for."""
    found = (line.split() for line in asked(host.notes, f"blobs/{name}"))
    return {(int(words[1]), int(words[2])) for words in found if len(words) == 3}


def test_rubbish_in_a_part_is_told_from_what_is_right(host: Host) -> None:
    for name in host.local.measure(host.local.manifest(host.local.resolve(NEW))):
        data = (host.path / "blobs" / name).read_bytes()
        (host.folder / "tmp" / f"{name}.part").write_bytes(data[: 4 * MIB] + b"rubbish" * 3 * MIB)
    (host.folder / "tmp" / "t-of-a-version-that-never-came.part").write_bytes(b"rubbish")
    catalogue = host.open()
    assert catalogue.version == NEW
    assert 0 < catalogue.status().downloaded < host.size(NEW)
    host.check(NEW)
    assert list((host.folder / "tmp").glob("*.part")) == []


# Together


def open_at_once(place: Place, barrier: Any, told: Any) -> None:
    away, options = place.consumer()
    barrier.wait(PATIENCE)
    catalogue = bedeck.open(away.store(), **options)
    told.put((catalogue.version, catalogue.status().downloaded, answer(catalogue)))


def test_of_many_processes_one_downloads_what_all_use(host: Host) -> None:
    barrier, told = PROCESSES.Barrier(5), PROCESSES.Queue()
    processes = [host.start(open_at_once, barrier, told) for _ in range(5)]
    found = [told.get(timeout=PATIENCE) for _ in processes]
    assert [ended(process) for process in processes] == [0] * 5
    assert [(version, answered) for version, _, answered in found] == [(NEW, host.expected[NEW])] * 5
    assert sum(downloaded for _, downloaded, _ in found) == host.brought() == host.size(NEW)


def follow_until(place: Place, told: Any) -> None:
    away, options = place.consumer()
    catalogue = bedeck.open(away.store(), follow=True, poll=0.01, **options)
    events: queue.Queue[Any] = queue.Queue()
    catalogue.listen(events.put)
    told.put("follows")
    while catalogue.version != NEW:
        events.get(timeout=PATIENCE)
    told.put((catalogue.status().downloaded, answer(catalogue)))


def test_workers_that_follow_share_one_download(host: Host) -> None:
    host.local.pin(OLD, "to begin with")
    told = PROCESSES.Queue()
    processes = [host.start(follow_until, told) for _ in range(3)]
    assert [told.get(timeout=PATIENCE) for _ in processes] == ["follows"] * 3
    host.local.unpin("go on")
    found = [told.get(timeout=PATIENCE) for _ in processes]
    assert [ended(process) for process in processes] == [0] * 3
    assert [answered for _, answered in found] == [host.expected[NEW]] * 3
    assert sum(downloaded for downloaded, _ in found) == host.brought() == host.size(NEW)


def hang(place: Place, begun: Any) -> None:
    """Begin a download, and never go on."""
    away, options = place.consumer()

    def wait(name: str, data: bytes) -> bytes:
        if name.startswith("blobs/t-") and data:
            begun.set()
            threading.Event().wait()
        return data

    away.fault = wait
    bedeck.open(away.store(), **options)


def test_the_turn_of_a_downloader_that_died_is_taken_over(host: Host) -> None:
    begun, told, barrier = PROCESSES.Event(), PROCESSES.Queue(), PROCESSES.Barrier(1)
    first = host.start(hang, begun)
    assert begun.wait(PATIENCE)
    second = host.start(open_at_once, barrier, told)
    waiting = f":{(host.folder / 'tmp' / 'lock').stat().st_ino} "
    while not any("->" in line and waiting in line for line in Path("/proc/locks").read_text().splitlines()):
        assert second.is_alive()
    assert told.empty()
    first.kill()
    version, _, answered = told.get(timeout=PATIENCE)
    assert (version, answered) == (NEW, host.expected[NEW])
    assert ended(second) == 0
    assert ended(first) == -signal.SIGKILL


# Forked


def test_a_forked_child_follows_what_its_parent_brings(host: Host) -> None:
    """Under a server that loads the application, then forks its workers: what asks the network is of no use in them."""
    host.local.pin(OLD, "to begin with")
    catalogue = host.open(follow=True, poll=0.01)
    hearing, telling = os.pipe()
    child = fork()
    if not child:
        signal.alarm(PATIENCE)  # a child that hangs is killed, and so told
        code = 1
        try:
            events: queue.Queue[Any] = queue.Queue()
            catalogue.listen(events.put)
            os.write(telling, b"follows")
            while catalogue.version != NEW:
                events.get(timeout=PATIENCE)
            status = catalogue.status()
            assert (status.reachable, status.failures, status.downloaded) == (None, 0, 0), status
            assert status.heard is not None
            assert answer(catalogue) == host.expected[NEW]
            code = 0
        finally:
            os._exit(code)
    assert os.read(hearing, 7) == b"follows"
    assert catalogue.version == OLD
    host.local.unpin("go on")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    catalogue.close()


def test_a_forked_child_holds_no_turn(host: Host) -> None:
    """What is forked in the midst of a download does not keep others from the next."""
    away = host.away()
    children = []

    def beget(name: str, data: bytes) -> bytes:
        if name.startswith("blobs/t-") and not children:
            children.append(fork())
            if not children[0]:
                signal.alarm(PATIENCE)
                while True:
                    signal.pause()
        return data

    away.fault = beget
    try:
        assert bedeck.open(away.store(), cache=host.cache).version == NEW
        host.local.pin(OLD, "back")
        assert bedeck.open(host.away().store(), cache=host.cache, keep=1).version == OLD
    finally:
        os.kill(children[0], signal.SIGKILL)
        os.waitpid(children[0], 0)


# Full


def refresh_on_a_full_disk(place: Place, room: int, told: Any) -> None:
    """Refresh where no file can become larger than ``room``; then once more where it can."""
    _, options = place.consumer()
    away = Away(place.path)  # whose notes would not be written either
    LocalStore(place.path).pin(OLD, "to begin with")
    catalogue = bedeck.open(away.store(), **options)
    LocalStore(place.path).unpin("go on")
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        catalogue.refresh()
    except StoreError as error:
        told.put(str(error))
    status = catalogue.status()
    told.put((status.version, status.failures, answer(catalogue)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    told.put((catalogue.refresh(), catalogue.status().failures, answer(catalogue)))


@pytest.mark.parametrize("room", [0, 100, 4096, 5 * MIB])
def test_a_full_disk_is_told_and_the_old_version_serves(host: Host, room: int) -> None:
    told = PROCESSES.Queue()
    assert ended(host.start(refresh_on_a_full_disk, room, told)) == 0
    message = told.get(timeout=PATIENCE)
    assert str(host.folder) in message
    assert "File too large" in message
    assert told.get(timeout=PATIENCE) == (OLD, 1, host.expected[OLD])
    assert told.get(timeout=PATIENCE) == (True, 0, host.expected[NEW])
    host.check(NEW)
