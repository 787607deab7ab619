"""Versions built over the one before: overlays and groups, proved against plain dicts."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chain import Chain, changed, subset
from oracle import Oracle, exact, printed, read_json, read_table
from small import scratch
from strategies import Rows, catalogues

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


def step(versions: Chain, old: Mapping[str, Rows], new: Mapping[str, Rows], source: random.Random) -> None:
    """One cycle, full or an update, checked."""
    told = {
        "threads": source.choice([1, 2, 3]),
        "shuffle": source.randrange(100),
        "compact_share": source.choice([LARGE, LARGE, 0.5]),
        "group_share": source.choice([0.05, 0.3, 2.0]),
    }
    if source.random() < 0.5:
        upserts, deleted = {}, {}
        for name, rows in new.items():
            before, after = records(old[name]), records(rows)
            kind = str(rows.key.kind)
            is_new = [before.get(printed(kind, key)) != after[printed(kind, key)] for key in rows.keys]
            upserts[name] = subset(rows, (i for i, other in enumerate(is_new) if other or source.random() < 0.1))
            deleted[name] = sorted(before.keys() - after.keys(), key=str)
        result = versions.over(upserts, target=new, deleted=deleted, update=True, **told)
        if isinstance(result, dict):
            check_counts(result, old, new)
            return
        assert "records" in result
    result = versions.over(new, **told)
    check_counts(result, old, new)


class Brief(dict[str, Rows]):
    """A catalogue that is told in a few lines, where it is at fault."""

    def __repr__(self) -> str:
        return super().__repr__()[:3_000]


@given(catalogues().map(Brief), st.integers(0, 1 << 32))
def test_versions_built_over_each_other_are_what_the_rows_say(catalogue: dict[str, Rows], seed: int) -> None:
    source = random.Random(seed)
    lost: dict[str, list[Any]] = {}
    with chain() as versions:
        columns = [column.name for rows in catalogue.values() for column in rows.columns]
        versions.base(catalogue, cold=source.sample(columns, min(len(columns), source.choice([0, 0, 2]))))
        for _ in range(source.randint(1, 5)):
            new = changed(catalogue, source, lost)
            step(versions, catalogue, new, source)
            check(versions, new, lost)
            whole = Chain_digests(versions, new)
            assert versions.digests == whole
            catalogue = new


def Chain_digests(versions: Chain, catalogue: Mapping[str, Rows]) -> dict[str, str]:
    """The digests that the rows have when they are built alone."""
    with chain() as others:
        others.base(catalogue)
        return others.digests
