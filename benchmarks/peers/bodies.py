"""Finished answers: for each track the JSON object of a job, rendered beforehand, as what many peers keep."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.data import Data
from benchmarks.jobs import DICTS, JSON, Answer, Job
from benchmarks.peers.kept import kept
from benchmarks.peers.peer import Peer

__all__ = ["Finished", "artists_json", "pairs", "render"]

_TO_ESCAPE = r'[\x00-\x1f"\\]'
_BATCH = 1 << 16
_SAMPLE = 8  # of so many neighbours one is read to warm: the kernel maps 16 pages at a time


class Finished(Peer):
    """A peer that keeps finished answers: those to `JSON` are joined, `DICTS` are parsed from the same."""

    jobs = (JSON, DICTS)
    fixed = True

    @abstractmethod
    def bodies(self, ids: list[str]) -> Sequence[bytes | memoryview]:
        """The object for each id, `null` for one that is unknown."""

    def answer(self, job: Job) -> Answer:
        """Join, or join and parse."""
        return self._json if job.name == "json" else self._dicts

    def touch(self, data: Data, job: Job) -> None:
        """Read one answer of so many neighbours, so that all is in memory and mapped."""
        for ids, _ in _lists(render(data, job)):
            self.bodies(ids[::_SAMPLE])

    def _json(self, ids: list[str]) -> bytes:
        return b"[" + b",".join(self.bodies(ids)) + b"]"

    def _dicts(self, ids: list[str]) -> list[dict[str, Any] | None]:
        answer: list[dict[str, Any] | None] = orjson.loads(self._json(ids))
        return answer


def render(data: Data, job: Job) -> Path:
    """Write a file of `id` and `body`, sorted by id, unless it is there; return its path."""
    return kept(data.peers / f"bodies-{job.name}.arrow", partial(_write, data, job))


def pairs(data: Data, job: Job) -> Iterator[tuple[str, bytes]]:
    """The id and the finished answer of each track, sorted by id."""
    for ids, bodies in _lists(render(data, job)):
        yield from zip(ids, bodies, strict=True)


def artists_json(lists: pa.ListArray, artists: pa.Table) -> pa.Array:
    """For each list of artists' ids the JSON text `[{"name":...},...]`, null for an artist who is not there."""
    names = pc.binary_join_element_wise('{"name":', _quoted(artists["name"].chunk(0)), "}", "")
    found = names.take(pc.index_in(lists.flatten(), value_set=artists["id"].chunk(0)))
    each = pa.ListArray.from_arrays(_offsets(lists), pc.fill_null(found, "null"))
    return pc.binary_join_element_wise("[", pc.binary_join(each, ","), "]", "")


def _write(data: Data, job: Job, path: Path) -> None:
    table = pa.concat_tables(_rendered(data, job)).combine_chunks()
    ids = np.frombuffer(table["id"].chunk(0).buffers()[2], "S22")[: len(table)]
    table = table.take(pa.array(np.argsort(ids, kind="stable")))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=_BATCH)


def _rendered(data: Data, job: Job) -> Iterator[pa.Table]:
    names = ["artist_ids" if name == "artists" else name for name in job.columns]
    artists = data.artists()
    for table in data.tables(list(dict.fromkeys(["id", *names]))):
        parts = [
            part
            for place, (name, column) in enumerate(zip(job.columns, names, strict=True))
            for part in (f'{"," if place else "{"}"{name}":', _text(table[column].chunk(0), artists))
        ]
        body = pc.binary_join_element_wise(*parts, "}", "", null_handling="replace", null_replacement="null")
        yield pa.table({"id": table["id"].cast(pa.large_string()), "body": body.cast(pa.large_binary())})


def _text(column: pa.Array, artists: pa.Table) -> pa.Array:
    if pa.types.is_list(column.type):
        return artists_json(column, artists)
    return _quoted(column) if pa.types.is_string(column.type) else column.cast(pa.string())


def _quoted(column: pa.Array) -> pa.Array:
    quoted = pc.binary_join_element_wise('"', column, '"', "")
    special = pc.fill_null(pc.match_substring_regex(column, _TO_ESCAPE), fill_value=False)
    escaped = [orjson.dumps(text).decode() for text in column.filter(special).to_pylist()]
    return pc.replace_with_mask(quoted, special, pa.array(escaped, pa.string()))


def _offsets(lists: pa.ListArray) -> pa.Array:
    return pc.subtract(lists.offsets, lists.offsets[0])


def _lists(path: Path) -> Iterator[tuple[list[str], list[bytes]]]:
    with pa.memory_map(str(path)) as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            yield batch["id"].to_pylist(), batch["body"].to_pylist()
