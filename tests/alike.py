"""What the native core, the reference reader and a plain dict have to answer alike."""

import pyarrow as pa
from hypothesis import strategies as st

from bedeck import Catalogue, reference
from oracle import Oracle, exact, read_json, read_table
from strategies import paths, requests

__all__ = ["lists", "whole_types"]


def lists(ours: Catalogue, theirs: reference.Store, oracle: Oracle, data: st.DataObject) -> None:
    """Lists of ids with some fields, in every form."""
    for name in oracle.catalogue:
        fields, ids = data.draw(paths(oracle.catalogue, name)), data.draw(requests(oracle.known[name]))
        records, table = ours[name], theirs[name]
        expected = oracle.decorate(name, ids, fields)
        assert exact(records.decorate(ids, fields)) == exact(expected)
        assert exact(table.decorate(ids, fields)) == exact(expected)
        expected_json = exact(oracle.decorate_json(name, ids, fields))
        assert exact(read_json(records.decorate_json(ids, fields))) == expected_json
        assert exact(read_json(table.decorate_json(ids, fields))) == expected_json
        fragments = [b"null" if fragment is None else fragment for fragment in records.fragments(ids, fields)]
        assert b"[%b]" % b",".join(fragments) == records.decorate_json(ids, fields)
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
        assert [key in records for key in ids] == [row is not None for row in expected]


def whole_types(ours: Catalogue, theirs: reference.Store, oracle: Oracle) -> None:
    """All there is of each type, in the order of its records."""
    for name, rows in oracle.catalogue.items():
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
