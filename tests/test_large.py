"""Offsets beyond 2^32 and 2^40, ordinals beyond 2^28: 277 million slots, of which only those looked at are written."""

import json
import mmap
from pathlib import Path

import pyarrow as pa
import pytest

import bedeck
from bedeck import reference
from bedeck._guard import Section
from sparse import Sparse, described

pytestmark = pytest.mark.filterwarnings("ignore::bedeck.MemoryWarning")  # files of a tebibyte fit nowhere

PARTS = 2700  # 276,930,900 slots, for 270 million keys
TITLES = ["short", "", "é" * 100, "long " * 200, "longer " * 30_000]


@pytest.fixture(autouse=True)
def own_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture(scope="module")
def large() -> tuple[Sparse, dict[int, str]]:
    """A store in which each record leads to the next, around; and its titles by key."""
    store = Sparse(PARTS, apart=300, heap=1 << 40)
    far = [key for key in range(-5000, 5000) if store.slot(key % 2**64) >= 1 << 28][: len(TITLES)]
    near = [key for key in range(-50, 50) if store.slot(key % 2**64) < 1 << 28][: len(TITLES)]
    keys = [key for pair in zip(far, near, strict=True) for key in pair]
    titles = dict(zip(keys, TITLES + TITLES[::-1], strict=True))
    for key, following in zip(keys, keys[1:] + keys[:1], strict=True):
        store.put(key % 2**64, titles[key], store.slot(following % 2**64))
    return store, titles


def test_records_beyond_four_gibibytes_are_found_in_all_ways(large: tuple[Sparse, dict[int, str]], tmp_path: Path):
    store, titles = large
    store.write(tmp_path / "store")
    records = bedeck.open(tmp_path / "store")["n"]
    keys, absent = list(titles), [10**9, -(10**9)]
    after = dict(zip(keys, keys[1:] + keys[:1], strict=True))
    expected = [{"i": key, "title": titles[key], "next": {"title": titles[after[key]]}} for key in keys]
    fields = ["i", "title", "next.title"]
    assert records.decorate(keys + absent, fields) == [*expected, None, None]
    assert json.loads(records.decorate_json(keys + absent, fields)) == [*expected, None, None]
    assert pa.table(records.decorate_arrow(keys, fields)).to_pylist() == expected
    assert [dict(record) for record in records.select("i", "title").records(keys) if record] == [
        {"i": key, "title": titles[key]} for key in keys
    ]
    assert [records[key]["next_id"] for key in keys] == [after[key] for key in keys]


def test_the_reference_reader_finds_the_same(
    large: tuple[Sparse, dict[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store, titles = large
    path = store.write(tmp_path / "store")
    # It would walk through all slots, which takes minutes.
    monkeypatch.setattr(reference.Table, "check_records", lambda _: None)
    sections = {}
    with path.open("rb") as file:
        for name, of in store.sections.items():
            data = mmap.mmap(file.fileno(), of["length"], access=mmap.ACCESS_READ, offset=of["offset"])
            sections[name] = Section(str(path), name, data)  # type: ignore[arg-type]
    tables: dict[str, reference.Table] = {}
    tables["n"] = table = reference.Table("n", sections, described(store.directory()), tables)
    native = bedeck.open(tmp_path / "store")["n"]
    asked = [*titles, 10**9]
    assert table.decorate(asked, ["i", "title", "next.title"]) == native.decorate(asked, ["i", "title", "next.title"])
    slots = [table.index.slot((key % 2**64).to_bytes(8, "little")) for key in titles]
    extents = [table.locator.extent(slot) for slot in slots]
    assert max(slots) > 1 << 28
    assert max(end for _, end in extents) > 1 << 36
