"""The data of a run: a synthetic catalogue as Parquet, made once and kept, and where everything made of it lies."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bedeck.synth import synth

__all__ = ["Data"]


@dataclass(frozen=True, slots=True)
class Data:
    """A catalogue of `tracks` tracks, with their artists and albums, in its own folder below `cache`."""

    cache: Path
    tracks: int

    @property
    def folder(self) -> Path:
        """The folder of everything below."""
        return self.cache / f"tracks-{self.tracks}"

    @property
    def source(self) -> Path:
        """The folder of the Parquet files."""
        return self.folder / "source"

    @property
    def store(self) -> Path:
        """The store that bedeck builds."""
        return self.folder / "store"

    @property
    def peers(self) -> Path:
        """The folder of what peers serve from."""
        return self.folder / "peers"

    def make(self) -> None:
        """Write the Parquet files, as a stream, unless they are there."""
        if not (self.source / "catalogue.toml").exists():
            synth(self.source, self.tracks)

    def track_files(self) -> list[Path]:
        """The Parquet files of the tracks."""
        return sorted(self.source.glob("tracks-*.parquet"))

    def alter(self, name: str, become: Callable[[pa.Table, int], pa.Table]) -> None:
        """Write the tracks of each file as ``become`` makes them into the folder ``name``, unless they are there."""
        folder = self.folder / name
        if folder.exists():
            return
        unfinished = folder.with_suffix(".tmp")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for seed, file in enumerate(self.track_files()):
            pq.write_table(become(pq.read_table(file), seed), unfinished / file.name)
        unfinished.replace(folder)

    def batches(self, columns: list[str]) -> Iterator[Any]:
        """Some columns of all tracks, as Arrow record batches."""
        for file in self.track_files():
            yield from pq.ParquetFile(file).iter_batches(columns=columns)

    def tables(self, columns: list[str]) -> Iterator[pa.Table]:
        """The same, a table of one batch for each file: a million tracks."""
        for file in self.track_files():
            yield pq.read_table(file, columns=columns).combine_chunks()

    def artists(self) -> pa.Table:
        """The `id` and `name` of all artists."""
        return pq.read_table(self.source / "artists.parquet", columns=["id", "name"]).combine_chunks()

    def source_bytes(self) -> int:
        """Bytes of the Parquet files of the tracks."""
        return sum(file.stat().st_size for file in self.track_files())

    def store_bytes(self) -> int:
        """Bytes of the whole store, log and manifest included."""
        return sum(path.stat().st_size for path in self.store.rglob("*") if path.is_file())
