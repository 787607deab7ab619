"""The two sides of the contest: a catalogue as plain Python dicts, and as a bedeck store."""

import json
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.parquet import ParquetFile

import bedeck
from bedeck._demo.playlist import FIELDS

__all__ = ["JSON", "Dicts", "Side", "Store"]

JSON = "orjson" if find_spec("orjson") else "json"
SEPARATOR = "\x1f"  # no id and no word has it


class Side(Protocol):
    """A catalogue in memory."""

    def __init__(self, folder: Path) -> None: ...

    def decorate(self, ids: Sequence[str]) -> list[Any]:
        """What is wanted of each track, as dicts."""

    def decorate_json(self, ids: Sequence[str]) -> bytes:
        """The same as a JSON array."""


class Dicts:
    """A dict of dicts for each type, read from the Parquet files of a catalogue.

    Made with care: equal strings and equal lists are one object. Made without, it takes several times the memory.
    """

    def __init__(self, folder: Path) -> None:
        shared: dict[str, Any] = {}
        self.tracks = _load(folder, "tracks-*.parquet", shared)
        self.artists = _load(folder, "artists.parquet", shared)
        self.albums = _load(folder, "albums.parquet", shared)
        self._dumps = _encoder()
        pa.default_memory_pool().release_unused()

    def decorate(self, ids: Sequence[str]) -> list[Any]:
        """What is wanted of each track, its artists and its album looked up."""
        tracks, artists, albums = self.tracks, self.artists, self.albums
        answer: list[Any] = []
        for id_ in ids:
            track = tracks.get(id_)
            if track is None:
                answer.append(None)
                continue
            named = [{"name": artist["name"]} if (artist := artists.get(key)) else None for key in track["artist_ids"]]
            album = albums.get(track["album_id"])
            answer.append(
                {
                    "title": track["title"],
                    "artists": named,
                    "album": {"title": album["title"]} if album else None,
                    "duration_ms": track["duration_ms"],
                    "explicit": track["explicit"],
                }
            )
        return answer

    def decorate_json(self, ids: Sequence[str]) -> bytes:
        """The same as a JSON array."""
        return self._dumps(self.decorate(ids))


class Store:
    """The store that was built from the same files: opened, every byte of it checked, and mapped into the process."""

    def __init__(self, folder: Path) -> None:
        catalogue = bedeck.open(folder, verify="always")
        catalogue.warm()
        selection = catalogue["track"].select(*FIELDS)
        self.decorate = selection.decorate
        self.decorate_json = selection.decorate_json


def _load(folder: Path, pattern: str, shared: dict[str, Any]) -> dict[str, dict[str, Any]]:
    records: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob(pattern)):
        for batch in ParquetFile(file).iter_batches():
            columns = {name: list(_values(batch[name], shared)) for name in batch.schema.names}
            ids = columns.pop("id")
            rows = zip(*columns.values(), strict=True)
            records.update(zip(ids, (dict(zip(columns, row, strict=True)) for row in rows), strict=True))
    return records


def _values(column: pa.Array, shared: dict[str, Any]) -> Iterator[Any]:
    if pa.types.is_list(column.type):
        for text in pc.binary_join(column, SEPARATOR).to_pylist():
            found = shared.get(SEPARATOR + text)
            if found is None:
                words = text.split(SEPARATOR) if text else []
                found = shared[SEPARATOR + text] = [shared.setdefault(word, word) for word in words]
            yield found
    elif pa.types.is_string(column.type):
        yield from (shared.setdefault(text, text) for text in column.to_pylist())
    else:
        yield from column.to_pylist()


def _encoder() -> Callable[[Any], bytes]:
    if JSON == "orjson":
        from orjson import dumps  # noqa: PLC0415 - where it is installed

        return dumps
    return lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
