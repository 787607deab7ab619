"""pyarrow beside a dict: which row an id has is known to Python, what is in it to Arrow."""

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.data import Data
from benchmarks.jobs import COLUMNS, Answer, Job
from benchmarks.peers.objects import finish
from benchmarks.peers.peer import Peer
from benchmarks.peers.sorted import SortedTable, tracks

__all__ = ["DictAndArrow"]


class DictAndArrow(Peer):
    """`{id: row}` and an Arrow table."""

    name = "pyarrow + dict of rows"
    about = (
        "`dict[str, int]` from ids to rows of the mapped file of the peer above; a `take` for each column (null for an "
        "unknown id), a comprehension over literal dicts. `pyarrow.compute` itself has no index: `is_in` reads "
        "all ids for every list, `index_in` hashes them anew."
    )
    bytes_a_track = 450

    def __init__(self, data: Data, job: Job) -> None:  # noqa: ARG002 - it answers all
        self._table = SortedTable(tracks(data))
        self.mapped = [self._table.bytes]
        self._row = {id_: row for row, id_ in enumerate(self._table.texts())}.get
        self._batch = pa.record_batch({name: self._table.columns[name] for name in COLUMNS.fields[1:]})
        self.warm()

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:  # noqa: ARG003 - one file answers all
        """The file of the sorted table."""
        return [tracks(data)]

    def answer(self, job: Job) -> Answer:
        """Objects made of columns, or those columns."""
        return self._columns if job.name == "columns" else partial(self._objects, job)

    def _objects(self, job: Job, ids: list[str]) -> Any:  # noqa: ANN401 - bytes or list
        found = list(map(self._row, ids))
        rows, columns = pa.array(found, pa.int64()), self._table.columns
        values = [ids if name == "id" else columns[name].take(rows).to_pylist() for name in job.columns]
        if job.name == "json":
            place = job.columns.index("artists")
            values[place] = [text or "null" for text in values[place]]
        return finish(job, values, [place for place, row in enumerate(found) if row is None])

    def _columns(self, ids: list[str]) -> pa.RecordBatch:
        found = list(map(self._row, ids))
        known = [None if row is None else id_ for id_, row in zip(ids, found, strict=True)]
        return self._batch.take(pa.array(found, pa.int64())).add_column(0, "id", pa.array(known, pa.string()))
