"""A table sorted by 64 bits of its ids, in a mapped Arrow IPC file: what several peers are made of."""

from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.data import Data
from benchmarks.peers.bodies import artists_json
from benchmarks.peers.kept import kept

__all__ = ["Found", "SortedTable", "hashes", "tracks"]

Found: TypeAlias = tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]
Buffer: TypeAlias = bytes | pa.Buffer

_LENGTH = 22  # of an id, in characters
_ODD = np.uint64(0x9E3779B97F4A7C15)
_COLUMNS = ["id", "title", "artist_ids", "album_id", "duration_ms", "explicit", "popularity", "isrc", "track_number"]


class SortedTable:
    """One uncompressed record batch. `columns` are Arrow arrays by name; `bytes` are those of the file."""

    def __init__(self, path: Path) -> None:
        file = pa.memory_map(str(path))
        self.bytes = np.frombuffer(file.read_buffer(), np.uint8)
        batch = pa.ipc.open_file(file).get_batch(0)
        self.columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        self._hashes = self.columns["hash"].to_numpy()
        self._ids = np.frombuffer(self.columns["id"].buffers()[1], f"S{_LENGTH}")

    @staticmethod
    def write(table: pa.Table, path: Path) -> None:
        """Sort a table with a column `id` by the hashes of the ids, and write it."""
        table = table.combine_chunks()
        found = hashes(table["id"].chunk(0).buffers()[2], len(table))
        order = np.argsort(found)
        found = found[order]
        if not np.diff(found).all():
            raise SystemExit("benchmarks: two ids have the same 64 bits, which this peer does not handle")
        table = table.take(pa.array(order)).combine_chunks().append_column("hash", pa.array(found))
        text = table["id"].chunk(0).buffers()[2]
        ids = pa.FixedSizeBinaryArray.from_buffers(pa.binary(_LENGTH), len(table), [None, text])
        table = table.set_column(table.schema.get_field_index("id"), "id", ids)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=len(table))

    def texts(self) -> list[str]:
        """The ids of all rows, as text."""
        ids: list[str] = self._ids.astype(f"U{_LENGTH}").tolist()
        return ids

    def find(self, ids: list[str]) -> Found:
        """For each id whether it is there, and its row; any row if it is not."""
        text = "".join(ids).encode()
        wanted = hashes(text, len(ids))
        order = wanted.argsort()  # neighbours share most of their way through the search
        rows = np.empty(len(ids), np.int64)
        rows[order] = self._hashes.searchsorted(wanted[order])
        rows[rows == len(self._hashes)] = 0
        return self._ids[rows] == np.frombuffer(text, f"S{_LENGTH}"), rows


def hashes(ids: Buffer, count: int) -> npt.NDArray[np.uint64]:
    """Mix two times 8 characters: 8 alone are 48 bits, too few to tell millions of ids apart."""
    first, second = (np.ndarray((count,), np.uint64, ids, offset, (_LENGTH,)) for offset in (0, 8))
    mixed: npt.NDArray[np.uint64] = first * _ODD + second
    return mixed


def tracks(data: Data) -> Path:
    """Write such a file of the fields that are asked for, artists as JSON text, unless it is there; return its path."""
    return kept(data.peers / "tracks.arrow", partial(_write, data))


def _write(data: Data, path: Path) -> None:
    artists, tables = data.artists(), []
    for table in data.tables(_COLUMNS):
        named = artists_json(table["artist_ids"].chunk(0), artists)
        tables.append(table.drop_columns(["artist_ids"]).append_column("artists", named))
    SortedTable.write(pa.concat_tables(tables), path)
