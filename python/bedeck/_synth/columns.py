"""Arrow columns made straight from numpy arrays: no Python object a value."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Mask", "Sets", "booleans", "categories", "lists", "numbers", "texts"]

Mask = npt.NDArray[np.bool_]


def texts(rows: npt.NDArray[np.uint8], valid: Mask | None = None) -> pa.Array:
    """Return an (n, width) array of characters as a string column, null where it is not valid."""
    n, width = rows.shape
    ends = np.arange(0, n * width + 1, width, dtype=np.int32)
    return pa.StringArray.from_buffers(n, pa.py_buffer(ends), pa.py_buffer(rows), _bitmap(valid))


def numbers(values: npt.NDArray[np.integer], kind: pa.DataType, valid: Mask | None = None) -> pa.Array:
    """Return numbers as a column of an Arrow type of their width, null where they are not valid."""
    return pa.Array.from_buffers(kind, len(values), [_bitmap(valid), pa.py_buffer(values)])


def booleans(values: Mask) -> pa.Array:
    """Return a boolean column."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _bitmap(values)])


def categories(choices: npt.NDArray[np.integer], values: pa.Array) -> pa.Array:
    """Return a dictionary column: the values at these places.

    The values must differ: Parquet files get stray bytes of memory where they do not (pyarrow 26).
    """
    return pa.DictionaryArray.from_arrays(pa.array(choices), values, safe=False)


def lists(counts: npt.NDArray[np.integer], values: pa.Array) -> pa.Array:
    """Return a column of lists: the first counts[0] values, the next counts[1], and so on."""
    ends = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=ends[1:])
    return pa.Array.from_buffers(pa.list_(values.type), len(counts), [None, pa.py_buffer(ends)], children=[values])


class Sets:
    """A table of distinct lists of words (256 different ones at most), of which columns are made at a byte an item."""

    type = pa.list_(pa.dictionary(pa.uint8(), pa.string()))

    def __init__(self, words: Sequence[str], members: Sequence[bytes]) -> None:
        """Take the words, and each list as the places of its words."""
        self._words = pa.array(words, pa.string())
        self._members = pa.array(members, pa.binary())

    def column(self, choices: npt.NDArray[np.integer]) -> pa.Array:
        """Return the column of the lists at these places of the table."""
        n = len(choices)
        _, ends, places = self._members.take(pa.array(choices)).buffers()  # copied list by list, not item by item
        items = int(np.frombuffer(ends, np.int32)[n])
        codes = pa.Array.from_buffers(pa.uint8(), items, [None, places])
        values = pa.DictionaryArray.from_arrays(codes, self._words, safe=False)
        return pa.Array.from_buffers(self.type, n, [None, ends], children=[values])


def _bitmap(valid: Mask | None) -> pa.Buffer | None:
    return None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
