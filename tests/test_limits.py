"""The limits that docs/format.md states: each is refused by its name, as far as that is seen without huge data."""

import re
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

import bedeck
from bedeck import DamagedError, Key, Reference, Schema, SelectionError, SourceError, StoreError, Type
from small import make
from sparse import Sparse

pytestmark = pytest.mark.filterwarnings("ignore::bedeck.MemoryWarning")

FORMAT = (Path(__file__).parent.parent / "docs" / "format.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def own_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def slots(folder: Path) -> None:
    store = Sparse(1)
    store.shape = {**store.shape, "slots": (1 << 32) - 1}
    store.write(folder / "store")
    with pytest.raises(DamagedError, match=r"n-0+\.blob: section directory: index: .* more than 2\^32 - 2 slots"):
        bedeck.open(folder / "store")


def keys(folder: Path) -> None:
    longest = "k" * 65_535
    rows = [{"id": longest, "n": 1}]
    bedeck.build(Schema({"n": Type("id")}), folder / "store", {"n": rows})
    records = bedeck.open(folder / "store")["n"]
    assert records.decorate([longest, longest + "k"]) == [{"n": 1}, None]
    with pytest.raises(SourceError, match=r'row 1: type "n", key "id" has 65536 bytes; the limit is 65535'):
        bedeck.build(Schema({"n": Type("id")}), folder / "store", {"n": [*rows, {"id": longest + "k", "n": 2}]})


def values(folder: Path) -> None:
    store = Sparse(1, heap=1 << 33)
    store.put(1, "long " * 100, store.slot(1), length=1 << 31)
    store.write(folder / "store")
    records = bedeck.open(folder / "store")["n"]
    with pytest.raises(DamagedError, match=r"n-0+\.blob: section records: a value of more than 2\^31 - 1 bytes"):
        records.decorate([1], ["title"])


def dates(folder: Path) -> None:
    first, last = date.min.toordinal(), date.max.toordinal()
    epoch = date(1970, 1, 1).toordinal()
    schema = Schema({"n": Type(Key("i", "int"))})

    def days(*numbers: int) -> pa.Table:
        return pa.table({"i": range(len(numbers)), "day": pa.array([n - epoch for n in numbers], pa.date32())})

    bedeck.build(schema, folder / "store", {"n": days(first, last)})
    assert bedeck.open(folder / "store")["n"].decorate([0, 1]) == [{"day": date.min}, {"day": date.max}]
    for beyond in (first - 1, last + 1):
        with pytest.raises(SourceError, match=r'row 2: type "n", field "day"'):
            bedeck.build(schema, folder / "store", {"n": days(first, last, beyond)})


def interned(_folder: Path) -> None:
    for distinct in (65_536, 65_537):
        text = [f"a value that is long enough {i % distinct}" for i in range(140_000)]
        described = make({"n": Type(Key("i", "int"))}, {"n": pa.table({"i": range(140_000), "text": text})}).info()
        (field,) = described["types"]["n"]["fields"]
        assert ("values" in field) == (distinct == 65_536)


def chains(folder: Path) -> None:
    schema = Schema({"n": Type(Key("i", "int"), references={"next": Reference("next_id", "n")})})
    bedeck.build(schema, folder / "store", {"n": [{"i": 1, "next_id": 1}]})
    records = bedeck.open(folder / "store")["n"]
    assert records.select(".".join(["next"] * 63 + ["i"])).decorate([1])
    with pytest.raises(SelectionError, match="has more than 64 parts"):
        records.select(".".join(["next"] * 64 + ["i"]))


def sections(folder: Path) -> None:
    store = Sparse(1)
    store.sections["heap"]["length"] = 1 << 63
    store.write(folder / "store")
    with pytest.raises(DamagedError, match=r"n-0+\.blob: section heap: lies outside the file"):
        bedeck.open(folder / "store")


def blobs(_folder: Path) -> None:
    memory = Path("/dev/shm")  # noqa: S108 - where files can be as large
    if not memory.is_dir():
        pytest.skip("no file system in memory here")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        Sparse(1, heap=1 << 61).write(Path(folder, "store"))
        with pytest.raises(StoreError, match=r"n-0+\.blob: \d+ bytes cannot be mapped"):
            bedeck.open(Path(folder, "store"))


LIMITS: dict[str, Callable[[Path], None] | None] = {
    "slots a type": slots,
    "a key": keys,
    "a value": values,
    "a row": None,  # it takes gigabytes to see it
    "14 neighbouring records": None,  # crates/bedeck-core/tests/large.rs sees it
    "dates and times": dates,
    "groups a type": None,  # the core counts them before it takes one
    "interned values a field": interned,
    "names in a chain of references": chains,
    "one row of an Arrow answer": None,  # gigabytes again
    "a section": sections,
    "a blob": blobs,
}


def test_every_limit_that_is_stated_is_looked_at():
    table = FORMAT.split("## Limits")[1]
    stated = [row for row in re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE) if row not in {"what", "---"}]
    assert [row.split(",")[0] for row in stated] == list(LIMITS)


@pytest.mark.parametrize("limit", [limit for limit, look in LIMITS.items() if look])
def test_what_passes_a_limit_is_refused_by_its_name(limit: str, tmp_path: Path):
    look = LIMITS[limit]
    assert look
    look(tmp_path)
