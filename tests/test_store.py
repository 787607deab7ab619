"""The local store: what it announces survives kills, races and full disks, and nothing damaged is ever read."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

import shelves
from bedeck._core import blake3
from bedeck.errors import BusyError, DamagedError, FormatError, NotFoundError, StoreError
from bedeck.log import Entry, Ref
from bedeck.manifest import FORMAT
from bedeck.store import LocalStore, Store
from shelves import make_blob

PROCESSES = multiprocessing.get_context("forkserver")  # a fork of its own single-threaded server, not of pytest
PATIENCE = 120  # seconds until a test that waits for another process gives up


def make_manifest(folder: Path, store: Store, head: Entry | None, tag: bytes = b"") -> dict[str, Any]:
    """Write the blobs of the version after `head`; its manifest."""
    track = make_blob(folder, "track", b"tracks %d " % (store.highest(head) + 1) + tag)
    return shelves.make_manifest(store, head, {"track": [track], "artist": [make_blob(folder, "artist", b"")]})


def publish(store: Store, folder: Path, on: Entry | None, manifest: dict[str, Any]) -> Entry:
    return store.announce(on, manifest, {path.name: path for path in folder.iterdir()})


def build(store: Store, tag: bytes = b"") -> Entry:
    with store.hold() as folder:
        head = store.head()
        return publish(store, folder, head, make_manifest(folder, store, head, tag))


def forge(store: LocalStore, number: int, **members: object) -> None:
    """Write log entry `number` as it should not be, its checksum right."""
    line = json.dumps(members).encode()
    path = store.path / "log" / f"{number:010}.json"
    path.write_bytes(line + f"\nblake3:{blake3(line)}\n".encode())


def forge_manifest(store: LocalStore, data: bytes) -> Ref:
    """Write a manifest as it should not be, its name right; what a log entry would call it."""
    (store.path / "manifests" / f"{blake3(data)}.json").write_bytes(data)
    return Ref(1, blake3(data))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store with versions 1 to 3."""
    store = LocalStore(tmp_path / "store")
    for _ in range(3):
        build(store)
    return store


@pytest.fixture
def new(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "some" / "where" / "store")


# Reading


def test_reads_what_was_published(store: LocalStore) -> None:
    assert store.entries() == [1, 2, 3]
    assert store.head() == store.entry(3)
    assert store.resolve() == store.entry(3).announced == store.resolve(3)
    assert [store.resolve(version) for version in (1, 2, 3)] == [store.entry(number).announced for number in (1, 2, 3)]
    manifest = store.manifest(store.resolve())
    assert manifest["version"] == 3
    assert manifest["parent"] == store.entry(2).announced.manifest
    assert sorted(path.read_bytes() for path in store.blobs(manifest).values()) == [b"", b"tracks 3 "]


def test_files_are_as_documented(store: LocalStore) -> None:
    line, checksum, rest = (store.path / "log" / "0000000003.json").read_bytes().split(b"\n")
    assert checksum.decode() == f"blake3:{blake3(line)}"
    assert rest == b""
    members = json.loads(line)
    assert sorted(members) == ["announced", "at", "by", "details", "entry", "kind", "pinned"]
    assert (members["entry"], members["kind"], members["pinned"]) == (3, "announce", None)
    assert members["announced"]["version"] == 3
    assert (store.path / "latest").read_text() == "3\n"
    data = (store.path / "manifests" / f"{members['announced']['manifest']}.json").read_bytes()
    assert blake3(data) == members["announced"]["manifest"]
    canonical = json.dumps(json.loads(data), separators=(",", ":"), sort_keys=True)
    assert data.decode() == canonical + "\n"


def test_leaves_nothing_behind_but_the_documented_files(store: LocalStore) -> None:
    assert sorted(path.name for path in store.path.iterdir()) == ["blobs", "latest", "log", "manifests", "tmp"]
    assert [path.name for path in (store.path / "tmp").iterdir()] == ["lock"]
    assert len(list((store.path / "blobs").iterdir())) == 4


def test_making_a_store_object_touches_nothing(new: LocalStore) -> None:
    assert not new.path.exists()
    assert repr(new) == f"LocalStore({str(new.path)!r})"
    assert LocalStore(str(new.path)).path == new.path


def test_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    elsewhere = "; check the path, or build into a new or an empty folder"
    for path, way_out in (
        (tmp_path / "nowhere", "check the path, or build one there"),
        (tmp_path / "empty", "check the path, or build one there"),
        (tmp_path, f"it is a folder of other files{elsewhere}"),
        (tmp_path / "file", f"it is a file{elsewhere}"),
        (tmp_path / "file" / "in", "check the path, or build one there"),
    ):
        for read in (LocalStore(path).entries, LocalStore(path).head, LocalStore(path).resolve):
            with pytest.raises(NotFoundError, match=rf"^no bedeck store at {path}: {way_out}$"):
                read()


def test_nothing_announced(new: LocalStore) -> None:
    with new.hold():
        pass
    assert new.head() is None
    with pytest.raises(NotFoundError, match=rf"nothing is announced in {new.path} yet: .*still running"):
        new.resolve()


def test_no_such_version(store: LocalStore) -> None:
    for version in (-1, 0, 4):
        with pytest.raises(
            NotFoundError, match=rf"no version {version} in {store.path}: the newest that was announced is version 3$"
        ):
            store.resolve(version)
    with pytest.raises(NotFoundError, match=r"log entry 4 is missing from .*0000000004.json"):
        store.entry(4)


# Damage


def damaged(data: bytes) -> Iterator[bytes]:
    """Every single-bit flip of `data`, every truncation of it, and a byte too many."""
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        yield bytes(flipped)
    for length in range(len(data)):
        yield data[:length]
    for byte in (b"\0", b"\n", b" "):
        yield data + byte


def test_every_damage_to_a_log_entry_is_told(store: LocalStore) -> None:
    path = store.path / "log" / "0000000003.json"
    whole = path.read_bytes()
    for data in damaged(whole):
        path.write_bytes(data)
        for read in (store.head, store.resolve, lambda: store.resolve(3)):
            with pytest.raises(DamagedError, match=r"^log entry 3 of .*0000000003\.json\): restore it"):
                read()
    assert store.resolve(2).version == 2
    path.write_bytes(whole)
    assert store.resolve().version == 3


def test_every_damage_to_a_manifest_is_told(store: LocalStore) -> None:
    ref = store.resolve()
    path = store.path / "manifests" / f"{ref.manifest}.json"
    for data in damaged(path.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(DamagedError, match=rf"^manifest {ref.manifest} of .*checksum .*restore it"):
            store.manifest(ref)
    path.unlink()
    with pytest.raises(DamagedError, match=rf"^manifest {ref.manifest} is missing from .*restore it"):
        store.manifest(ref)


def test_blobs_missing_or_of_another_size_are_told(store: LocalStore) -> None:
    manifest = store.manifest(store.resolve())
    blob = store.blobs(manifest)[manifest["types"]["track"]["layers"][0]["blob"]["name"]]
    blob.write_bytes(blob.read_bytes()[:-1])
    with pytest.raises(DamagedError, match=rf"{blob} has 8 bytes instead of 9: build again"):
        store.blobs(manifest)
    blob.unlink()
    with pytest.raises(DamagedError, match=rf"blob {blob.name} is missing from .*: build again"):
        store.blobs(manifest)


def test_an_entry_under_another_number_is_damage(store: LocalStore) -> None:
    shutil.copy(store.path / "log" / "0000000001.json", store.path / "log" / "0000000004.json")
    with pytest.raises(DamagedError, match="log entry 4"):
        store.resolve()


REF = {"version": 1, "manifest": "0" * 64}
WHOLE = {"announced": REF, "at": "", "by": "", "details": {}, "entry": 1, "kind": "announce", "pinned": None}


def test_an_entry_of_the_right_structure_is_read(store: LocalStore) -> None:
    forge(store, 1, **WHOLE, more=1)
    assert store.entry(1) == Entry(1, "announce", Ref(1, "0" * 64), None, "", "", {})


@pytest.mark.parametrize(
    "change",
    [
        {"entry": "1"},
        {"entry": 2},
        {"entry": True},
        {"at": None},
        {"by": 1},
        {"kind": None},
        {"details": []},
        {"announced": None},
        {"announced": "1"},
        *({name: {**REF, "version": value}} for name in ("announced", "pinned") for value in ("1", 1.0, 0, True, None)),
        *({name: {**REF, "manifest": value}} for name in ("announced", "pinned") for value in ("../x", "A" * 64, 7)),
        {"pinned": {}},
        {"pinned": False},
    ],
    ids=str,
)
def test_an_entry_of_wrong_structure_is_damage(store: LocalStore, change: dict[str, object]) -> None:
    forge(store, 1, **WHOLE | change)
    with pytest.raises(DamagedError, match="log entry 1"):
        store.entry(1)


@pytest.mark.parametrize("member", WHOLE)
def test_an_entry_without_a_member_is_damage(store: LocalStore, member: str) -> None:
    forge(store, 1, **{name: value for name, value in WHOLE.items() if name != member})
    with pytest.raises(DamagedError, match="log entry 1"):
        store.entry(1)


def test_an_entry_of_format_0_is_told(store: LocalStore) -> None:
    forge(store, 1, at="", by="", entry=1, kind="announce", manifest="0" * 64, version=1)
    with pytest.raises(FormatError, match=r"log entry 1 .*older than format 1 .*build into a new store"):
        store.entry(1)


def test_an_entry_of_an_unknown_kind_is_from_a_newer_bedeck(store: LocalStore) -> None:
    forge(store, 4, **{**WHOLE, "entry": 4, "kind": "repeal"})
    with pytest.raises(FormatError, match=r"log entry 4 .*of kind 'repeal'.*upgrade"):
        store.resolve()
    assert store.resolve(2).version == 2
    with pytest.raises(FormatError), store.hold() as folder:
        publish(store, folder, store.head(), make_manifest(folder, store, store.entry(3)))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b'{"format":2}', FormatError),
        (b'{"format":2,"version":1,"types":{}}', FormatError),
        (b'{"format":0,"version":1,"types":{}}', FormatError),
        (b"", FormatError),
        (b"PAR1", FormatError),
        (b"\xff\xfe", FormatError),
        (b"[" * 100_000, FormatError),
        (b"[]", FormatError),
        (b'{"name":"left-pad","version":1}', FormatError),
        (b'{"format":1,"version":2,"types":{}}', DamagedError),
        (b'{"format":1,"version":1,"types":[]}', DamagedError),
        (b'{"format":1,"version":1}', DamagedError),
        (b'{"format":-1,"version":1,"types":{}}', DamagedError),
    ],
)
def test_foreign_newer_and_misshapen_manifests(store: LocalStore, data: bytes, error: type[StoreError]) -> None:
    with pytest.raises(error, match=r"upgrade bedeck|restore it|build into a new store"):
        store.manifest(forge_manifest(store, data))


@pytest.mark.parametrize(
    "type_",
    [
        None,
        {},
        {"layers": []},
        {"layers": "x"},
        {"layers": [{}]},
        {"layers": [{"blob": {"name": "../../secret", "size": 0}}]},
        {"layers": [{"blob": {"name": "/etc/passwd", "size": 0}}]},
        {"layers": [{"blob": {"name": f"track-{'0' * 32}.blob\n", "size": 0}}]},
        {"layers": [{"blob": {"name": f"track-{'0' * 32}.blob"}}]},
        {"layers": [{"blob": {"name": f"track-{'0' * 32}.blob", "size": "0"}}]},
    ],
)
def test_a_manifest_that_names_no_proper_blob_is_damage(store: LocalStore, type_: object) -> None:
    manifest = store.manifest(
        forge_manifest(store, json.dumps({"format": FORMAT, "version": 1, "types": {"x": type_}}).encode())
    )
    with pytest.raises(DamagedError, match="for type x"):
        store.blobs(manifest)


# Strays and gaps


def test_files_of_other_names_are_no_entries(store: LocalStore) -> None:
    log = store.path / "log"
    strays = [
        "0000000003.json~",
        ".0000000003.json.swp",
        "0000000004.json.tmp",
        "#0000000009.json#",
        "4.json",
        "README",
        "0000000000.json",
    ]
    for name in [*strays, "00000000004.json", "000000000४.json", "0000000004.JSON", "0000000005.json\n"]:
        (log / name).write_text("rubbish")
    (store.path / "manifests" / "x.json~").write_text("rubbish")
    (store.path / "tmp" / "note.txt").write_text("mine")
    assert store.entries() == [1, 2, 3]
    assert build(store).number == 4
    assert (store.path / "tmp" / "note.txt").read_text() == "mine"


def test_a_missing_entry_matters_only_to_who_may_need_it(store: LocalStore) -> None:
    (store.path / "log" / "0000000002.json").unlink()
    assert store.entries() == [1, 3]
    assert store.resolve().version == 3
    assert store.resolve(1).version == 1
    with pytest.raises(DamagedError, match=r"log entry 2 of .* is missing"):
        store.resolve(2)
    with pytest.raises(NotFoundError, match="no version 9"):
        store.resolve(9)
    assert build(store).number == 4


def test_an_unreadable_entry_matters_only_to_who_may_need_it(store: LocalStore) -> None:
    (store.path / "log" / "0000000002.json").write_text("rubbish")
    assert store.resolve().version == 3
    assert store.resolve(1).version == 1
    with pytest.raises(DamagedError, match="log entry 2"):
        store.resolve(2)
    assert build(store).announced.version == 4


def test_nothing_is_built_on_an_unreadable_head(store: LocalStore) -> None:
    (store.path / "log" / "9999999999.json").touch()
    before = everything(store.path)
    with pytest.raises(DamagedError, match="log entry 9999999999"):
        build(store)
    assert everything(store.path) == before


def test_a_folder_in_the_place_of_an_entry_is_told(store: LocalStore) -> None:
    (store.path / "log" / "0000000004.json").mkdir()
    with pytest.raises(StoreError, match=r"cannot read log/0000000004.json of .*Is a directory"):
        store.resolve()


# Publishing


def test_a_rerun_gives_the_same_blobs_and_manifests(store: LocalStore, tmp_path: Path) -> None:
    again = LocalStore(tmp_path / "again")
    for _ in range(3):
        build(again)
    for part in ("blobs", "manifests"):
        assert everything(again.path / part) == everything(store.path / part)


def test_several_versions_in_one_hold(new: LocalStore) -> None:
    with new.hold() as folder:
        entries = [publish(new, folder, new.head(), make_manifest(folder, new, new.head())) for _ in range(3)]
    assert [new.entry(number) for number in new.entries()] == entries
    assert [new.manifest(entry.announced)["version"] for entry in entries] == [1, 2, 3]


def test_building_again_heals_a_damaged_blob(store: LocalStore) -> None:
    manifest = store.manifest(store.resolve())
    blob = store.blobs(manifest)[manifest["types"]["track"]["layers"][0]["blob"]["name"]]
    blob.write_bytes(b"damaged!!")
    with store.hold() as folder:
        make_blob(folder, "track", b"tracks 3 ")
        publish(store, folder, store.head(), {**manifest, "parent": store.resolve().manifest, "version": 4})
    assert blob.read_bytes() == b"tracks 3 "


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"parent": "0" * 64}, ValueError, "parent is not what entry 3 announces"),
        ({"parent": None}, ValueError, "parent is not what entry 3 announces"),
        ({"version": 3}, ValueError, "version 3 is not higher"),
        ({"types": {"track": {"layers": [{"blob": {"name": "x", "size": 1}}]}}}, DamagedError, "for type track"),
    ],
)
def test_a_refused_publication_announces_nothing(
    store: LocalStore, change: dict[str, object], error: type[Exception], told: str
) -> None:
    before = everything(store.path)
    with pytest.raises(error, match=told), store.hold() as folder:
        publish(store, folder, store.head(), {**make_manifest(folder, store, store.head()), **change})
    assert everything(store.path) == before


def test_what_was_built_on_an_older_version_is_not_announced(store: LocalStore) -> None:
    before = everything(store.path)
    with store.hold() as folder:
        manifest = make_manifest(folder, store, store.entry(2), b"late")
        with pytest.raises(BusyError, match="another build has announced a version"):
            publish(store, folder, store.entry(2), {**manifest, "version": 4})
        manifest = make_manifest(folder, store, None, b"late")
        with pytest.raises(BusyError, match="another build has announced a version"):
            publish(store, folder, None, manifest)
    assert everything(store.path) == before


def test_blobs_are_measured_before_they_are_announced(store: LocalStore) -> None:
    before = everything(store.path)
    with store.hold() as folder:
        manifest = make_manifest(folder, store, store.head())
        name = manifest["types"]["track"]["layers"][0]["blob"]["name"]
        (folder / name).write_bytes(b"short")
        with pytest.raises(DamagedError, match=f"{name} has 5 bytes instead of 9"):
            publish(store, folder, store.head(), manifest)
        (folder / name).unlink()
        with pytest.raises(DamagedError, match=f"blob {name} is missing"):
            publish(store, folder, store.head(), manifest)
    assert everything(store.path) == before


def record(monkeypatch: pytest.MonkeyPatch, fail_at: int = 0) -> list[tuple[str, str]]:
    """Note what is synced, renamed and linked from now on; from the fail_at-th sync on the disk is full."""
    steps: list[tuple[str, str]] = []
    names: dict[int, str] = {}
    real_open, real_sync, real_replace, real_link = os.open, os.fsync, os.replace, os.link

    def open_(path: str | Path, *arguments: int, dir_fd: int | None = None) -> int:
        opened = real_open(path, *arguments, dir_fd=dir_fd)  # rmtree gives one
        names[opened] = Path(path).name
        return opened

    def fsync(opened: int) -> None:
        steps.append(("sync", names[opened]))
        if 0 < fail_at <= [step for step, _ in steps].count("sync"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real_sync(opened)

    def replace(source: Path, target: Path) -> None:
        steps.append(("move", target.name))
        real_replace(source, target)

    def link(source: Path, target: Path) -> None:
        steps.append(("link", target.name))
        real_link(source, target)

    for name, function in (("open", open_), ("fsync", fsync), ("replace", replace), ("link", link)):
        monkeypatch.setattr(os, name, function)
    return steps


def test_what_is_moved_is_on_disk_and_so_is_the_move_before_the_next_step(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.hold() as folder:
        manifest = make_manifest(folder, store, store.head())
        track, artist = (manifest["types"][name]["layers"][0]["blob"]["name"] for name in ("track", "artist"))
        with monkeypatch.context() as patched:
            steps = record(patched)
            entry = publish(store, folder, store.head(), manifest)
    assert [step if "aside-" not in step[1] else (step[0], "aside") for step in steps] == [
        ("sync", track),
        ("move", track),
        ("sync", "blobs"),
        ("sync", artist),
        ("move", artist),
        ("sync", "blobs"),
        ("sync", "aside"),
        ("move", f"{entry.announced.manifest}.json"),
        ("sync", "manifests"),
        ("sync", "aside"),
        ("link", "0000000004.json"),
        ("sync", "log"),
        ("sync", "aside"),
        ("move", "latest"),
        ("sync", "store"),
    ]


def test_a_full_disk_is_told_and_what_was_announced_still_is(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        steps = record(patched)
        build(LocalStore(shutil.copytree(store.path, tmp_path / "copy")))
    count = [step for step, _ in steps].count("sync")
    told = r"cannot (prepare|write to) the store .*: .*No space left on device; mend that, then try again"
    for fail_at in range(1, count + 1):
        full = LocalStore(shutil.copytree(store.path, tmp_path / str(fail_at)))
        with monkeypatch.context() as patched:
            steps = record(patched, fail_at)
            if fail_at > count - 2:  # the hint: without it, readers find the entry all the same
                build(full)
            else:
                with pytest.raises(StoreError, match=told):
                    build(full)
        assert announced(full) == (4 if ("link", "0000000004.json") in steps else 3)
        assert build(full).announced.version == announced(full)
        assert [path.name for path in (full.path / "tmp").iterdir()] == ["lock"]


def test_a_new_store_is_made_durable_up_to_the_folder_that_was_there(
    new: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        steps = record(patched)
        with new.hold():
            pass
    assert steps == [("sync", tmp_path.name), ("sync", "some"), ("sync", "where"), ("sync", "store")]


# Holding


def test_a_second_hold_is_refused_by_the_name_of_the_first(new: LocalStore) -> None:
    for _ in range(2):
        with new.hold() as folder:
            assert list(folder.iterdir()) == []
            (folder / "rubbish").touch()
            with pytest.raises(BusyError, match=rf"{new.path} is held by process {os.getpid()}: let that"):
                build(new)
        assert not folder.exists()


def fail(store: LocalStore) -> None:
    with store.hold() as folder:
        (folder / "rubbish").touch()
        raise ZeroDivisionError


def test_a_failed_build_lets_go(store: LocalStore) -> None:
    before = everything(store.path)
    with pytest.raises(ZeroDivisionError):
        fail(store)
    assert everything(store.path) == before
    build(store)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tmp" / "build").mkdir(parents=True)
    (tmp_path / "log").mkdir()
    (tmp_path / "tmp" / "build" / "mine.txt").write_text("mine")
    (tmp_path / "manage.py").write_text("mine")
    with (
        pytest.raises(StoreError, match="is no bedeck store: name a new or an empty folder"),
        LocalStore(tmp_path).hold(),
    ):
        pass
    assert everything(tmp_path) == {"manage.py": b"mine", "tmp/build/mine.txt": b"mine"}


def test_a_file_in_the_place_of_the_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(StoreError, match=r"file is a file: name a new or an empty folder"),
        LocalStore(tmp_path / "file").hold(),
    ):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_a_store_with_a_note_in_it_and_without_its_tmp_is_still_one(store: LocalStore) -> None:
    (store.path / "README").touch()
    shutil.rmtree(store.path / "tmp")
    assert build(store).announced.version == 4


# Other processes


def run_all(target: Callable[..., None], *arguments: tuple[Any, ...]) -> None:
    """Run `target` in one process for each of `arguments`, side by side."""
    processes = [PROCESSES.Process(target=target, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0


def try_to_hold(path: Path, start: Barrier, end: Barrier, told: "Queue[tuple[int, str]]") -> None:
    start.wait(PATIENCE)
    try:
        with LocalStore(path).hold():
            told.put((os.getpid(), ""))
            end.wait(PATIENCE)
    except BusyError as error:
        told.put((os.getpid(), str(error)))
        end.wait(PATIENCE)


def test_of_many_builds_at_once_one_holds_the_store(new: LocalStore) -> None:
    count = 6
    start, end, told = PROCESSES.Barrier(count), PROCESSES.Barrier(count), PROCESSES.Queue()
    run_all(try_to_hold, *[(new.path, start, end, told)] * count)
    answers = [told.get(timeout=PATIENCE) for _ in range(count)]
    (winner,) = (pid for pid, message in answers if not message)
    for _, message in answers:
        assert not message or f"process {winner}:" in message or "a process just starting" in message


def fork_while_holding(path: Path) -> None:
    """Fork a child that outlives the hold, then build."""
    reading, writing = os.pipe()
    with LocalStore(path).hold():
        child = os.fork()
        if not child:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
    build(LocalStore(path))
    os.close(writing)
    os.waitpid(child, 0)


def test_a_process_forked_meanwhile_does_not_prolong_the_hold(store: LocalStore) -> None:
    run_all(fork_while_holding, (store.path,))
    assert store.resolve().version == 4


def publish_at_once(path: Path, rounds: int, barrier: Barrier, told: "Queue[tuple[int, bool]]") -> None:
    """Publish without a hold, as builds on two machines might: only the log stands between them."""
    store = LocalStore(path)
    folder = path.parent / f"aside-{os.getpid()}"
    folder.mkdir()
    for number in range(rounds):
        head = store.head()
        manifest = make_manifest(folder, store, head, str(os.getpid()).encode())
        barrier.wait(PATIENCE)
        try:
            publish(store, folder, head, manifest)
            told.put((number, True))
        except BusyError:
            told.put((number, False))
        barrier.wait(PATIENCE)


def test_of_many_announcements_at_once_one_is_made(new: LocalStore) -> None:
    count, rounds = 4, 20
    with new.hold():
        pass
    barrier, told = PROCESSES.Barrier(count), PROCESSES.Queue()
    run_all(publish_at_once, *[(new.path, rounds, barrier, told)] * count)
    answers = [told.get(timeout=PATIENCE) for _ in range(count * rounds)]
    assert sorted(number for number, won in answers if won) == list(range(rounds))
    assert new.entries() == list(range(1, rounds + 1))
    parent = None
    for number in new.entries():
        manifest = new.manifest(new.entry(number).announced)
        assert manifest["parent"] == parent
        assert manifest["version"] == number
        new.blobs(manifest)
        parent = new.entry(number).announced.manifest


def build_until(path: Path, step: int) -> None:
    """Build, and be killed right before the step-th thing asked of the file system."""
    asked = 0

    def hook(event: str, _: tuple[Any, ...]) -> None:
        nonlocal asked
        if event == "open" or event.startswith(("os.", "fcntl.", "shutil.")):
            asked += 1
            if asked == step:
                signal.raise_signal(signal.SIGKILL)

    sys.addaudithook(hook)
    build(LocalStore(path))


@pytest.mark.parametrize("versions", [0, 1])
def test_a_build_killed_at_any_step_leaves_the_store_as_it_was(tmp_path: Path, versions: int) -> None:
    before, after = LocalStore(tmp_path / "before"), LocalStore(tmp_path / "after")
    for store, count in ((before, versions), (after, versions + 1)):
        for _ in range(count):
            build(store)
    seen = set()
    for step in range(1, 1000):
        store = LocalStore(tmp_path / "new" / str(step))
        if versions:
            shutil.copytree(before.path, store.path)
        process = PROCESSES.Process(target=build_until, args=(store.path, step))
        process.start()
        process.join(PATIENCE)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        version = announced(store)
        seen.add(version)
        if version == versions:
            build(store)
        with store.hold():
            left = {path.name for path in (store.path / "tmp").iterdir() if not path.name.startswith("aside-")}
            assert left == {"build", "lock"}
        for part in ("blobs", "manifests"):
            assert everything(store.path / part) == everything(after.path / part)
        assert store.entries() == list(range(1, versions + 2))
    assert step > 20
    assert seen == {versions, versions + 1}


def announced(store: LocalStore) -> int:
    """The announced version, all of it found to be there; 0 where there is none."""
    try:
        ref = store.resolve()
    except NotFoundError:
        return 0
    for name, path in store.blobs(store.manifest(ref)).items():
        assert blake3(path.read_bytes())[:32] in name
    return ref.version


def hold_until_killed(path: Path, told: "Queue[int]") -> None:
    with LocalStore(path).hold() as folder:
        (folder / "half.blob").write_bytes(b"half")
        told.put(os.getpid())
        signal.pause()


def test_a_hold_names_its_process_and_ends_with_it(store: LocalStore) -> None:
    told = PROCESSES.Queue()
    process = PROCESSES.Process(target=hold_until_killed, args=(store.path, told))
    process.start()
    pid = told.get(timeout=PATIENCE)
    with pytest.raises(BusyError, match=f"held by process {pid}: let that build end"):
        build(store)
    assert store.resolve().version == 3
    process.kill()
    process.join(PATIENCE)
    assert (store.path / "tmp" / "build" / "half.blob").exists()
    with store.hold() as folder:
        assert list(folder.iterdir()) == []
