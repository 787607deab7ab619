"""Validators: what they refuse, what they say of it, and what it takes to announce it all the same."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import bedeck
from bedeck import Finding, Key, Producer, Reference, RefusedError, Schema, SchemaError, Type, View
from bedeck.limits import DEFAULTS
from bedeck.store import LocalStore
from stores import contents

Rows = list[dict[str, Any]]

TRACK = Type(Key("id", "int"), references={"artists": Reference("artist_ids", "artist")})
ARTIST = Type(Key("id", "string"))
SCHEMA = Schema({"track": TRACK, "artist": ARTIST})


def tracks(count: int = 400) -> Rows:
    return [
        {"id": n, "title": f"title {n}", "isrc": f"SE{n}", "plays": n, "artist_ids": [f"a{n % 20}", f"a{n % 7}"]}
        for n in range(count)
    ]


ARTISTS: Rows = [{"id": f"a{n}", "name": f"name {n}"} for n in range(20)]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store with version 1."""
    store = LocalStore(tmp_path / "store")
    Producer(store, SCHEMA).cycle({"track": tracks(), "artist": ARTISTS})
    return store


def refused(producer: Producer, *arguments: Any, **options: Any) -> RefusedError:
    """What a cycle is refused for; it leaves nothing behind."""
    path = producer.store.path
    before = contents(path)
    with pytest.raises(RefusedError) as raised:
        producer.cycle(*arguments, **options)
    assert contents(path) == before
    assert [of.name for of in (path / "tmp").iterdir() if of.name != "lock"] == []
    return raised.value


def with_tracks(of: Any, schema: Schema = SCHEMA) -> dict[str, Any]:
    return {name: of if name == "track" else ARTISTS for name in schema.types}


def changed(count: int, **values: Any) -> Rows:
    return [{**row, **(values if row["id"] < count else {})} for row in tracks()]


# What each of them refuses, and what passes: rows of tracks, the field that is named, part of what is said, an example

REFUSED: dict[str, tuple[Rows, str | None, str, str]] = {
    "min-records": ([], None, "0 records, where at least 1 are expected", ""),
    "record-count": (tracks(359), None, "359 records, and 400 before, 41 fewer (10.2 %, where 10 % is allowed)", "3"),
    "changed-records": (
        changed(201, title="x"),
        "title",
        "201 of 400 records have another value (50.2 %, where 50 % is allowed)",
        "' -> 'x'",
    ),
    "null-share": (
        changed(21, isrc=None),
        "isrc",
        "21 of 400 records have no value, and 0 of 400 had (5.25 %, where 5 % is allowed)",
        "' -> None",
    ),
    "null-keys": (
        [*tracks(401), {"id": None, "title": "x"}],
        None,
        "1 of 402 rows have no key (0.249 %, where 0 % is allowed)",
        "<iterable> row 401",
    ),
    "duplicate-keys": ([*tracks(401), tracks()[7]], None, 'type "track", key "id": 1 row too many', ""),
    "dangling-references": (
        changed(60, artist_ids=["gone", "a1", "lost"]),
        "artist_ids",
        "120 references to 2 keys without a record (14",
        " -> 'gone'",
    ),
    "schema-change": ([{name: of for name, of in row.items() if name != "plays"} for row in tracks()], "plays", "", ""),
}
PASSING: dict[str, Rows] = {
    "min-records": tracks(),
    "record-count": tracks(360),
    "changed-records": changed(200, title="x"),
    "null-share": changed(20, isrc=None),
    "null-keys": tracks(),
    "duplicate-keys": tracks(),
    "dangling-references": changed(12, artist_ids=["gone"] * 2),
    "schema-change": [{**row, "new": 1} for row in tracks()],
}


def test_every_validator_is_tried():
    assert set(REFUSED) == set(PASSING) == set(DEFAULTS)


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_refuses_what_passes_its_limit_and_names_what_and_where(store: LocalStore, name: str):
    rows, field, what, example = REFUSED[name]
    producer = Producer(store, SCHEMA)
    error = refused(producer, with_tracks(rows))
    found = {finding.validator: finding for finding in error.findings}
    finding = found[name]
    assert what in finding.what
    assert finding.field == field
    assert any(example in of for of in finding.examples) or not example
    text = str(error)
    assert text.startswith(f"version 2 of {store.place} is refused, and version 1 stays. Validators found:\n{name}: ")
    assert str(finding) in text
    assert f'"{name}": "..."' in text.splitlines()[-1]
    assert producer.cycle(with_tracks(PASSING[name])).version in {2, None}


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_lets_pass_what_is_allowed_for_a_reason_which_the_log_keeps(store: LocalStore, name: str):
    rows = REFUSED[name][0]
    names = {finding.validator for finding in refused(Producer(store, SCHEMA), with_tracks(rows)).findings}
    allow = {of: f"because of {of}" for of in names} | {"min-records": "never needed"}
    cycle = Producer(store, SCHEMA).cycle(with_tracks(rows), allow=allow)
    assert cycle.version == 2
    expected = {of: f"because of {of}" for of in names if of != "min-records"}
    if name == "min-records":
        expected["min-records"] = "never needed"
    assert cycle.overrides == expected
    assert {finding.validator for finding in cycle.allowed} == set(expected)
    head = store.head()
    assert head is not None
    assert head.details["overrides"] == expected
    assert head.details["allowed"] == [str(finding) for finding in cycle.allowed]
    assert store.manifest(head.announced)["schema"] == SCHEMA.to_mapping()


def test_one_report_has_what_all_of_them_found(store: LocalStore):
    rows = [{**row, "isrc": None, "artist_ids": ["gone"]} for row in tracks(300)] + [{"id": None, "plays": 1}]
    error = refused(Producer(store, SCHEMA), {"track": rows, "artist": []})
    assert [(finding.validator, finding.type, finding.field) for finding in error.findings] == [
        ("min-records", "artist", None),
        ("record-count", "artist", None),
        ("changed-records", "artist", None),
        ("record-count", "track", None),
        ("changed-records", "track", "isrc"),
        ("changed-records", "track", "artist_ids"),
        ("null-keys", "track", None),
        ("dangling-references", "track", "artist_ids"),
        ("null-share", "track", "isrc"),
        ("schema-change", "artist", "name"),
    ]
    partly = refused(Producer(store, SCHEMA), {"track": rows, "artist": []}, allow={"record-count": "a test"})
    assert partly.findings == error.findings


def test_an_error_keeps_its_findings_through_pickle(store: LocalStore):
    error = refused(Producer(store, SCHEMA), with_tracks(tracks(10)))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (str(again), again.findings) == (str(error), error.findings)


def test_a_first_version_is_compared_with_nothing(tmp_path: Path):
    producer = Producer(tmp_path / "store", SCHEMA)
    error = refused(producer, {"track": changed(400, artist_ids=["gone"]), "artist": []})
    assert [finding.validator for finding in error.findings] == ["min-records", "dangling-references"]
    assert "and nothing is announced yet" in str(error)


def test_a_few_records_of_few_are_no_reason(tmp_path: Path):
    producer = Producer(tmp_path / "store", Schema({"a": Type("id")}))
    producer.cycle({"a": [{"id": n, "n": n} for n in range(12)]})
    assert producer.cycle({"a": [{"id": n, "n": None} for n in range(10)]}).version == 2
    assert producer.cycle({"a": [{"id": n + 90, "n": 1} for n in range(10)]}).version == 3


def test_keys_that_come_twice_are_judged_where_the_type_says_which_is_kept_only_if_there_is_a_limit(tmp_path: Path):
    rows = [{"id": n % 50, "n": n} for n in range(100)]
    last = {"on_duplicate": "last"}
    producer = Producer(tmp_path / "store", Schema({"a": Type("id", **last)}))
    assert producer.cycle({"a": rows}).types["a"].dropped == 50
    limited = Schema({"a": Type("id", **last, validators={"duplicate-keys": 0.49})})
    (finding,) = refused(Producer(tmp_path / "store", limited), {"a": [*rows, {"id": 77}]}).findings
    assert "50 of 101 rows have a key that came before (49.5 %, where 49 % is allowed)" in finding.what
    tolerant = Schema({"a": Type("id", validators={"duplicate-keys": 0.5})})
    assert Producer(tmp_path / "store", tolerant).cycle({"a": [*rows, {"id": 77}]}).types["a"].dropped == 50


def test_what_comes_twice_in_a_type_that_refuses_it_is_shown_with_where_it_stands(store: LocalStore):
    (finding,) = refused(Producer(store, SCHEMA), with_tracks(REFUSED["duplicate-keys"][0])).findings
    assert "7: <iterable> row 7; <iterable> row 401" in finding.what


def test_references_in_lists_and_single_ones_are_counted_by_what_they_name(tmp_path: Path):
    schema = Schema(
        {"a": Type(Key("id", "int"), references={"many": Reference("ids", "a"), "one": Reference("of", "a")})}
    )
    rows = [{"id": n, "ids": [n] * 30 + ([-n - 1] if n < 99 else []), "of": n if n > 12 else -n - 1} for n in range(99)]
    error = refused(Producer(tmp_path / "store", schema), {"a": rows})
    assert [(finding.field, finding.what) for finding in error.findings] == [
        ("of", "13 references to 13 keys without a record (13.1 %, where 5 % is allowed)"),
    ]
    limits = {"a": Type(**vars(schema.types["a"]) | {"validators": {"dangling-references": {"ids": 0.03, "of": 0.2}}})}
    error = refused(Producer(tmp_path / "store", Schema(limits)), {"a": rows})
    assert [finding.field for finding in error.findings] == ["ids"]
    assert "99 references to 99 keys without a record (3.23 %, where 3 % is allowed)" in error.findings[0].what


# Limits


def limited(table: Mapping[str, Any], of_track: Mapping[str, Any] | None = None) -> Schema:
    track = Type(TRACK.key, references=TRACK.references, validators=of_track)
    return Schema({"track": track, "artist": ARTIST}, validators=table)


def test_limits_are_of_the_producer_then_the_type_then_the_catalogue(store: LocalStore):
    rows = with_tracks(changed(300, title="x"))
    assert refused(Producer(store, limited({"changed-records": 0.7})), rows)
    assert refused(Producer(store, limited({"changed-records": 0.9}, {"changed-records": 0.7})), rows)
    by_field = limited({}, {"changed-records": {"title": 0.7, "isrc": 1}})
    assert refused(Producer(store, by_field), rows)
    assert refused(Producer(store, limited({"changed-records": 0.9}), validators={"changed-records": 0.7}), rows)
    for schema, given in (
        (limited({"changed-records": 0.75}), {}),
        (limited({"changed-records": 0.1}, {"changed-records": 0.75}), {}),
        (limited({"changed-records": 0.1}, {"changed-records": {"title": 0.75}}), {}),
        (limited({}, {"changed-records": {"title": False}}), {}),
        (limited({"changed-records": 0.1}), {"changed-records": False}),
    ):
        assert Producer(store, schema, validators=given).cycle(rows, dry_run=True).types["track"].changed == 300


def test_the_limit_that_is_told_lets_it_pass(store: LocalStore):
    rows = {"track": [{**row, "isrc": None} for row in tracks(123)], "artist": ARTISTS}
    told: dict[str, Any] = {}
    for finding in refused(Producer(store, SCHEMA), rows).findings:
        name, _, limit = (finding.limit or "").removesuffix("  # in [type.track.validators]").partition(" = ")
        field, _, share = limit.strip("{ }").rpartition(" = ")
        told[name] = {field: float(share)} if field else float(share)
    assert told == {"record-count": 0.7, "changed-records": 0.7, "null-share": {"isrc": 1.0}}
    assert Producer(store, limited({}, told)).cycle(rows).version == 2
    less = {**told, "changed-records": 0.69}
    assert refused(Producer(store, limited({}, less)), with_tracks([{**tracks(1)[0], "id": n} for n in range(37)]))


@pytest.mark.parametrize(
    ("table", "of_type", "why"),
    [
        ({"min-record": 1}, False, 'validator "min-record": there is none of this name; did you mean "min-records"?'),
        ({"min-records": -1}, False, 'validator "min-records": a number of records is expected, or false, not -1'),
        ({"min-records": True}, False, 'validator "min-records": a number of records is expected'),
        (
            {"record-count": "10 %"},
            False,
            "validator \"record-count\": a share is expected, as 0.1, or false, not '10 %'",
        ),
        ({"record-count": -0.1}, False, 'validator "record-count": a share is expected'),
        ({"record-count": True}, True, 'validator "record-count": a share is expected'),
        (
            {"null-share": {"x": 2}},
            False,
            'validator "null-share": it has limits by field in [type.X.validators] alone',
        ),
        ({"null-keys": {"x": 0.2}}, True, 'validator "null-keys": it has limits by field for no field of its own'),
        ({"null-share": {"x": None}}, True, 'validator "null-share": a share is expected'),
        ({"schema-change": "all"}, False, "validator \"schema-change\": 'all' is none of none, compatible, any"),
        ([], False, "validators: a mapping by name is expected"),
    ],
)
def test_limits_that_cannot_be_are_refused(table: Any, of_type: bool, why: str):  # noqa: FBT001 - drawn
    with pytest.raises(SchemaError) as raised:
        Type("id", validators=table) if of_type else Schema({"a": Type("id")}, validators=table)
    assert why in str(raised.value)


def test_a_limit_for_a_field_that_is_not_there_is_told(store: LocalStore):
    schema = limited({}, {"null-share": {"titel": 0.5}})
    with pytest.raises(SchemaError, match=r'\[type.track\]: validator "null-share": .* "titel".* did you mean "title"'):
        Producer(store, schema).cycle(with_tracks(tracks(401)))


# One's own


def test_own_validators_see_both_versions_and_refuse_by_raising_or_telling(store: LocalStore):
    def titles(version: View, before: View | None) -> list[str]:
        assert before is not None
        assert (version.version, before.version) == (2, 1)
        return [
            f"{key} lost its title"
            for key in before["track"]
            if before["track"][key]["title"] and not version["track"][key]["title"]
        ]

    def raising(_version: View, _before: View | None) -> None:
        raise LookupError("no")

    def finding(_version: View, _before: View | None) -> Finding:
        return Finding("whatever", "is wrong", "track", "title", ("7",))

    own = {"titles": titles, "raising": raising, "finding": finding, "content": lambda *_: None, "text": lambda *_: "x"}
    producer = Producer(store, SCHEMA, validators=own)
    rows = with_tracks(changed(2, title=""))
    error = refused(producer, rows)
    assert sorted(map(str, error.findings)) == [
        'finding: type "track", field "title": is wrong',
        "raising: LookupError: no",
        "text: x",
        "titles: 0 lost its title",
        "titles: 1 lost its title",
    ]
    reasons = dict.fromkeys(("titles", "raising", "finding", "text"), "a test")
    cycle = producer.cycle(rows, allow=reasons)
    assert cycle.overrides == reasons


def test_own_validators_see_a_first_version_and_layers(tmp_path: Path):
    seen: list[tuple[int, int | None]] = []

    def look(version: View, before: View | None) -> None:
        seen.append((len(version["a"]), before and len(before["a"])))
        assert pa.table(version["a"]).num_rows == len(version["a"])

    producer = Producer(tmp_path / "store", Schema({"a": Type("id")}), validators={"look": look})
    for count in (100, 101, 102):
        producer.cycle({"a": [{"id": n} for n in range(count)]})
    producer.update({"a": [{"id": 500}]}, {"a": [1, 2]})
    producer.cycle({"a": [{"id": n} for n in (0, *range(3, 102), 500)]})
    assert seen == [(100, None), (101, 100), (102, 101), (101, 102)]


# Schemas


def test_changes_of_a_schema_pass_by_what_is_asked_for(store: LocalStore):
    more = [{**row, "new": 1} for row in tracks()]
    (finding,) = refused(Producer(store, limited({"schema-change": "none"})), with_tracks(more)).findings
    assert str(finding) == 'schema-change: type "track", field "new": the field is new'
    fewer = REFUSED["schema-change"][0]
    assert Producer(store, limited({"schema-change": "any"})).cycle(with_tracks(fewer), dry_run=True)
    assert Producer(store, limited({"schema-change": False})).cycle(with_tracks(fewer), dry_run=True)


def test_a_catalogue_of_another_name_is_not_published_by_mistake(store: LocalStore):
    other = Schema(SCHEMA.types, "films")
    (finding,) = refused(Producer(store, other), with_tracks(tracks())).findings
    assert finding.what == 'the namespace is "films", and was "default"'


def test_a_type_that_is_gone_is_told(store: LocalStore):
    schema = Schema({"artist": ARTIST})
    (finding,) = refused(Producer(store, schema), {"artist": ARTISTS}).findings
    assert str(finding) == 'schema-change: type "track": the type is gone'
    cycle = Producer(store, schema).cycle({"artist": ARTISTS}, allow={"schema-change": "a test"})
    assert cycle.gone == ("track",)
    assert bedeck.open(store.path).types == ["artist"]
