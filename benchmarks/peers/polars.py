"""polars: a data frame in memory, searched and gathered."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.data import Data
from benchmarks.jobs import Answer, Job
from benchmarks.peers.objects import finish
from benchmarks.peers.peer import Peer
from benchmarks.peers.sorted import SortedTable, hashes, tracks

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # to hand a list to other threads takes longer than to answer it
import polars as pl

__all__ = ["Polars"]


class Polars(Peer):
    """A sorted frame."""

    name = "polars"
    about = (
        "one thread; a `DataFrame` sorted by the same 64 bits: `np.searchsorted`, `frame[rows]` of the columns asked "
        "for, a comparison with the full ids, `to_list` of each column and a comprehension over literal dicts; columns "
        "are one `gather`, null for an unknown id. (`filter(is_in)` and `join` read or hash the whole frame for every "
        "list: 100 times slower.)"
    )
    bytes_a_track = 700

    def __init__(self, data: Data, job: Job) -> None:  # noqa: ARG002 - it answers all
        columns = SortedTable(tracks(data)).columns
        columns["id"] = columns["id"].cast(pa.binary()).cast(pa.string())
        frame = pl.DataFrame(pa.table(columns)).rechunk()
        self._hashes = frame["hash"].to_numpy()
        self._frame = frame.drop("hash")

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:  # noqa: ARG003 - one file answers all
        """The file of the sorted table."""
        return [tracks(data)]

    def answer(self, job: Job) -> Answer:
        """Objects made of columns, or those columns."""
        wanted = self._frame.select(list(dict.fromkeys(("id", *job.columns))))
        return partial(self._columns if job.name == "columns" else partial(self._objects, job), wanted)

    def _objects(self, job: Job, wanted: pl.DataFrame, ids: list[str]) -> Any:  # noqa: ANN401 - bytes or list
        gathered = wanted[self._rows(ids)]
        columns = {column.name: column.to_list() for column in gathered}
        unknown = [place for place, (id_, found) in enumerate(zip(ids, columns["id"], strict=True)) if id_ != found]
        return finish(job, [columns[name] for name in job.columns], unknown)

    def _columns(self, wanted: pl.DataFrame, ids: list[str]) -> pl.DataFrame:
        rows = pl.Series(self._rows(ids))
        known = wanted["id"].gather(rows) == pl.Series(ids)
        return wanted.select(pl.all().gather(rows.set(~known, None)))

    def _rows(self, ids: list[str]) -> npt.NDArray[np.int64]:
        rows = self._hashes.searchsorted(hashes("".join(ids).encode(), len(ids)))
        limited: npt.NDArray[np.int64] = np.minimum(rows, len(self._hashes) - 1)
        return limited
