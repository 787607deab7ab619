"""JSON bodies, rendered beforehand and joined: in a dict, or in a mapped Arrow file."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from benchmarks.data import Data
from benchmarks.jobs import Job
from benchmarks.peers.dicts import rows
from benchmarks.peers.peer import Peer
from benchmarks.peers.sorted import SortedTable

__all__ = ["ArrowOfJson", "DictOfJson"]

_BATCH = 1 << 16


class DictOfJson(Peer):
    """`{id: b'{"title": ...}'}` for one fixed choice of fields."""

    name = "dict of pre-rendered JSON"
    about = (
        "`dict[str, bytes]`, a finished JSON object for each track, joined with commas; dicts come from `orjson.loads` "
        "of that body. It answers one choice of fields only, so each job has a table of its own. Bodies are copied to "
        "their exact size: what `orjson.dumps` returns keeps its growth buffer."
    )

    def __init__(self, data: Data, job: Job) -> None:
        self._bodies = dict(_bodies(data, job))
        self.answer = self._json if job.name == "json" else self._dicts

    def _json(self, ids: list[str]) -> bytes:
        get = self._bodies.get
        return b"[" + b",".join([get(id_, b"null") for id_ in ids]) + b"]"

    def _dicts(self, ids: list[str]) -> list[dict[str, Any] | None]:
        answer: list[dict[str, Any] | None] = orjson.loads(self._json(ids))
        return answer


class ArrowOfJson(Peer):
    """The same bodies as one column of an Arrow IPC file."""

    name = "Arrow IPC of pre-rendered JSON"
    about = (
        "the file, the search and the comparison of the peer above, but one column: finished JSON objects, gathered by "
        "one `take` and joined. It, too, answers one choice of fields only, and has a file for each job."
    )

    def __init__(self, data: Data, job: Job) -> None:
        self._table = SortedTable(_file(data, job))
        self.mapped = [self._table.bytes]
        self.answer = self._json if job.name == "json" else self._dicts
        self.warm()

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:
        """Render, sort, write."""
        schema, bodies = pa.schema({"id": pa.string(), "body": pa.large_binary()}), _bodies(data, job)
        batches = []
        while some := list(islice(bodies, _BATCH)):
            batches.append(pa.record_batch([*zip(*some, strict=True)], schema=schema))
        SortedTable.write(pa.Table.from_batches(batches), _file(data, job))
        return [_file(data, job)]

    def _json(self, ids: list[str]) -> bytes:
        found, places = self._table.find(ids)
        bodies = self._table.columns["body"].take(pa.array(places)).to_pylist()
        for place in np.flatnonzero(~found).tolist():
            bodies[place] = b"null"
        return b"[" + b",".join(bodies) + b"]"

    def _dicts(self, ids: list[str]) -> list[dict[str, Any] | None]:
        answer: list[dict[str, Any] | None] = orjson.loads(self._json(ids))
        return answer


def _bodies(data: Data, job: Job) -> Iterator[tuple[str, bytes]]:
    names = tuple(dict.fromkeys(field.split(".")[0] for field in job.fields))
    for row in rows(data):
        body = orjson.dumps({name: row[name] for name in names})
        yield (
            row["id"],
            bytes(memoryview(body)),
        )  # of its exact size: orjson leaves its growth buffer in what it returns


def _file(data: Data, job: Job) -> Path:
    return data.folder / f"{job.name}.arrow"
