"""A build that is killed, wherever it is, loses nothing announced, and building again gives the very same bytes."""

import multiprocessing
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bedeck
from bedeck import Key, Reference, Schema, Type
from bedeck.store import LocalStore
from stores import Rows, answers, contents

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pyarrow.parquet", "bedeck"])
PATIENCE = 120  # seconds until a build that should have ended counts as hanging

TRACKS, MANY = 20_000, 200_000
SCHEMA = Schema(
    {
        "artist": Type(key=Key("id", "int")),
        "track": Type(key=Key("id", "base62"), references={"artist": Reference("artist_id", "artist")}),
    }
)
SOUGHT: Rows = {
    "artist": [{"id": number} for number in range(0, 99, 7)],
    "track": [{"id": f"{number:022}"} for number in range(9)],
}


def write_sources(folder: Path, tracks: int, tag: str) -> dict[str, str]:
    """Two files of rows, some of them with values so long that they go into the heap."""
    folder.mkdir()
    rows = {
        "artist": {
            "id": range(tracks // 10),
            "name": [f"{tag} artist {number} " * (60 if number % 50 == 0 else 1) for number in range(tracks // 10)],
        },
        "track": {
            "id": [f"{number:022}" for number in range(tracks)],
            "title": [f"{tag} title {number}" for number in range(tracks)],
            "artist_id": [number % (tracks // 9) for number in range(tracks)],
        },
    }
    for name, columns in rows.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", row_group_size=tracks // 5)
    return {name: str(folder / f"{name}.parquet") for name in SCHEMA.types}


@pytest.fixture(autouse=True)
def own_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


class Life:
    """A build from its begin to its end: the store before it, the store after it, and what is to be built."""

    def __init__(self, folder: Path, tracks: int) -> None:
        self.folder = folder
        self.sources = [write_sources(folder / tag, tracks, tag) for tag in ("old", "new")]
        self.before, self.after = folder / "before", folder / "after"
        bedeck.build(SCHEMA, self.before, self.sources[0])
        shutil.copytree(self.before, self.after)
        self.seconds = self.build(self.after).seconds
        self.answers = [answers(bedeck.open(self.after, version=version), SOUGHT) for version in (1, 2)]
        assert self.answers[0] != self.answers[1]
        self.tries = 0

    def build(self, store: Path) -> bedeck.Build:
        """Build version 2."""
        return bedeck.build(SCHEMA, store, self.sources[1], threads=2)

    def interrupt(self, interrupt: Callable[..., None], *arguments: Any) -> Path:
        """A store in which a build ran as `interrupt` has it, in a process of its own."""
        self.tries += 1
        store = Path(shutil.copytree(self.before, self.folder / str(self.tries)))
        process = PROCESSES.Process(target=interrupt, args=(store, self.sources[1], *arguments))
        process.start()
        process.join(PATIENCE)
        assert process.exitcode in {0, -signal.SIGKILL, -signal.SIGXFSZ}
        self.ended = process.exitcode
        return store

    def check(self, store: Path) -> int:
        """Check that an interrupted build left the version before or the one after, whole; the version it left."""
        catalogue = bedeck.open(store, verify="always")
        left = catalogue.version
        assert answers(catalogue, SOUGHT) == self.answers[left - 1]
        assert LocalStore(store).entries() == list(range(1, left + 1))
        assert answers(bedeck.open(store, version=1), SOUGHT) == self.answers[0]
        if left == 1:
            self.build(store)
        with LocalStore(store).hold() as folder:
            assert list(folder.iterdir()) == []
        for part in ("blobs", "manifests"):
            assert contents(store / part) == contents(self.after / part)
        assert answers(bedeck.open(store), SOUGHT) == self.answers[1]
        shutil.rmtree(store)
        return left


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return Life(tmp_path_factory.mktemp("life"), TRACKS)


def watch(each: Callable[[str], None]) -> None:
    """Have `each` told, right before it is done, whatever this process asks of the file system through Python."""

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event == "open" or event.startswith(("os.", "fcntl.", "shutil.")):
            each(event)

    sys.addaudithook(hook)


def note_events(store: Path, sources: dict[str, str], notes: Path) -> None:
    """Build undisturbed; note what is asked of the file system."""
    seen: list[str] = []
    watch(seen.append)
    bedeck.build(SCHEMA, store, sources, threads=2)
    notes.write_text("\n".join(seen))


def kill_at_event(store: Path, sources: dict[str, str], at: int) -> None:
    """Build, and be killed right before the at-th thing asked of the file system."""
    seen = 0

    def count(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)

    watch(count)
    bedeck.build(SCHEMA, store, sources, threads=2)


def kill_at_byte(store: Path, sources: dict[str, str], at: int) -> None:
    """Build, and be killed by the system in the middle of the write that takes a file past `at` bytes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python has it ignored
    bedeck.build(SCHEMA, store, sources, threads=2)


def build_and_tell(store: Path, sources: dict[str, str], told: Connection) -> None:
    told.send("begins")
    bedeck.build(SCHEMA, store, sources, threads=2)
    told.send("ended")


@pytest.fixture(scope="module")
def events(life: Life) -> list[str]:
    """What an undisturbed build asks of the file system."""
    notes = life.folder / "events"
    assert life.check(life.interrupt(note_events, notes)) == 2
    return notes.read_text().splitlines()


def test_a_build_killed_at_twelve_points_of_its_life(life: Life, events: list[str]) -> None:
    points = [1 + place * (len(events) - 1) // 11 for place in range(12)]
    left = [life.check(life.interrupt(kill_at_event, point)) for point in points]
    assert left == [1 if point <= events.index("os.link") + 1 else 2 for point in points]


def test_a_build_killed_around_its_announcement(life: Life, events: list[str]) -> None:
    announced = events.index("os.link") + 1
    left = [life.check(life.interrupt(kill_at_event, announced + off)) for off in (-9, -4, -1, 0, 1, 2, 4)]
    assert left == [1, 1, 1, 1, 2, 2, 2]


def test_a_build_killed_in_the_middle_of_eight_writes(life: Life) -> None:
    largest = max(path.stat().st_size for path in (life.after / "blobs").iterdir())
    for point in (0, 1, 63, 100, 4096, largest // 3, largest // 2, largest - 1):
        store = life.interrupt(kill_at_byte, point)
        assert life.ended == -signal.SIGXFSZ
        assert life.check(store) == 1


def test_a_build_killed_again_and_again(life: Life, events: list[str]) -> None:
    """Each build finds what all before it left."""
    store = Path(shutil.copytree(life.before, life.folder / "again"))
    for point in range(4, events.index("os.link") + 1, 5):
        process = PROCESSES.Process(target=kill_at_event, args=(store, life.sources[1], point))
        process.start()
        process.join(PATIENCE)
        assert process.exitcode == -signal.SIGKILL
        assert bedeck.open(store).version == 1
    assert life.check(store) == 1


def test_a_large_build_killed_from_outside_at_any_moment(tmp_path: Path) -> None:
    large, random = Life(tmp_path, MANY), Random(1)
    for place in range(6):
        store = Path(shutil.copytree(large.before, tmp_path / "killed"))
        hearing, telling = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=build_and_tell, args=(store, large.sources[1], telling))
        process.start()
        assert hearing.recv() == "begins"
        if place < 3:
            hearing.poll(random.uniform(0, large.seconds))  # whatever it is at then
        else:
            while process.is_alive() and written(store / "tmp" / "build") <= (0, 1 << 20, 8 << 20)[place - 3]:
                pass
        process.kill()
        process.join(PATIENCE)
        large.check(store)


def written(folder: Path) -> int:
    """Bytes of the blobs in `folder` by now."""
    total = 0
    for path in folder.glob("*.blob"):
        with suppress(FileNotFoundError):  # it has its final name by now
            total += path.stat().st_size
    return total
