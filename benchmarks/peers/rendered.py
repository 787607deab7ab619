"""JSON bodies, rendered beforehand and joined: in a dict, or in a mapped Arrow file."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.data import Data
from benchmarks.jobs import Job
from benchmarks.peers.bodies import Finished, pairs, render
from benchmarks.peers.kept import kept
from benchmarks.peers.sorted import SortedTable

__all__ = ["ArrowOfJson", "DictOfJson"]


class DictOfJson(Finished):
    """`{id: b'{"title": ...}'}` for one fixed choice of fields."""

    name = "dict of pre-rendered JSON"
    about = (
        "`dict[str, bytes]`, a finished JSON object for each track, joined with commas; dicts come from `orjson.loads` "
        "of that body. It answers one choice of fields only, so each job has a table of its own, loaded from the file "
        "of finished objects."
    )
    bytes_a_track = 700

    def __init__(self, data: Data, job: Job) -> None:
        self._get = dict(pairs(data, job)).get

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:
        """Render."""
        return [render(data, job)]

    def bodies(self, ids: list[str]) -> list[bytes]:
        """One `get` an id."""
        get = self._get
        return [get(id_, b"null") for id_ in ids]


class ArrowOfJson(Finished):
    """The same bodies as one column of an Arrow IPC file."""

    name = "Arrow IPC of pre-rendered JSON"
    about = (
        "the file, the search and the comparison of the peer above, but one column: finished JSON objects, gathered by "
        "one `take` and joined. It, too, answers one choice of fields only, and has a file for each job."
    )
    bytes_a_track = 800

    def __init__(self, data: Data, job: Job) -> None:
        self._table = SortedTable(_file(data, job))
        self.mapped = [self._table.bytes]
        self.warm()

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:
        """Render, sort, write."""
        rendered = render(data, job)
        return [rendered, kept(_file(data, job), partial(_sort, rendered))]

    def bodies(self, ids: list[str]) -> list[bytes]:
        """One search, one gather."""
        found, places = self._table.find(ids)
        bodies: list[bytes] = self._table.columns["body"].take(pa.array(places)).to_pylist()
        for place in np.flatnonzero(~found).tolist():
            bodies[place] = b"null"
        return bodies


def _sort(rendered: Path, path: Path) -> None:
    with pa.memory_map(str(rendered)) as file:
        SortedTable.write(pa.ipc.open_file(file).read_all(), path)


def _file(data: Data, job: Job) -> Path:
    return data.peers / f"sorted-{job.name}.arrow"
