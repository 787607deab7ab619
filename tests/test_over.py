"""Versions built over the one before: overlays and groups, proved against plain dicts."""

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bedeck
from bedeck import Key
from chain import Chain, Numbered, changed, subset
from oracle import Oracle, exact, printed, read_json, read_table
from small import scratch
from strategies import Column, Rows, base62, catalogues

LARGE = 1e6
NEVER = 1e9


@contextmanager
def chain() -> Iterator[Chain]:
    with scratch() as folder:
        yield Chain(folder)


def records(rows: Rows) -> dict[Any, dict[str, Any]]:
    """The records by key, in a form that tells one from another."""
    kinds = {column.name: column for column in rows.columns}
    found = Oracle({rows.name: rows}).records[rows.name]
    return {
        printed(str(rows.key.kind), key): {n: exact(v) for n, v in found[key].items() if n in kinds} for key in found
    }


def check(versions: Chain, catalogue: Mapping[str, Rows], strangers: Mapping[str, list[Any]]) -> None:
    """The version answers as dicts of the rows do, by every way there is."""
    version, oracle = versions.version, Oracle(catalogue)
    for name, rows in catalogue.items():
        kind = str(rows.key.kind)
        assert version.len(name) == len(rows.keys)
        assert sorted(map(str, version.keys(name))) == sorted(str(printed(kind, key)) for key in rows.keys)
        ids = [*rows.keys, *strangers.get(name, ()), *rows.keys[:2]]
        ways = [f"{column.reference}.id" for column in rows.columns if column.target is not None]
        for fields in (None, ["id"], *([way] for way in ways)):
            compiled = version.compile(name, fields)
            assert exact(compiled.decorate(ids, "null", None)) == exact(oracle.decorate(name, ids, fields))
            answer = read_json(compiled.decorate_json(ids, "null", None))
            assert exact(answer) == exact(oracle.decorate_json(name, ids, fields))
        whole = oracle.whole(name)
        table = read_table(Streamed(version.whole(name).scan()))
        expected = oracle.decorate_arrow(name, list(version.keys(name)), whole)
        assert exact(table) == exact(expected)


class Streamed:
    """What the core streams, as pyarrow takes it."""

    def __init__(self, scan: Any) -> None:
        self.scan = scan

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.scan.__arrow_c_stream__()


def check_counts(result: Mapping[str, Any], old: Mapping[str, Rows], new: Mapping[str, Rows]) -> None:
    """What a cycle tells of its changes is what a comparison of dicts tells."""
    for name, rows in new.items():
        told, before, after = result[name], records(old[name]), records(rows)
        both = before.keys() & after.keys()
        names = [column.name for column in rows.columns]
        assert told["records"] == len(after)
        assert told["changes"]["added"] == len(after.keys() - before.keys())
        assert told["changes"]["removed"] == len(before.keys() - after.keys())
        fields = {n: sum(before[key][n] != after[key][n] for key in both) for n in names}
        assert told["changes"]["fields"] == fields
        assert told["changes"]["changed"] == sum(before[key] != after[key] for key in both)
        assert told["nulls"] == {column.name: column.values.count(None) for column in rows.columns}
        assert told["dangling"] == dangling(rows, new)


def dangling(rows: Rows, catalogue: Mapping[str, Rows]) -> dict[str, list[int]]:
    found = {}
    for column in rows.columns:
        if column.target is None:
            continue
        kind = str(catalogue[column.target].key.kind)
        known = {printed(kind, key) for key in catalogue[column.target].keys}
        named = [key for value in column.values if value is not None for key in (value if column.is_list else [value])]
        lost = [printed(kind, key) for key in named if key is not None and printed(kind, key) not in known]
        if lost:
            found[column.name] = [len(lost), len(set(lost))]
    return found


def upserts(rows: Rows, old: Rows, source: random.Random) -> Rows:
    """Rows that are not as they were, and a few that are."""
    before, after, kind = records(old), records(rows), str(rows.key.kind)
    is_new = [before.get(printed(kind, key)) != after[printed(kind, key)] for key in rows.keys]
    return subset(rows, (i for i, other in enumerate(is_new) if other or source.random() < 0.1))


def removed(rows: Rows, old: Rows) -> list[Any]:
    return sorted(records(old).keys() - records(rows).keys(), key=str)


def step(versions: Chain, old: Mapping[str, Rows], new: Mapping[str, Rows], source: random.Random) -> None:
    """One cycle, full or an update, checked."""
    told = {
        "threads": source.choice([1, 2, 3]),
        "shuffle": source.randrange(100),
        "compact_share": source.choice([LARGE, LARGE, 0.5]),
        "group_share": source.choice([0.05, 0.3, 2.0]),
    }
    if source.random() < 0.5:
        rows = {name: upserts(of, old[name], source) for name, of in new.items()}
        deleted = {name: removed(of, old[name]) for name, of in new.items()}
        result = versions.over(rows, target=new, deleted=deleted, update=True, **told)
        if isinstance(result, dict):
            check_counts(result, old, new)
            return
        assert "records" in result
    result = versions.over(new, **told)
    check_counts(result, old, new)


class Brief(dict[str, Rows]):
    """A catalogue of few records, told in a few lines where it is at fault."""

    def __init__(self, catalogue: Mapping[str, Rows]) -> None:
        super().__init__({name: subset(rows, range(min(len(rows.keys), 40))) for name, rows in catalogue.items()})

    def __repr__(self) -> str:
        return super().__repr__()[:3_000]


@settings(max_examples=settings.default.max_examples // 2)
@given(catalogues().map(Brief), st.integers(0, 1 << 32))
def test_versions_built_over_each_other_are_what_the_rows_say(catalogue: dict[str, Rows], seed: int) -> None:
    source = random.Random(seed)
    lost: dict[str, list[Any]] = {}
    with chain() as versions:
        versions.base(catalogue)
        for _ in range(source.randint(1, 5)):
            new = changed(catalogue, source, lost)
            step(versions, catalogue, new, source)
            check(versions, new, lost)
            assert versions.digests == alone(new)
            catalogue = new


def alone(catalogue: Mapping[str, Rows]) -> dict[str, str]:
    """The digests that the rows have when they are built alone."""
    with chain() as others:
        others.base(catalogue)
        return others.digests


@settings(max_examples=settings.default.max_examples // 2)
@given(catalogue=catalogues().map(Brief), seed=st.integers(0, 1 << 32), update=st.booleans())
def test_the_same_bytes_come_of_the_same_records_whatever_the_order_and_the_threads(
    catalogue: dict[str, Rows], seed: int, *, update: bool
) -> None:
    source = random.Random(seed)
    with chain() as versions:
        versions.base(catalogue)
        between = changed(catalogue, source, {})
        versions.over(between, compact_share=LARGE)
        new = changed(between, source, {})
        rows = {name: upserts(of, between[name], source) for name, of in new.items()} if update else new
        deleted = {name: removed(new[name], between[name]) for name in new} if update else {}
        told = {"target": new, "deleted": deleted, "update": update, "compact_share": LARGE}
        one = versions.attempt(rows, threads=1, **told)
        other = versions.attempt(rows, threads=3, shuffle=seed, **told)
        assert one.result == other.result
        assert one.files() == other.files()


# Tracks and artists


def artists(names: Mapping[str, str]) -> Rows:
    return Rows(
        "artist",
        Key("id", "string"),
        signed=True,
        keys=list(names),
        columns=[Column("name", "string", list(names.values()))],
    )


def tracks(rows: Mapping[int, tuple[str, int | None, list[str]]], popularity: str = "uint8") -> Rows:
    titles, numbers, named = ([row[place] for row in rows.values()] for place in range(3))
    columns = [
        Column("title", "string", titles),
        Column("popularity", popularity, numbers),
        Column("artist_ids", "list<reference>", named, "artists", "artist"),
    ]
    return Rows("track", Key("id", "base62"), signed=True, keys=[base62(key) for key in rows], columns=columns)


MANY = {key: (f"title {key}", key % 90, [f"a{key % 20}"]) for key in range(1_000)}
PEOPLE = {f"a{i}": f"artist {i}" for i in range(20)}


def music(rows: Mapping[int, tuple[str, int | None, list[str]]], people: Mapping[str, str] = PEOPLE) -> dict[str, Rows]:
    return {"artist": artists(people), "track": tracks(rows)}


def titled(key: int) -> tuple[str, int | None, list[str]]:
    return (f"another title {key}", *MANY[key][1:])


def section(versions: Chain, name: str, layer: int, section: str) -> int:
    """The bytes of a section of a layer."""
    return json.loads(versions.version.directories(name))[layer]["sections"][section]["length"]


def test_nothing_new_keeps_every_layer():
    with chain() as versions:
        versions.base(music(MANY))
        versions.over(music(MANY | {7: titled(7)}))
        for told in ({}, {"update": True}):
            attempt = versions.attempt(music(MANY | {7: titled(7)}), **told)
            assert {type_["kind"] for type_ in attempt.result["types"]} == {"kept"}
            assert {type_["name"]: type_["digest"] for type_ in attempt.result["types"]} == versions.digests
            assert attempt.files() == {}


def test_what_changed_goes_into_an_overlay_and_the_rest_stays():
    with chain() as versions:
        versions.base(music(MANY))
        new = music({key: MANY[key] for key in range(1, 1_000)} | {7: titled(7), 5_000: ("new", None, ["a3"])})
        result = versions.over(new)
        assert result["artist"]["kind"], result["track"]["kind"] == ("kept", "over")
        assert versions.layers("track") == ["base", "overlay"]
        assert section(versions, "track", 1, "places") == 4 * 2
        assert section(versions, "track", 1, "inserted") == 4
        check(versions, new, {"track": [base62(0)]})
        # What is as the base has it again leaves the overlay.
        result = versions.over(music(MANY))
        assert result["track"]["changes"] | {"fields": {}} == {"added": 1, "removed": 1, "changed": 1, "fields": {}}
        assert section(versions, "track", 1, "places") == 0
        check(versions, music(MANY), {"track": [base62(5_000)]})


def test_a_number_that_changes_everywhere_goes_into_a_group():
    with chain() as versions:
        versions.base(music(MANY))
        slots = json.loads(versions.version.directories("track"))[0]["index"]
        for day in range(1, 4):
            risen = {
                key: (title, None if key == 3 else day + (number + key) % 90, named)
                for key, (title, number, named) in MANY.items()
            }
            result = versions.over(music(risen))
            assert versions.layers("track") == ["base", "group"]
            assert result["track"]["changes"]["fields"]["popularity"] > 900
            assert section(versions, "track", 1, "records") == slots["parts"] * slots["slots"] + 64
            check(versions, music(risen), {})
        few = risen | {key: (risen[key][0], 99, risen[key][2]) for key in range(10, 20)}
        versions.over(music(few))
        assert versions.layers("track") == ["base", "group", "overlay"]
        check(versions, music(few), {})


def test_numbers_of_keys_inserted_since_the_base_are_never_used_again():
    with chain() as versions:
        versions.base(music(MANY))
        for step, extra in enumerate([[5_000, 5_001], [5_001], [5_000, 5_001, 5_002], []]):
            new = music(MANY | {key: ("new", 1, []) for key in extra})
            versions.over(new)
            assert section(versions, "track", 1, "inserted") == 4 * [2, 2, 4, 4][step]
            check(versions, new, {"track": [base62(5_000)]})


def test_references_lead_to_records_as_they_come_and_go():
    states = [
        {},
        {"b1": "inserted"},
        {"b1": "inserted", "b2": "another"},
        {"b2": "another"},
        {"b1": "again", "b2": "another"},
    ]
    named = MANY | {1: ("to be", 1, ["b1", "b2", "a1"]), 2: ("was", 2, ["a1", "a2"])}
    with chain() as versions:
        versions.base(music(named))
        before = PEOPLE
        for update in (False, True):
            for extra in states:
                people = {key: name for key, name in (PEOPLE | extra).items() if extra or key != "a1"}
                rows = named | {3: ("late", len(extra), ["b1", "a1"])}
                if update:
                    old, new = before.items(), people.items()
                    changes = {"artist": artists(dict(new - old)), "track": tracks({3: rows[3]})}
                    gone = {"artist": sorted(before.keys() - people.keys())}
                    result = versions.over(changes, target=music(rows), update=True, deleted=gone, compact_share=2.0)
                else:
                    result = versions.over(music(rows, people), compact_share=2.0)
                check(versions, music(rows, people), {"artist": ["a1", "b1", "b2"]})
                assert result["track"]["dangling"] == dangling(tracks(rows), music(rows, people))
                before = people


def test_too_much_starts_anew_all_that_references_connect():
    with chain() as versions:
        versions.base(music(MANY))
        stages = []
        new = music({key: titled(key) for key in range(300)} | {key: MANY[key] for key in range(300, 1_000)})
        result = versions.over(new, report=lambda *at: stages.append(at))
        assert {of["kind"] for of in result.values()} == {"anew"}
        assert {of["reason"] for of in result.values()} == {
            'type "track": 300 records are replaced, inserted or deleted over a base of 1000, and 200 may be'
        }
        assert [(name, of > 0) for name, stage, _, of in stages if stage == "compact"] == [
            ("artist", True),
            ("track", True),
        ]
        assert result["track"]["changes"]["fields"] == {"title": 300, "popularity": 0, "artist_ids": 0}
        assert result["artist"]["epoch"] == result["track"]["epoch"]
        check(versions, new, {})


def test_a_small_type_may_change_in_full_where_it_is_connected_with_a_large_one():
    with chain() as versions:
        versions.base(music(MANY))
        new = music(MANY, {f"a{i}": f"renamed {i}" for i in range(10)})
        assert versions.over(new, compact_share=1.0)["artist"]["kind"] == "over"
        check(versions, new, {"artist": ["a15"]})
        assert versions.over(music(MANY), compact_share=0.1)["artist"]["kind"] == "over"
        new = music({}, {f"a{i}": f"renamed {i}" for i in range(10)})
        assert versions.over(new, compact_share=0.1)["artist"]["kind"] == "anew"


def test_an_update_that_takes_new_bases_says_so_and_writes_nothing():
    with chain() as versions:
        versions.base(music(MANY))
        few = music({key: titled(key) for key in range(300)}, {})
        for told in ({}, {"compact_share": 1.0, "compact": True}):
            attempt = versions.attempt(few, target=music(MANY), update=True, **told)
            assert "compact" in attempt.result
            assert attempt.files() == {}


def test_new_bases_can_be_asked_for():
    with chain() as versions:
        versions.base(music(MANY))
        versions.over(music(MANY | {7: titled(7)}))
        result = versions.over(music(MANY | {7: titled(7)}), compact=True)
        assert {of["kind"] for of in result.values()} == {"anew"}
        assert result["track"]["changes"]["changed"] == 0
        assert versions.layers("track") == ["base"]


def test_fields_come_go_widen_and_are_renamed_over_a_base():
    def of(rows: Rows, *columns: tuple[int, Column]) -> dict[str, Rows]:
        numbers, described = zip(*columns, strict=True)
        numbered = Numbered(rows.name, rows.key, signed=True, keys=rows.keys, columns=list(described), numbers=numbers)
        return {"artist": artists(PEOPLE), "track": numbered}

    old = tracks(MANY)
    title, popularity, named = old.columns
    length = Column("length", "int32", [key * 1_000 for key in MANY])
    note = Column("note", "string", [None] * 999 + ["only one"])
    wide = Column("popularity", "int64", [*popularity.values[:-1], -(1 << 40)])
    renamed = Column("name", "string", title.values)
    with chain() as versions:
        versions.base(of(old, (0, title), (3, popularity), (6, named)))
        steps = [
            ("group", [(0, title), (3, popularity), (6, named), (7, length)]),
            ("overlay", [(0, title), (3, popularity), (6, named), (7, length), (8, note)]),
            ("overlay", [(0, title), (3, wide), (6, named), (7, length), (8, note)]),
            ("overlay", [(0, renamed), (3, wide), (6, named), (8, note)]),
        ]
        for newest, columns in steps:
            new = of(old, *columns)
            result = versions.over(new)
            assert result["track"]["kind"] != "anew"
            assert versions.layers("track")[-1] == newest
            check(versions, new, {})
            assert versions.digests == alone(new)
        update = {"artist": artists({}), "track": subset(new["track"], [])}
        assert versions.over(update, target=new, update=True)["track"]["kind"] == "kept"
        narrow = of(old, (0, renamed), (6, named))
        result = versions.over({**update, "track": subset(narrow["track"], [5])}, target=narrow, update=True)
        assert versions.digests == alone(narrow)
        text = Column("popularity", "string", ["many"] * 1_000)
        result = versions.over(of(old, (0, renamed), (3, text), (6, named)))
        assert {of_type["kind"] for of_type in result.values()} == {"anew"}
        assert "popularity" in result["track"]["reason"]


@pytest.mark.parametrize("update", [False, True])
def test_keys_of_another_kind_start_anew(*, update: bool):
    with chain() as versions:
        versions.base(music(MANY))
        other = music(MANY)
        other["track"] = replace(other["track"], key=Key("id", "string"))
        if update:
            assert "key" in versions.over(other, update=True)
        else:
            assert (
                versions.over(other)["track"]["reason"] == 'type "track": its key is "id", string, and was "id", base62'
            )


def test_a_key_cannot_be_given_and_deleted():
    with chain() as versions:
        versions.base(music(MANY))
        rows = music({7: titled(7)}, {})
        with pytest.raises(bedeck.SourceError, match=r"track.*given and deleted"):
            versions.over(rows, target=music(MANY), deleted={"track": [base62(7)]}, update=True)


def test_what_is_not_there_is_deleted_without_a_word():
    with chain() as versions:
        versions.base(music(MANY))
        deleted = {"track": [base62(5_000), "not a key"], "artist": [b"none", "a3"]}
        result = versions.over(music({}, {}), target=music(MANY), deleted=deleted, update=True)
        assert result["track"]["kind"] == "kept"
        assert result["artist"]["changes"]["removed"] == 1


@pytest.mark.parametrize("update", [False, True])
@pytest.mark.parametrize("on_duplicate", ["error", "first", "last"])
def test_of_rows_with_one_key_the_type_says_which_is_kept(*, update: bool, on_duplicate: str):
    kept = {"first": ("first", 1, []), "last": ("last", 2, [])}
    rest = tracks({} if update else {key: MANY[key] for key in MANY if key != 7})
    rows = joined(rest, *(tracks({7: row}) for row in kept.values()))
    new = {"artist": artists({} if update else PEOPLE), "track": rows}
    with chain() as versions:
        versions.base(music(MANY))
        told = {"target": music(MANY), "update": update, "spec": {"on_duplicate": on_duplicate}}
        if on_duplicate == "error":
            with pytest.raises(bedeck.DuplicateKeyError, match=r'type "track", key "id": 1 row too many.*\n.*rows row'):
                versions.over(new, **told)
        else:
            assert versions.over(new, **told)["track"]["dropped"] == 1
            check(versions, music(MANY | {7: kept[on_duplicate]}), {})


def joined(*parts: Rows) -> Rows:
    """The rows of all, one after the other."""
    columns = [
        replace(same[0], values=[value for column in same for value in column.values])
        for same in zip(*(rows.columns for rows in parts), strict=True)
    ]
    return replace(parts[0], keys=[key for rows in parts for key in rows.keys], columns=columns)


def test_strict_types_refuse_records_that_still_refer_to_what_is_deleted():
    with chain() as versions:
        versions.base(music(MANY), strict=True)
        told = {"target": music(MANY), "update": True, "spec": {"strict": True}}
        with pytest.raises(bedeck.DanglingReferenceError, match=r'50 references to 1 key without.*"a3"'):
            versions.over(music({}, {}), deleted={"artist": ["a3"]}, **told)
        rows = {key: (*MANY[key][:2], []) for key in MANY if key % 20 == 3}
        versions.over(music(rows, {}), deleted={"artist": ["a3"]}, **told)


def test_fields_that_a_base_has_aside_are_overlaid_with_the_rest():
    def of(rows: Mapping[int, tuple[str, int | None, list[str]]]) -> dict[str, Rows]:
        long = tracks({key: (title * 20, number, named) for key, (title, number, named) in rows.items()})
        return {"artist": artists(PEOPLE), "track": replace(long, hot=("popularity",))}

    with chain() as versions:
        versions.base(of(MANY))
        assert versions.layers("track") == ["base", "group"]
        check(versions, of(MANY), {})
        risen = {key: (title, (number + key) % 90, named) for key, (title, number, named) in MANY.items()}
        for new, layers in [
            (MANY | {7: titled(7), 5_000: ("new", 1, ["a1"])}, ["base", "group", "overlay"]),
            (risen | {8: titled(8)}, ["base", "group", "group", "overlay"]),
        ]:
            versions.over(of(new))
            assert versions.layers("track") == layers
            check(versions, of(new), {})
            assert versions.digests == alone(of(new))


@pytest.mark.parametrize("stop", ["sift", "resolve", "write", "check"])
def test_what_a_report_raises_ends_it(stop: str):
    def refuse(_name: str, stage: str, _done: int, _of: int) -> None:
        if stage == stop:
            raise KeyboardInterrupt

    with chain() as versions:
        versions.base(music(MANY))
        with pytest.raises(KeyboardInterrupt):
            versions.over(music(MANY | {7: titled(7)}), report=refuse)
        versions.over(music(MANY | {7: titled(7)}))
        check(versions, music(MANY | {7: titled(7)}), {})
