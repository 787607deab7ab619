"""Random catalogues: the native core, the reference reader and a plain dict give the same answers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

import bedeck
from bedeck import Catalogue, Schema, reference
from oracle import Oracle, exact, read_json, read_table
from small import scratch
from strategies import Rows, catalogues, paths, requests, table_of, type_of


@contextmanager
def built(catalogue: Mapping[str, Rows]) -> Iterator[tuple[Catalogue, reference.Store, Oracle]]:
    with scratch() as folder:
        schema = Schema({name: type_of(rows) for name, rows in catalogue.items()})
        bedeck.build(schema, folder / "store", {name: table_of(rows, catalogue) for name, rows in catalogue.items()})
        yield bedeck.open(folder / "store"), reference.open(folder / "store"), Oracle(catalogue)


@given(catalogues(), st.data())
def test_lists_are_decorated_alike(catalogue: dict[str, Rows], data: st.DataObject):
    with built(catalogue) as (ours, theirs, oracle):
        for name, rows in catalogue.items():
            fields, ids = data.draw(paths(catalogue, name)), data.draw(requests(rows))
            records, table = ours[name], theirs[name]
            expected = oracle.decorate(name, ids, fields)
            assert exact(records.decorate(ids, fields)) == exact(expected)
            assert exact(table.decorate(ids, fields)) == exact(expected)
            expected_json = exact(oracle.decorate_json(name, ids, fields))
            assert exact(read_json(records.decorate_json(ids, fields))) == expected_json
            assert exact(read_json(table.decorate_json(ids, fields))) == expected_json
            answer = pa.table(records.decorate_arrow(ids, fields))
            assert answer.schema == oracle.schema(name, fields)
            assert answer.num_rows == len(ids)
            if fields != []:
                assert exact(read_table(answer)) == exact(oracle.decorate_arrow(name, ids, fields))
            found = [row for row in expected if row is not None]
            assert exact(records.decorate(ids, fields, missing="drop")) == exact(found)
            selection = records.select(*(oracle.whole(name)[1:] if fields is None else fields))
            lazy = [record if record is None else dict(record) for record in selection.records(ids)]
            assert exact(lazy) == exact(expected)


@given(catalogues())
def test_whole_types_are_alike(catalogue: dict[str, Rows]):
    with built(catalogue) as (ours, theirs, oracle):
        for name, rows in catalogue.items():
            records, table, whole = ours[name], theirs[name], oracle.whole(name)
            assert len(records) == len(table) == len(rows.keys)
            assert list(records) == list(table)
            assert sorted(records) == sorted(rows.keys)
            answer = pa.table(records)
            assert answer.schema == oracle.schema(name, whole)
            assert exact(read_table(answer)) == exact(oracle.decorate_arrow(name, list(records), whole))
            expected = exact(oracle.decorate(name, list(records), whole))
            assert exact([dict(record) for record in records.values()]) == expected
            assert exact([values for _, values in table.items(whole)]) == expected
            described = ours.info()["types"][name]
            assert table.digest() == described["digest"]
            assert table.epoch() == described["epoch"]
            for column, field in zip(rows.columns, described["fields"], strict=True):
                assert (field["name"], field["type"]) == (column.name, column.type)
                assert field["nulls"] == column.values.count(None)
