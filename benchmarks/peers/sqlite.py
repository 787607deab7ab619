"""SQLite: a mapped B-tree, asked in SQL."""

import sqlite3
from functools import partial
from pathlib import Path

from benchmarks.data import Data
from benchmarks.jobs import Job
from benchmarks.peers.bodies import Finished, pairs, render
from benchmarks.peers.kept import kept

__all__ = ["Sqlite"]

_MAP = 1 << 36


class Sqlite(Finished):
    """Id -> finished JSON object, in a table."""

    name = "SQLite"
    about = (
        "the `sqlite3` of Python: a table `WITHOUT ROWID` of id and finished JSON object, opened immutable and mapped; "
        "a list is one `SELECT ... WHERE id IN (?, ...)`, put into order by a dict. A file for each job. (Columns "
        "instead of finished objects are slower.)"
    )
    bytes_a_track = 600

    def __init__(self, data: Data, job: Job) -> None:
        path = f"file:{_file(data, job)}?mode=ro&immutable=1"
        self._execute = sqlite3.connect(path, uri=True, check_same_thread=False).execute
        self._execute(f"PRAGMA mmap_size = {_MAP}")
        self.touch(data, job)

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:
        """Insert in order of the ids, without a journal."""
        return [render(data, job), kept(_file(data, job), partial(_write, data, job))]

    def bodies(self, ids: list[str]) -> list[bytes]:
        """One query a list."""
        marks = ",".join("?" * len(ids))
        found = dict(self._execute(f"SELECT id, body FROM track WHERE id IN ({marks})", ids))  # noqa: S608 - marks
        get = found.get
        return [get(id_, b"null") for id_ in ids]


def _write(data: Data, job: Job, path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("CREATE TABLE track (id TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO track VALUES (?, ?)", pairs(data, job))
    connection.execute("COMMIT")
    connection.close()


def _file(data: Data, job: Job) -> Path:
    return data.peers / f"{job.name}.sqlite"
