"""LMDB: a mapped B+ tree."""

from functools import partial
from pathlib import Path

import lmdb

from benchmarks.data import Data
from benchmarks.jobs import Job
from benchmarks.peers.bodies import Finished, pairs, render
from benchmarks.peers.kept import kept

__all__ = ["Lmdb"]

_ROOM = 64 << 30  # of addresses
_OPEN = {"subdir": False, "lock": False, "map_size": _ROOM}


class Lmdb(Finished):
    """Id -> finished JSON object."""

    name = "LMDB"
    about = (
        "py-lmdb: id -> finished JSON object, appended in order of the ids; opened read-only, without locks and "
        "readahead, one read transaction of buffers kept, one `get` an id, which copies nothing "
        "(`Cursor.getmulti` is slower). A file for each job."
    )
    bytes_a_track = 800

    def __init__(self, data: Data, job: Job) -> None:
        self._environment = lmdb.open(str(_file(data, job)), readonly=True, readahead=False, **_OPEN)
        self._get = self._environment.begin(buffers=True).get
        self.touch(data, job)

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:
        """Append all, without syncing before the end."""
        return [render(data, job), kept(_file(data, job), partial(_write, data, job))]

    def bodies(self, ids: list[str]) -> list[memoryview | bytes]:
        """One `get` an id."""
        get = self._get
        return [get(id_.encode(), b"null") for id_ in ids]


def _write(data: Data, job: Job, path: Path) -> None:
    with lmdb.open(str(path), sync=False, **_OPEN) as environment:
        with environment.begin(write=True) as transaction, transaction.cursor() as cursor:
            cursor.putmulti(((id_.encode(), body) for id_, body in pairs(data, job)), append=True)
        environment.sync(force=True)


def _file(data: Data, job: Job) -> Path:
    return data.peers / f"{job.name}.lmdb"
