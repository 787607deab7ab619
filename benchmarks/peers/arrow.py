"""Arrow IPC, mapped, found by searchsorted, gathered by take: the rival that shares its memory too."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.data import Data
from benchmarks.jobs import Job
from benchmarks.peers.peer import Peer
from benchmarks.peers.sorted import SortedTable

__all__ = ["SortedArrow"]

_COLUMNS = ["id", "title", "artist_ids", "album_id", "duration_ms", "explicit", "popularity", "isrc", "track_number"]


class SortedArrow(Peer):
    """A column for each field, any of which can be asked for."""

    name = "Arrow IPC + searchsorted + take"
    about = (
        "one uncompressed Arrow IPC file, mapped, sorted by 64 bits made of the first 16 characters of the id (8 would "
        "not be unique at this size). A list is one `np.searchsorted` of its sorted 64-bit keys, one comparison with "
        "the full ids, a gather for each column (numpy for numbers, `take` and `to_pylist` for text) and a "
        "comprehension over literal dicts. Artists' names are denormalised into the track, as text that is already "
        "JSON (`orjson.Fragment`): that is faster for it than a list of names, and than a second such table."
    )

    def __init__(self, data: Data, job: Job) -> None:
        self._table = SortedTable(_file(data))
        self.mapped = [self._table.bytes]
        columns = self._table.columns
        self._numbers = {name: columns[name].to_numpy() for name in ("duration_ms", "popularity", "track_number")}
        self._explicit = np.frombuffer(columns["explicit"].buffers()[1], np.uint8)
        self.answer = self._json if job.name == "json" else self._dicts
        self.warm()

    @classmethod
    def prepare(cls, data: Data, job: Job) -> list[Path]:  # noqa: ARG003 - one file answers both jobs
        """Denormalise the names, sort, write."""
        table = pa.Table.from_batches(data.batches(_COLUMNS)).combine_chunks()
        artists = _artists(table["artist_ids"].chunk(0), data.artists().combine_chunks())
        SortedTable.write(table.drop_columns(["artist_ids"]).append_column("artists", artists), _file(data))
        return [_file(data)]

    def _json(self, ids: list[str]) -> bytes:
        found, rows = self._table.find(ids)
        numbers, texts, indices = self._numbers, self._table.columns, pa.array(rows)
        answer: list[Any] = [
            {
                "title": title,
                "artists": artists,
                "explicit": explicit,
                "popularity": popularity,
                "duration_ms": duration_ms,
                "isrc": isrc,
                "album_id": album_id,
            }
            for title, artists, explicit, popularity, duration_ms, isrc, album_id in zip(
                texts["title"].take(indices).to_pylist(),
                map(orjson.Fragment, texts["artists"].take(indices).to_pylist()),
                self._flags(rows),
                numbers["popularity"][rows].tolist(),
                numbers["duration_ms"][rows].tolist(),
                texts["isrc"].take(indices).to_pylist(),
                texts["album_id"].take(indices).to_pylist(),
                strict=True,
            )
        ]
        return orjson.dumps(_without(answer, found))

    def _dicts(self, ids: list[str]) -> list[dict[str, Any] | None]:
        found, rows = self._table.find(ids)
        numbers, texts, indices = self._numbers, self._table.columns, pa.array(rows)
        answer: list[dict[str, Any] | None] = [
            {
                "id": id_,
                "title": title,
                "album_id": album_id,
                "duration_ms": duration_ms,
                "explicit": explicit,
                "popularity": popularity,
                "isrc": isrc,
                "track_number": track_number,
            }
            for id_, title, album_id, duration_ms, explicit, popularity, isrc, track_number in zip(
                ids,
                texts["title"].take(indices).to_pylist(),
                texts["album_id"].take(indices).to_pylist(),
                numbers["duration_ms"][rows].tolist(),
                self._flags(rows),
                numbers["popularity"][rows].tolist(),
                texts["isrc"].take(indices).to_pylist(),
                numbers["track_number"][rows].tolist(),
                strict=True,
            )
        ]
        return _without(answer, found)

    def _flags(self, rows: npt.NDArray[np.int64]) -> list[bool]:
        flags: list[bool] = (self._explicit[rows >> 3] >> (rows & 7) & 1).astype(np.bool_).tolist()
        return flags


def _file(data: Data) -> Path:
    return data.folder / "tracks.arrow"


def _artists(lists: pa.ListArray, artists: pa.Table) -> pa.Array:
    named = artists["name"].chunk(0).take(pc.index_in(lists.values, value_set=artists["id"].chunk(0)))
    names = pa.ListArray.from_arrays(lists.offsets, named).to_pylist()
    return pa.array([orjson.dumps([_artist(name) for name in each]).decode() for each in names], pa.string())


def _artist(name: str | None) -> dict[str, str] | None:
    return None if name is None else {"name": name}


def _without(answer: list[Any], found: npt.NDArray[np.bool_]) -> list[Any]:
    for place in np.flatnonzero(~found).tolist():
        answer[place] = None
    return answer
