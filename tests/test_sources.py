import datetime as dt
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedeck import _mappings
from bedeck.errors import SchemaError, SourceError
from bedeck.schema import Key, KeyKind, Reference, Type
from bedeck.sources import Source, Stream, read, resolve

ID = Type("id")
ONE, TWO = UUID(int=1), UUID(int=2**127 + 2)
NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 5)  # noqa: DTZ001 - without a zone on purpose


def streams(source: Source, type_: Type = ID, base: Path = Path()) -> list[Stream]:
    return list(read("track", type_, source, base))


def table(source: Source, type_: Type = ID, base: Path = Path()) -> pa.Table:
    opened = streams(source, type_, base)
    return pa.concat_tables([stream.reader.read_all() for stream in opened])


def rows(source: Source, type_: Type = ID, base: Path = Path()) -> list[dict[str, object]]:
    return table(source, type_, base).to_pylist()


def column(array: pa.Array, type_: Type = ID) -> pa.Array:
    """What becomes of a column beside a key."""
    source = pa.table({"id": pa.array(range(len(array))), "x": array})
    return table(source, type_)["x"].combine_chunks()


def kind(array: pa.Array, type_: Type = ID) -> str:
    return resolve("track", type_, pa.schema([("id", pa.int64()), ("x", array.type)])).fields[0].type


def read_all(source: Source, type_: Type, base: Path) -> None:
    for stream in read("track", type_, source, base):
        with stream:
            stream.reader.read_all()


def refusal(error: type[Exception], source: Source, type_: Type = ID, base: Path = Path()) -> str:
    with pytest.raises(error) as raised:
        read_all(source, type_, base)
    return str(raised.value)


def write(path: Path, *tables: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    batches = [pa.table(each) for each in tables]
    with pq.ParquetWriter(path, batches[0].schema) as writer:
        for batch in batches:
            writer.write_table(batch)
    return path


def uuids(*values: UUID | None) -> pa.Array:
    storage = pa.array([value and value.bytes for value in values], pa.binary(16))
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def bad_text() -> pa.Array:
    offsets, text = np.array([0, 1, 2, 3], np.int32).tobytes(), b"a\xffb"
    return pa.Array.from_buffers(pa.string(), 3, [None, pa.py_buffer(offsets), pa.py_buffer(text)])


INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
SCALARS = [
    (pa.array([True, None]), "bool", pa.bool_()),
    *((pa.array([1, None], integer), str(integer), integer) for integer in INTEGERS),
    (pa.array([0.1, None], pa.float32()), "float32", pa.float32()),
    (pa.array([0.1, None, math.inf]), "float64", pa.float64()),
    (pa.array(["a", None, "å"]), "string", pa.large_string()),
    (pa.array(["a", None], pa.large_string()), "string", pa.large_string()),
    (pa.array(["a", None, "a long text in a view"], pa.string_view()), "string", pa.large_string()),
    (pa.array([None, None]), "string", pa.large_string()),
    (pa.array([b"\xff", None]), "binary", pa.large_binary()),
    (pa.array([b"\xff", None], pa.large_binary()), "binary", pa.large_binary()),
    (pa.array([b"\xff", None], pa.binary_view()), "binary", pa.large_binary()),
    (pa.array([b"ab", None], pa.binary(2)), "binary", pa.large_binary()),
    (pa.array([dt.date(1, 1, 1), None]), "date", pa.date32()),
    (pa.array([dt.date(9999, 12, 31), None], pa.date64()), "date", pa.date32()),
    (pa.array([NOON, None]), "timestamp[us]", pa.timestamp("us")),
    (pa.array([1000, None], pa.timestamp("ns", "UTC")), "timestamp[ns,UTC]", pa.timestamp("ns", "UTC")),
    (pa.array([1], pa.timestamp("s", "Europe/Oslo")), "timestamp[s,Europe/Oslo]", pa.timestamp("s", "Europe/Oslo")),
    (pa.array([1], pa.timestamp("s", "+02:00")), "timestamp[s,+02:00]", pa.timestamp("s", "+02:00")),
    (pa.array(["a", None, "a"]).dictionary_encode(), "categorical", pa.large_string()),
    (pa.array([b"a", None]).dictionary_encode(), "binary", pa.large_binary()),
    (pa.array([7, None, 7]).dictionary_encode(), "int64", pa.int64()),
    (
        pa.DictionaryArray.from_arrays([0, None, 1], pa.array(["a", "b"], pa.string_view())),
        "categorical",
        pa.large_string(),
    ),
    (pa.DictionaryArray.from_arrays([0, None, 1], pa.array(["a", None])), "categorical", pa.large_string()),
    (pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}", None])), "string", pa.large_string()),
]
LISTS = [
    pa.array([[1, None], None, [], [2]]),
    pa.array([["a", None], None, [], ["b"]], pa.large_list(pa.string())),
    pa.array([["a"], None, [], ["b"]], pa.list_view(pa.string_view())),
    pa.array([["a"], None, [], ["b"]], pa.large_list_view(pa.string())),
    pa.array([["a", None], None, ["b", "c"]], pa.list_(pa.string(), 2)),
    pa.array([["a", None], None, ["b"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    pa.array([[NOON], None], pa.list_(pa.timestamp("us", "UTC"))),
    pa.array([[dt.date(2024, 2, 29)], None], pa.list_(pa.date64())),
    pa.array([[b"ab"], None], pa.list_(pa.binary(2))),
    pa.array([[], None, [None]]),
]


@pytest.mark.parametrize(("array", "field_type", "streamed"), SCALARS)
def test_arrow_columns_take_their_canonical_form(array: pa.Array, field_type: str, streamed: pa.DataType):
    assert kind(array) == field_type
    assert column(array).type == streamed
    assert column(array).to_pylist() == array.to_pylist()
    assert column(array.slice(1)).to_pylist() == array.to_pylist()[1:]
    assert column(array.slice(0, 0)).to_pylist() == []


@pytest.mark.parametrize("array", LISTS, ids=lambda array: str(array.type))
def test_lists_of_any_layout_take_their_canonical_form(array: pa.Array):
    item = kind(pa.nulls(0, array.type.value_type))
    assert kind(array) == f"list<{item}>"
    assert column(array).type == pa.large_list(column(pa.nulls(1, array.type.value_type)).type)
    for start in range(len(array) + 1):
        assert column(array.slice(start)).to_pylist() == array.to_pylist()[start:]


def test_uuids_are_printed():
    assert kind(uuids()) == "string"
    assert column(uuids(ONE, None, TWO)).to_pylist() == [str(ONE), None, str(TWO)]
    assert column(uuids(ONE, None, TWO).slice(1)).to_pylist() == [None, str(TWO)]
    lists = pa.ListArray.from_arrays([0, 2, 2, 3], uuids(ONE, None, TWO))
    assert kind(lists) == "list<string>"
    assert column(lists.slice(1)).to_pylist() == [[], [str(TWO)]]
    assert column(uuids(ONE), Type("id", fields={"x": "binary"})).to_pylist() == [ONE.bytes]


@given(st.lists(st.one_of(st.none(), st.uuids(allow_nil=True)), max_size=20), st.integers(0, 20))
def test_uuids_are_printed_as_python_prints_them(values: list[UUID | None], start: int):
    expected = [value and str(value) for value in values[start:]]
    assert column(uuids(*values).slice(start)).to_pylist() == expected


@pytest.mark.parametrize("zone", ["Europe/Stokholm", "Europe"])
def test_a_zone_that_does_not_exist_is_refused(zone: str):
    source = pa.table({"id": [1], "x": pa.array([0], pa.timestamp("s", zone))})
    assert f'[type.track]: field "x": time zone "{zone}" is unknown' in refusal(SchemaError, source)
    source = pa.table({"id": [1], "x": ["2024-02-29"]})
    refusal(SchemaError, source, Type("id", fields={"x": "timestamp[us,Europe/Stokholm]"}))


@pytest.mark.parametrize(
    ("array", "way_out"),
    [
        (pa.array([{"a": 1}]), "make columns of plain types"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), "make columns of plain types"),
        (pa.array([[["a"]]]), "make columns of plain types"),
        (pa.array([Decimal("1.5")]), 'such as "float64"'),
        (pa.array([[Decimal("1.5")]]), 'such as "list<float64>"'),
        (pa.array([dt.time(1)]), 'such as "int64"'),
        (pa.array([1], pa.time32("s")), 'such as "string"'),
        (pa.array([dt.timedelta(1)]), 'such as "int64"'),
        (pa.array([np.float16(1)]), 'such as "float64"'),
        (pa.RunEndEncodedArray.from_arrays([1], ["a"]), "make columns of plain types"),
        (
            pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])]),
            "make columns",
        ),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_other_types_are_refused_with_a_way_out(array: pa.Array, way_out: str):
    message = refusal(SchemaError, pa.table({"id": [1], "x": array}))
    assert message.startswith(f'<arrow>: [type.track]: field "x": {array.type} is no type of a field: ')
    assert way_out in message


@pytest.mark.parametrize(
    ("array", "declared", "values"),
    [
        (pa.array([1, None, 255]), "uint8", [1, None, 255]),
        (pa.array([1.0, 2.0]), "int8", [1, 2]),
        (pa.array([1, None]), "string", ["1", None]),
        (pa.array(["1", "-2"]), "int16", [1, -2]),
        (pa.array(["2024-02-29"]), "date", [dt.date(2024, 2, 29)]),
        (pa.array(["2024-02-29T00:00:00Z"]), "timestamp[s,UTC]", [dt.datetime(2024, 2, 29, tzinfo=ZoneInfo("UTC"))]),
        (pa.array([Decimal("1.5")]), "float32", [1.5]),
        (pa.array([np.float16(1.5)]), "float32", [1.5]),
        (pa.array([0, 1, None]), "bool", [False, True, None]),
        (pa.array([dt.datetime(2024, 2, 29)]), "date", [dt.date(2024, 2, 29)]),  # noqa: DTZ001
        (pa.array(["a", None, "a"]), "categorical", ["a", None, "a"]),
        (pa.array(["a", "a"]).dictionary_encode(), "string", ["a", "a"]),
        (pa.array([[1], None, [None, 2]]), "list<string>", [["1"], None, [None, "2"]]),
        (pa.array(["7", "7"]).dictionary_encode(), "uint64", [7, 7]),
        (pa.array([None, None]), "list<timestamp[us]>", [None, None]),
        (pa.array([b"a"]), "string", ["a"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_declared_types_are_cast_to(array: pa.Array, declared: str, values: list[object]):
    type_ = Type("id", fields={"x": declared})
    assert kind(array, type_) == declared
    assert column(array, type_).to_pylist() == values


@pytest.mark.parametrize(
    ("array", "declared", "value"),
    [
        (pa.array([1, None, 256, -1]), "uint8", "256"),
        (pa.array([1.0, None, 1.5]), "int8", "1.5"),
        (pa.array(["1", None, "x"]), "int16", "'x'"),
        (pa.array([0, None, 2]), "bool", "2"),
        (pa.array([0, None, 0.5]), "bool", "0.5"),
        (pa.array([dt.datetime(2024, 2, 29), None, NOON]), "date", repr(NOON)),  # noqa: DTZ001
        (pa.array([1000, None, 1], pa.timestamp("ns")), "timestamp[us]", "'1970-01-01 00:00:00.000000001'"),
        (pa.array([1, None, 2**60 + 1]), "float64", str(2**60 + 1)),
        (pa.array([[1], None, [1, 300]]), "list<uint8>", "[1, 300]"),
        (pa.array([b"a", None, b"\xff"]), "string", "b'\\xff'"),
        (pa.array(["a", "a", "b" * 99]).dictionary_encode(), "int8", None),
        (bad_text().slice(1), "string", "b'\\xff'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_that_would_change_is_named(array: pa.Array, declared: str, value: str | None):
    source = pa.table({"id": pa.array(range(len(array))), "x": array})
    message = refusal(SourceError, source, Type("id", fields={"x": declared}))
    row = re.match(r'<arrow>: row (\d), field "x", value (.*?): ', message)
    assert row, message
    if value is not None:
        assert row[2] == value
        assert int(row[1]) == (0 if array.offset else 2)


@pytest.mark.parametrize(("array", "declared"), [(pa.array(["a"]), "list<string>"), (pa.array([{"a": 1}]), "string")])
def test_a_type_that_cannot_be_cast_to_is_refused(array: pa.Array, declared: str):
    message = refusal(SchemaError, pa.table({"id": [1], "x": array}), Type("id", fields={"x": declared}))
    assert message == f'<arrow>: [type.track]: field "x": {array.type} cannot be cast to {declared}'


def test_text_that_is_not_utf8_is_named():
    message = refusal(SourceError, pa.table({"id": [1, 2, 3], "x": bad_text()}))
    assert message.startswith("<arrow>: row 1, field \"x\", value b'\\xff': Invalid UTF8")


@pytest.mark.parametrize(
    ("array", "declared", "kind", "streamed"),
    [
        (pa.array(["a", None, "a"]), None, None, pa.large_string()),
        (pa.array(["a", None]).dictionary_encode(), "base62", "base62", pa.large_string()),
        (pa.array(["a"], pa.string_view()), "uuid", "uuid", pa.large_string()),
        (pa.array([1, None], pa.int8()), None, "int", pa.int64()),
        (pa.array([2**64 - 1], pa.uint64()), "int", "int", pa.uint64()),
        (pa.array([1], pa.uint16()), None, "int", pa.uint64()),
        (pa.array([b"a", None]), None, "bytes", pa.large_binary()),
        (pa.array([bytes(16)], pa.binary(16)), None, "bytes", pa.large_binary()),
        (pa.array([None]), None, None, pa.large_string()),
        (pa.array([None]), "int", "int", pa.int64()),
        (pa.array([None]), "bytes", "bytes", pa.large_binary()),
    ],
)
def test_keys_are_text_integers_or_bytes(
    array: pa.Array, declared: KeyKind | None, kind: str | None, streamed: pa.DataType
):
    (stream,) = streams(pa.table({"x": [1] * len(array), "id": array}), Type(Key("id", declared)))
    assert stream.resolved.kind == kind
    read = stream.reader.read_all()
    assert read.schema.names == ["id", "x"]
    assert read["id"].type == streamed
    assert read["id"].to_pylist() == array.to_pylist()


@pytest.mark.parametrize(
    ("array", "type_"), [(uuids(ONE, None), ID), (uuids(ONE, None).storage, Type(Key("id", "uuid")))], ids=str
)
def test_keys_of_sixteen_bytes_may_be_uuids(array: pa.Array, type_: Type):
    (stream,) = streams(pa.table({"id": array}), type_)
    assert stream.resolved.kind == "uuid"
    assert stream.reader.read_all()["id"].to_pylist() == [str(ONE), None]


@pytest.mark.parametrize(
    ("array", "declared"),
    [
        (pa.array([1.5]), None),
        (pa.array([True]), None),
        (pa.array([NOON]), None),
        (pa.array([["a"]]), None),
        (pa.array([{"a": 1}]), None),
        (pa.array([1]), "string"),
        (pa.array(["1"]), "int"),
        (pa.array([b"a"]), "base62"),
        (pa.array([b"a"]), "uuid"),
        (pa.array([b"a"], pa.binary(1)), "uuid"),
        (pa.array(["a"]), "bytes"),
    ],
    ids=str,
)
def test_other_keys_are_refused(array: pa.Array, declared: KeyKind | None):
    message = refusal(SchemaError, pa.table({"id": array}), Type(Key("id", declared)))
    assert message.startswith('<arrow>: [type.track]: key "id": ')
    assert str(array.type) in message


@pytest.mark.parametrize(
    ("array", "declared", "field_type", "streamed"),
    [
        (pa.array(["a", None]), None, "reference", pa.large_string()),
        (pa.array(["a"]).dictionary_encode(), None, "reference", pa.large_string()),
        (pa.array([["a", None], None]), None, "list<reference>", pa.large_list(pa.large_string())),
        (pa.array([1], pa.int8()), None, "reference", pa.int64()),
        (pa.array([[1]], pa.list_(pa.uint8())), None, "list<reference>", pa.large_list(pa.uint64())),
        (pa.array([b"a"]), None, "reference", pa.large_binary()),
        (uuids(ONE), None, "reference", pa.large_string()),
        (pa.array([None]), "list<uint32>", "list<reference>", pa.large_list(pa.uint64())),
        (pa.array(["1"]), "int8", "reference", pa.int64()),
    ],
)
def test_references_are_streamed_like_keys(
    array: pa.Array, declared: str | None, field_type: str, streamed: pa.DataType
):
    fields = {"x": declared} if declared else {}
    type_ = Type("id", fields=fields, references={"albums": Reference("x", "album")})
    assert kind(array, type_) == field_type
    (field,) = resolve("track", type_, pa.schema([("x", array.type), ("id", pa.string())])).fields
    assert (field.name, field.reference, field.target) == ("x", "albums", "album")
    assert column(array, type_).type == streamed


def test_what_holds_no_keys_cannot_refer():
    type_ = Type("id", references={"albums": Reference("x", "album")})
    message = refusal(SchemaError, pa.table({"id": [1], "x": [1.5]}), type_)
    assert '[type.track]: field "x": double holds no keys' in message
    assert message.endswith('; declare it "int64" if these are whole numbers')


@pytest.mark.parametrize(("values", "declared"), [([1.0, None], "int64"), ([[1.0], None], "list<int64>")])
def test_whole_floats_refer_if_that_is_declared(values: list[object], declared: str):
    table = pa.table({"id": [1, 2], "x": values})
    references = {"albums": Reference("x", "album")}
    assert refusal(SchemaError, table, Type("id", references=references)).count(f'declare it "{declared}"') == 1
    assert (
        column(table["x"].combine_chunks(), Type("id", fields={"x": declared}, references=references)).null_count == 1
    )


def test_csv_is_told_the_way_in(tmp_path: Path):
    (tmp_path / "tracks.csv").write_text("id\n1\n")
    path = str(tmp_path / "tracks.csv")
    way_out = f"convert it to Parquet, or build from Python with pyarrow.csv.read_csv({path!r}) in sources="
    assert refusal(SourceError, path).endswith(f" can be read: {way_out}")
    (tmp_path / "tracks.json").touch()
    assert refusal(SourceError, tmp_path / "tracks.json").endswith(" can be read: convert it to Parquet")


@pytest.mark.parametrize(
    ("type_", "why"),
    [
        (Type("idd"), 'the key: there is no column "idd"; did you mean "id"?'),
        (Type("id", fields={"titel": "string"}), 'field "titel": there is no column "titel"; did you mean "title"?'),
        (
            Type("id", references={"a": Reference("artist_id", "a")}),
            'reference "a": there is no column "artist_id"; did you mean "artist_ids"?',
        ),
        (Type("id", references={"title": Reference("artist_ids", "a")}), 'reference "title": a column has this name'),
        (Type("id", hot=["title", "titles"]), 'hot: there is no "titles"; did you mean "title"?'),
    ],
)
def test_names_that_do_not_exist_are_refused_with_the_nearest(type_: Type, why: str, tmp_path: Path):
    path = write(tmp_path / "a.parquet", {"id": ["a"], "title": ["b"], "artist_ids": [["c"]]})
    assert refusal(SchemaError, path, type_).startswith(f"{path}: [type.track]: {why}")


def test_a_reference_may_have_the_name_of_its_column():
    type_ = Type("id", references={"album": Reference("album", "album")}, hot=["album"])
    assert rows(pa.table({"id": ["a"], "album": ["b"]}), type_) == [{"id": "a", "album": "b"}]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["id", "a", "a"], '2 columns are called "a": rename all but one'),
        (["id", "id"], '2 columns are called "id"'),
        (["id", "a.b"], 'a column is called "a.b": rename it'),
        (["id", ""], 'a column is called "": rename it'),
    ],
)
def test_columns_need_names_that_can_be_selected(names: list[str], why: str, tmp_path: Path):
    arrow = pa.Table.from_arrays([pa.array([1])] * len(names), names=names)
    assert f"<arrow>: [type.track]: {why}" in refusal(SchemaError, arrow)
    pq.write_table(arrow, tmp_path / "a.parquet")
    assert f"a.parquet: [type.track]: {why}" in refusal(SchemaError, tmp_path / "a.parquet")


def test_files_of_a_glob_come_in_the_order_of_their_paths(tmp_path: Path):
    for name in ("b/1.parquet", "a/2.parquet", "a/10.PQ", "a/.hidden.parquet", "c.parquet"):
        write(tmp_path / name, {"id": [name]})
    opened = streams("**/*.[pP]*", base=tmp_path)
    assert [stream.origin for stream in opened] == [
        str(tmp_path / name) for name in ("a/10.PQ", "a/2.parquet", "b/1.parquet", "c.parquet")
    ]
    assert opened[0].reader.read_all()["id"].to_pylist() == ["a/10.PQ"]


def test_a_list_of_paths_is_sorted_and_each_is_read_once(tmp_path: Path):
    paths = [write(tmp_path / f"{name}.parquet", {"id": [name]}) for name in "ba"]
    expected = [{"id": "a"}, {"id": "b"}]
    assert rows(paths) == expected
    assert rows(("b.parquet", "*.parquet", str(paths[0])), base=tmp_path) == expected


def test_a_path_that_looks_like_a_glob_is_a_path(tmp_path: Path):
    write(tmp_path / "[a]*.parquet", {"id": [1]})
    write(tmp_path / "a.parquet", {"id": [2]})
    assert rows("[a]*.parquet", base=tmp_path) == [{"id": 1}]
    assert rows("[a-z].parquet", base=tmp_path) == [{"id": 2}]


@pytest.mark.parametrize("source", ["none.parquet", "*.parquet", ["a.parquet"], Path("none.pq")])
def test_what_matches_no_file_is_refused(source: Source, tmp_path: Path):
    assert refusal(SourceError, source, base=tmp_path).endswith(": there is no such file")


def test_folders_and_other_files_are_refused(tmp_path: Path):
    write(tmp_path / "tracks.parquet" / "1.parquet", {"id": [1]})
    assert "tracks.parquet/*.parquet" in refusal(SourceError, "tracks.parquet", base=tmp_path)
    (tmp_path / "a.csv").touch()
    assert "a.csv: of files, only Parquet (.parquet, .pq)" in refusal(SourceError, "*.csv", base=tmp_path)


def test_files_may_order_their_columns_differently(tmp_path: Path):
    write(tmp_path / "1.parquet", {"x": [1], "id": ["a"], "y": [True]})
    write(tmp_path / "2.parquet", {"y": [None, False], "id": ["b", "c"], "x": pa.array([2, 3])})
    assert table("*.parquet", base=tmp_path).schema.names == ["id", "x", "y"]
    assert rows("*.parquet", base=tmp_path)[1] == {"id": "b", "x": 2, "y": None}


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"id": ["b"], "x": [1.5]}, 'field "x" is float64, but int64 in'),
        ({"id": ["b"], "x": pa.nulls(1)}, 'field "x" is string, but int64 in'),
        ({"id": ["b"]}, 'field "x" is missing, but int64 in'),
        ({"id": ["b"], "x": [1], "y": [2]}, 'field "y" is int64, but missing in'),
        ({"id": [1], "x": [1]}, 'field "id" is int64, but string in'),
        ({"id": uuids(ONE), "x": [1]}, 'key "id" is uuid, but text in'),
    ],
)
def test_files_of_one_type_are_alike(other: Mapping[str, Any], why: str, tmp_path: Path):
    first = write(tmp_path / "1.parquet", {"id": ["a"], "x": [1]})
    second = write(tmp_path / "2.parquet", other)
    assert refusal(SchemaError, "*.parquet", base=tmp_path).startswith(f"{second}: {why} {first}: ")


def test_a_declared_type_makes_files_alike(tmp_path: Path):
    write(tmp_path / "1.parquet", {"id": ["a"], "x": [1]})
    write(tmp_path / "2.parquet", {"id": ["b"], "x": pa.nulls(1)})
    write(tmp_path / "3.parquet", {"id": ["c"], "x": [2.0]})
    assert [row["x"] for row in rows("*.parquet", Type("id", fields={"x": "int8"}), tmp_path)] == [1, None, 2]


def test_rows_are_counted_from_the_start_of_their_file(tmp_path: Path):
    groups = [{"id": [1, 2], "x": [1, 2]}, {"id": [3, 4], "x": [3, 999]}]
    write(tmp_path / "1.parquet", groups[0])
    path = write(tmp_path / "2.parquet", *groups)
    message = refusal(SourceError, "*.parquet", Type("id", fields={"x": "uint8"}), tmp_path)
    assert message.startswith(f'{path}: row 3, field "x", value 999: ')


def test_empty_files_are_read(tmp_path: Path):
    empty = {"id": pa.array([], pa.string()), "x": pa.nulls(0, pa.list_(pa.uuid()))}
    path = write(tmp_path / "1.parquet", empty)
    schema = pa.schema([("id", pa.large_string()), ("x", pa.large_list(pa.large_string()))])
    assert table(path).schema == schema
    assert rows(path) == []
    assert rows(pa.RecordBatchReader.from_batches(schema, [])) == []
    assert rows(pa.table(empty)) == []


def test_damaged_files_are_named(tmp_path: Path):
    path = tmp_path / "a.parquet"
    path.touch()
    assert refusal(SourceError, path).startswith(f"{path}: cannot be read: ")
    path.write_bytes(b"PAR1 not Parquet PAR1")
    assert refusal(SourceError, path).startswith(f"{path}: cannot be read: ")
    random = pa.table({"id": np.random.default_rng(1).integers(0, 2**60, 10_000)})
    pq.write_table(random, path, write_page_checksum=True, use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert refusal(SourceError, path).startswith(f"{path}: cannot be read: ")


def test_null_and_duplicate_keys_are_streamed_as_they_are(tmp_path: Path):
    path = write(tmp_path / "1.parquet", {"id": ["a", None, "a", ""]})
    assert [row["id"] for row in rows(path)] == ["a", None, "a", ""]


def test_batches_are_small_and_read_when_they_are_asked_for():
    asked = []

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, 400_000, 100_000):
            asked.append(start)
            ids = pa.array(range(start, start + 100_000))
            yield pa.record_batch({"id": ids, "x": pa.FixedSizeListArray.from_arrays(ids, 1)})

    schema = pa.schema([("id", pa.int64()), ("x", pa.list_(pa.int64(), 1))])
    (stream,) = streams(pa.RecordBatchReader.from_batches(schema, batches()))
    assert asked == []
    reader = iter(stream.reader)
    assert [next(reader).num_rows, next(reader).num_rows] == [65_536, 34_464]
    assert asked == [0]
    third = next(reader)
    assert third["x"][1].as_py() == [third["id"][1].as_py()] == [100_001]


def test_memory_does_not_grow_with_the_file(tmp_path: Path):
    texts = pa.array([f"{number:0>500}" for number in range(300_000)])
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": texts}), path, row_group_size=100_000, compression="none", use_dictionary=False)
    texts = None
    before, used, count = pa.total_allocated_bytes(), [], 0
    (stream,) = streams(path)
    with stream:
        for batch in stream.reader:
            count += batch.num_rows
            used.append(pa.total_allocated_bytes() - before)
    assert count == 300_000
    assert max(used) < 80_000_000  # of 150 MB, a batch being 33 MB


def test_a_stream_raises_what_ended_it_and_closes_its_file(tmp_path: Path):
    path = write(tmp_path / "a.parquet", {"id": ["a"], "x": ["b"]})
    (stream,) = streams(path, Type("id", fields={"x": "int8"}))
    with pytest.raises(SourceError, match="value 'b'"), stream:
        pa.RecordBatchReader.from_stream(stream.reader).read_all()  # through the C interface only text would be left
    (stream,) = streams(path)
    next(iter(stream.reader))
    with pytest.raises(KeyError, match="mine"), stream:
        raise KeyError("mine")


def test_an_interrupt_ends_a_stream_as_an_interrupt():
    def endless() -> Iterator[dict[str, object]]:
        yield from ({"id": n} for n in range(20_000))
        raise KeyboardInterrupt

    (stream,) = streams(endless())
    with pytest.raises(KeyboardInterrupt), stream:
        pa.RecordBatchReader.from_stream(stream.reader).read_all()


def test_errors_of_an_iterable_stay_what_they_are():
    def failing() -> Iterator[dict[str, object]]:
        yield from ({"id": n} for n in range(20_000))
        raise ZeroDivisionError("in the query")

    assert refusal(ZeroDivisionError, failing()) == "in the query"


def test_errors_of_arrow_data_name_it():
    def failing() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"id": [1]})
        raise ValueError("in the query")

    source = pa.RecordBatchReader.from_batches(pa.schema([("id", pa.int64())]), failing())
    assert refusal(SourceError, source).startswith("<arrow>: cannot be read: Invalid: in the query")
    assert refusal(SourceError, pa.chunked_array([[1]])).startswith("<arrow>: cannot be read: ")


def test_a_declared_field_that_no_row_has_is_refused():
    type_ = Type("id", fields={"pricecents": "int32", "name": "string"})
    message = '[type.track]: field "pricecents": no row of <iterable> has it; did you mean "price_cents"?'
    found = [{"id": 1, "name": "a", "price_cents": 1}, {"id": 2}]
    assert refusal(SchemaError, found, type_) == message
    assert refusal(SchemaError, (found[n % 2] for n in range(40_000)), type_) == message
    assert refusal(SchemaError, [{"id": 1}], Type("id", fields={"x": "int8"})).endswith("has it; known: id")


def test_a_declared_field_that_any_row_has_is_taken():
    type_ = Type("id", fields={"x": "int8"})
    late = ({"id": n} if n < 39_999 else {"id": n, "x": 7} for n in range(40_000))
    assert [row["x"] for row in rows(late, type_)] == [None] * 39_999 + [7]
    assert rows([{"id": 1}, {"id": 2, "x": None}], type_) == [{"id": 1, "x": None}, {"id": 2, "x": None}]
    assert rows([], type_) == []


@pytest.mark.parametrize("source", [None, 1, {"a": {"id": 1}}, object()])
def test_what_is_no_source_is_refused(source: Source):
    assert refusal(SourceError, source).startswith("[type.track]: a source is a path, a list of paths, ")


class Row(Mapping[str, object]):
    def __getitem__(self, name: str) -> object:
        return {"id": 1, "x": "a"}[name]

    def __iter__(self) -> Iterator[str]:
        return iter(["id", "x"])

    def __len__(self) -> int:
        return 2


def test_any_mappings_will_do():
    assert rows(Row() for _ in range(2)) == [{"id": 1, "x": "a"}] * 2


def test_missing_entries_are_null_and_columns_of_uneven_mappings_sorted():
    assert rows([{"id": 1, "b": True}, {"a": "x", "id": 2}]) == [
        {"id": 1, "a": None, "b": True},
        {"id": 2, "a": "x", "b": None},
    ]
    assert table([{"b": 1, "id": 1, "a": 2}]).schema.names == ["id", "b", "a"]


PYTHON = [
    ([True, None, np.bool_(1)], "bool"),
    ([1, None, np.int8(2), np.uint64(3), -(2**63)], "int64"),
    ([2**64 - 1, 0], "uint64"),
    ([1, None, 2.5, np.float32(0.5)], "float64"),
    (["a", None, np.str_("b"), "\0"], "string"),
    ([None, None], "string"),
    ([b"a", None, bytearray(b"b")], "binary"),
    ([dt.date(2024, 2, 29), None], "date"),
    ([NOON, None], "timestamp[us]"),
    ([NOON.replace(tzinfo=ZoneInfo("Europe/Oslo")), NOON.replace(tzinfo=dt.UTC)], "timestamp[us,Europe/Oslo]"),
    ([NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=2)))], "timestamp[us,+02:00]"),
    ([["a"], None, (), ["b", None]], "list<string>"),
    ([[1], (2, None)], "list<int64>"),
    ([[1], [2.5]], "list<float64>"),
    ([[], None, [None]], "list<string>"),
]


@pytest.mark.parametrize(("values", "field_type"), PYTHON, ids=lambda value: value if isinstance(value, str) else "")
def test_python_values_have_their_type_inferred(values: list[Any], field_type: str):
    (stream,) = streams([{"id": n, "x": value} for n, value in enumerate(values)])
    assert stream.resolved.fields[0].type == field_type
    plain = [list(value) if isinstance(value, tuple) else value for value in values]
    assert stream.reader.read_all()["x"].to_pylist() == plain


def test_arrays_are_lists_and_uuids_text():
    source = [{"id": ONE, "x": np.array([1, 2]), "y": [TWO, None]}, {"id": TWO, "x": None, "y": None}]
    assert rows(source) == [
        {"id": str(ONE), "x": [1, 2], "y": [str(TWO), None]},
        {"id": str(TWO), "x": None, "y": None},
    ]


@pytest.mark.parametrize(
    ("values", "row", "why"),
    [
        ([1, None, "a", 2.5], 2, "string after rows of int64"),
        (["a", 1], 1, "int64 after rows of string"),
        (["a", b"b"], 1, "binary after rows of string"),
        ([1, True], 1, "bool after rows of int64"),
        ([1.5, math.nan, "x"], 2, "string after rows of double"),
        ([dt.date(2024, 2, 29), NOON], 1, "timestamp"),
        ([["a"], "a"], 1, "a list among values that are none"),
        ([["a"], [1]], 1, "int64 after rows of string"),
        ([[1], {1}], 1, ""),
        ([1, 2**64], 1, "too large"),
        ([-1, 2**63], 1, ""),
        ([2.5, 2**60 + 1], 1, "range"),
        (["a", "\ud800"], 1, "surrogates"),
        ([1, object()], 1, "did not recognize"),
    ],
)
def test_python_values_that_do_not_go_together_are_named(values: list[Any], row: int, why: str):
    message = refusal(SourceError, ({"id": n, "x": value} for n, value in enumerate(values)))
    assert message.startswith(f'<iterable>: row {row}, field "x", value ')
    assert why in message


@pytest.mark.parametrize(
    ("values", "declared", "expected"),
    [
        ([1, None, 255], "uint8", [1, None, 255]),
        ([2**64 - 1], "uint64", [2**64 - 1]),
        ([1, 2.0], "int8", [1, 2]),
        (["12"], "int8", [12]),
        ([Decimal("1.50")], "float64", [1.5]),
        ([Decimal("1.50"), Decimal(100)], "string", ["1.50", "100.00"]),
        ([b"a"], "string", ["a"]),
        (["a"], "binary", [b"a"]),
        ([None], "list<date>", [None]),
        ([dt.datetime(2024, 2, 29)], "date", [dt.date(2024, 2, 29)]),  # noqa: DTZ001
        (["2024-02-29"], "date", [dt.date(2024, 2, 29)]),
        ([NOON.replace(tzinfo=dt.UTC)], "timestamp[us,UTC]", [NOON.replace(tzinfo=ZoneInfo("UTC"))]),
        (["a", "b"], "categorical", ["a", "b"]),
        ([0.1], "float32", [float(np.float32(0.1))]),
    ],
)
def test_python_values_are_cast_to_declared_types(values: list[Any], declared: str, expected: list[object]):
    type_ = Type("id", fields={"x": declared})
    got = [row["x"] for row in rows(({"id": n, "x": value} for n, value in enumerate(values)), type_)]
    assert got == expected


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        (256, "uint8"),
        (1.5, "int64"),
        ("a", "int64"),
        (NOON, "date"),
        (NOON, "timestamp[ms]"),
        (b"\xff", "string"),
        (2, "bool"),
        ([256], "list<uint8>"),
    ],
)
def test_python_values_do_not_change_when_cast(value: object, declared: str):
    message = refusal(SourceError, [{"id": 1}, {"id": 2, "x": value}], Type("id", fields={"x": declared}))
    assert message.startswith(f'<iterable>: row 1, field "x", value {value!r}: ')


def later(*more: object) -> Callable[[], Iterator[object]]:
    """Mappings, more than are taken at a time, and then others."""

    def source() -> Iterator[object]:
        yield from ({"id": n, "x": n, "y": None, "z": [0.5]} for n in range(_mappings.CHUNK))
        yield from more

    return source


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ([{"id": 1}, {"id": 2, "x": "12"}], ", field \"x\", value '12': string, where int64 was inferred"),
        ([{"id": 1}, {"id": 2, "x": 1.0}], ', field "x", value 1.0: double, where int64 was inferred'),
        ([{"id": 1}, {"id": 2, "y": 1}], ', field "y", value 1: int64, where string was inferred'),
        (
            [{"id": 1}, {"id": 2, "z": ["a"]}],
            ", field \"z\", value ['a']: large_list<item: string>, where list<float64>",
        ),
        ([{"id": 1}, {"id": 2, "z": 0.5}], ', field "z", value 0.5: double, where list<float64> was inferred'),
        ([{"id": 1}, {"id": 2, "x": 2**63}], f', field "x", value {2**63}: '),
        ([{"id": 1}, {"id": "2"}], ", field \"id\", value '2': string after rows of int64"),
        ([{"id": 1}, {"id": 2, "v": 1}], ': field "v" is new'),
        ([{"id": 1}, ("id", 2)], ": ('id', 2) is no mapping"),
    ],
)
def test_later_rows_that_do_not_fit_are_named(more: list[object], why: str):
    message = refusal(SourceError, later(*more)())
    assert message.startswith(f"<iterable>: row {_mappings.CHUNK + 1}{why}")


def test_later_rows_that_fit_are_taken():
    more = [{"id": 1, "x": None}, {"id": 2, "x": np.int64(7), "y": "a", "z": [1, None]}, {"id": 3, "z": []}]
    got = rows(later(*more)())[_mappings.CHUNK :]
    assert [tuple(row.values()) for row in got] == [
        (1, None, None, None),
        (2, 7, "a", [1.0, None]),
        (3, None, None, []),
    ]


def test_a_declared_type_admits_later_rows_of_another():
    type_ = Type("id", fields={"x": "float64", "v": "string", "y": "int8"})
    got = rows(later({"id": 1, "x": 0.5}, {"id": 2, "v": "new", "y": 1})(), type_)
    assert got[-2:] == [
        {"id": 1, "x": 0.5, "y": None, "z": None, "v": None},
        {"id": 2, "x": None, "y": 1, "z": None, "v": "new"},
    ]


def test_an_empty_iterable_has_the_columns_that_the_type_names():
    type_ = Type(
        Key("id", "int"),
        fields={"x": "uint8", "artist_ids": "list<string>"},
        references={"artists": Reference("artist_ids", "artist"), "album": Reference("album_id", "album")},
        hot=["title", "artists"],
    )
    (stream,) = streams([], type_)
    assert [(field.name, field.type) for field in stream.resolved.columns] == [
        ("id", "int64"),
        ("x", "uint8"),
        ("artist_ids", "list<reference>"),
        ("album_id", "reference"),
        ("title", "string"),
    ]
    assert stream.reader.read_all().num_rows == 0


def test_names_in_mappings_are_text():
    assert refusal(SourceError, [{"id": 1}, {"id": 2, 3: 4}]) == "<iterable>: a field is called 3: names are text"
    assert 'there is no column "id"; known: Id' in refusal(SchemaError, [{"Id": 1}])
    assert 'there is no column "id"' in refusal(SchemaError, [{}])


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.dates(),
    st.datetimes(),
    st.lists(st.one_of(st.none(), st.text()), max_size=3),
)


@given(st.lists(values, min_size=1, max_size=6))
def test_python_values_arrive_unchanged_or_not_at_all(values: list[Any]):
    source = [{"id": n, "x": value} for n, value in enumerate(values)]
    try:
        (stream,) = streams(source)
    except SourceError as error:
        refused = str(error)
        assert re.match(r'<iterable>: row \d, field "x", value ', refused)
        return
    kind = stream.resolved.fields[0].type
    for got, value in zip(stream.reader.read_all()["x"].to_pylist(), values, strict=True):
        assert got == value
        assert type(got) is type(value) or (kind == "float64" and type(value) is int)


@given(st.lists(st.tuples(st.text(), st.one_of(st.none(), st.lists(st.integers(-128, 127), max_size=5)))), st.data())
def test_arrow_data_arrives_unchanged_however_it_is_cut(pairs: list[tuple[str, list[int] | None]], data: st.DataObject):
    arrow = pa.table(
        {"id": [text for text, _ in pairs], "x": [numbers for _, numbers in pairs]},
        schema=pa.schema([("id", pa.string()), ("x", pa.list_(pa.int8()))]),
    )
    start = data.draw(st.integers(0, len(pairs)))
    end = data.draw(st.integers(start, len(pairs)))
    assert rows(arrow.slice(start, end - start)) == arrow.to_pylist()[start:end]


def test_pyarrow_is_imported_only_when_a_source_is_read():
    code = "import sys; import bedeck.sources; assert 'pyarrow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})  # noqa: S603


def test_without_pyarrow_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.compute", None)
    with pytest.raises(ImportError, match=r"needs pyarrow: pip install pyarrow$"):
        streams([{"id": 1}])
