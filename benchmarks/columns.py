"""The catalogue as files of plain columns, for programs in other languages: read with nothing but a stream of bytes.

A file has one type. First comes the number of its columns, and for each its name, its kind and the type it refers to,
each with its length in 2 bytes. Then come batches, the last of 0 rows: how many rows, and column by column a byte for
each row that says whether it has a value, and the values. All numbers are big-endian, of 4 bytes unless said otherwise:

* `text`: where each begins, and where the last ends; the UTF-8 of all.
* `int`, `long` (of 8 bytes), `boolean` (of 1 byte).
* `reference`: the row of the record in its own type's file, which comes before.
* `references`: where the list of each row begins, and where the last ends; the rows, one list after another, -1 for a
  record that is not there.
* `word`, `words`: the same, but they refer to texts that come before them, with their number first.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.data import Data

__all__ = ["write"]

_ROWS = 1 << 16  # in a batch


class _Column(NamedTuple):
    name: str
    kind: str
    source: str
    target: str = ""


_TYPES = {
    "artist": (
        _Column("id", "text", "id"),
        _Column("name", "text", "name"),
        _Column("genres", "words", "genres"),
        _Column("followers", "long", "followers"),
    ),
    "album": (
        _Column("id", "text", "id"),
        _Column("title", "text", "title"),
        _Column("artists", "references", "artist_ids", "artist"),
        _Column("album_type", "word", "album_type"),
        _Column("release_date", "int", "release_date"),
        _Column("label", "word", "label"),
        _Column("total_tracks", "int", "total_tracks"),
    ),
    "track": (
        _Column("id", "text", "id"),
        _Column("title", "text", "title"),
        _Column("artists", "references", "artist_ids", "artist"),
        _Column("album", "reference", "album_id", "album"),
        _Column("duration_ms", "int", "duration_ms"),
        _Column("explicit", "boolean", "explicit"),
        _Column("popularity", "int", "popularity"),
        _Column("isrc", "text", "isrc"),
        _Column("markets", "words", "markets"),
        _Column("track_number", "int", "track_number"),
    ),
}


def write(data: Data, folder: Path) -> None:
    """Write all fields of all artists, albums and tracks: a file for each type, with the type's name."""
    folder.mkdir()
    keys: dict[str, Any] = {}
    for name, columns in _TYPES.items():
        with (folder / name).open("wb") as file:
            file.write(_int(len(columns)))
            file.writelines(_name(text) for column in columns for text in (column.name, column.kind, column.target))
            for table in _tables(data, name, [column.source for column in columns]):
                if name != "track":
                    keys[name] = table["id"].chunk(0)
                for batch in table.to_batches(max_chunksize=_ROWS):
                    _batch(file, batch, columns, keys)
            file.write(_int(0))


def _tables(data: Data, name: str, columns: list[str]) -> Iterable[pa.Table]:
    if name == "track":
        return data.tables(columns)
    return [pq.read_table(data.source / f"{name}s.parquet", columns=columns).combine_chunks()]


def _batch(file: BinaryIO, batch: pa.RecordBatch, columns: Iterable[_Column], keys: Mapping[str, Any]) -> None:
    file.write(_int(len(batch)))
    for column in columns:
        values = batch[column.source]
        file.write(_bytes(values.is_valid(), np.uint8))
        file.writelines(_payload(values, column, keys))


def _payload(values: pa.Array, column: _Column, keys: Mapping[str, Any]) -> Iterator[bytes]:
    match column.kind:
        case "text":
            yield from _texts(values)
        case "int":
            yield _bytes(values.cast(pa.int32()), ">i4")
        case "long":
            yield _bytes(values, ">i8")
        case "boolean":
            yield _bytes(values, np.uint8)
        case "reference":
            rows = pc.index_in(values, value_set=keys[column.target])
            if rows.null_count > values.null_count:
                raise SystemExit(f"benchmarks: a {column.name} that is not there")
            yield _bytes(rows, ">i4")
        case "references":
            yield from _offsets(values)
            yield _bytes(pc.fill_null(pc.index_in(values.flatten(), value_set=keys[column.target]), -1), ">i4")
        case "word" | "words":
            words = (values.flatten() if column.kind == "words" else values).dictionary_encode()
            yield _int(len(words.dictionary))
            yield from _texts(words.dictionary)
            if column.kind == "words":
                yield from _offsets(values)
            yield _bytes(words.indices, ">i4")


def _texts(values: pa.Array) -> Iterator[bytes]:
    ends = np.frombuffer(values.buffers()[1], np.int32)[values.offset :][: len(values) + 1]
    yield (ends - ends[0]).astype(">i4").tobytes()
    yield bytes(memoryview(values.buffers()[2])[ends[0] : ends[-1]])


def _offsets(values: pa.Array) -> Iterator[bytes]:
    yield _bytes(pc.subtract(values.offsets, values.offsets[0]), ">i4")


def _bytes(values: pa.Array, form: Any) -> bytes:  # noqa: ANN401 - what numpy takes as a type
    filled: npt.NDArray[Any] = pc.fill_null(values, pa.scalar(0).cast(values.type)).to_numpy(zero_copy_only=False)
    return filled.astype(form).tobytes()


def _int(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _name(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode("ascii")
