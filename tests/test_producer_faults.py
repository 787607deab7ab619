"""A producer that is killed, starved or raced, wherever it is, leaves what was announced, and the next one goes on."""

import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import bedeck
from bedeck import BusyError, Key, Producer, Reference, Schema, StoreError, Type
from bedeck.store import LocalStore
from stores import Rows, answers, contents

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pyarrow.parquet", "bedeck"])
PATIENCE = 120  # seconds until a cycle that should have ended counts as hanging

SCHEMA = Schema(
    {
        "artist": Type(key=Key("id", "int")),
        "track": Type(key=Key("id", "base62"), references={"artist": Reference("artist_id", "artist")}),
    }
)
LAX = {"changed-records": False, "record-count": False}


def rows(tag: str = "", tracks: int = 2000) -> Rows:
    return {
        "artist": [{"id": n, "name": f"artist {n}"} for n in range(99)],
        "track": [
            {"id": f"{n:022}", "title": f"title {n}" + (tag if n < 9 else ""), "artist_id": n % 99}
            for n in range(tracks)
        ],
    }


SOUGHT: Rows = {"artist": rows()["artist"][::7], "track": rows()["track"][:20]}


@pytest.fixture(autouse=True)
def own_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


class Life:
    """What a cycle does: a store before it, as it is after it, and what it is called with."""

    def __init__(self, folder: Path, cycle: Callable[[Producer], object]) -> None:
        self.folder, self.cycle = folder, cycle
        self.before, self.after = folder / "before", folder / "after"
        Producer(self.before, SCHEMA).cycle(rows())
        shutil.copytree(self.before, self.after)
        self.cycle(Producer(self.after, SCHEMA, validators=LAX))
        self.answers = [answers(bedeck.open(self.after, version=version), SOUGHT) for version in (1, 2)]
        assert self.answers[0] != self.answers[1]
        self.tries = 0

    def interrupt(self, interrupt: Callable[..., None], *arguments: Any) -> Path:
        """A store in which a cycle ran as `interrupt` has it, in a process of its own."""
        self.tries += 1
        store = Path(shutil.copytree(self.before, self.folder / str(self.tries)))
        process = PROCESSES.Process(target=interrupt, args=(store, self.cycle, *arguments))
        process.start()
        process.join(PATIENCE)
        assert process.exitcode in {0, -signal.SIGKILL, -signal.SIGXFSZ}
        return store

    def check(self, store: Path) -> int:
        """Check that an interrupted cycle left the version before or the one after, whole; the version it left."""
        catalogue = bedeck.open(store, verify="always")
        left = catalogue.version
        assert answers(catalogue, SOUGHT) == self.answers[left - 1]
        assert LocalStore(store).entries() == list(range(1, left + 1))
        if left == 1:
            self.cycle(Producer(store, SCHEMA, validators=LAX))
        else:
            assert Producer(store, SCHEMA, validators=LAX).update().unchanged
        assert [path.name for path in (store / "tmp").iterdir() if not path.name.startswith("aside-")] == []
        for part in ("blobs", "manifests"):
            assert contents(store / part) == contents(self.after / part)
        assert answers(bedeck.open(store), SOUGHT) == self.answers[1]
        shutil.rmtree(store)
        return left


def full(producer: Producer) -> object:
    return producer.cycle(rows("!"))


def update(producer: Producer) -> object:
    return producer.update({"track": rows("!")["track"][:9]}, {"track": [f"{99:022}"]})


def merge(producer: Producer) -> object:
    return producer.update({"track": [{**row, "title": "other"} for row in rows()["track"][:900]]})


CYCLES = {"full": full, "update": update, "merge": merge}


@pytest.fixture(scope="module", params=CYCLES)
def life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Life:
    return Life(tmp_path_factory.mktemp(request.param), CYCLES[request.param])


def watch(each: Callable[[str], None]) -> None:
    """Have `each` told, right before it is done, whatever this process asks of the file system through Python.

    Marks of what is verified are left out: there are some if the machine is slow.
    """
    os.environ["XDG_RUNTIME_DIR"] = "/nowhere"

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event == "open" or event.startswith(("os.", "fcntl.", "shutil.")):
            each(event)

    sys.addaudithook(hook)


def note_events(store: Path, cycle: Callable[[Producer], object], notes: Path) -> None:
    seen: list[str] = []
    watch(seen.append)
    cycle(Producer(store, SCHEMA, validators=LAX))
    notes.write_text("\n".join(seen))


def kill_at_event(store: Path, cycle: Callable[[Producer], object], at: int) -> None:
    """Run a cycle, and be killed right before the at-th thing asked of the file system."""
    seen = 0

    def count(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)

    watch(count)
    cycle(Producer(store, SCHEMA, validators=LAX))


def kill_at_byte(store: Path, cycle: Callable[[Producer], object], at: int) -> None:
    """Run a cycle, and be killed by the system in the middle of the write that takes a file past `at` bytes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python has it ignored
    cycle(Producer(store, SCHEMA, validators=LAX))


def test_a_cycle_killed_at_each_step(life: Life) -> None:
    notes = life.folder / "events"
    assert life.check(life.interrupt(note_events, notes)) == 2
    events = notes.read_text().splitlines()
    announced = len(events) - events[::-1].index("os.link")  # the last that is made, and never replaced
    step = 1 if "BEDECK_EXAMPLES" in os.environ else 8
    points = sorted({*range(1, len(events) + 1, step), *range(announced - 3, announced + 4)} & {*range(len(events))})
    left = [life.check(life.interrupt(kill_at_event, point)) for point in points]
    assert left == [1 if point <= announced else 2 for point in points]


def test_a_cycle_killed_in_the_middle_of_a_write(life: Life) -> None:
    sizes = sorted(path.stat().st_size for path in (life.after / "blobs").iterdir())
    for point in (0, 1, 100, 1000, sizes[-1] // 2):
        assert life.check(life.interrupt(kill_at_byte, point)) in {1, 2}


def kill_while_reading(store: Path) -> None:
    Producer(store, SCHEMA).update({"track": lambda: os.kill(os.getpid(), signal.SIGKILL)})


def test_a_killed_producer_leaves_its_work_to_the_next_and_a_living_one_keeps_its_own(tmp_path: Path) -> None:
    store = tmp_path / "store"
    Producer(store, SCHEMA).cycle(rows())
    process = PROCESSES.Process(target=kill_while_reading, args=(store,))
    process.start()
    process.join(PATIENCE)
    (left,) = (store / "tmp").glob("cycle-*")
    seen: list[set[str]] = []

    def look() -> Rows:
        seen.append({path.name for path in (store / "tmp").glob("cycle-*")})
        if len(seen) == 1:
            Producer(store, SCHEMA).cycle({"artist": rows()["artist"], "track": look})
        return rows()["track"]

    Producer(store, SCHEMA).cycle({"artist": rows()["artist"], "track": look})
    outer, inner = seen
    assert left.name not in outer
    assert (len(outer), len(inner), outer < inner) == (1, 2, True)
    assert list((store / "tmp").glob("cycle-*")) == []


# Races of processes


def publish_own(store: Path, number: int, told: Connection) -> None:
    """Publish a record, however many others do; tell how often others were faster."""
    lost = 0
    while True:
        try:
            cycle = Producer(store, SCHEMA, threads=1).update({"artist": [{"id": number, "name": "new"}]})
        except BusyError:
            lost += 5
        else:
            told.send((cycle.version, lost + cycle.attempts - 1))
            return


def test_processes_that_publish_at_once_all_do(tmp_path: Path) -> None:
    store, numbers = tmp_path / "store", range(1000, 1006)
    Producer(store, SCHEMA).cycle(rows())
    hear, told = PROCESSES.Pipe(duplex=False)
    processes = [PROCESSES.Process(target=publish_own, args=(store, number, told)) for number in numbers]
    for process in processes:
        process.start()
    versions = sorted(hear.recv()[0] for _ in numbers)
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0
    assert versions == list(range(2, 8))
    assert set(bedeck.open(store)["artist"]) == {*range(99), *numbers}
    assert [entry.announced.version for entry in LocalStore(store).history()] == [7, 6, 5, 4, 3, 2, 1]


# Disks


def cycle_on_a_full_disk(store: Path, cycle: Callable[[Producer], object], room: int, told: Connection) -> None:
    """Run a cycle where no file can become larger than `room`; Python has the signal for it ignored, so writes fail."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        cycle(Producer(store, SCHEMA, validators=LAX))
    except OSError as error:
        told.send((type(error).__name__, str(error)))
    else:
        told.send(None)


@pytest.mark.parametrize("room", [0, 1, 100, 1000])
def test_a_write_that_fails_is_told_and_leaves_the_store_as_it_was(life: Life, room: int) -> None:
    hear, told = PROCESSES.Pipe(duplex=False)
    store = life.interrupt(cycle_on_a_full_disk, room, told)
    error, message = hear.recv()
    assert error == "StoreError"
    assert str(store) in message
    assert life.check(store) == 1


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of `size` bytes in memory."""
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.getuid() or not mount or not umount:
        pytest.skip("only root may mount a small file system")
    command = [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:  # noqa: S603 - our own
        pytest.skip("this system lets nobody mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run([umount, "--lazy", str(folder)], check=True)  # noqa: S603 - our own


def test_a_disk_that_is_full_is_told_and_the_next_cycle_goes_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 1 << 20) as folder:
        store = folder / "store"
        Producer(store, SCHEMA).cycle(rows())
        before = answers(bedeck.open(store), SOUGHT)
        with pytest.raises(StoreError, match="No space left on device"):
            Producer(store, SCHEMA, validators=LAX).cycle(rows(tracks=100_000))
        assert list((store / "tmp").iterdir()) == []
        assert answers(bedeck.open(store, verify="always"), SOUGHT) == before
        assert Producer(store, SCHEMA).cycle(rows("!")).version == 2


# Clocks


class LongAgo(datetime):
    """A clock that goes back a day each time it is looked at."""

    days = 0

    @classmethod
    def now(cls, tz: Any = None) -> "LongAgo":
        cls.days += 1
        moment = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(days=cls.days)
        return cls(moment.year, moment.month, moment.day, tzinfo=tz)


def test_a_clock_that_goes_back_changes_nothing_but_what_the_log_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bedeck.log  # noqa: PLC0415 - its clock

    monkeypatch.setattr(bedeck.log, "datetime", LongAgo)
    store = LocalStore(tmp_path / "store")
    for tracks in range(2000, 2004):
        assert Producer(store, SCHEMA).cycle(rows(tracks=tracks)).version == tracks - 1999
    history = list(store.history())
    assert [entry.at for entry in history] == sorted(entry.at for entry in history)
    assert [entry.announced.version for entry in history] == [4, 3, 2, 1]
    assert len(bedeck.open(store.path)["track"]) == 2003
