"""DuckDB: a table with a primary key, asked in SQL."""

from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from benchmarks.data import Data
from benchmarks.jobs import COLUMNS, Answer, Job
from benchmarks.peers.kept import kept
from benchmarks.peers.objects import finish
from benchmarks.peers.peer import Peer
from benchmarks.peers.sorted import SortedTable, tracks

__all__ = ["DuckDb"]

_QUIET = "SET enable_progress_bar = false"


class DuckDb(Peer):
    """A table of tracks."""

    name = "DuckDB"
    about = (
        "a database file, opened read-only, one thread, a table with a primary key; a list is one `SELECT ... WHERE id "
        "IN (?, ...)`, which its index answers, put into order by a dict, or by a `take` of the Arrow table."
    )
    bytes_a_track = 600

    def __init__(self, data: Data, job: Job) -> None:  # noqa: ARG002 - it answers all
        self._connection = duckdb.connect(str(_file(data)), read_only=True, config={"threads": 1})
        self._connection.execute(_QUIET)

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:  # noqa: ARG003 - one file answers all
        """Create the table from the sorted one."""
        source = tracks(data)
        return [source, kept(_file(data), partial(_write, source))]

    def answer(self, job: Job) -> Answer:
        """Objects made of rows, or the columns of the result."""
        return self._columns if job.name == "columns" else partial(self._objects, job)

    def _objects(self, job: Job, ids: list[str]) -> Any:  # noqa: ANN401 - bytes or list
        found = {row[0]: row[1:] for row in self._connection.execute(_query(job, ids), ids).fetchall()}
        unknown = [place for place, id_ in enumerate(ids) if id_ not in found]
        nothing = ("null",) * len(job.columns)
        rows = [found.get(id_, nothing) for id_ in ids]
        return finish(job, list(zip(*rows, strict=True)), unknown)

    def _columns(self, ids: list[str]) -> pa.Table:
        answer = self._connection.sql(_query(COLUMNS, ids), params=ids).to_arrow_table()
        places = {id_: place for place, id_ in enumerate(answer.column(0).to_pylist())}
        return answer.drop_columns([answer.schema.names[0]]).take(pa.array(map(places.get, ids), pa.int64()))


def _write(source: Path, path: Path) -> None:
    columns = SortedTable(source).columns
    columns["id"] = columns["id"].cast(pa.binary()).cast(pa.string())
    del columns["hash"]
    table = pa.table(columns)
    with duckdb.connect(str(path)) as connection:
        connection.execute(_QUIET)
        connection.register("source", table)
        connection.execute("CREATE TABLE track AS SELECT * FROM source ORDER BY id")
        connection.execute("ALTER TABLE track ADD PRIMARY KEY (id)")
        connection.unregister("source")


def _query(job: Job, ids: list[str]) -> str:
    marks = ",".join("?" * len(ids))
    return f"SELECT id AS asked, {','.join(job.columns)} FROM track WHERE id IN ({marks})"  # noqa: S608 - our own names


def _file(data: Data) -> Path:
    return data.peers / "tracks.duckdb"
