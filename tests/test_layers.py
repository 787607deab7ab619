"""Random versions of many layers, none of them by the builder: all readers answer as a dict that has what is left."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

import alike
import bedeck
from bedeck import Catalogue, reference
from layered import Layered, lay, layered
from oracle import Oracle
from small import scratch


@contextmanager
def laid(pasts: Layered, seed: int) -> Iterator[tuple[Catalogue, reference.Store, Oracle]]:
    with scratch() as folder:
        store = lay(folder, pasts, Random(seed))
        oracle = Oracle(
            {name: past.now for name, past in pasts.items()}, {name: past.known for name, past in pasts.items()}
        )
        yield bedeck.open(store), reference.open(store), oracle


@given(layered(), st.integers(0, 2**32), st.data())
def test_lists_are_decorated_alike(pasts: Layered, seed: int, data: st.DataObject):
    with laid(pasts, seed) as (ours, theirs, oracle):
        alike.lists(ours, theirs, oracle, data)


@settings(max_examples=settings().max_examples // 5)  # all of it is hashed, in plain Python
@given(layered(), st.integers(0, 2**32))
def test_whole_types_are_alike(pasts: Layered, seed: int):
    with laid(pasts, seed) as (ours, theirs, oracle):
        alike.whole_types(ours, theirs, oracle)
        for table in theirs.tables.values():
            assert table.digest() == table.described["digest"].text()
            assert table.epoch() == table.described["epoch"].text()
