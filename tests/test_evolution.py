"""Schemas that change: which fields stay the same, what is told of a change, and that all versions go on answering."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bedeck
from bedeck import Key, Producer, Reference, RefusedError, Schema, SchemaError, Type, reference
from bedeck.evolution import FieldIds, changes, holds, settled
from bedeck.schema import INTEGERS, PLAIN, FieldType
from bedeck.store import LocalStore
from oracle import exact

COUNT = 100
RANGES = {
    kind: (0, (1 << int(kind[4:])) - 1) if kind[0] == "u" else (-(1 << int(kind[3:]) - 1), (1 << int(kind[3:]) - 1) - 1)
    for kind in INTEGERS
}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def table(**columns: Any) -> pa.Table:
    return pa.table({"id": range(COUNT), **columns})


def publish(store: LocalStore, table: pa.Table, *, allow: dict[str, str] | None = None, **members: Any):
    return Producer(store, Schema({"a": Type("id", **members)})).cycle({"a": table}, allow=allow)


def ids(store: LocalStore) -> dict[str, int]:
    fields = store.manifest(store.resolve())["types"]["a"]["fields"]
    return {field["name"]: field["id"] for field in fields}


def check(store: LocalStore, version: int, expected: pa.Table) -> None:
    """That a version has these records, in the core and in plain Python."""
    records = bedeck.open(store.path, version=version)["a"]
    found = pa.table(records).sort_by("id").select(expected.column_names)
    assert found.cast(expected.schema).equals(expected)
    plain = reference.open(store.path, version=version)["a"]
    keys = range(COUNT)
    names = expected.column_names[1:]
    assert exact(plain.decorate(keys, names)) == exact(records.decorate(keys, names))
    assert plain.digest() == store.manifest(store.resolve(version))["types"]["a"]["digest"]


def refusal(store: LocalStore, table: pa.Table, **members: Any) -> list[str]:
    with pytest.raises(RefusedError) as raised:
        publish(store, table, **members)
    return [str(finding) for finding in raised.value.findings]


# The rules


def test_an_integer_holds_another_where_its_range_does():
    for wide, (least, most) in RANGES.items():
        for narrow, (low, high) in RANGES.items():
            assert holds(FieldType(wide), FieldType(narrow)) == (least <= low and high <= most)


def test_other_types_hold_their_own_values_alone():
    alike = [{"string", "categorical"}, {*INTEGERS}]
    for wide in (*PLAIN, "timestamp[s]", "timestamp[us]", "timestamp[s,UTC]"):
        for narrow in (*PLAIN, "timestamp[s]", "timestamp[us]", "timestamp[s,UTC]"):
            if {wide, narrow} <= alike[1]:
                continue
            expected = wide == narrow or {wide, narrow} == alike[0] or (wide, narrow) == ("float64", "float32")
            for form in ("{}", "list<{}>"):
                types = FieldType.parse(form.format(wide)), FieldType.parse(form.format(narrow))
                assert holds(*types) == expected
            assert not holds(FieldType.parse(f"list<{wide}>"), FieldType.parse(narrow))
            assert not holds(FieldType.parse(wide), FieldType.parse(f"list<{narrow}>"))


@given(st.sampled_from(PLAIN).map(FieldType), st.sampled_from(PLAIN).map(FieldType))
def test_a_type_that_nobody_declares_is_the_one_before_if_that_holds_the_new_one(found: FieldType, known: FieldType):
    assert settled(found, known) == (known if holds(known, found) else found)
    assert holds(settled(found, known), found)


def test_ids_are_those_of_the_version_before_under_any_name_that_a_field_had():
    fields = [
        {"id": 3, "name": "a", "type": "int8"},
        {"id": 5, "name": "b", "type": "reference", "reference": {"name": "r", "type": "t"}},
        {"id": 6, "name": "c", "type": "float32"},
    ]
    of_t = {"type": "reference", "reference": {"name": "x", "type": "t"}}
    for names, described, expected in (
        (("a",), {"type": "int8"}, 3),
        (("a",), {"type": "int64"}, 3),
        (("z", "a"), {"type": "int16"}, 3),
        (("a",), {"type": "uint64"}, 9),
        (("a",), {"type": "string"}, 9),
        (("a",), {"type": "list<int8>"}, 9),
        (("z",), {"type": "int8"}, 9),
        (("b",), of_t, 5),
        (("b",), {**of_t, "type": "list<reference>"}, 9),
        (("b",), {**of_t, "reference": {"name": "r", "type": "u"}}, 9),
        (("b",), {"type": "string"}, 9),
        (("c",), {"type": "float64"}, 9),
    ):
        given_out = FieldIds({"next_field_id": 9, "types": {"x": {"fields": fields}}})
        assert given_out.of("x", names, described) == expected
        assert given_out.next == (10 if expected == 9 else 9)
    assert FieldIds(None).of("x", ("a",), {"type": "int8"}) == 0


def told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, bool]]:
    """What is said of a type `x` from one manifest to another, and whether it is compatible."""
    types = [{"x": {"key": {"field": "id", "kind": "int"}, "fields": []} | of} for of in (before, after)]
    for of in types:
        of["t"] = {"key": {"field": "id", "kind": "string"}, "fields": []}
    return [(change.what, change.compatible) for change in changes(*types)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, []),
        ({}, {"key": {"field": "key", "kind": "int"}}, [('the key was called "id"', False)]),
        ({}, {"key": {"field": "id", "kind": "string"}}, [("the key is string, and was int", False)]),
        (
            {},
            {"key": {"field": "id", "kind": "int", "signed": False}},
            [("the key is int without a sign, and was int", False)],
        ),
    ],
)
def test_changes_of_a_key(before: dict[str, Any], after: dict[str, Any], expected: list[tuple[str, bool]]):
    assert told(before, after) == expected


PLAIN_A = {"id": 0, "name": "a", "type": "string"}
REFERS = {"id": 0, "name": "a", "type": "reference", "reference": {"name": "r", "type": "t"}}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([], [PLAIN_A], [("the field is new", True)]),
        ([PLAIN_A], [], [('the field "a" is gone', False)]),
        (
            [PLAIN_A],
            [PLAIN_A | {"type": "categorical"}],
            [("the field is of type categorical, and was of type string", True)],
        ),
        (
            [PLAIN_A],
            [PLAIN_A | {"id": 1, "type": "int8"}],
            [("the field is of type int8, and was of type string", False)],
        ),
        (
            [PLAIN_A | {"type": "float32"}],
            [PLAIN_A | {"id": 1, "type": "float64"}],
            [("the field is of type float64, and was of type float32", True)],
        ),
        ([PLAIN_A], [PLAIN_A | {"name": "b", "aliases": ["a"]}], [('the field was called "a"', True)]),
        ([PLAIN_A | {"name": "b", "aliases": ["a"]}], [PLAIN_A | {"name": "b"}], [('the field "a" is gone', False)]),
        ([PLAIN_A], [PLAIN_A | {"name": "b"}], [('the field "a" is gone', False), ('the field was called "a"', True)]),
        (
            [PLAIN_A],
            [REFERS | {"id": 1}],
            [("the field is a reference to t, and was of type string", True)],
        ),
        (
            [PLAIN_A | {"type": "int8"}],
            [REFERS | {"id": 1}],
            [("the field is a reference to t, and was of type int8", False)],
        ),
        (
            [PLAIN_A | {"type": "list<string>"}],
            [REFERS | {"id": 1}],
            [("the field is a reference to t, and was of type list<string>", False)],
        ),
        (
            [REFERS],
            [PLAIN_A | {"id": 1}],
            [
                ('the reference "r" is gone', False),
                ("the field is of type string, and was a reference to t", False),
            ],
        ),
        ([REFERS], [REFERS | {"reference": {"name": "s", "type": "t"}}], [('the reference "r" is gone', False)]),
        ([REFERS], [REFERS | {"reference": {"name": "s", "type": "t", "aliases": ["r"]}}], []),
        (
            [REFERS],
            [REFERS | {"id": 1, "reference": {"name": "r", "type": "x"}}],
            [("the field is a reference to x, and was a reference to t", False)],
        ),
    ],
)
def test_changes_of_a_field(before: Any, after: Any, expected: list[tuple[str, bool]]):
    assert told({"fields": before}, {"fields": after}) == expected


# Over versions


def test_a_field_is_added_and_readers_of_both_versions_go_on(store: LocalStore):
    old = table(n=range(COUNT))
    publish(store, old)
    new = old.append_column("text", pa.array([None if n % 3 else f"t{n}" for n in range(COUNT)]))
    assert publish(store, new).version == 2
    check(store, 1, old)
    check(store, 2, new)
    fewer = new.set_column(2, "text", pa.array([None] * COUNT, pa.string()))
    publish(store, fewer, allow={"null-share": "a test"})
    check(store, 3, fewer)
    assert ids(store) == {"n": 0, "text": 1}


def test_a_field_that_is_added_without_values_ships_nothing(store: LocalStore):
    publish(store, table(n=range(COUNT)))
    cycle = publish(store, table(n=range(COUNT), text=pa.array([None] * COUNT, pa.string())))
    assert (cycle.version, cycle.bytes) == (2, 0)
    check(store, 2, table(n=range(COUNT), text=pa.array([None] * COUNT, pa.string())))


def test_a_field_is_removed_and_comes_back_as_another(store: LocalStore):
    both = table(n=range(COUNT), text=[f"t{n}" for n in range(COUNT)])
    publish(store, both)
    assert refusal(store, both.drop_columns(["text"])) == [
        'schema-change: type "a", field "text": the field "text" is gone'
    ]
    cycle = publish(store, both.drop_columns(["text"]), allow={"schema-change": "nobody asks for it"})
    assert cycle.bytes == 0
    check(store, 2, both.drop_columns(["text"]))
    assert "text" not in bedeck.open(store.path)["a"][0]
    again = both.set_column(2, "text", pa.array(["other"] * COUNT))
    publish(store, again)
    check(store, 1, both)
    check(store, 3, again)
    assert ids(store) == {"n": 0, "text": 2}


@pytest.mark.parametrize("form", ["{}", "list<{}>"])
@pytest.mark.parametrize(
    ("narrow", "wide"), [("int8", "int16"), ("int8", "int64"), ("uint8", "int16"), ("uint32", "uint64")]
)
def test_a_type_widens_under_the_layers_that_there_are(store: LocalStore, form: str, narrow: str, wide: str):
    def column(values: list[int], kind: str) -> pa.Array:
        arrow = getattr(pa, kind)()
        return pa.array([[n] for n in values], pa.list_(arrow)) if form != "{}" else pa.array(values, arrow)

    values = [n % 100 for n in range(COUNT)]
    old = table(n=column(values, narrow))
    publish(store, old)
    values[3] = RANGES[wide][1]
    values[4] = RANGES[wide][0]
    new = table(n=column(values, wide))
    cycle = publish(store, new)
    assert (cycle.types["a"].kind, cycle.types["a"].changed) == ("over", 2)
    check(store, 1, old)
    check(store, 2, new)
    found = pa.table(bedeck.open(store.path)["a"]).schema.field("n").type
    assert (found.value_type if form != "{}" else found) == getattr(pa, wide)()
    assert ids(store) == {"n": 0}


def test_a_type_that_narrows_is_another_field(store: LocalStore):
    old = table(n=pa.array(range(COUNT), pa.int64()))
    publish(store, old, fields={"n": "int64"})
    (found,) = refusal(store, old, fields={"n": "int8"})
    assert found == 'schema-change: type "a", field "n": the field is of type int8, and was of type int64'
    publish(store, old, fields={"n": "int8"}, allow={"schema-change": "all readers take it"})
    check(store, 2, table(n=pa.array(range(COUNT), pa.int8())))
    assert ids(store) == {"n": 1}


def test_floats_widen_into_another_field_that_readers_take(store: LocalStore):
    publish(store, table(x=pa.array([0.5] * COUNT, pa.float32())))
    assert publish(store, table(x=pa.array([0.1] * COUNT, pa.float64()))).version == 2
    check(store, 2, table(x=pa.array([0.1] * COUNT, pa.float64())))
    assert ids(store) == {"x": 1}


def test_text_becomes_categorical_and_back(store: LocalStore):
    text = table(t=["x", "y"] * (COUNT // 2))
    publish(store, text)
    assert publish(store, text, fields={"t": "categorical"}).bytes == 0
    assert pa.types.is_dictionary(pa.table(bedeck.open(store.path)["a"]).schema.field("t").type)
    assert publish(store, text).unchanged  # what nobody declares stays
    assert publish(store, text, fields={"t": "string"}).version == 3
    assert ids(store) == {"t": 0}


def test_a_field_is_renamed_and_answers_to_both_names(store: LocalStore):
    old = table(n=range(COUNT), text=[f"t{n}" for n in range(COUNT)])
    publish(store, old)
    new = old.rename_columns(["id", "n", "title"])
    assert publish(store, new, renamed={"title": "text"}).bytes == 0
    records = bedeck.open(store.path)["a"]
    assert records.decorate([7], ["title"]) == [{"title": "t7"}]
    assert records.decorate([7], ["text"]) == [{"text": "t7"}]
    assert records.decorate_json([7], ["text", "n"]) == b'[{"text":"t7","n":7}]'
    assert records.decorate([7]) == [{"n": 7, "title": "t7"}]
    assert ids(store) == {"n": 0, "title": 1}
    again = new.rename_columns(["id", "n", "name"])
    assert publish(store, again, renamed={"name": ["title", "text"]}).bytes == 0
    assert bedeck.open(store.path)["a"].decorate([7], ["text", "title", "name"]) == [
        {"text": "t7", "title": "t7", "name": "t7"}
    ]
    assert refusal(store, again) == [
        f'schema-change: type "a", field "name": the field "{old}" is gone' for old in ("title", "text")
    ]


def test_a_selection_that_a_service_holds_survives_a_rename(store: LocalStore):
    publish(store, table(text=[f"t{n}" for n in range(COUNT)]))
    catalogue = bedeck.open(store.path)
    card = catalogue["a"].select("text")
    publish(
        store, table(title=[f"T{n}" for n in range(COUNT)]), renamed={"title": "text"}, allow={"changed-records": "x"}
    )
    catalogue.refresh()
    assert catalogue.version == 2
    assert card.decorate([7]) == [{"text": "T7"}]


def test_a_service_moves_on_through_compatible_changes_and_stays_at_others(store: LocalStore):
    old = table(n=pa.array(range(COUNT), pa.int8()), text=[f"t{n}" for n in range(COUNT)])
    publish(store, old)
    catalogue = bedeck.open(store.path)
    card = catalogue["a"].select("n", "text")
    wide = table(n=pa.array(range(COUNT), pa.int32()), text=old["text"], more=["x"] * COUNT)
    publish(store, wide)
    assert catalogue.refresh()
    assert card.decorate([7]) == [{"n": 7, "text": "t7"}]
    publish(store, wide.drop_columns(["text"]), allow={"schema-change": "a mistake"})
    with pytest.raises(bedeck.SelectionError, match="text"):
        catalogue.refresh()
    assert (catalogue.version, card.decorate([7])) == (2, [{"n": 7, "text": "t7"}])
    publish(store, wide)
    assert catalogue.refresh()
    assert (catalogue.version, card.decorate([7])) == (4, [{"n": 7, "text": "t7"}])


def test_a_reference_is_renamed_with_its_column(store: LocalStore):
    rows = {"track": [{"id": n, "artist_ids": [n % 7]} for n in range(COUNT)], "artist": [{"id": n} for n in range(7)]}
    artist = Type(Key("id", "int"))
    old = Schema({"track": Type("id", references={"artists": Reference("artist_ids", "artist")}), "artist": artist})
    Producer(store, old).cycle(rows)
    new = Type(
        "id",
        references={"credits": Reference("credit_ids", "artist")},
        renamed={"credits": "artists", "credit_ids": "artist_ids"},
    )
    rows["track"] = [{"id": row["id"], "credit_ids": row["artist_ids"]} for row in rows["track"]]
    cycle = Producer(store, Schema({"track": new, "artist": artist})).cycle(rows)
    assert (cycle.version, cycle.bytes) == (2, 0)
    tracks = bedeck.open(store.path)["track"]
    assert tracks.decorate([8], ["artists.id"]) == [{"artists": [{"id": 1}]}]
    assert tracks.decorate([8], ["credits.id", "credit_ids"]) == [{"credits": [{"id": 1}], "credit_ids": [1]}]
    assert tracks.decorate([8], ["artist_ids"]) == [{"artist_ids": [1]}]
    with pytest.raises(bedeck.SelectionError, match="is a reference to type"):
        tracks.select("artists")


def test_a_column_of_keys_becomes_a_reference(store: LocalStore):
    rows = {"track": [{"id": n, "artist": f"a{n % 7}"} for n in range(COUNT)]}
    Producer(store, Schema({"track": Type("id")})).cycle(rows)
    rows["artist"] = [{"id": f"a{n}", "name": f"name {n}"} for n in range(7)]
    linked = Schema({"track": Type("id", references={"artist": Reference("artist", "artist")}), "artist": Type("id")})
    assert Producer(store, linked).cycle(rows).version == 2
    tracks = bedeck.open(store.path)["track"]
    assert tracks.decorate([8], ["artist"]) == [{"artist": "a1"}]
    assert tracks.decorate([8], ["artist.name"]) == [{"artist": {"name": "name 1"}}]
    with pytest.raises(RefusedError) as raised:
        Producer(store, Schema({"track": Type("id"), "artist": Type("id")})).cycle(rows)
    assert {finding.validator for finding in raised.value.findings} == {"schema-change"}


def test_a_key_of_another_kind_is_refused_and_can_be_allowed(store: LocalStore):
    publish(store, pa.table({"id": ["0" * 22] + [f"{n:022}" for n in range(1, COUNT)]}))
    other = pa.table({"id": [f"k{n}" for n in range(COUNT)]})
    with pytest.raises(bedeck.SourceError, match="is not base62"):
        publish(store, other)
    producer = Producer(store, Schema({"a": Type(Key("id", "string"))}))
    with pytest.raises(RefusedError) as raised:
        producer.cycle({"a": other})
    assert 'schema-change: type "a", field "id": the key is string, and was base62' in str(raised.value)
    allow = dict.fromkeys(("schema-change", "changed-records"), "a test")
    assert producer.cycle({"a": other}, allow=allow).types["a"].added == COUNT
    assert len(bedeck.open(store.path)["a"]) == COUNT


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"renamed": {"new": []}}, 'renamed "new": it names nothing'),
        ({"renamed": {"new": [1]}}, 'renamed "new" is a list of texts'),
        ({"renamed": {"id": "old"}}, 'renamed "id": it is the key'),
        ({"renamed": {"new": "a.b"}}, "renamed \"new\": 'a.b' is not the name of a field"),
        ({"renamed": {"new": "x"}, "fields": {"x": "int8"}}, 'renamed "new": "x" is the name of something else, too'),
        ({"renamed": {"new": "id"}}, 'renamed "new": "id" is the name of something else, too'),
        ({"renamed": {"new": "old", "newer": "old"}}, 'renamed "newer": "old" is the name of something else, too'),
        ({"renamed": {"a": "b", "b": "a"}}, 'renamed "a": "b" is the name of something else, too'),
        ({"renamed": ["new"]}, "renamed: a mapping by name is expected"),
    ],
)
def test_names_that_cannot_have_been_are_refused(members: dict[str, Any], why: str):
    with pytest.raises(SchemaError, match=re.escape(why)):
        Schema({"a": Type("id", **members)})


def test_what_is_renamed_has_to_be_there_and_its_old_name_not(store: LocalStore):
    columns = table(text=["x"] * COUNT, title=["x"] * COUNT)
    with pytest.raises(SchemaError, match='renamed: there is no "titel"; did you mean "title"'):
        publish(store, columns, renamed={"titel": "old"})
    with pytest.raises(SchemaError, match='renamed "title": there still is a column "text"'):
        publish(store, columns, renamed={"title": "text"})
