"""From sources to blobs: which rows are taken, which are refused, and that the records alone decide the bytes."""

import math
import random
import re
import struct
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bedeck
from bedeck import (
    Catalogue,
    DanglingReferenceError,
    DuplicateKeyError,
    Key,
    NotFoundError,
    Records,
    Reference,
    Schema,
    SchemaError,
    SourceError,
    Type,
    reference,
)
from oracle import exact, read_table
from small import blobs, make, scratch
from strategies import Rows, base62, catalogues, table_of, type_of

EMPTY = "00000000-0000-0000-0000-000000000000"


def write(folder: Path, name: str, **columns: Any) -> str:
    pq.write_table(pa.table(columns), folder / name)
    return str(folder / name)


def kind_of(catalogue: Catalogue, name: str = "a") -> str:
    return str(catalogue.info()["types"][name]["key"]["kind"])


def field_of(catalogue: Catalogue, name: str) -> dict[str, Any]:
    return next(field for field in catalogue.info()["types"]["a"]["fields"] if field["name"] == name)


# Duplicate keys


def test_duplicate_keys_are_refused_with_the_first_ten_and_where_they_stand(tmp_path: Path):
    write(tmp_path, "a.parquet", id=[f"k{n}" for n in range(15)])
    write(tmp_path, "b.parquet", id=["new", *(f"k{n}" for n in reversed(range(12))), "k0"])
    with pytest.raises(DuplicateKeyError) as raised:
        bedeck.build(Schema({"a": Type("id", str(tmp_path / "*.parquet"))}), tmp_path / "store")
    first, *examples = str(raised.value).splitlines()
    assert 'type "a"' in first
    assert 'key "id"' in first
    assert "13 rows too many" in first
    assert 'on_duplicate = "first"' in first
    assert len(examples) == 10
    for n, example in enumerate(examples):
        assert f'"k{n}"' in example
        assert f"{tmp_path}/a.parquet row {n};" in example
        assert f"{tmp_path}/b.parquet row {12 - n}" in example
    assert "row 13" in examples[0]
    with pytest.raises(NotFoundError):
        bedeck.open(tmp_path / "store")


@pytest.mark.parametrize(("rule", "kept"), [("first", [0, 1, 10]), ("last", [11, 12, 10])])
def test_of_duplicate_keys_the_first_or_last_is_kept_by_path_then_row(tmp_path: Path, rule: Any, kept: list[int]):
    # The order of paths is neither that of the list nor that of their making.
    second = write(tmp_path, "b.parquet", id=[3, 1, 2], n=[10, 11, 12], text=["x", "y", "z"])
    first = write(tmp_path, "a.parquet", id=[1, 2, 1], n=[0, 1, 2], text=["q", None, "r"])
    schema = Schema({"a": Type("id", on_duplicate=rule)})
    built = bedeck.build(schema, tmp_path / "store", {"a": [second, first]})
    assert (built.types["a"].rows, built.types["a"].records, built.types["a"].dropped) == (6, 3, 3)
    records = bedeck.open(tmp_path / "store")["a"]
    assert records.decorate([1, 2, 3], ["n"]) == [{"n": n} for n in kept]
    assert len(records) == 3
    (digest,) = {of["digest"] for of in bedeck.open(tmp_path / "store").info()["types"].values()}
    assert reference.open(tmp_path / "store")["a"].digest() == digest


def test_counts_are_of_the_records_that_are_kept():
    rows = [{"id": 1, "n": 5}, {"id": 1, "n": None}, {"id": 2, "n": 6}]
    catalogue = make({"a": Type("id", on_duplicate="first")}, {"a": rows})
    assert field_of(catalogue, "n")["nulls"] == 0
    assert catalogue["a"].decorate([1, 2]) == [{"n": 5}, {"n": 6}]


def test_uuids_written_differently_are_duplicates():
    rows = [{"id": str(uuid.UUID(int=10**38))}, {"id": str(uuid.UUID(int=10**38)).upper()}]
    with pytest.raises(DuplicateKeyError, match="<iterable> row 0; <iterable> row 1"):
        make({"a": Type(Key("id", "uuid"))}, {"a": rows})


# Null and malformed keys


@pytest.mark.parametrize(
    ("kind", "keys", "shown"),
    [
        ("base62", ["0" * 22, "0" * 21], '"0{21}"'),
        ("base62", ["0" * 22, "7N42dgm5tFLK9N8MT7fHC8"], '"7N42dgm5tFLK9N8MT7fHC8"'),
        ("base62", ["0" * 22, ""], '""'),
        ("uuid", [EMPTY, "x"], '"x"'),
        ("string", ["x", "é" * 32_768], "65536 bytes"),
        ("bytes", [b"x", b"x" * 65_536], "65536 bytes"),
        (None, ["x", "x" * 65_536], "65536 bytes"),
        (None, ["x", None], "null"),
        ("int", [1, None], "null"),
        ("uuid", [EMPTY, None], "null"),
    ],
)
def test_a_key_that_cannot_be_taken_is_named_with_file_and_row(tmp_path: Path, kind: Any, keys: list[Any], shown: str):
    path = write(tmp_path, "bad.parquet", id=keys)
    good = write(tmp_path, "a.parquet", id=keys[:1] * 0 or pa.array([], pa.array(keys).type))
    with pytest.raises(SourceError, match=rf'{path}.*row 1.*"a".*"id".*{shown}'):
        bedeck.build(Schema({"a": Type(Key("id", kind))}), tmp_path / "store", {"a": [good, path]})


def test_the_first_bad_row_is_the_one_named(tmp_path: Path):
    keys = [str(n) for n in range(200_000)]
    for bad in (199_000, 140_000, 70_001, 66_000):
        keys[bad] = None
        path = write(tmp_path, "bad.parquet", id=keys)
        for threads in (1, 3):
            with pytest.raises(SourceError, match=f"row {bad}:"):
                make({"a": Type("id")}, {"a": path}, threads=threads)


# Kinds of keys

EDGE = 1 << 128
LENGTHS = (1, 7, 8, 9, 16, 17, 255, 256, 65_535)


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ([base62(0), base62(EDGE - 1)], "base62"),
        ([base62(0), base62(EDGE)], "string"),
        ([base62(0), "Z" * 22], "string"),
        ([base62(0), base62(1)[1:]], "string"),
        ([base62(0), base62(1)[1:] + "-"], "string"),
        ([base62(0), ""], "string"),
        ([EMPTY, str(uuid.UUID(int=EDGE - 1))], "uuid"),
        ([EMPTY, str(uuid.UUID(int=EDGE - 1)).upper()], "string"),
        ([EMPTY, EMPTY.replace("-", "")], "string"),
        ([EMPTY, base62(0)], "string"),
        (["x"], "string"),
        ([""], "string"),
        ([1, -1], "int"),
        ([b"0" * 22], "bytes"),
    ],
)
def test_the_kind_of_a_key_is_that_of_all_its_values(keys: list[Any], kind: str):
    for order in (keys, keys[::-1]):
        catalogue = make({"a": Type("id")}, {"a": pa.table({"id": order, "n": range(len(order))})})
        assert kind_of(catalogue) == kind
        assert catalogue["a"].decorate(order, ["id", "n"]) == [{"id": key, "n": n} for n, key in enumerate(order)]


def test_one_key_in_many_that_is_not_base62_makes_all_of_them_text():
    source = random.Random(1)
    keys = [base62(source.getrandbits(128)) for _ in range(70_000)]
    for odd in (base62(EDGE), keys[3][:-1]):
        for place in (0, 40_000, 69_999):
            keys_now = [*keys[:place], odd, *keys[place + 1 :]]
            catalogue = make({"a": Type("id")}, {"a": pa.table({"id": keys_now})}, threads=3)
            assert kind_of(catalogue) == "string"
            assert odd in catalogue["a"]
    assert kind_of(make({"a": Type("id")}, {"a": pa.table({"id": keys})})) == "base62"


def test_a_declared_kind_is_kept_even_where_all_keys_look_like_another():
    catalogue = make({"a": Type(Key("id", "string"))}, {"a": [{"id": base62(5), "n": 1}]})
    assert kind_of(catalogue) == "string"
    assert catalogue["a"].decorate([base62(5)]) == [{"n": 1}]


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("base62", [base62(n) for n in (0, 1, 61, 62**11, EDGE - 1)]),
        ("uuid", [str(uuid.UUID(int=n)) for n in (0, 1, EDGE - 1)]),
        ("int", [0, 1, -1, -(1 << 63), (1 << 63) - 1]),
        ("string", ["", "\0", "\0\0", '"\\\n', "😀", "é" * 32_767, *("x" * n for n in LENGTHS)]),
        ("bytes", [b"", b"\0", b"\0\0", b"a\0b", b"a\0", b"\0" * 16, b"\xff" * 255, *(b"x" * n for n in LENGTHS)]),
    ],
)
def test_keys_at_the_edges(kind: Any, keys: list[Any]):
    for some in (keys, keys[:1], keys[-1:]):
        records = make({"a": Type(Key("id", kind))}, {"a": [{"id": key, "n": n} for n, key in enumerate(some)]})["a"]
        assert records.decorate(some, ["id", "n"]) == [{"id": key, "n": n} for n, key in enumerate(some)]
        assert set(records) == set(some)
        assert len(records) == len(some)
        bare = make({"a": Type(Key("id", kind))}, {"a": [{"id": key} for key in some]})["a"]
        assert bare.decorate(some) == [{} for _ in some]
        assert set(bare) == set(some)


def test_unsigned_keys_go_to_the_end():
    keys = [0, 1, 1 << 63, (1 << 64) - 1]
    records = make({"a": Type("id")}, {"a": pa.table({"id": pa.array(keys, pa.uint64()), "n": range(4)})})["a"]
    assert records.decorate(keys, ["id", "n"]) == [{"id": key, "n": n} for n, key in enumerate(keys)]
    assert records.decorate([-1, -(1 << 63), 1 << 64]) == [None] * 3
    assert sorted(records) == keys


@pytest.mark.parametrize("count", [*range(301), 1000, 4097])
def test_every_number_of_records_has_an_index(count: int):
    keys = pa.array(range(count), pa.int64())
    records = make({"a": Type("id")}, {"a": pa.table({"id": keys, "n": keys})})["a"]
    assert records.decorate(range(-1, count + 1)) == [None, *({"n": n} for n in range(count)), None]
    assert sorted(records) == list(range(count))


def test_hundreds_of_thousands_of_records():
    keys = np.random.default_rng(7).permutation(1 << 20)[:250_000].astype(np.int64) - (1 << 19)
    records = make({"a": Type("id")}, {"a": pa.table({"id": keys, "n": keys * 3})})["a"]
    table = pa.table(records.decorate_arrow(keys))
    assert np.array_equal(table["n"].to_numpy(), keys * 3)
    absent = np.setdiff1d(np.arange(-(1 << 19), 1 << 19), keys)
    assert pa.table(records.decorate_arrow(absent))["n"].null_count == len(absent)
    assert set(records) == set(keys.tolist())


# Types without records


def test_a_catalogue_without_records():
    schema = pa.schema([("id", pa.string()), ("n", pa.int8()), ("up", pa.list_(pa.string()))])
    empty = schema.empty_table()
    records = make({"a": Type("id", references={"ups": Reference("up", "a")})}, {"a": empty})["a"]
    assert (len(records), list(records), dict(records)) == (0, [], {})
    assert records.decorate(["x", ""], ["n", "ups.n"]) == [None, None]
    assert records.decorate_json(["x"]) == b"[null]"
    assert pa.table(records).equals(empty)
    assert "x" not in records


def test_an_iterable_without_rows():
    records = make({"a": Type(Key("id", "int"), fields={"n": "uint8"})}, {"a": iter([])})["a"]
    assert records.decorate([1]) == [None]
    assert pa.table(records).schema == pa.schema([("id", pa.int64()), ("n", pa.uint8())])


def test_unsigned_keys_without_records_are_unsigned():
    empty = pa.table({"id": pa.array([], pa.uint64())})
    assert pa.table(make({"a": Type("id")}, {"a": empty})["a"]).schema == empty.schema


KEY_OF_ANY_KIND = [[], [{"id": 5}], [{"id": "x"}], [{"id": b"x"}], [{"id": base62(5)}]]


@pytest.mark.parametrize("up", [None, [], [None]], ids=str)
@pytest.mark.parametrize("targets", KEY_OF_ANY_KIND, ids=str)
def test_references_without_a_key_in_them_go_with_keys_of_any_kind(up: Any, targets: list[Any]):
    types = {"a": Type("id", references={"b": Reference("up", "b")}), "b": Type("id")}
    records = make(types, {"a": [{"id": 1, "up": up}], "b": targets})["a"]
    assert records.decorate([1], ["up", "b.id"]) == [{"up": up, "b": up}]


@pytest.mark.parametrize("key", [5, "x", b"x", base62(5)], ids=str)
def test_types_without_records_can_be_referred_to_by_keys_of_any_kind(key: Any):
    types = {"a": Type("id", references={"b": Reference("up", "b")}), "b": Type("id")}
    records = make(types, {"a": [{"id": 1, "up": [key, None]}], "b": []})["a"]
    assert records.decorate([1], ["up", "b.id"]) == [{"up": [key, None], "b": [None, None]}]


# References


def test_dangling_references_are_counted():
    types = {
        "a": Type("id", references={"ups": Reference("up", "a"), "one": Reference("of", "b")}),
        "b": Type("id"),
    }
    rows = [
        {"id": 1, "up": [1, 2, 9, 9], "of": "x"},
        {"id": 2, "up": None, "of": "gone"},
        {"id": 3, "up": [None, 8], "of": None},
        {"id": 4, "up": [], "of": "gone"},
    ]
    with scratch() as folder:
        built = bedeck.build(Schema(types), folder, {"a": rows, "b": [{"id": "x"}]})
    assert built.types["a"].dangling == {"up": (3, 2), "of": (2, 1)}
    assert built.types["b"].dangling == {}
    assert (built.version, built.bytes) == (1, sum(type_.bytes for type_ in built.types.values()))


def test_a_strict_type_refuses_dangling_references(tmp_path: Path):
    path = write(tmp_path, "a.parquet", id=[1, 2, 3], up=[[1, 2], [3, 1], [1, 7]], of=[1, None, 8])
    types = {"a": Type("id", path, references={"ups": Reference("up", "a")}, strict=True)}
    with pytest.raises(DanglingReferenceError, match=rf'"a".*"up".*7.*{path} row 2'):
        bedeck.build(Schema(types), tmp_path / "store")
    with pytest.raises(NotFoundError):
        bedeck.open(tmp_path / "store")
    path = write(tmp_path, "a.parquet", id=[1, 2, 3], up=[[1, 2], None, []], of=[1, None, 8])
    assert bedeck.build(Schema(types), tmp_path / "store").types["a"].dangling == {}


@pytest.mark.parametrize(("of", "to"), [(pa.int64(), pa.uint64()), (pa.uint64(), pa.int64()), (pa.int8(), pa.uint32())])
def test_references_find_integers_of_another_width_or_sign(of: pa.DataType, to: pa.DataType):
    types = {"a": Type("id", references={"b": Reference("up", "b")}), "b": Type("id")}
    sources = {
        "a": pa.table({"id": [1, 2], "up": pa.array([100, 7], of)}),
        "b": pa.table({"id": pa.array([100], to), "n": [5]}),
    }
    records = make(types, sources)["a"]
    assert records.decorate([1, 2], ["up", "b.n"]) == [{"up": 100, "b": {"n": 5}}, {"up": 7, "b": None}]


@pytest.mark.parametrize(
    ("of", "value", "to", "key"),
    [(pa.int64(), -1, pa.uint64(), (1 << 64) - 1), (pa.uint64(), 1 << 63, pa.int64(), -(1 << 63))],
)
def test_integers_that_only_share_their_bits_are_different_keys(of: Any, value: int, to: Any, key: int):
    types = {"a": Type("id", references={"b": Reference("up", "b")}), "b": Type("id")}
    sources = {
        "a": pa.table({"id": [1], "up": pa.array([value], of)}),
        "b": pa.table({"id": pa.array([key], to), "n": [5]}),
    }
    try:
        records = make(types, sources)["a"]
    except (SourceError, SchemaError):
        return  # refused: no key of the type can be this number
    assert records.decorate([1], ["up", "b.n"]) == [{"up": value, "b": None}]


@pytest.mark.parametrize(
    ("keys", "refers"),
    [
        (pa.array([1]), pa.array(["1"])),
        (pa.array(["1"]), pa.array([1])),
        (pa.array(["x"]), pa.array([b"\xff"])),
        (pa.array([b"x"]), pa.array([1])),
        (pa.array([base62(0)]), pa.array([b"\xff" * 22])),
    ],
)
def test_references_of_another_kind_than_the_keys_are_refused(keys: pa.Array, refers: pa.Array):
    types = {"a": Type("id", references={"b": Reference("up", "b")}), "b": Type("id")}
    with pytest.raises((SchemaError, SourceError), match=r'"a".*"up"'):
        make(types, {"a": pa.table({"id": [1], "up": refers}), "b": pa.table({"id": keys})})


# Determinism


@settings(max_examples=settings.default.max_examples // 2)
@given(catalogues(), st.randoms(use_true_random=False))
def test_neither_threads_nor_the_order_of_rows_change_a_byte(catalogue: dict[str, Rows], shuffle: random.Random):
    types = {name: type_of(rows) for name, rows in catalogue.items()}
    tables = {name: table_of(rows, catalogue) for name, rows in catalogue.items()}
    shuffled = {
        name: table.take(pa.array(shuffle.sample(range(len(table)), len(table)), pa.int64()))
        for name, table in tables.items()
    }
    assert blobs(types, shuffled, threads=3) == blobs(types, tables, threads=1)


def large(count: int, distinct: int) -> pa.Table:
    numbers = np.arange(count)
    return pa.table(
        {
            "id": numbers,
            "up": (numbers * 7919) % (count + count // 10),
            "text": pa.array([f"a text that comes more than once: {n % distinct}" for n in range(count)]),
            "long": pa.array([("x" * (n % 400) if n % 3 else None) for n in range(count)]),
            "list": pa.array([list(range(n % 5)) for n in range(count)]),
            "x": numbers / 7,
        }
    )


# Around the most values that are interned, and more rows than one batch, one segment or one part of the index holds.
@pytest.mark.parametrize(("count", "distinct"), [(250_000, 100), (140_000, 65_536), (140_000, 65_537)])
def test_large_types_are_built_alike_by_any_number_of_threads(tmp_path: Path, count: int, distinct: int):
    table, types = large(count, distinct), {"a": Type("id", references={"next": Reference("up", "a")})}
    once = blobs(types, {"a": table}, threads=1)
    shuffled = table.take(np.random.default_rng(3).permutation(count))
    assert blobs(types, {"a": shuffled}, threads=3) == once
    third = count // 3
    paths = []
    for part in range(3):
        paths.append(str(tmp_path / f"{part}.parquet"))
        pq.write_table(shuffled.slice(part * third, None if part == 2 else third), paths[-1])
    assert blobs(types, {"a": paths}, threads=2) == once


def test_all_values_of_a_large_type_come_back():
    count = 140_000
    for distinct in (65_536, 65_537):
        table = large(count, distinct)
        catalogue = make({"a": Type("id", references={"next": Reference("up", "a")})}, {"a": table})
        records = catalogue["a"]
        answer = pa.table(records.decorate_arrow(range(count), table.column_names))
        assert answer.cast(table.schema).equals(table)
        assert ("values" in field_of(catalogue, "text")) == (distinct == 65_536)
        ups = table["up"].to_numpy()
        through = pa.table(records.decorate_arrow(range(count), ["next.id"]))["next"].combine_chunks()
        assert np.array_equal(through.is_null().to_numpy(zero_copy_only=False), ups >= count)
        assert np.array_equal(through.field(0).drop_null().to_numpy(), ups[ups < count])


def test_building_again_gives_the_same_blobs_under_the_next_version(tmp_path: Path):
    schema, rows = Schema({"a": Type("id")}), [{"id": n, "n": n} for n in range(50)]
    first = bedeck.build(schema, tmp_path / "store", {"a": rows})
    names = sorted((tmp_path / "store" / "blobs").iterdir())
    second = bedeck.build(schema, tmp_path / "store", {"a": reversed(rows)})
    assert sorted((tmp_path / "store" / "blobs").iterdir()) == names
    assert (first.version, second.version) == (1, 2)
    assert bedeck.open(tmp_path / "store").info()["types"] == bedeck.open(tmp_path / "store", version=1).info()["types"]


# Versions


def numbers_of(store: Path) -> dict[str, int]:
    return {field["name"]: field["id"] for field in bedeck.open(store).info()["types"]["a"]["fields"]}


def test_fields_keep_their_number_over_versions(tmp_path: Path):
    store = tmp_path / "store"
    bedeck.build(Schema({"a": Type("id")}), store, {"a": [{"id": 1, "x": 1, "y": 2}]})
    assert numbers_of(store) == {"x": 0, "y": 1}
    bedeck.build(Schema({"a": Type("id")}), store, {"a": [{"id": 1, "z": 3, "y": 2, "x": 1}]})
    assert numbers_of(store) == {"z": 2, "y": 1, "x": 0}
    assert bedeck.open(store)["a"].decorate([1]) == [{"z": 3, "y": 2, "x": 1}]
    digest = reference.open(store)["a"].digest()
    assert digest == bedeck.open(store).info()["types"]["a"]["digest"]


def test_the_number_of_a_field_that_is_gone_is_not_given_again(tmp_path: Path):
    store = tmp_path / "store"
    bedeck.build(Schema({"a": Type("id")}), store, {"a": [{"id": 1, "x": 1, "y": 2}]})
    bedeck.build(Schema({"a": Type("id")}), store, {"a": [{"id": 1, "x": 1}]})
    both = Schema({"a": Type("id"), "b": Type("id")})
    bedeck.build(both, store, {"a": [{"id": 1, "x": 1, "w": 2}], "b": [{"id": 1, "x": 1}]})
    assert numbers_of(store) == {"x": 0, "w": 2}
    assert bedeck.open(store).info()["types"]["b"]["fields"][0]["id"] == 3


# Values at the edges of what records are laid out by


def check(type_: str, arrow: pa.DataType, values: list[Any]) -> Records:
    """A field `v` with these values, read back in every way; and by the reference reader."""
    source = pa.table({"id": range(len(values)), "v": pa.array(values, arrow)})
    with scratch() as folder:
        bedeck.build(Schema({"a": Type("id", fields={"v": type_})}), folder, {"a": source})
        records, table = bedeck.open(folder)["a"], reference.open(folder)["a"]
    ids = range(len(values))
    expected = exact([{"v": value} for value in values])
    assert exact(records.decorate(ids)) == expected
    assert exact(read_table(records.decorate_arrow(ids))) == expected
    assert exact([{"v": record["v"]} for record in map(records.__getitem__, ids)]) == expected
    assert exact(table.decorate(ids)) == expected
    assert table.digest() == table.described["digest"].value
    return records


RANGES = [
    *(("int64", 0, (1 << bits) - 1) for bits in range(64)),
    *(("uint64", 0, (1 << bits) - 1) for bits in (56, 57, 63, 64)),
    ("int64", -(1 << 63), (1 << 63) - 1),
    ("int64", -1, (1 << 63) - 1),
    ("int64", -(1 << 63), 0),
    ("uint64", 1, (1 << 64) - 1),
    ("uint64", 1 << 63, (1 << 64) - 1),
]


@pytest.mark.parametrize(("type_", "low", "high"), RANGES)
@pytest.mark.parametrize("nulls", [[], [None]], ids=["no nulls", "nulls"])
def test_numbers_of_any_width_come_back(type_: str, low: int, high: int, nulls: list[None]):
    arrow, edges = getattr(pa, type_)(), [low, high, (low + high) // 2, min(low + 1, high), max(high - 1, low)]
    check(type_, arrow, [*edges, *nulls])
    check(f"list<{type_}>", pa.list_(arrow), [edges, [], edges[::-1], [*edges, *nulls], None])


@pytest.mark.parametrize("base", [-(1 << 63), -5, -(1 << 40), 1 << 40, (1 << 63) - (1 << 57) - 1])
@pytest.mark.parametrize("bits", [0, 1, 8, 55, 56, 57])
def test_numbers_of_a_narrow_range_far_from_zero_come_back(base: int, bits: int):
    values = [base, base + (1 << bits) - 1, base + (1 << bits) // 2, None]
    check("int64", pa.int64(), values)
    check("list<int64>", pa.list_(pa.int64()), [values, values[:-1], [base]])


def test_many_odd_widths_side_by_side():
    widths = [57, 1, 56, 3, 64, 55, 2, 63, 7, 58, 33, 1, 64, 11]
    rows = [{"id": n, **{f"w{i}": ((1 << w) - 1) * n // 3 for i, w in enumerate(widths)}} for n in range(4)]
    fields = {f"w{i}": "uint64" for i in range(len(widths))}
    records = make({"a": Type("id", fields=fields)}, {"a": rows})["a"]
    assert [dict(records[n]) for n in range(4)] == rows


ONE_EACH: dict[str, Any] = {
    "bool": (pa.bool_(), True),
    "int8": (pa.int8(), -128),
    "uint8": (pa.uint8(), 255),
    "int16": (pa.int16(), -32768),
    "uint32": (pa.uint32(), (1 << 32) - 1),
    "int64": (pa.int64(), -1),
    "uint64": (pa.uint64(), (1 << 64) - 1),
    "float32": (pa.float32(), -0.0),
    "float64": (pa.float64(), math.nan),
    "string": (pa.string(), '"\n'),
    "categorical": (pa.string(), "x"),
    "binary": (pa.binary(), b"\0\xff"),
    "timestamp[ns]": (pa.timestamp("ns"), None),
}


@pytest.mark.parametrize("type_", [name for name in ONE_EACH if name != "timestamp[ns]"])
def test_constant_null_and_nearly_null_fields_come_back(type_: str):
    arrow, value = ONE_EACH[type_]
    for count in (1, 40):
        for values in ([value] * count, [None] * count, [value] * count + [None], [None] * count + [value]):
            check(type_, arrow, values)


@pytest.mark.parametrize("type_", [name for name in ONE_EACH if name != "timestamp[ns]"])
def test_lists_of_every_type_with_nulls_come_back(type_: str):
    arrow, value = ONE_EACH[type_]
    lists = [[], [value], [None], [None, value], [value, None] * 9, None, [None] * 8, [value] * 255, [value] * 256]
    lists += [[value] * 31, [value] * 32, [None] * 300, [value] * 7 + [None]]
    check(f"list<{type_}>", pa.list_(arrow), lists)
    check(f"list<{type_}>", pa.list_(arrow), [[]])
    check(f"list<{type_}>", pa.list_(arrow), [[], None])
    check(f"list<{type_}>", pa.list_(arrow), [[value]] * 40)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 126, 127, 128, 254, 255, 256, 4096, 16_383, 16_384, 70_000, 1 << 20])
def test_texts_and_bytes_of_any_length_come_back(length: int):
    check("string", pa.string(), ["x" * length, "", None])
    check("string", pa.string(), ["x" * length])
    check("binary", pa.binary(), [b"\xff" * length, b"\0" * length, None])
    check("list<string>", pa.list_(pa.string()), [["x" * length, None, ""], [], ["y" * length]])


@pytest.mark.parametrize("length", [*range(250, 262)])
def test_texts_that_only_fit_without_their_escapes_come_back(length: int):
    check("string", pa.string(), ["x" * (length - 1) + "\n", "\0" * (length // 6), "x" * length])


def test_lists_of_ten_thousand_items_come_back():
    count = 10_000
    check("list<int64>", pa.list_(pa.int64()), [list(range(count)), [None] * count, [n * n for n in range(count)]])
    check("list<bool>", pa.list_(pa.bool_()), [[True, False, None] * (count // 3), [True]])
    check("list<string>", pa.list_(pa.string()), [[f"item {n}" for n in range(count)], [""] * count])
    check("list<float32>", pa.list_(pa.float32()), [[0.5] * count])


@pytest.mark.parametrize("length", [0, 1, 254, 255, 256, 10_000])
def test_lists_of_references_of_any_length_are_followed(length: int):
    types = {"a": Type("id", references={"ups": Reference("up", "a")})}
    ups = [n % 7 for n in range(length)]
    rows = [{"id": n, "n": n * 10, "up": ups if n else [9, None, 0]} for n in range(5)]
    records = make(types, {"a": rows})["a"]
    assert records.decorate([1], ["up"]) == [{"up": ups}]
    assert records.decorate([1], ["ups.n"]) == [{"ups": [{"n": n * 10} if n < 5 else None for n in ups]}]
    assert records.decorate([0], ["ups.n", "up"]) == [{"ups": [None, None, {"n": 0}], "up": [9, None, 0]}]


def test_three_hundred_fields_come_back():
    kinds = [None, "text", "x" * 300, 7, -(1 << 40), 2.5, True, b"\0", [1, None], ["a", ""], []]
    rows = [{"id": n, **{f"f{i}": kinds[i % len(kinds)] for i in range(300)}} for n in range(20)]
    records = make({"a": Type("id")}, {"a": rows})["a"]
    assert [dict(records[n]) for n in range(20)] == rows
    assert records.decorate(range(20), [f"f{i}" for i in reversed(range(300))]) == [
        {f"f{i}": row[f"f{i}"] for i in reversed(range(300))} for row in rows
    ]
    assert pa.table(records).sort_by("id").to_pylist() == rows


def test_floats_come_back_to_the_bit():
    doubles = [0.0, -0.0, 5e-324, math.inf, -math.inf, 1.5, struct.unpack("<d", b"\1\0\0\0\0\0\xf8\x7f")[0]]
    records = make({"a": Type("id")}, {"a": pa.table({"id": range(7), "v": doubles})})["a"]
    found = [row["v"] for row in records.decorate(range(7))]
    assert [struct.pack("<d", value) for value in found] == [struct.pack("<d", value) for value in doubles]
    arrow = pa.table(records.decorate_arrow(range(7)))["v"].to_numpy()
    assert arrow.tobytes() == np.array(doubles).tobytes()


def test_values_that_repeat_are_stored_once():
    lists = [[f"market {n}" for n in range(start, start + 50)] for start in range(3)]
    rows = [{"id": n, "one": "a label that repeats", "set": lists[n % 3], "own": f"text {n}"} for n in range(1000)]
    catalogue = make({"a": Type("id")}, {"a": rows})
    assert field_of(catalogue, "one")["values"]["count"] == 1
    assert field_of(catalogue, "one")["bits"]["bits"] == 0
    assert field_of(catalogue, "set")["values"]["count"] == 3
    assert field_of(catalogue, "set")["bits"]["bits"] == 2
    assert "values" not in field_of(catalogue, "own")
    assert [dict(catalogue["a"][n]) for n in range(1000)] == rows


def test_names_that_cannot_be_handed_to_arrow_are_refused():
    with pytest.raises((SchemaError, SourceError), match="name"):
        make({"a": Type("id")}, {"a": [{"id": 1, "a\0b": 2}]})


# What a build needs


def test_a_type_needs_a_source(tmp_path: Path):
    schema = Schema({"a": Type("id"), "b": Type("id")})
    with pytest.raises(
        SchemaError, match=r'^\[type.b\]: no source: write source = "..." into it, or give it in sources=$'
    ):
        bedeck.build(schema, tmp_path / "store", {"a": []})
    toml = tmp_path / "catalogue.toml"
    toml.write_text('[type.a]\nkey = "id"\n')
    with pytest.raises(SchemaError, match=rf"^{re.escape(str(toml))}: \[type.a\]: no source: "):
        bedeck.build(toml, tmp_path / "store")
    with pytest.raises(SchemaError, match="there is no type 'c'; the schema has a, b"):
        bedeck.build(schema, tmp_path / "store", {"c": []})
    assert not (tmp_path / "store").exists()


def test_a_catalogue_toml_names_its_sources_from_its_own_folder(tmp_path: Path):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", "x.parquet", id=["a", "b"], n=[1, 2])
    toml = tmp_path / "catalogue.toml"
    toml.write_text('namespace = "music"\n[type.a]\nsource = "data/*.parquet"\nkey = "id"\n')
    built = bedeck.build(toml, tmp_path / "store")
    assert (built.version, built.types["a"].records, built.types["a"].key_kind) == (1, 2, "string")
    assert built.seconds >= 0
    assert bedeck.open(tmp_path / "store")["a"].decorate(["b", "a"]) == [{"n": 2}, {"n": 1}]
    assert bedeck.open(tmp_path / "store").info()["namespace"] == "music"


def test_a_build_that_fails_leaves_the_store_as_it_was(tmp_path: Path):
    store, schema = tmp_path / "store", Schema({"a": Type("id")})
    bedeck.build(schema, store, {"a": [{"id": 1, "n": 1}]})
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}

    def rows() -> Any:
        yield {"id": 2, "n": 2}
        raise ZeroDivisionError

    for failing, error in ((rows(), ZeroDivisionError), ([{"id": 1}, {"id": 1}], DuplicateKeyError)):
        with pytest.raises(error):
            bedeck.build(schema, store, {"a": failing})
        assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
    assert bedeck.open(store)["a"].decorate([1, 2]) == [{"n": 1}, None]


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        ({"schema": {"a": 1}}, TypeError, "schema: a Schema or the path of a catalogue.toml is expected, not dict"),
        ({"threads": 0}, ValueError, "threads=0: at least 1"),
        ({"threads": "2"}, TypeError, "threads='2': a whole number is expected, or None"),
        ({"threads": 2.0}, TypeError, "threads=2.0: a whole number is expected, or None"),
        (
            {"sources": [{"id": 1}]},
            TypeError,
            'sources: a mapping of type to source is expected, not list: {"a": [...]}',
        ),
        ({"sources": []}, TypeError, "sources: a mapping of type to source is expected, not list"),
    ],
)
def test_arguments_that_cannot_be_are_refused(
    arguments: dict[str, Any], error: type[Exception], why: str, tmp_path: Path
):
    given = {"schema": Schema({"a": Type("id")}), "sources": {"a": [{"id": 1}]}, **arguments}
    with pytest.raises(error, match=f"^{re.escape(why)}"):
        bedeck.build(store=tmp_path / "store", **given)
    assert not (tmp_path / "store").exists()


def test_what_may_not_have_been_meant_is_noted(tmp_path: Path):
    rows = iter([{"id": 1}])
    schema = Schema({"a": Type("id"), "b": Type("id")})
    first = bedeck.build(schema, tmp_path / "store", {"a": rows, "b": [{"id": 1}]})
    assert (first.gone, first.notes) == ((), [])
    schema = Schema({"a": Type(Key("id", "int"))})
    second = bedeck.build(schema, tmp_path / "store", {"a": rows})
    assert (second.types["a"].rows, second.gone) == (0, ("b",))
    assert second.notes == [
        'type "a" is empty: its source gave no rows',
        'type "b" of the version before is not in version 2',
    ]
    assert bedeck.open(tmp_path / "store").types == ["a"]


# Keys that are kept as they print


@pytest.mark.parametrize(
    ("keys", "odd"),
    [
        (
            [base62(n) for n in range(5)],
            ["x", '"\\\n'],
        ),
        ([str(uuid.UUID(int=n)) for n in range(5)], [str(uuid.UUID(int=77)).upper(), "x"]),
        (["", 'a"b', "\\", "\u0001", "ä" * 300], ["nobody"]),
        ([0, 1, -2, 3, 4], [99]),
        ([b"", b"\xff", b"a", b"b", b"c"], [b"nobody"]),
    ],
    ids=["base62", "uuid", "string", "int", "bytes"],
)
@pytest.mark.parametrize("follow", [False, True])
def test_keys_of_hot_columns_are_the_keys_that_references_name(keys: list[Any], odd: list[Any], follow: bool):  # noqa: FBT001
    lists = [None, [], [keys[0]], [keys[1], None, keys[2]], [*keys, *odd, None]]
    single = [keys[0], None, keys[4], odd[0], keys[2]]
    references = {"one": Reference("one_id", "b"), "many": Reference("many_ids", "b")}
    kind = pa.array(keys).type
    rows = pa.table({"id": range(5), "one_id": pa.array(single, kind), "many_ids": pa.array(lists, pa.list_(kind))})
    plain, hot = (
        make(
            {"a": Type("id", references=references, hot=hot), "b": Type("id")}, {"a": rows, "b": pa.table({"id": keys})}
        )
        for hot in ((), ("one_id", "many_ids"))
    )
    fields = ["many_ids", "one_id", *(["one.id", "many.id"] if follow else [])]
    expected = plain["a"].decorate(range(5), fields)
    assert hot["a"].decorate(range(5), fields) == expected
    assert [dict(record) for record in hot["a"].select(*fields).records(range(5))] == expected  # type: ignore[arg-type]
    assert hot["a"].decorate_json(range(5), fields) == plain["a"].decorate_json(range(5), fields)
    assert pa.table(hot["a"].decorate_arrow(range(5), fields)) == pa.table(plain["a"].decorate_arrow(range(5), fields))
    assert pa.table(hot["a"]) == pa.table(plain["a"])
    assert hot.info()["types"]["a"]["digest"] == plain.info()["types"]["a"]["digest"]
    printed = ["printed" in field_of(hot, name) for name in ("one_id", "many_ids")]
    assert printed == [isinstance(keys[0], str)] * 2


@pytest.mark.parametrize(("key", "shown"), [(2, "2"), (-5, "-5"), (b"\xff", '"/w=="'), ('"', '"\\""')])
def test_a_dangling_key_that_is_refused_is_shown_as_it_prints(key: Any, shown: str):
    types = {"a": Type("id", references={"to": Reference("to_id", "b")}, strict=True), "b": Type("id")}
    other = {int: 1, bytes: b"", str: ""}[type(key)]
    with pytest.raises(DanglingReferenceError, match="1 reference to 1 key without a record, the first ") as raised:
        make(types, {"a": [{"id": 1, "to_id": key}], "b": [{"id": other}]})
    assert f"the first {shown} at <iterable> row 0;" in str(raised.value)
