"""Plain Python objects: a dict of dicts, a dict of tuples."""

from collections.abc import Iterator
from typing import Any

import orjson

from benchmarks.data import Data
from benchmarks.jobs import DICTS, JSON, Answer, Job
from benchmarks.peers.peer import Peer

__all__ = ["DictOfDicts", "DictOfTuples"]

_COLUMNS = ("id", "title", "artist_ids", "album_id", "duration_ms", "explicit", "popularity", "isrc", "track_number")


class DictOfDicts(Peer):
    """`{id: {"title": ..., "artists": [{"name": ...}], ...}}`, projected on the fields asked for."""

    name = "dict of dicts"
    about = (
        "`dict[str, dict]`; the answer is a comprehension over literal dicts of the fields asked for, `orjson.dumps` "
        "of it for JSON. Artists are resolved while loading: a track's dict holds the dicts of its artists. Album ids "
        "are interned, and only the fields of the two jobs are kept."
    )
    jobs = (JSON, DICTS)
    bytes_a_track = 1100

    def __init__(self, data: Data, job: Job) -> None:  # noqa: ARG002 - it answers both
        names = tuple("artists" if column == "artist_ids" else column for column in _COLUMNS)
        self._rows = {row[0]: dict(zip(names, row, strict=True)) for row in _rows(data)}

    def answer(self, job: Job) -> Answer:
        """A comprehension for each."""
        return self._json if job.name == "json" else self._dicts

    def _json(self, ids: list[str]) -> bytes:
        get = self._rows.get
        return orjson.dumps(
            [
                None
                if (row := get(id_)) is None
                else {
                    "title": row["title"],
                    "artists": row["artists"],
                    "explicit": row["explicit"],
                    "popularity": row["popularity"],
                    "duration_ms": row["duration_ms"],
                    "isrc": row["isrc"],
                    "album_id": row["album_id"],
                }
                for id_ in ids
            ]
        )

    def _dicts(self, ids: list[str]) -> list[dict[str, Any] | None]:
        get = self._rows.get
        return [
            None
            if (row := get(id_)) is None
            else {
                "id": row["id"],
                "title": row["title"],
                "album_id": row["album_id"],
                "duration_ms": row["duration_ms"],
                "explicit": row["explicit"],
                "popularity": row["popularity"],
                "isrc": row["isrc"],
                "track_number": row["track_number"],
            }
            for id_ in ids
        ]


class DictOfTuples(Peer):
    """`{id: (id, title, artists, ...)}`."""

    name = "dict of tuples"
    about = (
        "`dict[str, tuple]` of the same values, unpacked in the comprehension; the text of the artists is JSON already "
        "(`orjson.Fragment`), made while loading."
    )
    jobs = (JSON, DICTS)
    bytes_a_track = 900

    def __init__(self, data: Data, job: Job) -> None:  # noqa: ARG002 - it answers both
        fragments: dict[bytes, orjson.Fragment] = {}
        self._rows = {row[0]: (*row[:2], _fragment(fragments, row[2]), *row[3:]) for row in _rows(data)}

    def answer(self, job: Job) -> Answer:
        """A comprehension for each."""
        return self._json if job.name == "json" else self._dicts

    def _json(self, ids: list[str]) -> bytes:
        get = self._rows.get
        return orjson.dumps(
            [
                None
                if (row := get(id_)) is None
                else {
                    "title": row[1],
                    "artists": row[2],
                    "explicit": row[5],
                    "popularity": row[6],
                    "duration_ms": row[4],
                    "isrc": row[7],
                    "album_id": row[3],
                }
                for id_ in ids
            ]
        )

    def _dicts(self, ids: list[str]) -> list[dict[str, Any] | None]:
        get = self._rows.get
        return [
            None
            if (row := get(id_)) is None
            else {
                "id": row[0],
                "title": row[1],
                "album_id": row[3],
                "duration_ms": row[4],
                "explicit": row[5],
                "popularity": row[6],
                "isrc": row[7],
                "track_number": row[8],
            }
            for id_ in ids
        ]


def _rows(data: Data) -> Iterator[tuple[Any, ...]]:
    """Every track as a tuple of its columns, with the dicts of its artists instead of their ids."""
    artists = {id_: {"name": name} for id_, name in zip(*data.artists().to_pydict().values(), strict=True)}
    albums: dict[str, str] = {}
    for batch in data.batches(list(_COLUMNS)):
        for id_, title, artist_ids, album_id, *rest in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        ):
            credited = [artists.get(artist_id) for artist_id in artist_ids]
            yield id_, title, credited, albums.setdefault(album_id, album_id), *rest


def _fragment(fragments: dict[bytes, orjson.Fragment], artists: list[dict[str, str] | None]) -> orjson.Fragment:
    text = bytes(
        memoryview(orjson.dumps(artists))
    )  # of its exact size: orjson leaves its growth buffer in what it gives
    return fragments.setdefault(text, orjson.Fragment(text))
