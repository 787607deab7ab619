"""Arrow IPC, mapped, found by searchsorted, gathered by take: the rival that shares its memory too."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.data import Data
from benchmarks.jobs import COLUMNS, Answer, Job
from benchmarks.peers.objects import finish
from benchmarks.peers.peer import Peer
from benchmarks.peers.sorted import SortedTable, tracks

__all__ = ["SortedArrow"]

_NUMBERS = ("duration_ms", "popularity", "track_number")
_GATHERED = COLUMNS.fields[1:]


class SortedArrow(Peer):
    """A column for each field, any of which can be asked for."""

    name = "Arrow IPC + searchsorted + take"
    about = (
        "one uncompressed Arrow IPC file, mapped, sorted by 64 bits made of the first 16 characters of the id (8 would "
        "not be unique at this size). A list is one `np.searchsorted` of its sorted 64-bit keys, one comparison with "
        "the full ids, a gather for each column (numpy for numbers, `take` and `to_pylist` for text) and a "
        "comprehension over literal dicts; columns are one `take`. Artists' names are denormalised into the track, as "
        "text that is already JSON (`orjson.Fragment`): that is faster for it than a list of names, and than a second "
        "such table."
    )
    bytes_a_track = 450

    def __init__(self, data: Data, job: Job) -> None:  # noqa: ARG002 - it answers all
        self._table = SortedTable(tracks(data))
        self.mapped = [self._table.bytes]
        columns = self._table.columns
        self._numbers = {name: columns[name].to_numpy() for name in _NUMBERS}
        self._explicit = np.frombuffer(columns["explicit"].buffers()[1], np.uint8)
        self._batch = pa.record_batch({name: columns[name] for name in _GATHERED})
        self.warm()

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:  # noqa: ARG003 - one file answers all
        """Denormalise the names, sort, write."""
        return [tracks(data)]

    def answer(self, job: Job) -> Answer:
        """Objects made of columns, or those columns."""
        return self._columns if job.name == "columns" else partial(self._objects, job)

    def _objects(self, job: Job, ids: list[str]) -> Any:  # noqa: ANN401 - bytes or list
        found, rows = self._table.find(ids)
        indices = pa.array(rows)
        columns = [ids if name == "id" else self._values(name, rows, indices) for name in job.columns]
        return finish(job, columns, np.flatnonzero(~found).tolist())

    def _values(self, name: str, rows: npt.NDArray[np.int64], indices: pa.Array) -> list[Any]:
        values: list[Any]
        if name == "explicit":
            values = (self._explicit[rows >> 3] >> (rows & 7) & 1).astype(np.bool_).tolist()
        elif name in self._numbers:
            values = self._numbers[name][rows].tolist()
        else:
            values = self._table.columns[name].take(indices).to_pylist()
        return values

    def _columns(self, ids: list[str]) -> pa.RecordBatch:
        found, rows = self._table.find(ids)
        gathered = self._batch.take(pa.array(rows, mask=~found))
        return gathered.add_column(0, "id", pa.array(ids, pa.string(), mask=~found))
