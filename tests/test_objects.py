"""Named bytes are the same thing in a folder, in S3 and in Azure: what one promises, all do."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from bedeck._objects.local import LocalObjects
from bedeck.errors import DamagedError, NotFoundError, StoreError
from bedeck.objects import Objects

NAMES = ["log/0000000001.json", "log/0000000002.json", "log/0000000010.json"]
PATIENCE = 60


def test_what_is_created_is_read(objects: Objects) -> None:
    assert objects.create("log/1", b"one")
    assert objects.get("log/1") == b"one"
    assert objects.size("log/1") == 3
    assert objects.create("log/empty", b"")
    assert objects.get("log/empty") == b""


def test_what_is_there_is_not_created(objects: Objects) -> None:
    assert objects.create("log/1", b"one")
    assert not objects.create("log/1", b"two")
    assert not objects.create("log/1", b"one")
    assert objects.get("log/1") == b"one"


def test_what_is_put_replaces(objects: Objects) -> None:
    for data in (b"one", b"", b"three"):
        objects.put("latest", data)
        assert objects.get("latest") == data


def test_what_is_not_there_is_not_found(objects: Objects) -> None:
    for read in (
        objects.get,
        objects.size,
        lambda name: objects.changed(name, None),
        lambda n: objects.get_range(n, 0, 9),
    ):
        for name in ("latest", "log/1"):
            with pytest.raises(NotFoundError, match=f"there is no {name} in {objects.place}"):
                read(name)


def test_ranges(objects: Objects) -> None:
    objects.put("blobs/x", b"0123456789")
    for start, end in ((0, 10), (0, 1), (9, 10), (3, 7), (8, 99), (0, 0), (5, 5), (10, 11), (10, 10), (99, 100)):
        assert objects.get_range("blobs/x", start, end) == b"0123456789"[start:end]
    objects.put("blobs/x", b"")
    assert objects.get_range("blobs/x", 0, 5) == b""


def test_a_conditional_read_gives_what_changed(objects: Objects) -> None:
    objects.put("latest", b"1")
    changed = objects.changed("latest", None)
    assert changed is not None
    data, tag = changed
    assert data == b"1"
    assert objects.changed("latest", tag) is None
    objects.put("latest", b"2")
    again = objects.changed("latest", tag)
    assert again is not None
    assert again[0] == b"2"
    assert objects.changed("latest", again[1]) is None
    assert objects.changed("latest", "no tag of ours") == again


def test_lists_are_ascending_and_start_after_a_name(objects: Objects) -> None:
    assert list(objects.list("log/")) == []
    for name in [*reversed(NAMES), "latest", "logs/x", "lo"]:
        objects.put(name, b"")
    assert list(objects.list("log/")) == NAMES
    assert list(objects.list("log/", NAMES[0])) == NAMES[1:]
    assert list(objects.list("log/", "log/0000000005.json")) == NAMES[2:]
    assert list(objects.list("log/", NAMES[2])) == []


def test_long_lists_are_whole(objects: Objects) -> None:
    names = [f"log/{number:010}.json" for number in range(1, 1102)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: objects.put(name, b""), names))
    assert list(objects.list("log/")) == names
    assert list(objects.list("log/", names[1049])) == names[1050:]
    assert sorted(of.name for of in objects.scan("log/")) == names


def test_a_scan_tells_sizes_and_an_order_in_time(objects: Objects) -> None:
    assert list(objects.scan("blobs/")) == []
    objects.put("blobs/a", b"first")
    objects.put("blobs/b", b"")
    found = {of.name: of for of in objects.scan("blobs/")}
    assert {name: of.size for name, of in found.items()} == {"blobs/a": 5, "blobs/b": 0}
    assert found["blobs/a"].at <= found["blobs/b"].at


def test_what_is_deleted_is_gone(objects: Objects) -> None:
    objects.put("blobs/a", b"a")
    objects.delete("blobs/a")
    objects.delete("blobs/a")
    with pytest.raises(NotFoundError):
        objects.get("blobs/a")
    assert list(objects.list("blobs/")) == []
    assert objects.create("blobs/a", b"b")


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (8 << 20) + 1, (17 << 20) + 5])
def test_files_of_any_size_are_uploaded_whole(objects: Objects, tmp_path: Path, size: int) -> None:
    data = Random(size).randbytes(size)
    file = tmp_path / "file"
    file.write_bytes(data)
    objects.upload("blobs/x", file)
    assert objects.size("blobs/x") == size
    assert b"".join(objects.get_range("blobs/x", start, start + (4 << 20)) for start in range(0, size, 4 << 20)) == data
    assert file.read_bytes() == data
    file.write_bytes(b"another")
    assert objects.get("blobs/x") == data
    objects.upload("blobs/x", file)
    assert objects.get("blobs/x") == b"another"


def test_a_file_that_cannot_be_read_is_told(objects: Objects, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        objects.upload("blobs/x", tmp_path / "nowhere")
    assert list(objects.list("blobs/")) == []


def test_of_many_that_create_at_once_one_does(new_objects: Callable[[], Objects]) -> None:
    count = 8
    for _ in range(10):
        objects = new_objects()
        start = threading.Barrier(count)

        def create(number: int, objects: Objects = objects, start: threading.Barrier = start) -> bool:
            start.wait(PATIENCE)
            return objects.create("log/1", str(number).encode())

        with ThreadPoolExecutor(count) as pool:
            made = list(pool.map(create, range(count)))
        assert sum(made) == 1
        assert objects.get("log/1") == str(made.index(True)).encode()


# A folder


@pytest.fixture
def folder(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "objects")


def test_a_file_from_the_own_folder_is_moved(folder: LocalObjects) -> None:
    folder.put("tmp/made", b"made")
    folder.upload("blobs/x", folder.path / "tmp" / "made")
    assert folder.get("blobs/x") == b"made"
    assert list(folder.list("tmp/")) == []


def test_what_is_no_file_is_not_waited_for(folder: LocalObjects) -> None:
    folder.put("log/1", b"")
    os.mkfifo(folder.path / "log" / "2")
    with pytest.raises(DamagedError, match=r"log/2 is not a regular file of its size"):
        folder.get("log/2")
    (folder.path / "log" / "3").mkdir()
    with pytest.raises(StoreError, match=r"cannot read log/3 of .*Is a directory"):
        folder.get("log/3")
    with (folder.path / "log" / "1").open("r+b") as file:
        file.truncate(1 << 31)
    with pytest.raises(DamagedError, match=r"log/1 is not a regular file of its size"):
        folder.get("log/1")


def test_files_have_the_permissions_that_the_user_wants(folder: LocalObjects) -> None:
    before = os.umask(0o027)
    try:
        folder.create("log/1", b"")
        folder.put("latest", b"")
    finally:
        os.umask(before)
    assert [(folder.path / name).stat().st_mode & 0o777 for name in ("log/1", "latest")] == [0o640, 0o640]


def test_nothing_is_left_aside(folder: LocalObjects) -> None:
    folder.create("log/1", b"")
    folder.create("log/1", b"")
    folder.put("latest", b"")
    assert list((folder.path / "tmp").iterdir()) == []
