"""A table sorted by 64 bits of its ids, in a mapped Arrow IPC file: what two peers are made of."""

from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Found", "SortedTable"]

Found: TypeAlias = tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]
Buffer: TypeAlias = bytes | pa.Buffer

_LENGTH = 22  # of an id, in characters
_ODD = np.uint64(0x9E3779B97F4A7C15)


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
        hashes = _hashes(table["id"].chunk(0).buffers()[2], len(table))
        order = np.argsort(hashes)
        hashes = hashes[order]
        if not np.diff(hashes).all():
            raise SystemExit("benchmarks: two ids have the same 64 bits, which this peer does not handle")
        table = table.take(pa.array(order)).append_column("hash", pa.array(hashes))
        ids = table["id"].cast(pa.binary()).cast(pa.binary(_LENGTH))
        table = table.set_column(table.schema.get_field_index("id"), "id", ids).combine_chunks()
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=len(table))

    def find(self, ids: list[str]) -> Found:
        """For each id whether it is there, and its row; any row if it is not."""
        text = "".join(ids).encode()
        hashes = _hashes(text, len(ids))
        order = hashes.argsort()  # neighbours share most of their way through the search
        rows = np.empty(len(ids), np.int64)
        rows[order] = self._hashes.searchsorted(hashes[order])
        rows[rows == len(self._hashes)] = 0
        return self._ids[rows] == np.frombuffer(text, f"S{_LENGTH}"), rows


def _hashes(ids: Buffer, count: int) -> npt.NDArray[np.uint64]:
    """Mix two times 8 characters: 8 alone are 48 bits, too few to tell millions of ids apart."""
    first, second = (np.ndarray((count,), np.uint64, ids, offset, (_LENGTH,)) for offset in (0, 8))
    mixed: npt.NDArray[np.uint64] = first * _ODD + second
    return mixed
