"""Random catalogues: the native core, the reference reader and a plain dict give the same answers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

import alike
import bedeck
from bedeck import Catalogue, Schema, reference
from oracle import Oracle
from small import scratch
from strategies import Rows, catalogues, table_of, type_of


@contextmanager
def built(catalogue: Mapping[str, Rows]) -> Iterator[tuple[Catalogue, reference.Store, Oracle]]:
    with scratch() as folder:
        schema = Schema({name: type_of(rows) for name, rows in catalogue.items()})
        bedeck.build(schema, folder / "store", {name: table_of(rows, catalogue) for name, rows in catalogue.items()})
        yield bedeck.open(folder / "store"), reference.open(folder / "store"), Oracle(catalogue)


@given(catalogues(), st.data())
def test_lists_are_decorated_alike(catalogue: dict[str, Rows], data: st.DataObject):
    with built(catalogue) as (ours, theirs, oracle):
        alike.lists(ours, theirs, oracle, data)


@settings(max_examples=settings().max_examples // 5)  # all of it is hashed, in plain Python
@given(catalogues())
def test_whole_types_are_alike(catalogue: dict[str, Rows]):
    with built(catalogue) as (ours, theirs, oracle):
        alike.whole_types(ours, theirs, oracle)
        for name, rows in catalogue.items():
            described = ours.info()["types"][name]
            assert theirs[name].digest() == described["digest"]
            assert theirs[name].epoch() == described["epoch"]
            for column, field in zip(rows.columns, described["fields"], strict=True):
                assert (field["name"], field["type"]) == (column.name, column.type)
                assert field["nulls"] == column.values.count(None)
