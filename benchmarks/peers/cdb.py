"""cdb: one hash table in one mapped file."""

from functools import partial
from pathlib import Path

import cdbx

from benchmarks.data import Data
from benchmarks.jobs import Job
from benchmarks.peers.bodies import Finished, pairs, render
from benchmarks.peers.kept import kept

__all__ = ["Cdb"]


class Cdb(Finished):
    """Id -> finished JSON object."""

    name = "cdb"
    about = (
        "cdbx, in C: id -> finished JSON object, mapped, one `get` an id. A file for each job, of 4 GiB at most: about "
        "15 million tracks."
    )
    bytes_a_track = 500
    most_tracks = 15_000_000

    def __init__(self, data: Data, job: Job) -> None:
        self._get = cdbx.CDB(str(_file(data, job)), mmap=True).get
        self.touch(data, job)

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:
        """Add all, in order of the ids."""
        return [render(data, job), kept(_file(data, job), partial(_write, data, job))]

    def bodies(self, ids: list[str]) -> list[bytes]:
        """One `get` an id."""
        get = self._get
        return [get(id_, b"null") for id_ in ids]


def _write(data: Data, job: Job, path: Path) -> None:
    with path.open("wb+") as file:
        maker = cdbx.CDB.make(file)
        for id_, body in pairs(data, job):
            maker.add(id_, body)
        maker.commit().close()


def _file(data: Data, job: Job) -> Path:
    return data.peers / f"{job.name}.cdb"
