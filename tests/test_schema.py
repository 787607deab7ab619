import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedeck.errors import SchemaError
from bedeck.schema import INTEGERS, PLAIN, UNITS, FieldType, Key, Reference, Schema, Type

MUSIC = """
namespace = "music"

[type.track]
source = "tracks/*.parquet"
key = "id"
uri = "spotify:track:{id}"
hot = ["title", "artists", "explicit"]
on_duplicate = "last"
strict = true
[type.track.fields]
popularity = "uint8"
released = "timestamp[us, Europe/Stockholm]"
[type.track.references]
artists = { field = "artist_ids", type = "artist" }
album = { field = "album", type = "album" }

[type.artist]
source = ["a.parquet", "b.parquet"]
key = { field = "id", kind = "base62" }

[type.album]
key = { field = "number" }
"""

identifiers = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
names = st.text(min_size=1, max_size=8).filter(lambda name: "." not in name and "\0" not in name)
scalars = st.one_of(
    st.sampled_from(PLAIN).map(FieldType),
    st.builds(
        FieldType,
        st.just("timestamp"),
        st.sampled_from(UNITS),
        st.sampled_from([None, "UTC", "America/Port-au-Prince"]),
    ),
)
field_types = st.one_of(scalars, st.builds(FieldType, st.just("list"), item=scalars))


@st.composite
def schemas(draw: st.DrawFn):
    type_names = draw(st.lists(identifiers, min_size=1, max_size=3, unique=True))
    return Schema({name: draw(types(type_names)) for name in type_names}, draw(identifiers))


@st.composite
def types(draw: st.DrawFn, targets: list[str]):
    key, *rest = draw(st.lists(names, min_size=1, max_size=8, unique=True))
    fields = {name: str(draw(field_types)) for name in rest[:2]}
    references = {name: Reference(draw(st.just("@" + name)), draw(st.sampled_from(targets))) for name in rest[2:4]}
    return Type(
        Key(key, draw(st.sampled_from([None, "base62", "uuid", "int", "string", "bytes"]))),
        draw(st.one_of(st.none(), st.text(min_size=1), st.lists(st.text(min_size=1), min_size=1, max_size=3))),
        fields=fields,
        references=references,
        uri=draw(st.sampled_from([None, f"spotify:{{{key}}}"])),
        hot=rest[4:],
        on_duplicate=draw(st.sampled_from(["error", "first", "last"])),
        strict=draw(st.booleans()),
    )


def load(tmp_path: Path, text: str):
    path = tmp_path / "catalogue.toml"
    path.write_text(text, encoding="utf-8")
    return Schema.load(path)


def refusal(call: Callable[..., object], *args: object, **kwargs: object):
    with pytest.raises(SchemaError) as raised:
        call(*args, **kwargs)
    return str(raised.value)


def test_a_catalogue_toml_and_python_say_the_same(tmp_path: Path):
    track = Type(
        "id",
        "tracks/*.parquet",
        fields={"popularity": "uint8", "released": "timestamp[us,Europe/Stockholm]"},
        references={"artists": Reference("artist_ids", "artist"), "album": Reference("album", "album")},
        uri="spotify:track:{id}",
        hot=("title", "artists", "explicit"),
        on_duplicate="last",
        strict=True,
    )
    artist = Type(Key("id", "base62"), ("a.parquet", "b.parquet"))
    schema = Schema({"track": track, "artist": artist, "album": Type("number")}, "music")
    assert load(tmp_path, MUSIC) == schema
    assert list(load(tmp_path, MUSIC).types) == ["track", "artist", "album"]


def test_what_is_left_out_has_a_default():
    type_ = Type(Key("id"))
    assert Schema({"track": type_}).namespace == "default"
    assert (type_.source, type_.fields, type_.references, type_.uri, type_.hot) == (None, {}, {}, None, ())
    assert (type_.on_duplicate, type_.strict) == ("error", False)


def test_a_mapping_says_only_what_is_not_the_default():
    assert Schema({"track": Type("id")}).to_mapping() == {"namespace": "default", "type": {"track": {"key": "id"}}}


@given(schemas())
def test_a_schema_survives_its_mapping(schema: Schema):
    assert Schema.parse(schema.to_mapping()) == schema


def test_a_schema_survives_json(tmp_path: Path):
    schema = load(tmp_path, MUSIC)
    assert Schema.parse(json.loads(json.dumps(schema.to_mapping()))) == schema


def test_parsing_changes_nothing_of_the_mapping():
    mapping = tomllib.loads(MUSIC)
    Schema.parse(mapping)
    assert mapping == tomllib.loads(MUSIC)


def test_a_schema_does_not_change_with_what_it_was_made_of():
    fields, types = {"a": "bool"}, {}
    types["track"] = Type("id", fields=fields)
    schema = Schema(types)
    fields["b"] = types["b"] = "?"
    assert schema == Schema({"track": Type("id", fields={"a": "bool"})})


@given(field_types)
def test_a_type_survives_its_text(field_type: FieldType):
    assert FieldType.parse(str(field_type)) == field_type


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("uint8", "uint8"),
        (" string ", "string"),
        ("timestamp[ us , UTC ]", "timestamp[us,UTC]"),
        ("list< timestamp[ns] >", "list<timestamp[ns]>"),
        ("list<categorical>", "list<categorical>"),
        ("timestamp[ms,Etc/GMT+1]", "timestamp[ms,Etc/GMT+1]"),
        ("timestamp[ms, +02:00]", "timestamp[ms,+02:00]"),
    ],
)
def test_types_have_one_written_form(text: str, canonical: str):
    assert str(FieldType.parse(text)) == canonical
    assert Type("id", fields={"a": text}).fields == {"a": canonical}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("uint9", 'unknown type "uint9"; did you mean "uint8"?'),
        ("text", 'unknown type "text"; did you mean "string"?'),
        ("int", 'unknown type "int"; did you mean "int64"?'),
        ("Float", 'unknown type "Float"; did you mean "float64"?'),
        ("list<str>", 'unknown type "str"; did you mean "string"?'),
        ("datetime", 'unknown type "datetime"; did you mean "timestamp[us]"?'),
        ("decimal", "known: bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64, string,"),
        ("decimal", "timestamp[us], timestamp[us,UTC], list<string>"),
        ("String", 'did you mean "string"?'),
        ("", 'unknown type ""'),
        ("reference", 'unknown type "reference"'),
        ("list<reference>", 'unknown type "reference"'),
        ("list", 'as in "list<string>"'),
        ("list<>", 'unknown type ""'),
        ("list<list<string>>", "no list"),
        ("timestamp", "one of s, ms, us, ns"),
        ("timestamp[]", "one of s, ms, us, ns"),
        ("timestamp[min]", "one of s, ms, us, ns"),
        ("timestamp[us,]", "time zone"),
        ("timestamp[us,+2]", '"+2" is no time zone'),
        ("timestamp[us,a,b]", "unknown type"),
        ("date[us]", "unknown type"),
        (8, "written as text"),
        (None, "written as text"),
    ],
)
def test_other_types_are_refused_with_a_way_out(text: object, why: str):
    assert why in refusal(FieldType.parse, text)
    assert refusal(Type, "id", fields={"a": text}).startswith('field "a": ')


@pytest.mark.parametrize(
    "members",
    [
        {"kind": "string", "unit": "us"},
        {"kind": "string", "tz": "UTC"},
        {"kind": "string", "item": FieldType("bool")},
        {"kind": "list", "item": FieldType("list", item=FieldType("bool"))},
        {"kind": "timestamp", "tz": "UTC"},
        {"kind": "int", "unit": None},
    ],
)
def test_a_type_cannot_be_made_otherwise_either(members: dict[str, object]):
    refusal(FieldType, **members)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('namespace = "music"', "namespace = 1", "namespace: 1 is not a name"),
        ('namespace = "music"', 'namespace = "my music"', "namespace: 'my music' is not a name"),
        ('namespace = "music"', 'namspace = "music"', 'unknown key "namspace"; did you mean "namespace"?'),
        ("[type.album]", "[audience.kids]\n[type.album]", 'unknown table "audience"; known: namespace, type'),
        ("[type.album]", "[set.kids]\n[type.album]", 'unknown table "set"'),
        ("[type.album]", "[types.album]", 'unknown table "types"; did you mean "type"?'),
        ("[type.album]", '[type."al bum"]', "[type.al bum]: 'al bum' is not a name"),
        ('key = "id"\nuri', "uri", '[type.track]: "key" is missing'),
        ('key = "id"\nuri', "key = 1\nuri", "[type.track]: key: a table is expected, not 1"),
        ('key = "id"\nuri', 'key = ""\nuri', "[type.track]: '' is not the name of a field"),
        ('{ field = "number" }', '{ feld = "number" }', '[type.album]: key: unknown key "feld"; did you mean "field"?'),
        ('{ field = "number" }', '{ kind = "int" }', '[type.album]: key: "field" is missing'),
        ('kind = "base62"', 'kind = "base64"', "[type.artist]: key: unknown kind 'base64'; did you mean \"base62\"?"),
        ('"tracks/*.parquet"', '{ sql = "select 1" }', "[type.track]: source is a list of texts, not {'sql'"),
        ('"tracks/*.parquet"', "[]", "[type.track]: source is a path, a glob or a list of these"),
        ('"tracks/*.parquet"', '""', "[type.track]: source is a path, a glob or a list of these"),
        ('hot = ["title"', 'hotter = ["title"', '[type.track]: unknown key "hotter"; did you mean "hot"?'),
        (
            'hot = ["title", "artists", "explicit"]',
            'hot = "title"',
            "[type.track]: hot is a list of texts, not 'title'",
        ),
        ('hot = ["title"', 'hot = ["a.b"', "[type.track]: 'a.b' is not the name of a field"),
        ('"last"', '"lats"', "[type.track]: unknown on_duplicate 'lats'; did you mean \"last\"?"),
        ("strict = true", 'strict = "yes"', "[type.track]: strict is true or false, not 'yes'"),
        ("strict = true", "strict = 1", "[type.track]: strict is true or false, not 1"),
        ("spotify:track:{id}", "spotify:track:{key}", "[type.track]: uri holds the key once, as {id}, not"),
        ('"spotify:track:{id}"', "[]", "[type.track]: uri holds the key once, as {id}, not []"),
        ('"uint8"', '"unit8"', '[type.track]: field "popularity": unknown type "unit8"; did you mean "uint8"?'),
        ("popularity =", '"a.b" =', "[type.track]: 'a.b' is not the name of a field"),
        ("popularity =", "id =", '[type.track]: field "id" is the key: declare its kind'),
        (
            'type = "artist" }',
            'type = "artst" }',
            '[type.track]: reference "artists": unknown type "artst"; did you mean',
        ),
        (
            '"artist_ids", type',
            '"artist_ids", typ',
            '[type.track]: reference "artists": unknown key "typ"; did you mean',
        ),
        ('field = "artist_ids", ', "", '[type.track]: reference "artists": "field" is missing'),
        ("artists = {", "popularity = {", '[type.track]: reference "popularity": a column has this name'),
        ("artists = {", "album_ = 1\nartists = {", '[type.track]: reference "album_": a table is expected, not 1'),
        ("artists = {", '"a.b" = {', "[type.track]: reference \"a.b\": 'a.b' is not the name of a field"),
        ('"artist_ids"', '"id"', '[type.track]: reference "artists": it starts at the key'),
        (
            '"artist_ids"',
            '"album"',
            '[type.track]: reference "artists": another reference starts at the column "album"',
        ),
        ('"artist_ids"', '"popularity"', None),
        (
            '"artist_ids"',
            '"released"',
            '[type.track]: reference "artists": its column "released" is declared timestamp',
        ),
        ("[type.track.fields]", "[type.track.fields]\nx = ", "not TOML"),
    ],
)
def test_mistakes_are_named_by_file_table_and_key(tmp_path: Path, old: str, new: str, why: str | None):
    assert MUSIC.count(old) == 1
    text = MUSIC.replace(old, new)
    if why is None:
        load(tmp_path, text)
    else:
        assert refusal(load, tmp_path, text).startswith(f"{tmp_path / 'catalogue.toml'}: ")
        assert why in refusal(load, tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    path = tmp_path / "catalogue.toml"
    assert refusal(Schema.load, path) == f"{path}: cannot be read: No such file or directory"
    path.write_bytes(b'namespace = "\xff"')
    assert refusal(Schema.load, path).startswith(f"{path}: not TOML: ")
    path.write_text("")
    assert refusal(Schema.load, str(path)) == f"{path}: there is no type: declare one as [type.<name>]"


@pytest.mark.parametrize("mapping", [None, [], "type", {"type": []}, {"type": {"track": 1}}, {1: 2}, {"type": {1: {}}}])
def test_what_is_no_schema_is_refused(mapping: object):
    refusal(Schema.parse, mapping)


@pytest.mark.parametrize(
    ("call", "args"),
    [
        (Key, [None]),
        (Key, ["id", "integer"]),
        (Reference, ["a.b", "track"]),
        (Reference, ["a", "a b"]),
        (Type, [None]),
        (Type, ["id", [1]]),
        (Type, ["id", ["a", ""]]),
        (Schema, [{"track": None}]),
        (Schema, [None]),
        (Schema, [{"1st": Type("id")}]),
        (Schema, [{"track\n": Type("id")}]),
    ],
)
def test_objects_check_themselves(call: Callable[..., object], args: list[object]):
    refusal(call, *args)


@pytest.mark.parametrize("value", [[Type("id")], "x", 3])
def test_what_is_named_is_in_mappings(value: object):
    expected = "a mapping by name is expected, or in a catalogue.toml a table, not "
    assert refusal(Schema, value) == f"types: {expected}{value!r}"
    assert refusal(Type, "id", fields=value) == f"fields: {expected}{value!r}"
    assert refusal(Type, "id", references=value) == f"references: {expected}{value!r}"


def test_a_reference_is_a_reference():
    assert "a Reference is expected" in refusal(Type, "id", references={"a": {"field": "b", "type": "c"}})


def test_a_reference_may_have_the_name_of_its_own_column_only():
    Type("id", fields={"album": "int64"}, references={"album": Reference("album", "album")})
    refusal(Type, "id", fields={"album": "int64"}, references={"album": Reference("album_id", "album")})
    refusal(Type, "id", references={"id": Reference("album_id", "album")})
    refusal(Type, "id", references={"a": Reference("b", "album"), "b": Reference("c", "album")})


@pytest.mark.parametrize("declared", ["string", "binary", *INTEGERS, "list<string>", "list<uint32>"])
def test_columns_of_keys_may_be_declared(declared: str):
    Type("id", fields={"album": declared}, references={"album": Reference("album", "album")})


def test_the_schema_needs_no_third_party_package():
    code = "import sys; old = dict(sys.modules); import bedeck.schema; print(dict(sys.modules.items() - old.items()))"
    paths = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=paths)  # noqa: S603
    assert "-packages" not in done.stdout
