"""What is held and passed around: catalogues, views, types, lazy records, and whole types as Arrow data."""

import copy
import gc
import json
import pickle
from collections.abc import ItemsView, KeysView, Mapping, ValuesView
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import bedeck
from bedeck import Catalogue, Key, MissingKeyError, Record, Records, Reference, Schema, Selection, SelectionError, Type
from oracle import read_table
from small import make, scratch

TYPES = {
    "track": Type("id", references={"artists": Reference("artist_ids", "artist"), "cover": Reference("of", "track")}),
    "artist": Type("id"),
}
TRACKS = [
    {"id": "t1", "title": "One", "length": 1, "artist_ids": ["a1", "a2"], "of": None},
    {"id": "t2", "title": None, "length": 2, "artist_ids": [], "of": "t1"},
]
ARTISTS = [{"id": "a1", "name": "Ann"}, {"id": "a2", "name": "Bo"}]
SOURCES = {"track": TRACKS, "artist": ARTISTS}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return make(TYPES, SOURCES)


@pytest.fixture(scope="module")
def tracks(catalogue: Catalogue) -> Records:
    return catalogue["track"]


@pytest.fixture
def record(tracks: Records) -> Record:
    return tracks["t1"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    bedeck.build(Schema(TYPES, namespace="music"), tmp_path / "store", SOURCES)
    return tmp_path / "store"


# A record


def test_a_record_is_a_mapping_of_key_and_fields(record: Record):
    assert isinstance(record, Mapping)
    assert isinstance(record, Record)
    assert dict(record) == {**record} == TRACKS[0]
    assert list(record) == list(record.keys()) == ["id", "title", "length", "artist_ids", "of"]
    assert list(record.values()) == ["t1", "One", 1, ["a1", "a2"], None]
    assert list(record.items()) == list(TRACKS[0].items())
    assert len(record) == 5
    assert (record["title"], record["of"]) == ("One", None)
    match record:
        case {"title": str(title), "length": 1}:
            assert title == "One"
        case _:
            pytest.fail("a record matches no mapping pattern")


def test_views_of_a_record_are_those_of_a_mapping(record: Record):
    keys, values, items = record.keys(), record.values(), record.items()
    assert (isinstance(keys, KeysView), isinstance(values, ValuesView), isinstance(items, ItemsView)) == (True,) * 3
    assert keys == TRACKS[0].keys()
    assert keys & {"id", "x"} == {"id"}
    assert ("title", "One") in items
    assert ("title", "Two") not in items
    assert "One" in values
    assert len(keys) == len(values) == len(items) == 5


def test_a_name_that_is_not_there(record: Record):
    for name in ("titel", "", "cover", "artists.name", "\ud800", 1, None, ("title",)):
        assert name not in record
        assert record.get(name) is None
        assert record.get(name, 7) == 7
        with pytest.raises(KeyError) as raised:
            record[name]
        assert raised.value.args == (name,)
    assert "title" in record
    assert record.get("of", 7) is None
    assert record.get("title", default=7) == "One"


def test_records_are_equal_if_their_values_are(tracks: Records):
    one, two = tracks["t1"], tracks["t2"]
    assert one == tracks["t1"]
    assert one == TRACKS[0]
    assert TRACKS[0] == one
    assert one != two
    assert one != {**TRACKS[0], "length": 2}
    assert one != {**TRACKS[0], "more": 2}
    assert one != list(TRACKS[0].items())
    assert one != 5
    assert one == tracks.select(*one).records(["t1"])[0]
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_a_record_tells_what_it_is(record: Record):
    assert repr(record) == f"Record({TRACKS[0]!r})"


def test_a_record_pickles_and_copies_as_the_dict_it_is_equal_to(record: Record):
    for again in (pickle.loads(pickle.dumps(record)), copy.copy(record), copy.deepcopy(record)):  # noqa: S301
        assert type(again) is dict
        assert again == TRACKS[0]
        assert list(again) == list(record)


def test_a_record_does_not_change_what_it_gave(record: Record):
    record["artist_ids"].append("x")
    assert record["artist_ids"] == ["a1", "a2"]
    with pytest.raises(TypeError):
        record["title"] = "x"
    with pytest.raises(AttributeError):
        record.title = "x"
    with pytest.raises(TypeError):
        Record()


def test_a_record_follows_references_where_it_is_asked_to(tracks: Records):
    selection = tracks.select("artists.name", "cover.cover.title", "cover.title", "title")
    one, nothing, two = selection.records(["t1", "nope", "t2"])
    assert nothing is None
    assert one is not None
    assert two is not None
    assert one["artists"] == [{"name": "Ann"}, {"name": "Bo"}]
    assert dict(one) == {"artists": [{"name": "Ann"}, {"name": "Bo"}], "cover": None, "title": "One"}
    assert dict(two) == {"artists": [], "cover": {"cover": None, "title": "One"}, "title": None}
    assert [two] == selection.records(["nope", "t2"], missing="drop")
    with pytest.raises(MissingKeyError, match=r"ids\[0\]: 'nope'"):
        selection.records(["nope"], missing="error")


def test_a_record_keeps_its_version_after_everything_else_is_gone():
    with scratch() as folder:
        bedeck.build(Schema(TYPES), folder / "store", SOURCES)
        record = bedeck.open(folder / "store")["track"]["t1"]
    gc.collect()
    assert dict(record) == TRACKS[0]


# A type


def test_a_type_is_a_mapping_of_keys_to_records(tracks: Records):
    assert isinstance(tracks, Mapping)
    assert len(tracks) == 2
    assert sorted(tracks) == sorted(tracks.keys()) == ["t1", "t2"]
    assert {key: dict(record) for key, record in tracks.items()} == {row["id"]: row for row in TRACKS}
    assert [record["id"] for record in tracks.values()] == list(tracks)
    assert "t1" in tracks
    assert "t3" not in tracks
    assert tracks.get("t3") is None
    assert tracks.get("t3", 7) == 7
    assert tracks.get("t2", 7) == TRACKS[1]
    assert dict(tracks["t2"]) == TRACKS[1]


def test_a_key_that_is_not_there_is_named(tracks: Records):
    with pytest.raises(MissingKeyError) as raised:
        tracks["t3"]
    assert str(raised.value) == "type 'track' has no record with key 't3'"
    assert isinstance(raised.value, KeyError)


def test_what_cannot_be_a_key_is_a_type_error(tracks: Records):
    for key in (1, None, 1.5, ["t1"]):
        with pytest.raises(TypeError, match="cannot be a key"):
            tracks[key]
        with pytest.raises(TypeError, match="cannot be a key"):
            tracks.get(key)
        with pytest.raises(TypeError, match="cannot be a key"):
            assert key not in tracks


def test_types_are_equal_only_if_they_are_one(catalogue: Catalogue, tracks: Records):
    assert tracks == tracks  # noqa: PLR0124
    assert tracks != catalogue["artist"]
    assert tracks != make(TYPES, SOURCES)["track"]
    assert tracks != dict(tracks)
    assert len({tracks, catalogue["artist"], tracks}) == 2


def test_types_and_selections_tell_what_they_are(catalogue: Catalogue, tracks: Records):
    assert repr(tracks) == "<bedeck.Records 'track': 2 records, version 1>"
    assert repr(tracks.select("title", "artists.name")) == "<bedeck.Selection of 'track': title, artists.name>"
    assert repr(catalogue.view()) == "<bedeck.View of version 1>"
    assert repr(tracks.decorate_arrow(["t1"], ["id", "title"])) == "<bedeck.Batches: 1 rows of id, title>"


# A catalogue


def test_a_catalogue_has_types(catalogue: Catalogue):
    assert catalogue.types == list(catalogue) == ["artist", "track"]
    assert len(catalogue) == 2
    assert "track" in catalogue
    assert "album" not in catalogue
    assert 1 not in catalogue
    assert catalogue.version == 1


def test_a_catalogue_tells_what_it_is_and_has(store: Path):
    catalogue = bedeck.open(store)
    assert repr(catalogue) == f"<bedeck.Catalogue {str(store)!r}, version 1: 2 artist, 2 track>"
    info = catalogue.info()
    assert json.loads(json.dumps(info)) == info
    assert (info["path"], info["namespace"], info["version"]) == (str(store), "music", 1)
    assert info["bytes"] == sum(path.stat().st_size for path in (store / "blobs").iterdir())
    track = info["types"]["track"]
    assert (track["records"], track["key"]["kind"]) == (2, "string")
    assert [field["name"] for field in track["fields"]] == ["title", "length", "artist_ids", "of"]
    assert [field["type"] for field in track["fields"]] == ["string", "int64", "list<reference>", "reference"]


def test_warming_tells_how_far_it_is(catalogue: Catalogue):
    seen: list[tuple[int, int]] = []
    catalogue.warm(lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (catalogue.info()["bytes"],) * 2
    memory = catalogue.memory()
    assert memory["bytes"] == catalogue.info()["bytes"]
    assert sorted(memory["types"]) == ["artist", "track"]
    assert memory["resident"] == sum(of["resident"] for of in memory["types"].values())

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalogue.warm(stop)
    catalogue.warm()
    catalogue.verify()


def test_a_view_is_one_version(store: Path):
    catalogue = bedeck.open(store)
    with catalogue.view() as view:
        bedeck.build(Schema(TYPES), store, {"track": [{**TRACKS[0], "title": "New"}], "artist": ARTISTS})
        assert view["track"].decorate(["t1", "t2"], ["title"]) == [{"title": "One"}, {"title": None}]
        assert view.version == 1
    with pytest.raises(SelectionError, match="there is no type 'x'"):
        view["x"]
    assert bedeck.open(store)["track"].decorate(["t1", "t2"], ["title"]) == [{"title": "New"}, None]
    assert bedeck.open(store, version=1)["track"].decorate(["t1", "t2"], ["title"])[1] == {"title": None}
    assert bedeck.open(store).version == 2


def test_what_is_pickled_opens_the_store_again(store: Path):
    catalogue = bedeck.open(store, version=1)
    selection = catalogue["track"].select("title")
    bedeck.build(Schema(TYPES), store, {"track": [], "artist": []})
    again: Catalogue = pickle.loads(pickle.dumps(catalogue))  # noqa: S301
    assert (repr(again), again.version) == (repr(catalogue), 1)
    records: Records = pickle.loads(pickle.dumps(catalogue["track"]))  # noqa: S301
    assert records.decorate(["t1"], ["title"]) == [{"title": "One"}]
    chosen: Selection = pickle.loads(pickle.dumps(selection))  # noqa: S301
    assert chosen.decorate(["t1"]) == [{"title": "One"}]
    newest: Catalogue = pickle.loads(pickle.dumps(bedeck.open(store)))  # noqa: S301
    assert newest.version == 2
    assert bedeck.open(str(store), verify="always").version == 2


def test_many_threads_use_one_catalogue(catalogue: Catalogue):
    def work(number: int) -> bool:
        tracks = catalogue["track"]
        names = ["artists.name", "title", "id"][: number % 3 + 1]
        return tracks.decorate(["t2", "t1"] * 300, names) == [*tracks.decorate(["t2", "t1"], names)] * 300

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(64)))


def test_opening_is_refused_with_what_is_not_an_option(store: Path):
    with pytest.raises(ValueError, match="verify='never'"):
        bedeck.open(store, verify="never")
    with pytest.raises(bedeck.NotFoundError, match="no version 7"):
        bedeck.open(store, version=7)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        bedeck.open(store / "nowhere")


# A whole type


ARROW = {
    "bool": pa.bool_(),
    **{f"{sign}int{bits}": getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float32": pa.float32(),
    "float64": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "categorical": pa.dictionary(pa.int32(), pa.string()),
    **{f"timestamp[{unit}]": pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")},
    **{f"timestamp[{unit},UTC]": pa.timestamp(unit, "UTC") for unit in ("s", "ms", "us", "ns")},
    "timestamp[us,Europe/Stockholm]": pa.timestamp("us", "Europe/Stockholm"),
}


def test_every_field_type_has_its_arrow_type():
    fields = {**ARROW, **{f"list<{name}>": pa.list_(type_) for name, type_ in ARROW.items()}}
    types = {"a": Type("id", fields={f"of {name}": name for name in fields})}
    records = make(types, {"a": [{"id": 1, **dict.fromkeys(f"of {name}" for name in fields)}]})["a"]
    expected = pa.schema([("id", pa.int64()), *((f"of {name}", type_) for name, type_ in fields.items())])
    assert pa.table(records).schema == expected
    assert pa.schema(records) == expected
    assert pa.table(records).to_pylist() == [{"id": 1, **dict.fromkeys(f"of {name}" for name in fields)}]
    assert pa.table(records.decorate_arrow([2, 1], expected.names)).schema == expected
    assert pa.schema(records.decorate_arrow([], expected.names)) == expected


@pytest.mark.parametrize(
    ("kind", "keys", "arrow"),
    [
        ("base62", ["0" * 22], pa.string()),
        ("uuid", ["00000000-0000-0000-0000-000000000000"], pa.string()),
        ("int", [-1], pa.int64()),
        ("int", [1 << 63], pa.uint64()),
        ("string", ["x"], pa.string()),
        ("bytes", [b"\xff"], pa.binary()),
    ],
)
@pytest.mark.parametrize("rows", [0, 1])
def test_keys_and_references_have_the_arrow_type_of_their_kind(
    kind: Any, keys: list[Any], arrow: pa.DataType, rows: int
):
    types = {"a": Type(Key("id", kind), references={"one": Reference("up", "a"), "all": Reference("ups", "a")})}
    column = pa.array(keys, arrow)
    source = pa.table({"id": column, "up": column, "ups": pa.array([keys], pa.list_(arrow))})[:rows]
    records = make(types, {"a": source})["a"]
    assert pa.table(records).schema == pa.schema([("id", arrow), ("up", arrow), ("ups", pa.list_(arrow))])
    assert pa.table(records).to_pylist() == source.to_pylist()
    through = pa.table(records.decorate_arrow(keys, ["one.all.id", "all.id"]))
    one = pa.struct([("all", pa.list_(pa.struct([("id", arrow)])))])
    assert through.schema == pa.schema([("one", one), ("all", pa.list_(pa.struct([("id", arrow)])))])


def test_whole_types_stream_their_keys_first(catalogue: Catalogue):
    table = pa.table(catalogue["track"])
    table.validate(full=True)
    assert table.column_names == ["id", "title", "length", "artist_ids", "of"]
    assert sorted(table.to_pylist(), key=lambda row: row["id"]) == TRACKS
    assert table["id"].to_pylist() == list(catalogue["track"])
    assert pa.table(catalogue["track"]).equals(table)
    with catalogue.view() as view:
        assert pa.table(view["track"]).equals(table)


def test_large_types_stream_in_batches():
    count = 150_000
    source = pa.table({"id": pa.array(range(count)), "text": [f"text {n}" for n in range(count)]})
    records = make({"a": Type("id", fields={"text": "categorical"})}, {"a": source})["a"]
    reader = pa.RecordBatchReader.from_stream(records)
    batches = list(reader)
    assert len(batches) > 1
    assert [key for batch in batches for key in batch["id"].to_pylist()] == list(records)
    rows = pa.Table.from_batches(batches).sort_by("id")
    assert rows["id"].to_pylist() == list(range(count))
    assert rows["text"].cast(pa.string()).to_pylist() == source["text"].to_pylist()
    first = pa.RecordBatchReader.from_stream(records).read_next_batch()
    assert first.equals(batches[0])


def test_an_answer_in_arrow_can_be_taken_more_than_once(tracks: Records):
    answer = tracks.decorate_arrow(["t1", "nope", "t2"], ["id", "artists.name"])
    assert len(answer) == 3
    assert read_table(answer) == read_table(answer)
    assert pa.table(answer).to_pylist()[1] == {"id": None, "artists": None}
    reader = pa.RecordBatchReader.from_stream(answer, schema=pa.table(answer).schema)
    assert reader.read_all().num_rows == 3
    del answer
    gc.collect()
    assert reader.schema.names == ["id", "artists"]


def test_arguments_of_other_types_are_named(tracks: Records):
    anything: Any = tracks
    with pytest.raises(TypeError, match=r'^fields are names, not a list: select\("a", "b"\)$'):
        anything.select(["title"])
    for fields, why in (([1], "int"), (["title", ["id"]], "list"), ([None], "NoneType")):
        with pytest.raises(TypeError, match=rf"^fields\[{len(fields) - 1}\]: a name is text, not {why}$"):
            anything.decorate(["t1"], fields)
    for call in (anything.decorate, anything.decorate_json, anything.decorate_arrow, anything.select("title").records):
        for ids, name in ((1, "int"), (None, "NoneType"), (object(), "object")):
            with pytest.raises(TypeError, match=rf"^ids must be a list of keys, not {name}$"):
                call(ids)
        with pytest.raises(TypeError, match=r"^deadline='x': a time of time\.monotonic\(\)"):
            call(["t1"], deadline="x")
