"""A dict of dicts: the catalogue as plain Python objects."""

from collections.abc import Iterator
from typing import Any

import orjson

from benchmarks.data import Data
from benchmarks.jobs import Job
from benchmarks.peers.peer import Peer

__all__ = ["DictOfDicts", "rows"]

_COLUMNS = ("id", "title", "artist_ids", "album_id", "duration_ms", "explicit", "popularity", "isrc", "track_number")


class DictOfDicts(Peer):
    """`{id: {"title": ..., "artists": [{"name": ...}], ...}}`, projected on the fields asked for."""

    name = "dict of dicts"
    about = (
        "`dict[str, dict]`; the answer is a comprehension over literal dicts of the fields asked for, `orjson.dumps` "
        "of it for JSON. Artists are resolved while loading: a track's dict holds the dicts of its artists. Album ids "
        "are interned, and only the fields of the two jobs are kept."
    )

    def __init__(self, data: Data, job: Job) -> None:
        self._rows = {row["id"]: row for row in rows(data)}
        self.answer = self._json if job.name == "json" else self._dicts

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


def rows(data: Data) -> Iterator[dict[str, Any]]:
    """Every track as a dict of the fields of both jobs."""
    artists = {id_: {"name": name} for id_, name in zip(*data.artists().to_pydict().values(), strict=True)}
    albums: dict[str, str] = {}
    for batch in data.batches(list(_COLUMNS)):
        for id_, title, artist_ids, album_id, duration_ms, explicit, popularity, isrc, track_number in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        ):
            yield {
                "id": id_,
                "title": title,
                "artists": [artists.get(artist_id) for artist_id in artist_ids],
                "album_id": albums.setdefault(album_id, album_id),
                "duration_ms": duration_ms,
                "explicit": explicit,
                "popularity": popularity,
                "isrc": isrc,
                "track_number": track_number,
            }
