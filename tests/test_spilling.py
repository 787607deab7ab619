"""Rows that wait on disk: what a build keeps in memory, what it leaves behind, and rows that are grouped anew."""

import os
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import bedeck
from bedeck import DuplicateKeyError, Key, Schema, Type
from bedeck._layout import mix
from small import blobs, make, scratch
from strategies import base62


def twins(seed: int) -> tuple[str, str]:
    """Two UUIDs with one hash under seed 0 (docs/format.md, "Hash")."""
    source = random.Random(seed)
    first, second, rest = (source.getrandbits(64) for _ in range(3))
    other = rest ^ mix(mix(16) ^ first) ^ mix(mix(16) ^ second)
    words = ((first, rest), (second, other))
    one, two = (uuid.UUID(bytes=b"".join(word.to_bytes(8, "little") for word in pair)) for pair in words)
    return str(one), str(two)


def test_different_keys_of_one_hash_are_met_with_another_seed():
    keys = [key for seed in range(3) for key in twins(seed)] + [str(uuid.UUID(int=n)) for n in range(1000)]
    catalogue = make({"a": Type("id")}, {"a": pa.table({"id": keys, "n": range(len(keys))})})
    assert catalogue.info()["types"]["a"]["index"]["seed"] > 0
    assert catalogue["a"].decorate(keys) == [{"n": n} for n in range(len(keys))]


def test_duplicates_are_told_and_dropped_under_another_seed_too(tmp_path: Path):
    first, second = twins(7)
    rows = [{"id": key, "n": n} for n, key in enumerate([first, second, first])]
    with pytest.raises(DuplicateKeyError, match=f'{first}": <iterable> row 0; <iterable> row 2'):
        bedeck.build(Schema({"a": Type("id")}), tmp_path, {"a": rows})
    for rule, kept in (("first", 0), ("last", 2)):
        catalogue = make({"a": Type("id", on_duplicate=rule)}, {"a": rows})
        assert catalogue["a"].decorate([first, second]) == [{"n": kept}, {"n": 1}]


@pytest.mark.parametrize("last", ["x", str(uuid.UUID(int=0xABC << 90)).upper(), base62(1 << 90)])
def test_the_kind_may_turn_out_to_be_another_than_the_first_rows_suggest(last: str):
    many = 70_000  # more than a batch
    for first in ([base62(n) for n in range(many)], [str(uuid.UUID(int=n)) for n in range(many)], []):
        keys = [*first, last]
        schema = pa.schema([("id", pa.string()), ("n", pa.int64())])
        batches = [
            pa.record_batch([keys[i : i + many], range(len(keys))[i : i + many]], schema=schema) for i in (0, many)
        ]
        catalogue = make({"a": Type("id")}, {"a": pa.Table.from_batches(batches)}) if first else None
        alike = make({"a": Type(Key("id", "string"))}, {"a": [{"id": key, "n": n} for n, key in enumerate(keys)]})
        for made in filter(None, (catalogue, alike)):
            assert made["a"].decorate(keys[-2:]) == [{"n": n} for n in range(len(keys))][-2:]


def test_an_empty_first_batch_suggests_nothing():
    schema = pa.schema([("id", pa.string()), ("n", pa.int64())])
    keys = [str(uuid.UUID(int=n)) for n in range(10)]
    batches = [pa.record_batch([[], []], schema=schema), pa.record_batch([keys, range(10)], schema=schema)]
    catalogue = make({"a": Type("id")}, {"a": pa.Table.from_batches(batches)})
    assert catalogue.info()["types"]["a"]["key"]["kind"] == "uuid"
    assert catalogue["a"].decorate(keys) == [{"n": n} for n in range(10)]


def test_how_little_memory_there_is_does_not_change_a_byte(tmp_path: Path):
    source = random.Random(3)
    rows = [{"id": base62(source.getrandbits(128)), "n": n, "t": "x" * source.randrange(300)} for n in range(3000)]
    types, sources = {"a": Type("id")}, {"a": rows}
    for place, memory in enumerate((128 << 20, 4 << 30)):
        bedeck.build(Schema(types), tmp_path / str(place), sources, memory=memory)
        files = (tmp_path / str(place) / "blobs").iterdir()
        assert {path.name: path.read_bytes() for path in files} == blobs(types, sources, threads=1)


def test_memory_that_cannot_do_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"memory=1000: at least 134217728 is needed"):
        bedeck.build(Schema({"a": Type("id")}), tmp_path, {"a": [{"id": 1}]}, memory=1000)


def waiting(store: Path) -> list[str]:
    """Files that this process has open below a folder and that have no name."""
    files = (os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir())
    return [file for file in files if file.startswith(f"{store}/") and file.endswith("(deleted)")]


def test_progress_never_goes_back_and_ends_with_all_work_done(tmp_path: Path):
    told: list[tuple[int, int]] = []
    for source in (pa.table({"id": range(200_000)}), ({"id": n} for n in range(200_000))):
        told.clear()
        bedeck.build(Schema({"a": Type("id")}), tmp_path, {"a": source}, progress=lambda *at: told.append(at))
        shares = [done / total for done, total in told]
        assert all(before[0] <= after[0] for before, after in pairwise(told))
        assert shares[-1] == 1 == max(shares)
        assert len(told) > 10


def test_what_progress_raises_ends_the_build_wherever_it_is(tmp_path: Path):
    """And rows that wait have no file that could be left behind."""
    schema, source = Schema({"a": Type("id")}), pa.table({"id": range(200_000)})
    bedeck.build(schema, tmp_path, {"a": [{"id": 1}]})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    seen: list[int] = []
    with scratch() as folder:
        bedeck.build(schema, folder, {"a": source}, progress=lambda *_: seen.append(len(waiting(folder))))
    assert seen[0] > 0

    def countdown(calls: int) -> Iterator[Any]:
        for _ in range(calls):
            yield None
        raise ZeroDivisionError

    for calls in range(len(seen)):
        at = countdown(calls)
        with pytest.raises(ZeroDivisionError):
            bedeck.build(schema, tmp_path, {"a": source}, progress=lambda *_: next(at))  # noqa: B023 - called at once
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
        assert not waiting(tmp_path)


def test_progress_has_to_be_callable_and_may_raise_whatever_it_likes(tmp_path: Path):
    schema = Schema({"a": Type("id")})
    with pytest.raises(TypeError, match="progress=3: a function"):
        bedeck.build(schema, tmp_path, {"a": [{"id": 1}]}, progress=3)  # type: ignore[arg-type]

    def leave(*_: int) -> None:
        raise GeneratorExit

    with pytest.raises(GeneratorExit):
        bedeck.build(schema, tmp_path, {"a": [{"id": 1}]}, progress=leave)


PEAK = """
import bedeck, sys, pathlib, re
import pyarrow as pa
from bedeck import Schema, Type

def anonymous():
    return int(re.search("RssAnon: *[^0-9]*([0-9]+)", pathlib.Path("/proc/self/status").read_text())[1]) << 10

def stream(rows, step, row):
    batches = (pa.RecordBatch.from_pylist([row(n) for n in range(at, at + step)]) for at in range(0, rows, step))
    return pa.RecordBatchReader.from_batches(pa.RecordBatch.from_pylist([row(0)]).schema, batches)

source, store = eval(sys.argv[1]), sys.argv[2]
types = {f"t{n}": Type("id", on_duplicate="last") for n in range(int(sys.argv[3]))}
bedeck.build(Schema(types), store + "/first", {name: [{"id": 1}] for name in types})
before, peak = anonymous(), 0
def look(*_):
    global peak
    peak = max(peak, anonymous())
sources = {name: stream(*source) for name in types}
bedeck.build(Schema(types), store + "/second", sources, memory=128 << 20, threads=2, progress=look)
print((peak - before) >> 20)
"""


@pytest.mark.parametrize(
    ("source", "types"),
    [
        ("20_000, 500, lambda n: {'id': n, 'text': f'{n:020}' * 1000}", 1),
        ("70_000, 500, lambda n: {'id': n, **{f'c{i}': f'{i}-{n:07}' for i in range(40)}}", 1),
        ("40_000, 5000, lambda n: {'id': n, **{f'c{i}': n for i in range(20)}}", 6),
        ("400_000, 5000, lambda n: {'id': n % 7}", 1),
    ],
    ids=["long texts", "many columns of distinct texts", "many types", "rows of the same keys"],
)
def test_memory_does_not_grow_with_the_rows_however_they_are(source: str, types: int, tmp_path: Path):
    command = [sys.executable, "-c", PEAK, source, str(tmp_path), str(types)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    assert int(done.stdout) < 300  # the memory allowed, and batches on their way


NO_THREADS = """
import bedeck, os, resource, sys
from bedeck import Schema, StoreError, Type
import pyarrow.parquet
folder = sys.argv[1]
rows = [{"id": n, "text": f"{n}" * 9} for n in range(50_000)]
bedeck.build(Schema({"a": Type("id")}), f"{folder}/before", {"a": rows})
os.chmod(f"{folder}/before", 0o777)
bedeck.open(f"{folder}/before").warm()  # what is imported late is imported: the other user may not look there
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
os.setuid(65_534)
catalogue = bedeck.open(f"{folder}/before", verify="always")
catalogue.warm()
assert catalogue["a"].decorate_json([7], ["id"]) == b'[{"id":7}]'
try:
    bedeck.build(Schema({"a": Type("id")}), f"{folder}/after", {"a": rows})
except StoreError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else, whose threads are limited")
def test_a_system_without_threads_is_named_and_reading_goes_on():
    with scratch() as folder:
        folder.chmod(0o777)
        command = [sys.executable, "-c", NO_THREADS, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert "the system gives the build no thread" in done.stdout
    assert "ulimit -u" in done.stdout
