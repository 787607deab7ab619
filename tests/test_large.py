"""Offsets beyond 2^32 and 2^40, ordinals beyond 2^28: 277 million slots, of which only those looked at are written."""

import json
import mmap
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bedeck
from bedeck import DamagedError, reference
from bedeck._guard import Json, Section
from bedeck._layers import Blob, Layers
from bedeck._layout import MAX_SLOTS, Index, hash_key
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


def read_by_reference(store: Sparse, path: Path) -> reference.Table:
    sections = {}
    with path.open("rb") as file:
        for name, of in store.sections.items():
            data = mmap.mmap(file.fileno(), of["length"], access=mmap.ACCESS_READ, offset=of["offset"])
            sections[name] = Section(str(path), name, data)  # type: ignore[arg-type]
    tables: dict[str, reference.Table] = {}
    layers = Layers([Blob(sections, described(store.directory()))], [""])
    tables["n"] = reference.Table("n", described(store.directory()), layers, tables)
    return tables["n"]


@pytest.fixture
def without_a_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the reference reader not look at all slots when it opens a blob, which would take minutes."""
    monkeypatch.setattr(Blob, "check", lambda _: None)


@pytest.mark.usefixtures("without_a_walk")
def test_the_reference_reader_finds_the_same(large: tuple[Sparse, dict[int, str]], tmp_path: Path):
    store, titles = large
    table = read_by_reference(store, store.write(tmp_path / "store"))
    native = bedeck.open(tmp_path / "store")["n"]
    asked = [*titles, 10**9]
    assert table.decorate(asked, ["i", "title", "next.title"]) == native.decorate(asked, ["i", "title", "next.title"])
    slots = [table.layers.base.index.slot((key % 2**64).to_bytes(8, "little")) for key in titles]
    extents = [table.layers.base.locator.extent(slot) for slot in slots]
    assert max(slots) > 1 << 28
    assert max(end for _, end in extents) > 1 << 36


@pytest.mark.usefixtures("without_a_walk")
def test_a_value_of_two_gibibytes_is_damage_to_the_reference(tmp_path: Path):
    store = Sparse(1, heap=1 << 33)
    store.put(2, "long " * 100, store.slot(2), length=1 << 31)
    table = read_by_reference(store, store.write(tmp_path / "store"))
    with pytest.raises(DamagedError, match="a value of 2147483648 bytes; 2147483647 are the most"):
        table.get(2)


@given(st.binary(max_size=40), st.integers(0, MAX_SLOTS), st.integers(2700, 65_535))
def test_the_reference_gives_every_key_a_slot_at_any_size(stored: bytes, seed: int, parts: int):
    slots = MAX_SLOTS // parts
    shape = Json("shape", {"seed": seed, "parts": parts, "buckets": 3, "slots": slots})
    index = Index.read(shape, Section("file", "pilots", bytes(parts * 3)))
    part, place = divmod(index.slot(stored), slots)
    assert (part, place < slots) == (hash_key(stored, seed) * parts >> 64, True)
    assert index.total <= MAX_SLOTS


@pytest.mark.parametrize(("parts", "slots"), [(1, MAX_SLOTS + 1), (1 << 16, 1 << 16), (1 << 40, 1 << 40)])
def test_more_slots_than_there_can_be_are_damage(parts: int, slots: int):
    shape = {"seed": 0, "parts": parts, "buckets": 1, "slots": slots}
    with pytest.raises(DamagedError, match=f"has {parts * slots} slots; 4294967294 are the most"):
        Index.read(Json("file: directory.index", shape), Section("file", "pilots", b""))
