"""What a catalogue tells of the memory it takes, and what becomes of it where there is too little."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import bedeck
from bedeck import Catalogue, Key, MemoryWarning, Reference, Schema, StoreError, Type, Warmed, _smaps
from bedeck._limit import memory_limit
from sparse import Sparse

LINUX = sys.platform == "linux"
OF_PROCESS = {"mapped", "pss", "shared", "private", "huge", "locked"}
SPENT = {"fields", "sections", "index_bits_per_key", "holes"}
COUNT = 200_000
PAGE = resource.getpagesize()
MEBIBYTE = 1 << 20

pytestmark = pytest.mark.skipif(not LINUX, reason="only Linux tells of the pages of a process")


@pytest.fixture(autouse=True)
def own_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of several megabytes."""
    folder = tmp_path_factory.mktemp("memory")
    schema = Schema({"n": Type(Key("i", "int"), references={"tag": Reference("tag_id", "tag")}), "tag": Type("id")})
    numbers = pa.table(
        {"i": range(COUNT), "text": [f"number {i}" for i in range(COUNT)], "tag_id": ["a", None] * (COUNT // 2)}
    )
    bedeck.build(schema, folder / "store", {"n": numbers, "tag": [{"id": "a", "name": "A"}]})
    return folder / "store"


def locked_bytes() -> int:
    found = re.search(r"^VmLck:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


# What is told


def test_a_warm_catalogue_is_told_to_be_mapped(store: Path):
    catalogue = bedeck.open(store)
    warmed = catalogue.warm()
    memory = catalogue.memory()
    assert json.loads(json.dumps(memory)) == memory
    assert warmed == Warmed(bytes=memory["bytes"], locked=0, refused=None)
    assert memory["mapped"] == memory["resident"] == memory["bytes"] == catalogue.info()["bytes"]
    assert 0 < memory["pss"] <= memory["mapped"]
    assert memory["bytes"] <= memory["shared"] + memory["private"] <= memory["bytes"] + 2 * PAGE
    assert 0 <= memory["huge"] <= memory["mapped"]
    assert memory["locked"] == 0
    limit = memory_limit()
    assert limit
    assert memory["limit"] == {"bytes": limit.bytes, "by": limit.by}
    for member in ("bytes", "resident", *OF_PROCESS):
        assert memory[member] == sum(of[member] for of in memory["types"].values())


def test_it_tells_what_the_bytes_are_for(store: Path):
    catalogue = bedeck.open(store)
    memory, info = catalogue.memory(), catalogue.info()
    assert set(memory) == {"bytes", "resident", "limit", "types"} | OF_PROCESS
    for name, of in memory["types"].items():
        described = info["types"][name]
        assert set(of) == {"bytes", "resident"} | OF_PROCESS | SPENT
        assert of["fields"] == {field["name"]: field["bytes"] for field in described["fields"]}
        assert of["sections"] == {section: at["length"] for section, at in described["sections"].items()}
        assert of["holes"] == described["counters"]["holes"]
        assert sum(of["fields"].values()) + sum(of["sections"].values()) > 0
    of = memory["types"]["n"]
    assert of["index_bits_per_key"] == pytest.approx(8 / 2.8, rel=0.01)
    assert sum(of["fields"].values()) < of["sections"]["records"] + of["sections"]["heap"] + of["sections"]["values"]
    assert 0 <= of["bytes"] - sum(of["sections"].values()) < 8 * MEBIBYTE  # prelude, directory, padding


def test_what_a_system_does_not_tell_is_none(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_smaps, "PROC", tmp_path)
    memory = bedeck.open(store).memory()
    assert {memory[member] for member in OF_PROCESS} == {None}
    assert memory["bytes"] > 0
    assert _smaps.processes({}) is None
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "smaps").write_text("0-ffffffffffff r--s 0 0:0 7 /x\nRss: 8 kB\n")
    memory = bedeck.open(store).memory()  # a kernel that tells less; none of its ranges starts within ours
    assert {memory[member] for member in OF_PROCESS} == {None}


def test_members_that_an_older_kernel_lacks_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_smaps, "PROC", tmp_path)
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "smaps").write_text(
        "1000-3000 r--s 0 0:0 7 /x\nRss: 8 kB\nPss: 4 kB\nVmFlags: rd lo\n"
        "3000-4000 r--s 0 0:0 7 /x\nRss: 4 kB\nPss: 2 kB\nVmFlags: rd\n"
        "4000-5000 r--s 0 0:0 8 /y\nRss: 4 kB\n"
    )
    first, other, nothing = _smaps.own([(0x1000, 0x3000), (0x4000, 100), (0x9000, 10)])
    nones = dict.fromkeys(OF_PROCESS)
    assert first == {**nones, "mapped": 12 << 10, "pss": 6 << 10, "locked": 8 << 10}
    assert other == {**nones, "mapped": 100}
    assert nothing == nones


AS_NOBODY = """
import json, os, sys
import bedeck
from bedeck import memory  # whoever it becomes may not be able to import more
catalogue = bedeck.open(sys.argv[1])
if not os.getuid():
    os.setgid(65534)
    os.setuid(65534)
catalogue = bedeck.open(sys.argv[1], verify="always")
catalogue.warm()
print(json.dumps(catalogue.memory()))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_the_page_cache_is_unknown_to_who_may_not_write(store: Path):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are for its user alone
        Path(folder).chmod(0o755)
        shutil.copytree(store, Path(folder, "store"))
        command = [sys.executable, "-c", AS_NOBODY, f"{folder}/store"]
        told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert told.returncode == 0, told.stderr
    memory = json.loads(told.stdout)
    assert memory["resident"] is None
    assert memory["types"]["n"]["resident"] is None
    assert memory["mapped"] == memory["bytes"]


# Several processes

WORKER = """
import json, sys
import bedeck
catalogue = bedeck.open(sys.argv[1])
catalogue.warm()
for _ in sys.stdin:
    print(json.dumps(catalogue.memory()), flush=True)
"""

FORKS = """
import json, os, sys
import bedeck
catalogue = bedeck.open(sys.argv[1])
catalogue.warm(lock=True)
print(json.dumps(catalogue.memory()), flush=True)
if not os.fork():
    before = catalogue.memory()
    catalogue.warm()
    print(json.dumps([before, catalogue.memory()]), flush=True)
    os._exit(0)
os.wait()
"""


@contextmanager
def worker(store: Path) -> Iterator[Any]:
    command = [sys.executable, "-c", WORKER, str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        assert process.stdin
        assert process.stdout

        def tell() -> dict[str, Any]:
            assert process.stdin
            assert process.stdout
            process.stdin.write("\n")
            process.stdin.flush()
            told: dict[str, Any] = json.loads(process.stdout.readline())
            return told

        tell()  # it is warm now
        yield tell
        process.stdin.close()


def test_two_workers_share_their_pages(store: Path):
    with worker(store) as alone:
        one = alone()
        assert one["pss"] == one["private"] == one["mapped"] == one["bytes"]
    with ExitStack() as stack:
        told = [tell() for tell in [stack.enter_context(worker(store)) for _ in range(2)]]
    size = told[0]["bytes"]
    assert [of["mapped"] for of in told] == [size, size]
    assert sum(of["pss"] for of in told) == pytest.approx(size, rel=0.02)
    for of in told:
        assert of["private"] == 0
        assert size <= of["shared"] <= size + 2 * PAGE


def test_a_forked_worker_shares_the_pages_and_not_the_lock(store: Path):
    done = subprocess.run([sys.executable, "-c", FORKS, str(store)], capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert done.returncode == 0, done.stderr
    parent, (unwarmed, child) = map(json.loads, done.stdout.splitlines())
    size = parent["bytes"]
    assert (parent["mapped"], parent["locked"]) in [(size, size), (size, 0)]  # by what may be locked here
    assert unwarmed["locked"] == child["locked"] == 0
    assert unwarmed["mapped"] < child["mapped"] == size
    assert child["private"] == 0
    assert child["pss"] == pytest.approx(size / 2, rel=0.02)


# Locking


def test_a_locked_catalogue_is_locked_until_it_is_gone(tmp_path: Path):
    bedeck.build(Schema({"n": Type("id")}), tmp_path / "store", {"n": [{"id": "a", "v": 1}]})
    before = locked_bytes()
    catalogue: Catalogue | None = bedeck.open(tmp_path / "store")
    assert catalogue
    size = catalogue.info()["bytes"]
    assert catalogue.warm(lock=True) == Warmed(bytes=size, locked=size, refused=None)
    assert catalogue.memory()["locked"] == size
    assert locked_bytes() == before + -(-size // PAGE) * PAGE
    assert catalogue.warm(lock=True).locked == size  # which is once
    record = catalogue["n"]["a"]
    del catalogue
    assert locked_bytes() > before
    assert record["v"] == 1
    del record
    assert locked_bytes() == before


LIMITED = """
import json, os, resource, sys, warnings
import bedeck
from bedeck import memory
catalogue = bedeck.open(sys.argv[1])
if not os.getuid():
    os.setgid(65534)
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_MEMLOCK, (int(sys.argv[2]), int(sys.argv[2])))
warmed = catalogue.warm(lock=True)
told = catalogue.memory()
print(json.dumps([warmed.locked, warmed.refused, told["locked"], told["mapped"], told["bytes"]]))
print(catalogue["n"].decorate([7], ["text"]))
warnings.simplefilter("error", bedeck.MemoryWarning)
try:
    catalogue.warm(lock=True)
except bedeck.MemoryWarning as error:
    print("an error where that is asked for")
"""


@pytest.mark.parametrize("most", [0, MEBIBYTE])
def test_a_lock_that_is_refused_is_told_with_the_way_out_and_nothing_fails(store: Path, most: int):
    command = [sys.executable, "-c", LIMITED, str(store), str(most)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert done.returncode == 0, done.stderr
    facts, answer, strict = done.stdout.splitlines()
    locked, refused, told, mapped, size = json.loads(facts)
    assert (locked, told, mapped) == (0, 0, size)
    assert f"MemoryWarning: {refused}" in done.stderr
    assert f"{size:,} bytes" in refused
    assert f"may lock {most:,}" in refused
    assert all(way in refused for way in ("RLIMIT_MEMLOCK", "LimitMEMLOCK=infinity", "ulimit", "CAP_IPC_LOCK"))
    assert answer == "[{'text': 'number 7'}]"
    assert strict == "an error where that is asked for"


# Too little memory


def test_a_catalogue_that_does_not_fit_warns_once_with_both_figures_and_the_way_out(tmp_path: Path):
    limit = memory_limit()
    assert limit
    sparse = Sparse(1, heap=limit.bytes)
    sparse.put(1, "one", sparse.slot(1))
    size = sparse.write(tmp_path / "store").stat().st_size
    with pytest.warns(MemoryWarning) as told:
        catalogue = bedeck.open(tmp_path / "store")
    (warning,) = told
    text = str(warning.message)
    assert warning.filename == __file__
    for part in (f"{size:,} bytes", f"{limit.by} allows {limit.bytes:,}", "leave out fields", str(tmp_path / "store")):
        assert part in text

    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert 0 < done < total == size
        raise StopError

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(StopError):
            catalogue.warm(stop)
    with pytest.warns(MemoryWarning, match="is not locked in memory.*does not fit"), pytest.raises(StopError):
        catalogue.warm(stop, lock=True)
    assert catalogue["n"].decorate([1], ["title", "next.title"]) == [{"title": "one", "next": {"title": "one"}}]
    with pytest.warns(MemoryWarning):
        bedeck.open(tmp_path / "store")  # another catalogue tells it again


def test_two_versions_at_a_time_have_to_fit(tmp_path: Path):
    limit = memory_limit()
    assert limit
    for name in ("old", "new"):
        Sparse(1, heap=limit.bytes * 6 // 10).write(tmp_path / name, name)
    old = bedeck.open(tmp_path / "old")
    again = bedeck.open(tmp_path / "old")  # the same files
    with pytest.warns(MemoryWarning, match="other versions that this process has open"):
        bedeck.open(tmp_path / "new")
    with warnings.catch_warnings():
        warnings.simplefilter("error", MemoryWarning)
        with pytest.raises(MemoryWarning):
            bedeck.open(tmp_path / "new")
        del old, again
        assert len(bedeck.open(tmp_path / "new")["n"]) == 0


def test_a_file_that_was_truncated_is_an_error_while_warming(tmp_path: Path):
    text = [f"{i:0100}" for i in range(50_000)]
    bedeck.build(
        Schema({"n": Type(Key("i", "int"))}), tmp_path / "store", {"n": pa.table({"i": range(50_000), "t": text})}
    )
    catalogue = bedeck.open(tmp_path / "store")
    (blob,) = (tmp_path / "store" / "blobs").iterdir()
    os.truncate(blob, PAGE)
    with pytest.raises(StoreError, match=re.escape(blob.name) + ".*cannot be read.*truncated"):
        catalogue.warm()
